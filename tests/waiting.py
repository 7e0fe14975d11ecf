"""What tests of other processes share: wait for something, and see who still runs."""

import contextlib
import time
from pathlib import Path

import psutil


def wait_for(condition, seconds=300):
    """Until it holds; for minutes, since another process may have little of a busy machine."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def running(place):
    """The processes that work in a folder or below it."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if Path(process.cwd()).is_relative_to(place):
                found.append(process)
    return found
