"""Batched optimisers: (K, R) independent problems of N variables each, in lockstep.

`v` is (K, R, N). `evaluate(v) -> (loss (K, R), gradient (K, R, N))`. `step` does one iteration as
the papers count it and returns the objective at the point it started from. `finished` (K, R) marks
problems that will not move any more, `broken` those of them whose objective or gradient is not
finite; both are updated in place. `select` keeps some of the clients. `is_one_evaluation`: a step
is `schedule` and then `advance`, which evaluates once and never looks at a value on the host: so
it can be captured whole.
"""

import torch
from torch import Tensor

from . import lanes

MILESTONES = (2.667, 1.6, 1.142)  # 3/8, 5/8, 7/8 of the iterations, rounded as the code does


class Adam:
    """Adam (Kingma and Ba 2015), optionally on signed gradients, with step decay and a box.

    As in Inverting Gradients: the image's gradient is replaced by its sign *before* the moments;
    the step is multiplied by 0.1 at 3/8, 5/8 and 7/8 of the iterations; after each step the image
    is projected to the box. Sign and box touch only the first `images` variables of a problem.
    tied: all problems are one, of the mean objective, and start from one state."""

    is_one_evaluation = True

    def __init__(self, v: Tensor, lr: float, iterations: int, images: int, signed: bool = False,
                 decay: bool = False, box=None, tied: bool = False) -> None:
        self.v, self.lr, self.images, self.signed, self.tied = v, lr, images, signed, tied
        self.box = box  # (low, high), each (images,) or None
        self.milestones = [int(iterations // m) for m in MILESTONES] if decay else []
        self.m, self.s = torch.zeros_like(v), torch.zeros_like(v)
        self.t = 0
        self.finished = torch.zeros(v.shape[:2], dtype=torch.bool, device=v.device)
        self.broken = self.finished.clone()
        self._rate, self._root = (torch.zeros((), device=v.device, dtype=v.dtype) for _ in range(2))

    def schedule(self) -> None:
        """Set this step's two scalars; apart from `advance`, which a CUDA graph replays."""
        lr = self.lr * 0.1 ** sum(self.t >= milestone for milestone in self.milestones)
        self.t += 1
        self._rate.fill_(-lr / (1 - 0.9**self.t))
        self._root.fill_((1 - 0.999**self.t) ** -0.5)

    def advance(self, evaluate) -> Tensor:
        loss, g = evaluate(self.v)
        if self.tied:
            g = g.mean((0, 1), keepdim=True).expand_as(g).contiguous()  # to be written to
        if self.signed:
            g[..., : self.images].sign_()
        self.m.lerp_(g, 0.1)
        self.s.mul_(0.999).addcmul_(g, g, value=0.001)
        denominator = torch.sqrt(self.s).mul_(self._root).add_(1e-8)
        self.v.add_(torch.div(self.m, denominator, out=denominator).mul_(self._rate))
        if self.box is not None:
            x = self.v[..., : self.images]
            torch.clamp(x, *self.box, out=x)
        self.broken.logical_or_(~torch.isfinite(loss))
        self.finished.logical_or_(self.broken)
        return loss

    def step(self, evaluate) -> Tensor:
        self.schedule()
        return self.advance(evaluate)

    def select(self, keep: Tensor) -> None:
        for name in ("v", "m", "s", "finished", "broken"):
            setattr(self, name, getattr(self, name)[keep].contiguous())


class LBFGS:
    """`torch.optim.LBFGS`, each problem with its own history, step and stopping; or back-tracking.

    A step is up to `max_iter` inner iterations, as one call of `torch.optim.LBFGS.step`. On one
    problem it walks torch's path. The direction is the two-loop recursion (Nocedal and Wright
    2006, Algorithm 7.4) written with the products of the history, so that its m sequential steps
    become two triangular solves: with R = triu(S'Y), D = diag(R), q = -g,

        a = R^-1 S'q,   c = R^-T (D a - H Y'(q - Y a)),   d = H (q - Y a) + S c.

    The small matrices are kept in float64. `line_search=True` replaces the fixed step by
    back-tracking (Armijo, halving, at most 10 times) for every problem on its own.

    Torch's tolerances are absolute: 1e-7 on the gradient's largest entry, 1e-9 on the change of
    objective and variables. An objective that is small as a whole meets them far from its minimum.
    `relative=True` walks on the objective divided by its value at the start, where that is below 1,
    and in float64 by the precision that it has beyond float32, of which the tolerances know
    nothing. A float32 objective of 1 or more at the start is walked as without."""

    is_one_evaluation = False

    def __init__(self, v: Tensor, lr: float = 1.0, max_iter: int = 20, history: int = 100,
                 line_search: bool = False, relative: bool = False) -> None:
        P, N = v.shape[0] * v.shape[1], v.shape[2]
        self.v, self.lr, self.max_iter, self.m = v, lr, max_iter, history
        self.line_search, self.relative = line_search, relative
        self.tol_grad, self.tol_change = 1e-7, 1e-9
        self.S, self.Y = v.new_zeros(P, history, N), v.new_zeros(P, history, N)
        small = {"dtype": torch.float64, "device": v.device}
        self.SY, self.YY = (torch.zeros(P, history, history, **small) for _ in range(2))
        # pairs ever accepted, inner iterations, steps in a row without a move
        self.count, self.n_iter, self.idle = v.new_zeros(3, P, dtype=torch.long)
        self.d, self.g = v.new_zeros(P, N), v.new_zeros(P, N)
        self.loss, self.t, self.H = v.new_zeros(P), v.new_ones(P), v.new_ones(P)
        self.size = v.new_zeros(P)  # 0: not measured yet
        self.finished = torch.zeros(v.shape[:2], dtype=torch.bool, device=v.device)
        self.broken = self.finished.clone()

    _PER_PROBLEM = ("S", "Y", "SY", "YY", "count", "n_iter", "d", "g", "loss", "t", "H", "idle",
                    "size")

    def select(self, keep: Tensor) -> None:
        K, R = self.v.shape[:2]
        rows = torch.arange(K * R, device=keep.device).view(K, R)[keep].flatten()
        for name in self._PER_PROBLEM:
            setattr(self, name, getattr(self, name)[rows])
        for name in ("v", "finished", "broken"):
            setattr(self, name, getattr(self, name)[keep].contiguous())

    def _measure(self, loss: Tensor) -> None:
        """Keep what each problem's objective is divided by, at its first step."""
        precision = torch.finfo(loss.dtype).eps / torch.finfo(torch.float32).eps
        size = loss.abs().clamp(max=1) * min(1.0, precision)
        size = torch.where(size > 0, size, 1.0)  # at a minimum, or NaN
        self.size = torch.where(self.size == 0, size, self.size)

    def _scaled(self, loss: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        """The objective (P,) and its gradient (P, N), divided by the size where `relative`."""
        loss, g = loss.flatten(), g.flatten(0, 1)
        if not self.relative:
            return loss, g
        return loss / self.size, g / self.size[:, None]

    def step(self, evaluate, carry=True) -> Tensor:
        """One iteration. carry=False: the objective is another than at the last step, so the
        gradient that was left there makes no pair with the first one here."""
        shape = self.v.shape
        x = self.v.reshape(-1, shape[2])

        def at(point) -> tuple[Tensor, Tensor]:
            return self._scaled(*evaluate(point.view(shape)))

        loss, g = evaluate(self.v)
        first_loss = loss.clone()
        if self.relative:
            self._measure(loss.flatten())
        loss, g = self._scaled(loss, g)
        if not carry:
            self.g = g  # then y = 0, which `_direction` does not accept
        active = ~self.finished.flatten() & torch.isfinite(loss)
        broken = ~torch.isfinite(loss)
        stuck = ~active | (g.abs().amax(1) <= self.tol_grad)
        active = active & ~stuck
        moved = torch.zeros_like(self.count)
        for inner in range(1, self.max_iter + 1):
            self._direction(g, loss, active)
            slope = (g * self.d).sum(1)
            flat = active & ~(slope <= -self.tol_change)  # also NaN
            broken = broken | (active & slope.isnan())
            stuck, active = stuck | flat, active & ~flat
            if self.line_search:
                x, loss, g, failed = self._backtrack(at, x, loss, g, slope, active)
                active = active & ~failed
            else:
                x = torch.where(active[:, None], x + self.t[:, None] * self.d, x)
            moved += active
            if not bool(active.any()) or (inner == self.max_iter and not self.line_search):
                break
            if not self.line_search:
                loss, g = at(x)
            active = active & torch.isfinite(loss) & (g.abs().amax(1) > self.tol_grad)
            active = active & ((self.d * self.t[:, None]).abs().amax(1) > self.tol_change)
            active = active & ((loss - self.loss).abs() >= self.tol_change)
        self.v = x.view(shape)
        # Torch would go on with one iteration a step for ever where the loss no longer changes by
        # tolerance_change; ten such steps in a row count as converged.
        self.idle = torch.where(moved <= 1, self.idle + 1, 0)
        self.finished |= (stuck | (self.idle >= 10)).view(shape[:2])
        self.broken |= broken.view(shape[:2])
        return first_loss

    def _direction(self, g: Tensor, loss: Tensor, active: Tensor) -> None:
        """Take in the last pair (s, y) where its curvature is positive, then set d and t."""
        first = self.n_iter == 0
        y, s = g - self.g, self.d * self.t[:, None]
        ys = (y * s).sum(1)
        accept = active & ~first & (ys > 1e-10)
        slot = self.count % self.m
        rows = torch.arange(len(slot), device=slot.device)
        mine = accept[:, None]
        self.S[rows, slot] = torch.where(mine, s, self.S[rows, slot])
        self.Y[rows, slot] = torch.where(mine, y, self.Y[rows, slot])
        self.H = torch.where(accept, ys / (y * y).sum(1), self.H)
        self.count = self.count + accept
        used = min(self.m, int(self.count.max()))
        d = self._two_loops(g, y, accept, slot, rows, used) if used else -g
        self.d = torch.where(active[:, None], torch.where(first[:, None], -g, d), self.d)
        start = torch.clamp(1 / g.abs().sum(1), max=1.0) * self.lr
        # Without a pair the direction is -g, whose length says nothing where g was divided.
        short = first | (self.count == 0) if self.relative else first
        self.t = torch.where(active, torch.where(short, start, self.lr), self.t)
        self.g = torch.where(active[:, None], g, self.g)
        self.loss = torch.where(active, loss, self.loss)
        self.n_iter = self.n_iter + active

    def _two_loops(self, g, y, accept, slot, rows, used) -> Tensor:
        if lanes.has_directions(g):
            grams = self.SY, self.YY
            return lanes.directions(self.S, self.Y, g, y, grams, accept, slot, self.count, self.H,
                                    used)
        S, Y = self.S[:, :used], self.Y[:, :used]
        pair = torch.stack((y, -g), 2)  # (P, N, 2): one pass over the history for both
        with_s, with_y = (torch.bmm(h, pair).double() for h in (S, Y))  # (P, used, 2)
        mine = accept[:, None]
        for gram, column in ((self.SY, with_s[..., 0]), (self.YY, with_y[..., 0])):
            gram[rows, :used, slot] = torch.where(mine, column, gram[rows, :used, slot])
        self.YY[rows, slot, :used] = self.YY[rows, :used, slot]
        # (P, used) slots from the oldest pair to the newest; unfilled slots come last
        counted = torch.arange(used, device=g.device)
        start = torch.where(self.count > self.m, self.count % self.m, 0)
        order = (start[:, None] + counted) % used
        R, YY = (m.gather(1, order[:, :, None].expand(-1, -1, used))
                 for m in (self.SY[:, :used, :used], self.YY[:, :used, :used]))
        R, YY = (m.gather(2, order[:, None, :].expand(-1, used, -1)) for m in (R, YY))
        D = R.diagonal(dim1=1, dim2=2)
        empty = D == 0  # slots not filled yet
        R = torch.triu(R) + torch.diag_embed(empty.to(R.dtype))
        Sq, Yq = with_s[..., 1].gather(1, order), with_y[..., 1].gather(1, order)
        H = self.H.double()[:, None]
        a = torch.linalg.solve_triangular(R, Sq[..., None], upper=True)
        left = D * a[..., 0] - H * (Yq - (YY @ a)[..., 0])
        c = torch.linalg.solve_triangular(R.mT, left[..., None], upper=False)
        back = torch.zeros_like(order).scatter_(1, order, counted.expand_as(order))
        a, c = (-H * a[..., 0]).gather(1, back), c[..., 0].gather(1, back)
        combine = torch.stack((c, a), 1).to(g.dtype)  # (P, 2, used)
        d = torch.bmm(combine[:, :1], S) + torch.bmm(combine[:, 1:], Y)
        return d[:, 0] - self.H[:, None] * g

    def _backtrack(self, at, x, loss, g, slope, active) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Halve t until f(x + t d) <= f(x) + 1e-4 t slope; a problem that never does stays."""
        todo, done = active.clone(), torch.zeros_like(active)
        new_x, new_loss, new_g = x, loss, g
        for _ in range(10):
            trial = torch.where(todo[:, None], x + self.t[:, None] * self.d, new_x)
            f, h = at(trial)
            ok = todo & (f <= loss + 1e-4 * self.t * slope)
            mine = ok[:, None]
            new_x, new_g = torch.where(mine, trial, new_x), torch.where(mine, h, new_g)
            new_loss = torch.where(ok, f, new_loss)
            todo, done = todo & ~ok, done | ok
            if not bool(todo.any()):
                break
            self.t = torch.where(todo, self.t / 2, self.t)
        # No step along d helps: forget the history, so that the next step is steepest descent.
        self.count = torch.where(todo, 0, self.count)
        self.n_iter = torch.where(todo, 0, self.n_iter)
        for history in (self.S, self.Y, self.SY, self.YY):
            history[todo] = 0
        return new_x, new_loss, new_g, todo


class InTurn:
    """L-BFGS on one image of the batch at a time: iteration i moves image i mod B and its label.

    DLG's change to line 6 of Algorithm 1 for batches (Zhu et al. 2019, section 3; the N! orders of
    a batch slow convergence). Each image has an L-BFGS of its own. Ours: its history stays although
    the others have moved; the pair that would span their turns is left out. A problem is finished
    when every image's last turn was (see `LBFGS`)."""

    is_one_evaluation = False

    def __init__(self, v: Tensor, blocks: list[Tensor], **settings) -> None:
        self.v, self.blocks, self.turn = v, blocks, 0  # blocks: indices of each image's variables
        self.each = [LBFGS(v[..., block].contiguous(), **settings) for block in blocks]
        self.finished = torch.zeros_like(self.each[0].finished)
        self.broken = self.finished.clone()

    def step(self, evaluate) -> Tensor:
        image, block = (a[self.turn % len(self.blocks)] for a in (self.each, self.blocks))

        def of_block(part) -> tuple[Tensor, Tensor]:
            whole = self.v.clone()
            whole[..., block] = part
            loss, g = evaluate(whole)
            return loss, g[..., block]

        image.finished = torch.zeros_like(image.finished)  # the others may have moved meanwhile
        loss = image.step(of_block, carry=False)
        self.v[..., block] = image.v
        if self.turn == 0:  # one objective: what it was at the start of all turns
            for other in self.each:
                other.size = image.size.clone()
        self.turn += 1
        self.broken.copy_(torch.stack([e.broken for e in self.each]).any(0))
        stuck = torch.stack([e.finished for e in self.each]).all(0)
        self.finished.copy_(stuck | ~torch.isfinite(loss))
        return loss

    def select(self, keep: Tensor) -> None:
        for image in self.each:
            image.select(keep)
        for name in ("v", "finished", "broken"):
            setattr(self, name, getattr(self, name)[keep].contiguous())
