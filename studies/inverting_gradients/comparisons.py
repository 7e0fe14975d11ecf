"""Two attacks on the same networks and images: how the claims of notebook 03 compare them.

The unit is the network with its training. The images behind one network are averaged, over those
that both attacks have, and the networks' means are compared in pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from studies import next_runs
from studies.cells import Cell
from studies.inverting_gradients import measures, words
from studies.inverting_gradients.configs import CIFAR10, TRAINED_ON
from studies.inverting_gradients.plan import Plan
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision, by_network, decide_greater

GRADIENTS_OF_LBFGS = 20  # that an iteration may take, as torch.optim.LBFGS counts
EQUAL_EFFORT = 2         # so many times the gradients of the other attack at most
CLEAR = 1.0              # dB above the mean colour that one of two attacks reaches, to be compared

COMPARED = ("same images, equal effort (within 2), one attack at least 1 dB above the mean colour: "
            "paired t-test of the networks' means, difference above {more:g} dB")


@dataclass(frozen=True)
class Book:
    """The ledger that is being filled, and what its comparisons need."""

    ledger: Ledger
    stable: bool  # whether the stored cells decide: then verdicts are the same on any CPU
    mean_colours: list[tuple[dict, pd.Series]]  # image set, PSNR of its mean colour by image

    @classmethod
    def of(cls, sweeps: Plan) -> "Book":
        """An empty one."""
        flat = [(CIFAR10, measures.mean_colour(sweeps.mean_colour)),
                (CIFAR10 | TRAINED_ON, measures.mean_colour(sweeps.mean_colour_trained_on))]
        ledger = Ledger(next_runs.OF["inverting_gradients"])
        return cls(ledger, sweeps.lenet.stored() is not None, flat)

    def claim(self, id: str, text: str, **about) -> Claim:
        """A claim decided by cells: of networks, where nothing else is said."""
        return Claim(id, text, **{"unit": "network", "stable": self.stable} | about)

    def versus(self, claim: Claim, a: list[Cell], b: list[Cell], more: float = 0.0) -> None:
        """Is a's PSNR above b's by more than `more` dB, network by network? a, b: the cells of each
        attack; empty where it was not computed."""
        rule = COMPARED.format(more=more)
        comparison = compared(a, b)
        if comparison is None:
            self.ledger.add(claim, Decision(None, "not computed"), rule, 0, 0)
            return
        decision, images = comparison.decide(more), comparison.images
        flat = self.mean_colour(a[0].config[0]["images"], images)
        means = comparison.means
        both_fail = means.to_numpy().mean(0).max() < flat + CLEAR
        measured = decision.measured
        if both_fail:
            measured = f"both attacks fail (the mean colour has {flat:.1f} dB): {measured}"
        if both_fail or not comparison.of_equal_effort:
            decision = Decision(None, measured)
        self.ledger.add(claim, decision, rule, len(means), len(means), comparison.ended)

    def mean_colour(self, images: dict, numbers: Sequence[int]) -> float:
        """Mean PSNR of the set's mean colour against these images; NaN where it is not known."""
        for known, psnr in self.mean_colours:
            if known == images:
                return psnr.reindex(numbers).mean()
        return np.nan


@dataclass(frozen=True)
class Comparison:
    """PSNR of two attacks, a and b, on the same images behind the same networks."""

    a: list[Cell]
    b: list[Cell]
    psnr: pd.DataFrame  # columns a and b, a row a network and image

    @property
    def means(self) -> pd.DataFrame:
        """The mean of each network's images."""
        return pd.DataFrame({side: by_network(self.psnr, "network", side) for side in "ab"})

    @property
    def images(self) -> pd.Index:
        """The numbers of the images, one for each network that it stands behind."""
        return self.psnr.index.get_level_values("image")

    @property
    def of_equal_effort(self) -> bool:
        ratio = effort(self.a[0]) / effort(self.b[0])
        return 1 / EQUAL_EFFORT <= ratio <= EQUAL_EFFORT

    @property
    def ended(self) -> str:
        """How the attacks of both sides ended, where that is stored."""
        return "; ".join(filter(None, map(ended, (self.a, self.b))))

    def decide(self, more: float) -> Decision:
        """Is a above b by more than `more` dB? Only one network, or none: None."""
        means = self.means
        decision = decide_greater(means.a, means.b + more, paired=True)
        difference = means.a - means.b
        measured = (
            f"{means.a.mean():.1f} against {means.b.mean():.1f} dB, "
            f"difference {spread_of(difference)}; {words.network(self.a[0])}, "
            f"{words.count(len(means), 'network')}, {words.count(len(set(self.images)), 'image')}; "
            f"{effort(self.a[0]):,} and {effort(self.b[0]):,} gradients")
        return decision._replace(measured=measured)


def compared(a: list[Cell], b: list[Cell]) -> Comparison | None:
    """Two attacks where they met the same images behind the same networks; None where they did
    not, or one is not there."""
    if not a or not b or a[0].config[0]["images"] != b[0].config[0]["images"]:
        return None
    both = pd.concat([psnr_of(a), psnr_of(b)], axis=1, keys=["a", "b"]).dropna()
    return Comparison(a, b, both) if len(both) else None


def effort(cell: Cell) -> int:
    """Gradients that the attack was allowed."""
    attack = cell.config[0]["attack"]
    each_iteration = GRADIENTS_OF_LBFGS if attack.get("optimizer") == "lbfgs" else 1
    return attack["iterations"] * each_iteration


def ended(cells: list[Cell]) -> str:
    """How the attacks of these cells ended. Cells that do not store it: of L-BFGS it is known how
    many used up their gradients; of Adam nothing is said, it always takes all its iterations."""
    table = pd.concat([cell.table for cell in cells])
    name = "L-BFGS" if cells[0].config[0]["attack"].get("optimizer") == "lbfgs" else "Adam"
    if "ended" in table and table.ended.notna().all():
        counts = table.ended.value_counts()
        return f"{name}: " + ", ".join(f"{why} {n} of {len(table)}" for why, n in counts.items())
    if name == "Adam" or "evaluations" not in table:
        return ""
    return f"{name}: budget {(table.evaluations >= effort(cells[0])).sum()} of {len(table)}"


def spread_of(values: Sequence[float]) -> str:
    """The mean with half its 95 % interval (Student's t), where there are several values."""
    values = np.asarray(values, float)
    if len(values) < 2:
        return f"{values.mean():+.1f}"
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / len(values)**0.5
    return f"{values.mean():+.1f} ± {half:.1f}"


def psnr_of(cells: list[Cell]) -> pd.Series:
    """PSNR by network and number of the image in its set."""
    tables = [_numbered(cell) for cell in cells]
    table = pd.concat(tables).replace({"psnr": {np.inf: np.nan}})
    return table.groupby(["network", "image"]).psnr.mean()


def _numbered(cell: Cell) -> pd.DataFrame:
    """Columns network, image and psnr. A victim without a seed is one network for each client."""
    networks, images = [], []
    rows = cell.table if "client" in cell.table else cell.table.assign(client=cell.table.image)
    numbered = "client" not in cell.table  # its images bear their numbers in the set already
    for part, client, image in rows[["part", "client", "image"]].itertuples(index=False):
        config = cell.config[part]
        networks.append(config["victim"].get("seed", f"of client {client}"))
        images.append(image if numbered else client * config.get("batch_size", 1) + image)
    named = {"network": [str(network) for network in networks], "image": images}
    return pd.DataFrame(named | {"psnr": cell.table.psnr.to_numpy()})
