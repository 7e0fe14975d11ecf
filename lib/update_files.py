"""The file of an update: what `SharedUpdate.save` writes and `load` reads."""

import os
import zipfile
from collections.abc import Iterable
from dataclasses import fields
from pathlib import Path

import torch
from torch import Tensor, nn

from . import batching
from .protocol import Protocol

FORMAT = "leaky-gradients update 2"  # written by `save`; files of version 0.1 have none
OWN_LOSS = "a function: "


def checked_path(path) -> Path:
    if not isinstance(path, str | os.PathLike) or not str(path):
        raise ValueError(f"path is the name of an update file, not {path!r}")
    return Path(path)


def read_file(path: Path, device, known: Iterable[str]) -> dict:
    """The plain dict of an update file, of this version or the first; ValueError for others.
    known: the names of an update's fields."""
    if not path.exists():
        raise FileNotFoundError(f"no update file {path}")
    try:
        saved = torch.load(path, weights_only=True, map_location=device)
    except Exception as error:  # a damaged or foreign file fails in a dozen ways
        raise ValueError(f"{path} is damaged, or no update file of SharedUpdate.save: "
                         f"{type(error).__name__}") from error
    if damaged := _damaged_part(path):
        raise ValueError(f"{path} is damaged: the checksum of {damaged} is another")
    needed = {"gradients", "protocol", "threat", "state", "shape", "num_classes", "batch_size"}
    if not isinstance(saved, dict):
        raise ValueError(f"{path} is no update file of SharedUpdate.save: it holds "
                         f"{type(saved).__name__}")
    if lacking := sorted(needed - set(saved)):
        raise ValueError(f"{path} is incomplete, or no update file of SharedUpdate.save: it lacks "
                         + ", ".join(lacking))
    version = saved.pop("format", None)
    if version == FORMAT and isinstance(saved["protocol"], dict) and (
            lacking := [f.name for f in fields(Protocol) if f.name not in saved["protocol"]]):
        raise ValueError(f"{path} is incomplete: its protocol lacks {', '.join(lacking)}")
    if version not in (None, FORMAT):
        raise ValueError(f"{path} is of another version, {version!r}: this reads {FORMAT!r}")
    known = {*known, "state"}
    if unknown := sorted(map(str, set(saved) - known)):
        raise ValueError(f"{path} is of another version: it holds {', '.join(unknown[:4])}")
    for name in ("protocol", "threat", "state", "gradients"):
        if not isinstance(saved[name], dict):
            raise ValueError(f"{path} is damaged: {name} is {type(saved[name]).__name__}")
    return saved


def _damaged_part(path: Path) -> str | None:
    """A part of a file of torch.save, a zip, that is not as it was written: torch reads it all the
    same, and takes a flipped bit for another number."""
    if not zipfile.is_zipfile(path):  # of a torch before 1.6
        return None
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip()
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        return f"the archive ({error})"


def check_state(plain: nn.Module, state: dict) -> None:
    """ValueError where a file's weights have other shapes than the module's of the same name."""
    base, _ = batching.architecture(plain)
    named = dict(base.named_parameters()) | dict(base.named_buffers())
    for name, value in (state.get("params", {}) | state.get("buffers", {})).items():
        shape_here = tuple(named[name].shape) if name in named else "no such name"
        shape = tuple(value.shape) if isinstance(value, Tensor) else "no tensor"
        if shape_here != shape:
            raise ValueError(f"the update's {name} {shape} does not fit this model: {shape_here}")
        kinds = value.is_floating_point(), named[name].is_floating_point()
        if kinds[0] != kinds[1] or value.layout != torch.strided:
            raise ValueError(f"the update's {name} is of {value.dtype}, {value.layout}, and the "
                             f"model's of {named[name].dtype}")
        if name.endswith("running_var") and bool((value < 0).any()):
            raise ValueError(f"the update's {name} holds a negative variance")


def fill(ready: nn.Module, state: dict, path) -> None:
    """Replace all weights and buffers of a prepared model by a file's; all must be there."""
    base, _ = batching.architecture(ready)
    named = dict(base.named_parameters()) | dict(base.named_buffers())
    given = state.get("params", {}) | state.get("buffers", {})
    if lacking := [n for n in named if n not in given]:
        raise ValueError(f"{path} lacks the model's {', '.join(lacking[:4])}: it is incomplete, or "
                         "of another model")
    for name, value in given.items():
        if not value.isfinite().all():
            raise ValueError(f"the model's {name} holds NaN or infinite values")
        named[name].data = value  # with its dtype
