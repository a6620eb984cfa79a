"""Reconstruct: images beside their reconstructions, and the way of one image through encoder, code and decoder."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from aecore import DataError, Run
from aecore.data import image as read_image
from app import cached
from app.browser.contact import contact
from app.browser.pad import pad
from app.figures import plots
from app.figures.html import code_bars, equation, key_figures, term_figures
from app.figures.plots import contact_sheet, rgb
from app.library import class_names, held_out, image_title
from app.panels import layout
from app.panels.downloads import download_button, python_button
from app.panels.tables import csv_table
from app.session import plain_errors
from app.state import Choice, Flag, Number
from app.text import escape_markdown

ANY_CLASS = "all"
HELD_OUT, DRAWING, UPLOAD = "held-out image", "draw", "upload"
MOST_MB = 64  # of an uploaded picture


class State:
    """Which images stand on the sheet, and the picture that passes through the model below."""

    worst = Flag("reconstruct.worst")
    label = Choice("reconstruct.class", (ANY_CLASS,))
    n = Choice("reconstruct.n", (6, 12, 18, 24, 36), 12)
    seed = Number("reconstruct.seed", 0, 9999)
    damage = Flag("reconstruct.damage", True)
    source = Choice("reconstruct.from", (HELD_OUT, DRAWING, UPLOAD))
    image = Number("reconstruct.image", 0)
    invert = Flag("reconstruct.invert")


def page() -> None:
    run = layout.opening(
        "Reconstruct",
        "The encoder turns each image into a few numbers, and the decoder paints it again from them alone. "
        "What is missing is what the code could not hold.",
        "encode",
        "decode",
    )
    sheet, beside = st.columns([7, 2], gap="large")
    with beside:
        label, n, seed, worst, damaged = choose_images(run)
    ids = cached.choice(run, n, seed, label, worst)
    with sheet:
        if not len(ids):
            st.info(f"There is no held-out image of class {State.label.now()}.", icon=":material/info:")
            st.stop()
        images = cached.images(run, tuple(ids.tolist()))
        ways = [cached.way(run, image, damaged, seed + int(i)) for i, image in zip(ids, images, strict=True)]
        show_sheet(run, ids, ways, damaged)

    st.header("A picture passes through", anchor=False)
    equation(run.entry, run.info.params)
    show_passage(run, damaged, seed)
    with st.expander("What to look for"):
        st.markdown(
            "- **A small code blurs.** Fine strokes and rare shapes are lost first; *Worst first* shows what was never "
            "learnt.\n"
            "- **Draw something that the model has never seen**, a letter or a face: the decoder can only answer with "
            "what it knows.\n"
            "- **Error bars** say how unsure the encoder is of each latent dimension. One with σ near 1 around 0 holds "
            "no information.\n"
            "- **Linear against deep** at the same code size: the linear one is PCA, with its ghostly halos."
        )


# --- many images ----------------------------------------------------------------------------------------------------


def choose_images(run: Run) -> tuple[int | None, int, int, bool, bool]:
    """Which images stand on the sheet: (class or None, how many, seed, worst first, damaged)."""
    among = f"Among the first {cached.RANKED:,} held-out images"
    worst = State.worst.toggle("Worst first", help=among, wrap=True)
    names, label = class_names(run), None
    if names:
        chosen = State.label.given(options=[ANY_CLASS, *names]).box("Class")
        label = names.index(chosen) if chosen in names else None
    n = State.n.slider("Images")
    seed = State.seed.number("Seed of the choice", disabled=worst)
    damaged = "corrupt" in run.entry.abilities and State.damage.toggle("Damage the input", wrap=True)
    return label, n, seed, worst, damaged


def show_sheet(run: Run, ids: np.ndarray, ways: Sequence[cached.Way], damaged: bool) -> None:
    """Images above their reconstructions and the differences.

    ids: (n,) of held-out images.  ways: of each of them.  damaged: whether the encoder saw them damaged.
    """
    before, after = np.stack([way.shown for way in ways]), np.stack([way.output for way in ways])
    rows = [("original", before), ("reconstruction", after), ("difference", plots.difference(before, after))]
    if damaged:
        rows.insert(1, ("damaged, as the encoder sees it", np.stack([way.seen for way in ways])))
    errors = [way.mse for way in ways]
    contact(
        rows,
        key="reconstruct.sheet",
        captions=[f"{error:.4f}" for error in errors],
        ids=ids.tolist(),
        chosen=State.image.given(most=len(held_out(run)) - 1).now(),
        pick="Follow this one below",
        alt=f"{len(ids)} held-out images above their reconstructions and the differences",
        on_change=follow_picked,
    )
    st.caption(
        f"{len(ids)} of {len(held_out(run)):,} held-out images; below each its mean squared error per value, "
        f"on average {np.mean(errors):.4f}. Differences: red where the reconstruction is brighter, blue where it is "
        "darker. Click one to follow it below."
    )
    tiles = np.concatenate([rgb(images) for _, images in rows])
    with st.container(horizontal=True):
        download_button(
            "Sheet as PNG",
            lambda: plots.png(contact_sheet(tiles, len(ids))),
            f"{run.info.id}-reconstructions.png",
            "image/png",
            "reconstruct.png",
        )
        table = csv_table(["image", "squared error per value"], ids, errors)
        download_button("Errors as CSV", table, f"{run.info.id}-errors.csv", "text/csv", "reconstruct.errors")
        python_button(
            run,
            f"""
