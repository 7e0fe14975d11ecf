"""lib/files.py: what killed writers left goes, and a live writer's stays."""

import os
import subprocess
import sys
from pathlib import Path

from lib import files

ROOT = Path(__file__).resolve().parents[1]


def test_what_killed_writers_left_is_removed_and_a_live_writers_is_kept(tmp_path):
    killed, live = (subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name],
                                     stdout=subprocess.PIPE, cwd=ROOT) for name in ("a", "b"))
    for writer in (killed, live):
        assert writer.stdout.readline() == b"written\n"
    killed.kill()
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)  # it stays a zombie
    other = tmp_path / ".c.elsewhere.1.tmp"                  # of another machine: told by its age
    old = tmp_path / ".d.elsewhere.1.tmp"
    ours = tmp_path / ".notes.tmp"                           # nobody's
    for file in (other, old, ours):
        file.touch()
    os.utime(old, (0, 0))
    reused = tmp_path / f".e.{files.HOST}.{os.getpid()}.tmp"  # before this process began
    reused.touch()
    os.utime(reused, (0, 0))
    try:
        with files.atomic(tmp_path / "f") as file:
            file.write(b"new")
        left = {file.name.split(".")[1] for file in tmp_path.glob(".*")}
        assert left == {"b", "c", "notes"}
    finally:
        live.kill()
        live.wait()
        killed.wait()
    assert (tmp_path / "f").read_bytes() == b"new"


WRITER = """
import sys, time
from lib import files
with files.atomic(f"{sys.argv[1]}/{sys.argv[2]}") as file:
    file.write(b"half")
    print("written", flush=True)
    time.sleep(60)
"""
