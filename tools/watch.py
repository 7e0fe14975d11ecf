"""The site's page "Watch it": sliders over stored frames, plain HTML without kernel or network."""

import html
import io
import json
from pathlib import Path

from tools import frames

PAGE = """# Watch it

Stored attacks of the paper profile, frame by frame. Nothing here is computed by your browser.

## From noise to image

*Deep Leakage from Gradients on LeNet with random weights, one image a client, one start. The first
{clients} clients of each set, not chosen ones: where a tile stays noise, the attack failed
([notebook 01](notebooks/01_dlg.ipynb) says how often).*

{iterations}

## Attacks against defenses

*One client, the first of eight (CIFAR-10, LeNet with random weights), one start; the attackers do
not adapt to the defense ([notebook 08](notebooks/08_all_attacks.ipynb)). Under MixUp and InstaHide
the best that they can find is the mixture of four images.*

{grid}

```{{raw}} html
<script src="_static/watch/watch.js"></script>
```
"""


def sheet(images) -> bytes:
    """A PNG of images (rows, columns, C, H, W), uint8, side by side without a gap."""
    import numpy as np
    from PIL import Image

    rows, columns, C, H, W = images.shape
    whole = np.transpose(images, (0, 3, 1, 4, 2)).reshape(rows * H, columns * W, C)
    file = io.BytesIO()
    Image.fromarray(whole.squeeze(-1) if C == 1 else whole).save(file, "png", optimize=True)
    return file.getvalue()


def slider(name, label, names, value=0) -> str:
    """A slider over named steps. name: "row" or "column", what it moves in the sheet."""
    steps = html.escape(json.dumps(names), quote=True)
    return (f'<label>{label}: <output></output><br><input type="range" name="{name}" min="0" '
            f'max="{len(names) - 1}" step="1" value="{value}" data-names="{steps}" '
            f'aria-label="{label}"></label>')


def tile(picture, text, caption="", **place) -> str:
    """One tile: a place in a sheet, which the sliders of its section move unless `place` fixes it.
    """
    fixed = "".join(f' data-{name}="{at}"' for name, at in place.items())
    return (f'<figure><div class="tile" role="img" aria-label="{html.escape(text, quote=True)}"'
            f"{fixed} style=\"background-image: url('_static/watch/{picture}')\"></div>"
            f"<figcaption>{html.escape(caption)}</figcaption></figure>")


def section(rows, columns, *parts) -> str:
    inside = "\n".join(parts)
    return (f'```{{raw}} html\n<div class="watch" data-rows="{rows}" data-columns="{columns}">\n'
            f"{inside}\n</div>\n```")


def iterations(folder) -> str:
    """One slider for all sets. Each set is a sheet: a row a client, a column a frame, the private
    image last."""
    import numpy as np

    shown, steps = frames.films()
    tiles, clients = [], 0
    for name, (states, private) in shown.items():
        picture = f"{name.lower().replace(' ', '_')}.png"
        together = np.concatenate((states, private[:, None]), 1)
        (folder / picture).write_bytes(sheet(together))
        clients = len(states)
        for k in range(clients):
            about = f"{name}, client {k + 1}"
            tiles.append(tile(picture, f"dummy image, {about}", f"dummy, {about}", row=k))
            tiles.append(tile(picture, f"private image, {about}", "private", row=k,
                              column=len(steps)))
    names = [f"{step} iterations" for step in steps]
    return section(clients, len(steps) + 1, slider("column", "Iterations", names),
                   '<div class="tiles">', *tiles, "</div>")


def grid(folder) -> str:
    """A slider for the attack and one for the defense; what is found, beside the private image."""
    import numpy as np

    attacks, defenses, found, private = frames.comparison()
    (folder / "grid.png").write_bytes(sheet(np.concatenate(
        (found, np.broadcast_to(private, (len(found), 1, *private.shape))), 1)))
    notes = [[f"PSNR {psnr(image, private):.1f} dB" for image in row] for row in found]
    said = html.escape(json.dumps(notes), quote=True)
    return section(
        len(attacks), len(defenses) + 1, slider("row", "Attack", attacks),
        slider("column", "Defense", defenses), '<div class="tiles">',
        tile("grid.png", "what the attack finds under the defense", "found"),
        tile("grid.png", "the private image", "private", row=0, column=len(defenses)),
        f'</div><p aria-live="polite" data-notes="{said}"></p>')


def psnr(image, private) -> float:
    """In dB, of images in 0 to 255 as they are shown."""
    import numpy as np

    error = np.mean((image.astype(float) - private.astype(float)) ** 2) / 255**2
    return float(-10 * np.log10(max(error, 1e-10)))


def write(source) -> None:
    """The page with its sheets and script, into the folder of the site's documents."""
    folder = Path(source) / "_static/watch"
    folder.mkdir(parents=True, exist_ok=True)
    text = PAGE.format(clients=frames.CLIENTS, iterations=iterations(folder), grid=grid(folder))
    (Path(source) / "watch.md").write_text(text)
    script = Path(__file__).resolve().parent / "site/watch.js"
    (folder / "watch.js").write_text(script.read_text())
