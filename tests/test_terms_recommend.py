"""Models of ratings, their splits and scores, against second implementations with loops over users and items."""

from __future__ import annotations

import math
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.sparse import csr_matrix
from torch import Tensor

import aecore
from aecore import Batch
from aecore.data import DataSpec, ratings
from aecore.data.sets import rating_sets, world
from aecore.models import recommender
from aecore.tasks import recommend

USERS, ITEMS = 5, 7


def batch_of(side: int = 0, seed: int = 0) -> Batch:
    """Ratings from 1 to 5, about half of them observed. Where nothing was observed stands a number all the same."""
    generator = torch.Generator().manual_seed(50 + seed)
    x = torch.randint(1, 6, (USERS, ITEMS), generator=generator).float()
    mask = (torch.rand(USERS, ITEMS, generator=generator) < 0.6).float()
    mask[:, 0] = 1
    s = torch.rand(USERS, side, generator=generator) if side else None
    return Batch(x, torch.tensor([2, -1, 0, 9, 1]), mask, s)


def shaken(model: Any) -> Any:
    """The model with random weights and biases everywhere: nothing is 0 that could hide an error."""
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def terms_of(model: Any, batch: Batch) -> dict[str, Tensor]:
    return {name: term.detach() for name, term in model.terms(batch, ("autoencoder",)).items()}


def layer(weight: Tensor, bias: Tensor, inputs: list[float]) -> list[float]:
    """W x + b, one number at a time."""
    weight, bias = weight.detach(), bias.detach()
    return [
        float(bias[k]) + sum(float(weight[k, j]) * inputs[j] for j in range(len(inputs))) for k in range(len(weight))
    ]


def sigmoid(values: list[float]) -> list[float]:
    return [1 / (1 + math.exp(-v)) for v in values]


def half_squares(*matrices: Tensor) -> float:
    return 0.5 * sum(float(value) ** 2 for matrix in matrices for value in matrix.detach().flatten())


# --- AutoRec --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["u_autorec", "i_autorec"])
@pytest.mark.parametrize(("f", "g"), list(product(("identity", "sigmoid"), repeat=2)))
def test_autorec_counts_observed_ratings_alone(key, f, g):
    batch = batch_of()
    model = shaken(aecore.build(key, (ITEMS,), code=3, lam=0.7, f=f, g=g))
    model.range.copy_(torch.tensor([1.5, 4.0]))
    bend = {"identity": lambda values: values, "sigmoid": sigmoid}
    (V, mu), (W, b) = ((part.weight, part.bias) for part in (model.encoder[1], model.decoder))
    expected = []
    for u in range(USERS):
        r = [float(batch.x[u, i]) if batch.mask[u, i] else 0.0 for i in range(ITEMS)]
        h = bend[f](layer(W, b, bend[g](layer(V, mu, r))))
        h = [1.5 + 2.5 * value for value in h] if f == "sigmoid" else h
        expected.append(sum((r[i] - h[i]) ** 2 for i in range(ITEMS) if batch.mask[u, i]))
    terms = terms_of(model, batch)
    assert terms["recon"].tolist() == pytest.approx(expected, rel=1e-4)
    assert float(terms["weights"]) == pytest.approx(half_squares(V, W), rel=1e-5)
    (player,) = model.players(0.3).values()
    assert player.weights == {"recon": 1.0, "weights": 0.7}
    assert set(player.networks) == {model.encoder, model.decoder}
    assert model.recommends.examples == ("items" if key == "i_autorec" else "users")
    assert (model.recommends.predicts, model.recommends.side) == ("stars", False)


def test_a_batch_without_a_mask_is_wholly_observed():
    batch = batch_of()
    model = shaken(aecore.build("u_autorec", (ITEMS,), code=3))
    whole = Batch(batch.x, None, torch.ones_like(batch.x))
    assert torch.equal(terms_of(model, Batch(batch.x))["recon"], terms_of(model, whole)["recon"])


def split_of(batch: Batch) -> ratings.Rows:
    """These ratings as a split; a pair without a rating is not stored."""
    u, i = np.nonzero(batch.mask.numpy())
    side = None if batch.attributes is None else batch.attributes.numpy()
    return ratings.Rows(csr_matrix((batch.x.numpy()[u, i], (u, i)), (USERS, ITEMS)), side)


def test_the_range_of_a_sigmoid_output_is_that_of_the_observed_training_ratings():
    split = ratings.Rows(csr_matrix(np.array([[0, 2.5, 0], [4, 0, 3.5]], np.float32)))
    model = aecore.build("u_autorec", (3,), code=2, f="sigmoid")
    model.on_epoch_start(split, 0.4)
    assert model.range.tolist() == [0, 1]  # only at the start of the training
    model.on_epoch_start(split, 0.0)
    assert model.range.tolist() == [2.5, 4]
    linear = aecore.build("u_autorec", (3,), code=2, f="identity")
    linear.on_epoch_start(split, 0.0)
    assert linear.range.tolist() == [0, 1]


