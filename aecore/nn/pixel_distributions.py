"""Distributions of one pixel value given all values before it: binary, 256 levels, or a mixture of logistics.

The channels of a pixel are drawn in turn. Shapes: `params` (B, outputs, …) are the numbers that the network gives for
each pixel, and x (B, C, …) are its values in [0, 1]; … is () for one pixel or (H, W) for all pixels.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

TINY = 1e-7  # noise is kept this far from 0 and 1, so that its logit is finite


class Values:
    """Distributions of a pixel's C values, each given the earlier ones.

    A law (B, P, …) holds the P parameters of one channel's distribution.

    levels: how many values a channel can take, evenly spaced from 0 to 1.
    outputs: how many numbers the network gives for each pixel.
    """

    levels: int
    outputs: int

    def __init__(self, channels: int):
        self.channels = channels

    def rounded(self, x: Float[Tensor, "*any"]) -> Float[Tensor, "*any"]:
        """The nearest level to each grey value in [0, 1]."""
        return (x * (self.levels - 1)).round() / (self.levels - 1)

    def law(
        self, params: Float[Tensor, "B outputs *place"], x: Float[Tensor, "B C *place"], c: int
    ) -> Float[Tensor, "B P *place"]:
        """The law of channel c given the values of the channels before it: (B, P, …)."""
        raise NotImplementedError

    def log_chances(
        self, law: Float[Tensor, "B P *place"], temperature: float = 1.0
    ) -> Float[Tensor, "B levels *place"]:
        """log p of every level, (B, levels, …): p ∝ p₁^(1/temperature), where p₁ has temperature 1."""
        raise NotImplementedError

    def log_prob(self, law: Float[Tensor, "B P *place"], x: Float[Tensor, "B *place"]) -> Float[Tensor, "B *place"]:
        """log p of one channel's values x (B, …), which are levels: (B, …) nats."""
        raise NotImplementedError

    def centre(self, law: Float[Tensor, "B P *place"]) -> Float[Tensor, "B *place"]:
        """The location of the law, (B, …): the larger the likely values, the larger it is. Saliency is its gradient."""
        raise NotImplementedError

    def thresholds(self, noise: Float[Tensor, "*any"], temperature: float) -> Float[Tensor, "*any"]:
        """Uniform noise in the form in which `draw` takes it."""
        return noise

    def draw(
        self,
        law: Float[Tensor, "B P"],
        thresholds: Float[Tensor, "B"],
        temperature: float,
        out: Float[Tensor, "B"],
    ) -> None:
        """Write drawn values (B,) into `out`: the inverse of the distribution function at `thresholds` (B,)."""
        below = self.log_chances(law, temperature).exp().cumsum(1)
        out.copy_((below[:, :-1] < thresholds[:, None]).sum(1)).div_(self.levels - 1)

    def laws(
        self, params: Float[Tensor, "B outputs *place"], x: Float[Tensor, "B C *place"]
    ) -> list[Float[Tensor, "B P *place"]]:
        """The law of each channel in turn, a list of (B, P, …)."""
        return [self.law(params, x, c) for c in range(self.channels)]

    def log_probs(
        self, params: Float[Tensor, "B outputs *place"], x: Float[Tensor, "B C *place"]
    ) -> Float[Tensor, "B C *place"]:
        """log p of each value given those before it, in the shape of x; their sum is log p(x)."""
        parts = [self.log_prob(law.float(), x[:, c].float()) for c, law in enumerate(self.laws(params, x))]
        return torch.stack(parts, 1)


class Pairwise(Values):
    """`numbers` parameters for each channel, linear in the earlier channels of the pixel: a_c + Σ_{c' < c} w_cc' x_c'.

    A normal law of one channel given another is of this form: its log-density is linear in the other's value.
    """

    numbers: int

    def __init__(self, channels: int):
        super().__init__(channels)
        self.outputs = self.numbers * channels * (channels + 1) // 2

    def law(
        self, params: Float[Tensor, "B outputs *place"], x: Float[Tensor, "B C *place"], c: int
    ) -> Float[Tensor, "B P *place"]:
        k, start = self.numbers, self.channels + c * (c - 1) // 2
        a = params[:, c * k : (c + 1) * k]
        if c:
            w = params[:, start * k : (start + c) * k].unflatten(1, (c, k))
            a = a + (w * x[:, :c, None]).sum(1)
        return a


class Binary(Pairwise):
    """x ∈ {0, 1} with logit a: p(1) = σ(a)."""

    levels, numbers = 2, 1

    def log_chances(
        self, law: Float[Tensor, "B P *place"], temperature: float = 1.0
    ) -> Float[Tensor, "B levels *place"]:
        a = law / temperature
        return torch.cat([F.logsigmoid(-a), F.logsigmoid(a)], 1)

    def log_prob(self, law: Float[Tensor, "B P *place"], x: Float[Tensor, "B *place"]) -> Float[Tensor, "B *place"]:
        return -F.binary_cross_entropy_with_logits(law[:, 0], x, reduction="none")

    def centre(self, law: Float[Tensor, "B P *place"]) -> Float[Tensor, "B *place"]:
        """The logit."""
        return law[:, 0]

    def thresholds(self, noise: Float[Tensor, "*any"], temperature: float) -> Float[Tensor, "*any"]:
        """tξ, ξ = log u − log(1 − u): p(tξ < a) = σ(a / t)."""
        return temperature * noise.logit(TINY)

    def draw(
        self,
        law: Float[Tensor, "B P"],
        thresholds: Float[Tensor, "B"],
        temperature: float,
        out: Float[Tensor, "B"],
    ) -> None:
        torch.gt(law[:, 0], thresholds, out=out)


