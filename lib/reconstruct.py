"""Run an attack: K clients x R restarts at once, and for each client the best restart."""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from . import checks, client, engine, objectives, run
from .attack import Attack, check_pair
from .limits import Limit, OutOfTime, cut
from .problem import Problem, problem
from .update import SharedUpdate

_IMAGE_PIXELS_PER_CHUNK = 2**22  # dummy pixels in flight on a CPU; bounds memory, not results


@dataclass
class Reconstruction:
    """What an attack gives back. Images are in the space of [0, 1] (DLG does not clip them).

    images (K, B, C, H, W) and labels (K, B): the best state of the best restart, both chosen by
    the objective, never by the truth. loss (K, R): smallest objective of each restart. history:
    `.losses` (iterations + 1, K, R), `.images` and `.label_logits` dicts iteration ->
    (K, R, B, ...). last (K, R, B, C, H, W): the last iterate of every restart, as the official
    codes report. evaluations (K, R): objective evaluations. seconds: of the iterations, without
    the first tracing. variables (K, ...): what was optimised at the last iterate of the best
    restart (images as they are fed, latents, parameters); latents (K, B, ...): of `images`, where
    a generator made them. ended: K lists of R words, why each restart ended:
    "converged": the objective fell below `Attack.stop`, or ended at most `engine.CONVERGED` = 1e-8
    times what it was at the start;
    "tolerance": it ended above that, since L-BFGS saw no way on (its tolerances on gradient and
    change, or ten steps without a move): a flat place, or an objective that is small as a whole;
    "budget": all iterations were spent, so more may have changed the picture;
    "not finite": the objective or its gradient became NaN or infinite.
    Of two stages it is the second one's, unless the restart that it goes on from broke."""

    images: Tensor
    labels: Tensor
    loss: Tensor
    history: "History"
    last: Tensor
    last_labels: Tensor
    evaluations: Tensor
    seconds: float
    variables: Tensor
    latents: Tensor | None = None
    ended: list[list[str]] = field(default_factory=list)

    def __repr__(self) -> str:
        (K, R), loss = self.loss.shape, self.loss.amin(1)
        counts = Counter(itertools.chain(*self.ended)).most_common()
        ended = ", ".join(f"{count} by {why}" for why, count in counts)
        return (f"Reconstruction(images {tuple(self.images.shape)}, K={K} clients, R={R} restarts; "
                f"best loss {loss.min():.3g} to {loss.max():.3g}; ended: {ended}; "
                f"{self.seconds:.1f} s)")


@dataclass
class History:
    losses: Tensor
    images: dict[int, Tensor]
    label_logits: dict[int, Tensor]


