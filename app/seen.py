"""The pages' doors to `aecore.explore` and `aecore.measure`, remembered by the run's id, weights and plain values."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run
from aecore.data.base import DataSpec, Split
from aecore.explore import codes, generate, maps, passage, traverse
from aecore.measure import passing, reconstruction, statistics
from aecore.measure.units import Units
from app import shelf

RANKED = 5000  # held-out images that are searched for the worst
COMPARED = 10_000  # training images that are searched for the nearest


def stamp(run: Run) -> tuple[str, float]:
    """Tells one run's weights from all others."""
    file = run.path / "weights.safetensors"
    return str(run.path), file.stat().st_mtime if file.exists() else 0.0


remember = partial(st.cache_data, show_spinner=False, hash_funcs={Run: stamp})


class Way(NamedTuple):
    """One image's way: uint8 (H, W[, 3]) pictures; code (D,), std (D,) or None; figures by name."""

    shown: np.ndarray
    seen: np.ndarray
    output: np.ndarray
    code: np.ndarray
    std: np.ndarray | None
    mse: float
    psnr: float


@remember(max_entries=16)
def units(run: Run) -> Units:
    """Over held-out images; of a model without an encoder, over draws from its prior."""
    model = shelf.model(run)
    if "encode" in run.entry.abilities:
        return statistics(model, shelf.data(run).test)
    z = generate.generate(model, 2000)[1]
    assert z is not None
    return Units(z.mean(0), z.std(0), None, np.arange(z.shape[1]), np.ones(z.shape[1], bool), 0, None)


@remember(max_entries=16)
def ranking(run: Run) -> np.ndarray:
    """The first held-out images, the worst reconstructed first: their ids."""
    split = shelf.data(run).test
    return passage.worst(shelf.model(run), split, min(len(split), RANKED), RANKED)[0]


def choice(run: Run, n: int, seed: int, label: int | None = None, worst: bool = False) -> np.ndarray:
    """Ids of n held-out images, of one class if asked: a seeded choice, or the worst reconstructed."""
    split = shelf.data(run).test
    if worst:
        ids = ranking(run)
    elif label is None:
        return codes.choose(split, n, seed)
    else:
        ids = np.random.default_rng(seed).permutation(len(split))
    if label is not None and split.labels is not None:
        ids = ids[split.labels[ids] == label]
    return ids[:n]


@remember(max_entries=64)
def images(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3])"""
    return codes.images(getattr(shelf.data(run), half), np.array(ids))


@remember(max_entries=64)
def reconstructions(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3]), of the undamaged images."""
    return codes.reconstructions(shelf.model(run), getattr(shelf.data(run), half), np.array(ids))


