"""Notebook 03: how the reconstructions of the deep network are set out."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from studies.inverting_gradients import deep


def cell(distances, shade):
    """Photographs of one shade, reconstructed as mid-grey; a distance each."""
    count = len(distances)
    return SimpleNamespace(
        table=pd.DataFrame({"stlpips": distances, "psnr": 10.0, "rank": range(1, count + 1)}),
        arrays={"states": np.full((count, 2, 1, 3, 4, 4), 128, np.uint8),
                "truth": np.full((count, 1, 3, 4, 4), shade, np.uint8)})


def test_the_sheet_is_ranked_by_the_metric_over_all_cells_and_says_what_grey_has():
    fig = deep.ranked([cell([0.9, 0.1, 0.5], 255), cell([0.2, 0.7, 0.4], 0)])
    axes = np.array(fig.axes).reshape(4, deep.IN_A_LINE)
    notes = [ax.get_xlabel() for ax in [*axes[1], *axes[3]]]
    assert [note.split("\n")[0] for note in notes[:6]] == ["0.10", "0.20", "0.40", "0.50", "0.70",
                                                          "0.90"]
    assert notes[0] == "0.10\nplace 2\n10.0 dB\ngrey: 6.0"
    assert notes[6:] == [""] * 4
    shades = [float(ax.images[0].get_array().mean()) for ax in axes[1]]
    assert shades == [1.0, 0.0, 0.0, 1.0, 0.0]
