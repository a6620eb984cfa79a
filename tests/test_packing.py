"""Weights in 12 bits."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aecore import DataSpec, Plan, Run, RunError
from aecore.nn.quantize import BITS, LARGEST, LEAST, SCALE, pack, unpack
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
