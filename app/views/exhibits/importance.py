"""Exhibit: importance weights and IWAE's bound (Eq. 13)."""

from __future__ import annotations

import plotly.graph_objects as go
import streamlit as st

from app import cached, pages
from app.browser.contact import contact
from app.cached import curve_of, weighed
from app.figures import plots
from app.figures.html import key_figures, share_bars
from app.figures.plots import LINES, contact_sheet, empty_figure, show_figure
from app.library import held_out, image_title
from app.link import LINKED
from app.panels import exhibit, layout, train_sweep
from app.panels.downloads import csv_table, download_button, python_button

KS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
MANY = 50  # images whose mean bound is shown, each with at most as many draws
SHOWN = 24


def page() -> None:
    run = layout.opening(
        "Importance weights",
        "One draw of the code is judged as if it were the only one. **Several draws, the likelier counting more**, come "
        "closer to how likely the image really is.",
        "posterior",
    )
    if not hasattr(layout.model(run), "p_x"):
        st.info("This model has no likelihood p(x|z): its draws cannot be weighed. Choose a VAE or an IWAE above.")
        st.stop()
    test = held_out(run)
    with st.container(horizontal=True, vertical_alignment="bottom", gap="large"):
        k = st.select_slider(
            "Draws $k$", [*range(1, 11), *range(12, 65, 4), 100, 200, 500], 10, key="importance.k", width=380, **LINKED
        )
        example = layout.number("Number of the image", len(test) - 1, "importance.image", width=200)
        seed = layout.number("Seed of the draws", 9999, "importance.seed", width=200)

    found = weighed(run, example, k, seed)
    original, sheet = st.columns([1, 5], gap="large")
    with original:
        layout.picture(cached.images(run, (example,))[0], "$x$", image_title(run, example))
    with sheet:
        some = min(k, SHOWN)
        contact(
            [("", found.tiles[:some])],
            key="importance.sheet",
            tile=64,
            captions=[f"{100 * w:.1f} %" for w in found.weights[:some]],
            alt=f"The {some} heaviest of {k} draws, with their weights",
        )
        share_bars(found.weights[:some], "Weights of the draws, the heaviest first")
        st.caption(
            f"{f'The {some} heaviest of {k} draws' if some < k else f'All {k} draws'} of q(z|x), what each decodes to, "
            "and its share of all weights."
        )
    st.latex(
        r"\begin{gathered} \mathcal{L}_k = \mathbb{E}\, \log \tfrac{1}{k} \textstyle\sum_{i=1}^{k} w_i,\qquad "
        r"w_i = \frac{p(x|z_i)\, p(z_i)}{q(z_i|x)} \\[.4em] z_i \sim q(z|x),\qquad "
        r"\mathcal{L}_1 \le \mathcal{L}_k \le \log p(x) \end{gathered}"
    )
    one = curve_of(run, (example,), KS, seed)[0]
    all_test = curve_of(run, tuple(range(min(MANY, len(test)))), tuple(k for k in KS if k <= MANY), 0).mean(0)
    key_figures(
        [
            (
                "these draws",
                f"{found.bound:.2f} nats".replace("-", "−"),
                f"log of the mean weight of these {k}",
                plots.term_colour("elbo"),
            ),
            ("effective draws", f"{found.effective:.1f}", f"of {k}: as many equal ones would weigh as much", ""),
            ("ELBO of this image", f"{one[0]:.2f} nats".replace("-", "−"), "k = 1, the mean of 500 draws", ""),
            ("k = 500", f"{one[-1]:.2f} nats".replace("-", "−"), "the nearest to log p(x) here", ""),
        ]
    )

    st.header("The bound against k", anchor=False)
    figure = go.Figure()
    for name, values, dash in ((f"image {example}", one, "solid"), (f"{MANY} held-out images, mean", all_test, "dot")):
        line = {"color": plots.term_colour("elbo"), "dash": dash, "width": 3}
        figure.add_scatter(
            x=KS[: len(values)], y=values, name=name, mode="lines+markers", line=line, marker={"size": 9}
        )
    diamond = {"size": 16, "symbol": "diamond", "color": plots.term_colour("kl")}
    figure.add_scatter(x=[k], y=[found.bound], name="these draws", mode="markers", marker=diamond)
    plots.layout(figure, 380)
    figure.update_xaxes(type="log", title="draws k", tickvals=KS)
    figure.update_yaxes(title="nats")
    st.plotly_chart(
        figure,
        key="importance.curve",
        config={"displayModeBar": False},
        alt="The bound grows with the number of draws, fast at first",
    )
    with st.container(horizontal=True):
        mean = [*map(str, all_test), *[""] * (len(KS) - len(all_test))]
        table = csv_table(["k", f"image {example}", f"mean of {MANY} images"], KS, one, mean)
        download_button("Bounds as CSV", table, f"{run.info.id}-bounds.csv", "text/csv", "importance.csv")
        weights = csv_table(
            ["draw", "log weight", "weight", *(f"z{j + 1}" for j in range(found.z.shape[1]))],
            range(1, k + 1),
            found.log_w,
            found.weights,
            *found.z.T,
        )
        download_button("Draws as CSV", weights, f"{run.info.id}-draws.csv", "text/csv", "importance.draws")
        download_button(
            "Draws as PNG",
            lambda: plots.png(contact_sheet(found.tiles[:some])),
            f"{run.info.id}-draws.png",
            "image/png",
            "importance.png",
        )
        python_button(
            run,
            f"""
from aecore.explore.importance import bounds, draws

found = draws(run.model(), run.data().test, example={example}, k={k}, seed={seed})
print(found.bound, found.effective)
print(bounds(run.model(), run.data().test, [{example}], ks={KS}))
""",
            "importance.python",
        )
        pages.link(
            "train", label="Train an IWAE with another k", icon="model_training", query={"model": "iwae", "v": "1"}
        )

    st.header("Trained with more draws", anchor=False)
    sweep = exhibit.trained("importance")
    figure = empty_figure(380, "draws k that judge", "nats")
    for value, other, colour in zip(sweep.values, sweep.runs, LINES, strict=False):
        few = tuple(range(min(MANY, len(held_out(other)))))
        bounds = curve_of(other, few, tuple(k for k in KS if k <= MANY), 0).mean(0)
        figure.add_scatter(
            x=KS[: len(bounds)],
            y=bounds,
            name=f"trained with {value}",
            mode="lines+markers",
            line={"color": colour, "width": 3},
            marker={"size": 9},
            hovertemplate="%{y:.2f}",
        )
    figure.update_xaxes(type="log", tickvals=KS)
    show_figure(
        figure, "importance.trained", "The bound against the draws that judge, of nets trained with 1, 5 and 50"
    )
    st.caption(f"Mean bound of {MANY} held-out images. Few units and few epochs; one seed each.")
    train_sweep.train("importance")
    with st.expander("What to look for"):
        st.markdown(
            "- **Few draws carry the weight**: most of a posterior’s draws decode to nearly the same image, yet pixels "
            "decide by nats, so that one or two of ten have nearly all.\n"
            "- **The gap between k = 1 and k = 500** is what the ELBO leaves on the table: large where the true posterior "
            "is no Gaussian with independent units.\n"
            "- **VAE beside IWAE** (box above): trained with several draws, a posterior may spread wider, since one good "
            "draw is enough. Its ELBO can be worse and its bound better."
        )
    with st.expander("Why"):
        st.markdown(
            "By Jensen’s inequality the logarithm of a mean is at least the mean of logarithms: averaging weights before "
            "the logarithm can only raise the bound, and with ever more draws it reaches log p(x). The text after Eq. 13 "
            "calls the weights likelihoods q(z|x); they are the normalised p(x, z) / q(z|x). Section 3.1; Burda et al. "
            "(2015), arXiv:1509.00519."
        )
