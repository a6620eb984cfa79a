"""Classify with few labels and many images (§4.2, Fig. 5): what an encoder that learnt without labels is worth.

>>> from aecore import tasks
>>> found = tasks.compute("classify", {"data": "digits8", "labels_per_class": 2, "seeds": 1})
>>> found["methods"]["fine-tuned"]["accuracy"]  # one value for each seed
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from .. import inference
from ..catalog import seeded_build
from ..data import load
from ..data.base import Batch, Data, DataSpec
from ..data.files import table
from ..errors import DataError, FieldError
from ..models.base import Autoencoder, total
from ..runs.library import find
from ..training.loop import Training
from ..training.plan import Plan, fold_in
from . import over_seeds, path_with

CODE, WIDTH = 128, 256
EPOCHS = 8  # of the autoencoder, over all images
STEPS = 300  # of every network that learns from labels
BATCH, UNLABELLED = 64, 128  # images in a step: labelled ones for L, others for R
KEPT = 0.5  # the share of values that a marginalised layer's noise keeps
LAYERS = 3
SHOWN = 10  # held-out images whose way through Fig. 5 is kept
FIRST_SEED = 100  # seeds 0 to 2 were looked at while CODE, STEPS and λ were chosen, and would flatter the choice
MIXTURE = "gmm-gan-16"
JOINT = "joint training"

METHODS: dict[str, tuple[str, str]] = {
    "labels alone": ("network", "the network, from a random start, on the labels alone"),
    "frozen encoder": ("network", "a linear head on the code; the encoder stays as it learnt without labels"),
    "fine-tuned": ("network", "the same start, and the labels move the encoder too"),
    JOINT: ("network", "from a random start, labels and pictures at once: L + λ R (Fig. 5)"),
    "logistic, pixels": ("logistic", "logistic regression on raw pixels"),
    "logistic, PCA": ("logistic", "on as many principal components of all images as the code has units"),
    "logistic, codes": ("logistic", "on the frozen encoder's codes"),
    "SVM, pixels": ("svm", "a support vector machine (Gaussian kernel) on raw pixels"),
    "SVM, PCA": ("svm", "on as many principal components of all images as the code has units"),
    "SVM, codes": ("svm", "on the frozen encoder's codes"),
    "least squares, pixels": ("closed", "one solve, on raw pixels: what the layers below are measured against"),
    "closed form": ("closed", f"{LAYERS} marginalised denoising layers and least squares: each a single solve"),
    "mixture encoder": ("mixture", "logistic regression on what the critic of a GAN sees (§5.1)"),
}
"""Name → (group, what it is)."""


class Settings(BaseModel):
    """One number of labels, compared over seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["digits", "digits8", "table"] = Field("digits", description="28×28 or 8×8 pixels; table: a CSV")
    path: str | None = Field(None, description="of a table")
    label: str = Field("", description="the column of a table that says each line's class")
    labels_per_class: int = Field(10, ge=1, le=1000, description="labelled images of each class, at most all")
    lam: float = Field(0.1, ge=0, le=10, allow_inf_nan=False, description="λ, weight of R in joint training")
    seeds: int = Field(3, ge=1, le=10, description="how many: 100, 101, …; of labels, weights and order alike")
    methods: Literal["all", "joint"] = Field("all", description="joint: joint training alone, for another λ")

    _path = path_with("data", "table")


# --- closed-form layers -----------------------------------------------------------------------------------------------


