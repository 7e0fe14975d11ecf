"""What a notebook is run with: profile, seed, device, data, precision, progress bars."""

import contextlib
import functools
import getpass
import hashlib
import importlib.metadata
import json
import os
import platform
import re
import subprocess
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path

import torch
from tqdm import tqdm

from . import checks, files

ROOT = files.ROOT
PROFILES = ("quick", "paper")
LARGEST_SEED = 2**32 - 1  # that numpy takes; a client's is 10**6 times this and more, in torch
_current = None


def name_the_user() -> None:
    """torch asks for the user's name, for a folder. A container that runs under a bare number has
    none, and torch fails: the number is the name then."""
    try:
        getpass.getuser()
    except (KeyError, OSError):
        os.environ["LOGNAME"] = f"user{os.getuid()}"


name_the_user()


@dataclass(frozen=True)
class Run:  # made by `start`
    profile: str
    seed: int
    device: torch.device
    data_root: Path

    @property
    def quick(self) -> bool:
        return self.profile == "quick"


def start(profile=None, seed=0, device="auto", data_root=None) -> Run:
    """Check the settings, make them the current ones, and compute in ieee float32 from here on.

    profile: "quick" or "paper"; None takes the environment variable PROFILE, else quick.
    device: "auto" (the GPU where there is one), "cpu", "cuda" or "cuda:<n>".
    data_root: where data sets and weights lie; None takes DATA_ROOT, else `data/` in
    `files.home`. Of an installed package that need not be there: embedded sets need no file.
    Raises ValueError naming the first setting that is wrong."""
    global _current
    if profile is None:
        profile = os.environ.get("PROFILE") or "quick"
    if not isinstance(profile, str) or profile not in PROFILES:
        raise ValueError(f"unknown profile {profile!r}: it is one of {', '.join(PROFILES)}")
    seed = checks.whole("seed", seed, 0, LARGEST_SEED)
    # TF32 keeps 10 bits of a gradient, and the attacker's loss is a difference of gradients.
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    _current = Run(profile, seed, _device(device), _data_root(data_root))
    return _current


def current() -> Run:
    """The run last started: what a cell's compute function asks for its device and data."""
    return _current or start()


def fresh() -> bool:
    """Whether stored results are to be computed again: the environment variable FRESH is 1.

    Raises ValueError for a value that is neither 1 nor 0."""
    asked = os.environ.get("FRESH", "")
    if asked not in ("", "0", "1"):
        raise ValueError(f"FRESH={asked}: it is 1 (compute again) or 0 (read what is stored)")
    return asked == "1"


def _device(device) -> torch.device:
    chosen = None
    if isinstance(device, str) and device == "auto":
        chosen = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    elif isinstance(device, str | torch.device):
        with contextlib.suppress(RuntimeError):
            chosen = torch.device(device)
    known = chosen is not None and chosen.type in ("cpu", "cuda")
    if not known or (chosen.type == "cpu" and chosen.index):
        raise ValueError(f"device must be auto, cpu, cuda or cuda:<n>, not {device!r}")
    if chosen.type == "cuda" and (chosen.index or 0) >= (count := torch.cuda.device_count()):
        raise ValueError(f"device {chosen} was asked for, but torch sees {count} GPUs")
    return chosen


def _data_root(data_root) -> Path:
    named = data_root is not None or bool(os.environ.get("DATA_ROOT"))
    if data_root is None:
        data_root = os.environ.get("DATA_ROOT") or files.home() / "data"
    if not isinstance(data_root, str | os.PathLike) or not str(data_root):
        raise ValueError(f"data_root must name a folder, not {data_root!r}")
    try:
        path = Path(data_root).expanduser().absolute()
        there = path.is_dir()
    except (OSError, RuntimeError, ValueError) as error:     # ~nobody, or a name that no file has
        raise ValueError(f"data_root {data_root!r}: {error}") from error
    if not there and (named or not files.installed()):
        raise ValueError(f"data_root {path} is not a folder")
    return path


def progress(iterable=None, total=None, desc="") -> tqdm:
    """The one progress bar: a line of text with an estimate of the time left, on stderr.

    Iterate over it, or use it as a context manager with `.update(n)`. Silent for its first second,
    and with QUIET=1 or TQDM_DISABLE=1. No widget: that leaves a dead picture in a notebook."""
    silent = any(os.environ.get(name, "") not in ("", "0") for name in ("QUIET", "TQDM_DISABLE"))
    return tqdm(iterable, desc, total, leave=None, ncols=80, mininterval=1, delay=1, disable=silent)


def generator(*key) -> torch.Generator:
    """A CPU generator seeded by its key of whole numbers and strings, and by nothing else.

    A draw keyed by (seed, client, restart) is the same however many others are drawn beside it."""
    if not all(isinstance(part, Integral | str) for part in key):
        raise ValueError(f"a generator's key is of whole numbers and strings, not {key!r}")
    key = [part if isinstance(part, str) else int(part) for part in key]
    digest = hashlib.sha256(json.dumps(key).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


def environment(device="cpu") -> dict:
    """Where a result was computed: torch, device, python, commit."""
    return {"torch": torch.__version__, "device": device_name(device),
            "python": platform.python_version(), "commit": commit()}


def device_name(device="cpu") -> str:
    """The GPU's name, or the processor's with the number of threads torch uses."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    name = platform.processor() or platform.machine()
    with contextlib.suppress(OSError, IndexError):
        name = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())[0]
    return f"{name}, {torch.get_num_threads()} threads"


@functools.cache
def commit() -> str:
    """The commit the code stands at, "+dirty" if lib, studies or a notebook's source differs; of an
    installed package its version, and "unknown" where neither is known."""
    if os.environ.get("COMMIT"):
        return os.environ["COMMIT"]
    if files.installed():  # a repository around the environment is another one
        return _release()
    git = functools.partial(subprocess.check_output, cwd=ROOT, text=True, stderr=subprocess.DEVNULL)
    try:
        head = git(["git", "rev-parse", "--short=10", "HEAD"]).strip()
        changed = git(["git", "status", "--porcelain", "--", "lib", "studies", "notebooks/*.py"])
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+dirty" if changed else "")


def _release() -> str:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        return f"leaky-gradients {importlib.metadata.version('leaky-gradients')}"
    return "unknown"
