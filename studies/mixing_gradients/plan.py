"""The plan of notebook 06: which experiments are stored, in both profiles. `settings` says what
they vary."""

from dataclasses import dataclass

from lib.run import Run
from studies import case, store
from studies.mixing_gradients import plan_span, settings
from studies.mixing_gradients.compute import demixing, mixing
from studies.mixing_gradients.plan_span import Sweeps, sweep

NO_CLOSED_FORM_DETAILS = "the published batch size, data and initialisation are not known"
NO_DENSE_DETAILS = "the published attacks' optimiser, weights and number are not known; " \
                   "n = 30 clients"
NO_LENET_DETAILS = "n = 8 clients; LeNet's details and the attacks are not known"


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 06, in the order of its page."""

    formula: store.Sweep       # the closed form's error by the width of the weights
    many_classes: store.Sweep  # and by the number of classes
    direct: Sweeps             # R1, by precision
    losses: store.Sweep        # R2
    sheets: Sweeps             # R3, by image set
    dense: Sweeps              # R4, by strategy
    adaptive: dict[tuple[str, str], store.Sweep]  # in the span, by strategy and rounds seen
    trained: Sweeps            # a trained victim, by strategy
    trained_span: Sweeps       # and in the span
    accuracy: Sweeps           # R5, by way of training
    averaged: store.Sweep      # R5's equal labels, ten clients a step
    lenet_accuracy: Sweeps     # R6, by way of training
    maps: dict[tuple[str, str], store.Sweep]      # R7, by image set and strategy
    longer: store.Sweep        # R7 on LFW with four times the iterations
    lenet_logits: store.Sweep  # R6, the strategy that R7 does not have
    lenet_attacks: Sweeps      # R6, four attacks beside R7's, by way of training
    noisy: Sweeps              # noise on the gradient, by strategy
    noisy_span: Sweeps         # and in the span
    noisy_accuracy: Sweeps     # and what it costs, by way of training


def declare(run: Run) -> Plan:
    """Declare the sweeps of both profiles. Their order is that of `make plan`."""
    seed = run.seed
    return Plan(
        formula=_formula(seed),
        many_classes=_many_classes(seed),
        direct=_direct(seed),
        losses=_losses(seed),
        sheets=_sheets(seed),
        dense=_dense(seed),
        adaptive=plan_span.adaptive(seed),
        trained=plan_span.trained(seed),
        trained_span=plan_span.trained_span(seed),
        accuracy=_accuracy(),
        averaged=_averaged(),
        lenet_accuracy=_lenet_accuracy(),
        maps=_maps(seed),
        longer=_longer(seed),
        lenet_logits=_lenet_logits(seed),
        lenet_attacks=_lenet_attacks(seed),
        noisy=plan_span.noisy(seed),
        noisy_span=plan_span.noisy_span(seed),
        noisy_accuracy=_noisy_accuracy())


# --- the closed form on one dense layer, without an optimiser


def _closed_form(profile: str, seed: int, **varied) -> dict:
    return {"images": settings.PICTURES[profile], "init": "normal", "seed": seed} | varied


def _formula(seed: int) -> store.Sweep:
    """The exact error of the closed form against the width of the weights."""
    def configs(profile: str) -> list[dict]:
        return [_closed_form(profile, seed, scales=settings.SCALES, batch_sizes=[2, 4, 8],
                             draws=["unique", "equal"], losses=["cross_entropy"], clients=30,
                             precision="float64")]
    return sweep("formula", demixing, configs, "ours", 0.1)


def _many_classes(seed: int) -> store.Sweep:
    """The same images under 10 to 1,000 random labels."""
    def configs(profile: str) -> list[dict]:
        images = settings.PICTURES[profile]
        return [_closed_form(profile, seed, images=images | {"classes": classes},
                             scales=[0.01, 0.3], batch_sizes=[4], draws=["unique"],
                             losses=["cross_entropy"], clients=30)
                for classes in (10, 30, 100, 1000)]
    return sweep("classes", demixing, configs, "ours; random labels", 0.1)


def _direct(seed: int) -> Sweeps:
    """R1: direct inversion of different labels and of one label, in two precisions."""
    return {precision: _direct_in(precision, seed) for precision in ("float32", "float64")}


def _direct_in(precision: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        return [_closed_form(profile, seed, scales=[5.0], batch_sizes=[5],
                             draws=["unique", "equal"], losses=["cross_entropy"], clients=20,
                             precision=precision)]
    return sweep(f"r1_{precision}", demixing, configs, NO_CLOSED_FORM_DETAILS, 0.1)


def _losses(seed: int) -> store.Sweep:
    """R2: direct inversion behind cross-entropy and behind the squared error, labels at random."""
    def configs(profile: str) -> list[dict]:
        return [_closed_form(profile, seed, scales=[0.3, 5.0], batch_sizes=[4], draws=["random"],
                             losses=["cross_entropy", "mse"], clients=250)]
    return sweep("r2", demixing, configs, NO_CLOSED_FORM_DETAILS, 0.1)


# --- pictures


def _sheets(seed: int) -> Sweeps:
    """R3: reconstructions from hopeless to exact, stages of two attacks on a LeNet."""
    victim = {"name": "lenet", "channels": 12}

    def configs(profile: str) -> list[dict]:
        attacks = [settings.matching(profile, iterations=iterations, **weights)
                   for weights in (settings.TV, {}) for iterations in settings.STAGES[profile]]
        config = settings.mixed(profile, "CE, random labels", victim, 2, attacks, 6, seed)
        return [config | {"shown": 6}]

    def of_faces(profile: str) -> list[dict]:
        return [config | {"images": settings.FACES} for config in configs(profile)]

    return {"digits": sweep("r3_digits", mixing, configs, True, 2),
            "faces": sweep("r3_faces", mixing, of_faces,
                            "scikit-image's grey faces instead of LFW", 2)}


# --- a dense layer


def _dense(seed: int) -> Sweeps:
    """R4: all attacks on a dense layer, each strategy, by batch size."""
    return {strategy: _dense_of(strategy, seed) for strategy in settings.STRATEGIES}


def _dense_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        attacks = list(settings.dense_attacks(profile, settings.STRATEGIES[strategy][1]).values())
        clients = settings.DENSE_CLIENTS[profile]
        return [settings.of_dense(profile, strategy, batch_size, attacks, clients, seed)
                | {"shown": 1} for batch_size in settings.BATCHES[profile]]
    return sweep(f"r4_{settings.short(strategy)}", mixing, configs, NO_DENSE_DETAILS, 8)


# --- accuracy of victims that are trained under each strategy


def _accuracy() -> Sweeps:
    """R5: a dense layer's accuracy, by batch size and learning rate."""
    return {training: _accuracy_of(training) for training in settings.TRAINED_UNDER}


