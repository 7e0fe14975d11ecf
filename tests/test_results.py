"""lib/results.py: a stored cell is whole, of the asked config, and the same twice."""

import ast
import functools
import importlib
import io
import json
import math
import os
import subprocess
import sys
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from scipy import stats

from lib import experiment, files, results
from lib import run as runs

ROOT = Path(__file__).resolve().parents[1]
TRACKED = sorted((ROOT / "data/cells").rglob("*.json"))
calls = []


def draw(n, seed=0):
    calls.append(n)
    values = np.random.default_rng(seed).normal(size=n)
    table = pd.DataFrame({"value": values, "name": [f"row {i}" for i in range(n)],
                          "even": [i % 2 == 0 for i in range(n)]})
    return table, {"square": values.astype(np.float32) ** 2}


def odd():
    """What JSON has no word for."""
    return pd.DataFrame({"psnr": [math.inf, -math.inf, math.nan, 1.0], "rank": [1, 2, 3, 4],
                         "label": ["NaN", None, "", "Infinity"]}), {}


@pytest.fixture(autouse=True)
def place(monkeypatch, tmp_path):
    monkeypatch.setattr(runs, "ROOT", tmp_path)
    (tmp_path / "data/published").mkdir(parents=True)
    for name in ("FRESH", "PROFILE", "DATA_ROOT", "PRODUCTS"):
        monkeypatch.delenv(name, raising=False)
    calls.clear()
    begin()
    yield tmp_path
    results._session = None


def begin(profile="quick"):
    results.start("99_fixture", runs.start(profile, device="cpu"), paper="fixture")


def cell(name, compute, config, version=1, comparable=True):
    return results.sweep(name, compute, quick=[config], paper=[config], version=version,
                         comparable=comparable).run()


def files_of(place, kind="json"):
    return sorted(file for folder in ("build/cells", "data/cells")
                  for file in (place / folder).rglob(f"*.{kind}"))


# ---- cells

def test_nothing_without_start():
    results._session = None
    with pytest.raises(RuntimeError, match="results.start"):
        cell("a", draw, {"n": 2})


def test_a_cell_is_computed_once():
    first, second = (cell("a", draw, {"n": 3}) for _ in range(2))
    assert calls == [3]
    pd.testing.assert_frame_equal(first.table, second.table)
    assert np.array_equal(first.arrays["square"], second.arrays["square"])
    assert first.arrays["square"].dtype == np.float32
    assert (first.n, first.config, first.comparable) == (3, [{"n": 3}], True)


def test_what_is_not_finite_survives(place):
    table = cell("a", odd, {}).table
    pd.testing.assert_frame_equal(table.drop(columns="part"), odd()[0])
    json.loads(files_of(place)[0].read_text(), parse_constant=lambda word: pytest.fail(word))


def test_the_same_config_gives_the_same_bytes(place, monkeypatch):
    cell("a", draw, {"n": 3, "seed": 5})
    file, = files_of(place)
    first, arrays = json.loads(file.read_text()), file.with_suffix(".npz").read_bytes()
    monkeypatch.setenv("FRESH", "1")
    begin()
    cell("a", draw, {"seed": 5, "n": 3})             # another order of the keys
    assert files_of(place) == [file]
    second = json.loads(file.read_text())
    for key in ("seconds", "commit", "device", "digest"):  # the digest is of the others, too
        del first[key], second[key]
    assert json.dumps(first) == json.dumps(second)
    assert file.with_suffix(".npz").read_bytes() == arrays
    assert len(calls) == 2
    assert first["seeds"] == 5 and first["n"] == 3
    assert first["mean"]["value"] == pytest.approx(np.mean(first["table"]["value"]))


def test_fresh_computes_once_a_process(monkeypatch):
    cell("a", draw, {"n": 2})
    monkeypatch.setenv("FRESH", "1")
    begin()
    for _ in range(2):
        cell("a", draw, {"n": 2})
    assert calls == [2, 2]


