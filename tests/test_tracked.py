"""The stored results of the paper profile that are tracked: whole, made by a function of the tree,
and asked for by a plan."""

import ast
import functools
import importlib
import json
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from studies import cells, keys
from tools import plan

ROOT = Path(__file__).resolve().parents[1]
TRACKED = sorted((ROOT / "data/cells").rglob("*.json"))
NAMES = sorted(path.stem for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py"))


def compute_names() -> list:
    """The names that functions of the tree are stored under, and those that notebooks define."""
    names = []
    for path in sorted((ROOT / "studies").rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = importlib.import_module(".".join(parts).removesuffix(".__init__"))
        for value in vars(module).values():
            if getattr(value, "__module__", "") == module.__name__ and hasattr(value, "stored_as"):
                name = value.stored_as
                names.append(f"{path.parent.name}: {name}" if name.startswith("__main__.")
                             else name)
    for source in (ROOT / "notebooks").glob("*.py"):
        names += [f"{source.stem.partition('_')[2]}: __main__.{node.name}"
                  for node in ast.parse(source.read_text()).body
                  if isinstance(node, ast.FunctionDef)]
    return names


def test_every_tracked_cell_is_whole_and_a_function_of_the_tree_made_it():
    names = compute_names()
    twice = [name for name, times in Counter(names).items() if times > 1]
    assert not twice and len(TRACKED) >= 692, "a study adds cells, and none is lost"
    for path in TRACKED:
        said, arrays = cells.load(path)
        assert sorted(arrays) == said["arrays"], path
        identity = {key: said[key] for key in ("function", "config", "version")}
        assert path.stem.endswith(f"-{keys.key_of(identity)}"), path
        function, study = said["function"], path.parent.name.partition("_")[2]
        assert (f"{study}: {function}" if function.startswith("__main__.") else function) in names
        columns = {len(column) for column in said["table"].values() if column is not None}
        columns |= {len(arrays[name]) for name in arrays if name.startswith("column ")}
        assert columns <= {said["n"]}, path
    with_json = {path.with_suffix(".npz") for path in TRACKED}
    assert not set((ROOT / "data/cells").rglob("*.npz")) - with_json


def test_every_tracked_cells_commit_is_in_the_repository_or_a_note_says_why_not():
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True,
                             text=True)
    for path in TRACKED:
        said = json.loads(path.read_text())
        commit, note = said["commit"], said.get("note")
        if "(on main: " in commit:                           # the same change, as it was published
            commit = commit.partition("(on main: ")[2].rstrip(")")
        if note:
            assert "first stored with commit" in note, path
            commit = note.split()[-1]
        assert len(commit) >= 7 and set(commit) <= set("0123456789abcdef"), path
        if shallow.stdout.strip() == "false":                # else the history is not all here
            assert known(commit), path


@functools.cache
def known(commit) -> bool:
    return not subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"],
                              capture_output=True).returncode


@pytest.fixture
def declared(monkeypatch, tmp_path):
    """`plan.declared` in the paper profile, with products in a folder that goes."""
    from lib import run
    from studies import store

    for name in ("SEED", "DEVICE", "FRESH", "DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROFILE", "paper")
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    monkeypatch.setattr(store, "_study", None)
    monkeypatch.setattr(run, "_current", None)
    monkeypatch.chdir(ROOT / "notebooks")
    return plan.declared


@pytest.mark.parametrize("name", NAMES)
def test_every_tracked_cell_is_asked_for_and_found_whole(declared, name):
    sweeps = declared(name)
    assert not plan.unused(name, sweeps)
    found = 0
    for sweep in sweeps:
        sweep.check()
        found += sweep.done()
    assert found == len([path for path in TRACKED if path.parent.name == name])


@pytest.mark.parametrize("name", NAMES)
def test_no_function_whose_cells_are_stored_reaches_a_drawing(declared, name):
    homes = {sweep.compute.__module__ for sweep in declared(name)} - {"__main__"}
    last = {module.rpartition(".")[2] for module in keys.reached(homes)}
    assert not last & {"store", "report", "plots", "plan", "tables", "drawings", "claims"}
