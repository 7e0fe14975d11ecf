"""The claims of notebook 06, each with the numbers that decide it.

They are decided from the stored paper profile where it is there, else from this run. A network of
its own stands behind each client, unless said, so clients are the unit: shares are tested by
client, paired where two of them were measured on the same networks."""

from dataclasses import dataclass

import pandas as pd

from studies import next_runs, store
from studies.cells import Cell
from studies.ledger import Claim, Ledger
from studies.mixing_gradients import measures, settings, symmetry, tables, tables_accuracy
from studies.mixing_gradients.plan import Plan
from studies.mixing_gradients.rules import NOT_COMPUTED, Rules
from studies.verdicts import Decision, by_network, decide

SMALL = 0.1       # a sum of neglected weights that would be small beside the image's own, about 1
OF_THE_ORDER = 0.01  # an MSE of the order of the image: equal labels' blends lie above it
LEVEL = 0.9       # "accurately": more than nine of ten
FLATTERY = 5      # points that choosing by the truth adds, beyond rounding
SAME_GRADIENT = 1e-20   # relative squared distance in float64: rounding
OTHER_GRADIENT = 1e-12  # far above it
FREE = 1          # points of accuracy: at most so many are no cost
SEVERAL = 3       # and at least so many are several points
NOTHING_TO_LOSE = "600 iterations recover next to nothing on LFW, at no width: too few to compare"
TRAINED_UNDER_NOISE = 1  # networks, of one seed, say what a variance costs in accuracy
LITTLE_NOISE = 1e-5  # the variance from which nothing of equal labels is left to the search
CRITERIA_R4 = {  # end of the id: (criterion, the attacks that compete)
    "avd": ("AVD < 0.8", "matching"), "ssim": ("SSIM > 0.5", "matching"),
    "mse": ("MSE < 0.01", "matching or closed form")}


@dataclass(frozen=True)
class Evidence:
    """The tables of the page that decide claims."""

    rates: pd.DataFrame       # tables.dense_rates
    blanks: pd.DataFrame      # measures.blanks
    directions: pd.DataFrame  # symmetry.unseen_directions
    turned: dict[int, dict[str, float]]  # degrees: symmetry.gradient_distances
    accuracy: pd.DataFrame    # tables_accuracy.dense_accuracy
    noise: pd.DataFrame       # tables_accuracy.under_noise


def fill(sweeps: Plan, evidence: Evidence) -> Ledger:
    """The ledger of all claims."""
    ledger = Ledger(next_runs.OF["mixing_gradients"])
    stable = _is_stored(sweeps)
    profile = "paper" if stable else store.current().run.profile
    rules = Rules(ledger, stable)
    _closed_form(rules, sweeps)
    _dense(rules, sweeps.dense, max(settings.BATCHES[profile]))
    _flattery(rules, tables.leading(evidence.rates))
    _avd(rules, evidence.blanks)
    _in_span(rules, sweeps.adaptive)
    _symmetry(rules, evidence.directions, evidence.turned)
    _accuracy(rules, tables.leading(evidence.accuracy))
    _lenet(rules, sweeps)
    _channels(rules, sweeps.maps)
    _noise(rules, sweeps, evidence)
    return ledger


def _is_stored(sweeps: Plan) -> bool:
    """Whether all cells of the paper profile that decide a claim are stored."""
    many = (sweeps.direct, sweeps.dense, sweeps.accuracy, sweeps.lenet_accuracy,
            sweeps.lenet_attacks, sweeps.maps, sweeps.adaptive, sweeps.trained,
            sweeps.trained_span, sweeps.noisy, sweeps.noisy_span, sweeps.noisy_accuracy)
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
              "R1: different labels are inverted accurately without optimisation "
              "(saturated layer: more than nine of ten with MSE below 1e-4)", "digitised", "r1"),
        _share(different, different.error < tables.EXACT), LEVEL)
    rules.above(
        Claim("r1_same", "R1: for equal labels the error is of the order of the image "
              "(MSE above 0.01 in more than half)", "digitised", "r1"),
        _share(same, same.error > OF_THE_ORDER), 0.5)
    fresh = sweeps.formula.shown().table.query("draw == 'unique' and scale == 0.01 and B == 4")
    rules.above(
        Claim("neglected_small", "the paper's argument: with ten classes and a fresh network the "
              "neglected weights are small (sum below 0.1)", "read"),
        _share(fresh, fresh.neglected < SMALL), 0.5)
    for scale, images in sweeps.losses.shown().table.groupby("scale"):
        squared, entropy = (images[images.loss == loss] for loss in ("mse", "cross_entropy"))
        rules.fewer(
            Claim(f"r2_losses_{scale:g}",
                  "R2: behind the squared error direct inversion works less often than "
                  f"behind cross-entropy (weights N(0, {scale:g}²), MSE < 0.01)", "digitised",
                  "r2"),
            *(_share(part, part.error < settings.MSE_RECOVERED) for part in (squared, entropy)))


