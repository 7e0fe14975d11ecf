"""Claims of our own: a line search, and how much a network passes on."""

import numpy as np
import pandas as pd
from scipy import stats

from studies import verdicts
from studies.dlg.plan import Plan
from studies.dlg.tables import RECOVERED, why_ended
from studies.dlg.tables_beyond import equations_per_pixel, first_clients
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

MATCHED = 1e-5   # D below which the gradients match
CLEARLY = 1.2    # equations for each pixel: more than one


def add(book: Ledger, sweeps: Plan, stable: bool) -> None:
    """Five claims; stable: whether they are decided from stored cells."""
    _line_search(book, sweeps, stable)
    _matched(book, sweeps, stable)
    _counting(book, sweeps, stable)


def _line_search(book: Ledger, sweeps: Plan, stable: bool) -> None:
    """Each client has a network of its own, attacked twice from the same start."""
    pairs, searches = [], []
    for name, sweep in sweeps.with_search.items():
        plain, search = sweeps.leakage[name].stored(), sweep.shown(other=False)
        if plain is None or search is None:
            continue
        pairs += zip(*(first_clients(cell).mse < RECOVERED for cell in (plain, search)),
                     strict=True)
        searches.append(search)
    gained, lost = pairs.count((False, True)), pairs.count((True, False))
    decision = Decision(None, "none differs")
    if gained + lost:
        p = float(stats.binomtest(gained, gained + lost).pvalue)
        verdict = gained > lost if p < 0.05 else None
        decision = Decision(verdict, f"{gained} gained, {lost} lost; p = {p:.1g}", p)
    book.add(
        Claim("line_search", "ours: a line search recovers images that a plain start loses",
              unit="pair", stable=stable),
        decision, "same clients and starts: more gained than lost, exact McNemar test, p < 0.05",
        len(pairs), len(pairs), why_ended(*searches) if searches else "")


def _matched(book: Ledger, sweeps: Plan, stable: bool) -> None:
    """Each client of each architecture has a network of its own."""
    cell = sweeps.attacked.shown()
    equations = np.array(equations_per_pixel(cell))[cell.table.part]
    few, many = equations < 1, equations > CLEARLY
    missing = cell.table[few]
    wrong = (missing.best_loss < MATCHED) & (missing.mse > RECOVERED)
    book.add(
        Claim("matched_but_wrong",
              "ours: with fewer equations than pixels the gradient matches and the image is wrong",
              unit="attack", stable=stable),
        verdicts.decide(wrong.sum(), len(missing)),
        "below 1: share with D < 1e-5 and MSE > 0.001 is above 0.5",
        len(missing), len(missing), why_ended(cell, of=few))
    matched = many & (cell.table.best_loss < MATCHED).to_numpy()
    right = cell.table.mse[matched] < RECOVERED
    book.add(
        Claim("matched_and_right", "ours: with more, a matching gradient means the right image",
              unit="attack", stable=stable),
        verdicts.decide(right.sum(), len(right)),
        "above 1.2, D < 1e-5: share with MSE < 0.001 is above 0.5",
        len(right), len(right), why_ended(cell, of=matched))


def _counting(book: Ledger, sweeps: Plan, stable: bool) -> None:
    counts = pd.concat(sweep.shown().table for sweep in (sweeps.counted, sweeps.counted_batches))
    counts = counts[counts.counted < counts.pixels]
    bounded, exact = counts["rank"] <= counts.counted, counts["rank"] == counts.counted
    book.add(
        Claim("counting_bound", "ours: the count bounds the independent equations",
              unit="client", stable=stable, check=True),
        Decision(bool(bounded.all()), f"{bounded.sum()} of {len(counts)}"),
        "rank of the Jacobian never above the count (counts below the pixels)",
        len(counts), None)
    book.add(
        Claim("counting_exact", "ours: and is their number", unit="client", stable=stable),
        Decision(bool(exact.all()), f"{exact.sum()} of {len(counts)}"),
        "rank equal to the count in every case", len(counts), None)
