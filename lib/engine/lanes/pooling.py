"""Pooling: an average is a convolution; of a maximum each lane has its own winner.

A graph hands the places of the winners from one operation to the next as indices. Here they are
masks, one for each place of the window: 1 where that place won.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch

from . import convolutions
from .convolutions import Geometry
from .program import Program
from .values import Unsupported, Value, viewed, whole

aten = torch.ops.aten


# --- averages ------------------------------------------------------------------------------------

def average(program: Program, x: Value, kernel, stride=(), padding=(0, 0), up=False,
            with_padding=True, divisor=None) -> Value:
    """aten.avg_pool2d: a convolution of each channel with the same weights."""
    weights, geometry = _averaging(program, x, kernel, stride, padding, (up, divisor, with_padding))
    return convolutions.convolution(program, _lanes(program, x), weights, geometry)


def average_backward(program: Program, d: Value, x: Value, kernel, stride, padding, up,
                     with_padding, divisor) -> Value:
    """aten.avg_pool2d_backward."""
    weights, geometry = _averaging(program, x, kernel, stride, padding, (up, divisor, with_padding))
    return convolutions.transposed(program, _lanes(program, d), weights, geometry,
                                   list(x.shape[2:]))


def _averaging(program: Program, x: Value, kernel, stride, padding, how: tuple) \
        -> tuple[Value, Geometry]:
    up, divisor, with_padding = how
    if up or divisor is not None or (any(padding) and not with_padding) or len(x.shape) != 4:
        raise Unsupported("average pooling of this kind")
    channels = x.shape[1]
    shape = (channels, 1, *kernel)
    weights = program.literal(np.full(shape, 1 / math.prod(kernel)))
    return weights, Geometry.of(stride or kernel, padding, (1, 1), channels)


# --- maxima --------------------------------------------------------------------------------------

@dataclass(frozen=True)
class Winners:
    """Which place of its window each maximum came from."""

    shape: tuple[int, ...]  # (B, C, H, W) that was pooled
    padding: tuple[int, int]
    size: tuple[int, ...]  # (B, C, h, w) of the maxima
    places: list[tuple]  # slices of rows and of columns of the padded input
    masks: list[Value]  # (B, C, h, w) for each place


def largest(program: Program, x: Value, kernel, stride=(), padding=(0, 0), dilation=(1, 1),
            up=False) -> list:
    """aten.max_pool2d_with_indices: [maxima, `Winners`]. The first of equal ones wins."""
    if up or len(x.shape) != 4 or tuple(dilation) != (1, 1):
        raise Unsupported("maximum pooling of this kind")
    kernel, stride, padding = (tuple(pair) * (3 - len(pair)) for pair in
                               (kernel, stride or kernel, padding))
    framed = _framed(program, _lanes(program, x), padding)
    size = [(n - k) // s + 1 for n, k, s in zip(framed.shape[2:], kernel, stride, strict=True)]
    places = [(slice(i, i + stride[0] * (size[0] - 1) + 1, stride[0]),
               slice(j, j + stride[1] * (size[1] - 1) + 1, stride[1]))
              for i in range(kernel[0]) for j in range(kernel[1])]
    parts = [_at(framed, place) for place in places]
    most = parts[0]
    for part in parts[1:]:
        most = program.elementwise("maximum", most.shape, most, part)
    masks, left = [], Value(most.shape, number=1.0)
    for part in parts:
        equal = program.elementwise("eq", most.shape, part, most)
        masks.append(program.elementwise("mul", most.shape, equal, left))
        left = program.elementwise("sub", most.shape, left, masks[-1])
    return [most, Winners(x.shape, padding, tuple(most.shape), places, masks)]


def largest_backward(program: Program, d: Value, x: Value, kernel, stride, padding, dilation, up,
                     winners: Winners) -> Value:
    """aten.max_pool2d_with_indices_backward: each number goes to the place that won."""
    if not isinstance(winners, Winners):
        raise Unsupported("indices of pooling from elsewhere")
    (B, C, H, W), (pad_h, pad_w) = winners.shape, winners.padding
    total = Value((B, C, H + 2 * pad_h, W + 2 * pad_w), number=0.0)
    for place, mask in zip(winners.places, winners.masks, strict=True):
        part = program.elementwise("mul", mask.shape, d, mask)
        spread = whole(total.shape)
        program.copied(part, spread, _at(spread, place), zeros=True)
        total = program.elementwise("add", total.shape, total, spread)
    return _at(total, (slice(pad_h, pad_h + H, 1), slice(pad_w, pad_w + W, 1)))


def gathered(program: Program, x: Value, axis: int, winners: Winners) -> Value:
    """aten.gather of what lay where the maxima came from: (B, C, h * w) of (B, C, H * W)."""
    if not isinstance(winners, Winners):
        raise Unsupported("aten.gather")
    B, C, H, W = winners.shape
    if x.shape != (B, C, H * W) or axis % 3 != 2:
        raise Unsupported("aten.gather of this shape")
    x = viewed(_lanes(program, x), aten.view.default, [B, C, H, W])
    if x is None:
        raise Unsupported("aten.gather of this memory")
    pad_h, pad_w = winners.padding
    x = convolutions.padded(program, x, (pad_h, pad_h), (pad_w, pad_w))
    total = Value(winners.size, number=0.0)
    for place, mask in zip(winners.places, winners.masks, strict=True):
        part = program.elementwise("mul", total.shape, _at(x, place), mask)
        total = program.elementwise("add", total.shape, total, part)
    return viewed(total, aten.view.default, [B, C, -1])


def _framed(program: Program, x: Value, padding: tuple[int, int]) -> Value:
    """x with minus infinity around it."""
    if not any(padding):
        return x
    pad_h, pad_w = padding
    padded = convolutions.padded(program, x, (pad_h, pad_h), (pad_w, pad_w))
    frame = np.full(padded.shape[2:], -np.inf)
    frame[pad_h:-pad_h or None, pad_w:-pad_w or None] = 0
    return program.elementwise("add", padded.shape, padded, program.literal(frame))


def _at(value: Value, place: tuple[slice, slice]) -> Value:
    for axis, part in zip((2, 3), place, strict=True):
        value = viewed(value, aten.slice.Tensor, axis, part.start, part.stop, part.step)
    return value


def _lanes(program: Program, value: Value) -> Value:
    return program.contiguous(value) if value.number is not None else value
