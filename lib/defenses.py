"""What a client may do about it.

A defense is a small frozen object with any of these, which `client.share` calls in this
order; a list or tuple of defenses composes them:

    draw(labels (B,), rng) -> indices            which of its images the client uses
    encode(images (B, C, H, W), targets (B, classes), rng) -> the same pair, changed
    per_example(grads: name -> (B, ...)) -> the same, before they are averaged
    with_model(grads: name -> tensor, model, images (B, C, H, W)) -> the same, the averaged update,
        beside the model and what it was fed
    update(grads: name -> tensor, rng) -> the same, the averaged update

`rng` is a CPU `torch.Generator` of the client's own: a defense never depends on K. `steps` makes
the tuple, and refuses what is no defense; the `apply_` functions call one step and check what it
returns, so that a faulty defense is an error that names it.
"""

import inspect
import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from difflib import SequenceMatcher

import torch
from torch import Tensor

from . import checks
from .mixing import InstaHide, MixUp  # noqa: F401  (defenses that mix)
from .soteria import Soteria  # noqa: F401  (one that looks at the model)

METHODS = {  # of a defense: what each is called with
    "draw": ("labels", "rng"), "encode": ("images", "targets", "rng"), "per_example": ("grads",),
    "with_model": ("grads", "model", "images"), "update": ("grads", "rng")}


def steps(defense) -> tuple:
    """The defenses in `defense` in their order: none (None), one, or those of a list or tuple.

    Lists inside lists are flattened. ValueError for anything that would do nothing or something
    else: a class instead of an object of it, a string, a dict, None inside a list, an object with
    none of the five methods, with a misspelt one, or with one that takes other arguments."""
    if defense is None:
        return ()
    if isinstance(defense, list | tuple):
        if any(entry is None for entry in defense):
            raise ValueError("a list of defenses holds None: leave it out")
        return tuple(step for entry in defense for step in steps(entry))
    known = ", ".join(f"{name}({', '.join(given)})" for name, given in METHODS.items())
    if isinstance(defense, type):
        raise ValueError(f"{defense.__name__} is a class: give an object of it, as "
                         f"defense={defense.__name__}(...)")
    plain = type(defense).__module__ == "builtins" or isinstance(defense, Mapping | Set)
    if plain:  # several of these have an `update` or `encode` of their own
        raise ValueError(f"{checks.shown(defense)} is no defense: give an object with any of "
                         f"{known}, or a list of such objects")
    name = type(defense).__name__
    if misspelt := _misspelt(defense):
        wrong, right = misspelt
        raise ValueError(f"the defense {name} has a method {wrong!r}, which nothing calls: is it "
                         f"{right!r}? Its methods are any of {known}")
    present = [method for method in METHODS if hasattr(defense, method)]
    if not present:
        raise ValueError(f"{name} is no defense: it has none of the methods {known}")
    for method in present:
        if not _takes(getattr(defense, method), len(METHODS[method])):
            raise ValueError(f"the defense {name} must have a method {method}"
                             f"({', '.join(METHODS[method])})")
    return (defense,)


def _takes(method, count: int) -> bool:
    """True where `method` can be called with `count` arguments by position."""
    if not callable(method):
        return False
    try:
        inspect.signature(method).bind(*[None] * count)
    except TypeError:
        return False
    except ValueError:  # one written in C shows no signature
        return True
    return True


def _misspelt(defense) -> tuple[str, str] | None:
    """(a public method that is nearly one of METHODS, that one), where that one is missing."""
    missing = [method for method in METHODS if not hasattr(defense, method)]
    for name in dir(defense):
        for method in missing if not name.startswith("__") else ():
            bare = name.lower().strip("_")
            near = SequenceMatcher(None, bare, method).ratio() > 0.85
            if (near or sorted(bare) == sorted(method)) and callable(getattr(defense, name, None)):
                return name, method
    return None


# --- calling one step, and checking what it returns ----------------------------------------------

def apply_draw(step, labels: Tensor, rng: torch.Generator) -> Tensor:
    """(n,) int64: which images the client uses, by `step.draw`; ValueError naming the defense."""
    chosen = step.draw(labels, rng)
    try:
        chosen = torch.as_tensor(chosen)
    except (TypeError, ValueError, RuntimeError) as error:
        raise _fault(step, "draw", f"returned {type(chosen).__name__}, not indices") from error
    if chosen.ndim != 1 or chosen.dtype not in (torch.int64, torch.int32) or not len(chosen):
        raise _fault(step, "draw", "must return indices, whole numbers (n,) with n >= 1 (of a "
                     f"mask: mask.nonzero()[:, 0]), not {chosen.dtype} {tuple(chosen.shape)}")
    if chosen.min() < 0 or chosen.max() >= len(labels):
        raise _fault(step, "draw", f"returned indices from {int(chosen.min())} to "
                     f"{int(chosen.max())} of {len(labels)} images")
    return chosen.long().to(labels.device)


