"""Oracles of the autoencoders whose critics judge codes: AAE and WAE with a critic."""

from __future__ import annotations

import copy

import pytest
import torch

import aecore
from aecore import Batch
from aecore.catalog import seeded_build
from aecore.nn.distributions import PRIORS
from tests import conftest
from tests.games import agree, log_d, log_not_d, same_table, squared_slope, table

N = 6
DEFAULT = (0.9, 0.999)


def small(key: str, **params):
    torch.manual_seed(3)
    return aecore.build(key, (5,), seed=3, code=3, width=16, **params)


def batch() -> Batch:
    return Batch(torch.rand(N, 5, generator=torch.Generator().manual_seed(1)))


def distances(kind: str, x, logits):
    """Δ(x, x̂) of each example, one value after the other."""
    x, x_hat = x.double(), torch.sigmoid(logits.double())
    if kind == "squared":
        return torch.stack(
            [sum((a - b) ** 2 for a, b in zip(*pair, strict=True)) for pair in zip(x, x_hat, strict=True)]
        )
    return torch.stack(
        [
            -sum(a * torch.log(b) + (1 - a) * torch.log(1 - b) for a, b in zip(*pair, strict=True))
            for pair in zip(x, x_hat, strict=True)
        ]
    )


# --- AAE ------------------------------------------------------------------------------------------------------------


def aae_terms(model, kind, x, z):
    """Makhzani et al. (2015), §2, and the slope of Mescheder et al. (2018) on both sides.  z: of the prior."""
    h = model.encoder(x)

    def judge(codes):
        return model.critic(codes).squeeze(-1)

    of_prior, of_codes = squared_slope(judge, z), squared_slope(judge, h)
    return {
        "recon": distances(kind, x, model.decoder(h)),
        "critic": -log_d(judge(z)) - log_not_d(judge(h)),
        "adv": -log_d(judge(h)),
        "slope": (0.5 * of_prior + 0.5 * of_codes) / 2,
    }


@pytest.mark.parametrize("kind", ["squared", "bernoulli"])
@pytest.mark.parametrize("prior", ["normal", "mixture"])
def test_an_aaes_terms_and_pulls(prior, kind):
    model = small("aae", prior=prior, distance=kind, gamma=0.7, speed=2.0)
    twin, x = copy.deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, tuple(model.players()))
    torch.manual_seed(7)
    expected = aae_terms(twin, kind, x.x, PRIORS[prior](3).sample(N, torch.zeros(1)))
    players = {
        "autoencoder": ([twin.encoder, twin.decoder], {"recon": 1.0}),
        "critic": ([twin.critic], {"critic": 1.0, "slope": 0.7}),
        "generator": ([twin.encoder], {"adv": 1.0}),
    }
    agree(model, found, expected, players)
    with torch.no_grad():  # as held-out terms are taken
        torch.manual_seed(7)
        held_out = model.terms(x, tuple(model.players()))
    for name, value in expected.items():
        torch.testing.assert_close(held_out[name].double(), value.detach().double(), rtol=1e-4, atol=1e-5)
    assert not any(value.requires_grad for value in held_out.values())


def test_the_players_of_an_aae():
    short = (0.5, 0.9)
    expected = {
        "autoencoder": (("encoder", "decoder"), {"recon": 1.0}, 1.0, DEFAULT),
        "critic": (("critic",), {"critic": 1.0, "slope": 0.7}, 2.5, short),
        "generator": (("encoder",), {"adv": 1.0}, 2.5, short),
    }
    same_table(table(small("aae", gamma=0.7, speed=2.5)), expected)
    free = small("aae", gamma=0.0, speed=2.5)
    same_table(table(free), expected | {"critic": (("critic",), {"critic": 1.0}, 2.5, short)})
    assert "slope" not in free.terms(batch(), tuple(free.players()))
    assert free.update_schedule() == (("autoencoder", "critic", "generator"),)


@pytest.mark.parametrize("name", list(PRIORS))
def test_an_aae_samples_from_the_prior_it_was_given(name):
    model = small("aae", prior=name)
    assert type(model.prior) is PRIORS[name] and model.prior.size == 3
    found = model.sample(4, 1.0, torch.Generator().manual_seed(5))
    z = PRIORS[name](3).sample(4, torch.zeros(1), 1.0, torch.Generator().manual_seed(5))
    assert torch.equal(found, model.decoder(z).sigmoid())


# --- WAE with a critic ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["gaussian", "deterministic"])
def test_a_wae_gans_terms_and_pulls(encoding):
    """Tolstikhin et al. (2017), Algorithm 1."""
    model = small("wae_gan", lam=0.4, encoding=encoding)
    twin, x = copy.deepcopy(model), batch()
    torch.manual_seed(7)
    found = model.terms(x, tuple(model.players()))
    torch.manual_seed(7)
    z_tilde = twin.encoder(x.x)
    if encoding == "gaussian":
        z_tilde = z_tilde[:, :3] + (z_tilde[:, 3:] / 2).exp() * torch.randn(N, 3)
    z = torch.randn(N, 3)

    def judge(codes):
        return twin.critic(codes).squeeze(-1)

    expected = {
        "recon": distances("squared", x.x, twin.decoder(z_tilde)),
        "adv": -log_d(judge(z_tilde)),
        "critic": -log_d(judge(z)) - log_not_d(judge(z_tilde)),
    }
    players = {
        "autoencoder": ([twin.encoder, twin.decoder], {"recon": 1.0, "adv": 0.4}),
        "critic": ([twin.critic], {"critic": 1.0}),
    }
    agree(model, found, expected, players)


def test_the_players_of_a_wae_gan():
    adam = (0.5, 0.999)
    same_table(
        table(small("wae_gan", lam=0.4)),
        {
            "autoencoder": (("encoder", "decoder"), {"recon": 1.0, "adv": 0.4}, 1.0, adam),
            "critic": (("critic",), {"critic": 1.0}, 1.0, adam),
        },
    )


# --- every entry ------------------------------------------------------------------------------------------------------


def plain(value) -> object:
    """What can be compared of an attribute: numbers, words, and plain collections of them."""
    if isinstance(value, int | float | str | bool | None):
        return value
    if isinstance(value, list | tuple | dict | set | frozenset):
        return copy.deepcopy(value) if all(not isinstance(v, torch.nn.Module) for v in value) else None
    return None


def attributes_of(model: torch.nn.Module) -> dict[str, object]:
    return {
        f"{name}.{attribute}": plain(value)
        for name, module in model.named_modules()
        for attribute, value in vars(module).items()
        if not attribute.startswith("_")
    }


@pytest.mark.usefixtures("no_downloads")
@pytest.mark.parametrize("key", list(aecore.CATALOG))
def test_asking_for_players_and_turns_changes_nothing(key):
    """Pages, measures and the training loop ask whenever they like, also for another moment of the training."""
    entry = aecore.CATALOG[key]
    data = conftest.MADE[entry.kinds[0]]()
    params = {name: value for name, value in {"width": 16, "code": 3, "layers": 2}.items() if name in entry.params}
    if "attributes" in entry.params:
        params["attributes"] = 2
    model = seeded_build(entry, data.shape, params, 0)
    state, attributes = copy.deepcopy(model.state_dict()), attributes_of(model)
    random = torch.get_rng_state()
    once = [table(model, moment) for moment in (0.0, 0.3, 1.0)]
    for moment in (1.0, 0.7, 0.0, 0.3):
        model.update_schedule(moment)
        model.players(moment)
    assert attributes_of(model) == attributes
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)
    assert [table(model, moment) for moment in (0.0, 0.3, 1.0)] == once
