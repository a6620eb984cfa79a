"""How fast the pages are, measured in Chromium: the second half of `make bench`.

Medians of several tries; a page counts as there when its picture is drawn and no script runs any more.
"""

from __future__ import annotations

import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from aecore import DataSpec, Plan
from aecore.bench.cases import busy
from aecore.runs.library import create
from tests.chromium import CHROMIUM, ROOT, chromium, free_port

TRIES = 3
PAGES = {
    "reconstruct": "img",
    "traverse": ".scrub figure canvas",
    "map": "[role=application]",
    "generate": "img",
    "run": ".js-plotly-plot",
}
EXHIBITS = {  # page: a component or element that shows its picture, and a control that asks the server, by its label
    "bottleneck": (".contact", "Number of the image"),
    "regularizers": (".contact", "Seed of the choice"),
    "denoising": (".contact", "Seed of the damage"),
    "layers": (".contact", "Seed of the choice"),
    "inside": (".planes", "Image number"),
    "importance": (".contact", "Number of the image"),
    "beta": (".planes", "The other dimensions: those of image"),
    "wasserstein": (".planes", "Seed of the choice"),
    "transport": (".swarm", "Seed"),
    "features": (".contact", "Seed of the choice"),
    "adversarial": (".contact", "Seed of the samples"),
    "compare": (".planes", "Image b"),
    "attributes": (".contact", "Which"),
}
TASKS = {  # page: its first picture
    "classify": ".stHtml i",
    "cluster": "[data-ready] .map",
    "detect": ".threshold .hist",
    "recommend": "[aria-label^='The predicted rating']",
    "reduce": "[data-ready] .map",
    "pixelcnn": "[data-ready] .drawer",
}
MOVE = """() => { window.spent = []; let at = 0;
    addEventListener('pointermove', () => { at = performance.now(); }, true);
    addEventListener('pointermove', () => spent.push(performance.now() - at)); }"""


def drawn(tab, selector: str) -> None:
    tab.wait_for_selector(selector, timeout=120_000)
    tab.wait_for_selector("[data-testid=stStatusWidget]", state="detached", timeout=120_000)


def opening(tab, address: str, page: str) -> float:
    start = time.perf_counter()
    tab.goto(f"{address}/{page}?run=vae-2d")
    drawn(tab, PAGES[page])
    return time.perf_counter() - start


def answer(tab) -> float:
    """A control that needs the server, to its new picture: other images on Generate."""
    pictures = "() => [...document.querySelectorAll('[data-testid=stMain] img')].map(i => i.src).join()"
    before = tab.evaluate(pictures)
    start = time.perf_counter()
    tab.get_by_role("button", name=re.compile("(Draw|Sample) again")).click()
    tab.wait_for_function(f"before => ({pictures})() !== before", arg=before, timeout=120_000)
    return time.perf_counter() - start


def shown(tab, picture: str) -> str:
    """Tells one state of a picture from another: the digest of what a component shows, or a figure's markup."""
    found = tab.locator(picture).first
    return found.get_attribute("data-ready") or found.inner_html()


def opened(tab, address: str, page: str, picture: str) -> list[float]:
    """Seconds to the first picture, the first time and the second."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        tab.goto(f"{address}/{page}")
        tab.wait_for_selector(picture, timeout=120_000)
        times.append(time.perf_counter() - start)
        tab.get_by_text("Why", exact=True).last.wait_for(timeout=120_000)
        drawn(tab, picture)
    return times


def exhibit(tab, address: str, page: str) -> tuple[float, float, float]:
    """Seconds to the first picture, the first time and the second, and from a control's change to the new picture."""
    picture, control = EXHIBITS[page]
    first, again = opened(tab, address, page, f"{picture}[data-ready], .js-plotly-plot .main-svg")
    times = []
    for value in range(3, 3 + TRIES):
        box = tab.get_by_role("spinbutton", name=control).first
        box.fill(str(value))
        before, start = shown(tab, picture), time.perf_counter()
        box.press("Enter")
        while shown(tab, picture) == before and time.perf_counter() - start < 60:
            tab.wait_for_timeout(5)
        times.append(time.perf_counter() - start)
        drawn(tab, picture)
        tab.wait_for_timeout(300)
    return first, again, statistics.median(times)


def answers(tab, address: str) -> float:
    tab.goto(f"{address}/generate?run=vae-2d")
    drawn(tab, "img")
    answer(tab)
    times = []
    for _ in range(3 * TRIES):
        drawn(tab, "img")
        times.append(answer(tab))
    return statistics.median(times)


