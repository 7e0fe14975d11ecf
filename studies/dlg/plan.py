"""What notebook 01 computes, in both profiles: the figures and tables of the paper.

The paper: Zhu, Liu and Han, Deep Leakage from Gradients (NeurIPS 2019). What it does not have,
our own questions, is in `plan_beyond`."""

from dataclasses import dataclass

from lib.run import Run
from studies import accuracy, case, store
from studies.dlg import compute, plan_beyond
from studies.dlg.settings import (
    CIFAR10,
    CLIENTS_OF_A_PART,
    COLOUR,
    DEFENSES,
    DIGITS,
    FINER,
    LEARNT,
    LENET,
    LIVE,
    MORE_CLIENTS,
    PANELS,
    PAPER_IMAGES,
    QUICK_IMAGES,
    READER,
    SEARCHES,
    SIGMOID_RESNET,
    SMALL_COLOUR,
    TANH_RESNET,
    WIDE_LENET,
    dlg,
    experiment,
    searching,
)

Batches = dict[tuple[str, str], store.Sweep]  # (network, how its images move) -> sweep
PARTS = {"CIFAR-100": 1}  # of 16 clients each; of the other sets two
WHY_NOT_COMPARABLE = {
    "quick": "other, smaller images; fewer iterations",
    "paper": "LeNet instead of ResNet-56; 500 iterations instead of 1,200; "
             "published number recalled",
}


@dataclass(frozen=True)
class Plan:
    """The sweeps of the notebook, in the order of its pages."""

    leakage: dict[str, store.Sweep]    # Figures 3, 5 and 6: one image a client, by set
    batch_of_8: store.Sweep            # Figure 4
    batches: Batches                   # Table 1
    defended: store.Sweep              # Figure 7: attacks on defended clients
    trained: store.Sweep               # Table 3: victims trained under the same defenses
    learned: dict[str, store.Sweep]    # the same on a network that learns, by defense
    text: dict[str, store.Sweep]       # Table 2: sentences, by search
    by_scale: dict[str, store.Sweep]   # activations and initialisations, by search
    with_search: dict[str, store.Sweep]  # the clients of `leakage`, attacked with a line search
    attacked: store.Sweep              # networks of few and of many equations, attacked
    counted: store.Sweep               # the same networks, their equations counted
    counted_batches: store.Sweep       # the equations that small networks give for batches


def declare(run: Run) -> Plan:
    """The sweeps of both profiles, declared to the study that was last started."""
    seed = run.seed
    return Plan(
        leakage={name: leakage(name, seed) for name in PAPER_IMAGES},
        batch_of_8=batch_of_8(seed),
        batches=batches(seed),
        defended=defended(seed),
        trained=trained(seed),
        learned=learned(seed),
        text=text(seed),
        by_scale=plan_beyond.by_scale(seed),
        with_search=plan_beyond.with_search(seed),
        attacked=plan_beyond.attacked(seed),
        counted=plan_beyond.counted(seed),
        counted_batches=plan_beyond.counted_batches(seed),
    )


def leakage(name: str, seed: int) -> store.Sweep:
    """Figures 3 and 6, and 5 for CIFAR: single images of one set, a single start each."""
    images = PAPER_IMAGES[name]
    more = {"layers": name == "CIFAR"}
    quick = []
    if name in QUICK_IMAGES:
        quick = [experiment("quick", QUICK_IMAGES[name], [0, CLIENTS_OF_A_PART], seed, **more)]
    paper = []
    for part in range(PARTS.get(name, 2)):
        clients = [part * CLIENTS_OF_A_PART, (part + 1) * CLIENTS_OF_A_PART]
        paper.append(experiment("paper", images, clients, seed, **more))
    return store.Sweep(
        f"fig6_{images['name']}",
        case.attack,
        quick=quick,
        paper=paper,
        minutes={"quick": 0.3, "paper": 9 * len(paper)},  # colour, one core; grey is faster
        gib=1.5,
        comparable=WHY_NOT_COMPARABLE,
    )


def batch_of_8(seed: int) -> store.Sweep:
    """Figure 4: batches of eight, all eight images moved together."""
    eight = {"batch_size": 8, "shown": 2}
    return store.Sweep(
        "fig4",
        case.attack,
        # eight images take longer than one
        quick=[experiment("quick", DIGITS, [0, 4], seed, **eight, attack=dlg(60))],
        paper=[experiment("paper", COLOUR, [0, 4], seed, **eight, attack=dlg(500))],
        minutes={"quick": 0.3, "paper": 15},
        gib=1.5,
        comparable=WHY_NOT_COMPARABLE,
    )


def batches(seed: int) -> Batches:
    """Table 1: iterations until a batch is restored, on ResNet-20 (section 4.1: sigmoid for ReLU,
    no strides) and, ours, on networks that pass more on."""
    sizes = (1, 2, 4, 8)
    sigmoid, wide = "ResNet-20, sigmoid, no strides", "LeNet, 24 channels"
    relative = {"line_search": True, "relative": True, "scale": 1e3}
    turn = {"in_turn": True}
    search = {"line_search": True}
    return {
        (sigmoid, "one at a time"): by_batch_size(  # of eight: not run
            "resnet_turn", SIGMOID_RESNET, (1, 2, 4), seed, most=100, options=turn),
        (sigmoid, "together"): by_batch_size(
            "resnet", SIGMOID_RESNET, sizes, seed, most=100),
        (sigmoid, "together, line search, relative D"): by_batch_size(
            "resnet_relative", SIGMOID_RESNET, (1,), seed, most=30, shown=4, options=relative),
        ("ResNet-20, tanh, strides, 16 pixels", "together"): by_batch_size(
            "tanh", TANH_RESNET, (1,), seed, images=SMALL_COLOUR, most=100),
        ("LeNet", "one at a time"): by_batch_size(
            "lenet_turn", LENET, (2, 4, 8), seed, quick_sizes=(2,), options=turn),
        ("LeNet", "together"): by_batch_size(
            "lenet", LENET, sizes, seed, quick_sizes=(2,)),
        ("LeNet", "together, line search"): by_batch_size(
            "search", LENET, (1, 2), seed, options=search),
        (wide, "one at a time, line search"): by_batch_size(
            "wide_turn", WIDE_LENET, (2, 4), seed, options=turn | search),
        (wide, "together, line search"): by_batch_size(
            "wide", WIDE_LENET, (1, 2, 4), seed, options=search),
    }


