"""Attacks at the paper's iterations on several networks: what can decide the claims.

A claim is about networks, and one network decides nothing, however many its images. Some of these
sweeps add networks to those of `paper_sweeps`, others repeat a reduced attack at full length. None
has a quick run, none keeps pictures, all are affordable on a CPU.
"""

from dataclasses import dataclass

from studies.inverting_gradients.compute import training_path
from studies.inverting_gradients.configs import (
    CIFAR10,
    LITTLE_TV,
    RECIPES,
    SEARCHES,
    attacked,
    averaging,
    convnet,
    four_stages,
    lenet,
    of_each_client,
    resnet,
    sweep,
    training,
)
from studies.inverting_gradients.paper_sweeps import ABLATION, COLUMNS
from studies.store import Sweep

STATES = ("untrained", "trained")
VICTIMS = (0, 1, 2)  # seeds of the networks that are trained

# Table 1: seeds of LeNets beside those that have been attacked
FURTHER = {"untrained": range(6, 12), "trained": range(2, 5)}
# images behind each of them, and minutes of a CPU
FURTHER_COST = {
    ("untrained", "cosine"): (30, 14), ("untrained", "Euclid"): (8, 13),
    ("trained", "cosine"): (24, 6), ("trained", "Euclid"): (8, 18)}

RESNET20_COST = {"cosine": (4800, 18), "Euclid": (240, 22)}  # iterations, minutes of a CPU

# Figure 4: width of a ResNet-18 -> minutes
WIDTHS = {4: 7, 8: 9, 16: 16, 32: 50}

# Table 3: rows tried on LeNet; basic is Table 1's trained LeNet
ABLATED = [row for row, search in ABLATION.items()
           if "bn" not in search and row not in ("basic", "cosine per layer (ours)")]

# Table 2: column -> clients behind each network, minutes; all begin with the same images
AVERAGED = {"E=5, n=1, B=1": (4, 50), "E=1, n=4, B=2": (1, 10), "E=1, n=8, B=2": (1, 9),
            "E=1, n=8, B=8": (1, 5)}
AVERAGED_NETWORKS = range(5)


@dataclass(frozen=True)
class Full:
    """The sweeps of this module."""

    table1: dict[tuple[str, str], Sweep]    # (state, row): LeNets beside those of Table 1
    resnet20: dict[tuple[str, str], Sweep]  # (state, row): Table 1's narrow ResNet-20
    table2: dict[str, Sweep]                # COLUMNS, but for the last: LeNet
    table3: dict[str, Sweep]                # of ABLATION: LeNet
    fig4: dict[int, Sweep]                  # width of a ResNet-18
    fig5: dict[float, Sweep]                # local learning rate of five steps: LeNet
    convnet: dict[str, Sweep]               # state: ConvNet of width 16, one gradient
    paths: Sweep                            # along the training of further ResNets
    restarts: Sweep                         # behind further LeNets
    batches: dict[int, Sweep]               # eight images in one mean, further LeNets


def declare(seed: int) -> Full:
    """Declare them."""
    return Full(
        table1={(state, row): _table1(state, row, seed) for state in STATES for row in SEARCHES},
        resnet20={
            (state, row): _resnet20(state, row, seed) for state in STATES for row in SEARCHES},
        table2={column: _averaged(column, seed) for column in AVERAGED},
        table3={row: _ablated(row, seed) for row in ABLATED},
        fig4={width: _wide(width, seed) for width in WIDTHS},
        fig5={rate: _local_rate(rate, seed) for rate in (1e-2, 1e-1)},
        convnet={state: _convnet(state, seed) for state in STATES},
        paths=_paths(seed),
        restarts=_restarts(seed),
        batches={8: _batch(8, seed)})


def _sweep(name: str, configs: list[dict], minutes: float, differs: str, **more) -> Sweep:
    """A sweep of the paper profile, for a CPU, that keeps no pictures."""
    paper = [config | {"shown": 0} for config in configs]
    return sweep(f"full_{name}".lower(), [], paper, minutes, differs, gpu=False, **more)


def _table1(state: str, row: str, seed: int) -> Sweep:
    """Table 1's LeNet, further draws of its weights."""
    images, minutes = FURTHER_COST[state, row]
    iterations = {"cosine": 4800, "Euclid": 300}[row]
    configs = [attacked(CIFAR10, lenet(network), iterations, [0, images], seed, SEARCHES[row],
                        **training(state, "lenet")) for network in FURTHER[state]]
    return _sweep(f"t1_lenet_{state}_{row}", configs, minutes, "further networks")


