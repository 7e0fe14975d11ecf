"""Tables of notebook 05 on defenses: what each attacker recovers, what a defense and an attack
cost, differential privacy.

Of each defense the strongest attacker counts who does not know the keys. Published numbers are the
paper's table of defenses, recalled.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from lib import defenses
from studies.cells import Cell
from studies.huang_evaluation import settings
from studies.huang_evaluation.plan import Plan
from studies.huang_evaluation.tables import profile_of, shown, summary

STEPS = 10_000          # iterations of the official code for one batch of images [read]
DECODING_EPOCHS = 20    # of encodings that its example of decoding inverts [read]
ATTACK_SET = 50         # images, all of which decoding needs


class Attacker(NamedTuple):
    """What an attacker recovers under a defense."""

    name: str               # "plain", "masked", "decodes" or "masked, decodes"
    cell: Cell
    pictures: str           # the array of the cell that holds the recovered images
    scores: pd.DataFrame    # psnr (dB), ssim and avd: a row an image


def attackers(sweeps: Plan, defense: str, B: int = 1) -> dict[str, Attacker]:
    """Each attacker that was run under a defense, by name; none without the plain one."""
    plain = shown(sweeps, sweeps.privacy[defense, B])
    if plain is None:
        return {}
    cells = {"plain": plain}
    if (defense, B) in sweeps.masked:
        cells["masked"] = shown(sweeps, sweeps.masked[defense, B])
    known = {}
    for name, cell in cells.items():
        if cell is None:
            continue
        known[name] = Attacker(name, cell, "guesses", cell.table[["psnr", "ssim", "avd"]])
        if "decoded_psnr" in cell.table:
            decoder = "decodes" if name == "plain" else f"{name}, decodes"
            known[decoder] = Attacker(decoder, cell, "decoded", decoded_scores(cell))
    return known


def decoded_scores(cell: Cell) -> pd.DataFrame:
    """The scores of an attacker who knows the keys: columns psnr, ssim and avd."""
    metrics = ["psnr", "ssim", "avd"]
    return cell.table[[f"decoded_{metric}" for metric in metrics]].set_axis(metrics, axis=1)


def strongest(sweeps: Plan, defense: str, B: int = 1) -> Attacker | None:
    """The attacker with the highest mean PSNR who does not know the keys, or None."""
    candidates = [attacker for name, attacker in attackers(sweeps, defense, B).items()
                  if "decodes" not in name]
    return max(candidates, key=lambda attacker: attacker.scores.psnr.mean(), default=None)


def large_batch(sweeps: Plan) -> int:
    """The batch size that stands beside 1: the paper's 16, or 4 where that is not stored."""
    return 16 if sweeps.privacy["None", 16].stored() is not None else 4


def published(numbers: pd.DataFrame, defense: str, column: str) -> pd.Series:
    """A number of the paper's table of defenses, a row of `report.published`."""
    of_table = numbers[numbers.float == "defenses"]
    return of_table[(of_table["row"] == defense) & (of_table.column == column)].iloc[0]


# --- the table of defenses


def leakage(sweeps: Plan) -> pd.DataFrame:
    """What is recovered: a row a defense and batch size, with each attacker's mean PSNR (dB)."""
    stored = sweeps.privacy["None", 1].stored() is not None
    sizes = settings.BATCHES["paper" if stored else sweeps.profile]
    rows = []
    for defense in settings.DEFENSES:
        for B in sizes:
            best = strongest(sweeps, defense, B)
            if best is not None:
                rows.append(_leakage_row(best, attackers(sweeps, defense, B), defense, B))
    return pd.DataFrame(rows)


