"""The claims of notebook 05, the strategies for a defender, and the rule that decides them."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies import report, verdicts
from studies.huang_evaluation import settings
from studies.huang_evaluation.defense_tables import (
    accuracies,
    large_batch,
    published,
    strongest,
)
from studies.huang_evaluation.plan import Plan
from studies.huang_evaluation.tables import PAPER, best_weight, fading_cells, shown
from studies.store import Sweep

CLAIMS = 25  # about so many are tested, each at this share of 0.05
LEVEL = 0.05 / CLAIMS
RULE = f"paired t-test of the images' PSNRs, p < {LEVEL}, not decided where the higher arm is no " \
    "better than mid-grey; images of one batch count singly"
MINOR_LOSS = 5  # points of accuracy: our reading of the abstract's "minor utility loss"
UTILITY_RULE = "mean accuracies of ten epochs of a small network; five points is our reading of " \
    "minor"
LEARNED = 20  # per cent: a victim below it (chance: 10) learned nothing, and defends nothing
THEIRS = "the paper's [recalled]"
COMBINED = "GradPrune 0.9 + InstaHide 4"
LONGEST = settings.EPOCHS["paper"][-1]


def compare(a: pd.Series | None, b: pd.Series | None,
            mid_grey: np.ndarray) -> tuple[bool | None, str]:
    """Is a above b, image by image, and the numbers as text. a, b: PSNRs (dB) of the same images.

    None where p decides nothing, or where a guess without a gradient does as well as the higher
    of both: two failures are not compared."""
    if a is None or b is None:
        return None, "not computed"
    n = _count(a, b, mid_grey)
    first, second, guess = np.asarray(a)[:n], np.asarray(b)[:n], mid_grey[:n]
    verdict, measured = verdicts.decide_greater(first, second, paired=True, level=LEVEL)
    higher = first if first.mean() > second.mean() else second
    above, _ = verdicts.decide_greater(higher, guess, paired=True)
    if above:
        return verdict, measured
    return None, f"{measured}; mid-grey {guess.mean():.3g}: both fail"


def _count(a: pd.Series | None, b: pd.Series | None, mid_grey: np.ndarray) -> int:
    """How many images are compared."""
    return 0 if a is None or b is None else min(len(a), len(b), len(mid_grey))


def psnr_of(sweeps: Plan, sweep: Sweep) -> pd.Series | None:
    """PSNRs (dB) of the cell that is shown of a sweep, or None."""
    cell = shown(sweeps, sweep)
    return None if cell is None else cell.table.psnr


def psnr_against(sweeps: Plan, defense: str, B: int = 1) -> pd.Series | None:
    """PSNRs (dB) of the strongest attacker under a defense, or None."""
    attacker = strongest(sweeps, defense, B)
    return None if attacker is None else attacker.scores.psnr


def psnr_after_longest(sweeps: Plan) -> pd.Series | None:
    """PSNRs (dB) for the victim that was trained longest; None where this page does not show it."""
    if LONGEST not in fading_cells(sweeps):
        return None
    return psnr_of(sweeps, sweeps.fading[LONGEST])


# --- the strategies


def strategies(sweeps: Plan, mid_grey: np.ndarray) -> pd.DataFrame:
    """The strategies for a defender, each with the cell that supports it or not: a row a strategy,
    against the strongest attacker that was run."""
    large = large_batch(sweeps)

    def under(defense: str, B: int = 1) -> pd.Series | None:
        return psnr_against(sweeps, defense, B)

    inferred = psnr_of(sweeps, sweeps.statistics["inferred", 1])
    two_epochs = psnr_of(sweeps, sweeps.fading[2])
    table = "table of defenses"
    compared = [  # strategy, whose, cell, PSNRs without and with it, what its victim trains under
        ("do not send BatchNorm statistics", THEIRS,
         "Figure 1: exact, best weight, against inferred, B = 1",
         best_weight(sweeps, "exact"), inferred, None),
        ("use larger batches", THEIRS, f"{table}: None, B = 1 against {large}",
         under("None"), under("None", large), "None"),
        ("combine defenses", THEIRS, f"{table}: GradPrune 0.9 against it with InstaHide 4, B = 1",
         under("GradPrune 0.9"), under(COMBINED), COMBINED),
        ("prune the gradient", "ours", f"{table}: None against GradPrune 0.99, B = 1",
         under("None"), under("GradPrune 0.99"), "GradPrune 0.99"),
        ("mix images", "ours", f"{table}: None against MixUp 4, B = 1",
         under("None"), under("MixUp 4"), "MixUp 4"),
        ("hide signs, too", "ours", f"{table}: MixUp 4 against InstaHide 4, B = 1",
         under("MixUp 4"), under("InstaHide 4"), "InstaHide 4"),
        ("train before you share", "ours", "How the attack fades: two epochs against most",
         two_epochs, psnr_after_longest(sweeps), None)]
    accuracy = accuracies(sweeps)
    rows = []
    for strategy, whose, cell, without, with_it, defense in compared:
        verdict, measured = compare(without, with_it, mid_grey)
        learned = 100 * accuracy[defense].mean() if defense in accuracy else np.nan
        rows.append({
            "strategy": strategy, "whose": whose, "cell": cell,
            "PSNR without against with it": measured, "accuracy with it, %": learned,
            "supported": None if learned < LEARNED else verdict})
    return pd.DataFrame(rows)


# --- the ledger


@dataclass
class _Comparisons:
    """A ledger of claims that one attack recovers more than another."""

    ledger: report.Ledger
    mid_grey: np.ndarray
    stable: bool

    def add(self, id: str, text: str, higher: pd.Series | None, lower: pd.Series | None,
            origin: str, float_id: str | None = None) -> None:
        """Claim that the PSNRs `higher` are above `lower`, image by image."""
        verdict, measured = compare(higher, lower, self.mid_grey)
        n = _count(higher, lower, self.mid_grey)
        self.ledger.add(id, text, verdict, RULE, measured, n, origin=origin, float_id=float_id,
                        unit="image", stable=self.stable)


def ledger(sweeps: Plan, mid_grey: np.ndarray) -> report.Ledger:
    """Every claim of the paper and of this page, decided. mid_grey: PSNRs (dB) of that guess."""
    claims = _Comparisons(report.Ledger(), mid_grey, is_stable(sweeps))
    _statistics_and_labels(claims, sweeps)
    _single_defenses(claims, sweeps)
    _combinations_and_batches(claims, sweeps)
    _utility(claims, sweeps)
    _training_and_adapting(claims, sweeps)
    return claims.ledger


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
    exact, proxy, inferred = (psnr_of(sweeps, sweeps.statistics[known, 1])
                              for known in ("exact", "proxy", "inferred"))
    exact_tuned, proxy_tuned, none = (best_weight(sweeps, known)
                                      for known in ("exact", "proxy", "none"))
    claims.add(
        "statistics", "abstract [read]: without the private BatchNorm statistics the attack is "
        "weaker (exact against inferred, B = 1)", exact, inferred, "read", "fig1")
    claims.add(
        "statistics_tuned", "the same, with the weight of four that is best for exact statistics "
        "on these images", exact_tuned, none, "read", "fig1")
    claims.add(
        "statistics_tuned_proxy", "exact against proxy, each with its best weight",
        exact_tuned, proxy_tuned, "read, inferred", "fig1")
    claims.add(
        "statistics_proxy", "the same with the global model's statistics in their place (exact "
        "against proxy, B = 1)", exact, proxy, "read, inferred", "fig1")
    claims.add(
        "labels", "abstract [read]: without the private labels the attack is weaker (one image, "
        "given against optimised)", psnr_of(sweeps, sweeps.privacy["None", 1]),
        psnr_of(sweeps, sweeps.one_label_unknown), "read", "fig2")


def _single_defenses(claims: _Comparisons, sweeps: Plan) -> None:
    """The table of defenses, of which only the direction is taken: does a defense lower or raise
    what is recovered (a larger LPIPS is less leakage)?"""
    numbers, large = report.published(PAPER), large_batch(sweeps)
    batches = {1: settings.FIRST[1:], large: settings.FIRST[1:]}
    if large != 16:
        batches[large] = settings.FIRST[1:4]
    for B, names in batches.items():
        column = "B=1 average" if B == 1 else "B=16 average"
        undefended = published(numbers, "None", column).value
        without = psnr_against(sweeps, "None", B)
        for defense in names:
            pair, what = (without, psnr_against(sweeps, defense, B)), "lowers"
            if published(numbers, defense, column).value <= undefended:
                pair, what = pair[::-1], "raises"
            size = "one" if B == 1 else "batch"
            claims.add(
                f"defense_{_as_id(defense)}_{size}", f"table [recalled]: {defense} {what} what "
                f"the attack recovers (B = {B})", *pair, "recalled", "defenses")


def _as_id(defense: str) -> str:
    """A defense as claims' ids name it."""
    return defense.replace(" + ", "_").replace(" ", "_").replace(".", "").lower()