# --- CFN ------------------------------------------------------------------------------------------------------------


def cfn(batch: Batch) -> Any:
    model = shaken(aecore.build("cfn", (ITEMS,), code=3, noise=0.4, alpha=1.7, beta=0.3, lam=0.9, side=2))
    model.on_epoch_start(split_of(batch), 0.0)
    return model


def test_cfn_weights_hidden_and_shown_ratings_each_by_its_own(monkeypatch):
    batch = batch_of(side=2)
    model, (x, _, mask, s) = cfn(batch), batch
    draws = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(3))
    monkeypatch.setattr(recommender.torch, "rand_like", lambda like: draws)
    (V, mu), (W, b) = ((part.weight, part.bias) for part in (model.encoder[1], model.decoder))
    hidden, shown = [0.0] * USERS, [0.0] * USERS
    for u in range(USERS):
        known = {i: float(x[u, i] - model.centre[i]) for i in range(ITEMS) if mask[u, i]}
        told = [known[i] if i in known and draws[u, i] >= 0.4 else 0.0 for i in range(ITEMS)]
        a = [math.tanh(v) for v in layer(V, mu, told + s[u].tolist())]
        h = layer(W, b, a + s[u].tolist())
        for i, r in known.items():
            (hidden if draws[u, i] < 0.4 else shown)[u] += (r - h[i]) ** 2
    terms = terms_of(model, batch)
    assert sum(hidden) > 1 and sum(shown) > 1
    assert terms["hidden"].tolist() == pytest.approx(hidden, rel=1e-4)
    assert terms["recon"].tolist() == pytest.approx(shown, rel=1e-4)
    assert float(terms["weights"]) == pytest.approx(half_squares(V, W), rel=1e-5)
    assert model.players(0.2)["autoencoder"].weights == {"hidden": 1.7, "recon": 0.3, "weights": 0.9}
    assert (model.recommends.hides, model.recommends.side) == ("noise", True)


def test_cfn_is_centred_by_shrunk_column_means_of_the_training_ratings():
    batch = batch_of()
    model = aecore.build("cfn", (ITEMS,), code=3)
    model.on_epoch_start(split_of(batch), 0.5)
    assert not model.centre.any()
    model.on_epoch_start(split_of(batch), 0.0)
    all_ = [float(batch.x[u, i]) for u in range(USERS) for i in range(ITEMS) if batch.mask[u, i]]
    mean = sum(all_) / len(all_)
    for i in range(ITEMS):
        column = [float(batch.x[u, i]) for u in range(USERS) if batch.mask[u, i]]
        assert float(model.centre[i]) == pytest.approx((sum(column) + 5 * mean) / (len(column) + 5), rel=1e-5)
    before = model.centre.clone()
    model.on_epoch_start(split_of(batch_of(seed=1)), 0.0)  # a training that goes on keeps its centre
    assert torch.equal(model.centre, before)


def test_cfn_predicts_from_centred_known_ratings_and_side_information():
    batch = batch_of(side=2)
    model = cfn(batch)
    x, s = batch.x * batch.mask, batch.attributes
    (V, mu), (W, b) = ((part.weight, part.bias) for part in (model.encoder[1], model.decoder))
    for side in (s, None):
        found = model.decode(model.encode(x, side), side).detach()
        for u in range(USERS):
            also = [0.0, 0.0] if side is None else side[u].tolist()
            r = [float(x[u, i] - model.centre[i]) if x[u, i] else 0.0 for i in range(ITEMS)]
            h = layer(W, b, [math.tanh(v) for v in layer(V, mu, r + also)] + also)
            assert found[u].tolist() == pytest.approx([h[i] + float(model.centre[i]) for i in range(ITEMS)], rel=1e-4)


# --- CDAE -----------------------------------------------------------------------------------------------------------


def cdae(**changes: Any) -> Any:
    params = {"code": 3, "q": 0.3, "negatives": 1.5, "lam": 0.6, "like": 3.0, "users": 4, **changes}
    return shaken(aecore.build("cdae", (ITEMS,), **params))


def test_a_like_is_an_observed_rating_of_at_least_the_threshold():
    x = torch.tensor([[3.0, 2.9, 4.0, 0.0, -2.0]])
    mask = torch.tensor([[1.0, 1.0, 0.0, 1.0, 1.0]])
    assert recommender.liked(x, 3.0, mask).tolist() == [[1, 0, 0, 0, 0]]
    assert recommender.liked(x, 3.0).tolist() == [[1, 0, 1, 0, 0]]
    assert recommender.liked(x, -5.0).tolist() == [[1, 1, 1, 0, 1]]
    assert recommender.liked(x, -5.0, mask).tolist() == [[1, 1, 0, 1, 1]]


