"""What the formulas of clustering models say, by second implementations; each test takes milliseconds.

Terms with loops or in closed form at parameters that are not the defaults, stages, weights, stopped gradients.
"""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans
from torch import Tensor

import aecore
from aecore import Batch, Plan, Training
from aecore.data.base import TensorSplit
from aecore.measure.clustering import accuracy, ari, contingency, nmi, scores
from aecore.models import clustering
from aecore.models.clustering import (
    DCEC,
    GMVAE,
    Centroid,
    codes,
    k_means,
    kl_normals,
    means_of,
    sharpened,
    student_t,
)
from aecore.models.hybrid import GMMGAN
from aecore.nn.distributions import Normal
from aecore.nn.divergences import kl_standard
from tests import conftest, naive
from tests.claims import trained

# --- scores -----------------------------------------------------------------------------------------------


def test_scores_of_clusterings_that_are_known():
    y = np.arange(100) % 5
    renamed = np.array([3, 0, 4, 1, 2])[y]
    for perfect in (y, renamed):
        assert scores(perfect, y) == pytest.approx({"accuracy": 1, "nmi": 1, "ari": 1})
    constant = np.zeros(100, int)
    assert scores(constant, y) == pytest.approx({"accuracy": 0.2, "nmi": 0, "ari": 0})
    split = y * 2 + np.arange(100) // 50  # each label in two clusters: one of them has no name left
    assert accuracy(split, y) == 0.5
    assert accuracy(y, split) == 0.5 and nmi(split, y) < 1
    chance = np.random.default_rng(0).integers(0, 5, 5000)
    assert abs(ari(chance, np.arange(5000) % 5)) < 0.01
    with pytest.raises(ValueError, match="3 assignments for 2 labels"):
        accuracy(np.zeros(3, int), np.zeros(2, int))


def test_accuracy_takes_the_best_naming_of_all():
    generator = np.random.default_rng(1)
    for _ in range(5):
        assigned, y = generator.integers(0, 4, (2, 30))
        assert accuracy(assigned, y) == pytest.approx(naive.clustering_accuracy(assigned, y, 4))


# --- oracles ----------------------------------------------------------------------------------------------


def test_soft_assignments_and_their_target_follow_their_definitions():
    torch.manual_seed(0)
    h, centres = torch.randn(6, 3), torch.randn(4, 3)
    q = student_t(h, centres)
    frequencies = q.sum(0)
    assert q.tolist() == pytest.approx(np.array(naive.student_t(h, centres)), rel=1e-4)
    p = sharpened(q, frequencies)
    assert p.tolist() == pytest.approx(np.array(naive.sharpened(q)), rel=1e-4)
    assert torch.allclose(sharpened(q, frequencies / 7), p)  # only the ratios of f matter
    surest = q.max(1).values > 0.5
    even = sharpened(q, torch.ones(4))  # with equal frequencies the target is surer
    assert (even.max(1).values >= q.max(1).values - 1e-6).all() and surest.any()


def test_dcecs_term_is_the_divergence_of_target_and_assignment():
    torch.manual_seed(0)
    model = aecore.build("dcec", (1, 8, 8), 0, code=3, width=16)
    x = torch.rand(16, 1, 8, 8)
    found = model.terms(Batch(x), ("clustering",))["cluster"]
    q = model.responsibilities(x).detach()
    p = sharpened(q, model.frequencies)
    expected = [sum(float(b * (b / a).log()) for a, b in zip(*row, strict=True)) for row in zip(q, p, strict=True)]
    assert found.tolist() == pytest.approx(expected, abs=1e-5)
    assert (found >= -1e-6).all() and found.max() > 0.01
    even = aecore.build("dcec", (1, 8, 8), 0, code=3, width=16)
    with torch.no_grad():
        even.clusters.centres.copy_(even.clusters.centres[:1].expand(10, -1))
    assert even.terms(Batch(x), ("clustering",))["cluster"].abs().max() < 1e-5  # equal centres: P = Q


def test_centres_are_the_means_of_their_codes():
    torch.manual_seed(0)
    h, assigned, centres = torch.randn(20, 3), torch.arange(20) % 3, torch.randn(4, 3)
    found = means_of(h, assigned, centres)
    for k in range(3):
        assert torch.allclose(found[k], h[assigned == k].mean(0), atol=1e-6)
    assert torch.equal(found[3], centres[3])  # nobody is there: it stays


