"""What the gradient of a deep network trained on ImageNet gives away: film, table and words."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from studies.cells import Cell
from studies.inverting_gradients.deep_sweeps import FILM, Deep
from studies.inverting_gradients.drawings import sheet

SEEN = [0, 300, 600, 1200, FILM[-1]]  # iterations that the film shows
IN_A_LINE = 5  # photographs of the ranked sheet
WIDTH = 0.52  # of it: noise makes large files, and a page has 1.5 MB
COLUMNS = {"psnr": "PSNR", "ssim": "SSIM", "stlpips": "ST-LPIPS", "avd": "AVD"}


def film(trained: Cell, untrained: Cell | None) -> Figure:
    """A row a photograph: the attack along its iterations behind the trained network, its end
    behind the untrained one where that is stored, and the truth. Below an end: PSNR and
    ST-LPIPS."""
    frames = [trained.arrays["states"][:, FILM.index(count), 0] for count in SEEN]
    labels = [f"{count:,}" for count in SEEN]
    notes = [[""] * (len(SEEN) - 1) + [_scores(row)] for row in trained.table.itertuples()]
    if untrained is not None:
        frames.append(untrained.arrays["states"][:, -1, 0])
        labels.append("untrained")
        for note, row in zip(notes, untrained.table.itertuples(), strict=True):
            note.append(_scores(row))
    frames.append(trained.arrays["truth"][:, 0])
    labels.append("private")
    for note in notes:
        note.append("")
    return sheet(np.stack(frames, axis=1) / 255, column_labels=labels, notes=notes, width=0.62)


def ranked(cells: list[Cell]) -> Figure:
    """The end of the attack on every photograph, its truth below, from the nearest to the farthest
    by ST-LPIPS: five a line. Below a pair: that distance, the place of its own photograph among
    201, the PSNR, and that of a picture which is grey all over.

    cells: of embedded photographs; their truth is uint8 (clients, 1, C, H, W)."""
    rows = pd.concat([cell.table for cell in cells], ignore_index=True)
    ends = np.concatenate([cell.arrays["states"][:, -1, 0] for cell in cells]) / 255
    truths = np.concatenate([cell.arrays["truth"][:, 0] for cell in cells]) / 255
    flat = -10 * np.log10(np.square(truths - 0.5).mean((1, 2, 3)))
    notes = [f"{row.stlpips:.2f}\nplace {row.rank_}\n{row.psnr:.1f} dB\ngrey: {grey:.1f}"
             for row, grey in zip(rows.rename(columns={"rank": "rank_"}).itertuples(), flat,
                                  strict=True)]
    order = rows.stlpips.argsort().to_numpy()
    blank = np.full_like(ends[:1], np.nan)
    images, below = [], []
    for start in range(0, len(order), IN_A_LINE):
        line = order[start:start + IN_A_LINE]
        left = IN_A_LINE - len(line)
        for pictures in (ends, truths):
            images.append(np.concatenate([pictures[line], *[blank] * left]))
        below += [[], [notes[i] for i in line] + [""] * left]
    labels = ["attack", "private"] * (len(images) // 2)
    return sheet(np.stack(images), row_labels=labels, notes=below, width=WIDTH)


def _scores(row) -> str:
    return f"{row.psnr:.1f} dB, {row.stlpips:.2f}"


def table(deep: Deep) -> pd.DataFrame:
    """A row a set of photographs and network: n, and mean and standard deviation of each metric;
    "not computed" where nothing is stored."""
    rows = {
        ("photographs shown", "trained"): deep.shown["trained"],
        ("photographs shown", "untrained"): deep.shown["untrained"],
        ("the other eight", "trained"): deep.others,
        ("16 of ImageNet's", "trained"): deep.imagenet}
    return pd.DataFrame({name: _row(sweep.shown(other=False)) for name, sweep in rows.items()}).T


def _row(cell: Cell | None) -> dict[str, str]:
    if cell is None:
        return {"n": 0} | dict.fromkeys(("re-identified", *COLUMNS.values()), "not computed")
    first = (cell.table["rank"] == 1).sum()
    rows = {"n": len(cell.table), "re-identified": f"{first} of {len(cell.table)}"}
    for column, name in COLUMNS.items():
        values = cell.table[column]
        rows[name] = f"{values.mean():.2f} ± {values.std():.2f}"
    return rows
