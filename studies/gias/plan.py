"""What notebook 04 computes, in both profiles: attacks through generators, and what each is worth.

The paper (Jeon et al., NeurIPS 2021) attacks an untrained ResNet-18 with StyleGAN2 on ImageNet and
FFHQ; that needs a GPU, and StyleGAN2's weights for ImageNet were never released. What is computed
here attacks untrained LeNets with small generators: digits in the quick profile, CIFAR-10 and the
faces of LFW in the paper profile.
"""

from dataclasses import dataclass

from lib.run import Run
from studies import store
from studies.gias.compute import SIGNED, from_gradients, grey, searched, worth
from studies.gias.configs import (
    CIFAR,
    DIGITS,
    DIGITS_GENERATOR,
    EVERY_SPACE,
    FACES,
    FULL_STEPS,
    FURTHER_SEEDS,
    LENET,
    NARROW_LENET,
    PIXEL_RATES,
    RESNET18,
    SETTINGS,
    TUNED_WEIGHTS,
    TUNED_WEIGHTS_DIGITS,
    TUNING_STEPS,
    TV,
    WIDE_GENERATOR,
    generator,
    on_cifar,
    on_digits,
    pruned,
)
from studies.store import Sweep

# --- what makes an attack difficult
BATCHES = (1, 2, 4, 8, 16, 32)
SPARSITY = (0.0, 0.3, 0.5, 0.8, 0.9, 0.95, 0.98)  # the grid of the official script [read]
NOISE = (1e-5, 1e-4, 1e-3, 1e-2)
STATISTICS = (0.0, 5e-4)  # weights of the BatchNorm statistics
TRAIN_MODE = {"mode": "train", "statistics": "exact"}

# --- GIML: the tests of a learned prior, and the settings of `searched` that they take over
GIML_TESTS = {
    "1, 95 % pruned": "1, 95 % pruned", "1, 98 % pruned": "1, 98 % pruned",
    "4, 95 % pruned": "4, 95 % pruned", "1, 95 % pruned, other networks": "1, 95 % pruned"}
OTHER_NETWORKS = "1, 95 % pruned, other networks"
QUICK_TESTS = ("1, 95 % pruned", "4, 95 % pruned")
TAKEN_OVER = ("spaces", "iterations", "batch_size", "tv", "masked", "defense")

# --- why numbers are not to be held to the paper's
SMALL = "LeNet instead of ResNet-18; a small generator"
SMALL_DIGITS = "digits of 8x8; a small generator and network"


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 04. A dict holds one sweep for each value of what it is named for."""

    generators: dict[str, Sweep]       # by image set: how good is the generator?
    tuned: dict[float, Sweep]          # by weight of the total variation, CIFAR-10
    tuned_digits: dict[str, Sweep]     # by setting; a part is a weight
    rates: dict[float, Sweep]          # by learning rate of the pixels behind the latents
    spaces_digits: Sweep               # all search spaces, this run's
    spaces: Sweep                      # "Comparison of different searching spaces", CIFAR-10
    untrained: Sweep                   # the same clients, through an untrained generator
    spaces_again: dict[int, Sweep]     # the same clients through other generators, by their seed
    untrained_again: dict[int, Sweep]  # these before they were trained
    untrained_pruned: Sweep            # the same where 98 % are pruned
    statistics: dict[float, Sweep]     # "With and without BatchNorm statistics", by weight
    strange: dict[str, Sweep]          # a generator of digits on "its own" and on "others"
    sparsity: dict[float, Sweep]       # difficulty: share of the gradient that is pruned
    batches: dict[int, Sweep]          # difficulty: images of a batch
    batch_8_more: Sweep                # further clients of eight images: claims alone use them
    noise: dict[float, Sweep]          # difficulty: variance, 0 among them
    sides: dict[int, Sweep]            # difficulty: side of the image
    crossed: dict[tuple, Sweep]        # (generator of, private images), CIFAR-10 and faces
    untrained_faces: Sweep             # faces through an untrained generator
    grey: dict[int, Sweep]             # mid-grey on the first so many clients of CIFAR-10
    giml_digits: Sweep                 # GIML of eight rounds, this run's
    giml: Sweep                        # GIML of 200 rounds
    full: dict[str, Sweep]             # ResNet-18 and wider generators, on a GPU

    @property
    def difficulties(self) -> dict[str, dict]:
        """The paper's four difficulties: what makes it difficult -> its sweeps."""
        return {"batch size": self.batches, "share pruned": self.sparsity,
                "variance of the noise": self.noise, "side of the image": self.sides}


