"""`make scoreboard`: every claim with its verdict in SCOREBOARD.md, and their counts in README.md.

    python tools/scoreboard.py            write both
    python tools/scoreboard.py --check    only say which is not in step with what is committed

Nothing in them is typed. Claims and the names of what was drawn are read from
figures/<profile>/<notebook>, published numbers from data/published, what was computed from
data/cells and from the sweeps that the notebooks declare.
"""

import io
import json
import os
import re
import subprocess
import sys
import tempfile
from collections import Counter

import numpy as np
import pandas as pd
import plan
import run_notebook as tool

SCORES, README = tool.ROOT / "SCOREBOARD.md", tool.ROOT / "README.md"
BEGIN, END = "<!-- scoreboard: make scoreboard -->", "<!-- end of the scoreboard -->"
WORDS = {"True": "holds", "False": "fails", "None": "undecided"}
STATES = ("holds", "fails", "undecided", "not computed")
# [read], (recalled), (Fig. 1, digitised), [read; more], (quoted: "...")
MARK = re.compile(r"[\[(](?:[^\[\]()]*, )?(read|quoted|digitised|recalled|inferred)[\]);:]")
FLOAT = re.compile(r"\b(?:(Fig|Table)\w*\.? ?(\d+)|(R\d+))")
HEAD = """# Scoreboard

Written by `make scoreboard`, from the tracked claims, published numbers and stored results;
nothing here is typed. A claim **holds**, **fails** or is **undecided** by the rule beside it in
the notebook's ledger (`figures/*/*/claims.csv`); it is **not computed** where nothing was counted.

- *Published*: how sure we are that the paper says it: *read* in the paper, *quoted* from another
  text, *digitised* off a plot, *recalled* from memory, *inferred*; with the float's published
  numbers, where it has at most four. *Ours*: our own claim; *third party*: neither the paper's nor
  ours; –: the paper's, without a mark.
- *Quick*: the run without data sets. "Same" where verdict and numbers are those of the paper
  profile: most quick runs decide their claims from its stored report.
- n: what the rule counts: images, attacks, clients or networks.
- A figure or table is *made* where the run drew it. With which network, n and data: see what
  differs, below each notebook's tables. Single rows of it may be "not computed": see the last line.
"""
SUMMARY = ["notebook", "the paper's claims: " + " / ".join(STATES), "others: ours, third parties'",
           "figures and tables made: paper profile / quick", "stored results", "not computed"]


class OnDisk:
    """The files as they are."""

    @staticmethod
    def read(path):
        return path.read_text()

    @staticmethod
    def under(folder):
        return sorted(path for path in (tool.ROOT / folder).rglob("*") if path.is_file())


class Committed:
    """The files as git has them: a run on this machine may have written others."""

    @staticmethod
    def read(path):
        return git("show", f":{path.relative_to(tool.ROOT).as_posix()}")

    @staticmethod
    def under(folder):
        return [tool.ROOT / name for name in git("ls-files", "-z", folder).split("\0") if name]


def git(*words) -> str:
    found = subprocess.run(["git", *words], cwd=tool.ROOT, capture_output=True, check=True)
    return found.stdout.decode()


def papers(files) -> dict:
    """{notebook: paper} of those that follow a paper."""
    found = {path.parent.name: json.loads(files.read(path))["paper"]
             for path in files.under("figures/paper") if path.name == "about.json"}
    return {name: paper for name, paper in sorted(found.items()) if paper}


def claims(files, profile, name) -> pd.DataFrame:
    """The ledger, with the columns state and origin."""
    text = files.read(tool.ROOT / f"figures/{profile}/{name}/claims.csv")
    found = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    states = found.verdict.map(WORDS).mask((found.verdict == "None") & (found.n == "0"), STATES[3])
    return found.assign(state=states, origin=origins(found.claim))


def origins(texts) -> list:
    """Who says it, and how sure we are of that; "the same ..." is said by whoever spoke before."""
    found = []
    for text in texts:
        marks = ", ".join(dict.fromkeys(MARK.findall(text)))
        again = text.startswith(("the same", "nor does", "exact against")) and found and not marks
        if re.match(r"ours?\b", text):
            found.append("ours")
        elif text.startswith("a third party"):
            found.append(f"third party, {marks}")
        else:
            found.append(found[-1] if again else marks or "–")
    return found


def table(head, rows) -> str:
    cells = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ")
                                       for cell in row) + " |" for row in cells)


def counts(states) -> list:
    found = Counter(states)
    return [found[state] for state in STATES]


def told(numbers, most) -> str:
    """Published numbers with their marks; where there are more than `most`, how many more."""
    from studies import report

    each = [f"{n['row']}{', ' + n['column'] if n['column'] else ''}: {report.show(n)}"
            for _, n in numbers.fillna({"column": ""}).iterrows()]
    return "; ".join(each[:most]) + (f"; and {len(each) - most} more" if len(each) > most else "")


