"""The pages that show bounds: which number bounds what, with what spread, and whether parts and sums agree as shown."""

from __future__ import annotations

import re
from types import SimpleNamespace

import numpy as np
import pytest

from aecore import CATALOG, Run, paths
from aecore.explore import importance, pixel_likelihoods
from app.panels import run_card
from tests.pages import app_at


def opened(key: str, **query: str):
    at = app_at(key, {name.replace("__", "."): value for name, value in query.items()}).run()
    assert not at.exception, [error.value for error in at.exception]
    return at


def html(at) -> str:
    return " ".join(part.proto.body for part in at.get("html"))


def nats(text: str) -> list[float]:
    return [float(value.replace("−", "-")) for value in re.findall(r">(−?[0-9.]+) nats<", text)]


def captions(at) -> str:
    return " ".join(caption.value for caption in at.caption)


@pytest.mark.parametrize("decoder", ["Bernoulli", "Gaussian, c = 10"])
def test_inside_a_vae_the_shown_parts_add_up_to_the_shown_bound(decoder):
    at = opened("inside", inside__image="3", inside__draws="8", inside__decoder=decoder)
    recon, kl, bound, _ = nats(html(at))[:4]
    latex = next(part.value for part in at.latex if "underbrace" in part.value)
    parts = [float(value) for value in re.findall(r"_\{([^{}]*\d)\}", latex)[-1].split("+")]
    first = float(re.findall(r"_\{(−?-?[0-9.]+)\}", latex)[0])
    assert first == recon and round(sum(parts), 2) == kl and round(-(recon + kl), 2) == bound
    (terms,) = [part.value for part in at.latex if r"\odot" in part.value]
    for s, x, m, z in zip(*numbers_of_sample(terms), strict=True):
        assert round(s * x + m, 2) == pytest.approx(z, abs=0.0051)
    assert "groups of 500 weighted samples" in html(at)
    assert ("split at one half" in captions(at)) == (decoder == "Bernoulli")
    assert ("is a density" in captions(at)) == (decoder != "Bernoulli")


def numbers_of_sample(latex: str) -> tuple[list[float], ...]:
    rows = re.findall(r"(-?[0-9.]+) \\cdot \((-?[0-9.]+)\) ([+-][0-9.]+)", latex)
    z = re.findall(r"-?[0-9.]+", latex.rpartition("= ")[2])
    return *([float(row[k]) for row in rows] for k in range(3)), [float(value) for value in z]


def test_importance_weights_says_the_spread_and_the_draws_behind_it():
    at = opened("importance", run="vae-2d", importance__k="20", importance__image="3")
    shown = html(at)
    these, elbo, most = nats(shown)
    assert elbo < these + 3 and elbo < most
    errors = [float(value) for value in re.findall(r"± ([0-9.]+)", shown)]
    assert len(errors) == 3 and all(0 < error < 20 for error in errors)
    run = Run.open(paths.PRETRAINED / "vae-2d")
    found = importance.bounds(run.model(), run.data().test, [3], (1, 500), total=2000)
    assert elbo == pytest.approx(found.mean[0, 0], abs=0.01) and most == pytest.approx(found.mean[0, 1], abs=0.01)
    assert errors[1:] == pytest.approx(found.error[0].tolist(), abs=0.01)
    assert "2,000 samples" in shown and "4 groups of 500" in shown
    assert "split at one half" in captions(at) and "cross-entropy" in captions(at)


def test_pixel_likelihoods_says_what_each_number_is():
    at = opened("likelihoods", likelihoods__lam="0.2", likelihoods__seed="3")
    shown = html(at)
    found = pixel_likelihoods.pixel(0.2, 60.0)
    assert f"C(λ) = {found.normaliser:.3f}" in shown and f"the area {found.area:.3f}" in shown
    table, exact = (frame.value for frame in at.dataframe)
    assert table["it is"].tolist() == ["a cross-entropy", "−log of a density", "−log of a density"]
    assert table["ELBO of grey values"][0] == "none" and float(table["ELBO split at ½"][0]) < 0
    bernoulli, continuous, gaussian = nats(shown)
    assert "bounds nothing" in shown and continuous > gaussian > 0 < bernoulli
    elbo, estimate, truth = (exact.iloc[0, column] for column in (1, 2, 3))
    assert float(elbo) < float(estimate) < float(truth) < 0 and len(exact) == 2


def test_a_card_calls_a_cross_entropy_by_its_name():
    old = {"elbo": -99.2, "log p(x), K=64": -94.0, "psnr": 20.0}
    cards = {
        "bernoulli": ["cross-entropy + KL"],
        "gaussian": ["ELBO"],
        "continuous_bernoulli": ["ELBO"],
    }
    for name, labels in cards.items():
        run = SimpleNamespace(info=SimpleNamespace(metrics=old, params={"likelihood": name}))
        shown = {label: value for label, value, _ in run_card.figures(run)}
        assert [label for label in shown if label != "PSNR"] == labels
        assert shown[labels[0]] == ("99.2 nats" if name == "bernoulli" else "−99.2 nats")


def test_trained_examples_with_bernoulli_pixels_have_no_bound_of_grey_images():
    runs = [Run.open(file.parent) for file in sorted(paths.PRETRAINED.rglob("run.json"))]
    able = [run for run in runs if "likelihood" in run.entry.abilities]
    assert len(able) > 20
    for run in able:
        grey_bound = any(name == "elbo" or name.startswith("log p(x), K") for name in run.info.metrics)
        assert grey_bound == (run.info.params["likelihood"] != "bernoulli"), run.info.id
        if not grey_bound:
            assert run.info.metrics["elbo, thresholded"] < run.info.metrics["log p(x), thresholded, K=64"]
            sum_of_terms = run.info.metrics["test/recon"] + run.info.metrics.get("test/kl", np.nan)
            if run.info.params.get("warmup") == 0 and np.isfinite(sum_of_terms) and run.info.model != "iwae":
                assert run.info.metrics["cross-entropy + kl"] == pytest.approx(sum_of_terms, rel=0.05)


def test_texts_call_the_terms_by_their_meaning():
    for entry in CATALOG.values():
        if "likelihood" in entry.params:
            assert "no likelihood of grey images" in entry.terms["recon"].help
            assert "cross-entropy on grey images" in entry.params["likelihood"].help
