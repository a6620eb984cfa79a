"""Every page of the table opens once, as the navigation opens it, without an exception and with its picture."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from streamlit.testing.v1 import AppTest

from app import pages
from app.link import VERSION
from app.pages import PAGES
from app.views.exhibits import pixelcnn_likelihoods
from tests.pages import app_at

QUERIES = {"run": {"run": "vae-2d"}}
"""Watch shows a run of the visitor's own; a visitor who has none looks at an example."""


def drawn(at: AppTest) -> int:
    """How many pictures a page shows: components that were handed something to draw, images, and figures with data."""
    components = sum(len(part.proto.bytes) > 500 for part in at.get("bidi_component"))
    images = sum(image.url != "" for part in at.get("image") for image in part.proto.imgs)
    return components + images + sum('"type":' in part.proto.spec for part in at.get("plotly_chart"))


PICTURES: dict[str, Callable[[AppTest], int]] = {"chapter": lambda at: len(at.latex)}
"""What stands for the picture of a page that has none: the chapter's equations."""


def test_the_table_names_each_page_once_and_each_has_its_module():
    listed = [page for section in pages.SECTIONS.values() for page in section]
    assert len(listed) == len(PAGES) == len({page.module for page in listed}) == len({page.title for page in listed})
    assert pages.FIRST is listed[0] and all(page.help and page.icon for page in listed)


@pytest.mark.parametrize("key", PAGES)
def test_a_page_opens_with_its_picture(key, monkeypatch):
    """What a page says in the link of its own accord is signed, and only what it declares stands there."""
    monkeypatch.setattr(pixelcnn_likelihoods, "CONDITIONED", 4)  # each is measured under all ten labels
    monkeypatch.setattr(pixelcnn_likelihoods, "RANKED", 24)
    at = app_at(key, dict(QUERIES.get(key, {}))).run()
    assert not at.exception, at.exception[0].value
    assert not at.error and not at.warning
    assert at.title[0].value == PAGES[key].title or key in ("gallery", "run")
    assert PICTURES.get(key, drawn)(at) >= 1
    said = {name: at.query_params[name] for name in at.query_params}
    assert not said or said["v"] in (VERSION, [VERSION])
    own = {"run", "v", *(("model", "data") if key == "train" else ())}
    assert key == "train" or all(name in own or name.startswith(f"{key}.") for name in said)
