"""Gallery: a live map to begin with, and a card for every run, pretrained or the visitors' own."""

from __future__ import annotations

from typing import Any

import streamlit as st

from aecore import CATALOG, Run, RunError
from app import library, pages
from app.link import to_page
from app.panels import run_card, run_notices
from app.panels.hero import hero
from app.session import may_change, plain_errors, queue
from app.state import Choice, Flag, Line
from app.text import escape_markdown
from app.widgets.params import link_of_run

CARDS = 12  # at once
LIVE = ("queued", "running")
ANY = "all"
Place = Any
"""An element on the page that can be filled again; Streamlit has no public type for it."""


class State:
    """Which runs are shown. The options of the lists are those that occur."""

    search = Line("q")
    section: Choice[str] = Choice("section")
    model: Choice[str] = Choice("model", label=lambda key: key if key == ANY else CATALOG[key].name)
    data: Choice[str] = Choice("about")
    mine = Flag("mine")


def page() -> None:
    runs = library.all_runs()
    with plain_errors():
        hero(runs)
    run_notices.offer_undo()
    run_notices.offer_resume()
    if runs:
        chosen = filtered(runs)
        if not chosen:
            st.info("No run fits these filters. Clear the search, or choose “all”.", icon=":material/filter_alt_off:")
        cards(chosen)
    unreadable_folders()


def filtered(runs: list[Run]) -> list[Run]:
    """The filters, and the runs that pass them."""
    entries = {run.info.model: run.entry for run in runs}
    sections = sorted({entry.section for entry in entries.values()})
    models = [key for key in CATALOG if key in entries]
    titles = sorted({library.data_title(run.info.data) for run in runs})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        words = State.search.input("Search", placeholder="name, model or data", width=260).lower().split()
        section = State.section.given(options=[ANY, *sections]).box("Chapter", width=150)
        model = State.model.given(options=[ANY, *models]).box("Model", width=260)
        data = State.data.given(options=[ANY, *titles]).box("Data", width=260)
        mine = State.mine.toggle("Mine only")
    return [
        run
        for run in runs
        if section in (ANY, run.entry.section)
        and model in (ANY, run.info.model)
        and data in (ANY, library.data_title(run.info.data))
        and (not mine or may_change(run))
        and all(word in f"{run.info.title} {run.info.model} {run_card.facts(run)}".lower() for word in words)
    ]


def cards(runs: list[Run]) -> None:
    """A card for each run, as many as are shown at once, and a button for more."""
    shown = st.session_state.setdefault("cards", CARDS)
    unfinished: dict[str, tuple[str, Place]] = {}
    with st.container(key="cards"):
        for run in runs[:shown]:
            progress = card(run)
            if run.info.status != "done":
                unfinished[run.info.id] = (run.info.status, progress)
    live = any(status in LIVE for status, _ in unfinished.values())
    st.fragment(follow, run_every=1.0 if live else None)(unfinished)
    if len(runs) > shown and st.button(f"Show more of {len(runs)}", icon=":material/expand_more:"):
        st.session_state["cards"] = shown + CARDS
        st.rerun()


def card(run: Run) -> Place:
    """One run; returns the empty place on its card where its progress stands."""
    with st.container(border=True, height="stretch", gap="small"):
        picture = run_card.strip(run)
        if picture:
            what = "Generated images" if "sample" in run.entry.abilities else "Originals over reconstructions"
            st.image(picture, width="stretch", alt=f"{what}: {run.info.title}")
        st.markdown(f"#### {escape_markdown(run.info.title)} &nbsp;{run_card.badges(run)}")
        st.caption(run_card.facts(run))
        progress = st.empty()
        figures = run_card.figures(run, 3)
        if figures:
            st.markdown(" · ".join(f"{name} **{value}**" for name, value, _ in figures))
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            run_card.links(run, icons=False)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            watch = "Watch" if run.info.status in LIVE else "Training"
            pages.link("run", label=watch, icon="show_chart", query=to_page(run=run.info.id))
            pages.link("train", label="Duplicate", icon="content_copy", query=link_of_run(run))
            if may_change(run):
                change(run)
    return progress


def change(run: Run) -> None:
    """Rename or delete an own run."""
    with st.popover("Change", icon=":material/more_horiz:", type="tertiary"):
        box = f"name-{run.info.id}"
        st.text_input(
            "Name", run.info.title, key=box, max_chars=80, on_change=lambda: library.rename(run, st.session_state[box])
        )
        if st.button("Delete", icon=":material/delete:", key=f"delete-{run.info.id}"):
            run_notices.delete(run)
            st.rerun()


def follow(unfinished: dict[str, tuple[str, Place]]) -> None:
    """Keep the progress on the cards up to date; run the page again when a run has begun or ended.

    unfinished: status and place of the progress, by the run's id.
    """
    for identity, (status, place) in unfinished.items():
        try:
            run = queue().get(identity)
        except RunError:
            st.rerun()
        if run.info.status != status:
            st.rerun()
        with place.container():
            run_card.progress(run)


def unreadable_folders() -> None:
    """Folders that cannot be shown, with the reasons."""
    reasons = library.unreadable()
    if reasons:
        folders = "1 folder" if len(reasons) == 1 else f"{len(reasons)} folders"
        with st.expander(f"{folders} that cannot be shown", icon=":material/folder_off:"):
            for name, reason in sorted(reasons.items()):
                st.markdown(f"**{escape_markdown(name)}** {escape_markdown(reason)}")