# ---- damage: nothing that was changed after it was stored is ever shown

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


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cell_is_computed_again_and_that_is_said(place, capsys, harm):
    whole = cell("a", draw, {"n": 3})
    harm(files_of(place)[0])
    begin()
    assert results.sweep("a", draw, quick=[{"n": 3}], paper=[]).done() == 0
    again = cell("a", draw, {"n": 3})
    assert calls == [3, 3]
    pd.testing.assert_frame_equal(whole.table, again.table)
    assert np.array_equal(whole.arrays["square"], again.arrays["square"])
    said, = capsys.readouterr().err.splitlines()
    assert said.startswith("damaged: build/cells/99_fixture/a-00-")
    assert said.endswith("it is computed again")


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_tracked_cell_is_named_and_not_shown(place, harm):
    begin("paper")
    cell("a", draw, {"n": 3})
    harm(files_of(place)[0])
    begin("quick")
    heavy = results.sweep("a", draw, quick=[], paper=[{"n": 3}])
    with pytest.raises(results.Damaged, match="damaged: data/cells/99_fixture/a-00-") as found:
        heavy.stored()
    assert "\n" not in str(found.value)
    assert len(calls) == 1


def test_a_damaged_cell_that_cannot_be_computed_here_is_named(place):
    config = {"n": 3, "images": {"name": "cats_dogs"}}
    begin("paper")
    cell("a", of_images, config)
    heavy = results.sweep("a", of_images, quick=[], paper=[config])
    assert experiment.cell(heavy).n == 3                     # stored: no images are needed
    DAMAGES["number"](files_of(place)[0])
    with pytest.raises(results.Damaged, match="a-00-"):
        experiment.cell(heavy)
    files_of(place)[0].unlink()
    assert experiment.cell(heavy) is None                    # missing: not computed, as before


def of_images(n, images):
    return draw(n)


def test_what_is_in_the_place_of_a_file_is_named(place):
    cell("a", draw, {"n": 3})
    file = files_of(place)[0]
    for path in (file, file.with_suffix(".npz")):
        path.unlink()
        os.mkfifo(path)                                      # reading it would never end
        with pytest.raises(ValueError, match="is no file"):
            cell("a", draw, {"n": 3})
        path.unlink()
        cell("a", draw, {"n": 3})


def test_a_judgement_written_again_keeps_the_digest_right(place):
    cell("a", draw, {"n": 2})
    cell("a", draw, {"n": 2}, comparable="n = 2")
    assert results.load(files_of(place)[0])[0]["comparable"] == "n = 2"
    with pytest.raises(ValueError, match="comparable of a"):
        cell("a", draw, {"n": 2}, comparable=False)


def table_of(kind):
    rows = pd.DataFrame({"a": [1.0, 2.0]})
    return {
        "no tuple": rows, "no table": ({"a": 1}, {}), "no dict": (rows, [np.zeros(2)]),
        "same names": (pd.concat([rows, rows], axis=1), {}),
        "number as name": (pd.DataFrame({1: [1.0]}), {}), "index": (rows.set_index("a"), {}),
        "object array": (rows, {"b": np.array([{}])}), "name taken": (rows, {"file": np.zeros(2)}),
        "column name": (rows, {"column a": np.zeros(2)}),
        "no JSON": (pd.DataFrame({"a": [{1}]}), {})}[kind]


@pytest.mark.parametrize("kind", [
    "no tuple", "no table", "no dict", "same names", "number as name", "index", "object array",
    "name taken", "column name", "no JSON"])
def test_what_cannot_be_stored_whole_is_refused(place, kind):
    with pytest.raises(ValueError, match="table_of returned"):
        cell("a", table_of, {"kind": kind})
    assert not files_of(place)


def repeated_index():
    return pd.concat([pd.DataFrame({"a": [1, 2]}), pd.DataFrame({"a": [3, 4]})]), {}


def test_rows_that_share_a_number_of_the_index_stay_apart():
    assert cell("a", repeated_index, {}).table.a.tolist() == [1, 2, 3, 4]


# ---- names of functions

def test_a_moved_function_finds_its_cell(place, monkeypatch):
    monkeypatch.syspath_prepend(place)
    text = "from lib import run\n{}\ndef {}(n):\n    from tests.test_results import draw\n    " \
        "return draw(n)\n"
    (place / "home.py").write_text(text.format("", "first"))
    (place / "away.py").write_text(text.format("@run.stored_as('home.first')", "second"))
    begin("paper")
    cell("a", importlib.import_module("home").first, {"n": 3})
    begin("paper")
    cell("a", importlib.import_module("away").second, {"n": 3})
    assert len(files_of(place)) == 1 and len(imported_calls()) == 1
    with pytest.raises(ValueError, match="both stored as 'home.first'"):
        cell("a", importlib.import_module("home").first, {"n": 3})


