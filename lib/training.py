"""Training a victim, with or without a defense, and how well it then classifies."""

import contextlib
import hashlib
import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import checks, defenses, files, run
from .batching import Ensemble, call
from .data import ImageSet


@dataclass(frozen=True)
class Training:
    """How `train` trains, checked.

    SGD with Nesterov momentum and one cosine from `lr` to 0, batches reshuffled each epoch from
    `seed`. augment: random crop after padding by an eighth of the side, and mirror image.
    normalise: feed (x - mean) / std instead of [0, 1]. `watch(epoch, model)` is called before the
    first epoch and after each, with the model in eval mode. loss(logits, targets (B, classes)):
    None is the cross-entropy. same_label: a batch is that of several clients, each with so many
    images of one label (Eloul et al. 2022); what is left over is left out."""

    epochs: int = 10
    batch_size: int = 64
    lr: float = 0.1
    momentum: float = 0.9
    seed: int = 0
    weight_decay: float = 0.0
    augment: bool = False
    normalise: bool = False
    watch: Callable | None = None
    loss: Callable | None = None
    same_label: int = 1

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "same_label"):
            checks.whole(name, getattr(self, name))
        checks.number("lr", self.lr, 0, exclude=(0,))
        checks.number("momentum", self.momentum, 0, 1, exclude=(1,))
        checks.whole("seed", self.seed, 0)
        checks.number("weight_decay", self.weight_decay, 0)
        checks.flag("augment", self.augment)
        checks.flag("normalise", self.normalise)
        for name in ("watch", "loss"):
            if not (getattr(self, name) is None or callable(getattr(self, name))):
                raise ValueError(f"{name} must be a function or None, not "
                                 f"{checks.shown(getattr(self, name))}")
        if self.batch_size % self.same_label:
            raise ValueError(f"batch_size {self.batch_size} is no multiple of same_label "
                             f"{self.same_label}")

    @property
    def makes_known_weights(self) -> bool:
        """Whether the settings, as a file's name can hold them, decide the weights."""
        return not (self.watch or self.loss or self.same_label > 1)

    def named_for_a_file(self) -> list:
        """What makes other weights of the same start, as JSON takes it."""
        values = (self.epochs, self.batch_size, self.lr, self.momentum, self.seed,
                  self.weight_decay, self.augment, self.normalise)
        return [v.item() if isinstance(v, np.generic) else v for v in values]


def train(model: nn.Module, images: ImageSet, epochs: int = 10, batch_size: int = 64,
          lr: float = 0.1, momentum: float = 0.9, seed: int = 0, defense=None, cache=None,
          **more) -> nn.Module:
    """Train `model` in place on an `ImageSet`; returns it in eval mode.

    more: `weight_decay`, `augment`, `normalise`, `watch`, `loss`, `same_label`, see `Training`. On
    CUDA it computes in bfloat16 where autocast allows, on a CPU with one thread, so that weights do
    not depend on how many it has.
    defense: one of `lib.defenses`, or a list or tuple of them; each step is then the update of one
    client that holds the step's batch: `encode`, `per_example` (ValueError for a model with
    BatchNorm, where no image has a gradient of its own) and `update` are applied as `client.share`
    does, `draw` is refused. The last batch of an epoch may be smaller; DPSGD's noise is then that
    of a whole one.
    cache: a folder; the weights are read there, or written, under a name made of the initial
    weights, the images and all settings (not where defense, watch, loss or same_label are given).
    A training that diverges is not an error: what a defense does to it is a result.
    ValueError, before any work, for settings that do not fit each other, the model or the set."""
    known = [entry.name for entry in fields(Training)]
    if unknown := sorted(set(more) - set(known)):
        raise TypeError(f"train has no setting {unknown[0]!r}: it takes {', '.join(known)}, "
                        "defense and cache")
    how = Training(epochs, batch_size, lr, momentum, seed, **more)
    steps = defenses.steps(defense)
    if isinstance(model, nn.Module) and not any(p.requires_grad for p in model.parameters()):
        raise ValueError("the model has no trainable parameters")
    one_hot = any(_has(steps, name) for name in ("encode", "per_example"))
    _check_fit(model, images, how.loss, one_hot)
    _check_defense(model, steps, len(images), batch_size)
    device = next(model.parameters()).device
    file = None
    if cache is not None and how.makes_known_weights and not steps:
        place = "cpu, one thread" if device.type == "cpu" else device.type
        file = weights_file(_folder(cache), model, images, [*how.named_for_a_file(), place])
    if file is not None and file.is_file():
        load_weights(model, file, device)
        return model.eval()
    with reproducible(device, seed):
        _fit(model, images, how, steps)
    if file is not None:
        save_weights(model, file)
    return model.eval()


