"""What notebook 05 computes: the sweeps of both profiles, after Huang et al. (2021).

Sweeps named `wide` are of the paper's ResNet-18, and need a GPU; the rest is of smaller networks
(`settings`).
"""

from collections.abc import Callable
from dataclasses import dataclass

from lib.run import PROFILES, Run
from studies import case
from studies.huang_evaluation import compute, settings
from studies.store import Sweep

# --- why the numbers are not to be held to the paper's

OTHER_IMAGES = "other, smaller images; a smaller network"
LENET_ATTACKED = "LeNet, 2,400 iterations"
LENET_FULL = "LeNet, n = 16 on each of five networks"
LEARNT = "a pre-activation ResNet of width 8 and depth 8, ten epochs, three seeds"


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 05. Defenses are named as in `settings.DEFENSES`; B: batch size."""

    privacy: dict[tuple[str, int], Sweep]             # (defense, B)
    privacy_wide: dict[tuple[str, int], Sweep]        # the same, of the ResNet-18
    narrow: Sweep                                     # a ResNet-18 of an eighth of the width
    longer: Sweep                                     # LeNet for the paper's 10,000 iterations
    full: dict[tuple[str, int], Sweep]                # (condition of settings.FULL, victim)
    statistics: dict[tuple[str, int], Sweep]          # (what is known, B): Figure 1
    statistics_weights: dict[tuple[str, float, int], Sweep]  # (what is known, weight, B)
    statistics_wide: dict[tuple[str, int], Sweep]     # Figure 1, of the ResNet-18
    labels: dict[tuple[str, str], Sweep]              # (composition, "known"/"unknown"): Figure 2
    one_label_unknown: Sweep                          # single images, labels not given
    fading: dict[int, Sweep]                          # epochs that the victim was trained for
    masked: dict[tuple[str, int], Sweep]              # (defense, B): an attacker who knows the mask
    four_epochs: dict[str, Sweep]                     # encodings of four epochs, decoded
    other_victims: dict[str, Sweep]                   # without BatchNorm
    dpsgd: dict[float, Sweep]                         # noise multiplier
    accuracy: dict[str, Sweep]                        # of victims trained under a defense
    accuracy_dpsgd: dict[float, Sweep]                # noise multiplier
    baselines: Sweep                                  # guesses that no attack made
    training_time: Sweep                              # seconds of an epoch under each defense
    operations: Sweep                                 # what one step of the attack costs

    @property
    def profile(self) -> str:
        """The profile of this run."""
        return self.baselines.profile

    def groups(self) -> tuple[list[Sweep], ...]:
        """The sweeps that stand together in tables, of one profile only: that of the first."""
        defenses = [*self.privacy.values(), *self.masked.values(), *self.accuracy.values(),
                    *self.fading.values(), self.training_time, self.baselines,
                    self.one_label_unknown]
        norms = [*self.statistics.values(), *self.other_victims.values()]
        return defenses, list(self.labels.values()), norms


def declare(run: Run) -> Plan:
    """Declare the sweeps of both profiles; the victims' weights and all draws are of run.seed."""
    seed = run.seed
    privacy = _privacy(seed)
    return Plan(
        privacy=privacy, privacy_wide=_privacy_wide(seed), narrow=_narrow(seed),
        longer=_longer(seed), full=_full(seed), statistics=_statistics(seed),
        statistics_weights=_statistics_weights(seed), statistics_wide=_statistics_wide(seed),
        labels=_labels(seed), one_label_unknown=_one_label_unknown(seed),
        fading=_fading(seed, privacy["None", 1]), masked=_masked(seed),
        four_epochs=_four_epochs(seed), other_victims=_other_victims(seed), dpsgd=_dpsgd(seed),
        accuracy=_accuracy(), accuracy_dpsgd=_accuracy_dpsgd(), baselines=_baselines(seed),
        training_time=_training_time(), operations=_operations())


