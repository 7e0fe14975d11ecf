"""Stored cells, published numbers, products and claims: computing is kept apart from drawing.
Floor 0.

A cell is what `compute(**config)` returns, a table and a dict of arrays: one JSON file and one npz,
found by its key, the hash of the function's name, the config and `version`. Cells of the paper
profile are tracked in `data/cells/<notebook>`; those of the quick profile lie in `build/cells` with
the text of lib in their key. A notebook declares its cells in a code cell tagged "plan", so that
`make plan` can tell which are missing:

    heavy = results.sweep("fig3", experiment.attack, quick=[...], paper=[...], minutes={"paper": 9})

and asks for them where it draws:

    heavy.run()         # this profile's cells: those that are missing are computed and stored
    heavy.stored()      # the tracked cells of the paper profile, or None

Each cell carries a digest of its table, arrays and all else that it says. One that does not agree
with its digest is never shown: run() computes it again and says so, stored() names it.

The device is no part of a config: `compute` asks `run.current()`, and the cell records it.
The environment variable FRESH=1 computes anew; PRODUCTS names another folder for the products.
"""

import hashlib
import inspect
import io
import json
import os
import sys
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import display
from matplotlib.figure import Figure
from PIL import Image, ImageChops
from scipy import stats

from lib import checks, files, plots
from lib import run as runs

LONG = 200  # rows; longer tables keep their numbers in the npz
CERTAINTIES = ("read", "quoted", "digitised", "recalled")
RESERVED = ("file", "allow_pickle")  # names that numpy.savez keeps for itself
_session = None


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


class Damaged(ValueError):
    """A stored cell that is not what was stored: the message names its file, and what is wrong."""


def start(notebook: str, run: runs.Run, paper: str | None = None) -> None:
    """Say whose cells and products follow. `make figures` holds them to the floats of `paper`.

    From here on figures have the house style, whatever matplotlibrc a user has.
    Raises ValueError for another type, or where the environment variable FRESH is not 1 or 0."""
    global _session
    if not isinstance(notebook, str) or not notebook or Path(notebook).name != notebook:
        raise ValueError(f"notebook must be a name without folders, not {notebook!r}")
    if not isinstance(run, runs.Run):
        raise ValueError(f"run must be what run.start returned, not {run!r}")
    runs.fresh()
    plots.style()
    texts = [path.read_text() for path in sorted((runs.ROOT / "lib").glob("*.py"))]
    _session = SimpleNamespace(notebook=notebook, run=run, lib=_hash(texts), sweeps=[], fresh=set(),
                               functions={})
    about = {"paper": paper, "profile": run.profile, "seed": run.seed}
    _write_json(_product("about.json"), about | runs.environment(run.device))


def sweep(name, compute, quick, paper, version=1, minutes=None, gib=None, comparable=True):
    """Declare a heavy step: `quick` and `paper` are lists of configs, each stored as one part.

    compute: a function at the top of a module; its key holds the name that `run.stored_as` gave it,
    or that of its module and its own. config: a dict of what JSON can hold. version: raised when
    the numbers of `compute` change. minutes, gib: estimates for `make plan`. comparable: True, or
    why the numbers are not to be held to the paper's. These three are one value, or one a profile:
    {"quick": ..., "paper": ...}.
    Returns an object with run() and stored(), which give a Cell, and what `make plan` prints.
    stored() raises Damaged for a tracked cell that is not what was stored, check() for any cell of
    this profile.
    Raises ValueError for a config that is not JSON, or a function that has no name of its own."""
    profile, configs = _started().run.profile, {"quick": quick, "paper": paper}
    _check_name("the sweep's name", name)
    checks.whole("version", version)
    for of, each in configs.items():
        if not isinstance(each, list | tuple) or not all(isinstance(c, dict) for c in each):
            raise ValueError(f"{name}: {of} is a list of configs, dicts of what JSON can hold")
    for what, value in {"minutes": minutes, "gib": gib}.items():
        for one in value.values() if isinstance(value, dict) else [value]:
            if one is not None:
                checks.number(f"{name}: {what}", one, 0)
    minutes, gib, comparable = (value.get(profile) if isinstance(value, dict) else value
                                for value in (minutes, gib, comparable))
    if comparable is not True and not (isinstance(comparable, str) and comparable):
        raise ValueError(f"comparable of {name} is True, or says why not; it is {comparable!r}")
    parts = {of: [_ask(f"{name}-{i:02d}", compute, config, version, of)
                  for i, config in enumerate(configs[of])] for of in configs}

    def run() -> Cell:           # an interrupted run loses at most one part
        if not parts[profile]:
            raise ValueError(f"{name} has no configs in the profile {profile}")
        bar = runs.progress(parts[profile], desc=name)
        return _joined([_result(one, comparable) for one in bar])

    def stored() -> Cell | None:
        found = [_read(one) for one in parts["paper"]]
        return _joined(found) if found and all(found) else None

    def check() -> None:
        for one in parts[profile]:
            _read(one)

    _session.sweeps.append(SimpleNamespace(
        name=name, configs=configs, run=run, stored=stored, minutes=minutes, gib=gib,
        files=[one.path for one in parts[profile]],
        done=lambda: sum(_whole(one) for one in parts[profile]), check=check))
    return _session.sweeps[-1]


