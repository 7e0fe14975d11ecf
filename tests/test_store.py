"""studies/store.py: a sweep is computed once, continues, and never shows another's cell."""

import json
import math

import numpy as np
import pandas as pd
import pytest
from storing import DAMAGES, begin, calls, cell, draw, files_of, of_images

from lib import run as runs
from studies import cells, report, store

pytestmark = pytest.mark.usefixtures("place")
CATS = {"n": 3, "images": {"name": "cats_dogs"}}  # a set that is not here


def sweep(**more):
    return store.Sweep("s", draw, quick=[{"n": 2}, {"n": 3}], paper=[{"n": 5}, {"n": 6}], **more)


def test_nothing_without_start(monkeypatch):
    monkeypatch.setattr(store, "_study", None)
    with pytest.raises(RuntimeError, match="report.start"):
        cell("a", draw, {"n": 2})


@pytest.mark.parametrize(("settings", "word"), [
    ({"notebook": ""}, "notebook"), ({"notebook": "a/b"}, "without folders"),
    ({"notebook": None}, "notebook"), ({"run": "quick"}, "run.start")])
def test_a_wrong_start_is_named(settings, word):
    right = {"notebook": "99_fixture", "run": runs.current()}
    with pytest.raises(ValueError, match=word):
        store.start(**right | settings)


# ---- run

def test_a_cell_is_computed_once():
    first, second = (cell("a", draw, {"n": 3}) for _ in range(2))
    assert calls == [3]
    pd.testing.assert_frame_equal(first.table, second.table)
    assert np.array_equal(first.arrays["square"], second.arrays["square"])
    assert first.arrays["square"].dtype == np.float32
    assert (first.n, first.config, first.comparable) == (3, [{"n": 3}], True)
    assert first.profile == "quick"


def test_a_sweep_continues_after_an_interruption(place):
    store.Sweep("s", draw, quick=[{"n": 2}], paper=[]).run()
    heavy = sweep(minutes={"quick": 1, "paper": 60}, comparable={"quick": "small", "paper": True})
    assert (heavy.done(), len(heavy.files), heavy.minutes) == (1, 2, 1)
    joined = heavy.run()
    assert calls == [2, 3] and heavy.done() == 2
    assert joined.table.part.tolist() == [0, 0, 1, 1, 1]
    assert (joined.n, len(joined.arrays["square"]), joined.comparable) == (5, 5, "small")
    assert [file.name[:5] for file in files_of(place)] == ["s-00-", "s-01-"]
    assert store.current().sweeps[1:] == [heavy]


def interrupted(n):
    if n == 3 and 3 not in calls:
        calls.append(n)
        raise KeyboardInterrupt
    return draw(n)


def test_an_interrupted_run_keeps_what_is_done(place):
    heavy = store.Sweep("s", interrupted, quick=[{"n": 2}, {"n": 3}, {"n": 4}], paper=[])
    with pytest.raises(KeyboardInterrupt):
        heavy.run()
    assert heavy.done() == 1 and len(files_of(place)) == 1
    begin()
    again = store.Sweep("s", interrupted, quick=[{"n": 2}, {"n": 3}, {"n": 4}], paper=[])
    assert again.run().n == 9
    assert calls == [2, 3, 3, 4]


def test_a_sweep_without_configs():
    heavy = store.Sweep("s", draw, quick=[], paper=[])
    assert heavy.stored() is None and heavy.here() is None and heavy.shown() is None
    assert heavy.describe() == "–"
    with pytest.raises(ValueError, match="s has no configs in the profile quick"):
        heavy.run()


def test_comparable_is_a_judgement_and_no_new_run(place):
    cell("a", draw, {"n": 2})
    assert cell("a", draw, {"n": 2}, comparable="n = 2").comparable == "n = 2"
    assert calls == [2]
    assert json.loads(files_of(place)[0].read_text())["comparable"] == "n = 2"
    assert cells.load(files_of(place)[0])[0]["comparable"] == "n = 2"


def test_compute_gets_what_json_keeps():
    assert cell("a", draw, {"n": 2}).config == [{"n": 2}]
    assert cell("b", echo, {"sizes": (1, 2)}).table.kind.tolist() == ["list"]


