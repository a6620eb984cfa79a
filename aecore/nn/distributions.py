"""Probability distributions. Log-densities are nats, summed over an example's dimensions; the leading (…, B) stay."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Num
from torch import Generator, Tensor
from torch.nn import functional as F

LOG_2PI = math.log(2 * math.pi)


def sum_dims(values: Num[Tensor, "..."], lead: int = 1) -> Float[Tensor, "..."]:
    """Sum over all but the first `lead` dimensions, in float32."""
    return values.float().flatten(lead).sum(-1)


def noise(like: Float[Tensor, "*any"], generator: Generator | None = None) -> Float[Tensor, "*any"]:
    """ξ ~ N(0, I) with shape, device and dtype of `like`."""
    return torch.empty_like(like).normal_(generator=generator)


@dataclass(frozen=True)
class Normal:
    """N(μ, diag σ²) over the last dimension.

    mu, logvar: (B, D); logvar = log σ².
    """

    mu: Float[Tensor, "*B D"]
    logvar: Float[Tensor, "*B D"]

    @property
    def std(self) -> Float[Tensor, "*B D"]:
        return (0.5 * self.logvar).exp()

    def rsample(self, samples: int | None = None, generator: Generator | None = None) -> Float[Tensor, "... D"]:
        """z = μ + σ ⊙ ξ, ξ ~ N(0, I): (B, D), or (samples, B, D). Differentiable (chapter Eq. 14)."""
        mu = self.mu if samples is None else self.mu.expand(samples, *self.mu.shape)
        return mu + self.std * noise(mu, generator)

    def log_prob(self, z: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        """log N(z; μ, σ²): (…, B) nats."""
        return -0.5 * (LOG_2PI + self.logvar + (z - self.mu) ** 2 / self.logvar.exp()).sum(-1)


@runtime_checkable
class Prior(Protocol):
    """A distribution from which codes are drawn."""

    def sample(
        self, n: int, like: Float[Tensor, "..."], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n D"]:
        """n samples (n, D) with the device and dtype of `like`; `temperature` scales their spread."""
        ...


@dataclass(frozen=True)
class StandardNormal:
    """The prior N(0, I) on codes of D latent dimensions."""

    size: int

    def sample(
        self, n: int, like: Float[Tensor, "..."], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n D"]:
        """n samples (n, D) with the device and dtype of `like`; the standard deviation is `temperature`."""
        return temperature * noise(like.new_empty(n, self.size), generator)

    def log_prob(self, z: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        return -0.5 * (LOG_2PI + z**2).sum(-1)


@dataclass(frozen=True)
class RingMixture:
    """Equal mixture of Gaussians with means on a circle in the first two dimensions, and N(0, I) in the others.

    components: how many Gaussians.  radius: of the circle.  std: of each Gaussian in the first two dimensions.
    """

    size: int
    components: int = 10
    radius: float = 3.0
    std: float = 0.4

    def means(self, like: Float[Tensor, "..."]) -> Float[Tensor, "components D"]:
        """(components, D)"""
        angle = torch.arange(self.components, device=like.device) * (2 * math.pi / self.components)
        means = like.new_zeros(self.components, self.size)
        means[:, 0] = self.radius * angle.cos()
        means[:, 1 % self.size] = self.radius * (angle.sin() if self.size > 1 else angle.cos())
        return means

    def stds(self, like: Float[Tensor, "..."]) -> Float[Tensor, "D"]:
        """(D,)"""
        stds = like.new_ones(self.size)
        stds[:2] = self.std
        return stds

    def sample(
        self, n: int, like: Float[Tensor, "..."], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n D"]:
        which = torch.randint(self.components, (n,), device=like.device, generator=generator)
        means = self.means(like)[which]
        return means + temperature * self.stds(like) * noise(means, generator)

    def log_prob(self, z: Float[Tensor, "... D"]) -> Float[Tensor, "..."]:
        means, stds = self.means(z), self.stds(z)
        squares = ((z.unsqueeze(-2) - means) / stds) ** 2  # (…, B, components, D)
        each = -0.5 * (LOG_2PI + 2 * stds.log() + squares).sum(-1)
        return each.logsumexp(-1) - math.log(self.components)


@dataclass(frozen=True)
class Ring(RingMixture):
    """A closed ring, made of so many components on the circle that no single one stands out."""

    components: int = 100
    std: float = 0.2


@dataclass(frozen=True)
class SwissRoll(RingMixture):
    """Components along one turn of a spiral, from the angle 1.5 π to 3.5 π.  radius: at its outer end."""

    components: int = 150
    radius: float = 3.5
    std: float = 0.25

    def means(self, like: Float[Tensor, "..."]) -> Float[Tensor, "components D"]:
        # equal steps of arc length, which grows as the square of the angle: equal density along the roll
        first, last = 1.5 * math.pi, 3.5 * math.pi
        share = torch.arange(self.components, device=like.device) / (self.components - 1)
        angle = (first**2 + share * (last**2 - first**2)).sqrt()
        means = like.new_zeros(self.components, self.size)
        means[:, 0] = self.radius * angle / last * angle.cos()
        means[:, 1 % self.size] = self.radius * angle / last * (angle.sin() if self.size > 1 else angle.cos())
        return means


PRIORS = {"normal": StandardNormal, "mixture": RingMixture, "ring": Ring, "swiss roll": SwissRoll}


@dataclass(frozen=True)
class Bernoulli:
    """Independent pixels x ∈ {0, 1} with logits (…, B, *shape).

    For grey x ∈ [0, 1] `log_prob` is the negative cross-entropy, which is a loss and no log-likelihood. For a
    likelihood make the data black and white, or take a `ContinuousBernoulli`.
    """

    logits: Float[Tensor, "..."]

    @property
    def mean(self) -> Float[Tensor, "..."]:
        return self.logits.float().sigmoid()

    def log_prob(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "*draws B"]:
        """Σ x log p + (1 − x) log(1 − p): (…, B) nats."""
        logits = self.logits.float()
        lead = logits.ndim - x.ndim + 1
        x = x.expand_as(logits)
        return -sum_dims(F.binary_cross_entropy_with_logits(logits, x, reduction="none"), lead)

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "..."]:
        """x of 0 and 1, in the shape of the logits."""
        return torch.bernoulli(self.mean, generator=generator)


@dataclass(frozen=True)
class ContinuousBernoulli:
    """Independent grey values x ∈ [0, 1] with the density C(ℓ) σ(ℓ)ˣ (1 − σ(ℓ))¹⁻ˣ ∝ exp(ℓ x), logits ℓ (…, B, *shape).

    The normaliser is C(ℓ) = ℓ / tanh(ℓ/2), and C(0) = 2. λ = σ(ℓ) is the parameter and not the mean; the mean lies
    between λ and ½.
    Source: Loaiza-Ganem & Cunningham (2019), Eq. 7 to 9, arXiv:1907.06845. Departures: the normaliser and the mean are
    written in ℓ instead of λ, so that they stay finite where λ rounds to 0 or 1.
    """

    logits: Float[Tensor, "..."]

    @property
    def log_normaliser(self) -> Float[Tensor, "..."]:
        """log C(ℓ) of each value, in the shape of the logits. It is log 2 at ℓ = 0, where it is least."""
        half, small, direct = self._halves()
        squared = torch.where(small, half, 0).square()
        series = squared * (1 / 3 + squared * (-7 / 90 + squared * (62 / 2835 - squared * 127 / 18900)))
        return math.log(2) + torch.where(small, series, (direct / direct.tanh()).log())

    @property
    def mean(self) -> Float[Tensor, "..."]:
        """½ + ½ (coth(ℓ/2) − 2/ℓ) of each value, in (0, 1)."""
        half, small, direct = self._halves()
        near = torch.where(small, half, 0)
        squared = near.square()
        series = near * (1 / 3 + squared * (-1 / 45 + squared * (2 / 945 - squared / 4725)))
        return 0.5 + 0.5 * torch.where(small, series, 1 / direct.tanh() - 1 / direct)

    def _halves(self) -> tuple[Float[Tensor, "..."], Bool[Tensor, "..."], Float[Tensor, "..."]]:
        """ℓ/2, where it is so small that a power series is exact, and ℓ/2 with 1 in place of these small values.

        The closed forms divide by ℓ. Each branch of `torch.where` gets values at which its gradient is finite.
        """
        half = self.logits.float() / 2
        small = half.abs() < 0.25
        return half, small, torch.where(small, 1, half)

    def log_prob(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "*draws B"]:
        """Σ x log λ + (1 − x) log(1 − λ) + log C: (…, B) nats, a log-density, which may be positive."""
        lead = self.logits.ndim - x.ndim + 1
        return Bernoulli(self.logits).log_prob(x) + sum_dims(self.log_normaliser, lead)

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "..."]:
        """x in [0, 1], in the shape of the logits, by inverting the distribution function (e^{ℓx} − 1) / (e^ℓ − 1)."""
        logits = self.logits.float()
        u = torch.empty_like(logits).uniform_(generator=generator)
        size = logits.abs().clamp_min(1e-6)  # below it the values are uniform
        x = (u * torch.expm1(-size)).log1p() / -size  # for the logits −size
        return torch.where(logits < 0, x, 1 - x)


@dataclass(frozen=True)
class Gaussian:
    """x ~ N(f, I / 2c), f = sigmoid(logits): its negative log-density is c‖x − f‖² + const (chapter Eq. 15)."""

    logits: Float[Tensor, "..."]
    c: float = 1.0

    @property
    def mean(self) -> Float[Tensor, "..."]:
        return self.logits.float().sigmoid()

    def log_prob(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "*draws B"]:
        """−c‖x − f‖² + (V/2) log(c/π): (…, B) nats, V the number of values in x."""
        lead = self.logits.ndim - x.ndim + 1
        dims = x[0].numel()
        return -self.c * sum_dims((x - self.mean) ** 2, lead) + 0.5 * dims * math.log(self.c / math.pi)

    def sample(self, generator: Generator | None = None) -> Float[Tensor, "..."]:
        """f + ξ / √(2c), in the shape of the logits. Some values lie outside [0, 1]."""
        mean = self.mean
        return mean + noise(mean, generator) / math.sqrt(2 * self.c)


Likelihood = Bernoulli | ContinuousBernoulli | Gaussian
LIKELIHOODS = ("bernoulli", "continuous_bernoulli", "gaussian")


def likelihood(name: str, logits: Float[Tensor, "..."], c: float = 1.0) -> Likelihood:
    """p(x|z) by its name, one of LIKELIHOODS.  c: of "gaussian"."""
    if name == "bernoulli":
        return Bernoulli(logits)
    return ContinuousBernoulli(logits) if name == "continuous_bernoulli" else Gaussian(logits, c)


def distance(name: str, x: Float[Tensor, "B *shape"], logits: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
    """Δ(x, x̂), (B,): "squared" ‖x − sigmoid(logits)‖², or "bernoulli" cross-entropy in nats."""
    if name == "bernoulli":
        return -Bernoulli(logits).log_prob(x)
    return sum_dims((x - logits.float().sigmoid()) ** 2)
