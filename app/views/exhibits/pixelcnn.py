"""PixelCNN: drawing pixel by pixel (§5.5, Fig. 8)."""

from __future__ import annotations

import numpy as np
import streamlit as st

from aecore import DataError, Run, inference
from aecore.data import image as read_picture
from aecore.explore import autoregressive, examples
from aecore.explore.images import to_uint8
from aecore.measure import sharpness
from aecore.models.autoregressive import PixelCNN
from aecore.nn.pixel_distributions import bits
from aecore.runs.library import find
from app import cached, library
from app.browser.contact import contact
from app.browser.drawer import drawer
from app.browser.pad import pad
from app.cached import example
from app.figures import plots
from app.figures.html import key_figures
from app.figures.plots import LINES, contact_sheet, enlarge, rgb
from app.library import class_names, held_out, image_title
from app.link import LINKED, keep_step, recall_step
from app.panels import layout
from app.panels.downloads import csv_table, download_button, python_button
from app.session import plain_errors
from app.text import escape_markdown

GREEN, BLUE, PAPER = np.array([20, 170, 90]), np.array([47, 125, 225]), np.array([226, 229, 233])


@cached.remember(max_entries=12)  # of 36 coloured images with 256 levels each has 14 MB
def drawn(run: Run, n: int, seed: int, temperature: float, label: int | None) -> autoregressive.Drawing:
    return autoregressive.draw(library.model(run), n, seed, temperature, label)


@cached.remember(max_entries=16)
def some(run: Run) -> np.ndarray:
    """A few held-out images of values that are modelled, over which slopes are averaged."""
    test = library.data(run).test
    return autoregressive.quantize(library.model(run), inference.examples(test, inference.first(test, 8)).numpy())


@cached.remember(max_entries=256)
def looked_at(run: Run, row: int, column: int, n: int = 8) -> np.ndarray:
    return autoregressive.saliency(
        library.model(run), row, column, some(run)[:n], 0 if library.model(run).classes else None
    )


@cached.remember(max_entries=8)
def field(run: Run) -> np.ndarray:
    """(2H − 1, 2W − 1) from 0 to 1: how much a pixel looks at another that lies so far away, in steps that show."""
    found = autoregressive.receptive_field(library.model(run), some(run)[:4], 0 if library.model(run).classes else None)
    return shades(found, 0.15).astype(np.float32)


def shades(slopes: np.ndarray, least: float) -> np.ndarray:
    """Slopes from 1, the largest, over four powers of ten down to `least`; 0 where there are none."""
    strength = 1 + np.log10(slopes / max(slopes.max(), 1e-12) + 1e-9) / 4
    return np.where(slopes > 0, np.clip(strength, least, 1), 0)


MADE = 16
BELIEVED, IN_TURN = "as it believes", "each label in turn"


@cached.remember(max_entries=64)
def completed(
    run: Run, image: np.ndarray, first: int, seed: int, label: int | tuple[int, ...] | None
) -> autoregressive.Drawing:
    """Completions of an image (C, H, W) of which the first pixels of the order are known."""
    model = library.model(run)
    return autoregressive.draw(
        model, MADE, seed, label=label, image=image, known=autoregressive.first_pixels(model, first)
    )


@cached.remember(max_entries=64)
def believed(run: Run, image: np.ndarray, first: int) -> np.ndarray:
    """p(y | known) of each label."""
    model = library.model(run)
    return autoregressive.class_posterior(model, image, autoregressive.first_pixels(model, first))


def tinted(strength: np.ndarray, row: int, column: int) -> np.ndarray:
    """(H, W) from 0 to 1 as green on grey, the pixel itself yellow: uint8 (H, W, 3)."""
    picture = PAPER * (1 - strength[..., None]) + GREEN * strength[..., None]
    picture[row, column] = (245, 200, 40)
    return picture.astype(np.uint8)


DECODERS = {"VAE": "vae-16", "feature loss": "dfc-vae-held-16", "PixelCNN decoder": "pixelcnn-decoder-16"}


