"""The slow studies: `make study` runs what docs/study.jsonl does not hold yet, and writes docs/study.md from it.

Every line of docs/study.jsonl is one measurement that was run; delete a line to have it run again.
`python -m tests.study stability modes` runs only these parts.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor, as_completed
from copy import copy
from functools import cache
from itertools import chain
from multiprocessing import get_context
from typing import Any, NamedTuple

import numpy as np
import torch
from sklearn.cluster import KMeans
from torch import Tensor

from aecore import CATALOG, Batch, Data, DataSpec, Diverged, Model, Plan, Training
from aecore import data as datasets
from aecore import device as devices
from aecore.catalog import seeded_build
from aecore.data.base import Images, Split
from aecore.data.sets.gaussians import STD, centres
from aecore.inference import device_of, encode, examples, first, map_batches
from aecore.measure import attribute_classifier, attribute_edits, clustering, coverage, likelihood, report, transport
from aecore.models.autoregressive import ORDERS, PixelByPixel, PixelCNNDecoder
from aecore.models.entry import Entry
from aecore.runs.library import find
from aecore.tasks import recommend
from aecore.training.loop import evaluate
from tests.chromium import ROOT
from tests.claims import gaussians

RESULTS, PAGE = ROOT / "docs/study.jsonl", ROOT / "docs/study.md"
KILLS = 20
ABLATED = 1  # epochs
MANY, FEW = 10_000, 1500  # images of the table of stability, and fewer for models that go over them pixel by pixel
SEEDS = {
    "stability": range(5),
    "modes": range(5),
    "likelihood": range(3),
    "figures": range(3),
    "ablation": range(1),
    "cost": range(1),
    "ratings": range(3),
    "orders": range(3),
    "examples": range(1),
    "pixels": range(3),
}


class Unit(NamedTuple):
    """One measurement: part of the study, what is trained, on what, with which seed."""

    part: str
    model: str
    data: str
    seed: int


# --- data -------------------------------------------------------------------------------------------------------------


def coloured(data: Data) -> Data:
    """Each digit in a colour of its own on a ground of its own: images of three channels, always the same ones."""

    def paint(split: Images, seed: int) -> Images:
        grey = split.pixels.float() / 255
        generator = torch.Generator().manual_seed(seed)
        ink, ground = torch.rand(2, len(grey), 3, 1, 1, generator=generator)
        mixed = grey * (0.5 + 0.5 * ink) + (1 - grey) * 0.4 * ground
        return Images((255 * mixed).round().to(torch.uint8), split.labels)

    return dataclasses.replace(
        data, title="coloured digits", shape=(3, *data.shape[1:]), train=paint(data.train, 0), test=paint(data.test, 1)
    )


class Binarised(Split):
    """A split whose pixels are drawn as 0 or 1, with their grey value as probability, anew each time they are seen.

    fixed: a seed with which they are drawn once and for all, for held-out images.
    """

    def __init__(self, split: Split, fixed: int | None = None):
        self.split, self.labels, self.fixed = split, split.labels, None
        if fixed is not None:
            x = examples(split, first(split))
            self.fixed = torch.bernoulli(x, generator=torch.Generator().manual_seed(fixed)).to(torch.uint8)

    def __len__(self) -> int:
        return len(self.split)

    def batch(self, index: Tensor) -> Batch:
        batch = self.split.batch(index)
        drawn = torch.bernoulli(batch.x) if self.fixed is None else self.fixed[index.to(self.fixed.device)].float()
        return batch._replace(x=drawn)

    def to(self, device: torch.device | str) -> Binarised:
        there = copy(self)
        there.split = self.split.to(device)
        there.fixed = None if self.fixed is None else self.fixed.to(device)
        return there


@cache
def data_of(name: str, limit: int | None = None) -> Data:
    if name == "25 Gaussians":
        return gaussians()
    if name == "coloured digits":
        return coloured(data_of("digits", limit))
    if name == "MNIST, binarised anew":
        data = datasets.load(DataSpec(name="mnist"))
        return dataclasses.replace(data, train=Binarised(data.train), test=Binarised(data.test, fixed=0))
    return datasets.load(DataSpec(name=name, limit=limit, size=32 if name == "sprites" else None))


# --- what is measured -------------------------------------------------------------------------------------------------


def spread(x: Tensor) -> float:
    """Mean squared distance between two of these examples."""
    flat = x.flatten(1).float()
    return float(2 * flat.var(0, unbiased=True).sum())


def train(key: str, data: Data, seed: int, plan: dict[str, Any], params: dict[str, Any]) -> tuple[Model, dict]:
    """A model trained on the best device there is, on one thread of a CPU, and the last row."""
    model = seeded_build(CATALOG[key], data.shape, CATALOG[key].check(params), seed)
    (row,) = deque(Training(model, data, Plan(**{**CATALOG[key].plan, **plan, "seed": seed})), maxlen=1)
    return model.eval().requires_grad_(False), row


def stability(unit: Unit) -> dict[str, Any]:
    """Five epochs on the defaults: `signs` of a collapse."""
    entry = CATALOG[unit.model]
    data = data_of(unit.data, FEW if "nll" in entry.terms else MANY)
    try:
        model, row = train(unit.model, data, unit.seed, {"epochs": 5, "precision": "fp32", "held_out": 500}, {})
    except Diverged as error:
        return {"NaN": error.term}
    return signs(model.cpu(), entry, data, row)


def signs(model: Model, entry: Entry, data: Data, row: dict[str, Any]) -> dict[str, Any]:
    """What tells a collapse, as far as a trained model has it.

    error: squared error of reconstructions by that of the mean image (1: every image comes back the same).
    variety: spread of draws by that of the data (0: every draw the same).
    active: share of units whose posterior means move with x, where there is a posterior.
    critic: its mean loss in the last row (near 0: it has won; far above chance: it is led astray).
    told: how much dearer images are given codes of others, by their −log p given their own (0: the code is unused).
    """
    found: dict[str, Any] = {}
    ids = first(data.test, 500)
    x = examples(data.test, ids)
    if {"encode", "decode"} <= entry.abilities:
        mean = examples(data.train, first(data.train, 2000)).mean(0)
        x_hat = torch.from_numpy(map_batches(model, data.test, ids, lambda x: model.decode(model.encode(x))))
        found["error"] = float((x - x_hat).square().sum() / (x - mean).square().sum())
    if hasattr(model, "posterior"):
        found["active"] = float((encode(model, data.test, ids).var(0) > 0.01).mean())
    if "sample" in entry.abilities:
        draws = model.sample(200, generator=torch.Generator().manual_seed(0))
        found["variety"] = spread(draws) / spread(model.modelled(x) if isinstance(model, PixelByPixel) else x)
    if "critic" in row["train"]:
        found["critic"] = row["train"]["critic"]
    if isinstance(model, PixelCNNDecoder):
        some = model.modelled(x[:200])
        h = model.encode(x[:200])
        own, other = (float(-model.log_prob_given(some, codes).mean()) for codes in (h, h.roll(1, 0)))
        found["told"] = other / own - 1
    return found


CHANCE = {"vae_gan": math.log(27 / 4)}
"""What a critic's loss is that cannot tell, where that is not log 4."""


