"""`make lock`: write requirements.lock, every package with its hashes, and say what moved.

    python tools/lock.py                 keeps each version that still fits; adds what is missing
    python tools/lock.py --upgrade       the newest of what requirements.txt does not pin itself
    python tools/lock.py --newest FILE   only writes FILE: the direct dependencies without versions,
                                         for a run on the newest of everything

The lock holds for Linux, macOS and Windows and for each Python from the oldest on: markers say
which line is for whom. It names packages and hashes and no address: pip takes them from where it is
set up to look. uv solves it, from a folder of its own (build/lock), and looks where pip looks.
"""

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK, TOOL = ROOT / "requirements.lock", ROOT / "requirements-lock.txt"
SOURCES = [ROOT / "requirements.txt", ROOT / "requirements-cluster.txt"]
PACKAGES = ROOT / "build/lock"
OLDEST = "3.11"
HEAD = """# Every package with its hashes, for pip install --require-hashes -r. Written by make lock
# from requirements.txt and requirements-cluster.txt: change those, not this.
"""
ENTRY = re.compile(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)")
DIRECT = re.compile(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?\s*[=<>~!]")


def entries(text) -> dict:
    """{name: (version, the set of its hashes)} of a lock."""
    found, hashes = {}, set()
    for line in text.splitlines():
        if entry := ENTRY.match(line):
            hashes = set()
            found[normal(entry[1])] = entry[2], hashes
        hashes.update(re.findall(r"--hash=(\S+)", line))
    return found


def normal(name) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def moved(before, after) -> list[str]:
    """What is different between two locks, a line a package. Files that a version gained are named
    too: a hash that changes while the version stays is what a lock with hashes is for."""
    old, new = entries(before), entries(after)
    lines = []
    for name in sorted({*old, *new}):
        if name not in new:
            lines.append(f"{name} {old[name][0]}: no longer needed")
        elif name not in old:
            lines.append(f"{name} {new[name][0]}: new")
        elif old[name][0] != new[name][0]:
            lines.append(f"{name} {old[name][0]} -> {new[name][0]}")
        elif gone := old[name][1] - new[name][1]:
            lines.append(f"{name} {new[name][0]}: {len(gone)} of its files are no longer there, or "
                         "others bear their names")
        elif more := new[name][1] - old[name][1]:
            lines.append(f"{name} {new[name][0]}: {len(more)} hashes more")
    return lines


def direct(text) -> list[str]:
    """The names in a file of requirements."""
    return [name[1] for line in text.splitlines() if (name := DIRECT.match(line))]


def index_of_pip() -> dict:
    """uv's variable for the index that pip is set up to look in; uv does not read pip's. Not for
    the further ones: a folder of some wheels would give a lock without the hashes of the others."""
    asked = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True,
                           text=True, check=True)
    given = re.findall(r"^(?:global|install|:env:)\.index-url='(.*)'$", asked.stdout, re.M)
    return {"UV_DEFAULT_INDEX": given[-1]} if given else {}


def install_uv() -> Path:
    uv = PACKAGES / "bin/uv"
    wanted = re.search(r"^uv==(\S+)", TOOL.read_text(), re.M)[1]
    if not list(PACKAGES.glob(f"uv-{wanted}.dist-info")) or not uv.is_file():
        subprocess.run([sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target",
                        PACKAGES, "-r", TOOL], check=True)
    return uv


def solve(before, upgrade) -> str:
    """The new lock's text. Raises subprocess.CalledProcessError where nothing fits."""
    begin = PACKAGES / "requirements.lock"
    uv = install_uv()
    begin.write_text(before)
    words = [uv, "pip", "compile", *SOURCES, "--universal", "--python-version", OLDEST,
             "--generate-hashes", "--no-header", "--no-annotate", "--quiet",
             "--output-file", begin]
    subprocess.run([*words, *["--upgrade"][:upgrade]], check=True, cwd=ROOT,
                   stdout=subprocess.DEVNULL, env={**os.environ, **index_of_pip()})
    lines = [line for line in begin.read_text().splitlines()
             if not line.startswith(("#", "--index-url", "--extra-index-url", "--find-links"))]
    return HEAD + "\n".join(lines) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--upgrade", action="store_true", help="the newest that fits")
    parser.add_argument("--newest", type=Path, metavar="FILE",
                        help="only write the direct dependencies, without versions, to FILE")
    arguments = parser.parse_args()
    if arguments.newest:
        arguments.newest.parent.mkdir(parents=True, exist_ok=True)
        names = [name for source in SOURCES for name in direct(source.read_text())]
        arguments.newest.write_text("".join(f"{name}\n" for name in names))
        return 0
    before = LOCK.read_text()
    try:
        after = solve(before, arguments.upgrade)
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"{LOCK.name} stays as it was: {error}", file=sys.stderr)
        return 1
    LOCK.write_text(after)
    lines = moved(before, after)
    print("\n".join(lines) or f"nothing moved: {len(entries(after))} packages")
    return 0


if __name__ == "__main__":
    sys.exit(main())
