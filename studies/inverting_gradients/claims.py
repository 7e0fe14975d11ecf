"""The claims of notebook 03, each decided by the rule written beside it.

They are decided from the stored paper profile where it is there, else from this run. Recalled
numbers decide nothing: what is recalled of the paper is tested as an ordering. Where an attack has
been repeated at the paper's iterations (`full_sweeps`), that one decides; before, a claim that was
tried on a reduced attack alone is not tested.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose
from studies.cells import Cell
from studies.inverting_gradients import claims_ours, measures, shared_claims, words
from studies.inverting_gradients.comparisons import Book
from studies.inverting_gradients.plan import Plan
from studies.ledger import Ledger
from studies.store import Sweep
from studies.verdicts import Decision, decide_greater

PUBLISHED_LEVEL = (18, 3.33, 100)  # Table 1, quoted: cosine on untrained LeNet, mean, std, images
NARROW = 3               # dB; a wider interval cannot tell the published level from another
RECOGNISED, LOST = 20, 15  # dB: the subject of an image can be made out; it cannot
MUCH_MORE = 3            # times as unequal
ROUNDING = 1e-9          # in float64, of pixels in [0, 1]

REDUCED_RESNET20 = "400 of 4,800 iterations; width 16 instead of 64; one network"
REDUCED_TABLE2 = "LeNet instead of ConvNet; 2,400 of 8,000 iterations; one network"
REDUCED_TABLE3 = "LeNet instead of ResNet-18; 2,400 of 4,800 iterations; one network"
OTHER_NETWORK = "LeNet, without ReLU and BatchNorm, instead of ResNet-18"
REDUCED_WIDTHS = "300 of 4,800 iterations"


def ledger(sweeps: Plan, angles: pd.DataFrame, error: float) -> Ledger:
    """All claims of the page, in its order.

    angles: those of `tables.angles`, which this run has computed, of each network. error: the
    largest error of Proposition 3.1's division in float64."""
    book = Book.of(sweeps)
    _table1(book, sweeps)
    _averaging(book, sweeps)
    claims_ours.directions(book, angles)
    _architectures(book, sweeps)
    _ablation(book, sweeps)
    _active_server(book, sweeps)
    _steadier(book, sweeps)
    book.ledger.add(
        book.claim("prop31",
                   "Prop. 3.1: the input of a dense layer is the gradient's rows divided by the "
                   "bias's",
                   origin="the paper, unmarked", float_id="prop31", unit="image", check=True,
                   stable=True),
        Decision(bool(error < ROUNDING), f"{error:.0e}"),
        "largest error in float64 below 1e-9, 224 x 224 pixels", 1, None)
    claims_ours.convnet(book, sweeps)
    claims_ours.restarts(book, sweeps)
    claims_ours.aggregation(book, sweeps)
    shared_claims.add(book, sweeps.shared)
    return book.ledger


def _lookup(sweeps: dict) -> Callable[..., list[Cell]]:
    """cells(key): the cell of a sweep that a page shows, as a list; empty where there is none."""
    cells = choose.shown_of(sweeps)

    def found(key: object) -> list[Cell]:
        return [cells[key]] if key in cells else []

    return found


def _full_or(full: dict[object, Sweep], keys: tuple, older: list[list[Cell]],
             reduced: str) -> tuple[list[list[Cell]], str]:
    """The cells of an attack at full length, and nothing that differs from the paper's regime;
    where one of them is missing the older cells, and what differs."""
    cells = choose.shown_of({key: full[key] for key in keys})
    if len(cells) == len(keys):
        return [[cells[key]] for key in keys], ""
    return older, reduced


# --- the paper's tables and figures


def _table1(book: Book, sweeps: Plan) -> None:
    about = {"origin": "recalled", "float_id": "table1"}
    lenets = {(state, row): measures.lenets(sweeps, state, row)
              for state in ("untrained", "trained") for row in ("cosine", "Euclid")}
    book.versus(
        book.claim("lenet_untrained",
                   "Table 1: on untrained LeNet, L-BFGS on the squared distance is better than "
                   "the cosine", **about),
        lenets["untrained", "Euclid"], lenets["untrained", "cosine"])
    book.versus(
        book.claim("LeNet_trained",
                   "Table 1: on trained LeNet the cosine is better than L-BFGS on the squared "
                   "distance", **about),
        lenets["trained", "cosine"], lenets["trained", "Euclid"])
    older = _lookup(sweeps.table1)
    for state in ("untrained", "trained"):
        keys = (state, "cosine"), (state, "Euclid")
        cells, differs = _full_or(
            sweeps.full.resnet20, keys, [older(("ResNet20-1", *key)) for key in keys],
            REDUCED_RESNET20)
        book.versus(
            book.claim(f"ResNet20-1_{state}",
                       f"Table 1: on {state} ResNet-20 (here a narrow one) the cosine "
                       "is better", not_tested=differs, **about), *cells)
    _level(book, measures.networks(sweeps)["LeNet, untrained, cosine + signed Adam"])


