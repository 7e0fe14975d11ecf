"""One flat graph of tensor operations out of a function, and what tells two graphs apart.

`make_fx` flattens a function, double backward included, to a list of tensor operations, and only
the list runs. What does not depend on the dummy variables (norms of the targets, transposed
weights) is moved to a prologue that runs once an attack.

Graphs are kept from one attack to the next only where everything that they were made of is
torch's or lib's own. What a user's callable or module reads from outside may have changed since,
and nothing here would notice; its graphs live as long as one attack. Those that are kept are
stored for the next process, too (`graph_files`).
"""

from collections.abc import Callable

import torch
from torch import Tensor, fx
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from .. import sealed
from ..twice import unannotated
from . import graph_files

GRAPHS: dict = {}  # of what is torch's or lib's own: key -> (body graph, prologue graph)
MAX_GRAPHS = 64  # a long session with many shapes: the oldest is forgotten


# --- tracing -------------------------------------------------------------------------------------

def traced(function: Callable, moving: list[Tensor], fixed: list[Tensor], key: tuple,
           graphs: dict) -> Callable:
    """A function of the moving tensors alone: `function(moving, fixed)` as a flat graph. The
    prologue (all that depends on `fixed` alone) runs here, once."""
    body, prologue = graph_pair(function, moving, fixed, key, graphs)
    constants = prologue.forward(*fixed)
    return lambda *now: body.forward(*now, *constants)


def graph_pair(function: Callable, moving: list[Tensor], fixed: list[Tensor], key: tuple,
               graphs: dict) -> tuple[fx.GraphModule, fx.GraphModule]:
    """(body, prologue) of `function(moving, fixed)`: the prologue computes from `fixed` what the
    body takes after the moving tensors.

    They are looked for in `graphs` under `key` and the shapes, and kept there; where that is
    `GRAPHS`, in the files of other processes too. All tensors are inputs of the graphs."""
    tensors = [*moving, *fixed]
    # Strides, too: a graph has `view` where those of its tensors allowed it.
    key = (key, len(moving),
           *((tuple(t.shape), t.stride(), t.dtype, t.device) for t in tensors))
    if key not in graphs:
        name = sealed.name_of("graph", key) if graphs is GRAPHS else None
        pair = graph_files.read(name, len(moving), len(fixed))
        if pair is None:
            pair = _traced(function, moving, fixed)
            graph_files.write(name, *pair)
        if len(graphs) >= MAX_GRAPHS:
            graphs.pop(next(iter(graphs)))
        graphs[key] = pair
    return graphs[key]


def _traced(function: Callable, moving: list[Tensor], fixed: list[Tensor]) -> tuple:
    """(body graph, prologue graph) of `function(moving, fixed)`."""
    count = len(moving)
    flat = lambda *ts: function(list(ts[:count]), list(ts[count:]))  # noqa: E731
    with sdpa_kernel(SDPBackend.MATH), unannotated():
        graph = _flattened(flat, [*moving, *fixed])
    return _split(_cleaned(graph), count)


def _flattened(flat: Callable, tensors: list[Tensor]) -> fx.GraphModule:
    try:
        return make_fx(flat)(*(t.detach() for t in tensors))
    except RuntimeError as error:
        if "_local_scalar_dense" not in str(error) and ".item()" not in str(error):
            raise
        raise ValueError(
            "the model, objective, prior or loss reads a number out of a tensor (float(t), "
            "t.item(), an if on a tensor): one graph cannot serve all states then; write it with "
            "tensors, for instance torch.where") from error


def _cleaned(graph: fx.GraphModule) -> fx.GraphModule:
    """Without detach and alias nodes, unused results, and things computed twice."""
    for node in list(graph.graph.nodes):
        if node.target in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    first = {}
    for node in [] if _mutates(graph) else list(graph.graph.nodes):
        key = repr((node.target, node.args, sorted(node.kwargs.items())))
        if node.op == "call_function" and first.setdefault(key, node) is not node:
            node.replace_all_uses_with(first[key])
            graph.graph.erase_node(node)
    return graph  # its code is never run: `_split` copies the nodes


def _mutates(graph: fx.GraphModule) -> bool:
    schemas = (getattr(n.target, "_schema", None) for n in graph.graph.nodes)
    return any(s is not None and s.is_mutable for s in schemas)


def _split(graph: fx.GraphModule, moving: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """(body, prologue): the prologue holds what does not depend on the first `moving` inputs."""
    nodes = list(graph.graph.nodes)
    inputs = [n for n in nodes if n.op == "placeholder"]
    moves = set(inputs[:moving])
    hoist = not _mutates(graph)
    for n in nodes:
        if n.op != "placeholder" and (not hoist or any(a in moves for a in n.all_input_nodes)):
            moves.add(n)
    still = [n for n in nodes if n not in moves and n.op != "output"]
    handed_on = [n for n in still if any(u in moves or u.op == "output" for u in n.users)]
    prologue, body = fx.Graph(), fx.Graph()
    copies: dict = {n: prologue.placeholder(n.name) for n in inputs[moving:]}
    for n in still:
        if n.op != "placeholder":
            copies[n] = prologue.node_copy(n, copies.__getitem__)
    prologue.output(tuple(copies[n] for n in handed_on))
    copies = {n: body.placeholder(n.name) for n in (*inputs[:moving], *handed_on)}
    for n in nodes:
        if n not in copies and (n in moves or n.op == "output"):
            copies[n] = body.node_copy(n, copies.__getitem__)
    return fx.GraphModule(graph, body), fx.GraphModule(graph, prologue)