def test_k_means_is_the_same_every_time_and_serves_few_examples_too():
    h = torch.randn(50, 3, generator=torch.Generator().manual_seed(0))
    assert torch.equal(k_means(h, 5), k_means(h, 5))
    assert k_means(h[:3], 5).shape == (5, 3)


@pytest.mark.parametrize("key", ["centroid", "dcec"])
def test_clusters_begin_in_the_middle_of_an_epoch_if_that_is_where_the_pretraining_ends(key):
    data = conftest.images(n=64)
    model = aecore.build(key, data.shape, 0, code=3, width=16, clusters=4)
    found = []
    refresh = model.on_epoch_start
    model.on_epoch_start = lambda split, progress: (
        refresh(split, progress),
        found.append((progress, bool(model.begun))),
    )
    rows = list(Training(model, data, Plan(epochs=1, batch=16, precision="fp32"), "cpu"))
    assert found == [(0.0, False), (0.5, True), (1.0, True)]
    term = {"centroid": "centre", "dcec": "cluster"}[key]
    assert [term in row["train"] for row in rows] == [False, False, True, True]


@pytest.mark.parametrize("key", ["centroid", "dcec"])
@pytest.mark.parametrize("stop", [3, 4, 5, 6])
def test_stopped_around_its_change_of_stage_it_goes_on_as_if_it_never_had(key, stop):
    data, plan = conftest.images(n=64), Plan(epochs=3, batch=16, precision="fp32")

    def training() -> Training:
        return Training(
            aecore.build(key, data.shape, 0, code=3, width=16, clusters=4, pretraining=0.4), data, plan, "cpu"
        )

    whole = [row | {"seconds": 0} for row in training()]
    first, then = training(), training()
    for _, _ in zip(range(stop), first, strict=False):
        pass
    then.restore(*first.state())
    assert [row | {"seconds": 0} for row in then] == whole[first.step :]


@pytest.mark.parametrize(("kind", "buffer"), [(Centroid, "centres"), (GMMGAN, "prior.means")])
def test_what_is_estimated_from_all_examples_is_that_of_the_final_weights(kind, buffer, monkeypatch):
    key, refresh, found = {Centroid: "centroid", GMMGAN: "gmm_gan"}[kind], kind.on_epoch_start, []

    def watched(self, split, progress):
        refresh(self, split, progress)
        found.append((progress, copy.deepcopy(self.state_dict())))

    monkeypatch.setattr(kind, "on_epoch_start", watched)
    model = trained(key, conftest.images(n=64), epochs=2, batch=16, width=16, code=3)
    progress, last = found[-1]
    assert progress == 1 and all(torch.equal(value, last[name]) for name, value in model.state_dict().items())
    assert not torch.equal(last[buffer], found[-2][1][buffer])


def test_centroids_term_is_the_distance_to_the_nearest_centre():
    torch.manual_seed(0)
    model = aecore.build("centroid", (12,), 0, code=3, width=16, clusters=4)
    model.centres.normal_()
    x = torch.rand(16, 12)
    h = model.encode(x)
    found = model.terms(Batch(x), ("clustering",))["centre"]
    for i in range(16):
        distances = [float((h[i] - centre).square().sum().detach()) for centre in model.centres]
        assert float(found[i]) == pytest.approx(min(distances), rel=1e-4)
        assert int(model.assign(x)[i]) == int(np.argmin(distances))
    assert torch.equal(model.responsibilities(x).argmax(1), model.assign(x))


def tiny_gmvae() -> GMVAE:
    model = GMVAE((5,), code=2, clusters=3, style=2, lam=0.0, width=8)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.4)
    return model


def test_the_divergence_of_two_gaussians_equals_a_monte_carlo_estimate():
    torch.manual_seed(0)
    q, p = (Normal(torch.randn(1, 3), torch.randn(1, 3)) for _ in range(2))
    z = q.rsample(200_000)
    draws = q.log_prob(z) - p.log_prob(z)
    assert float(kl_normals(q, p)) == pytest.approx(float(draws.mean()), abs=5 * float(draws.std()) / 200_000**0.5)
    assert float(kl_normals(q, Normal(torch.zeros(1, 3), torch.zeros(1, 3)))) == pytest.approx(float(kl_standard(q)))


