"""Figures of notebook 05, and what they show in words, for a reader who cannot see them."""

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lib import defenses, metrics, run
from lib.attacks import Reconstruction
from lib.data import Batch, ImageSet
from studies import plots
from studies.huang_evaluation import settings
from studies.huang_evaluation.arms import full_cells
from studies.huang_evaluation.defense_tables import Attacker, strongest
from studies.huang_evaluation.plan import Plan
from studies.huang_evaluation.tables import shown

ALT = {
    "closely_weights":
        "Image sheet, one row a photograph: a face, a flower, a cup, a cat's eye. Columns: the "
        "private image, then what is recovered with statistics at three weights. At weight 0 the "
        "picture is sharp but in wrong colours, at 0.01 nearly right, at 0.1 covered with "
        "coloured specks. PSNR in dB below each.",
    "closely_defended":
        "Image sheet, one row a photograph, a face and a flower. Columns: the private image, then "
        "what is recovered without a defense, under GradPrune 0.9 and 0.99, the same by an "
        "attacker who knows the mask, under MixUp 4 and InstaHide 4. Pruning adds specks, the "
        "mask removes many; MixUp shows a blend, InstaHide noise.",
    "closely_one_attack":
        "Image sheet, one row a crop of a photograph, six columns: the guess after 0, 10, 30, 60 "
        "and 100 iterations, and the private crop. Coloured noise settles into vague patches in "
        "which the private crop is hardly to be recognised, although labels and statistics were "
        "given.",
    "fig1_statistics":
        "Strip plots of PSNR in dB, one panel a batch size, one column of dots for each thing that "
        "is known of the BatchNorm statistics, with median and quartiles; a dotted line marks "
        "mid-grey. Exact statistics put into the network (fixed) do worse than none, and as "
        "targets at this weight they do not beat none.",
    "fig2_labels":
        "Strip plot: x: the labels of the batch, such as all different or all equal; y: PSNR in "
        "dB; side by side the images whose labels are given (left) and optimised (right), with "
        "median and quartiles; a dotted line marks mid-grey. Compare left with right within one "
        "composition.",
    "closely_encodings":
        "Image sheet, one column a photograph, five rows: the image, and what the network is fed "
        "under MixUp 4, MixUp 6, InstaHide 4 and InstaHide 6. MixUp leaves blends in which the "
        "outlines of several photographs lie over one another, InstaHide coloured noise.",
    "fig3_reconstructions":
        "Image sheet, two private images as single ones and in a batch, one row each; one column a "
        "defense: the private image first, then what the strongest attacker recovers, PSNR in dB "
        "below. With no defense single images show through, and less after pruning; MixUp tiles "
        "are blends, InstaHide tiles coloured noise. In the batch every tile is noise.",
    "fig7_reconstructions":
        "Image sheet, one row a private image, alone in its batch, one column a defense: the "
        "private image first, then what the strongest attacker recovers, PSNR in dB below. The "
        "more pruning cuts, the more the image fades, to a smear at 99.9 %; MixUp tiles are "
        "blends, InstaHide tiles coloured noise whatever is added.",
    "utility_privacy":
        "Scatter plots, one panel a batch size: x: PSNR in dB of what is recovered; y: test "
        "accuracy; one mark a defense under its strongest attacker, a line leading back to the "
        "plain one; dotted: mid-grey and chance. Up and left is wanted; InstaHide lies at the "
        "left, and costs 26 points of accuracy.",
    "fade":
        "Strip plot: x: epochs that the victim was trained for, its test accuracy above; y: PSNR "
        "in dB of each recovered image, with median and quartiles. Compare the untrained network "
        "with ever longer trained ones: on the LeNet the first epoch lowers the PSNR, later ones "
        "raise it again.",
    "budget":
        "Line plot, one colour a condition, one thin line a network and a thick one of their mean: "
        "x: iterations of the attack; y: mean PSNR in dB of the images; dotted: the 2,400 "
        "iterations of the tables. A line that still rises there had not ended."}
