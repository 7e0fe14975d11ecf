"""What the forge and a newcomer are given: workflow, image, forms, metadata name what exists."""

import fnmatch
import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lib import run as runs
from tools import in_step

ROOT = runs.ROOT
TARGETS = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M)
WORKFLOW = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("[0-9]*.yml"))
IMAGE = (ROOT / "Dockerfile").read_text()


def steps() -> list[str]:
    return [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"]
            if "run" in step]


def version() -> str:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]


def test_the_version_is_the_same_everywhere():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    newest = re.search(r"^## (\S+), (\d+ \w+ \d+)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert citation["version"] == newest[1] == version()
    assert json.loads((ROOT / ".zenodo.json").read_text())["version"] == version()
    for page in ("README.md", "lib/USING.md"):
        wheels = re.findall(r"leaky_gradients-([\d.]+)-py3", (ROOT / page).read_text())
        assert wheels and set(wheels) == {version()}, page
    day, month, year = newest[2].split()
    released = citation["date-released"]
    assert (released.day, f"{released:%B}", released.year) == (int(day), month, int(year))


def test_the_deposit_names_every_paper_with_an_arxiv_number():
    deposit = json.loads((ROOT / ".zenodo.json").read_text())
    named = {entry["identifier"].removeprefix("arXiv:") for entry in deposit["related_identifiers"]}
    published = [path.read_text() for path in (ROOT / "data/published").glob("*.json")]
    papers = [re.search(r"arXiv (\d{4}\.\d{5})", json.loads(text)["paper"]) for text in published]
    assert named == {number[1] for number in papers if number} and len(named) >= 7


def test_every_step_of_the_workflow_exists():
    assert ".ci/run" in steps() and "make examples" in steps()
    for step in steps():
        program = step.split()[0]
        if program == "make":
            assert step.split()[1] in TARGETS, step
        elif program.startswith(".ci/"):
            assert (ROOT / program).stat().st_mode & 0o100, program
        else:
            assert program.startswith("build/newest/"), step


def test_the_workflow_runs_on_each_python_and_weekly_on_the_newest_and_the_slow_tests():
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    pythons = WORKFLOW["jobs"]["locked"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13"] and wanted == f">={pythons[0]}"
    crons = [entry["cron"] for entry in WORKFLOW[True]["schedule"]]  # YAML reads `on` as true
    assert len(crons) == 1 and crons[0].split()[-1] in "0123456"
    for job, last in (("newest", "make test "), ("slow", "make test-slow")):
        assert "schedule" in WORKFLOW["jobs"][job]["if"]
        assert WORKFLOW["jobs"][job]["steps"][-1]["run"].startswith(last)
    assert WORKFLOW["permissions"] == {"contents": "read"}


@pytest.mark.parametrize("name", ["run", "browser", "torch-cpu", "newest"])
def test_the_scripts_of_ci_can_be_read_by_bash(name):
    subprocess.run(["bash", "-n", ROOT / ".ci" / name], check=True)


def test_torch_for_processors_has_the_locked_version(tmp_path):
    """With a python3 that only writes down what it is asked."""
    for name in ("requirements.txt", ".ci/torch-cpu"):
        there = tmp_path / name
        there.parent.mkdir(exist_ok=True)
        there.write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".ci/torch-cpu").chmod(0o755)
    fake = tmp_path / ".venv/bin/python"
    fake.parent.mkdir(parents=True)
    fake.write_text('#!/bin/sh\necho "$@" >> asked\n')
    fake.chmod(0o755)
    subprocess.run([".ci/torch-cpu"], cwd=tmp_path, check=True, env={
        "PYTHON3": str(fake), "TORCH_INDEX": "https://a.example/cpu", "PATH": "/usr/bin:/bin"})
    pins = re.findall(r"^torch(?:vision)?==\S+", (ROOT / "requirements.txt").read_text(), re.M)
    made, installed = (tmp_path / "asked").read_text().splitlines()
    assert made == "-m venv .venv" and len(pins) == 2
    assert installed.split()[-4:] == [*pins, "--index-url", "https://a.example/cpu"]


def test_the_image_copies_what_exists_and_is_not_run_by_root():
    copied = re.findall(r"^COPY --chown=reader (.+) \S+$", IMAGE, re.M)
    for word in " ".join(copied).split():
        assert (ROOT / word).exists(), word
    lines = [line.split()[0] for line in IMAGE.splitlines() if line[:1].isupper()]
    assert lines.index("USER") < lines.index("COPY") and "USER 1000" in IMAGE
    assert "USER root" not in IMAGE and "USER 0" not in IMAGE
    assert json.loads(re.search(r"^CMD (.*)$", IMAGE, re.M)[1]) == ["make", "figures"]
    assert "requirements.lock" in copied[0] and "tools/environment.py" in IMAGE


def test_the_image_gets_all_that_is_tracked_and_needed():
    """Nothing that .dockerignore leaves out is tracked, but git's own folder."""
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines()
               if line and not line.startswith("#")]
    kept = [line[1:] for line in ignored if line.startswith("!")]
    listed = subprocess.run(["git", "ls-files", "data"], cwd=ROOT, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("no git here")
    assert "data/*" in ignored
    for path in listed.stdout.split():
        assert any(path == name or path.startswith(f"{name}/") for name in kept), path


def test_the_dev_container_is_the_image():
    said = json.loads((ROOT / ".devcontainer/devcontainer.json").read_text())
    there = ROOT / ".devcontainer" / said["build"]["dockerfile"]
    assert there.resolve() == ROOT / "Dockerfile"
    assert f"WORKDIR {said['workspaceFolder']}" in IMAGE
    assert set(said["build"]["args"]) <= set(re.findall(r"^ARG (\w+)", IMAGE, re.M))
    assert said["postCreateCommand"].split()[1] in TARGETS


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_a_form_asks_for_what_the_forge_knows(path):
    form = yaml.safe_load(path.read_text())
    assert {"name", "description", "body"} <= set(form)
    kinds = [part["type"] for part in form["body"]]
    assert set(kinds) <= {"input", "textarea", "dropdown", "markdown", "checkboxes"}
    ids = [part["id"] for part in form["body"]]
    assert len(set(ids)) == len(ids) and "doctor" in ids
    assert any(part.get("validations", {}).get("required") for part in form["body"])


def test_there_is_a_form_for_claims_networks_and_faults():
    assert [path.stem.partition("-")[2] for path in FORMS] == ["claim", "network", "bug"]


def test_generated_files_are_marked_and_sources_are_not():
    lines = [line.split() for line in (ROOT / ".gitattributes").read_text().splitlines()
             if line and not line.startswith("#")]
    marked = [line[0] for line in lines if "linguist-generated" in line]
    generated = ["notebooks/01_dlg.ipynb", "figures/paper/01_dlg/claims.csv", "requirements.lock"]
    for name in [*generated, "notebooks/01_dlg.py", "lib/update.py"]:
        hit = any(fnmatch.fnmatch(name, pattern.replace("**", "*")) for pattern in marked)
        assert hit == (name in generated), name


def test_pre_commit_calls_what_exists():
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    assert [hook["id"] for hook in hooks] == ["ruff", "in-step"]
    entry, pattern = hooks[1]["entry"].split()[1], hooks[1]["files"]
    assert (ROOT / entry).is_file()
    for name, fits in (("notebooks/01_dlg.py", True), ("notebooks/solutions/01_dlg.ipynb", True),
                       ("notebooks/README.md", False), ("lib/01_dlg.py", False)):
        assert bool(re.search(pattern, name)) == fits, name


def test_a_notebook_out_of_step_is_named(tmp_path, capsys):
    name = "07_mu_cats_dogs"
    for ending in (".py", ".ipynb"):
        (tmp_path / f"{name}{ending}").write_bytes(
            (ROOT / f"notebooks/{name}{ending}").read_bytes())
    pair = [str(tmp_path / f"{name}{ending}") for ending in (".py", ".ipynb")]
    assert in_step.main(pair) == 0
    with open(pair[0], "a") as file:
        file.write("\n# %%\nmore = 1\n")
    assert in_step.main(pair[1:]) == 1
    assert f"{name}.ipynb: its cells are not those of its source" in capsys.readouterr().out
    Path(pair[1]).unlink()
    assert in_step.main(pair[:1]) == 1 and "missing" in capsys.readouterr().out


def test_it_runs_as_pre_commit_calls_it():
    done = subprocess.run([sys.executable, "tools/in_step.py", "notebooks/solutions/no.py"],
                          cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1 and "there is no no.py" in done.stdout
