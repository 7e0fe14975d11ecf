"""`make mutants`: does a test go red when one line of lib or studies says something else?

Draws one-line mutations with a fixed seed, equally many of each file below, and runs each against
the tests of its file, in a copy of the tree and until the first failure. Writes tests/mutants.csv.
A mutant costs seconds: one process imports torch and what else the tests import, but not lib, and
forks for every mutant. What a line may say instead: `mutations.py`.
"""

import argparse
import csv
import importlib
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from tools.mutations import Mutant, mutants_of

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "mutants"
PACKAGES = BUILD / "packages"
TABLE = ROOT / "tests" / "mutants.csv"
COPIED = ("lib", "tests", "bench", "studies", "tools", "notebooks", "data/published")
FIELDS = ("file", "line", "before", "after", "verdict", "test")
PROCESSES, GOAL, LIMIT_S = 2, 0.85, 600
WHOLE = 120  # mutants of a sample that is written down

# The tests of a file, those first that are quick and likely to see a change.
TESTS = {
    "lib/objectives.py": ("objectives", "values", "parity"),
    "lib/priors.py": ("objectives", "values", "parity"),
    "lib/labels.py": ("labels", "values"),
    "lib/defenses.py": ("defenses", "values", "client"),
    "lib/metrics.py": ("values", "metrics"),
    "lib/mixing.py": ("defenses", "values", "attacks"),
    "lib/analytic.py": ("values", "analytic"),
    "lib/engine/optimizers.py": ("engine", "parity"),
    "lib/engine/evaluation.py": ("engine", "parity"),
    "lib/engine/rollout.py": ("engine", "parity"),
    "lib/engine/loop.py": ("engine", "attacks"),
    "lib/spaces.py": ("presets", "parity", "generators"),
    "lib/attack.py": ("presets", "attacks"),
    "lib/attacks.py": ("presets", "values", "parity", "attacks", "generators"),
    "lib/formula.py": ("engine", "parity", "values"),
    "lib/problem.py": ("attacks", "engine", "parity"),
    "lib/reconstruct.py": ("attacks", "engine", "parity"),
    "studies/case.py": ("case", "studies", "bad_inputs"),
    "studies/deal.py": ("case", "studies"),
    "studies/scores.py": ("case", "studies"),
    "studies/store.py": ("store", "cells"),
    "studies/choose.py": ("choose",),
    "studies/keys.py": ("keys",),
    "studies/cells.py": ("cells", "store"),
    "studies/verdicts.py": ("verdicts",),
}
IMPORTED_ONCE = ("torch", "torchvision", "pandas", "scipy.optimize", "torchmetrics", "lpips",
                 "skimage.metrics", "sklearn.datasets", "pytest", "numpy", "tqdm",
                 "torch.utils.flop_counter", "torch.fx.experimental.proxy_tensor",
                 "torchmetrics.functional.image", "opacus.accountants", "matplotlib.pyplot",
                 "IPython.display", "PIL.Image", "scipy.stats", "seaborn", "jupytext", "nbformat")