STATISTICS_NAMES = {  # of settings.STATISTICS, as a figure says them
    "exact": "exact", "proxy": "proxy", "inferred": "none", "exact, fixed": "exact,\nfixed",
    "proxy, fixed": "proxy,\nfixed", "client in eval mode": "eval\nmode"}
GREY_LINE = {"color": "0.6", "lw": 0.8, "ls": ":"}
MARKS = {  # colour and mark of a kind of defense, by how its name begins; the longest counts
    "None": ("0.3", "*"), "GradPrune": ("C0", "o"), "MixUp": ("C1", "s"),
    "InstaHide": ("C2", "D"), "GradPrune 0.9 +": ("C3", "^")}
CHANCE = 10  # per cent of test images that a guess classifies right, of ten classes


# --- sheets of images


def sheet(images: np.ndarray | torch.Tensor, **how) -> Figure:
    """`plots.sheet` with crisp pixels: where they are smoothed, noise makes large files."""
    with plt.rc_context({"image.interpolation": "nearest"}):
        return plots.sheet(images, **how)


def one_attack(guess: Reconstruction, batch: Batch) -> Figure:
    """The recorded iterations of one attack on clients of a single image, and the private images;
    a row a client."""
    steps = list(guess.history.images)
    states = [guess.history.images[step][:, 0, 0] for step in steps]  # each (K, C, H, W)
    names = [str(step) for step in steps[:-1]] + [f"{steps[-1]} iterations", "private"]
    frames = torch.stack([*states, batch.images[:, 0]], 1)
    return sheet(frames, column_labels=names, width=0.7)


def compared(truth: torch.Tensor, columns: dict[str, torch.Tensor], width: float = 1) -> Figure:
    """Private images (K, C, H, W) in [0, 1] beside reconstructions of the same shape, a column a
    name, with their PSNR in dB."""
    scores = [metrics.psnr(images, truth).tolist() for images in columns.values()]
    notes = [["", *(f"{score:.1f} dB" for score in row)] for row in zip(*scores, strict=True)]
    return sheet(torch.stack([truth, *columns.values()], 1), column_labels=["private", *columns],
                 notes=notes, width=width)


def encodings(images: ImageSet, rows: list[int], seed: int) -> Figure:
    """What a network is fed: the images of eight rows or more, of which eight are shown, and their
    encodings by MixUp and InstaHide, mixed with one another."""
    pool = images.clients(1, len(rows), indices=[rows])
    targets = torch.nn.functional.one_hot(pool.labels[0], images.num_classes).float()
    fed = {"image": pool.images[0]}
    for name, defense in (("MixUp", defenses.MixUp), ("InstaHide", defenses.InstaHide)):
        for k in (4, 6):
            rng = run.generator("shown", seed)
            fed[f"{name} {k}"] = defense(k).encode(pool.images[0], targets, rng)[0]
    shown = torch.stack([encoded[:8] for encoded in fed.values()])
    return sheet(shown, row_labels=list(fed), width=0.9)


def gallery(sweeps: Plan, names: list | tuple, sizes: tuple, per: int) -> Figure:
    """Figures 3 and 7: a column a defense, `per` rows a batch size: the private images first, then
    what the strongest attacker recovers, with its PSNR in dB."""
    best = {B: _pictured(sweeps, names, B) for B in sizes}
    present = [name for name in names if all(name in best[B] for B in sizes)]
    blocks, notes, rows = [], [], []
    for B in sizes:
        truth = best[B][present[0]].cell.arrays["truth"][:per]
        columns = []
        for name in present:
            attacker = best[B][name]
            columns.append(attacker.cell.arrays[attacker.pictures][:per])
        blocks.append(np.stack([truth, *columns], 1))
        rows += [f"B = {B}"] * len(truth)
        notes += _psnr_notes(columns, truth)
    wide = len(present) < 8
    labels = ["private", *(_short(name, wide) for name in present)]
    return sheet(np.concatenate(blocks) / 255, row_labels=rows, column_labels=labels, notes=notes,
                 width=1)


