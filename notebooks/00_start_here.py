# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here
#
# In federated learning a client trains on data that never leave it and shares only the *gradient* of its loss. This notebook shows, in a minute, that the gradient can give
# the data back; then what the words mean, which notebook answers which question, how to attack **your own** picture, network and update, and all attacks of these notebooks side by side.
#
# You need PyTorch's basics and no more. Every cell runs on a laptop, on images that ship with scikit-learn and scikit-image.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display
from PIL import Image
from torch import nn

from lib import attacks, client, data, metrics, models

from lib import run as runs
from studies import case, plots, report, store
from studies.start_here.compute import compared

run = runs.start(profile, seed=seed, device=device, data_root=data_root)
report.start("00_start_here", run)
plots.style()
plots.plt.rcParams["image.interpolation"] = "nearest"
pd.options.display.max_colwidth = None

# %% [markdown]
# ## The sixty-second attack
#
# One client, one private picture, one network. `share` computes what the client would send; `reconstruct` sees that and nothing else.

# %%
photos = data.load("photos", size=24)  # crops of ten photographs, 24 x 24 pixels
batch = photos.clients(1, indices=[[photos.labels.tolist().index(photos.classes.index("chelsea"))]])
network = models.lenet(photos, seed=seed)
update = client.share(network, batch)  # all that leaves the client
LOOKED_AT = [0, 5, 10, 15, 20, 40]
guess = attacks.reconstruct(update, attacks.idlg(40), restarts=2, seed=seed, record=LOOKED_AT)
guess

# %%
best = int(guess.loss[0].argmin())  # of the two starts: chosen by the objective, never by the truth
frames = torch.stack([*(guess.history.images[i][0, best, 0].cpu() for i in LOOKED_AT), batch.images[0, 0]])
columns = ["start", *(f"{i} iterations" for i in LOOKED_AT[1:]), "private"]
report.save_figure(plots.sheet(frames[None], column_labels=columns), "sixty_seconds", "Image sheet, one row: the dummy image of one attack, from coloured noise at the start through growing numbers of iterations, and the private picture, a crop around a cat's eye, last. Noise turns into the picture.")
score = metrics.score(guess.images.cpu(), batch.images).iloc[0]
display(Markdown(f"*LeNet with random weights, the better of two starts. Mean squared error {score.mse:.0e}, PSNR {score.psnr:.0f} dB; {guess.seconds:.0f} s on {runs.device_name(run.device)}.*"))

# %% [markdown]
# ## What happened
#
# The attacker knows the network $F$ with its weights $W$ (the server sent them) and the shared gradient $\nabla W$. It invents a *dummy image* $x'$, computes the gradient that $x'$ would give, and moves $x'$ until the two agree:
#
# $$x'^\star = \arg\min_{x'} \; \left\lVert \nabla_W\, \ell\big(F(x', W), y\big) - \nabla W \right\rVert^2$$
#
# The label $y$ was read off the sign of the last layer's gradient (notebook 02). Nothing was trained, and nothing but the gradient was seen.

# %%
fig, ax = plots.axes(height=0.52)
ax.set(xlim=(0, 11), ylim=(0, 5.7), xticks=[], yticks=[])
ax.axis("off")
look = {"boxstyle": "round,pad=0.25", "fc": "0.96", "ec": "0.4"}


def box(x, y, width, height, title):
    ax.add_patch(plots.plt.Rectangle((x, y), width, height, fc="0.97", ec="0.45", lw=0.8))
    ax.text(x + width / 2, y + height - 0.12, title, ha="center", va="top", fontsize=7.5, weight="bold")


def picture(x, y, image, under, side=1.15):
    ax.imshow(np.asarray(image).clip(0, 1).transpose(1, 2, 0).squeeze(), extent=(x, x + side, y, y + side), cmap="cividis", zorder=2)
    ax.text(x + side / 2, y - 0.1, under, ha="center", va="top", fontsize=6.5)


def arrow(x0, y0, x1, y1, text="", style="-|>", dx=0, dy=0.14):
    ax.annotate("", (x1, y1), (x0, y0), arrowprops={"arrowstyle": style, "color": "0.25", "lw": 1.1})
    ax.text((x0 + x1) / 2 + dx, (y0 + y1) / 2 + dy, text, ha="center", va="bottom", fontsize=6.5)


