"""Does a claim hold? Shares and means, decided by intervals and tests that are named.

Each rule gives a `Decision`, with the p of its test: `studies.ledger` corrects for how many a page
makes. What is counted, n, are networks where images share one (DESIGN 4): average them first, by
`by_network`.
"""

import math
import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import optimize, stats

from lib import checks


class Decision(NamedTuple):
    """verdict: True, False, or None where the numbers do not decide. measured: they, as text. p: of
    the test, two-sided; None where the rule is none."""

    verdict: bool | None
    measured: str
    p: float | None = None


def decide(good: float, n: float, level: float = 0.5) -> Decision:
    """Is a share above `level`? True or False where its 95 % Wilson interval lies on one side of
    it, None where it does not or n is 0; with the share and the interval as text. p: of the score
    test, of which that interval is the inversion. good need not be whole: where images of one
    client count as one, it is their share times the clients."""
    _check_share(good, n)
    checks.number("level", level, 0, 1)
    if not n:
        return Decision(None, "0/0")
    low, high = _wilson(good, n)
    text = f"{good:.4g}/{n} [{low:.2f}, {high:.2f}]"
    p = _score_p(good / n, n, level) if 0 < level < 1 else None
    return Decision(_is_above(level, low, high), text, p)


def decide_fewer(a: Sequence[float], b: Sequence[float]) -> Decision:
    """Is the share a = (good, n) below the share b? None where Newcombe's 95 % interval of the
    difference (1998, his method 10: from both Wilson intervals) holds 0, or an n is 0; with both
    shares and the interval, in points of a hundred, as text. p: at which the interval ends at 0.

    For shares of different networks. Where both were measured on the same ones: `decide_greater`
    with paired=True, of the networks' shares."""
    for name, share in {"a": a, "b": b}.items():
        if not isinstance(share, tuple | list) or len(share) != 2:
            raise ValueError(f"{name} must be a share (good, n), not {share!r}")
        _check_share(*share)
    if not (a[1] and b[1]):
        return Decision(None, "0/0")
    p, q = a[0] / a[1], b[0] / b[1]
    low, high = _newcombe(a, b, _Z)
    interval = f"[{100 * low:+.0f}, {100 * high:+.0f}] points"
    text = f"{p:.0%} against {q:.0%}; difference {100 * (p - q):+.0f} {interval}"
    return Decision(_is_above(0, -high, -low), text, _newcombe_p(a, b))


def decide_greater(a: Sequence[float], b: Sequence[float], paired: bool = False) -> Decision:
    """Is the mean of a above that of b? None where the two-sided p of a t-test is 0.05 or more, or
    a sample has fewer than two values; with both means, standard deviations and p as text.

    Welch's test; paired: Student's, of the differences a_i - b_i. Where all values differ alike,
    which has no spread for these: the test of signs (paired), or of permutations."""
    checks.flag("paired", paired)
    a, b = _sample("a", a), _sample("b", b)
    if paired and len(a) != len(b):
        raise ValueError(f"paired samples are of one length, not {len(a)} and {len(b)} values")
    if min(len(a), len(b)) < 2:
        return Decision(None, "fewer than two values")
    with warnings.catch_warnings():  # where a sample is constant
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    means = " against ".join(f"{x.mean():.3g} ± {x.std(ddof=1):.2g}" for x in (a, b))
    p = _without_spread(a, b, paired)
    if p is None:
        p = None if np.isnan(test.pvalue) else float(test.pvalue)
    verdict = bool(a.mean() > b.mean()) if p is not None and p < 0.05 else None
    return Decision(verdict, f"{means}, p = {np.nan if p is None else p:.1g}", p)


def _without_spread(a: np.ndarray, b: np.ndarray, paired: bool) -> float | None:
    """The p of values that all differ alike, from which no t-test can tell a spread: of the test of
    signs, or of permutations. None where they have a spread, or do not differ."""
    spread = np.ptp(a - b) if paired else max(np.ptp(a), np.ptp(b))
    if spread > 0 or a.mean() == b.mean():
        return None
    return 2.0 ** (1 - len(a)) if paired else 2 / math.comb(len(a) + len(b), len(a))


def by_network(table: pd.DataFrame, networks: str | Sequence[str], column: str) -> pd.Series:
    """The mean of a column (a score, or 0 and 1 of what was recovered) for each network, in the
    order of the names of the networks: what is tested, since images of one network are not
    independent. networks: the columns, or levels of the index, that tell them, and their
    trainings, apart."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a DataFrame, not {type(table).__name__}")
    names = [networks] if isinstance(networks, str) else networks
    if not isinstance(names, list | tuple) or not names:
        raise ValueError(f"networks must be names of columns, not {checks.shown(networks)}")
    for name, known in [(column, [*table.columns]),
                        *((name, [*table.columns, *table.index.names]) for name in names)]:
        if not isinstance(name, str) or name not in known:
            raise ValueError(f"the table has no column {checks.shown(name)}")
    return table.groupby(list(names))[column].mean()


def _is_above(level: float, low: float, high: float) -> bool | None:
    """Does an interval lie above a level (True) or below it (False)? None where it holds it."""
    if low > level:
        return True
    if high < level:
        return False
    return None


def _check_share(good: float, n: float) -> None:
    """ValueError where `good` of `n` is no share."""
    checks.number("n", n, 0)
    checks.number("good", good, 0, n * (1 + 1e-9))  # a sum of shares may be rounded


_Z = float(stats.norm.ppf(0.975))


def _score_p(share: float, n: float, level: float) -> float:
    """The two-sided p of the score test of a share against a level."""
    z = (share - level) / (level * (1 - level) / n) ** 0.5
    return float(2 * stats.norm.sf(abs(z)))


def _newcombe(a: Sequence[float], b: Sequence[float], z: float) -> tuple[float, float]:
    """The interval of the difference of two shares, of z standard deviations."""
    p, q = a[0] / a[1], b[0] / b[1]
    low_p, high_p = _wilson(*a, z)
    low_q, high_q = _wilson(*b, z)
    low = p - q - ((p - low_p) ** 2 + (high_q - q) ** 2) ** 0.5
    high = p - q + ((high_p - p) ** 2 + (q - low_q) ** 2) ** 0.5
    return low, high


def _newcombe_p(a: Sequence[float], b: Sequence[float]) -> float:
    """The p at which that interval ends at 0; 1 where the shares are equal."""
    difference = a[0] / a[1] - b[0] / b[1]
    if difference == 0:
        return 1.0
    end = 0 if difference > 0 else 1  # the one nearer to 0

    def beyond(z: float) -> float:
        return _newcombe(a, b, z)[end] * np.sign(difference)

    widest = 40.0
    z = widest if beyond(widest) > 0 else optimize.brentq(beyond, 0.0, widest)
    return float(2 * stats.norm.sf(z))


def _wilson(good: float, n: float, z: float = _Z) -> tuple[float, float]:
    """The interval of a share (Wilson 1927), of z standard deviations: 95 % where none is given."""
    p = good / n
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    low = max(0.0, middle - half) if good > 0 else 0.0  # 0 and 1 exactly where none is, or all are
    high = min(1.0, middle + half) if good < n else 1.0
    return low, high


def _sample(name: str, values: Sequence[float]) -> np.ndarray:
    """The values of a sample as an array (n,); ValueError where they are no numbers."""
    try:
        sample = np.asarray(values, float)
    except (TypeError, ValueError):
        sample = None
    if sample is None or sample.ndim != 1:
        raise ValueError(f"the sample {name} must be a list of numbers")
    return sample
