"""Cluster (§4.3): groups in codes, found without labels, to look at, to name and to take home; for own images, too."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from aecore import Run, entry, inference
from aecore.data.base import Split
from aecore.explore import examples, maps
from aecore.explore.images import to_uint8
from aecore.tasks import cluster
from app import cached, library, pages
from app.browser.contact import contact
from app.browser.latent_map import latent_map
from app.browser.swarm import Dots, Field, swarm
from app.cached import example
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import class_names, label_of
from app.link import Kept, requested_run, set_run, to_page
from app.panels import layout
from app.panels import study as studies
from app.panels.downloads import csv_table, download_button, download_row, python_button
from app.session import plain_errors
from app.state import Choice, Flag, Number, Step
from app.text import escape_markdown

FIRST_RUN = "dcec-10"
"""The trained example that the page opens with."""
ROUND_MODELS = {"centroids": "centroid", "soft assignments (DCEC)": "dcec"}
"""What the page calls the models that are watched round by round → their catalog keys."""

MOST = 2000  # images that are clustered
GRID = 32  # decoded tiles along a side of the map
SHOWN = 12  # members that are shown, and as many outliers
LONGEST = 40  # letters of a cluster's name
TAKEN = 20_000  # images of each split in the file of assignments
SEEDS, TRAININGS = 5, 3  # of k-means, and of watched trainings
SPLITS: dict[str, Literal["test", "train"]] = {"held-out": "test", "training": "train"}
OWN = "its own clusters"
SPACES: dict[str, cluster.Space] = {
    "k-means on codes": "codes",
    "k-means on PCA": "pca",
    "k-means on pixels": "pixels",
}
SCORES = {"accuracy": "accuracy", "NMI": "nmi", "ARI": "ari", "silhouette": "silhouette"}
MEANINGS = {
    "accuracy": "share in the cluster that is named after its class",
    "NMI": "what cluster and class say of each other, from 0 to 1",
    "ARI": "pairs that are together in both; chance is 0",
    "silhouette": "own cluster near, others far; needs no labels",
}
FACTORS = {"a tenth": 0.1, "as usual": 1.0, "ten times": 10.0}
APART, BY_CLASS = "clusters apart", "class"


@dataclass(frozen=True)
class Names(Kept[Mapping[int, str]]):
    """Names that the visitor gave to some of `count` clusters, counted from 0.

    The text is JSON: {0: "loops"} is '{"0":"loops"}'. A malformed text names no cluster, and names of clusters that do
    not exist are left out.
    """

    count: int = 0

    def initial(self) -> Mapping[int, str]:
        return {}

    def read(self, text: str) -> Mapping[int, str]:
        try:
            names = json.loads(text)
            return {int(c): str(name)[:LONGEST] for c, name in names.items() if 0 <= int(c) < self.count}
        except (ValueError, AttributeError, RecursionError):
            return {}

    def write(self, value: Mapping[int, str]) -> str:
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class State:
    """What is clustered and how it is shown; the chosen cluster of a run; the names of clusters; the two studies.

    Each grouping of images has its own names, which are remembered.
    """

    how: Choice[str] = Choice("cluster.how", tuple(SPACES))
    split = Choice("cluster.half", tuple(SPLITS))
    k = Number("cluster.k", 2)
    seed = Number("cluster.seed", 0, 99)
    plane = Choice("cluster.plane", (APART, "PCA"))
    colour = Choice("cluster.colour", ("cluster", BY_CLASS))
    only_chosen = Flag("cluster.only")
    cluster = Step("cluster.c")
    names = Names("cluster.names", each=True)
    score = Choice("cluster.score", tuple(SCORES))
    rounds_model = Choice("cluster.rounds", tuple(ROUND_MODELS))
    weight = Choice("cluster.weight", tuple(FACTORS), "as usual")
    rounds_score = Choice("cluster.curve", tuple(SCORES))
    at_round = Step("cluster.round")


class Chosen(NamedTuple):
    """What the visitor chose. how: OWN, or a key of SPACES.  apart: whether the plane sets the clusters apart."""

    run: Run
    how: str
    k: int
    seed: int
    split: Literal["test", "train"]
    apart: bool
    by_class: bool

    @property
    def space(self) -> cluster.Space | None:
        """What is clustered; None for the model's own clusters."""
        return SPACES.get(self.how)

    @property
    def grouping(self) -> tuple[str, str, int, int, str]:
        """What makes these clusters different from others."""
        return self.run.info.id, self.how, self.k, self.seed, self.split

    @property
    def examples(self) -> Split:
        return getattr(library.data(self.run), self.split)


