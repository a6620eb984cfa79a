"""Arrays to pictures: Plotly figures and image sheets with one look, and one colour per loss term.

This module and `app.figures.html` hold the figures that several pages share. The colour of a term is the same in
curves, in equations and on the pages. Its lightness is medium, at least 3 : 1 against both backgrounds, so that one
colour serves the light and the dark theme.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st
from PIL import Image
from plotly.subplots import make_subplots

from app.text import escape_html

TERM_COLOURS: dict[str, str] = {
    "loss": "#7a7f87",
    "recon": "#2f7de1",
    "kl": "#d9631e",
    "adv": "#b453c9",
    "critic": "#8a63e8",
    "penalty": "#1f9a6d",
    "elbo": "#5b8a00",
    "mmd": "#8d8a1b",
    "tc": "#d6457a",
    "mi": "#0f93a8",
    "dw_kl": "#a86b4a",
    "commitment": "#c2473d",
}
"""Colour of each term, by the last part of its name: "autoencoder/recon" is a "recon"."""

_SAME_COLOUR = {
    "distortion": "recon",
    "bce": "recon",
    "mse": "recon",
    "nll": "recon",
    "rate": "kl",
    "sparse_kl": "kl",
    "generator": "adv",
    "discriminator": "critic",
    "codebook": "mi",
    "code": "mi",
    "cycle": "recon",
    "reading": "penalty",
    "told": "mmd",
    "features": "mmd",
    "gain": "elbo",
    "hidden": "adv",
    "stage": "mmd",
    "centre": "tc",
    "cluster": "tc",
    "kl_w": "dw_kl",
    "kl_c": "tc",
    "gradient_penalty": "penalty",
    "jacobian": "penalty",
    "slope": "penalty",
    "sparsity": "penalty",
    "wasserstein": "mmd",
}
"""Term → the term of TERM_COLOURS whose colour it has."""
_SPARE = ("#4f8f2f", "#3d8bb5", "#c0528f", "#9a7d1c", "#6a78d1", "#b3603f", "#2a9593", "#a05fb4")
"""For terms that are not known."""

CLASS_COLOURS: tuple[str, ...] = (
    "#1b37ac",
    "#ca8124",
    "#2d795b",
    "#fe768c",
    "#8f65f6",
    "#a04802",
    "#9f5aa1",
    "#4c4746",
    "#c9be39",
    "#15b9da",
)
CLASS_COLOURS_DARK: tuple[str, ...] = (
    "#4ea3f8",
    "#f0b776",
    "#73ffe0",
    "#c6292e",
    "#7e66fc",
    "#d67742",
    "#bd85ac",
    "#6f6f6f",
    "#e8ef5b",
    "#9aceec",
)
"""Colours of the labels 0, 1, … on white and on dark, the same hues in the same order. The two closest colours are as
far apart as they can be, for readers with three kinds of cones and with two. The theme holds the same lists."""

INK = "#808790"
"""Colour of lines that belong to no curve, readable on both backgrounds."""
DOTTED = {"dash": "dot", "color": INK}
"""A line across a figure that marks a value."""

FONT_SIZE = 17


def term_colour(term: str) -> str:
    """The colour of a loss term. That of an unknown term depends on its name alone.

    "critic/loss" and "autoencoder/loss" are losses of players; the loss of a player has the player's colour if there is
    one, else the colour of a loss.
    """
    player, _, name = term.rpartition("/")
    name = name.lower()
    if name == "loss" and player in TERM_COLOURS:
        name = player
    name = _SAME_COLOUR.get(name, name)
    if name in TERM_COLOURS:
        return TERM_COLOURS[name]
    for known in sorted(TERM_COLOURS, key=len, reverse=True):
        if known in re.split(r"[_\W]+", name):
            return TERM_COLOURS[known]
    return _SPARE[sum(i * ord(letter) for i, letter in enumerate(name, 1)) % len(_SPARE)]


def layout(figure: go.Figure, height: int = 360, **more: Any) -> go.Figure:
    """Give a figure our look: transparent, with a faint grid and large type. Changes and returns `figure`.

    The colour of text is left to Streamlit's theme (`theme="streamlit"`), which is light or dark.
    """
    figure.update_layout(
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"size": FONT_SIZE},
        margin={"l": 8, "r": 12, "t": 44, "b": 8},
        hoverlabel={"font": {"size": FONT_SIZE}},
        legend={"orientation": "h", "y": 1.0, "yanchor": "bottom", "x": 0, "font": {"size": FONT_SIZE}},
        hovermode="x unified",
        **more,
    )
    axis = {"automargin": True, "zeroline": False, "tickfont": {"size": 16}, "title": {"font": {"size": FONT_SIZE}}}
    figure.update_xaxes(showgrid=False, ticks="outside", ticklen=4, **axis)
    figure.update_yaxes(gridcolor="rgba(128,135,144,0.22)", **axis)
    figure.update_annotations(font={"size": 18})
    return figure


LINES = ("#2f7de1", "#d9631e", "#1f9a6d", "#b453c9", "#8d8a1b", "#0f93a8", "#d6457a")
"""Colours of models side by side in one figure. None of them stands for a term of an objective."""


def empty_figure(height: int = 380, x: str = "", y: str = "") -> go.Figure:
    """An empty figure in our look."""
    figure = layout(go.Figure(), height)
    figure.update_xaxes(title=x)
    figure.update_yaxes(title=y)
    return figure


def empty_panels(titles: Sequence[str], height: int = 300) -> go.Figure:
    """Empty figures side by side in our look, with one scale upwards."""
    panels = make_subplots(1, len(titles), subplot_titles=list(titles), shared_yaxes=True, horizontal_spacing=0.02)
    return layout(panels, height)


def model_lines(
    x: Sequence[float] | np.ndarray,
    curves: Mapping[str, Sequence[float] | np.ndarray],
    titles: tuple[str, str],
    height: int = 380,
    hover: str = "%{y:.4f}",
    mode: str = "lines+markers",
    marker_size: int = 6,
) -> go.Figure:
    """A line for each model or method, in the colours of LINES.

    Arguments:
        x: positions; a curve with fewer values takes the first of them.
        curves: name → values.
        titles: of the two axes.
        hover: what the pointer shows of a value, a template of Plotly's.
        mode: "lines" or "lines+markers".
    """
    figure = empty_figure(height, *titles)
    for (name, values), colour in zip(curves.items(), LINES, strict=False):
        figure.add_scatter(
            x=x[: len(values)],
            y=values,
            name=name,
            mode=mode,
            line={"color": colour, "width": 3},
            marker={"size": marker_size},
            hovertemplate=hover,
        )
    return figure


def show_figure(figure: go.Figure, key: str, alt: str) -> None:
    """A figure on the page.  alt: what it shows, for screen readers."""
    st.plotly_chart(figure, key=key, config=CONFIG, alt=alt)


CONFIG: dict[str, Any] = {
    "displaylogo": False,
    "modeBarButtonsToRemove": [
        "zoom2d",
        "pan2d",
        "select2d",
        "lasso2d",
        "zoomIn2d",
        "zoomOut2d",
        "autoScale2d",
        "resetScale2d",
    ],
    "toImageButtonOptions": {"format": "svg"},
}
"""The one button that stays saves the figure as SVG."""


def matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: str,
    low: float,
    high: float,
    height: int = 380,
) -> go.Figure:
    """A matrix (rows, columns) as coloured squares, the first row on top."""
    figure = empty_figure(height)
    figure.add_heatmap(
        z=values,
        x=list(columns),
        y=list(rows),
        colorscale=colours,
        zmin=low,
        zmax=high,
        colorbar={"thickness": 12, "len": 0.9},
    )
    figure.update_layout(hovermode="closest")
    figure.update_yaxes(autorange="reversed", showgrid=False, type="category")
    figure.update_xaxes(type="category")
    return figure


Series = tuple[list[float], list[float]]
"""The positions and the values of the points of a line."""


def curves(
    rows: Iterable[Mapping[str, Any]],
    terms: Sequence[str] | None = None,
    labels: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    *,
    x: str = "step",
    held_out: str = "test/",
    columns: int | None = None,
    height: int | None = None,
    smooth: float = 0.0,
) -> go.Figure:
    """Every term of the loss as its own curve: training a line, held-out dashed with markers.

    Arguments:
        rows: records such as {"step": 10, "epoch": 1, "recon": 91.0, "test/recon": 93.5}; a row may hold any part of
            them. A missing value or NaN leaves no gap: only the rows that have a number count.
        terms: names to draw, in order; by default every numeric entry that is not a counter, `loss` first.
        labels: term -> name shown; by default the term.
        units: term -> unit, for instance "nats"; shown on the axis.
        x: the shared horizontal axis, "step" or "epoch".
        held_out: prefix of the held-out value of a term.
        columns: small multiples in a row; by default one figure if all terms have a common scale (within a factor 20
            and one unit), else up to three in a row.
        height: of the figure in pixels; by default from the number of small multiples.
        smooth: weight of the past in an exponential average of the training curve, 0 (none) to below 1.

    Returns: a figure; with no rows an empty one that says so.
    """
    rows = [dict(row) for row in rows]
    labels, units = labels or {}, units or {}
    terms = _terms_of(rows, x, held_out) if terms is None else terms
    pairs = {term: (_series(rows, x, term, smooth), _series(rows, x, f"{held_out}{term}", 0.0)) for term in terms}
    pairs = {term: pair for term, pair in pairs.items() if pair[0][0] or pair[1][0]}
    if not pairs:
        return _no_numbers(height or 240)
    names = {term: labels.get(term, term) for term in pairs}
    together = columns is None and _one_scale(pairs, units)
    columns = 1 if together else columns or min(3, len(pairs))
    figure = make_subplots(1, 1) if together else _panels(names, units, columns)
    for place, (term, (train, held)) in enumerate(pairs.items()):
        row, column = (1, 1) if together else (place // columns + 1, place % columns + 1)
        unit = units.get(term, "")
        for line in _lines_of(term, names[term], unit, train, held, together):
            figure.add_trace(line, row, column)
        if together:
            figure.update_yaxes(title_text=unit)
        elif limits := _range_without_start(train, held):
            figure.update_yaxes(range=limits, row=row, col=column)
    last_row = 1 if together else math.ceil(len(pairs) / columns)
    layout(figure, height or (400 if together else 60 + 260 * last_row))
    figure.update_xaxes(title_text=x, row=last_row)
    if not together:
        figure.update_layout(margin={"t": 48}, hovermode="x")
    return figure


def _terms_of(rows: Sequence[Mapping[str, Any]], x: str, held_out: str) -> list[str]:
    """All entries of the rows that are numbers and no counters, `loss` first."""
    counters = {x, "step", "epoch", "time", "seconds", "lr"}
    numbers = {name.removeprefix(held_out) for row in rows for name, value in row.items() if _number(value) is not None}
    return sorted(numbers - counters, key=lambda term: (term != "loss", term))


def _no_numbers(height: int) -> go.Figure:
    """A figure that says that there is nothing to draw yet."""
    figure = layout(go.Figure(), height)
    figure.add_annotation(
        text="No numbers yet", showarrow=False, font={"size": 20}, xref="paper", yref="paper", x=0.5, y=0.5
    )
    return figure.update_xaxes(visible=False).update_yaxes(visible=False)


def _panels(names: Mapping[str, str], units: Mapping[str, str], columns: int) -> go.Figure:
    """Empty small multiples, one for each term, with the names of the terms in their colours."""
    lines = math.ceil(len(names) / columns)
    titles = [
        f'<b style="color:{term_colour(term)}">{escape_html(name)}</b>'
        + (f", {units[term]}" if units.get(term) else "")
        for term, name in names.items()
    ]
    return make_subplots(
        lines, columns, shared_xaxes=True, subplot_titles=titles, vertical_spacing=0.16 / lines, horizontal_spacing=0.09
    )


def _lines_of(term: str, name: str, unit: str, train: Series, held: Series, legend: bool) -> list[go.Scatter]:
    """The training curve of a term, and the held-out one dashed; a curve without points is left out."""
    colour, hover = term_colour(term), f"%{{y:.4g}} {unit}<extra>{name}"
    lines = []
    if train[0]:
        lines.append(
            go.Scatter(
                x=train[0],
                y=train[1],
                name=name,
                legendgroup=term,
                mode="lines" if len(train[0]) > 1 else "markers",
                line={"color": colour, "width": 3},
                showlegend=legend,
                hovertemplate=f"{hover}</extra>",
            )
        )
    if held[0]:
        lines.append(
            go.Scatter(
                x=held[0],
                y=held[1],
                name=f"{name}, held-out",
                legendgroup=term,
                mode="lines+markers",
                line={"color": colour, "width": 2, "dash": "dash"},
                showlegend=legend,
                marker={"size": 9, "symbol": "circle-open", "line": {"width": 2}},
                hovertemplate=f"{hover}, held-out</extra>",
            )
        )
    return lines


def _number(value: Any) -> float | None:
    """A finite number as a float; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    return float(value) if math.isfinite(value) else None


