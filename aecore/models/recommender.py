"""Chapter §4.5: autoencoders that complete ratings, given in stars (AutoRec, CFN) or as likes (CDAE, Mult-VAE)."""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import ClassVar

import torch
from jaxtyping import Float, Int, Num
from torch import Tensor, nn
from torch.nn import functional as F

from ..data.base import Batch, Data, Split
from ..data.ratings import name_by
from ..errors import FieldError
from ..nn import networks
from ..nn.distributions import Normal, sum_dims
from ..nn.divergences import kl_standard
from ..nn.networks import Shape
from .base import Autoencoder, Player, Recommends, Stochastic, Terms
from .entry import Entry, Param, Term


def observed(batch: Batch) -> Float[Tensor, "B ratings"]:
    """The mask (B, D), 1 where a rating was observed."""
    return torch.ones_like(batch.x) if batch.mask is None else batch.mask


ACTIVATIONS: dict[str, type[nn.Module]] = {"identity": nn.Identity, "sigmoid": nn.Sigmoid}

# --- stars ----------------------------------------------------------------------------------------------


class AutoRec(Autoencoder):
    """Completes a vector of ratings of which few are known: h(r) = f(W g(V r + μ) + b).

    loss = ‖r − h(r)‖²_O + (λ/2)(‖W‖² + ‖V‖²), where O are the observed ratings (Eq. 17, 18). Unobserved ratings are 0
    in the input, and their outputs receive no gradient.

    f, g: "identity" or "sigmoid", the activations of the output and of the code. A sigmoid output reaches from the
    lowest to the highest of the training ratings, which `on_epoch_start` finds.

    r is a user's vector over items (U-AutoRec) or an item's vector over users (I-AutoRec): only the data differ.
    batch.mask says what was observed. lam: λ.

    Source: Sedhain et al. (2015), doi:10.1145/2740908.2742726. Departures: the loss is the mean over examples and not
    the sum, so that λ is the paper's divided by the number of examples. Adam replaces RProp.
    """

    recommends: ClassVar[Recommends] = Recommends()
    range: Float[Tensor, "2"]
    decoder: nn.Linear

    def __init__(self, shape: Shape, code: int = 200, lam: float = 0.01, f: str = "identity", g: str = "sigmoid"):
        super().__init__(shape, code)
        ratings = math.prod(self.shape)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(ratings, code), ACTIVATIONS[g]())
        self.decoder = nn.Linear(code, ratings)
        self.lam, self.f = lam, f
        self.register_buffer("range", torch.tensor([0.0, 1.0]))

    def check(self, data: Data) -> None:
        wanted = self.recommends.examples
        if data.rows not in (None, wanted):
            named = name_by(data.spec.name, wanted)
            raise FieldError(
                "data", f"this model reads {wanted}, but the rows of {data.title} are {data.rows}: take {named}"
            )

    def on_epoch_start(self, split: Split, progress: float) -> None:
        """Find the lowest and the highest training rating, for a sigmoid output; once, at the start."""
        if progress or self.f == "identity":
            return
        low, high = math.inf, -math.inf
        for index in torch.arange(len(split)).split(500):
            batch = split.batch(index)
            seen = batch.x[observed(batch) > 0]
            if len(seen):
                low, high = min(low, float(seen.min())), max(high, float(seen.max()))
        self.range.copy_(torch.tensor([low, high]))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "weights": self.lam})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        mask = observed(batch)
        r = mask * batch.x
        error = mask * (r - self.decode(self.encoder(r)))
        V, W = self.encoder.get_parameter("1.weight"), self.decoder.weight
        return {"recon": sum_dims(error**2), "weights": 0.5 * (W.square().sum() + V.square().sum())}

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B ratings"]:
        """Ratings (B, D) on their own scale."""
        h = self.decoder(z).float()
        return h if self.f == "identity" else self.range[0] + (self.range[1] - self.range[0]) * h.sigmoid()


class ItemAutoRec(AutoRec):
    """AutoRec over the ratings that an item received: h(r) = f(W g(V r + μ) + b) with r (users), Eq. 18.

    Source: Sedhain et al. (2015), doi:10.1145/2740908.2742726. Departures: as AutoRec.
    """

    recommends = Recommends(examples="items")


