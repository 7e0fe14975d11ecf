"""Tables of notebook 05: which cell is shown, and what was found of statistics and labels.

The tables of defenses are in `defense_tables`. Measured levels are PSNR in dB, SSIM, and AVD.
"""

import numpy as np
import pandas as pd

from lib import attacks
from studies import choose
from studies.cells import Cell
from studies.huang_evaluation import settings
from studies.huang_evaluation.plan import Plan
from studies.store import Sweep

PAPER = "huang2021"
NEEDS_GPU = "not computed: needs a GPU"
NOT_YET = "not computed yet: `make plan NB=05_huang_evaluation PROFILE=paper`"


def shown(sweeps: Plan, sweep: Sweep) -> Cell | None:
    """The cell of a sweep that a page shows, or None: a table never mixes both profiles.

    Sweeps that stand together in tables are a group (`Plan.groups`), whose first sweep decides for
    all, while in `choose` every sweep decides for itself. Where that one is stored, each is shown
    as the paper profile stored it, or not at all (a run of that profile computes before what it
    can); where it is not, each is shown as this run has it, or not at all. A sweep of another
    seed is not stored, though accuracies are, which have seeds of their own: so no single stored
    sweep may decide for itself."""
    group = next(group for group in sweeps.groups() if sweep in group)
    if group[0].stored() is not None:
        return sweep.shown(other=False)
    return sweep.here()


def profile_of(cell: Cell) -> str:
    """Whose numbers a row holds, in words."""
    return "paper profile, stored" if cell.profile == "paper" else f"{cell.profile} profile"


def summary(cell: Cell) -> dict[str, object]:
    """Mean ± standard deviation, and the best, of PSNR (dB); mean SSIM and AVD; images."""
    table = cell.table
    return {"PSNR, dB": f"{table.psnr.mean():.1f} ± {table.psnr.std():.1f}",
            "best": f"{table.psnr.max():.1f}", "SSIM": f"{table.ssim.mean():.2f}",
            "AVD": f"{table.avd.mean():.2f}", "n": len(table)}


def mid_grey(sweeps: Plan) -> np.ndarray:
    """PSNR in dB of a flat mid-grey against each image of the attack set (n,)."""
    table = shown(sweeps, sweeps.baselines).table
    return table[table.guess == "mid-grey"].psnr.to_numpy()


def settings_in_words() -> pd.DataFrame:
    """The settings of both profiles, and what was reduced."""
    trained_on = f"{settings.TRAINED_ON:,} images (all that are at hand of 50,000), 10 epochs at " \
        "one learning rate, three seeds of a ResNet of depth 8 (official code: up to 200 epochs)"
    rows = {
        "images": ("photos (16x16 crops)",
                   "CIFAR-10, the first five images of each class (training split)"),
        "victim": ("pre-activation ResNet, width 8, 2 blocks, 2 epochs",
                   "LeNet, with BatchNorm in Figure 1, 2 epochs (paper: pre-activation ResNet-18)"),
        "attack": ("100 iterations, n = 8",
                   "2,400 iterations (paper: 10,000), n = 50; Figure 1: 24 to 32"),
        "claims on several networks": (
            "–", "LeNet, 16 images each, 10,000 iterations; five where stored"),
        "given": ("labels, exact statistics",
                  "labels (LeNet has no statistics but in Figure 1)"),
        "weights": ("TV 0.1, statistics 0.005 (the official example's)",
                    "TV 0.01 (Inverting Gradients' for LeNet), statistics 0.005 in Figure 1"),
        "batch sizes": ("1, 4", "1, 16, 32 (whole batches of the 50 images)"),
        "accuracy": ("510 crops, 8 epochs, one seed", trained_on),
        "ResNet-18": ("–", f"{NEEDS_GPU} (2,000 iterations, n = 16)")}
    return pd.DataFrame(rows, index=["quick", "paper"]).T.rename_axis("setting")


