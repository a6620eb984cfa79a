"""The trained examples and sweeps: `python -m aecore.zoo` trains what `pretrained/recipe.toml` lists and lacks.

Training happens in a work folder, resumable like any run; what is finished is published to pretrained/ without
its resume state and snapshots, in 12 or 16 bits a weight where the pictures agree.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from tqdm import tqdm

from . import data as datasets
from . import paths, tasks
from .data.base import DataSpec
from .inference import autoencode, encode, factors_of, first, require
from .measure import attribute_classifier, coverage, disentanglement, looked_at
from .models.base import Model
from .nn.pixel_distributions import bits
from .runs import sweeps
from .runs.files import write_text
from .runs.folder import Run
from .runs.library import create
from .runs.session import Session
from .training.loop import Training, evaluate
from .training.plan import Plan, Row

KEPT_PREVIEWS = 3
KEPT_ROWS = 120  # in the record of a published run; a quarter of that in a sweep
BINARISED = {
    "drawn": "0 or 1, drawn with the grey value as probability, anew at each step (dynamic binarisation)",
    "threshold": "0 or 1, split at one half",
}
FACTORED = 5000  # examples whose codes are scored against their known factors


def recipes(file: Path = paths.PRETRAINED / "recipe.toml") -> list[dict[str, Any]]:
    """The [[run]]s."""
    return tomllib.loads(file.read_text(encoding="utf-8"))["run"]


def same(run: Run, recipe: dict[str, Any]) -> bool:
    """Whether a run was made by this very recipe."""
    info = run.info
    return (
        info.model == recipe["model"]
        and run.entry.check(info.params) == run.entry.check(recipe["params"])
        and info.data == DataSpec(**recipe["data"])
        and info.plan == Plan(**recipe["plan"])
        and info.encoder == recipe.get("encoder", "")
    )


def train(recipe: dict[str, Any], work: Path) -> Run:
    """Train a recipe to the end in `work`, resuming an earlier attempt that was cut off."""
    path = work / recipe["id"]
    if (path / "run.json").exists() and not same(Run.open(path), recipe):
        shutil.rmtree(path)
    if (path / "run.json").exists():
        run = Run.open(path)
    else:
        run = create(
            recipe["model"],
            DataSpec(**recipe["data"]),
            recipe["params"],
            Plan(**recipe["plan"]),
            path=path,
            title=recipe["title"],
            encoder=recipe.get("encoder", ""),
        )
    if run.info.status != "done":
        with tqdm(total=1000, desc=recipe["id"], unit="‰") as bar:

            def show(row: Row, training: Training) -> None:
                bar.update(int(1000 * training.progress) - bar.n)

            status = Session(run).train(on_row=show)
        if status != "done":
            sys.exit(f"{recipe['id']}: {status}: {run.info.reason}")
    return run


def shrink(run: Run, file: Path, step: int | None = None) -> int:
    """Write a run's weights in as few bits as give the same pictures: within two grey levels of 255 in 500 test images.

    A model that draws pixel by pixel is compared by −log p of 200 test images, which must agree within 0.1 %. Its
    pictures cannot be compared: a probability that changes a little may flip one pixel, and all later ones depend on
    that.

    step: of a snapshot; by default the final weights.  Returns the bits of a weight: 12, 16 or 32.
    """
    model, test = run.model(step), run.data().test
    ids, allowed = first(test, 500), 1e-3 if model.sequential else 2 / 255

    def outputs(model: Model) -> np.ndarray:
        if model.sequential:
            return np.log(evaluate(model, test, 200)["nll"])[None]
        if "encode" in run.entry.abilities:
            return autoencode(model, test, ids)
        return require(model, "sample").sample(100, generator=torch.Generator().manual_seed(0)).numpy()

    full = outputs(model)
    for size in (12, 16):
        run.save_model(model, size, file, lean=True)
        difference = np.abs(outputs(Run(run.path, run.info).model(file=file)) - full)
        if difference.max() < allowed:
            return size
    run.save_model(model, 32, file, lean=True)
    return 32


def density_metrics(run: Run) -> dict[str, float]:
    """Metrics of a density over all held-out examples, as published ones are, in place of the first 2,000."""
    data = datasets.load(run.info.data)
    nll = evaluate(run.model(), data.test)["nll"]
    return {"test/nll": nll, "test/loss": nll, "bits per dimension": bits(nll, math.prod(data.shape))}


def card(run: Run) -> str:
    """The card of a trained example, from its run.json alone."""
    info = run.info
    binary = "binary" in info.params and info.params.get("values", "binary") == "binary"
    pixels = BINARISED[info.params["binary"]] if binary else ""
    published = datasets.info(info.data.name).published if info.data.name in datasets.SETS else ""
    settings = ", ".join(f"{name} {value}" for name, value in {**info.params, **info.plan.model_dump()}.items())
    settings += f"; the encoder of {info.encoder}, held" if info.encoder else ""
    seconds = run.heartbeat().get("seconds", 0)
    duration = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    examples = "all" if "density" in run.entry.abilities else f"the first {looked_at(info.shape):,}"
    lines = [
        f"# {info.title}",
        "",
        f"{run.entry.name}: {run.entry.idea} Source: {run.entry.source}.",
        "",
        f"- Data: {info.source}",
        f"- Settings: {settings}",
        *([f"- Pixels: {pixels}"] if pixels else []),
        *([f"- Published for a PixelCNN: {published}"] if pixels and published else []),
        f"- Trained in {duration} on {info.device} ({info.versions.get('threads')} thread, beside others); one seed",
        f"- Test figures: of {examples} held-out examples",
        *([f"- Terms: means of estimates from minibatches of {info.plan.batch}"] if run.entry.build.batchwise else []),
        "",
        "| test figure | value |",
        "|---|---|",
    ]
    figures = (f"| {name} | {value:{'.0f' if value.is_integer() else '.4g'}} |" for name, value in info.metrics.items())
    return "\n".join([*lines, *figures]) + "\n"


def spaced(steps: list[int], count: int) -> list[int]:
    """`count` of these steps, evenly spaced from the first to the last; only the last for 1, none for 0."""
    if count < 2:
        return steps[-1:] * count
    return sorted({steps[round(k * (len(steps) - 1) / (count - 1))] for k in range(count)})


def publish(run: Run, recipe: dict[str, Any], order: int, target: Path, previews: int = KEPT_PREVIEWS) -> None:
    """Copy what people look at to `target`: configuration, thinned rows, weights, some previews, the card.

    recipe: its "snapshots" is how many snapshots are kept, too.  order: the run's place in lists.
    """
    if target.exists():
        shutil.rmtree(target)
    (target / "preview").mkdir(parents=True)
    data = datasets.load(run.info.data)
    sizes = f"{len(data.train):,} training and {len(data.test):,} test images"
    source = f"{data.title}: {sizes}. {data.attribution}".strip()
    shown = DataSpec(**recipe["shown"]) if "shown" in recipe else None
    changes: dict[str, Any] = {"source": source, "shown": shown, "order": float(order)}
    if "density" in run.entry.abilities:
        changes["metrics"] = {**run.info.metrics, **density_metrics(run)}
    run = Run(run.path, run.info.model_copy(update=changes))
    published = Run(target, run.info)
    published.save(owner="")
    shrink(run, target / "weights.safetensors")
    rows, _ = run.rows()
    stride = max(1, len(rows) // (KEPT_ROWS if previews > 1 else KEPT_ROWS // 4))
    kept = [row for index, row in enumerate(rows) if index % stride == 0 or "test" in row]
    write_text(target / "rows.jsonl", "".join(json.dumps(tasks.short(row, 6)) + "\n" for row in kept))
    for step in spaced(run.steps("preview"), previews):
        shutil.copy(run.path / f"preview/{step}.png", target / "preview")
    if "snapshots" in recipe:
        (target / "snapshots").mkdir()
        for step in spaced(run.steps("snapshots"), recipe["snapshots"]):
            shrink(run, target / f"snapshots/{step}.safetensors", step)
    shutil.copy(run.path / "heartbeat.json", target / "heartbeat.json")
    write_text(target / "card.md", card(run))


def measured(run: Run) -> dict[str, float]:
    """A trained run's held-out metrics, with disentanglement scores or modes covered where the data know the truth."""
    metrics = dict(run.info.metrics)
    data = datasets.load(run.info.data)
    if data.factors and "encode" in run.entry.abilities:
        ids = first(data.test, FACTORED)
        factors = factors_of(data.test, ids)
        labels = data.test.labels
        named = () if labels is None else disentanglement.categorical(factors, labels[ids])
        metrics |= disentanglement.scores(encode(run.model(), data.test, ids), factors, named).numbers()
    if data.modes is not None and "sample" in run.entry.abilities:
        draws = require(run.model(), "sample").sample(10_000, generator=torch.Generator().manual_seed(0))
        modes = coverage.modes(draws, *data.modes)
        metrics |= {"modes covered": modes.covered, "draws near a mode": modes.near, "modes kept": modes.assigned}
    return metrics


