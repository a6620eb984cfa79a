"""In what precision a training computes: timed, kept, and written into the run. Faster convolutions; the bench."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import aecore
from aecore import DataSpec, Plan
from aecore import device as devices
from aecore.bench import cases
from aecore.data import load
from aecore.jobs import timing
from aecore.nn import networks
from aecore.runs import export
from aecore.runs.folder import Run
from aecore.runs.library import create
from aecore.runs.session import Session
from aecore.training import loop
from aecore.training.loop import Training
from tests import conftest
from tests.chromium import ROOT
from tests.test_contract import KINDS
from tests.test_contract import small as smallest

pytestmark = pytest.mark.usefixtures("no_downloads")
CPU = torch.device("cpu")
SMALL = {"net": "dense", "width": 16, "code": 3}
TIMED = devices.fast_precision  # as it is, also where all tests are told what to choose


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """A cache of the test's own, on a processor that has bfloat16, where nothing forces a choice."""
    monkeypatch.delenv("AECORE_PRECISION", raising=False)
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(devices, "fast_precision", TIMED)
    monkeypatch.setattr(devices, "has_bf16", lambda device: True)
    return tmp_path / "cache"


class Stopwatch:
    """Pairs of seconds in fp32 and bf16, and how often they were asked for."""

    def __init__(self, *gains: float):
        self.gains, self.asked = gains, 0

    def __call__(self, *ignored) -> list[tuple[float, float]]:
        self.asked += 1
        return [(3.0 * gain, 3.0) for gain in self.gains]


def choose(folder: Path, stopwatch: Stopwatch, **what) -> str:
    return devices.fast_precision(CPU, {"model": "VAE", **what}, stopwatch, folder)


# --- the choice -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("gains", "chosen"),
    [
        ((1.2, 1.2, 1.2), "bf16"),
        ((1.09, 1.09, 1.09), "fp32"),  # too little to be worth the digits
        ((0.5, 0.6, 9.0), "fp32"),  # the median, not the mean
        ((1.5, 1.6, 0.1), "bf16"),
        ((1.09, 1.12, 1.2, 1.08, 1.13), "bf16"),
    ],
)
def test_the_median_of_the_ratios_decides(folder, gains, chosen):
    assert choose(folder, Stopwatch(*gains)) == chosen


def test_what_was_timed_once_is_read_again(folder):
    first = Stopwatch(2.0)
    assert choose(folder, first) == "bf16" and first.asked == 1
    slow = Stopwatch(0.5)
    assert choose(folder, slow) == "bf16" and slow.asked == 0
    assert choose(folder, slow, batch=64) == "fp32" and slow.asked == 1  # another kind of training
    assert choose(folder, Stopwatch(), batch=64) == "fp32" and choose(folder, Stopwatch()) == "bf16"
    stored = json.loads((folder / "precision.json").read_text())
    assert [choice["precision"] for choice in stored.values()] == ["bf16", "fp32"]
    assert [choice["gain"] for choice in stored.values()] == [2.0, 0.5]


@pytest.mark.parametrize("other", ["processor", "torch", "threads"])
def test_another_computer_is_timed_anew(folder, monkeypatch, other):
    choose(folder, Stopwatch(2.0))
    if other == "processor":
        monkeypatch.setattr(devices, "processor", lambda device: "another one")
    elif other == "torch":
        monkeypatch.setattr(torch, "__version__", "2.99")
    else:
        monkeypatch.setattr(torch, "get_num_threads", lambda: 7)
    again = Stopwatch(0.5)
    assert choose(folder, again) == "fp32" and again.asked == 1


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "7", '{"a": 3}', "\x00\xff", '{"KEY": {"precision": "fp8"}}'])
def test_a_damaged_file_is_written_anew(folder, text):
    choose(folder, Stopwatch(2.0))
    (key,) = json.loads((folder / "precision.json").read_text())
    (folder / "precision.json").write_text(text.replace("KEY", key))
    again = Stopwatch(0.5)
    assert choose(folder, again) == "fp32" and again.asked == 1
    assert choose(folder, again) == "fp32" and again.asked == 1


def test_the_oldest_choices_are_dropped(folder, monkeypatch):
    monkeypatch.setattr(devices, "KEPT", 2)
    for batch in (1, 2, 3):
        choose(folder, Stopwatch(2.0), batch=batch)
    stored = json.loads((folder / "precision.json").read_text())
    assert [choice["batch"] for choice in stored.values()] == [2, 3]


