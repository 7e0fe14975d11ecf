"""Figures 3 to 6 of notebook 01: what comes back, how good and how often."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from studies import plots, report
from studies.cells import Cell
from studies.dlg import tables
from studies.dlg.settings import FILM, RECORD
from studies.dlg.tables import RECOVERED

WORST = 1e3   # larger errors are drawn here
SIDE = 32     # pixels of a picture on the film strips


def one_attack(frames: dict[int, Tensor], logits: dict[int, Tensor], private: Tensor,
               classes: list[str]) -> Figure:
    """A film strip of one attack: iteration -> dummy image (C, H, W) and label logits (classes),
    the label that is believed in under each picture, and the private image (C, H, W) last."""
    notes = []
    for belief in logits.values():
        sure = belief.softmax(-1)
        notes.append(f"{classes[int(sure.argmax())]}\n{float(sure.max()):.0%}")
    columns = ["start", *(f"{i} iterations" for i in list(frames)[1:]), "private"]
    return plots.sheet(torch.stack([*frames.values(), private])[None], (), columns, [[*notes, ""]])


def with_pictures(cells: dict) -> dict:
    """The cells whose images are stored: those of sets that may be shown."""
    return {name: cell for name, cell in cells.items() if "states" in cell.arrays}


def leakage(cells: dict[str, Cell]) -> Figure:
    """Figure 3: a film strip of each set's first recovered client, and one of the first that was
    not; cells as `with_pictures` gives them, all of one profile."""
    strips = []
    for came_back, mark in ((True, ""), (False, ",\nfailed")):
        for name, cell in cells.items():
            strip = film_strip(cell, came_back)
            if strip is not None:
                strips.append((tables.attacked_set(name, cell) + mark, strip))
    strips = strips[: len(cells) + 1]
    profile = next(iter(cells.values())).profile
    columns = ["start", *(f"{i} iterations" for i in FILM[profile][1:]), "private"]
    labels = [label for label, _ in strips]
    return plots.sheet(torch.stack([strip for _, strip in strips]), labels, columns)


def film_strip(cell: Cell, came_back: bool) -> torch.Tensor | None:
    """(columns + 1, 3, SIDE, SIDE): the dummy image along the attack, and the private image, of
    the first client with pictures that was recovered, or was not; None where there is none."""
    parts = cell.table.part
    shown = [np.flatnonzero(parts == part)[:8] for part in parts.unique()]
    wanted = tables.recovered(cell)[np.concatenate(shown)] == came_back
    if not wanted.any():
        return None
    columns = [RECORD[cell.profile].index(i) for i in FILM[cell.profile]]
    states = cell.arrays["states"][wanted][0, columns, 0]
    strip = np.concatenate((states, cell.arrays["truth"][wanted][0]))
    strip = torch.tensor(strip, dtype=torch.float32).expand(-1, 3, -1, -1) / 255
    return torch.nn.functional.interpolate(strip, size=SIDE)


def batch_of_8(cell: Cell) -> Figure:
    """Figure 4: the first batch along the attack, and under each private image its match."""
    states, truth = cell.arrays["states"] / 255.0, cell.arrays["truth"] / 255.0
    iterations = [0, 20, FILM[cell.profile][-1]]
    rows = states[0, [RECORD[cell.profile].index(i) for i in iterations]]
    first = cell.table[cell.table["client"] == 0].sort_values("image")
    notes = []
    for guess, mse in zip(first["guess"], first["mse"], strict=True):
        sign = "=" if mse < RECOVERED else "≈"
        notes.append(f"{sign} dummy {guess + 1}\nMSE {report.significant(mse, 2)}")
    return plots.sheet(
        np.concatenate((rows, truth[:1])),
        ["start", *(f"{i} it." for i in iterations[1:]), "private"],
        [f"dummy {i + 1}" for i in range(8)],
        [[], [], [], notes])


def layers(cell: Cell) -> Figure:
    """Figure 5: gradient distance of each layer, objective and image error along the attack."""
    steps = cell.config[0]["record"]
    good = tables.recovered(cell)
    fig, (left, right) = plots.axes(2, height=0.45)
    distances = tables.layer_distances(cell)
    for i, marker in enumerate("os^D"):
        left.plot(steps, np.median(distances[good, :, i], 0), marker=marker, ms=3, lw=1.2,
                  label=f"layer {i + 1}")
    _every_client(right, steps, tables.objective(cell), good, "C0", "", "objective D")
    _every_client(right, steps, cell.arrays["mse"], good, "C1", "o", "MSE of the image")
    right.plot([], [], color="0.3", ls=":", label="failed client")
    left.set(ylabel="mean squared gradient difference",
             title=f"median of recovered clients, n = {good.sum()}")
    right.set(ylabel="D; MSE of the image", title=f"all clients, n = {cell.n}", ylim=(1e-9, 1e4))
    for ax in (left, right):
        ax.set_xscale("symlog", linthresh=1)
        ax.set(yscale="log", xlabel="iteration", xlim=(0, steps[-1]))
        ax.legend()
    return fig


def _every_client(ax: Axes, steps: list, values: np.ndarray, good: np.ndarray, colour: str,
                  mark: str, name: str) -> None:
    """A line for each client: solid where recovered, else dotted. values: (n, T)."""
    look = {"color": colour, "marker": mark, "ms": 2, "lw": 0.8}
    ax.plot(steps, values[good].T, **look, alpha=0.8)
    ax.plot(steps, values[~good].T, **look, ls=":")
    ax.plot([], [], color=colour, marker=mark, ms=2, label=name)


def errors(cells: dict[str, Cell], published: pd.DataFrame) -> Figure:
    """Figure 6: every image of every set as a dot, beside the published means (by set)."""
    fig, ax = plots.axes(height=0.5)
    for i, (name, cell) in enumerate(cells.items()):
        mse = cell.table.mse.fillna(np.inf)
        plots.dots(ax, i, mse.clip(1e-10, WORST), color=f"C{i}")
        ax.plot(i + 0.28, tables.clipped(cell).mean(), "D", color="C3", ms=4)
        count = f"{tables.recovered(cell).sum()} of {cell.n}"
        ax.text(i, 8e3, count, ha="center", fontsize=7)
        if name in published.index:
            ax.plot([i - 0.2, i + 0.2], [published.value[name]] * 2, color="0.2", lw=1, ls=":")
    for style, label in (("C3D", "mean of the clipped images"),
                         ("k:", "published mean †"), ("k-", "median, quartiles")):
        ax.plot([], [], style, lw=1.5, ms=4, label=label)
    ax.axhline(RECOVERED, color="0.6", lw=0.8, ls="--",
               label=f"recovered (counts above): below {RECOVERED}")
    ax.axhspan(1, 1e5, color="0.93", lw=0)
    ax.set(yscale="log", ylabel="MSE of the image", ylim=(3e-11, 1e5), xticks=range(len(cells)),
           xticklabels=[_set_label(name, cell) for name, cell in cells.items()])
    fig.legend(loc="outside upper center", ncol=2)
    return fig


def _set_label(name: str, cell: Cell) -> str:
    """The set attacked, and below it in the quick profile the one whose mean is published."""
    if cell.profile == "quick":
        return f"{tables.attacked_set(name, cell)}\n(published: {name})"
    return name
