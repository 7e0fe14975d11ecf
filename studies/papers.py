"""What a paper prints: its numbers, and its figures and tables.

Without torch, so that a tool that only looks at what a run made starts fast.
"""

import json

import pandas as pd

from lib import files
from studies import keys

CERTAINTIES = ("read", "quoted", "digitised", "recalled")


def published(paper: str) -> pd.DataFrame:
    """The numbers a paper prints, a row each, from `data/published/<paper>.json`:

    {"paper": "...",
     "floats": {"fig3": {"title": "...", "product": "fig3_leakage"},
                "fig9": {"title": "...", "reason": "why it is not made"}},
     "numbers": [{"float": "fig6", "row": "DLG", "column": "MNIST", "value": 0.0038, "spread": null,
                  "unit": "...", "settings": "...", "source": "...", "certainty": "recalled"}]}

    product: the name given to save_figure or save_table. certainty: read (in the paper), quoted (in
    another text), digitised (off a plot), recalled (from memory). The floats are in `.attrs`.
    Raises ValueError naming the first entry that breaks this layout."""
    keys.check_name("paper", paper)
    path = files.ROOT / f"data/published/{paper}.json"
    if not path.is_file():
        raise ValueError(f"no published numbers of the paper {paper!r}: {path} is missing")
    document = json.loads(path.read_text())
    for name, entry in document.setdefault("floats", {}).items():
        if not entry.get("title") or ("product" in entry) == ("reason" in entry):
            raise ValueError(f"{path.name}: float {name} needs a title, and a product or a reason")
    for number in document.setdefault("numbers", []):
        if number.get("float") not in document["floats"]:
            raise ValueError(f"{path.name}: the float of {number} is not listed")
        if number.get("certainty") not in CERTAINTIES:
            raise ValueError(f"{path.name}: the certainty of {number} is none of {CERTAINTIES}")
    table = pd.DataFrame(document["numbers"], columns=[
        "float", "row", "column", "value", "spread", "unit", "settings", "source", "certainty"])
    table.attrs["floats"] = document["floats"]
    return table.astype({"value": float, "spread": float})


def show(number: pd.Series | dict) -> str:
    """A row of `published` as text, with the mark that it has to bear wherever it is shown."""
    text = "–" if pd.isna(number["value"]) else f"{number['value']:g}"
    text += "" if pd.isna(number["spread"]) else f" ± {number['spread']:g}"
    mark = number["certainty"]
    return text if mark == "read" or text == "–" else f"{text} ({mark})"
