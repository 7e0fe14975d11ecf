"""Is the prepared copy still the same network? It is run beside the original on two random images,
and differentiated twice in batches as an attack does it.
"""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from . import layers
from .copies import original, prepared
from .ensembles import call, copied, label, logits
from .twice import first_line, naming, refusal

TOLERANCE = 1e-4  # of the largest entry: more than float32 loses on the way through a network


def probe(model: nn.Module, shape: tuple) -> Tensor:
    """Two random images (2, C, H, W) in [0, 1], with a generator of their own."""
    like = next(p for p in model.parameters() if p.is_floating_point())
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(like)


# --- the original --------------------------------------------------------------------------------

def of_original(model: nn.Module, mode: str, still: tuple, x: Tensor) -> tuple:
    """((outputs, gradients), what the model returned) of the original on x."""
    network = original(model, mode, still)
    returned = _run(network, x)
    output = logits(returned)
    if not output.requires_grad:
        raise ValueError("the model's output does not depend on its trainable parameters in a way "
                         "that can be differentiated: it has no gradient")
    if not torch.isfinite(output).all():
        raise ValueError("the model's output is not finite on random images: check its weights")
    try:
        return _measured(output, list(network.parameters())), returned
    except RuntimeError as error:
        raise refusal([], error) from error


def _run(model: nn.Module, x: Tensor) -> object:
    """What the original returns for x, Dropout off; ValueError where it does not run."""
    entered = []
    with layers.Rewritten(layers.DROPOUT), naming(model, entered):
        try:
            return model(x)
        except Exception as error:
            where = f"{label(*entered[-1])}: " if entered and entered[-1][0] else ""
            raise ValueError(
                f"images of shape {tuple(x.shape[1:])} do not fit the model; shape is (channels, "
                f"height, width): {where}{first_line(error)}") from error


def random_layers(model: nn.Module, mode: str, x: Tensor) -> tuple[str, ...]:
    """Names of the layers that draw random numbers and can be put into eval mode instead."""
    still = ()
    for _ in range(2):
        drawing = _drawing(original(model, mode, still), x)
        stays = [n for n in drawing if n in still or not n or mode == "eval"
                 or any(True for _ in model.get_submodule(n).parameters())]
        if stays:
            m = model.get_submodule(stays[0])
            raise ValueError(f"{label(stays[0], m)} is random in {mode} mode: an attack needs the "
                             "same output twice; switch its randomness off")
        if not drawing:
            break
        still += tuple(drawing)
    return still


def _drawing(model: nn.Module, x: Tensor) -> list[str]:
    """Names of the innermost modules of a copy that move torch's random state."""
    before, inside, names = [], [set()], []

    def enter(m, given) -> None:
        before.append(random_state(x))
        inside.append(set())

    def leave(m, given, output, name) -> None:
        moved, within = not torch.equal(before.pop(), random_state(x)), inside.pop()
        if moved and not within and name not in names:
            names.append(name)
        if moved:
            inside[-1].add(name)

    for name, m in model.named_modules():
        m.register_forward_pre_hook(enter)
        m.register_forward_hook(lambda m, given, output, name=name: leave(m, given, output, name))
    with torch.no_grad():
        _run(model, x)
    return names


def random_state(x: Tensor) -> Tensor:
    states = [torch.get_rng_state()]
    if x.is_cuda:
        states.append(torch.cuda.get_rng_state(x.device))
    return torch.cat(states)


# --- the copy ------------------------------------------------------------------------------------

def of_prepared(model: nn.Module, mode: str, inplace: bool, still: tuple, x: Tensor) \
        -> tuple[Tensor, list[Tensor]]:
    """(outputs, gradients) of the prepared copy on x. ValueError that names the layer in the way.
    """
    network, entered = prepared(model, mode, inplace, still), []
    state = dict(network.named_parameters()) | dict(network.named_buffers())
    with naming(network, entered):
        try:
            output = call(network, state, x)
        except Exception as error:
            raise refusal(entered, error) from error
    if not agree((output.detach(), []), (_outputs(network, x)[""].detach(), [])):
        where = _first_difference(network, _outputs(network, x), _outputs(network, x))
        raise ValueError(f"{where} gives another output each time that it is called, and an attack "
                         "needs the same twice: it must not draw numbers, count, or write to a "
                         "buffer; assign a new tensor instead, or leave that to the train mode")
    return _measured(output, list(network.parameters()))


