"""The chapter: its sections, equations and figures in order, each with the pages on which it is alive."""

from __future__ import annotations

import re
from typing import NamedTuple

import streamlit as st

from aecore import CATALOG, paths
from aecore.models.entry import Entry
from aecore.runs.folder import Run
from aecore.runs.library import pretrained
from app import pages
from app.caching import remember
from app.figures import plots
from app.link import copy_button, to_page
from app.text import escape_markdown
from app.views.exhibits.outline import SECTIONS, Section

ERRATA = paths.PRETRAINED.parent / "docs/errata.md"


class Errata(NamedTuple):
    """What docs/errata.md says.

    rows: (where, what the text says, what we do).  findings: our own, by the number of their section.
    """

    rows: list[list[str]]
    findings: dict[str, list[str]]


def page() -> None:
    head, side = st.columns([4, 1], vertical_alignment="bottom")
    with head:
        st.title("The chapter", anchor=False)
        st.markdown(
            "D. Bank, N. Koenigstein, R. Giryes, *Autoencoders* (arXiv:2003.05991): its sections, equations and "
            "figures in order, each with the pages on which it is alive. Terms have the same colours on all pages."
        )
    with side:
        copy_button("Copy the link")
    examples = list(pretrained())
    for section in SECTIONS:
        with st.container(key=f"halves-{section.number.replace('.', '-')}"):
            text, live = st.columns([3, 2], gap="large")
        with text:
            show_text(section)
        with live:
            show_links(section, examples)
        st.divider()


def show_text(section: Section) -> None:
    """The idea of a section, its equations, and where the text errs."""
    st.subheader(f"§{section.number} {section.title}", anchor=f"s{section.number.replace('.', '-')}")
    st.markdown(section.idea)
    for number, latex in section.equations:
        st.latex(plots.equation(latex) + rf"\qquad ({number})")
    lines = errata_of(section)
    if lines:
        with st.expander("Where the text errs, and what we found", icon=":material/edit_note:"):
            st.markdown("\n".join(f"- {line}" for line in lines).replace("$", r"\$"))


def show_links(section: Section, examples: list[Run]) -> None:
    """Links to the pages of a section, to trained examples of its models, and to Train with each of them."""
    entries = entries_of(section)
    for label, key, query in section.places:
        pages.link(key, label=f"**{label}**", icon="play_circle", query=to_page(query))
    keys = {entry.key for entry in entries}
    for run in examples:
        if run.info.model in keys:
            fitting = [page.key for page in pages.for_run(run)]
            pages.link(
                fitting[0] if fitting else "run",
                label=escape_markdown(run.info.title),
                icon="blur_on",
                query=to_page(run=run.info.id),
            )
    for entry in entries:
        pages.link("train", label=f"Train: {entry.name}", icon="model_training", query=to_page(model=entry.key))
    if not (section.places or entries):
        st.caption("This section is covered by its subsections." if section.number == "5" else "No page yet.")


def entries_of(section: Section) -> list[Entry]:
    """The autoencoders that the catalog lists under a section."""
    return [entry for entry in CATALOG.values() if entry.section == f"§{section.number}"]


def errata_of(section: Section) -> list[str]:
    """What docs/errata.md says about a section: about its equations, and our findings."""
    rows, findings = read_errata(ERRATA.stat().st_mtime)
    equations = {str(number) for number, _ in section.equations}
    lines = []
    for where, text, ours in rows:
        numbers = re.findall(r"\d+(?:\.\d)?", where)
        of_section = where.startswith("§") and numbers[0] == section.number
        if of_section or ("Eq" in where and equations & set(numbers)):
            lines.append(f"**{where}**: {text}. We: {ours}.")
    return lines + findings.get(section.number, [])


@remember()
def read_errata(stamp: float) -> Errata:
    """docs/errata.md as it was written at the time `stamp`."""
    text = ERRATA.read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    rows = [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[1:]]
    findings: dict[str, list[str]] = {}
    for item in re.split(r"\n- ", text.split("## Findings")[1])[1:]:
        section = re.match(r"§(\d(?:\.\d)?)", item)
        if section:
            findings.setdefault(section[1], []).append(" ".join(item.split()))
    return Errata(rows, findings)
