"""Chapter §5: generators without an encoder, and their critics."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch
from ..nn import networks
from ..nn.distributions import Prior, StandardNormal, sum_dims
from ..nn.networks import Shape
from .base import Decoding, Player, Terms
from .entry import CODE, NET, WIDTH, Entry, Param, Term

ADAM = (0.5, 0.999)  # β of players against a critic; Radford et al. (2015), arXiv:1511.06434


def critic_loss(real: Float[Tensor, "B"], fake: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """−log D(real) − log(1 − D(fake)) from logits: nats; 2 log 2 at chance."""
    return F.softplus(-real.float()) + F.softplus(fake.float())


def fooling_loss(fake: Float[Tensor, "B"]) -> Float[Tensor, "B"]:
    """−log D(fake) from logits (non-saturating): nats; log 2 at chance."""
    return F.softplus(-fake.float())


class Critic(nn.Module):
    """Tells real examples from generated ones: x (B, *shape) → logits (B,), large for real ones."""

    def __init__(self, shape: Shape, net: str = "dense", width: int = 512):
        super().__init__()
        self.features, size = networks.critic_trunk(net, shape, width)
        self.head = nn.Linear(size, 1)

    def judge(self, x: Float[Tensor, "B *shape"]) -> tuple[Float[Tensor, "B"], Float[Tensor, "B F"]]:
        """Logits (B,), and the features of the last hidden layer (B, F)."""
        f = self.features(x)
        return self.head(f).squeeze(-1), f

    def forward(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B"]:
        return self.judge(x)[0]


def slope_at(
    judge: Callable[[Tensor], tuple[Tensor, Tensor]], x: Float[Tensor, "B *shape"]
) -> tuple[tuple[Float[Tensor, "B"], Float[Tensor, "B F"]], Float[Tensor, "B"]]:
    """A critic's logits D(x) (B,) and features (B, F), and ‖∇D(x)‖² (B,), from one forward pass.

    Where gradients are recorded the slope is differentiable with respect to the critic's weights.
    judge: x → logits, features.
    Source: Mescheder et al. (2018), arXiv:1801.04406, Eq. 9 (R₁).
    """
    learning = torch.is_grad_enabled()
    with torch.enable_grad():
        x = x.detach().requires_grad_()
        logits, features = judge(x)
        (slope,) = torch.autograd.grad(logits.sum(), x, create_graph=learning)
    if not learning:
        logits, features = logits.detach(), features.detach()
    return (logits, features), sum_dims(slope**2)


class TwoPlayers(Decoding):
    """A decoder and a critic of images that move in turns, each on a minibatch of its own.

    Fakes are x̃ = G(z), z ~ N(0, I), even if images are later drawn from another `prior`.
    """

    def __init__(
        self, shape: Shape, code: int = 32, net: str = "dense", width: int = 512, *, prior: Prior | None = None
    ):
        super().__init__(shape, code, prior)
        self.decoder = networks.decoder(net, code, self.shape, width, networks.linear)
        self.critic = Critic(self.shape, net, width)
        self.noise = StandardNormal(code)

    def update_schedule(self, progress: float = 1.0) -> tuple[tuple[str, ...], ...]:
        return (("critic",), ("generator",))

    def fakes(self, n: int, players: Collection[str]) -> tuple[Float[Tensor, "n D"], Float[Tensor, "n *shape"]]:
        """z (n, D) and x̃ (n, *shape); no gradient leads back to G when the generator does not move."""
        z = self.noise.sample(n, next(self.parameters()))
        with torch.set_grad_enabled(torch.is_grad_enabled() and "generator" in players):
            return z, self.decode(z)


class GAN(TwoPlayers):
    """Generative adversarial network: a decoder without an encoder, trained against a critic.

    critic: min −log D(x) − log(1 − D(x̃)) + ½γ ‖∇D(x)‖²;  generator: min −log D(x̃),  x̃ = G(z), z ~ p(z).
    ∇D is the slope of the critic's logit. The critic moves on one minibatch, the generator on the next.

    gamma: γ, weight of the penalty on the slope at real examples; 0 gives the objective of 2014.  keywords: those of
    `TwoPlayers`.

    Source: Goodfellow et al. (2014), arXiv:1406.2661, Algorithm 1 with k = 1 and the generator's loss that its
    §3 recommends; Mescheder et al. (2018), arXiv:1801.04406, Eq. 9, for the slope.
    Departures: Adam instead of momentum. The slope is penalised: without the penalty critic and generator circle each
    other, and after 8 epochs on digits the samples reach the neighbourhoods of 0 to 1 of 100 held-out digits instead of
    40. There is no batch normalisation, which would make an image depend on the others in its minibatch.
    """

    def __init__(self, shape: Shape, gamma: float = 10.0, **keywords: Any):
        super().__init__(shape, **keywords)
        self.gamma = gamma

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "critic": Player((self.critic,), {"critic": 1.0, "slope": self.gamma / 2}, betas=ADAM),
            "generator": Player((self.decoder,), {"adv": 1.0}, betas=ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        _, x_tilde = self.fakes(len(batch.x), players)
        fake = self.critic(x_tilde)
        terms = {"adv": fooling_loss(fake)} if "generator" in players else {}
        if "critic" in players:
            (real, _), terms["slope"] = slope_at(self.critic.judge, batch.x)
            terms["critic"] = critic_loss(real, fake)
        return terms


def gradient_penalty(
    critic: nn.Module, x: Float[Tensor, "B *shape"], x_tilde: Float[Tensor, "B *shape"]
) -> Float[Tensor, "B"]:
    """(‖∇f(x̂)‖₂ − 1)² at a random point x̂ between each x and x̃: (B,).

    Where gradients are recorded it is differentiable with respect to the critic's weights.
    Source: Gulrajani et al. (2017), Eq. 3, arXiv:1704.00028.
    """
    learning = torch.is_grad_enabled()
    t = torch.rand(len(x), *[1] * (x.ndim - 1), device=x.device)
    with torch.enable_grad():
        x_hat = (t * x + (1 - t) * x_tilde).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(x_hat).sum(), x_hat, create_graph=learning)
    return (sum_dims(slope**2).clamp_min(1e-12).sqrt() - 1) ** 2


class WGAN(TwoPlayers):
    """Wasserstein GAN: the critic f estimates W₁(P_X, P_G) by its dual (Eq. 20), and the generator lowers it.

    critic: max E f(x) − E f(x̃) − λ (‖∇f(x̂)‖ − 1)², or with its weights clipped to [−c, c];
    generator: min −E f(x̃). There are five critic steps for each step of the generator.

    lipschitz: how f is kept Lipschitz, by a "penalty" with weight `lam`, or by a "clip" of weights at `c`; the penalty
    is logged in both cases.  critic_steps: steps of the critic for each step of the generator.  keywords: those of
    `TwoPlayers`.

    Source: Arjovsky et al. (2017), arXiv:1701.07875, Algorithm 1; Gulrajani et al. (2017), arXiv:1704.00028.
    Departures: Adam with β = (0, 0.9) for both kinds; Arjovsky et al. clip under RMSProp.
    """

    def __init__(
        self,
        shape: Shape,
        lipschitz: str = "penalty",
        lam: float = 10.0,
        c: float = 0.01,
        critic_steps: int = 5,
        **keywords: Any,
    ):
        super().__init__(shape, **keywords)
        self.lipschitz, self.lam, self.c, self.critic_steps = lipschitz, lam, c, critic_steps

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        penalty = {"penalty": self.lam} if self.lipschitz == "penalty" else {}
        return {
            "critic": Player((self.critic,), {"wasserstein": -1.0, **penalty}, betas=(0.0, 0.9)),
            "generator": Player((self.decoder,), {"adv": 1.0}, betas=(0.0, 0.9)),
        }

    def update_schedule(self, progress: float = 1.0) -> tuple[tuple[str, ...], ...]:
        return (("critic",),) * self.critic_steps + (("generator",),)

    def after_step(self, player: str) -> None:
        if player == "critic" and self.lipschitz == "clip":
            with torch.no_grad():
                for weight in self.critic.parameters():
                    weight.clamp_(-self.c, self.c)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x = batch.x
        _, x_tilde = self.fakes(len(x), players)
        fake = self.critic(x_tilde).float()
        terms = {"adv": -fake} if "generator" in players else {}
        if "critic" in players:
            terms["wasserstein"] = self.critic(x).float() - fake
            # A clipped critic is trained without the penalty, so it is then computed only for held-out examples.
            if self.lipschitz == "penalty" or not torch.is_grad_enabled():
                terms["penalty"] = gradient_penalty(self.critic, x, x_tilde)
        return terms


CRITIC = Term("nats", "the critic's cross-entropy; 2 log 2 ≈ 1.386 when it only guesses")
SMALL_CODE = Param(32, 1, 256, 1, "log", "d", CODE.help)
SLOPE = Term("slope squared", "‖∇D(x)‖²: how steep the critic's logit is at real images")
GAMMA = Param(10.0, 0.0, 100.0, 0.1, "log", r"\gamma", "weight of the penalty on the critic's slope; 0: none")
ADV = Term("nats", "how surely the critic rejects decoded images; log 2 ≈ 0.693 when it only guesses")
PLAN = {"lr": 1e-3, "epochs": 30, "batch": 64}


ENTRIES = (
    Entry(
        key="gan",
        name="Generative adversarial network",
        year=2014,
        section="§5",
        idea="There is no encoder: a decoder learns to generate images that a critic takes for data.",
        equation=r"\min_{D}\; \term{critic}{-\log D(x) - \log\left(1 - D(G(z))\right)}"
        r" + \tfrac{\gamma}{2}\, \term{slope}{\lVert \nabla D(x) \rVert^2},\quad"
        r"\min_{G}\; \term{adv}{-\log D(G(z))},\quad z \sim \mathcal{N}(0, I)",
        terms={"critic": CRITIC, "slope": SLOPE, "adv": ADV},
        source="Goodfellow et al. (2014), arXiv:1406.2661, Algorithm 1; Mescheder et al. (2018), arXiv:1801.04406;"
        " chapter §5.1",
        build=GAN,
        params={"code": SMALL_CODE, "gamma": GAMMA, "net": NET, "width": WIDTH},
        departures="Adam instead of momentum; a penalty on the critic's slope, without which training on digits "
        "collapses",
        plan=PLAN,
    ),
    Entry(
        key="wgan",
        name="Wasserstein GAN",
        year=2017,
        section="§5.3",
        idea="The critic measures how far the generated images are from the data, instead of classifying them.",
        equation=r"\max_{f}\; \term{wasserstein}{f(x) - f(G(z))}"
        r" - \lambda\, \term{penalty}{\left(\lVert \nabla f(\hat{x}) \rVert - 1\right)^2},\quad"
        r"\min_{G}\; \term{adv}{-f(G(z))},\quad z \sim \mathcal{N}(0, I)",
        terms={
            "wasserstein": Term("critic units", "f(x) − f(x̃): an estimate of W₁ times the critic's slope"),
            "penalty": Term("slope squared", "how far the critic's slope is from 1, between real and generated images"),
            "adv": Term(
                "critic units", "minus the critic's score of generated images; only differences have a meaning"
            ),
        },
        source="Arjovsky et al. (2017), arXiv:1701.07875; Gulrajani et al. (2017), arXiv:1704.00028; chapter Eq. 20",
        build=WGAN,
        params={
            "code": SMALL_CODE,
            "lipschitz": Param("penalty", choices=("penalty", "clip"), help="how the critic's slope is bounded"),
            "lam": Param(10.0, 0.001, 100.0, 0.001, "log", r"\lambda", "weight of the penalty on the slope"),
            "c": Param(0.01, 0.001, 1.0, 0.001, "log", "c", "largest weight of a clipped critic"),
            "critic_steps": Param(5, 1, 20, 1, help="steps of the critic for each step of the generator"),
            "net": NET,
            "width": WIDTH,
        },
        departures="Adam with β = (0, 0.9) for both kinds, so that they differ in nothing else; clipping was "
        "published with RMSProp",
        plan=PLAN | {"lr": 2e-4},
    ),
)
