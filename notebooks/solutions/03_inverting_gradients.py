# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: Inverting Gradients
#
# Of the exercises of [03_inverting_gradients](../03_inverting_gradients.ipynb). Cells end in asserts that check the answer.

# %%
from dataclasses import replace

import torch

from lib import analytic, attacks, client, data, defenses, metrics, models, objectives

photos = data.load("photos", size=16)
one = photos.clients(1, indices=[0])
lenet = models.lenet(photos, channels=24, seed=0)
protocol, known = client.Protocol(normalise=True), client.ThreatModel(labels="known")
update = client.share(lenet, one, protocol, threat=known)

# %% [markdown]
# ## 1. A relative squared distance
#
# Let the dummy's gradient be $d$. Scaling $d$ *and* $g$ by $c$ changes neither distance. But if the client scales $g$ alone, as by a factor 1/2 in its loss, the cosine is unchanged while the relative squared distance is not: at the private image $d = g$ it becomes $\lVert g - g/2 \rVert^2 / \lVert g/2 \rVert^2 = 1$ for every tensor instead of 0. The minimum moves away from the private image. Ours also weighs every tensor by its own length, so small layers count as much as large ones.

# %%
g = {name: t[0] for name, t in update.gradients.items()}
half = {name: t / 2 for name, t in g.items()}
relative, cosine = objectives.relative_l2, objectives.cosine
assert float(relative(g, g)) == 0 and float(cosine(g, g)) < 1e-6
assert abs(float(relative(g, half)) - len(g)) < 1e-4, "1 a tensor"
assert float(cosine(g, half)) < 1e-6
halves = ({name: 3 * t for name, t in part.items()} for part in (g, half))
assert abs(float(relative(*halves)) - len(g)) < 1e-3, "the unit does not count"

# %%
preset = attacks.inverting_gradients(iterations=200)
for attack in (preset, replace(preset, objective=relative)):
    guess = attacks.reconstruct(update, attack, seed=0)
    psnr = float(metrics.psnr(guess.last[:, 0].cpu(), one.images))
    print(f"{objectives.name_of(attack.objective)}: {psnr:.1f} dB")

# %% [markdown]
# ## 2. A client in train mode
#
# BatchNorm then normalises with the statistics of the private batch, which the attacker does not have. The images of a batch are no longer independent of each other. `diagnose` says so, and the dummy batch is normalised with its own statistics. The attack can still match the gradient, but it has to get all images of the batch right at once.

# %%
resnet = models.resnet(photos, depth=8, width=8, seed=0)
four = photos.clients(1, batch_size=4, indices=[[0, 2, 4, 8]])
trained_mode = client.share(resnet, four, client.Protocol(normalise=True, mode="train"),
                            threat=known)
told = attacks.diagnose(trained_mode, attacks.inverting_gradients())
print(told[told.check.isin(["BatchNorm", "mode"])].to_string(index=False))
evaluated = client.share(resnet, four, protocol, threat=known)
a, b = (torch.cat([t.flatten() for t in u.gradients.values()]) for u in (trained_mode, evaluated))
agreement = float(torch.cosine_similarity(a, b, dim=0))
print(f"cosine between both gradients of the same batch: {agreement:.2f}")
assert agreement < 0.9, "an attacker who assumes the wrong mode looks for another direction"

# %% [markdown]
# ## 3. Equations and width
#
# For a weight of a convolution the chain rule gives $\partial\ell/\partial W_{ij} = \sum_p \delta_i(p)\, h_j(p)$: one equation a weight, with the input $h$ and the unknown $\delta$ at all positions $p$. Each layer adds about as many equations as it has weights. That number grows with the square of the channels, while the number of pixels stays.

# %%
at_32 = data.load("photos")
pixels = 3 * 32 * 32
counts = {}
for channels in (4, 12, 32):
    victim = models.lenet(at_32, channels=channels, seed=0)
    counts[channels] = min(analytic.gradient_equations(victim, at_32.shape))
print(f"equations for {pixels} pixels, at most:", counts)
assert counts[4] < pixels < counts[12] < counts[32]

# %% [markdown]
# With 4 channels the image is not determined, and the prior has to choose. With 12 it may be, with 32 there are many more equations than pixels. The count says whether the image can be the only solution. It does not say how hard it is to find: that more equations also help the search is what the page's live attack suggests, for one image and one network.
#
# ## 4. The order of local steps
#
# With $g_i(\theta)$ the gradient of local batch $i$, two steps in the order 1, 2 give
#
# $$\Delta\theta = -\tau g_1(\theta) - \tau g_2(\theta - \tau g_1) = -\tau (g_1 + g_2) + \tau^2 H_2 g_1 + O(\tau^3),$$
#
# with $H_2$ the second derivative. The other order has $\tau^2 H_1 g_2$. The first order in $\tau$ does not know the order of the batches, so the difference relative to the update vanishes with $\tau$. (ConvNet's ReLUs have kinks, so it need not grow exactly like $\tau$.)

# %%
convnet = models.convnet(photos, 8, seed=0)


def shared_by(order, rate) -> torch.Tensor:
    """The weight difference of two local steps of one image each, in an order, as a vector."""
    local = client.Protocol(normalise=True, sends="weights", local_lr=rate, local_batch=1)
    sent = client.share(convnet, photos.clients(1, 2, indices=[order]), local, threat=known)
    return torch.cat([t.flatten() for t in sent.gradients.values()])


relative_change = {}
for rate in (1e-3, 1e-2, 1e-1):
    first, second = shared_by([0, 2], rate), shared_by([2, 0], rate)
    relative_change[rate] = float((first - second).norm() / first.norm())
print({rate: f"{change:.2g}" for rate, change in relative_change.items()})
assert relative_change[1e-3] < relative_change[1e-2] < relative_change[1e-1]
assert relative_change[1e-1] > 5 * relative_change[1e-3]

# %% [markdown]
# At $\tau = 10^{-3}$ and below the order hardly changes the update, so a wrong order hardly hurts. At $10^{-1}$ it is a sizeable part of it.
#
# ## 5. Pruned updates: how to begin
#
# The defender should report the stronger attack, since the attacker can see the zeros and choose. Begin with one update under both objectives. Whether the masked one is stronger everywhere is not known here: that is the question.

# %%
pruned = defenses.GradPrune(0.9)
defended = client.share(lenet, one, protocol, threat=known, defense=pruned)
for masked in (False, True):
    attack = attacks.inverting_gradients(iterations=200, masked=masked)
    guess = attacks.reconstruct(defended, attack, seed=0)
    psnr = float(metrics.psnr(guess.last[:, 0].cpu(), one.images))
    print(f"masked={masked}: {psnr:.1f} dB")

# %% [markdown]
# ## 6. Choosing the weight of TV: how to begin
#
# One idea: the attacker owns public images. It shares *their* gradients with itself behind the same network, tunes the weight there, and uses it on the client's update. That needs only what the attacker has. Compare its loss in dB with the best weight, on clients that were not used, and behind at least three networks. Whether the rule carries over from untrained to trained networks is not known here.

# %%
public = photos.clients(2, indices=[2, 8])
rehearsal = client.share(lenet, public, protocol, threat=known)
mean_psnr = {}
for tv in (1e-3, 1e-2, 1e-1):
    guess = attacks.reconstruct(rehearsal, attacks.inverting_gradients(200, tv=tv), seed=0)
    mean_psnr[tv] = float(metrics.psnr(guess.last[:, 0].cpu(), public.images).mean())
print({tv: f"{value:.1f} dB" for tv, value in mean_psnr.items()})
