"""Claims of Figure 7 and Table 3: which defenses defend, and what that costs."""

import pandas as pd

from studies import report, verdicts
from studies.cells import Cell
from studies.dlg.plan import Plan
from studies.dlg.tables_defenses import (
    DEFENDED,
    accuracies,
    attacked,
    by_defense,
    defense_names,
)
from studies.dlg.votes import vote

NEAR_CHANCE = 0.2  # accuracy of ten classes below which a victim has learned too little to judge
RECALLED = "(Fig. 7c, Table 3 [recalled])"
QUOTED = "(20 % or more does [quoted])"
AS_VARIANCE = "(Fig. 7a [read]; that it is the variance: [recalled])"
AS_SD = "(Fig. 7a [read]; that it is the sd: another reading of the same sentence)"
DEFENDS = [  # id, text, our defense, does it defend?, origin, float
    ("gaussian_1e-4_variance", f"Gaussian noise of variance 1e-4 does not defend {AS_VARIANCE}",
     "Gaussian 1e-04", False, "read, recalled", "fig7"),
    ("gaussian_1e-3_variance",
     f"Gaussian noise of variance 1e-3 leaks, with artefacts {AS_VARIANCE}",
     "Gaussian 1e-03", False, "read, recalled", "fig7"),
    ("gaussian_1e-2_variance", f"Gaussian noise of variance 1e-2 defends {AS_VARIANCE}",
     "Gaussian 1e-02", True, "read, recalled", "fig7"),
    # that the printed number may be a standard deviation is our reading
    ("gaussian_1e-4_sd", f"Gaussian noise of sd 1e-4 does not defend {AS_SD}",
     "Gaussian 1e-08", False, "read, inferred", "fig7"),
    ("gaussian_1e-3_sd", f"Gaussian noise of sd 1e-3 leaks, with artefacts {AS_SD}",
     "Gaussian 1e-06", False, "read, inferred", "fig7"),
    ("gaussian_1e-2_sd", f"Gaussian noise of sd 1e-2 defends {AS_SD}",
     "Gaussian 1e-04", True, "read, inferred", "fig7"),
    ("laplacian_1e-2", "Laplacian noise of variance 1e-2 defends (Table 3 [recalled])",
     "Laplacian 1e-02", True, "recalled", "table3"),
    # Figure 7c has the half precisions, Table 3 float16 and int8
    ("float16", f"float16 does not defend {RECALLED}", "float16", False, "recalled",
     "fig7 table3"),
    ("bfloat16", f"bfloat16 does not defend {RECALLED}", "bfloat16", False, "recalled", "fig7"),
    ("int8", f"int8 defends {RECALLED}", "int8", True, "recalled", "table3"),
    ("prune_10", "pruning 10 % does not defend (Fig. 7d [recalled])", "pruned 10%", False,
     "recalled", "fig7"),
    ("prune_20", f"pruning 20 % defends {QUOTED}", "pruned 20%", True, "quoted", "fig7"),
    ("prune_30", f"pruning 30 % defends {QUOTED}", "pruned 30%", True, "quoted", "fig7"),
    ("prune_50", f"pruning 50 % defends {QUOTED}", "pruned 50%", True, "quoted", "fig7"),
    ("prune_70", f"pruning 70 % defends {QUOTED}", "pruned 70%", True, "quoted", "fig7"),
]


def add(ledger: report.Ledger, sweeps: Plan, stable: bool) -> None:
    """Seventeen claims; stable: whether they are decided from stored cells."""
    attacks = attacked(sweeps.defended)
    victims = sweeps.trained.shown()
    _defends(ledger, attacks, stable)
    _noise_costs(ledger, victims, stable)
    _prune_best(ledger, attacks, victims, stable)


def _defends(ledger: report.Ledger, attacks: Cell, stable: bool) -> None:
    """Does a defense defend? By the share of reconstructions with an AVD above 0.8."""
    names = defense_names(attacks)
    for id, text, defense, defends, origin, float_id in DEFENDS:
        hidden = attacks.table.avd[names == defense] > DEFENDED
        side = "above" if defends else "not above"
        vote(ledger, id, text, f"{defense}: share with AVD {side} 0.8 is above 0.5",
             (hidden == defends).sum(), len(hidden),
             origin=origin, float_id=float_id, unit="client", stable=stable)


def _noise_costs(ledger: report.Ledger, victims: Cell, stable: bool) -> None:
    learned = accuracies(victims)
    verdict, measured = verdicts.decide_greater(learned["none"], learned["Gaussian 1e-02"])
    if learned["none"].mean() <= NEAR_CHANCE:
        verdict = None
    ledger.add(
        "noise_costs", "noise that defends (variance 1e-2) costs accuracy (Table 3 [recalled])",
        verdict,
        "accuracy without a defense against with it, Welch p < 0.05; None where the first is near "
        "chance",
        measured, len(victims.table),
        origin="recalled", float_id="table3", unit="network", stable=stable)


def _prune_best(ledger: report.Ledger, attacks: Cell, victims: Cell, stable: bool) -> None:
    table = by_defense(attacks, victims)
    safe = table[table.defends & (table.victims >= 3)].accuracy
    verdict, measured = _pruning_against_others(safe, accuracies(victims))
    ledger.add(
        "prune_best", "the most effective defense is pruning (abstract [quoted])", verdict,
        "of the defenses that defend: accuracy of the best pruning against the best other one, "
        "Welch p < 0.05",
        measured, len(safe), origin="quoted", unit="defense", stable=stable)


def _pruning_against_others(safe: pd.Series, learned: dict) -> tuple[bool | None, str]:
    """safe: mean accuracy by defense, of those that defend; learned: the accuracies behind it."""
    pruned = safe.index.str.startswith("pruned")
    prunings, others = safe[pruned], safe[~pruned]
    measured = f"defend: {', '.join(safe.index) or 'none with three victims'}"
    if len(prunings) and len(others):
        best, other = prunings.idxmax(), others.idxmax()
        verdict, words = verdicts.decide_greater(learned[best], learned[other])
        return verdict, f"{measured}; {best} against {other}: {words}"
    if len(safe):
        return bool(len(prunings)), measured
    return None, measured
