"""One intake for what frameworks send: tensors by name, whatever form they came in.

Every door of `update.SharedUpdate` reads its tensors here: a dict or a list, in the order of
`parameters()` or of `state_dict()`, of tensors or ndarrays, a flat vector, sparse or half-precision
tensors, with the buffers of a whole state_dict, names that a wrapper put a prefix on, or some
layers only. What was converted is noted in plain sentences; what cannot be is one ValueError.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from . import batching

# Parts of a name that wrappers put in: DataParallel, Opacus, torch.compile, FSDP, checkpointing.
WRAPPERS = ("module", "_module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@dataclass(frozen=True)
class Names:
    """What a model's tensors are called, and their shapes; those of one victim in an ensemble."""

    trained: dict[str, tuple[int, ...]]  # in the order of parameters()
    frozen: dict[str, tuple[int, ...]]  # parameters with requires_grad=False
    buffers: dict[str, tuple[int, ...]]
    aliases: dict[str, str]  # a further name of a tied parameter -> its first name
    state: tuple[str, ...]  # all of them in the order of state_dict()

    @property
    def all(self) -> dict[str, tuple[int, ...]]:
        return self.trained | self.frozen | self.buffers


@dataclass(frozen=True)
class Message:
    """What one message held: float tensors by the model's names, each (K, *shape) or of one client
    its own shape, detached copies; and notes on what was converted."""

    trained: dict[str, Tensor]
    frozen: dict[str, Tensor]
    buffers: dict[str, Tensor]
    notes: tuple[str, ...]


def names_of(model: nn.Module) -> Names:
    """The names of a plain module (see `batching.unwrap`), or of an ensemble's architecture."""
    base, stacked = batching.architecture(model)
    skip = int(stacked)
    trained, frozen, first = {}, {}, {}
    aliases = {}
    for name, p in base.named_parameters(remove_duplicate=False):
        if id(p) in first:
            aliases[name] = first[id(p)]
            continue
        first[id(p)] = name
        kind = trained if p.requires_grad else frozen
        kind[name] = tuple(p.shape[skip:])
    buffers = {name: tuple(b.shape[skip:]) for name, b in base.named_buffers()}
    known = trained | frozen | buffers | aliases
    state = tuple(name for name in base.state_dict() if name in known)
    return Names(trained, frozen, buffers, aliases, state)


def read(given, names: Names, what: str) -> Message:
    """The tensors of a message by the names of the model. what: how errors call the message.

    Errors, all ValueError: a count that fits neither order, names that are not the model's, a value
    that is no array of floating point numbers, a shape that is not the model's."""
    notes = []
    values = _renamed(_by_name(given, names, what, notes), names, what, notes)
    tensors = {}
    for name, value in values.items():
        if name not in names.aliases:
            tensors[name] = _tensor(value, name, what, name in names.buffers, notes)
    listed = not hasattr(given, "items")
    for name, tensor in tensors.items():
        _check_shape(tensor, name, names, what, listed)
    parts = [{n: tensors[n] for n in group if n in tensors}
             for group in (names.trained, names.frozen, names.buffers)]
    if not parts[0]:
        raise ValueError(f"{what} holds none of the parameters that the model trains: "
                         f"{_some(names.trained)}")
    return Message(*parts, tuple(dict.fromkeys(notes)))


def _by_name(given, names: Names, what: str, notes: list) -> dict:
    """Names to values: of a mapping as it is, else by position or by cutting a flat vector."""
    if isinstance(given, nn.Module) and what == "update":
        raise ValueError("a module holds weights, not gradients: give {n: p.grad for n, p in "
                         "module.named_parameters()}, or from_weights its states before and after")
    if isinstance(given, nn.Module):
        notes.append(f"{what} is a module: its state_dict was read")
        return dict(batching.unwrap(given)[0].state_dict())
    if hasattr(given, "items"):
        return dict(given.items())
    if isinstance(given, np.ndarray) and given.dtype == object:
        given = list(given)  # arrays of many shapes in one, as numpy.save writes a list of them
    if isinstance(given, Tensor | np.ndarray):
        return _cut(given, names, what, notes)
    if isinstance(given, str | bytes) or not hasattr(given, "__iter__"):
        raise ValueError(f"{what} is a dict of tensors by name, a list of tensors in the model's "
                         f"order, or one flat vector, not {type(given).__name__}")
    values = list(given)
    if values and all(isinstance(v, tuple) and len(v) == 2 and isinstance(v[0], str)
                      for v in values):
        return dict(values)  # as named_parameters() gives them
    if values and all(hasattr(v, "items") for v in values):
        raise ValueError(f"{what} is a list of {len(values)} dicts: of several clients give one "
                         "dict of stacked tensors, {n: torch.stack([m[n] for m in messages])}")
    orders = {"parameters()": [*names.trained], "state_dict()": names.state,
              "all parameters, frozen ones too,": [n for n in names.state
                                                   if n not in names.buffers]}
    for order, known in orders.items():
        if len(values) == len(known):
            if order != "parameters()":
                notes.append(f"{what}: a list, read in the order of {order}")
            return dict(zip(known, values, strict=True))
    raise ValueError(
        f"{what} is a list of {len(values)} tensors; the model trains {len(names.trained)} "
        f"parameters ({_some(names.trained)}) and its state_dict has {len(names.state)} entries")


