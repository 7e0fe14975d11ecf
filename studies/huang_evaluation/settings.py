"""The settings of notebook 05: what both profiles attack, what is compared, and the configs.

The paper (Huang et al. 2021) attacks a pre-activation ResNet-18 for 10,000 iterations, which needs
a GPU. Without one the paper profile attacks a LeNet on CIFAR-10 for 2,400, and what decides claims
five LeNets for all 10,000 (`FULL`); the quick profile a small pre-activation ResNet on crops of
photographs. A client feeds (x - mean) / std, and all clients of a sweep share one victim, trained
before.
"""

from studies import accuracy

# --- settings of both profiles

IMAGES = {"quick": {"name": "photos", "split": "train", "size": 16},
          "paper": {"name": "cifar10", "split": "train"}}
SMALL = {"name": "preact_resnet", "width": 8, "blocks": [1, 1]}
LENET = {"name": "lenet"}
LENET_NORMALISED = LENET | {"norm": "batch"}
RESNET18 = {"name": "preact_resnet", "width": 64}
VIT = {"name": "vit", "width": 32, "layers": 2}
VICTIM = {"quick": SMALL, "paper": LENET}
TRAIN = {"quick": {"epochs": 2, "batch_size": 32, "lr": 0.05},
         "paper": {"epochs": 2, "batch_size": 128, "lr": 0.05, "weight_decay": 5e-4}}
ITERATIONS = {"quick": 100, "paper": 2400}
IMAGES_ATTACKED = {"quick": 8, "paper": 50}
# What the attacker is given beside the labels, and the weights of the priors. Quick: those of the
# official example; paper: TV 0.01, that of Inverting Gradients for LeNet, which has no statistics.
GIVEN = {"quick": {"statistics": "exact", "attack": {"tv": 0.1, "bn": 0.005}},
         "paper": {"statistics": "inferred", "attack": {"tv": 0.01, "bn": 0.0}}}
NO_STATISTICS = {"bn": 0.0}

# --- what is compared

PRUNED_SHARES = (0.5, 0.7, 0.9, 0.95, 0.99, 0.999)
FIRST = ("None", "GradPrune 0.9", "GradPrune 0.99", "MixUp 4", "InstaHide 4",
         "GradPrune 0.9 + InstaHide 4")  # computed first; in the quick profile only these
BATCHES = {"quick": (1, 4), "paper": (1, 16, 32)}
STATISTICS = {  # Figure 1: what is known of BatchNorm's statistics -> arguments of `attacked`
    "exact": {},
    "proxy": {"statistics": "proxy"},
    "inferred": {"statistics": "inferred", "attack": NO_STATISTICS},
    "exact, fixed": {"fixed_statistics": True, "attack": NO_STATISTICS},
    "proxy, fixed": {"statistics": "proxy", "fixed_statistics": True, "attack": NO_STATISTICS},
    "client in eval mode": {"mode": "eval", "statistics": "inferred", "attack": NO_STATISTICS}}
STATISTICS_WEIGHTS = (  # (what is known, weight of the prior, B), beside the example's 0.005
    ("exact", 5e-5, 1), ("exact", 5e-4, 1), ("exact", 0.05, 1),
    ("proxy", 5e-5, 1), ("proxy", 5e-4, 1), ("proxy", 0.05, 1),
    ("exact", 5e-4, 16), ("proxy", 5e-4, 16))
COMPOSITIONS = ("all different", "two labels", "all equal")  # Figure 2: of a batch's labels
LABELS = ("known", "unknown")
EPOCHS = {"quick": (0, 2, 20), "paper": (0, 1, 2, 4, 8, 16)}
NOISE = (0.001, 0.01, 0.1, 1.0)  # noise multipliers of DP-SGD
CLIP = 1.0

# --- the paper's iterations on several networks: what decides claims (the unit is the network)

FULL_ITERATIONS = 10_000
FULL_IMAGES = 16  # the first of the attack set
VICTIMS = 5  # three left four comparisons undecided
SEEDS_APART = 100  # of two victims' seeds: runs of other seeds share none of them
RECORDED = (0, 300, 600, 1200, 2400, 4800, 7200, FULL_ITERATIONS)  # whose PSNR is kept
FULL = {  # condition -> defense, batch size, epochs of training, and minutes a victim
    "None": ("None", 1, 2, 5),
    "None, 16 epochs": ("None", 1, 16, 7),
    "GradPrune 0.9": ("GradPrune 0.9", 1, 2, 5),
    "GradPrune 0.99": ("GradPrune 0.99", 1, 2, 5),
    "MixUp 4": ("MixUp 4", 1, 2, 5),
    "InstaHide 4": ("InstaHide 4", 1, 2, 5),
    "None, B = 2": ("None", 2, 2, 5),
    "None, B = 4": ("None", 4, 2, 5)}