def _accuracy_of(training: str) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        batches = {"quick": [4], "paper": [2, 4, 6]}[profile]
        runs = {"quick": [(0,)], "paper": [(0, 1), (2,)]}[profile]
        return [settings.taught(profile, training, settings.DENSE, batch_size, lr, seeds)
                for seeds in runs for batch_size in batches for lr in settings.RATES["dense"]]
    return sweep(settings.sweep_name("r5", training), case.accuracy, configs,
                  "the published training is not known; three seeds, one epoch", 8)


def _averaged() -> store.Sweep:
    """R5's equal labels where a step averages ten clients, at ten times the learning rate."""
    def configs(profile: str) -> list[dict]:
        return [settings.taught(profile, "CE, equal labels", settings.DENSE, 4, 10 * lr, clients=10)
                for lr in settings.RATES["dense"]]
    return sweep("r5_averaged", case.accuracy, configs, "ours", 1)


def _lenet_accuracy() -> Sweeps:
    """R6: a LeNet's accuracy at the published points, by learning rate."""
    return {training: _lenet_accuracy_of(training) for training in settings.TRAINED_UNDER}


def _lenet_accuracy_of(training: str) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        described = []
        for batch_size, channels in settings.POINTS[profile]:
            victim = settings.TRAINABLE | {"channels": channels}
            described += [settings.taught(profile, training, victim, batch_size, lr, seeds=(0,))
                          for lr in settings.RATES["lenet"]]
        return described
    return sweep(settings.sweep_name("r6_accuracy", training), case.accuracy, configs,
                  "the published training is not known; one seed, one epoch", 8)


