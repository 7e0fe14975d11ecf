# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: what federated learning really sends
#
# The exercises stand at the end of [10_realistic](../10_realistic.ipynb). Each cell ends in asserts that check the answer.

# %%
import math

import torch
from scipy import integrate, optimize, stats

from lib import analytic, bounds, client, data, models, precode

# %% [markdown]
# ## 1. Which noise?
#
# $\Phi(\Phi^{-1}(1/1001) + \sqrt T / \sigma) \le 1/100$ asks for $\sigma \ge \sqrt T / (\Phi^{-1}(0.01) - \Phi^{-1}(1/1001))$.

# %%
for steps in (1, 10):
    room = stats.norm.ppf(0.01) - stats.norm.ppf(1 / 1001)
    sigma = math.sqrt(steps) / room
    searched = optimize.brentq(lambda s, T=steps: bounds.success(s, 1 / 1001, T) - 0.01, 0.1, 100)
    assert abs(sigma - searched) < 1e-6
    print(f"{steps} updates: {sigma:.2f}")

# %% [markdown]
# ## 2. PRECODE behind a dense layer
#
# The first layer's gradient is $\delta x^\top$, its bias gradient $\delta$, whatever lies behind and whatever was drawn. A division gives $x$.

# %%
photos = data.load("photos", size=32)
batch = photos.clients(2, seed=0)
model = precode.precode(models.dense(photos, hidden=(200,), activation="relu"), 64)
for draw in (1, 2):
    update = client.share(precode.redrawn(model, draw), batch)
    found = analytic.dense_input(update.gradients["1.weight"], update.gradients["1.bias"])
    torch.testing.assert_close(found.view_as(batch.images), batch.images, rtol=0, atol=1e-4)

# %% [markdown]
# ## 3. Two normal distributions
#
# The densities cross in the middle, at $m/2$ from both means. Left of it $q$ is the smaller, right of it $p$: $\int \min(p, q) = 2\,\Phi(-m/2)$.
#
# With much noise $\Phi(-1/\sigma) \to 1/2$, so the bound goes to half of the variance, where the best guess has all of it. The factor is lost where the bracket $|g - x|^2 + |g - x'|^2$ is bounded by its value at the middle of *each* pair: a guess cannot be in the middle of all pairs at once.

# %%
for m in (0.5, 1.0, 3.0):
    def lower(t, m=m):
        return min(stats.norm.pdf(t), stats.norm.pdf(t - m))

    smaller, _ = integrate.quad(lower, -9, 12)
    assert abs(smaller - 2 * stats.norm.cdf(-m / 2)) < 1e-7
assert abs(bounds.error(1e6, 1.0) - 0.5) < 1e-5

# %% [markdown]
# ## 4. and 5. Research
#
# No answer is known to us. For 4, the draw enters as free variables beside the pixels: a bottleneck whose buffer is searched needs a space of its own (`lib.spaces`). For 5, an objective that compares a part of the entries is ten lines (`objectives.masked` is one).
