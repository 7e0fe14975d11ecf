"""What a user of the audit gets wrong: one error before work and exit code 2, or a report that says
it."""

import errno
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from auditing import short_attacks
from torch import nn

from lib.audit import __main__ as command
from lib.audit import attempts, inputs, settings
from lib.audit.findings import Attempt

NETS = """
from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Config:
    classes: int = 10


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, Config().classes))


def frozen():
    made = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Tanh(), nn.Linear(16, 10))
    made[1].requires_grad_(False)
    return made


def normed():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.BatchNorm1d(6), nn.Linear(6, 10))


class Wants(nn.Module):
    def __init__(self, width):
        super().__init__()


def leaves():
    sys.exit(0)


def of_each_image(logits, targets):
    return (logits - targets).square().sum(1)
"""
TOLD = ["--shape", "1,8,8", "--classes", "10", "--budget", "1h"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with networks, and what a client of one sent; no test changes these files."""
    folder = tmp_path_factory.mktemp("wrong")
    (folder / "nets.py").write_text(NETS)
    (folder / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    scope = {"__name__": "nets"}
    exec(NETS.replace("@dataclass\n", ""), scope)  # a dataclass looks for its module
    net, image = scope["net"](), torch.rand(1, 1, 8, 8, generator=torch.manual_seed(1))
    torch.save(net.state_dict(), folder / "before.pt")
    nn.functional.cross_entropy(net(image), torch.tensor([3])).backward()
    torch.save({n: p.grad for n, p in net.named_parameters()}, folder / "sent.pt")
    with torch.no_grad():
        for p in net.parameters():
            p -= 0.1 * p.grad
    torch.save(net.state_dict(), folder / "after.pt")
    return folder


@pytest.fixture
def desk(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("QUIET", "1")
    short_attacks(monkeypatch)
    monkeypatch.setattr(attempts, "attempt", lambda update, name, *given: Attempt(name))


def told(*words) -> list[str]:
    return [*words, *([] if "--model" in words else ["--model", "nets.py:net"]), *TOLD]


def refused(capsys, *words) -> str:
    """The one line of an audit that is refused."""
    assert command.main(told(*words)) == command.CANNOT
    said = capsys.readouterr().err
    assert said.startswith("cannot be audited: ") and said.count("\n") == 1, said
    assert "foreseen" not in said and len(said) < 500, said
    return said


# ---- files


@pytest.mark.parametrize("ending", [".pt", ".npz", ".safetensors"])
def test_an_empty_file_is_named(desk, capsys, tmp_path, ending):
    path = tmp_path / f"none{ending}"
    path.touch()
    assert f"none{ending} is empty" in refused(capsys, str(path))


def test_a_few_bytes_that_are_a_tensor_of_any_size_are_refused(desk, capsys, tmp_path):
    path = tmp_path / "wide.pt"
    torch.save({"grads": [torch.zeros(1).expand(2**40)]}, path)
    assert path.stat().st_size < 10_000
    assert "holds a tensor of 4096.0 GiB" in refused(capsys, str(path))


def test_an_archive_that_unpacks_to_too_much_is_refused_whatever_its_ending(tmp_path, monkeypatch):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", b"0" * 10**6)
    monkeypatch.setattr(inputs, "LARGEST", 10**5)
    assert path.stat().st_size < 10**4
    with pytest.raises(ValueError, match=r"bomb.pt unpacks to"):
        inputs.tensors_of(path)


def test_a_header_that_promises_more_than_there_is_is_refused(desk, capsys, tmp_path):
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", 2**60) + b"{}")
    assert "a.safetensors cannot be read" in refused(capsys, str(tmp_path / "a.safetensors"))
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1125899906842624,), }"
    header = header.ljust(117) + b"\n"
    with zipfile.ZipFile(tmp_path / "b.npz", "w") as archive:
        archive.writestr("w.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    assert "b.npz" in refused(capsys, str(tmp_path / "b.npz"))


def test_codes_of_a_terminal_in_a_name_are_not_printed(desk, capsys):
    said = refused(capsys, "gone\x1b[31m\x07.npz")
    assert "no file gone?[31m?.npz" in said and "\x1b" not in said


def test_a_name_that_is_no_text_ends_in_a_report(desk, tmp_path):
    sent = tmp_path / "gesendet_é_\udcff.pt"
    sent.write_bytes(Path("sent.pt").read_bytes())
    report = tmp_path / "übersicht_\udcff.html"
    assert command.main(told(str(sent), "--html", str(report))) == 1
    assert "gesendet_é_\\udcff.pt" in report.read_text()


# ---- where the report goes


@pytest.mark.parametrize(("words", "says"), [
    (["--html", "sent.pt"], "no place for a report"), (["--html", "."], "no place for a report"),
    (["--html", "r", "--json", "r"], "r is no place for a report"),
    (["--json", "gone/r.json"], "no folder")])
def test_a_report_replaces_nothing_that_is_read(desk, capsys, words, says):
    assert says in refused(capsys, "sent.pt", *words)
    assert not Path("r").exists()


def test_a_folder_that_cannot_be_written_to_is_known_before_work(desk, capsys, monkeypatch):
    def refuse(**named):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(command.tempfile, "TemporaryFile", refuse)
    monkeypatch.setattr(command, "update_of", lambda *given: pytest.fail("work"))
    said = refused(capsys, "sent.pt", "--html", "r.html")
    assert "cannot be written to, for r.html: Read-only file system" in said


# ---- the model


@pytest.mark.parametrize(("model", "says"), [
    ("leaves.py:net", "leaves.py cannot be imported: SystemExit"),
    ("nets.py:leaves", "it failed with SystemExit"),
    ("nets.py:Wants", "missing 1 required positional argument: 'width'; a function of yours"),
    ("nets.py:net.weight", "nets.py has no net.weight")])
def test_a_model_file_that_fails_or_leaves_is_no_verdict(desk, capsys, model, says):
    assert says in refused(capsys, "sent.pt", "--model", model)


def test_frozen_parameters_are_not_part_of_the_update(desk, tmp_path):
    net = inputs.model_of("nets.py:frozen")
    before = {n: t.clone() for n, t in net.state_dict().items()}
    after = {n: t + (0.1 if n.startswith("3") else 0) for n, t in before.items()}
    torch.save(before, tmp_path / "b.pt")
    torch.save(after, tmp_path / "a.pt")
    asked = settings.read(None, {"shape": [1, 8, 8], "classes": 10, "sends": "weights",
                                 "local_lr": 0.1})
    update = inputs.update_of(tmp_path / "a.pt", net, asked, tmp_path / "b.pt")
    assert set(update.gradients) == {"3.weight", "3.bias"}


def test_weights_without_buffers_are_taken_with_those_of_the_model(desk, tmp_path):
    net = inputs.model_of("nets.py:normed")
    before = {n: p.detach().clone() for n, p in net.named_parameters()}
    torch.save(before, tmp_path / "b.pt")
    torch.save({n: t + 0.01 for n, t in before.items()}, tmp_path / "a.pt")
    asked = settings.read(None, {"shape": [1, 8, 8], "classes": 10, "sends": "weights",
                                 "local_lr": 0.1})
    update = inputs.update_of(tmp_path / "a.pt", net, asked, tmp_path / "b.pt")
    assert len(update.gradients) == 6 and update.buffers is None


# ---- what is told


def test_swapped_weights_are_reported(desk, capsys, tmp_path):
    words = ["--local-lr", "0.1", "--json", str(tmp_path / "r.json")]
    assert command.main(told("before.pt", "--before", "after.pt", *words)) == 0
    document = json.loads((tmp_path / "r.json").read_text())
    assert "before and after are swapped" in document["labels_not_read"]["all rules"]
    assert command.main(told("after.pt", "--before", "before.pt", *words)) == 1


@pytest.mark.parametrize(("words", "says"), [
    (["--labels", "10"], "labels must lie in 0..9"),
    (["--labels", "1,2"], "labels have shape"),
    (["--shape", "8,8"], "shape is (channels, height, width)"),
    (["--before", "before.pt"], "local_lr"),
    (["--loss", "nets.py:of_each_image"], "one number for a batch, a tensor (), not (2,)"),
    (["--loss", "nets.py:net"], "it failed with TypeError"),
    (["--budget", "nan"], "budget must be a finite number"),
    (["--budget", "0s"], "budget must be")])
def test_a_wrong_option_is_named(desk, capsys, words, says):
    assert command.main([*told("sent.pt"), *words]) == command.CANNOT
    said = capsys.readouterr().err
    assert says in said and "foreseen" not in said and said.count("\n") == 1, said


@pytest.mark.parametrize(("words", "says"), [
    (["--labels", "3,x"], "'3,x' is no list of whole numbers"),
    (["--shape", ""], "is no list of whole numbers"), (["--budget", "soon"], "is no time like"),
    (["--budget", ""], "is no time like"), (["--mode", "test"], "invalid choice"),
    (["--size", "8"], "unrecognized arguments")])
def test_an_option_that_cannot_be_read_says_what_it_is(desk, capsys, words, says):
    with pytest.raises(SystemExit) as ended:
        command.main([*told("sent.pt"), *words])
    assert ended.value.code == command.CANNOT and says in capsys.readouterr().err


@pytest.mark.parametrize("labels", ["10", "-1", "3,4"])
def test_labels_of_the_truth_are_labels_of_the_model(desk, capsys, tmp_path, labels):
    (tmp_path / "truth").mkdir()
    from PIL import Image
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "truth/a.png")
    words = ["--truth", str(tmp_path / "truth"), f"--truth-labels={labels}"]
    assert "labels must" in refused(capsys, "sent.pt", *words)


@pytest.mark.parametrize(("text", "says"), [
    ("mean = ['a']\nstd = [1]", "each value of mean must be a finite number"),
    ("labels = [3.5]", "each of labels must be a whole number"),
    ("labels = [[3]]", "each of labels must be a whole number"),
    ("# \xe9", "is no TOML file")])
def test_a_wrong_value_of_the_settings_file_is_named(tmp_path, text, says):
    path = tmp_path / "told.toml"
    path.write_bytes(f"shape = [1, 8, 8]\nclasses = 10\n{text}".encode("latin-1"))
    with pytest.raises(ValueError, match=says):
        settings.read(path)
