"""The course assignments, graded by nbgrader: solved, untouched, by halves; and wrong answers.

One student of one assignment here, all of them with `make test-slow`.
"""

import os
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import matplotlib
import nbformat
import pytest
from nbgrader.api import Gradebook
from wrong_answers import WRONG

from tools import notebook_files, reading

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "notebooks/assignments"
NAMES = sorted(path.stem for path in FOLDER.glob("*.py"))
ONE_OR_ALL = [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])]
REGION = re.compile(r"^ *### BEGIN (SOLUTION|HIDDEN TESTS)\n(.*?)^ *### END \1$", re.M | re.S)


def source(name):
    return notebook_files.source_notebook(FOLDER / f"{name}.py")


def about(cell) -> dict:
    return cell.metadata.get("nbgrader", {})


def exercises(notebook) -> dict:
    """The id of each cell that a student fills in, and the points of the tests that bear its name.
    """
    ids = [about(cell)["grade_id"] for cell in notebook.cells if about(cell).get("solution")]
    return {one: sum(about(cell)["points"] for cell in notebook.cells if about(cell).get("grade")
                     and about(cell)["grade_id"].startswith(f"{one}-")) for one in ids}


def make(course, *names, **more):
    env = {key: value for key, value in os.environ.items()
           if key not in ("SEED", "PICTURES", "COURSE", "DATA_ROOT", "DEVICE")}
    return subprocess.run([sys.executable, "tools/assignments.py", *names], cwd=ROOT, text=True,
                          env=env | {"COURSE": str(course)} | more, capture_output=True)


def nbgrader(course, *words):
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run([sys.executable, "-m", "nbgrader", *words], cwd=course, text=True,
                          env=os.environ | {"PATH": path}, capture_output=True)
    assert done.returncode == 0, done.stderr[-3000:]


def hand_in(course, name, student, solved):
    """A student's notebook: the released one, with the answers to `solved` filled in."""
    answers = {about(cell).get("grade_id"): cell.source for cell in source(name).cells}
    notebook = nbformat.read(course / f"release/{name}/{name}.ipynb", as_version=4)
    for cell in notebook.cells:
        if about(cell).get("grade_id") in solved:
            cell.source = REGION.sub(r"\2", answers[about(cell)["grade_id"]])
    notebook_files.write(course / f"submitted/{student}/{name}/{name}.ipynb", notebook)


def scores(course, name) -> dict:
    with Gradebook(f"sqlite:///{course}/gradebook.db", "leaky-gradients") as book:
        return {one.student.id: one.score for one in book.assignment_submissions(name)}


@pytest.mark.parametrize(("name", "everybody"), [
    (NAMES[0], False), *(pytest.param(name, True, marks=pytest.mark.slow) for name in NAMES)])
def test_points_are_given_for_what_was_solved_and_for_nothing_else(name, everybody, tmp_path):
    done = make(tmp_path, name)
    assert done.returncode == 0 and done.stdout.startswith("20 points"), done.stderr
    released = nbformat.read(tmp_path / f"release/{name}/{name}.ipynb", as_version=4)
    check_no_answer_is_left(source(name), released)

    points = exercises(source(name))
    students = {"all": [*points], "none": [], "odd": [*points][::2], "even": [*points][1::2]}
    if not everybody:  # each takes seconds: what "odd" left out earns nothing either
        students = {"odd": students["odd"]}
    for student, solved in students.items():
        hand_in(tmp_path, name, student, solved)
    if everybody:
        check_collecting(tmp_path, name, [*students][:2])
    nbgrader(tmp_path, "autograde", name)
    assert scores(tmp_path, name) == {
        student: sum(points[one] for one in solved) for student, solved in students.items()}
    assert sum(points.values()) == 20
    if everybody:
        nbgrader(tmp_path, "generate_feedback", name)
        nbgrader(tmp_path, "export")
        assert (tmp_path / f"feedback/all/{name}/{name}.html").is_file()
        assert (tmp_path / "grades.csv").read_text().count(name) == len(students)

    refused = make(tmp_path, name)
    assert refused.returncode == 1 and "has submissions" in refused.stderr


def check_collecting(course, name, students):
    """The two students come from an archive, as learning platforms write them."""
    archive = course / f"downloaded/{name}/archive/all.zip"
    archive.parent.mkdir(parents=True)
    with zipfile.ZipFile(archive, "w") as packed:
        for student, middle in zip(students, ("17_file_/", "18_"), strict=True):
            handed_in = course / f"submitted/{student}/{name}/{name}.ipynb"
            packed.write(handed_in, f"{student}_{middle}{name}.ipynb")
            shutil.rmtree(handed_in.parents[1])
    nbgrader(course, "zip_collect", name)