def apply_encode(step, images: Tensor, targets: Tensor, rng: torch.Generator) \
        -> tuple[Tensor, Tensor]:
    """`step.encode`: images (n, C, H, W) in [0, 1] and targets (n, classes), probabilities."""
    encoded = step.encode(images, targets, rng)
    pair = isinstance(encoded, tuple | list) and len(encoded) == 2
    if not pair or not all(isinstance(t, Tensor) for t in encoded):
        raise _fault(step, "encode", "must return a pair of tensors, (images, targets)")
    x, y = encoded
    if x.shape[1:] != images.shape[1:] or y.shape != (len(x), *targets.shape[1:]) or not len(x):
        raise _fault(step, "encode", f"made images {tuple(images.shape)} and targets "
                     f"{tuple(targets.shape)} into {tuple(x.shape)} and {tuple(y.shape)}: only "
                     "their number may change, and together")
    if not x.is_floating_point() or not y.is_floating_point():
        raise _fault(step, "encode", f"returned {x.dtype} and {y.dtype}: both must be floating")
    if not (x.min() >= -1e-5 and x.max() <= 1 + 1e-5):  # NaN fails too; means may round above 1
        raise _fault(step, "encode", f"returned images in [{x.min().item():g}, "
                     f"{x.max().item():g}]: they must lie in [0, 1]")
    if not (y.min() >= -1e-5 and ((y.sum(-1) - 1).abs() <= 1e-3).all()):
        raise _fault(step, "encode", "returned targets that are no probabilities: each row must be "
                     "0 or more, with the sum 1")
    return x.to(images), y.to(targets)


def apply_per_example(step, grads: dict[str, Tensor]) -> dict[str, Tensor]:
    """`step.per_example`: each image's gradient, name -> (B, ...), changed."""
    return _alike(step, "per_example", grads, step.per_example(dict(grads)))


def apply_with_model(step, grads: dict[str, Tensor], model, images: Tensor) -> dict[str, Tensor]:
    """`step.with_model`: the averaged update of images as the model was fed them, changed."""
    return _alike(step, "with_model", grads, step.with_model(dict(grads), model, images))


def apply_update(step, grads: dict[str, Tensor], rng: torch.Generator, finite: bool = True) \
        -> dict[str, Tensor]:
    """`step.update`: the averaged update, changed. finite: refuse NaN and infinite values that the
    defense makes of finite ones."""
    was_finite = finite and all(bool(g.isfinite().all()) for g in grads.values())
    changed = _alike(step, "update", grads, step.update(dict(grads), rng))
    for name, g in changed.items() if was_finite else ():
        if not g.isfinite().all():
            raise _fault(step, "update", f"made NaN or infinite values of the finite {name}")
    return changed


def _alike(step, method: str, grads: dict[str, Tensor], changed) -> dict[str, Tensor]:
    """`changed` in the order, type and place of `grads`; ValueError unless it has their names and
    shapes."""
    if not isinstance(changed, Mapping):
        raise _fault(step, method, "must return a dict of tensors by name, not "
                     f"{type(changed).__name__}")
    if set(changed) != set(grads):
        odd = sorted(map(str, set(changed) ^ set(grads)))[:4]
        raise _fault(step, method, f"must keep the names of the tensors: {', '.join(odd)}")
    for name, g in grads.items():
        other = changed[name]
        if not isinstance(other, Tensor) or other.shape != g.shape or other.is_complex():
            shown = tuple(other.shape) if isinstance(other, Tensor) else type(other).__name__
            raise _fault(step, method, f"must return real tensors of the same shapes: {name} was "
                         f"{tuple(g.shape)} and is {shown}")
    return {name: changed[name].to(g) for name, g in grads.items()}


def _fault(step, method: str, words: str) -> ValueError:
    return ValueError(f"{method}() of the defense {type(step).__name__} {words}")


def check_batch_size(defenses: tuple, batch_size: int) -> None:
    """ValueError where a `DPSGD` among the steps was made for updates of another size."""
    for step in defenses:
        if isinstance(step, DPSGD) and step.batch_size != batch_size:
            raise ValueError(
                f"{step} is applied to an update of {batch_size} images: its batch_size must be "
                f"that number, or the noise is {step.batch_size}/{batch_size} times too small")


# --- the defenses --------------------------------------------------------------------------------

@dataclass(frozen=True)
class _Noise:
    variance: float

    def __post_init__(self) -> None:
        checks.number("variance", self.variance, 0)


@dataclass(frozen=True)
class GaussianNoise(_Noise):
    """Adds zero-mean normal noise of the given *variance* to the update (Zhu 2019, Fig. 7a)."""

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        std = self.variance**0.5
        draw = {n: torch.randn(g.shape, generator=rng, dtype=g.dtype) for n, g in grads.items()}
        return {n: g + std * draw[n].to(g.device) for n, g in grads.items()}


