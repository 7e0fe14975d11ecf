"""The claims of notebook 03, each decided by the rule written beside it.

They are decided from the stored paper profile where it is there, else from this run. Recalled
numbers decide nothing: what is recalled of the paper is tested as an ordering.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose
from studies.cells import Cell
from studies.inverting_gradients import measures, words
from studies.inverting_gradients.configs import CIFAR10, TRAINED_ON
from studies.inverting_gradients.plan import Plan
from studies.report import Ledger

GRADIENTS_OF_LBFGS = 20  # that an iteration may take, as torch.optim.LBFGS counts
EQUAL_EFFORT = 2         # so many times the gradients of the other attack at most
CLEAR = 1.0              # dB above the mean colour that one of two attacks reaches, to be compared
PUBLISHED_LEVEL = (18, 3.33, 100)  # Table 1, quoted: cosine on untrained LeNet, mean, std, images
NARROW = 3               # dB; a wider interval cannot tell the published level from another
RECOGNISED, LOST = 20, 15  # dB: the subject of an image can be made out; it cannot
SAME_DIRECTION = 0.9     # cosine: 26 degrees
MUCH_MORE = 3            # times as unequal
ROUNDING = 1e-9          # in float64, of pixels in [0, 1]
RESTARTS_DIFFER = 0.5    # dB between the restarts of an image, to be ranked
FEWEST_RANKED = 6        # images whose restarts are ranked
FEWEST_IMAGES = 8        # of a rank correlation over images

COMPARED = ("same images, equal effort (within 2), one attack at least 1 dB above the mean colour: "
            "95 % interval of the mean difference above {more:g} dB "
            "(images of one client counted as independent)")


def ledger(sweeps: Plan, angles: pd.DataFrame, error: float) -> Ledger:
    """All claims of the page, in its order.

    angles: the table of `tables.angles`, which this run has computed. error: the largest error of
    Proposition 3.1's division in float64."""
    book = _Book.of(sweeps)
    _table1(book, sweeps)
    _averaging(book, sweeps)
    _directions(book, angles)
    _architectures(book, sweeps)
    _ablation(book, sweeps)
    _active_server(book, sweeps)
    _steadier(book, sweeps)
    book.ledger.add(
        "prop31",
        "Prop. 3.1: the input of a dense layer is the gradient's rows divided by the bias's",
        bool(error < ROUNDING), "largest error in float64 below 1e-9, 224 x 224 pixels",
        f"{error:.0e}", 1, origin="the paper, unmarked", float_id="prop31", unit="image")
    _restarts(book, sweeps)
    _aggregation(book, sweeps)
    return book.ledger


# --- two attacks on the same images


@dataclass(frozen=True)
class _Book:
    """The ledger that is being filled, and what its comparisons need."""

    ledger: Ledger
    stable: bool  # whether the stored cells decide: then verdicts are the same on any CPU
    mean_colours: list[tuple[dict, pd.Series]]  # image set, PSNR of its mean colour by image

    @classmethod
    def of(cls, sweeps: Plan) -> "_Book":
        flat = [(CIFAR10, measures.mean_colour(sweeps.mean_colour)),
                (CIFAR10 | TRAINED_ON, measures.mean_colour(sweeps.mean_colour_trained_on))]
        return cls(Ledger(), sweeps.lenet.stored() is not None, flat)

    def versus(self, id: str, text: str, a: Cell | None, b: Cell | None, more: float = 0.0, *,
               origin: str, float_id: str | None = None, unit: str = "image") -> None:
        """Is a's PSNR above b's by more than `more` dB, image by image? False or True where the
        95 % interval of the mean difference says so."""
        about = {"origin": origin, "float_id": float_id, "unit": unit, "stable": self.stable}
        rule = COMPARED.format(more=more)
        if a is None or b is None or a.config[0]["images"] != b.config[0]["images"]:
            self.ledger.add(id, text, None, rule, "not computed", 0, **about)
            return
        both = pd.concat([_by_image(a), _by_image(b)], axis=1, keys=["a", "b"]).dropna()
        difference = both.a - both.b
        half = _half_width(difference)
        verdict = _above(difference.mean(), half, more)
        flat = self._mean_colour(a.config[0]["images"], both.index)
        both_fail = max(both.a.mean(), both.b.mean()) < flat + CLEAR
        effort = _effort(a) / _effort(b)
        if both_fail or not 1 / EQUAL_EFFORT <= effort <= EQUAL_EFFORT:
            verdict = None
        measured = (
            f"{both.a.mean():.1f} against {both.b.mean():.1f} dB, difference "
            f"{difference.mean():+.1f} ± {half:.1f}; {words.network(a)}; {_effort(a):,} and "
            f"{_effort(b):,} gradients")
        if both_fail:
            measured = f"both attacks fail (the mean colour has {flat:.1f} dB): {measured}"
        self.ledger.add(id, text, verdict, rule, measured, len(difference), **about)

    def _mean_colour(self, images: dict, numbers: pd.Index) -> float:
        """Mean PSNR of the set's mean colour against these images; NaN where it is not known."""
        for known, psnr in self.mean_colours:
            if known == images:
                return psnr.reindex(numbers).mean()
        return np.nan