def _combinations_and_batches(claims: _Comparisons, sweeps: Plan) -> None:
    """The abstract on combinations, and the table of defenses on larger batches."""
    large = large_batch(sweeps)
    combined = psnr_against(sweeps, COMBINED)
    for part in ("GradPrune 0.9", "InstaHide 4"):
        claims.add(
            f"combination_{part.split()[0].lower()}", "abstract [read]: a combination is stronger "
            f"than its parts ({part} against {COMBINED}, B = 1)", psnr_against(sweeps, part),
            combined, "read", "defenses")
    claims.add(
        "batch", f"table [recalled]: larger batches leak less (None, B = 1 against {large})",
        psnr_against(sweeps, "None"), psnr_against(sweeps, "None", large), "recalled", "defenses")


def _utility(claims: _Comparisons, sweeps: Plan) -> None:
    """Accuracies, one a training, against the abstract's "minor utility loss"."""
    accuracy = accuracies(sweeps)
    for defense in ("GradPrune 0.9", "MixUp 4"):
        verdict, measured = None, "not computed"
        if defense in accuracy and "None" in accuracy:
            lost = 100 * (accuracy["None"].mean() - accuracy[defense].mean())
            verdict, measured = bool(lost < MINOR_LOSS), f"{-lost:+.1f} points"
        claims.ledger.add(
            f"utility_{defense.split()[0].lower()}", "ours, after the abstract's \"minor utility "
            f"loss\" [read]: {defense} loses less than five points of accuracy", verdict,
            UTILITY_RULE, measured, len(accuracy.get("None", ())), origin="ours",
            float_id="defenses", unit="network", stable=claims.stable)


def _training_and_adapting(claims: _Comparisons, sweeps: Plan) -> None:
    """How the attack fades, and which defenses rest on an attacker who does not adapt."""
    claims.add(
        "fades", "the authors [read]: a victim of two epochs gives more away than one trained on "
        "(2 against 16)", psnr_of(sweeps, sweeps.fading[2]), psnr_after_longest(sweeps), "read")
    for defense in ("GradPrune 0.9", "GradPrune 0.99"):
        share = defense.split()[1].replace(".", "")
        claims.add(
            f"masked_{share}", f"ours: {defense} rests, at least in part, on the attacker not "
            "adapting (masked against plain)", psnr_of(sweeps, sweeps.masked[defense, 1]),
            psnr_of(sweeps, sweeps.privacy[defense, 1]), "ours")
    four_epochs = sweeps.four_epochs["MixUp 4"].stored()
    decoded = None if four_epochs is None else four_epochs.table.decoded_psnr
    claims.add(
        "decoding", "ours: MixUp 4 rests on secret keys (four epochs decoded, against the "
        "encoding)", decoded, psnr_of(sweeps, sweeps.privacy["MixUp 4", 1]), "ours")