class Marginalised:
    """Denoising layers solved in closed form, the noise averaged over exactly: no copies, no iteration.

    Each layer: W = argmin E ‖x − W x̃‖², x̃ the input with each value kept with probability p, else 0:
    W = E[P] E[Q]⁻¹ with the scatter S = X̄ X̄ᵀ, P_ij = S_ij q_j, Q_ij = S_ij q_i q_j for i ≠ j, Q_ii = S_ii q_i,
    where x̄ is x with a constant 1 that is never lost, q = (p, …, p, 1).  Then h = tanh(W x̄), the next layer's input.

    p: share of values kept, above 0 to 1.  layers: how many.  ridge: added to Q's diagonal, per example.

    Source: Chen, Xu, Weinberger & Sha (2012), arXiv:1206.4683, Eq. 5–10 and Algorithm 1.
    Departures: `ridge` is given per example, so that it means the same for any number of them.
    """

    def __init__(self, p: float = KEPT, layers: int = LAYERS, ridge: float = 1e-5):
        if not 0 < p <= 1:
            raise FieldError("p", f"{p} is not allowed; give the share of values that are kept, above 0 to 1")
        self.p, self.layers, self.ridge = p, layers, ridge
        self.weights: list[np.ndarray] = []
        self.seconds: list[float] = []

    def fit(self, x: np.ndarray) -> Marginalised:
        """x: (n, V). Labels are not asked for.

        `weights` are then (V, V + 1) and `seconds` the processor time of the solve, one for each layer.
        """
        self.weights, self.seconds = [], []
        h = np.asarray(x, np.float64)
        for _ in range(self.layers):
            start = time.process_time()
            self.weights.append(layer(h, self.p, self.ridge))
            self.seconds.append(time.process_time() - start)
            h = np.tanh(bordered(h) @ self.weights[-1].T)
        return self

    def transform(self, x: np.ndarray) -> np.ndarray:
        """x (n, V) and its layers side by side: (n, V (1 + layers)) float32."""
        found = [np.asarray(x, np.float64)]
        for weights in self.weights:
            found.append(np.tanh(bordered(found[-1]) @ weights.T))
        return np.concatenate(found, 1).astype(np.float32)


def bordered(x: np.ndarray) -> np.ndarray:
    """x̄ = (x, 1): (n, V + 1)."""
    return np.concatenate([x, np.ones((len(x), 1))], 1)


def layer(x: np.ndarray, p: float, ridge: float = 0.0) -> np.ndarray:
    """W (V, V + 1) of one marginalised layer (`Marginalised`) for inputs x (n, V)."""
    x_bar = bordered(x)
    S = x_bar.T @ x_bar / len(x)
    q = np.append(np.full(x.shape[1], p), 1.0)
    Q = S * np.outer(q, q)
    np.fill_diagonal(Q, q * S.diagonal() + ridge)
    P = S[:-1] * q
    return np.linalg.solve(Q, P.T).T  # Q is symmetric


# --- the network of Fig. 5 --------------------------------------------------------------------------------------------


class Fig5(nn.Module):
    """An autoencoder's encoder with a linear classifier on its code; the decoder is a second head.

    ŷ = softmax(C A(x)),  x̂ = B(A(x)).  With λ = 0 the decoder is idle: the network on labels alone.
    """

    def __init__(self, autoencoder: Autoencoder, classes: int):
        super().__init__()
        self.autoencoder = autoencoder
        self.head = nn.Linear(autoencoder.code, classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, x: Tensor) -> Tensor:
        """x (B, *shape) → logits of the classes (B, K)."""
        return self.head(self.autoencoder.encode(x))

    def probabilities(self, x: Tensor) -> np.ndarray:
        """ŷ (n, K) of x (n, *shape)."""
        self.eval()
        with torch.inference_mode():
            return torch.cat([self(part).softmax(-1) for part in x.split(500)]).numpy()

    def predict(self, x: Tensor) -> np.ndarray:
        """(n,) the likeliest class."""
        return self.probabilities(x).argmax(1)


