"""A claim that a share decides."""

from studies import report, verdicts


def vote(ledger: report.Ledger, id: str, text: str, rule: str, good: int, n: int,
         level: float = 0.5, **about) -> None:
    """Add a claim that holds where the share `good` of n is above `level` (`verdicts.decide`).

    about: origin, float_id, unit and stable of `Ledger.add`."""
    verdict, measured = verdicts.decide(good, n, level)
    ledger.add(id, text, verdict, rule, measured, int(n), **about)