class Clustered(NamedTuple):
    """Groups and what is known of each of the K clusters.

    sizes: (K,) numbers of members.  labels: (n,) classes of the examples, or None.
    majority: (K,) the most frequent class, −1 if empty.  share: (K,) of the members that have it. None without labels.
    names: given by the visitor.
    """

    groups: cluster.Groups
    sizes: np.ndarray
    labels: np.ndarray | None
    majority: np.ndarray | None
    share: np.ndarray | None
    names: Mapping[int, str]
    class_names: list[str]

    def title(self, c: int) -> str:
        """A cluster's letter with the name it was given, or with its most frequent class."""
        name = self.names.get(c)
        if not name and self.majority is not None and self.majority[c] >= 0:
            name = self.class_names[int(self.majority[c])]
        return f"{cluster.letter(c)}: {name}" if name else cluster.letter(c)


def page() -> None:
    if not requested_run() and example(FIRST_RUN):
        set_run(FIRST_RUN)
    run = layout.opening(
        "Cluster",
        "No label was ever seen here. **Do images of one kind still end up together?** Click a cluster, give it a "
        "name, take the groups home.",
        "encode",
        "decode",
    )
    choice = choose_clusters(run)
    groups = grouped(choice.run, choice.space, choice.k, choice.seed, choice.split)
    clusters(choice, groups)
    objective(choice, groups)

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
    explanations()


def choose_clusters(run: Run) -> Chosen:
    """Controls for what is clustered and how it is shown. The page stops where there is too little to cluster."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        own = [OWN] if "assign" in run.entry.abilities else []
        how = State.how.given(options=[*own, *SPACES]).option("Clusters")
        split = SPLITS[State.split.option("Images")]
        count = min(len(getattr(library.data(run), split)), MOST)
        if count < 2:
            st.info(
                "There are fewer than two images in this half: add pictures, or look at the other half.",
                icon=":material/info:",
            )
            st.stop()
        k, seed = 0, 0
        if how != OWN:
            usual = max(2, min(10, count // 3))
            k = State.k.given(most=min(26, count), default=usual).number("Clusters K", width=120)
            seed = State.seed.number("Seed", width=110)
        apart = State.plane.option("Plane") == APART
        by_class = bool(class_names(run)) and State.colour.option("Colour") == BY_CLASS
    return Chosen(run, how, k, seed, split, apart, by_class)


# --- what is computed, remembered -------------------------------------------------------------------------------------


@cached.remember(max_entries=24, show_spinner="Looking for clusters …")
def grouped(run: Run, space: cluster.Space | None, k: int, seed: int, split: str) -> cluster.Groups:
    """Clusters of a run's images, with a picture of each cluster: decoded, mean are uint8 (K, H, W[, 3])."""
    data = library.data(run)
    chosen = getattr(data, split)
    groups = cluster.group(library.model(run), data, chosen, examples.choose(chosen, MOST), space, k, seed)
    return groups._replace(decoded=to_uint8(groups.decoded), mean=to_uint8(groups.mean))


class Ground(NamedTuple):
    """The map.

    points: (n, 2).  axes: names.  tiles: (GRID, GRID, H, W[, 3]), the lowest row first.  extent: of the tiles.
    """

    points: np.ndarray
    axes: tuple[str, str]
    tiles: np.ndarray
    extent: cluster.Extent


