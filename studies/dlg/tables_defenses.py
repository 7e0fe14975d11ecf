"""Figure 7 and Table 3 in numbers: what a defense hides, and what it costs."""

import re
from collections.abc import Collection
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from lib import metrics
from studies import choose
from studies.cells import Cell
from studies.dlg import tables
from studies.dlg.settings import DEFENSES
from studies.dlg.tables import RECOVERED, VISIBLE
from studies.store import Sweep

# What hides an image, by three criteria; none was chosen on these images. The paper judges by eye
DEFENDED = 0.8  # AVD above it (Eloul et al. 2022); a flat grey passes it too, see notebook 06
ALIKE = 0.5  # SSIM above which an image is recovered in notebook 06
ON_THE_PAGE = (  # the defenses of the short table; all of them stand in the appendix
    "none", "Gaussian 1e-04", "Gaussian 1e-03", "Gaussian 1e-02", "float16", "int8", "pruned 10%",
    "pruned 20%", "pruned 30%", "pruned 70%")
CRITERIA = ("AVD > 0.8", "MSE > 0.01", "SSIM < 0.5")


def attacked(sweep: Sweep, first: str = "paper") -> Cell:
    """The cell of Figure 7 that a page shows, as `Sweep.shown` chooses it, with the scores of
    `viewed`. Raises FileNotFoundError where there is none."""
    cell = sweep.shown(first)
    if cell is None:
        raise FileNotFoundError("Figure 7 needs its stored cells or CIFAR-10: give DATA_ROOT")
    return viewed(cell)


def viewed(cell: Cell) -> Cell:
    """The cell with AVD, SSIM and `seen_mse` of its images as one would look at them: clipped to
    [0, 1], 8 bits."""
    images, truth = (torch.tensor(states, dtype=torch.float32) / 255 for states in (
        cell.arrays["states"][:, -1, 0], cell.arrays["truth"][:, 0]))
    scores = {"avd": metrics.avd(images, truth), "ssim": metrics.ssim(images, truth),
              "seen_mse": metrics.mse(images, truth)}
    return replace(cell, table=cell.table.assign(
        **{name: score.numpy() for name, score in scores.items()}))


def hidden(attacks: Cell) -> dict[str, dict[str, pd.Series]]:
    """Defense -> criterion -> whether it hides the image, by client: of the clients whose image the
    same attack shows, by that criterion, without a defense. attacks: as `viewed` gives them.

    An attack that fails anyhow says nothing of a defense."""
    table = attacks.table.set_index("client")
    passed = pd.DataFrame(
        {"AVD > 0.8": table.avd > DEFENDED, "MSE > 0.01": table.seen_mse > VISIBLE,
         "SSIM < 0.5": table.ssim < ALIKE})
    names = defense_names(attacks)
    without = passed[names == "none"]
    by_defense = {}
    for name in dict.fromkeys(names):
        under = passed[names == name]
        both = without.loc[without.index.isin(under.index)]  # some defenses have more clients
        by_defense[name] = {
            criterion: under.loc[both.index[~both[criterion]], criterion]
            for criterion in CRITERIA}
    return by_defense


def in_most(by_criterion: dict[str, pd.Series]) -> str:
    """Whether most images are hidden: "defends" or "does not", where all criteria say so, else
    "criteria disagree"."""
    most = {bool(images.mean() > 0.5) for images in by_criterion.values()}
    if len(most) > 1:
        return "criteria disagree"
    return "defends" if True in most else "does not"


def defense_names(cell: Cell) -> np.ndarray:
    """(n,) for each row of a cell the name that `DEFENSES` gives to its defense."""
    called = {_key(defense): name for name, defense in DEFENSES.items()}
    names = []
    for part, number in zip(cell.table.part, cell.table.defense, strict=True):
        names.append(called[_key(cell.config[part]["defense"][number])])
    return np.array(names)


def _key(defense: dict | None) -> str:
    return str(sorted((defense or {}).items()))


def accuracies(victims: Cell) -> dict[str, pd.Series]:
    """Test accuracies of the victims trained under each defense."""
    by_name = victims.table.assign(name=defense_names(victims)).groupby("name")
    return {name: rows.accuracy for name, rows in by_name}


def learned(sweeps: dict[str, Sweep]) -> dict[str, pd.Series]:
    """The same of the network that learns: test accuracies by defense, of those that are stored."""
    cells = choose.shown_of(sweeps)
    return {name: cell.table.set_index("seed").accuracy for name, cell in cells.items()}


