"""Chapter §2: autoencoders regularised otherwise than by a narrow code alone."""

from __future__ import annotations

import math
from collections.abc import Collection

import torch
from torch import Tensor, nn

from .. import nets
from ..data.base import Batch
from ..distributions import distance, noise
from ..entry import CODE, DISTANCE, NET, WIDTH, Entry, Param, Term
from ..nets import Shape
from .base import Autoencoder, Player


def gaussian_noise(x: Tensor, sigma: float) -> Tensor:
    """x̃ ~ N(x, σ² I) (Eq. 4)."""
    return x + sigma * noise(x)


def erasures(x: Tensor, p: float) -> Tensor:
    """x̃ = β ⊙ x, β ~ Ber(p): p is the probability that a value is KEPT (Eq. 5)."""
    return x * torch.empty_like(x).bernoulli_(p)


def kl_bernoulli(p: float, p_hat: Tensor) -> Tensor:
    """KL(Ber(p) ‖ Ber(p̂_j)) for every unit j, shape of p̂: nats."""
    p_hat = p_hat.clamp(1e-6, 1 - 1e-6)
    return p * (math.log(p) - p_hat.log()) + (1 - p) * (math.log(1 - p) - (1 - p_hat).log())


class SparseKL(Autoencoder):
    """Sparse autoencoder: each unit is active with a small mean probability p over the batch.

    loss = Δ(x, B(A(x))) + λ Σ_j KL(p ‖ p̂_j),  p̂_j = (1/m) Σ_i a_j(x_i),  a = sigmoid(A(x)) (Eq. 3).

    p: the target activation.  lam: λ.

    Source: Ng (2011), CS294A lecture notes, Sparse autoencoder; chapter Eq. 3.
    Departures: Eq. 3 has no λ (it is 1); with a reconstruction summed over pixels p̂ needs a heavier weight.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        p: float = 0.05,
        lam: float = 10.0,
        net: str = "dense",
        width: int = 512,
        distance: str = "squared",
    ):
        super().__init__(shape, code)
        self.encoder = nn.Sequential(nets.encoder(net, self.shape, code, width), nn.Sigmoid())
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.p, self.lam, self.distance = p, lam, distance

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "sparsity": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        x = batch.x
        a = self.encoder(x)
        p_hat = a.float().mean(0)  # (D,): a term of the whole batch
        return {
            "recon": distance(self.distance, x, self.decoder(a)),
            "sparsity": kl_bernoulli(self.p, p_hat).sum(),
        }


class Denoising(Autoencoder):
    """Reconstructs the clean input from a corrupted one: loss = Δ(x, B(A(x̃))), x̃ ~ C(x̃|x).

    noise: "gaussian" with `sigma` (Eq. 4), or "erasures" with `p`, the probability of keeping a value (Eq. 5).

    Source: Vincent et al. (2008), doi:10.1145/1390156.1390294. Departures: none.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 32,
        noise: str = "gaussian",
        sigma: float = 0.5,
        p: float = 0.5,
        net: str = "dense",
        width: int = 512,
        distance: str = "squared",
    ):
        super().__init__(shape, code)
        self.encoder = nets.encoder(net, self.shape, code, width)
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.noise, self.sigma, self.p, self.distance = noise, sigma, p, distance

    def corrupt(self, x: Tensor) -> Tensor:
        """x̃ ~ C(x̃|x), shape of x; Gaussian noise may leave [0, 1]."""
        return gaussian_noise(x, self.sigma) if self.noise == "gaussian" else erasures(x, self.p)

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        x = batch.x
        x_tilde = self.corrupt(x)
        return {"recon": distance(self.distance, x, self.decoder(self.encoder(x_tilde)))}


ENTRIES = (
    Entry(
        key="sparse_kl",
        name="Sparse autoencoder (KL)",
        year=2011,
        section="§2.1",
        idea="Every unit may fire for a few images only: its mean activation is held at p.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(x))\right)}"
        r" + \lambda\, \term{sparsity}{\sum_j D_{KL}\!\left(p\,\Vert\,\hat{p}_j\right)},"
        r"\quad \hat{p}_j = \tfrac{1}{m} \textstyle\sum_i a_j(x_i)",
        terms={
            "recon": Term("squared error, or nats", "how far the reconstruction is from the input"),
            "sparsity": Term("nats", "how far the units' mean activations over the batch are from p, summed"),
        },
        source="Ng (2011), CS294A lecture notes; chapter Eq. 3",
        build=SparseKL,
        params={
            "code": Param(64, 1, 256, 1, "log", "d", CODE.help),
            "p": Param(0.05, 0.01, 0.5, 0.01, symbol="p", help="the mean activation that every unit should have"),
            "lam": Param(10.0, 0.0, 1000.0, 0.1, "log", r"\lambda", "weight of the sparsity"),
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        departures="the weight λ, which Eq. 3 does not have, since the reconstruction is a sum over pixels",
    ),
    Entry(
        key="denoising",
        name="Denoising autoencoder",
        year=2008,
        section="§2.2",
        idea="Sees a damaged input and must give back the clean one.",
        equation=r"\min_{A,B}\; \mathbb{E}\; \term{recon}{\Delta\!\left(x,\, B(A(\tilde{x}))\right)},"
        r"\quad \tilde{x} \sim \mathcal{N}(x, \sigma^2 I)\ \text{or}\ \tilde{x} = \beta \odot x,"
        r"\ \beta \sim \mathrm{Ber}(p)",
        terms={"recon": Term("squared error, or nats", "how far the reconstruction is from the clean input")},
        source="Vincent et al. (2008), doi:10.1145/1390156.1390294; chapter Eq. 4, 5",
        build=Denoising,
        params={
            "code": Param(32, 1, 256, 1, "log", "d", CODE.help),
            "noise": Param("gaussian", choices=("gaussian", "erasures"), symbol="C", help="how the input is damaged"),
            "sigma": Param(0.5, 0.0, 2.0, 0.05, symbol=r"\sigma", help="standard deviation of the Gaussian noise"),
            "p": Param(0.5, 0.05, 1.0, 0.05, symbol="p", help="probability that a value is kept (erasures)"),
            "net": NET,
            "width": WIDTH,
            "distance": DISTANCE,
        },
        abilities=frozenset({"encode", "decode", "corrupt"}),
    ),
)
