"""The loop: seeds, schedules, exact resume, and what happens when numbers run away."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

import aecore
from aecore import Batch, DataError, DataSpec, Diverged, FieldError, Plan, Run, RunError, Training
from aecore.bench import cases
from aecore.bench.cases import ROW, race
from aecore.data import load
from aecore.models.base import Autoencoder, Model, Player, total
from aecore.runs import export
from aecore.runs.library import create
from aecore.runs.session import Session
from aecore.training.loop import evaluate, losses
from aecore.training.plan import EVAL_STEPS, eval_steps, fold_in
from tests import conftest, naive

WIDTH = {"code": 3, "width": 16}


def trained(model: Model, data=None, **plan) -> list[dict]:
    plan = {"epochs": 2, "batch": 8, "held_out": 16, "precision": "fp32", **plan}
    return list(Training(model, data or conftest.images(), Plan(**plan), "cpu"))


def weights(model: Model) -> dict[str, torch.Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def timeless(rows: list[dict]) -> list[dict]:
    return [row | {"seconds": 0} for row in rows]


class Stages(Autoencoder):
    """Two stages: the encoder's and decoder's halves first, then the whole under another name and term."""

    def __init__(self, shape=(1, 8, 8)):
        super().__init__(shape, 3)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, shape))

    def players(self, progress=1.0):
        if progress < 0.5:
            return {"first": Player((self.decoder,), {"blind": 1.0})}
        return {"whole": Player((self.encoder, self.decoder), {"recon": 1.0})}

    def terms(self, batch, players):
        h = self.encoder(batch.x)
        h = torch.zeros_like(h) if "first" in players else h
        error = (batch.x - self.decoder(h)).square().flatten(1).sum(1)
        return {"blind" if "first" in players else "recon": error}


class Exploding(Autoencoder):
    """Its term "penalty" is no number from the third step on."""

    def __init__(self, how: str = "term"):
        super().__init__((1, 8, 8), 3)
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
        self.decoder = nn.Sequential(nn.Linear(3, 64), nn.Unflatten(1, (1, 8, 8)))
        self.how, self.calls = how, 0

    def players(self, progress=1.0):
        return {"autoencoder": Player((self.encoder, self.decoder), {"recon": 1.0, "penalty": 1.0})}

    def terms(self, batch, players):
        self.calls += self.training
        h = self.encoder(batch.x)
        size = h.square().sum(-1)
        if self.calls >= 3:
            size = size * math.nan if self.how == "term" else (h - h).abs().sqrt().sum(-1)  # finite, but no slope
        return {"recon": (batch.x - self.decoder(h)).square().flatten(1).sum(1), "penalty": size}


# --- seeds and order ------------------------------------------------------------------------------------


def test_mix_gives_distinct_unrelated_seeds():
    found = [fold_in(seed, stream, step) for seed in range(20) for stream in range(3) for step in range(200)]
    assert len(set(found)) == len(found)
    assert all(0 <= value < 2**63 for value in found)
    assert fold_in(1, 2, 3) == fold_in(1, 2, 3) != fold_in(1, 3, 2)
    ones = [bin(fold_in(0, 1, step) ^ fold_in(0, 1, step + 1)).count("1") for step in range(300)]
    assert sum(ones) / len(ones) == pytest.approx(31.5, abs=1)  # neighbours share no more bits than chance


def test_every_epoch_passes_over_the_data_once_in_a_new_order():
    seen: list[list[int]] = []

    class Spy(conftest.Table):
        def batch(self, index):
            seen.append(index.tolist())
            return super().batch(index)

    data = conftest.vectors(n=32)
    model = aecore.build("deep", data.shape, **WIDTH)
    trained(model, aecore.Data(data.spec, "spied", data.shape, Spy(data.train.x), data.test, "made"), epochs=3)
    epochs = [[i for index in seen[start : start + 4] for i in index] for start in (0, 4, 8)]
    assert [sorted(epoch) for epoch in epochs] == [list(range(32))] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_what_was_drawn_before_does_not_matter():
    found = []
    for before in (0, 5):
        torch.rand(before)
        found.append(timeless(trained(aecore.build("vae", (1, 8, 8), **WIDTH))))
    assert found[0] == found[1]


def test_evaluation_leaves_model_and_random_state_untouched():
    model = aecore.build("wgan", (1, 8, 8), **WIDTH).train()
    state, before = torch.get_rng_state(), weights(model)
    once, again = evaluate(model, conftest.images().test), evaluate(model, conftest.images().test)
    assert once == again
    assert torch.equal(state, torch.get_rng_state())
    assert model.training
    assert all(torch.equal(before[name], p) and p.grad is None for name, p in model.named_parameters())


def test_evaluation_is_the_mean_over_the_examples_however_they_are_batched():
    model = aecore.build("deep", (1, 8, 8), **WIDTH)
    split = conftest.images().test
    whole = evaluate(model, split)["recon"]
    assert evaluate(model, split, batch=7)["recon"] == pytest.approx(whole, rel=1e-6)
    with torch.no_grad():
        recon = model.terms(split.batch(torch.arange(len(split))), ("autoencoder",))["recon"]
    assert whole == pytest.approx(float(recon.mean()), rel=1e-6)


# --- steps ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("decay", [True, False])
def test_a_player_is_moved_by_adam_under_the_schedule(decay):
    """The loop's weights after four steps are those of a naive Adam fed with the same minibatches."""
    plan = {"epochs": 1, "decay": decay, "lr": 1e-2, "clip": 1e6}
    batches: list[Batch] = []
    model = aecore.build("linear", (1, 8, 8), code=2)
    start = {name: p.detach().clone() for name, p in model.named_parameters()}
    honest = model.terms
    model.terms = lambda batch, players: (model.training and batches.append(batch)) or honest(batch, players)
    trained(model, **plan)
    assert len(batches) == 4
    again = aecore.build("linear", (1, 8, 8), code=2)
    gradients: dict[str, list[torch.Tensor]] = {name: [] for name in start}
    rates = [1e-2 * (0.01 + 0.495 * (1 + math.cos(math.pi * n / 4)) if decay else 1) for n in range(4)]
    for step, batch in enumerate(batches):
        named = dict(again.named_parameters())
        found = torch.autograd.grad(again.terms(batch, ())["recon"].mean(), list(named.values()))
        for name, gradient in zip(named, found, strict=True):
            gradients[name].append(gradient)
            moved = naive.adam(start[name], gradients[name], rates[: step + 1], betas=(0.9, 0.95))
            named[name].data.copy_(moved)
    for name, p in model.named_parameters():
        assert torch.allclose(p, again.state_dict()[name], atol=1e-5), name