def _level(book: Book, psnr: pd.DataFrame) -> None:
    """Does the published mean belong to the networks (columns) that were attacked here? It is one
    further network's, and its images have a spread of their own. That it is near is no test, so no
    p stands for it."""
    published, spread, images = PUBLISHED_LEVEL
    k, mean = psnr.shape[1], psnr.mean().mean()
    half, p = np.inf, None
    if k > 1:
        variance = psnr.mean().var() * (1 + 1 / k) + spread**2 / images
        half = stats.t.ppf(0.975, k - 1) * variance**0.5
        p = float(2 * stats.t.sf(abs(mean - published) / variance**0.5, k - 1))
    verdict = True if half < NARROW else None
    outside = abs(mean - published) > half
    if outside:
        verdict = False
    book.ledger.add(
        book.claim("lenet_level",
                   "Table 1: cosine on untrained LeNet gives 18.00 ± 3.33 dB",
                   origin="quoted", float_id="table1"),
        Decision(verdict, f"{mean:.2f} ± {half:.2f} over {k} networks", p if outside else None),
        "95 % interval for one further network with 100 images: False where 18.00 is outside, True "
        "where it is inside and the interval narrower than ± 3 dB", int(k), int(k))


def _averaging(book: Book, sweeps: Plan) -> None:
    """Table 2 and Figure 5."""
    about = {"origin": "recalled", "float_id": "table2"}
    older = _lookup({
        column: sweep for (network, column), sweep in sweeps.table2.items() if network == "LeNet"})
    for id, text, better, worse in [
            ("fedavg_one_image",
             "a single image is recovered better than four, at five and two steps",
             "E=5, n=1, B=1", "E=1, n=4, B=2"),
            ("fedavg_more_images", "four images are recovered better than eight (B = 2)",
             "E=1, n=4, B=2", "E=1, n=8, B=2"),
            ("fedavg_fewer_steps", "of eight images, one step leaks more than four small ones",
             "E=1, n=8, B=8", "E=1, n=8, B=2")]:
        cells, differs = _full_or(sweeps.full.table2, (better, worse),
                                  [older(better), older(worse)], REDUCED_TABLE2)
        book.versus(book.claim(id, f"Table 2: {text} (here LeNet)", not_tested=differs,
                               **about), *cells)
    fig5 = _lookup(sweeps.fig5)
    book.versus(
        book.claim("hundred_steps",
                   'Fig. 5 ("unimpeded"): 100 local steps at τ = 1e-4 cost less than 2 dB '
                   "against 4 (LeNet)", origin="quoted", float_id="fig5",
                   not_tested="LeNet instead of ConvNet; 300 of 8,000 iterations; one network"),
        fig5(("LeNet", 100, 1e-4)), fig5(("LeNet", 4, 1e-4)), more=-2)
    rates = 1e-2, 1e-1
    cells, differs = _full_or(
        sweeps.full.fig5, rates, [fig5(("ConvNet8", 5, rate)) for rate in rates],
        "300 of 8,000 iterations; width 8 instead of 64; one network")
    which = "ConvNet8" if differs else "here LeNet"
    book.versus(
        book.claim("large_rate",
                   f"Fig. 5: τ = 1e-1 breaks the attack, τ = 1e-2 does not ({which})",
                   origin="recalled", float_id="fig5", not_tested=differs), *cells, more=3)


def _architectures(book: Book, sweeps: Plan) -> None:
    """Figures 6 and 4."""
    cell = sweeps.fig6["CIFAR-100, LeNet"].shown()
    if cell is not None:
        best = cell.table.psnr.max()
        verdict = True if best > RECOGNISED else None
        if best < LOST:
            verdict = False
        book.ledger.add(
            book.claim("large_batch",
                       "Fig. 6: of a large batch with labels that differ some images "
                       "come back plain to see (here LeNet)",
                       origin="recalled", float_id="fig6", unit="image",
                       not_tested="LeNet instead of ResNet32-10; 2,400 of 24,000 iterations"),
            Decision(verdict, f"best {best:.1f}, mean {cell.table.psnr.mean():.1f} dB"),
            "the best image is above 20 dB; False below 15", len(cell.table), 1)
    # each image is behind a network of its own
    about = {"origin": "recalled", "float_id": "fig4"}
    older = measures.narrow_resnets(sweeps)
    full = choose.shown_of(sweeps.full.fig4)
    widest, wide, narrow = 32, older.get("ResNet-18, width 32"), older.get("ResNet-18, width 4")
    tested = 4 in full and len(full) > 1
    if tested:
        widest = max(full)
        wide, narrow = full[widest], full[4]
    book.versus(
        book.claim("wider",
                   "Fig. 4: wider networks leak more (here ResNet-18, width "
                   f"{widest} against 4)", not_tested="" if tested else REDUCED_WIDTHS, **about),
        _there(wide), _there(narrow))
    book.versus(
        book.claim("deeper",
                   "Fig. 4: depth does not prevent recovery: 50 layers lose less than "
                   "3 dB against 18 (width 8)",
                   not_tested=f"{REDUCED_WIDTHS}; width 8 instead of 64", **about),
        _there(older.get("ResNet-50, width 8")), _there(older.get("ResNet-18, width 8")), more=-3)


