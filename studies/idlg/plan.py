"""What notebook 02 computes: the sweeps of iDLG, in both profiles."""

from dataclasses import dataclass

from lib.run import Run
from studies import case
from studies.idlg import compute
from studies.store import Sweep

ITERATIONS = {"quick": 20, "paper": 300}  # steps of L-BFGS, of up to 20 inner iterations each
SETS = {  # the paper's set: what each profile takes
    "MNIST": {"quick": {"name": "digits"}, "paper": {"name": "mnist"}},
    "CIFAR-100": {"quick": {"name": "photos", "size": 12}, "paper": {"name": "cifar100"}},
    "LFW": {
        "quick": {"name": "faces", "size": 16, "classes": 100},
        "paper": {"name": "lfw", "size": 32},
    },
}
PARTS = {  # clients [first, last) of each stored part
    "MNIST": {"quick": [[0, 20]], "paper": [[0, 100], [100, 200], [200, 300]]},
    "CIFAR-100": {"quick": [[0, 12]], "paper": [[20 * i, 20 * i + 20] for i in range(5)]},
    "LFW": {"quick": [[0, 16]], "paper": [[20 * i, 20 * i + 20] for i in range(5)]},
}
STRIDE = {"cifar100": 4, "lfw": 12}  # these list their images class by class: take every so many
BOTH = ("DLG", "iDLG")  # from the same start
OWN_START = "iDLG, own start"  # as in the official code, which draws a start for each attack
ATTACKS = (*BOTH, OWN_START)
REDUCED = {  # what the paper profile takes less of than the paper
    "MNIST": "n = 300 instead of 1,000; the first test images instead of random training images",
    "CIFAR-100": "n = 100 instead of 1,000; a sample of 475 images of 95 classes",
    "LFW": "n = 100 instead of 1,000; 62 people (and outputs) instead of 5,749, cut at the centre",
}

STRIP = {  # iterations whose images Figure 2 shows
    "quick": [0, 1, 2, 3, 4, 6, 8, 10, 15, 20],
    "paper": [0, 10, 20, 30, 40, 60, 80, 120, 160, 280],
}
FACES = {
    "quick": {"name": "faces", "size": 20, "classes": 100},
    "paper": {"name": "faces", "size": 32, "classes": 100},
}
FACE_CLIENTS = {"quick": [0, 5], "paper": [0, 8]}


@dataclass(frozen=True)
class Counted:
    """A victim on whose batches the label rules are compared."""

    victim: dict
    images: dict  # profile -> arguments of `data.load`
    training: dict | None  # profile -> arguments of `models.train`; None: not trained


PAPER_VICTIM = {"name": "lenet"}
RELU_VICTIM = {"name": "lenet", "init": "default", "activation": "relu"}
HUNDRED_LABELS = {
    "quick": {"name": "photos", "split": "train", "classes": 100, "size": 16},
    "paper": {"name": "photos", "split": "train", "classes": 100},
}
TEN_LABELS = {"quick": {"name": "digits"}, "paper": {"name": "mnist"}}
VICTIMS = {
    "100 classes, U(-0.5, 0.5)": Counted(PAPER_VICTIM, HUNDRED_LABELS, None),
    "100 classes, PyTorch's init": Counted(RELU_VICTIM, HUNDRED_LABELS, None),
    "100 classes, memorised": Counted(RELU_VICTIM, HUNDRED_LABELS, {
        "quick": {"epochs": 40, "lr": 0.03}, "paper": {"epochs": 60, "lr": 0.03}}),
    "10 classes, PyTorch's init": Counted(RELU_VICTIM, TEN_LABELS, None),
    "10 classes, trained a little": Counted(RELU_VICTIM, TEN_LABELS, {
        "quick": {"epochs": 4, "lr": 0.1}, "paper": {"epochs": 1, "lr": 0.001}}),
    "10 classes, trained well": Counted(RELU_VICTIM, TEN_LABELS, {
        "quick": {"epochs": 20, "lr": 0.1}, "paper": {"epochs": 3, "lr": 0.05}}),
}
RULES = ["idlg", "yin", "wainakh", "uniform", "analytic", "even"]
SIZES = [1, 2, 4, 8, 16, 32, 64]  # images in a batch
COUNTED_CLIENTS = {"quick": 12, "paper": 100}

LABELS_OF_FOUR = {  # how the labels are had: (label rule, what the threat model grants)
    "optimised (DLG)": ("joint", None),
    "wainakh": ("wainakh", None),
    "analytic": ("analytic", None),
    "granted": ("joint", {"labels": "known"}),
}


@dataclass(frozen=True)
class Plan:
    """All sweeps of the notebook."""

    attacks: dict[tuple[str, str], Sweep]  # (set, attack), of SETS and ATTACKS
    unstopped: dict[str, Sweep]  # attack, of BOTH: without the stop at an objective of 1e-6
    process: dict[str, Sweep]  # attack, of BOTH
    plain: Sweep
    counts: dict[tuple[str, bool], Sweep]  # (victim, whether labels are unique), of VICTIMS
    fours: dict[str, Sweep]  # how the labels are had, of LABELS_OF_FOUR


def declare(run: Run) -> Plan:
    """The sweeps of both profiles, declared for the study that was last started."""
    attacks = {}
    for paper_set in SETS:
        for attack in ATTACKS:
            attacks[paper_set, attack] = attack_sweep(paper_set, attack, run.seed)
    return Plan(
        attacks=attacks,
        unstopped={attack: unstopped_sweep(attack, run.seed) for attack in BOTH},
        process={attack: process_sweep(attack, run.seed) for attack in BOTH},
        plain=plain_sweep(run.seed),
        counts=count_sweeps(run.seed),
        fours={labels: four_sweep(labels, run.seed) for labels in LABELS_OF_FOUR},
    )


