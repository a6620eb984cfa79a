"""Exports of a run: ONNX networks, tables, pictures, TensorBoard event files, a Python script."""

from __future__ import annotations

import copy
import csv
import io
import itertools
import json
import logging
import time
import warnings
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save
from torch import Tensor, nn

from ..errors import RunError
from ..explore import images as pictures
from ..inference import encode, first, require
from ..models.base import Model
from ..nn import networks
from .folder import Run


class _Call(nn.Module):
    """One method of a model as a module, since torch exports modules."""

    def __init__(self, model: Model, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, values: Tensor) -> Tensor:
        return getattr(self.model, self.method)(values)


def onnx(run: Run, folder: str | Path) -> list[Path]:
    """encoder.onnx ("x" (B, *shape) → "code" (B, D)) and decoder.onnx ("code" → "x_hat"), for any batch size B.

    Where there is a posterior, its mean is the code.
    Raises RunError where the folder cannot be written, and for a model that draws pixel by pixel.
    """
    model = require(copy.deepcopy(run.model()), "encode", "decode")
    if model.sequential:
        raise RunError(
            f"{run.entry.name} draws pixel after pixel, each from those before it; ONNX holds graphs without such a "
            "loop. Export the codes as CSV or NPZ, or use the weights from Python: aecore.load(…).model()."
        )
    _free_the_batch(model)
    folder = _made(folder)
    x = torch.zeros(2, *model.shape)
    return [
        _onnx(_Call(model, "encode"), x, "x", "code", folder / "encoder.onnx"),
        _onnx(_Call(model, "decode"), torch.zeros(2, model.code), "code", "x_hat", folder / "decoder.onnx"),
    ]


def _free_the_batch(model: nn.Module) -> None:
    """Replace each `Reshape` by `Unflatten`: the first reads the batch's length, which would fix it in the graph."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, networks.Reshape):
                setattr(module, name, nn.Unflatten(1, child.shape))


def _onnx(module: nn.Module, example: Tensor, source: str, target: str, path: Path) -> Path:
    """Export a module whose input is named `source` and whose output is named `target`, without torch's messages."""
    quiet = logging.getLogger("torch.onnx")
    level = quiet.level
    quiet.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.eval(),
                (example,),
                str(path),
                dynamo=True,
                external_data=False,
                input_names=[source],
                output_names=[target],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
                verbose=False,
            )
    except OSError as error:
        raise RunError(f"{path} could not be written ({error.strerror}). Choose another folder.") from error
    finally:
        quiet.setLevel(level)
    return path


# --- tables -------------------------------------------------------------------------------------------------


def weights(run: Run) -> bytes:
    """All weights as one safetensors file, in full precision and by their names in the model."""
    return save(
        {name: value.contiguous() for name, value in run.model().state_dict().items()}, {"model": run.info.model}
    )


def _codes(run: Run, split: str, limit: int | None) -> dict[str, np.ndarray]:
    """Arrays ids, codes and, where there are any, labels and class_names, of the first `limit` examples of a split."""
    data = run.data()
    examples = data.train if split == "train" else data.test
    ids = first(examples, limit)
    arrays = {"ids": ids, "codes": encode(run.model(), examples, ids)}
    if examples.labels is not None:
        arrays["labels"] = examples.labels[ids]
        arrays["class_names"] = np.array(data.classes or [], dtype=np.str_)
    return arrays


def codes_csv(run: Run, split: str = "test", limit: int | None = None) -> bytes:
    """Columns id, label (its number) and class (its name) where there are labels, z1, z2, …, as CSV."""
    arrays = _codes(run, split, limit)
    columns: dict[str, np.ndarray] = {"id": arrays["ids"]}
    if "labels" in arrays:
        columns["label"] = arrays["labels"]
        if len(arrays["class_names"]):
            columns["class"] = arrays["class_names"][arrays["labels"]]
    columns |= {f"z{unit + 1}": codes for unit, codes in enumerate(arrays["codes"].T)}
    return table_csv(columns)


def codes_npz(run: Run, split: str = "test", limit: int | None = None) -> bytes:
    """Arrays ids (n,), codes (n, D) and, where there are any, labels (n,) and class_names, as NPZ without pickles."""
    file, arrays = io.BytesIO(), dict[str, Any](_codes(run, split, limit))
    np.savez_compressed(file, **arrays)  # without allow_pickle, for which numpy 1.26 stores an array of that name
    return file.getvalue()


