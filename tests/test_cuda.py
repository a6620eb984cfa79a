"""Every model on a CUDA device, where there is one: it trains there, and says the same as on the CPU."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from aecore import CATALOG, DataSpec, Plan, Training
from aecore import data as datasets
from aecore import device as devices
from aecore.explore import autoregressive, generate
from aecore.inference import generator
from aecore.measure import report
from aecore.runs.library import create
from aecore.runs.session import Session
from aecore.training.loop import evaluate, time_both
from tests import conftest
from tests.test_contract import KINDS, finite, first_batch
from tests.test_contract import small as smallest
from tests.test_terms_autoregressive import KEYS as PIXELS
from tests.test_terms_autoregressive import MANY, condition, small

TIMED = devices.fast_precision  # also where all tests are told what to choose
pytestmark = [
    pytest.mark.cuda,
    pytest.mark.usefixtures("no_downloads"),
]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(("key", "kind"), KINDS)
def test_trains_there_and_says_the_same_as_on_the_cpu(key, kind, precision):
    data, model = conftest.MADE[kind](), smallest(key, conftest.MADE[kind]().shape)
    found = list(Training(model, data, Plan(epochs=6, batch=16, held_out=16, precision=precision), "cuda"))
    assert finite(found) and next(model.parameters()).is_cuda
    model.eval()
    abilities = CATALOG[key].abilities
    x = first_batch(data).x
    here = smallest(key, data.shape)
    here.load_state_dict({name: value.cpu() for name, value in model.state_dict().items()})
    here.eval()
    with torch.no_grad():
        if "encode" in abilities:
            codes = here.encode(x)
            torch.testing.assert_close(model.encode(x.cuda()).cpu(), codes, rtol=1e-3, atol=1e-3)
            if not model.sequential:  # there a hair decides a pixel
                told = here.condition(len(codes))
                on = tuple(y.cuda() for y in told)
                torch.testing.assert_close(
                    model.decode(codes.cuda(), *on).cpu(), here.decode(codes, *told), rtol=1e-3, atol=1e-3
                )
        if "sample" in abilities:
            assert model.sample(5, 0.7, generator(torch.device("cuda"), 0)).shape == (5, *data.shape)
            assert generate.generate(model, 4)[0].shape == (4, *data.shape)
    report(model, CATALOG[key], data)


@pytest.mark.parametrize("key", ["vae", "aae", "wgan", "stacked", "pixelcnn"])
def test_a_training_taken_up_again_goes_on_where_it_was(key):
    data, plan = conftest.images(), Plan(epochs=8, batch=8, held_out=16, precision="fp32")
    whole = smallest(key)
    rows = list(Training(whole, data, plan, "cuda"))
    first = Training(smallest(key), data, plan, "cuda")
    for row in first:
        if row["epoch"] >= 4:
            break
    second = Training(smallest(key), data, plan, "cuda")
    second.restore(*first.state())
    rest = list(second)
    assert [row["step"] for row in rest] == [row["step"] for row in rows][-len(rest) :]
    for name, value in rows[-1]["test"].items():  # a GPU adds in no fixed order, and convolves in 10 bits (TF32)
        assert rest[-1]["test"][name] == pytest.approx(value, rel=1e-2, abs=1e-3), name


def test_a_run_is_trained_there_by_itself():
    run = create("vae", DataSpec(name="digits", size=8, limit=200), {"width": 16, "code": 3}, Plan(epochs=1))
    assert Session(run).train() == "done"
    assert run.info.device == torch.cuda.get_device_name()
    assert next(run.model().parameters()).device.type == "cpu"


@pytest.mark.parametrize("name", [name for name, info in datasets.names().items() if info.here])
def test_data_are_the_same_there(name):
    size = 32 if name in ("sprites", "faces") else None
    data = datasets.load(DataSpec(name=name, size=size, limit=None if name == "ratings" else 500))
    index = torch.arange(20)
    for here, there in zip(data.train.batch(index), data.to("cuda").train.batch(index.cuda()), strict=True):
        assert (here is None) == (there is None)
        if here is not None:
            assert there.is_cuda
            torch.testing.assert_close(there.cpu(), here, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("values", ["binary", *MANY])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("key", PIXELS)
def test_images_are_drawn_as_on_the_cpu_at_once_and_from_the_graph(key, channels, values):
    model = small(key, (channels, 6, 5), std=0.2, values=values)
    noise = [torch.rand(4, channels, 6, 5) for _ in range(3)]
    given = condition(model, 4)
    told = None if given is None else given.cuda()
    wanted = [model.draw(part, given) for part in noise]
    model.cuda()
    image, known = torch.zeros(channels, 6, 5), torch.arange(30).view(6, 5) < 13
    for turn in range(3):  # as ever, captured, replayed
        for part, expected in zip(noise, wanted, strict=True):
            found = model.draw(part, told).cpu()
            assert (found - expected).abs().gt(0.01).float().mean() < 0.02, turn
            completed = model.draw(part, told, 0.5, image.cuda(), known.cuda()).cpu()
            assert (completed[:, :, known] == 0).all() and completed[:, :, ~known].max() > 0
    assert all(graph is not None for graph in model._replays._graphs.values())
    with torch.no_grad():  # the graph reads the weights where they lie
        for p in model.parameters():
            p.mul_(0.5)
    now = model.draw(noise[0], told).cpu()
    assert (now != wanted[0]).any()
    replayed, model._replays = model._replays, type(model._replays)()
    assert (model.draw(noise[0], told).cpu() - now).abs().gt(0.01).float().mean() < 0.02
    assert len(replayed._graphs) == 2


def test_a_drawing_there():
    model = small("pixelcnn", (1, 6, 5)).cuda()
    found = autoregressive.draw(model, 5, 1)
    np.testing.assert_allclose(autoregressive.surprise(model, found.images), found.nats, atol=1e-4)
    assert autoregressive.saliency(model, 3, 3, found.images).shape == (6, 5)


def test_evaluation_leaves_the_random_state_there_as_it_was():
    model, data = smallest("vae").cuda(), conftest.images()
    torch.cuda.manual_seed(5)
    expected = torch.rand(3, device="cuda")
    torch.cuda.manual_seed(5)
    evaluate(model, data.test)
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def test_the_precision_is_timed_there(monkeypatch, tmp_path):
    monkeypatch.setattr(devices, "fast_precision", TIMED)
    monkeypatch.delenv("AECORE_PRECISION", raising=False)
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path))
    data = conftest.images()
    training = Training(smallest("vae", data.shape), data, Plan(batch=16), "cuda")
    torch.cuda.manual_seed(5)
    before = torch.cuda.get_rng_state()
    pairs = time_both(training)
    assert all(full > 0 and half > 0 for full, half in pairs)
    assert torch.equal(torch.cuda.get_rng_state(), before)
    assert training.precision in ("bf16", "fp32") and (tmp_path / "precision.json").exists()
