"""The tables of notebook 06 as its page shows them: few columns, headings in words. Those that are
saved stand in `tables` and `tables_accuracy`."""

import numpy as np
import pandas as pd
from torch import Tensor

from studies import report
from studies.mixing_gradients import settings, tables
from studies.mixing_gradients.measures import BLENDS

NOISE_RATES = ("accuracy, %", "any", "closed form", "angle", "in the span")  # columns of `noise`

SAID = {  # the certainties of published numbers, as a reader meets them
    "read": "read", "quoted": "quoted", "digitised": "digitised off a plot",
    "recalled": "recalled from memory"}


def blanks(table: pd.DataFrame) -> pd.DataFrame:
    """A row an answer: whether it holds the private image, and how often it passes on each set
    (`measures.blanks`)."""
    wide = table["AVD < 0.8"].unstack("set", sort=False).add_suffix(": AVD < 0.8")
    strict = table["MSE < 0.01"].unstack("set", sort=False).add_suffix(": MSE < 0.01")
    rows = wide.join(strict).reset_index()
    blends = rows.answer.isin(list(BLENDS))
    rows.insert(1, "holds the private image", blends.map({True: "yes", False: "no"}))
    return rows.iloc[:, :report.MOST_COLUMNS]


def in_span(table: pd.DataFrame) -> pd.DataFrame:
    """Images recovered by the attack in the span: a row a strategy, a column a batch size; one
    round, labels known."""
    some = table[(table.rounds == "one round") & (table.labels == "labels known")]
    wide = some.pivot(index="strategy", columns="B", values="recovered")
    wide = wide.loc[[name for name in settings.STRATEGIES if name in wide.index]]
    wide.columns = [f"B = {B}" for B in wide.columns]
    return wide.rename_axis("loss and labels")


def at_batch(shares: pd.DataFrame, numbers: pd.DataFrame, B: int = 4) -> pd.DataFrame:
    """R4 at one batch size: a row a strategy and run; published, and measured by criterion, the
    best attack chosen by the truth."""
    columns = {"AVD < 0.8": "matching", "SSIM > 0.5": "matching",
               "MSE < 0.01": "matching or closed form"}
    rows = []
    for (run, strategy), some in shares[shares.B == B].groupby(["run", "strategy"], sort=False):
        row = {"run": run, "loss and labels": strategy, "published, AVD < 0.8 †": None}
        if strategy in tables.PUBLISHED_R4:
            name = tables.PUBLISHED_R4[strategy]
            number = tables.published_number(numbers, "r4", name, f"B={B}")
            row["published, AVD < 0.8 †"] = number["value"]
        for criterion, group in columns.items():
            row[criterion] = _rate(some, strategy, criterion, group)
        row["in the span, MSE < 0.01"] = _rate(some, strategy, "MSE < 0.01", settings.IN_SPAN)
        rows.append(row)
    return pd.DataFrame(rows).astype({"published, AVD < 0.8 †": float})


def _rate(shares: pd.DataFrame, strategy: str, criterion: str, group: str) -> float | None:
    rates = tables.chosen_rates(shares, strategy, criterion, "by truth", group).rate
    return rates.iloc[0] if len(rates) else None


def of_run(in_numbers: pd.DataFrame, run: str) -> pd.DataFrame:
    """The rows of one run of `tables.dense_in_numbers`, without what a caption says."""
    rows = in_numbers.xs(run, level="run").drop(columns=["n", "published, AVD < 0.8"])
    return rows.rename_axis(["loss and labels", "B"])


def by_classes(table: pd.DataFrame) -> pd.DataFrame:
    """`tables.by_classes` with headings of one line."""
    flat = table.copy()
    flat.columns = [f"{what}, width {width:g}" if width != "" else f"even softmax: {what}"
                    for what, width in table.columns]
    return flat.rename_axis("classes C")


