"""What tells a value, a function or a module from others, and whether it stays what it is.

What a user's callable or module reads from outside may have changed since the last call, and
nothing here would notice. What is torch's or lib's own under its own name computes the same.
"""

import operator
import sys
import sysconfig
from functools import cache, partial
from types import BuiltinFunctionType, FunctionType, ModuleType

import torch
from torch import nn

OURS = __name__.partition(".")[0]  # "lib", or the name that it is installed under
LIBRARIES = ("torch", "torchvision", OURS)
# Values of torch's that are told from others by their text, and by nothing else.
_TEXTS = torch.dtype | torch.device | torch.layout | torch.memory_format
_HOOKS = ("_forward_pre_hooks", "_forward_hooks", "_backward_pre_hooks", "_backward_hooks")


def of_a_library(value) -> bool:
    """Whether a function or class says that it comes from torch, torchvision or lib."""
    return str(getattr(value, "__module__", "")).split(".")[0] in LIBRARIES


def described(value) -> tuple[object, bool]:
    """(what tells this value from others, whether it computes the same at every later call).

    The second holds for plain values, for functions and classes that can be imported from torch or
    lib under their own names, and for a `functools.partial` of such. It does not hold for a
    lambda, a closure, or a callable object: what those read may change."""
    if isinstance(value, int | float | str | bool | type(None)):
        return (type(value).__name__, value), True
    if isinstance(value, tuple | list):
        return _all_described(value)
    if type(value) is partial:
        given = (value.func, value.args, tuple(value.keywords), tuple(value.keywords.values()))
        return _all_described(given)
    return _Same(value), _importable(value)


def _all_described(values) -> tuple[tuple, bool]:
    pairs = [described(value) for value in values]
    return tuple(key for key, _ in pairs), all(stays for _, stays in pairs)


def _importable(value) -> bool:
    """Whether this function or class is what its module has under its name."""
    if not isinstance(value, FunctionType | BuiltinFunctionType | type):
        return False
    if not of_a_library(value):
        return False
    there = sys.modules.get(value.__module__)
    for part in value.__qualname__.split("."):
        there = getattr(there, part, None)
    return there is value


def described_module(model: nn.Module) -> tuple[tuple, bool]:
    """`described` of a module: the class and attributes of each submodule, no tensors.

    A module with a hook or with an attribute that is not plain data is not said to stay as it
    is, nor is one of a class that torch, torchvision or lib does not have."""
    ours = set(nn.Module().__dict__) - {"training"}
    keys, stays = [], True
    for name, m in model.named_modules(remove_duplicate=False):
        attributes = [(k, *described(v)) for k, v in sorted(m.__dict__.items()) if k not in ours]
        keys.append((name, type(m), *((k, key) for k, key, _ in attributes)))
        hooked = any(getattr(m, name, None) for name in _HOOKS)
        stays = stays and not hooked and all(plain for *_, plain in attributes) \
            and _importable(type(m)) and of_a_library(type(m).forward)
    return tuple(keys), stays


class _Same:
    """A value to compare by identity, kept alive so that no other one takes its place."""

    def __init__(self, value) -> None:
        self.value = value

    def __hash__(self) -> int:
        return id(self.value)

    def __eq__(self, other) -> bool:
        return isinstance(other, _Same) and self.value is other.value


# --- for another process -------------------------------------------------------------------------

def stable_text(key) -> str | None:
    """A key of this module, nested in tuples with sizes and torch's types, as a text that is the
    same in each process; None where a part of it has none, as a user's function."""
    if type(key) in (int, float, str, bool, type(None)):
        return f"{type(key).__name__} {key!r}"
    if isinstance(key, _TEXTS):
        return f"{type(key).__name__} {key}"
    if type(key) in (tuple, torch.Size):
        parts = [stable_text(part) for part in key]
        return None if None in parts else f"({', '.join(parts)})"
    value = key.value if isinstance(key, _Same) else key
    return f"{value.__module__}:{value.__qualname__}" if _importable(value) else None


_SEEN: dict = {}  # of each module and class, the values it had when all were installed


def has_replacements() -> bool:
    """Whether a function or method that networks are made of (of lib, torch, its layers or its
    tensors, torchvision) was replaced by one that is defined in no installed library: what is
    traced then is not what the files say."""
    modules = [module for name, module in tuple(sys.modules.items())
               if name in ("torch", "torch.nn.functional") or name.startswith("torch.nn.modules.")
               or name.partition(".")[0] in (OURS, "torchvision")]
    return not all(map(_is_as_installed, [torch.Tensor, *modules]))


def _is_as_installed(owner: ModuleType | type) -> bool:
    """Whether each function of a class, or of a module and its own classes, is of a library. There
    are thousands: those of an owner whose values are the very same as last time were looked at."""
    values = list(vars(owner).values())
    seen, classes = _SEEN.get(owner, ((), ()))
    if len(seen) != len(values) or not all(map(operator.is_, seen, values)):
        held = [getattr(value, "__func__", value) for value in values]  # of static, class methods
        if not all(_installed(value) for value in held if isinstance(value, FunctionType)):
            return False
        if isinstance(owner, ModuleType):
            classes = [value for value in values
                       if isinstance(value, type) and value.__module__ == owner.__name__]
        _SEEN[owner] = values, classes
    return all(map(_is_as_installed, classes))


def _installed(function: FunctionType) -> bool:
    """Whether a function is defined in a library, whatever it says of itself."""
    return _is_library(function.__globals__.get("__name__", "").partition(".")[0])


@cache
def _is_library(name: str) -> bool:
    if name in LIBRARIES or name in sys.stdlib_module_names or name.startswith("namedtuple_"):
        return True  # the last is where collections makes a named tuple's __new__
    origin = getattr(sys.modules.get(name), "__file__", None) or ""
    return origin.startswith((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
