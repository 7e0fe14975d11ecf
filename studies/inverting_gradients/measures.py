"""What the tables, drawings and claims of notebook 03 share: numbers computed from its cells."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose
from studies.cells import Cell
from studies.inverting_gradients.plan import Plan
from studies.store import Sweep

# The attacks of Table 1 as Figure 2 shows them: (the row's name in the paper, ours)
ATTACKS = {"Euclid": ("Eucl. loss + L-BFGS", "Euclidean + L-BFGS"),
           "cosine": ("Proposed", "cosine + signed Adam")}


def lenet_attacks(sweeps: Plan) -> dict[tuple[str, str], Cell]:
    """Table 1's attacks on LeNet: (state, row) -> cell, in the order of Figure 2."""
    order = [(state, row) for state in ("untrained", "trained") for row in ATTACKS]
    return choose.shown_of({
        (state, row): sweeps.table1["LeNet", state, row] for state, row in order})


def local_steps(sweeps: Plan) -> dict[tuple[str, int, float], Cell]:
    """Figure 5's attacks on the networks that a CPU can attack."""
    return choose.shown_of({
        key: sweep for key, sweep in sweeps.fig5.items() if key[0] != "ConvNet64"})


def narrow_resnets(sweeps: Plan) -> dict[str, Cell]:
    """Figure 4's attacks on narrow networks."""
    narrow = {name: sweep for (scale, name), sweep in sweeps.fig4.items() if scale == "narrow"}
    return choose.shown_of(narrow)


def mean_colour(sweep: Sweep) -> pd.Series:
    """PSNR (dB) of the set's mean colour against each image, by the image's number; empty where
    nobody has it."""
    cell = sweep.shown()
    return pd.Series(dtype=float) if cell is None else cell.table.set_index("client").psnr


# --- Table 1: how much hangs on the draw of the network?


def networks(sweeps: Plan) -> dict[str, pd.DataFrame]:
    """For each attack on LeNet the PSNR (images, networks), of the images that all have."""
    tables = {}
    for (network, state, row), sweep in sweeps.table1.items():
        cell = sweep.shown()
        if network != "LeNet" or cell is None:
            continue
        tables[f"LeNet, {state}, {ATTACKS[row][1]}"] = _by_network(lenets(sweeps, state, row))
    return tables


def lenets(sweeps: Plan, state: str, row: str) -> list[Cell]:
    """Table 1's attack on LeNet, all networks that it was tried on."""
    parts = {"table": sweeps.table1["LeNet", state, row], "full": sweeps.full.table1[state, row]}
    if state == "untrained":
        parts["more"] = sweeps.more_networks[row]
    cells = choose.shown_of(parts)
    stored = [cell for cell in cells.values() if cell.profile == "paper"]
    return stored or list(cells.values())


def _by_network(cells: list[Cell]) -> pd.DataFrame:
    tables = []
    for cell in cells:
        seeds = [cell.config[part]["victim"]["seed"] for part in cell.table.part]
        tables.append(cell.table.assign(network=seeds))
    table = pd.concat(tables)
    return table.pivot_table(index="client", columns="network", values="psnr").dropna()


def components(psnr: pd.DataFrame) -> dict:
    """Of PSNR (images, networks): the spread of the networks' means, what images alone would make
    of it, and what is left for the networks (two-way layout without repetition)."""
    n, k = psnr.shape
    without_networks = psnr.sub(psnr.mean(), axis=1)
    without_either = without_networks.sub(psnr.mean(axis=1), axis=0) + psnr.to_numpy().mean()
    rest = without_either.to_numpy()
    alone = (rest**2).sum() / ((k - 1) * (n - 1)) / n
    left = max(0, psnr.mean().var() - alone)
    return {
        "networks": k, "images": n,
        "mean of each network": ", ".join(f"{mean:.2f}" for mean in psnr.mean()),
        "std over images, one network": f"{psnr.std().mean():.2f}",
        "std over networks' means": f"{psnr.mean().std():.2f}",
        "expected from images alone": f"{alone**0.5:.2f}",
        "left for networks": f"{left**0.5:.2f}"}


# --- along a training


def after_training(path: Cell) -> pd.DataFrame:
    """The rows of the last epoch."""
    return path.table[path.table.epoch == path.table.epoch.max()]


def spread(path: Cell, column: str) -> float:
    """How unequal the images are after training: the 95th percentile over the 5th."""
    low, high = np.percentile(after_training(path)[column], (5, 95))
    return float(high / max(low, 1e-30))


def parts(cells: Iterable[Cell]) -> list[Cell]:
    """Each part of each cell as one of its own: a network each."""
    alone = []
    for cell in cells:
        for part, config in enumerate(cell.config):
            rows = cell.table[cell.table.part == part]
            alone.append(replace(cell, table=rows, config=[config]))
    return alone


# --- restarts


@dataclass(frozen=True)
class Restarts:
    """Is a lower loss a better picture? R restarts of each of n images."""

    loss: np.ndarray    # (n, R) the gradient distance at the end, without TV
    psnr: np.ndarray    # (n, R) dB
    within: np.ndarray  # (n,) Spearman's rank correlation of both over the restarts of an image
    across: float       # the same over images, of their means
    p_across: float     # and its p
    chosen: np.ndarray  # (R, n) PSNR of the restart with the lowest loss among the first 1, ..., R
    oracle: np.ndarray  # (R, n) and of the best one, which the attacker does not know


def restarts(cell: Cell) -> Restarts:
    """From the cell of `plan.restarts`. The loss is without TV, by which smooth images would have
    both a lower loss and a higher PSNR."""
    loss, psnr = (
        cell.table.pivot(index="client", columns="restart", values=column).to_numpy()
        for column in ("distance", "psnr"))
    within = [stats.spearmanr(a, b).statistic for a, b in zip(loss, psnr, strict=True)]
    across = stats.spearmanr(loss.mean(1), psnr.mean(1))
    images = np.arange(len(loss))
    counts = range(1, loss.shape[1] + 1)
    chosen = [psnr[images, loss[:, :r].argmin(1)] for r in counts]
    oracle = [psnr[:, :r].max(1) for r in counts]
    return Restarts(loss, psnr, np.array(within), across.statistic, across.pvalue,
                    np.array(chosen), np.array(oracle))
