"""Chapter §3: variational autoencoders. Bounds are nats per example."""

from __future__ import annotations

from collections.abc import Collection

from torch import Tensor

from .. import nets
from ..data.base import Batch
from ..distributions import Bernoulli, Gaussian, likelihood
from ..divergences import kl_standard
from ..entry import CODE, NET, WIDTH, Entry, Param, Term
from ..nets import Shape
from .base import Player, Stochastic


class VAE(Stochastic):
    """Variational autoencoder with a Gaussian posterior, reparameterised (Algorithm 1).

    −L(θ, φ; x) = (1/L) Σ_l −log p(x|z_l) + KL(q(z|x) ‖ N(0, I)),  z_l = μ + σ ⊙ ξ_l  (Eq. 9, 14, 15).

    likelihood: p(x|z), "bernoulli", or "gaussian" with weight c, i.e. variance 1/2c (Eq. 15).
    samples: L.  warmup: share of the training in which the KL's weight rises from 0.

    Source: Kingma & Welling (2013), arXiv:1312.6114. Departures: none.
    """

    beta = 1.0

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        likelihood: str = "bernoulli",
        c: float = 10.0,
        samples: int = 1,
        warmup: float = 0.0,
        net: str = "dense",
        width: int = 512,
    ):
        super().__init__(shape, code)
        self.encoder = nets.encoder(net, self.shape, 2 * code, width)
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.likelihood, self.c, self.samples, self.warmup = likelihood, c, samples, warmup

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        beta = self.beta * min(1.0, progress / self.warmup if self.warmup else 1.0)
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "kl": beta})}

    def p_x(self, z: Tensor) -> Bernoulli | Gaussian:
        """p(x|z) for z (…, B, D): logits (…, B, *shape)."""
        logits = self.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return likelihood(self.likelihood, logits, self.c)

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        qz_x = self.posterior(batch.x)
        px_z = self.p_x(qz_x.rsample(self.samples))  # (L, B, …)
        return {"recon": -px_z.log_prob(batch.x).mean(0), "kl": kl_standard(qz_x)}


class BetaVAE(VAE):
    """A VAE whose KL weighs β: −L = E[−log p(x|z)] + β KL(q(z|x) ‖ N(0, I)) (Eq. 16).

    beta: β; 1 is the VAE.  vae: the VAE's own parameters.

    Source: Higgins et al. (2017), openreview Sy2fzU9gl. Departures: none.
    """

    def __init__(self, shape: Shape, beta: float = 4.0, **vae):
        super().__init__(shape, **vae)
        self.beta = beta


RECON = Term("nats", "−log p(x|z): how unlikely the input is under its decoded distribution (the distortion)")
KL = Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)")
VARIATIONAL = frozenset({"encode", "decode", "sample", "posterior"})
PARAMS = {
    "code": CODE,
    "likelihood": Param("bernoulli", choices=("bernoulli", "gaussian"), symbol="p(x|z)", help="what is decoded"),
    "c": Param(10.0, 0.1, 1000.0, 0.1, "log", "c", "weight of the squared error: a Gaussian decoder of variance 1/2c"),
    "samples": Param(1, 1, 64, 1, "log", "L", "draws of z per image and step"),
    "warmup": Param(0.0, 0.0, 1.0, 0.05, help="share of the training in which the KL's weight rises from 0"),
    "net": NET,
    "width": WIDTH,
}

ENTRIES = (
    Entry(
        key="vae",
        name="Variational autoencoder",
        year=2013,
        section="§3",
        idea="Each image becomes a small cloud of codes; all clouds together fill a known prior.",
        equation=r"-\mathcal{L} = \term{recon}{\mathbb{E}_{q(z|x)}\!\left[-\log p(x|z)\right]}"
        r" + \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}",
        terms={"recon": RECON, "kl": KL},
        source="Kingma & Welling (2013), arXiv:1312.6114; chapter Eq. 7–12, 14, 15",
        build=VAE,
        params=PARAMS,
        abilities=VARIATIONAL,
    ),
    Entry(
        key="beta_vae",
        name="β-VAE",
        year=2017,
        section="§3.3",
        idea="A heavier KL makes the units of the code less dependent on each other, at the price of detail.",
        equation=r"-\mathcal{L} = \term{recon}{\mathbb{E}_{q(z|x)}\!\left[-\log p(x|z)\right]}"
        r" + \beta\, \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}",
        terms={"recon": RECON, "kl": KL},
        source="Higgins et al. (2017), openreview Sy2fzU9gl; chapter Eq. 16",
        build=BetaVAE,
        params={"beta": Param(4.0, 0.0, 100.0, 0.1, "log", r"\beta", "weight of the KL"), **PARAMS},
        abilities=VARIATIONAL,
    ),
)