half = guess.history.images[LOOKED_AT[1]][0, best].cpu()  # a dummy image on its way
certain = 1e4 * nn.functional.one_hot(guess.labels, update.num_classes).float()
two_gradients = [g["0.weight"][0].abs().flatten(1).cpu() for g in (update.gradients, attacks.dummy_gradients(update, half[None].to(update.device), certain))]
stripes, others = ((g / g.max())[None, :, :60].expand(1, -1, -1) for g in two_gradients)
box(0.05, 2.1, 2.5, 3.45, "client")
picture(0.72, 3.45, batch.images[0, 0], "private batch:\nimages and labels")
box(7.0, 0.1, 3.95, 5.45, "server = attacker")
picture(7.35, 3.45, half[0], "dummy image $x'$")
picture(9.45, 3.45, others, "its gradient")
picture(7.35, 0.95, frames[-2].cpu(), "reconstruction")
picture(9.45, 0.75, stripes, "shared update")
arrow(8.55, 4.05, 9.4, 4.05)
ax.text(10.02, 2.5, "compare\n(objective)", ha="center", va="center", fontsize=6.5)
arrow(10.02, 3.05, 10.02, 2.8)
arrow(10.02, 1.95, 10.02, 2.2)
arrow(9.35, 2.6, 8.72, 3.6)
ax.text(8.85, 2.62, "move $x'$,\nrepeat", ha="right", va="center", fontsize=6.5)
picture(4.2, 3.45, stripes, "shared update:\none number a weight")
arrow(2.6, 4.05, 4.15, 4.05, "defense?")
arrow(5.4, 4.05, 6.95, 4.05)
arrow(6.95, 2.4, 2.6, 2.4, "network and weights (public)")
ax.text(3.5, 0.72, "threat model: what the attacker is given besides\n(labels? BatchNorm statistics? similar images?\nthe defense? several rounds?)", ha="center", va="center", fontsize=6.5, bbox=look)
ax.set_aspect("equal")
report.save_figure(fig, "threat_model", "Diagram. A client on the left holds a private picture and sends a shared update, possibly through a defense, to a server on the right, which is the attacker and has sent the network and its weights. The attacker compares the gradient of a dummy image with the shared update, moves the dummy image and repeats; it ends as the reconstruction. Below: the threat model says what else the attacker is given.")

# %% [markdown]
# ## What the attacker is given stands on a card
#
# Papers differ most in what they grant without saying so. Here an update carries its assumptions, every notebook prints them, and the default `ThreatModel()` grants nothing but the batch size:

# %%
pd.Series(update.card(), name="assumptions").to_frame()

# %% [markdown]
# An attack that needs more than it is given does not run and quietly do worse: it says what is missing. A batch of two, and a label rule made for one image:

# %%
two = client.share(network, photos.clients(1, batch_size=2))


def said(what):
    """The error that a call raises, at most 300 letters of it."""
    try:
        what()
    except Exception as error:
        text = str(error).replace(str(run.data_root), "data")
        print(f"{type(error).__name__}: {text[:300]}{'...' if len(text) > 300 else ''}")


said(lambda: attacks.reconstruct(two, attacks.idlg(10)))

# %% [markdown]
# ## Vocabulary
#
# One word a thing, in all notebooks and in `lib`:

# %%
WORDS = {
    "client": "holds the private batch; K of them are attacked at once, each on its own",
    "private batch": "B images with labels, of shape (K, B, channels, height, width), pixels in [0, 1]",
    "shared update": "what leaves the client: gradients, or the difference of weights after local steps; P numbers",
    "server, attacker": "honest but curious unless said otherwise: follows the protocol and looks at updates",
    "victim model": "the network whose gradient is attacked; random weights unless it says trained",
    "dummy image, dummy label": "what the attacker moves",
    "objective": "distance between dummy and shared gradients, D: squared error (L2) or one cosine over all of it",
    "prior": "what the attacker believes of images: smooth (total variation, TV), BatchNorm statistics, made by a generator",
    "restart": "an independent start; of R restarts the smallest objective is taken",
    "reconstruction": "what the attack gives back; batches have no order, so images are matched one to one before scoring",
    "defense": "what a client does to its images, labels or update before it shares",
    "threat model": "what the attacker is given besides update, network and protocol",
    "MSE, PSNR": "mean squared error per pixel on [0, 1]; −10 log10 of it in dB, of clipped images: 30 dB is hard to tell from the original; a flat grey has 7 to 18, by image",
    "SSIM, LPIPS, AVD": "structural similarity (1 is equal); a network's perceptual distance (0 is equal); distance between edges (0 is equal)",
}
pd.DataFrame(WORDS.items(), columns=["word", "what it means here"]).style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})

# %% [markdown]
# ## The notebooks
#
# Each stands alone. A first reading: 07 (shortest), 01, 02, 03; then what interests you. Minutes are of a first quick run on two cores.
#
# | notebook | the question | read first | minutes |
# |---|---|---|---|
# | [01_dlg](01_dlg.ipynb) | Do gradients give images, batches and sentences back, how often, and for which networks? | – | 2 |
# | [02_idlg](02_idlg.ipynb) | Can labels be read off a gradient, and does knowing them help? | 01 | 2 |
# | [03_inverting_gradients](03_inverting_gradients.ipynb) | And for trained and deep networks, many local steps, larger images? Is a lower objective a better picture? | 01, 02 | 3 |
# | [04_gias](04_gias.ipynb) | What does a generator add, and when does it mislead? | 03 | 2 |
# | [05_huang_evaluation](05_huang_evaluation.ipynb) | What were the attackers given, and which defenses hold when they are not? | 03 | 2 |
# | [06_mixing_gradients](06_mixing_gradients.ipynb) | Does mixing images in a batch hide them? What does a threshold on a metric count? | 01 | 2 |
# | [07_mu_cats_dogs](07_mu_cats_dogs.ipynb) | One dense layer, then convolutions: what is a published number worth without its scale? | – | 1 |
#
# Which claims hold, fail or stay undecided: [SCOREBOARD.md](../SCOREBOARD.md).
#
# ## Your own picture
#
# Any folder of pictures with one sub-folder a class, or a packed `.npz` (`data/README.md`). Five lines:

# %%
folder = Path("../build/my_pictures")
for i, name in enumerate(("chelsea", "coffee")):  # stands in for your own: two classes, one picture each
    (folder / name).mkdir(parents=True, exist_ok=True)
    Image.fromarray(photos.keep([name]).images[0].permute(1, 2, 0).numpy()).resize((90 - 10 * i, 80)).save(folder / name / "mine.png")

mine = data.load("../build/my_pictures", size=16)  # the central square, resized
secret = mine.clients(1)
own = client.share(models.lenet(mine, seed=seed), secret)
found = attacks.reconstruct(own, attacks.idlg(40), restarts=2, seed=seed)
metrics.score(found.images.cpu(), secret.images).round(4)

# %% [markdown]
# What a first try meets: pictures of different sizes, a set that is not there, labels that the network has no output for.

# %%
said(lambda: data.load("../build/my_pictures"))
said(lambda: data.load("imagenet"))
said(lambda: client.share(models.lenet(mine, seed=seed), data.load("photos", size=16).clients(1, indices=[[179]])))

# %% [markdown]
# ## Your own network
#
# Any `torch.nn.Module` from images to logits. `share` works on a prepared copy, since all clients are attacked as one batch; `diagnose` looks before you wait:

# %%
torch.manual_seed(seed)
small = nn.Sequential(nn.Conv2d(3, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 8, 5, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
batch = photos.clients(4, seed=seed)
own = client.share(small, batch)
checked = attacks.diagnose(own, attacks.dlg())
checked[checked.verdict != "ok"].style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})

# %% [markdown]
# Four channels and ReLUs: the gradient holds fewer equations than the picture has pixels, so many pictures have it. A network of more channels and smooth activations, in the same lines:

