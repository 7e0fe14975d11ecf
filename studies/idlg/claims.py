"""The ledger of notebook 02: each claim with the rule that decides it."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from studies import report, verdicts
from studies.idlg import batches, gaps, plan
from studies.idlg.tables import (
    RECOVERED,
    THRESHOLDS,
    Results,
    in_words,
    label_right,
    recovered,
    share_of,
)
from studies.report import Ledger

LEVEL = 0.05  # two-sided p below which a difference counts
WIDTH = 10  # points: only a 95 % interval as narrow as this can confirm a published number
DIGITISING = 2  # points: two curves read off Figure 1, to within one point each
PUBLISHED_N = 1000  # experiments behind each published percentage (num_exp of the official code)
LEVEL_RULE = ("Fisher p against the published count; True needs a 95 % interval of 10 points or "
              "less")


@dataclass(frozen=True)
class Evidence:
    """What the claims are decided from: cells of one run each, as `Results.settled` gives them."""

    attacks: dict  # (set, attack) -> Cell
    unstopped: dict
    counts: dict
    fours: dict
    numbers: pd.DataFrame  # published
    stable: bool  # whether the attacks are stored: a stored verdict is the same on any CPU


def ledger(attacks: Results, unstopped: Results, counts: Results, fours: Results,
           numbers: pd.DataFrame) -> Ledger:
    """All claims of the notebook, decided. numbers: `report.published("idlg")`."""
    stored = bool(attacks.stored)
    evidence = Evidence(
        attacks.settled()[1], unstopped.stored if stored else unstopped.here, counts.settled()[1],
        fours.settled()[1], numbers, stored)
    book = report.Ledger()
    for paper_set in gaps.sets_of(evidence.attacks):
        _labels(book, evidence, paper_set)
    for paper_set in gaps.sets_of(evidence.attacks):
        _images(book, evidence, paper_set)
    _does_the_gap_survive(book, evidence)
    _earlier(book, evidence)
    _why_dlg_loses(book, evidence)
    _batch_counts(book, evidence)
    for i, title in enumerate(plan.VICTIMS):
        _counts(book, evidence, i, title)
    _single_label(book, evidence)
    return book


def _if_significant(p: float, answer) -> bool | None:
    return bool(answer) if p < LEVEL else None


def _published(evidence: Evidence, float_id: str, row: str, column: str) -> float:
    """A published percentage."""
    numbers = evidence.numbers
    chosen = (numbers.float == float_id) & (numbers.row == row) & (numbers.column == column)
    return numbers[chosen].value.iloc[0]


# --- Table 1


def _labels(book: Ledger, evidence: Evidence, paper_set: str) -> None:
    dlg, idlg = (label_right(evidence.attacks[paper_set, attack]) for attack in plan.BOTH)
    book.add(
        f"label_always_{paper_set}", f"{paper_set}: iDLG's label is right every time (Table 1 "
        "[read])", bool(idlg.all()), "every label right (so by derivation: this checks the code)",
        f"{idlg.sum()} of {len(idlg)}", len(idlg), origin="read", float_id="table1", unit="client")
    paired = gaps.gap(dlg, idlg)
    book.add(
        f"label_better_{paper_set}", f"{paper_set}: DLG's label is right less often (Table 1 "
        "[read])", _if_significant(paired["p"], paired["gap"] > 0),
        "same clients and starts: McNemar p < 0.05",
        f"{paired['DLG']:.1f} % against {paired['iDLG']:.1f} %, p = {paired['p']:.1g}", len(dlg),
        origin="read", float_id="table1", unit="client", stable=evidence.stable)
    told = _published(evidence, "table1", "DLG", paper_set)
    verdict, measured = _same_level(dlg, told)
    book.add(
        f"label_level_{paper_set}", f"{paper_set}: DLG's label is right in {told} % (Table 1 "
        "[read])", verdict, LEVEL_RULE, measured, len(dlg), origin="read", float_id="table1",
        unit="client", stable=evidence.stable)


def _same_level(good, told: float) -> tuple[bool | None, str]:
    """Is a share the published one (per cent), of 1,000 experiments? None where our interval is
    wide."""
    share, count = share_of(good), int(np.sum(good))
    theirs = round(told * PUBLISHED_N / 100)
    p = stats.fisher_exact([[count, len(good) - count], [theirs, PUBLISHED_N - theirs]]).pvalue
    narrow = share["high"] - share["low"] <= WIDTH
    return _compatible(p < LEVEL, narrow), f"{in_words(share)}; p = {p:.1g}"


def _compatible(differs: bool, narrow: bool) -> bool | None:
    """False where numbers differ, True where they would be seen to, None else."""
    if differs:
        return False
    return True if narrow else None


# --- Figure 1


def _images(book: Ledger, evidence: Evidence, paper_set: str) -> None:
    cells = {attack: evidence.attacks[paper_set, attack] for attack in plan.BOTH}
    n = cells["DLG"].n
    paired = [gaps.gap(*(recovered(cell, threshold) for cell in cells.values()))
              for threshold in THRESHOLDS]
    book.add(
        f"image_better_{paper_set}", f"{paper_set}: more iDLG attacks are good at every threshold "
        "(Fig. 1, digitised)", _everywhere(paired),
        "1e-2 to 1e-4, same clients and starts: McNemar p < 0.05 at each of the five",
        ", ".join(f"{row['gap']:+.0f} (p = {row['p']:.1g})" for row in paired), n,
        origin="digitised", float_id="fig1", unit="client", stable=evidence.stable)
    told = {attack: _published(evidence, "fig1", f"{paper_set}, {attack}", f"{RECOVERED:g}")
            for attack in plan.BOTH}
    for attack, cell in cells.items():
        verdict, measured = _same_level(recovered(cell), told[attack])
        book.add(
            f"image_level_{paper_set}_{attack}", f"{paper_set}: {told[attack]} % of {attack}'s "
            "attacks end below 0.001 (Fig. 1, digitised)", verdict, LEVEL_RULE, measured, n,
            origin="digitised", float_id="fig1", unit="client", stable=evidence.stable)
    gained = recovered(cells["iDLG"]).astype(float) - recovered(cells["DLG"])
    verdict, measured = _same_gap(gained, told)
    book.add(
        f"gap_level_{paper_set}", f"{paper_set}: our gap at 0.001 is compatible with the published "
        f"{told['iDLG'] - told['DLG']:.0f} points (Fig. 1, digitised)", verdict,
        "False: they differ by more than the 95 % interval of the difference, plus 2 for "
        "digitising; True needs that to be 10 points or less", measured, n,
        origin="digitised", float_id="fig1", unit="client", stable=evidence.stable)


def _everywhere(paired: list[dict]) -> bool | None:
    """Is the gap positive at every threshold? False where it is negative at one."""
    if any(row["gap"] < 0 and row["p"] < LEVEL for row in paired):
        return False
    return True if all(row["gap"] > 0 and row["p"] < LEVEL for row in paired) else None


def _same_gap(gained: np.ndarray, told: dict[str, float]) -> tuple[bool | None, str]:
    """Is our gap the published one? gained: for each client 1 where only iDLG recovers it, -1 where
    only DLG does, else 0. told: the published shares by attack, per cent."""
    # the variance of the published gap: 1,000 experiments, two starts
    theirs = sum(value / 100 * (1 - value / 100) / PUBLISHED_N for value in told.values())
    half = 100 * 1.96 * (gained.var(ddof=1) / len(gained) + theirs) ** 0.5 + DIGITISING
    ours = 100 * gained.mean()
    difference = ours - (told["iDLG"] - told["DLG"])
    return (_compatible(abs(difference) > half, half <= WIDTH),
            f"{ours:+.0f}, differs by {difference:+.0f}, allowed {half:.0f}")


def _does_the_gap_survive(book: Ledger, evidence: Evidence) -> None:
    rows = gaps.gaps(evidence.attacks, evidence.unstopped)
    for how, id in ((gaps.BEST, "gap_best_state"), (gaps.OWN, "gap_own_starts"),
                    (gaps.FREE, "gap_no_stop")):
        chosen = {paper_set: row for (paper_set, name), row in rows.items() if name == how}
        open_to_doubt = not chosen or any(row["p"] >= LEVEL for row in chosen.values())
        verdict = None if open_to_doubt else all(row["gap"] > 0 for row in chosen.values())
        measured = "; ".join(f"{paper_set} {row['gap']:+.0f} (p = {row['p']:.1g})"
                             for paper_set, row in chosen.items())
        book.add(
            id, f"our question: does the gap at 0.001 survive \"{how}\"?", verdict,
            "on every set computed: p < 0.05 and iDLG above", measured or "not computed",
            sum(row["n"] for row in chosen.values()), origin="ours", unit="client",
            stable=evidence.stable)


# --- Figure 2, and why DLG loses


def _wilcoxon(a: np.ndarray, b: np.ndarray) -> float:
    """p of Wilcoxon's test that paired values are alike; 1 where all are equal."""
    return stats.wilcoxon(a, b).pvalue if (a != b).any() else 1.0


