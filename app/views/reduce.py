"""Reduce (§4.6): the same images on a plane by autoencoders, PCA, LDA, Isomap, UMAP and t-SNE, linked."""

from __future__ import annotations

from typing import Any

import numpy as np
import streamlit as st

from aecore.data.base import DataSpec
from aecore.explore import codes, maps
from app import exhibits, looks, plots, shelf, studies
from app.browser import latent_map
from app.browser.contact import contact

SHOWN = 36  # selected images
FIRST = ["VAE, 60,000 images", "PCA", "Isomap", "t-SNE"]
FIGURES = {"trustworthiness": "trustworthiness", "continuity": "continuity", "k-NN accuracy": "k_nn"}

exhibits.heading(
    "Reduce",
    "The same digits, squeezed to **two numbers each** in many ways. Click an image, or draw a ring around some with "
    "the lasso: all planes show the same ones.",
)
found = studies.result("reduce", {}, "The same digits on a plane by each method", 150)
if found is None:
    st.stop()
data = shelf.load(DataSpec())
rows = {row["name"]: row for row in found["rows"]}


@st.cache_data(max_entries=4, show_spinner=False)
def pictures(half: str, ids: tuple[int, ...]) -> np.ndarray:
    """uint8 (n, H, W)"""
    return codes.images(getattr(data, half), np.array(ids), maps.THUMBNAIL)


def told(state: dict[str, Any], name: str, places: dict[int, int]) -> None:
    """What was clicked or chosen on one plane becomes what all show."""
    before = st.session_state.get(f"_reduce.{name}")
    now = (state["point"], tuple(i for i in state["selected"] if i in places))
    st.session_state[f"_reduce.{name}"] = now
    if before is None or now == before:
        return
    common = st.session_state.setdefault("_reduce", {"point": None, "selected": ()})
    new = {"point": now[0] if now[0] in places else common["point"], "selected": now[1]}
    if new != common:
        st.session_state["_reduce"] = new
        st.rerun()


@st.fragment
def shown() -> None:
    """The planes side by side, and what was chosen on any of them."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        names = st.pills("Methods", list(rows), selection_mode="multi", default=[n for n in FIRST if n in rows],
                         key="reduce.methods", **looks.LINKED)  # fmt: skip
        new = looks.option("Images", ["placed", "new ones"], "reduce.images") == "new ones"
    half, ids = ("test", found["new_images"]) if new else ("train", found["images"])
    labels = np.array(found["new_labels" if new else "labels"])
    places = {int(i): k for k, i in enumerate(ids)}
    common = st.session_state.get("_reduce") or {"point": None, "selected": ()}
    point = common["point"] if common["point"] in places else None
    selected = [i for i in common["selected"] if i in places]
    images = pictures(half, tuple(ids))
    columns = st.container(key="halves-reduce").columns(2, gap="medium")
    for place, name in enumerate(names):
        row = rows[name]
        where = row["projected"] if new else row["points"]
        with columns[place % 2]:
            figures = f"{name}: trustworthiness {row['trustworthiness']:.2f}, continuity {row['continuity']:.2f}"
            if where is None:
                st.info(f"{name} places the images that it was given. It has no way to project new ones.")
                continue
            points = np.array(where, np.float32).T
            state: dict[str, Any] = {"selected": selected}
            if point is not None:
                state["cursor"] = [float(v) for v in points[places[point]]]
            told(dict(latent_map(points, np.array(ids), labels, images=images, class_names=data.classes, height=420,
                                 key=f"reduce.{name}.{half}", axes=("1", "2"), caption=figures, state=state,
                                 alt=f"{len(ids):,} digits placed by {name}")), f"{name}.{half}", places)  # fmt: skip
    some = selected or ([point] if point is not None else [])
    if some:
        st.markdown(f"**{len(some):,} chosen**" + (f"; the first {SHOWN}" if len(some) > SHOWN else ""))
        at = [places[i] for i in some[:SHOWN]]
        contact([("", images[at])], key="reduce.sheet", tile=48, captions=[str(labels[k]) for k in at],
                alt="The chosen images")  # fmt: skip


shown()


def said(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


table = {
    "method": list(rows),
    "trustworthiness": [said(row["trustworthiness"], 3) for row in rows.values()],
    "continuity": [said(row["continuity"], 3) for row in rows.values()],
    "k-NN accuracy": [said(row["k_nn"], 3) for row in rows.values()],
    "of new images": [said(row["new_k_nn"], 3) for row in rows.values()],
    "error per pixel": [said(row["restored"] and row["restored"][0], 4) for row in rows.values()],
    "of new images ": [said(row["restored"] and row["restored"][1], 4) for row in rows.values()],
    "seconds to learn": [said(row["seconds"], 1) for row in rows.values()],
    "seconds for the new": [said(row["new_seconds"], 2) for row in rows.values()],
}
st.dataframe(table, hide_index=True, width="stretch")
st.caption(
    f"{found['n']:,} training digits placed, {found['new']:,} held-out ones projected afterwards, "
    f"seed {found['seed']}. “autoencoder” saw these {found['n']:,} images alone, for {found['epochs']} epochs, as all "
    "others did; two trained examples saw MNIST’s 60,000. LDA was told the classes. Times are of one core beside other "
    "work, so a rough guide; UMAP’s first call compiles. –: not defined for this method, or not offered."
)
st.latex(
    r"T = 1 - \frac{2}{nk(2n-3k-1)}\sum_{i=1}^{n}\sum_{j \in U_k(i)}\left(r(i,j) - k\right),\qquad "
    rf"n = {found['n']},\; k = 12"
)
exhibits.take_home("reduced", table, """
from aecore import tasks