from aecore.explore.reconstruct import reconstruct

found = reconstruct(run.model(), run.data().test, np.array({ids.tolist()}))
print(found.reconstructions.shape, found.errors)
""",
            "reconstruct.python",
        )


def follow_picked() -> None:
    """The image that was clicked on the sheet passes through below."""
    State.image.put(int(st.session_state["reconstruct.sheet"]["pick"]))
    State.source.put(HELD_OUT)


# --- one picture ----------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def show_passage(run: Run, damaged: bool, seed: int) -> None:
    """One picture's way: input → encoder → code → decoder → output (Fig. 1 of the chapter)."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        source = State.source.option("Picture")
        number = State.image.given(most=len(held_out(run)) - 1).number("Number", disabled=source != HELD_OUT, width=200)
    before, code, after = st.columns([3, 5, 3], gap="medium", vertical_alignment="center")
    with before:
        image, alt = chosen_picture(run, source, number)
        if image is None:
            return
        way = cached.way(run, image, damaged, seed)
        layout.picture(way.shown, "$x$, the input", alt)
        if damaged:
            layout.picture(way.seen, r"$\tilde x$, what the encoder sees", f"{alt}, damaged")
    with code:
        show_code(way, alt)
    with after:
        layout.picture(way.output, r"$\hat x$, the output", f"Reconstruction of {alt}")
    figures = [
        ("MSE", f"{way.mse:.5f}", "squared error per value", ""),
        ("PSNR", f"{way.psnr:.1f} dB", "higher is closer", ""),
    ]
    with plain_errors():
        figures += term_figures(run.entry, cached.terms(run, image, seed))
    key_figures(figures)
    stds = {} if way.std is None else {"std": way.std}
    columns = {"latent dimension": range(1, len(way.code) + 1), "code": way.code, **stds}
    table = csv_table(list(columns), *columns.values())
    download_button("Code as CSV", table, f"{run.info.id}-code.csv", "text/csv", "reconstruct.csv")


def show_code(way: cached.Way, alt: str) -> None:
    """The code of a picture as bars.  alt: what the picture is."""
    count = f"{len(way.code)} numbers" if len(way.code) > 1 else "one number"
    spread = "" if way.std is None else "; error bars: the posterior's standard deviation $σ$"
    st.markdown(f"**encoder → code of {count} → decoder**", text_alignment="center")
    code_bars(way.code, way.std, f"The code of {alt} as bars{spread}", height=340)
    st.caption(f"Each bar is one latent dimension{spread}.", text_alignment="center")


def chosen_picture(run: Run, source: str, number: int) -> tuple[np.ndarray | None, str]:
    """The picture that passes through, uint8 (H, W[, 3]), and what it is; None while there is none.

    source: held-out image, drawing or upload.  number: of the held-out image.
    """
    if source == HELD_OUT:
        return cached.images(run, (number,))[0], image_title(run, number)
    return drawn_picture(run) if source == DRAWING else uploaded_picture(run)


def drawn_picture(run: Run) -> tuple[np.ndarray | None, str]:
    channels, height, width = run.info.shape
    drawing = pad("reconstruct.pad", (height, width), label="Draw here")
    if drawing is None:
        st.caption("Draw with mouse, pen or finger; the picture passes through when you let go.")
        return None, ""
    return (drawing if channels == 1 else rgb(drawing[None])[0]), "your drawing"


def uploaded_picture(run: Run) -> tuple[np.ndarray | None, str]:
    """A picture of the visitor's, brought to the size and channels that the model knows."""
    channels, height, width = run.info.shape
    file = st.file_uploader("PNG, JPEG or WebP", key="reconstruct.upload", max_upload_size=MOST_MB)
    invert = State.invert.toggle("Invert", help="Digits here are white on black")
    if file is None:
        return None, ""
    try:
        image = read_image(file.getvalue(), (channels, height, width), file.name)
    except DataError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return None, ""
    image = 255 - image if invert else image
    return (image[0] if channels == 1 else image.transpose(1, 2, 0)), "your picture"
