"""The claims about means of several clients and parts of an update, for `claims.ledger`: ours."""

import numpy as np

from studies.inverting_gradients import words
from studies.inverting_gradients.comparisons import CLEAR, Book, psnr_of, spread_of
from studies.inverting_gradients.shared_sweeps import COUNTS, PARTS, Shared
from studies.inverting_gradients.shared_tables import cells_of
from studies.verdicts import Decision, decide_greater

HIDDEN = 1.0  # dB
EXACT = 1e-3  # of the input's length, in float32


def add(book: Book, shared: Shared) -> None:
    """Decide them."""
    _means(book, shared)
    _parts(book, shared)
    _exact(book, shared)


def _means(book: Book, shared: Shared) -> None:
    """What does it help to be one of sixteen?"""
    cells, most = cells_of(shared.means), COUNTS[-1]
    for network in dict.fromkeys(name for name, _ in shared.means):
        alone, among = ([cells[network, count]] if (network, count) in cells else []
                        for count in (1, most))
        book.versus(
            book.claim(f"hidden_among_{most}_{network}",
                       f"Ours: an image alone is recovered better than in a mean of {most} "
                       f"clients, by more than {HIDDEN:g} dB ({network})"),
            alone, among, more=HIDDEN)
        if among:
            _above_the_mean_colour(book, f"still_leaks_among_{most}_{network}", among[0],
                                   f"in a mean of {most} clients an image is still recovered "
                                   f"better than by the mean colour, by more than {CLEAR:g} dB "
                                   f"({network})")


def _above_the_mean_colour(book: Book, id: str, cell, text: str) -> None:
    """Are the networks' means more than 1 dB above the mean colour of the same images?"""
    psnr = psnr_of([cell])
    means = psnr.groupby("network").mean()
    flat = cell.table.drop_duplicates("image").flat_psnr.mean()
    gain = means.to_numpy() - flat - CLEAR
    decision = decide_greater(gain, np.zeros(len(gain)), paired=True)
    measured = (f"{spread_of(gain + CLEAR)} dB above the mean colour; "
                f"{words.count(len(gain), 'network')}, {words.count(len(psnr), 'image')}")
    book.ledger.add(book.claim(id, f"Ours: {text}"), decision._replace(measured=measured),
                    "t-test of the networks' means, more than 1 dB above the mean colour",
                    len(gain), len(gain))


def _parts(book: Book, shared: Shared) -> None:
    """What do the head, all but the head, and adapters give away of the picture?"""
    cells = cells_of(shared.parts)
    for network in PARTS:
        whole, rest, head, adapters = (
            [cells[network, part]] if (network, part) in cells else []
            for part in ("whole update", "all but the head", "head", "adapters"))
        book.versus(
            book.claim(f"without_head_{network}",
                       f"Ours: without the head's gradient less than {HIDDEN:g} dB is lost "
                       f"({network})"), rest, whole, more=-HIDDEN)
        book.versus(
            book.claim(f"head_alone_{network}",
                       "Ours: the head's gradient alone gives less of the picture than the whole, "
                       f"by more than {HIDDEN:g} dB ({network})"), whole, head, more=HIDDEN)
        book.versus(
            book.claim(f"adapters_{network}",
                       "Ours: the gradient of adapters of rank 4 gives less of the picture than "
                       f"the whole, by more than {HIDDEN:g} dB ({network})"), whole, adapters,
            more=HIDDEN)


def _exact(book: Book, shared: Shared) -> None:
    """Labels and inputs of a dense layer, which its gradient gives away in closed form."""
    tables = [cell.table for cell in cells_of(shared.parts).values()]
    reads = np.concatenate([table["read"].dropna() for table in tables])
    errors = np.concatenate([table.input_error.dropna() for table in tables])
    about = {"unit": "image", "check": True}
    book.ledger.add(
        book.claim("parts_label", "Ours: whatever part holds the head, or an adapter of it, gives "
                   "the label of a single image away", **about),
        Decision(bool(reads.all()), f"{int(reads.sum())} of {len(reads)}"),
        "every label is read right", len(reads), None)
    book.ledger.add(
        book.claim("parts_input", "Ours: whatever part holds the head gives the features of a "
                   "single image away exactly", **about),
        Decision(bool((errors < EXACT).all()), f"largest error {errors.max():.0e}"),
        "relative error below 1e-3, float32", len(errors), None)
