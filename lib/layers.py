"""Torch's layers where vmap or a second derivative fails, in operations that have both.

`Rewritten` is entered around every call of a prepared module: what a module or a user's own forward
asks of `torch.nn.functional` is computed by the functions of `REWRITTEN`. No module is exchanged
for it, so parameters keep their names, and a functional call is treated as the module is.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations
from torch.nn.utils.spectral_norm import SpectralNorm as SpectralNormHook
from torch.nn.utils.weight_norm import WeightNorm as WeightNormHook
from torch.overrides import TorchFunctionMode

# --- BatchNorm -----------------------------------------------------------------------------------


def affine_batch_norm(x: Tensor, mean: Tensor, var: Tensor, weight: Tensor | None,
                      bias: Tensor | None, eps: float) -> Tensor:
    """BatchNorm in eval mode is an affine map of its stored statistics; x (B, C, ...)."""
    scale = torch.rsqrt(var + eps)
    scale = scale if weight is None else scale * weight
    shift = -mean * scale
    shift = shift if bias is None else shift + bias
    axes = (1, -1) + (1,) * (x.dim() - 2)
    return x * scale.reshape(axes) + shift.reshape(axes)


def batch_statistics(x: Tensor, weight: Tensor | None, bias: Tensor | None, eps: float) -> Tensor:
    """BatchNorm in train mode: the batch's own mean and (biased) variance; x (B, C, ...)."""
    dims = [d for d in range(x.dim()) if d != 1]
    mean = x.mean(dims, keepdim=True)
    centred = x - mean
    out = centred * torch.rsqrt((centred * centred).mean(dims, keepdim=True) + eps)
    axes = (1, -1) + (1,) * (x.dim() - 2)
    out = out if weight is None else out * weight.reshape(axes)
    return out if bias is None else out + bias.reshape(axes)


