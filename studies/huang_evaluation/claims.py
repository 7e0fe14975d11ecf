"""The claims of notebook 05, the strategies for a defender, and the rule that decides them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies import next_runs, report, verdicts
from studies.huang_evaluation import settings
from studies.huang_evaluation.arms import (
    Arm,
    after_longest,
    compare,
    of_cell,
    of_sweep,
    pair,
    under,
)
from studies.huang_evaluation.defense_tables import accuracies, large_batch, published
from studies.huang_evaluation.plan import Plan
from studies.huang_evaluation.tables import PAPER, best_weight
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

RULE = "paired t-test of the networks' mean PSNRs, of the same images; not decided where the " \
    "higher arm is no better than mid-grey"
MINOR_LOSS = 5  # points of accuracy: our reading of the abstract's "minor utility loss"
UTILITY_RULE = "paired t-test of the accuracies of ten epochs of a small network, of the same " \
    "seeds, with five points added under the defense; five points is our reading of minor"
LEARNED = 20  # per cent: a victim below it (chance: 10) learned nothing, and defends nothing
THEIRS = "the paper's"
COMBINED = "GradPrune 0.9 + InstaHide 4"

# --- what differs from the paper's regime, where that keeps a claim from being tested

FEWER_ITERATIONS = "one small network, for fewer than the paper's 10,000 iterations"
FEW_NORMS = "one small network with few BatchNorm layers, for fewer than the paper's 10,000 " \
    "iterations"
NOTHING_TO_HIDE = "at this batch size the attack on the small network fails without a defense, " \
    "in fewer than the paper's 10,000 iterations"


# --- the strategies


STRATEGIES = (  # strategy, whose, the cell, the claim that decides it, what its victim trains under
    ("do not send BatchNorm statistics", THEIRS,
     "Figure 1: exact, best weight, against inferred, B = 1", "statistics_tuned", None),
    ("use larger batches", THEIRS, "None, B = 1 against larger batches", "batch", "None"),
    ("combine defenses", THEIRS, "GradPrune 0.9 against it with InstaHide 4, B = 1",
     "combination_gradprune", COMBINED),
    ("prune the gradient", "ours", "None against GradPrune 0.99, B = 1",
     "defense_gradprune_099_one", "GradPrune 0.99"),
    ("mix images", "ours", "None against MixUp 4, B = 1", "defense_mixup_4_one", "MixUp 4"),
    ("hide signs, too", "ours", "MixUp 4 against InstaHide 4, B = 1", "signs", "InstaHide 4"),
    ("train before you share", "ours", "How the attack fades: two epochs against most", "fades",
     None))
IN_WORDS = {"True": "yes", "False": "no", "None": "not decided", "not tested": "not tested"}


def strategies(sweeps: Plan, book: Ledger) -> pd.DataFrame:
    """The strategies for a defender, each with the claim that supports it or not: a row a
    strategy, against the strongest attacker that was run."""
    decided, accuracy = book.table().set_index("id"), accuracies(sweeps)
    rows = []
    for strategy, whose, cell, claim, defense in STRATEGIES:
        learned = 100 * accuracy[defense].mean() if defense in accuracy else np.nan
        verdict = "None" if learned < LEARNED else decided.verdict[claim]
        rows.append({
            "strategy": strategy, "whose": whose, "cell": cell, "claim": claim,
            "PSNR without against with it": decided.measured[claim],
            "accuracy with it, %": learned, "supported": IN_WORDS[verdict]})
    return pd.DataFrame(rows)


# --- the ledger


@dataclass
class _Comparisons:
    """A ledger of claims that one attack recovers more than another."""

    book: Ledger
    mid_grey: np.ndarray
    stable: bool

    def add(self, id: str, text: str, arms: tuple[Arm | None, Arm | None], origin: str,
            float_id: str | None = None, not_tested: str = "") -> None:
        """Claim that the PSNRs of the first arm are above those of the second."""
        compared = compare(*arms, self.mid_grey)
        claim = Claim(id, text, origin, float_id, "image", not_tested=not_tested,
                      stable=self.stable)
        self.book.add(claim, compared.decision, RULE, compared.n, compared.networks,
                      compared.ended)


def ledger(sweeps: Plan, mid_grey: np.ndarray) -> Ledger:
    """Every claim of the paper and of this page, decided. mid_grey: PSNRs (dB) of that guess."""
    claims = _Comparisons(Ledger(next_runs.OF["huang_evaluation"]), mid_grey, is_stable(sweeps))
    _statistics_and_labels(claims, sweeps)
    _single_images(claims, sweeps)
    _whole_batches(claims, sweeps)
    _combinations_and_batches(claims, sweeps)
    _utility(claims, sweeps)
    _training_and_adapting(claims, sweeps)
    return claims.book


def is_stable(sweeps: Plan) -> bool:
    """Whether all that the claims rest on is stored: then they are the same on every machine."""
    rests_on = [sweeps.one_label_unknown, sweeps.baselines]
    for defense in settings.FIRST:
        rests_on += [sweeps.privacy[defense, 1], sweeps.privacy[defense, 16],
                     sweeps.accuracy[defense]]
        if defense in settings.PRUNING:
            rests_on.append(sweeps.masked[defense, 1])
    rests_on += [sweeps.fading[epochs] for epochs in settings.EPOCHS["paper"]]
    rests_on += [sweeps.statistics[known, 1] for known in ("exact", "proxy", "inferred")]
    return all(sweep.stored() is not None for sweep in rests_on)


def _statistics_and_labels(claims: _Comparisons, sweeps: Plan) -> None:
    """Figures 1 and 2. That "proxy" is one of the relaxed assumptions is inferred."""
    exact, proxy, inferred = (of_sweep(sweeps, sweeps.statistics[known, 1])
                              for known in ("exact", "proxy", "inferred"))
    exact_tuned, proxy_tuned, none = (_tuned(sweeps, known)
                                      for known in ("exact", "proxy", "none"))
    claims.add(
        "statistics", "the abstract: without the private BatchNorm statistics the attack is "
        "weaker (exact at the official example's weight against none, B = 1)",
        (exact, inferred), "read", "fig1", FEW_NORMS)
    claims.add(
        "statistics_tuned", "the abstract: without the private BatchNorm statistics the attack is "
        "weaker (exact at the best of four weights against none, B = 1; the weight is chosen on "
        "the other half of the images)", (exact_tuned, none), "read", "fig1", FEW_NORMS)
    claims.add(
        "statistics_tuned_proxy", "the global model's statistics are worth less than the private "
        "ones (exact against proxy, each at its best weight on the other half of the images)",
        (exact_tuned, proxy_tuned), "read, inferred", "fig1", FEW_NORMS)
    claims.add(
        "statistics_proxy", "the global model's statistics are worth less than the private ones "
        "(exact against proxy, at the official example's weight, B = 1)",
        (exact, proxy), "read, inferred", "fig1", FEW_NORMS)
    given = of_sweep(sweeps, sweeps.privacy["None", 1])
    claims.add(
        "labels", "the abstract: without the private labels the attack is weaker (one image, "
        "given against optimised)", (given, of_sweep(sweeps, sweeps.one_label_unknown)), "read",
        "fig2", FEWER_ITERATIONS)


def _tuned(sweeps: Plan, known: str) -> Arm | None:
    """The arm of what is known, at the weight that was best on every other image, of the rest."""
    arm = of_cell(best_weight(sweeps, known))
    return None if arm is None else arm.only(slice(1, None, 2))


def _single_images(claims: _Comparisons, sweeps: Plan) -> None:
    """The table of defenses on single images, of which only the direction is taken: does a defense
    lower or raise what is recovered (a larger LPIPS is less leakage)?"""
    for defense in settings.FIRST[1:]:
        arms, not_tested = (under(sweeps, "None"), under(sweeps, defense)), FEWER_ITERATIONS
        if defense in settings.FULL:
            arms, not_tested = pair(sweeps, ("None", defense), arms), ""
        text, arms = _as_published(defense, "B=1 average", arms)
        claims.add(f"defense_{_as_id(defense)}_one", f"{text} (B = 1)", arms, "recalled",
                   "defenses", not_tested)


def _whole_batches(claims: _Comparisons, sweeps: Plan) -> None:
    """The same on batches."""
    large = large_batch(sweeps)
    for defense in settings.FIRST[1:] if large == 16 else settings.FIRST[1:4]:
        arms = under(sweeps, "None", large), under(sweeps, defense, large)
        text, arms = _as_published(defense, "B=16 average", arms)
        claims.add(f"defense_{_as_id(defense)}_batch", f"{text} (B = {large})", arms, "recalled",
                   "defenses", NOTHING_TO_HIDE)


def _as_published(defense: str, column: str, arms: tuple) -> tuple[str, tuple]:
    """A claim of the table of defenses, and its arms (without the defense, with it) with the one
    first that the table has leak more."""
    numbers = report.published(PAPER)
    undefended = published(numbers, "None", column).value
    raises = published(numbers, defense, column).value <= undefended
    does, ordered = ("raises", arms[::-1]) if raises else ("lowers", arms)
    return f"the paper's table: {defense} {does} what the attack recovers", ordered


def _as_id(defense: str) -> str:
    """A defense as claims' ids name it."""
    return defense.replace(" + ", "_").replace(" ", "_").replace(".", "").lower()


