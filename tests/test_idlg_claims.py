"""The rules of notebook 02's ledger that are its own."""

import numpy as np
import pytest

from studies.idlg import gaps
from studies.idlg.claims import everywhere, same_level
from studies.idlg.tables import gap_in_words


def shares(good, n):
    return np.arange(n) < good


@pytest.mark.parametrize(("good", "n", "told", "verdict"), [
    (270, 300, 90.0, True), (91, 100, 90.0, True),  # near, and surely so
    (8, 10, 90.0, None), (76, 100, 83.3, None),  # near, but that is not sure
    (10, 10, 90.0, None), (100, 100, 100.0, True),
    (200, 300, 90.0, False), (0, 100, 50.0, False),
])
def test_a_published_level_is_reproduced_where_ours_is_surely_near(good, n, told, verdict):
    decision = same_level(shares(good, n), told)
    assert decision.verdict is verdict
    assert (decision.p < 0.05) == (verdict is not None)
    assert f"published {told} %" in decision.measured


def test_a_gap_is_everywhere_only_where_each_test_says_so():
    wide = gaps.gap(shares(50, 100), shares(80, 100))
    narrow = gaps.gap(shares(50, 100), shares(52, 100))
    reverse = gaps.gap(shares(80, 100), shares(50, 100))
    assert everywhere({}).verdict is None
    assert everywhere({"a": wide, "b": wide}).verdict is True
    undecided = everywhere({"a": wide, "b": narrow})
    assert undecided.verdict is None and undecided.p == narrow["p"]
    refuted = everywhere({"a": wide, "b": reverse})
    assert refuted.verdict is False and refuted.p == pytest.approx(2 * reverse["p"])
    weak = everywhere({"a": wide, "b": gaps.gap(shares(52, 100), shares(50, 100))})
    assert weak.verdict is None and weak.p == 1


def test_a_gap_has_its_interval():
    assert gap_in_words(shares(50, 100), shares(60, 100)) == "+10 ± 6 points"