def test_a_gmvaes_terms_add_up_to_its_bound():
    """The paper's: z of the responsibilities and z of the KL are two draws. With one draw for both it is tighter."""
    torch.manual_seed(0)
    model, n = tiny_gmvae(), 50_000
    x = torch.rand(1, 5).expand(n, 5)
    with torch.no_grad():
        terms = model.terms(Batch(x), ("autoencoder",))
        each = terms["recon"] + terms["kl_z"] + terms["kl_w"]
        direct, tighter = naive.gmvae_bound(model, x), naive.gmvae_bound(model, x, draws=1)
    error = 5 * (float(each.std()) + float(direct.std())) / n**0.5
    found = float(each.mean() + terms["kl_c"])
    assert found == pytest.approx(float(direct.mean()), abs=error)
    assert found > float(tighter.mean()) + error
    assert error < 0.1 < float(terms["kl_c"])


def test_responsibilities_are_bayes_rule():
    torch.manual_seed(0)
    model = tiny_gmvae()
    z, w = torch.randn(4, 2), torch.randn(4, 2)
    pz_wc = model.prior(w)
    found = model.log_responsibilities(z, pz_wc).exp()
    for i in range(4):
        density = [
            math.exp(float(Normal(pz_wc.mu[i, c], pz_wc.logvar[i, c]).log_prob(z[i])))
            for c in range(model.prior.components)
        ]
        assert found[i].tolist() == pytest.approx([d / sum(density) for d in density], rel=1e-4)


def test_a_gmvae_with_equal_components_is_the_vae():
    torch.manual_seed(0)
    model = tiny_gmvae()
    with torch.no_grad():
        for p in model.prior.parameters():
            p.zero_()  # every p(z|w, c) = N(0, I)
        x = torch.rand(7, 5)
        terms = model.terms(Batch(x), ("autoencoder",))
    assert torch.allclose(terms["kl_z"], kl_standard(model.posteriors(x)[0]), atol=1e-5)
    assert float(terms["kl_c"]) == pytest.approx(0, abs=1e-6)


def test_lambda_nats_of_the_choice_are_free():
    model = tiny_gmvae()
    x = Batch(torch.rand(16, 5))
    model.lam = 5.0  # more than log 3, all there is to say
    free = model.terms(x, ("autoencoder",))["kl_c"]
    assert float(free.detach()) == 5.0
    assert all(
        (g is None or g.abs().max() == 0)
        for g in torch.autograd.grad(free, list(model.parameters()), allow_unused=True)
    )


def test_a_component_can_be_drawn_alone():
    torch.manual_seed(0)
    model = tiny_gmvae()
    like = torch.zeros(())
    with torch.no_grad():
        still = model.prior.sample(6, like, 0.0, torch.Generator().manual_seed(0), component=1)
        assert torch.allclose(still, model.prior(torch.zeros(1, 2)).mu[:, 1].expand(6, 2))
        mixed = model.prior.sample(300, like, 0.0, torch.Generator().manual_seed(0))
    assert len(mixed.unique(dim=0)) == 3


# --- terms and weights of every model -------------------------------------------------------------------


def vectors(n: int = 16, size: int = 6, seed: int = 0) -> Tensor:
    return torch.rand(n, size, generator=torch.Generator().manual_seed(seed))


def centroid(**params) -> Centroid:
    model = aecore.build("centroid", (6,), 0, **{"code": 3, "width": 16, "clusters": 4, **params})
    assert isinstance(model, Centroid)
    model.centres.normal_(0, 0.5, generator=torch.Generator().manual_seed(3))
    return model


def dcec(**params) -> DCEC:
    model = aecore.build("dcec", (6,), 0, **{"net": "dense", "code": 3, "width": 16, "clusters": 4, **params})
    assert isinstance(model, DCEC)
    model.frequencies.copy_(torch.tensor([0.1, 0.2, 0.3, 0.4]))
    return model


def weights_at(model: Centroid | DCEC | GMVAE) -> dict[float, dict[str, dict[str, float]]]:
    return {p: {name: dict(player.weights) for name, player in model.players(p).items()} for p in (0.0, 0.29, 0.3, 1.0)}


