"""A program under construction: instructions, runs of elementwise operations, and where their
buffers lie in the arena.

Words of an instruction are whole numbers, or `At`: the place of a value, known once the arena is
laid out. the kernels reads them in the order in which they are written here.
"""

from dataclasses import dataclass, field

import numpy as np

from .values import ARENA, UNIFORM, Buffer, Unsupported, Value, collapsed, contiguous_strides, whole

ELEMENTWISE, REDUCE, TAPS, WEIGHT_GRADIENT, COPY = range(5)
MAX_DIMS, MAX_SLOTS = 8, 64
OPERATIONS = {name: number for number, name in enumerate((
    "neg abs sign exp log sqrt rsqrt reciprocal sigmoid tanh relu erf sin cos add sub mul div "
    "maximum minimum sigmoid_backward tanh_backward pow lt le gt ge eq ne and or not where "
    "threshold_backward constant").split())}
SUM, DOT, LARGEST = range(3)


@dataclass(frozen=True)
class At:
    """The place of a buffer plus an offset, as a word of an instruction."""

    buffer: Buffer
    offset: int = 0


@dataclass
class Instruction:
    kind: int
    words: list
    reads: list[Buffer]
    writes: list[Buffer]


@dataclass
class Run:
    """Elementwise operations on as many numbers, executed block by block in one instruction."""

    numel: int
    shape: tuple[int, ...] | None = None  # None: all that it reads can be walked as one axis
    inputs: list[Value] = field(default_factory=list)
    results: list[Value] = field(default_factory=list)
    operations: list[tuple] = field(default_factory=list)  # (name, operands, number)

    @property
    def made(self) -> set[Buffer]:
        return {result.buffer for result in self.results}