def _there(cell: Cell | None) -> list[Cell]:
    return [] if cell is None else [cell]


def _ablation(book: Book, sweeps: Plan) -> None:
    """Table 3: what the paper shows of ResNet-18, tried on LeNet. That the cosine is better is its
    claim for all trained networks; what it shows of TV and L-BFGS is of that network."""
    about = {"origin": "recalled", "float_id": "table3"}
    older = {row: _there(sweeps.table3["LeNet", row].shown() or
                         sweeps.table3["narrow", row].shown())
             for (network, row) in sweeps.table3 if network == "narrow" and "(ours)" not in row}
    lenets = {row: _there(sweep.shown())
              for (network, row), sweep in sweeps.table3.items() if network == "LeNet"}
    full = {row: _there(sweep.shown()) for row, sweep in sweeps.full.table3.items()}
    basic = measures.lenets(sweeps, "trained", "cosine")

    def pair(row: str, older: dict) -> tuple[list[Cell], list[Cell], str]:
        """basic and the row, and what differs from the paper's regime but for the network."""
        if full[row]:
            return basic, full[row], ""
        return older.get("basic", []), older.get(row, []), REDUCED_TABLE3

    cosine, squared, differs = pair("L2 instead of cosine", older)
    book.versus(book.claim("ablation_l2", "Table 3: the cosine is better than L2",
                           not_tested=differs, **about), cosine, squared)
    with_tv, without, differs = pair("without TV", older)
    book.versus(book.claim("ablation_tv",
                           "Table 3: TV changes little: without it less than 1 dB is "
                           "lost", not_tested=differs or OTHER_NETWORK, **about),
                without, with_tv, more=-1)
    adam, lbfgs, differs = pair("L-BFGS instead of Adam", older)
    book.versus(book.claim("ablation_lbfgs",
                           "Table 3: L-BFGS fails where Adam on signs does not",
                           not_tested=differs or OTHER_NETWORK, **about), adam, lbfgs, more=3)
    with_tv, without, _ = pair("without TV", lenets)
    book.versus(book.claim("tv_lenet", "Ours: on trained LeNet the cosine attack loses more than "
                           "1 dB without TV"), with_tv, without, more=1)
    adam, lbfgs, _ = pair("L-BFGS instead of Adam", lenets)
    book.versus(book.claim("lbfgs_lenet", "Ours: on trained LeNet L-BFGS on the cosine loses less "
                           "than 3 dB against Adam on signs"), lbfgs, adam, more=-3)
    signed, plain, _ = pair("Adam without signs (ours)", lenets)
    book.versus(book.claim("signs", "Ours: on trained LeNet Adam without signs is better than with "
                           "them"), plain, signed)


def _active_server(book: Book, sweeps: Plan) -> None:
    servers = choose.shown_of(sweeps.servers)
    book.versus(
        book.claim("active_server",
                   "Appendix: a server that permutes the classes recovers more of a "
                   "trained model's clients", origin="recalled", float_id="label_flip",
                   not_tested="400 of 4,800 iterations; ResNet-18 of width 8; one network"),
        [servers["active"]], [servers["honest"]])


def _steadier(book: Book, sweeps: Plan) -> None:
    """The paper's argument for the direction, after training; of distances, not their squares."""
    name, path = list(choose.shown_of(sweeps.training_paths).items())[-1]
    paths = measures.parts([path, *_there(sweeps.full.paths.shown())])
    squared, cosine = ([measures.spread(path, column) ** 0.5 for path in paths]
                       for column in ("l2", "cosine"))
    decision = decide_greater(np.log(squared), np.log(cosine) + np.log(MUCH_MORE), paired=True)
    measured = "; ".join(f"{a:.3g} against {b:.3g}" for a, b in zip(squared, cosine, strict=True))
    book.ledger.add(
        book.claim("direction_is_steadier",
                   "The argument of the paper: on a trained model the size of gradients "
                   "differs between images by far more than their direction does (narrow "
                   "ResNet-18; not seen on LeNet)", origin="recalled"),
        decision._replace(measured=f"{measured}; {name}, {words.count(len(paths), 'network')}"),
        "after training, root of the objective at a noisy copy, 95th over 5th percentile of "
        "images: paired t-test of the networks' logarithms, more than 3 times as large for the "
        "squared distance", len(paths), len(paths))