def test_a_folder_that_cannot_be_written_is_no_obstacle(folder):
    folder.write_text("a file where the folder should be")
    assert choose(folder, Stopwatch(2.0)) == "bf16"
    assert choose(folder, Stopwatch(0.5)) == "fp32"


def test_too_little_memory_for_the_timing_is_no_obstacle(folder):
    def full() -> list[tuple[float, float]]:
        raise torch.OutOfMemoryError("CUDA out of memory")

    assert devices.fast_precision(CPU, {}, full, folder) == "fp32"
    assert devices.fast_precision(CPU, {}, Stopwatch(2.0), folder) == "bf16"  # the failure was not kept


def test_a_device_without_bfloat16_is_not_timed(folder, monkeypatch):
    monkeypatch.setattr(devices, "has_bf16", lambda device: False)
    stopwatch = Stopwatch(2.0)
    assert choose(folder, stopwatch) == "fp32" and stopwatch.asked == 0


def test_only_cpus_and_gpus_that_compute_in_it_have_bfloat16():
    assert not devices.has_bf16(torch.device("mps"))
    assert devices.has_bf16(CPU) is bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


@pytest.mark.parametrize("forced", ["bf16", "fp32"])
def test_the_environment_decides_where_it_says_so(folder, monkeypatch, forced):
    monkeypatch.setenv("AECORE_PRECISION", forced)
    stopwatch = Stopwatch(0.5 if forced == "bf16" else 2.0)
    assert choose(folder, stopwatch) == forced and stopwatch.asked == 0
    assert not folder.exists()


