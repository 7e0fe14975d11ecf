"""Soteria: a defense that looks at what the network makes of the client's images."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from . import checks

AT_ONCE = 128  # features whose derivatives are taken together


@dataclass(frozen=True)
class Soteria:
    """Sets the gradient of a dense layer's weights to zero for the share `p` of its inputs that
    tell least (Sun et al. 2021, "Provable Defense against Privacy Leakage ... from Representation
    Perspective").

    Of a layer's inputs r, the features of an image x, those with the smallest |dr_i/dx| / (|r_i| +
    0.1) are left out, summed over the images of the batch: the floor(p F) smallest of F. The order
    and the 0.1 are the official code's (which has r_i + 0.1, of features that are not negative);
    its attack script prunes the columns of the last dense layer. layer: the name of another one.

    It breaks easily: the other layers' gradients are sent as they are, so an attacker leaves this
    one out (Balunovic et al. 2022)."""

    p: float
    layer: str | None = None

    def __post_init__(self) -> None:
        checks.number("p, a share,", self.p, 0, 1)
        if self.layer is not None and not (isinstance(self.layer, str) and self.layer):
            raise ValueError(f"layer is the name of a dense layer, or None, not {self.layer!r}")

    def with_model(self, grads: dict[str, Tensor], model: nn.Module, images: Tensor) \
            -> dict[str, Tensor]:
        """The update of images (B, ...), as the model is fed them, without those columns.

        ValueError where the model has no dense layer of that name, or none at all."""
        name = dense_layer(model, self.layer)
        weight = f"{name}.weight"
        if weight not in grads:
            raise ValueError(f"Soteria prunes {weight}, which the update does not hold")
        score = deviation(model, name, images)
        smallest = score.topk(int(self.p * len(score)), largest=False).indices
        return grads | {weight: grads[weight].index_fill(1, smallest, 0)}


def dense_layer(model: nn.Module, name: str | None = None) -> str:
    """The name of the last dense layer, or `name` where it is one; ValueError where there is none.
    """
    dense = [known for known, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not dense:
        raise ValueError("Soteria prunes the gradient of a dense layer, and the model has none")
    if name is not None and name not in dense:
        raise ValueError(f"the model has no dense layer {name!r}: it has {', '.join(dense)}")
    return dense[-1] if name is None else name


def deviation(model: nn.Module, name: str, images: Tensor) -> Tensor:
    """(F,): of each input feature r_i of a dense layer |dr_i/dx| / (|r_i| + 0.1), summed over the
    images x (B, ...): how much an image may change before the feature does."""
    features = _inputs_of(model, name)
    total = 0.0
    for x in images.split(1):
        x = x.detach().requires_grad_()
        with torch.enable_grad():
            r = features(x)[0]  # (F,)
        if r.dim() != 1:
            raise ValueError(f"the inputs of {name} must be features (B, F), not tokens")
        lengths = [_lengths(r, x, rows) for rows in torch.eye(len(r)).to(r).split(AT_ONCE)]
        total = total + torch.cat(lengths) / (r.detach().abs() + 0.1)
    return total


def _lengths(r: Tensor, x: Tensor, rows: Tensor) -> Tensor:
    """|d(row . r)/dx| for each of some rows (n, F)."""
    each, = torch.autograd.grad(r, x, rows, retain_graph=True, is_grads_batched=True)
    return each.flatten(1).norm(dim=1)


def _inputs_of(model: nn.Module, name: str) -> Callable[[Tensor], Tensor]:
    """The function from images to what enters a layer."""
    def features(x: Tensor) -> Tensor:
        taken = []
        hook = model.get_submodule(name).register_forward_pre_hook(
            lambda module, given: taken.append(given[0]))
        try:
            model(x)
        finally:
            hook.remove()
        return taken[0]

    return features