# %%
torch.manual_seed(seed)
wide = nn.Sequential(nn.Conv2d(3, 24, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(24 * 12 * 12, 10))
own = client.share(wide, batch)
found = attacks.reconstruct(own, attacks.idlg(20), restarts=1, seed=seed)
print("warnings:", (attacks.diagnose(own, attacks.idlg()).verdict != "ok").sum())
metrics.summary(metrics.score(found.images.cpu(), batch.images)).round(4)

# %% [markdown]
# What a first try meets here is a layer that cannot be batched, or images that do not fit:

# %%
class Gate(nn.Module):
    """Decides by the values of a tensor: such a network cannot be batched."""

    def forward(self, x):
        return x if x.mean() > 0 else -x


said(lambda: client.share(nn.Sequential(Gate(), nn.Flatten(), nn.Linear(1728, 10)), batch))
said(lambda: client.share(models.lenet(data.load("digits")), batch))

# %% [markdown]
# ## An update from elsewhere
#
# An auditor holds a network and what a client sent, and no image. Here plain PyTorch computes a gradient, with a loss that it *sums* over a batch of two:

# %%
torch.manual_seed(seed)
net = nn.Sequential(nn.Conv2d(3, 12, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(12 * 12 * 12, 10))
x, y = torch.rand(2, 3, 24, 24), torch.tensor([3, 7])
loss = nn.functional.cross_entropy(net(x), y, reduction="sum")
sent = dict(zip([n for n, _ in net.named_parameters()], torch.autograd.grad(loss, list(net.parameters())), strict=True))

audited = client.SharedUpdate.from_gradients(net, sent, shape=(3, 24, 24), num_classes=10, batch_size=2)
checked = attacks.diagnose(audited, attacks.idlg(labels="analytic"))
checked[checked.verdict != "ok"].style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})

# %% [markdown]
# The scale of the loss was found out: it has to be divided by two. What else a first try meets:

# %%
said(lambda: client.SharedUpdate.from_gradients(net, list(sent.values())[::-1], shape=(3, 24, 24), num_classes=10))
said(lambda: client.SharedUpdate.from_gradients(net, sent, shape=(24, 24, 3), num_classes=10))
said(lambda: client.SharedUpdate.from_gradients(net, sent | {"0.bias": sent["0.bias"] * torch.nan}, shape=(3, 24, 24), num_classes=10))

# %% [markdown]
# Divided by two the table is empty, and the attack can be tried. The file holds no image, and loads on another machine:

# %%
halved = client.SharedUpdate.from_gradients(net, {n: g / 2 for n, g in sent.items()}, shape=(3, 24, 24), num_classes=10, batch_size=2)
print("warnings:", (attacks.diagnose(halved, attacks.idlg(labels="analytic")).verdict != "ok").sum())
halved.save("../build/update.pt")
again = client.SharedUpdate.load("../build/update.pt", net)
found = attacks.reconstruct(again, attacks.idlg(20, labels="analytic"), restarts=1, seed=seed)
print(f"labels read off: {found.labels.tolist()}, sent: {y.tolist()}; mean squared error of the better image {metrics.score(found.images.cpu(), x[None]).mse.min():.0e}")

# %% [markdown]
# Updates of several local steps (`from_weights`), saving and loading, objectives, defenses and label rules of your own: [lib/README.md](../lib/README.md). Notebook 03 audits an update with BatchNorm and local steps.
#
# ## The attacks side by side
#
# Every attack meets the same images, victims (random weights, one a client) and draws of the defense; its starts are the same under every defense. Labels are not granted: an attack reads them off the gradient or optimises them. The attacker does *not* adapt to the defense; notebooks 01, 05 and 06 have attackers who do, and what a defense costs.
#
# What is not equal: the number of gradients an attack looks at (the column *evaluations*), what it believes (the generator has seen other images of the set), and how its weights were found (below).

# %% tags=["plan"]
DIGITS, CIFAR = {"name": "digits"}, {"name": "cifar10"}
TRAIN = {"batch_size": 32, "width": 16, "lr": 2e-3}
GAN = {"quick": {"images": DIGITS, "latent": 32, "width": 8, "train": TRAIN | {"steps": 1000, "gamma": 0.3}},
       "paper": {"images": CIFAR, "latent": 64, "width": 8, "train": TRAIN | {"steps": 4000, "gamma": 1.0}}}  # those of notebook 04
