"""The Python that pages give away, and that of the README, names what there is."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parent.parent
IMPORT = re.compile(r"^ *(?:from ([\w.]+) )?import ([\w., ]+)$", re.MULTILINE)


def text_of(node: ast.Constant | ast.JoinedStr) -> str:
    """A string of the source; what an f-string fills in is left out."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    return "".join(str(part.value) for part in node.values if isinstance(part, ast.Constant))


def snippets() -> Iterator[tuple[str, str]]:
    """(where, text) of every string in the sources with lines that import from aecore, and of the README's code."""
    for file in [*sorted((ROOT / "app").rglob("*.py")), *sorted((ROOT / "aecore").rglob("*.py"))]:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inner = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
        for node in ast.walk(tree):
            if isinstance(node, ast.JoinedStr) or (isinstance(node, ast.Constant) and id(node) not in inner):
                text = text_of(node).replace(">>> ", "")
                if re.search(r"^ *(from|import) aecore", text, re.MULTILINE):
                    yield f"{file.relative_to(ROOT)}:{node.lineno}", text
    for number, block in enumerate(re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)):
        yield f"README.md, block {number + 1}", block


SNIPPETS = list(snippets())


@pytest.mark.parametrize(("where", "text"), SNIPPETS, ids=[where for where, _ in SNIPPETS])
def test_what_a_snippet_names_is_there(where, text):
    modules: dict[str, ModuleType] = {}
    for source, names in IMPORT.findall(text):
        if not (source or names).startswith("aecore"):
            continue
        if not source:
            modules[names.strip()] = importlib.import_module(names.strip())
            continue
        for name in (part.strip() for part in names.split(",")):
            found = getattr(importlib.import_module(source), name, None)
            found = importlib.import_module(f"{source}.{name}") if found is None else found
            if isinstance(found, ModuleType):
                modules[name] = found
    for name, module in modules.items():
        for attribute in re.findall(rf"(?<![\w.\"']){name}\.(\w+)", text):
            assert hasattr(module, attribute), f"{name} has no {attribute}"


def test_there_are_snippets():
    assert len(SNIPPETS) > 25
