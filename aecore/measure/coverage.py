"""How many modes of a known mixture a generator's samples reach, and how many samples miss all of them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

NEAR = 3.0  # standard deviations from a centre within which a draw counts as that mode's
SHARE = 0.2  # of n draws evenly spread over the modes: the fewest that count as covering one


class Modes(NamedTuple):
    """covered, assigned: how many modes, from 0 to M, by two counts.  near: the share of draws near a mode, 0 to 1."""

    covered: int
    near: float
    assigned: int


def modes(samples: Float[Tensor, "..."] | Float[np.ndarray, "..."], centres: Float[Tensor, "..."], std: float) -> Modes:
    """Modes that draws cover, and the share of draws within 3 σ of a mode.

    A draw belongs to the centre next to it if it lies within 3 σ of it; a mode is covered when at least n / 5M of the n
    draws belong to it, a fifth of its share in an even mixture. True draws in the plane are near with probability
    1 − e^(−9/2) = 0.989. `assigned` is the lenient count of the ALI paper: modes that are next to any draw at all.

    samples: (n, D).  centres: (M, D).  std: σ of every mode.  ValueError without samples or of another D.
    Source: "high quality" draws as in Srivastava et al. (2017), VEEGAN, arXiv:1705.07761; `assigned` as in Dumoulin et
    al. (2016), arXiv:1606.00704, by the nearest centre, which has the largest responsibility where all modes are
    alike. Departures: in both papers one draw is enough for a mode, so that draws spread over the whole plane cover all
    of them; `covered` asks for a fifth of a mode's share, and close by.
    """
    if samples.ndim != 2 or centres.ndim != 2 or samples.shape[1:] != centres.shape[1:] or not len(samples):
        raise ValueError(f"samples {tuple(samples.shape)} and centres {tuple(centres.shape)} must be (n, D) and (M, D)")
    distance, nearest = torch.cdist(torch.as_tensor(samples).double(), centres.double()).min(1)
    near = distance <= NEAR * std
    counts = torch.bincount(nearest[near], minlength=len(centres))
    covered = int((counts >= SHARE * len(samples) / len(centres)).sum())
    return Modes(covered, float(near.double().mean()), len(nearest.unique()))
