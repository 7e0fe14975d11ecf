"""requirements.lock: whole, without addresses, in step with requirements.txt; what make does."""

import json
import re
import subprocess
import sys

import pytest

from tools import environment, lock

TEXT = lock.LOCK.read_text()
SMALL = """# a head
numpy==2.4.6 \\
    --hash=sha256:aa \\
    --hash=sha256:bb
nvidia-cublas==13.1 ; sys_platform == 'linux' \\
    --hash=sha256:cc
cuda-toolkit==13.0 \\
    --hash=sha256:dd
triton==3.6.0 \\
    --hash=sha256:ee
tritonclient==1.0 \\
    --hash=sha256:ff
"""


def test_every_package_has_hashes_and_no_address_is_there():
    found = lock.entries(TEXT)
    assert len(found) > 150
    for name, (_, hashes) in found.items():
        assert hashes and all(re.fullmatch("sha256:[0-9a-f]{64}", one) for one in hashes), name
    assert "://" not in TEXT and "--index" not in TEXT and "--find-links" not in TEXT


def test_it_has_the_files_of_each_python_and_of_other_systems():
    """numpy has a file for each Python and system: one alone would mean a lock of one machine."""
    for name in ("numpy", "scipy", "pandas", "matplotlib", "torch"):
        assert len(lock.entries(TEXT)[name][1]) >= 20, name


@pytest.mark.parametrize("path", lock.SOURCES, ids=lambda path: path.name)
def test_it_is_in_step_with_what_is_pinned(path):
    locked = lock.entries(TEXT)
    pins = re.findall(r"^([\w.-]+)==([\w.]+)", path.read_text(), re.M)
    assert pins and lock.direct(path.read_text()) == [name for name, _ in pins]
    for name, version in pins:
        assert locked[lock.normal(name)][0] == version, f"{name}: make lock"


def test_what_moved_is_said():
    after = (SMALL.replace("numpy==2.4.6", "numpy==2.5.0").replace("sha256:cc", "sha256:99")
             .replace("tritonclient==1.0", "typer==2.0").replace(
                 "sha256:dd", "sha256:dd \\\n    --hash=sha256:d2"))
    assert lock.moved(SMALL, after) == [
        "cuda-toolkit 13.0: 1 hashes more",
        "numpy 2.4.6 -> 2.5.0",
        "nvidia-cublas 13.1: 1 of its files are no longer there, or others bear their names",
        "tritonclient 1.0: no longer needed", "typer 2.0: new"]
    assert lock.moved(SMALL, SMALL) == []


def test_names_are_compared_as_the_index_does():
    assert lock.normal("Efficientnet_Lite.pytorch") == "efficientnet-lite-pytorch"
    assert lock.direct("# torch==1\ntorch>=2.1\ndask[array]==3\n\n-r other.txt\n") == [
        "torch", "dask"]


def test_without_cuda_whole_entries_go_and_no_other():
    kept = environment.without_cuda(SMALL)
    assert [*lock.entries(kept)] == ["numpy", "tritonclient"]
    assert "sha256:ff" in kept and not re.search("sha256:(cc|dd|ee)", kept)
    gone = {*lock.entries(TEXT)} - {*lock.entries(environment.without_cuda(TEXT))}
    assert {"triton", "nvidia-cublas", "cuda-bindings"} <= gone and len(gone) < 25
    assert not {"torch", "numpy"} & gone


@pytest.mark.parametrize(("version", "name"), [("2.11.0+cpu", ".venv"), ("2.11.0+cu130", "")])
def test_a_pytorch_for_processors_is_kept_without_cuda(tmp_path, monkeypatch, version, name):
    (tmp_path / "requirements.lock").write_text(SMALL)
    (tmp_path / ".venv").mkdir()

    def answer(words, **kwargs):
        return subprocess.CompletedProcess(words, 0, version + "\n")

    monkeypatch.setattr(environment.subprocess, "run", answer)
    chosen = environment.lock_for(tmp_path, "python")
    assert chosen == tmp_path / name / "requirements.lock"
    assert ("cublas" in chosen.read_text()) == (not name)


@pytest.mark.parametrize("given", [f" --hash=sha256:{'0' * 64}", ""])
def test_a_package_with_another_hash_or_none_is_not_installed(tmp_path, given):
    """With the very words of make; pip refuses before it installs anything."""
    (tmp_path / "tiny").mkdir()
    (tmp_path / "tiny/pyproject.toml").write_text('[project]\nname = "tiny"\nversion = "1.0"\n')
    wanted = tmp_path / "requirements.lock"
    wanted.write_text(f"tiny @ {(tmp_path / 'tiny').as_uri()}{given}\n")
    done = subprocess.run([sys.executable, *environment.INSTALL, wanted, "--dry-run", "--no-index"],
                          capture_output=True, text=True)
    assert done.returncode and "hash" in done.stderr.lower()


def test_the_newest_has_the_same_names_without_versions(tmp_path, monkeypatch):
    there = tmp_path / "deep/newest.txt"
    monkeypatch.setattr(sys, "argv", ["lock.py", "--newest", str(there)])
    assert lock.main() == 0
    names = there.read_text().split()
    assert "torch" in names and "dask-jobqueue" in names and "=" not in there.read_text()


def test_a_lock_that_cannot_be_solved_leaves_the_old_one(tmp_path, monkeypatch, capsys):
    old = tmp_path / "requirements.lock"
    old.write_text(SMALL)
    monkeypatch.setattr(lock, "LOCK", old)

    def fails(before, upgrade):
        raise subprocess.CalledProcessError(1, ["uv"])

    monkeypatch.setattr(lock, "solve", fails)
    monkeypatch.setattr(sys, "argv", ["lock.py"])
    assert lock.main() == 1
    assert old.read_text() == SMALL and "stays as it was" in capsys.readouterr().err


def test_uv_looks_where_pip_looks_and_not_in_its_further_places(monkeypatch):
    said = ("global.extra-index-url='file:///wheels'\nglobal.index-url='https://a.example/simple'\n"
            ":env:.find-links='/wheels'\n")
    monkeypatch.setattr(lock.subprocess, "run",
                        lambda words, **_: subprocess.CompletedProcess(words, 0, said))
    assert lock.index_of_pip() == {"UV_DEFAULT_INDEX": "https://a.example/simple"}


def test_pip_reports_nothing_to_install_where_all_is_there(tmp_path):
    """What `missing` reads: with hashes, too, a package that is there needs no network."""
    wanted = tmp_path / "requirements.lock"
    wanted.write_text(f"pytest=={pytest.__version__} --hash=sha256:{'0' * 64}\n")
    report = tmp_path / "report.json"
    subprocess.run([sys.executable, *environment.INSTALL, wanted, "--dry-run", "--no-deps",
                    "--no-index", "--report", report], check=True)
    assert json.loads(report.read_text())["install"] == []
