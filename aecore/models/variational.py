"""Chapter §3: variational autoencoders. Bounds are nats per example."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from ..data.base import Batch, Split
from ..nn import networks
from ..nn.distributions import LIKELIHOODS, Likelihood, Normal, StandardNormal, likelihood
from ..nn.divergences import kl_standard, log_aggregate, mmd2
from ..nn.networks import Shape
from .base import GaussianCode, Player, Terms
from .entry import CODE, NET, WIDTH, Entry, Param, Term
from .gan import CRITIC, critic_loss


class Variational(GaussianCode):
    """The base of this family: a Gaussian posterior, reparameterised, and the terms of the evidence lower bound.

    recon = (1/L) Σ_l −log p(x|z_l),  kl = KL(q(z|x) ‖ N(0, I)),  z_l = μ + σ ⊙ ξ_l  (Eq. 9, 14, 15).

    likelihood: p(x|z): "bernoulli", of which recon is the cross-entropy and for grey images no likelihood;
    "continuous_bernoulli", a density of grey values; or "gaussian" with weight c, i.e. variance 1/2c (Eq. 15).
    samples: L.  warmup: share of the training in which the weights of all but `recon` rise from 0.
    keywords: those of `Mirrored`.
    """

    abilities = GaussianCode.abilities | {"likelihood"}
    prior: StandardNormal

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        likelihood: str = "bernoulli",
        c: float = 10.0,
        samples: int = 1,
        warmup: float = 0.0,
        **keywords: Any,
    ):
        super().__init__(shape, code, **keywords)
        self.likelihood, self.c, self.samples, self.warmup = likelihood, c, samples, warmup

    def weights(self) -> dict[str, float]:
        """Weights of the terms other than `recon`, after the warm-up."""
        return {"kl": 1.0}

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        warm = min(1.0, progress / self.warmup if self.warmup else 1.0)
        weights = {"recon": 1.0, **{name: warm * weight for name, weight in self.weights().items()}}
        return {"autoencoder": Player((self.encoder, self.decoder), weights)}

    def p_x(self, z: Float[Tensor, "*draws B D"]) -> Likelihood:
        """p(x|z) for z (…, B, D): logits (…, B, *shape)."""
        logits = self.decoder(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return likelihood(self.likelihood, logits, self.c)

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B *shape"]:
        return likelihood(self.likelihood, self.decoder(z), self.c).mean

    def bound(self, x: Float[Tensor, "B *shape"]) -> tuple[Terms, Normal, Float[Tensor, "L B D"]]:
        """The terms of −L, q(z|x) and its samples z (L, B, D), from which subclasses compute further terms."""
        qz_x = self.posterior(x)
        z = qz_x.rsample(self.samples)
        return {"recon": -self.p_x(z).log_prob(x).mean(0), "kl": kl_standard(qz_x)}, qz_x, z

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        return self.bound(batch.x)[0]


class VAE(Variational):
    """Variational autoencoder (Algorithm 1): −L(θ, φ; x) = recon + β kl, with β = 1 (Eq. 9).

    beta: β; another value makes it a β-VAE.  family: the parameters of `Variational`.

    Source: Kingma & Welling (2013), arXiv:1312.6114. Departures: the weight β, which is 1 in the paper and by default.
    """

    def __init__(self, shape: Shape, beta: float = 1.0, **family: Any):
        super().__init__(shape, **family)
        self.beta = beta

    def weights(self) -> dict[str, float]:
        return {"kl": self.beta}


class BetaVAE(VAE):
    """A VAE whose KL term has the weight β: −L = E[−log p(x|z)] + β KL(q(z|x) ‖ N(0, I)) (Eq. 16).

    beta: β; 1 is the VAE.  family: the parameters of `Variational`.

    Source: Higgins et al. (2017), openreview Sy2fzU9gl. Departures: none.
    """

    def __init__(self, shape: Shape, beta: float = 4.0, **family: Any):
        super().__init__(shape, beta, **family)


class IWAE(Variational):
    """Importance weighted autoencoder: a tighter bound on log p(x) from K samples of q(z|x).

    −L_K = −log (1/K) Σ_k w_k = recon + kl − gain,  w_k = p(x|z_k) p(z_k) / q(z_k|x),  z_k ~ q(z|x)  (Eq. 13),
    recon = (1/K) Σ_k −log p(x|z_k),  kl = (1/K) Σ_k log q(z_k|x) − log p(z_k),
    gain = log (1/K) Σ_k w_k − (1/K) Σ_k log w_k ≥ 0, by which the weights w_k raise the VAE's bound L_1.

    The gradient is that of the log w_k, each weighted by w_k / Σ_j w_j.

    K: number of samples.  likelihood, c: p(x|z), as in the VAE.

    Source: Burda et al. (2015), Eq. 8 and 14, arXiv:1509.00519.
    Departures: one layer of latent variables. The KL is estimated from the samples and not computed in closed form, so
    that the three terms add up to the bound exactly. The outer mean over L samples in Eq. 13 is left to the mean over
    minibatches.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        K: int = 5,
        likelihood: str = "bernoulli",
        c: float = 10.0,
        net: str = "dense",
        width: int = 512,
    ):
        super().__init__(shape, code, likelihood, c, samples=K, net=net, width=width)
        self.K = K

    def weights(self) -> dict[str, float]:
        return {"kl": 1.0, "gain": -1.0}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        qz_x = self.posterior(batch.x)
        z = qz_x.rsample(self.K)
        log_px_z = self.p_x(z).log_prob(batch.x)  # (K, B)
        log_ratio = qz_x.log_prob(z) - self.prior.log_prob(z)
        log_w = log_px_z - log_ratio
        gain = log_w.logsumexp(0) - math.log(self.K) - log_w.mean(0)
        return {"recon": -log_px_z.mean(0), "kl": log_ratio.mean(0), "gain": gain}


