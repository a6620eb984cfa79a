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
from app.browser.identity import identity
from app.caching import share


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Show an error that a visitor can mend as a sentence on the page. Any other error is raised."""
    try:
        yield
    except (DataError, Diverged, FieldError, RunError, Forbidden) as error:
        st.error(str(error), icon=":material/error:")


def greet() -> None:
    """Ask the browser for this visitor's token: once in each run of the script, in the page frame."""
    token = identity(key="identity")
    if token:
        st.session_state["visitor"] = digest(token)


def visitor() -> str:
    """Digest of this browser's token, which owns the runs that it starts; "" until the browser has answered."""
    return st.session_state.get("visitor", "")


STYLE = """<style>
/* Cards stand in as many columns as fit. The two halves of a page stand side by side only where both have room. */
.st-key-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.2rem; }
.st-key-cards > div, .st-key-cards > div > div { width: 100%; height: 100%; }
[class*="st-key-halves"] > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] >
  [data-testid="stColumn"],
[class*="st-key-halves"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: min(100%, 25rem); }
[data-testid="stLatex"] .katex-display { overflow-x: auto; overflow-y: hidden; padding: .2rem 0; }
</style>"""


def apply_style() -> None:
    """Add the rules that Streamlit's theme does not offer."""
    st.html(STYLE)


class Server(NamedTuple):
    """What all visitors of this server share: the queue, the analyses that it computes, and who keeps workers alive."""

    queue: Queue
    analyses: Analyses
    supervisor: Supervisor


def server() -> Server:
    """Made when the first page is opened; the supervisor ends with the server."""
    return _server(str(root()))


@share()
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
    """The slow maps and studies that pages have asked for."""
    return server().analyses


def may_change(run: Run) -> bool:
    """Whether this visitor may stop, rename or delete this run."""
    return queue().may_change(run, visitor())
