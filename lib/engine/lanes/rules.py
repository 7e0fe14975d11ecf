"""What each operation of a graph becomes: a rule for each of aten's that the lanes have.

A rule is called with the program and the operation's arguments, values in place of tensors, and
returns its result.
"""

import math
from collections.abc import Callable

import torch

from . import convolutions, pooling
from .convolutions import Geometry
from .program import DOT, LARGEST, SUM, Program
from .values import Unsupported, Value, viewed, whole

aten = torch.ops.aten


def _constant(value: Value, number: float) -> Value:
    return Value(value.shape, number=float(number))


def _as_value(operand) -> Value:
    return operand if isinstance(operand, Value) else Value((), number=float(operand))


# --- elementwise ---------------------------------------------------------------------------------

def _unary(name: str) -> Callable:
    return lambda program, a: program.elementwise(name, a.shape, a)


def _binary(name: str) -> Callable:
    def rule(program: Program, a, b, alpha=1) -> Value:
        a, b = _as_value(a), _as_value(b)
        if alpha != 1:
            b = program.elementwise("mul", b.shape, b, _as_value(alpha))
        if name in ("add", "sub") and b.number == 0 and a.number is None:
            return a.expanded(torch.broadcast_shapes(a.shape, b.shape))
        return program.elementwise(name, torch.broadcast_shapes(a.shape, b.shape), a, b)
    return rule


def _rsub(program: Program, a: Value, b, alpha=1) -> Value:
    return _binary("sub")(program, b, a, alpha)


def _clamp(program: Program, a: Value, low=None, high=None) -> Value:
    if low is not None:
        a = _binary("maximum")(program, a, low)
    return a if high is None else _binary("minimum")(program, a, high)


def _power(program: Program, a: Value, exponent) -> Value:
    if exponent == 2:
        return program.elementwise("mul", a.shape, a, a)
    return program.elementwise("pow", a.shape, a, number=exponent)


def _where(program: Program, condition: Value, a, b) -> Value:
    a, b = _as_value(a), _as_value(b)
    shape = torch.broadcast_shapes(condition.shape, a.shape, b.shape)
    return program.elementwise("where", shape, condition, a, b)


def _threshold_backward(program: Program, d: Value, a: Value, threshold) -> Value:
    return program.elementwise("threshold_backward", d.shape, d, a, number=threshold)


def _hardtanh_backward(program: Program, d: Value, a: Value, low, high) -> Value:
    inside = _binary("and")(program, _binary("gt")(program, a, low),
                            _binary("lt")(program, a, high))
    return _where(program, inside, d, 0.0)


def _leaky_relu(program: Program, a: Value, slope=0.01) -> Value:
    below = _binary("mul")(program, a, slope)
    return _where(program, _binary("gt")(program, a, 0), a, below)


def _leaky_relu_backward(program: Program, d: Value, a: Value, slope, given_result) -> Value:
    below = _binary("mul")(program, d, slope)
    return _where(program, _binary("gt")(program, a, 0), d, below)


def _same(program: Program, a: Value, *rest, **options) -> Value:
    return a


# --- reductions ----------------------------------------------------------------------------------

def _axes(value: Value, axes) -> list[int]:
    if axes is None or axes == []:
        return list(range(len(value.shape)))
    axes = [axes] if isinstance(axes, int) else axes
    return sorted({axis % max(1, len(value.shape)) for axis in axes})


def _reduced(program: Program, kind: int, a: Value, axes, keep: bool, scale=1.0) -> Value:
    axes = _axes(a, axes)
    if not a.shape:
        return a
    if a.number is not None:
        a = program.contiguous(a)
    result = program.reduction(kind, a, a, axes, scale)
    if keep:
        shape = [1 if d in axes else size for d, size in enumerate(a.shape)]
        return viewed(result, aten.view.default, shape)
    return result


def _sum(program: Program, a: Value, axes=None, keep=False, dtype=None) -> Value:
    return _reduced(program, SUM, a, axes, keep)


def _mean(program: Program, a: Value, axes=None, keep=False, dtype=None) -> Value:
    count = math.prod(a.shape[d] for d in _axes(a, axes))
    if not count:
        raise Unsupported("the mean of nothing")
    return _reduced(program, SUM, a, axes, keep, 1 / count)


def _largest(program: Program, a: Value, axes=None, keep=False) -> Value:
    return _reduced(program, LARGEST, a, axes, keep)


def _dot(program: Program, a: Value, b: Value) -> Value:
    if a.number is not None or b.number is not None:
        return _sum(program, _binary("mul")(program, a, b))
    return program.reduction(DOT, a, b, [0])


def _log_softmax(program: Program, a: Value, axis: int, half: bool) -> Value:
    moved = _binary("sub")(program, a, _largest(program, a, axis, True))
    total = _sum(program, _unary("exp")(program, moved), axis, True)
    return _binary("sub")(program, moved, _unary("log")(program, total))


def _log_softmax_backward(program: Program, d: Value, result: Value, axis: int, dtype) -> Value:
    scaled = _binary("mul")(program, _unary("exp")(program, result), _sum(program, d, axis, True))
    return _binary("sub")(program, d, scaled)