class CFN(Autoencoder):
    """Denoising autoencoder of ratings that also reads side information: h(r, s) = W [a; s] + b, a = g(V [r̃; s]).

    loss = α ‖r − h(r̃, s)‖²_C + β ‖r − h(r̃, s)‖²_{O∖C} + (λ/2)(‖W‖² + ‖V‖²): of the observed ratings O, a share C
    (each with probability `noise`) is hidden from the input r̃; α weights the prediction of these ratings, and β the
    reconstruction of the others. s: traits of the user or genres of the film (batch.attributes), which are joined to
    the input and to the hidden units.

    Ratings are relative to the mean of their column, which `on_epoch_start` computes from the training ratings.
    side: how many numbers s has; 0 for none. Where a batch has none, s = 0.

    Source: Strub, Gaudel & Mary (2016), doi:10.1145/2988450.2988456; Strub & Mary (2015), hal-01256422.
    Departures: one hidden layer; columns are centred by their mean, whereas the paper removes the mean of the rows and
    scales to [−1, 1]; Adam instead of gradient descent; the loss is the mean over examples.
    """

    recommends = Recommends(side=True, hides="noise")
    centre: Float[Tensor, "ratings"]
    decoder: nn.Linear

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        noise: float = 0.25,
        alpha: float = 1.0,
        beta: float = 0.5,
        lam: float = 0.01,
        side: int = 0,
    ):
        super().__init__(shape, code)
        ratings = math.prod(self.shape)
        self.noise, self.alpha, self.beta, self.lam, self.side = noise, alpha, beta, lam, side
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(ratings + side, code), nn.Tanh())
        self.decoder = nn.Linear(code + side, ratings)
        self.register_buffer("centre", torch.zeros(ratings))

    def check(self, data: Data) -> None:
        if self.side and data.attributes and len(data.attributes) != self.side:
            raise FieldError(
                "side", f"{data.title} has {len(data.attributes)} attributes of each example: give this, or 0"
            )

    def on_epoch_start(self, split: Split, progress: float) -> None:
        """Compute, once at the start, each column's mean, shrunk to the overall mean as if by five more ratings."""
        if progress or self.centre.any():
            return
        sums, counts = torch.zeros_like(self.centre), torch.zeros_like(self.centre)
        for index in torch.arange(len(split)).split(500):
            batch = split.batch(index)
            mask = observed(batch).to(sums.device)
            sums += (mask * batch.x.to(sums.device)).sum(0)
            counts += mask.sum(0)
        self.centre.copy_((sums + 5 * sums.sum() / counts.sum().clamp(1)) / (counts + 5))

    def side_or_zeros(self, s: Num[Tensor, "n side"] | None, n: int) -> Float[Tensor, "n side_read"]:
        """s (n, side), or zeros where none is given."""
        like = self.decoder.weight
        return like.new_zeros(n, self.side) if s is None or not self.side else s.to(like.dtype)

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        weights = {"hidden": self.alpha, "recon": self.beta, "weights": self.lam}
        return {"autoencoder": Player((self.encoder, self.decoder), weights)}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        mask = observed(batch)
        s = self.side_or_zeros(batch.attributes, len(mask))
        r = mask * (batch.x - self.centre)
        hidden = mask * (torch.rand_like(mask) < self.noise)
        a = self.encoder(torch.cat([r * (1 - hidden), s], -1))
        error = (r - self.decoder(torch.cat([a, s], -1))) ** 2
        V, W = self.encoder.get_parameter("1.weight"), self.decoder.weight
        return {
            "hidden": sum_dims(hidden * error),
            "recon": sum_dims((mask - hidden) * error),
            "weights": 0.5 * (W.square().sum() + V.square().sum()),
        }

    def encode(self, x: Float[Tensor, "B ratings"], s: Num[Tensor, "B side"] | None = None) -> Float[Tensor, "B D"]:
        """The code (B, code) of ratings (B, D), which are 0 where unknown, and side information (B, side)."""
        return self.encoder(torch.cat([(x != 0) * (x - self.centre), self.side_or_zeros(s, len(x))], -1))

    def decode(self, z: Float[Tensor, "B D"], s: Num[Tensor, "B side"] | None = None) -> Float[Tensor, "B ratings"]:
        """Ratings (B, D) on their own scale, without bounds."""
        return self.centre + self.decoder(torch.cat([z, self.side_or_zeros(s, len(z))], -1)).float()


# --- what was liked -------------------------------------------------------------------------------------


def liked(
    x: Float[Tensor, "B items"], like: float, mask: Float[Tensor, "B items"] | None = None
) -> Float[Tensor, "B items"]:
    """1 where a rating was given and is at least `like`, (B, D); without a mask, 0 means no rating."""
    return ((x >= like) * (x != 0 if mask is None else mask)).to(x.dtype)


