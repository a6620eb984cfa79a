"""Small figures made of HTML, without the plotting library.

That library has 5 MB of script, for which the first picture of a page would wait 0.6 s.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from aecore.models.entry import Entry
from app.figures import plots
from app.text import escape_html, escape_markdown


def share_bars(shares: np.ndarray, alt: str, height: int = 90) -> None:
    """Shares as bars side by side, the largest at full height."""
    most = float(max(shares.max(), 1e-9))
    cells = "".join(
        f'<div title="{100 * share:.2f} %" style="flex:1;height:{max(1.0, 100 * share / most):.1f}%;'
        f'background:{plots.term_colour("elbo")};border-radius:3px 3px 0 0"></div>'
        for share in shares
    )
    st.html(
        f'<div role="img" aria-label="{escape_html(alt)}" style="display:flex;align-items:flex-end;gap:4px;'
        f'height:{height}px;border-bottom:1px solid rgba(128,135,144,.6)">{cells}</div>'
    )


def mean_and_deviation(mean: float, deviation: float, seeds: int) -> str:
    """A mean with its standard deviation, "0.0391 ± 0.0004"; the mean alone where there was one seed."""
    return f"{mean:.4f} ± {deviation:.4f}" if seeds > 1 else f"{mean:.4f}"


CODE_COLOUR = "#5f7691"  # of no term: codes are not part of the objective


def code_bars(code: np.ndarray, std: np.ndarray | None, alt: str, height: int = 300, labels: int = 10) -> None:
    """A code (D,) as bars; the posterior's standard deviation, where there is one, as error bars.

    alt: what it shows, for screen readers.  labels: how many latent dimensions are named at most.
    """
    spread = np.zeros_like(code) if std is None else std
    low, high = min(0.0, float((code - spread).min())), max(0.0, float((code + spread).max()))
    step = _nice_step((high - low or 1.0) / 4)
    low, high = step * math.floor(low / step), step * math.ceil(high / step or 1)

    def percent(value: float) -> float:
        """How far up a value stands."""
        return 100 * (value - low) / (high - low)

    marks = [low + step * k for k in range(round((high - low) / step) + 1)]
    rules = "".join(_rule(mark, percent(mark), abs(mark) < step / 2) for mark in marks)
    every = math.ceil(len(code) / labels)
    bars = "".join(
        _bar(j, value, None if std is None else deviation, len(code), j % every == 0, percent)
        for j, (value, deviation) in enumerate(zip(code.tolist(), spread.tolist(), strict=True))
    )
    st.html(
        f'<div role="img" aria-label="{escape_html(alt)}" style="position:relative;height:{height - 50}px;'
        f'margin:.8rem .5rem 2rem 3.2rem;font-size:.85rem;font-weight:400;white-space:nowrap">{rules}{bars}</div>'
    )


def _rule(value: float, up: float, zero: bool) -> str:
    """A horizontal line with its value, `up` per cent above the bottom; stronger at zero."""
    return (
        f'<i style="position:absolute;left:0;right:0;bottom:{up:.3f}%;border-top:1px solid '
        f'rgba(128,135,144,{0.75 if zero else 0.3})"></i>'
        f'<span style="position:absolute;right:calc(100% + .4rem);bottom:calc({up:.3f}% - .7em)">{value:.4g}</span>'
    )


def _bar(j: int, value: float, std: float | None, count: int, named: bool, percent: Callable[[float], float]) -> str:
    """The bar of dimension j of `count`, with its error bar and its name.  percent: how far up a value stands."""
    place = f"left:{100 * (j + 0.12) / count:.3f}%;width:{76 / count:.3f}%"
    foot, top = percent(min(value, 0.0)), percent(max(value, 0.0))
    parts = [
        f'<i style="position:absolute;left:0;right:0;bottom:{foot:.3f}%;height:{top - foot:.3f}%;'
        f'background:{CODE_COLOUR}"></i>'
    ]
    if std is not None:
        thick, low, high = (2.5 if count <= 32 else 1), percent(value - std), percent(value + std)
        parts.append(
            f'<i style="position:absolute;left:50%;bottom:{low:.3f}%;height:{high - low:.3f}%;'
            f'border-left:{thick}px solid {plots.term_colour("kl")};margin-left:-{thick / 2}px"></i>'
        )
    if named:
        parts.append(f'<span style="position:absolute;top:100%;left:50%;translate:-50%">z{j + 1}</span>')
    title = f"z{j + 1}: {value:.3f}" + ("" if std is None else f" ± {std:.3f}")
    return f'<div title="{title}" style="position:absolute;top:0;bottom:0;{place}">{"".join(parts)}</div>'


def _nice_step(step: float) -> float:
    """The smallest of 1, 2 or 5 times a power of ten that is at least `step`."""
    unit = 10.0 ** math.floor(math.log10(step))
    return next(unit * k for k in (1, 2, 5, 10) if unit * k >= 0.999 * step)


KeyFigure = tuple[str, str, str, str]
"""A number to be shown large: (name, value, explanation, colour or "")."""


def key_figures(items: Sequence[KeyFigure]) -> None:
    """Numbers in a row."""
    cells = "".join(
        f'<div style="border-left:5px solid {colour or "rgba(128,135,144,.45)"};padding:.1rem 1.1rem .1rem .7rem">'
        f'<div style="font-size:.95rem;opacity:.85">{escape_html(name)}</div>'
        f'<div style="font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums">{escape_html(value)}</div>'
        f'<div style="font-size:.85rem;opacity:.75;max-width:17rem">{escape_html(explanation)}</div></div>'
        for name, value, explanation, colour in items
    )
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:.9rem 1.6rem;margin:.2rem 0 .6rem">{cells}</div>')


def term_figures(entry: Entry, values: Mapping[str, float]) -> list[KeyFigure]:
    """The terms of an objective with their values, for `key_figures`.

    A loss that has the same value as one of its terms is left out.
    """
    known = {value for name, value in values.items() if name in entry.terms}
    values = {name: value for name, value in values.items() if name in entry.terms or value not in known}
    rows = []
    for name, value in values.items():
        term = entry.terms.get(name)
        unit = f" {term.unit}" if term and "," not in term.unit else ""
        explanation = term.help if term else "what is minimised: the weighted sum of its terms"
        rows.append((name.replace("loss/", "loss of the "), f"{value:.4g}{unit}", explanation, plots.term_colour(name)))
    return rows


def equation(entry: Entry, params: Mapping[str, Any] | None = None) -> None:
    """The objective, each term in its colour; one line for each player.

    params: the parameters of a run. The values of the equation's letters are then shown below it, and so are choices
    that are no numbers.
    """
    lines = plots.equation(entry.equation).split(r",\quad")
    known = entry.check(params) if params is not None else {}  # an older run may lack a parameter that came later
    letters = {name: entry.params[name] for name in known if entry.params[name].symbol in entry.equation}
    values = [
        rf"{param.symbol} = {known[name]:g}"
        for name, param in letters.items()
        if param.symbol.startswith("\\") and param.type in (int, float)
    ]
    lines += [r",\qquad ".join(values)] if values else []
    st.latex(lines[0] if len(lines) == 1 else r"\begin{gathered}" + r" \\[.4em] ".join(lines) + r"\end{gathered}")
    for name, param in letters.items():
        if param.symbol and param.choices:
            st.caption(f"${param.symbol}$ is **{escape_markdown(str(known[name]))}**: {escape_markdown(param.help)}")


CELL = 'style="padding:.3rem .9rem .3rem 0;vertical-align:baseline'
NUMBER = f'{CELL};text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"'
"""Attributes of cells; that of CELL is left open."""


def legend(terms: Mapping[str, tuple[str, str]], values: Mapping[str, tuple[str, str]] | None = None) -> None:
    """Terms in their colours with (unit, meaning).  values: of each term in training and held-out, or None."""
    lines = ""
    if values is not None:
        heads = "".join(f"<td {NUMBER}>{name}</td>" for name in ("training", "held-out"))
        lines += f'<tr style="opacity:.75;font-size:.9rem"><td></td>{heads}<td></td></tr>'
    for name, (unit, meaning) in terms.items():
        numbers = values.get(name, ("", "")) if values is not None else ()
        lines += _legend_row(name, numbers, meaning, unit)
    st.html(f'<table style="border-collapse:collapse;font-size:1rem;line-height:1.4;margin:.2rem 0">{lines}</table>')


def _legend_row(name: str, numbers: Sequence[str], meaning: str, unit: str) -> str:
    """A term's colour and name, its numbers, its meaning and its unit, as a row of a table."""
    colour = plots.term_colour(name)
    return (
        f'<tr><td {CELL};white-space:nowrap;font-weight:600;color:{colour}">'
        f'<span style="display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.6rem;'
        f'background:{colour}"></span>{escape_html(name)}</td>'
        + "".join(f"<td {NUMBER}>{escape_html(number)}</td>" for number in numbers)
        + f'<td {CELL};width:99%"><span style="opacity:.85">{escape_html(meaning)}</span>'
        + (f' <span style="opacity:.7;white-space:nowrap">[{escape_html(unit)}]</span>' if unit else "")
        + "</td></tr>"
    )