def fit(
    network: Fig5,
    x: Tensor,
    y: Tensor,
    *,
    unlabelled: Tensor | None = None,
    lam: float = 0.0,
    frozen: bool = False,
    steps: int = STEPS,
    seed: int = 0,
    lr: float = 1e-3,
    watch: Callable[[int, float, float], None] | None = None,
) -> Fig5:
    """Learn from labelled images x (n, *shape), y (n,); from unlabelled ones too where λ > 0.

    Each step lowers L̃ = L(y, ŷ) + λ R(x, x̂) by Adam, its rate falling along a half cosine (chapter Fig. 5):
    L the cross-entropy in nats of BATCH labelled images, R the autoencoder's own terms on UNLABELLED others.

    frozen: the encoder stays as it is, only the head learns.  watch: called after each step with its number, L and R.
    Source: Le, Patterson & White (2018); Zhang, Lee & Lee (2016), arXiv:1606.06582.
    Departures: R at the output alone, not at every layer.
    """
    if lam > 0 and unlabelled is None:
        raise DataError("With λ above 0 there must be images to reconstruct: give `unlabelled`.")
    generator = torch.Generator().manual_seed(fold_in(seed, 1))
    base = network.autoencoder
    networks = [network.head] if frozen else [network.head, base.encoder] + ([base.decoder] if lam > 0 else [])
    optimiser = torch.optim.Adam([p for part in networks for p in part.parameters()], lr=lr)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    ((name, player),) = base.players().items()
    network.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(fold_in(seed, 2))
        if frozen:
            with torch.no_grad():
                codes = base.encode(x)
        draws = turns(len(x), BATCH, generator)
        for step in range(steps):
            some = next(draws)
            logits = network.head(codes[some]) if frozen else network(x[some])
            loss = F.cross_entropy(logits, y[some])
            recon = torch.zeros(())
            if lam > 0:
                others = torch.randint(len(unlabelled), (UNLABELLED,), generator=generator)
                terms = base.terms(Batch(unlabelled[others]), (name,))
                recon = total(terms, player.weights)
            optimiser.zero_grad(set_to_none=True)
            (loss + lam * recon).backward()
            optimiser.step()
            schedule.step()
            if watch:
                watch(step + 1, float(loss.detach()), float(recon.detach()))
    return network.eval()


