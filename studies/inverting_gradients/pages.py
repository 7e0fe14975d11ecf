"""Tables and sentences of notebook 03 as a reader meets them; `tables` has the full ones."""

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from lib import data
from studies import choose, report
from studies.cells import Cell
from studies.inverting_gradients import comparisons, measures, words
from studies.inverting_gradients.deep_sweeps import SIZE, Deep
from studies.inverting_gradients.measures import ATTACKS
from studies.inverting_gradients.plan import Plan

MISSING = ("not computed", "–", "")
CANDIDATES_COUNT = 200  # photographs that a reconstruction is compared with, besides its own
SETS = {"trained": "shown above", "untrained": "shown above, network untrained",
        "others": "eight further ones", "imagenet": "sixteen of ImageNet"}
IN_WORDS = {"Euclid": "L-BFGS on the squared distance (DLG)",
            "cosine": "signed Adam on the cosine (this paper)"}
NAMES = {"china": "pagoda"}  # a class is named after its file
WHERE = {"table1": "Table 1", "table2": "Table 2", "table3": "Table 3", "fig1": "Figures 1, 3",
         "fig4": "Figure 4", "fig5": "Figure 5", "fig6": "Figure 6"}


def shown(table: pd.DataFrame) -> Styler:
    """A table as a page shows it: "–" for what was not computed; a column of these is left out."""
    return report.table(table.replace(list(MISSING), np.nan))


def marked(text: str) -> str:
    """A published number whose certainty the table of sources says: with a dagger."""
    return text.partition(" (")[0] + " †" if "(" in text else text


# --- the deep network


def stored(deep: Deep) -> dict[str, Cell]:
    """What is stored of the deep network, by a key of SETS."""
    return choose.stored_of({**deep.shown, "others": deep.others, "imagenet": deep.imagenet})


def behind_trained(deep: Deep) -> list[Cell]:
    """What is stored of the photographs that come with the packages, behind the trained network."""
    cells = stored(deep)
    return [cells[name] for name in ("trained", "others") if name in cells]


def photographs(cells: list[Cell]) -> pd.DataFrame:
    """A row a photograph: its reconstruction against a picture that is grey all over.

    cells: of embedded photographs; their truth is uint8 (clients, 1, C, H, W)."""
    return pd.concat([_photographs(cell) for cell in cells], ignore_index=True)


def _photographs(cell: Cell) -> pd.DataFrame:
    classes = data.load("photos", size=SIZE).classes
    named = [classes[client % len(classes)] for client in cell.table.client]
    truth = cell.arrays["truth"][:, 0] / 255
    grey = -10 * np.log10(np.square(truth - 0.5).reshape(len(truth), -1).mean(1))
    place = "place of its own photograph among 201"
    return pd.DataFrame({
        "photograph": [NAMES.get(name, name) for name in named],
        "PSNR, dB": cell.table.psnr, "PSNR of mid-grey, dB": grey,
        "SSIM": cell.table.ssim, "ST-LPIPS": cell.table.stlpips, place: cell.table["rank"]})


def sets(deep: Deep) -> pd.DataFrame:
    """A row a set of photographs that is stored: how many were re-identified, and means."""
    rows = []
    for name, cell in stored(deep).items():
        first = int((cell.table["rank"] == 1).sum())
        count = len(cell.table)
        rows.append({
            "photographs": SETS[name], "re-identified": f"{first} of {count}",
            "PSNR, dB": cell.table.psnr.mean(), "SSIM": cell.table.ssim.mean(),
            "ST-LPIPS": cell.table.stlpips.mean(), "AVD": cell.table.avd.mean()})
    return pd.DataFrame(rows)


def convincing(deep: Deep) -> str:
    """How convincing the stored reconstructions of the deep network are, in a few sentences."""
    cells = stored(deep)
    trained = [cell.table for name, cell in cells.items() if name != "untrained"]
    if not trained:
        return "*No reconstruction of the deep network is stored.*"
    table = pd.concat(trained)
    first, count = int((table["rank"] == 1).sum()), len(table)
    ranks = ", ".join(str(rank) for rank in sorted(table["rank"]))
    text = (f"The metric finds the right photograph first for {first} of {count} "
            f"reconstructions (places among {CANDIDATES_COUNT + 1}: {ranks}). "
            f"By chance that happens once in {CANDIDATES_COUNT + 1}.")
    if count < 5:
        text += f" Reconstructions of {count} photographs behind one network give no rate."
    if "untrained" not in cells:
        text += " The same network without training was not attacked."
    return text


# --- tables


def lenets(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Table 1 of LeNet: published, and the stored mean of networks, of the images that both attacks
    met behind the same networks."""
    rows = []
    for state in ("untrained", "trained"):
        pair = comparisons.compared(*(measures.lenets(sweeps, state, row) for row in ATTACKS))
        for side, (row, (theirs, _)) in zip("ab", ATTACKS.items(), strict=True):
            told = words.told(published, "table1", theirs, f"LeNet, {state}")
            rows.append({
                "LeNet": state, "attack": IN_WORDS[row], "published, dB": marked(told),
                "first network, dB": words.psnr(sweeps.table1["LeNet", state, row].shown())}
                | ({} if pair is None else _over_networks(pair.means[side])))
    return pd.DataFrame(rows)


def _over_networks(means: pd.Series) -> dict:
    return {"mean of networks, dB": f"{means.mean():.1f} ± {means.std():.1f}",
            "networks": len(means)}


def sources(published: pd.DataFrame) -> pd.DataFrame:
    """Every published number that the page shows or compares with, where it is from, and how sure
    that is."""
    numbers = [f"{report.show(row | {'certainty': 'read'})} {row['unit']}"
               for row in published.to_dict("records")]
    return pd.DataFrame({
        "where": published.float.map(WHERE), "row": published.row, "column": published.column,
        "number": numbers, "certainty": published.certainty, "source": published.source,
        "settings": published.settings})
