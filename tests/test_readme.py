"""The README's table of models is the catalog's, and its Python runs."""

from __future__ import annotations

import re
from pathlib import Path

from aecore.catalog import CATALOG

README = Path(__file__).parent.parent / "README.md"
MARKS = re.compile(r"(<!-- models: [^\n]*-->\n)(.*?)(<!-- /models -->)", re.S)


def table() -> str:
    """One row a model: key, name and year, section, idea, source."""
    rows = ["| key | model | chapter | idea |", "|---|---|---|---|"]
    rows += [f"| `{e.key}` | {e.name} ({e.year}) | {e.section} | {e.idea} |" for e in CATALOG.values()]
    return "\n".join(rows) + "\n"


def test_table_of_models_is_the_catalogs():
    found = MARKS.search(README.read_text(encoding="utf-8"))
    assert found, "the README has lost its marks around the table of models"
    assert found.group(2) == table(), "write it anew: python -m tests.test_readme"


def test_python_of_the_readme_runs(capsys):
    code = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.S).group(1)
    code = code.replace("epochs=3", "epochs=1").replace('"digits"', 'aecore.DataSpec(name="digits", limit=256)')
    names: dict = {}
    exec(code, names)
    assert names["run"].info.model == "vae"
    assert len(capsys.readouterr().out.splitlines()) >= 2


def main() -> None:
    text = README.read_text(encoding="utf-8")
    README.write_text(MARKS.sub(lambda found: found.group(1) + table() + found.group(3), text), encoding="utf-8")


if __name__ == "__main__":
    main()
