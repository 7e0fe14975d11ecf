"""The plan of notebook 09: which experiments are stored, in both profiles.

Everything is linear algebra on the CPU, and most of it is seconds; what is counted is the network,
and each client has its own."""

from dataclasses import dataclass

from lib.run import Run
from studies import store
from studies.exact import compute, servers

PICTURES = {"quick": {"name": "digits"}, "paper": {"name": "cifar10"}}
WIDTHS = {"quick": [32, 128], "paper": [16, 32, 64, 128, 256]}
SIZES = {"quick": [2, 4, 6, 8], "paper": [2, 4, 8, 12, 16]}
DRAWS = {"quick": 2**13, "paper": 2**16}
CLIENTS = {"quick": [0, 3], "paper": [0, 8]}
MAIN = 128  # neurons of the network that most of the page is about
TRAIN = {"quick": {"epochs": 3, "lr": 0.05, "first": 500},
         "paper": {"epochs": 5, "lr": 0.05, "first": 5000}}
ARMS = {  # what differs from the main network: images normalised, fresh, float64
    "trained": {}, "in [0, 1]": {"normalise": False}, "float32": {"precision": "float32"},
    "sigmoid": {}}
UNITS = {"quick": [64, 256], "paper": [64, 256, 1024]}
LARGE = {"quick": [64], "paper": [64, 128, 256]}
KINDS = ["honest", "trap", "imprint"]
SEEN = {  # networks whose signs are compared
    "dense": {"name": "dense", "hidden": [MAIN], "activation": "relu"},
    "LeNet": {"name": "lenet", "init": "default", "activation": "relu"}}
OURS = "ours: networks, images and budget of draws are not the papers'"


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 09, in the order of its page."""

    width: store.Sweep            # SPEAR by batch size and width
    arms: dict[str, store.Sweep]  # and by what else differs
    same: dict[str, store.Sweep]  # five attacks on the same updates, by activation
    large: store.Sweep            # single images of large batches
    sheet: store.Sweep            # one of these batches, with its pictures
    fishing: store.Sweep
    seen: store.Sweep
    tokens: store.Sweep
    recursion: store.Sweep


def declare(run: Run) -> Plan:
    """Declare the sweeps of both profiles."""
    seed = run.seed
    return Plan(_width(seed), {name: _arm(name, seed) for name in ARMS},
                {name: _same(name, seed) for name in ("relu", "sigmoid")},
                _large(seed), _sheet(seed), _fishing(seed), _seen(seed), _tokens(seed),
                _recursion(seed))


def _sweep(name: str, function, configs, minutes: float) -> store.Sweep:
    return store.Sweep(name, function, quick=configs("quick"), paper=configs("paper"),
                       minutes={"quick": 0.1, "paper": minutes}, gib=1, comparable=OURS)


def _dense(width: int, activation: str = "relu") -> dict:
    return {"name": "dense", "hidden": [width], "activation": activation}


def _batches(profile: str, width: int, seed: int, **more) -> dict:
    config = {"images": PICTURES[profile], "victim": _dense(width), "batch_sizes": SIZES[profile],
              "clients": CLIENTS[profile], "seed": seed, "draws": DRAWS[profile]}
    return config | more


def _width(seed: int) -> store.Sweep:
    return _sweep("width", compute.batches, lambda profile: [
        _batches(profile, width, seed) for width in WIDTHS[profile]], 4)


def _arm(name: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        more = dict(ARMS[name])
        if name == "trained":
            more["train"] = TRAIN[profile]
        if name == "sigmoid":
            more["victim"] = _dense(MAIN, "sigmoid")
        return [_batches(profile, MAIN, seed, **more)]
    return _sweep("arm_" + name.translate(str.maketrans(" ", "_", "[],")), compute.batches,
                  configs, 2)


def _same(activation: str, seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        images = {"quick": {"name": "photos"}, "paper": PICTURES["paper"]}[profile]
        sizes = {"quick": [4], "paper": [2, 4, 8]}[profile]
        return [{"images": images, "width": MAIN, "activation": activation, "batch_sizes": sizes,
                 "clients": CLIENTS[profile], "seed": seed, "draws": DRAWS["paper"],
                 "restarts": {"quick": 1, "paper": 4}[profile], "shown": 4}]
    return _sweep(f"same_{activation}", compute.same_update, configs, 3)


def _large(seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        return [{"images": PICTURES[profile], "kinds": [kind], "units": UNITS[profile],
                 "batch_sizes": LARGE[profile], "clients": CLIENTS[profile], "seed": seed,
                 "shown": 0} for kind in KINDS]
    return _sweep("large", servers.large_batches, configs, 4)


def _sheet(seed: int) -> store.Sweep:
    """One batch with its pictures."""
    def configs(profile: str) -> list[dict]:
        return [{"images": PICTURES[profile], "kinds": ["imprint"], "units": UNITS[profile][-1:],
                 "batch_sizes": LARGE[profile][:1], "clients": [0, 1], "seed": seed, "shown": 8}]
    return _sweep("sheet", servers.large_batches, configs, 1)


def _fishing(seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        return [{"images": PICTURES[profile], "width": 2 * MAIN, "batch_size": 64,
                 "clients": CLIENTS[profile], "seed": seed, "draws": DRAWS[profile]}]
    return _sweep("fishing", servers.fishing, configs, 2)


def _seen(seed: int) -> store.Sweep:
    """The first half of the networks sets the alarm, the second is judged by it."""
    def configs(profile: str) -> list[dict]:
        return [{"images": PICTURES[profile], "networks": {name: network},
                 "batch_sizes": {"quick": [16], "paper": [16, 64]}[profile],
                 "clients": {"quick": [0, 6], "paper": [0, 12]}[profile], "seed": seed,
                 "train": TRAIN[profile]} for name, network in SEEN.items()]
    return _sweep("seen", servers.seen, configs, 4)


def _tokens(seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        widths = {"quick": [64], "paper": [64, 256]}[profile]
        counts = {"quick": [1, 2], "paper": [1, 2, 3, 4, 8]}[profile]
        return [{"clients": {"quick": [0, 4], "paper": [0, 16]}[profile], "counts": counts,
                 "lengths": [8, 12, 16], "width": width, "layers": 2, "seed": seed}
                for width in widths]
    return _sweep("tokens", compute.tokens, configs, 2)


def _recursion(seed: int) -> store.Sweep:
    def configs(profile: str) -> list[dict]:
        return [{"images": {"name": "digits"}, "channels": [1, 2, 3, 4, 6, 8, 12],
                 "activation": activation, "clients": CLIENTS[profile], "seed": seed}
                for activation in ("sigmoid", "tanh")]
    return _sweep("recursion", compute.recursion, configs, 1)
