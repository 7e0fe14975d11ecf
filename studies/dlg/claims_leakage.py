"""Claims of Figures 3 to 6, decided from this run.

Each client of a set has a network of its own, so that images are networks here."""

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose, verdicts
from studies.cells import Cell
from studies.dlg import tables
from studies.dlg.plan import Plan
from studies.dlg.tables import RECOVERED, VISIBLE, why_ended
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

SOME, USUALLY = 0.05, 0.5  # shares of single starts: an image can leak; a start usually suffices
MOSTLY = 0.8        # share of recovered images whose label has to be right
FALLEN = 1e-6       # of its start: D has come down
SAME_NETWORKS = {"CIFAR-100": "CIFAR"}  # one shape, 100 outputs, the same seeds


def add(book: Ledger, sweeps: Plan) -> None:
    """Eight claims."""
    cells = choose.here_of(sweeps.leakage)
    eight = sweeps.batch_of_8.run()
    _single_images(book, cells)
    _simple_first(book, cells["MNIST"], cells["CIFAR"])
    _batches(book, eight)
    _together(book, cells["CIFAR"])
    _mean_small(book, cells)


def _single_images(book: Ledger, cells: dict[str, Cell]) -> None:
    everything = _of_all_sets(cells)
    networks = everything.network.nunique()
    ended = why_ended(*cells.values())
    book.add(
        Claim("can_leak",
              "an image can be recovered from its gradient alone, on every set (Fig. 3)",
              origin="read", float_id="fig3", unit="client", check=True),
        _on_every_set(cells, SOME),
        "share of single starts with MSE below 0.001 is above 0.05 on every set",
        len(everything), networks, ended)
    book.add(
        Claim("majority_leaks",
              "our question: does a single start usually suffice, on every set?",
              unit="client", stable=False),
        _on_every_set(cells, USUALLY), "the same share is above 0.5 on every set",
        len(everything), networks, ended)
    good = everything[everything.mse < RECOVERED]
    right = good.label == good.true_label
    book.add(
        Claim("label_too",
              "the label is recovered with the image (Algorithm 1 optimises it too)",
              origin="read", unit="image", check=True),
        verdicts.decide(right.sum(), len(good), MOSTLY),
        "of recovered images, share with the right label above 0.8",
        len(good), good.network.nunique())


def _of_all_sets(cells: dict[str, Cell]) -> pd.DataFrame:
    """The rows of all sets, with the name of each client's network."""
    rows = []
    for name, cell in cells.items():
        drawn_for = SAME_NETWORKS.get(name, name)
        numbers = cell.table["client"].astype(str)
        rows.append(cell.table.assign(network=f"{drawn_for} " + numbers))
    return pd.concat(rows)


def _on_every_set(cells: dict[str, Cell], level: float) -> Decision:
    """Is the share recovered above `level` on every set? False where it is below on one. p: of the
    set that decides; where one of several says no, times their number."""
    by_set = {}
    for name, cell in cells.items():
        by_set[tables.attacked_set(name, cell)] = verdicts.decide(
            tables.recovered(cell).sum(), cell.n, level)
    decided = [decision.verdict for decision in by_set.values()]
    verdict, p = None, max(decision.p for decision in by_set.values())
    if False in decided:
        least = min(decision.p for decision in by_set.values() if decision.verdict is False)
        verdict, p = False, min(1.0, least * len(by_set))
    elif all(decided):
        verdict = True
    words = [f"{name} {decision.measured}" for name, decision in by_set.items()]
    return Decision(verdict, "; ".join(words), p)


def _simple_first(book: Ledger, grey: Cell, colour: Cell) -> None:
    when = [_first_visible(cell) for cell in (grey, colour)]
    p = float(stats.mannwhitneyu(*when).pvalue)
    less = stats.mannwhitneyu(*when, alternative="less").pvalue
    verdict = bool(less < 0.5) if p < 0.05 else None
    count = sum(map(len, when))
    book.add(
        Claim("simple_first",
              "a grey digit needs fewer iterations than a coloured image (Fig. 3; size, "
              "here, is not held fixed)",
              origin="read", float_id="fig3", unit="client"),
        Decision(verdict, f"medians {np.median(when[0]):g} and {np.median(when[1]):g}, "
                          f"p = {p:.1g}", p),
        "first recorded iteration with MSE below 0.01, recovered clients only; Mann-Whitney "
        "p < 0.05", count, count)


def _first_visible(cell: Cell) -> np.ndarray:
    """For each recovered client the first recorded iteration with an MSE below `VISIBLE`."""
    steps, below = np.array(cell.config[0]["record"]), cell.arrays["mse"] < VISIBLE
    return steps[below.argmax(1)][below.any(1) & tables.recovered(cell)]


def _batches(book: Ledger, cell: Cell) -> None:
    whole = cell.table.groupby("client").mse.max() < RECOVERED
    book.add(
        Claim("batch_of_8", "a batch of eight is recovered, all eight of it (Fig. 4)",
              origin="read", float_id="fig4", unit="batch", stable=False,
              not_tested="LeNet and not ResNet, all eight moved together and not one at a time, "
                         "fewer iterations"),
        verdicts.decide(whole.sum(), len(whole)),
        "share of batches with all eight below 0.001 is above 0.5",
        len(whole), len(whole), why_ended(cell))
    good = cell.table[tables.recovered(cell)]
    book.add(
        Claim("order_lost", "recovered images of a batch stand in another order (Fig. 4)",
              origin="read", float_id="fig4", unit="image", check=True),
        verdicts.decide((good["guess"] != good["image"]).sum(), len(good)),
        "share of recovered images at another place than the true one is above 0.5 (chance: 7/8)",
        len(good), good["client"].nunique())


def _together(book: Ledger, cell: Cell) -> None:
    objective, good = tables.objective(cell), tables.recovered(cell)
    fell = np.nan_to_num(objective[:, -1] / objective[:, 0], nan=1) < FALLEN
    with_it = verdicts.decide((good & fell).sum(), fell.sum())
    without = verdicts.decide((~good & ~fell).sum(), (~fell).sum())
    verdict, p = None, None
    if None not in (with_it.p, without.p):
        p = max(with_it.p, without.p)
    if None not in (with_it.verdict, without.verdict):
        verdict = with_it.verdict and without.verdict
    book.add(
        Claim("together",
              "as the gradients' distance falls, so does the image's error (Fig. 5)",
              origin="recalled", float_id="fig5", unit="client", stable=False),
        Decision(verdict, f"{with_it.measured}; {without.measured}", p),
        "where D fell by 1e6 most images came back, and where it did not most did not: both "
        "shares above 0.5",
        cell.n, cell.n, why_ended(cell))


def _mean_small(book: Ledger, cells: dict[str, Cell]) -> None:
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
    everything = _of_all_sets(cells)
    book.add(
        Claim("mean_small",
              "our question: is the mean error, failures included, within what we call recovered?",
              unit="client"),
        Decision(verdict, "; ".join(words)),
        "95 % bootstrap interval of the mean clipped MSE, below 0.001 on every set (False: above "
        "on one)",
        len(everything), everything.network.nunique(), why_ended(*cells.values()))
