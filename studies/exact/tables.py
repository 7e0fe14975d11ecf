"""Tables of notebook 09, and what its claims count."""

import pandas as pd

from studies.cells import Cell

ATTACKS = {  # of `compute.same_update`, in words
    "division": "division of rows", "components": "components of pixels",
    "differences": "components of differences", "search": "search in the span", "spear": "SPEAR"}
NEAR = 1e-2  # MSE below which an image can be recognised, as on page 06
KINDS = {"fresh": "honest, fresh", "trained": "honest, trained", "imprint": "imprint module",
         "trap": "trap weights", "fished": "class fishing", "permuted": "classes permuted"}
SIGNS = {"signal_ratio": "signal ratio", "repeated_rows": "repeated rows", "lean": "leaning rows",
         "surprise": "surprise"}


def whole(cell: Cell) -> pd.DataFrame:
    """The rows of `compute.batches` with `whole`, whether all images of the batch came back, and
    `width`, the neurons of the network."""
    widths = [config["victim"]["hidden"][0] for config in cell.config]
    return cell.table.assign(whole=(cell.table.recovered == 1).astype(float),
                             width=cell.table.part.map(dict(enumerate(widths))))


def success(cell: Cell) -> pd.DataFrame:
    """Share of the clients whose whole batch came back, a row a width, a column a batch size."""
    table = whole(cell).groupby(["width", "B"]).whole.mean().unstack()
    return table.add_prefix("B = ").rename_axis("neurons").rename_axis(columns=None)


def arms(main: Cell, others: dict[str, Cell], width: int) -> pd.DataFrame:
    """The same for the network of one width, and for each arm that differs from it."""
    frames = {"fresh, normalised, float64": whole(main).query("width == @width")}
    frames |= {name: whole(cell) for name, cell in others.items()}
    rows = {name: frame.groupby("B").whole.mean() for name, frame in frames.items()}
    table = pd.DataFrame(rows).T
    return table.rename(columns="B = {}".format).rename_axis("network").rename_axis(columns=None)


def same(cell: Cell, below: float) -> pd.DataFrame:
    """Share of the images with an MSE below a level, a row an attack, a column a batch size."""
    rows = cell.table.assign(good=(cell.table.mse < below).astype(float))
    table = rows.groupby(["attack", "B"]).good.mean().unstack().loc[list(ATTACKS)]
    return table.rename(index=ATTACKS, columns="B = {}".format).rename_axis(
        "attack").rename_axis(columns=None)


def same_of_network(cell: Cell, attack: str, batch_size: int, below: float) -> pd.Series:
    """Share of one attack's images below a level, by client."""
    rows = cell.table[(cell.table.attack == attack) & (cell.table.B == batch_size)]
    return (rows.mse < below).groupby(rows.client).mean()


def large(cell: Cell) -> pd.DataFrame:
    """Share of the images recovered, a row a kind and number of units, a column a batch size; and
    what counting expects of an imprint."""
    rows = cell.table.groupby(["kind", "units", "B"])[["recovered", "expected"]].mean()
    table = rows.recovered.unstack()
    expected = rows.loc[["imprint"]].expected.unstack()
    expected.index = expected.index.set_levels(["counted for an imprint"], level=0)
    order = ["honest", "trap", "imprint"]
    table = pd.concat([table.loc[[kind]] for kind in order] + [expected])
    words = {"honest": "honest neurons", "trap": "trap weights", "imprint": "imprint module"}
    table = table.rename(index=words, level=0).rename(columns="B = {}".format)
    return table.rename_axis(["server", "neurons or bins"]).rename_axis(columns=None)


def fishing(cell: Cell) -> pd.DataFrame:
    """A row a client: images of the batch, classes, rank of three gradients, images recovered."""
    rows = cell.table.groupby("client")
    return pd.DataFrame({
        "images": rows["count"].sum(), "rounds": rows.label.count(),
        "rank, honest": rows.honest_rank.first(), "rank, permuted": rows.permuted_rank.first(),
        "largest rank, fished": rows["rank"].max(), "recovered": rows.recovered.sum()})


def alarms(cell: Cell) -> tuple[pd.DataFrame, pd.Series]:
    """(the rows of the second half of the networks with `alarm`: does a sign exceed the largest
    value that an honest network of the first half shows at that batch size?; those values of the
    largest batch, by network)."""
    rows = cell.table
    half = (rows.client.max() + 1) // 2
    honest = rows[rows.kind.isin(["fresh", "trained"]) & (rows.client < half)]
    levels = honest.groupby(["victim", "B"])[list(SIGNS)].max()
    judged = rows[rows.client >= half].copy()
    level = levels.loc[list(zip(judged.victim, judged.B, strict=True))].to_numpy()
    over = judged[list(SIGNS)].to_numpy() > level
    for i, sign in enumerate(SIGNS):
        judged[f"over_{sign}"] = over[:, i]
    judged["alarm"] = over.any(1)
    return judged, levels


def detection(cell: Cell) -> pd.DataFrame:
    """How many of the second half of the networks raise an alarm, a row a kind, a column a sign."""
    judged, _ = alarms(cell)
    columns = {f"over_{sign}": words for sign, words in SIGNS.items()} | {"alarm": "any of them"}
    table = judged.groupby("kind")[list(columns)].mean().rename(columns=columns)
    table["models"] = judged.groupby("kind").alarm.size()
    return table.loc[list(KINDS)].rename(index=KINDS).rename_axis("what the server sent")


def tokens(cell: Cell) -> pd.DataFrame:
    """The span test, a row a width, number of sentences and length."""
    rows = cell.table.assign(
        clean=(cell.table["false"] == 0) & cell.table.held,
        full=cell.table["rank"] == cell.table.width)
    grouped = rows.groupby(["width", "sentences", "length"])
    table = pd.DataFrame({
        "tokens there": grouped.pairs.mean(), "found": grouped.found.mean(),
        "all are found": grouped.held.mean(), "no other is": grouped.clean.mean(),
        "span is full": grouped.full.mean()})
    return table


def recursion(cell: Cell) -> pd.DataFrame:
    """The recursion, a row a number of channels and activation."""
    grouped = cell.table.groupby(["activation", "channels"])
    return pd.DataFrame({
        "equations counted": grouped.equations.first(), "rank found": grouped["rank"].median(),
        "pixels": grouped.pixels.first(), "exact": grouped.exact.mean(),
        "median MSE": grouped.mse.median()})
