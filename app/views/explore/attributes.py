"""Attributes: one code, its attributes switched one by one (§5.2, Fig. 6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

import numpy as np
import streamlit as st

from aecore import DataError, Run, inference
from aecore.data import image as read_image
from aecore.explore import edits, single_edit
from aecore.explore.images import to_uint8
from aecore.measure.attribute_edits import EACH
from app import library
from app.browser import film, scrubber
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, enlarge, rgb
from app.library import held_out
from app.link import Kept
from app.panels import layout
from app.panels.attribute_edits import (
    DIRECTION_IMAGES,
    Directions,
    attribute_title,
    coded,
    coded_image,
    read,
    rendered,
    sampled,
    switch_title,
    usual_error,
)
from app.panels.downloads import download_button, python_button
from app.panels.reading_bars import reading_bars
from app.panels.tables import csv_table
from app.session import plain_errors
from app.state import Choice, Many, Number
from app.text import escape_markdown

FRAMES = 21  # of the way from one face to another
NUMBERS = 10_000  # of faces and seeds that can be chosen
MOST_EDITS = 40
MOST_MB = 64  # of an uploaded picture
HELD_OUT_CODE, SAMPLED = "of a held-out face", "drawn from the prior"
HELD_OUT, UPLOAD = "held-out face", "upload"
DECODED, LAID = "decoded", "laid on the image"
BOTH, CODE, ATTRIBUTES = "code and attributes", "code alone", "attributes alone"
DIRECTIONS: dict[str, Directions] = {"difference of means": "means", "linear classifier": "classifier"}
HELD = ("Male", "Young")  # what the rows of the grid hold at first


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
    """The grid, the face that is edited with its edits (of one run), and the two ends of the way."""

    grid_code = Choice("attributes.code", (HELD_OUT_CODE, SAMPLED))
    grid_number = Number("attributes.z", 0)
    rows: Many[str] = Many("attributes.rows", default=HELD, label=attribute_title)
    columns: Many[str] = Many("attributes.columns", label=attribute_title)
    directions = Choice("attributes.how", tuple(DIRECTIONS))
    source = Choice("attributes.from", (HELD_OUT, SAMPLED, UPLOAD))
    face = Number("attributes.face", 0)
    edits = Edits("edits")
    show = Choice("attributes.show", (DECODED, LAID))
    first = Number("attributes.a", 0)
    last = Number("attributes.b", 0, None, 7)
    moves = Choice("attributes.over", (BOTH, CODE, ATTRIBUTES))


def page() -> None:
    run = layout.opening(
        "Attributes",
        "One code, one attribute switched at a time: **the person should stay.** Each picture is decoded here and now.",
        "encode",
        "decode",
        attributes=True,
    )
    how = choose_directions(run)
    show_grid(run, how)
    st.header("Edit a face", anchor=False)
    edit_face(run, how)
    st.header("From one face to another", anchor=False)
    show_way(run, how)
    if "edits seen" in run.info.metrics:
        show_card(run)
    st.info(
        "**What labels are.** On photographs an attribute is what annotators thought they saw: an opinion, with the "
        "notions of man, woman and young of their time. The faces here are drawn; they have no person’s identity, and "
        "their attributes are true by construction.",
        icon=":material/label:",
    )
    with st.expander("What to look for"):
        st.markdown(
            "- **The person**: pose, skin, light and background should be the same along a row.\n"
            "- **What else moved**: an attribute that drags another along was learnt together with it.\n"
            "- **The conditional VAE** keeps the person but ignores some attributes: its code already holds them.\n"
            "- **Pure conditional ALI** obeys the attributes and loses the person: nothing in its objective asks for "
            "the image back.\n"
            "- **Beyond 1**: more than any training image had; what breaks first?"
        )
    with st.expander("Why"):
        st.markdown(
            "The critic of conditional ALI sees image, code and attributes together; pairs that a decoder made from "
            "other attributes must look like pairs that an encoder made (Dumoulin et al., 2016, with Fig. 6 of the "
            "chapter). That says what images of each attribute look like; that the code still describes *this* face "
            "needs more: here a cycle (Li et al., 2017), a network that reads attributes, and edits among the fakes. "
            "Section 5.2."
        )


def is_conditional(run: Run) -> bool:
    """Whether the decoder is given attributes. Otherwise codes move along directions."""
    return bool(library.model(run).attributes)


def choose_directions(run: Run) -> Directions:
    """How directions are found, for a model that no attributes condition."""
    if is_conditional(run):
        return "means"
    st.caption(
        f"{escape_markdown(run.info.title)} was never told an attribute: here codes move along a direction, which is "
        f"found from the codes of {DIRECTION_IMAGES:,} training images, those that have the attribute and those that "
        "have not."
    )
    return DIRECTIONS[State.directions.option("Directions by")]


def pictures_of(images: np.ndarray) -> np.ndarray:
    """Images (…, C, H, W) in [0, 1] as uint8 (…, H, W[, 3])."""
    flat = to_uint8(images.reshape(-1, *images.shape[-3:]))
    return flat.reshape(*images.shape[:-3], *flat.shape[1:])


# --- the grid of Fig. 6 ---------------------------------------------------------------------------------------------


class Grid(NamedTuple):
    """A code, and the switches of each row and column with their titles.

    targets: (rows, columns, A), the attributes of each picture.
    """

    z: np.ndarray
    attributes: np.ndarray
    rows: Sequence[tuple[str, edits.Switches]]
    columns: Sequence[tuple[str, edits.Switches]]
    targets: np.ndarray


@st.fragment
@plain_errors()
def show_grid(run: Run, how: Directions) -> None:
    """Rows hold attributes, columns switch others; the code is the same throughout."""
    number, grid = choose_grid(run)
    flat = grid.targets.reshape(-1, grid.targets.shape[-1])
    images = rendered(run, grid.z, grid.attributes, flat, how)
    pictures = pictures_of(images.reshape(*grid.targets.shape[:2], *images.shape[1:]))
    contact(
        [(title, row) for (title, _), row in zip(grid.rows, pictures, strict=True)],
        key="attributes.grid",
        tile=76,
        captions=[title for title, _ in grid.columns],
        alt="One code with many attributes: rows hold some, columns switch others",
    )
    decoder = r"B(z, y)" if is_conditional(run) else r"B\left(z + \textstyle\sum_k (y_k - y^0_k)\, d_k\right)"
    st.latex(rf"x = {decoder},\qquad z\ \text{{the same in all {len(flat)} pictures}},\quad y\ \text{{as named}}")
    offer_grid(run, grid, number, how, pictures)


def choose_grid(run: Run) -> tuple[int | None, Grid]:
    """The number of the held-out face, None for a code from the prior; and what its grid shows."""
    data = library.data(run)
    names = data.attributes
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        from_prior = "sample" in run.entry.abilities and State.grid_code.option("Code") == SAMPLED
        most = min(NUMBERS, len(data.test)) - 1
        number = State.grid_number.given(most=most).number("Which", width=150)
        st.button("Another", icon=":material/casino:", key="attributes.another", on_click=next_number, args=(most,))
        held = State.rows.given(options=names).box("Rows hold", max_selections=2, width=300)
        varied = State.columns.given(options=names).box(
            "Columns switch", width=360, placeholder="as in the chapter’s Fig. 6"
        )
    z, attributes = sampled(run, number) if from_prior else coded(run, number)
    base = edits.switch(data, attributes, edits.BASE)
    rows = row_switches(held) if held else [("", ())]
    columns = column_switches(varied, dict(zip(names, base, strict=True))) if varied else list(edits.COLUMNS)
    targets = np.stack(
        [[edits.switch(data, edits.switch(data, base, row), column) for _, column in columns] for _, row in rows]
    )
    return None if from_prior else number, Grid(z, attributes, rows, columns, targets)


def next_number(most: int) -> None:
    State.grid_number.put((State.grid_number.now() + 1) % (most + 1))


def row_switches(names: Sequence[str]) -> list[tuple[str, edits.Switches]]:
    """All ways in which up to two attributes can be present or absent."""
    if tuple(names) == HELD:
        return list(edits.ROWS)
    ways = product(*[[(name, True), (name, False)] for name in names])
    return [(", ".join(switch_title(*switch) for switch in way), way) for way in ways]


def column_switches(names: Sequence[str], base: Mapping[str, float]) -> list[tuple[str, edits.Switches]]:
    """Each attribute switched alone, beside a column where none is.  base: the attributes that are switched."""
    return [("as it is", ()), *((attribute_title(name), ((name, bool(base[name] < 0.5)),)) for name in names)]


def offer_grid(run: Run, grid: Grid, number: int | None, how: Directions, pictures: np.ndarray) -> None:
    """The grid as a picture, its attributes as a table, and the Python that computes it."""
    with st.container(horizontal=True):
        flat = pictures.reshape(-1, *pictures.shape[2:])
        download_button(
            "Grid as PNG",
            lambda: plots.png(contact_sheet(flat, len(grid.columns), 2000)),
            f"{run.info.id}-attributes.png",
            "image/png",
            "attributes.png",
        )
        targets = grid.targets.reshape(-1, grid.targets.shape[-1])
        table = csv_table(
            ["row", "column", *library.data(run).attributes],
            [row for row, _ in grid.rows for _ in grid.columns],
            [column for _ in grid.rows for column, _ in grid.columns],
            *targets.T.astype(int),
        )
        download_button("Attributes as CSV", table, f"{run.info.id}-attributes.csv", "text/csv", "attributes.csv")
        code = f"z, attributes = single_edit.encode_example(model, data.test, {number})"
        if number is None:
            code = f"""z = np.array({grid.z.round(4).tolist()}, np.float32)  # from the prior