@cached.remember(max_entries=32)
def variations(run: Run, ids: tuple[int, ...], seed: int) -> np.ndarray:
    """uint8 (n, H, W), each code drawn with noise of its own."""
    z = examples.codes(library.model(run), library.data(run).test, np.array(ids))
    return to_uint8(autoregressive.variations(library.model(run), z, seed))


@cached.remember(max_entries=16)
def blur(run: Run) -> float:
    """Gradient energy of 200 reconstructions."""
    test = library.data(run).test
    return sharpness.gradient_energy(inference.autoencode(library.model(run), test, inference.first(test, 200)))


@cached.remember(max_entries=4)
def one_code(run: Run, others: tuple[str, ...]) -> bool:
    """Whether all of these runs give an image the same code."""
    test = library.data(run).test
    ids = inference.first(test, 20)
    mine = examples.codes(library.model(run), test, ids)
    return all(np.allclose(examples.codes(library.model(find(name)), test, ids), mine, atol=0.02) for name in others)


@st.fragment
@plain_errors()
def beside() -> None:
    """Codes of the same images decoded by a VAE, by a feature loss and by a PixelCNN."""
    there = {name: found for name, key in DECODERS.items() if (found := example(key))}
    if "PixelCNN decoder" not in there:
        st.info("The example pixelcnn-decoder-16 is not trained: make pretrained.", icon=":material/info:")
        return
    again = layout.number("Seed of choice and draws", 9999, "pixelcnn.beside", width=220)
    drawer_run = there["PixelCNN decoder"]
    ids = tuple(cached.choice(drawer_run, 10, again).tolist())
    sheets = [("original", cached.images(drawer_run, ids))]
    sheets += [(name, cached.reconstructions(found, ids)) for name, found in there.items() if found is not drawer_run]
    sheets += [(f"drawn, {k + 1}", variations(drawer_run, ids, 3 * again + k)) for k in range(3)]
    contact(sheets, key="pixelcnn.sheet", tile=64, alt="Images and what three decoders make of their codes")
    size = drawer_run.info.params["code"]
    if one_code(drawer_run, tuple(found.info.id for found in there.values())):
        st.caption(
            f"Each image is one code of {size} numbers, by the VAE’s encoder. The other decoders were trained "
            "behind that same encoder, which was held."
        )
    else:
        st.caption(f"Each decoder has its own encoder: an image has another code of {size} numbers for each.")
    test = library.data(drawer_run).test
    truth = inference.examples(test, inference.first(test, 200))
    key_figures(
        [
            ("images", f"{sharpness.gradient_energy(truth):.4f}", "gradient energy: higher is sharper", ""),
            (
                "in black and white",
                f"{sharpness.gradient_energy((truth > 0.5).float()):.4f}",
                "what the PixelCNN decoder learns",
                "",
            ),
            *(
                (name, f"{blur(found):.4f}", "of its reconstructions", colour)
                for (name, found), colour in zip(there.items(), LINES, strict=False)
            ),
        ]
    )
    if {"VAE", "feature loss"} <= set(there) and blur(there["feature loss"]) < 1.1 * blur(there["VAE"]):
        st.caption(
            "Behind this code the feature loss is no sharper than the VAE: both answer with one picture, and "
            "what the code leaves open comes back as a mean. The page Feature loss has it with an encoder of "
            "its own."
        )


MANY = 200  # images that are ranked


