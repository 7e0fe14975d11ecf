"""Figures of notebook 02. ALT holds what each shows, in words, for a reader who cannot see it."""

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from studies import plots
from studies.cells import Cell
from studies.idlg import plan
from studies.idlg.tables import Results, label_right, recovered, share_of

ALT = {
    "closely_rule":
        "A small photograph of an astronaut beside a bar chart, x: the ten classes, y: gradient of "
        "the last layer's bias. The bar of the photograph's own class is the only one below zero; "
        "all others are zero or above.",
    "closely_both":
        "Image sheet, one row: what DLG, the plain loop of iDLG and the engine's iDLG find from "
        "the same gradient and the same start, each with its label and mean squared error below, "
        "and the private photograph. The two of iDLG look alike.",
    "closely_sign":
        "Three bar charts for batches of one, four and eight images, x: class, y: gradient of the "
        "last layer's bias. Classes in the batch are marked with their number of images. For one "
        "image only its own class is negative; for four all present classes are; for eight some "
        "present classes are positive, so the sign misses them.",
    "fig2_process":
        "Image sheet of grey faces, rows in pairs, DLG above iDLG from the same start; columns go "
        "from noise through growing numbers of iterations to the private image, with the error "
        "under each. In the first pair both reach the face; in the second DLG, at a wrong label, "
        "ends in black and white blocks while iDLG reaches the face.",
    "fig1_fidelity":
        "Three line plots, one a data set, x: threshold of the image's error, stricter to the "
        "right, y: per cent of attacks below it, for DLG and iDLG, with 95 % bands and the "
        "published points dotted. Where the threshold is lax iDLG lies above DLG in every panel; "
        "as it gets strict both fall and come together or cross.",
    "label_rules":
        "Twelve small line plots, one a victim with random or unique labels, x: images in the "
        "batch from 1 to 64, y: per cent of labels read right, one line a rule. On untrained "
        "victims the analytic rule stays nearly exact; on the well trained one it and Wainakh's "
        "fall with the batch, below the dashed line of labels dealt out evenly.",
}
CURVES = np.logspace(-2, -6, 81)  # thresholds at which the curves of Figure 1 are drawn
COLOURS = {"DLG": "C0", "iDLG": "C1", plan.OWN_START: "C1"}
MARKS = {"DLG": "o", "iDLG": "s", plan.OWN_START: ""}
FIRST_MARK = {"DLG": 6, "iDLG": 14, plan.OWN_START: 0}  # so that marks of two curves stay apart
RULE_LINES = {  # rule: colour, line, marker and its size; lines that coincide stay visible
    "analytic": ("C2", "-", "o", 6),
    "uniform": ("C4", "-", "D", 4.5),
    "wainakh": ("C0", "-", "s", 3.5),
    "yin": ("C1", "-", "^", 2.5),
    "even": ("0.5", "--", "", 0),
}
RULE_NAMES = {"analytic": "analytic (Ma et al.)", "uniform": "uniform",
              "wainakh": "Wainakh et al.", "yin": "Yin et al.", "even": "labels dealt out evenly"}


def closely_rule(image: torch.Tensor, gradient: torch.Tensor, classes: list,
                 label: int) -> Figure:
    """A private image beside the bias gradient that it causes, its own class in another colour.

    image: (C, H, W) in [0, 1]; gradient: (classes,)."""
    fig, (left, right) = plots.axes(2, height=0.4, width_ratios=(1, 2.6))
    left.imshow(image.permute(1, 2, 0))
    left.set(xticks=[], yticks=[], title="the private image")
    right.bar(range(len(classes)), gradient,
              color=["C1" if i == label else "C0" for i in range(len(classes))])
    right.axhline(0, color="0.2", lw=0.8)
    names = [name.replace("_", " ") for name in classes]
    right.set_xticks(range(len(classes)), names, rotation=40, ha="right", rotation_mode="anchor")
    right.set(ylabel=r"$\partial\ell/\partial b_i$", title="the bias gradient that it causes")
    return fig


