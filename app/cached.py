"""What is kept between two runs of a page: results of `aecore.explore` and `aecore.measure` for a run's model and data.

A result is found again by the run's folder, the time at which its weights were written, and the other arguments, which
are plain values. Results belong to all visitors.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np

from aecore import Run, RunError, inference
from aecore.data.base import DataSpec, Split
from aecore.explore import code_planes, examples, generate, maps, perturb, reconstruct, traverse
from aecore.explore.code_planes import Projected, Square
from aecore.explore.images import to_uint8
from aecore.explore.projection import SLOW, Method, Projection
from aecore.explore.reconstruct import Way
from aecore.measure import aggregate_posterior, latents, pixel_error
from aecore.measure.latents import Units
from aecore.runs import maps as stored_maps
from aecore.runs.library import find
from app import library
from app.caching import remember, share
from app.library import has_gaussian_prior, label_of

RANKED = 5000  # held-out images among which the worst are found
COMPARED = 10_000  # training images among which the nearest are found
POINTS = 1500  # codes on a plane
LOOKED_AT = 1000  # held-out images over which errors and codes are taken
GRID = 21  # tiles along a side of a plane
FINE = 17  # the same, where there is a plane for each moment of a training
REACH = 3.2  # standard deviations of the prior that a plane shows
SplitName = Literal["test", "train"]


def split_of(run: Run, name: str) -> Split:
    """The held-out examples ("test") or the training examples ("train") with which a run is shown."""
    return getattr(library.data(run), name)


# --- chosen examples, their codes and reconstructions ---------------------------------------------------------------


@remember(max_entries=16)
def ranking(run: Run) -> np.ndarray:
    """Ids of the first RANKED held-out images, the worst reconstructed first."""
    split = split_of(run, "test")
    return reconstruct.worst(library.model(run), split, min(len(split), RANKED), RANKED)[0]


def choice(run: Run, n: int, seed: int, label: int | None = None, worst: bool = False) -> np.ndarray:
    """Ids of n held-out images: a seeded choice, or the worst reconstructed.  label: only those of this class."""
    split = split_of(run, "test")
    if not worst and label is None:
        return examples.choose(split, n, seed)
    ids = ranking(run) if worst else np.random.default_rng(seed).permutation(len(split))
    if label is not None and split.labels is not None:
        ids = ids[split.labels[ids] == label]
    return ids[:n]


@remember(max_entries=64)
def images(run: Run, ids: tuple[int, ...], split: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3])"""
    return examples.images(split_of(run, split), np.array(ids))


@remember(max_entries=64)
def reconstructions(run: Run, ids: tuple[int, ...], split: str = "test") -> np.ndarray:
    """uint8 (n, H, W[, 3]), of the undamaged images."""
    return examples.reconstructions(library.model(run), split_of(run, split), np.array(ids))


@remember(max_entries=64)
def code_of(run: Run, ids: tuple[int, ...], split: str = "test") -> np.ndarray:
    """(n, D)"""
    return examples.codes(library.model(run), split_of(run, split), np.array(ids))


