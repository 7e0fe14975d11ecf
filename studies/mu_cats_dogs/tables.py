"""Tables of notebook 07: the error of recovered images in every scale that it may have."""

import numpy as np
import pandas as pd

from studies import choose, report, verdicts
from studies.cells import Cell
from studies.mu_cats_dogs import plan

SCALES = ("per pixel, 0 to 255", "per image, [0, 1]", "per image, 0 to 255")
RESTORED = 1e-3  # mean squared error per pixel on [0, 1]: 65 on 0 to 255, 30 dB
MATCHED = 1e-5  # objective below which the gradient is matched
TITLES = {choose.STORED: "paper profile", choose.QUICK: "this run"}  # of the runs, in tables
SOURCES = [  # what the page quotes of the paper: (what, where, how sure)
    ("the average squared error is approximately 5", "abstract", "read"),
    ("the vast majority of images can be completely restored", "abstract", "read"),
    ("Kaggle's cats and dogs; first a fully connected network, then a convolutional one",
     "abstract", "read"),
    ("a dense layer gives its input back by a division", "Phong et al. 2017", "recalled"),
    ("DLG's objective and optimiser", "the official code of DLG (page 01)", "read"),
    ("number of images, size, network, initialisation, optimiser, iterations, scale of the 5",
     "not found", "not known")]


def whole_runs(errors: dict) -> dict[str, dict]:
    """`choose.by_run`, cells by (victim, attacker), of the runs of which all cells are there: no
    table shows half of one."""
    runs = choose.by_run(errors)
    return {run: cells for run, cells in runs.items() if len(cells) == len(errors)}


def readings(cell: Cell) -> dict[str, np.ndarray]:
    """The squared error of each image, (n,), clipped to [0, 1] as it would be stored, by scale. A
    search that diverged counts as the worst image there is."""
    pixel = (10 ** (-cell.table.psnr / 10)).fillna(1).to_numpy()
    values = np.prod(plan.SHAPES[cell.profile])
    return dict(zip(SCALES, (255**2 * pixel, pixel * values, 255**2 * pixel * values),
                    strict=True))


def restored(cell: Cell) -> np.ndarray:
    """For each image whether it is recovered, booleans (n,)."""
    return cell.table.mse.to_numpy() < RESTORED


def still_moving(cell: Cell) -> np.ndarray:
    """For each image whether its attack used nearly all evaluations it had (20 an iteration)."""
    most = 20 * cell.config[0]["attack"]["iterations"]
    return cell.table.evaluations.to_numpy() > 0.95 * most


def runs_or_stop(errors: dict) -> dict[str, dict]:
    """`whole_runs`; without any, says so among the products and raises RuntimeError."""
    runs = whole_runs(errors)
    if not runs:
        report.not_made("abstract", "no stored results and no cats_dogs here")
        raise RuntimeError("neither stored results nor the images cats_dogs are here: give "
                           "DATA_ROOT")
    return runs


def shares_table(runs: dict[str, dict]) -> pd.DataFrame:
    """How many images are recovered, a row a victim and attacker, a column a run, with the median
    error. runs: as `whole_runs` gives them."""
    rows = {}
    for run, cells in runs.items():
        for key, cell in cells.items():
            row = rows.setdefault(key, dict(zip(("network", "attacker"), key, strict=True)))
            row[f"recovered, {TITLES[run]}"] = verdicts.decide(restored(cell).sum(), cell.n)[1]
            median = np.median(readings(cell)[SCALES[0]])
            row[f"median error per pixel, {TITLES[run]}"] = report.significant(float(median))
    return pd.DataFrame(rows.values())


def scales_table(cell: Cell) -> pd.DataFrame:
    """One set of attacks, its mean error in each scale: of all images and of the recovered ones.
    """
    good = restored(cell)
    rows = []
    for scale, values in readings(cell).items():
        rows.append({"squared error": scale, "mean of all images": values.mean(),
                     "mean of the recovered images": values[good].mean(),
                     "median of all images": np.median(values)})
    return pd.DataFrame(rows)


def error_table(runs: dict[str, dict], number: pd.Series) -> pd.DataFrame:
    """The published number (a row of `report.published`) above the measured ones, a row a run,
    victim and attacker. runs: as `whole_runs` gives them."""
    told = f"approximately {number['value']:g} †, scale not known"
    rows = {("published", "not known", "not known"):
            {"restored": "vast majority †", **dict.fromkeys(SCALES, told)}}
    for run, cells in runs.items():
        for key, cell in cells.items():
            rows[TITLES[run], *key] = _error_row(cell)
    table = pd.DataFrame(rows).T.rename_axis(["run", "victim", "attacker"])
    return table.fillna("")


def _error_row(cell: Cell) -> dict[str, str]:
    row = {"restored": verdicts.decide(restored(cell).sum(), cell.n)[1]}
    for scale, values in readings(cell).items():
        row[scale] = (f"mean {values.mean():.2g} ± {values.std(ddof=1):.2g}, "
                      f"median {np.median(values):.2g}")
    return row | {"device": cell.device}


def failures_in_words(cell: Cell) -> str:
    """What the images that are not restored do to the mean. cell: the LeNet's, of plain L-BFGS."""
    errors, good = readings(cell), restored(cell)
    lost = "No image is lost"
    if not good.all():
        median = np.median(errors[SCALES[0]][~good])
        lost = (f"The {(~good).sum()} images of the LeNet that plain L-BFGS loses have a median "
                f"error of {median:,.0f} per pixel")
    means = [f"{scale}: {values[good].mean():.2g}" for scale, values in errors.items()]
    return (
        f"{lost}. One such image in a thousand moves the mean by several units. Means of the "
        f"recovered images alone: {'; '.join(means)}.")


def sources() -> pd.DataFrame:
    """Where what the page says of the paper is from."""
    return pd.DataFrame(SOURCES, columns=["published †", "where", "how sure"])


def endings(cells: dict) -> pd.DataFrame:
    """How the images ended that were not recovered, a row a victim and attacker."""
    rows = [{"network": victim, "attacker": attacker} | _endings(cell)
            for (victim, attacker), cell in cells.items()]
    return pd.DataFrame(rows)


def _endings(cell: Cell) -> dict[str, int]:
    lost = cell.table[~restored(cell)]
    matched = lost.best_loss < MATCHED
    moving = still_moving(cell)[~restored(cell)]
    return {"recovered": int(restored(cell).sum()),
            "gradient matched, image wrong": int((matched & ~moving).sum()),
            "still moving": int(moving.sum()),
            "stuck or diverged": int((~matched & ~moving).sum()), "images": cell.n}


def timings(runs: dict[str, dict]) -> pd.DataFrame:
    """Seconds of all cells shown, a row a cell."""
    rows = []
    for cells in runs.values():
        for key, cell in cells.items():
            rows.append({"cell": " / ".join(key), "n": cell.n, "seconds": round(cell.seconds, 1),
                         "device": cell.device, "torch": cell.torch})
    return pd.DataFrame(rows)
