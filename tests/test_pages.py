"""Each page is built as a reader expects: the skeleton, its length, its links, its solutions."""

import re
from pathlib import Path

import nbformat
import pytest

from tools import notebook_files, reading, solutions

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.ipynb"))
NAMES = [page.stem for page in PAGES]
OF_PAPERS = [page for page in PAGES
             if page.stem[:2] in ("01", "02", "03", "04", "05", "06", "07", "09", "10")]
HEADINGS = ("In three sentences", "The question", "The idea", "Results", "What did not reproduce",
            "Claims", "Exercises", "Appendix")
MARKS = re.compile(r"\[(read|recalled|quoted|digitised|inferred)\]")


def cells(page):
    return nbformat.read(page, as_version=4).cells


def prose(page) -> str:
    return "\n\n".join(cell.source for cell in cells(page) if cell.cell_type == "markdown")


def per_page(pages):
    return pytest.mark.parametrize("page", pages, ids=[page.stem for page in pages])


@per_page(PAGES)
def test_a_page_takes_25_minutes_and_few_lines_before_its_first_picture(page):
    measured = reading.measured(nbformat.read(page, as_version=4))
    assert measured["minutes"] <= reading.LONGEST
    assert measured["before"] <= reading.BEFORE_PICTURE
    long = [cell.source for cell in cells(page) if reading.lines_of(cell) > reading.LINES]
    assert not long


@per_page(PAGES)
def test_a_page_begins_with_a_stored_picture_and_links_to_its_neighbours(page):
    first = cells(page)[0].source
    pictures = re.findall(r"!\[(.*?)\]\((.*?)\)", first, re.S)
    assert pictures and all(len(alt) >= 40 for alt, _ in pictures)
    assert all((page.parent / path).resolve().is_file() for _, path in pictures)
    assert "## In three sentences" in first
    at = NAMES.index(page.stem)
    for neighbour in NAMES[max(at - 1, 0):at] + NAMES[at + 1:at + 2]:
        assert f"({neighbour}.ipynb)" in first, neighbour


@per_page(OF_PAPERS)
def test_a_page_of_a_paper_has_the_skeleton_in_its_order(page):
    headings = re.findall(r"^## (.*)$", prose(page), re.M)
    assert [heading for heading in headings if heading in HEADINGS] == list(HEADINGS)


@per_page(OF_PAPERS)
def test_marks_of_certainty_and_the_whole_ledger_stand_in_the_appendix(page):
    body = reading.body(cells(page))
    text = "\n".join(cell.source for cell in body if not reading.hidden(cell))
    assert not MARKS.findall(text)
    assert ".brief(" in text and not re.search(r"(ledger|book|all_claims)\.shown\(\)", text)


@per_page(PAGES)
def test_every_page_has_solutions_that_were_run(page):
    assert f"(solutions/{page.stem}.ipynb)" in prose(page)
    committed = page.parent / f"solutions/{page.name}"
    source = notebook_files.source_notebook(committed.with_suffix(".py"))
    assert not notebook_files.problems(nbformat.read(committed, as_version=4), source)
    assert any("assert " in cell.source for cell in source.cells)


@pytest.mark.slow
@pytest.mark.parametrize("name", solutions.names())
def test_the_solutions_run(name):
    notebook = solutions.executed(name)
    assert not notebook_files.problems(
        notebook, notebook_files.source_notebook(solutions.SOURCES / f"{name}.py"))


def test_the_table_of_reading_times_is_in_step():
    assert (ROOT / "notebooks/READING.md").read_text() == reading.table()


@pytest.mark.parametrize(("text", "count"), [
    ("Two words", 2), ("a $x + y$ formula", 2), ("![a picture](x.png) shown", 1),
    ("[a link](to_there.ipynb)", 2), ("$$x\n= y$$ and", 1), ("```bibtex\n@x{y}\n```", 0),
    ("17 dB of 3", 2), ("don't", 1)])
def test_words_are_those_of_prose(text, count):
    assert reading.words(text) == count


def test_what_a_reader_meets_before_the_appendix_is_counted():
    new = nbformat.v4
    shown = new.new_code_cell("a = 1\n\nb = 2", outputs=[
        new.new_output("display_data", {"image/png": "x"}),
        new.new_output("display_data", {"text/markdown": "*three words here*"})])
    hidden = new.new_code_cell("c = 3")
    hidden.metadata["tags"] = ["hide-cell"]
    notebook = new.new_notebook(cells=[
        new.new_markdown_cell("one two"), new.new_code_cell("x = 0"), shown, hidden,
        new.new_markdown_cell("## Appendix\nmany more words"), new.new_code_cell("y = 1")])
    measured = reading.measured(notebook)
    assert measured == {"words": 5, "pictures": 1, "code": 3, "before": 3, "minutes": 1}
