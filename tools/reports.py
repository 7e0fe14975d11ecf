"""`make report`: for each paper a report of its reproduction: Markdown, and a PDF of two pages.

    python tools/reports.py [01_dlg ...]        build/reports/NAME.md and NAME.pdf

In the form of ReScience C, with the questions of the NeurIPS reproducibility checklist: scope, what
was run, compute hours, verdicts, what is missing. Nothing is typed but the questions: claims come
from figures/paper, numbers from data/published, what was run from data/cells and the plans.
"""

import json
import os
import sys
import tempfile
import tomllib
from collections import Counter
from dataclasses import dataclass, field

import numpy as np

from studies.ledger import of_how_many
from tools import plan, report_pdf, scoreboard
from tools import run_notebook as tool

FOLDER = tool.ROOT / "build/reports"
FIRST = ("fails", "holds", "undecided", "not tested", "not computed")  # the order of a report
MOST = 6  # notes on what differs from the paper
LONGEST = 150  # characters of a note or reason in a table


@dataclass
class Section:
    """A heading, its paragraphs, then perhaps a table: a head and rows of texts."""

    title: str
    paragraphs: list = field(default_factory=list)
    head: tuple = ()
    rows: list = field(default_factory=list)
    widths: tuple = ()  # of the columns, in shares


@dataclass
class Evidence:
    """All that a report of one paper is made of."""

    name: str
    paper: str
    about: dict
    ledger: object     # pandas: the claims, without checks of the code
    checks: int
    floats: list       # as scoreboard.floats
    stored: scoreboard.Stored
    to_go: list        # (sweep, cells missing, minutes or None, needs a GPU)
    numbers: object    # pandas: what the paper prints


def gathered(files, name, paper) -> Evidence:
    from studies import report

    title = json.loads(files.read(tool.ROOT / f"data/published/{paper}.json"))["paper"]
    about = json.loads(files.read(tool.ROOT / f"figures/paper/{name}/about.json"))
    ledger, numbers = scoreboard.claims(files, "paper", name), report.published(paper)
    claims = ledger[ledger.kind != scoreboard.CHECK]
    to_go = []
    for sweep in plan.declared(name):
        left = len(sweep.files) - sweep.done()
        if left:
            each = None if sweep.minutes is None else sweep.minutes / len(sweep.files)
            to_go.append((sweep.name, left, None if each is None else each * left, sweep.gpu))
    return Evidence(name, title, about, claims, len(ledger) - len(claims),
                    scoreboard.floats(files, name, numbers), scoreboard.stored(files, name), to_go,
                    numbers)


# ---- the sections

def sections(found: Evidence) -> list[Section]:
    return [scope(found), what_was_run(found), verdicts(found), differs(found), missing(found),
            checklist(found)]


def of_the_paper(ledger):
    """The claims that the paper makes: not ours, nor a third party's."""
    return ledger[~ledger.origin.str.startswith(("ours", "third party"))]


def counted(states) -> str:
    """"fails 1, holds 3": in the order of a report, without those that are none."""
    number = Counter(states)
    return ", ".join(f"{state} {number[state]}" for state in FIRST if number[state]) or "none"


def scope(found) -> Section:
    theirs = of_the_paper(found.ledger)
    drawn = sum(row[3] == "made" for row in found.floats)
    others = found.ledger.drop(theirs.index)
    return Section("Scope of reproducibility", [
        f"{len(theirs)} claims of the paper were put as orderings, regimes or thresholds, each with"
        f" a rule that stands beside it: {counted(theirs.state)}. {len(others)} further "
        f"claims, ours or a third party's: {counted(others.state)}. {found.checks} checks of the "
        "code are in no total.",
        f"{drawn} of the paper's {len(found.floats)} figures and tables were drawn again. The "
        f"paper's numbers that we compare with: {certainties(found.numbers)}. Digitised and "
        "recalled numbers decide nothing."])


def certainties(numbers) -> str:
    if not len(numbers):
        return "none known"
    return ", ".join(f"{count} {word}" for word, count in numbers.certainty.value_counts().items())


def what_was_run(found) -> Section:
    cells = found.stored.cells
    if not cells:
        return Section("What was run, and compute", ["Nothing is stored of the paper profile."])
    seconds = np.array([cell["seconds"] for cell in cells])
    rows = [["compute", f"{seconds.sum() / 3600:.1f} hours in {len(cells)} stored results, one "
             f"after another; median {np.median(seconds):.0f} s, longest {seconds.max() / 60:.0f} "
             "min"],
            ["devices", listed(cell["device"] for cell in cells)],
            ["PyTorch", listed(cell["torch"] for cell in cells)],
            ["data sets", listed(image_sets(cells))],
            ["networks", listed(networks(cells))],
            ["rows of results", f"{sum(cell['n'] for cell in cells):,}, each with its values"]]
    return Section("What was run, and compute", [], ("", ""), rows, (16, 84))


def image_sets(cells) -> list[str]:
    return [cell["config"]["images"]["name"] for cell in cells
            if isinstance(cell["config"].get("images"), dict)]


def networks(cells) -> list[str]:
    return [cell["config"]["victim"]["name"] for cell in cells
            if isinstance(cell["config"].get("victim"), dict)]


def listed(words) -> str:
    """Each word with how many results have it, the most frequent first."""
    number = Counter(words)
    return "; ".join(f"{word} ({count})" for word, count in number.most_common()) or "none named"


