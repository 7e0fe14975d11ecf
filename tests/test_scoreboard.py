"""The scoreboard is in step with the tracked claims and results; its parts say what they should."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from lib import run as runs
from studies import report, store
from tools import plan, run_notebook, scoreboard

ROOT = Path(__file__).resolve().parents[1]
CLAIMS = sorted((ROOT / "figures").glob("*/*/claims.csv"))


def test_it_is_in_step_with_what_is_committed(monkeypatch, capsys):
    inside = subprocess.run(["git", "ls-files", "--error-unmatch", "SCOREBOARD.md"],
                            cwd=runs.ROOT, capture_output=True)
    if inside.returncode:
        assert not (runs.ROOT / ".git").exists(), "SCOREBOARD.md is not tracked"
        pytest.skip("no git here")
    for name, text in {"PROFILE": "quick", "SEED": "3", "FRESH": "1", "PRODUCTS": ""}.items():
        monkeypatch.setenv(name, text)  # it sets its own, for its process: put back after
    for name in ("DEVICE", "DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(store, "_study", None)
    monkeypatch.setattr(runs, "_current", None)
    monkeypatch.setattr(sys, "argv", ["tools/scoreboard.py", "--check"])
    monkeypatch.chdir(ROOT)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path("tools/scoreboard.py", run_name="__main__")
    assert not ended.value.code, capsys.readouterr().out


# ---- the tracked claims

@pytest.mark.parametrize("file", CLAIMS, ids=lambda path: "-".join(path.parts[-3:-1]))
def test_every_claim_has_an_origin_a_unit_and_floats_that_exist(file):
    ledger = pd.read_csv(file, dtype=str, keep_default_na=False)
    assert {"origin", "float", "unit"} <= set(ledger.columns), "make figures writes them"
    about = json.loads((ROOT / "figures/paper" / file.parts[-2] / "about.json").read_text())
    paper = about["paper"]
    published = report.published(paper).attrs["floats"] if paper else {}
    for claim in ledger.itertuples():
        assert set(claim.float.split()) <= set(published), claim.id
        assert claim.unit and claim.unit == claim.unit.strip(), claim.id
        report._check_origin(claim.id, claim.origin)


# ---- its parts

class Files:
    """Two claims files, as the notebooks write them."""

    def __init__(self, paper, quick):
        head = "id,claim,verdict,rule,measured,n,stable,origin,float,unit\n"
        self.texts = {"paper": head + paper, "quick": head + quick}

    def read(self, path):
        return self.texts[path.parts[-3]]


NUMBERS = pd.DataFrame(
    [["fig3", "DLG", "MNIST", 0.5, np.nan, "recalled"], ["r5", "DLG", None, 2.0, 0.1, "read"],
     *[["table1", "DLG", str(n), n, np.nan, "read"] for n in range(5)]],
    columns=["float", "row", "column", "value", "spread", "certainty"])


def rows_of(paper, quick):
    lines = scoreboard.claims_table(Files(paper, quick), "99_some", NUMBERS).splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


PAPER = "a,the image leaks,True,r,7 of 8,8,True,read,fig3,image\n" \
        "b,in batches,None,r,1 of 2,2,True,read,,batch\n" \
        "c,it hurts,False,r,0 of 4,4,True,ours,,client\n" \
        "d,nor does,None,r,0/0,0,True,\"the paper, unmarked\",,image\n" \
        "e,it is slow,True,r,1 of 1,1,True,\"third party, quoted\",fig3 r5,network\n" \
        "f,all of them,True,r,5 of 5,5,True,recalled,table1,entry\n"


def test_a_claim_has_origin_verdict_numbers_and_n():
    assert rows_of(PAPER, PAPER) == [
        ["the image leaks", "read; DLG, MNIST: 0.5 (recalled)", "**holds**", "7 of 8", "8 images",
         "same"],
        ["in batches", "read", "**undecided**", "1 of 2", "2 batches", "same"],
        ["it hurts", "ours", "**fails**", "0 of 4", "4 clients", "same"],
        ["nor does", "–", "**not computed**", "0/0", "0 images", "same"],
        ["it is slow", "third party, quoted; DLG, MNIST: 0.5 (recalled); DLG: 2 ± 0.1",
         "**holds**", "1 of 1", "1 network", "same"],
        ["all of them", "recalled", "**holds**", "5 of 5", "5 entries", "same"]]


def test_a_quick_verdict_of_its_own_stands_beside():
    quick = PAPER.replace("True,r,7 of 8,8", "False,r,1 of 8,8").replace("c,it", "g,it")
    assert [row[-1] for row in rows_of(PAPER, quick)] == [
        "fails: 1 of 8 (8 images)", "same", "–", "same", "same", "same"]


def test_claims_without_an_origin_say_what_makes_them():
    class Old(Files):
        def read(self, path):
            return "id,claim,verdict,rule,measured,n,stable\na,b,True,r,1,1,True\n"

    with pytest.raises(SystemExit, match="no column float, origin, unit: make figures PROFILE=qui"):
        scoreboard.claims(Old("", ""), "quick", "99_some")


@pytest.mark.parametrize(("n", "unit", "text"), [
    (1, "image", "1 image"), ("1", "batch", "1 batch"), (2, "image", "2 images"),
    ("0", "client", "0 clients"), (3, "batch", "3 batches"), (3, "class", "3 classes"),
    (2, "entry", "2 entries"), (2, "day", "2 days"), (2, "curve", "2 curves")])
def test_n_is_told_with_its_unit(n, unit, text):
    assert scoreboard.counted(n, unit) == text


def test_counts_and_cells_of_a_table():
    assert scoreboard.counts(["holds", "undecided", "holds"]) == [2, 0, 1, 0]
    assert scoreboard.table(["a"], [["x | y\nz"]]).splitlines()[-1] == r"| x \| y z |"


def test_many_published_numbers_are_cut():
    said = scoreboard.told(NUMBERS[NUMBERS.float == "table1"], 2)
    assert said == "DLG, 0: 0; DLG, 1: 1; and 3 more"


def test_what_is_stored_and_what_is_not():
    cells = [{"comparable": True, "device": "a GPU"}, {"comparable": "n = 3", "device": "a CPU"}]
    results = scoreboard.Stored(cells, {"one": (1, 1), "two": (2, 5)})
    first, reasons, last = results.text()
    assert first.startswith("2 stored results of the paper profile, computed on a CPU; a GPU. 1 of")
    assert "| n = 3 | 1 |" in reasons and results.left() == 3
    assert last == "Not computed here: one; two (2 of 5 parts)."
    assert scoreboard.Stored(cells[:1], {}).text()[1:] == ["Not computed here: nothing."]


def test_a_readme_without_its_place_is_refused(monkeypatch):
    monkeypatch.setattr(scoreboard, "papers", lambda files: {})
    for name in ("PROFILE", "PRODUCTS"):
        monkeypatch.setenv(name, "")                         # `written` sets them

    class Bare(scoreboard.OnDisk):
        @staticmethod
        def read(path):
            return "# Title"

    with pytest.raises(SystemExit, match=r"README\.md needs the lines"):
        scoreboard.written(Bare)


# ---- the sweeps that it counts

@pytest.fixture
def alone(monkeypatch, tmp_path):
    """A notebook that is none of ours, in a folder of its own."""
    for name in ("SEED", "DEVICE", "FRESH", "DATA_ROOT", "PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRODUCTS", str(tmp_path / "products"))
    monkeypatch.setattr(store, "_study", None)
    monkeypatch.setattr(runs, "_current", None)
    monkeypatch.setattr(run_notebook, "NOTEBOOKS", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path


def test_a_notebook_of_ones_own_declares_its_sweeps_itself(alone, monkeypatch):
    text = (ROOT / "tests/fixture/99_fixture.py").read_text()
    (alone / "99_fixture.py").write_text(text)
    for profile, n in (("quick", 3), ("paper", 9)):
        monkeypatch.setenv("PROFILE", profile)
        sweep, = plan.declared("99_fixture")
        assert (sweep.name, len(sweep.files)) == ("waits", 6)
        assert sweep.configs[profile][0] == {"n": n, "seed": 0}
    monkeypatch.setenv("SEED", "5")
    sweep, = plan.declared("99_fixture")
    assert sweep.configs["paper"][0] == {"n": 9, "seed": 5}


@pytest.mark.parametrize("profile", ["quick", "paper"])
def test_a_studys_plan_is_asked_for_its_sweeps(alone, monkeypatch, profile):
    monkeypatch.setenv("PROFILE", profile)
    monkeypatch.setenv("SEED", "5")
    asked = []

    class Plan:
        @staticmethod
        def declare(run):
            asked.append((run.profile, run.seed))
            store.Sweep("one", Files.read, [{"n": run.seed}], [])

    monkeypatch.setattr(plan, "there", lambda module: True)
    monkeypatch.setattr(plan.importlib, "import_module", {"studies.some.plan": Plan}.get)
    sweeps = plan.declared("08_some")
    assert asked == [(profile, 5)]
    assert [sweep.name for sweep in sweeps] == ["one"] and sweeps[0].study.notebook == "08_some"


def test_the_folders_of_studies_are_those_of_the_notebooks():
    names = {path.stem.partition("_")[2] for path in (ROOT / "notebooks").glob("[0-9][0-9]_*.py")}
    assert names == {path.parent.name for path in (ROOT / "studies").glob("*/__init__.py")}


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py")),
                         ids=lambda path: path.stem)
def test_a_notebook_of_ours_has_its_plan_in_its_study(path):
    assert plan.there(f"studies.{path.stem.partition('_')[2]}.plan")
    assert 'tags=["plan"]' not in path.read_text()