def baselines(sweeps: Plan) -> pd.DataFrame:
    """What guesses score that needed no gradient: means, a row a guess."""
    by_guess = shown(sweeps, sweeps.baselines).table.groupby("guess", sort=False)
    means = by_guess[["psnr", "ssim", "avd", "nearest_psnr"]].mean().round(2)
    return means.rename(columns={"nearest_psnr": "psnr, nearest original of a batch of 16"})


def assumptions() -> pd.DataFrame:
    """Table 1: what each attack is given, read off its preset, beside what the official repository
    says of it."""
    presets = {
        "DLG": attacks.dlg(), "iDLG": attacks.idlg(),
        "Inverting Gradients": attacks.inverting_gradients(),
        "Mixing gradients": attacks.mixing_gradients(orthogonality=1e-2, tv=1e-3),
        "this paper's": attacks.huang(), "this paper's, nothing given": attacks.huang(bn=0)}
    official = {"DLG": "none", "iDLG": "none",
                "Inverting Gradients": "BN statistics + private labels"}
    rows = {}
    for name, preset in presets.items():
        said = {"official repository": official.get(name, "–")}
        rows[name] = said | attacks.assumptions(preset)
    return pd.DataFrame(rows).T.fillna("–").rename_axis("attack")


# --- Figure 1: the statistics


def statistics_images(sweeps: Plan) -> pd.DataFrame:
    """Figure 1: a row an image, with what is known of the statistics; empty where none is shown."""
    parts = []
    for (known, B), sweep in sweeps.statistics.items():
        cell = shown(sweeps, sweep)
        if cell is not None:
            scores = cell.table[["psnr", "ssim"]].astype(float)
            parts.append(scores.assign(statistics=known, B=B))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame()


def statistics(images: pd.DataFrame) -> pd.DataFrame:
    """Figure 1 as a table: a row a batch size and setting, of `statistics_images`."""
    by_setting = images.groupby(["B", "statistics"], sort=False)
    return by_setting.agg(PSNR=("psnr", "mean"), std=("psnr", "std"), best=("psnr", "max"),
                          SSIM=("ssim", "mean"), n=("psnr", "size"))


def statistics_by_weight(sweeps: Plan, B: int = 1) -> dict[tuple[str, float], Cell]:
    """The stored cells of one batch size by what is known and the weight of the prior on it."""
    by_weight = {("none", 0.0): sweeps.statistics["inferred", B],
                 ("exact", 0.005): sweeps.statistics["exact", B],
                 ("proxy", 0.005): sweeps.statistics["proxy", B]}
    for (known, weight, size), sweep in sweeps.statistics_weights.items():
        if size == B:
            by_weight[known, weight] = sweep
    return choose.stored_of(by_weight)


def statistics_weights(sweeps: Plan) -> pd.DataFrame:
    """Figure 1 at other weights of the prior: a row a batch size, setting and weight; stored."""
    rows = []
    for B in (1, 16):
        for (known, weight), cell in sorted(statistics_by_weight(sweeps, B).items()):
            rows.append({"B": B, "statistics": known, "weight": weight} | summary(cell))
    return pd.DataFrame(rows)


def best_weight(sweeps: Plan, known: str) -> Cell | None:
    """The cell of single images at the weight that is best for what is known ("exact", "proxy" or
    "none") on every other image, from the first: those are not to be tested on. None where no cell
    is stored."""
    cells = statistics_by_weight(sweeps).items()
    candidates = [cell for (setting, _), cell in cells if setting == known]
    return max(candidates, key=lambda cell: cell.table.psnr[::2].mean(), default=None)


# --- Figure 2: the labels


def labels(sweeps: Plan) -> pd.DataFrame:
    """Figure 2: a row a composition of the batch's labels, given or optimised."""
    rows = []
    for (composition, known), sweep in sweeps.labels.items():
        cell = shown(sweeps, sweep)
        if cell is not None:
            B = cell.config[0]["batch_size"]
            chance = right_by_chance(composition, B)
            how = "given" if known == "known" else "optimised"
            rows.append(_labels_row(composition, how, B, cell, chance))
    optimised = shown(sweeps, sweeps.one_label_unknown)
    if optimised is not None:
        given = shown(sweeps, sweeps.privacy["None", 1])
        for how, cell in (("given", given), ("optimised", optimised)):
            rows.append(_labels_row("one image", how, 1, cell, 10.0))
    return pd.DataFrame(rows)