def _measured(output: Tensor, parameters: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """(outputs, gradients of a random linear function of them)."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    trained = [p for p in parameters if p.requires_grad]
    gradients = torch.autograd.grad((output * weights).sum(), trained, allow_unused=True)
    pairs = zip(trained, gradients, strict=True)
    return output.detach(), [torch.zeros_like(p) if g is None else g for p, g in pairs]


def _outputs(prepared: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The outputs of all modules of a prepared model that return tensors, in the order in which
    they end; the model's own logits under ""."""
    with _keeping(prepared) as outputs, torch.no_grad():
        state = dict(prepared.named_parameters()) | dict(prepared.named_buffers())
        outputs[""] = call(prepared, state, x)
    return outputs


@contextlib.contextmanager
def _keeping(model: nn.Module) -> Iterator[dict]:
    """While the context lasts, what each module returns first is kept by its name."""
    outputs, hooks = {}, []

    def keep(name, output) -> None:  # returns nothing, or it would exchange the output
        outputs.setdefault(name, output)

    for name, m in model.named_modules():
        hooks.append(m.register_forward_hook(
            lambda m, given, output, name=name: keep(name, output)))
    try:
        yield outputs
    finally:
        for hook in hooks:
            hook.remove()


# --- beside each other ---------------------------------------------------------------------------

def agree(truth, mine) -> bool:
    """Whether outputs and gradients are equal, up to `TOLERANCE` of the largest entry."""
    if truth[0].shape != mine[0].shape or len(truth[1]) != len(mine[1]):
        return False
    for a, b in (([truth[0]], [mine[0]]), (truth[1], mine[1])):
        off = [float((t - u).abs().max()) for t, u in zip(a, b, strict=True) if t.numel()]
        largest = max((float(t.abs().max()) for t in a if t.numel()), default=0.0)
        if not all(difference <= TOLERANCE * largest for difference in off):  # NaN is no match
            return False
    return True


def agree_in_float64(model, mode, inplace, still, x) -> bool:
    """`agree` where float32 alone could be the reason (kinks, statistics of nearly equal pixels).

    A model that only runs in float32 does not agree."""
    double = copied(model).double()
    try:
        truth, _ = of_original(double, mode, still, x.double())
        return agree(truth, of_prepared(double, mode, inplace, still, x.double()))
    except (ValueError, RuntimeError):
        return False


def difference(model: nn.Module, mode: str, still: tuple, x: Tensor) -> str:
    """Which layer's output is the first that differs between original and copy, in a sentence."""
    network = original(model, mode, still)
    with _keeping(network) as truth, torch.no_grad():
        _run(network, x)
    where = _first_difference(network, truth, _outputs(prepared(model, mode, False, still), x))
    return (f"the model cannot be attacked, because its copy is another network in {mode} mode: "
            f"the first difference is in {where}. Write that layer with plain operations, without "
            "writing to its buffers or its input, and without random numbers of its own")


def _first_difference(model: nn.Module, first: dict, second: dict) -> str:
    """The label of the first module whose kept outputs differ."""
    for name, a in first.items():
        b = second.get(name)
        tensors = isinstance(a, Tensor) and isinstance(b, Tensor)
        if tensors and not agree((a, []), (b, [])):
            return label(name, model.get_submodule(name))
    return "its backward pass"


def about_output(returned) -> list[str]:
    """Notes on what a model returns beside its logits."""
    if isinstance(returned, Tensor):
        return []
    kind = type(returned).__name__
    if isinstance(returned, tuple | list) and not hasattr(returned, "logits"):
        others = len(returned) - 1
        return [f"the model returns a {kind}: its first entry is taken as the logits"
                + (f", the other {others} are not part of the loss" if others else "")]
    return [f"the model returns a {kind}: its logits are used, nothing else of it is part of the "
            "loss"]
