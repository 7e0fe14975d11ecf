"""What notebook 06 varies: image sets, strategies of mixing, attacks, and configs made of them."""

import pandas as pd

PROFILES = ("quick", "paper")

# --- images and networks

DIGITS = {"name": "digits"}
FACES = {"name": "faces", "classes": 10}
MNIST = {"name": "mnist"}
LFW = {"name": "lfw", "size": 32}
PICTURES = {"quick": DIGITS, "paper": MNIST}

DENSE = {"name": "dense"}
# With DLG's weights, U(-0.5, 0.5), the squared error of a softmax teaches a LeNet nothing.
TRAINABLE = {"name": "lenet", "activation": "tanh", "init": "default"}

# --- strategies

STRATEGIES = {  # name: (how a batch is drawn, the client's loss)
    "CE, random labels": ("random", "cross_entropy"),
    "CE, equal labels": ("equal", "cross_entropy"),
    "MSE of softmax, random labels": ("random", "mse_softmax"),
    "MSE of softmax, equal labels": ("equal", "mse_softmax"),
    "MSE of logits, random labels": ("random", "mse"),
    "MSE of logits, equal labels": ("equal", "mse"),
}
TRAINED_UNDER = {  # name of a way to train: the strategy whose draw and loss it has
    "CE": "CE, random labels",
    "CE, equal labels": "CE, equal labels",
    "MSE of softmax": "MSE of softmax, random labels",
    "MSE of logits": "MSE of logits, random labels",
}
LABEL_STRATEGIES = ("CE, random labels", "CE, equal labels")  # cross-entropy: only the draw differs
IN_SPAN_STRATEGIES = (*LABEL_STRATEGIES, "MSE of logits, equal labels")
SEES = {"one round": {}, "three rounds": {"rounds": 3, "round_lr": 0.01}}
LENET_STRATEGIES = ("MSE of softmax, random labels", "CE, equal labels", "CE, random labels")  # R7

# --- sizes

BATCHES = {"quick": [1, 4], "paper": [1, 2, 4, 6]}         # R4: dense layer
DENSE_CLIENTS = {"quick": 8, "paper": 30}
LENET_CLIENTS = 8
SPAN_CLIENTS = {"quick": 6, "paper": 10}                   # the attack in the span
SPAN_BATCHES = {"quick": [2, 4], "paper": [2, 3, 4, 6, 8]}
STAGES = {"quick": [5, 30, 200], "paper": [10, 40, 100, 200, 600]}  # R3: iterations
POINTS = {"quick": [], "paper": [(2, 6), (4, 8), (6, 10), (8, 12)]}  # R6: (batch size, channels)
GRID = {  # R7: the channels and the batch sizes of its maps
    "digits": {"quick": ([4, 12], [2]), "paper": ([4, 6, 8, 10, 12, 14], [1, 2, 4, 6, 8])},
    "LFW": {"quick": ([], []), "paper": ([10, 24], [1, 2, 4])},
}
SCALES = [0.01, 0.1, 0.3, 1.0, 5.0]                        # standard deviations of weights
RATES = {"dense": [0.003, 0.03, 0.3], "lenet": [0.03, 0.1]}  # learning rates that are tried
VARIANCES = {  # of Gaussian noise on the gradient
    "quick": [1e-8, 1e-5, 1e-2],
    "paper": [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2],
}

# --- criteria: an image counts as recovered

AVD_SUCCESS = 0.8     # below it: the paper's criterion, printed on the poster
MSE_RECOVERED = 0.01  # below it: ours, stricter, but luck helps where images resemble each other
SSIM_RECOVERED = 0.5  # above it: ours, of clipped images; it forgives a wrong contrast

# --- attacks

TV = {"tv": 1e-3}
ORTHOGONALITY = {"orthogonality": 1e-2}
ITERATIONS = {"quick": 200, "paper": 600}
QUICK_ATTACKS = ("angle", "angle + TV", "L2 + TV + orthogonality", "angle, labels inferred",
                 "closed form")
IN_SPAN = "in the span (ours)"
NOISE_ATTACKS = ("closed form", "angle", "angle + TV")  # and, in cells of its own, IN_SPAN
SUPERSEDED = {"name": "in_span", "iterations": 60, "line_search": True, "relative": True,
              "labels": "idlg", "restarts": 8}  # its rows in stored cells: nothing reads them
LENET_ATTACKS = {  # beside the angle with TV of R7, at the four points of R6: (objective, more)
    "L2 + TV": ("l2", TV),
    "L2 + TV + orthogonality": ("l2", TV | ORTHOGONALITY),
    "angle + TV + orthogonality": ("cosine", TV | ORTHOGONALITY),
    "angle + TV, labels inferred": ("cosine", TV | {"grant": "unknown"}),
}
FIVE = ("angle + TV", *LENET_ATTACKS)  # the attacks of R6


def short(strategy: str) -> str:
    """A strategy's name as a sweep bears it: "ce_random", "mse_softmax_equal"."""
    draw, loss = STRATEGIES[strategy]
    return f"{loss.replace('cross_entropy', 'ce')}_{draw}"


def sweep_name(start: str, training: str) -> str:
    """A sweep's name from that of a way to train: "r5_ce_equal_labels"."""
    return f"{start}_{training}".lower().replace(", ", "_").replace(" ", "_")


def matching(profile: str, objective: str = "cosine", **more) -> dict:
    """Gradient matching among pixels: by the angle ("cosine") or the squared distance ("l2")."""
    settings = {"name": "mixing_gradients", "iterations": ITERATIONS[profile],
                "objective": objective}
    return settings | more