def test_who_lowers_what_at_which_stage():
    early = {"autoencoder": {"recon": 1.0}}
    for model, late in (
        (centroid(lam=0.7, pretraining=0.3), {"clustering": {"recon": 1.0, "centre": 0.7}}),
        (dcec(gamma=7.0, pretraining=0.3), {"clustering": {"recon": 1.0, "cluster": 7.0}}),
    ):
        assert weights_at(model) == {0.0: early, 0.29: early, 0.3: late, 1.0: late}
        networks = (model.encoder, model.decoder)
        assert model.players(0.0)["autoencoder"].networks == networks
        centres = (model.clusters,) if isinstance(model, DCEC) else ()
        assert model.players(1.0)["clustering"].networks == networks + centres
    model = tiny_gmvae()
    everything = {"autoencoder": {"recon": 1.0, "kl_z": 1.0, "kl_w": 1.0, "kl_c": 1.0}}
    assert all(found == everything for found in weights_at(model).values())
    assert model.players(0.5)["autoencoder"].networks == (model.encoder, model.decoder, model.prior)


@pytest.mark.parametrize("distance", ["squared", "bernoulli"])
@pytest.mark.parametrize("make", [centroid, dcec])
def test_the_reconstruction_is_a_sum_over_values_of_each_example(make, distance):
    model, x = make(distance=distance), vectors()
    x_hat = model.decoder(model.encoder(x)).sigmoid().tolist()
    expected = []
    for row, other in zip(x.tolist(), x_hat, strict=True):
        if distance == "squared":
            expected.append(sum((a - b) ** 2 for a, b in zip(row, other, strict=True)))
        else:
            expected.append(-sum(a * math.log(b) + (1 - a) * math.log(1 - b) for a, b in zip(row, other, strict=True)))
    early = model.terms(Batch(x), ("autoencoder",))
    assert set(early) == {"recon"}  # and no second term before its time
    assert early["recon"].tolist() == pytest.approx(expected, rel=1e-4)
    assert model.terms(Batch(x), ("clustering",))["recon"].tolist() == pytest.approx(expected, rel=1e-4)


# --- codes of all examples, k-means, centres ------------------------------------------------------------


def test_codes_of_all_examples_come_in_their_order_however_many_are_encoded_at_once(monkeypatch):
    model, x = centroid(), vectors(23)
    whole = model.encode(x)
    for numbers in (1, 6 * 5, 6 * 100):
        monkeypatch.setattr(clustering, "VALUES", numbers)
        found = codes(model, TensorSplit(x))
        assert found.dtype == torch.float32 and torch.allclose(found, whole, atol=1e-6)


def spread_around(h: Tensor, centres: Tensor) -> float:
    return sum(min(float((p - c).square().sum()) for c in centres) for p in h)


def test_k_means_keeps_the_best_of_ten_beginnings():
    """One beginning of its own is not enough to be as good as the best of seven others."""
    h = torch.randn(120, 2, generator=torch.Generator().manual_seed(1))
    others = [KMeans(12, n_init=1, random_state=seed).fit(h.double().numpy()).inertia_ for seed in range(1, 8)]
    assert spread_around(h, k_means(h, 12)) <= min(others)
    few = k_means(h[:3], 5)
    assert torch.equal(few, h[[0, 1, 2, 0, 1]])


def test_the_first_refresh_is_k_means_and_later_ones_move_centres_to_the_means_of_their_codes():
    model, split = centroid(pretraining=0.5), TensorSplit(vectors(40))
    with torch.no_grad():
        before = model.centres.clone()
        model.on_epoch_start(split, 0.4999)
        assert torch.equal(model.centres, before) and not model.begun  # in the pretraining nothing moves
        h = model.encode(split.x)
        model.on_epoch_start(split, 0.5)
        assert model.begun and torch.equal(model.centres, k_means(h, 4))
        for p in model.encoder.parameters():
            p.mul_(1.1)  # some training
        old, h = model.centres.clone(), model.encode(split.x)
        model.on_epoch_start(split, 0.75)
    nearest = naive.nearest(h, old)
    for k in range(4):
        mine = [code for code, owner in zip(h, nearest, strict=True) if owner == k]
        assert mine and torch.allclose(model.centres[k], torch.stack(mine).mean(0), atol=1e-5)
    assert not torch.allclose(model.centres, old, atol=1e-3)


