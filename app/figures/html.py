"""Small figures made of HTML, which are there before the plotting library is loaded."""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import streamlit as st

from aecore.models.entry import Entry
from app.figures import plots
from app.text import escape_markdown


def share_bars(shares: np.ndarray, alt: str, height: int = 90) -> None:
    """Shares as bars side by side, the largest at full height."""
    most = float(max(shares.max(), 1e-9))
    cells = "".join(
        f'<div title="{100 * share:.2f} %" style="flex:1;height:{max(1.0, 100 * share / most):.1f}%;'
        f'background:{plots.term_colour("elbo")};border-radius:3px 3px 0 0"></div>'
        for share in shares
    )
    st.html(
        f'<div role="img" aria-label="{html.escape(alt)}" style="display:flex;align-items:flex-end;gap:4px;'
        f'height:{height}px;border-bottom:1px solid rgba(128,135,144,.6)">{cells}</div>'
    )


def mean_and_deviation(mean: float, deviation: float, seeds: int) -> str:
    """ "0.0391 ± 0.0004"; the mean alone of one seed."""
    return f"{mean:.4f} ± {deviation:.4f}" if seeds > 1 else f"{mean:.4f}"


CODE_COLOUR = "#5f7691"  # of no term: codes are not part of the objective


def code_bars(code: np.ndarray, std: np.ndarray | None, alt: str, height: int = 300, labels: int = 10) -> None:
    """The code as bars; the posterior's standard deviation as error bars where there is one.

    labels: at most so many units are named.

    Drawn in HTML: the library for figures is 5 MB of script, which would keep the first picture waiting for 0.6 s.
    """
    spread = np.zeros_like(code) if std is None else std
    low, high = min(0.0, float((code - spread).min())), max(0.0, float((code + spread).max()))
    step = _nice_step((high - low or 1.0) / 4)
    low, high = step * math.floor(low / step), step * math.ceil(high / step or 1)

    def up(value: float) -> float:
        return 100 * (value - low) / (high - low)

    marks = [low + step * k for k in range(round((high - low) / step) + 1)]
    rules = "".join(
        f'<i style="position:absolute;left:0;right:0;bottom:{up(m):.3f}%;border-top:1px solid '
        f'rgba(128,135,144,{0.75 if abs(m) < step / 2 else 0.3})"></i>'
        f'<span style="position:absolute;right:calc(100% + .4rem);bottom:calc({up(m):.3f}% - .7em)">{m:.4g}</span>'
        for m in marks
    )
    thick, every = (2.5 if len(code) <= 32 else 1), math.ceil(len(code) / labels)

    def bar(j: int, v: float, s: float) -> str:
        place = f"left:{100 * (j + 0.12) / len(code):.3f}%;width:{76 / len(code):.3f}%"
        foot, top = up(min(v, 0.0)), up(max(v, 0.0))
        parts = [
            f'<i style="position:absolute;left:0;right:0;bottom:{foot:.3f}%;height:{top - foot:.3f}%;'
            f'background:{CODE_COLOUR}"></i>'
        ]
        if std is not None:
            parts.append(
                f'<i style="position:absolute;left:50%;bottom:{up(v - s):.3f}%;height:{up(v + s) - up(v - s):.3f}%;'
                f'border-left:{thick}px solid {plots.term_colour("kl")};margin-left:-{thick / 2}px"></i>'
            )
        if j % every == 0:
            parts.append(f'<span style="position:absolute;top:100%;left:50%;translate:-50%">z{j + 1}</span>')
        said = f"z{j + 1}: {v:.3f}" + ("" if std is None else f" ± {s:.3f}")
        return f'<div title="{said}" style="position:absolute;top:0;bottom:0;{place}">{"".join(parts)}</div>'

    bars = "".join(map(bar, range(len(code)), code.tolist(), spread.tolist()))
    st.html(
        f'<div role="img" aria-label="{html.escape(alt)}" style="position:relative;height:{height - 50}px;'
        f'margin:.8rem .5rem 2rem 3.2rem;font-size:.85rem;font-weight:400;white-space:nowrap">{rules}{bars}</div>'
    )


def _nice_step(step: float) -> float:
    """The next of 1, 2, 5 × a power of ten."""
    unit = 10.0 ** math.floor(math.log10(step))
    return next(unit * k for k in (1, 2, 5, 10) if unit * k >= 0.999 * step)


def key_figures(items: Sequence[tuple[str, str, str, str]]) -> None:
    """Figures in a row: (name, value, a few words, colour or "")."""
    cells = "".join(
        f'<div style="border-left:5px solid {colour or "rgba(128,135,144,.45)"};padding:.1rem 1.1rem .1rem .7rem">'
        f'<div style="font-size:.95rem;opacity:.85">{html.escape(name)}</div>'
        f'<div style="font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums">{html.escape(value)}</div>'
        f'<div style="font-size:.85rem;opacity:.75;max-width:17rem">{html.escape(words)}</div></div>'
        for name, value, words, colour in items
    )
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:.9rem 1.6rem;margin:.2rem 0 .6rem">{cells}</div>')


def term_figures(entry: Entry, values: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
    """The terms of an objective with their values, for `numbers`."""
    known = {value for name, value in values.items() if name in entry.terms}
    values = {name: value for name, value in values.items() if name in entry.terms or value not in known}
    rows = []
    for name, value in values.items():
        term = entry.terms.get(name)
        unit = f" {term.unit}" if term and "," not in term.unit else ""
        words = term.help if term else "what is minimised: the weighted sum of its terms"
        rows.append((name.replace("loss/", "loss of the "), f"{value:.4g}{unit}", words, plots.term_colour(name)))
    return rows


def equation(entry: Entry, params: Mapping[str, Any] | None = None) -> None:
    """The objective, each term in its colour; one line for each player.

    params: those of a run, for the values of the equation's letters, and what was chosen where it is no number.
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


def legend(terms: Mapping[str, tuple[str, str]], values: Mapping[str, tuple[str, str]] | None = None) -> None:
    """Terms in their colours with unit and meaning. values: of each in training and held-out, while one is watched."""
    cell = 'style="padding:.3rem .9rem .3rem 0;vertical-align:baseline'
    number = f'{cell};text-align:right;white-space:nowrap;font-variant-numeric:tabular-nums"'
    lines = ""
    if values is not None:
        heads = "".join(f"<td {number}>{name}</td>" for name in ("training", "held-out"))
        lines += f'<tr style="opacity:.75;font-size:.9rem"><td></td>{heads}<td></td></tr>'
    for name, (unit, help) in terms.items():
        colour = plots.term_colour(name)
        shown = values.get(name, ("", "")) if values is not None else ()
        lines += (
            f'<tr><td {cell};white-space:nowrap;font-weight:600;color:{colour}">'
            f'<span style="display:inline-block;width:.8rem;height:.8rem;border-radius:3px;margin-right:.6rem;'
            f'background:{colour}"></span>{html.escape(name)}</td>'
            + "".join(f"<td {number}>{html.escape(text)}</td>" for text in shown)
            + f'<td {cell};width:99%"><span style="opacity:.85">{html.escape(help)}</span>'
            + (f' <span style="opacity:.7;white-space:nowrap">[{html.escape(unit)}]</span>' if unit else "")
            + "</td></tr>"
        )
    st.html(f'<table style="border-collapse:collapse;font-size:1rem;line-height:1.4;margin:.2rem 0">{lines}</table>')
