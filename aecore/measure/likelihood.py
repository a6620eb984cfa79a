"""Bounds on, and estimates of, log p(x) for models with a posterior and a likelihood. Nats per example."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..inference import batch_size, device_of, evaluating, generator, require
from ..models.base import Model
from ..nn.distributions import Normal
from ..nn.divergences import kl_standard


def bound(
    model: Model, x: Float[Tensor, "B *shape"], samples: int = 1, seed: int = 0
) -> dict[str, Float[np.ndarray, " B"]]:
    """The evidence lower bound and its terms: {"elbo", "recon", "kl"}, each (B,) nats; elbo = −(recon + kl).

    recon = −E log p(x|z) over `samples` draws of q(z|x). For the prior N(0, I) the kl is computed in closed form, else
    from the draws. Both terms have weight 1, whatever weights the model was trained with.
    """
    able, recons, kls = require(model, "likelihood"), [], []
    size = max(1, batch_size(model.shape) // samples)
    with evaluating(model, seed) as device:
        noise = generator(device, seed)
        for part in x.to(device).split(size):
            qz_x = able.posterior(part)
            z = qz_x.rsample(samples, noise)  # (L, B, D)
            recons.append(-able.p_x(z).log_prob(part).mean(0))
            closed_form = able.has_standard_prior
            kls.append(kl_standard(qz_x) if closed_form else (qz_x.log_prob(z) - able.prior.log_prob(z)).mean(0))
        recon, kl = (torch.cat(values).float().cpu().numpy() for values in (recons, kls))
    return {"elbo": -(recon + kl), "recon": recon, "kl": kl}


def log_weights(
    able: Any, x: Float[Tensor, "B *shape"], qz_x: Normal, z: Float[Tensor, "L B D"]
) -> Float[Tensor, "L B"]:
    """log p(x|z) + log p(z) − log q(z|x), (L, B) nats, of draws z (L, B, D) for examples x (B, …)."""
    return able.p_x(z).log_prob(x) + able.prior.log_prob(z) - qz_x.log_prob(z)


def log_likelihood(
    model: Model, x: Float[Tensor, "B *shape"], samples: int = 100, seed: int = 0
) -> Float[np.ndarray, " B"]:
    """Importance-sampled log p(x), (B,) nats: on average below the true value, and closer with more samples.

    log p̂(x) = log (1/K) Σ_k p(x|z_k) p(z_k) / q(z_k|x),  z_k ~ q(z|x),  K = samples.

    Draws are made in chunks of bounded memory; the same seed and batch give the same number.
    Source: Burda et al. (2015), Eq. 8, arXiv:1509.00519. Departures: none.
    """
    able = require(model, "likelihood")
    x = x.to(device_of(model))
    size = batch_size(model.shape)
    examples = max(1, size // samples)
    chunk = min(samples, size)
    estimates = []
    with evaluating(model, seed) as device:
        noise = generator(device, seed)
        for part in x.split(examples):
            qz_x = able.posterior(part)
            total = part.new_full((len(part),), -math.inf, dtype=torch.float64)
            for start in range(0, samples, chunk):
                z = qz_x.rsample(min(chunk, samples - start), noise)  # (K', B, D)
                log_w = log_weights(able, part, qz_x, z)
                total = torch.logaddexp(total, log_w.double().logsumexp(0))
            estimates.append(total - math.log(samples))
    return torch.cat(estimates).cpu().numpy() if estimates else np.zeros(0)