class CDAE(Autoencoder):
    """Denoising autoencoder of liked items, with a vector for each user: ŷ = σ(W g(V ỹ + v_u + μ) + b).

    loss = Σ_{i ∈ O ∪ S} H(y_i, ŷ_i) + (λ/2)(‖W‖² + ‖V‖²) + (λ/2)‖v_u‖²: O are the items that user u liked, S are
    `negatives` times as many, sampled from the other items, and H is the cross-entropy. ỹ: y with each entry set to 0
    with probability q, the others multiplied by 1/(1 − q); g is the sigmoid.

    like: the lowest rating that counts as liked; 0: every rating counts.  users: how many users have a vector of their
    own, by their number in batch.y; 0 for none. All others (number −1), such as visitors, have v = 0.

    Source: Wu et al. (2016), doi:10.1145/2835776.2835837. Departures: S is sampled item by item, so that its size is
    right only on average; the loss is the mean over users; Adam replaces AdaGrad.
    """

    recommends = Recommends(predicts="ranking", unit="chance of a like")
    decoder: nn.Linear

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        q: float = 0.5,
        negatives: float = 5.0,
        lam: float = 0.001,
        like: float = 4.0,
        users: int = 0,
    ):
        super().__init__(shape, code)
        items = math.prod(self.shape)
        self.q, self.negatives, self.lam, self.like = q, negatives, lam, like
        self.linear = networks.linear(items, code)
        self.decoder = nn.Linear(code, items)
        self.own = nn.Embedding(users, code) if users else None
        if self.own is not None:
            nn.init.normal_(self.own.weight, std=0.01)

    def check(self, data: Data) -> None:
        if self.own is not None and data.rows != "items" and len(data.train) > len(self.own.weight):
            raise FieldError("users", f"{data.title} has {len(data.train)} users to train on: give this number, or 0")

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        networks = (self.linear, self.decoder, *([] if self.own is None else [self.own]))
        return {"autoencoder": Player(networks, {"recon": 1.0, "weights": self.lam})}

    def vectors(self, y: Int[Tensor, "n"] | None, n: int) -> Float[Tensor, "n D"]:
        """v (n, code) of users y; 0 for −1, and where y is None."""
        if self.own is None or y is None:
            return self.linear.weight.new_zeros(n, self.code)
        known = (y >= 0) & (y < len(self.own.weight))
        return self.own(y.clamp(0, len(self.own.weight) - 1)) * known[:, None]

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        y = liked(batch.x, self.like, observed(batch))
        v = self.vectors(batch.y, len(y))
        logits = self.decoder((self.linear(F.dropout(y, self.q, self.training)) + v).sigmoid()).float()
        others = (1 - y).sum(-1, keepdim=True).clamp(1)
        drawn = torch.rand_like(y) < self.negatives * y.sum(-1, keepdim=True) / others
        counted = y + (1 - y) * drawn
        weights = self.decoder.weight.square().sum() + self.linear.weight.square().sum()
        return {
            "recon": sum_dims(counted * F.binary_cross_entropy_with_logits(logits, y, reduction="none")),
            "weights": 0.5 * (weights + v.square().sum(-1)),
        }

    def encode(self, x: Float[Tensor, "B items"], y: Int[Tensor, "B"] | None = None) -> Float[Tensor, "B D"]:
        """The code (B, code) of ratings (B, D), 0 where unknown, of users y (B,), None for unknown users."""
        return (self.linear(liked(x, self.like)) + self.vectors(y, len(x))).sigmoid()

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B ratings"]:
        """The probability that each item is liked, (B, D)."""
        return self.decoder(z).float().sigmoid()