@remember(max_entries=64)
def code_of(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """(n, D)"""
    return codes.codes(shelf.model(run), getattr(shelf.data(run), half), np.array(ids))


@remember(max_entries=256)
def way(run: Run, image: np.ndarray, damaged: bool = False, seed: int = 0) -> Way:
    """One image, uint8 (H, W[, 3]), through encoder, code and decoder; damage: another for each seed."""
    model = shelf.model(run)
    found = passage.passage(model, passage.channels_first(image) / 255, damaged, seed)
    pair = found["input"][None], found["output"][None]
    shown, before, after = (codes.to_uint8(np.asarray(found[name])[None])[0] for name in ("input", "seen", "output"))
    return Way(
        shown, before, after, np.asarray(found["code"]).reshape(-1), found["std"],
        float(reconstruction.mse(*pair)[0]), float(reconstruction.psnr(*pair)[0]),
    )  # fmt: skip


@remember(max_entries=256)
def terms(run: Run, image: np.ndarray, seed: int = 0) -> dict[str, float]:
    """What one image, uint8 (H, W[, 3]), adds to each term of the loss; FieldError where a network of it is missing."""
    return passage.terms(shelf.model(run), image, seed)


@remember(max_entries=64)
def strips(run: Run, base: tuple[float, ...], which: tuple[int, ...], steps: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """(tiles uint8 (U, S, H, W[, 3]), values (U, S)): each unit of `which` moved while the others stay."""
    model = shelf.model(run)
    low, high = traverse.spans(model, units(run))
    return traverse.sheet(model, np.array(base, np.float32), list(which), low, high, steps)


@remember(max_entries=128)
def decoded(run: Run, code: tuple[float, ...]) -> np.ndarray:
    """uint8 (H, W[, 3]), exactly."""
    return traverse.picture(shelf.model(run), np.array(code, np.float32))


def base(run: Run, kind: str, example: int = 0, seed: int = 0) -> np.ndarray:
    """(D,) where a traversal starts: "mean", "image" or "random draw"."""
    model = shelf.model(run)
    if kind == "image":
        return traverse.image_code(model, shelf.data(run).test, example)
    return (
        traverse.random_draw(model, seed, units(run))
        if kind == "random draw"
        else traverse.prior_mean(model, units(run))
    )


def ends_of(run: Run, a: int, b: int) -> np.ndarray:
    """Codes (2, D) of held-out images a and b; of draws a and b, where nothing is encoded."""
    if "encode" in run.entry.abilities:
        return code_of(run, (a, b))
    return np.stack([base(run, "random draw", seed=seed) for seed in (a, b)])


@remember(max_entries=32)
def between(run: Run, a: int, b: int, how: Literal["linear", "spherical"], steps: int = 24) -> np.ndarray:
    """Frames uint8 (steps, H, W[, 3]) between the two `ends`."""
    ends = ends_of(run, a, b)
    return traverse.interpolate(shelf.model(run), ends[0], ends[1], steps, how)


def stored(run: Run, method: str, n: int, half: str) -> bool:
    """Whether a slow map is there."""
    return maps.stored(run, method, n, half) is not None


@remember(max_entries=8, show_spinner="Placing the codes on a plane …")
def latent_map(
    run: Run, n: int, method: maps.Method, pair: tuple[int, int], half: Literal["test", "train"]
) -> maps.MapView:
    """A slow method must have been computed before (see `maps.stored`)."""
    points = maps.stored(run, method, n, half) if method in maps.SLOW else None
    return maps.latent_map(shelf.model(run), shelf.data(run), n, method, half, points=points, units=pair)


@remember(max_entries=32)
def generated(
    run: Run, n: int, temperature: float, seed: int, label: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(images float (n, C, H, W), codes (n, D) or None); for a model without a prior: what N(0, T²I) decodes to."""
    model = shelf.model(run)
    if "sample" in run.entry.abilities:
        return generate.generate(model, n, temperature, seed, label)
    z = temperature * np.random.default_rng(seed).standard_normal((n, len(units(run).mean)))
    return passing.decode(model, z), z.astype(np.float32)


@st.cache_resource(max_entries=3, show_spinner=False)
def _compared(spec: str) -> Split:
    return generate.kept(shelf.load(DataSpec.model_validate_json(spec)).train, COMPARED)


def compared(run: Run) -> Split:
    """The training images that are searched for the nearest, as pixels."""
    return _compared((run.info.shown or run.info.data).model_dump_json())


@remember(max_entries=32, show_spinner="Looking for the nearest training images …")
def nearest(run: Run, n: int, temperature: float, seed: int, label: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(ids, squared distances) of the training images that are closest to the generated ones."""
    return generate.nearest(generated(run, n, temperature, seed, label)[0], compared(run), COMPARED)


@remember(max_entries=32)
def typical(run: Run) -> float:
    """Median squared distance of 100 held-out images to their nearest training images."""
    ids = codes.choose(shelf.data(run).test, 100)
    real = codes.images(shelf.data(run).test, ids).astype(np.float32) / 255
    real = real[:, None] if real.ndim == 3 else real.transpose(0, 3, 1, 2)
    return float(np.median(generate.nearest(real, compared(run), COMPARED)[1]))


def small(images: np.ndarray) -> np.ndarray:
    """Floats (n, C, H, W) as uint8 pictures."""
    return codes.to_uint8(images)
