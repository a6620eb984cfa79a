"""Chapter §5.2: adversarially learned inference, its hierarchy and its cycle.

No pixels are compared here. A critic sees pairs of an image and a code, and encoder and decoder are trained until it
cannot tell pairs that began with an image from pairs that began with a code.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Generator, Tensor, nn

from ..data.base import Batch
from ..nn import networks
from ..nn.distributions import Normal, StandardNormal, noise, sum_dims
from ..nn.networks import Shape
from .base import ConditionedGaussian, Player, Terms
from .entry import ATTRIBUTES, CLASSES, CODE, NET, WIDTH, Entry, Param, Term
from .gan import ADAM, CRITIC, critic_loss

# --- networks -------------------------------------------------------------------------------------------


def append_condition(v: Float[Tensor, "B F"], c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B inputs"]:
    """The input of a linear layer: v (B, F) joined with the condition c (B, C), where there is one."""
    return v if c is None else torch.cat([v, c.to(v.dtype)], -1)


def batch_normalised(net: nn.Module) -> nn.Sequential:
    """The layers of a net, with the input of each ReLU normalised over the batch instead of per example.

    The encoder and decoder of the ALI paper have this. With normalisation per example (at a learning rate of 3e-4
    instead of 1e-3) 61 % of the digits that a convolutional ALI generated were classified as ones; with batch
    normalisation, 23 % (one run each: 8 epochs, γ = 1, noisy x).
    Source: Ioffe & Szegedy (2015), arXiv:1502.03167; Dumoulin et al. (2016), arXiv:1606.00704, appendix A.
    """
    layers: list[nn.Module] = []
    normalisation: nn.Module = nn.Identity()
    for layer in net.modules():
        if isinstance(layer, nn.Linear):
            normalisation = nn.BatchNorm1d(layer.out_features)
        elif isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            normalisation = nn.BatchNorm2d(layer.out_channels)
        elif isinstance(layer, networks.Reshape):
            normalisation = nn.BatchNorm2d(layer.shape[0])
        elif isinstance(layer, nn.ReLU):
            layers.append(normalisation)
        if not isinstance(layer, nn.Sequential | nn.GroupNorm):
            layers.append(layer)
    return nn.Sequential(*layers)


class Encoder(nn.Module):
    """μ and log σ² of q(z|x, c): x (B, *shape), condition c (B, C) → (B, 2D)."""

    def __init__(self, net: str, shape: Shape, code: int, width: int, given: int = 0):
        super().__init__()
        trunk, size = networks.trunk(net, shape, width)
        self.trunk = batch_normalised(trunk)
        self.head = networks.linear(size + given, 2 * code)

    def forward(
        self, x: Float[Tensor, "B *shape"], c: Float[Tensor, "B C"] | None = None
    ) -> Float[Tensor, "B outputs"]:
        return self.head(append_condition(self.trunk(x), c))


class PairCritic(nn.Module):
    """Tells pairs (x, ẑ) from pairs (x̃, z): x (B, *shape), z (B, D), c (B, C) → logits (B,), large for (x, ẑ).

    Its slope is bounded by `slope_penalty`, not by its layers. Images are scaled to −1 … 1.
    """

    def __init__(self, shape: Shape, code: int, net: str = "dense", width: int = 512, given: int = 0):
        super().__init__()
        self.of_x, size = networks.critic_trunk(net, shape, width)
        self.of_z, size_z = networks.critic_trunk("dense", (code + given,), width)
        self.head = nn.Sequential(nn.Linear(size + size_z, width), nn.LeakyReLU(0.2), nn.Linear(width, 1))

    def forward(
        self, x: Float[Tensor, "B *shape"], z: Float[Tensor, "B D"], c: Float[Tensor, "B C"] | None = None
    ) -> Float[Tensor, "B"]:
        return self.head(torch.cat([self.of_x(2 * x - 1), self.of_z(append_condition(z, c))], -1)).squeeze(-1)


def slope_penalty(
    logits: Float[Tensor, "B"], seen: tuple[Float[Tensor, "B ..."], ...], learning: bool = True
) -> Float[Tensor, "B"]:
    """½‖∇f‖² of each example's logit f with respect to all inputs of the critic: (B,), squared logits per unit.

    seen: these inputs.  learning: whether it is differentiable with respect to the critic's weights.
    Source: Mescheder et al. (2018), Eq. 9, arXiv:1801.04406. Departures: the penalty applies to both kinds of pairs,
    since either may be called the data here, as in Roth et al. (2017), arXiv:1705.09367.
    """
    slopes = torch.autograd.grad(logits.float().sum(), seen, create_graph=learning)
    return 0.5 * torch.stack([sum_dims(slope**2) for slope in slopes]).sum(0)


# --- models ---------------------------------------------------------------------------------------------

WIDEST = 10.0
"""The largest log σ² of a code; that of the prior is 0. In these objectives only the critic bounds it: on coloured
digits it grew to 16 in six steps, the upper level received codes in the thousands, and its variance became infinite."""


class ALI(ConditionedGaussian):
    """Adversarially learned inference: a critic on pairs of image and code matches encoder and decoder.

    critic: min −log D(x, ẑ) − log(1 − D(x̃, z)) + γ ½‖∇ log(D / (1 − D))‖²;
    generator (encoder and decoder): min −log(1 − D(x, ẑ)) − log D(x̃, z);
    ẑ ~ q(z|x) = N(μ(x), diag σ²(x)), reparameterised, x̃ = B(z), z ~ N(0, I). Both players move at once, on one forward
    pass.

    With classes, encoder, decoder and critic also receive the label c of x, embedded linearly: q(z|x, c), B(z, c),
    D(x, z, c). In training a tenth of the labels are dropped (c = 1/C for every class), so that `encode` and `decode`
    also work without a label. With attributes c is a vector of −1 (absent) and 1 (present).

    gamma: γ.  classes: C, 0 for none.  attributes: how many, 0 for none.

    Source: Dumoulin et al. (2016), arXiv:1606.00704, Algorithm 1, the generator's loss of its Eq. 4, and its
    conditional model of faces.
    Departures: p(x|z) is a point, as in the authors' networks. Instead of maxout and dropout the critic has leaky ReLUs
    and a bound on its slope (`slope_penalty`): with dropout or spectral normalisation, convolutional networks ended up
    decoding all codes to one digit. The label enters each network once, not at every layer. A part of the labels is
    dropped.
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        gamma: float = 10.0,
        net: str = "dense",
        width: int = 512,
        classes: int = 0,
        attributes: int = 0,
    ):
        super().__init__(shape, code)
        self.gamma = gamma
        given = self.condition_on(classes, attributes)
        self.encoder = Encoder(net, self.shape, code, width, given)
        self.decoder = batch_normalised(networks.decoder(net, code + given, self.shape, width, networks.linear))
        self.critic = PairCritic(self.shape, self.seen, net, width, given)

    @property
    def seen(self) -> int:
        """How many latent dimensions the critic sees."""
        return self.code

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "critic": Player((self.critic,), {"critic": 1.0, "slope": self.gamma}, betas=ADAM),
            "generator": Player((self.encoder, self.decoder), {"adv": 1.0}, betas=ADAM),
        }

    def posterior_given(self, x: Float[Tensor, "B *shape"], c: Float[Tensor, "B C"] | None) -> Normal:
        mu, logvar = self.encoder(x, c).float().chunk(2, -1)
        return Normal(mu, logvar.clamp_max(WIDEST))

    def decode_given(self, z: Float[Tensor, "B D"], c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B *shape"]:
        return self.decoder(append_condition(z, c)).float().sigmoid()

    def contest(
        self,
        encoded: tuple[Float[Tensor, "B *shape"], Float[Tensor, "B D"]],
        decoded: tuple[Float[Tensor, "B *shape"], Float[Tensor, "B D"]],
        c: Float[Tensor, "B C"] | None,
    ) -> dict[str, Float[Tensor, "B"]]:
        """The terms of both players, (B,) each, from the pairs (x, ẑ) and (x̃, z) by one forward pass of the critic."""
        learning = torch.is_grad_enabled()
        with torch.enable_grad():
            x, z = (torch.cat(parts).requires_grad_() for parts in zip(encoded, decoded, strict=True))
            logits = self.critic(x, z, None if c is None else torch.cat([c, c]))
            slope = slope_penalty(logits, (x, z), learning)
        first, second = logits.chunk(2)
        return {
            "critic": critic_loss(first, second),
            "adv": critic_loss(second, first),
            "slope": slope.view(2, -1).mean(0),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        c = self.condition_dropout(self.condition_vector(self.condition_of(batch), len(x)))
        z_hat = self.posterior_given(x, c).rsample()
        z = self.prior.sample(len(x), z_hat)
        return self.contest((x, z_hat), (self.decode_given(z, c), z), c)


class ALICE(ALI):
    """ALI plus a bound on the conditional entropy of x given its code: the error of a reconstruction (a cycle).

    critic: as in `ALI`;  generator: min −log(1 − D(x, ẑ)) − log D(x̃, z) + λ‖x − B(ẑ)‖₁.

    H(x|z) ≤ −E log p(x|ẑ). The joint distributions of the pairs may agree even though x and ẑ are independent; the
    cycle makes each of them carry information about the other.

    lam: λ.  Other parameters as in `ALI`.

    Source: Li et al. (2017), arXiv:1709.01215: the unsupervised case, with an explicit cycle by an ℓ1 norm.
    Departures: those of `ALI`. The norm is summed over pixels, so that λ is smaller than for the mean. Codes of images
    and samples of the prior are decoded together, in one pass of batch normalisation.
    """

    def __init__(self, shape: Shape, code: int = 16, lam: float = 0.02, **keywords: Any):
        super().__init__(shape, code, **keywords)
        self.lam = lam

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        players = super().players(progress)
        generator = Player((self.encoder, self.decoder), {"adv": 1.0, "cycle": self.lam}, betas=ADAM)
        return {**players, "generator": generator}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        c = self.condition_dropout(self.condition_vector(self.condition_of(batch), len(x)))
        z_hat = self.posterior_given(x, c).rsample()
        z = self.prior.sample(len(x), z_hat)
        both = self.decode_given(torch.cat([z, z_hat]), None if c is None else torch.cat([c, c]))
        x_tilde, x_hat = both.chunk(2)
        return {**self.contest((x, z_hat), (x_tilde, z), c), "cycle": sum_dims((x - x_hat).abs())}


class Conditional(nn.Module):
    """A Gaussian of one level given the other: (B, in) → N(μ, diag σ²), each (B, out)."""

    def __init__(self, inputs: int, outputs: int, width: int):
        super().__init__()
        self.net = batch_normalised(networks.mlp([inputs, width, width, 2 * outputs]))

    def forward(self, z: Float[Tensor, "B inputs"]) -> Normal:
        mu, logvar = self.net(z).float().chunk(2, -1)
        return Normal(mu, logvar.clamp_max(WIDEST))


class UpperPrior(nn.Module):
    """The prior of the lower level that the upper one defines: p(z₁) = E p(z₁|z₂), z₂ ~ N(0, I).

    size: of z₁.  top: of z₂.
    """

    def __init__(self, size: int, top: int, width: int):
        super().__init__()
        self.size, self.top = size, StandardNormal(top)
        self.given = Conditional(top, size, width)

    def sample(
        self, n: int, like: Float[Tensor, "..."], temperature: float = 1.0, generator: Generator | None = None
    ) -> Float[Tensor, "n D"]:
        """n samples of z₁, (n, D); the standard deviations of both levels are multiplied by `temperature`."""
        z1 = self.given(self.top.sample(n, like, temperature, generator))
        return z1.mu + temperature * z1.std * noise(z1.mu, generator)


class HALI(ALI):
    """Hierarchical ALI: two levels of codes, and a critic on triples (x, z₁, z₂).

    ẑ₁ ~ q(z₁|x), ẑ₂ ~ q(z₂|ẑ₁);  z₂ ~ N(0, I), z₁ ~ p(z₁|z₂), x̃ = B(z₁); players and losses as in `ALI` with
    D(x, z₁, z₂). The code is z₁, from which images are decoded; new images are sampled as z₂ → z₁ → x.

    code: size of z₁.  top: size of z₂.

    Source: Belghazi et al. (2018), arXiv:1802.01071: two levels.
    Departures: those of `ALI`; z₁ is a vector, not a stack of feature maps. No labels.
    """

    abilities = ALI.abilities - {"posterior"}

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        top: int = 8,
        gamma: float = 10.0,
        net: str = "dense",
        width: int = 512,
    ):
        self.top = top
        super().__init__(shape, code, gamma, net, width)
        self.prior = UpperPrior(code, top, width)
        self.above = Conditional(code, top, width)

    @property
    def seen(self) -> int:
        return self.code + self.top

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        networks = (self.encoder, self.above, self.prior, self.decoder)
        return {**super().players(progress), "generator": Player(networks, {"adv": 1.0}, betas=ADAM)}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        z1_hat = self.posterior(x).rsample()
        z2_hat = self.above(z1_hat).rsample()
        z2 = self.prior.top.sample(len(x), z2_hat)
        z1 = self.prior.given(z2).rsample()
        return self.contest((x, torch.cat([z1_hat, z2_hat], -1)), (self.decode(z1), torch.cat([z1, z2], -1)), None)


# --- the list -------------------------------------------------------------------------------------------

CHANCE = "2 log 2 ≈ 1.386 when it only guesses"
TERMS = {
    "critic": CRITIC,
    "adv": Term("nats", f"how surely the critic knows which pair is which; {CHANCE}"),
    "slope": Term("squared logits per unit", "half the critic's squared slope at the pairs it is shown"),
}
GAMMA = Param(10.0, 1e-5, 100.0, 1e-5, "log", r"\gamma", "weight of the penalty on the critic's slope")
PLAN = {"lr": 1e-3, "epochs": 30, "batch": 64}
DEPARTURES = (
    "the critic's slope is penalised instead of dropout, with which all codes ended up being decoded to one digit; "
    "leaky ReLUs instead of maxout, which needs twice the weights; log σ² is at most 10, since otherwise only the "
    "critic bounds it; p(x|z) is a point, as in the authors' networks"
)
LABELS = (
    "; a tenth of the labels is withheld in training, so that the model also works without them; a label enters each "
    "network once, not at every layer"
)


def game(encoded: str, decoded: str, moved: str, more: str = "") -> str:
    """The equation of both players for these pairs: the generator trains `moved`, and `more` is added to its loss."""
    return (
        rf"\min_{{D}}\; \term{{critic}}{{-\log D({encoded}) - \log\left(1 - D({decoded})\right)}}"
        r" + \gamma\, \term{slope}{\tfrac{1}{2}\lVert \nabla \operatorname{logit} D \rVert^2},\quad"
        rf"\min_{{{moved}}}\; \term{{adv}}{{-\log\left(1 - D({encoded})\right) - \log D({decoded})}}{more}"
    )


PAIRS = (r"x, \hat{z}", r"\tilde{x}, z")
TRIPLES = (r"x, \hat{z}_1, \hat{z}_2", r"\tilde{x}, z_1, z_2")

ENTRIES: tuple[Entry, ...] = (
    Entry(
        key="ali",
        name="Adversarially learned inference",
        year=2016,
        section="§5.2",
        idea="A critic sees pairs of an image and a code and must tell encoded pairs from decoded ones.",
        equation=game(*PAIRS, "A,B"),
        terms=TERMS,
        source="Dumoulin et al. (2016), arXiv:1606.00704, Algorithm 1; chapter §5.2",
        build=ALI,
        params={"code": CODE, "gamma": GAMMA, "net": NET, "width": WIDTH, "classes": CLASSES, "attributes": ATTRIBUTES},
        departures=DEPARTURES + LABELS,
        plan=PLAN,
    ),
    Entry(
        key="hali",
        name="Hierarchical ALI",
        year=2018,
        section="§5.2",
        idea="There are two levels of codes: images are decoded from the lower one, and new images are sampled from "
        "the upper one.",
        equation=game(*TRIPLES, "A,B") + r",\quad \hat{z}_1 \sim q(z_1|x),\ \hat{z}_2 \sim q(z_2|\hat{z}_1),\quad"
        r" z_2 \sim \mathcal{N}(0, I),\ z_1 \sim p(z_1|z_2),\ \tilde{x} = B(z_1)",
        terms=TERMS,
        source="Belghazi et al. (2018), arXiv:1802.01071; chapter §5.2",
        build=HALI,
        params={
            "code": Param(16, 1, 256, 1, "log", "d_1", "number of dimensions of the lower code, which is decoded"),
            "top": Param(8, 1, 256, 1, "log", "d_2", "number of dimensions of the upper code, which is sampled"),
            "gamma": GAMMA,
            "net": NET,
            "width": WIDTH,
        },
        departures=DEPARTURES + "; the lower code is a vector, so that it can be plotted, and not maps; no labels",
        plan=PLAN,
    ),
    Entry(
        key="alice",
        name="ALICE",
        year=2017,
        section="§5.2",
        idea="ALI with a cycle: each image must be reconstructed from its code, so that the two carry information "
        "about each other.",
        equation=game(*PAIRS, "A,B", r" + \lambda\, \term{cycle}{\lVert x - B(\hat{z}) \rVert_1}"),
        terms={
            **TERMS,
            "cycle": Term("absolute error", "distance between the input and its decoded code, a sample of q(z|x)"),
        },
        source="Li et al. (2017), arXiv:1709.01215; chapter §5.2",
        build=ALICE,
        params={
            "code": CODE,
            "lam": Param(0.02, 1e-4, 1.0, 1e-4, "log", r"\lambda", "weight of the cycle loss"),
            "gamma": GAMMA,
            "net": NET,
            "width": WIDTH,
            "classes": CLASSES,
            "attributes": ATTRIBUTES,
        },
        departures=DEPARTURES + LABELS + "; codes and prior samples are decoded in one pass of batch normalisation",
        plan=PLAN,
    ),
)
