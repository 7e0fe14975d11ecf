"""Tables of notebook 02: shares of attacks, held to the published ones. What is paired stands in
`gaps.py`, what is of batches in `batches.py`, what breaks the rule in `broken.py`."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy import stats

from studies import choose
from studies.cells import Cell
from studies.idlg import plan
from studies.store import Sweep

STORED = choose.STORED
RECOVERED = 1e-3  # mean squared error on [0, 1], unclipped; a threshold of Figure 1
SIDE = 0.1  # MSE that parts attacks that worked from those that failed: no attack ends near it
THRESHOLDS = (1e-2, 5e-3, 1e-3, 5e-4, 1e-4)  # of Figure 1, read off at these


@dataclass(frozen=True)
class Results:
    """Cells by key (of the dict of sweeps they are of), those of the paper profile that are stored
    apart from those of this run, of whichever profile: no line of a table mixes the two."""

    stored: dict
    here: dict
    profile: str  # of this run

    @property
    def this_run(self) -> str:
        return f"this run, {self.profile}"

    def by_run(self) -> dict[str, dict]:
        """{what a table calls the run: its cells}."""
        return {STORED: self.stored, self.this_run: self.here}

    def settled(self) -> tuple[str, dict]:
        """The run that conclusions rest on, and its cells: the stored paper profile, where any of
        it is there, else this run."""
        if self.stored:
            return STORED, self.stored
        return self.this_run, self.here


def results(sweeps: dict) -> Results:
    """What there is of a dict of sweeps; what this run can compute is computed."""
    here = choose.here_of(sweeps)
    profile = next(sweep.profile for sweep in sweeps.values())
    return Results(choose.stored_of(sweeps), here, profile)


# --- shares of attacks


def label_right(cell: Cell) -> np.ndarray:
    """For each client whether the attack ended at its label, booleans (K,)."""
    return (cell.table.label == cell.table.true_label).to_numpy()


def recovered(cell: Cell, threshold: float = RECOVERED, column: str = "mse") -> np.ndarray:
    """For each client whether its image ended below a mean squared error, booleans (K,). A search
    that diverged is below none. column "best_mse": at the state of the smallest objective."""
    return cell.table[column].to_numpy() < threshold


def share_of(good) -> dict:
    """A share with its 95 % Wilson interval (low, high), in per cent, and n."""
    n, count = len(good), int(np.sum(good))
    low, high = stats.binomtest(count, n).proportion_ci(method="wilson")
    return {"n": n, "share": 100 * count / n, "low": 100 * low, "high": 100 * high}


def in_words(share: dict) -> str:
    return f"{share['share']:.1f} % [{share['low']:.1f}, {share['high']:.1f}], n = {share['n']}"


def published(numbers: pd.DataFrame, float_id: str, row: str, column: str) -> str:
    """A published percentage as text; "sources" says how sure it is.

    numbers: `report.published("idlg")`."""
    chosen = (numbers.float == float_id) & (numbers.row == row) & (numbers.column == column)
    return f"{numbers[chosen].value.iloc[0]:g} %"


def _measured(attacks: Results, key: tuple, good: Callable[[Cell], np.ndarray]) -> dict[str, str]:
    """A share in both runs, as text."""
    texts = {STORED: "not computed", attacks.this_run: "not in this run"}
    for run_name, cells in attacks.by_run().items():
        if key in cells:
            texts[run_name] = in_words(share_of(good(cells[key])))
    return texts


# --- Table 1


def label_accuracy(attacks: Results) -> pd.DataFrame:
    """Table 1 in numbers: how often the label is right, a row a run, set and attack."""
    rows = []
    for run_name, cells in attacks.by_run().items():
        for (paper_set, attack), cell in cells.items():
            rows.append({"run": run_name, "set": paper_set, "attack": attack,
                         **share_of(label_right(cell)), "device": cell.device})
    return pd.DataFrame(rows)


def labels_beside_published(attacks: Results, numbers: pd.DataFrame) -> pd.DataFrame:
    """Table 1 as the page shows it: published beside measured, a row a set and attack."""
    rows = []
    for paper_set in plan.SETS:
        for attack in plan.BOTH:
            row = {"images": _named(paper_set, attacks), "attack": attack}
            row["published †"] = published(numbers, "table1", attack, paper_set)
            rows.append(row | _measured(attacks, (paper_set, attack), label_right))
    return pd.DataFrame(rows)


def _named(paper_set: str, attacks: Results) -> str:
    """The paper's set, with what this run has in its place."""
    if attacks.profile == "paper":
        return paper_set
    return f"{paper_set} (this run: {plan.SETS[paper_set][attacks.profile]['name']})"


# --- Figure 1 as a table


