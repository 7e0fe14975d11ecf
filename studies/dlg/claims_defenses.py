"""Claims of Figure 7 and Table 3: which defenses defend, and what that costs."""

import numpy as np
import pandas as pd

from studies import verdicts
from studies.cells import Cell
from studies.dlg.plan import Plan
from studies.dlg.settings import DEFENSES
from studies.dlg.tables import why_ended
from studies.dlg.tables_defenses import (
    accuracies,
    attacked,
    defense_names,
    hidden,
    in_most,
    learned,
)
from studies.ledger import ENOUGH, Claim, Ledger
from studies.verdicts import Decision

SHORT = "LeNet after a few epochs, far below the published accuracy on CIFAR-100"
NOISE = "Gaussian 1e-02"  # the least of the published ones that defends
RECALLED = "(Fig. 7c, Table 3)"
QUOTED = "(the text: 20 % or more does)"
AS_VARIANCE = "(Fig. 7a, its number taken as the variance)"
AS_SD = "(Fig. 7a, its number taken as the standard deviation)"
DEFENDS = [  # id, text, our defense, does it defend?, origin, float
    ("gaussian_1e-4_variance", f"Gaussian noise of variance 1e-4 does not defend {AS_VARIANCE}",
     "Gaussian 1e-04", False, "read, recalled", "fig7"),
    ("gaussian_1e-3_variance",
     f"Gaussian noise of variance 1e-3 leaks, with artefacts {AS_VARIANCE}",
     "Gaussian 1e-03", False, "read, recalled", "fig7"),
    ("gaussian_1e-2_variance", f"Gaussian noise of variance 1e-2 defends {AS_VARIANCE}",
     "Gaussian 1e-02", True, "read, recalled", "fig7"),
    # that the printed number may be a standard deviation is our reading
    ("gaussian_1e-4_sd", f"Gaussian noise of standard deviation 1e-4 does not defend {AS_SD}",
     "Gaussian 1e-08", False, "read, inferred", "fig7"),
    ("gaussian_1e-3_sd", f"Gaussian noise of standard deviation 1e-3 leaks, with artefacts {AS_SD}",
     "Gaussian 1e-06", False, "read, inferred", "fig7"),
    ("gaussian_1e-2_sd", f"Gaussian noise of standard deviation 1e-2 defends {AS_SD}",
     "Gaussian 1e-04", True, "read, inferred", "fig7"),
    ("laplacian_1e-2", "Laplacian noise of variance 1e-2 defends (Table 3)",
     "Laplacian 1e-02", True, "recalled", "table3"),
    # Figure 7c has the half precisions, Table 3 float16 and int8
    ("float16", f"float16 does not defend {RECALLED}", "float16", False, "recalled",
     "fig7 table3"),
    ("bfloat16", f"bfloat16 does not defend {RECALLED}", "bfloat16", False, "recalled", "fig7"),
    ("int8", f"int8 defends {RECALLED}", "int8", True, "recalled", "table3"),
    ("prune_10", "pruning 10 % does not defend (Fig. 7d)", "pruned 10%", False,
     "recalled", "fig7"),
    ("prune_20", f"pruning 20 % defends {QUOTED}", "pruned 20%", True, "quoted", "fig7"),
    ("prune_30", f"pruning 30 % defends {QUOTED}", "pruned 30%", True, "quoted", "fig7"),
    ("prune_50", f"pruning 50 % defends {QUOTED}", "pruned 50%", True, "quoted", "fig7"),
    ("prune_70", f"pruning 70 % defends {QUOTED}", "pruned 70%", True, "quoted", "fig7"),
]


def add(book: Ledger, sweeps: Plan, stable: bool) -> None:
    """Seventeen claims; stable: whether they are decided from stored cells."""
    attacks = attacked(sweeps.defended)
    victims, weak = _victims(sweeps)
    _defends(book, attacks, stable)
    _noise_costs(book, victims, weak, stable)
    _prune_best(book, attacks, victims, weak, stable)


def _victims(sweeps: Plan) -> tuple[dict[str, pd.Series], str]:
    """Accuracies by defense of the network that learns, where those that decide are stored, with
    ""; else those of LeNet, with why these decide nothing."""
    trained = learned(sweeps.learned)
    if {"none", NOISE} <= set(trained):
        return trained, ""
    return accuracies(sweeps.trained.shown()), SHORT


