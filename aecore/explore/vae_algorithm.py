"""Algorithm 1 of the chapter, line by line: a small VAE is trained, and each line shows what it has computed."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch

from ..catalog import entry, seeded_build
from ..data.base import Split
from ..models.base import total
from ..nn.divergences import kl_standard
from .images import to_uint8

MODEL = "vae"  # Algorithm 1 trains it
LINES = (
    r"(\theta, \phi) \leftarrow \text{initialise the parameters}",
    r"\textbf{repeat}",
    r"\quad X^M \leftarrow \text{random minibatch of } M \text{ examples}",
    r"\quad \xi \leftarrow L \text{ samples of } \mathcal{N}(0, I) \text{ for each}",
    r"\quad g \leftarrow \nabla_{\theta, \phi}\, \hat{\mathcal{L}}(\theta, \phi; X^M)",
    r"\quad (\theta, \phi) \leftarrow \text{update by } g \text{ (Adam)}",
    r"\textbf{until } (\theta, \phi) \text{ converge}",
)
"""The chapter's lines, with ξ for its ε as in Eq. 14."""


class Line(NamedTuple):
    """One line of the algorithm after it was done.

    line: its index in LINES.  step: how many rounds are complete.  made: what it has computed, by name.
    """

    line: int
    step: int
    made: dict[str, Any]


def algorithm_1(
    split: Split,
    shape: tuple[int, ...],
    M: int = 100,
    L: int = 1,
    code: int = 2,
    width: int = 64,
    lr: float = 3e-3,
    seed: int = 0,
) -> Iterator[Line]:
    """Train a VAE on a split, without end, and yield after each line.

    made: "model" always; "x" uint8 (M, H, W[, 3]) with line 2, "xi" (L, M, D) and "z" with line 3, "recon" and "kl"
    (nats, means over the minibatch) with "gradient" (its norm) with line 4, "moved" (‖Δ(θ, φ)‖) with line 5.
    "recon" is −log p(x|z) of Bernoulli pixels: of grey images a cross-entropy, so that −(recon + kl) bounds nothing.
    """
    model: Any = seeded_build(entry(MODEL), shape, {"code": code, "width": width, "samples": L}, seed)
    weights = model.players(1.0)["autoencoder"].weights
    draws = torch.Generator().manual_seed(seed)
    step = 0
    yield Line(0, step, {"model": model})
    optimiser = torch.optim.Adam(model.parameters(), lr)  # after the first line: its import takes a second
    while True:
        yield Line(1, step, {"model": model})
        index = torch.randint(len(split), (min(M, len(split)),), generator=draws)
        batch = split.batch(index)
        yield Line(2, step, {"model": model, "x": to_uint8(batch.x.numpy())})
        qz_x = model.posterior(batch.x)
        xi = torch.randn(L, *qz_x.mu.shape, generator=draws)
        z = qz_x.mu + qz_x.std * xi
        shown = {name: part.detach().numpy() for name, part in {"xi": xi, "z": z}.items()}
        yield Line(3, step, {"model": model, **shown})
        terms = {"recon": -model.p_x(z).log_prob(batch.x).mean(0), "kl": kl_standard(qz_x)}
        optimiser.zero_grad()
        total(terms, weights).backward()
        size = torch.nn.utils.get_total_norm([p.grad for p in model.parameters() if p.grad is not None])
        means = {name: float(value.detach().mean()) for name, value in terms.items()}
        yield Line(4, step, {"model": model, **means, "gradient": float(size)})
        before = [p.detach().clone() for p in model.parameters()]
        optimiser.step()
        moved = np.sqrt(
            sum(float((p.detach() - q).square().sum()) for p, q in zip(model.parameters(), before, strict=True))
        )
        step += 1
        yield Line(5, step, {"model": model, "moved": moved})
        yield Line(6, step, {"model": model})


class Stepper:
    """Algorithm 1, as far as it has been carried out.

    now: the line that was done last.  made: the newest of everything that the lines have made, by name.
    losses: (reconstruction, KL) of the minibatch in each round, nats.
    """

    def __init__(self, split: Split, shape: tuple[int, ...]):
        self._lines = algorithm_1(split, shape)
        self.now = next(self._lines)
        self.made: dict[str, Any] = dict(self.now.made)
        self.losses: list[tuple[float, float]] = []

    def advance(self, lines: int) -> None:
        """Carry out so many more lines."""
        for _ in range(lines):
            self.now = next(self._lines)
            self.made |= self.now.made
            if "gradient" in self.now.made:
                self.losses.append((self.made["recon"], self.made["kl"]))
