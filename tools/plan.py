"""`make plan`: which results of the profile are stored, which are missing, and what they cost.

    python tools/plan.py 01_dlg 02_idlg

Asks `studies/<name>/plan.py` of each notebook NN_<name>; of a notebook without one it runs the
cells tagged parameters, setup and plan.
"""

import heapq
import importlib.util
import linecache
import os
import sys
import tempfile

from tools import notebook_files
from tools import run_notebook as tool

WORKERS = (1, 2, 4, 8, 16, 32, 64)  # the wall time is told for each
COLUMNS = "{:<24} {:<28} {:>9} {:>9} {:>7}".format


def declared(name) -> list:
    """The sweeps that a notebook's study declares."""
    from lib import run
    from studies import store

    folder = f"studies.{tool.study_of(name)}"
    if not (there(folder) and there(f"{folder}.plan")):
        return inline(name)
    study = store.start(name, run.start(**tool.parameters()))
    importlib.import_module(f"{folder}.plan").declare(study.run)
    return study.sweeps


def there(module) -> bool:
    return importlib.util.find_spec(module) is not None


def inline(name) -> list:
    """The sweeps of a notebook that declares them itself, in cells tagged "plan"."""
    from studies import store

    names = {"__name__": "__main__"}
    cells = notebook_files.source_notebook(tool.NOTEBOOKS / f"{name}.py").cells
    for i, cell in enumerate(cells):
        tags = {"parameters", "setup", "plan"} & set(notebook_files.tags_of(cell))
        if cell.cell_type == "code" and tags:
            file = f"<{name}, cell {i}>"                     # where inspect finds a function's text
            linecache.cache[file] = (0, None, cell.source.splitlines(keepends=True), file)
            exec(compile(cell.source, file, "exec"), names)
            names |= tool.parameters() if "parameters" in tags else {}
    return store.current().sweeps


def rows(name, sweeps) -> list:
    """Print the notebook's rows; returns (minutes, whether it needs a GPU, whether its images and
    weights are here) of each cell that is still to be computed."""
    from studies.store import images_are_here

    left = []
    for sweep in sweeps:
        done, parts = sweep.done(), len(sweep.files)
        minutes = None if sweep.minutes is None else sweep.minutes * (parts - done) / max(parts, 1)
        here = images_are_here(sweep.configs[sweep.profile])
        each = (sweep.minutes or 0) / max(parts, 1)
        left += [(each, sweep.gpu, here)] * (parts - done)
        try:
            sweep.check()
        except ValueError as error:                          # it counts as missing
            print(error)
        print(COLUMNS(name, sweep.name, f"{done}/{parts}",
                      "?" if minutes is None else f"{minutes:.0f}",
                      "?" if sweep.gib is None else f"{sweep.gib:g}"))
    if not sweeps:
        print(COLUMNS(name, "-", "", "", ""))
    return left


def wall(minutes, workers) -> float:
    """How long so many workers take for all cells, the longest first."""
    free = [0.0] * workers
    for cell in sorted(minutes, reverse=True):
        heapq.heappush(free, heapq.heappop(free) + cell)
    return max(free)


def tell(left) -> None:
    """What is to be computed in all, and how long so many workers take for it."""
    print(f"about {sum(minutes for minutes, _, _ in left):.0f} minutes to go, where they are known")
    for gpu, kind in ((False, "cells for any worker"), (True, "cells that need a GPU")):
        minutes = [cell for cell, needs, _ in left if needs is gpu]
        if sum(minutes) >= 1:
            times = [f"{workers}: {spoken(wall(minutes, workers))}" for workers in WORKERS]
            print(f"{len(minutes)} {kind}, by the number of workers: {', '.join(times)}")
    away = sum(not here for _, _, here in left)
    if away:
        print(f"{away} of them need images or weights that are not here: make data, or DATA_ROOT=")


def spoken(minutes) -> str:
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def unused(name, sweeps) -> list:
    """Tracked cells that no sweep asks for: of an older config or version."""
    asked = {file.stem for sweep in sweeps for file in sweep.files}
    return [file for file in sorted((tool.ROOT / "data/cells" / name).glob("[!.]*"))
            if file.stem not in asked]


def main(names) -> int:
    profile, left, old = os.environ.get("PROFILE") or "quick", [], []
    print(f"profile {profile}")
    print(COLUMNS("notebook", "cell", "stored", "min left", "GiB"))
    with tempfile.TemporaryDirectory() as products:
        os.environ["PRODUCTS"] = products
        os.chdir(tool.NOTEBOOKS)
        for name in names:
            try:
                sweeps = declared(name)
            except Exception as error:                       # whatever a notebook's cell may raise
                print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
                return 1
            left += rows(name, sweeps)
            old += unused(name, sweeps) if profile == "paper" else []
    tell(left)
    for file in old:
        print(f"asked for by no plan cell: {file.parent.name}/{file.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
