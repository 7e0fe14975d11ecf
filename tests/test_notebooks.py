"""The committed notebooks are their sources, executed, and keep the limits; the tree stays small.

What cannot be judged yet (no notebook, no git) is skipped.
"""

import json
import subprocess
import sys
from pathlib import Path

import jupytext
import nbformat
import pytest

from tools import notebook_files

ROOT = Path(__file__).resolve().parents[1]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("[0-9][0-9]_*.py"))
ASSIGNMENTS = sorted((ROOT / "notebooks/assignments").glob("[0-9][0-9]_*.py"))


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
    assert sum(file.stat().st_size for file in files if file.is_file()) < 40 * 2**20


# ---- what a reader has before them

LIMITS = "E501,C901,PLR0913,PLR0915"
LONGEST = 60  # lines of a cell of code


def place(path) -> str:
    return path.relative_to(ROOT / "notebooks").with_suffix("").as_posix()


@pytest.mark.parametrize("source", [*SOURCES, *SOLUTIONS, *ASSIGNMENTS], ids=place)
def test_code_keeps_the_limits(source, tmp_path):
    """Ruff reads the cells of code alone: prose has lines of its own length."""
    notebook = tmp_path / f"{source.stem}.ipynb"
    nbformat.write(jupytext.read(source), notebook)
    done = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--config", str(ROOT / "pyproject.toml"),
         "--no-cache", "--select", LIMITS, "--output-format", "concise", str(notebook)],
        capture_output=True, text=True)
    assert not done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize("source", [*SOURCES, *SOLUTIONS, *ASSIGNMENTS], ids=place)
def test_a_cell_fits_on_the_screen(source):
    cells = notebook_files.source_notebook(source).cells
    long = {i: cell.source.count("\n") + 1 for i, cell in enumerate(cells)
            if cell.cell_type == "code" and cell.source.count("\n") >= LONGEST}
    assert not long, f"cells and their lines: {long}"


@pytest.mark.parametrize("code", [
    "x = 1  # " + "a" * 100, "def f(a, b, c, d, e, f, g, h, i, j, k):\n    pass",
    "def f(x):\n" + "    x += 1\n" * 41])
def test_code_that_breaks_a_limit_is_found(code, tmp_path):
    source = tmp_path / "99_long.py"
    source.write_text(f"# %% [markdown]\n# {'a word ' * 40}\n\n# %%\n{code}\n")
    with pytest.raises(AssertionError, match="E501|PLR0913|PLR0915"):
        test_code_keeps_the_limits(source, tmp_path)
    source.write_text(f"# %% [markdown]\n# {'a word ' * 40}\n\n# %%\nx = 1\n")
    test_code_keeps_the_limits(source, tmp_path)


def test_a_long_cell_is_found(tmp_path):
    source = tmp_path / "99_long.py"
    source.write_text("# %%\n" + "x = 1\n" * LONGEST)
    test_a_cell_fits_on_the_screen(source)
    source.write_text("# %%\n" + "x = 1\n" * (LONGEST + 1))
    with pytest.raises(AssertionError, match="{0: 61}"):
        test_a_cell_fits_on_the_screen(source)
