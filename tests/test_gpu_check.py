"""bench/gpu_check.py: its CPU parts pass here, and a check that breaks is a failure."""

import sys
from pathlib import Path

import pytest
import torch

from lib import engine, run

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "bench"))
import gpu_check

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def of_this_test(monkeypatch):
    monkeypatch.setattr(run, "start", lambda **kwargs: None)


def test_the_parts_that_need_no_gpu_pass(monkeypatch, capsys):
    monkeypatch.setattr(gpu_check, "CHECKS", (
        gpu_check.check_capture, gpu_check.check_convolutions, gpu_check.check_waiting,
        gpu_check.check_chunks, gpu_check.check_memory, gpu_check.check_second_device))
    assert gpu_check.main(["--device", "cpu", "--clients", "2"]) == 0
    said = capsys.readouterr().out
    assert "FAILED" not in said and said.count(" ok ") == 9 and "needs two GPUs" in said


def test_what_breaks_fails(monkeypatch, capsys):
    joined = engine.joined

    def wrong(parts):
        out = joined(parts)
        out.losses[-1] *= 2
        return out

    monkeypatch.setattr(engine, "joined", wrong)
    monkeypatch.setattr(gpu_check, "CHECKS", (gpu_check.check_chunks,))
    assert gpu_check.main(["--device", "cpu", "--clients", "2"]) == 1
    assert "FAILED" in capsys.readouterr().out

    def raises(device, K):
        raise RuntimeError("no such thing")

    monkeypatch.setattr(gpu_check, "CHECKS", (raises,))
    assert gpu_check.main(["--device", "cpu", "--clients", "2"]) == 1
    assert "no such thing" in capsys.readouterr().out


def test_a_capture_that_differs_is_seen(monkeypatch):
    outcome = gpu_check.outcome

    def off(setting, captured):
        out = outcome(setting, captured)
        if captured:
            out.losses.mul_(1.01)
        return out

    monkeypatch.setattr(gpu_check, "outcome", off)
    assert not any(row.passed for row in gpu_check.check_capture(CPU, 2))
