"""What an earlier version of this project wrote and showed is still read, resumed and shown.

tests/fixtures/before/ was written once by that version and never changes:

    runs/            a folder of runs: some paused in the middle of their training, with the state to resume from; two
                     of a comparison; .studies/ with a study of a task
    runs.json        what the paused runs hold, and what they become when they are trained to their end
    sweep.json       what was gathered from the two runs of the comparison
    studies.json     settings and table of the study, and the settings of those that come with the project
    links.json       links of the pages, and what the widgets and components of each page then held
    pretrained.json  digests of the outputs of every model under pretrained/

A training, and the outputs of a model, are compared to the bit where torch and the processor are those that wrote the
fixtures, and to three digits elsewhere.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest
from threadpoolctl import threadpool_limits
from torch import Tensor

from aecore import tasks
from aecore.data.base import Batch
from aecore.jobs.analyses import Analyses
from aecore.jobs.queue import Queue
from aecore.measure import attribute_classifier
from aecore.models.base import Model
from aecore.paths import PRETRAINED
from aecore.runs import maps, sweeps
from aecore.runs.files import read_tensors
from aecore.runs.folder import Run
from aecore.runs.library import find
from aecore.runs.session import Session
from aecore.training.loop import evaluate
from app.browser.pack import unpack
from tests.naive import few
from tests.pages import app_at

ROOT = Path(__file__).resolve().parent.parent
BEFORE = ROOT / "tests/fixtures/before"
EXAMPLES = 5  # held-out examples whose codes and terms are compared


def recorded(name: str) -> Any:
    """The contents of one of the JSON files; an empty dictionary before it was written."""
    file = BEFORE / name
    return json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}


# --- numbers, to the bit or to three digits --------------------------------------------------------------------------


def machine() -> dict[str, str]:
    """What the last bits of a result depend on: the libraries, and the processor's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        flags = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    except OSError:
        flags = ""
    libraries = {name: version(name) for name in ("torch", "numpy", "scikit-learn", "pillow")}
    return {
        **libraries,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "instructions": hashlib.sha256(" ".join(sorted(flags.split())).encode()).hexdigest()[:16],
    }


def digest(value: Tensor | np.ndarray) -> dict[str, Any]:
    """{"sha256", "shape", "first"}: the digest of the bytes, and the first eight numbers to six digits.

    The numbers are compared where the machine is another one, on which the last bits may differ.
    """
    array = np.ascontiguousarray(torch.as_tensor(value).detach().cpu().numpy())
    array = array.astype(np.float32) if array.dtype.kind == "f" else array
    first = [float(f"{number:.6g}") for number in array.reshape(-1)[:8].tolist()]
    return {"sha256": hashlib.sha256(array.tobytes()).hexdigest(), "shape": list(array.shape), "first": first}


def assert_same(now: dict[str, Any], before: dict[str, Any], exact: bool) -> None:
    """Compare two dictionaries of digests, by name; what is new may be there, too."""
    assert not before.keys() - now.keys(), f"no longer there: {sorted(before.keys() - now.keys())}"
    for name, wanted in before.items():
        assert now[name]["shape"] == wanted["shape"], name
        np.testing.assert_allclose(now[name]["first"], wanted["first"], rtol=2e-3, atol=2e-4, err_msg=name)
        if exact:
            assert now[name]["sha256"] == wanted["sha256"], f"{name} differs in its last bits"


def assert_close(now: Any, before: Any, exact: bool, where: str = "") -> None:
    """Compare plain values, numbers in whatever they stand; what is new in a dictionary may be there, too."""
    if isinstance(before, dict):
        assert not before.keys() - now.keys(), f"{where}: no longer there: {sorted(before.keys() - now.keys())}"
        for name, value in before.items():
            assert_close(now[name], value, exact, f"{where}/{name}")
    elif isinstance(before, list | tuple):
        assert len(now) == len(before), f"{where}: {len(now)} instead of {len(before)}"
        for place, (one, other) in enumerate(zip(now, before, strict=True)):
            assert_close(one, other, exact, f"{where}/{place}")
    elif isinstance(before, float) and not exact:
        assert now == pytest.approx(before, rel=2e-3, abs=2e-4, nan_ok=True), where
    elif isinstance(before, float) and math.isnan(before):
        assert math.isnan(now), where
    else:
        assert now == before, where


