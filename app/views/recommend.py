"""Recommend: few ratings in, all the others out (§4.5, Eq. 17, 18)."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pandas as pd
import streamlit as st
import torch

from aecore import CATALOG, DataError, tasks
from aecore.data import ratings as sets
from aecore.data.ratings import Ratings
from aecore.models.base import Model
from aecore.runs import seeded_build
from aecore.tasks import recommend
from app import exhibits, looks, plots, shelf, studies

DATA = {"invented films": "ratings", "MovieLens 100K": "ml-100k", "MovieLens 1M": "ml-1m"}
MODELS = {"CFN": "cfn", "U-AutoRec": "u_autorec", "Mult-VAE": "multi_vae"}
SHOWN = 10

exhibits.heading(
    "Recommend",
    "Few ratings go in, **all the others come out**: rate some films, and see the whole vector of ratings that the "
    "autoencoder makes of them.",
)
with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
    data = DATA[looks.option("Ratings", list(DATA), "recommend.data")]
    shown = looks.option("Autoencoder", list(MODELS), "recommend.model")
    who = looks.option("Whose ratings", ["mine", "a user’s"], "recommend.who")


def here(name: str) -> Ratings:
    """The ratings; where they are not on this computer, a button that gets them, and the page stops."""
    info = sets.info(name)
    if not info.here:
        st.info(f"{info.title} is not on this computer. It may not be passed on, so everyone downloads it: "
                f"{info.download_mb} MB from GroupLens.", icon=":material/info:")  # fmt: skip
        if not st.button("Download", icon=":material/download:"):
            st.stop()
        bar = st.progress(0.0)
        try:
            sets.MOVIELENS[name].load(True, lambda done, doing: bar.progress(done, looks.plain(doing)))
        except DataError as error:
            st.error(looks.plain(str(error)))
            st.stop()
        st.rerun()
    return sets.MOVIELENS[name].load() if name in sets.MOVIELENS else sets.world()


@st.cache_resource(max_entries=6, show_spinner="Training on all ratings, a few seconds …")
def fitted(data: str, shown: str, epochs: int = 60) -> Model:
    """A model of all ratings, seed 0; the one that was stored with the study, where there is one."""
    key, params, plan = {**recommend.STARS, **recommend.RANKS}[shown]
    ratings = here(data)
    found = tasks.stored("recommend", {"data": data}, shelf.queue().studies) if shown == "CFN" else None
    if found is not None:
        entry = CATALOG[key]
        return recommend.unpacked(seeded_build(entry, (ratings.matrix.shape[1],), entry.check(params), 0),
                                  found["weights"])  # fmt: skip
    return recommend.AutoencoderOf(key, plan={"epochs": epochs, **plan}, **params).fit(ratings.matrix).model


ratings = here(data)
items = len(ratings.titles)
first = [ratings.genre_names[k] for k in ratings.genres.argmax(1)] if ratings.genre_names else [""] * items


def usual() -> dict[int, float]:
    """Where a visitor starts: three films of the last genre liked, two of another not."""
    if not ratings.genre_names:
        return {0: 5.0, 1: 1.0}
    ids = [np.flatnonzero(ratings.genres[:, k])[:n] for k, n in ((-1, 3), (1, 2))]
    return {int(i): stars for which, stars in zip(ids, (5.0, 1.0), strict=True) for i in which}


def mine() -> dict[int, float]:
    """The visitor's ratings {film: stars}, in a table to change, kept in the link."""
    slot = f"_recommend.{data}"
    if slot not in st.session_state:
        st.session_state[slot] = looks.read_code(st.query_params.get("recommend.rated", ""), items) or usual()
    start = {i: stars for i, stars in st.session_state[slot].items() if 1 <= stars <= 5}
    table = pd.DataFrame({"film": [ratings.titles[i] for i in start], "stars": [float(s) for s in start.values()]})
    edited = st.data_editor(
        table, num_rows="dynamic", hide_index=True, width="stretch", key=f"recommend.table.{data}", height=300,
        column_config={
            "film": st.column_config.SelectboxColumn("film", options=sorted(ratings.titles), required=True, width=165),
            "stars": st.column_config.NumberColumn("stars", min_value=1, max_value=5, step=0.5, width=60),
        },
    )  # fmt: skip
    number = {title: i for i, title in enumerate(ratings.titles)}
    rows = edited.dropna().itertuples(index=False)
    found = {number[row.film]: float(row.stars) for row in rows if row.film in number}
    said = looks.write_code(found)
    if st.query_params.get("recommend.rated") != said:
        st.query_params["recommend.rated"] = said
    return found


