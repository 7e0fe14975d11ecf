"""Cells an hour: one process after another against two workers, and what a worker's cell costs.

    python bench/cluster.py [--notebooks 01_dlg 07_mu_cats_dogs] [--rounds 3] [--empty 1000]

Both compute the same missing cells of the quick profile, in a copy of the tree with nothing stored,
in processes of one thread; the clock runs from the start of the first process to the end of the
last. They take turns. The second table: cells that do nothing, from the first that is sent to the
last that is stored. Run it on a machine that does nothing else.
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
EMPTY_CELLS = ROOT / "tests/fixture/naps"


def copied(folder) -> Path:
    """The tree, as far as cells need it, with the study of empty cells."""
    place = Path(folder) / "copy"
    for name in ("lib", "studies", "tools", "notebooks", "bench"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "data/published", place / "data/published")
    shutil.copytree(EMPTY_CELLS, place / "studies/naps")
    (place / "Makefile").touch()
    return place


def timed(place, cluster, names, **more) -> float:
    """Seconds of one call that computes all cells of the notebooks, with nothing stored."""
    shutil.rmtree(place / "build", ignore_errors=True)
    (place / "build").mkdir()
    surroundings = os.environ | {
        "PYTHONPATH": str(place), "OMP_NUM_THREADS": "1", "PROFILE": "quick", "QUIET": "1",
        "PRODUCTS": str(place / "build/products")} | more
    begin = time.perf_counter()
    command = [sys.executable, place / "bench/cluster.py", "--compute", cluster, *names]
    done = subprocess.run(command, cwd=place, env=surroundings, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    if "seconds a cell" in done.stdout:
        print(done.stdout.strip().splitlines()[-1], flush=True)
    return time.perf_counter() - begin


def compute(cluster, names) -> None:
    """In the copy: the cells, by workers, or "serial" in this process."""
    from tools import cluster as tool
    from tools import figures

    sweeps = figures.declared(names)
    if cluster == "serial":
        for sweep in sweeps:
            if sweep.parts[sweep.profile]:
                sweep.run()
        return
    jobs = tool.missing(sweeps)
    work = tool.compute(jobs, cluster, 0)
    if len(work.done) < len(jobs):
        sys.exit(f"{len(jobs) - len(work.done)} cells were not computed")
    if names == ["98_naps"]:
        spent = work.told - work.begin
        print(f"{len(jobs)} empty cells: {spent / len(jobs) * 1000:.1f} ms, as "
              f"{spent / len(jobs):.4f} seconds a cell")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--notebooks", nargs="+", default=["01_dlg", "07_mu_cats_dogs"])
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--empty", type=int, default=1000)
    asked = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        place = copied(folder)
        ratios = []
        for turn in range(asked.rounds):
            order = ("serial", "2") if turn % 2 == 0 else ("2", "serial")
            seconds = {way: timed(place, way, asked.notebooks) for way in order}
            cells = len(list((place / "build/cells").rglob("*.json")))
            ratios.append(seconds["serial"] / seconds["2"])
            hourly = {way: f"{taken:.1f} s, {cells * 3600 / taken:.0f} an hour"
                      for way, taken in seconds.items()}
            print(f"{cells} cells: serial {hourly['serial']}; two workers {hourly['2']}; ratio "
                  f"{ratios[-1]:.2f}", flush=True)
        print(f"ratio, median of {asked.rounds}: {statistics.median(ratios):.2f}")
        timed(place, "2", ["98_naps"], CELLS="empty", EMPTY=str(asked.empty))


if __name__ == "__main__":
    if sys.argv[1:2] == ["--compute"]:
        compute(sys.argv[2], sys.argv[3:])
    else:
        main()
