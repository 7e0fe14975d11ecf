"""A copy of a user's model that `vmap` and double backward can run: `prepare`."""


import torch
from torch import Tensor, nn

from . import layers
from .ensembles import assign, call, copied

OWN_BATCH_NORM = (nn.modules.batchnorm._BatchNorm.forward, nn.SyncBatchNorm.forward)
OWN_DROPOUT = tuple(kind.forward for kind in (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout))


def prepare(model: nn.Module, mode: str = "eval") -> nn.Module:
    """A copy of `model` that `vmap` and double backward can run; its output is unchanged.

    The copy is in the mode. torch's own BatchNorm becomes the affine map it is (mode "eval") or
    batch statistics without buffers ("train"); Dropout is switched off in both (the assumptions
    card says so). Parameter names stay those of `model`. `ready` also checks that nothing else
    changed."""
    return prepared(model, mode)


def prepared(model: nn.Module, mode: str, inplace: bool = False, still: tuple = ()) -> nn.Module:
    """`prepare`; `inplace`: activations may write in place, `still`: names of modules that are in
    eval mode although the others are in train mode."""
    out, exchanged = in_mode(model, mode, still), {}
    for name, m in list(out.named_modules(remove_duplicate=False)):
        if id(m) not in exchanged:
            # m is held, so that its id stays its own
            exchanged[id(m)] = m, _batchable(m, mode, inplace)
        new = exchanged[id(m)][1]
        if new is not m:
            if not name:
                return new
            assign(out, name, new)
    return out


def in_mode(model: nn.Module, mode: str, still: tuple = ()) -> nn.Module:
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


def _batchable(m: nn.Module, mode: str, inplace: bool) -> nn.Module:
    if _runs(m, OWN_BATCH_NORM) or isinstance(m, layers.BatchStatistics | layers.AffineBatchNorm):
        from_the_batch = mode == "train" or m.running_mean is None
        return layers.BatchStatistics(m) if from_the_batch else layers.AffineBatchNorm(m)
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


def _runs(m: nn.Module, forwards: tuple) -> bool:
    """Whether calling m runs one of torch's own `forwards` and nothing else: a subclass that
    overrides forward, or a hook, may do anything."""
    patched = "forward" in m.__dict__ or m._forward_hooks or m._forward_pre_hooks
    return type(m).forward in forwards and not patched


def moments(base: nn.Module, state: dict[str, Tensor], x: Tensor) -> list[tuple[Tensor, ...]]:
    """For every BatchNorm of a prepared model, in the order of the calls: its name, mean and biased
    variance (channels,) of its input when the model is fed x (B, C, H, W), and its stored mean and
    variance."""
    inputs, named = [], {m: n for n, m in base.named_modules()}
    buffers = {id(t): n.removesuffix(".running_mean") for n, t in state.items()
               if n.endswith("running_mean")}

    def keep(name, given, stored_mean, stored_var) -> None:
        dims = [d for d in range(given.dim()) if d != 1]
        mean = given.mean(dims)
        centred = given - mean.reshape((1, -1) + (1,) * (given.dim() - 2))
        variance = (centred * centred).mean(dims)
        inputs.append((name, mean, variance, stored_mean, stored_var))

    def of_module(m, given) -> None:
        keep(named[m], given[0], m.running_mean, m.running_var)

    def of_call(given, stored_mean=None, stored_var=None) -> None:
        # by a subclass, or by a user's forward
        keep(buffers.get(id(stored_mean), ""), given, stored_mean, stored_var)

    hooks = [m.register_forward_pre_hook(of_module) for m in base.modules()
             if isinstance(m, layers.AffineBatchNorm | layers.BatchStatistics)]
    try:
        call(base, state, x, of_call)
    finally:
        for hook in hooks:
            hook.remove()
    return inputs


def original(model: nn.Module, mode: str, still: tuple) -> nn.Module:
    """A copy in the mode, of torch's own layers: what the client runs, but for Dropout."""
    out = in_mode(model, mode, still)
    for m in out.modules():
        if type(m) is nn.SyncBatchNorm:
            m.__class__ = layers.AnyBatchNorm  # with one process they are the same
    return out
