"""What the claims of notebook 05 compare: the PSNRs of networks and images under one condition.

The unit is the network, with its training: images are averaged for each before anything is tested.
"""

from collections import Counter
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd

from studies import choose, verdicts
from studies.cells import Cell
from studies.huang_evaluation import settings
from studies.huang_evaluation.defense_tables import strongest
from studies.huang_evaluation.plan import Plan
from studies.huang_evaluation.tables import fading_cells, shown
from studies.store import Sweep
from studies.verdicts import Decision

LONGEST = settings.EPOCHS["paper"][-1]


@dataclass(frozen=True)
class Arm:
    """One side of a comparison. psnr: in dB, indexed by network (the seed of its weights and
    training) and image (its place in the attack set). ended: how many images' attacks ended why;
    empty where the cells do not say."""

    psnr: pd.Series
    iterations: int
    ended: Counter

    def only(self, places: slice) -> "Arm":
        """The arm of some places of the attack set."""
        images = self.psnr.index.get_level_values("image")
        kept = images.isin(np.arange(images.max() + 1)[places])
        return Arm(self.psnr[kept], self.iterations, self.ended)


class Compared(NamedTuple):
    """A decision, with how many images of how many networks it comes from, and how the attacks
    ended."""

    decision: Decision
    n: int = 0
    networks: int = 0
    ended: str = ""


# --- arms


def of_cell(cell: Cell | None, psnr: pd.Series | None = None) -> Arm | None:
    """The arm of a cell, whose clients share one victim; psnr: others than the cell's own."""
    if cell is None:
        return None
    config = cell.config[0]
    values = cell.table.psnr if psnr is None else psnr
    index = pd.MultiIndex.from_product(
        [[config["victim"]["seed"]], range(len(values))], names=["network", "image"])
    ended = Counter(cell.table.ended) if "ended" in cell.table else Counter()
    return Arm(pd.Series(values.to_numpy(float), index), config["attack"]["iterations"], ended)


def of_sweep(sweeps: Plan, sweep: Sweep) -> Arm | None:
    """The arm of the cell that is shown of a sweep, or None."""
    return of_cell(shown(sweeps, sweep))


def under(sweeps: Plan, defense: str, B: int = 1) -> Arm | None:
    """The arm of the strongest attacker under a defense, or None."""
    attacker = strongest(sweeps, defense, B)
    return None if attacker is None else of_cell(attacker.cell, attacker.scores.psnr)


def after_longest(sweeps: Plan) -> Arm | None:
    """The arm of the victim that was trained longest; None where this page does not show it."""
    if LONGEST not in fading_cells(sweeps):
        return None
    return of_sweep(sweeps, sweeps.fading[LONGEST])


def full_cells(sweeps: Plan, condition: str) -> dict[int, Cell]:
    """The cells of a condition of `settings.FULL` by victim, those that are stored."""
    of_victims = {victim: sweeps.full[condition, victim] for victim in range(settings.VICTIMS)}
    return choose.shown_of(of_victims, other=False)


def full(sweeps: Plan, condition: str) -> Arm | None:
    """The arm of a condition of `settings.FULL`, of the victims that are stored; None without."""
    arms = [of_cell(cell) for cell in full_cells(sweeps, condition).values()]
    if not arms:
        return None
    ended = sum((arm.ended for arm in arms), Counter())
    return Arm(pd.concat([arm.psnr for arm in arms]), settings.FULL_ITERATIONS, ended)


def pair(sweeps: Plan, conditions: tuple[str, str], fewer: tuple[Arm | None, Arm | None]) \
        -> tuple[Arm | None, Arm | None]:
    """Both arms at the paper's iterations, where some victim has both; else `fewer`, those of one
    network for fewer iterations."""
    first, second = (full(sweeps, condition) for condition in conditions)
    if first is None or second is None or not len(first.psnr.index.intersection(second.psnr.index)):
        return fewer
    return first, second


def full_table(sweeps: Plan) -> pd.DataFrame:
    """The paper's iterations: a row a condition, with the mean PSNR (dB) of each victim's images,
    and mean and standard deviation of those means; empty where nothing is stored."""
    rows = []
    for condition in settings.FULL:
        cells = full_cells(sweeps, condition)
        if cells:
            means = {victim: cell.table.psnr.mean() for victim, cell in cells.items()}
            of_victims = {f"network {victim + 1}": means.get(victim, np.nan)
                          for victim in range(settings.VICTIMS)}
            spread = {"mean": np.mean(list(means.values())), "std": pd.Series(means).std()}
            count = sum(len(cell.table) for cell in cells.values())
            rows.append({"condition": condition} | of_victims | spread | {"images": count})
    return pd.DataFrame(rows).dropna(axis=1, how="all")


# --- comparing


def compare(higher: Arm | None, lower: Arm | None, mid_grey: np.ndarray) -> Compared:
    """Does one arm recover more than the other, of the same networks and images? By a paired t-test
    of the networks' means; of one network the direction alone, which decides nothing.

    None, too, where a guess without a gradient does as well as the higher of both: two failures are
    not compared. mid_grey: PSNRs (dB) of that guess, by the images' places."""
    if higher is None or lower is None:
        return Compared(Decision(None, "not computed"))
    if higher.iterations != lower.iterations:
        raise ValueError(f"attacks of {higher.iterations} and {lower.iterations} iterations are "
                         "not compared")
    both = pd.concat([higher.psnr, lower.psnr], axis=1, join="inner", keys=["a", "b"])
    both = both[both.index.get_level_values("image") < len(mid_grey)]
    both["grey"] = mid_grey[both.index.get_level_values("image")]
    a, b, grey = (verdicts.by_network(both, "network", name) for name in both)
    if len(a) > 1:
        decision = verdicts.decide_greater(a, b, paired=True)
        above = verdicts.decide_greater(np.maximum(a, b), grey, paired=True).verdict is True
    else:
        sides = " against ".join(f"{both[x].mean():.3g} ± {both[x].std():.2g}" for x in ("a", "b"))
        decision = Decision(bool(a.mean() > b.mean()), f"{sides}, images of one network")
        above = max(a.mean(), b.mean()) > grey.mean()
    measured = f"{decision.measured}; {higher.iterations:,} iterations"
    if not above:
        failed = "both fail"
        if max(a.mean(), b.mean()) > grey.mean():
            failed = "not surely above it"
        failed = f"{measured}; mid-grey {grey.mean():.3g}: {failed}"
        decision = Decision(None, failed)
    else:
        decision = decision._replace(measured=measured)
    return Compared(decision, len(both), len(a), _in_words(higher.ended + lower.ended))


def _in_words(ended: Counter) -> str:
    """How many attacks ended why: "budget 24 of 24"; nothing where no cell says so."""
    total = ended.total()
    return ", ".join(f"{why} {count} of {total}" for why, count in ended.most_common())
