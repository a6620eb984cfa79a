"""The pages' doors to `aecore.explore` and `aecore.measure`, remembered by the run's id, weights and plain values."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple

import numpy as np
import streamlit as st

from aecore import Run, RunError, inference
from aecore.data.base import DataSpec, Split
from aecore.explore import examples, generate, importance, maps, perturb, reconstruct, traverse
from aecore.explore.images import to_uint8
from aecore.explore.planes import PrincipalPlane, plane, principal_plane, through
from aecore.explore.projection import SLOW, Method, Projection
from aecore.measure import aggregate_posterior, reconstruction, statistics
from aecore.measure.latents import Units
from aecore.runs import maps as stored_maps
from aecore.runs.library import find
from app import library
from app.library import has_gaussian_prior, label_of

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
    model = library.model(run)
    if "encode" in run.entry.abilities:
        return statistics(model, library.data(run).test)
    z = generate.generate(model, 2000)[1]
    assert z is not None
    return Units(z.mean(0), z.std(0), None, np.arange(z.shape[1]), np.ones(z.shape[1], bool), 0, None)


@remember(max_entries=16)
def ranking(run: Run) -> np.ndarray:
    """The first held-out images, the worst reconstructed first: their ids."""
    split = library.data(run).test
    return reconstruct.worst(library.model(run), split, min(len(split), RANKED), RANKED)[0]


def choice(run: Run, n: int, seed: int, label: int | None = None, worst: bool = False) -> np.ndarray:
    """Ids of n held-out images, of one class if asked: a seeded choice, or the worst reconstructed."""
    split = library.data(run).test
    if worst:
        ids = ranking(run)
    elif label is None:
        return examples.choose(split, n, seed)
    else:
        ids = np.random.default_rng(seed).permutation(len(split))
    if label is not None and split.labels is not None:
        ids = ids[split.labels[ids] == label]
    return ids[:n]


@remember(max_entries=64)
def images(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3])"""
    return examples.images(getattr(library.data(run), half), np.array(ids))


@remember(max_entries=64)
def reconstructions(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3]), of the undamaged images."""
    return examples.reconstructions(library.model(run), getattr(library.data(run), half), np.array(ids))


@remember(max_entries=64)
def code_of(run: Run, ids: tuple[int, ...], half: str = "test") -> np.ndarray:
    """(n, D)"""
    return examples.codes(library.model(run), getattr(library.data(run), half), np.array(ids))


@remember(max_entries=256)
def way(run: Run, image: np.ndarray, damaged: bool = False, seed: int = 0) -> Way:
    """One image, uint8 (H, W[, 3]), through encoder, code and decoder; damage: another for each seed."""
    model = library.model(run)
    found = reconstruct.passage(model, reconstruct.channels_first(image) / 255, damaged, seed)
    pair = found["input"][None], found["output"][None]
    shown, before, after = (to_uint8(np.asarray(found[name])[None])[0] for name in ("input", "seen", "output"))
    return Way(
        shown,
        before,
        after,
        np.asarray(found["code"]).reshape(-1),
        found["std"],
        float(reconstruction.mse(*pair)[0]),
        float(reconstruction.psnr(*pair)[0]),
    )


@remember(max_entries=256)
def terms(run: Run, image: np.ndarray, seed: int = 0) -> dict[str, float]:
    """What one image, uint8 (H, W[, 3]), adds to each term of the loss; FieldError where a network of it is missing."""
    return reconstruct.terms(library.model(run), image, seed)


@remember(max_entries=64)
def strips(run: Run, base: tuple[float, ...], which: tuple[int, ...], steps: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """(tiles uint8 (U, S, H, W[, 3]), values (U, S)): each unit of `which` moved while the others stay."""
    model = library.model(run)
    low, high = traverse.spans(model, units(run))
    return traverse.sheet(model, np.array(base, np.float32), list(which), low, high, steps)


@remember(max_entries=128)
def decoded(run: Run, code: tuple[float, ...]) -> np.ndarray:
    """uint8 (H, W[, 3]), exactly."""
    return traverse.picture(library.model(run), np.array(code, np.float32))


def base(run: Run, kind: str, example: int = 0, seed: int = 0) -> np.ndarray:
    """(D,) where a traversal starts: "mean", "image" or "random draw"."""
    model = library.model(run)
    if kind == "image":
        return traverse.image_code(model, library.data(run).test, example)
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
    return traverse.interpolate(library.model(run), ends[0], ends[1], steps, how)


def stored(run: Run, method: str, n: int, half: str) -> bool:
    """Whether a slow map is there."""
    return stored_maps.stored(run, method, n, half) is not None


@remember(max_entries=8, show_spinner="Placing the codes on a plane …")
def latent_map(run: Run, n: int, method: Method, pair: tuple[int, int], half: Literal["test", "train"]) -> maps.MapView:
    """A slow method must have been computed before (see `maps.stored`)."""
    points = stored_maps.stored(run, method, n, half) if method in SLOW else None
    data, projection = library.data(run), Projection(method, pair, points=points)
    split = getattr(data, half)
    return maps.latent_map(library.model(run), split, projection, n, class_names=data.classes, split_name=half)


@remember(max_entries=32)
def generated(
    run: Run, n: int, temperature: float, seed: int, label: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(images float (n, C, H, W), codes (n, D) or None); for a model without a prior: what N(0, T²I) decodes to."""
    model = library.model(run)
    if "sample" in run.entry.abilities:
        return generate.generate(model, n, temperature, seed, label)
    z = temperature * np.random.default_rng(seed).standard_normal((n, len(units(run).mean)))
    return inference.decode(model, z), z.astype(np.float32)


