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

import pandas as pd
import torch
from IPython.display import Markdown, display
from PIL import Image
from torch import nn

from lib import attacks, client, data, metrics, models

from lib.run import device_name, start
from studies import plots, references, report
from studies.start_here import diagram, drawings, plan, tables
from studies.start_here.words import print_error, vocabulary

run = start(profile, seed=seed, device=device, data_root=data_root)
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
first_cat = photos.labels.tolist().index(photos.classes.index("chelsea"))
batch = photos.clients(1, indices=[[first_cat]])
network = models.lenet(photos, seed=seed)
update = client.share(network, batch)  # all that leaves the client
LOOKED_AT = [0, 5, 10, 15, 20, 40]
guess = attacks.reconstruct(update, attacks.idlg(40), restarts=2, seed=seed, record=LOOKED_AT)
guess

# %%
best = int(guess.loss[0].argmin())  # of the two starts: chosen by the objective, never by the truth
steps = [guess.history.images[i][0, best, 0].cpu() for i in LOOKED_AT]
columns = ["start", *(f"{i} iterations" for i in LOOKED_AT[1:]), "private"]
figure = plots.sheet(torch.stack([*steps, batch.images[0, 0]])[None], column_labels=columns)
report.save_figure(
    figure, "sixty_seconds",
    "Image sheet, one row: the dummy image of one attack, from coloured noise at the start through "
    "growing numbers of iterations, and the private picture, a crop around a cat's eye, last. "
    "Noise turns into the picture.")
score = metrics.score(guess.images.cpu(), batch.images).iloc[0]
display(Markdown(
    f"*LeNet with random weights, the better of two starts. Mean squared error {score.mse:.0e}, "
    f"PSNR {score.psnr:.0f} dB; {guess.seconds:.0f} s on {device_name(run.device)}.*"))

# %% [markdown]
# ## What happened
#
# The attacker knows the network $F$ with its weights $W$ (the server sent them) and the shared gradient $\nabla W$. It invents a *dummy image* $x'$, computes the gradient that $x'$ would give, and moves $x'$ until the two agree:
#
# $$x'^\star = \arg\min_{x'} \; \left\lVert \nabla_W\, \ell\big(F(x', W), y\big) - \nabla W \right\rVert^2$$
#
# The label $y$ was read off the sign of the last layer's gradient (notebook 02). Nothing was trained, and nothing but the gradient was seen.

# %%
half = guess.history.images[LOOKED_AT[1]][0, best]  # a dummy image on its way
certain = client.certain_logits(guess.labels, update.num_classes)
dummy_gradients = attacks.dummy_gradients(update, half[None].to(update.device), certain)
dummy, shared = (diagram.stripes(g["0.weight"][0]) for g in (dummy_gradients, update.gradients))
figure = diagram.threat_model(batch.images[0, 0], half[0].cpu(), steps[-1], dummy, shared)
report.save_figure(figure, "threat_model", diagram.ALT)

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
print_error(lambda: attacks.reconstruct(two, attacks.idlg(10)))

# %% [markdown]
# ## Vocabulary
#
# One word a thing, in all notebooks and in `lib`:

# %%
report.wrapped(vocabulary()).hide(axis="index")

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
sizes = {"chelsea": (90, 80), "coffee": (80, 80)}
for name, size in sizes.items():  # stands in for your own: two classes, one picture each
    (folder / name).mkdir(parents=True, exist_ok=True)
    pixels = photos.keep([name]).images[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).resize(size).save(folder / name / "mine.png")

mine = data.load("../build/my_pictures", size=16)  # the central square, resized
secret = mine.clients(1)
shared_update = client.share(models.lenet(mine, seed=seed), secret)
recovered = attacks.reconstruct(shared_update, attacks.idlg(40), restarts=2, seed=seed)
metrics.score(recovered.images.cpu(), secret.images).round(4)

# %% [markdown]
# What a first try meets: pictures of different sizes, a set that is not there, labels that the network has no output for.

# %%
ten_classes = data.load("photos", size=16).clients(1, indices=[[179]])
print_error(lambda: data.load("../build/my_pictures"))
print_error(lambda: data.load("imagenet"))
print_error(lambda: client.share(models.lenet(mine, seed=seed), ten_classes))

# %% [markdown]
# ## Your own network
#
# Any `torch.nn.Module` from images to logits. `share` works on a prepared copy, since all clients are attacked as one batch; `diagnose` looks before you wait:

# %%
torch.manual_seed(seed)
small = nn.Sequential(
    nn.Conv2d(3, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.ReLU(),
    nn.Conv2d(4, 8, 5, 2, 2), nn.ReLU(),
    nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
batch = photos.clients(4, seed=seed)
shared_update = client.share(small, batch)
checked = attacks.diagnose(shared_update, attacks.dlg())
report.wrapped(checked[checked.verdict != "ok"]).hide(axis="index")

# %% [markdown]
# Four channels and ReLUs: the gradient holds fewer equations than the picture has pixels, so many pictures have it. A network of more channels and smooth activations, in the same lines:

# %%
torch.manual_seed(seed)
wide = nn.Sequential(
    nn.Conv2d(3, 24, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(24 * 12 * 12, 10))
shared_update = client.share(wide, batch)
recovered = attacks.reconstruct(shared_update, attacks.idlg(20), restarts=1, seed=seed)
print("warnings:", (attacks.diagnose(shared_update, attacks.idlg()).verdict != "ok").sum())
metrics.summary(metrics.score(recovered.images.cpu(), batch.images)).round(4)

# %% [markdown]
# What a first try meets here is a layer that cannot be batched, or images that do not fit:

# %%
class Gate(nn.Module):
    """Decides by the values of a tensor: such a network cannot be batched."""

    def forward(self, x):
        return x if x.mean() > 0 else -x


gated = nn.Sequential(Gate(), nn.Flatten(), nn.Linear(1728, 10))
print_error(lambda: client.share(gated, batch))
print_error(lambda: client.share(models.lenet(data.load("digits")), batch))

# %% [markdown]
# ## An update from elsewhere
#
# An auditor holds a network and what a client sent, and no image. Here plain PyTorch computes a gradient, with a loss that it *sums* over a batch of two:

# %%
torch.manual_seed(seed)
net = nn.Sequential(
    nn.Conv2d(3, 12, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(12 * 12 * 12, 10))
x, y = torch.rand(2, 3, 24, 24), torch.tensor([3, 7])
loss = nn.functional.cross_entropy(net(x), y, reduction="sum")
names, weights = zip(*net.named_parameters(), strict=True)
sent = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))

known = {"shape": (3, 24, 24), "num_classes": 10, "batch_size": 2}
audited = client.SharedUpdate.from_gradients(net, sent, **known)
checked = attacks.diagnose(audited, attacks.idlg(labels="analytic"))
report.wrapped(checked[checked.verdict != "ok"]).hide(axis="index")

# %% [markdown]
# The scale of the loss was found out: it has to be divided by two. What else a first try meets:

# %%
from_gradients = client.SharedUpdate.from_gradients
backwards = list(sent.values())[::-1]
not_finite = sent | {"0.bias": sent["0.bias"] * torch.nan}
print_error(lambda: from_gradients(net, backwards, shape=(3, 24, 24), num_classes=10))
print_error(lambda: from_gradients(net, sent, shape=(24, 24, 3), num_classes=10))
print_error(lambda: from_gradients(net, not_finite, shape=(3, 24, 24), num_classes=10))

# %% [markdown]
# Divided by two the table is empty, and the attack can be tried. The file holds no image, and loads on another machine:

# %%
idlg = attacks.idlg(20, labels="analytic")
halved = from_gradients(net, {name: gradient / 2 for name, gradient in sent.items()}, **known)
print("warnings:", (attacks.diagnose(halved, idlg).verdict != "ok").sum())
halved.save("../build/update.pt")
loaded = client.SharedUpdate.load("../build/update.pt", net)
recovered = attacks.reconstruct(loaded, idlg, restarts=1, seed=seed)
better = metrics.score(recovered.images.cpu(), x[None]).mse.min()
print(f"labels read off: {recovered.labels.tolist()}, sent: {y.tolist()}; "
      f"mean squared error of the better image {better:.0e}")

# %% [markdown]
# Updates of several local steps (`from_weights`), saving and loading, objectives, defenses and label rules of your own: [lib/USING.md](../lib/USING.md). Notebook 03 audits an update with BatchNorm and local steps.
#
# ## The attacks side by side
#
# Every attack meets the same images, victims (random weights, one a client) and draws of the defense; its starts are the same under every defense. Labels are not granted: an attack reads them off the gradient or optimises them. The attacker does *not* adapt to the defense; notebooks 01, 05 and 06 have attackers who do, and what a defense costs.
#
# What is not equal: the number of gradients an attack looks at (the column *evaluations*), what it believes (the generator has seen other images of the set), and how its weights were found (below).

# %%
sweeps = plan.declare(run)
tables.declared(sweeps)

# %% [markdown]
# **The settings.** Victims: one dense layer, and the LeNet of the DLG code. Objective, prior and label rule are the presets' own. The weight of the total variation was chosen before, on other clients and a LeNet: that of Inverting Gradients in notebook 03 (CIFAR-10, one image) and 04 (CIFAR-10 and digits, batches of four), that of GIAS in 04; Huang et al.'s attack has that of Inverting Gradients, whose objective it shares. *Mixing gradients* has an optimiser and weights of ours, since none are printed. *In the span* (notebook 06) and *closed form* need a dense first layer.
# GIAS's generator has seen the training split of the same set: it alone is given `prior_data`.
#
# **The defenses.** *Noise*: Gaussian, of that variance, on every entry (01). *int8*: 255 steps a tensor (01). *Pruned*: the smallest 90 % of each tensor are set to zero (05). *MixUp*, *InstaHide*: four images are mixed, and InstaHide flips signs (05); the attacker has no keys, so it can at best find the mixture, and rules that read one label from a mixed one help nobody. *DP-SGD*: clipped at 1, noise multiplier 1 (05). *Equal labels*: a batch of one label (06).

# %%
here = tables.panels_here(sweeps)
stored = tables.panels_stored(sweeps)
if run.quick:
    report.save_figure(drawings.heat_maps(here, bar=0.8), "attacks_and_defenses_digits",
                       drawings.digits_heat_maps_alt(here))
    report.caption(
        "Each client has a network of its own. Above 60 dB as 60; an attack that ends without "
        "numbers counts as 0; –: median no better than that of mid-grey, which is what an attacker "
        "has who does nothing; (k): only k of the images are better than it, since L-BFGS returns "
        "an image or loses it.", *tables.mid_grey(here))

# %%
if stored:
    report.save_figure(drawings.heat_maps(stored, bar=0.6), "attacks_and_defenses",
                       drawings.heat_maps_alt(stored))
    report.caption(
        f"{plan.LBFGS_STEPS['paper']} iterations of L-BFGS, {plan.ADAM_STEPS['paper']:,} of Adam, "
        f"{' + '.join(map(str, plan.GIAS_STEPS['paper']))} of GIAS. Signs as above. "
        f"Not computed: {tables.not_computed(sweeps, stored)}.", *tables.mid_grey(stored))
else:
    report.caption("Not computed: the paper profile's comparison on CIFAR-10.")

# %% [markdown]
# The same clients in pictures: what each attack makes of the first client's image under each defense (LeNet, one image a client).

# %%
cells = stored.get(("lenet", 1)) or here["lenet", 1]
report.save_figure(drawings.pictures(cells), "attacks_and_defenses_pictures",
                   drawings.pictures_alt(cells))
report.caption("The first client, not a chosen one. MixUp and InstaHide: at best the mixture of "
               "four.", cells["mid-grey"])

# %% [markdown]
# Without a defense, and what it takes:

# %%
panels = stored or here
table = tables.attacks(panels)
report.save_table(table, "attacks")
report.save_timings(tables.timings(panels))
report.caption("PSNR in dB (above 60 as 60), SSIM, AVD: mean ± standard deviation; recovered: MSE "
               "below 0.001.", *tables.mid_grey(panels))
report.wrapped(table).hide(axis="index")

# %%
report.save_table(tables.all_medians(panels), "attacks_and_defenses")
tables.seconds(panels)

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
# | a picture from a trained LeNet | `attacks.inverting_gradients`, also with `optimizer="adam"` | undecided: one network, where it was better without signs (03) |
# | one under noise | `attacks.gias` or `inverting_gradients` | GIAS ahead at variances 1e-4 and 1e-3 on LeNet (04) |
# | batches behind one dense layer | `analytic.in_span`, then `dlg` | random labels up to B = 8, equal labels up to B = 6 (06) |
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

# %% [markdown]
# ## References

# %%
Markdown(references.listed(
    "abadi2016", "eloul2022", "geiping2020", "huang2020", "huang2021", "jeon2021",
    "krizhevsky2009", "mu2023", "zhang2018b", "zhao2020", "zhu2019"))