def _softmax(program: Program, a: Value, axis: int, half: bool) -> Value:
    moved = _binary("sub")(program, a, _largest(program, a, axis, True))
    exponentials = _unary("exp")(program, moved)
    return _binary("div")(program, exponentials, _sum(program, exponentials, axis, True))


def _softmax_backward(program: Program, d: Value, result: Value, axis: int, dtype) -> Value:
    weighted = _binary("mul")(program, d, result)
    total = _sum(program, weighted, axis, True)
    return _binary("sub")(program, weighted, _binary("mul")(program, result, total))


# --- products and convolutions -------------------------------------------------------------------

def _mm(program: Program, a: Value, b: Value) -> Value:
    a, b = (viewed(v, aten.unsqueeze.default, 0) for v in (a, b))
    return viewed(_bmm(program, a, b), aten.select.int, 0, 0)


def _bmm(program: Program, a: Value, b: Value) -> Value:
    a, b = (program.contiguous(v) if v.number is not None else v for v in (a, b))
    return convolutions.product(program, a, b)


def _addmm(program: Program, bias: Value, a: Value, b: Value, beta=1, alpha=1) -> Value:
    result = _mm(program, a, b)
    if alpha != 1:
        result = _binary("mul")(program, result, alpha)
    return _binary("add")(program, result, bias, beta)


def _convolution(program: Program, x, w, bias, stride, padding, dilation, is_transposed,
                 more, groups) -> Value:
    geometry = Geometry.of(stride, padding, dilation, groups)
    x, w = (program.contiguous(v) if v.number is not None else v for v in (x, w))
    if is_transposed:
        size = [(n - 1) * s - 2 * p + d * (k - 1) + m + 1 for n, s, p, d, k, m in
                zip(x.shape[2:], stride, padding, dilation, w.shape[2:], more, strict=True)]
        result = convolutions.transposed(program, x, w, geometry, size)
    else:
        result = convolutions.convolution(program, x, w, geometry)
    if bias is None:
        return result
    return _binary("add")(program, result, viewed(bias, aten.view.default, [-1, 1, 1]))


def _convolution_backward(program: Program, d, x, w, bias_shape, *how) -> list:
    stride, padding, dilation, is_transposed, _, groups, wanted = how
    geometry = Geometry.of(stride, padding, dilation, groups)
    d, x, w = (program.contiguous(v) if v.number is not None else v for v in (d, x, w))
    of_x = of_w = of_bias = None
    if wanted[0] and is_transposed:
        of_x = convolutions.convolution(program, d, w, geometry)
    elif wanted[0]:
        of_x = convolutions.transposed(program, d, w, geometry, list(x.shape[2:]))
    if wanted[1]:
        pair = (x, d) if is_transposed else (d, x)
        of_w = convolutions.weight_gradient(program, *pair, w.shape, geometry)
    if wanted[2]:
        of_bias = _sum(program, d, [0, 2, 3])
    return [of_x, of_w, of_bias]


# --- copies --------------------------------------------------------------------------------------

def _in_zeros(program: Program, part: Value, shape, view: Callable, *where) -> Value:
    """A value of zeros, with `part` in the view `view(whole, *where)`."""
    result = whole(shape)
    if part.number is not None:
        part = program.contiguous(part)
    program.copied(part, result, viewed(result, view, *where), zeros=True)
    return result


def _slice_backward(program: Program, d: Value, shape, axis, start, end, step) -> Value:
    return _in_zeros(program, d, shape, aten.slice.Tensor, axis, start, end, step)


def _select_backward(program: Program, d: Value, shape, axis, index) -> Value:
    axis %= len(shape)
    d = viewed(d, aten.unsqueeze.default, axis)
    index %= shape[axis]
    return _in_zeros(program, d, shape, aten.slice.Tensor, axis, index, index + 1, 1)


def _padding(program: Program, x: Value, pads, value=0.0) -> Value:
    if value != 0 or len(pads) != 4 or min(pads) < 0 or len(x.shape) != 4:
        raise Unsupported("padding of this kind")
    return convolutions.padded(program, x, tuple(pads[2:]), tuple(pads[:2]))


def _cat(program: Program, parts, axis=0) -> Value:
    parts = [p for p in parts if p.shape != (0,)]
    axis %= len(parts[0].shape)
    shape = list(parts[0].shape)
    shape[axis] = sum(p.shape[axis] for p in parts)
    result, start = whole(shape), 0
    for part in parts:
        end = start + part.shape[axis]
        part = program.contiguous(part) if part.number is not None else part
        into = viewed(result, aten.slice.Tensor, axis, start, end)
        program.copied(part, result, into, zeros=False)
        start = end
    return result


def _stack(program: Program, parts, axis=0) -> Value:
    return _cat(program, [viewed(p, aten.unsqueeze.default, axis) for p in parts], axis)


def _number(program: Program, number, **options) -> Value:
    return Value((), number=float(number))


def _full(program: Program, shape, number, **options) -> Value:
    return Value(tuple(shape), number=float(number))