def declare(run: Run) -> Plan:
    """All sweeps of notebook 04. What only the paper profile computes is shown by the quick one as
    it is stored, so it keeps seed 0 there."""
    stored_seed = 0 if run.quick else run.seed
    generators = _generators(run.seed, stored_seed)
    tuned, tuned_digits, rates = _tuning(stored_seed)
    sparsity = {p: _sparse(p, stored_seed) for p in SPARSITY}
    plain = sparsity[0.0]  # batches of four, nothing changed: one point of every difficulty
    return Plan(
        generators=generators, tuned=tuned, tuned_digits=tuned_digits, rates=rates,
        spaces_digits=_on_any_machine(
            "spaces_digits", searched,
            on_digits(run.seed, spaces=EVERY_SPACE, clients=(0, 2))),
        spaces=_stored("spaces", on_cifar(stored_seed, EVERY_SPACE, clients=(0, 8), restarts=2,
                                          record=21, shown=4), 35),
        untrained=_untrained("untrained", 15, stored_seed, CIFAR, clients=(0, 8), restarts=2),
        spaces_again={again: _again(again, True, stored_seed) for again in FURTHER_SEEDS},
        untrained_again={again: _again(again, False, stored_seed) for again in FURTHER_SEEDS},
        untrained_pruned=_untrained("untrained_098", 8, stored_seed, CIFAR, **pruned(0.98)),
        statistics={weight: _with_statistics(weight, stored_seed) for weight in STATISTICS},
        strange=_strange(run.seed),
        sparsity=sparsity,
        batches={size: plain if size == 4 else _batch(size, stored_seed) for size in BATCHES},
        batch_8_more=_stored(
            "batch_8_more", on_cifar(stored_seed, batch_size=8, clients=(2, 8)), 13),
        noise={0.0: plain} | {variance: _noisy(variance, stored_seed) for variance in NOISE},
        sides={16: _small_images(stored_seed), 32: plain},
        crossed=_crossed(plain, stored_seed),
        untrained_faces=_untrained("untrained_lfw", 8, stored_seed, FACES),
        grey={clients: _grey(clients, stored_seed) for clients in (4, 8)},
        giml_digits=_giml_digits(run.seed, stored_seed),
        giml=_giml(stored_seed),
        full=_full(stored_seed))


# --- sweeps


def _sweep(name: str, compute, quick: list, paper: list, minutes: float, why=SMALL,
           gpu=False) -> Sweep:
    return store.Sweep(name, compute, quick=quick, paper=paper,
                       minutes={"quick": 0.3, "paper": minutes}, gib=2,
                       comparable={"quick": SMALL_DIGITS, "paper": why}, gpu=gpu)


def _stored(name: str, config: dict, minutes: float = 6, compute=searched) -> Sweep:
    """A sweep that the paper profile alone computes."""
    return _sweep(name, compute, [], [config], minutes)


def _on_any_machine(name: str, compute, config: dict) -> Sweep:
    """A sweep on digits, the same in both profiles."""
    return _sweep(name, compute, [config], [config], 1, SMALL_DIGITS)


def _in_a_name(value) -> str:
    return str(value).replace("-", "m").replace(".", "")


def _generators(seed: int, stored_seed: int) -> dict[str, Sweep]:
    """The quality of the three generators, by image set."""
    of_digits = {"images": DIGITS, "generator": generator(DIGITS, DIGITS_GENERATOR), "count": 16,
                 "seed": seed}
    sweeps = {"digits": _on_any_machine("generator_digits", worth, of_digits)}
    for images in (CIFAR, FACES):
        config = {"images": images, "generator": generator(images), "count": 16,
                  "seed": stored_seed}
        name = images["name"]
        sweeps[name] = _stored(f"generator_{name}", config, 15, worth)
    return sweeps