def _share(table: pd.DataFrame, good: pd.Series) -> pd.Series:
    """The share of each client's rows that are good."""
    return by_network(table.assign(good=good), "client", "good")


# --- R4


def _pick(dense: dict[str, store.Sweep], strategy: str, B: int, criterion: str, group: str
          ) -> pd.Series | None:
    """The share of each client that a group of attacks recovers, best by truth."""
    cell = dense[strategy].shown()
    if cell is None or B not in tables.batch_sizes_of(cell):
        return None
    names = settings.attack_names(cell.profile, strategy)
    return tables.of_clients(cell, B, names, criterion, group)


def _dense(rules: Rules, dense: dict[str, store.Sweep], B: int) -> None:
    """B: the largest batch."""
    random, equal = settings.LABEL_STRATEGIES
    for tag, (criterion, group) in CRITERIA_R4.items():
        how = f"{criterion}, {group}, best by truth"
        entropy = _pick(dense, random, B, criterion, group)
        rules.fewer(
            Claim(f"r4_equal_{tag}", f"R4: at B = {B} equal labels are recovered less "
                  f"often than random ones (CE; {how})", "digitised", "r4"),
            _pick(dense, equal, B, criterion, group), entropy)
        rules.fewer(
            Claim(f"r4_mse_{tag}", f"R4: at B = {B} the squared error of the softmax "
                  f"leaks less than CE ({how})", "digitised", "r4"),
            _pick(dense, "MSE of softmax, random labels", B, criterion, group), entropy)
        rules.fewer(
            Claim(f"r4_batch_{tag}", "R4: larger batches leak less (CE, random labels, "
                  f"B = {B} against 1; {how})", "digitised", "r4"),
            entropy, _pick(dense, random, 1, criterion, group))
    rules.fewer(
        Claim("r4_equal_blends",
              "by the paper's own criterion the closed form does not see the defense: at B = "
              f"{B} equal labels are recovered less often (CE; AVD < 0.8, closed form among the "
              "attacks)"),
        *(_pick(dense, strategy, B, "AVD < 0.8", "matching or closed form")
          for strategy in (equal, random)))


def _flattery(rules: Rules, rates: pd.DataFrame) -> None:
    matching = rates[(rates.attacks == "matching") & (rates.criterion == "AVD < 0.8")]
    wide = matching.pivot_table(index=["strategy", "B"], columns="best", values="rate")
    gap = wide["by truth"] - wide["nearest gradient"]
    rules.add(
        Claim("by_truth_flatters", "ours: choosing the best attack by the truth adds more than 5 "
              "points to the rate on average (AVD < 0.8, matching)", unit="setting", check=True),
        Decision(bool(gap.mean() > FLATTERY),
                 f"{gap.mean():+.0f} points, at most {gap.max():+.0f}"),
        "mean over strategies and batch sizes; by construction never negative with equal attacks",
        len(gap), None)


# --- R3


def _avd(rules: Rules, blanks: pd.DataFrame) -> None:
    passing = blanks.loc[("faces", measures.STRANGER), "AVD < 0.8"]
    rules.add(
        Claim("avd_is_a_success", "R3: an AVD below 0.8 tells success from failure (faces: a "
              "stranger's face is above)", "read", "r3", unit="pair"),
        decide(round((1 - passing) * 64), 64, 0.5), "95 % Wilson interval of the share above 50%",
        64, None)


# --- ours: the attack in the span


