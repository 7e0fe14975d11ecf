"""Batches in notebook 02: how well their labels are counted, and what that is worth to an attack.
"""

import numpy as np
import pandas as pd

from studies.cells import Cell
from studies.idlg import plan
from studies.idlg.tables import STORED, Results, in_words, recovered, share_of

RULES_SHOWN = {  # rules that read a batch of any size: what the page calls them
    "analytic": "analytic", "uniform": "uniform", "wainakh": "Wainakh", "even": "dealt evenly"}


# --- labels, counted


def counts_table(counts: Results) -> pd.DataFrame:
    """The share of a batch's labels read right: mean and standard deviation over batches, and the
    share of batches without a mistake, a row a run, victim, kind of labels, rule and B."""
    tables = []
    for run_name, cells in counts.by_run().items():
        for (title, unique), cell in cells.items():
            grouped = cell.table.groupby(["rule", "B"])
            rows = grouped.agg(n=("client", "size"), accuracy=("accuracy", "mean"),
                               sd=("accuracy", "std"), exact=("exact", "mean")).reset_index()
            tables.append(rows.assign(run=run_name, victim=title,
                                      labels="unique" if unique else "random"))
    return pd.concat(tables).reset_index(drop=True)


def counts_shown(table: pd.DataFrame, size: int) -> pd.DataFrame:
    """Of `counts_table` what the page shows: random labels, one size, the first run alone. A row
    a victim, as texts."""
    chosen = (table.labels == "random") & (table.B == size) & (table.rule != "yin")
    rows = table[chosen & (table.run == table.run.iloc[0])]
    texts = [f"{100 * row.accuracy:.0f} ± {100 * row.sd:.0f} ({row.exact:.0%})"
             for row in rows.itertuples()]
    wide = rows.assign(text=texts).pivot(index="victim", columns="rule", values="text")
    wide = wide.reindex(list(plan.VICTIMS))[list(RULES_SHOWN)].rename(columns=RULES_SHOWN)
    return wide.rename_axis("victim").rename_axis(None, axis=1)


def rules_at_a_glance(table: pd.DataFrame, size: int = 64) -> pd.DataFrame:
    """The mean share of labels read right of `size` random ones, a row a victim: numbers."""
    chosen = (table.labels == "random") & (table.B == size) & (table.run == table.run.iloc[0])
    wide = table[chosen].pivot(index="victim", columns="rule", values="accuracy")
    wide = wide.reindex(list(plan.VICTIMS))[list(RULES_SHOWN)].rename(columns=RULES_SHOWN)
    return wide.rename_axis("victim").rename_axis(None, axis=1)


def counts_in_words(counts: Results) -> str:
    """What the figure of the label rules counts, and how good the trained victims are."""
    trained = {title: counts.here[title, False].table for title, counted in plan.VICTIMS.items()
               if counted.training is not None and (title, False) in counts.here}
    accuracies = [f"{table.victim_accuracy.mean():.0%}" for table in trained.values()]
    single = [f"{single_label(table).accuracy.mean():.0%}" for table in trained.values()]
    return (
        f"{counts.profile.capitalize()} profile; {plan.COUNTED_CLIENTS[counts.profile]} clients a "
        "point. 100 classes are random labels on the training crops of the photos; 10 classes are "
        f"{plan.TEN_LABELS[counts.profile]['name']}. All clients of a trained victim share that "
        "one victim, so the spread is over batches and not over trainings. "
        f"The trained victims classify {', '.join(accuracies)} of what is attacked "
        f"({'; '.join(trained)}). Yin's rule and unique labels need as many classes as images, so "
        "with 10 classes they end at 8. iDLG's own rule reads one image right in "
        f"{', '.join(single)} on these victims.")


def single_label(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of iDLG's own rule, for one image."""
    return table.query("rule == 'idlg' and B == 1")


# --- an attack on batches of four


def batch_row(cell: Cell) -> dict:
    """Labels and images of attacked batches: what is recovered, and whether whole batches are."""
    table = cell.table.assign(recovered=recovered(cell))
    right = 0
    for _, rows in table.groupby("client"):
        truth, read = (np.bincount(rows[column], minlength=4) for column in ("true_label", "label"))
        right += np.minimum(truth, read).sum()
    whole = table.groupby("client").recovered.all()
    return {"batches": len(whole), "labels right": 100 * right / len(table),
            "images recovered": share_of(table.recovered), "whole batches": int(whole.sum())}


def batch_table(fours: Results) -> pd.DataFrame:
    """The attacks on batches of four in numbers, a row a run and way to have the labels."""
    rows = []
    for run_name, cells in fours.by_run().items():
        for labels, cell in cells.items():
            row = batch_row(cell)
            share = row.pop("images recovered")
            rows.append({"run": run_name, "labels": labels, **row, **share})
    return pd.DataFrame(rows)


def batch_shown(fours: Results) -> pd.DataFrame:
    """The attacks on batches of four as the page shows them."""
    rows = []
    for run_name, cells in fours.by_run().items():
        for labels, cell in cells.items():
            row = batch_row(cell)
            rows.append({
                "run": run_name, "labels": labels, "batches": row["batches"],
                "labels right": f"{row['labels right']:.0f} %",
                "images recovered": in_words(row["images recovered"]),
                "whole batches recovered": row["whole batches"]})
    return pd.DataFrame(rows)


def batch_in_words(fours: Results) -> str:
    """What counted labels are worth to the attack; empty where an attack is missing."""
    run_name, cells = fours.settled()
    if len(cells) < len(plan.LABELS_OF_FOUR):
        return ""
    shares = []
    for labels, cell in cells.items():
        row = batch_row(cell)
        shares.append(f"{labels} {row['labels right']:.0f} % / "
                      f"{row['images recovered']['share']:.0f} %")
    name = "Paper profile, stored" if run_name == STORED else "This run"
    return (
        f"*{name}.* Labels read right / images recovered: {'; '.join(shares)}. With four classes a "
        "batch of four is already large, so Wainakh's rule misses labels, and a wrong label costs "
        "its batch. Counted labels serve about as well as granted ones, and no rule can do more. "
        "What then limits the attack is the search and what the network lets through of a batch. "
        "Images of one batch stand or fall together, so n overstates what is known.")


def recovered_of_batches(cell: Cell) -> np.ndarray:
    """How many images of each batch are recovered, integers (K,)."""
    table = cell.table.assign(recovered=recovered(cell))
    return table.groupby("client").recovered.sum().to_numpy()
