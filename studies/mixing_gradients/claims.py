"""The claims of notebook 06, each with the numbers that decide it.

They are decided from the stored paper profile where it is there, else from this run. Shares are
compared with 95 % intervals, n in clients, each of which has a network of its own."""

from dataclasses import dataclass

import pandas as pd

from studies import report, store
from studies.mixing_gradients import measures, settings, symmetry, tables
from studies.mixing_gradients.plan import Plan
from studies.mixing_gradients.rules import Claim, Rules, Share, in_clients, share_of

SMALL = 0.1       # a sum of neglected weights that would be small beside the image's own, about 1
OF_THE_ORDER = 0.01  # an MSE of the order of the image: equal labels' blends lie above it
LEVEL = 0.9       # "accurately": more than nine of ten
FLATTERY = 5      # points that choosing by the truth adds, beyond rounding
SAME_GRADIENT = 1e-20   # relative squared distance in float64: rounding
OTHER_GRADIENT = 1e-12  # far above it
FREE = 1          # points of accuracy: at most so many are no cost
SEVERAL = 3       # and at least so many are several points
CRITERIA_R4 = {  # end of the id: (criterion, the attacks that compete)
    "avd": ("AVD < 0.8", "matching"), "ssim": ("SSIM > 0.5", "matching"),
    "mse": ("MSE < 0.01", "matching or closed form")}


@dataclass(frozen=True)
class Evidence:
    """The tables of the page that decide claims."""

    rates: pd.DataFrame       # tables.dense_rates
    blanks: pd.DataFrame      # measures.blanks
    in_span: pd.DataFrame     # tables.in_span_rates
    directions: pd.DataFrame  # symmetry.unseen_directions
    turned: dict[int, dict[str, float]]  # degrees: symmetry.gradient_distances
    accuracy: pd.DataFrame    # tables_accuracy.dense_accuracy
    lenet: pd.DataFrame       # tables_accuracy.lenet_accuracy
    maps: pd.DataFrame        # tables_accuracy.maps_of
    noise: pd.DataFrame       # tables_accuracy.under_noise
    mixtures: pd.DataFrame    # tables_accuracy.without_noise


def fill(sweeps: Plan, evidence: Evidence) -> report.Ledger:
    """The ledger of all claims."""
    ledger = report.Ledger()
    stable = _is_stored(sweeps)
    profile = "paper" if stable else store.current().run.profile
    rules = Rules(ledger, stable)
    _closed_form(rules, sweeps)
    _dense(rules, tables.leading(evidence.rates), max(settings.BATCHES[profile]))
    _avd(rules, evidence.blanks)
    _in_span(rules, evidence.in_span)
    _symmetry(rules, evidence.directions, evidence.turned)
    _accuracy(rules, tables.leading(evidence.accuracy))
    _lenet(rules, evidence.lenet)
    _channels(rules, evidence.maps)
    _noise(rules, evidence.noise, evidence.mixtures, settings.DENSE_CLIENTS[profile])
    return ledger


def _is_stored(sweeps: Plan) -> bool:
    """Whether all cells of the paper profile that decide a claim are stored."""
    many = (sweeps.direct, sweeps.dense, sweeps.accuracy, sweeps.lenet_accuracy,
            sweeps.lenet_attacks, sweeps.maps, sweeps.adaptive, sweeps.trained, sweeps.noisy,
            sweeps.noisy_accuracy)
    deciding = [sweeps.formula, sweeps.losses, sweeps.averaged, sweeps.lenet_logits]
    for group in many:
        deciding += group.values()
    return all(sweep.stored() is not None for sweep in deciding)


# --- R1 and R2


