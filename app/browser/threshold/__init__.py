"""A threshold on scores to drag over their histogram; counts, rates, ROC and precision–recall curve follow at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import no_callback, register, settle
from app.browser.pack import digest, memo, pack

_mount = register("threshold", Path(__file__).parent)


def threshold(
    scores: np.ndarray,
    positive: np.ndarray | None,
    at: float,
    *,
    key: str,
    names: Sequence[str] = ("normal", "anomaly"),
    score: str = "score",
    start_words: str = "",
    alt: str = "",
    where: float | None = None,
    on_change: Callable[[], None] | None = None,
) -> float:
    """The scores of two classes, and a threshold above which a score is called positive.

    Arguments:
        scores: (n,), larger for what is more likely positive.
        positive: (n,) bool, or None if it is unknown: then only the histogram is drawn.
        at: the threshold at first and after a double click.
        names: of the negative and the positive class.
        score: what the scores are, for the axis.
        start_words: where `at` comes from, in a few words.
        alt: what the scores are of, for screen readers.
        where: the threshold from the link. Later it is obeyed only when it is new; see `settle`.
        on_change: called before the rerun that follows when the user lets go.

    Returns: the threshold that was reported last.

    Raises ValueError if scores are not finite or `positive` has another length.
    """
    scores = np.ascontiguousarray(scores, np.float32)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"scores {scores.shape} must be finite numbers, at least one")
    if positive is not None and len(positive) != len(scores):
        raise ValueError(f"{len(positive)} classes for {len(scores)} scores")
    labels = np.zeros(len(scores), np.uint8) if positive is None else np.ascontiguousarray(positive, np.uint8)
    meta = {
        "at": float(at),
        "names": [str(name) for name in names],
        "score": score,
        "words": start_words,
        "alt": alt,
        "known": positive is not None,
    }
    sections = {"scores": scores, "positive": labels}
    name = digest(meta, list(sections), list(sections.values()))
    sent = settle(key, "view", None if where is None else {"at": float(where)})

    def build() -> bytes:
        return pack({**meta, "digest": name, **sent}, **sections)

    result = _mount(
        key=key,
        data=memo.get(f"threshold:{name}:{digest(repr(sent))}", build),
        on_view_change=on_change or no_callback,
    )
    return float((result.get("view") or sent["state"] or {}).get("at", at))
