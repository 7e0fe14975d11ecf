# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Mixing

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from scipy import stats

from lib import analytic, attacks, client, data, defenses, experiment, metrics, models, plots, results
from lib import run as runs

run = runs.start(profile, seed=seed, device=device, data_root=data_root)
results.start("06_mixing_gradients", run, paper="eloul2022")
plots.style()
plots.plt.rcParams["image.interpolation"] = "nearest"  # crisp pixels; smoothed noise makes large files
pd.options.display.max_colwidth = None

# %% tags=["plan"]
DIGITS, FACES, MNIST, LFW = {"name": "digits"}, {"name": "faces", "classes": 10}, {"name": "mnist"}, {"name": "lfw", "size": 32}
PICTURES = {"quick": DIGITS, "paper": MNIST}
STRATEGIES = {  # name: (how a batch is drawn, loss)
    "CE, random labels": ("random", "cross_entropy"), "CE, equal labels": ("equal", "cross_entropy"),
    "MSE of softmax, random labels": ("random", "mse_softmax"), "MSE of softmax, equal labels": ("equal", "mse_softmax"),
    "MSE of logits, random labels": ("random", "mse"), "MSE of logits, equal labels": ("equal", "mse"),
}
SHORT = {name: f"{loss.replace('cross_entropy', 'ce')}_{draw}" for name, (draw, loss) in STRATEGIES.items()}
TV, ORTHO = {"tv": 1e-3}, {"orthogonality": 1e-2}
ITERATIONS = {"quick": 200, "paper": 600}


def matching(of, objective="cosine", **more):
    return {"name": "mixing_gradients", "iterations": ITERATIONS[of], "objective": objective} | more


def in_span(of, **more):
    return {"name": "in_span", "iterations": {"quick": 20, "paper": 60}[of], "line_search": True, "relative": True, "labels": "idlg", "restarts": {"quick": 4, "paper": 8}[of]} | more


def dense_attacks(of, loss):
    """Name -> attack, of those that R4 takes the best of."""
    weights = {"": {}, " + TV": TV, " + orthogonality": ORTHO, " + TV + orthogonality": TV | ORTHO}
    found = {f"{name}{prior}": matching(of, objective, **w) for objective, name in (("l2", "L2"), ("cosine", "angle")) for prior, w in weights.items()}
    found |= {f"{name}, labels inferred": found[name] | {"grant": "unknown"} for name in ("L2", "angle", "L2 + TV + orthogonality", "angle + TV + orthogonality")}
    found["L2, L-BFGS"] = {"name": "dlg", "iterations": 60, "line_search": True, "labels": "idlg"}
    if loss == "cross_entropy":
        found |= {"closed form": {"name": "demix"}, "closed form, labels inferred": {"name": "demix", "grant": "unknown"}, "angle, from the closed form": matching(of, start="demix")}
    found["in the span (ours)"] = in_span(of)
    keep = ("angle", "angle + TV", "L2 + TV + orthogonality", "angle, labels inferred", "closed form", "in the span (ours)")
    return {name: a for name, a in found.items() if of == "paper" or name in keep}


def mixed(of, victim, draw, loss, B, attacks, clients, **more):
    return {"images": PICTURES[of], "victim": victim, "loss": loss, "draw": draw, "batch_size": B, "attacks": list(attacks), "clients": clients, "seed": seed} | more


def sweep(name, compute, quick, paper, why, minutes):
    return results.sweep(name, compute, quick=quick, paper=paper, minutes={"quick": 0.1, "paper": minutes}, gib=1.5,
                         comparable={"quick": "other, smaller images; fewer attacks and iterations", "paper": why})


# R1, R2 and the error's formula: one dense layer, no optimiser
SCALES = [0.01, 0.1, 0.3, 1.0, 5.0]
def closed(of, **more):
    return {"images": PICTURES[of], "init": "normal", "seed": seed} | more


formula = sweep("formula", experiment.demixing, *[[closed(of, scales=SCALES, batch_sizes=[2, 4, 8], draws=["unique", "equal"], losses=["cross_entropy"], clients=30)] for of in ("quick", "paper")], "ours", 0.1)
r1 = {precision: sweep(f"r1_{precision}", experiment.demixing, *[[closed(of, scales=[5.0], batch_sizes=[4], draws=["unique", "equal"], losses=["cross_entropy"], clients=25, precision=precision)] for of in ("quick", "paper")],
                       "the published batch size, data and initialisation are not known", 0.1) for precision in ("float32", "float64")}
