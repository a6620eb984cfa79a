"""One face, its attributes as switches, and what an edit changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from aecore import DataError, Run, inference
from aecore.data import image as read_image
from aecore.explore import edits, single_edit
from app import library
from app.browser.contact import contact
from app.browser.scrubber import scrubber
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, rgb
from app.library import held_out
from app.link import Kept
from app.panels import layout
from app.panels.attribute_edits import (
    SAMPLED,
    Directions,
    attribute_title,
    coded,
    coded_image,
    pictures_of,
    read,
    rendered,
    sampled,
    switch_title,
    usual_error,
)
from app.panels.downloads import download_button
from app.panels.reading_bars import reading_bars
from app.session import plain_errors
from app.state import Choice, Number
from app.text import escape_markdown

NUMBERS = 10_000  # of faces and seeds that can be chosen
MOST_EDITS = 40
MOST_MB = 64  # of an uploaded picture
HELD_OUT, UPLOAD = "held-out face", "upload"
DECODED, LAID = "decoded", "laid on the image"


@dataclass(frozen=True)
class Edits(Kept[list[tuple[str, bool]]]):
    """Attributes in the order in which they were switched: "+Smiling,-Male". What the data lack is left out."""

    names: Sequence[str] = ()

    def initial(self) -> list[tuple[str, bool]]:
        return []

    def read(self, text: str) -> list[tuple[str, bool]]:
        parts = [(part[1:], part[0] == "+") for part in text.split(",") if part[:1] in ("+", "-")]
        return [(name, on) for name, on in parts if name in self.names][-MOST_EDITS:]

    def write(self, value: list[tuple[str, bool]]) -> str:
        return ",".join(("+" if on else "-") + name for name, on in value)


class State:
    """The face, and the edits that were made of it, which belong to one run."""

    source = Choice("attributes.from", (HELD_OUT, SAMPLED, UPLOAD))
    face = Number("attributes.face", 0)
    edits = Edits("edits")
    show = Choice("attributes.show", (DECODED, LAID))


class Face(NamedTuple):
    """A face, its code (D,) and its attributes (A,).

    image: (C, H, W), None where the code was sampled.  example: its number, where it is a held-out image.
    """

    image: np.ndarray | None
    z: np.ndarray
    attributes: np.ndarray
    example: int | None = None


class Edit(NamedTuple):
    """A face before and after an edit, each image (C, H, W).

    before: the image, or the decoded code where it was sampled.  decoded: the code with its own attributes.
    after: with the edited attributes `target` (A,).  laid: whether the edit is laid on the image.
    truth: the same face drawn with these attributes, None where the data cannot draw it.
    """

    before: np.ndarray
    decoded: np.ndarray
    after: np.ndarray
    target: np.ndarray
    laid: bool
    truth: np.ndarray | None


@st.fragment
@plain_errors()
def edit_face(run: Run, how: Directions) -> None:
    """A face, its attributes as switches, and what they do."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        face = choose_face(run, how)
    if face is None:
        return
    edit = make_edit(run, face, how)
    show_edit(run, face, edit)
    reading = read(run, np.stack([edit.before, edit.after]))
    show_errors(edit, reading)
    offer_edit(run, edit)
    with st.container(key="halves-attributes"):
        left, right = st.columns([1, 1], gap="large")
    with left:
        show_reading(run, edit, reading)
    with right:
        show_single_edits(run, face, edit, how)
    show_strengths(run, face, edit, how)


def edits_of(run: Run) -> Edits:
    """The edits of a face, of the attributes that the run's data have."""
    return State.edits.given(names=library.data(run).attributes)


def forget_edits(run: Run) -> None:
    State.edits.put([], run.info.id)


def undo_edit(run: Run) -> None:
    edits_of(run).put(edits_of(run).get(run.info.id)[:-1], run.info.id)


def add_edits(run: Run, more: Sequence[tuple[str, bool]]) -> None:
    edits_of(run).put([*edits_of(run).get(run.info.id), *more], run.info.id)


