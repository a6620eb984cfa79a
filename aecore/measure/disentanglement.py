"""How far each unit of a code follows one known factor of the images, by five published scores.

All take codes z (N, D), the posterior's means where there is one, and factors v (N, K), whole numbers from 0, of the
same N examples. They measure different things and need not agree: a code that is a rotation of the factors is as
informative as they are, and gets low scores from all but informativeness; a unit that answers to one factor while a
second unit repeats it has a low MIG and SAP and a high FactorVAE score.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

BINS = 20  # of equal width, into which a unit is cut for its mutual information
BATCH = 64  # examples or pairs that share one factor's value
VOTES = 800  # batches to learn from; half as many to judge by
STILL = 1e-4  # a unit whose variance is below this share of the largest is left out of FactorVAE's vote
TREES = 40


@dataclass(frozen=True)
class Scores:
    """Each from 0 to 1, larger is better.

    mig, sap: gaps between the best and the second unit.  d, c, i: disentanglement, completeness, informativeness (DCI).
    beta, factor: accuracies of the β-VAE and FactorVAE metrics.
    information: I(z_j; v_k) / H(v_k), (D, K).  importance: of unit j for factor k, columns sum to 1, (D, K).
    """

    mig: float
    sap: float
    d: float
    c: float
    i: float
    beta: float
    factor: float
    information: np.ndarray
    importance: np.ndarray

    def numbers(self) -> dict[str, float]:
        """The seven scores by name."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.type == "float"}


