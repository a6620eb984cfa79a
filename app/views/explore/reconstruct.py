"""Reconstruct: what comes back, and one picture's way through encoder, code and decoder."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import DataError
from aecore.data import image as read_picture
from app import cached
from app.browser import pad
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import code_bars, equation, key_figures, term_figures
from app.figures.plots import contact_sheet, rgb
from app.library import class_names, held_out, image_title
from app.link import LINKED
from app.panels import layout
from app.panels.downloads import csv_table, download_button, python_button
from app.session import plain_errors
from app.text import escape_markdown


def picked() -> None:
    st.session_state["reconstruct.image"] = int(st.session_state["reconstruct.sheet"]["pick"])
    if st.session_state.get("reconstruct.from") != "held-out image":
        st.session_state["reconstruct.from"] = "held-out image"


def page() -> None:
    run = layout.opening(
        "Reconstruct",
        "The encoder turns each image into a few numbers, the decoder paints it anew from them alone. "
        "What is missing is what the code could not hold.",
        "encode",
        "decode",
    )
    split, model = held_out(run), layout.model(run)
    damages = "corrupt" in run.entry.abilities
    sheet, beside = st.columns([7, 2], gap="large")

    with beside:
        among = f"Among the first {cached.RANKED:,} held-out images"
        worst = st.toggle("Worst first", key="reconstruct.worst", help=among, wrap=True, **LINKED)
        names = class_names(run)
        wanted = st.selectbox("Class", ["all", *names], key="reconstruct.class", **LINKED) if names else "all"
        n = st.select_slider("Images", [6, 12, 18, 24, 36], 12, key="reconstruct.n", **LINKED)
        seed = layout.number("Seed of the choice", 9999, "reconstruct.seed", disabled=worst)
        damaged = damages and st.toggle("Damage the input", True, key="reconstruct.damage", wrap=True, **LINKED)

    ids = cached.choice(run, n, seed, names.index(wanted) if wanted in names else None, worst)
    ways = [
        cached.way(run, image, damaged, seed + int(i))
        for i, image in zip(ids, cached.images(run, tuple(ids.tolist())), strict=True)
    ]

    with sheet:
        if not ways:
            st.info(f"There is no held-out image of class {wanted}.", icon=":material/info:")
            st.stop()
        before, after = np.stack([way.shown for way in ways]), np.stack([way.output for way in ways])
        rows = [("original", before), ("reconstruction", after), ("difference", plots.difference(before, after))]
        if damaged:
            rows.insert(1, ("damaged, as the encoder sees it", np.stack([way.seen for way in ways])))
        contact(
            rows,
            key="reconstruct.sheet",
            captions=[f"{way.mse:.4f}" for way in ways],
            ids=ids.tolist(),
            chosen=st.session_state.get("reconstruct.image"),
            pick="Follow this one below",
            alt=f"{len(ids)} held-out images above their reconstructions and the differences",
            on_change=picked,
        )
        st.caption(
            f"{len(ids)} of {len(split):,} held-out images; below each its mean squared error per value, "
            f"on average {np.mean([way.mse for way in ways]):.4f}. Differences: red where the reconstruction is brighter, "
            "blue where it is darker. Click one to follow it below."
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
            errors = csv_table(["image", "squared error per value"], ids, [way.mse for way in ways])
            download_button("Errors as CSV", errors, f"{run.info.id}-errors.csv", "text/csv", "reconstruct.errors")
            python_button(
                run,
                f"""
from aecore.explore.passage import reconstruct

found = reconstruct(run.model(), run.data().test, np.array({[int(i) for i in ids]}))
print(found.reconstructions.shape, found.errors)
""",
                "reconstruct.python",
            )

    st.header("A picture passes through", anchor=False)
    equation(run.entry, run.info.params)

    @st.fragment
    @plain_errors()
    def passes_through() -> None:
        """Fig. 1: input → encoder → code → decoder → output."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            source = layout.option("Picture", ["held-out image", "draw", "upload"], "reconstruct.from")
            number = layout.number(
                "Number", len(split) - 1, "reconstruct.image", disabled=source != "held-out image", width=200
            )
        before, code, after = st.columns([3, 5, 3], gap="medium", vertical_alignment="center")
        with before:
            image, alt = chosen_image(source, number)
            if image is None:
                return
            way = cached.way(run, image, damaged, seed)
            layout.picture(way.shown, "$x$, the input", alt)
            if damaged:
                layout.picture(way.seen, r"$\tilde x$, what the encoder sees", f"{alt}, damaged")
        with code:
            spread = "" if way.std is None else "; error bars: the posterior's standard deviation $σ$"
            count = f"{len(way.code)} numbers" if len(way.code) > 1 else "one number"
            st.markdown(f"**encoder → code of {count} → decoder**", text_alignment="center")
            code_bars(way.code, way.std, f"The code of {alt} as bars{spread}", height=340)
            st.caption(f"Each bar is one unit of the code{spread}.", text_alignment="center")
        with after:
            layout.picture(way.output, r"$\hat x$, the output", f"Reconstruction of {alt}")
        figures = [
            ("MSE", f"{way.mse:.5f}", "squared error per value", ""),
            ("PSNR", f"{way.psnr:.1f} dB", "higher is closer", ""),
        ]
        with plain_errors():
            figures += term_figures(run.entry, cached.terms(run, image, seed))
        key_figures(figures)
        download_button(
            "Code as CSV",
            csv_table(
                ["unit", "code", *(["std"] if way.std is not None else [])],
                range(1, len(way.code) + 1),
                way.code,
                *([way.std] if way.std is not None else []),
            ),
            f"{run.info.id}-code.csv",
            "text/csv",
            "reconstruct.csv",
        )

    def chosen_image(source: str, number: int) -> tuple[np.ndarray | None, str]:
        """The picture of Fig. 1, uint8 (H, W[, 3]), and what it is; None while there is none."""
        channels, height, width = run.info.shape
        if source == "held-out image":
            return cached.images(run, (number,))[0], image_title(run, number)
        if source == "draw":
            drawn = pad("reconstruct.pad", (height, width), label="Draw here")
            if drawn is None:
                st.caption("Draw with mouse, pen or finger; the picture passes through when you let go.")
                return None, ""
            return (drawn if channels == 1 else rgb(drawn[None])[0]), "your drawing"
        file = st.file_uploader("PNG, JPEG or WebP", key="reconstruct.upload", max_upload_size=64)
        flip = st.toggle("Invert", key="reconstruct.invert", help="Digits here are white on black", **LINKED)
        if file is None:
            return None, ""
        try:
            chw = read_picture(file.getvalue(), (channels, height, width), file.name)
        except DataError as error:
            st.error(escape_markdown(str(error)), icon=":material/error:")
            return None, ""
        chw = 255 - chw if flip else chw
        return (chw[0] if channels == 1 else chw.transpose(1, 2, 0)), "your picture"

    passes_through()
    with st.expander("What to look for"):
        st.markdown(
            "- **A narrow code blurs.** Fine strokes and rare shapes go first; *Worst first* shows what was never learnt.\n"
            "- **Draw something it has never seen**, a letter or a face: the decoder can only answer with what it knows.\n"
            "- **Error bars** say how unsure the encoder is of each unit. One with σ near 1 around 0 knows nothing.\n"
            "- **Linear against deep** at the same code size: the linear one is PCA, with its ghostly halos."
        )
