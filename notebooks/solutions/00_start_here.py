# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: start here
#
# Of the exercises of [00_start_here](../00_start_here.ipynb). Each cell ends in asserts that check the answer.

# %%
import torch

from lib import attacks, client, data, defenses, metrics, models

photos = data.load("photos", size=24)
first_cat = photos.labels.tolist().index(photos.classes.index("chelsea"))
batch = photos.clients(1, indices=[[first_cat]])

# %% [markdown]
# ## 1. A network with ReLUs
#
# The second derivative of a ReLU is zero wherever it exists. The attack moves along derivatives of a gradient, so it sees little of the way. `diagnose` warns of the activations before the attack; given the reconstruction, it also says that the gradients do not match.

# %%
network = models.lenet(photos, activation="relu", seed=0)
update = client.share(network, batch)
attack = attacks.idlg(iterations=20)
guess = attacks.reconstruct(update, attack, restarts=2, seed=0)
told = attacks.diagnose(update, attack, guess)
warned = told[told.verdict != "ok"]
print(warned[["check", "verdict", "measured"]].to_string(index=False))
psnr = float(metrics.psnr(guess.images.cpu(), batch.images).squeeze())
print(f"PSNR {psnr:.1f} dB")
assert "activations" in set(warned.check)
assert psnr < 20, "the image does not come back"

# %% [markdown]
# ## 2. The gradient of the last bias
#
# One entry is negative: that of the label. All entries together sum to zero, up to rounding.

# %%
network = models.lenet(photos, seed=0)
last = client.share(network, batch).gradients["7.bias"][0]
print([round(float(value), 3) for value in last])
assert (last < 0).sum() == 1 and last.argmin() == batch.labels[0, 0]
assert abs(float(last.sum())) < 1e-5

# %% [markdown]
# ## 3. Why the rule is right for one image, and where it breaks
#
# Let $o = Wh + b$, $p = \mathrm{softmax}(o)$, and let the loss be the cross-entropy $\ell = -\log p_y = -o_y + \log \sum_k e^{o_k}$. Then
#
# $$\frac{\partial \ell}{\partial b_i} = \frac{\partial \ell}{\partial o_i} = \frac{e^{o_i}}{\sum_k e^{o_k}} - [i = y] = p_i - [i = y].$$
#
# Since $0 < p_i < 1$, the entry of $y$ is negative and all others are positive. They sum to $1 - 1 = 0$.
#
# The gradient of a batch is the mean over its images: entry $i$ is the mean of $p_i$ minus the share of images with the label $i$. A class that no image has keeps a positive entry. A class that some image has need not be negative, because the other images may put more probability on it than it has images. So the sign proves that a label is there, but no sign proves that it is not; and it never says how often a label occurs.

# %%
torch.manual_seed(0)
logits = torch.randn(1, 10, requires_grad=True)
y = torch.tensor([4])
torch.nn.functional.cross_entropy(logits, y).backward()
one_hot = torch.nn.functional.one_hot(y, 10)
assert torch.allclose(logits.grad, logits.detach().softmax(-1) - one_hot, atol=1e-6)

# Three images: two of class 0, and one of class 1, to which the first two give most probability.
logits = torch.zeros(3, 10)
logits[:2, 1] = 5.0
logits.requires_grad_()
torch.nn.functional.cross_entropy(logits, torch.tensor([0, 0, 1])).backward()
entries = logits.grad.sum(0)  # what the last bias gets
print([round(float(value), 3) for value in entries])
assert entries[0] < 0, "class 0 is found"
assert entries[1] > 0, "class 1 is in the batch, and its sign does not show it"

# %% [markdown]
# ## 4. Research: an attacker who knows of the pruning
#
# A sketch of how to begin, with two clients and few iterations; it decides nothing. `masked=True` compares the gradients only where the shared one is not zero. What an answer needs beyond this: the settings of page 05 (10,000 iterations), at least three networks, both attackers on the same clients and starts, and the paired difference with its spread. Page 05 has one such comparison at a share of 0.9 and 0.99; what is unknown is how the gain depends on the network's width and on training.

# %%
clients = photos.clients(2, indices=[[first_cat], [0]])
victims = models.ensemble(models.lenet, photos, seeds=range(2))
pruned = client.share(victims, clients, defense=defenses.GradPrune(0.9))
psnr = {}
for masked in (False, True):
    attack = attacks.inverting_gradients(iterations=60, tv=1e-3, masked=masked)
    guess = attacks.reconstruct(pruned, attack, restarts=1, seed=0)
    psnr[masked] = metrics.score(guess.images.cpu(), clients.images).psnr
gain = psnr[True] - psnr[False]
print(f"gain in dB, of n = {len(gain)} clients: {[round(g, 1) for g in gain]}")
assert gain.notna().all()