@cached.remember(max_entries=24, show_spinner="Placing the codes on a plane …")
def ground(run: Run, space: cluster.Space | None, k: int, seed: int, split: str, apart: bool) -> Ground:
    """The codes on a plane, and images decoded all over it."""
    groups = grouped(run, space, k, seed, split)
    assigned = groups.clusters.assigned
    plane = cluster.plane_of(groups.h, assigned if apart else np.zeros_like(assigned))
    tiles, extent = cluster.decoded_plane(library.model(run), plane, GRID, maps.THUMBNAIL)
    return Ground(plane.points, plane.axes, tiles, extent)


@cached.remember(max_entries=8)
def thumbnails(run: Run, split: str) -> np.ndarray:
    """The images that are clustered, small: uint8 (n, H, W[, 3])."""
    chosen = getattr(library.data(run), split)
    return examples.images(chosen, examples.choose(chosen, MOST), maps.THUMBNAIL)


def describe(choice: Chosen, groups: cluster.Groups, names: Mapping[int, str]) -> Clustered:
    """What is known of each cluster."""
    labels = choice.examples.labels
    labels = None if labels is None else labels[groups.ids]
    majority, share = None, None
    if labels is not None:
        majority, share = cluster.majority(groups.clusters.assigned, labels, len(groups.sizes))
    return Clustered(groups, groups.sizes, labels, majority, share, names, class_names(choice.run))


# --- state that no widget holds: the chosen cluster, and names --------------------------------------------------------


def chosen_cluster(choice: Chosen, count: int) -> int:
    """The number of the chosen cluster, below `count`."""
    return min(State.cluster.get(choice.run.info.id) or 0, count - 1)


def rename(choice: Chosen, count: int, c: int, key: str) -> None:
    """Keep the name that was typed for cluster c of `count`; an empty one takes the name away."""
    names = State.names.given(count=count)
    named = {**names.get(choice.grouping), c: st.session_state[key].strip()}
    names.put({number: name for number, name in named.items() if name}, choice.grouping)


# --- the clusters -----------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def clusters(choice: Chosen, groups: cluster.Groups) -> None:
    """The map, all clusters, the chosen one, and files to take home.

    The link says the chosen cluster of this run, and the names of the clusters that are shown and no others.
    """
    identity = choice.run.info.id
    State.cluster.put(State.cluster.get(identity), identity)
    names = State.names.given(count=len(groups.sizes))
    names.put(names.get(choice.grouping), choice.grouping)
    clustered = describe(choice, groups, names.get(choice.grouping))
    with st.container(key="halves-cluster"):
        left, right = st.columns(2, gap="large")
        with left:
            code_map(choice, clustered)
            if not choice.by_class:
                State.only_chosen.toggle("Only the chosen cluster on the map")
        with right:
            quality(clustered.groups.scores)
            all_clusters(choice, clustered)
    one_cluster(choice, clustered)
    take_home(choice, clustered)


def code_map(choice: Chosen, clustered: Clustered) -> None:
    """All codes, coloured by cluster or class; a click opens the cluster of that image."""
    run, groups, count = choice.run, clustered.groups, len(clustered.sizes)
    view = ground(run, choice.space, choice.k, choice.seed, choice.split, choice.apart)
    hidden = [c for c in range(count) if c != chosen_cluster(choice, count)] if State.only_chosen.now() else []
    caption = f"{maps.caption(len(groups.ids), len(choice.examples), choice.split)}, by their codes."
    if choice.apart and groups.h.shape[1] > 2:
        caption += " The plane was chosen so that these clusters lie apart."
    state: dict[str, Any] = dict(
        latent_map(
            view.points,
            groups.ids,
            clustered.labels if choice.by_class else groups.clusters.assigned,
            images=thumbnails(run, choice.split),
            key=f"cluster.{'.'.join(map(str, choice.grouping))}.{choice.apart}.{choice.by_class}",
            class_names=clustered.class_names if choice.by_class else [clustered.title(c) for c in range(count)],
            plane=view.tiles,
            extent=view.extent,
            axes=view.axes,
            height=560,
            caption=caption,
            alt=f"Map of the codes of {run.info.title}, coloured by {'class' if choice.by_class else 'cluster'}",
            state=None if choice.by_class else {"hidden": hidden},
        )
    )
    point = state["point"]
    if point is not None and point != st.session_state.get("_cluster.point"):
        st.session_state["_cluster.point"] = point
        if len(row := np.flatnonzero(groups.ids == point)):
            State.cluster.put(int(groups.clusters.assigned[row[0]]), run.info.id)
    selected_images(choice, groups, [int(i) for i in state["selected"]])