class InfoVAE(Variational):
    """A VAE that matches the aggregate posterior, not each posterior, to the prior: codes keep more of the image.

    loss = recon + (1 − α) KL(q(z|x) ‖ N(0, I)) + (α + λ − 1) MMD²(q(z), N(0, I)).

    alpha: α; with 0 the whole KL is kept, with 1 only the MMD is left.  lam: λ.  family: the parameters of
    `Variational`.

    Source: Zhao et al. (2017), the InfoVAE objective with MMD, arXiv:1706.02262.
    Departures: the kernel is `mmd2`'s inverse multiquadratic sum over seven scales, not one Gaussian, so that the same
    λ has a larger effect; from about λ = 100 on, codes match the prior at the price of the information in them.
    A single example has no `mmd`.
    """

    smallest_batch = 2

    def __init__(self, shape: Shape, alpha: float = 0.9, lam: float = 30.0, **family: Any):
        super().__init__(shape, **family)
        self.alpha, self.lam = alpha, lam

    def weights(self) -> dict[str, float]:
        return {"kl": 1 - self.alpha, "mmd": self.alpha + self.lam - 1}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        terms, _, z = self.bound(batch.x)
        if len(batch.x) < self.smallest_batch:
            return terms
        return {**terms, "mmd": mmd2(z[0], self.prior.sample(len(batch.x), z))}


