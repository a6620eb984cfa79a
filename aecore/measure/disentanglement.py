"""How far each latent dimension follows one known factor of the images, by five published scores.

All take codes z (N, D), the posterior's means where there is one, and factors v (N, K), whole numbers from 0, of the
same N examples. They measure different things and need not agree. A code that is a rotation of the factors is as
informative as they are, but gets low scores from all except informativeness. Two dimensions that both follow the same
factor give a low MIG and SAP and a high FactorVAE score.

A factor that never changes in these examples is left out of every score: nothing can be said of it, good or bad. A
factor that changes counts, also where the code says nothing about it. `Scores.left_out` tells which were left out.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float, Float64, Int, Int64, Num, Shaped

BINS = 20  # of equal width, into which the values of a dimension are sorted for its mutual information
BATCH = 64  # examples, or pairs, that share the value of one factor
VOTES = 800  # batches to learn from; half as many to test on
STILL = 1e-4  # dimensions whose variance is below this share of the largest have no vote in FactorVAE's score
TREES = 40

Codes = Num[np.ndarray, "..."]
"""(N, D); `_checked` says in a sentence what is wrong with others."""
Factors = Num[np.ndarray, "..."]
"""(N, K), as `Codes`."""


@dataclass(frozen=True)
class Scores:
    """The scores of one code, each from 0 to 1; larger is better.

    mig, sap: gaps between the best and the second dimension.
    d, c, i: disentanglement, completeness and informativeness (DCI).
    beta, factor: accuracies of the β-VAE and FactorVAE metrics.
    information: I(z_j; v_k) / H(v_k), (D, K).  importance: of dimension j for factor k, (D, K); columns sum to 1.
    Both are nan for a factor that never changes.  left_out: the numbers of these factors.
    """

    mig: float
    sap: float
    d: float
    c: float
    i: float
    beta: float
    factor: float
    information: Float[np.ndarray, "D K"]
    importance: Float[np.ndarray, "D K"]
    left_out: tuple[int, ...] = ()

    def numbers(self) -> dict[str, float]:
        """The seven scores by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.type == "float"}


def scores(z: Codes, v: Factors, categorical: tuple[int, ...] = (), seed: int = 0) -> Scores:
    """All scores of one code.

    categorical: which factors have no order, for SAP.  seed: of the forests and of the drawn batches.
    """
    z, v = _checked(z, v)
    information = mutual_information(z, v)
    importance, accuracy = importances(z, v, seed)
    d, c = dci(importance)
    return Scores(
        mig=mig(information),
        sap=sap(z, v, categorical),
        d=d,
        c=c,
        i=accuracy,
        beta=beta_vae(z, v, seed),
        factor=factor_vae(z, v, seed),
        information=information,
        importance=importance,
        left_out=tuple(np.flatnonzero(~varying(v)).tolist()),
    )


def varying(v: Factors) -> Bool[np.ndarray, " K"]:
    """Which factors (N, K) change among the examples, (K,): only these count in the scores."""
    return (v != v[:1]).any(0)


def categorical(v: Int[np.ndarray, "N K"], labels: Int[np.ndarray, " N"]) -> tuple[int, ...]:
    """Which factors (N, K) have no order: those that are the labels (N,)."""
    return tuple(k for k, factor in enumerate(v.T) if np.array_equal(factor, labels))


def _checked(
    z: Shaped[np.ndarray, "..."], v: Shaped[np.ndarray, "..."]
) -> tuple[Float64[np.ndarray, "N D"], Int64[np.ndarray, "N K"]]:
    """Codes and factors as numbers; ValueError where they do not belong together, or are too few."""
    z, v = np.asarray(z, np.float64), np.asarray(v, np.int64)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        raise ValueError(f"codes {z.shape} and factors {v.shape} must be (N, D) and (N, K) of the same N examples")
    if len(z) < 4:
        raise ValueError(f"{len(z)} examples are too few: give some thousands")
    return z, v


# --- gaps -------------------------------------------------------------------------------------------------


def mutual_information(z: Codes, v: Factors) -> Float[np.ndarray, "D K"]:
    """I(z_j; v_k) / H(v_k), (D, K) in [0, 1], with the values of z_j in 20 bins; nan for a factor that never changes.

    Estimates from N examples are too large by about (bins − 1)(values − 1) / 2N nats.
    """
    z, v = _checked(z, v)
    binned = np.stack([np.digitize(unit, np.histogram_bin_edges(unit, BINS)[1:-1]) for unit in z.T])
    information = np.array([[_information(factor, unit) for factor in v.T] for unit in binned])
    entropy = np.array([_information(factor, factor) for factor in v.T])
    return np.where(varying(v), information / np.maximum(entropy, 1e-9), np.nan)