def imported_calls():
    """The calls that the module counted under the name by which others import it."""
    return sys.modules["tests.test_results"].calls


@pytest.mark.parametrize("name", ["", None, 3, draw])
def test_a_name_to_be_stored_under_is_text(name):
    with pytest.raises(ValueError, match="stored as a name"):
        runs.stored_as(name)


def compute_names() -> list:
    """The names that functions of the tree are stored under, and those that notebooks define."""
    modules = [importlib.import_module(f"studies.{file.stem}")
               for file in sorted((ROOT / "studies").glob("*.py"))]
    names = [value.stored_as for module in (experiment, *modules)
             for value in vars(module).values()
             if getattr(value, "__module__", "") == module.__name__
             and hasattr(value, "stored_as")]
    for source in (ROOT / "notebooks").glob("*.py"):
        names += [f"{source.stem}: __main__.{node.name}"
                  for node in ast.parse(source.read_text()).body
                  if isinstance(node, ast.FunctionDef)]
    return names


# ---- the tracked cells

def test_every_tracked_cell_is_whole_and_a_function_of_the_tree_made_it():
    names = compute_names()
    assert len(names) == len(set(names)) and len(TRACKED) > 600
    for path in TRACKED:
        said, arrays = results.load(path)
        assert sorted(arrays) == said["arrays"], path
        identity = {key: said[key] for key in ("function", "config", "version")}
        assert path.stem.endswith(f"-{results.key_of(identity)}"), path
        function = said["function"]
        notebook = f"{path.parent.name}: " if function.startswith("__main__.") else ""
        assert notebook + function in names, path
        columns = {len(column) for column in said["table"].values() if column is not None}
        columns |= {len(arrays[name]) for name in arrays if name.startswith("column ")}
        assert columns <= {said["n"]}, path
    with_json = {path.with_suffix(".npz") for path in TRACKED}
    assert not set((ROOT / "data/cells").rglob("*.npz")) - with_json


def test_every_tracked_cells_commit_is_in_the_repository_or_a_note_says_why_not():
    git = ["git", "-C", str(ROOT)]
    shallow = subprocess.run([*git, "rev-parse", "--is-shallow-repository"], capture_output=True,
                             text=True)
    for path in TRACKED:
        said = json.loads(path.read_text())
        commit, note = said["commit"], said.get("note")
        if "(on main: " in commit:                           # the same change, as it was published
            commit = commit.partition("(on main: ")[2].rstrip(")")
        if note:
            assert "first stored with commit" in note, path
            commit = note.split()[-1]
        assert len(commit) >= 7 and set(commit) <= set("0123456789abcdef"), path
        if shallow.stdout.strip() == "false":                # else the history is not all here
            assert known(commit), path


@functools.cache
def known(commit) -> bool:
    return not subprocess.run(["git", "-C", str(ROOT), "cat-file", "-e", f"{commit}^{{commit}}"],
                              capture_output=True).returncode


# ---- files

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


