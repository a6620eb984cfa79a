"""Measures of a trained model. `report` gives what goes on a run's card."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import torch

from .. import inference
from ..data.base import Data
from ..errors import DataError
from ..models.base import Model
from ..models.entry import Entry
from ..nn.pixel_distributions import bits
from ..training.loop import evaluate, losses
from . import aggregate_posterior, attribute_edits, likelihood, pca, reconstruction
from .attribute_classifier import judge_of
from .latents import Units, collapse_warning, statistics

__all__ = [
    "Units",
    "collapse_warning",
    "judge_of",
    "likelihood",
    "looked_at",
    "reconstruction",
    "report",
    "statistics",
]

VALUES = 2_000_000  # numbers in the held-out examples that are measured: 2,000 digits, fewer of larger images
LL_SAMPLES = 64
LL_VALUES = 200 * 64 * 784  # numbers decoded for the log-likelihood: 200 digits, each 64 times


def looked_at(shape: tuple[int, ...], limit: int = 2000) -> int:
    """How many held-out examples of this shape `report` measures, if there are as many."""
    return min(limit, max(100, VALUES // int(np.prod(shape))))


def report(model: Model, entry: Entry, data: Data, limit: int = 2000, batch: int | None = None) -> dict[str, float]:
    """Metrics of a model on held-out data, as far as its abilities permit; seconds on two cores for 28×28 images.

    "test/<term>", "test/loss": means of the objective's terms.  "bits per dimension": of an exact −log p.
    "mse" (per value), "psnr" (dB), "ssim": of reconstructions of undamaged inputs.  "denoised mse": of reconstructions
    of damaged inputs.  "pca mse": of PCA with as many components.
    "elbo", "log p(x), K=64" (nats, the latter over "log p(x) examples"): of the values as they are, where p(x|z) is a
    density of them. For Bernoulli pixels the same of binarised values, as "elbo, thresholded" and "elbo, drawn" (see
    `likelihood.BINARISED`; one of them where the data are black and white), and "cross-entropy + kl" of grey values.
    "active units" of "code units", "code kl".
    For a model that attributes condition also those of `attribute_edits.evaluate`, if there is a judge of the data.
    "total correlation, at least" and "at most" (nats, of "total correlation examples") for a model with such a term:
    see `aggregate_posterior.total_correlation`.
    All else is measured on the first `limit` held-out examples, on fewer where images are large.

    batch: examples in a minibatch of the training, on which the terms of some models depend (`Model.batchwise`).
    """
    ids = inference.first(data.test, looked_at(data.shape, limit))
    terms = evaluate(model, data.test, len(ids), min(batch, len(data.train)) if model.batchwise and batch else None)
    metrics = {f"test/{name}": value for name, value in {**terms, **losses(terms, model.players(1.0))}.items()}
    if "tc" in entry.terms and len(data.test) > 1:
        bounds = aggregate_posterior.total_correlation(model, data.test)
        metrics |= {
            "total correlation, at least": bounds.at_least,
            "total correlation, at most": bounds.at_most,
            "total correlation examples": bounds.examples,
        }
    if {"encode", "decode"} <= entry.abilities:
        metrics |= _reconstruction(model, entry, data, ids)
    if "density" in entry.abilities and "nll" in terms:
        metrics["bits per dimension"] = bits(terms["nll"], int(np.prod(data.shape)))
    if "encode" in entry.abilities:
        metrics |= _code(model, data, len(ids))
    if "likelihood" in entry.abilities:
        metrics |= _likelihood(model, data, ids)
    if model.attributes:
        with suppress(DataError):  # no judge of these data has been trained
            metrics |= attribute_edits.evaluate(model, data, judge_of(data)).numbers()
    return {name: float(value) for name, value in metrics.items() if np.isfinite(value)}


def _reconstruction(model: Model, entry: Entry, data: Data, ids: np.ndarray) -> dict[str, float]:
    x = np.concatenate([part.cpu().numpy() for part in inference.inputs(data.test, ids, data.shape)])
    x_hat = inference.autoencode(model, data.test, ids)
    errors = reconstruction.mse(x, x_hat)
    metrics = {"mse": errors.mean(), "psnr": reconstruction.psnr(x, x_hat).mean()}
    if data.kind == "image":
        metrics["ssim"] = reconstruction.ssim(x, x_hat).mean()
    if "corrupt" in entry.abilities:
        able = inference.require(model, "corrupt")
        cleaned = inference.map_batches(model, data.test, ids, lambda x: able.decode(able.encode(able.corrupt(x))))
        metrics["denoised mse"] = reconstruction.mse(x, cleaned).mean()
    components = inference.require(model, "encode").code
    metrics["pca mse"] = pca.pca_mse(data, components, len(ids))
    return {name: float(value) for name, value in metrics.items()}


def _code(model: Model, data: Data, count: int) -> dict[str, float]:
    latents = statistics(model, data.test, count)
    metrics = {"active units": float(latents.active.sum()), "code units": float(len(latents.active))}
    return metrics | ({} if latents.kl is None else {"code kl": float(latents.kl.sum())})


def _likelihood(model: Model, data: Data, ids: np.ndarray) -> dict[str, float]:
    x = torch.cat(list(inference.inputs(data.test, ids, data.shape)))
    several = int(np.clip(LL_VALUES // (LL_SAMPLES * int(np.prod(data.shape))), 16, 200))

    def bounds(x: torch.Tensor, suffix: str = "") -> dict[str, float]:
        return {
            f"elbo{suffix}": float(likelihood.bound(model, x)["elbo"].mean()),
            f"log p(x){suffix}, K={LL_SAMPLES}": float(
                likelihood.log_likelihood(model, x[:several], LL_SAMPLES).mean()
            ),
        }

    if not likelihood.has_bernoulli_pixels(model):
        metrics = bounds(x)
    elif likelihood.is_cross_entropy(model, x):
        metrics = {"cross-entropy + kl": -float(likelihood.bound(model, x)["elbo"].mean())}
        for how in likelihood.BINARISED:
            metrics |= bounds(likelihood.binarised(x, how), f", {how}")
    else:
        metrics = bounds(x, ", thresholded")
    return metrics | {"log p(x) examples": len(x[:several])}
