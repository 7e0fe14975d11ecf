"""Limits and floors: modules of one idea, and who may import whom in lib and studies."""

import ast
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from studies import keys

ROOT = Path(__file__).resolve().parents[1]
LIB = sorted((ROOT / "lib").rglob("*.py"))
STUDIES = sorted((ROOT / "studies").rglob("*.py"))
TOOLS = sorted((ROOT / "tools").rglob("*.py"))
LONGEST = 350  # lines of a module

# The reading order of lib, from the top: its docstring is the one list. The name of a package
# stands for all of its modules, which may import one another.
LIST = ast.get_docstring(ast.parse((ROOT / "lib/__init__.py").read_text()))
ORDER = re.findall(r"^\d  (\w+) ", LIST, re.M)

# Of studies: those below know nothing of those above, nor of those beside them.
STUDY_FLOORS = [{"keys", "cells", "verdicts", "plots", "pictures", "references"},
                {"store", "papers"}, {"choose", "report", "remote", "tracked"}, {"ledger"}]
# What no stored number may depend on.
SHOWN = {"store", "choose", "report", "plots", "ledger", "references", "tracked"}


def module_of(path) -> str:
    """"lib.engine.batched" of a file, "lib.engine" of its package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts).removesuffix(".__init__")


def imports_of(path) -> set:
    """The modules of lib and studies that a file imports, at the top or inside a function."""
    package = module_of(path) if path.name == "__init__.py" else module_of(path).rpartition(".")[0]
    return set(keys.imported(path.read_text(), package)) - {"lib", "studies"}


def study_of(module) -> str | None:
    """The folder of studies that a module is in, or None."""
    parts = module.split(".")
    folder = ROOT / "studies" / parts[1] if parts[0] == "studies" and len(parts) > 1 else None
    return parts[1] if folder is not None and folder.is_dir() else None


def ids(path) -> str:
    return module_of(path)


# ---- limits

@pytest.mark.parametrize("path", [*LIB, *STUDIES, *TOOLS], ids=ids)
def test_a_module_is_short(path):
    count = len(path.read_text().splitlines())
    assert count <= LONGEST, f"{path.name} has {count} lines: one idea a module"


def test_ruff_holds_the_limits_that_design_names():
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["ruff"]
    lint = settings["lint"]
    assert settings["line-length"] == 100
    assert {"E", "F", "C901", "PLR0913", "PLR0915", "ANN201", "ANN202", "ANN204"} <= {
        *lint["select"]}
    assert lint["mccabe"]["max-complexity"] == 12
    assert lint["pylint"] == {"max-args": 10, "max-statements": 40}
    for paths, ignored in lint["per-file-ignores"].items():
        of_ours = paths.startswith(("lib", "studies", "**"))
        assert not of_ours and not {"C901", "PLR0913", "PLR0915"} & set(ignored), paths


def test_ruff_finds_nothing():
    done = subprocess.run([sys.executable, "-m", "ruff", "check", "--output-format", "concise",
                           "."], cwd=ROOT, capture_output=True, text=True)
    assert not done.returncode, done.stdout


def functions_of(path) -> list:
    return [node for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


@pytest.mark.parametrize("path", [*LIB, *STUDIES, *TOOLS], ids=ids)
def test_a_function_has_sixty_lines_at_most(path):
    long = [node.name for node in functions_of(path) if node.end_lineno - node.lineno >= 60]
    assert not long


@pytest.mark.parametrize("path", STUDIES, ids=ids)
def test_a_conditional_expression_stands_alone_and_a_walrus_in_no_comprehension(path):
    wrong = []
    comprehensions = ast.ListComp | ast.SetComp | ast.DictComp | ast.GeneratorExp
    for node in ast.walk(ast.parse(path.read_text())):
        inside = [child for child in ast.walk(node) if child is not node]
        if isinstance(node, ast.IfExp):
            wrong += [child.lineno for child in inside if isinstance(child, ast.IfExp)]
        if isinstance(node, comprehensions):
            wrong += [child.lineno for child in inside if isinstance(child, ast.NamedExpr)]
    assert not wrong, f"{path.name}, lines {wrong}"


# ---- floors of lib

INSIDE = [path for path in LIB if module_of(path) != "lib"]


def listed(module) -> str:
    """The name under which the docstring of lib lists a module."""
    return module.split(".")[1]


def test_the_docstring_of_lib_lists_every_file_once():
    assert sorted(ORDER) == sorted({listed(module_of(path)) for path in INSIDE})


@pytest.mark.parametrize("path", INSIDE, ids=ids)
def test_a_file_imports_only_from_those_listed_below_it(path):
    name = listed(module_of(path))
    below = {name, *ORDER[ORDER.index(name) + 1:]}
    assert not {listed(module) for module in imports_of(path)} - below


@pytest.mark.parametrize("path", LIB, ids=ids)
def test_nothing_in_lib_knows_a_study(path):
    assert not [module for module in imports_of(path) if module.startswith("studies")]


# ---- floors of studies

SHARED = [path for path in STUDIES if path.parent == ROOT / "studies" and path.stem != "__init__"]
OF_PAPERS = [path for path in STUDIES if path.parent != ROOT / "studies"]


@pytest.mark.parametrize("path", SHARED, ids=ids)
def test_what_studies_share_knows_no_study_and_nothing_above_it(path):
    known = {module.removeprefix("studies.") for module in imports_of(path)
             if module.startswith("studies.")}
    assert not {name for name in known if study_of(f"studies.{name}")}
    floor = {name: i for i, names in enumerate(STUDY_FLOORS) for name in names}
    if path.stem in floor:
        above = {name for name, i in floor.items() if i >= floor[path.stem]} - {path.stem}
        assert not known & above and known <= set(floor)
    else:                                                    # `case`, and what it is made of
        assert not known & SHOWN


@pytest.mark.parametrize("path", OF_PAPERS, ids=ids)
def test_no_study_knows_another(path):
    module = module_of(path)
    others = {study_of(other) for other in imports_of(path)} - {None, study_of(module)}
    assert not others


@pytest.mark.parametrize("path", [path for path in OF_PAPERS if path.stem.startswith("compute")],
                         ids=ids)
def test_what_computes_knows_no_plan_and_nothing_that_is_shown(path):
    module = module_of(path)
    apart = {f"studies.{name}" for name in SHOWN}
    apart |= {f"studies.{study_of(module)}.{name}"
              for name in ("plan", "tables", "drawings", "claims")}
    assert not apart & set(keys.reached([module]))


@pytest.mark.parametrize("path", [path for path in OF_PAPERS if path.stem.startswith("plan")],
                         ids=ids)
def test_a_plan_draws_nothing(path):
    known = imports_of(path)
    assert not [module for module in known if module in ("studies.report", "studies.plots")
                or module.rpartition(".")[2].startswith(("tables", "drawings", "claims"))]
