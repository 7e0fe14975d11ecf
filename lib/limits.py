"""A time by which work ends, and what is found until then is kept.

An alarm ends what does not look at the clock itself: the tracing of a large network, the batch of
simulated clients of a check. It is the system's (SIGALRM), and rings in the main thread of a Unix
process alone; elsewhere, and where the program has an alarm of its own, `alarm` does nothing, and
work ends where it looks.
"""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

AGAIN = 1.0  # seconds: Python drops what is raised while an object is deleted, so it rings again


class OutOfTime(BaseException):
    """The time is over. No Exception: what catches those of a user's model lets it pass."""


class Limit:
    """So many seconds from now. `met` says how the work ended that the limit cut short: "time",
    "interrupted" by Ctrl-C, or "" where nothing was cut. Once it is set, no alarm rings: what was
    found is being put in order."""

    def __init__(self, seconds: float) -> None:
        self.end, self.met = now() + seconds, ""

    @property
    def left(self) -> float:
        """Seconds until the end, 0 behind it."""
        return max(self.left_or_over, 0.0)

    @property
    def left_or_over(self) -> float:
        """Seconds until the end, negative behind it."""
        return self.end - now()

    def check(self) -> None:
        """OutOfTime behind the end."""
        if now() >= self.end:
            raise OutOfTime

    @contextmanager
    def alarm(self) -> Iterator[None]:
        """Raise OutOfTime in what is done inside, once the time is over."""
        if not _can_ring():
            yield
            return
        before = signal.signal(signal.SIGALRM, self._ring)
        try:
            signal.setitimer(signal.ITIMER_REAL, max(self.left, 1e-3), AGAIN)
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)

    def _ring(self, *_: object) -> None:
        if not self.met:
            raise OutOfTime


def now() -> float:
    return time.perf_counter()


def cut(error: BaseException) -> str:
    """What `Limit.met` says of an error that ended the work."""
    return "interrupted" if isinstance(error, KeyboardInterrupt) else "time"


def _can_ring() -> bool:
    return (hasattr(signal, "setitimer") and threading.current_thread() is threading.main_thread()
            and signal.getitimer(signal.ITIMER_REAL)[0] == 0)
