# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Start here: a gradient can give the image away
#
# This is the first page of Leaky Gradients. It follows no single paper, and asks for no more than the basics of PyTorch.
#
# **contents**: [this page](#the-pages) · next: [01_dlg](01_dlg.ipynb) · all attacks side by side: [08_all_attacks](08_all_attacks.ipynb)
#
# ![Image sheet, one row an attack: noise turns, over growing numbers of iterations, into the private image of the last column, a digit, a cat and a face; in the bottom row the attack fails and shows black and white noise.](../figures/paper/01_dlg/fig3_leakage.png)
#
# *Deep Leakage from Gradients, run on page 01: noise becomes the private image (last column), or stays noise (last row). Each attack had one start on a small network with random weights. It failed for 6 of 32 digits, 15 of 32 CIFAR-10 images and 6 of 32 faces.*
#
# ## In three sentences
#
# - **The claim.** In federated learning a client keeps its images and shares only the gradient of its loss; a line of papers says that this gradient gives the images back.
# - **What we found.** For one image and a small network it often does, to the last visible detail; how often it does depends on the network, on how many images share the gradient, on the noise from which the attack starts, and on what the attacker is given.
# - **To remember.** One recovered image shows that a leak is possible; only many clients show how often it happens, and only an attacker who knows a defense shows whether it holds.

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
from torch.nn.functional import cross_entropy

from lib import attacks, client, data, metrics, models
from lib.run import device_name, start
from studies import plots, references, report
from studies.start_here import diagram
from studies.start_here.words import assumptions, print_error, vocabulary

run = start(profile, seed=seed, device=device, data_root=data_root)
report.start("00_start_here", run)

# %% [markdown]
# ## The question
#
# A *client* (a phone, a hospital) trains a shared network on images that never leave it. In each round a *server* sends the network, and the client answers with an *update*: the gradient of its loss, one number for each weight. The server follows the protocol, but it looks at every update that it gets: it is *honest but curious*. It is the attacker on all of these pages. Can it work out the image from the update?
#
# ## The sixty-second attack
#
# One client has one private image. The network is a LeNet, a small convolutional network, with random weights. `client.share` computes what the client sends, and `attacks.reconstruct` sees that update and nothing else. The attack starts twice, from different noise, since one start may fail:

# %%
photos = data.load("photos", size=24)  # crops of ten photographs, 24 x 24 pixels
first_cat = photos.labels.tolist().index(photos.classes.index("chelsea"))
batch = photos.clients(1, indices=[[first_cat]])
network = models.lenet(photos, seed=seed)
update = client.share(network, batch)  # all that leaves the client
LOOKED_AT = [0, 5, 10, 15, 20, 40]
attack = attacks.idlg(iterations=40)
guess = attacks.reconstruct(update, attack, restarts=2, seed=seed, record=LOOKED_AT)
best = int(guess.loss[0].argmin())  # of the two starts: chosen by the objective, not by the image

# %%
steps = [guess.history.images[i][0, best, 0].cpu() for i in LOOKED_AT]
columns = ["start", *(f"{i} iterations" for i in LOOKED_AT[1:]), "private"]
figure = plots.sheet(torch.stack([*steps, batch.images[0, 0]])[None], column_labels=columns)
report.save_figure(
    figure, "sixty_seconds",
    "Image sheet, one row: the dummy image of one attack, from coloured noise at the start through "
    "growing numbers of iterations, and the private image, a crop around a cat's eye, last. "
    "Noise turns into the private image.")

# %%
score = metrics.score(guess.images.cpu(), batch.images).iloc[0]
display(Markdown(
    f"*LeNet with random weights, the better of two starts. One image (n = 1) shows that it can "
    f"happen, and not how often. Mean squared error {score.mse:.0e}, PSNR {score.psnr:.0f} dB, "
    f"{guess.seconds:.0f} s on {device_name(run.device)}.*"))

# %% [markdown]
# *PSNR* is the mean squared error on a logarithmic scale, in decibels. Higher is better: at 30 dB the eye hardly sees a difference, and a picture of one flat grey has 7 to 18 dB.
#
# ## What happened
#
# The attacker knows the network $F$, its weights $W$ and the shared gradient $\nabla W$. It invents a *dummy image* $x'$, computes the gradient that $x'$ would have given, and moves $x'$ until the two gradients agree:
#
# $$x'^\star = \arg\min_{x'} D, \qquad D = \left\lVert \nabla_W\, \ell\big(F(x', W), y\big) - \nabla W \right\rVert^2$$
#
# Here $\ell$ is the cross-entropy, and the distance $D$ is called the *objective*. The label $y$ needs no search: only one entry of the last bias's gradient is negative, and it is that of $y$ (page 02). The attack that reads the label in this way and then searches for the image is called *iDLG*, hence the name `attacks.idlg` above. It searches with L-BFGS, an optimiser that estimates the curvature of $D$ from the gradients it has seen. Here is the same attack in plain PyTorch:

