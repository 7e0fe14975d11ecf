"""`make doctor`: what this machine has for the notebooks, what is wrong, and the cure."""

import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

from lib import files
from tools import machine

ROOT = Path(__file__).resolve().parents[1]
ASK = """
import json, sys, time, torch
from lib import run
from lib.engine import lanes
has_kernels = lanes.library() is not None
x = torch.randn(512, 512)
begin = time.perf_counter()
for _ in range(20):
    x @ x
print(json.dumps([sys.executable, torch.__version__, run.device_name(run.start().device),
                  run.ROOT.as_posix(), torch.get_num_threads(),
                  40 * 512**3 / (time.perf_counter() - begin) / 1e9, has_kernels]))
"""
faults = 0


def say(what, text, cure=None, advice=False) -> None:
    """A line, and its cure. Advice is no fault: it says what makes this slow."""
    global faults
    faults += bool(cure) and not advice
    mark = "ok"
    if cure:
        mark = "??" if advice else "!!"
    print(f"{mark}  {what:<12} {text}")
    if cure:
        print(f"    {'':<12} -> {cure}")


def environment() -> None:
    version = ".".join(map(str, sys.version_info[:3]))
    say("python", f"{version}, {sys.executable}",
        "Python 3.11 or newer is needed" if sys.version_info < (3, 11) else None)
    stamp, ours = ROOT / ".venv/.complete", Path(sys.prefix) == ROOT / ".venv"
    whole = stamp.exists() and not (ROOT / ".venv/.installing").exists()
    if os.environ.get("CONDA_DEFAULT_ENV") == "leaky-gradients":
        say("environment", "conda: leaky-gradients")
    elif ours and not whole:
        say("environment", ".venv, not complete", "make test, or any target, completes it")
    elif ours and stamp.read_text().rstrip("\n") != str(ROOT):
        say("environment", f".venv, made for {stamp.read_text().strip()}",
            "make test, or any target, mends its scripts")
    else:
        say("environment", ".venv, complete" if ours else f"{sys.prefix}, not made by make")


def jupyter_path() -> None:
    if given := os.environ.pop("JUPYTER_PATH", ""):
        say("JUPYTER_PATH", f"{given}: make runs notebooks without it",
            "unset JUPYTER_PATH, or Jupyter may run notebooks in another environment's kernel")


def kernel() -> None:
    """The interpreter as a notebook sees it."""
    import nbclient
    import nbformat
    from jupyter_client.kernelspec import KernelSpecManager

    where = Path(KernelSpecManager().find_kernel_specs().get("python3", "missing"))
    shadow = not where.is_relative_to(sys.prefix) and where.name != "missing"
    say("kernelspec", str(where), f"remove {where}, which shadows this environment's" if shadow
        else None)
    os.environ.pop("PYTHONPATH", None)                       # make sets it, Jupyter does not
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(ASK)])
    begin = time.monotonic()
    try:
        nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3",
                                extra_arguments=["--log-level=ERROR"]).execute()
    except Exception as error:                               # whatever keeps a kernel from running
        say("kernel", "does not run", str(error).strip().splitlines()[-1])
        return
    printed = next(o["text"] for o in notebook.cells[0].outputs if o.get("name") == "stdout")
    python, torch, device, root, threads, speed, has_kernels = json.loads(printed)
    other = Path(python).parent != Path(sys.executable).parent
    say("kernel", f"{python}, up in {time.monotonic() - begin:.0f} s",
        "notebooks run in another interpreter: remove the user's kernel python3" if other else None)
    say("lib", root, f"rm {ROOT}/.venv/.complete; make test, or any target, shows Jupyter this one"
        if Path(root) != ROOT else None)
    say("kernels", "the engine's, compiled" if has_kernels else "the engine's are not compiled",
        None if has_kernels else "install a C++ compiler (c++): attacks on small networks are "
        "several times faster with it", advice=True)
    say("torch", f"{torch} on {device}; {speed:.0f} GFLOP/s on {threads} processor threads")


def data() -> None:
    root = Path(os.environ.get("DATA_ROOT") or ROOT / "data").resolve()
    if not root.is_dir():
        say("data", str(root), "DATA_ROOT names no folder")
        return
    packed = [re.match(r"(.+?)-(train|test)(-\d+)?\.npz", file.name) for file in root.iterdir()]
    sets = {match[1] for match in packed if match}
    sets |= {file.name for file in root.iterdir() if file.is_dir()} - {
        "cells", "published", "weights"}
    say("data", f"{root}: digits, faces and photos are built in"
        + (f"; here are {', '.join(sorted(sets))}" if sets else
           "; the paper profile's sets are not here: make data"))
    weights = sorted(file.name for file in (root / "weights").rglob("*.pth"))
    say("weights", ", ".join(weights) or "none: LPIPS columns stay empty until make weights")


def style() -> None:
    """Whose matplotlibrc is found."""
    import matplotlib

    own = Path(matplotlib.matplotlib_fname())
    brought = Path(matplotlib.get_data_path())
    say("matplotlibrc", "none of yours" if own.is_relative_to(brought)
        else f"{own}: the notebooks' figures are drawn without it")


def places() -> None:
    """Where make writes: can it, and is there something that killed runs left?"""
    wrong = []
    for name in ("build", "figures", "data/cells", "notebooks"):
        there = ROOT / name
        while not os.path.lexists(there):
            there = there.parent
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            wrong.append(f"{there}: {error.strerror}")
    say("folders", "; ".join(wrong) or "build, figures, data/cells and notebooks can be written",
        "make them writable: notebooks are refused before they run" if wrong else None)
    folders = [folder for name in ("build", "figures", "data/cells", "notebooks")
               for folder in (ROOT / name, *(ROOT / name).rglob("*/"))]
    left = [str(file.relative_to(ROOT)) for folder in folders for file in files.leftovers(folder)]
    say("leftovers", f"{len(left)} temporary files of killed runs: {', '.join(left[:3])}" if left
        else "no temporary files of killed runs", f"rm {' '.join(left)}" if left else None)


def cells() -> None:
    """Read every stored result; an altered one is shown by no notebook."""
    from studies import cells

    stored = sorted((ROOT / "data/cells").rglob("[!.]*.json"))
    stored += sorted((ROOT / "build/cells").rglob("[!.]*.json"))
    wrong = []
    for path in stored:
        try:
            cells.load(path)
        except ValueError as error:
            wrong.append((path.relative_to(ROOT), str(error)))
    say("cells", f"{len(stored)} stored results, {len(stored) - len(wrong)} of them whole")
    for path, why in wrong:
        tracked = path.parts[0] == "data"
        say("cell", why, f"git checkout -- {path.with_suffix('')}.*" if tracked
            else f"rm {path}, or let its notebook compute it again")


def around() -> None:
    """The machine, the packages and the cluster."""
    given = os.environ.get("CLUSTER", ""), os.environ.get("JOBS", "")
    for rows in (machine.cores(), machine.threads(), machine.disk(), machine.packages(),
                 machine.scripts(), machine.cluster(*given)):
        for row in rows:
            say(row.what, row.text, row.cure, row.advice)


def main() -> int:
    for check in (environment, around, jupyter_path, kernel, data, style, places, cells):
        check()
    print("nothing is wrong" if not faults else f"{faults} to mend")
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
