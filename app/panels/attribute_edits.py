"""What the page on attributes computes: edits of codes, remembered, and what a judge reads off them."""

from __future__ import annotations

import html

import numpy as np
import streamlit as st
import torch

from aecore import DataError, Run, inference
from aecore.data import DataSpec
from aecore.explore import edits
from aecore.measure import attribute_classifier, reconstruction
from app import cached, library
from app.figures import plots

KNOWN = 500  # held-out images whose errors say what is usual
LEARNT = 1000  # training images from which directions are taken


def words(name: str) -> str:
    """An attribute as people say it."""
    return name.replace("_", " ").lower()


@st.cache_resource(max_entries=4, show_spinner=False)
def _judge(spec: str) -> attribute_classifier.Judge | None:
    try:
        return attribute_classifier.judge_of(library.load(DataSpec.model_validate_json(spec)))
    except DataError:
        return None


def read(run: Run, pictures: np.ndarray) -> attribute_classifier.Readings | None:
    """What the judge of a run's data reads off images (n, C, H, W); None where there is no judge."""
    found = _judge((run.info.shown or run.info.data).model_dump_json())
    return None if found is None else attribute_classifier.read(found, torch.from_numpy(pictures))


@cached.remember(max_entries=8, show_spinner="Finding the direction of each attribute …")
def directions(run: Run, how: str) -> np.ndarray:
    train = library.data(run).train
    return edits.directions(library.model(run), train, inference.first(train, LEARNT), how)


@cached.remember(max_entries=256)
def rendered(run: Run, z: np.ndarray, start: np.ndarray, targets: np.ndarray, how: str) -> np.ndarray:
    """(n, C, H, W), of a code whose attributes go from `start` to `targets`."""
    along = None if library.model(run).attributes else directions(run, how)
    return edits.render(library.model(run), z, start, targets, along)


@cached.remember(max_entries=64)
def coded(run: Run, example: int) -> tuple[np.ndarray, np.ndarray]:
    """Code (D,) and attributes (A,) of a held-out image."""
    test = library.data(run).test
    z = inference.encode(library.model(run), test, np.array([example]), told=True)
    return z[0], inference.attributes_of(test, [example])[0]


@cached.remember(max_entries=16)
def usual_error(run: Run) -> float:
    """Squared error per value that 99 of 100 held-out images stay below."""
    test = library.data(run).test
    ids = inference.first(test, KNOWN)
    back = inference.autoencode(library.model(run), test, ids)
    return float(np.quantile(reconstruction.mse(inference.examples(test, ids).numpy(), back), 0.99))


@cached.remember(max_entries=64)
def drawn(run: Run, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A code (D,) from the prior, and attributes (A,) of some training image."""
    model, train = library.model(run), library.data(run).train
    z = model.prior.sample(1, next(model.parameters()), 1.0, torch.Generator().manual_seed(seed))[0].numpy()
    return z, inference.attributes_of(train, [seed * 7919 % len(train)])[0]


def bars(names: tuple[str, ...], before: np.ndarray, after: np.ndarray, target: np.ndarray) -> None:
    """The judge's reading of every attribute, before and after; marked where it should be."""
    rows = ""
    bar = '<i style="position:absolute;left:0;{place};width:{width:.1f}%;background:{colour}"></i>'
    for name, b, a, t in zip(names, before, after, target, strict=True):
        wrong = (a > 0.5) != (t > 0.5)
        moved = abs(a - b) > 0.5
        colour = plots.term_colour("adv") if wrong else plots.term_colour("recon")
        weight = 650 if moved or wrong else 400
        said = f"{words(name)}: {100 * b:.0f} % before, {100 * a:.0f} % after, told {'yes' if t > 0.5 else 'no'}"
        rows += (
            f'<div title="{html.escape(said)}" style="display:grid;gap:.7rem;'
            "grid-template-columns:minmax(7rem,10.5rem) 1fr 6.5rem;"
            f'align-items:center;margin:.15rem 0"><span style="font-weight:{weight};text-align:right">'
            f'{html.escape(words(name))}</span><span style="position:relative;height:1.05rem;border-radius:4px;'
            'background:rgba(128,135,144,.16);overflow:hidden">'
            + bar.format(place="top:0;bottom:55%", width=100 * b, colour="rgba(128,135,144,.75)")
            + bar.format(place="top:50%;bottom:0", width=100 * a, colour=colour)
            + '</span><span style="font-variant-numeric:tabular-nums">'
            f"{100 * b:.0f} → {100 * a:.0f} %{' ✗' if wrong else ''}</span></div>"
        )
    st.html(f'<div role="img" aria-label="What a judge reads before and after">{rows}</div>')