def _information(a: Int[np.ndarray, " N"], b: Int[np.ndarray, " N"]) -> float:
    """Mutual information Σ p(a, b) log (p(a, b) / p(a) p(b)) of two labellings (N,), whole numbers from 0: nats."""
    joint = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)) / len(a)
    joint = joint.reshape(a.max() + 1, b.max() + 1)
    independent = np.outer(joint.sum(1), joint.sum(0))
    occurs = joint > 0
    return float((joint[occurs] * np.log(joint[occurs] / independent[occurs])).sum())


def _gap(table: Float[np.ndarray, "D K"]) -> float:
    """Mean over columns of the largest entry minus the second largest, which is 0 where there is only one row.

    Columns of nan are left out; 0 where there are no others.
    """
    table = table[:, ~np.isnan(table).any(0)]
    if not table.shape[1]:
        return 0.0
    ranked = np.sort(np.vstack([table, np.zeros(table.shape[1])]), axis=0)
    return float((ranked[-1] - ranked[-2]).mean())


def mig(information: Float[np.ndarray, "D K"]) -> float:
    """Mutual information gap: (1/K) Σ_k (I(z_j; v_k) − max_{i≠j} I(z_i; v_k)) / H(v_k), j the best dimension for k.

    information: from `mutual_information`.  K: the number of factors that change.
    Source: Chen et al. (2018), Eq. 6, arXiv:1802.04942. Departures: codes are the posterior's means, in bins, as in
    Locatello et al. (2019); the paper integrates over q(z|x).
    """
    return _gap(information)


