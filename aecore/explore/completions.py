"""How much completions of one image agree, and how certain the model was of each pixel when it drew it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from .autoregressive import Drawing


class Certainty(NamedTuple):
    """For each pixel of completions of one image, both (H, W).

    agreement: 1 − 2σ, σ the standard deviation of its value over the completions, as a mean over channels: 1 where all
    completions agree, 0 where half of them are 0 and the other half 1.
    entropy: of the distributions from which the pixel was drawn, a mean over the completions and a sum over channels;
    in nats.
    """

    agreement: Float[np.ndarray, "H W"]
    entropy: Float[np.ndarray, "H W"]


def certainty(drawing: Drawing) -> Certainty:
    """The agreement and the entropy of each pixel of completions, as `autoregressive.draw` returns them."""
    chances = drawing.chances.clip(1e-12, 1)
    entropy = -(chances * np.log(chances)).sum(2).mean(0).sum(0)
    return Certainty(1 - 2 * drawing.images.std(0).mean(0), entropy)