def test_cdae_sums_the_cross_entropy_of_likes_and_of_drawn_others(monkeypatch):
    batch, model = batch_of(), cdae()
    draws = torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(4))
    keep = (torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(5)) < 0.5).float()
    asked = []

    def dropout(y: Tensor, p: float, training: bool) -> Tensor:
        asked.append((p, training))
        return y * keep / (1 - p) if training else y

    monkeypatch.setattr(recommender.torch, "rand_like", lambda like: draws)
    monkeypatch.setattr(recommender.F, "dropout", dropout)
    (V, mu), (W, b) = ((part.weight, part.bias) for part in (model.linear, model.decoder))
    counted = 0
    for training in (True, False):
        terms = terms_of(model.train(training), batch)
        for u in range(USERS):
            y = [float(batch.x[u, i] >= 3 and batch.mask[u, i] > 0) for i in range(ITEMS)]
            damaged = [y[i] * float(keep[u, i]) / 0.7 for i in range(ITEMS)] if training else y
            number = int(batch.y[u])
            v = model.own.weight[number].tolist() if 0 <= number < 4 else [0.0] * 3
            z = sigmoid([a + c for a, c in zip(layer(V, mu, damaged), v, strict=True)])
            p = sigmoid(layer(W, b, z))
            total, chance = 0.0, 1.5 * sum(y) / max(1, ITEMS - sum(y))
            for i in range(ITEMS):
                if y[i]:
                    total -= math.log(p[i])
                elif draws[u, i] < chance:
                    total -= math.log(1 - p[i])
                    counted += 1
            assert float(terms["recon"][u]) == pytest.approx(total, rel=1e-4)
            squares = half_squares(V, W) + 0.5 * sum(a * a for a in v)
            assert float(terms["weights"][u]) == pytest.approx(squares, rel=1e-5)
    assert asked == [(0.3, True), (0.3, False)] and 0 < counted < 2 * USERS * ITEMS
    (player,) = model.players(0.3).values()
    assert player.weights == {"recon": 1.0, "weights": 0.6}
    assert set(player.networks) == {model.linear, model.decoder, model.own}
    assert (model.recommends.predicts, model.recommends.examples) == ("ranking", "users")


def test_each_known_user_has_a_vector_of_their_own_and_visitors_have_none():
    model, batch = cdae().eval(), batch_of()
    x = batch.x * batch.mask
    (V, mu), (W, b) = ((part.weight, part.bias) for part in (model.linear, model.decoder))
    own = model.own.weight
    for y in (batch.y, None):
        found = model.encode(x, y).detach()
        for u in range(USERS):
            number = -1 if y is None else int(y[u])
            v = own[number].tolist() if 0 <= number < 4 else [0.0] * 3
            a = layer(V, mu, [float(value >= 3) for value in x[u]])
            assert found[u].tolist() == pytest.approx(sigmoid([p + q for p, q in zip(a, v, strict=True)]), rel=1e-4)
            chances = model.decode(found[u : u + 1])[0].tolist()
            assert chances == pytest.approx(sigmoid(layer(W, b, found[u].tolist())), rel=1e-4)
    moved = model.vectors(torch.tensor([2, 9, -1]), 3).sum()
    (slope,) = torch.autograd.grad(moved, own)
    assert slope[2].tolist() == [1, 1, 1] and not slope[[0, 1, 3]].any()


# --- Mult-VAE -------------------------------------------------------------------------------------------------------


def multi_vae(**changes: Any) -> Any:
    params = {"code": 2, "width": 16, "like": 3.0, "beta": 0.6, "warmup": 0.25, "dropout": 0.3, **changes}
    return shaken(aecore.build("multi_vae", (ITEMS,), **params))


def mlp(network: Any, inputs: list[float]) -> list[float]:
    """The two layers of Mult-VAE's encoder or decoder, with tanh between."""
    hidden = [math.tanh(v) for v in layer(network[0].weight, network[0].bias, inputs)]
    return layer(network[2].weight, network[2].bias, hidden)


def test_mult_vae_is_a_multinomial_of_normalised_likes(monkeypatch):
    """Liang et al. (2018), Eq. 2 and 7: f_i = log softmax, y / ‖y‖ into the encoder, y itself in the likelihood."""
    batch, model = batch_of(), multi_vae()
    keep = (torch.rand(USERS, ITEMS, generator=torch.Generator().manual_seed(5)) < 0.5).float()
    xi = torch.randn(USERS, 2, generator=torch.Generator().manual_seed(6))
    asked = []

    def dropout(y: Tensor, p: float, training: bool) -> Tensor:
        asked.append((p, training))
        return y * keep / (1 - p) if training else y

    monkeypatch.setattr(recommender.F, "dropout", dropout)
    monkeypatch.setattr(aecore.nn.distributions, "noise", lambda like, generator=None: xi)
    for training in (True, False):
        terms = terms_of(model.train(training), batch)
        for u in range(USERS):
            y = [float(batch.x[u, i] >= 3 and batch.mask[u, i] > 0) for i in range(ITEMS)]
            length = math.sqrt(sum(y))
            told = [y[i] / length * (float(keep[u, i]) / 0.7 if training else 1) for i in range(ITEMS)]
            h = mlp(model.encoder, told)
            mu, logvar = h[:2], h[2:]
            z = [mu[d] + math.exp(logvar[d] / 2) * float(xi[u, d]) for d in range(2)]
            logits = mlp(model.decoder, z)
            log_sum = math.log(sum(math.exp(v) for v in logits))
            likelihood = sum(y[i] * (logits[i] - log_sum) for i in range(ITEMS))
            assert sum(y) > 1 and float(terms["recon"][u]) == pytest.approx(-likelihood, rel=1e-4)
            kl = sum(0.5 * (m * m + math.exp(v) - 1 - v) for m, v in zip(mu, logvar, strict=True))
            assert float(terms["kl"][u]) == pytest.approx(kl, rel=1e-4)
    assert asked == [(0.3, True), (0.3, False)]


