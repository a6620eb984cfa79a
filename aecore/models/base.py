"""The contract of every model: networks plus named loss terms, and who plays for which of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Data, Split
from ..errors import FieldError
from ..nn import networks
from ..nn.distributions import Normal, Prior, StandardNormal, distance
from ..nn.networks import Shape

ABILITIES: dict[str, tuple[str, ...]] = {
    "encode": ("encode", "code"),
    "decode": ("decode", "code"),
    "sample": ("sample",),
    "posterior": ("posterior",),
    "likelihood": ("posterior", "p_x", "prior"),
    "cloud": ("cloud",),
    "corrupt": ("corrupt",),
    "density": ("log_prob", "given"),
    "pixelwise": ("draw", "laws", "log_probs", "noise", "rounded", "sequence", "turned", "restored", "values", "order"),
    "variations": ("variations", "sketch"),
    "assign": ("assign", "responsibilities", "centres"),
    "layers": ("through", "layers"),
    "features": ("features", "blocks"),
}
"""Ability → the methods and attributes that a model with this ability has.

encode: x → code.  decode: code → x.  sample: draws from the model; with "decode" by codes drawn from its `prior`.
posterior: a Gaussian q(z|x).  likelihood: p(x|z) beside q(z|x), hence a bound on log p(x).  cloud: a Gaussian around
each code that is no posterior.  corrupt: damages its input.  density: an exact log p(x).  pixelwise: draws pixel by
pixel, and has a distribution of each pixel given those before it.  variations: draws one code several times.
assign: sorts examples into clusters.  layers: is a stack, and reconstructs through its first layers.  features: has a
network that compares images by its features.
"""


@dataclass(frozen=True)
class Recommends:
    """What a model of ratings reads and predicts.

    examples: whose ratings make one example, "users" or "items".
    predicts: "stars", on the scale of the ratings, or a "ranking" by scores that only their order compares.
    unit: of one prediction, for people.
    side: whether `encode` and `decode` also read side information (B, side), whose size is the parameter `side`.
    hides: the parameter that is the share of known ratings hidden in training; "" where there is none to choose.
    """

    examples: Literal["users", "items"] = "users"
    predicts: Literal["stars", "ranking"] = "stars"
    unit: str = "predicted stars"
    side: bool = False
    hides: str = ""


@dataclass(frozen=True)
class Player:
    """Networks that move together to lower their own loss, Σ weight · mean(term).

    networks: whose parameters it moves; always the same ones under one name, since its Adam remembers them.
    weights: term name → weight in its loss; −1 where it wants a term large.
    lr: factor on the learning rate.  betas: of its Adam.
    """

    networks: tuple[nn.Module, ...]
    weights: Mapping[str, float]
    lr: float = 1.0
    betas: tuple[float, float] = field(default=(0.9, 0.999))


class Model(nn.Module):
    """What the loop and the pages know of a model. Subclasses define `terms`, and `players` if not alone.

    abilities: what a model of this class can do: keys of ABILITIES.
    recommends: what it reads and predicts, if it is a model of ratings.
    shape: of one example, (C, H, W) or (D,).
    classes: how many labels condition it (`batch.y` from 0 to classes − 1); 0 where none do.
    attributes: how many attributes condition it (`batch.attributes`); 0 where none do.
    training_only: prefixes of parameter names that are needed only for training; published examples come without them.
    sequential: whether it draws pixel after pixel. That takes milliseconds an image, and no graph of fixed operations
    (ONNX) can hold it.
    """

    abilities: ClassVar[frozenset[str]] = frozenset()
    recommends: ClassVar[Recommends | None] = None
    classes: int = 0
    attributes: int = 0
    training_only: tuple[str, ...] = ()
    sequential: bool = False

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = tuple(shape)

    @property
    def output_size(self) -> int:
        """How many it says of one example: what bounds a batch that must fit into memory."""
        return math.prod(self.shape)

    def terms(self, batch: Batch, players: Collection[str]) -> dict[str, Tensor]:
        """The named terms of the objective, from one forward pass: (B,) per example or () of the batch.

        players: who moves on this turn; terms that only others use may be left out. No term is
        weighted here: what is logged means the same at every weight. A term that itself contains a
        gradient takes it under `torch.enable_grad`, since held-out terms are taken under `no_grad`.
        """
        raise NotImplementedError

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        """Who plays at this moment of training (0 start … 1 end), for which weighted terms.

        Weights may change with progress (warm-up), and so may the names (stages: "first layer", then "whole").
        """
        raise NotImplementedError

    def update_schedule(self, progress: float = 1.0) -> tuple[tuple[str, ...], ...]:
        """One round of play: each turn draws one minibatch, and its players move simultaneously on it.

        By default all players move at once. Five critic steps to one: (("critic",),) * 5 + (("generator",),).
        """
        return (tuple(self.players(progress)),)

    def after_step(self, player: str) -> None:
        """Called after each step of a player: put its weights back where they must stay (WGAN's clipping)."""

    def on_epoch_start(self, split: Split, progress: float) -> None:
        """Called before each epoch and stage, and at the end, under `no_grad`: what is estimated from all examples.

        A stage begins where other players play, or for other terms.

        split: the training examples.  progress: 1 at the end.

        What is found is kept in buffers, so that a run that is resumed has it too.
        """

    def condition(self, n: int, y: Tensor | None = None) -> tuple[Tensor, ...]:
        """What `decode` of n codes is given beside them: nothing, or labels (n,), by default the classes in turn.

        Of a model that attributes condition: attributes (n, A), by default those of training examples in turn.
        """
        if self.attributes:
            return (self.seen_attributes[torch.arange(n) % len(self.seen_attributes)] if y is None else y,)
        if not self.classes:
            return ()
        return (torch.arange(n) % self.classes if y is None else torch.as_tensor(y),)

    def check(self, data: Data) -> None:
        """Called before a training: FieldError where the data lack what this model needs."""
        if self.classes and data.train.labels is None:
            remedy = "choose data with labels, or give classes=0"
            raise FieldError("classes", f"{data.title} has no labels to condition on: {remedy}")
        if self.classes and len(data.train.labels) and int(data.train.labels.max()) >= self.classes:
            there = int(data.train.labels.max()) + 1
            raise FieldError("classes", f"{data.title} has {there} classes, more than {self.classes}: give {there}")
        if self.attributes and len(data.attributes) != self.attributes:
            there = len(data.attributes)
            raise FieldError("attributes", f"{data.title} has {there or 'no'} attributes: give {there}")


class Decoding(Model):
    """A model that decodes codes: decoder (B, D) → (B, *shape) logits.

    code: D, the number of units.  prior: what `sample` draws codes from.
    """

    abilities = frozenset({"decode", "sample"})
    decoder: nn.Module

    def __init__(self, shape: Shape, code: int, prior: Prior | None = None):
        super().__init__(shape)
        self.code = code
        self.prior = prior or StandardNormal(code)

    @property
    def has_standard_prior(self) -> bool:
        """Whether codes are drawn from N(0, I)."""
        return isinstance(self.prior, StandardNormal)

    def decode(self, z: Tensor) -> Tensor:
        """z (B, D) → mean of p(x|z), (B, *shape) in [0, 1]."""
        return self.decoder(z).float().sigmoid()

    def sample(
        self, n: int, temperature: float = 1.0, generator: Generator | None = None, y: Tensor | None = None
    ) -> Tensor:
        """n decoded draws from the prior: (n, *shape) in [0, 1].

        y: labels (n,) for a model that is conditioned on them; by default the classes in turn.
        """
        z = self.prior.sample(n, next(self.parameters()), temperature, generator)
        return self.decode(z, *self.condition(n, y))


class Autoencoder(Decoding):
    """A decoder with its encoder: (B, *shape) → (B, D)."""

    abilities = frozenset({"encode", "decode"})
    encoder: nn.Module

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0})}

    def encode(self, x: Tensor) -> Tensor:
        """x (B, *shape) → code (B, D); the posterior's mean where there is one."""
        return self.encoder(x)


