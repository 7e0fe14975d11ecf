"""The bibliography: every entry is whole and cited, and what a notebook lists is there."""

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

from studies import references

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
DOCUMENTS = [ROOT / name for name in ("README.md", "RESULTS.md", "data/README.md")]
DOCUMENTS += [file for pattern in ("lib/*.md", "lib/**/*.py", "studies/**/*.py",
                                   "notebooks/assignments/*.py") for file in ROOT.glob(pattern)]
PAPERS = {"zhu2019": "dlg", "zhao2020": "idlg", "geiping2020": "geiping2020",
          "jeon2021": "gias2021", "huang2021": "huang2021", "eloul2022": "eloul2022",
          "mu2023": "mu2023"}
WORKS = references._works().entries


def listed_by(notebook) -> list:
    """The keys that a notebook hands to `references.listed`."""
    calls = [node for node in ast.walk(ast.parse(notebook.read_text()))
             if isinstance(node, ast.Call) and ast.unparse(node.func) == "references.listed"]
    assert len(calls) == 1, notebook.name
    return [ast.literal_eval(argument) for argument in calls[0].args]


@pytest.mark.parametrize("key", WORKS)
def test_an_entry_is_whole(key):
    work = WORKS[key]
    assert work.persons["author"] and work.fields["title"]
    assert re.fullmatch(r"\d{4}", work.fields["year"])
    assert {"eprint", "doi", "url"} & set(work.fields)
    assert re.fullmatch(r"\d{4}\.\d{4,5}", work.fields.get("eprint", "1906.08935"))
    assert re.fullmatch(r"https?://[^\s()<>]+", references.address(key))
    surname = references.cite(key)[1:].split()[0].strip(",").lower()
    assert re.fullmatch(rf"{re.sub('[^a-z]', '.', surname)}{work.fields['year']}[b-z]?", key)
    assert not re.search(r"[{}\\]", references.listed(key) + references.cite(key))


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_ends_in_the_works_it_cites(notebook):
    keys = listed_by(notebook)
    assert sorted(set(keys)) == keys and set(keys) <= set(WORKS)
    headings = re.findall(r"^# #{2,3} (.*)$", notebook.read_text(), re.M)
    assert headings[-1] == "References"
    paper = re.search(r'report\.start\(.*paper="(\w+)"', notebook.read_text())
    assert not paper or {key for key, name in PAPERS.items() if name == paper[1]} <= set(keys)


def test_every_entry_is_cited():
    """By its key in a notebook, or by author and year in a document."""
    by_key = {key for notebook in NOTEBOOKS for key in listed_by(notebook)}
    texts = [file.read_text() for file in DOCUMENTS if file.stem != "references"]
    for key in set(WORKS) - by_key:
        surname, year = references.cite(key)[1:].split()[0].strip(","), WORKS[key].fields["year"]
        told = re.compile(rf"{surname}\b.{{0,60}}{year}", re.S)
        assert any(told.search(text) for text in texts), key


@pytest.mark.parametrize("key", PAPERS)
def test_the_seven_papers_are_as_their_published_numbers_say(key):
    told = references.files.ROOT / f"data/published/{PAPERS[key]}.json"
    paper = ast.literal_eval(re.search(r'"paper": (".*")', told.read_text())[1]).lower()
    title = references._plain(WORKS[key].fields["title"]).lower().replace("–", "-")
    assert title in paper and WORKS[key].fields["eprint"] in paper
    assert all(person.last_names[-1].replace('{\\"o}', "ö").lower() in paper
               for person in WORKS[key].persons["author"])


@pytest.mark.parametrize(("key", "text"), [
    ("mu2023", "[Mu (2023)](https://arxiv.org/abs/2301.02621)"),
    ("zhu2021", "[Zhu and Blaschko (2021)](https://arxiv.org/abs/2010.07733)"),
    ("zhu2019", "[Zhu, Liu and Han (2019)](https://arxiv.org/abs/1906.08935)"),
    ("melis2019", "[Melis et al. (2019)](https://arxiv.org/abs/1805.04049)"),
    ("ma2023", "[Ma et al. (2023)](https://openreview.net/forum?id=FIrQfNSOoTr)"),
    ("wilson1927", "[Wilson (1927)](https://doi.org/10.1080/01621459.1927.10502953)")])
def test_a_text_names_a_work_in_short(key, text):
    assert references.cite(key) == text


def test_a_list_has_a_line_a_work_in_the_order_of_authors():
    lines = references.listed("zhu2019", "dimitrov2024", "zhu2021", "zhu2019").splitlines()
    assert lines == [
        "- Dimitar I. Dimitrov, Maximilian Baader, Mark Niklas Müller and Martin Vechev (2024): "
        "[SPEAR: Exact Gradient Inversion of Batches in Federated Learning]"
        "(https://arxiv.org/abs/2403.03945). Advances in Neural Information Processing Systems 37 "
        "(NeurIPS). arXiv 2403.03945.",
        references.listed("zhu2021"), references.listed("zhu2019")]  # Junyi, then Ligeng


@pytest.mark.parametrize("use", [references.cite, references.listed, references.address])
def test_an_unknown_key_is_refused_with_those_near_it(use):
    with pytest.raises(ValueError, match="no work 'zuh2019' in references.bib.*zhu2019"):
        use("zuh2019")


def test_pybtex_waits_until_a_work_is_asked_for():
    code = "import sys; import studies.references; sys.exit('pybtex' in sys.modules)"
    assert not subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode
