"""Pictures of every page, light and dark, wide and narrow: `make screenshots` writes them to screenshots/."""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

from aecore.runs.library import pretrained
from app import pages
from tests.chromium import CHROMIUM, ROOT, app, chromium

PAGES = tuple("" if page is pages.FIRST else page.key for page in pages.PAGES.values())
ABOUT_A_RUN = ("run", "reconstruct", "traverse", "map", "generate", "importance")
IN_README = {"map": "map", "beta": "beta", "wasserstein": "planes"}
"""Pages whose picture (light, 1440 wide, its first screen) stands in the README, as docs/NAME.png."""
WIDTHS = (1440, 900)
SCHEMES = ("light", "dark")


def faces_sheet() -> None:
    """docs/faces.png: drawn faces, and one of them with each attribute switched."""
    import numpy as np
    import torch

    from aecore.data.sets import faces
    from aecore.explore.images import grid, png, to_uint8

    a, rest = faces.draw(48, 7)
    one, its = faces.draw(1, 57)
    edits = [faces.switched(one[0], name, one[0][k] < 0.5) for k, name in enumerate(faces.ATTRIBUTES)]
    edits = np.stack([one[0], *edits])
    painter = faces.Painter(128)
    tiles = [
        painter.paint(torch.from_numpy(a), torch.from_numpy(rest)),
        painter.paint(torch.from_numpy(edits), torch.from_numpy(its).expand(len(edits), -1)),
    ]
    (ROOT / "docs/faces.png").write_bytes(png(grid(to_uint8(torch.cat(tiles).numpy()), 16, 2, 255), 9))


def cost_plot() -> None:
    """docs/drawing.png: the cost of an image drawn pixel by pixel, by its size and by layers, from docs/study.jsonl."""
    from plotly.subplots import make_subplots

    from tests.study import COSTS, by_model

    found = {COSTS[label]: seeds[0] for (label, _), seeds in by_model("cost").items()}
    if len(found) < len(set(COSTS.values())):
        return  # not measured yet
    figure = make_subplots(1, 2, horizontal_spacing=0.12)
    by = [
        (1, "pixels of an image's side", 0, [key for key in found if key[1] == 6]),
        (2, "layers, 28 × 28 pixels", 1, [key for key in found if key[0] == 28]),
    ]
    lines = (("milliseconds", "kept activations", "#2f7de1"), ("plain, milliseconds", "a pass a pixel", "#e15a3c"))
    for column, title, which, keys in by:
        keys = sorted(keys)
        for name, label, colour in lines:
            figure.add_scatter(
                x=[key[which] for key in keys],
                y=[found[key][name] for key in keys],
                name=label,
                mode="lines+markers",
                line={"color": colour, "width": 4},
                marker={"size": 11},
                showlegend=column == 1,
                row=1,
                col=column,
            )
        figure.update_xaxes(title=title, row=1, col=column)
        figure.update_yaxes(title="ms an image" if column == 1 else None, type="log", dtick=1, row=1, col=column)
    figure.update_layout(
        width=1100,
        height=480,
        template="plotly_white",
        font={"size": 18},
        legend={"orientation": "h", "y": 1.15},
        margin={"l": 80, "r": 20, "t": 50},
    )
    with chromium() as browser:
        tab = browser.new_page(viewport={"width": 1100, "height": 480})
        tab.set_content(figure.to_html(include_plotlyjs=True, config={"displayModeBar": False}))
        tab.locator(".plotly .main-svg").first.wait_for()
        tab.wait_for_timeout(500)
        tab.screenshot(path=ROOT / "docs/drawing.png")


def settle(tab, ms: int = 1500) -> None:
    tab.wait_for_selector("h1, h2", timeout=60_000)
    tab.wait_for_selector("[data-testid=stStatusWidget]", state="detached", timeout=60_000)
    tab.wait_for_timeout(ms)


def shoot(address: str, folder: Path, chosen: tuple[str, ...] = PAGES) -> None:
    folder.mkdir(exist_ok=True)
    shown = next((run.info.id for run in pretrained() if run.info.id == "vae-2d"), "")
    with chromium() as browser:
        for scheme in SCHEMES:
            for width in WIDTHS:
                context = browser.new_context(viewport={"width": width, "height": 1000}, color_scheme=scheme)
                tab = context.new_page()
                for page in chosen:
                    tab.goto(f"{address}/{page}" + (f"?run={shown}" if shown and page in ABOUT_A_RUN else ""))
                    settle(tab)
                    if page in IN_README and (scheme, width) == ("light", 1440):
                        tab.screenshot(path=ROOT / f"docs/{IN_README[page]}.png")
                    inside = "() => document.querySelector('[data-testid=stMain]').scrollHeight"
                    tab.set_viewport_size({"width": width, "height": min(4000, int(tab.evaluate(inside)) + 90)})
                    settle(tab)
                    tab.screenshot(path=folder / f"{page or 'gallery'}-{width}-{scheme}.png")
                    tab.set_viewport_size({"width": width, "height": 1000})
                context.close()
        print(f"{len(list(folder.glob('*.png')))} pictures in {folder}")


def main() -> None:
    if CHROMIUM is None:
        sys.exit("No Chromium found: install Debian's chromium, or set CHROMIUM to its path.")
    faces_sheet()
    cost_plot()
    target = ROOT / "screenshots"
    shutil.rmtree(target, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        runs = Path(temporary) / "runs"
        runs.mkdir()
        with app(runs) as address:
            shoot(address, target, tuple(sys.argv[1].split(",")) if len(sys.argv) > 1 else PAGES)


if __name__ == "__main__":
    main()
