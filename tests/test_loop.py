"""The training loop beside a second one with explicit loops: seeds, order, rates, players, rows and evaluations."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from aecore import Batch, Data, DataSpec, Diverged, Plan, Training
from aecore.models.base import Model, Player
from aecore.training import loop
from aecore.training.loop import evaluate, losses
from aecore.training.plan import eval_steps, fold_in, plan_params, rate_factor
from tests import conftest

SIZE, CODE = 5, 3


def data_of(n: int, held_out: int = 16) -> Data:
    x = torch.rand(n + held_out, SIZE, generator=torch.Generator().manual_seed(4))
    train, test = conftest.Table(x[:n]), conftest.Table(x[n:])
    return Data(DataSpec(name="digits"), "made", (SIZE,), train, test, "made")


class Duel(Model):
    """Two players, one of which moves twice in a step, with weights that change through the training."""

    def __init__(self, together: bool = True):
        super().__init__((SIZE,))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(11)
            self.encoder, self.decoder = nn.Linear(SIZE, CODE), nn.Linear(CODE, SIZE)
            self.critic = nn.Linear(CODE, 1)
        self.together = together
        self.began: list[float] = []

    def players(self, progress: float = 1.0) -> dict[str, Player]:
        weights = {"recon": 1.3, "fool": 0.4 * (1 + progress)}
        return {
            "autoencoder": Player((self.encoder, self.decoder), weights, lr=0.5, betas=(0.5, 0.9)),
            "critic": Player((self.critic,), {"judge": 0.7, "fool": -0.2}, lr=2.0, betas=(0.3, 0.95)),
        }

    def update_schedule(self, progress: float = 1.0) -> tuple[tuple[str, ...], ...]:
        return ("critic",), ("autoencoder", "critic") if self.together else ("autoencoder",)

    def terms(self, batch, players) -> dict[str, Tensor]:
        noise = torch.randn(len(batch.x), CODE)
        h = self.encoder(batch.x) + 0.3 * noise
        found = {"fool": F.softplus(-self.critic(h)).squeeze(1)}
        if "critic" in players:
            found["judge"] = F.softplus(self.critic(h.detach())).squeeze(1) + self.critic(noise).square().squeeze(1)
        if "autoencoder" in players:
            scale = 1.0 if self.training else 1.1
            found["recon"] = scale * (batch.x - self.decoder(h)).square().sum(1)
            found["width"] = h.square().mean() * len(h)  # one number for the batch, which depends on its size
        return found

    def after_step(self, player: str) -> None:
        if player == "critic":
            with torch.no_grad():
                self.critic.weight.clamp_(-0.3, 0.3)

    def on_epoch_start(self, split, progress) -> None:
        self.began.append(progress)


# --- the second implementation --------------------------------------------------------------------------------------


def mixed(seed: int, *numbers: int) -> int:
    """splitmix64's finaliser over several numbers (Steele, Lea and Flood 2014), with remainders in place of masks."""
    state = seed
    for number in numbers:
        state = (state * 11400714819323198485 + number + 1) % 2**64
        state = (state ^ state // 2**30) * 13787848793156543929 % 2**64
        state = (state ^ state // 2**27) * 10723151780598845931 % 2**64
        state = state ^ state // 2**31
    return state % 2**63


class Adam:
    """One player's Adam (Kingma and Ba 2015, Algorithm 1), parameter by parameter."""

    def __init__(self, parameters: list[Tensor], betas: tuple[float, float]):
        self.parameters, self.betas, self.t = parameters, betas, 0
        self.m = [torch.zeros_like(p) for p in parameters]
        self.v = [torch.zeros_like(p) for p in parameters]

    def move(self, gradients: list[Tensor], rate: float) -> None:
        self.t += 1
        for k, gradient in enumerate(gradients):
            self.m[k] = self.betas[0] * self.m[k] + (1 - self.betas[0]) * gradient
            self.v[k] = self.betas[1] * self.v[k] + (1 - self.betas[1]) * gradient**2
            mean, square = self.m[k] / (1 - self.betas[0] ** self.t), self.v[k] / (1 - self.betas[1] ** self.t)
            self.parameters[k].data -= rate * mean / (square.sqrt() + 1e-8)


def held_out_of(model: Model, data: Data, count: int) -> dict[str, float]:
    """Every term over the first held-out examples in one batch, with the noise of every evaluation."""
    model.eval()
    torch.manual_seed(7_000_003)
    with torch.no_grad():
        terms = model.terms(data.test.batch(torch.arange(count)), ("autoencoder", "critic"))
    model.train()
    return {name: float(value.mean()) for name, value in terms.items()}


def with_losses(means: dict[str, float], weights: dict[str, dict[str, float]]) -> dict[str, float]:
    sums = {f"loss/{name}": sum(w * means[term] for term, w in own.items()) for name, own in weights.items()}
    return {**means, **sums}


def naive_training(model: Duel, data: Data, plan: Plan, every: int, marks: list[int]) -> list[dict]:
    """The rows of a training, and its weights in `model`, by the words of the README (the way of a batch)."""
    model.train()
    players = model.players()
    adams = {
        name: Adam([p for net in one.networks for p in net.parameters()], one.betas) for name, one in players.items()
    }
    per_epoch = len(data.train) // plan.batch
    total, draws, step = plan.epochs * per_epoch, 0, 0
    gathered: dict[str, list[float]] = {}
    rows = []
    while draws < total:
        before, progress = draws, draws / total
        weights = {name: dict(one.weights) for name, one in model.players(progress).items()}
        torch.manual_seed(mixed(plan.seed, 1, step))
        fall = 0.01 + 0.99 * (1 + math.cos(math.pi * progress)) / 2 if plan.decay else 1.0
        for turn in model.update_schedule(progress):
            epoch, place = draws // per_epoch, draws % per_epoch
            shuffled = torch.randperm(
                len(data.train), generator=torch.Generator().manual_seed(mixed(plan.seed, 2, epoch))
            )
            chosen = shuffled[place * plan.batch : place * plan.batch + plan.batch]
            draws += 1
            terms = model.terms(data.train.batch(chosen), turn)
            for name, value in terms.items():
                gathered.setdefault(name, []).append(float(value.detach().mean()))
            gradients = {}
            for name in turn:  # all gradients before anybody moves
                loss = sum(weight * terms[term].mean() for term, weight in weights[name].items())
                gradients[name] = list(torch.autograd.grad(loss, adams[name].parameters, retain_graph=True))
            for name in turn:
                if plan.clip:
                    norm = math.sqrt(sum(float(g.square().sum()) for g in gradients[name]))
                    gradients[name] = [g * min(1.0, plan.clip / norm) for g in gradients[name]]
                adams[name].move(gradients[name], plan.lr * players[name].lr * fall)
                model.after_step(name)
        step += 1
        marked = any(before < mark <= draws for mark in marks)
        if step % every == 0 or marked:
            row = {"step": step, "epoch": round(draws / per_epoch, 4)}
            row["train"] = with_losses({name: sum(v) / len(v) for name, v in gathered.items()}, weights)
            gathered = {}
            if marked:
                row["test"] = with_losses(held_out_of(model, data, plan.held_out), weights)
            rows.append(row)
    return rows


PLANS = {
    "clipped and falling": Plan(epochs=2, batch=2, lr=0.02, clip=0.35, seed=5, held_out=7, precision="fp32"),
    "neither": Plan(epochs=3, batch=3, lr=0.007, decay=False, seed=8, held_out=9, precision="fp32"),
}


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS.keys())
def test_weights_and_rows_are_those_of_a_loop_in_plain_words(plan, together, monkeypatch):
    """61 examples: the incomplete batch at an epoch's end is left out. A row comes every three (two) steps."""
    marks = [1, 2, 5, 11, 24, 60]
    monkeypatch.setattr(loop, "eval_steps", lambda draws, per_epoch: marks)
    data, first, second = data_of(61), Duel(together), Duel(together)
    training = Training(first, data, plan, "cpu")
    rows = list(training)
    expected = naive_training(second, data, plan, {2: 3, 3: 2}[plan.batch], marks)
    for (name, p), q in zip(first.named_parameters(), second.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-4, atol=1e-6, msg=lambda text, name=name: f"{name}: {text}")
    assert [row["step"] for row in rows] == [row["step"] for row in expected]
    assert [row["epoch"] for row in rows] == [row["epoch"] for row in expected]
    for row, other in zip(rows, expected, strict=True):
        assert set(row) == {*other, "seconds"}
        for half in other.keys() - {"step", "epoch"}:
            assert row[half] == pytest.approx(other[half], rel=1e-4, abs=1e-6), (row["step"], half)


# --- seeds ----------------------------------------------------------------------------------------------------------


def test_seeds_are_mixed_as_splitmix64_does_and_as_they_always_were():
    """The figures are those with which the runs under pretrained/ were trained: another order is another training."""
    for numbers in ((0, 1, 0), (3, 1, 7), (5, 2, 0), (2**31 - 1, 2, 999), (0,)):
        assert fold_in(*numbers) == mixed(*numbers)
    assert (fold_in(0, 1, 0), fold_in(3, 2, 7)) == (2871514730620370382, 8699207927238242366)


def orders(seed: int) -> list[list[int]]:
    """The examples of each minibatch of two epochs."""
    data, seen = data_of(12), []

    class Spy(conftest.Table):
        def batch(self, index):
            seen.append(index.tolist())
            return super().batch(index)

    spied = Data(data.spec, "spied", data.shape, Spy(data.train.x), data.test, "made")
    plan = Plan(epochs=2, batch=4, seed=seed, held_out=2, precision="fp32")
    list(Training(Duel(together=False), spied, plan, "cpu"))
    return seen


def test_the_seed_decides_the_order_and_nothing_else_does():
    first = orders(1)
    torch.manual_seed(99)
    assert orders(1) == first != orders(2)


def noises(seed: int, examples: int) -> list[float]:
    """The first random number of each turn, in training."""
    found: list[float] = []

    class Listening(Duel):
        def terms(self, batch, players):
            if self.training:
                with torch.random.fork_rng(devices=[]):
                    found.append(float(torch.rand(())))
            return super().terms(batch, players)

    plan = Plan(epochs=1, batch=2, seed=seed, held_out=2, precision="fp32")
    list(Training(Listening(), data_of(examples), plan, "cpu"))
    return found


def test_the_noise_of_a_step_depends_on_the_seed_and_on_the_step_alone():
    first = noises(3, 12)
    assert len(first) == 6 == len(set(first))
    assert noises(3, 20)[:6] == first and not set(noises(4, 12)) & set(first)
    torch.manual_seed(mixed(3, 1, 2))
    assert float(torch.rand(())) == first[4]  # the first turn of the third step


# --- rates ----------------------------------------------------------------------------------------------------------


def test_the_rate_falls_along_half_a_cosine_to_a_hundredth():
    assert [rate_factor(p) for p in (0.0, 0.25, 0.5, 0.75, 1.0)] == pytest.approx(
        [1.0, 0.505 + 0.495 * math.sqrt(0.5), 0.505, 0.505 - 0.495 * math.sqrt(0.5), 0.01]
    )


def rates(**more) -> list[tuple[str, float]]:
    """Each move of a training of four steps: the player, and its learning rate."""
    found: list[tuple[str, float]] = []
    model = Duel(together=False)
    plan = Plan(epochs=1, batch=2, lr=0.02, held_out=2, precision="fp32")
    training = Training(model, data_of(16), plan, "cpu", **more)
    model.after_step = lambda name: found.append((name, training.optimisers[name].param_groups[0]["lr"]))
    list(training)
    return found


def test_all_turns_of_a_step_have_the_rate_of_its_beginning():
    falls = [0.01 + 0.495 * (1 + math.cos(math.pi * k / 4)) for k in range(4)]
    found = rates()
    assert [name for name, _ in found] == ["critic", "autoencoder"] * 4
    assert [rate for _, rate in found] == pytest.approx([0.02 * own * fall for fall in falls for own in (2.0, 0.5)])


def test_a_run_of_the_first_format_goes_on_with_the_rates_that_it_had():
    """Then the rate of a move was that of the moment after its minibatch, and fell to 0."""
    falls = [0.5 * (1 + math.cos(math.pi * k / 8)) for k in range(1, 9)]
    found = [rate for _, rate in rates(first_format=True)]
    assert found == pytest.approx([0.02 * own * fall for fall, own in zip(falls, (2.0, 0.5) * 4, strict=True)])


# --- when what happens ----------------------------------------------------------------------------------------------


def test_estimates_are_made_at_each_epoch_and_at_the_end_of_the_final_weights():
    model, watched = Duel(together=False), []
    data = data_of(16)
    training = Training(model, data, Plan(epochs=3, batch=4, held_out=2, precision="fp32"), "cpu", watched.append)
    list(training)
    thirds = [0.0, 1 / 3, 2 / 3, 1.0]
    assert model.began == pytest.approx(thirds) and watched == pytest.approx(thirds)


def test_a_stage_begins_where_the_terms_change_within_an_epoch():
    class Staged(Duel):
        def players(self, progress=1.0):
            found = super().players(progress)
            lean = Player(found["critic"].networks, {"judge": 0.7})
            return found if progress >= 0.5 else {**found, "critic": lean}

    model = Staged(together=False)
    list(Training(model, data_of(24), Plan(epochs=1, batch=4, held_out=2, precision="fp32"), "cpu"))
    assert model.began == pytest.approx([0.0, 0.5, 1.0])


@pytest.mark.parametrize(("examples", "every"), [(6, 1), (50, 2), (78, 3), (1000, 50), (4000, 50)])
def test_rows_come_ten_times_an_epoch_and_at_least_every_fifty_steps(examples, every):
    assert Training(Duel(), data_of(examples), Plan(batch=2), "cpu").every == every


@pytest.mark.parametrize(("draws", "per_epoch"), [(10, 10), (48, 16), (780, 78), (30_000, 100), (7, 7)])
def test_evaluations_are_at_squares_of_24ths_and_at_sixty_ends_of_epochs(draws, per_epoch):
    found = set()
    for k in range(1, 25):
        mark = draws * k * k / 576
        found.add(int(mark) if mark == int(mark) else int(mark) + 1)
    stride = -(-(draws // per_epoch) // 60) * per_epoch
    for mark in range(1, draws + 1):
        if mark % stride == 0:
            found.add(mark)
    assert eval_steps(draws, per_epoch) == sorted(found)


# --- an evaluation ----------------------------------------------------------------------------------------------------


def test_a_mean_over_batches_weighs_each_batch_by_its_size():
    model, data = Duel(), data_of(4)
    found = evaluate(model, data.test, limit=7, batch=3)
    torch.manual_seed(7_000_003)
    sums: dict[str, float] = {}
    model.eval()
    with torch.no_grad():
        for ids in ([0, 1, 2], [3, 4, 5], [6]):
            for name, value in model.terms(data.test.batch(torch.tensor(ids)), ("autoencoder", "critic")).items():
                sums[name] = sums.get(name, 0.0) + len(ids) * float(value.mean())
    assert found == pytest.approx({name: value / 7 for name, value in sums.items()}, rel=1e-5)
    whole = evaluate(model, data.test)
    assert whole.keys() == found.keys() and whole["recon"] != pytest.approx(found["recon"], rel=1e-3)
    assert evaluate(model, data.test, limit=99)["recon"] == whole["recon"]
    assert evaluate(model, data.test, seed=1)["recon"] != whole["recon"]


def test_large_examples_are_evaluated_few_at_a_time(monkeypatch):
    sizes: list[int] = []

    class Counting(Duel):
        output_size = 20

        def terms(self, batch, players):
            sizes.append(len(batch.x))
            return super().terms(batch, players)

    evaluate(Counting(), data_of(4).test)
    monkeypatch.setattr(loop, "EVALUATION_VALUES", 6 * SIZE)
    evaluate(Counting(), data_of(4).test)
    monkeypatch.setattr(loop, "EVALUATION_NUMBERS", 5 * 20)
    evaluate(Counting(), data_of(4).test)
    monkeypatch.setattr(loop, "EVALUATION_NUMBERS", 1)
    evaluate(Counting(), data_of(4).test, limit=2)
    assert sizes == [16, 6, 6, 4, 5, 5, 5, 1, 1, 1]


def test_an_evaluation_asks_for_the_terms_of_its_moment():
    asked: list[tuple[str, ...]] = []

    class Changing(Duel):
        def players(self, progress=1.0):
            found = super().players(progress)
            return found if progress > 0.7 else {"critic": found["critic"]}

        def terms(self, batch, players):
            asked.append(tuple(players))
            return super().terms(batch, players)

    model = Changing()
    assert set(evaluate(model, data_of(4).test, progress=0.6)) == {"fool", "judge"}
    assert set(evaluate(model, data_of(4).test)) == {"fool", "judge", "recon", "width"}
    assert asked == [("critic",), ("autoencoder", "critic")]


def test_losses_are_named_by_their_players_and_left_out_where_a_term_is_unknown():
    one = Player((), {"a": 2.0, "b": -3.0})
    assert losses({"a": 1.5, "b": 0.5, "c": 9.0}, {"only": one}) == {"loss": 1.5}
    two = {"first": one, "second": Player((), {"c": 0.5})}
    assert losses({"a": 1.5, "b": 0.5, "c": 9.0}, two) == {"loss/first": 1.5, "loss/second": 4.5}
    assert losses({"a": 1.5, "c": 9.0}, two) == {"loss/second": 4.5}


# --- numbers that run away --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("half", ["train", "test"])
def test_a_number_that_is_none_ends_the_training_in_either_half(bad, half):
    class Bad(Duel):
        def terms(self, batch, players):
            found = super().terms(batch, players)
            wanted = self.training == (half == "train")
            return {**found, "judge": found["judge"] + bad} if wanted and "judge" in found else found

    with pytest.raises(Diverged, match=r"step 1\b") as error:
        list(Training(Bad(), data_of(12), Plan(epochs=1, batch=4, precision="fp32"), "cpu"))
    assert error.value.term == "judge"


def test_weights_that_are_no_numbers_are_found_though_no_term_shows_them():
    model = Duel()
    training = Training(model, data_of(12), Plan(epochs=1, batch=2, precision="fp32"), "cpu")
    rows = iter(training)
    next(rows)
    with torch.no_grad():
        model.critic.bias.fill_(math.nan)
    model.critic.forward = lambda h: h[:, :1]
    with pytest.raises(Diverged, match="the weights of critic"):
        list(rows)


def test_rows_name_terms_and_losses_only():
    row = next(iter(Training(Duel(), data_of(12), Plan(epochs=1, batch=4, precision="fp32"), "cpu")))
    names = {"fool", "judge", "recon", "width", "loss/autoencoder", "loss/critic"}
    assert set(row) == {"step", "epoch", "train", "test", "seconds"}
    assert set(row["train"]) == set(row["test"]) == names


# --- what a training starts from --------------------------------------------------------------------------------------


def test_a_network_that_is_held_fixed_does_not_move():
    model = Duel()
    model.encoder.requires_grad_(False)
    before = copy.deepcopy(model.state_dict())
    try:
        list(Training(model, data_of(12), Plan(epochs=2, batch=4, precision="fp32"), "cpu"))
    except RuntimeError as error:
        pytest.fail(f"its gradient was asked for: {error}")
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"decoder.weight", "decoder.bias", "critic.weight", "critic.bias"}


def test_the_state_is_a_copy_that_later_steps_leave_alone():
    model = Duel()
    training = Training(model, data_of(12), Plan(epochs=2, batch=4, seed=2, precision="fp32"), "cpu")
    rows = iter(training)
    next(rows)
    tensors, plain = training.state()
    kept = {name: value.clone() for name, value in tensors.items()}
    list(rows)
    assert all(torch.equal(tensors[name], value) for name, value in kept.items())
    assert (plain["step"], plain["draws"]) == (1, 2)
    slots = {name.rsplit("/", 1)[1] for name in tensors if name.startswith("optimiser/")}
    assert slots == {"step", "exp_avg", "exp_avg_sq"}
    assert {name.split("/")[1] for name in tensors if name.startswith("optimiser/")} == {"autoencoder", "critic"}


def test_controls_of_a_plan_allow_what_a_plan_allows():
    found = plan_params(Plan(epochs=7, lr=0.5, decay=False))
    assert list(found) == list(Plan.model_fields)
    assert (found["epochs"].default, found["lr"].default, found["decay"].default) == (7, 0.5, False)
    allowed = {name: (param.low, param.high, param.usual, param.scale) for name, param in found.items()}
    assert allowed["epochs"] == (1.0, 10_000.0, (1, 1000), "log")
    assert allowed["batch"] == (2.0, 8192.0, (2, 4096), "log")
    assert allowed["lr"] == (1e-9, 1.0, (1e-5, 0.1), "log")
    assert allowed["clip"] == (0.0, 1e9, (0.0, 10_000.0), "log")
    assert allowed["seed"] == (0.0, 2.0**31 - 1, None, "linear")
    assert allowed["held_out"] == (1.0, 100_000.0, (1, 10_000), "log")
    assert found["precision"].choices == ("auto", "bf16", "fp32")


def test_a_batch_goes_where_the_model_is_with_all_its_parts():
    parts = Batch(torch.rand(2, SIZE), torch.tensor([0, 1]), torch.ones(2, SIZE), torch.zeros(2, 4))
    moved = loop._to(parts, torch.device("meta"))
    assert [part.device.type for part in moved if part is not None] == ["meta"] * 4
    assert loop._to(parts._replace(mask=None), torch.device("cpu"))[2] is None
