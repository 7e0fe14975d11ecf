"""The ledger of notebook 07: each claim with the rule that decides it.

Every client has a network of its own, so images are networks. No setting of the paper is known:
what it says of its images is not tested by ours, which may be another; our own claims are.
"""

import numpy as np

from studies import verdicts
from studies.cells import Cell
from studies.ledger import Claim, Ledger
from studies.mu_cats_dogs.tables import readings, restored, still_moving
from studies.verdicts import Decision

EXACT = 1e-3  # squared error per pixel, 0 to 255: what float32 leaves of a division
MOST = 0.5
VAST = 0.8  # our reading of "the vast majority": four in five
UNKNOWN = "network, size, initialisation, optimiser and iterations of the paper are not known"
SHARES = (  # id, victim, attacker, share to be exceeded, origin, claim
    ("dense_restored", "one dense layer", "plain L-BFGS", MOST, "inferred",
     "most images of the fully connected network are recovered"),
    ("hidden_restored", "dense, one hidden layer", "plain L-BFGS", MOST, "inferred",
     "most images are recovered with a hidden layer, too"),
    ("conv_restored", "LeNet", "plain L-BFGS", MOST, "inferred",
     "most images of the convolutional network are recovered"),
    ("vast_majority", "LeNet", "plain L-BFGS", VAST, "read",
     "the vast majority of images can be completely restored; we take four in five"),
    ("vast_majority_search", "LeNet", "line search", VAST, "ours",
     "ours: in our setting, with a line search, four in five are recovered"),
)


def ledger(cells: dict[tuple[str, str], Cell], worst: float) -> Ledger:
    """All claims of the notebook, decided. cells: of one profile, by (victim, attacker). worst: the
    largest error of the closed form, per pixel on the scale of 0 to 255."""
    book = Ledger()
    claim = Claim("closed_form", "ours: a dense layer gives its image back without a search",
                  check=True)
    book.add(claim, Decision(worst < EXACT, f"{worst:.0e}"),
             "largest squared error per pixel, 0 to 255, below 0.001", 8, 8)
    for id, victim, attacker, level, origin, text in SHARES:
        cell = cells[victim, attacker]
        claim = Claim(id, text, origin, not_tested="" if origin == "ours" else UNKNOWN,
                      stable=cell.profile == "paper")  # a stored verdict is the same on any CPU
        book.add(claim, verdicts.decide(restored(cell).sum(), cell.n, level),
                 f"{attacker}: share recovered above {level}", cell.n, cell.n,
                 _budget(cell))
    _about_five(book, cells["LeNet", "plain L-BFGS"])
    return book


def _budget(cell: Cell) -> str:
    """How many attacks the iterations ended, and how many of these had not restored the image."""
    moving = still_moving(cell)
    lost = (moving & ~restored(cell)).sum()
    return f"budget {moving.sum()} of {cell.n}, of which {lost} had not recovered the image"


def _about_five(book: Ledger, cell: Cell) -> None:
    good = restored(cell)
    texts = []
    for scale, values in readings(cell).items():
        mean = values[good].mean() if good.any() else np.nan
        texts.append(f"{scale}: {values.mean():.3g}, {mean:.3g}")
    claim = Claim("about_five", "the average squared error is approximately 5", "read",
                  "abstract", not_tested="the scale of the published number is not known")
    book.add(claim, Decision(None, "; ".join(texts)),
             "never decided. Mean of all images, and of the recovered alone", cell.n, cell.n)
