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
from studies import ledger as ledgers
from studies import report, store
from studies.ledger import counted
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
    assert set(scoreboard.COLUMNS) <= set(ledger.columns), "make figures writes them"
    assert set(ledger.verdict) <= set(scoreboard.WORDS)
    about = json.loads((ROOT / "figures/paper" / file.parts[-2] / "about.json").read_text())
    paper = about["paper"]
    published = report.published(paper).attrs["floats"] if paper else {}
    for claim in ledger.itertuples():
        assert set(claim.float.split()) <= set(published), claim.id
        assert claim.unit and claim.unit == claim.unit.strip(), claim.id
        ledgers._check_origin(claim.id, claim.origin)
        assert claim.kind in ("claim", scoreboard.CHECK), claim.id
        assert claim.undecided or claim.verdict != "not tested", claim.id
        few = claim.networks and int(claim.networks) < ledgers.ENOUGH
        decided = claim.kind == "claim" and claim.verdict in ("True", "False")
        assert not (few and decided), f"{claim.id}: decided on {claim.networks} networks"


# ---- its parts

HEAD = "id,claim,verdict,rule,measured,n,stable,origin,float,unit,networks,p,kind,undecided,ended\n"


class Files:
    """Two claims files, as the notebooks write them."""

    def __init__(self, paper, quick):
        self.texts = {"paper": HEAD + paper, "quick": HEAD + quick}

    def read(self, path):
        return self.texts[path.parts[-3]]


NUMBERS = pd.DataFrame(
    [["fig3", "DLG", "MNIST", 0.5, np.nan, "recalled"], ["r5", "DLG", None, 2.0, 0.1, "read"],
     *[["table1", "DLG", str(n), n, np.nan, "read"] for n in range(5)]],
    columns=["float", "row", "column", "value", "spread", "certainty"])


PAPER = "a,the image leaks,True,r,7 of 8,8,True,read,fig3,image,3,0.002,claim,,\n" \
        "b,in batches,None,r,1 of 2,2,True,read,,batch,2,0.01,claim," \
        "2 networks: at least 3 decide,budget 2 of 2\n" \
        "c,it hurts,False,r,0 of 4,4,True,ours,,client,4,,claim,,\n" \
        "d,nor does,None,r,0/0,0,True,\"the paper, unmarked\",,image,0,,claim,,\n" \
        "e,it is slow,True,r,1 of 1,3,True,\"third party, quoted\",fig3 r5,network,3,,claim,,\n" \
        "f,all of them,True,r,5 of 5,5,True,recalled,table1,entry,,,claim,,\n" \
        "g,deep ones,not tested,r,0 of 8,8,True,read,,client,8,,claim,ResNet-8 for ResNet-18,\n" \
        "h,a formula,True,r,1e-9,8,True,read,,image,,,check of the code,,\n" \
        "i,a rotation,False,r,2e-9,8,True,ours,,image,1,,check of the code,,\n" \
        "j,its own rule,None,r,4 of 8,8,True,ours,,image,8,0.9,claim,,\n"


def parts_of(paper, quick=None):
    """The claims, and what stands above them, of hand-made files."""
    return scoreboard.claims_part(Files(paper, quick or paper), "99_some", NUMBERS)


def cells_of(text):
    """The cells of a table, its head first."""
    head, _, *rows = text.splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in (head, *rows)]


def test_a_claim_has_origin_verdict_numbers_p_n_networks_and_how_attacks_ended():
    head, *rows = cells_of(parts_of(PAPER)[0][1])
    assert head == ["claim", "published", "verdict", "paper profile", "p", "n", "ended", "quick"]
    assert rows == [
        ["the image leaks", "read; DLG, MNIST: 0.5 (recalled)", "**holds**", "7 of 8", "0.002",
         "8 images, 3 networks", "", "same"],
        ["in batches", "read", "**undecided** (2 networks: at least 3 decide)", "1 of 2", "0.01",
         "2 batches, 2 networks", "budget 2 of 2", "same"],
        ["it hurts", "ours", "**fails**", "0 of 4", "", "4 clients, 4 networks", "", "same"],
        ["nor does", "–", "**not computed**", "0/0", "", "0 images, 0 networks", "", "same"],
        ["it is slow", "third party, quoted; DLG, MNIST: 0.5 (recalled); DLG: 2 ± 0.1",
         "**holds**", "1 of 1", "", "3 networks", "", "same"],
        ["all of them", "recalled", "**holds**", "5 of 5", "", "5 entries", "", "same"],
        ["deep ones", "read", "**not tested** (ResNet-8 for ResNet-18)", "0 of 8", "",
         "8 clients, 8 networks", "", "same"],
        ["its own rule", "ours", "**undecided**", "4 of 8", "0.9", "8 images, 8 networks", "",
         "same"]]


