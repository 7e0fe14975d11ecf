"""Table 1: after how many iterations a batch is restored, and why some never are."""

import math
from types import SimpleNamespace

import numpy as np
import pandas as pd

from lib import analytic, models
from studies import choose, report
from studies.cells import Cell
from studies.dlg import tables
from studies.dlg.tables import RECOVERED

SIZES = [1, 2, 4, 8]
SHORTLY = {  # the rows of the short table: network and rule of moving, by what the page calls them
    "official LeNet": ("LeNet", "together"),
    "twice the channels, line search": ("LeNet, 24 channels", "together, line search"),
    "ResNet-20 with sigmoids": ("ResNet-20, sigmoid, no strides", "together")}
COUNTED = {"LeNet": "LeNet, 12 channels", "LeNet, 24 channels": "LeNet, 24 channels"}


def restored(cell: Cell) -> dict[int, np.ndarray]:
    """Batch size -> for each client the first noted iteration at which the mean MSE of its images,
    matched one to one, is below `RECOVERED`; infinity where it never is."""
    steps, below = np.array(cell.config[0]["record"]), cell.arrays["mse"] < RECOVERED
    when = np.where(below.any(1), steps[below.argmax(1)], np.inf)
    by_part = when.reshape(len(cell.config), -1)
    return {part["batch_size"]: row for part, row in zip(cell.config, by_part, strict=True)}


def in_words(when: np.ndarray, most: int) -> str:
    """How many batches were restored within `most` iterations, and when."""
    good = np.isfinite(when)
    if not good.any():
        return f"not restored in {len(when)} of {len(when)} by {most}"
    return f"{good.sum()} of {len(when)}; of these, median {np.median(when[good]):g}"


def batches(sweeps: dict, published: pd.DataFrame) -> pd.DataFrame:
    """Table 1: a row a run, network and rule of moving, a column a batch size."""
    printed = {int(row["column"]): report.show(row) for _, row in published.iterrows()}
    rows = {("published", "ResNet-20", "one at a time"): printed}
    for run, cells in choose.by_run(sweeps).items():
        label = tables.run_title(run)
        for key, cell in cells.items():
            most = cell.config[0]["attack"]["iterations"]
            rows[label, *key] = {
                size: in_words(when, most) for size, when in restored(cell).items()}
    table = pd.DataFrame(rows).T.rename_axis(["run", "network", "images move"])
    return table[SIZES].fillna("not run").rename(columns="B = {}".format)


def in_short(sweeps: dict) -> pd.DataFrame:
    """Of the stored cells, for the page: restored of the batches of each size and, for the LeNets,
    how many equations their gradient holds for each pixel, at most."""
    counts = equations_per_pixel()
    rows = []
    for name, key in SHORTLY.items():
        cell = sweeps[key].stored()
        found = {} if cell is None else {
            size: f"{np.isfinite(when).sum()} of {len(when)}"
            for size, when in restored(cell).items()}
        rows.append({"network": name, "counted": "batches restored"} | found)
        if key[0] in COUNTED:
            row = counts.loc[COUNTED[key[0]]]
            per_pixel = {size: f"{row[f'B = {size}']:.2f}" for size in SIZES}
            rows.append({"network": "", "counted": "equations for each pixel"} | per_pixel)
    table = pd.DataFrame(rows).reindex(columns=["network", "counted", *SIZES])
    return table.rename(columns={1: "1 image"} | {size: f"{size} images" for size in SIZES[1:]})


def weight_norms(gradients: dict) -> list[float]:
    """Norms of the gradients of one client's weight matrices and kernels, from the first layer to
    the last; biases and BatchNorm are left out."""
    norms = []
    for name, gradient in gradients.items():
        matrix = gradient.dim() == 3 and name.endswith("weight")  # (1, out, in)
        if matrix or gradient.dim() > 3:
            norms.append(gradient[0].norm().item())
    return norms


def how_plain_attacks_end(cell: Cell) -> str:
    """A sentence: evaluations of D, and D at the end, of attacks on all batch sizes."""
    ends = cell.table.groupby(["part", "client"])[["evaluations", "best_loss"]].first()
    return (
        f"Plain D, all together, {len(ends)} attacks of up to 2,000 evaluations: "
        f"{ends.evaluations.median():.0f} in the median, {ends.evaluations.max()} at most; D ended "
        f"below 1e-4 in {(ends.best_loss < 1e-4).sum()} of them.")


def relative_in_words(cell: Cell) -> str:
    """A sentence: the error along the attacks with the relative D."""
    steps, medians = cell.config[0]["record"], np.median(cell.arrays["mse"], 0)
    errors = ", ".join(f"{i}: {error:.2g}" for i, error in zip(steps, medians, strict=True))
    return (
        f"Sigmoids, no strides, one image; the first {len(cell.arrays['states'])} of {cell.n} "
        f"clients. Median MSE at iteration {errors}.")


def equations_per_pixel(channels: tuple = (12, 24)) -> pd.DataFrame:
    """Independent equations for each pixel, at most, that the official LeNet gives for CIFAR-100
    with so many channels: a row a network, a column a batch size."""
    images = SimpleNamespace(shape=(3, 32, 32), num_classes=100)
    pixels = math.prod(images.shape)
    rows = {}
    for width in channels:
        lenet = models.lenet(images, channels=width)
        counts = {size: min(analytic.gradient_equations(lenet, images.shape, size))
                  for size in SIZES}
        rows[f"LeNet, {width} channels"] = {
            f"B = {size}": count / (size * pixels) for size, count in counts.items()}
    return pd.DataFrame(rows).T.rename_axis("network")