def monotone(ranking: pd.DataFrame) -> pd.DataFrame:
    """Whether each measure grows along each move: yes, no, or that it does not see the move."""
    words = {True: "yes", False: "no"}
    names = [name for name in ranking if name.endswith(": monotone")]
    rows = ranking[names].map(lambda value: words.get(value, "does not see it"))
    rows.columns = [name.removesuffix(": monotone") for name in names]
    return rows


def largest_steps(ranking: pd.DataFrame) -> pd.DataFrame:
    """The largest step of each measure along each move, as a share of its range."""
    names = [name for name in ranking if "largest step" in name]
    rows = ranking[names].astype(float)
    rows.columns = [name.partition(":")[0] for name in names]
    return rows


def sources(numbers: pd.DataFrame) -> pd.DataFrame:
    """Every published number with its source: a row a line of a figure and unit."""
    rows = []
    titles = numbers.attrs["floats"]
    units = numbers.assign(unit=numbers.unit.str.partition(";")[0])
    keys = ["float", "row", "unit", "certainty", "source"]
    for (name, row, unit, certainty, source), some in units.groupby(keys, sort=False):
        columns = some.column.str.replace(", recovery", "").str.replace(", accuracy", "")
        values = "; ".join(f"{column}: {value:g}"
                           for column, value in zip(columns, some.value, strict=True))
        rows.append({"figure": f"{name.upper()}. {titles[name]['title']}", "row": row,
                     "numbers": values, "unit": unit, "where": source,
                     "certainty": SAID[certainty]})
    return pd.DataFrame(rows)


def mixture(weights: Tensor, labels: Tensor) -> pd.DataFrame:
    """The weights (B, B) with which the division mixes a batch: a row an answer."""
    names = [f"private image {m + 1}" for m in range(len(weights))]
    rows = pd.DataFrame(weights.tolist(), columns=names).round(2) + 0.0  # no -0.00
    rows.index = [f"row of label {int(label)}" for label in labels]
    return rows.rename_axis("the division's answer")


def accuracies(in_numbers: pd.DataFrame) -> pd.DataFrame:
    """R5's accuracies: a row a training and batch size, published and by run
    (`tables_accuracy.dense_accuracy_in_numbers`)."""
    rows = in_numbers.rename_axis(["training", "B"])
    return rows.assign(published=_unmarked(rows.published)).rename(
        columns={"published": "published †"})


def lenet(in_numbers: pd.DataFrame) -> pd.DataFrame:
    """R6's numbers, their mark in the heading (`tables_accuracy.lenet_in_numbers`)."""
    old, new = "published: recovered, accuracy", "published †: recovered, accuracy"
    rows = in_numbers.assign(**{old: _unmarked(in_numbers[old])})
    return rows.rename(columns={old: new, "n": "images"})


def _unmarked(texts: pd.Series) -> pd.Series:
    """Published numbers without the mark that the heading bears."""
    return texts.str.replace(" (digitised)", "", regex=False)


def card(entries: dict[str, object]) -> pd.DataFrame:
    """An assumptions card: a row an assumption."""
    return pd.DataFrame({"assumption": entries.keys(),
                         "value": [str(value) for value in entries.values()]})


def maps_in_words(maps: pd.DataFrame) -> str:
    """R7: how many images pass by either criterion (markdown)."""
    by_avd, by_mse = (np.average(maps[criterion], weights=maps.n)
                      for criterion in ("AVD < 0.8", "MSE < 0.01"))
    return f"{by_avd:.0f} % of the images pass, where {by_mse:.0f} % have an MSE below 0.01."


def noise(table: pd.DataFrame) -> pd.DataFrame:
    """Recovery and accuracy under noise: a row a strategy and variance."""
    rows = table.assign(variance=[f"{variance:.0e}" for variance in table.variance])
    rows = rows.rename(columns={"strategy": "loss and labels", "accuracy": "accuracy, %",
                                "any of the four": "any", settings.IN_SPAN: "in the span"})
    return rows[["loss and labels", "variance", *NOISE_RATES]]
