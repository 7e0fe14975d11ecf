"""Cells and published numbers of notebook 03 in words, as its tables and claims say them."""

import numpy as np
import pandas as pd

from studies import report
from studies.cells import Cell

NETWORKS = {
    "lenet": "LeNet",
    "convnet": "ConvNet{width}",
    "resnet": "ResNet-{depth}, width {width}",
    "imagenet_resnet": "ResNet-{depth}, width {width}",
    "efficientnet_lite0": "EfficientNet-Lite0",
    "vit": "ViT, width {width}",
}


def psnr(cell: Cell | None) -> str:
    """Mean and standard deviation over the images of the first network, PSNR in dB, and n."""
    if cell is None:
        return "not computed"
    values = first_network(cell).psnr.replace(np.inf, np.nan)
    if len(values) == 1:
        return f"{values.mean():.2f} (n = 1)"
    return f"{values.mean():.2f} ± {values.std():.2f} (n = {len(values)})"


def first_network(cell: Cell) -> pd.DataFrame:
    """The rows of the first part: other parts are attacks on other networks."""
    return cell.table[cell.table.part == 0]


def network(cell: Cell) -> str:
    """The network that was attacked, and its images' size where that was reduced."""
    victim, images = cell.config[0]["victim"], cell.config[0]["images"]
    name = NETWORKS[victim["name"]].format(**victim)
    return name + (f", {images['size']} pixels" if "size" in images else "")


def count(n: int, what: str) -> str:
    """So many of something."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def psnr_and_network(cell: Cell | None) -> str:
    """Both, for the column of this run: a quick run's network is smaller."""
    return psnr(cell) if cell is None else f"{psnr(cell)}; {network(cell)}"


def told(published: pd.DataFrame, float_id: str, row: str, column: str) -> str:
    """A published number with its mark; a dash where none is known."""
    same = published[(published.float == float_id) & (published.row == row)
                     & (published.column == column)]
    return report.show(same.iloc[0]) if len(same) else "–"