@st.cache_resource(max_entries=3, show_spinner=False)
def _compared(spec: str) -> Split:
    return generate.kept(library.load(DataSpec.model_validate_json(spec)).train, COMPARED)


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
    ids = examples.choose(library.data(run).test, 100)
    real = examples.images(library.data(run).test, ids).astype(np.float32) / 255
    real = real[:, None] if real.ndim == 3 else real.transpose(0, 3, 1, 2)
    return float(np.median(generate.nearest(real, compared(run), COMPARED)[1]))


def small(images: np.ndarray) -> np.ndarray:
    """Floats (n, C, H, W) as uint8 pictures."""
    return to_uint8(images)


POINTS = 1500


LOOKED_AT = 1000  # held-out images over which errors and codes are taken


GRID = 21  # tiles a side


REACH = 3.2  # standard deviations of the prior that a plane shows


def example(identity: str) -> Run | None:
    """A trained example that comes with the project; None where it was taken away."""
    try:
        run = find(identity)
    except RunError:
        return None
    return run if library.has_weights(run) else None


class Facts(NamedTuple):
    """codes (n, D).  spread: RMS distance of two codes.  error: squared, per pixel."""

    codes: np.ndarray
    spread: float
    error: float


@remember(max_entries=64)
def facts(run: Run) -> Facts:
    model, test = library.model(run), library.data(run).test
    return Facts(
        inference.encode(model, test, inference.first(test, LOOKED_AT)), perturb.spread_of(model, test), error(run)
    )


@remember(max_entries=64)
def error(run: Run, half: str = "test", limit: int = LOOKED_AT) -> float:
    """Squared error per pixel of the first examples of a half of the data."""
    split = getattr(library.data(run), half)
    ids = inference.first(split, limit)
    x = inference.examples(split, ids).numpy()
    return float(np.square(x - inference.autoencode(library.model(run), split, ids)).mean())


class Square(NamedTuple):
    """A two-unit code: decoded tiles (1, n, n, H, W[, 3]), extent, codes (N, 2) and labels (N,) of held-out images."""

    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray
    labels: np.ndarray | None


@remember(max_entries=32)
def square(run: Run) -> Square:
    """The plane of a two-unit code: ± REACH where there is a prior N(0, I), else around all but the outermost codes."""
    model, test = library.model(run), library.data(run).test
    ids = examples.choose(test, POINTS)
    z = examples.codes(model, test, ids)
    low, high = np.full(2, -REACH), np.full(2, REACH)
    if not ("sample" in run.entry.abilities and has_gaussian_prior(run)):
        low, high = np.quantile(z, 0.005, 0), np.quantile(z, 0.995, 0)
    across, up = np.array([high[0] - low[0], 0.0]), np.array([0.0, high[1] - low[1]])
    tiles = plane(model, low, across, up, GRID)[None]
    labels = None if test.labels is None else test.labels[ids]
    return Square(tiles, (float(low[0]), float(high[0]), float(low[1]), float(high[1])), z, labels)