left, right = st.columns([2, 3], gap="large")
with left:
    if who == "mine":
        given = mine()
        st.caption("Add a line for a film that you know something of; change or delete lines.")
        user = None
    else:
        user = looks.number("Number of the user", ratings.matrix.shape[0] - 1, "recommend.user", width=200)
        row = ratings.matrix[user]
        given = {int(i): float(r) for i, r in zip(row.indices, row.data, strict=True)}
        traits = [name for name, has in zip(ratings.trait_names, ratings.traits[user], strict=True) if has]
        st.caption(f"{len(given)} ratings{': ' + ', '.join(traits) if traits else ''}.")
        table = sorted(given.items(), key=lambda pair: -pair[1])
        st.dataframe({"film": [ratings.titles[i] for i, _ in table], "stars": [s for _, s in table]}, height=300,
                     column_config={"film": {"width": 165}, "stars": {"width": 60}}, hide_index=True,
                     width="stretch")  # fmt: skip
if not given:
    st.info("Rate at least one film.", icon=":material/info:")
    st.stop()

model = fitted(data, shown)
x = np.zeros(items, np.float32)
x[list(given)] = list(given.values())
with torch.inference_mode():
    code = model.encode(torch.from_numpy(x[None]))
    out = model.decode(code)[0].numpy()
stars = MODELS[shown] != "multi_vae"
if stars:
    out = out.clip(ratings.matrix.data.min(), ratings.matrix.data.max())
unit = "predicted stars" if stars else "share of the next like"
order = np.argsort(np.array(first), kind="stable")
place = np.empty(items, int)
place[order] = np.arange(items)
with right:
    made = exhibits.figure(400, "films, by genre", unit)
    for k, genre in enumerate(sorted(set(first))):
        some = [i for i in order if first[i] == genre]
        made.add_scatter(x=place[some], y=out[some], mode="markers", name=genre or "films",
                         marker={"size": 6, "color": plots.CLASS_COLOURS[k % 10]},
                         text=[ratings.titles[i] for i in some], hovertemplate="%{text}: %{y:.3g}")  # fmt: skip
    if stars:
        made.add_scatter(x=place[list(given)], y=list(given.values()), mode="markers", name="ratings given",
                         marker={"size": 13, "symbol": "diamond-open", "color": plots.INK, "line": {"width": 2}},
                         text=[ratings.titles[i] for i in given], hovertemplate="%{text}: %{y}")  # fmt: skip
    made.update_layout(hovermode="closest")
    made.update_xaxes(showticklabels=False)
    exhibits.show(made, "recommend.vector", "The predicted rating of every film, by genre, and the ratings given")

st.header("Recommended, and why", anchor=False)
best = [int(i) for i in np.argsort(-out) if i not in given][:SHOWN]
linear = hasattr(model.decoder, "weight")
codes = recommend.item_codes(model) if linear else np.ascontiguousarray(model.decoder[-1].weight.detach().numpy())
mean = float(ratings.matrix.data.mean())
liked = np.array([i for i, s in given.items() if s >= mean] or list(given))
why, carried = [], []
for i in best:
    near, cosine = recommend.nearest(codes, i, liked)
    why.append("; ".join(f"{ratings.titles[j]} ({c:.2f})" for j, c in zip(near[:2], cosine, strict=False)))
    rated, gain = recommend.without(model, x, i)
    most = int(np.argmax(gain))
    carried.append(f"{ratings.titles[rated[most]]} (+{gain[most]:.2g})" if gain[most] > 0 else "none of them")
