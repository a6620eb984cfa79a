"""What the chapter claims of the plain autoencoders, measured on small data with fixed seeds.

Margins are those that a broken model fails and a right one passes with room to spare; the figures in the comments were
measured when the test was written.
"""

from __future__ import annotations

import pytest

from tests import naive
from tests.claims import DIGITS, error, pca_error, pixels, trained


@pytest.mark.parametrize(("k", "epochs"), [(1, 20), (2, 20), (5, 20), (8, 20), (12, 100), (16, 20)])
def test_a_linear_autoencoder_is_pca(k, epochs):
    """12: its eigenvalue is only 3 % above the 13th's, and takes longer to tell apart."""
    model = trained("linear", epochs=epochs, code=k)
    assert error(model, pixels(DIGITS, "test")) < 1.01 * pca_error(k)
    _, directions, _ = naive.pca(pixels(DIGITS, "train").flatten(1), k)
    assert naive.largest_angle(model.decoder[0].weight, directions) < 5


@pytest.mark.parametrize(("net", "epochs"), [("dense", 15), ("conv", 20)])
def test_a_deep_autoencoder_beats_pca_at_the_same_code_size(net, epochs):
    model = trained("deep", epochs=epochs, code=8, net=net, width=256 if net == "dense" else 512)
    assert error(model, pixels(DIGITS, "test")) < 0.9 * pca_error(8)