def test_checks_of_the_code_stand_apart_and_in_no_total():
    text, theirs, ours = parts_of(PAPER)
    assert (theirs, ours) == ([2, 0, 1, 1, 1], [1, 1, 1, 0, 0])
    assert text[0] == ("holds / fails / undecided / not tested / not computed: 2 / 0 / 1 / 1 / 1 "
                       "of the paper's claims, 1 / 1 / 1 / 0 / 0 of others.")
    assert text[2] == "### Checks of the code: 2, in no total"
    assert cells_of(text[3]) == [
        ["claim", "published", "verdict", "paper profile", "n", "quick"],
        ["a formula", "read", "**holds**", "1e-9", "8 images", "same"],
        ["a rotation", "ours", "**fails**", "2e-9", "8 images, 1 network", "same"]]
    assert not any(word in text[1] for word in ("a formula", "a rotation"))
    assert parts_of(PAPER.splitlines()[0])[0][2:] == [
        "### Checks of the code: 0, in no total", "None."]


def test_what_no_claim_has_takes_no_column():
    assert cells_of(parts_of(PAPER.splitlines()[2])[0][1])[0] == [
        "claim", "published", "verdict", "paper profile", "n", "quick"]


def test_a_quick_verdict_of_its_own_stands_beside():
    quick = PAPER.replace("True,r,7 of 8,8", "False,r,1 of 8,8").replace("c,it", "k,it")
    quick = quick.replace("0 of 8,8,True,read,,client,8", "1 of 2,2,True,read,,client,1")
    text = parts_of(PAPER, quick)[0]
    assert [row[-1] for row in cells_of(text[1])[1:]] == [
        "fails: 1 of 8 (8 images, 3 networks)", "same", "–", "same", "same", "same",
        "not tested (ResNet-8 for ResNet-18): 1 of 2 (2 clients, 1 network)", "same"]


def test_the_ledgers_own_file_is_read():
    """What `Ledger.save` writes has the columns, words and kinds that are read here."""
    book = ledgers.Ledger()
    for name, verdict, networks, fields in [
            ("a", True, 3, {}), ("b", False, 3, {}), ("c", None, 3, {}), ("d", True, 2, {}),
            ("e", True, 3, {"not_tested": "LeNet"}), ("f", True, 3, {"check": True})]:
        claim = ledgers.Claim(name, "it leaks", origin="read", **fields)
        book.add(claim, (verdict, "1"), "r", 3, networks)
    written = book.table().to_csv(index=False).removeprefix(HEAD)
    text, theirs, ours = parts_of(written)
    assert (theirs, ours) == ([1, 1, 2, 1, 0], [0] * 5) and text[2].startswith(
        "### Checks of the code: 1,")


@pytest.mark.parametrize(("columns", "missing"), [
    ("origin,float,unit", "kind, networks, p, undecided, ended"),
    ("", "origin, float, unit, kind, networks, p, undecided, ended"),
    ("origin,float,unit,kind,networks,undecided,ended", "p")])
def test_claims_of_an_older_ledger_say_what_makes_them(columns, missing):
    class Old(Files):
        def read(self, path):
            return f"id,claim,verdict,rule,measured,n,{columns}\na,b,True,r,1,1\n"

    with pytest.raises(SystemExit, match=f"99_some/claims.csv has no column {missing}: make "
                                         "figures PROFILE=quick NB=99_some"):
        scoreboard.claims(Old("", ""), "quick", "99_some")


@pytest.mark.parametrize(("n", "unit", "text"), [
    (1, "image", "1 image"), ("1", "batch", "1 batch"), (2, "image", "2 images"),
    ("0", "client", "0 clients"), (3, "batch", "3 batches"), (3, "class", "3 classes"),
    (2, "entry", "2 entries"), (2, "day", "2 days"), (2, "curve", "2 curves")])
def test_n_is_told_with_its_unit(n, unit, text):
    assert counted(n, unit) == text


def test_counts_and_cells_of_a_table():
    states = ["holds", "not tested", "undecided", "holds", "not computed", "fails", "not tested"]
    assert scoreboard.counts(states) == [2, 1, 1, 2, 1]
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


def test_the_summary_has_a_column_for_every_count():
    row = scoreboard.shown("one", [[1, 2, 3, 4, 5], [0, 0, 1, 0, 0], [3, 2, 4], [7], [8]])
    assert len(row) == len(scoreboard.SUMMARY)
    assert scoreboard.SUMMARY[1] == "the paper's claims: holds / fails / undecided / " \
        "not tested / not computed"
    assert row == ["one", "1 / 2 / 3 / 4 / 5", "0 / 0 / 1 / 0 / 0", "3 / 2 of 4", 7, 8]


def test_the_head_explains_every_word_of_a_verdict():
    for word in scoreboard.STATES:
        assert f"**{word}**" in scoreboard.HEAD
    assert scoreboard.CHECK in scoreboard.HEAD


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