def test_mult_vaes_beta_rises_to_its_end_value_over_the_warmup():
    model = multi_vae()
    for progress, beta in ((0.0, 0.0), (0.1, 0.24), (0.25, 0.6), (0.6, 0.6), (1.0, 0.6)):
        assert model.players(progress)["autoencoder"].weights == pytest.approx({"recon": 1.0, "kl": beta})
    assert multi_vae(warmup=0.0).players(0.0)["autoencoder"].weights["kl"] == 0.6


def test_mult_vae_encodes_whole_normalised_likes_and_decodes_shares():
    batch, model = batch_of(), multi_vae()  # in training mode, in which nothing must be dropped here either
    x = batch.x * batch.mask
    posterior = model.posterior(x)
    for u in range(USERS):
        y = [float(value >= 3) for value in x[u]]
        h = mlp(model.encoder, [value / math.sqrt(sum(y)) for value in y])
        assert posterior.mu[u].tolist() == pytest.approx(h[:2], rel=1e-4)
        assert posterior.logvar[u].tolist() == pytest.approx(h[2:], rel=1e-4)
        assert torch.equal(model.encode(x)[u], posterior.mu[u])
        logits = mlp(model.decoder, posterior.mu[u].tolist())
        shares = [math.exp(v) / sum(math.exp(w) for w in logits) for v in logits]
        assert model.decode(posterior.mu[u : u + 1])[0].tolist() == pytest.approx(shares, rel=1e-4)


# --- splits ---------------------------------------------------------------------------------------------------------


def matrix_of(users: int = 60, items: int = 25, seed: int = 0) -> csr_matrix:
    random = np.random.default_rng(seed)
    stars = random.integers(1, 6, (users, items)) * (random.random((users, items)) < 0.5)
    return csr_matrix(stars.astype(np.float32))


def pairs_in(matrix: csr_matrix) -> dict[tuple[int, int], float]:
    u, i, r = recommend.pairs(matrix)
    return {(int(a), int(b)): float(c) for a, b, c in zip(u, i, r, strict=True)}


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_ratings_asked_for_are_a_seeded_share_and_none_of_them_is_known(share):
    matrix = matrix_of()
    splits = {seed: tuple(map(pairs_in, recommend.hold_out(matrix, share, seed))) for seed in (0, 1, 2)}
    every = pairs_in(matrix)
    for known, asked in splits.values():
        assert not set(known) & set(asked) and known | asked == every
        assert len(asked) == round(share * len(every))
        assert {u for u, _ in known} == set(range(60)) and {i for _, i in known} == set(range(25))
        assert len({u for u, _ in asked}) > 30 and len({i for _, i in asked}) > 20  # all over, not the first ones
    assert len({tuple(sorted(asked)) for _, asked in splits.values()}) == 3


@pytest.mark.parametrize(("share", "tell"), [(0.2, 0.8), (0.35, 0.5)])
def test_held_out_users_tell_their_share_in_random_order(share, tell):
    matrix = matrix_of()
    chosen = []
    for seed in (0, 1):
        split = recommend.hold_out_users(matrix, share, tell, seed)
        chosen.append(split.users.tolist())
        assert len(split.users) == round(share * 60)
        assert split.others.tolist() == sorted(set(range(60)) - set(chosen[-1]))
        np.testing.assert_array_equal(split.train.toarray(), matrix[split.others].toarray())
        early = 0
        for row, user in enumerate(split.users):
            told, asked = set(split.given[row].indices), set(split.asked[row].indices)
            rated = set(matrix[user].indices)
            assert told | asked == rated and not told & asked
            assert len(told) == math.ceil(tell * len(rated) - 1e-9)
            assert split.given[row].toarray()[0].tolist() == [matrix[user, i] if i in told else 0 for i in range(25)]
            early += max(told) < min(asked)
        assert early < len(split.users) / 2
    assert chosen[0] != chosen[1]


def test_users_with_fewer_than_five_ratings_are_not_held_out():
    rows = np.zeros((30, 12), np.float32)
    for user in range(30):
        rows[user, : 4 if user % 2 else 5] = 3
    split = recommend.hold_out_users(csr_matrix(rows), 0.5, 0.8, 0)
    assert all(user % 2 == 0 for user in split.users) and len(split.users) == 8