class Projected(NamedTuple):
    """As Square, of a larger code in its principal plane, and that plane."""

    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray
    labels: np.ndarray | None
    plane: PrincipalPlane


@remember(max_entries=32)
def projected(run: Run) -> Projected:
    """Codes in the plane of their first two principal components."""
    model, test = library.model(run), library.data(run).test
    some = examples.choose(test, POINTS)
    z = examples.codes(model, test, some)
    found = principal_plane(z)
    points = found.points(z)
    reach = float(np.quantile(np.abs(points), 0.998))
    origin = found.centre - reach * (found.axes[0] + found.axes[1])
    tiles = plane(model, origin, 2 * reach * found.axes[0], 2 * reach * found.axes[1], GRID)[None]
    labels = None if test.labels is None else test.labels[some]
    return Projected(tiles, (-reach, reach, -reach, reach), points, labels, found)


class Moments(NamedTuple):
    """A plane at several moments of a training: names, tiles (S, n, n, H, W[, 3]), extent, codes (S, N, 2), labels."""

    names: list[str]
    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray | None
    labels: np.ndarray | None
    marks: list[tuple[float, float, str]]


FINE = 17  # tiles a side where there are many moments


@remember(max_entries=16, show_spinner="Decoding the moments of this training …")
def moments(run: Run, three: tuple[int, int, int]) -> Moments:
    """The plane of a two-unit code, or, of a larger one, through the codes of three images at each moment."""
    test, steps = library.data(run).test, run.steps("snapshots")
    epochs = {row["step"]: row["epoch"] for row in run.rows()[0]}
    models = [library.model(run, step) for step in steps] + [library.model(run)]
    names = [f"epoch {epochs[step]:.2g}" if step in epochs else f"step {step:,}" for step in steps] + ["the end"]
    if run.info.params["code"] == 2:
        view = square(run)
        low, high = np.array(view.extent[::2], np.float32), np.array(view.extent[1::2], np.float32)
        across, up = np.array([high[0] - low[0], 0.0]), np.array([0.0, high[1] - low[1]])
        ids = examples.choose(test, 500)
        points = np.stack([examples.codes(model, test, ids) for model in models])
        labels = None if test.labels is None else test.labels[ids]
        tiles = np.stack([plane(model, low, across, up, FINE) for model in models])
        return Moments(names, tiles, view.extent, points, labels, [])
    tiles, places = [], []
    for model in models:
        origin, across, up, places = through(examples.codes(model, test, np.array(three)))
        tiles.append(plane(model, origin, across, up, FINE))
    marks = [(u, v, label_of(run, i) or str(i)) for (u, v), i in zip(places, three, strict=True)]
    return Moments(names, np.stack(tiles), (0.0, 1.0, 0.0, 1.0), None, None, marks)


@remember(max_entries=64)
def clouds(run: Run, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of Q(z|x) of held-out images, each (n, D)."""
    return aggregate_posterior.clouds(library.model(run), library.data(run).test, np.array(ids))


@remember(max_entries=64)
def against_prior(run: Run) -> aggregate_posterior.Aggregate | None:
    """None for a model without a prior."""
    if "sample" not in run.entry.abilities:
        return None
    return aggregate_posterior.aggregate(library.model(run), library.data(run).test)


@remember(max_entries=64)
def in_holes(run: Run, n: int) -> np.ndarray:
    """Pictures (n, H, W[, 3]) decoded in the n largest holes between the codes."""
    model, test = library.model(run), library.data(run).test
    z = inference.encode(model, test, inference.first(test, POINTS))
    draws = np.random.default_rng(0).standard_normal((4000, z.shape[1]))
    return to_uint8(inference.decode(model, aggregate_posterior.holes(z, draws, n)))


@remember(max_entries=64)
def weighed(run: Run, example: int, k: int, seed: int) -> importance.Draws:
    """k weighed draws of a held-out image's posterior."""
    return importance.draws(library.model(run), library.data(run).test, example, k, seed)


@remember(max_entries=64)
def curve_of(run: Run, ids: tuple[int, ...], ks: tuple[int, ...], seed: int) -> np.ndarray:
    """The bound of held-out images for each number of draws, (n, len(ks))."""
    return importance.bounds(library.model(run), library.data(run).test, np.array(ids), ks, seed)
