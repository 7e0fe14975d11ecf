"""One word for one thing, and whole sentences: phrases that no page and no document uses.

The list stands in notebooks/README.md, beside what to write instead."""

import re
from pathlib import Path

import jupytext
import pytest

ROOT = Path(__file__).resolve().parents[1]
LIST = ROOT / "notebooks/README.md"
DOCUMENTS = [ROOT / name for name in ("README.md", "RESULTS.md", "lib/README.md",
                                      "data/README.md", "CONTRIBUTING.md",
                                      "SECURITY.md", "CHANGELOG.md")]
DOCUMENTS += sorted((ROOT / "docs").rglob("*.md"))
PAGES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
SOLUTIONS = sorted((ROOT / "notebooks/solutions").glob("[0-9][0-9]_*.py"))


def phrases() -> list[str]:
    """The left column of the table under "Words"."""
    table = LIST.read_text().partition("\n## Words\n")[2]
    return re.findall(r"^\| (?!do not write|---)(.+?) \|", table, re.M)


def text_of(path: Path) -> str:
    """A document, or the cells of a notebook, code too: captions and table headings stand there."""
    if path.suffix == ".md":
        return path.read_text()
    return "\n\n".join(cell.source for cell in jupytext.read(path).cells)


def found(text: str) -> list[str]:
    """Each forbidden phrase of a text, with the words around it."""
    flat = re.sub(r"[*`\s]+", " ", text)
    hits = []
    for phrase in phrases():
        end = "" if phrase.endswith(".") else r"\b"
        for hit in re.finditer(rf"\b{re.escape(phrase)}{end}", flat, re.I):
            hits.append(f"{phrase!r}: ...{flat[max(hit.start() - 40, 0):hit.end() + 20]}...")
    return hits


@pytest.mark.parametrize("path", [*PAGES, *SOLUTIONS, *DOCUMENTS],
                         ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_phrase_of_the_list_is_used(path):
    hits = found(text_of(path))
    assert not hits, "\n".join([f"{LIST.name} says what to write instead:", *hits])


def test_the_list_is_read():
    assert 12 <= len(phrases()) <= 20 and len(set(phrases())) == len(phrases())


@pytest.mark.parametrize(("text", "count"), [
    ("A map of every\ndot an *image*.", 1), ("Ground `truth`", 1), ("for whom, for whose", 0),
    ("Adversary and defence", 2), ("as a control. Then", 1), ("a controlled run", 0)])
def test_a_phrase_is_found_across_lines_and_marks(text, count):
    assert len(found(text)) == count
