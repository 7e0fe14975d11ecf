"""The plan of notebook 10: which experiments are stored, in both profiles.

What is counted is the network, with its training; each has images of its own. The grid stands in
the order of its worth: the two ends, one property changed at each end, the crossings. The page
draws what is stored (`shown`) and says of the rest that it is not computed: two cores need hours.
"""

from dataclasses import dataclass

from lib.run import Run
from studies import case, store
from studies.cells import Cell
from studies.realistic import compute, settings
from studies.realistic.arms import ARMS, plain_of
from studies.realistic.settings import LABORATORY, Network, Setting

OURS = "ours: networks, images and iterations are not the papers'"
SECONDS = {"lenet": 0.0014, "resnet20": 0.025}  # of a core, an iteration and image
FIXED = {"lenet": 20, "resnet20": 30}  # of a core, a cell: tracing, scores
STEPPED = {"lenet": 1.3, "resnet20": 1.3}  # times so many where clients take local steps


@dataclass(frozen=True)
class Plan:
    """The sweeps of notebook 10, in the order of its page."""

    laboratory: dict[str, store.Sweep]         # by network
    round: dict[str, store.Sweep]              # by network
    towards: dict[tuple[str, str], store.Sweep]  # (network, property of the round)
    back: dict[tuple[str, str], store.Sweep]     # (network, property of the laboratory)
    others: dict[tuple[str, str, str], store.Sweep]  # (network, end, attack): another attack
    larger: dict[int, store.Sweep]             # LeNet's laboratory with larger batches
    plain: dict[str, store.Sweep]              # by arm: the attacker of the grid
    adaptive: dict[str, store.Sweep]           # by arm: the attacker who knows the defense
    prior: store.Sweep                         # what is known of the images without an update
    lite0: store.Sweep                         # EfficientNet-Lite0 at 128 pixels, in train mode
    crossings: dict[tuple[str, Setting], store.Sweep]  # the rest of the grid

    def grid(self) -> dict[tuple[str, Setting], store.Sweep]:
        """Every setting of the grid."""
        cells = {(name, LABORATORY): sweep for name, sweep in self.laboratory.items()}
        for name, sweep in self.round.items():
            cells[name, settings.NETWORKS[name].round] = sweep
        for group, settings_of in ((self.towards, settings.towards), (self.back, settings.back)):
            for (name, changed), sweep in group.items():
                cells[name, settings_of(settings.NETWORKS[name])[changed]] = sweep
        return cells | self.crossings


# Another attack than Inverting Gradients, with what it is granted besides: (network, end) -> these
OTHERS = {
    ("lenet", "laboratory"): {"DLG": {"name": "dlg", "iterations": 60, "line_search": True,
                                      "labels": "idlg"}},
    ("lenet", "round"): {"layer by layer": {"objective": "layer_cosine"}},
    ("resnet20", "laboratory"): {"layer by layer": {"objective": "layer_cosine"}},
    ("resnet20", "round"): {"statistics": {"bn": 1e-3}}}
GRANTED = {"statistics": {"bn_statistics": "proxy"}}
QUICK = {  # what a quick run computes itself, where nothing is stored: (network, end)
    ("lenet", "laboratory"), ("lenet", "round"), ("resnet20", "laboratory"),
    ("lenet", "defense_soteria"), ("lenet", "defense_soteria_adaptive"),
    ("lenet", "defense_precode"), ("lenet", "defense_precode_adaptive")}
LARGER = (16,)  # images of a batch
ERRORS = [0.001, 0.003, 0.01, 0.03]  # of a recovered image: 30, 25, 20 and 15 dB
TRAIN_MODE = {"normalise": True, "mode": "train"}


def declare(run: Run) -> Plan:
    """Declare the sweeps of both profiles."""
    seed, names = run.seed, tuple(settings.NETWORKS)
    laboratory = {name: _setting(name, "laboratory", lambda n: LABORATORY, seed) for name in names}
    ends = {name: _setting(name, "round", lambda n: n.round, seed) for name in names}
    towards = {(name, key): _setting(name, f"towards_{key}",
                                     lambda n, key=key: settings.towards(n)[key], seed)
               for name in names for key in settings.changed(settings.NETWORKS[name])}
    back = {(name, key): _setting(name, f"back_{key}",
                                  lambda n, key=key: settings.back(n)[key], seed)
            for name in names for key in settings.changed(settings.NETWORKS[name])}
    others = {(*where, attack): _other(*where, attack, how, seed)
              for where, attacks in OTHERS.items() for attack, how in attacks.items()}
    larger = {size: _larger(size, seed) for size in LARGER}
    return Plan(laboratory, ends, towards, back, others, larger, *_arms(seed), _prior(seed),
                _lite0(seed), _crossings(seed))


def shown(sweep: store.Sweep) -> Cell | None:
    """The cell that the page shows: the stored one of the paper profile, else this quick run's,
    else None. A run of the paper profile computes none here: what is missing takes hours, which
    `make figures CLUSTER=2 PROFILE=paper` spends."""
    cell = sweep.stored()
    return sweep.here() if cell is None and sweep.profile == "quick" else cell


