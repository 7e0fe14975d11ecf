"""PRECODE: a network whose last features pass a random bottleneck, as a client's defense.

Scheliga, Mäder and Seeland 2022: the features before the head are encoded as mean and log-variance
of a normal distribution, a sample of it is decoded, and the head reads that. The sample is the
client's secret; the gradients at and behind the bottleneck depend on it most.
"""

import torch
from torch import Tensor, nn

from . import checks, run
from .ensembles import Ensemble, copied
from .soteria import dense_layer


class Bottleneck(nn.Module):
    """z = mu + exp(log_var / 2) e of features (B, F), decoded to (B, F). The draws e (n, width) are
    a buffer, so that an update can be computed again; a batch has at most n images, and image i is
    given draw i. ValueError, in a forward pass, for a larger batch."""

    def __init__(self, features: int, width: int, draws: int) -> None:
        super().__init__()
        self.encoder = nn.Linear(features, 2 * width)
        self.decoder = nn.Linear(width, features)
        self.register_buffer("sample", torch.randn(draws, width))

    def forward(self, x: Tensor) -> Tensor:
        if len(x) > len(self.sample):
            raise ValueError(f"a bottleneck with {len(self.sample)} draws was given a batch of "
                             f"{len(x)}: precode(model, draws={len(x)})")
        mean, log_variance = self.encoder(x).chunk(2, -1)
        z = mean + (log_variance / 2).exp() * self.sample[:len(x)]
        return self.decoder(z)


def precode(model: nn.Module, width: int = 256, draws: int = 2, seed: int = 0) -> nn.Module:
    """A copy of a model with a `Bottleneck` of `width` before its last dense layer, fresh, with
    PyTorch's own initialisation, drawn under the seed; so are the client's `draws`, one an image.

    A client shares gradients of it with draws of its own (`redrawn`). The paper adds a divergence
    of the encoding from N(0, I) to the loss, with a small weight; here it is left out, so that any
    loss of `client.Protocol` is meant. Train it, if at all, with this in mind: nothing then keeps
    the variance up. ValueError for a model without a dense layer, or with a bottleneck already."""
    for name, value in (("width", width), ("draws", draws)):
        checks.whole(name, value)
    if any(isinstance(module, Bottleneck) for module in model.modules()):
        raise ValueError("the model has a bottleneck already")
    name, extended = dense_layer(model), copied(model)
    head = extended.get_submodule(name)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        bottleneck = Bottleneck(head.in_features, width, max(draws, 2))
    parent = extended.get_submodule(name.rpartition(".")[0])
    setattr(parent, name.rpartition(".")[2], nn.Sequential(bottleneck.to(head.weight), head))
    return extended.train(model.training)


def redrawn(model: nn.Module, seed: int) -> nn.Module:
    """A copy of a model, or an ensemble, with other draws in its bottlenecks: a client's before it
    shares, or an attacker's, who does not know those of the client.

    ValueError for a model without a bottleneck."""
    checks.whole("seed", seed, 0)
    other = copied(model)
    bottlenecks = [module for module in other.modules() if isinstance(module, Bottleneck)]
    if not bottlenecks:
        raise ValueError("the model has no bottleneck: see precode.precode")
    for number, bottleneck in enumerate(bottlenecks):
        rng = run.generator("precode", seed, number)
        old = bottleneck.sample
        bottleneck.sample = torch.randn(old.shape, generator=rng).to(old)
    return other


def stochastic(model: nn.Module) -> tuple[str, ...]:
    """How the names of the parameters begin whose gradients are at or behind a bottleneck, in the
    order of the model: what an attacker leaves out of the comparison (Scheliga et al. 2022,
    "Combining Variational Modeling with Partial Gradient Perturbation").

    ValueError for a model without a bottleneck."""
    base = model.base if isinstance(model, Ensemble) else model
    names = [name for name, module in base.named_modules() if isinstance(module, Bottleneck)]
    if not names:
        raise ValueError("the model has no bottleneck: see precode.precode")
    return tuple(name.rpartition(".")[0] + "." for name in names)