def _defends(book: Ledger, attacks: Cell, stable: bool) -> None:
    """Does a defense hide the images that the attack shows without it? Each client has a network
    of its own, the same under every defense."""
    names, hides = defense_names(attacks), hidden(attacks)
    for id, text, defense, defends, origin, float_id in DEFENDS:
        by_criterion = hides.get(defense, {})
        n = min((len(images) for images in by_criterion.values()), default=0)
        deciding = {client for images in by_criterion.values() for client in images.index}
        rows = (names == defense) & attacks.table["client"].isin(deciding)
        side = "hidden" if defends else "still shown"
        book.add(
            Claim(id, text, origin=origin, float_id=float_id, unit="client", stable=stable),
            _by_all_criteria(by_criterion, defends),
            f"{defense}: of the images that the attack shows without it, the share {side} is above "
            "0.5, by AVD (0.8), by MSE (0.01) and by SSIM (0.5)",
            n, n, _ending(attacks, rows.to_numpy()))


def _by_all_criteria(by_criterion: dict[str, pd.Series], defends: bool) -> Decision:
    """What all criteria say, where they say the same; p: the largest, as each of them has to."""
    decisions = {}
    for name, images in by_criterion.items():
        metric = name.split()[0]
        decisions[metric] = verdicts.decide((images == defends).sum(), len(images))
    said = {decision.verdict for decision in decisions.values()}
    tests = [decision.p for decision in decisions.values()]
    if not tests or None in tests:
        return Decision(None, "not computed")
    measured = "; ".join(f"{name} {decision.measured}" for name, decision in decisions.items())
    if {True, False} <= said:
        return Decision(None, f"{measured}: the criteria disagree", 1.0)
    verdict = said.pop() if len(said) == 1 else None
    return Decision(verdict, measured, max(tests))


def _ending(attacks: Cell, rows: np.ndarray) -> str:
    """Why the attacks under one defense ended, and how far D still fell in their last half."""
    if not rows.any():
        return ""
    losses = np.fmin.accumulate(attacks.arrays["losses"][rows], 1)
    half = losses.shape[1] // 2
    fall = np.median(1 - losses[:, -1] / losses[:, half])
    return f"{why_ended(attacks, of=rows)}; in their last half D fell by {fall:.0%} in the median"


def _noise_costs(book: Ledger, victims: dict, weak: str, stable: bool) -> None:
    without, under = victims["none"], victims[NOISE]
    book.add(
        Claim("noise_costs",
              "noise that defends (variance 1e-2) costs accuracy (Table 3)",
              origin="recalled", float_id="table3", unit="network", stable=stable,
              not_tested=weak),
        verdicts.decide_greater(without, under, paired=True),
        "accuracy without a defense against with it, the same seeds: paired t-test, p < 0.05",
        len(without) + len(under), len(without))


def _prune_best(book: Ledger, attacks: Cell, victims: dict, weak: str, stable: bool) -> None:
    defends = {name for name, criteria in hidden(attacks).items() if in_most(criteria) == "defends"}
    safe = pd.Series({name: victims[name].mean() for name in DEFENSES
                      if name in defends and len(victims.get(name, ())) >= ENOUGH}, dtype=float)
    book.add(
        Claim("prune_best", "the most effective defense is pruning (abstract)",
              origin="quoted", unit="defense", stable=stable, not_tested=weak),
        _pruning_against_others(safe, victims),
        "of the defenses that defend: accuracy of the best pruning against the best other one, "
        "the same seeds: paired t-test, p < 0.05",
        len(safe), len(victims["none"]))


def _pruning_against_others(safe: pd.Series, learned: dict) -> Decision:
    """safe: mean accuracy by defense, of those that defend; learned: the accuracies behind it."""
    pruned = safe.index.str.startswith("pruned")
    prunings, others = safe[pruned], safe[~pruned]
    measured = f"defend: {', '.join(safe.index) or 'none with three victims'}"
    if not (len(prunings) and len(others)):
        return Decision(None, measured)
    best, other = prunings.idxmax(), others.idxmax()
    decision = verdicts.decide_greater(learned[best], learned[other], paired=True)
    return decision._replace(measured=f"{measured}; {best} against {other}: {decision.measured}")