def choose_face(run: Run, how: Directions) -> Face | None:
    """The face that is edited: held out, sampled, or uploaded; None while there is none."""
    forget: dict[str, Any] = {"on_change": forget_edits, "args": (run,)}
    sources = (HELD_OUT, SAMPLED, UPLOAD) if "sample" in run.entry.abilities else (HELD_OUT, UPLOAD)
    source = State.source.given(options=sources).option("Face", **forget)
    if source == UPLOAD:
        return uploaded_face(run, how)
    split = held_out(run)
    number = State.face.given(most=min(NUMBERS, len(split)) - 1).number("Which face", width=150, **forget)
    if source == SAMPLED:
        return Face(None, *sampled(run, number))
    return Face(inference.examples(split, [number])[0].numpy(), *coded(run, number), number)


def uploaded_face(run: Run, how: Directions) -> Face | None:
    """A picture of the visitor's, with the attributes that the classifier reads; none where there is no classifier."""
    data = library.data(run)
    channels, height, width = data.shape
    file = st.file_uploader(
        "A drawing of a face from the front: PNG, JPEG or WebP",
        key="attributes.upload",
        max_upload_size=MOST_MB,
        on_change=forget_edits,
        args=(run,),
    )
    if file is None:
        st.caption("It is cut to a square and brought to the size that the model knows.")
        return None
    try:
        image = read_image(file.getvalue(), (channels, height, width), file.name).astype(np.float32) / 255
    except DataError as error:
        st.error(escape_markdown(str(error)), icon=":material/error:")
        return None
    reading = read(run, image[None])
    attributes = np.zeros(len(data.attributes), np.float32)
    if reading is not None:
        attributes = reading.present[0].astype(np.float32)
    z = coded_image(run, image, attributes)
    decoded = rendered(run, z, attributes, attributes[None], how)[0]
    error, usual = float(np.square(decoded - image).mean()), usual_error(run)
    if error > 2 * usual:
        st.warning(
            f"This does not look like the faces that {escape_markdown(run.info.title)} knows: it is reconstructed with "
            f"an error of {error:.4f}, where 99 of 100 held-out faces stay below {usual:.4f}. Upload a face from the "
            "front, drawn like those above, that fills the picture.",
            icon=":material/face:",
        )
    return Face(image, z, attributes)


def make_edit(run: Run, face: Face, how: Directions) -> Edit:
    """The switches of the attributes, and the face with what they ask for."""
    data = library.data(run)
    made = edits_of(run).get(run.info.id)
    target = edits.switch(data, face.attributes, made)
    choose_attributes(run, target)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        common: dict[str, Any] = {"disabled": not made, "args": (run,)}
        st.button("Undo", icon=":material/undo:", key="attributes.undo", on_click=undo_edit, **common)
        st.button("As it was", icon=":material/restart_alt:", key="attributes.reset", on_click=forget_edits, **common)
        laid = face.image is not None and State.show.option("Show") == LAID
        if made:
            st.caption("; then ".join(switch_title(*switch) for switch in made))
    decoded, edited = rendered(run, face.z, face.attributes, np.stack([face.attributes, target]), how)
    before = decoded if face.image is None else face.image
    after = single_edit.lay_on(before, edited, decoded) if laid else edited
    truth = None if face.example is None else single_edit.true_edit(data.test, face.example, target)
    return Edit(before, decoded, after, target, laid, truth)


def choose_attributes(run: Run, target: np.ndarray) -> None:
    """Every attribute as a switch; what is switched is added to the edits.  target: (A,) as they are now."""
    names, key = library.data(run).attributes, "attributes.pills"
    present = [name for name, value in zip(names, target, strict=True) if value > 0.5]

    def switch() -> None:
        wanted = set(st.session_state[key] or [])
        add_edits(run, [(name, name in wanted) for name in sorted(wanted ^ set(present))])

    st.session_state[key] = present
    st.pills("Attributes", names, selection_mode="multi", key=key, format_func=attribute_title, on_change=switch)


def show_edit(run: Run, face: Face, edit: Edit) -> None:
    """The face before and after, the difference, and the truth where it is known."""
    before, decoded, after = pictures_of(np.stack([edit.before, edit.decoded, edit.after]))
    difference = plots.difference(before[None], after[None])[0]
    shown = [
        (before, SAMPLED if face.image is None else "the face", "The face before the edit"),
        (decoded, "reconstructed, not edited", "The face decoded from its code"),
        (after, "edited, laid on the face" if edit.laid else "edited", "The face after the edit"),
        (difference, "difference: red brighter, blue darker", "Difference of both"),
    ]
    if edit.truth is not None:
        truth = pictures_of(edit.truth[None])[0]
        shown.append((truth, "the truth: the same face, drawn so", "The same face drawn anew"))
    for column, (picture, caption, alt) in zip(st.columns(len(shown), gap="medium"), shown, strict=True):
        with column:
            layout.picture(picture, caption, alt)


