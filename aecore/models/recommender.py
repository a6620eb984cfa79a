"""Chapter §4.5: autoencoders that complete ratings."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from ..data.base import Batch
from ..distributions import sum_dims
from ..entry import Entry, Param, Term
from ..nets import Shape
from .base import Autoencoder, Player


class AutoRec(Autoencoder):
    """Completes a vector of ratings of which few are known: h(r) = W g(V r + μ) + b.

    loss = ‖r − h(r)‖²_O + (λ/2)(‖W‖² + ‖V‖²), where O are the observed ratings (Eq. 17, 18); g is the sigmoid.
    Unobserved ratings are 0 in the input, and their outputs receive no gradient.

    r is a user's vector over items (U-AutoRec) or an item's vector over users (I-AutoRec): only the data differ.
    batch.mask says what was observed. lam: λ.

    Source: Sedhain et al. (2015), doi:10.1145/2740908.2742726. Departures: the mean over examples, where the
    paper sums, so that λ is the paper's divided by the number of examples. Adam in place of RProp.
    """

    def __init__(self, shape: Shape, code: int = 200, lam: float = 0.01):
        super().__init__(shape, code)
        ratings = math.prod(self.shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(ratings, code), nn.Sigmoid())
        self.decoder = nn.Linear(code, ratings)
        self.lam = lam

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "weights": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        mask = torch.ones_like(batch.x) if batch.mask is None else batch.mask
        r = mask * batch.x
        error = mask * (r - self.decoder(self.encoder(r)))
        V, W = self.encoder[1].weight, self.decoder.weight
        return {"recon": sum_dims(error**2), "weights": 0.5 * (W.square().sum() + V.square().sum())}

    def decode(self, z: Tensor) -> Tensor:
        """Ratings (B, D) on their own scale, not squashed."""
        return self.decoder(z).float()


ENTRIES = (
    Entry(
        key="u_autorec",
        name="AutoRec",
        year=2015,
        section="§4.5",
        idea="Reads the few ratings that a user gave and fills in all the others.",
        equation=r"\min_{\theta}\; \mathbb{E}\; \term{recon}{\lVert r - h(r; \theta) \rVert^2_{\mathcal{O}}}"
        r" + \lambda\, \term{weights}{\tfrac{1}{2}\left(\lVert W \rVert^2 + \lVert V \rVert^2\right)}",
        terms={
            "recon": Term("squared error", "how far predicted ratings are from the observed, summed over these"),
            "weights": Term("squared weights", "half the squared norm of both matrices"),
        },
        source="Sedhain et al. (2015), doi:10.1145/2740908.2742726; chapter Eq. 17",
        build=AutoRec,
        params={
            "code": Param(200, 1, 512, 1, "log", "k", "how many hidden units"),
            "lam": Param(0.01, 0.0, 100.0, 0.001, "log", r"\lambda", "weight of the squared weights"),
        },
        kinds=("ratings",),
        departures="the mean over users where the paper sums; Adam in place of RProp",
    ),
)