class Mirrored(Autoencoder):
    """An autoencoder with the usual networks: the decoder mirrors the encoder.

    net: "dense" or "conv".  width: units of a hidden layer; convolutions start with width / 16 channels.

    For subclasses only: outputs, how many numbers the encoder gives, by default the code's D; prior, by default
    N(0, I); first, which makes a dense decoder's first layer (see `networks.decoder`).
    """

    def __init__(
        self,
        shape: Shape,
        code: int = 16,
        net: str = "dense",
        width: int = 512,
        *,
        outputs: int | None = None,
        prior: Prior | None = None,
        first: Callable[[int, int], nn.Linear] = networks.of_codes,
    ):
        super().__init__(shape, code, prior)
        self.encoder = networks.encoder(net, self.shape, code if outputs is None else outputs, width)
        self.decoder = networks.decoder(net, code, self.shape, width, first)


class PlainCode(Mirrored):
    """An autoencoder with the usual networks whose code is a point, and whose images are compared pixel by pixel.

    distance: Δ, "squared" or "bernoulli".  keywords: those of `Mirrored`.
    """

    def __init__(self, shape: Shape, code: int = 16, distance: str = "squared", **keywords: Any):
        super().__init__(shape, code, **keywords)
        self.distance = distance

    def reconstruction_error(self, x: Tensor, h: Tensor) -> Tensor:
        """Δ(x, B(h)) of x (B, *shape) and codes h (B, D): (B,)."""
        return distance(self.distance, x, self.decoder(h))


