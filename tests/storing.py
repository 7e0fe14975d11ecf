"""What the tests of stored results share: functions to store, a study to store them for, harms."""

import json
import os

import numpy as np
import pandas as pd

from lib import run as runs
from studies import report, store

calls = []  # the arguments of `draw`, a call each; the fixture `place` empties it


def draw(n, seed=0):
    """A small result: numbers, texts, truths, and an array."""
    calls.append(n)
    values = np.random.default_rng(seed).normal(size=n)
    table = pd.DataFrame({"value": values, "name": [f"row {i}" for i in range(n)],
                          "even": [i % 2 == 0 for i in range(n)]})
    return table, {"square": values.astype(np.float32) ** 2}


def of_images(n, images):
    return draw(n)


def begin(profile="quick", device="cpu"):
    report.start("99_fixture", runs.start(profile, device=device), paper="fixture")


def cell(name, compute, config, version=1, comparable=True):
    """The cell of a sweep of one config, the same in both profiles."""
    return store.Sweep(name, compute, quick=[config], paper=[config], version=version,
                       comparable=comparable).run()


def files_of(place, kind="json"):
    return sorted(file for folder in ("build/cells", "data/cells")
                  for file in (place / folder).rglob(f"*.{kind}"))


# ---- harms: what may befall the two files of a cell

def document(change):
    """Harm: the JSON read, changed in place and written again, as a careful hand would."""
    def harm(file):
        held = json.loads(file.read_text())
        change(held)
        file.write_text(json.dumps(held))
    return harm


def npz(change):
    """Harm: the arrays read, changed in place and written again."""
    def harm(file):
        with np.load(file.with_suffix(".npz")) as stored:
            held = dict(stored)
        change(held)
        np.savez_compressed(file.with_suffix(".npz"), **held)
    return harm


def without(key):
    return document(lambda held: held.pop(key))


def swapped_columns(held):
    held["table"] = dict(reversed(held["table"].items()))


def deleted_row(held):
    held["n"] -= 1
    for column in held["table"].values():
        column.pop()


def another_cells_arrays(file):
    other = file.with_name("other.npz")
    np.savez_compressed(other, square=np.zeros(3, np.float32))
    os.replace(other, file.with_suffix(".npz"))


def flipped_bit(file):
    content = bytearray(file.with_suffix(".npz").read_bytes())
    content[len(content) // 2] ^= 1
    file.with_suffix(".npz").write_bytes(content)


DAMAGES = {
    "cut": lambda file: file.write_text(file.read_text()[:200]),
    "empty": lambda file: file.write_text(""),
    "a list": lambda file: file.write_text("[]"),
    "null": lambda file: file.write_text("null"),
    "no text": lambda file: file.write_bytes(b"\xff\xfe"),
    "deep": lambda file: file.write_text("[" * 100_000),
    "version": lambda file: file.write_text(
        file.read_text().replace('"version": 1', '"version": 2')),
    "function": lambda file: file.write_text(file.read_text().replace(".draw", ".other")),
    "config": document(lambda held: held["config"].update(n=4)),
    "number": document(lambda held: held["table"]["value"].__setitem__(1, 0.5)),
    "number as text": document(lambda held: held["table"]["value"].__setitem__(1, "NaN")),
    "name": document(lambda held: held["table"]["name"].__setitem__(1, "row 7")),
    "truth": document(lambda held: held["table"]["even"].__setitem__(1, True)),
    "null number": document(lambda held: held["table"]["value"].__setitem__(1, None)),
    "row": document(deleted_row),
    "short column": document(lambda held: held["table"]["value"].pop()),
    "column": document(lambda held: held["table"].pop("name")),
    "column in the npz": document(lambda held: held["table"].update(value=None)),
    "order of columns": document(swapped_columns),
    "no table": document(lambda held: held.update(table=None)),
    "dtype": document(lambda held: held["dtypes"].update(value="float32")),
    "unknown dtype": document(lambda held: held["dtypes"].update(value="floaty")),
    "n": document(lambda held: held.update(n=4)),
    "seconds": document(lambda held: held.update(seconds=0.5)),
    "device": document(lambda held: held.update(device="another")),
    "mean": document(lambda held: held["mean"].update(value=0.5)),
    "digest": document(lambda held: held.update(digest="0" * 64)),
    "listed arrays": document(lambda held: held.update(arrays=[])),
    "unknown array": document(lambda held: held["arrays"].append("states")),
    **{f"without {key}": without(key) for key in (
        "function", "config", "version", "mean", "std", "comparable", "n", "seeds", "device",
        "torch", "commit", "seconds", "arrays", "dtypes", "table", "digest")},
    "npz missing": lambda file: file.with_suffix(".npz").unlink(),
    "npz empty": lambda file: file.with_suffix(".npz").write_bytes(b""),
    "npz cut": lambda file: file.with_suffix(".npz").write_bytes(
        file.with_suffix(".npz").read_bytes()[:60]),
    "npz of another cell": another_cells_arrays,
    "npz no archive": lambda file: np.save(file.with_suffix(".npz").open("wb"), np.zeros(3)),
    "npz text": lambda file: file.with_suffix(".npz").write_text("version https://git-lfs"),
    "npz bit": flipped_bit,
    "npz pickled": npz(lambda held: held.update(square=np.array([{}], dtype=object))),
    "npz pixel": npz(lambda held: held["square"].__setitem__(0, 7)),
    "npz dtype": npz(lambda held: held.update(square=held["square"].astype(float))),
    "npz shape": npz(lambda held: held.update(square=held["square"][None])),
    "npz array gone": npz(lambda held: held.pop("square")),
    "npz array more": npz(lambda held: held.update(more=np.zeros(3))),
    "npz array renamed": npz(lambda held: held.update(cube=held.pop("square"))),
}
