"""Convolutions, their gradients and matrix products as sums of taps.

A sum of taps is out[channel, position] = sum over t of w[channel, t] * x[position, t]: tables say
where tap t lies in w and in x. A convolution has one table. A transposed one has a table for each
class of positions that meet the same weights (stride times stride of them).
"""

from dataclasses import dataclass

import numpy as np

from .program import TAPS, WEIGHT_GRADIENT, At, Program
from .values import UNIFORM, Unsupported, Value, whole

TOGETHER = 12  # channels of a block: their weights stay in cache while positions pass


@dataclass(frozen=True)
class Geometry:
    """How a convolution of two axes walks."""

    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    groups: int

    @classmethod
    def of(cls, stride, padding, dilation, groups) -> "Geometry":
        pairs = [tuple(pair) for pair in (stride, padding, dilation)]
        if any(len(pair) != 2 for pair in pairs):
            raise Unsupported("convolutions of one or three axes")
        return cls(*pairs, groups)


def convolution(program: Program, x: Value, w: Value, g: Geometry) -> Value:
    """x (B, Ci, H, W) with w (Co, Ci / groups, kh, kw)."""
    (B, _, H, W), (Co, Ci, kh, kw) = x.shape, w.shape
    size = [(n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in
            zip((H, W), g.padding, g.dilation, (kh, kw), g.stride, strict=True)]
    x = padded(program, x, *((p, p) for p in g.padding))
    out = whole((B, Co, *size))
    c, i, j = np.ix_(range(Ci), range(kh), range(kw))
    where_x = c * x.strides[1] + i * g.dilation[0] * x.strides[2] + j * g.dilation[1] * x.strides[3]
    where_w = c * w.strides[1] + i * w.strides[2] + j * w.strides[3]
    classes = [Class(where_x, where_w, size, (0, out.strides[2], out.strides[3]),
                     (g.stride[0] * x.strides[2], g.stride[1] * x.strides[3]))]
    channels = Co // g.groups
    groups = (g.groups, Ci * x.strides[1], channels * w.strides[0], channels * out.strides[1])
    images = (B, x.strides[0], 0, out.strides[0])
    return taps(program, x, w, out, images, groups,
                (channels, w.strides[0], out.strides[1]), classes)


def transposed(program: Program, x: Value, w: Value, g: Geometry, size: list[int]) -> Value:
    """x (B, Co, h, w) with w (Co, Ci / groups, kh, kw): (B, Ci, *size), the gradient of the input
    of a convolution."""
    B, (Co, Ci) = x.shape[0], w.shape[:2]
    steps = [_steps(size[a], w.shape[2 + a], g, a) for a in (0, 1)]
    margins = [_margin(s, x.shape[2 + a]) for a, s in enumerate(steps)]
    x = padded(program, x, *margins)
    out = whole((B, Ci * g.groups, *size))
    classes = []
    for first_row, rows, taps_row in steps[0]:
        for first_column, columns, taps_column in steps[1]:
            if not rows or not columns:
                continue
            c = np.arange(Co // g.groups)[:, None, None]
            i, at_i = (np.array(v, dtype=int)[None, :, None] for v in taps_row)
            j, at_j = (np.array(v, dtype=int)[None, None, :] for v in taps_column)
            where_x = c * x.strides[1] + (at_i + margins[0][0]) * x.strides[2] \
                + (at_j + margins[1][0]) * x.strides[3]
            where_w = c * w.strides[0] + i * w.strides[2] + j * w.strides[3]
            place = first_row * out.strides[2] + first_column
            classes.append(Class(
                where_x, where_w, (rows, columns),
                (place, g.stride[0] * out.strides[2], g.stride[1]), x.strides[2:]))
    inner = Co // g.groups
    groups = (g.groups, inner * x.strides[1], inner * w.strides[0], Ci * out.strides[1])
    images = (B, x.strides[0], 0, out.strides[0])
    return taps(program, x, w, out, images, groups, (Ci, w.strides[1], out.strides[1]), classes)


def _steps(size: int, kernel: int, g: Geometry, axis: int) -> list[tuple]:
    """For each class of positions on an axis: its first position, how many there are, and its
    taps: (places in the kernel, places in x for the first position)."""
    s, p, d = g.stride[axis], g.padding[axis], g.dilation[axis]
    classes = []
    for first in range(s):
        meets = [k for k in range(kernel) if (first + p - k * d) % s == 0]
        at = [(first + p - k * d) // s for k in meets]
        classes.append((first, len(range(first, size, s)), (meets, at)))
    return classes


def _margin(steps: list[tuple], length: int) -> tuple[int, int]:
    """How far the taps reach beyond x, before and after."""
    reached = [(min(at), max(at) + count - 1) for _, count, (_, at) in steps if at and count]
    if not reached:
        return 0, 0
    return max(0, -min(low for low, _ in reached)), \
        max(0, max(high for _, high in reached) - length + 1)


def weight_gradient(program: Program, d: Value, x: Value, shape: tuple, g: Geometry) -> Value:
    """The gradient (Co, Ci / groups, kh, kw) of a convolution's weights: d (B, Co, h, w) is that of
    its output, x (B, Ci, H, W) its input."""
    Co, Ci, kh, kw = shape
    x = padded(program, x, *((p, p) for p in g.padding))
    if d.strides[3] != 1 or d.space == UNIFORM:
        d = program.contiguous(d)
    out = whole(shape)
    c, i, j = np.ix_(range(Ci), range(kh), range(kw))
    table = program.table((c * x.strides[1] + i * g.dilation[0] * x.strides[2]
                           + j * g.dilation[1] * x.strides[3]).ravel())
    channels = Co // g.groups
    words = [d.space, At(d.buffer, d.offset), x.space, At(x.buffer, x.offset), At(out.buffer),
             x.shape[0], d.strides[0], x.strides[0],
             g.groups, channels * d.strides[1], Ci * x.strides[1],
             channels, d.strides[1], Ci * kh * kw, table,
             d.shape[2], d.shape[3], d.strides[2], g.stride[0] * x.strides[2],
             g.stride[1] * x.strides[3]]
    program.instruction(WEIGHT_GRADIENT, words, [d, x], [out])
    return out


def product(program: Program, a: Value, b: Value) -> Value:
    """a (n, M, K) times b (n, K, N)."""
    n, M, N = a.shape[0], a.shape[1], b.shape[2]
    out = whole((n, M, N))
    k = np.arange(a.shape[2])
    turned = a.space == UNIFORM or (b.space != UNIFORM and M > N)
    if turned:
        if b.space == UNIFORM:
            b = program.contiguous(b)
        w, x, channels, columns = a, b, M, N
        where_w, where_x = k * a.strides[2], k * b.strides[1]
        steps = a.strides[1], out.strides[1], b.strides[2], out.strides[2]
    else:
        w, x, channels, columns = b, a, N, M
        where_w, where_x = k * b.strides[1], k * a.strides[2]
        steps = b.strides[2], out.strides[2], a.strides[1], out.strides[1]
    w_step, out_channel, x_step, out_step = steps
    classes = [Class(where_x, where_w, (1, columns), (0, 0, out_step), (0, x_step))]
    images = (n, x.strides[0], w.strides[0], out.strides[0])
    return taps(program, x, w, out, images, (1, 0, 0, 0), (channels, w_step, out_channel), classes)


@dataclass(frozen=True)
class Class:
    """Positions that meet the same taps: tables, (rows, columns), where they lie in the output
    (first, step of a row, of a column), and the steps in x."""

    where_x: np.ndarray
    where_w: np.ndarray
    size: tuple[int, int]
    out: tuple[int, int, int]
    steps: tuple[int, int]


def taps(program: Program, x: Value, w: Value, out: Value, images: tuple, groups: tuple,
         channels: tuple, classes: list[Class]) -> Value:
    """Write the instruction. images: (number, steps in x, w and out); groups: the same;
    channels: (number of a group, step in w, step in out)."""
    if x.number is not None or x.space == UNIFORM:
        raise Unsupported("a convolution of what is the same for all problems")
    count, w_step, out_step = channels
    words = [w.space, At(w.buffer, w.offset), x.space, At(x.buffer, x.offset), At(out.buffer),
             *images, *groups, count, w_step, out_step, min(TOGETHER, count), len(classes)]
    for c in classes:
        tables = [program.table(where.ravel()) for where in (c.where_x, c.where_w)]
        words += [c.where_x.size, *tables, *c.size, *c.out, *c.steps]
    program.instruction(TAPS, words, [x, w], [out])
    return out


def padded(program: Program, x: Value, rows: tuple[int, int], columns: tuple[int, int]) -> Value:
    """x (B, C, H, W) in lanes with zeros around it."""
    if not any((*rows, *columns)):
        return program.contiguous(x) if x.number is not None or x.space == UNIFORM else x
    if x.number is not None:
        x = program.contiguous(x)
    B, C, H, W = x.shape
    out = whole((B, C, H + sum(rows), W + sum(columns)))
    into = Value(x.shape, out.strides, out.buffer, rows[0] * out.strides[2] + columns[0])
    program.copied(x, out, into, zeros=True)
    return out