def rates(model: aecore.Model, data: aecore.Data, **plan) -> list[tuple[str, float]]:
    """Each player that moved and its learning rate as a share of its own full one, in order."""
    found: list[tuple[str, float]] = []
    training = Training(model, data, Plan(batch=16, held_out=1, precision="fp32", **plan), "cpu")
    shares = {name: player.lr * training.plan.lr for name, player in model.players().items()}

    def after_step(name: str) -> None:
        found.append((name, training.optimisers[name].param_groups[0]["lr"] / shares[name]))

    model.after_step = after_step
    list(training)
    return found


@pytest.mark.parametrize("epochs", [1, 2, 7, 300])
def test_no_step_is_without_effect(epochs):
    found = [rate for _, rate in rates(aecore.build("linear", (12,), code=2), conftest.vectors(n=16), epochs=epochs)]
    assert len(found) == epochs and found[0] == 1.0
    assert 0.01 < found[-1] <= 1.0 and found == sorted(found, reverse=True)
    assert found[-1] < 0.02 or epochs < 30


def test_a_generator_moves_at_the_full_rate_in_a_training_of_a_single_step():
    model = aecore.build("wgan", (1, 8, 8), **WIDTH)
    before = weights(model)
    found = rates(model, conftest.images(n=32), epochs=1)  # two minibatches, where a step has six turns
    assert found == [("critic", 1.0)] * 5 + [("generator", 1.0)]
    assert any(not torch.equal(before[name], p) for name, p in model.decoder.named_parameters(prefix="decoder"))


