"""studies/verdicts.py: shares and means are decided by intervals and tests, or not at all."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from studies import verdicts
from studies.verdicts import Decision


@pytest.mark.parametrize(("good", "n", "verdict"), [
    (8, 8, True), (0, 8, False), (5, 8, None), (59, 100, None), (61, 100, True), (0, 0, None)])
def test_a_share_is_decided_by_its_interval(good, n, verdict):
    assert verdicts.decide(good, n).verdict is verdict


def test_a_share_is_held_to_the_level_asked_for():
    low = verdicts.decide(61, 100, 0.8)
    assert low[:2] == (False, "61/100 [0.51, 0.70]") and low.p < 1e-5
    assert verdicts.decide(61, 100, 0.6).verdict is None
    assert verdicts.decide(2.5, 8).measured.startswith("2.5/8 [")
    assert verdicts.decide(0, 0) == Decision(None, "0/0", None)


def test_wilsons_interval_is_scipys_and_takes_fractions():
    for good, n in ((0, 8), (3, 8), (8, 8)):
        expected = stats.binomtest(good, n).proportion_ci(method="wilson")
        assert verdicts._wilson(good, n) == pytest.approx(tuple(expected), abs=1e-12)
        wide = stats.binomtest(good, n).proportion_ci(0.99, method="wilson")
        assert verdicts._wilson(good, n, 2.5758293035489004) == pytest.approx(tuple(wide),
                                                                              abs=1e-12)
    assert verdicts._wilson(3, 8) < verdicts._wilson(3.5, 8) < verdicts._wilson(4, 8)


def test_none_is_not_above_none_nor_all_below_all():
    """The rounded end of an interval lies beside 0 or 1 at every fourth n."""
    for n in (*range(1, 100), 0.5, 4.5):
        assert verdicts.decide(0, n, 0).verdict is None, n
        assert verdicts.decide(n, n, 1).verdict is None, n
    assert verdicts.decide(1, 8, 0) == Decision(True, "1/8 [0.02, 0.47]", None)
    assert verdicts.decide(7, 8, 1).verdict is False


def test_shares_are_compared_by_newcombes_interval():
    verdict, measured, p = verdicts.decide_fewer((48, 80), (56, 70))   # Newcombe 1998, table II (a)
    assert verdict is True
    assert measured == "60% against 80%; difference -20 [-33, -5] points"
    assert 0.005 < p < 0.01
    assert verdicts.decide_fewer((56, 70), (48, 80)) == Decision(
        False, "80% against 60%; difference +20 [+5, +33] points", pytest.approx(p))
    assert verdicts.decide_fewer((5, 10), (6, 10)).verdict is None
    assert verdicts.decide_fewer((0, 0), (6, 10)) == Decision(None, "0/0", None)
    assert verdicts.decide_fewer([6, 10], [0, 0]) == Decision(None, "0/0", None)


# ---- p and interval are one rule

def test_the_p_of_a_share_is_below_5_percent_where_its_interval_decides():
    decided = 0
    for n in (1, 2, 3, 4, 8, 24, 30.5, 100):
        for good in np.linspace(0, n, 13):
            for level in (0.01, 0.05, 0.3, 0.5, 0.8, 0.99):
                verdict, _, p = verdicts.decide(good, n, level)
                assert (p < 0.05) == (verdict is not None) and 0 <= p <= 1, (good, n, level)
                decided += verdict is not None
    assert 100 < decided < 500                               # of 624


def test_the_p_of_a_share_is_that_of_the_score_test():
    """8 of 8 against one half: z = (1 - 0.5) / sqrt(0.25 / 8) = sqrt(8)."""
    assert verdicts.decide(8, 8).p == pytest.approx(math.erfc(8**0.5 / 2**0.5))
    assert verdicts.decide(0, 8).p == verdicts.decide(8, 8).p
    assert verdicts.decide(4, 8).p == 1
    assert verdicts.decide(6, 8, 0.6).p == pytest.approx(  # z² = 0.15² * 8 / 0.24 = 0.75
        stats.chi2.sf(0.75, 1))


def test_the_p_of_two_shares_is_below_5_percent_where_their_interval_decides():
    decided, shares = 0, [(good, n) for n in (1, 3, 8, 24, 100) for good in (
        0, 0.4 * n, n / 2, 0.9 * n, n)]
    for a in shares:
        for b in shares:
            verdict, _, p = verdicts.decide_fewer(a, b)
            assert (p < 0.05) == (verdict is not None) and 0 <= p <= 1, (a, b)
            assert verdict is None or verdict == (a[0] / a[1] < b[0] / b[1]), (a, b)
            decided += verdict is not None
    assert 100 < decided < 500                               # of 625


def test_the_p_of_two_shares_is_where_their_interval_ends_at_0():
    for a, b in (((48, 80), (56, 70)), ((3, 8), (5, 8)), ((7, 8), (0, 3))):
        z = stats.norm.isf(verdicts.decide_fewer(a, b).p / 2)
        low, high = verdicts._newcombe(a, b, z)
        assert min(abs(low), abs(high)) < 1e-9 < max(abs(low), abs(high))
    assert verdicts.decide_fewer((4, 8), (2, 4)).p == 1
    assert verdicts.decide_fewer((0, 1e5), (1e5, 1e5)).p == 0


# ---- means

def test_means_are_told_apart_only_where_they_differ():
    a, b = [1.0, 1.1, 0.9], [2.0, 2.1, 1.9]
    assert verdicts.decide_greater(b, a).verdict is True
    assert verdicts.decide_greater(a, b).verdict is False
    assert verdicts.decide_greater(a, [0.5, 1.0, 1.6]).verdict is None
    assert verdicts.decide_greater([1.0], b) == Decision(None, "fewer than two values", None)
    near = [1.1, 5.1, 2.2, 9.1]
    assert verdicts.decide_greater(near, [1, 5, 2, 9]).verdict is None
    assert verdicts.decide_greater(near, [1, 5, 2, 9], paired=True).verdict is True
    assert verdicts.decide_greater([1, 1, 1], [1, 1, 1])[::2] == (None, None)


@pytest.mark.parametrize("paired", [False, True])
def test_means_are_decided_below_5_percent(paired):
    """p falls with the distance; on both sides of 0.05 the verdict follows it."""
    a, near = np.array([1.0, 2.5, 2.9, 4.2]), set()
    noise = np.array([0.3, -0.2, 0.25, -0.1])
    for shift in np.geomspace(0.05, 6, 600):
        verdict, _, p = verdicts.decide_greater(a, a - shift + noise, paired)
        assert verdict is (True if p < 0.05 else None)
        if 0.04 < p < 0.06:
            near.add(verdict)
    assert near == {True, None}


def test_means_are_told_with_spread_and_p():
    a, b = [2.0, 2.1, 1.9], [1.0, 1.1, 0.7]
    test = stats.ttest_ind(a, b, equal_var=False)
    assert verdicts.decide_greater(a, b) == Decision(
        True, f"2 ± 0.1 against 0.933 ± 0.21, p = {test.pvalue:.1g}", pytest.approx(test.pvalue))
    assert test.pvalue != pytest.approx(stats.ttest_ind(a, b).pvalue)  # Welch's, not Student's
    in_pairs = verdicts.decide_greater(a, b, paired=True)
    assert in_pairs.p == pytest.approx(stats.ttest_rel(a, b).pvalue)


def test_samples_in_pairs_are_of_one_length():
    with pytest.raises(ValueError, match="one length, not 3 and 2"):
        verdicts.decide_greater([1, 2, 3], [1, 2], paired=True)


# ---- networks

IMAGES = pd.DataFrame({"victim": ["b", "a", "b", "b"], "training": [1, 1, 1, 2],
                       "psnr": [1.0, 5.0, 3.0, 7.0], "recovered": [0, 1, 1, 1]})


def test_images_of_a_network_are_one_mean():
    psnr = verdicts.by_network(IMAGES, ["victim", "training"], "psnr")
    assert psnr.to_dict() == {("a", 1): 5.0, ("b", 1): 2.0, ("b", 2): 7.0}
    assert verdicts.by_network(IMAGES, "victim", "recovered").to_dict() == {"a": 1, "b": 2 / 3}
    assert verdicts.by_network(IMAGES, ("victim",), "psnr").to_dict() == {"a": 5, "b": 11 / 3}
    by_level = verdicts.by_network(IMAGES.set_index(["victim", "training"]), "victim", "psnr")
    assert by_level.to_dict() == {"a": 5, "b": 11 / 3}


def test_a_networks_many_images_are_one_value_of_the_test():
    """Two networks that disagree: forty images would decide, two means do not."""
    table = pd.DataFrame({"victim": [0] * 39 + [1], "a": [2.0] * 39 + [1.0],
                          "b": [1.0] * 39 + [2.0]})
    assert verdicts.decide_greater(table.a, table.b, paired=True).verdict is True
    a, b = (verdicts.by_network(table, "victim", name) for name in "ab")
    assert len(a) == 2 and verdicts.decide_greater(a, b, paired=True).verdict is None


@pytest.mark.parametrize(("change", "words"), [
    ({"table": None}, "table must be a DataFrame"), ({"networks": "net"}, "no column 'net'"),
    ({"networks": ["victim", "net"]}, "no column 'net'"), ({"networks": 3}, "networks must"),
    ({"networks": []}, "networks must"), ({"networks": [0]}, "no column 0"),
    ({"column": "ssim"}, "no column 'ssim'"), ({"column": None}, "no column None")])
def test_a_column_that_is_not_there_is_named(change, words):
    good = {"table": IMAGES, "networks": "victim", "column": "psnr"}
    with pytest.raises(ValueError, match=words):
        verdicts.by_network(**good | change)


@pytest.mark.parametrize(("n", "verdict", "p"), [(3, None, 0.25), (6, True, 2 / 64)])
def test_networks_that_all_differ_alike_decide_by_their_signs(n, verdict, p):
    decision = verdicts.decide_greater([1.0] * n, [0.0] * n, paired=True)
    assert decision.verdict is verdict and decision.p == pytest.approx(p)
    assert verdicts.decide_greater([0.0] * n, [0.0] * n, paired=True).p is None


def test_groups_without_a_spread_decide_by_permutations():
    assert verdicts.decide_greater([1.0] * 3, [0.0] * 3).p == pytest.approx(2 / 20)
    assert verdicts.decide_greater([0.0] * 4, [1.0] * 4).verdict is False
