"""What a stored cell is found by: its function's name, config and version, and for the quick
profile the text of every module that the function reaches."""

import ast
import hashlib
import inspect
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from types import ModuleType

from lib import files

OURS = ("lib", "studies")  # the packages whose text a quick cell depends on


def stored_as(name: str) -> Callable:
    """Decorate a compute function with the name that its stored cells bear, so that it can move to
    another file, or be called otherwise, and still finds them."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a function is stored as a name, not as {name!r}")

    def mark(function):
        function.stored_as = name
        return function
    return mark


def key_of(identity: dict) -> str:
    """The end of a cell's file name: a hash of its function's name, config and version."""
    return hashed(identity)[:10]


def hashed(value) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_of(function: Callable) -> str:
    """A hash of the text that a function's numbers depend on: of the modules of lib and studies
    that its own module reaches; of a notebook's function its source, and what it calls."""
    home = function.__module__
    if home.split(".")[0] in OURS:
        names, source = [home], ""
    elif home == "__main__":
        names, source = _used_by(function), inspect.getsource(function)
    else:
        source = Path(sys.modules[home].__file__).read_text(encoding="utf-8")
        names = imported(source)
    texts = {name: path.read_text(encoding="utf-8") for name, path in reached(names).items()}
    return hashed([texts, source])


def reached(names: Iterable[str]) -> dict[str, Path]:
    """The modules of lib and studies that those of `names` import, and what these import, with
    themselves: name -> file, by name."""
    found, left = {}, list(names)
    while left:
        name = left.pop()
        if name in found:
            continue
        path = _file_of(name)
        if path is None:
            continue
        found[name] = path
        left += imported(path.read_text(encoding="utf-8"))
        if "." in name:  # importing a module runs its package first
            left.append(name.rpartition(".")[0])
    return dict(sorted(found.items()))


def imported(source: str) -> list[str]:
    """The modules of lib and studies that a source imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)  # what is imported from it may be a module of its own
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    ours = {name for name in names if name.split(".")[0] in OURS}
    return sorted(name for name in ours if _file_of(name) is not None)


def _file_of(name: str) -> Path | None:
    """The file of a module of lib or studies; None where there is no such module."""
    place = files.ROOT.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_suffix(".py")):
        if path.is_file():
            return path
    return None


def _used_by(function: Callable) -> list[str]:
    """The modules of lib and studies whose names a notebook's functions can see."""
    used = set()
    for value in function.__globals__.values():
        home = value.__name__ if isinstance(value, ModuleType) else \
            getattr(value, "__module__", None)
        if isinstance(home, str) and home.split(".")[0] in OURS:
            used.add(home)
    return sorted(used)
