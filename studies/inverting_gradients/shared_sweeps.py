"""What a mean of several clients, or a part of an update, gives away: the sweeps.

The attack is the paper's, with labels known. LeNets are attacked at the paper's 4,800 iterations,
the others for as long as a CPU affords.
"""

from dataclasses import dataclass

from studies.inverting_gradients.compute_shared import part_of_an_update, several_clients
from studies.inverting_gradients.configs import (
    CIFAR10,
    COSINE,
    SMALL_PHOTOS,
    lenet,
    of_each_client,
    resnet,
    sweep,
)
from studies.store import Sweep

COUNTS = (1, 2, 4, 8, 16)  # clients in a mean
LENETS = (0, 1, 2)  # networks
SCORED = {"LeNet": 8, "ResNet-20": 4}  # images, the same in every mean
ITERATIONS = {"LeNet": 4800, "ResNet-20": 600}
QUICK_COUNTS = (1, 2, 4)
QUICK_ITERATIONS = 80
QUICK_CLIENTS = 4
RANK = 4  # of adapters
MINUTES = {"LeNet": 0.08, "ResNet-20": 0.21}  # of a core, an image at these iterations

# What is seen of an update -> arguments of `compute_shared.Part`, by network
PARTS = {
    "LeNet": {
        "whole update": {}, "all but the head": {"names": ["0.", "2.", "4."]},
        "first layer": {"names": ["0."]}, "last block and head": {"names": ["4.", "7."]},
        "head": {"names": ["7."]}, "adapters": {"rank": RANK}},
    "ResNet-20": {
        "whole update": {}, "all but the head": {"names": [f"{i}." for i in range(12)]},
        "first layer": {"names": ["0."]}, "last block and head": {"names": ["11.", "13."]},
        "head": {"names": ["13."]}, "adapters": {"rank": RANK}},
    "ViT": {
        "whole update": {},
        "all but the head": {"names": ["patches.", "position", "encoder.", "norm."]},
        "first layer": {"names": ["patches."]},
        "last block and head": {"names": ["encoder.layers.1.", "norm.", "head."]},
        "head": {"names": ["head."]}, "adapters": {"rank": RANK}}}
WITHOUT_HEAD = ("all but the head", "first layer")  # no rule reads a label off these
# network -> victim, iterations, clients, minutes of a part; a network of its own for each client
ATTACKED = {
    "LeNet": (lenet(0), 4800, 8, 0.7),
    "ResNet-20": (resnet(16, 20, 0), 400, 4, 0.6),
    "ViT": ({"name": "vit", "width": 32, "layers": 2}, 1200, 4, 0.7)}


@dataclass(frozen=True)
class Shared:
    """The sweeps of this part of the page."""

    means: dict[tuple[str, int], Sweep]  # (network, clients in a mean)
    parts: dict[tuple[str, str], Sweep]  # (network, what is seen): the label known
    searched: dict[tuple[str, str], Sweep]  # the same, where the label is searched for


def declare(seed: int) -> Shared:
    """The sweeps, in the order in which they are worth computing."""
    means = {("LeNet", count): _of_lenets(count, seed) for count in COUNTS}
    parts = {(network, part): _part(network, part, seed)
             for network, described in PARTS.items() for part in described}
    searched = {(network, part): _part(network, part, seed, labels="joint")
                for network in PARTS for part in WITHOUT_HEAD}
    means |= {("ResNet-20", count): _of_resnet(count, seed) for count in COUNTS}
    return Shared(means, parts, searched)


def _mean(images: dict, victim: dict, iterations: int, count: int, scored: int, seed: int) -> dict:
    """A config of `several_clients`; where a mean holds more images than are scored there is one.
    """
    attack = {"name": "inverting_gradients", "iterations": iterations} | COSINE
    return {"images": images, "victim": victim, "attack": attack, "clients": count,
            "means": max(1, scored // count), "scored": scored, "seed": seed}


def _of_lenets(count: int, seed: int) -> Sweep:
    quick = []
    if count in QUICK_COUNTS:
        quick = [_mean(SMALL_PHOTOS, lenet(seed), QUICK_ITERATIONS, count, QUICK_CLIENTS, seed)]
    paper = [_mean(CIFAR10, lenet(network), ITERATIONS["LeNet"], count, SCORED["LeNet"], seed)
             for network in LENETS]
    images = len(LENETS) * max(count, SCORED["LeNet"])
    return sweep(f"several_lenet_{count}", quick, paper, MINUTES["LeNet"] * images, "ours",
                 several_clients, gpu=False)


def _of_resnet(count: int, seed: int) -> Sweep:
    scored = SCORED["ResNet-20"]
    paper = [_mean(CIFAR10, resnet(16, 20, seed), ITERATIONS["ResNet-20"], count, scored, seed)]
    return sweep(f"several_resnet20_{count}", [], paper, MINUTES["ResNet-20"] * max(count, scored),
                 "ours", several_clients, gpu=False)


def _part(network: str, part: str, seed: int, **search) -> Sweep:
    victim, iterations, clients, minutes = ATTACKED[network]

    def config(images: dict, iterations: int, clients: int) -> dict:
        attack = {"name": "inverting_gradients", "iterations": iterations} | COSINE | search
        return {"images": images, "victim": of_each_client(victim), "part": PARTS[network][part],
                "attack": attack, "clients": [0, clients], "seed": seed}

    quick = []
    if network == "LeNet" and not search:
        quick = [config(SMALL_PHOTOS, QUICK_ITERATIONS, QUICK_CLIENTS)]
    name = f"{network.lower().replace('-', '')}_{part.replace(' ', '_')}"
    kind = "part" if not search else "part_searched"
    return sweep(f"{kind}_{name}", quick, [config(CIFAR10, iterations, clients)], minutes, "ours",
                 part_of_an_update, gpu=False)