def _fit(model, images, how: Training, steps: tuple) -> None:
    """The training itself, of checked arguments."""
    device = next(model.parameters()).device
    x, y = images.images.to(device), images.labels.to(device)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(named.values(), how.lr, how.momentum,
                                weight_decay=how.weight_decay, nesterov=how.momentum > 0)
    dealt = len(x)
    if how.same_label > 1:
        dealt = sum(int(n) // how.same_label for n in torch.bincount(y)) * how.same_label
        if not dealt:
            raise ValueError(f"no label occurs same_label={how.same_label} times")
    total = how.epochs * math.ceil(dealt / how.batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, total)
    rng = run.generator("train", how.seed)
    watch = how.watch or (lambda epoch, model: None)
    watch(0, model.eval())
    for epoch in run.progress(range(1, how.epochs + 1), desc="train"):
        model.train()
        for rows in _dealt(y.cpu(), how.same_label, rng).to(device).split(how.batch_size):
            pixels = x[rows]
            if how.augment:
                pixels = _moved(pixels, rng)
            fed = pixels.float() / 255
            gradients = _update(model, named, images, how, steps, fed, y[rows], rng)
            for name, gradient in gradients.items():
                named[name].grad = gradient
            optimizer.step()
            schedule.step()
        watch(epoch, model.eval())


def _update(model, named, images, how: Training, steps, fed, labels, rng) -> dict[str, Tensor]:
    """The gradient of one batch `fed` (B, C, H, W) in [0, 1], after every defense."""
    encoders, singles = _has(steps, "encode"), _has(steps, "per_example")
    criterion, target, whole = how.loss or nn.functional.cross_entropy, labels, len(fed)
    if how.loss is not None or encoders or singles:
        target = nn.functional.one_hot(labels, images.num_classes).to(fed)
    for step in encoders:
        fed, target = defenses.apply_encode(step, fed, target, rng)
    if whole == how.batch_size or whole == len(images):  # the last batch may be smaller
        defenses.check_batch_size(steps, len(fed))
    fed = _normalised(fed, images, how.normalise)
    if singles:
        g = _of_each(model, named, fed, target, criterion)
        for step in singles:
            g = defenses.apply_per_example(step, g)
        g = {n: t.mean(0) for n, t in g.items()}
    else:
        with torch.autocast("cuda", torch.bfloat16, enabled=fed.device.type == "cuda"):
            value = criterion(model(fed), target)
        g = dict(zip(named, torch.autograd.grad(value, named.values()), strict=True))
    for step in _has(steps, "with_model"):
        g = defenses.apply_with_model(step, g, model, fed)
    for step in _has(steps, "update"):
        g = defenses.apply_update(step, g, rng, finite=False)  # it may diverge: see `train`
    return g


def _has(steps: tuple, method: str) -> list:
    return [step for step in steps if hasattr(step, method)]


@contextlib.contextmanager
def reproducible(device: torch.device, seed: int) -> Iterator[None]:
    """Random layers (Dropout) draw from `seed`, and a CPU computes with one thread: sums in another
    order are other weights. Both are put back afterwards."""
    threads = torch.get_num_threads()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        try:
            if device.type == "cpu":
                torch.set_num_threads(1)
            yield
        finally:
            torch.set_num_threads(threads)


def _folder(cache) -> Path:
    if not isinstance(cache, str | Path):
        raise ValueError(f"cache must be a folder, not {checks.shown(cache)}")
    return Path(cache)


def _check_defense(model, steps: tuple, images: int, batch_size: int) -> None:
    """ValueError where a defense cannot be applied to every batch of a training."""
    if drawing := _has(steps, "draw"):
        raise ValueError(f"{drawing[0]} draws images of a client, and a training draws its own "
                         "batches: for batches of one label give same_label=")
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    if _has(steps, "per_example") and norms:
        raise ValueError("with BatchNorm no image has a gradient of its own: take another norm")
    for size in filter(None, (min(batch_size, images), images % batch_size)):
        for step in _has(steps, "keys"):  # too few images to mix in the last batch is found here
            size = len(step.keys(size, run.generator("size of an encoding"))[0])


def _check_fit(model, images, loss=None, soft: bool = False) -> None:
    """ValueError unless the model maps the set's images to logits for all its classes, and `loss`
    maps those to one number. soft: targets are rows of as many probabilities as classes."""
    if not isinstance(images, ImageSet):
        raise ValueError(f"images must be an ImageSet (data.load), not {type(images).__name__}")
    if not isinstance(model, nn.Module) or isinstance(model, Ensemble):
        raise ValueError(f"model must be one nn.Module, not {type(model).__name__}: the victims of "
                         "an ensemble are trained one by one (Ensemble.unstack)")
    like, training = next(model.parameters(), None), {m: m.training for m in model.modules()}
    if like is None:
        raise ValueError("the model has no parameters")
    try:
        with torch.no_grad():
            logits = model.eval()(torch.zeros(2, *images.shape, device=like.device))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"images of shape {images.shape} do not fit the model: "
                         f"{checks.shown(str(error), 200)}") from error
    finally:
        for module, mode in training.items():
            module.training = mode
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        raise ValueError("the model must return logits of shape (batch, classes)")
    outputs, classes = logits.shape[1], images.num_classes
    if outputs < classes or (outputs != classes and (soft or loss is not None)):
        raise ValueError(f"the model has {outputs} outputs, but {images.name} has {classes} "
                         "classes")
    if loss is not None:
        value = loss(logits, torch.eye(classes, device=logits.device)[[0, 0]])
        if not isinstance(value, Tensor) or value.ndim:
            raise ValueError("loss(logits, targets) must return one number, a tensor of shape ()")


