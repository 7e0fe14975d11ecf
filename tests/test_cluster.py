"""Cells on the workers of a cluster: the same bytes, none twice, none lost."""

import contextlib
import importlib
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import filelock
import psutil
import pytest
from distributed import Client, LocalCluster
from waiting import running, wait_for

from lib import files, run
from studies import cells, remote, store
from tools import cluster, plan, workers
from tools.run_notebook import Failed

ROOT = Path(__file__).resolve().parents[1]
FIXTURE = ROOT / "tests/fixture"
OURS = ("MAKE", "MFLAGS", "PROFILE", "FRESH", "SEED", "DEVICE", "DATA_ROOT", "QUIET", "PRODUCTS",
        "PYTHONPATH", "JOBS", "CLUSTER", "CELLS", "COMPUTED", "NAP", "EMPTY", "PAUSE")


def copied(place):
    """A clone of what make and a worker need, with a notebook whose cells are a study's."""
    for name in ("lib", "studies", "tools"):
        shutil.copytree(ROOT / name, place / name)
    for name in ("Makefile", "conftest.py", "pyproject.toml", "requirements.lock"):
        shutil.copy(ROOT / name, place)
    shutil.copytree(FIXTURE / "naps", place / "studies/naps")
    (place / "notebooks").mkdir()
    shutil.copy(FIXTURE / "98_naps.py", place / "notebooks")
    (place / "data").mkdir()
    (place / "build").mkdir()
    return place


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return copied(tmp_path_factory.mktemp("cluster") / "it's a copy")


def surroundings(**more):
    kept = {key: value for key, value in os.environ.items() if not key.startswith(OURS)}
    return kept | {"OMP_NUM_THREADS": "1"} | more


def command(*words):
    return ["make", "figures", *words, f"PYTHON={sys.executable}"]


def make(place, *words, **more):
    return subprocess.run(command(*words), cwd=place, env=surroundings(**more),
                          capture_output=True, text=True, timeout=900)


def emptied(place):
    shutil.rmtree(place / "build")
    (place / "build").mkdir()
    shutil.rmtree(place / "figures", ignore_errors=True)


def stored(place):
    return sorted((place / "build/cells/98_naps").glob("*.json"))


def calls(place):
    noted = place / "build/calls"
    return sorted(map(int, noted.read_text().split())) if noted.exists() else []


def told(place):
    """What the cells hold, but for the seconds and the digest, which covers them."""
    held = {}
    for file in stored(place):
        document = json.loads(file.read_text())
        del document["seconds"], document["digest"]
        arrays = {name: (values.dtype, values.tobytes())
                  for name, values in cells.load(file)[1].items()}
        held[file.name] = document, arrays
    return held


def products(place):
    folder = place / "figures/quick/98_naps"
    return {file.name: file.read_bytes() for file in folder.glob("*") if file.suffix == ".csv"}


# ---- in this process


@pytest.fixture
def here(place, monkeypatch):
    """The plan of the fixture, in this process."""
    emptied(place)
    for name in OURS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NAP", "0.02")
    for name in ("COMPUTED", "QUIET"):  # what runs in this process sets them
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(files, "ROOT", place)
    monkeypatch.syspath_prepend(str(place))
    packages = importlib.import_module("studies").__path__
    monkeypatch.setattr(sys.modules["studies"], "__path__", [*packages, str(place / "studies")])
    monkeypatch.setattr(cluster, "EVERY", 0.1)
    monkeypatch.setattr(remote, "CODE", remote.code())
    yield place
    for name in [name for name in sys.modules if name.startswith("studies.naps")]:
        del sys.modules[name]


@pytest.fixture
def threads(here, monkeypatch):
    """The same, with workers that are threads of this process."""
    monkeypatch.setattr(cluster, "connected", of_threads)
    return here