def show_errors(edit: Edit, reading: single_edit.Reading | None) -> None:
    """How far the edit is from the true one, and how much else moved."""
    figures = []
    if edit.truth is not None:
        error, standing = (np.square(image - edit.truth).mean() for image in (edit.after, edit.before))
        figures += [
            ("error against the truth", f"{error:.5f}", "squared, per value", ""),
            ("error of not editing", f"{standing:.5f}", "of the face as it was", ""),
        ]
    if reading is not None and reading.nuisance.shape[1]:
        moved = np.sqrt(np.square(reading.nuisance[1] - reading.nuisance[0]).mean())
        meaning = "as a classifier reads pose, skin, light, …; two faces differ by about 0.7"
        figures.append(("the rest of the face moved by", f"{moved:.2f}", meaning, ""))
    if figures:
        key_figures(figures)


def offer_edit(run: Run, edit: Edit) -> None:
    pictures = pictures_of(np.stack([edit.before, edit.after]))
    sheet = np.concatenate([rgb(pictures), plots.difference(pictures[:1], pictures[1:])])
    with st.container(horizontal=True):
        download_button(
            "Edit as PNG",
            lambda: plots.png(contact_sheet(sheet, 3, 1500)),
            f"{run.info.id}-edit.png",
            "image/png",
            "attributes.edit",
        )


def show_reading(run: Run, edit: Edit, reading: single_edit.Reading | None) -> None:
    """What a classifier sees before and after the edit."""
    st.subheader("What else moved", anchor=False)
    if reading is None:
        st.info(
            "No classifier of these attributes is trained, so nothing reads them off the pictures. "
            "aecore.measure.attribute_classifier.fit trains one in minutes.",
            icon=":material/gavel:",
        )
        return
    st.html(reading_bars(library.data(run).attributes, reading.shares[0], reading.shares[1], edit.target))
    st.caption(
        "What a classifier reads before (grey) and after (colour) the edit; ✗ where it is not what was asked for."
    )


def show_single_edits(run: Run, face: Face, edit: Edit, how: Directions) -> None:
    """Each attribute switched alone; one of them can be taken as the next edit."""
    data, key = library.data(run), "attributes.singles"
    wanted = [(name, bool(value < 0.5)) for name, value in zip(data.attributes, edit.target, strict=True)]
    images = rendered(run, face.z, face.attributes, edits.single_edits(data, edit.target), how)
    if edit.laid:
        images = single_edit.lay_on(edit.before, images, edit.decoded)
    st.subheader("Each one alone", anchor=False)
    contact(
        [("", pictures_of(images[1:]))],
        key=key,
        tile=84,
        pick="Make this edit",
        captions=[("" if on else "no ") + attribute_title(name) for name, on in wanted],
        alt="The face with each attribute switched alone",
        on_change=lambda: add_edits(run, [wanted[int(st.session_state[key]["pick"])]]),
    )


def show_strengths(run: Run, face: Face, edit: Edit, how: Directions) -> None:
    """Each attribute from absent to present and beyond."""
    data = library.data(run)
    st.subheader("How much of it", anchor=False)
    targets = edits.strengths(data, edit.target)  # (A, steps, A)
    images = rendered(run, face.z, face.attributes, targets.reshape(-1, targets.shape[-1]), how)
    scale = np.linspace(-0.5, 1.5, targets.shape[1], dtype=np.float32)
    scrubber(
        pictures_of(images.reshape(*targets.shape[:2], *images.shape[1:])),
        [attribute_title(name) for name in data.attributes],
        np.tile(scale, (len(targets), 1)),
        edit.target,
        key="attributes.strength",
        alt="The face with one attribute more or less of it",
    )
    st.caption("0 is without, 1 is with the attribute; beyond 1 lies more than any training image had.")
