"""Tables of notebook 06 that set recovery beside accuracy or size: R5, R6, R7 and noise."""

import numpy as np
import pandas as pd

from studies import choose, report, store
from studies.cells import Cell
from studies.mixing_gradients import settings, tables
from studies.mixing_gradients.plan import Plan

PUBLISHED_NAMES = {  # way to train: its row in the published numbers of R5 and R6
    "CE": "CEL", "CE, equal labels": "CEL with equal label", "MSE of softmax": "MSE",
    "MSE of logits": "MSE without softmax"}
DIFFERENT_ATTACKS = {  # R5: the attacks that compete by each criterion
    "AVD < 0.8": "matching", "MSE < 0.01": "matching or closed form"}


def accuracy_of(cell: Cell) -> dict[tuple[int, int], tuple[np.ndarray, float]]:
    """(batch size, channels; 0 for a dense layer): the test accuracies of the seeds at the
    learning rate that validates best, and that rate."""
    described = pd.DataFrame([{
        "part": part, "B": config["batch_size"], "channels": config["victim"].get("channels", 0),
        "lr": config["lr"]} for part, config in enumerate(cell.config)])
    best, chosen = {}, {}
    for (B, channels, lr), trained in cell.table.merge(described).groupby(["B", "channels", "lr"]):
        point, validation = (B, channels), trained.validation.mean()  # its seeds: several parts
        if point not in best or validation > best[point]:
            best[point] = validation
            chosen[point] = trained.accuracy.to_numpy(), lr
    return chosen


# --- R5: a dense layer


def dense_accuracy(accuracy: dict[str, store.Sweep], shares: pd.DataFrame) -> pd.DataFrame:
    """R5: a row a run, way to train and batch size: accuracy in %, and what is recovered of fresh
    victims under the same strategy (`tables.dense_rates`)."""
    rows = []
    for training, sweep in accuracy.items():
        strategy = settings.TRAINED_UNDER[training]
        for run, cells in choose.by_run({training: sweep}).items():
            for (B, _), (accuracies, lr) in accuracy_of(cells[training]).items():
                attacked = shares[(shares.run == run) & (shares.B == B)]
                spread = accuracies.std(ddof=1) if len(accuracies) > 1 else np.nan
                rows.append({"run": run, "strategy": training, "B": B,
                             "accuracy": 100 * accuracies.mean(), "sd": 100 * spread,
                             "seeds": len(accuracies), "lr": lr}
                            | _dense_recovery(attacked, strategy))
    return pd.DataFrame(rows)


def _dense_recovery(attacked: pd.DataFrame, strategy: str) -> dict[str, float]:
    """Images recovered, in %: by two criteria, best by truth, and in the span by MSE < 0.01."""
    row = {}
    for criterion, group in DIFFERENT_ATTACKS.items():
        row[criterion] = _rate(attacked, strategy, criterion, group)
    row["in the span"] = _rate(attacked, strategy, "MSE < 0.01", settings.IN_SPAN)
    return row


def _rate(attacked: pd.DataFrame, strategy: str, criterion: str, group: str) -> float:
    rates = tables.chosen_rates(attacked, strategy, criterion, "by truth", group).rate
    return rates.iloc[0] if len(rates) else np.nan


