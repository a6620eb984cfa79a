"""Reduce (§4.6): the same images on a plane by autoencoders, PCA, LDA, Isomap, UMAP and t-SNE, linked."""

from __future__ import annotations

import base64
import json
import re
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
import streamlit as st

from aecore.data.base import DataSpec
from aecore.explore import examples, maps
from aecore.explore.images import to_uint8
from aecore.tasks import reduce
from app import library
from app.browser import latent_map
from app.browser.contact import contact
from app.browser.mount import live
from app.figures import plots
from app.figures.plots import LINES, empty_figure, show_figure
from app.link import LINKED
from app.panels import exhibit, layout
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import plain_errors

SHOWN = 36  # selected images
FIRST = ["VAE, 60,000 images", "PCA", "Isomap", "t-SNE"]
COMMON = "_reduce"  # what all planes show, of this visitor
HEARD = "_reduce.heard"  # when that last changed, by the browser's clock
DRAWN = "_reduce.drawn"  # the planes that know it: what changes on one, they hear of in the browser


def in_link(chosen: Iterable[int], ids: list[int]) -> str:
    """Which of these ids are chosen, a bit each, for a link; "" for none."""
    bits = np.isin(ids, list(chosen))
    return base64.urlsafe_b64encode(zlib.compress(np.packbits(bits).tobytes(), 9)).decode() if bits.any() else ""


def from_link(text: str, ids: list[int]) -> list[int]:
    """The inverse of `in_link`; nothing, where it makes no sense."""
    try:
        raw = zlib.decompressobj().decompress(base64.urlsafe_b64decode(text[:4000]), len(ids))
    except (ValueError, zlib.error):
        return []
    bits = np.unpackbits(np.frombuffer(raw, np.uint8))[: len(ids)]
    return [ids[k] for k in np.flatnonzero(bits)]


def common(of: str, ids: list[int]) -> dict[str, Any]:
    """{"point", "selected", "hidden"}: what all planes show of these ids; the link says it at first.

    of: which images they are. Others have another state: an id means another image there.
    """
    slots = st.session_state.get(COMMON)
    if slots is None:
        said = st.query_params
        hidden = [int(part) for part in said.get("reduce.hidden", "").split(",") if re.fullmatch(r"\d{1,3}", part)]
        point = said.get("reduce.point", "")
        slots = st.session_state[COMMON] = {
            of: {
                "point": int(point) if re.fullmatch(r"\d{1,6}", point) else None,
                "hidden": hidden[:100],
                "selected": from_link(said.get("reduce.chosen", ""), ids),
            }
        }
    kept, there = slots.get(of) or {"point": None, "selected": [], "hidden": []}, set(ids)
    return {
        "point": kept["point"] if kept["point"] in there else None,
        "hidden": kept["hidden"],
        "selected": [i for i in kept["selected"] if i in there],
    }


def keep(of: str, now: dict[str, Any], ids: list[int]) -> None:
    """What all planes show, in the session and in the link."""
    st.session_state[COMMON][of] = now
    words = {
        "chosen": in_link(now["selected"], ids),
        "hidden": ",".join(map(str, now["hidden"])),
        "point": "" if now["point"] is None else str(now["point"]),
    }
    for name, text in words.items():
        if st.query_params.get(f"reduce.{name}", "") == text:
            continue
        if text:
            st.query_params[f"reduce.{name}"] = text
        else:
            st.query_params.pop(f"reduce.{name}", None)


def hear(of: str, keys: Iterable[str], ids: list[int]) -> None:
    """What was clicked, chosen or hidden last, on whichever plane, is what all show.

    The planes tell each other in the browser, and then all of them tell us, one after another.
    """
    views = [view for key in keys if (view := live(key, "view"))]
    newest = max(views, key=lambda view: view["changed"], default=None)
    if newest and newest["changed"] > st.session_state.get(HEARD, 0):
        st.session_state[HEARD] = newest["changed"]
        keep(of, {name: newest[name] for name in ("point", "selected", "hidden")}, ids)


