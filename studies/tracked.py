"""What another page has stored: its tracked cells, for a page that shows them beside its own."""

import json

from lib import files
from studies import cells
from studies.keys import check_name
from studies.store import FOLDERS

IDENTITY = ("function", "config", "version")  # what a tracked cell says of itself


def cell(notebook: str, sweep: str) -> cells.Cell | None:
    """All parts that `notebook` has stored under the name of a sweep, as one cell, or None where
    there is none. Nothing is declared or computed: a part says itself of which config it is.

    Raises ValueError for a name that is none, Damaged for a part that is not what was stored."""
    check_name("notebook", notebook)
    check_name("the sweep's name", sweep)
    folder = files.ROOT / FOLDERS["paper"] / notebook
    parts = []
    for path in sorted(folder.glob(f"{sweep}-[0-9][0-9]-*.json")):
        said = json.loads(path.read_text())
        parts.append(cells.read(path, {name: said[name] for name in IDENTITY}))
    return cells.joined(parts, "paper") if parts else None