def test_the_rate_may_stay():
    assert {rate for _, rate in rates(aecore.build("linear", (12,), code=2), conftest.vectors(), decay=False)} == {1.0}


def test_a_gradient_that_lies_otherwise_in_memory_moves_the_same_weights():
    """A penalty on a slope is differentiated twice, and then gradients of convolutions are no longer channels last."""
    found = []
    for smooth in ("gradient", "weights"):
        model = aecore.build("rae", (3, 16, 16), code=3, width=16, net="conv", smooth=smooth, beta=0.0, lam=0.0)
        trained(model, conftest.images((3, 16, 16)), epochs=3)
        found.append(weights(model))
    assert all(torch.allclose(found[0][name], value, atol=1e-5) for name, value in found[1].items())


def test_clipping_bounds_a_players_gradient():
    row = trained(aecore.build("deep", (1, 8, 8), **WIDTH), clip=1e-12, decay=False, lr=1e-3)[-1]
    free = trained(aecore.build("deep", (1, 8, 8), **WIDTH), decay=False, lr=1e-3)[-1]
    assert row["train"]["recon"] > free["train"]["recon"] + 0.01  # far below Adam's ε nothing moves


def test_simultaneous_players_see_the_same_weights():
    """Order of the players does not matter when they move at once."""
    found = []
    for reverse in (False, True):
        model = aecore.build("aae", (1, 8, 8), **WIDTH)
        names = list(model.players())
        model.update_schedule = lambda progress, names=names, reverse=reverse: (
            tuple(names[::-1] if reverse else names),
        )
        trained(model, epochs=1)
        found.append(weights(model))
    # the encoder has two players: moves add up, and rounding may differ with their order
    assert all(torch.allclose(found[0][name], found[1][name], atol=1e-6) for name in found[0])


def test_stages_change_the_players_and_the_terms_of_the_rows():
    model = Stages()
    found = trained(model, epochs=4)
    held_out = [set(row["test"]) - {"loss"} for row in found if "test" in row]
    assert held_out[0] == {"blind"} and held_out[-1] == {"recon"}
    assert all("loss" in row["train"] for row in found)


def test_total_and_losses_are_the_weighted_sums():
    terms = {"recon": torch.tensor([1.0, 3.0]), "kl": torch.tensor(0.5)}
    assert float(total(terms, {"recon": 1.0, "kl": 4.0})) == 4.0
    one = {"a": Player((), {"recon": 1.0, "kl": 4.0})}
    assert losses({"recon": 2.0, "kl": 0.5}, one) == {"loss": 4.0}
    two = {**one, "b": Player((), {"adv": 1.0})}
    assert losses({"recon": 2.0, "kl": 0.5}, two) == {"loss/a": 4.0}  # b's term is not known


# --- rows -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("draws", "per_epoch"), [(10, 10), (780, 78), (100_000, 100), (3, 1)])
def test_marks_are_dense_at_first_and_include_the_end(draws, per_epoch):
    found = eval_steps(draws, per_epoch)
    assert found == sorted(set(found)) and found[-1] == draws and found[0] >= 1
    assert len(found) <= EVAL_STEPS + 62
    if draws > 500:
        assert found[1] - found[0] < draws / EVAL_STEPS / 4


def test_rows_count_steps_epochs_and_seconds():
    found = trained(aecore.build("deep", (1, 8, 8), **WIDTH), epochs=3)
    assert [row["step"] for row in found] == list(range(1, 13))
    assert found[-1]["epoch"] == 3 and "test" in found[-1]
    assert all(a["seconds"] <= b["seconds"] for a, b in pairwise(found))


def test_a_batch_larger_than_the_data_is_the_data():
    training = Training(aecore.build("deep", (1, 8, 8), **WIDTH), conftest.images(n=5), Plan(epochs=1), "cpu")
    assert list(training)[-1]["step"] == 1


