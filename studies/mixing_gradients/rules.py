"""The rules by which the claims of notebook 06 are decided.

n and the number of networks are those of the clients, each of which has one of its own, unless a
claim says otherwise."""

from dataclasses import replace

import pandas as pd

from studies import verdicts
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

NOT_COMPUTED = Decision(None, "not computed")


class Rules:
    """Each method decides a claim by one rule and adds it to the ledger.

    stable: whether the claims rest on the stored paper profile, so are the same on any CPU."""

    def __init__(self, ledger: Ledger, stable: bool) -> None:
        self.ledger = ledger
        self.stable = stable

    def add(self, claim: Claim, decision: Decision, rule: str, n: int, networks: int | None,
            ended: str = "") -> None:
        """A claim that is decided already."""
        claim = replace(claim, stable=claim.stable and self.stable)
        self.ledger.add(claim, decision, rule, n, networks, ended)

    def fewer(self, claim: Claim, first: pd.Series | None, second: pd.Series | None,
              ended: str = "", networks: int | None = None) -> None:
        """Is the first share below the second? Of each client. networks: where fewer than those of
        the clients stand behind the claim."""
        decision, n = NOT_COMPUTED, 0
        if first is not None and second is not None:
            first, second = first.align(second, join="inner")
            n = len(first)
            if (first == second).all():
                decision = Decision(None, f"{first.mean():.0%} against {second.mean():.0%}", 1.0)
            else:
                decision = _fewer(first, second)
        self.add(claim, decision, "paired t-test of the shares of the networks (clients)", n,
                 n if networks is None else networks, ended)

    def above(self, claim: Claim, shares: pd.Series | None, level: float, ended: str = "") -> None:
        """Is the share above a level?"""
        self._against(claim, shares, level, "above", ended)

    def below(self, claim: Claim, shares: pd.Series | None, level: float, ended: str = "") -> None:
        """Is the share below a level?"""
        self._against(claim, shares, level, "below", ended)

    def _against(self, claim: Claim, shares: pd.Series | None, level: float, side: str,
                 ended: str) -> None:
        decision, n = NOT_COMPUTED, 0
        if shares is not None:
            n = len(shares)
            decision = verdicts.decide(shares.sum(), n, level)
        if side == "below" and decision.verdict is not None:
            decision = decision._replace(verdict=not decision.verdict)
        self.add(claim, decision,
                 f"95 % Wilson interval of the share {side} {level:.0%}, n in networks (clients)",
                 n, n, ended)

    def costs(self, claim: Claim, accuracy: pd.DataFrame, other: pd.DataFrame, points: float,
              at_least: bool) -> None:
        """Does a way to train cost at least, or at most, so many points of accuracy against
        another, at every batch size? Tables: a row a batch size, indexed by it."""
        differences = (accuracy.accuracy - other.accuracy).dropna()
        variance = ((accuracy.sd**2 + other.sd**2) / accuracy.seeds).fillna(float("inf")).mean()
        error = 2 * variance**0.5
        verdict = None
        if len(differences) and (differences + points).abs().min() > error:
            further = differences < -points
            verdict = bool(further.all() if at_least else (differences > -points).all())
        measured = ", ".join(f"B = {B}: {points_of:+.1f}" for B, points_of in differences.items())
        self.add(claim, Decision(verdict, f"{measured} (± {error:.1f})"),
                 f"at every B the accuracy is {'at least' if at_least else 'at most'} {points} "
                 "points below; undecided where one difference is within two standard errors of "
                 "that; networks: the seeds", int(accuracy.seeds.sum()),
                 int(accuracy.seeds.min()))


def _fewer(first: pd.Series, second: pd.Series) -> Decision:
    """Paired: are the shares `first` below `second` on average? In points of a hundred."""
    decision = verdicts.decide_greater(second, first, paired=True)
    text = f"{first.mean():.0%} against {second.mean():.0%}"
    if decision.p is not None:
        text += f", p = {decision.p:.1g}"
    return decision._replace(measured=text)
