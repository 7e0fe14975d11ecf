"""`make figures CLUSTER=...`: the missing cells of all notebooks, computed on dask.distributed.

    CLUSTER=8                     processes here, of one thread each
    CLUSTER=slurm JOBS=32         jobs of a SLURM site, as its jobqueue.yaml says (dask-jobqueue)
    CLUSTER=tcp://host:8786       the workers of a scheduler that runs

The longest are sent first, and at most two for each worker, so that another caller finds some left.
A cell is claimed by a lock before it is sent: two callers do none twice. docs/cluster/README.md
says how to start workers.
"""

import contextlib
import os
import queue
import sys
import time
import uuid
from collections import deque
from dataclasses import dataclass, field

from lib import files
from tools.run_notebook import Failed
from tools.workers import RETRIES, connected

AHEAD = 2  # cells sent for each worker: one to compute, and one to go on with at once
EVERY = 10  # seconds between two lines of progress
PATIENCE = 600  # seconds without any worker, where there were some, until we give up
SEEN = 60  # seconds in which a shared folder shows what a worker has stored
LEFT = {"no data": "their images or weights are not at the workers",
        "no GPU": "they need a GPU, and no worker has one"}


# ---- what is missing

def missing(sweeps) -> list:
    """The jobs of all parts that are not stored, the longest first; and what no worker can import
    is left to its notebook."""
    from lib.run import fresh
    from studies import remote

    jobs = []
    for sweep in sweeps:
        parts = sweep.parts[sweep.profile]
        minutes = (sweep.minutes or 0) / max(len(parts), 1)
        for part in parts:
            job = None if part.is_whole() and not fresh() else remote.job_of(part, minutes)
            if job is not None:
                jobs.append(job)
    return sorted(jobs, key=lambda job: (-job.minutes, job.path))


# ---- the work

@dataclass
class Sent:
    """A job at work: its future, and the lock that says whose it is."""

    job: object
    future: object
    lock: object


