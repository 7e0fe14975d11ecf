"""The rules by which the claims of notebook 06 are decided."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies import report, verdicts

Share = tuple[float, int]  # (good, n): how many of n


@dataclass(frozen=True)
class Claim:
    """A claim before it is decided; origin, float_id and unit as in `report.Ledger.add`."""

    id: str
    text: str
    origin: str = "ours"
    float_id: str | None = None
    unit: str = "client"


def in_clients(good: float, images: int, clients: int) -> Share:
    """A share of images with the number of clients for n: the images of one client are not
    independent."""
    return good / images * clients, clients


def share_of(table: pd.DataFrame, good: pd.Series) -> Share:
    """The share of a table's rows that are good, n in clients."""
    return in_clients(int(good.sum()), len(table), table.client.nunique())


class Rules:
    """Each method decides a claim by one rule and adds it to the ledger.

    stable: whether the claims rest on the stored paper profile, so are the same on any CPU."""

    def __init__(self, ledger: report.Ledger, stable: bool) -> None:
        self.ledger = ledger
        self.stable = stable

    def add(self, claim: Claim, verdict: bool | None, rule: str, measured: str, n: int,
            stable: bool | None = None) -> None:
        """A claim that is decided already."""
        self.ledger.add(claim.id, claim.text, verdict, rule, measured, n, origin=claim.origin,
                        float_id=claim.float_id, unit=claim.unit,
                        stable=self.stable if stable is None else stable)

    def fewer(self, claim: Claim, first: Share | None, second: Share | None) -> None:
        """Is the first share below the second?"""
        verdict, measured = None, "not computed"
        if first and second:
            verdict, measured = verdicts.decide_fewer(first, second)
        self.add(claim, verdict,
                 "Newcombe's 95 % interval of the difference of two shares excludes 0", measured,
                 first[1] if first else 0)

    def above(self, claim: Claim, share: Share | None, level: float) -> None:
        """Is a share above a level?"""
        verdict, measured = self._against(share, level)
        self.add(claim, verdict, f"95 % Wilson interval of the share above {level:.0%}", measured,
                 share[1] if share else 0)

    def below(self, claim: Claim, share: Share | None, level: float) -> None:
        """Is a share below a level?"""
        verdict, measured = self._against(share, level)
        self.add(claim, None if verdict is None else not verdict,
                 f"95 % Wilson interval of the share below {level:.0%}", measured,
                 share[1] if share else 0)

    @staticmethod
    def _against(share: Share | None, level: float) -> tuple[bool | None, str]:
        return verdicts.decide(*share, level) if share else (None, "not computed")

    def costs(self, claim: Claim, accuracy: pd.DataFrame, other: pd.DataFrame, points: float,
              at_least: bool) -> None:
        """Does a way to train cost at least, or at most, so many points of accuracy against
        another, at every batch size? Tables: a row a batch size, indexed by it."""
        differences = (accuracy.accuracy - other.accuracy).dropna()
        variance = ((accuracy.sd**2 + other.sd**2) / accuracy.seeds).fillna(np.inf).mean()
        error = 2 * variance**0.5
        verdict = None
        if len(differences) and (differences + points).abs().min() > error:
            further = differences < -points
            verdict = bool(further.all() if at_least else (differences > -points).all())
        measured = ", ".join(f"B = {B}: {points_of:+.1f}" for B, points_of in differences.items())
        self.add(claim, verdict,
                 f"at every B the accuracy is {'at least' if at_least else 'at most'} {points} "
                 "points below; None where one difference is within two standard errors of that",
                 f"{measured} (± {error:.1f})", int(accuracy.seeds.sum()))
