"""Where each published number and rule of notebook 02 is from, and how sure that is."""

import pandas as pd

from studies.idlg import plan

CODE = "official code, iDLG.py at dabb481"
OTHERS = [  # what the page says of the paper beside its tables: (what, where, how sure)
    ("Figure 2: the face appears after 130 to 150 iterations with DLG, 40 to 50 with iDLG",
     "the picture in the official repository", "read"),
    ("1,000 experiments a set; 5,749 people in LFW; L-BFGS, learning rate 1; stop at 1e-6",
     CODE, "read"),
    ("rule of the row sums", CODE, "read"),
    ("rule of the bias", "first version of the official code, December 2019", "read"),
    ("rule of the products", "a summary by a third party, in which the sign is missing",
     "quoted; the sign recalled"),
    ("rules of Wainakh et al. and Ma et al.", "their papers", "recalled"),
    ("that Table 1 and Figure 1 count 1,000 experiments", "the code prints single ones",
     "inferred"),
]


def sources(numbers: pd.DataFrame) -> pd.DataFrame:
    """A row a published number, or a curve of them. numbers: `report.published("idlg")`."""
    rows = []
    for row in numbers[numbers.float == "table1"].itertuples():
        rows.append((f"Table 1, {row.column}, {row.row}: {row.value:g} %", row.source,
                     row.certainty))
    for paper_set in plan.SETS:
        for attack in plan.BOTH:
            points = numbers[numbers.row == f"{paper_set}, {attack}"]
            values = ", ".join(f"{value:g}" for value in points.value)
            rows.append((f"Figure 1, {paper_set}, {attack}: {values} % at an MSE of "
                         f"{', '.join(points.column)}", points.source.iloc[0],
                         f"{points.certainty.iloc[0]}, ± {points.spread.iloc[0]:g} point"))
    return pd.DataFrame(rows + OTHERS, columns=["published †", "where", "how sure"])