def selected_images(choice: Chosen, groups: cluster.Groups, selected: list[int]) -> None:
    """The images that are selected on the map."""
    if not selected:
        return
    shown = tuple(selected[: 2 * SHOWN])
    more = f", the first {len(shown)}" if len(selected) > len(shown) else ""
    st.markdown(f"**{len(selected):,} selected**{more}")
    rows = {int(i): row for row, i in enumerate(groups.ids)}
    contact(
        [("", cached.images(choice.run, shown, choice.split))],
        key="cluster.selected",
        tile=48,
        alt="Selected images",
        captions=[cluster.letter(int(groups.clusters.assigned[rows[i]])) for i in shown],
    )


def quality(scores: Mapping[str, float | None]) -> None:
    """How good the clusters are."""
    values = {name: scores.get(key) for name, key in SCORES.items()}
    key_figures([(name, f"{value:.3f}", MEANINGS[name], "") for name, value in values.items() if value is not None])


def all_clusters(choice: Chosen, clustered: Clustered) -> None:
    """Each cluster as the picture of its middle; a click chooses it."""
    groups, sizes, count = clustered.groups, clustered.sizes, len(clustered.sizes)
    order = np.argsort(clustered.majority if clustered.majority is not None else -sizes, kind="stable")
    full = [int(c) for c in order if sizes[c]]
    nearest = tuple(int(groups.ids[cluster.members(groups.clusters, c, 1)[0]]) for c in full)
    picked = contact(
        [
            ("decoded mean code", groups.decoded[full]),
            ("mean image", groups.mean[full]),
            ("nearest member", cached.images(choice.run, nearest, choice.split)),
        ],
        key="cluster.all",
        ids=full,
        chosen=chosen_cluster(choice, count),
        tile=64,
        pick="Show its members",
        captions=[f"{clustered.title(c)} · {sizes[c]:,}" for c in full],
        alt="Each cluster: its mean code decoded, its mean image, its nearest member",
    )
    if picked is not None and picked != chosen_cluster(choice, count):
        State.cluster.put(int(picked), choice.run.info.id)
        st.rerun()
    if empty := [cluster.letter(c) for c in range(count) if not sizes[c]]:
        st.caption(f"Without a member: {', '.join(empty)}.")


def one_cluster(choice: Chosen, clustered: Clustered) -> None:
    """Members, outliers and name of the chosen cluster."""
    count = len(clustered.sizes)
    c = chosen_cluster(choice, count)
    title, name = st.columns([3, 2], vertical_alignment="bottom")
    with title:
        st.subheader(escape_markdown(f"Cluster {clustered.title(c)}"), anchor=False)
        text = f"{clustered.sizes[c]:,} images"
        if clustered.majority is not None and clustered.share is not None and clustered.sizes[c]:
            text += f", {100 * clustered.share[c]:.0f} % of them “{clustered.class_names[int(clustered.majority[c])]}”"
        st.markdown(escape_markdown(text))
    with name:
        key = f"cluster.name.{'.'.join(map(str, choice.grouping))}.{c}"
        st.session_state.setdefault(key, clustered.names.get(c, ""))
        st.text_input(
            "Its name",
            key=key,
            max_chars=LONGEST,
            placeholder="What do you see?",
            on_change=rename,
            args=(choice, count, c, key),
        )
    if not clustered.sizes[c]:
        st.info("No image lies in this cluster.", icon=":material/info:")
        return
    for far, words in ((False, "nearest to its middle"), (True, "farthest from it: its outliers")):
        ids = clustered.groups.ids[cluster.members(clustered.groups.clusters, c, SHOWN, far)]
        contact(
            [(words, cached.images(choice.run, tuple(map(int, ids)), choice.split))],
            key=f"cluster.members.{far}",
            tile=64,
            captions=[label_of(choice.run, int(i), choice.split) or str(i) for i in ids],
            alt=f"Images of cluster {cluster.letter(c)}, {words}",
        )


