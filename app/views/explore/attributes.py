"""Attributes: one code, its attributes switched one by one (§5.2, Fig. 6)."""

from __future__ import annotations

from itertools import product

import numpy as np
import streamlit as st
import torch

from aecore import DataError, inference
from aecore.data import image as read_picture
from aecore.data.base import TensorSplit
from aecore.explore import edits
from aecore.explore.images import to_uint8
from aecore.measure.attribute_edits import EACH
from app import library, link
from app.browser import film, scrubber
from app.browser.contact import contact
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import contact_sheet, enlarge, rgb
from app.library import held_out
from app.link import LINKED, recall
from app.panels import layout
from app.panels.attribute_edits import LEARNT, bars, coded, drawn, read, rendered, usual_error, words
from app.panels.downloads import csv_table, download_button, python_button
from app.session import plain_errors
from app.text import escape_markdown

FRAMES = 21


# --- the grid of Fig. 6 -------------------------------------------------------------------------------------------


def row_switches(held: list[str]) -> list[tuple[str, edits.Switches]]:
    """All ways in which up to two attributes can stand."""
    if held == ["Male", "Young"]:
        return list(edits.ROWS)
    ways = product(*[[(name, True), (name, False)] for name in held])
    return [(", ".join(("" if on else "not ") + words(name) for name, on in way), way) for way in ways]


def another() -> None:
    st.session_state["attributes.z"] = (st.session_state["attributes.z"] + 1) % 10_000


# --- how good -----------------------------------------------------------------------------------------------------

CARD = {
    "edits seen": ("edits that the judge sees", "edits seen without editing", True),
    "edits seen, worst attribute": ("of the worst attribute", "", True),
    "other attributes stay": ("other attributes that stay", "", True),
    "all attributes right": ("all attributes right", "", True),
    "reconstruction, squared error": ("reconstruction error", "", False),
    "error against the true edit": ("error against the truth, decoded", "error of not editing", False),
    "error of the edit laid on the image": ("the same, laid on the face", "error of not editing", False),
    "rest of the face after, R²": ("rest of the face, R² after edits", "rest of the face before, R²", False),
    "Fréchet distance to true edits": ("Fréchet distance to true edits", "Fréchet distance by chance", False),
}


