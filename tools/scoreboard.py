"""`make scoreboard`: every claim with its verdict in SCOREBOARD.md, and their counts in README.md.

    python tools/scoreboard.py            write both
    python tools/scoreboard.py --check    only say which is not in step with what is committed

Nothing in them is typed. Claims and the names of what was drawn are read from
figures/<profile>/<notebook>, published numbers from data/published, what was computed from
data/cells and from the sweeps that the studies declare.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies.ledger import WORDS, of_how_many
from tools import plan
from tools import run_notebook as tool

SCORES, README = tool.ROOT / "SCOREBOARD.md", tool.ROOT / "README.md"
BEGIN, END = "<!-- scoreboard: make scoreboard -->", "<!-- end of the scoreboard -->"
COLUMNS = ("origin", "float", "unit", "kind", "networks", "p", "undecided", "ended")
STATES = ("holds", "fails", "undecided", "not tested", "not computed")
CHECK = "check of the code"  # the kind of a claim that no total counts
UNMARKED = "the paper, unmarked"
FEW = 4  # published numbers that stand beside a claim; where there are more, none does
HEAD = """# Scoreboard

Written by `make scoreboard`, from the tracked claims, published numbers and stored results;
nothing here is typed. The rule of every claim stands beside it in the notebook's ledger
(`figures/*/*/claims.csv`).

- A claim **holds** or **fails** where its rule decides it. The rules of all notebooks come on top:
  at least three networks, each with its own training, stand behind a verdict (several images of one
  network are averaged first), and all tests of a notebook pass one correction for their number
  (Benjamini and Hochberg, 5 %).
- A claim is **undecided** where its own rule does not decide it, or where one of the rules of all
  notebooks took the verdict: the reason then stands behind the word.
- A claim is **not tested** where we tried it in another regime than the paper's; what differs
  stands behind the word. It is **not computed** where nothing was counted.
- A *check of the code* can hardly fail. Checks have tables of their own, and no total counts them.
- Published numbers that were digitised off a plot or recalled from memory decide nothing.

How to read the tables:

- *Published*: how sure we are that the paper says it: *read* in the paper, *quoted* from another
  text, *digitised* off a plot, *recalled* from memory, *inferred*; with the numbers that its figure
  or table prints, where these are at most four. *Ours*: our own claim; *third party*: neither the
  paper's nor ours; –: the paper's, without a mark.
- *p*: of the claim's test, before the correction; empty where its rule is no test.
- *n*: how many the rule counts, and of what; then how many networks these come from. A claim about
  a formula or a metric has no networks.
- *Ended*: how the attacks ended that decide the claim, where that is stored. An attack that ended
  by its budget might have found more.
- *Quick*: the run without data sets. "Same" where verdict and numbers are those of the paper
  profile: most quick runs decide their claims from its stored results.
- A figure or table is *made* where the run drew it. With which network, n and data: see what
  differs, below each notebook's tables. Single rows of it may be "not computed": see the last line.
