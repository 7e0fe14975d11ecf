"""How long a notebook runs: what it took the last time, and a line that says how far it is.

papermill notes down how long each cell took. Where this machine has run the notebook, its last run
is the estimate; where not, `bench/notebooks.csv` is, the same notebooks on another machine.
"""

import csv
import json
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EVERY = 10  # seconds between two lines of one notebook


def of_cells(name, profile) -> dict:
    """Seconds of each cell in the last whole run here, by the cell's id; empty without one."""
    try:
        notebook = json.loads((ROOT / "build" / profile / f"{name}.ipynb").read_text())
        return {cell["id"]: cell["metadata"]["papermill"]["duration"] or 0.0
                for cell in notebook["cells"]}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def expected(name, profile) -> float | None:
    """Seconds that the notebook takes, or None where nobody knows."""
    here = sum(of_cells(name, profile).values())
    if here:
        return here
    table = ROOT / "bench/notebooks.csv"
    if profile != "quick" or not table.is_file():
        return None
    with open(table, newline="") as file:
        measured = {row["notebook"]: float(row["seconds"]) for row in csv.DictReader(file)}
    return measured.get(name)


class Progress:
    """Lines that say which cell of a notebook runs, since when, and how long it may still take."""

    def __init__(self, name, profile):
        self.name, self.total = name, expected(name, profile)
        self.of_cells = of_cells(name, profile)
        self.begin = self.told = self.began = time.monotonic()
        self.cell, self.cells, self.bar = 0, 0, ""
        self.before, self.now = 0.0, 0.0  # what the last run took for cells before this, and for it

    def starts(self, cell, cell_index) -> None:
        """A cell begins; nbclient calls this."""
        self.cell, self.bar, self.began = cell_index + 1, "", time.monotonic()
        self.before += self.now
        self.now = self.of_cells.get(cell.id, 0.0)
        self.tell()

    def tell(self) -> None:
        """A line, if the last one is a while ago."""
        now = time.monotonic()
        if now - self.told < EVERY:
            return
        self.told = now
        words = [f"cell {self.cell} of {self.cells}", f"{now - self.begin:.0f} s"]
        left = self.left(now)
        words += [f"about {left:.0f} s left"] if left is not None else []
        words += [self.bar] if self.bar else []
        print(f"{self.name:<24}  {', '.join(words)}", file=sys.stderr, flush=True)

    def left(self, now) -> float | None:
        """Seconds to go: what the last run took from here on, at the pace of this one."""
        if self.total is None:
            return None
        if not self.of_cells:
            return max(self.total - (now - self.begin), 1.0)
        pace = 1.0
        if self.before > EVERY:
            pace = min(max((self.began - self.begin) / self.before, 1 / 4), 4)
        after = pace * (self.total - self.before - self.now)
        return max(after + pace * self.now - (now - self.began), after, 1.0)
