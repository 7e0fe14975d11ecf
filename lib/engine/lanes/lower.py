"""A traced graph of one problem as a program of instructions for eight problems at once.

Whatever an operation of the graph has no rule for here raises `Unsupported`: the graph then runs as
it does without lanes. Views cost nothing, numbers that are known are folded, and elementwise
operations are gathered in runs.
"""

import operator
from collections.abc import Callable

import torch
from torch import fx

from .pooling import Winners
from .program import Program
from .rules import FOLDED, RULES, WRITING
from .values import Unsupported, Value, viewed

aten = torch.ops.aten


def lowered(graph: fx.Graph, inputs: list[Value]) -> tuple[Program, list[Value]]:
    """(program, its results) of a graph whose placeholders are `inputs`."""
    program, values, waiting = Program(), {}, list(inputs)
    for node in graph.nodes:
        if node.op == "placeholder":
            values[node] = waiting.pop(0)
        elif node.op == "call_function":
            arguments, options = fx.map_arg((node.args, node.kwargs), values.__getitem__)
            target = _without_writing(node, values)
            values[node] = _of_node(program, target, arguments, options)
            if target is not node.target:
                values[node.args[0]] = values[node]
        elif node.op == "output":
            results = fx.map_arg(node.args[0], values.__getitem__)
        else:
            raise Unsupported(node.op)
    return program, [program.contiguous(result) for result in results]


def _without_writing(node: fx.Node, values: dict) -> Callable:
    """The node's operation; of one that writes into its first argument the one that does not.
    `Unsupported` where another value in the same place is read later."""
    if node.target not in WRITING:
        return node.target
    written = values[node.args[0]]
    later, reached = set(), False
    for other in node.graph.nodes:
        if reached:
            later.update(other.all_input_nodes)
        reached = reached or other is node
    for other in later & values.keys():
        value = values[other]
        if other is not node.args[0] and isinstance(value, Value) and value.buffer is not None \
                and value.buffer is written.buffer:
            raise Unsupported(f"{node.target} into what another value shares")
    return WRITING[node.target]


def _of_node(program: Program, target: Callable, arguments: tuple,
             options: dict) -> "Value | Winners | list":
    if target is operator.getitem:
        return arguments[0][arguments[1]]
    dtype = options.get("dtype")
    if dtype not in (None, torch.float32, torch.bool):
        raise Unsupported(f"numbers of type {dtype}")
    if target in VIEWS:
        return _view(program, target, arguments, options)
    if target not in RULES:
        raise Unsupported(str(target))
    folded = _folded(target, arguments)
    return RULES[target](program, *arguments, **options) if folded is None else folded


# --- views and known numbers ---------------------------------------------------------------------

VIEWS = {
    aten.view.default, aten._unsafe_view.default, aten.reshape.default, aten.expand.default,
    aten.permute.default, aten.transpose.int, aten.t.default, aten.slice.Tensor,
    aten.select.int, aten.unsqueeze.default, aten.squeeze.default, aten.squeeze.dim,
    aten.squeeze.dims, aten.split.Tensor, aten.split_with_sizes.default, aten.unbind.int,
    aten.diagonal.default, aten.unfold.default, aten.as_strided.default}


def _view(program: Program, target: Callable, arguments: tuple,
          options: dict) -> "Value | Winners | list":
    value, *rest = arguments
    if isinstance(value, Winners):
        return value  # of one shape only: `pooling.gathered` finds its own
    if target is aten.as_strided.default:
        raise Unsupported("as_strided")
    if target is aten._unsafe_view.default:
        target = aten.view.default
    result = viewed(value, target, *rest, **options)
    if result is None:  # torch's memory allowed this view, ours does not
        result = viewed(program.contiguous(value), target, *rest, **options)
    if result is None:
        raise Unsupported(str(target))
    return result


def _folded(target: Callable, arguments: tuple) -> Value | None:
    """An elementwise result of numbers that are known, as a number."""
    values = [a for a in arguments if isinstance(a, Value)]
    if target not in FOLDED or not values or any(v.number is None for v in values):
        return None
    numbers = [torch.tensor(a.number) if isinstance(a, Value) else a for a in arguments]
    shape = torch.broadcast_shapes(*(v.shape for v in values))
    return Value(tuple(shape), number=float(target(*numbers)))
