"""How long a page takes to read: the table notebooks/READING.md, which a test holds in step.

    python tools/reading.py                         write it

Counted is what a reader meets before the appendix, in the committed notebook: words of prose,
captions among them, pictures, and lines of code. An estimate: no reader was timed.
"""

import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = ROOT / "notebooks"

WORDS_A_MINUTE = 180  # of technical prose
SECONDS_A_PICTURE = 20
SECONDS_A_LINE = 3  # of code
LONGEST = 25  # minutes before the appendix
BEFORE_PICTURE = 40  # lines of code before the first picture that a page computes
LINES, CHARACTERS = 20, 100  # of a visible cell
HEAD = """# How long a page takes

Made by `make reading`, from the committed notebooks. Counted up to the appendix: words of prose and
captions ({words} a minute), pictures ({picture} seconds each), lines of code ({line} seconds each).
An estimate, made for comparing pages: no reader was timed.

"""


def body(cells) -> list:
    """The cells before the appendix."""
    for i, cell in enumerate(cells):
        if cell.cell_type == "markdown" and re.search(r"^## Appendix", cell.source, re.M):
            return cells[:i]
    return cells


def hidden(cell) -> bool:
    return "hide-cell" in cell.metadata.get("tags", [])


def captions(cell) -> list[str]:
    return ["".join(output.data["text/markdown"]) for output in cell.get("outputs", [])
            if "text/markdown" in output.get("data", {})]


def pictures(cell) -> int:
    if cell.cell_type == "markdown":
        return len(re.findall(r"!\[", cell.source))
    return sum("image/png" in output.get("data", {}) for output in cell.outputs)


def words(text) -> int:
    """Words of prose: no picture's alternative text, no formula, no link's address."""
    text = re.sub(r"!\[.*?\]\(.*?\)|\]\(.*?\)|\$\$.*?\$\$|\$.*?\$|```.*?```", " ", text,
                  flags=re.S)
    return len(re.findall(r"[A-Za-z][\w'’-]*", text))


def lines_of(cell) -> int:
    """Lines of code that a reader sees: no blank line."""
    if cell.cell_type != "code" or hidden(cell):
        return 0
    return sum(bool(line.strip()) for line in cell.source.splitlines())


def before_first_picture(cells) -> int:
    """Lines of code up to and with the cell that computes the first picture."""
    total = 0
    for cell in cells:
        total += lines_of(cell)
        if cell.cell_type == "code" and pictures(cell):
            break
    return total


def measured(notebook) -> dict:
    """What a page asks of a reader: words, pictures, lines of code, minutes."""
    cells = body(notebook.cells)
    prose = [cell.source for cell in cells if cell.cell_type == "markdown"]
    prose += [text for cell in cells if cell.cell_type == "code" for text in captions(cell)]
    row = {"words": sum(map(words, prose)), "pictures": sum(map(pictures, cells)),
           "code": sum(map(lines_of, cells)), "before": before_first_picture(notebook.cells)}
    seconds = SECONDS_A_PICTURE * row["pictures"] + SECONDS_A_LINE * row["code"]
    return row | {"minutes": round(row["words"] / WORDS_A_MINUTE + seconds / 60)}


def table() -> str:
    """The document, of the committed notebooks."""
    import nbformat

    text = HEAD.format(words=WORDS_A_MINUTE, picture=SECONDS_A_PICTURE, line=SECONDS_A_LINE)
    text += "| page | words | pictures | lines of code | before the first picture | minutes |\n"
    text += "|---|---|---|---|---|---|\n"
    for file in sorted(NOTEBOOKS.glob("[0-9][0-9]_*.ipynb")):
        row = measured(nbformat.read(file, as_version=4))
        text += (f"| [{file.stem}]({file.name}) | {row['words']:,} | {row['pictures']} | "
                 f"{row['code']} | {row['before']} | {row['minutes']} |\n")
    return text


def main() -> int:
    (NOTEBOOKS / "READING.md").write_text(table())
    return 0


if __name__ == "__main__":
    sys.exit(main())
