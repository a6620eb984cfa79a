"""The trained examples and sweeps: `python -m aecore.zoo` trains what `pretrained/recipe.toml` lists and lacks.

Training happens in a work folder, resumable like any run; what is finished is published to pretrained/ without
its resume state and snapshots, in 12 or 16 bits a weight where the pictures agree.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import shutil
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from aecore.runs.library import create
from aecore.runs.session import Session

from . import data as datasets
from . import paths, tasks
from .data.base import DataSpec
from .inference import autoencode, encode, factors_of, first
from .measure import attribute_classifier, coverage, disentanglement, looked_at
from .models.base import Model
from .nn.pixel_distributions import bits
from .runs import sweeps
from .runs.files import write_text
from .runs.folder import Run
from .training.loop import evaluate
from .training.plan import Plan

KEPT_PREVIEWS = 3
KEPT_ROWS = 120  # of a run of a sweep a quarter
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
    """Train to the end in `work`, going on where an earlier attempt was cut off."""
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
            status = Session(run).train(on_row=lambda row, training: bar.update(int(1000 * training.progress) - bar.n))
        if status != "done":
            sys.exit(f"{recipe['id']}: {status}: {run.info.reason}")
    return run


def shrink(run: Run, file: Path, step: int | None = None) -> int:
    """Write a run's weights in as few bits as give the same pictures: within two grey levels of 255 in 500 test images.

    Of a model that draws pixel by pixel a chance that moves by a hair may turn one pixel, and all after it are drawn
    anew: there −log p of 200 test images must be the same within 0.1 %.

    step: of a snapshot.  Gives the bits of a weight: 12, 16 or 32.
    """
    model, test = run.model(step), run.data().test
    ids, allowed = first(test, 500), 1e-3 if model.sequential else 2 / 255

    def look(model: Model) -> np.ndarray:
        if model.sequential:
            return np.log(evaluate(model, test, 200)["nll"])[None]
        if "encode" in run.entry.abilities:
            return autoencode(model, test, ids)
        return model.sample(100, generator=torch.Generator().manual_seed(0)).numpy()

    full = look(model)
    for size in (12, 16):
        run.save_model(model, size, file, lean=True)
        apart = np.abs(look(Run(run.path, run.info).model(file=file)) - full)
        if apart.max() < allowed:
            return size
    run.save_model(model, 32, file, lean=True)
    return 32


def whole(run: Run) -> dict[str, float]:
    """Figures of a density over all held-out examples, as published ones are, in place of the first 2,000."""
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
    took = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    looked = "all" if "density" in run.entry.abilities else f"the first {looked_at(info.shape):,}"
    lines = [
        f"# {info.title}",
        "",
        f"{run.entry.name}: {run.entry.idea} Source: {run.entry.source}.",
        "",
        f"- Data: {info.source}",
        f"- Settings: {settings}",
        *([f"- Pixels: {pixels}"] if pixels else []),
        *([f"- Published for a PixelCNN: {published}"] if pixels and published else []),
        f"- Trained in {took} on {info.device} ({info.versions.get('threads')} thread, beside others); one seed",
        f"- Test figures: of {looked} held-out examples",
        "",
        "| test figure | value |",
        "|---|---|",
    ]
    figures = (f"| {name} | {value:.4g} |" for name, value in info.metrics.items())
    return "\n".join([*lines, *figures]) + "\n"


def spaced(steps: list[int], count: int) -> list[int]:
    """`count` of these, the first and the last among them; the last alone for 1, none for 0."""
    if count < 2:
        return steps[-1:] * count
    return sorted({steps[round(k * (len(steps) - 1) / (count - 1))] for k in range(count)})


def publish(run: Run, recipe: dict[str, Any], place: int, target: Path, previews: int = KEPT_PREVIEWS) -> None:
    """Copy what people look at into pretrained/: configuration, thinned rows, weights, some previews, the card.

    recipe: with "snapshots", so many of these are kept, too.
    """
    if target.exists():
        shutil.rmtree(target)
    (target / "preview").mkdir(parents=True)
    data = datasets.load(run.info.data)
    sizes = f"{len(data.train):,} training and {len(data.test):,} test images"
    source = f"{data.title}: {sizes}. {data.attribution}".strip()
    shown = DataSpec(**recipe["shown"]) if "shown" in recipe else None
    told = {"source": source, "shown": shown, "order": float(place)}
    if "density" in run.entry.abilities:
        told["metrics"] = {**run.info.metrics, **whole(run)}
    run = Run(run.path, run.info.model_copy(update=told))
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
    """A trained run's held-out figures, with disentanglement scores or modes covered where the data know of them."""
    found = dict(run.info.metrics)
    data = datasets.load(run.info.data)
    if data.factors and "encode" in run.entry.abilities:
        ids = first(data.test, FACTORED)
        factors = factors_of(data.test, ids)
        named = tuple(k for k, factor in enumerate(factors.T) if np.array_equal(factor, data.test.labels[ids]))
        found |= disentanglement.scores(encode(run.model(), data.test, ids), factors, named).numbers()
    if data.modes is not None and "sample" in run.entry.abilities:
        draws = run.model().sample(10_000, generator=torch.Generator().manual_seed(0))
        kept = coverage.modes(draws, *data.modes)
        found |= {"modes covered": kept.covered, "draws near a mode": kept.near, "modes kept": kept.assigned}
    return found


