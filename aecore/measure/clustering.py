"""How well clusters that were found without labels agree with labels, whatever the clusters are called."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Int, Int64
from scipy.optimize import linear_sum_assignment
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

WholeNumbers = Int[np.ndarray, "..."] | Sequence[int]
"""(n,) from 0: a cluster or a label of each example. `contingency` says in words where two lengths differ."""


def contingency(assigned: WholeNumbers, labels: WholeNumbers) -> Int64[np.ndarray, "clusters labels"]:
    """How many examples of each label fell into each cluster: (clusters, labels).

    assigned, labels: (n,) whole numbers from 0.  ValueError where the two are not of one length.
    """
    assigned, labels = (np.asarray(values, dtype=np.int64).reshape(-1) for values in (assigned, labels))
    if len(assigned) != len(labels):
        raise ValueError(f"{len(assigned)} assignments for {len(labels)} labels: give one for each example")
    counts = np.zeros((assigned.max(initial=-1) + 1, labels.max(initial=-1) + 1), dtype=np.int64)
    np.add.at(counts, (assigned, labels), 1)
    return counts


def accuracy(assigned: WholeNumbers, labels: WholeNumbers) -> float:
    """The share of examples whose label is that of their cluster, under the best one-to-one map of clusters to labels.

    max over one-to-one maps m of (1/n) Σ_i 1{labels_i = m(assigned_i)}; from 0 to 1, and 1/C or more for C equally
    frequent labels. Where there are more clusters than labels, some are mapped to none, and their examples count
    as wrong.

    assigned, labels: (n,) whole numbers from 0.  Source: Xie et al. (2016), Eq. 10, arXiv:1511.06335; the best map by
    the Hungarian algorithm (scipy).  Departures: none.
    """
    counts = contingency(assigned, labels)
    return float(counts[linear_sum_assignment(counts, maximize=True)].sum() / max(1, counts.sum()))


def nmi(assigned: WholeNumbers, labels: WholeNumbers) -> float:
    """Normalised mutual information, I(assigned; labels) / ½(H(assigned) + H(labels)): 0 independent, 1 equal.

    The mean of the two entropies below is the arithmetic one; other papers take the geometric one or the larger
    entropy, which gives other numbers.  Source: scikit-learn.
    """
    return float(normalized_mutual_info_score(labels, assigned))


def ari(assigned: WholeNumbers, labels: WholeNumbers) -> float:
    """Adjusted Rand index: agreement on pairs of examples, 0 on average for random clusters, 1 for equal ones.

    Source: Hubert & Arabie (1985), doi:10.1007/BF01908075; scikit-learn.
    """
    return float(adjusted_rand_score(labels, assigned))


def scores(assigned: WholeNumbers, labels: WholeNumbers) -> dict[str, float]:
    """{"accuracy", "nmi", "ari"} of one clustering."""
    return {"accuracy": accuracy(assigned, labels), "nmi": nmi(assigned, labels), "ari": ari(assigned, labels)}
