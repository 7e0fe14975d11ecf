"""The sweeps of the paper's own tables and figures, for `plan.declare`.

Networks of the paper's own width have its settings, and are left to a GPU. Narrow relatives, with
a tenth of the iterations or fewer, stand beside them; a LeNet has the paper's iterations where a
CPU affords them.
"""

from studies.inverting_gradients.configs import (
    CIFAR10,
    CIFAR100,
    COSINE,
    LITTLE_TV,
    PHOTOS,
    SEARCHES,
    SMALL_PHOTOS,
    TRAINED_ON,
    attacked,
    averaging,
    convnet,
    four_stages,
    lenet,
    resnet,
    sweep,
    training,
)
from studies.store import Sweep

STRIP = [0, 50, 200, 800, 1800, 3000, 4800]  # iterations of the attack that is seen closely

# Table 1: seed of a LeNet -> how many images are attacked behind it
COSINE_NETWORKS = {"untrained": {0: 100, 1: 30, 2: 30}, "trained": {0: 100, 1: 30}}
EUCLIDEAN_NETWORKS = {0: 24, 1: 8}

# Table 2: column -> epochs E, images n, local batch B
COLUMNS = {
    "E=1, n=4, B=2": (1, 4, 2),
    "E=1, n=8, B=2": (1, 8, 2),
    "E=1, n=8, B=8": (1, 8, 8),
    "E=5, n=1, B=1": (5, 1, 1),
    "E=5, n=8, B=8": (5, 8, 8),
}

# Figure 4: (depth, width)
WIDE_RESNETS = [(18, 16), (18, 64), (18, 128), (34, 64), (50, 64)]
NARROW_RESNETS = [(18, 4), (18, 8), (18, 16), (18, 32), (34, 8), (50, 8)]

# Figure 5: network -> (local steps, local learning rate)
LOCAL_TRAINING = {
    "LeNet": [(1, 1e-4), (4, 1e-4), (20, 1e-4), (100, 1e-4)],
    "ConvNet8": [(4, 1e-4), (5, 1e-2), (5, 1e-1)],
    "ConvNet64": [(4, 1e-4), (100, 1e-4), (5, 1e-2), (5, 1e-1)],
}

# Table 3: row -> the search
ABLATION = {
    "basic": COSINE,
    "L2 instead of cosine": COSINE | {"objective": "l2"},
    "L2, without TV (ours)": {"objective": "l2", "tv": 0},
    "without TV": {"tv": 0},
    "L-BFGS instead of Adam": COSINE | {"optimizer": "lbfgs"},
    "cosine per layer (ours)": COSINE | {"objective": "layer_cosine"},
    "with BatchNorm statistics (ours)": COSINE | {"bn": 1e-3},
    "Adam without signs (ours)": COSINE | {"optimizer": "adam"},
}


# --- Table 1 and Figure 2: two searches, two networks, trained or not


def table1(seed: int) -> dict:
    """Table 1 and Figure 2: two searches, two networks, untrained and trained."""
    sweeps = {}
    for state in ("untrained", "trained"):
        sweeps["LeNet", state, "cosine"] = _lenet_cosine(state, seed)
        sweeps["LeNet", state, "Euclid"] = _lenet_euclidean(state, seed)
        for row in SEARCHES:
            sweeps["ResNet20-4", state, row] = _resnet20_wide(state, row, seed)
        for row in SEARCHES:
            sweeps["ResNet20-1", state, row] = _resnet20_narrow(state, row, seed)
    return sweeps


def _lenet_cosine(state: str, seed: int) -> Sweep:
    """Table 1, LeNet, the proposed search. The quick run of the untrained one is seen closely."""
    if state == "untrained":
        quick = attacked(PHOTOS, lenet(seed), 4800, [0, 8], seed, record=STRIP)
    else:
        quick = attacked(PHOTOS, lenet(seed), 600, [0, 4], seed, **training(state, "photos"))
    paper = [attacked(CIFAR10, lenet(network), 4800, [0, n], seed, **training(state, "lenet"))
             for network, n in COSINE_NETWORKS[state].items()]
    return sweep(f"t1_lenet_{state}_cosine", [quick], paper, 12)


