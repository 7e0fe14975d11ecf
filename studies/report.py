"""What a notebook shows and keeps: published numbers, figures, tables, captions.

Products go to `build/<profile>/<notebook>`, or below the folder that the environment variable
PRODUCTS names; make moves them to `figures/` when the notebook has succeeded.
"""

import io
import json
from collections.abc import Callable

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from IPython import get_ipython
from IPython.display import Image as Shown
from IPython.display import Markdown, display
from matplotlib.figure import Figure
from pandas.io.formats.style import Styler
from PIL import Image

from lib import files
from lib.run import Run, environment
from studies import keys, plots, store
from studies.cells import Cell
from studies.papers import published as published  # a page asks for it here
from studies.papers import show as show
from studies.pictures import small_png

MOST_SETTINGS = 3  # that a caption names
MOST_COLUMNS = 7  # of a table on a page
DPI = 200  # of a figure's file


def start(notebook: str, run: Run, paper: str | None = None) -> None:
    """Say whose cells and products follow. `make figures` holds them to the floats of `paper`.

    From here on figures have the house style, whatever matplotlibrc a user has.
    Raises ValueError for another type, or where the environment variable FRESH is not 1 or 0."""
    study = store.start(notebook, run)
    plots.style()
    about = {"paper": paper, "profile": run.profile, "seed": run.seed}
    files.write_json(study.product("about.json"), about | environment(run.device))


def save_figure(fig: Figure, name: str, alt: str) -> None:
    """Show the figure, and write `<name>.png` and `<name>.pdf` among the products; the same figure,
    the same bytes.

    alt: what it shows, in a sentence or two, for who cannot see it. It goes with the picture in the
    notebook, and into `figures.json`. ValueError where it is shorter than 40 characters."""
    keys.check_name("the figure's name", name)
    if not isinstance(alt, str) or len(alt) < 40:
        raise ValueError(f"{name}: alternative text says what the figure shows, not {alt!r}")
    if not isinstance(fig, Figure):
        raise ValueError(f"fig must be a matplotlib Figure, not {type(fig).__name__}")
    drawn = _drawn(fig)
    for kind, picture in (("png", small_png(drawn["png"])), ("pdf", drawn["pdf"])):
        with files.atomic(store.current().product(f"{name}.{kind}")) as file:
            file.write(picture)
    known = store.current().product("figures.json")
    texts = json.loads(known.read_text()) if known.exists() else {}
    files.write_json(known, texts | {name: alt})
    if get_ipython():
        display(Shown(data=_on_page(drawn["png"])), metadata={"image/png": {"alt": alt}})
        plt.close(fig)


def _drawn(fig: Figure) -> dict[str, bytes]:
    """The figure as png and as pdf. It is laid out and measured once for both: that takes as long
    as drawing it."""
    fig.dpi = DPI
    fig.draw_without_rendering()
    fig.set_layout_engine("none")
    box = fig.get_tightbbox().padded(plt.rcParams["savefig.pad_inches"])
    undated = {"png": ["Software"], "pdf": ["CreationDate", "Creator", "Producer"]}
    drawn = {}
    for kind, dates in undated.items():
        file = io.BytesIO()
        fig.savefig(file, format=kind, dpi=DPI, bbox_inches=box, metadata=dict.fromkeys(dates))
        drawn[kind] = file.getvalue()
    return drawn


def _on_page(png: bytes) -> bytes:
    """The picture as small as a page shows it."""
    drawn = Image.open(io.BytesIO(png)).convert("RGB")
    size = [round(length * plt.rcParams["figure.dpi"] / DPI) for length in drawn.size]
    small = io.BytesIO()
    drawn.resize(size, Image.Resampling.BOX).save(small, "png")
    return small_png(small.getvalue())


def save_table(table: pd.DataFrame, name: str) -> None:
    """Write `<name>.csv` among the products. Times belong in `save_timings`."""
    keys.check_name("the table's name", name)
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a DataFrame, not {type(table).__name__}")
    with files.atomic(store.current().product(f"{name}.csv")) as file:
        table.to_csv(file, index=not isinstance(table.index, pd.RangeIndex), lineterminator="\n")