LBFGS, ADAM, STAGES = {"quick": 20, "paper": 300}, {"quick": 300, "paper": 1200}, {"quick": [60, 100], "paper": [300, 800]}
TV = {("quick", 1): (1e-6, 1e-6, 1e-4), ("paper", 1): (1e-2, 1e-2, 1e-2), ("paper", 4): (1e-1, 1e-1, 1e-2)}  # Inverting Gradients, Huang et al., GIAS: see below
DEFENSES = {"none": None, "noise var. 1e-6": {"name": "gaussian", "variance": 1e-6}, "noise var. 1e-4": {"name": "gaussian", "variance": 1e-4},
            "int8": {"name": "precision", "format": "int8"}, "pruned 90 %": {"name": "prune", "p": 0.9}, "MixUp 4": {"name": "mixup", "k": 4},
            "InstaHide 4": {"name": "instahide", "k": 4}, "DP-SGD": {"name": "dpsgd", "clip": 1.0, "noise_multiplier": 1.0}, "equal labels": {"name": "equal_labels"}}


def attackers(of, victim, B):
    rule = {"labels": "idlg" if (victim, B) == ("lenet", 1) else "analytic"}
    ig, huang, gias = TV.get((of, B), TV["quick", 1])
    return {
        "mid-grey": {"name": "mid-grey"}, "closed form": {"name": "closed form"},
        "in the span": {"name": "in the span", "iterations": 30, "restarts": 4},
        "DLG": {"name": "dlg", "iterations": LBFGS[of]}, "iDLG": {"name": "idlg", "iterations": LBFGS[of]} | rule,
        "Inverting Gradients": {"name": "inverting_gradients", "iterations": ADAM[of], "tv": ig} | rule,
        "Huang et al.": {"name": "huang", "iterations": ADAM[of], "tv": huang, "bn": 0.0},
        "mixing gradients": {"name": "mixing_gradients", "iterations": ADAM[of], "orthogonality": 1e-3 if B > 1 else 0.0},
        "GIAS": {"name": "gias", "space": "z/w", "iterations": STAGES[of], "tv": gias} | rule}


def case(of, victim, B, name):
    how = attackers(of, victim, B)[name]
    return {"images": DIGITS if of == "quick" else CIFAR, "victim": {"name": victim}, "attack": how, "batch_size": B, "clients": 4 if B > 1 or of == "quick" else 8, "seed": seed,
            "defenses": [d for n, d in DEFENSES.items() if B > 1 or n != "equal labels"], "shown": int((victim, B) == ("lenet", 1)), "pool": 80 if of == "paper" else 40} | ({"generator": GAN[of]} if name == "GIAS" else {})


def fits(name, victim, B):
    return (victim == "dense" or name not in ("closed form", "in the span")) and (B > 1 or name != "in the span")


PANELS = {(victim, B): [n for n in attackers("quick", victim, B) if fits(n, victim, B)] for victim in ("dense", "lenet") for B in (1, 4)}
duels = {(victim, B, n): store.Sweep(f"{victim}_{B}_{n.lower().replace(' ', '_').replace('.', '')}", compared, quick=[case("quick", victim, B, n)] if B == 1 else [], paper=[case("paper", victim, B, n)],
                                       minutes={"quick": 0.1, "paper": 6}, gib=2, comparable="ours: no paper compares these attacks")
         for (victim, B), names in PANELS.items() for n in names}