@pytest.mark.parametrize("rows", ["users", "items"])
def test_ratings_as_data_hold_out_a_fifth_of_the_examples(rows):
    matrix, random = matrix_of(), np.random.default_rng(1)
    genres, traits = random.random((25, 3)).astype(np.float32), random.random((60, 2)).astype(np.float32)
    made = ratings.Ratings(
        "made", matrix, tuple(map(str, range(25))), genres, ("a", "b", "c"), traits, ("p", "q"), "", "", damaged="Cut."
    )
    table, side = (matrix.toarray(), traits) if rows == "users" else (matrix.toarray().T, genres)
    data = ratings.as_data(made, DataSpec(name="ratings"), rows)
    assert data.rows == rows and data.damaged == "Cut." and data.shape == (table.shape[1],)
    assert data.attributes == (("p", "q") if rows == "users" else ("a", "b", "c"))
    assert len(data.test) == round(0.2 * len(table)) and len(data.train) + len(data.test) == len(table)
    where = {row.tobytes(): k for k, row in enumerate(table)}
    seen = []
    for split in (data.train, data.test):
        batch = split.batch(torch.arange(len(split)))
        numbers = [where[row.tobytes()] for row in batch.x.numpy()]
        seen += numbers
        np.testing.assert_array_equal(batch.attributes, side[numbers])
        np.testing.assert_array_equal(batch.mask, table[numbers] > 0)
        assert batch.y.tolist() == (list(range(len(split))) if split is data.train else [-1] * len(split))
    assert sorted(seen) == list(range(len(table)))
    held = seen[len(data.train) :]
    assert max(held) - min(held) > len(held)  # from everywhere
    few = ratings.as_data(made, DataSpec(name="ratings", limit=7), rows)
    assert len(few.train) == 7 and len(few.test) == len(data.test)


# --- scores ---------------------------------------------------------------------------------------------------------


def test_errors_of_a_split_are_counted_user_by_user():
    matrix = matrix_of(40, 30)
    known, asked = recommend.hold_out(matrix, 0.3, 5)
    random = np.random.default_rng(0)
    truth, predicted = random.random((40, 30)) * 5, random.random((40, 30)) * 5
    counts = np.diff(known.indptr)
    group = np.array([sum(n >= bound for bound in recommend.BINS[1:]) for n in counts])
    made = SimpleNamespace(truth=truth)
    scores = recommend.RatingSplit(made, known, asked, group).scores(predicted)  # pyright: ignore[reportArgumentType]
    errors: dict[int, list[float]] = {}
    for (u, i), r in pairs_in(asked).items():
        errors.setdefault(int(group[u]), []).append((predicted[u, i] - r) ** 2)
    every = [value for values in errors.values() for value in values]
    assert scores["rmse"] == pytest.approx(math.sqrt(sum(every) / len(every)))
    assert scores["mae"] == pytest.approx(sum(math.sqrt(value) for value in every) / len(every))
    assert len(errors) > 1 and len(scores["few"]) == len(recommend.BINS) - 1
    for g, found in enumerate(scores["few"]):
        assert found == (pytest.approx(math.sqrt(np.mean(errors[g]))) if g in errors else None)
    told = pairs_in(known)
    untold = [(predicted[u, i] - truth[u, i]) ** 2 for u in range(40) for i in range(30) if (u, i) not in told]
    assert scores["true"] == pytest.approx(math.sqrt(np.mean(untold)))


def test_likes_are_ratings_of_at_least_the_threshold():
    matrix = csr_matrix(np.array([[4.0, 3.5, 0.0], [5.0, 2.0, 3.0]]))
    assert recommend.likes(matrix, 3.5).toarray().tolist() == [[1, 1, 0], [1, 0, 0]]
    assert recommend.likes(matrix).nnz == 2


def test_factors_are_ridge_regressions_of_each_other():
    """The items that are kept were fitted to users who were fitted to items: for fixed users no other is better."""
    known = matrix_of(30, 12)
    method = recommend.Factorised(k=3, lam=2.5, rounds=4, seed=1).fit(known)
    mean, table = float(known.data.mean()), known.toarray()
    assert method.mean == pytest.approx(mean)
    for u in range(30):
        items = np.flatnonzero(table[u])
        a = np.stack([np.concatenate([[1.0], method.items[i, 1:]]) for i in items])
        target = np.array([table[u, i] - mean - method.items[i, 0] for i in items])
        own = np.linalg.inv(a.T @ a + 2.5 * np.eye(4)) @ a.T @ target
        expected = [mean + own[0] + method.items[i, 0] + own[1:] @ method.items[i, 1:] for i in range(12)]
        np.testing.assert_allclose(method.predict(known)[u], expected, atol=1e-4)
    other = recommend.Factorised(k=3, lam=2.5, rounds=4, seed=2).fit(known)
    assert not np.allclose(other.items, method.items)


