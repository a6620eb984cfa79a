"""Recommend: few ratings in, all the others out (§4.5, Eq. 17, 18)."""

from __future__ import annotations

import html
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from scipy.sparse import csr_matrix

from aecore import CATALOG, DataError, tasks
from aecore.data import DataSpec
from aecore.data.ratings import Ratings
from aecore.data.sets import rating_sets
from aecore.data.sets.movielens import MOVIELENS
from aecore.data.sets.rating_sets import get
from aecore.nn import quantize
from aecore.tasks import recommend
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, empty_figure, show_figure
from app.link import LINKED, read_code, write_code
from app.panels import exhibit, layout
from app.panels import study as studies
from app.panels.downloads import download_row
from app.session import analyses
from app.text import escape_markdown
from app.widgets import data_picker

DATA = {"invented films": "ratings", "MovieLens 100K": "ml-100k", "MovieLens 1M": "ml-1m", "your ratings": "own"}
UNITS = {"cdae": "chance of a like", "multi_vae": "share of the next like"}
FIRST = "CFN"
HIDDEN = recommend.Settings().hidden
MINE = "mine"
SHOWN = 10


@st.cache_resource(max_entries=6, show_spinner=False)
def built(said: str, _weights: dict[str, Any]) -> recommend.AutoencoderOf:
    """The model of these settings, as JSON, with weights that were fitted to all ratings."""
    settings = recommend.Settings.model_validate_json(said)
    method = recommend.one(settings).begin(recommend.ratings_of(settings).matrix)
    method.model.load_state_dict(quantize.from_text(_weights))
    return method


def scatter(
    dots: list[tuple[int, float, int, str]],
    rings: list[tuple[int, float, str]],
    kinds: list[str],
    unit: str,
    reach: tuple[float, float],
) -> str:
    """Films from left to right, what is predicted upwards, in the colours of classes; rings: what was given.

    dots: (place, value, kind, words).  rings: (place, value, words).  reach: of the values.
    In HTML, so that the first picture need not wait for the library of figures.
    """
    low, span = reach[0], (reach[1] - reach[0]) or 1.0

    def at(spot: int, value: float, size: float) -> str:
        """Where a mark of so many pixels stands."""
        return (
            f"position:absolute;left:calc({100 * (spot + 0.5) / len(dots):.2f}% - {size / 2}px);"
            f"bottom:calc({100 * (value - low) / span:.2f}% - {size / 2}px);width:{size}px;height:{size}px;"
            "border-radius:50%;box-sizing:border-box;"
        )

    def colour(kind: int) -> str:
        light, dark = (some[kind % 10] for some in (plots.CLASS_COLOURS, plots.CLASS_COLOURS_DARK))
        return f"light-dark({light},{dark})"

    lines = "".join(
        f'<div style="position:absolute;left:0;right:0;bottom:{25 * k}%;border-top:1px solid rgba(128,135,144,.25)">'
        f'<span style="position:absolute;right:calc(100% + .5rem);top:-.75em;opacity:.75">{low + span * k / 4:.2g}'
        "</span></div>"
        for k in range(5)
    )
    marks = "".join(
        f'<i title="{html.escape(words)}" style="{at(spot, value, 7)}background:{colour(kind)}"></i>'
        for spot, value, kind, words in dots
    )
    marks += "".join(
        f'<i title="{html.escape(words)}" style="{at(spot, value, 16)}border:2.5px solid {plots.INK}"></i>'
        for spot, value, words in rings
    )
    names = "".join(
        f'<span style="white-space:nowrap"><i style="display:inline-block;width:.75rem;height:.75rem;border-radius:50%;'
        f'background:{colour(k)}"></i> {html.escape(kind)}</span>'
        for k, kind in enumerate(kinds)
    )
    names += f'<span style="white-space:nowrap;color:{plots.INK}">◯ ratings given</span>' if rings else ""
    return (
        f'<div style="display:flex;flex-wrap:wrap;gap:.2rem 1rem">{names}</div>'
        '<div role="img" aria-label="The predicted rating of every film, by genre, and the ratings given" '
        f'style="position:relative;height:300px;margin:1.2rem .5rem 1.2rem 3.2rem">{lines}{marks}</div>'
        f'<div style="opacity:.75;font-size:.95rem">upwards: {unit}; from left to right: films, by genre. Point at one '
        "for its title.</div>"
    )


