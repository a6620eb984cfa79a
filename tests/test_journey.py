"""A visitor's journey through the app in Chromium, with real training in the background."""

from __future__ import annotations

import io
import re
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import expect

from aecore import DataSpec, Plan, Run
from aecore.jobs.queue import digest
from aecore.runs.library import create, find, pretrained
from tests.chromium import PATIENCE, app, pixels, settled

pytestmark = [pytest.mark.browser, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("journey") / "runs"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def address(runs):
    with app(runs) as found:
        yield found


def wait(condition, what: str, seconds: float = 90):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, f"waited {seconds:.0f} s for {what}"
        time.sleep(0.2)
    return found


def drag(tab, track, start: float, end: float) -> list[np.ndarray]:
    """Drag along a slider; the large picture before and after, with the hand still down."""
    picture = tab.locator(".scrub figure canvas")
    track.scroll_into_view_if_needed()
    box = track.bounding_box()
    before = pixels(picture)
    tab.mouse.move(box["x"] + box["width"] * start, box["y"] + box["height"] / 2)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] * end, box["y"] + box["height"] / 2, steps=8)
    return [before, pixels(picture)]


def test_a_model_is_picked_its_picture_seen_and_a_unit_moved(tab, address):
    """The short journey of `make test`; those below are longer."""
    tab.goto(f"{address}/traverse?run=vae-2d")
    settled(tab)
    title = find("deep-16").info.title
    box = tab.get_by_role("combobox", name="Autoencoder", exact=True)
    box.click()
    box.fill(title)
    tab.get_by_role("option", name=title, exact=True).click()
    tab.wait_for_url("**run=deep-16**")
    settled(tab)
    track = tab.get_by_role("slider", name=re.compile("^z")).first
    before, during = drag(tab, track, 0.5, 0.9)
    assert before[..., :3].any() and (before != during).any(), "the picture follows the hand before it lets go"
    tab.mouse.up()
    tab.wait_for_url(re.compile(r"z=\d+%3A|z=\d+:"))
    settled(tab)


@pytest.mark.slow
def test_train_watch_stop_resume_explore_and_share(tab, browser, address, runs):
    tab.goto(f"{address}/train")
    settled(tab)
    tab.get_by_role("button", name="10 seconds on a laptop").click()
    settled(tab)
    tab.get_by_text("Train", exact=True).last.wait_for()
    tab.get_by_role("button", name=re.compile("Train$")).last.click()

    run = wait(lambda: next((Run.open(p.parent) for p in runs.glob("*/run.json")), None), "the run's folder")
    tab.wait_for_url(re.compile(run.info.id))
    wait(lambda: sum("test" in row for row in run.rows()[0]) > 3, "held-out values")
    tab.get_by_role("button", name="Stop", exact=True).click()
    wait(lambda: run.refresh().info.status == "stopped", "the run to stop")
    rows, _ = run.rows()
    assert rows[-1]["train"]["recon"] < 0.8 * rows[0]["train"]["recon"], "the curve falls"
    tab.locator(".js-plotly-plot").first.wait_for()

    tab.reload()
    tab.get_by_role("button", name="Resume").click()
    wait(lambda: run.refresh().info.status == "done", "the run to end", 120)
    tab.get_by_text("Held-out figures").wait_for()
    assert run.info.metrics and run.rows()[0][-1]["epoch"] == run.info.plan.epochs

    tab.goto(f"{address}/traverse?run={run.info.id}")
    settled(tab)
    track = tab.get_by_role("slider", name=re.compile("^z")).first
    track.wait_for()
    before, during = drag(tab, track, 0.5, 0.9)
    assert (before != during).any(), "the picture follows the hand before it lets go"
    tab.mouse.up()
    settled(tab)
    tab.wait_for_url(re.compile("z="))

    tab.goto(f"{address}/map?run={run.info.id}")
    settled(tab)
    field = tab.get_by_role("application")
    field.wait_for()
    decoded = tab.get_by_role("img", name="Picture decoded")
    box = field.bounding_box()
    seen = []
    for share in (0.3, 0.7):
        tab.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
        seen.append(pixels(decoded))
    assert (seen[0] != seen[1]).any(), "the plane decodes under the pointer"
    tab.mouse.click(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.6)
    tab.mouse.move(2, 2)
    tab.wait_for_url(re.compile("view="))
    settled(tab)
    pinned, link = pixels(decoded), tab.url

    other = browser.new_context(viewport={"width": 1440, "height": 1000})
    other.set_default_timeout(PATIENCE)
    twin = other.new_page()
    twin.goto(link)
    settled(twin)
    again = twin.get_by_role("img", name="Picture decoded")
    again.wait_for()
    wait(lambda: (pixels(again) == pinned).all(), "the link to show the same picture in another browser", 20)
    twin.goto(f"{address}/run?run={run.info.id}")
    settled(twin)
    assert twin.get_by_role("button", name="Delete").is_disabled(), "another visitor may look, not delete"
    other.close()


