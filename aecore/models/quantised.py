"""Beyond chapter §3: an autoencoder whose code is made of symbols."""

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
    """Vector quantised autoencoder: the code is a sequence of symbols, each one of the K vectors of a codebook.

    loss = Δ(x, B(z)) + ‖sg[h] − z‖² + β ‖h − sg[z]‖²,  h = A(x) in `symbols` parts of `size` numbers,
    z_s = e_k with k = argmin_j ‖h_s − e_j‖²; sg stops gradients, and the gradient of Δ passes from z straight through
    to h.

    symbols, size: a code has symbols · size numbers and carries at most symbols · log K nats.  K: number of vectors in
    the codebook.  beta: β.

    Source: van den Oord et al. (2017), Eq. 3, arXiv:1711.00937.
    Departures: the parts come from one dense code, not from the positions of a feature map. At the start of each epoch
    vectors that were hardly used are moved onto encoded examples, since most would never be used otherwise. No second
    model of the symbols is trained, so nothing can be sampled.
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
        self.register_buffer("usage", torch.zeros(K))  # each k's share of all symbols, over about the last 100 steps
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
        if progress == 1:  # a vector that is replaced at the end would not be trained
            return
        idle = self.usage < 0.01 / len(self.usage)
        h = self.parts(split.batch(torch.randint(len(split), (1000,))).x).flatten(0, 1)
        drawn = h[torch.randint(len(h), (len(idle),))]
        self.codebook.weight.copy_(torch.where(idle[:, None], drawn, self.codebook.weight))
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
            "codebook": Term("squared distance", "how far the codebook's vectors are from the encoder's outputs"),
            "commitment": Term("squared distance", "the same distance, which here moves the encoder, not the codebook"),
        },
        source="van den Oord et al. (2017), arXiv:1711.00937",
        build=VQVAE,
        params={
            "symbols": Param(8, 1, 64, 1, "log", "S", "number of symbols in a code"),
            "size": Param(8, 1, 64, 1, "log", "d", "number of dimensions of a symbol's vector"),
            "K": Param(64, 2, 512, 1, "log", "K", "number of different symbols, that is vectors in the codebook"),
            "beta": Param(
                0.25, 0.0, 10.0, 0.05, symbol=r"\beta", help="weight of keeping the encoder close to the codebook"
            ),
            "net": NET,
            "width": WIDTH,
            "distance": Param("bernoulli", choices=DISTANCE.choices, symbol=DISTANCE.symbol, help=DISTANCE.help),
        },
        departures="symbols come from one dense code, not from the positions of a feature map; vectors that are "
        "hardly used are moved onto encoded examples at each epoch; no model of the symbols is trained, so that "
        "nothing can be sampled",
    ),
)
