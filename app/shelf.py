"""What the pages share: the visitor, the queue, and the runs with their models and data.

Cached models and data belong to all visitors: nothing here or in a page may change them.
"""

from __future__ import annotations

import atexit
import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import streamlit as st

from aecore import CATALOG, DataError, Diverged, FieldError, Run, RunError, jobs, runs
from aecore import data as datasets
from aecore.data.base import Data, DataSpec
from aecore.models.base import Model
from app import controls, link
from app.browser import copy_link, identity
from app.link import settle_run as settle
from app.link import wanted_run as wanted

VERSION = link.VERSION


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """An error that a visitor can mend is a sentence on the page; anything else fails loudly."""
    try:
        yield
    except (DataError, Diverged, FieldError, RunError, jobs.Forbidden) as error:
        st.error(str(error), icon=":material/error:")


# --- the visitor --------------------------------------------------------------------------------------------


def greet() -> None:
    """Ask the browser who is looking; once in each run of the script, in the page frame."""
    token = identity(key="identity")
    if token:
        st.session_state["visitor"] = jobs.digest(token)


def visitor() -> str:
    """Digest of this browser's token: the owner of the runs started here. Empty until the browser has answered."""
    return st.session_state.get("visitor", "")


LOOK = """<style>
/* Cards in as many columns as fit, and the two halves of a page side by side only where both have room. */
.st-key-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 17rem), 1fr)); gap: 1.2rem; }
.st-key-cards > div, .st-key-cards > div > div { width: 100%; height: 100%; }
[class*="st-key-halves"] > [data-testid="stLayoutWrapper"] > [data-testid="stHorizontalBlock"] >
  [data-testid="stColumn"],
[class*="st-key-halves"] > [data-testid="stHorizontalBlock"] > [data-testid="stColumn"] { min-width: min(100%, 25rem); }
[data-testid="stLatex"] .katex-display { overflow-x: auto; overflow-y: hidden; padding: .2rem 0; }
</style>"""


def look() -> None:
    """The little that the theme cannot say."""
    st.html(LOOK)


def share(label: str = "Copy the link to this view") -> None:
    """The button that copies this view's link."""
    with st.container(horizontal=True, horizontal_alignment="right"):
        copy_link(key="copy-link", label=label)


# --- runs ---------------------------------------------------------------------------------------------------


def queue() -> jobs.Queue:
    """The one queue of this server; made at the first page, and ended with the server."""
    return _queue(str(runs.root()))


@st.cache_resource(show_spinner=False)
def _queue(folder: str) -> jobs.Queue:
    jobs.one_thread()
    made = jobs.Queue(Path(folder)).start()
    atexit.register(made.close)
    return made


def all_runs() -> list[Run]:
    """Pretrained first, in their order, then the visitors' runs, newest first."""
    return [run for run in queue().listing(pretrained=True) if run.info.model in CATALOG]


def unreadable() -> dict[str, str]:
    """Folders among the runs that cannot be shown, with the reason."""
    unknown = {
        run.info.id: f"It holds a model {run.info.model!r}, which this version does not know."
        for run in queue().listing()
        if run.info.model not in CATALOG
    }
    return {**queue().broken(), **unknown}


def mine(run: Run) -> bool:
    """Whether this visitor may stop, rename or delete it."""
    return queue().may_change(run, visitor()) and bool(visitor())


def rename(run: Run, title: str) -> None:
    """Give an own run another title."""
    title = " ".join(title.split())[:80]
    if title and mine(run):
        run.save(title=title)


@st.cache_resource(max_entries=12, show_spinner="Loading the model …")
def _model(folder: str, identity: str, stamp: float, step: int | None) -> Model:
    return runs.find(identity).model(step)


def model(run: Run, step: int | None = None) -> Model:
    """The run's model on the CPU, shared by all visitors; the newest weights of a run that still trains."""
    file = run.path / "weights.safetensors"
    return _model(str(runs.root()), run.info.id, file.stat().st_mtime if file.exists() else 0.0, step)


@st.cache_resource(max_entries=6, show_spinner="Loading the data …")
def _data(spec: str) -> Data:
    return datasets.load(DataSpec.model_validate_json(spec))


def load(spec: DataSpec) -> Data:
    """The data, shared by all visitors."""
    return _data(spec.model_dump_json())


def data(run: Run) -> Data:
    """What to look at it with."""
    return load(run.info.shown or run.info.data)


@st.cache_data(ttl=10, show_spinner=False)
def sets() -> dict[str, datasets.Info]:
    """The named data sets, and whether they are here; looked up on the disk now and then."""
    return datasets.names()


def data_title(spec: DataSpec) -> str:
    """What people call the data of a run."""
    if spec.name == datasets.OWN:
        return "own pictures"
    return sets()[spec.name].title.split(" (")[0] if spec.name in sets() else spec.name


def has_weights(run: Run) -> bool:
    return (run.path / "weights.safetensors").exists()


# --- which run a page is about ------------------------------------------------------------------------------


def choose(needs: str = "encode", label: str = "Autoencoder", attributes: bool = False) -> Run:
    """The run this page is about: a box to choose it, `run` in the link. Stops the page where there is none.

    needs: an ability ("encode", "decode", "sample", …) that the model must have, "sample|decode" for one of two.
    attributes: whether its data must have attributes.
    """
    wanted_abilities = set(needs.split("|"))
    able = {run.info.id: run for run in all_runs() if wanted_abilities & run.entry.abilities and has_weights(run)}
    if attributes:
        able = {identity: run for identity, run in able.items() if datasets.has_attributes(run.info.data)}
    if not able:
        st.info("Nothing is trained yet for this page. Train an autoencoder first: it takes a moment.")
        st.page_link("views/train.py", label="Go to Train", icon=":material/model_training:")
        st.stop()
    identity = wanted()
    if identity not in able:
        if identity:
            try:
                run = runs.find(identity)
                why = "has no weights yet" if not has_weights(run) else "cannot be shown on this page"
                problem = f"{run.info.title} {why}"
            except RunError as error:
                problem = str(error).rstrip(".")
            st.warning(f"{problem}. Showing another one.", icon=":material/info:")
        identity = next(iter(able))
    settle(identity)
    st.session_state["run-box"] = identity
    st.selectbox(
        label,
        list(able),
        format_func=names(able.values()).__getitem__,
        key="run-box",
        on_change=lambda: settle(st.session_state["run-box"]),
    )
    return able[identity]


def settings(run: Run) -> dict[str, str]:
    """The query with which the Train page opens with everything of this run filled in."""
    return controls.train_query(run.entry, run.info.params, run.info.plan, run.info.data)


STATES = {
    "queued": "waiting", "running": "training", "paused": "paused", "stopped": "stopped early", "failed": "failed",
}  # fmt: skip


def names(some: Iterable[Run]) -> dict[str, str]:
    """What to call each of these in a box, by id: those of one name get their id, since a box tells them by the text.

    Two options that read the same are one to the browser, which may then answer with the other run.
    """
    called = {run.info.id: name(run) for run in some}
    count = Counter(called.values())
    return {identity: f"{text} · {identity}" if count[text] > 1 else text for identity, text in called.items()}


def name(run: Run) -> str:
    """What people call it: its title, and how it stands if that matters."""
    state = STATES.get(run.info.status)
    return run.info.title + (f" – {state}" if state else "")
