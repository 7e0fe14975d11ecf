"""make report: what it says is what ledger, stored results and plans say; its PDF has two pages."""

import csv
import json
import os
import re

import pytest

from lib import run as runs
from studies import store
from tools import report_pdf, reports, scoreboard

NAME, PAPER = "02_idlg", "idlg"


@pytest.fixture
def found(monkeypatch, tmp_path):
    for name in ("SEED", "DEVICE", "FRESH", "DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PROFILE", "paper")
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    monkeypatch.setattr(store, "_study", None)
    monkeypatch.setattr(runs, "_current", None)
    monkeypatch.chdir(runs.ROOT / "notebooks")
    return reports.gathered(scoreboard.OnDisk, NAME, PAPER)


def tracked() -> list[dict]:
    files = (runs.ROOT / "data/cells" / NAME).glob("*.json")
    return [json.loads(path.read_text()) for path in files]


def the_claims() -> list[dict]:
    with open(runs.ROOT / f"figures/paper/{NAME}/claims.csv") as file:
        return [row for row in csv.DictReader(file) if row["kind"] != scoreboard.CHECK]


def section(found, title):
    return next(part for part in reports.sections(found) if part.title.startswith(title))


def test_every_claim_of_the_paper_stands_there_with_its_verdict(found):
    rows = {row[0]: row for row in section(found, "Verdicts").rows}
    theirs = [claim for claim in the_claims()
              if not claim["origin"].startswith(("ours", "third party"))]
    assert len(rows) == len(theirs) > 5
    for claim in theirs:
        _, verdict, measured, _ = rows[claim["claim"]]
        words = {"True": "holds", "False": "fails", "None": "undecided"}
        assert verdict.startswith(words.get(claim["verdict"], claim["verdict"]))
        assert measured == claim["measured"]
    states = [row[1].partition(" (")[0] for row in section(found, "Verdicts").rows]
    assert states == sorted(states, key=reports.FIRST.index)
    assert f"holds {states.count('holds')}," in section(found, "Scope").paragraphs[0]


def test_compute_is_that_of_the_stored_results(found):
    rows = dict(section(found, "What was run").rows)
    cells = tracked()
    hours = sum(cell["seconds"] for cell in cells) / 3600
    assert rows["compute"].startswith(f"{hours:.1f} hours in {len(cells)} stored results")
    names = [cell["config"]["images"]["name"] for cell in cells]
    for name in set(names):
        assert f"{name} ({names.count(name)})" in rows["data sets"]


def test_the_markdown_has_every_section_and_every_row(found):
    text = reports.markdown(found)
    for part in reports.sections(found):
        assert f"## {part.title}\n" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    tables = [part for part in reports.sections(found) if part.rows]
    assert len(rows) == sum(len(part.rows) + 2 for part in tables)
    assert not re.search(r"\bnan\b|None\b(?! is recorded)", text)


def test_what_is_missing_is_grouped_by_name_and_gpu():
    to_go = [("wide_a", 1, 60.0, True), ("wide_b", 2, 60.0, True), ("wide_c", 1, None, False),
             ("lone_one", 3, 5.0, False)]
    groups = reports.grouped(to_go)
    assert [*groups] == [("wide_..., 2 sweeps", True), ("wide_c", False), ("lone_one", False)]
    assert groups["wide_..., 2 sweeps", True] == to_go[:2]


def test_missing_results_say_what_they_cost(found):
    found.to_go = [("wide_a", 1, 90.0, True), ("wide_b", 2, 60.0, True), ("x", 1, None, False)]
    found.floats = [["fig9", "A figure", "–", "no GPU", "–"], ["fig1", "Drawn", "–", "made", "–"]]
    assert reports.missing(found).rows == [
        ["figure or table", "fig9: A figure", "no GPU"],
        ["results", "wide_..., 2 sweeps: 3", "about 2.5 h, on a GPU"],
        ["results", "x: 1", "time unknown"]]


def test_nothing_stored_is_said(found):
    found.stored.cells = []
    assert "Nothing is stored" in reports.what_was_run(found).paragraphs[0]


def test_a_long_note_ends_at_a_word():
    text = "word " * 60
    assert len(reports.short(text)) <= reports.LONGEST + 4
    assert reports.short(text).endswith("word ...") and reports.short("brief") == "brief"


def test_a_name_without_paper_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    assert reports.main(["08_all_attacks"]) == 1
    assert "08_all_attacks follows no paper" in capsys.readouterr().err


def long_section(rows):
    words = ["a claim of some length that needs two lines in its column", "holds", "0.5", "30"]
    return reports.Section("Verdicts", ["One."], ("claim", "verdict", "measured", "n"),
                           [words] * rows, (34, 20, 32, 14))


def test_the_longest_table_is_cut_and_says_so():
    short, cut = report_pdf.shortened([long_section(3), long_section(9)], 0.9)
    assert [len(part.rows) for part in short] == [3, 7] and cut == 2
    assert report_pdf.shortened([long_section(40)], 0.5)[1] == 20
    assert report_pdf.shortened([long_section(4)], 0.5)[1] == 0


@pytest.mark.parametrize("rows", [5, 200])
def test_the_pdf_has_two_pages_at_most(tmp_path, rows):
    pytest.importorskip("fpdf", reason="make sets it up")
    parts = [long_section(rows), long_section(3)]
    pages, left = report_pdf.write(tmp_path / "a.pdf", "Ümläut – title", "line", parts)
    assert pages <= 2 and (left > 0) == (rows == 200)
    text = (tmp_path / "a.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", text)) == pages
    if rows == 5:
        report_pdf.write(tmp_path / "b.pdf", "Ümläut – title", "line", parts)
        assert text == (tmp_path / "b.pdf").read_bytes()