def collapsed(entry: Entry, found: dict[str, Any]) -> str:
    """In words, or "", by what a collapse of each family is.

    Reconstruction is judged where it is a term of the objective; elsewhere it may be bad without a collapse. Where a
    critic or the MMD draws codes to the prior, draws should vary as reconstructions do, whose share is 1 − error. Draws
    of a VAE are means of what its decoder leaves open, and alike where that is where things are (sprites): there the
    code tells. Without a reconstruction draws should vary as the data do; far more would be noise.
    """
    recon, kl, critic, mmd = (name in entry.terms for name in ("recon", "kl", "critic", "mmd"))
    variety = found.get("variety")
    if "NaN" in found:
        return f"NaN in {found['NaN']}"
    if recon and found.get("error", 0) > 0.95:
        return "every image comes back the same"
    if variety is not None and recon and not kl and (critic or mmd) and variety < 0.5 * (1 - found["error"]):
        return "draws more alike than reconstructions"
    if variety is not None and not recon and (critic or not kl) and not 0.2 < variety < 2:
        return "all draws alike" if variety < 1 else "draws are noise"
    if found.get("active", 1) == 0:
        return "no unit of the code moves"
    if found.get("critic", 1) < 0.02:
        return "the critic has won"
    if found.get("critic", 1) > 1.15 * CHANCE.get(entry.key, math.log(4)):
        return "the critic is led astray"
    if found.get("told", 1) < 0.02:
        return "the code is unused"
    return ""


def modes(unit: Unit) -> dict[str, Any]:
    """25 Gaussians in the plane: how many are covered by 10,000 draws, and how many draws lie within 3 σ of one."""
    settings = MODES[unit.model]
    model, _ = train(unit.model.split(",")[0], data_of(unit.data), unit.seed, settings[1], settings[0])
    draws = model.cpu().sample(10_000, generator=torch.Generator().manual_seed(0))
    found = coverage.modes(draws, centres(), STD)
    return {"modes": found.covered, "near": found.near, "assigned": found.assigned}


