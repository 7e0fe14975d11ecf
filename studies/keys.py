"""What a stored cell is found by: its function's name, config and version, and for the quick
profile the text of every module that the function reaches."""

import ast
import functools
import hashlib
import inspect
import json
import sys
import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FunctionType, ModuleType

from lib import files

OURS = ("lib", "studies")  # the packages whose text a quick cell depends on


def stored_as(name: str) -> Callable[[Callable], Callable]:
    """Decorate a compute function with the name that its stored cells bear, so that it can move to
    another file, or be called otherwise, and still finds them."""
    if not isinstance(name, str) or not name:
        raise ValueError(f"a function is stored as a name, not as {name!r}")

    def mark(function: Callable) -> Callable:
        function.stored_as = name
        return function
    return mark


def check_name(what: str, name: str) -> None:
    """ValueError where a name is none that a file of its own can have."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"{what} must be the name of a file, without folders, not {name!r}")


def key_of(identity: dict) -> str:
    """The end of a cell's file name: a hash of its function's name, config and version."""
    return hashed(identity)[:10]


def hashed(value: object) -> str:
    """The SHA-256 of a value that JSON can hold."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def code_of(function: Callable) -> str:
    """A hash of the text that a function's numbers depend on: of the modules of lib and studies
    that its own module reaches, docstrings and comments left out; of a notebook's function what
    `_of_notebook` finds."""
    home = function.__module__
    if home.split(".")[0] in OURS:
        names, source = [home], ""
    elif home == "__main__":
        names, source = _of_notebook(function)
    else:
        source = Path(sys.modules[home].__file__).read_text(encoding="utf-8")
        names = imported(source)
    return hashed([_text_of(tuple(names)), source])


_TEXTS: dict = {}  # root and names -> what their files were like, and the hash of their text


def _text_of(names: tuple[str, ...]) -> str:
    """A hash of the code that modules reach; read again only where a file has changed."""
    files_before, text = _TEXTS.get((files.ROOT, names), ({}, ""))
    if not files_before or _stamps(files_before) != files_before:
        paths = reached(names)
        files_before = _stamps(paths.values())
        text = hashed({name: code_alone(path.read_text(encoding="utf-8"))
                       for name, path in paths.items()})
        _TEXTS[files.ROOT, names] = files_before, text
    return text


def _stamps(paths: Iterable[Path]) -> dict:
    """When each file was written, and its size; None of one that is gone."""
    stamps = {}
    for path in paths:
        there = path.stat() if path.exists() else None
        stamps[path] = there and (there.st_mtime_ns, there.st_size, there.st_ino)
    return stamps


@functools.lru_cache(maxsize=1024)
def code_alone(source: str) -> str:
    """A source without docstrings, comments and layout, which change no number."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) \
                and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return ast.dump(tree)


def reached(names: Iterable[str]) -> dict[str, Path]:
    """The modules of lib and studies that those of `names` import, and what these import, with
    themselves: name -> file, by name."""
    files_of, left = {}, list(names)
    while left:
        name = left.pop()
        path = _file_of(name)
        if name in files_of or path is None:
            continue
        files_of[name] = path
        parent = name.rpartition(".")[0]
        if parent:  # importing a module runs its package first
            left.append(parent)
        package = name if path.name == "__init__.py" else parent
        left += imported(path.read_text(encoding="utf-8"), package)
    return dict(sorted(files_of.items()))


def imported(source: str, package: str = "") -> list[str]:
    """The modules of lib and studies that a source imports, anywhere in it; `package` is the one
    that it is part of. A source that is no Python imports nothing: who runs it is told why."""
    ours = {name for name in _names_imported(source, package) if name.split(".")[0] in OURS}
    return sorted(name for name in ours if _file_of(name) is not None)


@functools.lru_cache(maxsize=1024)
def _names_imported(source: str, package: str) -> frozenset[str]:
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:
        return frozenset()
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = _absolute(node, package)
            names.add(module)  # what is imported from it may be a module of its own
            names.update(f"{module}.{alias.name}" for alias in node.names)
    return frozenset(names)


def _absolute(node: ast.ImportFrom, package: str) -> str:
    """The module that a statement imports from, by its whole name."""
    module = node.module or ""
    if not node.level:
        return module
    parents = package.split(".")
    base = parents[:len(parents) - node.level + 1]
    return ".".join([*base, module] if module else base)


def _file_of(name: str) -> Path | None:
    """The file of a module of lib or studies; None where there is no such module."""
    place = files.ROOT.joinpath(*name.split("."))
    for path in (place / "__init__.py", place.with_name(f"{place.name}.py")):
        if path.is_file():
            return path
    return None


def _of_notebook(function: FunctionType) -> tuple[list[str], list[str]]:
    """What a function of a notebook depends on, by the names that stand in its text: the modules
    of lib and studies; and the texts of the notebook's functions, of its classes' methods and of
    its values that JSON can hold. Functions are followed into those that they call."""
    modules, texts, followed, left = set(), set(), set(), [function]
    while left:
        current = left.pop()
        if current in followed:
            continue
        followed.add(current)
        source = textwrap.dedent(inspect.getsource(current))
        texts.add(source)
        for name in _names_in(source):
            value = current.__globals__.get(name)
            home = _home_of(value)
            if home.split(".")[0] in OURS:
                modules.add(home)
            elif home == "__main__":
                left += _functions_of(value)
            elif value is not None:
                texts.update(_as_json(name, value))
    return sorted(modules), sorted(texts)


def _names_in(source: str) -> list[str]:
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except SyntaxError:  # a lambda's text begins in the middle of a line
        return []
    return sorted({node.id for node in nodes if isinstance(node, ast.Name)})


def _home_of(value: object) -> str:
    """The module that a value is, or comes from; "" for a plain value."""
    home = value.__name__ if isinstance(value, ModuleType) else getattr(value, "__module__", None)
    return home if isinstance(home, str) else ""


def _functions_of(value: object) -> list[FunctionType]:
    """A notebook's function; or the methods of its class, or of its object's class, as written."""
    value = inspect.unwrap(value) if callable(value) else value
    if isinstance(value, FunctionType):
        return [value]
    kind = value if isinstance(value, type) else type(value)
    return [method for method in vars(kind).values() if isinstance(method, FunctionType)
            and method.__module__ == "__main__" and method.__code__.co_filename != "<string>"]


def _as_json(name: str, value: object) -> list[str]:
    """The text of a value that JSON can hold, with its name; of another nothing."""
    try:
        return [f"{name} = {json.dumps(value, sort_keys=True)}"]
    except (TypeError, ValueError):
        return []
