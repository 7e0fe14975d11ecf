"""studies/cells.py: a stored cell is whole, the same twice, and what would be lost is refused."""

import json
import math
import os

import numpy as np
import pandas as pd
import pytest
from storing import DAMAGES, begin, calls, cell, draw, files_of

from lib import files
from studies import cells

pytestmark = pytest.mark.usefixtures("place")


def odd():
    """What JSON has no word for."""
    return pd.DataFrame({"psnr": [math.inf, -math.inf, math.nan, 1.0], "rank": [1, 2, 3, 4],
                         "label": ["NaN", None, "", "Infinity"]}), {}


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


def test_a_long_table_keeps_its_numbers_in_the_npz(place):
    n = cells.LONG + 1
    first, again = cell("long", draw, {"n": n}), cell("long", draw, {"n": n})
    pd.testing.assert_frame_equal(first.table, again.table)
    drawn, _ = draw(n)
    pd.testing.assert_frame_equal(again.table.drop(columns="part", errors="ignore"), drawn)
    document = json.loads(files_of(place)[0].read_text())
    assert document["table"]["value"] is None and document["table"]["name"][:1] == ["row 0"]
    assert set(again.arrays) == {"square"} and len(calls) == 2


def test_the_digest_is_of_all_that_a_cell_holds(place):
    cell("a", draw, {"n": 3})
    document, arrays = cells.load(files_of(place)[0])
    digest = cells.digest(document, arrays)
    assert document["digest"] == digest
    assert cells.digest(document | {"digest": ""}, arrays) == digest
    assert cells.digest(document | {"n": 4}, arrays) != digest
    assert cells.digest(document, {"cube": arrays["square"]}) != digest
    assert cells.digest(document, {"square": arrays["square"][None]}) != digest
    assert cells.digest(document, {"square": arrays["square"].view(np.int32)}) != digest


def test_a_judgement_written_again_keeps_the_digest_right(place):
    cell("a", draw, {"n": 2})
    file = files_of(place)[0]
    before, arrays = cells.load(file)
    cells.judge(file, "n = 2")
    after, same = cells.load(file)
    assert after["comparable"] == "n = 2"
    assert np.array_equal(arrays["square"], same["square"])
    differ = [key for key in before if before[key] != after[key]]
    assert sorted(differ) == ["comparable", "digest"]


def test_a_cell_of_another_identity_is_not_taken_for_this_one(place):
    cell("a", draw, {"n": 2})
    file = files_of(place)[0]
    document, _ = cells.load(file)
    right = {key: document[key] for key in ("function", "config", "version", "code")}
    assert cells.read(file, right).n == 2
    assert cells.read(file.with_name("other.json"), right) is None
    for key in right:
        with pytest.raises(cells.Damaged, match="another config"):
            cells.read(file, right | {key: "other"})


@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_what_is_damaged_is_named_in_one_line(place, harm):
    cell("a", draw, {"n": 3})
    file = files_of(place)[0]
    document, _ = cells.load(file)
    identity = {key: document[key] for key in ("function", "config", "version", "code")}
    harm(file)
    with pytest.raises(cells.Damaged, match="^damaged: build/cells/99_fixture/a-00-") as damaged:
        cells.read(file, identity)
    assert "\n" not in str(damaged.value)


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


# ---- parts

def piece(arrays, comparable=True, device="cpu"):
    return cells.Cell(pd.DataFrame({"a": [1]}), arrays, {}, 1, 0.5, device, "2.11", "abc",
                      comparable)


def test_parts_are_joined_in_order():
    two = [piece({"x": np.zeros((1, 2))}), piece({"x": np.ones((2, 2))}, "reduced", "gpu")]
    joined = cells.joined(two, "paper")
    assert joined.table.part.tolist() == [0, 1]
    assert joined.arrays["x"][:, 0].tolist() == [0, 1, 1]
    assert (joined.n, joined.seconds, joined.device) == (2, 1.0, "cpu, gpu")
    assert (joined.comparable, joined.profile) == ("reduced", "paper")


# ---- what is not storable

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


def test_a_failed_write_leaves_nothing(place, monkeypatch):
    monkeypatch.setattr(files.os, "fsync", lambda _: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        cell("a", draw, {"n": 3})
    assert not [file for file in (place / "build/cells").rglob("*") if file.is_file()]
