"""The ledger of notebook 09: each claim with the rule that decides it, written before the runs.

Each client has a network of its own, so clients are networks."""

import numpy as np
import pandas as pd

from studies import next_runs, verdicts
from studies.cells import Cell
from studies.exact import tables
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

MOST = 0.5
SMALL = 1e-9  # MSE: exact
BUDGET = "our budget of draws, on two cores, is far below the paper's on a GPU"


def ledger(cells: dict[str, Cell]) -> Ledger:
    """All claims. cells: of one profile, by the names that `named` gives them."""
    book = Ledger(next_runs.OF["exact"])
    _spear(book, cells)
    _same(book, cells)
    _servers(book, cells)
    _seen(book, cells["seen"])
    _tokens(book, cells["tokens"])
    _recursion(book, cells["recursion"])
    return book


def _of(cell: Cell, id: str, text: str, **more) -> Claim:
    return Claim(id, text, stable=cell.profile == "paper", **more)


def _share(values) -> tuple[Decision, int]:
    """Is the mean share over networks above one half? And how many networks these are."""
    values = np.asarray(values, float)
    return verdicts.decide(values.sum(), len(values), MOST), len(values)


def _spear(book: Ledger, cells: dict[str, Cell]) -> None:
    main = tables.whole(cells["width"])
    ours = main[main.width == 128]
    cell, mine = cells["width"], {"float_id": "spear", "unit": "network"}
    decision, n = _share(ours[ours.B == 8].whole)
    book.add(_of(cell, "spear_exact", "batches of more than one image come back exactly from a "
                 "dense layer behind ReLU", origin="read", **mine), decision,
             "whole batches of 8, 128 neurons: share of networks above one half", n, n)
    largest = ours[ours.whole == 1].B.max()
    book.add(_of(cell, "spear_25", "exact for batches of up to about 25 images", origin="read",
                 not_tested=BUDGET, **mine), Decision(None, f"up to {largest} with 128 neurons"),
             "never decided: the largest batch that came back whole", n, n)
    narrow, wide = (main[(main.width == w)].groupby("client").whole.mean()
                    for w in (main.width.min(), main.width.max()))
    book.add(_of(cell, "spear_width", "ours: a wider layer gives more batches back", **mine),
             verdicts.decide_greater(wide, narrow, paired=True),
             "share of the batch sizes, widest against narrowest layer, paired by client, t-test",
             len(wide), 2 * len(wide))
    for name, id, text in (
            ("trained", "spear_trained", "ours: training the network stops it: a fresh network "
             "gives more batches back"),
            ("in [0, 1]", "spear_normalised", "ours: images that are not normalised stop it: "
             "normalised ones give more batches back"),
            ("float32", "spear_float32", "ours: a gradient in float32 stops it: one in float64 "
             "gives more batches back")):
        other = tables.whole(cells[name])
        pair = [frame.groupby("client").whole.mean() for frame in (ours, other)]
        book.add(_of(cell, id, text, **mine), verdicts.decide_greater(*pair, paired=True),
                 "share of the batch sizes with 128 neurons, paired by client, t-test",
                 len(pair[0]), len(pair[0]))
    smooth = tables.whole(cells["sigmoid"])
    book.add(_of(cell, "spear_sigmoid", "ours: behind a sigmoid, which leaves no zeros, it finds "
                 "nothing", check=True, **mine), Decision(not smooth.whole.any(), "no batch"
                 if not smooth.whole.any() else "some batches"), "no whole batch", len(smooth),
             smooth.client.nunique())


def _same(book: Ledger, cells: dict[str, Cell]) -> None:
    relu, smooth = cells["same_relu"], cells["same_sigmoid"]
    mine = {"float_id": "cocktail", "unit": "network"}

    def of(cell: Cell, attack: str, below: float) -> pd.Series:
        return tables.same_of_network(cell, attack, 4, below)

    n = len(of(relu, "spear", SMALL))
    book.add(_of(relu, "cocktail_1024", "independent components recover batches of up to 1,024",
                 origin="read", not_tested="the paper adds priors, and inverts features of large "
                 "networks; ours is the analysis alone, to 8 images", **mine), Decision(None, "–"),
             "never decided here", n, n)
    book.add(_of(relu, "components_differences", "ours: components of differences between pixels "
                 "recover more than components of pixels", **mine),
             verdicts.decide_greater(of(relu, "differences", tables.NEAR),
                                     of(relu, "components", tables.NEAR), paired=True),
             "MSE below 0.01, B = 4, paired by network, t-test", n, n)
    book.add(_of(relu, "spear_components", "ours: SPEAR recovers more than independent components "
                 "do", **mine), verdicts.decide_greater(
                     of(relu, "spear", tables.NEAR), of(relu, "differences", tables.NEAR),
                     paired=True), "MSE below 0.01, B = 4, behind ReLU, paired, t-test", n, n)
    decision, n = _share(of(smooth, "search", SMALL))
    book.add(_of(smooth, "search_smooth", "ours: behind a sigmoid the search in the span is exact, "
                 "where SPEAR finds nothing", **mine), decision,
             "MSE below 1e-9, B = 4: mean share over networks above one half", n, n)
    book.add(_of(relu, "search_relu", "ours: behind ReLU the search in the span recovers fewer "
                 "than SPEAR", **mine), verdicts.decide_greater(
                     of(relu, "spear", SMALL), of(relu, "search", SMALL), paired=True),
             "MSE below 1e-9, B = 4, paired by network, t-test", n, n)