def _closed_form(rules: Rules, sweeps: Plan) -> None:
    table = sweeps.direct["float32"].shown().table
    different, same = (table[table.draw == draw] for draw in ("unique", "equal"))
    rules.above(
        Claim("r1_different",
              "R1 (digitised): different labels are inverted accurately without optimisation "
              "(saturated layer: more than nine of ten with MSE below 1e-4)", "digitised", "r1"),
        share_of(different, different.error < tables.EXACT), LEVEL)
    rules.above(
        Claim("r1_same", "R1 (digitised): for equal labels the error is of the order of the image "
              "(MSE above 0.01 in more than half)", "digitised", "r1"),
        share_of(same, same.error > OF_THE_ORDER), 0.5)
    fresh = sweeps.formula.shown().table.query("draw == 'unique' and scale == 0.01 and B == 4")
    rules.above(
        Claim("neglected_small", "the paper's argument: with ten classes and a fresh network the "
              "neglected weights are small (sum below 0.1)", "read"),
        share_of(fresh, fresh.neglected < SMALL), 0.5)
    for scale, images in sweeps.losses.shown().table.groupby("scale"):
        squared, entropy = (images[images.loss == loss] for loss in ("mse", "cross_entropy"))
        rules.fewer(
            Claim(f"r2_losses_{scale:g}",
                  "R2 (digitised): behind the squared error direct inversion works less often than "
                  f"behind cross-entropy (weights N(0, {scale:g}²), MSE < 0.01)", "digitised",
                  "r2"),
            *(share_of(part, part.error < settings.MSE_RECOVERED) for part in (squared, entropy)))


# --- R4


