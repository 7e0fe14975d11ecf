"""The ledger of notebook 01: the paper's claims and our own questions, each with its rule."""

from studies import next_runs
from studies.dlg import claims_batches, claims_beyond, claims_defenses, claims_leakage
from studies.dlg.plan import Plan
from studies.ledger import Ledger


def ledger(sweeps: Plan) -> Ledger:
    """All claims. The first eight are decided from this run, the others from the stored paper
    profile where it is there."""
    book = Ledger(next_runs.OF["dlg"])
    claims_leakage.add(book, sweeps)
    stable = on_store(sweeps)
    claims_defenses.add(book, sweeps, stable)
    claims_batches.add(book, sweeps, stable)
    claims_beyond.add(book, sweeps, stable)
    return book


def on_store(sweeps: Plan) -> bool:
    """Whether stored cells decide the later claims, so that their verdicts are the same on any
    CPU."""
    deciding = (sweeps.defended, sweeps.trained, sweeps.attacked, *sweeps.batches.values(),
                *sweeps.text.values())
    return all(sweep.stored() is not None for sweep in deciding)
