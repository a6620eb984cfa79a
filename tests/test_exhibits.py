"""The exhibits: each opens with its picture, answers to the hand, and keeps its state in the link."""

from __future__ import annotations

import re
import urllib.parse

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from aecore import CATALOG
from aecore.runs.library import find
from app import link
from app.pages import PAGES
from app.state import Point
from tests.chromium import ROOT, pixels, settled
from tests.pages import app_at


def opened(view: str, /, **link: str | list[str]) -> AppTest:
    at = app_at(view, {name.replace("__", "."): value for name, value in link.items()}).run()
    assert not at.exception and not at.error and not at.warning
    return at


# --- the link ---------------------------------------------------------------------------------------------------


def test_what_a_link_loses_on_the_way_is_put_back():
    """Streamlit overwrites the link with what an earlier run knew; no widget's choice may stay lost."""
    chosen = {"reconstruct.class": "3", "reconstruct.n": "18", "reconstruct.seed": "7", "reconstruct.from": "draw"}

    def picked(at: AppTest) -> list:
        boxes = at.selectbox, at.select_slider, at.number_input
        return [kind(key=f"reconstruct.{name}").value for kind, name in zip(boxes, ("class", "n", "seed"), strict=True)]

    at = opened("reconstruct", run="vae-2d")
    assert not set(chosen) & set(at.query_params)  # defaults need not be said
    at.selectbox(key="reconstruct.class").set_value("3")
    at.select_slider(key="reconstruct.n").set_value(18)
    at.number_input(key="reconstruct.seed").set_value(7)
    at.segmented_control(key="reconstruct.from").set_value("draw").run()
    for _ in range(2):
        assert not at.exception and {key: at.query_params.get(key) for key in chosen} == chosen
        for key in chosen:
            del at.query_params[key]
        at.run()
    again = opened("reconstruct", **{key.replace(".", "__"): value for key, value in at.query_params.items()})
    assert picked(again) == picked(at) == ["3", 18, 7]


# --- VAE against WAE ------------------------------------------------------------------------------------------


def test_vae_against_wae_shows_what_the_claim_says():
    """Clouds of a WAE overlap less than a VAE's, while all codes together are about as near to the prior."""
    at = opened("wasserstein")
    table = at.dataframe[0].value.set_index("model")
    assert list(table.index) == ["VAE", "WAE-MMD, Gaussian", "WAE-MMD, points", "AAE"]
    overlaps = [float(text.split()[0]) for text in table["overlap of two clouds"]]
    assert overlaps[1] < overlaps[0] / 2 and overlaps[2] == overlaps[3] == 0
    distances = table["MMD² of all codes and prior"].astype(float)
    assert (distances < 1.5 * distances["VAE"]).all() and (table["by chance, up to"].astype(float) > 0).all()


def test_vae_against_wae_can_be_chosen_by_link_and_refuses_nothing():
    at = opened("wasserstein", wasserstein__models=["Autoencoder", "VAE"], wasserstein__n="5", wasserstein__seed="3")
    table = at.dataframe[0].value
    assert list(table["model"]) == ["Autoencoder", "VAE"]
    assert table["MMD² of all codes and prior"][0] == ""  # it has no prior
    at = opened("wasserstein", wasserstein__at="nonsense,1,2")
    assert len(at.dataframe[0].value) == 4


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(300)
def test_one_pointer_moves_all_pictures_of_vae_and_wae_and_the_link_keeps_its_place(address, tab):
    tab.goto(f"{address}/wasserstein")
    field = tab.get_by_role("application").first
    field.wait_for()
    settled(tab)
    pictures = tab.locator(".planes >> nth=0 >> figure canvas")
    assert pictures.count() == 4

    def seen() -> list[np.ndarray]:
        return [pixels(canvas)[..., 0].astype(int) for canvas in pictures.all()]

    field.scroll_into_view_if_needed()
    box = field.bounding_box()

    def at(u, v):
        return (box["x"] + u * box["width"], box["y"] + v * box["height"])

    tab.mouse.move(*at(0.2, 0.2))
    tab.mouse.down()
    first, places = seen(), tab.locator(".planes >> nth=0 >> figcaption").all_inner_texts()
    tab.mouse.move(*at(0.7, 0.6), steps=5)
    second = seen()
    assert all(np.abs(a - b).mean() > 3 for a, b in zip(first, second, strict=True))  # the hand still down
    assert all(
        a != b for a, b in zip(places, tab.locator(".planes >> nth=0 >> figcaption").all_inner_texts(), strict=True)
    )
    tab.mouse.up()
    tab.wait_for_url("**wasserstein.at=0.7**")
    tab.mouse.move(5, 5)
    link = tab.url
    settled(tab)
    tab.goto(link)
    tab.get_by_role("application").first.wait_for()
    settled(tab)
    tab.wait_for_function("() => true")
    assert all(np.abs(a - b).max() <= 1 for a, b in zip(second, seen(), strict=True))


