"""What an instruction works on: values in lanes, values of all problems, and numbers.

The shape of a value is that of one problem. In lanes each of its numbers is a vector of eight
problems; a uniform value is the same for all problems and holds single floats.
"""

import math
from dataclasses import dataclass, field, replace

import torch

ARENA, CONSTANT, UNIFORM = 0, 1, 2  # spaces, as the kernels numbers them


class Unsupported(Exception):
    """An operation, type or shape that the lanes have no instruction for."""


@dataclass(eq=False)
class Buffer:
    """Room for `size` numbers in a space. `at`: where it begins, once that is known."""

    size: int
    space: int = ARENA
    at: int | None = None


@dataclass(frozen=True)
class Value:
    """A strided view of a buffer, or the same number everywhere (`number`)."""

    shape: tuple[int, ...]
    strides: tuple[int, ...] = ()
    buffer: Buffer | None = None
    offset: int = 0
    number: float | None = field(default=None)

    @property
    def numel(self) -> int:
        return math.prod(self.shape)

    @property
    def space(self) -> int:
        return self.buffer.space

    @property
    def is_contiguous(self) -> bool:
        return all(size == 1 or stride == expected for size, stride, expected in
                   zip(self.shape, self.strides, contiguous_strides(self.shape), strict=True))

    @property
    def is_one_number(self) -> bool:
        """Whether the same place is read everywhere."""
        return all(size == 1 or stride == 0
                   for size, stride in zip(self.shape, self.strides, strict=True))

    def expanded(self, shape: tuple[int, ...]) -> "Value":
        """Broadcast to a shape, as torch does."""
        if self.number is not None:
            return replace(self, shape=tuple(shape))
        lead = len(shape) - len(self.shape)
        strides = [0] * lead + [
            0 if size == 1 and wanted != 1 else stride
            for size, wanted, stride in zip(self.shape, shape[lead:], self.strides, strict=True)]
        return replace(self, shape=tuple(shape), strides=tuple(strides))


def contiguous_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides, step = [], 1
    for size in reversed(shape):
        strides.append(step)
        step *= size
    return tuple(reversed(strides))


def whole(shape: tuple[int, ...], space: int = ARENA) -> Value:
    """A contiguous value on a buffer of its own."""
    shape = tuple(shape)
    return Value(shape, contiguous_strides(shape), Buffer(max(1, math.prod(shape)), space))


def viewed(value: Value, operation, *arguments, **options) -> Value | list[Value] | None:
    """The view that an operation of torch's makes of a value; None where it would have to copy."""
    if value.number is not None:
        like = torch.empty((), device="meta").expand(value.shape)
    else:
        room = torch.empty(2**40, device="meta")
        like = room.as_strided(value.shape, value.strides, value.offset)
    try:
        result = operation(like, *arguments, **options)
    except RuntimeError:
        return None
    if isinstance(result, torch.Tensor):
        return _of_meta(value, result)
    return [_of_meta(value, part) for part in result]


def _of_meta(value: Value, meta: torch.Tensor) -> Value:
    if value.number is not None:
        return replace(value, shape=tuple(meta.shape))
    return replace(value, shape=tuple(meta.shape), strides=tuple(meta.stride()),
                   offset=meta.storage_offset())


def collapsed(shape: tuple[int, ...], *strides: tuple[int, ...]) -> tuple[list, list[list]]:
    """Axes of size 1 dropped, and neighbours joined that all of the strides walk as one."""
    sizes, steps = [], [[] for _ in strides]
    for d, size in enumerate(shape):
        if size == 1:
            continue
        now = [s[d] for s in strides]
        if sizes and all(walked[-1] == step * size
                         for walked, step in zip(steps, now, strict=True)):
            sizes[-1] *= size
            for walked, step in zip(steps, now, strict=True):
                walked[-1] = step
        else:
            sizes.append(size)
            for walked, step in zip(steps, now, strict=True):
                walked.append(step)
    return sizes or [1], [walked or [0] for walked in steps]