def test_two_threads_at_once_time_once(folder):
    def slow() -> list[tuple[float, float]]:
        stopwatch()
        time.sleep(0.2)
        return [(2.0, 1.0)]

    stopwatch, found = Stopwatch(2.0), []
    threads = [threading.Thread(target=lambda: found.append(choose(folder, slow))) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["bf16"] * 3 and stopwatch.asked == 1


WORKER = """
import sys, time
from pathlib import Path
import torch
from aecore import device as devices
devices.has_bf16 = lambda device: True
def measure():
    time.sleep(0.3)
    with open(sys.argv[1] + ".asked", "a") as file:
        file.write("x")
    return [(2.0, 1.0)]
print(devices.fast_precision(torch.device("cpu"), {"model": "VAE"}, measure, Path(sys.argv[1])))
"""


@pytest.mark.slow
def test_two_processes_at_once_time_once(folder):
    workers = [
        subprocess.Popen([sys.executable, "-c", WORKER, str(folder)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    assert [worker.communicate(timeout=120)[0] for worker in workers] == ["bf16\n"] * 2
    assert Path(f"{folder}.asked").read_text() == "x"


# --- the timing -------------------------------------------------------------------------------------------------------


@pytest.fixture
def brief(monkeypatch):
    monkeypatch.setattr(loop, "TIMED_SECONDS", 0.0)


@pytest.mark.parametrize("key", ["vae", "wgan", "vq_vae", "dcec", "cdae"])
def test_the_timing_leaves_the_training_as_it_was(folder, brief, key):
    kind = dict(KINDS)[key]

    def trained(plan: Plan, choice: str | None) -> tuple[list, dict, Training]:
        data = conftest.MADE[kind]()
        training = Training(smallest(key, data.shape), data, plan, "cpu", precision=choice)
        torch.manual_seed(4)
        rows = [{name: value for name, value in row.items() if name != "seconds"} for row in training]
        return rows, {**training.state()[0], "random": torch.get_rng_state()}, training

    plan = {"epochs": 1, "batch": 16, "held_out": 16, "seed": 5}
    rows, tensors, training = trained(Plan(**plan), None)
    assert (folder / "precision.json").exists()
    for again in (Plan(**plan), Plan(**plan, precision=training.precision)):  # known, or given
        found_rows, found, _ = trained(again, training.precision if again.precision == "auto" else None)
        assert found_rows == rows and found.keys() == tensors.keys()
        assert all(torch.equal(found[name], value) for name, value in tensors.items())


@pytest.mark.parametrize(("key", "kind"), KINDS)
def test_every_model_is_timed_in_both_on_a_copy(brief, key, kind):
    data = conftest.MADE[kind]()
    model = smallest(key, data.shape)
    training = Training(model, data, Plan(batch=16), "cpu")
    before, random = {name: value.clone() for name, value in model.state_dict().items()}, torch.get_rng_state()
    pairs = loop.time_both(training)
    assert pairs and all(full > 0 and half > 0 for full, half in pairs)
    assert torch.equal(torch.get_rng_state(), random) and training.step == training.draws == 0
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters()) and not training.optimisers


def test_pairs_are_full_precision_and_bfloat16_in_turn(monkeypatch):
    """Steps in bf16 take half as long by a made-up clock, which stands in for the processor's."""
    now, order = [0.0], []

    def step(self, players) -> None:
        order.append(self.precision)
        now[0] += 0.004 if self.precision == "fp32" else 0.002

    monkeypatch.setattr(loop.Training, "_round", step)
    monkeypatch.setattr(loop.time, "process_time", lambda: now[0])
    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    data = conftest.images()
    training = Training(aecore.build("vae", data.shape, **SMALL), data, Plan(batch=16), "cpu")
    pairs = loop.time_both(training)
    assert len(pairs) == loop.TIMED_PAIRS and all(pair == pytest.approx((0.004, 0.002)) for pair in pairs)
    assert order[:4] == ["fp32", "bf16"] * 2  # the first steps in either are not counted
    blocks = order[4:]
    steps = len(blocks) // (2 * (loop.TIMED_PAIRS - 1))
    assert steps == round(loop.BLOCK_SECONDS / 0.004) and blocks.count("bf16") == blocks.count("fp32")
    firsts = blocks[:: 2 * steps]
    assert firsts[:4] == ["bf16", "fp32", "bf16", "fp32"]  # neither is always the first of a pair
    assert now[0] < 1.5


def test_what_shapes_the_network_is_timed_anew_and_weights_of_terms_are_not():
    data = conftest.images()

    def kind(key: str = "vae", batch: int = 16, shape: tuple[int, ...] = data.shape, **params) -> dict:
        made = conftest.images(shape)
        model = aecore.build(key, shape, **{**SMALL, **params})
        return loop.kind_of(Training(model, made, Plan(batch=batch), "cpu"))

    same = kind()
    assert kind() == same == json.loads(json.dumps(same))
    assert kind("beta_vae", beta=4.0) == kind("beta_vae", beta=8.0)
    others = [
        kind("deep"),
        kind(batch=8),
        kind(width=32),
        kind(code=4),
        kind(net="conv"),
        kind(samples=3),
        kind(likelihood="gaussian"),
        kind(shape=(1, 16, 16)),
    ]
    assert all(other != same for other in others)
    assert kind("aae", gamma=0.0) != kind("aae", gamma=1.0)  # a part of its loss is off


def test_an_encoder_that_is_held_is_another_kind():
    data = conftest.images()
    training = Training(aecore.build("vae", data.shape, **SMALL), data, Plan(batch=16), "cpu")
    before = loop.kind_of(training)
    training.model.encoder.requires_grad_(False)
    assert loop.kind_of(training) != before


# --- a training obeys -------------------------------------------------------------------------------------------------


def precision_of(monkeypatch, plan: str = "auto", **more) -> tuple[str, str]:
    """What a training says that it computes in, and what its first step computed in."""
    seen = []
    autocast = devices.autocast
    monkeypatch.setattr(
        devices, "autocast", lambda device, precision: (seen.append(precision), autocast(device, precision))[1]
    )
    data = conftest.images()
    model = aecore.build("vae", data.shape, **SMALL)
    training = Training(model, data, Plan(epochs=1, batch=16, held_out=8, precision=plan), "cpu", **more)
    inside = []
    model.encoder.register_forward_hook(lambda module, x, out: inside.append(out.dtype) if module.training else None)
    next(iter(training))
    assert set(inside) == {torch.bfloat16 if training.precision == "bf16" else torch.float32}
    return training.precision, seen[0]


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_a_plan_is_obeyed_without_timing(folder, monkeypatch, precision):
    monkeypatch.setattr(loop, "time_both", None)
    assert precision_of(monkeypatch, precision) == (precision, precision)
    assert precision_of(monkeypatch, "auto", precision=precision) == (precision, precision)


@pytest.mark.parametrize(("gain", "chosen"), [(2.0, "bf16"), (0.9, "fp32")])
def test_auto_is_what_was_timed(folder, monkeypatch, gain, chosen):
    stopwatch = Stopwatch(gain)
    monkeypatch.setattr(loop, "time_both", stopwatch)
    assert precision_of(monkeypatch) == (chosen, chosen) == precision_of(monkeypatch)
    assert stopwatch.asked == 1 and (folder / "precision.json").exists()


@pytest.mark.parametrize("amx", [True, False])
def test_a_run_of_the_first_format_follows_the_first_rule(folder, monkeypatch, amx):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(loop, "time_both", None)
    assert precision_of(monkeypatch, first_format=True)[0] == ("bf16" if amx else "fp32")


# --- the run remembers ------------------------------------------------------------------------------------------------


def queued(path: Path) -> Run:
    spec = DataSpec(name="digits8", limit=96)
    return create("vae", spec, SMALL, Plan(epochs=2, batch=16, held_out=16), path=path)


@pytest.mark.parametrize(("gain", "chosen"), [(2.0, "bf16"), (0.9, "fp32")])
def test_a_run_records_the_choice_and_goes_on_with_it(folder, monkeypatch, tmp_path, gain, chosen):
    monkeypatch.setattr(loop, "time_both", Stopwatch(gain))
    whole, parted = queued(tmp_path / "whole"), queued(tmp_path / "parted")
    assert whole.info.precision == ""
    assert Session(whole).train("cpu") == "done"
    wishes = iter(["", "", "pause"])
    assert Session(parted).train("cpu", command=lambda: next(wishes)) == "paused"
    assert Run.open(parted.path).info.precision == chosen and parted.info.plan.precision == "auto"
    # Another cache and the opposite timing: the run goes on as it began.
    monkeypatch.setenv("AECORE_CACHE", str(tmp_path / "another"))
    monkeypatch.setattr(loop, "time_both", Stopwatch(1 / gain))
    assert Session(parted).train("cpu") == "done" and parted.refresh().info.precision == chosen
    for name, value in whole.model().state_dict().items():
        assert torch.equal(value, parted.model().state_dict()[name]), name
    assert f'precision="{chosen}"' in export.snippet(parted)


def test_a_run_of_the_first_format_records_the_first_rule(folder, monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(loop, "time_both", None)
    run = queued(tmp_path / "old")
    run.save(version=1)
    assert Session(run).train("cpu") == "done" and run.info.precision == "fp32"


@pytest.mark.parametrize(
    ("precision", "phrase"), [("bf16", "CPU in bfloat16"), ("fp32", "CPU in full precision"), ("", "CPU")]
)
def test_the_page_of_a_training_says_it(tmp_path, precision, phrase):
    from app.panels.watch import facts

    run = queued(tmp_path / "run")
    run.save(device="CPU", precision=precision)
    assert facts(run) == phrase


def test_the_estimate_of_a_training_chooses_for_it(folder, monkeypatch):
    stopwatch = Stopwatch(2.0)
    monkeypatch.setattr(loop, "time_both", stopwatch)
    monkeypatch.setattr(timing, "SECONDS", 0.0)
    order = {"model": "vae", "params": SMALL, "shape": [1, 8, 8], "batch": 16, "precision": "auto", "held_out": 8}
    assert timing.measure(order, 1, "cpu")["draw"] > 0 and stopwatch.asked == 1
    data = load(DataSpec(name="digits8", limit=96))
    training = Training(aecore.build("vae", data.shape, **SMALL), data, Plan(batch=16), "cpu")
    assert training.precision == "bf16" and stopwatch.asked == 1


@pytest.mark.parametrize("net", ["dense", "conv"])
def test_held_out_terms_agree_in_both_precisions(net):
    """Differences of three seeds: at most 0.005 % of loss and reconstruction, 1.4 % of the KL (0.3 to 2 nats)."""
    data = load(DataSpec(name="digits", limit=400, size=16))
    found = {}
    for precision in ("fp32", "bf16"):
        model = aecore.build("vae", data.shape, 0, net=net, width=64, code=4)
        *_, last = Training(model, data, Plan(epochs=2, batch=50, precision=precision, held_out=200), "cpu")
        found[precision] = last["test"]
    for name, tolerance in (("loss", 0.001), ("recon", 0.001), ("kl", 0.03)):
        assert found["bf16"][name] == pytest.approx(found["fp32"][name], rel=tolerance), name
    assert found["bf16"] != found["fp32"]


# --- convolutions -----------------------------------------------------------------------------------------------------

LAYERS = [
    (networks.Conv2d, nn.Conv2d, (3, 8, 4), {"stride": 2, "padding": 1}),
    (networks.ConvTranspose2d, nn.ConvTranspose2d, (8, 6, 4), {"stride": 2, "padding": 1, "output_padding": (1, 0)}),
    (networks.ConvTranspose2d, nn.ConvTranspose2d, (8, 1, 4), {"stride": 2, "padding": 1, "output_padding": (0, 1)}),
    (networks.ConvTranspose2d, nn.ConvTranspose2d, (8, 3, (5, 3)), {"stride": (3, 2), "padding": (2, 0)}),
]


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(("ours", "torchs", "sizes", "more"), LAYERS)
def test_faster_convolutions_are_torchs(ours, torchs, sizes, more, layout):
    """The same bits in eval mode; in training the same values, gradients, and gradients of gradients."""
    own, other = ours(*sizes, **more), torchs(*sizes, **more)
    assert own.state_dict().keys() == other.state_dict().keys()
    own.load_state_dict(other.state_dict())
    own, other = own.to(memory_format=layout), other.to(memory_format=layout)
    x = torch.randn(5, sizes[0], 7, 9).contiguous(memory_format=layout).requires_grad_()
    assert torch.equal(own.eval()(x), other.eval()(x))
    results = []
    for layer in (own.train(), other.train()):
        y = layer(x)
        first = torch.autograd.grad(F.softplus(y).sum(), (x, *layer.parameters()), create_graph=True)
        second = torch.autograd.grad(first[0].square().sum(), (x, layer.weight))
        results.append((y, *first, *second))
    for mine, theirs in zip(*results, strict=True):
        assert mine.shape == theirs.shape
        torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(own(x).float(), other(x).float(), rtol=2e-2, atol=2e-2)


def test_networks_of_images_are_made_of_them():
    made = [networks.encoder("conv", (1, 28, 28), 8, 64), networks.decoder("conv", 4, (1, 28, 28), 64)]
    layers = [layer for network in made for layer in network if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)]
    assert len(layers) == 6
    assert all(isinstance(layer, networks.Conv2d | networks.ConvTranspose2d) for layer in layers)


# --- the bench --------------------------------------------------------------------------------------------------------


def test_the_bench_prints_one_json_object(folder, monkeypatch, capsys):
    from aecore.bench import ours

    monkeypatch.setattr(ours, "CASES", {"vae, dense": ("vae", SMALL)})
    monkeypatch.setattr(cases, "ROUNDS", (1, 1))
    monkeypatch.setattr(cases, "SECONDS", 0.0)
    monkeypatch.setattr(loop, "time_both", Stopwatch(2.0))
    monkeypatch.setattr(ours.datasets, "load", lambda spec: conftest.images(n=2048))
    monkeypatch.setattr(ours, "drawn", lambda side: 100.0 * side)
    monkeypatch.setattr(ours, "pixel_by_pixel", lambda: {"times": 90.0, "seconds": 1.5, "beside": 2.5})
    monkeypatch.setattr(ours.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    ours.main(True)
    out, err = capsys.readouterr()
    found = json.loads(out)
    (row,) = found["loops"]
    assert err == "" and row["case"] == "vae, dense" and row["precision"] == "bf16"
    assert row["ours"] > 0 and row["bare"] > 0 and row["ratio"] > 0
    assert found["faces"] == {"64": 6400.0, "32": 3200.0} and found["pixels"]["beside"] == 2.5
    ours.main()
    out, err = capsys.readouterr()
    assert err == "" and "vae, dense" in out and "6,400/s at 64 × 64" in out and "beside a training in 2.50 s" in out


def test_a_race_compares_blocks_in_turn(monkeypatch):
    """Two runners of known speeds by a made-up clock: 3 ms and 6 ms a step."""
    now, order = [0.0], []

    def runner(name: str, seconds: float):
        def steps(n: int) -> None:
            order.append(name)
            now[0] += n * seconds

        return steps

    monkeypatch.setattr(cases.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fast, slow, ratio = cases.race(runner("a", 0.003), runner("b", 0.006), 2 * cases.ROW)
    assert (fast, slow, ratio) == pytest.approx((1 / 0.003, 1 / 0.006, 0.5))
    assert order[:6] == ["a", "b", "b", "a", "a", "b"] and len(order) == 2 + 2 * cases.ROUNDS[1]
    order.clear()
    cases.race(runner("a", 1.0), runner("b", 1.0), cases.ROW)
    assert len(order) == 2 + 2 * cases.ROUNDS[0]  # slow ones have fewer rounds