class BetaTCVAE(Variational):
    """A VAE whose KL is decomposed, so that only the dependence between latent dimensions is weighted more.

    loss = recon + α mi + β tc + γ dw_kl;  mi = log q(z|x) / q(z),  tc = log q(z) / Π_j q(z_j),
    dw_kl = Σ_j log q(z_j) / p(z_j),  z ~ q(z|x),  q(z) = (1/N) Σ_n q(z|x_n).
    If all weights are 1, the loss is that of the VAE.

    mi, tc and dw_kl are estimates from one minibatch of B examples, and depend on B. On average log q(z) comes out too
    small, since among B − 1 other examples there are rarely some with a code near z. Hence mi is too large and tc as a
    rule too small, often below 0, and the more so the smaller B is; the sum of all three does not depend on B. Training
    and held-out figures have the B of the training. `aggregate_posterior.total_correlation` gives bounds that do not
    depend on B. A single example has none of the three terms.

    alpha, beta, gamma: α, β, γ.  family: the parameters of `Variational`.

    Source: Chen et al. (2018), Eq. 2 and 4, arXiv:1802.04942.
    Departures: q(z) is estimated by `log_aggregate`. N is always the number of training examples, also for held-out
    examples.
    """

    smallest_batch = 2
    batchwise = True
    examples: Int[Tensor, ""]

    def __init__(self, shape: Shape, alpha: float = 1.0, beta: float = 6.0, gamma: float = 1.0, **family: Any):
        super().__init__(shape, **family)
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.register_buffer("examples", torch.zeros((), dtype=torch.long))  # N

    def weights(self) -> dict[str, float]:
        return {"mi": self.alpha, "tc": self.beta, "dw_kl": self.gamma}

    def on_epoch_start(self, split: Split, progress: float) -> None:
        self.examples.fill_(len(split))

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        terms, qz_x, z = self.bound(batch.x)
        if len(batch.x) < self.smallest_batch:
            return {"recon": terms["recon"]}
        log_qz, log_qz_j = log_aggregate(qz_x, z[0], self.examples)
        mi, dw_kl = qz_x.log_prob(z[0]) - log_qz, log_qz_j - self.prior.log_prob(z[0])
        return {"recon": terms["recon"], "mi": mi, "tc": log_qz - log_qz_j, "dw_kl": dw_kl}


def permuted(z: Float[Tensor, "B D"]) -> Float[Tensor, "B D"]:
    """Codes z (B, D) with each dimension's values in a random order: the same marginals, but independent dimensions.

    Source: Kim & Mnih (2018), Algorithm 1, arXiv:1802.05983.
    """
    return z.gather(0, torch.rand_like(z).argsort(0))


class FactorVAE(Variational):
    """A VAE that penalises the dependence between latent dimensions, which a critic measures.

    autoencoder: min recon + kl + γ tc,  tc = log D(z) − log(1 − D(z)), z ~ q(z|x);
    critic: min ½ (−log D(z) − log(1 − D(z̄))),  z̄: codes whose dimensions were permuted, each across the minibatch.
    The best critic has D / (1 − D) = q(z) / Π_j q(z_j), and then the mean of tc is the total correlation.

    gamma: γ.  family: the parameters of `Variational`.  The critic has six hidden layers of `width` units.

    Source: Kim & Mnih (2018), Algorithm 2, arXiv:1802.05983.
    Departures: a step has one minibatch, whereas the paper has two: the critic distinguishes codes of one half from
    permuted codes of the other half, and the autoencoder learns from both. The players move at once. The critic has as
    many units per layer as the autoencoder, whereas the paper has 1,000, and one logit instead of two.
    """

    def __init__(self, shape: Shape, gamma: float = 10.0, width: int = 512, **family: Any):
        super().__init__(shape, width=width, **family)
        self.gamma = gamma
        hidden = [(networks.linear(inputs, width), nn.LeakyReLU(0.2)) for inputs in (self.code, *[width] * 5)]
        self.critic = nn.Sequential(*(part for layer in hidden for part in layer), networks.linear(width, 1))

    def weights(self) -> dict[str, float]:
        return {"kl": 1.0, "tc": self.gamma}

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return super().players(progress) | {"critic": Player((self.critic,), {"critic": 0.5}, betas=(0.5, 0.9))}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        terms, _, (z, *_) = self.bound(batch.x)
        half = (len(z) + 1) // 2
        logits = self.critic(torch.cat([z, permuted(z[-half:])])).squeeze(-1).float()
        critic = critic_loss(logits[:half], logits[-half:])
        return {**terms, "tc": logits[: len(z)], "critic": critic.mean()}