def _servers(book: Ledger, cells: dict[str, Cell]) -> None:
    large, mine = cells["large"], {"float_id": "imprint", "unit": "network"}
    rows = large.table[large.table.units == large.table.units.max()]
    at = rows[rows.B == rows.B.min()]
    by_kind = {kind: some.set_index("client").recovered for kind, some in at.groupby("kind")}
    decision, n = _share(by_kind["imprint"])
    book.add(_of(large, "imprint_most", "an imprint module gives most of a large batch back",
                 origin="inferred", **mine), decision,
             "MSE below 1e-6, most bins, smallest batch: mean share above one half", n, n)
    last = rows[(rows.B == rows.B.max()) & (rows.kind == "imprint")]
    decision, n = _share(last.recovered)
    book.add(_of(large, "imprint_largest", "and so of the largest", origin="inferred", **mine),
             decision, "the same, largest batch", n, n)
    book.add(_of(large, "trap_half", "trap weights give more than half of batches of 100 back",
                 origin="read", not_tested="CIFAR-10 instead of ImageNet, our way of scaling the "
                 "weights", **mine),
             _share(by_kind["trap"])[0], "never decided here", n, n)
    book.add(_of(large, "trap_more", "ours: trap weights give more images back than honest ones",
                 **mine), verdicts.decide_greater(by_kind["trap"], by_kind["honest"], paired=True),
             "most neurons, smallest batch, paired by client, t-test", n, n)
    fished = tables.fishing(cells["fishing"])
    decision, n = _share(fished.recovered / fished.images)
    book.add(_of(cells["fishing"], "fishing_most", "ours: a round of fishing for each class gives "
                 "most of a batch of 64 back", float_id="fishing", unit="network"), decision,
             "MSE below 1e-9, mean share over networks above one half", n, n)


def _seen(book: Ledger, cell: Cell) -> None:
    judged, _ = tables.alarms(cell)
    mine = {"float_id": "signs", "unit": "network"}

    def of(kinds: list[str]) -> pd.Series:
        return judged[judged.kind.isin(kinds)].groupby(["victim", "client"]).alarm.mean()

    decision, n = _share(of(["imprint", "trap", "fished", "permuted"]))
    book.add(_of(cell, "attacks_seen", "malicious servers before SEER can be detected by clients",
                 origin="read", **mine), decision,
             "a sign above all honest networks of the other half: mean share above one half", n, n)
    for id, kinds, text in (
            ("alarms_fresh", ["fresh"], "ours: most honest fresh networks raise a false alarm"),
            ("alarms_trained", ["trained"], "ours: most honest trained networks raise a false "
             "alarm")):
        decision, n = _share(of(kinds))
        book.add(_of(cell, id, text, **mine), decision,
                 "the same rule: mean share above one half", n, n)


def _tokens(book: Ledger, cell: Cell) -> None:
    rows = cell.table[cell.table.width == 64]
    mine = {"float_id": "dager", "unit": "sentence"}
    single = rows[(rows.sentences == 1) & (rows.length == 16)]
    decision, n = _share(single.sentence)
    book.add(_of(cell, "dager_single", "ours, by the paper's test: a sentence comes back without a "
                 "mistake", **mine), decision,
             "16 tokens, masked ones too; a model each: share above one half", n, n)
    book.add(_of(cell, "dager_batches", "whole batches of text come back exactly, up to 128",
                 origin="read", not_tested="the test of the first layer alone, on a small model "
                 "without a norm before its attention", **mine), Decision(None, "–"),
             "never decided here", n, n)
    pair = rows[(rows.sentences == 2) & (rows.length == 16)]
    decision, n = _share(pair["false"] == 0)
    book.add(_of(cell, "dager_pairs", "ours: of two sentences the test finds no false token",
                 **mine), decision, "16 tokens each: share of models without one above one half",
             n, n)
    book.add(_of(cell, "dager_held", "ours: it finds every token that was there", check=True,
                 **mine), Decision(bool(cell.table.held.all()), f"{cell.table.held.mean():.0%}"),
             "in all settings", len(cell.table), cell.table.client.nunique())


def _recursion(book: Ledger, cell: Cell) -> None:
    mine = {"float_id": "rgap", "unit": "network"}
    rows = cell.table
    agree = (rows.exact == (rows.equations >= rows.pixels)).groupby(
        [rows.activation, rows.client]).mean()
    decision, n = _share(agree)
    book.add(_of(cell, "rank_is_count", "ours: the recursion is exact where our count of equations "
                 "reaches the pixels, and only there", **mine), decision,
             "share of the widths in which both agree, by activation and client, above one half",
             len(rows), n * rows.channels.nunique())
    full = rows[rows.exact]
    good = (full.mse < SMALL).groupby([full.activation, full.client]).mean()
    decision, n = _share(good)
    book.add(_of(cell, "rgap_exact", "a closed-form recursion gives the image back where the "
                 "equations have full rank", origin="read", **mine), decision,
             "MSE below 1e-9 where all ranks are full: mean share above one half", len(full), n)


def named(width, arms: dict, same: dict, others: dict) -> dict:
    """Sweeps or cells under the names that `ledger` asks for."""
    return ({"width": width} | arms | {f"same_{name}": value for name, value in same.items()}
            | others)
