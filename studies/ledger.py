"""The claims of a page, each decided by the rule written beside it.

The rules of all pages, once:
- The unit is the network, with its training: fewer than three decide nothing. Images and clients
  that share one are averaged first (`verdicts.by_network`).
- A page makes many tests. By Benjamini and Hochberg (1995) the expected share of wrong verdicts
  among those that its tests decide is at most 5 %; a claim whose test does not pass is undecided.
- What was tried in another regime than the paper's is "not tested", with what differs.
- What can hardly fail is a check of the code, which no total counts.
- Digitised and recalled numbers decide nothing: claims rest on orders, not on those numbers.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler
from scipy import stats

from lib import checks
from studies.papers import CERTAINTIES
from studies.report import save_table, table, wrapped
from studies.verdicts import Decision

ORIGINS = ("ours", "third party", "the paper, unmarked", "inferred", *CERTAINTIES)
ENOUGH = 3  # networks that decide
WORDS = {"True": "holds", "False": "fails", "None": "undecided", "not tested": "not tested"}
MARKS = {"True": "✓", "False": "✗", "None": "?", "not tested": "–"}
WOULD = {"None": "would decide it", "not tested": "would test it"}  # of the next run
MOST_BRIEF = 8  # rows of the ledger in a page's text
LEVEL = 0.05  # of the tests of a page, together


@dataclass(frozen=True)
class Claim:
    """A claim before it is decided.

    origin: who says it, and how sure we are of that: words of ORIGINS, several with ", " between
    them. float_id: the paper's figure or table that shows it, as `data/published` names it, or
    several with blanks between them. unit: what n counts ("image", "client", "network", ...).
    check: a check of the code. not_tested: what differs from the paper's regime, where this was
    tried in another. stable: decided alike on any CPU."""

    id: str
    text: str
    origin: str = "ours"
    float_id: str | None = None
    unit: str = "client"
    check: bool = False
    not_tested: str = ""
    stable: bool = True

    def __post_init__(self) -> None:
        for name in ("id", "text", "unit"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"claim {self.id!r}: {name} must be a text, not {value!r}")
        for name in ("check", "stable"):
            checks.flag(f"claim {self.id}: {name}", getattr(self, name))
        if not isinstance(self.not_tested, str):
            raise ValueError(f"claim {self.id}: not_tested says what differs, not "
                             f"{self.not_tested!r}")
        words = self.float_id
        if words is not None and (not isinstance(words, str) or not words.split()):
            raise ValueError(f"claim {self.id}: float_id must name a figure or table, not "
                             f"{words!r}")
        _check_origin(self.id, self.origin)


@dataclass
class Ledger:
    """The claims of a page, in the order in which they were added.

    next_runs: for claims that stay undecided or not tested the run that would decide or test them,
    as in the module `next_runs`."""

    next_runs: dict[str, str] = field(default_factory=dict)
    rows: list[dict] = field(default_factory=list)

    def add(self, claim: Claim, decision: Decision | tuple, rule: str, n: int,
            networks: int | None, ended: str = "") -> None:
        """A claim with its decision: (True, False or None; the numbers as text; p or None).

        n: how many of the claim's unit were counted. networks: how many networks, with their
        trainings, these come from; None where the claim is about none (a formula, a metric).
        ended: how the attacks ended that decide it, where that is stored ("budget 19 of 24").
        Raises ValueError, or TypeError for a verdict of another type."""
        if not isinstance(claim, Claim):
            raise ValueError(f"claim must be a Claim, not {checks.shown(claim)}")
        decision = _checked(claim.id, decision)
        if not isinstance(rule, str) or not rule.strip():
            raise ValueError(f"claim {claim.id}: rule must be a text, not {checks.shown(rule)}")
        if not isinstance(ended, str):
            raise ValueError(f"claim {claim.id}: ended must be a text, not {checks.shown(ended)}")
        checks.whole(f"claim {claim.id}: n", n, 0)
        if networks is not None:
            checks.whole(f"claim {claim.id}: networks", networks, 0)
        if claim.id in [row["claim"].id for row in self.rows]:
            raise ValueError(f"claim {claim.id} is in the ledger already")
        self.rows.append({"claim": claim, "decision": decision, "rule": rule, "n": n,
                          "networks": networks, "ended": ended})

    def verdicts(self) -> None:
        """Print `id: verdict` for each stable claim: what nbval compares."""
        rows = self.table()
        stable = rows[rows.stable]
        print("\n".join(f"{row.id}: {row.verdict}" for row in stable.itertuples()))

    def table(self) -> pd.DataFrame:
        """A row a claim. verdict: "True", "False", "None" or "not tested"; kind: "claim" or "check
        of the code"; p: of its test; undecided: which of the rules of all pages took it,
        and what would decide it."""
        passing, rows = self._passing(), []
        for row in self.rows:
            claim, decision = row["claim"], row["decision"]
            verdict, why = self._verdict(row, passing)
            if verdict in WOULD and claim.id in self.next_runs:
                would = f"{WOULD[verdict]}: {self.next_runs[claim.id]}"
                why = f"{why}; {would}" if why else would
            rows.append({
                "id": claim.id, "claim": claim.text, "verdict": verdict, "rule": row["rule"],
                "measured": decision.measured, "n": row["n"], "stable": claim.stable,
                "origin": claim.origin, "float": claim.float_id or "", "unit": claim.unit,
                "networks": "" if row["networks"] is None else row["networks"],
                "p": "" if decision.p is None else f"{decision.p:.2g}",
                "kind": "check of the code" if claim.check else "claim", "undecided": why,
                "ended": row["ended"]})
        return pd.DataFrame(rows)

    def shown(self) -> Styler:
        """The ledger as a page shows it, in words: verdict, what was measured (with p, why the
        attacks ended, and which rule of all pages took a verdict), of how many; texts wrap."""
        rows = self.table()
        rows["measured"] = [_said(row) for row in rows.itertuples()]
        rows["n"] = [of_how_many(row.n, row.unit, row.networks) for row in rows.itertuples()]
        rows["verdict"] = rows.verdict.map(WORDS)
        shown = rows[["id", "claim", "verdict", "measured", "n", "rule"]]
        return wrapped(shown).hide(axis="index")

    def brief(self, *ids: str) -> Styler:
        """The claims that a page is about, at most eight, in this order: a mark with its word, the
        claim, what was measured. ValueError for an id that is not in the ledger."""
        if not 0 < len(ids) <= MOST_BRIEF:
            raise ValueError(f"brief shows 1 to {MOST_BRIEF} claims, not {len(ids)}")
        rows = self.table().set_index("id")
        if unknown := [name for name in ids if name not in rows.index]:
            raise ValueError(f"no claim {unknown[0]!r} in the ledger")
        chosen = rows.loc[list(ids)]
        return table(pd.DataFrame({
            "verdict": [f"{MARKS[verdict]} {WORDS[verdict]}" for verdict in chosen.verdict],
            "claim": chosen.claim, "measured": [_said(row) for row in chosen.itertuples()]}
        ).reset_index(drop=True))

    def save(self) -> None:
        """Write `claims.csv` among the products."""
        save_table(self.table(), "claims")

    def counts(self) -> Counter:
        """How many claims have which verdict; no check of the code."""
        rows = self.table()
        return Counter(rows[rows.kind == "claim"].verdict)

    def _passing(self) -> set[str]:
        """The claims whose tests pass, together (Benjamini and Hochberg).

        A test of too few networks is none of them: it decides nothing, whatever its p, and would
        make the others pass more easily. So would a p below the level where the rule itself does
        not decide: it counts as 1."""
        tested = [row for row in self.rows if row["decision"].p is not None
                  and not row["claim"].check and not row["claim"].not_tested and not _few(row)]
        if not tested:
            return set()
        ps = [1.0 if row["decision"].verdict is None else float(row["decision"].p)
              for row in tested]
        corrected = stats.false_discovery_control(ps)
        return {row["claim"].id for row, p in zip(tested, corrected, strict=True) if p < LEVEL}

    def _verdict(self, row: dict, passing: set[str]) -> tuple[str, str]:
        """The verdict by the rules of all pages, and which of them took it."""
        claim, decision = row["claim"], row["decision"]
        if claim.not_tested:
            return "not tested", claim.not_tested
        if decision.verdict is None or claim.check:
            return str(decision.verdict), ""
        if _few(row):
            count = f"{row['networks']} network{'' if row['networks'] == 1 else 's'}"
            return "None", f"{count}: at least {ENOUGH} decide"
        if decision.p is not None and claim.id not in passing:
            return "None", "not after the correction for the tests of this page"
        return str(bool(decision.verdict)), ""


def _said(row: tuple) -> str:
    """What was measured, p where that does not say it, how attacks ended, which rule decided."""
    p = f"p = {row.p}" if row.p and "p = " not in str(row.measured) else ""
    return "; ".join(text for text in (str(row.measured), p, row.ended, row.undecided) if text)


def of_how_many(n: int | str, unit: str, networks: int | str) -> str:
    """"24 images, 3 networks"; said once where networks are what n counts."""
    if networks == "" or (unit, str(n)) == ("network", str(networks)):
        return counted(n, unit)
    return f"{counted(n, unit)}, {counted(networks, 'network')}"


def counted(n: int | str, unit: str) -> str:
    """"1 image", "8 images", "2 batches"."""
    if str(n) == "1":
        return f"1 {unit}"
    if unit.endswith(("s", "x", "ch", "sh")):
        return f"{n} {unit}es"
    if unit.endswith("y") and unit[-2:-1] not in tuple("aeiou"):
        return f"{n} {unit[:-1]}ies"
    return f"{n} {unit}s"


def _few(row: dict) -> bool:
    """Are there networks behind a row, and fewer than decide?"""
    return row["networks"] is not None and row["networks"] < ENOUGH


def _checked(claim: str, decision: Decision | tuple) -> Decision:
    """The decision; ValueError where it is none, TypeError for a verdict of another type."""
    if not isinstance(decision, tuple) or len(decision) not in (2, 3):
        raise ValueError(f"claim {claim}: a decision is (verdict, measured) or (verdict, measured, "
                         f"p), not {checks.shown(decision)}")
    decision = Decision(*decision)
    if decision.verdict is not None and not isinstance(decision.verdict, bool | np.bool_):
        raise TypeError(f"claim {claim}: the verdict is True, False or None, not "
                        f"{checks.shown(decision.verdict)}")
    if decision.p is not None:
        checks.number(f"claim {claim}: p", decision.p, 0, 1)
    return decision


def _check_origin(claim: str, origin: str) -> None:
    """ValueError where `origin` is not of ORIGINS, or says a thing twice."""
    several = isinstance(origin, str) and origin not in ORIGINS  # one of these holds a comma
    words = origin.split(", ") if several else [origin]
    if not all(word in ORIGINS for word in words) or len(set(words)) < len(words):
        raise ValueError(f"claim {claim}: origin {origin!r} is none of {', '.join(ORIGINS)}")
