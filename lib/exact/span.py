"""The space that the gradient of a dense layer spans: its dimension, what lies in it, and its
independent components.

The gradient of a dense layer is a sum over all inputs m that the layer saw,

    dl/dW = sum_m d_m x_m^T,

so its rows lie in the span of the inputs, and are that span where the d_m are independent.
"""

import warnings

import torch
from sklearn.decomposition import FastICA
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from .. import checks
from ..run import generator


def numerical_rank(weight_gradient: Tensor) -> int:
    """How many singular values of dl/dW (out, in) stand out of rounding: at most as many as there
    are inputs. They end at a fall by a factor of a thousand to below 10,000 times the precision of
    the largest; without such a fall, at max(out, in) times the precision.

    ValueError for what is no finite float matrix."""
    G = matrix("weight_gradient", weight_gradient)
    values = torch.linalg.svdvals(G.double())
    if values[0] == 0:
        return 0
    precision = torch.finfo(G.dtype).eps
    falls = (values[1:] < 1e-3 * values[:-1]) & (values[1:] < 1e4 * precision * values[0])
    if falls.any():
        return int(falls.nonzero()[0, 0]) + 1
    return int((values > precision * max(G.shape) * values[0]).sum())


def span_distance(weight_gradient: Tensor, vectors: Tensor, rank: int | None = None) -> Tensor:
    """How far each vector (..., in) lies from the span of the rows of dl/dW (out, in).

    The length of the part outside, over that of the vector: 0 in the span, 1 across it; (...), in
    float64. rank: the dimension of the span; None: `numerical_rank`. The test of a token in DAGER
    (Petrov et al. 2024). Where the rank is `in` everything lies in the span, and the test says
    nothing. ValueError for shapes that do not fit, a rank above the smaller side, or a zero
    vector."""
    G = matrix("weight_gradient", weight_gradient)
    if not isinstance(vectors, Tensor) or not vectors.is_floating_point() \
            or vectors.shape[-1:] != G.shape[-1:]:
        raise ValueError(f"vectors must be a float tensor (..., {G.shape[1]}), as wide as the "
                         "layer's input")
    size = vectors.double().norm(dim=-1)
    if (size == 0).any():
        raise ValueError("a zero vector lies in every span: leave it out of vectors")
    V = span(G, rank)[1]
    inside = vectors.double() @ V.mT
    outside = vectors.double() - inside @ V
    return outside.norm(dim=-1) / size


def tokens_in_span(weight_gradient: Tensor, table: Tensor, positions: Tensor,
                   tolerance: float = 1e-3, rank: int | None = None) -> Tensor:
    """Which tokens stood where: bool (T, words).

    weight_gradient (out, width): of the first layer that takes the tokens' embeddings, as the
    queries, keys and values of the first attention; table (words, width): the embeddings;
    positions (T, width): what is added at each place. True where table[w] + positions[t] lies in
    the span, to `tolerance` of its length (DAGER, Petrov et al. 2024, first layer). It gives all
    tokens of all sentences of a batch at that place; which belong together it does not say. Where
    two sentences differ in a token, the difference of the two embeddings lies in the span, and so
    one token can stand for the other elsewhere: of several sentences it also gives false tokens.
    ValueError as for `span_distance`, and for a tolerance outside (0, 1)."""
    checks.number("tolerance", tolerance, 0, 1, exclude=(0, 1))
    for name, value in {"table": table, "positions": positions}.items():
        matrix(name, value)
    if table.shape[1] != positions.shape[1]:
        raise ValueError(f"table {tuple(table.shape)} and positions {tuple(positions.shape)} must "
                         "be of one width")
    return span_distance(weight_gradient, table + positions[:, None], rank) < tolerance


