"""Beyond the paper, in numbers: activations and initialisations, line search, equations."""

import functools
import math

import pandas as pd

from lib import analytic, data, models
from studies import choose
from studies.cells import Cell
from studies.dlg.settings import ACTIVATIONS, CLIENTS_OF_A_PART, PHOTOS
from studies.dlg.tables import RECOVERED
from studies.store import Sweep

# --- activations and initialisations


def by_scale(cells: dict[str, Cell]) -> dict[str, pd.DataFrame]:
    """Search -> share of images recovered, a row an activation, a column a scale s."""
    maps = {}
    for name, cell in cells.items():
        shares = {}
        for i, part in enumerate(cell.config):
            victim = part["victim"]
            mse = cell.table.mse[cell.table.part == i]
            shares[victim["activation"], victim["scale"]] = (mse < RECOVERED).mean()
        maps[name] = pd.Series(shares).unstack().loc[list(ACTIVATIONS)]
    return maps


def recovered_by_part(cell: Cell) -> pd.DataFrame:
    """A cell of few parts for the page: how many images each activation and scale recovers."""
    counts = {}
    for i, part in enumerate(cell.config):
        mse = cell.table.mse[cell.table.part == i]
        label = f"{part['victim']['activation']}, s = {part['victim']['scale']}"
        counts[f"this run, digits: {label}"] = f"{(mse < RECOVERED).sum()} of {len(mse)}"
    return pd.Series(counts, name="recovered", dtype=object).to_frame()


# --- with and without a line search


def line_search(plain: dict[str, Sweep], search: dict[str, Sweep]) -> pd.DataFrame:
    """The same clients and starts without and with a line search, a row a set: recovered, and
    evaluations of the objective. Both of this run where it has both, else both stored."""
    rows = {}
    for name in search:
        pair = {"plain": plain[name], "search": search[name]}
        cells = choose.shown_of(pair, first="run", together=True)
        if cells:
            live = cells["plain"].profile == "quick"
            rows["digits, this run" if live else f"{name}, stored"] = _with_and_without(**cells)
    return pd.DataFrame(rows).T.rename_axis("set")


def _with_and_without(plain: Cell, search: Cell) -> dict[str, str]:
    before, after = first_clients(plain), first_clients(search)
    was, is_now = (table.mse.to_numpy() < RECOVERED for table in (before, after))
    iterations = [cell.config[0]["attack"]["iterations"] for cell in (plain, search)]
    medians = [table.evaluations.median() for table in (before, after)]
    return {
        "plain": f"{was.sum()} of {len(was)}",
        "line search": f"{is_now.sum()} of {len(is_now)}",
        "gained, lost": f"{(is_now & ~was).sum()}, {(was & ~is_now).sum()}",
        "iterations": f"{iterations[0]}, {iterations[1]}",
        "evaluations, median": f"{medians[0]:g}, {medians[1]:g}",
    }


def first_clients(cell: Cell) -> pd.DataFrame:
    """The rows of the clients that were attacked with a line search too."""
    return cell.table[cell.table["client"] < CLIENTS_OF_A_PART]


# --- equations


@functools.lru_cache
def _photos() -> data.ImageSet:
    return data.load(**PHOTOS)


def equations_of(victim: dict) -> int:
    """Independent equations, at most, that a network's gradient holds for one photograph: the
    smallest of the bounds that the notebook derives."""
    settings = {key: value for key, value in victim.items() if key != "name"}
    model = models.lenet(_photos(), **settings)
    return min(analytic.gradient_equations(model, _photos().shape))


def equations_per_pixel(cell: Cell) -> list[float]:
    """The same for each pixel, of each part of a cell of attacks on photographs."""
    pixels = math.prod(_photos().shape)
    return [equations_of(part["victim"]) / pixels for part in cell.config]


def ranks_of_batches(cell: Cell) -> pd.DataFrame:
    """Counted equations / rank of the Jacobian of so many pixels: a row a network, a column a
    batch size."""
    rows = []
    for i, part in enumerate(cell.config):
        first = cell.table[cell.table.part == i].iloc[0]
        victim = part["victim"]
        rows.append({
            "network": f"kernel {victim['kernel']}, {victim['channels']} channels",
            "B": part["batch_size"],
            "text": f"{first.counted} / {first['rank']} of {first.pixels}"})
    return pd.DataFrame(rows).pivot(index="network", columns="B", values="text")


def information(counted: Cell, attacked: Cell) -> pd.DataFrame:
    """A row a network: features, equations, rank and pixels, and how its attacks ended. The parts
    of both cells are the same networks (`choose.shown_of`, together)."""
    rows = []
    for i, part in enumerate(attacked.config):
        count = counted.table[counted.table.part == i].iloc[0]
        attacks = attacked.table[attacked.table.part == i]
        good = attacks.mse < RECOVERED
        rows.append({
            "kernel": part["victim"]["kernel"], "channels": part["victim"]["channels"],
            "features": count.features, "equations": equations_of(part["victim"]),
            "rank": count["rank"], "pixels": count.pixels,
            "median D": attacks.best_loss.median(), "median MSE": attacks.mse.median(),
            "recovered": f"{good.sum()} of {len(good)}"})
    return pd.DataFrame(rows)
