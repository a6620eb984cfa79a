"""What the pages that look into a model have in common: how they open, and how pictures and numbers are shown."""

from __future__ import annotations

import html
import io
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Literal

import numpy as np
import streamlit as st

from aecore import Run
from aecore.distributions import StandardNormal
from aecore.entry import Entry
from aecore.runs import PRETRAINED
from app import plots, shelf

LINKED: dict[str, Any] = {"bind": "query-params", "persist_state": "session"}
"""Arguments of a widget whose value stands in the link."""
LETTERS = {"λ": r"\lambda", "β": r"\beta", "σ": r"\sigma", "p": "p", "c": "c", "d": "d"}
"""Letters of sweeps in LaTeX."""
CODE_COLOUR = "#5f7691"  # of no term: codes are not part of the objective
VERBS = {"encode": "no encoder", "decode": "no decoder", "sample": "no prior to draw from"}


def opening(title: str, idea: str, *needs: str, attributes: bool = False) -> Run:
    """Title, one sentence, the box to choose the run, its link; the model and the data are loaded when this returns.

    needs: abilities, "sample|decode" for one of two; a run that lacks one, or is not about images, is named and the
    page stops.
    attributes: only runs whose data have attributes.
    """
    words, box = st.columns([3, 2], vertical_alignment="bottom")
    with words:
        st.title(title, anchor=False)
        st.markdown(idea)
    with box:
        run = shelf.choose(needs[0], attributes=attributes)
        shelf.share()
    for ability in needs:
        if run.entry.abilities.isdisjoint(ability.split("|")):
            st.info(f"{run.info.title} has {VERBS[ability]}. Choose another autoencoder above.", icon=":material/info:")
            st.stop()
    if len(run.info.shape) != 3:
        st.info(f"{run.info.title} was trained on rows of numbers, which this page cannot draw. Choose one of images.")
        st.stop()
    shelf.model(run)
    data = shelf.data(run)
    if run.info.shown:
        st.caption(f"Trained on {shelf.data_title(run.info.data)}; shown here on {plain(data.title)}.")
    return run


def option(label: str, options: Sequence, key: str, default: Any = None, **more: Any) -> Any:
    """One of a few, side by side; the link says it in the words of the page. By default the first."""
    default = options[0] if default is None else default
    return st.segmented_control(label, options, default=default, required=True, key=key, **LINKED, **more)


def number(label: str, most: int, key: str, least: int = 0, **more: Any) -> int:
    """A whole number from `least` (its default) to `most`."""
    return int(st.number_input(label, least, most, key=key, **LINKED, **more))


def model(run: Run):
    return shelf.model(run)


def split(run: Run):
    """The held-out images of a run's data."""
    return shelf.data(run).test


def training(run: Run):
    return shelf.data(run).train


def gaussian(run: Run) -> bool:
    """Whether codes are drawn from N(0, I), or pretend to be."""
    return isinstance(getattr(model(run), "prior", None), StandardNormal)


def classes(run: Run) -> list[str]:
    """The names of the labels, as far as the held-out images have any."""
    data = shelf.data(run)
    if data.test.labels is None or not len(data.test.labels):
        return []
    return [str(name) for name in data.classes or range(int(data.test.labels.max()) + 1)]


def label_of(run: Run, example: int, half: str = "test") -> str:
    """The class of an image in words, or ""."""
    labels, names = getattr(shelf.data(run), half).labels, classes(run)
    return names[int(labels[example])] if names and labels is not None else ""


def titled(run: Run, example: int, half: str = "test") -> str:
    """ "image 12, “7”" """
    label = label_of(run, example, half)
    return f"image {example}" + (f", “{label}”" if label else "")


def enlarge(image: np.ndarray, side: int = 480) -> np.ndarray:
    """A small picture with every pixel made a square, so that the browser has nothing to blur."""
    scale = max(1, round(side / max(image.shape[:2])))
    return image.repeat(scale, 0).repeat(scale, 1)


