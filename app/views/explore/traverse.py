"""Traverse: move one unit of the code and see what it means; walk from one image to another."""

from __future__ import annotations

import math

import numpy as np
import streamlit as st

from aecore.explore.traverse import MOST_UNITS, has_prior, path, shrunk
from app import cached
from app.browser import film, scrubber
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, enlarge, film_frame, strip_sheet
from app.library import has_gaussian_prior, held_out, image_title
from app.link import LINKED, keep, read_code, recall, write_code
from app.panels import layout
from app.panels.downloads import csv_table, download_button, python_button
from app.session import plain_errors

WAYS = {
    "linear": r"z(t) = (1-t)\,z_a + t\,z_b",
    "spherical": r"\frac{z(t)}{\lVert z(t)\rVert} = \frac{\sin((1-t)\omega)}{\sin\omega}\,"
    r"\frac{z_a}{\lVert z_a\rVert} + \frac{\sin(t\omega)}{\sin\omega}\,\frac{z_b}{\lVert z_b\rVert}",
}


def page() -> None:
    run = layout.opening(
        "Traverse",
        "Drag a strip: one number of the code changes, all others stay, and the picture shows what that number stands for.",
        "decode",
    )
    encoded = "encode" in run.entry.abilities  # without an encoder, draws stand where images would
    split, model, units = held_out(run), layout.model(run), cached.units(run)
    size = len(units.mean)
    prior = has_prior(model)

    def forget() -> None:
        keep("z", run, "")

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        kinds = ["mean", "image", "random draw"] if encoded else ["mean", "random draw"]
        kind = layout.option("Start from", kinds, "traverse.from", kinds[1], on_change=forget)
        example, seed, page, sheets = 0, 0, 1, math.ceil(size / MOST_UNITS)
        if kind == "image":
            example = layout.number(
                "Number of the image", len(split) - 1, "traverse.image", on_change=forget, width=200
            )
        elif kind == "random draw":
            seed = layout.number("Seed of the draw", 9999, "traverse.seed", on_change=forget, width=200)
        if sheets > 1:
            page = layout.number(f"Sheet of units, 1 to {sheets}", sheets, "traverse.sheet", 1, width=220)
    words = {
        "mean": "the prior's mean" if prior else "the mean code",
        "image": f"image {example}",
        "random draw": "a draw",
    }
    start = words[kind]

    base = cached.base(run, kind, example, seed)
    which = units.order[(page - 1) * MOST_UNITS : page * MOST_UNITS]
    measure = ("standard deviation", units.std) if units.kl is None else ("KL, nats", units.kl)

    def let_go() -> None:
        """The hand has left a unit at a value: remember it before the page is made anew."""
        move = st.session_state["traverse.scrub"]["move"]
        if move and 0 <= int(move["unit"]) < len(which):
            unit, value = int(which[int(move["unit"])]), round(float(move["value"]), 3)
            moved = read_code(recall("z", run), size) | {unit: value}
            if abs(value - base[unit]) < 5e-4:
                del moved[unit]
            keep("z", run, write_code(moved))

    @st.fragment
    @plain_errors()
    def scrub() -> None:
        """The scrubber; letting go makes a new sheet around the new code."""
        moved = read_code(recall("z", run), size)
        keep("z", run, write_code(moved))
        z = base.copy()
        z[list(moved)] = list(moved.values())
        code = tuple(z.tolist())
        tiles, values = cached.strips(run, code, tuple(which.tolist()))
        scrubber(
            tiles,
            [f"z{j + 1}" for j in which],
            values,
            z[which],
            key="traverse.scrub",
            importance=measure[1][which] if encoded else None,
            importance_label=measure[0],
            home=np.clip(base[which], values[:, 0], values[:, -1]),
            picture=cached.decoded(run, code),
            alt=f"Picture decoded from the code, starting from {start}",
            on_change=let_go,
        )
        tell(z, moved, tiles, values)

    def tell(z: np.ndarray, moved: dict[int, float], tiles: np.ndarray, values: np.ndarray) -> None:
        """Numbers and files of the code as it stands."""
        typical = f"draws from N(0, I) have about {math.sqrt(size):.2f}" if prior and has_gaussian_prior(run) else ""
        facts = [
            ("units moved", str(len(moved)), f"of {size}", ""),
            ("‖z‖", f"{np.linalg.norm(z):.2f}", typical, ""),
            ("‖z − start‖", f"{np.linalg.norm(z - base):.2f}", f"from {start}", ""),
        ]
        if units.kl is not None:
            active = f"{int(units.active.sum())} of {size}"
            facts.append(("active units", active, f"{units.kl.sum():.1f} nats in all", plots.term_colour("kl")))
        key_figures(facts)
        with st.container(horizontal=True):
            st.button(
                "Back to the start", icon=":material/undo:", key="traverse.reset", disabled=not moved, on_click=forget
            )
            file = f"{run.info.id}-traversal"
            download_button(
                "Strips as PNG", lambda: plots.png(strip_sheet(tiles)), f"{file}.png", "image/png", "traverse.png"
            )
            frames = range(tiles.shape[1])
            download_button(
                "GIF",
                lambda: plots.gif([film_frame(tiles[:, s]) for s in frames], 8, True),
                f"{file}.gif",
                "image/gif",
                "traverse.gif",
            )
            table = csv_table(["unit", "start", "code"], range(1, size + 1), base, z)
            download_button("Code as CSV", table, f"{file}.csv", "text/csv", "traverse.csv")
            python_button(
                run,
                f"""
from aecore.explore import traverse
from aecore.measure import statistics

model, z = run.model(), np.array({[round(float(v), 4) for v in z]}, np.float32)
low, high = traverse.spans(model, statistics(model, run.data().test))
tiles, values = traverse.sheet(model, z, {[int(j) for j in which]}, low, high, 17)
print(tiles.shape)
""",
                "traverse.python",
            )
        ordered = "the KL of each unit" if units.kl is not None else "how much each unit varies"
        notes = [
            f"Units are sorted by {ordered} over {units.examples:,} held-out images; the bars show it."
            if encoded
            else "Without an encoder nothing tells which units matter: they stand in their own order.",
            units.collapsed,
            shrunk(model, tiles),
        ]
        st.caption(" ".join(note for note in notes if note))

    scrub()

    thing = "image" if encoded else "draw"
    st.header(f"From one {thing} to another", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        a = layout.number(f"From {thing}", len(split) - 1, "traverse.a", width=170)
        far = min(7, len(split) - 1)
        b = int(st.number_input(f"To {thing}", 0, len(split) - 1, far, key="traverse.b", width=170, **LINKED))
        how = layout.option("Way", list(WAYS), "traverse.way")
    frames = cached.between(run, a, b, how)
    labels = [f"{100 * k / (len(frames) - 1):.0f} %" for k in range(len(frames))]
    left, right = st.columns([2, 3], gap="large")
    with left:
        film(
            frames,
            labels,
            key="traverse.film",
            alt=f"From {image_title(run, a) if encoded else f'draw {a}'} to "
            f"{image_title(run, b) if encoded else f'draw {b}'}, {how}",
            fps=10,
        )
    with right:
        st.image(
            contact_sheet(frames, 8), alt="The same way as a strip, read by rows", output_format="PNG", width="stretch"
        )
        ends = cached.ends_of(run, a, b)
        lengths = np.linalg.norm(path(ends[0], ends[1], len(frames), how), axis=1)
        st.latex(WAYS[how])
        st.caption(
            f"‖z‖ is {lengths[0]:.2f} at the start, {lengths.min():.2f} at its shortest, {lengths[-1]:.2f} at the end."
        )
        download_button(
            "GIF of the way",
            lambda: plots.gif([enlarge(frame, 256) for frame in frames], 10, True),
            f"{run.info.id}-{a}-to-{b}.gif",
            "image/gif",
            "traverse.way.gif",
        )
    with st.expander("What to look for"):
        st.markdown(
            "- **A unit with no bar does nothing**: the decoder has learnt to ignore it (posterior collapse).\n"
            "- **β-VAE on sprites**: a good unit changes one thing only, position or size; in a plain autoencoder each "
            "changes everything.\n"
            "- **Far out** (beyond ±3) a VAE's pictures go stale: no training image had such a code.\n"
            "- **Linear against spherical**: in many dimensions the straight line passes through codes that are too short."
        )
