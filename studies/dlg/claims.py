"""The ledger of notebook 01: the paper's claims and our own questions, each with its rule."""

from studies import report
from studies.dlg import claims_batches, claims_beyond, claims_defenses, claims_leakage
from studies.dlg.plan import Plan


def ledger(sweeps: Plan) -> report.Ledger:
    """All claims. The first eight are decided from this run, the others from the stored paper
    profile where it is there."""
    filled = report.Ledger()
    claims_leakage.add(filled, sweeps)
    stable = on_store(sweeps)
    claims_defenses.add(filled, sweeps, stable)
    claims_batches.add(filled, sweeps, stable)
    claims_beyond.add(filled, sweeps, stable)
    return filled


def on_store(sweeps: Plan) -> bool:
    """Whether stored cells decide the later claims, so that their verdicts are the same on any
    CPU."""
    deciding = (sweeps.defended, sweeps.trained, sweeps.attacked, *sweeps.batches.values(),
                *sweeps.text.values())
    return all(sweep.stored() is not None for sweep in deciding)