def freeze_encoder_from(model: Model, other: Model) -> None:
    """From now on a model has the encoder of another, and holds it: only what is behind the code is trained.

    Of an encoder to a Gaussian the half that gives μ is taken where the model's own gives no variances, so that its
    code is then the other's `encode(x)`.  Raises FieldError where one has no encoder, or the networks differ.
    """
    own, theirs = (getattr(one, "encoder", None) for one in (model, other))
    if own is None or theirs is None:
        raise FieldError("encoder", "one of these two models has none: choose two autoencoders")
    wanted, there = own.state_dict(), theirs.state_dict()
    taken = {
        name: there[name][: len(value)] if value.ndim else there[name]
        for name, value in wanted.items()
        if name in there
    }
    most = 2 if isinstance(other, Stochastic) and not isinstance(model, Stochastic) else 1
    halved = all(
        len(there[name]) in (len(value), most * len(value))
        for name, value in wanted.items()
        if name in taken and value.ndim
    )
    fits = {name: value.shape for name, value in taken.items()} == {name: v.shape for name, v in wanted.items()}
    if not fits or not halved or len(there) != len(wanted):
        raise FieldError(
            "encoder",
            "the networks differ: give the model the other's net, width and code, for images of the same size",
        )
    own.load_state_dict(taken)
    own.requires_grad_(False)


class Stochastic(Autoencoder):
    """An autoencoder that encodes to a Gaussian q(z|x): encoder (B, *shape) → (B, 2D), μ and log σ²."""

    abilities = Autoencoder.abilities | {"sample", "posterior"}

    def posterior(self, x: Tensor) -> Normal:
        """q(z|x) = N(μ(x), diag σ²(x)), each (B, D)."""
        mu, logvar = self.encoder(x).float().chunk(2, -1)
        return Normal(mu, logvar)

    def encode(self, x: Tensor) -> Tensor:
        return self.posterior(x).mu


class GaussianCode(Mirrored, Stochastic):
    """An autoencoder with the usual networks whose encoder gives a Gaussian q(z|x).  keywords: those of `Mirrored`."""

    def __init__(self, shape: Shape, code: int = 16, **keywords: Any):
        super().__init__(shape, code, outputs=2 * code, **keywords)


