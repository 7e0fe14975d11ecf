"""The diagram of notebook 00: who sends what to whom, and what the attacker does with it."""

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor

from studies import plots

ALT = (
    "Diagram. A client on the left holds a private image and sends a shared update, possibly "
    "through a defense, to a server on the right, which is the attacker and has sent the network "
    "and its weights. The attacker compares the gradient of a dummy image with the shared update, "
    "moves the dummy image and repeats; it ends as the reconstruction. Below: the threat model "
    "says what else the attacker is given.")
SMALL = 7  # points, of the text


def threat_model(private, dummy, reconstruction, dummy_gradient, shared_gradient) -> Figure:
    """All five are pictures, (C, H, W) in [0, 1]: gradients as `stripes` makes them."""
    fig, ax = plots.axes(height=0.52)
    ax.set(xlim=(0, 11), ylim=(0, 5.7), xticks=[], yticks=[])
    ax.axis("off")
    _box(ax, (0.05, 2.1), 2.5, 3.45, "client")
    _picture(ax, (0.72, 3.45), private, "private batch:\nimages and labels")
    _box(ax, (7.0, 0.1), 3.95, 5.45, "server = attacker")
    _picture(ax, (7.35, 3.45), dummy, "dummy image $x'$")
    _picture(ax, (9.45, 3.45), dummy_gradient, "its gradient")
    _picture(ax, (7.35, 0.95), reconstruction, "reconstruction")
    _picture(ax, (9.45, 0.75), shared_gradient, "shared update")
    _attack_loop(ax)
    _picture(ax, (4.2, 3.45), shared_gradient, "shared update:\none number per weight")
    _arrow(ax, (2.6, 4.05), (4.15, 4.05), "defense?")
    _arrow(ax, (5.4, 4.05), (6.95, 4.05))
    _arrow(ax, (6.95, 2.4), (2.6, 2.4), "network and weights (public)")
    look = {"boxstyle": "round,pad=0.25", "fc": "0.96", "ec": "0.4"}
    ax.text(3.5, 0.72, "threat model: what the attacker is given besides\n"
            "(labels? BatchNorm statistics? similar images?\nthe defense? several rounds?)",
            ha="center", va="center", fontsize=SMALL, bbox=look)
    ax.set_aspect("equal")
    return fig


def stripes(gradient: Tensor) -> Tensor:
    """The first weight's gradient (O, I, H, W) as a picture (1, O, 60): absolute values, a row an
    output channel, the largest white."""
    values = gradient.abs().flatten(1).cpu()
    return (values / values.max())[None, :, :60]


def _attack_loop(ax) -> None:
    """Inside the server: the dummy's gradient is compared, the dummy moved."""
    _arrow(ax, (8.55, 4.05), (9.4, 4.05))
    ax.text(10.02, 2.5, "compare\n(objective)", ha="center", va="center", fontsize=SMALL)
    _arrow(ax, (10.02, 3.05), (10.02, 2.8))
    _arrow(ax, (10.02, 1.95), (10.02, 2.2))
    _arrow(ax, (9.35, 2.6), (8.72, 3.6))
    ax.text(8.85, 2.62, "move $x'$,\nrepeat", ha="right", va="center", fontsize=SMALL)


def _box(ax, corner: tuple, width: float, height: float, title: str) -> None:
    x, y = corner
    ax.add_patch(plots.plt.Rectangle(corner, width, height, fc="0.97", ec="0.45", lw=0.8))
    ax.text(x + width / 2, y + height - 0.12, title, ha="center", va="top", fontsize=7.5,
            weight="bold")


def _picture(ax, corner: tuple, image, under: str, side: float = 1.15) -> None:
    x, y = corner
    pixels = np.asarray(image).clip(0, 1).transpose(1, 2, 0).squeeze()
    ax.imshow(pixels, extent=(x, x + side, y, y + side), cmap="cividis",
              interpolation="nearest", zorder=2)
    ax.text(x + side / 2, y - 0.1, under, ha="center", va="top", fontsize=SMALL)


def _arrow(ax, start: tuple, end: tuple, text: str = "") -> None:
    ax.annotate("", end, start, arrowprops={"arrowstyle": "-|>", "color": "0.25", "lw": 1.1})
    middle = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2 + 0.14
    ax.text(*middle, text, ha="center", va="bottom", fontsize=SMALL)
