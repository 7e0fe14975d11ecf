"""The batched attack step: K x R problems at once, traced once a shape, run many times. Floor 4.

The objective of one problem is a function of its dummy variables; `vmap(grad_and_value(...))` makes
it one of all problems, `make_fx` flattens that, double backward included, to a list of tensor
operations, and only the list runs. What does not depend on the dummy variables (norms of the
targets, transposed weights) is moved to a prologue that runs once an attack.
"""

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor, fx, nn
from torch.func import grad_and_value, vjp, vmap
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

# A forward pass of more floating point operations than this keeps both cores busy with one
# problem; batching it only spills the caches (bench/table.md, ConvNet width 64 against 16). A
# fixed rule and not a timing, so that the same run gives the same bytes.
ONE_BY_ONE_FLOPS = 1e9

_GRAPHS: dict = {}  # key -> (body graph, prologue graph, which inputs each takes)


# --- tracing -------------------------------------------------------------------------------------

def signature(model: nn.Module) -> tuple:
    """What decides a module's graph: each submodule's class and attributes, no tensors."""
    own = set(nn.Module().__dict__)
    return tuple(
        (name, type(m), *((k, _plain(v)) for k, v in sorted(m.__dict__.items()) if k not in own))
        for name, m in model.named_modules(remove_duplicate=False))


def _plain(value):
    """A value to compare by; what is not plain data is compared by identity, and kept alive."""
    if isinstance(value, int | float | str | bool | type(None)):
        return value
    if isinstance(value, tuple | list):
        return tuple(map(_plain, value))
    return _Same(value)


class _Same:
    def __init__(self, value):
        self.value = value

    def __hash__(self):
        return id(self.value)

    def __eq__(self, other):
        return isinstance(other, _Same) and self.value is other.value


def traced(function: Callable, moving: list[Tensor], fixed: list[Tensor], key: tuple) -> Callable:
    """A function of the moving tensors alone: `function(moving, fixed)` as a flat graph, cached.

    The cache key is `key` and the shapes; all tensors are inputs of the graph. The prologue (all
    that depends on `fixed` alone) runs here, once."""
    tensors = [*moving, *fixed]
    key = (key, len(moving), *((tuple(t.shape), t.dtype, t.device) for t in tensors))
    if key not in _GRAPHS:
        flat = lambda *ts: function(list(ts[: len(moving)]), list(ts[len(moving) :]))  # noqa: E731
        with sdpa_kernel(SDPBackend.MATH), _unannotated():
            graph = make_fx(flat)(*(t.detach() for t in tensors))
        if len(_GRAPHS) >= 64:  # a long session with many shapes: forget the oldest
            _GRAPHS.pop(next(iter(_GRAPHS)))
        _GRAPHS[key] = _split(_cleaned(graph), len(moving))
    body, prologue = _GRAPHS[key]
    kept = prologue.forward(*fixed)
    return lambda *now: body.forward(*now, *kept)


@contextlib.contextmanager
def _unannotated():
    """Trace without the fake tensor that make_fx notes down for each node: we only run the graphs,
    and it is three quarters of the time. Not public: a torch without it traces as it did."""
    kept = getattr(proxy_tensor, "set_meta", None)
    try:
        if kept is not None:
            proxy_tensor.set_meta = lambda proxy, value: proxy
        yield
    finally:
        if kept is not None:
            proxy_tensor.set_meta = kept


def _cleaned(graph: fx.GraphModule) -> fx.GraphModule:
    """Without detach and alias nodes, unused results, and things computed twice."""
    for node in list(graph.graph.nodes):
        if node.target in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)
    graph.graph.eliminate_dead_code()
    seen = {}
    for node in [] if _mutates(graph) else list(graph.graph.nodes):
        key = repr((node.target, node.args, sorted(node.kwargs.items())))
        if node.op == "call_function" and seen.setdefault(key, node) is not node:
            node.replace_all_uses_with(seen[key])
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
    kept = [n for n in still if any(u in moves or u.op == "output" for u in n.users)]
    prologue, body = fx.Graph(), fx.Graph()
    copies: dict = {n: prologue.placeholder(n.name) for n in inputs[moving:]}
    for n in still:
        if n.op != "placeholder":
            copies[n] = prologue.node_copy(n, copies.__getitem__)
    prologue.output(tuple(copies[n] for n in kept))
    copies = {n: body.placeholder(n.name) for n in (*inputs[:moving], *kept)}
    for n in nodes:
        if n not in copies and (n in moves or n.op == "output"):
            copies[n] = body.node_copy(n, copies.__getitem__)
    return fx.GraphModule(graph, body), fx.GraphModule(graph, prologue)


# --- K x R problems ------------------------------------------------------------------------------

