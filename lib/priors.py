"""Regularisers on the dummy images.

A prior is any callable (x (B, C, H, W)) -> scalar, in the space in which the attack works. One
that is to read something else declares it with the decorator `reading`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.linalg import vector_norm

WHAT = {
    "images": "the dummy images, in the space in which the attack works",
    "moments": "`models.moments` of the dummy batch: what its BatchNorms see",
    "variables": "what the attack optimises, where that is not the images",
}


def reading(what: str) -> Callable:
    """Decorate a prior with what it reads, a key of `WHAT`."""
    if what not in WHAT:
        raise ValueError(f"a prior reads one of {', '.join(WHAT)}, not {what!r}")

    def mark(prior) -> Callable:
        prior.reads = what
        return prior
    return mark


def read_by(prior: Callable) -> str:
    """What a prior reads: a key of `WHAT`; images, where it does not say."""
    return getattr(prior, "reads", "images")


def tv(x: Tensor) -> Tensor:
    """Anisotropic total variation: mean |dx| + mean |dy| (Geiping et al. 2020, code means). An
    axis of one pixel has no differences and counts as 0: images may be one row, or one column."""
    _check(x)
    across, down = x[..., :, 1:] - x[..., :, :-1], x[..., 1:, :] - x[..., :-1, :]
    return _mean_size(across) + _mean_size(down)


def _check(x) -> None:
    if not isinstance(x, Tensor) or x.dim() < 2:
        raise ValueError(f"a prior of images takes a tensor (B, C, H, W), not {type(x).__name__} "
                         f"of shape {tuple(getattr(x, 'shape', ()))}")


def _mean_size(differences: Tensor) -> Tensor:
    size = differences.abs()
    return size.mean() if size.numel() else size.sum()


def tv_of_magnitude(x: Tensor) -> Tensor:
    """`tv` of |x|, for images whose pixels' signs were flipped (Huang et al. 2021, code: "signed
    image")."""
    _check(x)
    return tv(x.abs())


def orthogonality(x: Tensor) -> Tensor:
    """Mean squared cosine between the images of a batch, 0 for one image (a prior of Eloul et al.
    2022, poster: "orthogonality of images in a batch"; its formula is not printed, this is ours).
    """
    _check(x)
    flat = x.flatten(1)
    unit = flat / flat.square().sum(1, keepdim=True).clamp_min(1e-12).sqrt()
    squares = (unit @ unit.mT).square()
    return (squares * (1 - torch.eye(len(x)).to(x))).sum() / max(1, len(x) * (len(x) - 1))


@reading("variables")
def norm(variables: Tensor) -> Tensor:
    """The Euclidean norm of what the attack optimises, of latents for instance (Jeon et al. 2021,
    code: z_norm)."""
    return vector_norm(variables)


@reading("moments")
def batch_norm(moments: list[tuple[Tensor, ...]]) -> Tensor:
    """sum_l |mean_l(x) - stored mean_l| + |var_l(x) - stored var_l| (Yin et al. 2021, R_BN).

    Stored: those of the private batch where the threat model grants them ("exact"), else the
    running statistics of the victim, which travel with the model. Those of an untrained victim are
    mean 0 and variance 1, whatever the images. ValueError where there are none."""
    if not moments or moments[0][3] is None:
        raise ValueError("the model stores no BatchNorm statistics: this prior cannot be used")
    return sum(vector_norm(mean - stored_mean) + vector_norm(var - stored_var)
               for _, mean, var, stored_mean, stored_var in moments)