def echo(sizes):
    return pd.DataFrame({"kind": [type(sizes).__name__]}), {}


# ---- FRESH

def test_fresh_computes_once_a_process(monkeypatch):
    cell("a", draw, {"n": 2})
    monkeypatch.setenv("FRESH", "1")
    begin()
    for _ in range(2):
        cell("a", draw, {"n": 2})
    assert calls == [2, 2]


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


def test_fresh_leaves_what_cannot_be_computed_here(monkeypatch):
    begin("paper")
    cell("a", of_images, CATS)
    heavy = store.Sweep("b", draw, quick=[], paper=[{"n": 2}], gpu=True)
    monkeypatch.setattr(heavy, "gpu", False)
    heavy.run()
    monkeypatch.setenv("FRESH", "1")
    begin("paper")
    assert store.Sweep("a", of_images, quick=[], paper=[CATS]).here().n == 3
    assert store.Sweep("b", draw, quick=[], paper=[{"n": 2}], gpu=True).here().n == 2
    assert calls == [3, 2]


# ---- here, stored, shown

def test_quick_shows_what_paper_stored(place):
    assert sweep().stored() is None
    begin("paper")
    sweep().run()
    assert {file.parent for file in files_of(place)} == {place / "data/cells/99_fixture"}
    begin("quick")
    assert sweep().stored().n == 11 and sweep().stored().profile == "paper"
    assert sweep().done() == 0
    files_of(place)[0].unlink()
    assert sweep().stored() is None                          # one part is missing


def test_a_page_shows_the_stored_cell_else_this_runs():
    heavy = sweep()
    assert heavy.shown(other=False) is None and not calls    # nothing is stored
    assert heavy.shown().profile == "quick"
    begin("paper")
    assert sweep().shown().profile == "paper"                # computed, and stored by it
    assert calls == [2, 3, 5, 6]
    begin("quick")
    assert sweep().shown().n == 11 and sweep().shown(other=False).n == 11
    assert sweep().shown(first="run").n == 5
    with pytest.raises(ValueError, match="first"):
        sweep().shown(first="quick")


def test_this_runs_cell_goes_first_where_that_is_asked():
    begin("paper")
    sweep().run()
    begin("quick")
    only_paper = store.Sweep("s", draw, quick=[], paper=[{"n": 5}, {"n": 6}])
    assert only_paper.shown(first="run").n == 11
    assert only_paper.shown(first="run", other=False) is None


def test_a_cell_without_its_images_is_read_or_not_there(place):
    begin("paper")
    heavy = store.Sweep("a", of_images, quick=[], paper=[CATS])
    assert heavy.here() is None and not calls
    cell("a", of_images, CATS)
    assert heavy.here().n == 3                               # stored: no images are needed
    DAMAGES["number"](files_of(place)[0])
    with pytest.raises(cells.Damaged, match="a-00-"):
        heavy.here()
    files_of(place)[0].unlink()
    assert heavy.here() is None                              # missing: not computed, as before


def of_generator(generator):
    return draw(generator["n"])


def test_images_of_a_generator_are_asked_for_too():
    heavy = store.Sweep("a", of_generator, quick=[{"generator": CATS}], paper=[])
    assert heavy.here() is None and not calls
    assert store.Sweep("b", draw, quick=[{"n": 2, "seed": 1}], paper=[]).here().n == 2


def of_nothing(generator, victim):
    return draw(1)


def test_a_config_may_say_none():
    config = {"generator": None, "victim": None}
    assert store.Sweep("a", of_nothing, quick=[config], paper=[]).here().n == 1


def test_what_needs_a_gpu_is_not_computed_on_a_cpu():
    for gpu in (True, {"quick": True, "paper": False}):
        assert sweep(gpu=gpu).here() is None
    assert sweep(gpu={"paper": True}).here().n == 5
    assert calls == [2, 3]