@cached.remember(max_entries=8, show_spinner="Computing likelihoods …")
def ranked(run: Run) -> np.ndarray:
    """−log p(x) of the first held-out images, or −log p(x|y) where the model is told labels, (n,) nats."""
    model, test = library.model(run), library.data(run).test
    if not model.classes or test.labels is None:
        return nats(run, "own")
    ids = inference.first(test, MANY // 2)  # models that are told labels are the larger ones
    x = autoregressive.quantize(model, inference.examples(test, ids).numpy())
    y = np.asarray(test.labels)[ids]
    return autoregressive.surprise(model, x, y.tolist()).sum((1, 2, 3))


@cached.remember(max_entries=8, show_spinner="Computing likelihoods …")
def nats(run: Run, kind: str) -> np.ndarray | None:
    """−log p(x) of images of a kind, (n,) nats; None where they are not on this computer."""
    model, test = library.model(run), library.data(run).test
    n = 30 if model.classes else MANY  # each is looked at under every label
    x = autoregressive.quantize(model, inference.examples(test, inference.first(test, n)).numpy())
    if kind == "inverted":
        x = 1 - x[: n // 2]
    elif kind == "empty":
        x = np.zeros_like(x[:1])
    elif kind == "noise":
        x = autoregressive.quantize(model, np.random.default_rng(0).random(x[:15].shape))
    elif kind in ("fashion", "mnist", "digits"):
        other = library.load(run.info.data.model_copy(update={"name": kind, "limit": None})).test
        if inference.examples(other, [0]).shape[1:] != model.shape:
            return None
        x = autoregressive.quantize(model, inference.examples(other, inference.first(other, n)).numpy())
    return autoregressive.unlikely(model, x)


def page() -> None:
    run = layout.opening(
        "PixelCNN",
        "No code at all: **each pixel is drawn given the pixels before it.** Press play, or click where you want to be.",
        "density",
    )
    model, split = layout.model(run), held_out(run)
    channels, height, width = run.info.shape
    labels = class_names(run)[: model.classes] if model.classes else []
    binary = model.values.levels == 2
    filters = isinstance(model, PixelCNN)  # and no states that are handed down

    # --- watch it draw --------------------------------------------------------------------------------------------------

    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        n = int(layout.option("Images", ["1", "4", "16", "36"], "pixelcnn.n", "16"))
        temperature = st.slider("Temperature", 0.1, 2.0, 1.0, 0.1, key="pixelcnn.temperature", width=240, **LINKED)
        label = None
        if labels:
            wanted = st.selectbox("Class", ["in turn", *labels], key="pixelcnn.class", width=150, **LINKED)
            label = labels.index(wanted) if wanted in labels else None
        seed = layout.number("Seed", 9999, "pixelcnn.seed", width=150)
    found = drawn(run, n, seed, temperature, label)
    begun = round(0.55 * height * width)  # so that there is something to see at once
    at = recall_step("pixelcnn.at")
    state = {"pixel": begun if at is None else at, "image": recall_step("pixelcnn.image") or 0}
    state["pixel"] = min(state["pixel"], height * width)
    stage = drawer(
        found.images,
        found.chances,
        found.order,
        key="pixelcnn.drawer",
        field=field(run),
        alt=f"{n} images, drawn pixel by pixel",
        state=state,
    )
    keep_step("pixelcnn.at", stage["pixel"], begun)
    keep_step("pixelcnn.image", stage["image"], 0)
    told = ", y" if labels else ""
    given = r"x \mid y" if labels else "x"
    last = height * width * channels
    terms = rf"-\textstyle\sum_{{i=1}}^{{{last}}} \log p(x_i \mid x_1, \ldots, x_{{i-1}}{told})"
    st.latex(plots.equation(rf"-\log p({given}) = \term{{nll}}{{{terms}}}"))
    chosen = min(stage["image"], n - 1)
    place = found.order[: stage["pixel"]]
    so_far, whole = float(found.nats[chosen][:, place[:, 0], place[:, 1]].sum()), float(found.nats[chosen].sum())
    key_figures(
        [
            (
                "−log p so far",
                f"{so_far:.1f} nats",
                f"of {stage['pixel']:,} pixels, by the model itself",
                plots.term_colour("nll"),
            ),
            (
                "the whole image",
                f"{whole:.1f} nats",
                f"−log p of all pixels: {bits(whole, found.nats[0].size):.3f} bits per dimension",
                plots.term_colour("nll"),
            ),
            ("order", model.order, "of the pixels: a knob of the training", ""),
            ("values", run.info.params.get("values", "binary"), "what a pixel is drawn from: a knob, too", ""),
        ]
    )
    with st.container(horizontal=True):
        pictures = to_uint8(found.images)
        download_button(
            "Images as PNG",
            lambda: plots.png(contact_sheet(pictures)),
            f"{run.info.id}-drawn.png",
            "image/png",
            "pixelcnn.png",
        )

        def film() -> bytes:
            """The large image coming to be."""
            steps = np.linspace(0, height * width, 60).astype(int)
            frames = []
            for k in steps:
                frame = np.full((height, width, 3), 128, np.uint8)
                rows, columns = found.order[:k].T
                frame[rows, columns] = rgb(pictures[chosen : chosen + 1])[0][rows, columns]
                frames.append(enlarge(frame, 224))
            return plots.gif(frames, 15)

        download_button("GIF of the drawing", film, f"{run.info.id}-drawing.gif", "image/gif", "pixelcnn.gif")
        at_each = tuple(found.order.T)
        parts = [
            (f"{name}{mark}", values[chosen, c][at_each])
            for name, values in (("value", found.images), ("−log p", found.nats))
            for c, mark in enumerate([""] if channels == 1 else [" red", " green", " blue"])
        ]
        table = csv_table(
            ["order", "row", "column", *(name for name, _ in parts)],
            range(1, height * width + 1),
            *found.order.T,
            *(values for _, values in parts),
        )
        download_button("Pixels as CSV", table, f"{run.info.id}-pixels.csv", "text/csv", "pixelcnn.csv")
        python_button(
            run,
            f"""
from aecore.explore import autoregressive

found = autoregressive.draw(run.model(), {n}, seed={seed}, temperature={temperature}, label={label})
print(found.images.shape, found.nats.sum((1, 2, 3)))
""",
            "pixelcnn.python",
        )

    # --- finish my drawing ----------------------------------------------------------------------------------------------

    st.header("Finish my drawing", anchor=False)

    def own_picture(source: str) -> np.ndarray | None:
        """(C, H, W) of values that are modelled."""
        if source == "held-out image":
            number = layout.number("Number", len(split) - 1, "pixelcnn.image-number", width=150)
            return autoregressive.quantize(model, inference.examples(split, [number])[0].numpy())
        if source == "draw":
            drawn = pad("pixelcnn.pad", (height, width), label="Draw here", centre=False)
            if drawn is None:
                st.caption(f"Draw with mouse, pen or finger: what comes first is kept, by {model.order}.")
                return None
            return autoregressive.quantize(model, np.repeat(drawn[None] / 255, channels, 0))
        file = st.file_uploader("PNG, JPEG or WebP", key="pixelcnn.upload", max_upload_size=64)
        digits = run.info.data.name in ("digits", "mnist")
        flip = st.toggle(
            "Invert", key="pixelcnn.invert", help="Digits here are white on black" if digits else None, **LINKED
        )
        if file is None:
            return None
        try:
            picture = read_picture(file.getvalue(), run.info.shape, file.name)
        except DataError as error:
            st.error(escape_markdown(str(error)), icon=":material/error:")
            return None
        return autoregressive.quantize(model, (255 - picture if flip else picture) / 255)

    @st.fragment
    @plain_errors()
    def finish() -> None:
        """The first part of an image is kept, the rest drawn sixteen times."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            source = layout.option("Picture", ["held-out image", "draw", "upload"], "pixelcnn.from")
            share = st.slider(
                "Keep the first … of its pixels",
                0,
                100,
                50,
                5,
                format="%d %%",
                key="pixelcnn.keep",
                width=260,
                **LINKED,
            )
            again = layout.number("Seed of the completions", 9999, "pixelcnn.again", width=200)
            said = BELIEVED
            if labels:
                said = st.selectbox(
                    "Completed as", [BELIEVED, IN_TURN, *labels], key="pixelcnn.as", width=190, **LINKED
                )
        image = own_picture(source)
        if image is None:
            return
        first = round(share / 100 * height * width)
        as_label = labels.index(said) if said in labels else None
        if model.classes and said == BELIEVED:
            odds = believed(run, image, first)
            as_label = tuple(np.random.default_rng(again).choice(len(odds), MADE, p=odds).tolist())
            likeliest = [c for c in np.argsort(-odds)[:4] if odds[c] >= 0.005]
            st.caption(
                "p(label | what is kept): "
                + ", ".join(
                    f"{escape_markdown(str((labels or range(len(odds)))[c]))} {100 * odds[c]:.0f} %" for c in likeliest
                )
                + ". The completions are drawn with these chances."
            )
        elif model.classes and said == IN_TURN:
            st.caption(
                "Each completion is told another label, likely or not: what they disagree on is not the model’s own doubt."
            )
        made = completed(run, image, first, again, as_label)
        kept = np.where(made.known, to_uint8(image[None])[0] if channels == 1 else 0, 128).astype(np.uint8)
        if channels == 3:
            kept = np.where(made.known[..., None], to_uint8(image[None])[0], 128).astype(np.uint8)
        left, right = st.columns([1, 3], gap="large")
        sure = 1 - 2 * made.images.std(0).mean(0)  # 0 where half of them are black, half white
        shares = made.chances.clip(1e-12, 1)
        unsure = -(shares * np.log(shares)).sum(2).mean(0).sum(0)  # entropy of what a pixel was drawn from, nats
        with left:
            layout.picture(kept, "what is kept", "The part of the picture that is kept")
            map_of = np.where(
                made.known[..., None],
                rgb(kept[None])[0] // 2 + 64,
                (255 * (1 - sure[..., None]) + BLUE * sure[..., None]),
            ).astype(np.uint8)
            layout.picture(map_of, "how much the completions agree: the bluer the more", "Agreement of the completions")
            warm = (
                np.clip(unsure / max(unsure[~made.known].max(initial=0), 1e-9), 0, 1)[..., None]
                * ~made.known[..., None]
            )
            layout.picture(
                (PAPER * (1 - warm) + np.array([225, 90, 60]) * warm).astype(np.uint8),
                "how unsure the model was when it drew each: entropy",
                "Entropy of each pixel",
            )
        with right:
            contact(
                [("", to_uint8(made.images))],
                key="pixelcnn.completed",
                tile=92,
                alt="Sixteen completions of the picture",
            )
            open_ = ~made.known
            if open_.any():
                nats = made.nats[:, :, open_].sum((1, 2))
                key_figures(
                    [
                        ("drawn anew", f"{int(open_.sum()):,} pixels", f"of {height * width:,}", ""),
                        (
                            "−log p of what was drawn",
                            f"{nats.mean():.1f} nats",
                            f"from {nats.min():.1f} to {nats.max():.1f}",
                            plots.term_colour("nll"),
                        ),
                        (
                            "unsure",
                            f"{unsure[open_].mean():.2f} nats",
                            "entropy of a pixel when it is drawn"
                            + ("; a coin toss has 0.69" if binary else f", in {autoregressive.BARS} ranges"),
                            "",
                        ),
                        (
                            "settled",
                            f"{100 * (sure[open_] > (0.99 if binary else 0.96)).mean():.0f} %",
                            "of these pixels all completions agree" + ("" if binary else ", to five levels of 256"),
                            "",
                        ),
                    ]
                )
            download_button(
                "Completions as PNG",
                lambda: plots.png(contact_sheet(to_uint8(made.images), 8)),
                f"{run.info.id}-completions.png",
                "image/png",
                "pixelcnn.completions",
            )

    finish()

    # --- what a pixel looks back on ---------------------------------------------------------------------------------------

    st.header("What a pixel looks back on", anchor=False)

    @st.fragment
    @plain_errors()
    def back() -> None:
        """The receptive field of one pixel by gradients, beside that of masks alone."""
        with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
            which = layout.option("Pixel", ["where the drawing above stands", "another"], "pixelcnn.which")
            row, column = map(int, found.order[min(stage["pixel"], height * width - 1)])
            if which == "another":
                row = st.slider("Row", 0, height - 1, height // 2, key="pixelcnn.row", width=300, **LINKED)
                column = st.slider("Column", 0, width - 1, width // 2, key="pixelcnn.column", width=300, **LINKED)
            else:
                st.caption(f"Row {row}, column {column}: click any pixel of the large image above to ask about it.")
        slopes = looked_at(run, row, column)
        layers = int(run.info.params["layers"])
        columns = st.columns(3 if filters else 2, gap="large")
        with columns[0]:
            layout.picture(
                tinted(shades(slopes, 0.12), row, column),
                "how much each pixel moves this one: gradients, darker is more",
                "Receptive field by gradients",
            )
        with columns[1]:
            layout.picture(
                tinted((slopes > 0).astype(float), row, column),
                f"all that it sees: {int((slopes > 0).sum())} pixels",
                "All pixels that it sees",
            )
        if filters:
            by_masks, blind = autoregressive.beside_masks(model, layers, row, column)
            picture = tinted(by_masks.astype(float), row, column)
            picture[blind & (slopes > 0)] = (225, 90, 60)
            with columns[2]:
                layout.picture(picture, f"{layers} masked layers alone: red is their blind spot", "The blind spot")
        st.caption(
            "Nothing after the pixel, in the order of drawing, has any slope: by gradients, exactly zero. "
            + (
                "Two stacks, one for the rows above and one for the row itself, leave no blind spot; masked filters do."
                if filters
                else "Row LSTMs hand a state down from row to row, each looking one pixel to both sides: a "
                "triangle up to the first row. What lies beside it stays unseen, which is this model’s own blind spot."
            )
        )

    back()

    # --- sharp or blurred -------------------------------------------------------------------------------------------------

    st.header("The same code, sharp and blurred", anchor=False)
    st.markdown(
        "A decoder that must answer with **one** picture answers with a mean; one that draws answers with **a** picture."
    )

    beside()

    # --- likely and unlikely ----------------------------------------------------------------------------------------------

    st.header("Likely and unlikely", anchor=False)

    @st.fragment
    @plain_errors()
    def likely() -> None:
        """The likeliest and least likely held-out images; and images of other kinds."""
        own = nats(run, "own")
        assert own is not None
        ranks = ranked(run)
        order = np.argsort(ranks)
        some = min(10, len(order) // 2)
        ids = np.concatenate([order[:some], order[len(order) - some :][::-1]])
        contact(
            [("", cached.images(run, tuple(int(i) for i in ids)))],
            key="pixelcnn.likely",
            tile=64,
            captions=[f"{ranks[i]:.0f}" for i in ids],
            ids=ids.tolist(),
            pick="Where is it unlikely?",
            chosen=st.session_state.get("pixelcnn.heat"),
            alt="The likeliest and the least likely images",
            on_change=lambda: st.session_state.update(
                {"pixelcnn.heat": int(st.session_state["pixelcnn.likely"]["pick"])}
            ),
        )
        split_at = ", in black and white split at one half" if binary else ""
        of_what = "−log p(x|y), given its label" if model.classes and split.labels is not None else "−log p(x)"
        st.caption(
            f"The {some} likeliest of {len(ranks)} held-out images, then the {some} least likely; below each "
            f"{of_what}, in nats{split_at}. Click one to see where."
        )
        number = min(layout.number("Image", len(split) - 1, "pixelcnn.heat", width=150), len(split) - 1)
        x = autoregressive.quantize(model, inference.examples(split, [number]).numpy())
        known = None
        if model.classes:
            known = 0 if split.labels is None else int(split.labels[number])
        as_what = "" if known is None else f", given the label “{escape_markdown(labels[known]) if labels else known}”"
        cost = autoregressive.surprise(model, x, known)[0].sum(0)
        heat = np.clip(cost / max(3, np.quantile(cost, 0.98)), 0, 1)[..., None]
        left, right = st.columns([2, 3], gap="large")
        with left:
            layout.picture(to_uint8(x)[0], escape_markdown(image_title(run, number)), "The image as it is modelled")
            warm = np.array([225, 90, 60])
            layout.picture(
                (255 * (1 - heat) + warm * heat).astype(np.uint8),
                f"−log p of each pixel{as_what}: {cost.sum():.1f} nats in all",
                "Where the image is unlikely",
            )
            words = f"−log₂ p{'(x|y)' if as_what else '(x)'} by the number of values"
            key_figures(
                [("bits per dimension", f"{bits(float(cost.sum()), x[0].size):.3f}", words, plots.term_colour("nll"))]
            )
        with right:
            kinds = {
                "own": "held-out images",
                "inverted": "half of them, inverted",
                "noise": "coin tosses" if binary else "noise",
                "empty": "an empty image",
            }
            others = {"fashion": "garments (Fashion-MNIST)", "mnist": "digits (MNIST)"}
            others.pop("mnist" if run.info.data.name in ("mnist", "digits") else run.info.data.name, None)
            if "mnist" in others and not library.sets()["mnist"].here:
                others = {key: name for key, name in others.items() if key != "mnist"} | {"digits": "digits"}
            absent = [name for key, name in others.items() if not library.sets()[key].here]
            kinds |= {key: name for key, name in others.items() if name not in absent}
            rows = []
            for kind, name in kinds.items():
                values = nats(run, kind)
                if values is not None:
                    rows.append(
                        {
                            "images": name,
                            "−log p, nats": f"{values.mean():.1f}",
                            "least": f"{values.min():.1f}",
                            "most": f"{values.max():.1f}",
                            "likelier than half of the held-out": f"{100 * (values < np.median(own)).mean():.0f} %",
                        }
                    )
            st.dataframe(rows, hide_index=True, width="stretch")
            unlike = [
                name
                for kind, name in kinds.items()
                if kind not in ("own", "noise")
                and (values := nats(run, kind)) is not None
                and np.median(values) < np.median(own)
            ]
            if unlike:
                st.caption(
                    f"A surprise that is well known shows here: {', '.join(unlike)} – likelier than half of the "
                    "images of the kind that the model learnt from. Smooth is likely: a high likelihood does not "
                    "mean “like the training images” (Nalisnick et al., 2019, arXiv:1810.09136)."
                )
            else:
                st.caption(
                    "The surprise of Nalisnick et al. (2019), arXiv:1810.09136, that other images are likelier than "
                    "those of the training, does not show for these."
                )
            if absent:
                st.caption(
                    f"Not on this computer, and so not compared: {', '.join(absent)}. Train offers the download."
                )

    likely()
    with st.expander("What to look for"):
        st.markdown(
            "- **Where it hesitates**: inside a stroke the next pixel is nearly certain, at its ends it is open.\n"
            "- **Temperature**: below 1 the likelier value wins more often, and images grow smooth and alike.\n"
            "- **Completions** of a half agree where the half settles the digit, and differ where it does not.\n"
            "- **The order** is arbitrary: train one by columns (a knob on Train) and compare the nats."
        )
    with st.expander("Why"):
        st.markdown(
            "By the chain rule any joint distribution is a product of conditionals, in any order of the pixels. A PixelCNN "
            "is one network for all of them, whose filters are masked so that none sees what comes later; a PixelRNN is "
            "one whose states are handed on. Two stacks avoid the blind spot of masked filters. The likelihood is exact; "
            "drawing costs a pass per pixel, unless what was computed once is kept. Section 5.5; van den Oord et al. "
            "(2016), arXiv:1601.06759 and arXiv:1606.05328."
        )
