# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: 01_dlg
#
# The exercises stand in [01_dlg](../01_dlg.ipynb). All runs here are on small embedded images; other images and networks give other numbers.

# %% tags=["setup"]
from dataclasses import replace

import torch

from lib import attacks, client, data, defenses, metrics, models

digits = data.load("digits")  # 8x8 pixels
photos = data.load("photos", size=16)  # 16x16 pixels, three colours
SEARCH = attacks.dlg(iterations=10, line_search=True)

# %% [markdown]
# ## 1. Your own objective
#
# The gradient of the first layer has 12 x 3 x 5 x 5 = 900 entries. On the page the image has 24 x 24 x 3 = 1,728 pixel values.
# At most 900 equations cannot fix 1,728 unknowns: the objective falls, and the image stays wrong.
#
# A grey digit of 64 pixels meets 12 x 5 x 5 = 300 entries. The count now allows the image, and for this digit the search finds it.
# It does not promise that: for another digit the same search ends elsewhere.


# %%
def first_layer(dummy, shared):
    return (dummy["0.weight"] - shared["0.weight"]).square().sum()


attack = replace(SEARCH, iterations=20, objective=first_layer)
batch = digits.clients(1, indices=[1])
update = client.share(models.lenet(digits, seed=0), batch)
guess = attacks.reconstruct(update, attack, seed=0)
error = float(metrics.mse(guess.images, batch.images))
assert update.gradients["0.weight"].numel() == 300 > batch.images.numel() == 64
assert error < 1e-3
print(f"digit: D = {float(guess.loss.min()):.0e}, MSE {error:.0e}")

# %%
batch = photos.clients(1, indices=[0])  # 768 values: by the count alone the 900 might do
update = client.share(models.lenet(photos, seed=0), batch)
guess = attacks.reconstruct(update, replace(attack, iterations=5), seed=0)
error = float(metrics.mse(guess.images, batch.images))
assert update.gradients["0.weight"].numel() == 900
print(f"photograph of 16x16: D = {float(guess.loss.min()):.0e}, MSE {error:.0e}")

# %% [markdown]
# The photograph of 16 x 16 pixels shows that a count above one promises nothing: the search does not get there in these iterations.
#
# ## 2. Small gradients
#
# Torch's L-BFGS ends a call when no entry of the gradient of $D$ exceeds `tolerance_grad = 1e-7`, or when $D$ or the step changes by less than `tolerance_change = 1e-9`.
# Both are absolute. With default weights $D$ begins small, so its changes fall below them while the image is still on its way.
# `scale=1e4` multiplies $D$, and the tolerances reach as far down again as for a large $D$.

# %%
batch = digits.clients(1, indices=[0])
small = client.share(models.lenet(digits, init="default", seed=0), batch)
errors = {}
for scale in (1, 1e4):
    guess = attacks.reconstruct(small, attacks.dlg(iterations=20, scale=scale), seed=0)
    errors[scale] = float(metrics.mse(guess.images, batch.images))
    print(f"scale {scale:g}: {int(guess.evaluations)} evaluations, MSE {errors[scale]:.0e}")
assert errors[1e4] < errors[1] / 100

# %% [markdown]
# Both images are recovered here; the one with the larger scale is better by powers of ten, since its search was not cut short.
#
# ## 3. Two images behind a dense layer
#
# Let $B = 2$. The loss is the mean, so $\partial\ell/\partial W_i = \tfrac{1}{B}\sum_j \delta_{ij}\, x_j^\top$ and $\partial\ell/\partial b_i = \tfrac{1}{B}\sum_j \delta_{ij}$.
# Their quotient is $\sum_j \delta_{ij} x_j / \sum_j \delta_{ij}$, whose weights add up to one.
#
# $\delta_{ij} = p_i(x_j) - [i = c_j]$ is negative where $i$ is the label of image $j$, and positive elsewhere. In the row of a label that no image has, all weights are positive: a true blend.
# In the row of a label that only one image has, the signs differ, and one weight is negative. A network that is unsure has $p \approx 1/10$: then $\delta = -0.9$ for that image and $0.1$ for the other, and the weights are $9/8$ and $-1/8$.

# %%
pair = photos.clients(1, batch_size=2, indices=[[0, 2]])
model = models.dense(photos, seed=0)
x, labels = pair.images[0], pair.labels[0]
delta = (model(x).softmax(-1) - torch.eye(photos.num_classes)[labels]).detach()  # (2, classes)
gradients = client.share(model, pair).gradients
for i in (int(labels[0]), int(labels[1]), 5):
    row = gradients["1.weight"][0, i] / gradients["1.bias"][0, i]
    weights = delta[:, i] / delta[:, i].sum()
    assert torch.allclose(row, weights @ x.flatten(1), atol=1e-3)
    assert bool((weights < 0).any()) == (i in labels.tolist())
    print(f"row {i}: weights {weights[0]:.2f} and {weights[1]:.2f}")

# %% [markdown]
# ## 4. An adaptive attacker: how to begin
#
# The zeros of the update are the mask, so the objective needs no other knowledge:


# %%
def kept(dummy, shared):
    """Squared distance of the entries that the client has not set to zero."""
    return sum(((dummy[n] - shared[n]) * (shared[n] != 0)).square().sum() for n in shared)


four = digits.clients(4, indices=[0, 1, 2, 3])
networks = models.ensemble(models.lenet, digits, seeds=range(4))
pruned = client.share(networks, four, defense=defenses.GradPrune(0.7))
medians = {}
for name, attack in (("all entries", SEARCH), ("kept entries", replace(SEARCH, objective=kept))):
    guess = attacks.reconstruct(pruned, attack, seed=0)
    errors = metrics.mse(guess.images, four.images)
    medians[name] = float(errors.median())
    print(f"{name}: median MSE {medians[name]:.0e}, recovered {int((errors < 1e-3).sum())} of 4")
assert medians["kept entries"] < medians["all entries"] / 10

# %% [markdown]
# So on these digits pruning 70 % hides all four images from an attacker who does not know of it, and one who looks at the zeros recovers three of them. Three tenths of the entries still outnumber the pixels.
# Unknown from here: where the curve ends as the pruned share grows, whether it ends where the kept entries are fewer than the pixels, and what CIFAR images do on the official network. Four clients show the way and decide nothing.
#
# ## 5. Bring your own update: how to begin
#
# A gradient computed without this library, from another loop:

# %%
model = models.lenet(digits, seed=1)
image, label = digits.clients(1, indices=[7]).images[0], digits.clients(1, indices=[7]).labels[0]
loss = torch.nn.functional.cross_entropy(model(image), label)
mine = [g.numpy() for g in torch.autograd.grad(loss, model.parameters())]
update = client.SharedUpdate.from_gradients(model, mine, shape=digits.shape, num_classes=10)
assert set(attacks.diagnose(update, attacks.dlg()).verdict) == {"ok"}
wrong = client.SharedUpdate.from_gradients(
    model, [10 * g for g in mine], shape=digits.shape, num_classes=10)  # a sum, say, of ten
found = attacks.diagnose(wrong, attacks.dlg()).query("verdict != 'ok'")
assert found.check.tolist() == ["scale of the loss"] and "10" in found.measured.item()
found[["check", "verdict", "measured"]]

# %% [markdown]
# A common mistake is another scale of the loss, a sum where the protocol says a mean. For a single image `diagnose` reads the factor off the gradient, and says to divide by it.
# Which mistakes of real frameworks stay invisible to it is open.