def drawn(count: int) -> list[Mutant]:
    """The sample: as many of each file, as far as that goes."""
    shares = [count // len(TESTS) + (i < count % len(TESTS)) for i in range(len(TESTS))]
    mutants = []
    for file, share in zip(TESTS, shares, strict=True):
        mutants += mutants_of(ROOT, file, share)
    return mutants


# ---- running them

def trees() -> list[Path]:
    """A copy of what the tests read, one a process."""
    places = [BUILD / f"tree{i}" for i in range(PROCESSES)]
    ignore = shutil.ignore_patterns("__pycache__", "*.ipynb")
    for tree in places:
        shutil.rmtree(tree, ignore_errors=True)
        for name in COPIED:
            shutil.copytree(ROOT / name, tree / name, ignore=ignore)
        for file in ("pyproject.toml", "Makefile", "README.md", "requirements.lock",
                     "data/references.bib"):
            shutil.copy(ROOT / file, tree / file)
    return places


def begin(tree: Path, mutant: Mutant) -> int:
    """Fork a process that runs the tests of the mutant's file in `tree`: its number."""
    (tree / mutant.file).write_text(mutant.code)
    log = tree / "log.txt"
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        os.chdir(tree)
        sys.path[:] = [str(tree), *(p for p in sys.path if p not in ("", str(ROOT)))]
        with open(log, "w") as out:
            os.dup2(out.fileno(), 1)
            os.dup2(out.fileno(), 2)
        code = tested(tree, mutant)
    finally:
        os._exit(code)


class FirstFailure:
    """A pytest plugin that writes down which test failed first."""

    def __init__(self, file: Path):
        self.file = file

    def pytest_runtest_logreport(self, report):
        self.note(report)

    def pytest_collectreport(self, report):
        self.note(report)

    def note(self, report):
        if report.failed and not self.file.exists():
            self.file.write_text(report.nodeid)


def tested(tree: Path, mutant: Mutant) -> int:
    """Pytest's code: 0 where every test passes."""
    import pytest

    failure = tree / "failed.txt"
    failure.unlink(missing_ok=True)
    files = [f"tests/test_{name}.py" for name in TESTS[mutant.file]]
    arguments = ["-x", "-q", "-m", "not slow", "-p", "no:cacheprovider", "-p", "no:xdist"]
    return int(pytest.main([*arguments, *files], plugins=[FirstFailure(failure)]))


def finished(pid: int, since: float) -> str | None:
    """Verdict of a process that ended, or ran too long; None while it runs."""
    done, status = os.waitpid(pid, os.WNOHANG)
    if done:
        passed = os.waitstatus_to_exitcode(status) == 0
        return "survived" if passed else "killed"
    if time.monotonic() - since > LIMIT_S:
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        return "time limit"
    return None


def run_all(mutants: list[Mutant], say) -> list[dict]:
    """A row of FIELDS a mutant, PROCESSES of them at a time; `say(row, seconds)` after each."""
    free, waiting, running, rows = trees(), list(enumerate(mutants)), {}, {}
    while waiting or running:
        while waiting and free:
            number, mutant = waiting.pop(0)
            tree = free.pop()
            running[begin(tree, mutant)] = number, mutant, tree, time.monotonic()
        time.sleep(0.05)
        for pid, (number, mutant, tree, since) in list(running.items()):
            verdict = finished(pid, since)
            if verdict is None:
                continue
            del running[pid]
            shutil.copy(ROOT / mutant.file, tree / mutant.file)
            failure = tree / "failed.txt"
            test = failure.read_text() if verdict == "killed" and failure.exists() else ""
            values = (mutant.file, mutant.line, mutant.before, mutant.after, verdict, test)
            rows[number] = dict(zip(FIELDS, values, strict=True))
            free.append(tree)
            say(rows[number], time.monotonic() - since)
    return [rows[i] for i in range(len(mutants))]


def unchanged() -> list[Mutant]:
    """Every file as it is: their tests have to pass before a failure says anything."""
    return [Mutant(file, 0, "", "", (ROOT / file).read_text()) for file in TESTS]


# ---- the command


def install() -> None:
    """libcst, apart from the pinned environment."""
    if not (PACKAGES / "libcst").is_dir():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--target", str(PACKAGES)]
        subprocess.run([*command, "-r", str(ROOT / "requirements-mutants.txt")], check=True)
    sys.path.append(str(PACKAGES))


def say(row: dict, seconds: float) -> None:
    where = f"{row['file']}:{row['line']}"
    print(f"{row['verdict']:<10} {seconds:5.1f} s  {where:<24} {row['after'][:90]}", flush=True)


def write(rows: list[dict]) -> None:
    """tests/mutants.csv, of a whole sample."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FIELDS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    TABLE.write_text(text.getvalue())


def report(rows: list[dict]) -> int:
    """Say the share and name the survivors; 1 where it is below GOAL."""
    killed = sum(row["verdict"] != "survived" for row in rows)
    print(f"{killed} of {len(rows)} killed, {killed / len(rows):.1%}")
    for row in rows:
        if row["verdict"] == "survived":
            print(f"  {row['file']}:{row['line']}\n    - {row['before']}\n    + {row['after']}")
    return int(killed < GOAL * len(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("count", nargs="?", type=int, default=WHOLE, help="mutants in the sample")
    parser.add_argument("--list", action="store_true", help="say what would be run, as JSON lines")
    parser.add_argument("--file", choices=TESTS, help="only those of one file")
    arguments = parser.parse_args()
    install()
    mutants = drawn(arguments.count)
    if arguments.file:
        mutants = [m for m in mutants if m.file == arguments.file]
    if arguments.list:
        for m in mutants:
            print(json.dumps([m.file, m.line, m.before, m.after]))
        return 0
    os.environ |= {"OMP_NUM_THREADS": "1", "QUIET": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    sys.dont_write_bytecode = True
    for name in IMPORTED_ONCE:
        importlib.import_module(name)
    chosen = {m.file for m in mutants}
    base = run_all([m for m in unchanged() if m.file in chosen], say)
    red = [f"{row['file']}: {row['test']}" for row in base if row["verdict"] != "survived"]
    if red:
        print("tests fail before anything is changed: " + "; ".join(red), file=sys.stderr)
        return 1
    rows = run_all(mutants, say)
    if arguments.count >= WHOLE and not arguments.file:
        write(rows)
    return report(rows)


if __name__ == "__main__":
    sys.exit(main())