r2 = sweep("r2", experiment.demixing, *[[closed(of, scales=[0.3, 5.0], batch_sizes=[4], draws=["random"], losses=["cross_entropy", "mse"], clients=250)] for of in ("quick", "paper")],
           "the published batch size, data and initialisation are not known", 0.1)

# R3: reconstructions from hopeless to exact
STAGES = {"quick": [5, 30, 200], "paper": [10, 40, 100, 200, 600]}
sheets = {
    which: sweep(f"r3_{which}", experiment.mixing, *[[mixed(of, {"name": "lenet", "channels": 12}, "random", "cross_entropy", 2, [matching(of, iterations=n, **w) for w in (TV, {}) for n in STAGES[of]], [0, 6], shown=6)
                 | {"images": {"digits": PICTURES[of], "faces": FACES}[which]}] for of in ("quick", "paper")], "scikit-image's grey faces instead of LFW" if which == "faces" else True, 2)
    for which in ("digits", "faces")
}

# R4: dense layer, (strategy, profile's batch sizes)
BATCHES = {"quick": [1, 2, 4], "paper": [1, 2, 4, 6]}
DENSE = {"name": "dense"}
r4 = {
    name: sweep(f"r4_{SHORT[name]}", experiment.mixing, *[[mixed(of, DENSE, draw, loss, B, dense_attacks(of, loss).values(), [0, {"quick": 8, "paper": 30}[of]], shown=1) for B in BATCHES[of]] for of in ("quick", "paper")],
                "the published attacks' optimiser, weights and number are not known; n = 30 clients", 8)
    for name, (draw, loss) in STRATEGIES.items()
}
# ours: the attacker knows more, sees more rounds, or the victim is trained
KNOWS = {
    "labels known": in_span, "equal labels known to be equal": lambda of: in_span(of, grant="equal", labels="idlg_bias"), "labels counted from the bias gradient": lambda of: in_span(of, grant="unknown", labels="analytic"),
}
SEES = {"one round": {}, "three rounds": {"rounds": 3, "round_lr": 0.01}}
adaptive = {
    (name, sees): sweep(
        f"adaptive_{SHORT[name]}_{sees}".replace(" ", "_"), experiment.mixing,
        *[[mixed(of, DENSE, draw, loss, B, [how(of) for what, how in KNOWS.items() if (what == "labels known" or (loss == "cross_entropy" and not more and ("equal" in what) == (draw == "equal")))], [0, {"quick": 6, "paper": 10}[of]], **more)
           for B in {"quick": [2, 4], "paper": [2, 3, 4, 6, 8]}[of]] for of in ("quick", "paper")], "ours", 2)
    for name, (draw, loss) in STRATEGIES.items() for sees, more in SEES.items() if name in ("CE, random labels", "CE, equal labels", "MSE of logits, equal labels")
}
trained = {
    name: sweep(f"trained_{SHORT[name]}", experiment.mixing, *[[mixed(of, DENSE | {"seed": seed}, draw, loss, 4, [*([{"name": "demix"}] if loss == "cross_entropy" else []), matching(of), matching(of, **TV), in_span(of)], [0, {"quick": 6, "paper": 20}[of]],
                train={"epochs": 2, "batch_size": 32, "lr": 0.02})] for of in ("quick", "paper")], "ours", 1)
    for name, (draw, loss) in STRATEGIES.items() if loss == "cross_entropy"
}

# R5, R6: accuracy of victims that are trained under each strategy
TRAINABLE = {"name": "lenet", "activation": "tanh", "init": "default"}  # with DLG's weights, U(-0.5, 0.5), the MSE of a softmax teaches nothing
RATES = {"dense": [0.003, 0.03], "lenet": [0.03, 0.3]}
POINTS = {"quick": [(2, 6), (4, 8)], "paper": [(2, 6), (4, 8), (6, 10), (8, 12)]}  # (batch size, channels)
TAUGHT = {"CE": ("CE, random labels", 0), "CE, equal labels": ("CE, equal labels", 1), "MSE of softmax": ("MSE of softmax, random labels", 0), "MSE of logits": ("MSE of logits, random labels", 0)}


