"""The ledger of notebook 07: each claim with the rule that decides it."""

import numpy as np

from studies import report, verdicts
from studies.cells import Cell
from studies.mu_cats_dogs.tables import readings, restored
from studies.report import Ledger

EXACT = 1e-3  # squared error per pixel, 0 to 255: what float32 leaves of a division
MOST = 0.5
VAST = 0.8  # our reading of "the vast majority": four in five
SHARES = (  # id, victim, attacker, share to be exceeded, origin, claim
    ("dense_restored", "one dense layer", "plain L-BFGS", MOST, "inferred",
     "the fully connected network's images are restored, most of them"),
    ("hidden_restored", "dense, one hidden layer", "plain L-BFGS", MOST, "inferred",
     "the same with a hidden layer"),
    ("conv_restored", "LeNet", "plain L-BFGS", MOST, "inferred",
     "the convolutional network's images are restored, most of them"),
    ("vast_majority", "LeNet", "plain L-BFGS", VAST, "read",
     "the vast majority of images can be completely restored [read]; we take four in five"),
    ("vast_majority_search", "LeNet", "line search", VAST, "ours",
     "ours: with a line search they are"),
)


def ledger(cells: dict[tuple[str, str], Cell], worst: float) -> Ledger:
    """All claims of the notebook, decided. cells: of one profile, by (victim, attacker). worst: the
    largest error of the closed form, per pixel on the scale of 0 to 255."""
    book = report.Ledger()
    book.add(
        "closed_form", "our check: a dense layer gives its image back without a search",
        worst < EXACT, "largest squared error per pixel, 0 to 255, below 0.001", f"{worst:.0e}", 8,
        origin="ours", unit="client")
    for id, victim, attacker, level, origin, text in SHARES:
        cell = cells[victim, attacker]
        verdict, measured = verdicts.decide(restored(cell).sum(), cell.n, level)
        book.add(
            id, text, verdict, f"{attacker}: share restored above {level}", measured, cell.n,
            origin=origin, unit="client",
            stable=cell.profile == "paper")  # a stored verdict is the same on any CPU
    _about_five(book, cells["LeNet", "plain L-BFGS"])
    return book


def _about_five(book: Ledger, cell: Cell) -> None:
    good = restored(cell)
    texts = []
    for scale, values in readings(cell).items():
        mean = values[good].mean() if good.any() else np.nan
        texts.append(f"{scale}: {values.mean():.3g}, {mean:.3g}")
    book.add(
        "about_five", "the average squared error is approximately 5 [read]", None,
        "never decided: the scale is not known. Mean of all images, and of the restored alone",
        "; ".join(texts), cell.n, origin="read", float_id="abstract", unit="client")