def claims_table(files, name, numbers) -> str:
    paper, quick = claims(files, "paper", name), claims(files, "quick", name).set_index("id")
    rows = []
    for one in paper.itertuples():
        other = "–"
        if one.id in quick.index:
            live = quick.loc[one.id]
            same = (live.verdict, live.measured) == (one.verdict, one.measured)
            other = "same" if same else f"{live.state}: {live.measured} (n = {live.n})"
        said = numbers[numbers.float.isin([
            (kind[:3] + n if kind == "Fig" else kind + n).lower() if kind else r.lower()
            for kind, n, r in FLOAT.findall(one.claim)])]
        few = one.origin[0] in "rqdi" and 0 < len(said) <= 4
        rows.append([one.claim, one.origin + (f"; {told(said, 4)}" if few else ""),
                     f"**{one.state}**", one.measured, one.n, other])
    return table(["claim", "published", "verdict", "paper profile", "n", "quick"], rows)


def floats(files, name, numbers) -> list:
    """The paper's figures and tables: [id, title, published numbers, in paper, in quick]."""
    made = {profile: json.loads(files.read(tool.ROOT / f"figures/{profile}/{name}/made.json"))
            for profile in ("paper", "quick")}
    rows = []
    for key, entry in numbers.attrs["floats"].items():
        places = [entry["reason"], "–"] if "reason" in entry else [
            "made" if entry["product"] in made[profile]["products"]
            else made[profile]["reasons"].get(key, "not made") for profile in ("paper", "quick")]
        published = numbers[numbers.float == key]
        rows.append([key, entry["title"], told(published, 12) or "none known", *places])
    return rows


def page(files, name, paper) -> tuple[str, list]:
    """The notebook's part of SCOREBOARD.md, and the counts of its row of README.md."""
    from studies import report

    title = json.loads(files.read(tool.ROOT / f"data/published/{paper}.json"))["paper"]
    numbers, ledger, sweeps = report.published(paper), claims(files, "paper", name), \
        plan.declared(name)
    here = {path for path in files.under(f"data/cells/{name}") if path.suffix == ".json"}
    cells = [json.loads(files.read(path)) for sweep in sweeps for path in sweep.files
             if path in here]
    gone = {sweep.name: (sum(path not in here for path in sweep.files), len(sweep.files))
            for sweep in sweeps}
    gone = {what: (left, parts) for what, (left, parts) in gone.items() if left}
    others = ledger.origin.str.startswith(("ours", "third"))
    theirs, ours = counts(ledger.state[~others]), counts(ledger.state[others])
    lists = floats(files, name, numbers)
    made = [sum(row[i] == "made" for row in lists) for i in (3, 4)]
    why = Counter(cell["comparable"] for cell in cells if cell["comparable"] is not True)
    text = [
        f"## {name}: {title}",
        f"{' / '.join(STATES)}: {' / '.join(map(str, theirs))} of the paper's claims, "
        f"{' / '.join(map(str, ours))} of others.",
        claims_table(files, name, numbers),
        f"### Figures and tables: {made[0]} of {len(lists)} in the paper profile, {made[1]} quick",
        table(["float", "what it shows", "published numbers (certainty)", "paper profile", "quick"],
              lists),
        "### What was computed, what was reduced, what was not computed",
        f"{len(cells)} stored results of the paper profile, computed on "
        f"{'; '.join(sorted({cell['device'] for cell in cells}))}. "
        f"{len(cells) - sum(why.values())} of them bear no note on what differs from the paper"
        + ("; the others:" if why else "."),
        table(["what differs", "results"], why.most_common()) if why else "",
        "Not computed here: " + ("; ".join(
            what + (f" ({left} of {parts} parts)" if parts > 1 else "")
            for what, (left, parts) in gone.items()) or "nothing") + "."]
    row = [theirs, ours, [*made, len(lists)], [len(cells)],
           [sum(left for left, _ in gone.values())]]
    return "\n\n".join(part for part in text if part), row


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
    total = [np.sum(column, 0).tolist() for column in zip(*(row for _, row in pages.values()),
                                                           strict=True)]
    summary = table(SUMMARY, rows + ([shown("all", total)] if rows else []))
    readme = files.read(README)
    if readme.count(BEGIN) != 1 or readme.count(END) != 1:
        raise SystemExit(f"README.md needs the lines {BEGIN} and {END}, once each")
    head, tail = readme.split(BEGIN)[0], readme.split(END)[1]
    parts = [HEAD + "\n" + summary, *(text for text, _ in pages.values())]
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
