"""What counts in the claims of notebook 04: victims where attacks are compared, trained generators
where the claim is about what a generator learned."""

from types import SimpleNamespace

import numpy as np
import pandas as pd

from studies.gias import claims
from studies.ledger import Claim, Ledger


def sweep(psnr, ended=None):
    """What has a cell of one image a client; None: not computed."""
    if psnr is None:
        return SimpleNamespace(shown=lambda first: None)
    rows = [{"space": "z/w", "client": client, "psnr": value} for client, value in enumerate(psnr)]
    table = pd.DataFrame(rows)
    if ended:
        table["ended"] = ended
    return SimpleNamespace(shown=lambda first: SimpleNamespace(table=table))


def side(psnr, again=(), further=(), ended=None):
    return claims.Side(sweep(psnr, ended), "z/w", tuple(sweep(other) for other in further),
                       tuple(sweep(other) for other in again))


def compared(above, below, of_training=False):
    book = Ledger()
    claims._compare(book, Claim("one", "one attack beats another"), above, below, of_training)
    return book.table().iloc[0]


HIGH, LOW = [5.0, 6.1, 7.0, 8.2], [1.0, 2.0, 3.0, 4.0]


def test_attacks_are_compared_by_victims_and_training_by_generators():
    row = compared(side(HIGH), side(LOW))
    assert (row.verdict, row.networks, row.n) == ("True", 4, 4)
    row = compared(side(HIGH), side(LOW), of_training=True)
    assert (row.verdict, row.networks) == ("None", 1) and row.undecided.startswith("1 network")
    further = [np.add(HIGH, 0.1), np.add(HIGH, 0.3)]
    row = compared(side(HIGH, further), side(LOW, [LOW, LOW]), of_training=True)
    assert (row.verdict, row.networks) == ("True", 3)


def test_the_larger_p_of_victims_and_generators_counts():
    apart = [np.add(HIGH, 9.0), np.subtract(HIGH, 12.0)]  # a lead that turns with the generator
    assert compared(side(HIGH), side(LOW)).verdict == "True"
    row = compared(side(HIGH, apart), side(LOW))
    assert row.verdict == "None" and row.measured.endswith("4 victims, 3 generators")


def test_further_generators_count_only_together():
    assert compared(side(HIGH, [HIGH, None]), side(LOW)).measured.endswith("1 generator")
    one_sided = compared(side(HIGH, [HIGH, HIGH]), side(LOW, [LOW, None]), of_training=True)
    assert one_sided.networks == 1
    assert compared(side(HIGH, further=[[9.0, 9.5]]), side(LOW, further=[[5.0, 5.1]])).n == 6
    assert compared(side(None), side(None)).measured == "not computed"


def test_how_attacks_ended_is_said_where_every_cell_says_it():
    assert compared(side(HIGH, ended="budget"), side(LOW, ended="budget")).ended == "budget 8 of 8"
    assert compared(side(HIGH, ended="budget"), side(LOW)).ended == ""
