"""lib/run.py: settings are checked, draws depend on their key alone, bars stay out of the way."""

import getpass
import os
import subprocess

import numpy as np
import pytest
import torch

from lib import run as runs


@pytest.fixture(autouse=True)
def no_settings(monkeypatch):
    for name in ("PROFILE", "DATA_ROOT", "QUIET", "TQDM_DISABLE", "COMMIT"):
        monkeypatch.delenv(name, raising=False)
    runs.commit.cache_clear()


def test_defaults():
    run = runs.start()
    assert (run.profile, run.quick, run.seed) == ("quick", True, 0)
    assert run.device.type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert run.data_root == runs.ROOT / "data"
    assert runs.current() is run


def test_profile_and_data_come_from_the_environment(monkeypatch, tmp_path):
    monkeypatch.setenv("PROFILE", "paper")
    monkeypatch.setenv("DATA_ROOT", str(tmp_path))
    run = runs.start()
    assert not run.quick
    assert run.data_root == tmp_path
    assert runs.start("quick").quick                         # what is said goes before it


def test_a_relative_data_root_is_of_the_caller(monkeypatch, tmp_path):
    (tmp_path / "sets").mkdir()
    monkeypatch.chdir(tmp_path)
    assert runs.start(data_root="sets").data_root == tmp_path / "sets"


@pytest.mark.parametrize(("setting", "word"), [
    ({"profile": "fast"}, "quick, paper"), ({"seed": -1}, "seed"), ({"seed": 1.5}, "seed"),
    ({"seed": True}, "seed"), ({"device": "gpu"}, "auto, cpu, cuda"), ({"device": "meta"}, "auto"),
    ({"device": "cuda:99"}, "cuda:99"), ({"data_root": "nowhere/at/all"}, "nowhere/at/all"),
    ({"profile": "paper quick"}, "'paper quick'"), ({"profile": ""}, "unknown profile ''"),
    ({"profile": 0}, "unknown profile 0"), ({"profile": False}, "profile False"),
    ({"profile": ["quick"]}, "profile"), ({"profile": b"quick"}, "profile"),
    ({"seed": "1"}, "seed"), ({"seed": None}, "seed"), ({"seed": float("nan")}, "seed"),
    ({"seed": np.float64(1)}, "seed"), ({"seed": np.True_}, "seed"), ({"seed": [1]}, "seed"),
    ({"seed": 2**32}, "seed"), ({"seed": torch.tensor(1)}, "seed"),
    ({"device": None}, "None"), ({"device": 0}, "not 0"), ({"device": True}, "not True"),
    ({"device": ""}, "not ''"), ({"device": "cpu:1"}, "cpu:1"), ({"device": ["cpu"]}, "device"),
    ({"data_root": __file__}, "is not a folder"), ({"data_root": ""}, "name a folder"),
    ({"data_root": 0}, "name a folder"), ({"data_root": b"data"}, "name a folder"),
    ({"data_root": "a\0b"}, "data_root"), ({"data_root": "~nobody-of-this-name/a"}, "data_root"),
    ({"data_root": "a" * 5000}, "data_root")])
def test_a_wrong_setting_is_named(setting, word):
    with pytest.raises(ValueError, match=word):
        runs.start(**setting)


@pytest.mark.parametrize("seed", [3, np.int64(3), np.uint8(3)])
def test_whole_numbers_of_numpy_are_seeds(seed):
    run = runs.start(seed=seed, device=torch.device("cpu"))
    assert run.seed == 3 and type(run.seed) is int


def test_the_environments_profile_is_checked_too(monkeypatch):
    monkeypatch.setenv("PROFILE", "paper quick")
    with pytest.raises(ValueError, match="'paper quick'"):
        runs.start()
    monkeypatch.setenv("PROFILE", "")
    assert runs.start().quick


def test_attacks_run_in_ieee_float32():
    torch.backends.cuda.matmul.allow_tf32 = True
    runs.start()
    assert not torch.backends.cuda.matmul.allow_tf32
    assert not torch.backends.cudnn.allow_tf32


def test_a_draw_depends_on_its_key_alone():
    def draw(*key):
        return torch.randn(4, generator=runs.generator(*key))

    first = draw(0, "start", 3, 1)
    draw(0, "start", 2, 1)
    assert torch.equal(first, draw(0, "start", 3, 1))
    assert not torch.equal(first, draw(0, "start", 1, 3))
    assert not torch.equal(draw(1), draw("1"))
    assert torch.equal(draw(7), draw(torch.tensor([7]).numpy()[0]))
    with pytest.raises(ValueError, match="key"):
        runs.generator(0.5)


def test_progress_iterates_and_updates():
    assert list(runs.progress([1, 2, 3], desc="x")) == [1, 2, 3]
    with runs.progress(total=5) as bar:
        bar.update(5)
        assert bar.n == 5


@pytest.mark.parametrize("name", ["QUIET", "TQDM_DISABLE"])
def test_progress_can_be_silenced(monkeypatch, name):
    assert not runs.progress(total=1).disable
    monkeypatch.setenv(name, "1")
    assert runs.progress(total=1).disable
    monkeypatch.setenv(name, "0")
    assert not runs.progress(total=1).disable


def test_environment(monkeypatch):
    found = runs.environment()
    assert set(found) == {"torch", "device", "python", "commit"}
    assert found["torch"] == torch.__version__
    monkeypatch.setenv("COMMIT", "abc")
    runs.commit.cache_clear()
    assert runs.environment()["commit"] == "abc"


def test_commit_without_git_and_with_changes(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert runs.commit() == "unknown"
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *command], cwd=tmp_path, check=True)
    runs.commit.cache_clear()
    assert len(clean := runs.commit()) == 10
    for folder in ("lib", "studies"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.py").touch()
        runs.commit.cache_clear()
        assert runs.commit() == clean + "+dirty"
        (tmp_path / folder / "a.py").unlink()


def test_a_user_without_a_name_has_a_number(monkeypatch):
    """As in a container that runs under a number: torch would fail in the first attack."""
    def nobody(number):
        raise KeyError(f"getpwuid(): uid not found: {number}")

    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setenv("LOGNAME", "")                        # put back after the test
    runs.name_the_user()
    assert getpass.getuser() == f"user{os.getuid()}"


def test_a_users_own_name_stays(monkeypatch):
    monkeypatch.setenv("LOGNAME", "reader")
    runs.name_the_user()
    assert os.environ["LOGNAME"] == "reader"
