"""How good attribute edits are: does the attribute change, does all else stay, is it still the same face?"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch

from ..data.attributes import switched_in
from ..data.base import Data
from ..errors import DataError
from ..inference import attributes_of, decode, encode, examples, first
from ..models.base import Model
from .attribute_classifier import Judge, Readings, r2, read

EACH = " · "
"""Between a figure's title and the attribute that it is of."""


class Edits(NamedTuple):
    """Of encoded held-out examples, each attribute switched alone; (A,) for each attribute, NaN where it is unknown.

    seen: share of edits in which the judge sees the attribute switched.  unedited: the same where nothing is edited.
    stays: share of the other attributes that the judge sees as they should be.
    right: share of edits of which the judge sees every attribute as it should be.
    error: squared error per pixel of the decoded edit against the true edit, drawn.  laid: of the edit laid on the
    image: x + (decoded edit − reconstruction).  standing: of not editing.
    recon: squared error per pixel of reconstructions.
    before, after: R² of the judge's reading of everything else, of the images and of the edits (NUISANCE,).
    frechet: Fréchet distance, in the judge's features, of edited images to true edits.  chance: of two halves of those.
    """

    names: tuple[str, ...]
    seen: np.ndarray
    unedited: np.ndarray
    stays: np.ndarray
    right: np.ndarray
    error: np.ndarray
    laid: np.ndarray
    standing: np.ndarray
    recon: float
    before: np.ndarray
    after: np.ndarray
    frechet: float
    chance: float

    def numbers(self) -> dict[str, float]:
        """What goes on a card: means over attributes, the worst of them, and each ("edits seen · Male")."""
        found = {
            "edits seen": float(self.seen.mean()),
            "edits seen, worst attribute": float(self.seen.min()),
            "edits seen without editing": float(self.unedited.mean()),
            "other attributes stay": float(self.stays.mean()),
            "all attributes right": float(self.right.mean()),
            "reconstruction, squared error": self.recon,
        }
        if np.isfinite(self.error).all():
            found |= {
                "error against the true edit": float(self.error.mean()),
                "error of the edit laid on the image": float(self.laid.mean()),
                "error of not editing": float(self.standing.mean()),
                "attributes nearer to the truth than unedited": float((self.error < self.standing).sum()),
                "the same, laid on the image": float((self.laid < self.standing).sum()),
                "rest of the face before, R²": float(self.before.mean()),
                "rest of the face after, R²": float(self.after.mean()),
                "Fréchet distance to true edits": self.frechet,
                "Fréchet distance by chance": self.chance,
            }
        each = {
            "edits seen": self.seen,
            "other attributes stay": self.stays,
            "error, decoded": self.error,
            "error, laid on the image": self.laid,
            "error, not editing": self.standing,
        }
        for title, values in each.items():
            found |= {f"{title}{EACH}{name}": float(v) for name, v in zip(self.names, values, strict=True)}
        return {name: value for name, value in found.items() if np.isfinite(value)}


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    """‖μ_a − μ_b‖² + tr(Σ_a + Σ_b − 2 (Σ_a Σ_b)^½) of two sets of features (n, F), as if both were Gaussian.

    Source: Heusel et al. (2017), arXiv:1706.08500, Eq. 6; with this judge's features in place of Inception's.
    """
    (mean_a, cov_a), (mean_b, cov_b) = ((v.mean(0), np.cov(v, rowvar=False)) for v in (a, b))
    eigenvalues = np.linalg.eigvals(cov_a @ cov_b)
    root = np.sqrt(np.clip(eigenvalues.real, 0, None)).sum()
    return float(np.square(mean_a - mean_b).sum() + np.trace(cov_a) + np.trace(cov_b) - 2 * root)


def evaluate(model: Model, data: Data, judge: Judge, n: int = 500) -> Edits:
    """Edits of the first n held-out examples, judged.

    Where the data can redraw an example with other attributes (`Faces.redrawn`), edits are compared with the truth.
    Raises DataError for a model that no attributes condition, and for a judge of other attributes.
    """
    if not model.attributes:
        raise DataError(f"{type(model).__name__} is not told attributes, so none can be switched. Choose one that is.")
    if judge.attributes.out_features != len(data.attributes) or judge.shape != tuple(data.shape):
        raise DataError("This judge reads other attributes, or images of another size. Choose the judge of these data.")
    split, ids = data.test, first(data.test, n)
    x, a, z = examples(split, ids).cpu(), attributes_of(split, ids), encode(model, split, ids, told=True)
    back = torch.from_numpy(decode(model, z, torch.from_numpy(a)))
    untouched = read(judge, x)
    seen, unedited, stays, right, error, laid, standing = np.full((7, len(data.attributes)), np.nan)
    after, fakes, truths = [], [], []
    for k, name in enumerate(data.attributes):
        on, off = (switched_in(data, a, name, value) for value in (True, False))
        target = np.where(a[:, k : k + 1] > 0.5, off, on)
        made = torch.from_numpy(decode(model, z, torch.from_numpy(target)))
        said: Readings = read(judge, made)
        fits = (said.attributes > 0).numpy() == (target > 0.5)
        others = np.delete(fits, k, 1)
        seen[k], stays[k], right[k] = fits[:, k].mean(), others.mean(), fits.all(1).mean()
        unedited[k] = ((untouched.attributes[:, k] > 0).numpy() == (target[:, k] > 0.5)).mean()
        after.append(said.nuisance.numpy())
        if split.redrawn is not None:
            truth = split.redrawn(torch.from_numpy(ids), torch.from_numpy(target)).cpu()
            put_on = (x + made - back).clamp(0, 1)
            error[k], laid[k], standing[k] = ((other - truth).square().mean() for other in (made, put_on, x))
            fakes.append(said.features.numpy())
            truths.append(read(judge, truth).features.numpy())
    rest = np.zeros((len(ids), 0)) if split.nuisance is None else split.nuisance[ids]
    before = r2(rest, untouched.nuisance.numpy())
    changed = np.mean([r2(rest, values) for values in after], 0)
    distance = chance = float("nan")
    if truths:
        fake, true = np.concatenate(fakes), np.concatenate(truths)
        order = np.random.default_rng(0).permutation(len(true))
        distance = frechet(fake, true)
        chance = frechet(true[order[::2]], true[order[1::2]])
    recon = float((back - x).square().mean())
    shares = (seen, unedited, stays, right)
    return Edits(data.attributes, *shares, error, laid, standing, recon, before, changed, distance, chance)