def dense_accuracy_in_numbers(table: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """R5's accuracies: published beside each run's."""
    rows = {}
    for row in table.itertuples():
        published = tables.published_number(numbers, "r5", PUBLISHED_NAMES[row.strategy],
                                            f"B={row.B}, accuracy")
        texts = rows.setdefault((row.strategy, row.B), {"published": f"{report.show(published)} %"})
        spread = "" if np.isnan(row.sd) else f" ± {row.sd:.1f}"
        seeds = "1 seed" if row.seeds == 1 else f"{row.seeds} seeds"
        texts[row.run] = f"{row.accuracy:.1f}{spread} % (lr {row.lr:g}, {seeds})"
    return pd.DataFrame(rows).T.fillna("not computed").rename_axis(["accuracy", "B"])


def averaged_accuracy(sweep: store.Sweep) -> str:
    """The accuracy of equal labels where ten clients are averaged a step, for each run."""
    texts = []
    for run, cells in choose.by_run({"averaged": sweep}).items():
        for accuracies, _ in accuracy_of(cells["averaged"]).values():
            texts.append(f"{run}: {100 * accuracies.mean():.1f} %")
    return "; ".join(texts)


# --- R6: LeNet at the four published points


def five_attacks(sweeps: Plan, training: str) -> pd.DataFrame | None:
    """R7's attack and the four beside it at the published points: part i is point i, attack number
    j is settings.FIVE[j]. None where one of the two is not stored."""
    strategy = settings.TRAINED_UNDER[training]
    first = sweeps.lenet_logits if training == "MSE of logits" else sweeps.maps["digits", strategy]
    cells = first.shown(other=False), sweeps.lenet_attacks[training].shown(other=False)
    if any(cell is None for cell in cells):
        return None
    points = settings.POINTS["paper"]
    parts = []
    for offset, cell in enumerate(cells):
        at = [(config["batch_size"], config["victim"]["channels"]) for config in cell.config]
        table = cell.table[[at[part] in points for part in cell.table.part]]
        part = [points.index(at[number]) for number in table.part]
        parts.append(table.assign(part=part, attack=offset + table.attack))
    return pd.concat(parts, ignore_index=True)


def lenet_accuracy(sweeps: Plan) -> pd.DataFrame:
    """R6: a row a way to train and point (B, channels): accuracy and images recovered, in %, the
    best of five attacks. Only of the paper profile; empty where that is not stored."""
    rows = []
    points = settings.POINTS["paper"]
    for training in PUBLISHED_NAMES:
        table = five_attacks(sweeps, training)
        trained = sweeps.lenet_accuracy[training].shown(other=False)
        if table is None or trained is None:
            continue
        shares = tables.rates(table, [B for B, _ in points], list(settings.FIVE), "matching")
        rate = shares.set_index(["criterion", "best", "B"]).rate
        reached = accuracy_of(trained)
        for part, (B, channels) in enumerate(points):
            accuracies, lr = reached[B, channels]
            images = table[table.part == part]
            rows.append({
                "strategy": training, "B": B, "channels": channels,
                "accuracy": 100 * accuracies.mean(), "lr": lr,
                "AVD < 0.8": rate["AVD < 0.8", "by truth", B],
                "MSE < 0.01": rate["MSE < 0.01", "by truth", B],
                "AVD < 0.8, nearest gradient": rate["AVD < 0.8", "nearest gradient", B],
                "MSE < 0.01, nearest gradient": rate["MSE < 0.01", "nearest gradient", B],
                "clients": images.client.nunique(),
                "n": images.groupby(["client", "image"]).ngroups})
    return pd.DataFrame(rows)


def lenet_by_attack(sweeps: Plan) -> pd.DataFrame:
    """R6, each of the five attacks by itself: images recovered, in %."""
    rows = []
    for training in PUBLISHED_NAMES:
        table = five_attacks(sweeps, training)
        if table is None or sweeps.lenet_accuracy[training].shown(other=False) is None:
            continue
        for (part, attack), images in table.groupby(["part", "attack"]):
            B, channels = settings.POINTS["paper"][part]
            rows.append({"strategy": training, "B": B, "channels": channels,
                         "attack": settings.FIVE[attack],
                         "AVD < 0.8": 100 * tables.recovered(images, "AVD < 0.8").mean(),
                         "MSE < 0.01": 100 * tables.recovered(images, "MSE < 0.01").mean(),
                         "n": len(images)})
    return pd.DataFrame(rows)


def lenet_in_numbers(table: pd.DataFrame, numbers: pd.DataFrame) -> pd.DataFrame:
    """R6: published beside ours; recovered "by AVD / by MSE"."""
    rows = {}
    for training, name in PUBLISHED_NAMES.items():
        for B, channels in settings.POINTS["paper"]:
            point = f"({B},{channels})"
            published = [tables.published_number(numbers, "r6", name, f"{point}, {what}")
                         for what in ("recovery", "accuracy")]
            rows[training, point] = {
                "published: recovered, accuracy": ", ".join(map(report.show, published))}
    for row in table.to_dict("records"):
        by_truth = row["AVD < 0.8"], row["MSE < 0.01"]
        nearest = row["AVD < 0.8, nearest gradient"], row["MSE < 0.01, nearest gradient"]
        rows[row["strategy"], f"({row['B']},{row['channels']})"] |= {
            "best by truth": "{:.0f} / {:.0f}".format(*by_truth),
            "nearest gradient": "{:.0f} / {:.0f}".format(*nearest),
            "accuracy": f"{row['accuracy']:.1f} (lr {row['lr']:g})", "n": row["n"]}
    wide = pd.DataFrame(rows).T
    return wide.fillna("not computed").rename_axis(["strategy", "(B, channels)"])


# --- R7: LeNet by batch size and channels


def map_of(cell: Cell) -> pd.DataFrame:
    """A row a batch size and number of channels: images recovered, in %, by two criteria."""
    judged = cell.table.assign(**{
        criterion: 100.0 * tables.recovered(cell.table, criterion)
        for criterion in ("AVD < 0.8", "MSE < 0.01")})
    parts = judged.groupby("part")
    points = pd.DataFrame({"B": tables.batch_sizes_of(cell),
                           "channels": [config["victim"]["channels"] for config in cell.config]})
    rates = points.join(parts[["AVD < 0.8", "MSE < 0.01"]].mean())
    return rates.join(parts.size().rename("n"))


def maps_of(cells: dict[tuple[str, str], Cell]) -> pd.DataFrame:
    """R7: `map_of` of every image set and strategy, one below the other."""
    parts = []
    for (_, strategy), cell in cells.items():
        images = cell.config[0]["images"]["name"]
        parts.append(map_of(cell).assign(images=images, strategy=strategy))
    return pd.concat(parts)


def longer_in_words(cell: Cell | None) -> str:
    """What four times the iterations recover of single images of LFW (markdown)."""
    if cell is None:
        return "LFW: not computed."
    count = int(tables.recovered(cell.table, "MSE < 0.01").sum())
    return (
        "Nothing is recovered on LFW, from no strategy and not even from single images, so its "
        "panels say nothing about a defense: 600 iterations are too few there. With 2,400, "
        f"{count} of {cell.n} single images are (CE, random labels), median MSE "
        f"{cell.table.mse.median():.2g}.")


# --- noise beside mixing


def any_recovered(table: pd.DataFrame) -> float:
    """The share of images, in %, that at least one attack recovers by MSE < 0.01."""
    return 100 * tables.shares_by_client(table, "MSE < 0.01").mean()


def of_four(images: pd.DataFrame, names: list[str], span: pd.DataFrame) -> pd.DataFrame:
    """The rows of NOISE_ATTACKS and, numbered after them, of the attack in the span, of the clients
    that both were run on. names: of the attacks of `images`; span: the rows of that attack."""
    numbers = {names.index(name): number for number, name in enumerate(settings.NOISE_ATTACKS)}
    chosen = images[images.attack.isin(list(numbers))]
    chosen = chosen.assign(attack=chosen.attack.map(numbers))
    together = pd.concat([chosen, span.assign(attack=len(numbers))], ignore_index=True)
    both = set(chosen.client) & set(span.client)
    return together[together.client.isin(both)].drop(columns="part", errors="ignore")


def noisy_images(sweeps: Plan, strategy: str, variance: float) -> pd.DataFrame:
    """What the four attacks find under noise: `of_four`."""
    cells = sweeps.noisy[strategy].shown(), sweeps.noisy_span[strategy].shown()
    images, span = (cell.table[cell.table.part == variances_of(cell).index(variance)]
                    for cell in cells)
    return of_four(images, list(settings.NOISE_ATTACKS), span)


def variances_of(cell: Cell) -> list[float]:
    """The variance of the noise of each part."""
    return [config["defense"]["variance"] for config in cell.config]


def mixed_images(sweeps: Plan, strategy: str) -> pd.DataFrame:
    """What the four attacks find without noise at B = 4: `of_four`."""
    cell = sweeps.dense[strategy].shown()
    images = cell.table[cell.table.part == tables.batch_sizes_of(cell).index(4)]
    names = settings.attack_names(cell.profile, strategy)
    if "closed form" not in names:  # no such form behind the other losses
        images, names = images.assign(attack=images.attack + 1), ["closed form", *names]
    span = tables.known_labels(sweeps.adaptive[strategy, "one round"].shown(), 4)
    return of_four(images, names, span)


def under_noise(sweeps: Plan) -> pd.DataFrame:
    """A row a strategy and variance: accuracy, and what four attacks recover, in %."""
    rows = []
    for strategy, sweep in sweeps.noisy.items():
        cell = sweep.shown()
        trained = sweeps.noisy_accuracy[strategy.replace(", random labels", "")].shown()
        rates = [trained.config[part]["lr"] for part in trained.table.part]
        by_validation = trained.table.assign(lr=rates).sort_values("validation")
        best = by_validation.groupby("defense").last()
        for part, variance in enumerate(variances_of(cell)):
            images = noisy_images(sweeps, strategy, variance)
            row = {"strategy": strategy, "variance": variance,
                   "accuracy": 100 * best.accuracy.iloc[part], "lr": best.lr.iloc[part],
                   "any of the four": any_recovered(images), "clients": images.client.nunique()}
            for number, name in enumerate((*settings.NOISE_ATTACKS, settings.IN_SPAN)):
                share = tables.recovered(images[images.attack == number], "MSE < 0.01").mean()
                row[name] = 100 * share
            rows.append(row)
    return pd.DataFrame(rows)


def without_noise(sweeps: Plan, accuracy: pd.DataFrame) -> pd.DataFrame:
    """The mixtures at B = 4: the leading run's rows of `dense_accuracy`, with what the same four
    attacks recover of them, in % (column recovered)."""
    mixtures = tables.leading(accuracy)
    mixtures = mixtures[mixtures.B == 4].assign(recovered=0.0)
    for index, row in mixtures.iterrows():
        images = mixed_images(sweeps, settings.TRAINED_UNDER[row.strategy])
        mixtures.loc[index, "recovered"] = any_recovered(images)
    return mixtures