def _lenet_euclidean(state: str, seed: int) -> Sweep:
    """Table 1, LeNet, the search of DLG with labels known."""
    search = SEARCHES["Euclid"]
    quick = attacked(PHOTOS, lenet(seed), 15, [0, 4], seed, search, **training(state, "photos"))
    paper = [
        attacked(CIFAR10, lenet(network), 300, [0, n], seed, search, **training(state, "lenet"))
        for network, n in EUCLIDEAN_NETWORKS.items()]
    return sweep(f"t1_lenet_{state}_euclid", [quick], paper, 15,
                 "n = 32 images and networks instead of 100")


def _resnet20_wide(state: str, row: str, seed: int) -> Sweep:
    """Table 1, the paper's own ResNet20-4."""
    iterations = {"cosine": 4800, "Euclid": 300}[row]
    paper = attacked(CIFAR10, resnet(64, 20, seed), iterations, [0, 100], seed, SEARCHES[row],
                     **training(state, "gpu"))
    return sweep(f"t1_resnet20-4_{state}_{row}".lower(), [], [paper], 60)


def _resnet20_narrow(state: str, row: str, seed: int) -> Sweep:
    """A narrow relative of Table 1's ResNet20-4, which a CPU can attack."""
    n, iterations, quick_iterations = {"cosine": (8, 400, 200), "Euclid": (4, 20, 8)}[row]
    search, quick = SEARCHES[row], []
    if state == "trained":
        quick = [attacked(SMALL_PHOTOS, resnet(8, 8, seed), quick_iterations, [0, 4], seed,
                          search, **training(state, "photos"))]
    paper = attacked(CIFAR10, resnet(16, 20, seed), iterations, [0, n], seed, search,
                     **training(state, "narrow", first=10000))
    return sweep(f"t1_resnet20-1_{state}_{row}".lower(), quick, [paper], 6,
                 f"width 16 instead of 64; n = {n}; {iterations} iterations")


# --- Table 2 and Figure 5: federated averaging


def table2(seed: int) -> dict:
    """Table 2: federated averaging, the paper's ConvNet, a narrow one and a LeNet."""
    sweeps = {}
    for column in COLUMNS:
        sweeps["ConvNet", column] = _averaged_convnet(column, seed)
        sweeps["narrow", column] = _averaged_narrow(column, seed)
        sweeps["LeNet", column] = _averaged_lenet(column, seed)
    return sweeps


def _column_name(column: str) -> str:
    epochs, images, local_batch = COLUMNS[column]
    return f"t2_e{epochs}_n{images}_b{local_batch}"


def _column_clients(column: str) -> int:
    """How many clients a CPU attacks: fewer where forty images pass through the network."""
    epochs, images, _ = COLUMNS[column]
    return 4 if epochs * images < 40 else 2


