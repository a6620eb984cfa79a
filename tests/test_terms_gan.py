"""Oracles of GAN and WGAN: every term, every player, and what each turn may compute."""

from __future__ import annotations

import math
from copy import deepcopy

import numpy as np
import pytest
import torch
from scipy.optimize import linprog
from scipy.stats import wasserstein_distance
from torch import nn

import aecore
from aecore import Batch
from aecore.measure.transport import wasserstein
from aecore.models.gan import Critic, critic_loss, fooling_loss, gradient_penalty, slope_at
from tests import naive
from tests.games import agree, log_d, log_not_d, same_table, squared_slope, stopped, table

N = 7
BOTH = ("critic", "generator")


def small(key: str, **params):
    torch.manual_seed(3)
    return aecore.build(key, (5,), seed=3, code=3, width=16, **params)


def batch() -> Batch:
    return Batch(torch.rand(N, 5, generator=torch.Generator().manual_seed(1)))


# --- losses -------------------------------------------------------------------------------------------------------


def test_the_losses_are_the_cross_entropies_of_goodfellow():
    real, fake = torch.randn(5), torch.randn(5)
    expected = -torch.sigmoid(real).log() - (1 - torch.sigmoid(fake)).log()
    assert torch.allclose(critic_loss(real, fake), expected, atol=1e-5)
    assert torch.allclose(fooling_loss(fake), -torch.sigmoid(fake).log(), atol=1e-5)
    zero = torch.zeros(1)
    assert float(critic_loss(zero, zero)) == pytest.approx(2 * math.log(2))
    assert critic_loss(torch.tensor([1.5]).half(), zero.half()).dtype == torch.float32


def test_the_slope_at_data_is_the_critics():
    torch.manual_seed(0)
    critic, x = Critic((4,), width=8).double(), torch.rand(3, 4).double()
    (logits, features), slope = slope_at(critic.judge, x)
    assert torch.equal(logits, critic(x)) and features.shape == (3, 8)
    expected = [naive.slope(lambda point: critic(point[None])[0], point) ** 2 for point in x]
    assert slope.tolist() == pytest.approx(expected, rel=1e-4)
    assert slope.requires_grad
    (second,) = torch.autograd.grad(slope.sum(), critic.head.weight)
    assert second.abs().max() > 0
    with torch.no_grad():  # as held-out terms are taken
        (logits, _), again = slope_at(critic.judge, x)
    assert not logits.requires_grad and again.tolist() == pytest.approx(expected, rel=1e-4)


def test_a_critics_logit_is_read_off_its_last_hidden_layer():
    critic, x = Critic((5,), width=8), torch.rand(N, 5)
    logits, features = critic.judge(x)
    hidden = x
    for layer in (layer for layer in critic.features if isinstance(layer, nn.Linear)):
        hidden = hidden @ layer.weight.T + layer.bias
        hidden = torch.where(hidden > 0, hidden, 0.2 * hidden)
    torch.testing.assert_close(features, hidden)
    torch.testing.assert_close(logits, hidden @ critic.head.weight[0] + critic.head.bias[0])


def test_the_penalty_is_taken_between_a_point_and_its_fake():
    torch.manual_seed(0)
    critic = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).double()
    x, x_tilde = torch.rand(3, 4).double(), 2 + torch.rand(3, 4).double()
    torch.manual_seed(5)
    found = gradient_penalty(critic, x, x_tilde)
    torch.manual_seed(5)
    share = torch.rand(3, 1)  # one for each example
    between = [t * a + (1 - t) * b for t, a, b in zip(share, x, x_tilde, strict=True)]
    expected = [(naive.slope(critic, point) - 1) ** 2 for point in between]
    assert found.tolist() == pytest.approx(expected, rel=1e-4)
    torch.manual_seed(5)
    with torch.no_grad():
        assert gradient_penalty(critic, x, x_tilde).tolist() == pytest.approx(expected, rel=1e-4)


