"""Recommend: few ratings in, all the others out (§4.5, Eq. 17, 18)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import streamlit as st
from scipy.sparse import csr_matrix

from aecore import CATALOG, DataError, tasks
from aecore import data as datasets
from aecore.data import DataSpec
from aecore.data.ratings import Ratings
from aecore.models.entry import Entry
from aecore.nn import quantize
from aecore.tasks import over_seeds, recommend
from app.caching import share
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, show_figure
from app.panels import exhibit
from app.panels import study as studies
from app.panels.downloads import download_row
from app.state import Choice, Number, Numbered
from app.text import escape_html, escape_markdown
from app.widgets.uploads import kept_file

OWN = "own"
DATA = {"invented films": "ratings", "MovieLens 100K": "ml-100k", "MovieLens 1M": "ml-1m", "your ratings": OWN}
"""What the page calls the ratings → the data set, or OWN for a file of the visitor's."""
FIRST = recommend.Settings().model
"""The model that the page opens with."""
HIDDEN = recommend.Settings().hidden
BY_FEW = ("film’s mean", "matrix factorisation", "U-AutoRec", recommend.DENOISING, recommend.TRAITS)
"""Methods whose error is drawn by the number of known ratings."""
MODELS = (FIRST, *(name for name in recommend.KNOWN if name != FIRST))
MINE = "mine"
SHOWN = 10  # films that are recommended
LIKED = 4.0  # stars from which a film counts as liked, where the visitor says nothing else
STARTS = "_recommend.starts"  # session state: the ratings that the table was last filled with, which it edits

Study = Mapping[str, Any]


@dataclass(frozen=True)
class Rated(Numbered):
    """The visitor's ratings {film: stars}; the text is "none" where there are none. It always stands in the link.

    first: ratings to start with.  low, high: the range of stars; what lies outside is left out.
    """

    first: Mapping[int, float] = field(default_factory=dict)
    low: float = 0.0
    high: float = 0.0

    def initial(self) -> Mapping[int, float]:
        return self.first

    def starts(self, value: Mapping[int, float]) -> bool:
        return False

    def read(self, text: str) -> Mapping[int, float]:
        return {film: stars for film, stars in super().read(text).items() if self.low <= stars <= self.high}

    def write(self, value: Mapping[int, float]) -> str:
        return super().write(value) or "none"


class State:
    """The ratings and whose they are, the model, and how methods are compared."""

    data = Choice("recommend.data", tuple(DATA))
    who = Choice("recommend.who", (MINE, "a user’s"))
    model = Choice("recommend.model", MODELS)
    hidden = Choice("recommend.hidden", recommend.NOISES, HIDDEN)
    rated = Rated("recommend.rated", each=True)  # of each data set
    user = Number("recommend.user", 0)
    asked = Choice("recommend.asked", (0.05, 0.1, 0.2, 0.5), 0.1)
    epochs = Choice("recommend.epochs", (20, 40, 80, 160), 80)
    k = Choice("recommend.k", (5, 10, 20, 50), 20)
    like = Number("recommend.like", 0.0, default=LIKED, step=0.5)
    seeds = Choice("recommend.seeds", (1, 3, 5), 3)
    places: Choice[str] = Choice("recommend.map")


class Selection(NamedTuple):
    """What the visitor chose. data: a value of DATA.  hidden: share of hidden ratings, None if it cannot be chosen."""

    data: str
    mine: bool
    model: str
    hidden: float | None

    @property
    def entry(self) -> Entry:
        """The catalog's entry of the model."""
        return CATALOG[recommend.KNOWN[self.model].key]

    @property
    def by_items(self) -> bool:
        """Whether films are the model's examples, not users."""
        return self.entry.recommends is not None and self.entry.recommends.examples == "items"

    @property
    def predicts_stars(self) -> bool:
        return not recommend.ranks(self.model)

    @property
    def unit(self) -> str:
        """What the model predicts."""
        return self.entry.recommends.unit if self.entry.recommends else ""


class Films(NamedTuple):
    """The ratings, and what the page needs to know of them.

    genres: the first genre of each film, "" if there are none at all.  low, high: the range of the ratings.
    like: stars from which a film counts as liked.
    """

    ratings: Ratings
    genres: list[str]
    low: float
    high: float
    like: float

    @property
    def count(self) -> int:
        """How many films there are."""
        return len(self.ratings.titles)