SHORT = {"epochs": 120, "batch": 128, "lr": 5e-3}
MODES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "ali": ({"code": 2, "width": 256, "gamma": 2e-4}, {"epochs": 500, "batch": 256, "lr": 2e-3}),
    "gan": ({"code": 2, "width": 128, "gamma": 3e-4}, SHORT),
    "wgan": ({"code": 2, "width": 128, "lam": 0.01, "critic_steps": 2}, SHORT),
    "wgan, weights clipped": (
        {"code": 2, "width": 128, "lipschitz": "clip", "c": 0.3, "critic_steps": 5},
        {**SHORT, "epochs": 240, "lr": 1e-3},
    ),
}
"""Model → parameters and plan on the 25 Gaussians."""

FULL = {"precision": "fp32", "batch": 100}
LIKELIHOODS: dict[str, tuple[str, dict[str, Any], dict[str, Any], str]] = {
    "vae": ("vae", {"code": 50, "width": 512}, {"epochs": 100, **FULL}, "86.76 (Burda et al., 2015)"),
    "iwae, K = 50": ("iwae", {"code": 50, "width": 512, "K": 50}, {"epochs": 80, **FULL}, "84.78 (Burda et al., 2015)"),
    "pixelcnn": ("pixelcnn", {}, {"epochs": 6, "batch": 128}, "81.30 (fixed; van den Oord et al., 2016)"),
    "pixelrnn": ("pixelrnn", {}, {"epochs": 4, "batch": 128}, "80.54 (fixed; van den Oord et al., 2016)"),
}
"""Label → model, parameters, plan (for a GPU; hours each on a core of a CPU), and the published nats."""
SAMPLES, EXAMPLES = 1000, 500


def log_likelihoods(unit: Unit) -> dict[str, Any]:
    """−log p(x) of held-out binarised digits, nats: exact, or by importance sampling with SAMPLES draws."""
    key, params, plan, _ = LIKELIHOODS[unit.model]
    data = data_of(unit.data)
    start = time.process_time()  # of the one thread, whatever else the machine does
    model, _ = train(key, data, unit.seed, plan, params)
    seconds = time.process_time() - start
    x = examples(data.test, first(data.test, EXAMPLES)).to(device_of(model))
    if hasattr(model, "log_prob"):
        nats = float(torch.cat([model.log_prob(part) for part in x.split(50)]).mean())
    else:
        nats = float(np.mean(likelihood.log_likelihood(model, x, SAMPLES)))
    return {"nats": -nats, "minutes": seconds / 60, "epochs": plan["epochs"], "device": devices.name(device_of(model))}


def examples_of_pixels(unit: Unit) -> dict[str, Any]:
    """−log p(x) by a trained example, of the digits that `log_likelihoods` takes and of all held-out ones, nats."""
    run = find(unit.model)
    test = data_of(unit.data).test
    of = {"nats": EXAMPLES, "nats of all": len(test)}
    return {name: evaluate(run.model(), test, count)["nll"] for name, count in of.items()} | {
        "epochs": run.info.plan.epochs,
        "minutes": run.heartbeat()["seconds"] / 60,
        "device": run.info.device,
    }


PASSES = 3  # over the 60,000 digits of MNIST


def figures(unit: Unit) -> dict[str, Any]:
    """Held-out figures of a model on its defaults, and how well clusters of its codes match the classes.

    Of a generator alone, how far its draws are from held-out images, and training images from these: W₁ of 1,000 each.
    """
    entry, data = CATALOG[unit.model], data_of(unit.data)
    model, _ = train(unit.model, data, unit.seed, {"epochs": PASSES, "precision": "fp32"}, {})
    found = report(model, entry, data)
    if "encode" in entry.abilities:
        ids = first(data.test, 5000)
        codes = encode(model, data.test, ids)
        assigned = KMeans(len(data.classes), n_init=10, random_state=unit.seed).fit_predict(codes)
        found["k-means accuracy"] = clustering.accuracy(assigned, data.test.labels[ids])
    else:
        others, real = (examples(split, first(split, 1000)) for split in (data.train, data.test))
        draws = model.sample(1000, generator=torch.Generator().manual_seed(0))
        found["W₁ of draws"] = transport.wasserstein(draws, real)
        found["W₁ of training images"] = transport.wasserstein(others, real)
    if hasattr(model, "assign"):
        ids = first(data.test, 5000)
        assigned = map_batches(model, data.test, ids, model.assign).astype(int)
        found["own accuracy"] = clustering.accuracy(assigned, data.test.labels[ids])
    return found


