"""For pre-commit: are these notebooks their sources, executed?

    python tools/in_step.py notebooks/01_dlg.py notebooks/01_dlg.ipynb ...

Of a pair either file may be named. Exit code 1, with a line each, where one is not in step.
"""

import sys
from pathlib import Path


def wrong_in(source) -> list[str]:
    """What keeps the notebook beside a source from being committed."""
    import nbformat

    from tools import notebook_files

    notebook = source.with_suffix(".ipynb")
    if not source.is_file():
        return [f"{notebook}: there is no {source.name}"]
    if not notebook.is_file():
        return [f"{notebook}: missing"]
    found = notebook_files.problems(nbformat.read(notebook, as_version=4),
                                    notebook_files.source_notebook(source))
    return [f"{notebook}: {why}" for why in found]


def main(paths) -> int:
    sources = sorted({Path(path).with_suffix(".py") for path in paths})
    wrong = [line for source in sources for line in wrong_in(source)]
    if wrong:
        print("\n".join(wrong))
        print("make notebooks NB=NAME, or make solutions NB=NAME, writes them from their sources")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
    sys.exit(main(sys.argv[1:]))