# --- importance weights -----------------------------------------------------------------------------------------


def test_importance_weights_shows_a_bound_that_grows():
    at = opened("importance", run="iwae-16", importance__k="20", importance__image="3")
    shown = " ".join(html.proto.body for html in at.get("html"))
    numbers = [float(text.replace("−", "-")) for text in re.findall(r">(−[0-9.]+) nats<", shown)]
    assert len(numbers) == 3 and numbers[1] < numbers[0] < numbers[2] + 1 and numbers[1] < numbers[2]
    assert "All 20 samples" in " ".join(caption.value for caption in at.caption)
    at = opened("importance", run="ali-16")
    assert "no likelihood" in at.info[0].value


@pytest.mark.slow
@pytest.mark.browser
@pytest.mark.timeout(300)
def test_more_samples_change_the_pictures_and_the_bound(address, tab):
    tab.goto(f"{address}/importance?run=iwae-16")
    tab.get_by_role("slider", name="Samples").wait_for()
    settled(tab)
    number = tab.get_by_text("weights’ mean")
    bars, said = tab.get_by_role("img", name="Weights of the samples").locator("div"), number.inner_text()
    assert bars.count() == 10
    tab.get_by_role("slider", name="Samples").focus()
    for _ in range(4):
        tab.keyboard.press("ArrowRight")
    tab.wait_for_url("**importance.k=24**")
    tab.get_by_text("All 24 samples").wait_for()
    settled(tab)
    assert bars.count() == 24 and number.inner_text() != said and "24" in number.inner_text()
    tab.reload()
    tab.get_by_text("All 24 samples").wait_for()


# --- the chapter ------------------------------------------------------------------------------------------------


def test_the_chapter_has_all_its_equations_figures_and_errata():
    at = opened("chapter")
    numbers = [int(n) for latex in at.latex for n in re.findall(r"\\qquad \((\d+)\)", latex.value)]
    assert numbers == list(range(1, 22))
    said = " ".join(markdown.value for markdown in at.markdown)
    text = (ROOT / "docs/errata.md").read_text(encoding="utf-8")
    rows = [line.split("|")[1].strip() for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(rows) >= 8 and all(f"**{where}**" in said for where in rows)
    assert all(" ".join(item.split())[:30] in said for item in re.split(r"\n- (?=§)", text)[1:])


def test_every_link_of_the_chapter_leads_to_a_run_and_a_page_that_can_show_it():
    at = opened("chapter")
    links = at.get("page_link")
    figures = set()
    for there in links:
        query = dict(urllib.parse.parse_qsl(there.proto.query_string))
        figures |= set(re.findall(r"Fig\. (\d)", there.proto.label))
        page = there.proto.page
        if "run" in query:
            run = find(query["run"])
            assert page in PAGES and PAGES[page].needs <= run.entry.abilities, (page, query)
        if "model" in query:
            assert query["model"] in CATALOG
    assert figures == set("12345678")
    models = {dict(urllib.parse.parse_qsl(there.proto.query_string)).get("model") for there in links}
    assert models - {None} == set(CATALOG)


# --- what they share --------------------------------------------------------------------------------------------


def test_a_place_in_the_link_is_read_and_nonsense_is_left_aside(monkeypatch):
    said: dict[str, str] = {}
    monkeypatch.setattr(link.st, "query_params", said)
    for text, expected in (
        ("0.25,0.5,2", {"at": [0.25, 0.5], "step": 2}),
        ("7,-1,-3", {"at": [1.0, 0.0], "step": 0}),
        ("a,b,c", None),
        ("", None),
    ):
        said["x"] = text
        assert Point("x").get() == expected
    Point("x").put({"at": [0.1, 0.9], "step": 1})
    assert said["x"] == "0.100,0.900,1"
    Point("x").put({"at": [0.5, 0.5], "step": 0})
    assert "x" not in said  # back at the middle, an old place must not come again with a reload
