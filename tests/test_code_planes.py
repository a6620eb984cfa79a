"""Where codes lie on lines and planes, and what is decoded there: which codes, counted tile by tile."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from aecore.data.base import TensorSplit
from aecore.errors import DataError
from aecore.explore import code_planes
from aecore.models.base import Autoencoder


class Shown(Autoencoder):
    """Its code is the first D values of an image, and what it decodes shows a code: value k is pixel k."""

    def __init__(self, code: int):
        super().__init__((1, 2, 2), code)
        self.encoder, self.decoder = torch.nn.Flatten(), torch.nn.Identity()
        self.register_parameter("some", torch.nn.Parameter(torch.zeros(1)))

    def encode(self, x: Tensor) -> Tensor:
        return 4 * x.flatten(1)[:, : self.code] - 2

    def decode(self, z: Tensor) -> Tensor:
        padded = torch.cat([z, torch.zeros(len(z), 4 - self.code)], 1)
        return ((padded + 4) / 8).view(-1, 1, 2, 2)


def shades(code: list[float]) -> np.ndarray:
    """The tile that shows this code."""
    padded = np.array([*code, *[0.0] * (4 - len(code))])
    return np.floor(np.clip((padded + 4) / 8, 0, 1) * 255 + 0.5).reshape(2, 2)


def split(n: int = 150) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    return TensorSplit(torch.rand(n, 1, 2, 2, generator=generator), np.arange(n) % 3)


def near(tile: np.ndarray, code: list[float]) -> bool:
    return bool(np.abs(tile.astype(float) - shades(code)).max() <= 1)


@pytest.mark.parametrize(("n", "outer"), [(99, 0.0), (150, 0.005)])
def test_a_line_goes_from_the_lowest_to_the_highest_code_but_for_the_outermost(n, outer):
    data = split(n)
    z = np.sort((4 * data.x[:, 0, 0, 0] - 2).numpy().astype(np.float64))
    found = code_planes.line(Shown(1), data, 5)

    def at(share):
        return np.interp(share * (n - 1), np.arange(n), z)

    assert (found.low, found.high) == pytest.approx((at(outer), at(1 - outer)), abs=1e-5)
    for k, tile in enumerate(found.tiles):
        assert near(tile, [found.low + (found.high - found.low) * k / 4])


def test_a_square_goes_as_far_as_is_said_or_around_all_but_the_outermost_codes():
    data, model = split(), Shown(2)
    found = code_planes.square(model, data, 1.5, 3, 40)
    assert found.extent == (-1.5, 1.5, -1.5, 1.5) and found.tiles.shape == (1, 3, 3, 2, 2)
    for row, y in enumerate((-1.5, 0.0, 1.5)):
        for column, x in enumerate((-1.5, 0.0, 1.5)):
            assert near(found.tiles[0, row, column], [x, y])
    assert found.codes.shape == (40, 2) and len(found.labels) == 40
    whole = code_planes.square(model, data, None, 2, 10_000)
    np.testing.assert_allclose(whole.codes, model.encode(data.x).numpy(), atol=1e-6)
    assert whole.labels.tolist() == (np.arange(150) % 3).tolist()
    z = np.sort(whole.codes.astype(np.float64), 0)
    ends = [np.interp(share * 149, np.arange(150), z[:, k]) for k in (0, 1) for share in (0.005, 0.995)]
    assert whole.extent == pytest.approx(ends, abs=1e-5)
    assert near(whole.tiles[0, 0, 1], [ends[1], ends[2]])  # the lower right corner
    assert near(whole.tiles[0, 1, 0], [ends[0], ends[3]])


def test_a_larger_code_is_shown_in_its_principal_plane_which_leads_back():
    data, model = split(), Shown(4)
    found = code_planes.projected(model, data, 3, 150)
    z = model.encode(data.x).numpy().astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(z.T))
    first_two = vectors[:, [3, 2]].T
    assert np.abs(np.diag(first_two @ found.plane.axes.T)) == pytest.approx([1, 1], abs=1e-3)
    np.testing.assert_allclose(found.codes, (z - z.mean(0)) @ found.plane.axes.T, atol=1e-4)
    assert found.plane.kept == pytest.approx(values[2:].sum() / values.sum(), rel=1e-4)
    reach = float(np.quantile(np.abs(found.codes), 0.998))
    assert found.extent == pytest.approx((-reach, reach, -reach, reach), rel=1e-5)
    for row, v in enumerate((-reach, 0.0, reach)):
        for column, u in enumerate((-reach, 0.0, reach)):
            code = z.mean(0) + u * found.plane.axes[0] + v * found.plane.axes[1]
            assert near(found.tiles[0, row, column], code.tolist())


class Doubled(Shown):
    def encode(self, x: Tensor) -> Tensor:
        return super().encode(x) / 2


def test_several_models_are_shown_over_the_same_square():
    data = split()
    found = code_planes.squares([Shown(2), Doubled(2)], data, (-1.0, 2.0, 0.0, 1.0), 2, 20)
    assert found.extent == (-1.0, 2.0, 0.0, 1.0) and found.tiles.shape == (2, 2, 2, 2, 2)
    for tiles in found.tiles:
        for (i, y), (j, x) in product(((0, 0.0), (1, 1.0)), ((0, -1.0), (1, 2.0))):
            assert near(tiles[i, j], [x, y])
    np.testing.assert_allclose(found.codes[0], 2 * found.codes[1], atol=1e-6)
    assert found.codes.shape == (2, 20, 2)


def test_corners_are_three_examples_a_quarter_from_the_edge():
    data, model = split(), Shown(3)
    found = code_planes.corners([model, Doubled(3)], data, (4, 7, 9), 5)
    assert found.places == [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75)]
    for tiles, one in zip(found.tiles, (model, Doubled(3)), strict=True):
        a, b, c = one.encode(data.x[[4, 7, 9]]).tolist()
        assert near(tiles[1, 1], a) and near(tiles[1, 3], b) and near(tiles[3, 1], c)
    with pytest.raises(DataError, match="the same code"):
        code_planes.corners([model], data, (4, 4, 9), 5)


def test_a_strip_moves_one_dimension_and_holds_all_others():
    z = np.array([0.5, -1.0, 1.5], np.float32)
    found = code_planes.strips(Shown(3), z, [2, 0], 3.0, 5)
    assert found.shape == (2, 5, 2, 2)
    for k, value in enumerate((-3.0, -1.5, 0.0, 1.5, 3.0)):
        assert near(found[0, k], [0.5, -1.0, value]) and near(found[1, k], [value, -1.0, 1.5])
