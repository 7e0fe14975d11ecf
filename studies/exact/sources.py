"""Where each published number and statement of notebook 09 comes from, and how sure we are."""

import pandas as pd

STATEMENTS = (  # what is said, where, how we know
    ("SPEAR: low rank of the gradient, zeros of ReLU, sampling; exact", "abstract of 2403.03945",
     "read"),
    ("SPEAR: proposals are filtered by sparsity, then chosen greedily; dl/db gives the scale",
     "a review of 2403.03945, its Figure 2", "quoted"),
    ("SPEAR: the score that counts matching signs", "2403.03945", "recalled"),
    ("Cocktail Party: the gradient mixes the inputs; independent components unmix it",
     "abstract of 2209.05578", "read"),
    ("Robbing the Fed: minimal changes to the model give verbatim copies, in large batches",
     "abstract of 2110.13057", "read"),
    ("Robbing the Fed: bins of one linear measurement, neighbours subtracted", "2110.13057",
     "recalled"),
    ("trap weights: changed weights, no changed architecture", "abstract of 2112.02918", "read"),
    ("trap weights: half of a row negative, the positive ones scaled down", "2112.02918",
     "recalled"),
    ("class fishing: changed parameters make large batches small", "abstract of 2202.00580",
     "read"),
    ("SEER: all attacks before it are detectable by principled checks", "abstract of 2306.03013",
     "read"),
    ("SEER's signal-to-noise ratio: one image's gradient over the others'", "2306.03013",
     "recalled"),
    ("weight structures and the dynamics of loss and gradient reveal newer attacks",
     "abstract of 2511.10502", "read"),
    ("DAGER: low rank of self-attention and discrete tokens check a token",
     "abstract of 2405.15586", "read"),
    ("R-GAP: a closed-form recursion of linear equations, and a rank analysis",
     "abstract of 2010.07733", "read"),
)


def listed(published: pd.DataFrame) -> pd.DataFrame:
    """The table of sources: published numbers, then `STATEMENTS`. published: as
    `report.published` gives it."""
    rows = [{"published": f"{number.row}, {number.column}: {number.value:g} {number.unit}",
             "where": number.source, "certainty": number.certainty}
            for number in published.itertuples()]
    rows += [dict(zip(("published", "where", "certainty"), row, strict=True))
             for row in STATEMENTS]
    return pd.DataFrame(rows)
