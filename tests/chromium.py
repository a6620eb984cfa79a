"""A Chromium and a running app, for journeys, screenshots and timings."""

from __future__ import annotations

import base64
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM = os.environ.get("CHROMIUM") or next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
]


PATIENCE = 120_000  # ms; computers that run tests are slow, and a worker gives way to them


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def app(folder: Path) -> Iterator[str]:
    """The app as `make run` starts it, with its runs in `folder`; its address."""
    port = free_port()
    environment = os.environ | {"AECORE_RUNS": str(folder), "PORT": str(port)}
    with open(folder.parent / "server.txt", "w") as log:
        server = subprocess.Popen([sys.executable, "-m", "app"], cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/_stcore/health", timeout=1).read()
                break
            except OSError:
                time.sleep(0.1)
        else:
            raise RuntimeError(f"the app did not start in a minute: see {folder.parent / 'server.txt'}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait(20)


@contextmanager
def chromium() -> Iterator:
    """A Playwright browser."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        try:
            yield browser
        finally:
            browser.close()


READ = """canvas => {
  const { width, height } = canvas, { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let text = "";
  for (let at = 0; at < data.length; at += 32768) text += String.fromCharCode(...data.subarray(at, at + 32768));
  return [width, height, btoa(text)];
}"""


def pixels(canvas) -> np.ndarray:
    """What a canvas shows: (H, W, 4) uint8."""
    width, height, text = canvas.evaluate(READ)  # as numbers, one by one, a large canvas takes half a minute
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


WHOLE = """() => {
  const all = (name) => [...document.querySelectorAll(`[data-testid=${name}]`)];
  const mounted = (element) => element.shadowRoot?.querySelector(".ae");
  return all("stSkeleton").length === 0 && all("stBidiComponentIsolated").every(mounted);
}"""


def settled(tab) -> None:
    """No script runs any more, all that it wrote is there, and no traceback stands on the page."""
    tab.wait_for_selector("h1, h2")
    tab.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")  # the widget comes a while later
    tab.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
    tab.wait_for_function(WHOLE)  # kinds of elements are fetched when first met, after the script's end
    trouble = tab.locator("[data-testid=stException]")
    assert trouble.count() == 0, trouble.first.inner_text()