def _pick(rates: pd.DataFrame, strategy: str, B: int, criterion: str, group: str) -> Share | None:
    """The share that a group of attacks recovers, best by truth; None where it was not run."""
    chosen = tables.chosen_rates(rates, strategy, criterion, "by truth", group)
    chosen = chosen[chosen.B == B]
    if not len(chosen):
        return None
    images = chosen.n.iloc[0]
    return in_clients(chosen.good.iloc[0], images, images // B)


def _dense(rules: Rules, rates: pd.DataFrame, B: int) -> None:
    """rates: of the leading run; B: its largest batch."""
    random, equal = settings.LABEL_STRATEGIES
    for tag, (criterion, group) in CRITERIA_R4.items():
        how = f"{criterion}, {group}, best by truth"
        entropy = _pick(rates, random, B, criterion, group)
        rules.fewer(
            Claim(f"r4_equal_{tag}", f"R4 (digitised): at B = {B} equal labels are recovered less "
                  f"often than random ones (CE; {how})", "digitised", "r4"),
            _pick(rates, equal, B, criterion, group), entropy)
        rules.fewer(
            Claim(f"r4_mse_{tag}", f"R4 (digitised): at B = {B} the squared error of the softmax "
                  f"leaks less than CE ({how})", "digitised", "r4"),
            _pick(rates, "MSE of softmax, random labels", B, criterion, group), entropy)
        rules.fewer(
            Claim(f"r4_batch_{tag}", "R4 (digitised): larger batches leak less (CE, random labels, "
                  f"B = {B} against 1; {how})", "digitised", "r4"),
            entropy, _pick(rates, random, 1, criterion, group))
    rules.fewer(
        Claim("r4_equal_blends",
              "by the paper's own criterion the closed form does not see the defense: at B = "
              f"{B} equal labels are recovered less often (CE; AVD < 0.8, closed form among the "
              "attacks)"),
        *(_pick(rates, strategy, B, "AVD < 0.8", "matching or closed form")
          for strategy in (equal, random)))
    _flattery(rules, rates)


def _flattery(rules: Rules, rates: pd.DataFrame) -> None:
    matching = rates[(rates.attacks == "matching") & (rates.criterion == "AVD < 0.8")]
    wide = matching.pivot_table(index=["strategy", "B"], columns="best", values="rate")
    gap = wide["by truth"] - wide["nearest gradient"]
    rules.add(
        Claim("by_truth_flatters", "ours: choosing the best attack by the truth adds more than 5 "
              "points to the rate on average (AVD < 0.8, matching)", unit="setting"),
        bool(gap.mean() > FLATTERY),
        "mean over strategies and batch sizes; by construction never negative with equal attacks",
        f"{gap.mean():+.0f} points, at most {gap.max():+.0f}", len(gap))


# --- R3


def _avd(rules: Rules, blanks: pd.DataFrame) -> None:
    passing = blanks.loc[("faces", measures.STRANGER), "AVD < 0.8"]
    rules.above(
        Claim("avd_is_a_success", "R3: an AVD below 0.8 tells success from failure (faces: a "
              "stranger's face is above)", "read", "r3", unit="pair"),
        (round((1 - passing) * 64), 64), 0.5)


# --- ours: the attack in the span


def _span_share(rates: pd.DataFrame, strategy: str, rounds: str, B: int) -> Share | None:
    chosen = rates[(rates.strategy == strategy) & (rates.rounds == rounds)
                   & (rates.labels == "labels known") & (rates.B == B)]
    if not len(chosen):
        return None
    row = chosen.iloc[0]
    return in_clients(row.recovered * row.n, row.n, int(row.clients))


def _in_span(rules: Rules, rates: pd.DataFrame) -> None:
    random, equal, logits = settings.IN_SPAN_STRATEGIES
    rules.above(
        Claim("span_random", "ours: in the span, a batch of four random labels behind one dense "
              "layer comes back (CE, MSE < 0.01)"),
        _span_share(rates, random, "one round", 4), 0.5)
    rules.above(
        Claim("span_equal", "ours: equal labels do not hide a batch of four behind one dense layer "
              "(CE, attack in the span, MSE < 0.01)"),
        _span_share(rates, equal, "one round", 4), 0.5)
    rules.below(
        Claim("equal_mse_hides", "ours: equal labels and the squared error of the logits hide most "
              "of a batch of six from it (recovered: less than half)"),
        _span_share(rates, logits, "one round", 6), 0.5)
    rules.below(
        Claim("equal_mse_rounds", "ours: and three rounds do not change that"),
        _span_share(rates, logits, "three rounds", 6), 0.5)
    rules.fewer(
        Claim("equal_mse_rounds_help", "ours: three rounds lower what equal labels behind "
              "cross-entropy hide (B = 6: one round recovers less)"),
        _span_share(rates, equal, "one round", 6), _span_share(rates, equal, "three rounds", 6))


def _symmetry(rules: Rules, directions: pd.DataFrame, turned: dict[int, dict[str, float]]) -> None:
    unseen = directions["unseen directions"].astype(int)
    hidden = unseen.xs(symmetry.HIDDEN)
    others = unseen.drop(symmetry.HIDDEN)
    expected = all(hidden[B] == (B - 1) * (B - 2) // 2 for B in symmetry.BATCHES)
    rules.add(
        Claim("unseen_directions",
              "ours: (B - 1)(B - 2)/2 directions are unseen behind the squared error of the logits "
              "with equal labels, none behind the other losses and draws", unit="setting"),
        bool(expected and (others == 0).all()),
        "null space of the Jacobian in the span, one client, B = 2 to 6",
        f"{[int(hidden[B]) for B in symmetry.BATCHES]}; others {int(others.max())} at most",
        len(unseen), stable=True)
    largest = max(distance["mse"] for distance in turned.values())
    # not at 0 degrees, and not at the last angle, which is the same batch in another order
    between = min(distance["cross_entropy"] for distance in list(turned.values())[1:-1])
    rules.add(
        Claim("rotation", "ours: behind the squared error of equal labels a rotated batch has the "
              "same gradient, behind CE another", unit="batch"),
        bool(largest < SAME_GRADIENT and between > OTHER_GRADIENT),
        "three digits, float64: relative distance below 1e-20, and above 1e-12 behind CE",
        f"{largest:.0e}; CE {between:.0e}", 1, stable=True)


# --- R5: what mixing costs


def _accuracy(rules: Rules, accuracy: pd.DataFrame) -> None:
    """accuracy: of the leading run."""
    of = {training: rows.set_index("B") for training, rows in accuracy.groupby("strategy")}
    rules.costs(
        Claim("r5_equal_free", "R5 (digitised): equal labels cost no accuracy (dense, one client a "
              "step)", "digitised", "r5", unit="network"),
        of["CE, equal labels"], of["CE"], FREE, at_least=False)
    rules.costs(
        Claim("r5_mse_free", "R5 (digitised): nor does the squared error of the softmax",
              "digitised", "r5", unit="network"),
        of["MSE of softmax"], of["CE"], FREE, at_least=False)
    rules.costs(
        Claim("r5_logits_cost", "R5 (digitised): the squared error of the logits costs several "
              "points", "digitised", "r5", unit="network"),
        of["MSE of logits"], of["CE"], SEVERAL, at_least=True)


# --- R6 and R7: LeNet


def _lenet_share(rates: pd.DataFrame, criterion: str) -> Share:
    """The share of the images of all rows together; n: the eight clients, the same in each row."""
    good = (rates[criterion] / 100 * rates.n).sum()
    return in_clients(good, rates.n.sum(), settings.LENET_CLIENTS)


def _lenet(rules: Rules, lenet: pd.DataFrame) -> None:
    if not len(lenet):  # the quick profile has no such cells
        return
    entropy = lenet[lenet.strategy == "CE"]
    for training, start in (("CE, equal labels", "r6_equal"), ("MSE of softmax", "r6_mse")):
        rates = lenet[lenet.strategy == training]
        for criterion, tag in (("AVD < 0.8", "avd"), ("MSE < 0.01", "mse")):
            rules.fewer(
                Claim(f"{start}_{tag}", f"R6 (digitised): on LeNet {training} leaks less than CE "
                      f"({criterion}, best of five by truth, the four points together)",
                      "digitised", "r6"),
                _lenet_share(rates, criterion), _lenet_share(entropy, criterion))


def _channels(rules: Rules, maps: pd.DataFrame) -> None:
    for is_lfw, rates in maps.groupby(maps.images == "lfw"):
        widest, narrowest = rates.channels.max(), rates.channels.min()
        images, end = ("LFW, ", "_lfw") if is_lfw else ("", "")
        for criterion, tag in (("AVD < 0.8", "_avd"), ("MSE < 0.01", "")):
            rules.fewer(
                Claim(f"r7_channels{tag}{end}",
                      f"R7 (digitised): more channels leak more ({images}{narrowest} against "
                      f"{widest}, all strategies and batch sizes, {criterion}; n: the eight "
                      "clients, each with one network for all cells of a width)", "digitised",
                      "r7"),
                _lenet_share(rates[rates.channels == narrowest], criterion),
                _lenet_share(rates[rates.channels == widest], criterion))


# --- ours: noise


def _noise(rules: Rules, noise: pd.DataFrame, mixtures: pd.DataFrame, clients: int) -> None:
    """clients: how many the mixtures were attacked with."""
    plain, equal = (mixtures[mixtures.strategy == training].iloc[0]
                    for training in ("CE", "CE, equal labels"))
    bearable = noise[(noise.strategy == "CE, random labels")
                     & (noise.accuracy > plain.accuracy - FREE)]
    if not len(bearable):
        return
    least = bearable.loc[bearable["any of the four"].idxmin()]
    rules.fewer(
        Claim("noise_at_equal_accuracy",
              "ours, against the paper's \"as opposed to noise\": noise that costs less than one "
              "point hides more than equal labels do, which cost nothing (dense, B = 4, four "
              "attacks, MSE < 0.01)"),
        (round(least["any of the four"] / 100 * least.clients), int(least.clients)),
        (round(equal.recovered / 100 * clients), clients))