def _sweep(name: str, minutes: float, function: Callable = compute.defended, *,
           quick: list | None = None, paper: list | None = None, why: str = LENET_ATTACKED,
           gpu: bool = False, version: int = 1) -> Sweep:
    """A sweep under its name as files bear it. minutes: of the paper profile. why: what keeps that
    profile's numbers from being the paper's. Where gpu, the quick profile has no configs."""
    for shown, written in ((" + ", "_"), (" ", "_"), (",", ""), (".", "")):
        name = name.replace(shown, written)
    return Sweep(name.lower(), function, quick=quick or [], paper=paper or [],
                 minutes={"quick": 0.1, "paper": minutes}, gib=2,
                 comparable={"quick": OTHER_IMAGES, "paper": why}, gpu=gpu, version=version)


# --- the table of defenses, Figures 3 and 7


def _privacy(seed: int) -> dict:
    """The table of defenses: plain attacks under each, by batch size."""
    others = [defense for defense in settings.DEFENSES if defense not in settings.FIRST]
    sweeps = {}
    for B in (1, 4, 16, 32):
        quick_defenses = {1: settings.FIRST, 4: settings.FIRST[:4]}.get(B, ())
        for defense in (*settings.FIRST, *others):
            quick, paper = [], []
            if defense in quick_defenses:
                quick = [settings.attacked("quick", seed, defense, B)]
            if B in settings.BATCHES["paper"]:
                paper = [settings.attacked("paper", seed, defense, B)]
            sweeps[defense, B] = _sweep(f"privacy_{defense}_b{B}", 2, quick=quick, paper=paper)
    return sweeps


def _privacy_wide(seed: int) -> dict:
    """The same of the paper's network, with what its attacker is given."""
    sweeps = {}
    for B in (1, 16):
        for defense in settings.FIRST:
            config = settings.attacked("paper", seed, defense, B, n=16, victim=settings.RESNET18,
                              given=settings.GIVEN["quick"], attack={"iterations": 2000})
            sweeps[defense, B] = _sweep(
                f"wide_{defense}_b{B}", 60, paper=[config], gpu=True,
                why="2,000 iterations of 10,000, n = 16 of 50")
    return sweeps


def _narrow(seed: int) -> Sweep:
    """What was reduced: the paper's network at an eighth of its width, without a defense."""
    config = {
        "images": settings.IMAGES["paper"],
        "victim": settings.RESNET18 | {"width": 8, "seed": seed},
        "train": {"epochs": 2, "batch_size": 64, "lr": 0.05, "weight_decay": 5e-4,
                  "augment": True},
        "attack": {"name": "huang", "iterations": 1000}, "batch_size": 1, "clients": 16,
        "seed": seed, "defense": None, "shown": 6}
    return _sweep("narrow", 8, paper=[config],
                  why="an eighth of the width, a tenth of the iterations")


def _longer(seed: int) -> Sweep:
    """What was reduced: LeNet at the paper's iterations, without a defense."""
    config = settings.attacked("paper", seed, attack={"iterations": 10_000})
    return _sweep("longer", 8, paper=[config])


def _full(seed: int) -> dict:
    """The paper's iterations, on several networks: a sweep a victim, so that each is stored when it
    is computed. What claims compare comes first, of all victims."""
    sweeps = {}
    for condition, (*_, minutes) in settings.FULL.items():
        for victim in range(settings.VICTIMS):
            config = settings.full(condition, seed + settings.SEEDS_APART * victim)
            name = f"full_{condition}_victim {victim}".replace(" = ", "")
            sweeps[condition, victim] = _sweep(name, minutes, paper=[config], why=LENET_FULL)
    return sweeps


# --- Figure 1: what is known of the statistics


def _statistics(seed: int) -> dict:
    """Figure 1, on a LeNet with BatchNorm."""
    sweeps = {}
    for B in (1, 4, 16):
        for known, more in settings.STATISTICS.items():
            single = B == 1 and known != "proxy, fixed"
            batch = B == 4 and known in ("exact", "inferred")
            quick = [settings.attacked("quick", seed, B=B, **more)] if single or batch else []
            paper = settings.batchnormed(
                seed, settings.LENET_NORMALISED, known, B, max(2 * B, 24))
            sweeps[known, B] = _sweep(
                f"fig1_{known}_b{B}", 4, quick=quick, paper=[paper],
                why="LeNet with BatchNorm, 2,400 iterations, n = 24 or 32")
    return sweeps