def _earlier(book: Ledger, evidence: Evidence) -> None:
    sets = gaps.sets_of(evidence.attacks)
    dlg, idlg = (np.concatenate([gaps.first_below(evidence.attacks[paper_set, attack])
                                 for paper_set in sets]) for attack in plan.BOTH)
    met = np.isfinite(dlg) & np.isfinite(idlg)
    dlg, idlg = dlg[met], idlg[met]
    p = _wilcoxon(dlg, idlg)
    book.add(
        "earlier", "with iDLG the image appears earlier (Fig. 2 [read])",
        _if_significant(p, np.mean(dlg - idlg) > 0),
        "clients that both bring below 0.01, first recorded iteration (every tenth): Wilcoxon "
        "p < 0.05",
        f"means {dlg.mean():.1f} and {idlg.mean():.1f}; iDLG earlier {(idlg < dlg).sum()}, later "
        f"{(idlg > dlg).sum()}, equal {(dlg == idlg).sum()}; p = {p:.1g}", int(met.sum()),
        origin="read", float_id="fig2", unit="client", stable=evidence.stable)


def _why_dlg_loses(book: Ledger, evidence: Evidence) -> None:
    crossed = gaps.by_label(evidence.attacks)
    wrong, right = gaps.of_label(crossed, "wrong"), gaps.of_label(crossed, "right")
    n, count = int(wrong["clients"]), int(wrong["recovered by DLG"])
    verdict, measured = None, "none"
    if n:
        most = stats.binomtest(count, n).proportion_ci(method="wilson").high
        verdict, measured = count == 0, f"{count} of {n} (at most {most:.0%})"
    book.add(
        "wrong_label_loses", "ours: DLG recovers no image whose label it gets wrong", verdict,
        "none recovered", measured, n, origin="ours", unit="client", stable=evidence.stable)
    only_dlg = int(right["recovered by DLG"] - right["by both"])
    only_idlg = int(right["by iDLG"] - right["by both"])
    differ = only_dlg + only_idlg
    p = stats.binomtest(only_idlg, differ).pvalue if differ else 1.0
    book.add(
        "right_label_too", "ours: iDLG recovers more even where DLG's label is right",
        _if_significant(p, only_idlg > only_dlg), "same clients: McNemar p < 0.05",
        f"{only_idlg} recovered by iDLG alone, {only_dlg} by DLG alone, of {right['clients']}; "
        f"p = {p:.1g}", int(right["clients"]), origin="ours", unit="client",
        stable=evidence.stable)


