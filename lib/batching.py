"""What makes a module batchable: many victims as one module, and a copy of a user's model that vmap
and double backward can run, compared with the original before any work. Floor 1.
"""

import contextlib
import copy
import math
from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, stack_module_state, vmap
from torch.fx.experimental import proxy_tensor
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from lib import checks, layers


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
        if not _alike(members):
            raise ValueError("the members of an ensemble must be a list of modules of the same "
                             "architecture, at least one")
        params, buffers = stack_module_state(members)
        self.size = len(members)
        self.base, first = copied(members[0]), {}
        for name, p in members[0].named_parameters(remove_duplicate=False):
            if id(p) not in first:  # a tied weight has several names
                first[id(p)] = nn.Parameter(params[name].detach(), requires_grad=p.requires_grad)
            _assign(self.base, name, first[id(p)])
        for name, b in buffers.items():
            _assign(self.base, name, b)

    def unstack(self) -> list[nn.Module]:
        """The K victims, each a module of its own, in the order in which they were given."""
        return [self.member(k) for k in range(self.size)]

    def member(self, k: int) -> nn.Module:
        """Victim k as a module of its own."""
        own = {}  # copied instead of the stack
        for stack in (*self.base.parameters(), *self.base.buffers()):
            tensor = stack.detach()[k].clone()
            if isinstance(stack, nn.Parameter):
                tensor = nn.Parameter(tensor, stack.requires_grad)
            own[id(stack)] = tensor
        return copy.deepcopy(self.base, own)

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
    each = [checks.whole("each of seeds", s, 0) for s in seeds]
    if not each:
        raise ValueError("an ensemble needs at least one seed")
    return Ensemble([builder(images, seed=s, **kwargs) for s in each])


def _alike(members) -> bool:
    """True for a list of modules whose layers and tensors are the same but for their values."""
    kind = isinstance(members, list | tuple) and all(isinstance(m, nn.Module) for m in members)
    if not kind:
        return False
    described = {(str(m), *((name, t.shape) for name, t in m.state_dict().items()))
                 for m in members}
    return len(described) == 1


def _assign(module: nn.Module, name: str, value: Tensor) -> None:
    *path, leaf = name.split(".")
    setattr(module.get_submodule(".".join(path)), leaf, value)


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


def architecture(model: nn.Module) -> tuple[nn.Module, bool]:
    """(the module to call functionally, whether its tensors carry a leading client axis)."""
    return (model.base, True) if isinstance(model, Ensemble) else (model, False)


# --- making a module batchable -------------------------------------------------------------------

def prepare(model: nn.Module, mode: str = "eval") -> nn.Module:
    """A copy of `model` that `vmap` and double backward can run; its output is unchanged.

    The copy is in the mode. torch's own BatchNorm becomes the affine map it is (mode "eval") or
    batch statistics without buffers ("train"); Dropout is switched off in both (the assumptions
    card says so). Parameter names stay those of `model`. `ready` also checks that nothing else
    changed."""
    return _prepared(model, mode)


def _prepared(model: nn.Module, mode: str, inplace: bool = False, still: tuple = ()) -> nn.Module:
    """`prepare`; `inplace`: activations may write in place, `still`: names of modules that are in
    eval mode although the others are in train mode."""
    out, made = _in_mode(model, mode, still), {}
    for name, m in list(out.named_modules(remove_duplicate=False)):
        if id(m) not in made:
            made[id(m)] = m, _batchable(m, mode, inplace)  # m is held, so that its id stays its own
        new = made[id(m)][1]
        if new is not m:
            if not name:
                return new
            _assign(out, name, new)
    return out


def _in_mode(model: nn.Module, mode: str, still: tuple = ()) -> nn.Module:
    """A copy of `model` in the mode; modules of the names in `still` stay in eval mode."""
    if mode not in ("eval", "train"):
        raise ValueError(f"unknown mode {mode!r}: 'eval' or 'train'")
    out = copied(model).train(mode == "train")
    for name in still:
        out.get_submodule(name).training = False
    for m in out.modules():  # Dropout inside torch's own functions
        if isinstance(m, nn.MultiheadAttention | nn.RNNBase):
            m.dropout = 0.0
    return out


