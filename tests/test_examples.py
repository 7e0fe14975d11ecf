"""The scripts of examples/ run where their frameworks are installed, on a small budget; with their
own, by `make examples`."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NEEDS = {"flower_client.py": "flwr", "hf_vit.py": "transformers", "opacus_dpsgd.py": "opacus"}
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def test_every_script_is_short_and_listed():
    assert {script.name for script in SCRIPTS} == set(NEEDS)
    for script in SCRIPTS:
        lines = [line for line in script.read_text().splitlines() if line.strip()]
        assert len(lines) < 40, script.name
        assert f"({script.name})" in (ROOT / "examples/README.md").read_text()


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_ends_in_an_audit(script, tmp_path):
    pytest.importorskip(NEEDS[script.name], reason="make examples installs it")
    (tmp_path / "leaky_gradients").symlink_to(ROOT / "lib")
    text, budgets = re.subn(r"\bbudget=\d+", "budget=2", script.read_text())  # seconds
    assert budgets == 1
    (tmp_path / script.name).write_text(text)
    done = subprocess.run([sys.executable, script.name], cwd=tmp_path, text=True,
                          env=os.environ | {"PYTHONPATH": str(tmp_path), "QUIET": "1"},
                          capture_output=True)
    assert done.returncode == 0, done.stderr[-2000:]
    said = [line for line in done.stdout.splitlines() if line.startswith("Audit")]
    expected = {"flower_client.py": [""],
                "opacus_dpsgd.py": ["A private image was found", "Nothing was found"],
                "hf_vit.py": [""]}[script.name]
    assert len(said) == len(expected)
    assert all(text in line for text, line in zip(expected, said, strict=True)), said
