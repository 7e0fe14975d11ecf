"""lib/EXTENDING.md is true: its code and commands, in a copy of the tree; and what it asks of
everybody who adds something is so for all that is there."""

import ast
import importlib
import inspect
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import test_parity
import test_presets
import test_values

from lib import attacks, defenses, labels, mixing, objectives
from lib import run as runs
from studies import describe, store

ROOT = runs.ROOT
PAGE = ROOT / "lib/EXTENDING.md"


# ---- what is there is complete

def functions_of(module) -> dict:
    """The public functions that a module defines, by name."""
    return {name: value for name, value in vars(module).items() if inspect.isfunction(value)
            and value.__module__ == module.__name__ and not name.startswith("_")}


def cases_of(test) -> list:
    """The cases of a test that is parametrised once."""
    mark, = (mark for mark in test.pytestmark if mark.name == "parametrize")
    return list(mark.args[1])


def test_every_objective_has_a_value_by_hand():
    distances = []
    for function in functions_of(objectives).values():
        signature = inspect.signature(function)
        pair = list(signature.parameters) == ["dummy", "shared"]
        if pair and signature.return_annotation is objectives.Tensor:
            distances.append(function)
    known = [objective for objective, _ in cases_of(test_values.test_objectives)]
    missing = [function.__name__ for function in distances if function not in known]
    assert len(distances) >= 4 and not missing, "a row of tests/test_values.py, test_objectives"


def presets() -> dict:
    return {name: function for name, function in functions_of(attacks).items()
            if inspect.signature(function).return_annotation is attacks.Attack}


def test_every_preset_has_a_row_of_parity():
    rows = {row.attack.name for row in test_parity.ROWS}
    assert len(presets()) >= 6 and not set(presets()) - rows, "a row of tests/test_parity.py, ROWS"


def test_every_preset_has_its_sources():
    settings = {attack.name for attack, _ in test_presets.ATTACKS.values()}
    assert not set(presets()) - settings, "an entry of tests/test_presets.py, ATTACKS"
    without = set(presets().values()) - set(test_presets.DEFAULTS)
    assert not without, "an entry of tests/test_presets.py, DEFAULTS"


def test_every_preset_has_a_name_in_configs():
    takes_a_module = {"gias"}  # a generator is no JSON
    named = {name for name, function in presets().items() if function in describe.ATTACKS.values()}
    assert named == set(presets()) - takes_a_module, "an entry of studies/describe.py, ATTACKS"


def test_every_defense_can_be_named_in_configs():
    kinds = [value for module in (defenses, mixing) for name, value in vars(module).items()
             if inspect.isclass(value) and value.__module__ == module.__name__
             and not name.startswith("_") and any(hasattr(value, m) for m in defenses.METHODS)]
    missing = {kind.__name__ for kind in kinds} - {k.__name__ for k in describe.DEFENSES.values()}
    assert len(kinds) >= 8 and not missing, "an entry of studies/describe.py, DEFENSES"


def test_every_rule_has_a_value_by_hand():
    text = inspect.getsource(test_values)
    missing = [name for name in labels.RULES if f'"{name}"' not in text]
    assert not missing, "a test in tests/test_values.py"


def builders() -> dict:
    """The functions of lib that build a victim: of images and a seed."""
    known = {}
    for path in (ROOT / "lib").glob("*.py"):
        module = importlib.import_module(f"lib.{path.stem}") if path.stem != "__init__" else None
        for name, function in functions_of(module).items() if module else ():
            given = list(inspect.signature(function).parameters)
            if given[:1] == ["images"] and "seed" in given and module.__name__ != "lib.generators":
                known[name] = function
    return known


def test_every_victim_can_be_named_in_configs_and_captions():
    known = builders()
    missing = {name for name in known if known[name] not in describe.VICTIMS.values()}
    assert len(known) >= 7 and not missing, "an entry of studies/describe.py, VICTIMS"
    in_words = set(store.VICTIMS_IN_WORDS)
    assert set(describe.VICTIMS) == in_words, "an entry of studies/store.py, VICTIMS_IN_WORDS"


