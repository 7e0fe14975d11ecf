"""The heat maps and the picture sheet of notebook 08, with what they show in words, for readers
who cannot see them.
"""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from studies import plots
from studies.all_attacks.plan import DEFENSES
from studies.all_attacks.tables import (
    VICTIM_NAMES,
    best_in_words,
    better_than_grey,
    medians,
    title,
)
from studies.cells import Cell

RANGE = {"vmin": 5, "vmax": 40}  # dB: from below any mid-grey to what no eye can tell
DARK = 20                        # dB; below it the map is so dark that numbers are white
FAILED = "0.9"                   # the grey of a median that is no better than mid-grey's


def heat_maps(panels: dict) -> Figure:
    """Median PSNR of attack against defense, one map a panel, below one another."""
    lines = [len(cells) + 2 for cells in panels.values()]
    fig, axes = plots.axes(1, len(panels), height=0.08 + 0.045 * sum(lines), height_ratios=lines)
    for ax, (key, cells) in zip(np.atleast_1d(axes), panels.items(), strict=True):
        image = _heat_map(ax, cells, f"{VICTIM_NAMES[key[0]]}, {_images(key[1])} per client")
        ax.tick_params(labelbottom=ax is np.atleast_1d(axes)[-1])
    fig.colorbar(image, ax=axes, label="median PSNR, dB", extend="max", shrink=0.6, aspect=25)
    return fig


def _images(batch_size: int) -> str:
    return "one image" if batch_size == 1 else f"{batch_size} images"


def heat_maps_alt(panels: dict) -> str:
    """What the heat maps of the stored panels show; the winners of the last one."""
    last = list(panels)[-1]
    return ("Heat maps of the median PSNR on CIFAR-10 with the number in each field, rows are "
            f"attacks, columns defenses; panels: {', '.join(title(*key) for key in panels)}. Best "
            f"median by defense, in dB, {title(*last)}: {best_in_words(panels[last])}.")


def digits_heat_maps_alt(panels: dict) -> str:
    """What the heat maps of this run's digits show."""
    return ("Two heat maps of the median PSNR with the number in each field, rows are attacks, "
            "columns defenses. Best median by defense on LeNet, in dB: "
            f"{best_in_words(panels['lenet', 1])}.")


def _heat_map(ax, cells: dict[str, Cell], heading: str) -> AxesImage:
    """Draw one panel; returns its image. A median no better than that of mid-grey is a dash on
    grey; in brackets stands how many images are better, where that is neither none nor all."""
    table = medians(cells)
    count, n = better_than_grey(cells)
    failed = (table <= table.iloc[0]).to_numpy(copy=True)
    failed[0] = False
    ax.set_facecolor(FAILED)
    image = ax.imshow(table.mask(failed).to_numpy(float), cmap="cividis", aspect="auto",
                      interpolation="none", **RANGE)
    for (row, column), value in np.ndenumerate(table.to_numpy()):
        text = "–" if failed[row, column] else f"{value:.0f}"
        if 0 < count[row, column] < n:
            text += f" ({count[row, column]})"
        dark = value < DARK and not failed[row, column]
        ax.text(column, row, text, ha="center", va="center", fontsize=7,
                color="white" if dark else "black")
    _grid(ax, table.shape)
    names = [name.replace(" ", "\n", 1) for name in table.columns]
    ax.set_xticks(range(len(names)), names)
    ax.set_yticks(range(len(table)), table.index)
    ax.set_title(heading)
    return image


def _grid(ax, shape: tuple) -> None:
    """White lines between the fields, so that neighbours of one colour stay apart."""
    ax.set_xticks(np.arange(0.5, shape[1] - 1), minor=True)
    ax.set_yticks(np.arange(0.5, shape[0] - 1), minor=True)
    ax.grid(which="minor", color="white", lw=1)
    ax.tick_params(which="both", length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


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
