"""Generate: decode draws from the prior, and look whether they are copies."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app import cached
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet
from app.library import class_names, has_gaussian_prior, training_split
from app.link import LINKED
from app.panels import layout
from app.panels.downloads import csv_table, download_button, npz_bytes, python_button
from app.text import escape_markdown


def again() -> None:
    st.session_state["generate.seed"] = (st.session_state["generate.seed"] + 1) % 10_000


def page() -> None:
    run = layout.opening(
        "Generate",
        "Let chance choose, and the model draw: an image that nobody has drawn. Good models make them look like the "
        "originals without copying any.",
        "sample|decode",
    )
    prior = "sample" in run.entry.abilities
    if not prior:
        st.info(
            f"**{escape_markdown(run.info.title)} has no prior:** nothing in its training says where codes lie. "
            "For comparison, here is what draws from N(0, I) decode to; most of them fall where no image has its code.",
            icon=":material/info:",
        )

    pictures, beside = st.columns([7, 2], gap="large")
    with beside:
        n = st.select_slider("Images", [16, 36, 64, 100], 36, key="generate.n", **LINKED)
        meaning = "On the prior's standard deviation: 0 is its mean, 1 the prior itself"
        if "density" in run.entry.abilities:
            meaning = "Divides the logit of each pixel: at 0 the likelier value wins, 1 is the model itself"
        temperature = st.slider(
            "Temperature $T$", 0.0, 2.0, 1.0, 0.05, key="generate.temperature", help=meaning, **LINKED
        )
        label = None
        if conditioned := layout.model(run).classes:
            names = class_names(run)[:conditioned] or [str(c) for c in range(conditioned)]
            wanted = st.selectbox("Class", ["all in turn", *names], key="generate.class", **LINKED)
            label = names.index(wanted) if wanted in names else None
        seed = layout.number("Seed", 9999, "generate.seed")
        st.button("Draw again", type="primary", key="generate.again", on_click=again, width="stretch")

    images, codes = cached.generated(run, n, temperature, seed, label)
    made = cached.small(images)
    real = cached.images(run, tuple(cached.choice(run, n, seed).tolist()))
    with pictures:
        left, right = st.columns(2, gap="medium")
        with left:
            st.subheader("Originals", anchor=False)
            st.image(contact_sheet(real), alt=f"{len(real)} held-out images", output_format="PNG", width="stretch")
        with right:
            st.subheader("Generated" if prior else "Decoded from N(0, I)", anchor=False)
            st.image(contact_sheet(made), alt=f"{n} generated images", output_format="PNG", width="stretch")
        spread = "I" if temperature == 1 else rf"{temperature:g}^2 I"
        law = rf"\mathcal{{N}}(0,\, {spread})" if has_gaussian_prior(run) else rf"p_{{T = {temperature:g}}}(z)"
        if codes is not None:
            decoder = "B(z, y)" if conditioned else "B(z)"
            st.latex(rf"z \sim {law},\qquad x = {decoder},\qquad d = {codes.shape[1]}")
        elif "density" in run.entry.abilities:
            told = ", y" if conditioned else ""
            st.latex(rf"x_i \sim p(x_i \mid x_1, \ldots, x_{{i-1}}{told}),\qquad i = 1, \ldots, {images[0].size}")

    with st.container(horizontal=True):
        name = f"{run.info.id}-generated-{seed}"
        download_button(
            "Generated as PNG", lambda: plots.png(contact_sheet(made)), f"{name}.png", "image/png", "generate.png"
        )
        arrays = {"images": images} | ({} if codes is None else {"codes": codes})
        download_button(
            "Images as NPZ" if codes is None else "Images and codes as NPZ",
            lambda: npz_bytes(**arrays),
            f"{name}.npz",
            "application/octet-stream",
            "generate.npz",
        )
        if codes is not None:
            header = ["image", *(f"z{j + 1}" for j in range(codes.shape[1]))]
            table = csv_table(header, range(len(codes)), *codes.T)
            download_button("Codes as CSV", table, f"{name}.csv", "text/csv", "generate.csv")

        python_button(
            run,
            f"""
from aecore.explore.generate import generate

images, codes = generate(run.model(), {n}, temperature={temperature}, seed={seed}, label={label})
print(images.shape)
""",
            "generate.python",
        )

    st.header("Copies?", anchor=False)
    st.markdown("Under each generated image the training image that is nearest to it, pixel by pixel.")
    shown = min(n, 18)
    ids, distances = cached.nearest(run, n, temperature, seed, label)
    contact(
        [
            ("generated", made[:shown]),
            ("nearest training image", cached.images(run, tuple(ids[:shown].tolist()), "train")),
        ],
        key="generate.nearest",
        captions=[f"{distance:.1f}" for distance in distances[:shown]],
        alt="Generated images above their nearest training images",
    )
    searched = min(len(training_split(run)), cached.COMPARED)
    typical = cached.typical(run)
    key_figures(
        [
            (
                "nearest distance",
                f"{np.median(distances):.1f}",
                f"median of {n} generated images, ‖a − b‖² over pixels",
                "",
            ),
            ("smallest", f"{distances.min():.1f}", "0 would be a copy", ""),
            ("held-out images", f"{typical:.1f}", "the same median for real images that were not trained on", ""),
        ]
    )
    st.caption(
        f"Searched among {searched:,} of {len(training_split(run)):,} training images; the first {shown} are shown."
    )
    with st.expander("What to look for"):
        st.markdown(
            "- **Temperature**: below 1 the draws are safer and more alike, above 1 bolder and more often broken.\n"
            "- **Distances near 0** would be copies; far below those of held-out images they mean blur, which is near to "
            "everything.\n"
            "- **Without a prior** (linear, deep, denoising) random codes miss the small region that training used.\n"
            "- **In-between shapes** are codes between classes: look at the same place on the map."
        )
