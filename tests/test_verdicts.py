"""studies/verdicts.py: shares and means are decided by intervals and tests, or not at all."""

import pytest
from scipy import stats

from studies import verdicts


@pytest.mark.parametrize(("good", "n", "verdict"), [
    (8, 8, True), (0, 8, False), (5, 8, None), (59, 100, None), (61, 100, True), (0, 0, None)])
def test_a_share_is_decided_by_its_interval(good, n, verdict):
    assert verdicts.decide(good, n)[0] is verdict


def test_a_share_is_held_to_the_level_asked_for():
    assert verdicts.decide(61, 100, 0.8) == (False, "61/100 [0.51, 0.70]")
    assert verdicts.decide(61, 100, 0.6)[0] is None
    assert verdicts.decide(2.5, 8)[1].startswith("2.5/8 [")
    assert verdicts.decide(0, 0) == (None, "0/0")


def test_wilsons_interval_is_scipys_and_takes_fractions():
    for good, n in ((0, 8), (3, 8), (8, 8)):
        expected = stats.binomtest(good, n).proportion_ci(method="wilson")
        assert verdicts._wilson(good, n) == pytest.approx(tuple(expected))
    assert verdicts._wilson(3, 8) < verdicts._wilson(3.5, 8) < verdicts._wilson(4, 8)


def test_shares_are_compared_by_newcombes_interval():
    verdict, measured = verdicts.decide_fewer((48, 80), (56, 70))   # Newcombe 1998, table II (a)
    assert verdict is True
    assert measured == "60% against 80%; difference -20 [-33, -5] points"
    assert verdicts.decide_fewer((56, 70), (48, 80))[0] is False
    assert verdicts.decide_fewer((5, 10), (6, 10))[0] is None
    assert verdicts.decide_fewer((0, 0), (6, 10)) == (None, "0/0")


def test_means_are_told_apart_only_where_they_differ():
    a, b = [1.0, 1.1, 0.9], [2.0, 2.1, 1.9]
    assert verdicts.decide_greater(b, a)[0] is True and verdicts.decide_greater(a, b)[0] is False
    assert verdicts.decide_greater(a, [0.5, 1.0, 1.6])[0] is None
    assert verdicts.decide_greater([1.0], b)[0] is None
    near = [1.1, 5.1, 2.2, 9.1]
    assert verdicts.decide_greater(near, [1, 5, 2, 9])[0] is None
    assert verdicts.decide_greater(near, [1, 5, 2, 9], paired=True)[0] is True
    assert verdicts.decide_greater(near, [1, 5, 2, 9], paired=True, level=1e-6)[0] is None
    assert verdicts.decide_greater([1, 1, 1], [1, 1, 1])[0] is None


def test_means_are_told_with_spread_and_p():
    measured = verdicts.decide_greater([2.0, 2.1, 1.9], [1.0, 1.1, 0.9])[1]
    p = stats.ttest_ind([2.0, 2.1, 1.9], [1.0, 1.1, 0.9], equal_var=False).pvalue
    assert measured == f"2 ± 0.1 against 1 ± 0.1, p = {p:.1g}"


def test_samples_in_pairs_are_of_one_length():
    with pytest.raises(ValueError, match="one length, not 3 and 2"):
        verdicts.decide_greater([1, 2, 3], [1, 2], paired=True)
