"""A Chromium and a running app, for journeys, screenshots and timings."""

from __future__ import annotations

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
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
]  # fmt: skip


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


def pixels(canvas) -> np.ndarray:
    """What a canvas shows: (H, W, 4) uint8."""
    data = canvas.evaluate("c => [c.width, c.height, ...c.getContext('2d').getImageData(0, 0, c.width, c.height).data]")
    return np.array(data[2:], np.uint8).reshape(data[1], data[0], 4)


def settled(tab) -> None:
    """No script runs any more, and no traceback stands on the page."""
    tab.wait_for_selector("h1, h2")
    tab.wait_for_selector("[data-testid=stApp][data-test-script-state=notRunning]")  # the widget comes a while later
    tab.wait_for_selector("[data-testid=stStatusWidget]", state="detached")
    trouble = tab.locator("[data-testid=stException]")
    assert trouble.count() == 0, trouble.first.inner_text()
