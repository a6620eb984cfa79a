"""The command line: `python -m aecore --help`.

Bad input is answered by one line that names the field and what is allowed, and by exit status 2.
"""

from __future__ import annotations

import functools
import inspect
import json
import math
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin

import typer

from . import data as datasets
from .catalog import CATALOG, entry
from .data.base import DEFAULT, DataSpec
from .errors import DataError, Diverged, FieldError, RunError
from .models.entry import Entry
from .paths import root
from .runs.files import remedy
from .runs.folder import Run
from .runs.library import create, find
from .settings import parse
from .tasks import TASKS
from .training.loop import Training
from .training.plan import Plan

# What is imported inside the commands is not needed for --help, and takes time.

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Train autoencoders and look into them.")
RunName = Annotated[str, typer.Argument(metavar="RUN", help="a run's folder, or its id")]
INTERRUPTED = 130  # the usual exit status after Ctrl-C


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit status."""
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
    if as_json:
        print(json.dumps([_described(listed) for listed in CATALOG.values()], indent=1))
        return
    for listed in CATALOG.values():
        print(f"{listed.key:14} {listed.name} ({listed.year}), {listed.section}")
        for name, param in listed.params.items():
            print(f"    {name:14} {param.default!s:>10}  {param.allowed}: {param.help}")


def _described(entry: Entry) -> dict[str, Any]:
    """An entry of the catalog as plain values for JSON."""
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


def _with_plan_options(command: Callable[..., int]) -> Callable[..., int]:
    """The command with an option for each field of `Plan`, in the place of its parameter `plan`.

    The command gets as `plan` a dictionary of the options that were given.
    """
    parameters: list[inspect.Parameter] = []
    for parameter in inspect.signature(command, eval_str=True).parameters.values():
        parameters += _plan_parameters() if parameter.name == "plan" else [parameter]

    @functools.wraps(command)
    def with_options(**arguments: Any) -> int:
        options = {name: arguments.pop(name) for name in Plan.model_fields}
        return command(plan={name: value for name, value in options.items() if value is not None}, **arguments)

    vars(with_options)["__signature__"] = inspect.Signature(parameters)
    return with_options


def _plan_parameters() -> list[inspect.Parameter]:
    """A parameter for each field of `Plan`, as typer reads them. `Plan` itself checks what is allowed."""
    parameters = []
    for name, field in Plan.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        option = typer.Option(help=field.description, metavar="|".join(choices) or None)
        kind: Any = str if choices else field.annotation
        annotation = Annotated[kind | None, option]
        parameters.append(inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    return parameters


@app.command()
@_with_plan_options
def train(
    model: Annotated[str, typer.Argument(help="a key of `models`")],
    params: Annotated[
        list[str] | None, typer.Argument(metavar="[PARAM=VALUE]...", help="the model's parameters")
    ] = None,
    data: Annotated[str, typer.Option(metavar="NAME", help="a data set; images for your own, with --path")] = DEFAULT,
    size: Annotated[int | None, typer.Option(help="side in pixels, 8 to 128")] = None,
    grey: Annotated[bool, typer.Option("--grey", help="turn colour to grey")] = False,
    limit: Annotated[int | None, typer.Option(help="at most this many training images")] = None,
    path: Annotated[str | None, typer.Option(help="for --data images: a folder, a zip or an image")] = None,
    *,
    plan: dict[str, Any],
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
    chosen = entry(model)
    full_plan = parse(Plan, {**chosen.plan, **plan})
    spec = parse(DataSpec, {"name": data, "size": size, "grey": grey, "limit": limit, "path": path})
    checked = chosen.check(dict(_pair(item, chosen) for item in params or ()))
    _check_device(device)
    datasets.load(spec)  # a wrong name or a broken picture is reported before there is a folder
    # Not queued: an app that watches the same folder must not take it up as well.
    run = create(model, spec, checked, full_plan, path=out, title=title, encoder=encoder, status="paused")
    return _train(run, device)


def _task(name: str, help: str) -> None:
    """Add the command for one task of the chapter's section 4."""

    def command(
        settings: Annotated[
            list[str] | None,
            typer.Argument(metavar="[SETTING=VALUE]...", help="a wrong name is answered with all there are"),
        ] = None,
        as_json: Annotated[bool, typer.Option("--json", help="everything, as one object")] = False,
    ) -> None:
        from tqdm import tqdm

        from . import tasks

        given = dict(_setting(item) for item in settings or ())
        study = tasks.stored(name, given)
        if study is None:
            with tqdm(total=100, bar_format="{desc} {percentage:3.0f}% {bar} {remaining} left", disable=as_json) as bar:

                def progress(fraction: float, doing: str) -> None:
                    bar.set_description(doing, refresh=False)
                    bar.update(int(100 * fraction) - bar.n)

                study = tasks.compute(name, given, progress)
        if as_json:
            print(json.dumps(tasks.short(study), ensure_ascii=False))
        else:
            _print_rows(tasks.rows(name, study))

    app.command(name, help=help)(command)


def _setting(item: str) -> tuple[str, Any]:
    """ "codes=2,4" → ("codes", "2,4"); the task's settings make numbers of it."""
    name, sign, value = item.partition("=")
    if not sign:
        raise _problem("SETTING", f"'{item}' is no NAME=VALUE")
    return name, value


def _print_rows(rows: Sequence[dict[str, str]]) -> None:
    """Print a table in aligned columns."""
    header = list(rows[0]) if rows else []
    widths = [max(len(name), *(len(str(row.get(name, ""))) for row in rows)) for name in header]
    for cells in (header, *([str(row.get(name, "")) for name in header] for row in rows)):
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip())


