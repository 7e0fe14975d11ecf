"""The figures of notebook 04, and what each of them shows for a reader who cannot see it (ALT)."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.gias.compute import SIGNED
from studies.gias.configs import EVERY_SPACE
from studies.gias.tables import short_name, space_name

ALT = {
    "generator": (
        "Image sheet in two rows: above, eight samples of the generator of {name}; below each, "
        "the training image nearest to it. A sample resembles its neighbour in rough shape and "
        "shading but is no copy of it; compare the two to see whether the generator repeats what "
        "it saw."),
    "closely_samples": (
        "One row of eight digits that the generator makes of random latents, drawn smoothly from "
        "8x8 pixels. Most can be read as a digit, some are between two digits."),
    "closely_one_batch": (
        "Image sheet, one row a digit of the batch of four (2, 3, 5 and 6), six columns: the guess "
        "before the search of latents, after 30 and 100 iterations of it, after 30 and 150 more "
        "over the generator's parameters, and the private image. The first search ends at "
        "plausible digits, the second turns them into the private ones."),
    "fig1_pictures": (
        "Image sheet, one row a CIFAR-10 image of the first client's batch: the private image, "
        "then what seven search spaces recover, PSNR in dB below. Searches among pixels end "
        "blurred, GI-z shows another picture altogether, and GI-w and GIAS (GI-z/w) mostly come "
        "closest."),
    "spaces_along": (
        "Two line plots against iterations, one line a search space: the objective on a log "
        "scale, and the PSNR. Lines of spaces that begin with z share a flat first part and then "
        "separate; GI-w and GIAS (GI-z/w) end with the lowest objective and the highest PSNR, the "
        "signed pixels take longest."),
    "difficulty": (
        "Line plots, one panel a difficulty, such as batch size, share pruned or noise; y: PSNR "
        "in dB with its standard error; one line for signed pixels, one for GIAS. GIAS leads most "
        "for a single image; its lead shrinks as batches grow and as more is pruned."),
    "strange_pictures": (
        "Image sheet, one column a face of 8x8 pixels, four rows: private, then recovered by "
        "pixels, by GI-z and by GIAS, the last two with a generator of digits; PSNR in dB below. "
        "Pixels return the face, GI-z a sharp digit in its place, GIAS something between the "
        "two."),
    "giml_samples": (
        "Image sheet, one row a number of rounds, from none to the last, one column a fixed "
        "latent: samples of the generator that is learned from gradients. The grey noise at the "
        "top turns into bright strokes on black, few of them legible digits.")}

ALONG = ("x", SIGNED, "z/x", "z/h", "w", "z/w")  # GI-z is the first part of those that begin with z
LINES = ("-", "--", "-.", ":", "-", "--")
MARKERS = (" ", " ", " ", " ", "o", "s")
SMALL_SIDE = 8  # pixels
LEAST_CLIENTS = 3  # a standard error of two values says nothing


def sheet(images: np.ndarray, *labels: list[str], notes: list | None = None,
          width: float = 0.9) -> Figure:
    """`plots.sheet`. Images of 8x8 pixels are drawn smoothly: a person then sees the digit rather
    than the squares. Larger ones are drawn pixel by pixel."""
    smooth = np.shape(images)[-1] <= SMALL_SIDE
    with plots.plt.rc_context({"image.interpolation": "bicubic" if smooth else "nearest"}):
        return plots.sheet(images, *labels, notes=notes, width=width)


def samples(cell: Cell) -> Figure:
    """Eight samples of a generator, and under each the training image nearest to it."""
    rows = [cell.arrays["samples"][:8], cell.arrays["nearest"][:8]]
    return sheet(np.stack(rows) / 255, ["samples", "nearest\nseen"])


def spaces_pictures(cell: Cell) -> Figure:
    """Fig. 1 of the paper with our images: a row an image of the first batch, the private one and
    what each search space recovers, with its PSNR."""
    columns = [cell.arrays["truth"], *(cell.arrays[f"guesses {s}"] for s in EVERY_SPACE)]
    psnr = {space: images.psnr.to_numpy() for space, images in cell.table.groupby("space")}
    notes = []
    for i in range(len(cell.arrays["truth"])):
        notes.append(["", *(f"{psnr[space][i]:.1f}" for space in EVERY_SPACE)])
    labels = ["private", *map(short_name, EVERY_SPACE)]
    return sheet(np.stack(columns, 1) / 255, [], labels, notes=notes)


def spaces_along(cell: Cell) -> Figure:
    """Part (b) of the figure "Comparison of different searching spaces": objective and PSNR along
    the iterations, the median over clients."""
    fig, axes = plots.axes(2, height=0.5)
    for i, space in enumerate(ALONG):
        look = {"color": f"C{i}", "ls": LINES[i], "marker": MARKERS[i], "ms": 3, "markevery": 3,
                "lw": 1.2, "label": short_name(space)}
        for ax, what in zip(axes, ("losses", "psnr"), strict=True):
            median = np.median(cell.arrays[f"{what} {space}"], 0)
            ax.plot(cell.arrays[f"at {space}"], median, **look)
    axes[0].set(yscale="log", ylabel="objective", xlabel="iterations")
    axes[1].set(ylabel="PSNR, dB", xlabel="iterations")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=6)
    return fig


def difficulty(curves: dict[str, pd.DataFrame]) -> Figure:
    """The paper's difficulty study, a panel a difficulty; curves: of `tables.difficulties`."""
    two_rows = len(curves) > 3
    fig, grid = plots.axes(2 if two_rows else 3, 2 if two_rows else 1,
                           height=0.75 if two_rows else 0.45, sharey=True, squeeze=False)
    for ax, (what, rows) in zip(grid.flat, curves.items(), strict=False):
        _difficulty_panel(ax, what, rows)
    for ax in grid.flat[len(curves):]:
        ax.set_axis_off()
    for ax in grid[:, 0]:
        ax.set_ylabel("PSNR, dB")
    if curves:
        fig.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncol=2)
    return fig


