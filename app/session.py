"""The visitor, the server's one queue, and what this visitor may do."""

from __future__ import annotations

import atexit
import contextlib
from collections.abc import Iterator
from typing import NamedTuple

import streamlit as st

from aecore import DataError, Diverged, FieldError, Run, RunError
from aecore.device import one_thread
from aecore.errors import Forbidden
from aecore.jobs.analyses import Analyses
from aecore.jobs.queue import Queue, digest
from aecore.jobs.supervisor import Supervisor
from aecore.paths import root
from app.browser import identity


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """An error that a visitor can mend is a sentence on the page; anything else fails loudly."""
    try:
        yield
    except (DataError, Diverged, FieldError, RunError, Forbidden) as error:
        st.error(str(error), icon=":material/error:")


def greet() -> None:
    """Ask the browser who is looking; once in each run of the script, in the page frame."""
    token = identity(key="identity")
    if token:
        st.session_state["visitor"] = digest(token)


def visitor() -> str:
    """Digest of this browser's token: the owner of the runs started here. Empty until the browser has answered."""
    return st.session_state.get("visitor", "")


STYLE = """<style>
/* Cards in as many columns as fit, and the two halves of a page side by side only where both have room. */
.st-key-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.2rem; }
.st-key-cards > div, .st-key-cards > div > div { width: 100%; height: 100%; }
[class*="st-key-halves"] > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] >
  [data-testid="stColumn"],
[class*="st-key-halves"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: min(100%, 25rem); }
[data-testid="stLatex"] .katex-display { overflow-x: auto; overflow-y: hidden; padding: .2rem 0; }
</style>"""


def apply_style() -> None:
    """The little that the theme cannot say."""
    st.html(STYLE)


class Server(NamedTuple):
    """What all visitors of this server share."""

    queue: Queue
    analyses: Analyses
    supervisor: Supervisor


def server() -> Server:
    """The queue, the analyses and the supervisor of this server: made at the first page, ended with the server."""
    return _server(str(root()))


@st.cache_resource(show_spinner=False)
def _server(folder: str) -> Server:
    one_thread()
    queue = Queue(folder)
    supervisor = Supervisor(queue).start()
    atexit.register(supervisor.close)
    return Server(queue, supervisor.analyses, supervisor)


def queue() -> Queue:
    """The queue of this server."""
    return server().queue


def analyses() -> Analyses:
    """The analyses that were asked for on this server."""
    return server().analyses


def may_change(run: Run) -> bool:
    """Whether this visitor may stop, rename or delete it."""
    return queue().may_change(run, visitor()) and bool(visitor())
