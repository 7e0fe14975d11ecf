"""What notebook 07 computes: the sweeps of Mu 2023, in both profiles."""

from dataclasses import dataclass

from lib.run import Run
from studies import case
from studies.store import Sweep

VICTIMS = {
    "one dense layer": {"name": "dense"},
    "dense, one hidden layer": {"name": "dense", "hidden": [64]},
    "LeNet": {"name": "lenet"},
}
ATTACKERS = ("plain L-BFGS", "line search")
ITERATIONS = {
    "plain L-BFGS": {"quick": 60, "paper": 300},
    "line search": {"quick": 30, "paper": 100},
}
PHOTOS = {"name": "photos", "size": 16, "only": ["chelsea", "coffee"]}  # a cat and a cup
PETS = {"name": "cats_dogs", "size": 32}
SHAPES = {"quick": (3, 16, 16), "paper": (3, 32, 32)}  # of the images above
FRAMES = [0, 2, 5, 10, 30]  # iterations whose images are shown


@dataclass(frozen=True)
class Plan:
    """All sweeps of the notebook."""

    errors: dict[tuple[str, str], Sweep]  # (victim, attacker)
    films: dict[str, Sweep]  # victim


def declare(run: Run) -> Plan:
    """The sweeps of both profiles, declared for the study that was last started."""
    errors = {}
    for victim in VICTIMS:
        for attacker in ATTACKERS:
            errors[victim, attacker] = error_sweep(victim, attacker, run.seed)
    return Plan(errors, films={victim: film_sweep(victim, run.seed) for victim in VICTIMS})


def error_sweep(victim: str, attacker: str, seed: int) -> Sweep:
    """The number of the abstract: images of cats and dogs, recovered from one network each."""
    iterations = ITERATIONS[attacker]
    search = attacker == "line search"
    quick = config(PHOTOS, victim, iterations["quick"], search, seed)
    paper = config(PETS, victim, iterations["paper"], search, seed)
    return Sweep(
        f"{_short(victim)}_{'search' if search else 'plain'}", case.attack,
        quick=[quick | {"clients": [0, 8]}],
        paper=[paper | {"clients": part, "stride": 12} for part in ([0, 16], [16, 32])],
        minutes={"quick": 0.1, "paper": 12 if victim == "LeNet" else 3}, gib=1.5,
        comparable="every setting of the paper is unknown; these are ours")


def film_sweep(victim: str, seed: int) -> Sweep:
    """The images along the search, on two photographs: the same in both profiles."""
    film = config(PHOTOS, victim, FRAMES[-1], True, seed)
    film |= {"clients": [0, 2], "record": FRAMES, "shown": 2}
    return Sweep(f"film_{_short(victim)}", case.attack, quick=[film], paper=[film],
                 minutes=0.1, gib=1)


def config(images: dict, victim: str, iterations: int, search: bool, seed: int) -> dict:
    """What all attacks have in common: DLG, image and label together, one start."""
    attack = {"name": "dlg", "iterations": iterations, "line_search": search}
    return {"images": images, "victim": VICTIMS[victim], "attack": attack, "seed": seed,
            "shown": 0}


def _short(victim: str) -> str:
    """A victim's name in that of a sweep, with the number of its settings."""
    settings = VICTIMS[victim]
    return f"{settings['name']}{len(settings) - 1}"