def _series(rows: Sequence[Mapping[str, Any]], x: str, name: str, smooth: float) -> Series:
    """The points of one entry of the rows. Values are averaged exponentially; `smooth` is the weight of the past."""
    xs: list[float] = []
    ys: list[float] = []
    for row in rows:
        position, value = _number(row.get(x)), _number(row.get(name))
        if position is not None and value is not None:
            xs.append(position)
            ys.append(smooth * ys[-1] + (1 - smooth) * value if ys else value)
    return xs, ys


def _range_without_start(train: Series, held: Series) -> list[float] | None:
    """A vertical range that leaves out the first hundredth of a run, if its values dwarf all later ones; else None.

    A double click on the figure shows everything.
    """
    points = [*zip(*train, strict=True), *zip(*held, strict=True)]
    end = max((x for x, _ in points), default=0.0)
    late = [y for x, y in points if x > 0.01 * end]
    if not late or len(late) == len(points):
        return None
    low, high, top = min(late), max(late), max(y for _, y in points)
    margin = 0.06 * (high - low) or 1.0
    return [low - margin, high + margin] if top - low > 1.5 * (high - low) else None


def _one_scale(pairs: Mapping[str, tuple[Series, Series]], units: Mapping[str, str]) -> bool:
    """Whether all terms have one unit, and largest values within a factor of 20."""
    sizes = [max((abs(value) for series in pair for value in series[1]), default=0.0) for pair in pairs.values()]
    sizes = [size for size in sizes if size > 0]
    same_unit = len({units.get(term, "") for term in pairs}) <= 1
    return len(pairs) == 1 or (same_unit and (not sizes or max(sizes) <= 20 * min(sizes)))