def train_sweep(recipe: dict[str, Any], order: int, work: Path) -> None:
    """Train what a sweep lacks. Runs of its first `published` seeds are published; of others only metrics are kept."""
    known = {(row["value"], row["seed"]): row for row in sweeps.figures(recipe["id"])}
    for value, seed, single in sweeps.expand(recipe):
        target = sweeps.SWEEPS / recipe["id"] / single["id"]
        measured_before = (value, seed) in known and known[value, seed]["recipe"] == digest(single)
        published = seed < single.get("published", 1)
        up_to_date = not published or ((target / "run.json").exists() and same(Run.open(target), single))
        if measured_before and up_to_date:
            continue
        run = train(single, work)
        row = {"value": value, "seed": seed, "recipe": digest(single)}
        known[value, seed] = row | {name: round(number, 5) for name, number in measured(run).items()}
        if published:
            publish(run, single, order, target, previews=0)
        shutil.rmtree(run.path)
        lines = (json.dumps(known[key], ensure_ascii=False) for key in sorted(known, key=lambda key: key[::-1]))
        write_text(sweeps.SWEEPS / recipe["id"] / "figures.jsonl", "".join(f"{line}\n" for line in lines))
        print(f"{recipe['id']}: {recipe['vary']} = {value}, seed {seed}")


