"""The figures of notebook 03: image sheets, and dots of PSNR."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import plots, report
from studies.cells import Cell
from studies.inverting_gradients.alt_texts import ALT_TEXTS
from studies.inverting_gradients.configs import CIFAR10
from studies.inverting_gradients.measures import Restarts
from studies.inverting_gradients.paper_sweeps import STRIP

PANELS = {
    "norm": "length of the gradient",
    "others": "its direction: mean cosine\nwith other images' gradients",
    "l2": "squared distance\nto a noisy copy",
    "cosine": "cosine distance\nto a noisy copy",
}


def save(fig: Figure, name: str) -> None:
    """Show a figure, and keep it among the products with its alternative text."""
    report.save_figure(fig, name, ALT_TEXTS[name])


def sheet(images: np.ndarray, *args, **kwargs) -> Figure:
    """`plots.sheet` with crisp pixels: smoothed noise makes large files."""
    with plt.rc_context({"image.interpolation": "nearest"}):
        return plots.sheet(images, *args, **kwargs)


def _decibels(cell: Cell, count: int | None = None) -> list[str]:
    """PSNR of the first images, as notes under their pictures."""
    return [f"{value:.1f}" for value in cell.table.psnr[:count]]


def _last(cell: Cell, count: int | None = None) -> np.ndarray:
    """The first image of each client at the end of its attack, uint8 (clients, C, H, W)."""
    return cell.arrays["states"][:count, -1, 0]


# --- along a training, and along an attack


def along_training(paths: dict[str, Cell]) -> Figure:
    """What the gradients of single images are like while their victim trains: medians, with the
    5th to 95th percentile."""
    fig, axes = plots.axes(2, 2, height=0.66, sharex=True)
    for i, (name, path) in enumerate(paths.items()):
        epochs = path.table.groupby("epoch")
        for ax, column in zip(axes.flat, PANELS, strict=True):
            low, middle, high = (epochs[column].quantile(q) for q in (0.05, 0.5, 0.95))
            ax.plot(middle.index, middle, ("-", "--")[i], color=f"C{i}", label=name)
            ax.fill_between(middle.index, low, high, color=f"C{i}", alpha=0.2, lw=0)
            ax.set(title=PANELS[column], yscale="linear" if column == "others" else "log")
    for ax in axes[1]:
        ax.set_xlabel("epoch")
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=2)
    return fig


def strip(cell: Cell) -> Figure:
    """A photograph from noise to the end of the attack, with PSNR."""
    shown = [0]
    states, truth = cell.arrays["states"][shown][:, :, 0], cell.arrays["truth"][shown]
    images = np.concatenate([states, truth], 1) / 255
    notes = []
    for errors in cell.arrays["mse"][shown]:
        notes.append([f"{-10 * np.log10(error):.1f} dB" for error in errors] + [""])
    titles = [f"{iteration:,}" for iteration in STRIP] + ["private"]
    return sheet(images, [""], titles, notes)


def live(start: torch.Tensor, found: torch.Tensor, private: torch.Tensor, psnr: float) -> Figure:
    """The plain loop's start, what it found, with its PSNR in dB, and the private image, each
    (1, C, H, W) in [0, 1]."""
    names = ["start", "after 600 steps", "private"]
    return sheet(torch.stack([start, found, private], dim=1), [""], names,
                 [["", f"{psnr:.1f} dB", ""]], width=0.7)


# --- Proposition 3.1


def features(image: torch.Tensor, maps: torch.Tensor) -> Figure:
    """An image (C, H, W) in grey at the size of LeNet's features, and seven of these (channels, h,
    w), each scaled to its own range."""
    small = torch.nn.functional.interpolate(image[None], maps.shape[-1], mode="area")[0]
    pictures = [small.mean(0, keepdim=True)]
    for feature in maps[:7]:
        low, high = feature.min(), feature.max()
        pictures.append(((feature - low) / (high - low))[None])
    titles = ["image, 8 x 8"] + [f"feature {i}" for i in range(1, 8)]
    return sheet(torch.stack(pictures)[None].numpy(), ["LeNet"], titles)


# --- sheets of recovered images


def fig2(attacks: dict[tuple[str, str], Cell]) -> Figure:
    """Figure 2: the pictures behind Table 1, of (state, row) -> cell."""
    cells = list(attacks.values())
    count = min(len(cell.arrays["states"]) for cell in cells)
    shown = min(count, 6)
    images = [cells[0].arrays["truth"][:shown, 0]]
    images += [_last(cell, shown) for cell in cells]
    notes = [[]] + [_decibels(cell, shown) for cell in cells]
    labels = ["private"]
    for state, row in attacks:
        name = "L-BFGS" if row == "Euclid" else "cosine"
        labels.append(f"{name}\n{state}")
    width = 0.6 if count >= 6 else 0.5
    return sheet(np.stack(images) / 255, labels, notes=notes, width=width)


def fig6(cell: Cell) -> Figure:
    """Figure 6: one batch whose labels all differ, sorted by PSNR."""
    psnr = cell.table[cell.table.client == 0].psnr.to_numpy()
    order = np.argsort(-psnr)
    images = [cell.arrays["truth"][0][order], cell.arrays["states"][0, -1][order]]
    notes = [[], [f"{value:.1f}" for value in psnr[order]]]
    return sheet(np.stack(images) / 255, ["private", "attack"], notes=notes)


def servers(cells: dict[str, Cell]) -> Figure:
    """What an honest and an active server recover."""
    images = [cells["honest"].arrays["truth"][:4, 0]]
    images += [_last(cell, 4) for cell in cells.values()]
    notes = [[]] + [_decibels(cell, 4) for cell in cells.values()]
    return sheet(np.stack(images) / 255, ["private", "honest", "active"], notes=notes, width=0.45)


# --- dots of PSNR


def _groups(ax: Axes, cells: dict, mean_colour: pd.Series, colours: list | None = None,
            name: bool = True) -> None:
    """A group of dots a cell, and the line of the set's mean colour (a Series of PSNR)."""
    for i, cell in enumerate(cells.values()):
        plots.dots(ax, i, cell.table.psnr, color=colours[i] if colours else "C0")
    ax.set(xlim=(-0.5, max(2.5, len(cells) - 0.4)), xticks=range(len(cells)))
    if cells:
        _mean_colour(ax, next(iter(cells.values())), mean_colour, name)


