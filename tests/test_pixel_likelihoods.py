"""What p(x|z) says of pixels: densities against integrals, gradients against differences, and which numbers bound what."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from aecore.nn.distributions import Bernoulli, ContinuousBernoulli, Gaussian, likelihood

LOGITS = torch.tensor([-40.0, -7.3, -1.2, -0.51, -0.49, -1e-3, 0.0, 2e-4, 0.3, 0.4999, 0.5001, 1.7, 9.0, 60.0])
STEPS = 200_001


def integrals(logits: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """log ∫ e^{ℓx} dx, ∫ x p(x) dx and ∫ x² p(x) dx over [0, 1] for each logit, by Simpson's rule in float64."""
    x = torch.linspace(0, 1, STEPS, dtype=torch.float64)
    weights = torch.ones(STEPS, dtype=torch.float64)
    weights[1:-1:2], weights[2:-1:2] = 4, 2
    weights /= 3 * (STEPS - 1)
    top = logits.double().clamp_min(0)[:, None]  # keeps the exponential finite
    values = (logits.double()[:, None] * x - top).exp() * weights
    total = values.sum(1)
    return total.log() + top[:, 0], (values * x).sum(1) / total, (values * x**2).sum(1) / total
