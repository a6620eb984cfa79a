"""Every entry of the catalog keeps the contract; then what is particular to the hard ones."""

from __future__ import annotations

import inspect
import math
import re
from collections.abc import Callable, Sequence

import pytest
import torch

import aecore
from aecore import Batch, DataSpec, FieldError, Plan, Run, Training
from aecore.catalog import seeded_build
from aecore.models.base import ABILITIES, Clustering
from aecore.models.gan import gradient_penalty
from aecore.models.regularised import kl_bernoulli
from aecore.runs.library import create
from aecore.training.loop import evaluate
from tests import conftest, naive

SMALL = {"width": 16, "code": 3, "layers": 2}
MOMENTS = (0.0, 0.1, 0.3, 0.5, 0.9, 1.0)  # of a training: every stage is met
CATALOG = aecore.CATALOG
KEYS = list(CATALOG)
KINDS = [(key, kind) for key in CATALOG for kind in CATALOG[key].kinds]
FIRST = [(key, CATALOG[key].kinds[0]) for key in CATALOG]
IMAGES = [key for key in CATALOG if "image" in CATALOG[key].kinds]

pytestmark = pytest.mark.usefixtures("no_downloads")


def some_slow(cases: Sequence, fast: Callable[..., bool]) -> list:
    """The cases as parameters of a test; all but the fast ones are marked slow."""
    return [case if fast(case) else pytest.param(*case, marks=pytest.mark.slow) for case in cases]


def small(key: str, shape=(1, 8, 8), seed: int = 0, **params):
    """The model of this key, as small as it gets but for `params`."""
    fitting = {name: value for name, value in SMALL.items() if name in CATALOG[key].params}
    return seeded_build(CATALOG[key], shape, {**fitting, **params}, seed)


def rows(model, data, **plan) -> list[dict]:
    plan = {"epochs": 1, "batch": 16, "held_out": 16, "precision": "fp32", **plan}
    return list(Training(model, data, Plan(**plan), "cpu"))


def finite(rows: list[dict]) -> bool:
    return all(math.isfinite(value) for row in rows for value in (row["train"] | row.get("test", {})).values())


def first_batch(data) -> Batch:
    return data.train.batch(torch.arange(16))


# --- the table ------------------------------------------------------------------------------------------


def keywords(build: type) -> dict[str, object]:
    """Keywords and defaults of a constructor; those of its bases where it passes **keywords on.

    Keyword-only parameters are what a base offers to its subclasses alone.
    """
    found: dict[str, object] = {}
    for base in build.__mro__:
        if "__init__" not in vars(base):
            continue
        own = inspect.signature(base.__init__).parameters.values()
        chosen = [p for p in own if p.default is not p.empty and p.kind is not p.KEYWORD_ONLY]
        found |= {p.name: p.default for p in chosen if p.name not in found}
        if not any(p.kind is p.VAR_KEYWORD for p in own):
            break
    return found


@pytest.mark.parametrize("key", KEYS)
def test_parameters_are_the_constructors_keywords(key):
    entry = CATALOG[key]
    assert {name: param.default for name, param in entry.params.items()} == keywords(entry.build)


@pytest.mark.parametrize("key", KEYS)
def test_defaults_lie_in_their_ranges(key):
    entry = CATALOG[key]
    assert entry.check({}) == {name: param.default for name, param in entry.params.items()}
    Plan(**entry.plan)


@pytest.mark.parametrize("key", KEYS)
def test_equation_marks_every_term(key):
    entry = CATALOG[key]
    assert set(re.findall(r"\\term\{(\w+)\}", entry.equation)) == set(entry.terms)
    assert entry.equation.count("{") == entry.equation.count("}")


@pytest.mark.parametrize("key", KEYS)
def test_docstring_names_source_and_departures(key):
    text = inspect.getdoc(CATALOG[key].build) or ""
    assert "Source:" in text and "Departures:" in text
    assert CATALOG[key].source and CATALOG[key].departures


@pytest.mark.parametrize("key", KEYS)
def test_a_model_can_do_what_its_entry_says(key):
    entry = CATALOG[key]
    model = small(key, conftest.MADE[entry.kinds[0]]().shape)
    assert entry.abilities <= set(ABILITIES)
    for ability in entry.abilities:
        for name in ABILITIES[ability]:
            assert hasattr(model, name), (ability, name)
    if {"sample", "decode"} <= entry.abilities:
        assert isinstance(model.has_standard_prior, bool) and callable(model.prior.sample)


