"""The command line: python -m aecore --help. Bad input: one line that names the field and what is allowed, status 2."""

from __future__ import annotations

import json
import math
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from .tasks import TASKS

if TYPE_CHECKING:
    from .runs.folder import Run

# What is imported inside the commands is slow to import, and not needed for --help.

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train autoencoders and look into them.")
RunName = Annotated[str, typer.Argument(metavar="RUN", help="a run's folder, or its id")]
INTERRUPTED = 130  # the usual exit status after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
    from . import DataError, Diverged, FieldError, RunError

    try:
        return app(arguments, standalone_mode=False, prog_name="python -m aecore") or 0
    except DataError as error:
        problem = f"data: {error}"
    except (FieldError, RunError, Diverged) as error:
        problem = str(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        message = getattr(error, "format_message", None)  # what typer raises for a wrong option has it
        if message is None:
            raise
        problem = f"{message().rstrip('.')}. See --help."
    print(" ".join(problem.split()), file=sys.stderr)
    return 2


@app.command()
def models(as_json: Annotated[bool, typer.Option("--json", help="as a list of objects")] = False) -> None:
    """List the autoencoders and their parameters."""
    from .catalog import CATALOG

    if as_json:
        print(json.dumps([_described(entry) for entry in CATALOG.values()], indent=1))
        return
    for entry in CATALOG.values():
        print(f"{entry.key:14} {entry.name} ({entry.year}), {entry.section}")
        for name, param in entry.params.items():
            print(f"    {name:14} {param.default!s:>10}  {param.allowed}: {param.help}")


def _described(entry) -> dict[str, Any]:
    fields = ("default", "low", "high", "scale", "choices", "symbol", "help")
    return {
        "key": entry.key,
        "name": entry.name,
        "year": entry.year,
        "section": entry.section,
        "idea": entry.idea,
        "kinds": list(entry.kinds),
        "abilities": sorted(entry.abilities),
        "params": {
            name: {"type": param.type.__name__, **{field: getattr(param, field) for field in fields}}
            for name, param in entry.params.items()
        },
    }


@app.command()
def train(
    model: Annotated[str, typer.Argument(help="a key of `models`")],
    params: Annotated[
        list[str] | None, typer.Argument(metavar="[PARAM=VALUE]...", help="the model's parameters")
    ] = None,
    data: Annotated[str, typer.Option(metavar="NAME", help="a data set; images for your own, with --path")] = "digits",
    size: Annotated[int | None, typer.Option(help="side in pixels, 8 to 128")] = None,
    grey: Annotated[bool, typer.Option("--grey", help="turn colour to grey")] = False,
    limit: Annotated[int | None, typer.Option(help="at most this many training images")] = None,
    path: Annotated[str | None, typer.Option(help="for --data images: a folder, a zip or an image")] = None,
    epochs: Annotated[int | None, typer.Option(help="passes over the training images")] = None,
    batch: Annotated[int | None, typer.Option(help="examples in a minibatch")] = None,
    lr: Annotated[float | None, typer.Option(help="learning rate at the start")] = None,
    clip: Annotated[float | None, typer.Option(help="largest norm of a gradient")] = None,
    decay: Annotated[bool | None, typer.Option(help="let the learning rate fall to 0")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, bf16 or fp32")] = None,
    held_out: Annotated[int | None, typer.Option(help="held-out examples for the curves")] = None,
    seed: Annotated[int | None, typer.Option(help="of weights, order and noise")] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the best there is")] = None,
    encoder: Annotated[
        str, typer.Option(metavar="RUN", help="hold the encoder of this run, and train only what follows it")
    ] = "",
    title: Annotated[str, typer.Option(help="what to call the run")] = "",
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="the run's folder; by default a new one in runs/")
    ] = None,
) -> int:
    """Train an autoencoder; prints the folder of the run. Ctrl-C pauses it."""
    from .catalog import entry
    from .data.base import DataSpec
    from .runs.library import create
    from .settings import parse
    from .training.plan import Plan

    which = entry(model)
    settings = {
        "epochs": epochs,
        "batch": batch,
        "lr": lr,
        "clip": clip,
        "decay": decay,
        "precision": precision,
        "held_out": held_out,
        "seed": seed,
    }
    plan = parse(Plan, {**which.plan, **{name: value for name, value in settings.items() if value is not None}})
    spec = parse(DataSpec, {"name": data, "size": size, "grey": grey, "limit": limit, "path": path})
    checked = which.check(dict(_pair(item, which) for item in params or ()))
    _device(device)
    _loaded(spec)  # a wrong name or a broken picture is told before there is a folder
    # Not queued: an app that watches the same folder must not take it up as well.
    run = create(model, spec, checked, plan, path=out, title=title, encoder=encoder, status="paused")
    return _train(run, device)