def in_span(profile: str, **more) -> dict:
    """Our attack: L-BFGS in the span of the batch, which a dense layer's gradient gives away."""
    settings = {"name": "in_span", "iterations": {"quick": 20, "paper": 200}[profile],
                "line_search": True, "relative": True, "labels": "idlg", "restarts": 4}
    return settings | more


def in_span_knowing(profile: str) -> dict[str, dict]:
    """The attack in the span by what it is told of the labels."""
    return {
        "labels known": in_span(profile),
        "equal labels known to be equal": in_span(profile, grant="equal", labels="idlg_bias"),
        "labels counted from the bias gradient": in_span(profile, grant="unknown",
                                                         labels="analytic"),
    }


def label_knowledge(strategy: str, rounds: str) -> list[str]:
    """Which entries of `in_span_knowing` a strategy is attacked with: that labels are inferred is
    tried behind cross-entropy and for one round only, by the rule that fits the draw."""
    draw, loss = STRATEGIES[strategy]
    knowledge = ["labels known"]
    if loss == "cross_entropy" and rounds == "one round":
        knowledge.append("equal labels known to be equal" if draw == "equal"
                         else "labels counted from the bias gradient")
    return knowledge


def dense_attacks(profile: str, loss: str) -> dict[str, dict]:
    """The attacks on a dense layer (R4), by name, in the order in which cells number them. That in
    the span has cells of its own."""
    weights = {"": {}, " + TV": TV, " + orthogonality": ORTHOGONALITY,
               " + TV + orthogonality": TV | ORTHOGONALITY}
    described = {}
    for objective, name in (("l2", "L2"), ("cosine", "angle")):
        for prior, weight in weights.items():
            described[name + prior] = matching(profile, objective, **weight)
    for name in ("L2", "angle", "L2 + TV + orthogonality", "angle + TV + orthogonality"):
        described[f"{name}, labels inferred"] = described[name] | {"grant": "unknown"}
    described["L2, L-BFGS"] = {"name": "dlg", "iterations": 60, "line_search": True,
                               "labels": "idlg"}
    if loss == "cross_entropy":  # no other loss has a row for each class
        described["closed form"] = {"name": "demix"}
        described["closed form, labels inferred"] = {"name": "demix", "grant": "unknown"}
        described["angle, from the closed form"] = matching(profile, start="demix")
    if profile == "paper":
        return described | {IN_SPAN: SUPERSEDED}
    return {name: attack for name, attack in described.items() if name in QUICK_ATTACKS}


def noise_attacks(profile: str) -> list[dict]:
    """The attacks NOISE_ATTACKS; in the paper profile with one whose rows nothing reads."""
    known = dense_attacks(profile, "cross_entropy")
    described = [known[name] for name in NOISE_ATTACKS]
    return described + [SUPERSEDED] if profile == "paper" else described


def attack_names(profile: str, strategy: str) -> list[str]:
    """The names of `dense_attacks` against a strategy: entry i is attack number i of its cells."""
    return list(dense_attacks(profile, STRATEGIES[strategy][1]))


def mixed(profile: str, strategy: str, victim: dict, batch_size: int, attacks: list[dict],
          clients: int, seed: int) -> dict:
    """A config of `compute.mixing`: `clients` clients, each with a batch mixed by a strategy."""
    draw, loss = STRATEGIES[strategy]
    return {"images": PICTURES[profile], "victim": victim, "loss": loss, "draw": draw,
            "batch_size": batch_size, "attacks": attacks, "clients": [0, clients], "seed": seed}


def of_dense(profile: str, strategy: str, batch_size: int, attacks: list[dict], clients: int,
             seed: int) -> dict:
    """`mixed` with a dense layer for the victim."""
    return mixed(profile, strategy, DENSE, batch_size, attacks, clients, seed)


def gaussian(profile: str) -> list[dict]:
    """The noise that is tried, as configs of a defense."""
    return [{"name": "gaussian", "variance": variance} for variance in VARIANCES[profile]]


def taught(profile: str, training: str, victim: dict, batch_size: int, lr: float,
           seeds: tuple = (0, 1), clients: int = 1) -> dict:
    """A config of `case.accuracy`: a victim trained as TRAINED_UNDER says, without a defense; each
    step averages the updates of `clients` clients, a batch of `batch_size` each."""
    draw, loss = STRATEGIES[TRAINED_UNDER[training]]
    return {"images": PICTURES[profile], "victim": victim,
            "seeds": list(seeds if profile == "paper" else seeds[:1]), "defense": [None],
            "epochs": 1 if profile == "paper" else 3, "lr": lr, "momentum": 0.0,
            "batch_size": batch_size * clients, "loss": loss,
            "same_label": batch_size if draw == "equal" else 1,
            "held_out": 10000 if profile == "paper" else 200}


def in_prose() -> pd.DataFrame:
    """The settings of both profiles in words: a row a profile."""
    return pd.DataFrame({
        "images": {
            "quick": "digits (8x8), faces (25x25)",
            "paper": "MNIST (28x28), LFW (32x32, 62 people), scikit-image's faces"},
        "dense layer": {
            "quick": "8 clients, B = 1, 4; 6 attacks of 200 iterations",
            "paper": "30 clients, B = 1, 2, 4, 6; 17 attacks of 600 iterations"},
        "LeNet": {
            "quick": "8 clients, 4 and 12 channels, B = 2",
            "paper": "8 clients, 4 to 14 channels, B = 1 to 8; LFW: 10 and 24 channels, "
                     "B = 1, 2, 4; five attacks at four points"},
        "trained victims": {
            "quick": "1,200 digits, three epochs, one seed, dense only",
            "paper": "50,000 images of MNIST, one epoch, three seeds (dense) or one (LeNet); three "
                     "learning rates (dense), two (LeNet, and under noise)"},
    })
