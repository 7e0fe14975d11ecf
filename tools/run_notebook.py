"""Build, execute and publish notebooks: the hands of `make figures` and `make notebooks`.

    python tools/run_notebook.py figures 01_dlg     execute; check its floats; replace its products
    python tools/run_notebook.py publish 01_dlg ... copy the executed quick runs to notebooks/

Everything else comes from the environment, as make exports it: PROFILE, FRESH, SEED, DEVICE and
DATA_ROOT.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from filelock import FileLock, Timeout

from lib.files import atomic
from studies import keys
from tools.durations import Progress
from tools.notebook_files import cleaned, problems, source_notebook, write

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS, TOOLS = ROOT / "notebooks", ROOT / "tools"


class Failed(Exception):
    """What went wrong, in the words the reader gets."""


def fresh() -> bool:
    asked = os.environ.get("FRESH", "")
    if asked not in ("", "0", "1"):
        raise Failed(f"FRESH={asked}: it is 1 (compute again) or 0 (what is done is kept)")
    return asked == "1"


def study_of(name) -> str:
    """The folder of studies that a notebook NN_<study> has."""
    return name.partition("_")[2]


def parameters() -> dict:
    """The papermill parameters that were given. The profile is not one: it is an environment
    variable, so that the quick run needs no injected cell and can be committed as it is."""
    given = {}
    if os.environ.get("SEED"):
        if not os.environ["SEED"].isdecimal():
            raise Failed(f"SEED={os.environ['SEED']}: a seed is a whole number")
        given["seed"] = int(os.environ["SEED"])
    if os.environ.get("DEVICE"):
        given["device"] = os.environ["DEVICE"]
    if os.environ.get("DATA_ROOT"):
        given["data_root"] = str(Path(os.environ["DATA_ROOT"]).expanduser().absolute())
    return given


# ---- figures

def figures(name, profile) -> None:
    given, build = parameters(), ROOT / "build" / profile
    shown, code = ROOT / "figures" / profile / name, code_hash(name, given)
    cells = ROOT / {"quick": "build/cells", "paper": "data/cells"}[profile] / name
    writable(build, build / name, cells, shown.parent, shown)
    with alone(build, name):
        run_and_keep(name, profile, given, code)


def run_and_keep(name, profile, given, code) -> None:
    build, shown = ROOT / "build" / profile, ROOT / "figures" / profile / name
    restore(shown)
    if not fresh() and up_to_date(name, profile, code):
        print(f"{name}: nothing to do ({profile})")
        return
    begin = time.monotonic()
    print(f"{name}: running ({profile})", flush=True)
    shutil.rmtree(build / name, ignore_errors=True)          # no product of an earlier run counts
    os.environ.pop("PRODUCTS", None)
    execute(name, build, given, Progress(name, profile))
    check_floats(name, build / name)
    note_made(build / name)
    swap(build / name, shown)
    stamp = {"of": code + cells_hash(name), "products": hashes(name, profile)}
    with atomic(build / f"{name}.stamp") as file:
        file.write(json.dumps(stamp, indent=1).encode())
    print(f"{name}: done in {time.monotonic() - begin:.0f} s, {shown.relative_to(ROOT)}/")


def writable(*folders) -> None:
    """Ask before the run, which may take hours, whether its products can be written."""
    for folder in folders:
        there = folder
        while not os.path.lexists(there):
            there = there.parent
        try:
            tempfile.TemporaryFile(dir=there).close()
        except OSError as error:
            raise Failed(f"cannot write to {there}: {error.strerror}. Mend that, then run again: "
                         "nothing was computed") from error


@contextlib.contextmanager
def alone(build, name):
    """Be the only run of a notebook and profile: a second one would clear the first's products."""
    build.mkdir(parents=True, exist_ok=True)
    lock = FileLock(build / f".{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Failed("is running already, in another process") from error
    try:
        yield
    finally:
        lock.release()


def up_to_date(name, profile, code) -> bool:
    """Whether the run was of this code and these results, and all that it made is as it made it."""
    try:
        stamp = json.loads((ROOT / "build" / profile / f"{name}.stamp").read_text())
        return (stamp["of"] == code + cells_hash(name)
                and stamp["products"].items() <= hashes(name, profile).items())
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return False                                         # no stamp, or one of another version


def hashes(name, profile) -> dict:
    """The hashes of what a run made, by path: the executed notebook, and its folder of figures."""
    products = [ROOT / "build" / profile / f"{name}.ipynb"]
    products += sorted((ROOT / "figures" / profile / name).glob("[!.]*"))
    return {file.relative_to(ROOT).as_posix(): hashlib.sha256(file.read_bytes()).hexdigest()
            for file in products if file.is_file()}


def code_hash(name, given) -> str:
    """What the products depend on: by content, since the times of a fresh clone mean nothing."""
    source = NOTEBOOKS / f"{name}.py"
    files = [source, TOOLS / "run_notebook.py", TOOLS / "notebook_files.py",
             ROOT / "requirements.lock"]
    files += keys.reached(keys.imported(source.read_text(encoding="utf-8"))).values()
    files += sorted((ROOT / "data/published").glob("*.json"))
    files += (ROOT / "data").glob("references.bib")
    return digest(files, json.dumps(given, sort_keys=True))


def cells_hash(name) -> str:
    """The tracked results; taken after a run, which may have added some."""
    return digest(sorted((ROOT / "data/cells" / name).glob("[!.]*")))


def digest(files, text="") -> str:
    contents = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
    names = [file.relative_to(ROOT).as_posix() for file in files]
    return hashlib.sha256(json.dumps([text, *names, *contents]).encode()).hexdigest()


def execute(name, build, given, progress) -> None:
    """Run the notebook in its own folder, as Jupyter and nbval do; build/<name>.ipynb is whole."""
    import nbclient
    import papermill

    running, failed = build / f".{name}.running.ipynb", build / f"{name}.failed.ipynb"
    failed.unlink(missing_ok=True)
    notebook = source_notebook(NOTEBOOKS / f"{name}.py")
    progress.cells = len(notebook.cells)
    write(running, notebook)
    known = papermill.inspect_notebook(str(running))
    for unknown in sorted(set(given) - set(known)):
        raise Failed(f"no parameter {unknown!r}: it has {', '.join(known) or 'none'}")
    os.environ.pop("MPLBACKEND", None)
    own_kernel(build)
    try:
        papermill.execute_notebook(
            str(running), str(running), given, kernel_name="python3", progress_bar=False,
            stderr_file=Bars(name, progress), cwd=str(NOTEBOOKS), on_cell_start=progress.starts,
            extra_arguments=["--log-level=ERROR"])           # its own warnings are noise here
    except papermill.PapermillExecutionError as error:
        os.replace(running, failed)
        raise Failed(message(error, failed)) from error
    except nbclient.exceptions.DeadKernelError as error:
        os.replace(running, failed)
        raise Failed(f"the kernel died, perhaps for want of memory; see {failed}") from error
    os.replace(running, build / f"{name}.ipynb")


def own_kernel(build) -> None:
    """Let this environment's kernel run, whatever a user has installed or configured.

    JUPYTER_PATH goes before the environment's folders even under JUPYTER_PREFER_ENV_PATH, and a
    user's IPython profile runs code in each kernel and changes its pictures."""
    os.environ.pop("JUPYTER_PATH", None)
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    os.environ["IPYTHONDIR"] = str(build / ".ipython")


def message(error, failed) -> str:
    lines = error.source.splitlines()
    shown = lines[:12] + ["..."] * (len(lines) > 12)
    return "\n".join([f"cell In [{error.exec_count}] failed:", *(f"    {line}" for line in shown),
                      f"{error.ename}: {error.evalue[:2000]}", f"the run so far: {failed}"])


class Bars:
    """What papermill writes a kernel's stderr to: the last state of a progress bar goes into the
    notebook's line of progress, so that several notebooks can share a terminal or a log."""

    def __init__(self, name, progress):
        self.name, self.progress = name, progress

    def write(self, text):
        for line in re.split(r"[\r\n]|\x1b\[A", text):
            if line.startswith("damaged: "):                 # a stored result, computed again
                print(f"{self.name}  {line}", file=sys.stderr, flush=True)
                continue
            what, bar, _ = line.partition("%|")
            if bar:
                self.progress.bar = f"{' '.join(what.split())}%"
                self.progress.tell()

    def flush(self):
        pass


def check_floats(name, products) -> None:
    """Each figure and table that the paper has must be there, or there must be a reason."""
    from studies import papers

    if not (products / "about.json").is_file():
        raise Failed("ran without calling report.start")
    paper = json.loads((products / "about.json").read_text())["paper"]
    floats = papers.published(paper).attrs["floats"] if paper else {}
    reasons = products / "reasons.json"
    excused = json.loads(reasons.read_text()) if reasons.is_file() else {}
    wanted = {key: entry["product"] for key, entry in floats.items()
              if "product" in entry and key not in excused}
    missing = [f"{key} ({product})" for key, product in wanted.items()
               if not made(products, product)]
    if missing:
        raise Failed(f"ran, but made no {', '.join(missing)}, and gave no reason")


def note_made(products) -> None:
    """What this run made and why it left out the rest: made.json, tracked for both profiles."""
    reasons = products / "reasons.json"
    names = {file.stem for file in products.iterdir() if file.suffix in (".png", ".csv")}
    why_not = json.loads(reasons.read_text()) if reasons.is_file() else {}
    document = {"products": sorted(names), "reasons": why_not}
    (products / "made.json").write_text(json.dumps(document, indent=1) + "\n")


def made(products, product) -> bool:
    files = [products / f"{product}.{kind}" for kind in ("png", "csv")]
    return any(file.is_file() and file.stat().st_size for file in files)


def swap(new, place) -> None:
    """Put the folder `new` where `place` is; at any moment one of the two is there, whole."""
    fresh, former = beside(place, "new"), beside(place, "former")
    for leftover in (fresh, former):
        shutil.rmtree(leftover, ignore_errors=True)
    shutil.copytree(new, fresh)
    if place.exists():
        place.rename(former)
    fresh.rename(place)
    shutil.rmtree(former, ignore_errors=True)
    shutil.rmtree(new)


def restore(place) -> None:
    """Undo a swap that was killed between its two renames."""
    if not place.exists() and beside(place, "former").exists():
        beside(place, "former").rename(place)


def beside(place, kind) -> Path:
    return place.with_name(f".{place.name}.{kind}")


# ---- notebooks

def publish(name, profile) -> None:
    import nbformat

    writable(NOTEBOOKS)
    if profile != "quick" or parameters():
        raise Failed("a committed notebook is the quick run, without SEED, DEVICE and DATA_ROOT")
    if not up_to_date(name, profile, code_hash(name, {})):
        raise Failed("its quick run is missing or old: make figures")
    notebook = cleaned(nbformat.read(ROOT / "build" / profile / f"{name}.ipynb", as_version=4))
    source = source_notebook(NOTEBOOKS / f"{name}.py")
    wrong = problems(notebook, source)
    if wrong:
        raise Failed("not fit to be committed: " + "; ".join(wrong))
    write(NOTEBOOKS / f"{name}.ipynb", notebook)
    print(f"{name}: notebooks/{name}.ipynb")


def main(command, *names) -> int:
    profile, name = os.environ.get("PROFILE") or "quick", command
    try:
        if profile not in ("quick", "paper"):
            raise Failed(f"unknown PROFILE={profile}: it is quick or paper")
        for name in names:
            {"figures": figures, "publish": publish}[command](name, profile)
    except (Failed, ValueError, OSError) as error:
        print(f"{name}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"{name}: interrupted; what is stored is kept", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