def save_timings(table: pd.DataFrame) -> None:
    """Write `timings.csv`, the one product that no comparison looks at."""
    save_table(table, "timings")


def not_made(float_id: str, reason: str) -> None:
    """Say why this run does not make a float of the paper (a missing data set, the profile)."""
    keys.check_name("float_id", float_id)
    if not isinstance(reason, str) or not reason:
        raise ValueError(f"reason must say why {float_id} is not made, not {reason!r}")
    path = store.current().product("reasons.json")
    known = json.loads(path.read_text()) if path.exists() else {}
    files.write_json(path, known | {float_id: reason})


def wrapped(table: pd.DataFrame) -> Styler:
    """A table of texts as a page shows it: they begin at the left, and wrap."""
    return table.style.set_properties(**{"white-space": "normal", "text-align": "left"})


def table(rows: pd.DataFrame | pd.Series, **formats: str) -> Styler:
    """A table as a page shows it: numbers to three significant digits, "–" for what is missing, no
    column that is wholly missing, no index but a named one, texts that wrap.

    formats: column -> another format, "{:.0%}" for instance. ValueError for more than seven columns
    (a reader compares no more), or a format of a column that is not there."""
    if isinstance(rows, pd.Series):
        rows = rows.to_frame()
    if not isinstance(rows, pd.DataFrame):
        raise ValueError(f"table shows a DataFrame or a Series, not {type(rows).__name__}")
    unknown = [name for name in formats if name not in rows.columns]
    if unknown:
        raise ValueError(f"no column {unknown[0]!r}: there are {', '.join(map(str, rows.columns))}")
    shown = rows.dropna(axis="columns", how="all")
    named = any(name is not None for name in shown.index.names)
    columns = len(shown.columns) + named * shown.index.nlevels
    if columns > MOST_COLUMNS:
        raise ValueError(f"{columns} columns: a page shows at most {MOST_COLUMNS}, choose them")
    if named:  # as columns: a named index has a row of its own in the head
        shown = shown.reset_index()
    written = {name: _formatted(formats.get(name)) for name in shown.columns}
    return wrapped(shown).format(written, escape="html").hide(axis="index")


def _formatted(how: str | None) -> Callable[[object], str]:
    """How one value of a column is written."""
    def written(value: object) -> str:
        if not isinstance(value, list | tuple | dict) and pd.isna(value):
            return "–"
        if how is not None and not isinstance(value, str):
            return how.format(value)
        return significant(value) if isinstance(value, float | np.floating) else str(value)
    return written


def significant(value: float, digits: int = 3) -> str:
    """A number to so many significant digits: "0.0123", "12.3", "12,345", "1.2e-07"."""
    if not np.isfinite(value):
        return str(value).replace("inf", "∞")
    if value == 0:
        return "0"
    power = np.floor(np.log10(abs(value)))
    if power < -3:
        return f"{value:.{digits - 2}e}"
    return f"{value:,.{max(int(digits - 1 - power), 0)}f}"


def caption(text: str, *shown: Cell) -> None:
    """Show in italics of which profile, device and settings the cells of a figure are, and a text.
    """
    settings_of = {}
    for cell in shown:
        settings = settings_of.setdefault((cell.profile, cell.device), [])
        words = store.in_words(cell.config)
        if words and words not in settings:
            settings.append(words)
    parts = []
    for (profile, device), settings in settings_of.items():
        stored = ", stored" if store.current().run.quick and profile == "paper" else ""
        named = " | ".join(settings[:MOST_SETTINGS])
        left = len(settings) - MOST_SETTINGS
        more = f" | and {left} more" if left > 0 else ""
        about = f": {named}{more}" if named else ""
        parts.append(f"{profile.capitalize()} profile{stored}, {device}{about}.")
    display(Markdown(f"*{' '.join([*parts, text]).strip()}*"))


def declared(*sweeps: store.Sweep) -> pd.DataFrame:
    """What a study declares, a row a sweep: its settings in both profiles, and whether the paper
    profile's cells are stored."""
    rows = []
    for sweep in sweeps:
        rows.append({"sweep": sweep.name, "quick": sweep.describe("quick"),
                     "paper": sweep.describe("paper"),
                     "stored": "yes" if sweep.stored() is not None else "no"})
    return pd.DataFrame(rows)