def page() -> None:
    run = layout.opening(
        "Attributes",
        "One code, one attribute switched at a time: **the person should stay.** Each picture is decoded here and now.",
        "encode",
        "decode",
        attributes=True,
    )
    model, data, split = layout.model(run), library.data(run), held_out(run)
    names = data.attributes
    told = bool(model.attributes)

    @st.fragment
    @plain_errors()
    def grid() -> None:
        """Rows hold attributes, columns switch others; one code throughout."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            from_draw = "sample" in run.entry.abilities and layout.option(
                "Code", ["of a held-out face", "drawn from the prior"], "attributes.code"
            ).startswith("drawn")
            number = layout.number("Which", min(9999, len(split) - 1), "attributes.z", width=150)
            st.button("Another", icon=":material/casino:", key="attributes.another", on_click=another)
            usual = [name for name in ("Male", "Young") if name in names]
            held = st.multiselect(
                "Rows hold",
                names,
                usual,
                key="attributes.rows",
                format_func=words,
                max_selections=2,
                width=300,
                **LINKED,
            )
            varied = st.multiselect(
                "Columns switch",
                names,
                [],
                key="attributes.columns",
                format_func=words,
                width=360,
                placeholder="as in the chapter’s Fig. 6",
                **LINKED,
            )
        z, own = drawn(run, number) if from_draw else coded(run, number)
        base = edits.switch(data, own, edits.BASE)
        columns = list(edits.COLUMNS)
        if varied:
            columns = [("as it is", ())]
            columns += [(words(n), ((n, bool(base[names.index(n)] < 0.5)),)) for n in varied]
        rows = row_switches(held) if held else [("", ())]
        targets = np.stack(
            [
                edits.switch(data, edits.switch(data, base, ways), switches)
                for _, ways in rows
                for _, switches in columns
            ]
        )
        pictures = to_uint8(rendered(run, z, own, targets, how)).reshape(len(rows), len(columns), *data.shape[1:], -1)
        pictures = pictures[..., 0] if data.shape[0] == 1 else pictures
        contact(
            [(name, row) for (name, _), row in zip(rows, pictures, strict=True)],
            key="attributes.grid",
            tile=76,
            captions=[name for name, _ in columns],
            alt="One code with many attributes: rows hold some, columns switch others",
        )
        decoder = r"B(z, y)" if told else r"B\left(z + \textstyle\sum_k (y_k - y^0_k)\, d_k\right)"
        st.latex(
            rf"x = {decoder},\qquad z\ \text{{the same in all {len(targets)} pictures}},\quad y\ \text{{as named}}"
        )
        with st.container(horizontal=True):
            flat = pictures.reshape(-1, *pictures.shape[2:])
            download_button(
                "Grid as PNG",
                lambda: plots.png(contact_sheet(flat, len(columns), 2000)),
                f"{run.info.id}-attributes.png",
                "image/png",
                "attributes.png",
            )
            download_button(
                "Attributes as CSV",
                csv_table(
                    ["row", "column", *names],
                    [name for name, _ in rows for _ in columns],
                    [name for _ in rows for name, _ in columns],
                    *targets.T.astype(int),
                ),
                f"{run.info.id}-attributes.csv",
                "text/csv",
                "attributes.csv",
            )
            source = f"""z = passing.encode(model, data.test, np.array([{number}]), told=True)[0]
own = passing.attributes_of(data.test, [{number}])[0]"""
            if from_draw:
                source = f"""z = np.array({z.round(4).tolist()}, np.float32)  # drawn from the prior
own = np.array({own.astype(int).tolist()}, np.float32)"""
            along = "None" if told else f'edits.directions(model, run.data().train, np.arange({LEARNT}), "{how}")'
            python_button(
                run,
                f"""
from aecore.explore import edits
from aecore import inference

model, data = run.model(), run.data()
{source}
targets = [edits.switch(data, edits.switch(data, edits.switch(data, own, edits.BASE), row), column)
           for _, row in edits.ROWS for _, column in edits.COLUMNS]
