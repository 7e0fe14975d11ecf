"""Models of a dishonest server, made so that the gradient of a large batch holds single images.

All of them are sent in place of the honest model. What they do is read off by a division.
"""

import copy
from statistics import NormalDist

import torch
from torch import Tensor, nn

from .. import checks
from ..run import generator
from .span import layer


class Imprint(nn.Module):
    """A model behind an imprint module: what `imprint` makes."""

    def __init__(self, body: nn.Module, pixels: int, bins: int) -> None:
        super().__init__()
        self.bins, self.back = nn.Linear(pixels, bins), nn.Linear(bins, pixels)
        self.active, self.body = nn.ReLU(), body

    def forward(self, x: Tensor) -> Tensor:
        added = self.back(self.active(self.bins(x.flatten(1))))
        return self.body(x + added.view_as(x))


def imprint(model: nn.Module, shape: tuple, bins: int, mean: float, std: float,
            gain: float = 1e-3) -> Imprint:
    """The model with an imprint module before it (Fowl et al. 2022, "Robbing the Fed").

    All rows of its first layer measure one number, the brightness h (the mean pixel), and each
    starts to answer at another cut c_1 < ... < c_bins. Its second layer sends every answer on in
    the same way, so that row j of the gradient is the sum over all images with h > c_j, and two
    neighbouring rows differ by the images between their cuts: `imprinted`. The cuts are quantiles
    of a normal distribution with this mean and standard deviation of h, which the server knows of
    its kind of image. gain: how much the module adds to the image (times the answers).
    shape (C, H, W). ValueError for values that are none, or a model that is no module."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, not {type(model).__name__}")
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"shape is (channels, height, width) of one image, not {shape!r}")
    pixels = torch.Size([checks.whole("each size in shape", n) for n in shape]).numel()
    bins = checks.whole("bins", bins)
    checks.number("gain", gain, 0, exclude=(0,))
    spread = NormalDist(checks.number("mean", mean), checks.number("std", std, 0, exclude=(0,)))
    like = next(model.parameters())
    made = Imprint(copy.deepcopy(model), pixels, bins).to(like)
    cuts = [spread.inv_cdf(j / (bins + 1)) for j in range(1, bins + 1)]
    with torch.no_grad():
        made.bins.weight.fill_(1 / pixels)
        made.bins.bias.copy_(-torch.tensor(cuts, dtype=torch.float64).to(like))
        made.back.weight.fill_(gain)
        made.back.bias.zero_()
    return made.eval()


def imprinted(weight_gradient: Tensor, bias_gradient: Tensor, least: float = 1e-6) -> Tensor:
    """What each bin holds (bins, in), from the gradient of `Imprint.bins`: NaN for an empty one.

    (dl/dW_j - dl/dW_j+1) / (dl/db_j - dl/db_j+1), and the last row as it is. Exact for a bin with
    one image, a weighted mean for one with several. A bin is empty where the difference of the
    biases is below `least` times the largest entry of dl/db: it is rounding then. ValueError for
    shapes that do not fit."""
    G, db = layer(weight_gradient, bias_gradient)
    checks.number("least", least, 0, 1)
    above = torch.cat([G[1:], torch.zeros_like(G[:1])])
    scale = db - torch.cat([db[1:], torch.zeros_like(db[:1])])
    empty = scale.abs() <= least * db.abs().max()
    return (G - above) / torch.where(empty, torch.nan, scale)[:, None]


def expected_alone(bins: int, batch_size: int) -> float:
    """The share of a batch that `imprinted` gives back, if the cuts are true quantiles.

    An image comes back if it is above the lowest cut, and none of the others is in its bin:
    bins / (bins + 1) * (1 - 1 / (bins + 1))^(B - 1). Ours, by elementary counting."""
    bins, B = checks.whole("bins", bins), checks.whole("batch_size", batch_size)
    return bins / (bins + 1) * (1 - 1 / (bins + 1)) ** (B - 1)


def rows_divided(weight_gradient: Tensor, bias_gradient: Tensor, least: float = 1e-6) -> Tensor:
    """Every row of a dense layer's gradient over its entry of dl/db (out, in): an image where one
    image alone activates the neuron (Boenisch et al. 2021). NaN for a neuron at rest: |dl/db_i| at
    most `least` of the largest. ValueError for shapes that do not fit."""
    G, db = layer(weight_gradient, bias_gradient)
    checks.number("least", least, 0, 1)
    rest = db.abs() <= least * db.abs().max()
    return G / torch.where(rest, torch.nan, db)[:, None]


def trap_weights(model: nn.Module, reference: Tensor, share: float, seed: int = 0) -> nn.Module:
    """A copy whose first dense layer is hard to activate (Boenisch et al. 2021, trap weights).

    In each row a random half of the weights is negative, the other positive and a little smaller,
    so that few images activate a neuron, and many neurons are activated by one image alone. How
    much smaller is found by bisection, so that a neuron is active for `share` of the public images
    `reference` (N, C, H, W): the smaller, the more neurons see one image of a batch, and the more
    see none. The bias of the layer becomes 0.
    ValueError where the first layer with weights is not dense on the whole image, for reference
    images that do not fit, or a share outside (0, 0.5)."""
    checks.number("share", share, 0, 0.5, exclude=(0, 0.5))
    out = copy.deepcopy(model) if isinstance(model, nn.Module) else model
    first = first_dense(out)
    if not isinstance(reference, Tensor) or reference.dim() != 4 or not len(reference) \
            or reference[0].numel() != first.in_features:
        raise ValueError(f"reference must be images (N, C, H, W) of {first.in_features} pixels")
    x, rng = reference.flatten(1).to(first.weight), generator("trap", seed)
    size = torch.randn(first.weight.shape, generator=rng).abs().to(x) / first.in_features**0.5
    negative = torch.rand(first.weight.shape, generator=rng).argsort(1) < first.in_features // 2
    negative = negative.to(x.device)
    low, high = 0.0, 1.0  # of the positive weights
    for _ in range(30):
        middle = (low + high) / 2
        weight = torch.where(negative, -size, middle * size)
        active = (x @ weight.mT > 0).double().mean().item()
        low, high = (low, middle) if active > share else (middle, high)
    with torch.no_grad():
        first.weight.copy_(torch.where(negative, -size, high * size))
        first.bias.zero_()
    return out


def fish_class(model: nn.Module, label: int, bias: float = 40.0) -> nn.Module:
    """A copy that learns from images of one class alone, below its last dense layer.

    The rows of all other classes become zero, with a bias of 0, and the bias of `label` becomes
    -bias. So nothing is taken for `label`: p_label is about exp(-bias). An image of another class
    sends W_label p_label = 0 down to the layers below, one of `label` sends -W_label. The gradient
    below is that of the images of this class alone, however large the batch (the aim of class
    fishing, Wen et al. 2022; the construction is ours). Beside it: `models.permute_classes`.
    ValueError for a model without a dense layer, or a label that it has not."""
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be an nn.Module, not {type(model).__name__}")
    out = copy.deepcopy(model)
    dense = [m for m in out.modules() if isinstance(m, nn.Linear)]
    if not dense or dense[-1].bias is None:
        raise ValueError("the last dense layer of model must have a bias")
    label = checks.whole("label", label, 0, dense[-1].out_features - 1)
    checks.number("bias", bias, 0, exclude=(0,))
    with torch.no_grad():
        row = dense[-1].weight[label].clone()
        dense[-1].weight.zero_()
        dense[-1].bias.zero_()
        dense[-1].weight[label], dense[-1].bias[label] = row, -bias
    return out


def first_dense(model: nn.Module) -> nn.Linear:
    """The first layer with weights, where it is dense with a bias; else ValueError."""
    layers = [m for m in model.modules() if [*m.parameters(recurse=False)]] \
        if isinstance(model, nn.Module) else []
    if not layers or not isinstance(layers[0], nn.Linear) or layers[0].bias is None:
        raise ValueError("model must have a dense layer with a bias as its first one with weights")
    return layers[0]