@pytest.mark.parametrize("key", [key for key in KEYS if "assign" in CATALOG[key].abilities])
def test_clusters_have_centres_and_shares(key):
    model = small(key).eval()
    assert isinstance(model, Clustering)
    x = first_batch(conftest.images()).x
    shares = model.responsibilities(x)
    assert model.centres.shape == (shares.shape[1], model.code)
    assert torch.allclose(shares.sum(1), torch.ones(len(x)), atol=1e-5)
    assert torch.equal(model.assign(x), shares.argmax(1))


@pytest.mark.parametrize("key", KEYS)
def test_what_an_entry_says_of_its_parameters_is_so(key):
    entry = CATALOG[key]
    assert not entry.cluster_weight or (entry.cluster_weight in entry.params and "assign" in entry.abilities)
    assert (entry.recommends is not None) == (entry.kinds == ("ratings",))
    if entry.recommends:
        assert entry.recommends.side == ("side" in entry.params)
        assert not entry.recommends.hides or entry.recommends.hides in entry.params


# --- building and training ------------------------------------------------------------------------------


@pytest.mark.parametrize(("key", "kind"), some_slow(KINDS, FIRST.__contains__))
def test_builds_at_defaults_and_trains_two_steps(key, kind):
    data = conftest.MADE[kind]()
    model = aecore.build(key, data.shape)
    before = [p.clone() for p in model.parameters()]
    found = rows(model, data, epochs=2 * max(1, len(model.update_schedule()) // 2))
    assert finite(found) and found[-1]["step"] >= 2
    assert all((p != q).any() for p, q in zip(before, model.parameters(), strict=True) if p.numel() > 1)


SHAPES = [(key, shape) for key in IMAGES for shape in ((3, 8, 8), (1, 17, 17), (3, 32, 32))]


@pytest.mark.parametrize(("key", "shape"), some_slow(SHAPES, lambda case: case[1] == (3, 8, 8)))
def test_trains_on_images_of_any_size(key, shape):
    data = conftest.images(shape, n=4)
    model = small(key, shape)
    assert finite(rows(model, data, batch=2))


@pytest.mark.slow
@pytest.mark.parametrize("net", ["dense", "conv"])
@pytest.mark.parametrize("key", [key for key in IMAGES if "net" in CATALOG[key].params])
def test_trains_on_large_colour_images(key, net):
    data = conftest.images((3, 128, 128), n=2)
    assert finite(rows(small(key, data.shape, net=net), data, batch=2))


@pytest.mark.slow
@pytest.mark.parametrize("key", ["pixelcnn", "pixelrnn"])
def test_those_without_a_net_train_on_large_colour_images(key):
    data = conftest.images((3, 128, 128), n=2)
    assert finite(rows(small(key, data.shape, width=8), data, batch=2))


@pytest.mark.slow
@pytest.mark.parametrize("key", KEYS)
def test_trains_in_bf16(key):
    data = conftest.MADE[CATALOG[key].kinds[0]]()
    assert finite(rows(small(key, data.shape), data, precision="bf16"))


ENDS = [
    (key, name, value)
    for key, entry in CATALOG.items()
    for name, param in entry.params.items()
    for value in param.choices or (param.type(param.low or 0), param.type(param.high or 1))
]


def highest(case: tuple[str, str, object]) -> bool:
    """Whether this is the last value of the entry's last parameter: the one configuration for the fast lane."""
    return case == [end for end in ENDS if end[0] == case[0]][-1]


@pytest.mark.parametrize(("key", "name", "value"), some_slow(ENDS, highest))
def test_both_ends_of_each_range_run(key, name, value):
    data = conftest.MADE[CATALOG[key].kinds[0]]()
    if name == "attributes":
        data = conftest.with_attributes(data, value)
    found = rows(small(key, data.shape, **{name: value}), data, batch=32)
    assert finite(found)


@pytest.mark.parametrize(("key", "kind"), KINDS)
def test_terms_are_those_of_the_entry(key, kind):
    data = conftest.MADE[kind]()
    model = small(key, data.shape)
    terms: dict[str, torch.Tensor] = {}
    for progress in MOMENTS:
        terms |= model.terms(first_batch(data), tuple(model.players(progress)))
    assert set(terms) == set(CATALOG[key].terms)
    assert all(term.shape in ((), (16,)) for term in terms.values())


@pytest.mark.parametrize("key", KEYS)
def test_gradients_reach_every_parameter(key):
    data = conftest.MADE[CATALOG[key].kinds[0]]()
    model = small(key, data.shape)
    reached = set()
    for progress, turn in [(moment, turn) for moment in MOMENTS for turn in model.update_schedule(moment)]:
        terms = model.terms(first_batch(data), turn)
        for name in turn:
            player = model.players(progress)[name]
            loss = sum(weight * terms[term].mean() for term, weight in player.weights.items())
            parameters = [p for network in player.networks for p in network.parameters()]
            gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
            reached |= {id(p) for p, g in zip(parameters, gradients, strict=True) if g is not None}
    assert [name for name, p in model.named_parameters() if id(p) not in reached] == []


@pytest.mark.parametrize("key", KEYS)
def test_players_stay_themselves_while_weights_change(key):
    model = small(key, conftest.MADE[CATALOG[key].kinds[0]]().shape)
    networks: dict[str, list[int]] = {}
    for progress in MOMENTS:
        players = model.players(progress)
        assert {name for turn in model.update_schedule(progress) for name in turn} == set(players)
        for name, player in players.items():
            assert set(player.weights) <= set(CATALOG[key].terms)
            assert networks.setdefault(name, [id(n) for n in player.networks]) == [id(n) for n in player.networks]


def everyone(key: str) -> dict[str, None]:
    """The names of all who play at some moment."""
    return {name: None for moment in MOMENTS for name in small(key).players(moment)}


PLAYERS = [(key, name) for key in IMAGES for name in everyone(key)]


@pytest.mark.parametrize(("key", "player"), PLAYERS)
def test_a_players_step_leaves_all_other_weights_untouched(key, player):
    model = small(key)
    players = next(model.players(moment) for moment in MOMENTS if player in model.players(moment))
    model.players, model.update_schedule = lambda progress=1.0: players, lambda progress: ((player,),)
    model.on_epoch_start = lambda split, progress: None  # DCEC would find centres at the end
    own = {id(p) for network in players[player].networks for p in network.parameters()}
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    rows(model, conftest.images())
    for name, p in model.named_parameters():
        assert (id(p) in own) or torch.equal(before[name], p), name
    assert any(not torch.equal(before[name], p) for name, p in model.named_parameters() if id(p) in own)


@pytest.mark.parametrize("key", KEYS)
def test_same_seed_same_rows(key):
    data = conftest.MADE[CATALOG[key].kinds[0]]()
    once, again, other = (
        [row | {"seconds": 0} for row in rows(small(key, data.shape, seed=seed), data, seed=seed)] for seed in (1, 1, 2)
    )
    assert once == again
    assert once != other


@pytest.mark.parametrize("key", KEYS)
def test_saved_and_loaded_it_says_the_same(key):
    data = conftest.MADE[CATALOG[key].kinds[0]]()
    model = small(key, data.shape)
    rows(model, data)
    model.to(memory_format=torch.contiguous_format)  # in another layout convolutions round differently
    chosen = {name: value for name, value in SMALL.items() if name in CATALOG[key].params}
    run = create(key, DataSpec(name="digits"), chosen)
    run.save(shape=data.shape)
    run.save_model(model)
    loaded = Run.open(run.path).model()
    assert evaluate(loaded, data.test) == evaluate(model, data.test)
    model.eval()
    if "sample" in CATALOG[key].abilities:
        draw = [m.sample(3, 0.7, torch.Generator().manual_seed(3)) for m in (model, loaded)]
        assert torch.equal(*draw)
        assert draw[0].shape == (3, *data.shape)
        assert draw[0].min() >= 0 and draw[0].max() <= 1
    if "encode" in CATALOG[key].abilities:
        x = first_batch(data).x
        assert torch.equal(model.decode(model.encode(x)), loaded.decode(loaded.encode(x)))
        assert model.encode(x).shape == (16, model.code)


CONVOLVING = [key for key in KEYS if "net" in CATALOG[key].params and "vector" in CATALOG[key].kinds]


@pytest.mark.parametrize("key", CONVOLVING)
def test_convolutions_of_vectors_are_refused_with_the_remedy(key):
    with pytest.raises(FieldError, match=r"net: .*give dense"):
        aecore.build(key, (12,), net="conv")


# --- particular models ----------------------------------------------------------------------------------


def test_the_kls_weight_rises_over_the_warmup():
    model = small("beta_vae", beta=4.0, warmup=0.5)
    weights = [model.players(progress)["autoencoder"].weights["kl"] for progress in (0.0, 0.25, 0.5, 1.0)]
    assert weights == [0.0, 2.0, 4.0, 4.0]
    assert small("vae").players(0.0)["autoencoder"].weights["kl"] == 1.0


def test_no_default_switches_a_term_off():
    for key in KEYS:
        model = small(key, conftest.MADE[CATALOG[key].kinds[0]]().shape)
        players = [player for progress in MOMENTS for player in model.players(progress).values()]
        used = {term for player in players for term, weight in player.weights.items() if weight}
        assert used == set(CATALOG[key].terms), key


def test_denoising_without_noise_is_the_plain_autoencoder():
    x = Batch(torch.rand(8, 1, 8, 8))
    deep = small("deep")
    for params in ({"noise": "gaussian", "sigma": 0.0}, {"noise": "erasures", "p": 1.0}):
        model = small("denoising", **params)
        model.load_state_dict(deep.state_dict())
        assert torch.equal(model.terms(x, ("autoencoder",))["recon"], deep.terms(x, ("autoencoder",))["recon"])


def test_erasures_keep_with_probability_p():
    model = small("denoising", noise="erasures", p=0.2)
    kept = model.corrupt(torch.ones(200, 1, 16, 16)).mean()
    assert abs(float(kept) - 0.2) < 0.01


def test_beta_one_is_the_vae():
    one, vae = small("beta_vae", beta=1.0, seed=4), small("vae", seed=4)
    batch = first_batch(conftest.images())
    assert one.players()["autoencoder"].weights == vae.players()["autoencoder"].weights
    found = []
    for model in (one, vae):
        torch.manual_seed(0)
        found.append(model.terms(batch, ("autoencoder",)))
    assert all(torch.equal(found[0][name], found[1][name]) for name in ("recon", "kl"))


def test_sparse_kl_is_a_term_of_the_whole_batch():
    a = torch.rand(9, 5).double()
    assert float(kl_bernoulli(0.2, a.mean(0)).sum()) == pytest.approx(naive.kl_bernoulli_sum(0.2, a))
    assert float(kl_bernoulli(0.2, torch.tensor([0.2]))) == pytest.approx(0, abs=1e-6)
    terms = small("sparse_kl").terms(first_batch(conftest.images()), ("autoencoder",))
    assert terms["sparsity"].shape == () and terms["recon"].shape == (16,)


def test_five_critic_steps_to_one():
    model = small("wgan")
    moved: list[str] = []
    model.after_step = moved.append
    training = Training(model, conftest.images(), Plan(epochs=1, batch=5), "cpu")  # six minibatches
    found = list(training)
    assert moved == ["critic"] * 5 + ["generator"]
    assert found[-1]["step"] == 1 and training.draws == 6


def test_the_penalty_is_the_critics_slope():
    torch.manual_seed(0)
    critic = torch.nn.Sequential(torch.nn.Linear(4, 8), torch.nn.Tanh(), torch.nn.Linear(8, 1)).double()
    x = torch.rand(3, 4).double()
    found = gradient_penalty(critic, x, x)  # between x and itself lies x
    expected = [(naive.slope(critic, point) - 1) ** 2 for point in x]
    assert found.tolist() == pytest.approx(expected, rel=1e-5)
    (second,) = torch.autograd.grad(found.sum(), critic[0].weight)
    assert second.abs().max() > 0
    with torch.no_grad():  # as held-out terms are taken
        assert gradient_penalty(critic, x, x).tolist() == pytest.approx(expected, rel=1e-5)


def test_a_clipped_critic_stays_clipped():
    model = small("wgan", lipschitz="clip", c=0.02)
    rows(model, conftest.images(), epochs=6, lr=0.1)
    assert max(float(p.detach().abs().max()) for p in model.critic.parameters()) == pytest.approx(0.02)
    assert max(float(p.detach().abs().max()) for p in model.decoder.parameters()) > 0.02


def test_vae_gans_players_minimise_what_algorithm_1_says():
    model = small("vae_gan", c=1.0, gamma=0.25, lam=0.0)
    players = model.players()
    assert {name: dict(player.weights) for name, player in players.items()} == {
        "encoder": {"kl": 1.0, "features": 1.0},
        "decoder": {"features": 0.25, "adv": 1.0},
        "critic": {"critic": 1.0, "slope": 0.0},
    }
    networks = [id(n) for player in players.values() for n in player.networks]
    assert len(set(networks)) == len(networks) == 3  # nobody moves another's weights


AT_CHANCE = {
    "aae": 2 * math.log(2),
    "ali": 2 * math.log(2),
    "alice": 2 * math.log(2),
    "attribute_ali": 2 * math.log(2),
    "hali": 2 * math.log(2),
    "gan": 2 * math.log(2),
    "gmm_gan": 2 * math.log(2),
    "wae_gan": 2 * math.log(2),
    "vae_gan": 3 * math.log(3) - 2 * math.log(2),
    "wgan": 0.0,
}
"""What critics say when both sides are alike: of VAE/GAN's images two of three are decoded."""


class Instead(torch.nn.Module):
    """A network whose output has nothing to do with its input: made(n)."""

    def __init__(self, made):
        super().__init__()
        self.made = made

    def forward(self, x, *_):
        return self.made(len(x))


def drawn(model, n: int) -> Batch:
    """Data that a decoder can hit exactly: σ(N(0, I))."""
    return Batch(torch.randn(n, *model.shape).sigmoid())


def perfected(model) -> None:
    """Put in place of its networks what they aim at: codes are N(0, I), decoded images are the data's, σ(N(0, I))."""
    key = type(model).__name__
    model.decoder = Instead(lambda n: torch.randn(n, *model.shape))
    if key in ("AAE", "WAEGAN"):  # whose codes are points
        model.encoder = Instead(lambda n: torch.randn(n, model.code))
    elif key != "GMMGAN":  # whose encoder is a part of the critic's side
        model.encoder = Instead(lambda n: torch.zeros(n, 2 * model.code))  # μ and log σ²
    if key == "HALI":
        model.above.net = Instead(lambda n: torch.zeros(n, 2 * model.top))
        model.prior.given.net = model.encoder


FOOLED = [(key,) for key in KEYS if "adv" in CATALOG[key].terms]  # whose critic is to be fooled


@pytest.mark.parametrize(("key",), some_slow(FOOLED, lambda case: case[0] in ("gan", "aae")))
def test_a_critic_is_at_chance_on_equal_distributions_and_only_there(key):
    said = []
    for equal in (True, False):
        torch.manual_seed(0)
        model = small(key, width=32)
        if equal:
            perfected(model)
        player = model.players()["critic"]
        optimizer = torch.optim.Adam([p for net in player.networks for p in net.parameters()], 3e-3)
        for _ in range(60):
            terms = model.terms(drawn(model, 128), ("critic",))
            optimizer.zero_grad()
            sum(weight * terms[name].mean() for name, weight in player.weights.items()).backward()
            optimizer.step()
        with torch.no_grad():
            terms = model.terms(drawn(model, 1000), ("critic",))
            said.append(float(terms["wasserstein" if key == "wgan" else "critic"].mean()))
    assert said[0] == pytest.approx(AT_CHANCE[key], abs=0.03)
    assert abs(said[1] - AT_CHANCE[key]) > 0.04


@pytest.mark.parametrize(("lipschitz", "passes"), [("clip", 2), ("penalty", 3)])
def test_a_turn_of_wgans_critic_computes_nothing_in_vain(lipschitz, passes):
    model, seen = small("wgan", lipschitz=lipschitz), []
    for name in ("critic", "decoder"):
        getattr(model, name).register_forward_hook(lambda *_, name=name: seen.append(name))
    model.terms(first_batch(conftest.images()), ("critic",))
    assert seen.count("critic") == passes and seen.count("decoder") == 1


def test_unobserved_ratings_receive_no_gradient():
    data = conftest.ratings()
    x, _, mask, _ = first_batch(data)
    mask[:, 5] = 0  # nobody has rated item 5
    model = small("u_autorec", data.shape, lam=0.0)
    recon = model.terms(Batch(x, None, mask), ("autoencoder",))["recon"]
    V, W, b = model.encoder[1].weight, model.decoder.weight, model.decoder.bias
    for_V, for_W, for_b = torch.autograd.grad(recon.sum(), (V, W, b))
    assert for_W[5].abs().max() == 0 and for_b[5] == 0 and for_V[:, 5].abs().max() == 0
    assert (for_b[mask.sum(0) > 0] != 0).all()
    foreign = Batch(x + 100 * (1 - mask), None, mask)  # what is not observed does not matter
    assert torch.equal(model.terms(foreign, ("autoencoder",))["recon"], recon)


@pytest.mark.slow
def test_autorec_completes_ratings_better_than_the_items_means():
    generator = torch.Generator().manual_seed(0)
    taste, film = torch.randn(600, 2, generator=generator), torch.randn(40, 2, generator=generator)
    r = (3 + taste @ film.T / 1.5).clamp(1, 5)
    seen = torch.rand(600, 40, generator=generator) < 0.5
    data = conftest.ratings()
    train = conftest.Table((r * seen), seen.float())
    model = small("u_autorec", (40,), code=64, lam=1e-2)
    rows(model, aecore.Data(data.spec, "made", (40,), train, train, "made"), epochs=60, lr=1e-2, batch=64)
    with torch.no_grad():
        predicted = model.decode(model.encode(r * seen))
    means = (r * seen).sum(0) / seen.sum(0)
    rmse = (predicted - r)[~seen].square().mean().sqrt()
    assert rmse < 0.8 * (means.expand_as(r) - r)[~seen].square().mean().sqrt()