# --- outputs of a model ---------------------------------------------------------------------------------------------


def batch_for(model: Any, n: int = 2) -> Batch:
    """n seeded random examples of the model's shape, with labels and attributes where it is conditioned on them."""
    generator = torch.Generator().manual_seed(20261128)
    x = torch.rand(n, *model.shape, generator=generator)
    labels = torch.arange(n) % model.classes if model.classes else None
    attributes = (torch.rand(n, model.attributes, generator=generator) < 0.5).float() if model.attributes else None
    return Batch(x, labels, attributes=attributes)


def terms_of(model: Model, batch: Batch) -> dict[str, Tensor]:
    """Every term of the objective at the end of a training, with seeded noise."""
    torch.manual_seed(7)
    with torch.no_grad():
        return dict(model.terms(batch, tuple(model.players(1.0))))


def outputs(model: Any, abilities: frozenset[str], terms: bool = True) -> dict[str, Tensor]:
    """What the model says of `batch_for`: codes, posteriors, images decoded and sampled, terms; on one thread.

    Images that are drawn pixel after pixel are left out: their terms, which see the true pixels, say as much.
    terms: leave them out for a snapshot.
    """
    batch, found = batch_for(model), {}
    sequential = "density" in abilities or model.sequential
    condition = batch.attributes if model.attributes else batch.y
    given = () if condition is None else (condition,)
    torch.manual_seed(0)
    with torch.inference_mode():
        if "encode" in abilities:
            found["code"] = model.encode(batch.x, *given) if model.attributes else model.encode(batch.x)
        if "posterior" in abilities and not model.attributes:
            posterior = model.posterior(batch.x)
            found["mean"], found["log variance"] = posterior.mu, posterior.logvar
        if "decode" in abilities and not sequential:
            size = (len(batch.x), model.code)
            z = (
                found["code"]
                if "encode" in abilities
                else torch.randn(size, generator=torch.Generator().manual_seed(1))
            )
            found["decoded"] = model.decode(z, *given)
        if "sample" in abilities and not sequential:
            found["sampled"] = model.sample(2, 1.0, torch.Generator().manual_seed(0))
        if hasattr(model, "responsibilities"):
            found["responsibilities"] = model.responsibilities(batch.x)
    if terms:
        found |= {f"term {name}": value for name, value in terms_of(model, batch).items()}
    return found


def fingerprint(model: Model, abilities: frozenset[str], terms: bool = True) -> dict[str, dict[str, Any]]:
    torch.set_num_threads(1)
    return {name: digest(value) for name, value in outputs(model, abilities, terms).items()}


def file_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


# --- pretrained -----------------------------------------------------------------------------------------------------

PRETRAINED_BEFORE = recorded("pretrained.json")


def weight_files() -> dict[str, str]:
    """Every file of weights under pretrained/, with its digest."""
    return {str(file.relative_to(PRETRAINED)): file_digest(file) for file in sorted(PRETRAINED.rglob("*.safetensors"))}


def judged() -> dict[str, dict[str, Any]]:
    """The outputs of the classifier of attributes that measures edits of faces."""
    reader = attribute_classifier.judge_of(find("vae-faces").data())
    x = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(20261128))
    with torch.inference_mode():
        attributes, nuisance, features = reader(x)
    return {"attributes": digest(attributes), "nuisance": digest(nuisance), "features": digest(features)}


def run_named(name: str) -> tuple[Run, int | None]:
    """The run of a name like "sweeps/layers/layers-1 at 1872", and the step of its snapshot."""
    path, _, step = name.partition(" at ")
    return Run.open(PRETRAINED / path), int(step) if step else None


