"""`make figures`: the notebooks, side by side, after a cluster has computed what is missing.

    python tools/figures.py 01_dlg 02_idlg

JOBS is how many notebooks run at once, each in processes of one thread: as many as cores and memory
allow, where it is not given. CLUSTER computes missing cells elsewhere first (tools/cluster.py).
What is made depends on neither. Ctrl-C, or a failing notebook, leaves what is stored.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from tools import cluster, durations, plan, workers
from tools import run_notebook as tool
from tools.run_notebook import Failed

GIB_EACH = 2.5  # memory of a notebook that runs: kernel 1.5 to 2, papermill 0.2
POLL = 0.2  # seconds


def jobs_at_once(asked) -> int:
    """How many notebooks run side by side. Raises Failed for a JOBS that is no number."""
    if asked:
        if not asked.isdecimal() or int(asked) < 1:
            raise Failed(f"JOBS={asked}: it is a whole number, from 1")
        return int(asked)
    if shutil.which("nvidia-smi") and os.environ.get("DEVICE") != "cpu":
        return 1  # two notebooks would share the memory of one GPU
    from dask.system import CPU_COUNT  # both know what a container was given
    from distributed.system import MEMORY_LIMIT

    return max(1, min(CPU_COUNT, int(MEMORY_LIMIT / 2**30 / GIB_EACH)))


def compiled() -> None:
    """Compile the engine's kernels, once for a machine, so that no notebook says it does."""
    from lib.engine import lanes

    lanes.library()


def side_by_side(names, jobs) -> list:
    """Run the notebooks, the longest first; returns the names of those that failed."""
    profile = os.environ.get("PROFILE") or "quick"
    waiting = sorted(names, key=lambda name: -(durations.expected(name, profile) or 0))
    running, failed = {}, []
    compiled()
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                name = waiting.pop(0)
                running[name] = subprocess.Popen(
                    [sys.executable, tool.TOOLS / "run_notebook.py", "figures", name])
            time.sleep(POLL)
            for name, process in list(running.items()):
                if process.poll() is not None:
                    failed += [name] if process.returncode else []
                    del running[name]
    finally:
        for process in running.values():  # interrupted: their kernels end with them
            process.terminate()
        for process in running.values():
            process.wait()
    return failed


def computed_elsewhere(names, asked, size) -> set:
    """Have the missing cells of the notebooks computed by the workers of CLUSTER; returns the
    notebooks that a failed cell belongs to."""
    jobs = cluster.missing(declared(names))
    if not jobs:
        print("no cell is missing that a worker can compute", flush=True)
        return set()
    own = [cluster.files.ROOT / "build" / name for name in ("locks", "dask")]
    tool.writable(*own, *sorted({job.place.parent for job in jobs}))
    work = cluster.compute(jobs, asked, size)
    os.environ["COMPUTED"] = cluster.listed(work)
    return {job.notebook for job in work.failed}


def declared(names) -> list:
    """The sweeps of all notebooks. Raises Failed for what a plan raises."""
    sweeps, here = [], os.getcwd()
    with tempfile.TemporaryDirectory() as products:
        os.environ["PRODUCTS"] = products
        os.chdir(tool.NOTEBOOKS)
        try:
            for name in names:
                sweeps += plan.declared(name)
        except Exception as error:  # whatever a plan may raise
            raise Failed(f"{name}: {type(error).__name__}: {error}") from error
        finally:
            os.chdir(here)
            del os.environ["PRODUCTS"]
    return sweeps


def make(names) -> int:
    asked, size = os.environ.get("CLUSTER", ""), os.environ.get("JOBS", "")
    jobs = jobs_at_once("" if asked == "slurm" else size)
    without = set()
    if asked:
        workers.checked(asked, int(size) if size.isdecimal() else 0)
        without = computed_elsewhere(names, asked, int(size or 0))
    failed = side_by_side([name for name in names if name not in without], jobs)
    for name in sorted(without):
        print(f"{name}: not run, since a cell of it failed", file=sys.stderr)
    failed += sorted(without)
    if len(names) > 1 and failed:
        print(f"{len(failed)} of {len(names)} notebooks failed: {', '.join(sorted(failed))}",
              file=sys.stderr)
    return 1 if failed else 0


def main(names) -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        return make(names)
    except (Failed, ValueError, OSError) as error:
        print(f"figures: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("figures: interrupted; what is stored is kept", file=sys.stderr)
        return 130
    finally:
        listed = os.environ.get("COMPUTED")
        if listed and os.path.exists(listed):
            os.unlink(listed)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