def taught(of, victim, name, B, lr, defense=(None,), seeds=(0, 1), clients=1):
    _, loss = STRATEGIES[TAUGHT[name][0]]
    return {"images": PICTURES[of], "victim": victim, "seeds": list(seeds)[: 1 if of == "quick" else None], "defense": list(defense), "epochs": 1 if of == "paper" else 3, "lr": lr, "momentum": 0.0,
            "batch_size": B * clients, "loss": loss, "same_label": B if TAUGHT[name][1] else 1, "held_out": 10000 if of == "paper" else 200}


r5 = {
    name: sweep(f"r5_{name}".lower().replace(", ", "_").replace(" ", "_"), experiment.accuracy,
                *[[taught(of, DENSE, name, B, lr) for B in {"quick": [4], "paper": [2, 4, 6]}[of] for lr in RATES["dense"]] for of in ("quick", "paper")], "the published training is not known; two seeds, one epoch", 5)
    for name in TAUGHT
}
averaged = sweep("r5_averaged", experiment.accuracy, *[[taught(of, DENSE, "CE, equal labels", 4, 10 * lr, clients=10) for lr in RATES["dense"]] for of in ("quick", "paper")], "ours", 1)
r6_accuracy = {
    name: sweep(f"r6_accuracy_{name}".lower().replace(", ", "_").replace(" ", "_"), experiment.accuracy,
                *[[taught(of, TRAINABLE | {"channels": ch}, name, B, lr, seeds=(0,)) for B, ch in POINTS[of][: 1 if of == "quick" else None] for lr in RATES["lenet"][1 if of == "quick" else 0:]] for of in ("quick", "paper")], "the published training is not known; one seed, one epoch", 4)
    for name in TAUGHT
}

# R6, R7: LeNet, recovery by batch size and channels
LENET_ATTACKS = {"angle": {}, "angle + TV": TV}
GRID = {
    "digits": {"quick": ([4, 12], [1, 2]), "paper": ([4, 6, 8, 10, 12, 14], [1, 2, 4, 6, 8])},
    "LFW": {"quick": ([], []), "paper": ([10, 16, 24], [1, 2, 4])},
}
R7 = ("MSE of softmax, random labels", "CE, equal labels", "CE, random labels")
r7 = {
    (which, name): sweep(
        f"r7_{which}_{SHORT[name]}".lower(), experiment.mixing,
        *[[mixed(of, {"name": "lenet", "channels": ch}, *STRATEGIES[name], B, [matching(of, **TV)], [0, 8], pool={"digits": 80, "LFW": 200}[which]) | {"images": PICTURES[of] if which == "digits" else LFW}
           for ch in GRID[which][of][0] for B in GRID[which][of][1]] for of in ("quick", "paper")], "n = 8 clients; LeNet's details and the attacks are not known", 14 if which == "digits" else 10)
    for which in GRID for name in R7
}
r6 = {
    name: sweep(f"r6_{SHORT[TAUGHT[name][0]]}", experiment.mixing, *[[mixed(of, {"name": "lenet", "channels": ch}, *STRATEGIES[TAUGHT[name][0]], B, [matching(of, **w) for w in LENET_ATTACKS.values()], [0, 8])
                                                                      for B, ch in POINTS[of][: 1 if of == "quick" else None]] for of in ("quick", "paper")], "n = 8 clients; LeNet's details and the attacks are not known", 4)
    for name in TAUGHT
}

# ours: noise against mixing
VARIANCES = [1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
noisy = sweep("noise", experiment.mixing, *[[mixed(of, DENSE, "random", "cross_entropy", 4, [{"name": "demix"}, matching(of), matching(of, **TV), in_span(of)], [0, {"quick": 6, "paper": 20}[of]], defense={"name": "gaussian", "variance": v})
                                             for v in VARIANCES[:: 1 if of == "paper" else 3]] for of in ("quick", "paper")], "ours", 3)
noisy_accuracy = sweep("noise_accuracy", experiment.accuracy, *[[taught(of, DENSE, "CE", 4, lr, [{"name": "gaussian", "variance": v} for v in VARIANCES[:: 1 if of == "paper" else 3]], seeds=(0,)) for lr in RATES["dense"]] for of in ("quick", "paper")], "ours", 10)
