"""Traverse: move one latent dimension and see what it means; walk from one image to another."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from aecore.explore.traverse import MOST_UNITS, has_prior, path, shrunk
from app import cached, library
from app.browser.film import film
from app.browser.scrubber import scrubber
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, enlarge, film_frame, strip_sheet
from app.library import has_gaussian_prior, held_out, image_title
from app.panels import layout
from app.panels.downloads import download_button, python_button
from app.panels.tables import csv_table
from app.session import plain_errors
from app.state import Choice, Number, Numbered

MEAN, IMAGE, SAMPLE = "mean", "image", "random draw"
PATHS: dict[Literal["linear", "spherical"], str] = {
    "linear": r"z(t) = (1-t)\,z_a + t\,z_b",
    "spherical": r"\frac{z(t)}{\lVert z(t)\rVert} = \frac{\sin((1-t)\omega)}{\sin\omega}\,"
    r"\frac{z_a}{\lVert z_a\rVert} + \frac{\sin(t\omega)}{\sin\omega}\,\frac{z_b}{\lVert z_b\rVert}",
}


class State:
    """Where the traversal starts, what was moved (of one run), and the two ends of the way below."""

    start = Choice("traverse.from", (MEAN, IMAGE, SAMPLE))
    image = Number("traverse.image", 0)
    seed = Number("traverse.seed", 0, 9999)
    sheet = Number("traverse.sheet", 1)
    moved = Numbered("z")
    first = Number("traverse.a", 0)
    last = Number("traverse.b", 0, None, 7)
    path = Choice("traverse.way", tuple(PATHS))


class Start(NamedTuple):
    """code: (D,) where the traversal starts.  title: what it is.  shown: (U,) the dimensions on the sheet."""

    code: np.ndarray
    title: str
    shown: np.ndarray


def page() -> None:
    run = layout.opening(
        "Traverse",
        "Drag a strip: one number of the code changes, all others stay, and the picture shows what that number stands "
        "for.",
        "decode",
    )
    start = choose_start(run)
    show_strips(run, start)
    show_way(run)
    with st.expander("What to look for"):
        st.markdown(
            "- **A latent dimension without a bar does nothing**: the decoder has learnt to ignore it (posterior "
            "collapse).\n"
            "- **β-VAE on sprites**: a good dimension changes one thing only, position or size; in a plain autoencoder "
            "each changes everything.\n"
            "- **Far out** (beyond ±3) the pictures of a VAE become poor: no training image had such a code.\n"
            "- **Linear against spherical**: in many dimensions the straight line passes through codes that are too "
            "short."
        )


# --- one dimension at a time ----------------------------------------------------------------------------------------


def choose_start(run: Run) -> Start:
    """The code where the traversal starts, and the dimensions that the sheet shows."""
    latents = cached.units(run)
    size, (example, seed, sheet) = len(latents.mean), (0, 0, 1)
    sheets = math.ceil(size / MOST_UNITS)
    forget: dict[str, Any] = {"on_change": forget_moves, "args": (run,)}  # what was moved, when the start changes
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kinds = (MEAN, IMAGE, SAMPLE) if is_encoded(run) else (MEAN, SAMPLE)
        kind = State.start.given(options=kinds, default=kinds[1]).option("Start from", **forget)
        if kind == IMAGE:
            images = State.image.given(most=len(held_out(run)) - 1)
            example = images.number("Number of the image", **forget, width=200)
        elif kind == SAMPLE:
            seed = State.seed.number("Seed of the sample", **forget, width=200)
        if sheets > 1:
            sheet = State.sheet.given(most=sheets).number(f"Sheet of dimensions, 1 to {sheets}", width=220)
    titles = {
        MEAN: "the prior's mean" if has_prior(library.model(run)) else "the mean code",
        IMAGE: f"image {example}",
        SAMPLE: "a sample",
    }
    shown = latents.order[(sheet - 1) * MOST_UNITS : sheet * MOST_UNITS]
    return Start(cached.base(run, kind, example, seed), titles[kind], shown)


@st.fragment
@plain_errors()
def show_strips(run: Run, start: Start) -> None:
    """A strip for each dimension; letting go of one makes a new sheet around the new code."""
    latents, state = cached.units(run), State.moved.given(size=len(start.code))
    moved = state.get(run.info.id)
    state.put(moved, run.info.id)
    z = start.code.copy()
    z[list(moved)] = list(moved.values())
    code = tuple(z.tolist())
    tiles, values = cached.strips(run, code, tuple(start.shown.tolist()))
    label, importance = importance_of(run)
    scrubber(
        tiles,
        [f"z{j + 1}" for j in start.shown],
        values,
        z[start.shown],
        key="traverse.scrub",
        importance=importance[start.shown] if is_encoded(run) else None,
        importance_label=label,
        home=np.clip(start.code[start.shown], values[:, 0], values[:, -1]),
        picture=cached.decoded(run, code),
        alt=f"Picture decoded from the code, starting from {start.title}",
        on_change=lambda: keep_move(run, start),
    )
    show_figures(run, start, z, moved)
    with st.container(horizontal=True):
        st.button(
            "Back to the start",
            icon=":material/undo:",
            key="traverse.reset",
            disabled=not moved,
            on_click=forget_moves,
            args=(run,),
        )
        offer_strips(run, start, z, tiles)
    order = "the KL of each dimension" if latents.kl is not None else "how much each dimension varies"
    notes = [
        f"Dimensions are sorted by {order} over {latents.examples:,} held-out images; the bars show it."
        if is_encoded(run)
        else "Without an encoder nothing tells which dimensions matter: they stand in their own order.",
        latents.collapsed,
        shrunk(library.model(run), tiles),
    ]
    st.caption(" ".join(note for note in notes if note))


def is_encoded(run: Run) -> bool:
    """Whether images have codes. Without an encoder, samples stand where images would."""
    return "encode" in run.entry.abilities


def importance_of(run: Run) -> tuple[str, np.ndarray]:
    """What tells how much each dimension matters, and its values (D,)."""
    latents = cached.units(run)
    return ("standard deviation", latents.std) if latents.kl is None else ("KL, nats", latents.kl)


def forget_moves(run: Run) -> None:
    State.moved.put({}, run.info.id)


def keep_move(run: Run, start: Start) -> None:
    """A dimension was let go at a value: remember it before the page is run again."""
    move = st.session_state["traverse.scrub"]["move"]
    if not move or not 0 <= int(move["unit"]) < len(start.shown):
        return
    state = State.moved.given(size=len(start.code))
    dimension, value = int(start.shown[int(move["unit"])]), round(float(move["value"]), 3)
    moved = {**state.get(run.info.id), dimension: value}
    if abs(value - start.code[dimension]) < 5e-4:
        del moved[dimension]
    state.put(moved, run.info.id)


def show_figures(run: Run, start: Start, z: np.ndarray, moved: Mapping[int, float]) -> None:
    """How far the code z (D,) lies from 0 and from the start."""
    latents, size = cached.units(run), len(z)
    gaussian = has_prior(library.model(run)) and has_gaussian_prior(run)
    typical = f"samples from N(0, I) have about {math.sqrt(size):.2f}" if gaussian else ""
    figures = [
        ("dimensions moved", str(len(moved)), f"of {size}", ""),
        ("‖z‖", f"{np.linalg.norm(z):.2f}", typical, ""),
        ("‖z − start‖", f"{np.linalg.norm(z - start.code):.2f}", f"from {start.title}", ""),
    ]
    if latents.kl is not None:
        active = f"{int(latents.active.sum())} of {size}"
        figures.append(("active units", active, f"{latents.kl.sum():.1f} nats in all", plots.term_colour("kl")))
    key_figures(figures)


def offer_strips(run: Run, start: Start, z: np.ndarray, tiles: np.ndarray) -> None:
    """The strips as a picture and as a film, and the code as a table.  tiles: uint8 (U, S, H, W[, 3])."""
    file = f"{run.info.id}-traversal"
    download_button("Strips as PNG", lambda: plots.png(strip_sheet(tiles)), f"{file}.png", "image/png", "traverse.png")
    download_button(
        "GIF",
        lambda: plots.gif([film_frame(tiles[:, step]) for step in range(tiles.shape[1])], 8, True),
        f"{file}.gif",
        "image/gif",
        "traverse.gif",
    )
    table = csv_table(["latent dimension", "start", "code"], range(1, len(z) + 1), start.code, z)
    download_button("Code as CSV", table, f"{file}.csv", "text/csv", "traverse.csv")
    python_button(
        run,
        f"""