@dataclass(frozen=True)
class Spans:
    """What the attack in the span recovers, labels known."""

    sweeps: dict[tuple[str, str], store.Sweep]

    def images(self, strategy: str, B: int, rounds: str = "one round") -> pd.DataFrame | None:
        cell = self.sweeps[strategy, rounds].shown()
        if cell is None or B not in tables.batch_sizes_of(cell):
            return None
        return tables.known_labels(cell, B)

    def shares(self, strategy: str, B: int, rounds: str = "one round") -> pd.Series | None:
        images = self.images(strategy, B, rounds)
        return None if images is None else tables.shares_by_client(images, "MSE < 0.01")

    def ended(self, strategy: str, B: int, rounds: str = "one round") -> str:
        images = self.images(strategy, B, rounds)
        return "" if images is None else tables.endings(images)


def _in_span(rules: Rules, adaptive: dict[tuple[str, str], store.Sweep]) -> None:
    random, equal, logits = settings.IN_SPAN_STRATEGIES
    spans = Spans(adaptive)
    rules.above(
        Claim("span_random", "ours: in the span, a batch of four random labels behind one dense "
              "layer comes back (CE, MSE < 0.01)"),
        spans.shares(random, 4), 0.5, spans.ended(random, 4))
    for B, end, number in ((4, "", "four"), (6, "_six", "six"), (8, "_eight", "eight")):
        rules.above(
            Claim(f"span_equal{end}", f"ours: equal labels do not hide a batch of {number} behind "
                  "one dense layer (CE, attack in the span, MSE < 0.01)"),
            spans.shares(equal, B), 0.5, spans.ended(equal, B))
    rules.below(
        Claim("equal_mse_hides", "ours: equal labels and the squared error of the logits hide most "
              "of a batch of six from it (recovered: less than half)"),
        spans.shares(logits, 6), 0.5, spans.ended(logits, 6))
    three = "three rounds"
    rules.below(
        Claim("equal_mse_rounds", "ours: and three rounds do not change that"),
        spans.shares(logits, 6, three), 0.5, spans.ended(logits, 6, three))
    rules.fewer(
        Claim("equal_mse_rounds_help", "ours: three rounds lower what equal labels behind "
              "cross-entropy hide (B = 8: one round recovers less)"),
        spans.shares(equal, 8), spans.shares(equal, 8, three), spans.ended(equal, 8, three))


