"""Chapter §5.2, Fig. 6: models conditioned on attributes, so that one can be changed while the rest stays."""

from __future__ import annotations

import copy
from collections.abc import Collection

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from ..data.base import Batch
from ..errors import FieldError
from ..nn import networks
from ..nn.distributions import Normal, sum_dims
from ..nn.divergences import kl_standard
from ..nn.networks import Shape
from .base import ConditionedGaussian, Player, Terms
from .entry import ATTRIBUTES, CLASSES, CODE, Entry, Param, Term
from .gan import ADAM, CRITIC
from .inference import WIDEST

# --- networks -------------------------------------------------------------------------------------------

NOISE = 0.1  # standard deviation, at the start of training, of the noise on the images that critic and reader see
MAPS = 4  # feature maps by which the condition enters the encoder beside the image


def widths(shape: Shape, width: int) -> list[int]:
    """Channels after each halving of the image: width / 4, then doubling up to width."""
    if len(shape) != 3:
        raise FieldError("width", "this model needs images; these data are vectors: choose another model")
    stages = len(networks.halvings(shape)) - 1
    return [min(width, max(8, width // 4) * 2**k) for k in range(max(1, stages))]


class Modulated(nn.Module):
    """Batch normalisation whose scale and shift depend on the condition: x (B, C, H, W), c (B, G) → the shape of x.

    Source: Dumoulin et al. (2017), arXiv:1610.07629; de Vries et al. (2017), arXiv:1707.00683.
    """

    def __init__(self, channels: int, given: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(channels, affine=not given)
        self.by = nn.Linear(given, 2 * channels) if given else None
        if self.by is not None:
            nn.init.normal_(self.by.weight, std=0.02)
            nn.init.zeros_(self.by.bias)

    def forward(self, x: Float[Tensor, "B C H W"], c: Float[Tensor, "B G"] | None) -> Float[Tensor, "B C H W"]:
        x = self.norm(x)
        if self.by is None:
            return x
        scale, shift = self.by(c)[..., None, None].chunk(2, 1)
        return x * (1 + scale) + shift


class MapEncoder(nn.Module):
    """μ and log σ² of q(z|x, c): the condition enters as maps beside the image, and again before the last layer."""

    def __init__(self, shape: Shape, code: int, width: int, given: int):
        super().__init__()
        counts = widths(shape, width)
        self.maps = nn.Linear(given, MAPS) if given else None
        layers: list[nn.Module] = []
        for inputs, outputs in zip([shape[0] + (MAPS if given else 0), *counts], counts, strict=False):
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.BatchNorm2d(outputs), nn.ReLU()]
        height, breadth = networks.halvings(shape)[-1]
        self.trunk = nn.Sequential(*layers, nn.Flatten())
        self.head = networks.linear(counts[-1] * height * breadth + given, 2 * code)

    def forward(self, x: Float[Tensor, "B C H W"], c: Float[Tensor, "B G"] | None) -> Float[Tensor, "B outputs"]:
        if self.maps is None:
            return self.head(self.trunk(x))
        assert c is not None  # a condition of this size
        maps = self.maps(c)[..., None, None].expand(-1, -1, *x.shape[2:])
        return self.head(torch.cat([self.trunk(torch.cat([x, maps], 1)), c], -1))


class ModulatedDecoder(nn.Module):
    """B(z, c): transposed convolutions, each normalised with scale and shift from c: (B, D), (B, G) → logits."""

    def __init__(self, shape: Shape, code: int, width: int, given: int):
        super().__init__()
        sizes, counts = networks.halvings(shape), widths(shape, width)
        self.first = nn.Sequential(
            networks.linear(code + given, counts[-1] * sizes[-1][0] * sizes[-1][1]),
            networks.Reshape((counts[-1], *sizes[-1])),
        )
        ups, norms = [], [Modulated(counts[-1], given)]
        for stage in range(len(sizes) - 1, 0, -1):
            (height, breadth), (low, narrow) = sizes[stage - 1], sizes[stage]
            odd = (height - 2 * low, breadth - 2 * narrow)
            outputs = counts[stage - 2] if stage > 1 else max(8, counts[0] // 2)
            ups.append(nn.ConvTranspose2d(counts[stage - 1], outputs, 4, stride=2, padding=1, output_padding=odd))
            norms.append(Modulated(outputs, given))
        self.ups, self.norms = nn.ModuleList(ups), nn.ModuleList(norms)
        self.last = nn.Conv2d(outputs, shape[0], 3, padding=1)

    def forward(self, z: Float[Tensor, "B D"], c: Float[Tensor, "B G"] | None) -> Float[Tensor, "B C H W"]:
        h = self.norms[0](self.first(z if c is None else torch.cat([z, c], -1)), c).relu()
        for up, norm in zip(self.ups, self.norms[1:], strict=True):
            h = norm(up(h), c).relu()
        return self.last(h)


class AttributeCritic(nn.Module):
    """Tells pairs (x, ẑ) from (x̃, z), given c: logits (B,).

    Every layer is spectrally normalised. The condition enters beside z, and by a projection ⟨V c, φ(x)⟩.
    Source: Miyato et al. (2018), arXiv:1802.05957; Miyato & Koyama (2018), arXiv:1802.05637.
    """

    def __init__(self, shape: Shape, code: int, width: int, given: int):
        super().__init__()
        counts = widths(shape, width)
        layers: list[nn.Module] = []
        for inputs, outputs in zip([shape[0], *counts], counts, strict=False):
            layers += [spectral_norm(nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)), nn.LeakyReLU(0.2)]
        height, breadth = networks.halvings(shape)[-1]
        size = counts[-1] * height * breadth
        self.of_x = nn.Sequential(*layers, nn.Flatten(), spectral_norm(nn.Linear(size, 2 * width)), nn.LeakyReLU(0.2))
        self.of_z = nn.Sequential(
            spectral_norm(nn.Linear(code + given, width)),
            nn.LeakyReLU(0.2),
            spectral_norm(nn.Linear(width, width)),
            nn.LeakyReLU(0.2),
        )
        self.joint = nn.Sequential(
            spectral_norm(nn.Linear(3 * width, width)), nn.LeakyReLU(0.2), spectral_norm(nn.Linear(width, 1))
        )
        self.projection = spectral_norm(nn.Linear(given, 2 * width, bias=False)) if given else None

    def forward(
        self, x: Float[Tensor, "B C H W"], z: Float[Tensor, "B D"], c: Float[Tensor, "B G"] | None
    ) -> Float[Tensor, "B"]:
        seen = self.of_x(2 * x - 1)
        logits = self.joint(torch.cat([seen, self.of_z(z if c is None else torch.cat([z, c], -1))], -1)).squeeze(-1)
        return logits if self.projection is None else logits + (self.projection(c) * seen).sum(-1)


class Reader(nn.Sequential):
    """Classifies the attributes of images: (B, *shape) → logits (B, A).

    It is a separate network, since an additional output of the critic classifies badly: spectral normalisation removes
    too many fine details. After 600 steps on faces the cross-entropy of such an output is 3.1 nats, of which wavy hair
    has 0.65; this network has 0.65 and 0.16. Groups of channels are normalised within each image and not over the
    batch, so that real and decoded images do not influence each other.
    """

    def __init__(self, shape: Shape, width: int, attributes: int):
        sizes = networks.halvings(shape)
        narrow = max(8, width // 4 // 8 * 8)
        layers: list[nn.Module] = []
        inputs = shape[0]
        for stage in range(max(1, len(sizes) - 1)):
            outputs = narrow * min(2, 1 + stage)
            layers += [nn.Conv2d(inputs, outputs, 4, stride=2, padding=1), nn.GroupNorm(8, outputs), nn.LeakyReLU(0.2)]
            inputs = outputs
        height, breadth = sizes[-1]
        super().__init__(*layers, nn.Flatten(), nn.Linear(inputs * height * breadth, attributes))


def averaged(net: nn.Module) -> nn.Module:
    """A copy of a network whose weights are buffers: they are not trained, but hold averages."""
    copied = copy.deepcopy(net)
    for module in copied.modules():
        for name, weight in list(module.named_parameters(recurse=False)):
            delattr(module, name)
            module.register_buffer(name, weight.detach().clone())
    return copied


# --- models ---------------------------------------------------------------------------------------------


class AttributeALI(ConditionedGaussian):
    """Conditional ALI for editing attributes, with a cycle loss, an attribute classifier and edits among the fakes.

    critic: min −log D(x, ẑ, y) − ½ log(1 − D(x̃, z, y)) − ½ log(1 − D(x′, ẑ, y′));  reader: min H(y, R(x));
    generator (encoder and decoder): min −log(1 − D(x, ẑ, y)) − ½ log D(x̃, z, y) − ½ log D(x′, ẑ, y′)
    + λ‖x − B(ẑ, y)‖₁ + η ½[H(y, R(x̃)) + H(y′, R(x′))];
    ẑ ~ q(z|x, y), z ~ N(0, I), x̃ = B(z, y), and the edit x′ = B(ẑ, y′) with the attributes y′ of another image.
    R classifies the attributes of an image, H is the sum of their cross-entropies; R is trained on real images alone.

    lam: λ. Without attributes only the cycle loss keeps the critic from winning (on sprites with λ = 0.003 all samples
    looked alike for one seed of four).  read: η.
    attributes: how many; 0 for none, which leaves only the cycle loss of the three additions.
    cycle, head, shuffle: whether each of the three additions is made.

    Source: Dumoulin et al. (2016), arXiv:1606.00704: the conditional model of faces. The cycle: Li et al. (2017),
    arXiv:1709.01215. Reading attributes: Odena et al. (2017), arXiv:1610.09585; He et al. (2019), arXiv:1711.10678.
    Departures: the three additions; non-saturating losses; spectral normalisation in place of dropout; conditional
    batch normalisation in the decoder, maps of attributes in the encoder and a projection in the critic instead of one
    embedding in each; attributes are read by a separate network; noise on all inputs of critic and reader, which fades
    from 0.1 to 0; the generator's learning rate is three times the critic's (after 0.7 epochs on faces the
    reconstruction error was 153 instead of 172); outside of training, averages of the generator's weights over about
    the last 500 steps are used.
    """

    condition_dropout_rate = 0.05
    decay = 0.998
    training_only = ("encoder.", "decoder.")
    moves: Int[Tensor, ""]

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        lam: float = 0.03,
        read: float = 1.0,
        cycle: bool = True,
        head: bool = True,
        shuffle: bool = True,
        width: int = 128,
        attributes: int = 0,
    ):
        super().__init__(shape, code)
        self.lam, self.read = lam, read
        self.additions = {"cycle": cycle, "read": head and attributes > 0, "shuffle": shuffle and attributes > 0}
        given = self.condition_on(0, attributes)
        self.encoder = MapEncoder(self.shape, code, width, given)
        self.decoder = ModulatedDecoder(self.shape, code, width, given)
        self.critic = AttributeCritic(self.shape, code, width, given)
        self.reader = Reader(self.shape, width, attributes) if self.additions["read"] else None
        self.encoder_mean, self.decoder_mean = averaged(self.encoder), averaged(self.decoder)
        self.register_buffer("moves", torch.zeros((), dtype=torch.int64))
        self.noise = NOISE

    def on_step_start(self, progress: float) -> None:
        self.noise = NOISE * (1 - progress)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        generator = {"adv": 1.0, "cycle": self.lam, "told": self.read}
        players = {
            "critic": Player((self.critic,), {"critic": 1.0}, betas=ADAM),
            "generator": Player((self.encoder, self.decoder), generator, lr=3.0, betas=ADAM),
        }
        if self.reader is None:  # without this network the term is 0
            return players | {"critic": Player((self.critic,), {"critic": 1.0, "reading": 1.0}, betas=ADAM)}
        return players | {"reader": Player((self.reader,), {"reading": 1.0}, lr=3.0)}

    def after_step(self, player: str) -> None:
        """Update the averages after each step of the generator."""
        if player != "generator":
            return
        self.moves += 1
        keep = ((1 + self.moves) / (10 + self.moves)).clamp_max(
            self.decay
        )  # stays on the device, so that nothing waits for it
        with torch.no_grad():
            for net, mean in ((self.encoder, self.encoder_mean), (self.decoder, self.decoder_mean)):
                means = dict(mean.named_buffers())
                for name, new in net.named_parameters():
                    means[name].lerp_(new, 1 - keep)
                for name, new in net.named_buffers():
                    means[name].copy_(new)

    def posterior_given(self, x: Float[Tensor, "B *shape"], c: Float[Tensor, "B C"] | None) -> Normal:
        mu, logvar = (self.encoder if self.training else self.encoder_mean)(x, c).float().chunk(2, -1)
        return Normal(mu, logvar.clamp(-WIDEST, WIDEST))

    def decode_given(self, z: Float[Tensor, "B D"], c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B *shape"]:
        return (self.decoder if self.training else self.decoder_mean)(z, c).float().sigmoid()

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        x, n = batch.x, len(batch.x)
        y = self.condition_of(batch)
        c = self.condition_dropout(self.condition_vector(y, n))
        z_hat = self.posterior_given(x, c).rsample()
        z = self.prior.sample(n, z_hat)
        # The first half of the fakes are samples; the second half are edits: images with their neighbour's attributes.
        half = n // 2 if self.additions["shuffle"] else n
        z_fake = torch.cat([z[:half], z_hat[half:]])
        c_fake = None if c is None else torch.cat([c[:half], c[half:].roll(1, 0)])
        y_fake = None if y is None else torch.cat([y[:half], y[half:].roll(1, 0)])
        if self.additions["cycle"]:
            c_both = None if c is None or c_fake is None else torch.cat([c_fake, c])
            x_fake, x_hat = self.decode_given(torch.cat([z_fake, z_hat]), c_both).chunk(2)
        else:
            x_fake, x_hat = self.decode_given(z_fake, c_fake), None
        seen = torch.cat([x, x_fake])
        if self.training:
            seen = seen + self.noise * torch.randn_like(seen)
        c_seen = None if c is None or c_fake is None else torch.cat([c, c_fake])
        logits = self.critic(seen, torch.cat([z_hat, z_fake]), c_seen)
        real, fake = logits.float().chunk(2)
        terms = {
            "critic": F.softplus(-real) + F.softplus(fake),
            "adv": F.softplus(real) + F.softplus(-fake),
            **dict.fromkeys(("cycle", "reading", "told"), x.new_zeros(n)),
        }
        if x_hat is not None:
            terms["cycle"] = sum_dims((x - x_hat).abs())
        if self.reader is not None and y is not None and y_fake is not None and c_fake is not None:
            of_real, of_fake = self.reader(2 * seen - 1).float().chunk(2)
            terms["reading"] = F.binary_cross_entropy_with_logits(of_real, y, reduction="none").sum(-1)
            told = F.binary_cross_entropy_with_logits(of_fake, y_fake, reduction="none").sum(-1)
            terms["told"] = told * (c_fake != 0).any(-1)  # a decoder cannot know a condition that was dropped
        return terms


class ConditionalVAE(ConditionedGaussian):
    """Conditional VAE: −L(x|y) = E[−log p(x|z, y)] + β KL(q(z|x, y) ‖ N(0, I)), p(x|z, y) = N(B(z, y), I/(2c)).

    The constant of p(x|z, y) is left out: recon = c‖x − B(z, y)‖².

    c: precision of pixels.  beta: β.  attributes or classes: the condition.

    Source: Sohn, Lee & Yan (2015), NeurIPS; Kingma et al. (2014), arXiv:1406.5298, M2 with all labels known.
    Departures: the prior of z does not depend on y; a twentieth of the conditions is dropped; the networks of
    `AttributeALI`.
    """

    condition_dropout_rate = 0.05

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        beta: float = 1.0,
        c: float = 50.0,
        width: int = 128,
        classes: int = 0,
        attributes: int = 0,
    ):
        super().__init__(shape, code)
        self.beta, self.c = beta, c
        given = self.condition_on(classes, attributes)
        self.encoder = MapEncoder(self.shape, code, width, given)
        self.decoder = ModulatedDecoder(self.shape, code, width, given)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "kl": self.beta})}

    def posterior_given(self, x: Float[Tensor, "B *shape"], c: Float[Tensor, "B C"] | None) -> Normal:
        mu, logvar = self.encoder(x, c).float().chunk(2, -1)
        return Normal(mu, logvar.clamp(-WIDEST, WIDEST))

    def decode_given(self, z: Float[Tensor, "B D"], c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B *shape"]:
        return self.decoder(z, c).float().sigmoid()

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        c = self.condition_dropout(self.condition_vector(self.condition_of(batch), len(batch.x)))
        qz_x = self.posterior_given(batch.x, c)
        x_hat = self.decode_given(qz_x.rsample(), c)
        return {"recon": self.c * sum_dims((batch.x - x_hat) ** 2), "kl": kl_standard(qz_x)}


# --- the list -------------------------------------------------------------------------------------------

WIDTH = Param(128, 16, 512, 16, "log", help="channels of the smallest feature maps; the largest have a quarter as many")
SIZE = Param(64, 1, 256, 1, "log", CODE.symbol, CODE.help)
YES = {
    "cycle": "require that each image can be decoded from its code",
    "head": "train the generator to satisfy a classifier of attributes",
    "shuffle": "let half of the fakes be edits: images with another image's attributes",
}

ENTRIES: tuple[Entry, ...] = (
    Entry(
        key="attribute_ali",
        name="ALI for attribute edits",
        year=2016,
        section="§5.2",
        idea="Conditional ALI for editing attributes of the same person: it adds a cycle loss, an attribute "
        "classifier and edited images as fakes.",
        equation=r"\min_{D}\; \term{critic}{-\log D(x, \hat{z}, y)"
        r" - \tfrac{1}{2} \log\left(1 - D(\tilde{x}, z, y)\right)"
        r" - \tfrac{1}{2} \log\left(1 - D(x', \hat{z}, y')\right)},\quad \min_{R}\; \term{reading}{H(y, R(x))},\quad"
        r"\min_{A,B}\; \term{adv}{-\log\left(1 - D(x, \hat{z}, y)\right) - \tfrac{1}{2} \log D(\tilde{x}, z, y)"
        r" - \tfrac{1}{2} \log D(x', \hat{z}, y')} + \lambda\, \term{cycle}{\lVert x - B(\hat{z}, y) \rVert_1}"
        r" + \eta\, \term{told}{H(y', R(x'))},\quad x' = B(\hat{z}, y')",
        terms={
            "critic": CRITIC,
            "adv": Term(
                "nats", "how surely the critic knows which pair is which; 2 log 2 ≈ 1.386 when it only guesses"
            ),
            "cycle": Term("absolute error", "distance between the input and its decoded code, a sample of q(z|x, y)"),
            "reading": Term(
                "nats", "cross-entropy of the attributes that the classifier predicts for real images, summed"
            ),
            "told": Term("nats", "the same for decoded images, with the attributes that the decoder was given"),
        },
        source="Dumoulin et al. (2016), arXiv:1606.00704; Li et al. (2017), arXiv:1709.01215; Odena et al. (2017), "
        "arXiv:1610.09585; chapter §5.2, Fig. 6",
        build=AttributeALI,
        params={
            "code": SIZE,
            "lam": Param(0.03, 1e-5, 1.0, 1e-5, "log", r"\lambda", "weight of the cycle loss"),
            "read": Param(
                1.0, 0.01, 100.0, 0.01, "log", r"\eta", "weight of the attributes predicted for decoded images"
            ),
            **{name: Param(True, help=text) for name, text in YES.items()},
            "width": WIDTH,
            "attributes": ATTRIBUTES,
        },
        kinds=("image",),
        departures="three additions to conditional ALI: a cycle loss, a network that classifies attributes, and "
        "shuffled attributes among the fakes; spectral normalisation, conditional batch normalisation, a projection "
        "and feature maps instead of one embedding in each network; noise on the inputs of the critic, which fades; "
        "averaged weights; non-saturating losses; a twentieth of the attributes is withheld in training",
        plan={"lr": 3e-4, "epochs": 20, "batch": 64},
    ),
    Entry(
        key="cvae",
        name="Conditional VAE",
        year=2015,
        section="§5.2",
        idea="A VAE whose networks are conditioned on attributes or labels, so that the code need not contain them.",
        equation=r"-\mathcal{L} = \term{recon}{c\, \lVert x - B(z, y) \rVert^2}"
        r" + \beta\, \term{kl}{D_{KL}\left(q(z|x, y) \,\Vert\, \mathcal{N}(0, I)\right)},\quad z \sim q(z|x, y)",
        terms={
            "recon": Term("nats", "c times the squared error, summed over pixels: −log p(x|z, y) up to a constant"),
            "kl": Term("nats", "how far the code's distribution is from the prior"),
        },
        source="Sohn, Lee & Yan (2015), NeurIPS; Kingma et al. (2014), arXiv:1406.5298",
        build=ConditionalVAE,
        params={
            "code": SIZE,
            "beta": Param(1.0, 0.01, 100.0, 0.01, "log", r"\beta", "weight of the KL"),
            "c": Param(50.0, 0.1, 1000.0, 0.1, "log", "c", "precision of pixels: 1 / (2σ²)"),
            "width": WIDTH,
            "classes": CLASSES,
            "attributes": ATTRIBUTES,
        },
        kinds=("image",),
        departures="the prior does not depend on the condition, so that a code can be decoded with other attributes; "
        "a twentieth of the conditions is withheld in training, so that the model also works without one",
        plan={"epochs": 20, "batch": 128},
    ),
)