# %%
shared = [gradient[0].cpu() for gradient in update.gradients.values()]
y = shared[-1].argmin()[None]  # the label, read off the last bias's gradient
noise, _ = attacks.starts(update, attack, restarts=2, seed=seed)
x = noise[0, best].cpu().requires_grad_()  # the start that lib's attack had
optimizer = torch.optim.LBFGS([x])


def closure():
    optimizer.zero_grad()
    loss = cross_entropy(network(x), y)
    dummy = torch.autograd.grad(loss, network.parameters(), create_graph=True)
    D = sum((a - b).square().sum() for a, b in zip(dummy, shared, strict=True))
    D.backward()  # through the gradient: derivatives of derivatives
    return D


plain = [optimizer.step(closure).item() for _ in range(6)]

# %% [markdown]
# `lib` runs this loop for hundreds of clients at once. From the same start it takes the same path, until rounding sets the two apart:

# %%
engine = guess.history.losses[:6, 0, best].tolist()
assert y == batch.labels[0, 0] and np.allclose(plain[:3], engine[:3], rtol=1e-2)
rows = pd.DataFrame({"iterations": range(6), "D, plain loop": plain, "D, lib": engine})
report.table(rows)

# %% [markdown]
# The next picture shows the whole scene. The striped squares are gradients of the network's first layer, with one row for each of its channels: the one that was shared, and the one that the dummy image gives:

# %%
half = guess.history.images[LOOKED_AT[1]][0, best]  # a dummy image on its way
certain = client.certain_logits(guess.labels, update.num_classes)
dummy_gradients = attacks.dummy_gradients(update, half[None].to(update.device), certain)
dummy, sent = (diagram.stripes(g["0.weight"][0]) for g in (dummy_gradients, update.gradients))
figure = diagram.threat_model(batch.images[0, 0], half[0].cpu(), steps[-1], dummy, sent)
report.save_figure(figure, "threat_model", diagram.ALT)

# %% [markdown]
# ## What the attacker is given
#
# Papers differ most in what they give the attacker without saying so. Here every update carries a list of these assumptions, its *card*. Some lines name things that later pages explain, such as BatchNorm statistics and mixing keys. By default the attacker is told the size of the batch, and no label:

# %%
report.table(assumptions(update))

# %% [markdown]
# An attack that needs more than it is given does not run. Here a client shares the gradient of *two* images, but iDLG's rule can read the label of a single image only, so the attack is refused:

# %%
two = client.share(network, photos.clients(1, batch_size=2))
print_error(lambda: attacks.reconstruct(two, attacks.idlg(10)))

# %% [markdown]
# ## Vocabulary
#
# All pages and the library `lib` use one word for each thing. Skim the table now, and come back to it when you meet a word again:

# %%
report.table(vocabulary())