class MultVAE(Stochastic):
    """VAE of liked items, with a multinomial likelihood: −Σ_i y_i log π_i(z) + β KL(q(z|y) ‖ N(0, I)).

    π(z) = softmax(f(z)): items compete for a user's likes, as they do for the first places of a ranking. y is
    normalised to length 1 and loses each entry with probability `dropout` before it is encoded. β rises from 0 over the
    first `warmup` of training; with β below 1 the loss is no longer a bound, but the ranking is better.

    like: the lowest rating that counts as liked; 0: every rating counts.

    Source: Liang et al. (2018), arXiv:1802.05814. Departures: none in the objective; smaller layers, for small data
    sets.
    """

    recommends = Recommends(predicts="ranking", unit="share of the next like")

    def __init__(
        self,
        shape: Shape,
        code: int = 64,
        beta: float = 0.2,
        warmup: float = 0.5,
        dropout: float = 0.5,
        width: int = 256,
        like: float = 4.0,
    ):
        super().__init__(shape, code)
        items = math.prod(self.shape)
        self.beta, self.warmup, self.dropout, self.like = beta, warmup, dropout, like
        self.encoder = nn.Sequential(networks.linear(items, width), nn.Tanh(), networks.linear(width, 2 * code))
        self.decoder = nn.Sequential(networks.linear(code, width), nn.Tanh(), networks.linear(width, items))

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        beta = self.beta * (min(1.0, progress / self.warmup) if self.warmup else 1.0)
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "kl": beta})}

    def terms(self, batch: Batch, players: Collection[str]) -> Terms:
        y = liked(batch.x, self.like, observed(batch))
        mu, logvar = self.encoder(F.dropout(F.normalize(y), self.dropout, self.training)).float().chunk(2, -1)
        qz_x = Normal(mu, logvar)
        log_pi = self.decoder(qz_x.rsample()).float().log_softmax(-1)
        return {"recon": -sum_dims(y * log_pi), "kl": kl_standard(qz_x)}

    def posterior(self, x: Float[Tensor, "B items"]) -> Normal:
        """q(z|y) of ratings (B, D), which are 0 where unknown."""
        mu, logvar = self.encoder(F.normalize(liked(x, self.like))).float().chunk(2, -1)
        return Normal(mu, logvar)

    def decode(self, z: Float[Tensor, "B D"]) -> Float[Tensor, "B ratings"]:
        """π (B, D): the probability that each item is the next to be liked; they sum to 1."""
        return self.decoder(z).float().softmax(-1)


# --- the list -------------------------------------------------------------------------------------------

WEIGHTS = Term("squared weights", "half the squared norm of both matrices")
RECON = Term("squared error", "how far predicted ratings are from the observed ones, summed over the latter")
UNITS = Param(64, 1, 512, 1, "log", "k", "number of hidden units")
LAM = Param(0.01, 0.0, 100.0, 0.001, "log", r"\lambda", "weight of the squared weights")
LIKE = Param(4.0, -10.0, 100.0, 0.5, help="the lowest rating that counts as liked; 0: every rating counts")
AUTOREC = {
    "year": 2015,
    "section": "§4.5",
    "terms": {"recon": RECON, "weights": WEIGHTS},
    "params": {
        "code": Param(200, 1, 512, 1, "log", "k", "number of hidden units"),
        "lam": LAM,
        "f": Param("identity", choices=tuple(ACTIVATIONS), symbol="f", help="activation of the output"),
        "g": Param("sigmoid", choices=tuple(ACTIVATIONS), symbol="g", help="activation of the hidden units"),
    },
    "kinds": ("ratings",),
    "plan": {"epochs": 150, "batch": 64, "lr": 3e-3},
}