def _resnet20(state: str, row: str, seed: int) -> Sweep:
    """Table 1's ResNet-20 at a quarter of its width. Untrained: a network an image."""
    iterations, minutes = RESNET20_COST[row]
    search = SEARCHES[row]
    if state == "untrained":
        victim = of_each_client(resnet(16, 20, seed))
        configs = [attacked(CIFAR10, victim, iterations, [0, 8], seed, search)]
    else:
        recipe = training(state, "narrow", first=10000)
        configs = [attacked(CIFAR10, resnet(16, 20, network), iterations, [0, 3], seed, search,
                            **recipe) for network in VICTIMS]
    return _sweep(f"t1_resnet20-1_{state}_{row}", configs, minutes, "width 16 instead of 64; n = 8")


def _averaged(column: str, seed: int) -> Sweep:
    """Table 2 with LeNets."""
    (epochs, images, local_batch), (clients, minutes) = COLUMNS[column], AVERAGED[column]
    steps = averaging(epochs, images, local_batch)
    configs = [attacked(CIFAR10, lenet(network), 8000, [0, clients], seed, **steps)
               for network in AVERAGED_NETWORKS]
    return _sweep(f"t2_e{epochs}_n{images}_b{local_batch}_lenet", configs, minutes,
                  "LeNet instead of ConvNet; five networks")


def _ablated(row: str, seed: int) -> Sweep:
    """Table 3 with LeNets. An iteration of L-BFGS has up to twenty gradients."""
    is_lbfgs = ABLATION[row].get("optimizer") == "lbfgs"
    configs = [attacked(CIFAR10, lenet(network), 240 if is_lbfgs else 4800, [0, 24], seed,
                        ABLATION[row], **training("trained", "lenet")) for network in VICTIMS]
    words = row.split(" (")[0].replace(" ", "_").replace(",", "")
    return _sweep(f"t3_{words}_lenet", configs, 14 if is_lbfgs else 6,
                  "LeNet instead of ResNet-18; three networks, 24 images")


def _wide(width: int, seed: int) -> Sweep:
    """Figure 4: a narrow ResNet-18, a network an image."""
    victim = of_each_client(four_stages(width, 18, seed))
    configs = [attacked(CIFAR10, victim, 4800, clients, seed) for clients in ([0, 4], [4, 8])]
    return _sweep(f"fig4_18_{width}", configs, WIDTHS[width], "n = 8, a network an image")


def _local_rate(rate: float, seed: int) -> Sweep:
    """Figure 5, right: five local steps, a LeNet an image."""
    configs = [attacked(CIFAR10, of_each_client(lenet(seed)), 8000, [0, 8], seed,
                        **averaging(5, 1, 1, rate))]
    return _sweep(f"fig5_lenet_5_{rate:.0e}", configs, 20, "LeNet instead of ConvNet; n = 8")


def _convnet(state: str, seed: int) -> Sweep:
    """One gradient of a ConvNet at a quarter of its width."""
    if state == "untrained":
        victim = of_each_client(convnet(16, seed))
        configs = [attacked(CIFAR10, victim, 4800, [0, 8], seed, LITTLE_TV)]
    else:
        configs = [attacked(CIFAR10, convnet(16, network), 4800, [0, 3], seed, LITTLE_TV,
                            **training(state, "narrow", first=10000)) for network in VICTIMS]
    minutes = {"untrained": 18, "trained": 45}[state]
    return _sweep(f"convnet16_{state}", configs, minutes, "width 16 instead of 64; n = 8")


def _paths(seed: int) -> Sweep:
    """Gradients along the training of ResNets beside the one that is drawn."""
    look = {"images": CIFAR10, "clients": 50, "seed": seed, "noise": 0.2} | RECIPES["memorised"]
    paper = [look | {"victim": four_stages(8, 18, network)} for network in (1, 2)]
    return sweep("full_path_resnet", [], paper, 6, "ours", training_path, gpu=False)


def _restarts(seed: int) -> Sweep:
    """Every restart of attacks on LeNets beside the one that is drawn."""
    configs = [attacked(CIFAR10, lenet(network), 4800, [0, 8], seed, restarts=6,
                        each_restart=True) for network in (1, 2)]
    return _sweep("restarts", configs, 6, "ours")


def _batch(size: int, seed: int) -> Sweep:
    """So many images in one mean, LeNets beside the one that is drawn."""
    configs = [attacked(CIFAR10, lenet(network), 4800, [0, 24 // size], seed, batch_size=size)
               for network in (1, 2, 3)]
    return _sweep(f"batch_{size}", configs, 6, "ours")
