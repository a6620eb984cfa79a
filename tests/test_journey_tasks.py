"""Visits to the pages of tasks in Chromium: clusters, few labels, planes that are linked, films rated, own files."""

from __future__ import annotations

import csv
import io
import re

import numpy as np
import pytest
from playwright.sync_api import TimeoutError, expect

from tests.chromium import PATIENCE, settled

pytestmark = [pytest.mark.slow, pytest.mark.browser, pytest.mark.timeout(300)]


def opened(tab, address: str, link: str) -> None:
    """The page to its last line."""
    tab.goto(f"{address}/{link}")
    tab.get_by_text("Why", exact=True).or_(tab.locator("[data-testid=stException]")).last.wait_for()
    settled(tab)


def pick(tab, label: str, option: str) -> None:
    wanted = tab.get_by_role("option", name=option, exact=True)
    for _ in range(5):  # a page that is painted anew just then closes the list
        tab.get_by_role("combobox", name=label, exact=True).focus()
        tab.keyboard.press("ArrowDown")
        try:
            wanted.click(timeout=PATIENCE / 10)
            break
        except TimeoutError:
            continue
    else:
        raise AssertionError(f"{label} does not offer {option}")
    settled(tab)


def test_a_cluster_is_chosen_named_and_taken_home(tab, address):
    opened(tab, address, "cluster")
    before = tab.get_by_role("heading", name=re.compile("^Cluster A")).inner_text()
    tab.locator(".contact button, .contact [role=button]").nth(1).click()
    tab.wait_for_url("**cluster.*")
    heading, box = tab.get_by_role("heading", name=re.compile("^Cluster [A-J]")), tab.get_by_label("Its name")
    expect(heading).to_have_count(1)  # the one before may stand beside it for a moment
    expect(heading).not_to_have_text(before)
    expect(box).to_have_count(1)
    box.fill("round ones")
    box.press("Enter")
    tab.get_by_role("heading", name=re.compile("round ones")).wait_for()
    settled(tab)
    with tab.expect_download() as download:
        tab.get_by_role("button", name="Assignments as CSV").click()
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert len(rows) > 10_000 and any("round ones" in row.values() for row in rows)
    link = tab.url
    tab.goto("about:blank")
    tab.goto(link)
    tab.get_by_role("heading", name=re.compile("round ones")).wait_for()


def test_labels_are_dragged_and_a_wrong_cell_is_looked_into(tab, address):
    opened(tab, address, "classify")
    tab.get_by_text("With 10 labels of each class").wait_for()
    slider = tab.get_by_role("slider", name="Labelled images of each class")
    slider.focus()
    slider.press("ArrowRight")
    slider.press("ArrowRight")
    tab.get_by_text("With 20 labels of each class").wait_for()
    tab.wait_for_url("**classify.labels.digits=20**")
    pick(tab, "Is", "4")
    tab.get_by_text(re.compile(r"^\d+ wrong")).wait_for()
    expect(tab.locator(".contact").last).to_have_text(re.compile(r"^\s*(4\s*→\s*\d\s*)+$"))


def test_planes_are_linked_under_the_hand_by_the_lasso_and_in_the_link(tab, address):
    opened(tab, address, "reduce")
    fields, titles = tab.locator(".map .field"), tab.locator(".map .point .title")
    assert fields.count() == 4
    fields.nth(3).scroll_into_view_if_needed()
    box = fields.nth(3).bounding_box()
    painted = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
    for step in range(40):  # over the plane, until a point lies under the pointer
        tab.mouse.move(box["x"] + box["width"] * (0.3 + 0.01 * step), box["y"] + box["height"] * 0.5)
        tab.evaluate(painted)  # else what is read may be of the place before
        if "image" in (said := titles.nth(3).inner_text()):
            break
    expect(titles).to_have_text([said] * 4)  # by the browser alone: no script runs for a pointer that moves
    tab.mouse.down()
    tab.mouse.up()
    tab.wait_for_url(re.compile(r"reduce\.point=\d+"))
    settled(tab)
    tab.get_by_text("1 chosen").wait_for()

    fields.nth(0).scroll_into_view_if_needed()
    lasso = tab.get_by_role("button", name="Lasso").first
    lasso.click()
    expect(lasso).to_have_attribute("aria-pressed", "true")
    box = fields.nth(0).bounding_box()
    x, y = box["x"] + 0.4 * box["width"], box["y"] + 0.4 * box["height"]
    tab.mouse.move(x, y)
    tab.mouse.down()
    for dx, dy in ((60, 0), (60, 60), (0, 60), (-20, 20)):
        tab.mouse.move(x + dx, y + dy, steps=4)
    tab.mouse.up()
    tab.locator(".map .legend button").nth(3).click()  # at once, while the server still hears of the lasso
    counts, hidden = tab.locator(".map .bar [role=status]"), tab.locator(".map .legend button[aria-pressed=false]")
    expect(counts.first).to_have_text(re.compile(r"^\d\d+ selected$"))
    chosen = counts.all_inner_texts()[:1] * 4

    def all_show_it() -> None:
        expect(counts).to_have_text(chosen)
        expect(hidden).to_have_text(["3"] * 4)

    all_show_it()
    tab.wait_for_url("**reduce.chosen=**")
    tab.wait_for_url("**reduce.hidden=3**")
    for _ in range(4):  # whatever the server still sends takes nothing back
        tab.wait_for_timeout(300)
        all_show_it()
    settled(tab)
    link = tab.url
    assert "reduce.hidden=3" in link and "reduce.chosen=" in link and "reduce.point=" in link

    method = tab.get_by_role("button", name="PCA", exact=True)
    for count in (3, 4):  # a plane that comes back is told
        method.click()
        expect(fields).to_have_count(count)
    all_show_it()
    opened(tab, address, link.partition(address + "/")[2])
    all_show_it()
    assert tab.url.removesuffix("&v=1") == link.removesuffix("&v=1")


@pytest.mark.timeout(600)  # three trainings lie in it
def test_a_film_is_rated_and_own_ratings_are_compared(tab, address, tmp_path):
    opened(
        tab,
        address,
        "recommend?recommend.rated.ratings=1:5_7:2&recommend.model=CDAE&recommend.seeds=1&recommend.epochs=20",
    )
    tab.get_by_text("chance of a like").first.wait_for()
    pick(tab, "Autoencoder", "U-AutoRec")
    tab.wait_for_url("**recommend.model=U-AutoRec**")
    settled(tab)
    for whose in ("a user’s", "mine"):  # what was rated is still there afterwards
        tab.get_by_role("radio", name=whose).click()
        settled(tab)
    assert "1:5_7:2" in tab.url.replace("%3A", ":")

    random = np.random.default_rng(0)
    taste, film = random.normal(size=(60, 1)), random.normal(size=(1, 25))
    stars = np.clip(np.rint(3 + taste * film), 1, 5).astype(int)
    lines = [f"u{u},f{i},{stars[u, i]}" for u in range(60) for i in range(25) if random.random() < 0.5]
    mine = tmp_path / "ratings.csv"
    mine.write_text("user,item,rating\n" + "\n".join(lines), encoding="utf-8")
    pick(tab, "Ratings", "your ratings")
    tab.locator("input[type=file]").set_input_files(mine)
    tab.wait_for_url("**recommend.file=**")
    tab.get_by_text("All methods, seed by seed").first.wait_for()  # the worker is at it, the page goes on
    tab.get_by_text("Ranking for new users").wait_for(timeout=240_000)
    tab.get_by_text(f"{len(lines):,} ratings by 60 users of 25 films").wait_for()
