"""Weights in 12 bits."""

from __future__ import annotations

import base64
import struct

import numpy as np
import pytest
import torch

from aecore import DataSpec, Plan, Run, RunError
from aecore.nn.quantize import BITS, LARGEST, LEAST, SCALE, from_text, pack, to_text, unpack
from aecore.runs.files import read_tensors
from aecore.runs.library import create, pretrained
from aecore.runs.session import Session
from aecore.zoo import shrink


@pytest.mark.parametrize("shape", [(64, 32), (33, 77), (5, 3, 31, 7), (3001, 1)])
def test_what_is_packed_comes_back_to_within_half_a_step_of_its_row(shape):
    value = torch.randn(shape) * torch.logspace(-3, 3, shape[0]).view(-1, *[1] * (len(shape) - 1))
    packed = pack({"w": value})
    assert set(packed) == {"w" + BITS, "w" + SCALE} and packed["w" + BITS].numel() == 3 * -(-value.numel() // 2)
    back = unpack(packed, {"w": value.shape})["w"]
    step = value.flatten(1).abs().amax(1) / LARGEST
    assert ((back - value).flatten(1).abs() <= 0.501 * step[:, None]).all()


def test_small_tensors_whole_numbers_and_zeros_are_kept():
    tensors = {
        "bias": torch.randn(LEAST),
        "count": torch.tensor(3),
        "small": torch.randn(4, 4),
        "zero": torch.zeros(64, 64),
    }
    packed = pack(tensors)
    assert all(packed[name] is tensors[name] for name in ("bias", "count", "small"))
    assert torch.equal(unpack(packed, {"zero": torch.Size([64, 64])})["zero"], tensors["zero"])


def twelve_bits(value: torch.Tensor) -> tuple[list[int], list[float]]:
    """The bytes and scales of a matrix, number by number: two numbers of 12 bits fill three bytes."""
    numbers, scales = [], []
    for row in value.tolist():
        scale = max(max(abs(v) for v in row), 1e-30) / 2047
        numbers += [round(v / scale) + 2047 for v in row]
        scales.append(scale)
    bits = "".join(f"{number:012b}" for number in numbers + [0] * (len(numbers) % 2))
    return [int(bits[k : k + 8], 2) for k in range(0, len(bits), 8)], scales


@pytest.mark.parametrize("shape", [(43, 53), (64, 32)])
def test_the_bytes_are_those_of_each_number_in_turn(shape):
    """Of 43 × 53 numbers, an odd count, the last stands alone."""
    value = torch.randn(shape, generator=torch.Generator().manual_seed(1)).double().float()
    packed = pack({"w": value})
    found, scales = twelve_bits(value)
    wrong = sum(a != b for a, b in zip(packed["w" + BITS].tolist(), found, strict=True))
    assert wrong <= 4  # a number halfway between two whole ones
    assert packed["w" + BITS].dtype == torch.uint8 and packed["w" + SCALE].tolist() == pytest.approx(scales, rel=1e-6)
    back = unpack(
        {"w" + BITS: torch.tensor(found, dtype=torch.uint8), "w" + SCALE: torch.tensor(scales)}, {"w": value.shape}
    )
    assert (back["w"] - value).abs().max() < 0.51 * max(scales) and set(back) == {"w"}


def test_matrices_are_packed_from_2048_numbers_on():
    tensors = {
        "enough": torch.randn(2, 1024),
        "few": torch.randn(23, 89),
        "line": torch.randn(5000),
        "whole": torch.arange(5000).view(50, 100),
    }
    assert set(pack(tensors)) == {"enough" + BITS, "enough" + SCALE, "few", "line", "whole"} and LEAST == 2048


def test_the_largest_of_a_row_is_exact_whatever_the_other_rows_are():
    value = torch.rand(32, 64) * 10.0 ** torch.arange(-16, 16)[:, None]
    value[:, 5] = -2 * value.abs().amax(1)
    back = unpack(pack({"w": value}), {"w": value.shape})["w"]
    assert torch.allclose(back[:, 5], value[:, 5], rtol=1e-6, atol=0) and back.dtype == torch.float32


def test_text_is_half_precision_in_shape_and_order():
    tensors = {"a": torch.randn(2, 3), "b": torch.tensor([1.0, -2.5, 1 / 3])}
    text = to_text(tensors)
    for name, (shape, code) in text.items():
        halves = struct.unpack(f"<{tensors[name].numel()}e", base64.b64decode(code))
        assert shape == list(tensors[name].shape)
        assert list(halves) == pytest.approx(tensors[name].flatten().tolist(), rel=1e-3)
    back = from_text(text)
    for name, value in tensors.items():
        assert back[name].dtype == torch.float32 and torch.equal(back[name], value.half().float())


def test_a_tensor_of_another_shape_stays_packed_and_is_named_by_the_run(tmp_path):
    packed = pack({"w": torch.randn(64, 64)})
    assert "w" not in unpack(packed, {"w": torch.Size([32, 64])}) and "w" not in unpack(
        packed, {"w": torch.Size([64, 9])}
    )
    run = create(
        "vae",
        DataSpec(name="digits", limit=64),
        {"width": 64, "code": 4},
        Plan(epochs=1, batch=32),
        path=tmp_path / "run",
    )
    Session(run).train()
    full = run.model()
    (tmp_path / "small").mkdir()
    bits = shrink(run, tmp_path / "small" / "weights.safetensors")
    small = Run(tmp_path / "small", run.info)
    assert bits == 12
    assert (tmp_path / "small/weights.safetensors").stat().st_size < 0.5 * (
        run.path / "weights.safetensors"
    ).stat().st_size
    x = run.data().test.batch(torch.arange(20)).x
    np.testing.assert_allclose(small.model().encode(x), full.encode(x), atol=0.05)
    run.save(params={**run.info.params, "width": 80})
    (tmp_path / "small/run.json").write_bytes((run.path / "run.json").read_bytes())
    with pytest.raises(RunError, match=r"lacks|belongs to other"):
        Run.open(tmp_path / "small").model()


def test_the_published_examples_are_packed_where_their_pictures_agree():
    files = [run.path / "weights.safetensors" for run in pretrained()]
    packed = [any(name.endswith(BITS) for name in read_tensors(file)[0]) for file in files]
    assert sum(packed) > len(files) / 2