@contextlib.contextmanager
def of_threads(asked, size, **more):
    """Workers that are threads of this process: no import, no new process."""
    settings = {"n_workers": 2, "threads_per_worker": 1} | more
    with LocalCluster(processes=False, protocol="inproc://", dashboard_address=None,
                      **settings) as threads, Client(threads) as client:
        yield client


def declared():
    store.start("98_naps", run.start("quick"))
    return importlib.import_module("studies.naps.plan").declare(run.current())


def computed(monkeypatch, names):
    monkeypatch.setenv("CELLS", names)
    sweeps = declared()
    return cluster.compute(cluster.missing(sweeps), "2", 0), sweeps


# ---- by make, with processes


def test_a_cluster_stores_what_a_serial_run_stores_byte_for_byte(here, monkeypatch):
    for sweep in declared():
        sweep.run()
    serial = told(here)
    assert len(serial) == 8
    emptied(here)
    result = make(here, "CLUSTER=2", COMMIT=run.commit())
    assert result.returncode == 0, result.stderr
    assert told(here) == serial
    assert calls(here) == [0, 1, 2, 3, 4, 5, 10, 11]  # the notebook computes none
    assert products(here)
    assert "8 cells to compute\n" in result.stdout
    assert "cells: 8 done, 0 running, 0 left, " in result.stdout
    assert "Traceback" not in result.stderr and "distributed" not in result.stderr
    assert not list((here / "build").glob(".c*"))  # tokens and lists are gone
    again = make(here, "CLUSTER=2")
    assert again.stdout == ("no cell is missing that a worker can compute\n"
                            "98_naps: nothing to do (quick)\n")


def test_ctrl_c_leaves_what_is_stored_and_no_process(place):
    emptied(place)
    caller = subprocess.Popen(
        command("CLUSTER=1"), cwd=place, env=surroundings(CELLS="empty", EMPTY="60", PAUSE="2"),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))  # "make test &" ignores it
    wait_for(lambda: len(stored(place)) >= 2)
    os.killpg(caller.pid, signal.SIGINT)
    _, said = caller.communicate(timeout=300)
    assert caller.returncode
    assert "figures: interrupted; what is stored is kept" in said
    assert "Traceback" not in said
    wait_for(lambda: not running(place))
    done = stored(place)
    assert 2 <= len(done) < 60
    assert all(cells.load(file) for file in done)


# ---- a scheduler and workers that somebody has started, in other folders


@pytest.fixture
def scheduler(tmp_path):
    """The address of a scheduler without workers, a process of its own."""
    told = tmp_path / "scheduler.json"
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port",
         "0", "--no-dashboard", "--scheduler-file", told], stderr=subprocess.DEVNULL)
    wait_for(told.is_file)
    yield json.loads(told.read_text())["address"]
    process.kill()
    process.wait()