def _leakage_row(best: Attacker, known: dict[str, Attacker], defense: str, B: int) -> dict:
    scores, plain = best.scores, known["plain"].cell.table
    mean = {name: attacker.scores.psnr.mean() for name, attacker in known.items()}
    encoding = plain.encoding_psnr.mean() if "encoding_psnr" in plain else np.nan
    return {"defense": defense, "B": B, "attacker": best.name, "PSNR": scores.psnr.mean(),
            "std": scores.psnr.std(), "best": scores.psnr.max(), "SSIM": scores.ssim.mean(),
            "AVD": scores.avd.mean(), "plain": mean["plain"],
            "masked": mean.get("masked", np.nan), "decodes": mean.get("decodes", np.nan),
            "nearest": plain.nearest_psnr.mean(), "encoding": encoding, "n": len(scores),
            "run": profile_of(best.cell)}


def accuracies(sweeps: Plan) -> dict[str, pd.Series]:
    """Test accuracy, a share, of the victims trained under a defense; those that are shown."""
    trained = {}
    for name, sweep in sweeps.accuracy.items():
        cell = shown(sweeps, sweep)
        if cell is not None:
            trained[name] = cell.table.accuracy
    return trained


def times_slower(sweeps: Plan) -> dict[str, pd.Series]:
    """How many times as long an epoch takes under a defense as without: a value a turn."""
    cell = shown(sweeps, sweeps.training_time)
    if cell is None:
        return {}
    turns = cell.table.pivot(index="repeat", columns="defense", values="seconds")
    return {defense: turns[i] / turns[0] for i, defense in enumerate(settings.DEFENSES)
            if i in turns}


def with_accuracy(leak: pd.DataFrame, accuracy: dict[str, pd.Series]) -> pd.DataFrame:
    """`leakage` with the mean accuracy (%) of the victims trained under the defense."""
    means = [100 * accuracy[defense].mean() if defense in accuracy else np.nan
             for defense in leak.defense]
    return leak.assign(accuracy=means)


def live(sweeps: Plan) -> pd.DataFrame:
    """What a run of the quick profile computed itself of the table of defenses."""
    rows = []
    for (defense, B), sweep in sweeps.privacy.items():
        cell = sweep.here() if sweeps.profile == "quick" else None
        if cell is not None:
            rows.append({"defense": defense, "B": B} | summary(cell))
    return pd.DataFrame(rows)


def matching_rules(leak: pd.DataFrame) -> pd.DataFrame:
    """Mean PSNR (dB) of plain attacks by how a reconstruction is matched to an original; with
    mixing also of the encoding and of the decoded image."""
    columns = {"plain": "one to one", "nearest": "nearest original",
               "encoding": "the encoding, against what was fed",
               "decodes": "decoded, in its place"}
    return leak[["defense", "B", *columns, "n"]].rename(columns=columns)


def adaptive(sweeps: Plan) -> pd.DataFrame:
    """Plain and adaptive attackers of single images, where a defense has more than one.

    won back: of what the defense took from the plain attacker, in dB, the share that this one
    gets back."""
    undefended = shown(sweeps, sweeps.privacy["None", 1]).table.psnr.mean()
    rows = []
    for defense in settings.DEFENSES:
        known = attackers(sweeps, defense)
        four = sweeps.four_epochs[defense].stored() if defense in sweeps.four_epochs else None
        if four is not None:
            known["decodes, four epochs"] = Attacker(
                "decodes, four epochs", four, "decoded", decoded_scores(four))
        if len(known) < 2:
            continue
        plain = known["plain"].scores.psnr.mean()
        for name, attacker in known.items():
            psnr, won = attacker.scores.psnr, np.nan
            if name != "plain":
                won = (psnr.mean() - plain) / (undefended - plain)
            rows.append({
                "defense": defense, "attacker": name, "PSNR": psnr.mean(), "std": psnr.std(),
                "best": psnr.max(), "SSIM": attacker.scores.ssim.mean(), "won back": won,
                "n": len(psnr), "run": profile_of(attacker.cell)})
    return pd.DataFrame(rows)


# --- what an attack costs


