"""Chapter §5.1: autoencoders that share networks with a GAN."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Split
from ..nn import networks
from ..nn.distributions import LOG_2PI, noise, sum_dims
from ..nn.divergences import kl_standard
from ..nn.networks import Shape
from .base import Clustering, GaussianCode, Player, Terms
from .entry import CODE, NET, WIDTH, Entry, Param, Term
from .gan import ADAM, ADV, CRITIC, GAMMA, PLAN, SLOPE, Critic, TwoPlayers, critic_loss, fooling_loss, slope_at

DIGIT = 784  # values of a digit of 28 × 28, for which the weight of the slope is given
FITTED = 4000  # examples to whose codes a mixture is fitted
LEAST = 0.1  # variance added to a fitted component in every direction, since few examples would make it degenerate


class VAEGAN(GaussianCode):
    """VAE/GAN: reconstruction is measured in the critic's features, and the critic judges what is decoded.

    encoder: min KL(q(z|x) ‖ N(0, I)) + c L_f;  decoder: min γ c L_f − log D(x̂) − log D(x̃);
    critic: min −log D(x) − log(1 − D(x̂)) − log(1 − D(x̃)) + ½λ (n/784) ‖∇D(x)‖², n the number of values of x,
    L_f = ½‖f(x) − f(x̂)‖², f the critic's last hidden layer, x̂ = B(z), z ~ q(z|x), x̃ = B(z_p), z_p ~ N(0, I).

    c: precision of the Gaussian p(f(x)|z) = N(f(x̂), I/c).  gamma: γ, the weight of the features in the decoder's loss.
    lam: λ, weight of the penalty on the slope at real examples, for images of n = 784 values. The more values an image
    has, the less slope a critic needs in each of them. With the same weight for all sizes the critic wins at once on
    images of three channels, and the code then never changes; on small images the critic is held back too much: on
    16 × 16 digits the sharpness of samples is then two to three times as far from that of the data (two seeds).

    Source: Larsen et al. (2016), arXiv:1512.09300, Eq. 7–9 and Algorithm 1: three players, one forward pass.
    Departures: the critic's slope is penalised (Mescheder et al. 2018). Without the penalty the critic's features grow
    without bound, and decoder and encoder fail on digits. With the penalty the features lie close together, which a
    larger c than the 1 of the paper compensates: with c = 1 the code carries hardly any information (KL 0.2 nats). The
    decoder minimises −log D, whereas Algorithm 1 maximises the critic's loss, so that its gradient does not vanish
    while the critic wins. Adam replaces RMSProp, and there is no batch normalisation.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        c: float = 20.0,
        gamma: float = 0.05,
        lam: float = 6.0,
        net: str = "dense",
        width: int = 512,
    ):
        super().__init__(shape, code, net=net, width=width, first=networks.linear)
        self.critic = Critic(self.shape, net, width)
        self.c, self.gamma, self.lam = c, gamma, lam

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        slope = self.lam / 2 * math.prod(self.shape) / DIGIT
        return {
            "encoder": Player((self.encoder,), {"kl": 1.0, "features": self.c}),
            "decoder": Player((self.decoder,), {"features": self.gamma * self.c, "adv": 1.0}, betas=ADAM),
            "critic": Player((self.critic,), {"critic": 1.0, "slope": slope}, betas=ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        qz_x = self.posterior(x)
        z = qz_x.rsample()
        decoded = self.decode(torch.cat([z, self.prior.sample(len(x), z)]))  # x̂, then x̃: (2B, *shape)
        (real, f), slope = slope_at(self.critic.judge, x)
        (again, drawn), (f_hat, _) = (both.chunk(2) for both in self.critic.judge(decoded))
        return {
            "kl": kl_standard(qz_x),
            "features": 0.5 * sum_dims((f - f_hat) ** 2),
            "adv": fooling_loss(again) + fooling_loss(drawn),
            "critic": critic_loss(real, again) + F.softplus(drawn.float()),
            "slope": slope,
        }


class FittedMixture(nn.Module):
    """A mixture of K Gaussians with full covariances that is fitted to codes: Σ_k π_k N(z; μ_k, L_k L_kᵀ).

    It is N(0, I) until the first fit.
    """

    pi: Float[Tensor, "K"]
    means: Float[Tensor, "K D"]
    factors: Float[Tensor, "K D D"]

    def __init__(self, size: int, components: int):
        super().__init__()
        self.size = size
        self.register_buffer("pi", torch.full((components,), 1 / components))
        self.register_buffer("means", torch.zeros(components, size))
        self.register_buffer("factors", torch.eye(size).repeat(components, 1, 1))  # L_k

    def fit(self, z: Float[Tensor, "N D"]) -> None:
        """Maximum likelihood by expectation–maximisation, from k-means.

        z: (N, D). Fewer than 2 K codes, or codes that are not finite, leave the mixture as it was.
        """
        from sklearn.mixture import GaussianMixture  # takes a second to load, and only a training needs it

        if len(z) < 2 * len(self.pi) or not z.isfinite().all():
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of equal codes, or of a fit that still moves after 100 rounds
            mixture: Any = GaussianMixture(len(self.pi), reg_covar=LEAST, random_state=0).fit(z.cpu().double().numpy())
        self.pi.copy_(torch.as_tensor(mixture.weights_))
        self.means.copy_(torch.as_tensor(mixture.means_))
        self.factors.copy_(torch.linalg.cholesky(torch.as_tensor(mixture.covariances_)))

    def sample(
        self, n: int, like: Float[Tensor, "..."], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n D"]:
        """n samples (n, D) with the device and dtype of `like`; `temperature` scales the spread around the means."""
        k = torch.multinomial(self.pi, n, replacement=True, generator=generator)
        eps = noise(like.new_empty(n, self.size, 1), generator)
        return self.means[k].to(like) + temperature * (self.factors[k].to(like) @ eps).squeeze(-1)

    def log_joint(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B K"]:
        """log π_k + log N(z; μ_k, L_k L_kᵀ): (B, K) nats."""
        away = (z.float()[:, None] - self.means).unsqueeze(-1)  # (B, K, D, 1)
        squares = torch.linalg.solve_triangular(self.factors, away, upper=False).square().sum((-2, -1))
        log_det = 2 * self.factors.diagonal(dim1=-2, dim2=-1).log().sum(-1)
        return self.pi.log() - 0.5 * (self.size * LOG_2PI + log_det + squares)

    def log_prob(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        return self.log_joint(z).logsumexp(-1)


class GMMGAN(Clustering, TwoPlayers):
    """A GAN whose critic is also an encoder; a Gaussian mixture models the codes of the data.

    critic and encoder, with shared first layers: min −log D(x) − log(1 − D(x̃)) + ½γ ‖∇D(x)‖² + λ ½‖z − A(x̃)‖²;
    generator: min −log D(x̃) + λ ½‖z − A(x̃)‖²,  x̃ = B(z), z ~ N(0, I).
    ½‖z − A(x̃)‖² is −log N(z; A(x̃), I) up to a constant: the encoder learns from generated images, whose codes are
    known. Before each epoch a mixture of K Gaussians is fitted to the codes of data. It gives the clusters, and new
    images are decoded from its samples.

    components: K.  lam: λ, weight of the error of codes.  gamma: γ, weight of the penalty on the slope at real
    examples.

    Source: Feigin, Spitzer & Giryes (2020), arXiv:2012.04525.
    Departures: only the abstract of the paper was read, and code of its first author in which a further output of the
    critic learns z from generated images. It could not be verified when and how often the authors fit their mixture,
    nor which weights they use. Here it is fitted outside of the adversarial training, with 0.1 added to all variances.
    The slope is penalised as in `GAN`.
    """

    abilities = TwoPlayers.abilities | {"encode", "assign"}
    prior: FittedMixture

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        components: int = 10,
        lam: float = 0.05,
        gamma: float = 10.0,
        net: str = "dense",
        width: int = 512,
    ):
        super().__init__(shape, code, net, width, prior=FittedMixture(code, components))
        self.encoder = nn.Sequential(
            nn.Linear(self.critic.head.in_features, width), nn.LeakyReLU(0.2), nn.Linear(width, code)
        )
        self.lam, self.gamma = lam, gamma

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        weights = {"critic": 1.0, "slope": self.gamma / 2, "code": self.lam}
        return {
            "critic": Player((self.critic, self.encoder), weights, betas=ADAM),
            "generator": Player((self.decoder,), {"adv": 1.0, "code": self.lam}, betas=ADAM),
        }

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """A(x), (B, D)."""
        return self.encoder(self.critic.features(x)).float()

    def on_epoch_start(self, split: Split, progress: float) -> None:
        device = next(self.parameters()).device
        index = torch.linspace(0, len(split) - 1, min(len(split), FITTED)).long()
        self.prior.fit(torch.cat([self.encode(split.batch(part).x.to(device)) for part in index.split(500)]))

    def responsibilities(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B K"]:
        """p(k|A(x)) of each component k: (B, K)."""
        return self.prior.log_joint(self.encode(x)).softmax(-1)

    @property
    def centres(self) -> Float[Tensor, "K D"]:
        """μ_k of the fitted mixture, (K, D)."""
        return self.prior.means

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        z, x_tilde = self.fakes(len(batch.x), players)
        fake, f = self.critic.judge(x_tilde)
        terms = {"code": 0.5 * sum_dims((z - self.encoder(f)) ** 2)}
        if "generator" in players:
            terms["adv"] = fooling_loss(fake)
        if "critic" in players:
            (real, _), terms["slope"] = slope_at(self.critic.judge, batch.x)
            terms["critic"] = critic_loss(real, fake)
        return terms


ENTRIES = (
    Entry(
        key="vae_gan",
        name="VAE/GAN",
        year=2016,
        section="§5.1",
        idea="Reconstructions are compared by the features of a critic, not pixel by pixel.",
        equation=r"\min_{A}\; \term{kl}{D_{KL}\!\left(q(z|x)\,\Vert\,\mathcal{N}(0, I)\right)}"
        r" + c\, \term{features}{\tfrac{1}{2}\lVert f(x) - f(\hat{x}) \rVert^2},\quad"
        r"\min_{B}\; \gamma c\, \term{features}{\tfrac{1}{2}\lVert f(x) - f(\hat{x}) \rVert^2}"
        r" + \term{adv}{-\log D(\hat{x}) - \log D(\tilde{x})},\quad"
        r"\min_{D}\; \term{critic}{-\log D(x) - \log\left(1 - D(\hat{x})\right) - \log\left(1 - D(\tilde{x})\right)}"
        r" + \tfrac{\lambda}{2} \tfrac{n}{784}\, \term{slope}{\lVert \nabla D(x) \rVert^2}",
        terms={
            "kl": Term("nats", "KL(q(z|x) ‖ p(z)): how much the code says about the input (the rate)"),
            "features": Term("nats, constant left out", "distance between x and x̂ in the critic's last hidden layer"),
            "adv": Term("nats", "how surely the critic rejects decoded images; 2 log 3 ≈ 2.197 when it only guesses"),
            "critic": Term("nats", "the critic's cross-entropy on x, x̂ and x̃; log 27/4 ≈ 1.910 when it only guesses"),
            "slope": SLOPE,
        },
        source="Larsen et al. (2016), arXiv:1512.09300, Algorithm 1; chapter §5.1",
        build=VAEGAN,
        params={
            "code": CODE,
            "c": Param(20.0, 0.1, 1000.0, 0.1, "log", "c", "weight of the critic's features: their precision"),
            "gamma": Param(0.05, 1e-3, 100.0, 1e-3, "log", r"\gamma", "weight of the features in the decoder's loss"),
            "lam": Param(6.0, 0.0, 100.0, 0.1, "log", r"\lambda", "weight of the slope's penalty, for n = 784 values"),
            "net": NET,
            "width": WIDTH,
        },
        departures="the critic's slope is penalised, since otherwise its features grow without bound; the features "
        "have the weight c, since otherwise the code carries no information; the decoder minimises −log D, whose "
        "gradient does not vanish while the critic wins; Adam; no batch normalisation, which would make an image "
        "depend on the others in its minibatch",
        plan=PLAN,
    ),
    Entry(
        key="gmm_gan",
        name="GAN with a mixture of codes",
        year=2020,
        section="§5.1",
        idea="The critic also learns to encode images, and a Gaussian mixture fitted to the codes finds clusters.",
        equation=r"\min_{D,A}\; \term{critic}{-\log D(x) - \log\left(1 - D(\tilde{x})\right)}"
        r" + \tfrac{\gamma}{2}\, \term{slope}{\lVert \nabla D(x) \rVert^2}"
        r" + \lambda\, \term{code}{\tfrac{1}{2}\lVert z - A(\tilde{x}) \rVert^2},\quad"
        r"\min_{B}\; \term{adv}{-\log D(\tilde{x})}"
        r" + \lambda\, \term{code}{\tfrac{1}{2}\lVert z - A(\tilde{x}) \rVert^2},\quad \tilde{x} = B(z)",
        terms={
            "critic": CRITIC,
            "slope": SLOPE,
            "code": Term(
                "nats, constant left out", "how far the encoder's code of a generated image is from its true code"
            ),
            "adv": ADV,
        },
        source="Feigin, Spitzer & Giryes (2020), arXiv:2012.04525; chapter §5.1",
        build=GMMGAN,
        params={
            "code": Param(16, 1, 64, 1, "log", "d", CODE.help),
            "components": Param(10, 1, 50, 1, symbol="K", help="Gaussians in the mixture that is fitted to the codes"),
            "lam": Param(
                0.05, 0.001, 100.0, 0.001, "log", r"\lambda", "weight of the error of generated images' codes"
            ),
            "gamma": GAMMA,
            "net": NET,
            "width": WIDTH,
        },
        departures="only the paper's abstract and code of its first author were read; the mixture is fitted to the "
        "codes before each epoch, outside of the adversarial training; the critic's slope is penalised",
        plan=PLAN,
    ),
)
