"""Figures of notebook 10."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from lib import bounds
from studies import plots
from studies.cells import Cell
from studies.realistic import claims, elsewhere, settings, tables
from studies.realistic.arms import ARMS, plain_of
from studies.realistic.elsewhere import Elsewhere

PICTURES = 4  # of a network and end
COLOURS = {"ends": "C0", "towards": "C2", "back": "C1"}


def closely(rows: dict[str, Tensor]) -> Figure:
    """Single images (n, C, H, W), a row a name."""
    return plots.sheet(np.stack([row.numpy() for row in rows.values()]), list(rows), width=0.62)


def error_of_mean_image(prior: Cell) -> float:
    """The mean squared error of the best guess without an update that is the same for all."""
    return float(prior.table.variance.iloc[0])


def both_ends(cells: claims.Cells) -> Figure:
    """Private images and what the attack makes of them, at both ends, a pair of rows a network
    whose ends are both computed."""
    rows, labels = [], []
    for name, network in settings.NETWORKS.items():
        pair = [cells.laboratory[name], cells.round[name]]
        if any(cell is None or "found" not in cell.arrays for cell in pair):
            continue
        for kind, words in (("truth", "private"), ("found", "found")):
            shown = [cell.arrays[kind][:PICTURES].astype(float) / 255 for cell in pair]
            rows.append(np.concatenate(shown))
            labels.append(f"{network.title}\n{words}")
    if not rows:
        fig, ax = plots.axes(width=0.5, height=0.2)
        ax.text(0.5, 0.5, "not computed", ha="center")
        ax.set_axis_off()
        return fig
    heads = ["laboratory", *[""] * (PICTURES - 1), "round", *[""] * (PICTURES - 1)]
    return plots.sheet(np.stack(rows), labels, heads, width=1.0)


def ladder(cells: claims.Cells, name: str) -> Figure:
    """dB above the mean colour, a dot a network, a line of text a setting: from the laboratory
    with one property changed, to the round with one taken back."""
    network = settings.NETWORKS[name]
    keys = settings.changed(network)
    rows = [("laboratory", cells.laboratory[name], "ends")]
    rows += [(f"+ {settings.in_words(network, key)}", cells.towards[name, key], "towards")
             for key in keys]
    rows += [(f"round, {tables.LABORATORY_WORDS[key]}", cells.back[name, key], "back")
             for key in keys]
    rows.append(("round", cells.round[name], "ends"))
    fig, ax = plots.axes(width=0.9, height=0.06 * len(rows))
    for place, (_, cell, kind) in enumerate(rows):
        if cell is None:
            ax.text(0.4, place, "not computed", fontsize=7, color="0.5", va="center")
            continue
        gain = claims.gain(cell).to_numpy()
        ax.plot(gain, np.full(len(gain), place), "o", ms=3, alpha=0.6, mec="none",
                color=COLOURS[kind])
        ax.plot([gain.mean()], [place], "|", ms=10, mew=1.6, color=COLOURS[kind])
    ax.axvline(0, color="0.6", lw=0.8)
    ax.axvline(claims.CLEAR, color="0.6", lw=0.8, ls=":")
    ax.set(yticks=range(len(rows)), yticklabels=[words for words, _, _ in rows],
           ylim=(len(rows) - 0.5, -0.5), xlabel="dB above the mean colour (dotted: 1 dB)",
           title=network.title)
    return fig


def dpsgd(stored: Elsewhere, prior: Cell, mean_image: float, adaptive: Cell | None) -> Figure:
    """Left: at most so often an attack names the image among 201. Right: dB that no attack exceeds,
    those of a server that cheats, and those of our attacks."""
    noises = np.geomspace(1e-3, 10, 200)
    known = prior.table.iloc[0]
    fig, (left, right) = plots.axes(2, width=1, height=0.42)
    left.plot(noises, [bounds.success(noise, 1 / tables.CANDIDATES) for noise in noises],
              color="C0")
    left.axhline(1 / tables.CANDIDATES, color="0.6", lw=0.8, ls="--")
    left.set(xscale="log", xlabel="noise multiplier", ylim=(-0.03, 1.03),
             ylabel="share named of 201, at most")
    length = (known.variance * known.pixels) ** 0.5
    some = noises[noises >= 0.05]  # below it the bound is far above the picture
    right.plot(some, [bounds.psnr(bounds.error(n, known.variance)) for n in some], color="C0",
               label="bound: any attack")
    right.plot(noises, [bounds.psnr(bounds.without_prior(n, length, int(known.pixels)))
                        for n in noises], color="C1", label="server that cheats, no prior")
    right.axhline(bounds.psnr(mean_image), color="0.5", lw=0.8, ls="--", label="mean image")
    found = {noise: elsewhere.error(cell) for noise, cell in stored.dpsgd.items()
             if noise and cell is not None}
    if found:
        right.plot(list(found), [bounds.psnr(error) for error in found.values()], "o", ms=4,
                   color="C2", label="our attack (page 05)")
    if adaptive is not None:
        noise = adaptive.config[0]["defense"]["noise_multiplier"]
        right.plot([noise], [bounds.psnr(elsewhere.error(adaptive))], "D", ms=4, color="C3",
                   label="smoother attack")
    right.set(xscale="log", xlabel="noise multiplier", ylabel="PSNR of the mean error, dB",
              ylim=(0, 40))
    fig.legend(loc="outside lower center", ncols=3)
    return fig


def defenses(cells: claims.Cells) -> Figure:
    """Plain and adaptive attackers, a line a defense, in dB above the mean colour."""
    names = [name for name in cells.adaptive
             if cells.adaptive[name] is not None and cells.plain[plain_of(name)] is not None]
    fig, ax = plots.axes(width=0.9, height=0.09 * max(len(names), 2) + 0.12)
    for place, name in enumerate(names):
        plain, adaptive = (claims.gain(cell).mean() for cell in (
            cells.plain[plain_of(name)], cells.adaptive[name]))
        ax.plot([plain, adaptive], [place, place], "-", lw=1, color="0.6")
        ax.plot([plain], [place], "o", ms=5, color="C0", label="" if place else "plain attacker")
        ax.plot([adaptive], [place], "D", ms=5, color="C1",
                label="" if place else "adaptive attacker")
    without = cells.laboratory["lenet"]
    if without is not None:
        ax.axvline(claims.gain(without).mean(), color="0.5", lw=0.8, ls="--", label="no defense")
    ax.axvline(0, color="0.6", lw=0.8)
    ax.set(yticks=range(len(names)),
           yticklabels=[f"{ARMS[name].title}:\n{ARMS[name].attacker}" for name in names],
           ylim=(max(len(names), 1) - 0.5, -0.5), xlabel="dB above the mean colour")
    ax.legend(loc="upper left", bbox_to_anchor=(0, -0.18), ncols=3)
    return fig