class Prediction(NamedTuple):
    """What a model predicts for one person.

    given: film → stars.  user: the number of a known user, None for the visitor.  predicted: (items,).
    """

    method: recommend.AutoencoderOf
    given: dict[int, float]
    user: int | None
    predicted: np.ndarray

    @property
    def given_array(self) -> np.ndarray:
        """(items,) stars, 0 where none were given."""
        return as_array(self.given, len(self.predicted))


def page() -> None:
    exhibit.heading(
        "Recommend",
        "Few ratings go in, **all the others come out**: rate some films, and see the whole vector of ratings that the "
        "autoencoder makes of them.",
    )
    choice = choose()
    spec = own_or_named(choice.data)
    films = describe(opened(spec))
    left, right = st.container(key="halves-recommend").columns([2, 3], gap="large")
    with left:
        given, user = my_ratings(films, choice.data, spec.path) if choice.mine else users_ratings(films)
    if not given:
        st.info("Rate at least one film.", icon=":material/info:")
        st.stop()
    with right:
        prediction = predict(choice, spec, films, given, user)
        st.html(scatter(choice, films, prediction))

    st.header("Recommended, and why", anchor=False)
    recommended(choice, films, prediction)
    st.latex(plots.equation(choice.entry.equation))
    facts(choice, films, prediction)
    take_home(choice, spec, films, prediction)

    st.header("Beside other methods", anchor=False)
    settings = comparison_settings(spec, films)
    if study := studies.result("recommend", settings, "All methods, seed by seed", 300.0):
        compared(study, settings["k"])
        activations(study)
        film_map(study, films)
    published()
    explanations()


# --- what is chosen ---------------------------------------------------------------------------------------------------


def choose() -> Selection:
    """Controls for the ratings and the model."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        data = DATA[State.data.box("Ratings", width=210)]
        mine = State.who.option("Whose ratings") == MINE
        model = State.model.box("Autoencoder", width=200)
        hidden = None
        if recommend.hides_of(model):
            hidden = State.hidden.slider("Share hidden in training", width=220)
    return Selection(data, mine, model, hidden)


def own_or_named(data: str) -> DataSpec:
    """The ratings that were chosen; for the visitor's own the page stops until there is a file."""
    if data != OWN:
        return DataSpec(name=data)
    path = kept_file(
        "Ratings: a CSV with user, item, rating; u.data or ratings.dat; or a zip with them and their films",
        {"csv": "ratings.csv", "data": "u.data", "dat": "ratings.dat", "zip": "ratings.zip"},
        "recommend",
        "In a zip, movies.csv, movies.dat or u.item beside the ratings give titles and genres, as in GroupLens’ "
        "archives.",
    )
    if path is None:
        st.stop()
    return DataSpec(name=recommend.GENERATED, path=path)


def opened(spec: DataSpec) -> Ratings:
    """The ratings; what is wrong with the visitor's own is said in a sentence, and the page stops."""
    offer_download(spec)
    try:
        ratings = datasets.load_ratings(spec)
    except DataError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        st.stop()
    if ratings.damaged:
        st.warning(escape_markdown(ratings.damaged), icon=":material/warning:")
    return ratings


def offer_download(spec: DataSpec) -> None:
    """If ratings are not on this computer, a button that downloads them; the page stops."""
    info = datasets.info(spec.name)
    if info.here:
        return
    st.info(
        f"{info.title} is not on this computer. It may not be passed on, so everyone downloads it: "
        f"{info.download_mb} MB from GroupLens.",
        icon=":material/info:",
    )
    if not st.button("Download", icon=":material/download:"):
        st.stop()
    bar = st.progress(0.0)

    def tell(done: float, doing: str) -> None:
        bar.progress(done, escape_markdown(doing))

    try:
        datasets.load_ratings(spec, True, tell)
    except DataError as error:
        st.error(escape_markdown(str(error)))
        st.stop()
    st.rerun()


def describe(ratings: Ratings) -> Films:
    """What the page needs to know of the ratings."""
    low, high = float(ratings.matrix.data.min()), float(ratings.matrix.data.max())
    genres = [""] * len(ratings.titles)
    if ratings.genre_names:
        genres = [
            ratings.genre_names[k] if has.any() else "no genre"
            for k, has in zip(ratings.genres.argmax(1), ratings.genres, strict=True)
        ]
    like = min(max(liking(low, high).now(), low), high)  # it may stem from ratings of another range
    return Films(ratings, genres, low, high, like)