def fidelity(attacks: Results) -> pd.DataFrame:
    """The share of attacks below each threshold, a row a run, set, attack and threshold."""
    rows = []
    for run_name, cells in attacks.by_run().items():
        for (paper_set, attack), cell in cells.items():
            for threshold in THRESHOLDS:
                rows.append({"run": run_name, "set": paper_set, "attack": attack,
                             "threshold": threshold, **share_of(recovered(cell, threshold))})
    return pd.DataFrame(rows)


def fidelity_beside_published(attacks: Results, numbers: pd.DataFrame,
                              thresholds: tuple = (1e-3, 1e-4)) -> pd.DataFrame:
    """Figure 1 at two thresholds: published beside measured, a row a set, attack and threshold."""
    rows = []
    for paper_set in plan.SETS:
        for attack in plan.BOTH:
            for threshold in thresholds:
                row = {"images": _named(paper_set, attacks), "attack": attack,
                       "MSE below": f"{threshold:g}"}
                rows.append(row | _fidelity_row(attacks, numbers, paper_set, attack, threshold))
    return pd.DataFrame(rows)


def _fidelity_row(attacks: Results, numbers: pd.DataFrame, paper_set: str, attack: str,
                  threshold: float) -> dict[str, str]:
    told = published(numbers, "fig1", f"{paper_set}, {attack}", f"{threshold:g}")
    row = {"published †": told}
    return row | _measured(attacks, (paper_set, attack), lambda cell: recovered(cell, threshold))


def recovered_beside_published(attacks: Results, numbers: pd.DataFrame) -> pd.DataFrame:
    """Shares recovered, published and of the stored paper profile, and both gaps: a row a set."""
    rows = []
    for paper_set in plan.SETS:
        if not all((paper_set, attack) in attacks.stored for attack in plan.BOTH):
            continue
        row, good = {"images": paper_set}, {}
        for attack in plan.BOTH:
            good[attack] = recovered(attacks.stored[paper_set, attack])
            told = published(numbers, "fig1", f"{paper_set}, {attack}", "0.001")
            row[f"{attack}, published †"] = told
            row[f"{attack}, measured"] = in_words(share_of(good[attack]))
        row["gap, measured"] = gap_in_words(good["DLG"], good["iDLG"])
        rows.append(row)
    return pd.DataFrame(rows)


def gap_in_words(dlg: np.ndarray, idlg: np.ndarray) -> str:
    """How many more points iDLG recovers of the same clients, with the 95 % interval."""
    gained = np.asarray(idlg, float) - dlg
    half = 196 * (gained.var(ddof=1) / len(gained)) ** 0.5
    return f"{100 * gained.mean():+.0f} ± {half:.0f} points"


def own_start_counts(attacks: Results) -> str:
    """On how many clients iDLG had a start of its own, in words."""
    counts = [f"{paper_set} n = {cell.n}" for (paper_set, attack), cell in attacks.stored.items()
              if attack == plan.OWN_START]
    return ", ".join(counts)


# --- is it the engine?


def beside_engine(plain: Sweep, attacks: Results) -> dict[str, pd.DataFrame]:
    """The plain loop's clients beside the engine's attacks of the same run, by set and run."""
    live_set = "MNIST" if attacks.profile == "quick" else "CIFAR-100"
    name = plan.SETS[live_set][attacks.profile]["name"]
    pairs = {
        f"CIFAR-100, {STORED}": (plain.stored(), attacks.stored.get(("CIFAR-100", "DLG"))),
        f"{name}, {attacks.this_run}": (plain.here(), attacks.here.get((live_set, "DLG")))}
    return {title: _beside(loop, engine) for title, (loop, engine) in pairs.items()
            if loop is not None and engine is not None}


def _beside(loop: Cell, engine: Cell) -> pd.DataFrame:
    attacked = engine.table.iloc[:loop.n]
    return pd.DataFrame({
        "plain loop, MSE": loop.table.mse, "engine, MSE": attacked.mse,
        "plain loop, label right": loop.table.right,
        "engine, label right": attacked.label == attacked.true_label})


def agreement_in_words(pairs: dict[str, pd.DataFrame]) -> str:
    """How many clients end alike with and without the engine."""
    counts = []
    for title, table in pairs.items():
        alike = (table["plain loop, MSE"] < SIDE) == (table["engine, MSE"] < SIDE)
        counts.append(f"{title}: {int(alike.sum())} of {len(table)} clients end on the same side "
                      f"of an MSE of {SIDE:g}")
    return "; ".join(counts) + "."


def timings(*groups: dict) -> pd.DataFrame:
    """Seconds of the cells of this run, a row a cell."""
    rows = []
    for cells in groups:
        for key, cell in cells.items():
            rows.append({"cell": " ".join(map(str, key)), "n": cell.n,
                         "seconds": round(cell.seconds, 1), "device": cell.device,
                         "torch": cell.torch})
    return pd.DataFrame(rows)
