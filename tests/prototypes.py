"""Models that keep the contract but do not yet learn well enough for the catalog: on digits they collapse."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecore import nets
from aecore.data.base import Batch
from aecore.distributions import sum_dims
from aecore.divergences import kl_standard
from aecore.entry import CODE, NET, WIDTH, Entry, Param, Term
from aecore.models.base import Player, Stochastic
from aecore.models.gan import ADAM, CRITIC, GAN, PLAN, SMALL_CODE, Critic, critic_loss, fooling_loss
from aecore.nets import Shape, mlp


class PairCritic(nn.Module):
    """Tells pairs (x, ẑ) from pairs (x̃, z): x (B, *shape), z (B, D) → logits (B,), large for (x, ẑ)."""

    def __init__(self, shape: Shape, code: int, net: str = "dense", width: int = 512):
        super().__init__()
        self.of_x, size = nets.trunk(net, shape, width)
        self.of_z = nn.Sequential(*mlp([code, width, width]), nn.ReLU())
        self.head = mlp([size + width, width, 1])

    def forward(self, x: Tensor, z: Tensor) -> Tensor:
        return self.head(torch.cat([self.of_x(x), self.of_z(z)], -1)).squeeze(-1)


class ALI(Stochastic):
    """Adversarially learned inference: encoder and decoder are matched by a critic on pairs, no pixel is compared.

    critic: min −log D(x, ẑ) − log(1 − D(x̃, z));  generator (encoder and decoder): min −log(1 − D(x, ẑ)) − log D(x̃, z),
    ẑ ~ q(z|x) = N(μ(x), diag σ²(x)), x̃ = B(z), z ~ N(0, I). Both move at once.

    Source: Dumoulin et al. (2016), arXiv:1606.00704, Algorithm 1.
    Departures: p(x|z) is a point, as in the authors' networks; no maxout, dropout or batch normalisation.
    """

    def __init__(self, shape: Shape, code: int = 16, net: str = "dense", width: int = 512):
        super().__init__(shape, code)
        self.encoder = nets.encoder(net, self.shape, 2 * code, width)
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.critic = PairCritic(self.shape, code, net, width)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "critic": Player((self.critic,), {"critic": 1.0}, betas=ADAM),
            "generator": Player((self.encoder, self.decoder), {"adv": 1.0}, betas=ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        x = batch.x
        z_hat = self.posterior(x).rsample()
        z = self.prior.sample(len(x), z_hat)
        x_tilde = self.decode(z)
        encoded, decoded = self.critic(torch.cat([x, x_tilde]), torch.cat([z_hat, z])).chunk(2)
        return {"critic": critic_loss(encoded, decoded), "adv": critic_loss(decoded, encoded)}


class VAEGAN(Stochastic):
    """VAE/GAN: reconstruction is measured in the critic's features, and the critic judges what is decoded.

    encoder: min KL + L_f;  decoder: min γ L_f − log D(x̂) − log D(x̃);
    critic: min −log D(x) − log(1 − D(x̂)) − log(1 − D(x̃)),
    L_f = ½‖f(x) − f(x̂)‖², f the critic's last hidden layer, x̂ = B(z), z ~ q(z|x), x̃ = B(z_p), z_p ~ N(0, I).

    Source: Larsen et al. (2016), arXiv:1512.09300, Algorithm 1: three players, one forward pass.
    Departures: the decoder minimises −log D where Algorithm 1 maximises the critic's own loss, so that its
    gradient does not vanish while the critic wins. Adam in place of RMSProp. No batch normalisation.
    """

    def __init__(self, shape: Shape, code: int = 16, gamma: float = 1.0, net: str = "dense", width: int = 512):
        super().__init__(shape, code)
        self.encoder = nets.encoder(net, self.shape, 2 * code, width)
        self.decoder = nets.decoder(net, code, self.shape, width)
        self.critic = Critic(self.shape, net, width)
        self.gamma = gamma

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "encoder": Player((self.encoder,), {"kl": 1.0, "features": 1.0}),
            "decoder": Player((self.decoder,), {"features": self.gamma, "adv": 1.0}, betas=ADAM),
            "critic": Player((self.critic,), {"critic": 1.0}, betas=ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        x = batch.x
        qz_x = self.posterior(x)
        z = qz_x.rsample()
        decoded = self.decode(torch.cat([z, self.prior.sample(len(x), z)]))  # x̂, then x̃: (2B, *shape)
        f, f_hat, f_tilde = self.critic.features(torch.cat([x, decoded])).chunk(3)
        real, again, drawn = self.critic.head(torch.cat([f, f_hat, f_tilde])).squeeze(-1).chunk(3)
        return {
            "kl": kl_standard(qz_x),
            "features": 0.5 * sum_dims((f - f_hat) ** 2),
            "adv": fooling_loss(again) + fooling_loss(drawn),
            "critic": critic_loss(real, again) + F.softplus(drawn.float()),
        }


ADV_IMAGES = Term("nats", "how surely the critic rejects what is decoded; log 2 ≈ 0.693 when it cannot tell")

ENTRIES = (
    Entry(
        key="gan",
        name="GAN",
        year=2014,
        section="§5",
        idea="No encoder: a decoder learns to make what a critic takes for data.",
        equation=r"\min_{D}\; \term{critic}{-\log D(x) - \log\left(1 - D(G(z))\right)},\quad"
        r"\min_{G}\; \term{adv}{-\log D(G(z))},\quad z \sim \mathcal{N}(0, I)",
        terms={"critic": CRITIC, "adv": ADV_IMAGES},
        source="Goodfellow et al. (2014), arXiv:1406.2661, Algorithm 1; chapter §5",
        build=GAN,
        params={"code": SMALL_CODE, "net": NET, "width": WIDTH},
        abilities=frozenset({"decode", "sample"}),
        departures="Adam in place of momentum",
        plan=PLAN,
    ),
    Entry(
        key="ali",
        name="Adversarially learned inference",
        year=2016,
        section="§5.2",
        idea="A critic sees pairs of image and code and must tell encoded pairs from decoded ones.",
        equation=r"\min_{D}\; \term{critic}{-\log D(x, \hat{z}) - \log\left(1 - D(\tilde{x}, z)\right)},\quad"
        r"\min_{A,B}\; \term{adv}{-\log\left(1 - D(x, \hat{z})\right) - \log D(\tilde{x}, z)}",
        terms={
            "critic": CRITIC,
            "adv": Term("nats", "how surely the critic knows which pair is which; 2 log 2 when it cannot tell"),
        },
        source="Dumoulin et al. (2016), arXiv:1606.00704, Algorithm 1; chapter §5.2",
        build=ALI,
        params={"code": CODE, "net": NET, "width": WIDTH},
        abilities=frozenset({"encode", "decode", "sample"}),
        departures="no maxout, dropout or batch normalisation",
        plan=PLAN,
    ),
    Entry(
        key="vae_gan",
        name="VAE/GAN",
        year=2016,
        section="§5",
        idea="Reconstructions are compared by what a critic sees in them, not pixel by pixel.",
        equation=r"\min_{A}\; \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}"
        r" + \term{features}{\tfrac{1}{2}\lVert f(x) - f(\hat{x}) \rVert^2},\quad"
        r"\min_{B}\; \gamma\, \term{features}{\tfrac{1}{2}\lVert f(x) - f(\hat{x}) \rVert^2}"
        r" + \term{adv}{-\log D(\hat{x}) - \log D(\tilde{x})},\quad"
        r"\min_{D}\; \term{critic}{-\log D(x) - \log\left(1 - D(\hat{x})\right) - \log\left(1 - D(\tilde{x})\right)}",
        terms={
            "kl": Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)"),
            "features": Term("nats, constant left out", "distance of x and x̂ in the critic's last hidden layer"),
            "adv": Term("nats", "how surely the critic rejects what is decoded; 2 log 2 ≈ 1.386 when it cannot tell"),
            "critic": Term("nats", "the critic's cross-entropy on x, x̂ and x̃; 3 log 2 ≈ 2.079 when it cannot tell"),
        },
        source="Larsen et al. (2016), arXiv:1512.09300, Algorithm 1; chapter §5",
        build=VAEGAN,
        params={
            "code": CODE,
            "gamma": Param(1.0, 1e-3, 100.0, 1e-3, "log", r"\gamma", "the decoder's weight of the features"),
            "net": NET,
            "width": WIDTH,
        },
        abilities=frozenset({"encode", "decode", "sample"}),
        departures="the decoder minimises −log D, not minus the critic's loss; Adam, no batch normalisation",
        plan=PLAN,
    ),
)
PROTOTYPES = {entry.key: entry for entry in ENTRIES}