@dataclass
class Problems:
    """K x R minimisation problems that share a formula.

    `objective(x, z, shared, own) -> scalar`: `x` (B, C, H, W) dummy images, `z` (B, classes) dummy
    label logits or None, `shared` tensors of all clients, `own` one client's tensors. `own` holds
    them stacked, (K, ...). `key` tells formulas apart, `flops` is a forward pass of one problem."""

    objective: Callable
    shared: dict[str, Tensor]
    own: dict[str, Tensor]
    x_shape: tuple[int, ...]  # (B, C, H, W)
    z_shape: tuple[int, ...] | None  # (B, classes) when the labels are optimised too
    key: tuple
    flops: float = 0.0
    rollout: "Rollout | None" = None  # where the objective is that of many local steps

    def select(self, keep: Tensor) -> "Problems":
        return replace(self, own={n: t[keep] for n, t in self.own.items()})

    def split(self, v: Tensor) -> tuple[Tensor, Tensor | None]:
        """(..., N) variables as images (..., B, C, H, W) and label logits (..., B, classes)."""
        n = torch.Size(self.x_shape).numel()
        x = v[..., :n].reshape(*v.shape[:-1], *self.x_shape)
        return x, None if self.z_shape is None else v[..., n:].reshape(*v.shape[:-1], *self.z_shape)

    def of_each_image(self, device) -> list[Tensor]:
        """For each image of the batch, the indices of its variables: pixels, then label logits."""
        sizes = [torch.Size(s or (0,)).numel() for s in (self.x_shape, self.z_shape)]
        parts = torch.arange(sum(sizes), device=device).split(sizes)
        return list(torch.cat([part.view(self.x_shape[0], -1) for part in parts], 1))

    def join(self, x: Tensor, z: Tensor | None) -> Tensor:
        x = x.flatten(-len(self.x_shape))
        return x if z is None else torch.cat((x, z.flatten(-2)), -1)


@dataclass
class Rollout:
    """Local steps theta_0, ..., theta_n of a client, one at a time, for a gradient without one
    graph of all steps: time and memory of tracing do not grow with n.

    `first(shared, own)` are the weights that the client was sent; `step(theta, x, z, shared, own,
    part)` one step on the images `part`; `parts` those of all steps; `objective(theta, x, z,
    shared, own)` the distance of the last weights, with the priors."""

    first: Callable
    step: Callable
    objective: Callable
    parts: list[slice]