def _combinations_and_batches(claims: _Comparisons, sweeps: Plan) -> None:
    """The abstract on combinations, and the table of defenses on larger batches."""
    combined = under(sweeps, COMBINED)
    for part in ("GradPrune 0.9", "InstaHide 4"):
        claims.add(
            f"combination_{part.split()[0].lower()}", "the abstract: a combination is stronger "
            f"than its parts ({part} against {COMBINED}, B = 1)", (under(sweeps, part), combined),
            "read", "defenses", FEWER_ITERATIONS)
    large = large_batch(sweeps)
    fewer = under(sweeps, "None"), under(sweeps, "None", large)
    arms = pair(sweeps, ("None", "None, B = 4"), fewer)
    B = large if arms is fewer else 4
    claims.add(
        "batch", f"the paper's table: larger batches leak less (None, B = 1 against {B})", arms,
        "recalled", "defenses")


def _utility(claims: _Comparisons, sweeps: Plan) -> None:
    """Accuracies, one a training, against the abstract's "minor utility loss"."""
    accuracy = accuracies(sweeps)
    for defense in ("GradPrune 0.9", "MixUp 4"):
        claim = Claim(
            f"utility_{defense.split()[0].lower()}", "ours, after the abstract's \"minor utility "
            f"loss\": {defense} loses less than five points of accuracy",
            float_id="defenses", unit="network", stable=claims.stable)
        decision, networks = Decision(None, "not computed"), 0
        if defense in accuracy and "None" in accuracy:
            decision, networks = _minor(accuracy["None"], accuracy[defense])
        claims.book.add(claim, decision, UTILITY_RULE, networks, networks)


