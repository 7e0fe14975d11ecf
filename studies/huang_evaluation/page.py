"""The tables of notebook 05 as its page shows them: chosen columns, plain headings, few digits.

What is saved among the products is the whole table; what stands on the page is this.
"""

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from studies import report
from studies.huang_evaluation import settings
from studies.huang_evaluation.defense_tables import published
from studies.huang_evaluation.tables import PAPER

MEASURED = {"PSNR": "PSNR, dB", "std": "spread, dB", "best": "best, dB", "n": "images",
            "B": "batch size"}
KNOWN = {"exact": "exact", "proxy": "proxy", "inferred": "none", "none": "none",
         "exact, fixed": "exact, fixed", "proxy, fixed": "proxy, fixed",
         "client in eval mode": "client in eval mode"}
OTHER_SOURCES = (  # (what, value, where, certainty)
    ("settings of attack, defenses and decoding", "–", "official code at 802f230", "read"),
    ("abstract: statistics and labels, combinations, minor utility loss", "–",
     "abstract, arXiv 2112.00059", "read"),
    ("attack networks of one or two epochs", "–", "official code, issue 1, the author", "read"))


def table(rows: pd.DataFrame, columns: dict[str, str], **formats: str) -> Styler:
    """`report.table` of the columns that are named, under the headings given."""
    present = {column: heading for column, heading in columns.items() if column in rows}
    return report.table(rows[list(present)].rename(columns=present), **formats)


def baselines(guessed: pd.DataFrame) -> Styler:
    """What guesses score that needed no gradient, of `tables.baselines`."""
    columns = {"guess": "guess", "psnr": "PSNR, dB", "ssim": "SSIM", "avd": "AVD",
               "psnr, nearest original of a batch of 16": "PSNR, nearest of 16, dB"}
    return table(guessed.reset_index(), columns)


def statistics(fig1: pd.DataFrame) -> Styler:
    """Figure 1 in numbers, of `tables.statistics`."""
    rows = fig1.reset_index()
    rows["statistics"] = rows.statistics.map(KNOWN)
    return table(rows, {"B": "batch size", "statistics": "known"} | MEASURED | {"SSIM": "SSIM"})


def weights(by_weight: pd.DataFrame) -> Styler:
    """Single images at each weight of the prior on statistics, of `tables.statistics_weights`."""
    rows = by_weight.assign(weight=[f"{weight:g}" for weight in by_weight.weight])
    columns = {"statistics": "known", "weight": "weight", "PSNR, dB": "PSNR, dB",
               "best": "best, dB", "SSIM": "SSIM", "AVD": "AVD", "n": "images"}
    return table(rows[rows.B == 1], columns)


def weights_of_batches(by_weight: pd.DataFrame) -> Styler:
    """The same of batches."""
    rows = by_weight.assign(weight=[f"{weight:g}" for weight in by_weight.weight])
    columns = {"B": "batch size", "statistics": "known", "weight": "weight",
               "PSNR, dB": "PSNR, dB", "best": "best, dB", "n": "images"}
    return table(rows[rows.B > 1], columns)


def labels(fig2: pd.DataFrame) -> Styler:
    """Figure 2 in numbers, of `tables.labels`."""
    columns = {"labels of the batch": "labels of the batch", "labels": "attacker's labels",
               "B": "batch size", "PSNR": "PSNR, dB",
               "labels read right, %": "read right, %", "by chance, %": "by chance, %",
               "n": "images"}
    return table(fig2, columns)


def full(at_full: pd.DataFrame) -> Styler:
    """The paper's iterations, of `arms.full_table`: all networks in one column."""
    networks = [name for name in at_full if name.startswith("network ")]
    levels = [", ".join(f"{level:.1f}" for level in row if not np.isnan(level))
              for row in at_full[networks].to_numpy(float)]
    rows = at_full.assign(levels=levels)
    columns = {"condition": "defense", "levels": "each network's mean PSNR, dB",
               "mean": "mean, dB", "std": "spread of networks, dB", "images": "images"}
    return table(rows, columns)


def defenses(leak: pd.DataFrame, accuracy: dict[str, pd.Series]) -> Styler:
    """The table of defenses on single images: accuracy beside what the strongest attacker gets."""
    numbers = report.published(PAPER)
    of_single, rows = leak[leak.B == 1].set_index("defense"), []
    for defense in settings.DEFENSES:
        row = {"defense": defense, "accuracy, %": np.nan}
        if defense in accuracy:
            row["accuracy, %"] = 100 * accuracy[defense].mean()
        row["published†, %"] = published(numbers, defense, "test accuracy").value
        if defense in of_single.index:
            recovered = of_single.loc[defense]
            row |= {"PSNR, dB": f"{recovered.PSNR:.1f} ± {recovered['std']:.1f}",
                    "best, dB": recovered.best, "SSIM": recovered.SSIM}
        row["LPIPS published†"] = published(numbers, defense, "B=1 average").value
        rows.append(row)
    return report.table(pd.DataFrame(rows), **{"published†, %": "{:.1f}", "SSIM": "{:.2f}",
                                               "LPIPS published†": "{:.2f}"})