def _tuning(seed: int) -> tuple[dict, dict, dict]:
    """Weights of the total variation on CIFAR-10 and on digits, and learning rates of GI-z/x, on
    clients that nothing else attacks."""
    tuned, tuned_digits, rates = {}, {}, {}
    for tv in TUNED_WEIGHTS:
        config = on_cifar(seed, (SIGNED, "x", "w", "z/w"), clients=(8, 12), tv=tv,
                          iterations=TUNING_STEPS)
        tuned[tv] = _stored(f"tuned_{_in_a_name(f'{tv:g}')}", config, 8)
    for i, (setting, (batch_size, _)) in enumerate(SETTINGS.items()):
        clients = (40, 44 if batch_size > 1 else 56)
        configs = [on_digits(seed, setting, clients=clients, tv=tv) for tv in TUNED_WEIGHTS_DIGITS]
        tuned_digits[setting] = _sweep(f"tuned_digits_{i}", searched, [], configs, 2)
    for rate in PIXEL_RATES:
        config = on_cifar(seed, ["z/x"], clients=(8, 12), tv=TV["z/x"], rates={"x": rate},
                          iterations={stage: TUNING_STEPS[stage] for stage in ("z", "x")})
        rates[rate] = _stored(f"rate_{_in_a_name(f'{rate:g}')}", config, 3)
    return tuned, tuned_digits, rates


def _untrained(name: str, minutes: float, seed: int, images: dict, **more) -> Sweep:
    """GI-w and GIAS through the same generator as it was drawn, before it saw an image."""
    drawn = generator(images, trained=False)
    return _stored(name, on_cifar(seed, ("w", "z/w"), images=images, generator=drawn, **more),
                   minutes)


def _again(again: int, trained: bool, seed: int) -> Sweep:
    """GI-w and GIAS (and GI-z, which costs nothing more) on the clients of `spaces`, through the
    generator of another seed, trained or as it was drawn. Three trainings decide a claim about
    what a generator learned."""
    spaces = ("z", "w", "z/w") if trained else ("w", "z/w")
    config = on_cifar(seed, spaces, clients=(0, 8), restarts=2,
                      generator=generator(CIFAR, trained=trained, seed=again))
    name = f"spaces_generator_{again}" if trained else f"untrained_generator_{again}"
    return _stored(name, config, 20 if trained else 13)  # 7 of them are the training


def _with_statistics(weight: float, seed: int) -> Sweep:
    """Figure "Comparison of state-of-the-art models and ours": a LeNet with BatchNorm in train
    mode, the private batch's statistics as a prior of that weight."""
    config = on_cifar(seed, bn=weight, victim=LENET | {"norm": "batch"}, **TRAIN_MODE)
    return _stored(f"statistics_{_in_a_name(weight)}", config, 8)


def _strange(seed: int) -> dict[str, Sweep]:
    """A generator of digits attacks single digits ("its own") and single faces ("others")."""
    images = {"its own": DIGITS, "others": {"name": "faces", "size": 8, "classes": 10}}
    sweeps = {}
    for whose, private in images.items():
        config = on_digits(seed, spaces=(SIGNED, "z", "z/w"), clients=(0, 8), batch_size=1,
                           shown=6, images=private)
        sweeps[whose] = _on_any_machine(f"strange_{whose.replace(' ', '_')}", searched, config)
    return sweeps


def _sparse(share: float, seed: int) -> Sweep:
    return _stored(f"sparsity_{_in_a_name(share)}", on_cifar(seed, **pruned(share)))