def picture(image: np.ndarray, caption: str, alt: str, width: int | Literal["stretch"] = "stretch") -> None:
    """One picture, sharp and as wide as its place. image: uint8 (H, W[, 3]).  caption: Markdown."""
    st.image(enlarge(image), caption=caption, alt=alt, width=width, output_format="PNG")


def plain(text: str) -> str:
    """Text with Markdown's signs taken literally: class and file names come from people."""
    return re.sub(r"([\\`*_{}\[\]<>#+!|~$:])", r"\\\1", text)


def rgb(tiles: np.ndarray) -> np.ndarray:
    """Pictures with three channels, (N, H, W, 3)."""
    return tiles if tiles.ndim == 4 else np.repeat(tiles[..., None], 3, -1)


def sheet(tiles: np.ndarray, columns: int | None = None, side: int = 1200) -> np.ndarray:
    """Tiles as one large contact sheet with transparent gaps."""
    columns = columns or math.ceil(math.sqrt(len(tiles)))
    return plots.grid(tiles, columns, gap=2, scale=max(1, round(side / (columns * (tiles.shape[2] + 2)))))


def strip_sheet(tiles: np.ndarray) -> np.ndarray:
    """A traversal (U, S, H, W[, 3]) as one picture: a row per unit."""
    return sheet(tiles.reshape(-1, *tiles.shape[2:]), tiles.shape[1], 2000)


def still(tiles: np.ndarray, side: int = 480) -> np.ndarray:
    """Tiles as one frame of a film, on white."""
    columns = math.ceil(math.sqrt(len(tiles)))
    return plots.grid(tiles, columns, 2, max(1, round(side / (columns * tiles.shape[2]))), background=(255, 255, 255))


def code_bars(code: np.ndarray, std: np.ndarray | None, alt: str, height: int = 300, labels: int = 10) -> None:
    """The code as bars; the posterior's standard deviation as error bars where there is one.

    labels: at most so many units are named.

    Drawn in HTML: the library for figures is 5 MB of script, which would keep the first picture waiting for 0.6 s.
    """
    spread = np.zeros_like(code) if std is None else std
    low, high = min(0.0, float((code - spread).min())), max(0.0, float((code + spread).max()))
    step = _nice((high - low or 1.0) / 4)
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


def _nice(step: float) -> float:
    """The next of 1, 2, 5 × a power of ten."""
    unit = 10.0 ** math.floor(math.log10(step))
    return next(unit * k for k in (1, 2, 5, 10) if unit * k >= 0.999 * step)


def numbers(items: Sequence[tuple[str, str, str, str]]) -> None:
    """Figures in a row: (name, value, a few words, colour or "")."""
    cells = "".join(
        f'<div style="border-left:5px solid {colour or "rgba(128,135,144,.45)"};padding:.1rem 1.1rem .1rem .7rem">'
        f'<div style="font-size:.95rem;opacity:.85">{html.escape(name)}</div>'
        f'<div style="font-size:1.5rem;font-weight:650;font-variant-numeric:tabular-nums">{html.escape(value)}</div>'
        f'<div style="font-size:.85rem;opacity:.75;max-width:17rem">{html.escape(words)}</div></div>'
        for name, value, words, colour in items
    )
    st.html(f'<div style="display:flex;flex-wrap:wrap;gap:.9rem 1.6rem;margin:.2rem 0 .6rem">{cells}</div>')


def terms(entry: Entry, values: Mapping[str, float]) -> list[tuple[str, str, str, str]]:
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


def npz(**arrays: np.ndarray) -> bytes:
    out = io.BytesIO()
    np.savez_compressed(out, allow_pickle=False, **arrays)
    return out.getvalue()


def download(label: str, make: Callable[[], bytes | str] | bytes | str, file: str, mime: str, key: str) -> None:
    """A file that is made when it is asked for, without a rerun."""
    st.download_button(label, make, file, mime, key=key, on_click="ignore", icon=":material/download:")


