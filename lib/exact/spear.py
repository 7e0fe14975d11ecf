"""SPEAR: whole batches behind a dense layer with ReLU, exactly (Dimitrov et al. 2024).

The gradient of the layer is dl/dW = D X, with the images as rows of X (B, in) and column m of
D (out, B) the gradient d_m of image m's activations. Its singular vectors give other factors of the
same product, dl/dW = U R, so that D = U Q and X = Q^-1 R with an unknown Q (B, B). ReLU makes D
sparse: d_m is zero wherever image m leaves a neuron at rest. Take B - 1 rows of U. If image m is at
rest in all of them, column m of Q is what these rows send to zero. So: draw rows, solve, keep what
leaves many zeros.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from .. import checks
from ..run import generator
from .span import layer, matrix, numerical_rank, span

CHUNK = 2048  # draws at once
MOST_KEPT = 10  # directions for each image
PARALLEL = 1 - 1e-6  # cosine


@dataclass(frozen=True)
class Unmixed:
    """What `spear` found.

    images (B, in), float64, in no order; NaN where no B independent directions were found. match:
    the share of the (neuron, image) pairs in which "its gradient is zero" agrees with "it is at
    rest" when these images are put through the layer. exact: whether all do, which no wrong batch
    has passed in our tests. directions: how many candidates were kept; draws: how many sets of rows
    were tried."""

    images: Tensor
    match: float
    exact: bool
    directions: int
    draws: int


def spear(weight_gradient: Tensor, bias_gradient: Tensor, weight: Tensor, bias: Tensor,
          batch_size: int | None = None, draws: int = 2**16, seed: int = 0) -> Unmixed:
    """The batch of one client from the gradient of a dense layer that ReLU follows.

    weight_gradient, weight (out, in); bias_gradient, bias (out,): those of the layer. It sees the
    pixels if it is the first one, else its own inputs. batch_size: None takes the rank. The draws
    that are needed grow as 2^B: each image is at rest in about half of the neurons. No label is
    needed. A gradient in float64 is best; with float32 zeros are told by a wider margin.
    ValueError for shapes that do not fit, values that are not finite, a gradient that is zero, or a
    batch larger than the layer has inputs or outputs. A batch that is not found is no error: look
    at `exact`."""
    G, db = layer(weight_gradient, bias_gradient)
    W = matrix("weight", weight).double().cpu()
    if W.shape != G.shape or not isinstance(bias, Tensor) or bias.shape != db.shape:
        raise ValueError(f"weight and bias must be those of the layer, {tuple(G.shape)} and "
                         f"{tuple(db.shape)}")
    draws = checks.whole("draws", draws)
    rank = numerical_rank(G)
    if rank == 0:
        raise ValueError("weight_gradient is zero: nothing was learned, so nothing leaks")
    B = rank if batch_size is None else checks.whole("batch_size", batch_size, 1, min(G.shape))
    search = _Search(G, db, W, bias.detach().double().cpu(), B)
    return search.run(draws, generator("spear", checks.whole("seed", seed, 0)))


class _Search:
    """The factors of one gradient, and the directions found in them so far."""

    def __init__(self, G: Tensor, db: Tensor, W: Tensor, b: Tensor, B: int) -> None:
        self.U, Vh, S = span(G, B)
        self.R, self.db, self.W, self.b, self.B = S[:, None] * Vh, db.double(), W, b, B
        condition = (S[0] / S[-1].clamp_min(1e-300)).item()
        rounding = torch.finfo(G.dtype).eps * condition
        self.zero = min(1e-3, 100 * rounding)  # below: a zero of U q
        self.alive = (self.U.norm(dim=1) > self.zero).nonzero()[:, 0]  # neurons of no image say 0
        self.kept = torch.empty(0, B, dtype=torch.float64)  # unit vectors, best first
        self.worth = torch.empty(0, dtype=torch.int64)
        self.zeros = torch.empty(0, dtype=torch.int64)  # that each leaves

    def run(self, draws: int, rng: torch.Generator) -> Unmixed:
        best, done = self.nothing(0), 0
        if self.B == 1:  # one image: one direction
            self.kept = torch.ones(1, 1, dtype=torch.float64)
            return self.unmix([0], 0)
        while done < draws and not best.exact and len(self.alive) >= self.B:
            count = min(CHUNK, draws - done)
            surer = self.keep(self.draw(count, rng))
            done += count
            if surer or done == draws:
                best = max(best, self.assemble(done), key=lambda unmixed: unmixed.match)
        return Unmixed(best.images, best.match, best.exact, len(self.kept), done)

    def draw(self, count: int, rng: torch.Generator) -> Tensor:
        """Unit vectors (n, B) that as many random sets of B - 1 rows send to zero."""
        order = torch.rand(count, len(self.alive), generator=rng).topk(self.B - 1, 1).indices
        rows = self.U[self.alive[order]]  # (count, B - 1, B)
        rows = rows / rows.norm(dim=2, keepdim=True)
        last = torch.randn(count, 1, self.B, generator=rng, dtype=torch.float64)
        one = torch.zeros(count, self.B, dtype=torch.float64)
        one[:, -1] = 1  # the last row is there to fix the length
        q = torch.linalg.solve_ex(torch.cat([rows, last], 1), one)[0]
        q = q / q.norm(dim=1, keepdim=True)
        return q[q.isfinite().all(1)]

    def keep(self, q: Tensor) -> bool:
        """Keep the directions that may be images, each once, in the order of `worth`. Is there a
        new one that is sure?"""
        rest = (self.U[self.alive] @ q.mT).abs().mT < self.zero  # (n, alive)
        enough = rest.sum(1) >= self.B  # any direction can be made to leave B - 1 zeros
        q, rest = self.unlike(q[enough], rest[enough])
        if not len(q):
            return False
        rated = self.rated(rest)
        worth = torch.cat([self.worth, rated])
        order = worth.argsort(descending=True, stable=True)[: MOST_KEPT * self.B]
        self.kept, self.worth = torch.cat([self.kept, q])[order], worth[order]
        self.zeros = torch.cat([self.zeros, rest.sum(1)])[order]
        return bool((rated > 0).any())

    def unlike(self, q: Tensor, rest: Tensor) -> tuple[Tensor, Tensor]:
        """Each direction once, where it leaves the most zeros: rounding can hide some. Not those
        that are parallel to one kept with as many."""
        order = rest.sum(1).argsort(descending=True, stable=True)
        q, rest = q[order], rest[order]
        again = ((q @ q.mT).abs() > PARALLEL).tril(-1).any(1)
        parallel = (q @ self.kept.mT).abs() > PARALLEL
        again |= (parallel & (self.zeros >= rest.sum(1, keepdim=True))).any(1)
        return q[~again], rest[~again]

    def rated(self, rest: Tensor) -> Tensor:
        """(n,): how many rows are at rest (n, alive), less all of them where one row decides.

        Where two images are at rest every mixture of them is; one more row picks one of these
        mixtures. It is told by that row: without it the others leave more than one direction. An
        image is at rest in rows of which none is needed."""
        rows, count = self.U[self.alive], rest.sum(1)
        products = torch.einsum("na,ab,ac->nbc", rest.double(), rows, rows)
        values, vectors = torch.linalg.eigh(products)
        left = torch.einsum("ab,nbc->nac", rows, vectors[:, :, 1:])
        needed = (left.square() / values[:, None, 1:].clamp_min(1e-300)).sum(2)
        sure = values[:, 1] > max(30 * self.zero, 1e-5) ** 2
        sure &= ~((needed > 1 - 1e-6) & rest).any(1)
        return count - torch.where(sure, 0, len(self.alive))

    def assemble(self, done: int) -> Unmixed:
        """The best batch of the directions so far: the sparsest independent ones, then each
        exchanged for another while this makes more of the signs match."""
        chosen = self.independent()
        if len(chosen) < self.B:
            return self.nothing(done)
        best = self.unmix(chosen, done)
        others = [i for i in range(min(len(self.kept), 3 * self.B)) if i not in chosen]
        for i in others:
            if best.exact:
                break
            for place in range(self.B):
                swapped = [*chosen[:place], i, *chosen[place + 1:]]
                tried = self.unmix(swapped, done)
                if tried.match > best.match:
                    best, chosen = tried, swapped
        return best

    def independent(self) -> list[int]:
        """Numbers of the sparsest directions that do not lie in the span of those before. What two
        images mix has fewer zeros than either, so that images come first."""
        chosen, basis = [], torch.empty(0, self.B, dtype=torch.float64)
        for i, q in enumerate(self.kept):
            outside = q - (q @ basis.mT) @ basis
            outside = outside - (outside @ basis.mT) @ basis  # once more, for precision
            if outside.norm() > 1e-5:
                chosen.append(i)
                basis = torch.cat([basis, outside[None] / outside.norm()])
            if len(chosen) == self.B:
                break
        return chosen

    def unmix(self, chosen: list[int], done: int) -> Unmixed:
        """The images of B directions: dl/db = sum_m d_m = U Q 1 gives the lengths of Q's columns.
        """
        Q = self.kept[chosen].mT
        deltas = self.U @ Q  # (out, B)
        lengths = torch.linalg.lstsq(deltas, self.db[:, None]).solution
        images, failed = torch.linalg.solve_ex(Q * lengths.mT, self.R)
        if failed or not images.isfinite().all():
            return self.nothing(done)
        active = images @ self.W.mT + self.b > 0  # (B, out)
        match = ((deltas.abs() >= self.zero).mT == active).double().mean().item()
        return Unmixed(images, match, match == 1, len(self.kept), done)

    def nothing(self, done: int) -> Unmixed:
        images = torch.full((self.B, self.R.shape[1]), torch.nan, dtype=torch.float64)
        return Unmixed(images, 0.0, False, len(self.kept), done)
