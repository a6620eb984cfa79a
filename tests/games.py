"""What the oracles of adversarial models share: their terms written out, and the comparison of two versions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import pytest
import torch
from torch import Tensor, nn

import aecore
from aecore import Data, DataSpec, Plan, Training
from aecore.data.base import TensorSplit
from aecore.data.sets.gaussians import centres
from aecore.measure.coverage import Modes, modes
from aecore.models.base import Model

NINE_STD = 0.02  # of nine Gaussians: as in the set of 25, a twentieth of the distance between two neighbouring centres
Weights = Mapping[str, float]
Expected = Mapping[str, tuple[Sequence[nn.Module], Weights]]
"""Player → its networks, and the weights of the terms in its loss."""


def log_d(logit: Tensor) -> Tensor:
    """log D."""
    return torch.log(1 / (1 + torch.exp(-logit.double())))


def log_not_d(logit: Tensor) -> Tensor:
    """log(1 − D)."""
    return torch.log(1 - 1 / (1 + torch.exp(-logit.double())))


def squared_slope(judge: Callable[..., Tensor], *points: Tensor) -> Tensor:
    """‖∇ judge‖² with respect to all its inputs (B, …), one example after the other: (B,). Differentiable again."""
    found = []
    for inputs in zip(*points, strict=True):
        each = [part[None].detach().requires_grad_() for part in inputs]
        slopes = torch.autograd.grad(judge(*each).sum(), each, create_graph=True)
        found.append(torch.stack([(slope**2).sum() for slope in slopes]).sum())
    return torch.stack(found)


def kl(mu: Tensor, logvar: Tensor) -> Tensor:
    """KL(N(μ, σ²) ‖ N(0, I)) of each example, one dimension after the other: (B,) nats."""
    return torch.stack(
        [
            sum(0.5 * (m**2 + v.exp() - 1 - v) for m, v in zip(*each, strict=True))
            for each in zip(mu, logvar, strict=True)
        ]
    )


def squares(a: Tensor, b: Tensor) -> Tensor:
    """Σ (a − b)² of each example: (B,)."""
    return torch.stack([((x - y) ** 2).sum() for x, y in zip(a, b, strict=True)])


def pulls(players: Expected, terms: Mapping[str, Tensor]) -> dict[str, list[Tensor]]:
    """The gradient of each player's loss for the weights of its own networks; 0 where none arrives."""
    found = {}
    for name, (networks, weights) in players.items():
        parameters = [p for network in networks for p in network.parameters()]
        loss = sum(weight * terms[term].double().mean() for term, weight in weights.items())
        assert isinstance(loss, Tensor) and loss.requires_grad, name
        gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        found[name] = [torch.zeros_like(p) if g is None else g for p, g in zip(parameters, gradients, strict=True)]
    return found


def agree(model: Model, found: Mapping[str, Tensor], expected: Mapping[str, Tensor], players: Expected) -> None:
    """The same terms, and players that pull their networks in the same way.

    players: those that move, with the networks of the model's twin from which `expected` was computed.
    """
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert found[name].shape == value.shape, name
        torch.testing.assert_close(found[name].double(), value.double(), rtol=1e-4, atol=1e-5, msg=name)
    theirs = {name: (player.networks, player.weights) for name, player in model.players().items() if name in players}
    assert set(theirs) == set(players)
    wanted = pulls(players, expected)
    for name, gradients in pulls(theirs, found).items():
        assert len(gradients) == len(wanted[name]), name
        for g, h in zip(gradients, wanted[name], strict=True):
            assert g.shape == h.shape, name
            torch.testing.assert_close(g, h, rtol=1e-3, atol=1e-5, msg=name)


def table(model: Model, progress: float = 1.0) -> dict[str, tuple[tuple[str, ...], dict[str, float], float, tuple]]:
    """Player → names of its networks, weights of its terms, factor on the learning rate, Adam's β."""
    names = {id(module): name for name, module in model.named_modules()}
    return {
        name: (tuple(names[id(n)] for n in player.networks), dict(player.weights), player.lr, tuple(player.betas))
        for name, player in model.players(progress).items()
    }


def same_table(found: Mapping[str, tuple], expected: Mapping[str, tuple]) -> None:
    assert set(found) == set(expected)
    for name, (networks, weights, lr, betas) in expected.items():
        assert found[name][0] == networks, name
        assert found[name][1] == pytest.approx(weights), name
        assert found[name][2:] == (pytest.approx(lr), betas), name


def stopped(term: Tensor, network: nn.Module) -> bool:
    """Whether no gradient of this term reaches the network."""
    if not term.requires_grad:
        return True
    gradients = torch.autograd.grad(term.sum(), list(network.parameters()), retain_graph=True, allow_unused=True)
    return all(g is None or not g.any() for g in gradients)


def nine_gaussians(n: int = 4000) -> Data:
    """A grid of 3 × 3 Gaussians in the plane: the set of 25 at a size that a claim can be trained on in seconds."""
    generator = torch.Generator().manual_seed(5)
    which = torch.randint(9, (2 * n,), generator=generator)
    points = centres(3)[which] + NINE_STD * torch.randn(2 * n, 2, generator=generator)
    train, test = (TensorSplit(points[part], which[part].numpy()) for part in (slice(n), slice(n, None)))
    return Data(DataSpec(name="gaussians"), "nine Gaussians", (2,), train, test, "made")


def modes_of_nine(draws: Tensor) -> Modes:
    """The strict count: a mode is covered by a fifth of its share of the draws, within three standard deviations."""
    return modes(draws, centres(3), NINE_STD)


def modes_found(key: str, plan: Plan, **params: float) -> Modes:
    """Of 10,000 draws of a generator that was trained on nine Gaussians."""
    data = nine_gaussians()
    model = aecore.build(key, data.shape, plan.seed, code=2, **params)
    for _ in Training(model, data, plan, "cpu"):
        pass
    model.eval().requires_grad_(False)
    return modes_of_nine(model.sample(10_000, generator=torch.Generator().manual_seed(0)))