def verdicts(found) -> Section:
    theirs = of_the_paper(found.ledger)
    order = theirs.state.map(FIRST.index).sort_values(kind="stable").index
    rows = []
    for claim in theirs.loc[order].itertuples():
        why = f" ({claim.undecided})" if claim.undecided else ""
        rows.append([claim.claim, claim.state + why, claim.measured,
                     of_how_many(claim.n, claim.unit, claim.networks)])
    return Section("Verdicts on the paper's claims", [], ("claim", "verdict", "measured", "n"),
                   rows, (34, 20, 32, 14))


def short(text) -> str:
    return text if len(text) <= LONGEST else text[:LONGEST].rsplit(" ", 1)[0] + " ..."


def differs(found) -> Section:
    cells = found.stored.cells
    why = Counter(cell["comparable"] for cell in cells if cell["comparable"] is not True)
    title = "What differs from the paper's setting"
    if not why:
        return Section(title, [f"None of the {len(cells)} stored results bears a note on it."])
    rows = [[short(text), str(count)] for text, count in why.most_common(MOST)]
    rest = len(why) - len(rows)
    told = [f"{sum(why.values())} of {len(cells)} stored results bear a note on what differs."
            + (f" {rest} rarer notes are not listed here." if rest else "")]
    return Section(title, told, ("note", "results"), rows, (90, 10))


def missing(found) -> Section:
    rows = [["figure or table", f"{row[0]}: {row[1]}", short(row[3])]
            for row in found.floats if row[3] != "made"]
    for (group, gpu), sweeps in grouped(found.to_go).items():
        minutes = [cost for _, _, cost, _ in sweeps]
        cost = "time unknown" if None in minutes else f"about {plan.spoken(sum(minutes))}"
        count = sum(left for _, left, _, _ in sweeps)
        rows.append(["results", f"{group}: {count}", cost + (", on a GPU" if gpu else "")])
    if not rows:
        return Section("What is missing", ["Nothing that the plan declares."])
    return Section("What is missing", [], ("kind", "what", "why, or what it costs"), rows,
                   (14, 52, 34))


def grouped(to_go) -> dict:
    """{(how the names of sweeps begin, needs a GPU): sweeps}; one alone has its whole name."""
    groups = {}
    for sweep in to_go:
        groups.setdefault((sweep[0].partition("_")[0], sweep[3]), []).append(sweep)
    told = {}
    for (begin, gpu), sweeps in groups.items():
        name = sweeps[0][0] if len(sweeps) == 1 else f"{begin}_..., {len(sweeps)} sweeps"
        told[name, gpu] = sweeps
    return told


def checklist(found) -> Section:
    decided = found.ledger[found.ledger.state.isin(["holds", "fails"])]
    several = sum(bool(number) for number in decided.networks)
    tested = sum(bool(number) for number in found.ledger.p)
    whole = all("config" in cell and "seeds" in cell for cell in found.stored.cells)
    rows = [
        ["Do the verdicts follow from the results?",
         f"Yes: the rule of each stands in figures/paper/{found.name}/claims.csv."],
        ["Limitations?", "The two sections above; notebook, \"What did not reproduce\"."],
        ["All settings to reproduce it?",
         "Yes: config and seeds in every stored result." if whole else "No: see data/cells."],
        ["Uncertainty?", f"{several} of {len(decided)} decided claims rest on three networks or "
         f"more, the others are about none; {tested} claims have a test, corrected for their "
         "number (Benjamini and Hochberg, 5 %)."],
        ["Compute resources?", "Yes: above, and seconds and device in every stored result."],
        ["Code and data open?", f"MIT; make figures PROFILE=paper NB={found.name} draws it again, "
         "with FRESH=1 computes it again."],
        ["Licences of the data?", "data/README.md, Terms: a line for each set."],
        ["Contact with the authors?", "None is recorded here."]]
    return Section("Checklist (after NeurIPS)", [], ("question", "answer"), rows, (27, 73))


# ---- the two forms

def heading(found) -> tuple[str, str]:
    version = tomllib.loads((tool.ROOT / "pyproject.toml").read_text())["project"]["version"]
    about = found.about
    return (f"Reproduction report: {found.paper}",
            f"Leaky Gradients {version}, notebook {found.name}; figures and tables drawn at commit "
            f"{about['commit']} with PyTorch {about['torch']}, Python {about['python']}.")


def markdown(found) -> str:
    title, line = heading(found)
    parts = [f"# {title}", line]
    for section in sections(found):
        parts += [f"## {section.title}", *section.paragraphs]
        if section.rows:
            parts.append(scoreboard.table(section.head, section.rows))
    return "\n\n".join(parts) + "\n"


def main(names) -> int:
    os.environ["PROFILE"] = "paper"
    for given in ("SEED", "DEVICE", "FRESH"):
        os.environ.pop(given, None)
    papers = scoreboard.papers(scoreboard.OnDisk)
    unknown = sorted({*names} - {*papers})
    if unknown:
        print(f"{unknown[0]} follows no paper: there are {', '.join(papers)}", file=sys.stderr)
        return 1
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as products:
        os.environ["PRODUCTS"] = products
        os.chdir(tool.NOTEBOOKS)
        for name in names or papers:
            found = gathered(scoreboard.OnDisk, name, papers[name])
            (FOLDER / f"{name}.md").write_text(markdown(found))
            pages, left = report_pdf.write(FOLDER / f"{name}.pdf", *heading(found),
                                           sections(found))
            more = f", {left} rows only in the Markdown" if left else ""
            print(f"build/reports/{name}.md, and .pdf: {pages} pages{more}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
