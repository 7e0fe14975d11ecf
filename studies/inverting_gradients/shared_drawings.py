"""The figures of what a mean of several clients, or a part of an update, gives away."""

from collections.abc import Hashable

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.inverting_gradients.drawings import sheet
from studies.verdicts import by_network

SHOWN = 2  # images
SHOWN_COUNTS = (1, 2, 4, 16)  # clients in a mean
SHOWN_NETWORKS = ("LeNet", "ViT")  # ResNet-20 ends in noise throughout
IN_COLUMNS = {  # what is seen, in two lines
    "whole update": "whole\nupdate", "all but the head": "all but\nthe head",
    "first layer": "first\nlayer",
    "head": "head\nalone", "adapters": "rank-4\nadapters"}


def _of(cells: dict[tuple[str, Hashable], Cell], network: str) -> dict[Hashable, Cell]:
    return {key: cell for (name, key), cell in cells.items() if name == network}


def among(cells: dict[tuple[str, int], Cell]) -> Figure:
    """Pictures of the same images behind the first LeNet, alone and among more and more clients,
    with PSNR."""
    of_lenet = {count: cell for count, cell in _of(cells, "LeNet").items()
                if count in SHOWN_COUNTS}
    first = next(iter(of_lenet.values()))
    frames, notes = [first.arrays["truth"][:SHOWN]], [[""] for _ in range(SHOWN)]
    titles = ["private"]
    for count, cell in of_lenet.items():
        frames.append(cell.arrays["found"][:SHOWN])
        table = cell.table[cell.table.part == 0].set_index("image")
        for number, note in enumerate(notes):
            note.append(f"{table.psnr[number]:.1f}")
        titles.append("alone" if count == 1 else f"of {count}")
    images = np.stack(frames, axis=1) / 255  # (images, columns, C, H, W)
    return sheet(images, column_labels=titles, notes=notes, width=0.45)


def falling(cells: dict[tuple[str, int], Cell]) -> Figure:
    """PSNR against the number of clients: a dot an image and network, a line a network's mean, and
    the mean colour."""
    names = list(dict.fromkeys(name for name, _ in cells))
    fig, panels = plots.axes(max(2, len(names)), height=0.42, sharey=True)
    for ax in panels[len(names):]:
        ax.set_visible(False)
    for ax, network in zip(panels, names, strict=False):
        _panel(ax, _of(cells, network))
        ax.set(title=network, xlabel="clients in the mean, one image each")
    panels[0].set_ylabel("PSNR (dB)")
    return fig


def _panel(ax: Axes, cells: dict[int, Cell]) -> None:
    for place, cell in enumerate(cells.values()):
        plots.dots(ax, place, cell.table.psnr, color="C0")
    lines = [by_network(cell.table, "part", "psnr") for cell in cells.values()]
    for network in lines[0].index:
        ax.plot([line[network] for line in lines], color="C1", lw=0.9,
                label="mean of a network" if network == 0 else None)
    flat = next(iter(cells.values())).table.drop_duplicates("image").flat_psnr.mean()
    ax.axhline(flat, color="0.5", lw=0.8, ls=":", label="mean colour")
    ax.set(xlim=(-0.5, len(cells) - 0.4), xticks=range(len(cells)), xticklabels=cells)
    ax.legend(loc="upper right")


def parts(cells: dict[tuple[str, str], Cell]) -> Figure:
    """The first image behind LeNet and ViT: private, and what each part of an update gives back,
    with its PSNR."""
    names = [name for name in SHOWN_NETWORKS if set(IN_COLUMNS) <= set(_of(cells, name))]
    kinds = [*IN_COLUMNS]
    rows, notes = [], []
    for network in names:
        of_network = _of(cells, network)
        first = next(iter(of_network.values()))
        rows.append([first.arrays["truth"][0], *(of_network[kind].arrays["found"][0]
                                                 for kind in kinds)])
        notes.append(["", *(f"{of_network[kind].table.psnr.iloc[0]:.1f}" for kind in kinds)])
    titles = ["private", *(IN_COLUMNS[kind] for kind in kinds)]
    return sheet(np.stack([np.stack(row) for row in rows]) / 255, names, titles, notes, width=0.58)