ENTRIES = (
    Entry(
        key="u_autorec",
        name="U-AutoRec",
        idea="Reads the few ratings that a user gave and fills in all the others.",
        equation=r"\min_{\theta}\; \mathbb{E}\; \term{recon}{\lVert r - h(r; \theta) \rVert^2_{\mathcal{O}}}"
        r" + \lambda\, \term{weights}{\tfrac{1}{2}\left(\lVert W \rVert^2 + \lVert V \rVert^2\right)}",
        source="Sedhain et al. (2015), doi:10.1145/2740908.2742726; chapter Eq. 17",
        build=AutoRec,
        departures="the loss is the mean over users, not the sum; Adam instead of RProp",
        **AUTOREC,
    ),
    Entry(
        key="i_autorec",
        name="I-AutoRec",
        idea="Reads the few ratings that an item received and fills in those of all other users.",
        equation=r"\min_{\theta}\; \mathbb{E}\; \term{recon}{\lVert r_n - h(r_n; \theta) \rVert^2_{\mathcal{O}}}"
        r" + \lambda\, \term{weights}{\tfrac{1}{2}\left(\lVert W \rVert^2 + \lVert V \rVert^2\right)}",
        source="Sedhain et al. (2015), doi:10.1145/2740908.2742726; chapter Eq. 18",
        build=ItemAutoRec,
        departures="the loss is the mean over items, not the sum; Adam instead of RProp",
        **AUTOREC,
    ),
    Entry(
        key="cfn",
        name="CFN",
        year=2016,
        section="§4.5",
        idea="Some known ratings are hidden and must be predicted; traits of users or genres of films help.",
        equation=r"\min_{\theta}\; \mathbb{E}\; \alpha\, \term{hidden}{\lVert r - h(\tilde{r}, s) \rVert^2_{C}}"
        r" + \beta\, \term{recon}{\lVert r - h(\tilde{r}, s) \rVert^2_{\mathcal{O} \setminus C}}"
        r" + \lambda\, \term{weights}{\tfrac{1}{2}\left(\lVert W \rVert^2 + \lVert V \rVert^2\right)}",
        terms={
            "hidden": Term("squared error", "error of the observed ratings that were hidden from the input, summed"),
            "recon": Term("squared error", "error of the observed ratings that the input contains, summed"),
            "weights": WEIGHTS,
        },
        source="Strub, Gaudel & Mary (2016), doi:10.1145/2988450.2988456; Strub & Mary (2015), hal-01256422",
        build=CFN,
        params={
            "code": UNITS,
            "noise": Param(
                0.25, 0.0, 0.95, 0.05, symbol="q", help="share of the known ratings that is hidden in training"
            ),
            "alpha": Param(1.0, 0.0, 10.0, 0.1, symbol=r"\alpha", help="weight of the hidden ratings"),
            "beta": Param(0.5, 0.0, 10.0, 0.1, symbol=r"\beta", help="weight of the ratings that are shown"),
            "lam": LAM,
            "side": Param(0, 0, 500, 1, "log", "s", "number of traits that it reads beside the ratings; 0: none"),
        },
        kinds=("ratings",),
        departures="one hidden layer; ratings are centred by the mean of their column; Adam instead of gradient "
        "descent; the loss is the mean over examples",
        plan={"epochs": 100, "batch": 64, "lr": 3e-3},
    ),
    Entry(
        key="cdae",
        name="CDAE",
        year=2016,
        section="§4.5",
        idea="Predicts what a user may like from a part of the user's likes; each user also has a vector of their own.",
        equation=r"\min_{\theta}\; \mathbb{E}\; \term{recon}{\sum_{\mathcal{O} \cup \mathcal{S}} H(y_i, \hat{y}_i)}"
        r" + \lambda\, \term{weights}{\tfrac{1}{2}\left(\lVert W \rVert^2 + \lVert V \rVert^2"
        r" + \lVert v_u \rVert^2\right)}",
        terms={
            "recon": Term("nats", "cross-entropy of the liked items and of some that were not liked, summed"),
            "weights": Term("squared weights", "half the squared norm of both matrices and of the user's vector"),
        },
        source="Wu et al. (2016), doi:10.1145/2835776.2835837",
        build=CDAE,
        params={
            "code": UNITS,
            "q": Param(0.5, 0.0, 0.95, 0.05, symbol="q", help="probability that a like is hidden from the input"),
            "negatives": Param(
                5.0, 0.5, 100.0, 0.5, "log", help="number of items not liked that are sampled for each liked item"
            ),
            "lam": Param(0.001, 0.0, 10.0, 0.001, "log", r"\lambda", "weight of the squared weights"),
            "like": LIKE,
            "users": Param(0, 0, 200_000, 1, "log", help="how many users have a vector of their own; 0: none"),
        },
        kinds=("ratings",),
        departures="items that were not liked are sampled independently; the loss is the mean over users; Adam "
        "instead of AdaGrad",
        plan={"epochs": 100, "batch": 64, "lr": 3e-3},
    ),
    Entry(
        key="multi_vae",
        name="Mult-VAE",
        year=2018,
        section="§4.5",
        idea="A VAE of what users liked, in which items compete for probability, so that it learns to rank them.",
        equation=r"\term{recon}{-\sum_i y_i \log \pi_i(z)}"
        r" + \beta\, \term{kl}{D_{KL}\left(q(z|y) \,\Vert\, \mathcal{N}(0, I)\right)},\quad z \sim q(z|y)",
        terms={
            "recon": Term("nats", "negative log-likelihood of the liked items, up to a constant"),
            "kl": Term("nats", "how far the code's distribution is from the prior"),
        },
        source="Liang et al. (2018), arXiv:1802.05814",
        build=MultVAE,
        params={
            "code": UNITS,
            "beta": Param(0.2, 0.001, 10.0, 0.001, "log", r"\beta", "weight of the KL at the end"),
            "warmup": Param(0.5, 0.0, 1.0, 0.05, help="share of the training in which the KL's weight rises from 0"),
            "dropout": Param(0.5, 0.0, 0.95, 0.05, help="probability that a like is hidden from the input"),
            "width": Param(256, 16, 1024, 16, "log", help="units of the hidden layers"),
            "like": LIKE,
        },
        kinds=("ratings",),
        departures="smaller layers, for small data sets",
        plan={"epochs": 100, "batch": 64, "lr": 2e-3},
    ),
)