# --- what a defense costs: victims trained under it

LEARNER = {"quick": SMALL, "paper": accuracy.LEARNER}
RECIPE = {"quick": {"epochs": 8, "batch_size": 64, "lr": 0.1},
          "paper": accuracy.RECIPE}
LEARNT = {"quick": [0], "paper": [0, 1, 2]}  # seeds
NO_BATCHNORM = {"norm": "group"}  # for DP-SGD: with BatchNorm no image has a gradient of its own
TRAINED_ON = 29_976  # rows of the training split that these trainings had


# --- defenses


def mixup(k: int) -> dict:
    """MixUp of k images, as a config says it."""
    return {"name": "mixup", "k": k}


def instahide(k: int) -> dict:
    """InstaHide of k images within a client, as a config says it."""
    return {"name": "instahide", "k": k}


def prune(p: float) -> dict:
    """Gradient pruning of the share p of each tensor, as a config says it."""
    return {"name": "prune", "p": p}


def _defenses() -> dict[str, list | None]:
    """The rows of the paper's table of defenses, in its order: name -> what a client applies."""
    rows = {"None": None}
    for p in PRUNED_SHARES:
        rows[f"GradPrune {p}"] = [prune(p)]
    for k in (4, 6):
        rows[f"MixUp {k}"] = [mixup(k)]
    for k in (4, 6):
        rows[f"InstaHide {k}"] = [instahide(k)]
    rows["GradPrune 0.9 + MixUp 4"] = [mixup(4), prune(0.9)]
    rows["GradPrune 0.9 + InstaHide 4"] = [instahide(4), prune(0.9)]
    return rows


DEFENSES = _defenses()
PRUNING = [defense for defense in DEFENSES if "GradPrune" in defense]


# --- configs


def attacked(profile: str, seed: int, defense: str = "None", B: int = 1, *,
             n: int | None = None, victim: dict | None = None, given: dict | None = None,
             attack: dict | None = None, **more) -> dict:
    """The config of one attack on clients under a defense, whole batches of about n images
    (None: the profile's number).

    given: what the attacker is given, and its weights (None: the profile's). attack: arguments of
    the preset that differ. more: further arguments of `compute.defended`, or others in place of
    those set here."""
    given = given or GIVEN[profile]
    preset = {"name": "huang", "iterations": ITERATIONS[profile]} | given["attack"]
    if "InstaHide" in defense:
        preset["signs"] = True
    config = {
        "images": IMAGES[profile], "victim": (victim or VICTIM[profile]) | {"seed": seed},
        "train": TRAIN[profile], "attack": preset | (attack or {}), "batch_size": B,
        "clients": max((n or IMAGES_ATTACKED[profile]) // B, 1), "seed": seed,
        "defense": DEFENSES[defense], "statistics": given["statistics"],
        "shown": 6 if B == 1 else 1}
    return config | more


def full(condition: str, seed: int) -> dict:
    """The config of a condition of FULL on one victim, whose weights and training, and all else
    that is drawn, are of `seed`; the images are the same for all. Pruning meets an attacker who
    knows the mask, the stronger one."""
    defense, B, epochs, _ = FULL[condition]
    attack = {"iterations": FULL_ITERATIONS}
    if defense in PRUNING:
        attack["masked"] = True
    return attacked("paper", seed, defense, B, n=FULL_IMAGES, attack=attack, shown=0,
                    train=TRAIN["paper"] | {"epochs": epochs}, record=list(RECORDED))


def batchnormed(seed: int, victim: dict, known: str, B: int, n: int, **attack) -> dict:
    """A config of Figure 1 in the paper profile: a victim with BatchNorm, of whose statistics
    `known` is known. attack: weights and iterations where they are not the LeNet's and 0.005."""
    more = {"statistics": "exact"} | STATISTICS[known]
    preset = {"tv": 0.01, "bn": 0.005} | more.pop("attack", {}) | attack
    return attacked("paper", seed, B=B, n=n, victim=victim, attack=preset, **more)


def learned(profile: str, defense: list | None, **victim) -> dict:
    """The config of the accuracy of victims trained under a defense. victim: arguments of the
    network that differ."""
    images = {key: value for key, value in IMAGES[profile].items() if key != "split"}
    return {"images": images, "victim": LEARNER[profile] | victim, "seeds": LEARNT[profile],
            "defense": [defense], "normalise": True} | RECIPE[profile]