def test_a_failed_write_leaves_nothing(place, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        cell("a", draw, {"n": 3})
    assert not [file for file in (place / "build/cells").rglob("*") if file.is_file()]


def test_config_version_name_and_function_make_the_key(place):
    cell("a", draw, {"n": 3})
    cell("a", draw, {"n": 3}, version=2)
    cell("a", draw, {"n": 3, "seed": 1})
    assert len(files_of(place)) == 3 and len(calls) == 3


@pytest.mark.parametrize(("compute", "config", "word"), [
    (draw, {"n": np.arange(3)}, "not JSON"), (draw, {"n": math.nan}, "not JSON"),
    (lambda: None, {}, "lambda"), (calls.append, {}, "function")])
def test_what_cannot_be_a_key_is_refused(compute, config, word):
    with pytest.raises(ValueError, match=word):
        cell("a", compute, config)


def test_compute_gets_what_json_keeps():
    assert cell("a", draw, {"n": 2}).config == [{"n": 2}]
    assert cell("b", echo, {"sizes": (1, 2)}).table.kind.tolist() == ["list"]


def echo(sizes):
    return pd.DataFrame({"kind": [type(sizes).__name__]}), {}


def test_comparable_is_a_judgement_and_no_new_run(place):
    cell("a", draw, {"n": 2})
    assert cell("a", draw, {"n": 2}, comparable="n = 2").comparable == "n = 2"
    assert calls == [2]
    assert json.loads(files_of(place)[0].read_text())["comparable"] == "n = 2"


# ---- sweeps, profiles

def sweep(**kwargs):
    return results.sweep("s", draw, quick=[{"n": 2}, {"n": 3}], paper=[{"n": 5}, {"n": 6}],
                         **kwargs)


def test_a_sweep_continues_after_an_interruption(place):
    results.sweep("s", draw, quick=[{"n": 2}], paper=[]).run()
    heavy = sweep(minutes={"quick": 1, "paper": 60}, comparable={"quick": "small", "paper": True})
    assert (heavy.done(), len(heavy.files), heavy.minutes) == (1, 2, 1)
    cell = heavy.run()
    assert calls == [2, 3] and heavy.done() == 2
    assert cell.table.part.tolist() == [0, 0, 1, 1, 1]
    assert (cell.n, len(cell.arrays["square"]), cell.comparable) == (5, 5, "small")
    assert [file.name[:5] for file in files_of(place)] == ["s-00-", "s-01-"]
    assert results._session.sweeps[1:] == [heavy]


def test_a_sweep_without_configs():
    heavy = results.sweep("s", draw, quick=[], paper=[])
    assert heavy.stored() is None
    with pytest.raises(ValueError, match="s has no configs in the profile quick"):
        heavy.run()


def test_quick_shows_what_paper_stored(place):
    assert sweep().stored() is None
    begin("paper")
    sweep().run()
    assert {file.parent for file in files_of(place)} == {place / "data/cells/99_fixture"}
    begin("quick")
    assert sweep().stored().n == 11
    assert sweep().done() == 0
    files_of(place)[0].unlink()
    assert sweep().stored() is None                          # one part is missing


def test_only_quick_depends_on_the_text_of_lib(place):
    (place / "lib").mkdir()
    for text in ("a = 1", "a = 2"):
        (place / "lib/a.py").write_text(text)
        for profile in runs.PROFILES:
            begin(profile)
            cell("a", draw, {"n": 2})
    assert len(calls) == 3


def test_quick_depends_on_the_text_of_the_module_that_a_function_comes_from(place, monkeypatch):
    monkeypatch.syspath_prepend(place)
    file, asked = place / "elsewhere.py", {"quick": [], "paper": []}
    for text in ("a = 1", "a = 2", "a = 1"):
        file.write_text(f"{text}\ndef f():\n    raise NotImplementedError\n")
        f = importlib.import_module("elsewhere").f
        for profile, names in asked.items():
            begin(profile)
            names += results.sweep("a", f, quick=[{}], paper=[{}]).files
    one, two, again = asked["quick"]
    assert one == again != two and len(set(asked["paper"])) == 1


# ---- published numbers

GOOD = {"paper": "p", "floats": {"fig1": {"title": "t", "product": "a"}}, "numbers": [
    {"float": "fig1", "row": "DLG", "column": "MNIST", "value": 0.0038, "certainty": "recalled"}]}


def publish(place, **changes):
    (place / "data/published/p.json").write_text(json.dumps(GOOD | changes))
    return results.published("p")


def test_published(place):
    table = publish(place)
    assert table.value.tolist() == [0.0038] and table.spread.isna().all()
    assert table.attrs["floats"]["fig1"]["product"] == "a"
    assert results.show(table.iloc[0]) == "0.0038 (recalled)"


@pytest.mark.parametrize(("number", "text"), [
    ({"value": 2.5, "spread": 0.1, "certainty": "read"}, "2.5 ± 0.1"),
    ({"value": 2.5, "spread": None, "certainty": "digitised"}, "2.5 (digitised)"),
    ({"value": None, "spread": None, "certainty": "quoted"}, "–")])
def test_show(number, text):
    assert results.show(number) == text


@pytest.mark.parametrize(("changes", "word"), [
    ({"numbers": [GOOD["numbers"][0] | {"certainty": "sure"}]}, "certainty"),
    ({"numbers": [GOOD["numbers"][0] | {"float": "fig7"}]}, "fig7"),
    ({"floats": {"fig1": {"title": "t"}}}, "fig1 needs"),
    ({"floats": {"fig1": {"title": "t", "product": "a", "reason": "b"}}}, "fig1 needs"),
    ({"floats": {"fig1": {"product": "a"}}}, "fig1 needs")])
def test_a_wrong_entry_is_named(place, changes, word):
    with pytest.raises(ValueError, match=word):
        publish(place, **changes)


def test_published_numbers_of_an_unknown_paper():
    with pytest.raises(ValueError, match="'nobody'"):
        results.published("nobody")


def test_every_published_file_is_well_formed(monkeypatch):
    monkeypatch.undo()
    for file in (runs.ROOT / "data/published").glob("*.json"):
        results.published(file.stem)


# ---- products

def test_figures_have_the_same_bytes_twice(place):
    products, bytes_ = place / "build/quick/99_fixture", []
    for _ in range(2):
        figure, axes = plt.subplots()
        axes.plot([1, 2, 3])
        results.save_figure(figure, "fig1", "A straight line that rises from one to three.")
        plt.close(figure)
        bytes_.append([(products / f"fig1.{kind}").read_bytes() for kind in ("png", "pdf")])
    assert bytes_[0] == bytes_[1]
    assert b"CreationDate" not in bytes_[0][1] and b"Software" not in bytes_[0][0]


def test_a_users_matplotlibrc_changes_no_byte(place, monkeypatch):
    own = {"font.size": 20, "lines.linewidth": 5, "savefig.facecolor": "red", "axes.grid": True,
           "pdf.compression": 0, "path.simplify": False, "figure.autolayout": True}
    bytes_ = []
    for settings in ({}, own):
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(settings)                 # as matplotlib does when it is loaded
        begin()
        figure, axes = plt.subplots()
        axes.plot([1, 2, 3], label="a word")
        axes.legend()
        results.save_figure(figure, "fig1", "A straight line that rises from one to three.")
        plt.close(figure)
        bytes_.append([(place / f"build/quick/99_fixture/fig1.{kind}").read_bytes()
                       for kind in ("png", "pdf")])
    assert bytes_[0] == bytes_[1]
    assert matplotlib.rcParams["font.sans-serif"] == ["DejaVu Sans"]


@pytest.mark.parametrize(("settings", "word"), [
    ({"notebook": ""}, "notebook"), ({"notebook": "a/b"}, "without folders"),
    ({"notebook": None}, "notebook"), ({"run": "quick"}, "run.start")])
def test_a_wrong_start_is_named(settings, word):
    right = {"notebook": "99_fixture", "run": runs.current()}
    with pytest.raises(ValueError, match=word):
        results.start(**right | settings)


@pytest.mark.parametrize("value", ["yes", "2", "True", " 1"])
def test_fresh_is_one_or_zero(monkeypatch, value):
    monkeypatch.setenv("FRESH", value)
    with pytest.raises(ValueError, match=f"FRESH={value}: it is 1"):
        begin()


@pytest.mark.parametrize("value", ["", "0"])
def test_fresh_zero_reads_what_is_stored(monkeypatch, value):
    cell("a", draw, {"n": 2})
    monkeypatch.setenv("FRESH", value)
    begin()
    cell("a", draw, {"n": 2})
    assert calls == [2]


def test_a_figure_has_alternative_text(place):
    figure, text = plt.figure(), "A straight line that rises from one to three."
    for name in ("fig1", "fig2"):
        results.save_figure(figure, name, text)
    kept = json.loads((place / "build/quick/99_fixture/figures.json").read_text())
    assert kept == {"fig1": text, "fig2": text}
    with pytest.raises(ValueError, match="fig3"):
        results.save_figure(figure, "fig3", "a line")
    plt.close(figure)


def test_a_plot_gets_smaller_and_a_photograph_keeps_its_colours():
    def png(pixels):
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "png")
        return file.getvalue()

    ramp = np.arange(200, dtype=np.uint8)
    plot = png(np.stack([ramp[None].repeat(200, 0), ramp[:, None] // 8 * 8 + 0 * ramp,
                         np.full((200, 200), 9, np.uint8)], -1))
    few = results.small_png(plot)
    before, after = (np.asarray(Image.open(io.BytesIO(p)).convert("RGB"), int) for p in (plot, few))
    assert Image.open(io.BytesIO(few)).mode == "P" and abs(before - after).max() <= 16
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert (np.asarray(Image.open(io.BytesIO(results.small_png(png(noise))))) == noise).all()


