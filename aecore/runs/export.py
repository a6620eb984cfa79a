"""What a run can be taken away as: ONNX, tables, pictures, event files, a script."""

from __future__ import annotations

import copy
import csv
import io
import itertools
import json
import logging
import time
import warnings
from collections.abc import Mapping, Sequence
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
    """One method of a model as a module, which is what torch exports."""

    def __init__(self, model: Model, method: str):
        super().__init__()
        self.model, self.method = model, method

    def forward(self, values: Tensor) -> Tensor:
        return getattr(self.model, self.method)(values)


def onnx(run: Run, folder: str | Path) -> list[Path]:
    """encoder.onnx ("x" (B, *shape) → "code" (B, D)) and decoder.onnx ("code" → "x_hat"), for any batch size B.

    The posterior's mean is the code where there is a posterior. RunError where the folder cannot be written, or the
    model cannot be held by a graph.
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
    """Reshapes that ask for the batch's length would fix it in the exported graph; unflattening leaves it free."""
    for module in list(model.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, networks.Reshape):
                setattr(module, name, nn.Unflatten(1, child.shape))


def _onnx(module: nn.Module, example: Tensor, source: str, target: str, path: Path) -> Path:
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


def _codes(run: Run, split: str, limit: int | None) -> dict[str, Any]:
    data = run.data()
    half = getattr(data, split)
    ids = first(half, limit)
    found = {"ids": ids, "codes": encode(run.model(), half, ids)}
    if half.labels is not None:
        found["labels"] = half.labels[ids]
        found["class_names"] = np.array(data.classes or [], dtype=np.str_)
    return found


def codes_csv(run: Run, split: str = "test", limit: int | None = None) -> bytes:
    """Columns id, label (its number) and class (its name) where there are labels, z1, z2, …, as CSV."""
    found = _codes(run, split, limit)
    columns: dict[str, Any] = {"id": found["ids"]}
    if "labels" in found:
        columns["label"] = found["labels"]
        if len(found["class_names"]):
            columns["class"] = found["class_names"][found["labels"]]
    columns |= {f"z{unit + 1}": found["codes"][:, unit] for unit in range(found["codes"].shape[1])}
    return table_csv(columns)


def codes_npz(run: Run, split: str = "test", limit: int | None = None) -> bytes:
    """Arrays ids (n,), codes (n, D) and, where there are any, labels (n,) and class_names, as NPZ without pickles."""
    file = io.BytesIO()
    np.savez_compressed(file, **_codes(run, split, limit))
    return file.getvalue()


def table_csv(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> bytes:
    """Named columns of one length as CSV; floats with all their digits, None as an empty field."""
    return _csv(list(columns), zip(*(_plain(values) for values in columns.values()), strict=True))


def rows_csv(run: Run) -> bytes:
    """The run's rows as CSV: step, epoch, seconds, train/<term> …, test/<term> …; empty where a row has none."""
    rows = [_flat(row) for row in run.rows()[0]]
    names = list(dict.fromkeys(itertools.chain.from_iterable(rows)))
    names.sort(key=lambda name: (name.startswith("test/"), name.startswith("train/")))
    return _csv(names, ([row.get(name) for name in names] for row in rows))


def figure_csv(figure: Any) -> bytes:
    """The numbers of a Plotly figure as CSV, one line a point: trace and what its traces have of x, y, z, text."""
    lines: list[dict[str, Any]] = []
    for number, trace in enumerate(figure.data):
        name = getattr(trace, "name", None) or str(number + 1)
        parts = {key: getattr(trace, key, None) for key in ("x", "y", "z", "text")}
        parts = {key: _plain(value) for key, value in parts.items() if value is not None and not isinstance(value, str)}
        if parts.get("z") and isinstance(parts["z"][0], list):
            parts = _cells(parts)
        for values in itertools.zip_longest(*parts.values()):
            lines.append({"trace": name, **dict(zip(parts, values, strict=True))})
    names = ["trace", *(key for key in ("x", "y", "z", "text") if any(key in line for line in lines))]
    return _csv(names, ([line.get(name) for name in names] for line in lines))


def _cells(parts: dict[str, list]) -> dict[str, list]:
    """A heatmap's matrix as one line a cell."""
    z = parts["z"]
    x, y = parts.get("x") or list(range(len(z[0]))), parts.get("y") or list(range(len(z)))
    cells = [(x[column], y[row], z[row][column]) for row in range(len(z)) for column in range(len(z[row]))]
    return dict(zip(("x", "y", "z"), map(list, zip(*cells, strict=True)), strict=True))


def _plain(values: Any) -> list:
    return values.tolist() if isinstance(values, np.ndarray) else np.asarray(values, dtype=object).tolist()


def _csv(names: Sequence[str], lines: Any) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows(lines)
    return file.getvalue().encode()


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
    stills = [Image.fromarray(np.ascontiguousarray(frame)) for frame in frames]
    file = io.BytesIO()
    duration = max(20, round(100 / fps) * 10)
    stills[0].save(file, "GIF", save_all=True, append_images=stills[1:], duration=duration, loop=0)
    return file.getvalue()


# --- elsewhere ----------------------------------------------------------------------------------------------


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


def _library(identity: str) -> str:
    return "from aecore.runs import library\n" if identity else ""


def _encoder(identity: str) -> str:
    """The lines that take the encoder of another run."""
    if not identity:
        return ""
    return f"""aecore.freeze_encoder_from(model, library.find("{identity}").model())  # only the decoder is trained
"""


def snippet(run: Run) -> str:
    """This experiment as a Python script: run where aecore can be imported, it trains the same model again.

    On the same machine with the same number of threads it gives the same weights.
    """
    info = run.info
    spec = info.data.model_dump(exclude_defaults=True) | {"name": info.data.name}
    plan = info.plan.model_dump()
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
print(report(model, entry, data))
picture = preview_png(model, entry, data)
if picture:
    with open("preview.png", "wb") as file:
        file.write(picture)
'''


def _sentence(title: str) -> str:
    """A title that cannot end the docstring it stands in."""
    return " ".join(title.replace("\\", " ").replace('"', "'").split())


def _literal(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _arguments(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_literal(value)}" for name, value in values.items())


def _lines(values: Mapping[str, Any]) -> str:
    return "\n".join(f"    {name}={_literal(value)}," for name, value in values.items())


def _made(folder: str | Path) -> Path:
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{folder} could not be made ({error.strerror}). Choose another folder.") from error
    return folder