def _symmetry(rules: Rules, directions: pd.DataFrame, turned: dict[int, dict[str, float]]) -> None:
    unseen = directions["unseen directions"].astype(int)
    hidden = unseen.xs(symmetry.HIDDEN)
    others = unseen.drop(symmetry.HIDDEN)
    expected = all(hidden[B] == (B - 1) * (B - 2) // 2 for B in symmetry.BATCHES)
    counted = f"{[int(hidden[B]) for B in symmetry.BATCHES]}; others {int(others.max())} at most"
    rules.ledger.add(
        Claim("unseen_directions",
              "ours: (B - 1)(B - 2)/2 directions are unseen behind the squared error of the logits "
              "with equal labels, none behind the other losses and draws", unit="setting",
              check=True),
        Decision(bool(expected and (others == 0).all()), counted),
        "null space of the Jacobian in the span, one client, B = 2 to 6", len(unseen), None)
    largest = max(distance["mse"] for distance in turned.values())
    # not at 0 degrees, and not at the last angle, which is the same batch in another order
    between = min(distance["cross_entropy"] for distance in list(turned.values())[1:-1])
    rules.ledger.add(
        Claim("rotation", "ours: behind the squared error of equal labels a rotated batch has the "
              "same gradient, behind CE another", unit="batch", check=True),
        Decision(bool(largest < SAME_GRADIENT and between > OTHER_GRADIENT),
                 f"{largest:.0e}; CE {between:.0e}"),
        "three faces, float64: relative distance below 1e-20, and above 1e-12 behind CE", 1, None)


# --- R5: what mixing costs


def _accuracy(rules: Rules, accuracy: pd.DataFrame) -> None:
    """accuracy: of the leading run."""
    of = {training: rows.set_index("B") for training, rows in accuracy.groupby("strategy")}
    rules.costs(
        Claim("r5_equal_free", "R5: equal labels cost no accuracy (dense, one client a "
              "step)", "digitised", "r5", unit="network"),
        of["CE, equal labels"], of["CE"], FREE, at_least=False)
    rules.costs(
        Claim("r5_mse_free", "R5: nor does the squared error of the softmax",
              "digitised", "r5", unit="network"),
        of["MSE of softmax"], of["CE"], FREE, at_least=False)
    rules.costs(
        Claim("r5_logits_cost", "R5: the squared error of the logits costs several "
              "points", "digitised", "r5", unit="network"),
        of["MSE of logits"], of["CE"], SEVERAL, at_least=True)


# --- R6 and R7: LeNet


def _lenet(rules: Rules, sweeps: Plan) -> None:
    entropy = tables_accuracy.five_attacks(sweeps, "CE")
    if entropy is None:  # the quick profile has no such cells
        return
    for training, start in (("CE, equal labels", "r6_equal"), ("MSE of softmax", "r6_mse")):
        images = tables_accuracy.five_attacks(sweeps, training)
        for criterion, tag in (("AVD < 0.8", "avd"), ("MSE < 0.01", "mse")):
            rules.fewer(
                Claim(f"{start}_{tag}", f"R6: on LeNet {training} leaks less than CE "
                      f"({criterion}, best of five by truth, the four points together)",
                      "digitised", "r6"),
                *(tables.shares_by_client(table, criterion) for table in (images, entropy)))


def _channels(rules: Rules, maps: dict[tuple[str, str], store.Sweep]) -> None:
    for pictures, images, end in (("digits", "", ""), ("LFW", "LFW, ", "_lfw")):
        cells = [sweep.shown() for (name, _), sweep in maps.items() if name == pictures]
        if None in cells:
            continue
        widths = sorted({width for cell in cells for width in _channels_of(cell)})
        for criterion, tag in (("AVD < 0.8", "_avd"), ("MSE < 0.01", "")):
            shares = [_of_width(cells, width, criterion) for width in (widths[0], widths[-1])]
            rules.fewer(
                Claim(f"r7_channels{tag}{end}",
                      f"R7: more channels leak more ({images}{widths[0]} against "
                      f"{widths[-1]}, all strategies and batch sizes, {criterion}; a client has "
                      "one network for all cells of a width)", "digitised", "r7",
                      not_tested=NOTHING_TO_LOSE if pictures == "LFW" else ""), *shares)


def _channels_of(cell: Cell) -> list[int]:
    return [config["victim"]["channels"] for config in cell.config]


def _of_width(cells: list[Cell], width: int, criterion: str) -> pd.Series:
    """The share of each client, of the images of all cells of a width."""
    chosen = []
    for cell in cells:
        widths = pd.Series(_channels_of(cell))
        images = cell.table[cell.table.part.map(widths) == width]
        chosen.append(images.assign(recovered=tables.recovered(images, criterion)))
    return by_network(pd.concat(chosen), "client", "recovered")


# --- ours: noise


def _noise(rules: Rules, sweeps: Plan, evidence: Evidence) -> None:
    random, equal = settings.LABEL_STRATEGIES
    noise, accuracy = evidence.noise, tables.leading(evidence.accuracy)
    plain = accuracy[(accuracy.strategy == "CE") & (accuracy.B == 4)].iloc[0]
    bearable = noise[(noise.strategy == random) & (noise.accuracy > plain.accuracy - FREE)]
    claim = Claim(
        "noise_at_equal_accuracy",
        "ours, against the paper's \"as opposed to noise\": noise that costs less than one point "
        "hides more than equal labels do, which cost nothing (dense, B = 4, four attacks, "
        "MSE < 0.01)")
    if not len(bearable):
        rules.add(claim, NOT_COMPUTED, "no noise that was tried costs so little", 0, 0)
        return
    least = bearable.loc[bearable["any of the four"].idxmin()].variance
    rules.fewer(claim, *(tables.shares_by_client(images, "MSE < 0.01") for images in (
        tables_accuracy.noisy_images(sweeps, random, least),
        tables_accuracy.mixed_images(sweeps, equal))), networks=TRAINED_UNDER_NOISE)
    if LITTLE_NOISE not in noise.variance.to_list():
        return
    rules.fewer(
        Claim("noise_on_equal", "ours: noise of variance 1e-5 hides more where labels are equal "
              "than where they are random (dense, B = 4, in the span, MSE < 0.01)"),
        *(_in_span_under(sweeps, strategy, LITTLE_NOISE) for strategy in (equal, random)))


def _in_span_under(sweeps: Plan, strategy: str, variance: float) -> pd.Series:
    images = tables_accuracy.noisy_images(sweeps, strategy, variance)
    in_span = images[images.attack == len(settings.NOISE_ATTACKS)]
    return tables.shares_by_client(in_span, "MSE < 0.01")
