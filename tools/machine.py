"""What `make doctor` says of the machine: cores, threads, disk, the cluster, packages, scripts.

Each check returns rows (what, text, cure): the cure is None where nothing is wrong. `advice` rows
are no fault: a busy machine is slow, not broken.
"""

import importlib.metadata
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
from packaging.requirements import InvalidRequirement, Requirement

from tools import environment, workers
from tools.run_notebook import Failed

ROOT = Path(__file__).resolve().parents[1]
BUSY = 0.5          # the share of all cores that others may take before it is said
ROOM = 2 * 2**30    # bytes: build/ after both profiles, with room for what a run writes beside it
MEMORY = 2 * 2**30  # bytes that one notebook may take
SET_UP = "rm .venv/.complete; make test, or any target, sets it right"


@dataclass
class Row:
    """What was looked at, what was found, and what to do about it."""

    what: str
    text: str
    cure: str | None = None
    advice: bool = False


def cores(seconds=1.0) -> list[Row]:
    """How many cores are free, how much memory: looked at for `seconds`."""
    shares = psutil.cpu_percent(interval=seconds, percpu=True)
    busy, count = sum(shares) / 100, len(shares)
    free = psutil.virtual_memory().available
    cure = None
    if busy > BUSY * count:
        cure = "wait, or end what runs (top): the times of README.md are those of a quiet machine"
    rows = [Row("cores", f"{count}, {busy:.1f} of them busy with something else", cure, True)]
    cure = None
    if free < MEMORY:
        cure = "close something, or JOBS=1: one notebook may take 2 GB"
    rows.append(Row("memory", f"{free / 2**30:.1f} GiB free", cure, True))
    return rows


def threads(given=os.environ) -> list[Row]:
    """What the user exports: make keeps it, and what notebooks compute depends on it."""
    wrong = {}
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        if given.get(name, "1") != "1":
            wrong[name] = "stored results come from one thread; more of them change last digits"
    if given.get("OMP_WAIT_POLICY", "PASSIVE").upper() != "PASSIVE":
        wrong["OMP_WAIT_POLICY"] = "threads that spin slow down all that runs beside them"
    rows = [Row("threads", f"{name}={given[name]}: {why}", f"unset {name}")
            for name, why in wrong.items()]
    return rows or [Row("threads", "one a process, asleep while they wait")]


def disk() -> list[Row]:
    rows = []
    for what, folder in (("disk", ROOT), ("disk, TMPDIR", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        cure = None
        if free < ROOM:
            cure = "make clean removes build/; or name a roomier folder for temporary files, TMPDIR"
        rows.append(Row(what, f"{free / 2**30:.1f} GiB free at {folder}", cure))
    return rows


def cluster(given, jobs="") -> list[Row]:
    """Whether the workers that CLUSTER names are there."""
    if not given:
        return []
    try:
        workers.checked(given, jobs or "1")
    except Failed as error:
        return [Row("cluster", str(error), "docs/cluster/README.md says which there are")]
    if given == "slurm":
        return [of_slurm()]
    if "://" in given:
        return [of_scheduler(given)]
    more = int(given) > (os.cpu_count() or 1)
    return [Row("cluster", f"{given} processes on {os.cpu_count()} cores",
                f"CLUSTER={os.cpu_count()}: more take turns and memory" if more else None, True)]


def of_slurm() -> Row:
    if shutil.which("sbatch") is None:
        return Row("cluster", "no sbatch here", "run make on a login node of the SLURM site")
    try:
        importlib.metadata.version("dask-jobqueue")
    except importlib.metadata.PackageNotFoundError:
        return Row("cluster", "dask-jobqueue is not installed", SET_UP)
    return Row("cluster", "sbatch and dask-jobqueue are here")


def of_scheduler(address) -> Row:
    try:
        with workers.connected(address, "") as client:
            count = len(client.scheduler_info(n_workers=-1)["workers"])
    except Failed as error:
        return Row("cluster", str(error), "begin a scheduler there, or mend the address: "
                   "docs/cluster/README.md")
    cure = "begin workers: docs/cluster/README.md" if count == 0 else None
    return Row("cluster", f"{count} workers at {address}", cure)


def packages() -> list[Row]:
    """Every package of requirements.lock that is meant for this machine, against what is there."""
    text = (ROOT / "requirements.lock").read_text()
    if installed("torch").endswith("+cpu"):
        text = environment.without_cuda(text)
    wrong, count = [], 0
    for wanted in locked(text):
        count += 1
        found = installed(wanted.name)
        if not wanted.specifier.contains(found.split("+")[0] or "0", prereleases=True):
            pin = str(wanted.specifier).lstrip("=")
            wrong.append(f"{wanted.name} {found or 'none'} (locked: {pin})")
    cure = SET_UP
    if Path(sys.prefix) != ROOT / ".venv":
        cure = f"{sys.executable} -m pip install --require-hashes -r requirements.lock"
    if not wrong:
        return [Row("packages", f"{count}, as in requirements.lock")]
    more = f"; and {len(wrong) - 6} more" if len(wrong) > 6 else ""
    return [Row("packages", "; ".join(wrong[:6]) + more, cure)]


def locked(text) -> list[Requirement]:
    """The lines of a lock that hold for this Python on this machine."""
    found = []
    for line in text.splitlines():
        try:
            wanted = Requirement(line.rstrip("\\ "))
        except InvalidRequirement:                           # a hash, a remark
            continue
        if wanted.marker is None or wanted.marker.evaluate():
            found.append(wanted)
    return found


def installed(name) -> str:
    """A package's version, "" where it is not there."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return ""


def scripts() -> list[Row]:
    """Commands of .venv that another place's Python would run, or none."""
    venv = Path(sys.prefix)
    if venv != ROOT / ".venv":
        return []
    wrong = sorted(path.name for path in environment.broken(venv))
    if not wrong:
        return [Row("commands", "all of .venv/bin run this environment's Python")]
    return [Row("commands", f"{len(wrong)} of .venv/bin name a Python that is elsewhere or gone: "
                f"{', '.join(wrong[:4])}", SET_UP)]