def attack_sweep(paper_set: str, attack: str, seed: int) -> Sweep:
    """Table 1 and Figure 1: one attack on one set.

    The quick profile gives iDLG a start of its own on one set only."""
    quick = []
    if attack != OWN_START or paper_set == "MNIST":
        quick = attack_configs(paper_set, attack, "quick", seed)
    return Sweep(
        f"{paper_set}_{attack}".lower().replace(", ", "_").replace(" ", "_"), case.attack,
        quick=quick, paper=attack_configs(paper_set, attack, "paper", seed),
        minutes={"quick": 0.2, "paper": 12 if paper_set == "MNIST" else 28}, gib=1.5,
        comparable={"quick": "other, smaller images; fewer iterations",
                    "paper": REDUCED[paper_set]})


def attack_configs(paper_set: str, attack: str, profile: str, seed: int,
                   parts: list | None = None) -> list[dict]:
    """One attack on one set in one profile: a config a part, of `parts` or of all clients."""
    images = SETS[paper_set][profile]
    described = {"name": "idlg", "iterations": ITERATIONS[profile]}
    if attack == "DLG":
        described["labels"] = "joint"
    config = {
        "images": images, "victim": {"name": "lenet"}, "attack": described, "seed": seed,
        "record": list(range(0, ITERATIONS[profile] + 1, 10)), "shown": 0,
        "stride": STRIDE.get(images["name"], 1)}
    if attack == OWN_START:
        config["start"] = seed + 1
    clients = parts or PARTS[paper_set][profile]
    if attack == OWN_START and paper_set != "MNIST":
        clients = clients[:2]  # costs half an hour a part
    return [config | {"clients": part} for part in clients]


def unstopped_sweep(attack: str, seed: int) -> Sweep:
    """Figure 1 at its first panel, without the stop at an objective of 1e-6: ours."""
    configs = {"quick": attack_configs("MNIST", attack, "quick", seed),
               "paper": attack_configs("MNIST", attack, "paper", seed, [[0, 100]])}
    for parts in configs.values():
        for config in parts:
            config["attack"] = config["attack"] | {"stop": None}
    return Sweep(f"mnist_{attack}_free".lower(), case.attack, **configs,
                 minutes={"quick": 0.2, "paper": 4}, gib=1.5,
                 comparable="no stopping rule: ours")


def process_sweep(attack: str, seed: int) -> Sweep:
    """Figure 2: the images along the attack, on faces that may be shown."""
    configs = {}
    for profile in ("quick", "paper"):
        parts = [FACE_CLIENTS[profile]]
        config = attack_configs("LFW", attack, profile, seed, parts)[0]
        configs[profile] = [config | {"images": FACES[profile], "stride": 1, "shown": 8,
                                      "record": STRIP[profile]}]
    return Sweep(f"fig2_{attack}".lower(), case.attack, **configs,
                 minutes={"quick": 0.1, "paper": 2}, gib=1,
                 comparable="scikit-image's grey faces instead of LFW in colour")


def plain_sweep(seed: int) -> Sweep:
    """The first clients once more, by DLG with torch's own L-BFGS: is it the engine?"""
    quick = {"images": SETS["MNIST"]["quick"], "clients": [0, 6], "iterations": 15, "stride": 1}
    paper = {"images": SETS["CIFAR-100"]["paper"], "clients": [0, 12], "iterations": 100,
             "stride": STRIDE["cifar100"]}
    return Sweep("plain_dlg", compute.plain_dlg,
                 quick=[quick | {"seed": seed}], paper=[paper | {"seed": seed}],
                 minutes={"quick": 0.1, "paper": 4}, comparable="ours")


def count_sweeps(seed: int) -> dict[tuple[str, bool], Sweep]:
    """Labels of batches, counted by every rule, of random labels and of unique ones."""
    sweeps = {}
    for i, title in enumerate(VICTIMS):
        for unique in (False, True):
            sweeps[title, unique] = Sweep(
                f"counts_{i}_{'unique' if unique else 'random'}", compute.label_counts,
                quick=[count_config(VICTIMS[title], "quick", unique, seed)],
                paper=[count_config(VICTIMS[title], "paper", unique, seed)],
                minutes={"quick": 0.05, "paper": 1}, gib=1.5, comparable="ours")
    return sweeps


def count_config(counted: Counted, profile: str, unique: bool, seed: int) -> dict:
    """The labels of one victim's batches in one profile."""
    train = None if counted.training is None else counted.training[profile]
    return {"images": counted.images[profile], "victim": counted.victim, "train": train,
            "rules": RULES, "batch_sizes": SIZES, "clients": COUNTED_CLIENTS[profile],
            "seed": seed, "unique": unique}


def four_sweep(labels: str, seed: int) -> Sweep:
    """Batches of four images of only four classes, attacked with labels that are had so."""
    return Sweep(f"four_{labels.split()[0]}", case.attack,
                 quick=[four_config(labels, "quick", seed)],
                 paper=[four_config(labels, "paper", seed)],
                 minutes={"quick": 0.1, "paper": 4}, gib=1, comparable="ours")


def four_config(labels: str, profile: str, seed: int) -> dict:
    """Batches of four in one profile."""
    rule, threat = LABELS_OF_FOUR[labels]
    clients = {"quick": [0, 4], "paper": [0, 16]}[profile]
    iterations = {"quick": 20, "paper": 150}[profile]
    return {"images": TEN_LABELS[profile] | {"only": ["0", "1", "2", "3"]},
            "victim": {"name": "lenet"},
            "attack": {"name": "idlg", "labels": rule, "iterations": iterations},
            "clients": clients, "batch_size": 4, "seed": seed, "threat": threat, "shown": 0}