table = {"film": [ratings.titles[i] for i in best], "genre": [first[i] for i in best], unit: out[best].round(3),
         "nearest liked, in code space (cosine)": why, "the rating that carries it most": carried}  # fmt: skip
if user is not None and ratings.truth is not None:
    table["true mean"] = ratings.truth[user][best].round(2)
st.dataframe(table, hide_index=True, width="stretch")
st.caption("A film’s place in code space is its row of the decoder’s last matrix. What carries a prediction is found "
           "by taking each rating away and predicting anew.")  # fmt: skip
entry = CATALOG[MODELS[shown]]
st.latex(plots.equation(entry.equation))
facts = [("ratings given", str(len(given)), f"of {items} films", ""),
         ("numbers in the code", str(code.shape[1]), "between encoder and decoder", "")]  # fmt: skip
if stars:
    error = float(np.sqrt(np.mean((out - x)[list(given)] ** 2)))
    facts.append(("error on what was given", f"{error:.3f}", "stars, RMSE: 0 only if it copied",
                  plots.term_colour("recon")))  # fmt: skip
if user is not None and stars and ratings.truth is not None:
    untold = x == 0
    means = recommend.Mean("items").fit(ratings.matrix).items
    off, alone = (float(np.sqrt(np.mean((p - ratings.truth[user])[untold] ** 2))) for p in (out, means))
    words = f"stars, against the true means; the films’ means alone: {alone:.3f}"
    facts.append(("error on what was not", f"{off:.3f}", words, ""))
looks.numbers(facts)
exhibits.take_home(
    "recommend", {"film": ratings.titles, "genre": first, "given": x, unit: out},
    f"""
from aecore.data import ratings
from aecore.tasks.recommend import AutoencoderOf, hold_out, rmse

known, asked = hold_out(ratings.world().matrix, share=0.1, seed=0)
method = AutoencoderOf("{MODELS[shown]}").fit(known)
print(method.predict(known).shape{', rmse(method.predict(known), asked)' if stars else ''})
""",
    "recommend",
)  # fmt: skip

st.header("Beside other methods", anchor=False)
found = studies.result("recommend", {"data": data}, "All methods, three seeds", 300.0)


def spread(values: list[float]) -> str:
    return f"{np.mean(values):.3f} ± {np.std(values):.3f}"