def liking(low: float, high: float) -> Number[float]:
    """The stars from which a film counts as liked, where ratings go from low to high."""
    return State.like.given(least=low, most=high, default=min(max(LIKED, low), high))


# --- ratings of a person ----------------------------------------------------------------------------------------------


def my_ratings(films: Films, data: str, path: str | None) -> tuple[dict[int, float], None]:
    """The visitor's ratings {film: stars}, in a table to change."""
    key = f"recommend.table.{data}.{path}"
    state = State.rated.of(data).given(size=films.count, first=first_ratings(films), low=films.low, high=films.high)
    starts = st.session_state.setdefault(STARTS, {})
    if key not in st.session_state:  # the first time, or back from another page: the editor has forgotten
        starts[key] = state.get(key)
    start = starts[key]
    edited = st.data_editor(
        pd.DataFrame({"film": [films.ratings.titles[i] for i in start], "stars": [float(s) for s in start.values()]}),
        num_rows="dynamic",
        hide_index=True,
        width="stretch",
        key=key,
        height=300,
        column_config={
            "film": st.column_config.SelectboxColumn(
                "film", options=sorted(films.ratings.titles), required=True, width=165
            ),
            "stars": st.column_config.NumberColumn(
                "stars", min_value=films.low, max_value=films.high, step=0.5, width=60
            ),
        },
    )
    number = {title: i for i, title in enumerate(films.ratings.titles)}
    lines = edited.dropna().to_dict("records")
    rated = {number[line["film"]]: float(line["stars"]) for line in lines if line["film"] in number}
    state.put(rated, key)
    st.caption("Add a line for a film that you know something of; change or delete lines.")
    return rated, None


def first_ratings(films: Films) -> dict[int, float]:
    """Where a visitor starts: three films of the last genre liked, two of another genre not."""
    genres = films.ratings.genres
    if not films.ratings.genre_names:
        return {0: films.high, 1: films.low}
    liked = np.flatnonzero(genres[:, -1])[:3]
    disliked = np.flatnonzero(genres[:, 1 % genres.shape[1]])[:2]
    return {int(i): stars for ids, stars in ((liked, films.high), (disliked, films.low)) for i in ids}


def users_ratings(films: Films) -> tuple[dict[int, float], int]:
    """The ratings {film: stars} of a user whom the visitor chooses by number, and that number."""
    ratings = films.ratings
    user = State.user.given(most=len(ratings.traits) - 1).number("Number of the user", width=200)
    row = ratings.matrix[[user]]
    given = {int(i): float(stars) for i, stars in zip(row.indices, row.data, strict=True)}
    traits = [name for name, has in zip(ratings.trait_names, ratings.traits[user], strict=True) if has]
    st.caption(f"{len(given)} ratings{': ' + ', '.join(traits) if traits else ''}.")
    table = sorted(given.items(), key=lambda pair: -pair[1])
    st.dataframe(
        {"film": [ratings.titles[i] for i, _ in table], "stars": [stars for _, stars in table]},
        height=300,
        column_config={"film": {"width": 165}, "stars": {"width": 60}},
        hide_index=True,
        width="stretch",
    )
    return given, user


def as_array(given: Mapping[int, float], items: int) -> np.ndarray:
    """(items,) stars of a person, 0 where none were given."""
    x = np.zeros(items, np.float32)
    x[list(given)] = list(given.values())
    return x


# --- predictions ------------------------------------------------------------------------------------------------------


def predict(choice: Selection, spec: DataSpec, films: Films, given: dict[int, float], user: int | None) -> Prediction:
    """The model's predictions for one person. The page stops while the model learns, or if it cannot predict."""
    if choice.by_items and user is None:
        st.info(
            f"{choice.model}’s examples are films, each with the ratings of all users: it has learnt nothing that "
            "could be applied to somebody new. Choose **a user’s** ratings, or another autoencoder.",
            icon=":material/info:",
        )
        st.stop()
    method = fitted(choice, spec, films.like)
    if method is None:
        st.stop()
    if choice.by_items and user is not None:
        predicted = method.predict_user(films.ratings.matrix, user)
    else:
        predicted = method.predict(csr_matrix(as_array(given, films.count)[None]))[0]
    return Prediction(method, given, user, predicted)


