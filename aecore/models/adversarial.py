"""Chapter §5.1–5.2: autoencoders trained against critics."""

from __future__ import annotations

from collections.abc import Collection

import torch

from ..data.base import Batch
from ..nn.distributions import PRIORS
from ..nn.networks import Shape, mlp
from .base import PlainCode, Player, Terms
from .entry import CODE, DISTANCE, NET, WIDTH, Entry, Param, Term
from .gan import CRITIC, critic_loss, fooling_loss
from .inference import slope_penalty

ADAM = (0.5, 0.9)  # β of critic and generator


class AAE(PlainCode):
    """Adversarial autoencoder: a critic on codes pulls q(z) to the prior.

    autoencoder: min Δ(x, B(A(x)));  critic: min −log D(z) − log(1 − D(A(x))) + γ ½‖∇ log(D / (1 − D))‖², z ~ p(z);
    generator (the encoder): min −log D(A(x)).

    prior: "normal", which is N(0, I), or a shape in the first two latent dimensions: "mixture" (ten Gaussians on a
    circle), "ring" or "swiss roll".
    speed: the learning rate of critic and generator, relative to the autoencoder's. The more the prior differs from the
    shape that reconstruction alone gives the codes, the faster these two must learn: on 10,000 digits MMD² to the Swiss
    roll was 0.21 with a speed of 1 and 0.09 with 4 (100 epochs, one seed, γ = 0).
    gamma: γ, weight of the penalty on the critic's slope at samples from the prior and at codes; 0 gives the objective
    of the paper.

    Source: Makhzani et al. (2015), arXiv:1511.05644, §2, deterministic encoder.
    Departures: the paper's two phases are trained simultaneously on one minibatch and one forward pass, each with
    its own Adam (the encoder has two: one as autoencoder, one as generator). The Adam of critic and generator has a
    short memory, β₂ = 0.9: after 20 epochs on 4,000 digits MMD² to N(0, I) is half of that with 0.999. The critic's
    slope is penalised (`slope_penalty`): without the penalty the codes of coloured digits stay in one clump, which
    circles through the prior while the critic follows it (MMD² after 5 epochs 2.1 instead of 0.02).
    """

    abilities = PlainCode.abilities | {"sample"}

    def __init__(
        self,
        shape: Shape,
        code: int = 2,
        prior: str = "normal",
        net: str = "dense",
        width: int = 512,
        distance: str = "bernoulli",
        speed: float = 1.0,
        gamma: float = 1.0,
    ):
        super().__init__(shape, code, distance, net=net, width=width, prior=PRIORS[prior](code))
        self.critic = mlp([code, width, width, 1])
        self.speed = speed
        self.slope = {"slope": gamma} if gamma else {}  # computing it costs a quarter of a step

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {
            "autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0}),
            "critic": Player((self.critic,), {"critic": 1.0} | self.slope, self.speed, ADAM),
            "generator": Player((self.encoder,), {"adv": 1.0}, self.speed, ADAM),
        }

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x, learning = batch.x, torch.is_grad_enabled()
        h = self.encoder(x)
        with torch.enable_grad():
            both = torch.cat([self.prior.sample(len(x), h), h]).requires_grad_()
            logits = self.critic(both).squeeze(-1)
            slope = {"slope": slope_penalty(logits, (both,), learning).view(2, -1).mean(0)} if self.slope else {}
        real, fake = logits.chunk(2)
        return {
            "recon": self.reconstruction_error(x, h),
            "critic": critic_loss(real, fake),
            "adv": fooling_loss(fake),
            **slope,
        }


ADV = Term("nats", "how surely the critic rejects the codes; log 2 ≈ 0.693 when it only guesses")

ENTRIES = (
    Entry(
        key="aae",
        name="Adversarial autoencoder",
        year=2015,
        section="§5.1",
        idea="A critic that distinguishes codes from samples of the prior replaces the KL term.",
        equation=r"\min_{A,B}\; \term{recon}{\Delta\!\left(x, B(A(x))\right)},\quad"
        r"\min_{D}\; \term{critic}{-\log D(z) - \log\left(1 - D(A(x))\right)}"
        r" + \gamma\, \term{slope}{\tfrac{1}{2}\lVert \nabla \operatorname{logit} D \rVert^2},\quad"
        r"\min_{A}\; \term{adv}{-\log D(A(x))}",
        terms={
            "recon": Term("nats, or squared error", "how far the reconstruction is from the input"),
            "critic": CRITIC,
            "slope": Term("squared logits per unit", "half the critic's squared slope at codes and prior samples"),
            "adv": ADV,
        },
        source="Makhzani et al. (2015), arXiv:1511.05644; chapter §5.1",
        build=AAE,
        params={
            "code": Param(2, 1, 256, 1, "log", "d", CODE.help),
            "prior": Param("normal", choices=tuple(PRIORS), symbol="p(z)", help="distribution that codes shall follow"),
            "net": NET,
            "width": WIDTH,
            "distance": Param("bernoulli", choices=DISTANCE.choices, symbol=DISTANCE.symbol, help=DISTANCE.help),
            "speed": Param(
                1.0, 0.1, 10.0, 0.1, "log", help="learning rate of critic and generator, relative to the autoencoder's"
            ),
            "gamma": Param(1.0, 0.0, 100.0, 0.1, "log", r"\gamma", "weight of the penalty on the critic's slope"),
        },
        departures="the paper's two phases run at the same time, on one forward pass instead of two; each player has "
        "its own Adam, which has a short memory for critic and generator, so that codes follow the prior more "
        "closely; the critic's slope is penalised, since otherwise the codes of coloured digits circle through the "
        "prior in one clump",
        plan={"batch": 64, "epochs": 30, "lr": 5e-4},
    ),
)