def _ask(name, compute, config, version, profile):
    """Where a cell is to be found (path), and what its file has to say of itself (identity)."""
    if not inspect.isfunction(compute) or "<" in compute.__qualname__:
        raise ValueError(f"cell {name}: {compute} is not a function at the top of a module")
    try:
        config = json.loads(json.dumps(config, sort_keys=True, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise ValueError(f"the config of cell {name} is not JSON: {error}") from error
    own_name = f"{compute.__module__}.{compute.__qualname__}"
    stored_as = getattr(compute, "stored_as", own_name)
    if _session.functions.setdefault(stored_as, own_name) != own_name:
        raise ValueError(f"cell {name}: {own_name} and {_session.functions[stored_as]} "
                         f"are both stored as {stored_as!r}: give one another name")
    identity = {"function": stored_as, "config": config, "version": version}
    if profile == "quick":       # lib changes daily; a function that is not in lib brings its text
        identity["code"] = _hash([_session.lib, _text(compute)])
    folder = runs.ROOT / {"quick": "build/cells", "paper": "data/cells"}[profile]
    path = folder / _session.notebook / f"{name}-{key_of(identity)}.json"
    return SimpleNamespace(path=path, compute=compute, identity=identity)


def key_of(identity: dict) -> str:
    """The end of a cell's file name: a hash of its function's name, config and version."""
    return _hash(identity)[:10]


def _text(compute) -> str:
    """The text that the numbers of a function outside lib depend on."""
    home = compute.__module__
    if home == "__main__":
        return inspect.getsource(compute)
    return "" if home.startswith("lib.") else Path(sys.modules[home].__file__).read_text()


def _result(asked, comparable) -> Cell:
    found = None
    if not runs.fresh() or asked.path in _session.fresh:
        try:
            found = _read(asked)
        except Damaged as error:
            print(f"{error}; it is computed again", file=sys.stderr)
    if found is None:
        begin = time.perf_counter()
        made = asked.compute(**asked.identity["config"])
        _write(asked, made, time.perf_counter() - begin, comparable)
        _session.fresh.add(asked.path)
    elif found.comparable != comparable:         # the author's judgement, not a number: no new run
        document, arrays = load(asked.path)
        _write_json(asked.path, _sealed(document | {"comparable": comparable}, arrays))
    return _read(asked)


def load(path) -> tuple[dict, dict]:
    """What a stored cell says (its JSON), and its arrays, both as they were stored.

    Raises Damaged where the two files are not those that were written together, or not whole."""
    path = Path(path)
    npz = path.with_suffix(".npz")
    for file in (path, npz):
        if file.exists() and not file.is_file():
            raise ValueError(f"{_shown(file)} is no file: remove what is in its place")
    try:
        document, arrays = json.loads(path.read_text(encoding="utf-8")), {}
        if document["arrays"]:
            with np.load(npz, allow_pickle=False) as stored:
                arrays = dict(stored)
        if document["digest"] != digest(document, arrays):
            raise ValueError("its numbers are not those of its digest")
    except Exception as error:   # whatever the reader of a damaged file stumbles over
        raise Damaged(f"damaged: {_shown(path)} ({type(error).__name__}: {error})") from error
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


def _sealed(document, arrays) -> dict:
    """The document with its digest, which stands before the table."""
    table = document["table"]
    said = {key: value for key, value in document.items() if key not in ("digest", "table")}
    return said | {"digest": digest(said | {"table": table}, arrays), "table": table}


def _read(asked) -> Cell | None:
    """The cell, or None where there is none. Raises Damaged."""
    if not asked.path.exists():
        return None
    found, arrays = load(asked.path)
    if asked.identity != {key: found.get(key) for key in asked.identity}:
        raise Damaged(f"damaged: {_shown(asked.path)} (it is the cell of another config)")
    columns = {name: arrays.pop(f"column {name}") if values is None else
               [float(value) for value in values]             # float() reads "NaN" and "-Infinity"
               if found["dtypes"].get(name, "").startswith("float") else values
               for name, values in found["table"].items()}
    return Cell(pd.DataFrame(columns).astype(found["dtypes"]), arrays, *(found[key] for key in (
        "config", "n", "seconds", "device", "torch", "commit", "comparable")))


def _whole(asked) -> bool:
    try:
        return _read(asked) is not None
    except Damaged:
        return False


def _shown(path) -> Path:
    return path.relative_to(runs.ROOT) if path.is_relative_to(runs.ROOT) else path


def _write(asked, made, seconds, comparable) -> None:
    table, arrays = _storable(asked, made)
    asked.path.unlink(missing_ok=True)           # an old table never stands beside new arrays
    columns = {}
    if len(table) > LONG:                        # a long table is smaller as arrays
        columns = {c: table[c].to_numpy() for c in table if table[c].dtype.kind in "iufb"}
        arrays = arrays | {f"column {c}": values for c, values in columns.items()}
    numbers = table.select_dtypes(["number", "bool"]).astype(float)
    where = runs.environment(_session.run.device)
    with np.errstate(all="ignore"):
        spread = {"mean": _strict(numbers.mean()), "std": _strict(numbers.std())}
    document = asked.identity | spread | {
        "comparable": comparable, "n": len(table), "seeds": asked.identity["config"].get("seed"),
        "device": where["device"], "torch": where["torch"], "commit": where["commit"],
        "seconds": round(seconds, 3), "arrays": sorted(arrays),
        "dtypes": {key: str(kind) for key, kind in table.dtypes.items() if kind.kind in "iufb"},
        "table": {key: None if key in columns else list(_strict(table[key]).values())
                  for key in table.columns}}
    try:
        document = _sealed(document, arrays)
        text = _json_lines(document)
    except (TypeError, ValueError) as error:
        raise _not_storable(asked, f"a table that JSON cannot hold: {error}") from error
    if arrays:
        with files.atomic(asked.path.with_suffix(".npz")) as file:
            np.savez_compressed(file, **arrays)
    with files.atomic(asked.path) as file:
        file.write(text)


def _storable(asked, made) -> tuple[pd.DataFrame, dict]:
    """What a compute function returned, as it is stored. Raises ValueError where part of it would
    be lost: a silent loss would be found when the numbers are drawn."""
    if not (isinstance(made, tuple) and len(made) == 2 and isinstance(made[0], pd.DataFrame)
            and isinstance(made[1], dict)):
        raise _not_storable(asked, f"{type(made).__name__}, not (table, dict of arrays)")
    table, arrays = made
    names = [*table.columns, *arrays]
    if not all(isinstance(name, str) for name in names) or not table.columns.is_unique:
        raise _not_storable(asked, "columns or arrays whose names are not different strings")
    if any(name is not None for name in table.index.names):
        raise _not_storable(asked, "a table with an index: reset_index() makes it a column")
    if wrong := [name for name in arrays if name.startswith("column ") or name in RESERVED]:
        raise _not_storable(asked, f"an array named {wrong[0]!r}, a name that is taken")
    arrays = {name: np.asarray(values) for name, values in arrays.items()}
    if wrong := [name for name, values in arrays.items() if values.dtype.kind not in "biufcSU"]:
        raise _not_storable(asked, f"an array {wrong[0]!r} of {arrays[wrong[0]].dtype}")
    return table.reset_index(drop=True), arrays   # rows that share a number of the index stay apart


def _not_storable(asked, what) -> ValueError:
    return ValueError(f"cell {asked.path.stem}: {asked.identity['function']} returned {what}")


def _joined(parts) -> Cell:
    tables = [part.table.assign(part=i) for i, part in enumerate(parts)]
    arrays = {key: np.concatenate([part.arrays[key] for part in parts]) for key in parts[0].arrays}
    made = [", ".join(sorted({getattr(part, key) for part in parts}))
            for key in ("device", "torch", "commit")]
    return Cell(pd.concat(tables, ignore_index=True), arrays, [part.config for part in parts],
                sum(part.n for part in parts), sum(part.seconds for part in parts), *made,
                next((part.comparable for part in parts if part.comparable is not True), True))


def published(paper: str) -> pd.DataFrame:
    """The numbers a paper prints, a row each, from `data/published/<paper>.json`:

    {"paper": "...",
     "floats": {"fig3": {"title": "...", "product": "fig3_leakage"},
                "fig9": {"title": "...", "reason": "why it is not made"}},
     "numbers": [{"float": "fig6", "row": "DLG", "column": "MNIST", "value": 0.0038, "spread": null,
                  "unit": "...", "settings": "...", "source": "...", "certainty": "recalled"}]}

    product: the name given to save_figure or save_table. certainty: read (in the paper), quoted (in
    another text), digitised (off a plot), recalled (from memory). The floats are in `.attrs`.
    Raises ValueError naming the first entry that breaks this layout."""
    _check_name("paper", paper)
    path = runs.ROOT / f"data/published/{paper}.json"
    if not path.is_file():
        raise ValueError(f"no published numbers of the paper {paper!r}: {path} is missing")
    found = json.loads(path.read_text())
    for name, entry in found.setdefault("floats", {}).items():
        if not entry.get("title") or ("product" in entry) == ("reason" in entry):
            raise ValueError(f"{path.name}: float {name} needs a title, and a product or a reason")
    for number in found.setdefault("numbers", []):
        if number.get("float") not in found["floats"]:
            raise ValueError(f"{path.name}: the float of {number} is not listed")
        if number.get("certainty") not in CERTAINTIES:
            raise ValueError(f"{path.name}: the certainty of {number} is none of {CERTAINTIES}")
    table = pd.DataFrame(found["numbers"], columns=[
        "float", "row", "column", "value", "spread", "unit", "settings", "source", "certainty"])
    table.attrs["floats"] = found["floats"]
    return table.astype({"value": float, "spread": float})


def show(number) -> str:
    """A row of `published` as text, with the mark that it has to bear wherever it is shown."""
    text = "–" if pd.isna(number["value"]) else f"{number['value']:g}"
    text += "" if pd.isna(number["spread"]) else f" ± {number['spread']:g}"
    mark = number["certainty"]
    return text if mark == "read" or text == "–" else f"{text} ({mark})"


def save_figure(fig, name: str, alt: str) -> None:
    """Show the figure, and write `<name>.png` and `<name>.pdf` among the products; the same figure,
    the same bytes.

    alt: what it shows, in a sentence or two, for who cannot see it. It goes with the picture in the
    notebook, and into `figures.json`. ValueError where it is shorter than 40 characters."""
    _check_name("the figure's name", name)
    if not isinstance(alt, str) or len(alt) < 40:
        raise ValueError(f"{name}: alternative text says what the figure shows, not {alt!r}")
    if not isinstance(fig, Figure):
        raise ValueError(f"fig must be a matplotlib Figure, not {type(fig).__name__}")
    undated = {"png": ["Software"], "pdf": ["CreationDate", "Creator", "Producer"]}
    for kind, keys in undated.items():
        drawn = io.BytesIO()
        fig.savefig(drawn, format=kind, dpi=200, metadata=dict.fromkeys(keys))
        with files.atomic(_product(f"{name}.{kind}")) as file:
            file.write(small_png(drawn.getvalue()) if kind == "png" else drawn.getvalue())
    known = _product("figures.json")
    _write_json(known, (json.loads(known.read_text()) if known.exists() else {}) | {name: alt})
    if get_ipython():            # at once: left to the end of its cell it would have no text
        display(fig, metadata={"image/png": {"alt": alt}})
        plt.close(fig)


def small_png(png: bytes, tolerance: int = 16) -> bytes:
    """The picture with 256 colours, where no channel of a pixel then differs by more than
    `tolerance` of 255, else with all of them: plots get three times smaller, photographs stay."""
    drawn = Image.open(io.BytesIO(png)).convert("RGBA")
    picture = Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn).convert("RGB")
    few = picture.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    worst = max(high for _, high in ImageChops.difference(few.convert("RGB"), picture).getextrema())
    small = io.BytesIO()
    about = {"dpi": drawn.info["dpi"]} if "dpi" in drawn.info else {}
    (few if worst <= tolerance else picture).save(small, "png", optimize=True, **about)
    return small.getvalue()


def save_table(table: pd.DataFrame, name: str) -> None:
    """Write `<name>.csv` among the products. Times belong in `save_timings`."""
    _check_name("the table's name", name)
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a DataFrame, not {type(table).__name__}")
    with files.atomic(_product(f"{name}.csv")) as file:
        table.to_csv(file, index=not isinstance(table.index, pd.RangeIndex), lineterminator="\n")


def save_timings(table: pd.DataFrame) -> None:
    """Write `timings.csv`, the one product that no comparison looks at."""
    save_table(table, "timings")


def not_made(float_id: str, reason: str) -> None:
    """Say why this run does not make a float of the paper (a missing data set, the profile)."""
    _check_name("float_id", float_id)
    if not isinstance(reason, str) or not reason:
        raise ValueError(f"reason must say why {float_id} is not made, not {reason!r}")
    path = _product("reasons.json")
    known = json.loads(path.read_text()) if path.exists() else {}
    _write_json(path, known | {float_id: reason})


class Ledger:
    """The paper's claims, each decided by the rule written beside it."""

    def __init__(self):
        self.claims = []

    def add(self, id, text, verdict, rule, measured, n, stable=True) -> None:
        """verdict: True, False, or None where n does not decide. stable: the same on any CPU."""
        for name, value in {"id": id, "text": text, "rule": rule}.items():
            if not isinstance(value, str) or not id:
                raise ValueError(f"claim {id!r}: {name} must be a text, not {value!r}")
        checks.whole(f"claim {id}: n", n, 0)
        checks.flag(f"claim {id}: stable", stable)
        if verdict is not None and not isinstance(verdict, bool | np.bool_):
            raise TypeError(f"claim {id}: the verdict is True, False or None, not {verdict!r}")
        if id in [claim["id"] for claim in self.claims]:
            raise ValueError(f"claim {id} is in the ledger already")
        self.claims.append({"id": id, "claim": text, "verdict": str(verdict), "rule": rule,
                            "measured": measured, "n": n, "stable": stable})

    def verdicts(self) -> None:
        """Print `id: verdict` for each stable claim: what nbval compares."""
        print("\n".join(f"{one['id']}: {one['verdict']}" for one in self.claims if one["stable"]))

    def table(self) -> pd.DataFrame:
        return pd.DataFrame(self.claims)

    def save(self) -> None:
        """Write `claims.csv` among the products."""
        save_table(self.table(), "claims")


def _started():
    if _session is None:
        raise RuntimeError("call results.start(notebook, run) first")
    return _session


def _product(name) -> Path:
    folder = os.environ.get("PRODUCTS") or runs.ROOT / "build" / _started().run.profile
    return Path(folder) / _started().notebook / name


def _hash(value) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _strict(column) -> dict:
    """A Series as strict JSON: a float that is not finite by the name that float() reads."""
    names = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"} if column.dtype.kind == "f" \
        else {"nan": None}
    return {key: names.get(str(value), value) if isinstance(value, float) else value
            for key, value in column.to_dict().items()}


def _json_lines(document) -> bytes:
    """A line a key: small, and a change shows in a diff."""
    lines = [f"{json.dumps(key)}: {json.dumps(value, allow_nan=False)}"
             for key, value in document.items()]
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode()


def _write_json(path, document) -> None:
    with files.atomic(path) as file:
        file.write(_json_lines(document))


def decide(good, n, level=0.5) -> tuple[bool | None, str]:
    """Is a share above `level`? True or False where its 95 % Wilson interval lies on one side of
    it, None where it does not or n is 0; and the share with the interval as text. good need not be
    whole: where images of one client count as one, it is their share times the clients."""
    _check_share(good, n)
    checks.number("level", level, 0, 1)
    if not n:
        return None, "0/0"
    low, high = _wilson(good, n)
    verdict = True if low > level else False if high < level else None
    return verdict, f"{good:.4g}/{n} [{low:.2f}, {high:.2f}]"


def _check_name(what: str, name) -> None:
    """ValueError where a name is none that a file of its own can have."""
    if not isinstance(name, str) or not name or Path(name).name != name:
        raise ValueError(f"{what} must be the name of a file, without folders, not {name!r}")


def _check_share(good, n) -> None:
    """ValueError where `good` of `n` is no share."""
    checks.number("n", n, 0)
    checks.number("good", good, 0, n * (1 + 1e-9))  # a sum of shares may be rounded


def _wilson(good, n) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson 1927)."""
    p, z = good / n, stats.norm.ppf(0.975)
    middle = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * (p * (1 - p) / n + z**2 / (4 * n**2)) ** 0.5
    return max(0.0, middle - half), min(1.0, middle + half)


def decide_fewer(a, b) -> tuple[bool | None, str]:
    """Is the share a = (good, n) below the share b? None where Newcombe's 95 % interval of the
    difference (1998, his method 10: from both Wilson intervals) holds 0, or an n is 0; and both
    shares and the interval, in points of a hundred, as text."""
    for name, share in {"a": a, "b": b}.items():
        if not isinstance(share, tuple | list) or len(share) != 2:
            raise ValueError(f"{name} must be a share (good, n), not {share!r}")
        _check_share(*share)
    if not (a[1] and b[1]):
        return None, "0/0"
    p, q = (good / n for good, n in (a, b))
    one, other = (_wilson(good, n) for good, n in (a, b))
    low = p - q - ((p - one[0]) ** 2 + (other[1] - q) ** 2) ** 0.5
    high = p - q + ((one[1] - p) ** 2 + (q - other[0]) ** 2) ** 0.5
    verdict = True if high < 0 else False if low > 0 else None
    interval = f"[{100 * low:+.0f}, {100 * high:+.0f}] points"
    return verdict, f"{p:.0%} against {q:.0%}; difference {100 * (p - q):+.0f} {interval}"


def decide_greater(a, b, paired=False, level=0.05) -> tuple[bool | None, str]:
    """Is the mean of a above that of b? None where the two-sided p of a t-test is `level` or more,
    or a sample has fewer than two values; and both means, standard deviations and p as text.

    Welch's test; paired: Student's, of the differences a_i - b_i."""
    checks.flag("paired", paired)
    checks.number("level", level, 0, 1)
    a, b = _sample("a", a), _sample("b", b)
    if paired and len(a) != len(b):
        raise ValueError(f"paired samples are of one length, not {len(a)} and {len(b)} values")
    if min(len(a), len(b)) < 2:
        return None, "fewer than two values"
    with warnings.catch_warnings():  # where a sample is constant
        warnings.simplefilter("ignore", RuntimeWarning)
        p = (stats.ttest_rel(a, b) if paired else stats.ttest_ind(a, b, equal_var=False)).pvalue
    means = " against ".join(f"{x.mean():.3g} ± {x.std(ddof=1):.2g}" for x in (a, b))
    return bool(a.mean() > b.mean()) if p < level else None, f"{means}, p = {p:.1g}"


def _sample(name: str, values) -> np.ndarray:
    """The values of a sample as an array (n,); ValueError where they are no numbers."""
    try:
        sample = np.asarray(values, float)
    except (TypeError, ValueError):
        sample = None
    if sample is None or sample.ndim != 1:
        raise ValueError(f"the sample {name} must be a list of numbers")
    return sample
