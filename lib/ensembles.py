"""Many victims as one module, and calling a module with tensors of one's own."""

import copy
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from . import checks, layers


class Ensemble(nn.Module):
    """K victims of one architecture as one module: every parameter and buffer has a leading K axis.

    `self.base` is the architecture; its tensors are the stacked ones, so it runs only through
    `functional_call` under `vmap` with one victim's slice. Build one with `ensemble`."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        if not _alike(members):
            raise ValueError("the members of an ensemble must be a list of modules of the same "
                             "architecture, at least one")
        params, buffers = stack_module_state(members)
        self.size = len(members)
        self.base, first = copied(members[0]), {}
        for name, p in members[0].named_parameters(remove_duplicate=False):
            if id(p) not in first:  # a tied weight has several names
                first[id(p)] = nn.Parameter(params[name].detach(), requires_grad=p.requires_grad)
            assign(self.base, name, first[id(p)])
        for name, b in buffers.items():
            assign(self.base, name, b)

    def unstack(self) -> list[nn.Module]:
        """The K victims, each a module of its own, in the order in which they were given."""
        return [self.member(k) for k in range(self.size)]

    def member(self, k: int) -> nn.Module:
        """Victim k as a module of its own."""
        unstacked = {}  # copied instead of the stack
        for stack in (*self.base.parameters(), *self.base.buffers()):
            tensor = stack.detach()[k].clone()
            if isinstance(stack, nn.Parameter):
                tensor = nn.Parameter(tensor, stack.requires_grad)
            unstacked[id(stack)] = tensor
        return copy.deepcopy(self.base, unstacked)

    def forward(self, x: Tensor) -> Tensor:  # (K, B, C, H, W) -> (K, B, classes)
        state = dict(self.base.named_parameters()) | dict(self.base.named_buffers())
        return vmap(lambda s, v: call(self.base, s, v))(state, x)


def ensemble(builder: Callable[..., nn.Module], images, seeds, **kwargs) -> Ensemble:
    """One victim a client: `ensemble(models.lenet, images, seeds=range(8), activation="tanh")`."""
    if not callable(builder) or isinstance(builder, nn.Module):
        raise ValueError("builder must be a function, as models.lenet, not "
                         f"{checks.shown(builder)}")
    if isinstance(seeds, str) or not isinstance(seeds, Iterable):
        raise ValueError("seeds must be whole numbers, one for each victim, not "
                         f"{checks.shown(seeds)}")
    numbers = [checks.whole("each of seeds", s, 0) for s in seeds]
    if not numbers:
        raise ValueError("an ensemble needs at least one seed")
    return Ensemble([builder(images, seed=s, **kwargs) for s in numbers])


def _alike(members) -> bool:
    """True for a list of modules whose layers and tensors are the same but for their values."""
    kind = isinstance(members, list | tuple) and all(isinstance(m, nn.Module) for m in members)
    if not kind:
        return False
    described = {(str(m), *((name, t.shape) for name, t in m.state_dict().items()))
                 for m in members}
    return len(described) == 1


class Rounds(nn.Module):
    """The same batch in several rounds, as one victim: logits (T, B, classes) of T networks.

    Every loss of `client.LOSSES` is then the mean over the rounds, so the gradient of each round's
    network is 1/T of what the client shares in that round: to attack this module's gradient is to
    attack all rounds at once. Labels must be granted; no rule reads them off several rounds."""

    def __init__(self, members: list[nn.Module]) -> None:
        super().__init__()
        self.rounds = nn.ModuleList(members)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([member(x) for member in self.rounds])


# --- calling one ---------------------------------------------------------------------------------

def architecture(model: nn.Module) -> tuple[nn.Module, bool]:
    """(the module to call functionally, whether its tensors carry a leading client axis)."""
    return (model.base, True) if isinstance(model, Ensemble) else (model, False)


def call(base: nn.Module, state: dict[str, Tensor], x: Tensor, watch: Callable | None = None) \
        -> Tensor:
    """The logits of `base` on x with the tensors of `state`, tied ones under all their names.

    torch's own tying swaps a module that is reused under two names twice, and restores it wrongly.
    `watch`: see `layers.Rewritten`."""
    first, tied = {}, {}
    for prefix, m in base.named_modules():
        for leaf, t in (*m._parameters.items(), *m._buffers.items()):
            name = f"{prefix}.{leaf}" if prefix else leaf
            if t is not None and first.setdefault(id(t), name) in state:
                tied[name] = state[first[id(t)]]
    with layers.Rewritten(watch=watch):
        return logits(functional_call(base, tied, (x,), tie_weights=False))


def logits(output) -> Tensor:
    """The logits in what a model returns: a tensor, an object or a dict with `.logits` (as Hugging
    Face's), or a tuple or list whose first entry they are. ValueError for anything else."""
    if isinstance(output, dict):
        output = output.get("logits", output)
    elif not isinstance(output, Tensor) and hasattr(output, "logits"):
        output = output.logits
    elif isinstance(output, tuple | list) and output:
        output = output[0]
    if isinstance(output, Tensor):
        return output
    keys = f" with {', '.join(map(str, output))}" if isinstance(output, dict) else ""
    raise ValueError(f"the model returns a {type(output).__name__}{keys}: wrap it in a module that "
                     "returns logits (batch, classes)")


def assign(module: nn.Module, name: str, value: Tensor) -> None:
    *path, leaf = name.split(".")
    setattr(module.get_submodule(".".join(path)), leaf, value)


def copied(model: nn.Module) -> nn.Module:
    """A deep copy, also where a module holds a tensor that it computed, which torch refuses."""
    computed = {}
    for m in model.modules():
        for value in (*m.__dict__.values(), *m._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    return copy.deepcopy(model, computed)


def label(name: str, m: nn.Module) -> str:
    return f"{name or 'the model'} ({type(m).__name__})"
