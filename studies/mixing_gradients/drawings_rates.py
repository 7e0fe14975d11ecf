"""Drawings of notebook 06 that show rates: R4, the attack in the span, R5 to R7, noise."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from studies import plots
from studies.mixing_gradients import drawings, settings, tables
from studies.mixing_gradients.tables_accuracy import PUBLISHED_NAMES

STRATEGY_LOOKS = {  # color: the loss; line: the draw
    strategy: (f"C{i // 2}", ("-", "--")[i % 2], "oD^"[i // 2])
    for i, strategy in enumerate(settings.STRATEGIES)}
PANELS = {  # R4: title: (criterion, how the best attack is chosen, which attacks compete)
    "AVD < 0.8\nmatching": ("AVD < 0.8", "by truth", "matching"),
    "SSIM > 0.5\nmatching": ("SSIM > 0.5", "by truth", "matching"),
    "MSE < 0.01\n+ closed form": ("MSE < 0.01", "by truth", "matching or closed form"),
    "MSE < 0.01\nin the span (ours)": ("MSE < 0.01", "nearest gradient", settings.IN_SPAN)}
COLORS = dict(zip(PUBLISHED_NAMES, ("C0", "C1", "C2", "C3"), strict=True))
MARKS = dict(zip(PUBLISHED_NAMES, "osD^", strict=True))
SIZES = dict(zip(PUBLISHED_NAMES, (3, 9, 6, 5), strict=True))  # marks at one place stay visible
FILLED = ("CE", "MSE of logits")
R5_COLUMNS = {  # column of the table: what its panel adds to the title
    "AVD < 0.8": "matching", "MSE < 0.01": "+ closed form", "in the span": "MSE < 0.01 (ours)"}
R6_COLUMNS = {"AVD < 0.8": "best of five", "MSE < 0.01": "best of five"}
R5_POINTS = {2: "B=2", 4: "B=4", 6: "B=6"}  # batch size: the published column
R6_POINTS = {2: "(2,6)", 4: "(4,8)", 6: "(6,10)", 8: "(8,12)"}
PUBLISHED_TITLE = "published (digitised)\nAVD < 0.8"
NOISE_FLOOR = 90  # % accuracy: in the paper profile the axis begins here
NOISE_LABELLED = {  # variances that are written beside their points, and how far off, in points
    "CE, random labels": {1e-6: (-8, -11), 1e-5: (-30, -2), 1e-3: (5, -9)},
    "CE, equal labels": {1e-7: (0, 5), 1e-6: (-4, 5), 1e-5: (4, -10), 1e-3: (5, 3)}}

# --- R4 and the attack in the span


def dense_rates(shares: pd.DataFrame, numbers: pd.DataFrame) -> Figure:
    """R4: recovery by batch size, a line a strategy; the published rates, then ours."""
    fig, axes = plots.axes(1 + len(PANELS), height=0.42, sharey=True)
    _published_rates(axes[0], numbers)
    for ax, (title, (criterion, best, group)) in zip(axes[1:], PANELS.items(), strict=True):
        for strategy, (color, line, mark) in STRATEGY_LOOKS.items():
            points = tables.chosen_rates(shares, strategy, criterion, best, group)
            if "closed" in group and "CE" not in strategy:
                points = points[points.B > 1]  # no closed form was run behind the other losses
            ax.plot(points.B, points.rate, line, marker=mark, ms=3, color=color, label=strategy)
        ax.set(title=title)
    for ax in axes:
        ax.set(xlabel="B", xticks=[1, 2, 4, 6], ylim=(-4, 104))
        ax.title.set_fontsize(7)
    axes[0].set_ylabel("images recovered, %")
    fig.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncol=3)
    return fig


def _published_rates(ax: Axes, numbers: pd.DataFrame) -> None:
    for strategy, row in tables.PUBLISHED_R4.items():
        color, line, mark = STRATEGY_LOOKS[strategy]
        batches = (1, 2, 4, 6)
        rates = [tables.published_number(numbers, "r4", row, f"B={B}")["value"] for B in batches]
        ax.plot(batches, rates, line, marker=mark, ms=3, color=color)
    ax.set(title=PUBLISHED_TITLE)


def in_span_rates(rates: pd.DataFrame) -> Figure:
    """The attack in the span by batch size: a panel a strategy, a line by what is known."""
    fig, axes = plots.axes(3, height=0.42, sharey=True)
    for ax, strategy in zip(axes, settings.IN_SPAN_STRATEGIES, strict=True):
        lines = rates[rates.strategy == strategy].groupby(["labels", "rounds"], sort=False)
        for (labels, rounds), points in lines:
            ax.plot(points.B, 100 * points.recovered, ms=3.5, **_in_span_look(labels, rounds))
        ax.set(title=strategy, xlabel="B", ylim=(-4, 104), xticks=sorted(rates.B.unique()))
        ax.title.set_fontsize(7)
    axes[0].set_ylabel("images with MSE < 0.01, %")
    drawings.legend_of_all(fig, axes, 3)
    return fig


def _in_span_look(labels: str, rounds: str) -> dict[str, str]:
    line = "-" if rounds == "one round" else "--"
    if labels != "labels known":
        return {"color": "C1", "ls": line, "marker": "s", "label": f"labels inferred, {rounds}"}
    color, mark = ("C0", "o") if rounds == "one round" else ("C2", "D")
    return {"color": color, "ls": line, "marker": mark, "label": f"{labels}, {rounds}"}


# --- R5 and R6: accuracy against recovery


def dense_plane(table: pd.DataFrame, numbers: pd.DataFrame) -> Figure:
    """R5: a dense layer."""
    return _plane(table, R5_COLUMNS, _published_points(numbers, "r5", R5_POINTS),
                  {B: f"B = {B}" for B in sorted(table.B.unique())})


def lenet_plane(table: pd.DataFrame, numbers: pd.DataFrame) -> Figure:
    """R6: a LeNet."""
    channels = table.drop_duplicates("B").set_index("B").channels
    return _plane(table, R6_COLUMNS, _published_points(numbers, "r6", R6_POINTS),
                  {B: f"B = {B}\n{count} channels" for B, count in channels.items()})


def _published_points(numbers: pd.DataFrame, float_id: str, points: dict[int, str]
                      ) -> pd.DataFrame:
    """A row a way to train and batch size: recovery and accuracy as published."""
    rows = []
    for training, name in PUBLISHED_NAMES.items():
        for B, point in points.items():
            recovery, accuracy = (
                tables.published_number(numbers, float_id, name, f"{point}, {what}")["value"]
                for what in ("recovery", "accuracy"))
            rows.append({"strategy": training, "B": B, "published": recovery,
                         "accuracy": accuracy})
    return pd.DataFrame(rows)


def _plane(table: pd.DataFrame, columns: dict[str, str], published: pd.DataFrame,
           settings_of: dict[int, str]) -> Figure:
    """Accuracy against recovery: a column for what is published and for each criterion, a row a
    setting (batch size: its name), a mark a training strategy."""
    points = table.merge(published[["strategy", "B", "published"]], how="left")
    points["published accuracy"] = points[["strategy", "B"]].merge(
        published, how="left").accuracy.to_numpy()
    rows, names = len(settings_of), ["published", *columns]
    fig, grid = plots.axes(len(names), rows, height=0.12 + 0.17 * rows, sharex=True, sharey=True,
                           squeeze=False)
    for axes, (B, setting) in zip(grid, settings_of.items(), strict=True):
        some = points[points.B == B]
        for ax, name in zip(axes, names, strict=True):
            _marks(ax, some[name], some[_accuracy_of(name)], some.strategy)
        axes[0].set_ylabel(f"{setting}\naccuracy, %", fontsize=7)
    grid[0, 0].set_title(PUBLISHED_TITLE, fontsize=7)
    for ax, (column, attacks) in zip(grid[0, 1:], columns.items(), strict=True):
        ax.set_title(f"{column}\n{attacks}", fontsize=7)
    for ax in grid[-1]:
        ax.set(xlabel="recovered, %", xlim=(-12, 112), xticks=[0, 50, 100])
    fig.legend(*grid[0, 0].get_legend_handles_labels(), loc="outside lower center", ncol=4)
    return fig


def _accuracy_of(name: str) -> str:
    """The column with the accuracy that belongs to a column of rates."""
    return "published accuracy" if name == "published" else "accuracy"


def _marks(ax: Axes, recovered: pd.Series, accuracies: pd.Series, strategies: pd.Series) -> None:
    """A mark for each training strategy; open and of sizes that differ, so that all are seen."""
    for recovery, accuracy, training in zip(recovered, accuracies, strategies, strict=True):
        fill = COLORS[training] if training in FILLED else "none"
        ax.plot(recovery, accuracy, MARKS[training], ms=SIZES[training], color=COLORS[training],
                mfc=fill, mew=1.2, label=training, ls="none")
    ax.margins(y=0.12)
    ax.grid(lw=0.3)


# --- R7


def heat_maps(maps: pd.DataFrame, criterion: str) -> Figure:
    """R7: images recovered by batch size and channels; a row an image set, a column a strategy."""
    sets = list(maps.images.unique())
    fig, axes = plots.axes(3, len(sets), height=0.28 * len(sets) + 0.06, squeeze=False)
    for row, images in zip(axes, sets, strict=True):
        for ax, strategy in zip(row, settings.LENET_STRATEGIES, strict=True):
            some = maps[(maps.images == images) & (maps.strategy == strategy)]
            shown = _heat_map(ax, some.pivot(index="B", columns="channels", values=criterion))
        row[0].set_ylabel(f"{images.upper()}\nB")
    for ax, strategy in zip(axes[0], settings.LENET_STRATEGIES, strict=True):
        ax.set_title(strategy.replace(", ", "\n"), fontsize=7)
    for ax in axes[-1]:
        ax.set_xlabel("channels")
    fig.colorbar(shown, ax=axes, label=f"{criterion}, %", fraction=0.03)
    return fig


def _heat_map(ax: Axes, rates: pd.DataFrame) -> AxesImage:
    shown = ax.imshow(rates, cmap="cividis", vmin=0, vmax=100, origin="lower", aspect="auto")
    for i, j in np.ndindex(rates.shape):
        rate = rates.iloc[i, j]
        ax.text(j, i, f"{rate:.0f}", ha="center", va="center", fontsize=7,
                color="w" if rate < 60 else "k")
    ax.set(xticks=range(rates.shape[1]), xticklabels=rates.columns,
           yticks=range(rates.shape[0]), yticklabels=rates.index)
    return shown


# --- noise


def noise_against_mixing(noise: pd.DataFrame, mixtures: pd.DataFrame, profile: str) -> Figure:
    """Accuracy against recovery: a line a strategy under growing noise, a mark a mixture without.

    profile: whose cells they are; the paper's accuracies need an axis of their own, and what lies
    below it is drawn at its foot with its value."""
    fig, ax = plots.axes(1, height=0.45)
    looks = {"CE, random labels": ("0.4", "o-"), "CE, equal labels": ("0.7", "s--")}
    for strategy, (color, line) in looks.items():
        points = noise[noise.strategy == strategy]
        ax.plot(points["any of the four"], points.accuracy, line, color=color, ms=3.5,
                label=f"{strategy} + Gaussian noise")
        _write_variances(ax, points, NOISE_LABELLED[strategy])
    for row in mixtures.itertuples():
        low = profile == "paper" and row.accuracy < NOISE_FLOOR
        value = f" ({row.accuracy:.1f} %, below)" if low else ""
        ax.plot(row.recovered, NOISE_FLOOR + 0.05 if low else row.accuracy, MARKS[row.strategy],
                color=COLORS[row.strategy], ms=6, label=f"{row.strategy}, no noise{value}")
    ax.set(xlabel="images with MSE < 0.01 by any of four attacks, %", ylabel="test accuracy, %",
           xlim=(-5, 105))
    if profile == "paper":
        ax.set(ylim=(NOISE_FLOOR, 92.5))
    fig.legend(*ax.get_legend_handles_labels(), loc="outside right upper")
    return fig


def _write_variances(ax: Axes, points: pd.DataFrame, offsets: dict[float, tuple[int, int]]
                     ) -> None:
    for _, row in points[points.variance.isin(offsets)].iterrows():
        ax.annotate(f"{row.variance:.0e}", (row["any of the four"], row.accuracy),
                    xytext=offsets[row.variance], textcoords="offset points", fontsize=7)
