"""What the app needs of Streamlit beyond its public interface, all in one file.

requirements.txt pins Streamlit to the minor version with which this was tested, and tests/test_link.py fails where a
newer one has moved something. Nothing here hides an AttributeError: a link that loses its settings without a word is
worse than an error.
"""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

import streamlit
from streamlit.runtime.scriptrunner import get_script_run_ctx

TESTED = "1.67"  # the minor version of Streamlit


def restore_bound_parameters() -> None:
    """Put the values of the widgets on the page back into the link, where the link has lost them.

    Streamlit sends the browser the whole link as it was when a run of the script began. What a visitor chooses while
    the script runs is overwritten, and no later run restores it. So the page frame calls this at the end of each run:
    the value of every widget of this run that is bound to the link stands in the link, unless it is the default.
    `st.query_params` refuses to write parameters that are bound to a widget, therefore this uses what Streamlit's own
    widgets use: the bindings that they have registered, and the method with which they correct a parameter.
    """
    context = get_script_run_ctx()
    if context is None:  # outside a session, for instance where a test imports a page
        return
    with context.session_state.query_params() as parameters:
        state, on_page = context.session_state._state, context.shared.widget_ids_this_run
        for binding in list(parameters._bindings_by_widget.values()):
            if binding.widget_id not in on_page or parameters.has_param(binding.param_key):
                continue
            widget, value = state.get_widget_metadata(binding.widget_id), state[binding.param_key]
            if widget is not None and value != widget.deserializer(None):
                parameters.set_corrected_value(binding.param_key, widget.serializer(value), binding.value_type)


@cache
def figure_script() -> str:
    """The file name of the script of 5 MB with which Streamlit draws figures, so that a page can fetch it beforehand.

    "" where there is none: the browser then waits for it when the first figure comes.
    """
    folder = Path(streamlit.__file__).parent / "static/static/js"
    return next((file.name for file in folder.glob("PlotlyChart.*.js")), "")


def serve(script: str, port: int) -> None:
    """Serve a script on this computer alone, as `streamlit run` does; returns when the server ends."""
    from streamlit.web import cli  # imports the server, which pages do not need

    sys.argv = ["streamlit", "run", script, "--server.port", str(port), "--server.address", "127.0.0.1"]
    cli.main()