@dataclass
class Work:
    """All jobs of one call: those that wait, those that were sent, and what became of the rest."""

    client: object
    jobs: list
    token: str
    sent: dict = field(default_factory=dict)  # key of the future -> Sent
    ended: queue.Queue = field(default_factory=queue.Queue)
    done: list = field(default_factory=list)  # jobs that this call has had computed
    found: list = field(default_factory=list)  # that another process stored meanwhile
    left: dict = field(default_factory=dict)  # why -> jobs that no worker here can compute
    failed: list = field(default_factory=list)
    seconds: float = 0.0  # of the workers

    def __post_init__(self):
        self.waiting = {gpu: deque(job for job in self.jobs if job.gpu is gpu)
                        for gpu in (True, False)}
        self.begin = self.told = time.monotonic()
        self.manned = dict.fromkeys((True, False), self.begin)  # when workers were last there

    def run(self) -> None:
        """Until each job is done, left or failed. Raises Failed, also for a foreign worker."""
        print(f"{len(self.jobs)} cells to compute", flush=True)
        while self.sent or any(self.waiting.values()):
            workers = self.workers()
            for gpu, count in workers.items():
                self.send(gpu, AHEAD * count)
            if workers[False] and not workers[True]:
                self.leave_gpu()
            self.receive()
            self.tell(workers)
        self.tell({False: 0, True: 0}, last=True)

    def workers(self) -> dict:
        """How many there are, and how many have a GPU: {False: ..., True: ...}. Raises Failed where
        the scheduler is gone, or all workers are for long."""
        known = self.client.scheduler_info(n_workers=-1).get("workers")
        if known is None or self.client.status != "running":
            raise Failed("the scheduler is gone; what is stored is kept")
        known, now = known.values(), time.monotonic()
        gpus = sum(worker["resources"].get("GPU", 0) >= 1 for worker in known)
        there = {False: len(known), True: gpus}
        self.manned |= {gpu: now for gpu, count in there.items() if count}
        if now - self.manned[False] > PATIENCE:
            raise Failed(f"no worker for {PATIENCE // 60} minutes: start some, and run this again; "
                         "what is stored is kept")
        for worker in known:
            if worker["nthreads"] != 1:
                raise Failed(f"worker {worker['name']} has {worker['nthreads']} threads, and a "
                             "cell needs a process of its own: start it with --nthreads 1")
        return there

    def send(self, gpu, most) -> None:
        """Send jobs until `most` are at work. A job that another process has claimed goes to the
        end of the line; where none but such is left, nothing is sent."""
        from filelock import Timeout

        from studies import cells

        room = most - sum(sent.job.gpu is gpu for sent in self.sent.values())
        for _ in range(len(self.waiting[gpu])):
            if room <= 0:
                return
            job = self.waiting[gpu].popleft()
            lock = cells.claim(job.place)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.waiting[gpu].append(job)
                continue
            if not job.anew and job.is_stored():
                lock.release()
                self.found.append(job)
                continue
            self.submit(job, lock)
            room -= 1

    def submit(self, job, lock) -> None:
        from studies import remote

        key = f"{job.name}-{uuid.uuid4().hex[:8]}"
        future = self.client.submit(
            remote.compute, job, remote.CODE, self.token, key=key, pure=False, retries=RETRIES,
            resources={"GPU": 1} if job.gpu else None)
        self.sent[key] = Sent(job, future, lock)
        future.add_done_callback(lambda future: self.ended.put(future.key))

    def receive(self) -> None:
        """Take what has ended; waits a second for the first."""
        with contextlib.suppress(queue.Empty):
            self.take(self.ended.get(timeout=1))
            while True:
                self.take(self.ended.get_nowait())

    def take(self, key) -> None:
        from distributed.client import FutureCancelledError

        from studies import remote

        sent = self.sent.pop(key, None)
        if sent is None:  # it was left out
            return
        try:
            answer = sent.future.result()
        except remote.OtherCode as error:
            raise Failed(str(error)) from error
        except FutureCancelledError as error:
            raise Failed("the scheduler is gone, or has dropped the work; what is stored is kept") \
                from error
        except Exception as error:  # its worker was killed again and again, or cannot import it
            answer = remote.Answer("failed", text=f"{type(error).__name__}: {error}\n")
        self.settle(sent.job, answer)
        sent.lock.release()

    def settle(self, job, answer) -> None:
        """Note what became of a job."""
        from studies import remote

        if answer.what == "sent":
            remote.take(job, answer)
        self.seconds += answer.seconds
        if answer.what in LEFT:
            self.left.setdefault(LEFT[answer.what], []).append(job)
        elif answer.what == "stored":
            self.found.append(job)
        elif answer.what == "failed" or not seen(job):
            text = answer.text or "its worker stored it, and it is not seen here\n"
            print(f"{job.name} failed:\n{text}", end="", file=sys.stderr, flush=True)
            self.failed.append(job)
        else:
            self.done.append(job)

    def leave_gpu(self) -> None:
        """Where no worker has a GPU: leave out what waits for one, once nothing else is at work,
        and after a while what was sent to one that is gone."""
        left = []
        sent = {key: sent for key, sent in self.sent.items() if sent.job.gpu}
        if sent and time.monotonic() - self.manned[True] > PATIENCE:
            self.client.cancel([one.future for one in sent.values()])
            for key, one in sent.items():
                del self.sent[key]
                one.lock.release()
                left.append(one.job)
        if not self.sent:
            left += self.waiting[True]
            self.waiting[True].clear()
        if left:
            self.left.setdefault(LEFT["no GPU"], []).extend(left)

    def tell(self, workers, last=False) -> None:
        """A line of progress, from time to time: done, running, left, and an estimate."""
        now = time.monotonic()
        if not last and now - self.told < EVERY:
            return
        self.told = now
        waiting = [*self.waiting[False], *self.waiting[True]]
        on_gpu = sum(sent.job.gpu for sent in self.sent.values())
        running = min(on_gpu, workers[True]) + min(len(self.sent) - on_gpu, workers[False])
        running = min(running, workers[False])
        words = [f"cells: {len(self.done) + len(self.found)} done", f"{running} running",
                 f"{len(waiting) + len(self.sent) - running} left"]
        if self.failed:
            words.append(f"{len(self.failed)} failed")
        if not last:
            words.append(self.estimate(workers))
        print(f"{', '.join(words)}, {now - self.begin:.0f} s so far", flush=True)
        for why, jobs in self.left.items() if last else ():
            print(f"{len(jobs)} cells are left out: {why}", flush=True)

    def estimate(self, workers) -> str:
        """How long it will take, by the plan's minutes, held against those that were needed. Cells
        that need a GPU have its workers to themselves; where there is none they are left out."""
        if not workers[False]:
            return "no worker" if self.done else "no worker yet"
        planned = sum(job.minutes for job in self.done) * 60
        if not planned and self.done:  # the plan says nothing: as long as those that are done
            each = self.seconds / len(self.done)
            left = len(self.sent) + sum(map(len, self.waiting.values()))
            return _about(each * left / workers[False])
        seconds = 0.0
        for gpu, count in workers.items():
            left = sum(job.minutes for job in self.waiting[gpu]) * 60
            at_work = [sent.job for sent in self.sent.values() if sent.job.gpu is gpu]
            left += sum(job.minutes for job in at_work) * 30  # half done
            seconds = max(seconds, left / count if count else 0.0)
        if not planned or not seconds:
            return "no estimate yet"
        return _about(seconds * self.seconds / planned)


