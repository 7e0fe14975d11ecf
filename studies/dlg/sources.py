"""Where each published number and statement of notebook 01 comes from, and how sure we are."""

import pandas as pd

STATEMENTS = (  # what the paper says, where, how we know: a certainty of `data/published`, or ours
    ("Algorithm 1: match the gradient by moving image and label", "Algorithm 1", "read"),
    ("softmax of the dummy label's logits", "official code", "read"),
    ("L-BFGS in place of the plain step", "text", "quoted"),
    ("L-BFGS with learning rate 1, history 100, 20 inner iterations", "official code", "read"),
    ("1,200 iterations", "text", "quoted"),
    ("that the axes of its figures count calls of L-BFGS", "our reading", "inferred"),
    ("images attacked on ResNet-56", "text", "quoted"),
    ("ReLU replaced by the sigmoid, strides removed", "section 4.1", "quoted"),
    ("weights randomly initialised", "text", "quoted"),
    ("weights and biases from U(-0.5, 0.5)", "official code", "read"),
    ("a digit is recognisable at 10 iterations, a CIFAR-100 image at 100", "Figure 3", "read"),
    ("a batch of eight comes back", "Figure 4", "read"),
    ("the gradients' distance and the image's error fall together", "Figure 5", "recalled"),
    ("N! equivalent orders slow a batch; one image is updated at a time", "text",
     "quoted"),
    ("iteration i updates image i mod N", "text", "recalled"),
    ("the most effective defense is gradient pruning", "abstract", "quoted"),
    ("pruning 20 % and more defends", "text", "quoted"),
    ("the noise levels 1e-4 to 1e-1 are variances", "Figure 7a, b", "recalled"),
    ("D levels off at 0.075 and 0.145 under noise", "Figure 7a", "digitised"),
    ("whether a defense defends is judged by eye", "Table 3", "recalled"),
    ("sentences: the embeddings are searched", "text", "quoted"),
    ("sentences: each embedding is read as the nearest entry of the table", "text",
     "recalled"),
    ("a dense layer gives its input away by one division", "Phong et al. 2017", "recalled"),
)


def listed(published: pd.DataFrame) -> pd.DataFrame:
    """The table of sources: published numbers, those of one float and column together, then
    `STATEMENTS`. published: as `report.published` gives it."""
    rows = []
    told = published.assign(what=published.column.where(published.float == "table3", ""))
    for (name, what), numbers in told.groupby(["float", "what"], sort=False):
        rows.append({"published": f"{_of_what(name, what)}: {_values(numbers)}",
                     "where": ", ".join(numbers.source.unique()).replace("Fig.", "Figure"),
                     "certainty": ", ".join(numbers.certainty.unique())})
    rows += [dict(zip(("published", "where", "certainty"), row, strict=True))
             for row in STATEMENTS]
    return pd.DataFrame(rows)


def _of_what(name: str, what: str) -> str:
    """What the numbers of a float are."""
    return {"fig6": "mean MSE, n and pixel scale unknown",
            "table1": "iterations until a batch of 1, 2, 4, 8 is restored, criterion unknown",
            "table2": "iterations until a sentence is exact",
            "fig7": "labels printed in panel (a)"}.get(name) or {
                "accuracy": "accuracy under a defense, %",
                "defends": "does it defend?"}[what]


def _values(numbers: pd.DataFrame) -> str:
    """"MNIST 0.0038, CIFAR 0.0069": the numbers of one float and column."""
    words = []
    for row in numbers.to_dict("records"):
        value = "yes" if row["value"] else "no"
        if row["column"] != "defends":
            value = f"{row['value']:g}"
        of = row["column"] if row["float"] in ("fig6", "table1") else row["row"]
        if row["float"] in ("table1", "table2"):
            of = f"{of}:".replace("sentence", "no.")
        if row["float"] == "fig7":
            value = row["column"]
        at_most = "at most " * ("at most" in row["unit"])
        words.append(f"{of} {at_most}{value}")
    return ", ".join(words)
