"""Disentanglement scores on codes whose scores are known, and against slow and obvious versions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aecore.measure import disentanglement as measure

SIZES = (3, 5, 8)
RANDOM = np.random.default_rng(0)
FACTORS = np.stack([RANDOM.integers(size, size=3000) for size in SIZES], 1)
IDEAL = FACTORS * [1.0, -2.0, 0.5] + 0.01 * RANDOM.normal(size=FACTORS.shape)
UNIT = (FACTORS - FACTORS.mean(0)) / FACTORS.std(0)
ROTATED = UNIT @ np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]


def numbers(z: np.ndarray) -> dict[str, float]:
    return measure.scores(z, FACTORS, categorical=(0,)).numbers()


def test_a_unit_for_each_factor_gets_full_marks():
    found = numbers(IDEAL)
    assert all(value > 0.97 for value in found.values()), found
    assert numbers(np.concatenate([IDEAL, np.zeros((3000, 4))], 1)) == pytest.approx(found, abs=0.02)  # idle units
    turned = numbers(IDEAL[:, [2, 0, 1]] * [-3, 1, 10])  # order, sign and scale of units mean nothing
    assert turned == pytest.approx(found, abs=0.02)


@pytest.mark.parametrize("z", [np.zeros((3000, 4)), np.random.default_rng(2).normal(size=(3000, 4))])
def test_codes_that_say_nothing_are_at_chance(z):
    found = numbers(z)
    assert all(found[name] < 0.06 for name in ("mig", "sap", "i")), found
    assert found["d"] < 0.1 and found["c"] < 0.1
    assert found["beta"] < 0.45 and found["factor"] < 0.45  # of three factors


def test_units_that_occur_twice_have_no_gap_but_still_serve_one_factor_each():
    found = numbers(np.concatenate([IDEAL, IDEAL], 1))
    assert found["mig"] < 0.01 and found["sap"] < 0.01
    assert found["d"] > 0.97 and found["i"] > 0.97 and found["beta"] > 0.97 and found["factor"] > 0.97
    assert found["c"] < 0.7  # two units for each factor


def test_a_rotation_of_the_factors_says_as_much_and_is_not_disentangled():
    found = numbers(ROTATED)
    assert found["i"] > 0.9
    assert found["mig"] < 0.5 and found["d"] < 0.5 and found["c"] < 0.5


def test_one_unit_for_all_factors_is_complete_and_not_disentangled():
    found = numbers(UNIT.sum(1, keepdims=True))
    assert found["d"] < 0.2 and found["c"] == 1.0


def test_the_gap_is_that_of_a_naive_mutual_information():
    """Counted cell by cell: 20 bins of equal width, p log p / (p p)."""

    def information(unit: np.ndarray, factor: np.ndarray) -> float:
        low, width = unit.min(), (unit.max() - unit.min()) / 20
        cell = [min(19, int((value - low) / width)) for value in unit]
        joint: dict[tuple[int, int], int] = {}
        for pair in zip(cell, factor.tolist(), strict=True):
            joint[pair] = joint.get(pair, 0) + 1
        n, total = len(unit), 0.0
        for (b, f), count in joint.items():
            p_b = sum(c for (x, _), c in joint.items() if x == b) / n
            p_f = sum(c for (_, y), c in joint.items() if y == f) / n
            total += count / n * math.log(count / n / (p_b * p_f))
        return total

    z, v = ROTATED[:400], FACTORS[:400]
    table = [[information(unit, factor) / information(factor.astype(float), factor) for factor in v.T] for unit in z.T]
    assert measure.mutual_information(z, v) == pytest.approx(np.array(table), abs=1e-9)
    gaps = [sorted(column)[-1] - sorted(column)[-2] for column in zip(*table, strict=True)]
    assert measure.mig(np.array(table)) == pytest.approx(sum(gaps) / 3)


def test_sap_of_ordered_factors_is_the_gap_of_squared_correlations():
    gaps = []
    for factor in FACTORS.T:
        squares = sorted(np.corrcoef(unit, factor)[0, 1] ** 2 for unit in ROTATED.T)
        gaps.append(squares[-1] - squares[-2])
    assert measure.sap(ROTATED, FACTORS) == pytest.approx(np.mean(gaps))


def test_dci_follows_its_definition_on_a_table_by_hand():
    table = np.array([[0.5, 0.0], [0.5, 0.25], [0.0, 0.75]])
    h = -(2 / 3 * math.log(2 / 3) + 1 / 3 * math.log(1 / 3)) / math.log(2)
    third = -(0.25 * math.log(0.25) + 0.75 * math.log(0.75)) / math.log(3)
    d = 0.25 * 1 + 0.375 * (1 - h) + 0.375 * 1
    c = ((1 - math.log(2) / math.log(3)) + (1 - third)) / 2
    assert measure.dci(table) == pytest.approx((d, c))
    assert measure.dci(np.zeros((3, 2))) == (0.0, 0.0)


def test_factor_vaes_vote_is_the_unit_that_stands_still():
    """Two units, one factor each, and a third that hardly moves and must not vote."""
    z = np.stack([FACTORS[:, 1], FACTORS[:, 2], 1e-3 * RANDOM.normal(size=3000)], 1)
    assert measure.factor_vae(z, FACTORS[:, 1:]) == 1.0
    assert measure.factor_vae(z[:, [0]], FACTORS[:, 1:]) == pytest.approx(0.5, abs=0.1)  # it can only name one of two


def test_a_factor_that_never_changes_is_left_out():
    """From every score alike: each is what it is without the factor, whether or not the factor has an order."""
    fixed = np.concatenate([FACTORS[:, :1], np.full((3000, 1), 5), FACTORS[:, 1:]], 1)
    noisy = IDEAL + RANDOM.normal(size=IDEAL.shape)
    for categorical in ((), (1,)):
        found, without = measure.scores(noisy, fixed, categorical), measure.scores(noisy, FACTORS)
        assert found.numbers() == pytest.approx(without.numbers(), abs=1e-12)
        assert found.left_out == (1,) and without.left_out == ()
    assert np.isnan(found.information[:, 1]).all() and np.isnan(found.importance[:, 1]).all()
    assert (
        np.isfinite(np.delete(found.information, 1, 1)).all() and np.isfinite(np.delete(found.importance, 1, 1)).all()
    )
    nothing = measure.scores(IDEAL, np.ones((3000, 2), int))
    assert set(nothing.numbers().values()) == {0.0} and nothing.left_out == (0, 1)


def test_a_factor_that_changes_counts_even_where_the_code_says_nothing_of_it():
    late = np.where(np.arange(3000) < 2990, 0, 1)[:, None]  # constant in the half that is learned from
    v = np.concatenate([FACTORS[:, 1:], late], 1)
    found = measure.scores(IDEAL[:, 1:], v)
    assert found.left_out == ()
    assert 0.6 < found.mig < 0.72 and 0.6 < found.sap < 0.72  # two gaps of 1 and one of about 0
    assert found.c == pytest.approx(2 / 3, abs=0.05) and found.i == pytest.approx(2 / 3, abs=0.05)


def test_a_single_factor_and_values_that_nobody_shares_are_no_trouble():
    alone = measure.scores(IDEAL[:, [1]], FACTORS[:, [1]])
    assert alone.beta == alone.factor == 1.0 and alone.mig > 0.95
    unique = np.stack([FACTORS[:, 1], np.arange(3000)], 1)  # no two examples share the second
    assert measure.factor_vae(IDEAL, unique) == measure.beta_vae(IDEAL, unique) == 1.0


def test_what_does_not_fit_together_is_refused():
    with pytest.raises(ValueError, match="same N"):
        measure.scores(IDEAL[:10], FACTORS)
    with pytest.raises(ValueError, match="thousands"):
        measure.scores(IDEAL[:2], FACTORS[:2])


def test_scores_repeat_with_a_seed():
    z = ROTATED + 0.3 * RANDOM.normal(size=ROTATED.shape)
    assert measure.scores(z, FACTORS, seed=3).numbers() == measure.scores(z, FACTORS, seed=3).numbers()


def test_mutual_information_is_the_librarys():
    from sklearn.metrics import mutual_info_score

    random = np.random.default_rng(3)
    a = random.integers(0, 7, 500)
    b = np.where(random.random(500) < 0.5, a, random.integers(0, 9, 500))
    assert measure._information(a, b) == pytest.approx(mutual_info_score(a, b), rel=1e-9)
    assert measure._information(a, np.zeros(500, int)) == pytest.approx(0, abs=1e-12)