def _dealt(labels: Tensor, same_label: int, rng: torch.Generator) -> Tensor:
    """An epoch's order of the images: shuffled, where each group of `same_label` has one label."""
    order = torch.randperm(len(labels), generator=rng)
    if same_label == 1:
        return order
    of_class = [order[labels[order] == c] for c in labels.unique()]
    groups = torch.cat([rows[: len(rows) // same_label * same_label].view(-1, same_label)
                        for rows in of_class])
    return groups[torch.randperm(len(groups), generator=rng)].flatten()


def weights_file(folder: Path, model: nn.Module, images, settings: list) -> Path:
    """Where weights trained from `model` as it is now, on `images`, with `settings` are kept."""
    digest = hashlib.sha256(json.dumps([str(model), images.name, settings]).encode())
    for t in (*model.state_dict().values(), images.images, images.labels, images.mean, images.std):
        digest.update(t.detach().cpu().contiguous().numpy().tobytes())
    return folder / f"{digest.hexdigest()[:16]}.pt"


def load_weights(model: nn.Module, file: Path, device: torch.device) -> None:
    """Put the weights of a file that `save_weights` wrote into the model; ValueError naming it."""
    try:
        model.load_state_dict(torch.load(file, weights_only=True, map_location=device))
    except Exception as error:  # a damaged file fails in many ways
        reason = checks.shown(str(error) or type(error).__name__, 120)
        raise ValueError(f"{file} is damaged, delete it: {reason}") from error


def save_weights(model: nn.Module, file: Path) -> None:
    """Write a model's weights so that no half of a file is ever found."""
    with files.atomic(file) as whole:
        torch.save(model.state_dict(), whole)


def _of_each(model, named, x, target, criterion) -> dict[str, Tensor]:
    """The gradient of every image by itself: name -> (B, ...)."""
    state = {n: t.detach() for n, t in (*model.named_parameters(), *model.named_buffers())}

    def value(params, v, t) -> Tensor:
        return criterion(call(model, state | params, v[None]), t[None])

    with sdpa_kernel(SDPBackend.MATH):
        return vmap(grad(value), in_dims=(None, 0, 0), chunk_size=32, randomness="different")(
            {n: p.detach() for n, p in named.items()}, x, target)


def _normalised(x: Tensor, images, normalise: bool) -> Tensor:
    if not normalise:
        return x
    mean, std = (t.to(x).reshape(-1, 1, 1) for t in (images.mean, images.std))
    return (x - mean) / std


def _moved(x: Tensor, rng: torch.Generator) -> Tensor:
    """Each image of x (N, C, H, W) cropped at random from its padded self, half mirrored."""
    (N, C, H, W), pad = x.shape, x.shape[-1] // 8
    down, right = torch.randint(2 * pad + 1, (2, N, 1), generator=rng)
    mirror = torch.rand(N, 1, generator=rng) < 0.5
    across = torch.where(mirror, torch.arange(W).flip(0), torch.arange(W)) + right
    rows, across = ((torch.arange(H) + down).to(x.device), across.to(x.device))  # (N, H), (N, W)
    padded = nn.functional.pad(x, (pad,) * 4)
    images, channels = (torch.arange(n, device=x.device) for n in (N, C))
    return padded[images[:, None, None, None], channels[None, :, None, None],
                  rows[:, None, :, None], across[:, None, None, :]]


def accuracy(model, images, normalise=False) -> float:
    """Share of an `ImageSet` that the model, in eval mode, classifies right."""
    checks.flag("normalise", normalise)
    _check_fit(model, images)
    device, right = next(model.parameters()).device, 0
    training = {m: m.training for m in model.modules()}
    model.eval()
    with torch.no_grad():
        for x, y in zip(images.images.split(1000), images.labels.split(1000), strict=True):
            fed = _normalised(x.to(device).float() / 255, images, normalise)
            right += int((model(fed).argmax(-1).cpu() == y).sum())
    for module, mode in training.items():
        module.training = mode
    return right / len(images)