RECON = Term(
    "nats",
    "−log p(x|z), the distortion: how unlikely the input is under its decoded distribution; with Bernoulli pixels the "
    "cross-entropy, which is no likelihood of grey images",
)
KL = Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)")
PARAMS = {
    "code": CODE,
    "likelihood": Param(
        "bernoulli",
        choices=LIKELIHOODS,
        symbol="p(x|z)",
        help="distribution of pixels: Bernoulli for black and white (a cross-entropy on grey images), continuous "
        "Bernoulli or Gaussian for grey values",
    ),
    "c": Param(10.0, 0.1, 1000.0, 0.1, "log", "c", "weight of the squared error: a Gaussian decoder of variance 1/2c"),
    "samples": Param(1, 1, 64, 1, "log", "L", "samples of z per image and step"),
    "warmup": Param(0.0, 0.0, 1.0, 0.05, help="share of the training in which the KL's weight rises from 0"),
    "net": NET,
    "width": WIDTH,
}
DISTORTION = r"\term{recon}{\mathbb{E}_{q(z|x)}\!\left[-\log p(x|z)\right]}"
RATE = r"\term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}"

ENTRIES = (
    Entry(
        key="vae",
        name="Variational autoencoder",
        year=2013,
        section="§3",
        idea="Each image is encoded as a small cloud of codes, and all clouds together fill a known prior.",
        equation=r"-\mathcal{L} = " + DISTORTION + r" + \beta\, " + RATE,
        terms={"recon": RECON, "kl": KL},
        source="Kingma & Welling (2013), arXiv:1312.6114; chapter Eq. 7–12, 14, 15",
        build=VAE,
        params={
            "code": CODE,
            "beta": Param(1.0, 0.0, 100.0, 0.1, "log", r"\beta", "weight of the KL; 1 gives the evidence lower bound"),
            **PARAMS,
        },
        departures="the weight β, which is 1 in the paper and by default",
    ),
    Entry(
        key="beta_vae",
        name="β-VAE",
        year=2017,
        section="§3.3",
        idea="A larger weight of the KL makes latent dimensions less dependent on each other, at the price of detail.",
        equation=r"-\mathcal{L} = " + DISTORTION + r" + \beta\, " + RATE,
        terms={"recon": RECON, "kl": KL},
        source="Higgins et al. (2017), openreview Sy2fzU9gl; chapter Eq. 16",
        build=BetaVAE,
        params={"beta": Param(4.0, 0.0, 100.0, 0.1, "log", r"\beta", "weight of the KL"), **PARAMS},
    ),
    Entry(
        key="iwae",
        name="Importance weighted autoencoder",
        year=2015,
        section="§3.1",
        idea="Several samples of the code per image, weighted by their importance, give a tighter bound on log p(x).",
        equation=r"-\mathcal{L}_K = -\mathbb{E}\log \tfrac{1}{K} \textstyle\sum_k w_k"
        r" = \term{recon}{\mathbb{E}\!\left[-\log p(x|z)\right]}"
        r" + \term{kl}{\mathbb{E}\log\tfrac{q(z|x)}{p(z)}}"
        r" - \term{gain}{\left(\log \tfrac{1}{K} \textstyle\sum_k w_k - \tfrac{1}{K} \sum_k \log w_k\right)},"
        r"\quad w_k = \tfrac{p(x, z_k)}{q(z_k|x)},\ z_k \sim q(z|x)",
        terms={"recon": RECON, "kl": KL, "gain": Term("nats", "how much K weighted samples tighten the VAE's bound")},
        source="Burda et al. (2015), arXiv:1509.00519; chapter Eq. 13",
        build=IWAE,
        params={
            "code": CODE,
            "K": Param(5, 1, 64, 1, "log", "K", "samples of z per image and step; with 1 it is the VAE"),
            **{name: PARAMS[name] for name in ("likelihood", "c", "net", "width")},
        },
        departures="one layer of latent variables, so that the code can be plotted; the KL is estimated from the "
        "samples, so that the terms add up to the bound",
    ),
    Entry(
        key="info_vae",
        name="InfoVAE",
        year=2017,
        section="§3.3",
        idea="All codes together must match the prior, but each image's cloud may stay small, so that codes carry "
        "more information.",
        equation=DISTORTION + r" + (1 - \alpha)\, " + RATE + r" + (\alpha + \lambda - 1)\,"
        r" \term{mmd}{\mathrm{MMD}^2\!\left(q(z),\, \mathcal{N}(0, I)\right)}",
        terms={"recon": RECON, "kl": KL, "mmd": Term("MMD²", "how far all codes together are from the prior")},
        source="Zhao et al. (2017), arXiv:1706.02262",
        build=InfoVAE,
        params={
            "alpha": Param(0.9, 0.0, 1.0, 0.05, symbol=r"\alpha", help="share of each image's KL that is left out"),
            "lam": Param(
                30.0, 1.0, 1000.0, 1.0, "log", r"\lambda", "weight of matching all codes together to the prior"
            ),
            **PARAMS,
        },
        departures="another kernel: inverse multiquadratic, summed over scales, so that no scale has to be chosen",
    ),
    Entry(
        key="beta_tcvae",
        name="β-TCVAE",
        year=2018,
        section="§3.3",
        idea="Only the part of the KL term that measures the dependence between latent dimensions is weighted more, "
        "so less detail is lost than with β.",
        equation=DISTORTION + r" + \alpha\, \term{mi}{I(x; z)}"
        r" + \beta\, \term{tc}{D_{KL}\!\left(q(z)\,\Vert\,\textstyle\prod_j q(z_j)\right)}"
        r" + \gamma\, \term{dw_kl}{\textstyle\sum_j D_{KL}\!\left(q(z_j)\,\Vert\,p(z_j)\right)}",
        terms={
            "recon": RECON,
            "mi": Term(
                "nats",
                "mutual information of image and code, estimated from one minibatch: too large, the more so the "
                "smaller the minibatch is",
            ),
            "tc": Term(
                "nats",
                "total correlation, how much the latent dimensions depend on each other, estimated from one "
                "minibatch: as a rule too small, often negative, the more so the smaller the minibatch is",
            ),
            "dw_kl": Term("nats", "how far each latent dimension on its own is from the prior"),
        },
        source="Chen et al. (2018), arXiv:1802.04942",
        build=BetaTCVAE,
        params={
            "alpha": Param(1.0, 0.0, 10.0, 0.1, symbol=r"\alpha", help="weight of the mutual information"),
            "beta": Param(6.0, 0.0, 100.0, 0.1, "log", r"\beta", "weight of the total correlation"),
            "gamma": Param(1.0, 0.0, 10.0, 0.1, symbol=r"\gamma", help="weight of each latent dimension's own KL"),
            **PARAMS,
        },
        departures="in the estimate of q(z) the other examples of a minibatch share the weight of those that are not "
        "in it; it depends on the size of the minibatch, which is the training's for held-out examples, too",
    ),
    Entry(
        key="factor_vae",
        name="FactorVAE",
        year=2018,
        section="§3.3",
        idea="A critic distinguishes codes from codes with shuffled dimensions; the dependence that it detects is "
        "penalised.",
        equation=r"\min_{A,B}\; "
        + DISTORTION
        + " + "
        + RATE
        + r" + \gamma\, \term{tc}{\log \tfrac{D(z)}{1 - D(z)}},\quad"
        r"\min_{D}\; \tfrac{1}{2}\, \term{critic}{\left(-\log D(z) - \log\left(1 - D(\bar{z})\right)\right)},"
        r"\quad z \sim q(z|x),\ \bar{z}_j \sim q(z_j)",
        terms={
            "recon": RECON,
            "kl": KL,
            "tc": Term("nats", "total correlation as estimated by the critic: dependence of the latent dimensions"),
            "critic": CRITIC,
        },
        source="Kim & Mnih (2018), arXiv:1802.05983, Algorithm 2",
        build=FactorVAE,
        params={
            "gamma": Param(10.0, 0.0, 1000.0, 0.1, "log", r"\gamma", "weight of the total correlation"),
            **PARAMS,
        },
        departures="the two minibatches of a step are the halves of one, and both players move at once; the critic's "
        "layers have `width` units, not 1,000",
    ),
)
