"""make on the fixture notebook: kill it, run it again, break it, and look at what is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from waiting import running, wait_for

from lib import files
from tools import doctor, durations, environment, figures, run_notebook

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests/fixture"
PARTS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of what make needs, so that no edit of lib disturbs a test; its notebook is ours."""
    place = tmp_path_factory.mktemp("pipeline") / "it's a copy"
    for name in ("lib", "studies", "tools"):
        shutil.copytree(ROOT / name, place / name)
    for name in ("Makefile", "conftest.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place)
    (place / "notebooks").mkdir()
    shutil.copy(FIXTURE / "99_fixture.py", place / "notebooks")
    shutil.copytree(FIXTURE / "published", place / "data/published")
    return place


def command(*words):
    return ["make", *words, f"PYTHON={sys.executable}"]


def surroundings(**more):
    ours = ("MAKE", "MFLAGS", "PROFILE", "FRESH", "SEED", "DEVICE", "DATA_ROOT", "FIXTURE",
            "QUIET", "PRODUCTS", "PYTHONPATH", "JUPYTER", "IPYTHON", "MATPLOTLIBRC", "GOMP",
            "OMP", "JOBS", "CLUSTER")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | more


def make(place, *words, **more):
    return subprocess.run(command(*words), cwd=place, env=surroundings(**more),
                          capture_output=True, text=True, timeout=900)


@pytest.fixture(scope="module")
def ran(place):
    """A whole run, published: pytest-xdist may give earlier tests to another process. Each test
    that ruins something leaves it whole again."""
    assert make(place, "notebooks").returncode == 0


def products(place):
    folder = place / "figures/quick/99_fixture"
    return {file.name: file.read_bytes() for file in folder.glob("*")}


def calls(place):
    return (place / "build/calls").read_text().split()


def stored(place):
    return sorted((place / "build/cells/99_fixture").glob("waits-*.json"))


def squares(place):
    """The numbers of all stored cells."""
    return {file.name: np.load(file.with_suffix(".npz"), allow_pickle=False)["square"].tolist()
            for file in stored(place)}


# The tests of this file build on one another, in the order they stand in.

def test_killed_in_the_middle_nothing_half_done_is_left(place):
    process = subprocess.Popen(
        command("figures"), cwd=place, env=surroundings(FIXTURE_SLEEP="1"),
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(lambda: len(stored(place)) >= 2)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    wait_for(lambda: not running(place))                     # the kernel notices that it is alone
    done = stored(place)
    assert 2 <= len(done) < PARTS
    for file in done:
        assert json.loads(file.read_text())["n"] == 3
        assert np.load(file.with_suffix(".npz"), allow_pickle=False)["square"].shape == (3,)
    assert not (place / "figures").exists()
    assert not (place / "build/quick/99_fixture.ipynb").exists()


def test_the_next_run_continues(place):
    done = len(stored(place))
    result = make(place, "figures")
    assert result.returncode == 0, result.stderr
    assert len(stored(place)) == PARTS
    counts = [calls(place).count(str(i)) for i in range(PARTS)]
    assert counts[:done] == [1] * done and counts[done + 1:] == [1] * (PARTS - done - 1)
    assert {"fig1_squares.png", "fig1_squares.pdf", "table1.csv", "claims.csv",
            "about.json", "made.json"} <= set(products(place))
    assert not (place / "build/quick/99_fixture").exists()


@pytest.mark.usefixtures("ran")
def test_a_second_time_there_is_nothing_to_do(place):
    before = len(calls(place))
    result = make(place, "figures")
    assert result.stdout == "99_fixture: nothing to do (quick)\n"
    assert len(calls(place)) == before


DAMAGES = {
    "csv deleted": ("figures/quick/99_fixture/table1.csv", Path.unlink),
    "png emptied": ("figures/quick/99_fixture/fig1_squares.png", lambda p: p.write_bytes(b"")),
    "pdf changed": ("figures/quick/99_fixture/fig1_squares.pdf",
                    lambda p: p.write_bytes(p.read_bytes() + b" ")),
    "claims changed": ("figures/quick/99_fixture/claims.csv",
                       lambda p: p.write_text(p.read_text().replace("True", "False"))),
    "notebook emptied": ("build/quick/99_fixture.ipynb", lambda p: p.write_text("")),
    "notebook deleted": ("build/quick/99_fixture.ipynb", Path.unlink),
    "folder deleted": ("figures/quick/99_fixture", shutil.rmtree),
    "stamp emptied": ("build/quick/99_fixture.stamp", lambda p: p.write_text("")),
    "stamp of a list": ("build/quick/99_fixture.stamp", lambda p: p.write_text("[1]")),
    "stamp deleted": ("build/quick/99_fixture.stamp", Path.unlink),
}


@pytest.mark.usefixtures("ran")
def test_a_ruined_product_is_noticed(place, tmp_path, monkeypatch):
    here = tmp_path / "moved"                                # the stamp knows no folder's name
    monkeypatch.setattr(run_notebook, "ROOT", here)
    monkeypatch.setattr(run_notebook, "NOTEBOOKS", here / "notebooks")
    monkeypatch.setattr(run_notebook, "TOOLS", here / "tools")
    monkeypatch.setattr(files, "ROOT", here)

    def up_to_date():
        code = run_notebook.code_hash("99_fixture", {})
        return run_notebook.up_to_date("99_fixture", "quick", code)

    for damage, (file, harm) in DAMAGES.items():
        shutil.copytree(place, here)
        (here / "figures/quick/99_fixture/own.txt").write_text("a reader's notes, no product")
        assert up_to_date()
        harm(here / file)
        assert not up_to_date(), damage
        shutil.rmtree(here)


@pytest.mark.usefixtures("ran")
def test_ruined_products_are_made_again_whatever_a_user_has_configured(place, tmp_path):
    before, computed = products(place), len(calls(place))
    notebook = (place / "notebooks/99_fixture.ipynb").read_bytes()
    for damage in ("csv deleted", "png emptied", "notebook emptied"):
        file, harm = DAMAGES[damage]
        harm(place / file)
    (place / "notebooks/99_fixture.ipynb").unlink()
    result = make(place, "notebooks", **of_a_user(tmp_path))
    assert "99_fixture: done in" in result.stdout, result.stderr
    assert products(place) == before and len(calls(place)) == computed
    # An exported MPLBACKEND would have lost the picture.
    assert (place / "notebooks/99_fixture.ipynb").read_bytes() == notebook
    assert make(place, "figures").stdout == "99_fixture: nothing to do (quick)\n"


def of_a_user(folder) -> dict:
    """The environment of somebody with a kernel, a style and a startup script of their own."""
    kernel, own = folder / "kernels/python3", folder / "matplotlibrc"
    kernel.mkdir(parents=True)
    (kernel / "kernel.json").write_text(json.dumps({
        "argv": ["false"], "display_name": "a user's", "language": "python"}))
    own.write_text("font.size: 20\naxes.grid: True\n")
    startup = folder / "ipython/profile_default/startup/a.py"
    startup.parent.mkdir(parents=True)
    startup.write_text("print('a user is greeted')")
    return {"MPLBACKEND": "agg", "JUPYTER_PATH": str(folder), "MATPLOTLIBRC": str(own),
            "IPYTHONDIR": str(folder / "ipython")}


@pytest.mark.usefixtures("ran")
def test_an_unwritable_folder_is_told_before_the_run(place):
    figures, aside = place / "figures", place / "aside"
    figures.rename(aside)
    try:
        figures.symlink_to("/proc")                          # not even root can write there
        result = make(place, "figures", "FRESH=1")
    finally:
        figures.unlink()
        aside.rename(figures)
    assert result.returncode
    assert "99_fixture: cannot write to" in result.stderr
    assert "nothing was computed" in result.stderr
    assert "Traceback" not in result.stderr and "running" not in result.stdout


@pytest.mark.parametrize("kind", ["a file", "a link to nowhere"])
def test_what_stands_in_the_way_of_a_folder_is_told(tmp_path, kind):
    way = tmp_path / "figures"
    way.touch() if kind == "a file" else way.symlink_to(tmp_path / "nowhere")
    with pytest.raises(run_notebook.Failed, match="cannot write to .*figures"):
        run_notebook.writable(tmp_path / "build", way / "quick")
    way.unlink()
    run_notebook.writable(way / "quick")
    assert not list(tmp_path.iterdir())                      # asking makes nothing


@pytest.mark.usefixtures("ran")
def test_the_committed_notebook(place):
    text = (place / "notebooks/99_fixture.ipynb").read_text()
    assert set(json.loads(text)["metadata"]) == {"kernelspec"}
    assert '"papermill"' not in text and '"stderr"' not in text and str(place) not in text
    assert "image/png" in text


@pytest.mark.usefixtures("ran")
def test_nbval_reads_the_stored_cells(place):
    before = len(calls(place)), products(place)
    result = make(place, "nbval", MPLBACKEND="agg")
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
    assert (len(calls(place)), products(place)) == before


@pytest.mark.usefixtures("ran")
def test_computed_anew_the_numbers_are_the_same_and_a_failing_cell_leaves_the_products(place):
    before, computed, numbers = products(place), len(calls(place)), squares(place)
    result = make(place, "figures", "FRESH=1", FIXTURE_FAIL="1")
    assert len(calls(place)) == computed + PARTS and squares(place) == numbers
    assert result.returncode
    assert 'if os.environ.get("FIXTURE_FAIL"):' in result.stderr
    assert "RuntimeError: asked to fail" in result.stderr
    assert "Traceback" not in result.stderr
    assert products(place) == before


def test_a_missing_figure_is_named(place, monkeypatch):
    monkeypatch.setattr(files, "ROOT", place)
    made = place / "made"
    made.mkdir()
    with pytest.raises(run_notebook.Failed, match="report.start"):
        run_notebook.check_floats("99_fixture", made)
    (made / "about.json").write_text('{"paper": "fixture"}')
    (made / "reasons.json").write_text('{"fig2": "no data"}')
    (made / "fig1_squares.png").touch()                      # empty: not made
    (made / "table1.csv").write_text("a")
    with pytest.raises(run_notebook.Failed, match=r"made no fig1 \(fig1_squares\), and gave no"):
        run_notebook.check_floats("99_fixture", made)
    (made / "fig1_squares.png").write_bytes(b"a picture")
    run_notebook.check_floats("99_fixture", made)


def test_products_are_swapped_whole(tmp_path):
    new, shown = tmp_path / "new", tmp_path / "figures/99_fixture"
    for text in ("first", "second"):
        new.mkdir()
        (new / "a").write_text(text)
        run_notebook.swap(new, shown)
        assert [file.read_text() for file in shown.iterdir()] == [text]
    assert list(shown.parent.iterdir()) == [shown] and not new.exists()
    shown.rename(run_notebook.beside(shown, "former"))       # killed between the two renames
    run_notebook.restore(shown)
    assert (shown / "a").read_text() == "second"


@pytest.mark.parametrize(("words", "message"), [
    (["figures", "PROFILE=paper quick"], "unknown PROFILE=paper quick: it is quick or paper"),
    (["figures", "PROFILE="], "unknown PROFILE=: it is quick or paper"),
    (["figures", "FRESH=yes"], "unknown FRESH=yes: it is 1 (compute again) or 0"),
    (["figures", "FRESH=1 1"], "unknown FRESH=1 1: it is 1"),
    (["figures", "PROFILE=fast"], "unknown PROFILE=fast: it is quick or paper"),
    (["figures", "NB=01_nothing"], "unknown NB=01_nothing: there are 99_fixture"),
    (["figures", "SEEED=1"], "unknown variable SEEED"),
    (["figures", "DEVICE=cpu"], "no parameter 'device': it has profile, seed, data_root"),
    (["figures", "SEED=one"], "SEED=one: a seed is a whole number"),
    (["notebooks", "PROFILE=paper"], "is the quick run"),
    (["notebooks", "SEED=1"], "is the quick run"),
])
def test_what_is_asked_wrongly_gets_one_clear_error(place, words, message):
    result = make(place, *words)
    assert result.returncode
    assert message in result.stderr
    assert "Traceback" not in result.stderr


BOTH = """
import os
from tools import plan

for profile in ("quick", "paper"):
    os.environ["PROFILE"] = profile
    assert plan.main(["99_fixture"]) == 0
"""


@pytest.mark.usefixtures("ran")
def test_plan_of_both_profiles(place):
    """As `make plan` has it, below, but in one process."""
    result = subprocess.run([sys.executable, "-c", BOTH], cwd=place, text=True,
                            env=surroundings(PYTHONPATH=str(place)), capture_output=True)
    assert result.returncode == 0, result.stderr
    quick, paper = result.stdout.split("profile paper")
    assert ["99_fixture", "waits", "6/6", "0", "0.1"] in map(str.split, quick.splitlines())
    assert ["99_fixture", "waits", "0/6", "6", "0.1"] in map(str.split, paper.splitlines())


PLAN = """
from studies import store
from studies.fixture.compute import wait


def declare(run):
    configs = {"quick": 2, "paper": 4}
    store.Sweep("naps", wait, *([{"n": run.seed}] * n for n in configs.values()), minutes=1)
"""


@pytest.mark.usefixtures("ran")
def test_the_plan_of_a_study_goes_before_the_notebooks_own(place):
    folder = place / "studies/fixture"
    folder.mkdir()
    try:
        (folder / "__init__.py").touch()
        (folder / "compute.py").write_text("def wait(n):\n    return n\n")
        (folder / "plan.py").write_text(PLAN)
        result = make(place, "plan", "PROFILE=paper", "SEED=7")
    finally:
        shutil.rmtree(folder)
    assert result.returncode == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["99_fixture", "naps", "0/4", "1", "?"] in rows
    assert "waits" not in result.stdout


def test_help_names_every_target():
    result = subprocess.run(["make"], cwd=ROOT, env=surroundings(), capture_output=True, text=True)
    for target in ("figures", "notebooks", "test", "test-all", "data", "weights", "plan",
                   "scoreboard", "bench", "doctor", "clean"):
        assert f"\n  {target} " in result.stdout


# ---- what make exports, and what a run passes on

def test_threads_sleep_at_barriers_and_kernels_are_this_environments(place):
    command = ["make", "--eval", "show: ; @env", "show"]
    shown = subprocess.run(command, cwd=place, env=surroundings(JUPYTER_PATH="/nowhere"),
                           capture_output=True, text=True).stdout.splitlines()
    assert {"GOMP_SPINCOUNT=1000", "OMP_WAIT_POLICY=PASSIVE", "OMP_NUM_THREADS=1",
            "JUPYTER_PREFER_ENV_PATH=1"} <= {*shown}
    assert not [line for line in shown if line.startswith(("JUPYTER_PATH=", "MPLBACKEND="))]


def test_a_damaged_result_is_told_while_the_notebook_runs(capsys):
    bars = run_notebook.Bars("99_fixture", durations.Progress("99_fixture", "quick"))
    bars.write("some library's warning\ndamaged: a.json (why); it is computed again\n")
    assert capsys.readouterr().err == "99_fixture  damaged: a.json (why); it is computed again\n"


def test_a_notebook_says_how_far_it_is(tmp_path, monkeypatch, capsys):
    """Which cell runs, since when, and what is left by the last run at the pace of this one."""
    now = [0.0]
    monkeypatch.setattr(durations, "ROOT", tmp_path)
    monkeypatch.setattr(durations.time, "monotonic", lambda: now[0])
    lasted = {"a": 20.0, "b": 30.0, "c": 10.0}
    (tmp_path / "build/quick").mkdir(parents=True)
    (tmp_path / "build/quick/98_naps.ipynb").write_text(json.dumps({"cells": [
        {"id": name, "metadata": {"papermill": {"duration": seconds}}}
        for name, seconds in lasted.items()]}))
    progress = durations.Progress("98_naps", "quick")
    progress.cells = 3
    for i, (name, later) in enumerate({"a": 40.0, "b": 5.0, "c": 0.0}.items()):
        progress.starts(SimpleNamespace(id=name), i)
        now[0] += later
    progress.tell()
    bars = run_notebook.Bars("98_naps", progress)
    now[0] = 50.0
    bars.write("\rdlg:  23%|███   | 7/30 [00:01<00:03,  6.94it/s]")
    assert capsys.readouterr().err.splitlines() == [
        "98_naps                   cell 2 of 3, 40 s, about 80 s left",
        "98_naps                   cell 3 of 3, 50 s, about 4 s left, dlg: 23%"]
    nobody_knows = durations.Progress("97_new", "quick")
    nobody_knows.cells, now[0] = 4, 90.0
    nobody_knows.starts(SimpleNamespace(id="a"), 0)
    assert capsys.readouterr().err.split("  ")[-1] == "cell 1 of 4, 40 s\n"


def test_the_estimate_of_a_fresh_clone_is_the_committed_table(tmp_path, monkeypatch):
    monkeypatch.setattr(durations, "ROOT", tmp_path)
    assert durations.expected("01_dlg", "quick") is None
    (tmp_path / "bench").mkdir()
    (tmp_path / "bench/notebooks.csv").write_text("notebook,seconds\n01_dlg,70\n")
    assert durations.expected("01_dlg", "quick") == 70
    assert durations.expected("01_dlg", "paper") is None


def test_every_notebook_has_a_row_in_the_committed_table(monkeypatch):
    monkeypatch.setattr(durations, "of_cells", lambda *_: {})  # as in a fresh clone
    names = sorted(file.stem for file in (ROOT / "notebooks").glob("[0-9]*.py"))
    assert [name for name in names if not durations.expected(name, "quick")] == []


def test_notebooks_run_side_by_side_the_longest_first(tmp_path, monkeypatch):
    """Two at a time, and one that fails does not stop the others."""
    monkeypatch.setattr(figures.tool, "TOOLS", tmp_path)
    monkeypatch.setattr(figures, "POLL", 0.01)
    monkeypatch.setattr(figures.durations, "expected", lambda name, _: float(name[-1]))
    (tmp_path / "run_notebook.py").write_text(
        "import pathlib, sys, time\n"
        "here = pathlib.Path(__file__).parent\n"
        "open(here / 'began', 'a').write(sys.argv[2] + '\\n')\n"
        "(here / (sys.argv[2] + '.now')).touch()\n"
        "time.sleep(0.3)\n"
        "open(here / 'at_once', 'a').write(f'{len(list(here.glob(\"*.now\")))}\\n')\n"
        "(here / (sys.argv[2] + '.now')).unlink()\n"
        "sys.exit(sys.argv[2] == 'n3')\n")
    assert figures.side_by_side(["n1", "n4", "n2", "n3"], 2) == ["n3"]
    began = (tmp_path / "began").read_text().split()
    assert sorted(began[:2]) == ["n3", "n4"] and sorted(began[2:]) == ["n1", "n2"]
    assert max(map(int, (tmp_path / "at_once").read_text().split())) == 2


@pytest.mark.parametrize(("cores", "gib", "gpu", "device", "jobs"), [
    (8, 64, False, "", 8), (8, 6, False, "", 2), (2, 1, False, "", 1),
    (8, 64, True, "", 1), (8, 64, True, "cpu", 8)])
def test_as_many_notebooks_run_as_cores_and_memory_allow(monkeypatch, cores, gib, gpu, device,
                                                         jobs):
    monkeypatch.setattr("dask.system.CPU_COUNT", cores)
    monkeypatch.setattr("distributed.system.MEMORY_LIMIT", gib * 2**30)
    monkeypatch.setattr(shutil, "which", lambda name: "/bin/nvidia-smi" if gpu else None)
    monkeypatch.setenv("DEVICE", device)
    assert figures.jobs_at_once("") == jobs
    assert figures.jobs_at_once("3") == 3


def test_jobs_is_how_many_run_at_once(monkeypatch):
    asked = []
    monkeypatch.setattr(figures, "side_by_side", lambda names, jobs: asked.append(jobs) or [])
    monkeypatch.delenv("CLUSTER", raising=False)
    monkeypatch.setenv("JOBS", "3")
    assert figures.main(["01_dlg"]) == 0
    assert asked == [3]


@pytest.mark.parametrize(("name", "value"), [("PROFILE", "paper quick"), ("FRESH", "yes")])
def test_the_tool_checks_what_make_has_not(monkeypatch, capsys, name, value):
    monkeypatch.setenv(name, value)
    monkeypatch.setattr(run_notebook, "execute", lambda *_: pytest.fail("it ran"))
    assert run_notebook.main("figures", "01_dlg") == 1
    assert f"{name}={value}" in capsys.readouterr().err


# ---- the environment, with a pip that installs nothing

class FakePython:
    """In place of subprocess.run: makes folders as venv and pip do, and counts installations."""

    def __init__(self, root):
        self.root, self.installed, self.kill, self.offline = root, 0, False, False

    def __call__(self, words, **kwargs):
        words = [str(word) for word in words]
        site = self.root / ".venv/lib/python3.11/site-packages"
        if words[1:3] == ["-m", "venv"]:
            site.mkdir(parents=True, exist_ok=True)
            (self.root / ".venv/bin").mkdir(exist_ok=True)
            (self.root / ".venv/bin/python").touch()
            (site / "pip").touch()
        elif words[1:] == ["-m", "pip", "--version"]:
            return subprocess.CompletedProcess(words, 0 if (site / "pip").exists() else 1)
        elif "-c" in words[1:2]:                             # the interpreter it was made from
            return subprocess.CompletedProcess(words, 0, sys.executable + "\n")
        elif "--dry-run" in words:
            wanted = [] if (site / "torch/METADATA").exists() else ["torch"]
            if wanted and self.offline:
                raise subprocess.CalledProcessError(1, words)
            Path(words[-1]).write_text(json.dumps({"install": wanted}))
        else:
            assert words[1:4] == ["-m", "pip", "install"]
            if (site / "torch/METADATA").exists():           # pip: it is there already
                return None
            (site / "torch").mkdir()
            (site / "torch/METADATA").touch()
            if self.kill:                                    # in the middle of copying
                raise KeyboardInterrupt
            (site / "torch/code.py").touch()
            self.installed += 1
        return None


@pytest.fixture
def fake(tmp_path, monkeypatch):
    root = tmp_path / "it's a copy"
    root.mkdir()
    python = FakePython(root)
    monkeypatch.setattr(environment.subprocess, "run", python)
    return python


def torch_is_whole(fake):
    return (fake.root / ".venv/lib/python3.11/site-packages/torch/code.py").exists()


def test_an_environment_is_made_once(fake):
    for _ in range(2):
        environment.prepare(fake.root)
    assert fake.installed == 1 and torch_is_whole(fake)
    assert (fake.root / ".venv/.complete").read_text() == f"{fake.root}\n"
    shown = fake.root / ".venv/lib/python3.11/site-packages/leaky-gradients.pth"
    assert shown.read_text() == f"{fake.root}\n"


def test_an_environment_whose_making_was_killed_is_made_anew(fake):
    fake.kill = True
    with pytest.raises(KeyboardInterrupt):
        environment.prepare(fake.root)
    assert not torch_is_whole(fake) and not (fake.root / ".venv/.complete").exists()
    fake.kill = False
    environment.prepare(fake.root)
    assert torch_is_whole(fake)
    assert not (fake.root / ".venv/.installing").exists()


def test_a_complete_environment_needs_no_network(fake):
    environment.prepare(fake.root)
    fake.offline = True
    environment.prepare(fake.root)
    assert torch_is_whole(fake)


def test_where_the_network_fails_the_environment_stays_as_it_was(fake):
    environment.prepare(fake.root)
    shutil.rmtree(fake.root / ".venv/lib/python3.11/site-packages/torch")
    fake.offline = True
    with pytest.raises(subprocess.CalledProcessError):
        environment.prepare(fake.root)
    assert (fake.root / ".venv/.complete").exists()
    assert not (fake.root / ".venv/.installing").exists()


def test_an_environment_that_a_user_made_is_completed_and_not_removed(fake):
    fake(["python", "-m", "venv", ".venv"])
    mine = fake.root / ".venv/lib/python3.11/site-packages/mine.py"
    mine.touch()
    environment.prepare(fake.root)
    assert mine.exists() and torch_is_whole(fake)


def test_a_broken_interpreter_is_replaced(fake):
    environment.prepare(fake.root)
    (fake.root / ".venv/lib/python3.11/site-packages/pip").unlink()
    environment.prepare(fake.root)
    assert fake.installed == 2


@pytest.mark.parametrize("former", ["first", "a first"])
def test_scripts_of_a_moved_environment_name_the_new_place(tmp_path, former):
    here, there = tmp_path / former, tmp_path / "it's moved"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", here / ".venv"], check=True)
    code = "import sys\nprint(sys.prefix)\n"
    script, other = here / ".venv/bin/tool", here / ".venv/bin/other"
    python = here / ".venv/bin/python"
    script.write_text((environment.HEADER.format(python) if " " in former else f"#!{python}\n")
                      + code)
    script.chmod(0o755)
    other.write_text("#!/usr/bin/env python3\nnot ours\n")
    shutil.copytree(here, there, symlinks=True)
    environment.mend(there / ".venv")
    shutil.rmtree(here)
    said = subprocess.run([there / ".venv/bin/tool"], capture_output=True, text=True)
    assert said.stdout == f"{there}/.venv\n", said.stderr
    assert str(there) in (there / ".venv/bin/activate").read_text().replace("'\"'\"'", "'")
    assert (there / ".venv/bin/other").read_text() == "#!/usr/bin/env python3\nnot ours\n"


# ---- make doctor

def test_the_doctor_tells_what_is_wrong_in_the_folders(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(doctor, "ROOT", tmp_path)
    monkeypatch.setattr(files, "ROOT", tmp_path)
    monkeypatch.setattr(doctor, "faults", 0)
    cells = tmp_path / "data/cells/01_dlg"
    shutil.copytree(ROOT / "data/cells/02_idlg", cells)
    doctor.places()
    doctor.cells()
    assert doctor.faults == 0
    (tmp_path / "figures").touch()
    own = subprocess.Popen([sys.executable, "-c", ""])
    own.wait()
    left = cells / f".a.json.{files.HOST}.{own.pid}.tmp"
    left.touch()
    changed = sorted(cells.glob("*.json"))[0]
    changed.write_text(changed.read_text().replace('"n": ', '"n": 1'))
    monkeypatch.setenv("JUPYTER_PATH", "/of/a/user")
    for check in (doctor.places, doctor.cells, doctor.jupyter_path):
        check()
    said = capsys.readouterr().out
    assert doctor.faults == 4
    assert "figures: Not a directory" in said and left.name in said and "/of/a/user" in said
    assert f"damaged: data/cells/01_dlg/{changed.name}" in said
    assert f"git checkout -- data/cells/01_dlg/{changed.stem}.*" in said


def test_the_doctor_names_a_users_matplotlibrc(tmp_path, monkeypatch, capsys):
    (tmp_path / "matplotlibrc").write_text("font.size: 20\n")
    for folder, word in ((ROOT / "tests", "none of yours"), (tmp_path, "drawn without it")):
        monkeypatch.chdir(folder)
        doctor.style()
        assert word in capsys.readouterr().out
