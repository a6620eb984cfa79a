"""What the pages share: the visitor, the queue, and the runs with their models and data.

Cached models and data belong to all visitors: nothing here or in a page may change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import streamlit as st

from aecore import CATALOG, Run
from aecore import data as datasets
from aecore.data.base import Data, DataSpec
from aecore.errors import RunError
from aecore.models.base import Model
from aecore.nn.distributions import StandardNormal
from aecore.paths import root
from aecore.runs.library import find
from app.session import may_change, queue

# --- the visitor --------------------------------------------------------------------------------------------


# --- runs ---------------------------------------------------------------------------------------------------


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


def rename(run: Run, title: str) -> None:
    """Give an own run another title."""
    title = " ".join(title.split())[:80]
    if title and may_change(run):
        run.save(title=title)


@st.cache_resource(max_entries=12, show_spinner="Loading the model …")
def _model(folder: str, identity: str, stamp: float, step: int | None) -> Model:
    return find(identity).model(step)


def model(run: Run, step: int | None = None) -> Model:
    """The run's model on the CPU, shared by all visitors; the newest weights of a run that still trains."""
    file = run.path / "weights.safetensors"
    return _model(str(root()), run.info.id, file.stat().st_mtime if file.exists() else 0.0, step)


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


STATES = {
    "queued": "waiting",
    "running": "training",
    "paused": "paused",
    "stopped": "stopped early",
    "failed": "failed",
}


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


def held_out(run: Run):
    """The held-out images of a run's data."""
    return data(run).test


def training_split(run: Run):
    return data(run).train


def has_gaussian_prior(run: Run) -> bool:
    """Whether codes are drawn from N(0, I), or pretend to be."""
    return isinstance(getattr(model(run), "prior", None), StandardNormal)


def class_names(run: Run) -> list[str]:
    """The names of the labels, as far as the held-out images have any."""
    names, labels = data(run).classes, data(run).test.labels
    if labels is None or not len(labels):
        return []
    return [str(name) for name in names or range(int(labels.max()) + 1)]


def label_of(run: Run, example: int, half: str = "test") -> str:
    """The class of an image in words, or ""."""
    labels, names = getattr(data(run), half).labels, class_names(run)
    return names[int(labels[example])] if names and labels is not None else ""


def image_title(run: Run, example: int, half: str = "test") -> str:
    """ "image 12, “7”" """
    label = label_of(run, example, half)
    return f"image {example}" + (f", “{label}”" if label else "")


def latest(run: Run) -> Run:
    """The same run as it is on the disk now."""
    return queue().get(run.info.id)


def known_run(identity: str) -> Run | None:
    try:
        return find(identity)
    except RunError:
        return None