def _by_image(cell: Cell) -> pd.Series:
    """PSNR of the first network's images, by their number in the set."""
    table = words.first_network(cell)
    number = table.client * cell.config[0].get("batch_size", 1) + table.image
    return table.psnr.replace(np.inf, np.nan).set_axis(number)


def _effort(cell: Cell) -> int:
    """Gradients that the attack was allowed."""
    attack = cell.config[0]["attack"]
    each_iteration = GRADIENTS_OF_LBFGS if attack.get("optimizer") == "lbfgs" else 1
    return attack["iterations"] * each_iteration


def _half_width(values: pd.Series | np.ndarray) -> float:
    """Half the 95 % interval of a mean (Student's t)."""
    n = len(values)
    return stats.t.ppf(0.975, n - 1) * np.std(values, ddof=1) / n**0.5


def _above(mean: float, half: float, level: float) -> bool | None:
    """Does an interval lie above a level? True, False where it lies below, else None."""
    if mean - half > level:
        return True
    return False if mean + half < level else None


# --- the paper's tables and figures


def _table1(book: _Book, sweeps: Plan) -> None:
    about = {"origin": "recalled", "float_id": "table1"}
    cells = choose.shown_of(sweeps.table1)
    book.versus("lenet_untrained",
                "Table 1 (recalled): on untrained LeNet, Euclidean + L-BFGS is better",
                cells.get(("LeNet", "untrained", "Euclid")),
                cells.get(("LeNet", "untrained", "cosine")),
                **about)
    for network, state in (("LeNet", "trained"), ("ResNet20-1", "untrained"),
                           ("ResNet20-1", "trained")):
        name = network.replace("20-1", "-20 (here a narrow one)")
        book.versus(f"{network}_{state}",
                    f"Table 1 (recalled): on {state} {name} the cosine is better",
                    cells.get((network, state, "cosine")),
                    cells.get((network, state, "Euclid")), **about)
    _level(book, measures.networks(sweeps)["LeNet, untrained, cosine + signed Adam"])


def _level(book: _Book, psnr: pd.DataFrame) -> None:
    """Does the published mean belong to the networks (columns) that were attacked here? It is one
    further network's, and its images have a spread of their own."""
    published, spread, images = PUBLISHED_LEVEL
    k, mean = psnr.shape[1], psnr.mean().mean()
    half = np.inf
    if k > 1:
        variance = psnr.mean().var() * (1 + 1 / k) + spread**2 / images
        half = stats.t.ppf(0.975, k - 1) * variance**0.5
    verdict = True if half < NARROW else None
    if abs(mean - published) > half:
        verdict = False
    book.ledger.add(
        "lenet_level", "Table 1 (quoted): cosine on untrained LeNet gives 18.00 ± 3.33 dB", verdict,
        "95 % interval for one further network with 100 images: False where 18.00 is outside, True "
        "where it is inside and the interval narrower than ± 3 dB",
        f"{mean:.2f} ± {half:.2f} over {k} networks", int(k), origin="quoted", float_id="table1",
        unit="network", stable=book.stable)


