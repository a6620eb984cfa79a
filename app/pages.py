"""The one table of pages: what each is called, where it stands in the navigation, and which runs it can open.

The modules of the pages are imported when a page is opened, so that they may import this one.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

import streamlit as st

from aecore import Run


@dataclass(frozen=True)
class Page:
    """One page of the app.

    key: its path in the URL.  title: as the navigation shows it.  icon: a name of Material Symbols.
    module: below `app.views`; its function `page()` draws the page.  help: one line for the navigation.
    needs: abilities that a run must have to get a link to this page on its card; empty where it is not about one run.
    """

    key: str
    title: str
    icon: str
    module: str
    help: str
    needs: frozenset[str] = frozenset()


SECTIONS: dict[str, tuple[Page, ...]] = {
    "": (
        Page("gallery", "Gallery", "grid_view", "gallery", "The trained autoencoders, and your own"),
        Page("train", "Train", "model_training", "train", "Choose an autoencoder and data, set the hyperparameters"),
        Page("run", "Watch", "show_chart", "run", "Follow a training: every term of the loss, images, time left"),
    ),
    "Exhibits": (
        Page(
            "chapter",
            "The chapter",
            "menu_book",
            "exhibits.chapter",
            "Its sections, equations and figures, and the page on which each can be tried",
        ),
        Page(
            "bottleneck",
            "Bottleneck",
            "filter_alt",
            "exhibits.bottleneck",
            "How much of an image a code of few numbers keeps; memory and identity",
        ),
        Page(
            "regularizers",
            "Regularizers",
            "tune",
            "exhibits.regularizers",
            "Sparse, denoising, contractive: what each does to the code and the filters",
        ),
        Page(
            "denoising",
            "Denoising",
            "healing",
            "exhibits.denoising",
            "Damaged images restored, beside a plain net and a classical filter",
        ),
        Page(
            "layers",
            "Layer by layer",
            "layers",
            "exhibits.layers",
            "A stack trained one layer after the other, beside one trained whole",
        ),
        Page(
            "inside",
            "Inside a VAE",
            "motion_mode",
            "exhibits.inside",
            "One image: its posterior, samples from it, its bound; Algorithm 1 line by line",
        ),
        Page(
            "importance",
            "Importance weights",
            "balance",
            "exhibits.importance",
            "Several samples of a code, the likelier ones weighing more: IWAE",
        ),
        Page(
            "likelihoods",
            "Pixel likelihoods",
            "contrast",
            "exhibits.likelihoods",
            "Bernoulli, continuous Bernoulli, Gaussian: what a decoder’s number of nats means",
        ),
        Page(
            "beta",
            "β-disentanglement",
            "dashboard_customize",
            "exhibits.beta",
            "A slider over β: latent dimensions, rate and distortion, scores",
        ),
        Page(
            "wasserstein",
            "VAE against WAE",
            "bubble_chart",
            "exhibits.wasserstein",
            "Must each posterior match the prior, or only all of them together?",
        ),
        Page(
            "transport",
            "Transport",
            "local_shipping",
            "exhibits.transport",
            "Moving one cloud into another, and a critic of the cost",
        ),
        Page(
            "features",
            "Feature loss",
            "visibility",
            "exhibits.features",
            "Pixels or features: what is compared decides what is lost",
        ),
        Page(
            "pixelcnn",
            "PixelCNN",
            "grid_on",
            "exhibits.pixelcnn",
            "Images drawn pixel by pixel; drawings completed; the receptive field of a pixel",
            frozenset(["density"]),
        ),
        Page(
            "adversarial",
            "Adversarial codes",
            "theater_comedy",
            "exhibits.adversarial",
            "Critics of codes, of images, and of both",
        ),
    ),
    "Applications": (
        Page(
            "classify",
            "Classify",
            "category",
            "tasks.classify",
            "Few labels, many images: how much a code learnt without labels helps",
        ),
        Page(
            "cluster",
            "Cluster",
            "workspaces",
            "tasks.cluster",
            "Groups of codes, found without labels; also of your own images",
        ),
        Page("detect", "Detect", "warning", "tasks.detect", "Anomalies: examples that the model reconstructs badly"),
        Page(
            "recommend", "Recommend", "thumb_up", "tasks.recommend", "A few ratings in, predictions of all others out"
        ),
        Page("reduce", "Reduce", "compress", "tasks.reduce", "Codes beside PCA, LDA, Isomap, UMAP and t-SNE"),
    ),
    "Explore": (
        Page(
            "reconstruct",
            "Reconstruct",
            "compare",
            "explore.reconstruct",
            "Encoder, code, decoder: what is reconstructed, and what is lost",
            frozenset(["decode", "encode"]),
        ),
        Page(
            "traverse",
            "Traverse",
            "tune",
            "explore.traverse",
            "Move one latent dimension and see what it means",
            frozenset(["decode"]),
        ),
        Page(
            "map",
            "Map",
            "scatter_plot",
            "explore.map",
            "All codes in the plane, and what lies between them",
            frozenset(["decode", "encode"]),
        ),
        Page("generate", "Generate", "casino", "explore.generate", "New images from the prior", frozenset(["sample"])),
        Page(
            "attributes",
            "Attributes",
            "face",
            "explore.attributes",
            "A face whose attributes are switched one by one, while the person should stay",
        ),
        Page(
            "compare",
            "Side by side",
            "view_column",
            "explore.compare",
            "One pointer drives the decoders of several runs",
        ),
    ),
}
PAGES: dict[str, Page] = {page.key: page for pages in SECTIONS.values() for page in pages}
FIRST = PAGES["gallery"]


def show(key: str) -> None:
    """Draw this page."""
    importlib.import_module(f"app.views.{PAGES[key].module}").page()


def _streamlit_page(page: Page) -> st.Page:
    return st.Page(
        partial(show, page.key),
        title=page.title,
        icon=f":material/{page.icon}:",
        url_path=page.key,
        help=page.help,
        default=page is FIRST,
    )


def navigation() -> st.Page:
    """Draw the navigation, and return the page that the visitor asked for."""
    return st.navigation(
        {name: [_streamlit_page(page) for page in pages] for name, pages in SECTIONS.items()}, position="top"
    )


def link(key: str, label: str = "", icon: str | None = None, query: Mapping[str, str] | None = None, **more) -> None:
    """A link to a page.

    label, icon: the page's own by default; no icon for "".  query: the values that stand in the link behind its path.
    more: further arguments of `st.page_link`.
    """
    page = PAGES[key]
    name = page.icon if icon is None else icon
    st.page_link(
        _streamlit_page(page),
        label=label or page.title,
        icon=f":material/{name}:" if name else "",  # for None Streamlit takes the page's own
        query_params=dict(query or {}),
        **more,
    )


def open_page(key: str, query: Mapping[str, str]) -> None:
    """Leave this page for another one."""
    st.switch_page(_streamlit_page(PAGES[key]), query_params=dict(query))


def for_run(run: Run) -> list[Page]:
    """The pages that can open this run, by the abilities of its model; those of "Explore" first."""
    pages = (*SECTIONS["Explore"], *SECTIONS["Exhibits"])
    return [page for page in pages if page.needs and page.needs <= run.entry.abilities]
