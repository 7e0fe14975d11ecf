"""What an auditor has to tell of an update that brings no description: a TOML file."""

import tomllib
from dataclasses import dataclass, fields
from pathlib import Path

import torch

from .. import checks
from ..protocol import Protocol
from . import code

TEMPLATE = """\
# What the client did. Lines that begin with # hold the defaults: change what differs.

shape = [3, 32, 32]        # channels, height, width of one image
classes = 10               # outputs of the model
# batch_size = 1           # images behind the update

# [protocol]
# loss = "cross_entropy"   # or "mse", "mse_softmax"; or your own function: "file.py:name"
# mode = "eval"            # "train" where the model was in train mode: BatchNorm, Dropout
# sends = "gradients"      # "weights": the file holds the difference after - before, or `after`
# local_lr = 0.01          # of local SGD, where the client took steps
# epochs = 1               # passes over the batch
# local_batch = 8          # images a local step; without it the whole batch
# momentum = 0.0
# nesterov = false
# weight_decay = 0.0
# normalise = false        # true: the model is fed (x - mean) / std

# mean = [0.49, 0.48, 0.45]  # of the public data, in [0, 1]; needed where normalise = true
# std = [0.25, 0.24, 0.26]
# labels = [3]               # where the client told them
"""


@dataclass(frozen=True)
class Settings:
    """What is told of an update: `shape` (C, H, W), `classes`, `batch_size`, the `Protocol`, `mean`
    and `std` of the public data, and the labels where the client told them."""

    shape: tuple[int, ...]
    classes: int
    batch_size: int = 1
    protocol: Protocol = Protocol()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    labels: tuple[int, ...] | None = None


def read(path: Path | None, given: dict | None = None) -> Settings:
    """The settings of a TOML file, with those of `given` (options of the command line) in their
    place. ValueError naming the line that is missing, unknown or of another type."""
    told = _parsed(path) if path else {}
    protocol = told.pop("protocol", {})
    known = {field.name for field in fields(Settings)} - {"protocol"}
    of_protocol = {field.name for field in fields(Protocol)}
    if not isinstance(protocol, dict):
        raise ValueError(f"{path}: protocol is a table, [protocol], not {protocol!r}")
    for where, names, allowed in (("", told, known), ("[protocol] ", protocol, of_protocol)):
        if unknown := sorted(set(names) - allowed):
            raise ValueError(f"{path}: {where}{unknown[0]} is unknown: there are "
                             f"{', '.join(sorted(allowed))}")
    for name, value in (given or {}).items():
        (protocol if name in of_protocol else told)[name] = value
    return _settings(told, protocol)


def _parsed(path: Path) -> dict:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError as error:
        raise ValueError(f"no settings file {path}: `audit --init {path}` writes one") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise ValueError(f"{path} is no TOML file: {error}") from error


def _settings(told: dict, protocol: dict) -> Settings:
    for name, what in (("shape", "channels, height, width of one image: --shape 3,32,32"),
                       ("classes", "the model's outputs: --classes 10")):
        if name not in told:
            raise ValueError(f"{name} is missing ({what}, or a line of the settings file)")
    told = told | {name: tuple(_list(name, told[name]))
                   for name in ("shape", "mean", "std", "labels") if told.get(name) is not None}
    for name in {"mean", "std"} & set(told):
        for value in told[name] or ():
            checks.number(f"each value of {name}", value)
    for value in told.get("labels") or ():
        checks.whole("each of labels", value, 0)
    checks.whole("classes", told["classes"])
    checks.whole("batch_size", told.get("batch_size", 1))
    for size in told["shape"]:
        checks.whole("each size in shape", size)
    if ":" in str(protocol.get("loss")):
        protocol = protocol | {"loss": _loss(protocol["loss"], told["classes"])}
    return Settings(**told, protocol=Protocol(**protocol))


def _loss(named: str, classes: int) -> object:
    """A loss of the auditor's own; ValueError for one that gives no number for a batch of two."""
    loss = code.named(named, "loss")
    rows = torch.zeros(2, classes)
    try:
        value = loss(rows, rows + 1 / classes)
    except Exception as error:  # whatever the user's own code raises
        raise ValueError(f"loss {named}: of logits and targets (2, {classes}) it failed with "
                         f"{type(error).__name__}: {error}") from error
    if getattr(value, "shape", None) != ():
        raise ValueError(f"loss {named} must give one number for a batch, a tensor (), not "
                         f"{tuple(getattr(value, 'shape', ())) or type(value).__name__}")
    return loss


def _list(name: str, value: object) -> list | tuple:
    if not isinstance(value, list | tuple):
        raise ValueError(f"{name} is a list of numbers, not {value!r}")
    return value


def write_template(path: Path) -> None:
    """Write TEMPLATE; ValueError where the file is there already."""
    try:
        with open(path, "x") as file:
            file.write(TEMPLATE)
    except FileExistsError as error:
        raise ValueError(f"{path} is there already: remove it, or name another") from error
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {error.strerror}") from error
