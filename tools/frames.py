"""Attacks from noise to image, as the paper profile stored them: for the moving picture of README
and the sliders of the site. Nothing is computed.

    python tools/frames.py [FILE]                   the moving picture, figures/attack.gif
"""

import io
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

SETS = {"MNIST": "MNIST", "faces": "LFW (100 faces)", "CIFAR-10": "CIFAR"}  # shown -> of the plan
CLIENTS = 2  # of each set, the first ones: none is chosen, so one that fails is seen to fail
MILLISECONDS = {"first": 800, "between": 260, "last": 2600}
LARGEST = 2_000_000  # bytes of the moving picture
ALT = ("Moving picture of six attacks side by side, each above its private image: coloured noise "
       "turns, over 500 iterations, into digits, faces and photographs, or stays noise where the "
       "attack fails.")


def films() -> tuple[dict, list[int]]:
    """({set: (states (clients, frames, C, H, W), private images (clients, C, H, W)), uint8}, the
    iterations of the frames), of the first clients of each set of Figure 6 of DLG."""
    from lib import run
    from studies import store
    from studies.dlg import plan
    from studies.dlg.settings import RECORD

    store.start("01_dlg", run.start("paper"))
    leakage = plan.declare(run.current()).leakage
    shown = {}
    for name, declared in SETS.items():
        cell = leakage[declared].stored()
        if cell is None:
            sys.exit(f"the attacks on {name} are not stored: make figures NB=01_dlg PROFILE=paper")
        states, private = (cell.arrays[part][:CLIENTS] for part in ("states", "truth"))
        shown[name] = states[:, :, 0], private[:, 0]
    return shown, RECORD["paper"]


def comparison() -> tuple[list[str], list[str], object, object]:
    """(attacks, defenses, what each finds (attacks, defenses, C, H, W), the private image (C, H,
    W)), uint8, of the first client of the comparison on LeNet."""
    import numpy as np

    from lib import run
    from studies import store
    from studies.all_attacks import plan, tables

    store.start("08_all_attacks", run.start("paper"))
    cells = tables.panels_stored(plan.declare(run.current())).get(("lenet", 1))
    if cells is None:
        sys.exit("the comparison is not stored: make figures NB=08_all_attacks PROFILE=paper")
    cells = {attack: cell for attack, cell in cells.items() if "guesses" in cell.arrays
             and attack != "mid-grey"}
    found = np.stack([cell.arrays["guesses"][:, 0] for cell in cells.values()])
    private = next(iter(cells.values())).arrays["truth"][0, 0]
    defenses = [name for name in plan.DEFENSES if name != "equal labels"]
    return list(cells), defenses, found, private


def drawn(shown: dict, frame: int, iteration: int):
    """One frame: the dummy images above, the private images below."""
    import numpy as np
    from matplotlib import pyplot as plt
    from PIL import Image

    images = [(name, states[k, frame], private[k]) for name, (states, private) in shown.items()
              for k in range(len(states))]
    fig, grid = plt.subplots(2, len(images), figsize=(5.5, 2.15), dpi=130)
    fig.subplots_adjust(0.1, 0.01, 0.99, 0.84, 0.06, 0.04)
    fig.suptitle(f"{iteration} iterations", fontsize=10, y=0.99)
    for column, (name, *pair) in enumerate(images):
        for row, image in enumerate(pair):
            picture = np.moveaxis(image, 0, -1).squeeze()
            grid[row, column].imshow(picture, cmap="gray", vmin=0, vmax=255)
            grid[row, column].set(xticks=[], yticks=[])
        grid[0, column].set_title(name, fontsize=8, pad=3)
    for row, label in enumerate(("dummy", "private")):
        grid[row, 0].set_ylabel(label, fontsize=8)
    file = io.BytesIO()
    fig.savefig(file, format="png")
    plt.close(fig)
    return Image.open(file).convert("RGB")


def moving() -> bytes:
    """The moving picture, a GIF that begins anew when it has ended; its palette is one for all."""
    from PIL import Image

    shown, iterations = films()
    frames = [drawn(shown, i, iteration) for i, iteration in enumerate(iterations)]
    together = Image.new("RGB", (frames[0].width, sum(frame.height for frame in frames)))
    for i, frame in enumerate(frames):
        together.paste(frame, (0, i * frame.height))
    palette = together.quantize(255, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few = [frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in frames]
    between = [MILLISECONDS["between"]] * (len(few) - 2)
    file = io.BytesIO()
    few[0].save(file, "gif", save_all=True, append_images=few[1:], loop=0, optimize=True,
                duration=[MILLISECONDS["first"], *between, MILLISECONDS["last"]])
    return file.getvalue()


def main(file=ROOT / "figures/attack.gif") -> int:
    from lib import files
    from studies import plots

    plots.style()
    picture = moving()
    if len(picture) > LARGEST:
        sys.exit(f"the moving picture has {len(picture):,} bytes, more than {LARGEST:,}")
    with files.atomic(Path(file)) as place:
        place.write(picture)
    print(f"{Path(file).name}: {len(picture):,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
