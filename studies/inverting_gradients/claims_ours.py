"""The claims of notebook 03 that the paper does not make, for `claims.ledger`."""

import numpy as np
import pandas as pd

from studies import choose
from studies.inverting_gradients import measures, words
from studies.inverting_gradients.comparisons import CLEAR, Book, psnr_of, spread_of
from studies.inverting_gradients.plan import Plan
from studies.verdicts import Decision, decide_greater

SAME_DIRECTION = 0.9     # cosine: 26 degrees
RESTARTS_DIFFER = 0.5    # dB between the restarts of an image, to be ranked
GAIN = 1                 # dB


def directions(book: Book, angles: pd.DataFrame) -> None:
    """Is an update of many local steps one gradient? Live, so on any CPU the same to rounding.

    angles: of each network, by its number, victim and local steps."""
    by_steps = angles.unstack(0)
    hundred = by_steps["τ = 0.0001"].loc[["LeNet, 100 steps", "ConvNet8, 100 steps"]].to_numpy()
    large = by_steps["τ = 0.1"].loc["ConvNet8, 5 steps"].to_numpy()
    networks = len(large)
    book.ledger.add(
        book.claim("steps_are_one_gradient",
                   "Ours: at τ = 1e-4 the update of 100 local steps points along the gradient",
                   stable=True),
        Decision(bool((hundred > SAME_DIRECTION).all()), _from_to(hundred)),
        "LeNet and ConvNet8, photos: cosine above 0.9 (26 degrees) for each network",
        hundred.size, networks)
    below = large < SAME_DIRECTION
    verdict = bool(below.all()) if below.all() or not below.any() else None
    book.ledger.add(
        book.claim("large_steps_are_not",
                   "Ours: at τ = 1e-1 the update of 5 local steps points elsewhere", stable=True),
        Decision(verdict, _from_to(large)),
        "ConvNet8, photos: cosine below 0.9 for each network; False for none", networks, networks)


def _from_to(cosines: np.ndarray) -> str:
    return f"{cosines.min():.3f} to {cosines.max():.3f}"


def convnet(book: Book, sweeps: Plan) -> None:
    """Does one gradient of a ConvNet give its image away? Once that is stored."""
    for state, sweep in sweeps.full.convnet.items():
        cell = sweep.shown()
        if cell is None:
            continue
        psnr = psnr_of([cell])
        means = psnr.groupby("network").mean()
        flat = book.mean_colour(cell.config[0]["images"], psnr.index.get_level_values("image"))
        book.ledger.add(
            book.claim(f"convnet_{state}",
                       f"Ours: one gradient of the {state} ConvNet (width 16) gives more than the "
                       "mean colour, by more than 1 dB"),
            _above(means.to_numpy() - flat - CLEAR,
                   f"{spread_of(means - flat)} dB above the mean colour; "
                   f"{words.count(len(means), 'network')}, {words.count(len(psnr), 'image')}"),
            "t-test of the networks' means, more than 1 dB above the mean colour", len(means),
            len(means))


def restarts(book: Book, sweeps: Plan) -> None:
    """Is a lower loss a better picture, and do restarts pay?"""
    cells = choose.shown_of({"drawn": sweeps.restarts, "full": sweeps.full.restarts})
    if len({cell.profile for cell in cells.values()}) > 1:
        cells.pop("drawn")  # a quick run's attack is another
    studies = [measures.restarts(cell) for cell in measures.parts(cells.values())]
    networks = words.count(len(studies), "network")
    lively = [study.within[np.ptp(study.psnr, axis=1) > RESTARTS_DIFFER] for study in studies]
    ranks = [np.nanmean(of_images) for of_images in lively if len(of_images)]
    count = words.count(sum(map(len, lively)), "image")
    book.ledger.add(
        book.claim("loss_ranks_restarts",
                   "Ours: among restarts of one image the lower distance is the better picture"),
        _above(np.negative(ranks), f"{spread_of(ranks)}; {networks}, {count}"),
        "images whose restarts differ by more than 0.5 dB: t-test of the networks' mean rank "
        "correlations, below 0", len(ranks), len(ranks))
    across = [study.across for study in studies]
    count = words.count(sum(len(study.within) for study in studies), "image")
    book.ledger.add(
        book.claim("loss_ranks_images",
                   "Ours: among images the lower distance is the better picture"),
        _above(np.negative(across), f"{spread_of(across)}; {networks}, {count}"),
        "t-test of the networks' Spearman correlations over images, below 0", len(across),
        len(across))
    gains = [(study.chosen[-1] - study.chosen[0]).mean() for study in studies]
    possible = [(study.oracle[-1] - study.oracle[0]).mean() for study in studies]
    book.ledger.add(
        book.claim("restarts_pay",
                   f"Ours: {len(studies[0].chosen)} restarts, chosen by the distance without TV, "
                   "gain more than 1 dB"),
        _above(np.subtract(gains, GAIN), f"{spread_of(gains)} dB; by the truth "
               f"{np.mean(possible):+.1f}; {networks}, {count}"),
        "t-test of the networks' mean gains, above 1 dB", len(gains), len(gains))


def _above(values: np.ndarray, measured: str) -> Decision:
    """Is the mean of the networks' values above 0?"""
    return decide_greater(values, np.zeros(len(values)), paired=True)._replace(measured=measured)


def aggregation(book: Book, sweeps: Plan) -> None:
    """What does the mean over clients hide?"""
    cells = choose.shown_of(sweeps.batches)
    most = max(cells)
    alone, among = [cells[1]], [cells[most]]
    further = sweeps.full.batches[most].shown() if most in sweeps.full.batches else None
    if further is not None:  # Table 1 has attacked their images alone
        alone = [cells[1], *measures.lenets(sweeps, "untrained", "cosine")]
        among.append(further)
    book.versus(
        book.claim("aggregation_hides",
                   f"Ours: an image alone is recovered better than among {most}"), alone, among)
