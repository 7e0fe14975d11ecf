"""From files to an update: what a client sent, the model, images for a rehearsal.

Files of tensors are read without pickle. A model is code of the user's own, which is run.
"""

import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from .. import image_files
from ..protocol import ThreatModel
from ..update import SharedUpdate
from . import code
from .settings import Settings

LARGEST = 4 * 2**30  # bytes of a file, and of what it unpacks to
READS = (".pt", ".pth", ".npz", ".safetensors")


def model_of(named: str, option: str = "--model") -> nn.Module:
    """The module that "file.py:Name" or "package.module:Name" names: a module, or a class or
    function that makes one without arguments. ValueError for what is none."""
    made = code.named(named, option)
    if not isinstance(made, nn.Module) and callable(made):
        try:
            made = made()
        except (Exception, SystemExit) as error:  # whatever the user's own code raises
            raise ValueError(f"{option} {named}: made without arguments it failed with "
                             f"{type(error).__name__}: {error}; a function of yours may give "
                             "them, def net(): return Net(...)") from error
    if not isinstance(made, nn.Module):
        raise ValueError(f"{option} {named}: it is no torch.nn.Module, and makes none")
    return made


def tensors_of(path: Path) -> dict | list:
    """The tensors of a .pt, .npz or .safetensors file: by name, or in order, as frameworks that
    send lists of arrays save them. ValueError for a file that is none of these, damaged, or too
    large."""
    if not path.is_file():
        raise ValueError(f"no file {path}")
    if path.suffix not in READS:
        raise ValueError(f"{path} is none of {', '.join(READS)}")
    if not path.stat().st_size:
        raise ValueError(f"{path} is empty")
    _check_size(path, path.stat().st_size, "has")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                unpacked = sum(entry.file_size for entry in archive.infolist())
            _check_size(path, unpacked, "unpacks to")
        if path.suffix == ".npz":
            return _arrays(path)
        if path.suffix == ".safetensors":
            return _safe(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an archive that is refused anyway
            return _within(path, torch.load(path, weights_only=True, map_location="cpu"))
    except ValueError:
        raise
    except Exception as error:  # a damaged or foreign file fails in a dozen ways
        raise ValueError(f"{path} cannot be read without pickle, or is damaged: "
                         f"{type(error).__name__}") from error


def _check_size(path: Path, size: int, what: str) -> None:
    if size > LARGEST:
        raise ValueError(f"{path} {what} {size / 2**30:.1f} GiB, more than {LARGEST / 2**30:.0f}")


def _within(path: Path, read: object) -> object:
    """What was read, where its tensors, made dense, are no larger than a file may be: a few bytes
    can be a view of any size."""
    for entry in read.values() if isinstance(read, dict) else \
            read if isinstance(read, list | tuple) else ():
        _within(path, entry)
    if isinstance(read, Tensor):
        _check_size(path, read.numel() * read.element_size(), "holds a tensor of")
    return read


def _arrays(path: Path) -> dict | list:
    with np.load(path, allow_pickle=False) as packed:
        arrays = {}
        for name in packed.files:
            try:
                arrays[name] = packed[name]
            except ValueError as error:  # numpy names neither the file nor the way out
                raise ValueError(f"{path}: {name} cannot be read without pickle, or is damaged "
                                 f"({error}); numpy.savez(file, *arrays) writes arrays that "
                                 "can") from error
    numbered = [f"arr_{i}" for i in range(len(arrays))]
    if sorted(arrays) == sorted(numbered):  # np.savez(file, *arrays): in the order of the model
        return [arrays[name] for name in numbered]
    return arrays


def _safe(path: Path) -> dict:
    try:
        from safetensors.torch import load_file
    except ImportError as error:
        raise ValueError(f"{path}: pip install safetensors reads it") from error
    return load_file(path)


def is_ours(tensors: object) -> bool:
    """Is it what `SharedUpdate.save` wrote?"""
    return isinstance(tensors, dict) and {"gradients", "protocol", "state"} <= set(tensors)


def update_of(path: Path, model: nn.Module, settings: Settings | None,
              before: Path | None = None) -> SharedUpdate:
    """The update of a file: one of ours, gradients or a difference, or (with `before`) the weights
    after the client trained. ValueError where settings are missing, or something does not fit."""
    sent = tensors_of(path)
    if is_ours(sent):
        if before:
            raise ValueError(f"{path} is an update that holds its own weights: leave --before out")
        return SharedUpdate.load(path, model)
    if settings is None:
        raise ValueError(f"{path} does not say what it is: --shape and --classes, or --settings")
    about = {"shape": tuple(settings.shape), "num_classes": settings.classes,
             "batch_size": settings.batch_size}
    for name in ("mean", "std"):
        if getattr(settings, name) is not None:
            about[name] = torch.tensor(getattr(settings, name), dtype=torch.float32)
    if settings.labels is not None:
        about |= {"labels": torch.tensor([settings.labels]), "threat": ThreatModel(labels="known")}
    if before is None:
        return SharedUpdate.from_gradients(model, sent, settings.protocol, **about)
    return SharedUpdate.from_weights(
        tensors_of(before), sent, model, settings.protocol, **about)


def images_of(folder: Path, shape: tuple, count: int) -> Tensor:
    """(count, C, H, W) in [0, 1]: the images of a folder in the order of their names, the central
    square, resized. ValueError where there are not so many, or one cannot be read."""
    files = sorted(path for path in folder.glob("[!.]*") if path.is_file()) \
        if folder.is_dir() else []
    if len(files) != count:
        raise ValueError(f"--truth {folder} holds {len(files)} images, and the update is of "
                         f"{count}: one file an image, no other files")
    C, H, W = shape
    if H != W:
        raise ValueError(f"--truth takes square images, and the model's are {H}x{W}")
    images = []
    for file in files:
        picture = image_files.read_image(file, H).convert("L" if C == 1 else "RGB")
        pixels = torch.from_numpy(np.array(picture)).float() / 255
        images.append(pixels[None] if C == 1 else pixels.permute(2, 0, 1))
    return torch.stack(images)
