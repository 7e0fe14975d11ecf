"""studies/keys.py: what a cell is found by; and what makes a notebook run again."""

import ast
import functools
import importlib
import itertools
import linecache
import shutil
from pathlib import Path

import pytest
from storing import begin, calls, cell, draw, files_of

from lib import files
from lib import run as runs
from studies import keys, store
from tools import run_notebook

ROOT = Path(__file__).resolve().parents[1]
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
numbers = itertools.count()

TREE = {
    "lib/__init__.py": "", "lib/run.py": "", "lib/checks.py": "",
    "lib/attacks.py": "from lib import run\nimport lib.engine.batched as batched",
    "lib/engine/__init__.py": "from .tracing import *", "lib/engine/tracing.py": "",
    "lib/engine/batched.py": "from . import tracing\nfrom ..run import start",
    "studies/__init__.py": "", "studies/keys.py": "", "studies/plots.py": "",
    "studies/case.py": "from lib import attacks\nfrom studies.keys import stored_as",
    "studies/some/__init__.py": "",
    "studies/some/compute.py": "def f():\n    from studies import case",
    "studies/some/plan.py": "from studies.some import compute",
    "studies/some/drawings.py": "from studies import plots\nfrom studies.some import compute",
}
REACHED = ["lib", "lib.attacks", "lib.engine", "lib.engine.batched", "lib.engine.tracing",
           "lib.run", "studies", "studies.case", "studies.keys", "studies.some",
           "studies.some.compute"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A small lib and studies, which `keys` takes for the project's."""
    for name, text in TREE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    return tmp_path


def function_of(module):
    def compute():
        pass

    compute.__module__ = module
    return compute


# ---- names of functions

@pytest.mark.usefixtures("place")
def test_a_moved_function_finds_its_cell(place, monkeypatch):
    monkeypatch.syspath_prepend(place)
    text = "from studies import keys\n{}\ndef {}(n):\n    from storing import draw\n" \
        "    return draw(n)\n"
    (place / "home.py").write_text(text.format("", "first"))
    (place / "away.py").write_text(text.format("@keys.stored_as('home.first')", "second"))
    begin("paper")
    cell("a", importlib.import_module("home").first, {"n": 3})
    begin("paper")
    cell("a", importlib.import_module("away").second, {"n": 3})
    assert len(files_of(place)) == 1 and len(calls) == 1
    with pytest.raises(ValueError, match="both stored as 'home.first'"):
        cell("a", importlib.import_module("home").first, {"n": 3})


@pytest.mark.parametrize("name", ["", None, 3, draw])
def test_a_name_to_be_stored_under_is_text(name):
    with pytest.raises(ValueError, match="stored as a name"):
        keys.stored_as(name)


@pytest.mark.usefixtures("place")
def test_config_version_and_function_make_the_key(place):
    cell("a", draw, {"n": 3})
    cell("a", draw, {"n": 3}, version=2)
    cell("a", draw, {"n": 3, "seed": 1})
    assert len(files_of(place)) == 3 and len(calls) == 3


def test_a_key_depends_on_values_and_not_on_their_order():
    assert keys.key_of({"a": 1, "b": [2]}) == keys.key_of({"b": [2], "a": 1})
    assert len({keys.key_of({"a": value}) for value in (1, "1", [1], None, True)}) == 5
    assert len(keys.key_of({})) == 10


# ---- what a function of studies reaches

def test_a_module_reaches_what_it_imports_and_what_that_imports(tree):
    assert list(keys.reached(["studies.some.compute"])) == REACHED
    assert keys.reached(["lib.engine.batched"])["lib.engine"] == tree / "lib/engine/__init__.py"
    assert list(keys.reached(["lib.nothing", "numpy"])) == []


@pytest.mark.parametrize("name", TREE)
def test_the_key_changes_with_what_a_function_reaches_and_with_nothing_else(tree, name):
    compute = function_of("studies.some.compute")
    before = keys.code_of(compute)
    assert keys.code_of(compute) == before
    (tree / name).write_text('"""What it says of itself."""\n' + TREE[name] + "\n# a word more")
    assert keys.code_of(compute) == before, "docstrings and comments change no number"
    (tree / name).write_text(TREE[name] + "\nmore = 1")
    module = name.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    assert (keys.code_of(compute) != before) == (module in REACHED)


def test_a_module_that_a_function_begins_to_import_is_reached(tree):
    compute = function_of("studies.some.compute")
    before = keys.code_of(compute)
    (tree / "lib/run.py").write_text("from lib import checks")
    between = keys.code_of(compute)
    (tree / "lib/checks.py").write_text("a = 1")
    assert len({before, between, keys.code_of(compute)}) == 3


@pytest.mark.parametrize("source", [
    "import lib.run", "import lib.run as r", "from lib import run", "from lib.run import start",
    "from lib import run as r, checks", "def f():\n    import lib.run",
    "try:\n    from lib.run import a\nexcept ImportError:\n    pass"])
def test_every_way_of_importing_is_seen(tree, source):
    assert "lib.run" in keys.imported(source)


@pytest.mark.parametrize(("source", "package", "names"), [
    ("from . import tracing", "lib.engine", ["lib.engine", "lib.engine.tracing"]),
    ("from .tracing import a", "lib.engine", ["lib.engine.tracing"]),
    ("from .. import run", "lib.engine", ["lib", "lib.run"]),
    ("from ..run import a", "lib.engine", ["lib.run"]),
    ("import library, studies_of_mine, os", "", []), ("this is no Python", "", [])])
def test_relative_imports_and_what_is_not_ours(tree, source, package, names):
    assert keys.imported(source, package) == names


def test_a_drawing_of_the_tree_is_in_no_key():
    """What every study computes with: none of it reaches a drawing, a table, a claim or a plan."""
    for path in sorted((ROOT / "studies").glob("*/compute*.py")):
        module = f"studies.{path.parent.name}.{path.stem}"
        beside = {name.rpartition(".")[2] for name in keys.reached([module])}
        assert not beside & {"store", "report", "plots", "plan", "tables", "drawings", "claims"}


@pytest.mark.usefixtures("place")
def test_only_quick_depends_on_the_text(place, monkeypatch):
    monkeypatch.syspath_prepend(place)
    file, asked = place / "elsewhere.py", {"quick": [], "paper": []}
    for text in ("a = 1", "a = 2", "a = 1"):
        file.write_text(f"{text}\ndef f():\n    raise NotImplementedError\n")
        f = importlib.import_module("elsewhere").f
        for profile, names in asked.items():
            begin(profile)
            names += store.Sweep("a", f, quick=[{}], paper=[{}]).files
    one, two, again = asked["quick"]
    assert one == again != two and len(set(asked["paper"])) == 1


# ---- functions of a notebook

def notebook(text):
    """The names that a notebook's cell defines, as `tools/plan.inline` makes them."""
    file = f"<99_fixture, cell {next(numbers)}>"
    linecache.cache[file] = (0, None, text.splitlines(keepends=True), file)
    names = {"__name__": "__main__"}
    exec(compile(text, file, "exec"), names)
    return names


PAGE = """
import numpy as np
import studies.keys
from lib import checks, metrics
from studies import plots

RATE = 0.1
LISTS = {"a": [1, 2]}
UNUSED = 1

def helper(x):
    return twice(x) * RATE

def twice(x):
    return twice(x - 1) if x else 2 * x

def apart(x):
    return plots.axes(x)

class Scaled:
    def __call__(self, x):
        return 3 * x

scale = Scaled()

def compute(n, lists=LISTS):
    checks.whole("n", n)
    return np.square(helper(n)), scale(n)
"""


def code_of_page(old="", new=""):
    assert old in PAGE
    return keys.code_of(notebook(PAGE.replace(old, new, 1) if old else PAGE)["compute"])


def test_a_notebooks_function_has_the_same_key_twice():
    assert code_of_page() == code_of_page()


@pytest.mark.parametrize(("old", "new"), [
    ("np.square", "np.sqrt"), ("RATE = 0.1", "RATE = 0.2"), ("[1, 2]", "[1, 3]"),
    ("2 * x", "4 * x"), ("twice(x) * RATE", "twice(x) / RATE"), ("3 * x", "5 * x")])
def test_what_a_notebooks_function_calls_and_reads_is_in_its_key(old, new):
    assert code_of_page(old, new) != code_of_page()


@pytest.mark.parametrize(("old", "new"), [
    ("UNUSED = 1", "UNUSED = 2"), ("plots.axes(x)", "plots.axes(2)"), ("\nRATE", "\n\n\nRATE")])
def test_what_a_notebooks_function_does_not_read_is_not(old, new):
    assert code_of_page(old, new) == code_of_page()


@pytest.mark.parametrize(("name", "changes"), [
    ("lib/checks.py", True), ("lib/metrics.py", False), ("studies/plots.py", False)])
def test_modules_that_a_notebooks_function_names_are_in_its_key(tree, name, changes):
    compute = notebook(PAGE)["compute"]
    before = keys.code_of(compute)
    (tree / name).write_text("a = 'another text'")
    assert (keys.code_of(compute) != before) == changes


# ---- what makes a notebook run again

@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """What `code_hash` reads of this tree, in a folder of its own."""
    copy = tmp_path_factory.mktemp("copy")
    for name in ("lib", "studies", "tools", "data/published"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "notebooks").mkdir()
    for name in NAMES:
        shutil.copy(ROOT / f"notebooks/{name}.py", copy / "notebooks")
    shutil.copy(ROOT / "requirements.lock", copy)
    shutil.copy(ROOT / "data/references.bib", copy / "data")
    return copy


@pytest.fixture
def copy(copied, monkeypatch):
    monkeypatch.setattr(files, "ROOT", copied)
    monkeypatch.setattr(run_notebook, "ROOT", copied)
    monkeypatch.setattr(run_notebook, "NOTEBOOKS", copied / "notebooks")
    monkeypatch.setattr(run_notebook, "TOOLS", copied / "tools")
    # No file comes or goes here, and to look for each of them takes most of the time.
    monkeypatch.setattr(keys, "_file_of", functools.cache(keys._file_of))
    return copied


def hashes():
    return {name: run_notebook.code_hash(name, {}) for name in NAMES}


def changed_by(file, before):
    """The notebooks that a word more in a file makes run again; `before`: the hashes without."""
    text = file.read_text()
    file.write_text(f"{text}\n# a word more\n")
    after = hashes()
    file.write_text(text)
    return [name for name in NAMES if before[name] != after[name]]


@pytest.mark.parametrize("name", NAMES)
def test_a_change_of_one_study_or_notebook_runs_that_one_again(copy, name):
    before = hashes()
    page = (copy / f"notebooks/{name}.py").read_text()
    assert changed_by(copy / f"notebooks/{name}.py", before) == [name]
    sources = sorted((copy / "studies" / run_notebook.study_of(name)).glob("*.py"))
    assert sources
    for source in sources:
        # A page that stores nothing does not import its plan, which declares nothing.
        unused = source.stem == "plan" and "plan.declare" not in page
        if source.stem != "__init__" and not unused:
            assert changed_by(source, before) == [name], source
    assert hashes() == before


@pytest.mark.parametrize("name", [
    "studies/plots.py", "studies/report.py", "studies/case.py", "lib/run.py", "lib/attacks.py"])
def test_a_change_of_what_many_import_runs_those_again(copy, name):
    module = name.removesuffix(".py").replace("/", ".")
    users = [one for one in NAMES if module in keys.reached(keys.imported(
        (copy / f"notebooks/{one}.py").read_text()))]
    assert len(users) > 1 and changed_by(copy / name, hashes()) == users


@pytest.mark.parametrize("name", [
    "requirements.lock", "tools/run_notebook.py", "data/published/dlg.json",
    "data/references.bib"])
def test_a_change_of_what_all_depend_on_runs_all_again(copy, name):
    assert changed_by(copy / name, hashes()) == NAMES


def test_a_change_of_other_tools_runs_none_again(copy):
    assert changed_by(copy / "tools/scoreboard.py", hashes()) == []


def test_parameters_are_part_of_what_a_run_was_of(copy):
    assert run_notebook.code_hash(NAMES[0], {"seed": 1}) != run_notebook.code_hash(NAMES[0], {})


def test_a_notebook_imports_its_own_study_alone():
    for name in NAMES:
        source = (ROOT / f"notebooks/{name}.py").read_text()
        ast.parse(source)
        folders = {module.split(".")[1] for module in keys.imported(source)
                   if module.startswith("studies.")}
        studies = {path.parent.name for path in (ROOT / "studies").glob("*/__init__.py")}
        assert folders & studies <= {run_notebook.study_of(name)}, name


def test_keys_are_of_this_tree():
    assert keys.files.ROOT == ROOT and runs.ROOT == ROOT