@dataclass(frozen=True)
class LaplacianNoise(_Noise):
    """Adds zero-mean Laplacian noise of the given *variance* to the update (Zhu 2019, Fig. 7b).

    A Laplacian of scale b has the variance 2 b^2: equal variances mean equal energy of the noise.
    """

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        scale = (self.variance / 2) ** 0.5

        def draw(g) -> Tensor:
            # the inverse of the distribution function, at u uniform in (-1/2, 1/2)
            u = torch.rand(g.shape, generator=rng, dtype=torch.float64) - 0.5
            return -u.sign() * torch.log1p(-2 * u.abs().clamp(max=0.5 - 2**-54))

        return {n: g + scale * draw(g).to(g) for n, g in grads.items()}


@dataclass(frozen=True)
class LowPrecision:
    """Sends the update in fewer bits: "float16", "bfloat16" or "int8" (Zhu 2019, Fig. 7c, Table 3).

    int8: every tensor is rounded to 255 even steps between -max |g| and max |g|."""

    format: str

    def __post_init__(self) -> None:
        checks.one_of("format", self.format, ("float16", "bfloat16", "int8"))

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        if self.format == "int8":
            step = {n: (g.abs().amax() / 127).clamp_min(1e-38) for n, g in grads.items()}
            return {n: (g / step[n]).round() * step[n] for n, g in grads.items()}
        return {n: g.to(getattr(torch, self.format)).to(g) for n, g in grads.items()}


@dataclass(frozen=True)
class GradPrune:
    """Sets the share `p` of smallest magnitude in every tensor of the update to zero.

    Gradient compression of Zhu et al. 2019 (Fig. 7d); GradPrune of Huang et al. 2021, whose code
    also cuts each tensor by itself. Of the P entries of a tensor, floor(p P) are set to zero."""

    p: float

    def __post_init__(self) -> None:
        checks.number("p, a share,", self.p, 0, 1)

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        def pruned(g) -> Tensor:
            smallest = g.flatten().abs().topk(int(self.p * g.numel()), largest=False).indices
            return g.flatten().index_fill(0, smallest, 0).view_as(g)

        return {n: pruned(g) for n, g in grads.items()}


@dataclass(frozen=True)
class EqualLabels:
    """The client uses `batch_size` of its images that share one label (Eloul et al. 2022, 1).

    Of the labels that occur often enough one is drawn, then images of it. ValueError where no label
    does: the client then needs more images."""

    batch_size: int

    def __post_init__(self) -> None:
        checks.whole("batch_size", self.batch_size)

    def draw(self, labels: Tensor, rng: torch.Generator) -> Tensor:
        values, counts = labels.unique(return_counts=True)
        often = values[counts >= self.batch_size]
        if not len(often):
            raise ValueError(f"no label occurs {self.batch_size} times among {len(labels)} images")
        label = often[int(torch.randint(len(often), (), generator=rng))]
        chosen = (labels == label).nonzero()[:, 0]
        return chosen[torch.randperm(len(chosen), generator=rng)[: self.batch_size]]


@dataclass(frozen=True)
class DPSGD:
    """Clips every image's gradient to the norm `clip`, then adds normal noise of standard deviation
    noise_multiplier x clip / batch_size to their mean (Abadi et al. 2016, Algorithm 1).

    What that guarantees over a training: `epsilon`. batch_size: the images of one update; one that
    is not the number in fact shared is refused (`check_batch_size`)."""

    clip: float
    noise_multiplier: float
    batch_size: int

    def __post_init__(self) -> None:
        checks.number("clip", self.clip, 0, exclude=(0,))
        checks.number("noise_multiplier", self.noise_multiplier, 0)
        checks.whole("batch_size", self.batch_size)

    def per_example(self, grads: dict[str, Tensor]) -> dict[str, Tensor]:
        norm = sum(g.flatten(1).square().sum(1) for g in grads.values()).sqrt()  # (B,)
        scale = (self.clip / norm.clamp_min(1e-30)).clamp(max=1)
        return {n: g * scale.view(-1, *[1] * (g.dim() - 1)) for n, g in grads.items()}

    def update(self, grads: dict[str, Tensor], rng: torch.Generator) -> dict[str, Tensor]:
        std = self.noise_multiplier * self.clip / self.batch_size
        return GaussianNoise(std**2).update(grads, rng)

    def epsilon(self, examples: int, steps: int, delta: float = 1e-5) -> float:
        """The privacy budget of `steps` updates on batches drawn from `examples` images, by opacus'
        RDP accountant (its sampling is Poisson's, at the rate batch_size / examples)."""
        checks.whole("examples, of which batch_size are drawn,", examples, self.batch_size)
        checks.whole("steps", steps)
        checks.number("delta", delta, 0, 1, exclude=(0, 1))
        if self.noise_multiplier == 0:
            return math.inf
        from opacus.accountants import RDPAccountant  # slow to import

        accountant = RDPAccountant()
        rate = self.batch_size / examples
        accountant.history = [(self.noise_multiplier, rate, steps)]
        return float(accountant.get_epsilon(delta))
