"""Cluster (§4.3): groups found in codes without labels, looked at, named and taken home; your own images, too."""

from __future__ import annotations

import json
from typing import Any, Literal, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run, inference
from aecore.explore import examples, maps
from aecore.explore.images import to_uint8
from aecore.explore.planes import plane
from aecore.tasks import cluster
from app import cached, library, pages
from app.browser import Dots, Field, latent_map, swarm
from app.browser.contact import contact
from app.cached import example
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import class_names, label_of
from app.link import LINKED, keep_step, recall_step, requested_run, set_run
from app.panels import layout
from app.panels import study as studies
from app.panels.downloads import csv_table, download_button, download_row, python_button
from app.session import plain_errors
from app.text import escape_markdown

MOST = 2000  # images that are clustered
GRID = 32  # decoded tiles along a side of the map
SHOWN = 12  # members, and outliers
LONGEST = 40  # letters of a name
TAKEN = 20_000  # images in the file of assignments, of each half
SEEDS, TRAININGS = 5, 3
HALVES: dict[str, Literal["test", "train"]] = {"held-out": "test", "training": "train"}
OWN = "its own clusters"
SPACES: dict[str, Literal["codes", "pca", "pixels"]] = {
    "k-means on codes": "codes",
    "k-means on PCA": "pca",
    "k-means on pixels": "pixels",
}
SCORES = {"accuracy": "accuracy", "NMI": "nmi", "ARI": "ari", "silhouette": "silhouette"}


class Grouped(NamedTuple):
    """ids (n,) of what was clustered.  h: (n, D) codes.  found: the clusters.  scores, objective: of the clustering.

    decoded, mean: uint8 (K, H, W[, 3]) the decoded mean code and the mean image of each cluster.
    """

    ids: np.ndarray
    h: np.ndarray
    found: cluster.Clusters
    scores: dict[str, float | None]
    objective: float
    decoded: np.ndarray
    mean: np.ndarray


@cached.remember(max_entries=24, show_spinner="Looking for clusters …")
def grouped(run: Run, how: str, k: int, seed: int, half: Literal["test", "train"]) -> tuple:
    """What `Grouped` holds."""
    model, data = library.model(run), library.data(run)
    split = getattr(data, half)
    ids = examples.choose(split, MOST)
    h = inference.encode(model, split, ids)
    if how == OWN:
        found, space = cluster.own(model, split, ids), h
    else:
        space = cluster.represent(SPACES[how], data, split, ids, model)
        found = cluster.fit(space, k, seed)
    labels = None if split.labels is None else split.labels[ids]
    x = inference.examples(split, ids).numpy()
    middle = [np.nan_to_num(cluster.means(of, found.assigned, len(found.centres))) for of in (h, x)]
    return (
        ids,
        h,
        found,
        cluster.scores(space, found.assigned, labels),
        float(np.square(found.distance).mean()),
        to_uint8(inference.decode(model, middle[0])),
        to_uint8(middle[1]),
    )


class Ground(NamedTuple):
    """points: (n, 2).  tiles: (GRID, GRID, H, W[, 3]), lowest row first.  extent: (x0, x1, y0, y1).  axes: names."""

    points: np.ndarray
    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    axes: tuple[str, str]


@cached.remember(max_entries=24, show_spinner="Placing the codes on a plane …")
def ground(run: Run, how: str, k: int, seed: int, half: Literal["test", "train"], apart: bool) -> tuple:
    """What `Ground` holds."""
    of = Grouped(*grouped(run, how, k, seed, half))
    found = cluster.flat(of.h, of.found.assigned if apart else np.zeros(len(of.h), int))
    low, high = found.points.min(0), found.points.max(0)
    low, high = low - 0.04 * (high - low) - 1e-3, high + 0.04 * (high - low) + 1e-3
    across, up = (high - low)[:, None] * found.directions
    tiles = plane(library.model(run), found.origin + low @ found.directions, across, up, GRID, maps.THUMBNAIL)
    return found.points, tiles, (float(low[0]), float(high[0]), float(low[1]), float(high[1])), found.axes


def choose(c: int) -> None:
    st.session_state["_cluster.c"] = c
    keep_step("cluster.c", c, 0)


