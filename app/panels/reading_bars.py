"""Bars of what a classifier reads off an image before and after an edit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.figures import plots
from app.panels.attribute_edits import attribute_title
from app.text import escape_html


def reading_bars(names: Sequence[str], before: np.ndarray, after: np.ndarray, target: np.ndarray) -> str:
    """HTML with a row for each attribute; an attribute that is not as it should be is marked.

    before, after: (A,) how sure the classifier is that it sees each attribute.  target: (A,) of 0 and 1, what should be
    seen after the edit.
    """
    rows = "".join(_row(*values) for values in zip(names, before, after, target, strict=True))
    return f'<div role="img" aria-label="What a classifier reads before and after the edit">{rows}</div>'


def _row(name: str, before: float, after: float, target: float) -> str:
    wrong = (after > 0.5) != (target > 0.5)
    emphasised = wrong or abs(after - before) > 0.5
    colour = plots.term_colour("adv" if wrong else "recon")
    title, wanted = attribute_title(name), "yes" if target > 0.5 else "no"
    tooltip = f"{title}: {100 * before:.0f} % before, {100 * after:.0f} % after, asked for: {wanted}"
    return (
        f'<div title="{escape_html(tooltip)}" style="display:grid;gap:.7rem;'
        'grid-template-columns:minmax(7rem,10.5rem) 1fr 6.5rem;align-items:center;margin:.15rem 0">'
        f'<span style="font-weight:{650 if emphasised else 400};text-align:right">{escape_html(title)}</span>'
        '<span style="position:relative;height:1.05rem;border-radius:4px;background:rgba(128,135,144,.16);'
        'overflow:hidden">'
        + _bar("top:0;bottom:55%", before, "rgba(128,135,144,.75)")
        + _bar("top:50%;bottom:0", after, colour)
        + '</span><span style="font-variant-numeric:tabular-nums">'
        f"{100 * before:.0f} → {100 * after:.0f} %{' ✗' if wrong else ''}</span></div>"
    )


def _bar(place: str, share: float, colour: str) -> str:
    return f'<i style="position:absolute;left:0;{place};width:{100 * share:.1f}%;background:{colour}"></i>'