def closely_both(images, batch, found: dict) -> Figure:
    """Reconstructions of one image, with the label each ends at, beside the private image.

    images: the ImageSet that names the classes; batch: of one image; found: attack -> (image
    (C, H, W), label)."""
    private = batch.images[0, 0]
    pictures, notes = [], []
    for image, label in found.values():
        pictures.append(image)
        error = float((image - private).square().mean())
        notes.append(f"{images.classes[int(label)]}\nMSE {error:.0e}")
    sheet = torch.stack([*pictures, private])[None]
    notes.append(images.classes[int(batch.labels)])
    return plots.sheet(sheet, [""], [*found, "private image"], [notes], width=0.7)


def bias_signs(batches: dict) -> Figure:
    """The bias gradient of each batch as bars, a class of the batch marked with its count.

    batches: title -> (gradient (10,), labels (B,))."""
    fig, axes = plots.axes(3, height=0.36, sharey=True)
    for ax, (title, (gradient, labels)) in zip(axes, batches.items(), strict=True):
        count = torch.bincount(labels, minlength=10).tolist()
        ax.bar(range(10), gradient, color=["C1" if n else "C0" for n in count])
        for i, n in enumerate(count):
            if n:
                below = float(gradient[i]) < 0
                ax.annotate(str(n), (i, float(gradient[i])), xytext=(0, -9 if below else 3),
                            textcoords="offset points", ha="center", fontsize=7)
        ax.axhline(0, color="0.2", lw=0.8)
        ax.set(title=title, xlabel="class $i$", ylim=(-1.15, 0.75), xticks=range(10))
        ax.plot([], [], "s", color="C1", label="in the batch (number of images)")
        ax.plot([], [], "s", color="C0", label="not in the batch")
    axes[0].set_ylabel(r"$\partial\ell/\partial b_i$")
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=2)
    return fig


# --- Figure 2


def process(cells: dict[str, Cell]) -> Figure:
    """Figure 2: images along DLG and iDLG of one client that both recover, and of one that iDLG
    recovers and DLG, at a wrong label, does not. cells: by attack, with the same iterations."""
    dlg, idlg = recovered(cells["DLG"]), recovered(cells["iDLG"])
    wrong = ~label_right(cells["DLG"])
    rows, labels, notes = [], [], []
    for clients in (idlg & dlg, idlg & wrong & ~dlg):
        for k in np.flatnonzero(clients)[:1]:
            for attack, cell in cells.items():
                rows.append(_strip(cell, k))
                labels.append(f"{attack}\nlabel {cell.table.label[k]}\n"
                              f"true {cell.table.true_label[k]}")
                first, *errors = cell.arrays["mse"][k]
                notes.append([f"MSE {first:.1f}", *(f"{error:.0e}" for error in errors), ""])
    iterations = cells["DLG"].config[0]["record"]
    columns = ["start", *(f"{i} it." for i in iterations[1:]), "private"]
    return plots.sheet(np.stack(rows), labels, columns, notes)


def _strip(cell: Cell, k: int) -> np.ndarray:
    """The recorded images of client k and its private image, in [0, 1], (T + 1, C, H, W)."""
    return np.concatenate((cell.arrays["states"][k, :, 0], cell.arrays["truth"][k])) / 255


# --- Figure 1


def fidelity(attacks: Results, numbers: pd.DataFrame) -> Figure:
    """Figure 1: the share of attacks below a threshold, published (numbers) and measured."""
    fig, axes = plots.axes(3, height=0.55, sharey=True)
    for ax, paper_set in zip(axes, plan.SETS, strict=True):
        _fidelity_panel(ax, paper_set, attacks, numbers)
    for ax in axes:
        ax.minorticks_off()
    axes[0].set_ylabel("attacks below it, %")
    lines = {"DLG": "C0o-", "iDLG": "C1s-", "iDLG, own start": "C1--",
             "published †": "k:"}
    if attacks.profile == "quick":
        lines["this run: other, easier images"] = "k-."
    for name, line in lines.items():
        axes[0].plot([], [], line, ms=3.5, lw=1, label=name)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncol=3)
    return fig