def test_dcec_begins_once_with_k_means_and_then_counts_how_often_each_cluster_is_chosen():
    model, split = dcec(pretraining=0.5), TensorSplit(vectors(40))
    with torch.no_grad():
        before = (model.clusters.centres.clone(), model.frequencies.clone())
        model.on_epoch_start(split, 0.4999)
        assert torch.equal(model.clusters.centres, before[0]) and torch.equal(model.frequencies, before[1])
        assert not model.begun
        model.on_epoch_start(split, 0.5)
        h = model.encode(split.x)
        assert model.begun and torch.equal(model.clusters.centres, k_means(h, 4))
        for moment in (0.5, 1.0):
            expected = np.array(naive.student_t(h, model.clusters.centres)).mean(0)
            assert model.frequencies.tolist() == pytest.approx(expected.tolist(), rel=1e-4)
            model.clusters.centres.add_(torch.randn(4, 3))  # some training; k-means is not run again
            moved = model.clusters.centres.clone()
            model.on_epoch_start(split, moment)
            assert torch.equal(model.clusters.centres, moved)


# --- gradients ------------------------------------------------------------------------------------------


def test_a_code_is_pulled_straight_towards_the_nearest_centre_alone():
    """∇_h ‖h − c*‖² = 2 (h − c*); the centres themselves wait for the end of the epoch."""
    model, x = centroid(), vectors()
    h = model.encode(x).detach().requires_grad_()
    model.encoder = torch.nn.Module()
    model.encoder.forward = lambda x: h  # codes whose slopes can be seen
    found = model.terms(Batch(x), ("clustering",))["centre"]
    (slope,) = torch.autograd.grad(found.sum(), h)
    own = model.centres[naive.nearest(h, model.centres)]
    assert torch.allclose(slope, 2 * (h - own), atol=1e-5)
    assert not model.centres.requires_grad and not any(p is model.centres for p in model.parameters())


def test_dcecs_target_stands_still_while_codes_and_centres_move():
    """The paper's gradients with p as a constant (Xie et al. 2016, Eq. 4, 5):

    ∂L/∂h_i = 2 Σ_j (1 + ‖h_i − μ_j‖²)⁻¹ (p_ij − q_ij)(h_i − μ_j),  ∂L/∂μ_j = −2 Σ_i (1 + ‖h_i − μ_j‖²)⁻¹ (…)(…).
    """
    model, x = dcec(), vectors(5)
    h = model.encode(x).detach().requires_grad_()
    model.encoder = torch.nn.Module()
    model.encoder.forward = lambda x: h
    found = model.terms(Batch(x), ("clustering",))["cluster"]
    for_h, for_mu = torch.autograd.grad(found.sum(), (h, model.clusters.centres))
    mu, f = model.clusters.centres.detach(), model.frequencies.tolist()
    expected_h, expected_mu = torch.zeros(5, 3), torch.zeros(4, 3)
    for i in range(5):
        near = [1 / (1 + float((h[i].detach() - m).square().sum())) for m in mu]
        q = [value / sum(near) for value in near]
        weight = [a * a / b for a, b in zip(q, f, strict=True)]
        p = [value / sum(weight) for value in weight]
        assert float(found[i].detach()) == pytest.approx(
            sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)), abs=1e-5
        )
        for j in range(4):
            pull = 2 * near[j] * (p[j] - q[j]) * (h[i].detach() - mu[j])
            expected_h[i] += pull
            expected_mu[j] -= pull
    assert torch.allclose(for_h, expected_h, atol=1e-5) and torch.allclose(for_mu, expected_mu, atol=1e-5)


def test_dcecs_target_uses_the_frequencies_of_all_examples_and_not_of_its_minibatch():
    model, x = dcec(), vectors(5)
    before = model.terms(Batch(x), ("clustering",))["cluster"]
    one = torch.cat([model.terms(Batch(x[k : k + 1]), ("clustering",))["cluster"] for k in range(5)])
    assert torch.allclose(before, one, atol=1e-6)  # an example's term does not depend on its neighbours
    model.frequencies.copy_(torch.tensor([0.4, 0.3, 0.2, 0.1]))
    assert (model.terms(Batch(x), ("clustering",))["cluster"] - before).abs().min() > 1e-4


# --- the mixture's VAE, term by term --------------------------------------------------------------------


