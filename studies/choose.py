"""Which cells a page shows of several sweeps: the one place that says so for all notebooks.

`Sweep.shown`, `here` and `stored` decide for one sweep; here for a dict of them, by any keys. What
nobody has is left out of the answer, so `key in cells` asks whether a cell is there. Whose cell it
is says `Cell.profile`. A row of a table, and a line of a drawing, is of one profile.
"""

from collections.abc import Hashable

from studies.cells import Cell
from studies.store import Sweep

STORED, QUICK = "paper profile, stored", "this run, quick"  # what tables call the two runs


def shown_of(sweeps: dict[Hashable, Sweep], first: str = "paper", other: bool = True,
             together: bool = False) -> dict[Hashable, Cell]:
    """The cells that a page shows, each as `Sweep.shown` chooses it.

    first, other: as there. together: all are of one profile, for a table that pairs them: those of
    `first` where that has all, else those of the other; empty where neither has."""
    if not together:
        return _those_there({key: sweep.shown(first, other) for key, sweep in sweeps.items()})
    second = "run" if first == "paper" else "paper"
    for choice in (first, second) if other else (first,):
        cells = shown_of(sweeps, choice, other=False)
        if len(cells) == len(sweeps):
            return cells
    return {}


def here_of(sweeps: dict[Hashable, Sweep]) -> dict[Hashable, Cell]:
    """This run's cells, of the sweeps that it can have; what is missing is computed."""
    return _those_there({key: sweep.here() for key, sweep in sweeps.items()})


def stored_of(sweeps: dict[Hashable, Sweep]) -> dict[Hashable, Cell]:
    """The tracked cells of the paper profile, of the sweeps that have them; none is computed."""
    return _those_there({key: sweep.stored() for key, sweep in sweeps.items()})


def by_run(sweeps: dict[Hashable, Sweep]) -> dict[str, dict[Hashable, Cell]]:
    """{STORED: cells, QUICK: cells}: what a table sets side by side, a run that has any.

    STORED: of the paper profile; a run of that profile computes first what it can, and has no other
    cells. QUICK: those of a quick run itself."""
    quick = {key: sweep for key, sweep in sweeps.items() if sweep.profile == "quick"}
    runs = {STORED: shown_of(sweeps, other=False), QUICK: here_of(quick)}
    return {run: cells for run, cells in runs.items() if cells}


def _those_there(cells: dict) -> dict:
    return {key: cell for key, cell in cells.items() if cell is not None}