def clustered_pixels(unit: Unit) -> dict[str, Any]:
    """k-means on the pixels of the digits whose codes `figures` clusters."""
    data = data_of(unit.data)
    ids = first(data.test, 5000)
    flat = examples(data.test, ids).flatten(1).numpy()
    assigned = KMeans(len(data.classes), n_init=10, random_state=unit.seed).fit_predict(flat)
    return {"accuracy": clustering.accuracy(assigned, data.test.labels[ids])}


ABLATION: dict[str, dict[str, bool]] = {
    "all three": {},
    "no cycle": {"cycle": False},
    "no reader of attributes": {"head": False},
    "no shuffled attributes": {"shuffle": False},
    "none": {"cycle": False, "head": False, "shuffle": False},
}
"""What is left out of `attribute_ali`."""


def ablation(unit: Unit) -> dict[str, Any]:
    """Edits by `attribute_ali` on faces, after a short training, without one of its additions."""
    data = data_of(unit.data)
    params = {"attributes": len(data.attributes), "lam": 0.03, **ABLATION[unit.model]}
    model, _ = train(
        "attribute_ali", data, unit.seed, {"epochs": ABLATED, "precision": "fp32", "held_out": 500}, params
    )
    return attribute_edits.evaluate(model, data, attribute_classifier.judge_of(data), 300).numbers()


SIZES, DEPTHS = (8, 16, 28, 40, 56), (2, 4, 6, 9, 12)
COSTS = {f"{size} × {size}, 6 layers": (size, 6) for size in SIZES} | {f"28 × 28, {n} layers": (28, n) for n in DEPTHS}


def frechet_note(found: dict[str, Any]) -> str:
    """What the Fréchet distances of an ablation compare."""
    chance = f"{found['Fréchet distance by chance']:.1f}"
    size = found.get("edits in each set of a Fréchet distance")
    if size is None:  # lines of docs/study.jsonl from before both distances were of samples of one size
        return (
            "The Fréchet distances in the table are between all 4,500 edits and their true edits; two halves of the "
            f"true edits, 2,250 each, have one of {chance}, but smaller samples have larger distances."
        )
    return (
        f"The Fréchet distances in the table are between one half of the edits and the true edits of the other half, "
        f"{size:,.0f} each; the true edits of both halves have one of {chance}."
    )


def cost(unit: Unit) -> dict[str, Any]:
    """Drawing pixel by pixel, 16 images at a time, by an untrained PixelCNN: activations kept, and plain passes."""
    size, layers = COSTS[unit.model]
    model = seeded_build(CATALOG["pixelcnn"], (1, size, size), CATALOG["pixelcnn"].check({"layers": layers}), 0).eval()
    x = torch.zeros(16, 1, size, size)

    def seconds(work: Callable[[], Any]) -> float:
        start = time.perf_counter()
        work()
        return time.perf_counter() - start

    with torch.inference_mode():
        kept = min(seconds(lambda: model.sample(16)) for _ in range(3))
        plain = size * size * min(seconds(lambda: model.outputs(x)) for _ in range(3))
    return {"milliseconds": 1000 * kept / 16, "plain, milliseconds": 1000 * plain / 16, "ratio": plain / kept}


def orders(unit: Unit) -> dict[str, Any]:
    """−log p(x) of held-out digits of 16 × 16 by a small PixelCNN that goes in this order; nats, exact."""
    data = datasets.load(DataSpec(name="digits", size=16, limit=4000))
    params = {"width": 16, "layers": 4, "binary": "threshold", "order": unit.model}
    _, row = train("pixelcnn", data, unit.seed, {"epochs": 8, "batch": 64, "lr": 5e-3, "precision": "fp32"}, params)
    return {"nats": row["test"]["nll"]}


RATED: dict[str, tuple[str, dict[str, Any], str]] = {
    **{
        f"I-AutoRec, f {f}, g {g}": ("i_autorec", {"f": f, "g": g}, f"RMSE {value:.3f} (ML-1M)")
        for (f, g), value in recommend.PUBLISHED_ACTIVATIONS.items()
    },
    "U-AutoRec": ("u_autorec", {}, "RMSE 0.874 (ML-1M)"),
    "Mult-VAE": ("multi_vae", {}, "Recall@20 0.395 (ML-20M)"),
}
"""Label → model, parameters, and what was published. Stars are predicted from 90 % of the ratings."""