def turns(n: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of minibatches for ever: each pass in a new order; all n at once where they are fewer than a batch."""
    while True:
        order = torch.randperm(n, generator=generator)
        yield from order.split(batch)[: max(1, n // batch)]


# --- what all numbers of labels share ---------------------------------------------------------------------------------


class Halves(NamedTuple):
    """Images as tensors (n, *shape) and labels (n,), of the training half and the held-out one."""

    x: Tensor
    y: np.ndarray
    x_test: Tensor
    y_test: np.ndarray

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Both as (n, V)."""
        return self.x.flatten(1).numpy(), self.x_test.flatten(1).numpy()


@lru_cache(maxsize=2)
def halves(data: Data) -> Halves:
    (x, x_test) = (inference.examples(part, inference.first(part)) for part in (data.train, data.test))
    return Halves(x, np.asarray(data.train.labels), x_test, np.asarray(data.test.labels))


def chosen(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Ids of `per_class` examples of every class, or all of a class with fewer; more labels only add to fewer."""
    random = np.random.default_rng(seed)
    parts = [random.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(parts))


def begun(data: Data, seed: int) -> Autoencoder:
    """The autoencoder before any training: all networks of one seed start from these weights."""
    from ..catalog import entry

    which = entry("denoising")
    return seeded_build(which, data.shape, which.check({"code": CODE, "width": WIDTH}), seed)  # type: ignore[return-value]


class Unsupervised(NamedTuple):
    """What was learnt without a label: the autoencoder, and codes of all images and of held-out ones, (n, D)."""

    autoencoder: Autoencoder
    codes: np.ndarray
    codes_test: np.ndarray
    seconds: float


@lru_cache(maxsize=4)
def unsupervised(data: Data, seed: int) -> Unsupervised:
    """One autoencoder for all numbers of labels of a seed; seconds of processor time."""
    start = time.process_time()
    model = begun(data, seed)
    plan = Plan(epochs=EPOCHS, batch=UNLABELLED, seed=seed, precision="fp32", held_out=1)
    for _ in Training(model, data, plan, "cpu"):
        pass
    seconds = time.process_time() - start
    codes, codes_test = (inference.encode(model, part, inference.first(part)) for part in (data.train, data.test))
    return Unsupervised(model.eval(), codes, codes_test, seconds)


class Closed(NamedTuple):
    """Marginalised layers of all images, and the held-out ones through them."""

    layers: Marginalised
    features_test: np.ndarray


@lru_cache(maxsize=2)
def closed(data: Data) -> Closed:
    x, x_test = halves(data).rows()
    layers = Marginalised().fit(x)
    return Closed(layers, layers.transform(x_test))


@lru_cache(maxsize=2)
def components(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Principal components of all training images: codes of both halves, as many units as CODE or as there are."""
    from sklearn.decomposition import PCA

    x, x_test = halves(data).rows()
    pca = PCA(min(CODE, *x.shape), random_state=0).fit(x)
    return pca.transform(x), pca.transform(x_test)


@lru_cache(maxsize=1)
def critic_features() -> tuple[np.ndarray, np.ndarray]:
    """What the critic of the trained `gmm_gan` sees, before its heads, in the bundled digits: (n, F) of both halves."""
    data, model = load(DataSpec(name="digits")), find(MIXTURE).model()
    return tuple(
        inference.map_batches(model, part, inference.first(part), model.critic.features)
        for part in (data.train, data.test)
    )  # type: ignore[return-value]


# --- the comparison ---------------------------------------------------------------------------------------------------


def classifier(kind: str) -> Any:
    """scikit-learn's: "logistic", "svm" (a Gaussian kernel) or "least squares" (ridge regression, solved at once)."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.svm import SVC

    kinds = {
        "logistic": lambda: LogisticRegression(max_iter=500),
        "svm": lambda: SVC(C=10),
        "least squares": lambda: RidgeClassifier(solver="cholesky"),
    }
    return kinds[kind]()


def on(
    features: np.ndarray, features_test: np.ndarray, ids: np.ndarray, y: np.ndarray, kind: str, scaled: bool = True
) -> np.ndarray:
    """Held-out predictions (n,) of a classifier on features, trained on those of `ids` with labels y.

    scaled: each feature to mean 0, and all by one number to a mean variance of 1, for which no label is needed.
    """
    if scaled:
        mean, deviation = features.mean(0), float(np.sqrt(features.var(0).mean()))
        features, features_test = (features - mean) / deviation, (features_test - mean) / deviation
    return classifier(kind).fit(features[ids], y).predict(features_test)


def data_of(settings: Settings) -> Data:
    """What is classified; DataError for a table without classes, or with a class of hardly any lines."""
    if settings.data != "table":
        return load(DataSpec(name=settings.data))
    data = table.load(settings.path, settings.label)
    if data.train.labels is None or len(data.classes or ()) < 2:
        raise DataError(
            "To classify, the table needs a column that says each line's class: give label=COLUMN, "
            "with two classes or more."
        )
    counts = np.bincount(data.train.labels, minlength=len(data.classes or ()))
    if counts.min() < 2:
        few = (data.classes or ())[int(counts.argmin())]
        raise DataError(f"The class {few} has too few lines: at least 4 of each are needed. Leave it out, or add some.")
    return data


def study(settings: Settings, progress: Callable[[float, str], None]) -> dict[str, Any]:
    """All methods with one number of labels, over seeds.

    {"methods": {name: {"accuracy": one for each seed, "seconds": processor time, "wrong": held-out ids that the first
    seed gets wrong, "taken_for": as what}}, "joint": `joined` of the first seed, "layer_seconds", …}.
    """
    data = data_of(settings)
    images = halves(data)
    x, x_test = images.rows()
    found: dict[str, dict[str, Any]] = {}
    kept: dict[str, Any] = {}
    whole = settings.methods == "all"
    names = [n for n in METHODS if (whole or n == JOINT) and (n != "mixture encoder" or settings.data == "digits")]
    for nth in range(settings.seeds):
        seed = FIRST_SEED + nth
        ids = chosen(images.y, settings.labels_per_class, seed)
        y = images.y[ids]
        for k, name in enumerate(names):
            progress((nth + k / len(names)) / settings.seeds, f"seed {seed}: {name}")
            if name in ("frozen encoder", "fine-tuned") or name.endswith("codes"):
                unsupervised(data, seed)  # what all numbers of labels share is no part of a method's time
            elif name == "closed form":
                closed(data)
            elif name.endswith("PCA"):
                components(data)
            start = time.process_time()
            if METHODS[name][0] == "network":
                network, told = learnt(name, data, images, ids, settings, seed)
                guess = network.predict(images.x_test)
                if name == JOINT and nth == 0 and data.kind == "image":
                    kept = shown(network, images, told)
            elif name == "closed form":
                layers, features_test = closed(data)
                guess = classifier("least squares").fit(layers.transform(x[ids]), y).predict(features_test)
            else:
                guess = on(*features(name, data, x, x_test, seed), ids, y, *how(name))
            wrong = np.flatnonzero(guess != images.y_test)
            row = found.setdefault(name, {"accuracy": [], "seconds": []})
            row["accuracy"].append(1 - len(wrong) / len(guess))
            row["seconds"].append(time.process_time() - start)
            if nth == 0:
                row |= {"wrong": wrong.tolist(), "taken_for": guess[wrong].tolist()}
    return {
        "methods": found,
        "joint": kept,
        "labels": len(ids),
        "images": len(x),
        "held_out": len(x_test),
        "classes": list(data.classes or map(str, np.unique(images.y))),
        "source": data.source,
        "seeds": [FIRST_SEED + nth for nth in range(settings.seeds)],
        **(
            {"encoder_seconds": unsupervised(data, FIRST_SEED).seconds, "layer_seconds": closed(data).layers.seconds}
            if whole
            else {}
        ),
    }


def how(name: str) -> tuple[str, bool]:
    """Which classifier, and whether its features are scaled."""
    kind = {"svm": "svm", "closed": "least squares"}.get(METHODS[name][0], "logistic")
    return kind, not name.endswith("pixels")


def features(name: str, data: Data, x: np.ndarray, x_test: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What a method's classifier is given, of both halves."""
    if name.endswith("pixels"):
        return x, x_test
    if name.endswith("PCA"):
        return components(data)
    if name == "mixture encoder":
        return critic_features()
    base = unsupervised(data, seed)
    return base.codes, base.codes_test


def learnt(
    name: str, data: Data, images: Halves, ids: np.ndarray, settings: Settings, seed: int
) -> tuple[Fig5, list[tuple[int, float, float]]]:
    """One of the networks after its training, and its L and R at every step."""
    from copy import deepcopy

    told: list[tuple[int, float, float]] = []
    ready = name in ("frozen encoder", "fine-tuned")
    start = deepcopy(unsupervised(data, seed).autoencoder) if ready else begun(data, seed)
    network = Fig5(start, len(np.unique(images.y)))
    both = {"unlabelled": images.x, "lam": settings.lam} if name == JOINT else {}
    fit(
        network,
        images.x[ids],
        torch.from_numpy(images.y[ids]),
        frozen=name == "frozen encoder",
        steps=STEPS,
        seed=seed,
        watch=lambda *row: told.append(row),
        **both,
    )
    return network, told


def shown(network: Fig5, images: Halves, told: list[tuple[int, float, float]], moments: int = 20) -> dict[str, Any]:
    """What Fig. 5 is drawn with: L and R through the training, and held-out images on their way through the network.

    "images": a held-out image of each class with ŷ, x̂ as a PNG in base64, L = −log ŷ_y in nats and R = ‖x − x̂‖².
    """
    from PIL import Image

    every = np.array_split(np.array(told), min(moments, len(told)))
    first = [int(np.flatnonzero(images.y_test == c)[0]) for c in np.unique(images.y_test)][:SHOWN]
    x = images.x_test[first]
    with torch.inference_mode():
        x_hat = network.autoencoder.decode(network.autoencoder.encode(x))
    y_hat, rows = network.probabilities(x), []
    for k, example in enumerate(first):
        label, out = int(images.y_test[example]), io.BytesIO()
        Image.fromarray((x_hat[k, 0].clamp(0, 1) * 255).round().byte().numpy()).save(out, "PNG")
        rows.append(
            {
                "id": example,
                "label": label,
                "y_hat": [round(float(p), 4) for p in y_hat[k]],
                "x_hat": base64.b64encode(out.getvalue()).decode(),
                "L": float(-np.log(max(y_hat[k, label], 1e-12))),
                "R": float((x[k] - x_hat[k]).square().sum()),
            }
        )
    return {
        "step": [int(part[-1, 0]) for part in every],
        "L": [float(part[:, 1].mean()) for part in every],
        "R": [float(part[:, 2].mean()) for part in every],
        "images": rows,
    }


def paired(found: dict[str, Any], method: str, against: str = "labels alone") -> np.ndarray:
    """By how much a method is more accurate than another, seed by seed: (seeds,)."""
    methods = found["methods"]
    return np.subtract(methods[method]["accuracy"], methods[against]["accuracy"])


def rows(found: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each method."""
    return [
        {"method": name, "accuracy": over_seeds(m["accuracy"]), "seconds": over_seeds(m["seconds"], 1)}
        for name, m in found["methods"].items()
    ]