def config(network: Network, setting: Setting, images: dict, seed: int, attack: dict | None = None,
           **more) -> dict:
    """A config of `compute.setting`. attack: how it differs from `settings.COSINE`, or another."""
    search = {"name": "inverting_gradients", "iterations": network.iterations} | settings.COSINE
    if attack is not None:
        search = attack if "name" in attack else search | attack
    protocol = compute.steps_protocol(setting.batch, setting.steps, setting.mode,
                                      network.local_lr)
    held = {"train": network.train} if setting.trained else {}
    return {
        "images": images, "victim": network.victim, "attack": search,
        "networks": [0, network.networks], "updates": network.updates if setting.images == 1 else 1,
        "batch_size": setting.batch, "clients": setting.clients, "seed": seed,
        "protocol": protocol, "threat": {"labels": "known"}, "ranked": 4, "shown": 2} | held | more


def minutes(network: Network, setting: Setting) -> float:
    """Of a core, by what was measured of an iteration (`SECONDS`)."""
    images = network.networks * setting.images
    images *= network.updates if setting.images == 1 else 1
    each = SECONDS[network.name] * (STEPPED[network.name] if setting.steps > 1 else 1)
    if setting.batch == 1:
        each *= setting.steps
    return (FIXED[network.name] + each * images * network.iterations) / 60


def _sweep(name: str, quick: list, paper: list, cost: float,
           function=compute.setting) -> store.Sweep:
    return store.Sweep(name, function, quick, paper, minutes={"quick": 0.1, "paper": cost}, gib=3,
                       comparable=OURS)


def _setting(name: str, end: str, setting_of, seed: int, **more) -> store.Sweep:
    """A sweep of one setting of a network. setting_of: from the network of a profile to it."""
    small, full = (settings.of(profile, name) for profile in ("quick", "paper"))
    quick_configs = []
    if (name, end) in QUICK:
        quick_configs = [config(small, setting_of(small), settings.SMALL_PHOTOS, seed, **more)]
    paper = [config(full, setting_of(full), settings.CIFAR10, seed, among=settings.CANDIDATES,
                    **more)]
    return _sweep(f"{name}_{end}", quick_configs, paper, minutes(full, setting_of(full)))


def _other(name: str, end: str, attack: str, how: dict, seed: int) -> store.Sweep:
    of_end = {"laboratory": lambda n: LABORATORY, "round": lambda n: n.round}[end]
    more = {"attack": how}
    if attack in GRANTED:
        more["threat"] = {"labels": "known"} | GRANTED[attack]
    title = attack.lower().replace(" ", "_")
    return _setting(name, f"{end}_{title}", of_end, seed, **more)


def _larger(size: int, seed: int) -> store.Sweep:
    return _setting("lenet", f"batch_{size}", lambda n: Setting(batch=size), seed)


def _arms(seed: int) -> tuple[dict, dict]:
    """Defenses on single gradients of fresh LeNets: the plain attacker's sweeps, the adaptive's."""
    run = {name: arm for name, arm in ARMS.items() if arm.is_run}
    plain = {name: _defended(f"defense_{name}", seed, **arm.client)
             for name, arm in run.items() if plain_of(name) == name}
    known = {"threat": {"labels": "known", "defense_known": True}}
    adaptive = {name: _defended(f"defense_{name}_adaptive", seed,
                                **arm.client | arm.adaptive | known)
                for name, arm in run.items() if arm.adaptive}
    return plain, adaptive


def _defended(name: str, seed: int, **more) -> store.Sweep:
    return _setting("lenet", name, lambda n: LABORATORY, seed, **more)


def _prior(seed: int) -> store.Sweep:
    return _sweep("prior", [{"images": settings.SMALL_PHOTOS, "count": 200, "errors": ERRORS,
                             "seed": seed}],
                  [{"images": settings.CIFAR10 | {"split": "train"}, "count": 5000,
                    "errors": ERRORS, "seed": seed}], 0.5, compute.prior)


def _crossings(seed: int) -> dict[tuple[str, Setting], store.Sweep]:
    """The rest of the grid."""
    return {(name, setting): _setting(name, "cross_" + settings.as_name(setting),
                                      lambda n, setting=setting: setting, seed)
            for name, network in settings.NETWORKS.items()
            for setting in settings.crossings(network)}


def _lite0(seed: int) -> store.Sweep:
    """Page 03's two photographs behind EfficientNet-Lite0, as there but in train mode."""
    of_page_03 = {
        "images": {"name": "photos", "size": 128, "imagenet": True},
        "victim": {"name": "efficientnet_lite0", "pretrained": True, "seed": seed},
        "attack": {"name": "inverting_gradients", "iterations": 4800, "tv": 0.5},
        "threat": {"labels": "known"}, "record": [0, 100, 300, 600, 1200, 2400, 4800],
        "among": {"name": "imagenet200", "size": 128}, "shown": 6, "seed": seed}
    paper = [of_page_03 | {"clients": [photograph, photograph + 1], "protocol": TRAIN_MODE}
             for photograph in (0, 8)]
    return _sweep("lite0_train", [], paper, 16 * len(paper), function=case.attack)