def test_neighbours_add_up_cosines_of_the_nearest_alone():
    known = matrix_of(40, 9)
    method = recommend.Neighbours(n=3, like=3.0).fit(known)
    liked = known.toarray() >= 3
    cosine = np.zeros((9, 9))
    for i, j in product(range(9), repeat=2):
        if i != j:
            both = np.sqrt(liked[:, i].sum() * liked[:, j].sum())
            cosine[i, j] = (liked[:, i] & liked[:, j]).sum() / both if both else 0
    found = method.predict(known)
    for u, i in product(range(40), range(9)):
        near = (j for j in range(9) if liked[u, j] and cosine[j, i] >= np.sort(cosine[j])[-3])
        assert found[u, i] == pytest.approx(sum(cosine[j, i] for j in near), abs=1e-5)


# --- autoencoders as methods ------------------------------------------------------------------------------------------


@pytest.fixture
def untrained(monkeypatch):
    """Nothing is trained; what would have been is listed as (model, data, plan)."""
    begun = []

    def training(model, data, plan, device):
        begun.append((model, data, plan))
        return ()

    monkeypatch.setattr(recommend, "Training", training)
    return begun


@pytest.mark.parametrize("key", ["u_autorec", "i_autorec", "cfn"])
def test_a_method_is_built_and_trained_from_its_seed_on_known_ratings(untrained, key):
    known, side = matrix_of(20, 9), np.random.default_rng(0).random((20, 2)).astype(np.float32)
    methods = [
        recommend.AutoencoderOf(key, seed=seed, plan={"epochs": 7, "lr": 0.02}, code=3).fit(known, side)
        for seed in (4, 4, 5)
    ]
    (model, data, plan), _, (_, _, other) = untrained
    assert (plan.seed, other.seed, plan.epochs, plan.lr, plan.batch) == (4, 5, 7, 0.02, 64)
    weights = [method.model.decoder.weight for method in methods]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])
    table = known.toarray().T if key == "i_autorec" else known.toarray()
    np.testing.assert_array_equal(data.train.batch(torch.arange(len(table))).x, table)
    attributes = data.train.batch(torch.tensor([3])).attributes
    assert np.array_equal(attributes[0], side[3]) and (key != "cfn" or model.side == 2)
    assert not model.training and not any(p.requires_grad for p in model.parameters())


def test_stars_are_cut_to_the_range_of_the_known_ratings_and_scores_are_not(untrained):
    known = matrix_of(20, 9)
    known.data = np.clip(known.data, 2, 4)
    for key, low, high in (("u_autorec", 2, 4), ("i_autorec", 2, 4), ("cdae", 0, 1)):
        method = recommend.AutoencoderOf(key, code=3).fit(known)
        shaken(method.model)
        with torch.no_grad():
            method.model.decoder.bias.copy_(torch.linspace(-9, 9, len(method.model.decoder.bias)))
        found = method.predict(known)
        assert found.shape == (20, 9) and found.min() >= low and found.max() <= high
        x = torch.from_numpy(known.toarray())
        raw = method.model.decode(method.model.encode(x.T if key == "i_autorec" else x)).numpy()
        raw = raw.T if key == "i_autorec" else raw
        np.testing.assert_allclose(found, raw.clip(low, high), atol=1e-5)


def test_places_of_items_are_codes_or_rows_of_the_decoder_around_their_mean(untrained):
    known = matrix_of(20, 9)
    for key in ("u_autorec", "i_autorec", "cfn", "multi_vae"):
        method = recommend.AutoencoderOf(key, code=3, **({"width": 16} if key == "multi_vae" else {})).fit(known)
        model: Any = shaken(method.model)
        if key == "i_autorec":
            places = model.encode(torch.from_numpy(known.toarray().T)).numpy()
        else:
            places = (model.decoder[-1] if key == "multi_vae" else model.decoder).weight.numpy()[:, :16]
        np.testing.assert_allclose(method.item_codes(known), places - places.mean(0), atol=1e-5)


class Oracle:
    """In place of an autoencoder: by λ, the ratings that it was fitted to, those that were held out, or neither.

    λ = 0.1 returns what it was fitted to and 9 elsewhere; λ = 1 is right everywhere; others are wrong everywhere.
    """

    matrix: csr_matrix
    calls: list[tuple[str, float, dict]]

    def __init__(self, key: str, **params: Any):
        self.params = params

    def fit(self, known: csr_matrix) -> Oracle:
        self.calls.append(("fit", self.params["lam"], pairs_in(known)))
        self.fitted = known
        return self

    def predict(self, known: csr_matrix) -> np.ndarray:
        self.calls.append(("predict", self.params["lam"], pairs_in(known)))
        if self.params["lam"] == 1.0:
            return self.matrix.toarray() + 0.1
        told = self.fitted.toarray()
        return np.where(told > 0, told, 9.0) if self.params["lam"] == 0.1 else np.full(told.shape, 20.0)


