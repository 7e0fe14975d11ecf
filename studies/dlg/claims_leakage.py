"""Claims of Figures 3 to 6, decided from this run."""

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose, report, verdicts
from studies.cells import Cell
from studies.dlg import tables
from studies.dlg.plan import Plan
from studies.dlg.tables import RECOVERED
from studies.dlg.votes import vote

VISIBLE = 1e-2      # MSE below which an image is seen: when it comes, not whether it is recovered
SOME, USUALLY = 0.05, 0.5  # shares of single starts: an image can leak; a start usually suffices
MOSTLY = 0.8        # share of recovered images whose label has to be right
FALLEN = 1e-6       # of its start: D has come down


def add(ledger: report.Ledger, sweeps: Plan) -> None:
    """Eight claims."""
    cells = choose.here_of(sweeps.leakage)
    eight = sweeps.batch_of_8.run()
    _single_images(ledger, cells)
    _simple_first(ledger, cells["MNIST"], cells["CIFAR"])
    _batches(ledger, eight)
    _together(ledger, cells["CIFAR"])
    _mean_small(ledger, cells)


def _single_images(ledger: report.Ledger, cells: dict[str, Cell]) -> None:
    everything = pd.concat(cell.table for cell in cells.values())
    verdict, measured = _on_every_set(cells, SOME)
    ledger.add(
        "can_leak",
        "an image can be recovered from its gradient alone, on every set (Fig. 3 [read])",
        verdict, "share of single starts with MSE below 0.001 is above 0.05 on every set",
        measured, len(everything), origin="read", float_id="fig3", unit="client")
    verdict, measured = _on_every_set(cells, USUALLY)
    ledger.add(
        "majority_leaks",
        "our question: does a single start usually suffice, on every set?",
        verdict, "the same share is above 0.5 on every set",
        measured, len(everything), origin="ours", unit="client", stable=False)
    good = everything.mse < RECOVERED
    right = everything.label == everything.true_label
    vote(
        ledger, "label_too",
        "the label is recovered with the image (Algorithm 1 optimises it too [read])",
        "of recovered images, share with the right label above 0.8",
        (right & good).sum(), good.sum(), MOSTLY, origin="read", unit="image")


def _on_every_set(cells: dict[str, Cell], level: float) -> tuple[bool | None, str]:
    """Is the share recovered above `level` on every set? False where it is below on one."""
    by_set, words = [], []
    for name, cell in cells.items():
        verdict, measured = verdicts.decide(tables.recovered(cell).sum(), cell.n, level)
        by_set.append(verdict)
        words.append(f"{tables.attacked_set(name, cell)} {measured}")
    verdict = None
    if False in by_set:
        verdict = False
    elif all(by_set):
        verdict = True
    return verdict, "; ".join(words)


def _simple_first(ledger: report.Ledger, grey: Cell, colour: Cell) -> None:
    when = [_first_visible(cell) for cell in (grey, colour)]
    less = stats.mannwhitneyu(*when, alternative="less").pvalue
    more = stats.mannwhitneyu(*when, alternative="greater").pvalue
    verdict = None
    if less < 0.05:
        verdict = True
    elif more < 0.05:
        verdict = False
    ledger.add(
        "simple_first",
        "a grey digit needs fewer iterations than a coloured image (Fig. 3 [read]; size, here, is "
        "not held fixed)",
        verdict,
        "first recorded iteration with MSE below 0.01, recovered clients only; one-sided "
        "Mann-Whitney p < 0.05",
        f"medians {np.median(when[0]):g} and {np.median(when[1]):g}, p = {less:.1g}",
        sum(map(len, when)), origin="read", float_id="fig3", unit="client")


def _first_visible(cell: Cell) -> np.ndarray:
    """For each recovered client the first recorded iteration with an MSE below `VISIBLE`."""
    steps, below = np.array(cell.config[0]["record"]), cell.arrays["mse"] < VISIBLE
    return steps[below.argmax(1)][below.any(1) & tables.recovered(cell)]


def _batches(ledger: report.Ledger, cell: Cell) -> None:
    whole = cell.table.groupby("client").mse.max() < RECOVERED
    vote(
        ledger, "batch_of_8", "a batch of eight is recovered, all eight of it (Fig. 4 [read])",
        "share of batches with all eight below 0.001 is above 0.5",
        whole.sum(), len(whole), origin="read", float_id="fig4", unit="batch", stable=False)
    good = cell.table[tables.recovered(cell)]
    vote(
        ledger, "order_lost", "recovered images of a batch stand in another order (Fig. 4 [read])",
        "share of recovered images at another place than the true one is above 0.5 (chance: 7/8)",
        (good["guess"] != good["image"]).sum(), len(good),
        origin="read", float_id="fig4", unit="image")


def _together(ledger: report.Ledger, cell: Cell) -> None:
    objective, good = tables.objective(cell), tables.recovered(cell)
    fell = np.nan_to_num(objective[:, -1] / objective[:, 0], nan=1) < FALLEN
    with_it, measured = verdicts.decide((good & fell).sum(), fell.sum())
    without, measured_without = verdicts.decide((~good & ~fell).sum(), (~fell).sum())
    verdict = None if None in (with_it, without) else with_it and without
    ledger.add(
        "together",
        "as the gradients' distance falls, so does the image's error (Fig. 5 [recalled])",
        verdict,
        "where D fell by 1e6 most images came back, and where it did not most did not: both "
        "shares above 0.5",
        f"{measured}; {measured_without}", cell.n,
        origin="recalled", float_id="fig5", unit="client", stable=False)


def _mean_small(ledger: report.Ledger, cells: dict[str, Cell]) -> None:
    intervals = {}
    for name, cell in cells.items():
        resampled = stats.bootstrap((tables.clipped(cell),), np.mean, rng=0)
        intervals[tables.attacked_set(name, cell)] = resampled.confidence_interval
    verdict = None
    if any(interval.low > RECOVERED for interval in intervals.values()):
        verdict = False
    elif all(interval.high < RECOVERED for interval in intervals.values()):
        verdict = True
    words = [f"{name} [{low:.3f}, {high:.3f}]" for name, (low, high) in intervals.items()]
    ledger.add(
        "mean_small",
        "our question: is the mean error, failures included, within what we call recovered?",
        verdict,
        "95 % bootstrap interval of the mean clipped MSE, below 0.001 on every set (False: above "
        "on one)",
        "; ".join(words), sum(cell.n for cell in cells.values()), origin="ours", unit="client")
