"""The training loop: a generator of rows. It knows players, terms and turns, but no particular model.

A training is a sequence of steps. One step is one round of `model.update_schedule`, in which each turn draws one
minibatch. All random numbers of step n depend only on (seed, n). A training that was stopped and resumed therefore
goes on exactly as if it had never stopped.
"""

from __future__ import annotations

import copy
import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_, get_total_norm

from .. import device as devices
from ..data.base import Batch, Data, Split
from ..data.places import cache_dir
from ..errors import DataError, Diverged
from ..models.base import Model, Player, total
from .plan import Plan, Row, eval_steps, fold_in, rate_factor

WEIGHTS = "the weights of "  # prefix of the names of weight norms, which are checked but not recorded
USUAL_BATCH = Plan().batch  # of a training whose plan says nothing else
EVALUATION_BATCH = 500
EVALUATION_VALUES = 4_000_000  # at most so many values of examples in one batch of a held-out evaluation
EVALUATION_NUMBERS = 32_000_000  # at most so many numbers that the model gives for such a batch
TIMED_SECONDS = 1.0  # for choosing the precision, without the first steps in either
TIMED_PAIRS = 15  # at most so many timings in either precision
TIMED_EXAMPLES = 1000  # with which a model begins its epoch there
BLOCK_SECONDS = 0.02  # about how long one timing takes
HELD_OUT_SEED = 7_000_003  # of the noise in held-out evaluations: the same at every evaluation of every run


