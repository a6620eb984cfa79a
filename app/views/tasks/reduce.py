"""Reduce (§4.6): the same images on linked planes by autoencoders, PCA, LDA, Isomap, UMAP and t-SNE."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore.errors import FieldError
from aecore.explore import examples, maps
from aecore.explore.images import to_uint8
from aecore.tasks import reduce
from app import cached, library
from app.browser.contact import contact
from app.browser.latent_map import latent_map
from app.browser.mount import live
from app.figures import plots
from app.figures.plots import LINES, empty_figure, show_figure
from app.link import Kept
from app.panels import exhibit
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import plain_errors
from app.state import Choice, Many, Number

FIRST = ("VAE, 60,000 images", "PCA", "Isomap", "t-SNE")
"""Methods whose planes are shown at first."""
SHOWN = 36  # selected images that are shown
PLACED, NEW = "placed", "new ones"  # images that a method was given; images that were projected afterwards
HEARD = "_reduce.heard"  # session state: when what all planes show last changed, by the browser's clock
DRAWN = "_reduce.drawn"  # session state: the planes that were told of it; they hear of changes in the browser

Study = Mapping[str, Any]


@dataclass(frozen=True)
class Example(Kept[int | None]):
    """One image that was clicked, by its id; None at first.  ids: of all images."""

    ids: Collection[int] = ()

    def initial(self) -> int | None:
        return None

    def read(self, text: str) -> int | None:
        if not re.fullmatch(r"\d{1,6}", text) or int(text) not in self.ids:
            raise FieldError(self.name, f"there is no image {text!r} on the planes")
        return int(text)


@dataclass(frozen=True)
class Subset(Kept[list[int]]):
    """The images that were chosen, by their ids, which the text says with one bit for each of all the `ids`."""

    ids: Sequence[int] = ()

    def initial(self) -> list[int]:
        return []

    def read(self, text: str) -> list[int]:
        try:
            raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(text[:4000]), len(self.ids))
        except zlib.error as error:
            raise ValueError(str(error)) from error
        bits = np.unpackbits(np.frombuffer(raw, np.uint8))  # they fill whole bytes, so a few follow the last image
        return [example for example, bit in zip(self.ids, bits, strict=False) if bit]

    def write(self, value: list[int]) -> str:
        bits = np.packbits(np.isin(self.ids, value))
        return base64.urlsafe_b64encode(zlib.compress(bits.tobytes(), 9)).decode()

    def refusal(self, text: str, error: ValueError) -> str:  # the text is long and tells a reader nothing
        return f"{self.name}: the text in the link names no images, and is left aside."


@dataclass(frozen=True)
class Classes(Kept[list[int]]):
    """Classes by their numbers: "1,3". What is no number is left out."""

    def initial(self) -> list[int]:
        return []

    def read(self, text: str) -> list[int]:
        return [int(part) for part in text.split(",") if re.fullmatch(r"\d{1,3}", part)][:100]

    def write(self, value: list[int]) -> str:
        return ",".join(map(str, value))


class State:
    """Which images are placed by which methods, and what is marked on all planes; the marks belong to these images."""

    n = Choice("reduce.n", (300, 600, 1000, 1500, 2000, 3000), 1500)
    epochs = Choice("reduce.epochs", (10, 30, 100, 300), 100)
    seed = Number("reduce.seed", 0, 100)
    methods: Many[str] = Many("reduce.methods", default=FIRST)
    images = Choice("reduce.images", (PLACED, NEW))
    point = Example("reduce.point", each=True)
    selected = Subset("reduce.chosen", each=True)
    hidden = Classes("reduce.hidden", each=True)


class Images(NamedTuple):
    """The images that the planes show. split: "train" or "test".  ids, labels: (n,).  new: whether projected later."""

    split: str
    ids: list[int]
    labels: np.ndarray
    new: bool


def page() -> None:
    exhibit.heading(
        "Reduce",
        "The same digits, squeezed to **two numbers each** in many ways. Point at an image, click it, or draw a ring "
        "around some with the lasso: all planes show the same ones.",
    )
    settings = choose_images()
    study = studies.result("reduce", settings, "The same digits on a plane by each method", 150)
    if study is None:
        st.stop()
    planes(study, json.dumps(settings))
    numbers(study, settings)
    if study["sizes"]:
        st.header("Error against the size of the code", anchor=False)
        by_size(study["sizes"])
    explanations()


def choose_images() -> dict[str, int]:
    """Controls for which images are placed; settings of the study."""
    with st.expander("Which images"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        return {
            "n": State.n.slider("Images placed", width=260),
            "epochs": State.epochs.slider("Epochs of the autoencoder that sees these alone", width=300),
            "seed": State.seed.number("Seed", width=130),
        }


@cached.remember(max_entries=4)
def thumbnails(split: str, ids: tuple[int, ...]) -> np.ndarray:
    """Images of the data, uint8 (n, H, W)."""
    return examples.images(getattr(library.load(reduce.DATA), split), np.array(ids), maps.THUMBNAIL)


@cached.remember(max_entries=16)
def restored(settings: str, name: str, new: bool) -> np.ndarray | None:
    """Every image restored from its place on a plane: uint8 (n, H, W), or None if there is no way back.

    settings: of a stored study, as JSON.  name: of one of its rows.  new: of the images that were projected.
    """
    study = studies.stored("reduce", json.loads(settings))
    if study is None:
        return None
    row = rows_of(study)[name]
    points = row["projected" if new else "points"]
    if points is None:
        return None
    images = reduce.restore(study, row, library.load(reduce.DATA), np.array(points, np.float32).T)
    return None if images is None else to_uint8(images)


def rows_of(study: Study) -> dict[str, dict[str, Any]]:
    """Name of a method → its row."""
    return {row["name"]: row for row in study["rows"]}


# --- what all planes show: in the session, in the link, in the browser ------------------------------------------------


def common(of: str, ids: list[int]) -> dict[str, Any]:
    """{"point", "selected", "hidden"}: what all planes show of these ids.

    of: which images they are. Other images have another state, since an id means another image there.
    """
    return {
        "point": State.point.given(ids=ids).get(of),
        "selected": State.selected.given(ids=ids).get(of),
        "hidden": State.hidden.get(of),
    }


def keep(of: str, state: Mapping[str, Any], ids: list[int]) -> None:
    """Put what all planes show into the session and the link."""
    State.point.given(ids=ids).put(state["point"], of)
    State.selected.given(ids=ids).put(state["selected"], of)
    State.hidden.put(state["hidden"], of)


def hear(of: str, keys: Iterable[str], ids: list[int]) -> None:
    """Take over what was clicked, chosen or hidden last, on whichever plane: all planes show it.

    The planes tell each other in the browser, and then each of them tells the server, one after another.
    """
    views = [view for key in keys if (view := live(key, "view"))]
    newest = max(views, key=lambda view: view["changed"], default=None)
    if newest and newest["changed"] > st.session_state.get(HEARD, 0):
        st.session_state[HEARD] = newest["changed"]
        keep(of, newest, ids)


# --- the planes -------------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def planes(study: Study, settings: str) -> None:
    """The planes side by side, and the images that were chosen on any of them."""
    rows = rows_of(study)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        names = State.methods.given(options=list(rows)).pills("Methods")
        new = State.images.option("Images") == NEW
    images = (
        Images("test", study["new_images"], np.array(study["new_labels"]), True)
        if new
        else Images("train", study["images"], np.array(study["labels"]), False)
    )
    of = f"{settings}.{images.split}"
    hear(of, [f"reduce.{name}.{images.split}" for name in names], images.ids)
    state = common(of, images.ids)
    keep(of, state, images.ids)
    st.session_state[DRAWN] = st.session_state.get(DRAWN, set()) & {(of, name) for name in names}
    tiles = {name: restored(settings, name, new) for name in names}
    columns = st.container(key="halves-reduce").columns(2, gap="medium")
    for place, name in enumerate(names):
        with columns[place % 2]:
            plane(rows[name], images, state, of, tiles[name])
    chosen_images(images, state, tiles)


def plane(
    row: Mapping[str, Any], images: Images, common_state: dict[str, Any], of: str, tiles: np.ndarray | None
) -> None:
    """One method's plane.

    common_state: what all planes show, of the images `of`.  tiles: the images restored, or None.
    """
    name = row["name"]
    places = row["projected" if images.new else "points"]
    if places is None:
        st.info(f"{name} places the images that it was given. It has no way to project new ones.")
        return
    points, key = np.array(places, np.float32).T, f"reduce.{name}.{images.split}"
    drawn, state = st.session_state[DRAWN], None
    if (of, name) not in drawn:
        point = common_state["point"]
        cursor = None if point is None else [float(v) for v in points[images.ids.index(point)]]
        state = {**(live(key, "view") or {}), **common_state, "cursor": cursor, "changed": 0}
    latent_map(
        points,
        np.array(images.ids),
        images.labels,
        images=thumbnails(images.split, tuple(images.ids)),
        class_names=library.load(reduce.DATA).classes,
        height=420,
        reconstructions=tiles,
        key=key,
        axes=("1", "2"),
        caption=f"{name}: trustworthiness {row['trustworthiness']:.2f}, continuity {row['continuity']:.2f}",
        state=state,
        group=f"reduce.{of}",
        alt=f"{len(images.ids):,} digits placed by {name}",
    )
    drawn.add((of, name))


def chosen_images(images: Images, state: Mapping[str, Any], tiles: Mapping[str, np.ndarray | None]) -> None:
    """The images that were chosen, and each restored from its places.  tiles: method → all images restored."""
    chosen = state["selected"] or ([state["point"]] if state["point"] is not None else [])
    if not chosen:
        return
    st.markdown(f"**{len(chosen):,} chosen**" + (f"; the first {SHOWN}" if len(chosen) > SHOWN else ""))
    rows = [images.ids.index(i) for i in chosen[:SHOWN]]
    contact(
        [
            ("", thumbnails(images.split, tuple(images.ids))[rows]),
            *((name, pictures[rows]) for name, pictures in tiles.items() if pictures is not None),
        ],
        key="reduce.sheet",
        tile=48,
        captions=[str(images.labels[row]) for row in rows],
        alt="The chosen images, and each from its place on the planes that have a way back",
    )


# --- numbers ----------------------------------------------------------------------------------------------------------


def numbers(study: Study, settings: Mapping[str, int]) -> None:
    """What each method keeps, as a table to take home."""
    table = number_table(study)
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"{study['n']:,} training digits placed, {study['new']:,} held-out ones projected afterwards, seed "
        f"{study['seed']}. “autoencoder” saw these {study['n']:,} images alone, for {study['epochs']} epochs, as all "
        "others did; two trained examples saw MNIST’s 60,000. LDA was told the classes. Times are of one core beside "
        "other work, so a rough guide; UMAP’s first call compiles. –: not defined for this method, or not offered."
    )
    st.latex(
        r"T = 1 - \frac{2}{nk(2n-3k-1)}\sum_{i=1}^{n}\sum_{j \in U_k(i)}\left(r(i,j) - k\right),\qquad "
        rf"n = {study['n']},\; k = {reduce.NEIGHBOURS}"
    )
    download_row(
        "reduced",
        table,
        f"""
