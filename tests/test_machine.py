"""What make doctor says of cores, threads, disk, clusters, packages and scripts, with each cure."""

import os
import socket
import sys
from collections import namedtuple
from types import SimpleNamespace

import pytest
from packaging.markers import default_environment

from tools import doctor, environment, machine

Usage = namedtuple("Usage", "total used free")


def only(rows):
    row, = rows
    return row


@pytest.mark.parametrize(("shares", "free", "cures"), [
    ([10, 20], 8, [False, False]), ([90, 80], 8, [True, False]), ([10, 20], 1, [False, True])])
def test_busy_cores_and_little_memory_are_advice(monkeypatch, shares, free, cures):
    monkeypatch.setattr(machine.psutil, "cpu_percent", lambda interval, percpu: shares)
    monkeypatch.setattr(machine.psutil, "virtual_memory",
                        lambda: SimpleNamespace(available=free * 2**30))
    rows = machine.cores(0)
    assert [bool(row.cure) for row in rows] == cures and all(row.advice for row in rows)
    assert f"2, {sum(shares) / 100:.1f} of them" in rows[0].text


@pytest.mark.parametrize(("given", "names"), [
    ({}, []), ({"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}, []),
    ({"OMP_NUM_THREADS": "4"}, ["OMP_NUM_THREADS"]),
    ({"OMP_WAIT_POLICY": "ACTIVE", "MKL_NUM_THREADS": "2"}, ["MKL_NUM_THREADS",
                                                             "OMP_WAIT_POLICY"])])
def test_threads_that_change_numbers_or_spin_are_named(given, names):
    rows = machine.threads(given)
    assert [row.cure for row in rows] == ([f"unset {name}" for name in names] or [None])


def test_a_full_disk_is_named(monkeypatch):
    for free, wrong in ((machine.ROOM - 1, True), (machine.ROOM, False)):
        monkeypatch.setattr(machine.shutil, "disk_usage", lambda _, free=free: Usage(0, 0, free))
        assert [bool(row.cure) for row in machine.disk()] == [wrong, wrong]


def test_no_cluster_is_no_row_and_a_wrong_one_is_named(monkeypatch):
    assert machine.cluster("") == []
    assert "CLUSTER=many" in only(machine.cluster("many")).text
    monkeypatch.setattr(machine.os, "cpu_count", lambda: 4)
    assert only(machine.cluster("4")).cure is None
    assert only(machine.cluster("5")).cure.startswith("CLUSTER=4")


def test_slurm_needs_its_command_and_a_package(monkeypatch):
    monkeypatch.setattr(machine.shutil, "which", lambda name: None)
    assert "login node" in only(machine.cluster("slurm", "8")).cure
    monkeypatch.setattr(machine.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.setattr(machine.importlib.metadata, "version", lambda name: "0.9.0")
    assert only(machine.cluster("slurm", "8")).cure is None


def test_an_address_where_nothing_answers_is_named(monkeypatch):
    monkeypatch.setattr(machine.workers, "ANSWER", 1)
    with socket.socket() as taken:                           # bound, and nobody listens
        taken.bind(("127.0.0.1", 0))
        row = only(machine.cluster(f"tcp://127.0.0.1:{taken.getsockname()[1]}"))
    assert "no scheduler answers" in row.text and row.cure


@pytest.mark.parametrize("count", [0, 1])
def test_a_scheduler_without_workers_is_named(count):
    from distributed import LocalCluster

    with LocalCluster(n_workers=count, processes=False, threads_per_worker=1,
                      dashboard_address=None, host="127.0.0.1", protocol="tcp://") as there:
        row = only(machine.cluster(there.scheduler_address))
    assert row.text.startswith(f"{count} workers") and bool(row.cure) == (count == 0)


def test_a_lock_is_read_as_it_holds_for_this_machine():
    assert default_environment()["sys_platform"] == sys.platform
    text = ("# head\nnumpy==2.4.6 \\\n    --hash=sha256:aa\n"
            f"here==1 ; sys_platform == '{sys.platform}' \\\n    --hash=sha256:bb\n"
            "elsewhere==1 ; sys_platform == 'nowhere' \\\n    --hash=sha256:cc\n")
    assert [wanted.name for wanted in machine.locked(text)] == ["numpy", "here"]


def test_versions_are_compared_with_the_lock(tmp_path, monkeypatch):
    monkeypatch.setattr(machine, "ROOT", tmp_path)
    there = {"torch": "2.11.0+cpu", "numpy": "2.4.5"}
    monkeypatch.setattr(machine, "installed", lambda name: there.get(name, ""))
    lines = ["torch==2.11.0", "numpy==2.4.6", "pandas==3.1.1", "nvidia-cublas==13.1"]
    (tmp_path / "requirements.lock").write_text(
        "".join(f"{line} \\\n    --hash=sha256:aa\n" for line in lines))
    row = only(machine.packages())
    assert row.text == "numpy 2.4.5 (locked: 2.4.6); pandas none (locked: 3.1.1)"
    assert "--require-hashes" in row.cure
    there |= {"numpy": "2.4.6", "pandas": "3.1.1"}
    assert only(machine.packages()).cure is None
    there["torch"] = "2.11.0"                                # the default build brings CUDA
    assert "nvidia-cublas none" in only(machine.packages()).text


def test_commands_that_another_python_would_run_are_named(tmp_path, monkeypatch):
    here, other = tmp_path / "here/.venv", tmp_path / "other/.venv"
    for venv in (here, other):
        (venv / "bin").mkdir(parents=True)
        (venv / "bin/python").touch()
    monkeypatch.setattr(machine, "ROOT", tmp_path / "here")
    monkeypatch.setattr(machine.sys, "prefix", str(here))
    headers = {"own": f"#!{here}/bin/python\n", "sound": f"#!{os.path.realpath(sys.executable)}\n",
               "spaced": environment.HEADER.format(f"{here}/bin/python"),
               "system": "#!/usr/bin/env python3\n"}
    for name, header in headers.items():
        (here / "bin" / name).write_text(header + "import sys\n")
    (here / "bin/binary").write_bytes(b"\x7fELF\x00\xff")
    assert only(machine.scripts()).cure is None
    (here / "bin/copied").write_text(f"#!{other}/bin/python\n")
    (here / "bin/gone").write_text("#!/no/such/.venv/bin/python3\n")
    row = only(machine.scripts())
    assert "2 of .venv/bin" in row.text and "copied, gone" in row.text and row.cure


def test_advice_is_no_fault(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "faults", 0)
    doctor.say("cores", "2 busy", "wait", advice=True)
    assert doctor.faults == 0 and capsys.readouterr().out.startswith("??")
    doctor.say("disk", "full", "make clean")
    assert doctor.faults == 1 and "-> make clean" in capsys.readouterr().out


def test_the_doctor_asks_for_the_cluster_that_make_was_given(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr(machine, "cores", lambda: [])
    monkeypatch.setattr(machine, "cluster", lambda *given: asked.append(given) or [])
    monkeypatch.setitem(os.environ, "CLUSTER", "tcp://a:1")
    monkeypatch.setitem(os.environ, "JOBS", "3")
    doctor.around()
    assert asked == [("tcp://a:1", "3")] and "disk" in capsys.readouterr().out
