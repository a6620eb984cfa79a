"""Bounds on, and estimates of, log p(x) for models with a posterior and a likelihood. Nats per example.

They are bounds where p(x|z) is a likelihood of the values of x. Bernoulli pixels are 0 or 1, so for grey images
log p(x|z) is a negative cross-entropy, and the sums bound nothing (`is_cross_entropy`). `binarised` images have a
likelihood, which can be compared with the exact one of a PixelCNN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ..errors import DataError
from ..inference import batch_size, device_of, evaluating, generator, require
from ..models.base import Model
from ..nn.distributions import Bernoulli, Normal
from ..nn.divergences import kl_standard

BINARISED = {
    "thresholded": "split at one half into 0 and 1",
    "drawn": "0 or 1 with the grey value as probability, drawn once by a fixed seed",
}
"""How grey values become 0 and 1: name → meaning."""


def binarised(x: Float[Tensor, "B *shape"], how: str = "thresholded", seed: int = 0) -> Float[Tensor, "B *shape"]:
    """x as 0 and 1, by one of BINARISED; "thresholded" turns exactly ½ into 0.  seed: of "drawn".

    Raises DataError for another name.
    """
    if how not in BINARISED:
        raise DataError(f"{how!r} is not allowed; give one of {', '.join(BINARISED)}")
    if how == "thresholded":
        return (x > 0.5).to(x.dtype)
    return torch.bernoulli(x.clamp(0, 1), generator=generator(x.device, seed))


def has_bernoulli_pixels(model: Model) -> bool:
    """Whether p(x|z) is a distribution of values that are 0 or 1."""
    able = require(model, "likelihood")
    with evaluating(model) as device:
        return isinstance(able.p_x(torch.zeros(1, able.code, device=device)), Bernoulli)


def is_cross_entropy(model: Model, x: Float[Tensor, "B *shape"]) -> bool:
    """Whether −log p(x|z) is a cross-entropy and no likelihood: Bernoulli pixels of values other than 0 and 1."""
    return has_bernoulli_pixels(model) and bool(((x != 0) & (x != 1)).any())


def modelled(model: Model, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B *shape"]:
    """x with values of which p(x|z) is a likelihood: "thresholded" for Bernoulli pixels, else unchanged."""
    return binarised(x) if has_bernoulli_pixels(model) else x


def current_names(metrics: Mapping[str, float], params: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a run, in which those of Bernoulli pixels bear the names that `measure.report` gives them now.

    Earlier versions measured them on grey values and stored −(cross-entropy + KL) as "elbo".
    params: the run's hyperparameters.
    """
    if params.get("likelihood") != "bernoulli" or "elbo" not in metrics:
        return dict(metrics)
    kept = {name: value for name, value in metrics.items() if name != "elbo" and not name.startswith("log p(x)")}
    return kept | {"cross-entropy + kl": -metrics["elbo"]}


def bound(
    model: Model, x: Float[Tensor, "B *shape"], samples: int = 1, seed: int = 0
) -> dict[str, Float[np.ndarray, " B"]]:
    """The evidence lower bound and its terms: {"elbo", "recon", "kl"}, each (B,) nats; elbo = −(recon + kl).

    recon = −E log p(x|z) over `samples` draws of q(z|x). For the prior N(0, I) the kl is computed in closed form, else
    from the draws. Both terms have weight 1, whatever weights the model was trained with. Where `is_cross_entropy`,
    "elbo" bounds nothing.
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