def test_tables_reasons_and_provenance(place):
    products = place / "build/quick/99_fixture"
    results.save_table(pd.DataFrame({"a": [1.5]}), "plain")
    results.save_table(pd.DataFrame({"a": [1.5]}, index=["x"]), "named")
    results.save_timings(pd.DataFrame({"seconds": [1]}))
    results.not_made("fig2", "no data")
    results.not_made("fig3", "no people")
    assert (products / "plain.csv").read_text() == "a\n1.5\n"
    assert (products / "named.csv").read_text() == ",a\nx,1.5\n"
    assert (products / "timings.csv").exists()
    assert json.loads((products / "reasons.json").read_text()) == {
        "fig2": "no data", "fig3": "no people"}
    about = json.loads((products / "about.json").read_text())
    assert (about["paper"], about["profile"]) == ("fixture", "quick")


# ---- claims

def test_the_ledger(place, capsys):
    ledger = results.Ledger()
    ledger.add("a", "an ordering", np.bool_(True), "margin > 0", 0.3, 8)
    ledger.add("b", "a regime", None, "n >= 30", "n = 8", 8)
    ledger.add("c", "one run", False, "x > 1", 0.2, 1, stable=False)
    ledger.verdicts()
    assert capsys.readouterr().out == "a: True\nb: None\n"
    ledger.save()
    saved = pd.read_csv(place / "build/quick/99_fixture/claims.csv", keep_default_na=False)
    assert saved.verdict.astype(str).tolist() == ["True", "None", "False"]
    assert ledger.table().id.tolist() == ["a", "b", "c"]


