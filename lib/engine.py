"""The batched attack step: K x R problems at once, traced once a shape, run many times. Floor 7.

The objective of one problem is a function of its dummy variables; `vmap(grad_and_value(...))` makes
it one of all problems, and `tracing` a flat graph of that, double backward included. On CUDA what
runs in each iteration is captured in a CUDA graph.
"""

import gc
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor
from torch.func import grad_and_value, vjp, vmap
from torch.utils.flop_counter import FlopCounterMode

from lib.tracing import traced

# A forward pass of more floating point operations than this keeps both cores busy with one
# problem; batching it only spills the caches (bench/table.md, ConvNet width 64 against 16). A
# fixed rule and not a timing, so that the same run gives the same bytes.
ONE_BY_ONE_FLOPS = 1e9

CONVERGED = 1e-8  # of its value at the start: gradients that differ by 1e-4 of what they did
ENDED = ("budget", "tolerance", "converged", "not finite")  # why a problem ended, by its number


# --- K x R problems ------------------------------------------------------------------------------

@dataclass
class Problems:
    """K x R minimisation problems that share a formula.

    `objective(x, z, shared, own) -> scalar`: `x` (B, C, H, W) dummy images, `z` (B, classes) dummy
    label logits or None, `shared` tensors of all clients, `own` one client's tensors. `own` holds
    them stacked, (K, ...). `key` tells formulas apart, and `graphs` holds those traced so far:
    `tracing.GRAPHS` where the formula is torch's and lib's alone, else a dict of this attack's.
    `flops` is a forward pass of one problem."""

    objective: Callable
    shared: dict[str, Tensor]
    own: dict[str, Tensor]
    x_shape: tuple[int, ...]  # (B, C, H, W)
    z_shape: tuple[int, ...] | None  # (B, classes) when the labels are optimised too
    key: tuple
    flops: float = 0.0
    rollout: "Rollout | None" = None  # where the objective is that of many local steps
    graphs: dict = field(default_factory=dict)

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

    `first(shared, own)` are the weights that the client was sent, and beside them what else a step
    hands to the next, the velocity of momentum; `step(theta, x, z, shared, own,
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
        steps = [traced(step, example, [t[k] for t in own] + shared, (*problems.key, "single"),
                        problems.graphs)
                 for k in range(K)]
    else:
        batched = traced(step, example, own + shared, problems.key, problems.graphs)

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
            key = (*problems.key, "rolled", kind, alone)
            made[name] = traced(f, moving, fixed, key, problems.graphs)
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
    ended: Tensor | None = None  # (K, R) why each problem ended: places in ENDED


def minimise(problems, start, make_optimizer, iterations, record=(), bar=None, stop=None):
    """Run an optimiser on K x R problems from `start` (K, R, N): an `Outcome`.

    stop: a problem whose objective is below this after 1, 11, 21, ... iterations is done. One that
    is done, that converged or whose objective is not finite keeps its best state; when half the
    clients have only such problems, the batch is compacted, so that they cost nothing more."""
    K, R, _ = start.shape
    alive = torch.arange(K, device=start.device)
    count = start.new_zeros(K, R, dtype=torch.long)
    out = Outcome(start.clone(), start.new_full((K, R), torch.inf), start.clone(),
                  start.new_full((iterations + 1, K, R), torch.nan), {}, count, count.clone())
    optimizer = make_optimizer(start.clone())
    every = 1 if not hasattr(optimizer, "advance") else 10  # looking costs a host synchronisation
    record, step = set(record), None
    for i in range(iterations + 1):
        if i in record:
            out.last[alive] = optimizer.v
            out.states[i] = out.last.clone()
        if step is None:
            best, best_loss = out.best[alive], out.best_loss[alive]
            step = _Iteration(optimizer, evaluator(problems, len(alive), R, start.device), best,
                              best_loss)
        if i == iterations:
            out.losses[i, alive] = step.look()
            break
        if stop is not None and i % 10 == 1:
            below = ~optimizer.finished & (step.look() < stop)
            optimizer.finished.logical_or_(below)
            out.ended[alive] = out.ended[alive].masked_fill(below, ENDED.index("converged"))
        before, running = step.evaluate.calls, ~optimizer.finished
        out.losses[i, alive] = step()
        out.evaluations[alive] += (step.evaluate.calls - before) * running
        if bar is not None:
            bar.update(1)
        done = optimizer.finished.all(1) if i % every == 0 else None
        if done is not None and int(done.sum()) * 2 >= len(alive):
            out.losses[i + 1 :, alive[done]] = step.look()[done]
            _put_back(out, alive, optimizer, best, best_loss)
            if bool(done.all()):
                out.states |= {r: out.last.clone() for r in record if r > i}
                if bar is not None:
                    bar.update(iterations - i - 1)
                return _judged(out)
            alive, problems, step = alive[~done], problems.select(~done), None
            optimizer.select(~done)
    _put_back(out, alive, optimizer, best, best_loss)
    return _judged(out)


def _put_back(out: Outcome, alive: Tensor, optimizer, best: Tensor, best_loss: Tensor) -> None:
    """Write what the clients `alive` have reached into the outcome of all."""
    out.best[alive], out.best_loss[alive], out.last[alive] = best, best_loss, optimizer.v
    ended = out.ended[alive]
    ended[optimizer.finished & (ended == 0)] = ENDED.index("tolerance")
    ended[getattr(optimizer, "broken", torch.zeros_like(optimizer.finished))] = \
        ENDED.index("not finite")
    out.ended[alive] = ended


def _judged(out: Outcome) -> Outcome:
    """The outcome, with what its objectives say about why the problems ended.

    A problem whose last objective is at most `CONVERGED` times its first one converged, whatever
    stopped it there; one whose objective was NaN or infinite at some iteration is not finite."""
    first, last = out.losses[0], out.losses[-1]
    matched = (first >= 0) & (last <= CONVERGED * first)
    finite = out.losses.isfinite().all(0) & (out.ended != ENDED.index("not finite"))
    out.ended.masked_fill_(matched, ENDED.index("converged"))
    out.ended.masked_fill_(~finite, ENDED.index("not finite"))
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


class _Iteration:
    """One iteration of an optimiser: `self()` -> the objective (K, R) where it started.

    On CUDA a whole iteration of Adam is captured in a graph. L-BFGS looks at its masks on the
    host, so of it the evaluation alone is captured."""

    def __init__(self, optimizer, evaluate: Callable, best: Tensor, best_loss: Tensor):
        self.optimizer, self.whole, device = optimizer, None, optimizer.v.device
        if optimizer.v.is_cuda and not hasattr(optimizer, "advance"):
            evaluate = _evaluate_by_graph(evaluate, optimizer.v)
        self.evaluate = _Tracked(evaluate, best, best_loss)
        if optimizer.v.is_cuda and hasattr(optimizer, "advance"):
            self.whole = Replayed(lambda: optimizer.advance(self.evaluate), device)

    def __call__(self) -> Tensor:
        if self.whole is None:
            return self.optimizer.step(self.evaluate)
        calls = self.evaluate.calls
        self.optimizer.schedule()
        loss = self.whole()
        self.evaluate.calls = calls + 1  # a replay calls nothing
        return loss

    def look(self) -> Tensor:
        """The objective (K, R) at the present state. A graph of a whole iteration is given up
        before: its memory beside that of an eager evaluation would be twice the peak."""
        if self.whole is not None:
            self.whole.release()
        return self.evaluate(self.optimizer.v)[0]


class Replayed:
    """`run()` on a CUDA device: eager three times, the warm-up a capture needs, then captured and
    from there on replayed. What cannot be captured stays eager, with one warning; an error for
    want of memory is raised. The result is overwritten by the next call."""

    def __init__(self, run: Callable, device: torch.device):
        self.run, self.device = run, device
        self.graph, self.result, self.left = None, None, 3  # eager calls left; None: all of them

    def __call__(self):
        if self.left is None or self.left > 0:
            self.left = None if self.left is None else self.left - 1
            return self.run()
        if self.graph is None:
            self.graph, self.result = _captured(self.run, self.device)
        if self.graph is None:
            self.left = None
            return self.run()
        self.graph.replay()
        return self.result

    def release(self) -> None:
        """Give the graph's memory back; a later call captures anew."""
        self.graph = self.result = None


def _captured(run: Callable, device: torch.device) -> tuple:
    """(graph, the result that each replay overwrites), or (None, None) where `run` cannot be
    captured, for instance because a prior copies from the device.

    Capture takes place on a stream of `device`, whatever the current one is: on another device's
    stream it would record nothing. A capture that fails leaves its stream current."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.device(device):
        before = torch.cuda.current_stream(device)
        try:
            torch.cuda.synchronize(device)
            with torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
                result = run()
            return graph, result
        except Exception as error:
            if out_of_memory(error):
                raise
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            warnings.warn("this attack is not captured in a CUDA graph and runs slower, since its "
                          f"objective or a prior waits for the device: {reason}", stacklevel=2)
        finally:
            torch.cuda.set_stream(before)
    return None, None


def _evaluate_by_graph(evaluate: Callable, v: Tensor) -> Callable:
    """`evaluate` of variables like v, captured; its results are the caller's own."""
    given = torch.empty_like(v)
    replayed = Replayed(lambda: evaluate(given), v.device)

    def at(v: Tensor) -> tuple[Tensor, Tensor]:
        given.copy_(v)
        loss, g = replayed()
        return loss.clone(), g.clone()

    return at


# --- chunks --------------------------------------------------------------------------------------

_NO_MEMORY = ("out of memory", "can't allocate memory", "alloc_failed")  # CUDA, CPU, cuBLAS


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error is want of memory, or was raised while one was handled: a capture that ran
    out of memory ends in another error."""
    while error is not None:
        said = str(error).lower()
        if isinstance(error, torch.OutOfMemoryError | MemoryError) or (
                isinstance(error, RuntimeError) and any(word in said for word in _NO_MEMORY)):
            return True
        error = error.__cause__ or error.__context__
    return False


def of_chunks(K: int, chunk: int | None, work: Callable[[slice], object]) -> list:
    """[work(slice), ...] of slices of K clients; one that does not fit in memory is halved."""
    size, first, parts = min(chunk or K, K), 0, []
    while first < K:
        size = min(size, K - first)
        try:
            parts.append(work(slice(first, first + size)))
            first, fits = first + size, True
        except Exception as error:
            if size == 1 or not out_of_memory(error):
                raise
            fits = False
        if not fits:  # here the error is gone, and with its traceback all that it held
            gc.collect()
            torch.cuda.empty_cache()
            size = (size + 1) // 2
    return parts


def joined(parts: list[Outcome]) -> Outcome:
    """The outcomes of slices of clients as one."""
    if len(parts) == 1:
        return parts[0]

    def of_all(name):
        each = [getattr(part, name) for part in parts]
        return None if each[0] is None else torch.cat(each)

    losses = torch.cat([part.losses for part in parts], 1)
    states = {i: torch.cat([part.states[i] for part in parts]) for i in parts[0].states}
    return Outcome(of_all("best"), of_all("best_loss"), of_all("last"), losses, states,
                   of_all("evaluations"), of_all("ended"))