print(edits.render(model, z, own, np.stack(targets), {along}).shape)
""",
                "attributes.python",
            )

    how = "means"
    if not told:
        st.caption(
            f"{escape_markdown(run.info.title)} was never told an attribute: here codes move along a direction, found in "
            f"the codes of {LEARNT:,} training images that have the attribute and that have not."
        )
        way = layout.option("Directions by", ["difference of means", "linear classifier"], "attributes.how")
        how = "means" if way.startswith("diff") else "classifier"
    grid()

    # --- the bench ----------------------------------------------------------------------------------------------------

    st.header("Edit a face", anchor=False)

    def kept() -> list[tuple[str, bool]]:
        """The edits made so far, from the session or the link: "+Smiling,-Male"."""
        parts = recall("edits", run).split(",")
        return [(part[1:], part[0] == "+") for part in parts if part[:1] in ("+", "-") and part[1:] in names][-40:]

    def keep(made: list[tuple[str, bool]]) -> None:
        link.keep("edits", run, ",".join(("+" if on else "-") + name for name, on in made))

    def forget() -> None:
        link.keep("edits", run, "")

    def undo() -> None:
        keep(kept()[:-1])

    def face() -> tuple[np.ndarray | None, np.ndarray, np.ndarray] | None:
        """An image (C, H, W) or None where it is drawn from the prior, its code and its attributes; None without any."""
        sources = ["held-out face", "drawn from the prior", "upload"]
        if "sample" not in run.entry.abilities:
            sources.remove("drawn from the prior")
        source = layout.option("Face", sources, "attributes.from", on_change=forget)
        if source == "upload":
            file = st.file_uploader(
                "A drawing of a face from the front: PNG, JPEG or WebP",
                key="attributes.upload",
                max_upload_size=64,
                on_change=forget,
            )
            if file is None:
                st.caption("It is cut to a square and brought to the size that the model knows.")
                return None
            try:
                picture = read_picture(file.getvalue(), data.shape, file.name).astype(np.float32) / 255
            except DataError as error:
                st.error(escape_markdown(str(error)), icon=":material/error:")
                return None
            said = read(run, picture[None])
            own = np.zeros(len(names), np.float32) if said is None else (said.attributes[0] > 0).float().numpy()
            z = inference.map_batches(
                model, TensorSplit(picture[None], attributes=own[None]), np.arange(1), model.encode, told=True
            )[0]
            back = rendered(run, z, own, own[None], how)[0]
            error, usual = float(np.square(back - picture).mean()), usual_error(run)
            if error > 2 * usual:
                st.warning(
                    f"This does not look like the faces that {escape_markdown(run.info.title)} knows: it comes back with an "
                    f"error of {error:.4f}, where 99 of 100 held-out faces stay below {usual:.4f}. Upload a face from the "
                    "front, drawn like those above, that fills the picture.",
                    icon=":material/face:",
                )
            return picture, z, own
        number = layout.number("Which face", min(9999, len(split) - 1), "attributes.face", on_change=forget, width=150)
        if source == "held-out face":
            z, own = coded(run, number)
            return inference.examples(split, [number])[0].numpy(), z, own
        z, own = drawn(run, number)
        return None, z, own

    @st.fragment
    @plain_errors()
    def bench() -> None:
        """A face, its attributes as switches, what they do."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            found = face()
        if found is None:
            return
        picture, z, own = found
        made = kept()
        target = edits.switch(data, own, made)

        def switch_one() -> None:
            wanted = set(st.session_state["attributes.pills"] or [])
            present = {name for name, on in zip(names, target, strict=True) if on > 0.5}
            keep([*kept(), *((name, name in wanted) for name in sorted(wanted ^ present))])

        st.session_state["attributes.pills"] = [name for name, on in zip(names, target, strict=True) if on > 0.5]
        st.pills(
            "Attributes", names, selection_mode="multi", key="attributes.pills", format_func=words, on_change=switch_one
        )
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button("Undo", icon=":material/undo:", key="attributes.undo", disabled=not made, on_click=undo)
            st.button(
                "As it was", icon=":material/restart_alt:", key="attributes.reset", disabled=not made, on_click=forget
            )
            laid = picture is not None and layout.option(
                "Show", ["decoded", "laid on the image"], "attributes.show"
            ) != ("decoded")
            if made:
                st.caption("; then ".join(("" if on else "not ") + words(name) for name, on in made))
        pair = rendered(run, z, own, np.stack([own, target]), how)
        origin = pair[0] if picture is None else picture
        after = np.clip(origin + pair[1] - pair[0], 0, 1) if laid else pair[1]
        tiles = to_uint8(np.stack([origin, after]))
        difference = plots.difference(tiles[:1], tiles[1:])[0]
        truth = None
        ids = torch.tensor([int(st.session_state.get("attributes.face", 0))])
        if picture is not None and st.session_state.get("attributes.from", "held-out face") == "held-out face":
            truth = None if split.redrawn is None else split.redrawn(ids, torch.from_numpy(target[None]))[0].numpy()
        columns = st.columns(5 if truth is not None else 4, gap="medium")
        with columns[0]:
            layout.picture(
                tiles[0], "drawn from the prior" if picture is None else "the face", "The face before the edit"
            )
        with columns[1]:
            layout.picture(to_uint8(pair[:1])[0], "what comes back, unedited", "The face decoded from its code")
        with columns[2]:
            layout.picture(tiles[1], "edited, laid on the face" if laid else "edited", "The face after the edit")
        with columns[3]:
            layout.picture(difference, "difference: red brighter, blue darker", "Difference of both")
        if truth is not None:
            with columns[4]:
                layout.picture(
                    to_uint8(truth[None])[0], "the truth: the same face, drawn so", "The same face drawn anew"
                )
        facts = []
        if truth is not None:
            facts = [
                ("error against the truth", f"{np.square(after - truth).mean():.5f}", "squared, per value", ""),
                ("error of not editing", f"{np.square(origin - truth).mean():.5f}", "of the face as it was", ""),
            ]
        said = read(run, np.stack([origin, after]))
        if said is not None and said.nuisance.shape[1]:
            moved = float((said.nuisance[1] - said.nuisance[0]).square().mean().sqrt())
            facts.append(
                (
                    "the rest of the face moved by",
                    f"{moved:.2f}",
                    "as the judge reads pose, skin, light, …; two faces differ by about 0.7",
                    "",
                )
            )
        if facts:
            key_figures(facts)
        with st.container(horizontal=True):
            three = np.concatenate([rgb(tiles), difference[None]])
            download_button(
                "Edit as PNG",
                lambda: plots.png(contact_sheet(three, 3, 1500)),
                f"{run.info.id}-edit.png",
                "image/png",
                "attributes.edit",
            )
        with st.container(key="halves-attributes"):
            left, right = st.columns([1, 1], gap="large")
        with left:
            st.subheader("What else moved", anchor=False)
            if said is None:
                st.info(
                    "No judge of these data is trained, so nothing reads the attributes. "
                    "aecore.measure.attribute_classifier.fit trains one in minutes.",
                    icon=":material/gavel:",
                )
            else:
                shares = said.attributes.sigmoid().numpy()
                bars(names, shares[0], shares[1], target)
                st.caption(
                    "What a classifier reads before (grey) and after (colour) the edit; ✗ where it is not what the "
                    "decoder was told."
                )
        with right:
            st.subheader("Each one alone", anchor=False)
            singles = edits.single_edits(data, target)
            images = rendered(run, z, own, singles, how)
            images = np.clip(origin + images - pair[:1], 0, 1) if laid else images
            contact(
                [("", to_uint8(images[1:]))],
                key="attributes.singles",
                tile=84,
                pick="Make this edit",
                captions=[("" if t < 0.5 else "no ") + words(n) for n, t in zip(names, target, strict=True)],
                alt="The face with each attribute switched alone",
                on_change=lambda: keep(
                    [*kept(), (names[k := int(st.session_state["attributes.singles"]["pick"])], bool(target[k] < 0.5))]
                ),
            )
        st.subheader("How much of it", anchor=False)
        along = edits.strengths(data, target)
        sheet = rendered(run, z, own, along.reshape(-1, along.shape[-1]), how)
        tiles = to_uint8(sheet).reshape(*along.shape[:2], *data.shape[1:], -1)
        values = np.tile(np.linspace(-0.5, 1.5, along.shape[1], dtype=np.float32), (len(names), 1))
        scrubber(
            tiles[..., 0] if data.shape[0] == 1 else tiles,
            [words(name) for name in names],
            values,
            target,
            key="attributes.strength",
            alt="The face with one attribute more or less of it",
        )
        st.caption("0 is without, 1 is with the attribute; beyond lies more than any training image had.")

    bench()

    # --- from one face to another -------------------------------------------------------------------------------------

    st.header("From one face to another", anchor=False)

    @st.fragment
    @plain_errors()
    def between() -> None:
        """Frames in which code and attributes go from one held-out face to another."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            a = layout.number("From face", len(split) - 1, "attributes.a", width=150)
            b = int(st.number_input("To face", 0, len(split) - 1, 7, key="attributes.b", width=150, **LINKED))
            what = layout.option(
                "What goes over", ["code and attributes", "code alone", "attributes alone"], "attributes.over"
            )
        (za, ya), (zb, yb) = coded(run, a), coded(run, b)
        share = np.linspace(0, 1, FRAMES, dtype=np.float32)[:, None]
        z = za + (0 if what == "attributes alone" else share) * (zb - za)
        y = ya + (0 if what == "code alone" else share) * (yb - ya)
        # Where codes move along directions, a face's own code already has its attributes: those of the way start from them.
        start = ya if told or what == "attributes alone" else y
        tiles = to_uint8(
            rendered(run, np.broadcast_to(z, (FRAMES, len(za))), start, np.broadcast_to(y, (FRAMES, len(ya))), how)
        )
        left, right = st.columns([2, 3], gap="large")
        with left:
            film(
                np.stack([enlarge(tile, 256) for tile in tiles]),
                [f"{100 * s:.0f} %" for s in share.ravel()],
                key="attributes.film",
                alt=f"From face {a} to face {b}",
                fps=10,
            )
        with right:
            st.image(contact_sheet(tiles, 7), alt="The same way as a strip", output_format="PNG", width="stretch")
            apart = edits.differing(data, ya, yb)
            st.caption(f"Attributes in which they differ: {', '.join(map(words, apart)) or 'none'}.")

    between()
    if "edits seen" in run.info.metrics:
        st.header("How good are these edits?", anchor=False)
        found = run.info.metrics
        lines = []
        for key, (title, beside, share) in CARD.items():
            if key in found:
                write = (
                    (lambda v: f"{100 * v:.1f} %") if share else (lambda v: f"{v:.4f}" if abs(v) < 10 else f"{v:.1f}")
                )
                lines.append(
                    {
                        "measure": title,
                        "here": write(found[key]),
                        "beside": f"{write(found[beside])} ({beside})" if beside in found else "",
                    }
                )
        st.dataframe(lines, hide_index=True, width="content")
        each = [
            {"attribute": words(name)}
            | {
                title: f"{100 * found[key]:.1f} %" if share else f"{found[key]:.5f}"
                for title, share in (
                    ("edits seen", True),
                    ("other attributes stay", True),
                    ("error, decoded", False),
                    ("error, laid on the image", False),
                    ("error, not editing", False),
                )
                if (key := f"{title}{EACH}{name}") in found
            }
            for name in names
        ]
        with st.expander("Attribute by attribute"):
            st.dataframe(each, hide_index=True, width="stretch")
        st.caption(
            "Over 500 held-out faces, each attribute of each switched alone; one seed. Faces are drawn, so the true "
            "answer to every edit is known: the same face, drawn with the attribute changed."
        )
    st.info(
        "**What labels are.** On photographs an attribute is what annotators thought they saw: an opinion, with their "
        "time’s notions of man, woman, young. The faces here are drawn; they have no person’s identity, and their "
        "attributes are true by construction.",
        icon=":material/label:",
    )
    with st.expander("What to look for"):
        st.markdown(
            "- **The person**: pose, skin, light and background should be the same along a row.\n"
            "- **What else moved**: an attribute that drags another along was learnt together with it.\n"
            "- **The conditional VAE** keeps the person but ignores some attributes: its code already holds them.\n"
            "- **Pure conditional ALI** obeys the attributes and loses the person: nothing asks the image back.\n"
            "- **Beyond 1**: more than any training image had; what gives way first?"
        )
    with st.expander("Why"):
        st.markdown(
            "The critic of conditional ALI sees image, code and attributes together; pairs that a decoder made from other "
            "attributes must look like pairs that an encoder made (Dumoulin et al., 2016, with Fig. 6 of the chapter). "
            "That says what images of each attribute look like; that the code still describes *this* face needs more: here "
            "a cycle (Li et al., 2017), a network that reads attributes, and edits among the fakes. Section 5.2."
        )
