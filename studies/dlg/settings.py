"""What the experiments of notebook 01 are made of: image sets, iterations, networks, defenses."""

# --- image sets, under the paper's names
QUICK_IMAGES = {  # what the quick profile takes in their place
    "MNIST": {"name": "digits"},
    "CIFAR": {"name": "photos", "size": 16},
    "LFW": {"name": "faces", "size": 16, "classes": 10},
}
PAPER_IMAGES = {
    "MNIST": {"name": "mnist"},
    "CIFAR": {"name": "cifar10", "classes": 100},  # 100 outputs make the official network
    "LFW": {"name": "lfw", "size": 32},
    "LFW (100 faces)": {"name": "faces", "classes": 10},
    "CIFAR-100": {"name": "cifar100"},
    "SVHN": {"name": "svhn"},
}
DIGITS = QUICK_IMAGES["MNIST"]
PHOTOS = QUICK_IMAGES["CIFAR"]
COLOUR = PAPER_IMAGES["CIFAR"]
SMALL_COLOUR = COLOUR | {"size": 16}
CIFAR10 = {"name": "cifar10"}  # under its own ten labels: the victims of Table 3 learn them
STRIDE = {"lfw": 20}  # the folder lists 20 images a person: take one of each

# --- iterations
FILM = {  # the columns of Figure 3
    "quick": [0, 3, 5, 10, 20, 40],
    "paper": [0, 10, 50, 100, 500],
}
RECORD = {  # all iterations at which the images are kept
    "quick": [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40],
    "paper": [0, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 300, 500],
}
CLIENTS_OF_A_PART = 16  # so that an interrupted run loses little

# --- networks
LENET = {"name": "lenet"}
WIDE_LENET = LENET | {"channels": 24}
SIGMOID_RESNET = {"name": "resnet", "depth": 20, "activation": "sigmoid", "strides": False}
TANH_RESNET = {"name": "resnet", "depth": 20, "activation": "tanh", "width": 8}

# --- defenses
NOISE = [10.0**-i for i in (4, 3, 2, 1)]  # the paper's numbers, here the variances of the noise
PANELS = {  # of Figure 7
    "a": {"none": None} | {f"Gaussian {v:.0e}": {"name": "gaussian", "variance": v} for v in NOISE},
    "b": {f"Laplacian {v:.0e}": {"name": "laplacian", "variance": v} for v in NOISE},
    "c": {f: {"name": "precision", "format": f} for f in ("float16", "bfloat16", "int8")},
    "d": {f"pruned {p:.0%}": {"name": "prune", "p": p} for p in (0.01, 0.1, 0.2, 0.3, 0.5, 0.7)},
}
# If the paper's 10^-4 to 10^-1 were standard deviations, the variances would be 10^-8, 10^-6,
# 10^-4, 10^-2: the two that the panels lack are run too.
FINER_NOISE = (1e-8, 1e-6)
FINER_GAUSSIAN = {f"Gaussian {v:.0e}": {"name": "gaussian", "variance": v} for v in FINER_NOISE}
FINER_LAPLACIAN = {f"Laplacian {v:.0e}": {"name": "laplacian", "variance": v} for v in FINER_NOISE}
FINER = FINER_GAUSSIAN | FINER_LAPLACIAN
DEFENSES = (  # in the order of the tables
    {"none": None} | FINER_GAUSSIAN | PANELS["a"] | FINER_LAPLACIAN | PANELS["b"]
    | PANELS["c"] | PANELS["d"])
LIVE = ["none", "Gaussian 1e-04", "Gaussian 1e-02", "int8", "pruned 70%"]  # in the quick profile
LEARNT = [  # under these a network that learns is trained, those first that decide claims
    "none", "Gaussian 1e-02", "Gaussian 1e-04", "pruned 30%", "Laplacian 1e-04", "int8",
    "Gaussian 1e-03", "Laplacian 1e-02", "pruned 70%", "float16"]
MORE_CLIENTS = ["none", "pruned 10%", "pruned 20%", "pruned 30%"]  # undecided on eight

# --- Table 2
READER = "D times 1000, line search"  # the search that reads most
SEARCHES = {  # how sentences are searched: with a line search, and the factor on D
    "plain L-BFGS": (False, 1.0),
    "D times 1000": (False, 1e3),
    READER: (True, 1e3),
    "line search": (True, 1.0),
}

# --- beyond the paper
ACTIVATIONS = ("sigmoid", "tanh", "gelu", "relu")
SCALES = (0.1, 0.2, 0.5, 1.0)
COUNTED = {  # (kernel, channels) -> a network whose equations are counted, and that is attacked
    (kernel, channels): LENET | {
        "kernel": kernel, "channels": channels, "activation": "tanh", "scale": 0.1}
    for kernel in (3, 5) for channels in (3, 4, 6, 8, 10, 12, 16)}


def dlg(iterations: int, **options) -> dict:
    """The attack of the paper (Algorithm 1) as a config: `options` are those of `attacks.dlg`."""
    return {"name": "dlg", "iterations": iterations} | options


def searching(iterations: int) -> dict:
    """The same with a back-tracking line search, which is ours."""
    return dlg(iterations, line_search=True)


def experiment(profile: str, images: dict, clients: list[int], seed: int, **more) -> dict:
    """The config of one part of a sweep, an argument list of `case.attack`: DLG on LeNet, images
    kept at the iterations of `RECORD`, but for what `more` says."""
    return {
        "images": images,
        "victim": LENET,
        "attack": dlg(FILM[profile][-1]),
        "record": RECORD[profile],
        "stride": STRIDE.get(images["name"], 1),
        "clients": clients,
        "seed": seed,
    } | more
