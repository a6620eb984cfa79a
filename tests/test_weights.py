"""Who moves which networks, by which weighted terms, how fast and when: for every entry, at settings far from defaults.

The numbers are worked out by hand from the entries' equations, so that a wrong weight, sign or player of any model is
found without a training. A setting is never 1 or 0, nor equal to another one, where right and wrong would then agree.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest

import aecore
from aecore.catalog import seeded_build
from tests import conftest

pytestmark = pytest.mark.usefixtures("no_downloads")

GAN_BETAS = (0.5, 0.999)
SMALL = {"width": 16, "code": 3}


class Moves(NamedTuple):
    """What one player does: names of its networks, its weights, and its Adam where that is not the usual one."""

    networks: str
    weights: dict[str, float]
    lr: float = 1.0
    betas: tuple[float, float] = (0.9, 0.999)


class Case(NamedTuple):
    """An entry at these settings and this moment of its training."""

    key: str
    params: dict[str, object]
    players: dict[str, Moves]
    progress: float = 1.0
    turns: tuple[str, ...] = ()  # the players of each turn where they do not all move at once


BOTH = "encoder decoder"


def alone(key: str, weights: dict[str, float], progress: float = 1.0, networks: str = BOTH, **params: object) -> Case:
    """A model with one player, "autoencoder"."""
    return Case(key, params, {"autoencoder": Moves(networks, weights)}, progress)


def critic_and_generator(
    key: str,
    critic: dict[str, float],
    generator: dict[str, float],
    networks: str = BOTH,
    judge: str = "critic",
    turns: tuple[str, ...] = (),
    betas: tuple[float, float] = GAN_BETAS,
    **params: object,
) -> Case:
    players = {
        "critic": Moves(judge, critic, betas=betas),
        "generator": Moves(networks, generator, betas=betas),
    }
    return Case(key, params, players, turns=turns)


CASES = [
    Case("linear", {}, {"autoencoder": Moves(BOTH, {"recon": 1}, betas=(0.9, 0.95))}),
    alone("deep", {"recon": 1}),
    Case("stacked", {"stages": 0.6}, {"stage 1": Moves("encoder.0 decoder.4", {"stage": 1})}, 0.19),
    Case("stacked", {"stages": 0.6}, {"stage 2": Moves("encoder.2 decoder.2", {"stage": 1})}, 0.21),
    Case("stacked", {"stages": 0.6}, {"stage 3": Moves("encoder.4 decoder.0", {"stage": 1})}, 0.59),
    Case("stacked", {"stages": 0.6}, {"whole": Moves(BOTH, {"recon": 1})}, 0.6),
    Case("stacked", {"stages": 0.0}, {"whole": Moves(BOTH, {"recon": 1})}, 0.0),
    alone("sparse_l1", {"recon": 1, "sparsity": 0.3}, lam=0.3),
    alone("sparse_kl", {"recon": 1, "sparsity": 7}, lam=7.0, p=0.2),
    alone("denoising", {"recon": 1}),
    alone("mae", {"recon": 1}),
    Case("contractive", {"lam": 0.7}, {"autoencoder": Moves(BOTH, {"recon": 1, "jacobian": 0.7}, lr=10)}),
    alone("rae", {"recon": 1, "size": 0.3, "slope": 0.2}, beta=0.3, lam=0.2),
    alone("vae", {"recon": 1, "kl": 3}, beta=3.0),
    alone("vae", {"recon": 1, "kl": 0.75}, 0.1, beta=3.0, warmup=0.4),
    alone("beta_vae", {"recon": 1, "kl": 2.5}, beta=2.5),
    alone("beta_vae", {"recon": 1, "kl": 0.5}, 0.1, beta=2.5, warmup=0.5),
    alone("iwae", {"recon": 1, "kl": 1, "gain": -1}, K=3),
    alone("info_vae", {"recon": 1, "kl": 0.7, "mmd": 6.3}, alpha=0.3, lam=7.0),
    alone("info_vae", {"recon": 1, "kl": 0.175, "mmd": 1.575}, 0.1, alpha=0.3, lam=7.0, warmup=0.4),
    alone("beta_tcvae", {"recon": 1, "mi": 0.5, "tc": 3, "dw_kl": 2}, alpha=0.5, beta=3.0, gamma=2.0),
    Case(
        "factor_vae",
        {"gamma": 6.0, "warmup": 0.5},
        {
            "autoencoder": Moves(BOTH, {"recon": 1, "kl": 0.5, "tc": 3}),
            "critic": Moves("critic", {"critic": 0.5}, betas=(0.5, 0.9)),
        },
        0.25,
    ),
    alone("vq_vae", {"recon": 1, "codebook": 1, "commitment": 0.4}, networks="encoder decoder codebook", beta=0.4),
    Case(
        "aae",
        {"speed": 0.3, "gamma": 0.7},
        {
            "autoencoder": Moves(BOTH, {"recon": 1}),
            "critic": Moves("critic", {"critic": 1, "slope": 0.7}, 0.3, (0.5, 0.9)),
            "generator": Moves("encoder", {"adv": 1}, 0.3, (0.5, 0.9)),
        },
    ),
    critic_and_generator("ali", {"critic": 1, "slope": 3}, {"adv": 1}, gamma=3.0),
    critic_and_generator(
        "hali", {"critic": 1, "slope": 3}, {"adv": 1}, "encoder above prior decoder", gamma=3.0, top=2
    ),
    critic_and_generator("alice", {"critic": 1, "slope": 3}, {"adv": 1, "cycle": 0.2}, gamma=3.0, lam=0.2),
    Case(
        "attribute_ali",
        {"lam": 0.2, "read": 0.6, "attributes": 3},
        {
            "critic": Moves("critic", {"critic": 1}, betas=GAN_BETAS),
            "generator": Moves(BOTH, {"adv": 1, "cycle": 0.2, "told": 0.6}, 3, GAN_BETAS),
            "reader": Moves("reader", {"reading": 1}, 3),
        },
    ),
    Case(
        "attribute_ali",
        {"lam": 0.2, "read": 0.6, "attributes": 3, "head": False},
        {
            "critic": Moves("critic", {"critic": 1, "reading": 1}, betas=GAN_BETAS),
            "generator": Moves(BOTH, {"adv": 1, "cycle": 0.2, "told": 0.6}, 3, GAN_BETAS),
        },
    ),
    alone("cvae", {"recon": 1, "kl": 2.5}, beta=2.5),
    critic_and_generator(
        "gan", {"critic": 1, "slope": 1.5}, {"adv": 1}, "decoder", turns=("critic", "generator"), gamma=3.0
    ),
    critic_and_generator(
        "wgan",
        {"wasserstein": -1, "penalty": 3},
        {"adv": 1},
        "decoder",
        turns=("critic", "critic", "critic", "generator"),
        betas=(0.0, 0.9),
        lam=3.0,
        critic_steps=3,
    ),
    critic_and_generator(
        "wgan",
        {"wasserstein": -1},
        {"adv": 1},
        "decoder",
        turns=("critic", "critic", "generator"),
        betas=(0.0, 0.9),
        lam=3.0,
        critic_steps=2,
        lipschitz="clip",
    ),
    Case(
        "vae_gan",
        {"c": 5.0, "gamma": 0.3, "lam": 3.0},
        {
            "encoder": Moves("encoder", {"kl": 1, "features": 5}),
            "decoder": Moves("decoder", {"features": 1.5, "adv": 1}, betas=GAN_BETAS),
            "critic": Moves("critic", {"critic": 1, "slope": 1.5 * 64 / 784}, betas=GAN_BETAS),
        },
    ),
    critic_and_generator(
        "gmm_gan",
        {"critic": 1, "slope": 1.5, "code": 0.4},
        {"adv": 1, "code": 0.4},
        "decoder",
        "critic encoder",
        ("critic", "generator"),
        lam=0.4,
        gamma=3.0,
    ),
    alone("wae_mmd", {"recon": 1, "mmd": 3}, lam=3.0),
    Case(
        "wae_gan",
        {"lam": 3.0},
        {
            "autoencoder": Moves(BOTH, {"recon": 1, "adv": 3}, betas=GAN_BETAS),
            "critic": Moves("critic", {"critic": 1}, betas=GAN_BETAS),
        },
    ),
    Case("dfc_vae", {"pretraining": 0.4}, {"classifier": Moves("eye", {"label": 1})}, 0.39),
    alone("dfc_vae", {"features": 7, "kl": 2}, 0.4, pretraining=0.4, alpha=2.0, beta=7.0),
    Case("pixelcnn", {}, {"network": Moves("network head", {"nll": 1})}),
    Case("pixelrnn", {}, {"network": Moves("network head", {"nll": 1})}),
    alone("pixelcnn_decoder", {"nll": 1}, networks="encoder sketch network head"),
    alone("centroid", {"recon": 1}, 0.39, pretraining=0.4),
    Case(
        "centroid",
        {"pretraining": 0.4, "lam": 0.7},
        {"clustering": Moves(BOTH, {"recon": 1, "centre": 0.7})},
        0.4,
    ),
    alone("dcec", {"recon": 1}, 0.39, pretraining=0.4),
    Case(
        "dcec",
        {"pretraining": 0.4, "gamma": 7.0},
        {"clustering": Moves("encoder decoder clusters", {"recon": 1, "cluster": 7})},
        0.4,
    ),
    alone("gmvae", {"recon": 1, "kl_z": 1, "kl_w": 1, "kl_c": 1}, networks="encoder decoder prior"),
    alone("u_autorec", {"recon": 1, "weights": 0.3}, lam=0.3),
    alone("i_autorec", {"recon": 1, "weights": 0.3}, lam=0.3),
    alone("cfn", {"hidden": 0.8, "recon": 0.3, "weights": 0.05}, alpha=0.8, beta=0.3, lam=0.05),
    alone("cdae", {"recon": 1, "weights": 0.3}, networks="linear decoder", lam=0.3),
    alone("cdae", {"recon": 1, "weights": 0.3}, networks="linear decoder own", lam=0.3, users=5),
    alone("multi_vae", {"recon": 1, "kl": 0.15}, 0.1, beta=0.6, warmup=0.4),
    alone("multi_vae", {"recon": 1, "kl": 0.6}, beta=0.6, warmup=0.4),
]


def built(key: str, params: dict[str, object]) -> aecore.Model:
    entry = aecore.entry(key)
    small = {name: value for name, value in SMALL.items() if name in entry.params}
    return seeded_build(entry, conftest.MADE[entry.kinds[0]]().shape, {**small, **params}, 0)


def test_every_entry_has_its_row():
    assert {case.key for case in CASES} == set(aecore.CATALOG)


@pytest.mark.parametrize("case", CASES, ids=[f"{case.key}-{case.progress}" for case in CASES])
def test_players_move_their_networks_by_their_weighted_terms(case):
    model = built(case.key, case.params)
    players = model.players(case.progress)
    assert set(players) == set(case.players)
    named = dict(model.named_modules())
    for name, expected in case.players.items():
        player = players[name]
        assert [id(network) for network in player.networks] == [id(named[n]) for n in expected.networks.split()], name
        assert dict(player.weights) == pytest.approx(expected.weights), name
        assert player.lr == expected.lr, name
        assert player.betas == expected.betas, name
    turns = [(name,) for name in case.turns] or [tuple(case.players)]
    assert [set(turn) for turn in model.update_schedule(case.progress)] == [set(turn) for turn in turns]


@pytest.mark.parametrize("key", list(aecore.CATALOG))
def test_asking_for_the_players_changes_nothing(key):
    model = built(key, {})
    before = {name: value.clone() for name, value in model.state_dict().items()}
    plain = {name: value for name, value in vars(model).items() if not name.startswith("_")}
    first = {name: dict(player.weights) for name, player in model.players(0.3).items()}
    for progress in (0.0, 1.0, 0.5):
        model.players(progress)
        model.update_schedule(progress)
    assert {name: dict(player.weights) for name, player in model.players(0.3).items()} == first
    assert {name: value for name, value in vars(model).items() if not name.startswith("_")} == plain
    assert all((before[name] == value).all() for name, value in model.state_dict().items())