def pixels(images: Any) -> np.ndarray:
    """Images as uint8 (N, H, W) or (N, H, W, 3).

    Takes float in [0, 1] of shape (N, C, H, W), C = 1 or 3 (values outside are clipped, NaN is black), or uint8 of
    (N, H, W), (N, H, W, C) or (N, C, H, W); numpy or a torch tensor on the CPU.
    """
    if hasattr(images, "detach"):
        images = images.detach().cpu().float().numpy() if images.is_floating_point() else images.cpu().numpy()
    images = np.asarray(images)
    channels_first = images.dtype != np.uint8 or (images.ndim == 4 and images.shape[-1] not in (1, 3))
    if images.dtype != np.uint8:
        images = np.rint(np.clip(np.nan_to_num(images.astype(np.float32)), 0, 1) * 255).astype(np.uint8)
    if images.ndim == 4 and channels_first and images.shape[1] in (1, 3):
        images = images.transpose(0, 2, 3, 1)
    if images.ndim == 4 and images.shape[-1] == 1:
        images = images[..., 0]
    if images.ndim == 3 or (images.ndim == 4 and images.shape[-1] == 3):
        return images
    raise ValueError(f"images must have shape (N, C, H, W) with 1 or 3 channels, not {images.shape}")


def grid(
    images: Any,
    columns: int | None = None,
    gap: int = 2,
    scale: int = 1,
    colour_map: np.ndarray | None = None,
    background: int | tuple[int, int, int] | None = None,
) -> np.ndarray:
    """A contact sheet: image k in row k // columns, column k % columns.

    Arguments:
        images: see `pixels`.
        columns: by default close to a square.
        gap: pixels between images, before scaling.
        scale: whole number; every pixel becomes scale x scale (no smoothing).
        colour_map: (256, 3) uint8 for grey images, or None.
        background: of the gaps; None makes them transparent (the result then has four channels).

    Returns: uint8 (H, W, 4) with transparent gaps, or (H, W, 3) with a background.
    """
    tiles = pixels(images)
    n, h, w = tiles.shape[:3]
    if n == 0:
        raise ValueError("a sheet needs at least one image")
    columns = max(1, min(n, columns or math.ceil(math.sqrt(n))))
    rows = math.ceil(n / columns)
    if tiles.ndim == 3:
        tiles = np.repeat(tiles[..., None], 3, -1) if colour_map is None else np.asarray(colour_map, np.uint8)[tiles]
    sheet = np.zeros((rows * (h + gap) - gap, columns * (w + gap) - gap, 4), np.uint8)
    if background is not None:
        sheet[..., :3], sheet[..., 3] = background, 255
    for k, tile in enumerate(tiles):
        top, left = (k // columns) * (h + gap), (k % columns) * (w + gap)
        sheet[top : top + h, left : left + w, :3] = tile
        sheet[top : top + h, left : left + w, 3] = 255
    sheet = sheet.repeat(scale, 0).repeat(scale, 1) if scale > 1 else sheet
    return sheet if background is None else sheet[..., :3]


def difference(a: Any, b: Any, full: float = 0.5) -> np.ndarray:
    """Where `b` is brighter than `a` (red) or darker (blue), on a fixed scale, so that pictures can be compared.

    Arguments:
        a, b: images of one shape, see `pixels`; colour is compared by its mean over the channels.
        full: the difference, as a part of the whole range, that gets the full colour.

    Returns: uint8 (N, H, W, 3); no difference is light grey (242, 242, 242).
    """
    a, b = pixels(a).astype(np.float32), pixels(b).astype(np.float32)
    if a.shape != b.shape:
        raise ValueError(f"images of one shape are needed, not {a.shape} and {b.shape}")
    change = (b - a) / 255
    change = change.mean(-1) if change.ndim == 4 else change
    return _red_and_blue(np.clip(change / full, -1, 1))


def signed(weights: np.ndarray) -> np.ndarray:
    """Weights (N, C, H, W) from −1 to 1 as pictures (N, H, W, 3): red above 0, blue below; means over the channels."""
    return _red_and_blue(weights.mean(1))


def _red_and_blue(values: np.ndarray) -> np.ndarray:
    """Values (N, H, W) from −1 to 1 as uint8 (N, H, W, 3): blue at −1, light grey at 0, red at 1."""
    part = values[..., None]
    middle, red, blue = (np.array(c, np.float32) for c in ((242, 242, 242), (178, 24, 43), (33, 102, 172)))
    return np.rint(middle + np.where(part > 0, part * (red - middle), -part * (blue - middle))).astype(np.uint8)


_TERM = re.compile(r"\\term\{([^{}]*)\}\{")


def equation(latex: str, colours: Mapping[str, str] | None = None) -> str:
    r"""LaTeX for `st.latex` with each marked term in its colour.

    `\term{kl}{D_\mathrm{KL}(q \| p)}` becomes `\textcolor{#d9631e}{D_\mathrm{KL}(q \| p)}`; terms may be nested, and
    everything else stays as it is. Raises ValueError if a term's brace is never closed.

    Arguments:
        latex: the equation.
        colours: term -> "#rrggbb", in place of `term_colour`.
    """
    out, rest = "", latex
    while start := _TERM.search(rest):
        name, depth, i = start.group(1), 1, start.end()
        while depth:
            if i >= len(rest):
                raise ValueError(f"the brace of \\term{{{name}}} is never closed in {latex!r}")
            if rest[i] == "\\":
                i += 1
            elif rest[i] in "{}":
                depth += 1 if rest[i] == "{" else -1
            i += 1
        inner = equation(rest[start.end() : i - 1], colours)
        colour = (colours or {}).get(name) or term_colour(name)
        out += f"{rest[: start.start()]}\\textcolor{{{colour}}}{{{inner}}}"
        rest = rest[i:]
    return out + rest


def png(array: np.ndarray) -> bytes:
    """A uint8 picture (H, W), (H, W, 3) or (H, W, 4) as a PNG file."""
    out = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(array)).save(out, "PNG", compress_level=3)
    return out.getvalue()


def gif(frames: Sequence[np.ndarray], fps: float = 12, there_and_back: bool = False) -> bytes:
    """Uint8 pictures of one size as an endless GIF.  there_and_back: it then runs backwards, and begins again."""
    stills = [Image.fromarray(np.ascontiguousarray(frame)).convert("RGB") for frame in frames]
    if not stills:
        raise ValueError("a film needs at least one frame")
    stills += stills[-2:0:-1] if there_and_back else []
    out = io.BytesIO()
    stills[0].save(out, "GIF", save_all=True, append_images=stills[1:], duration=round(1000 / fps), loop=0)
    return out.getvalue()


LETTERS = {"λ": r"\lambda", "β": r"\beta", "σ": r"\sigma", "p": "p", "c": "c", "d": "d"}
"""Symbol of what a sweep varies → LaTeX."""


def enlarge(image: np.ndarray, side: int = 480) -> np.ndarray:
    """A small picture whose longest side is about `side`: each pixel becomes a square, so that no browser blurs it."""
    scale = max(1, round(side / max(image.shape[:2])))
    return image.repeat(scale, 0).repeat(scale, 1)


def rgb(tiles: np.ndarray) -> np.ndarray:
    """Pictures with three channels, (N, H, W, 3)."""
    return tiles if tiles.ndim == 4 else np.repeat(tiles[..., None], 3, -1)


def contact_sheet(tiles: np.ndarray, columns: int | None = None, side: int = 1200) -> np.ndarray:
    """Tiles as one large contact sheet with transparent gaps."""
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    return grid(tiles, columns, gap=2, scale=max(1, round(side / (columns * (tiles.shape[2] + 2)))))


def strip_sheet(tiles: np.ndarray) -> np.ndarray:
    """A traversal (U, S, H, W[, 3]) as one picture, a row for each latent dimension."""
    return contact_sheet(tiles.reshape(-1, *tiles.shape[2:]), tiles.shape[1], 2000)


def film_frame(tiles: np.ndarray, side: int = 480) -> np.ndarray:
    """Tiles as one frame of a film, on white."""
    columns = math.ceil(math.sqrt(len(tiles)))
    return grid(tiles, columns, 2, max(1, round(side / (columns * tiles.shape[2]))), background=(255, 255, 255))


def duration(seconds: float) -> str:
    """A time in words: "12 s", "3 min", "2 h 5 min"."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    hours, minutes = divmod(round(seconds / 60), 60)
    return f"{hours} h {minutes} min" if hours < 10 else f"{hours} h"
