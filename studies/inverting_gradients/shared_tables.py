"""The tables of what a mean of several clients, or a part of an update, gives away."""

from collections.abc import Hashable

import numpy as np
import pandas as pd
from scipy import optimize

from studies import choose
from studies.cells import Cell
from studies.inverting_gradients.shared_sweeps import PARTS, Shared
from studies.store import Sweep
from studies.verdicts import by_network

METRICS = {"psnr": "PSNR, dB", "ssim": "SSIM", "stlpips": "ST-LPIPS"}


def cells_of(sweeps: dict[Hashable, Sweep]) -> dict[Hashable, Cell]:
    """The cells of one profile: those of the paper's that are stored, else this run's."""
    return choose.shown_of(sweeps, other=False) or choose.here_of(sweeps)


def means(shared: Shared) -> pd.DataFrame:
    """A row a network and number of clients: the metrics of the same images, as a mean of images
    and networks, and the standard deviation of the networks' means; below them the mean colour."""
    rows, cells = [], cells_of(shared.means)
    for network in dict.fromkeys(name for name, _ in cells):
        of_network = {count: cell for (name, count), cell in cells.items() if name == network}
        rows += [{"network": network, "clients": str(count)} | _row(cell)
                 for count, cell in of_network.items()]
        last = [*of_network.values()][-1]
        rows.append({"network": network, "clients": "the mean colour"} | _flat(last))
    return pd.DataFrame(rows)


def _row(cell: Cell) -> dict:
    """How many images and networks, and their metrics."""
    table = cell.table
    means = {column: by_network(table, "part", column) for column in METRICS}
    of_images = {"images": table.image.nunique(), "networks": len(means["psnr"])}
    return of_images | {name: _spread(means[column]) for column, name in METRICS.items()}


def _spread(values: pd.Series) -> str | float:
    """The mean of the networks, with their standard deviation where there are several."""
    if values.isna().all():
        return np.nan
    return f"{values.mean():.2f}" + (f" ± {values.std():.2f}" if len(values) > 1 else "")


def _flat(cell: Cell) -> dict:
    """The mean colour's metrics against the same images."""
    once = cell.table.drop_duplicates("image")
    flat = {name: _spread(once[[f"flat_{column}"]].mean()) for column, name in METRICS.items()}
    return {"images": len(once)} | flat


def parts(shared: Shared) -> pd.DataFrame:
    """A row a network and what is seen of its update: how many numbers, the label, the input of the
    last dense layer, and the picture, beside the mean colour."""
    rows, cells, searched = [], cells_of(shared.parts), cells_of(shared.searched)
    for (network, part), cell in cells.items():
        table = cell.table
        rows.append({
            "network": network, "seen": part, "numbers": f"{table.numbers.iloc[0]:,}",
            "label": _label(cell, searched.get((network, part))),
            "input of the dense layer": _input(table),
            "PSNR, dB": f"{table.psnr.mean():.1f} ± {table.psnr.std():.1f}",
            "ST-LPIPS": table.stlpips.mean()})
        if part == [*PARTS[network]][-1]:
            flat = {"PSNR, dB": f"{table.flat_psnr.mean():.1f} ± {table.flat_psnr.std():.1f}",
                    "ST-LPIPS": table.flat_stlpips.mean()}
            rows.append({"network": network, "seen": "nothing: the mean colour"} | flat)
    return pd.DataFrame(rows)


def _label(cell: Cell, searched: Cell | None) -> str:
    """How many labels a rule reads right; where none can, how many the search finds."""
    table, how = cell.table, "read"
    right = table.read
    if table.read.isna().all():
        if searched is None:
            return "–"
        table, how = searched.table, "searched"
        right = table.label == table.true_label
    return f"{int(right.sum())} of {len(table)}, {how}"


def _input(table: pd.DataFrame) -> str:
    """The largest relative error of the division's input; a dash where there is none."""
    worst = table.input_error.max()
    return "–" if np.isnan(worst) else f"error {worst:.0e}"


def both_note(shared: Shared) -> str:
    """How many images stand behind the tables, and for how long they were attacked."""
    said = []
    for network in PARTS:
        cells = [cell for (name, _), cell in cells_of(shared.parts).items() if name == network]
        if cells:
            config = cells[0].config[0]
            said.append(f"{network} {len(cells[0].table)} images, "
                        f"{config['attack']['iterations']:,} iterations")
    return "; ".join(said)


def patches_in_place(truth: np.ndarray, found: np.ndarray, side: int = 4) -> np.ndarray:
    """PSNR (n,) in dB of pictures (n, C, H, W), uint8, where their square patches are put in the
    order that fits the truth best."""
    values = []
    for pair in zip(truth, found, strict=True):
        private, other = (_patches(image / 255, side) for image in pair)
        errors = np.square(private[:, None] - other[None]).mean(-1)
        chosen = optimize.linear_sum_assignment(errors)
        values.append(-10 * np.log10(errors[chosen].mean()))
    return np.array(values)


def _patches(image: np.ndarray, side: int) -> np.ndarray:
    """(patches, numbers) of an image (C, H, W)."""
    C, H, W = image.shape
    cut = image.reshape(C, H // side, side, W // side, side)
    return cut.transpose(1, 3, 0, 2, 4).reshape(-1, C * side * side)


def patches_note(shared: Shared) -> str:
    """Does the ViT give patches back in other places? In a sentence; empty where none is stored."""
    seen = ("whole update", "first layer", "head")
    cells = cells_of({part: shared.parts["ViT", part] for part in seen})
    if len(cells) < len(seen):
        return ""
    truth = cells["head"].arrays["truth"]
    sorted_by = {part: patches_in_place(truth, cell.arrays["found"]).mean()
                 for part, cell in cells.items()}
    other = patches_in_place(truth, np.roll(truth, 1, axis=0)).mean()
    said = ", ".join(f"{part} {value:.1f} dB" for part, value in sorted_by.items())
    return (f"The ViT's patches, each put where it fits best: {said}; those of another photograph "
            f"{other:.1f} ({len(truth)} images).")
