"""The direction of L-BFGS of many problems, by a kernel that reads each history once."""

import ctypes

import torch
from torch import Tensor

from .build import library

_Pointer = ctypes.c_void_p
_Number = ctypes.c_int64


class _Directions(ctypes.Structure):
    """`Directions` of kernels/lbfgs.h."""

    _fields_ = [(name, _Pointer) for name in
                ("S", "Y", "g", "y", "SY", "YY", "accept", "slot", "count", "H", "d")]
    _fields_ += [(name, _Number) for name in ("problems", "history", "n", "used")]


def has_directions(g: Tensor) -> bool:
    """Whether the kernel takes a gradient like this one: float32 on a CPU, with a compiler."""
    return g.dtype == torch.float32 and g.device.type == "cpu" and library() is not None


def directions(S: Tensor, Y: Tensor, g: Tensor, y: Tensor, grams: tuple[Tensor, Tensor],
               accept: Tensor, slot: Tensor, count: Tensor, H: Tensor, used: int) -> Tensor:
    """d (P, n) of histories S and Y (P, m, n), of which the first `used` slots may be filled.

    g, y (P, n): the gradient and its last change. grams: S'Y and Y'Y (P, m, m) in float64; where
    `accept` (P,), the column of `slot` is put into them. count (P,): pairs ever taken in. H (P,):
    the scale of the first matrix."""
    g, y, accept, H = (t.contiguous() for t in (g, y, accept, H))
    d = torch.empty_like(g)
    tensors = (S, Y, g, y, *grams, accept, slot.contiguous(), count.contiguous(), H, d)
    given = _Directions(*(t.data_ptr() for t in tensors), *S.shape, used)
    library().directions(ctypes.byref(given), torch.get_num_threads())
    return d
