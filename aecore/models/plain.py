"""Chapter §1: the plain autoencoders, linear and deep (Eq. 1)."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ..data.base import Batch
from ..nn import networks
from ..nn.distributions import sum_dims
from ..nn.networks import Shape
from .base import Autoencoder, PlainCode, Player, Terms
from .entry import CODE, DISTANCE, NET, WIDTH, Entry, Term


class Linear(Autoencoder):
    """Linear encoder and decoder.

    h = A x + a,  x̂ = B h + b,  loss = ‖x − x̂‖² (Eq. 1). At the optimum B spans the subspace of the first
    D principal components; the biases centre the data.

    Source: Baldi & Hornik (1989); Plaut (2018), arXiv:1804.10253.
    Departures: trained by Adam from a random orthonormal B with A = Bᵀ. From two unrelated random matrices the last
    directions, whose eigenvalues are close, take ten times as long to learn. They take as long with Adam's usual
    β₂ = 0.999, which keeps the large gradients of the start in memory.
    """

    def __init__(self, shape: Shape, code: int = 16):
        super().__init__(shape, code)
        inputs = math.prod(self.shape)
        A, B = nn.Linear(inputs, code), nn.Linear(code, inputs)
        self.encoder = nn.Sequential(nn.Flatten(), A)
        self.decoder = nn.Sequential(B, networks.Reshape(self.shape))
        nn.init.orthogonal_(B.weight)
        with torch.no_grad():
            A.weight.copy_(B.weight.T)
        nn.init.zeros_(A.bias)
        nn.init.zeros_(B.bias)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0}, betas=(0.9, 0.95))}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        return {"recon": sum_dims((x - self.decoder(self.encoder(x))) ** 2)}

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B *shape"]:
        """x̂ = B z + b, not squashed: it may leave [0, 1], as PCA's reconstruction does."""
        return self.decoder(z).float()


class Deep(PlainCode):
    """Undercomplete non-linear autoencoder: loss = Δ(x, B(A(x))) (Eq. 1).

    Parameters are those of `PlainCode`; distance: Δ, "squared" or "bernoulli".

    Source: Hinton & Salakhutdinov (2006), doi:10.1126/science.1127647.
    Departures: trained from scratch with Adam, without layer-wise pretraining.
    """

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        return {"recon": self.reconstruction_error(batch.x, self.encoder(batch.x))}


RECON = Term("squared error", "how far the reconstruction is from the input, summed over the pixels")

ENTRIES = (
    Entry(
        key="linear",
        name="Linear autoencoder",
        year=1989,
        section="§1",
        idea="One matrix encodes and another decodes: they find the same subspace as PCA.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\lVert x - B(Ax) \rVert^2}",
        terms={"recon": RECON},
        source="Baldi & Hornik (1989); Plaut (2018), arXiv:1804.10253; chapter Eq. 1",
        build=Linear,
        params={"code": CODE},
        departures="trained by Adam (β₂ = 0.95) from random orthonormal matrices with A = Bᵀ",
        plan={"lr": 2e-2, "epochs": 20, "precision": "fp32"},
    ),
    Entry(
        key="deep",
        name="Deep autoencoder",
        year=2006,
        section="§1",
        idea="A non-linear encoder and decoder around a narrow code: PCA with a curved manifold instead of a plane.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}",
        terms={"recon": Term("squared error, or nats", RECON.help)},
        source="Hinton & Salakhutdinov (2006), doi:10.1126/science.1127647; chapter Eq. 1",
        build=Deep,
        params={"code": CODE, "net": NET, "width": WIDTH, "distance": DISTANCE},
        departures="trained from scratch with Adam: the layer-wise pretraining of 2006 is no longer needed",
    ),
)
