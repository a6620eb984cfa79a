"""The contract of every model: networks, named loss terms, and players that lower weighted sums of these terms."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Generator, Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Data, Split
from ..errors import FieldError
from ..nn import networks
from ..nn.distributions import Normal, Prior, StandardNormal, distance
from ..nn.networks import Shape

Terms = Mapping[str, Float[Tensor, "..."]]
"""The named terms of an objective: (B,), one number per example, or (), one for the whole minibatch."""

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

encode: x → code.  decode: code → x.  sample: generates examples; a model that can also "decode" does so by decoding
codes from its `prior`.
posterior: a Gaussian q(z|x).  likelihood: p(x|z) beside q(z|x), hence a bound on log p(x).  cloud: a Gaussian around
each code that is not a posterior.  corrupt: damages its input.  density: an exact log p(x).  pixelwise: draws pixel by
pixel, and has a distribution of each pixel given those before it.  variations: decodes one code to several different
images.  assign: sorts examples into clusters.  layers: is a stack, and can reconstruct through its first layers alone.
features: has a network that compares images by its features.
"""


@dataclass(frozen=True)
class Recommends:
    """What a model of ratings reads and predicts.

    examples: whose ratings make one example, "users" or "items".
    predicts: "stars", on the scale of the ratings, or a "ranking" by scores of which only the order matters.
    unit: of one prediction, as users read it.
    side: whether `encode` and `decode` also read side information (B, side), whose size is the parameter `side`.
    hides: name of the parameter that sets the share of known ratings hidden in training; "" if there is none.
    """

    examples: Literal["users", "items"] = "users"
    predicts: Literal["stars", "ranking"] = "stars"
    unit: str = "predicted stars"
    side: bool = False
    hides: str = ""


@dataclass(frozen=True)
class Player:
    """Networks that are trained together to lower one loss, Σ weight · mean(term), by an Adam of their own.

    networks: whose parameters it moves. A name always stands for the same networks, since its Adam keeps their state.
    weights: term name → weight in the loss; −1 for a term that the player raises.
    lr: factor on the learning rate.  betas: Adam's.
    """

    networks: tuple[nn.Module, ...]
    weights: Mapping[str, float]
    lr: float = 1.0
    betas: tuple[float, float] = field(default=(0.9, 0.999))