def rated(unit: Unit) -> dict[str, Any]:
    """RMSE of held-out ratings, λ chosen on known ones; or Recall@20 and NDCG@100 of users who were held out.

    Sizes as published for MovieLens (500 and 600 hidden units, 200 in the code of Mult-VAE), smaller for few films.
    """
    key, params, _ = RATED[unit.model]
    matrix = datasets.load_ratings(DataSpec(name=unit.data)).matrix
    large = unit.data != "ratings"
    if key != "multi_vae":
        known, asked = recommend.hold_out(matrix, 0.1, unit.seed)
        plan = {"epochs": 80, "lr": 6e-3, "batch": 32 if key == "i_autorec" else 64}
        method, lam = recommend.with_chosen_weight(key, known, unit.seed, plan, code=500 if large else 64, **params)
        return {"RMSE": recommend.rmse(method.predict(known), asked), "lambda": lam}
    split = recommend.hold_out_users(matrix, min(0.2, 10_000 / matrix.shape[0]), 0.8, unit.seed)
    sizes = {"code": 200, "width": 600, "beta": 0.2} if large else {"code": 64, "width": 128, "beta": 0.5}
    plan = {"epochs": 80, "batch": 500 if matrix.shape[0] > 50_000 else 64}
    method = recommend.AutoencoderOf(key, seed=unit.seed, plan=plan, **sizes).fit(split.train)
    wanted, scores = recommend.likes(split.asked), method.predict(split.given)
    return {
        f"{name}@{k}": float(measure(recommend.top(scores, split.given, k), wanted).mean())
        for name, measure, k in (("Recall", recommend.recall_at, 20), ("NDCG", recommend.ndcg_at, 100))
    }


MEASURES: dict[str, Callable[[Unit], dict[str, Any]]] = {
    "stability": stability,
    "modes": modes,
    "likelihood": log_likelihoods,
    "figures": figures,
    "pixels": clustered_pixels,
    "ablation": ablation,
    "cost": cost,
    "ratings": rated,
    "orders": orders,
    "examples": examples_of_pixels,
}


def units() -> list[Unit]:
    """Everything, seed by seed, so that what is done first is a whole table."""
    image = [key for key, entry in CATALOG.items() if "image" in entry.kinds]
    found = []
    for part, seeds in SEEDS.items():
        for seed in seeds:
            if part == "stability":
                sets = ("digits", "sprites", "coloured digits")
                found += [Unit(part, key, data, seed) for data in sets for key in image]
            elif part == "modes":
                found += [Unit(part, key, "25 Gaussians", seed) for key in MODES]
            elif part == "ablation":
                found += [Unit(part, label, "faces", seed) for label in ABLATION]
            elif part == "orders":
                found += [Unit(part, order, "digits", seed) for order in ORDERS]
            elif part == "cost":
                found += [Unit(part, label, "noise", seed) for label in COSTS]
            elif part == "ratings":
                here = [name for name in datasets.RATINGS if datasets.info(name).here]
                # Of 20 million ratings a table of all users and films would not fit into memory.
                found += [
                    Unit(part, label, name, seed)
                    for name in here
                    for label in RATED
                    if name != "ml-20m" or label == "Mult-VAE"
                ]
            elif part == "pixels":
                found.append(Unit(part, "k-means", "mnist", seed))
            elif part == "examples":
                found += [Unit(part, "pixelcnn-digits", "MNIST, binarised anew", seed)]
            elif part == "likelihood":
                found += [Unit(part, label, "MNIST, binarised anew", seed) for label in LIKELIHOODS]
            else:
                whole = [key for key in image if "nll" not in CATALOG[key].terms]  # the others: "likelihood"
                found += [Unit(part, key, "mnist", seed) for key in whole]
    return found


# --- running and writing ----------------------------------------------------------------------------------------------


def results() -> dict[Unit, dict[str, Any]]:
    lines = RESULTS.read_text(encoding="utf-8").splitlines() if RESULTS.exists() else []
    return {Unit(*row["unit"]): row["found"] for row in map(json.loads, lines)}


def _alone() -> None:
    torch.set_num_threads(1)


def _measure(unit: Unit) -> dict[str, Any]:
    torch.manual_seed(unit.seed)
    found = MEASURES[unit.part](unit)
    return {name: value if isinstance(value, str) else round(float(value), 4) for name, value in found.items()}