def components(weight_gradient: Tensor, bias_gradient: Tensor, batch_size: int,
               shape: tuple | None = None, seed: int = 0) -> tuple[Tensor, bool]:
    """The inputs (B, in) of a dense layer as independent components of its span; and whether the
    search for them converged.

    Cocktail Party (Kariyappa et al. 2023) takes the pixels for samples and the images for sources
    that were mixed, and unmixes them by independent component analysis: no labels, no weights and
    no activation are needed. Here by scikit-learn's FastICA on the B right singular vectors. An
    analysis leaves sign and size of a source open; the bias gradient sum_m d_m decides both (ours).
    shape (C, H, W): analyse the differences between neighbouring pixels, which are more independent
    than pixels are (ours); None: the pixels. Not exact: images are never independent.
    ValueError for shapes that do not fit, or a batch that is larger than the layer is wide."""
    G, db = layer(weight_gradient, bias_gradient)
    B = checks.whole("batch_size", batch_size, 1, min(G.shape))
    R = span(G, B)[1] * G.shape[1] ** 0.5  # (B, in)
    samples = R if shape is None else _differences(R, shape)
    state = int(torch.randint(2**31 - 1, (), generator=generator("components", seed)))
    analysis = FastICA(B, whiten="unit-variance", max_iter=1000, tol=1e-6, random_state=state)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        analysis.fit(samples.mT.numpy())
    converged = not any(issubclass(w.category, ConvergenceWarning) for w in said)
    sources = torch.as_tensor(analysis.components_) @ R  # each up to its sign and size
    return sources / sizes(G, db, sources)[:, None], converged


def sizes(G: Tensor, db: Tensor, sources: Tensor) -> Tensor:
    """(B,): what each source (B, in) is a multiple of, from the bias gradient.

    With sources a_m x_m, dl/dW = sum_m (d_m / a_m) (a_m x_m)^T gives d_m / a_m, and
    dl/db = sum_m d_m = sum_m a_m (d_m / a_m) gives the a_m, by least squares."""
    deltas = torch.linalg.lstsq(sources.mT, G.double().mT).solution  # (B, out): d_m / a_m
    return torch.linalg.lstsq(deltas.mT, db.double()[:, None]).solution[:, 0]


def span(G: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """Left singular vectors (out, rank), right ones (rank, in) and singular values, in float64."""
    most = min(G.shape)
    rank = numerical_rank(G) if rank is None else checks.whole("rank", rank, 1, most)
    U, S, Vh = torch.linalg.svd(G.double().cpu(), full_matrices=False)
    return U[:, :rank], Vh[:rank], S[:rank]


def _differences(R: Tensor, shape: tuple) -> Tensor:
    """Rows (B, in) as differences between neighbours: down, and to the right."""
    if not isinstance(shape, tuple | list) or len(shape) != 3 \
            or torch.Size(shape).numel() != R.shape[1]:
        raise ValueError(f"shape must be (C, H, W) with {R.shape[1]} pixels, not {shape!r}")
    x = R.view(len(R), *shape)
    return torch.cat([x.diff(dim=dim).flatten(1) for dim in (-2, -1)], 1)


def matrix(name: str, value: Tensor) -> Tensor:
    """A finite float matrix, or ValueError."""
    if not isinstance(value, Tensor) or value.dim() != 2 or not value.is_floating_point() \
            or 0 in value.shape or not value.isfinite().all():
        shape = tuple(getattr(value, "shape", ()))
        raise ValueError(f"{name} must be a finite float tensor (rows, columns), not of shape "
                         f"{shape}")
    return value.detach()


def layer(weight_gradient: Tensor, bias_gradient: Tensor) -> tuple[Tensor, Tensor]:
    """dl/dW (out, in) and dl/db (out) of one client, or ValueError."""
    G = matrix("weight_gradient", weight_gradient)
    if not isinstance(bias_gradient, Tensor) or bias_gradient.shape != G.shape[:1] \
            or not bias_gradient.isfinite().all():
        raise ValueError(f"bias_gradient must be a finite tensor ({G.shape[0]},), of the same "
                         "layer and one client")
    return G.cpu(), bias_gradient.detach().cpu()
