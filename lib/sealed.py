"""What one process has found out and another may read: small sealed files in `build/graphs`, in the
repository or in the user's data folder (`files.home`).

A file is JSON below the digest of its text. Its name is the digest of all that decides what it
holds: what it is of, versions, settings, and the text of lib. What is damaged, of another key or
not to be read is as good as not there, and a folder that cannot be written is no error. The digest
finds damage, not intent: whoever reads a file checks what it asks for.
"""

import contextlib
import hashlib
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from . import descriptions, files


def _folder() -> Path | None:
    """None where this is a copy of lib that stands in no repository."""
    kept = files.installed() or (files.ROOT / "Makefile").is_file()
    return files.home() / "build/graphs" if kept else None


FOLDER = _folder()  # None: nothing is read or written
MOST_FILES, MOST_BYTES = 1000, 256 * 2**20  # of the folder; those not used for longest go first


def _files_of_lib() -> dict[Path, tuple]:
    """The files of lib, and what the file system says of each: it changes with every edit. An
    editor's own, with a dot, are none of them."""
    found = {}
    for folder, _, names in os.walk(files.ROOT / files.PACKAGE.name):
        for name in names:
            if name.endswith(".py") and not name.startswith("."):
                path = Path(folder, name)
                about = path.stat()
                found[path] = about.st_ino, about.st_size, about.st_mtime_ns, about.st_ctime_ns
    return found


def _text_of_lib() -> str:
    """The digest of the text of all files of lib."""
    digest = hashlib.sha256()
    for path in sorted(_files_of_lib()):
        digest.update(f"{path.relative_to(files.ROOT).as_posix()}\n".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


FILES = _files_of_lib()  # before their text is read: an edit meanwhile is one since then
TEXT = _text_of_lib()  # as it is imported now, whatever becomes of the files while this runs


def _is_edited() -> bool:
    """Whether the text of lib is another one than it was; read only where a file was touched."""
    try:
        return _files_of_lib() != FILES and _text_of_lib() != TEXT
    except OSError:  # a file was removed just now
        return True


def name_of(kind: str, key: tuple) -> str | None:
    """The name of the file of what `kind` ("graph", "check") says of `key`, the same in each
    process that would find out the same; None where no file may answer for it.

    That is so where there is no folder; where a part of the key has no stable text
    (`descriptions.stable_text`); where files of lib were edited since they were imported, so that
    what is imported from now on is not what `TEXT` says; and where a function of lib was replaced
    by one that stands in no library."""
    if FOLDER is None:
        return None
    text = descriptions.stable_text(key)
    if text is None or descriptions.has_replacements() or _is_edited():
        return None
    decides = json.dumps([text, TEXT, *_versions(), *_settings()])
    return f"{kind}-{hashlib.sha256(decides.encode()).hexdigest()}"


def _versions() -> list[str]:
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    return [torch.__version__, version("torchvision"), python,
            torch.backends.cpu.get_cpu_capability()]


def _settings() -> list[str]:
    """What of torch's global state a trace may depend on."""
    return [str(value) for value in (
        torch.get_default_dtype(), torch.is_grad_enabled(), torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"), torch.is_autocast_enabled("cuda"),
        torch.get_autocast_dtype("cpu"), torch.get_autocast_dtype("cuda"),
        torch.are_deterministic_algorithms_enabled(), torch.backends.mkldnn.enabled,
        torch.backends.cudnn.enabled)]


def read(name: str | None) -> object:
    """What is stored under a name, or None: not there, damaged, of another name, not readable."""
    if FOLDER is None or name is None:
        return None
    path = _path(name)
    try:
        seal, _, body = path.read_bytes().partition(b"\n")
        if seal.decode("ascii") != hashlib.sha256(body).hexdigest():
            return None
        document = json.loads(body)
        if set(document) != {"name", "holds"} or document["name"] != name:
            return None
    except (OSError, ValueError, TypeError, RecursionError):
        return None
    with contextlib.suppress(OSError):
        os.utime(path)  # used now: the oldest go first
    return document["holds"]


def write(name: str | None, holds: object) -> None:
    """Store what JSON can hold under a name, whole or not at all; no error where that fails."""
    if FOLDER is None or name is None:
        return
    body = json.dumps({"name": name, "holds": holds}, allow_nan=False).encode()
    with contextlib.suppress(OSError):
        with files.atomic(_path(name)) as file:
            file.write(hashlib.sha256(body).hexdigest().encode() + b"\n" + body)
        _bound(FOLDER)


def _path(name: str) -> Path:
    return FOLDER / f"{name}.json"


def _bound(folder: Path) -> None:
    """Remove the files that were not used for longest, while there are too many or they are too
    large."""
    stored = []
    for path in folder.glob("*.json"):
        with contextlib.suppress(OSError):  # another process removed it
            stored.append((path.stat().st_mtime_ns, path.stat().st_size, path))
    count, size = len(stored), sum(size for _, size, _ in stored)
    for _, bytes_of_one, path in sorted(stored):
        if count <= MOST_FILES and size <= MOST_BYTES:
            break
        path.unlink(missing_ok=True)
        count, size = count - 1, size - bytes_of_one
