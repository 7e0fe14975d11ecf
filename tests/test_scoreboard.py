"""The scoreboard is in step with the tracked claims and results; its parts say what they should."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from lib import run as runs

sys.path.insert(0, str(runs.ROOT / "tools"))
import scoreboard


def test_it_is_in_step_with_what_is_committed():
    inside = subprocess.run(["git", "ls-files", "--error-unmatch", "SCOREBOARD.md"],
                            cwd=runs.ROOT, capture_output=True)
    if inside.returncode:
        assert not (runs.ROOT / ".git").exists(), "SCOREBOARD.md is not tracked"
        pytest.skip("no git here")
    checked = subprocess.run([sys.executable, "tools/scoreboard.py", "--check"], cwd=runs.ROOT,
                             capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


class Files:
    """Two claims files, as the notebooks write them."""

    def __init__(self, paper, quick):
        head = "id,claim,verdict,rule,measured,n,stable\n"
        self.texts = {"paper": head + paper, "quick": head + quick}

    def read(self, path):
        return self.texts[path.parts[-3]]


def rows_of(paper, quick):
    numbers = pd.DataFrame([["fig3", "DLG", "MNIST", 0.5, np.nan, "recalled"]], columns=[
        "float", "row", "column", "value", "spread", "certainty"])
    lines = scoreboard.claims_table(Files(paper, quick), "99_some", numbers).splitlines()[2:]
    return [line.strip("| ").split(" | ") for line in lines]


PAPER = "a,the image leaks (Fig. 3 [read]),True,r,7 of 8,8,True\n" \
        "b,the same in batches,None,r,1 of 2,2,True\nc,ours: it hurts,False,r,0 of 4,4,True\n" \
        "d,nor does [read],None,r,0/0,0,True\n"


def test_a_claim_has_origin_verdict_numbers_and_n():
    assert rows_of(PAPER, PAPER) == [
        ["the image leaks (Fig. 3 [read])", "read; DLG, MNIST: 0.5 (recalled)", "**holds**",
         "7 of 8", "8", "same"],
        ["the same in batches", "read", "**undecided**", "1 of 2", "2", "same"],
        ["ours: it hurts", "ours", "**fails**", "0 of 4", "4", "same"],
        ["nor does [read]", "read", "**not computed**", "0/0", "0", "same"]]


def test_a_quick_verdict_of_its_own_stands_beside():
    quick = PAPER.replace("True,r,7 of 8,8", "False,r,1 of 8,8").replace("c,ours", "e,ours")
    assert [row[-1] for row in rows_of(PAPER, quick)] == [
        "fails: 1 of 8 (n = 8)", "same", "–", "same"]


@pytest.mark.parametrize(("text", "origin"), [
    ("x (Fig. 1, digitised)", "digitised"), ("Table 1 (recalled): y", "recalled"),
    ("our question: z [read]", "ours"), ("ours, after [read]", "ours"), ("bare, read twice", "–"),
    ("statistics (exact against inferred, B = 1), abstract [read]", "read"),
    ("a third party's [quoted]", "third party, quoted"), ("x (Fig. 5 [read]; y)", "read"),
    ('Fig. 5 (quoted: "z")', "quoted"), ("20 % [read; that it is that: recalled]", "read")])
def test_origins(text, origin):
    assert scoreboard.origins([text]) == [origin]


def test_counts_and_cells_of_a_table():
    assert scoreboard.counts(["holds", "undecided", "holds"]) == [2, 0, 1, 0]
    assert scoreboard.table(["a"], [["x | y\nz"]]).splitlines()[-1] == r"| x \| y z |"


def test_a_readme_without_its_place_is_refused(monkeypatch):
    monkeypatch.setattr(scoreboard, "papers", lambda files: {})

    class Bare(scoreboard.OnDisk):
        @staticmethod
        def read(path):
            return "# Title"

    with pytest.raises(SystemExit, match=r"README\.md needs the lines"):
        scoreboard.written(Bare)