def test_lambda_is_chosen_on_ratings_that_it_was_not_fitted_to(monkeypatch):
    known = matrix_of()
    Oracle.matrix, Oracle.calls = known, []
    monkeypatch.setattr(recommend, "AutoencoderOf", Oracle)
    validations = []
    for seed in (0, 1):
        Oracle.calls.clear()
        method, lam = recommend.with_chosen_weight("u_autorec", known, seed, {"epochs": 3}, code=2)
        assert lam == 1.0 == method.params["lam"]  # 0.1 is perfect on what it was fitted to, and nowhere else
        assert (method.params["seed"], method.params["plan"], method.params["code"]) == (seed, {"epochs": 3}, 2)
        every, fitted = pairs_in(known), Oracle.calls[0][2]
        assert len(every) - len(fitted) == round(0.1 * len(every)) and fitted.items() <= every.items()
        trials = [call for call in Oracle.calls if call[1:] != (1.0, every)]
        assert {kind for kind, _, _ in trials} == {"fit", "predict"} and all(told == fitted for _, _, told in trials)
        assert Oracle.calls[-1] == ("fit", 1.0, every)
        validations.append(set(every) - set(fitted))
    assert validations[0] != validations[1]
    asked = recommend.hold_out(known, 0.1, 0)[1]
    assert validations[0] != set(pairs_in(asked))  # another draw than that of the ratings a study asks for


class Spy:
    """A method that remembers what it was fitted to and what it was told when it predicted."""

    def __init__(self, key: str = "", seed: int = -1, plan: Any = None, **params: Any):
        self.key, self.seed, self.plan, self.params = key, seed, plan, params

    def fit(self, known: csr_matrix, side: Any = None) -> Spy:
        self.fitted, self.side = known, side
        return self

    def predict(self, known: csr_matrix, side: Any = None) -> np.ndarray:
        self.told = known
        return np.random.default_rng(3).random(known.toarray().shape).astype(np.float32) * 5


def nothing(*_: Any) -> None:
    return None


def test_rankings_learn_from_others_are_told_a_part_and_scored_by_the_likes_that_were_not_told(monkeypatch):
    matrix, spy = matrix_of(), Spy()
    monkeypatch.setattr(recommend, "_rank_methods", lambda settings, seed: [("spy", spy)])
    made = SimpleNamespace(matrix=matrix)
    settings = recommend.Settings(k=6, like=3.0)
    table: dict = {}
    recommend._compare_ranks(table, made, settings, 4, nothing)  # pyright: ignore[reportArgumentType]
    split = recommend.hold_out_users(matrix, seed=4)
    assert pairs_in(spy.fitted) == pairs_in(split.train) and pairs_in(spy.told) == pairs_in(split.given)
    recalls, gains = [], []
    scores = spy.predict(split.given)
    for row in range(len(split.users)):
        wanted = {i for i in split.asked[row].indices if split.asked[row, i] >= 3}
        told = set(split.given[row].indices)
        order = [i for i in sorted(range(25), key=lambda i: -scores[row, i]) if i not in told][:6]
        if wanted:
            recalls.append(sum(i in wanted for i in order) / min(6, len(wanted)))
            best = sum(1 / math.log2(place + 2) for place in range(min(6, len(wanted))))
            gains.append(sum(1 / math.log2(place + 2) for place, i in enumerate(order) if i in wanted) / best)
    assert table["spy"]["recall"] == [pytest.approx(np.mean(recalls))]
    assert table["spy"]["ndcg"] == [pytest.approx(np.mean(gains))]


def test_stars_noises_and_activations_are_fitted_to_known_ratings_and_scored_on_others(monkeypatch):
    matrix = matrix_of()
    made = SimpleNamespace(matrix=matrix, truth=None, traits=np.ones((60, 2), np.float32))
    known, asked = recommend.hold_out(matrix, 0.2, 3)
    split = recommend.RatingSplit(made, known, asked, np.zeros(60, int))  # pyright: ignore[reportArgumentType]
    spies: list[Spy] = []

    def spy(*args: Any, **params: Any) -> Spy:
        spies.append(Spy(*args, **params))
        return spies[-1]

    monkeypatch.setattr(recommend, "AutoencoderOf", spy)
    monkeypatch.setattr(recommend, "Factorised", spy)
    settings = recommend.Settings(epochs=9)
    stars: dict = {}
    recommend._compare_stars(stars, split, settings, 6, nothing)  # pyright: ignore[reportArgumentType]
    assert list(stars)[:4] == ["mean of all", "user’s mean", "film’s mean", "matrix factorisation"]
    simple = {"mean of all": "all", "user’s mean": "users", "film’s mean": "items"}
    for name, of in simple.items():
        method: Any = recommend.Mean(of).fit(known)  # pyright: ignore[reportArgumentType]
        assert stars[name]["rmse"] == [recommend.rmse(method.predict(known), asked)]
    assert stars["CFN"]["rmse"] == [recommend.rmse(spies[0].predict(known), asked)]
    assert [each.seed for each in spies] == [6] * 5 and [each.key for each in spies[1:]] == [
        recipe.key for recipe in recommend.STARS.values()
    ]
    assert [each.side is not None for each in spies] == [False, False, False, False, True]
    spies.clear()
    noises: dict = {}
    recommend._compare_noises(noises, split, settings, 6, nothing)  # pyright: ignore[reportArgumentType]
    assert [each.params["noise"] for each in spies] == [0.0, 0.25, 0.5, 0.75] == [float(name) for name in noises]
    assert all(each.plan["epochs"] == 9 and each.seed == 6 for each in spies)
    for each in spies:
        assert pairs_in(each.fitted) == pairs_in(each.told) == pairs_in(known)
    chosen = []

    def weight(key, told, seed, plan, **params):
        chosen.append((key, pairs_in(told), seed, params["f"], params["g"]))
        return Spy().fit(told), 0.1

    monkeypatch.setattr(recommend, "with_chosen_weight", weight)
    activations: dict = {}
    recommend._compare_activations(activations, split, settings, 6, nothing)  # pyright: ignore[reportArgumentType]
    pairs = list(recommend.PUBLISHED_ACTIVATIONS)
    assert chosen == [("i_autorec", pairs_in(known), 6, f, g) for f, g in pairs]
    error = recommend.rmse(Spy().fit(known).predict(known), asked)
    assert activations == {f"{f}, {g}": [error] for f, g in pairs}