def _averaging(book: _Book, sweeps: Plan) -> None:
    """Table 2 and Figure 5."""
    table2 = choose.shown_of({
        column: sweep for (network, column), sweep in sweeps.table2.items() if network == "LeNet"})
    about = {"origin": "recalled", "float_id": "table2"}
    book.versus(
        "fedavg_one_image",
        "Table 2 (recalled): a single image is recovered better than four, at five and two steps",
        table2.get("E=5, n=1, B=1"), table2.get("E=1, n=4, B=2"), **about)
    book.versus("fedavg_more_images",
                "Table 2 (recalled): four images are recovered better than eight (B = 2)",
                table2.get("E=1, n=4, B=2"), table2.get("E=1, n=8, B=2"), **about)
    book.versus("fedavg_fewer_steps",
                "Table 2 (recalled): of eight images, one step leaks more than four small ones",
                table2.get("E=1, n=8, B=8"), table2.get("E=1, n=8, B=2"), **about)
    fig5 = measures.local_steps(sweeps)
    book.versus(
        "hundred_steps",
        'Fig. 5 (quoted: "unimpeded"): 100 local steps at τ = 1e-4 cost less than 2 dB against 4 '
        "(LeNet)",
        fig5.get(("LeNet", 100, 1e-4)), fig5.get(("LeNet", 4, 1e-4)), more=-2, origin="quoted",
        float_id="fig5")
    book.versus("large_rate",
                "Fig. 5 (recalled): τ = 1e-1 breaks the attack, τ = 1e-2 does not (ConvNet8)",
                fig5.get(("ConvNet8", 5, 1e-2)), fig5.get(("ConvNet8", 5, 1e-1)), more=3,
                origin="recalled", float_id="fig5")


def _directions(book: _Book, angles: pd.DataFrame) -> None:
    """Is an update of many local steps one gradient? Live, so on any CPU the same to rounding."""
    hundred = angles["τ = 0.0001"][["LeNet, 100 steps", "ConvNet8, 100 steps"]]
    large = angles.loc["ConvNet8, 5 steps", "τ = 0.1"]
    book.ledger.add(
        "steps_are_one_gradient",
        "ours: at τ = 1e-4 the update of 100 local steps points along the gradient",
        bool((hundred > SAME_DIRECTION).all()),
        "LeNet and ConvNet8, photos: cosine above 0.9 (26 degrees)",
        ", ".join(f"{cosine:.3f}" for cosine in hundred), 2, origin="ours", unit="network")
    book.ledger.add(
        "large_steps_are_not", "ours: at τ = 1e-1 the update of 5 local steps does not",
        bool(large < SAME_DIRECTION), "ConvNet8, photos: cosine below 0.9", f"{large:.3f}", 2,
        origin="ours", unit="image")


def _architectures(book: _Book, sweeps: Plan) -> None:
    """Figures 6 and 4."""
    cell = sweeps.fig6["CIFAR-100, LeNet"].shown()
    if cell is not None:
        best = cell.table.psnr.max()
        verdict = True if best > RECOGNISED else None
        if best < LOST:
            verdict = False
        book.ledger.add(
            "large_batch",
            "Fig. 6 (recalled): of a large batch with labels that differ some images come back "
            "plain to see (here LeNet)",
            verdict, "the best image is above 20 dB; False below 15",
            f"best {best:.1f}, mean {cell.table.psnr.mean():.1f} dB", len(cell.table),
            origin="recalled", float_id="fig6", unit="image", stable=book.stable)
    fig4 = measures.narrow_resnets(sweeps)
    # each image is behind a network of its own
    about = {"origin": "recalled", "float_id": "fig4", "unit": "network"}
    book.versus("wider",
                "Fig. 4 (recalled): wider networks leak more (here ResNet-18, width 32 against 4)",
                fig4.get("ResNet-18, width 32"), fig4.get("ResNet-18, width 4"), **about)
    book.versus("deeper",
                "Fig. 4 (recalled): depth does not prevent recovery: 50 layers lose less than 3 dB "
                "against 18 (width 8)",
                fig4.get("ResNet-50, width 8"), fig4.get("ResNet-18, width 8"), more=-3, **about)