def run(wanted: Iterable[Unit]) -> list[str]:
    """Measure these, one a core at a time; a line of RESULTS each. What failed, in words."""
    failed = []
    anew = get_context("spawn")  # a process that is forked cannot use a GPU
    with ProcessPoolExecutor(os.cpu_count(), anew, _alone) as pool, open(RESULTS, "a", encoding="utf-8") as file:
        waiting = {pool.submit(_measure, unit): unit for unit in wanted}
        for done in as_completed(waiting):
            unit = waiting[done]
            try:
                file.write(json.dumps({"unit": unit, "found": done.result()}, ensure_ascii=False) + "\n")
                file.flush()
                print(*unit, flush=True)
            except Exception as error:  # the others go on; the whole ends with an error
                failed.append(f"{' '.join(map(str, unit))}: {error}")
                print(failed[-1], flush=True)
    return failed


def kills() -> dict[str, Any]:
    """A training killed at 20 random moments, resumed each time, against one that was never interrupted."""
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_jobs.py", "-k", "killed_again"],
        cwd=ROOT,
        env=os.environ | {"AECORE_KILLS": str(KILLS)},
    )
    verdict = "bitwise the same weights as without" if done.returncode == 0 else "FAILED: see the test's output"
    return {"verdict": verdict, "seconds": time.perf_counter() - start}


def mean_and_spread(values: list[float]) -> str:
    """ "1.23 ± 0.04", the standard deviation over seeds; the value alone where there is one."""
    mean = sum(values) / len(values)
    if len(values) == 1:
        return f"{mean:.4g}"
    deviation = math.sqrt(sum((value - mean) ** 2 for value in values) / (len(values) - 1))
    return f"{mean:.4g} ± {deviation:.2g}"


RATINGS_NAMED = {name: source.title for name, source in datasets.RATINGS.items()} | {"ratings": "invented films"}


def table(header: list[str], rows: list[list[str]]) -> list[str]:
    lines = [" | ".join(cells) for cells in (header, ["---"] * len(header), *rows)]
    return [f"| {line} |" for line in lines]


def by_model(part: str) -> dict[tuple[str, str], list[dict[str, Any]]]:
    found: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for unit, values in results().items():
        if unit.part == part:
            found.setdefault((unit.model, unit.data), []).append(values)
    return found


def stability_table() -> list[str]:
    rows = []
    for (key, data), seeds in by_model("stability").items():
        names = ("error", "active", "variety", "critic", "told")
        cells = [
            mean_and_spread([s[name] for s in seeds if name in s]) if any(name in s for s in seeds) else ""
            for name in names
        ]
        troubles = [collapsed(CATALOG[key], s) for s in seeds]
        bad = "; ".join(sorted({trouble for trouble in troubles if trouble}))
        verdict = f"{sum(not t for t in troubles)} of {len(seeds)}" + (f" ({bad})" if bad else "")
        rows.append([f"`{key}`", data, *cells, verdict])
    rows.sort(key=lambda row: (list(CATALOG).index(row[0].strip("`")), row[1]))
    head = ["model", "data", "error", "active units", "variety", "critic", "told", "seeds without NaN or collapse"]
    return table(head, rows)


def figures_table() -> list[str]:
    names = [
        "mse",
        "psnr",
        "ssim",
        "cross-entropy + kl",
        "elbo, thresholded",
        "elbo, drawn",
        "active units",
        "code units",
        "k-means accuracy",
        "own accuracy",
        "test/critic",
        "W₁ of draws",
    ]
    rows, found = [], {}
    for (identity, data), seeds in by_model("figures").items():
        defaults = CATALOG[identity].check({})
        found[identity, data] = [likelihood.current_names(s, defaults) for s in seeds]
    names = [name for name in names if any(name in s for seeds in found.values() for s in seeds)]
    for (identity, data), seeds in found.items():
        cells = [
            mean_and_spread([s[name] for s in seeds if name in s]) if any(name in s for s in seeds) else ""
            for name in names
        ]
        rows.append([f"`{identity}`", data, str(len(seeds)), *cells])
    return table(["model", "data", "seeds", *names], rows)