from aecore import tasks

for row in tasks.compute("reduce", {settings!r})["rows"]:
    print(row["name"], row["trustworthiness"], row["continuity"], row["k_nn"])
""",
        "reduce.home",
    )


def number_table(study: Study) -> dict[str, list[str]]:
    """A column for each figure, with a line for each method."""
    rows = study["rows"]

    def column(name: str, digits: int, part: int | None = None) -> list[str]:
        values = [row[name] if part is None or row[name] is None else row[name][part] for row in rows]
        return ["–" if value is None else f"{value:.{digits}f}" for value in values]

    return {
        "method": [row["name"] for row in rows],
        "trustworthiness": column("trustworthiness", 3),
        "continuity": column("continuity", 3),
        "k-NN accuracy": column("k_nn", 3),
        "of new images": column("new_k_nn", 3),
        "error per pixel": column("restored", 4, 0),
        "of new images ": column("restored", 4, 1),
        "seconds to learn": column("seconds", 1),
        "seconds for the new": column("new_seconds", 2),
    }


def by_size(sizes: list[dict[str, float]]) -> None:
    """Error of autoencoders and PCA by the size of the code."""
    show_figure(size_figure(sizes), "reduce.sizes", "Error by code size: the autoencoder below PCA")
    st.latex(plots.equation(r"\min_{A,B}\;\mathbb{E}\;\term{recon}{\lVert x - B(A(x))\rVert^2}"))
    st.caption(
        "1,000 held-out digits; one seed. The autoencoders saw MNIST’s 60,000 images, PCA the 10,000 of them "
        "that come with the program. The page Bottleneck has the pictures."
    )


def size_figure(sizes: list[dict[str, float]]) -> go.Figure:
    """Squared error per pixel against the size of the code."""
    ticks = [row["size"] for row in sizes]
    figure = empty_figure(380, "numbers in the code", "squared error per pixel")
    for (name, column), colour in zip(reduce.ERRORS.items(), LINES, strict=False):
        figure.add_scatter(
            x=ticks,
            y=[row[column] for row in sizes],
            name=name,
            mode="lines+markers",
            line={"color": colour, "width": 3},
            marker={"size": 11},
            hovertemplate="%{y:.4f}",
        )
    figure.update_xaxes(type="log", tickvals=ticks, ticktext=[str(size) for size in ticks])
    return figure.update_yaxes(rangemode="tozero")


def explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Trustworthiness** falls where strangers become neighbours on the plane; **continuity** where "
            "neighbours are torn apart.\n"
            "- **t-SNE and UMAP** keep neighbours best. UMAP’s way back is slow and approximate, and left out here; "
            "t-SNE has none, and no way for new images.\n"
            "- **An autoencoder** goes both ways, and at once for new images. It needs more images than the others: "
            "the one that saw only those placed is worse on new ones.\n"
            "- **LDA** knew the classes, and does well on them; on new images it falls back the most."
        )
    with st.expander("Why"):
        st.markdown(
            "PCA keeps variance along straight directions. LDA sets classes apart, and needs them. Isomap keeps "
            "distances along the sheet of images (Tenenbaum et al., 2000, doi:10.1126/science.290.5500.2319). UMAP "
            "(McInnes et al., 2018, arXiv:1802.03426) and t-SNE (van der Maaten & Hinton, 2008, JMLR 9) keep "
            "neighbours. An autoencoder’s bottleneck is a reduction by itself: bent, where PCA is straight. "
            "Trustworthiness and continuity: Venna & Kaski (2001), doi:10.1007/3-540-44668-0_68. Section 4.6."
        )