@contextlib.contextmanager
def worker(address, folder, *words):
    """A worker in a clone, as a user starts one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads",
         "1", "--no-dashboard", *words], cwd=folder, stderr=subprocess.DEVNULL,
        env=surroundings(PYTHONPATH=str(folder)))
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def test_without_a_shared_folder_cells_come_back_and_a_killed_workers_are_computed_again(
        here, tmp_path, scheduler, monkeypatch):
    other = copied(tmp_path / "another machine")
    monkeypatch.setenv("CELLS", "naps")
    jobs = cluster.missing(declared())
    with worker(scheduler, other) as first, worker(scheduler, other):
        killer = threading.Thread(target=lambda: kill_after(3, here, first))
        killer.start()
        work = cluster.compute(jobs, scheduler, 0)
        killer.join()
    assert len(work.done) == 6 and not work.failed
    assert len(stored(here)) == 6 and not stored(other)
    assert all(cells.load(file) for file in stored(here))
    assert not calls(here)
    assert set(calls(other)) == {0, 1, 2, 3, 4, 5}
    assert len(calls(other)) <= 8  # again: at most those that the killed worker had


def kill_after(count, place, process):
    wait_for(lambda: len(stored(place)) >= count)
    process.kill()


def test_where_the_scheduler_dies_it_is_said_once(here, tmp_path, scheduler, monkeypatch):
    other = copied(tmp_path / "another machine")
    monkeypatch.setenv("CELLS", "naps")
    monkeypatch.setenv("NAP", "4")
    jobs = cluster.missing(declared())
    (process,) = [p for p in psutil.Process().children() if p.status() != psutil.STATUS_ZOMBIE
                  and "dask_scheduler" in str(p.cmdline())]
    with worker(scheduler, other):
        killer = threading.Thread(target=lambda: kill_after(1, here, process))
        killer.start()
        with pytest.raises(Failed, match="scheduler is gone.*what is stored is kept"):
            cluster.compute(jobs, scheduler, 0)
        killer.join()
    assert 1 <= len(stored(here)) < 6


def test_processes_that_end_are_not_heard_at_whatever_level(monkeypatch, capfd):
    for name in workers.NOISY:
        monkeypatch.setattr(logging.getLogger(name), "handlers", [logging.StreamHandler()])
    workers.hushed()
    for name in ("distributed", "distributed.batched", "distributed.client", "asyncio", "tornado"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.INFO)
        logging.getLogger(name).error("closed")
    assert capfd.readouterr().err == ""


def test_workers_of_other_code_are_refused(here, tmp_path, scheduler):
    other = copied(tmp_path / "older")
    with open(other / "lib/attacks.py", "a") as file:
        file.write("# as it was\n")
    with worker(scheduler, other), pytest.raises(Failed, match="workers of other code than"):
        cluster.compute(cluster.missing(declared()), scheduler, 0)
    assert not stored(here) and not calls(other)


# ---- in this process


def test_a_failing_cell_is_named_and_the_others_are_computed(threads, monkeypatch, capsys):
    work, sweeps = computed(monkeypatch, "naps broken")
    said = capsys.readouterr()
    assert [job.name.startswith("98_naps/broken-00") for job in work.failed] == [True]
    assert "98_naps/broken-00" in said.err and "Traceback" in said.err
    assert "ZeroDivisionError: cell 20 divides by zero" in said.err
    assert "cells: 6 done, 0 running, 0 left, 1 failed, " in said.out
    assert calls(threads) == [0, 1, 2, 3, 4, 5, 20]  # one that fails is not tried again
    assert [sweep.done() for sweep in sweeps] == [6, 0]


def test_a_notebook_of_a_failed_cell_is_not_run(threads, monkeypatch, capsys):
    from tools import figures

    monkeypatch.setenv("CELLS", "broken")
    monkeypatch.setenv("CLUSTER", "2")
    monkeypatch.setattr(figures.plan, "declared", lambda name: declared())
    monkeypatch.setattr(figures, "side_by_side", lambda names, jobs: names)
    monkeypatch.chdir(threads)
    monkeypatch.setattr(figures.tool, "NOTEBOOKS", threads / "notebooks")
    assert figures.main(["98_naps"]) == 1
    assert "98_naps: not run, since a cell of it failed" in capsys.readouterr().err


def test_what_no_worker_can_have_is_left_out_and_said(threads, monkeypatch, capsys):
    work, _ = computed(monkeypatch, "naps on_gpu far_away")
    said = capsys.readouterr().out
    assert len(work.done) == 6 and not work.failed
    assert "1 cells are left out: they need a GPU, and no worker has one" in said
    assert "1 cells are left out: their images or weights are not at the workers" in said
    assert calls(threads) == [0, 1, 2, 3, 4, 5]


def test_a_cell_for_a_gpu_goes_to_a_worker_that_has_one(threads, monkeypatch, capsys):
    """Where it says that it has one, and torch sees none, the cell is left out."""
    monkeypatch.setattr(cluster, "connected", partial(of_threads, resources={"GPU": 1}))
    work, _ = computed(monkeypatch, "on_gpu")
    assert not work.done and not work.failed and not calls(threads)
    assert "1 cells are left out: they need a GPU" in capsys.readouterr().out
    real = remote.begin

    def as_if_on_a_gpu(job):
        real(job)
        monkeypatch.setattr(remote.runs, "current", lambda: SimpleNamespace(
            device=SimpleNamespace(type="cuda"), quick=True))
        monkeypatch.setattr(remote.cells, "environment", lambda device: run.environment())

    monkeypatch.setattr(remote, "begin", as_if_on_a_gpu)
    work, _ = computed(monkeypatch, "on_gpu naps")
    assert len(work.done) == 7 and not work.left


def test_a_job_has_the_settings_of_the_run(threads, monkeypatch, tmp_path):
    monkeypatch.setenv("CELLS", "naps")
    for name, value in {"DEVICE": "cpu", "DATA_ROOT": str(tmp_path), "FRESH": "1"}.items():
        monkeypatch.setenv(name, value)
    store.start("98_naps", run.start("paper", seed=7))
    sweeps = importlib.import_module("studies.naps.plan").declare(run.current())
    job = cluster.missing(sweeps)[0]
    assert (job.profile, job.seed, job.device, job.anew) == ("paper", 7, "cpu", True)
    run.start("quick", seed=0)
    remote.begin(job)
    begun = run.current()
    assert (begun.profile, begun.seed, str(begun.data_root)) == ("paper", 7, str(tmp_path))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "of a worker"))
    (tmp_path / "of a worker").mkdir()
    remote.begin(replace(job, data_root="/nowhere"))
    assert run.current().data_root == tmp_path / "of a worker"


def test_computed_anew_a_stored_cell_is_computed_and_otherwise_not(threads, monkeypatch):
    computed(monkeypatch, "naps")
    monkeypatch.setenv("FRESH", "1")
    jobs = cluster.missing(declared())
    monkeypatch.setenv("FRESH", "0")
    assert len(cluster.compute(jobs, "2", 0).done) == 6
    assert calls(threads) == sorted(2 * [0, 1, 2, 3, 4, 5])
    old = [replace(job, anew=False) for job in jobs]
    assert len(cluster.compute(old, "2", 0).found) == 6  # the caller sees them
    token = threads / "build/token"
    token.touch()
    assert remote.compute(old[0], remote.CODE, "build/token").what == "stored"  # and the worker
    assert calls(threads) == sorted(2 * [0, 1, 2, 3, 4, 5])


def test_the_estimate_is_the_plans_at_the_pace_of_what_is_done():
    def job(minutes, gpu=False):
        return SimpleNamespace(minutes=minutes, gpu=gpu)

    work = cluster.Work(None, [*[job(3)] * 4, job(50, gpu=True)], "")
    assert work.estimate({False: 0, True: 0}) == "no worker yet"
    assert work.estimate({False: 2, True: 0}) == "no estimate yet"
    work.done, work.seconds = [job(2)], 60.0                 # twice as fast as planned
    assert work.estimate({False: 2, True: 0}) == "about 3 min left"
    assert work.estimate({False: 2, True: 1}) == "about 25 min left"
    work.waiting[False].clear()
    work.sent = {"a": SimpleNamespace(job=job(4))}
    assert work.estimate({False: 2, True: 0}) == "about 30 s left"
    unplanned = cluster.Work(None, [job(0)] * 4, "")
    unplanned.done, unplanned.seconds = [job(0)] * 2, 20.0
    assert unplanned.estimate({False: 2, True: 0}) == "about 20 s left"


def test_a_folder_that_cannot_be_written_is_told_before_any_cell(threads, monkeypatch, capsys):
    from tools import figures

    monkeypatch.setenv("CLUSTER", "2")
    (threads / "build/cells").touch()
    monkeypatch.setattr(figures.plan, "declared", lambda name: declared())
    monkeypatch.setattr(figures.tool, "NOTEBOOKS", threads / "notebooks")
    assert figures.main(["98_naps"]) == 1
    assert "cannot write to" in capsys.readouterr().err and not calls(threads)


def test_where_all_workers_are_gone_it_ends(threads, monkeypatch):
    monkeypatch.setattr(cluster, "PATIENCE", 0.5)
    monkeypatch.setattr(cluster, "refuse_others", lambda client: None)
    monkeypatch.setattr(cluster, "connected", partial(of_threads, n_workers=0))
    with pytest.raises(Failed, match="no worker for 0"):
        computed(monkeypatch, "naps")


def test_the_longest_cells_are_sent_first(here, monkeypatch):
    monkeypatch.setenv("CELLS", "naps attacks broken")
    names = [job.name.split("-")[0] for job in cluster.missing(declared())]
    assert names == ["98_naps/broken"] + 2 * ["98_naps/attacks"] + 6 * ["98_naps/naps"]


def test_two_callers_at_once_do_no_cell_twice(threads, monkeypatch):
    monkeypatch.setenv("CELLS", "naps")
    monkeypatch.setenv("NAP", "0.4")
    jobs, ended = cluster.missing(declared()), []
    callers = [threading.Thread(target=lambda: ended.append(cluster.compute(jobs, "2", 0)))
               for _ in range(2)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(60)
    assert calls(threads) == [0, 1, 2, 3, 4, 5]
    assert [len(work.done) + len(work.found) for work in ended] == [6, 6]
    assert sum(len(work.done) for work in ended) == 6


def test_a_run_waits_for_a_cell_that_another_process_computes(here, monkeypatch):
    monkeypatch.setenv("CELLS", "naps")
    (sweep,) = declared()
    part = sweep.parts["quick"][0]
    lock = cells.claim(part.path)
    lock.acquire()
    waits = threading.Thread(target=part.compute, args=(False,))
    waits.start()
    time.sleep(0.3)
    assert waits.is_alive() and not calls(here)
    made = part.function(**part.identity["config"])
    cells.write(part.path, part.identity, made, 0.0, True, "cpu")
    lock.release()
    waits.join(10)
    assert calls(here) == [0]  # by this test


def test_a_worker_that_joins_later_with_other_code_stops_the_work(threads, monkeypatch):
    monkeypatch.setattr(cluster, "refuse_others", lambda client: None)
    monkeypatch.setattr(remote, "check", lambda code: (_ for _ in ()).throw(
        remote.OtherCode("the worker runs 1234567, which is not the code that asks")))
    with pytest.raises(Failed, match="runs 1234567"):
        computed(monkeypatch, "naps")
    assert not calls(threads)


def test_workers_of_several_threads_are_refused(here, monkeypatch):
    monkeypatch.setattr(cluster, "connected", partial(of_threads, threads_per_worker=2))
    with pytest.raises(Failed, match="has 2 threads.*--nthreads 1"):
        computed(monkeypatch, "naps")
    assert not calls(here)


def test_a_notebooks_own_function_is_left_to_it(here):
    def own(number):
        return number

    own.__qualname__ = "own"
    sweeps = declared()
    mine = store.Sweep("mine", own, quick=[{"number": 1}], paper=[])
    assert own.__module__.partition(".")[0] not in ("lib", "studies")
    assert not [job for job in cluster.missing([*sweeps, mine]) if "mine" in job.name]


def test_a_damaged_cell_is_missing(threads, monkeypatch):
    _, sweeps = computed(monkeypatch, "naps")
    assert not cluster.missing(sweeps)
    stored(threads)[0].write_text("{}")
    (job,) = cluster.missing(sweeps)
    assert job.place == stored(threads)[0]
    assert len(cluster.compute([job], "2", 0).done) == 1
    assert not cluster.missing(sweeps)


def test_computed_anew_a_notebook_takes_what_the_cluster_has_computed(threads, monkeypatch):
    work, _ = computed(monkeypatch, "naps")
    monkeypatch.setenv("FRESH", "1")
    assert len(cluster.missing(declared())) == 6
    monkeypatch.setenv("COMPUTED", cluster.listed(work))
    (sweep,) = declared()
    sweep.run()
    assert calls(threads) == [0, 1, 2, 3, 4, 5]
    monkeypatch.delenv("COMPUTED")
    (sweep,) = declared()
    sweep.run()
    assert calls(threads) == sorted(2 * [0, 1, 2, 3, 4, 5])


@pytest.mark.parametrize(("asked", "size", "message"), [
    ("0", "", "CLUSTER=0: it is a number of processes, slurm, or the address"),
    ("two", "", "CLUSTER=two: it is a number"), ("-1", "", "CLUSTER=-1"), ("1.5", "", "CLUSTER=1"),
    ("slurm", "", "CLUSTER=slurm asks for JOBS="), ("2", "many", "JOBS=many: it is a whole number"),
    ("", "0", "JOBS=0: it is a whole number, from 1"),
])
def test_what_is_asked_wrongly_gets_one_clear_error(monkeypatch, capsys, asked, size, message):
    from tools import figures

    monkeypatch.setenv("CLUSTER", asked)
    monkeypatch.setenv("JOBS", size)
    monkeypatch.setattr(figures, "side_by_side", lambda *_: pytest.fail("it ran"))
    assert figures.main(["98_naps"]) == 1
    assert message in capsys.readouterr().err


def test_where_no_scheduler_answers_it_is_said(monkeypatch):
    monkeypatch.setattr(workers, "ANSWER", 1)
    with pytest.raises(Failed, match="no scheduler answers at tcp://127.0.0.1:1"):
        with cluster.connected("tcp://127.0.0.1:1", 0):
            pytest.fail("it went on")


def test_the_wall_time_by_workers():
    minutes = [9, 1, 1, 1, 3, 3]
    assert [plan.wall(minutes, workers) for workers in (1, 2, 3, 8)] == [18, 9, 9, 9]
    assert plan.wall([4, 4, 4], 2) == 8
    assert plan.wall([], 2) == 0
    assert plan.spoken(119) == "119 min" and plan.spoken(90 * 60) == "90.0 h"


def kill_a_worker(place, caller, draw):
    """After the next cell and a while; returns how many were killed, 0 or 1."""
    before = len(stored(place))
    wait_for(lambda: len(stored(place)) > before or caller.poll() is not None)
    time.sleep(draw.uniform(0, 0.8))
    workers = [process for process in psutil.Process(caller.pid).children(recursive=True)
               if "spawn_main" in " ".join(process.cmdline())]
    for process in workers[:1]:
        process.kill()
    return len(workers[:1])


@pytest.mark.slow
def test_twenty_kills_of_workers_and_callers_lose_nothing(place):
    """Cells of 0.4 s; whoever is killed, what is stored stays, and the last run has all."""
    emptied(place)
    draw, kills, seen = random.Random(0), 0, {}
    while kills < 20:
        caller = subprocess.Popen(
            command("CLUSTER=2"), cwd=place, start_new_session=True, stdout=subprocess.DEVNULL,
            env=surroundings(CELLS="empty", EMPTY="60", PAUSE="0.4"), stderr=subprocess.DEVNULL)
        for _ in range(4):
            kills += kill_a_worker(place, caller, draw)
        os.killpg(caller.pid, signal.SIGKILL)
        kills += 1
        caller.wait()
        wait_for(lambda: not running(place))
        for name, document in seen.items():  # nothing that was stored is computed again
            assert told(place)[name] == document
        seen = told(place)
    result = make(place, "CLUSTER=2", CELLS="empty", EMPTY="60", PAUSE="0.4")
    assert result.returncode == 0, result.stderr
    assert len(told(place)) == 60 and {calls(place).count(i) for i in range(60)} <= {1, 2, 3}


# ---- docs/cluster, with stand-ins for what this machine has not


def stand_in(folder, name, script):
    """A program of this name, for PATH."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(f"#!/usr/bin/env bash\n{script}")
    (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


def test_the_job_of_a_slurm_site_computes_cells(here, tmp_path, monkeypatch):
    """jobqueue.yaml as it stands, but for the folder; sbatch runs the job here."""
    pytest.importorskip("dask_jobqueue")
    import dask
    import yaml

    settings = yaml.safe_load((ROOT / "docs/cluster/jobqueue.yaml").read_text())
    job = settings["jobqueue"]["slurm"]
    assert job["job-script-prologue"][0] == "cd /path/to/leaky-gradients"
    job["job-script-prologue"][0] = f'cd "{here}"'
    job["log-directory"] = str(tmp_path / "logs")
    path = stand_in(tmp_path / "bin", "sbatch", 'cp "$1" "$(dirname "$0")/job"\n'
                    '(bash "$1" >/dev/null 2>&1 &)\necho "Submitted batch job 7"\n')
    stand_in(tmp_path / "bin", "scancel", "exit 0\n")
    monkeypatch.setenv("PATH", path)
    monkeypatch.setenv("CELLS", "naps")
    with dask.config.set({f"jobqueue.slurm.{name}": value for name, value in job.items()}):
        work = within_a_minute("slurm", 1)
    assert len(work.done) == 6 and calls(here) == [0, 1, 2, 3, 4, 5]
    script = (tmp_path / "bin/job").read_text()
    assert "#SBATCH --cpus-per-task=1" in script and "--nthreads 1" in script
    assert "export PYTHONPATH=$PWD OMP_NUM_THREADS=1" in script


@pytest.mark.slow
def test_workers_that_ssh_starts_compute_cells(here, tmp_path, monkeypatch):
    port = free_port()
    path = stand_in(tmp_path / "bin", "ssh", 'shift\necho "$1" >> "$(dirname "$0")/machines"\n'
                    'shift\nexec bash -c "$1"\n')
    (here / "docs/cluster").mkdir(parents=True, exist_ok=True)
    shutil.copy(ROOT / "docs/cluster/ssh.sh", here / "docs/cluster")
    (here / ".venv/bin").mkdir(parents=True, exist_ok=True)
    python = here / ".venv/bin/python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    process = subprocess.Popen(
        ["bash", "docs/cluster/ssh.sh", "1", "alice"], cwd=here, stderr=subprocess.DEVNULL,
        env=surroundings(PATH=path, HOST="127.0.0.1", PORT=str(port)), start_new_session=True)
    monkeypatch.setenv("CELLS", "naps")
    try:
        work = within_a_minute(f"tcp://127.0.0.1:{port}", 0)
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(30)
    assert len(work.done) == 6 and calls(here) == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "bin/machines").read_text() == "alice\n"