def objective(choice: Chosen, groups: cluster.Groups) -> None:
    """What the clusters minimise."""
    if choice.space is None:
        st.latex(plots.equation(choice.run.entry.equation))
    else:
        st.latex(
            r"\min_{c,\,\mu}\;\frac1n\sum_{i=1}^{n}\lVert h_i - \mu_{c(i)}\rVert^2 = "
            rf"{groups.objective:.4g},\qquad n = {len(groups.ids)},\; K = {choice.k}"
        )


def take_home(choice: Chosen, clustered: Clustered) -> None:
    """Assignments, pictures and Python lines of these clusters."""
    run, groups, count = choice.run, clustered.groups, len(clustered.sizes)
    with st.container(horizontal=True):
        download_button(
            "Assignments as CSV",
            lambda: assignments(choice, clustered),
            f"{run.info.id}-clusters.csv",
            "text/csv",
            "cluster.csv",
        )
        download_button(
            "Clusters as PNG",
            lambda: plots.png(contact_sheet(np.concatenate([groups.decoded, groups.mean]), count)),
            f"{run.info.id}-clusters.png",
            "image/png",
            "cluster.png",
        )
        own = "cluster.own(run.model(), split, ids)"
        k_means = f"cluster.fit(h, {choice.k}, seed={choice.seed})"
        python_button(
            run,
            f"""
from aecore.explore import examples
from aecore import inference
from aecore.tasks import cluster

data = run.data()
split = data.{choice.split}
ids = examples.choose(split, {MOST})
h = cluster.represent("{choice.space or "codes"}", data, split, ids, run.model())
clusters = {own if choice.space is None else k_means}
labels = None if split.labels is None else split.labels[ids]
print(np.bincount(clusters.assigned), cluster.scores(h, clusters.assigned, labels))
""",
            "cluster.python",
        )
        pages.link("map", label="The same codes on the Map", icon="scatter_plot", query=to_page(run=run.info.id))
    st.caption(f"The file has up to {TAKEN:,} images of each half, with the names that you gave.")


def assignments(choice: Chosen, clustered: Clustered) -> str:
    """CSV: every image of both splits with its cluster."""
    model, data = library.model(choice.run), library.data(choice.run)
    lines = []
    for word, name in SPLITS.items():
        split = getattr(data, name)
        ids = inference.first(split, TAKEN)
        sorted_in = cluster.sort(model, data, split, ids, clustered.groups.clusters, choice.space)
        for i, c, distance in zip(ids.tolist(), sorted_in.assigned.tolist(), sorted_in.distance.tolist(), strict=True):
            label = label_of(choice.run, i, name)
            lines.append((word, i, cluster.letter(c), clustered.names.get(c, ""), label, distance))
    return csv_table(["half", "image", "cluster", "name", "class", "distance"], *zip(*lines, strict=True))


