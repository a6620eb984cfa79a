"""Navigation and page frame."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # Streamlit puts the script's own folder there, not the one that holds the packages
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from app import ahead  # noqa: E402

ahead.imported(ahead.OURS)
from app import link, shelf  # noqa: E402

st.set_page_config(page_title="Autoencoder Explorer", page_icon=":material/blur_on:", layout="wide")
shelf.queue()  # starts with the first page, so that waiting runs go on

VIEWS = Path(__file__).parent / "views"
PAGES = {
    "": [
        ("gallery", "Gallery", "grid_view", "The trained autoencoders, and yours"),
        ("train", "Train", "model_training", "Choose an autoencoder and data, set the knobs"),
        ("run", "Watch", "show_chart", "See a training: every term of the loss, pictures sharpening, time left"),
    ],
    "Exhibits": [
        ("chapter", "The chapter", "menu_book", "Its sections, equations and figures, and where each is alive"),
        ("bottleneck", "Bottleneck", "filter_alt", "How much survives a code of so many numbers; memory and identity"),
        ("regularizers", "Regularizers", "tune", "Sparse, denoising, contractive: what each does to code and filters"),
        ("denoising", "Denoising", "healing", "Damaged images restored, beside a plain net and a classical filter"),
        ("layers", "Layer by layer", "layers", "A stack trained one layer after the other, beside one trained whole"),
        ("inside", "Inside a VAE", "motion_mode", "One image: its cloud, a draw, its bound; Algorithm 1 by lines"),
        ("importance", "Importance weights", "balance", "Several draws of a code, the likelier counting more: IWAE"),
        ("beta", "β-disentanglement", "dashboard_customize", "A slider over β: units, rate and distortion, scores"),
        ("wasserstein", "VAE against WAE", "bubble_chart", "Must each image's cloud fill the prior, or all together?"),
        ("transport", "Transport", "local_shipping", "Moving one cloud into another, and a critic of the cost"),
        ("features", "Feature loss", "visibility", "Pixels or features: who compares decides what is lost"),
        (
            "pixelcnn",
            "PixelCNN",
            "grid_on",
            "Images drawn pixel by pixel; finish my drawing; what a pixel looks back on",
        ),
        ("adversarial", "Adversarial codes", "theater_comedy", "Critics of codes, of images, of both"),
    ],
    "Put to use": [
        ("classify", "Classify", "category", "Few labels, many images: what a code learnt without labels is worth"),
        ("cluster", "Cluster", "workspaces", "Groups in codes, without labels; your own images, too"),
        ("detect", "Detect", "warning", "What comes back badly is unlike what was learnt: anomalies"),
        ("recommend", "Recommend", "thumb_up", "Few ratings in, all the others out"),
        ("reduce", "Reduce", "compress", "Codes beside PCA, LDA, Isomap, UMAP and t-SNE"),
    ],
    "See inside": [
        ("reconstruct", "Reconstruct", "compare", "Encoder, code, decoder: what comes back, and what is lost"),
        ("traverse", "Traverse", "tune", "Turn one unit of the code and see what it means"),
        ("map", "Map", "scatter_plot", "All codes in the plane, and what lies between them"),
        ("generate", "Generate", "casino", "New images from the prior"),
        ("attributes", "Attributes", "face", "A face, its attributes switched one by one; the person should stay"),
        ("compare", "Side by side", "view_column", "One pointer drives the decoders of several runs"),
    ],
}

page = st.navigation(
    {
        section: [
            st.Page(
                VIEWS / f"{name}.py",
                title=title,
                icon=f":material/{icon}:",
                url_path=name,
                help=help,
                default=name == "gallery",
            )
            for name, title, icon, help in pages
        ]
        for section, pages in PAGES.items()
    },
    position="top",
)
shelf.look()
shelf.greet()
if page.url_path:  # the gallery, which most see first, needs none of it
    ahead.imported(ahead.SKLEARN)
with shelf.plain_errors():
    page.run()
link.finish()