"""
SUMMARY = ["notebook", "the paper's claims: " + " / ".join(STATES), "others: ours, third parties'",
           "figures and tables made: paper profile / quick", "stored results", "not computed"]


class OnDisk:
    """The files as they are."""

    @staticmethod
    def read(path) -> str:
        return path.read_text()

    @staticmethod
    def under(folder) -> list:
        return sorted(path for path in (tool.ROOT / folder).rglob("*") if path.is_file())


class Committed:
    """The files as git has them: a run on this machine may have written others."""

    @staticmethod
    def read(path) -> str:
        return git("show", f":{path.relative_to(tool.ROOT).as_posix()}")

    @staticmethod
    def under(folder) -> list:
        return [tool.ROOT / name for name in git("ls-files", "-z", folder).split("\0") if name]


def git(*words) -> str:
    done = subprocess.run(["git", *words], cwd=tool.ROOT, capture_output=True, check=True)
    return done.stdout.decode()


def papers(files) -> dict:
    """{notebook: paper} of those that follow a paper."""
    follows = {path.parent.name: json.loads(files.read(path))["paper"]
               for path in files.under("figures/paper") if path.name == "about.json"}
    return {name: paper for name, paper in sorted(follows.items()) if paper}


# ---- claims

def claims(files, profile, name) -> pd.DataFrame:
    """The ledger, with the column `state`, one of STATES."""
    text = files.read(tool.ROOT / f"figures/{profile}/{name}/claims.csv")
    ledger = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    missing = [column for column in COLUMNS if column not in ledger.columns]
    if missing:
        raise SystemExit(f"figures/{profile}/{name}/claims.csv has no column "
                         f"{', '.join(missing)}: make figures PROFILE={profile} NB={name}")
    nothing = (ledger.verdict == "None") & (ledger.n == "0")
    return ledger.assign(state=ledger.verdict.map(WORDS).mask(nothing, "not computed"))


def claims_part(files, name, numbers) -> tuple[list, list, list]:
    """The claims as text, and the counts of the paper's and of others': none of a check."""
    ledger, quick = claims(files, "paper", name), claims(files, "quick", name).set_index("id")
    checks, ledger = ledger[ledger.kind == CHECK], ledger[ledger.kind != CHECK]
    others = ledger.origin.str.startswith(("ours", "third party"))
    theirs, ours = counts(ledger.state[~others]), counts(ledger.state[others])
    text = [f"{' / '.join(STATES)}: {' / '.join(map(str, theirs))} of the paper's claims, "
            f"{' / '.join(map(str, ours))} of others.", claims_table(ledger, quick, numbers),
            f"### Checks of the code: {len(checks)}, in no total",
            claims_table(checks, quick, numbers)]
    return text, theirs, ours


def claims_table(ledger, quick, numbers) -> str:
    """A row a claim, with what the quick run says of it; columns that no row fills are left out."""
    rows = []
    for claim in ledger.itertuples():
        rows.append({"claim": claim.claim,
                     "published": published(claim.origin, claim.float, numbers),
                     "verdict": verdict(claim.state, claim.undecided),
                     "paper profile": claim.measured, "p": claim.p,
                     "n": of_how_many(claim.n, claim.unit, claim.networks),
                     "ended": claim.ended, "quick": beside(claim, quick)})
    filled = pd.DataFrame(rows).loc[:, lambda all: (all != "").any()]
    return table([*filled], filled.values.tolist()) if rows else "None."


def verdict(state, why) -> str:
    """"**holds**", or "**undecided** (2 networks: at least 3 decide)"."""
    return f"**{state}** ({why})" if why else f"**{state}**"


def published(origin, float_ids, numbers) -> str:
    """Who says it, with the numbers that the paper prints there, where they are few."""
    said = numbers[numbers.float.isin(float_ids.split())]
    parts = ["–" if origin == UNMARKED else origin]
    if 0 < len(said) <= FEW:
        parts.append(told(said, FEW))
    return "; ".join(parts)


def beside(claim, quick) -> str:
    """What the quick run says of a claim of the paper profile."""
    if claim.id not in quick.index:
        return "–"
    live = quick.loc[claim.id]
    if (live.verdict, live.measured) == (claim.verdict, claim.measured):
        return "same"
    why = f" ({live.undecided})" if live.undecided else ""
    return f"{live.state}{why}: {live.measured} ({of_how_many(live.n, live.unit, live.networks)})"


def counts(states) -> list:
    numbers = Counter(states)
    return [numbers[state] for state in STATES]


def told(numbers, most) -> str:
    """Published numbers with their marks; where there are more than `most`, how many more."""
    from studies import report

    texts = []
    for _, number in numbers.fillna({"column": ""}).iterrows():
        column = f", {number['column']}" if number["column"] else ""
        texts.append(f"{number['row']}{column}: {report.show(number)}")
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more


# ---- figures and tables

def floats(files, name, numbers) -> list:
    """The paper's figures and tables: [id, title, published numbers, in paper, in quick]."""
    rows = []
    made = {profile: json.loads(files.read(tool.ROOT / f"figures/{profile}/{name}/made.json"))
            for profile in ("paper", "quick")}
    for key, entry in numbers.attrs["floats"].items():
        if "reason" in entry:
            places = [entry["reason"], "–"]
        else:
            places = [state_of(key, entry["product"], made[profile])
                      for profile in ("paper", "quick")]
        said = told(numbers[numbers.float == key], 12)
        rows.append([key, entry["title"], said or "none known", *places])
    return rows


def state_of(key, product, made) -> str:
    """"made", or why a run did not make a figure or table."""
    return "made" if product in made["products"] else made["reasons"].get(key, "not made")


# ---- stored results

