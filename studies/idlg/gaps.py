"""What is paired in notebook 02: DLG and iDLG on the same images, networks and starts."""

import numpy as np
import pandas as pd
from scipy import stats

from studies.cells import Cell
from studies.idlg import plan
from studies.idlg.tables import Results, label_right, recovered

LAST = "same start, last state"
BEST = "same start, best state"
OWN = "own starts, last state (the code)"
FREE = "same start, no stopping rule"
DIVERGED = 1  # an MSE that no image of [0, 1] can have against another: the search ran away


def gap(dlg: np.ndarray, idlg: np.ndarray) -> dict:
    """What DLG and iDLG achieve for the same clients, booleans (K,): their shares and the
    difference in per cent, and p of McNemar's exact test that there is none."""
    gained = int((idlg & ~dlg).sum())
    lost = int((dlg & ~idlg).sum())
    p = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return {"n": len(dlg), "DLG": 100 * dlg.mean(), "iDLG": 100 * idlg.mean(),
            "gap": 100 * (idlg.mean() - dlg.mean()), "only iDLG": gained, "only DLG": lost, "p": p}


def gaps(attacks: dict, unstopped: dict) -> dict[tuple[str, str], dict]:
    """The gap at the threshold of recovery, by set and by what of the official code is undone.

    attacks, unstopped: cells of one run, as in `plan.Plan`."""
    rows = {}
    for paper_set in plan.SETS:
        dlg, idlg, own_start = (attacks.get((paper_set, attack)) for attack in plan.ATTACKS)
        if dlg and idlg:
            rows[paper_set, LAST] = gap(recovered(dlg), recovered(idlg))
            rows[paper_set, BEST] = gap(recovered(dlg, column="best_mse"),
                                        recovered(idlg, column="best_mse"))
        if dlg and own_start:  # its first clients, where fewer were attacked
            rows[paper_set, OWN] = gap(
                recovered(dlg)[:own_start.n], recovered(own_start))
        if paper_set == "MNIST" and len(unstopped) == len(plan.BOTH):
            rows[paper_set, FREE] = gap(*(recovered(unstopped[name]) for name in plan.BOTH))
    return rows


def gap_table(attacks: Results, unstopped: Results) -> pd.DataFrame:
    """The gaps of both runs, a row a run, set and way to compare."""
    pairs = zip(attacks.by_run().items(), unstopped.by_run().values(), strict=True)
    rows = {}
    for (run_name, cells), free_cells in pairs:
        for key, row in gaps(cells, free_cells).items():
            rows[run_name, *key] = row
    return pd.DataFrame(rows).T.rename_axis(["run", "set", "how"])


def shown(table: pd.DataFrame, run_name: str) -> pd.DataFrame:
    """`gap_table` of one run as a page shows it; empty where the run has none."""
    rows = []
    for (run, paper_set, how), row in table.iterrows():
        if run == run_name:
            rows.append({
                "images": paper_set, "how compared": how, "attacks": f"{row.n:.0f}",
                "DLG": f"{row.DLG:.1f} %", "iDLG": f"{row.iDLG:.1f} %",
                "recovered by one alone": f"iDLG {row['only iDLG']:.0f}, DLG {row['only DLG']:.0f}",
                "gap, points": f"{row.gap:+.1f} (p = {row.p:.1g})"})
    return pd.DataFrame(rows)


# --- why DLG loses


def sets_of(attacks: dict) -> list[str]:
    """The sets of which both attacks are there."""
    return [paper_set for paper_set in plan.SETS
            if all((paper_set, attack) in attacks for attack in plan.BOTH)]


def by_label(attacks: dict) -> pd.DataFrame:
    """Who recovers the images whose label DLG gets right, and who those it gets wrong: a row a set
    and kind of client. attacks: cells of one run."""
    rows = {}
    for paper_set in sets_of(attacks):
        dlg, idlg = (attacks[paper_set, attack] for attack in plan.BOTH)
        right, by_dlg, by_idlg = label_right(dlg), recovered(dlg), recovered(idlg)
        for name, clients in (("right", right), ("wrong", ~right)):
            rows[paper_set, name] = {
                "clients": clients.sum(), "recovered by DLG": (by_dlg & clients).sum(),
                "by iDLG": (by_idlg & clients).sum(),
                "by both": (by_dlg & by_idlg & clients).sum()}
    return pd.DataFrame(rows).T.rename_axis(["set", "DLG's label"])


def of_label(crossed: pd.DataFrame, name: str) -> pd.Series:
    """The sums over all sets, of the clients whose label DLG gets "right" or "wrong"."""
    return crossed.xs(name, level=1).sum()


def diverged(attacks: dict) -> int:
    """In how many attacks DLG ran away."""
    count = 0
    for paper_set in sets_of(attacks):
        count += int((~recovered(attacks[paper_set, "DLG"], DIVERGED)).sum())
    return count


def losses_in_words(attacks: dict) -> str:
    """Where DLG and iDLG lose images, and what a known label can do about it."""
    crossed = by_label(attacks)
    wrong, right = of_label(crossed, "wrong"), of_label(crossed, "right")
    lost = crossed.clients.sum() - crossed["recovered by DLG"].sum()
    return (
        f"Of {crossed.clients.sum()} attacks DLG ends {wrong['clients']} at a wrong label. It "
        f"recovers {wrong['recovered by DLG']} of those images, and iDLG recovers "
        f"{wrong['by iDLG']} of them. Where DLG's label is right, DLG still loses "
        f"{right['clients'] - right['recovered by DLG']} of {right['clients']} images and iDLG "
        f"{right['clients'] - right['by iDLG']}. There {right['by iDLG'] - right['by both']} "
        f"images are recovered by iDLG alone and {right['recovered by DLG'] - right['by both']} by "
        f"DLG alone. Of the {lost} images that DLG loses, {diverged(attacks)} end at an MSE above "
        "1, which means that the search diverged.")


def first_below(cell: Cell, threshold: float = 1e-2) -> np.ndarray:
    """For each client the first recorded iteration with an error below `threshold`, or infinity."""
    below = cell.arrays["mse"] < threshold  # (K, T)
    iterations = np.array(cell.config[0]["record"])
    return np.where(below.any(1), iterations[below.argmax(1)], np.inf)