def within_a_minute(asked, size):
    """What a cluster has computed; without a worker it would wait for ever."""
    jobs, ended = cluster.missing(declared()), []
    caller = threading.Thread(
        target=lambda: ended.append(cluster.compute(jobs, asked, size)), daemon=True)
    caller.start()
    caller.join(60)
    assert ended, "waited in vain"
    return ended[0]


def free_port():
    with socket.socket() as asked:
        asked.bind(("127.0.0.1", 0))
        return asked.getsockname()[1]


def test_a_site_without_a_jobqueue_yaml_is_told(monkeypatch):
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(Failed, match="docs/cluster/jobqueue.yaml"):
        with cluster.connected("slurm", 1):
            pytest.fail("it went on")


def test_without_dask_jobqueue_it_is_said_how_to_get_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "dask_jobqueue", None)
    with pytest.raises(Failed, match="pip install -r requirements-cluster.txt"):
        with cluster.connected("slurm", 1):
            pytest.fail("it went on")


# ---- what is sent, and when: a client that only notes it


class Noting:
    """A client of as many workers, one of them with a GPU, that are busy for ever."""

    status = "running"

    def __init__(self, workers):
        self.workers, self.sent = workers, []

    def scheduler_info(self, n_workers):
        return {"workers": {f"tcp://{i}": {"name": i, "nthreads": 1, "resources":
                                           {"GPU": 1} if i == 0 else {}}
                            for i in range(self.workers)}}

    def submit(self, function, job, *given, resources=None, **more):
        self.sent.append((job, resources))
        return SimpleNamespace(add_done_callback=lambda told: None,
                               result=lambda: remote.Answer("failed", text="as asked\n"))


