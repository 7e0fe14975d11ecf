"""Claims of our own: a line search, and how much a network passes on."""

import numpy as np
import pandas as pd

from studies import report
from studies.dlg.plan import Plan
from studies.dlg.tables import RECOVERED
from studies.dlg.tables_beyond import equations_per_pixel, first_clients
from studies.dlg.votes import vote

MATCHED = 1e-5   # D below which the gradients match
ENOUGH = 1.2     # equations for each pixel: clearly more than one


def add(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    """Five claims; stable: whether they are decided from stored cells."""
    _line_search(ledger, sweeps, stable)
    _matched(ledger, sweeps, stable)
    _counting(ledger, sweeps, stable)


def _line_search(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    gained = lost = 0
    for name, sweep in sweeps.with_search.items():
        plain, search = sweeps.leakage[name].stored(), sweep.shown(other=False)
        if plain is None or search is None:
            continue
        was, is_now = (first_clients(cell).mse.to_numpy() < RECOVERED for cell in (plain, search))
        gained += (is_now & ~was).sum()
        lost += (was & ~is_now).sum()
    vote(
        ledger, "line_search", "ours: a line search recovers images that a plain start loses",
        "same clients and starts: of those that differ, share gained is above 0.5",
        gained, gained + lost, origin="ours", unit="pair", stable=stable)


def _matched(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    cell = sweeps.attacked.shown()
    equations = np.array(equations_per_pixel(cell))[cell.table.part]
    missing, enough = cell.table[equations < 1], cell.table[equations > ENOUGH]
    wrong = (missing.best_loss < MATCHED) & (missing.mse > RECOVERED)
    vote(
        ledger, "matched_but_wrong",
        "ours: with fewer equations than pixels the gradient matches and the image is wrong",
        "below 1: share with D < 1e-5 and MSE > 0.001 is above 0.5",
        wrong.sum(), len(missing), origin="ours", unit="attack", stable=stable)
    matched = enough.best_loss < MATCHED
    vote(
        ledger, "matched_and_right",
        "ours: with more, a matching gradient means the right image",
        "above 1.2, D < 1e-5: share with MSE < 0.001 is above 0.5",
        (matched & (enough.mse < RECOVERED)).sum(), matched.sum(),
        origin="ours", unit="attack", stable=stable)


def _counting(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    counts = pd.concat(sweep.shown().table for sweep in (sweeps.counted, sweeps.counted_batches))
    counts = counts[counts.counted < counts.pixels]
    bounded, exact = counts["rank"] <= counts.counted, counts["rank"] == counts.counted
    ledger.add(
        "counting_bound", "ours: the count bounds the independent equations", bool(bounded.all()),
        "rank of the Jacobian never above the count (counts below the pixels)",
        f"{bounded.sum()} of {len(counts)}", len(counts),
        origin="ours", unit="client", stable=stable)
    ledger.add(
        "counting_exact", "ours: and is their number", bool(exact.all()),
        "rank equal to the count in every case",
        f"{exact.sum()} of {len(counts)}", len(counts),
        origin="ours", unit="client", stable=stable)