def test_the_ledger_checks_its_claims():
    ledger = results.Ledger()
    ledger.add("a", "", True, "", 0, 1)
    with pytest.raises(ValueError, match="already"):
        ledger.add("a", "", True, "", 0, 1)
    for verdict in (1, "True", 0.0):
        with pytest.raises(TypeError, match="True, False or None"):
            ledger.add("b", "", verdict, "", 0, 1)


@pytest.mark.parametrize(("good", "n", "verdict"), [
    (8, 8, True), (0, 8, False), (5, 8, None), (59, 100, None), (61, 100, True), (0, 0, None)])
def test_a_share_is_decided_by_its_interval(good, n, verdict):
    assert results.decide(good, n)[0] is verdict


def test_means_are_told_apart_only_where_they_differ():
    a, b = [1.0, 1.1, 0.9], [2.0, 2.1, 1.9]
    assert results.decide_greater(b, a)[0] is True and results.decide_greater(a, b)[0] is False
    assert results.decide_greater(a, [0.5, 1.0, 1.6])[0] is None
    assert results.decide_greater([1.0], b)[0] is None
    near = [1.1, 5.1, 2.2, 9.1]
    assert results.decide_greater(near, [1, 5, 2, 9])[0] is None
    assert results.decide_greater(near, [1, 5, 2, 9], paired=True)[0] is True
    assert results.decide_greater(near, [1, 5, 2, 9], paired=True, level=1e-6)[0] is None


def test_wilsons_interval_is_scipys_and_takes_fractions():
    for good, n in ((0, 8), (3, 8), (8, 8)):
        expected = stats.binomtest(good, n).proportion_ci(method="wilson")
        assert results._wilson(good, n) == pytest.approx(tuple(expected))
    assert results._wilson(3, 8) < results._wilson(3.5, 8) < results._wilson(4, 8)


def test_shares_are_compared_by_newcombes_interval():
    verdict, measured = results.decide_fewer((48, 80), (56, 70))   # Newcombe 1998, table II (a)
    assert verdict is True and "[-33, -5]" in measured
    assert results.decide_fewer((56, 70), (48, 80))[0] is False
    assert results.decide_fewer((5, 10), (6, 10))[0] is None
    assert results.decide_fewer((0, 0), (6, 10)) == (None, "0/0")


def test_a_long_table_keeps_its_numbers_in_the_npz(place):
    n = results.LONG + 1
    first, again = cell("long", draw, {"n": n}), cell("long", draw, {"n": n})
    pd.testing.assert_frame_equal(first.table, again.table)
    made, _ = draw(n)
    pd.testing.assert_frame_equal(again.table.drop(columns="part", errors="ignore"), made)
    document = json.loads(files_of(place)[0].read_text())
    assert document["table"]["value"] is None and document["table"]["name"][:1] == ["row 0"]
    assert set(again.arrays) == {"square"} and len(calls) == 2
