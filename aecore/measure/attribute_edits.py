"""How good attribute edits are: does the attribute change, does all else stay, is it still the same face?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from ..data.attributes import switched_in
from ..data.base import Data
from ..errors import DataError
from ..inference import attributes_of, decode, encode, examples, first
from ..models.base import Model
from .attribute_classifier import Judge, Readings, r2, read

EACH = " · "
"""Stands between the title of a metric and the attribute that it is for."""


class Edits(NamedTuple):
    """Metrics of edits of held-out examples in which one attribute at a time is switched.

    Arrays (A,) have one value for each attribute, NaN where it is unknown.

    seen: share of edits in which the judge sees the attribute switched.  unedited: the same without an edit.
    stays: share of the other attributes that the judge sees as they should be.
    right: share of edits in which the judge sees every attribute as it should be.
    error: squared error per pixel of the decoded edit against the true edit, which is drawn.  laid: that of the edit
    laid on the image, x + (decoded edit − reconstruction).  standing: that of the unedited image.
    recon: squared error per pixel of reconstructions.
    before, after: (N,) R² of the judge's readings of the nuisance, of the images and of the edits.
    frechet: Fréchet distance, in the judge's features, between one half of the edits, chosen at random, and the true
    edits of the other half.  chance: that between the true edits of both halves, which faultless edits would have.
    sample_size: how many edits there are on each side of both distances. Smaller samples have larger distances, so only
    distances of equally large ones can be compared.
    """

    names: tuple[str, ...]
    seen: Float[np.ndarray, " A"]
    unedited: Float[np.ndarray, " A"]
    stays: Float[np.ndarray, " A"]
    right: Float[np.ndarray, " A"]
    error: Float[np.ndarray, " A"]
    laid: Float[np.ndarray, " A"]
    standing: Float[np.ndarray, " A"]
    recon: float
    before: Float[np.ndarray, " N"]
    after: Float[np.ndarray, " N"]
    frechet: float
    chance: float
    sample_size: int

    def numbers(self) -> dict[str, float]:
        """The metrics of a card: means over attributes, the worst attribute, and each one ("edits seen · Male")."""
        metrics = {
            "edits seen": float(self.seen.mean()),
            "edits seen, worst attribute": float(self.seen.min()),
            "edits seen without editing": float(self.unedited.mean()),
            "other attributes stay": float(self.stays.mean()),
            "all attributes right": float(self.right.mean()),
            "reconstruction, squared error": self.recon,
        }
        if np.isfinite(self.error).all():
            metrics |= {
                "error against the true edit": float(self.error.mean()),
                "error of the edit laid on the image": float(self.laid.mean()),
                "error of not editing": float(self.standing.mean()),
                "attributes nearer to the truth than unedited": float((self.error < self.standing).sum()),
                "the same, laid on the image": float((self.laid < self.standing).sum()),
                "rest of the face before, R²": float(self.before.mean()),
                "rest of the face after, R²": float(self.after.mean()),
                "Fréchet distance to true edits": self.frechet,
                "Fréchet distance by chance": self.chance,
                "edits in each set of a Fréchet distance": float(self.sample_size),
            }
        each = {
            "edits seen": self.seen,
            "other attributes stay": self.stays,
            "error, decoded": self.error,
            "error, laid on the image": self.laid,
            "error, not editing": self.standing,
        }
        for title, values in each.items():
            metrics |= {f"{title}{EACH}{name}": float(v) for name, v in zip(self.names, values, strict=True)}
        return {name: value for name, value in metrics.items() if np.isfinite(value)}


def frechet(a: Float[np.ndarray, "n F"], b: Float[np.ndarray, "m F"]) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of features a (n, F) and b (m, F), as if both were Gaussian.

    Source: Heusel et al. (2017), arXiv:1706.08500, Eq. 6; with this judge's features in place of Inception's.
    """
    (mean_a, cov_a), (mean_b, cov_b) = ((v.mean(0), np.cov(v, rowvar=False)) for v in (a, b))
    eigenvalues = np.linalg.eigvals(cov_a @ cov_b)
    root = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    return float(np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def evaluate(model: Model, data: Data, judge: Judge, n: int = 500) -> Edits:
    """Metrics of edits of the first n held-out examples.

    Where the data can draw an example again with other attributes (`Split.redrawn`), edits are compared with the truth.
    Raises DataError for a model that no attributes condition, and for a judge of other attributes.
    """
    if not model.attributes:
        raise DataError(f"{type(model).__name__} is not told attributes, so none can be switched. Choose one that is.")
    if judge.attributes.out_features != len(data.attributes) or judge.shape != tuple(data.shape):
        raise DataError("This judge reads other attributes, or images of another size. Choose the judge of these data.")
    split, ids = data.test, first(data.test, n)
    x, a, z = examples(split, ids).cpu(), attributes_of(split, ids), encode(model, split, ids, conditioned=True)
    x_hat = torch.from_numpy(decode(model, z, torch.from_numpy(a)))
    untouched = read(judge, x)
    seen, unedited, stays, right, error, laid, standing = np.full((7, len(data.attributes)), np.nan)
    nuisance, features, true_features = [], [], []
    for k, name in enumerate(data.attributes):
        on, off = (switched_in(data, a, name, value) for value in (True, False))
        target = np.where(a[:, k : k + 1] > 0.5, off, on)
        edited = torch.from_numpy(decode(model, z, torch.from_numpy(target)))
        readings: Readings = read(judge, edited)
        fits = (readings.attributes > 0).numpy() == (target > 0.5)
        others = np.delete(fits, k, 1)
        seen[k], stays[k], right[k] = fits[:, k].mean(), others.mean(), fits.all(1).mean()
        unedited[k] = ((untouched.attributes[:, k] > 0).numpy() == (target[:, k] > 0.5)).mean()
        nuisance.append(readings.nuisance.numpy())
        if split.redrawn is not None:
            truth = split.redrawn(torch.from_numpy(ids), torch.from_numpy(target)).cpu()
            laid_on = (x + edited - x_hat).clamp(0, 1)
            error[k], laid[k], standing[k] = ((image - truth).square().mean() for image in (edited, laid_on, x))
            features.append(readings.features.numpy())
            true_features.append(read(judge, truth).features.numpy())
    true_nuisance = np.zeros((len(ids), 0)) if split.nuisance is None else split.nuisance[ids]
    before = r2(true_nuisance, untouched.nuisance.numpy())
    after = np.mean([r2(true_nuisance, values) for values in nuisance], 0)
    distance = chance = float("nan")
    half = len(ids) * len(data.attributes) // 2
    if true_features and half > 1:
        fake, true = np.concatenate(features), np.concatenate(true_features)
        some, others = np.random.default_rng(0).permutation(len(true))[: 2 * half].reshape(2, half)
        distance, chance = frechet(fake[some], true[others]), frechet(true[some], true[others])
    recon = float((x_hat - x).square().mean())
    shares = (seen, unedited, stays, right)
    return Edits(data.attributes, *shares, error, laid, standing, recon, before, after, distance, chance, half)
