"""studies/choose.py: which cells a page shows of several sweeps."""

import pytest
from storing import begin, calls, draw

from studies import choose, store

pytestmark = pytest.mark.usefixtures("place")


@pytest.fixture
def sweeps():
    """Of a quick run: "both" and "stored" are tracked, "both" and "quick" this run can compute, and
    nobody has "none"."""
    begin("paper")
    for sweep in declared().values():
        sweep.here()
    begin("quick")
    calls.clear()
    return declared()


def declared():
    configs = {"both": ([{"n": 2}], [{"n": 5}]), "stored": ([], [{"n": 6}]),
               "quick": ([{"n": 3}], []), "none": ([], [])}
    return {name: store.Sweep(name, draw, quick=quick, paper=paper)
            for name, (quick, paper) in configs.items()}


def counts(cells):
    return {key: cell.n for key, cell in cells.items()}


def test_what_is_here_and_what_is_stored(sweeps):
    assert counts(choose.stored_of(sweeps)) == {"both": 5, "stored": 6}
    assert not calls
    assert counts(choose.here_of(sweeps)) == {"both": 2, "quick": 3}


def test_each_is_shown_as_its_sweep_chooses(sweeps):
    assert counts(choose.shown_of(sweeps)) == {"both": 5, "stored": 6, "quick": 3}
    assert counts(choose.shown_of(sweeps, other=False)) == {"both": 5, "stored": 6}
    assert counts(choose.shown_of(sweeps, "run")) == {"both": 2, "stored": 6, "quick": 3}
    assert counts(choose.shown_of(sweeps, "run", other=False)) == {"both": 2, "quick": 3}
    with pytest.raises(ValueError, match="first"):
        choose.shown_of(sweeps, "quick")


def of(sweeps, *names):
    return {name: sweeps[name] for name in names}


def test_together_no_profile_is_mixed(sweeps):
    tracked, quick = of(sweeps, "both", "stored"), of(sweeps, "both", "quick")
    assert counts(choose.shown_of(tracked, together=True)) == {"both": 5, "stored": 6}
    assert counts(choose.shown_of(tracked, "run", together=True)) == {"both": 5, "stored": 6}
    assert counts(choose.shown_of(quick, together=True)) == {"both": 2, "quick": 3}
    assert counts(choose.shown_of(quick, "run", together=True)) == {"both": 2, "quick": 3}
    assert choose.shown_of(quick, other=False, together=True) == {}
    assert choose.shown_of(of(sweeps, "stored", "quick"), together=True) == {}


def test_runs_side_by_side(sweeps):
    runs = choose.by_run(sweeps)
    assert {run: counts(cells) for run, cells in runs.items()} == {
        "paper profile, stored": {"both": 5, "stored": 6},
        "this run, quick": {"both": 2, "quick": 3}}
    assert list(choose.by_run(of(sweeps, "quick", "none"))) == [choose.QUICK]
    assert choose.by_run(of(sweeps, "none")) == choose.by_run({}) == {}


def test_a_run_of_the_paper_profile_computes_and_has_one_run():
    begin("paper")
    assert choose.stored_of(declared()) == {} and not calls
    runs = choose.by_run(declared())
    assert calls == [5, 6] and counts(runs.pop("paper profile, stored")) == {"both": 5, "stored": 6}
    assert not runs