def place_of(run: Run) -> str:
    """Where a run lies, for lines that open it from the project's folder."""
    return str(run.path.resolve().relative_to(PRETRAINED.parent)) if run.pretrained else f"runs/{run.info.id}"


def python(run: Run, lines: str, key: str) -> None:
    """The lines that compute a view, with `run` opened first, as a file to take home."""
    place = place_of(run)
    text = f'import numpy as np\n\nimport aecore\n\nrun = aecore.load("{place}")\n{lines.strip()}\n'
    download("Python", text, f"{run.info.id}.py", "text/x-python", key)


def table(header: Sequence[str], *columns: Iterable) -> str:
    """CSV text; a text cell that a spreadsheet would take for a formula starts with an apostrophe."""
    lines = [",".join(header)]
    for row in zip(*columns, strict=True):
        lines.append(",".join(_cell(value) for value in row))
    return "\n".join(lines) + "\n"


def _cell(value) -> str:
    if isinstance(value, (float, np.floating)):
        return f"{value:.6g}"
    text = str(value)
    if isinstance(value, str) and text[:1] in tuple("=+-@"):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if any(sign in text for sign in ',"\n\r') else text


# --- state that no widget holds: in the session, and in the link ------------------------------------------------------


def recall(name: str, run: Run) -> str:
    """Text kept under `name` for this run: this session's, or what the link brought; "" for another run's."""
    slot = st.session_state.get(f"_{name}")
    if slot is None:
        return st.query_params.get(name, "")
    return slot[1] if slot[0] == run.info.id else ""


def keep(name: str, run: Run, text: str) -> None:
    """Remember `text` for this run, and put it into the link ("" leaves the link)."""
    st.session_state[f"_{name}"] = (run.info.id, text)
    if text and st.query_params.get(name) != text:
        st.query_params[name] = text
    elif not text and name in st.query_params:
        del st.query_params[name]


def write_code(moved: Mapping[int, float]) -> str:
    """Units that were moved, for a link: {2: 1.25, 0: -0.5} is "1:-0.5_3:1.25", counted from 1."""
    return "_".join(f"{unit + 1}:{value:g}" for unit, value in sorted(moved.items()))


def read_code(text: str, size: int) -> dict[int, float]:
    """The inverse of `write_code`; whatever does not fit a code of `size` units is left out."""
    found = re.findall(r"(?:^|_)(\d{1,6}):(-?\d{1,6}(?:\.\d{1,6})?)(?=_|$)", text[:8000])
    return {int(unit) - 1: float(value) for unit, value in found if 1 <= int(unit) <= size}


FLAGS = {"t": "thumbnails", "m": "mosaic"}
LISTS = {"c": ("cursor", 2), "z": ("zoom", 3)}


def write_view(view: Mapping) -> str:
    """What a map shows, for a link: "c1.25,-0.5_h3,5_t" is a cursor, two hidden classes, and thumbnails."""
    parts = [f"{sign}{','.join(f'{v:.4g}' for v in view[name])}" for sign, (name, _) in LISTS.items() if view.get(name)]
    parts += [f"h{','.join(map(str, view['hidden']))}"] if view.get("hidden") else []
    return "_".join(parts + [sign for sign, name in FLAGS.items() if view.get(name)])


def read_view(text: str) -> dict:
    """The inverse of `write_view`; whatever makes no sense is left out."""
    view: dict = {}
    for part in text[:2000].split("_"):
        sign, texts = part[:1], [value for value in part[1:].split(",") if value]
        values = [value for value in map(_float, texts) if value is not None]
        if sign in FLAGS and not texts:
            view[FLAGS[sign]] = True
        elif len(values) < len(texts):
            continue
        elif sign in LISTS and len(values) == LISTS[sign][1]:
            view[LISTS[sign][0]] = values
        elif sign == "h" and values:
            view["hidden"] = sorted({int(value) for value in values if 0 <= value < 10_000})
    return view


def _float(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) < 1e9 else None