def _labels_row(composition: str, how: str, B: int, cell: Cell, chance: float) -> dict:
    table = cell.table
    return {"labels of the batch": composition, "labels": how, "B": B, "PSNR": table.psnr.mean(),
            "std": table.psnr.std(), "best": table.psnr.max(),
            "labels read right, %": 100 * table.labels_right.mean(), "by chance, %": chance,
            "n": len(table)}


def right_by_chance(composition: str, B: int, classes: int = 10, draws: int = 4000) -> float:
    """Per cent of a batch's labels, as a set with repetition, that labels drawn at random get
    right (by `draws` draws)."""
    of_batch = {"all different": np.arange(B) % classes, "two labels": np.arange(B) % 2,
                "all equal": np.zeros(B, int)}[composition]
    counts = np.bincount(of_batch, minlength=classes)
    drawn = np.random.default_rng(0).multinomial(B, [1 / classes] * classes, draws)
    return 100 * np.minimum(drawn, counts).sum(1).mean() / B


# --- what was reduced, other victims, training


def reductions(sweeps: Plan) -> pd.DataFrame:
    """What was reduced, and what it does: stored attacks on single images without a defense."""
    reduced = {
        "LeNet, 2,400 iterations": sweeps.privacy["None", 1],
        "LeNet, 10,000 iterations": sweeps.longer,
        "pre-activation ResNet-18, width 8, 1,000 iterations": sweeps.narrow,
        "pre-activation ResNet-18, width 64, 2,000 iterations": sweeps.privacy_wide["None", 1]}
    rows = {}
    for what, sweep in reduced.items():
        cell = sweep.stored()
        if cell is None:
            rows[what] = {"PSNR, dB": NEEDS_GPU if sweep.gpu else "not computed"}
        else:
            rows[what] = summary(cell)
    return pd.DataFrame(rows).T.fillna("–").rename_axis("B = 1, no defense")


def other_victims(sweeps: Plan) -> pd.DataFrame:
    """Single images without a defense: a row a victim, with its test accuracy."""
    victims = {"BatchNorm, statistics exact": sweeps.statistics["exact", 1],
               "BatchNorm, statistics inferred": sweeps.statistics["inferred", 1]}
    rows = {}
    for name, sweep in (victims | sweeps.other_victims).items():
        cell = shown(sweeps, sweep)
        if cell is not None:
            accuracy = f"{100 * cell.table.victim_accuracy.iloc[0]:.0f} %"
            rows[name] = summary(cell) | {"accuracy": accuracy}
    return pd.DataFrame(rows).T.rename_axis("victim")


def fading_cells(sweeps: Plan) -> dict[int, Cell]:
    """The cells of one profile by the epochs that their victims were trained for: the stored ones
    where more than two are, else those that are shown of this run's."""
    cells = choose.stored_of({
        epochs: sweeps.fading[epochs] for epochs in settings.EPOCHS["paper"]})
    if len(cells) > 2:
        return cells
    cells = {}
    for epochs in settings.EPOCHS[sweeps.profile]:
        cell = shown(sweeps, sweeps.fading[epochs])
        if cell is not None:
            cells[epochs] = cell
    return cells


def fading_images(cells: dict[int, Cell]) -> pd.DataFrame:
    """How the attack fades: a row an image, with the epochs and test accuracy of its victim."""
    rows = []
    for epochs, cell in cells.items():
        accuracy = np.nan
        if "victim_accuracy" in cell.table:
            accuracy = cell.table.victim_accuracy.iloc[0]
        for psnr in cell.table.psnr:
            rows.append({"epochs": epochs, "PSNR": psnr, "accuracy": accuracy})
    return pd.DataFrame(rows, columns=["epochs", "PSNR", "accuracy"])


def fading(images: pd.DataFrame) -> pd.DataFrame:
    """PSNR in dB by the epochs of training, of `fading_images`."""
    return images.groupby("epochs").PSNR.agg(["mean", "std", "max", "size"]).round(2)