def test_one_example_is_refused_with_the_remedy():
    with pytest.raises(DataError, match="at least 2"):
        Training(aecore.build("deep", (1, 8, 8)), conftest.images(n=1), Plan(), "cpu")


@pytest.mark.parametrize("field", [{"epochs": 0}, {"lr": math.nan}, {"lr": -1}, {"batch": 1}, {"clip": math.inf}])
def test_a_bad_plan_is_refused_by_name(field):
    with pytest.raises(ValidationError, match=next(iter(field))):
        Plan(**field)


# --- resume ---------------------------------------------------------------------------------------------

CONV = {"net": "conv"}
RESUMED = [("vae", {}), ("deep", CONV), ("aae", {}), ("wgan", {}), ("vae_gan", CONV), ("gmm_gan", {}), ("stages", {})]


@pytest.mark.parametrize(("key", "params"), RESUMED)
def test_resumed_at_any_row_the_weights_are_bitwise_the_same(key, params):
    def new() -> Model:
        return Stages() if key == "stages" else aecore.build(key, (1, 8, 8), **WIDTH, **params)

    data, plan = conftest.images(n=64), Plan(epochs=3, batch=8, held_out=16, precision="fp32", seed=3)
    through = Training(new(), data, plan, "cpu")
    rows, states = [], []
    for row in through:
        rows.append(row)
        states.append(through.state())
    whole = weights(through.model)
    assert len(rows) >= 4
    for index in range(0, len(rows) - 1, max(1, len(rows) // 6)):
        resumed = Training(new(), data, plan, "cpu")
        resumed.restore(*states[index])
        assert timeless(list(resumed)) == timeless(rows[index + 1 :])
        assert all(torch.equal(whole[name], p) for name, p in resumed.model.named_parameters())


def test_resumed_from_a_folder_the_weights_are_bitwise_the_same():
    plan = Plan(epochs=2, batch=8, held_out=16, precision="fp32")
    data = conftest.images()
    model = aecore.build("aae", data.shape, **WIDTH)
    run = create("aae", DataSpec(name="digits"), WIDTH, plan)
    training = Training(model, data, plan, "cpu")
    for row in training:
        if row["step"] == 3:
            Session(run).checkpoint(training)
    again = Training(aecore.build("aae", data.shape, seed=9, **WIDTH), data, plan, "cpu")
    assert Session(run).restore(again) and again.step == 3
    list(again)
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), again.model.parameters(), strict=True))


def test_resumed_what_adam_remembers_lies_in_memory_as_the_weights_do():
    """A fused Adam on a GPU refuses it otherwise, once weights of convolutions lie channels last."""
    data, plan = conftest.images((3, 16, 16)), Plan(epochs=2, batch=8, precision="fp32")
    begun, again = (Training(aecore.build("deep", data.shape, width=64, net="conv"), data, plan, "cpu") for _ in "ab")
    next(iter(begun))
    again.restore(*begun.state())
    next(iter(again))
    states = [(p, slots) for adam in again.optimisers.values() for p, slots in adam.state.items()]
    assert any(not p.is_contiguous() for p, _ in states)
    assert all(slots[name].stride() == p.stride() for p, slots in states for name in ("exp_avg", "exp_avg_sq"))


# --- numbers that run away ------------------------------------------------------------------------------