def _difficulty_panel(ax, what: str, rows: pd.DataFrame) -> None:
    """Mean over clients of their mean PSNR, with its standard error."""
    ticks = sorted(rows["at"].unique())
    for i, (space, images) in enumerate(rows.groupby("space")):
        clients = images.groupby(["at", "client"]).psnr.mean()  # a batch shares one gradient
        by_value = clients.groupby("at")
        error = by_value.sem().where(by_value.size() >= LEAST_CLIENTS)
        ax.errorbar(np.arange(len(ticks)) + 0.06 * i, by_value.mean().reindex(ticks),
                    error.reindex(ticks), color=f"C{i}", marker="os"[i], ls=["-", "--"][i], ms=3,
                    lw=1, label=space_name(space))
    ax.set(xticks=range(len(ticks)), xlabel=what)
    ax.set_xticklabels([f"{value:g}" for value in ticks])


def strange_pictures(cell: Cell) -> Figure:
    """Six private faces, and what pixels and a generator of digits make of them, with the PSNR."""
    order = [SIGNED, "z", "z/w"]
    rows = [cell.arrays["truth"], *(cell.arrays[f"guesses {space}"] for space in order)]
    notes = [[]]
    for space in order:
        psnr = cell.table[cell.table.space == space].psnr[:6]
        notes.append([f"{value:.1f}" for value in psnr])
    labels = ["private", "pixels", "latents\n(GI-z)", "GIAS"]
    return sheet(np.stack(rows) / 255, labels, notes=notes, width=0.7)


def giml_samples(cell: Cell) -> Figure:
    """Samples of the same eight latents, a row a number of rounds that the generator learned."""
    rounds = [0, *cell.config[0]["looked_at"]]
    labels = [f"{count}\nrounds" for count in rounds]
    return sheet(cell.arrays["samples"] / 255, labels, width=0.7)
