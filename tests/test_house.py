"""The structure of the code: no name hides a module, and no model or data set is known by name outside its own file."""

from __future__ import annotations

import ast
import importlib
import pkgutil
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import ModuleType

import pytest

import aecore
import app
from aecore import CATALOG
from aecore.data import OWN, SETS
from aecore.models.base import Model

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = {"aecore.__main__", "app.__main__", "app.main", "aecore.bench.pythae"}
"""Modules that do something when they are imported, or need a package that only benchmarks install."""


def modules() -> list[str]:
    names = [
        module.name
        for package in (aecore, app)
        for module in pkgutil.walk_packages(package.__path__, package.__name__ + ".")
    ]
    return [name for name in names if name not in SCRIPTS]


@pytest.mark.parametrize("name", modules())
def test_no_name_hides_a_module(name):
    parent, _, last = name.rpartition(".")
    module = importlib.import_module(name)
    found = getattr(importlib.import_module(parent), last)
    assert isinstance(found, ModuleType) and found is module, f"{parent}.{last} is {found!r}"


# --- who knows whom by name -----------------------------------------------------------------------------------------

FREE = ("aecore/models/", "aecore/data/sets/", "aecore/zoo.py", "aecore/bench/")
"""Where models and data sets may be named: their own files, the trained examples, and benchmarks."""
WORDS = {
    "linear": "an interpolation, a scale and an axis are linear, too",
    "deep": "a word of the field, and a column of comparisons",
    "gan": "a family",
    "mae": "the mean absolute error of ratings",
    "ratings": "a kind of data",
    OWN: "images are a kind of data; the user's own are named by the constant OWN",
}
"""Keys that are ordinary words as well, which a search for strings cannot tell apart, and what else they mean."""


@cache
def sources() -> tuple[tuple[str, ast.Module], ...]:
    files = [file for folder in ("aecore", "app") for file in sorted((ROOT / folder).rglob("*.py"))]
    return tuple((file.relative_to(ROOT).as_posix(), ast.parse(file.read_text(encoding="utf-8"))) for file in files)


def declared(node: ast.stmt) -> bool:
    """Whether a statement of a module declares a constant: a default, a baseline or a table."""
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    names = [part for target in targets for part in (target.elts if isinstance(target, ast.Tuple) else [target])]
    return bool(names) and all(isinstance(name, ast.Name) and name.id.isupper() for name in names)


def settings(node: ast.stmt) -> bool:
    """Whether a statement of a module is a class of settings, whose fields declare what is allowed and the defaults."""
    return isinstance(node, ast.ClassDef) and any(isinstance(b, ast.Name) and b.id == "BaseModel" for b in node.bases)


def strings(tree: ast.Module) -> Iterator[ast.Constant]:
    """The strings in the code of a module, without its docstrings, declared constants and fields of settings."""
    code = [statement for statement in tree.body if not declared(statement)]
    fields = [field for statement in code if settings(statement) for field in statement.body]
    code = [statement for statement in code if not settings(statement)]
    for statement in [*code, *(field for field in fields if not isinstance(field, ast.AnnAssign))]:
        for node in ast.walk(statement):
            if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
                continue
            for child in ast.iter_child_nodes(node):
                if isinstance(child, ast.Constant) and isinstance(child.value, str) and not isinstance(node, ast.Expr):
                    yield child


def named() -> set[str]:
    return {*CATALOG, *SETS} - {*WORDS}


def test_no_model_or_data_set_is_known_by_name_outside_its_own_file():
    names = named()
    found = [
        f"{path}:{string.lineno} {string.value!r}"
        for path, tree in sources()
        if not path.startswith(FREE)
        for string in strings(tree)
        if string.value in names
    ]
    assert not found, "\n".join(found)


def test_no_model_class_is_imported_outside_the_models():
    classes = {kind.__name__ for kind in descendants(Model)} - {
        name for name in vars(importlib.import_module("aecore.models.base"))
    }
    found = [
        f"{path}:{node.lineno} {alias.name}"
        for path, tree in sources()
        if not path.startswith(FREE)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.name in classes
    ]
    assert not found, "\n".join(found)


def descendants(kind: type) -> set[type]:
    return {kind, *(below for child in kind.__subclasses__() for below in descendants(child))}


# --- one door each ----------------------------------------------------------------------------------------------------

DOORS = {
    r"st\.cache_(data|resource)\b": ("app/caching.py",),
    r"\bhtml\.escape\(": ("app/text.py",),
    r"\bgo\.Figure\(|\bmake_subplots\(": ("app/figures/",),
    r"st\.(page_link|switch_page|navigation|Page)\(": ("app/pages.py",),
    r"st\.query_params\b": ("app/link.py", "app/state.py", "app/streamlit_internals.py"),
    r"bind=\"query-params\"|\"bind\": \"query-params\"": ("app/link.py",),
    r"streamlit\.runtime|st\.__file__": ("app/streamlit_internals.py",),
}
"""What may stand in one place of the app only, as a pattern, and that place."""


@pytest.mark.parametrize("pattern", DOORS)
def test_there_is_one_door(pattern):
    found = [
        f"{file.relative_to(ROOT)}:{number} {line.strip()}"
        for file in sorted((ROOT / "app").rglob("*.py"))
        if not file.relative_to(ROOT).as_posix().startswith(DOORS[pattern])
        for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(pattern, line.partition("#")[0])
    ]
    assert not found, "\n".join(found)