def reconstruct(update: SharedUpdate, attack: Attack, restarts: int = 1, seed: int = 0,
                record: Iterable[int] = (), chunk: int | None = None,
                start: "tuple | Reconstruction | None" = None,
                limit: Limit | None = None) -> Reconstruction:
    """Attack K clients x R restarts at once and keep, for each client, the best restart.

    record: iterations whose dummy images and labels are kept in `.history` (0 is the start).
    chunk: clients at once (None: as many as memory allows; results do not depend on it).
    start: images and label logits to start from, shaped as `starts` returns them; or a
    reconstruction of the same update to go on from, with one restart.
    limit: of one client's update: the iterations end there, or by Ctrl-C, and `limit.met` says so;
    `history.losses` has those that were whole, one at least. Before anything was evaluated,
    OutOfTime or KeyboardInterrupt is raised. `limit.alarm()` around it ends the tracing, too.
    Errors: AssumptionError when the attack needs more than the threat model grants; ValueError
    for other bad input, and where a client's objective is not finite at the start of any restart.
    All come before any work. A single restart that diverges is recorded, see `ended`."""
    record = _checked(update, attack, restarts, seed, record, chunk, limit)
    if attack.then is not None:
        return _in_stages(update, attack, restarts, seed, record, chunk, start, limit)
    posed = problem(update, attack, restarts, seed, start)
    if chunk is None and posed.variables.device.type == "cpu":
        per_client = posed.variables.shape[1] * torch.Size(posed.space.shape).numel()
        chunk = max(1, _IMAGE_PIXELS_PER_CHUNK // per_client)
    hopeless = ~torch.cat(_in_parts(posed, chunk, lambda clients: _begins(posed, clients))).any(1)
    if bool(hopeless.any()):
        raise ValueError(_why_not_finite(posed, int(hopeless.nonzero()[0])))
    results = _in_parts(posed, chunk, lambda clients: _minimised(posed, clients, record, limit))
    seconds = sum(spent for _, spent in results)
    return _finished(posed, engine.joined([outcome for outcome, _ in results]), seconds)


def _in_parts(posed: Problem, chunk: int | None, work: Callable) -> list:
    """What `work` gives of slices of the clients; where they are one problem there is one slice."""
    if posed.attack.space.tied:
        return [work(slice(0, len(posed.update)))]
    return engine.of_chunks(len(posed.update), chunk, work)


@torch.no_grad()
def _begins(posed: Problem, clients: slice) -> Tensor:
    """(K, R): is the objective finite at the start, and its gradient? It traces, too, before the
    clock runs."""
    v = posed.variables[clients]
    evaluate = engine.evaluator(posed.of_clients(clients), *v.shape[:2], v.device)
    loss, gradient = evaluate(v)
    return loss.isfinite() & gradient.isfinite().all(-1)


@torch.no_grad()
def _minimised(posed: Problem, clients: slice, record: list[int], limit: Limit | None) \
        -> tuple[engine.Outcome, float]:
    """What the engine finds for these clients, and its seconds."""
    v, attack = posed.variables[clients], posed.attack
    begin = time.perf_counter()
    with run.progress(total=attack.iterations, desc=attack.name) as bar:
        outcome = engine.minimise(posed.of_clients(clients), v, posed.optimizer, attack.iterations,
                                  record, bar, attack.stop, limit)
    if v.is_cuda:
        torch.cuda.synchronize(v.device)
    return outcome, time.perf_counter() - begin


def _checked(update, attack, restarts, seed, record, chunk, limit) -> list[int]:
    """The iterations to record, in order; ValueError for an argument of a wrong type or range."""
    check_pair(update, attack)
    checks.whole("restarts", restarts)
    checks.whole("seed", seed, 0)
    if chunk is not None:
        checks.whole("chunk", chunk)
    if limit is not None and not (isinstance(limit, Limit) and len(update) == 1):
        raise ValueError("limit is a limits.Limit, for an update of one client, not "
                         f"{type(limit).__name__} for {len(update)}")
    if isinstance(record, str) or not isinstance(record, Iterable):
        raise ValueError(f"record is a list of iterations, not {record!r}")
    last = attack.iterations + (0 if attack.then is None else attack.then.iterations)
    return sorted({checks.whole("each iteration in record", i, 0, last) for i in record})


def _why_not_finite(posed: Problem, k: int) -> str:
    """Why client k cannot be attacked from where it starts: which part is NaN or infinite."""
    v, attack = posed.variables[k, 0], posed.attack
    if not v.isfinite().all():
        return f"the start of client {k} holds NaN or infinite values: give finite images"

    def nothing(dummy, shared) -> Tensor:
        return next(iter(shared.values())).new_zeros(())

    parts = {f"the objective {objectives.name_of(attack.objective)}": replace(attack, priors=())}
    for weight, prior in attack.priors:
        parts[f"the prior {objectives.name_of(prior)}"] = replace(
            attack, objective=nothing, priors=((weight, prior),))
    wrong = []
    for name, part in parts.items():
        value, slope = _value_and_slope(posed.replaced(part).problems, v, k)
        if not value.isfinite():
            wrong.append(f"{name} is {float(value)}")
        elif not slope.isfinite().all():
            wrong.append(f"the gradient of {name} is not finite")
    return (f"client {k} cannot be attacked: {' and '.join(wrong) or 'the objective overflows'} "
            "at the start of every restart. Give another start, objective or prior, or look for "
            "what makes it so (a division by 0, the root of 0, a mean of nothing)")


def _value_and_slope(problems: engine.Problems, v: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """The objective of client k at v (N,), and its gradient, untraced."""
    per_client = {name: tensor[k] for name, tensor in problems.per_client.items()}

    def objective(v) -> Tensor:
        return problems.objective(*problems.split(v), problems.shared, per_client)
    slope, value = torch.func.grad_and_value(objective)(v)
    return value, slope


def _in_stages(update, attack, restarts, seed, record, chunk, start, limit) -> Reconstruction:
    """Run a stage, and the next one from its best restart: one reconstruction of both."""
    n, rows = attack.iterations, torch.arange(len(update))
    alone = replace(attack, space=replace(attack.space, then=None))
    first = reconstruct(update, alone, restarts, seed, [i for i in record if i <= n], chunk, start,
                        limit)
    if limit is not None and limit.met:
        return first
    try:
        second = reconstruct(update, attack.then, 1, seed, [i - n for i in record if i > n], chunk,
                             first, limit)
    except (OutOfTime, KeyboardInterrupt) as error:
        if limit is None:
            raise
        limit.met = cut(error)
        return first
    best = first.loss.argmin(1).cpu()
    images = {i: t[rows, best][:, None] for i, t in first.history.images.items()}
    images |= {i + n: t for i, t in second.history.images.items()}
    losses = first.history.losses[:-1, rows, best][..., None]
    history = History(torch.cat((losses, second.history.losses)), images, {})
    spent = first.evaluations.sum(1, keepdim=True) + second.evaluations
    broke, ended = engine.ENDED[-1], []
    for before, r, after in zip(first.ended, best.tolist(), second.ended, strict=True):
        ended.append([broke] if before[r] == broke else after)
    return replace(second, history=history, evaluations=spent,
                   seconds=first.seconds + second.seconds, ended=ended)


def _finished(posed: Problem, out: engine.Outcome, seconds: float) -> Reconstruction:
    """The engine's outcome, read as images and labels."""
    winner = out.best_loss.argmin(1)  # the restart with the smallest objective
    best = torch.arange(len(winner), device=winner.device), winner
    images, labels, _ = _read(posed, out.best)
    last, last_labels, _ = _read(posed, out.last)
    states = {i: _read(posed, v) for i, v in out.states.items()}
    logits = {i: z for i, (_, _, z) in states.items() if posed.labels is None}
    history = History(out.losses, {i: x for i, (x, _, _) in states.items()}, logits)
    latents = posed.latents
    if posed.attack.space.gives_latents:
        latents = posed.problems.split(out.best[best])[0]
    ended = [[engine.ENDED[why] for why in row] for row in out.ended.tolist()]
    return Reconstruction(images[best], labels[best], out.best_loss, history, last, last_labels,
                          out.evaluations, seconds, posed.problems.split(out.last[best])[0],
                          latents, ended)


@torch.no_grad()
def _read(posed: Problem, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Variables (K, R, N) as images (K, R, B, C, H, W) in the space of [0, 1], labels (K, R, B)
    and label logits."""
    update, attack, space = posed.update, posed.attack, posed.space
    x, z = posed.problems.split(v)
    if not space.is_pixels:
        def image(x, per_client) -> Tensor:
            return space.image(x, posed.problems.shared | per_client)
        x = torch.func.vmap(torch.func.vmap(image, in_dims=(0, None)))(x, space.per_client)
    x = client.to_input(x, attack.normalise, False, update.mean, update.std)
    if posed.labels is None:
        return x, client.read_labels(z), z
    return x, posed.labels[:, None].expand(-1, v.shape[1], -1), z
