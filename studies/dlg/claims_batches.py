"""Claims of Tables 1 and 2: batches, ResNet-20, sentences."""

import numpy as np
from scipy import stats

from studies import report
from studies.dlg.plan import Plan
from studies.dlg.settings import READER
from studies.dlg.tables_batches import restored
from studies.dlg.votes import vote

COARSE = 0.05  # MSE below which colours and coarse shapes are seen
WIDE = "LeNet, 24 channels"
SIGMOID = "ResNet-20, sigmoid, no strides"


def add(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    """Six claims; stable: whether they are decided from stored cells."""
    when = {}
    for key, sweep in sweeps.batches.items():
        cell = sweep.shown()
        if cell is not None:
            when[key] = restored(cell)
    _deep(ledger, sweeps, when, stable)
    together = when.get((WIDE, "together, line search"), {})
    in_turn = when.get((WIDE, "one at a time, line search"), {})
    _more_images(ledger, together, stable)
    _one_at_a_time(ledger, in_turn, together or in_turn, stable)
    _text(ledger, sweeps, stable)


def _deep(ledger: report.Ledger, sweeps: Plan, when: dict, stable: bool) -> None:
    runs = []
    for (network, rule), by_size in when.items():
        if network.startswith("ResNet-20, sigmoid") and "relative" not in rule:
            runs += [*by_size.values()]
    deep = np.concatenate(runs or [[]])
    vote(
        ledger, "resnet_batch", "batches are restored on ResNet-20 (Table 1 [recalled])",
        "paper's D, both rules, all sizes: share restored above 0.5",
        np.isfinite(deep).sum(), len(deep),
        origin="recalled", float_id="table1", unit="batch", stable=stable)
    relative = sweeps.batches[SIGMOID, "together, line search, relative D"].shown(other=False)
    near = [] if relative is None else relative.table.mse < COARSE
    vote(
        ledger, "resnet_relative",
        "ours: relative to each layer's size, ResNet-20's gradient shows the image, coarsely",
        "relative D, one image: share with MSE below 0.05 is above 0.5",
        sum(near), len(near), origin="ours", unit="client", stable=stable)


def _more_images(ledger: report.Ledger, together: dict, stable: bool) -> None:
    """together: batch size -> when each batch was restored."""
    points = []
    for size, when in together.items():
        points += [(size, iteration) for iteration in when if np.isfinite(iteration)]
    verdict, measured = None, "too few"
    if len({size for size, _ in points}) > 1:
        rank = stats.spearmanr(*zip(*points, strict=True))
        measured = f"rho {rank.statistic:.2f}, p = {rank.pvalue:.1g}"
        if rank.pvalue < 0.05:
            verdict = bool(rank.statistic > 0)
    ledger.add(
        "more_images", "more images need more iterations (Table 1 [recalled])", verdict,
        "LeNet, 24 channels, restored batches: Spearman of batch size and iterations, p < 0.05",
        measured, len(points), origin="recalled", float_id="table1", unit="batch", stable=stable)


def _one_at_a_time(ledger: report.Ledger, in_turn: dict, together: dict, stable: bool) -> None:
    """Of the batch sizes that were run one at a time."""
    good, n = _restored_of(in_turn, [*in_turn])
    other_good, other_n = _restored_of(together, [*in_turn])
    p = stats.fisher_exact([[good, n - good], [other_good, other_n - other_good]]).pvalue
    verdict = bool(good > other_good) if p < 0.05 else None
    ledger.add(
        "one_at_a_time", "moving one image at a time helps a batch to converge [quoted]", verdict,
        "LeNet, 24 channels, B = 2 and 4, equal iterations: batches restored, Fisher p < 0.05",
        f"{good} of {n} one at a time, {other_good} of {other_n} together, p = {p:.1g}",
        n + other_n, origin="quoted", unit="batch", stable=stable)


def _restored_of(by_size: dict, sizes: list[int]) -> tuple[int, int]:
    """How many batches of those sizes were restored, and of how many."""
    when = np.concatenate([by_size[size] for size in sizes] or [[]])
    return int(np.isfinite(when).sum()), len(when)


def _text(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    claims = [
        ("plain L-BFGS", "text_30",
         "a sentence is read without a mistake at 30 iterations (Table 2 [read])",
         {"origin": "read", "float_id": "table2"}),
        (READER, "text_search", "ours: with line search and a factor on D it is",
         {"origin": "ours"}),
    ]
    for search, id, text, source in claims:
        cell = sweeps.text[search].shown()
        exact = []
        if cell is not None:
            exact = cell.table.tokens[cell.table.iteration == 30] == 1
        vote(ledger, id, text,
             f"{search}: share of sentences exact at 30 iterations is above 0.5",
             sum(exact), len(exact), **source, unit="sentence", stable=stable)