# ---- the page

@dataclass(frozen=True)
class Block:
    """A code block of the page: its language, its file if it names one, where, and its text."""

    language: str
    text: str
    file: str = ""
    place: str = "new"  # "new", "append", "below", "above"
    words: str = ""

    def apply(self, tree: Path) -> None:
        """Put the block into a tree; ValueError where its place is not there, or is there twice."""
        path = tree / self.file
        if self.place == "new":
            if path.exists():
                raise ValueError(f"{self.file} is there already")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.text)
            return
        lines = path.read_text().splitlines(keepends=True)
        if self.place == "append":
            apart = "\n\n" if self.language == "python" else ""
            path.write_text("".join(lines) + apart + self.text)
            return
        where = [i for i, line in enumerate(lines) if self.words in line]
        if len(where) != 1:
            raise ValueError(f"{self.file} has {len(where)} lines with {self.words!r}")
        lines.insert(where[0] + (self.place == "below"), self.text)
        path.write_text("".join(lines))


def blocks() -> list[Block]:
    """The code blocks of the page in their order."""
    known = []
    for info, text in re.findall(r"^```(\w[^\n]*)\n(.*?)^```$", PAGE.read_text(), re.M | re.S):
        told = re.fullmatch(r'(\w+)(?: file=(\S+)(?: (append)| (below|above)="(.*)")?)?', info)
        assert told, f"what is {info!r}?"
        language, file, append, beside, words = told.groups()
        known.append(Block(language, text, file or "", append or beside or "new", words or ""))
    return known


STEPS = [block for block in blocks() if block.file]
COMMANDS = [line for block in blocks() if block.language == "bash"
            for line in block.text.splitlines()]
COPIED = ("lib", "studies", "tools", "tests", "bench", "data/published")
FILES = ("Makefile", "conftest.py", "pyproject.toml", "requirements.txt", "requirements.lock",
         "README.md", "RESULTS.md", "SCOREBOARD.md", "CITATION.cff", "data/README.md",
         "data/references.bib", "notebooks/README.md", ".gitignore")


def copy_of_the_tree(place: Path, without=()) -> Path:
    """A copy with every step of the page but those in `without`."""
    ignored = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for name in COPIED:
        shutil.copytree(ROOT / name, place / name, ignore=ignored)
    (place / "notebooks").mkdir()
    for source in (ROOT / "notebooks").glob("*.py"):
        shutil.copy(source, place / "notebooks")
    for name in FILES:
        shutil.copy(ROOT / name, place / name)
    for step in STEPS:
        if step not in without:
            step.apply(place)
    return place


def run(command: str, tree: Path) -> subprocess.CompletedProcess:
    """A command line of the page, in a tree, with this Python."""
    ours = ("MAKE", "MFLAGS", "PROFILE", "FRESH", "SEED", "DEVICE", "DATA_ROOT", "PRODUCTS",
            "PYTHON", "PYTEST", "JUPYTER", "IPYTHON", "GIT", "COMMIT")
    env = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    words = command.replace("make ", f"make PYTHON={sys.executable} ", 1)
    words = words.replace("python -m", f"{sys.executable} -m", 1)
    for name in ("AUTHOR", "COMMITTER"):
        env |= {f"GIT_{name}_NAME": "a reader", f"GIT_{name}_EMAIL": "reader@localhost"}
    return subprocess.run(words, shell=True, cwd=tree, env=env | {"PYTHONPATH": str(tree)},
                          capture_output=True, text=True)


def test_every_step_of_the_page_has_its_place(tmp_path):
    """Read without running: each block finds its file and its line, and Python stays Python."""
    tree = copy_of_the_tree(tmp_path / "tree")
    assert len(STEPS) > 25 and len(COMMANDS) > 10
    for file in {step.file for step in STEPS if step.file.endswith(".py")}:
        ast.parse((tree / file).read_text())


