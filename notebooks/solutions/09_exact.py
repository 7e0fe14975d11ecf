# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: exactly
#
# The exercises stand at the end of [09_exact](../09_exact.ipynb). Each cell ends in asserts that check the answer.

# %%
import torch

from lib import client, data, exact, models
from studies.exact import live

# %% [markdown]
# ## 1. How many bins?
#
# An image is alone in its bin with probability $(1 - 1/(k+1))^{B-1}$. For $B = 100$ and four in five this asks for $k$ near $99 / \ln(5/4) \approx 444$.
# Each bin has a row of 3,072 weights and a bias, and as many weights on the way back.

# %%
bins = next(k for k in range(1, 10_000) if exact.expected_alone(k, 100) >= 0.8)
parameters = bins * (3072 + 1) + 3072 * (bins + 1)
assert 440 < bins < 455 and exact.expected_alone(bins - 1, 100) < 0.8
module = exact.imprint(models.lenet(data.load("photos")), (3, 32, 32), bins, 0.5, 0.1)
counted = sum(p.numel() for p in [*module.bins.parameters(), *module.back.parameters()])
assert parameters == counted
print(f"{bins} bins, {parameters:,} parameters more")

# %% [markdown]
# ## 2. How many draws?
#
# A draw of $B - 1$ rows is right for one given image with probability $2^{-(B-1)}$, and the $B$ images exclude each other nearly. So the first direction takes about $2^{B-1} / B$ draws:
# 2, 16 and 2,048. We check the first two with random zeros.

# %%
rng = torch.Generator().manual_seed(0)


def mean_draws(B, trials=4000):
    rest = torch.rand(trials, 600 // B, B - 1, B, generator=rng) < 0.5  # trial, draw, row, image
    right = rest.all(2).any(2).double()  # some image is at rest in all rows
    return 1 / right.mean().item()


for B, expected in ((4, 2), (8, 16)):
    assert abs(mean_draws(B) / expected - 1) < 0.35
    print(B, round(mean_draws(B), 1))

# %% [markdown]
# ## 3. Fishing with one hidden layer
#
# Fished for class $c$, all rows of the last layer but $W_c$ are zero and $p_c \approx 0$. So the layer below gets $\delta_m = (p_c - 1)\, W_c \circ a_m = -W_c \circ a_m$, with $a_m$ the neurons that image $m$ activates.
# For two images $\delta_1 - \delta_2 = -W_c \circ (a_1 - a_2)$ is zero wherever both are at rest *or both are active*. If they agree in more than half of the neurons, this has more zeros than either $\delta_m$. SPEAR prefers the sparsest directions, and takes it for an image.
# A second hidden layer sends each image a vector of its own through its own zeros, so the active places no longer cancel.

# %%
batch = live.photographs(2, seed=0)
batch = data.Batch(batch.images, torch.zeros_like(batch.labels), batch.num_classes,
                   mean=batch.mean, std=batch.std)
x = (batch.images[0] - batch.mean.double()[:, None, None]) / batch.std.double()[:, None, None]
photos = data.load("photos", size=32)


def zeros(hidden):
    net = models.dense(photos, hidden=hidden, activation="relu").double()
    sent = exact.fish_class(net, 0)
    delta = []
    for i in range(2):
        alone = data.Batch(batch.images[:, i:i + 1], batch.labels[:, i:i + 1], batch.num_classes,
                           mean=batch.mean, std=batch.std)
        shared = client.share(sent, alone, client.Protocol(normalise=True)).gradients
        delta.append(shared["1.bias"][0])  # of one image: the delta itself
    active = net[1](x.flatten(1)) > 0
    assert torch.equal(delta[0] != 0, active[0])
    return [(d.abs() < 1e-12).sum().item() for d in (*delta, delta[0] - delta[1])]


one, two = zeros((300,)), zeros((300, 300))
assert one[2] > max(one[:2]) and two[2] < min(two[:2])
print("zeros of both images and of their difference:", one, two)

# %% [markdown]
# ## 4. and 5. Research
#
# No answer is known to us. For 4, a module may repeat rows only up to noise, or measure another number in each row; for 5, a token is false if the others explain it, so the smallest set of tokens that spans the gradient is a start.