def page() -> str:
    """docs/study.md, from the results alone."""
    found = results()
    lines = [
        "# Studies",
        "",
        "Written by `make study`, from docs/study.jsonl: what is too slow for `make test`. "
        "A column says how many seeds there are; ± is the standard deviation over seeds.",
        "",
    ]
    killed = found.get(Unit("kills", "", "", 0))
    if killed:
        lines += [
            "## Killed and resumed",
            "",
            f"A training was killed (kill −9) at {KILLS} random moments and resumed each time: {killed['verdict']}.",
            "",
        ]
    if by_model("stability"):
        lines += [
            "## Stability",
            "",
            f"Five epochs of {MANY:,} images ({FEW:,} for models of pixels) of 28 × 28 pixels (sprites: 32 × 32), on "
            "the defaults in full precision. Error: squared error of held-out reconstructions, divided by that of the "
            "mean image. Active units: the share of latent dimensions whose mean has a variance above 0.01. Variety: "
            "mean squared distance between samples, divided by that between images; a VAE's samples are means without "
            "the noise of pixels, and vary less. Critic: its last loss. Samples of a PixelCNN are compared with images "
            "whose pixels are drawn as 0 or 1 as well. A training counts as collapsed in these cases: the model "
            "reconstructs no better than the mean image although that is a term of its objective (error above 0.95); "
            "samples of an AAE or WAE vary less than half as much as its reconstructions; samples of other models that "
            "play against a critic, or have no code, are alike (variety below 0.2) or noise (above 2); the code does "
            "not change with the image; a critic's loss is below 0.02, or more than 15 % above that of chance; with "
            "the codes of other images, images cost a PixelCNN decoder less than 2 % more (column “told”, where it was "
            "measured).",
            "",
            *stability_table(),
            "",
        ]
    if by_model("modes"):
        rows = [
            [
                f"`{key}`",
                str(len(seeds)),
                ", ".join(f"{s['modes']:.0f}" for s in seeds),
                ", ".join(f"{s['assigned']:.0f}" for s in seeds),
                mean_and_spread([s["near"] for s in seeds]),
            ]
            for (key, _), seeds in by_model("modes").items()
        ]
        lines += [
            "## Modes of 25 Gaussians",
            "",
            "10,000 samples of each model. A mode is covered if a fifth of its fair share of the samples lies within 3 "
            "σ of it. A mode is kept if some sample is nearer to it than to the other modes, which is the count of "
            "Dumoulin et al. (2016): their ALI kept 13.4 ± 5.8, their GAN 10.4 ± 9.2. Samples scattered over the plane "
            "would keep 25 modes and cover none.",
            "",
            *table(["model", "seeds", "modes covered", "modes kept", "samples within 3 σ of a mode"], rows),
            "",
        ]
    if by_model("likelihood"):
        rows = [
            [
                label,
                str(len(seeds)),
                mean_and_spread([s["nats"] for s in seeds]),
                f"{seeds[0]['epochs']:.0f}",
                mean_and_spread([s["minutes"] for s in seeds]),
                seeds[0]["device"],
                LIKELIHOODS[label][3],
            ]
            for (label, _), seeds in by_model("likelihood").items()
        ]
        easier = []
        for (label, _), (s, *_) in by_model("examples").items():
            rows.append(
                [
                    f"the example `{label}`",
                    "1",
                    f"{s['nats']:.4g}",
                    f"{s['epochs']:.0f}",
                    f"{s['minutes']:.2g}",
                    s["device"],
                    LIKELIHOODS["pixelcnn"][3],
                ]
            )
            easier.append(
                f"The first {EXAMPLES} digits are easier than the others: on all 10,000, as in published figures, "
                f"`{label}` has {s['nats of all']:.4g} nats, {s['nats of all'] - s['nats']:.1f} more. So no figure of "
                f"{EXAMPLES} digits here beats a published one."
            )
        lines += [
            "## Log-likelihood of binarised MNIST",
            "",
            f"−log p(x) in nats of {EXAMPLES} held-out digits, which are binarised once by a fixed sample; training "
            f"digits are binarised anew at each step. VAE and IWAE: importance sampling with {SAMPLES} samples; the "
            "others: exact. Minutes are those of one process beside a dozen others; the published figures took far "
            "longer trainings.",
            *easier,
            "",
            *table(["model", "seeds", "nats", "epochs", "minutes", "device", "published"], rows),
            "",
        ]
    if by_model("ablation"):
        names = [
            "edits seen",
            "other attributes stay",
            "all attributes right",
            "reconstruction, squared error",
            "error against the true edit",
            "error of the edit laid on the image",
            "rest of the face after, R²",
            "Fréchet distance to true edits",
        ]
        rows = [
            [label, str(len(seeds)), *(mean_and_spread([s[name] for s in seeds]) for name in names)]
            for (label, _), seeds in by_model("ablation").items()
        ]
        some = next(iter(by_model("ablation").values()))[0]
        lines += [
            "## What attribute edits need",
            "",
            f"`attribute_ali` on 60,000 drawn faces of 32 × 32, {ABLATED} epoch, each time without one of its "
            "additions; 300 held-out faces, each attribute switched alone. For comparison, not editing at all has an "
            f"error of {some['error of not editing']:.4f} and shows {some['edits seen without editing']:.4f} of the "
            "edits. The attribute classifier predicts the other properties of unedited faces with R² "
            f"{some['rest of the face before, R²']:.2f}. {frechet_note(some)}",
            "",
            *table(["left out", "seeds", *names], rows),
            "",
        ]
    if by_model("cost"):
        rows = [
            [label, *(f"{seeds[0][name]:.3g}" for name in ("milliseconds", "plain, milliseconds", "ratio"))]
            for (label, _), seeds in by_model("cost").items()
        ]
        lines += [
            "## What drawing pixel by pixel costs",
            "",
            "The time for one image of 16 that a PixelCNN of 32 feature maps draws together on one thread: with kept "
            "activations, and with one pass of the network for every pixel. With kept activations a pixel costs a few "
            "small matrix products for each layer, whatever the size of the image.",
            "",
            *table(["image", "kept, ms an image", "a pass a pixel, ms an image", "ratio"], rows),
            "",
            "![Cost by size and by layers](drawing.png)",
            "",
        ]
    if by_model("orders"):
        rows = [
            [label, str(len(seeds)), mean_and_spread([s["nats"] for s in seeds])]
            for (label, _), seeds in by_model("orders").items()
        ]
        lines += [
            "## Does the order of the pixels matter?",
            "",
            "−log p(x) in nats of 1,000 held-out digits of 16 × 16 pixels, binarised at one half, for a small PixelCNN "
            "trained on 4,000 digits for 8 epochs. The chain rule holds in any order, but a network of this size need "
            "not learn every order equally well.",
            "",
            *table(["order", "seeds", "nats"], rows),
            "",
        ]
    if by_model("ratings"):
        names = ["RMSE", "Recall@20", "NDCG@100"]
        rows = [
            [
                label,
                RATINGS_NAMED[data],
                str(len(seeds)),
                *(mean_and_spread([s[name] for s in seeds]) if name in seeds[0] else "" for name in names),
                ", ".join(f"{s['lambda']:g}" for s in seeds if "lambda" in s),
                RATED[label][2],
            ]
            for (label, data), seeds in by_model("ratings").items()
        ]
        lines += [
            "## Ratings",
            "",
            "RMSE on a held-out tenth of the ratings, each model with the λ that was best on a tenth of the others; "
            "and rankings for held-out users, with a fifth of their ratings held out. MovieLens joins the table if it "
            "is on the computer; its licence does not allow it in the repository.",
            "",
            *table(["model", "data", "seeds", *names, "λ chosen", "published"], rows),
            "",
        ]
    if by_model("figures"):
        rows = chain(*by_model("figures").values())
        measured = [found["accuracy"] for found in chain(*by_model("pixels").values())]
        beaten = f"k-means on the pixels of the same 5,000 digits: {mean_and_spread(measured)}, " if measured else ""
        beaten += "so after three epochs codes of several models cluster worse than pixels." if measured else ""
        same = {f"{row['W₁ of training images']:.2f}" for row in rows if "W₁ of training images" in row}
        lines += [
            "## Held-out figures on MNIST",
            "",
            f"Every model that does not draw pixel by pixel, on its defaults, after {PASSES} epochs of 60,000 digits: "
            "what a minute or two on one thread reaches, not the best that the model can do. Errors are per pixel. "
            "The cross-entropy of Bernoulli pixels plus the KL, in nats, is of grey values and bounds no likelihood; "
            "those of binarised digits are in the section above. Published clustering accuracies: k-means on pixels "
            "0.53, on an autoencoder's codes 0.88, DEC 0.84 (a rerun: 0.91), GMVAE 0.88 (a rerun), all after far "
            "longer trainings; the page Cluster "
            f"shows those of the trained examples. {beaten} Units of sparse autoencoders rest at a level of their own; "
            "those of `sparse_kl` vary so little that none counts as active here, and they still carry the image. For "
            "generators alone: the exact Wasserstein distance of 1,000 samples to 1,000 held-out digits, where 1,000 "
            f"training digits have {', '.join(same)}.",
            "",
            *figures_table(),
            "",
        ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help="kills, " + ", ".join(MEASURES))
    parts = parser.parse_args().parts or ["kills", *MEASURES]
    done = results()
    failed = []
    if "kills" in parts and Unit("kills", "", "", 0) not in done:
        found = kills()
        if "FAILED" in found["verdict"]:
            failed.append(found["verdict"])
        else:
            with open(RESULTS, "a", encoding="utf-8") as file:
                file.write(json.dumps({"unit": Unit("kills", "", "", 0), "found": found}) + "\n")
    failed += run(unit for unit in units() if unit.part in parts and unit not in done)
    PAGE.write_text(page(), encoding="utf-8")
    if failed:
        sys.exit("\n".join(failed))


if __name__ == "__main__":
    main()
