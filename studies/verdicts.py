"""Does a claim hold? Shares and means, decided by intervals and tests that are named."""

import warnings
from collections.abc import Sequence

import numpy as np
from scipy import stats

from lib import checks


def decide(good: float, n: float, level: float = 0.5) -> tuple[bool | None, str]:
    """Is a share above `level`? True or False where its 95 % Wilson interval lies on one side of
    it, None where it does not or n is 0; and the share with the interval as text. good need not be
    whole: where images of one client count as one, it is their share times the clients."""
    _check_share(good, n)
    checks.number("level", level, 0, 1)
    if not n:
        return None, "0/0"
    low, high = _wilson(good, n)
    return _is_above(level, low, high), f"{good:.4g}/{n} [{low:.2f}, {high:.2f}]"


def decide_fewer(a: Sequence[float], b: Sequence[float]) -> tuple[bool | None, str]:
    """Is the share a = (good, n) below the share b? None where Newcombe's 95 % interval of the
    difference (1998, his method 10: from both Wilson intervals) holds 0, or an n is 0; and both
    shares and the interval, in points of a hundred, as text."""
    for name, share in {"a": a, "b": b}.items():
        if not isinstance(share, tuple | list) or len(share) != 2:
            raise ValueError(f"{name} must be a share (good, n), not {share!r}")
        _check_share(*share)
    if not (a[1] and b[1]):
        return None, "0/0"
    p, q = a[0] / a[1], b[0] / b[1]
    low_p, high_p = _wilson(*a)
    low_q, high_q = _wilson(*b)
    low = p - q - ((p - low_p) ** 2 + (high_q - q) ** 2) ** 0.5
    high = p - q + ((high_p - p) ** 2 + (q - low_q) ** 2) ** 0.5
    interval = f"[{100 * low:+.0f}, {100 * high:+.0f}] points"
    text = f"{p:.0%} against {q:.0%}; difference {100 * (p - q):+.0f} {interval}"
    return _is_above(0, -high, -low), text


def decide_greater(a: Sequence[float], b: Sequence[float], paired: bool = False,
                   level: float = 0.05) -> tuple[bool | None, str]:
    """Is the mean of a above that of b? None where the two-sided p of a t-test is `level` or more,
    or a sample has fewer than two values; and both means, standard deviations and p as text.

    Welch's test; paired: Student's, of the differences a_i - b_i."""
    checks.flag("paired", paired)
    checks.number("level", level, 0, 1)
    a, b = _sample("a", a), _sample("b", b)
    if paired and len(a) != len(b):
        raise ValueError(f"paired samples are of one length, not {len(a)} and {len(b)} values")
    if min(len(a), len(b)) < 2:
        return None, "fewer than two values"
    with warnings.catch_warnings():  # where a sample is constant
        warnings.simplefilter("ignore", RuntimeWarning)
        test = stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)
    means = " against ".join(f"{x.mean():.3g} ± {x.std(ddof=1):.2g}" for x in (a, b))
    verdict = bool(a.mean() > b.mean()) if test.pvalue < level else None
    return verdict, f"{means}, p = {test.pvalue:.1g}"


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


def _wilson(good: float, n: float) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    p, z = good / n, stats.norm.ppf(0.975)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def _sample(name: str, values: Sequence[float]) -> np.ndarray:
    """The values of a sample as an array (n,); ValueError where they are no numbers."""
    try:
        sample = np.asarray(values, float)
    except (TypeError, ValueError):
        sample = None
    if sample is None or sample.ndim != 1:
        raise ValueError(f"the sample {name} must be a list of numbers")
    return sample
