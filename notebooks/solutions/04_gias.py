# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: a generative prior (04)
#
# Of the [exercises](../04_gias.ipynb) of notebook 04. Everything runs on embedded digits in seconds.

# %%
import pandas as pd
import torch
from torch import nn

from lib import attacks, client, data, generators, metrics, models, objectives
from lib.run import start

run = start("quick", seed=0, device="cpu")
digits = data.load("digits")
seen = data.load("digits", split="train")
generator = generators.dcgan(digits, latent=32, width=8, seed=0)
settings = {"batch_size": 16, "width": 8, "lr": 2e-3, "gamma": 0.3}
generators.train(generator, seen, steps=200, seed=0, **settings)
victim = models.lenet(digits, channels=6, seed=0)
protocol = client.Protocol(normalise=True)
granted = client.ThreatModel(labels="known", prior_data="digits")

# %% [markdown]
# ## 1. Count
#
# The gradient has one number for each parameter of the victim: these are the equations. Four digits have
# $4 \cdot 64$ pixels, four latents $4 \cdot 32$ numbers, and four copies of the generator four times its parameters.

# %%
equations = sum(p.numel() for p in victim.parameters())
unknowns = {"GI-x": 4 * 64, "GI-z": 4 * 32,
            "GI-w": 4 * sum(p.numel() for p in generator.parameters())}
assert unknowns["GI-z"] < unknowns["GI-x"] < equations < unknowns["GI-w"]
equations, unknowns

# %% [markdown]
# GI-w has more unknowns than equations, so many parameters may fit the gradient. That does no harm: what
# must be right is the *image*, and all these parameters together make only 256 pixels. The search is also short
# and starts at a plausible picture.
#
# ## 2. Digits that stand upside down
#
# Turn the private digits by 180 degrees and attack with the generator of upright ones.

# %%
batch = digits.clients(2, 4, indices=[[10, 31, 18, 16], [13, 34, 15, 37]])
turned = data.Batch(batch.images.flip(-2, -1), batch.labels, batch.num_classes,
                    mean=digits.mean, std=digits.std)
update = client.share(victim, turned, protocol, threat=granted)
attack = attacks.gias(generator, "z/w", (80, 100), tv=1e-4)
gias = attacks.reconstruct(update, attack, seed=0, record=[80])
found = {"latents": gias.history.images[80][:, 0], "GIAS": gias.images}
scores = pd.DataFrame({name: metrics.score(images, turned.images).psnr
                       for name, images in found.items()})
scores["digit"] = [int(label) for label in turned.labels.flatten()]
assert (scores.GIAS > scores.latents).mean() > 0.8
scores.round(1)

# %% [markdown]
# One would expect the latents to do best on digits that still look like digits when they are turned: 0, 1 and 8
# stay themselves, a 6 becomes a 9. GIAS leaves the generator's world and gains on nearly all. Eight digits do not
# settle the order of the kinds: look at the pictures (`studies.gias.drawings.sheet`), take more digits of each, and
# compare them with the upright case.
#
# ## 3. Ranks
#
# Near a latent $z$ the image moves by $J_z\, \mathrm{d}z$ with $J_z = \partial G_w(z) / \partial z$, a matrix of
# 64 rows and 32 columns. Its rank is at most 32: GI-z can move the image in at most half of the directions.
# $J_w$ has 64 rows and thousands of columns; nothing keeps its rank below 64. The last layer's bias
# and weights alone move neighbouring pixels apart. So GI-w can reach every small change of the image, as pixels can.

# %%
generator = generator.double()
parameters = {name: p.detach() for name, p in generator.named_parameters()}
z = torch.randn(1, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def image(parameters, z):
    return torch.func.functional_call(generator, parameters, (z,)).flatten()


by_z = torch.func.jacrev(image, argnums=1)(parameters, z).flatten(1)
by_w = torch.func.jacrev(image, argnums=0)(parameters, z)
by_w = torch.cat([part.flatten(1) for part in by_w.values()], 1)
ranks = int(torch.linalg.matrix_rank(by_z)), int(torch.linalg.matrix_rank(by_w))
assert ranks[0] <= 32 and ranks[1] == 64
ranks

# %% [markdown]
# ## 4. A factor does not matter
#
# $\cos(a, c\,g) = a \cdot c\,g \,/\, (\lVert a \rVert \, c \lVert g \rVert) = \cos(a, g)$ for $c > 0$: the factor
# cancels. A client who clips its gradient to norm 1 multiplies all of it by one number, so clipping alone
# hides nothing from this attack. (Clipping each *example* in a batch is another thing: it changes the
# direction of the mean.)

# %%
gradients = {name: g[0] for name, g in update.gradients.items()}
other = {name: g[1] for name, g in update.gradients.items()}
scaled = {name: 0.01 * g for name, g in gradients.items()}
distances = [float(objectives.cosine(other, shared)) for shared in (gradients, scaled)]
assert abs(distances[0] - distances[1]) < 1e-5
distances

# %% [markdown]
# ## 5. Which part makes the untrained generator a prior? (a sketch)
#
# A start: the same search of parameters through two untrained networks, the convolutional one and a plain
# dense one of similar size. Here are two clients and one draw of each, which decides nothing.

# %%
generator = generators.dcgan(digits, latent=32, width=8, seed=1)
dense = models.seeded(lambda: nn.Sequential(
    nn.Linear(32, 96), nn.ReLU(), nn.Linear(96, 64), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8))), 1)
dense.trained_on, dense.latent = None, (32,)
upright = client.share(victim, batch, protocol, threat=granted)
found = {}
for name, net in {"convolutions": generator, "dense": dense}.items():
    attack = attacks.gias(net, "w", (100,), tv=1e-4)
    guess = attacks.reconstruct(upright, attack, seed=0)
    found[name] = float(metrics.score(guess.images, batch.images).psnr.mean())
found

# %% [markdown]
# To answer, remove one part at a time: `nn.Upsample` (a dense layer to the full size instead), the convolutions
# (as above), the sigmoid (clip instead). Keep the number of parameters similar, draw each network three times,
# attack at least eight clients with victims of their own, and compare the clients' means in pairs. Use larger
# images, too: on digits pixels alone succeed. What will come out is not known to us.
#
# ## 6. One copy for a batch; GIML while the victim trains (a sketch)
#
# `attacks.gias(generator, "z/w", copies="client")` is the first half. One copy has a quarter of the unknowns
# and must serve all four images. That should help where the gradient says little (many images, much pruned) and
# the images are alike; where the gradient is whole, four copies fit better. For the second half, train the
# victim between rounds (`models.train` with few steps) and give `generators.learn` the updates of each round. Gradients
# of a trained network are smaller and say less about an image, so expect the prior to be learned
# from the early rounds. Neither has been tried here.