# --- batches


def _batch_counts(book: Ledger, evidence: Evidence) -> None:
    chosen = ("wainakh", "analytic", "granted")
    if not all(labels in evidence.fours for labels in chosen):
        return
    counts = {labels: batches.recovered_of_batches(evidence.fours[labels]) for labels in chosen}
    p = _wilcoxon(counts["analytic"], counts["wainakh"])
    means = ", ".join(f"{labels} {count.mean():.1f} of 4" for labels, count in counts.items())
    book.add(
        "batch_counts", "ours: batches of four, four classes: labels counted by the analytic rule "
        "recover more images than Wainakh's",
        _if_significant(p, counts["analytic"].sum() > counts["wainakh"].sum()),
        "same batches and starts, images recovered of each batch: Wilcoxon p < 0.05",
        f"{means}; p = {p:.1g}", len(counts["analytic"]), origin="ours", unit="batch",
        stable=evidence.stable)


def _of_rule(evidence: Evidence, title: str, rule: str, size: int) -> pd.DataFrame:
    """The batches of `size` random labels of a victim, as one rule reads them."""
    table = evidence.counts[title, False].table
    return table[(table.rule == rule) & (table.B == size)]


def _counts(book: Ledger, evidence: Evidence, i: int, title: str) -> None:
    if (title, False) not in evidence.counts:
        return
    for size in (16, 64):
        analytic = _of_rule(evidence, title, "analytic", size)
        even = _of_rule(evidence, title, "even", size)
        verdict, measured = verdicts.decide_greater(analytic.accuracy, even.accuracy)
        book.add(
            f"count_{i}_{size}", f"ours: {size} labels are counted better than by dealing evenly: "
            f"{title}", verdict, "analytic against even, Welch p < 0.05", measured, len(analytic),
            origin="ours", unit="batch", stable=evidence.stable)
    if plan.VICTIMS[title].training is None:
        whole = _of_rule(evidence, title, "analytic", 64).exact
        verdict, measured = verdicts.decide(whole.sum(), len(whole))
        book.add(
            f"exact_{i}", f"ours: of most batches all 64 labels are counted right: {title}",
            verdict, "share of batches with no mistake is above 0.5", measured, len(whole),
            origin="ours", unit="batch", stable=evidence.stable)


def _single_label(book: Ledger, evidence: Evidence) -> None:
    if not all((title, False) in evidence.counts for title in plan.VICTIMS):
        return
    tables = {title: batches.single_label(evidence.counts[title, False].table)
              for title in plan.VICTIMS}
    book.add(
        "single_trained", "ours: iDLG's rule reads a single label on every victim, trained or not",
        all(table.accuracy.all() for table in tables.values()), "every label right",
        "; ".join(f"{title} {table.accuracy.mean():.0%}" for title, table in tables.items()),
        sum(len(table) for table in tables.values()), origin="ours", unit="image",
        stable=evidence.stable)
