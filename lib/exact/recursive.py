"""One image behind convolutions, layer by layer (R-GAP, Zhu and Blaschko 2021).

From the top down. The dense layer gives its input by a division. Going down one convolution with
weights W, its output z and the gradient d = dl/dz are known, and its input x is not. Both

    W * x = z - b        (one equation for each output)
    dl/dW = d correlated with x        (one for each weight)

are linear in x. Where together they have as many independent equations as x has entries, x is
exact, and so is dl/dx, with which the next convolution is undone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from .. import analytic

INVERSES = {
    nn.Sigmoid: (torch.logit, lambda a: a * (1 - a)),
    nn.Tanh: (torch.atanh, lambda a: 1 - a.square()),
}
EDGE = 1e-12  # how near to its bounds an activation is taken to be at most
SMALLEST = 1e-10  # singular values, over the largest, that count as an equation


@dataclass(frozen=True)
class Recursion:
    """What `recursive` found: the image (C, H, W) in float64; and for each convolution, the first
    first, how many entries its input has (unknowns) and how many independent equations there were
    (ranks). exact: whether no rank fell short. Else the shortest input that fits was taken."""

    image: Tensor
    unknowns: list[int]
    ranks: list[int]

    @property
    def exact(self) -> bool:
        return self.unknowns == self.ranks


def recursive(model: nn.Sequential, gradients: dict[str, Tensor], shape: tuple) -> Recursion:
    """The image behind the gradient of one image. gradients: by the names of the model's
    parameters, each as its parameter; float64 is best, since errors grow with every layer.

    For an nn.Sequential of convolutions with biases and without groups, each followed by a sigmoid
    or tanh, then nn.Flatten and one dense layer with a bias. The label is not needed: the dense
    layer's bias gradient holds it. Without the cases of the paper that we have not built: ReLU,
    shortcuts, layers without bias. ValueError for another model, or gradients that do not fit."""
    _check(model, gradients, shape)
    layers = [*model.named_children()]
    g = {name: value.detach().double().cpu() for name, value in gradients.items()}
    sizes = _input_shapes(model, shape)
    name, dense = layers[-1]
    db = g[f"{name}.bias"]
    a = analytic.dense_input(g[f"{name}.weight"], db)
    delta = dense.weight.detach().double().cpu().mT @ db
    unknowns, ranks = [], []
    for (name, layer), size in reversed([*zip(layers[:-1], sizes[:-1], strict=True)]):
        if type(layer) in INVERSES:
            inverse, slope = INVERSES[type(layer)]
            a = a.clamp(EDGE if type(layer) is nn.Sigmoid else EDGE - 1, 1 - EDGE)
            delta, a = delta * slope(a), inverse(a)
        elif isinstance(layer, nn.Conv2d):
            a, delta, rank = _undo(layer, a, delta, g[f"{name}.weight"], size)
            unknowns.append(size.numel())
            ranks.append(rank)
        a, delta = a.view(size), delta.view(size)
    return Recursion(a, unknowns[::-1], ranks[::-1])


def _undo(conv: nn.Conv2d, z: Tensor, delta: Tensor, weight_gradient: Tensor, size: torch.Size) \
        -> tuple[Tensor, Tensor, int]:
    """Input and dl/d(input) of a convolution, and the rank of the equations that gave it."""
    weight, bias = (t.detach().double().cpu() for t in (conv.weight, conv.bias))
    basis = torch.eye(size.numel(), dtype=torch.float64).view(-1, *size)
    how = {"stride": conv.stride, "padding": conv.padding, "dilation": conv.dilation}
    forward = F.conv2d(basis, weight, **how).flatten(1).mT  # (outputs, unknowns)
    patches = F.unfold(basis, conv.kernel_size, **how)  # (unknowns, weights of a channel, places)
    of_weights = torch.einsum("op,ncp->ocn", delta.flatten(1), patches).flatten(0, 1)
    rows = ((forward, (z - bias[:, None, None]).flatten()), (of_weights, weight_gradient.flatten()))
    scales = [1 / matrix.norm().clamp_min(1e-300) for matrix, _ in rows]
    left = torch.cat([scale * matrix for scale, (matrix, _) in zip(scales, rows, strict=True)])
    right = torch.cat([scale * value for scale, (_, value) in zip(scales, rows, strict=True)])
    solved = torch.linalg.lstsq(left, right[:, None], rcond=SMALLEST, driver="gelsd")
    below = forward.mT @ delta.flatten()
    return solved.solution[:, 0].view(size), below.view(size), int(solved.rank)


def _input_shapes(model: nn.Sequential, shape: tuple) -> list[torch.Size]:
    """What each layer takes, without the batch's axis."""
    shapes, x = [], torch.zeros(1, *shape).to(next(model.parameters()))
    with torch.no_grad():
        for layer in model:
            shapes.append(x.shape[1:])
            x = layer(x)
    return shapes


def _check(model, gradients, shape) -> None:
    layers = [*model] if isinstance(model, nn.Sequential) else []
    head, tail = layers[:-2], [type(layer) for layer in layers[-2:]]
    pairs = [*zip(head[::2], head[1::2], strict=False)]
    fits = head and len(head) % 2 == 0 and tail == [nn.Flatten, nn.Linear] and all(
        type(conv) is nn.Conv2d and conv.groups == 1 and conv.bias is not None
        and not isinstance(conv.padding, str) and conv.padding_mode == "zeros"
        and type(active) in INVERSES for conv, active in pairs)
    if not fits or layers[-1].bias is None:
        raise ValueError("model must be an nn.Sequential of convolutions with biases, each "
                         "followed by a sigmoid or tanh, then nn.Flatten and a dense layer with "
                         "a bias")
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"shape is (channels, height, width) of one image, not {shape!r}")
    given = gradients if isinstance(gradients, dict) else {}
    for name, parameter in model.named_parameters():
        value = given.get(name)
        if not isinstance(value, Tensor) or value.shape != parameter.shape:
            raise ValueError(f"gradients must hold {name} of shape {tuple(parameter.shape)}, of "
                             "one image")
        if not value.isfinite().all():
            raise ValueError(f"the gradient of {name} must be finite")