# --- the stored comparison --------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def comparison() -> None:
    """The stored study as dots and as a table."""
    study = studies.result("cluster", {"seeds": SEEDS}, "k-means on pixels, PCA and codes", 40)
    if study is None:
        return
    name = State.score.option("Figure")
    rows = sorted(study["rows"], key=lambda row: np.mean([scores[SCORES[name]] for scores in row["scores"]]))
    show_figure(
        comparison_figure(rows, name),
        "cluster.compare",
        f"{name} of clusters from pixels, PCA, codes and models’ own clusters",
    )
    table = comparison_table(rows, study["seeds"])
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        f"Over {study['n']:,} held-out images, mean ± standard deviation over {study['seeds']} seeds of k-means, each "
        "with 10 starts. The models were trained on MNIST’s 60,000 training images, with one seed each. A silhouette "
        "is taken in the space that was clustered, so rows do not compare well by it."
    )
    download_row(
        "cluster-compared",
        table,
        f"""
from aecore import tasks

for row in tasks.compute("cluster", {{"seeds": {study["seeds"]}}})["rows"]:
    print(row["name"], row["how"], row["scores"])
""",
        "cluster.home",
    )


def comparison_figure(rows: list[dict[str, Any]], name: str) -> go.Figure:
    """A score of each row as dots, a dot for each seed; beside accuracies those that others published.

    rows: of the study, in their order from bottom to top.  name: of the score, a key of SCORES.
    """
    key = SCORES[name]
    published = cluster.PUBLISHED if key == "accuracy" else ()

    def title(row: Mapping[str, Any]) -> str:
        return row["name"] + (", its own" if row["how"] == "own" else "")

    figure = empty_figure(80 + 38 * (len(rows) + len(published)), name)
    for how, symbol, colour, legend in (
        ("k-means", "circle", LINES[0], "k-means, a dot for each seed"),
        ("own", "diamond", LINES[1], "its own clusters"),
    ):
        dots = [(scores[key], title(row)) for row in rows if row["how"] == how for scores in row["scores"]]
        figure.add_scatter(
            x=[x for x, _ in dots],
            y=[y for _, y in dots],
            mode="markers",
            name=legend,
            marker={"symbol": symbol, "size": 13, "color": colour, "opacity": 0.75},
            hovertemplate="%{x:.3f}<extra>%{y}</extra>",
        )
    for place, (method, low, high, source) in enumerate(published):
        figure.add_scatter(
            x=[high if low is None else low, high],
            y=[f"published: {method}"] * 2,
            mode="lines+markers",
            name="published",
            showlegend=place == 0,
            line={"color": plots.INK, "width": 4},
            marker={"symbol": "square-open", "size": 12, "color": plots.INK},
            hovertemplate=f"%{{x:.2f}}: {source}<extra></extra>",
        )
    figure.update_layout(hovermode="closest")
    order = [*map(title, rows), *(f"published: {method}" for method, *_ in cluster.PUBLISHED)]
    return figure.update_yaxes(type="category", categoryorder="array", categoryarray=order)


def comparison_table(rows: list[dict[str, Any]], seeds: int) -> dict[str, list]:
    """The rows of the study, the last first, with mean and deviation of every score."""
    table: dict[str, list] = {"clustered": [], "how": [], "numbers": [], **{name: [] for name in SCORES}}
    for row in reversed(rows):
        table["clustered"].append(row["name"])
        table["how"].append(f"k-means, {seeds} seeds" if row["how"] == "k-means" else "its own")
        table["numbers"].append(row["size"])
        for name, key in SCORES.items():
            values = np.array([scores[key] for scores in row["scores"]])
            deviation = f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else ""
            table[name].append(f"{values.mean():.3f}{deviation}")
    return table


