"""What makes a module batchable: many victims as one module, and layers that vmap and double
backward can run. Floor 1.
"""

import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib import checks


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
    if not callable(builder) or isinstance(builder, nn.Module):
        raise ValueError(f"builder must be a function, as models.lenet, not {builder!r}")
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError(f"seeds must be whole numbers, one for each victim, not {seeds!r}")
    each = [checks.whole("each of seeds", s, 0) for s in seeds]
    members = [builder(images, seed=s, **kwargs) for s in each]
    if not members:
        raise ValueError("an ensemble needs at least one seed")
    alike = {(str(m), *((n, t.shape) for n, t in m.state_dict().items()))
             if isinstance(m, nn.Module) else None for m in members}
    if len(alike) > 1 or None in alike:
        raise ValueError("the members of an ensemble must be modules of the same architecture")
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