class Clustering(Model):
    """A model that sorts examples into K clusters.

    centres: (K, D), one code for each cluster.
    """

    centres: Tensor

    def responsibilities(self, x: Tensor) -> Tensor:
        """x (B, *shape) → (B, K), the share of each cluster in each example; rows sum to 1."""
        raise NotImplementedError

    def assign(self, x: Tensor) -> Tensor:
        """x (B, *shape) → number of its likeliest cluster, (B,)."""
        return self.responsibilities(x).argmax(1)


class Conditioned(Model):
    """A model whose networks are told labels or attributes as a vector c (B, C), some of it withheld in training."""

    condition_dropout_rate = 0.1  # share of minibatches' conditions, so that the networks know what to do without one

    def condition_on(self, classes: int, attributes: int) -> int:
        """Remember by what the model is conditioned; the size of c. For the constructor, before any network."""
        if classes and attributes:
            raise FieldError("attributes", "labels and attributes at once are not allowed: give 0 for one of them")
        self.classes, self.attributes = classes, attributes
        if attributes:
            self.register_buffer("seen_attributes", torch.zeros(64, attributes))
        return classes or attributes

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if self.attributes:
            some = split.batch(torch.arange(min(64, len(split)))).attributes
            self.seen_attributes.copy_(some[torch.arange(64, device=some.device) % len(some)])

    def given(self, batch: Batch) -> Tensor | None:
        """What stands beside a minibatch: attributes (B, A), labels (B,), or None."""
        return batch.attributes if self.attributes else batch.y

    def condition_vector(self, y: Tensor | None, n: int) -> Tensor | None:
        """c (n, C), None without conditions.

        Of labels: y (n,) one-hot, or shares y (n, C); 1/C for every class where y is None. Of attributes: y (n, A),
        from 0 to 1 and beyond, as −1 to 1; 0 where y is None.
        """
        size = self.classes or self.attributes
        if not size:
            return None
        like = next(self.parameters())
        if y is None:
            return like.new_full((n, size), 1 / size if self.classes else 0.0)
        y = torch.as_tensor(y, device=like.device)
        if self.attributes:
            return 2 * y.to(like.dtype) - 1
        if y.ndim == 2:  # shares of several classes
            return y.to(like.dtype)
        return F.one_hot(y, size).to(like.dtype)

    def condition_dropout(self, c: Tensor | None) -> Tensor | None:
        """The conditions of a minibatch, (B, C), some of them made unknown while the model trains."""
        if c is None or not self.training:
            return c
        unknown = torch.rand(len(c), 1, device=c.device) < self.condition_dropout_rate
        return torch.where(unknown, self.condition_vector(None, len(c)), c)


class ConditionedGaussian(Conditioned, Stochastic):
    """An autoencoder with a Gaussian code whose encoder and decoder are both given the condition."""

    def posterior_given(self, x: Tensor, c: Tensor | None) -> Normal:
        """q(z|x, c), each (B, D), for a condition vector c (B, C), parts of which may be unknown."""
        raise NotImplementedError

    def decode_given(self, z: Tensor, c: Tensor | None) -> Tensor:
        """B(z, c), (B, *shape) in [0, 1], for a condition vector c (B, C)."""
        raise NotImplementedError

    def posterior(self, x: Tensor, y: Tensor | None = None) -> Normal:
        """q(z|x, y), each (B, D).  y: labels (B,) or attributes (B, A), None where unknown."""
        return self.posterior_given(x, self.condition_vector(y, len(x)))

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """The mean of q(z|x, y), (B, D).  y: as in `posterior`."""
        return self.posterior(x, y).mu

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """B(z, y), (B, *shape) in [0, 1].  y: labels (B,) or attributes (B, A), from 0 to 1 and beyond, or None."""
        return self.decode_given(z, self.condition_vector(y, len(z)))


def total(terms: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Σ weight · mean over the batch of the term: the only place where terms are added up."""
    return torch.stack([weight * terms[name].mean() for name, weight in weights.items()]).sum()
