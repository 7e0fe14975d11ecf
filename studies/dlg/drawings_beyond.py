"""Beyond the paper, as pictures: where DLG works, and what too few equations do."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.dlg.tables_beyond import equations_per_pixel


def activation(maps: dict[str, pd.DataFrame]) -> Figure:
    """Images recovered of 8, by activation and scale, a map a search; see `by_scale`."""
    fig, grid = plots.axes(len(maps), height=0.42, squeeze=False)
    for ax, (name, share) in zip(grid[0], maps.items(), strict=True):
        sns.heatmap(8 * share, annot=True, fmt=".0f", vmin=0, vmax=8, cmap="cividis", cbar=False,
                    ax=ax)
        ax.set(title=f"recovered of 8, {name}", xlabel="s: weights and biases from U(-s, s)")
    return fig


def information(cell: Cell) -> Figure:
    """Every attack's error and objective, over the equations that its network gives."""
    equations = equations_per_pixel(cell)
    measures = (("mse", "C0", "C0", "MSE of the image"), ("best_loss", "C1", "none", "objective D"))
    fig, ax = plots.axes(width=0.8, height=0.55)
    for kernel, marker in ((3, "o"), (5, "s")):
        parts = [i for i, part in enumerate(cell.config) if part["victim"]["kernel"] == kernel]
        rows = cell.table[cell.table.part.isin(parts)]
        if not len(rows):
            continue
        for column, colour, fill, name in measures:
            ax.plot([equations[part] for part in rows.part], rows[column], marker, color=colour,
                    mfc=fill, ms=3.5, mew=0.7, alpha=0.7, label=f"{name}, kernel {kernel}")
    ax.axvline(1, color="0.5", lw=0.8, ls="--")
    ax.set(yscale="log", xlabel="independent equations, at most, for each pixel",
           ylabel="at the end of the attack", ylim=(1e-11, 1e3))
    fig.legend(loc="outside upper center", ncol=2)
    return fig


def information_images(cell: Cell) -> Figure:
    """The first client's photograph as recovered from each of two networks, and as it is."""
    states, truth = cell.arrays["states"][:2, -1, 0], cell.arrays["truth"][:1, 0]
    notes = []
    for part, row in zip(cell.config, cell.table.itertuples(), strict=True):
        channels = part["victim"]["channels"]
        notes.append(f"{channels} channels\nD = {row.best_loss:.0e}\nMSE {row.mse:.0e}")
    return plots.sheet(np.concatenate((states, truth))[None] / 255, notes=[[*notes, "private"]],
                       width=0.6)
