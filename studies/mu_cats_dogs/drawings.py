"""Figures of notebook 07. ALT holds what each shows, in words, for a reader who cannot see it."""

import numpy as np
import torch
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.mu_cats_dogs import plan
from studies.mu_cats_dogs.tables import RESTORED, SCALES, readings, restored

ALT = {
    "closely_division":
        "Three small pictures: the private photograph of a cat's face, the picture that one "
        "division returns, which looks the same, and their difference, which is flat grey.",
    "closely_search":
        "Image sheet, one row: noise, the picture of a cat's face after more and more iterations "
        "of the plain loop, the engine's picture, and the private photograph. The face appears "
        "within a few iterations.",
    "film":
        "Image sheet, two rows for each of three networks, one row per client; six columns from "
        "the random start through 2, 5, 10 and 30 iterations to the private image. The network "
        "with one hidden layer gives its image away at once, the LeNet more slowly; the single "
        "dense layer ends black.",
    "abstract_error":
        "Strip plot: squared error per pixel on a log scale, one column of dots a network and "
        "attacker, an image a dot, with the count of recovered images above; lines mark "
        "the published 5 in three scales and the limit for recovered. Lost images lie orders of "
        "magnitude above recovered ones and decide the mean.",
}
ROWS = {"one dense layer": "one\ndense layer", "dense, one hidden layer": "one hidden\nlayer"}


def division(private: torch.Tensor, divided: torch.Tensor) -> Figure:
    """The private image, what the division returns, and their difference around grey; (C, H, W)."""
    difference = 0.5 + divided - private
    columns = ["private image", "after one division", "difference + grey"]
    return plots.sheet(torch.stack([private, divided, difference])[None], [""], columns, width=0.6)


def search(frames: dict) -> Figure:
    """A search from its start to the private image. frames: title -> image (C, H, W)."""
    return plots.sheet(torch.stack([*frames.values()])[None], [""], list(frames))


def film(cells: dict[str, Cell]) -> Figure:
    """Two clients of each victim, from the start to the private image. cells: by victim."""
    rows, names = [], []
    for victim, cell in cells.items():
        for k in range(2):
            states = cell.arrays["states"][k, :, 0]  # (T, C, H, W), 0 to 255
            rows.append(np.concatenate((states, cell.arrays["truth"][k])) / 255)
            names.append(ROWS.get(victim, victim))
    columns = ["start", *(f"{i} iterations" for i in plan.FRAMES[1:]), "private"]
    return plots.sheet(np.stack(rows), names, columns, width=0.8)


def errors(cells: dict[tuple[str, str], Cell]) -> Figure:
    """Each image's squared error per pixel (0 to 255), a column a victim and attacker, and where
    the published 5 lies in each scale. cells: of one profile, by (victim, attacker)."""
    fig, ax = plots.axes(height=0.55)
    for i, cell in enumerate(cells.values()):
        plots.dots(ax, i, readings(cell)[SCALES[0]].clip(1e-6), color=f"C{i // 2}")
        ax.text(i, 3e5, f"{restored(cell).sum()} of {cell.n}", ha="center", fontsize=7)
    values = np.prod(plan.SHAPES[cell.profile])
    fives = (5, 5 / values * 255**2, 5 / values)  # in the scale of the axis
    for scale, five, line in zip(SCALES, fives, (":", "--", "-."), strict=True):
        ax.axhline(five, color="0.2", lw=1, ls=line, label=f"5 {scale}")
    ax.axhline(255**2 * RESTORED, color="0.6", lw=0.8,
               label="recovered (counts above): below 0.001 on [0, 1]")
    ax.set(yscale="log", ylim=(3e-7, 2e6), ylabel="squared error per pixel, 0 to 255",
           xticks=range(len(cells)))
    names = [f"{ROWS.get(victim, victim)}\n{attacker}" for victim, attacker in cells]
    ax.set_xticklabels(names, fontsize=7)
    fig.legend(loc="outside upper center", ncol=2)
    return fig
