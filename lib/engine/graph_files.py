"""A traced graph as a list of operations that JSON can hold, and back: for `lib.sealed`.

A file is interpreted, never executed or unpickled. It names nothing but operations of torch's own
`aten` and items of tuples; nodes have numbers instead of names, and each keyword is one of its
operation's. A graph with anything else, such as a constant tensor, is not stored.
"""

import functools
import operator

import torch
from torch import fx

from .. import sealed

GETITEM = "getitem"
# What operations of aten are told in words. No others, since a word may be a file's name, too.
WORDS = {"none", "tanh", "trunc", "floor", "sum", "mean", "prod", "amax", "amin"}
NAMED = {str(value): value for value in vars(torch).values()
         if isinstance(value, torch.dtype | torch.layout | torch.memory_format)}


class NotStorable(ValueError):
    """A graph with something that the format does not hold, or a text that is no such graph."""


# --- the two graphs of one key -------------------------------------------------------------------

def read(name: str | None, moving: int, fixed: int) -> tuple | None:
    """(body, prologue) as `write` stored them, of so many moving and fixed tensors; or None."""
    stored = sealed.read(name)
    if stored is None:
        return None
    try:
        body, prologue = decoded(stored["body"]), decoded(stored["prologue"])
        constants = stored["prologue"]["output"]["tuple"]
        fits = stored["prologue"]["inputs"] == fixed \
            and stored["body"]["inputs"] == moving + len(constants)
    except Exception:  # whatever is wrong with the text, it is not what `write` wrote
        return None
    return (body, prologue) if fits else None


def write(name: str | None, body: fx.GraphModule, prologue: fx.GraphModule) -> None:
    """Store two graphs under a name (`sealed.name_of`), where the format holds them."""
    if name is None:
        return
    try:
        holds = {"body": encoded(body.graph), "prologue": encoded(prologue.graph)}
    except NotStorable:
        return
    sealed.write(name, holds)


# --- graphs --------------------------------------------------------------------------------------

def encoded(graph: fx.Graph) -> dict:
    """A graph as JSON holds it. NotStorable where it cannot.

    {"inputs": n, "nodes": [[operation, arguments, keywords], ...], "output": value}, where inputs
    are numbered first, then nodes."""
    number: dict[fx.Node, int] = {}
    inputs, nodes, output = 0, [], None
    for node in graph.nodes:
        if node.op == "placeholder" and not node.args and not nodes:
            inputs += 1
        elif node.op == "call_function":
            keywords = {key: _value(value, number) for key, value in node.kwargs.items()}
            arguments = [_value(value, number) for value in node.args]
            nodes.append([_name_of(node.target), arguments, keywords])
        elif node.op == "output":
            output = _value(node.args[0], number)
        else:
            raise NotStorable(node.format_node())
        number[node] = len(number)
    return {"inputs": inputs, "nodes": nodes, "output": output}


def decoded(document: dict) -> fx.GraphModule:
    """The graph of what `encoded` gave: the same operations in the same order. NotStorable, or
    another error, where the document is none such."""
    graph, nodes = fx.Graph(), []
    for number in range(_whole(document["inputs"])):
        nodes.append(graph.placeholder(f"input_{number}"))
    for name, arguments, keywords in document["nodes"]:
        target = _operation(name)
        allowed = set() if name == GETITEM else {a.name for a in target._schema.arguments}
        if not set(keywords) <= allowed:  # a keyword becomes a word of the graph's code
            raise NotStorable(f"{name} has no keywords {', '.join(keywords)}")
        args = tuple(_restored(value, nodes) for value in arguments)
        kwargs = {key: _restored(value, nodes) for key, value in keywords.items()}
        nodes.append(graph.create_node("call_function", target, args, kwargs, f"n{len(nodes)}"))
    graph.output(_restored(document["output"], nodes))
    return fx.GraphModule(torch.nn.Module(), graph)


@functools.cache
def _operation(name: str) -> object:
    """The operation of a name, "aten.<operation>.<overload>" or "getitem"."""
    if name == GETITEM:
        return operator.getitem
    operation, _, overload = name.removeprefix("aten.").partition(".")
    found = getattr(getattr(torch.ops.aten, operation, None), overload, None)
    if not isinstance(found, torch._ops.OpOverload) or str(found) != name:
        raise NotStorable(f"{name!r} is no operation of aten")
    return found


def _name_of(target: object) -> str:
    name = GETITEM if target is operator.getitem else str(target)
    if _operation(name) is not target:
        raise NotStorable(name)
    return name


# --- values --------------------------------------------------------------------------------------

def _value(value: object, number: dict[fx.Node, int]) -> object:
    """An argument as JSON holds it: plain values and lists as they are, others under their kind."""
    if value is None or type(value) in (bool, int):
        return value
    if isinstance(value, list):
        return [_value(part, number) for part in value]
    if type(value) is tuple:
        return {"tuple": [_value(part, number) for part in value]}
    if isinstance(value, fx.Node):
        return {"node": number[value]}
    if type(value) is float:
        return {"float": value.hex()}  # to the last bit, nan and infinities too
    if type(value) is str and value in WORDS:
        return {"word": value}
    if isinstance(value, torch.device):
        return {"device": str(value)}
    if NAMED.get(str(value)) is value:
        return {"torch": str(value)}
    raise NotStorable(f"an argument {value!r}")


def _restored(value: object, nodes: list[fx.Node]) -> object:
    """The argument that `_value` wrote so."""
    if value is None or type(value) in (bool, int):
        return value
    if type(value) is list:
        return [_restored(part, nodes) for part in value]
    (kind, given), = value.items()
    if kind == "node":
        return nodes[_whole(given)]
    if kind == "tuple":
        return tuple(_restored(part, nodes) for part in given)
    if kind == "float":
        return float.fromhex(given)
    if kind == "word" and given in WORDS:
        return given
    if kind == "device":
        return torch.device(given)
    if kind == "torch":
        return NAMED[given]
    raise NotStorable(f"{kind} {given!r}")


def _whole(number: object) -> int:
    if type(number) is not int or number < 0:
        raise NotStorable(f"{number!r} is no number of a node")
    return number
