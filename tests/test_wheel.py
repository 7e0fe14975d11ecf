"""lib as the package leaky_gradients: what the wheel holds; it works without a repository."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement

from lib import data
from tools import wheel

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
NET = """
import torch


class Net(torch.nn.Sequential):
    def __init__(self):
        super().__init__(torch.nn.Flatten(), torch.nn.Linear(64, 10))
        for parameter in self.parameters():
            torch.nn.init.zeros_(parameter)
"""
TOLD = ["--model", "net.py:Net", "--shape", "1,8,8", "--classes", "10", "--budget", "2s"]


# ---- what is written


def test_every_folder_of_lib_is_in_the_wheel():
    folders = {"leaky_gradients" + "".join(f".{part}" for part in path.parent.relative_to(
        ROOT / "lib").parts) for path in (ROOT / "lib").rglob("__init__.py")}
    assert set(PROJECT["tool"]["setuptools"]["packages"]) == folders


def test_lib_imports_itself_relatively_and_nothing_of_the_repository():
    for path in sorted((ROOT / "lib").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            outside = {name.split(".")[0] for name in names} & {"lib", "studies", "tools"}
            assert not outside, f"{path.name}, line {node.lineno}"


def test_the_pins_of_make_lie_within_the_ranges_of_the_package():
    pins = dict(re.findall(r"^([\w.-]+)==(\S+)$", (ROOT / "requirements.txt").read_text()
                           + (ROOT / "requirements-cluster.txt").read_text(), re.M))
    extras = PROJECT["project"]["optional-dependencies"]
    assert set(extras) == {"notebooks", "site", "course", "cluster"}
    ranges = sum(extras.values(), PROJECT["project"]["dependencies"])
    for text in ranges:
        wanted = Requirement(text)
        assert pins[wanted.name] in wanted.specifier, text
        assert "==" not in text


HEAVY = {"matplotlib", "seaborn", "papermill", "jupytext", "nbval", "IPython", "dask",
         "distributed", "sphinx", "selenium", "nbgrader", "opacus",
         "torchmetrics", "lpips", "sklearn"}


def run(script: str, folder: Path, **given) -> subprocess.CompletedProcess:
    ours = ("PYTHONPATH", "PROFILE", "DATA_ROOT", "COMMIT")
    there = {name: value for name, value in os.environ.items() if name not in ours}
    return subprocess.run([sys.executable, "-c", script], cwd=folder, text=True,
                          capture_output=True, env=there | {"QUIET": "1"} | given)


# ---- the package under its own name


@pytest.fixture
def desk(tmp_path):
    """An auditor's folder away from the repository, and the gradient of a client."""
    folder = tmp_path / "desk"
    folder.mkdir()
    (folder / "net.py").write_text(NET)
    image = data.load("digits").clients(1).images[0, 0, 0].numpy().ravel()
    off = np.full(10, 0.1, np.float32)
    off[3] -= 1                                          # the loss's gradient at equal logits
    np.savez(folder / "update.npz", np.outer(off, image), off)
    rng = np.random.default_rng(0)
    np.savez(folder / "noise.npz", rng.normal(size=(10, 64)), rng.normal(size=10))
    return folder


@pytest.fixture
def installed(tmp_path) -> Path:
    """A folder with the package as a wheel would put it there."""
    shutil.copytree(ROOT / "lib", tmp_path / "site/leaky_gradients",
                    ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


AUDIT = """
import json, pathlib, sys
sys.path[:] = [place for place in sys.path if not (pathlib.Path(place) / "lib/audit").is_dir()]
from leaky_gradients.audit.__main__ import main
from leaky_gradients import attacks, client, data, descriptions, files, models, objectives, run
from leaky_gradients import sealed
heavy = sorted({name.partition(".")[0] for name in sys.modules})
code = main(WORDS)
digits = data.load("digits")  # of lib's own networks, unlike a user's, graphs are kept
attacks.reconstruct(client.share(models.dense(digits), digits.clients(1)), attacks.dlg(1))
said = {"code": code, "heavy": heavy, "home": str(files.home()), "graphs": str(sealed.FOLDER),
        "ours": [name for name in sys.modules if name.split(".")[0] in ("lib", "studies")],
        "data": str(run.start().data_root), "commit": run.commit(),
        "stays": descriptions.described(objectives.l2)[1]}
print(json.dumps(said))
"""


def test_the_package_works_under_its_name_and_keeps_its_files_at_home(desk, installed, tmp_path):
    words = ["audit", "update.npz", *TOLD, "--html", "r.html"]
    script = AUDIT.replace("WORDS", repr(words))
    home = tmp_path / "home"
    done = run(script, desk, PYTHONPATH=str(installed), LEAKY_GRADIENTS_HOME=str(home))
    assert done.returncode == 0, done.stderr[-2000:]
    said = json.loads(done.stdout.splitlines()[-1])
    assert said["code"] == 1 and "A private image was found" in done.stdout
    assert not HEAVY & set(said["heavy"]) and not said["ours"]
    assert said["home"] == str(home) and said["data"] == str(home / "data")
    assert said["graphs"] == str(home / "build/graphs") and [*(home / "build/graphs").glob("*")]
    assert said["stays"] and not re.fullmatch("[0-9a-f]{10}.*", said["commit"])
    assert not (installed / "build").exists() and not (desk / "build").exists()


def test_home_is_the_users_folder_where_nothing_else_is_named(installed, tmp_path):
    ask = "from leaky_gradients import files; print(files.home())"
    done = run(ask, tmp_path, PYTHONPATH=str(installed), XDG_DATA_HOME=str(tmp_path / "mine"),
               LEAKY_GRADIENTS_HOME="")
    assert done.stdout.strip() == str(tmp_path / "mine/leaky-gradients"), done.stderr
    done = run("from lib import files; print(files.home())", ROOT, LEAKY_GRADIENTS_HOME="/other")
    assert done.stdout.strip() == str(ROOT)


# ---- the wheel, in an empty environment


@pytest.mark.slow
@pytest.mark.skipif(not os.environ.get("WHEEL_TEST"),
                    reason="it installs torch anew: make wheel-test")
def test_the_wheel_audits_a_file_in_an_empty_environment(desk, tmp_path):
    built = wheel.build(tmp_path / "wheel")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    pip = [tmp_path / "venv/bin/python", "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, built, "torch==2.11.0", "torchvision==0.26.0"], check=True)
    there = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "QUIET": "1"}

    def shell(*words) -> subprocess.CompletedProcess:
        return subprocess.run(words, cwd=desk, env=there, capture_output=True, text=True)

    tops = shell(tmp_path / "venv/bin/python", "-c", "import lib")
    assert "No module named 'lib'" in tops.stderr
    audit = [tmp_path / "venv/bin/leaky-gradients", "audit"]
    done = shell(*audit, "update.npz", *TOLD, "--html", "r.html", "--json", "r.json")
    assert done.returncode == 1 and "A private image was found" in done.stdout, done.stderr
    about = json.loads((desk / "r.json").read_text())["about"]
    assert about["commit"].startswith("leaky-gradients")
    in_module = [word.replace("net.py:", "net:") for word in TOLD]
    assert shell(*audit, "update.npz", *in_module).returncode == 1
    assert shell(*audit, "noise.npz", *TOLD).returncode == 0
    done = shell(*audit, "gone.npz", *TOLD)
    assert done.returncode == 2 and done.stderr == "cannot be audited: no file gone.npz\n"
    assert not {"papermill", "jupyterlab", "matplotlib", "nbgrader"} & {
        line.split("==")[0] for line in shell(*pip[:3], "freeze").stdout.splitlines()}