@remember(max_entries=64)
def clouds(run: Run, ids: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of q(z|x) of held-out images, each (n, D)."""
    return aggregate_posterior.clouds(library.model(run), split_of(run, "test"), np.array(ids))


@remember(max_entries=256)
def way(run: Run, image: np.ndarray, damaged: bool = False, seed: int = 0) -> Way:
    """One image, uint8 (H, W[, 3]), through encoder, code and decoder; damaged in another way for each seed."""
    return reconstruct.way(library.model(run), image, damaged, seed)


@remember(max_entries=256)
def terms(run: Run, image: np.ndarray, seed: int = 0) -> dict[str, float]:
    """What one image, uint8 (H, W[, 3]), adds to each term of the loss; FieldError where a network of it is missing."""
    return reconstruct.terms(library.model(run), image, seed)


# --- figures over many examples -------------------------------------------------------------------------------------


class Facts(NamedTuple):
    """codes: (n, D).  spread: root mean squared distance of two codes.  error: squared, per pixel."""

    codes: np.ndarray
    spread: float
    error: float


@remember(max_entries=16)
def units(run: Run) -> Units:
    """Statistics of the code over held-out images; of a model without an encoder, over samples from its prior."""
    model = library.model(run)
    if "encode" in run.entry.abilities:
        return latents.statistics(model, split_of(run, "test"))
    z = generate.generate(model, 2000)[1]
    assert z is not None
    return latents.of_samples(z)


@remember(max_entries=64)
def facts(run: Run) -> Facts:
    """Codes of held-out images, their spread, and the error of their reconstructions."""
    model, test = library.model(run), split_of(run, "test")
    codes = inference.encode(model, test, inference.first(test, LOOKED_AT))
    return Facts(codes, perturb.spread_of(model, test), error(run))


@remember(max_entries=64)
def error(run: Run, split: str = "test", limit: int = LOOKED_AT) -> float:
    """Squared error per pixel of the first examples of a split."""
    return pixel_error.of_model(library.model(run), split_of(run, split), limit)


@remember(max_entries=64)
def against_prior(run: Run) -> aggregate_posterior.Aggregate | None:
    """All codes together beside the prior; None for a model without a prior."""
    if "sample" not in run.entry.abilities:
        return None
    return aggregate_posterior.aggregate(library.model(run), split_of(run, "test"))


# --- codes that move ------------------------------------------------------------------------------------------------


@remember(max_entries=64)
def strips(run: Run, base: tuple[float, ...], which: tuple[int, ...], steps: int = 17) -> tuple[np.ndarray, np.ndarray]:
    """(tiles uint8 (U, S, H, W[, 3]), values (U, S)): each dimension of `which` moved while the others stay."""
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
        return traverse.image_code(model, split_of(run, "test"), example)
    if kind == "random draw":
        return traverse.random_draw(model, seed, units(run))
    return traverse.prior_mean(model, units(run))


def ends_of(run: Run, a: int, b: int) -> np.ndarray:
    """Codes (2, D) of held-out images a and b; of samples with the seeds a and b, where nothing is encoded."""
    if "encode" in run.entry.abilities:
        return code_of(run, (a, b))
    return np.stack([base(run, "random draw", seed=seed) for seed in (a, b)])


@remember(max_entries=32)
def between(run: Run, a: int, b: int, how: Literal["linear", "spherical"], steps: int = 24) -> np.ndarray:
    """Frames uint8 (steps, H, W[, 3]) between the two codes of `ends_of`."""
    first, last = ends_of(run, a, b)
    return traverse.interpolate(library.model(run), first, last, steps, how)


# --- planes ---------------------------------------------------------------------------------------------------------


class Moments(NamedTuple):
    """A plane at S moments of a training.

    names: of the moments.  tiles: uint8 (S, n, n, H, W[, 3]).  codes: (S, N, 2), labels: (N,), or None.
    marks: (x, y, text) of places that are named.
    """

    names: list[str]
    tiles: np.ndarray
    extent: tuple[float, float, float, float]
    codes: np.ndarray | None
    labels: np.ndarray | None
    marks: list[tuple[float, float, str]]


def stored(run: Run, method: str, n: int, split: str) -> bool:
    """Whether the map of a slow method has been computed and stored."""
    return stored_maps.stored(run, method, n, split) is not None


@remember(max_entries=8, show_spinner="Placing the codes on a plane …")
def latent_map(run: Run, n: int, method: Method, pair: tuple[int, int], split: SplitName) -> maps.MapView:
    """The picture of the Map page. That of a slow method must have been stored before."""
    points = stored_maps.stored(run, method, n, split) if method in SLOW else None
    projection, classes = Projection(method, pair, points=points), library.data(run).classes
    return maps.latent_map(
        library.model(run), split_of(run, split), projection, n, class_names=classes, split_name=split
    )


@remember(max_entries=32)
def square(run: Run) -> Square:
    """The plane of a code of two numbers: ± REACH where the prior is N(0, I), else around the codes."""
    within_prior = "sample" in run.entry.abilities and has_gaussian_prior(run)
    reach = REACH if within_prior else None
    return code_planes.square(library.model(run), split_of(run, "test"), reach, GRID, POINTS)


@remember(max_entries=32)
def projected(run: Run) -> Projected:
    """Codes in the plane of their first two principal components."""
    return code_planes.projected(library.model(run), split_of(run, "test"), GRID, POINTS)


@remember(max_entries=16, show_spinner="Decoding the moments of this training …")
def moments(run: Run, three: tuple[int, int, int]) -> Moments:
    """The plane of a code of two numbers at each snapshot; of a larger code, the plane through three images’ codes."""
    test, steps = split_of(run, "test"), run.steps("snapshots")
    models = [library.model(run, step) for step in steps] + [library.model(run)]
    epochs = {row["step"]: row["epoch"] for row in run.rows()[0]}
    names = [f"epoch {epochs[step]:.2g}" if step in epochs else f"step {step:,}" for step in steps] + ["the end"]
    if run.info.params["code"] == 2:
        planes = code_planes.squares(models, test, square(run).extent, FINE, 500)
        return Moments(names, planes.tiles, planes.extent, planes.codes, planes.labels, [])
    tiles, places = code_planes.corners(models, test, three, FINE)
    marks = [(u, v, label_of(run, i) or str(i)) for (u, v), i in zip(places, three, strict=True)]
    return Moments(names, tiles, (0.0, 1.0, 0.0, 1.0), None, None, marks)


# --- generated images -----------------------------------------------------------------------------------------------


@remember(max_entries=32)
def generated(
    run: Run, n: int, temperature: float, seed: int, label: int | None = None
) -> tuple[np.ndarray, np.ndarray | None]:
    """(images float (n, C, H, W), codes (n, D) or None); for a model without a prior: what N(0, T²I) decodes to."""
    model = library.model(run)
    if "sample" in run.entry.abilities:
        return generate.generate(model, n, temperature, seed, label)
    return generate.decode_noise(model, n, temperature, seed)


@share(max_entries=3)
def _compared(spec: str) -> Split:
    return generate.kept(library.load(DataSpec.model_validate_json(spec)).train, COMPARED)


def compared(run: Run) -> Split:
    """The training images among which the nearest are found, as pixels."""
    return _compared((run.info.shown or run.info.data).model_dump_json())


@remember(max_entries=32, show_spinner="Looking for the nearest training images …")
def nearest(run: Run, n: int, temperature: float, seed: int, label: int | None = None) -> tuple[np.ndarray, np.ndarray]:
    """(ids, squared distances) of the training images that are closest to the generated ones."""
    return generate.nearest(generated(run, n, temperature, seed, label)[0], compared(run), COMPARED)


@remember(max_entries=32)
def typical(run: Run) -> float:
    """Median squared distance of 100 held-out images to their nearest training images."""
    return generate.typical_distance(split_of(run, "test"), compared(run), 100, COMPARED)


@remember(max_entries=64)
def in_holes(run: Run, n: int) -> np.ndarray:
    """uint8 (n, H, W[, 3]), decoded in the n largest holes between the codes of held-out images."""
    return generate.in_holes(library.model(run), split_of(run, "test"), n, POINTS)


def small(images: np.ndarray) -> np.ndarray:
    """Floats (n, C, H, W) as uint8 pictures."""
    return to_uint8(images)


def example(identity: str) -> Run | None:
    """A trained example that comes with the project; None where it was taken away."""
    try:
        run = find(identity)
    except RunError:
        return None
    return run if library.has_weights(run) else None