def check_no_answer_is_left(solved, released):
    """Every line that only a solution or a hidden test has is gone; nothing was run."""
    everything = [cell.source for cell in solved.cells]
    shown = {line.strip() for text in everything for line in REGION.sub("", text).splitlines()}
    secret = {line.strip() for text in everything for _, region in REGION.findall(text)
              for line in region.splitlines()} - shown
    left = [cell.source for cell in released.cells]
    kept = {line.strip() for text in left for line in text.splitlines()}
    assert len(secret) > 40 and not secret & kept
    assert not any(word in text for text in left for word in ("BEGIN", "END SOLUTION"))
    stubs = sum("raise NotImplementedError()" in text for text in left)
    assert stubs == len(exercises(solved)) and "YOUR CODE HERE" in "".join(left)
    assert not any(cell.get("outputs") for cell in released.cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_another_term_has_other_numbers(name, tmp_path):
    """`make assignments` runs the solutions with numbers not ours; then they are graded."""
    assert make(tmp_path, name, SEED="2027", PICTURES="digits").returncode == 0
    hand_in(tmp_path, name, "all", exercises(source(name)))
    nbgrader(tmp_path, "autograde", name)
    assert scores(tmp_path, name) == {"all": 20}
    graded = nbformat.read(tmp_path / f"autograded/all/{name}/{name}.ipynb", as_version=4)
    cell = next(cell for cell in graded.cells if about(cell).get("grade_id") == "parameters")
    assert "seed = 2027 " in cell.source
    assert 'pictures = "digits"' in cell.source or "pictures" not in cell.source


@pytest.mark.parametrize("name", NAMES)
def test_a_student_sees_twenty_lines_of_code_in_a_cell_at_most(name):
    """Without solutions and hidden tests, and without blank lines, as for pages."""
    long = []
    for cell in source(name).cells:
        cell.source = REGION.sub("", cell.source)
        if reading.lines_of(cell) > reading.LINES:
            long.append(about(cell).get("grade_id", cell.source[:60]))
    assert not long


SETS = re.compile(r'^pictures = .*# (.*)$', re.M)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_solutions_pass_whatever_the_numbers(name, monkeypatch):
    """Twenty seeds where nothing is searched, else three; every image set that it names."""
    monkeypatch.setenv("QUIET", "1")
    notebook, failed = source(name), []
    parameters = next(c.source for c in notebook.cells if about(c).get("grade_id") == "parameters")
    named = re.findall(r'"(\w+)"', SETS.search(parameters)[1]) if "pictures" in parameters else [""]
    for pictures in named:
        for seed in range(1, 21 if name == "01_dense_layer" else 4):
            names = run_cells(notebook, {"seed": seed, "pictures": pictures})
            failed += [(seed, pictures, test) for exercise in exercises(notebook)
                       for test in fails(notebook, exercise, names)]
    assert not failed


@pytest.mark.parametrize(("words", "more", "wanted"), [
    (["05_none"], {}, "there are 01_dense_layer"),
    ([], {"PICTURES": "faces"}, "01_dense_layer it is one of digits, photos"),
    (["02_dlg_from_scratch"], {"PICTURES": "cats"}, "one of digits, faces, photos"),
    ([], {"SEED": "one"}, "a seed is a whole number"),
])
def test_what_does_not_fit_is_said_before_any_work(words, more, wanted, tmp_path):
    done = make(tmp_path / "course", *words, **more)
    assert done.returncode == 1 and wanted in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "course").exists()


@pytest.mark.parametrize("name", NAMES)
def test_an_assignment_is_what_its_first_cell_says(name):
    """Parts, points and minutes; every test belongs to an exercise; every cell has its own id."""
    cells = source(name).cells
    rows = re.findall(r"^\| (\d) \| ([^|]+?) \| (\d+) \| (\d+) \|$", cells[0].source, re.M)
    text = "\n".join(f"@{about(cell).get('points', 0)}@" if about(cell).get("grade")
                     else cell.source for cell in cells)
    parts = re.split(r"^## Part (\d)\. .*\((\d+) points?\)$", text, flags=re.M)[1:]
    given = [(number, points, sum(map(int, re.findall(r"^@(\d+)@$", body, re.M))))
             for number, points, body in zip(*[iter(parts)] * 3, strict=True)]
    assert [(number, points, int(points)) for number, _, points, _ in rows] == given
    assert sum(int(points) for _, _, points, _ in rows) == 20
    assert sum(int(minutes) for *_, minutes in rows) == 90
    ids = [about(cell)["grade_id"] for cell in cells if about(cell)]
    assert len(ids) == len(set(ids)) and sum(exercises(source(name)).values()) == 20
    assert all(points > 0 for points in exercises(source(name)).values())
    for cell in cells:
        region = dict(REGION.findall(cell.source))
        assert ("SOLUTION" in region) == bool(about(cell).get("solution"))
        assert "HIDDEN TESTS" not in region or about(cell)["grade"]
        assert about(cell) or not cell.source.startswith("###")


def run_cells(notebook, parameters=None) -> dict:
    """What a notebook has defined once all but its tests and figures were run, with the solutions.
    """
    names = {"__name__": "__main__"}
    for cell in notebook.cells:
        if about(cell) and not about(cell)["grade"]:
            exec(cell.source, names)
            if about(cell)["grade_id"] == "parameters":
                names.update(parameters or {})
    return names


def fails(notebook, exercise, names) -> list:
    """The tests of an exercise that do not pass. `names` is what the notebook has defined."""
    failed = []
    for cell in notebook.cells:
        if about(cell).get("grade") and about(cell)["grade_id"].startswith(f"{exercise}-"):
            try:
                exec(cell.source, names)
            except Exception:
                failed.append(about(cell)["grade_id"])
    return failed


@pytest.mark.parametrize("name", ONE_OR_ALL)
def test_no_wrong_answer_gets_full_points(name, monkeypatch):
    matplotlib.use("agg")
    monkeypatch.setenv("QUIET", "1")  # the notebook sets it; this takes it back
    notebook = source(name)
    names = run_cells(notebook)
    solutions = {about(cell)["grade_id"]: cell.source for cell in notebook.cells
                 if about(cell).get("solution")}
    assert {one for one, _, _ in WRONG[name]} == set(solutions), "a wrong answer to each exercise"
    survived = []
    for exercise, what, by in WRONG[name]:
        assert what in solutions[exercise], (exercise, what)
        assert not fails(notebook, exercise, names), f"the solution of {exercise} fails"
        exec(solutions[exercise].replace(what, by), names)
        if not fails(notebook, exercise, names):
            survived.append((exercise, by))
        exec(solutions[exercise], names)
    assert not survived
