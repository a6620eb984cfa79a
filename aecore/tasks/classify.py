"""Classification with few labels and many images (§4.2, Fig. 5): what is an encoder worth that learnt without labels?

>>> from aecore import tasks
>>> study = tasks.compute("classify", {"data": "digits8", "labels_per_class": 2, "seeds": 1})
>>> study["methods"]["fine-tuned"]["accuracy"]  # one value for each seed
"""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from functools import lru_cache
from typing import Any, Literal, NamedTuple, cast

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn
from torch.nn import functional as F

from .. import inference
from ..catalog import entry, seeded_build
from ..data import load
from ..data.base import Batch, Data, DataSpec
from ..data.files import table
from ..errors import DataError, FieldError
from ..models.base import Autoencoder, total
from ..runs.library import find
from ..training.loop import Training
from ..training.plan import Plan, fold_in
from . import Progress, over_seeds, path_with

AUTOENCODER = "denoising"
"""Catalog key of the autoencoder that all networks of this task start from."""
MIXTURE_EXAMPLE = "gmm-gan-16"
"""The trained example whose critic is the mixture encoder."""

CODE, WIDTH = 128, 256
EPOCHS = 8  # of the autoencoder, over all images
STEPS = 300  # of every network that learns from labels
BATCH, UNLABELLED = 64, 128  # images in one step: labelled ones for L, unlabelled ones for R
KEPT = 0.5  # share of the values that the noise of a marginalised layer keeps
LAYERS = 3  # marginalised layers
SHOWN = 10  # held-out images that Fig. 5 can be drawn with
FIRST_SEED = 100  # CODE, STEPS and λ were chosen with seeds 0 to 2, which would flatter the choice

ALONE, FROZEN, TUNED, JOINT = "labels alone", "frozen encoder", "fine-tuned", "joint training"
CLOSED_FORM, MIXTURE = "closed form", "mixture encoder"

METHODS: dict[str, tuple[str, str]] = {
    ALONE: ("network", "the network, from a random start, on the labels alone"),
    FROZEN: ("network", "a linear head on the code; the encoder stays as it learnt without labels"),
    TUNED: ("network", "the same start, and the labels move the encoder too"),
    JOINT: ("network", "from a random start, labels and pictures at once: L + λ R (Fig. 5)"),
    "logistic, pixels": ("logistic", "logistic regression on raw pixels"),
    "logistic, PCA": ("logistic", "on as many principal components of all images as the code has units"),
    "logistic, codes": ("logistic", "on the frozen encoder's codes"),
    "SVM, pixels": ("svm", "a support vector machine (Gaussian kernel) on raw pixels"),
    "SVM, PCA": ("svm", "on as many principal components of all images as the code has units"),
    "SVM, codes": ("svm", "on the frozen encoder's codes"),
    "least squares, pixels": ("closed", "one solve, on raw pixels: what the layers below are measured against"),
    CLOSED_FORM: ("closed", f"{LAYERS} marginalised denoising layers and least squares: each a single solve"),
    MIXTURE: ("mixture", "logistic regression on what the critic of a GAN sees (§5.1)"),
}
"""Name of a method → (the group it belongs to, what it is)."""


