"""Victim models: small classifiers of images, their initialisation; making a module batchable.

Floor 1. Models hold no normalisation layer: whether a client normalises its images is a field of
`client.Protocol`. Every builder takes an `ImageSet` (anything with `.shape` (C, H, W) and
`.num_classes`) and a seed; the same seed gives the same weights.
"""

import copy
import hashlib
import json
import math
import os
from collections.abc import Callable
from pathlib import Path

import torch
import torchvision
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel
from torchvision.models.resnet import BasicBlock, Bottleneck

from lib import run

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
INITIALISATIONS = ("uniform", "normal", "default")


def dense(images, hidden=(), activation="sigmoid", init="default", scale=0.5, seed=0) -> nn.Module:
    """Fully connected network on the flattened image; `hidden` () is one dense layer."""
    C, H, W = images.shape
    widths = [C * H * W, *hidden]

    def build():
        layers = [nn.Flatten()]
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(a, b), _activation(activation)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], images.num_classes))

    return seeded(build, seed, init, scale)


def lenet(images, activation="sigmoid", init="uniform", scale=0.5, channels=12, kernel=5,
          strides=True, norm=None, seed=0) -> nn.Module:
    """The LeNet of the official DLG code: 5x5 convolutions of stride 2, 2, 1 and a dense layer.

    init: "uniform" U(-scale, scale) (the code's, scale 0.5), "normal" N(0, scale^2) or "default"
    (PyTorch's own), for every weight and bias. `strides=False` keeps the resolution. norm: one of
    `NORMS` after every convolution (ours)."""
    C, H, W = images.shape
    s = 2 if strides else 1
    h, w = (math.ceil(math.ceil(n / s) / s) for n in (H, W))
    if kernel % 2 == 0:
        raise ValueError(f"kernel is odd, so that padding keeps the size, not {kernel}")

    def build():
        layers = []
        for c, stride in ((C, s), (channels, s), (channels, 1)):
            layers += [nn.Conv2d(c, channels, kernel, stride, kernel // 2)]
            layers += [*([_norm(norm)(channels)] if norm else []), _activation(activation)]
        return nn.Sequential(
            *layers, nn.Flatten(), nn.Linear(channels * h * w, images.num_classes))

    return seeded(build, seed, init, scale)


def convnet(images, width=64, activation="relu", init="default", scale=0.5, seed=0) -> nn.Module:
    """ConvNet of Geiping et al. 2020 (Fig. 11): 8 convolutions with BatchNorm."""
    C, H, W = images.shape
    h, w = ((n // 3) // 3 for n in (H, W))
    if h * w == 0:
        raise ValueError(
            f"convnet pools by 3 twice: images of {H}x{W} are too small (9x9 at least)")

    def build():
        layers, c = [], C
        for i, out in enumerate(width * n for n in (1, 2, 2, 4, 4, 4, 4, 4)):
            layers += [nn.Conv2d(c, out, 3, padding=1), nn.BatchNorm2d(out)]
            layers += [_activation(activation), *([nn.MaxPool2d(3)] if i in (5, 7) else [])]
            c = out
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(c * h * w, images.num_classes))

    return seeded(build, seed, init, scale)


def resnet(images, depth=20, width=16, activation="relu", strides=True, init="default", scale=0.5,
           seed=0) -> nn.Module:
    """CIFAR ResNet of depth 6n + 2 (He et al. 2016, section 4.2) with BatchNorm.

    ResNet20-4 of Inverting Gradients is depth 20, width 64; its ResNet32-10 depth 32, width 160.
    DLG (section 4.1) replaces ReLU by sigmoid and removes strides: `activation="sigmoid",
    strides=False`. init "default" is Kaiming normal, fan out, as in the Inverting Gradients code.
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"resnet depth is 6n + 2 (8, 14, 20, 32, 56, ...), not {depth}")
    n, C = (depth - 2) // 6, images.shape[0]

    def build():
        layers, c = [nn.Conv2d(C, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)], width
        layers.append(_activation(activation))
        for out in [width] * n + [2 * width] * n + [4 * width] * n:
            layers.append(_BasicBlock(c, out, 2 if strides and out > c else 1, activation))
            c = out
        return nn.Sequential(*layers, _SpatialMean(), nn.Linear(c, images.num_classes))

    model = seeded(build, seed, init, scale)
    return _kaiming(model, seed) if init == "default" else model


NORMS = {  # of c channels; group: eight groups, or as many as divide c
    "batch": nn.BatchNorm2d, "layer": lambda c: nn.GroupNorm(1, c),
    "group": lambda c: nn.GroupNorm(math.gcd(8, c), c)}


def _norm(name: str) -> Callable:
    if name not in NORMS:
        raise ValueError(f"unknown norm {name!r}: one of {', '.join(NORMS)}")
    return NORMS[name]


def preact_resnet(images, width=64, norm="batch", blocks=(2, 2, 2, 2), seed=0) -> nn.Module:
    """Pre-activation ResNet-18 (He et al. 2016, "Identity mappings"), as Huang et al. 2021 attack
    it: a 3x3 stem with norm and ReLU, four stages of width x 1, 2, 4, 8, no norm before the dense
    layer, PyTorch's own initialisation.

    norm: "batch", "group" or "layer" (over channels and pixels), which keep no statistics."""
    normalised = _norm(norm)

    def build():
        layers, c = [nn.Conv2d(images.shape[0], width, 3, padding=1, bias=False)], width
        layers += [normalised(c), nn.ReLU()]
        for stage, count in enumerate(blocks):
            for i in range(count):
                out = width * 2**stage
                layers.append(_PreActBlock(c, out, 2 if stage and not i else 1, norm))
                c = out
        return nn.Sequential(*layers, _SpatialMean(), nn.Linear(c, images.num_classes))

    return seeded(build, seed, "default", 0)


class _PreActBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int, norm: str):
        super().__init__()
        self.first = nn.Sequential(NORMS[norm](c_in), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), NORMS[norm](c_out), nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False))
        self.skip = None if stride == 1 and c_in == c_out else \
            nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.first(x)
        return self.body(active) + (x if self.skip is None else self.skip(active))


def vit(images, patch=4, width=64, layers=4, heads=4, seed=0) -> nn.Module:
    """A small vision transformer (Dosovitskiy et al. 2021): a token a patch, learned positions,
    norm first, GELU, mean over the tokens. ValueError where patches do not tile the image."""
    C, H, W = images.shape
    if H % patch or W % patch:
        raise ValueError(f"patches of {patch}x{patch} do not tile images of {H}x{W}")
    tokens = (H // patch) * (W // patch)
    return seeded(lambda: _ViT(C, patch, tokens, width, layers, heads, images.num_classes),
                   seed, "default", 0)


class _ViT(nn.Module):
    def __init__(self, C, patch, tokens, width, layers, heads, classes):
        super().__init__()
        self.patches = nn.Conv2d(C, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT + self.position
        return self.head(self.norm(self.encoder(x)).mean(1))


STAGES = {  # blocks of a stage, and which (He et al. 2016, Table 1)
    18: (BasicBlock, 2, 2, 2, 2), 34: (BasicBlock, 3, 4, 6, 3), 50: (Bottleneck, 3, 4, 6, 3),
    101: (Bottleneck, 3, 4, 23, 3), 152: (Bottleneck, 3, 8, 36, 3)}


def imagenet_resnet(images, depth=18, width=64, stem="cifar", pretrained=False, seed=0) \
        -> nn.Module:
    """ResNet-18, 34, 50, 101 or 152: four stages of `width` x 1, 2, 4, 8 (He et al. 2016, Table 1).

    stem: "cifar" is one 3x3 convolution without pooling, as Inverting Gradients runs them on CIFAR
    (its Figure 4); "imagenet" is torchvision's own network. pretrained: torchvision's ImageNet
    weights (needs the ImageNet stem, width 64 and 1,000 classes), read from `weights/` under the
    data root and never downloaded: FileNotFoundError says what gets them."""
    if depth not in STAGES or stem not in ("cifar", "imagenet"):
        raise ValueError(f"depth is one of {list(STAGES)}, stem 'cifar' or 'imagenet'")
    if (stem == "imagenet" and width != 64) or (pretrained and stem != "imagenet"):
        raise ValueError("torchvision's network has width 64; its weights need stem='imagenet'")
    if stem == "imagenet":
        build = getattr(torchvision.models, f"resnet{depth}")
        model = seeded(lambda: build(num_classes=images.num_classes), seed, "default", 0)
        if pretrained:
            if not (file := pretrained_file(depth)).is_file():
                raise FileNotFoundError(f"no {file}; `make weights` gets it")
            model.load_state_dict(torch.load(file, weights_only=True))
        return model
    block, *counts = STAGES[depth]

    def build():
        layers = [nn.Conv2d(images.shape[0], width, 3, padding=1, bias=False)]
        layers += [nn.BatchNorm2d(width), nn.ReLU()]
        c = width
        for stage, count in enumerate(counts):
            for i in range(count):
                out, stride, skip = width * 2**stage, 2 if stage and not i else 1, None
                if stride > 1 or c != out * block.expansion:
                    skip = nn.Sequential(nn.Conv2d(c, out * block.expansion, 1, stride, bias=False),
                                         nn.BatchNorm2d(out * block.expansion))
                layers.append(block(c, out, stride, skip))
                c = out * block.expansion
        return nn.Sequential(*layers, _SpatialMean(), nn.Linear(c, images.num_classes))

    return _kaiming(seeded(build, seed, "default", 0), seed)


def pretrained_url(depth: int) -> str:
    """Where torchvision's ImageNet weights of a ResNet (IMAGENET1K_V1) are; its name has a hash."""
    return torchvision.models.get_model_weights(f"resnet{depth}").IMAGENET1K_V1.url


def pretrained_file(depth: int) -> Path:
    """Where they lie under the data root once `make weights` has fetched them."""
    return run.current().data_root / "weights" / Path(pretrained_url(depth)).name


def _kaiming(model: nn.Module, seed: int) -> nn.Module:
    """Convolutions redrawn as Inverting Gradients' code does: Kaiming normal, fan out."""
    generator = torch.Generator().manual_seed(seed)
    for m in model.modules():
        if isinstance(m, nn.Conv2d):
            nn.init.kaiming_normal_(m.weight, mode="fan_out", generator=generator)
    return model


class _BasicBlock(nn.Module):
    def __init__(self, c_in: int, c_out: int, stride: int, activation: str):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out),
            _activation(activation),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out))
        self.skip = nn.Identity()
        if stride != 1 or c_in != c_out:
            conv = nn.Conv2d(c_in, c_out, 1, stride, bias=False)
            self.skip = nn.Sequential(conv, nn.BatchNorm2d(c_out))
        self.out = _activation(activation)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.body(x) + self.skip(x))