def by_batch_size(name: str, victim: dict, sizes: tuple, seed: int, quick_sizes: tuple = (),
                  images: dict = COLOUR, most: int = 150, shown: int = 0,
                  options: dict | None = None) -> store.Sweep:
    """A row of Table 1: a part for each batch size, four clients each, `most` iterations, the
    error noted every tenth iteration. options: of `attacks.dlg`."""
    options = options or {}

    def part(profile: str, images: dict, size: int, most: int, every: int) -> dict:
        return experiment(
            profile, images, [0, 4], seed, victim=victim, attack=dlg(most, **options),
            batch_size=size, record=list(range(0, most + 1, every)), shown=shown)

    return store.Sweep(
        f"table1_{name}",
        case.attack,
        quick=[part("quick", DIGITS, size, 20, 2) for size in quick_sizes],
        paper=[part("paper", images, size, most, 10) for size in sizes],
        minutes={"quick": 0.1, "paper": 2 * sum(sizes)},
        gib=2,
        comparable="criterion ours: the published one is not known, the published numbers are "
                   "recalled",
    )


def defended(seed: int) -> store.Sweep:
    """Figure 7: the same clients and starts under each defense, by DLG with a line search; in the
    paper profile a part for each panel, one for noise of smaller variance, and one of more clients
    under the defenses that the first eight left undecided."""
    groups = [*PANELS.values(), FINER]
    live = [DEFENSES[name] for name in LIVE]
    quick = {"attack": searching(10), "record": [10]}
    paper = {"attack": searching(100), "record": [100]}
    return store.Sweep(
        "fig7",
        case.attack,
        quick=[experiment("quick", DIGITS, [0, 8], seed, **quick, defense=live)],
        paper=[*(experiment("paper", CIFAR10, [0, 8], seed, **paper, defense=list(group.values()))
                 for group in groups),
               experiment("paper", CIFAR10, [8, 16], seed, **paper,
                          defense=[DEFENSES[name] for name in MORE_CLIENTS])],
        minutes={"quick": 0.2, "paper": 36},
        gib=3,
        comparable="network, image and scale of the published curves are not known",
    )


def trained(seed: int) -> store.Sweep:
    """Table 3: test accuracy of victims of the attacked architecture, trained under each defense;
    in the paper profile three of each."""
    live = [DEFENSES[name] for name in LIVE]
    quick = {"images": DIGITS, "victim": LENET, "seeds": [seed], "epochs": 6, "lr": 0.1}
    paper = {"images": CIFAR10, "victim": LENET, "seeds": [seed, seed + 1, seed + 2],
             "epochs": 3, "lr": 0.01}
    return store.Sweep(
        "table3",
        case.accuracy,
        quick=[quick | {"defense": live}],
        paper=[paper | {"defense": list(panel.values())} for panel in PANELS.values()],
        minutes={"quick": 0.1, "paper": 45},
        gib=1,
        comparable="LeNet on 30,000 images of CIFAR-10; the published network and recipe "
                   "(CIFAR-100) are not known",
    )


def learned(seed: int) -> dict[str, store.Sweep]:
    """Table 3 on a network with an accuracy to lose, three trainings under each defense: LeNet
    learns a third of CIFAR-10, so little that noise takes nothing from it."""
    sweeps = {}
    for name in LEARNT:
        config = {"images": CIFAR10, "victim": accuracy.LEARNER, "normalise": True,
                  "seeds": [seed, seed + 1, seed + 2], "defense": [DEFENSES[name]]}
        sweeps[name] = store.Sweep(
            "learned_" + name.rstrip("%").replace(" ", "_").lower(),
            case.accuracy,
            quick=[],
            paper=[config | accuracy.RECIPE],
            minutes=10,
            gib=1,
            comparable="a pre-activation ResNet of width 8 and depth 8 on 30,000 images of "
                       "CIFAR-10; the published network and recipe (CIFAR-100) are not known",
        )
    return sweeps


def text(seed: int) -> dict[str, store.Sweep]:
    """Table 2: sentences read back from a masked language model's gradient, by each search."""
    sweeps = {}
    for i, (name, (line_search, scale)) in enumerate(SEARCHES.items()):
        attack = dlg(30, line_search=line_search, scale=scale)
        common = {"attack": attack, "record": [0, 10, 20, 30], "seed": seed}
        small = common | {"clients": [0, 1], "width": 32, "layers": 1}
        large = common | {"width": 64, "layers": 2}
        sweeps[name] = store.Sweep(
            f"table2_{i}",
            compute.sentences,
            quick=[small] if name == READER else [],
            paper=[large | {"clients": [0, 8]}, large | {"clients": [8, 16]}],
            minutes={"quick": 0.15, "paper": 8},
            gib=1,
            comparable="a small random transformer and sentences of our own; the size of the "
                       "paper's BERT and batch are not known",
        )
    return sweeps
