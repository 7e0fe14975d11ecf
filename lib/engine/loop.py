"""The loop: an optimiser on K x R problems until each has ended, and why it ended."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..limits import Limit, OutOfTime, cut
from .capture import Replayed, evaluate_by_graph
from .evaluation import evaluator
from .problems import Problems

CONVERGED = 1e-8  # of its value at the start: gradients that differ by 1e-4 of what they did
ENDED = ("budget", "tolerance", "converged", "not finite")  # why a problem ended, by its number


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


def minimise(problems: Problems, start: Tensor, make_optimizer: Callable, iterations: int,
             record: Iterable[int] = (), bar=None, stop: float | None = None,
             limit: Limit | None = None) -> Outcome:
    """Run an optimiser on K x R problems from `start` (K, R, N): an `Outcome`.

    stop: a problem whose objective is below this after 1, 11, 21, ... iterations is done. One that
    is done, that converged or whose objective is not finite keeps its best state; when half the
    clients have only such problems, the batch is compacted, so that they cost nothing more.
    limit: behind it, or by Ctrl-C, the iterations end, and `losses` has those that were whole; or
    the best so far, where that was in the first. Before any, OutOfTime or KeyboardInterrupt."""
    K, R, _ = start.shape
    alive = torch.arange(K, device=start.device)
    count = start.new_zeros(K, R, dtype=torch.long)
    out = Outcome(start.clone(), start.new_full((K, R), torch.inf), start.clone(),
                  start.new_full((iterations + 1, K, R), torch.nan), {}, count, count.clone())
    optimizer = make_optimizer(start.clone())
    every = 10 if optimizer.is_one_evaluation else 1  # looking costs a host synchronisation
    record, step, tick = set(record), None, _ticker(bar)
    for i in range(iterations + 1):
        if i in record:
            out.last[alive] = optimizer.v
            out.states[i] = out.last.clone()
        if step is None:
            best, best_loss = out.best[alive], out.best_loss[alive]
            step = Iteration(optimizer, evaluator(problems, len(alive), R, start.device), best,
                              best_loss)
        if i == iterations:
            _is_cut(step.look, step, limit, out, alive, i)
            break
        if stop is not None and i % 10 == 1:
            below = ~optimizer.finished & (step.look() < stop)
            optimizer.finished.logical_or_(below)
            out.ended[alive] = out.ended[alive].masked_fill(below, ENDED.index("converged"))
        before, running = step.evaluate.calls, ~optimizer.finished
        if _is_cut(step, step, limit, out, alive, i):
            break
        out.evaluations[alive] += (step.evaluate.calls - before) * running
        tick(1)
        done = optimizer.finished.all(1) if i % every == 0 else None
        if done is not None and int(done.sum()) * 2 >= len(alive):
            out.losses[i + 1 :, alive[done]] = step.look()[done]
            _put_back(out, alive, optimizer, best, best_loss)
            if bool(done.all()):
                out.states |= {r: out.last.clone() for r in record if r > i}
                tick(iterations - i - 1)
                return _judged(out)
            alive, problems, step = alive[~done], problems.select(~done), None
            optimizer.select(~done)
    _put_back(out, alive, optimizer, best, best_loss)
    return _judged(out)


def _ticker(bar) -> Callable[[int], object]:
    return (lambda count: None) if bar is None else bar.update


def _is_cut(work: Callable[[], Tensor], step: "Iteration", limit: Limit | None, out: Outcome,
            alive: Tensor, i: int) -> bool:
    """Do the work of iteration i for the problems `alive`, and say whether a limit, or Ctrl-C, cut
    it short; then `out.losses` ends before it, or, of the first, holds the best so far."""
    try:
        if limit is not None:
            limit.check()
        out.losses[i, alive] = work()
    except (OutOfTime, KeyboardInterrupt) as error:
        best_loss = step.evaluate.best_loss
        if limit is None or not bool(best_loss.isfinite().any()):
            raise
        limit.met, out.losses = cut(error), out.losses[: max(i, 1)]
        if i == 0:
            out.losses[0, alive] = best_loss
        return True
    return False


def _put_back(out: Outcome, alive: Tensor, optimizer, best: Tensor, best_loss: Tensor) -> None:
    """Write what the clients `alive` have reached into the outcome of all."""
    out.best[alive], out.best_loss[alive], out.last[alive] = best, best_loss, optimizer.v
    ended = out.ended[alive]
    ended[optimizer.finished & (ended == 0)] = ENDED.index("tolerance")
    ended[optimizer.broken] = ENDED.index("not finite")
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


class Tracked:
    """`evaluate`, which also keeps each problem's best state in place."""

    def __init__(self, evaluate: Callable, best: Tensor, best_loss: Tensor) -> None:
        self.evaluate, self.best, self.best_loss, self.calls = evaluate, best, best_loss, 0

    def __call__(self, v: Tensor) -> tuple[Tensor, Tensor]:
        self.calls += 1
        loss, g = self.evaluate(v)
        better = loss < self.best_loss  # False for NaN
        torch.where(better[..., None], v, self.best, out=self.best)
        torch.where(better, loss, self.best_loss, out=self.best_loss)
        return loss, g


class Iteration:
    """One iteration of an optimiser: `self()` -> the objective (K, R) where it started.

    On CUDA a whole iteration of Adam is captured in a graph. L-BFGS looks at its masks on the
    host, so of it the evaluation alone is captured."""

    def __init__(self, optimizer, evaluate: Callable, best: Tensor, best_loss: Tensor) -> None:
        self.optimizer, self.whole, device = optimizer, None, optimizer.v.device
        if optimizer.v.is_cuda and not optimizer.is_one_evaluation:
            evaluate = evaluate_by_graph(evaluate, optimizer.v)
        self.evaluate = Tracked(evaluate, best, best_loss)
        if optimizer.v.is_cuda and optimizer.is_one_evaluation:
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


def joined(parts: list[Outcome]) -> Outcome:
    """The outcomes of slices of clients as one."""
    if len(parts) == 1:
        return parts[0]

    def of_all(name) -> Tensor | None:
        values = [getattr(part, name) for part in parts]
        return None if values[0] is None else torch.cat(values)

    losses = torch.cat([part.losses for part in parts], 1)
    states = {i: torch.cat([part.states[i] for part in parts]) for i in parts[0].states}
    return Outcome(of_all("best"), of_all("best_loss"), of_all("last"), losses, states,
                   of_all("evaluations"), of_all("ended"))