def _batch(size: int, seed: int) -> Sweep:
    """16 images in batches of that size, 32 in one batch of 32. Those of single images are not the
    clients on whom the weights were chosen."""
    clients = (12, 28) if size == 1 else (0, max(16 // size, 1))
    return _stored(f"batch_{size}", on_cifar(seed, batch_size=size, clients=clients))


def _noisy(variance: float, seed: int) -> Sweep:
    defense = [{"name": "gaussian", "variance": variance}]
    return _stored(f"noise_{_in_a_name(f'{variance:g}')}", on_cifar(seed, defense=defense))


def _small_images(seed: int) -> Sweep:
    return _stored("side_16", on_cifar(seed, images=CIFAR | {"size": 16}), 12)


def _crossed(plain: Sweep, seed: int) -> dict[tuple, Sweep]:
    """Generators of CIFAR-10 and of faces, each on images of its own kind and of the other."""
    sweeps = {}
    for known in (CIFAR, FACES):
        for images in (CIFAR, FACES):
            of, on = known["name"], images["name"]
            if of == on == "cifar10":
                sweeps[of, on] = plain
                continue
            config = on_cifar(seed, images=images, generator=generator(known))
            sweeps[of, on] = _stored(f"crossed_{of}_{on}", config)
    return sweeps


def _grey(clients: int, seed: int) -> Sweep:
    config = {"images": CIFAR, "batch_size": 4, "clients": [0, clients], "seed": seed}
    return _stored(f"grey_{clients}", config, 1, grey)


def _giml_config(seed: int, rounds: int, iterations: list, looked_at: list, tests: dict) -> dict:
    """A config of `from_gradients`: rounds of four clients with one digit each, one network."""
    return {"images": DIGITS, "generator": generator(DIGITS, DIGITS_GENERATOR, trained=False),
            "clients": 4, "lr": 1e-2, "victim": NARROW_LENET | {"seed": seed}, "seed": seed,
            "rounds": rounds, "iterations": iterations, "looked_at": looked_at, "tests": tests}


def _giml_test(name: str, seed: int) -> dict:
    """What a test of a learned prior takes over from the attack on digits of its setting."""
    setting = GIML_TESTS[name]
    attacked = on_digits(seed, setting)
    test = {key: value for key, value in attacked.items() if key in TAKEN_OVER}
    test["clients"] = [0, 8 if SETTINGS[setting][0] == 4 else 16]
    if name == OTHER_NETWORKS:
        test["victim"] = NARROW_LENET  # without a seed: each client has a network of its own
    return test


def _giml_digits(seed: int, stored_seed: int) -> Sweep:
    """Figures of GIML, eight short rounds."""
    tests = {name: _giml_test(name, stored_seed) | {"clients": [0, 8]} for name in QUICK_TESTS}
    config = _giml_config(seed, 8, [50, 25], [2, 4, 6, 8], tests)
    return _on_any_machine("giml_digits", from_gradients, config)


def _giml(seed: int) -> Sweep:
    """Figures of GIML, the official 200 rounds with a tenth of their iterations."""
    tests = {name: _giml_test(name, seed) for name in GIML_TESTS}
    config = _giml_config(seed, 200, [100, 50], [8, 50, 100, 200], tests)
    return _sweep("giml", from_gradients, [], [config], 15,
                  "digits; LeNet; fewer iterations")


def _full(seed: int) -> dict[str, Sweep]:
    """The paper's victim, ResNet-18, in its comparison with and without BatchNorm statistics."""
    settings = {
        "CIFAR-10, eval mode": {},
        "CIFAR-10, train mode": TRAIN_MODE,
        "CIFAR-10, train mode, statistics (weight 0.001)": TRAIN_MODE | {"bn": 1e-3},
        "faces, eval mode": {"images": FACES, "generator": generator(FACES, WIDE_GENERATOR)}}
    common = {"victim": RESNET18 | {"seed": seed}, "iterations": FULL_STEPS, "restarts": 4,
              "generator": generator(CIFAR, WIDE_GENERATOR)}
    sweeps = {}
    for i, (name, more) in enumerate(settings.items()):
        config = on_cifar(seed, EVERY_SPACE, **common | more)
        sweeps[name] = _sweep(f"full_{i}", searched, [], [config], 60,
                              "a small generator instead of StyleGAN2", gpu=True)
    return sweeps
