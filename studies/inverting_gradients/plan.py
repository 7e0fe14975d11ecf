"""What notebook 03 computes, in both profiles: `declare(run)`.

The quick profile is small and fast, for reading and for tests. The paper profile has the paper's
iterations where a CPU affords them (LeNet) and about a tenth where it does not; networks of the
paper's own width have its settings, and are left to a GPU. What decides claims at the paper's
iterations, on at least three networks, is declared in `full_sweeps`.
"""

from dataclasses import dataclass

from lib.run import Run
from studies.inverting_gradients import (
    deep_sweeps,
    full_sweeps,
    paper_sweeps,
    shared_sweeps,
)
from studies.inverting_gradients.compute import mean_colour, training_path
from studies.inverting_gradients.configs import (
    CIFAR10,
    PHOTOS,
    RECIPES,
    SEARCHES,
    SMALL_PHOTOS,
    TRAINED_ON,
    attacked,
    four_stages,
    lenet,
    sweep,
)
from studies.store import Sweep


@dataclass(frozen=True)
class Plan:
    """The sweeps of this notebook."""

    table1: dict[tuple[str, str, str], Sweep]  # (network, "untrained" or "trained", SEARCHES)
    more_networks: dict[str, Sweep]            # of SEARCHES: untrained LeNets after the table's
    table2: dict[tuple[str, str], Sweep]       # ("ConvNet", "narrow" or "LeNet", COLUMNS)
    fig1: dict[str, Sweep]                     # network
    fig4: dict[tuple[str, str], Sweep]         # ("paper" or "narrow", network)
    fig5: dict[tuple[str, int, float], Sweep]  # (network, local steps, local learning rate)
    fig6: dict[str, Sweep]                     # batch and network
    table3: dict[tuple[str, str], Sweep]       # ("paper", "narrow" or "LeNet", ABLATION)
    servers: dict[str, Sweep]                  # "honest" and "active"
    training_paths: dict[str, Sweep]           # network
    restarts: Sweep
    batches: dict[int, Sweep]                  # images of a batch
    tv_weights: dict[float, Sweep]             # beside the 0.01 of Table 1
    mean_colour: Sweep                         # against the images of the test set
    mean_colour_trained_on: Sweep              # against those that victims were trained on
    full: full_sweeps.Full                     # at the paper's iterations, on several networks
    deep: deep_sweeps.Deep                     # a deep network trained on ImageNet
    shared: shared_sweeps.Shared               # means of several clients, parts of an update

    @property
    def lenet(self) -> Sweep:
        """The first column of Table 1, on which most of the page rests."""
        return self.table1["LeNet", "untrained", "cosine"]


def declare(run: Run) -> Plan:
    """Declare the sweeps of the study that was last started, with the run's seed."""
    seed = run.seed
    table2 = paper_sweeps.table2(seed)
    return Plan(
        table1=paper_sweeps.table1(seed),
        more_networks=_more_networks(seed),
        table2=table2,
        fig1=paper_sweeps.fig1(seed),
        fig4=paper_sweeps.fig4(seed),
        fig5=paper_sweeps.fig5(seed, table2["narrow", "E=5, n=1, B=1"]),
        fig6=paper_sweeps.fig6(seed),
        table3=paper_sweeps.table3(seed),
        servers={kind: paper_sweeps.server(kind, seed) for kind in ("honest", "active")},
        training_paths=_training_paths(seed),
        restarts=_restarts(seed),
        batches={size: _batch(size, seed) for size in (1, 2, 4, 8)},
        tv_weights={weight: _tv_weight(weight, seed) for weight in (0, 1e-1)},
        mean_colour=_mean_colour("grey", CIFAR10, [0, 100]),
        mean_colour_trained_on=_mean_colour("grey_own", CIFAR10 | TRAINED_ON, [0, 10]),
        full=full_sweeps.declare(seed),
        deep=deep_sweeps.declare(seed),
        shared=shared_sweeps.declare(seed))


# --- beyond the paper's own tables and figures


def _more_networks(seed: int) -> dict:
    """Table 1's untrained LeNet again, other draws of its weights: how much hangs on the draw?"""
    cosine = [attacked(CIFAR10, lenet(network), 4800, [0, 30], seed) for network in (3, 4, 5)]
    euclidean = [attacked(CIFAR10, lenet(network), 300, [0, 8], seed, SEARCHES["Euclid"])
                 for network in (2, 3, 4, 5)]
    return {
        "cosine": sweep("t1_lenet_untrained_cosine_more", [], cosine, 7,
                        "networks of the table after the first"),
        "Euclid": sweep("t1_lenet_untrained_euclid_more", [], euclidean, 7, "further networks")}


def _tv_weight(weight: float, seed: int) -> Sweep:
    """Table 1's untrained LeNet with another weight of TV."""
    paper = attacked(CIFAR10, lenet(seed), 4800, [0, 12], seed, {"tv": weight})
    return sweep(f"tv_{weight:g}", [], [paper], 1, "ours")


def _mean_colour(name: str, images: dict, clients: list[int]) -> Sweep:
    """What an attacker reaches who has no gradient."""
    return sweep(name, [], [{"images": images, "clients": clients}], 0.1, "ours", mean_colour)


def _training_paths(seed: int) -> dict:
    """The paper's argument: what gradients are like while a victim learns its images by heart."""
    look = {"clients": 50, "seed": seed, "noise": 0.2}
    slowly = {"images": PHOTOS, "victim": lenet(seed)} | look | {"clients": 12} | RECIPES["photos"]
    by_heart = {"images": CIFAR10} | look | RECIPES["memorised"]
    small, deep = {"victim": lenet(seed)}, {"victim": four_stages(8, 18, seed)}
    return {
        "LeNet": sweep("path_lenet", [slowly], [by_heart | small], 1, "ours", training_path),
        "ResNet-18, width 8": sweep("path_resnet", [], [by_heart | deep], 3, "ours",
                                    training_path)}


def _restarts(seed: int) -> Sweep:
    """Is a lower loss a better picture? Every restart of an attack is kept."""
    every = {"each_restart": True, "shown": 0}
    quick = attacked(SMALL_PHOTOS, lenet(seed), 300, [0, 4], seed, restarts=4, **every)
    paper = attacked(CIFAR10, lenet(seed), 4800, [0, 12], seed, restarts=6, **every)
    return sweep("restarts", [quick], [paper], 5, "ours")


def _batch(size: int, seed: int) -> Sweep:
    """One image of each of several clients in one mean, as secure aggregation gives it."""
    quick = []
    if size < 4:
        quick = [attacked(SMALL_PHOTOS, lenet(seed), 400, [0, 8 // size], seed, batch_size=size)]
    paper = attacked(CIFAR10, lenet(seed), 4800, [0, 24 // size], seed, batch_size=size)
    return sweep(f"batch_{size}", quick, [paper], 2, "ours")