def test_the_weight_files_are_those_that_were_published():
    now = weight_files()
    assert {name: now.get(name) for name in PRETRAINED_BEFORE["files"]} == PRETRAINED_BEFORE["files"]


@pytest.mark.parametrize("name", few(list(PRETRAINED_BEFORE.get("models", {})), ("vae-2d", "wgan-32", "dcec-10")))
def test_a_pretrained_model_says_what_it_said(name):
    run, step = run_named(name)
    before = PRETRAINED_BEFORE["models"][name]
    assert run.info.model == before["model"]
    now = fingerprint(run.model(step), run.entry.abilities, step is None)
    assert_same(now, before["outputs"], exact=PRETRAINED_BEFORE["machine"] == machine())


def test_the_classifier_of_attributes_says_what_it_said():
    assert_same(judged(), PRETRAINED_BEFORE["judge"], exact=PRETRAINED_BEFORE["machine"] == machine())


# --- runs: opened, and trained to their end -------------------------------------------------------------------------

RUNS_BEFORE = recorded("runs.json")


@pytest.fixture
def home(tmp_path, monkeypatch) -> Path:
    """A copy of the folder of runs, so that what a test does stays with it."""
    folder = tmp_path / "home"
    shutil.copytree(BEFORE / "runs", folder)
    monkeypatch.setenv("AECORE_RUNS", str(folder))
    return folder


def rows_of(run: Run) -> list[dict[str, Any]]:
    """The rows of a training without the seconds that it took."""
    return [{name: value for name, value in row.items() if name != "seconds"} for row in run.rows()[0]]


def weights_of(run: Run) -> list[str]:
    """The digest of every tensor of the trained weights, sorted: the names of the tensors do not count."""
    tensors, _ = read_tensors(run.path / "weights.safetensors")
    return sorted(digest(value)["sha256"] for value in tensors.values())


def looked_at(run: Run, step: int | None = None) -> dict[str, Any]:
    """What the run's model says of its first held-out examples, and of `batch_for`: numbers, and digests."""
    torch.set_num_threads(1)
    model: Any = run.model(step)
    split = run.data().test
    some = split.batch(torch.arange(EXAMPLES))
    with torch.inference_mode():
        codes = model.encode(some.x).tolist() if "encode" in run.entry.abilities else []
    return {
        "codes": codes,
        "terms": evaluate(model, split, EXAMPLES),
        "outputs": fingerprint(model, run.entry.abilities) if len(run.info.shape) == 3 else {},
    }