class Model(nn.Module):
    """What the training loop and the pages know of a model. Subclasses define `terms`, and `players` where needed.

    abilities: what a model of this class can do: keys of ABILITIES.
    recommends: what it reads and predicts, if it is a model of ratings.
    shape: of one example, (C, H, W) or (D,).
    classes: how many labels condition it (`batch.y` from 0 to classes − 1); 0 where none do.
    attributes: how many attributes condition it (`batch.attributes`); 0 where none do.
    training_only: prefixes of parameter names that are needed only for training; published examples come without them.
    smallest_batch: fewest examples from which all terms can be computed; from fewer, `terms` leaves some out.
    batchwise: whether a term is an estimate whose expectation depends on the size of the minibatch, so that its values
    can be compared only at one size.
    sequential: whether it draws pixel after pixel. That takes milliseconds per image, and no graph of fixed operations
    (ONNX) can hold it.
    """

    abilities: ClassVar[frozenset[str]] = frozenset()
    recommends: ClassVar[Recommends | None] = None
    classes: int = 0
    attributes: int = 0
    training_only: tuple[str, ...] = ()
    smallest_batch: int = 1
    batchwise: bool = False
    sequential: bool = False
    seen_attributes: Tensor  # (64, A) of training examples, where attributes condition it

    def __init__(self, shape: Shape):
        super().__init__()
        self.shape = tuple(shape)

    @property
    def output_size(self) -> int:
        """How many numbers the model gives for one example. It bounds the batches of an evaluation."""
        return math.prod(self.shape)

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        """The named terms of the objective from one forward pass: (B,) per example or () for the batch.

        Terms are not weighted here, so that a logged value means the same at every weight. A term that contains a
        gradient computes it under `torch.enable_grad`, since terms of held-out examples are computed under `no_grad`.

        players: those that move in this turn; terms that only other players use may be left out.
        Fewer examples than `smallest_batch` give only the terms that can be computed from them.
        """
        raise NotImplementedError

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        """The players at this moment of training, from 0 (start) to 1 (end), by name.

        Weights may change with progress, as in a warm-up. So may the players themselves, as in a training by stages:
        "first layer", then "whole". Asking does not change the model.
        """
        raise NotImplementedError

    def update_schedule(self, progress: float = 1.0) -> tuple[tuple[str, ...], ...]:
        """The turns of one step. Each turn draws one minibatch, on which its players move simultaneously.

        By default there is one turn of all players. Five critic steps to one of the generator are
        (("critic",),) * 5 + (("generator",),).
        """
        return (tuple(self.players(progress)),)

    def on_step_start(self, progress: float) -> None:
        """Called at the start of each step of the training, to set what fades or grows with its progress.

        progress: from 0 (start) to 1 (end).
        """

    def after_step(self, player: str) -> None:
        """Called after each step of a player, to bring its weights back into their bounds (WGAN's clipping)."""

    def on_epoch_start(self, split: Split, progress: float) -> None:
        """Estimate what depends on all training examples. Called at the start of each epoch and stage, and at the end.

        A new stage starts where the players or their terms change. Gradients are off. Estimates are kept in buffers,
        so that a resumed run has them too.

        split: the training examples.  progress: from 0 to 1, which is the end.
        """

    def condition(self, n: int, y: Shaped[Tensor, "n ..."] | None = None) -> tuple[Shaped[Tensor, "n ..."], ...]:
        """What `decode` needs beside n codes, as a tuple: empty, (labels (n,),) or (attributes (n, A),).

        y: these labels or attributes; by default the classes in turn, or attributes of training examples in turn.
        """
        if self.attributes:
            return (self.seen_attributes[torch.arange(n) % len(self.seen_attributes)] if y is None else y,)
        if not self.classes:
            return ()
        return (torch.arange(n) % self.classes if y is None else torch.as_tensor(y),)

    def check(self, data: Data) -> None:
        """Called before a training. Raises FieldError where the data lack what this model needs."""
        labels = data.train.labels
        if self.classes and labels is None:
            remedy = "choose data with labels, or give classes=0"
            raise FieldError("classes", f"{data.title} has no labels to condition on: {remedy}")
        if self.classes and labels is not None and len(labels) and int(labels.max()) >= self.classes:
            count = int(labels.max()) + 1
            raise FieldError("classes", f"{data.title} has {count} classes, more than {self.classes}: give {count}")
        if self.attributes and len(data.attributes) != self.attributes:
            count = len(data.attributes)
            raise FieldError("attributes", f"{data.title} has {count or 'no'} attributes: give {count}")


class Decoding(Model):
    """A model that decodes codes: decoder (B, D) → (B, *shape) logits.

    code: D, the number of latent dimensions.  prior: the distribution from which `sample` draws codes.
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

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B *shape"]:
        """The mean of p(x|z) for codes z (B, D): (B, *shape) in [0, 1]."""
        return self.decoder(z).float().sigmoid()

    def sample(
        self,
        n: int,
        temperature: float = 1.0,
        generator: Generator | None = None,
        y: Shaped[Tensor, "n ..."] | None = None,
    ) -> Float[Tensor, "n *shape"]:
        """n decoded samples from the prior: (n, *shape) in [0, 1].

        temperature: scales the prior's spread.  y: labels or attributes; see `condition`.
        """
        z = self.prior.sample(n, next(self.parameters()), temperature, generator)
        return self.decode(z, *self.condition(n, y))


class Autoencoder(Decoding):
    """A decoder with its encoder: (B, *shape) → (B, D)."""

    abilities = frozenset({"encode", "decode"})
    encoder: nn.Module

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0})}

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        """The code of x (B, *shape), (B, D): the posterior's mean where there is a posterior."""
        return self.encoder(x)


