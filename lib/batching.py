"""The one door for models: out of its wrappers, copied so that it can be batched, and compared with
the original before any work (`ready`).
"""

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from . import descriptions, layers, probes, sealed
from .copies import in_mode, moments, prepare, prepared  # noqa: F401  (public names, kept here)
from .ensembles import (  # noqa: F401
    Ensemble,
    Rounds,
    architecture,
    call,
    copied,
    ensemble,
    label,
    logits,
)
from .twice import instead_of, try_batched

_CHECKED: dict = {}  # structure, mode, shape -> what `_checked` found; never of a user's classes


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
    inplace, still, more = _known(plain, mode, tuple(shape))
    return prepared(plain, mode, inplace, still), notes + more


def _known(model: nn.Module, mode: str, shape: tuple) -> tuple[bool, tuple, tuple[str, ...]]:
    """What `_checked` finds, or found of this structure: in this process, or in another one that
    stored it. A refusal is found anew each time."""
    key = _structure(model, mode, shape)
    if key is None:
        return _checked(model, mode, shape)
    if key not in _CHECKED:
        name = sealed.name_of("check", key)
        found = _stored(name, model)
        if found is None:
            found = _checked(model, mode, shape)
            sealed.write(name, found)
        if len(_CHECKED) >= 256:
            _CHECKED.pop(next(iter(_CHECKED)))
        _CHECKED[key] = found
    return _CHECKED[key]


def _stored(name: str | None, model: nn.Module) -> tuple[bool, tuple, tuple[str, ...]] | None:
    """What `_checked` returned in another process, or None where no whole file says it."""
    holds = sealed.read(name)
    base, _ = architecture(model)
    modules = {name for name, _ in base.named_modules()}
    match holds:
        case [bool(inplace), list(still), list(notes)]:
            if all(isinstance(note, str) for note in notes) \
                    and all(isinstance(layer, str) and layer in modules for layer in still):
                return inplace, tuple(still), tuple(notes)
    return None


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
            raise ValueError(f"{label(name, m)} is a scripted or traced module, which cannot be "
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
        if instead := instead_of(m):
            raise ValueError(f"{label(name, m)} cannot be attacked: {instead}")


def _structure(model: nn.Module, mode: str, shape: tuple) -> tuple | None:
    """What decides how `_checked` ends, where the code of all classes is torch's or lib's; None
    where a class, an attribute or a hook is a user's, who may change it."""
    base, stacked = architecture(model)
    described, stays = descriptions.described_module(base)
    if not stays:
        return None
    place: dict = {}  # id -> position, so that shared modules and tied tensors count
    parts: list = [mode, shape, stacked, described]
    for _, m in base.named_modules(remove_duplicate=False):
        parts.append(place.setdefault(id(m), len(place)))
    for name, t in (*base.named_parameters(remove_duplicate=False),
                    *base.named_buffers(remove_duplicate=False)):
        parts += [name, place.setdefault(id(t), len(place)), tuple(t.shape), t.dtype, t.device,
                  t.requires_grad]
    return tuple(parts)


def _checked(model: nn.Module, mode: str, shape: tuple) -> tuple[bool, tuple, tuple[str, ...]]:
    """(whether activations must write in place, modules that stay in eval mode, notes)."""
    victim = model.member(0) if isinstance(model, Ensemble) else model
    devices = {p.device for p in victim.parameters() if p.device.type == "cuda"}
    with torch.random.fork_rng(devices=devices), sdpa_kernel(SDPBackend.MATH):
        x = probes.probe(victim, shape)
        still, before = (), probes.random_state(x)
        truth, returned = probes.of_original(victim, mode, still, x)
        if not torch.equal(before, probes.random_state(x)):
            still = probes.random_layers(victim, mode, x)
            truth, returned = probes.of_original(victim, mode, still, x)
        for inplace in (False, True):
            mine = probes.of_prepared(victim, mode, inplace, still, x)
            if probes.agree(truth, mine) or \
                    probes.agree_in_float64(victim, mode, inplace, still, x):
                break
        else:
            raise ValueError(probes.difference(victim, mode, still, x))
        try_batched(prepared(model, mode, inplace, still), shape)
    notes = probes.about_output(returned)
    if mode == "train" and any(map(_is_spectral, victim.modules())):
        notes.append("spectral_norm: every local step iterates from the vectors that the model "
                     "holds")
    if still:
        names = ", ".join(label(n, victim.get_submodule(n)) for n in still[:4])
        notes.append(f"random layers run in eval mode (an assumption): {names}"
                     + (", ..." if len(still) > 4 else ""))
    return inplace, still, tuple(notes)


def _is_spectral(m: nn.Module) -> bool:
    hooks = m._forward_pre_hooks.values()
    return isinstance(m, nn.utils.parametrizations._SpectralNorm) or any(
        isinstance(getattr(hook, "hook", hook), layers.SpectralNormHook) for hook in hooks)
