"""The committed notebooks are their sources, executed; the tree stays small; lib keeps its floors.

What cannot be judged yet (no notebook, no git) is skipped.
"""

import ast
import json
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from tools import notebook_files

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
LIB = sorted((ROOT / "lib").glob("*.py"))
FLOORS = [{"__init__", "checks", "files", "layers", "run", "results", "plots"},
          {"batching", "data", "metrics", "defenses"}, {"protocol", "intake", "training"},
          {"evidence"}, {"update", "models"}, {"client"},
          {"objectives", "priors", "labels", "analytic", "tracing"},
          {"engine", "optimizers", "honest"}, {"diagnose"}, {"attacks"}, {"generators"},
          {"experiment"}]


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_the_committed_notebook_is_its_source_executed(source):
    committed = source.with_suffix(".ipynb")
    assert committed.exists(), f"make notebooks NB={source.stem}"
    notebook = nbformat.read(committed, as_version=4)
    assert not notebook_files.problems(notebook, notebook_files.source_notebook(source))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_a_notebook_has_the_cells_that_make_relies_on(source):
    cells = notebook_files.source_notebook(source).cells
    tags = [tag for cell in cells for tag in notebook_files.tags_of(cell)]
    assert tags.count("parameters") == 1
    assert "setup" in tags
    checked = [cell for cell in cells if "nbval-check-output" in notebook_files.tags_of(cell)]
    assert len(checked) <= 1 and all(".verdicts()" in cell.source for cell in checked)


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: path.stem)
def test_every_figure_has_alternative_text(source):
    folder = ROOT / "figures/paper" / source.stem
    texts = json.loads((folder / "figures.json").read_text())
    assert set(texts) == {file.stem for file in folder.glob("*.png")}
    assert all(40 <= len(text) <= 500 for text in texts.values())


def test_every_notebook_has_a_source():
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} <= {
        path.stem for path in SOURCES}


def damaged(harm):
    """The fixture as a committed notebook would be, but for `harm`."""
    source = notebook_files.source_notebook(ROOT / "tests/fixture/99_fixture.py")
    notebook = notebook_files.source_notebook(ROOT / "tests/fixture/99_fixture.py")
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for i, cell in enumerate(code, 1):
        cell.execution_count = i
    harm(notebook, code)
    return notebook_files.problems(notebook, source)


def stdout(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


@pytest.mark.parametrize(("harm", "word"), [
    (lambda notebook, code: notebook.cells.pop(), "source"),
    (lambda notebook, code: code[2].update(source="other"), "source"),
    (lambda notebook, code: code[2].update(execution_count=None), "in order"),
    (lambda notebook, code: code[2].outputs.append(nbformat.v4.new_output("error")), "failed"),
    (lambda notebook, code: code[2].metadata.update(papermill={}), "papermill"),
    (lambda notebook, code: notebook.metadata.update(papermill={}), "papermill"),
    (lambda notebook, code: code[2].outputs.append(stdout("in /home/ann/x")), "/home/"),
    (lambda notebook, code: code[2].outputs.append(stdout("a" * 1_500_000)), "MB"),
    (lambda notebook, code: code[2].outputs.append(
        nbformat.v4.new_output("display_data", {"image/png": "iVBO"})), "alternative text"),
])
def test_a_notebook_that_is_not_fit_is_found_out(harm, word):
    wrong = damaged(harm)
    assert any(word in one for one in wrong), wrong


def test_a_fit_notebook_passes():
    assert damaged(lambda notebook, code: None) == []


def test_ids_are_stable_and_unique():
    ids = [[cell.id for cell in notebook_files.source_notebook(path).cells] for path in
           [ROOT / "tests/fixture/99_fixture.py"] * 2 + SOURCES]
    assert ids[0] == ids[1]
    assert all(len(set(one)) == len(one) for one in ids)


def test_the_tracked_tree_is_small():
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True)
    files = [ROOT / name for name in tracked.stdout.split("\0") if name]
    if tracked.returncode or not files:
        pytest.skip("no git here")
    assert sum(file.stat().st_size for file in files if file.is_file()) < 32 * 2**20


# ---- lib

def test_lines_of_lib_are_short():
    lines = [(file.name, line) for file in LIB for line in file.read_text().splitlines()]
    assert not [(name, line) for name, line in lines if len(line) > 100]


def test_nothing_in_lib_knows_a_study_and_no_study_another():
    for file in (*LIB, *(ROOT / "studies").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            names = [node.module or ""] if isinstance(node, ast.ImportFrom) else \
                [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            assert not [n for n in names if n.split(".")[0] == "studies"], file


def imported(file) -> set:
    """The files of lib that a file imports, at the top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "lib":
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lib."):
            found.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.level:
            found |= {(node.module or alias.name).split(".")[0] for alias in node.names}
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names
                      if alias.name.startswith("lib.")}
    return found


@pytest.mark.parametrize("file", [f for f in LIB if f.stem != "__init__"], ids=lambda p: p.stem)
def test_a_file_says_on_which_floor_it_stands(file):
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}[file.stem]
    assert f"Floor {floor}" in (ast.get_docstring(ast.parse(file.read_text())) or "")
    listed = (ROOT / "lib/__init__.py").read_text()
    assert re.search(rf"^{floor}  .*\b{file.stem}\b", listed, re.M), "list it in lib/__init__.py"


@pytest.mark.parametrize("file", LIB, ids=lambda path: path.stem)
def test_the_readme_of_lib_names_every_file(file):
    assert file.stem == "__init__" or f"`{file.name}`" in (ROOT / "lib/README.md").read_text()


@pytest.mark.parametrize("file", LIB, ids=lambda path: path.stem)
def test_a_file_imports_only_from_floors_below(file):
    floor = {name: i for i, names in enumerate(FLOORS) for name in names}
    assert file.stem in floor, f"give {file.name} a floor in FLOORS, and in lib/__init__.py"
    ground = {"run", "checks", "files", "plots"}  # on floor 0 the others build on these
    beside = ground if file.stem in ("run", "results", "plots") else set()
    assert not [name for name in imported(file) - beside if floor[name] >= floor[file.stem]]