# --- round by round ---------------------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def by_rounds() -> None:
    """Codes that move, and their scores beside those of the same training without clusters."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        key = ROUND_MODELS[State.rounds_model.option("Model")]
        factor = FACTORS[State.weight.option("Weight of the clusters")]
        name = State.rounds_score.option("Figure")
    which = entry(key)
    parameter = which.params[which.cluster_weight]
    weight = float(parameter.default) * factor
    trainings = TRAININGS if factor == 1 else 1
    study = studies.result(
        "cluster",
        {"look": "rounds", "model": key, "weight": None if factor == 1 else weight, "seeds": trainings},
        f"{trainings} seeds, each trained with and without clusters",
        75 * trainings,
    )
    st.latex(plots.equation(rf"{which.equation},\qquad {parameter.symbol} = {weight:g}"))
    if study is None:
        return
    left, right = st.container(key="halves-rounds").columns(2, gap="large")
    with left:
        step = moving_codes(study, f"cluster.swarm.{key}.{factor}")
    with right:
        show_figure(
            rounds_figure(study, name, step),
            "cluster.curves",
            f"{name} by round, with the clusters’ term and without",
        )
        round_gains(study, name)
    st.caption(
        f"{study['train']:,} training digits of 16 × 16 pixels; scores over {study['n']:,} held-out ones; the picture "
        f"shows {len(study['labels'])} of them, with seed 0. The plane is fixed: that in which the last round’s "
        "clusters lie apart. Dotted: the same further training, from the same start, without the second term."
    )


def moving_codes(study: Mapping[str, Any], key: str) -> int:
    """Codes and centres at the round that the visitor drags to; returns that round, 0 for k-means."""
    points, centres = np.array(study["points"]), np.array(study["centres"])
    steps = ["k-means", *(f"round {r}" for r in range(1, len(points)))]
    both = np.concatenate([points.reshape(-1, 2), centres.reshape(-1, 2)])
    low, high = np.quantile(both, 0.002, 0), np.quantile(both, 0.998, 0)
    middle, reach = (low + high) / 2, 0.54 * float((high - low).max())
    field = Field(
        "codes, coloured by class",
        [
            Dots(points, labels=np.array(study["labels"]), size=7, opacity=0.85),
            Dots(centres, plots.INK, name="centres", size=17, opacity=0.9),
        ],
        (middle[0] - reach, middle[0] + reach, middle[1] - reach, middle[1] + reach),
        notes=[f"accuracy {one['accuracy']:.3f}, silhouette {one['silhouette']:.3f}" for one in study["with"][0]],
    )
    step = swarm(
        [field],
        key=key,
        steps=steps,
        fps=2,
        step=State.at_round.get(),
        alt="Codes and centres, round after round",
    )
    State.at_round.given(start=len(steps) - 1).put(step)
    return step


def rounds_figure(study: Mapping[str, Any], name: str, step: int) -> go.Figure:
    """A score after each round, with the clusters' term and without, a line for each seed."""
    figure = empty_figure(420, "round", name)
    for part, colour, dash, legend in (
        ("with", LINES[0], "solid", "with clusters"),
        ("without", plots.INK, "dot", "reconstruction alone"),
    ):
        for place, moments in enumerate(study[part]):
            figure.add_scatter(
                y=[scores[SCORES[name]] for scores in moments],
                name=legend,
                legendgroup=legend,
                showlegend=place == 0,
                line={"color": colour, "dash": dash, "width": 3},
                hovertemplate="%{y:.3f}",
            )
    figure.add_vline(x=step, line={"color": plots.INK, "dash": "dash"})
    return figure


def round_gains(study: Mapping[str, Any], name: str) -> None:
    """By how much a score grows from k-means to the last round."""
    key = SCORES[name]
    figures = []
    for part, title, colour in (
        ("with", "with clusters", LINES[0]),
        ("without", "reconstruction alone", plots.INK),
    ):
        gains = np.array([moments[-1][key] - moments[0][key] for moments in study[part]])
        above = int((gains > 0).sum())
        words = f"{name}, last round − k-means; above 0 in {above} of {study['seeds']} seeds"
        figures.append((title, f"{gains.mean():+.3f}", words, colour))
    key_figures(figures)


def explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **k-means on codes** agrees better with the classes than k-means on pixels, if the code is not linear. "
            "A linear code has what PCA has, and gains nothing.\n"
            "- **Outliers** show where a cluster is unsure: a 4 like a 9, a 1 that leans.\n"
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
            "arXiv:1611.05148) put the clusters into the prior. Accuracy names each cluster after one class, in the "
            "best way (Hungarian algorithm). Published accuracies are of larger nets trained for longer, and often "
            "the best of several runs. Section 4.3."
        )