def _mean_colour(ax: Axes, cell: Cell, mean_colour: pd.Series, name: bool) -> None:
    """A line, with its name at the right of the panel, where an attacker ends who knows the set's
    mean colour and no gradient."""
    if cell.config[0]["images"] != CIFAR10 or not len(mean_colour):
        return
    height = mean_colour.mean()
    ax.axhline(height, color="0.5", lw=0.8, ls=":")
    if name:
        ax.annotate("mean\ncolour", (1.01, height), xycoords=("axes fraction", "data"),
                    va="center", fontsize=7, color="0.4", annotation_clip=False)


def fig5(cells: dict[tuple[str, int, float], Cell], mean_colour: pd.Series) -> Figure:
    """Figure 5: PSNR against local steps and against the local learning rate."""
    by_steps, by_rate = {}, {}
    for (network, steps, rate), cell in cells.items():
        if network == "LeNet":
            by_steps[steps] = cell
        elif steps == 5:
            by_rate[f"{rate:g}"] = cell
    panels = {"LeNet: local steps, τ = 1e-4": by_steps,
              "ConvNet8: local learning rate τ, five steps": by_rate}
    fig, axes = plots.axes(2, height=0.42, sharey=True)
    for ax, (title, panel) in zip(axes, panels.items(), strict=True):
        _groups(ax, panel, mean_colour, name=ax is axes[-1])
        ax.set(xlabel=title, xticklabels=panel)
    axes[0].set_ylabel("PSNR (dB)")
    return fig


def fig4(cells: dict[str, Cell], mean_colour: pd.Series) -> Figure:
    """Figure 4: PSNR of narrow ResNets by width and depth; the deeper ones in another colour."""
    fig, ax = plots.axes(height=0.34)
    _groups(ax, cells, mean_colour, ["C0" if "18" in name else "C1" for name in cells])
    ax.set(xticklabels=[name.replace(", ", "\n") for name in cells], ylabel="PSNR (dB)")
    return fig


def aggregated(cells: dict[int, Cell], mean_colour: pd.Series) -> Figure:
    """PSNR of images among so many clients in one mean."""
    fig, ax = plots.axes(height=0.42, width=0.6)
    _groups(ax, cells, mean_colour)
    ax.set(xticklabels=cells, xlabel="clients in the mean, one image each", ylabel="PSNR (dB)")
    return fig


def restarts(study: Restarts) -> Figure:
    """Is a lower loss a better picture, and do restarts pay?"""
    fig, axes = plots.axes(2, height=0.42)
    for loss, psnr in zip(study.loss, study.psnr, strict=True):
        order = loss.argsort()
        axes[0].plot(loss[order], psnr[order], "o-", ms=2.5, lw=0.4, alpha=0.8)
    axes[0].set(xlabel="distance at the end, without TV", ylabel="PSNR (dB)",
                title="a line an image, a dot a restart")
    counts = range(1, len(study.chosen) + 1)
    axes[1].plot(counts, study.oracle.mean(1), "o--", ms=3, label="best by the private image")
    axes[1].plot(counts, study.chosen.mean(1), "o-", ms=3, label="best by the distance")
    low, high = study.chosen.mean() - 1.5, study.oracle.mean(1).max() + 1.5
    axes[1].set(xlabel="restarts", ylabel="mean PSNR (dB)", xticks=counts, ylim=(low, high))
    axes[1].legend()
    return fig