class Mirrored(Autoencoder):
    """An autoencoder with the usual networks: the decoder mirrors the encoder.

    net: "dense" or "conv".  width: units of a hidden layer; convolutions start with width / 16 channels.

    For subclasses only: outputs, how many numbers the encoder gives, by default D; prior, by default N(0, I); first, a
    function that makes the first layer of a dense decoder (see `networks.decoder`).
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

    def reconstruction_error(self, x: Float[Tensor, "B *shape"], h: Float[Tensor, "B D"]) -> Float[Tensor, "B"]:
        """Δ(x, B(h)) of x (B, *shape) and codes h (B, D): (B,)."""
        return distance(self.distance, x, self.decoder(h))


def freeze_encoder_from(model: Model, other: Model) -> None:
    """Give `model` the encoder of `other` and freeze it, so that only what follows the code is trained.

    Where the other's encoder gives μ and log σ² but the model's own gives no variances, only the part for μ is copied;
    the code is then the other's `encode(x)`.  Raises FieldError where a model has no encoder or the networks differ.
    """
    encoder, source = (getattr(each, "encoder", None) for each in (model, other))
    if not isinstance(encoder, nn.Module) or not isinstance(source, nn.Module):
        raise FieldError("encoder", "one of these two models has no encoder: choose two autoencoders")
    wanted, given = encoder.state_dict(), source.state_dict()
    copied = {
        name: given[name][: len(value)] if value.ndim else given[name]
        for name, value in wanted.items()
        if name in given
    }
    rows = (
        2 if isinstance(other, Stochastic) and not isinstance(model, Stochastic) else 1
    )  # rows of the source for each row that is copied
    whole_or_half = all(
        len(given[name]) in (len(value), rows * len(value))
        for name, value in wanted.items()
        if name in copied and value.ndim
    )
    fits = {name: v.shape for name, v in copied.items()} == {name: v.shape for name, v in wanted.items()}
    same_code = getattr(model, "code", None) == getattr(other, "code", None)  # 2D numbers may also be a μ and a log σ²
    if not fits or not whole_or_half or not same_code or len(given) != len(wanted):
        raise FieldError(
            "encoder",
            "the networks differ: give the model the other's net, width and code, for images of the same size",
        )
    encoder.load_state_dict(copied)
    encoder.requires_grad_(False)


class Stochastic(Autoencoder):
    """An autoencoder that encodes to a Gaussian q(z|x): encoder (B, *shape) → (B, 2D), μ and log σ²."""

    abilities = Autoencoder.abilities | {"sample", "posterior"}

    def posterior(self, x: Float[Tensor, "B *shape"]) -> Normal:
        """q(z|x) = N(μ(x), diag σ²(x)), each (B, D)."""
        mu, logvar = self.encoder(x).float().chunk(2, -1)
        return Normal(mu, logvar)

    def encode(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B D"]:
        return self.posterior(x).mu


class GaussianCode(Mirrored, Stochastic):
    """An autoencoder with the usual networks whose encoder gives a Gaussian q(z|x).  keywords: those of `Mirrored`."""

    def __init__(self, shape: Shape, code: int = 16, **keywords: Any):
        super().__init__(shape, code, outputs=2 * code, **keywords)


class Clustering(Model):
    """A model that sorts examples into K clusters.

    centres: (K, D), one code for each cluster.
    """

    centres: Float[Tensor, "K D"]

    def responsibilities(self, x: Float[Tensor, "B *shape"]) -> Float[Tensor, "B K"]:
        """x (B, *shape) → (B, K), the share of each cluster in each example; rows sum to 1."""
        raise NotImplementedError

    def assign(self, x: Float[Tensor, "B *shape"]) -> Int[Tensor, "B"]:
        """x (B, *shape) → the number of its likeliest cluster, (B,)."""
        return self.responsibilities(x).argmax(1)


class Conditioned(Model):
    """A model whose networks receive labels or attributes as a condition vector c (B, C).

    In training a share of the conditions is made unknown, so that the networks also work without one.
    """

    condition_dropout_rate = 0.1  # the share of conditions that is made unknown

    def condition_on(self, classes: int, attributes: int) -> int:
        """Set what conditions the model, and return C, the size of c. Constructors call it before they build networks.

        Raises FieldError for labels and attributes at once.
        """
        if classes and attributes:
            raise FieldError("attributes", "labels and attributes at once are not allowed: give 0 for one of them")
        self.classes, self.attributes = classes, attributes
        if attributes:
            self.register_buffer("seen_attributes", torch.zeros(64, attributes))
        return classes or attributes

    def on_epoch_start(self, split: Split, progress: float) -> None:
        if self.attributes:
            first = split.batch(torch.arange(min(64, len(split)))).attributes
            assert first is not None  # `check` has made sure
            self.seen_attributes.copy_(first[torch.arange(64, device=first.device) % len(first)])

    def condition_of(self, batch: Batch) -> Shaped[Tensor, "B ..."] | None:
        """The attributes (B, A) or labels (B,) of a minibatch, whichever condition the model, or None."""
        return batch.attributes if self.attributes else batch.y

    def condition_vector(self, y: Shaped[Tensor, "n ..."] | None, n: int) -> Float[Tensor, "n C"] | None:
        """The condition vector c (n, C); None for a model without conditions.

        Labels y (n,) become one-hot vectors; shares of several classes y (n, C) stay as they are; None gives 1/C for
        every class. Attributes y (n, A), from 0 to 1 and beyond, become −1 to 1; None gives 0.
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

    def condition_dropout(self, c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B C"] | None:
        """The condition vectors of a minibatch, of which a share is made unknown while the model trains."""
        if c is None or not self.training:
            return c
        dropped = torch.rand(len(c), 1, device=c.device) < self.condition_dropout_rate
        unknown = self.condition_vector(None, len(c))
        assert unknown is not None
        return torch.where(dropped, unknown, c)


class ConditionedGaussian(Conditioned, Stochastic):
    """An autoencoder with a Gaussian code whose encoder and decoder are both given the condition."""

    def posterior_given(self, x: Float[Tensor, "B *shape"], c: Float[Tensor, "B C"] | None) -> Normal:
        """q(z|x, c), each (B, D), for a condition vector c (B, C), parts of which may be unknown."""
        raise NotImplementedError

    def decode_given(self, z: Float[Tensor, "B D"], c: Float[Tensor, "B C"] | None) -> Float[Tensor, "B *shape"]:
        """B(z, c), (B, *shape) in [0, 1], for a condition vector c (B, C)."""
        raise NotImplementedError

    def posterior(self, x: Float[Tensor, "B *shape"], y: Shaped[Tensor, "B ..."] | None = None) -> Normal:
        """q(z|x, y), each (B, D).  y: labels (B,) or attributes (B, A), None where unknown."""
        return self.posterior_given(x, self.condition_vector(y, len(x)))

    def encode(self, x: Float[Tensor, "B *shape"], y: Shaped[Tensor, "B ..."] | None = None) -> Float[Tensor, "B D"]:
        """The mean of q(z|x, y), (B, D).  y: as in `posterior`."""
        return self.posterior(x, y).mu

    def decode(self, z: Float[Tensor, "B D"], y: Shaped[Tensor, "B ..."] | None = None) -> Float[Tensor, "B *shape"]:
        """B(z, y), (B, *shape) in [0, 1].  y: labels (B,) or attributes (B, A), from 0 to 1 and beyond, or None."""
        return self.decode_given(z, self.condition_vector(y, len(z)))


def total(terms: Terms, weights: Mapping[str, float]) -> Float[Tensor, ""]:
    """Σ weight · mean of the term over the batch. Terms are added up only here."""
    return torch.stack([weight * terms[name].mean() for name, weight in weights.items()]).sum()