def said(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def page() -> None:
    exhibit.heading(
        "Reduce",
        "The same digits, squeezed to **two numbers each** in many ways. Point at an image, click it, or draw a ring "
        "around some with the lasso: all planes show the same ones.",
    )
    with st.expander("Which images"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        settings = {
            "n": st.select_slider(
                "Images placed", [300, 600, 1000, 1500, 2000, 3000], 1500, key="reduce.n", width=260, **LINKED
            ),
            "epochs": st.select_slider(
                "Epochs of the autoencoder that sees these alone",
                [10, 30, 100, 300],
                100,
                key="reduce.epochs",
                width=300,
                **LINKED,
            ),
            "seed": layout.number("Seed", 100, "reduce.seed", width=130),
        }
    found = studies.result("reduce", settings, "The same digits on a plane by each method", 150)
    if found is None:
        st.stop()
    data = library.load(DataSpec())
    rows = {row["name"]: row for row in found["rows"]}
    said_by = json.dumps(settings)

    @st.cache_data(max_entries=4, show_spinner=False)
    def pictures(half: str, ids: tuple[int, ...]) -> np.ndarray:
        """uint8 (n, H, W)"""
        return examples.images(getattr(data, half), np.array(ids), maps.THUMBNAIL)

    @st.cache_data(max_entries=16, show_spinner=False)
    def restored(said_by: str, name: str, new: bool) -> np.ndarray | None:
        """uint8 (n, H, W): every image from its place on a plane, None where there is no way back."""
        where = rows[name]["projected" if new else "points"]
        back = None if where is None else reduce.restore(found, rows[name], data, np.array(where, np.float32).T)
        return None if back is None else to_uint8(back)

    @st.fragment
    @plain_errors()
    def shown() -> None:
        """The planes side by side, and what was chosen on any of them."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            names = st.pills(
                "Methods",
                list(rows),
                selection_mode="multi",
                default=[n for n in FIRST if n in rows],
                key="reduce.methods",
                **LINKED,
            )
            new = layout.option("Images", ["placed", "new ones"], "reduce.images") == "new ones"
        half, ids = ("test", found["new_images"]) if new else ("train", found["images"])
        labels = np.array(found["new_labels" if new else "labels"])
        places = {int(i): k for k, i in enumerate(ids)}
        of = f"{said_by}.{half}"
        hear(of, [f"reduce.{name}.{half}" for name in names], ids)
        marked = common(of, ids)
        keep(of, marked, ids)
        drawn = st.session_state[DRAWN] = st.session_state.get(DRAWN, set()) & {(of, name) for name in names}
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
                points, key = np.array(where, np.float32).T, f"reduce.{name}.{half}"
                state = None
                if (of, name) not in drawn:
                    at = None if marked["point"] is None else [float(v) for v in points[places[marked["point"]]]]
                    state = {**(live(key, "view") or {}), **marked, "cursor": at, "changed": 0}
                latent_map(
                    points,
                    np.array(ids),
                    labels,
                    images=images,
                    class_names=data.classes,
                    height=420,
                    reconstructions=restored(said_by, name, new),
                    key=key,
                    axes=("1", "2"),
                    caption=figures,
                    state=state,
                    group=f"reduce.{of}",
                    alt=f"{len(ids):,} digits placed by {name}",
                )
                drawn.add((of, name))
        some = marked["selected"] or ([marked["point"]] if marked["point"] is not None else [])
        if some:
            st.markdown(f"**{len(some):,} chosen**" + (f"; the first {SHOWN}" if len(some) > SHOWN else ""))
            at = [places[i] for i in some[:SHOWN]]
            back = [(name, restored(said_by, name, new)) for name in names]
            contact(
                [("", images[at]), *((name, tiles[at]) for name, tiles in back if tiles is not None)],
                key="reduce.sheet",
                tile=48,
                captions=[str(labels[k]) for k in at],
                alt="The chosen images, and each from its place on the planes that have a way back",
            )

    shown()

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
        f"{found['n']:,} training digits placed, {found['new']:,} held-out ones projected afterwards, seed "
        f"{found['seed']}. “autoencoder” saw these {found['n']:,} images alone, for {found['epochs']} epochs, as all "
        "others did; two trained examples saw MNIST’s 60,000. LDA was told the classes. Times are of one core beside "
        "other work, so a rough guide; UMAP’s first call compiles. –: not defined for this method, or not offered."
    )
    st.latex(
        r"T = 1 - \frac{2}{nk(2n-3k-1)}\sum_{i=1}^{n}\sum_{j \in U_k(i)}\left(r(i,j) - k\right),\qquad "
        rf"n = {found['n']},\; k = 12"
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

    if found["sizes"]:
        st.header("Error against the size of the code", anchor=False)
        sizes = [row["size"] for row in found["sizes"]]
        made = empty_figure(380, "numbers in the code", "squared error per pixel")
        for name, key, colour in (("autoencoder", "deep", LINES[0]), ("PCA", "pca", LINES[1])):
            made.add_scatter(
                x=sizes,
                y=[row[key] for row in found["sizes"]],
                name=name,
                mode="lines+markers",
                line={"color": colour, "width": 3},
                marker={"size": 11},
                hovertemplate="%{y:.4f}",
            )
        made.update_xaxes(type="log", tickvals=sizes, ticktext=[str(size) for size in sizes])
        made.update_yaxes(rangemode="tozero")
        show_figure(made, "reduce.sizes", "Error by code size: the autoencoder below PCA")
        st.latex(plots.equation(r"\min_{A,B}\;\mathbb{E}\;\term{recon}{\lVert x - B(A(x))\rVert^2}"))
        st.caption(
            "1,000 held-out digits; one seed. The autoencoders saw MNIST’s 60,000 images, PCA the 10,000 of them "
            "that come with the program. The page Bottleneck has the pictures."
        )
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