def fitted(choice: Selection, spec: DataSpec, like: float) -> recommend.AutoencoderOf | None:
    """The chosen model, fitted to all ratings with seed 0; None while it is computed.

    With its usual share of hidden ratings FIRST comes with the stored comparison.
    """
    source = {"data": spec.name, "path": spec.path or ""}
    settings = {**source, "look": "one", "model": choice.model}
    settings |= {} if choice.hidden is None else {"hidden": choice.hidden}
    settings |= {} if choice.predicts_stars else {"like": like}
    weights = None
    if choice.model == FIRST and choice.hidden == HIDDEN:
        weights = (studies.stored("recommend", source) or {}).get("weights")
    if weights is None:
        study = studies.result("recommend", settings, f"{choice.model} learns from all ratings", 20.0)
        if study is None:
            return None
        weights = study["weights"]
    return built(tasks.checked("recommend", settings).model_dump_json(), weights)


@share(max_entries=6)
def built(settings: str, _weights: dict[str, Any]) -> recommend.AutoencoderOf:
    """The model of these settings, given as JSON, with weights that were fitted to all ratings."""
    checked = recommend.Settings.model_validate_json(settings)
    method = recommend.one(checked).begin(recommend.ratings_of(checked).matrix)
    method.model.load_state_dict(quantize.from_text(_weights))
    return method


def scatter(choice: Selection, films: Films, prediction: Prediction) -> str:
    """HTML: films from left to right, what is predicted upwards, in the colours of their genres; rings: ratings given.

    It is HTML so that the first picture does not wait for the library of figures.
    """
    genres, titles, predicted = np.array(films.genres), films.ratings.titles, prediction.predicted
    order = np.argsort(genres, kind="stable")
    place = np.empty(films.count, int)
    place[order] = np.arange(films.count)
    kinds = sorted(set(films.genres))
    low, high = (films.low, films.high) if choice.predicts_stars else (0.0, float(predicted.max()))
    span = (high - low) or 1.0

    def mark(i: int, value: float, size: float, look: str, words: str) -> str:
        left = f"calc({100 * (place[i] + 0.5) / films.count:.2f}% - {size / 2}px)"
        bottom = f"calc({100 * (value - low) / span:.2f}% - {size / 2}px)"
        return (
            f'<i title="{escape_html(words)}" style="position:absolute;left:{left};bottom:{bottom};width:{size}px;'
            f'height:{size}px;border-radius:50%;box-sizing:border-box;{look}"></i>'
        )

    dots = "".join(
        mark(
            i,
            float(predicted[i]),
            7,
            f"background:{class_colour(kinds.index(films.genres[i]))}",
            f"{titles[i]}: {predicted[i]:.3g}",
        )
        for i in order
    )
    given = prediction.given if choice.predicts_stars else {}
    ring = f"border:2.5px solid {plots.INK}"
    rings = "".join(mark(i, value, 16, ring, f"{titles[i]}: {value:g} given") for i, value in given.items())
    lines = "".join(
        f'<div style="position:absolute;left:0;right:0;bottom:{25 * k}%;border-top:1px solid rgba(128,135,144,.25)">'
        f'<span style="position:absolute;right:calc(100% + .5rem);top:-.75em;opacity:.75">{low + span * k / 4:.2g}'
        "</span></div>"
        for k in range(5)
    )
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:.2rem 1rem">{legend(kinds, bool(given))}</div>'
        '<div role="img" aria-label="The predicted rating of every film, by genre, and the ratings given" '
        f'style="position:relative;height:300px;margin:1.2rem .5rem 1.2rem 3.2rem">{lines}{dots}{rings}</div>'
        f'<div style="opacity:.75;font-size:.95rem">upwards: {choice.unit}; from left to right: films, by genre. Point '
        "at one for its title.</div>"
    )


def class_colour(k: int) -> str:
    """CSS: the colour of class k, on white and on dark."""
    light, dark = plots.CLASS_COLOURS[k % 10], plots.CLASS_COLOURS_DARK[k % 10]
    return f"light-dark({light},{dark})"