# --- LeNet: recovery by batch size and channels


def _lenet_config(profile: str, strategy: str, point: tuple[int, int], attacks: list[dict],
                  seed: int) -> dict:
    """Eight clients at a point (batch size, channels), each with a new LeNet."""
    batch_size, channels = point
    victim = {"name": "lenet", "channels": channels}
    clients = settings.LENET_CLIENTS
    return settings.mixed(profile, strategy, victim, batch_size, attacks, clients, seed)


def _maps(seed: int) -> dict[tuple[str, str], store.Sweep]:
    """R7: one attack, the angle with TV, on a grid of batch sizes and channels."""
    return {(pictures, strategy): _map_of(pictures, strategy, seed)
            for pictures in settings.GRID for strategy in settings.LENET_STRATEGIES}


def _map_of(pictures: str, strategy: str, seed: int) -> store.Sweep:
    pool = {"digits": 80, "LFW": 200}[pictures]

    def configs(profile: str) -> list[dict]:
        widths, batches = settings.GRID[pictures][profile]
        images = settings.PICTURES[profile] if pictures == "digits" else settings.LFW
        attacks = [settings.matching(profile, **settings.TV)]
        return [_lenet_config(profile, strategy, (batch_size, channels), attacks, seed)
                | {"pool": pool, "images": images}
                for channels in widths for batch_size in batches]

    return sweep(f"r7_{pictures}_{settings.short(strategy)}".lower(), mixing, configs,
                  NO_LENET_DETAILS, 14 if pictures == "digits" else 10)


def _longer(seed: int) -> store.Sweep:
    """On LFW 600 iterations recover nothing: is it the attack's length? Single images, 2,400."""
    def configs(profile: str) -> list[dict]:
        attacks = [settings.matching(profile, **settings.TV | {"iterations": 2400})]
        widths, _ = settings.GRID["LFW"][profile]
        return [_lenet_config(profile, "CE, random labels", (1, channels), attacks, seed)
                | {"pool": 200, "images": settings.LFW} for channels in widths]
    return sweep("r7_lfw_longer", mixing, configs, NO_LENET_DETAILS, 2)


def _lenet_logits(seed: int) -> store.Sweep:
    """R6: the squared error of the logits, which is not in R7, under R7's attack."""
    def configs(profile: str) -> list[dict]:
        attacks = [settings.matching(profile, **settings.TV)]
        return [_lenet_config(profile, "MSE of logits, random labels", point, attacks, seed)
                for point in settings.POINTS[profile]]
    return sweep("r6_mse_random", mixing, configs, NO_LENET_DETAILS, 4)


def _lenet_attacks(seed: int) -> Sweeps:
    """R6: four attacks beside R7's, at the four published points."""
    return {training: _lenet_attacks_of(strategy, seed)
            for training, strategy in settings.TRAINED_UNDER.items()}


def _lenet_attacks_of(strategy: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        attacks = [settings.matching(profile, objective, **more)
                   for objective, more in settings.LENET_ATTACKS.values()]
        return [_lenet_config(profile, strategy, point, attacks, seed)
                for point in settings.POINTS[profile]]
    return sweep(f"r6_attacks_{settings.short(strategy)}", mixing, configs, NO_LENET_DETAILS, 5)


# --- ours: noise against mixing


def _noisy_accuracy() -> Sweeps:
    """What the same noise costs in accuracy, under the same two mixtures."""
    return {"CE": _noisy_accuracy_of("CE", "noise_accuracy"),
            "CE, equal labels": _noisy_accuracy_of("CE, equal labels", "noise_accuracy_equal")}


def _noisy_accuracy_of(training: str, name: str) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        return [settings.taught(profile, training, settings.DENSE, 4, lr, seeds=(0,))
                | {"defense": settings.gaussian(profile)} for lr in settings.RATES["dense"][1:]]
    return sweep(name, case.accuracy, configs, "ours", 10)
