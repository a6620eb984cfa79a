"""Chapter §3, further on: an autoencoder whose code is made of symbols."""

from __future__ import annotations

from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.base import Batch, Split
from ..nn.distributions import sum_dims
from ..nn.divergences import squared_distances
from ..nn.networks import Shape
from .base import PlainCode, Player, Terms
from .entry import DISTANCE, NET, WIDTH, Entry, Param, Term


class VQVAE(PlainCode):
    """Vector quantised autoencoder: the code is a row of symbols, each one of the K vectors of a codebook.

    loss = Δ(x, B(z)) + ‖sg[h] − z‖² + β ‖h − sg[z]‖²,  h = A(x) in `symbols` parts of `size` numbers,
    z_s = e_k with k = argmin_j ‖h_s − e_j‖²; sg stops gradients, and Δ's passes from z straight through to h.

    symbols, size: of a code, which has symbols · size numbers and says at most symbols · log K nats.  K: vectors in
    the codebook.  beta: β.

    Source: van den Oord et al. (2017), Eq. 3, arXiv:1711.00937.
    Departures: the parts come from one dense code, not from the places of a feature map. At the start of each epoch
    vectors that were hardly used are put onto encoded examples: from random ones most would never be used. No second
    model of the symbols is trained, hence nothing is sampled.
    """

    usage: Float[Tensor, "K"]

    def __init__(
        self,
        shape: Shape,
        symbols: int = 8,
        size: int = 8,
        K: int = 64,
        beta: float = 0.25,
        net: str = "dense",
        width: int = 512,
        distance: str = "bernoulli",
    ):
        super().__init__(shape, symbols * size, distance, net=net, width=width)
        self.codebook = nn.Embedding(K, size)
        self.register_buffer("usage", torch.zeros(K))  # the share of all symbols that is k, over the last 100 steps
        self.beta = beta

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        weights = {"recon": 1.0, "codebook": 1.0, "commitment": self.beta}
        return {"autoencoder": Player((self.encoder, self.decoder, self.codebook), weights)}

    def parts(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B symbols size"]:
        """h, (B, symbols, size)."""
        return self.encoder(x).float().unflatten(1, (-1, self.codebook.embedding_dim))

    def indices(self, h: Float[Tensor, "B symbols size"]) -> Int[Tensor, "B symbols"]:
        """Which vector of the codebook is nearest to each part, (B, symbols)."""
        return squared_distances(h.flatten(0, 1), self.codebook.weight).argmin(1).view(h.shape[:2])

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """x (B, *shape) → the chosen vectors side by side, (B, symbols · size)."""
        return self.codebook(self.indices(self.parts(x))).flatten(1)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        h = self.parts(batch.x)
        k = self.indices(h.detach())
        z = self.codebook(k)
        if self.training:
            self.usage.lerp_(k.flatten().bincount(minlength=len(self.usage)) / k.numel(), 0.01)
        straight = h + (z - h).detach()
        return {
            "recon": self.reconstruction_error(batch.x, straight.flatten(1)),
            "codebook": sum_dims((z - h.detach()) ** 2),
            "commitment": sum_dims((h - z.detach()) ** 2),
        }

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if progress == 1:  # nothing would train a vector that is replaced at the end
            return
        idle = self.usage < 0.01 / len(self.usage)
        h = self.parts(split.batch(torch.randint(len(split), (1000,))).x).flatten(0, 1)
        some = h[torch.randint(len(h), (len(idle),))]
        self.codebook.weight.copy_(torch.where(idle[:, None], some, self.codebook.weight))
        self.usage.copy_(torch.where(idle, 1 / len(idle), self.usage))


ENTRIES = (
    Entry(
        key="vq_vae",
        name="VQ-VAE",
        year=2017,
        section="§3",
        idea="A code of symbols instead of numbers: each part snaps to the nearest vector of a codebook.",
        equation=r"\min_{A,B,e}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(z)\right)}"
        r" + \term{codebook}{\lVert \mathrm{sg}[A(x)] - z \rVert^2}"
        r" + \beta\, \term{commitment}{\lVert A(x) - \mathrm{sg}[z] \rVert^2},"
        r"\quad z_s = e_k,\ k = \arg\min_j \lVert A_s(x) - e_j \rVert",
        terms={
            "recon": Term("nats, or squared error", "how far the reconstruction is from the input"),
            "codebook": Term("squared distance", "how far the codebook's vectors are from what they stand for"),
            "commitment": Term("squared distance", "the same distance; this one moves the encoder, not the codebook"),
        },
        source="van den Oord et al. (2017), arXiv:1711.00937",
        build=VQVAE,
        params={
            "symbols": Param(8, 1, 64, 1, "log", "S", "how many symbols a code has"),
            "size": Param(8, 1, 64, 1, "log", "d", "how many numbers stand for a symbol"),
            "K": Param(64, 2, 512, 1, "log", "K", "how many different symbols there are: the codebook's vectors"),
            "beta": Param(
                0.25, 0.0, 10.0, 0.05, symbol=r"\beta", help="weight of the encoder's keeping to the codebook"
            ),
            "net": NET,
            "width": WIDTH,
            "distance": Param("bernoulli", choices=DISTANCE.choices, symbol=DISTANCE.symbol, help=DISTANCE.help),
        },
        departures="symbols come from one dense code, not from places of a feature map; idle vectors are put onto"
        " encoded examples at each epoch; no model of the symbols is trained, so that nothing is sampled",
    ),
)
