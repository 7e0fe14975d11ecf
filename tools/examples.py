"""`make examples`: the scripts of examples/, in an environment of their own, build/examples.

It sees the packages of the environment that runs this, so that torch is not installed twice; the
wheel and the frameworks of requirements-examples.txt are its own.
"""

import os
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

from tools import wheel

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / "build/examples"


def prepare() -> Path:
    """The environment's Python. subprocess.CalledProcessError where a step fails."""
    python = VENV / "bin/python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", VENV], check=True)
    site, = VENV.glob("lib/python*/site-packages")
    (site / "beside.pth").write_text(sysconfig.get_path("purelib") + "\n")
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*install, "-r", ROOT / "requirements-examples.txt"], check=True)
    built = wheel.build(ROOT / "build/wheel")
    subprocess.run([*install, "--no-deps", "--force-reinstall", built], check=True)
    return python


def main() -> int:
    begin = time.perf_counter()
    python = prepare()
    print(f"the environment: {time.perf_counter() - begin:.0f} s", flush=True)
    place = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    failed = []
    for script in sorted((ROOT / "examples").glob("*.py")):
        print(f"-- {script.name}", flush=True)
        begin = time.perf_counter()
        done = subprocess.run([python, script], cwd=VENV, env=place, text=True,
                              stdout=subprocess.PIPE)
        print(f"{done.stdout}{time.perf_counter() - begin:.0f} s", flush=True)
        if done.returncode or "Audit" not in done.stdout:
            failed.append(script.name)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return bool(failed)


if __name__ == "__main__":
    sys.exit(main())
