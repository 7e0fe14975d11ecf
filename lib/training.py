"""Training a victim, with or without a defense, and how well it then classifies. Floor 2."""

import hashlib
import json
import math
import os
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib import run
from lib.batching import call


def train(model, images, epochs=10, batch_size=64, lr=0.1, momentum=0.9, seed=0, defense=None,
          weight_decay=0.0, augment=False, normalise=False, watch=None, cache=None, loss=None,
          same_label=1) -> nn.Module:
    """Train `model` in place on an `ImageSet`; returns it in eval mode.

    SGD with Nesterov momentum and one cosine from `lr` to 0, batches reshuffled each epoch from
    `seed`; on CUDA in bfloat16 where autocast allows. augment: random crop after padding by an
    eighth of the side, and mirror image. normalise: feed (x - mean) / std instead of [0, 1].
    defense: one of `lib.defenses` or a tuple of them; each step is then the update of one client
    that holds the step's batch: `encode`, `per_example` (ValueError for a model with BatchNorm,
    where no image has a gradient of its own) and `update` are applied as `client.share` does.
    `watch(epoch, model)` is called before the first epoch and after each, with the model in eval
    mode. loss(logits, targets (B, classes)): None is the cross-entropy. same_label: a batch is that
    of several clients, each with so many images of one label (Eloul et al. 2022); what is left over
    is left out. cache: a folder; the weights are read there, or written, under a name made of the
    initial weights, the images and all settings (not where defense, watch, loss or same_label are
    given). A training that diverges is not an error: what a defense does to it is a result."""
    settings = [epochs, batch_size, lr, momentum, seed, weight_decay, augment, normalise]
    if same_label < 1 or batch_size % same_label:
        raise ValueError(f"batch_size {batch_size} is no multiple of same_label {same_label}")
    steps_of = defense if isinstance(defense, tuple) else () if defense is None else (defense,)
    encoders, singles, updates = ([getattr(d, what) for d in steps_of if hasattr(d, what)]
                                  for what in ("encode", "per_example", "update"))
    if singles and any(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules()):
        raise ValueError("with BatchNorm no image has a gradient of its own: take another norm")
    device = next(model.parameters()).device
    file = None if cache is None or defense or watch or loss or same_label > 1 else weights_file(
        Path(cache), model, images, [*settings, device.type])
    if file is not None and file.is_file():
        model.load_state_dict(torch.load(file, weights_only=True, map_location=device))
        return model.eval()
    x, y = images.images.to(device), images.labels.to(device)
    named = {n: p for n, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(
        named.values(), lr, momentum, weight_decay=weight_decay, nesterov=momentum > 0)
    if same_label > 1:
        kept = sum(int(n) // same_label for n in torch.bincount(y)) * same_label
    steps = epochs * math.ceil((kept if same_label > 1 else len(x)) / batch_size)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    rng = run.generator("train", seed)
    watch, criterion = watch or (lambda epoch, model: None), loss or nn.functional.cross_entropy
    watch(0, model.eval())
    for epoch in run.progress(range(1, epochs + 1), desc="train"):
        model.train()
        for rows in _dealt(y.cpu(), same_label, rng).to(device).split(batch_size):
            fed = (_moved(x[rows], rng) if augment else x[rows]).float() / 255
            target = y[rows] if loss is None and not (encoders or singles) else \
                nn.functional.one_hot(y[rows], images.num_classes).to(fed)
            for encode in encoders:
                fed, target = encode(fed, target, rng)
            fed = _normalised(fed, images, normalise)
            if singles:
                g = _of_each(model, named, fed, target, criterion)
                for per_example in singles:
                    g = per_example(g)
                g = {n: t.mean(0) for n, t in g.items()}
            else:
                with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                    value = criterion(model(fed), target)
                g = dict(zip(named, torch.autograd.grad(value, named.values()), strict=True))
            for update in updates:
                g = update(g, rng)
            for n, t in g.items():
                named[n].grad = t
            optimizer.step()
            schedule.step()
        watch(epoch, model.eval())
    if file is not None:
        save_weights(model, file)
    return model.eval()


def _dealt(labels: Tensor, same_label: int, rng: torch.Generator) -> Tensor:
    """An epoch's order of the images: shuffled, where each group of `same_label` has one label."""
    order = torch.randperm(len(labels), generator=rng)
    if same_label == 1:
        return order
    each = [order[labels[order] == c] for c in labels.unique()]
    groups = torch.cat([o[: len(o) // same_label * same_label].view(-1, same_label) for o in each])
    return groups[torch.randperm(len(groups), generator=rng)].flatten()


def weights_file(folder: Path, model: nn.Module, images, settings: list) -> Path:
    """Where weights trained from `model` as it is now, on `images`, with `settings` are kept."""
    digest = hashlib.sha256(json.dumps([str(model), images.name, settings]).encode())
    for t in (*model.state_dict().values(), images.images, images.labels, images.mean, images.std):
        digest.update(t.detach().cpu().contiguous().numpy().tobytes())
    return folder / f"{digest.hexdigest()[:16]}.pt"


def save_weights(model: nn.Module, file: Path) -> None:
    """Write a model's weights so that no half of a file is ever found."""
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(f".{os.getpid()}")
    torch.save(model.state_dict(), partial)
    os.replace(partial, file)


def _of_each(model, named, x, target, criterion) -> dict[str, Tensor]:
    """The gradient of every image by itself: name -> (B, ...)."""
    state = {n: t.detach() for n, t in (*model.named_parameters(), *model.named_buffers())}

    def value(params, v, t):
        return criterion(call(model, state | params, v[None]), t[None])

    with sdpa_kernel(SDPBackend.MATH):
        return vmap(grad(value), in_dims=(None, 0, 0), chunk_size=32)(
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
    device, right = next(model.parameters()).device, 0
    with torch.no_grad():
        for x, y in zip(images.images.split(1000), images.labels.split(1000), strict=True):
            fed = _normalised(x.to(device).float() / 255, images, normalise)
            right += int((model(fed).argmax(-1).cpu() == y).sum())
    return right / len(images)
