"""`make wheel`: the package leaky_gradients as a wheel, in build/wheel."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("pyproject.toml", "setup.py", "LICENSE", "lib")


def build(folder: Path) -> Path:
    """Build the wheel into a folder, of a copy: setuptools keeps files beside its sources, and
    would ship those of a module that is no more. subprocess.CalledProcessError where pip fails."""
    folder.mkdir(parents=True, exist_ok=True)
    for older in folder.glob("leaky_gradients-*.whl"):
        older.unlink()
    with tempfile.TemporaryDirectory() as copy:
        for name in SOURCES:
            source, target = ROOT / name, Path(copy) / name
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__", ".*"))
            else:
                shutil.copy(source, target)
        subprocess.run([sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps",
                        "--disable-pip-version-check", "--wheel-dir", folder, copy], check=True)
    wheel, = folder.glob("leaky_gradients-*.whl")
    return wheel


if __name__ == "__main__":
    print(build(ROOT / "build/wheel").relative_to(ROOT))