# %% [markdown]
# ## The pages
#
# Each page can be read on its own, in about 25 minutes. A good order is 07 (the shortest), 01, 02, 03, and then what interests you. The last column says how many minutes a first run takes on two cores.
#
# | page | the question | read first | minutes |
# |---|---|---|---|
# | [01_dlg](01_dlg.ipynb) | Do gradients give images, batches and sentences back, how often, and for which networks? | – | 2 |
# | [02_idlg](02_idlg.ipynb) | Can labels be read off a gradient, and does knowing them help? | 01 | 2 |
# | [03_inverting_gradients](03_inverting_gradients.ipynb) | What about trained and deep networks, many local steps, larger images? Is a lower objective a better picture? | 01, 02 | 3 |
# | [04_gias](04_gias.ipynb) | What does a network that generates images add, and when does it mislead? | 03 | 2 |
# | [05_huang_evaluation](05_huang_evaluation.ipynb) | What were the attackers given, and which defenses hold when they are given less? | 03 | 2 |
# | [06_mixing_gradients](06_mixing_gradients.ipynb) | Does mixing images in a batch hide them? What does a threshold on a metric count? | 01 | 2 |
# | [07_mu_cats_dogs](07_mu_cats_dogs.ipynb) | One dense layer, then convolutions: what is a published number worth without its scale? | – | 1 |
# | [08_all_attacks](08_all_attacks.ipynb) | Which attack and which defense win, on the same clients? Which one to use when? | 01, 03 | 1 |
# | [09_exact](09_exact.ipynb) | When does an update give a whole batch back exactly? What can a dishonest server add, and can the client see it? | 01, 06 | 1 |
# | [10_realistic](10_realistic.ipynb) | Does what federated learning really sends still leak? What do bounds promise, and which defenses survive an attacker who adapts? | 03, 05 | 1 |
#
# [SCOREBOARD.md](../SCOREBOARD.md) lists every claim of the papers and whether it holds, fails or stays undecided.
#
# Attacks reach beyond small networks. Page 03 attacks an EfficientNet-Lite0 that was trained on ImageNet:
#
# ![Image sheet, one row a photograph: an astronaut and a pagoda. From left to right the attack at growing numbers of iterations, from noise to pictures in which the face and the pagoda can be recognised, in wrong colours; at the right the private photograph.](../figures/paper/03_inverting_gradients/fig1_imagenet.png)
#
# *Ten photographs were attacked, and two are shown. We, who know them, recognise the subject of seven; page 03 has all ten. The attack's weight for smoothness was chosen on the first. Under the reconstructions stand PSNR and ST-LPIPS, a learned distance (smaller is nearer). By PSNR each is worse than its photograph's mean colour, and yet you see what it shows.*
#
# ## Your own picture
#
# Give `data.load` a folder with one sub-folder for each class, or a packed `.npz` file ([data/README.md](../data/README.md)). The first cell below writes such a folder and puts two photographs where yours would be. The second cell attacks one of them:

# %%
folder = Path("../build/my_pictures")
sizes = {"chelsea": (90, 80), "coffee": (80, 80)}
for name, size in sizes.items():
    (folder / name).mkdir(parents=True, exist_ok=True)
    pixels = photos.keep([name]).images[0].permute(1, 2, 0).numpy()
    Image.fromarray(pixels).resize(size).save(folder / name / "mine.png")

# %%
mine = data.load("../build/my_pictures", size=16)  # the central square, resized
secret = mine.clients(1)
sent = client.share(models.lenet(mine, seed=seed), secret)
recovered = attacks.reconstruct(sent, attacks.idlg(40), restarts=2, seed=seed)
score = metrics.score(recovered.images.cpu(), secret.images)
report.table(score[["mse", "psnr", "ssim"]].rename(columns={
    "mse": "mean squared error", "psnr": "PSNR, dB", "ssim": "SSIM (1 is equal)"}))

# %% [markdown]
# What most often goes wrong at first is a folder of pictures of different sizes. The error says what to do:

# %%
print_error(lambda: data.load("../build/my_pictures"))

# %% [markdown]
# ## Your own network
#
# Any `torch.nn.Module` from images to class scores can be attacked. `diagnose` looks for what stands in the attacker's way before you wait for an attack:

# %%
torch.manual_seed(seed)
small = nn.Sequential(
    nn.Conv2d(3, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.ReLU(),
    nn.Conv2d(4, 8, 5, 2, 2), nn.ReLU(),
    nn.Flatten(), nn.Linear(8 * 6 * 6, 10))
batch = photos.clients(4, seed=seed)
sent = client.share(small, batch)
checked = attacks.diagnose(sent, attacks.dlg())
report.table(checked[checked.verdict != "ok"])

# %% [markdown]
# Each entry of the gradient is an equation for the pixels. With four channels and ReLUs there are fewer equations than pixels, so many images fit the gradient (page 01 counts them). A network with more channels and smooth activations passes:

# %%
torch.manual_seed(seed)
wide = nn.Sequential(
    nn.Conv2d(3, 24, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(24 * 12 * 12, 10))
sent = client.share(wide, batch)
recovered = attacks.reconstruct(sent, attacks.idlg(20), restarts=1, seed=seed)
warnings = (attacks.diagnose(sent, attacks.idlg()).verdict != "ok").sum()
psnr = metrics.score(recovered.images.cpu(), batch.images).psnr
print(f"{warnings} warnings. Four clients, one image each: PSNR {psnr.min():.0f} to "
      f"{psnr.max():.0f} dB, {(psnr > 30).sum()} of {len(psnr)} recovered (above 30 dB)")

# %% [markdown]
# The library attacks all clients at once, through `torch.func.vmap`. So it refuses a network whose code branches on the values of a tensor:

# %%
class Gate(nn.Module):
    """Decides by the values of a tensor: such a network cannot be batched."""

    def forward(self, x):
        return x if x.mean() > 0 else -x


gated = nn.Sequential(Gate(), nn.Flatten(), nn.Linear(1728, 10))
print_error(lambda: client.share(gated, batch))

# %% [markdown]
# ## An update from elsewhere
#
# An auditor holds a network and what a client sent, but no image. Here plain PyTorch plays the client. It *sums* the loss over two images, where `lib` expects the mean:

# %%
torch.manual_seed(seed)
net = nn.Sequential(
    nn.Conv2d(3, 12, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(12 * 12 * 12, 10))
x, y = torch.rand(2, 3, 24, 24), torch.tensor([3, 7])
loss = cross_entropy(net(x), y, reduction="sum")
names, weights = zip(*net.named_parameters(), strict=True)
sent = dict(zip(names, torch.autograd.grad(loss, weights), strict=True))

# %%
known = {"shape": (3, 24, 24), "num_classes": 10, "batch_size": 2}
audited = client.SharedUpdate.from_gradients(net, sent, **known)
checked = attacks.diagnose(audited, attacks.idlg(labels="analytic"))
report.table(checked[checked.verdict != "ok"])

# %% [markdown]
# `diagnose` found that the scale is wrong. Divided by two, the update passes, and the attack can be tried. The update can also be saved to a file, which holds no image and loads on another machine:

# %%
idlg = attacks.idlg(20, labels="analytic")
halves = {name: gradient / 2 for name, gradient in sent.items()}
halved = client.SharedUpdate.from_gradients(net, halves, **known)
halved.save("../build/update.pt")
loaded = client.SharedUpdate.load("../build/update.pt", net)
recovered = attacks.reconstruct(loaded, idlg, restarts=1, seed=seed)
better = metrics.score(recovered.images.cpu(), x[None]).mse.min()
print(f"warnings: {(attacks.diagnose(halved, idlg).verdict != 'ok').sum()}; "
      f"labels read off: {recovered.labels.tolist()}, private: {y.tolist()}; "
      f"mean squared error of the better image: {better:.0e}")

# %% [markdown]
# [lib/USING.md](../lib/USING.md) goes on from here: updates of several local steps (`from_weights`), and objectives, defenses and label rules of your own. Page 03 audits an update with BatchNorm and local steps.
#
# ## Exercises
#
# **Warm-up**
#
# 1. Give the sixty-second attack a network with ReLUs: `models.lenet(photos, activation="relu")`. What does `attacks.diagnose(update, attack, guess)` say, now that it sees the reconstruction?
# 2. Print the gradient of the last bias, `update.gradients["7.bias"]`. Which entry is negative, and what is the sum of all entries?
#
# **Derive**
#
# 3. The last layer computes logits $o = Wh + b$. Show that $\partial \ell / \partial b$ is the softmax of $o$ minus one-hot $y$ for one image. Why is the rule of this page right for one image, and where does it break for a batch?
#
# **Research**
#
# 4. A client prunes: it shares with `defense=defenses.GradPrune(0.9)` (`from lib import defenses`). How much does an attacker gain who knows of it, with `attacks.inverting_gradients(masked=True)`? An answer gives the difference in PSNR on the same clients and starts, with its spread, for at least three networks.
#
# Solutions: [solutions/00_start_here](solutions/00_start_here.ipynb)
#
# ## Appendix
#
# **Settings.** Both profiles run this page alike, on images that ship with scikit-learn and scikit-image. Everything on it is computed anew at each run. The two pictures from pages 01 and 03 come from the paper profile of those pages.
#
# **More errors that a first try meets.** The first error below is about a set that is not there, the second about labels that the network has no output for, and the third about images that do not fit the network:

# %%
ten_classes = data.load("photos", size=16).clients(1, indices=[[179]])
print_error(lambda: data.load("imagenet"))
print_error(lambda: client.share(models.lenet(mine, seed=seed), ten_classes))
print_error(lambda: client.share(models.lenet(data.load("digits")), batch))

# %% [markdown]
# The next three are about gradients in the wrong order, a shape with the channels last, and an entry that is not a number:

# %%
from_gradients = client.SharedUpdate.from_gradients
backwards = list(sent.values())[::-1]
not_finite = sent | {"0.bias": sent["0.bias"] * torch.nan}
print_error(lambda: from_gradients(net, backwards, shape=(3, 24, 24), num_classes=10))
print_error(lambda: from_gradients(net, sent, shape=(24, 24, 3), num_classes=10))
print_error(lambda: from_gradients(net, not_finite, shape=(3, 24, 24), num_classes=10))

# %% [markdown]
# ## References

# %%
Markdown(references.listed("geiping2020", "huang2021", "zhao2020", "zhu2019"))