@cached.remember(max_entries=8)
def small_images(run: Run, half: str) -> np.ndarray:
    split = getattr(library.data(run), half)
    return examples.images(split, examples.choose(split, MOST), maps.THUMBNAIL)


@st.fragment
@plain_errors()
def comparison() -> None:
    """The stored study as dots and as a table."""
    found = studies.result("cluster", {"seeds": SEEDS}, "k-means on pixels, PCA and codes", 40)
    if found is None:
        return
    name = layout.option("Figure", list(SCORES), "cluster.score")
    key = SCORES[name]
    rows = sorted(found["rows"], key=lambda row: np.mean([one[key] for one in row["scores"]]))

    def said(row: dict[str, Any]) -> str:
        return row["name"] + (", its own" if row["how"] == "own" else "")

    made = empty_figure(80 + 38 * (len(rows) + (len(cluster.PUBLISHED) if key == "accuracy" else 0)), name)
    for how_, symbol, colour, words in (
        ("k-means", "circle", LINES[0], "k-means, a dot for each seed"),
        ("own", "diamond", LINES[1], "its own clusters"),
    ):
        these = [(one[key], said(row)) for row in rows if row["how"] == how_ for one in row["scores"]]
        made.add_scatter(
            x=[x for x, _ in these],
            y=[y for _, y in these],
            mode="markers",
            name=words,
            marker={"symbol": symbol, "size": 13, "color": colour, "opacity": 0.75},
            hovertemplate="%{x:.3f}<extra>%{y}</extra>",
        )
    if key == "accuracy":
        for place, (what, low, high, source) in enumerate(cluster.PUBLISHED):
            made.add_scatter(
                x=[high if low is None else low, high],
                y=[f"published: {what}"] * 2,
                mode="lines+markers",
                name="published",
                showlegend=place == 0,
                line={"color": plots.INK, "width": 4},
                marker={"symbol": "square-open", "size": 12, "color": plots.INK},
                hovertemplate=f"%{{x:.2f}}: {source}<extra></extra>",
            )
    made.update_layout(hovermode="closest")
    made.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[*(said(row) for row in rows), *(f"published: {p[0]}" for p in cluster.PUBLISHED)],
    )
    show_figure(made, "cluster.compare", f"{name} of clusters from pixels, PCA, codes and models’ own clusters")
    table: dict[str, list] = {"clustered": [], "how": [], "numbers": [], **{title: [] for title in SCORES}}
    for row in reversed(rows):
        table["clustered"].append(row["name"])
        table["how"].append(f"k-means, {found['seeds']} seeds" if row["how"] == "k-means" else "its own")
        table["numbers"].append(row["size"])
        for title, of_ in SCORES.items():
            values = np.array([one[of_] for one in row["scores"]])
            table[title].append(f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""))
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"Over {found['n']:,} held-out images, mean ± standard deviation over {found['seeds']} seeds of k-means, each "
        "with 10 starts. The models were trained on MNIST’s 60,000 training images, with one seed each. A silhouette "
        "is taken in the space that was clustered, so rows do not compare well by it."
    )
    download_row(
        "cluster-compared",
        table,
        f"""
from aecore import tasks

for row in tasks.compute("cluster", {{"seeds": {found["seeds"]}}})["rows"]:
    print(row["name"], row["how"], row["scores"])
""",
        "cluster.home",
    )


FACTORS = {"a tenth": 0.1, "as usual": 1.0, "ten times": 10.0}
LAWS = {
    "centroid": r"\term{recon}{\Delta\!\left(x, B(h)\right)} + \lambda\,\term{centre}{\lVert h - c^*\rVert^2}",
    "dcec": r"\term{recon}{\Delta\!\left(x, B(h)\right)} + \gamma\,\term{cluster}{D_{KL}(P\,\Vert\,Q)}",
}
WORDS = {"centroids": "centroid", "soft assignments (DCEC)": "dcec"}


