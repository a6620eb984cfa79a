"""The runs that the pages show, with their models and data.

Models and data are loaded once for all visitors, so no page may change them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from aecore import CATALOG, Run
from aecore import data as datasets
from aecore.data.base import Data, DataSpec, Split
from aecore.errors import RunError
from aecore.models.base import Model
from aecore.nn.distributions import StandardNormal
from aecore.paths import root
from aecore.runs.library import find
from app.caching import remember, share
from app.session import may_change, queue

# --- runs ---------------------------------------------------------------------------------------------------


def all_runs() -> list[Run]:
    """The pretrained runs in their order, then the visitors' runs, the newest first."""
    return [run for run in queue().listing(pretrained=True) if run.info.model in CATALOG]


def unreadable() -> dict[str, str]:
    """Folders that cannot be shown as runs, with the reasons: {name of the folder: reason}."""
    unknown = {
        run.info.id: f"It holds a model {run.info.model!r}, which this version does not know."
        for run in queue().listing()
        if run.info.model not in CATALOG
    }
    return {**queue().broken(), **unknown}


def rename(run: Run, title: str) -> None:
    """Give a run another title, where this visitor may."""
    title = " ".join(title.split())[:80]
    if title and may_change(run):
        run.save(title=title)


@share(max_entries=12, show_spinner="Loading the model …")
def _model(folder: str, identity: str, stamp: float, step: int | None) -> Model:
    return find(identity).model(step)


def model(run: Run, step: int | None = None) -> Model:
    """The run's model on the CPU, shared by all visitors, with its newest weights.

    step: take the weights of this snapshot instead.
    """
    file = run.path / "weights.safetensors"
    return _model(str(root()), run.info.id, file.stat().st_mtime if file.exists() else 0.0, step)


@share(max_entries=6, show_spinner="Loading the data …")
def _data(spec: str) -> Data:
    return datasets.load(DataSpec.model_validate_json(spec))


def load(spec: DataSpec) -> Data:
    """These data, shared by all visitors; DataError where they cannot be read."""
    return _data(spec.model_dump_json())


def data(run: Run) -> Data:
    """The data on which a run is shown: those it was trained on, or smaller ones in their place."""
    return load(run.info.shown or run.info.data)


@remember(ttl=10)
def sets() -> dict[str, datasets.Info]:
    """The named data sets, and whether they are on this computer; looked up again every ten seconds."""
    return datasets.names()


def data_title(spec: DataSpec) -> str:
    """The title of these data, without what stands in parentheses."""
    if spec.name == datasets.OWN:
        return "own pictures"
    return sets()[spec.name].title.split(" (")[0] if spec.name in sets() else spec.name


def has_weights(run: Run) -> bool:
    """Whether a run has been trained far enough to have weights."""
    return (run.path / "weights.safetensors").exists()


def known_run(identity: str) -> Run | None:
    """The run of this id, None where there is none."""
    try:
        return find(identity)
    except RunError:
        return None


# --- what runs are called -------------------------------------------------------------------------------------------

STATES = {
    "queued": "waiting",
    "running": "training",
    "paused": "paused",
    "stopped": "stopped early",
    "failed": "failed",
}
"""How a run is called that has not been trained to its end."""


def name(run: Run) -> str:
    """The title of a run, and its state where it has not been trained to its end."""
    state = STATES.get(run.info.status)
    return run.info.title + (f" – {state}" if state else "")


def names(runs: Iterable[Run]) -> dict[str, str]:
    """The names of runs as options of a box, by id. Runs of the same name are told apart by their ids.

    Two options that read the same are one to the browser, which may then answer with the other run.
    """
    called = {run.info.id: name(run) for run in runs}
    count = Counter(called.values())
    return {identity: f"{text} · {identity}" if count[text] > 1 else text for identity, text in called.items()}


# --- the data and the prior of a run --------------------------------------------------------------------------------


def held_out(run: Run) -> Split:
    """The held-out examples of a run's data."""
    return data(run).test


def training_split(run: Run) -> Split:
    """The training examples of a run's data."""
    return data(run).train


def has_gaussian_prior(run: Run) -> bool:
    """Whether the prior of a run's model is N(0, I)."""
    return isinstance(getattr(model(run), "prior", None), StandardNormal)


def class_names(run: Run) -> list[str]:
    """The names of the classes, by label; empty where the held-out examples have no labels."""
    names, labels = data(run).classes, data(run).test.labels
    if labels is None or not len(labels):
        return []
    return [str(name) for name in names or range(int(labels.max()) + 1)]


def label_of(run: Run, example: int, split: str = "test") -> str:
    """The name of an example's class, "" where it has none.  split: "test" or "train"."""
    labels, names = getattr(data(run), split).labels, class_names(run)
    return names[int(labels[example])] if names and labels is not None else ""


def image_title(run: Run, example: int, split: str = "test") -> str:
    """What an image is called: ‘image 12, “7”’.  split: "test" or "train"."""
    label = label_of(run, example, split)
    return f"image {example}" + (f", “{label}”" if label else "")