def _filled(number: float) -> Callable:
    return lambda program, shape, **options: Value(tuple(shape), number=number)


def _like(number: float) -> Callable:
    return lambda program, a, **options: _constant(a, number)


RULES: dict = {
    aten.add.Tensor: _binary("add"), aten.add.Scalar: _binary("add"),
    aten.sub.Tensor: _binary("sub"), aten.sub.Scalar: _binary("sub"),
    aten.rsub.Scalar: _rsub, aten.rsub.Tensor: _rsub,
    aten.mul.Tensor: _binary("mul"), aten.mul.Scalar: _binary("mul"),
    aten.div.Tensor: _binary("div"), aten.div.Scalar: _binary("div"),
    aten.maximum.default: _binary("maximum"), aten.minimum.default: _binary("minimum"),
    aten.clamp.default: _clamp, aten.clamp_min.default: _clamp,
    aten.clamp_max.default: lambda program, a, high: _clamp(program, a, None, high),
    aten.hardtanh.default: lambda program, a, low=-1, high=1: _clamp(program, a, low, high),
    aten.hardtanh_backward.default: _hardtanh_backward,
    aten.leaky_relu.default: _leaky_relu, aten.leaky_relu_backward.default: _leaky_relu_backward,
    aten.neg.default: _unary("neg"), aten.abs.default: _unary("abs"),
    aten.sgn.default: _unary("sign"), aten.sign.default: _unary("sign"),
    aten.exp.default: _unary("exp"), aten.log.default: _unary("log"),
    aten.sqrt.default: _unary("sqrt"), aten.rsqrt.default: _unary("rsqrt"),
    aten.reciprocal.default: _unary("reciprocal"), aten.sigmoid.default: _unary("sigmoid"),
    aten.tanh.default: _unary("tanh"), aten.relu.default: _unary("relu"),
    aten.erf.default: _unary("erf"), aten.sin.default: _unary("sin"),
    aten.cos.default: _unary("cos"),
    aten.sigmoid_backward.default: _binary("sigmoid_backward"),
    aten.tanh_backward.default: _binary("tanh_backward"),
    aten.threshold_backward.default: _threshold_backward,
    aten.pow.Tensor_Scalar: _power, aten.where.self: _where, aten.where.ScalarOther: _where,
    aten.logical_not.default: _unary("not"), aten.bitwise_not.default: _unary("not"),
    aten.logical_and.default: _binary("and"), aten.logical_or.default: _binary("or"),
    aten.bitwise_and.Tensor: _binary("and"), aten.bitwise_or.Tensor: _binary("or"),
    aten.clone.default: _same, aten._to_copy.default: _same, aten.detach.default: _same,
    aten.alias.default: _same, aten.lift_fresh_copy.default: _same,
    aten.sum.default: _sum, aten.sum.dim_IntList: _sum, aten.mean.default: _mean,
    aten.mean.dim: _mean, aten.amax.default: _largest, aten.dot.default: _dot,
    aten._log_softmax.default: _log_softmax, aten._softmax.default: _softmax,
    aten._log_softmax_backward_data.default: _log_softmax_backward,
    aten._softmax_backward_data.default: _softmax_backward,
    aten.mm.default: _mm, aten.bmm.default: _bmm, aten.addmm.default: _addmm,
    aten.convolution.default: _convolution,
    aten.convolution_backward.default: _convolution_backward,
    aten.avg_pool2d.default: pooling.average,
    aten.avg_pool2d_backward.default: pooling.average_backward,
    aten.max_pool2d_with_indices.default: pooling.largest,
    aten.max_pool2d_with_indices_backward.default: pooling.largest_backward,
    aten.gather.default: pooling.gathered,
    aten.slice_backward.default: _slice_backward, aten.select_backward.default: _select_backward,
    aten.constant_pad_nd.default: _padding, aten.cat.default: _cat, aten.stack.default: _stack,
    aten.scalar_tensor.default: _number, aten.full.default: _full,
    aten.zeros.default: _filled(0.0), aten.ones.default: _filled(1.0),
    aten.zeros_like.default: _like(0.0), aten.ones_like.default: _like(1.0),
    aten.full_like.default: lambda program, a, number, **options: _constant(a, number),
    aten.new_zeros.default: lambda program, a, shape, **options: Value(tuple(shape), number=0.0),
} | {getattr(getattr(aten, name), kind): _binary(name)
     for name in ("lt", "le", "gt", "ge", "eq", "ne") for kind in ("Scalar", "Tensor")}


WRITING = {aten.add_.Tensor: aten.add.Tensor, aten.mul_.Tensor: aten.mul.Tensor,
           aten.sub_.Tensor: aten.sub.Tensor, aten.relu_.default: aten.relu.default,
           aten.hardtanh_.default: aten.hardtanh.default}

FOLDED = {aten.add.Tensor, aten.add.Scalar, aten.sub.Tensor, aten.sub.Scalar, aten.mul.Tensor,
          aten.mul.Scalar, aten.div.Tensor, aten.div.Scalar, aten.neg.default, aten.rsub.Scalar}