def means(terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The batch mean of every term, detached; it stays on the device."""
    return {name: term.detach().float().mean() for name, term in terms.items()}


def losses(values: Mapping[str, float], players: Mapping[str, Player]) -> dict[str, float]:
    """The loss of each player from mean terms: {"loss": …} for one player, {"loss/<player>": …} for several.

    Players are left out if one of their terms is missing.
    """
    known = {
        name: sum(weight * values[term] for term, weight in player.weights.items())
        for name, player in players.items()
        if all(term in values for term in player.weights)
    }
    return {"loss" if len(players) == 1 else f"loss/{name}": value for name, value in known.items()}


def evaluate(
    model: Model,
    split: Split,
    limit: int | None = None,
    batch: int | None = None,
    seed: int = HELD_OUT_SEED,
    progress: float = 1.0,
) -> Row:
    """Mean of every term over (the first `limit` examples of) a split, with fixed noise.

    The random state is left as it was.

    batch: examples per forward pass, by default 500; fewer where they are large.
    A model whose terms depend on the minibatch (`Model.batchwise`) is always evaluated with exactly `batch` examples
    per pass, by default those of a usual training. A training gives its own minibatch here, so that its terms and the
    held-out ones are the same estimates.
    The last pass of such a model, and one that would have too few examples for all terms, is filled up with examples
    that were measured before: of a term per example only the new ones count, of a term per minibatch the value counts
    as much as there are new ones. Of fewer examples than `Model.smallest_batch` in all, some terms are missing.
    progress: the moment of the training whose terms are computed, for models that are trained in stages.
    """
    device = next(model.parameters()).device
    count = min(len(split), limit or len(split))
    if model.batchwise:
        batch = batch or USUAL_BATCH
    else:
        most = min(EVALUATION_VALUES // math.prod(model.shape), EVALUATION_NUMBERS // model.output_size)
        batch = max(model.smallest_batch, min(batch or EVALUATION_BATCH, most))
    sums: dict[str, float] = {}
    everyone = tuple(model.players(progress))
    was_training = model.training
    model.eval()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []), torch.no_grad():
        torch.manual_seed(seed)
        for start in range(0, count, batch):
            stop = min(start + batch, count)
            fill = model.batchwise or stop - start < model.smallest_batch
            index = torch.arange(max(0, stop - batch) if fill else start, stop)
            terms = model.terms(_to(split.batch(index), device), everyone)
            new = {name: term[start - stop :] if term.ndim else term for name, term in terms.items()}
            for name, value in means(new).items():
                sums[name] = sums.get(name, 0.0) + float(value) * (stop - start)
    model.train(was_training)
    return {name: value / count for name, value in sums.items()}


def _to(batch: Batch, device: torch.device) -> Batch:
    y, mask, attributes = (part if part is None else part.to(device) for part in batch[1:])
    return Batch(batch.x.to(device), y, mask, attributes)


class Training:
    """One training in progress: iterating over it gives its rows; `state` and `restore` stop and resume it at any row.

    observe: called with the progress after each `model.on_epoch_start`, that is, at the start of each epoch and stage
    and once at the end. It may read the model but must not change it.

    first_format: go on with a run that was begun when run.json had format 1. The learning rate of a step was then taken
    at its end, and fell to 0, and the precision "auto" followed `devices.first_rule`.

    precision: what was chosen when the training was begun; by default it is chosen by the plan.

    A row has "step", "epoch" (with fractions), "seconds" of training so far, and mean terms and losses: "train" over
    the steps since the last row, and in some rows "test" over held-out examples.
    """

    def __init__(
        self,
        model: Model,
        data: Data,
        plan: Plan,
        device: torch.device | str | None = None,
        observe: Callable[[float], None] | None = None,
        first_format: bool = False,
        precision: devices.Chosen | None = None,
    ):
        if len(data.train) < 2:
            raise DataError(f"{data.title} has {len(data.train)} training example; at least 2 are needed")
        model.check(data)
        self.device = torch.device(device) if device else devices.best()
        devices.keep_memory()
        # Convolutions are up to four times faster with channels last on a CPU, and no slower elsewhere.
        convolves = any(isinstance(module, torch.nn.Conv2d) for module in model.modules())
        self.layout = torch.channels_last if convolves and len(data.shape) == 3 else torch.contiguous_format
        self.observe = observe
        self.first_format = first_format
        self.model = model.to(self.device, memory_format=self.layout)  # pyright: ignore[reportCallIssue]  # torch's stub
        self.plan = plan
        self.data = data.to(self.device)
        self.batch = min(plan.batch, len(data.train))
        self.per_epoch = len(data.train) // self.batch
        self.draws_total = plan.epochs * self.per_epoch
        self.every = max(1, min(50, self.per_epoch // 10))  # steps between two rows
        self.eval_steps = eval_steps(self.draws_total, self.per_epoch)
        self.step = self.draws = 0
        self.seconds = 0.0
        self.optimisers: dict[str, torch.optim.Optimizer] = {}
        self._epoch, self._order = -1, torch.empty(0)
        if precision is not None:
            self.precision = precision
        self._waiting: dict[str, tuple[Tensor | None, ...]] = {}  # each player's gradients, until all are computed
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._saved: dict[str, dict[int, dict[str, Tensor]]] = {}  # restored states of optimisers that are not made yet

    @property
    def progress(self) -> float:
        """From 0 at the start to 1 at the end."""
        return min(1.0, self.draws / self.draws_total)

    @property
    def epoch(self) -> float:
        return self.draws / self.per_epoch

    @cached_property
    def precision(self) -> devices.Chosen:
        """In what it computes. For "auto" a few steps are timed, unless the choice is known already."""
        if self.plan.precision != "auto":
            return self.plan.precision
        if self.first_format:
            return devices.first_rule(self.device)
        return devices.fast_precision(self.device, kind_of(self), lambda: time_both(self), cache_dir())

    def __iter__(self) -> Iterator[Row]:
        self.precision  # noqa: B018  # chosen before the clock starts
        self.model.train()
        clock = time.perf_counter()
        while self.draws < self.draws_total:
            before, progress = self.draws, self.progress
            players = self.model.players(progress)
            self._round(players)
            self.step += 1
            if self.draws >= self.draws_total:
                self._start_epoch(1.0)  # so that estimates are those of the final weights
            evaluate_now = any(before < step <= self.draws for step in self.eval_steps)
            if self.step % self.every == 0 or evaluate_now:
                row: Row = {"step": self.step, "epoch": round(self.epoch, 4)}
                row["train"] = self._finite(self._flush() | self._norms(players), players)
                if evaluate_now:
                    batch = self.batch if self.model.batchwise else None
                    held_out = evaluate(self.model, self.data.test, self.plan.held_out, batch, progress=progress)
                    row["test"] = self._finite(held_out, players)
                self.seconds += time.perf_counter() - clock
                yield {**row, "seconds": round(self.seconds, 3)}
                clock = time.perf_counter()

    def _round(self, players: Mapping[str, Player]) -> None:
        """One step: each turn draws a minibatch, on which its players move simultaneously, each by its own loss."""
        devices.seed(self.device, fold_in(self.plan.seed, 1, self.step))
        self.model.on_step_start(self.progress)
        factor = rate_factor(self.progress)
        for turn in self.model.update_schedule(self.progress):
            batch = self._draw()
            with devices.autocast(self.device, self.precision):
                terms = self.model.terms(batch, turn)
                objectives = {name: total(terms, players[name].weights) for name in turn}
            self._collect(terms)
            for position, name in enumerate(turn):
                self._differentiate(name, players[name], objectives[name], keep=position + 1 < len(turn))
            for name in turn:
                self._move(name, players[name], factor)

    def _differentiate(self, name: str, player: Player, loss: Tensor, keep: bool) -> None:
        """Compute the gradients of a player's loss for its own parameters. They wait until all are computed."""
        optimiser = self._optimiser(name, player)
        parameters = optimiser.param_groups[0]["params"]
        self._waiting[name] = torch.autograd.grad(loss, parameters, retain_graph=keep, allow_unused=True)

    def _move(self, name: str, player: Player, factor: float) -> None:
        optimiser = self.optimisers[name]
        group = optimiser.param_groups[0]
        for parameter, gradient in zip(group["params"], self._waiting.pop(name), strict=True):
            if gradient is not None and gradient.stride() != parameter.stride():
                # Fused Adam reads both in memory order, but the gradient of a gradient may have another memory layout.
                gradient = torch.empty_like(parameter).copy_(gradient)
            parameter.grad = gradient
        if self.plan.clip:
            clip_grad_norm_(group["params"], self.plan.clip)
        if self.first_format:
            factor = 0.5 * (1 + math.cos(math.pi * self.progress))
        group["lr"] = self.plan.lr * player.lr * (factor if self.plan.decay else 1.0)
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)
        self.model.after_step(name)

    def _optimiser(self, name: str, player: Player) -> torch.optim.Optimizer:
        if name not in self.optimisers:
            parameters: dict[int, torch.nn.Parameter] = {  # each only once, even where networks share some
                id(p): p for network in player.networks for p in network.parameters() if p.requires_grad
            }
            self.optimisers[name] = torch.optim.Adam(
                parameters.values(), lr=self.plan.lr, betas=player.betas, fused=self.device.type in ("cpu", "cuda")
            )
            if name in self._saved:
                groups = self.optimisers[name].state_dict()["param_groups"]
                self.optimisers[name].load_state_dict({"state": self._saved.pop(name), "param_groups": groups})
                for parameter, slots in self.optimisers[name].state.items():
                    for slot, value in slots.items():
                        if value.shape == parameter.shape:  # in the parameter's memory layout, for fused Adam on GPUs
                            slots[slot] = torch.empty_like(parameter).copy_(value)
        return self.optimisers[name]

    def _draw(self) -> Batch:
        """The next minibatch. Each epoch passes over the data in a new order."""
        epoch, position = divmod(self.draws, self.per_epoch)
        if epoch != self._epoch:
            generator = torch.Generator().manual_seed(fold_in(self.plan.seed, 2, epoch))
            order = torch.randperm(len(self.data.train), generator=generator)
            self._epoch, self._order = epoch, order.to(self.device)
        if position == 0 or self._stage_begins():
            self._start_epoch(self.progress)
        self.draws += 1
        index = self._order[position * self.batch : (position + 1) * self.batch]
        batch = _to(self.data.train.batch(index), self.device)
        return batch._replace(x=batch.x.contiguous(memory_format=self.layout))

    def _start_epoch(self, progress: float) -> None:
        with torch.no_grad():
            self.model.on_epoch_start(self.data.train, progress)
            if self.observe is not None:
                self.observe(progress)

    def _stage_begins(self) -> bool:
        """Whether the players or their terms change with this minibatch."""
        before, now = (
            {name: set(player.weights) for name, player in self.model.players(draws / self.draws_total).items()}
            for draws in (self.draws - 1, self.draws)
        )
        return before != now

    def _collect(self, terms: Mapping[str, Tensor]) -> None:
        """Sum the terms on the device, so that nothing waits for their values until a row is due."""
        for name, value in means(terms).items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def _flush(self) -> dict[str, float]:
        values = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        self._sums, self._counts = {}, {}
        return values

    def _norms(self, players: Mapping[str, Player]) -> dict[str, float]:
        """The norm of each player's weights, which is finite as long as every weight is finite."""
        weights = {name: self.optimisers[name].param_groups[0]["params"] for name in players if name in self.optimisers}
        return {WEIGHTS + name: float(get_total_norm(parts)) for name, parts in weights.items()}

    def _finite(self, values: dict[str, float], players: Mapping[str, Player]) -> dict[str, float]:
        """Terms and losses, for a row. Raises Diverged if one is infinite or not a number."""
        for name, value in values.items():
            if not math.isfinite(value):
                raise Diverged(name, self.step)
        terms = {name: value for name, value in values.items() if not name.startswith(WEIGHTS)}
        return {**terms, **losses(terms, players)}

    def state(self) -> tuple[dict[str, Tensor], dict[str, Any]]:
        """All that is needed to continue after the last row: copies of tensors, and plain numbers."""
        tensors = {f"model/{name}": value for name, value in self.model.state_dict().items()}
        states = {player: optimiser.state_dict()["state"] for player, optimiser in self.optimisers.items()}
        for player, state in {**self._saved, **states}.items():
            for index, slots in state.items():
                tensors |= {f"optimiser/{player}/{index}/{slot}": value for slot, value in slots.items()}
        plain = {"step": self.step, "draws": self.draws, "seconds": self.seconds}
        plain_layout = torch.contiguous_format
        return {name: value.detach().cpu().clone(memory_format=plain_layout) for name, value in tensors.items()}, plain

    def restore(self, tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> None:
        """Restore what `state` returned. The next row is then the one that would have followed."""
        self.step, self.draws, self.seconds = int(plain["step"]), int(plain["draws"]), float(plain["seconds"])
        model: dict[str, Tensor] = {}
        self.optimisers, self._saved = {}, {}
        for name, value in tensors.items():
            if name.startswith("model/"):
                model[name.removeprefix("model/")] = value
            else:
                player, index, slot = name.removeprefix("optimiser/").rsplit("/", 2)
                self._saved.setdefault(player, {}).setdefault(int(index), {})[slot] = value
        self.model.load_state_dict(model)


def kind_of(training: Training) -> dict[str, Any]:
    """What the speed of a training depends on, except the computer: as plain values, to know it again.

    Of the numbers that the model's parts hold only whole ones count, and whether others are zero, which turns parts of
    a loss off.
    """
    model = training.model
    settings = {
        (path, name): value if isinstance(value, int | str) else value != 0
        for path, module in model.named_modules()
        for name, value in vars(module).items()
        if isinstance(value, int | float | str) and not name.startswith("_") and name != "training"
    }
    tensors = [(name, tuple(p.shape), p.requires_grad) for name, p in model.named_parameters()]
    terms = {name: sorted(player.weights) for name, player in model.players(0.0).items()}
    return {
        "model": type(model).__name__,
        "networks": hashlib.sha256(f"{model!r} {tensors} {settings} {terms}".encode()).hexdigest()[:32],
        "shape": list(training.data.shape),
        "batch": training.batch,
    }


class _Few(Split):
    """The first examples of a split."""

    def __init__(self, split: Split, count: int):
        self.split, self.count = split, min(count, len(split))

    def __len__(self) -> int:
        return self.count

    def batch(self, index: Tensor) -> Batch:
        return self.split.batch(index)

    def to(self, device: torch.device | str) -> _Few:
        return _Few(self.split.to(device), self.count)


class _Trial(Training):
    """A training of a copy, only to be timed. Its epochs begin without the model's work, except for the first one."""

    begun = False

    def _start_epoch(self, progress: float) -> None:
        if not self.begun:
            super()._start_epoch(progress)
        self.begun = True

    def timed(self, precision: devices.Chosen, steps: int) -> float:
        """Mean seconds of so many steps in this precision.

        On a CPU those that this process computes, since other programs do not change them.
        """
        clock = time.process_time if self.device.type == "cpu" else time.perf_counter
        self.precision = precision
        devices.wait(self.device)
        start = clock()
        for _ in range(steps):
            self._round(self.model.players(self.progress))
            self.step += 1
        devices.wait(self.device)
        return (clock() - start) / steps


def time_both(training: Training) -> list[tuple[float, float]]:
    """Seconds of a step in fp32 and in bf16, several times and in turn, after a first step in each.

    A copy of the model is trained, on the first examples, and the random state is put back: the training itself is not
    touched.
    """
    few = _Few(training.data.train, max(TIMED_EXAMPLES, training.batch))
    data = replace(training.data, train=few, test=few)
    plan = training.plan.model_copy(update={"epochs": 10_000})  # so long that no stage follows
    with torch.random.fork_rng(devices=[training.device] if training.device.type == "cuda" else []):
        trial = _Trial(copy.deepcopy(training.model), data, plan, training.device)
        trial.model.train()
        for precision in ("fp32", "bf16"):
            trial.timed(precision, 1)
        end = time.perf_counter() + TIMED_SECONDS
        pairs = [(trial.timed("fp32", 1), trial.timed("bf16", 1))]
        steps = max(1, min(20, round(BLOCK_SECONDS / max(pairs[0]))))
        while len(pairs) < TIMED_PAIRS and time.perf_counter() < end:
            if len(pairs) % 2:
                half, full = trial.timed("bf16", steps), trial.timed("fp32", steps)
            else:
                full, half = trial.timed("fp32", steps), trial.timed("bf16", steps)
            pairs.append((full, half))
    return pairs
