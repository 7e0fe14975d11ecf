"""Figures of notebook 09."""

import numpy as np
import seaborn as sns
from matplotlib.figure import Figure
from torch import Tensor

from studies import plots
from studies.cells import Cell
from studies.exact import tables

COLOURS = {"honest": "C7", "trap": "C1", "imprint": "C0"}
WORDS = {"honest": "honest neurons", "trap": "trap weights", "imprint": "imprint module"}
ROWS = ["private", *tables.ATTACKS.values()]
SHORT = {"fresh": "honest,\nfresh", "trained": "honest,\ntrained", "imprint": "imprint",
         "trap": "trap", "fished": "class\nfishing", "permuted": "per-\nmuted"}
ROUNDING = 1e-9  # of the largest entry


def closely(private: Tensor, divided: Tensor, found: Tensor | None = None) -> Figure:
    """A batch (B, C, H, W): private; the whole gradient divided; and as SPEAR gives it back."""
    rows = {"private": private, "division": divided, "SPEAR": found}
    there = {name: row for name, row in rows.items() if row is not None}
    sheet = np.stack([row.double().numpy() for row in there.values()])
    return plots.sheet(sheet, list(there), width=0.9)


def zeros(deltas: Tensor) -> Figure:
    """Which neurons an image leaves at rest: D (neurons, B), its first 40 rows, zeros in white.
    What is left of rounding counts as zero."""
    fig, ax = plots.axes(width=0.8, height=0.24)
    shown = deltas[:40].abs().T
    ax.imshow(shown > ROUNDING * shown.max(), cmap="Greys", aspect="auto", vmin=0, vmax=1.6)
    ax.set(xlabel="neuron", ylabel="image", yticks=range(deltas.shape[1]),
           yticklabels=range(1, deltas.shape[1] + 1))
    return fig


def success(cell: Cell, width: int) -> Figure:
    """Left: share of whole batches by batch size, a line a width. Right: draws of those of one
    width, and 2^B."""
    fig, (left, right) = plots.axes(2, width=1, height=0.4)
    table = tables.whole(cell)
    widths = sorted(table.width.unique())
    for colour, (neurons, rows) in zip(sns.color_palette("cividis", len(widths)),
                                       table.groupby("width"), strict=True):
        share = rows.groupby("B").whole.mean()
        left.plot(share.index, share, "o-", ms=3.5, lw=1.2, color=colour, label=neurons)
    sizes = sorted(table.B.unique())
    left.set(xlabel="batch size B", ylabel="share of batches given back whole", ylim=(-0.04, 1.04),
             xticks=sizes, xlim=(sizes[0] - 0.6, 1.5 * sizes[-1]))  # room for the legend
    left.legend(title="neurons", title_fontsize=7, loc="upper right")
    ours = table[(table.width == width) & (table.whole == 1)]
    for B, rows in ours.groupby("B"):
        plots.dots(right, B, rows.draws, color="C0")
    sizes = np.array(sorted(table.B.unique()))
    right.plot(sizes, 2.0 ** sizes, "--", color="0.5", lw=1)
    right.annotate("$2^B$", (sizes[-1], 2.0 ** sizes[-1]), (-2, -14), textcoords="offset points",
                   fontsize=8, color="0.4", ha="right")
    right.set(xlabel="batch size B", ylabel=f"draws, {width} neurons", yscale="log",
              xticks=sizes)
    return fig


def same(cells: dict[str, Cell]) -> Figure:
    """The first client's batch and what each attack finds, behind ReLU and behind a sigmoid."""
    images = [cells[name].arrays["images"][0] for name in ("relu", "sigmoid")]  # (6, B, C, H, W)
    sheet = np.concatenate(images, 1).astype(float) / 255
    words = [row.replace(" of ", "\nof ").replace(" in the ", "\nin the ") for row in ROWS]
    B = images[0].shape[1]
    heads = ["ReLU", *[""] * (B - 1), "sigmoid", *[""] * (B - 1)]
    return plots.sheet(sheet, words, heads, width=1.0)


def large(cell: Cell) -> Figure:
    """Share of a batch recovered against bins or neurons, a panel a batch size."""
    sizes = sorted(cell.table.B.unique())
    fig, panels = plots.axes(len(sizes), width=1, height=0.38, sharey=True, squeeze=False)
    for ax, B in zip(panels[0], sizes, strict=True):
        rows = cell.table[cell.table.B == B]
        units = np.array(sorted(rows.units.unique()))
        for kind, some in rows.groupby("kind"):
            mean = some.groupby("units").recovered.mean()
            ax.plot(mean.index, mean, "o-", ms=3.5, lw=1.2, color=COLOURS[kind], label=WORDS[kind])
            ax.plot(some.units, some.recovered, ".", ms=3, alpha=0.4, color=COLOURS[kind])
        expected = rows.groupby("units").expected.first()
        ax.plot(expected.index, expected, "--", lw=1, color="0.4", label="counted")
        ax.set_xscale("log", base=2)
        ax.set(title=f"B = {B}", xlabel="neurons or bins", xticks=units,
               xticklabels=[f"{n:,}" for n in units], ylim=(-0.03, 1.03))
    panels[0, 0].set_ylabel("share of the batch recovered")
    panels[0, -1].legend(loc="upper left")
    return fig


def found_by_imprint(cell: Cell) -> Figure:
    """Private images of a large batch, and what the imprint module gives nearest to each."""
    images = cell.arrays["images"][0].astype(float) / 255  # (2, n, C, H, W)
    return plots.sheet(images, ["private", "imprint"], width=0.95)


def signs(cell: Cell) -> Figure:
    """Each sign of each model, and the alarm: the largest value of the other half's honest ones."""
    judged, levels = tables.alarms(cell)
    B = judged.B.max()
    judged = judged[judged.B == B]
    kinds = [kind for kind in tables.KINDS if kind in set(judged.kind)]
    fig, panels = plots.axes(2, 2, width=1, height=0.62, sharex=True)
    for ax, (sign, words) in zip(panels.flat, tables.SIGNS.items(), strict=True):
        for name, marker, colour in (("dense", "o", "C0"), ("LeNet", "^", "C1")):
            some = judged[judged.victim == name]
            place = some.kind.map(kinds.index) + (-0.13 if name == "dense" else 0.13)
            ax.plot(place, some[sign].clip(*_ends(sign)), marker, ms=3, alpha=0.6, mec="none",
                    color=colour, label=name)
            ax.axhline(levels.loc[(name, B), sign], color=colour, lw=0.8, ls="--")
        if sign == "repeated_rows":
            ax.set_ylim(-0.05, 1.05)
        elif sign != "surprise":
            ax.set_yscale("log")
        ax.set(title=words, xticks=range(len(kinds)))
        ax.set_xticklabels([SHORT[kind] for kind in kinds], fontsize=7)
    panels[0, 0].legend(loc="upper left")
    return fig


def _ends(sign: str) -> tuple[float, float]:
    """Where values are drawn at the edge: a ratio of 1e12 and one of 100 say the same."""
    return {"signal_ratio": (1e-3, 1e2), "lean": (1e-2, 1e3)}.get(sign, (0, np.inf))