def test_code_without_a_file_runs():
    for block in blocks():
        if block.language == "python" and not block.file:
            exec(block.text, {})


def test_paths_that_the_page_names_are_there():
    text = re.sub(r"^```.*?^```$", "", PAGE.read_text(), flags=re.M | re.S)
    steps = {step.file for step in STEPS}
    for name in re.findall(r"`((?:lib|studies|tests|data)/[\w./]+\.\w+)`", text):
        assert (ROOT / name).exists() or name in steps, name
    for name in re.findall(r"`(test_\w+\.py)`", text):
        assert (ROOT / "tests" / name).exists(), name
    assert "`lib/models.py` is full" in text
    assert len((ROOT / "lib/models.py").read_text().splitlines()) > 320, "models.py has room again"


@pytest.mark.slow
def test_the_commands_of_the_page_pass(tmp_path):
    tree = copy_of_the_tree(tmp_path / "tree")
    assert run("git init -q", tree).returncode == 0
    for command in COMMANDS:
        done = run(command, tree)
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}"
        assert "no tests ran" not in done.stdout
    assert "09_tag" in (tree / "SCOREBOARD.md").read_text()
    assert (tree / "notebooks/09_tag.ipynb").is_file()


def left_out(file: str, words: str) -> Block:
    """The step of the page that puts these words into a file."""
    step, = (step for step in STEPS if step.file == file and words in step.text)
    return step


FORGOTTEN = {  # a step that is left out -> the test that says so
    ("tests/test_values.py", "(objectives.tag"): "test_every_objective_has_a_value_by_hand",
    ("tests/test_parity.py", 'Row("tag"'): "test_every_preset_has_a_row_of_parity",
    ("tests/test_presets.py", "    attacks.tag: {"): "test_every_preset_has_its_sources",
    ("studies/describe.py", '"tag"'): "test_every_preset_has_a_name_in_configs",
    ("studies/describe.py", '"random_mask"'): "test_every_defense_can_be_named_in_configs",
    ("tests/test_values.py", "wainakh_bias"): "test_every_rule_has_a_value_by_hand",
    ("studies/store.py", "fedavg_cnn"): "test_every_victim_can_be_named_in_configs_and_captions",
    ("lib/__init__.py", "fedavg_cnn"): "test_the_docstring_of_lib_lists_every_file_once",
    ("CITATION.cff", "TAG"): "test_the_citation_names_every_paper",
    ("studies/tag/plan.py", "declare"): "test_a_notebook_of_ours_has_its_plan_in_its_study[09_tag]",
}


@pytest.mark.slow
def test_a_step_that_is_left_out_is_noticed(tmp_path):
    """All that nothing else needs, left out at once: of each a test goes red, and no other test."""
    tree = copy_of_the_tree(tmp_path / "tree", [left_out(*step) for step in FORGOTTEN])
    asked = "every or docstring_of_lib or citation or plan_in_its_study"
    done = run("python -m pytest -q -rf tests/test_extending.py tests/test_house.py "
               f"tests/test_readme.py tests/test_scoreboard.py -k '({asked}) and not step and not "
               "claim'", tree)
    red = set(re.findall(r"^FAILED \S+::(\S+)", done.stdout, re.M))
    assert red == set(FORGOTTEN.values()), done.stdout[-4000:]


@pytest.mark.slow
def test_a_float_that_is_not_made_stops_make(tmp_path):
    tree = copy_of_the_tree(tmp_path / "tree")
    notebook = tree / "notebooks/09_tag.py"
    notebook.write_text(notebook.read_text().replace(
        'report.save_table(table.reset_index(), "distances")', ""))
    done = run("make figures NB=09_tag", tree)
    assert done.returncode and "made no distance (distances), and gave no reason" in done.stderr