def _task(name: str, words: str):
    """A command for one task of the chapter's section 4."""

    def command(
        settings: Annotated[
            list[str] | None,
            typer.Argument(metavar="[SETTING=VALUE]...", help="a wrong name is answered with all there are"),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="everything, as one object")] = False,
    ) -> None:
        from tqdm import tqdm

        from . import tasks

        said = dict(_setting(item) for item in settings or ())
        found = tasks.stored(name, said)
        if found is None:
            with tqdm(total=100, bar_format="{desc} {percentage:3.0f}% {bar} {remaining} left", disable=as_json) as bar:

                def tell(part: float, doing: str) -> None:
                    bar.set_description(doing, refresh=False)
                    bar.update(int(100 * part) - bar.n)

                found = tasks.compute(name, said, tell)
        if as_json:
            print(json.dumps(tasks.short(found), ensure_ascii=False))
        else:
            _print_rows(tasks.rows(name, found))

    command.__doc__ = words
    app.command(name)(command)


def _setting(item: str) -> tuple[str, Any]:
    """ "codes=2,4" → ("codes", "2,4"); the task's settings make numbers of it."""
    name, sign, value = item.partition("=")
    if not sign:
        raise _problem("SETTING", f"'{item}' is no NAME=VALUE")
    return name, value


def _print_rows(rows: Sequence[dict[str, str]]) -> None:
    """A table in columns."""
    header = list(rows[0]) if rows else []
    wide = [max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in header]
    for cells in (header, *([str(row.get(name, "")) for name in header] for row in rows)):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, wide, strict=True)).rstrip())


for _name, _words in TASKS.items():
    _task(_name, _words)


@app.command()
def resume(
    run: RunName,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the best there is")] = None,
) -> int:
    """Go on with a run that was paused, stopped or cut off."""
    opened = _open(run)
    if opened.info.status == "done":
        raise _problem("RUN", f"{run} is done; only a paused, stopped or failed run can be resumed")
    _device(device)
    return _train(opened, device)


def _train(run: Run, device: str | None) -> int:
    from tqdm import tqdm

    from .runs.session import Session

    form = "{desc} {percentage:3.0f}% {bar} {n:.1f}/{total} epochs, {remaining} left{postfix}"
    with (
        _pausing() as wish,
        tqdm(total=run.info.plan.epochs, desc=run.info.title, bar_format=form, mininterval=0.3) as bar,
    ):

        def show(row: dict[str, Any], training) -> None:
            terms = row.get("test", row["train"])
            bar.set_postfix({name: f"{value:.4g}" for name, value in terms.items()}, refresh=False)
            bar.update(training.epoch - bar.n)

        status = Session(run).train(device, show, lambda: wish() or run.command())
    print(run.path)
    if status == "failed":
        print(run.info.reason, file=sys.stderr)
    if status in ("paused", "stopped", "failed"):
        print(f"It is {status}. Go on with: python -m aecore resume {run.path}", file=sys.stderr)
    return {"done": 0, "paused": INTERRUPTED if wish() else 0, "stopped": 0}.get(status, 1)


@contextmanager
def _pausing() -> Iterator[Any]:
    """Gives a function that answers "pause" after Ctrl-C (or a polite kill), else "". A second Ctrl-C ends at once."""
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)
        print("\nSaving …", file=sys.stderr)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: "pause" if asked else ""
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@app.command()
def evaluate(run: RunName, as_json: Annotated[bool, typer.Option("--json", help="as one object")] = False) -> None:
    """Measure a run on held-out data of what it was trained on, beside what its card says."""
    from . import data as datasets
    from .measure import report

    opened = _open(run)
    figures = report(opened.model(), opened.entry, datasets.load(opened.info.data))
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        card = opened.info.metrics
        for name, value in figures.items():
            said = f"   card {card[name]:.6g}" if name in card else ""
            print(f"{name:36} {value:<12.6g}{said}".rstrip())


@app.command()
def sample(
    run: RunName,
    n: Annotated[int, typer.Option("-n", min=1, max=4096, help="how many images")] = 64,
    out: Annotated[Path, typer.Option(help="a PNG file")] = Path("grid.png"),
    temperature: Annotated[float, typer.Option(min=0, max=10, help="scale of the prior's spread")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, max=2**31 - 1)] = 0,
    label: Annotated[int | None, typer.Option(min=0, help="of all images; by default the classes in turn")] = None,
) -> None:
    """Draw images from the prior, or of one label where the model was told of labels, as one picture."""
    from .explore.generate import generate
    from .explore.images import grid, png, to_uint8

    _suffix(out, ".png")
    opened = _able(run, "sample")
    images, _ = generate(opened.model(), n, temperature, seed, label)
    _write(out, png(grid(to_uint8(images), math.ceil(math.sqrt(n)))))