def sap(z: Codes, v: Factors, categorical: tuple[int, ...] = ()) -> float:
    """Separated attribute predictability: the gap as in MIG, of how well one dimension predicts a factor linearly.

    Factors that never change are left out.
    For ordered factors that is the squared correlation; for `categorical` ones the balanced accuracy above chance of a
    linear SVM, trained on half of the examples and tested on the other half.
    Source: Kumar et al. (2018), §3, arXiv:1711.00848. Departures: chance is subtracted from accuracies, so that 0 means
    the same for both kinds; angles are taken as ordered.
    """
    z, v = _checked(z, v)
    spread = z.std(0)
    u = (z - z.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    table = np.full((z.shape[1], v.shape[1]), np.nan)
    for k in np.flatnonzero(varying(v)).tolist():
        factor = v[:, k]
        if k in categorical:
            table[:, k] = [_separable(unit, factor) for unit in u.T]
        else:
            table[:, k] = (u * ((factor - factor.mean()) / factor.std())[:, None]).mean(0) ** 2
    return _gap(table)


def _separable(unit: Float[np.ndarray, " N"], factor: Int[np.ndarray, " N"]) -> float:
    """Balanced accuracy above chance of a linear SVM that predicts a factor from one dimension, in [0, 1]."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import LinearSVC

    values = len(np.unique(factor))
    half = len(unit) // 2
    if values < 2 or unit.std() == 0 or len(np.unique(factor[:half])) < values:
        return 0.0
    svm = LinearSVC(C=0.01, class_weight="balanced", dual=False)  # pyright: ignore[reportArgumentType]  # a bool is allowed
    svm.fit(unit[:half, None], factor[:half])
    accuracy = balanced_accuracy_score(factor[half:], svm.predict(unit[half:, None]))
    return float(max(0.0, (accuracy - 1 / values) / (1 - 1 / values)))


# --- DCI --------------------------------------------------------------------------------------------------


def importances(z: Codes, v: Factors, seed: int = 0) -> tuple[Float[np.ndarray, "D K"], float]:
    """How much a random forest uses each dimension for each factor (D, K), and its mean test accuracy above chance.

    Columns sum to 1. They are nan for a factor that never changes, which is left out of the accuracy, and 0 for one
    that changes only in the half that tests, of which nothing can be learned: its accuracy counts as 0.
    """
    from sklearn.ensemble import RandomForestClassifier  # seconds to import: a page needs it only for scores

    z, v = _checked(z, v)
    half = len(z) // 2
    table, accuracy = np.full((z.shape[1], v.shape[1]), np.nan), []
    for k in np.flatnonzero(varying(v)).tolist():
        factor = v[:, k]
        if len(np.unique(factor[:half])) < 2:
            table[:, k] = 0.0
            accuracy.append(0.0)
            continue
        forest = RandomForestClassifier(
            TREES,
            min_samples_leaf=3,
            max_features=None,  # pyright: ignore[reportArgumentType]  # None is allowed: all of them
            random_state=seed,
        ).fit(z[:half], factor[:half])
        table[:, k] = forest.feature_importances_
        chance = np.bincount(factor[half:]).max() / (len(z) - half)
        accuracy.append(max(0.0, (forest.score(z[half:], factor[half:]) - chance) / max(1 - chance, 1e-12)))
    return table, float(np.mean(accuracy)) if accuracy else 0.0


def _peaked(shares: Float[np.ndarray, "rows columns"]) -> Float[np.ndarray, " rows"]:
    """1 − the entropy of each row relative to its maximum: 1 for a single entry, 0 for equal entries or none."""
    total = shares.sum(1, keepdims=True)
    p = shares / np.where(total > 0, total, 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(max(2, shares.shape[1]))
    return np.where(total[:, 0] > 0, 1 - entropy, 0.0)


def dci(importance: Float[np.ndarray, "D K"]) -> tuple[float, float]:
    """Disentanglement, that each dimension serves one factor; completeness, that one dimension serves each factor.

    d = Σ_j ρ_j (1 − H_K(P_j·)), P_jk = R_jk / Σ_k R_jk, ρ_j = Σ_k R_jk / Σ R;  c the mean over k of 1 − H_D(R_·k).
    importance: R (D, K), from `importances`; columns of nan are left out.
    Source: Eastwood & Williams (2018), §2, https://openreview.net/forum?id=By-7dz-AZ. Departures: informativeness, as
    `importances` has it, is the accuracy of classification above chance, where the paper has errors of regression.
    """
    importance = importance[:, ~np.isnan(importance).any(0)]
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    weight = importance.sum(1) / total
    return float((weight * _peaked(importance)).sum()), float(_peaked(importance.T).mean())


# --- batches that share one factor ------------------------------------------------------------------------


class _Sharing:
    """Draws examples that share the value of one factor.

    groups: for each factor that varies, the examples of each of its values.
    """

    def __init__(self, v: Int[np.ndarray, "N K"], seed: int):
        self.random = np.random.default_rng(seed)
        self.groups: list[list[np.ndarray]] = []
        for factor in v.T:
            order = np.argsort(factor, kind="stable")
            parts = np.split(order, np.flatnonzero(np.diff(factor[order])) + 1)
            shared = [part for part in parts if len(part) > 1]
            if len(parts) > 1 and shared:
                self.groups.append(shared)

    def draw(self) -> tuple[int, Int[np.ndarray, " B"]]:
        """A factor's number, and BATCH examples with one value of it."""
        k = int(self.random.integers(len(self.groups)))
        parts = self.groups[k]
        return k, self.random.choice(parts[self.random.integers(len(parts))], BATCH)


def beta_vae(z: Codes, v: Factors, seed: int = 0) -> float:
    """Accuracy of a linear classifier that tells which factor 64 pairs share, from the mean of |z − z′|.

    Source: Higgins et al. (2017), §3, β-VAE. Departures: pairs come from the given examples; dimensions are scaled to
    standard deviation 1, constant ones to 0; a factor with a single value is left out.
    """
    from sklearn.linear_model import LogisticRegression

    z, v = _checked(z, v)
    sharing = _Sharing(v, seed)
    if len(sharing.groups) < 2:
        return float(len(sharing.groups))  # the only factor is always the one that is shared
    spread = z.std(0)
    u = z / np.where(spread > 1e-9, spread, np.inf)
    differences, shared = np.empty((VOTES + VOTES // 2, z.shape[1])), np.empty(VOTES + VOTES // 2, int)
    for row in range(len(differences)):
        k = int(sharing.random.integers(len(sharing.groups)))
        parts = sharing.groups[k]
        values = sharing.random.integers(len(parts), size=BATCH)  # one for each pair
        pairs = np.array([sharing.random.choice(parts[value], 2, replace=False) for value in values])
        differences[row], shared[row] = np.abs(u[pairs[:, 0]] - u[pairs[:, 1]]).mean(0), k
    classifier = LogisticRegression(C=100.0, max_iter=2000).fit(differences[:VOTES], shared[:VOTES])
    return float(classifier.score(differences[VOTES:], shared[VOTES:]))


def factor_vae(z: Codes, v: Factors, seed: int = 0) -> float:
    """Accuracy of a majority vote that tells which factor 64 examples share, from the dimension that varies least.

    The variance of a dimension is taken relative to its variance over all examples. Dimensions that hardly vary (below
    1e-4 of the largest variance) have no vote.
    Source: Kim & Mnih (2018), §4, arXiv:1802.05983. Departures: batches come from the given examples.
    """
    z, v = _checked(z, v)
    sharing, variance = _Sharing(v, seed), z.var(0)
    voters = np.flatnonzero(variance > STILL * variance.max()) if variance.max() > 1e-12 else np.array([], int)
    if not sharing.groups or not len(voters):
        return 0.0
    votes = np.zeros((len(voters), len(sharing.groups)), int)
    correct = 0
    for turn in range(VOTES + VOTES // 2):
        k, batch = sharing.draw()
        unit = int((z[np.ix_(batch, voters)].var(0) / variance[voters]).argmin())
        if turn < VOTES:
            votes[unit, k] += 1
        else:
            correct += votes[unit].argmax() == k
    return float(correct / (VOTES // 2))