def _statistics_weights(seed: int) -> dict:
    """Figure 1 at other weights of the prior on the statistics."""
    sweeps = {}
    for known, weight, B in settings.STATISTICS_WEIGHTS:
        which = "" if known == "exact" else f"{known}_"
        name = f"fig1_weight_{which}{weight}_b{B}".replace("-", "m")
        config = settings.batchnormed(
            seed, settings.LENET_NORMALISED, known, B, max(2 * B, 24), bn=weight)
        sweeps[known, weight, B] = _sweep(
            name, 4, paper=[config], why="LeNet with BatchNorm, n = 24 or 32")
    return sweeps


def _statistics_wide(seed: int) -> dict:
    """Figure 1, on the paper's network."""
    sweeps = {}
    for B in (1, 4, 16):
        for known in settings.STATISTICS:
            config = settings.batchnormed(
                seed, settings.RESNET18, known, B, 16, iterations=2000, tv=0.1)
            sweeps[known, B] = _sweep(
                f"fig1_wide_{known}_b{B}", 60, paper=[config], gpu=True,
                why="2,000 iterations of 10,000, n = 16")
    return sweeps


# --- Figure 2: what is known of the labels


def _labels(seed: int) -> dict:
    """Figure 2: labels given or optimised, by the labels of the batch."""
    sweeps = {}
    for composition in settings.COMPOSITIONS:
        for known in settings.LABELS:
            how = {"labels": known, "labels_of_batch": composition}
            quick = []
            if composition != "two labels":
                quick = [settings.attacked("quick", seed, B=4, **how)]
            sweeps[composition, known] = _sweep(
                f"fig2_{composition}_{known}", 3, quick=quick,
                paper=[settings.attacked("paper", seed, B=8, **how)])
    return sweeps


def _one_label_unknown(seed: int) -> Sweep:
    """The same for single images; where the labels are given they are those of `privacy`."""
    quick, paper = (settings.attacked(profile, seed, labels="unknown") for profile in PROFILES)
    return _sweep("fig2_one_image_unknown", 3, quick=[quick], paper=[paper])


# --- beyond the paper: training, adaptive attackers, other victims, differential privacy


def _fading(seed: int, two_epochs: Sweep) -> dict:
    """How the attack fades as the victim trains; after two epochs it is the one of the table."""
    sweeps = {}
    for epochs in sorted({*settings.EPOCHS["quick"], *settings.EPOCHS["paper"]}):
        configs = {}
        for profile in PROFILES:
            train = settings.TRAIN[profile] | {"epochs": epochs} if epochs else None
            config = settings.attacked(profile, seed, train=train)
            configs[profile] = [config] if epochs in settings.EPOCHS[profile] else []
        sweeps[epochs] = two_epochs if epochs == 2 else _sweep(f"fade_{epochs}", 3, **configs)
    return sweeps


def _masked(seed: int) -> dict:
    """An attacker who compares only the entries that pruning left (`objectives.masked`)."""
    sweeps = {}
    for B in (1, 16):
        for defense in settings.PRUNING:
            quick, paper = [], []
            if B == 1 and defense in settings.FIRST[:3]:
                quick = [settings.attacked("quick", seed, defense, attack={"masked": True})]
            if B == 1 or defense in settings.FIRST:
                paper = [settings.attacked("paper", seed, defense, B, attack={"masked": True})]
            name = f"masked_{defense}" if B == 1 else f"masked_{defense}_b{B}"
            sweeps[defense, B] = _sweep(name, 3, quick=quick, paper=paper)
    return sweeps


def _four_epochs(seed: int) -> dict:
    """An attacker who knows the keys, and has the encodings of four epochs."""
    return {defense: _sweep(f"decoded_{defense}_four_epochs", 10,
                            paper=[settings.attacked("paper", seed, defense, draws=4)])
            for defense in ("MixUp 4", "InstaHide 4")}


