"""The workers that CLUSTER names: processes here, jobs of a SLURM site, or those of a scheduler."""

import contextlib
import importlib.util
import logging
import os
import signal

from lib import files
from tools.run_notebook import Failed

RETRIES = 2  # of a cell whose worker was killed, or could not begin it
ANSWER = 20  # seconds that a scheduler has to answer
NOISY = ("distributed", "distributed.client", "asyncio", "tornado", "tornado.application")


@contextlib.contextmanager
def connected(cluster, jobs):
    """A client of the workers that CLUSTER names. Raises Failed where there can be none."""
    import dask
    from distributed import Client

    with contextlib.ExitStack() as stack:
        stack.enter_context(dask.config.set(
            {"distributed.scheduler.allowed-failures": RETRIES}))
        stack.callback(hushed)  # called first when it ends, or is interrupted
        if "://" in cluster:
            try:
                client = stack.enter_context(Client(cluster, timeout=ANSWER))
            except (OSError, ValueError, TypeError) as error:  # the last: tls without keys
                raise Failed(f"no scheduler answers at {cluster}: {error}") from error
        else:
            workers = stack.enter_context(of_slurm(jobs) if cluster == "slurm" else here(cluster))
            client = stack.enter_context(Client(workers))
        if importlib.util.find_spec("bokeh") and client.dashboard_link:
            print(f"dashboard: {client.dashboard_link}", flush=True)
        yield client


@contextlib.contextmanager
def here(count):
    """Worker processes of this machine."""
    from distributed import LocalCluster

    with LocalCluster(
            n_workers=int(count), threads_per_worker=1, memory_limit=0, dashboard_address=":0",
            local_directory=str(files.ROOT / "build/dask")) as workers:
        try:
            yield workers
        finally:
            end(workers)


def hushed() -> None:
    """What processes that end say of each other's end is noise. The handlers go, not the levels:
    a cluster that closes sets its levels back."""
    for name in NOISY:
        logging.getLogger(name).handlers = [logging.NullHandler()]


def end(workers) -> None:
    """Kill the processes: what they had to say is said, and torch takes seconds to leave."""
    for nanny in workers.workers.values():
        nanny.auto_restart = False
        if nanny.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(nanny.pid, signal.SIGKILL)


def of_slurm(jobs):
    try:
        from dask_jobqueue import SLURMCluster
    except ImportError as error:
        raise Failed("CLUSTER=slurm needs dask-jobqueue: pip install "
                     "-r requirements-cluster.txt") from error
    try:
        workers = SLURMCluster()
    except (TypeError, ValueError) as error:
        raise Failed(f"no jobqueue.yaml says what a job of this site is ({error}): copy "
                     "docs/cluster/jobqueue.yaml to ~/.config/dask/ and change it") from error
    workers.scale(jobs=jobs)
    return workers


def checked(cluster, jobs) -> None:
    """Raises Failed for a CLUSTER or a JOBS that is none."""
    if not (cluster == "slurm" or "://" in cluster
            or cluster.isdecimal() and int(cluster) > 0):
        raise Failed(f"CLUSTER={cluster}: it is a number of processes, slurm, or the address of a "
                     "scheduler, tcp://host:8786")
    if cluster == "slurm" and not jobs:
        raise Failed("CLUSTER=slurm asks for JOBS=, how many jobs are submitted")
