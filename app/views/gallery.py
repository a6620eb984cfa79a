"""Gallery: the trained autoencoders, pretrained and own, and a live map to begin with."""

from __future__ import annotations

import streamlit as st

from aecore import CATALOG, Run, RunError
from app import library, pages
from app.link import VERSION
from app.panels import run_card
from app.panels.hero import hero
from app.session import may_change, plain_errors, queue
from app.text import escape_markdown
from app.widgets.params import link_of_run

SHOWN = 12  # cards at once
LIVE = ("queued", "running")


def filters(everything: list[Run]) -> list[Run]:
    """What the visitor wants to see of all runs."""
    bound = {"bind": "query-params", "persist_state": "session"}
    used = {run.info.model: run.entry for run in everything}
    sections = sorted({entry.section for entry in used.values()})
    data = sorted({library.data_title(run.info.data) for run in everything})
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        text = st.text_input("Search", key="q", placeholder="name, model or data", width=260, **bound)
        section = st.selectbox("Chapter", ["all", *sections], key="section", width=150, **bound)
        model = st.selectbox(
            "Model",
            ["all", *[k for k in CATALOG if k in used]],
            key="model",
            width=260,
            format_func=lambda k: k if k == "all" else CATALOG[k].name,
            **bound,
        )
        about = st.selectbox("Data", ["all", *data], key="about", width=260, **bound)
        own = st.toggle("Mine only", key="mine", **bound)
    words = text.lower().split()
    return [
        run
        for run in everything
        if section in ("all", run.entry.section)
        and model in ("all", run.info.model)
        and about in ("all", library.data_title(run.info.data))
        and (not own or may_change(run))
        and all(word in f"{run.info.title} {run.info.model} {run_card.facts(run)}".lower() for word in words)
    ]


def manage(run: Run) -> None:
    """What an owner may do to a run."""
    identity = run.info.id
    with st.popover("Change", icon=":material/more_horiz:", type="tertiary"):
        box = f"name-{identity}"
        st.text_input(
            "Name", run.info.title, key=box, max_chars=80, on_change=lambda: library.rename(run, st.session_state[box])
        )
        if st.button("Delete", icon=":material/delete:", key=f"delete-{identity}"):
            run_card.delete(run)
            st.rerun()


def card(run: Run):
    """One run; returns the place of its progress."""
    with st.container(border=True, height="stretch", gap="small"):
        picture = run_card.strip(run)
        if picture:
            drawn = "Generated images" if "sample" in run.entry.abilities else "Originals over reconstructions"
            st.image(picture, width="stretch", alt=f"{drawn}: {run.info.title}")
        st.markdown(f"#### {escape_markdown(run.info.title)} &nbsp;{run_card.badges(run)}")
        st.caption(run_card.facts(run))
        place = st.empty()
        numbers = run_card.figures(run, 3)
        if numbers:
            st.markdown(" · ".join(f"{name} **{value}**" for name, value, _ in numbers))
        watch = "Watch" if run.info.status in LIVE else "Training"
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            run_card.links(run, icons=False)
        with st.container(horizontal=True, vertical_alignment="center", gap="xsmall"):
            pages.link("run", label=watch, icon="show_chart", query={"run": run.info.id, "v": VERSION})
            pages.link("train", label="Duplicate", icon="content_copy", query=link_of_run(run))
            if may_change(run):
                manage(run)
    return place


def follow(places: dict[str, tuple[str, object]]) -> None:
    """Keep the progress of the cards up to date; begin anew when one has ended or begun."""
    for identity, (status, place) in places.items():
        try:
            run = queue().get(identity)
        except RunError:
            st.rerun()
        if run.info.status != status:
            st.rerun()
        with place.container():
            run_card.progress(run)


def page() -> None:
    everything = library.all_runs()
    with plain_errors():
        hero(everything)
    run_card.undo()
    run_card.take_up()
    if everything:
        chosen = filters(everything)
        if not chosen:
            st.info("No run fits these filters. Clear the search, or choose “all”.", icon=":material/filter_alt_off:")
        many = st.session_state.setdefault("cards", SHOWN)
        places = {}
        with st.container(key="cards"):
            for run in chosen[:many]:
                place = card(run)
                if run.info.status != "done":
                    places[run.info.id] = (run.info.status, place)
        live = any(status in LIVE for status, _ in places.values())
        st.fragment(follow, run_every=1.0 if live else None)(places)
        if len(chosen) > many and st.button(f"Show more of {len(chosen)}", icon=":material/expand_more:"):
            st.session_state["cards"] = many + SHOWN
            st.rerun()
    trouble = library.unreadable()
    if trouble:
        with st.expander(
            f"{len(trouble)} folder{'s' * (len(trouble) > 1)} that cannot be shown", icon=":material/folder_off:"
        ):
            for name, reason in sorted(trouble.items()):
                st.markdown(f"**{escape_markdown(name)}** {escape_markdown(reason)}")