def table_csv(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> bytes:
    """Named columns of one length as CSV; floats with all their digits, None as an empty field."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(zip(*(_list(values) for values in columns.values()), strict=True))
    return file.getvalue().encode()


def rows_csv(run: Run) -> bytes:
    """The run's rows as CSV: step, epoch, seconds, train/<term> …, test/<term> …; empty where a row has none."""
    rows = [_flat(row) for row in run.rows()[0]]
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    names.sort(key=lambda name: (name.startswith("test/"), name.startswith("train/")))
    return _rows_csv(names, rows)


def figure_csv(figure: Any) -> bytes:
    """The numbers of a Plotly figure as CSV, one row a point: trace and what its traces have of x, y, z, text."""
    rows: list[dict[str, Any]] = []
    for number, trace in enumerate(figure.data):
        name = getattr(trace, "name", None) or str(number + 1)
        parts = {key: getattr(trace, key, None) for key in ("x", "y", "z", "text")}
        parts = {key: _list(value) for key, value in parts.items() if value is not None and not isinstance(value, str)}
        if parts.get("z") and isinstance(parts["z"][0], list):
            parts = _cells(parts)
        for values in itertools.zip_longest(*parts.values()):
            rows.append({"trace": name, **dict(zip(parts, values, strict=True))})
    names = ["trace", *(key for key in ("x", "y", "z", "text") if any(key in row for row in rows))]
    return _rows_csv(names, rows)


def _rows_csv(names: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> bytes:
    """Rows as CSV with these columns; an empty field where a row has no such value."""
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def _cells(parts: dict[str, list]) -> dict[str, list]:
    """The matrix z of a heatmap as one row a cell."""
    z = parts["z"]
    x, y = parts.get("x") or list(range(len(z[0]))), parts.get("y") or list(range(len(z)))
    cells = [(x[column], y[row], z[row][column]) for row in range(len(z)) for column in range(len(z[row]))]
    return dict(zip(("x", "y", "z"), map(list, zip(*cells, strict=True)), strict=True))


def _list(values: Any) -> list[Any]:
    """A sequence as a list, an array as nested lists of Python numbers."""
    return values.tolist() if isinstance(values, np.ndarray) else np.asarray(values, dtype=object).tolist()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    """{"step": 1, "train": {"recon": 2}} → {"step": 1, "train/recon": 2}"""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}/{term}": v for term, v in value.items()} if isinstance(value, dict) else {name: value}
    return flat


# --- pictures -----------------------------------------------------------------------------------------------


def png(image: np.ndarray) -> bytes:
    """uint8 (H, W[, 3]) as PNG."""
    return pictures.png(image)


def gif(frames: np.ndarray | Sequence[np.ndarray], fps: float = 12) -> bytes:
    """uint8 frames (S, H, W[, 3]) as an endless GIF. Its clock has hundredths of a second: fps is rounded to them."""
    images = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    file = io.BytesIO()
    duration = max(20, round(100 / fps) * 10)
    images[0].save(file, "GIF", save_all=True, append_images=images[1:], duration=duration, loop=0)
    return file.getvalue()


# --- event files and scripts --------------------------------------------------------------------------------


def tensorboard(run: Run, folder: str | Path) -> Path:
    """The run's rows and previews as TensorBoard event files in `folder`; wall times are those of the training."""
    from torch.utils.tensorboard import SummaryWriter

    folder = _made(folder)
    start = run.info.started or run.info.created or time.time()
    rows, _ = run.rows()
    seconds = {row["step"]: row["seconds"] for row in rows}
    with SummaryWriter(str(folder)) as writer:
        for row in rows:
            for name, value in _flat(row).items():
                if "/" in name:
                    writer.add_scalar(name, value, row["step"], walltime=start + row["seconds"])
        for step in run.steps("preview"):
            with Image.open(run.path / f"preview/{step}.png") as image:
                pixels = np.asarray(image.convert("RGB"))
            writer.add_image("preview", pixels, step, walltime=start + seconds.get(step, 0.0), dataformats="HWC")
    return folder


def _library(encoder: str) -> str:
    """The import that `_encoder` needs."""
    return "from aecore.runs import library\n" if encoder else ""


def _encoder(encoder: str) -> str:
    """The line that takes the encoder of another run, given its id; "" for none."""
    if not encoder:
        return ""
    return f'aecore.freeze_encoder_from(model, library.find("{encoder}").model())  # only the decoder is trained\n'


def snippet(run: Run) -> str:
    """This experiment as a Python script that trains the same model again, wherever aecore can be imported.

    On the same machine with the same number of threads it gives the same weights.
    """
    info = run.info
    spec = info.data.model_dump(exclude_defaults=True) | {"name": info.data.name}
    plan = info.plan.model_dump() | ({"precision": info.precision} if info.precision else {})
    return f'''"""{_sentence(info.title or run.entry.name)}: {info.model} on {info.data.name}.

Made by Autoencoder Explorer."""

import aecore
from aecore.explore.preview import preview_png
from aecore.measure import report
{_library(info.encoder)}
data = aecore.data.load(aecore.DataSpec({_arguments(spec)}))
model = aecore.build(
    "{info.model}",
    shape=data.shape,
    seed={plan["seed"]},
{_lines(info.params)}
)
{_encoder(info.encoder)}plan = dict(
{_lines(plan)}
)

for row in aecore.train(model, data, **plan):
    if "test" in row:
        print(f"epoch {{row['epoch']:.2f}}", {{name: round(value, 3) for name, value in row["test"].items()}})

model = model.cpu().eval()
entry = aecore.entry("{info.model}")
print(report(model, entry, data, batch=plan["batch"]))
picture = preview_png(model, entry, data)
if picture:
    with open("preview.png", "wb") as file:
        file.write(picture)
'''


def _sentence(title: str) -> str:
    """A title that does not end the docstring in which it stands."""
    return " ".join(title.replace("\\", " ").replace('"', "'").split())


def _literal(value: Any) -> str:
    """A value as Python source."""
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _arguments(values: Mapping[str, Any]) -> str:
    """Keyword arguments in one line."""
    return ", ".join(f"{name}={_literal(value)}" for name, value in values.items())


def _lines(values: Mapping[str, Any]) -> str:
    """Keyword arguments, a line each."""
    return "\n".join(f"    {name}={_literal(value)}," for name, value in values.items())


def _made(folder: str | Path) -> Path:
    """The folder, made if it is not there; RunError where it cannot be."""
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} could not be made ({error.strerror}). Choose another folder.") from error
    return folder