from aecore.explore import traverse
from aecore.measure import statistics

model, z = run.model(), np.array({[round(float(v), 4) for v in z]}, np.float32)
low, high = traverse.spans(model, statistics(model, run.data().test))
tiles, values = traverse.sheet(model, z, {start.shown.tolist()}, low, high, 17)
print(tiles.shape)
""",
        "traverse.python",
    )


# --- from one image to another --------------------------------------------------------------------------------------


def show_way(run: Run) -> None:
    """A film of the way from the code of one image to that of another; between samples, where nothing is encoded."""
    thing, most = "image" if is_encoded(run) else "sample", len(held_out(run)) - 1
    st.header(f"From one {thing} to another", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        first = State.first.given(most=most).number(f"From {thing}", width=170)
        last = State.last.given(most=most).number(f"To {thing}", width=170)
        how = State.path.option("Path")
    frames = cached.between(run, first, last, how)
    left, right = st.columns([2, 3], gap="large")
    with left:
        ends = [image_title(run, end) if is_encoded(run) else f"sample {end}" for end in (first, last)]
        film(
            frames,
            [f"{100 * k / (len(frames) - 1):.0f} %" for k in range(len(frames))],
            key="traverse.film",
            alt=f"From {ends[0]} to {ends[1]}, {how}",
            fps=10,
        )
    with right:
        strip = contact_sheet(frames, 8)
        st.image(strip, alt="The same way as a strip, read by rows", output_format="PNG", width="stretch")
        z_first, z_last = cached.ends_of(run, first, last)
        lengths = np.linalg.norm(path(z_first, z_last, len(frames), how), axis=1)
        st.latex(PATHS[how])
        st.caption(
            f"‖z‖ is {lengths[0]:.2f} at the start, {lengths.min():.2f} at its shortest, {lengths[-1]:.2f} at the end."
        )
        download_button(
            "GIF of the way",
            lambda: plots.gif([enlarge(frame, 256) for frame in frames], 10, True),
            f"{run.info.id}-{first}-to-{last}.gif",
            "image/gif",
            "traverse.way.gif",
        )