def test_a_study_splits_by_its_seeds_and_asks_for_its_share(monkeypatch):
    made = world.world(3, 60, 40)
    monkeypatch.setattr(recommend, "ratings_of", lambda settings: made)
    seen: list[tuple[int, dict, dict, int]] = []

    def stars(table, split, settings, seed, step):
        seen.append((seed, pairs_in(split.known), pairs_in(split.asked), int(split.group.max())))

    monkeypatch.setattr(recommend, "_compare_stars", stars)
    for name in ("_compare_noises", "_compare_activations", "_compare_ranks"):
        monkeypatch.setattr(recommend, name, nothing)
    monkeypatch.setattr(recommend, "_map", lambda *_: {})
    monkeypatch.setattr(recommend.AutoencoderOf, "fit", lambda self, matrix, side=None: self.begin(matrix, side))
    found = recommend.compare(recommend.Settings(seeds=2, asked=0.25), nothing)
    assert found["seeds"] == [0, 1] == [seed for seed, *_ in seen] and seen[0][2] != seen[1][2]
    for seed, known, asked, _ in seen:
        expected = tuple(map(pairs_in, recommend.hold_out(made.matrix, 0.25, seed)))
        assert (known, asked) == expected
        floor = math.sqrt(np.mean([(made.truth[u, i] - r) ** 2 for (u, i), r in asked.items()]))
        assert found["floor"][seed] == pytest.approx(floor)
    counts = np.bincount([u for u, _ in seen[1][1]], minlength=60)
    bounds = list(zip(recommend.BINS, recommend.BINS[1:], strict=False))
    assert found["counts"][: len(bounds)] == [int(((low <= counts) & (counts < high)).sum()) for low, high in bounds]


def test_genres_in_common_are_counted_for_the_nearest_others():
    random = np.random.default_rng(0)
    codes, genres = random.normal(size=(12, 3)), (random.random((12, 4)) < 0.3).astype(float)
    for n in (1, 4):
        shares = []
        for i in range(12):
            unit = [row / np.linalg.norm(row) for row in codes]
            cosine = {j: unit[i] @ unit[j] for j in range(12) if j != i}
            near = sorted(cosine, key=lambda j: -cosine[j])[:n]
            shares += [any(genres[i, g] and genres[j, g] for g in range(4)) for j in near]
        assert recommend.agreement(codes, genres, n) == pytest.approx(np.mean(shares))


# --- the generated world --------------------------------------------------------------------------------------------


def test_the_truth_of_a_generated_rating_is_its_mean_and_noise_its_deviation():
    """By drawing each rating of a few pairs anew, from the same t_ui: rounded, and cut to 1 to 5 stars."""
    made = world.world(5, 60, 40)
    assert made.truth.min() >= 1 and made.truth.max() <= 5 and made.matrix.data.min() >= 1
    u, i, r = recommend.pairs(made.matrix)
    z = (r - made.truth[u, i]) / np.maximum(made.noise[u, i], 1e-3)
    assert abs(z.mean()) < 0.15 and 0.7 < z.std() < 1.3
    p, q = made.tastes
    taste = p @ q.T
    assert np.corrcoef(taste.ravel(), made.truth.ravel())[0, 1] > 0.5
    assert world.world(5, 60, 40) is made and not np.array_equal(world.world(6, 60, 40).truth, made.truth)


def test_named_ratings_say_how_many_examples_are_held_out():
    users, items = (rating_sets.RatingSet(world.WORLD, rows).info() for rows in ("users", "items"))
    assert (users.train, users.test, users.size) == (800, 200, 400)
    assert (items.train, items.test, items.size) == (320, 80, 1000)