def train_sweep(recipe: dict[str, Any], place: int, work: Path) -> None:
    """Train what a sweep lacks: runs of the first `published` seeds are published, of others the figures are kept."""
    known = {(row["value"], row["seed"]): row for row in sweeps.figures(recipe["id"])}
    for value, seed, single in sweeps.expand(recipe):
        target = sweeps.SWEEPS / recipe["id"] / single["id"]
        there = (value, seed) in known and known[value, seed]["recipe"] == digest(single)
        shown = seed < single.get("published", 1)
        if there and (not shown or ((target / "run.json").exists() and same(Run.open(target), single))):
            continue
        run = train(single, work)
        found = {"value": value, "seed": seed, "recipe": digest(single)}
        known[value, seed] = found | {name: round(number, 5) for name, number in measured(run).items()}
        if shown:
            publish(run, single, place, target, previews=0)
        shutil.rmtree(run.path)
        lines = (json.dumps(known[row], ensure_ascii=False) for row in sorted(known, key=lambda row: row[::-1]))
        write_text(sweeps.SWEEPS / recipe["id"] / "figures.jsonl", "".join(f"{line}\n" for line in lines))
        print(f"{recipe['id']}: {recipe['vary']} = {value}, seed {seed}")


def digest(recipe: dict[str, Any]) -> str:
    """Tells a recipe from every other: figures of an earlier one are measured anew."""
    parts = {key: recipe[key] for key in ("model", "data", "params", "plan")}
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def studies(file: Path = paths.PRETRAINED / "recipe.toml") -> list[dict[str, Any]]:
    """The [[study]]s: what the pages of tasks open with."""
    return tomllib.loads(file.read_text(encoding="utf-8")).get("study", [])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("ids", nargs="*", help="only these runs, sweeps and tasks")
    parser.add_argument("--work", type=Path, default=Path("build/pretrained"), help="where training happens")
    options = parser.parse_args()
    for place, recipe in enumerate(sweeps.recipes(), len(recipes())):
        if not options.ids or recipe["id"] in options.ids:
            train_sweep(recipe, place, options.work)
    for recipe in studies():
        if (options.ids and recipe["task"] not in options.ids) or tasks.stored(recipe["task"], recipe["settings"]):
            continue
        with tqdm(total=100, desc=recipe["task"], unit="%") as bar:
            found = tasks.compute(
                recipe["task"], recipe["settings"], lambda part, doing, bar=bar: bar.update(int(100 * part) - bar.n)
            )
        tasks.store(recipe["task"], recipe["settings"], found)
    for spec in {DataSpec(**recipe["data"]) for recipe in recipes() if recipe["params"].get("attributes")}:
        data = datasets.load(spec)
        if not attribute_classifier.path_of(data).exists():
            attribute_classifier.save(attribute_classifier.fit(data), attribute_classifier.path_of(data))
    for place, recipe in enumerate(recipes()):
        target = paths.PRETRAINED / recipe["id"]
        if options.ids and recipe["id"] not in options.ids:
            continue
        if (target / "run.json").exists() and same(Run.open(target), recipe):
            print(f"{recipe['id']}: there already")
            continue
        publish(train(recipe, options.work), recipe, place, target)
        print(f"{recipe['id']}: published")


if __name__ == "__main__":
    main()