@st.fragment
@plain_errors()
def by_rounds() -> None:
    """The embedding as it moves, and its scores beside those of the same training without clusters."""
    from aecore.catalog import entry

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        which = WORDS[layout.option("Model", list(WORDS), "cluster.rounds")]
        usual = float(entry(which).params[cluster.WEIGHTS[which]].default)
        factor = FACTORS[layout.option("Weight of the clusters", list(FACTORS), "cluster.weight", "as usual")]
        name = layout.option("Figure", list(SCORES), "cluster.curve")
    weight, trainings = (None, TRAININGS) if factor == 1 else (usual * factor, 1)
    found = studies.result(
        "cluster",
        {"look": "rounds", "model": which, "weight": weight, "seeds": trainings},
        f"{trainings} seeds, each trained with and without clusters",
        75 * trainings,
    )
    st.latex(
        plots.equation(
            LAWS[which] + rf",\qquad \{'lambda' if which == 'centroid' else 'gamma'} = "
            f"{usual * factor:g}"
        )
    )
    if found is None:
        return
    key = SCORES[name]
    points, centres = np.array(found["points"]), np.array(found["centres"])
    steps = ["k-means", *(f"round {r}" for r in range(1, len(points)))]
    both = np.concatenate([points.reshape(-1, 2), centres.reshape(-1, 2)])
    low, high = np.quantile(both, 0.002, 0), np.quantile(both, 0.998, 0)
    middle, reach = (low + high) / 2, 0.54 * float((high - low).max())
    left, right = st.container(key="halves-rounds").columns(2, gap="large")
    with left:
        first = found["with"][0]
        notes = [f"accuracy {one['accuracy']:.3f}, silhouette {one['silhouette']:.3f}" for one in first]
        field = Field(
            "codes, coloured by class",
            [
                Dots(points, labels=np.array(found["labels"]), size=7, opacity=0.85),
                Dots(centres, plots.INK, name="centres", size=17, opacity=0.9),
            ],
            (middle[0] - reach, middle[0] + reach, middle[1] - reach, middle[1] + reach),
            notes=notes,
        )
        at = swarm(
            [field],
            key=f"cluster.swarm.{which}.{factor}",
            steps=steps,
            fps=2,
            step=recall_step("cluster.round"),
            alt="Codes and centres, round after round",
        )
        keep_step("cluster.round", at, len(steps) - 1)
    with right:
        made = empty_figure(420, "round", name)
        for part, colour, dash, words in (
            ("with", LINES[0], "solid", "with clusters"),
            ("without", plots.INK, "dot", "reconstruction alone"),
        ):
            for place, run_ in enumerate(found[part]):
                made.add_scatter(
                    y=[one[key] for one in run_],
                    name=words,
                    legendgroup=words,
                    showlegend=place == 0,
                    line={"color": colour, "dash": dash, "width": 3},
                    hovertemplate="%{y:.3f}",
                )
        made.add_vline(x=at, line={"color": plots.INK, "dash": "dash"})
        show_figure(made, "cluster.curves", f"{name} by round, with the clusters’ term and without")
        gains = {part: np.array([run_[-1][key] - run_[0][key] for run_ in found[part]]) for part in ("with", "without")}
        key_figures(
            [
                (
                    words,
                    f"{gains[part].mean():+.3f}",
                    f"{name}, last round − k-means; above 0 in "
                    f"{int((gains[part] > 0).sum())} of {found['seeds']} seeds",
                    colour,
                )
                for part, words, colour in (
                    ("with", "with clusters", LINES[0]),
                    ("without", "reconstruction alone", plots.INK),
                )
            ]
        )
    st.caption(
        f"{found['train']:,} training digits of 16 × 16 pixels; scores over {found['n']:,} held-out ones; the picture "
        f"shows {len(found['labels'])} of them, with seed 0. The plane is fixed: that in which the last round’s "
        "clusters lie apart. Dotted: the same further training, from the same start, without the second term."
    )