def test_a_sweep_describes_its_settings():
    config = {"images": {"name": "cifar10", "classes": 10}, "clients": [0, 4], "batch_size": 2,
              "victim": {"name": "resnet", "depth": 20, "width": 16},
              "attack": {"name": "dlg", "iterations": 2400}}
    heavy = store.Sweep("a", draw, quick=[{"n": 2}], paper=[config, config | {"clients": [4, 8]}])
    assert heavy.describe("paper") == ("cifar10, 10 random labels; ResNet-20, width 16; "
                                       "8 clients of 2 images; 2,400 iterations")
    assert heavy.describe() == ""
    assert store.in_words([{"clients": 1, "attack": None}]) == "1 client"
    assert store.victim_in_words({"name": "dense", "hidden": [8]}) == "dense layers"


# ---- damage: nothing that was changed after it was stored is ever shown

@pytest.mark.parametrize("harm", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_cell_is_computed_again_and_that_is_said(place, capsys, harm):
    whole = cell("a", draw, {"n": 3})
    harm(files_of(place)[0])
    begin()
    assert store.Sweep("a", draw, quick=[{"n": 3}], paper=[]).done() == 0
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
    heavy = store.Sweep("a", draw, quick=[], paper=[{"n": 3}])
    with pytest.raises(cells.Damaged, match="damaged: data/cells/99_fixture/a-00-") as damaged:
        heavy.stored()
    assert "\n" not in str(damaged.value)
    assert len(calls) == 1


def test_make_plan_is_told_of_damage(place):
    cell("a", draw, {"n": 3})
    heavy = store.Sweep("a", draw, quick=[{"n": 3}], paper=[])
    heavy.check()
    DAMAGES["npz pixel"](files_of(place)[0])
    with pytest.raises(cells.Damaged):
        heavy.check()
    assert heavy.done() == 0


# ---- what a sweep refuses

@pytest.mark.parametrize(("compute", "config", "word"), [
    (draw, {"n": np.arange(3)}, "not JSON"), (draw, {"n": math.nan}, "not JSON"),
    (lambda: None, {}, "lambda"), (calls.append, {}, "function")])
def test_what_cannot_be_a_key_is_refused(compute, config, word):
    with pytest.raises(ValueError, match=word):
        cell("a", compute, config)


@pytest.mark.parametrize(("notes", "word"), [
    ({"comparable": False}, "comparable of s"), ({"comparable": ""}, "comparable of s"),
    ({"comparable": {"paper": True}}, "comparable of s"),
    ({"minutes": -1}, "minutes"), ({"minutes": {"quick": "a"}}, "minutes"), ({"gib": "a"}, "gib"),
    ({"gpu": "cuda"}, "gpu"), ({"gpu": {"quik": True}}, "gpu of s"),
    ({"minutes": {"Paper": 3}}, "minutes of s")])
def test_a_wrong_note_is_named(notes, word):
    with pytest.raises(ValueError, match=word):
        sweep(**notes)


def test_products_lie_apart_where_that_is_asked(place, monkeypatch):
    assert store.current().product("a.csv") == place / "build/quick/99_fixture/a.csv"
    monkeypatch.setenv("PRODUCTS", str(place / "elsewhere"))
    report.save_table(pd.DataFrame({"a": [1]}), "a")
    assert (place / "elsewhere/99_fixture/a.csv").read_text() == "a\n1\n"


def test_a_page_shows_this_runs_cell_where_none_is_stored(place):
    begin("quick")
    both = {"quick": [{"n": 3}], "paper": [{"n": 5}]}
    heavy = store.Sweep("a", draw, **both)
    assert heavy.shown().profile == "quick" and heavy.shown(other=False) is None
    begin("paper")
    store.Sweep("a", draw, **both).run()
    begin("quick")
    heavy = store.Sweep("a", draw, **both)
    assert heavy.shown().profile == "paper" and heavy.shown("run").profile == "quick"


def test_images_to_look_among_have_to_be_here_too(place):
    """Else a run without data would compute for hours what it cannot finish."""
    here = {"images": {"name": "digits"}}
    assert store.images_are_here([here])
    assert not store.images_are_here([here | {"among": {"name": "nowhere"}}])
    assert not store.images_are_here([here | {"generator": {"images": {"name": "nowhere"}}}])