def _cut(vector, names: Names, what: str, notes: list) -> dict:
    """A flat vector (P,), or (K, P) of K clients, cut into the model's tensors."""
    vector = _tensor(vector, "the flat vector", what, False, notes)
    float_state = [n for n in names.state if not n.endswith("num_batches_tracked")]
    for order in ([*names.trained], names.state, float_state):
        shapes = [names.all.get(n, names.all.get(names.aliases.get(n, n))) for n in order]
        sizes = [torch.Size(shape).numel() for shape in shapes]
        if vector.dim() in (1, 2) and vector.shape[-1] == sum(sizes):
            notes.append(f"{what}: a flat vector, cut in the order of the model's "
                         + ("parameters" if order == [*names.trained] else "state_dict"))
            lead = vector.shape[:-1]
            parts = vector.split(sizes, -1)
            return {n: part.reshape((*lead, *shape))
                    for n, part, shape in zip(order, parts, shapes, strict=True)}
    wanted = sum(torch.Size(shape).numel() for shape in names.trained.values())
    raise ValueError(f"{what} is one tensor of shape {tuple(vector.shape)}, and the model trains "
                     f"{wanted} numbers in {len(names.trained)} tensors: give a flat vector of "
                     "these, or the tensors by name")


def _renamed(values: dict, names: Names, what: str, notes: list) -> dict:
    """The same values under the model's names: what wrappers put before or into them taken off."""
    if odd := [n for n in values if not isinstance(n, str)]:
        raise ValueError(f"{what}: names of tensors are strings, not {odd[0]!r}")
    known = [*names.all, *names.aliases]
    if set(values) <= set(known):
        return values
    plain = {".".join(part for part in n.split(".") if part not in WRAPPERS): n for n in values}
    bare = {".".join(part for part in n.split(".") if part not in WRAPPERS): n for n in known}
    if len(plain) == len(values) and len(bare) == len(known) and set(plain) <= set(bare):
        notes.append(f"{what}: parts of the names that a wrapper added were taken off")
        return {bare[short]: values[n] for short, n in plain.items()}
    prefixes = _prefixes(values, known)
    if len(prefixes) == 1:
        added, prefix = prefixes.pop()
        done = "put before" if added else "taken off"
        notes.append(f"{what}: {prefix!r} was {done} every name")
        cut = 0 if added else len(prefix)
        return {(prefix if added else "") + n[cut:]: value for n, value in values.items()}
    unknown = [n for n in values if n not in known]
    raise ValueError(f"{what} and model disagree about the parameters: unknown: {_some(unknown)}; "
                     f"the model has {_some(known)}")


def _prefixes(values: dict, known: list[str]) -> set[tuple[bool, str]]:
    """Every (put on, prefix) that turns all names of `values` into known ones."""
    first = next(iter(values))
    taken = {(False, first[: -len(n)]) for n in known if first.endswith("." + n)}
    put = {(True, n[: -len(first)]) for n in known if n.endswith("." + first)}
    fits = set()
    for added, prefix in taken | put:
        if added and all(prefix + n in known for n in values):
            fits.add((added, prefix))
        elif not added and all(n.startswith(prefix) and n[len(prefix) :] in known for n in values):
            fits.add((added, prefix))
    return fits


def _tensor(value, name: str, what: str, whole: bool, notes: list) -> Tensor:
    """A detached, dense copy in float32 or float64; whole: whole numbers are allowed (buffers)."""
    if value is None:
        raise ValueError(f"{what}: {name} is None, a parameter without a gradient: leave out of "
                         "the dict what was not sent")
    tensor = _as_tensor(value, name, what)
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
        notes.append(f"{what}: sparse tensors were made dense")
    if tensor.is_quantized:
        tensor = tensor.dequantize()
        notes.append(f"{what}: quantised tensors were dequantised")
    if tensor.device.type == "meta":
        raise ValueError(f"{what}: {name} is on the device meta and holds no numbers")
    if tensor.dtype in (torch.float16, torch.bfloat16):
        notes.append(f"{what}: {str(tensor.dtype).removeprefix('torch.')} is computed in float32")
        return tensor.detach().float()
    if not tensor.is_floating_point() and not whole:
        raise ValueError(f"{what}: {name} holds {tensor.dtype}, and a gradient is of floating "
                         "point numbers: turn codes of a compression back into numbers first")
    if tensor.is_complex():
        raise ValueError(f"{what}: {name} holds complex numbers")
    return tensor.detach().clone()


def _as_tensor(value, name: str, what: str) -> Tensor:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, np.ma.MaskedArray):
        raise ValueError(f"{what}: {name} is a masked array: fill it, array.filled(0)")
    try:
        array = np.asarray(value)
    except Exception as error:  # numpy and foreign arrays fail in many ways
        raise ValueError(f"{what}: {name} is no tensor or array of numbers, but "
                         f"{type(value).__name__}") from error
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{what}: {name} is no tensor or array of numbers, but "
                         f"{type(value).__name__} of {array.dtype}")
    if array.dtype.kind == "f" and array.dtype.itemsize > 8:
        array = array.astype(np.float64)
    return torch.from_numpy(np.array(array, dtype=array.dtype.newbyteorder("=")))


def _check_shape(tensor: Tensor, name: str, names: Names, what: str, listed: bool) -> None:
    shape = names.all[name]
    if shape not in (tuple(tensor.shape), tuple(tensor.shape[1:])):
        hint = ": is it in the order of model.parameters()?" if listed else ""
        raise ValueError(f"{what} of {name} has shape {tuple(tensor.shape)}, the model's parameter "
                         f"{shape}{hint}")


def _some(names) -> str:
    """The first four names, and how many more there are."""
    names = [str(n) for n in names]
    more = f" and {len(names) - 4} more" if len(names) > 4 else ""
    return ", ".join(names[:4]) + more