# %% [markdown]
# **The settings.** Victims: one dense layer, and the LeNet of the DLG code. Objective, prior and label rule are the presets' own. The weight of the total variation was chosen before, on other clients and a LeNet: that of Inverting Gradients in notebook 03 (CIFAR-10, one image) and 04 (CIFAR-10 and digits, batches of four), that of GIAS in 04; Huang et al.'s attack has that of Inverting Gradients, whose objective it shares. *Mixing gradients* has an optimiser and weights of ours, since none are printed. *In the span* (notebook 06) and *closed form* need a dense first layer.
# GIAS's generator has seen the training split of the same set: it alone is given `prior_data`.
#
# **The defenses.** *Noise*: Gaussian, of that variance, on every entry (01). *int8*: 255 steps a tensor (01). *Pruned*: the smallest 90 % of each tensor are set to zero (05). *MixUp*, *InstaHide*: four images are mixed, and InstaHide flips signs (05); the attacker has no keys, so it can at best find the mixture, and rules that read one label from a mixed one help nobody. *DP-SGD*: clipped at 1, noise multiplier 1 (05). *Equal labels*: a batch of one label (06).

# %%
def told(how):
    """Objective, prior and label rule of an attack, in words."""
    own = {"mid-grey": ("–", "–", "–"), "closed form": ("none: a division", "none", how.get("labels", "analytic, for batches")), "in the span": ("relative L2, in B x B unknowns", "none", "analytic")}
    if how["name"] in own:
        return own[how["name"]]
    if how["name"] == "gias":
        return "cosine", "a generator, TV", how["labels"]
    preset = case.named(case.ATTACKS, how)
    return preset.objective.__name__.replace("l2", "L2"), ", ".join(p.__name__ for _, p in preset.priors) or "none", preset.labels


def available(sweep):
    return sweep.here()


def decibels(table):
    """PSNR; above 60 as 60, and 0 where the attack ended without numbers."""
    return table.psnr.clip(upper=60).fillna(0)


def panel(cells):
    """Attack x defense: the median PSNR."""
    rows = {n: decibels(c.table).groupby(c.table.defense).median() for n, c in cells.items()}
    frame = pd.DataFrame(rows).T
    return frame.set_axis(list(DEFENSES)[: len(frame.columns)], axis=1)


def above(cells):
    """How many images each attack finds better than mid-grey does."""
    grey = decibels(cells["mid-grey"].table).to_numpy()
    rows = {n: (decibels(c.table) > grey).groupby(c.table.defense).sum() for n, c in cells.items()}
    return pd.DataFrame(rows).T.to_numpy(), len(grey) // cells["mid-grey"].table.defense.nunique()


def heat_map(ax, cells, title):
    frame, (count, n) = panel(cells), above(cells)
    shown = ax.imshow(frame, cmap="cividis", vmin=5, vmax=45, aspect="auto", interpolation="none")
    for (r, c), value in np.ndenumerate(frame.to_numpy()):
        text = f"{value:.0f}" if r == 0 or value > frame.iloc[0, c] else "–"  # no better than mid-grey
        text += f"\n({count[r, c]})" if 0 < count[r, c] < n else ""
        ax.text(c, r, text, linespacing=0.85, ha="center", va="center", fontsize=5.5, color="white" if value < 22 else "black")
    ax.set_xticks(range(len(frame.columns)), frame.columns, rotation=40, ha="right", fontsize=6.5)
    ax.set_yticks(range(len(frame)), frame.index, fontsize=6.5)
    ax.set_title(title, fontsize=7.5)
    ax.tick_params(length=0)
    return shown


def best(frame):
    """The best attack under each defense, in words: for who does not see the map."""
    real = frame.drop(index="mid-grey")
    won = [f"{d} {real[d].idxmax()} {real[d].max():.0f}" if real[d].max() > frame.loc["mid-grey", d] else f"{d} none" for d in frame]
    return "; ".join(won)