def copied(model: nn.Module) -> nn.Module:
    """A deep copy, also where a module holds a tensor that it computed, which torch refuses."""
    computed = {}
    for m in model.modules():
        for value in (*m.__dict__.values(), *m._buffers.values()):
            if isinstance(value, Tensor) and not value.is_leaf:
                computed[id(value)] = value.detach().clone()
    return copy.deepcopy(model, computed)


OWN_BATCH_NORM = (nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward)
OWN_DROPOUT = tuple(kind.forward for kind in (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout))


def _runs(m: nn.Module, forwards: tuple) -> bool:
    """Whether calling m runs one of torch's own `forwards` and nothing else: a subclass that
    overrides forward, or a hook, may do anything."""
    patched = "forward" in m.__dict__ or m._forward_hooks or m._forward_pre_hooks
    return type(m).forward in forwards and not patched


def _batchable(m: nn.Module, mode: str, inplace: bool) -> nn.Module:
    if _runs(m, OWN_BATCH_NORM) or isinstance(m, layers.BatchStatistics | layers.AffineBatchNorm):
        own = mode == "train" or m.running_mean is None
        return layers.BatchStatistics(m) if own else layers.AffineBatchNorm(m)
    if isinstance(m, nn.modules.batchnorm._BatchNorm):
        m.num_batches_tracked = None  # a subclass would count in it; `layers` does the rest
    if _runs(m, OWN_DROPOUT):
        return nn.Identity()
    # Attention's fused inference path has no gradient. These two keep it off.
    if _runs(m, (nn.MultiheadAttention.forward,)):
        m.train()
    if isinstance(m, nn.TransformerEncoderLayer):
        m.activation_relu_or_gelu = 0
    if getattr(m, "inplace", None) is True and type(m).__module__.startswith("torch.nn."):
        m.inplace = inplace  # the copy is ours; in-place writes break under vmap
    if type(m) is nn.utils.parametrizations._SpectralNorm:
        m.__class__ = layers.SpectralNorm
    for key, hook in m._forward_pre_hooks.items():
        if type(hook) in layers.OLD_HOOKS:
            m._forward_pre_hooks[key] = layers.Recomputed(hook)
            m.__dict__.pop(hook.name, None)
            m.register_forward_hook(m._forward_pre_hooks[key].forget, always_call=True)
    if isinstance(m, torch._dynamo.OptimizedModule):
        return layers.Inside("_orig_mod", m._orig_mod)
    if isinstance(m, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return layers.Inside("module", m.module)
    return m


def moments(base: nn.Module, state: dict[str, Tensor], x: Tensor) -> list[tuple[Tensor, ...]]:
    """For every BatchNorm of a prepared model, in the order of the calls: its name, mean and biased
    variance (channels,) of its input when the model is fed x (B, C, H, W), and its stored mean and
    variance."""
    seen, named = [], {m: n for n, m in base.named_modules()}
    buffers = {id(t): n.removesuffix(".running_mean") for n, t in state.items()
               if n.endswith("running_mean")}

    def keep(name, given, stored_mean, stored_var):
        dims = [d for d in range(given.dim()) if d != 1]
        mean = given.mean(dims)
        centred = given - mean.reshape((1, -1) + (1,) * (given.dim() - 2))
        variance = (centred * centred).mean(dims)
        seen.append((name, mean, variance, stored_mean, stored_var))

    def of_module(m, given):
        keep(named[m], given[0], m.running_mean, m.running_var)

    def of_call(given, stored_mean=None, stored_var=None):  # by a subclass, or by a user's forward
        keep(buffers.get(id(stored_mean), ""), given, stored_mean, stored_var)

    hooks = [m.register_forward_pre_hook(of_module) for m in base.modules()
             if isinstance(m, layers.AffineBatchNorm | layers.BatchStatistics)]
    try:
        call(base, state, x, of_call)
    finally:
        for hook in hooks:
            hook.remove()
    return seen


# --- a user's model ------------------------------------------------------------------------------

TOLERANCE = 1e-4  # of the largest entry: more than float32 loses on the way through a network

_CHECKED: dict = {}  # structure, mode, shape -> what `_checked` found; never of a user's classes


def unwrap(model: nn.Module) -> tuple[nn.Module, tuple[str, ...]]:
    """The plain module inside DataParallel, DistributedDataParallel, Opacus' GradSampleModule and
    torch.compile, and notes of what was taken off. ValueError for a scripted or traced module."""
    notes = []
    while True:
        if not isinstance(model, nn.Module):
            raise ValueError(f"the model must be a torch.nn.Module, not {type(model).__name__}")
        opacus = type(model).__module__.startswith("opacus.") and hasattr(model, "_module")
        if isinstance(model, torch._dynamo.OptimizedModule):
            inner, name = model._orig_mod, "torch.compile"
        elif isinstance(model, nn.DataParallel | nn.parallel.DistributedDataParallel):
            inner, name = model.module, type(model).__name__
        elif opacus:
            inner, name = _without_opacus(model._module), type(model).__name__
        elif (type(model).__module__.startswith("opacus.")
              and isinstance(getattr(model, "module", None), nn.Module)):
            inner, name = model.module, type(model).__name__  # its DistributedDataParallel
        else:
            break
        notes.append(f"the model was taken out of {name}")
        model = inner
    for name, m in model.named_modules():
        if isinstance(m, torch.jit.ScriptModule | torch.jit.ScriptFunction):
            raise ValueError(f"{_label(name, m)} is a scripted or traced module, which cannot be "
                             "differentiated twice in batches: give the plain module")
    for name, p in model.named_parameters():
        if isinstance(p, nn.parameter.UninitializedParameter):
            raise ValueError(f"parameter {name} has no shape yet (a lazy layer): run the model on "
                             "one batch first")
    return model, tuple(notes)


def _without_opacus(module: nn.Module) -> nn.Module:
    """A copy without the hooks that compute per-example gradients."""
    out = copied(module)
    for m in out.modules():
        for hooks in (m._forward_hooks, m._backward_hooks, m._forward_pre_hooks):
            for key, hook in list(hooks.items()):
                function = getattr(hook, "func", hook)  # of a functools.partial
                if getattr(function, "__module__", "").startswith("opacus."):
                    del hooks[key]
        m.__dict__.pop("autograd_grad_sample_hooks", None)
    return out


def ready(model: nn.Module, mode: str, shape: tuple) -> tuple[nn.Module, tuple[str, ...]]:
    """(a prepared copy that every attack can run, notes of what was done to the model, sentences).

    `model` is taken out of its wrappers; half precision becomes float32; `prepare` copies it. On a
    probe of two random images of `shape` (C, H, W) the copy's outputs and the gradients of its
    parameters are compared with those of the original in the mode, Dropout off, and one gradient
    of a gradient is traced as an attack does it. A layer that is random in train mode runs in eval
    mode where it has no parameters. ValueError that names the layer where anything of this fails.
    The caller's model, its buffers and torch's random state are left alone."""
    plain, notes = unwrap(model)
    _refuse(plain)
    if any(t.is_floating_point() and t.dtype.itemsize < 4 for t in plain.parameters()):
        plain = copied(plain).float()
        notes += ("parameters of less than float32 are computed in float32",)
    key = _structure(plain, mode, tuple(shape))
    if key is None or key not in _CHECKED:
        found = _checked(plain, mode, tuple(shape))
        if key is not None:
            if len(_CHECKED) >= 256:
                _CHECKED.pop(next(iter(_CHECKED)))
            _CHECKED[key] = found
    else:
        found = _CHECKED[key]
    inplace, still, more = found
    return _prepared(plain, mode, inplace, still), notes + more


def _label(name: str, m: nn.Module) -> str:
    return f"{name or 'the model'} ({type(m).__name__})"


def _refuse(model: nn.Module) -> None:
    """ValueError for what cannot be attacked whatever the images."""
    base, _ = architecture(model)
    if not any(p.requires_grad for p in base.parameters()):
        raise ValueError("the model has no parameter that requires a gradient: a client would "
                         "share nothing")
    for name, p in base.named_parameters():
        if p.is_meta:
            raise ValueError(f"parameter {name} is on the meta device and has no values: load the "
                             "model's weights first")
    for name, m in base.named_modules():
        if instead := _instead(m):
            raise ValueError(f"{_label(name, m)} cannot be attacked: {instead}")


def _instead(m: nn.Module) -> str | None:
    """What to write instead of the layer, or None where it has no entry in `layers.INSTEAD`."""
    return next((layers.INSTEAD[kind] for kind in type(m).__mro__ if kind in layers.INSTEAD), None)


def _structure(model: nn.Module, mode: str, shape: tuple) -> tuple | None:
    """What decides how `_checked` ends, where the code of all classes is torch's or lib's; None
    where a class, an attribute or a hook is a user's, who may change it."""
    base, stacked = architecture(model)
    usual = set(nn.Module().__dict__)
    parts: list = [mode, shape, stacked]
    first: dict = {}  # id -> position, so that shared modules and tied tensors count
    for name, m in base.named_modules(remove_duplicate=False):
        hooked = m._forward_hooks or m._forward_pre_hooks or m._backward_hooks
        if hooked or "forward" in m.__dict__ or not of_a_library(type(m)):
            return None
        own = {key: value for key, value in m.__dict__.items() if key not in usual}
        if not all(map(_is_plain, own.values())):
            return None
        parts += [name, first.setdefault(id(m), len(first)), type(m), type(m).forward,
                  *((key, _hashable(value)) for key, value in own.items())]
    for name, t in (*base.named_parameters(remove_duplicate=False),
                    *base.named_buffers(remove_duplicate=False)):
        parts += [name, first.setdefault(id(t), len(first)), tuple(t.shape), t.dtype, t.device,
                  t.requires_grad]
    return tuple(parts)


def of_a_library(value) -> bool:
    """Whether a function or class says that it comes from torch, torchvision or lib."""
    return str(getattr(value, "__module__", "")).split(".")[0] in ("torch", "torchvision", "lib")


def _is_plain(value) -> bool:
    """Whether a value is plain data, or a library's function: equal ones do the same."""
    if isinstance(value, tuple | list):
        return all(map(_is_plain, value))
    return isinstance(value, int | float | str | bool | None) or (
        callable(value) and not isinstance(value, nn.Module | Tensor) and of_a_library(value))


def _hashable(value):
    return tuple(map(_hashable, value)) if isinstance(value, tuple | list) else value


def _checked(model: nn.Module, mode: str, shape: tuple) -> tuple[bool, tuple, tuple[str, ...]]:
    """(whether activations must write in place, modules that stay in eval mode, notes)."""
    one = model.member(0) if isinstance(model, Ensemble) else model
    devices = {p.device for p in one.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices), sdpa_kernel(SDPBackend.MATH):
        x = _probe(one, shape)
        still, before = (), _random_state(x)
        truth, returned = _of_original(one, mode, still, x)
        if not torch.equal(before, _random_state(x)):
            still = _random_layers(one, mode, x)
            truth, returned = _of_original(one, mode, still, x)
        for inplace in (False, True):
            mine = _of_prepared(one, mode, inplace, still, x)
            if _agree(truth, mine) or _agree_in_float64(one, mode, inplace, still, x):
                break
        else:
            raise ValueError(_difference(one, mode, still, x))
        try_batched(_prepared(model, mode, inplace, still), shape)
    notes = _about_output(returned)
    if mode == "train" and any(map(_is_spectral, one.modules())):
        notes.append("spectral_norm: every local step iterates from the vectors that the model "
                     "holds")
    if still:
        names = ", ".join(_label(n, one.get_submodule(n)) for n in still[:4])
        notes.append(f"random layers run in eval mode (an assumption): {names}"
                     + (", ..." if len(still) > 4 else ""))
    return inplace, still, tuple(notes)


def _is_spectral(m: nn.Module) -> bool:
    hooks = m._forward_pre_hooks.values()
    return isinstance(m, nn.utils.parametrizations._SpectralNorm) or any(
        isinstance(getattr(hook, "hook", hook), layers.SpectralNormHook) for hook in hooks)


def _probe(model: nn.Module, shape: tuple) -> Tensor:
    """Two random images (2, C, H, W) in [0, 1], with a generator of their own."""
    like = next(p for p in model.parameters() if p.is_floating_point())
    return torch.rand(2, *shape, generator=torch.Generator().manual_seed(0)).to(like)


def _original(model: nn.Module, mode: str, still: tuple) -> nn.Module:
    """A copy in the mode, of torch's own layers: what the client runs, but for Dropout."""
    out = _in_mode(model, mode, still)
    for m in out.modules():
        if type(m) is nn.SyncBatchNorm:
            m.__class__ = layers.AnyBatchNorm  # with one process they are the same
    return out


def _run(model: nn.Module, x: Tensor):
    """What the original returns for x, Dropout off; ValueError where it does not run."""
    entered = []
    with layers.Rewritten(layers.DROPOUT), _naming(model, entered):
        try:
            return model(x)
        except Exception as error:
            where = f"{_label(*entered[-1])}: " if entered and entered[-1][0] else ""
            raise ValueError(
                f"images of shape {tuple(x.shape[1:])} do not fit the model; shape is (channels, "
                f"height, width): {where}{_first_line(error)}") from error


def _first_line(error: Exception) -> str:
    line = (str(error).strip() or type(error).__name__).splitlines()[0]
    return line if len(line) <= 200 else line[:200] + " ..."


@contextlib.contextmanager
def _naming(model: nn.Module, entered: list):
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


def _random_layers(model: nn.Module, mode: str, x: Tensor) -> tuple[str, ...]:
    """Names of the layers that draw random numbers and can be put into eval mode instead."""
    still = ()
    for _ in range(2):
        drawing = _drawing(_original(model, mode, still), x)
        stays = [n for n in drawing if n in still or not n or mode == "eval"
                 or any(True for _ in model.get_submodule(n).parameters())]
        if stays:
            m = model.get_submodule(stays[0])
            raise ValueError(f"{_label(stays[0], m)} is random in {mode} mode: an attack needs the "
                             "same output twice; switch its randomness off")
        if not drawing:
            break
        still += tuple(drawing)
    return still


def _random_state(x: Tensor) -> Tensor:
    states = [torch.get_rng_state()]
    if x.is_cuda:
        states.append(torch.cuda.get_rng_state(x.device))
    return torch.cat(states)


def _drawing(model: nn.Module, x: Tensor) -> list[str]:
    """Names of the innermost modules of a copy that move torch's random state."""
    before, inside, found = [], [set()], []

    def enter(m, given):
        before.append(_random_state(x))
        inside.append(set())

    def leave(m, given, output, name):
        moved, within = not torch.equal(before.pop(), _random_state(x)), inside.pop()
        if moved and not within and name not in found:
            found.append(name)
        if moved:
            inside[-1].add(name)

    for name, m in model.named_modules():
        m.register_forward_pre_hook(enter)
        m.register_forward_hook(lambda m, given, output, name=name: leave(m, given, output, name))
    with torch.no_grad():
        _run(model, x)
    return found


def _measured(output: Tensor, parameters: list[Tensor]) -> tuple[Tensor, list[Tensor]]:
    """(outputs, gradients of a random linear function of them)."""
    weights = torch.randn(output.shape, generator=torch.Generator().manual_seed(1)).to(output)
    trained = [p for p in parameters if p.requires_grad]
    found = torch.autograd.grad((output * weights).sum(), trained, allow_unused=True)
    pairs = zip(trained, found, strict=True)
    return output.detach(), [torch.zeros_like(p) if g is None else g for p, g in pairs]


def _of_original(model: nn.Module, mode: str, still: tuple, x: Tensor):
    """((outputs, gradients), what the model returned) of the original on x."""
    own = _original(model, mode, still)
    returned = _run(own, x)
    output = logits(returned)
    if not output.requires_grad:
        raise ValueError("the model's output does not depend on its trainable parameters in a way "
                         "that can be differentiated: it has no gradient")
    if not torch.isfinite(output).all():
        raise ValueError("the model's output is not finite on random images: check its weights")
    try:
        return _measured(output, list(own.parameters())), returned
    except RuntimeError as error:
        raise _refusal([], error) from error


def _of_prepared(model: nn.Module, mode: str, inplace: bool, still: tuple, x: Tensor):
    own, entered = _prepared(model, mode, inplace, still), []
    state = dict(own.named_parameters()) | dict(own.named_buffers())
    with _naming(own, entered):
        try:
            output = call(own, state, x)
        except Exception as error:
            raise _refusal(entered, error) from error
    if not _agree((output.detach(), []), (_outputs(own, x)[""].detach(), [])):
        where = _first_difference(own, _outputs(own, x), _outputs(own, x))
        raise ValueError(f"{where} gives another output each time that it is called, and an attack "
                         "needs the same twice: it must not draw numbers, count, or write to a "
                         "buffer; assign a new tensor instead, or leave that to the train mode")
    return _measured(output, list(own.parameters()))


def _outputs(prepared: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The outputs of all modules of a prepared model that return tensors, in the order in which
    they end; the model's own logits under ""."""
    with _keeping(prepared) as kept, torch.no_grad():
        state = dict(prepared.named_parameters()) | dict(prepared.named_buffers())
        kept[""] = call(prepared, state, x)
    return kept


@contextlib.contextmanager
def _keeping(model: nn.Module):
    """While the context lasts, what each module returns first is kept by its name."""
    kept, hooks = {}, []

    def keep(name, output):  # returns nothing, or it would exchange the output
        kept.setdefault(name, output)

    for name, m in model.named_modules():
        hooks.append(m.register_forward_hook(
            lambda m, given, output, name=name: keep(name, output)))
    try:
        yield kept
    finally:
        for hook in hooks:
            hook.remove()


def _first_difference(model: nn.Module, first: dict, second: dict) -> str:
    """The label of the first module whose kept outputs differ."""
    for name, a in first.items():
        b = second.get(name)
        tensors = isinstance(a, Tensor) and isinstance(b, Tensor)
        if tensors and not _agree((a, []), (b, [])):
            return _label(name, model.get_submodule(name))
    return "its backward pass"


def _agree(truth, mine) -> bool:
    """Whether outputs and gradients are equal, up to `TOLERANCE` of the largest entry."""
    if truth[0].shape != mine[0].shape or len(truth[1]) != len(mine[1]):
        return False
    for a, b in (([truth[0]], [mine[0]]), (truth[1], mine[1])):
        off = [float((t - u).abs().max()) for t, u in zip(a, b, strict=True) if t.numel()]
        largest = max((float(t.abs().max()) for t in a if t.numel()), default=0.0)
        if not all(difference <= TOLERANCE * largest for difference in off):  # NaN is no match
            return False
    return True


def _agree_in_float64(model, mode, inplace, still, x) -> bool:
    """`_agree` where float32 alone could be the reason (kinks, statistics of nearly equal pixels).

    A model that only runs in float32 does not agree."""
    double = copied(model).double()
    try:
        truth, _ = _of_original(double, mode, still, x.double())
        return _agree(truth, _of_prepared(double, mode, inplace, still, x.double()))
    except (ValueError, RuntimeError):
        return False


def _difference(model: nn.Module, mode: str, still: tuple, x: Tensor) -> str:
    """Which layer's output is the first that differs between original and copy, in a sentence."""
    own = _original(model, mode, still)
    with _keeping(own) as truth, torch.no_grad():
        _run(own, x)
    where = _first_difference(own, truth, _outputs(_prepared(model, mode, False, still), x))
    return (f"the model cannot be attacked, because its copy is another network in {mode} mode: "
            f"the first difference is in {where}. Write that layer with plain operations, without "
            "writing to its buffers or its input, and without random numbers of its own")


def _about_output(returned) -> list[str]:
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


def try_batched(model: nn.Module, shape: tuple) -> None:
    """ValueError naming the layer, where a prepared model cannot be attacked in batches: one
    gradient of a gradient is taken as an attack does it. The forward pass is traced too: what a
    trace refuses beyond vmap (a branch on a weight's value, a foreign compiler) stands in it, and
    tracing the whole step would take ten times as long."""
    base, stacked = architecture(model)
    p0 = {n: p.detach()[0] if stacked else p.detach() for n, p in base.named_parameters()}
    b0 = {n: b[0] if stacked else b for n, b in base.named_buffers()}
    x = torch.linspace(0, 1, 4 * math.prod(shape)).view(2, 2, *shape).to(next(iter(p0.values())))

    def loss(p, v, b):
        return call(base, p | b, v).square().mean()

    def distance(v):  # a gradient of a gradient, as every attack needs
        return sum(t.square().sum() for t in grad(loss)(p0, v, b0).values())

    entered = []
    with _naming(base, entered), sdpa_kernel(SDPBackend.MATH), unannotated():
        try:
            vmap(grad(distance))(x)
            make_fx(vmap(loss, in_dims=(None, 0, None)))(p0, x, b0)
        except Exception as error:
            if not entered:
                entered = _culprit(model, x[0])
            raise _refusal(entered, error) from error


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
    own = {n: p.detach() for n, p in m.named_parameters()}
    moves = [t.is_floating_point() for t in given]

    def squares(tensors):
        return sum(t.square().sum() for t in tensors)

    def output(p, *floats):
        left = iter(floats)
        values = [next(left) if moving else t for t, moving in zip(given, moves, strict=True)]
        found = functional_call(m, p, tuple(values))
        return squares([found if isinstance(found, Tensor) else logits(found)])

    def distance(p, *floats):
        g = grad(output, argnums=tuple(range(1 + sum(moves))))(p, *floats)
        return squares([*g[0].values(), *g[1:]])

    floats = [t.detach()[None] for t, moving in zip(given, moves, strict=True) if moving]
    try:
        with layers.Rewritten():
            vmap(grad(distance, argnums=tuple(range(1 + len(floats)))),
                 in_dims=(None, *(0 for _ in floats)), randomness="same")(own, *floats)
    except Exception:
        return False
    return True


def _refusal(entered: list, error: Exception) -> ValueError:
    """The error that names the layer that was running, and says what to write instead."""
    where = _label(*entered[-1]) if entered else "its backward pass"
    instead = _instead(entered[-1][1]) if entered else None
    if instead is None:
        instead = next((what for sign, what in layers.REASONS.items() if sign in str(error)), None)
    return ValueError(f"the model cannot be attacked in batches, because of {where}: "
                      f"{_first_line(error)}{f': {instead}' if instead else ''}")


@contextlib.contextmanager
def unannotated():
    """Trace without the fake tensor that make_fx notes down for each node: only the graphs are run,
    and it is three quarters of the time. Not public: a torch without it traces as it did."""
    kept = getattr(proxy_tensor, "set_meta", None)
    try:
        if kept is not None:
            proxy_tensor.set_meta = lambda proxy, value: proxy
        yield
    finally:
        if kept is not None:
            proxy_tensor.set_meta = kept
