"""What notebook 01 computes beyond the paper: questions that users of the original ask."""

from studies import case, store
from studies.dlg import compute
from studies.dlg.settings import (
    ACTIVATIONS,
    CLIENTS_OF_A_PART,
    COUNTED,
    DIGITS,
    LENET,
    PAPER_IMAGES,
    PHOTOS,
    SCALES,
    SMALL_COLOUR,
    dlg,
    experiment,
    searching,
)


def by_scale(seed: int) -> dict[str, store.Sweep]:
    """Does DLG work with other activations, and other scales of the random weights? A sweep with
    plain L-BFGS, as the official code has it, and one with a line search."""
    return {
        "plain L-BFGS": _by_scale("activation_plain", seed, paper=dlg(40)),
        "line search": _by_scale(
            "activation_search", seed, quick=searching(20), paper=searching(40)),
    }


def _by_scale(name: str, seed: int, paper: dict, quick: dict | None = None) -> store.Sweep:
    """A part for each activation and scale; quick, paper: the attack in each profile."""
    def part(profile: str, images: dict, clients: int, activation: str, scale: float) -> dict:
        attack = quick if profile == "quick" else paper
        victim = LENET | {"activation": activation, "scale": scale}
        return experiment(profile, images, [0, clients], seed, victim=victim, attack=attack,
                          record=[], shown=0)

    live = [part("quick", DIGITS, 4, "gelu", scale) for scale in (0.1, 0.5)]
    return store.Sweep(
        name,
        case.attack,
        quick=live if quick else [],
        paper=[part("paper", SMALL_COLOUR, 8, activation, scale)
               for activation in ACTIVATIONS for scale in SCALES],
        minutes={"quick": 0.1, "paper": 16},
        gib=1.5,
    )


def with_search(seed: int) -> dict[str, store.Sweep]:
    """Does a line search mend the failures of Figure 6? The first clients and their starts, again.
    """
    sweeps = {}
    clients = [0, CLIENTS_OF_A_PART]
    for name in ("MNIST", "CIFAR", "LFW (100 faces)"):
        images = PAPER_IMAGES[name]
        live = experiment("quick", DIGITS, clients, seed, attack=searching(30), record=[])
        sweeps[name] = store.Sweep(
            f"search_{images['name']}",
            case.attack,
            quick=[live] if name == "MNIST" else [],
            paper=[experiment("paper", images, clients, seed, attack=searching(200), record=[])],
            minutes={"quick": 0.1, "paper": 6},
            gib=1.5,
        )
    return sweeps


def attacked(seed: int) -> store.Sweep:
    """What do too few equations mean for the attack? Photographs, by networks of few and many."""
    quick = {"attack": searching(30), "record": [30]}
    paper = {"attack": searching(100), "record": [], "shown": 0}
    return store.Sweep(
        "information_attack",
        case.attack,
        quick=[experiment("quick", PHOTOS, [0, 1], seed, victim=COUNTED[3, channels], **quick)
               for channels in (8, 16)],
        paper=[experiment("paper", PHOTOS, [0, 8], seed, victim=victim, **paper)
               for victim in COUNTED.values()],
        minutes={"quick": 0.1, "paper": 10},
        gib=1,
    )


def counted(seed: int) -> store.Sweep:
    """How many independent equations the gradients of the same networks hold."""
    common = {"images": PHOTOS, "seed": seed}
    return store.Sweep(
        "information_rank",
        compute.information,
        quick=[common | {"victim": COUNTED[3, channels], "clients": [0, 1]}
               for channels in (8, 16)],
        paper=[common | {"victim": victim, "clients": [0, 2]} for victim in COUNTED.values()],
        version=2,
        minutes={"quick": 0.02, "paper": 1},
        gib=1,
    )


def counted_batches(seed: int) -> store.Sweep:
    """Is the count the rank? Batches of digits, small networks, all sizes of a batch."""
    sizes = (1, 2, 4, 8)

    def part(kernel: int, channels: int, size: int) -> dict:
        victim = LENET | {
            "activation": "tanh", "scale": 0.3, "kernel": kernel, "channels": channels}
        return {"images": DIGITS, "victim": victim, "clients": [0, 2], "seed": seed,
                "batch_size": size}

    networks = ((3, 2), (3, 4), (5, 2), (5, 3))
    return store.Sweep(
        "information_batches",
        compute.information,
        quick=[part(5, 2, size) for size in sizes],
        paper=[part(kernel, channels, size) for kernel, channels in networks for size in sizes],
        minutes={"quick": 0.05, "paper": 0.2},
        gib=1,
    )
