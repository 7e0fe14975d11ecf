"""The file format of stored results: one JSON file and one npz a cell, sealed with a digest.

A cell that does not agree with its digest is never shown (`Damaged`)."""

import functools
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from filelock import FileLock

from lib import files
from lib.run import environment

LONG = 200  # rows; longer tables keep their numbers in the npz
RESERVED = ("file", "allow_pickle")  # names that numpy.savez keeps for itself


@dataclass(frozen=True)
class Cell:
    """A result: the rows of all parts, by column `part`; arrays joined along their first axis."""

    table: pd.DataFrame
    arrays: dict
    config: list                 # of the parts
    n: int                       # rows
    seconds: float
    device: str
    torch: str
    commit: str
    comparable: bool | str       # True, or why the numbers are not to be held to the paper's
    profile: str = ""            # whose configs these are: "quick" or "paper"


class Damaged(ValueError):
    """A stored cell that is not what was stored: the message names its file, and what is wrong."""


def joined(parts: list[Cell], profile: str) -> Cell:
    """One cell of all parts of a sweep."""
    tables = [part.table.assign(part=i) for i, part in enumerate(parts)]
    arrays = {}
    for key in parts[0].arrays:
        arrays[key] = np.concatenate([part.arrays[key] for part in parts])
    where = [", ".join(sorted({getattr(part, key) for part in parts}))
             for key in ("device", "torch", "commit")]
    reasons = [part.comparable for part in parts if part.comparable is not True]
    return Cell(pd.concat(tables, ignore_index=True), arrays, [part.config for part in parts],
                sum(part.n for part in parts), sum(part.seconds for part in parts), *where,
                reasons[0] if reasons else True, profile)


# --- reading -------------------------------------------------------------------------------------


def read(path: Path, identity: dict) -> Cell | None:
    """The cell, or None where there is none. Raises Damaged, also where it is another's."""
    if not path.exists():
        return None
    stamps = tuple(_stamp(file) for file in (path, path.with_suffix(".npz")))
    return _read(path, stamps, json.dumps(identity, sort_keys=True))


def _stamp(path: Path) -> tuple | None:
    """What changes when a file is written again; None where there is none."""
    try:
        there = path.stat()
    except FileNotFoundError:
        return None
    return there.st_mtime_ns, there.st_size, there.st_ino


@functools.lru_cache(maxsize=1024)
def _read(path: Path, stamps: tuple, identity: str) -> Cell:
    """The cell of the files as they are now: a page asks for it again and again. `joined` copies
    what it hands on."""
    document, arrays = load(path)
    identity = json.loads(identity)
    if identity != {key: document.get(key) for key in identity}:
        raise Damaged(f"damaged: {shown(path)} (it is the cell of another config)")
    columns = {}
    for name, values in document["table"].items():
        if values is None:
            columns[name] = arrays.pop(f"column {name}")
        elif document["dtypes"].get(name, "").startswith("float"):
            columns[name] = [float(value) for value in values]  # it reads "NaN" and "-Infinity"
        else:
            columns[name] = values
    said = [document[key] for key in
            ("config", "n", "seconds", "device", "torch", "commit", "comparable")]
    return Cell(pd.DataFrame(columns).astype(document["dtypes"]), arrays, *said)


def is_whole(path: Path, identity: dict) -> bool:
    """Whether the cell is there, and what was stored."""
    try:
        return read(path, identity) is not None
    except Damaged:
        return False


def load(path: Path | str) -> tuple[dict, dict]:
    """What a stored cell says (its JSON), and its arrays, both as they were stored.

    Raises Damaged where the two files are not those that were written together, or not whole."""
    path = Path(path)
    npz = path.with_suffix(".npz")
    for file in (path, npz):
        if file.exists() and not file.is_file():
            raise ValueError(f"{shown(file)} is no file: remove what is in its place")
    try:
        document, arrays = json.loads(path.read_text(encoding="utf-8")), {}
        if document["arrays"]:
            with np.load(npz, allow_pickle=False) as stored:
                arrays = dict(stored)
        if document["digest"] != digest(document, arrays):
            raise ValueError("its numbers are not those of its digest")
    except Exception as error:   # whatever the reader of a damaged file stumbles over
        raise Damaged(f"damaged: {shown(path)} ({type(error).__name__}: {error})") from error
    return document, arrays


def digest(document: dict, arrays: dict) -> str:
    """Of all that a cell holds: its JSON but for the digest itself, and names, types, shapes and
    values of its arrays."""
    said = {key: value for key, value in document.items() if key != "digest"}
    of = hashlib.sha256(json.dumps(said).encode())
    for name in sorted(arrays):
        values = arrays[name]
        of.update(json.dumps([name, values.dtype.str, values.shape]).encode())
        of.update(values.tobytes())
    return of.hexdigest()