def free(job):
    """Whether nobody has claimed the cell of a job."""
    lock = cells.claim(job.place)
    with contextlib.suppress(filelock.Timeout):
        with lock.acquire(timeout=0):
            return True
    return False


def test_each_worker_has_the_longest_cells_two_at_most_and_others_are_left(here, monkeypatch):
    monkeypatch.setenv("CELLS", "naps attacks broken on_gpu")
    jobs = cluster.missing(declared())
    client = Noting(2)
    work = cluster.Work(client, jobs, "")
    for gpu, count in work.workers().items():
        work.send(gpu, cluster.AHEAD * count)
    plain = [job for job in jobs if not job.gpu]
    assert [job for job, _ in client.sent if not job.gpu] == plain[:4]
    assert [resources for job, resources in client.sent] == [None] * 4 + [{"GPU": 1}]
    assert [free(job) for job in plain[:5]] == [False] * 4 + [True]
    work.take(next(iter(work.sent)))
    assert free(plain[0]) and not free(plain[1])  # another caller may try it
    work.send(False, 4)
    assert [job for job, _ in client.sent if not job.gpu] == plain[:5]


def test_what_another_caller_has_claimed_is_passed_over_and_looked_at_again(here, monkeypatch):
    monkeypatch.setenv("CELLS", "naps")
    jobs = cluster.missing(declared())
    client = Noting(1)
    work = cluster.Work(client, jobs, "")
    with cells.claim(jobs[0].place).acquire():
        work.send(False, 2)
    assert [job for job, _ in client.sent] == jobs[1:3]
    assert [*work.waiting[False]] == [*jobs[3:], jobs[0]]


