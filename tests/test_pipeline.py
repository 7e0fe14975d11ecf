"""make on the fixture notebook: kill it, run it again, break it, and look at what is left."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from lib import run as runs
from tools import run_notebook

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests/fixture"
PARTS = 6


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A copy of what make needs, so that no edit of lib disturbs a test; its notebook is ours."""
    place = tmp_path_factory.mktemp("pipeline") / "copy of it"
    for name in ("lib", "tools"):
        shutil.copytree(ROOT / name, place / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("Makefile", "conftest.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place)
    (place / "notebooks").mkdir()
    shutil.copy(FIXTURE / "99_fixture.py", place / "notebooks")
    shutil.copytree(FIXTURE / "published", place / "data/published")
    return place


def command(*words):
    return ["make", *words, f"PYTHON={sys.executable}"]


def environment(**more):
    ours = ("MAKE", "MFLAGS", "PROFILE", "FRESH", "SEED", "DEVICE", "DATA_ROOT", "FIXTURE",
            "QUIET", "PRODUCTS", "PYTHONPATH")
    kept = {key: value for key, value in os.environ.items() if not key.startswith(ours)}
    return kept | more


def make(place, *words, **more):
    return subprocess.run(command(*words), cwd=place, env=environment(**more),
                          capture_output=True, text=True, timeout=300)


@pytest.fixture
def ran(place):
    """A whole run, published: pytest-xdist may give earlier tests to another process."""
    assert make(place, "notebooks").returncode == 0


def products(place):
    folder = place / "figures/quick/99_fixture"
    return {file.name: file.read_bytes() for file in folder.glob("*")}


def calls(place):
    return (place / "build/calls").read_text().split()


def stored(place):
    return sorted((place / "build/cells/99_fixture").glob("waits-*.json"))


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


# The tests of this file build on one another, in the order they stand in.

def test_killed_in_the_middle_nothing_half_done_is_left(place):
    process = subprocess.Popen(
        command("figures"), cwd=place, env=environment(FIXTURE_SLEEP="1"),
        start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(lambda: len(stored(place)) >= 2, 90)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    time.sleep(3)                                            # the kernel notices that it is alone
    done = stored(place)
    time.sleep(1.5)
    assert stored(place) == done and 2 <= len(done) < PARTS
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


@pytest.mark.usefixtures("ran")
def test_the_committed_notebook(place):
    result = make(place, "notebooks")
    assert result.returncode == 0, result.stderr
    text = (place / "notebooks/99_fixture.ipynb").read_text()
    assert set(json.loads(text)["metadata"]) == {"kernelspec"}
    assert '"papermill"' not in text and '"stderr"' not in text and str(place) not in text
    assert "image/png" in text


@pytest.mark.usefixtures("ran")
def test_computed_anew_the_bytes_are_the_same(place):
    before, computed = products(place), len(calls(place))
    notebook = (place / "notebooks/99_fixture.ipynb").read_bytes()
    result = make(place, "notebooks", "FRESH=1", MPLBACKEND="agg")
    assert result.returncode == 0, result.stderr
    assert len(calls(place)) == computed + PARTS
    assert products(place) == before
    # An exported MPLBACKEND would have lost the picture.
    assert (place / "notebooks/99_fixture.ipynb").read_bytes() == notebook


@pytest.mark.usefixtures("ran")
def test_nbval_reads_the_stored_cells(place):
    before = len(calls(place)), products(place)
    result = make(place, "nbval", MPLBACKEND="agg")
    assert result.returncode == 0, result.stdout
    assert " passed" in result.stdout
    assert (len(calls(place)), products(place)) == before


@pytest.mark.usefixtures("ran")
def test_a_failing_cell_is_shown_and_leaves_the_products(place):
    before = products(place)
    result = make(place, "figures", "FRESH=1", FIXTURE_FAIL="1")
    assert result.returncode
    assert 'if os.environ.get("FIXTURE_FAIL"):' in result.stderr
    assert "RuntimeError: asked to fail" in result.stderr
    assert "Traceback" not in result.stderr
    assert products(place) == before


def test_a_missing_figure_is_named(place, monkeypatch):
    monkeypatch.setattr(runs, "ROOT", place)
    made = place / "made"
    made.mkdir()
    with pytest.raises(run_notebook.Failed, match="results.start"):
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


@pytest.mark.usefixtures("ran")
def test_plan(place):
    result = make(place, "plan")
    assert result.returncode == 0, result.stderr
    assert ["99_fixture", "waits", "6/6", "0", "0.1"] in map(str.split, result.stdout.splitlines())


def test_help_names_every_target():
    result = subprocess.run(["make"], cwd=ROOT, env=environment(), capture_output=True, text=True)
    for target in ("figures", "notebooks", "test", "test-all", "data", "weights", "plan",
                   "scoreboard", "bench", "doctor", "clean"):
        assert f"\n  {target} " in result.stdout