def scores(z: np.ndarray, v: np.ndarray, categorical: tuple[int, ...] = (), seed: int = 0) -> Scores:
    """All scores of one code.

    categorical: which factors have no order, for SAP.  seed: of forests, and of what is drawn.
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
    )


def categorical(v: np.ndarray, labels: np.ndarray) -> tuple[int, ...]:
    """Which factors (N, K) have no order: those that are the labels (N,)."""
    return tuple(k for k, factor in enumerate(v.T) if np.array_equal(factor, labels))


def _checked(z: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    z, v = np.asarray(z, np.float64), np.asarray(v, np.int64)
    if z.ndim != 2 or v.ndim != 2 or len(z) != len(v):
        raise ValueError(f"codes {z.shape} and factors {v.shape} must be (N, D) and (N, K) of the same N examples")
    if len(z) < 4:
        raise ValueError(f"{len(z)} examples are too few: give some thousands")
    return z, v


# --- gaps -------------------------------------------------------------------------------------------------


def mutual_information(z: np.ndarray, v: np.ndarray) -> np.ndarray:
    """I(z_j; v_k) / H(v_k), (D, K) in [0, 1], each unit cut into 20 bins of equal width; 0 for a factor that is fixed.

    Estimates from N examples are too large by about (bins − 1)(values − 1) / 2N nats.
    """
    z, v = _checked(z, v)
    cut = np.stack([np.digitize(unit, np.histogram_bin_edges(unit, BINS)[1:-1]) for unit in z.T])
    found = np.array([[_information(factor, unit) for factor in v.T] for unit in cut])
    entropy = np.array([_information(factor, factor) for factor in v.T])
    return np.where(entropy > 1e-9, found / np.maximum(entropy, 1e-9), 0.0)


def _information(a: np.ndarray, b: np.ndarray) -> float:
    """Σ p(a, b) log p(a, b) / p(a) p(b) of two labellings (N,), whole numbers from 0: nats."""
    joint = np.bincount(a * (b.max() + 1) + b, minlength=(a.max() + 1) * (b.max() + 1)) / len(a)
    joint = joint.reshape(a.max() + 1, b.max() + 1)
    some = joint > 0
    return float((joint[some] * np.log(joint[some] / np.outer(joint.sum(1), joint.sum(0))[some])).sum())


def _gap(table: np.ndarray) -> float:
    """Mean over columns of the difference between the two largest entries; one row: of it and nothing."""
    ranked = np.sort(np.vstack([table, np.zeros(table.shape[1])]), axis=0)
    return float((ranked[-1] - ranked[-2]).mean())


def mig(information: np.ndarray) -> float:
    """Mutual information gap: (1/K) Σ_k (I(z_j; v_k) − max_{i≠j} I(z_i; v_k)) / H(v_k), j the best unit for k.

    information: from `mutual_information`.
    Source: Chen et al. (2018), Eq. 6, arXiv:1802.04942. Departures: codes are the posterior's means, cut into bins, as
    in Locatello et al. (2019); the paper integrates over q(z|x).
    """
    return _gap(information)


def sap(z: np.ndarray, v: np.ndarray, categorical: tuple[int, ...] = ()) -> float:
    """Separated attribute predictability: as MIG, of how well one unit alone predicts a factor linearly.

    The squared correlation for ordered factors; for `categorical` ones the balanced accuracy, above chance, of a linear
    SVM on half of the examples, judged on the other half.
    Source: Kumar et al. (2018), §3, arXiv:1711.00848. Departures: chance is subtracted from accuracies, so that 0 means
    the same for both kinds; angles are taken as ordered.
    """
    z, v = _checked(z, v)
    spread = z.std(0)
    u = (z - z.mean(0)) / np.where(spread > 1e-9, spread, np.inf)
    table = np.zeros((z.shape[1], v.shape[1]))
    for k, factor in enumerate(v.T):
        if k in categorical:
            table[:, k] = [_separable(unit, factor) for unit in u.T]
        elif factor.std() > 0:
            table[:, k] = (u * ((factor - factor.mean()) / factor.std())[:, None]).mean(0) ** 2
    return _gap(table)


def _separable(unit: np.ndarray, factor: np.ndarray) -> float:
    """Balanced accuracy above chance, in [0, 1]."""
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.svm import LinearSVC

    values = len(np.unique(factor))
    half = len(unit) // 2
    if values < 2 or unit.std() == 0 or len(np.unique(factor[:half])) < values:
        return 0.0
    svm = LinearSVC(C=0.01, class_weight="balanced", dual=False).fit(unit[:half, None], factor[:half])
    found = balanced_accuracy_score(factor[half:], svm.predict(unit[half:, None]))
    return float(max(0.0, (found - 1 / values) / (1 - 1 / values)))


# --- DCI --------------------------------------------------------------------------------------------------


def importances(z: np.ndarray, v: np.ndarray, seed: int = 0) -> tuple[np.ndarray, float]:
    """How much a random forest uses each unit for each factor (D, K), and its mean held-out accuracy above chance.

    Columns sum to 1, or are 0 for a factor that is fixed.
    """
    from sklearn.ensemble import RandomForestClassifier  # seconds to import: a page needs it only for scores

    z, v = _checked(z, v)
    half = len(z) // 2
    table, accuracy = np.zeros((z.shape[1], v.shape[1])), []
    for k, factor in enumerate(v.T):
        if len(np.unique(factor[:half])) < 2:
            continue
        forest = RandomForestClassifier(TREES, min_samples_leaf=3, max_features=None, random_state=seed).fit(
            z[:half], factor[:half]
        )
        table[:, k] = forest.feature_importances_
        chance = np.bincount(factor[half:]).max() / (len(z) - half)
        accuracy.append(max(0.0, (forest.score(z[half:], factor[half:]) - chance) / max(1 - chance, 1e-12)))
    return table, float(np.mean(accuracy)) if accuracy else 0.0


def _peaked(shares: np.ndarray) -> np.ndarray:
    """1 − entropy of each row over its largest possible value: 1 for a single entry, 0 for equal or no ones."""
    total = shares.sum(1, keepdims=True)
    p = shares / np.where(total > 0, total, 1)
    entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1) / np.log(max(2, shares.shape[1]))
    return np.where(total[:, 0] > 0, 1 - entropy, 0.0)


def dci(importance: np.ndarray) -> tuple[float, float]:
    """Disentanglement: each unit serves one factor. Completeness: each factor is served by one unit.

    d = Σ_j ρ_j (1 − H_K(P_j·)), P_jk = R_jk / Σ_k R_jk, ρ_j = Σ_k R_jk / Σ R;  c the mean over k of 1 − H_D(R_·k).
    importance: R (D, K), from `importances`.
    Source: Eastwood & Williams (2018), §2, https://openreview.net/forum?id=By-7dz-AZ. Departures: informativeness, as
    `importances` has it, is the accuracy of classification above chance, where the paper has errors of regression.
    """
    total = importance.sum()
    if total <= 0:
        return 0.0, 0.0
    weight = importance.sum(1) / total
    moving = importance.sum(0) > 0
    return float((weight * _peaked(importance)).sum()), float(_peaked(importance.T)[moving].mean())


# --- batches that share one factor ------------------------------------------------------------------------


class _Sharing:
    """Draws of examples that agree in one factor."""

    def __init__(self, v: np.ndarray, seed: int):
        self.random = np.random.default_rng(seed)
        self.groups = []  # per factor that moves: arrays of the examples of each value
        for factor in v.T:
            order = np.argsort(factor, kind="stable")
            parts = np.split(order, np.flatnonzero(np.diff(factor[order])) + 1)
            shared = [part for part in parts if len(part) > 1]
            if len(parts) > 1 and shared:
                self.groups.append(shared)

    def draw(self) -> tuple[int, np.ndarray]:
        """A factor's number, and BATCH examples with one value of it."""
        k = int(self.random.integers(len(self.groups)))
        parts = self.groups[k]
        return k, self.random.choice(parts[self.random.integers(len(parts))], BATCH)