def shown(path: Path) -> Path:
    """A path as messages name it: from the root of the project, where it lies there."""
    return path.relative_to(files.ROOT) if path.is_relative_to(files.ROOT) else path


# --- writing -------------------------------------------------------------------------------------


def claim(path: Path) -> FileLock:
    """The lock of who computes a cell; of any process that shares this folder, and gone with it."""
    folder = files.ROOT / "build/locks" / path.parent.name
    folder.mkdir(parents=True, exist_ok=True)
    return FileLock(folder / f"{path.stem}.lock", thread_local=False)


def write(path: Path, identity: dict, made: tuple, seconds: float, comparable, device) -> None:
    """Store what a compute function returned, (table, arrays), under its identity.

    Raises ValueError where part of it would be lost."""
    table, arrays = _storable(path, identity, made)
    path.unlink(missing_ok=True)                 # an old table never stands beside new arrays
    columns = {}
    if len(table) > LONG:                        # a long table is smaller as arrays
        columns = {c: table[c].to_numpy() for c in table if table[c].dtype.kind in "iufb"}
        arrays = arrays | {f"column {c}": values for c, values in columns.items()}
    document = _document(table, columns, identity, device) | {
        "comparable": comparable, "seconds": round(seconds, 3), "arrays": sorted(arrays)}
    try:
        text = files.json_lines(sealed(document, arrays))
    except (TypeError, ValueError) as error:
        raise _not_storable(path, identity, f"a table that JSON cannot hold: {error}") from error
    if arrays:
        with files.atomic(path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **arrays)
    with files.atomic(path) as file:
        file.write(text)


def judge(path: Path, comparable) -> None:
    """Note another judgement of a stored cell: it is the author's, no number, so no new run."""
    document, arrays = load(path)
    files.write_json(path, sealed(document | {"comparable": comparable}, arrays))


def sealed(document: dict, arrays: dict) -> dict:
    """The document with its digest, which stands before the table."""
    table = document["table"]
    said = {key: value for key, value in document.items() if key not in ("digest", "table")}
    return said | {"digest": digest(said | {"table": table}, arrays), "table": table}


def _document(table: pd.DataFrame, columns: dict, identity: dict, device) -> dict:
    """What a cell says of itself and of where it was computed; `columns` lie in the npz."""
    numbers = table.select_dtypes(["number", "bool"]).astype(float)
    with np.errstate(all="ignore"):
        spread = {"mean": _strict(numbers.mean()), "std": _strict(numbers.std())}
    where = environment(device)
    rows = {}
    for name in table.columns:
        rows[name] = None if name in columns else list(_strict(table[name]).values())
    kinds = {name: str(kind) for name, kind in table.dtypes.items() if kind.kind in "iufb"}
    return identity | spread | {
        "n": len(table), "seeds": identity["config"].get("seed"), "device": where["device"],
        "torch": where["torch"], "commit": where["commit"], "dtypes": kinds, "table": rows}


def _storable(path: Path, identity: dict, made: tuple) -> tuple[pd.DataFrame, dict]:
    """What a compute function returned, as it is stored. Raises ValueError where part of it would
    be lost: a silent loss would be found when the numbers are drawn."""
    def wrong(what: str) -> ValueError:
        return _not_storable(path, identity, what)

    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], pd.DataFrame)
            and isinstance(made[1], dict)):
        raise wrong(f"{type(made).__name__}, not (table, dict of arrays)")
    table, arrays = made
    names = [*table.columns, *arrays]
    if not all(isinstance(name, str) for name in names) or not table.columns.is_unique:
        raise wrong("columns or arrays whose names are not different strings")
    if any(name is not None for name in table.index.names):
        raise wrong("a table with an index: reset_index() makes it a column")
    for name in arrays:
        if name.startswith("column ") or name in RESERVED:
            raise wrong(f"an array named {name!r}, a name that is taken")
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in arrays.items():
        if values.dtype.kind not in "biufcSU":
            raise wrong(f"an array {name!r} of {values.dtype}")
    return table.reset_index(drop=True), arrays   # rows that share a number of the index stay apart


def _not_storable(path: Path, identity: dict, what: str) -> ValueError:
    return ValueError(f"cell {path.stem}: {identity['function']} returned {what}")


def _strict(column: pd.Series) -> dict:
    """A Series as strict JSON: a float that is not finite by the name that float() reads."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    if column.dtype.kind != "f":
        names = {"nan": None}
    strict = {}
    for key, value in column.to_dict().items():
        strict[key] = names.get(str(value), value) if isinstance(value, float) else value
    return strict