class Levels(Pairwise):
    """x ∈ {0, 1/255, …, 1} with one logit for each level: p = softmax(a).

    Source: van den Oord et al. (2016), arXiv:1601.06759, §3.
    """

    levels = numbers = 256

    def log_chances(
        self, law: Float[Tensor, "B P *place"], temperature: float = 1.0
    ) -> Float[Tensor, "B levels *place"]:
        return (law / temperature).log_softmax(1)

    def centre(self, law: Float[Tensor, "B P *place"]) -> Float[Tensor, "B *place"]:
        """Σ_k v_k a_k with v from −1 to 1: a constant that is added to all logits cancels here, as it does in p."""
        return torch.einsum("bk...,k->b...", law, torch.linspace(-1, 1, self.levels).to(law))

    def log_prob(self, law: Float[Tensor, "B P *place"], x: Float[Tensor, "B *place"]) -> Float[Tensor, "B *place"]:
        return law.log_softmax(1).gather(1, (x[:, None] * 255).round().long()).squeeze(1)


class Logistics(Values):
    """x ∈ {0, 1/255, …, 1}: Σ_k π_k [σ((x⁺ − μ_k) / s_k) − σ((x⁻ − μ_k) / s_k)], x± is x ± half a level.

    At 0 and 1 the bins are open. All channels of a pixel come from the same component, so that the values of earlier
    channels update π. The means of a channel are linear in the values of the earlier ones, with coefficients in
    (−1, 1).

    Source: Salimans et al. (2017), arXiv:1701.05517, §2.1, 2.2.
    """

    levels, components, least = 256, 5, -7.0  # least: lower bound of log s, where all levels span 2

    def __init__(self, channels: int):
        super().__init__(channels)
        # for each component: π; μ and log s of each channel; a coefficient for each pair of channels
        self.outputs = self.components * (1 + 2 * channels + channels * (channels - 1) // 2)

    def law(
        self, params: Float[Tensor, "B outputs *place"], x: Float[Tensor, "B C *place"], c: int
    ) -> Float[Tensor, "B P *place"]:
        """log π, μ and log s: (B, 3 · components, …)."""
        parts = params.unflatten(1, (-1, self.components))
        log_pi, mu, log_s = parts[:, 0], parts[:, 1 + c], parts[:, 1 + self.channels + c].clamp_min(self.least)
        for earlier in range(c):
            pair = 1 + 2 * self.channels + c * (c - 1) // 2 + earlier
            mu = mu + parts[:, pair].tanh() * (2 * x[:, earlier, None] - 1)
        if c:
            before = self.law(params, x, c - 1)
            log_pi, its_mu, its_log_s = before.chunk(3, 1)
            log_pi = log_pi.log_softmax(1) + self._bins(its_mu, its_log_s, x[:, c - 1, None])
        return torch.cat([log_pi, mu, log_s], 1)

    @staticmethod
    def _bins(mu: Tensor, log_s: Tensor, x: Tensor) -> Tensor:
        """log of the probability that each component gives to the bins of values x.

        log[σ(b) − σ(a)] = log σ(b) + log σ(−a) + log(1 − e^{a−b}), in which no part can overflow.
        """
        inverse = (-log_s).exp()
        b, a = (2 * x - 1 + 1 / 255 - mu) * inverse, (2 * x - 1 - 1 / 255 - mu) * inverse
        first, last = x < 0.5 / 255, x > 1 - 0.5 / 255
        width = torch.where(first | last, 0.0, (-torch.expm1(-2 / 255 * inverse)).log())
        return torch.where(last, 0.0, F.logsigmoid(b)) + torch.where(first, 0.0, F.logsigmoid(-a)) + width

    def centre(self, law: Float[Tensor, "B P *place"]) -> Float[Tensor, "B *place"]:
        """Σ_k π_k μ_k."""
        log_pi, mu, _ = law.chunk(3, 1)
        return (log_pi.softmax(1) * mu).sum(1)

    def log_prob(self, law: Float[Tensor, "B P *place"], x: Float[Tensor, "B *place"]) -> Float[Tensor, "B *place"]:
        log_pi, mu, log_s = law.chunk(3, 1)
        return (log_pi.log_softmax(1) + self._bins(mu, log_s, x[:, None])).logsumexp(1)

    def log_chances(
        self, law: Float[Tensor, "B P *place"], temperature: float = 1.0
    ) -> Float[Tensor, "B levels *place"]:
        log_pi, mu, log_s = law.unsqueeze(2).chunk(3, 1)
        x = torch.linspace(0, 1, self.levels, device=law.device, dtype=law.dtype)
        each = self._bins(mu, log_s, x.view(1, 1, -1, *[1] * (law.ndim - 2)))  # (B, components, levels, …)
        log_p = (log_pi.log_softmax(1) + each).logsumexp(1)
        return log_p if temperature == 1 else (log_p / temperature).log_softmax(1)

    def draw(
        self,
        law: Float[Tensor, "B P"],
        thresholds: Float[Tensor, "B"],
        temperature: float,
        out: Float[Tensor, "B"],
    ) -> None:
        if temperature != 1:
            return super().draw(law, thresholds, temperature, out)
        log_pi, mu, log_s = law.unsqueeze(2).chunk(3, 1)
        upper = 2 * torch.arange(self.levels - 1, device=law.device, dtype=law.dtype) / 255 - 1 + 1 / 255
        below = (log_pi.softmax(1) * ((upper - mu) * (-log_s).exp()).sigmoid()).sum(1)
        out.copy_((below < thresholds[:, None]).sum(1)).div_(self.levels - 1)
        return None


VALUES = {"binary": Binary, "256 levels": Levels, "logistics": Logistics}


def bits(nats: float, size: int) -> float:
    """Nats of a whole image of `size` values as bits per dimension: nats / (size · log 2)."""
    return nats / (size * math.log(2))
