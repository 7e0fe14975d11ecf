"""Can a prepared model be differentiated twice in batches? If not, which layer is in the way."""

import contextlib
import math
from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import layers
from .ensembles import Ensemble, architecture, call, label, logits


def try_batched(model: nn.Module, shape: tuple) -> None:
    """ValueError naming the layer, where a prepared model cannot be attacked in batches: one
    gradient of a gradient is taken as an attack does it. The forward pass is traced too: what a
    trace refuses beyond vmap (a branch on a weight's value, a foreign compiler) stands in it, and
    tracing the whole step would take ten times as long."""
    base, stacked = architecture(model)
    p0 = {n: p.detach()[0] if stacked else p.detach() for n, p in base.named_parameters()}
    b0 = {n: b[0] if stacked else b for n, b in base.named_buffers()}
    x = torch.linspace(0, 1, 4 * math.prod(shape)).view(2, 2, *shape).to(next(iter(p0.values())))

    def loss(p, v, b) -> Tensor:
        return call(base, p | b, v).square().mean()

    def distance(v) -> Tensor:  # a gradient of a gradient, as every attack needs
        return sum(t.square().sum() for t in grad(loss)(p0, v, b0).values())

    entered = []
    with naming(base, entered), sdpa_kernel(SDPBackend.MATH), unannotated():
        try:
            vmap(grad(distance))(x)
            make_fx(vmap(loss, in_dims=(None, 0, None)))(p0, x, b0)
        except Exception as error:
            if not entered:
                entered = _culprit(model, x[0])
            raise refusal(entered, error) from error


def _culprit(model: nn.Module, x: Tensor) -> list:
    """[(name, module)] of the innermost module that alone fails to be differentiated twice in
    batches, where the error came in the backward pass and no module was running; [] for none."""
    base, calls = model.member(0) if isinstance(model, Ensemble) else model, []
    hooks = [m.register_forward_hook(
        lambda m, given, output, name=name: calls.append((name, m, given)))
        for name, m in base.named_modules()]
    try:
        call(base, dict(base.named_parameters()) | dict(base.named_buffers()), x)
    finally:
        for hook in hooks:
            hook.remove()
    for name, m, given in calls:  # a module comes after those inside it
        if all(isinstance(t, Tensor) for t in given) and not _twice(m, given):
            return [(name, m)]
    return []


def _twice(m: nn.Module, given: tuple[Tensor, ...]) -> bool:
    """Whether m of these inputs can be differentiated twice in batches."""
    weights = {n: p.detach() for n, p in m.named_parameters()}
    moves = [t.is_floating_point() for t in given]

    def squares(tensors) -> Tensor:
        return sum(t.square().sum() for t in tensors)

    def output(p, *floats) -> Tensor:
        left = iter(floats)
        values = [next(left) if moving else t for t, moving in zip(given, moves, strict=True)]
        returned = functional_call(m, p, tuple(values))
        return squares([returned if isinstance(returned, Tensor) else logits(returned)])

    def distance(p, *floats) -> Tensor:
        g = grad(output, argnums=tuple(range(1 + sum(moves))))(p, *floats)
        return squares([*g[0].values(), *g[1:]])

    floats = [t.detach()[None] for t, moving in zip(given, moves, strict=True) if moving]
    try:
        with layers.Rewritten():
            vmap(grad(distance, argnums=tuple(range(1 + len(floats)))),
                 in_dims=(None, *(0 for _ in floats)), randomness="same")(weights, *floats)
    except Exception:
        return False
    return True


def refusal(entered: list, error: Exception) -> ValueError:
    """The error that names the layer that was running, and says what to write instead."""
    where = label(*entered[-1]) if entered else "its backward pass"
    instead = instead_of(entered[-1][1]) if entered else None
    if instead is None:
        instead = next((what for sign, what in layers.REASONS.items() if sign in str(error)), None)
    return ValueError(f"the model cannot be attacked in batches, because of {where}: "
                      f"{first_line(error)}{f': {instead}' if instead else ''}")


def instead_of(m: nn.Module) -> str | None:
    """What to write instead of the layer, or None where it has no entry in `layers.INSTEAD`."""
    return next((layers.INSTEAD[kind] for kind in type(m).__mro__ if kind in layers.INSTEAD), None)


def first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= 200 else line[:200] + " ..."


@contextlib.contextmanager
def naming(model: nn.Module, entered: list) -> Iterator[None]:
    """While the context lasts, `entered` holds (name, module) of the calls that have not ended."""
    hooks = []
    for name, m in model.named_modules():
        hooks.append(m.register_forward_pre_hook(
            lambda m, given, name=name: entered.append((name, m))))
        hooks.append(m.register_forward_hook(lambda m, given, output: entered.pop() and None))
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


@contextlib.contextmanager
def unannotated() -> Iterator[None]:
    """Trace without the fake tensor that make_fx notes down for each node: only the graphs are run,
    and it is three quarters of the time. Not public: a torch without it traces as it did."""
    usual = getattr(proxy_tensor, "set_meta", None)
    try:
        if usual is not None:
            proxy_tensor.set_meta = lambda proxy, value: proxy
        yield
    finally:
        if usual is not None:
            proxy_tensor.set_meta = usual
