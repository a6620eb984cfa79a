"""The frame of every page, which Streamlit runs: navigation, the visitor, errors as sentences, and the link."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parent.parent)
if ROOT not in sys.path:  # Streamlit puts the script's own folder there, not the one that holds the packages
    sys.path.insert(0, ROOT)

import streamlit as st  # noqa: E402

from app import warm  # noqa: E402

warm.imported(warm.OURS)
from app import link, pages, session  # noqa: E402

st.set_page_config(page_title="Autoencoder Explorer", page_icon=":material/blur_on:", layout="wide")
session.server()  # starts with the first page, so that waiting runs go on

page = pages.navigation()
session.apply_style()
session.greet()
if page.url_path:  # the gallery, which most visitors see first, needs no sklearn
    warm.imported(warm.SKLEARN)
with session.plain_errors():
    page.run()
link.finish()