def _pictured(sweeps: Plan, names: list | tuple, B: int) -> dict[str, Attacker]:
    """The strongest attacker under each defense whose pictures are kept."""
    best = {name: strongest(sweeps, name, B) for name in names}
    return {name: attacker for name, attacker in best.items()
            if attacker is not None and attacker.pictures in attacker.cell.arrays}


def _psnr_notes(columns: list[np.ndarray], truth: np.ndarray) -> list[list[str]]:
    """For each private image the PSNR (dB) of what is in its columns; nothing below itself."""
    private = torch.tensor(truth) / 255
    scores = [metrics.psnr(torch.tensor(images) / 255, private).numpy() for images in columns]
    texts = np.stack(scores, 1).round(1).astype(str).tolist()
    return [["", *row] for row in texts]


def _short(defense: str, wide: bool) -> str:
    """A defense's name in two lines that fit above a picture, a wide or a narrow one."""
    if wide:
        names = defense.replace("GradPrune 0.9 +", "Prune 0.9 +").split(" + ")
        return names[0].replace(" ", "\n") if len(names) == 1 else " +\n".join(names)
    mixing = {"MixUp ": "Mix\n", "InstaHide ": "Insta\n"}
    if "+" in defense:
        mixing = {"MixUp ": "Mix ", "InstaHide ": "Ins. "}
    pruning = {"GradPrune 0.9 + ": "P .9 +\n", "GradPrune 0": "Prune\n"}
    for name, short in (pruning | mixing).items():
        defense = defense.replace(name, short)
    return defense


# --- strips of dots


def statistics(images: pd.DataFrame, mid_grey: np.ndarray) -> Figure:
    """Figure 1: PSNR by what is known of the statistics, a panel a batch size, of
    `tables.statistics_images`; dotted: mid-grey."""
    sizes = sorted(images.B.unique())
    counts = [images[images.B == B].statistics.nunique() for B in sizes]
    fig, axes = plots.axes(len(sizes), height=0.5, sharey=True, squeeze=False, width_ratios=counts)
    for ax, B in zip(axes[0], sizes, strict=True):
        of_size = images[images.B == B]
        present = [known for known in settings.STATISTICS if known in set(of_size.statistics)]
        for position, known in enumerate(present):
            color = f"C{list(settings.STATISTICS).index(known)}"
            psnr = of_size[of_size.statistics == known].psnr
            plots.dots(ax, position, psnr, color=color)
        title = "single images" if B == 1 else f"batches of {B}"
        ax.set(title=title, xticks=range(len(present)))
        ax.set_xticklabels([STATISTICS_NAMES[known] for known in present])
        ax.margins(x=0.1)
        ax.axhline(mid_grey.mean(), **GREY_LINE)
    axes[0, 0].set_ylabel("PSNR, dB")
    return fig


def labels(sweeps: Plan, mid_grey: np.ndarray) -> Figure:
    """Figure 2: PSNR by the labels of the batch, given (left) or optimised (right)."""
    fig, ax = plots.axes(1, width=0.6, height=0.55)
    cells = {key: shown(sweeps, sweep) for key, sweep in sweeps.labels.items()}
    present = [composition for composition in settings.COMPOSITIONS
               if cells[composition, "known"] is not None]
    sides = {"known": (0, "C0"), "unknown": (0.75, "C1")}
    for (composition, known), cell in cells.items():
        if cell is not None:
            shift, color = sides[known]
            position = 1.6 * present.index(composition) + shift
            plots.dots(ax, position, cell.table.psnr, color=color)
    for color, name in (("C0", "left: labels given"), ("C1", "right: optimised")):
        ax.plot([], [], "o", ms=3, color=color, label=name)
    ax.axhline(mid_grey.mean(), label="mid-grey", **GREY_LINE)
    ticks = [1.6 * i + 0.45 for i in range(len(present))]
    ax.set(xticks=ticks, xticklabels=present, ylabel="PSNR, dB")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return fig


