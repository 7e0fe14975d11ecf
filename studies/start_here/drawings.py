"""The heat maps and the picture sheet of notebook 00, and what they show for who cannot see them.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from studies import plots
from studies.cells import Cell
from studies.start_here.plan import DEFENSES
from studies.start_here.tables import VICTIM_NAMES, best_in_words, better_than_grey, medians

RANGE = {"vmin": 5, "vmax": 45}  # dB: from below any mid-grey to what no eye can tell
DARK = 22                        # dB; below it the map is so dark that numbers are white


def heat_maps(panels: dict, bar: float) -> Figure:
    """Median PSNR of attack against defense, one map a panel. bar: the colour bar's length, of the
    height."""
    rows = (len(panels) + 1) // 2
    fig, axes = plots.axes(2, rows, height=0.12 + 0.48 * rows)
    for ax in axes.flat[len(panels):]:
        ax.axis("off")
    for ax, ((victim, batch_size), cells) in zip(axes.flat, panels.items(), strict=False):
        images = "one image" if batch_size == 1 else f"{batch_size} images"
        image = _heat_map(ax, cells, f"{VICTIM_NAMES[victim]}, {images} a client")
    fig.colorbar(image, ax=axes, label="median PSNR, dB", shrink=bar)
    return fig


def heat_maps_alt(panels: dict) -> str:
    """What the heat maps of the stored panels show; the winners of the last one."""
    titles = [f"{VICTIM_NAMES[victim]}, B = {batch_size}" for victim, batch_size in panels]
    last = list(panels.values())[-1]
    return ("Heat maps of the median PSNR on CIFAR-10 with the number in each cell, rows are "
            f"attacks, columns defenses; panels: {', '.join(titles)}. Best median by defense, in "
            f"dB, {titles[-1]}: {best_in_words(last)}.")


def digits_heat_maps_alt(panels: dict) -> str:
    """What the heat maps of this run's digits show."""
    return ("Two heat maps of the median PSNR with the number in each cell, rows are attacks, "
            "columns defenses. Best median by defense on LeNet, in dB: "
            f"{best_in_words(panels['lenet', 1])}.")


def _heat_map(ax, cells: dict[str, Cell], title: str) -> AxesImage:
    """Draw one panel; returns its image. A median no better than that of mid-grey is a dash; below
    it stands how many images are better, where that is neither none nor all."""
    table = medians(cells)
    count, n = better_than_grey(cells)
    image = ax.imshow(table, cmap="cividis", aspect="auto", interpolation="none", **RANGE)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        is_better = row == 0 or value > table.iloc[0, column]
        text = f"{value:.0f}" if is_better else "–"
        if 0 < count[row, column] < n:
            text += f"\n({count[row, column]})"
        ax.text(column, row, text, linespacing=0.85, ha="center", va="center", fontsize=5.5,
                color="white" if value < DARK else "black")
    ax.set_xticks(range(len(table.columns)), table.columns, rotation=40, ha="right", fontsize=6.5)
    ax.set_yticks(range(len(table)), table.index, fontsize=6.5)
    ax.set_title(title, fontsize=7.5)
    ax.tick_params(length=0)
    return image


def pictures(cells: dict[str, Cell]) -> Figure:
    """What each attack makes of the first client's image under each defense; the private one last.
    """
    rows, labels = [], []
    for attack, cell in cells.items():
        if attack != "mid-grey":
            first = cell.arrays["guesses"][:, 0], cell.arrays["truth"][:1, 0]
            rows.append(np.concatenate(first) / 255)
            labels.append(attack.replace(" ", "\n", 1))
    defenses = [name.replace(" ", "\n", 1) for name in DEFENSES if name != "equal labels"]
    return plots.sheet(np.stack(rows), labels, [*defenses, "private"])


def pictures_alt(cells: dict[str, Cell]) -> str:
    attacks = ", ".join(attack for attack in cells if attack != "mid-grey")
    return (f"Image sheet of one client throughout: one row an attack ({attacks}), one column a "
            "defense, the private image last. Best median PSNR of all clients by defense: "
            f"{best_in_words(cells)}.")