def gmvae(likelihood: str = "bernoulli", lam: float = 0.0) -> GMVAE:
    model = GMVAE((5,), code=2, clusters=3, style=4, lam=lam, likelihood=likelihood, c=3.0, width=8)
    with torch.no_grad():
        for p in model.parameters():
            p.normal_(0, 0.5, generator=torch.Generator().manual_seed(p.numel()))
    return model


def by_hand(model: GMVAE, x: Tensor, noise_z: Tensor, noise_w: Tensor) -> dict[str, Tensor]:
    """The terms of −L, one example, component and dimension at a time, differentiable; kl_c for each example."""
    parts: dict[str, list[Tensor]] = {"recon": [], "kl_z": [], "kl_w": [], "kl_c": []}
    out = model.encoder(x)
    for i in range(len(x)):
        mu_z, log_z, mu_w, log_w = out[i].split([2, 2, 4, 4])
        z, w = mu_z + (log_z / 2).exp() * noise_z[i], mu_w + (log_w / 2).exp() * noise_w[i]
        said = model.prior.net(w[None])[0]
        log_p, kl = [], []
        for c in range(3):
            mu, log = said[4 * c : 4 * c + 2], said[4 * c + 2 : 4 * c + 4]
            log_p.append(
                sum(-0.5 * (math.log(2 * math.pi) + log[d] + (z[d] - mu[d]) ** 2 / log[d].exp()) for d in (0, 1))
            )
            kl.append(
                sum(
                    0.5 * (log[d] - log_z[d]) + (log_z[d].exp() + (mu_z[d] - mu[d]) ** 2) / (2 * log[d].exp()) - 0.5
                    for d in (0, 1)
                )
            )
        total = sum(each.exp() for each in log_p)
        r = [each.exp() / total for each in log_p]
        x_hat = model.decoder(z[None])[0].sigmoid()
        if model.likelihood == "bernoulli":
            log_x = sum(x[i, d] * x_hat[d].log() + (1 - x[i, d]) * (1 - x_hat[d]).log() for d in range(5))
        else:  # N(x̂, 1 / 2c)
            log_x = sum(-model.c * (x[i, d] - x_hat[d]) ** 2 + 0.5 * math.log(model.c / math.pi) for d in range(5))
        parts["recon"].append(-log_x)
        parts["kl_z"].append(sum(a * b for a, b in zip(r, kl, strict=True)))
        parts["kl_w"].append(sum(0.5 * (mu_w[d] ** 2 + log_w[d].exp() - 1 - log_w[d]) for d in range(4)))
        parts["kl_c"].append(sum(a * (a / (1 / 3)).log() for a in r))
    return {name: torch.stack([torch.as_tensor(v) for v in values]) for name, values in parts.items()}


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_a_gmvaes_terms_and_their_gradients_are_those_of_loops(likelihood):
    model, x = gmvae(likelihood), vectors(6, 5)
    torch.manual_seed(5)
    noise_z, noise_w = torch.empty(6, 2).normal_(), torch.empty(6, 4).normal_()
    torch.manual_seed(5)
    found = model.terms(Batch(x), ("autoencoder",))
    expected = by_hand(model, x, noise_z, noise_w)
    expected["kl_c"] = expected["kl_c"].mean()
    for name, term in found.items():
        assert torch.allclose(term, expected[name], rtol=1e-4, atol=1e-4), name
    for name in found:
        slopes = (
            torch.autograd.grad(terms[name].sum(), list(model.parameters()), retain_graph=True, allow_unused=True)
            for terms in (found, expected)
        )
        for (parameter, _), one, other in zip(model.named_parameters(), *slopes, strict=True):
            assert (one is None) == (other is None), (name, parameter)
            assert one is None or torch.allclose(one, other, rtol=1e-3, atol=1e-4), (name, parameter)


def test_only_what_the_choice_says_beyond_lambda_nats_is_penalised():
    """max(λ, mean over the batch), not the mean of each example's maximum."""
    x = Batch(vectors(16, 5))
    means = {}
    for lam in (0.0, 0.01, 0.9):
        torch.manual_seed(3)
        means[lam] = float(gmvae(lam=lam).terms(x, ("autoencoder",))["kl_c"].detach())
    assert 0.01 < means[0.0] < 0.9
    assert means[0.01] == means[0.0] and means[0.9] == pytest.approx(0.9)


