"""The hands of `make solutions`: run the solutions of the pages' exercises, as they are committed.

    python tools/solutions.py [01_dlg ...]          notebooks/solutions/NAME.ipynb from NAME.py

A notebook that is its source, executed, is left as it is; FRESH=1 runs it again.
"""

import sys
from pathlib import Path

from lib import run
from tools import notebook_files

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ROOT / "notebooks/solutions"
SECONDS = 120  # a cell may take, on a busy machine


def names() -> list[str]:
    return sorted(path.stem for path in SOURCES.glob("[0-9][0-9]_*.py"))


def executed(name):
    """The notebook of the solutions of a page, run in their folder. Raises CellExecutionError for
    an assertion that fails."""
    import nbclient

    notebook = notebook_files.source_notebook(SOURCES / f"{name}.py")
    nbclient.NotebookClient(notebook, timeout=SECONDS, extra_arguments=["--log-level=ERROR"],
                            resources={"metadata": {"path": str(SOURCES)}}).execute()
    return notebook_files.cleaned(notebook)


def in_step(name) -> bool:
    """Is the committed notebook its source, executed?"""
    import nbformat

    committed = SOURCES / f"{name}.ipynb"
    if not committed.is_file():
        return False
    source = notebook_files.source_notebook(SOURCES / f"{name}.py")
    return not notebook_files.problems(nbformat.read(committed, as_version=4), source)


def main(*asked) -> int:
    from nbclient.exceptions import CellExecutionError

    unknown = sorted(set(asked) - set(names()))
    if unknown:
        sys.exit(f"no solutions of {unknown[0]}: there are {', '.join(names())}")
    for name in asked or names():
        if in_step(name) and not run.fresh():
            print(f"{name}: in step")
            continue
        try:
            notebook = executed(name)
        except CellExecutionError as error:
            sys.exit(f"solutions of {name}: {error}")
        wrong = notebook_files.problems(notebook, notebook_files.source_notebook(
            SOURCES / f"{name}.py"))
        if wrong:
            sys.exit(f"solutions of {name} may not be committed: {'; '.join(wrong)}")
        notebook_files.write(SOURCES / f"{name}.ipynb", notebook)
        print(f"{name}: run")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
