"""Chapter §5.3: Wasserstein autoencoders (Eq. 21), whose codes match the prior only as a whole."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from ..data.base import Batch
from ..nn.distributions import Normal
from ..nn.divergences import KERNELS, mmd2
from ..nn.networks import Shape, mlp
from .base import PlainCode, Player, Terms
from .entry import CODE, DISTANCE, NET, WIDTH, Entry, Param, Term
from .gan import CRITIC, critic_loss, fooling_loss

ENCODING = ("gaussian", "deterministic")
ADAM = (0.5, 0.999)  # as in the paper, §4, for all players


class WAE(PlainCode):
    """The base of both Wasserstein autoencoders: an encoder Q(z|x), a decoder G, the prior N(0, I) and a cost c.

    encoding: Q(z|x) is N(μ(x), diag σ²(x)) with a variance that is learned ("gaussian"), or the point μ(x).
    keywords: those of `PlainCode`; its distance is c.
    """

    abilities = PlainCode.abilities | {"sample", "cloud"}

    def __init__(self, shape: Shape, code: int = 8, encoding: str = "deterministic", **keywords: Any):
        super().__init__(shape, code, outputs=code * (2 if encoding == "gaussian" else 1), **keywords)
        self.encoding = encoding

    def cloud(self, x: Float[Tensor, "B *shape"]) -> Normal:
        """Q(z|x), with μ and log σ² (B, D); σ = 0 for a deterministic encoder."""
        if self.encoding != "gaussian":
            mu = self.encoder(x).float()
            return Normal(mu, torch.full_like(mu, -torch.inf))
        return Normal(*self.encoder(x).float().chunk(2, -1))

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """μ(x), (B, D)."""
        return self.cloud(x).mu

    def draw(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """z̃ ~ Q(z|x), (B, D)."""
        return self.cloud(x).rsample() if self.encoding == "gaussian" else self.encoder(x).float()


class WAEMMD(WAE):
    """Wasserstein autoencoder whose codes are matched to the prior by maximum mean discrepancy.

    min E c(x, G(z̃)) + λ MMD²(Q_Z, P_Z),  z̃ ~ Q(z|x), z ~ P_Z = N(0, I)  (Eq. 21), unbiased MMD² over the minibatch,
    with the kernels of `divergences.mmd2`.

    lam: λ.  kernel: of `divergences.KERNELS`.  encoding: Q(z|x) is "gaussian" or "deterministic".
    distance: c, summed over pixels.

    Source: Tolstikhin et al. (2017), arXiv:1711.01558, Algorithm 2.
    Departures: kernels of seven scales are summed, whereas Algorithm 2 has one kernel, so that λ has a larger effect.
    β₁ = 0.9 in Adam, since there is no critic.
    A single example has no `mmd`.
    """

    smallest_batch = 2

    def __init__(self, shape: Shape, lam: float = 10.0, kernel: str = "inverse multiquadratic", **keywords: Any):
        super().__init__(shape, **keywords)
        self.lam, self.kernel = lam, kernel

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "mmd": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        z_tilde = self.draw(batch.x)
        recon = self.reconstruction_error(batch.x, z_tilde)
        if len(z_tilde) < self.smallest_batch:
            return {"recon": recon}
        z = self.prior.sample(len(z_tilde), z_tilde)
        return {"recon": recon, "mmd": mmd2(z_tilde, z, kernel=self.kernel)}


class WAEGAN(WAE):
    """Wasserstein autoencoder whose codes are matched to the prior by a critic on codes.

    autoencoder: min c(x, G(z̃)) − λ log D(z̃);  critic: min −log D(z) − log(1 − D(z̃)),
    z̃ ~ Q(z|x), z ~ P_Z = N(0, I): the divergence of Eq. 21 is the Jensen–Shannon divergence. At a perfect critic
    its loss is 2 log 2 − 2 JS.

    lam: λ.  encoding: Q(z|x) is "gaussian" or "deterministic".  distance: c, summed over pixels.

    Source: Tolstikhin et al. (2017), arXiv:1711.01558, Algorithm 1.
    Departures: both players move at once, on one forward pass, whereas the algorithm lets the critic move first. λ = 1,
    whereas the paper's experiments on digits have 10: with 10, encoder and critic circle each other (16×16 digits,
    Gaussian encoder: MMD² of held-out codes 0.34 instead of 0.04).
    """

    def __init__(self, shape: Shape, code: int = 8, lam: float = 1.0, width: int = 512, **keywords: Any):
        super().__init__(shape, code, width=width, **keywords)
        self.lam = lam
        self.critic = mlp([code, width, width, 1])

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "adv": self.lam}, betas=ADAM),
            "critic": Player((self.critic,), {"critic": 1.0}, betas=ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        z_tilde = self.draw(batch.x)
        z = self.prior.sample(len(z_tilde), z_tilde)
        real, fake = self.critic(torch.cat([z, z_tilde])).squeeze(-1).chunk(2)
        return {
            "recon": self.reconstruction_error(batch.x, z_tilde),
            "adv": fooling_loss(fake),
            "critic": critic_loss(real, fake),
        }


RECON = Term("squared error, or nats", "how far the reconstruction is from the input, summed over pixels")
PARAMS = {
    "code": Param(8, 1, 256, 1, "log", "d", CODE.help),
    "encoding": Param("deterministic", choices=ENCODING, symbol="Q", help="a Gaussian of learned variance, or a point"),
    "net": NET,
    "width": WIDTH,
    "distance": Param("squared", choices=DISTANCE.choices, symbol="c", help=DISTANCE.help),
}

ENTRIES = (
    Entry(
        key="wae_mmd",
        name="Wasserstein autoencoder (MMD)",
        year=2017,
        section="§5.3",
        idea="All codes together are matched to the prior, while the code of a single image may stay precise.",
        equation=r"\min_{Q,G}\; \term{recon}{\mathbb{E}_{Q(z|x)}\!\left[c(x, G(z))\right]}"
        r" + \lambda\, \term{mmd}{\mathrm{MMD}_k^2\!\left(Q_Z, \mathcal{N}(0, I)\right)}",
        terms={
            "recon": RECON,
            "mmd": Term("kernel units", "squared maximum mean discrepancy of codes and prior; near 0 when they match"),
        },
        source="Tolstikhin et al. (2017), arXiv:1711.01558, Algorithm 2; chapter Eq. 21",
        build=WAEMMD,
        params={
            "lam": Param(10.0, 0.0, 10_000.0, 0.1, "log", r"\lambda", "weight of the MMD²"),
            "kernel": Param("inverse multiquadratic", choices=tuple(KERNELS), symbol="k", help="kernel of the MMD"),
            **PARAMS,
        },
        departures="kernels of seven scales are summed, so that no scale has to be chosen; the cost is the squared "
        "error of the other models and is not scaled down as in the authors' experiments",
        plan={"batch": 128, "epochs": 30},
    ),
    Entry(
        key="wae_gan",
        name="Wasserstein autoencoder (GAN)",
        year=2017,
        section="§5.3",
        idea="Like the WAE with MMD, but a critic that distinguishes codes from samples of the prior replaces the MMD.",
        equation=r"\min_{Q,G}\; \term{recon}{\mathbb{E}_{Q(z|x)}\!\left[c(x, G(z))\right]}"
        r" + \lambda\, \term{adv}{\left(-\log D(\tilde{z})\right)},\quad"
        r"\min_{D}\; \term{critic}{-\log D(z) - \log\left(1 - D(\tilde{z})\right)}",
        terms={
            "recon": RECON,
            "adv": Term("nats", "how surely the critic rejects the codes; log 2 ≈ 0.693 when it only guesses"),
            "critic": CRITIC,
        },
        source="Tolstikhin et al. (2017), arXiv:1711.01558, Algorithm 1; chapter Eq. 21",
        build=WAEGAN,
        params={"lam": Param(1.0, 0.0, 1000.0, 0.1, "log", r"\lambda", "weight of the critic's term"), **PARAMS},
        departures="critic and autoencoder move at once, on one forward pass instead of two; λ is 1, since with 10 "
        "they circle each other",
        plan={"batch": 128, "epochs": 30},
    ),
)