class AffineBatchNorm(nn.Module):
    """torch's BatchNorm, or our `BatchStatistics`, in eval mode."""

    def __init__(self, bn: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = bn.weight, bn.bias, bn.eps
        self.momentum = bn.momentum  # unread here: what buffers in a message prove hangs on it
        self.register_buffer("running_mean", bn.running_mean)
        self.register_buffer("running_var", bn.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return affine_batch_norm(x, self.running_mean, self.running_var, self.weight, self.bias,
                                 self.eps)


class BatchStatistics(nn.Module):
    """torch's BatchNorm, or our `AffineBatchNorm`, in train mode; buffers stay unread."""

    def __init__(self, bn: nn.Module) -> None:
        super().__init__()
        self.weight, self.bias, self.eps = bn.weight, bn.bias, bn.eps
        self.momentum = bn.momentum  # unread here: what buffers in a message prove hangs on it
        self.register_buffer("running_mean", bn.running_mean)  # for `batching.moments`
        self.register_buffer("running_var", bn.running_var)

    def forward(self, x: Tensor) -> Tensor:
        return batch_statistics(x, self.weight, self.bias, self.eps)


def batch_norm(input, running_mean, running_var, weight=None, bias=None, training=False,
               momentum=0.1, eps=1e-5) -> Tensor:
    """`F.batch_norm`, which never writes its buffers."""
    if training:
        return batch_statistics(input, weight, bias, eps)
    return affine_batch_norm(input, running_mean, running_var, weight, bias, eps)


def instance_norm(input, running_mean=None, running_var=None, weight=None, bias=None,
                  use_input_stats=True, momentum=0.1, eps=1e-5) -> Tensor:
    """`F.instance_norm`, which never writes its buffers."""
    if use_input_stats:
        return F.instance_norm(input, weight=weight, bias=bias, eps=eps)
    return affine_batch_norm(input, running_mean, running_var, weight, bias, eps)


# --- activations ---------------------------------------------------------------------------------

def hardsigmoid(input, inplace=False) -> Tensor:
    """min(max(x + 3, 0), 6) / 6, with torch's own derivative 0 at both corners."""
    inside = (input > -3) & (input < 3)
    return torch.where(inside, (input + 3) / 6, (input >= 3).to(input))


def rrelu(input, lower=1.0 / 8, upper=1.0 / 3, training=False, inplace=False) -> Tensor:
    """`F.rrelu` in eval mode: the mean of its slopes. In train mode its slopes are random."""
    if training:
        raise ValueError("RReLU draws its slopes at random in train mode: put it into eval mode")
    return F.leaky_relu(input, (lower + upper) / 2)


def without_dropout(input, *args, **kwargs) -> Tensor:
    """Dropout is switched off in both modes: the assumptions card says so."""
    return input


def attention(*args, **kwargs) -> Tensor:
    """`F.scaled_dot_product_attention` (query, key, value, mask, dropout_p, ...), Dropout off."""
    if len(args) > 4:
        args = (*args[:4], 0.0, *args[5:])
    else:
        kwargs = kwargs | {"dropout_p": 0.0}
    return F.scaled_dot_product_attention(*args, **kwargs)


# --- recurrent layers ----------------------------------------------------------------------------

def gru_cell(input, hidden, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
    """One step of a GRU, by the equations of `nn.GRUCell`: the next hidden state (B, width)."""
    reset_in, update_in, new_in = F.linear(input, w_ih, b_ih).chunk(3, -1)
    reset_own, update_own, new_own = F.linear(hidden, w_hh, b_hh).chunk(3, -1)
    update = (update_in + update_own).sigmoid()
    new = (new_in + (reset_in + reset_own).sigmoid() * new_own).tanh()
    return new + update * (hidden - new)


def _plain_cell(activation: Callable) -> Callable:
    def cell(input, hidden, w_ih, w_hh, b_ih=None, b_hh=None) -> Tensor:
        return activation(F.linear(input, w_ih, b_ih) + F.linear(hidden, w_hh, b_hh))
    return cell


rnn_tanh_cell, rnn_relu_cell = _plain_cell(torch.tanh), _plain_cell(torch.relu)


def lstm_cell(input, state, w_ih, w_hh, b_ih=None, b_hh=None, w_hr=None) -> tuple[Tensor, Tensor]:
    """One step of an LSTM, by the equations of `nn.LSTMCell`: the next (hidden, cell) states."""
    hidden, cell = state
    gates = F.linear(input, w_ih, b_ih) + F.linear(hidden, w_hh, b_hh)
    enter, forget, new, leave = gates.chunk(4, -1)
    cell = forget.sigmoid() * cell + enter.sigmoid() * new.tanh()
    hidden = leave.sigmoid() * cell.tanh()
    return hidden if w_hr is None else F.linear(hidden, w_hr), cell


def _lstm_step(input, state, weights, has_biases) -> tuple:
    if has_biases or len(weights) == 2:
        return lstm_cell(input, state, *weights)
    w_ih, w_hh, w_hr = weights  # projected, without biases
    return lstm_cell(input, state, w_ih, w_hh, w_hr=w_hr)


def _step_of(cell: Callable) -> Callable:
    def step(input, state, weights, has_biases) -> tuple:
        return (cell(input, state[0], *weights),)
    return step


def _recurrent(next_state: Callable) -> Callable:
    """What `torch.gru`, `torch.lstm` and `torch.rnn_tanh` compute of padded sequences, step by
    step, Dropout between the layers off: (outputs, last states (layers * ways, B, width) each)."""
    def layers(input, hx, weights, has_biases, num_layers, dropout, train, bidirectional,
               batch_first=None) -> tuple:
        if batch_first is None:  # (data, batch sizes, hx, ...)
            raise ValueError("packed sequences are not supported: give the layer padded ones")
        x = input.transpose(0, 1) if batch_first else input  # (steps, B, features)
        ways, first = (2 if bidirectional else 1), (hx,) if isinstance(hx, Tensor) else hx
        held = len(weights) // (num_layers * ways)
        last = []
        for layer in range(num_layers):
            sides = []
            for way in range(ways):
                at = layer * ways + way
                state, of_layer = tuple(h[at] for h in first), weights[at * held: (at + 1) * held]
                steps, outputs = x.unbind(0), []
                for step in steps[::-1] if way else steps:
                    state = next_state(step, state, of_layer, has_biases)
                    outputs.append(state[0])
                last.append(state)
                sides.append(torch.stack(outputs[::-1] if way else outputs))
            x = torch.cat(sides, -1)
        ends = (torch.stack(states) for states in zip(*last, strict=True))
        return x.transpose(0, 1) if batch_first else x, *ends
    return layers


# --- modules for others ---------------------------------------------------------------------------

class AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """BatchNorm of inputs of any number of axes: `nn.SyncBatchNorm` in one process."""

    def _check_input_dim(self, input) -> None:
        pass


class Inside(nn.Module):
    """A module that was wrapped within a model, under the name that its wrapper gives it."""

    def __init__(self, name: str, module: nn.Module) -> None:
        super().__init__()
        self.name = name
        self.add_module(name, module)

    def forward(self, *args, **kwargs) -> object:
        return self.get_submodule(self.name)(*args, **kwargs)


# --- weights made of others ----------------------------------------------------------------------

def weight_norm(v: Tensor, g: Tensor, dim: int = 0) -> Tensor:
    """`torch._weight_norm`: g v / |v|, the norm over all axes but `dim` (-1: over all)."""
    dims = [d for d in range(v.dim()) if dim == -1 or d != dim % v.dim()]
    norm = v.square().sum(dims, keepdim=dim != -1).sqrt()
    return v * (g / norm)


def _power_iteration(matrix: Tensor, u: Tensor, v: Tensor, steps: int, eps: float,
                     u_first: bool) -> tuple[Tensor, Tensor]:
    """u and v after `steps` power iterations, not written; as in torch, no gradient goes through
    them."""
    fixed = matrix.detach()
    for _ in range(steps):
        if u_first:
            u = F.normalize(torch.mv(fixed, v), dim=0, eps=eps)
        v = F.normalize(torch.mv(fixed.t(), u), dim=0, eps=eps)
        if not u_first:
            u = F.normalize(torch.mv(fixed, v), dim=0, eps=eps)
    return u, v


class SpectralNorm(parametrizations._SpectralNorm):
    """`torch.nn.utils.parametrizations.spectral_norm`, which never writes its buffers."""

    def forward(self, weight: Tensor) -> Tensor:
        if weight.ndim == 1:
            return super().forward(weight)
        matrix = self._reshape_weight_to_matrix(weight)
        steps = self.n_power_iterations if self.training else 0
        u, v = _power_iteration(matrix, self._u, self._v, steps, self.eps, u_first=True)
        return weight / torch.dot(u, torch.mv(matrix, v))


class Recomputed:
    """The forward pre-hook of torch's older `weight_norm` or `spectral_norm`, without writing.

    The weight that it computes is taken away after the call by `forget`, a forward hook: a tensor
    of vmap must not stay in a module."""

    def __init__(self, hook) -> None:
        self.hook = hook

    def __call__(self, module: nn.Module, inputs) -> None:
        hook, name = self.hook, self.hook.name
        if isinstance(hook, WeightNormHook):
            value = hook.compute_weight(module)
        else:
            weight = getattr(module, f"{name}_orig")
            u, v = getattr(module, f"{name}_u"), getattr(module, f"{name}_v")
            matrix = hook.reshape_weight_to_matrix(weight)
            steps = hook.n_power_iterations if module.training else 0
            u, v = _power_iteration(matrix, u, v, steps, hook.eps, u_first=False)
            value = weight / torch.dot(u, torch.mv(matrix, v))
        setattr(module, name, value)

    def forget(self, module: nn.Module, inputs, output) -> None:
        module.__dict__.pop(self.hook.name, None)


# --- what is rewritten, and what cannot be -------------------------------------------------------

REWRITTEN = {
    F.batch_norm: batch_norm, F.instance_norm: instance_norm,
    F.hardsigmoid: hardsigmoid, F.rrelu: rrelu, F.rrelu_: rrelu, torch.rrelu: rrelu,
    torch.rrelu_: rrelu,
    torch.gru: _recurrent(_step_of(gru_cell)), torch.gru_cell: gru_cell,
    torch.lstm: _recurrent(_lstm_step), torch.lstm_cell: lstm_cell,
    torch.rnn_tanh: _recurrent(_step_of(rnn_tanh_cell)), torch.rnn_tanh_cell: rnn_tanh_cell,
    torch.rnn_relu: _recurrent(_step_of(rnn_relu_cell)), torch.rnn_relu_cell: rnn_relu_cell,
    torch._weight_norm: weight_norm,
}

DROPOUT = dict.fromkeys((
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
    torch.dropout, torch.alpha_dropout, torch.feature_dropout, torch.feature_alpha_dropout,
), without_dropout) | {F.scaled_dot_product_attention: attention}

INSTEAD = {  # layer that cannot be attacked -> what to write instead
    nn.FractionalMaxPool2d: "its regions are random: write nn.AdaptiveMaxPool2d",
    nn.FractionalMaxPool3d: "its regions are random: write nn.AdaptiveMaxPool3d",
    nn.CrossMapLRN2d: "write nn.LocalResponseNorm, which computes the same",
    nn.EmbeddingBag: "write nn.Embedding and a sum or a mean",
}

REASONS = {  # part of torch's message -> what to write instead, whatever the layer
    "randomness error mode": "it draws random numbers: switch that off",
    "data-dependent control flow": "it branches on values: write torch.where",
    "get value out of a tracing": "it reads the value of a tensor: compute with the tensor, or "
                                  "write torch.where",
    ".item()": "it reads the value of a tensor: compute with the tensor, or write torch.where",
    "_NoopSaveInputs": "switch gradient checkpointing off",
    "use_reentrant": "switch gradient checkpointing off",
    "autograd.Function": "write it with plain operations instead of an autograd.Function",
    "vmap staticmethod": "write it with plain operations instead of an autograd.Function",
    "tracing a dynamo": "do not compile parts of the model",
    "trace a dynamo": "do not compile parts of the model",
    "data pointer": "it leaves torch for numpy: write it with torch's operations",
    "would mutate a captured Tensor": "it writes to a buffer: assign a new tensor instead, or "
                                      "describe the client in eval mode",
    "inplace": "it writes in place: write the same operation out of place",
    "is not implemented": "write the layer with plain operations (exp, where, clamp, matmul)",
    "do not yet support": "write the layer with plain operations (exp, where, clamp, matmul)",
    "numpy": "it leaves torch for numpy: write it with torch's operations",
}

OLD_HOOKS = (WeightNormHook, SpectralNormHook)


class Rewritten(TorchFunctionMode):
    """While entered, the functions of `table` are computed by ours. `watch` is called with (x,
    running mean, running variance) of every call of `F.batch_norm`."""

    def __init__(self, table: dict | None = None, watch: Callable | None = None) -> None:
        super().__init__()
        self.table, self.watch = REWRITTEN | DROPOUT if table is None else table, watch

    def __torch_function__(self, function, types, args=(), kwargs=None) -> object:
        kwargs = kwargs or {}
        if function is F.batch_norm and self.watch is not None:
            self.watch(*args[:3])
        return self.table.get(function, function)(*args, **kwargs)
