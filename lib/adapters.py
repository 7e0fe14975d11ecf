"""Low-rank adapters: a model whose own weights are frozen, and what is trained beside them."""

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from . import checks, run
from .ensembles import Ensemble, copied


class LowRank(nn.Module):
    """A weight W (out, ...) as W + up @ down, of rank r: up (out, r) begins at 0, so that the model
    computes what it did, and down (r, in) is drawn from N(0, 1 / in)."""

    def __init__(self, weight: Tensor, rank: int, generator: torch.Generator) -> None:
        super().__init__()
        width = weight[0].numel()
        down = torch.randn(rank, width, generator=generator) / width**0.5
        self.up = nn.Parameter(weight.new_zeros(len(weight), rank))
        self.down = nn.Parameter(down.to(weight))

    def forward(self, weight: Tensor) -> Tensor:
        return weight + (self.up @ self.down).view_as(weight)


def low_rank(model: nn.Module, rank: int = 4, seed: int = 0) -> nn.Module:
    """A copy of a model with an adapter beside each weight of two axes or more, of dense layers,
    convolutions and attention, and all else frozen: what a client trains and shares where it fine-
    tunes by LoRA (Hu et al. 2022, without their factor alpha / r). Its outputs are those of
    `model`. Where W has the gradient G, `up` has G down^T and `down` has 0 before the first step.

    The k-th member of an `models.ensemble` is drawn under (seed, k). ValueError for a rank or seed
    that is none, a model that is none, or one without such weights."""
    checks.whole("rank", rank)
    checks.whole("seed", seed, 0)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model is a torch.nn.Module, not {type(model).__name__}")
    if isinstance(model, Ensemble):
        return Ensemble([_adapted(member, rank, seed, k)
                         for k, member in enumerate(model.unstack())])
    return _adapted(model, rank, seed, 0)


def _adapted(model: nn.Module, rank: int, seed: int, number: int) -> nn.Module:
    out = copied(model)
    for parameter in out.parameters():
        parameter.requires_grad_(False)
    generator, places = run.generator("adapters", seed, number), []
    for module in out.modules():
        if parametrize.is_parametrized(module):
            raise ValueError("the model has parametrized weights, or adapters, already")
        if not isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm):
            places += [(module, name) for name, value in module.named_parameters(recurse=False)
                       if value.dim() > 1 and "weight" in name]
    if not places:
        raise ValueError("the model has no weight of two axes: there is nothing to adapt")
    for module, name in places:
        adapter = LowRank(getattr(module, name), rank, generator)
        parametrize.register_parametrization(module, name, adapter)
    return out
