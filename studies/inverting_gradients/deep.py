"""What the gradient of a deep network trained on ImageNet gives away: film, table and words."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from studies.cells import Cell
from studies.inverting_gradients.deep_sweeps import FILM, Deep
from studies.inverting_gradients.drawings import sheet

SEEN = [0, 300, 600, 1200, FILM[-1]]  # iterations that the film shows
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
    return sheet(np.stack(frames, axis=1) / 255, column_labels=labels, notes=notes)


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