# --- GAN ------------------------------------------------------------------------------------------------------------


def gan_terms(model, x, z, moving: tuple[str, ...]):
    """Goodfellow et al. (2014), Algorithm 1 with the loss of its §3; Mescheder et al. (2018), Eq. 9."""
    x_tilde = torch.sigmoid(model.decoder(z))
    if "generator" not in moving:
        x_tilde = x_tilde.detach()

    def judge(images):
        return model.critic.head(model.critic.features(images)).squeeze(-1)

    real, fake = judge(x), judge(x_tilde)
    terms = {}
    if "critic" in moving:
        terms |= {"critic": -log_d(real) - log_not_d(fake), "slope": squared_slope(judge, x)}
    if "generator" in moving:
        terms["adv"] = -log_d(fake)
    return terms


@pytest.mark.parametrize("turn", [("critic",), ("generator",), BOTH])
def test_a_gans_terms_and_pulls(turn):
    model = small("gan", gamma=3.0)
    twin, x = deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, turn)
    torch.manual_seed(7)
    expected = gan_terms(twin, x.x, torch.randn(N, 3), turn)
    players = {
        "critic": ([twin.critic], {"critic": 1.0, "slope": 1.5}),
        "generator": ([twin.decoder], {"adv": 1.0}),
    }
    agree(model, found, expected, {name: players[name] for name in turn})


@pytest.mark.parametrize("key", ["gan", "wgan", "gmm_gan"])
def test_nothing_leads_back_to_a_generator_that_does_not_move(key):
    model = small(key)
    assert all(stopped(term, model.decoder) for term in model.terms(batch(), ("critic",)).values())
    assert not stopped(model.terms(batch(), ("generator",))["adv"], model.decoder)
    with torch.no_grad():
        assert not model.fakes(4, BOTH)[1].requires_grad


def test_fakes_come_from_the_standard_normal_whatever_the_prior_is():
    model = small("gmm_gan", components=2)
    model.prior.means.fill_(9.0)
    torch.manual_seed(2)
    z, x_tilde = model.fakes(6, BOTH)
    torch.manual_seed(2)
    assert torch.equal(z, torch.randn(6, 3)) and torch.equal(x_tilde, model.decoder(z).sigmoid())
    assert model.sample(6).shape == (6, 5)


def test_the_players_of_gans():
    slow, fast = (0.5, 0.999), (0.0, 0.9)
    same_table(
        table(small("gan", gamma=3.0)),
        {
            "critic": (("critic",), {"critic": 1.0, "slope": 1.5}, 1.0, slow),
            "generator": (("decoder",), {"adv": 1.0}, 1.0, slow),
        },
    )
    same_table(
        table(small("wgan", lam=0.7, critic_steps=3)),
        {
            "critic": (("critic",), {"wasserstein": -1.0, "penalty": 0.7}, 1.0, fast),
            "generator": (("decoder",), {"adv": 1.0}, 1.0, fast),
        },
    )
    same_table(
        table(small("wgan", lipschitz="clip", lam=0.7)),
        {
            "critic": (("critic",), {"wasserstein": -1.0}, 1.0, fast),
            "generator": (("decoder",), {"adv": 1.0}, 1.0, fast),
        },
    )


def test_critic_and_generator_take_turns():
    assert small("gan").update_schedule(0.4) == (("critic",), ("generator",))
    assert small("gmm_gan").update_schedule() == (("critic",), ("generator",))
    assert small("wgan").update_schedule() == (("critic",),) * 5 + (("generator",),)
    assert small("wgan", critic_steps=2).update_schedule(0.1) == (("critic",), ("critic",), ("generator",))


# --- WGAN -----------------------------------------------------------------------------------------------------------


