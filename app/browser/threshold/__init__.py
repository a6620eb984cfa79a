"""A threshold on scores: drag it over their histogram; counts, rates, ROC and precision–recall follow at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from app.browser.mount import nothing, register, settle
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
    """Scores of two sorts, and a line between what is called the one and the other.

    Arguments:
        scores: (n,), larger for what is likelier positive.
        positive: (n,) bool, or None where nobody knows: then only the histogram is drawn.
        at: where the line starts, and where a double click brings it back.
        names: of the negative and the positive sort.  score: what the scores are, for the axis.
        start_words: what the start is, in a few words.
        alt: what a reader who cannot see it should know.
        where: the line's place from the link; later it counts only when it is news.
        on_change: called before the rerun that follows when the hand lets go.

    Returns: the line's place as last reported.

    Raises ValueError for scores that are no numbers, or sorts of another length.
    """
    scores = np.ascontiguousarray(scores, np.float32)
    if scores.ndim != 1 or not len(scores) or not np.isfinite(scores).all():
        raise ValueError(f"scores {scores.shape} must be finite numbers, at least one")
    if positive is not None and len(positive) != len(scores):
        raise ValueError(f"{len(positive)} sorts for {len(scores)} scores")
    known = np.zeros(len(scores), np.uint8) if positive is None else np.ascontiguousarray(positive, np.uint8)
    meta = {
        "at": float(at),
        "names": [str(name) for name in names],
        "score": score,
        "words": start_words,
        "alt": alt,
        "known": positive is not None,
    }
    sections = {"scores": scores, "positive": known}
    name = digest(meta, list(sections), list(sections.values()))
    sent = settle(key, "view", None if where is None else {"at": float(where)})
    result = _mount(
        key=key,
        data=memo.get(
            f"threshold:{name}:{digest(repr(sent))}", lambda: pack({**meta, "digest": name, **sent}, **sections)
        ),
        on_view_change=on_change or nothing,
    )
    return float((result.get("view") or sent["state"] or {}).get("at", at))
