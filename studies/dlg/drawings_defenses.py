"""Table 1 and Figure 7 of notebook 01 as pictures: why batches fail, and what defenses hide."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.dlg.settings import DEFENSES, FINER, PANELS
from studies.dlg.tables_defenses import defense_names

TITLES = {"a": "Gaussian noise, variance", "b": "Laplacian noise, variance", "c": "fewer bits",
          "d": "smallest entries set to 0"}


def gradient_norms(norms: dict[str, list[float]]) -> Figure:
    """Below Table 1: norm of the weight's gradient by depth, a line a network."""
    fig, ax = plots.axes(width=0.8, height=0.5)
    for (name, values), style in zip(norms.items(), ("C0o-", "C1s-", "C3^-"), strict=True):
        depth = np.linspace(0, 1, len(values))
        ax.plot(depth, np.clip(values, 1e-12, None), style, ms=4, lw=1, label=name)
    ax.set(yscale="log", xlabel="depth: 0 is the first convolution, 1 the last layer",
           ylabel="norm of the weight's gradient")
    ax.legend()
    return fig


def relative(cell: Cell) -> Figure:
    """Below Table 1: what the relative D finds on ResNet-20, and the private images."""
    images, truth = (torch.tensor(cell.arrays[key], dtype=torch.float32) / 255
                     for key in ("states", "truth"))
    rows = torch.stack([*images[:, -1, 0], *truth[:, 0]]).unflatten(0, (2, -1))
    notes = [[f"MSE {mse:.2g}" for mse in cell.table.mse[: len(images)]], []]
    return plots.sheet(rows, ["relative D", "private"], notes=notes, width=0.6)


def defenses(cell: Cell) -> Figure:
    """Figure 7: median objective along the attack, a panel a kind of defense."""
    fig, grid = plots.axes(2, 2, height=0.75, sharex=True, sharey=True)
    for ax, (panel, title) in zip(grid.flat, TITLES.items(), strict=True):
        finer = [name for name in FINER if name.split()[0] in title]
        members = dict.fromkeys(("none", *finer, *PANELS[panel]))
        _objectives(ax, cell, list(members))
        ax.set(yscale="log", title=f"({panel}) {title}", ylim=(1e-11, 1e4))
        ax.legend(ncol=3, loc="lower left", columnspacing=1, handlelength=1.8)
    fig.supxlabel("iteration", fontsize=8)
    fig.supylabel("objective D, median of the clients", fontsize=8)
    return fig


def _objectives(ax: Axes, cell: Cell, defenses: list[str]) -> None:
    """A line for each of the defenses that the cell has, of the clients that all of them have, so
    that lines can be compared; none in grey."""
    names = defense_names(cell)
    under = pd.Series(names).groupby(cell.table.client.to_numpy()).nunique()
    common = cell.table.client.isin(under.index[under == len(set(names))]).to_numpy()
    shown = [name for name in defenses if name in names]
    for i, name in enumerate(shown):
        median = np.nanmedian(cell.arrays["losses"][common & (names == name)], 0)
        ax.plot(
            np.arange(len(median)), median,
            color="0.2" if name == "none" else f"C{i - 1}",
            ls=("-", "--", "-.", ":")[i % 4], lw=1.2,
            marker="o" if i > 3 else "", ms=3, markevery=0.15,
            label=name.split()[-1])


def defended_images(cell: Cell) -> Figure:
    """Figure 7 in pictures: the first client's image under each defense, with its AVD, and the
    private image; a cell as `tables_defenses.viewed` gives it."""
    names = defense_names(cell)
    pictures, notes = [], []
    for name in DEFENSES:
        if name in names:
            first = int(np.flatnonzero(names == name)[0])
            pictures.append(_in_colour(cell.arrays["states"][first, -1, 0]))
            notes.append(f"{_in_two_lines(name)}\nAVD {cell.table.avd.iloc[first]:.2f}")
    pictures.append(_in_colour(cell.arrays["truth"][0, 0]))
    notes.append("private")
    count = len(pictures)
    width = 8 if count > 9 else count
    empty = -count % width
    pictures += [pictures[0]] * empty
    notes += [""] * empty
    by_row = [notes[i : i + width] for i in range(0, len(notes), width)]
    fig = plots.sheet(torch.stack(pictures).unflatten(0, (-1, width)), notes=by_row)
    for ax in fig.axes[count:]:
        ax.set_visible(False)
    return fig


def _in_colour(image: np.ndarray) -> torch.Tensor:
    return torch.tensor(image, dtype=torch.float32).expand(3, -1, -1) / 255


def _in_two_lines(name: str) -> str:
    noise = name.startswith(("Gaussian", "Laplacian"))
    return name.replace(" ", "\nvar. " if noise else "\n")