@pytest.mark.parametrize(("how", "term"), [("term", "penalty"), ("slope", "the weights of autoencoder")])
def test_divergence_names_the_term_and_keeps_the_checkpointed_weights(how, term):
    model = Exploding(how)
    training = Training(model, conftest.images(), Plan(epochs=2, batch=8), "cpu")
    run = create("deep", DataSpec(name="digits"))
    with pytest.raises(Diverged, match=term) as caught:
        for _ in training:
            Session(run).checkpoint(training)
            kept = weights(model)
    assert caught.value.term == term and "step 3" in str(caught.value) and "lower learning rate" in str(caught.value)
    fresh = Training(Exploding(), conftest.images(), Plan(epochs=2, batch=8), "cpu")
    assert Session(run).restore(fresh) and fresh.step == 2
    assert all(torch.equal(kept[name], p) and p.isfinite().all() for name, p in fresh.model.named_parameters())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("key", "params"), [("vae", {"code": 8, "width": 128}), ("deep", {"net": "conv", "width": 64})]
)
def test_bf16_ends_within_one_percent_of_full_precision(key, params):
    """Measured: a thousandth and four thousandths of a percent."""
    found = {}
    for precision in ("fp32", "bf16"):
        data = load(DataSpec(name="digits", limit=2000, size=16))
        plan = Plan(epochs=4, batch=100, precision=precision, held_out=1000)
        rows = list(Training(aecore.build(key, data.shape, **params), data, plan, "cpu"))
        found[precision] = rows[-1]["test"]["loss"]
    assert found["bf16"] == pytest.approx(found["fp32"], rel=0.01) and found["bf16"] != found["fp32"]


def test_the_bench_counts_its_steps(monkeypatch):
    counted, one = [], Training._round
    monkeypatch.setattr(Training, "_round", lambda self, players: (counted.append(1), one(self, players)))
    data = conftest.images()
    cases.ours(aecore.build("deep", data.shape, **WIDTH), data, "fp32")(2 * ROW)
    assert len(counted) == 2 * ROW
    with pytest.raises(ValueError, match="multiple"):
        race(print, print, block=ROW + 1)


# --- an encoder that is held ------------------------------------------------------------------------------------------


def test_an_encoder_of_another_model_is_held_and_what_follows_it_is_trained():
    vae = aecore.build("vae", (1, 8, 8), code=3, net="dense", width=16).eval()
    data = load(DataSpec(name="digits8", limit=64))
    x = data.test.batch(torch.arange(5)).x
    for key, more in (("pixelcnn_decoder", {"maps": 8, "layers": 1}), ("deep", {}), ("vae", {})):
        model = aecore.build(key, (1, 8, 8), 5, code=3, net="dense", width=16, **more)
        aecore.freeze_encoder_from(model, vae)
        assert torch.allclose(model.eval().encode(x), vae.encode(x), atol=1e-6), key
        before = [p.clone() for p in model.parameters()]
        for _ in Training(model, data, Plan(epochs=1, batch=32, precision="fp32"), "cpu"):
            pass
        assert torch.allclose(model.eval().encode(x), vae.encode(x), atol=1e-6), key
        assert any(not torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True)), key
    for other in (
        aecore.build("vae", (1, 8, 8), code=4, net="dense", width=16),
        aecore.build("vae", (1, 8, 8), code=3, net="dense", width=32),
        aecore.build("deep", (1, 8, 8), code=6, net="dense", width=16),
        aecore.build("pixelcnn", (1, 8, 8), width=8, layers=1),
    ):
        with pytest.raises(FieldError, match="encoder"):
            aecore.freeze_encoder_from(aecore.build("deep", (1, 8, 8), code=3, net="dense", width=16), other)


def test_a_run_with_the_encoder_of_another_says_so_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setenv("AECORE_RUNS", str(tmp_path))
    spec, plan = DataSpec(name="digits8", limit=64), Plan(epochs=1, batch=32, precision="fp32")
    params = {"code": 3, "net": "dense", "width": 16}
    first = create("vae", spec, params, plan, path=tmp_path / "first")
    assert Session(first).train("cpu") == "done"
    second = create("deep", spec, params, plan, path=tmp_path / "second", encoder="first")
    assert Session(second).train("cpu") == "done"
    x = second.data().test.batch(torch.arange(5)).x
    assert torch.allclose(Run.open(tmp_path / "second").model().encode(x), first.model().encode(x), atol=1e-6)
    assert 'find("first")' in export.snippet(second) and "freeze_encoder_from" not in export.snippet(first)
    with pytest.raises(RunError, match="no run 'nobody'"):
        create("deep", spec, params, plan, path=tmp_path / "third", encoder="nobody")
    assert not (tmp_path / "third").exists()
