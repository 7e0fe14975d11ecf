"""Where each statement of notebook 10 comes from, and how sure we are."""

import pandas as pd

STATEMENTS = (  # what is said, where, how we know
    ("attacks remain possible for certain designs under highly restrictive assumptions; modern, "
     "performance-optimised models resist meaningful reconstruction visually",
     "abstract of 2508.19819, second version", "read"),
    ("many reported successes rely on upper-bound settings, such as inference mode or simplified "
     "architectures", "abstract of 2508.19819, second version", "read"),
    ("inference-mode clients dramatically simplify inversion; in train mode it needs shallow and "
     "wide models with skip connections and pre-activation norms",
     "abstract of 2508.19819, first version", "read"),
    ("clients' data can still be effectively reconstructed within realistic environments; failures "
     "stem from the gradient matching problem; partial gradient matching and gradient "
     "regularization", "abstract of 2506.08435", "read"),
    ("an upper bound on the success of any reconstruction attack on DP-SGD, and an attack that "
     "matches it", "abstract of 2302.07225", "read"),
    ("closed-form bounds on MSE and PSNR of an attacker without prior knowledge, as estimation of "
     "a mean, with regularised gamma functions", "a summary of 2402.12861", "quoted"),
    ("Soteria: |dr/dx| / (|r| + 0.1), the smallest pruned from the last dense layer's gradient",
     "official code of 2012.06043 (GS_attack)", "read"),
    ("Soteria falls to an attacker who removes the defended layer",
     "official code of 2111.04706 and its README", "read"),
    ("PRECODE: a variational bottleneck; mean, log-variance, sample, decoder",
     "abstract of 2108.04725; code of 2111.04706", "read"),
    ("PRECODE falls to an attacker who omits the stochastic gradients", "abstract of 2208.04767",
     "read"),
    ("PRECODE before a dense network: the first layer's division gives the image exactly",
     "code of 2111.04706", "read"),
    ("PRECODE's width of 256; Soteria's share of 0.8", "2108.04725, 2012.06043", "recalled"),
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