attributes = np.array({grid.attributes.astype(int).tolist()}, np.float32)"""
        along = "None"
        if not is_conditional(run):
            along = f'edits.directions(model, data.train, np.arange({DIRECTION_IMAGES}), "{how}")'
        python_button(
            run,
            f"""
from aecore.explore import edits, single_edit

model, data = run.model(), run.data()
{code}
base = edits.switch(data, attributes, edits.BASE)
targets = [edits.switch(data, edits.switch(data, base, row), column)
           for _, row in edits.ROWS for _, column in edits.COLUMNS]
print(edits.render(model, z, attributes, np.stack(targets), {along}).shape)
""",
            "attributes.python",
        )


# --- one face, edited -----------------------------------------------------------------------------------------------


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


# --- from one face to another ---------------------------------------------------------------------------------------


@st.fragment
@plain_errors()
def show_way(run: Run, how: Directions) -> None:
    """Frames in which code and attributes go from one held-out face to another."""
    most = len(held_out(run)) - 1
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        first = State.first.given(most=most).number("From face", width=150)
        last = State.last.given(most=most).number("To face", width=150)
        moves = State.moves.option("What goes over")
    ends = coded(run, first), coded(run, last)
    z, y = single_edit.interpolate(*ends, FRAMES, moves != ATTRIBUTES, moves != CODE)
    # Where codes move along directions, the codes of the way already have the attributes of the way.
    start = ends[0][1] if is_conditional(run) or moves == ATTRIBUTES else y
    frames = pictures_of(rendered(run, z, start, y, how))
    left, right = st.columns([2, 3], gap="large")
    with left:
        film(
            np.stack([enlarge(frame, 256) for frame in frames]),
            [f"{100 * k / (FRAMES - 1):.0f} %" for k in range(FRAMES)],
            key="attributes.film",
            alt=f"From face {first} to face {last}",
            fps=10,
        )
    with right:
        st.image(contact_sheet(frames, 7), alt="The same way as a strip", output_format="PNG", width="stretch")
        differing = edits.differing(library.data(run), ends[0][1], ends[1][1])
        st.caption(f"Attributes in which they differ: {', '.join(map(attribute_title, differing)) or 'none'}.")


# --- how good the edits are -----------------------------------------------------------------------------------------

CARD = {
    "edits seen": ("edits that a classifier sees", "edits seen without editing", True),
    "edits seen, worst attribute": ("of the worst attribute", "", True),
    "other attributes stay": ("other attributes that stay", "", True),
    "all attributes right": ("all attributes right", "", True),
    "reconstruction, squared error": ("reconstruction error", "", False),
    "error against the true edit": ("error against the truth, decoded", "error of not editing", False),
    "error of the edit laid on the image": ("the same, laid on the face", "error of not editing", False),
    "rest of the face after, R²": ("rest of the face, R² after edits", "rest of the face before, R²", False),
    "Fréchet distance to true edits": ("Fréchet distance to true edits", "Fréchet distance by chance", False),
}
"""Figures of `measure.attribute_edits`: title, the figure that stands beside it, and whether it is a share."""
EACH_CARD = {
    "edits seen": True,
    "other attributes stay": True,
    "error, decoded": False,
    "error, laid on the image": False,
    "error, not editing": False,
}
"""Figures of each attribute, and whether they are shares."""


def show_card(run: Run) -> None:
    """The figures that were measured on held-out faces."""
    metrics = run.info.metrics
    st.header("How good are these edits?", anchor=False)
    lines = [
        {
            "measure": title,
            "here": figure_text(metrics[key], share),
            "beside": f"{figure_text(metrics[beside], share)} ({beside})" if beside in metrics else "",
        }
        for key, (title, beside, share) in CARD.items()
        if key in metrics
    ]
    st.dataframe(lines, hide_index=True, width="content")
    with st.expander("Attribute by attribute"):
        each = [
            {"attribute": attribute_title(name)}
            | {
                title: f"{100 * metrics[key]:.1f} %" if share else f"{metrics[key]:.5f}"
                for title, share in EACH_CARD.items()
                if (key := f"{title}{EACH}{name}") in metrics
            }
            for name in library.data(run).attributes
        ]
        st.dataframe(each, hide_index=True, width="stretch")
    st.caption(
        "Over 500 held-out faces, each attribute of each switched alone; one seed. Faces are drawn, so the true "
        "answer to every edit is known: the same face, drawn with the attribute changed."
    )


def figure_text(value: float, share: bool) -> str:
    if share:
        return f"{100 * value:.1f} %"
    return f"{value:.4f}" if abs(value) < 10 else f"{value:.1f}"
