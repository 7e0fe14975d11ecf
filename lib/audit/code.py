"""Code of the auditor's own, by name: "file.py:Name" or "package.module:Name". It is run."""

import contextlib
import importlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def named(text: str, option: str) -> object:
    """What stands under a name in a file or module. option: what errors call it. ValueError for no
    such file or name, and for code that fails."""
    place, _, name = str(text).rpartition(":")
    if not place or not name:
        raise ValueError(f"{option} {text}: it is file.py:Name or package.module:Name")
    found = getattr(_module(place, option), name, None)
    if found is None:
        raise ValueError(f"{option} {text}: {place} has no {name}")
    return found


def _module(place: str, option: str) -> ModuleType:
    path = Path(place)
    is_file = place.endswith(".py")
    if is_file and not path.is_file():
        raise ValueError(f"no model file {path}")
    try:
        with _importable(path.absolute().parent if is_file else Path.cwd()):
            if not is_file:
                return importlib.import_module(place)
            spec = importlib.util.spec_from_file_location(f"_audited_{path.stem}", path)
            module = importlib.util.module_from_spec(spec)
            sys.modules[spec.name] = module  # dataclasses look there for annotations
            spec.loader.exec_module(module)
            return module
    except (Exception, SystemExit) as error:  # whatever the user's own code raises; `sys.exit()`
        raise ValueError(f"{option}: {place} cannot be imported: {type(error).__name__}: {error}") \
            from error


@contextlib.contextmanager
def _importable(folder: Path):  # noqa: ANN202  (a context)
    """Let code import what lies beside it: a console script has its own folder there instead."""
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        with contextlib.suppress(ValueError):  # the code itself took it out
            sys.path.remove(str(folder))