def page() -> None:
    exhibit.heading(
        "Recommend",
        "Few ratings go in, **all the others come out**: rate some films, and see the whole vector of ratings that the "
        "autoencoder makes of them.",
    )
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        data = DATA[st.selectbox("Ratings", list(DATA), key="recommend.data", width=210, **LINKED)]
        who = layout.option("Whose ratings", [MINE, "a user’s"], "recommend.who")
        shown = st.selectbox(
            "Autoencoder",
            [FIRST, *(n for n in recommend.KNOWN if n != FIRST)],
            width=200,
            key="recommend.model",
            **LINKED,
        )
        hidden = None
        if shown == FIRST:
            hidden = st.select_slider(
                "Share hidden in training", recommend.NOISES, HIDDEN, key="recommend.hidden", width=220, **LINKED
            )
    path = None
    if data == "own":
        path = data_picker.kept(
            "Ratings: a CSV with user, item, rating; u.data or ratings.dat; or a zip with them and their films",
            {"csv": "ratings.csv", "data": "u.data", "dat": "ratings.dat", "zip": "ratings.zip"},
            "recommend",
            "In a zip, movies.csv, movies.dat or u.item beside the ratings give titles and genres, as in GroupLens’ "
            "archives.",
        )
        if path is None:
            st.stop()
    spec = DataSpec(name="ratings" if data == "own" else data, path=path)

    def here(name: str) -> None:
        """Where ratings are not on this computer, a button that gets them, and the page stops."""
        info = rating_sets.info(name)
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
        try:
            MOVIELENS[name].load(True, lambda done, doing: bar.progress(done, escape_markdown(doing)))
        except DataError as error:
            st.error(escape_markdown(str(error)))
            st.stop()
        st.rerun()

    def opened() -> Ratings:
        """The ratings; what is wrong with the visitor's own, in a sentence, and the page stops."""
        here(spec.name)
        try:
            return get(spec)
        except DataError as error:
            st.error(escape_markdown(str(error)), icon=":material/error:")
            st.stop()

    def fitted() -> recommend.AutoencoderOf | None:
        """The chosen model of all ratings, seed 0; None while it is computed. FIRST as usual comes with the comparison."""
        source = {"data": spec.name, "path": spec.path or ""}
        chosen = {**source, "look": "one", "model": shown}
        chosen |= {"hidden": hidden} if hidden is not None else {}
        chosen |= {"like": liked_from} if key in recommend.LIKES else {}
        kept = None
        if shown == FIRST and hidden == HIDDEN:
            kept = (tasks.stored("recommend", source, analyses().studies) or {}).get("weights")
        if kept is None:
            found = studies.result("recommend", chosen, f"{shown} learns from all ratings", 20.0)
            kept = found and found["weights"]
        return None if kept is None else built(tasks.checked("recommend", chosen).model_dump_json(), kept)

    ratings = opened()
    items = len(ratings.titles)
    low, high = float(ratings.matrix.data.min()), float(ratings.matrix.data.max())
    first = [""] * items
    if ratings.genre_names:
        first = [
            ratings.genre_names[k] if has.any() else "no genre"
            for k, has in zip(ratings.genres.argmax(1), ratings.genres, strict=True)
        ]
    liked_from = min(max(4.0, low), high)  # stars, where the visitor says nothing else
    with suppress(ValueError):
        liked_from = min(max(float(st.query_params.get("recommend.like", liked_from)), low), high)

    def usual() -> dict[int, float]:
        """Where a visitor starts: three films of the last genre liked, two of another not."""
        if not ratings.genre_names:
            return {0: high, 1: low}
        ids = [np.flatnonzero(ratings.genres[:, k])[:n] for k, n in ((-1, 3), (1 % len(ratings.genre_names), 2))]
        return {int(i): stars for which, stars in zip(ids, (high, low), strict=True) for i in which}

    def mine() -> dict[int, float]:
        """The visitor's ratings {film: stars}, in a table to change, kept in the link."""
        link, editor = f"recommend.rated.{data}", f"recommend.table.{data}.{path}"
        slots = st.session_state.setdefault("_recommend.rated", {})
        if editor not in st.session_state:  # the first time, or back from elsewhere: the editor has forgotten
            said = st.query_params.get(link)
            kept = slots.get(editor, {}).get("now")
            start = kept if kept is not None else usual() if said is None else read(said)
            slots[editor] = {"start": {i: stars for i, stars in start.items() if low <= stars <= high}}
        start = slots[editor]["start"]
        table = pd.DataFrame({"film": [ratings.titles[i] for i in start], "stars": [float(s) for s in start.values()]})
        edited = st.data_editor(
            table,
            num_rows="dynamic",
            hide_index=True,
            width="stretch",
            key=editor,
            height=300,
            column_config={
                "film": st.column_config.SelectboxColumn(
                    "film", options=sorted(ratings.titles), required=True, width=165
                ),
                "stars": st.column_config.NumberColumn("stars", min_value=low, max_value=high, step=0.5, width=60),
            },
        )
        number = {title: i for i, title in enumerate(ratings.titles)}
        rows = edited.dropna().itertuples(index=False)
        found = {number[row.film]: float(row.stars) for row in rows if row.film in number}
        slots[editor]["now"] = found
        said = write_code(found) or "none"
        if st.query_params.get(link) != said:
            st.query_params[link] = said
        return found

    def read(said: str) -> dict[int, float]:
        """Ratings as the link has them."""
        return read_code(said, items)

    key = recommend.KNOWN[shown][0]
    by_items = key == "i_autorec"
    left, right = st.container(key="halves-recommend").columns([2, 3], gap="large")
    with left:
        if who == MINE:
            given = mine()
            st.caption("Add a line for a film that you know something of; change or delete lines.")
            user = None
        else:
            user = layout.number("Number of the user", ratings.matrix.shape[0] - 1, "recommend.user", width=200)
            row = ratings.matrix[user]
            given = {int(i): float(r) for i, r in zip(row.indices, row.data, strict=True)}
            traits = [name for name, has in zip(ratings.trait_names, ratings.traits[user], strict=True) if has]
            st.caption(f"{len(given)} ratings{': ' + ', '.join(traits) if traits else ''}.")
            table = sorted(given.items(), key=lambda pair: -pair[1])
            st.dataframe(
                {"film": [ratings.titles[i] for i, _ in table], "stars": [s for _, s in table]},
                height=300,
                column_config={"film": {"width": 165}, "stars": {"width": 60}},
                hide_index=True,
                width="stretch",
            )
    if not given:
        st.info("Rate at least one film.", icon=":material/info:")
        st.stop()
    if by_items and user is None:
        with right:
            st.info(
                "I-AutoRec’s examples are films, each with the ratings of all users: it has learnt nothing that could "
                "be applied to somebody new. Choose **a user’s** ratings, or another autoencoder.",
                icon=":material/info:",
            )
        st.stop()

    with right:
        method = fitted()
    if method is None:
        st.stop()
    x = np.zeros(items, np.float32)
    x[list(given)] = list(given.values())
    out = recommend.of_user(method, ratings.matrix, user) if by_items else method.predict(csr_matrix(x[None]))[0]
    stars = key not in UNITS
    unit = UNITS.get(key, "predicted stars")
    order = np.argsort(np.array(first), kind="stable")
    place = np.empty(items, int)
    place[order] = np.arange(items)
    with right:
        kinds = sorted(set(first))
        number = [kinds.index(genre) for genre in first]
        dots = [(place[i], float(out[i]), number[i], f"{ratings.titles[i]}: {out[i]:.3g}") for i in order]
        rings = (
            [(place[i], value, f"{ratings.titles[i]}: {value:g} given") for i, value in given.items()] if stars else []
        )
        reach = (low, high) if stars else (0.0, float(out.max()))
        st.html(scatter(dots, rings, [kind or "films" for kind in kinds], unit, reach))

    st.header("Recommended, and why", anchor=False)
    best = [int(i) for i in np.argsort(-out) if i not in given][:SHOWN]
    codes = method.item_codes(ratings.matrix)
    mean = float(ratings.matrix.data.mean())
    liked = np.array([i for i, s in given.items() if s >= mean] or list(given))
    why, carried = [], []
    for i in best:
        near, cosine = recommend.nearest(codes, i, liked)
        why.append("; ".join(f"{ratings.titles[j]} ({c:.2f})" for j, c in zip(near[:2], cosine, strict=False)))
        if by_items:
            continue
        rated, gain = recommend.without(method.model, x, i)
        most = int(np.argmax(gain))
        carried.append(f"{ratings.titles[rated[most]]} (+{gain[most]:.2g})" if gain[most] > 0 else "none of them")
    table = {
        "film": [ratings.titles[i] for i in best],
        "genre": [first[i] for i in best],
        unit: out[best].round(3),
        "nearest liked, in code space (cosine)": why,
    }
    if not by_items:
        table["the rating that carries it most"] = carried
    if user is not None and ratings.truth is not None:
        table["true mean"] = ratings.truth[user][best].round(2)
    st.dataframe(table, hide_index=True, width="stretch")
    st.caption(
        "A film’s place in code space is its own code. What one user says of other films does not enter a "
        "prediction: it is made of what all others say of this one."
        if by_items
        else "A film’s place in code space is its row of the decoder’s last matrix. What carries a prediction is found "
        "by taking each rating away and predicting anew."
    )
    entry = CATALOG[key]
    st.latex(plots.equation(entry.equation))
    facts = [
        ("ratings given", str(len(given)), f"of {items} films", ""),
        ("numbers in the code", str(method.model.code), "between encoder and decoder", ""),
    ]
    if stars:
        error = float(np.sqrt(np.mean((out - x)[list(given)] ** 2)))
        facts.append(
            ("error on what was given", f"{error:.3f}", "stars, RMSE: 0 only if it copied", plots.term_colour("recon"))
        )
    if user is not None and stars and ratings.truth is not None:
        untold = x == 0
        means = recommend.Mean("items").fit(ratings.matrix).items
        off, alone = (float(np.sqrt(np.mean((p - ratings.truth[user])[untold] ** 2))) for p in (out, means))
        words = f"stars, against the true means; the films’ means alone: {alone:.3f}"
        facts.append(("error on what was not", f"{off:.3f}", words, ""))
    key_figures(facts)
    download_row(
        "recommend",
        {"film": ratings.titles, "genre": first, "given": x, unit: out},
        f"""
from aecore.data import DataSpec, ratings
from aecore.tasks.recommend import AutoencoderOf, hold_out, rmse

matrix = ratings.get(DataSpec(name={spec.name!r}, path={spec.path!r})).matrix
known, asked = hold_out(matrix, share=0.1, seed=0)
method = AutoencoderOf({key!r}, plan={method.plan!r}, **{method.params!r}).fit(known)
print(method.predict(known).shape{", rmse(method.predict(known), asked)" if stars else ""})
""",
        "recommend",
    )

    st.header("Beside other methods", anchor=False)
    with st.expander("How they are compared"), st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        settings = {
            "data": spec.name,
            "path": spec.path or "",
            "asked": st.select_slider(
                "Share of ratings asked for", [0.05, 0.1, 0.2, 0.5], 0.1, key="recommend.asked", width=230, **LINKED
            ),
            "epochs": st.select_slider("Epochs", [20, 40, 80, 160], 80, key="recommend.epochs", width=200, **LINKED),
            "k": layout.option("Places of a ranking", [5, 10, 20, 50], "recommend.k", 20),
            "like": st.number_input(
                "Stars from which a film is liked",
                low,
                high,
                liked_from,
                0.5,
                key="recommend.like",
                width=240,
                **LINKED,
            ),
            "seeds": layout.option("Seeds", [1, 3, 5], "recommend.seeds", 3),
        }
    found = studies.result("recommend", settings, "All methods, seed by seed", 300.0)

    spread = tasks.over_seeds

    def compared() -> None:
        """Stars, rankings, users with few ratings, what denoising changes, the map of films."""
        one, two = st.container(key="halves-recommend-scores").columns(2, gap="large")
        with one:
            st.subheader("Predicting stars", anchor=False)
            scores = found["stars"]
            rows = [
                {
                    "method": name,
                    "RMSE": spread(s["rmse"]),
                    "MAE": spread(s["mae"]),
                    **({"RMSE to the truth": spread(s["true"])} if "true" in s else {}),
                }
                for name, s in sorted(scores.items(), key=lambda pair: np.mean(pair[1]["rmse"]))
            ]
            st.dataframe(rows, hide_index=True, width="stretch", height="content")
            if found["floor"]:
                st.caption(
                    f"The truth itself has an RMSE of {np.mean(found['floor']):.3f}: ratings scatter around it. The "
                    "last column is over all films that a user did not rate, the others over ratings held out, "
                    "which people chose to give."
                )
        with two:
            st.subheader("Ranking for new users", anchor=False)
            k = settings["k"]
            rows = [
                {"method": name, f"Recall@{k}": spread(s["recall"]), f"NDCG@{k}": spread(s["ndcg"])}
                for name, s in sorted(found["ranks"].items(), key=lambda p: -np.mean(p[1]["recall"]))
            ]
            st.dataframe(rows, hide_index=True, width="stretch", height="content")
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
            f"Mean ± deviation over seeds {', '.join(map(str, found['seeds']))} of splits, weights and order. "
            f"{found['ratings']:,} ratings by {found['users']:,} users of {found['items']:,} films."
        )
        one, two = st.container(key="halves-recommend-lines").columns(2, gap="large")
        low = found["bins"]
        names = [f"{a}–{b - 1}" if b < 10_000 else f"{a} and more" for a, b in pairwise(low)]
        with one:
            st.subheader("Users with few ratings", anchor=False)
            made = empty_figure(360, "known ratings of the user", "RMSE")
            picked = ["film’s mean", "matrix factorisation", "U-AutoRec", "CFN", "CFN, told traits"]
            for name, colour in zip([p for p in picked if p in found["stars"]], LINES, strict=False):
                few = np.array(found["stars"][name]["few"], float)
                made.add_scatter(x=names, y=np.nanmean(few, 0), name=name, line={"color": colour, "width": 3})
            show_figure(made, "recommend.few", "Error by the number of known ratings")
        with two:
            st.subheader("What denoising changes", anchor=False)
            made = empty_figure(360, "share of the ratings hidden in training", "RMSE of CFN")
            shares = sorted(found["noise"], key=float)
            few = np.array([np.nanmean(np.array(found["noise"][s]["few"], float), 0) for s in shares])
            all_users = [np.mean(found["noise"][s]["rmse"]) for s in shares]
            lines = {"all users": all_users, f"users with {names[0]} ratings": few[:, 0]}
            for (name, values), colour in zip(lines.items(), LINES, strict=False):
                made.add_scatter(x=[float(s) for s in shares], y=values, name=name, line={"color": colour, "width": 3})
            show_figure(made, "recommend.noise", "Error by the share hidden")
            st.caption(
                "α = 1 weighs the hidden ratings, β = ½ the shown ones: with more hidden, errors also weigh more "
                "against the same λ."
            )
        if found.get("activations"):
            st.subheader("Which activations", anchor=False)
            st.latex(r"h(r) = f\left(W\, g(V r + \mu) + b\right)")
            each = recommend.PUBLISHED_ACTIVATIONS
            st.dataframe(
                [
                    {
                        "f, of the output": f,
                        "g, of the hidden units": g,
                        "RMSE of I-AutoRec": spread(found["activations"][f"{f}, {g}"]),
                        "published, MovieLens 1M": f"{value:.3f}",
                    }
                    for (f, g), value in each.items()
                ],
                hide_index=True,
                width=760,
            )
            st.caption(
                f"Each with the λ of {', '.join(f'{lam:g}' for lam in recommend.WEIGHTS)} that was best on a tenth "
                "of the known ratings. The step of the training is the same for all."
            )
        st.subheader("A map of the films", anchor=False)
        chosen = layout.option("Places", list(found["map"]), "recommend.map")
        points = np.array(found["map"][chosen]["points"])
        made = empty_figure(460)
        for genre in sorted(set(first)):
            some = [i for i in range(items) if first[i] == genre]
            made.add_scatter(
                x=points[some, 0],
                y=points[some, 1],
                mode="markers",
                name=genre or "films",
                marker={"size": 9},
                text=[ratings.titles[i] for i in some],
                hovertemplate="%{text}",
            )
        made.update_layout(hovermode="closest")
        made.update_xaxes(showticklabels=False)
        made.update_yaxes(showticklabels=False)
        show_figure(made, "recommend.films", "Films placed by their codes, coloured by genre")
        key_figures(
            [
                (name, f"{100 * m['agreement']:.0f} %", "of the ten nearest films share a genre", "")
                for name, m in found["map"].items()
                if m["agreement"] is not None
            ]
        )
        st.caption("The first two principal components of codes brought to length 1; no genre was told.")

    if found is not None:
        compared()
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
