"""The hands of `make assignments`: a course folder of nbgrader, from the sources with solutions.

    python tools/assignments.py [01_dense_layer ...]

COURSE names the folder (build/assignments), SEED and PICTURES replace those parameters; with other
numbers than ours the solutions are run first. notebooks/assignments/README.md says how to go on.
"""

import copy
import os
import re
import subprocess
import sys
from pathlib import Path

from tools import notebook_files, run_notebook
from tools.run_notebook import ROOT, Failed

SOURCES = ROOT / "notebooks/assignments"
CONFIG = '''# The course folder of Leaky Gradients' assignments: run nbgrader in here.
c = get_config()  # noqa: F821
c.CourseDirectory.course_id = "leaky-gradients"
c.ExecutePreprocessor.timeout = 180  # seconds a cell: a loop without end is one failed cell
c.ExecutePreprocessor.iopub_timeout = 60  # for outputs that come late on a busy machine
# For nbgrader zip_collect, in an archive: NAME_anything_01_dense_layer.ipynb, or a folder of that.
c.FileNameCollectorPlugin.named_regexp = (
    r".*/extracted/[^/]+/(?P<student_id>[^/_]+)_.*?(?P<file_id>[0-9]{2}_[a-z_]+)\\.ipynb")
'''


def names() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("[0-9][0-9]_*.py"))


def source(assignment, given):
    """The notebook of an assignment, with other values in its cell tagged `parameters`. A word has
    to be one that the parameter's own comment names; what it has no parameter for is left out."""
    notebook = notebook_files.source_notebook(SOURCES / f"{assignment}.py")
    cell = next(cell for cell in notebook.cells if "parameters" in notebook_files.tags_of(cell))
    for name, value in given.items():
        line = re.search(rf"^{name} = (\S+)(.*)$", cell.source, re.M)
        if not line:
            continue
        if isinstance(value, str) and f'"{value}"' not in line[0]:
            allowed = ", ".join(sorted(set(re.findall(r'"(\w+)"', line[0]))))
            raise Failed(f"{name.upper()}={value}: for {assignment} it is one of {allowed}")
        new = f'"{value}"' if isinstance(value, str) else str(value)
        cell.source = cell.source.replace(line[0], f"{name} = {new}{line[2]}")
    return notebook


def parameters() -> dict:
    """SEED and PICTURES, where they are given. Of a profile, a device or data the course has none.
    """
    given = {key: value for key, value in run_notebook.parameters().items() if key == "seed"}
    if os.environ.get("PICTURES"):
        given["pictures"] = os.environ["PICTURES"]
    return given


def failures(notebook) -> list[str]:
    """The tests that the solutions fail, as nbgrader counts: an error, or a word on stderr."""
    import nbclient

    run = nbclient.NotebookClient(copy.deepcopy(notebook), timeout=180, iopub_timeout=60,
                                  allow_errors=True,
                                  extra_arguments=["--log-level=ERROR"]).execute()
    return [cell.metadata.get("nbgrader", {}).get("grade_id", "a figure") for cell in run.cells
            if any(output.output_type == "error" or output.get("name") == "stderr"
                   for output in cell.get("outputs", []))]


def points(notebook) -> int:
    return sum(cell.metadata.get("nbgrader", {}).get("points", 0) for cell in notebook.cells)


def generate(course, wanted, given) -> None:
    """source/ (with solutions), release/ (without) and the gradebook, by nbgrader itself."""
    if (course / "submitted").exists():
        raise Failed(f"{course} has submissions: a course that runs keeps its numbers. Give "
                     "another folder (COURSE=...), or run nbgrader generate_assignment in it")
    sources = {name: source(name, given) for name in wanted}
    for name in wanted if given else ():
        print(f"{name}: running the solutions with these numbers", flush=True)
        wrong = failures(sources[name])
        if wrong:
            raise Failed(f"{name}: with these numbers its own solutions fail {', '.join(wrong)}: "
                         "another SEED")
    # nbgrader looks for its own alembic on PATH, where an environment that is not activated is not.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    course.mkdir(parents=True, exist_ok=True)
    (course / "nbgrader_config.py").write_text(CONFIG)
    for name, notebook in sources.items():
        notebook_files.write(course / "source" / name / f"{name}.ipynb", notebook)
        done = subprocess.run([sys.executable, "-m", "nbgrader", "generate_assignment", name,
                               "--force"], cwd=course, env=os.environ | {"PATH": path},
                              capture_output=True, text=True)
        released = course / "release" / name / f"{name}.ipynb"
        if done.returncode or not released.is_file():
            raise Failed(f"nbgrader made no student version of {name}:\n{done.stderr[-2000:]}")
        print(f"{points(notebook)} points  {released}", flush=True)


def main(*wanted) -> int:
    course = Path(os.environ.get("COURSE") or ROOT / "build/assignments").expanduser().absolute()
    try:
        unknown = sorted(set(wanted) - set(names()))
        if unknown:
            raise Failed(f"no assignment {', '.join(unknown)}: there are {', '.join(names())}")
        generate(course, wanted or names(), parameters())
    except Failed as error:
        print(f"assignments: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