@dataclass
class Stored:
    """What is stored of a notebook, and what is not."""

    cells: list     # the documents of its cells
    missing: dict   # sweep -> (parts that are not stored, parts)

    def text(self) -> list:
        """What is stored, what differs from the paper in it, and what is not stored."""
        why = Counter(cell["comparable"] for cell in self.cells if cell["comparable"] is not True)
        devices = "; ".join(sorted({cell["device"] for cell in self.cells}))
        parts = [f"{len(self.cells)} stored results of the paper profile, computed on {devices}. "
                 f"{len(self.cells) - sum(why.values())} of them bear no note on what differs from "
                 "the paper" + ("; the others:" if why else ".")]
        if why:
            parts.append(table(["what differs", "results"], why.most_common()))
        names = []
        for name, (left, of) in self.missing.items():
            names.append(name + (f" ({left} of {of} parts)" if of > 1 else ""))
        return [*parts, f"Not computed here: {'; '.join(names) or 'nothing'}."]

    def left(self) -> int:
        """How many parts are not stored."""
        return sum(left for left, _ in self.missing.values())


def stored(files, name) -> Stored:
    here = {path for path in files.under(f"data/cells/{name}") if path.suffix == ".json"}
    documents, missing = [], {}
    for sweep in plan.declared(name):
        there = [path for path in sweep.files if path in here]
        documents += [json.loads(files.read(path)) for path in there]
        if len(there) < len(sweep.files):
            missing[sweep.name] = len(sweep.files) - len(there), len(sweep.files)
    return Stored(documents, missing)


# ---- the pages

def table(head, rows) -> str:
    lines = []
    for row in [head, ["---"] * len(head), *rows]:
        texts = [str(cell).replace("|", "\\|").replace("\n", " ") for cell in row]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def page(files, name, paper) -> tuple[str, list]:
    """The notebook's part of SCOREBOARD.md, and the counts of its row of README.md."""
    from studies import report

    title = json.loads(files.read(tool.ROOT / f"data/published/{paper}.json"))["paper"]
    numbers, results = report.published(paper), stored(files, name)
    parts, theirs, ours = claims_part(files, name, numbers)
    lists = floats(files, name, numbers)
    made = [sum(row[i] == "made" for row in lists) for i in (3, 4)]
    text = [
        f"## {name}: {title}",
        *parts,
        f"### Figures and tables: {made[0]} of {len(lists)} in the paper profile, {made[1]} quick",
        table(["float", "what it shows", "published numbers (certainty)", "paper profile", "quick"],
              lists),
        "### What was computed, what was reduced, what was not computed",
        *results.text()]
    row = [theirs, ours, [*made, len(lists)], [len(results.cells)], [results.left()]]
    return "\n\n".join(text), row


def shown(label, numbers) -> list:
    """A row of README.md, from lists of counts."""
    theirs, ours, (paper, quick, of), (cells,), (gone,) = numbers
    return [label, " / ".join(map(str, theirs)), " / ".join(map(str, ours)),
            f"{paper} / {quick} of {of}", cells, gone]


def written(files) -> dict:
    """{path: the text it should have}."""
    os.environ["PROFILE"] = "paper"
    for given in ("SEED", "DEVICE", "FRESH"):
        os.environ.pop(given, None)
    with tempfile.TemporaryDirectory() as products:
        os.environ["PRODUCTS"], here = products, os.getcwd()
        os.chdir(tool.NOTEBOOKS)
        pages = {name: page(files, name, paper) for name, paper in papers(files).items()}
        os.chdir(here)
    rows = [shown(f"[{name}](notebooks/{name}.ipynb)", row) for name, (_, row) in pages.items()]
    columns = zip(*(row for _, row in pages.values()), strict=True)
    total = [np.sum(column, 0).tolist() for column in columns]
    summary = table(SUMMARY, rows + ([shown("all", total)] if rows else []))
    readme = files.read(README)
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise SystemExit(f"README.md needs the lines {BEGIN} and {END}, once each")
    head, tail = readme.split(BEGIN)[0], readme.split(END)[1]
    parts = [f"{HEAD}\n{summary}", *(text for text, _ in pages.values())]
    return {SCORES: "\n\n".join(parts) + "\n",
            README: f"{head}{BEGIN}\n{summary}\n{END}{tail}"}


def main(check=False) -> int:
    wrong = []
    for path, text in written(Committed if check else OnDisk).items():
        if not check:
            path.write_text(text)
            print(path.name)
        elif Committed.read(path) != text:
            wrong.append(path.name)
    if wrong:
        print(f"not in step with claims and results: {', '.join(wrong)}; make scoreboard")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