def test_codes_assignments_and_centres_of_a_gmvae_are_those_of_the_means():
    model, x = gmvae(), vectors(6, 5)
    out = model.encoder(x)
    assert torch.equal(model.encode(x), out[:, :2])
    (qz, qw), said = model.posteriors(x), model.prior(out[:, 4:8])
    assert (
        torch.equal(qz.logvar, out[:, 2:4]) and torch.equal(qw.mu, out[:, 4:8]) and torch.equal(qw.logvar, out[:, 8:])
    )
    found = model.responsibilities(x)
    for i in range(6):
        density = [
            math.prod(
                math.exp(
                    -0.5 * (float(out[i, d]) - float(said.mu[i, c, d])) ** 2 / math.exp(float(said.logvar[i, c, d]))
                )
                / math.sqrt(2 * math.pi * math.exp(float(said.logvar[i, c, d])))
                for d in (0, 1)
            )
            for c in range(3)
        ]
        assert found[i].tolist() == pytest.approx([d / sum(density) for d in density], rel=1e-4)
        assert int(model.assign(x)[i]) == density.index(max(density))
    at_zero = model.prior.net(torch.zeros(1, 4))[0].view(3, 2, 2)[:, 0]
    assert torch.allclose(model.centres, at_zero, atol=1e-6)


def test_a_draw_of_the_prior_is_scaled_in_both_of_its_codes_by_the_temperature():
    model = gmvae()
    for temperature in (0.4, 1.7):
        generator = torch.Generator().manual_seed(9)
        which = torch.randint(3, (7,), generator=generator)
        w = temperature * torch.empty(7, 4).normal_(generator=generator)
        said = model.prior.net(w).view(7, 3, 2, 2)
        xi = torch.empty(7, 2).normal_(generator=generator)
        for component in (None, 2):
            chosen = which if component is None else torch.full((7,), component)
            mu, log = (said[torch.arange(7), chosen, k] for k in (0, 1))
            found = model.prior.sample(7, xi, temperature, torch.Generator().manual_seed(9), component)
            assert torch.allclose(found, mu + temperature * (log / 2).exp() * xi, atol=1e-6)
            if component is not None:
                drawn = model.sample_component(component, 7, temperature, torch.Generator().manual_seed(9))
                assert torch.allclose(drawn, model.decoder(found).sigmoid(), atol=1e-6)


def test_components_begin_apart():
    """Their means at w = 0 are N(0, ½²); their variances begin at 1."""
    prior = clustering.MixturePrior(40, 30, 5, 16)
    said = prior(torch.zeros(1, 5))
    assert float(said.mu.detach().std()) == pytest.approx(0.5, rel=0.15)
    assert float(said.logvar.detach().abs().max()) < 1.0
    last = prior.net[2].bias.detach().view(30, 2, 40)
    assert float(last[:, 0].std()) == pytest.approx(0.5, rel=0.1) and float(last[:, 1].abs().max()) <= 0.25


# --- scores of clusterings ------------------------------------------------------------------------------


def test_scores_are_those_of_their_formulas():
    """NMI by the arithmetic mean of the entropies, ARI by counting pairs: everything by loops over examples."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 3, 40)
    assigned = np.where(rng.random(40) < 0.6, (y + 1) % 3, rng.integers(0, 4, 40))
    counts = contingency(assigned, y)
    assert counts.tolist() == [[sum((assigned == k) & (y == c)) for c in range(3)] for k in range(4)]
    p = counts / 40

    def entropy(q):
        return -sum(v * math.log(v) for v in q if v > 0)

    rows, columns = p.sum(1), p.sum(0)
    shared = sum(p[k, c] * math.log(p[k, c] / rows[k] / columns[c]) for k in range(4) for c in range(3) if p[k, c])
    assert nmi(assigned, y) == pytest.approx(shared / (0.5 * (entropy(rows) + entropy(columns))))
    pairs = [(assigned[i] == assigned[j], y[i] == y[j]) for i in range(40) for j in range(i)]
    both, first, second = sum(a and b for a, b in pairs), sum(a for a, _ in pairs), sum(b for _, b in pairs)
    chance = first * second / len(pairs)
    assert ari(assigned, y) == pytest.approx((both - chance) / (0.5 * (first + second) - chance))
    found = scores(assigned, y)
    assert found == {"accuracy": accuracy(assigned, y), "nmi": nmi(assigned, y), "ari": ari(assigned, y)}