@app.command()
def encode(
    run: RunName,
    data: Annotated[str | None, typer.Option(metavar="NAME", help="a data set; by default the run's own")] = None,
    out: Annotated[Path, typer.Option(help="an NPZ or CSV file")] = Path("codes.npz"),
    path: Annotated[str | None, typer.Option(help="for --data images: a folder, a zip or an image")] = None,
    split: Annotated[str, typer.Option(help="test or train")] = "test",
    limit: Annotated[int | None, typer.Option(min=1, help="only the first so many")] = None,
) -> None:
    """Write the codes of a data set."""
    from .data.base import DataSpec
    from .runs import export as exports
    from .runs.folder import Run
    from .settings import parse

    kind = _suffix(out, ".npz", ".csv")
    if split not in ("test", "train"):
        raise _problem("--split", f"{split!r} is not allowed; give test or train")
    opened = _able(run, "encode")
    if path is not None or data not in (None, opened.info.data.name):
        shape = opened.info.shape
        fit = {"size": shape[1], "grey": shape[0] == 1} if len(shape) == 3 else {}
        spec = parse(DataSpec, {"name": data or "images", "path": path, **fit})
        found = _loaded(spec).shape
        if tuple(found) != tuple(shape):
            raise _problem("--data", f"{spec.name} has examples of {found}; this run takes {shape}")
        opened = Run(opened.path, opened.info.model_copy(update={"data": spec}))
    write = exports.codes_npz if kind == ".npz" else exports.codes_csv
    _write(out, write(opened, split, limit))


@app.command()
def traverse(
    run: RunName,
    out: Annotated[Path, typer.Option(help="a PNG (a row for each unit) or a GIF")] = Path("strip.png"),
    units: Annotated[int, typer.Option(min=1, max=16, help="how many units, the most telling first")] = 8,
    steps: Annotated[int, typer.Option(min=2, max=64, help="pictures for each unit")] = 11,
) -> None:
    """Move one unit of the code at a time, from the middle of the codes."""
    from .explore.images import grid, png
    from .explore.traverse import prior_mean, sheet, spans
    from .measure import statistics
    from .runs import export as exports

    kind = _suffix(out, ".png", ".gif")
    opened = _able(run, "encode", "decode")
    model = opened.model()
    known = statistics(model, opened.data().test)
    low, high = spans(model, known)
    tiles, _ = sheet(model, prior_mean(model, known), known.order[:units], low, high, steps)  # (U, S, H, W[, 3])
    if kind == ".png":
        _write(out, png(grid(tiles.reshape(-1, *tiles.shape[2:]), tiles.shape[1])))
    else:
        columns = math.ceil(math.sqrt(len(tiles)))
        there = [grid(tiles[:, step], columns) for step in range(tiles.shape[1])]
        _write(out, exports.gif(there + there[-2:0:-1]))


@app.command()
def export(
    run: RunName,
    onnx: Annotated[Path | None, typer.Option(metavar="DIR", help="encoder.onnx and decoder.onnx")] = None,
    tensorboard: Annotated[Path | None, typer.Option(metavar="DIR", help="event files of the curves")] = None,
    snippet: Annotated[Path | None, typer.Option(metavar="FILE", help="this experiment as a Python script")] = None,
) -> None:
    """Take a run away: networks, curves, a script."""
    from .runs import export as exports

    if not (onnx or tensorboard or snippet):
        raise _problem("export", "say what: --onnx DIR, --tensorboard DIR or --snippet FILE")
    opened = _open(run)
    if onnx:
        print(*exports.onnx(opened, onnx), sep="\n")
    if tensorboard:
        print(exports.tensorboard(opened, tensorboard))
    if snippet:
        _write(snippet, exports.snippet(opened).encode())


@app.command()
def bench() -> None:
    """Measure the speed of training on this computer."""
    from .bench import ours as benchmark

    benchmark.main()


# --- what the commands share --------------------------------------------------------------------------------


def _problem(field: str, message: str) -> ValueError:
    from .errors import FieldError

    return FieldError(field, message)


def _open(name: str) -> Run:
    from .errors import RunError
    from .paths import root
    from .runs.folder import Run
    from .runs.library import find

    path = Path(name)
    try:
        return Run.open(path) if path.is_dir() or {"/", os.sep} & set(name) else find(name)
    except RunError as error:
        raise _problem("RUN", f"{error} Give the folder of a run, or its id in {root()}.") from None


def _able(name: str, *abilities: str) -> Run:
    """The run, if its model can do that."""
    run = _open(name)
    lacking = [ability for ability in abilities if ability not in run.entry.abilities]
    if lacking:
        raise _problem("RUN", f"{run.entry.name} cannot {lacking[0]}; it can {', '.join(sorted(run.entry.abilities))}")
    return run


def _pair(item: str, entry) -> tuple[str, str]:
    name, equals, value = item.partition("=")
    if not equals:
        raise _problem(item, f"write parameters as name=value; {entry.key} has {', '.join(entry.params)}")
    return name, value


def _device(name: str | None) -> None:
    import torch

    try:
        torch.zeros(1, device=name or "cpu")
    except Exception:
        raise _problem("--device", f"{name!r} cannot be used here; leave it out, or give cpu") from None


def _loaded(spec):
    from . import data

    return data.load(spec)


def _suffix(path: Path, *allowed: str) -> str:
    if path.suffix.lower() not in allowed:
        raise _problem("--out", f"{str(path)!r} is not allowed; give a file that ends in {' or '.join(allowed)}")
    return path.suffix.lower()


def _write(path: Path, content: bytes) -> None:
    from .runs.files import remedy

    try:
        path.write_bytes(content)
    except OSError as error:
        raise _problem("--out", f"{path} could not be written. {remedy(error)}") from None
    print(path)


if __name__ == "__main__":
    sys.exit(main())