class _SpatialMean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


def _activation(name: str) -> nn.Module:
    if name not in ACTIVATIONS:
        raise ValueError(f"unknown activation {name!r}: one of {', '.join(ACTIVATIONS)}")
    return ACTIVATIONS[name]()


def seeded(build: Callable[[], nn.Module], seed: int, init="default", scale=0.0) -> nn.Module:
    """Build with PyTorch's own draws under `seed`, then redraw every weight and bias if asked."""
    if init not in INITIALISATIONS:
        raise ValueError(f"unknown init {init!r}: one of {', '.join(INITIALISATIONS)}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        for p in model.parameters():
            if init == "uniform":
                nn.init.uniform_(p, -scale, scale)
            elif init == "normal":
                nn.init.normal_(p, 0, scale)
    return model.eval()


# --- training ------------------------------------------------------------------------------------

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


def permute_classes(model: nn.Module) -> nn.Module:
    """A copy whose last dense layer gives class i the weights of class i - 1.

    The dishonest server of Inverting Gradients (its code's `label_flip`): a trained model is then
    sure of a wrong class, so that every client's gradient is large."""
    out = copy.deepcopy(model)
    last = [m for m in out.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.roll(1, -2))
        if last.bias is not None:
            last.bias.copy_(last.bias.roll(1, -1))
    return out


class Rounds(nn.Module):
    """The same batch in several rounds, as one victim: logits (T, B, classes) of T networks.

    Every loss of `client.LOSSES` is then the mean over the rounds, so the gradient of each round's
    network is 1/T of what the client shares in that round: to attack this module's gradient is to
    attack all rounds at once. Labels must be granted; no rule reads them off several rounds."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        self.rounds = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.rounds])


# --- many victims as one module ------------------------------------------------------------------

class Ensemble(nn.Module):
    """K victims of one architecture as one module: every parameter and buffer has a leading K axis.

    `self.base` is the architecture; its tensors are the stacked ones, so it runs only through
    `functional_call` under `vmap` with one victim's slice. Build one with `ensemble`."""

    def __init__(self, members: list[nn.Module]):
        super().__init__()
        params, buffers = stack_module_state(members)
        self.size = len(members)
        self.base, first = copy.deepcopy(members[0]), {}
        for name, p in members[0].named_parameters(remove_duplicate=False):
            if id(p) not in first:  # a tied weight has several names
                first[id(p)] = nn.Parameter(params[name].detach(), requires_grad=p.requires_grad)
            _assign(self.base, name, first[id(p)])
        for name, b in buffers.items():
            _assign(self.base, name, b)

    def unstack(self) -> list[nn.Module]:
        """The K victims, each a module of its own, in the order in which they were given."""
        stacked, members = (*self.base.parameters(), *self.base.buffers()), []
        for k in range(self.size):
            own = {id(t): t.detach()[k].clone() for t in stacked}  # copied instead of the stack
            own = {i: nn.Parameter(t, stacked[n].requires_grad) if isinstance(
                stacked[n], nn.Parameter) else t for n, (i, t) in enumerate(own.items())}
            members.append(copy.deepcopy(self.base, own))
        return members

    def forward(self, x: Tensor) -> Tensor:  # (K, B, C, H, W) -> (K, B, classes)
        state = dict(self.base.named_parameters()) | dict(self.base.named_buffers())
        return vmap(lambda s, v: call(self.base, s, v))(state, x)


def ensemble(builder: Callable[..., nn.Module], images, seeds, **kwargs) -> Ensemble:
    """One victim a client: `ensemble(models.lenet, images, seeds=range(8), activation="tanh")`."""
    members = [builder(images, seed=int(s), **kwargs) for s in seeds]
    if not members:
        raise ValueError("an ensemble needs at least one seed")
    return Ensemble(members)


def _assign(module: nn.Module, name: str, value: Tensor) -> None:
    *path, leaf = name.split(".")
    setattr(module.get_submodule(".".join(path)), leaf, value)


def call(base: nn.Module, state: dict[str, Tensor], x: Tensor) -> Tensor:
    """`base` on x with the tensors of `state`, tied ones under all their names.

    torch's own tying swaps a module that is reused under two names twice, and restores it wrongly.
    """
    first, tied = {}, {}
    for prefix, m in base.named_modules():
        for leaf, t in (*m._parameters.items(), *m._buffers.items()):
            name = f"{prefix}.{leaf}" if prefix else leaf
            if t is not None and first.setdefault(id(t), name) in state:
                tied[name] = state[first[id(t)]]
    return functional_call(base, tied, (x,), tie_weights=False)


def architecture(model: nn.Module) -> tuple[nn.Module, bool]:
    """(the module to call functionally, whether its tensors carry a leading client axis)."""
    return (model.base, True) if isinstance(model, Ensemble) else (model, False)


# --- making a module batchable -------------------------------------------------------------------

class _AffineBatchNorm(nn.Module):
    """BatchNorm in eval mode is an affine map of its stored statistics."""

    def __init__(self, bn: nn.modules.batchnorm._BatchNorm):
        super().__init__()
        self.weight, self.bias, self.eps = bn.weight, bn.bias, bn.eps
        self.register_buffer("running_mean", bn.running_mean)
        self.register_buffer("running_var", bn.running_var)

    def forward(self, x: Tensor) -> Tensor:
        scale = torch.rsqrt(self.running_var + self.eps)
        scale = scale if self.weight is None else scale * self.weight
        shift = -self.running_mean * scale
        shift = shift if self.bias is None else shift + self.bias
        axes = (1, -1) + (1,) * (x.dim() - 2)
        return x * scale.reshape(axes) + shift.reshape(axes)


class _BatchStatistics(nn.Module):
    """BatchNorm in train mode: the batch's own mean and (biased) variance; buffers stay unread."""

    def __init__(self, bn: nn.modules.batchnorm._BatchNorm):
        super().__init__()
        self.weight, self.bias, self.eps = bn.weight, bn.bias, bn.eps
        self.register_buffer("running_mean", bn.running_mean)  # for `moments`
        self.register_buffer("running_var", bn.running_var)

    def forward(self, x: Tensor) -> Tensor:
        dims = [d for d in range(x.dim()) if d != 1]
        mean = x.mean(dims, keepdim=True)
        centred = x - mean
        out = centred * torch.rsqrt((centred * centred).mean(dims, keepdim=True) + self.eps)
        axes = (1, -1) + (1,) * (x.dim() - 2)
        out = out if self.weight is None else out * self.weight.reshape(axes)
        return out if self.bias is None else out + self.bias.reshape(axes)


def prepare(model: nn.Module, mode: str = "eval") -> nn.Module:
    """A copy of `model` that `vmap` and double backward can run; its output is unchanged.

    BatchNorm becomes the affine map it is (mode "eval") or batch statistics without buffers
    ("train"); Dropout is switched off in both (the assumptions card says so). Parameter names
    stay those of `model`."""
    if mode not in ("eval", "train"):
        raise ValueError(f"unknown mode {mode!r}: 'eval' or 'train'")
    out, made = copy.deepcopy(model).eval(), {}
    for name, m in list(out.named_modules(remove_duplicate=False)):
        new = made.setdefault(id(m), _batchable(m, mode))
        if new is not m:
            if not name:
                return new
            _assign(out, name, new)
    return out


def _batchable(m: nn.Module, mode: str) -> nn.Module:
    if isinstance(m, nn.modules.batchnorm._BatchNorm):
        own = mode == "train" or m.running_mean is None
        return _BatchStatistics(m) if own else _AffineBatchNorm(m)
    if isinstance(m, _BatchStatistics) and mode == "eval" and m.running_mean is not None:
        return _AffineBatchNorm(m)  # prepared for train mode before
    if isinstance(m, nn.modules.dropout._DropoutNd):
        return nn.Identity()
    # Attention's fused inference path has no gradient. These two keep it off.
    if isinstance(m, nn.MultiheadAttention):
        m.dropout = 0.0
        m.train()
    if isinstance(m, nn.TransformerEncoderLayer):
        m.activation_relu_or_gelu = 0
    if isinstance(m, nn.ReLU | nn.SiLU | nn.Hardtanh | nn.ELU | nn.LeakyReLU) and m.inplace:
        m.inplace = False  # the copy is ours; in-place writes break under vmap
    return m


def moments(base: nn.Module, state: dict[str, Tensor], x: Tensor) -> list[tuple[Tensor, ...]]:
    """For every BatchNorm of a prepared model, in the order of the calls: its name, mean and biased
    variance (channels,) of its input when the model is fed x (B, C, H, W), and its stored mean and
    variance."""
    seen, named = [], {m: n for n, m in base.named_modules()}

    def keep(m, given):
        dims = [d for d in range(given[0].dim()) if d != 1]
        mean = given[0].mean(dims)
        centred = given[0] - mean.reshape((1, -1) + (1,) * (given[0].dim() - 2))
        variance = (centred * centred).mean(dims)
        seen.append((named[m], mean, variance, m.running_mean, m.running_var))

    hooks = [m.register_forward_pre_hook(keep) for m in base.modules()
             if isinstance(m, _AffineBatchNorm | _BatchStatistics)]
    try:
        call(base, state, x)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


def try_batched(model: nn.Module, shape: tuple) -> None:
    """ValueError naming the layer, where a prepared model cannot be attacked in batches."""
    base, stacked = architecture(model)
    entered, hooks = [], []
    for name, m in base.named_modules():
        label = f"{name or 'the model'} ({type(m).__name__})"
        hooks.append(m.register_forward_pre_hook(lambda m, a, label=label: entered.append(label)))
        hooks.append(m.register_forward_hook(lambda m, a, o: entered.pop() and None))
    p0 = {n: p.detach()[0] if stacked else p.detach() for n, p in base.named_parameters()}
    b0 = {n: b[0] if stacked else b for n, b in base.named_buffers()}
    x = torch.linspace(0, 1, 4 * math.prod(shape)).view(2, 2, *shape).to(next(iter(p0.values())))

    def distance(v):  # a gradient of a gradient, as every attack needs
        g = grad(lambda p: call(base, p | b0, v).square().mean())(p0)
        return sum(t.square().sum() for t in g.values())

    try:
        with sdpa_kernel(SDPBackend.MATH):
            vmap(grad(distance))(x)
    except Exception as error:
        where = entered[-1] if entered else "its backward pass"
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"the model cannot be attacked in batches, because of {where}: {reason}") from error
    finally:
        for h in hooks:
            h.remove()