class Program:
    """Instructions and their tables; `layout` gives the words and the size of the arena."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self.tables: list[np.ndarray] = []
        self.numbers: list[float] = [0.0]
        self.literals: list[Value] = []  # what lowering made that is the same for all problems
        self.literal_numbers: list[np.ndarray] = []
        self._table_size, self._known, self._run = 0, {}, None

    # --- elementwise

    def elementwise(self, name: str, shape: tuple[int, ...], *operands: Value,
                    number: float = 0.0) -> Value:
        """The result of an operation on operands that are broadcast to a shape."""
        shape = tuple(shape)
        if len(shape) > MAX_DIMS:
            raise Unsupported(f"{len(shape)} axes")
        operands = [v.expanded(shape) for v in operands]
        if not self._takes(shape, operands):
            self.close()
            self._run = Run(whole(shape).numel)
        run = self._run
        if not all(_is_flat(v) for v in operands):
            run.shape = shape
        result = whole(shape)
        run.operations.append((name, [self._slot(v) for v in operands], number))
        run.results.append(result)
        return result

    def _takes(self, shape: tuple[int, ...], operands: list[Value]) -> bool:
        """Whether the open run can go on with an operation of this shape."""
        run = self._run
        if run is None or run.numel != whole(shape).numel:
            return False
        if len(run.inputs) + len(run.results) + 5 > MAX_SLOTS:
            return False
        flat = all(_is_flat(v) for v in operands)
        if not flat and run.shape not in (None, shape):
            return False
        made = run.made
        return all(v.number is not None or v.buffer not in made or _is_all_of_it(v)
                   for v in operands)

    def _slot(self, value: Value) -> tuple[str, int]:
        run = self._run
        for i, result in enumerate(run.results):
            if value.buffer is not None and result.buffer is value.buffer:
                return "result", i
        if value.number is not None:
            key = whole(())
            run.results.append(key)
            run.operations.append(("constant", [], value.number))
            return "result", len(run.results) - 1
        for i, known in enumerate(run.inputs):
            if (known.buffer, known.offset, known.strides, known.shape) == \
                    (value.buffer, value.offset, value.strides, value.shape):
                return "input", i
        run.inputs.append(value)
        return "input", len(run.inputs) - 1

    def close(self) -> None:
        """End the open run."""
        run, self._run = self._run, None
        if run is None:
            return
        shape = run.shape or (run.numel,)
        strides = [_walked(v, shape) for v in run.inputs]
        sizes, steps = collapsed(shape, contiguous_strides(shape), *strides)
        words = [len(sizes), *sizes, len(run.inputs)]
        for value, step in zip(run.inputs, steps[1:], strict=True):
            words += [*_place(value), *step]
        words.append(len(run.operations))
        first = len(run.inputs)
        for (name, operands, number), result in zip(run.operations, run.results, strict=True):
            slots = [i if kind == "input" else first + i for kind, i in operands]
            slots += [0] * (3 - len(slots))
            words += [OPERATIONS[name], *slots, self._number(number), At(result.buffer)]
        self._emit(ELEMENTWISE, words, [v.buffer for v in run.inputs],
                   [r.buffer for r in run.results])

    # --- the other instructions

    def reduction(self, kind: int, a: Value, b: Value, axes: list[int], scale: float = 1.0) \
            -> Value:
        """SUM or LARGEST of a, or DOT of a and b, over some axes, which are left out."""
        self.close()
        kept = [d for d in range(len(a.shape)) if d not in axes]
        sizes, steps = collapsed([a.shape[d] for d in axes], *([v.strides[d] for d in axes]
                                                               for v in (a, b)))
        result = whole([a.shape[d] for d in kept])
        words = [kind, At(result.buffer), self._number(scale), len(kept), len(sizes),
                 *(a.shape[d] for d in kept), *sizes]
        if len(kept) + len(sizes) > MAX_DIMS:
            raise Unsupported("too many axes")
        for value, step in zip((a, b), steps, strict=True):
            words += [*_place(value), *(value.strides[d] for d in kept), *step]
        self._emit(REDUCE, words, [a.buffer, b.buffer], [result.buffer])
        return result

    def copied(self, source: Value, target: Value, into: Value, zeros: bool) -> None:
        """Copy a value into the view `into` of the buffer of `target`; zeros: everywhere else."""
        self.close()
        lead = 0
        while lead < len(target.shape) - 1 and target.shape[lead] == 1:
            lead += 1
        slices = target.shape[lead] if target.shape else 1
        slice_size = max(1, target.numel) // max(1, slices)
        shape, to, by = source.shape[lead:], into.strides[lead:], source.strides[lead:]
        if not source.numel:  # also where an axis that was left out is the empty one
            shape, to, by = (0,), (1,), (0,)
        if not shape:
            shape, to, by = (1,), (1,), (0,)
        if len(shape) == 1:
            shape, to, by = (*shape, 1), (*to, 0), (*by, 0)
        words = [At(target.buffer), int(zeros), slice_size, slices, len(shape), *shape, *to,
                 into.offset, *_place(source), *by]
        self._emit(COPY, words, [source.buffer], [target.buffer])

    def contiguous(self, value: Value) -> Value:
        """The value on a buffer of its own, in lanes, unless it is all of one."""
        if value.number is None and value.space == ARENA and value.is_contiguous:
            return value
        if value.number is not None or value.numel == 1 or len(value.shape) > MAX_DIMS:
            zero = Value(value.shape, number=0.0)
            return self.elementwise("add", value.shape, value, zero)
        result = whole(value.shape)
        self.copied(value, result, result, zeros=False)
        return result

    def instruction(self, kind: int, words: list, reads: list[Value], writes: list[Value]) -> None:
        self.close()
        self._emit(kind, words, [v.buffer for v in reads], [v.buffer for v in writes])

    def table(self, offsets) -> int:
        """Where a table of offsets begins; equal ones are kept once."""
        offsets = np.ascontiguousarray(offsets, dtype=np.int32)
        key = offsets.tobytes()
        if key not in self._known:
            self._known[key] = self._table_size
            self.tables.append(offsets)
            self._table_size += len(offsets)
        return self._known[key]

    def literal(self, numbers: np.ndarray) -> Value:
        """Numbers that are the same for all problems."""
        value = whole(numbers.shape, UNIFORM)
        self.literals.append(value)
        self.literal_numbers.append(np.ascontiguousarray(numbers, dtype=np.float32))
        return value

    def _number(self, value: float) -> int:
        self.numbers.append(float(value))
        return len(self.numbers) - 1

    def _emit(self, kind: int, words: list, reads: list[Buffer], writes: list[Buffer]) -> None:
        self.instructions.append(Instruction(kind, words, reads, writes))

    # --- where everything lies

    def _drop_unread(self, read: set[Buffer]) -> set[Buffer]:
        """Leave out the instructions whose results nobody reads; all buffers that are read."""
        read, kept = set(read), []
        for step in reversed(self.instructions):
            if read.intersection(step.writes):
                kept.append(step)
                read.update(step.reads)
        self.instructions = kept[::-1]
        return read

    def layout(self, given: list[Value], taken: list[Value]) -> tuple[np.ndarray, int]:
        """(the words of all instructions, numbers of the arena). given: what is written before
        the first instruction; taken: what is read after the last one."""
        self.close()
        read = self._drop_unread({value.buffer for value in taken})
        _place_in_arena(self.instructions, [v.buffer for v in given], [v.buffer for v in taken],
                        read)
        words = []
        for step in self.instructions:
            resolved = [_resolved(word, read) for word in step.words]
            words += [step.kind, len(resolved) + 2, *resolved]
        written = [b for step in self.instructions for b in step.writes if b in read]
        ends = [b.at + b.size for b in (*written, *(v.buffer for v in given))]
        return np.array(words, dtype=np.int64), max(ends)


def _is_flat(value: Value) -> bool:
    return value.number is not None or value.is_contiguous or value.is_one_number


def _is_all_of_it(value: Value) -> bool:
    return value.is_contiguous and value.offset == 0 and value.numel == value.buffer.size


def _walked(value: Value, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The strides of an input on the axes of its run."""
    if value.shape == shape:
        return value.strides
    return (0,) * len(shape) if value.is_one_number else contiguous_strides(shape)


def _place(value: Value) -> list:
    return [value.space, At(value.buffer, value.offset)]


def _resolved(word, read: set[Buffer]) -> int:
    if not isinstance(word, At):
        return int(word)
    if word.buffer.at is None:  # a result that only its own run reads: it stays a temporary
        return -1
    return word.buffer.at + word.offset


def _place_in_arena(steps: list[Instruction], given: list[Buffer], taken: list[Buffer],
                    read: set[Buffer]) -> None:
    """Give each buffer of the arena that is read a place: first fit, while it is needed."""
    born = dict.fromkeys(given, -1)
    dies = dict.fromkeys(given, -1)
    for i, step in enumerate(steps):
        for buffer in step.writes:
            if buffer in read:
                born.setdefault(buffer, i)
                dies[buffer] = i
        for buffer in step.reads:
            dies[buffer] = i
    dies |= dict.fromkeys(taken, len(steps))
    living: list[Buffer] = []
    for buffer in sorted((b for b in born if b.space == ARENA), key=born.__getitem__):
        living = [b for b in living if dies[b] >= born[buffer]]
        buffer.at = _gap(living, buffer.size)
        living.append(buffer)
        living.sort(key=lambda b: b.at)


def _gap(living: list[Buffer], size: int) -> int:
    at = 0
    for buffer in living:
        if buffer.at - at >= size:
            return at
        at = max(at, buffer.at + buffer.size)
    return at