def _ablation(book: _Book, sweeps: Plan) -> None:
    """Table 3: LeNet where it is there, else the narrow ResNet-18."""
    def attacked(row: str) -> Cell | None:
        return sweeps.table3["LeNet", row].shown() or sweeps.table3["narrow", row].shown()

    about = {"origin": "recalled", "float_id": "table3"}
    basic = attacked("basic")
    book.versus("ablation_l2", "Table 3 (recalled): the cosine is better than L2",
                basic, attacked("L2 instead of cosine"), **about)
    book.versus("ablation_tv",
                "Table 3 (recalled): TV changes little: without it less than 1 dB is lost",
                attacked("without TV"), basic, more=-1, **about)
    book.versus("ablation_lbfgs",
                "Table 3 (recalled): L-BFGS fails where Adam on signs does not",
                basic, attacked("L-BFGS instead of Adam"), more=3, **about)
    book.versus("signs", "ours: on trained LeNet Adam without signs is better than with them",
                sweeps.table3["LeNet", "Adam without signs (ours)"].shown(),
                sweeps.table3["LeNet", "basic"].shown(), origin="ours")


def _active_server(book: _Book, sweeps: Plan) -> None:
    servers = choose.shown_of(sweeps.servers)
    book.versus("active_server",
                "Appendix (recalled): a server that permutes the classes recovers more of a "
                "trained model's clients",
                servers["active"], servers["honest"], origin="recalled", float_id="label_flip")


def _steadier(book: _Book, sweeps: Plan) -> None:
    """The paper's argument for the direction, after training; of distances, not their squares."""
    name, path = list(choose.shown_of(sweeps.training_paths).items())[-1]
    squared, cosine = (measures.spread(path, column) ** 0.5 for column in ("l2", "cosine"))
    verdict = True if squared > MUCH_MORE * cosine else None
    if squared < cosine:
        verdict = False
    book.ledger.add(
        "direction_is_steadier",
        "the paper's argument (recalled): on a trained model the size of gradients differs between "
        "images by far more than their direction does (narrow ResNet-18; not seen on LeNet)",
        verdict,
        "after training, root of the objective at a noisy copy, 95th over 5th percentile of "
        "images: more than 3 times as large for the squared distance",
        f"{squared:.3g} against {cosine:.3g}; {name}", int(path.table.client.nunique()),
        origin="recalled", unit="image", stable=book.stable)


# --- beyond the paper


def _restarts(book: _Book, sweeps: Plan) -> None:
    study = measures.restarts(sweeps.restarts.shown())
    lively = np.ptp(study.psnr, axis=1) > RESTARTS_DIFFER
    ranks = study.within[lively]
    verdict, measured = None, "restarts end at the same picture"
    if len(ranks) > 1:
        half = _half_width(ranks)
        measured = f"{ranks.mean():.2f} ± {half:.2f}"
        if len(ranks) >= FEWEST_RANKED:
            verdict = _above(-ranks.mean(), half, 0)
    book.ledger.add(
        "loss_ranks_restarts",
        "ours: among restarts of one image the lower distance is the better picture", verdict,
        "images whose restarts differ by more than 0.5 dB, 6 or more: 95 % interval of the mean "
        "rank correlation below 0",
        measured, len(ranks), origin="ours", unit="image", stable=book.stable)
    images, verdict = len(study.within), None
    if study.p_across < 0.05 and images >= FEWEST_IMAGES:
        verdict = bool(study.across < 0)
    book.ledger.add(
        "loss_ranks_images", "ours: among images the lower distance is the better picture", verdict,
        "Spearman over images, p < 0.05, n of 8 or more",
        f"{study.across:.2f}, p = {study.p_across:.1g}", images, origin="ours", unit="image",
        stable=book.stable)
    gain, possible = study.chosen[-1] - study.chosen[0], study.oracle[-1] - study.oracle[0]
    half = _half_width(gain)
    book.ledger.add(
        "restarts_pay",
        f"ours: {len(study.chosen)} restarts, chosen by the distance without TV, gain more than "
        "1 dB",
        _above(gain.mean(), half, 1), "mean gain, 95 % interval",
        f"{gain.mean():+.1f} ± {half:.1f} dB; by the truth {possible.mean():+.1f}", len(gain),
        origin="ours", unit="image", stable=book.stable)


def _aggregation(book: _Book, sweeps: Plan) -> None:
    cells = choose.shown_of(sweeps.batches)
    most = max(cells)
    book.versus("aggregation_hides",
                f"ours: an image alone is recovered better than among {most}", cells[1],
                cells[most], origin="ours")