def beta_vae(z: np.ndarray, v: np.ndarray, seed: int = 0) -> float:
    """Accuracy with which a linear classifier reads off the factor that 64 pairs share, from the mean of |z − z′|.

    Source: Higgins et al. (2017), §3, β-VAE. Departures: pairs come from the examples at hand; units are brought to
    standard deviation 1, those that stand still to 0; a factor with a single value is left out.
    """
    from sklearn.linear_model import LogisticRegression

    z, v = _checked(z, v)
    sharing = _Sharing(v, seed)
    if len(sharing.groups) < 2:
        return float(len(sharing.groups))  # the only factor is always the one that is shared
    spread = z.std(0)
    u = z / np.where(spread > 1e-9, spread, np.inf)
    seen, named = np.empty((VOTES + VOTES // 2, z.shape[1])), np.empty(VOTES + VOTES // 2, int)
    for row in range(len(seen)):
        parts = sharing.groups[k := int(sharing.random.integers(len(sharing.groups)))]
        which = sharing.random.integers(len(parts), size=BATCH)  # each pair with a value of its own
        pairs = np.array([sharing.random.choice(parts[value], 2, replace=False) for value in which])
        seen[row], named[row] = np.abs(u[pairs[:, 0]] - u[pairs[:, 1]]).mean(0), k
    judge = LogisticRegression(C=100.0, max_iter=2000).fit(seen[:VOTES], named[:VOTES])
    return float(judge.score(seen[VOTES:], named[VOTES:]))


def factor_vae(z: np.ndarray, v: np.ndarray, seed: int = 0) -> float:
    """Accuracy with which the unit that varies least in 64 examples tells the factor that they share, by majority.

    Each unit's variance is taken relative to its variance over all examples; units that hardly move (below 1e-4 of the
    largest variance) have no vote.
    Source: Kim & Mnih (2018), §4, arXiv:1802.05983. Departures: batches come from the examples at hand.
    """
    z, v = _checked(z, v)
    sharing, variance = _Sharing(v, seed), z.var(0)
    voters = np.flatnonzero(variance > STILL * variance.max()) if variance.max() > 1e-12 else np.array([], int)
    if not sharing.groups or not len(voters):
        return 0.0
    votes = np.zeros((len(voters), len(sharing.groups)), int)
    right = 0
    for turn in range(VOTES + VOTES // 2):
        k, batch = sharing.draw()
        unit = int((z[np.ix_(batch, voters)].var(0) / variance[voters]).argmin())
        if turn < VOTES:
            votes[unit, k] += 1
        else:
            right += votes[unit].argmax() == k
    return float(right / (VOTES // 2))