def legend(kinds: list[str], rings: bool) -> str:
    """HTML: the colours of the genres, and the ring of a rating that was given."""
    names = "".join(
        f'<span style="white-space:nowrap"><i style="display:inline-block;width:.75rem;height:.75rem;border-radius:50%;'
        f'background:{class_colour(k)}"></i> {escape_html(kind or "films")}</span>'
        for k, kind in enumerate(kinds)
    )
    return names + (f'<span style="white-space:nowrap;color:{plots.INK}">◯ ratings given</span>' if rings else "")


def recommended(choice: Selection, films: Films, prediction: Prediction) -> None:
    """The films with the highest predictions that were not rated, and why."""
    ratings, titles = films.ratings, films.ratings.titles
    best = [int(i) for i in np.argsort(-prediction.predicted) if i not in prediction.given][:SHOWN]
    why = recommend.reasons(prediction.method, ratings.matrix, prediction.given, best)
    table: dict[str, Any] = {
        "film": [titles[i] for i in best],
        "genre": [films.genres[i] for i in best],
        choice.unit: prediction.predicted[best].round(3),
        "nearest liked, in code space (cosine)": [
            "; ".join(f"{titles[j]} ({cosine:.2f})" for j, cosine in zip(reason.near, reason.cosines, strict=True))
            for reason in why
        ],
    }
    if not choice.by_items:
        table["the rating that carries it most"] = [
            "none of them" if reason.carrier is None else f"{titles[reason.carrier]} (+{reason.gain:.2g})"
            for reason in why
        ]
    if prediction.user is not None and ratings.truth is not None:
        table["true mean"] = ratings.truth[prediction.user][best].round(2)
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        "A film’s place in code space is its own code. What one user says of other films does not enter a "
        "prediction: it is made of what all others say of this one."
        if choice.by_items
        else "A film’s place in code space is its row of the decoder’s last matrix. What carries a prediction is found "
        "by taking each rating away and predicting anew."
    )


def facts(choice: Selection, films: Films, prediction: Prediction) -> None:
    """How many ratings go in and how far the predictions are off."""
    x, ratings, given = prediction.given_array, films.ratings, prediction.given
    code: Any = prediction.method.model.code
    figures = [
        ("ratings given", str(len(given)), f"of {films.count} films", ""),
        ("numbers in the code", str(code), "between encoder and decoder", ""),
    ]
    if choice.predicts_stars:
        error = rms((prediction.predicted - x)[list(given)])
        words = "stars, RMSE: 0 only if it copied"
        figures.append(("error on what was given", f"{error:.3f}", words, plots.term_colour("recon")))
    if choice.predicts_stars and prediction.user is not None and ratings.truth is not None:
        truth, untold = ratings.truth[prediction.user], x == 0
        means = recommend.Mean("items").fit(ratings.matrix).items
        error, alone = (rms((stars - truth)[untold]) for stars in (prediction.predicted, means))
        words = f"stars, against the true means; the films’ means alone: {alone:.3f}"
        figures.append(("error on what was not", f"{error:.3f}", words, ""))
    key_figures(figures)


def rms(values: np.ndarray) -> float:
    """√ mean x²"""
    return float(np.sqrt(np.mean(values**2)))


def take_home(choice: Selection, spec: DataSpec, films: Films, prediction: Prediction) -> None:
    """The predictions as a file, and Python lines that fit and judge the model."""
    method = prediction.method
    error = ", rmse(method.predict(known), asked)" if choice.predicts_stars else ""
    download_row(
        "recommend",
        {
            "film": films.ratings.titles,
            "genre": films.genres,
            "given": prediction.given_array,
            choice.unit: prediction.predicted,
        },
        f"""
from aecore.data import DataSpec, load_ratings
from aecore.tasks.recommend import AutoencoderOf, hold_out, rmse

matrix = load_ratings(DataSpec(name={spec.name!r}, path={spec.path!r})).matrix
known, asked = hold_out(matrix, share=0.1, seed=0)
method = AutoencoderOf({method.key!r}, plan={method.plan!r}, **{method.params!r}).fit(known)
print(method.predict(known).shape{error})
""",
        "recommend",
    )


# --- beside other methods ---------------------------------------------------------------------------------------------


