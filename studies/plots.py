"""House style: figures at a paper's column width, image sheets, dots with their spread.

Widths are fractions of a text width of 5.5 inches, so text keeps its size in print.
"""

from collections.abc import Sequence

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

TEXT_WIDTH = 5.5  # inches
SETTINGS = {
    "font.size": 8, "axes.titlesize": 8, "axes.labelsize": 8, "legend.fontsize": 7,
    "xtick.labelsize": 7, "ytick.labelsize": 7, "legend.frameon": False, "pdf.fonttype": 42,
    "font.sans-serif": ["DejaVu Sans"],  # matplotlib brings it: the same letters on every machine
    "figure.dpi": 110,  # of the notebook's page; files are written at their own
    "savefig.bbox": "tight"}


def style() -> None:
    """Set the house style for all figures that follow, whatever a user's matplotlibrc says."""
    matplotlib.rcdefaults()
    sns.set_theme(context="paper", style="ticks", palette="colorblind", rc=SETTINGS)


def axes(columns: int = 1, rows: int = 1, width: float = 1.0, height: float = 0.4,
         **kwargs: object) -> tuple[Figure, Axes | np.ndarray]:
    """(figure, axes): width as a fraction of the text, height as a fraction of the width."""
    size = TEXT_WIDTH * width, TEXT_WIDTH * width * height
    return plt.subplots(rows, columns, figsize=size, layout="constrained", **kwargs)


def sheet(images: np.ndarray, row_labels: Sequence[str] = (), column_labels: Sequence[str] = (),
          notes: list[list[str]] | None = None, width: float = 1.0) -> Figure:
    """A sheet of images (rows, columns, C, H, W), clipped to [0, 1]; NaN pixels are shown grey.

    notes: for each row a list of texts under its images, or an empty list. Returns the figure."""
    images = np.asarray(images, dtype=np.float32)
    R, C = images.shape[:2]
    notes = notes or [[]] * R
    side = TEXT_WIDTH * width / (C + 0.4)
    lines = [max((text.count("\n") + 1 for text in row), default=0) for row in notes]
    heights = [side + 0.06 + 0.115 * n for n in lines]  # inches
    size = TEXT_WIDTH * width, sum(heights) + 0.22
    fig, grid = plt.subplots(R, C, figsize=size, squeeze=False, height_ratios=heights)
    fig.subplots_adjust(0.09, 0, 0.995, 1 - 0.2 / fig.get_figheight(), 0.06, 0)
    for r in range(R):
        for c in range(C):
            _picture(grid[r, c], images[r, c])
            if notes[r]:
                grid[r, c].set_xlabel(notes[r][c], fontsize=7, labelpad=1.5)
        if len(row_labels):
            grid[r, 0].set_ylabel(row_labels[r], fontsize=7)
    for c, label in enumerate(column_labels):
        grid[0, c].set_title(label, fontsize=7, pad=3)
    return fig


def _picture(ax: Axes, image: np.ndarray) -> None:
    picture = np.where(np.isfinite(image), image, 0.5).clip(0, 1).transpose(1, 2, 0)
    picture = picture.squeeze(-1) if picture.shape[-1] == 1 else picture
    ax.imshow(picture, cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[], anchor="N")
    for spine in ax.spines.values():
        spine.set_linewidth(0.4)


def dots(ax: Axes, position: float, values: Sequence[float], color: object = None,
         seed: int = 0) -> None:
    """Every value as a dot (jittered sideways); the median as a bar, with the quartiles from eight
    values on. Where values are infinite both are the nearest values."""
    values = np.asarray(values, dtype=float)
    shift = np.random.default_rng(seed).uniform(-0.16, 0.16, len(values))
    ax.plot(position + shift, values, "o", ms=2.6, mec="none", alpha=0.6, color=color)
    how = "nearest" if np.isinf(values).any() else "linear"
    low, middle, high = np.nanquantile(values, (0.25, 0.5, 0.75), method=how)
    if len(values) >= 8:
        ax.plot([position + 0.28] * 2, [low, high], color="0.2", lw=1)
    ax.plot([position + 0.22, position + 0.34], [middle] * 2, color="0.2", lw=1.8)
