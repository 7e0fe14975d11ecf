"""A program on the tensors of an attack: `Step()` -> objective and gradient of all problems."""

import ctypes

import numpy as np
import torch
from torch import Tensor, fx

from .build import library
from .lower import lowered
from .values import CONSTANT, UNIFORM, Buffer, Unsupported, Value, contiguous_strides, whole

LANES = 8
_Pointer = ctypes.c_void_p
_Number = ctypes.c_int64


class _Program(ctypes.Structure):
    """`Program` of kernels/step.cpp."""

    _fields_ = [
        ("code", _Pointer), ("length", _Number), ("tables", _Pointer), ("numbers", _Pointer),
        ("uniform", _Pointer), ("constants", _Pointer), ("constant_size", _Number),
        ("arenas", _Pointer), ("arena_size", _Number),
        ("given", _Pointer), ("given_at", _Pointer), ("given_size", _Pointer), ("givens", _Number),
        ("taken", _Pointer), ("taken_space", _Pointer), ("taken_at", _Pointer),
        ("taken_size", _Pointer), ("takens", _Number), ("problems", _Number)]


class Step:
    """A graph of one problem, run for all of them, eight at a time.

    graph: its placeholders are the dummy tensors of one problem and then `fixed`. dummies: their
    shapes. fixed: (tensor, whether each problem has its own, on a leading axis (problems, ...)).
    Raises `Unsupported` for a graph that the lanes have no instructions for."""

    def __init__(self, graph: fx.Graph, dummies: list[tuple[int, ...]],
                 fixed: list[tuple[Tensor, bool]], problems: int) -> None:
        self.problems, self.groups = problems, -(-problems // LANES)
        inputs = [whole(shape) for shape in dummies]
        own, same = Buffer(0, CONSTANT, 0), Buffer(0, UNIFORM, 0)
        constants = []
        for tensor, is_own in fixed:
            if tensor.dtype not in (torch.float32, torch.bool) or tensor.device.type != "cpu":
                raise Unsupported(f"{tensor.dtype} on {tensor.device}")
            buffer, shape = (own, tensor.shape[1:]) if is_own else (same, tensor.shape)
            count = shape.numel()
            constants.append(Value(tuple(shape), contiguous_strides(shape), buffer, buffer.size))
            buffer.size += count
        program, results = lowered(graph, inputs + constants)
        for literal in program.literals:
            literal.buffer.at = same.size
            same.size += literal.numel
        code, size = program.layout(inputs, results)
        self._own = _packed([t for t, is_own in fixed if is_own], self.groups, own.size)
        uniform = [t.reshape(-1).float() for t, is_own in fixed if not is_own]
        uniform += [torch.from_numpy(numbers).reshape(-1) for numbers in program.literal_numbers]
        self._same = torch.cat(uniform) if uniform else torch.zeros(1)
        tables = program.tables or [np.zeros(1, np.int32)]
        self._arrays = [code, np.concatenate(tables), np.array(program.numbers)]
        self.shapes = [tuple(result.shape) for result in results]
        self._given = _places(inputs), _sizes(inputs)
        self._taken = np.zeros(len(results), np.int64), _places(results), _sizes(results)
        self.size, self._arena = size, torch.zeros(0)

    def __call__(self, *dummies: Tensor) -> list[Tensor]:
        """Results (problems, ...) of contiguous dummies (problems, ...)."""
        threads = torch.get_num_threads()
        room = self.size * LANES * (1 if self.groups < threads else threads)
        if self._arena.numel() < room:
            self._arena = torch.zeros(room)
        dummies = [d.contiguous() for d in dummies]
        results = [torch.empty(self.problems, *shape) for shape in self.shapes]
        given, taken = (np.array([t.data_ptr() for t in tensors], dtype=np.int64)
                        for tensors in (dummies, results))
        code, tables, numbers = self._arrays
        program = _Program(
            code.ctypes.data, len(code), tables.ctypes.data, numbers.ctypes.data,
            self._same.data_ptr(), self._own.data_ptr(), self._own.shape[1],
            self._arena.data_ptr(), self.size,
            given.ctypes.data, *(a.ctypes.data for a in self._given), len(given),
            taken.ctypes.data, *(a.ctypes.data for a in self._taken), len(taken), self.problems)
        library().step(ctypes.byref(program), threads)
        return results


def _packed(tensors: list[Tensor], groups: int, size: int) -> Tensor:
    """(groups, numbers of a problem, LANES): the last problem fills what is left over."""
    packed = torch.zeros(groups, max(1, size), LANES)
    start = 0
    for tensor in tensors:
        flat = tensor.reshape(len(tensor), -1)
        missing = groups * LANES - len(flat)
        flat = torch.cat((flat, flat[-1:].expand(missing, -1)))
        end = start + flat.shape[1]
        packed[:, start:end] = flat.view(groups, LANES, -1).transpose(1, 2)
        start = end
    return packed


def _places(values: list[Value]) -> np.ndarray:
    return np.array([v.buffer.at + v.offset for v in values], dtype=np.int64)


def _sizes(values: list[Value]) -> np.ndarray:
    return np.array([v.numel for v in values], dtype=np.int64)
