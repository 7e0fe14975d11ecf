"""Claims of Tables 1 and 2: batches, ResNet-20, sentences.

In Table 1 client k has the same network at every batch size and under every rule of moving its
images: networks are tested, the batches of each averaged. In Table 2 each sentence has its own."""

import numpy as np
import pandas as pd
from scipy import stats

from studies import verdicts
from studies.dlg.plan import Plan
from studies.dlg.settings import READER
from studies.dlg.tables import why_ended
from studies.dlg.tables_batches import restored
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

COARSE = 0.05  # MSE below which colours and coarse shapes are seen
WIDE = "LeNet, 24 channels"
TOGETHER, IN_TURN = "together, line search", "one at a time, line search"
SIGMOID = "ResNet-20, sigmoid, no strides"


def add(book: Ledger, sweeps: Plan, stable: bool) -> None:
    """Six claims; stable: whether they are decided from stored cells."""
    cells = {}
    for key, sweep in sweeps.batches.items():
        cell = sweep.shown()
        if cell is not None:
            cells[key] = cell
    _deep(book, cells, stable)
    _relative(book, sweeps, stable)
    _more_images(book, cells, stable)
    _one_at_a_time(book, cells, stable)
    _text(book, sweeps, stable)


def _deep(book: Ledger, cells: dict, stable: bool) -> None:
    runs = {key: cell for key, cell in cells.items()
            if key[0] == SIGMOID and "relative" not in key[1]}
    when = [iterations for cell in runs.values() for iterations in restored(cell).values()]
    batches = np.isfinite(when or [[]])  # (batch sizes and rules, networks)
    networks = batches.shape[1]
    share = batches.mean(0) if networks else np.zeros(0)
    book.add(
        Claim("resnet_batch", "batches are restored on ResNet-20 (Table 1)",
              origin="recalled", float_id="table1", unit="batch", stable=stable),
        verdicts.decide(share.sum(), networks),
        "paper's D, both rules, all sizes: share restored above 0.5, of each network's batches "
        "together",
        batches.size, networks, why_ended(*runs.values()) if runs else "")


def _relative(book: Ledger, sweeps: Plan, stable: bool) -> None:
    cell = sweeps.batches[SIGMOID, "together, line search, relative D"].shown(other=False)
    near = pd.Series(dtype=bool) if cell is None else cell.table.mse < COARSE
    book.add(
        Claim("resnet_relative",
              "ours: relative to each layer's size, ResNet-20's gradient shows the image, coarsely",
              unit="client", stable=stable),
        verdicts.decide(near.sum(), len(near)),
        "relative D, one image: share with MSE below 0.05 is above 0.5",
        len(near), len(near), "" if cell is None else why_ended(cell))


def _more_images(book: Ledger, cells: dict, stable: bool) -> None:
    cell = cells.get((WIDE, TOGETHER))
    when = np.zeros((0, 0))  # (networks, batch sizes): infinity where a batch is never restored
    if cell is not None:
        by_size = restored(cell)
        when = np.stack([by_size[size] for size in sorted(by_size)], 1)
    decision = Decision(None, "too few")
    if when.shape[0] > 1 and when.shape[1] > 2:
        decision = _growing(when)
    book.add(
        Claim("more_images", "more images need more iterations (Table 1)",
              origin="recalled", float_id="table1", unit="batch", stable=stable),
        decision,
        "LeNet, 24 channels: within each network, iterations grow with the batch size (Page's "
        "trend test, p < 0.05); a batch that is never restored is the last",
        when.size, len(when), "" if cell is None else why_ended(cell))


def _growing(when: np.ndarray) -> Decision:
    """Do the columns of `when` grow, row by row? By Page's test for ordered alternatives (1963)."""
    up = stats.page_trend_test(when).pvalue
    down = stats.page_trend_test(when[:, ::-1]).pvalue
    p = float(min(1, 2 * min(up, down)))
    verdict = bool(up < down) if p < 0.05 else None
    counts = " / ".join(str(count) for count in np.isfinite(when).sum(0))
    return Decision(verdict, f"restored, by batch size: {counts} of {len(when)}; p = {p:.1g}", p)


def _one_at_a_time(book: Ledger, cells: dict, stable: bool) -> None:
    """Of the batch sizes that were run one at a time."""
    decision, n, networks, ended = Decision(None, "too few"), 0, 0, ""
    in_turn, together = cells.get((WIDE, IN_TURN)), cells.get((WIDE, TOGETHER))
    if in_turn is not None and together is not None:
        sizes = [*restored(in_turn)]
        a, b = (np.isfinite([restored(cell)[size] for size in sizes])
                for cell in (in_turn, together))  # (batch sizes, networks)
        tested = verdicts.decide_greater(a.mean(0), b.mean(0), paired=True)
        decision = tested._replace(
            measured=f"{a.sum()} of {a.size} one at a time, {b.sum()} of {b.size} together; "
                     f"shares {tested.measured}")
        n, networks = a.size + b.size, a.shape[1]
        sizes_of_all = np.repeat([part["batch_size"] for part in together.config], networks)
        same = why_ended(together, of=np.isin(sizes_of_all, sizes))
        ended = f"one at a time: {why_ended(in_turn)}; together: {same}"
    book.add(
        Claim("one_at_a_time", "moving one image at a time helps a batch to converge",
              origin="quoted", unit="batch", stable=stable),
        decision,
        "LeNet, 24 channels, B = 2 and 4, equal iterations: share of each network's batches "
        "restored, paired t-test, p < 0.05",
        n, networks, ended)


def _text(book: Ledger, sweeps: Plan, stable: bool) -> None:
    claims = [
        ("plain L-BFGS", Claim(
            "text_30", "a sentence is read without a mistake at 30 iterations (Table 2)",
            origin="read", float_id="table2", unit="sentence", stable=stable,
            not_tested="a small random transformer and sentences of our own, not BERT")),
        (READER, Claim("text_search", "ours: with line search and a factor on D it is",
                       unit="sentence", stable=stable)),
    ]
    for search, claim in claims:
        cell = sweeps.text[search].shown()
        exact = pd.Series(dtype=bool)
        if cell is not None:
            exact = cell.table.tokens[cell.table.iteration == 30] == 1
        book.add(claim, verdicts.decide(exact.sum(), len(exact)),
                 f"{search}: share of sentences exact at 30 iterations is above 0.5",
                 len(exact), len(exact))