def defenses_more(leak: pd.DataFrame, slower: dict[str, pd.Series]) -> Styler:
    """The rest of that table: training time, and batches."""
    numbers = report.published(PAPER)
    large = max(leak.B)
    batches, single = leak[leak.B == large].set_index("defense"), leak[leak.B == 1]
    avd, rows = single.set_index("defense").AVD, []
    for defense in settings.DEFENSES:
        row = {"defense": defense}
        if defense in slower:
            turns = slower[defense]
            row["time of an epoch"] = \
                f"{turns.median():.2f} ({turns.min():.2f} to {turns.max():.2f})"
        row["published†"] = published(numbers, defense, "training time").value
        row["AVD, single"] = avd.get(defense, np.nan)
        if defense in batches.index:
            of_batch = batches.loc[defense]
            levels = f"{of_batch.PSNR:.1f} ± {of_batch['std']:.1f}"
            row |= {f"PSNR in batches of {large}, dB": levels,
                    f"SSIM in batches of {large}": of_batch.SSIM,
                    f"AVD in batches of {large}": of_batch.AVD}
        rows.append(row)
    return report.table(pd.DataFrame(rows))


def adaptive(adapted: pd.DataFrame) -> Styler:
    """Plain and adaptive attackers, of `defense_tables.adaptive`."""
    columns = {"defense": "defense", "attacker": "attacker"} | MEASURED | {
        "SSIM": "SSIM", "won back": "won back"}
    del columns["std"]
    return table(adapted, columns, **{"won back": "{:.0%}", "SSIM": "{:.2f}"})


def masked(adapted: pd.DataFrame) -> Styler:
    """Of `defense_tables.adaptive`: pruning alone, a row a share that is cut."""
    pruned = adapted[adapted.defense.str.match(r"GradPrune [0-9.]+$")]
    rows = pruned.pivot(index="defense", columns="attacker", values="PSNR")
    won = pruned[pruned.attacker == "masked"].set_index("defense")["won back"]
    rows = rows.assign(won=won, n=pruned.groupby("defense").n.first()).reset_index()
    columns = {"defense": "defense", "plain": "plain attacker, dB",
               "masked": "attacker who skips zeros, dB", "won": "won back", "n": "images"}
    return table(rows, columns, **{"won back": "{:.0%}"})


def matching_rules(rules: pd.DataFrame) -> Styler:
    """PSNR by how reconstructions are matched, of `defense_tables.matching_rules`."""
    mixed = rules["the encoding, against what was fed"].notna()
    columns = {"defense": "defense", "B": "batch size", "one to one": "one to one",
               "nearest original": "nearest original",
               "the encoding, against what was fed": "encoding, against what was fed",
               "decoded, in its place": "decoded, in its place", "n": "images"}
    return table(rules[(rules.B > 1) | mixed], columns)


def cost(counted: pd.DataFrame) -> Styler:
    """Operations of a step, of `defense_tables.operations`."""
    columns = {"width": "width", "B": "batch size", "parameters": "parameters",
               "GFLOP, one step": "GFLOP, one step", "step / forward": "step / forward",
               "TFLOP, one image, 10,000 steps": "TFLOP, one image",
               "TFLOP, 20 epochs of 50 encodings": "TFLOP, 20 epochs of 50 encodings"}
    return table(counted, columns, parameters="{:,}")


def cost_by_defense(rows: pd.DataFrame) -> Styler:
    """Of `defense_tables.cost_by_defense`."""
    columns = {"defense": "defense", "seconds an image, here": "seconds an image, here",
               "reconstructions for the first image": "reconstructions for the first image",
               "for each of the 50": "for each of the 50",
               "TFLOP an image, extrapolated": "TFLOP an image, extrapolated"}
    return table(rows, columns)


def live(rows: pd.DataFrame) -> Styler:
    """Of `defense_tables.live`."""
    columns = {"defense": "defense", "B": "batch size", "PSNR, dB": "PSNR, dB",
               "best": "best, dB", "SSIM": "SSIM", "AVD": "AVD", "n": "images"}
    return table(rows, columns)


def fading(faded: pd.DataFrame) -> Styler:
    """PSNR by the epochs of training, of `tables.fading`."""
    return table(faded.reset_index(), {
        "epochs": "epochs of training", "mean": "PSNR, dB", "std": "spread, dB",
        "max": "best, dB", "size": "images"})


def indexed(rows: pd.DataFrame) -> Styler:
    """A table whose named index is its first column, `n` under its plain heading."""
    return report.table(rows.rename(columns={"n": "images", "best": "best, dB"}))


def dpsgd(rows: pd.DataFrame) -> Styler:
    """Of `defense_tables.dpsgd`."""
    columns = {"noise multiplier": "noise multiplier",
               "epsilon (delta 1e-5)": "epsilon at delta 1e-5", "accuracy, %": "accuracy, %",
               "PSNR, dB": "PSNR, dB", "best": "best, dB", "SSIM": "SSIM", "n": "images"}
    shown = rows.replace({"epsilon (delta 1e-5)": {"inf": "∞"}})
    return table(shown, columns, **{"noise multiplier": "{:g}"})


def strategies(rows: pd.DataFrame) -> Styler:
    """Of `claims.strategies`."""
    columns = {"strategy": "strategy", "whose": "whose", "cell": "compared",
               "PSNR without against with it": "PSNR in dB, without against with it",
               "accuracy with it, %": "accuracy with it, %", "supported": "supported"}
    return table(rows, columns)


def sources() -> Styler:
    """Where every published number on the page comes from, and how sure it is."""
    numbers = report.published(PAPER)
    rows = []
    for (column, source, certainty), part in numbers.groupby(
            ["column", "source", "certainty"], sort=False):
        value = f"{part.value.min():g} to {part.value.max():g}"
        name = f"LPIPS, {column}" if column.startswith("B=") else column
        rows.append((f"{name}, {len(part)} rows", value, source, certainty))
    headings = ["number", "values", "where", "certainty"]
    return report.table(pd.DataFrame([*rows, *OTHER_SOURCES], columns=headings))
