"""The kernels, compiled once for this machine where a compiler is found.

Without a compiler, or with LANES=0 in the environment, the engine works as it does without lanes.
The library lies beside the stored graphs under a name made of its source, the compiler and the
processor, so that another machine compiles its own.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

from ... import sealed

SOURCES = Path(__file__).with_name("kernels")
FLAGS = ["-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-pthread"]
SECONDS = 300  # of compiling: it takes five
_FOLDER = sealed.FOLDER and Path(sealed.FOLDER).parent / "lanes"  # None: nothing may be stored


@functools.cache
def library() -> ctypes.CDLL | None:
    """The compiled kernels, or None where there are none."""
    compiler = shutil.which(os.environ.get("CXX") or "c++") or shutil.which("g++")
    if os.environ.get("LANES") == "0" or compiler is None or _FOLDER is None:
        return None
    if platform.machine() not in ("x86_64", "AMD64", "aarch64", "arm64"):
        return None
    try:
        file = _FOLDER / f"{_name(compiler)}.so"
        if not file.exists():
            if os.environ.get("QUIET", "") in ("", "0"):  # a course takes any word as a failure
                logging.getLogger(__name__).warning(
                    "compiling the engine's kernels, once for this machine: some seconds")
            _FOLDER.mkdir(parents=True, exist_ok=True)
            _compile(compiler, file)
        return ctypes.CDLL(str(file))
    except (OSError, subprocess.SubprocessError):
        return None  # no space, no right to write, a compiler that is none: as without lanes


def _name(compiler: str) -> str:
    version = subprocess.run([compiler, "--version"], capture_output=True, timeout=60, check=True)
    texts = [path.read_bytes() for path in sorted(SOURCES.glob("*.*"))]
    parts = [*texts, version.stdout, " ".join(FLAGS).encode(), _processor().encode()]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:32]


def _processor() -> str:
    """What `-march=native` depends on: the processor's model and abilities."""
    info = Path("/proc/cpuinfo")
    if not info.exists():
        return platform.processor() + platform.machine()
    lines = info.read_text().split("\n\n")[0].splitlines()
    return "\n".join(line for line in lines if line.startswith(("model name", "flags", "Features")))


def _compile(compiler: str, file: Path) -> None:
    """Compile under another name and move: another process sees all of the file or nothing."""
    handle, unfinished = tempfile.mkstemp(suffix=".so", dir=file.parent)
    os.close(handle)
    try:
        subprocess.run([compiler, *FLAGS, str(SOURCES / "step.cpp"), "-o", unfinished], check=True,
                       capture_output=True, timeout=SECONDS)
        os.replace(unfinished, file)
    finally:
        Path(unfinished).unlink(missing_ok=True)