def drags(tab, address: str) -> float:
    """Milliseconds from a pointer's move to the drawn picture, on the scrubber."""
    tab.goto(f"{address}/traverse?run=vae-2d")
    drawn(tab, ".scrub figure canvas")
    box = tab.locator(".scrub [role=slider]").first.bounding_box()
    tab.evaluate(MOVE)
    tab.mouse.move(box["x"] + 5, box["y"] + 5)
    tab.mouse.down()
    tab.mouse.move(box["x"] + box["width"] - 5, box["y"] + 5, steps=60)
    spent = tab.evaluate("() => spent")
    tab.mouse.up()
    return statistics.median(spent)


SCRUB = """range => new Promise(done => { const spent = [], frames = []; let last = 0, k = 0;
    const step = now => { if (last) frames.push(now - last); last = now;
        const start = performance.now();
        range.value = Math.round(392 * (1 + Math.sin(k / 9))); range.dispatchEvent(new Event('input', {bubbles: true}));
        spent.push(performance.now() - start);
        if (++k < 180) requestAnimationFrame(step); else done([spent, frames]); };
    requestAnimationFrame(step); })"""


def scrubs(tab, address: str) -> tuple[float, float]:
    """Milliseconds to paint 36 drawings anew, and between two frames, when they are scrubbed back and forth."""
    tab.goto(f"{address}/pixelcnn?run=pixelcnn-classes&pixelcnn.n=36")
    drawn(tab, "[data-ready] .drawer .many canvas")
    tab.get_by_text("Why", exact=True).last.wait_for(timeout=120_000)
    drawn(tab, "[data-ready] .drawer")
    spent, frames = tab.get_by_label("Pixels drawn").evaluate(SCRUB)
    return statistics.median(spent), statistics.median(frames)


def main() -> None:
    if CHROMIUM is None:
        sys.exit("No Chromium found: the pages are not measured.")
    if warning := busy():
        print(warning)
    with tempfile.TemporaryDirectory() as temporary, chromium() as browser:
        runs = Path(temporary) / "runs"
        runs.mkdir()
        port = free_port()
        address = f"http://127.0.0.1:{port}"
        tab = browser.new_page(viewport={"width": 1440, "height": 1000})
        start = time.perf_counter()
        environment = os.environ | {"PORT": str(port), "AECORE_RUNS": str(runs)}
        server = subprocess.Popen(["make", "--silent", "run"], cwd=ROOT, env=environment, stdout=subprocess.DEVNULL)
        try:
            while True:
                try:
                    tab.goto(address)
                    break
                except Exception:  # not listening yet
                    time.sleep(0.1)
            tab.get_by_role("img", name="Picture decoded").wait_for(timeout=120_000)
            print(f"make run → first page with a live picture: {time.perf_counter() - start:.1f} s (target 6)")
            for page in PAGES:
                times = [opening(tab, address, page) for _ in range(TRIES)]
                print(f"opening {page:12}: {statistics.median(times):.2f} s, first time {times[0]:.2f} s (target 2)")
            for page in EXHIBITS:
                first, again, control = exhibit(tab, address, page)
                print(
                    f"exhibit {page:12}: first picture {first:.2f} s, then {again:.2f} s (target 2); "
                    f"a control {1000 * control:.0f} ms (target 300)"
                )
            for page, picture in TASKS.items():
                first, again = opened(tab, address, page, picture)
                print(f"task {page:12}: first picture {first:.2f} s, then {again:.2f} s (target 2)")
            print(f"drag → picture, traverse: {drags(tab, address):.1f} ms (target 16)")
            painting, frame = scrubs(tab, address)
            print(
                f"36 drawings scrubbed back and forth: painted in {painting:.1f} ms, a frame each {frame:.1f} ms "
                f"(target {1000 / 60:.1f})"
            )
            calm = answers(tab, address)
            run = create("vae", DataSpec(name="digits"), {"code": 2}, Plan(epochs=500), path=runs / "load")
            while run.refresh().info.status != "running" or not run.heartbeat().get("seconds"):
                time.sleep(0.3)
            loaded = answers(tab, address)
            print(
                f"a control that asks the server: {1000 * calm:.0f} ms (target 300); while a training runs "
                f"{1000 * loaded:.0f} ms, {loaded / calm:.2f} times (target 1.5)"
            )
        finally:
            server.terminate()
            server.wait(30)
    if warning := busy():
        print(warning)


if __name__ == "__main__":
    main()
