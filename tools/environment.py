"""Set .venv up as requirements.lock says; make runs this before all else.

    python3 tools/environment.py        with the Python that the environment is to be made from

`.venv/.installing` stands there while anything is changed: an environment that still has it was cut
short, and is made anew, since pip takes a half-copied package for an installed one. One that a user
made is completed. `.venv/.complete`, written last, names the folder that the environment belongs
to. Where it names another, it was moved or copied: its scripts, which name the old place, are
mended. Needs no package.

Every package is held to the hashes of the lock. A PyTorch for processors alone that is there
already ("2.11.0+cpu") is kept, and CUDA's libraries are left out.
"""

import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTALL = ("-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes",
           "-r")
TORCH = "import importlib.metadata as packages; print(packages.version('torch'))"
OF_CUDA = re.compile(r"(nvidia-|cuda-|triton==)")
# How pip begins a script where the interpreter's path has a space: sh runs the second line, and to
# Python lines two and three are a string.
HEADER = "#!/bin/sh\n'''exec' \"{}\" \"$0\" \"$@\"\n' '''\n"
FORMER = (re.compile(rb"""\A#!/bin/sh\n'''exec' "?([^\n]*?)"? "\$0" "\$@"\n' '''\n"""),
          re.compile(rb"""\A#! *([^\n]*)\n"""))
INTERPRETER = re.compile(rb"/\.venv/bin/(python[0-9.]*)\Z")


def prepare(root: Path) -> None:
    """Raises subprocess.CalledProcessError where a step fails."""
    venv = root / ".venv"
    python, stamp, installing = venv / "bin/python", venv / ".complete", venv / ".installing"
    if installing.exists() or not runs(python):
        print(f"making {venv.name}", flush=True)
        venv.mkdir(exist_ok=True)
        installing.touch()
        clear(venv, installing)
        call(root, sys.executable, "-m", "venv", venv)
    elif stamp.is_file() and stamp.read_text().rstrip("\n") != str(root) or broken(venv):
        print(f"{venv.name} was moved here or copied: mending its scripts", flush=True)
        mend(venv)
    lock = lock_for(root, python)
    if installing.exists() or missing(root, python, lock):
        print(f"installing requirements.lock into {venv.name}: minutes the first time", flush=True)
        installing.touch()
        stamp.unlink(missing_ok=True)
        call(root, python, *INSTALL, lock)
    show_lib(venv, root)
    stamp.write_text(f"{root}\n")
    installing.unlink(missing_ok=True)


def call(root, *words) -> None:
    subprocess.run([*map(str, words)], cwd=root, check=True)


def clear(folder, kept) -> None:
    """Remove all but one file: removing that too, a kill would leave a remnant that looks whole."""
    for path in folder.iterdir():
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        elif path != kept:
            path.unlink()


def runs(python) -> bool:
    try:
        asked = subprocess.run([python, "-m", "pip", "--version"], capture_output=True)
        return asked.returncode == 0
    except OSError:
        return False


def lock_for(root, python) -> Path:
    """The lock that this environment is held to: without CUDA where its PyTorch has none."""
    lock = root / "requirements.lock"
    asked = subprocess.run([python, "-c", TORCH], capture_output=True, text=True)
    if not asked.stdout.rstrip().endswith("+cpu"):
        return lock
    shorter = root / ".venv/requirements.lock"
    shorter.write_text(without_cuda(lock.read_text()))
    return shorter


def without_cuda(text) -> str:
    """A lock without CUDA's libraries, each with the lines of its hashes."""
    kept, leave = [], False
    for line in text.splitlines(keepends=True):
        if not line.startswith(" "):
            leave = bool(OF_CUDA.match(line))
        if not leave:
            kept.append(line)
    return "".join(kept)


def missing(root, python, lock) -> bool:
    """Whether pip would install something. Where nothing is missing this needs no network, and
    where something is, a network that fails leaves the environment as it was."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        call(root, python, *INSTALL, lock, "--dry-run", "--report", report)
        return bool(json.loads(report.read_text())["install"])


def mend(venv) -> None:
    """Let every script that names a former place of the environment name this one."""
    base = subprocess.run([venv / "bin/python", "-c", "import sys; print(sys._base_executable)"],
                          capture_output=True, text=True, check=True).stdout.rstrip("\n")
    call(venv.parent, base, "-m", "venv", "--without-pip", venv)  # bin/activate, pyvenv.cfg
    for script in (venv / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        header = next(filter(None, (pattern.match(text) for pattern in FORMER)), None)
        if header and (named := INTERPRETER.search(header[1])):
            own = HEADER.format(venv / "bin" / named[1].decode())
            script.write_bytes(own.encode() + text[header.end():])


def broken(venv) -> list:
    """The scripts of an environment whose first line names a Python that is gone, or one of another
    .venv: such a script works, and installs or runs elsewhere."""
    wrong = []
    for script in (venv / "bin").iterdir():
        if script.is_symlink() or not script.is_file():
            continue
        text = script.read_bytes()
        header = next(filter(None, (pattern.match(text) for pattern in FORMER)), None)
        if header is None:
            continue
        whole = Path(header[1].decode(errors="replace"))
        program = whole if whole.is_file() else Path(str(whole).partition(" ")[0])
        foreign = INTERPRETER.search(header[1]) and whole.parent.resolve() != (
            venv / "bin").resolve()
        if foreign or not program.is_file():
            wrong.append(script)
    return wrong


def show_lib(venv, root) -> None:
    """Let Jupyter, which knows nothing of make, import lib: a path file, which needs no builder."""
    site, = venv.glob("lib/python*/site-packages")
    for older in site.glob("__editable__*leaky_gradients*"):  # as `pip install -e .` left it
        if older.is_file():
            older.unlink()
    (site / "leaky-gradients.pth").write_text(f"{root}\n")


def main() -> int:
    try:
        prepare(ROOT)
    except subprocess.CalledProcessError as error:
        print(f".venv is not complete: {' '.join(map(str, error.cmd[1:4]))} failed, see above",
              file=sys.stderr)
        return 1
    except OSError as error:
        print(f".venv is not complete: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
