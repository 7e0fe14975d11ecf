"""Checks of images, labels and classes that a reader gives: ValueErrors that say what to do."""

import numpy as np
import torch
from torch import Tensor

from . import checks


def check_images(images: Tensor | np.ndarray, labels: Tensor, num_classes: int, axes: str) -> None:
    """ValueError where images have other axes than those named (NCHW, KBCHW), or labels do not fit.
    """
    require(images.ndim == len(axes) and images.numel() > 0,
             f"images must be ({', '.join(axes)}), not {tuple(images.shape)}")
    require(labels.shape == images.shape[:-3],
             f"labels must be int64 {tuple(images.shape[:-3])}, not {tuple(labels.shape)}")
    require((labels >= 0).all() and (labels < num_classes).all(),
             f"labels must lie in 0..{num_classes - 1}: there are {num_classes} classes")


def as_tensor(name: str, value) -> Tensor:
    """A tensor of a tensor or an array; ValueError naming it for all else."""
    require(isinstance(value, Tensor | np.ndarray),
             f"{name} must be a tensor, not {type(value).__name__}")
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError) as error:  # strings, strides below 0
        raise ValueError(f"{name} cannot become a tensor: {error}") from error


def whole_numbers(name: str, value) -> Tensor:
    """An int64 tensor of any whole numbers."""
    value = as_tensor(name, value)
    plain = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    require(plain, f"{name} must be whole numbers, int64 {tuple(value.shape)}, not {value.dtype}")
    return value.long()


def public_moments(mean, std, channels: int) -> list[Tensor]:
    """mean and std as floating tensors (channels,), checked: they are of pixels in [0, 1]."""
    moments = []
    for name, value in (("mean", mean), ("std", std)):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{name} must be of shape ({channels},): {error}") from error
        require(value.shape == (channels,), f"{name} must be of shape ({channels},), one value a "
                 f"channel, not {tuple(value.shape)}")
        value = value if value.is_floating_point() else value.float()
        require((value >= 0).all() and (value <= 1).all() and (name == "mean" or value.all()),
                 f"{name} is that of pixels in [0, 1], std above 0: not "
                 f"{checks.shown(value.tolist())}")
        moments.append(value.detach())
    return moments


def class_names(classes) -> list[str]:
    """Different names, as a list. ValueError for anything else."""
    fits = isinstance(classes, list | tuple) and classes \
        and all(isinstance(name, str) for name in classes) and len(set(classes)) == len(classes)
    require(fits, f"classes must be a list of different names, not {checks.shown(classes)}")
    return list(classes)


def put(frozen, **values) -> None:
    """Put checked values into a frozen dataclass that is being made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


def require(condition, message: str) -> None:
    """ValueError(message) unless the condition holds: what a reader gave does not fit."""
    if not condition:
        raise ValueError(message)