for row in tasks.compute("reduce", {})["rows"]:
    print(row["name"], row["trustworthiness"], row["continuity"], row["k_nn"])
""", "reduce.home")  # fmt: skip

if found["sizes"]:
    st.header("Error against the size of the code", anchor=False)
    sizes = [row["size"] for row in found["sizes"]]
    made = exhibits.figure(380, "numbers in the code", "squared error per pixel")
    for name, key, colour in (("autoencoder", "deep", exhibits.LINES[0]), ("PCA", "pca", exhibits.LINES[1])):
        made.add_scatter(x=sizes, y=[row[key] for row in found["sizes"]], name=name, mode="lines+markers",
                         line={"color": colour, "width": 3}, marker={"size": 11}, hovertemplate="%{y:.4f}")  # fmt: skip
    made.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
    made.update_yaxes(rangemode="tozero")
    exhibits.show(made, "reduce.sizes", "Error by code size: the autoencoder below PCA")
    st.latex(plots.equation(r"\min_{A,B}\;\mathbb{E}\;\term{recon}{\lVert x - B(A(x))\rVert^2}"))
    st.caption("1,000 held-out digits; one seed. The page Bottleneck has the pictures.")
with st.expander("What to look for"):
    st.markdown(
        "- **Trustworthiness** falls where strangers become neighbours on the plane; **continuity** where neighbours "
        "are torn apart.\n"
        "- **t-SNE and UMAP** keep neighbours best. UMAP’s way back is slow and approximate, and left out here; t-SNE "
        "has none, and no way for new images.\n"
        "- **An autoencoder** goes both ways, and at once for new images. It needs more images than the others: the "
        "one that saw only those placed is worse on new ones.\n"
        "- **LDA** knew the classes, and does well on them; on new images it falls back the most."
    )
with st.expander("Why"):
    st.markdown(
        "PCA keeps variance along straight directions. LDA sets classes apart, and needs them. Isomap keeps distances "
        "along the sheet of images (Tenenbaum et al., 2000, doi:10.1126/science.290.5500.2319). UMAP (McInnes et al., "
        "2018, arXiv:1802.03426) and t-SNE (van der Maaten & Hinton, 2008, JMLR 9) keep neighbours. An autoencoder’s "
        "bottleneck is a reduction by itself: bent, where PCA is straight. Trustworthiness and continuity: Venna & "
        "Kaski (2001), doi:10.1007/3-540-44668-0_68. Section 4.6."
    )