def operations(sweeps: Plan) -> pd.DataFrame:
    """Operations of one step of the attack, a row a network and batch size, and what they make for
    one image at the official number of steps."""
    table = sweeps.operations.here().table
    all_steps = table.step / table.B * STEPS  # of an image
    cost = table.assign(**{
        "GFLOP, one step": table.step / 1e9, "step / forward": table.step / table.forward,
        "TFLOP, one image, 10,000 steps": all_steps / 1e12,
        "TFLOP, 20 epochs of 50 encodings": all_steps * DECODING_EPOCHS * ATTACK_SET / 1e12})
    return cost[["width", "B", "parameters", "GFLOP, one step", "step / forward",
                 "TFLOP, one image, 10,000 steps", "TFLOP, 20 epochs of 50 encodings"]]


def cost_by_defense(sweeps: Plan) -> pd.DataFrame:
    """Single images: seconds here, and operations extrapolated to the official code's steps,
    network and number of reconstructions.

    Decoding inverts all images of twenty epochs before it has the first."""
    table = sweeps.operations.here().table
    steps = table[(table.width == 64) & (table.B == 1)].step
    rows = []
    for step in steps:
        for defense in settings.FIRST:
            cell = shown(sweeps, sweeps.privacy[defense, 1])
            if cell is None:
                continue
            first, each = 1, 1
            if "MixUp" in defense or "InstaHide" in defense:
                first, each = DECODING_EPOCHS * ATTACK_SET, DECODING_EPOCHS
            rows.append({
                "defense": defense, "seconds an image, here": float(cell.table.seconds.mean()),
                "iterations, here": cell.config[0]["attack"]["iterations"],
                "reconstructions for the first image": first, "for each of the 50": each,
                "TFLOP an image, extrapolated": STEPS * each * float(step) / 1e12})
    return pd.DataFrame(rows)


def timings(sweeps: Plan, slower: dict[str, pd.Series]) -> pd.DataFrame:
    """Seconds of an attack an image, a row a defense and batch size, and how many times as long an
    epoch of training takes (of `times_slower`)."""
    rows = []
    for (defense, B), sweep in sweeps.privacy.items():
        cell = shown(sweeps, sweep)
        if cell is None:
            continue
        times = slower[defense].median() if defense in slower else np.nan
        rows.append({
            "defense": defense, "B": B, "seconds an image": float(cell.table.seconds.mean()),
            "iterations": cell.config[0]["attack"]["iterations"], "device": cell.device,
            "training time, times none": times})
    return pd.DataFrame(rows)


# --- differential privacy


def dpsgd(sweeps: Plan) -> pd.DataFrame:
    """DP-SGD: a row a noise multiplier, with the budget of the training, its accuracy where it is
    computed, and the attack on an update of one image; stored cells."""
    attacked = {0: sweeps.privacy["None", 1]} | sweeps.dpsgd
    trained = {0: sweeps.accuracy["None"]} | sweeps.accuracy_dpsgd
    rows = []
    for noise, sweep in attacked.items():
        cell, victims = sweep.stored(), trained[noise].stored()
        if cell is None:
            continue
        accuracy = np.nan
        if victims is not None:
            accuracy = round(100 * victims.table.accuracy.mean(), 1)
        rows.append({
            "noise multiplier": noise if noise else "none, no clipping",
            "epsilon (delta 1e-5)": f"{_budget(noise):.3g}", "accuracy, %": accuracy,
            "batch attacked": cell.config[0]["batch_size"]} | summary(cell))
    return pd.DataFrame(rows)


def _budget(noise: float) -> float:
    """Epsilon at delta 1e-5 of a training by the recipe of the paper profile."""
    if not noise:
        return np.inf
    recipe = settings.RECIPE["paper"]
    batches = -(-settings.TRAINED_ON // recipe["batch_size"])  # of an epoch
    defense = defenses.DPSGD(settings.CLIP, noise, recipe["batch_size"])
    return defense.epsilon(settings.TRAINED_ON, recipe["epochs"] * batches)