def page() -> None:
    if not requested_run() and example("dcec-10"):
        set_run("dcec-10")
    run = layout.opening(
        "Cluster",
        "No label was ever seen here. **Do images of one kind still end up together?** Click a cluster, give it a "
        "name, take the groups home.",
        "encode",
        "decode",
    )
    able = cluster.has_own(library.model(run))

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        how = layout.option("Clusters", [*([OWN] if able else []), *SPACES], "cluster.how")
        k, seed = 0, 0
        half = HALVES[layout.option("Images", list(HALVES), "cluster.half")]
        there = min(len(getattr(library.data(run), half)), MOST)
        if there < 2:
            st.info(
                "There are fewer than two images in this half: add pictures, or look at the other half.",
                icon=":material/info:",
            )
            st.stop()
        if how != OWN:
            k = layout.number(
                "Clusters K", min(26, there), "cluster.k", 2, value=max(2, min(10, there // 3)), width=120
            )
            seed = layout.number("Seed", 99, "cluster.seed", width=110)
        apart = layout.option("Plane", ["clusters apart", "PCA"], "cluster.plane") == "clusters apart"
        by_class = False
        if class_names(run):
            by_class = layout.option("Colour", ["cluster", "class"], "cluster.colour") == "class"

    of = Grouped(*grouped(run, how, k, seed, half))
    split = getattr(library.data(run), half)
    labels = None if split.labels is None else split.labels[of.ids]
    count = len(of.found.centres)
    sizes = np.bincount(of.found.assigned, minlength=count)
    best, share = (None, None) if labels is None else cluster.majority(of.found.assigned, labels, count)

    def from_link() -> dict[int, str]:
        """Names that the link gives clusters; none, where it makes no sense."""
        try:
            said = json.loads(st.query_params.get("cluster.names", "{}"))
            return {int(c): str(name)[:LONGEST] for c, name in said.items() if 0 <= int(c) < count}
        except (ValueError, AttributeError):
            return {}

    grouping = (run.info.id, how, k, seed, half)
    if "_cluster.names" not in st.session_state:
        st.session_state["_cluster.names"] = {grouping: from_link()}
    names: dict[int, str] = st.session_state["_cluster.names"].setdefault(grouping, {})

    def name_in_link() -> None:
        """The names of these clusters, and no others, stand in the link."""
        if names:
            st.query_params["cluster.names"] = json.dumps(names, ensure_ascii=False, separators=(",", ":"))
        else:
            st.query_params.pop("cluster.names", None)

    name_in_link()

    def called(c: int) -> str:
        """A cluster in a few words: "C", with the name it was given, or its commonest class."""
        more = names.get(c) or ("" if best is None or best[c] < 0 else class_names(run)[int(best[c])])
        return f"{cluster.letter(c)}: {more}" if more else cluster.letter(c)

    def chosen() -> int:
        known = st.session_state.get("_cluster.c")
        return min((recall_step("cluster.c") or 0) if known is None else known, count - 1)

    def the_map() -> None:
        """All codes, coloured by cluster or class; a click opens the cluster of that image."""
        view = Ground(*ground(run, how, k, seed, half, apart))
        only = st.session_state.get("cluster.only", st.query_params.get("cluster.only") == "true")
        state: dict[str, Any] = dict(
            latent_map(
                view.points,
                of.ids,
                labels if by_class else of.found.assigned,
                images=codes_pictures(),
                key=f"cluster.{run.info.id}.{how}.{k}.{seed}.{half}.{apart}.{by_class}",
                class_names=class_names(run) if by_class else [called(c) for c in range(count)],
                plane=view.tiles,
                extent=view.extent,
                axes=view.axes,
                height=560,
                caption=f"{maps.caption(len(of.ids), len(split), half)}, by their codes."
                + (" The plane was chosen so that these clusters lie apart." if apart and of.h.shape[1] > 2 else ""),
                alt=f"Map of the codes of {run.info.title}, coloured by {'class' if by_class else 'cluster'}",
                state={"hidden": [c for c in range(count) if c != chosen()] if only else []} if not by_class else None,
            )
        )
        point = state["point"]
        if point is not None and point != st.session_state.get("_cluster.point"):
            st.session_state["_cluster.point"] = point
            if len(row := np.flatnonzero(of.ids == point)):
                choose(int(of.found.assigned[row[0]]))
        if picked := [int(i) for i in state["selected"]]:
            some = tuple(picked[: 2 * SHOWN])
            rows = {int(i): r for r, i in enumerate(of.ids)}
            st.markdown(
                f"**{len(picked):,} selected**" + (f", the first {len(some)}" if len(picked) > len(some) else "")
            )
            contact(
                [("", cached.images(run, some, half))],
                key="cluster.selected",
                tile=48,
                alt="Selected images",
                captions=[cluster.letter(int(of.found.assigned[rows[i]])) for i in some],
            )

    def codes_pictures() -> np.ndarray:
        return small_images(run, half)

    def numbers() -> None:
        """How good the clusters are."""
        value = {name: of.scores.get(key) for name, key in SCORES.items()}
        words = {
            "accuracy": "share in the cluster that is named after its class",
            "NMI": "what cluster and class say of each other, from 0 to 1",
            "ARI": "pairs that are together in both; chance is 0",
            "silhouette": "own cluster near, others far; needs no labels",
        }
        key_figures([(name, f"{found:.3f}", words[name], "") for name, found in value.items() if found is not None])

    def all_clusters() -> None:
        """Each cluster as the picture of its middle."""
        full = [c for c in np.argsort(best if best is not None else -sizes, kind="stable") if sizes[c]]
        nearest = [int(of.ids[cluster.members(of.found, c, 1)[0]]) for c in full]
        picked = contact(
            [
                ("decoded mean code", of.decoded[full]),
                ("mean image", of.mean[full]),
                ("nearest member", cached.images(run, tuple(nearest), half)),
            ],
            key="cluster.all",
            ids=[int(c) for c in full],
            chosen=chosen(),
            tile=64,
            pick="Show its members",
            captions=[f"{called(int(c))} · {sizes[c]:,}" for c in full],
            alt="Each cluster: its mean code decoded, its mean image, its nearest member",
        )
        if picked is not None and picked != chosen():
            choose(int(picked))
            st.rerun()
        empty = [cluster.letter(c) for c in range(count) if not sizes[c]]
        if empty:
            st.caption(f"Without a member: {', '.join(empty)}.")

    def named(c: int, key: str) -> None:
        """Keep the name that was typed; none where it was emptied."""
        if text := st.session_state[key].strip():
            names[c] = text
        else:
            names.pop(c, None)
        name_in_link()

    def one_cluster() -> None:
        """Members, outliers and name of the chosen cluster."""
        c = chosen()
        title, name = st.columns([3, 2], vertical_alignment="bottom")
        with title:
            st.subheader(escape_markdown(f"Cluster {called(c)}"), anchor=False)
            words = f"{sizes[c]:,} images"
            if best is not None and share is not None and sizes[c]:
                words += f", {100 * share[c]:.0f} % of them “{class_names(run)[int(best[c])]}”"
            st.markdown(escape_markdown(words))
        with name:
            key = f"cluster.name.{run.info.id}.{how}.{k}.{seed}.{half}.{c}"
            st.session_state.setdefault(key, names.get(c, ""))
            st.text_input(
                "Its name", key=key, max_chars=LONGEST, placeholder="What do you see?", on_change=named, args=(c, key)
            )
        if not sizes[c]:
            st.info("No image lies in this cluster.", icon=":material/info:")
            return
        for far, words in ((False, "nearest to its middle"), (True, "farthest from it: its outliers")):
            ids = of.ids[cluster.members(of.found, c, SHOWN, far)]
            captions = [label_of(run, int(i), half) or str(i) for i in ids]
            contact(
                [(words, cached.images(run, tuple(map(int, ids)), half))],
                key=f"cluster.members.{far}",
                tile=64,
                captions=captions,
                alt=f"Images of cluster {cluster.letter(c)}, {words}",
            )

    def assignments() -> str:
        """Every image of both halves with its cluster."""
        model, data = library.model(run), library.data(run)
        parts: list[list] = [[], [], [], [], [], []]
        for word, which in HALVES.items():
            other = getattr(data, which)
            ids = inference.first(other, TAKEN)
            if how == OWN:
                found = cluster.own(model, other, ids)
            else:
                found = cluster.predict(of.found, cluster.represent(SPACES[how], data, other, ids, model))
            parts[0] += [word] * len(ids)
            parts[1] += ids.tolist()
            parts[2] += [cluster.letter(int(c)) for c in found.assigned]
            parts[3] += [names.get(int(c), "") for c in found.assigned]
            parts[4] += [label_of(run, int(i), which) for i in ids]
            parts[5] += found.distance.tolist()
        return csv_table(["half", "image", "cluster", "name", "class", "distance"], *parts)

    @st.fragment
    @plain_errors()
    def shown() -> None:
        """The map, its clusters, the one that was chosen."""
        with st.container(key="halves-cluster"):
            left, right = st.columns(2, gap="large")
            with left:
                the_map()
                if not by_class:
                    st.toggle("Only the chosen cluster on the map", key="cluster.only", **LINKED)
            with right:
                numbers()
                all_clusters()
        one_cluster()
        with st.container(horizontal=True):
            download_button("Assignments as CSV", assignments, f"{run.info.id}-clusters.csv", "text/csv", "cluster.csv")
            download_button(
                "Clusters as PNG",
                lambda: plots.png(contact_sheet(np.concatenate([of.decoded, of.mean]), count)),
                f"{run.info.id}-clusters.png",
                "image/png",
                "cluster.png",
            )
            space = SPACES.get(how, "codes")
            python_button(
                run,
                f"""
from aecore.explore import examples
from aecore import inference
from aecore.tasks import cluster

data = run.data()
split = data.{half}
ids = examples.choose(split, {MOST})
h = cluster.represent("{space}", data, split, ids, run.model())
found = {"cluster.own(run.model(), split, ids)" if how == OWN else f"cluster.fit(h, {k}, seed={seed})"}
labels = None if split.labels is None else split.labels[ids]
print(np.bincount(found.assigned), cluster.scores(h, found.assigned, labels))
""",
                "cluster.python",
            )
            pages.link("map", label="The same codes on the Map", icon="scatter_plot", query={"run": run.info.id})
        st.caption(f"The file has up to {TAKEN:,} images of each half, with the names that you gave.")

    shown()
    if how == OWN:
        st.latex(plots.equation(run.entry.equation))
    else:
        st.latex(
            r"\min_{c,\,\mu}\;\frac1n\sum_{i=1}^{n}\lVert h_i - \mu_{c(i)}\rVert^2 = "
            rf"{of.objective:.4g},\qquad n = {len(of.ids)},\; K = {k}"
        )

    st.header("How good, and by which way", anchor=False)
    st.markdown(
        "The bundled held-out digits, ten clusters. Each dot is one seed of k-means; a diamond is a model’s own "
        "clusters. Grey: **published** by others, on MNIST."
    )

    comparison()

    st.header("Round by round", anchor=False)
    st.markdown(
        "A plain autoencoder learns to reconstruct; k-means finds ten centres among its codes. **From here on the "
        "codes are trained too**: each round draws them to their centres, then the centres follow. Drag the track."
    )

    by_rounds()
    with st.expander("What to look for"):
        st.markdown(
            "- **k-means on codes** agrees better with the classes than k-means on pixels, for non-linear codes. A "
            "linear code has what PCA has, and gains nothing.\n"
            "- **Outliers** are where a cluster is unsure: a 4 like a 9, a 1 that leans.\n"
            "- **One class in two clusters** and **two in one**: upright and slanted ones part, 4 and 9 meet. The "
            "scores punish it; the clusters are no less real.\n"
            "- **A tighter embedding is not a truer one**: the silhouette leaps round by round, the accuracy creeps.\n"
            "- **Centroids**: this example of ours does no better than pixels; see the dots. Its rounds do raise what "
            "they start from."
        )
    with st.expander("Why"):
        st.markdown(
            "Codes have few numbers, and distances in them mean more than between pixels: a digit that is shifted by "
            "two pixels is far away as an image. A plain autoencoder’s codes are made for reconstruction, not for "
            "clusters, so the chapter names ways to retrain them. Song et al. (2013), "
            "doi:10.1007/978-3-642-41822-8_15, draw codes to their centres. Xie et al. (2016), arXiv:1511.06335, and "
            "Guo et al. (2017), doi:10.1007/978-3-319-70096-0_39, draw soft assignments to a surer version of "
            "themselves. Dilokthanakul et al. (2016), arXiv:1611.02648, and VaDE (Jiang et al., 2017, "
            "arXiv:1611.05148) put the clusters into the prior. Accuracy names each cluster after one class, the best "
            "way (Hungarian algorithm). Published accuracies are of larger nets trained for longer, and often the "
            "best of several runs. Section 4.3."
        )