def digest(recipe: dict[str, Any]) -> str:
    """Digest of a recipe. Where it differs from the one in the figures, they are measured anew."""
    parts = {key: recipe[key] for key in ("model", "data", "params", "plan")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def studies(file: Path = paths.PRETRAINED / "recipe.toml") -> list[dict[str, Any]]:
    """The [[study]]s: results that the pages of tasks open with."""
    return tomllib.loads(file.read_text(encoding="utf-8")).get("study", [])


def main(
    ids: Annotated[list[str] | None, typer.Argument(metavar="ID", help="only these runs, sweeps and tasks")] = None,
    work: Annotated[Path, typer.Option(help="where training happens")] = Path("build/pretrained"),
) -> None:
    """Train the runs, sweeps and studies that pretrained/recipe.toml lists and pretrained/ lacks."""
    for order, recipe in enumerate(sweeps.recipes(), len(recipes())):
        if not ids or recipe["id"] in ids:
            train_sweep(recipe, order, work)
    for recipe in studies():
        if not ids or recipe["task"] in ids:
            compute_study(recipe)
    fit_attribute_classifiers()
    for order, recipe in enumerate(recipes()):
        if not ids or recipe["id"] in ids:
            train_run(recipe, order, work)


def compute_study(recipe: dict[str, Any]) -> None:
    """Compute and store the study of a task, unless it is stored already."""
    task, settings = recipe["task"], recipe["settings"]
    if tasks.stored(task, settings):
        return
    with tqdm(total=100, desc=task, unit="%") as bar:

        def show(fraction: float, doing: str) -> None:
            bar.update(int(100 * fraction) - bar.n)

        study = tasks.compute(task, settings, show)
    tasks.store(task, settings, study)


def fit_attribute_classifiers() -> None:
    """Fit and save the classifier of each data set that a listed run is conditioned on, where there is none."""
    specs = [DataSpec(**recipe["data"]) for recipe in recipes() if recipe["params"].get("attributes")]
    for spec in dict.fromkeys(specs):
        data = datasets.load(spec)
        if not attribute_classifier.path_of(data).exists():
            attribute_classifier.save(attribute_classifier.fit(data), attribute_classifier.path_of(data))


def train_run(recipe: dict[str, Any], order: int, work: Path) -> None:
    """Train and publish one run, unless pretrained/ has it from this very recipe."""
    target = paths.PRETRAINED / recipe["id"]
    if (target / "run.json").exists() and same(Run.open(target), recipe):
        print(f"{recipe['id']}: there already")
        return
    publish(train(recipe, work), recipe, order, target)
    print(f"{recipe['id']}: published")


if __name__ == "__main__":
    typer.run(main)
