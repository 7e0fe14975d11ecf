"""What notebook 08 computes, in both profiles: every attack against the same clients and defenses.

No paper compares these attacks. The weight of the total variation was chosen before, on other
clients: that of Inverting Gradients in notebooks 03 and 04, that of GIAS in 04; Huang et al.'s
attack has that of Inverting Gradients, whose objective it shares.
"""

from dataclasses import dataclass

from lib.run import Run
from studies import store
from studies.all_attacks.compute import compared
from studies.store import Sweep

DIGITS = {"name": "digits"}
CIFAR = {"name": "cifar10"}
IMAGES = {"quick": DIGITS, "paper": CIFAR}
TRAINING = {"batch_size": 32, "width": 16, "lr": 2e-3}
GENERATORS = {  # those of notebook 04
    "quick": {"images": DIGITS, "latent": 32, "width": 8,
              "train": TRAINING | {"steps": 1000, "gamma": 0.3}},
    "paper": {"images": CIFAR, "latent": 64, "width": 8,
              "train": TRAINING | {"steps": 4000, "gamma": 1.0}}}
LBFGS_STEPS = {"quick": 20, "paper": 300}          # of DLG and iDLG
ADAM_STEPS = {"quick": 300, "paper": 1200}
GIAS_STEPS = {"quick": [60, 100], "paper": [300, 800]}  # latents, then parameters
POOLS = {"quick": 40, "paper": 80}                 # images that a client holds
TV = {  # (profile, images a client): of Inverting Gradients, Huang et al. and GIAS
    ("quick", 1): (1e-6, 1e-6, 1e-4),
    ("quick", 4): (1e-6, 1e-6, 1e-4),
    ("paper", 1): (1e-2, 1e-2, 1e-2),
    ("paper", 4): (1e-1, 1e-1, 1e-2)}
DEFENSES = {
    "none": None,
    "noise var. 1e-6": {"name": "gaussian", "variance": 1e-6},
    "noise var. 1e-4": {"name": "gaussian", "variance": 1e-4},
    "int8": {"name": "precision", "format": "int8"},
    "pruned 90 %": {"name": "prune", "p": 0.9},
    "MixUp 4": {"name": "mixup", "k": 4},
    "InstaHide 4": {"name": "instahide", "k": 4},
    "DP-SGD": {"name": "dpsgd", "clip": 1.0, "noise_multiplier": 1.0},
    "equal labels": {"name": "equal_labels"}}
VICTIMS = ("dense", "lenet")
BATCHES = (1, 4)


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 08: (victim, images a client) -> attack -> sweep."""

    panels: dict[tuple, dict[str, Sweep]]


def declare(run: Run) -> Plan:
    """A panel for each victim and batch; the quick profile has those of single images."""
    panels = {}
    for victim in VICTIMS:
        for batch_size in BATCHES:
            panels[victim, batch_size] = _panel(victim, batch_size, run.seed)
    return Plan(panels)


def attacks_of(profile: str, victim: str, batch_size: int) -> dict[str, dict]:
    """The attacks that fit a victim and batch, by name: arguments of a preset, or a name of ours.

    Where labels are not optimised they are read off the gradient: by iDLG's rule for single images
    behind the LeNet, else by the analytic one."""
    reads = {"labels": "idlg" if (victim, batch_size) == ("lenet", 1) else "analytic"}
    tv, tv_huang, tv_gias = TV[profile, batch_size]
    lbfgs, adam = LBFGS_STEPS[profile], ADAM_STEPS[profile]
    known = {
        "mid-grey": {"name": "mid-grey"},
        "closed form": {"name": "closed form"},
        "in the span": {"name": "in the span", "iterations": 30, "restarts": 4},
        "DLG": {"name": "dlg", "iterations": lbfgs},
        "iDLG": {"name": "idlg", "iterations": lbfgs} | reads,
        "Inverting Gradients": {"name": "inverting_gradients", "iterations": adam, "tv": tv}
        | reads,
        "Huang et al.": {"name": "huang", "iterations": adam, "tv": tv_huang, "bn": 0.0},
        "mixing gradients": {"name": "mixing_gradients", "iterations": adam,
                             "orthogonality": 1e-3 if batch_size > 1 else 0.0},
        "GIAS": {"name": "gias", "space": "z/w", "iterations": GIAS_STEPS[profile], "tv": tv_gias}
        | reads}
    if victim != "dense":
        del known["closed form"]  # both begin with a dense first layer
    if victim != "dense" or batch_size == 1:
        del known["in the span"]  # one image has no span to search
    return known


def config(profile: str, victim: str, batch_size: int, attack: str, seed: int) -> dict:
    """A config of `compared`."""
    single = batch_size == 1
    clients = 8 if single and profile == "paper" else 4
    defenses = [defense for name, defense in DEFENSES.items()
                if not (single and name == "equal labels")]  # one image's labels are equal
    described = {
        "images": IMAGES[profile], "victim": {"name": victim},
        "attack": attacks_of(profile, victim, batch_size)[attack], "batch_size": batch_size,
        "clients": clients, "seed": seed, "defenses": defenses,
        "shown": int(victim == "lenet" and single), "pool": POOLS[profile]}
    if attack == "GIAS":
        described["generator"] = GENERATORS[profile]
    return described


def _panel(victim: str, batch_size: int, seed: int) -> dict[str, Sweep]:
    """A sweep for each attack that fits."""
    sweeps = {}
    for attack in attacks_of("paper", victim, batch_size):
        name = f"{victim}_{batch_size}_{attack.lower().replace(' ', '_').replace('.', '')}"
        configs = {profile: [config(profile, victim, batch_size, attack, seed)]
                   for profile in ("quick", "paper")}
        quick = configs["quick"] if batch_size == 1 else []
        sweeps[attack] = store.Sweep(
            name, compared, quick=quick, paper=configs["paper"], gib=2,
            minutes={"quick": 0.1, "paper": 6},
            comparable="ours: no paper compares these attacks")
    return sweeps