def test_a_cell_whose_gpu_worker_is_gone_is_left_out_after_a_while(here, monkeypatch, capsys):
    monkeypatch.setenv("CELLS", "naps on_gpu")
    client = Noting(2)
    client.cancel = lambda futures: None
    work = cluster.Work(client, cluster.missing(declared()), "")
    work.send(True, 2)
    work.send(False, 1)
    (gone,) = [job for job, resources in client.sent if resources]
    work.leave_gpu()
    assert not work.left  # it may come back
    monkeypatch.setattr(cluster, "PATIENCE", -1)
    work.leave_gpu()
    assert work.left == {cluster.LEFT["no GPU"]: [gone]} and free(gone)
    assert len(work.sent) == 1  # the others go on
    work.take("a key that was left out")
    work.told = 0
    work.tell({False: 1, True: 0})
    assert "0 done, 1 running, 5 left" in capsys.readouterr().out


def test_an_editors_own_files_are_no_code(here):
    before = remote.code()
    (here / "lib/.#attacks.py").symlink_to("somebody@machine.1")  # to nowhere
    try:
        assert remote.code() == before
    finally:
        (here / "lib/.#attacks.py").unlink()


FAULTS = """
import resource, sys
import torch
from studies import remote

def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(50):
        torch.ones(2**20).add_(1)  # 4 MiB
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

print(faults())
remote.begin(remote.Job("98_naps", "quick", 0, "cpu", None, ("", ""), {}, "", True))
faults()
print(faults())
"""


def test_a_worker_keeps_its_memory():
    """dask starts it so that it would give all of it back after each operation."""
    told = subprocess.run([sys.executable, "-c", FAULTS], capture_output=True, text=True, cwd=ROOT,
                          env=surroundings(MALLOC_TRIM_THRESHOLD_="65536", PYTHONPATH=str(ROOT)))
    before, after = map(int, told.stdout.split())
    assert before > 10_000 and after < before / 10, told.stderr
