"""Files that are whole or not there: written beside their place, synced, then moved.

Written without torch, so that tools which only look at files start fast.

The same folder is `lib` in the repository and `leaky_gradients` where the package is installed.
`home` says where data and caches lie for each.
"""

import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import psutil

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent
HOME = "LEAKY_GRADIENTS_HOME"  # the environment variable that names another home
DAY = 86_400  # seconds: no file is written for so long
HOST = socket.gethostname().replace(".", "-") or "unknown"


def installed() -> bool:
    """Whether this is the package as a wheel brings it, and not the repository's own folder."""
    return PACKAGE.name != "lib"


def home() -> Path:
    """The folder of `data/` and `build/`: the repository; of an installed package what the
    environment variable LEAKY_GRADIENTS_HOME names, else the user's data folder of this system.
    It need not be there yet."""
    if not installed():
        return ROOT
    if os.environ.get(HOME):
        return Path(os.environ[HOME]).expanduser().absolute()
    import platformdirs  # of the installed package alone
    return platformdirs.user_data_path("leaky-gradients", appauthor=False)


@contextmanager
def atomic(path: Path | str) -> Iterator[BinaryIO]:
    """Yield a binary file that becomes `path` at the end; where writing fails nothing is left.

    What killed writers left in the same folder is removed first, and never a live writer's."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for leftover in leftovers(path.parent):
        leftover.unlink(missing_ok=True)
    temporary = path.with_name(f".{path.name}.{HOST}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def leftovers(folder: Path | str) -> Iterator[Path]:
    """The temporary files in `folder` whose writer is no more: it ended on this machine, or on
    another one and the file is older than a day."""
    for file in Path(folder).glob(".*.*.tmp"):
        *_, host, pid, _ = file.name.split(".")
        try:
            written = file.stat().st_mtime
        except OSError:  # moved to its place, or removed, just now
            continue
        if pid.isdecimal() and not _is_written(host, int(pid), written):
            yield file


def _is_written(host: str, pid: int, written: float) -> bool:
    if host != HOST:
        return time.time() - written < DAY
    try:
        writer = psutil.Process(pid)
        # Numbers are given again: a process that began after the file is not its writer.
        began_later = writer.create_time() > written + 60
        return writer.status() != psutil.STATUS_ZOMBIE and not began_later
    except psutil.NoSuchProcess:
        return False
    except psutil.Error:  # it is there, and may not be looked at
        return True


def json_lines(document: dict) -> bytes:
    """A document as strict JSON, a line a key: small, and a change shows in a diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
             for key, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def write_json(path: Path | str, document: dict) -> None:
    """Write a document by `json_lines`, whole or not at all."""
    with atomic(path) as file:
        file.write(json_lines(document))
