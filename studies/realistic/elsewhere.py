"""What other pages have stored of the same questions: their cells, read as they are."""

from dataclasses import dataclass

import numpy as np

from studies import tracked
from studies.cells import Cell

NEAR = 1e-2  # MSE of an image that is recovered, as on page 06
BATCH = 4  # of page 06's clients that are looked at


@dataclass(frozen=True)
class Elsewhere:
    """Cells of other pages, None where one is not stored."""

    dpsgd: dict[float, Cell | None]     # page 05, by noise multiplier; 0 without the defense
    mixing: dict[str, Cell | None]      # page 05: "MixUp 4", "InstaHide 4", and "four epochs"
    pruned: dict[str, Cell | None]      # page 05: GradPrune 0.7 and 0.9, plain and masked
    equal: dict[str, Cell | None]       # page 06: "plain" and "in the span"
    lite0: Cell | None                  # page 03: two photographs in eval mode


def read() -> Elsewhere:
    """The stored cells of pages 03, 05 and 06."""
    def huang(name: str) -> Cell | None:
        return tracked.cell("05_huang_evaluation", name)

    def mixing(name: str) -> Cell | None:
        return tracked.cell("06_mixing_gradients", name)

    noises = {0.0: "privacy_none_b1", 0.001: "dpsgd_0001", 0.01: "dpsgd_001", 0.1: "dpsgd_01",
              1.0: "dpsgd_10"}
    pruned = {"GradPrune 0.7": "privacy_gradprune_07_b1",
              "GradPrune 0.9": "privacy_gradprune_09_b1",
              "GradPrune 0.7, masked": "masked_gradprune_07",
              "GradPrune 0.9, masked": "masked_gradprune_09"}
    mixed = {"MixUp 4": "privacy_mixup_4_b1", "InstaHide 4": "privacy_instahide_4_b1",
             "four epochs": "decoded_mixup_4_four_epochs"}
    return Elsewhere(
        dpsgd={noise: huang(name) for noise, name in noises.items()},
        mixing={key: huang(name) for key, name in mixed.items()},
        pruned={key: huang(name) for key, name in pruned.items()},
        equal={"plain": mixing("r4_ce_equal"),
               "in the span": mixing("adaptive_ce_equal_one_round")},
        lite0=tracked.cell("03_inverting_gradients", "deep_trained"))


def psnr(cell: Cell | None, column: str = "psnr") -> float:
    """The mean of a column over the images; NaN where nothing is stored."""
    return float("nan") if cell is None else float(cell.table[column].mean())


def recovered(cell: Cell | None, in_span: bool) -> float:
    """Of page 06's batches of `BATCH` the share of images that the best attack recovers which
    searches in the span, or among pixels; NaN where nothing is stored."""
    if cell is None:
        return float("nan")
    part = next(i for i, config in enumerate(cell.config) if config["batch_size"] == BATCH)
    described = cell.config[part]["attacks"]
    chosen = [i for i, attack in enumerate(described) if (attack["name"] == "in_span") is in_span]
    rows = cell.table[(cell.table.part == part) & cell.table.attack.isin(chosen)]
    return float((rows.mse < NEAR).groupby(rows.attack).mean().max())


def error(cell: Cell | None) -> float:
    """The mean squared error of the images; NaN where nothing is stored."""
    return psnr(cell, "mse")


def ranks(cell: Cell | None) -> np.ndarray:
    """The ranks of the photographs of page 03; empty where nothing is stored."""
    return np.array([]) if cell is None else cell.table["rank"].to_numpy()