def _other_victims(seed: int) -> dict:
    """Victims that keep no statistics of a batch."""
    norms = {"GroupNorm": {"norm": "group"}, "LayerNorm": {"norm": "layer"}}
    victims = {name: {"quick": settings.SMALL | norm, "paper": settings.LENET | norm}
               for name, norm in norms.items()}
    victims["ViT"] = {"quick": settings.VIT, "paper": settings.VIT}
    sweeps = {}
    for name, of_profile in victims.items():
        quick = settings.attacked("quick", seed, victim=of_profile["quick"], statistics="inferred",
                         attack=settings.NO_STATISTICS)
        paper = settings.attacked("paper", seed, n=24, victim=of_profile["paper"])
        sweeps[name] = _sweep(f"victim_{name}", 4, quick=[quick], paper=[paper],
                              why="n = 24, 2,400 iterations")
    return sweeps


def _dpsgd(seed: int) -> dict:
    """Attacks on clients that clip their gradients and add noise, by noise multiplier."""
    sweeps = {}
    for noise in settings.NOISE:
        defense = [{"name": "dpsgd", "clip": settings.CLIP, "noise_multiplier": noise}]
        sweeps[noise] = _sweep(f"dpsgd_{noise}", 3,
                               paper=[settings.attacked("paper", seed) | {"defense": defense}])
    return sweeps


# --- what a defense costs


def _accuracy() -> dict:
    """The table of defenses: test accuracy of victims trained under each."""
    sweeps = {}
    for name, defense in settings.DEFENSES.items():
        quick = [settings.learned("quick", defense)] if name in settings.FIRST else []
        sweeps[name] = _sweep(f"utility_{name}", 10, case.accuracy, quick=quick,
                              paper=[settings.learned("paper", defense)], why=LEARNT)
    return sweeps


def _accuracy_dpsgd() -> dict:
    """Test accuracy of victims trained with DP-SGD, by noise multiplier."""
    sweeps = {}
    for noise in settings.NOISE:
        defense = [{"name": "dpsgd", "clip": settings.CLIP, "noise_multiplier": noise,
                    "batch_size": settings.RECIPE["paper"]["batch_size"]}]
        config = settings.learned("paper", defense, **settings.NO_BATCHNORM)
        sweeps[noise] = _sweep(f"utility_dpsgd_{noise}", 40, case.accuracy, paper=[config],
                               why=LEARNT)
    return sweeps


def _baselines(seed: int) -> Sweep:
    """What guesses reach that needed no gradient, on the images that are attacked."""
    configs = {}
    for profile in PROFILES:
        configs[profile] = [{
            "images": settings.IMAGES[profile], "clients": settings.IMAGES_ATTACKED[profile],
            "seed": seed, "mixing": [settings.mixup(4), settings.instahide(4)]}]
    # The reason is the one that the tracked cell bears: another would rewrite its file.
    return _sweep("baselines", 1, compute.baselines, **configs, why="computed")


def _training_time() -> Sweep:
    """The table of defenses: how long an epoch takes under each."""
    shared = {"victim": settings.LENET, "defenses_": list(settings.DEFENSES.values()),
              "batch_size": 128}
    quick = shared | {"images": {"name": "photos"}, "repeats": 3}
    paper = shared | {"images": {"name": "cifar10"}, "first": 10_000, "repeats": 5}
    return _sweep("training_time", 2, compute.training_time, quick=[quick], paper=[paper],
                  why="LeNet, one epoch of 10,000 images")


def _operations() -> Sweep:
    """The cost of one image: operations of one step of the attack, on the paper's network and on
    one of an eighth of its width. The same in both profiles."""
    victims = [{"name": "preact_resnet", "width": width} for width in (8, 64)]
    config = {"images": {"name": "photos"}, "victims_": victims, "batch_sizes": [1, 16, 32]}
    return _sweep("effort", 1, compute.effort, quick=[config], paper=[config], version=2,
                  why="operations counted, nothing attacked")