def _minor(without: pd.Series, with_it: pd.Series) -> tuple[Decision, int]:
    """Is less lost than MINOR_LOSS? Of one network a direction, which decides nothing."""
    lost = 100 * (without.mean() - with_it.mean())
    tested = verdicts.decide_greater(with_it + MINOR_LOSS / 100, without, paired=True)
    if tested.p is None:
        return Decision(bool(lost < MINOR_LOSS), f"{-lost:+.1f} points"), len(without)
    return tested._replace(measured=f"{-lost:+.1f} points, p = {tested.p:.1g}"), len(without)


def _training_and_adapting(claims: _Comparisons, sweeps: Plan) -> None:
    """How the attack fades, and which defenses rest on an attacker who does not adapt."""
    two_epochs = of_sweep(sweeps, sweeps.fading[2])
    claims.add(
        "fades", "the authors: a victim of two epochs gives more away than one trained on "
        "(2 against 16)",
        pair(sweeps, ("None", "None, 16 epochs"), (two_epochs, after_longest(sweeps))), "read")
    for defense in ("GradPrune 0.9", "GradPrune 0.99"):
        share = defense.split()[1].replace(".", "")
        masked = of_sweep(sweeps, sweeps.masked[defense, 1])
        claims.add(
            f"masked_{share}", f"ours: {defense} rests, at least in part, on the attacker not "
            "adapting (masked against plain)",
            (masked, of_sweep(sweeps, sweeps.privacy[defense, 1])), "ours")
    four_epochs = sweeps.four_epochs["MixUp 4"].stored()
    decoded = None
    if four_epochs is not None:
        decoded = of_cell(four_epochs, four_epochs.table.decoded_psnr)
    encoding = of_sweep(sweeps, sweeps.privacy["MixUp 4", 1])
    claims.add(
        "decoding", "ours: MixUp 4 rests on secret keys (four epochs decoded, against the "
        "encoding)", (decoded, encoding), "ours")
    arms = pair(sweeps, ("MixUp 4", "InstaHide 4"), (encoding, under(sweeps, "InstaHide 4")))
    claims.add(
        "signs", "ours: InstaHide 4 hides more than MixUp 4 (the attacker without keys, B = 1)",
        arms, "ours")