def compared() -> None:
    """Stars, rankings, users with few ratings, what denoising changes, the map of films."""
    one, two = st.columns(2, gap="large")
    with one:
        st.subheader("Predicting stars", anchor=False)
        scores = found["stars"]
        rows = [{"method": name, "RMSE": spread(s["rmse"]), "MAE": spread(s["mae"]),
                 **({"RMSE to the truth": spread(s["true"])} if "true" in s else {})}
                for name, s in sorted(scores.items(), key=lambda pair: np.mean(pair[1]["rmse"]))]  # fmt: skip
        st.dataframe(rows, hide_index=True, width="stretch", height="content")
        if found["floor"]:
            st.caption(f"The truth itself has an RMSE of {np.mean(found['floor']):.3f}: ratings scatter around it. The "
                       "last column is over all films that a user did not rate, the others over ratings held out, "
                       "which people chose to give.")  # fmt: skip
    with two:
        st.subheader("Ranking for new users", anchor=False)
        rows = [{"method": name, "Recall@20": spread(s["recall"]), "NDCG@20": spread(s["ndcg"])}
                for name, s in sorted(found["ranks"].items(), key=lambda p: -np.mean(p[1]["recall"]))]  # fmt: skip
        st.dataframe(rows, hide_index=True, width="stretch", height="content")
        st.caption("A fifth of the users is held out; each tells four fifths of the ratings, and the films liked among "
                   "the others must be found.")  # fmt: skip
    st.caption(f"Mean ± deviation over seeds {', '.join(map(str, found['seeds']))} of splits, weights and order. "
               f"{found['ratings']:,} ratings by {found['users']:,} users of {found['items']:,} films.")  # fmt: skip
    one, two = st.columns(2, gap="large")
    low = found["bins"]
    names = [f"{a}–{b - 1}" if b < 10_000 else f"{a} and more" for a, b in pairwise(low)]
    with one:
        st.subheader("Users with few ratings", anchor=False)
        made = exhibits.figure(360, "known ratings of the user", "RMSE")
        picked = ["film’s mean", "matrix factorisation", "U-AutoRec", "CFN", "CFN, told traits"]
        for name, colour in zip([p for p in picked if p in found["stars"]], exhibits.LINES, strict=False):
            few = np.array(found["stars"][name]["few"], float)
            made.add_scatter(x=names, y=np.nanmean(few, 0), name=name, line={"color": colour, "width": 3})
        exhibits.show(made, "recommend.few", "Error by the number of known ratings")
    with two:
        st.subheader("What denoising changes", anchor=False)
        made = exhibits.figure(360, "share of the ratings hidden in training", "RMSE of CFN")
        shares = sorted(found["noise"], key=float)
        few = np.array([np.nanmean(np.array(found["noise"][s]["few"], float), 0) for s in shares])
        all_users = [np.mean(found["noise"][s]["rmse"]) for s in shares]
        lines = {"all users": all_users, f"users with {names[0]} ratings": few[:, 0]}
        for (name, values), colour in zip(lines.items(), exhibits.LINES, strict=False):
            made.add_scatter(x=[float(s) for s in shares], y=values, name=name, line={"color": colour, "width": 3})
        exhibits.show(made, "recommend.noise", "Error by the share hidden")
    st.subheader("A map of the films", anchor=False)
    chosen = looks.option("Places", list(found["map"]), "recommend.map")
    points = np.array(found["map"][chosen]["points"])
    made = exhibits.figure(460)
    for k, genre in enumerate(sorted(set(first))):
        some = [i for i in range(items) if first[i] == genre]
        made.add_scatter(x=points[some, 0], y=points[some, 1], mode="markers", name=genre or "films",
                         marker={"size": 9, "color": plots.CLASS_COLOURS[k % 10]},
                         text=[ratings.titles[i] for i in some], hovertemplate="%{text}")  # fmt: skip
    made.update_layout(hovermode="closest")
    made.update_xaxes(showticklabels=False)
    made.update_yaxes(showticklabels=False)
    exhibits.show(made, "recommend.films", "Films placed by their codes, coloured by genre")
    looks.numbers([(name, f"{100 * m['agreement']:.0f} %", "of the ten nearest films share a genre", "")
                   for name, m in found["map"].items() if m["agreement"] is not None])  # fmt: skip
    st.caption("The first two principal components of codes brought to length 1; no genre was told.")


if found is not None:
    compared()
st.dataframe([{"published": p["method"], "on": p["data"], "score": p["score"], "value": f"{p['value']:.3f}"}
              for p in recommend.PUBLISHED], hide_index=True, width=700)  # fmt: skip
st.caption("Published, not computed here: Sedhain et al. (2015), doi:10.1145/2740908.2742726; Liang et al. (2018), "
           "arXiv:1802.05814.")  # fmt: skip
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
        "People who agreed before agree again, so a narrow code can hold a taste. What was not rated is no zero: the "
        "loss counts observed ratings alone (Eq. 17 for users, Eq. 18 for films). Hiding some known ratings makes the "
        "net guess them from the others, which is the task. For rankings, likes compete in a multinomial likelihood. "
        "The text before Eq. 17 calls the map to the code a decoder; it is the encoder. Section 4.5; Sedhain et al. "
        "(2015); Strub et al. (2016), doi:10.1145/2988450.2988456; Wu et al. (2016), doi:10.1145/2835776.2835837; "
        "Liang et al. (2018), arXiv:1802.05814."
    )
