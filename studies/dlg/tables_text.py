"""Table 2 in numbers: sentences read back from the gradient of a masked language model."""

import pandas as pd

from studies import choose
from studies.cells import Cell
from studies.dlg import compute

ITERATIONS = (10, 20, 30)  # the columns of the paper's table


def read_back(cell: Cell) -> pd.Series:
    """The first client's sentence as read at each recorded iteration, and the private one."""
    words = compute.vocabulary()

    def sentence(tokens) -> str:
        return " ".join(words[token] for token in tokens)

    lines = {}
    for t, iteration in enumerate(cell.config[0]["record"]):
        label = f"{iteration} iterations" if iteration else "start"
        lines[label] = sentence(cell.arrays["read"][0, t])
    lines["private sentence"] = sentence(cell.arrays["truth"][0])
    return pd.Series(lines, name="read back")


def reads(cell: Cell) -> dict[str, str]:
    """Share of tokens read right (mean and sd over sentences) and sentences without a mistake, at
    each recorded iteration."""
    words = {}
    for iteration, shares in cell.table.groupby("iteration").tokens:
        sd = f" ± {100 * shares.std():.0f}" if len(shares) > 1 else ""
        words[f"{iteration} iterations"] = (
            f"{100 * shares.mean():.0f}{sd} %; {(shares == 1).sum()} of {len(shares)} exact")
    return words


def text(sweeps: dict, published: pd.DataFrame) -> pd.DataFrame:
    """Table 2: a row a run and search, a column an iteration. published: the iterations at which
    the paper's sentences are exact."""
    exact, last = len(published), published.value.max()
    rows = {("published", "BERT"): {f"{last:g} iterations": f"{exact} of {exact} exact"}}
    for run, cells in choose.by_run(sweeps).items():
        for name, cell in cells.items():
            rows["this run" if run == choose.QUICK else run, name] = reads(cell)
    table = pd.DataFrame(rows).T.rename_axis(["run", "L-BFGS"])
    return table[[f"{i} iterations" for i in ITERATIONS]].fillna("–")
