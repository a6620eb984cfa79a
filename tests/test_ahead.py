"""Pages run in threads: a package with several doors is imported by one of them."""

from __future__ import annotations

import ast
import sys
import threading
import time
from pathlib import Path

from app import warm

ROOT = Path(__file__).resolve().parent.parent


def one_after_another(*steps) -> list[Exception]:
    """Each step in a thread of its own, a tenth of a second after the one before; what went wrong in them."""
    wrong = []

    def go(step) -> None:
        try:
            step()
        except Exception as e:
            wrong.append(e)

    threads = [threading.Thread(target=go, args=(step,)) for step in steps]
    for thread in threads:
        thread.start()
        time.sleep(0.1)
    for thread in threads:
        thread.join(20)
    return wrong


def test_two_pages_that_enter_a_package_by_different_doors_both_get_it_whole(tmp_path, monkeypatch):
    def package(name: str) -> None:
        folder = tmp_path / name
        folder.mkdir()
        (folder / "__init__.py").write_text(
            f"import time\nversion = 1\ntime.sleep(0.4)\nfrom {name}.inner import thing\n"
        )
        (folder / "inner.py").write_text(f"from {name} import version\nthing = 1\n")

    monkeypatch.syspath_prepend(str(tmp_path))
    package("doors_a")
    wrong = one_after_another(lambda: exec("import doors_a"), lambda: exec("import doors_a.inner"))
    assert ImportError in map(type, wrong), "if Python can do it by itself, app/warm.py is not needed"

    package("doors_b")
    names = ("doors_b", "doors_b.inner")
    monkeypatch.setitem(warm._locks, names, threading.Lock())
    assert not one_after_another(
        *[lambda door=door: (warm.imported(names), exec(f"import {door}")) for door in (*names, *names)]
    )
    assert sys.modules["doors_b"].thing == 1


def test_every_module_of_sklearn_that_a_page_may_need_is_imported_ahead():
    found = set()
    for file in [*(ROOT / "aecore").rglob("*.py"), *(ROOT / "app").rglob("*.py")]:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            found |= {name for name in names if name.partition(".")[0] == "sklearn"}
    assert found and found <= set(warm.SKLEARN)
