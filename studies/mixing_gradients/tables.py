"""Tables of notebook 06: the closed form (R1, R2), a dense layer (R4), the attack in the span."""

import operator

import numpy as np
import pandas as pd

from studies import choose, report, store, verdicts
from studies.cells import Cell
from studies.mixing_gradients import settings

CRITERIA = {  # when an image counts as recovered: (column, comparison, threshold)
    "AVD < 0.8": ("avd_8bit", operator.lt, settings.AVD_SUCCESS),
    "SSIM > 0.5": ("ssim", operator.gt, settings.SSIM_RECOVERED),
    "MSE < 0.01": ("mse", operator.lt, settings.MSE_RECOVERED)}
EXACT = 1e-4  # the MSE of an image that the closed form gives back, far below what an eye can see
GROUPS = ("matching", "matching or closed form")  # attacks that compete; and IN_SPAN by itself
PUBLISHED_R4 = {  # strategy: its row in the published numbers
    "CE, random labels": "random labels, CEL", "CE, equal labels": "equal labels, CEL",
    "MSE of softmax, random labels": "random labels, MSE",
    "MSE of softmax, equal labels": "equal labels, MSE"}
R4_COLUMNS = {  # heading: (the attacks that compete, criterion)
    "AVD < 0.8, matching": ("matching", "AVD < 0.8"),
    "SSIM > 0.5, matching": ("matching", "SSIM > 0.5"),
    "AVD < 0.8, closed form too": ("matching or closed form", "AVD < 0.8"),
    "MSE < 0.01, closed form too": ("matching or closed form", "MSE < 0.01"),
    "MSE < 0.01, in the span (ours)": (settings.IN_SPAN, "MSE < 0.01")}


