"""What the README says is there: its code runs, its links lead somewhere, its commands exist."""

import re

import pandas as pd
import pytest

from lib import run as runs

TEXTS = {name: (runs.ROOT / name).read_text() for name in ("README.md", "RESULTS.md",
                                                           "SCOREBOARD.md", "data/README.md",
                                                           "notebooks/README.md",
                                                           "CONTRIBUTING.md", "SECURITY.md",
                                                           "CHANGELOG.md")}
README = TEXTS["README.md"]


def test_its_code_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README, re.S)
    assert len(blocks) == 2
    names = {}
    for block in blocks:                                     # all of it but the long iterations
        exec(re.sub(r"iterations=\d+", "iterations=2", block), names)
    assert "recovered" in capsys.readouterr().out and (tmp_path / "update.pt").is_file()


@pytest.mark.parametrize("name", TEXTS)
def test_its_links_lead_somewhere(name):
    links = [link.split("#") for link in re.findall(r"\]\(([^)\s]+)\)", TEXTS[name])]
    here = (runs.ROOT / name).parent
    for path, *part in [link for link in links if not link[0].startswith("http")]:
        assert (here / path).exists(), path
        if part:                                             # as GitHub names a heading
            heads = re.findall(r"^#+ (.*)$", (here / path).read_text(), re.M)
            assert part[0] in [re.sub(r"[^\w -]", "", h).lower().replace(" ", "-") for h in heads]


def test_its_pictures_have_alternative_text():
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", README)
    assert pictures and all(len(alt) >= 40 for alt, _ in pictures)


def test_its_speed_is_the_measured_one():
    """Each row's numbers of milliseconds and ratios, rounded, are those of one row of the table."""
    measured = pd.read_csv(runs.ROOT / "bench/table.csv")
    shown = re.findall(r"^\| ([\w -]+), (?:([\w +-]+), )?(\d+) clients? \| ([\d.]+) \| ([\d.]+)"
                       r".*? \| ([\d.]+)", README, re.M)
    assert len(shown) == 5
    for victim, method, K, *numbers in shown:
        row = measured[measured.victim.eq(victim) & measured.K.eq(int(K))
                       & (measured.method.eq(method) if method else True)]
        assert len(row) == 1, (victim, method, K)
        for number, column in zip(numbers, ("ours_ms", "plain_ms", "breaching_ms"), strict=True):
            digits = len(number.partition(".")[2])
            assert round(float(row[column].iloc[0]), digits) == float(number), (victim, K, column)


def test_the_citation_names_every_paper():
    cited = (runs.ROOT / "CITATION.cff").read_text()
    notebooks = sorted((runs.ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
    assert len(notebooks) >= 9
    for notebook in notebooks:
        if notebook.stem in ("00_start_here", "08_all_attacks"):     # of no paper
            continue
        title = re.search(r"title *= \{(.*)\},", notebook.read_text())
        assert title, f"{notebook.name} says how its paper is cited"
        assert re.sub(r"[{}]", "", title[1]) in cited, title[1]


def test_its_commands_are_targets():
    targets = re.findall(r"^([a-z-]+):", (runs.ROOT / "Makefile").read_text(), re.M)
    asked = re.findall(r"`make ([a-z-]+)|^make ([a-z-]+)", README, re.M)
    assert len(asked) > 5 and {a or b for a, b in asked} <= set(targets)