def evaluator(problems: Problems, K: int, R: int, device: torch.device) -> Callable:
    """evaluate(v (K, R, N)) -> (loss (K, R), gradient (K, R, N))."""
    if problems.rollout is not None:
        return _rolled(problems, K, R, device)
    own, shared = list(problems.own.values()), list(problems.shared.values())
    shapes = [s for s in (problems.x_shape, problems.z_shape) if s is not None]
    lead = (K,) if R == 1 else (K, R)
    alone = K * R == 1 or (device.type == "cpu" and problems.flops > ONE_BY_ONE_FLOPS)

    def one(xz, own, shared):
        named = [dict(zip(names, tensors, strict=True)) for names, tensors
                 in ((problems.shared, shared), (problems.own, own))]
        return grad_and_value(lambda xz: problems.objective(*_pair(xz), *named))(xz)

    def step(xz, tensors):
        f = one
        if not alone:
            f = one if R == 1 else vmap(one, in_dims=(0, None, None))  # targets are not copied
            f = vmap(f, in_dims=(0, 0, None))
        g, loss = f(xz, tensors[: len(own)], tensors[len(own) :])
        return *g, loss

    example = [(own or shared)[0].new_full((*(() if alone else lead), *s), 0.5) for s in shapes]
    if alone:
        steps = [traced(step, example, [t[k] for t in own] + shared, (*problems.key, "single"))
                 for k in range(K)]
    else:
        batched = traced(step, example, own + shared, problems.key)

    def evaluate(v):
        x, z = problems.split(v.view(*lead, v.shape[-1]))
        xz = [t.contiguous() for t in (x, z) if t is not None]
        if alone:
            flat = [t.flatten(0, len(lead) - 1) for t in xz]
            each = [steps[i // R](*(t[i] for t in flat)) for i in range(K * R)]
            *g, loss = (torch.stack(parts) for parts in zip(*each, strict=True))
        else:
            *g, loss = batched(*xz)
        g = [t.reshape(*lead, *s) for t, s in zip(g, shapes, strict=True)]
        return loss.view(K, R), problems.join(*_pair(g)).reshape(K, R, -1)

    return evaluate


def _rolled(problems: Problems, K: int, R: int, device: torch.device) -> Callable:
    """`evaluator` of a `Rollout`: forward step by step, keeping only the weights; then backward,
    each step computed again and its vector-Jacobian product taken (reverse accumulation).

    Two graphs, one local step and its product, serve all steps; a third is the objective."""
    roll, names = problems.rollout, list(problems.own)
    shapes = [s for s in (problems.x_shape, problems.z_shape) if s is not None]
    alone = K * R == 1 or (device.type == "cpu" and problems.flops > ONE_BY_ONE_FLOPS)
    own = {n: t.repeat_interleave(R, 0) for n, t in problems.own.items()}  # (K R, ...)
    first = roll.first(problems.shared, {n: t[0] for n, t in own.items()})
    fields, n_own = list(first), len(own)

    def named(tensors):
        shared = dict(zip(problems.shared, tensors[n_own:], strict=True))
        return shared, dict(zip(names, tensors[:n_own], strict=True))

    def step_of(part):
        def step(moving, fixed):  # -> the next weights
            theta, xz = moving[: len(fields)], moving[len(fields) :]
            out = roll.step(dict(zip(fields, theta, strict=True)), *_pair(xz), *named(fixed), part)
            return tuple(out[n] for n in fields)

        def product(moving, fixed):  # -> adjoint of the weights before, gradient of x (and z)
            adjoint, rest = moving[: len(fields)], moving[len(fields) :]
            _, pull = vjp(lambda rest: step(rest, fixed), rest)
            return tuple(pull(tuple(adjoint))[0])

        return step, product

    def end(moving, fixed):  # -> loss, gradients of theta_n, x (and z)
        def value(moving):
            theta, xz = moving[: len(fields)], moving[len(fields) :]
            return roll.objective(dict(zip(fields, theta, strict=True)), *_pair(xz), *named(fixed))
        g, loss = grad_and_value(value)(moving)
        return (loss, *g)

    made: dict = {}

    def run(kind, function, moving, rows):  # (K R, ...) tensors, or one problem's where `alone`
        fixed = [t[rows] for t in own.values()] + list(problems.shared.values())
        name = kind, rows if alone else None
        if name not in made:
            axes = [0] * n_own + [None] * len(problems.shared)
            f = function if alone else vmap(function, in_dims=(0, axes))
            made[name] = traced(f, moving, fixed, (*problems.key, "rolled", kind, alone))
        return made[name](*moving)

    def value_and_grad(xz, rows):
        lead = xz[0].shape[: -len(problems.x_shape)]
        start = roll.first(problems.shared, {n: t[rows] for n, t in own.items()})
        theta = [start[n].expand(*lead, *first[n].shape).contiguous() for n in fields]
        path = []
        for part in roll.parts:
            path.append(theta)
            kind = (part.start, part.stop)
            theta = list(run(("step", *kind), step_of(part)[0], [*theta, *xz], rows))
        loss, *g = run("end", end, [*theta, *xz], rows)
        adjoint, total = g[: len(fields)], g[len(fields) :]
        for part, theta in zip(reversed(roll.parts), reversed(path), strict=True):
            kind = (part.start, part.stop)
            g = run(("product", *kind), step_of(part)[1], [*adjoint, *theta, *xz], rows)
            adjoint = list(g[: len(fields)])
            total = [a + b for a, b in zip(total, g[len(fields) :], strict=True)]
        return loss, total

    def evaluate(v):
        xz = [t.contiguous() for t in problems.split(v.flatten(0, 1)) if t is not None]
        if alone:
            each = [value_and_grad([t[i] for t in xz], i) for i in range(K * R)]
            loss = torch.stack([one for one, _ in each])
            g = [torch.stack(parts) for parts in zip(*(g for _, g in each), strict=True)]
        else:
            loss, g = value_and_grad(xz, slice(None))
        g = [t.reshape(K, R, *s) for t, s in zip(g, shapes, strict=True)]
        return loss.view(K, R), problems.join(*_pair(g)).reshape(K, R, -1)

    return evaluate


def _pair(xz: list[Tensor]) -> tuple[Tensor, Tensor | None]:
    return xz[0], xz[1] if len(xz) == 2 else None


def forward_flops(call: Callable, *args) -> float:
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        call(*args)
    return float(counter.get_total_flops())


# --- the loop ------------------------------------------------------------------------------------

@dataclass
class Outcome:
    """What `minimise` found: variables (K, R, N), objective, and what was recorded on the way."""

    best: Tensor  # (K, R, N) the state of the smallest finite objective
    best_loss: Tensor  # (K, R)
    last: Tensor  # (K, R, N) the last state
    losses: Tensor  # (iterations + 1, K, R) at the start of each iteration, and at the end
    states: dict[int, Tensor] = field(default_factory=dict)  # iteration -> (K, R, N)
    evaluations: Tensor | None = None  # (K, R) objective evaluations until the problem left


def minimise(problems, start, make_optimizer, iterations, record=(), bar=None, stop=None):
    """Run an optimiser on K x R problems from `start` (K, R, N): an `Outcome`.

    stop: a problem whose objective is below this after 1, 11, 21, ... iterations is done. One that
    is done, that converged or whose objective is not finite keeps its best state; when half the
    clients have only such problems, the batch is compacted, so that they cost nothing more."""
    K, R, _ = start.shape
    alive = torch.arange(K, device=start.device)
    out = Outcome(start.clone(), start.new_full((K, R), torch.inf), start.clone(),
                  start.new_full((iterations + 1, K, R), torch.nan),
                  evaluations=start.new_zeros(K, R, dtype=torch.long))
    optimizer = make_optimizer(start.clone())
    every = 1 if not hasattr(optimizer, "advance") else 10  # looking costs a host synchronisation
    record, step = set(record), None
    for i in range(iterations + 1):
        if i in record:
            out.last[alive] = optimizer.v
            out.states[i] = out.last.clone()
        if step is None:
            best, best_loss = out.best[alive], out.best_loss[alive]
            evaluate = _Tracked(evaluator(problems, len(alive), R, start.device), best, best_loss)
            step = _iteration(optimizer, evaluate)
        if i == iterations:
            out.losses[i, alive] = evaluate(optimizer.v)[0]
            break
        if stop is not None and i % 10 == 1:
            optimizer.finished = optimizer.finished | (evaluate(optimizer.v)[0] < stop)
        before, running = evaluate.calls, ~optimizer.finished
        out.losses[i, alive] = step()
        out.evaluations[alive] += (evaluate.calls - before) * running
        if bar is not None:
            bar.update(1)
        done = optimizer.finished.all(1) if i % every == 0 else None
        if done is not None and int(done.sum()) * 2 >= len(alive):
            out.losses[i + 1 :, alive[done]] = evaluate(optimizer.v)[0][done]
            out.best[alive], out.best_loss[alive], out.last[alive] = best, best_loss, optimizer.v
            if bool(done.all()):
                out.states |= {r: out.last.clone() for r in record if r > i}
                if bar is not None:
                    bar.update(iterations - i - 1)
                return out
            alive, problems, step = alive[~done], problems.select(~done), None
            optimizer.select(~done)
    out.best[alive], out.best_loss[alive], out.last[alive] = best, best_loss, optimizer.v
    return out


class _Tracked:
    """`evaluate`, which also keeps each problem's best state in place."""

    def __init__(self, evaluate: Callable, best: Tensor, best_loss: Tensor):
        self.evaluate, self.best, self.best_loss, self.calls = evaluate, best, best_loss, 0

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        loss, g = self.evaluate(v)
        better = loss < self.best_loss  # False for NaN
        torch.where(better[..., None], v, self.best, out=self.best)
        torch.where(better, loss, self.best_loss, out=self.best_loss)
        return loss, g


def _iteration(optimizer, evaluate) -> Callable:
    """One iteration; on CUDA as a graph, after three eager ones, the warm-up a capture needs.

    L-BFGS looks at its masks on the host and is not captured."""
    if not (optimizer.v.is_cuda and hasattr(optimizer, "advance")):
        return lambda: optimizer.step(evaluate)
    state = {"done": 0, "graph": None, "loss": None}

    def step():
        optimizer.schedule()
        if state["done"] < 3:
            state["done"] += 1
            return optimizer.advance(evaluate)
        if state["graph"] is None:
            torch.cuda.synchronize()
            state["graph"] = torch.cuda.CUDAGraph()
            with torch.cuda.graph(state["graph"]):
                state["loss"] = optimizer.advance(evaluate)
        else:
            evaluate.calls += 1
        state["graph"].replay()
        return state["loss"]

    return step


def in_chunks(K: int, chunk: int | None, attack: Callable[[slice], Outcome]) -> Outcome:
    """Run `attack` on slices of clients; a slice that does not fit in memory is halved."""
    size, first, parts = chunk or K, 0, []
    while first < K:
        try:
            parts.append(attack(slice(first, min(first + size, K))))
            first += size
        except torch.cuda.OutOfMemoryError:
            if size == 1:
                raise
            torch.cuda.empty_cache()
            size = (size + 1) // 2
    return _joined(parts)


def _joined(parts: list[Outcome]) -> Outcome:
    if len(parts) == 1:
        return parts[0]

    best, best_loss, last, evaluations = (
        torch.cat([getattr(part, name) for part in parts])
        for name in ("best", "best_loss", "last", "evaluations"))
    losses = torch.cat([part.losses for part in parts], 1)
    states = {i: torch.cat([part.states[i] for part in parts]) for i in parts[0].states}
    return Outcome(best, best_loss, last, losses, states, evaluations)