def _fidelity_panel(ax: Axes, paper_set: str, attacks: Results, numbers: pd.DataFrame) -> None:
    quick = attacks.profile == "quick"
    for attack in plan.ATTACKS:
        points = numbers[numbers.row == f"{paper_set}, {attack}"]
        ax.plot(points.column.astype(float), points.value, ":", color=COLOURS[attack],
                marker=MARKS[attack], ms=2.5, lw=1)
        if (paper_set, attack) in attacks.stored:
            _stored_curve(ax, attack, attacks.stored[paper_set, attack])
        if quick and (paper_set, attack) in attacks.here and attack != plan.OWN_START:
            shares = _curves(attacks.here[paper_set, attack])[0]
            ax.plot(CURVES, shares, "-.", color=COLOURS[attack], marker=MARKS[attack], ms=2.5,
                    markevery=(FIRST_MARK[attack], 20), lw=0.7)
    title = paper_set
    if (paper_set, "DLG") in attacks.stored:
        title += f", n = {attacks.stored[paper_set, 'DLG'].n}"
    if quick:
        name = plan.SETS[paper_set]["quick"]["name"]
        title += f"\n(this run: {name}, n = {attacks.here[paper_set, 'DLG'].n})"
    ax.set(xscale="log", xlim=(1.3e-2, 8e-7), ylim=(0, 103),
           xlabel="MSE threshold (stricter →)", title=title)


def _stored_curve(ax: Axes, attack: str, cell: Cell) -> None:
    """The curve of the paper profile, with its interval where DLG and iDLG share their start."""
    own_start = attack == plan.OWN_START
    shares, low, high = _curves(cell)
    ax.plot(CURVES, shares, "--" if own_start else "-", color=COLOURS[attack], marker=MARKS[attack],
            ms=3.5, markevery=(FIRST_MARK[attack], 20), lw=1 if own_start else 1.6)
    if not own_start:
        ax.fill_between(CURVES, low, high, color=COLOURS[attack], alpha=0.15, lw=0)


def _curves(cell: Cell) -> np.ndarray:
    """Share, low and high of its interval at every threshold, in per cent, (3, 81)."""
    shares = [share_of(recovered(cell, threshold)) for threshold in CURVES]
    return np.array([[share["share"], share["low"], share["high"]] for share in shares]).T


# --- labels of batches


def label_rules(cells: dict[tuple[str, bool], Cell]) -> Figure:
    """The share of a batch's labels that each rule reads right, a panel a victim and kind of
    labels. cells: by (victim, whether labels are unique)."""
    fig, axes = plots.axes(3, 4, height=1.15, sharex=True, sharey=True)
    for i, title in enumerate(plan.VICTIMS):
        for unique in (False, True):
            ax = axes[2 * (i // 3) + unique, i % 3]
            if (title, unique) in cells:
                _rule_lines(ax, cells[title, unique].table)
            ax.set(xscale="log", ylim=(-3, 106), xticks=plan.SIZES, xticklabels=plan.SIZES,
                   title=f"{title},\n{'unique' if unique else 'random'} labels")
            ax.minorticks_off()
    for ax in axes[:, 0]:
        ax.set_ylabel("read right, %")
    fig.supxlabel("images in the batch", fontsize=8)
    fig.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside upper center", ncol=3)
    return fig


def _rule_lines(ax: Axes, table: pd.DataFrame) -> None:
    for rule, (colour, line, marker, size) in RULE_LINES.items():
        mean = table[table.rule == rule].groupby("B").accuracy.mean()
        ax.plot(mean.index, 100 * mean, line, color=colour, marker=marker, ms=size,
                lw=size / 3 + 0.5, label=RULE_NAMES[rule])
