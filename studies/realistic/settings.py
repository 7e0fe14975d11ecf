"""The settings of notebook 10: what a round of federated learning is made of, in both profiles.

Two ends, and what lies between. The *laboratory* is what the papers of the first pages attack: one
image, one gradient, stored BatchNorm statistics, a fresh network, and a client whose update is seen
alone. The *round* is what federated learning sends: each of these properties changed. `towards`
changes one of them from the laboratory on, `back` takes one back from the round.
"""

import itertools
from dataclasses import asdict, dataclass, replace

PHOTOS = {"name": "photos"}
SMALL_PHOTOS = {"name": "photos", "size": 16}
CIFAR10 = {"name": "cifar10"}
CANDIDATES = [9800, 10000]  # images of CIFAR-10's test split among which one is looked for
COSINE = {"tv": 1e-2}  # of `attacks.inverting_gradients`: what it searches with on this page


@dataclass(frozen=True)
class Setting:
    """batch: images of a client. steps: local steps it takes; 1 sends a gradient. mode: of
    BatchNorm at the client. trained: is the network? clients: in the mean that the server sees."""

    batch: int = 1
    steps: int = 1
    mode: str = "eval"
    trained: bool = False
    clients: int = 1

    @property
    def images(self) -> int:
        """In an update."""
        return self.batch * self.clients


@dataclass(frozen=True)
class Network:
    """A network of the grid. title: as tables name it. networks: how many are drawn (and trained).
    train: arguments of `accuracy.trained`. local_lr: of local steps. updates: of each network where
    an update holds one image. round: the setting that federated learning sends."""

    name: str
    title: str
    victim: dict
    networks: int
    iterations: int
    train: dict
    local_lr: float
    updates: int
    round: Setting


LABORATORY = Setting()
LENET = Network(
    "lenet", "LeNet", {"name": "lenet"}, 6, 2400,
    {"first": 20_000, "epochs": 4, "batch_size": 64, "lr": 0.05, "weight_decay": 5e-4}, 0.01, 2,
    Setting(batch=4, steps=2, trained=True, clients=4))
RESNET = Network(
    "resnet20", "ResNet-20", {"name": "resnet", "depth": 20, "width": 16}, 3, 800,
    {"first": 5000, "epochs": 6, "batch_size": 64, "lr": 0.1, "weight_decay": 5e-4}, 0.01, 2,
    Setting(batch=4, steps=2, mode="train", trained=True, clients=2))
NETWORKS = {network.name: network for network in (LENET, RESNET)}
QUICK = {  # the same in small: other images, fewer networks and iterations
    "lenet": replace(LENET, networks=3, iterations=60,
                     train={"epochs": 2, "batch_size": 16, "lr": 0.05},
                     round=Setting(batch=2, steps=2, trained=True, clients=2)),
    "resnet20": replace(RESNET, victim={"name": "resnet", "depth": 8, "width": 4}, networks=3,
                        iterations=30, train={"epochs": 2, "batch_size": 16, "lr": 0.05})}
WORDS = {"batch": "batch of {}", "steps": "{} local steps", "mode": "BatchNorm in {} mode",
         "trained": "trained network", "clients": "mean of {} clients"}


def of(profile: str, network: str) -> Network:
    """The network in a profile."""
    return {"quick": QUICK, "paper": NETWORKS}[profile][network]


def changed(network: Network) -> list[str]:
    """The properties in which this network's round differs from the laboratory."""
    there = asdict(network.round)
    return [name for name, value in asdict(LABORATORY).items() if there[name] != value]


def towards(network: Network) -> dict[str, Setting]:
    """The laboratory with one property of the round, by the name of that property."""
    there = asdict(network.round)
    return {name: replace(LABORATORY, **{name: there[name]}) for name in changed(network)}


def back(network: Network) -> dict[str, Setting]:
    """The round with one property of the laboratory, by the name of that property."""
    here = asdict(LABORATORY)
    return {name: replace(network.round, **{name: here[name]}) for name in changed(network)}


def crossings(network: Network) -> list[Setting]:
    """All settings between the two ends that neither `towards` nor `back` holds."""
    names = changed(network)
    ends = [(asdict(LABORATORY)[name], asdict(network.round)[name]) for name in names]
    every = [replace(LABORATORY, **dict(zip(names, values, strict=True)))
             for values in itertools.product(*ends)]
    held = [LABORATORY, network.round, *towards(network).values(), *back(network).values()]
    return [setting for setting in every if setting not in held]


def in_words(network: Network, name: str) -> str:
    """A property of the round in words: "batch of 4"."""
    return WORDS[name].format(asdict(network.round)[name])


def as_name(setting: Setting) -> str:
    """Of a sweep: b4_s2_train_t_c4."""
    trained = "t" if setting.trained else "u"
    return f"b{setting.batch}_s{setting.steps}_{setting.mode}_{trained}_c{setting.clients}"