class Settings(BaseModel):
    """All methods are compared with one number of labels, over seeds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    data: Literal["digits", "digits8", "table"] = Field(
        default="digits", description="28×28 or 8×8 pixels; table: a CSV"
    )
    path: str | None = Field(default=None, description="of a table")
    label: str = Field(default="", description="the column of a table that says each line's class")
    labels_per_class: int = Field(default=10, ge=1, le=1000, description="labelled images of each class, at most all")
    lam: float = Field(default=0.1, ge=0, le=10, allow_inf_nan=False, description="λ, weight of R in joint training")
    seeds: int = Field(default=3, ge=1, le=10, description="how many: 100, 101, …; of labels, weights and order alike")
    methods: Literal["all", "joint"] = Field(default="all", description="joint: joint training alone, for another λ")

    _path = path_with("data", "table")


# --- closed-form layers -----------------------------------------------------------------------------------------------


class Marginalised:
    """Denoising layers in closed form: the noise is averaged over exactly, without damaged copies and iteration.

    Each layer: W = argmin E ‖x − W x̃‖², x̃ the input with each value kept with probability p, else 0:
    W = E[P] E[Q]⁻¹ with the scatter S = X̄ X̄ᵀ, P_ij = S_ij q_j, Q_ij = S_ij q_i q_j for i ≠ j, Q_ii = S_ii q_i,
    where x̄ is x with a constant 1 that is never lost, q = (p, …, p, 1).  Then h = tanh(W x̄), the next layer's input.

    p: share of the values that are kept, above 0 to 1.  layers: their number.  ridge: added to the diagonal of Q, per
    example.

    Source: Chen, Xu, Weinberger & Sha (2012), arXiv:1206.4683, Eq. 5–10 and Algorithm 1.
    Departures: `ridge` is given per example, so that it means the same for any number of examples.
    """

    def __init__(self, p: float = KEPT, layers: int = LAYERS, ridge: float = 1e-5):
        if not 0 < p <= 1:
            raise FieldError("p", f"{p} is not allowed; give the share of values that are kept, above 0 to 1")
        self.p, self.layers, self.ridge = p, layers, ridge
        self.weights: list[np.ndarray] = []
        self.seconds: list[float] = []

    def fit(self, x: np.ndarray) -> Marginalised:
        """Solve all layers for examples x (n, V), without labels.

        Afterwards `weights` holds a matrix (V, V + 1) and `seconds` the processor time of the solve for each layer.
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
        """x (n, V) and the outputs of all layers side by side: (n, V (1 + layers)) float32."""
        outputs = [np.asarray(x, np.float64)]
        for weights in self.weights:
            outputs.append(np.tanh(bordered(outputs[-1]) @ weights.T))
        return np.concatenate(outputs, 1).astype(np.float32)


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
        """The likeliest class of each example, (n,)."""
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
    """Train on labelled images x (n, *shape) with classes y (n,), and with λ > 0 on `unlabelled` images as well.

    Each step lowers L̃ = L(y, ŷ) + λ R(x, x̂) by Adam, whose rate falls along half a cosine (chapter Fig. 5). L is the
    cross-entropy in nats of BATCH labelled images, R the autoencoder's own loss on UNLABELLED other images.

    frozen: the encoder stays as it is, and only the head learns.  watch: called after each step with its number, L, R.
    Raises DataError for λ > 0 without unlabelled images.
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
        codes = None
        if frozen:
            with torch.no_grad():
                codes = base.encode(x)
        batches = minibatches(len(x), BATCH, generator)
        for step in range(steps):
            ids = next(batches)
            logits = network.head(codes[ids]) if codes is not None else network(x[ids])
            loss = F.cross_entropy(logits, y[ids])
            recon = torch.zeros(())
            if lam > 0 and unlabelled is not None:
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


def minibatches(n: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Indices of minibatches without end. Each pass has a new order; fewer examples than a batch are taken at once."""
    while True:
        order = torch.randperm(n, generator=generator)
        yield from order.split(batch)[: max(1, n // batch)]


# --- parts that all numbers of labels share ---------------------------------------------------------------------------


class Examples(NamedTuple):
    """Images as tensors (n, *shape) and labels (n,), of the training split and of the held-out one."""

    x: Tensor
    y: np.ndarray
    x_test: Tensor
    y_test: np.ndarray

    def rows(self) -> tuple[np.ndarray, np.ndarray]:
        """The images of both splits as rows (n, V)."""
        return self.x.flatten(1).numpy(), self.x_test.flatten(1).numpy()


@lru_cache(maxsize=2)
def examples_of(data: Data) -> Examples:
    """All examples of both splits."""
    x, x_test = (inference.examples(split, inference.first(split)) for split in (data.train, data.test))
    return Examples(x, np.asarray(data.train.labels), x_test, np.asarray(data.test.labels))


def labelled_ids(labels: np.ndarray, per_class: int, seed: int) -> np.ndarray:
    """Ids of `per_class` examples of every class, or of all in a class that has fewer.

    With the same seed a larger number keeps all examples of a smaller one and adds others.
    """
    random = np.random.default_rng(seed)
    parts = [random.permutation(np.flatnonzero(labels == c))[:per_class] for c in np.unique(labels)]
    return np.sort(np.concatenate(parts))


def untrained(data: Data, seed: int) -> Autoencoder:
    """The autoencoder before any training. All networks of one seed start from these weights."""
    which = entry(AUTOENCODER)
    return cast(Autoencoder, seeded_build(which, data.shape, which.check({"code": CODE, "width": WIDTH}), seed))


class Unsupervised(NamedTuple):
    """What was learnt without labels: the autoencoder, codes (n, D) of both splits, seconds of processor time."""

    autoencoder: Autoencoder
    codes: np.ndarray
    codes_test: np.ndarray
    seconds: float


@lru_cache(maxsize=4)
def unsupervised(data: Data, seed: int) -> Unsupervised:
    """The autoencoder of one seed, trained on all images. Every number of labels uses the same one."""
    start = time.process_time()
    model = untrained(data, seed)
    plan = Plan(epochs=EPOCHS, batch=UNLABELLED, seed=seed, precision="fp32", held_out=1)
    for _ in Training(model, data, plan, "cpu"):
        pass
    seconds = time.process_time() - start
    codes, codes_test = (inference.encode(model, split, inference.first(split)) for split in (data.train, data.test))
    return Unsupervised(model.eval(), codes, codes_test, seconds)


class Closed(NamedTuple):
    """Marginalised layers fitted to all training images, and their outputs for the held-out images."""

    layers: Marginalised
    features_test: np.ndarray


@lru_cache(maxsize=2)
def closed(data: Data) -> Closed:
    """The closed-form layers of a data set."""
    x, x_test = examples_of(data).rows()
    layers = Marginalised().fit(x)
    return Closed(layers, layers.transform(x_test))


@lru_cache(maxsize=2)
def components(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """Both splits on the first principal components of the training images: at most CODE of them."""
    from sklearn.decomposition import PCA

    x, x_test = examples_of(data).rows()
    pca = PCA(min(CODE, *x.shape), random_state=0).fit(x)
    return pca.transform(x), pca.transform(x_test)


@lru_cache(maxsize=1)
def mixture_shape() -> tuple[int, ...]:
    """The shape of the images that the mixture encoder was trained on."""
    return tuple(find(MIXTURE_EXAMPLE).info.shape)


@lru_cache(maxsize=1)
def critic_features(data: Data) -> tuple[np.ndarray, np.ndarray]:
    """The last hidden layer of the mixture encoder, a trained critic, for all images of both splits: (n, F) each."""
    model: Any = find(MIXTURE_EXAMPLE).model()
    train, test = (
        inference.map_batches(model, split, inference.first(split), model.critic.features)
        for split in (data.train, data.test)
    )
    return train, test


# --- the comparison ---------------------------------------------------------------------------------------------------


def classifier(kind: str) -> Any:
    """A classifier of scikit-learn: "logistic", "svm" (Gaussian kernel) or "least squares" (ridge, one solve)."""
    from sklearn.linear_model import LogisticRegression, RidgeClassifier
    from sklearn.svm import SVC

    kinds = {
        "logistic": lambda: LogisticRegression(max_iter=500),
        "svm": lambda: SVC(C=10),
        "least squares": lambda: RidgeClassifier(solver="cholesky"),
    }
    return kinds[kind]()


def predict_from(
    features: np.ndarray, features_test: np.ndarray, ids: np.ndarray, y: np.ndarray, kind: str, scaled: bool = True
) -> np.ndarray:
    """Held-out predictions (n,) of a classifier that learnt from the features of the examples `ids` with labels y.

    scaled: the mean of each feature is subtracted, and all features are divided by one number so that their mean
    variance is 1. No label is needed for that.
    """
    if scaled:
        mean, deviation = features.mean(0), float(np.sqrt(features.var(0).mean()))
        features, features_test = (features - mean) / deviation, (features_test - mean) / deviation
    return classifier(kind).fit(features[ids], y).predict(features_test)


def data_of(settings: Settings) -> Data:
    """The data of the settings; DataError for a table without classes, or with a class of fewer than four lines."""
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


def study(settings: Settings, progress: Progress) -> dict[str, Any]:
    """All methods with one number of labels, over seeds.

    {"methods": {name: {"accuracy": one value for each seed, "seconds": processor time, "wrong": ids of the held-out
    examples that the first seed gets wrong, "taken_for": the class it takes each of them for}}, "joint":
    `joint_figures` of the first seed, "layer_seconds", …}.
    """
    data = data_of(settings)
    images = examples_of(data)
    whole = settings.methods == "all"
    names = methods_for(data) if whole else [JOINT]
    methods: dict[str, dict[str, Any]] = {name: {"accuracy": [], "seconds": []} for name in names}
    joint: dict[str, Any] = {}
    seeds = [FIRST_SEED + nth for nth in range(settings.seeds)]
    for nth, seed in enumerate(seeds):
        ids = labelled_ids(images.y, settings.labels_per_class, seed)
        for k, name in enumerate(names):
            progress((nth + k / len(names)) / settings.seeds, f"seed {seed}: {name}")
            prepare(name, data, seed)
            start = time.process_time()
            if METHODS[name][0] == "network":
                network, losses = train_network(name, data, images, ids, settings, seed)
                predicted = network.predict(images.x_test)
                if name == JOINT and nth == 0 and data.kind == "image":
                    joint = joint_figures(network, images, losses)
            else:
                predicted = predict_with(name, data, images, ids, seed)
            wrong = np.flatnonzero(predicted != images.y_test)
            row = methods[name]
            row["accuracy"].append(1 - len(wrong) / len(predicted))
            row["seconds"].append(time.process_time() - start)
            if nth == 0:
                row |= {"wrong": wrong.tolist(), "taken_for": predicted[wrong].tolist()}
    result = {
        "methods": methods,
        "joint": joint,
        "labels": len(ids),
        "images": len(images.y),
        "held_out": len(images.y_test),
        "classes": list(data.classes or map(str, np.unique(images.y))),
        "source": data.source,
        "seeds": seeds,
    }
    if whole:
        result["encoder_seconds"] = unsupervised(data, FIRST_SEED).seconds
        result["layer_seconds"] = closed(data).layers.seconds
    return result


def methods_for(data: Data) -> list[str]:
    """The methods that can be compared on these data: the mixture encoder knows images of one shape only."""
    return [name for name in METHODS if name != MIXTURE or tuple(data.shape) == mixture_shape()]


def prepare(name: str, data: Data, seed: int) -> None:
    """Compute what all numbers of labels share, so that it does not count as time of this method."""
    if name in (FROZEN, TUNED) or name.endswith("codes"):
        unsupervised(data, seed)
    elif name == CLOSED_FORM:
        closed(data)
    elif name.endswith("PCA"):
        components(data)


def predict_with(name: str, data: Data, images: Examples, ids: np.ndarray, seed: int) -> np.ndarray:
    """Held-out predictions (n,) of a method that is not a network, learnt from the labels of the examples `ids`."""
    y = images.y[ids]
    if name == CLOSED_FORM:
        layers, features_test = closed(data)
        x = images.x[ids].flatten(1).numpy()
        return classifier("least squares").fit(layers.transform(x), y).predict(features_test)
    kind = {"svm": "svm", "closed": "least squares"}.get(METHODS[name][0], "logistic")
    return predict_from(*features(name, data, images, seed), ids, y, kind, scaled=not name.endswith("pixels"))


def features(name: str, data: Data, images: Examples, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The inputs of a method's classifier, for both splits: (n, F) each."""
    if name.endswith("pixels"):
        return images.rows()
    if name.endswith("PCA"):
        return components(data)
    if name == MIXTURE:
        return critic_features(data)
    base = unsupervised(data, seed)
    return base.codes, base.codes_test


def train_network(
    name: str, data: Data, images: Examples, ids: np.ndarray, settings: Settings, seed: int
) -> tuple[Fig5, list[tuple[int, float, float]]]:
    """One of the networks after its training on the labels of the examples `ids`, and (step, L, R) of every step."""
    losses: list[tuple[int, float, float]] = []
    pretrained = name in (FROZEN, TUNED)
    start = deepcopy(unsupervised(data, seed).autoencoder) if pretrained else untrained(data, seed)
    network = Fig5(start, len(np.unique(images.y)))
    fit(
        network,
        images.x[ids],
        torch.from_numpy(images.y[ids]),
        unlabelled=images.x if name == JOINT else None,
        lam=settings.lam if name == JOINT else 0.0,
        frozen=name == FROZEN,
        steps=STEPS,
        seed=seed,
        watch=lambda step, labelled, recon: losses.append((step, labelled, recon)),
    )
    return network, losses


def joint_figures(
    network: Fig5, images: Examples, losses: list[tuple[int, float, float]], moments: int = 20
) -> dict[str, Any]:
    """The numbers of Fig. 5: L and R during the training, and one held-out image of each class in the network.

    "images": for each image ŷ, x̂ as a PNG in base64, L = −log ŷ_y in nats and R = ‖x − x̂‖².
    """
    from PIL import Image

    parts = np.array_split(np.array(losses), min(moments, len(losses)))
    ids = [int(np.flatnonzero(images.y_test == c)[0]) for c in np.unique(images.y_test)][:SHOWN]
    x = images.x_test[ids]
    with torch.inference_mode():
        x_hat = network.autoencoder.decode(network.autoencoder.encode(x))
    y_hat, rows = network.probabilities(x), []
    for k, example in enumerate(ids):
        label, file = int(images.y_test[example]), io.BytesIO()
        Image.fromarray((x_hat[k, 0].clamp(0, 1) * 255).round().byte().numpy()).save(file, "PNG")
        rows.append(
            {
                "id": example,
                "label": label,
                "y_hat": [round(float(p), 4) for p in y_hat[k]],
                "x_hat": base64.b64encode(file.getvalue()).decode(),
                "L": float(-np.log(max(y_hat[k, label], 1e-12))),
                "R": float((x[k] - x_hat[k]).square().sum()),
            }
        )
    return {
        "step": [int(part[-1, 0]) for part in parts],
        "L": [float(part[:, 1].mean()) for part in parts],
        "R": [float(part[:, 2].mean()) for part in parts],
        "images": rows,
    }


# --- reading a study --------------------------------------------------------------------------------------------------


def paired(study: Mapping[str, Any], method: str, against: str = ALONE) -> np.ndarray:
    """By how much a method is more accurate than another, seed by seed: (seeds,)."""
    methods = study["methods"]
    return np.subtract(methods[method]["accuracy"], methods[against]["accuracy"])


class Confusion(NamedTuple):
    """Which class the first seed of a method takes each held-out example for.

    wrong: ids (n,) of the wrongly classified examples.  taken_for: (n,) their predicted classes.
    counts: (K, K) numbers of examples; row: true class, column: predicted class.
    """

    wrong: np.ndarray
    taken_for: np.ndarray
    counts: np.ndarray


def confusion(study: Mapping[str, Any], method: str, labels: np.ndarray) -> Confusion:
    """The confusion matrix of a method.  labels: (n,) true classes of all held-out examples."""
    wrong, taken_for = (np.array(study["methods"][method][part], int) for part in ("wrong", "taken_for"))
    size = len(study["classes"])
    counts = np.zeros((size, size), int)
    np.add.at(counts, (labels[wrong], taken_for), 1)
    counts[np.diag_indices(size)] = np.bincount(labels, minlength=size) - counts.sum(1)
    return Confusion(wrong, taken_for, counts)


def in_cell(
    matrix: Confusion, labels: np.ndarray, true: int | None, guess: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """(ids, predicted classes) of the examples in a cell of the matrix: the correct ones where true = guess.

    true, guess: numbers of classes; None: any, of which only wrongly classified examples are returned.
    """
    if true is not None and true == guess:
        ids = np.setdiff1d(np.flatnonzero(labels == true), matrix.wrong)
        return ids, np.full(len(ids), true)
    keep = np.ones(len(matrix.wrong), bool)
    if true is not None:
        keep &= labels[matrix.wrong] == true
    if guess is not None:
        keep &= matrix.taken_for == guess
    return matrix.wrong[keep], matrix.taken_for[keep]


def rows(study: Mapping[str, Any]) -> list[dict[str, str]]:
    """A study as a table: a line for each method."""
    return [
        {"method": name, "accuracy": over_seeds(m["accuracy"]), "seconds": over_seeds(m["seconds"], 1)}
        for name, m in study["methods"].items()
    ]