for _name, _help in TASKS.items():
    _task(_name, _help)


@app.command()
def resume(
    run: RunName,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps; by default the best there is")] = None,
) -> int:
    """Go on with a run that was paused, stopped or cut off."""
    opened = _open(run)
    if opened.info.status == "done":
        raise _problem("RUN", f"{run} is done; only a paused, stopped or failed run can be resumed")
    _check_device(device)
    return _train(opened, device)


def _train(run: Run, device: str | None) -> int:
    """Train a run with a progress bar, print its folder, and return the exit status."""
    from tqdm import tqdm

    from .runs.session import Session

    form = "{desc} {percentage:3.0f}% {bar} {n:.1f}/{total} epochs, {remaining} left{postfix}"
    with (
        _pausing() as command,
        tqdm(total=run.info.plan.epochs, desc=run.info.title, bar_format=form, mininterval=0.3) as bar,
    ):

        def show(row: dict[str, Any], training: Training) -> None:
            terms = row.get("test", row["train"])
            bar.set_postfix({name: f"{value:.4g}" for name, value in terms.items()}, refresh=False)
            bar.update(training.epoch - bar.n)

        status = Session(run).train(device, show, lambda: command() or run.command())
    print(run.path)
    if status == "failed":
        print(run.info.reason, file=sys.stderr)
    if status in ("paused", "stopped", "failed"):
        print(f"It is {status}. Go on with: python -m aecore resume {run.path}", file=sys.stderr)
    return {"done": 0, "paused": INTERRUPTED if command() else 0, "stopped": 0}.get(status, 1)


@contextmanager
def _pausing() -> Iterator[Callable[[], str]]:
    """Gives a function that returns "pause" after Ctrl-C or SIGTERM, else "". A second signal interrupts at once."""
    received: list[int] = []

    def handle(number: int, _: Any) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        print("\nSaving …", file=sys.stderr)

    handlers = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield lambda: "pause" if received else ""
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@app.command()
def evaluate(run: RunName, as_json: Annotated[bool, typer.Option("--json", help="as one object")] = False) -> None:
    """Measure a run on held-out data of what it was trained on, beside what its card says."""
    from .measure import report

    opened = _open(run)
    data, batch = datasets.load(opened.info.data), opened.info.plan.batch
    figures = report(opened.model(), opened.entry, data, batch=batch)
    if as_json:
        print(json.dumps(figures, indent=1))
    else:
        card = opened.info.metrics
        for name, value in figures.items():
            on_card = f"   card {card[name]:.6g}" if name in card else ""
            print(f"{name:36} {value:<12.6g}{on_card}".rstrip())


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
    from .runs import export as exports

    kind = _suffix(out, ".npz", ".csv")
    if split not in ("test", "train"):
        raise _problem("--split", f"{split!r} is not allowed; give test or train")
    opened = _able(run, "encode")
    if path is not None or data not in (None, opened.info.data.name):
        shape = opened.info.shape
        fit = {"size": shape[1], "grey": shape[0] == 1} if len(shape) == 3 else {}
        spec = parse(DataSpec, {"name": data or "images", "path": path, **fit})
        data_shape = datasets.load(spec).shape
        if tuple(data_shape) != tuple(shape):
            raise _problem("--data", f"{spec.name} has examples of {data_shape}; this run takes {shape}")
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
    latents = statistics(model, opened.data().test)
    low, high = spans(model, latents)
    tiles, _ = sheet(model, prior_mean(model, latents), latents.order[:units], low, high, steps)  # (U, S, H, W[, 3])
    if kind == ".png":
        _write(out, png(grid(tiles.reshape(-1, *tiles.shape[2:]), tiles.shape[1])))
    else:
        columns = math.ceil(math.sqrt(len(tiles)))
        frames = [grid(tiles[:, step], columns) for step in range(tiles.shape[1])]
        _write(out, exports.gif(frames + frames[-2:0:-1]))  # there and back


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
def bench(
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object instead of tables")] = False,
) -> None:
    """Measure the speed of training on this computer."""
    from .bench import ours as benchmark

    benchmark.main(as_json)


# --- what the commands share --------------------------------------------------------------------------------


def _problem(field: str, message: str) -> FieldError:
    return FieldError(field, message)


def _open(name: str) -> Run:
    """The run in this folder or with this id."""
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


def _pair(item: str, chosen: Entry) -> tuple[str, str]:
    """ "code=2" → ("code", "2")"""
    name, equals, value = item.partition("=")
    if not equals:
        raise _problem(item, f"write parameters as name=value; {chosen.key} has {', '.join(chosen.params)}")
    return name, value


def _check_device(name: str | None) -> None:
    """FieldError for a device that cannot be used here."""
    import torch

    try:
        torch.zeros(1, device=name or "cpu")
    except Exception:
        raise _problem("--device", f"{name!r} cannot be used here; leave it out, or give cpu") from None


def _suffix(path: Path, *allowed: str) -> str:
    """The end of a file's name, in small letters; FieldError where it is not among those allowed."""
    if path.suffix.lower() not in allowed:
        raise _problem("--out", f"{str(path)!r} is not allowed; give a file that ends in {' or '.join(allowed)}")
    return path.suffix.lower()


def _write(path: Path, content: bytes) -> None:
    """Write a file and print its path; FieldError where it cannot be written."""
    try:
        path.write_bytes(content)
    except OSError as error:
        raise _problem("--out", f"{path} could not be written. {remedy(error)}") from None
    print(path)


if __name__ == "__main__":
    sys.exit(main())