def fading(images: pd.DataFrame) -> Figure:
    """PSNR by the epochs that the victim was trained for, of `tables.fading_images`; above: its
    test accuracy."""
    epochs = sorted(images.epochs.unique())
    fig, ax = plots.axes(1, width=0.6, height=0.55)
    for position, trained_for in enumerate(epochs):
        rows = images[images.epochs == trained_for]
        plots.dots(ax, position, rows.PSNR, color="C0")
        accuracy = rows.accuracy.iloc[0]
        text = "" if np.isnan(accuracy) else f"{100 * accuracy:.0f} %"
        ax.annotate(text, (position, 1), xycoords=("data", "axes fraction"), ha="center",
                    va="bottom", fontsize=7)
    ax.set(xticks=range(len(epochs)), xticklabels=epochs, ylabel="PSNR, dB",
           xlabel="epochs of training (above: test accuracy)")
    return fig


def budget(sweeps: Plan) -> Figure | None:
    """PSNR by the iterations of the attack, under each condition of `settings.FULL` that is stored,
    each victim and their mean; None where nothing is."""
    fig, ax = plots.axes(1, height=0.5)
    for number, condition in enumerate(settings.FULL):
        paths = [cell.arrays["path"].mean(0) for cell in full_cells(sweeps, condition).values()]
        for path in paths:
            ax.plot(settings.RECORDED, path, color=f"C{number}", lw=0.4, alpha=0.6)
        if paths:
            mean = np.mean(paths, 0)
            ax.plot(settings.RECORDED, mean, color=f"C{number}", lw=1.5, label=condition)
    if not ax.lines:
        plt.close(fig)
        return None
    ax.axvline(settings.ITERATIONS["paper"], **GREY_LINE)
    ax.set(xlabel="iterations", ylabel="mean PSNR, dB")
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right center")
    return fig


# --- accuracy against privacy


def tradeoff(leak: pd.DataFrame, accuracy: dict[str, pd.Series], sizes: tuple,
             mid_grey: np.ndarray) -> Figure:
    """Test accuracy against what is recovered, a panel a batch size, a mark a defense: at its
    strongest attacker, with a line back to the plain one. leak: of `defense_tables.leakage`."""
    fig, axes = plots.axes(2, height=0.55, sharey=True, sharex=True)
    for ax, B in zip(axes, sizes, strict=True):
        for row in leak[leak.B == B].itertuples():
            if row.defense in accuracy:
                _mark(ax, row.defense, row.plain, row.PSNR, 100 * accuracy[row.defense].mean())
        ax.axvline(mid_grey.mean(), **GREY_LINE)
        ax.axhline(CHANCE, **GREY_LINE)
        title = "single images" if B == 1 else f"batches of {B}"
        ax.set(title=title, xlabel="PSNR, dB, of what is recovered")
        ax.margins(0.18)
    axes[0].set_ylabel("test accuracy, %")
    for kind, (color, mark) in MARKS.items():
        name = "GradPrune 0.9 + mixing (+)" if kind.endswith("+") else kind
        axes[0].plot([], [], mark, color=color, ms=4, label=name)
    fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncol=5)
    return fig


def _mark(ax: Axes, defense: str, plain: float, psnr: float, accuracy: float) -> None:
    """The mark of a defense, its line back to the plain attacker, and its name."""
    kind = max((kind for kind in MARKS if defense.startswith(kind)), key=len)
    color, mark = MARKS[kind]
    ax.plot([plain, psnr], [accuracy, accuracy], color=color, lw=0.8)
    ax.plot(psnr, accuracy, mark, color=color, ms=5)
    shift, side = (4, 4), "left"
    if "+" in defense:
        shift, side = (-4, -10), "right"
    elif "Mix" in defense:
        shift, side = (4, -9), "left"
    elif "Prune" in defense:
        shift, side = (-2, 5), "right"
    name = defense.replace("GradPrune 0.9 + ", "+ ").replace("GradPrune ", "")
    name = name.replace("MixUp ", "M").replace("InstaHide ", "I")
    ax.annotate(name, (psnr, accuracy), xytext=shift, ha=side, textcoords="offset points",
                fontsize=7, bbox={"fc": "white", "ec": "none", "pad": 0.3, "alpha": 0.8})