def pictures() -> bytes:
    """A zip of forty small pictures in two folders, with three members that must be left out."""
    out = io.BytesIO()
    draw = np.random.default_rng(0)
    with zipfile.ZipFile(out, "w") as archive:
        for k in range(40):
            picture = np.zeros((24, 20, 3), np.uint8)
            picture[4:20, 4:16] = (220, 60, 40) if k % 2 else (40, 60, 220)
            picture += draw.integers(0, 20, picture.shape, np.uint8)
            file = io.BytesIO()
            Image.fromarray(picture).save(file, "PNG")
            archive.writestr(f"{'red' if k % 2 else 'blue'}/{k}.png", file.getvalue())
        archive.writestr("../outside.png", b"x")
        archive.writestr("red/text.png", b"no picture")
        archive.writestr("red/cut.png", file.getvalue()[:60])
    return out.getvalue()


@pytest.mark.slow
def test_own_pictures_in_a_zip_are_taken_trained_on_and_explored(tab, address, runs):
    before = {path.parent for path in runs.glob("*/run.json")}
    tab.goto(f"{address}/train?model=vae&data=images&data.size=16&code=2&width=64&train.epochs=3&train.batch=8&v=1")
    settled(tab)
    upload = {"name": "mine.zip", "mimeType": "application/zip", "buffer": pictures()}
    tab.locator("input[type=file]").set_input_files(upload)
    tab.get_by_text("40 pictures taken").wait_for()
    tab.get_by_text("3 left out").wait_for()
    settled(tab)
    tab.get_by_role("button", name=re.compile("Train$")).last.click()
    path = wait(lambda: next((p.parent for p in runs.glob("*/run.json") if p.parent not in before), None), "the run")
    run = Run.open(path)
    tab.wait_for_url(re.compile(run.info.id))
    wait(lambda: run.refresh().info.status == "done", "the run to end")
    assert run.info.shape == (3, 16, 16) and set(run.info.classes) == {"red", "blue"}
    tab.goto(f"{address}/map?run={run.info.id}&map.half=training")
    settled(tab)
    tab.get_by_role("img", name="Picture decoded").wait_for()
    tab.get_by_role("button", name="red", exact=True).wait_for()
    assert run.info.id in tab.url, "another run of the same name is not taken for this one"


@pytest.mark.slow
def test_the_gallery_shows_a_live_picture_and_every_trained_example(tab, address):
    tab.goto(address)
    decoded = tab.get_by_role("img", name="Picture decoded")
    decoded.wait_for()
    box = tab.get_by_role("application").bounding_box()
    seen = []
    for share in (0.35, 0.65):
        tab.mouse.move(box["x"] + box["width"] * share, box["y"] + box["height"] * share)
        seen.append(pixels(decoded))
    assert (seen[0] != seen[1]).any()
    settled(tab)
    cards, more = tab.locator(".st-key-cards h3, .st-key-cards h4"), tab.get_by_role("button", name="Show more of")
    examples = list(pretrained())
    while more.count():
        total = int(more.inner_text().split()[-1])
        wanted = min(total, cards.count() + 12)
        more.click()
        expect(cards).to_have_count(wanted)
        expect(more).to_have_count(int(wanted < total))
    for run in examples:
        tab.get_by_role("heading", name=run.info.title, exact=False).first.wait_for()


@pytest.mark.slow
def test_a_paused_run_of_somebody_else_can_be_watched_only(tab, address, runs):
    run = create(
        "deep",
        DataSpec(name="digits8"),
        {"code": 2, "width": 16},
        Plan(epochs=1),
        path=runs / "somebody",
        owner=digest("somebody's secret"),
    )
    run.save(status="paused")
    tab.goto(f"{address}/run?run=somebody")
    settled(tab)
    resume = tab.get_by_role("button", name="Resume")
    resume.wait_for()
    assert resume.is_disabled()
    tab.goto(f"{address}/run?run=..%2F..%2Fetc")
    settled(tab)
    tab.get_by_text("There is no such run here").wait_for()


@pytest.mark.slow
def test_every_file_of_a_run_can_be_downloaded(tab, address):
    tab.goto(f"{address}/run?run=vae-2d")
    settled(tab)
    for label, start in (("TensorBoard", b"PK"), ("Codes", b"id,"), ("ONNX", b"PK")):
        with tab.expect_download() as arriving:
            tab.get_by_role("button", name=label).click()
        content = Path(arriving.value.path()).read_bytes()
        assert content.startswith(start) and len(content) > 10_000, label