def without_likelihoods(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics without bounds and likelihoods, which are measured on other values and bear other names since."""
    renamed = ("elbo", "log p(x)", "cross-entropy + kl", "total correlation")
    return {name: value for name, value in metrics.items() if not name.startswith(renamed)}


def state_of(run: Run) -> dict[str, Any]:
    """Everything about a run that a page or a notebook reads, without times and devices."""
    info = run.info
    settings = info.model_dump(include={"title", "model", "params", "group", "owner", "status", "shape", "classes"})
    settings |= {"data": info.data.model_dump(), "plan": info.plan.model_dump(), "metrics": info.metrics}
    snapshots = run.steps("snapshots")
    return {
        "settings": json.loads(json.dumps(settings)),
        "beat": {name: run.heartbeat()[name] for name in ("progress", "epoch", "step")},
        "rows": rows_of(run),
        "snapshots": snapshots,
        "previews": run.steps("preview"),
        "weights": weights_of(run),
        "model": looked_at(run),
        "first snapshot": looked_at(run, snapshots[0])["codes"] if snapshots else [],
    }


def compare_runs(now: dict[str, Any], before: dict[str, Any], exact: bool) -> None:
    """Two results of `state_of`."""
    now, before = (json.loads(json.dumps(value)) for value in (now, before))
    metrics, metrics_before = now["settings"].pop("metrics"), before["settings"].pop("metrics")
    assert_close(without_likelihoods(metrics), without_likelihoods(metrics_before), exact)
    if "cross-entropy + kl" in metrics:
        assert_close(-metrics["cross-entropy + kl"], metrics_before["elbo"], exact)
    assert_same(now["model"].pop("outputs"), before["model"].pop("outputs"), exact)
    weights_now, weights_before = now.pop("weights"), before.pop("weights")
    assert_close(now, before, exact)
    assert len(weights_now) == len(weights_before)
    assert weights_now == weights_before or not exact, "the trained weights differ in their last bits"


@pytest.mark.parametrize("name", few(list(RUNS_BEFORE.get("runs", {})), ("before-vae", "before-aae")))
def test_a_run_that_was_paused_opens(home, name):
    before = RUNS_BEFORE["runs"][name]["paused"]
    compare_runs(state_of(find(name)), before, exact=RUNS_BEFORE["machine"] == machine())


@pytest.mark.parametrize("name", few(list(RUNS_BEFORE.get("runs", {})), ("before-vae", "before-aae")))
def test_a_run_that_was_paused_is_trained_on_as_if_it_had_never_stopped(home, name):
    """Weights, rows, figures and codes at the end are those of a training that was not interrupted."""
    run = find(name)
    assert Session(run).train("cpu") == "done", run.info.reason
    assert not (run.path / "resume").exists()
    compare_runs(state_of(run), RUNS_BEFORE["runs"][name]["done"], exact=RUNS_BEFORE["machine"] == machine())


def test_a_map_that_was_stored_with_a_run_is_found(home):
    before = RUNS_BEFORE["map"]
    points = maps.stored(find(before["run"]), before["method"], before["n"], before["split"])
    assert points is not None
    assert_same({"points": digest(points)}, {"points": before["points"]}, exact=True)


# --- a study, and a comparison --------------------------------------------------------------------------------------

STUDIES_BEFORE = recorded("studies.json")
SWEEP_BEFORE = recorded("sweep.json")


def test_the_study_that_a_visitor_asked_for_is_found(home):
    before, analyses = STUDIES_BEFORE["asked"], Analyses(home)
    found = tasks.stored(before["task"], before["settings"], analyses.studies)
    assert found is not None and found == before["found"]
    assert tasks.rows(before["task"], found) == before["rows"]
    assert analyses.study(before["task"], before["settings"]).state == "done"


@pytest.mark.parametrize("place", range(len(STUDIES_BEFORE.get("bundled", []))))
def test_a_study_that_comes_with_the_project_is_found(place):
    before = STUDIES_BEFORE["bundled"][place]
    found = tasks.stored(before["task"], before["settings"])
    assert found is not None, before
    assert tasks.rows(before["task"], found) == before["rows"]


def gathered(sweep: sweeps.Sweep) -> dict[str, Any]:
    """A comparison as plain values."""
    rows = [without_likelihoods(row) for row in sweep.figures]
    figures = [{key: value for key, value in row.items() if key != "recipe"} for row in rows]
    plain = {
        "id": sweep.id,
        "title": sweep.title,
        "vary": sweep.vary,
        "values": sweep.values,
        "runs": [run.info.id for run in sweep.runs],
        "figures": figures,
    }
    return json.loads(json.dumps(plain))


def test_a_comparison_that_was_trained_is_gathered(home):
    before = SWEEP_BEFORE["own"]
    now = sweeps.gathered(before["gathered"]["id"], Queue(home).listing())
    then = before["gathered"] | {"figures": [without_likelihoods(row) for row in before["gathered"]["figures"]]}
    assert_close(gathered(now), then, exact=True)
    for run, looks in zip(now.runs, before["models"], strict=True):
        exact = SWEEP_BEFORE["machine"] == machine()
        again = looked_at(run)
        assert_same(again.pop("outputs"), looks["outputs"], exact)
        assert_close(json.loads(json.dumps(again)), {k: v for k, v in looks.items() if k != "outputs"}, exact)


@pytest.mark.parametrize("identity", SWEEP_BEFORE.get("bundled", {}))
def test_a_comparison_that_comes_with_the_project_is_gathered(identity):
    before = SWEEP_BEFORE["bundled"][identity]
    now = gathered(sweeps.sweep(identity))
    assert hashlib.sha256(json.dumps(now.pop("figures"), sort_keys=True).encode()).hexdigest() == before["figures"]
    assert_close(now, {key: value for key, value in before.items() if key != "figures"}, exact=True)


# --- links ----------------------------------------------------------------------------------------------------------

LINKS_BEFORE = recorded("links.json")
WIDGETS = (
    "selectbox",
    "slider",
    "select_slider",
    "number_input",
    "toggle",
    "button_group",
    "multiselect",
    "text_input",
)
STATE = ("state", "chosen", "start", "class_names")  # of what a component is told; pictures stand in its sections


def opened(page: str, link: dict[str, Any]) -> AppTest:
    """The page of this name as the link opens it, in the whole app."""
    return app_at(page, link, seconds=120).run()


def component(packed: bytes) -> dict[str, Any]:
    """What a component is told: its state, and a digest of every array or picture that it draws."""
    meta, sections = unpack(packed)
    told = {name: meta[name] for name in STATE if meta.get(name)}
    if "home" in sections:  # the scrubber: each unit's place
        places = np.round(np.asarray(sections["start"], float), 4).tolist()
        told["units"] = dict(zip(meta["names"], places, strict=True))
    told |= {name: len(meta[name]) for name in ("steps", "panes") if isinstance(meta.get(name), list)}
    raw = {name: value if isinstance(value, bytes) else value.tobytes() for name, value in sections.items()}
    digests = {name: hashlib.sha256(value).hexdigest()[:16] for name, value in raw.items()}
    return {"told": json.loads(json.dumps(told)), "sections": digests}


def numbers_in(figure: str) -> list[str]:
    """A digest of every array of numbers in a figure of plotly's, given as JSON."""
    arrays = [trace.get(axis) for trace in json.loads(figure)["data"] for axis in ("x", "y", "z")]
    texts = [
        array["bdata"] if isinstance(array, dict) else json.dumps(array)
        for array in arrays
        if isinstance(array, dict) or (array and not any(isinstance(value, str) for value in array))
    ]
    return [hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]


def shown(at: AppTest) -> dict[str, Any]:
    """What a page shows: its widgets with their values, its components with their state, troubles, and its link.

    {"title", "widgets": {key: {"label", "value"}}, "components": {key: {"component", "told", "sections"}},
    "images": [name made of the picture's bytes, …], "figures": [digest of an array, …], "tables": [rows, …],
    "errors": [text, …], "warnings": how many, "link": {name: value}}
    """
    assert not at.exception, at.exception[0].value
    found: list[Any] = [widget for kind in WIDGETS for widget in at.get(kind) if widget.key]
    widgets = {
        widget.key: {"label": widget.label, "value": list(value) if isinstance(value, tuple) else value}
        for widget, value in ((widget, widget.value) for widget in found)
    }
    components = {}
    drawn, pictures, figures = (list[Any](at.get(kind)) for kind in ("bidi_component", "image", "plotly_chart"))
    for element in drawn:
        proto = element.proto
        if proto.bytes:
            key = proto.id.split("-", 2)[-1]
            components[key] = {"component": proto.component_name.rpartition(".")[2], **component(proto.bytes)}
    page = {
        "title": at.title[0].value if at.title else "",
        "widgets": widgets,
        "components": components,
        "images": [image.url.rpartition("/")[2] for element in pictures for image in element.proto.imgs],
        "figures": [name for element in figures for name in numbers_in(element.proto.spec)],
        "tables": [element.value.to_numpy().tolist() for element in at.dataframe],
        "errors": [error.value for error in at.error],
        "warnings": len(at.warning),
        "link": {name: at.query_params[name] for name in at.query_params},
    }
    return json.loads(json.dumps(page))


REMEASURED = ("importance",)
"""Links whose pictures show other values since: a decoder of black and white pixels is asked for a likelihood of images
that are split at one half, and the estimates stand there with their spread."""

MENDED = {
    ("regularizers", "regularizers.sheet"): "The first run showed seed 0, whatever seed the link named.",
    ("importance", "importance.sheet"): "The image is split at one half, as Bernoulli pixels need it.",
}
"""What is drawn otherwise on purpose: (name of the link, key of the component) and the reason."""

LINKS = pytest.mark.parametrize("before", LINKS_BEFORE.get("links", []), ids=lambda before: before["name"])


@pytest.fixture(scope="module")
def visited(tmp_path_factory) -> tuple[Path, dict[str, dict[str, Any]]]:
    """A folder of runs that all links share, and what was shown already, by the link's name."""
    folder = tmp_path_factory.mktemp("links") / "home"
    shutil.copytree(BEFORE / "runs", folder)
    return folder, {}


@pytest.fixture
def page_of(visited, monkeypatch) -> Callable[[dict[str, Any]], dict[str, Any]]:
    """What a link shows now; each page is opened once for both tests."""
    folder, known = visited
    monkeypatch.setenv("AECORE_RUNS", str(folder))

    def look(before: dict[str, Any]) -> dict[str, Any]:
        if before["name"] not in known:
            with threadpool_limits(1):  # sums over several threads differ in their last bits
                known[before["name"]] = shown(opened(before["page"], before["link"]))
        return known[before["name"]]

    return look


def holds(now: dict[str, Any], before: dict[str, Any]) -> bool:
    """Whether a component is told all that another was told."""
    try:
        assert_close(now, before, exact=False)
    except AssertionError:
        return False
    return True


@pytest.mark.slow
@LINKS
def test_a_link_opens_what_it_opened(page_of, before):
    """Widgets have the values that the link gives them, components its state, and the link keeps what it said."""
    now = page_of(before)
    assert now["errors"] == before["errors"] and now["warnings"] == before["warnings"]
    assert now["title"] == before["title"] or before["page"] != "run"
    for key, widget in before["widgets"].items():
        assert key in now["widgets"], f"{widget['label']} ({key}) is not on the page"
        value = now["widgets"][key]["value"]
        if isinstance(value, int) and isinstance(widget["value"], str):
            value = str(value)  # an option that was a text is a number now; in the link both read the same
        assert_close(value, widget["value"], True, widget["label"])
    for key, part in before["components"].items():
        like = [one["told"] for one in now["components"].values() if one["component"] == part["component"]]
        assert any(holds(told, part["told"]) for told in like), f"no {part['component']} has {part['told']} ({key})"
    if "tables" in before:
        assert_close(now["tables"], before["tables"], exact=False)
    for name, value in before["kept"].items():
        assert now["link"].get(name) == value, f"the link has lost {name}"


@pytest.mark.slow
@LINKS
def test_a_link_shows_the_pictures_that_it_showed(page_of, before):
    """Every picture, every array of a figure, and all that a component is handed to draw is there, to the bit."""
    if LINKS_BEFORE["machine"] != machine():
        pytest.skip("Pictures are compared to the bit, which needs the libraries and the processor of the fixtures.")
    now = page_of(before)
    components = now["components"].values()
    parts = {(one["component"], part) for one in components for part in one["sections"].values()}
    for key, one in before["components"].items():
        if (before["name"], key) in MENDED:
            continue
        missing = [name for name, part in one["sections"].items() if (one["component"], part) not in parts]
        assert not missing, f"{key} is handed other {', '.join(missing)}"
    for kind in () if before["name"] in REMEASURED else ("images", "figures"):
        missing = [name for name in before[kind] if name not in now[kind]]
        assert not missing, f"{len(missing)} of {len(before[kind])} {kind} differ"
