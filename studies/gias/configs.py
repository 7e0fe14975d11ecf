"""Configs of notebook 04: images, generators, search spaces and their settings, in both profiles.

A generator sees the split "train"; what is attacked are images of the split "test".
"""

from studies.gias.compute import SIGNED

# --- images, generators, victims
DIGITS = {"name": "digits"}
CIFAR = {"name": "cifar10"}
FACES = {"name": "lfw", "size": 32, "apart": 10}  # the generator does not see ten of the people

TRAINING = {"batch_size": 32, "width": 16, "lr": 2e-3}
DIGITS_GENERATOR = {
    "latent": 32, "width": 8, "train": TRAINING | {"steps": 1000, "gamma": 0.3}}
GENERATOR = {"latent": 64, "width": 8, "train": TRAINING | {"steps": 4000, "gamma": 1.0}}
WIDE_GENERATOR = GENERATOR | {"latent": 128, "width": 64}
STEPS_ON_FACES = 2000  # there are fewer of them
FURTHER_SEEDS = (1, 2)  # of generators: one that was trained once says little of training

LENET = {"name": "lenet"}
NARROW_LENET = LENET | {"channels": 6}
RESNET18 = {"name": "imagenet_resnet", "depth": 18, "width": 64, "stem": "cifar"}

# --- search spaces, iterations and weights of the total variation
PAIR = (SIGNED, "z/w")  # Inverting Gradients and GIAS
EVERY_SPACE = (SIGNED, "x", "z", "z/x", "z/h", "w", "z/w")
STEPS = {
    "quick": {"z": 100, "w": 150, "h": 150, "x": 150, SIGNED: 300},
    "paper": {"z": 500, "w": 1500, "h": 1500, "x": 2000, SIGNED: 4800}}
TUNING_STEPS = {"z": 300, "w": 800, "x": 1000, SIGNED: 2400}
FULL_STEPS = {"z": 1000, "w": 5000, "h": 5000, "x": 5000, SIGNED: 4800}  # near the scripts' own

TUNED_WEIGHTS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
TV = {SIGNED: 1e-1, "x": 1e-1, "w": 1e-3, "z/w": 1e-2}  # chosen on other clients: Plan.tuned
TV |= {"z": TV["z/w"], "z/h": TV["z/w"], "z/x": TV["x"]}  # not chosen on their own
PIXEL_RATES = (0.1, 0.03, 0.01)  # learning rates of GI-z/x that were tried

# --- settings on digits: (images of a batch, share of the gradient that is pruned)
UNPRUNED = "4, nothing pruned"
SETTINGS = {
    UNPRUNED: (4, 0), "1, 95 % pruned": (1, 0.95), "1, 98 % pruned": (1, 0.98),
    "4, 95 % pruned": (4, 0.95)}
TUNED_WEIGHTS_DIGITS = (1e-6, 1e-5, 1e-4, 1e-3)
TV_DIGITS = {  # chosen on other clients: Plan.tuned_digits
    UNPRUNED: {SIGNED: 1e-6, "z/w": 1e-4},
    "1, 95 % pruned": {SIGNED: 1e-6, "z/w": 1e-5},
    "1, 98 % pruned": {SIGNED: 1e-5, "z/w": 1e-5},
    "4, 95 % pruned": {SIGNED: 1e-4, "z/w": 1e-4}}


def generator(images: dict, settings: dict = GENERATOR, trained: bool = True,
              seed: int | None = None) -> dict:
    """A generator's config: of `images`, trained on their split "train", or as it was drawn.
    seed: its own, where it is not that of the attack."""
    config = {"latent": settings["latent"], "width": settings["width"], "images": images}
    if seed is not None:
        config["seed"] = seed
    if trained:
        steps = {"steps": STEPS_ON_FACES} if images == FACES else {}
        config["train"] = settings["train"] | steps
    return config


def pruned(share: float) -> dict:
    """A defense of pruning, and an attacker who looks only at what it left."""
    return {"defense": [{"name": "prune", "p": share}], "masked": True} if share else {}


def on_cifar(seed: int, spaces=PAIR, batch_size=4, clients=(0, 4), images=CIFAR, **more) -> dict:
    """A config of `searched` in the paper profile: LeNets, a generator of the images' own kind.
    more: what else there is to say, or is otherwise."""
    used = _stages(spaces)
    shown_weights = {s: w for s, w in TV.items() if s in spaces or (s == "z" and "z" in used)}
    config = {"images": images, "victim": LENET, "generator": generator(images),
              "spaces": list(spaces), "iterations": _steps("paper", spaces),
              "batch_size": batch_size, "clients": list(clients), "seed": seed,
              "tv": shown_weights}
    return config | more


def on_digits(seed: int, setting=UNPRUNED, spaces=PAIR, clients=(0, 4), **more) -> dict:
    """A config of `searched` on digits, in one of SETTINGS. more: as in `on_cifar`."""
    batch_size, share = SETTINGS[setting]
    weights = TV_DIGITS[setting]
    tv = {space: weights[SIGNED if space == SIGNED else "z/w"] for space in (*spaces, "z")}
    config = {"images": DIGITS, "victim": NARROW_LENET,
              "generator": generator(DIGITS, DIGITS_GENERATOR), "spaces": list(spaces),
              "iterations": _steps("quick", spaces), "batch_size": batch_size,
              "clients": list(clients), "seed": seed, "tv": tv}
    return config | pruned(share) | more


def _stages(spaces) -> set[str]:
    """What is searched in any of the spaces: "z/w" has the stages z and w."""
    return {stage for space in spaces
            for stage in ([SIGNED] if space == SIGNED else space.split("/"))}


def _steps(profile: str, spaces) -> dict[str, int]:
    """The iterations of each stage that the spaces have."""
    used = _stages(spaces)
    return {stage: count for stage, count in STEPS[profile].items() if stage in used}
