"""Where the time of `make figures` goes: each notebook's cells under Python's profiler.

    python bench/notebooks.py [--notebooks 01_dlg] [--out FILE]

Each notebook runs with nothing stored, in a process of one thread, one after another. `seconds` is
what `make figures` took for it here the last time (papermill's notes in build/quick); the parts are
of a run of its own, under the profiler, which slows Python down by a half and more: they tell
shares, not times. Writes notebooks.csv, whose `seconds` are the estimate of a fresh clone.
"""

import argparse
import cProfile
import json
import os
import pstats
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pandas as pd

ROOT = Path(__file__).resolve().parents[1]
PARTS = {  # column: (end of the file's name, function)
    "iterations": ("lib/engine/loop.py", "minimise"),
    "tracing": ("lib/engine/tracing.py", "traced"),
    "check of the network": ("lib/batching.py", "_checked"),
    "training": ("lib/training.py", "train"),
    "figures": ("studies/report.py", "save_figure"),
    "reading cells": ("studies/cells.py", "read"),
    "imports": ("<frozen importlib._bootstrap>", "_find_and_load"),
}


def profiled(name, out) -> None:
    """Run the notebook's cells in this process, in a shell as Jupyter has it."""
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    from tools import notebook_files

    notebook = notebook_files.source_notebook(ROOT / f"notebooks/{name}.py")
    shell, profile = TerminalInteractiveShell.instance(), cProfile.Profile()
    os.chdir(ROOT / "notebooks")
    begin = time.perf_counter()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            profile.enable()
            done = shell.run_cell(cell.source, store_history=True)
            profile.disable()
            done.raise_error()
    row = {"notebook": name, "profiled": time.perf_counter() - begin}
    known = pstats.Stats(profile).stats
    for column, (file, function) in PARTS.items():
        spent = [of[3] for where, of in known.items()
                 if where[0].endswith(file) and where[2] == function]
        row[column] = max(spent, default=0.0)
    row["iterations"] = max(row["iterations"] - row["tracing"], 0.0)
    Path(out).write_text(json.dumps({key: value if key == "notebook" else round(value, 1)
                                     for key, value in row.items()}))


def main() -> None:
    from tools import durations

    names = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9]*.py"))
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--notebooks", nargs="+", default=names, choices=names)
    asked.add_argument("--out", type=Path, default=ROOT / "bench/notebooks.csv")
    asked = asked.parse_args()
    rows = []
    for name in asked.notebooks:
        with tempfile.TemporaryDirectory() as folder:
            surroundings = os.environ | {
                "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PROFILE": "quick", "QUIET": "1",
                "FRESH": "1", "PRODUCTS": folder, "IPYTHONDIR": folder}
            row = Path(folder) / "row.json"
            subprocess.run([sys.executable, __file__, "--profile", name, row], check=True,
                           env=surroundings, stdout=subprocess.DEVNULL)
            seconds = {"seconds": round(durations.expected(name, "quick") or 0)}
            rows.append(json.loads(row.read_text()) | seconds)
        print(rows[-1], flush=True)
    table = pd.DataFrame(rows)
    table.insert(1, "seconds", table.pop("seconds"))
    table.to_csv(asked.out, index=False)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--profile"]:
        profiled(*sys.argv[2:])
    else:
        main()