def leading(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the first run in a table's column `run`: the only ones that are drawn, and that
    decide claims."""
    return table[table.run == table.run.iloc[0]]


def published_number(numbers: pd.DataFrame, float_id: str, row: str, column: str) -> pd.Series:
    """One entry of `report.published`."""
    chosen = numbers[(numbers.float == float_id) & (numbers.row == row)
                     & (numbers.column == column)]
    return chosen.iloc[0]


# --- the closed form


def formula_gap(table: pd.DataFrame) -> float:
    """The largest relative difference of the measured error and the formula's, where neither is
    rounding nor a division by nearly nothing."""
    gap = (table.error - table.predicted).abs() / table.predicted
    return float(gap[(table.predicted > 1e-12) & (table.predicted < 1e6)].max())


def by_classes(cell: Cell) -> pd.DataFrame:
    """A row a number of classes: weight of the other images and MSE by the width of the weights,
    and what an even softmax gives at B = 4."""
    classes = [cell.config[part]["images"]["classes"] for part in cell.table.part]
    groups = cell.table.assign(C=classes).groupby(["C", "scale"])
    medians = {"weight of the others, median": groups.neglected.median(),
               "MSE, median": groups.error.median()}
    table = pd.DataFrame(medians).unstack()
    table["(B - 1) / (C - B)", ""] = [3 / (count - 4) for count in table.index]
    return table


def log_error(table: pd.DataFrame) -> pd.Series:
    """The natural logarithm of the MSE of a pixel; the clip is the smallest float32."""
    return np.log(table.error.clip(1e-38))


def direct_inversion(cells: dict[str, Cell]) -> pd.DataFrame:
    """R1 in numbers: quantiles of the log error by precision and draw."""
    table = pd.concat([cell.table.assign(precision=precision)
                       for precision, cell in cells.items()])
    groups = table.assign(log_error=log_error(table)).groupby(["precision", "draw"])
    quantiles = groups.log_error.describe()
    return quantiles[["count", "min", "25%", "50%", "75%", "max"]].reset_index()


def by_loss(table: pd.DataFrame) -> pd.DataFrame:
    """R2 in numbers: a row a width of the weights, a loss, and whether the label is repeated."""
    judged = table.assign(log_error=log_error(table), exact=table.error < EXACT)
    groups = judged.groupby(["scale", "loss", "repeated"])
    summary = groups.agg(
        n=("error", "size"),
        failed=("error", lambda errors: int(errors.isna().sum())),
        exact=("exact", "mean"),
        median=("log_error", "median"))
    return summary.reset_index()


# --- R4: which share is recovered


def recovered(table: pd.DataFrame, criterion: str) -> pd.Series:
    """Whether each row's image counts as recovered by one of CRITERIA."""
    column, compare, threshold = CRITERIA[criterion]
    return compare(table[column], threshold)


def _competes(names: pd.Series, group: str) -> pd.Series:
    """Whether attacks of these names are of one of GROUPS."""
    in_span = names.str.contains("in the span")
    if group == settings.IN_SPAN:
        return in_span
    if group == "matching":
        return ~in_span & ~names.str.contains("closed form")
    return ~in_span


def _nearest(attacked: pd.DataFrame) -> pd.DataFrame:
    """For each client the images of the attack whose result has the nearest gradient. An attacker
    who has the labels uses them, so attacks that infer labels are left out."""
    able = attacked[~attacked.name.str.contains("inferred")]
    smallest = able.groupby("client").distance.transform("min")
    return able[able.distance == smallest].drop_duplicates(["client", "image"])


def rates(table: pd.DataFrame, batch_sizes: list[int], names: list[str], group: str
          ) -> pd.DataFrame:
    """How many images a group of attacks recovers, by criterion and by how the best is chosen.

    table: a row an attack and image, with a column `part`; batch_sizes: of each part; names: of
    each attack. A row a part, criterion and choice: good of n images, rate in %."""
    rows = []
    for part, of_part in table.groupby("part"):
        attacked = of_part.assign(name=np.array(names)[of_part.attack])
        attacked = attacked[_competes(attacked.name, group)]
        count = attacked.groupby(["client", "image"]).ngroups
        nearest = _nearest(attacked)
        for criterion in CRITERIA:
            judged = attacked.assign(recovered=recovered(attacked, criterion))
            by_truth = judged.groupby(["client", "image"]).recovered.any()
            good = {"by truth": int(by_truth.sum()),
                    "nearest gradient": int(recovered(nearest, criterion).sum())}
            rows += [{"B": batch_sizes[part], "criterion": criterion, "best": best,
                      "good": good[best], "n": count} for best in good]
    shares = pd.DataFrame(rows)
    return shares.assign(rate=100 * shares.good / shares.n)


def batch_sizes_of(cell: Cell) -> list[int]:
    """The batch size of each part."""
    return [config["batch_size"] for config in cell.config]


def of_clients(cell: Cell, B: int, names: list[str], criterion: str, group: str) -> pd.Series:
    """Which share of its images a group of attacks recovers of each client, best by truth, B images
    a batch. Clients have networks of their own: these shares are what is tested."""
    table = cell.table[cell.table.part == batch_sizes_of(cell).index(B)]
    attacked = table[_competes(pd.Series(np.array(names)[table.attack], table.index), group)]
    return shares_by_client(attacked, criterion)


def shares_by_client(table: pd.DataFrame, criterion: str) -> pd.Series:
    """The share of each client's images that any attack of the table recovers."""
    judged = table.assign(recovered=recovered(table, criterion))
    of_image = [name for name in ("client", "part", "image") if name in judged]
    by_truth = judged.groupby(of_image).recovered.any().reset_index()
    return verdicts.by_network(by_truth, "client", "recovered")


def dense_rates(dense: dict[str, store.Sweep], adaptive: dict[tuple[str, str], store.Sweep]
                ) -> pd.DataFrame:
    """R4: `rates` of every strategy, run and group of attacks; in the span those of one round and
    labels that are known."""
    tables = []
    for strategy, sweep in dense.items():
        for run, cells in choose.by_run({strategy: sweep}).items():
            cell = cells[strategy]
            names = settings.attack_names(cell.profile, strategy)
            for group in GROUPS:
                shares = rates(cell.table, batch_sizes_of(cell), names, group)
                tables.append(shares.assign(strategy=strategy, run=run, attacks=group))
        alone = {strategy: adaptive[strategy, "one round"]}
        for run, cells in choose.by_run(alone).items():
            shares = _in_span_shares(cells[strategy])
            tables.append(shares.assign(strategy=strategy, run=run, attacks=settings.IN_SPAN))
    return pd.concat(tables, ignore_index=True)


def _in_span_shares(cell: Cell) -> pd.DataFrame:
    """`rates` of the attack in the span, at R4's batch sizes."""
    batches = batch_sizes_of(cell)
    asked = [part for part, B in enumerate(batches) if B in settings.BATCHES[cell.profile]]
    table = cell.table[cell.table.part.isin(asked) & (cell.table.attack == 0)]
    return rates(table, batches, [settings.IN_SPAN], settings.IN_SPAN)


def chosen_rates(shares: pd.DataFrame, strategy: str, criterion: str, best: str, group: str
                 ) -> pd.DataFrame:
    """The rows of `dense_rates` of one strategy, criterion, choice and group of attacks."""
    return shares[(shares.strategy == strategy) & (shares.criterion == criterion)
                  & (shares.best == best) & (shares.attacks == group)]


def dense_in_numbers(shares: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """R4, a row a strategy, batch size and run: published beside ours, "by truth / nearest"."""
    rows = {}
    for (strategy, B, run), some in shares.groupby(["strategy", "B", "run"], sort=False):
        row = {"published, AVD < 0.8": "–"}
        if strategy in PUBLISHED_R4:
            number = published_number(numbers, "r4", PUBLISHED_R4[strategy], f"B={B}")
            row["published, AVD < 0.8"] = report.show(number)
        for heading, (group, criterion) in R4_COLUMNS.items():
            pair = [chosen_rates(some, strategy, criterion, best, group).rate
                    for best in ("by truth", "nearest gradient")]
            row[heading] = " / ".join(f"{rate.iloc[0]:.0f}" if len(rate) else "–" for rate in pair)
        rows[strategy, B, run] = row | {"n": some.n.iloc[0]}
    return pd.DataFrame(rows).T.rename_axis(["strategy", "B", "run"])


def attack_by_attack(cells: dict[str, Cell], spans: dict[str, Cell]) -> pd.DataFrame:
    """R4 at the largest batch, a row an attack and a column a strategy: images with AVD < 0.8 and
    images with MSE < 0.01. spans: cells of the attack in the span, one round."""
    columns = {}
    for strategy, cell in cells.items():
        names = settings.attack_names(cell.profile, strategy)
        largest = cell.table[cell.table.part == cell.table.part.max()]
        columns[strategy] = {names[attack]: _by_both(images)
                             for attack, images in largest.groupby("attack")}
        columns[strategy].pop(settings.IN_SPAN, None)  # superseded
        if strategy in spans:
            images = known_labels(spans[strategy], max(batch_sizes_of(cell)))
            columns[strategy][settings.IN_SPAN] = _by_both(images)
    order = max((list(column) for column in columns.values()), key=len)
    return pd.DataFrame(columns).reindex(order).fillna("–").rename_axis("attack")


def _by_both(images: pd.DataFrame) -> str:
    shares = [recovered(images, criterion).mean() for criterion in ("AVD < 0.8", "MSE < 0.01")]
    return " / ".join(f"{share:.0%}" for share in shares)


# --- in the span, and trained victims


def spans_of(adaptive: dict[tuple[str, str], store.Sweep]) -> dict[str, Cell]:
    """The cells of the attack in the span that sees one round, by strategy."""
    return choose.shown_of({strategy: sweep for (strategy, rounds), sweep in adaptive.items()
                            if rounds == "one round"})


def known_labels(span: Cell, B: int) -> pd.DataFrame:
    """The rows of such a cell with batches of B, where labels are known."""
    part = batch_sizes_of(span).index(B)
    return span.table[(span.table.part == part) & (span.table.attack == 0)]


def endings(images: pd.DataFrame) -> str:
    """Why the best restarts of the clients ended: "converged 9 of 10, budget 1 of 10"."""
    words = images.groupby("client").ended.first().value_counts()
    return ", ".join(f"{word} {count} of {words.sum()}" for word, count in words.items())


def in_span_rates(adaptive: dict[tuple[str, str], store.Sweep]) -> pd.DataFrame:
    """The attack in the span: a row a strategy, rounds seen, batch size, and what is known of the
    labels. whole: clients all of whose images are recovered."""
    rows = []
    for (strategy, rounds), sweep in adaptive.items():
        cell = sweep.shown()
        if cell is None:
            continue
        knowledge = settings.label_knowledge(strategy, rounds)
        for (part, attack), images in cell.table.groupby(["part", "attack"]):
            worst = images.groupby("client").mse.max()
            rows.append({
                "strategy": strategy, "rounds": rounds, "labels": knowledge[attack],
                "B": cell.config[part]["batch_size"],
                "recovered": recovered(images, "MSE < 0.01").mean(),
                "median MSE": images.mse.median(), "median distance": images.distance.median(),
                "n": len(images), "clients": images.client.nunique(),
                "whole": int((worst < settings.MSE_RECOVERED).sum()),
                "ended": endings(images)})
    return pd.DataFrame(rows)


def trained_victim(cells: dict[str, Cell], spans: dict[str, Cell]) -> pd.DataFrame:
    """What four attacks recover where all clients have one trained victim; spans: the cells of that
    in the span."""
    rows = {}
    for strategy, cell in cells.items():
        of_attack = dict(zip(settings.NOISE_ATTACKS, _by_attack(cell), strict=False))
        if strategy in spans:
            of_attack[settings.IN_SPAN] = spans[strategy].table
        for name, images in of_attack.items():
            rows[strategy, name] = {
                "AVD < 0.8": recovered(images, "AVD < 0.8").mean(),
                "MSE < 0.01": recovered(images, "MSE < 0.01").mean(),
                "median MSE": images.mse.median(),
                "victim's accuracy": images.victim_accuracy.iloc[0], "n": len(images)}
    return pd.DataFrame(rows).T.rename_axis(["strategy", "attack"])


def _by_attack(cell: Cell) -> list[pd.DataFrame]:
    return [images for _, images in cell.table.groupby("attack")]
