"""Drawings of notebook 06: the closed form (R1, R2), AVD (R3), image sheets."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from lib import data, metrics
from studies import plots
from studies.cells import Cell
from studies.mixing_gradients import settings, tables

R2_BINS = np.arange(-40, 9, 1.5)
R1_EDGE = 4  # errors above e^4 and undefined ones are drawn here
MEASURE_LOOKS = {  # color, line, mark
    "MSE": ("C0", "-", "o"), "1 / PSNR": ("C9", "-", "s"), "1 - SSIM": ("C2", "-", "^"),
    "AVD paper": ("C1", "-", "D"), "AVD paper, 8 bits": ("C1", ":", "D"),
    "AVD distance_info": ("C3", "-", "v"), "AVD distance_info, 8 bits": ("C3", ":", "v"),
    "AVD ecir2024": ("C4", "-", "x"), "AVD ecir2024, 8 bits": ("C4", ":", "x")}

# --- the closed form


def closed_form(different: data.Batch, same: data.Batch, by_width: dict[float, list[Tensor]]
                ) -> Figure:
    """Images of labels that differ, beside images of one label: a row with the private ones, then
    a row for each width of the weights with what the division returns, (B, C, H, W) for either
    batch."""
    rows = [torch.cat([different.images[0], same.images[0]])]
    rows += [torch.cat(divided) for divided in by_width.values()]
    names = ["private", *(f"weights\nN(0, {width:g}²)" for width in by_width)]
    notes = [[], *([_mse(error) for error in (row - rows[0]).square().mean((1, 2, 3))]
                   for row in rows[1:])]
    labels = [int(label) for batch in (different, same) for label in batch.labels[0]]
    return plots.sheet(torch.stack(rows), names, [f"label {label}" for label in labels], notes)


def _mse(error: float) -> str:
    """An MSE that a note has room for: an exact 0, a power of ten, or two decimals."""
    return f"MSE {short_number(float(error))}"


def short_number(value: float) -> str:
    """A number of one digit: "0", "3e-31", "0.05"."""
    if value == 0:
        return "0"
    return f"{value:.2f}" if value >= 0.01 else f"{value:.0e}"


def exact_error(table: pd.DataFrame) -> Figure:
    """Weight of the other images, error, and share of exact images, against the width of the
    weights; a line a batch size, and one for equal labels."""
    fig, axes = plots.axes(3, height=0.4, sharex=True)
    judged = table.assign(exact=table.error < tables.EXACT)
    different = judged[judged.draw == "unique"]
    for i, B in enumerate(sorted(judged.B.unique())):
        look = {"marker": "os^"[i], "ms": 3.5, "color": f"C{i}",
                "label": f"B = {B}, different labels"}
        _by_width(axes, different[different.B == B], "-", **look)
        axes[0].axhline((B - 1) / (10 - B), color=f"C{i}", lw=0.7, ls=":")
        axes[2].axhline(100 * 0.9**B, color=f"C{i}", lw=0.7, ls=":", marker="os^"[i], ms=3,
                        markevery=[1], clip_on=False)
    _by_width(axes, judged[judged.draw == "equal"], "--", color="0.4", lw=1,
              label="equal labels, all B")
    titles = ("weight of the others,\n$\\sum_{m \\neq j} |w_{jm}|$, median",
              "MSE of $\\hat x$, median", "images with MSE < 1e-4, %")
    for ax, title in zip(axes, titles, strict=True):
        ax.set(xscale="log", xlabel="std of the weights", title=title)
    axes[0].set(yscale="log", ylim=(1e-9, 20))
    axes[1].set(yscale="log", ylim=(1e-22, 20))
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=4)
    return fig


def _by_width(axes: np.ndarray, images: pd.DataFrame, line: str, **look) -> None:
    groups = images.groupby("scale")
    curves = groups.neglected.median(), groups.error.median(), 100 * groups.exact.mean()
    for ax, curve in zip(axes, curves, strict=True):
        ax.plot(curve, line, **look)


def direct_inversion(cells: dict[str, Cell]) -> Figure:
    """R1: histograms of the log error, a panel a precision."""
    fig, axes = plots.axes(2, height=0.4, sharex=True)
    looks = {"unique": ("different labels", "C0", None), "equal": ("the same label", "C1", "//")}
    for ax, (precision, cell) in zip(axes, cells.items(), strict=True):
        for draw, (label, color, hatch) in looks.items():
            errors = tables.log_error(cell.table[cell.table.draw == draw])
            ax.hist(errors.fillna(R1_EDGE).clip(upper=R1_EDGE), bins=np.arange(-88, 5, 2),
                    alpha=0.75, label=label, color=color, hatch=hatch)
        ax.set(title=f"the client computes in {precision}", xlabel="ln MSE of a pixel")
    axes[0].set_ylabel("images")
    axes[0].legend(loc="upper left")
    return fig


def by_loss(table: pd.DataFrame) -> Figure:
    """R2: histograms of the log error by loss, a panel a width of the weights."""
    fig, axes = plots.axes(2, height=0.42, sharex=True, sharey=True)
    for ax, scale in zip(axes, sorted(table.scale.unique()), strict=True):
        images = table[table.scale == scale]
        errors = tables.log_error(images).fillna(R2_BINS[-1]).clip(R2_BINS[0], R2_BINS[-1])
        entropy = images.loss == "cross_entropy"
        parts = {
            "squared error of the logits": (errors[images.loss == "mse"], "C1", "//"),
            "CE, label occurs once": (errors[entropy & ~images.repeated], "C0", None),
            "CE, label repeated": (errors[entropy & images.repeated], "C0", "xx")}
        for label, (values, color, hatch) in parts.items():
            ax.hist(values, bins=R2_BINS, alpha=0.6, color=color, hatch=hatch, label=label)
        ax.set(title=f"weights N(0, {scale:g}²)", xlabel="ln MSE of a pixel")
    axes[0].set_ylabel("images")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return fig


# --- AVD


def by_avd(cell: Cell, columns: int = 8) -> Figure:
    """R3: reconstructions spread over the range of AVD above their truths; a dashed line marks the
    threshold of success. cell: of batches of two, with the images of its first clients."""
    table = cell.table.assign(row=cell.table.client * 2 + cell.table.image)
    pictured = table[table["row"] < len(cell.arrays["truth"])]
    pictured = pictured.sort_values("avd_8bit").reset_index(drop=True)
    spread = np.linspace(pictured.avd_8bit.min(), pictured.avd_8bit.max(), columns)
    nearest = [(pictured.avd_8bit - avd).abs().argmin() for avd in spread]
    chosen = pictured.iloc[np.unique(nearest)]
    pairs = [np.stack([cell.arrays["guesses"][int(row.row), int(row.attack)],
                       cell.arrays["truth"][int(row.row)]]) for row in chosen.itertuples()]
    notes = [[_scores(row) for row in chosen.itertuples()], []]
    fig = plots.sheet(np.stack(pairs, 1) / 255, ["found", "private"], notes=notes)
    _mark_threshold(fig, int((chosen.avd_8bit < settings.AVD_SUCCESS).sum()), len(chosen))
    return fig


def _scores(row: tuple) -> str:
    text = f"AVD {row.avd_8bit:.2f}\nMSE {row.mse:.1g}\nPSNR {row.psnr:.0f}\nSSIM {row.ssim:.2f}"
    return text if np.isnan(row.lpips) else f"{text}\nLPIPS {row.lpips:.2f}"


def _mark_threshold(fig: Figure, below: int, columns: int) -> None:
    """A dashed line behind the first `below` columns of an image sheet."""
    if not 0 < below < columns:
        return
    left, right = fig.axes[below - 1].get_position(), fig.axes[below].get_position()
    edge = (left.x1 + right.x0) / 2
    fig.add_artist(plots.plt.Line2D([edge, edge], [0.02, 0.98], color="C3", ls="--", lw=1.2))


def rankings(curves: pd.DataFrame) -> Figure:
    """Every measure along four ways to move away from an image, as a share of its largest."""
    fig, axes = plots.axes(4, height=0.34, sharey=True)
    for ax, (move, values) in zip(axes, curves.groupby("move", sort=False), strict=True):
        for name, curve in values.groupby("measure", sort=False):
            color, line, mark = MEASURE_LOOKS[name]
            ax.plot(curve.step, curve.value / max(curve.value.max(), 1e-3), line, color=color,
                    marker=mark, ms=2.2, lw=1, label=name)
        ax.set(xlabel=move)
    axes[0].set_ylabel("median, share of its largest")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=3)
    return fig


# --- image sheets


def dense_guesses(cell: Cell) -> Figure:
    """R4: the first client of every batch size, private and recovered by the angle with TV."""
    attack = settings.attack_names(cell.profile, "CE, random labels").index("angle + TV")
    pictures = np.stack([cell.arrays["truth"], cell.arrays["guesses"][:, attack]]) / 255
    images = cell.table[(cell.table.client == 0) & (cell.table.attack == attack)]
    scores = [f"{row.avd_8bit:.2f}\n{row.ssim:.2f}\n{row.mse:.2f}" for row in images.itertuples()]
    batches = [f"B = {cell.config[part]['batch_size']}" for part in images.part]
    return plots.sheet(pictures, row_labels=["private", "found"], column_labels=batches,
                       notes=[[], scores])


def in_span(private: Tensor, blend: Tensor, found: Tensor) -> Figure:
    """Images of one label: the private ones, the closed form's blend, and what the search in the
    span returns, each (B, C, H, W)."""
    errors = metrics.score(found[None].float(), private[None]).mse
    return plots.sheet(torch.stack([private, blend, found.float()]),
                       ["private", "divided", "in the span"],
                       notes=[[], [], [_mse(error) for error in errors]], width=0.8)


def turned_batches(turned: dict[int, Tensor], distances: dict[int, dict[str, float]]) -> Figure:
    """A column a batch (B, C, H, W), by the degrees it is turned; below it the distance of its
    gradient to the first one's, behind the squared error of the logits and behind cross-entropy."""
    images = torch.stack([batch.float() for batch in turned.values()], 1)
    notes = [f"{short_number(distance['mse'])}\n{short_number(distance['cross_entropy'])}"
             for distance in distances.values()]
    fig = plots.sheet(images, column_labels=[f"turned by {degrees}°" for degrees in turned],
                      notes=[*[[]] * (len(images) - 1), notes], width=0.75)
    first = fig.axes[len(fig.axes) - len(turned)]  # of the last row: its notes need a heading
    first.annotate("squared error:\ncross-entropy:", (0, 0), xycoords="axes fraction",
                   xytext=(-6, -1.5), textcoords="offset points", ha="right", va="top",
                   fontsize=7)
    return fig


def legend_of_all(fig: Figure, axes: list[Axes], columns: int) -> None:
    """One legend below all panels, each label once."""
    lines = {line.get_label(): line for ax in axes for line in ax.get_lines()}
    fig.legend(lines.values(), lines.keys(), loc="outside lower center", ncol=columns)
