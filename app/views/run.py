"""Watch: one training, from the queue to its end. Everything is read from the run's folder, by the id in the link."""

from __future__ import annotations

import streamlit as st

from app import shelf, standing, watch

identity = shelf.wanted()
standing.undo()
if not identity:
    live = [run for run in shelf.all_runs() if run.info.status in ("running", "queued")]
    ended = [run for run in shelf.all_runs() if not run.pretrained]
    identity = (live or ended or [None])[0].info.id if live or ended else ""
if not identity:
    st.title("Watch", anchor=False)
    st.info("Nothing has been trained here yet.")
    st.page_link("views/train.py", label="Go to Train", icon=":material/model_training:")
    st.stop()
run = standing.known(identity)
if run is None or run.info.model not in shelf.CATALOG:
    st.title("Watch", anchor=False)
    if identity != st.session_state.get("deleted"):
        st.warning(
            "There is no such run here. It may have been deleted; the gallery lists all there are.",
            icon=":material/search_off:",
        )
    st.page_link("views/gallery.py", label="Go to the gallery", icon=":material/grid_view:")
    st.stop()
shelf.settle(identity)

head, side = st.columns([4, 1], vertical_alignment="bottom")
with head:
    st.title(standing.plain(run.info.title), anchor=False)
    st.markdown(f"{standing.facts(run)} &nbsp;{standing.badges(run)}")
with side:
    shelf.share("Copy the link")

live = run.info.status in watch.LIVE
st.fragment(watch.state, run_every=1.0 if live else None)(identity, run.info.status)
st.fragment(watch.terms, run_every=2.0 if live else None)(identity)
if not live:
    watch.after(run)
