"""The works that notebooks and documents cite, from the one bibliography `data/references.bib`.

    references.cite("zhu2019")                     # [Zhu, Liu and Han (2019)](https://arxiv.org/...)
    Markdown(references.listed("zhu2019", "yin2021"))   # a list, in the order of authors

To cite another work add it there; its key is the first author's surname and the year.
"""

from difflib import get_close_matches
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import quote

from lib import files

if TYPE_CHECKING:
    from pybtex.database import BibliographyData, Entry, Person

FILE = files.ROOT / "data/references.bib"
MOST_NAMES = 3  # in a text: of more authors the first stands for all


def cite(key: str) -> str:
    """A link to a work as a text has it: `[Zhu, Liu and Han (2019)](address)`.

    Raises ValueError for an unknown key, with those that are like it."""
    work = _entry(key)
    names = [_plain(" ".join(person.prelast_names + person.last_names))
             for person in work.persons["author"]]
    if "others" in names or len(names) > MOST_NAMES:
        authors = f"{names[0]} et al."
    else:
        authors = _joined(names)
    return f"[{authors} ({work.fields['year']})]({address(key)})"


def listed(*keys: str) -> str:
    """A markdown list of works, an item of one line each, in the order of authors and years.

    Raises ValueError for an unknown key, with those that are like it."""
    return "\n".join(f"- {_whole(key)}" for key in in_order(*keys))


def in_order(*keys: str) -> list[str]:
    """Each key once, in the order of first authors, of years, and of the others."""
    def place(key: str) -> tuple:
        work = _entry(key)
        names = [_plain(str(person)).casefold() for person in work.persons["author"]]
        return names[0], work.fields["year"], names, key

    return sorted(set(keys), key=place)


def keys() -> list[str]:
    """Those of all works, as the file has them."""
    return [*_works().entries]


def address(key: str) -> str:
    """Where a work can be read: at arXiv, else by its DOI, else its own address."""
    fields = _entry(key).fields
    if "eprint" in fields:
        return f"https://arxiv.org/abs/{fields['eprint']}"
    if "doi" in fields:
        return f"https://doi.org/{quote(fields['doi'])}"     # an old one holds brackets and <>
    return fields["url"]


@cache
def _works() -> "BibliographyData":
    from pybtex.database import parse_file  # slow to import

    return parse_file(FILE, bib_format="bibtex")


def _entry(key: str) -> "Entry":
    works = _works().entries
    if key not in works:
        near = get_close_matches(str(key), works, n=3) or [*works]
        raise ValueError(f"no work {key!r} in {FILE.name}; there are {', '.join(near)}")
    return works[key]


def _whole(key: str) -> str:
    """Authors, year, linked title and place of publication, in a line."""
    work = _entry(key)
    authors = _joined([_name(person) for person in work.persons["author"]])
    known = ("booktitle", "journal", "institution")
    where = next((work.fields[name] for name in known if name in work.fields), "")
    if work.type == "techreport":
        where = f"Technical report, {where}"
    if "pages" in work.fields:
        where += f", pp. {work.fields['pages']}"
    arxiv = f"arXiv {work.fields['eprint']}" if "eprint" in work.fields else ""
    ends = [part for part in (where, arxiv, work.fields.get("note", "")) if part]
    title = _plain(work.fields["title"])
    stop = "" if title.endswith(("?", "!")) else "."
    text = f"{authors} ({work.fields['year']}): [{title}]({address(key)}){stop}"
    return " ".join([text, *(f"{_plain(part)}." for part in ends)])


def _name(person: "Person") -> str:
    parts = (person.first_names, person.middle_names, person.prelast_names, person.last_names)
    return _plain(" ".join(word for part in parts for word in part))


def _joined(names: list) -> str:
    """A, B and C; "et al." where BibTeX has "and others"."""
    if names[-1] == "others":
        return f"{', '.join(names[:-1])} et al."
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))


def _plain(latex: str) -> str:
    """Text with letters for LaTeX's accents, quotes and dashes, and without its braces."""
    from pybtex.richtext import Text

    return str(Text.from_latex(latex))
