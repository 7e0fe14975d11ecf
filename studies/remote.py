"""One cell, computed in another process: what is sent there, and what comes back.

`tools/cluster.py` sends jobs to the workers of dask; a worker calls `compute`. It needs a clone of
the same commit on its path. Where it has the caller's folder, too, it stores the cell itself;
where not, the cell comes back as two files.
"""

import contextlib
import ctypes
import importlib
import os
import socket
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from lib import files
from lib import run as runs
from studies import cells, keys, store


def code() -> str:
    """A hash of the text of lib and studies."""
    return keys.hashed({path.relative_to(files.ROOT).as_posix(): path.read_text(encoding="utf-8")
                        for package in keys.OURS
                        for path in sorted((files.ROOT / package).rglob("[!.]*.py"))})


# Read when a worker starts, not when it is asked: its modules stay what they were then.
CODE = code()
COMMIT = runs.commit()
TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # of mallopt, in glibc's malloc.h


@dataclass(frozen=True)
class Job:
    """A part of a sweep: everything that a worker needs to compute it."""

    notebook: str
    profile: str
    seed: int
    device: str  # as it was asked for: "auto" is the worker's own
    data_root: str | None  # the caller's; where it is no folder, the worker's own is taken
    function: tuple[str, str]  # its module and its name there
    identity: dict  # what its file says of itself
    path: str  # of that file, from the root of the project
    comparable: bool | str
    minutes: float = 0.0  # an estimate
    gpu: bool = False  # whether it is computed on a GPU only
    anew: bool = False  # FRESH=1: stored or not

    @property
    def name(self) -> str:
        return f"{self.notebook}/{Path(self.path).stem}"

    @property
    def place(self) -> Path:
        return files.ROOT / self.path

    def is_stored(self) -> bool:
        """Whether its cell is there, and whole."""
        return cells.is_whole(self.place, self.identity)


@dataclass(frozen=True)
class Answer:
    """What became of a job: "stored" (it was), "written" (by the worker), "sent" (in `files`, by
    suffix), "no data" (its images or weights are not there), "no GPU" (it needs one, and there is
    none), or "failed" (`text` says how)."""

    what: str
    seconds: float = 0.0
    text: str = ""
    files: dict[str, bytes] = field(default_factory=dict)


class OtherCode(RuntimeError):
    """A worker whose lib and studies are not the caller's."""


def job_of(part: "store.Part", minutes: float) -> Job | None:
    """The job of a part of a sweep; None where its function is a notebook's own, which no other
    process can import."""
    function, run, sweep = part.function, part.sweep.study.run, part.sweep
    if function.__module__.partition(".")[0] not in keys.OURS:
        return None
    return Job(
        sweep.study.notebook, run.profile, run.seed, os.environ.get("DEVICE") or "auto",
        os.environ.get("DATA_ROOT"), (function.__module__, function.__qualname__), part.identity,
        part.path.relative_to(files.ROOT).as_posix(), sweep.comparable, minutes, sweep.gpu,
        runs.fresh())


def compute(job: Job, asked: str, token: str | None) -> Answer:
    """Compute the cell of a job, in a worker. Returns at once where it is stored.

    asked: the caller's `CODE`. token: a file that the caller made below its root; where it is seen
    here the folder is shared, and the cell is stored here; None or not seen: it is sent back.
    Raises OtherCode. What the cell's own function raises is told by the answer."""
    check(asked)
    shared = token is not None and (files.ROOT / token).is_file()
    if shared and not job.anew and job.is_stored():
        return Answer("stored")
    try:
        begin(job)
        if not store.images_are_here([job.identity["config"]]):
            return Answer("no data")
        if job.gpu and runs.current().device.type == "cpu":
            return Answer("no GPU")
        start = time.perf_counter()
        made = function_of(job)(**job.identity["config"])
        seconds = time.perf_counter() - start
        if shared:
            _write(job, job.place, made, seconds)
            return Answer("written", seconds)
        return Answer("sent", seconds, files=_files_of(job, made, seconds))
    except Exception:
        return Answer("failed", text=traceback.format_exc())


def check(asked: str) -> None:
    """Raises OtherCode where this process runs another text of lib or studies."""
    if asked != CODE:
        raise OtherCode(f"the worker on {socket.gethostname()} runs {files.ROOT} at {COMMIT}, and "
                        "not the code that asks: start it again, in a clone of the same commit")


def about() -> dict:
    """What a caller asks each worker before it sends it anything."""
    return {"code": CODE, "commit": COMMIT}


def keep_memory() -> None:
    """Let this process keep the memory that it frees, up to 128 MiB at the end of its heap.

    dask starts its workers with a threshold of 64 KiB, so that each step of an attack gave its
    memory back and fetched it again: a quarter to a half more time. The sizes are those that glibc
    comes to by itself where nothing is set; another C library has no such call."""
    with contextlib.suppress(OSError, AttributeError):
        of_c = ctypes.CDLL(None)
        for option, size in ((TRIM_THRESHOLD, 2**27), (MMAP_THRESHOLD, 2**25)):
            of_c.mallopt(option, size)


def begin(job: Job) -> None:
    """Start the run and the study that a job's function asks for."""
    os.environ["QUIET"] = "1"  # bars of several workers at once say nothing
    keep_memory()
    tqdm.set_lock(threading.RLock())  # its own one would be left over by a worker that is killed
    root = job.data_root if job.data_root and Path(job.data_root).is_dir() else None
    run = runs.start(job.profile, seed=job.seed, device=job.device, data_root=root)
    store.start(job.notebook, run)


def function_of(job: Job) -> Callable:
    module, name = job.function
    value = importlib.import_module(module)
    for attribute in name.split("."):
        value = getattr(value, attribute)
    return value


def take(job: Job, answer: Answer) -> None:
    """Store, in the caller, the files that a worker sent: the arrays before what names them."""
    job.place.unlink(missing_ok=True)
    for suffix in sorted(answer.files, reverse=True):  # .npz, then .json
        with files.atomic(job.place.with_suffix(suffix)) as file:
            file.write(answer.files[suffix])


def _write(job: Job, path: Path, made: tuple, seconds: float) -> None:
    device = runs.current().device
    cells.write(path, job.identity, made, seconds, job.comparable, device)


def _files_of(job: Job, made: tuple, seconds: float) -> dict[str, bytes]:
    """The files of a cell, by suffix, as they would be stored."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / job.place.name
        _write(job, path, made, seconds)
        return {file.suffix: file.read_bytes() for file in sorted(Path(folder).iterdir())}