def by_defense(attacks: Cell, victims: Cell) -> pd.DataFrame:
    """A row a defense: accuracy (mean, sd, number of victims), median AVD, PSNR and SSIM, recovered
    of n, and whether it defends. attacks: as `viewed` gives them."""
    by_attack = attacks.table.assign(name=defense_names(attacks)).groupby("name", sort=False)
    by_victim = victims.table.assign(name=defense_names(victims)).groupby("name")
    table = pd.DataFrame({
        "accuracy": by_victim.accuracy.mean(),
        "sd": by_victim.accuracy.std(),
        "victims": by_victim.accuracy.size(),
        "median AVD": by_attack.avd.median(),
        "median PSNR": by_attack.psnr.median(),
        "median SSIM": by_attack.ssim.median(),
        "recovered": by_attack.mse.apply(lambda mse: (mse < RECOVERED).sum()),
        "n": by_attack.size(),
    })
    words = {name: in_most(by_criterion) for name, by_criterion in hidden(attacks).items()}
    table = table.assign(defends=pd.Series(words))
    return table.loc[[name for name in DEFENSES if name in table.index]]


def both_profiles(attacks: Sweep, victims: Sweep) -> dict[str, pd.DataFrame]:
    """Table 3 by run: attacks and victims of one profile in each. Empty where none is whole."""
    sweeps = {"attacks": attacks, "victims": victims}
    whole = {run: cells for run, cells in choose.by_run(sweeps).items() if len(cells) == 2}
    return {tables.run_title(run): by_defense(viewed(cells["attacks"]), cells["victims"])
            for run, cells in whole.items()}


def defenses(blocks: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Table 3 as it is saved: a row a run and defense."""
    return pd.concat(blocks, names=["run", "defense"]).reset_index()


def scores_page(block: pd.DataFrame, published: pd.DataFrame,
                names: Collection[str] = tuple(DEFENSES)) -> pd.DataFrame:
    """How well each defense hides, for the page: medians of three scores, images recovered, the
    verdict of the three criteria, and the published one (by defense and column)."""
    block = block.loc[[name for name in names if name in block.index]]
    says = {0.0: "does not", 1.0: "defends"}
    verdicts = [says.get(published.value.get((name, "defends"))) for name in block.index]
    return pd.DataFrame({
        "defense": in_words(block.index), "AVD": block["median AVD"],
        "PSNR, dB": block["median PSNR"], "SSIM": block["median SSIM"],
        "recovered": [f"{row.recovered} of {row.n}" for row in block.itertuples()],
        "measured": block.defends, "published †": verdicts}).reset_index(drop=True)


def costs_page(blocks: dict[str, pd.DataFrame], learned: dict[str, pd.Series],
               published: pd.DataFrame) -> pd.DataFrame:
    """What each defense costs, for the page: published accuracy, then ours, in per cent.

    learned: accuracies of the network that learns, by defense."""
    printed = []
    for name in DEFENSES:
        value = published.value.get((name, "accuracy"))
        at_most = value is not None and "at most" in published.unit[name, "accuracy"]
        printed.append(None if value is None else f"{'at most ' * at_most}{value:g}")
    columns = {"defense": in_words(DEFENSES), "published, CIFAR-100 †": printed}
    for label, block in blocks.items():
        columns[f"LeNet, {label}"] = [_of_block(block, name) for name in DEFENSES]
    columns["ResNet of depth 8"] = [
        _in_percent(learned[name]) if name in learned else None for name in DEFENSES]
    return pd.DataFrame(columns).dropna(thresh=2).reset_index(drop=True)


def in_words(names: Collection[str]) -> list[str]:
    """"Gaussian 1e-04" -> "Gaussian, variance 1e-4"; the others as they are."""
    return [re.sub(r" 1e-0(\d)$", r", variance 1e-\1", name) for name in names]


def _of_block(block: pd.DataFrame, name: str) -> str | None:
    """Accuracy of the victims trained under a defense, or None where none was."""
    if name not in block.index or np.isnan(block.accuracy[name]):
        return None
    row = block.loc[name]
    return _accuracy(row.accuracy, row.sd, row.victims)


def _in_percent(accuracies: pd.Series) -> str:
    return _accuracy(accuracies.mean(), accuracies.std(), accuracies.size)


def _accuracy(mean: float, sd: float, n: float) -> str:
    spread = "" if np.isnan(sd) else f" ± {100 * sd:.1f}"
    return f"{100 * mean:.1f}{spread} (n = {n:.0f})"