def _averaged_convnet(column: str, seed: int) -> Sweep:
    """Table 2, the paper's ConvNet: the first 100 images, dealt to clients of n."""
    clients = [0, 100 // COLUMNS[column][1]]
    paper = attacked(CIFAR10, convnet(64, seed), 8000, clients, seed, LITTLE_TV,
                     **averaging(*COLUMNS[column]))
    return sweep(_column_name(column), [], [paper], 90)


def _averaged_narrow(column: str, seed: int) -> Sweep:
    """Table 2, a narrow ConvNet; the last column is too much for a CPU."""
    clients, paper = _column_clients(column), []
    if column != "E=5, n=8, B=8":
        paper = [attacked(CIFAR10, convnet(8, seed), 300, [0, clients], seed, LITTLE_TV,
                          **averaging(*COLUMNS[column]))]
    return sweep(f"{_column_name(column)}_narrow", [], paper, 4,
                 f"ConvNet of width 8 instead of 64; {clients} clients; 300 iterations")


def _averaged_lenet(column: str, seed: int) -> Sweep:
    """Table 2 with a LeNet."""
    clients, steps, quick = _column_clients(column), averaging(*COLUMNS[column]), []
    if column == "E=1, n=4, B=2":
        quick = [attacked(SMALL_PHOTOS, lenet(seed), 150, [0, 4], seed, **steps)]
    paper = attacked(CIFAR10, lenet(seed), 2400, [0, clients], seed, **steps)
    return sweep(f"{_column_name(column)}_lenet", quick, [paper], 3,
                 f"LeNet instead of ConvNet; {clients} clients; 2,400 iterations")


def fig5(seed: int, five_steps: Sweep) -> dict:
    """Figure 5. five_steps: the sweep of Table 2 that is the same attack, at the paper's rate."""
    sweeps = {("ConvNet8", 5, 1e-4): five_steps}
    for network, settings in LOCAL_TRAINING.items():
        for steps, rate in settings:
            sweeps[network, steps, rate] = _local_steps(network, steps, rate, seed)
    return sweeps


def _local_steps(network: str, steps: int, rate: float, seed: int) -> Sweep:
    """Figure 5: a client of one image, which takes so many steps of so large a rate."""
    local = averaging(steps, 1, 1, rate)
    name, quick = f"fig5_{network}_{steps}_{rate:.0e}".lower(), []
    if network == "ConvNet64":
        paper = attacked(CIFAR10, convnet(64, seed), 8000, [0, 10], seed, LITTLE_TV, **local)
        return sweep(name, quick, [paper], 60)
    if network == "ConvNet8":
        paper = attacked(CIFAR10, convnet(8, seed), 300, [0, 4], seed, LITTLE_TV, **local)
    else:
        paper = attacked(CIFAR10, lenet(seed), 300, [0, 4], seed, **local)
    if (network, steps) == ("LeNet", 1):
        quick = [attacked(SMALL_PHOTOS, lenet(seed), 150, [0, 4], seed, **local)]
    return sweep(name, quick, [paper], 2,
                 f"{network} instead of ConvNet; n = 4; 300 iterations")


# --- Figures 1, 3, 4 and 6: larger images, wider and deeper networks, larger batches


def fig1(seed: int) -> dict:
    """Figures 1 and 3: photographs that may be shown, at ImageNet's size."""
    other = "photographs that are not ImageNet's"
    pretrained = f"{other}, normalised with their own mean and std; random labels"
    untrained = f"untrained, 112 pixels, 300 iterations, one start; {other}"
    images = {"name": "photos", "size": 224, "classes": 1000}
    smaller = {"name": "photos", "size": 112, "classes": 10}

    def photographs(name: str, images: dict, depth: int, iterations: int, restarts: int,
                    minutes: float, comparable: str, **weights) -> Sweep:
        victim = four_stages(64, depth, seed, stem="imagenet", **weights)
        paper = attacked(images, victim, iterations, [0, 2], seed, {"tv": 1e-1}, restarts=restarts)
        return sweep(name, [], [paper], minutes, comparable)

    return {
        "ResNet-18, pretrained": photographs("fig1_resnet18_pretrained", images, 18, 24000, 8, 60,
                                             pretrained, pretrained=True),
        "ResNet-152, pretrained": photographs("fig1_resnet152_pretrained", images, 152, 24000, 8,
                                              400, pretrained, pretrained=True),
        "ResNet-18, untrained": photographs("fig1_resnet18_untrained", smaller, 18, 300, 1, 8,
                                            untrained)}


def fig4(seed: int) -> dict:
    """Figure 4: width and depth. A narrow client has a network of its own, so that no single draw
    decides."""
    sweeps = {}
    for depth, width in WIDE_RESNETS:
        paper = attacked(CIFAR10, four_stages(width, depth, seed), 4800, [0, 10], seed)
        sweeps["paper", f"ResNet-{depth}, width {width}"] = sweep(
            f"fig4_paper_{depth}_{width}", [], [paper], 30)
    for depth, width in NARROW_RESNETS:
        quick = []
        if (depth, width) == (18, 4):
            quick = [attacked(SMALL_PHOTOS, four_stages(4, 18, seed), 60, [0, 4], seed, chunk=1)]
        paper = attacked(CIFAR10, four_stages(width, depth, None), 300, [0, 8], seed)
        sweeps["narrow", f"ResNet-{depth}, width {width}"] = sweep(
            f"fig4_narrow_{depth}_{width}", quick, [paper], 2,
            "narrow networks; n = 8; 300 iterations")
    return sweeps


def fig6(seed: int) -> dict:
    """Figure 6: a large batch. Labels are known and differ, so each image has its place and none
    is matched."""
    unique = {"unique_labels": True, "shown": 1, "match": False}
    hundred, ten = {"batch_size": 95} | unique, {"batch_size": 10} | unique
    quick = attacked(SMALL_PHOTOS, lenet(seed), 400, [0, 1], seed, **ten)
    paper = {
        "resnet": attacked(CIFAR100, resnet(160, 32, seed), 24000, [0, 1], seed, **hundred),
        "lenet": attacked(CIFAR100, lenet(seed), 2400, [0, 1], seed, **hundred),
        "ten, lenet": attacked(CIFAR10, lenet(seed), 4800, [0, 3], seed, **ten | {"shown": 3}),
        "ten, resnet": attacked(CIFAR10, resnet(8, 32, seed), 600, [0, 1], seed, **ten)}
    return {
        "CIFAR-100, ResNet32-10": sweep("fig6_cifar100", [], [paper["resnet"]], 400,
                                        "untrained; 95 classes"),
        "CIFAR-100, LeNet": sweep("fig6_cifar100_lenet", [], [paper["lenet"]], 4,
                                  "LeNet, untrained; 95 classes; 2,400 iterations"),
        "ten classes, LeNet": sweep("fig6_ten_lenet", [quick], [paper["ten, lenet"]], 2,
                                    "ten images instead of 100; LeNet, untrained"),
        "ten classes, ResNet-32, width 8": sweep(
            "fig6_ten", [], [paper["ten, resnet"]], 4,
            "ten images instead of 100; width 8 instead of 160; 600 iterations; untrained")}


# --- Table 3 and the dishonest server: trained victims


def table3(seed: int) -> dict:
    """Table 3. What the paper does not ask is tried with LeNet only; LeNet has no BatchNorm."""
    sweeps = {}
    for row, search in ABLATION.items():
        in_paper, batch_norm = "(ours)" not in row, "bn" in search
        if in_paper:
            sweeps["paper", row] = _ablated_wide(row, seed)
        if in_paper or batch_norm:
            sweeps["narrow", row] = _ablated_narrow(row, seed)
        if not batch_norm:
            sweeps["LeNet", row] = _ablated_lenet(row, seed)
    return sweeps


def _row_name(row: str) -> str:
    words = row.split(" (")[0].lower()
    return "t3_" + words.replace(" ", "_").replace(",", "")


def _is_lbfgs(row: str) -> bool:
    """An iteration of L-BFGS has up to twenty gradients, so it gets a twentieth of them."""
    return ABLATION[row].get("optimizer") == "lbfgs"


def _ablated_wide(row: str, seed: int) -> Sweep:
    """Table 3, the paper's own ResNet-18."""
    iterations = 300 if _is_lbfgs(row) else 4800
    paper = attacked(CIFAR10, four_stages(64, 18, seed), iterations, [0, 10], seed, ABLATION[row],
                     **training("trained", "gpu"))
    return sweep(_row_name(row), [], [paper], 30)


def _ablated_narrow(row: str, seed: int) -> Sweep:
    """Table 3, a narrow ResNet-18."""
    search, quick = ABLATION[row], []
    if row in ("basic", "L2 instead of cosine"):
        quick = [attacked(SMALL_PHOTOS, resnet(8, 8, seed), 200, [0, 4], seed, search,
                          **training("trained", "photos"))]
    paper = attacked(CIFAR10, four_stages(8, 18, seed), 20 if _is_lbfgs(row) else 400, [0, 10],
                     seed, search, **training("trained", "narrow"))
    return sweep(f"{_row_name(row)}_narrow", quick, [paper], 3,
                 "width 8 instead of 64; 400 iterations (L-BFGS 20)")


def _ablated_lenet(row: str, seed: int) -> Sweep:
    """Table 3 with a LeNet."""
    paper = attacked(CIFAR10, lenet(seed), 120 if _is_lbfgs(row) else 2400, [0, 24], seed,
                     ABLATION[row], **training("trained", "lenet"))
    return sweep(f"{_row_name(row)}_lenet", [], [paper], 3 if _is_lbfgs(row) else 1,
                 "LeNet; n = 24; 2,400 iterations (L-BFGS 120)")


def server(kind: str, seed: int) -> Sweep:
    """The appendix: an active server permutes the classes of a model trained on these images."""
    threat = {"labels": "known", "server": kind}
    quick = attacked(SMALL_PHOTOS | TRAINED_ON, resnet(8, 8, seed), 200, [0, 4], seed,
                     threat=threat, **training("trained", "photos", epochs=60))
    paper = attacked(CIFAR10 | TRAINED_ON, four_stages(8, 18, seed), 400, [0, 10], seed,
                     threat=threat, **training("trained", "memorised"))
    return sweep(f"active_{kind}", [quick], [paper], 3, "no published numbers; width 8")