def wgan_terms(model, x, z, share, moving: tuple[str, ...]):
    """Gulrajani et al. (2017), Algorithm 1."""
    x_tilde = torch.sigmoid(model.decoder(z))
    if "generator" not in moving:
        x_tilde = x_tilde.detach()

    def f(images):
        return model.critic.head(model.critic.features(images)).squeeze(-1)

    terms = {"adv": -f(x_tilde)} if "generator" in moving else {}
    if "critic" in moving:
        terms["wasserstein"] = f(x) - f(x_tilde)
        slope = squared_slope(f, share * x + (1 - share) * x_tilde).sqrt()
        terms["penalty"] = (slope - 1) ** 2
    return terms


@pytest.mark.parametrize("turn", [("critic",), ("generator",), BOTH])
def test_a_wgans_terms_and_pulls(turn):
    model = small("wgan", lam=0.7)
    twin, x = deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, turn)
    torch.manual_seed(7)
    expected = wgan_terms(twin, x.x, torch.randn(N, 3), torch.rand(N, 1), turn)
    players = {
        "critic": ([twin.critic], {"wasserstein": -1.0, "penalty": 0.7}),
        "generator": ([twin.decoder], {"adv": 1.0}),
    }
    agree(model, found, expected, {name: players[name] for name in turn})


def test_a_clipped_wgan_logs_the_penalty_of_held_out_examples_alone():
    model = small("wgan", lipschitz="clip")
    assert set(model.terms(batch(), ("critic",))) == {"wasserstein"}
    with torch.no_grad():
        assert set(model.terms(batch(), BOTH)) == {"wasserstein", "penalty", "adv"}


def test_only_a_clipped_critics_own_step_clips_it():
    model = small("wgan", lipschitz="clip", c=0.03)
    before = deepcopy(model)
    model.after_step("generator")
    assert all(torch.equal(p, q) for p, q in zip(model.parameters(), before.parameters(), strict=True))
    model.after_step("critic")
    for p, q in zip(model.critic.parameters(), before.critic.parameters(), strict=True):
        assert torch.equal(p, q.clamp(-0.03, 0.03))
    assert all(torch.equal(p, q) for p, q in zip(model.decoder.parameters(), before.decoder.parameters(), strict=True))
    other = small("wgan", c=0.03)
    other.after_step("critic")
    assert max(float(p.detach().abs().max()) for p in other.critic.parameters()) > 0.03


# --- the exact distance -----------------------------------------------------------------------------------------------


def test_primal_equals_dual_on_small_problems():
    """Eq. 19 against Eq. 20: the supremum over all f with f(x) − f(y) ≤ ‖x − y‖, as a linear programme."""
    for n, dims in ((5, 1), (8, 2), (12, 3)):
        a, b = torch.randn(n, dims).double(), torch.randn(n, dims).double() + 1
        points = torch.cat([a, b])
        distance = torch.cdist(points, points).numpy()
        pairs = [(i, j) for i in range(2 * n) for j in range(2 * n) if i != j]
        constraints = np.zeros((len(pairs), 2 * n))
        for row, (i, j) in enumerate(pairs):
            constraints[row, i], constraints[row, j] = 1, -1
        gain = np.repeat([1 / n, -1 / n], n)
        dual = linprog(-gain, constraints, [distance[pair] for pair in pairs], bounds=[(0, None)] * (2 * n))
        assert wasserstein(a, b) == pytest.approx(-dual.fun, rel=1e-6)


def test_the_exact_distance_is_that_of_sorted_points_in_one_dimension():
    a, b = torch.randn(50, 1), 2 * torch.randn(50, 1) + 1
    assert wasserstein(a, b) == pytest.approx(wasserstein_distance(a[:, 0].numpy(), b[:, 0].numpy()), rel=1e-5)
    assert wasserstein(a, a) == 0
    assert wasserstein(a, a + 3) == pytest.approx(3, rel=1e-5)
    with pytest.raises(ValueError, match="one shape"):
        wasserstein(a, b[:10])