def _about(seconds: float) -> str:
    said = f"{seconds / 60:.0f} min" if seconds > 90 else f"{seconds:.0f} s"
    return f"about {said} left"


def seen(job) -> bool:
    """Whether the cell is here; a shared folder may show it seconds later."""
    until = time.monotonic() + SEEN
    while not job.is_stored():
        if time.monotonic() > until:
            return False
        with contextlib.suppress(OSError):
            os.listdir(job.place.parent)  # so a network file system looks anew
        time.sleep(0.25)
    return True


def compute(jobs, cluster, size) -> Work:
    """Have the jobs computed; Ctrl-C leaves what is stored. Raises Failed."""
    # A name of `files.leftovers`: that of a killed caller is removed by the next.
    token = files.ROOT / f"build/.caller-{uuid.uuid4().hex}.{files.HOST}.{os.getpid()}.tmp"
    with files.atomic(token) as file:
        file.write(b"seen by a worker that shares this folder\n")
    try:
        with connected(cluster, size) as client:
            work = Work(client, jobs, token.relative_to(files.ROOT).as_posix())
            refuse_others(client)
            try:
                work.run()
            finally:
                with contextlib.suppress(Exception):  # the scheduler may be gone
                    client.cancel([sent.future for sent in work.sent.values()])
            return work
    finally:
        token.unlink(missing_ok=True)


def refuse_others(client) -> None:
    """Raises Failed where a worker runs other code than this process, or cannot import it."""
    from studies import remote

    if not client.scheduler_info(n_workers=-1)["workers"]:
        print("waiting for the first worker", flush=True)
    client.wait_for_workers(1)
    try:
        answers = client.run(remote.about)
    except Exception as error:
        raise Failed(f"a worker cannot import studies ({error}): start it in a clone of this "
                     "commit, with that folder on PYTHONPATH") from error
    others = sorted(f"{worker} ({answer['commit']})" for worker, answer in answers.items()
                    if answer["code"] != remote.CODE)
    if others:
        raise Failed(f"workers of other code than {remote.COMMIT}: {', '.join(others)}. Start them "
                     "again, in a clone of the same commit")


def listed(work) -> str:
    """A file that lists the cells that were computed, for the variable COMPUTED."""
    path = files.ROOT / f"build/.computed.{files.HOST}.{os.getpid()}.tmp"
    with files.atomic(path) as file:
        file.write("".join(f"{job.path}\n" for job in work.done).encode())
    return str(path)