NAMED = {"dense": "one dense layer", "lenet": "LeNet"}
live = {key: available(sweep) for key, sweep in duels.items()}
stored = {key: sweep.stored() for key, sweep in duels.items()}
here = {k: {n: live[*k, n] for n in names} for k, names in PANELS.items() if all(live[*k, n] is not None for n in names)}
kept = {k: {n: stored[*k, n] for n in names if stored[*k, n] is not None} for k, names in PANELS.items()}
kept = {k: cells for k, cells in kept.items() if len(cells) > len(PANELS[k]) / 2}
if run.quick:
    fig, axes = plots.axes(2, height=0.6)
    for ax, (victim, B) in zip(axes, here, strict=True):
        image = heat_map(ax, here[victim, B], f"{NAMED[victim]}, one image a client")
    fig.colorbar(image, ax=axes, label="median PSNR, dB", shrink=0.8)
    report.save_figure(fig, "attacks_and_defenses_digits", "Two heat maps of the median PSNR with the number in each cell, rows are attacks, columns defenses. Best median by defense on LeNet, in dB: " + best(panel(here["lenet", 1])) + ".")
    first = here["lenet", 1]["DLG"]
    display(Markdown(f"*This run: digits of 8 x 8 pixels, n = {first.table.client.nunique()} clients, each with a network of its own; {first.device}. Above 60 dB as 60; an attack that ends without numbers counts as 0; –: median no better than that of mid-grey, which is what an attacker has who does nothing; (k): only k of the images are better than it, since L-BFGS returns an image or loses it.*"))

# %%
if kept:
    lines = (len(kept) + 1) // 2
    fig, axes = plots.axes(2, lines, height=0.12 + 0.48 * lines)
    for ax in axes.flat[len(kept):]:
        ax.axis("off")
    for ax, (victim, B) in zip(axes.flat, kept, strict=False):
        image = heat_map(ax, kept[victim, B], f"{NAMED[victim]}, {'one image' if B == 1 else f'{B} images'} a client")
    fig.colorbar(image, ax=axes, label="median PSNR, dB", shrink=0.6)
    report.save_figure(fig, "attacks_and_defenses", f"Heat maps of the median PSNR on CIFAR-10 with the number in each cell, rows are attacks, columns defenses; panels: {', '.join(f'{NAMED[v]}, B = {B}' for v, B in kept)}. Best median by defense, in dB, {NAMED[victim]}, B = {B}: {best(panel(kept[victim, B]))}.")
    first = next(iter(next(iter(kept.values())).values()))
    missing = [f"{NAMED[v]}, {B} image{'s' if B > 1 else ''} a client" for v, B in PANELS if (v, B) not in kept]
    missing += [f"{n} on {NAMED[v]}, B = {B}" for (v, B) in kept for n in PANELS[v, B] if stored[v, B, n] is None]
    display(Markdown(f"*Paper profile, stored: CIFAR-10, n = {first.table[first.table.defense == 0].client.nunique()} clients; {LBFGS['paper']} iterations of L-BFGS, {ADAM['paper']:,} of Adam, {' + '.join(map(str, STAGES['paper']))} of GIAS; {first.device}. Signs as above. Not computed: {'; '.join(missing) or 'nothing'}.*"))
else:
    display(Markdown("*Not computed: the paper profile's comparison on CIFAR-10.*"))

# %% [markdown]
# The same clients in pictures: what each attack makes of the first client's image under each defense (LeNet, one image a client).

# %%
shown = kept.get(("lenet", 1)) or here["lenet", 1]
rows = [np.concatenate([c.arrays["guesses"][:, 0], c.arrays["truth"][:1, 0]]) / 255 for n, c in shown.items() if n != "mid-grey"]
names = [n.replace(" ", "\n", 1) for n in shown if n != "mid-grey"]
columns = [*(n.replace(" ", "\n", 1) for n in DEFENSES if n != "equal labels"), "private"]
report.save_figure(plots.sheet(np.stack(rows), names, columns), "attacks_and_defenses_pictures", f"Image sheet of one client throughout: one row an attack ({', '.join(n for n in shown if n != 'mid-grey')}), one column a defense, the private image last. Best median PSNR of all clients by defense: {best(panel(shown))}.")
display(Markdown(f"*{'Paper profile, stored: CIFAR-10' if ('lenet', 1) in kept else 'This run: digits'}; the first client, not a chosen one. MixUp and InstaHide: at best the mixture of four.*"))

# %% [markdown]
# Without a defense, and what it takes:

# %%
def row(k, name, cell):
    plain, how = cell.table[cell.table.defense == 0], cell.config[0]["attack"]
    words = dict(zip(("objective", "prior", "labels"), told(how), strict=True))
    steps, psnr = how.get("iterations", 0), decibels(plain)
    most = (sum(steps) if isinstance(steps, list) else steps) * (20 if name in ("DLG", "iDLG", "in the span") else 1) * how.get("restarts", 1)
    return {"victim": NAMED[k[0]], "B": k[1], "attack": name} | words | {
        "evaluations, at most": most, "clients": plain.client.nunique(), "images": len(plain), "PSNR": f"{psnr.mean():.1f} ± {psnr.std():.1f}",
        "SSIM": f"{plain.ssim.fillna(0).mean():.2f} ± {plain.ssim.fillna(0).std():.2f}", "AVD": f"{plain.avd.mean():.2f} ± {plain.avd.std():.2f}", "recovered": f"{(plain.mse < 1e-3).sum()} of {len(plain)}"}


source = kept or here
table = pd.DataFrame([row(k, n, c) for k, cells in source.items() for n, c in cells.items()])
report.save_table(table, "attacks")
report.save_timings(pd.DataFrame([{"victim": k[0], "B": k[1], "attack": n, "seconds an image": c.table.seconds.mean()} for k, cells in source.items() for n, c in cells.items()]))
display(Markdown(f"*{'Paper profile, stored: CIFAR-10' if kept else 'This run: digits'}. PSNR in dB (above 60 as 60), SSIM, AVD: mean ± standard deviation; recovered: MSE below 0.001.*"))
table.style.hide(axis="index").set_properties(**{"text-align": "left", "white-space": "normal"})

# %%
pd.concat([panel(cells).round(1).assign(victim=NAMED[k[0]], B=k[1]) for k, cells in source.items()]).rename_axis("attack").reset_index().pipe(lambda t: report.save_table(t, "attacks_and_defenses"))
seconds = pd.DataFrame({f"{NAMED[k[0]]}, B = {k[1]}": {n: c.table.seconds.mean() for n, c in cells.items()} for k, cells in source.items()})
seconds.round(3).astype(object).fillna("–").rename_axis("seconds an image")

# %% [markdown]
# *Seconds are of attacks on all clients and defenses at once, divided by their images; without tracing, and for GIAS without the generator's training.*
#
# ## Which to use when
#
# What the notebooks support, with where; the rest is *untested*. No attack is the best everywhere: that depends on network and defense, and an attack that loses by the median may win on single clients. So a defense is tested with all of them.
#
# | you want | begin with | why |
# |---|---|---|
# | to know whether anything can leak | `attacks.diagnose`, then `analytic` where the first layer is dense | a division, exact for one image (03, 07) |
# | an exact copy from a small untrained network | `attacks.idlg`, several restarts | exact or lost, by start (01, 02); a line search saves some starts (01); at a third of the iterations it helps a dense network with a hidden layer, not the LeNet (07) |
# | a picture from a trained LeNet | `attacks.inverting_gradients`, also with `optimizer="adam"` | without signs better there (03); against L-BFGS undecided (03) |
# | one under noise | `attacks.gias` or `inverting_gradients` | GIAS ahead at variances 1e-4 and 1e-3 on LeNet (04) |
# | batches behind one dense layer | `analytic.in_span`, then `dlg` | random labels up to B = 6 (06) |
# | labels that no rule reads | `attacks.dlg` or `attacks.huang`: labels are optimised | one image: little is lost (05); batches of eight: neither helps (05) |
# | deep networks | nothing that these notebooks have shown to work on a CPU | *not computed* (03) |
# | to trust a picture | compare objectives, and attack images that you know | a prior can show a sharp picture of something else (04) |
# | to test a defense | all of the above, and an attacker who knows it: `masked=True`, `decode`, more restarts | pruning and MixUp look stronger than they are (05), so does mixing (06) |
#
# ## Exercises
#
# 1. Take `models.lenet(photos, activation="relu")` in the sixty-second attack. What does `attacks.diagnose(update, attack, guess)` say, given the reconstruction?
# 2. Share with `defense=defenses.GradPrune(0.9)` (`from lib import defenses`), then let the attacker know of it: `inverting_gradients(masked=True)`.
# 3. Which column of the heat map would change if the attacker had the mixing keys? Try `ThreatModel(labels="known", mixing_keys=True)` and `attacks.decode`.