def comparison_settings(spec: DataSpec, films: Films) -> dict[str, Any]:
    """Controls for how the methods are compared."""
    with st.expander("How they are compared"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        return {
            "data": spec.name,
            "path": spec.path or "",
            "asked": State.asked.slider("Share of ratings asked for", width=230),
            "epochs": State.epochs.slider("Epochs", width=200),
            "k": State.k.option("Places of a ranking"),
            "like": liking(films.low, films.high).number("Stars from which a film is liked", width=240),
            "seeds": State.seeds.option("Seeds"),
        }


def compared(study: Study, k: int) -> None:
    """Stars, rankings, users with few ratings, and what denoising changes."""
    left, right = st.container(key="halves-recommend-scores").columns(2, gap="large")
    with left:
        st.subheader("Predicting stars", anchor=False)
        st.dataframe(star_rows(study), hide_index=True, width="stretch", height="content")
        if study["floor"]:
            st.caption(
                f"The truth itself has an RMSE of {np.mean(study['floor']):.3f}: ratings scatter around it. The "
                "last column is over all films that a user did not rate, the others over ratings held out, "
                "which people chose to give."
            )
    with right:
        st.subheader("Ranking for new users", anchor=False)
        st.dataframe(rank_rows(study, k), hide_index=True, width="stretch", height="content")
        st.caption(
            "A fifth of the users is held out; each tells four fifths of the ratings, and the films liked among "
            "the others must be found."
        )
    st.caption(
        "Sizes, λ and the rest were chosen by hand on the invented films, on a split whose held-out ratings are "
        "partly those of other splits: for all autoencoders and the factorisation alike, but not by a clean "
        "rule. CDAE has no vector for each user here, since nobody among the held out has one."
    )
    st.caption(
        f"Mean ± deviation over seeds {', '.join(map(str, study['seeds']))} of splits, weights and order. "
        f"{study['ratings']:,} ratings by {study['users']:,} users of {study['items']:,} films."
    )
    left, right = st.container(key="halves-recommend-lines").columns(2, gap="large")
    with left:
        st.subheader("Users with few ratings", anchor=False)
        show_figure(few_figure(study), "recommend.few", "Error by the number of known ratings")
    with right:
        st.subheader("What denoising changes", anchor=False)
        show_figure(noise_figure(study), "recommend.noise", "Error by the share hidden")
        st.caption(
            "α = 1 weighs the hidden ratings, β = ½ the shown ones: with more hidden, errors also weigh more "
            "against the same λ."
        )


def star_rows(study: Study) -> list[dict[str, str]]:
    """A line for each method that predicts stars, the best first."""
    return [
        {
            "method": name,
            "RMSE": over_seeds(scores["rmse"]),
            "MAE": over_seeds(scores["mae"]),
            **({"RMSE to the truth": over_seeds(scores["true"])} if "true" in scores else {}),
        }
        for name, scores in sorted(study["stars"].items(), key=lambda pair: np.mean(pair[1]["rmse"]))
    ]


def rank_rows(study: Study, k: int) -> list[dict[str, str]]:
    """A line for each method that ranks, the best first."""
    return [
        {"method": name, f"Recall@{k}": over_seeds(scores["recall"]), f"NDCG@{k}": over_seeds(scores["ndcg"])}
        for name, scores in sorted(study["ranks"].items(), key=lambda pair: -np.mean(pair[1]["recall"]))
    ]


def group_names(study: Study) -> list[str]:
    """The groups of users by number of known ratings."""
    return [f"{a}–{b - 1}" if b < 10_000 else f"{a} and more" for a, b in pairwise(study["bins"])]


def few_figure(study: Study) -> go.Figure:
    """RMSE by how many ratings of the user are known."""
    figure = empty_figure(360, "known ratings of the user", "RMSE")
    methods = [name for name in BY_FEW if name in study["stars"]]
    for name, colour in zip(methods, LINES, strict=False):
        few = np.array(study["stars"][name]["few"], float)  # (seeds, groups)
        figure.add_scatter(x=group_names(study), y=np.nanmean(few, 0), name=name, line={"color": colour, "width": 3})
    return figure


def noise_figure(study: Study) -> go.Figure:
    """RMSE of the denoising model by its share of hidden ratings, of all users and of those with few ratings."""
    shares = sorted(study["noise"], key=float)
    scores = [study["noise"][share] for share in shares]
    few = np.array([np.nanmean(np.array(score["few"], float), 0)[0] for score in scores])
    lines: dict[str, Any] = {
        "all users": [np.mean(score["rmse"]) for score in scores],
        f"users with {group_names(study)[0]} ratings": few,
    }
    figure = empty_figure(360, "share of the ratings hidden in training", f"RMSE of {recommend.DENOISING}")
    for (name, values), colour in zip(lines.items(), LINES, strict=False):
        figure.add_scatter(x=list(map(float, shares)), y=values, name=name, line={"color": colour, "width": 3})
    return figure


def activations(study: Study) -> None:
    """RMSE with each pair of activations, beside what was published."""
    if not study.get("activations"):
        return
    st.subheader("Which activations", anchor=False)
    st.latex(r"h(r) = f\left(W\, g(V r + \mu) + b\right)")
    st.dataframe(
        [
            {
                "f, of the output": f,
                "g, of the hidden units": g,
                f"RMSE of {recommend.BY_ITEMS}": over_seeds(study["activations"][f"{f}, {g}"]),
                "published, MovieLens 1M": f"{value:.3f}",
            }
            for (f, g), value in recommend.PUBLISHED_ACTIVATIONS.items()
        ],
        hide_index=True,
        width=760,
    )
    st.caption(
        f"Each with the λ of {', '.join(f'{lam:g}' for lam in recommend.WEIGHTS)} that was best on a tenth "
        "of the known ratings. The step of the training is the same for all."
    )


def film_map(study: Study, films: Films) -> None:
    """Films placed by their codes, and how far nearest films share a genre."""
    st.subheader("A map of the films", anchor=False)
    chosen = State.places.given(options=list(study["map"])).option("Places")
    points = np.array(study["map"][chosen]["points"])
    show_figure(map_figure(points, films), "recommend.films", "Films placed by their codes, coloured by genre")
    key_figures(
        [
            (name, f"{100 * places['agreement']:.0f} %", "of the ten nearest films share a genre", "")
            for name, places in study["map"].items()
            if places["agreement"] is not None
        ]
    )
    st.caption("The first two principal components of codes brought to length 1; no genre was told.")


def map_figure(points: np.ndarray, films: Films) -> go.Figure:
    """Films at points (items, 2), coloured by genre."""
    figure = empty_figure(460)
    for genre in sorted(set(films.genres)):
        ids = [i for i in range(films.count) if films.genres[i] == genre]
        figure.add_scatter(
            x=points[ids, 0],
            y=points[ids, 1],
            mode="markers",
            name=genre or "films",
            marker={"size": 9},
            text=[films.ratings.titles[i] for i in ids],
            hovertemplate="%{text}",
        )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(showticklabels=False)
    return figure.update_yaxes(showticklabels=False)


def published() -> None:
    """What the papers report."""
    st.dataframe(
        [
            {"published": p["method"], "on": p["data"], "score": p["score"], "value": f"{p['value']:.3f}"}
            for p in recommend.PUBLISHED
        ],
        hide_index=True,
        width=700,
    )
    st.caption(
        "Published, not computed here: Sedhain et al. (2015), doi:10.1145/2740908.2742726; Liang et al. (2018), "
        "arXiv:1802.05814."
    )


def explanations() -> None:
    with st.expander("What to look for"):
        st.markdown(
            "- **Change one rating** and watch a whole genre move: the code holds tastes, not films.\n"
            "- **Delete ratings** until one is left: predictions fall back to what most people think of a film.\n"
            "- **Held-out ratings flatter**: people rate what they like. In the invented world the truth is known for "
            "films that nobody chose, too, and a method’s rank by one need not be its rank by the other.\n"
            "- **Matrix factorisation** is a hard opponent here: the invented tastes are a factorisation."
        )
    with st.expander("Why"):
        st.markdown(
            "People who agreed before agree again, so a narrow code can hold a taste. What was not rated is no zero: "
            "the loss counts observed ratings alone (Eq. 17 for users, Eq. 18 for films). Hiding some known ratings "
            "makes the net guess them from the others, which is the task. For rankings, likes compete in a "
            "multinomial likelihood. The text before Eq. 17 calls the map to the code a decoder; it is the encoder. "
            "Section 4.5; Sedhain et al. (2015); Strub et al. (2016), doi:10.1145/2988450.2988456; Wu et al. (2016), "
            "doi:10.1145/2835776.2835837; Liang et al. (2018), arXiv:1802.05814."
        )
