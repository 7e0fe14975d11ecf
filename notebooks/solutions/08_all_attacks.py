# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: all attacks, all defenses
#
# Of the exercises of [08_all_attacks](../08_all_attacks.ipynb). Each cell ends in asserts that check the answer.

# %%
import pandas as pd
import torch

from lib import attacks, client, data, defenses, metrics, mixing, models
from lib.run import ROOT

photos = data.load("photos", size=24)
first_cat = photos.labels.tolist().index(photos.classes.index("chelsea"))
cat = photos.clients(1, indices=[[first_cat]])
dense = models.dense(photos, seed=0)

# %% [markdown]
# ## 1. Where iDLG beats Inverting Gradients
#
# By the median, without a defense only. Under the weakest noise and under eight bits the medians fall below those of Inverting Gradients. The median hides that iDLG's images are exact or lost: with four of eight recovered it lies between the two groups, and one image more or less moves it by decibels.

# %%
table = pd.read_csv(ROOT / "figures/paper/08_all_attacks/attacks_and_defenses.csv")
lenet = table[(table.victim == "LeNet") & (table.B == 1)].set_index("attack")
medians = lenet.drop(columns=["victim", "B"]).dropna(axis="columns")
ahead = medians.columns[medians.loc["iDLG"] > medians.loc["Inverting Gradients"]]
print(medians.loc[["iDLG", "Inverting Gradients"]].to_string())
assert list(ahead) == ["none"]

# %% [markdown]
# ## 2. The PSNR of mid-grey
#
# The mean squared error is the variance of a uniform number, $1/12$, so PSNR is $10 \log_{10} 12 = 10.8$ dB. The stored median is 11.3 dB. An image has less where its pixels are far from 0.5: one that is black and white only has an error of $1/4$, and 6.0 dB.

# %%
torch.manual_seed(0)
uniform = torch.rand(1, 3, 200, 200)
psnr = float(metrics.psnr(torch.full_like(uniform, 0.5), uniform).squeeze())
print(f"{psnr:.2f} dB")
assert abs(psnr - 10.79) < 0.05
black_and_white = (uniform > 0.5).float()
worst = float(metrics.psnr(torch.full_like(uniform, 0.5), black_and_white).squeeze())
assert abs(worst - 6.02) < 0.01

# %% [markdown]
# ## 3. Pruning and the division
#
# Row $i$ of $\partial \ell / \partial W$ is $(p_i - [i = y])\, x^\top$. For the true class the factor is $p_y - 1$, about $-0.9$ with ten classes and random weights; for the other nine it is $p_i$, about 0.1. The true row is one tenth of the matrix, and nine times larger than the rest: the largest tenth of the entries lies almost wholly in it. Pruning 90 % therefore removes the other nine rows, which the division does not use.
#
# From the true row it takes the smallest entries, and those are the darkest pixels. They become black, which is nearly what they were.

# %%
update = client.share(dense, cat, defense=defenses.GradPrune(0.9))
W, b = update.gradients["1.weight"][0], update.gradients["1.bias"][0]
full = client.share(dense, cat).gradients["1.bias"][0].abs()
i = full.argmax()
others = full.sum() - full[i]
print(f"true class {full[i]:.2f}, mean of the others {others / 9:.2f}")
assert i == cat.labels[0, 0] and full[i] > 5 * others / 9
x, truth = (W[i] / b[i]).cpu(), cat.images[0, 0].flatten()
lost = x == 0
print(f"{lost.float().mean():.0%} of the pixels lost; the brightest of them "
      f"{truth[lost].max():.2f}")
assert torch.allclose(x[~lost], truth[~lost], atol=1e-5)
assert truth[lost].max() <= truth[~lost].min() + 1e-6

# %% [markdown]
# ## 4. Noise and the division
#
# With noise $n_W$ and $n_b$ of variance $v$ the division gives, to first order in the noise,
#
# $$\frac{g_b\, x_j + n_W}{g_b + n_b} \approx x_j + \frac{n_W - x_j\, n_b}{g_b}, \qquad g_b = \partial \ell / \partial b_i.$$
#
# The two noises are independent, so the variance is $v\,(1 + x_j^2) / g_b^2$. The noise $n_b$ is one number for all pixels of a draw, so we look at many draws.

# %%
v = 1e-6
draws = []
for seed in range(400):
    noisy = client.share(dense, cat, defense=defenses.GaussianNoise(v), seed=seed)
    W, b = noisy.gradients["1.weight"][0], noisy.gradients["1.bias"][0]
    draws.append((W[i] / b[i]).cpu() - truth)
measured = torch.stack(draws).square().mean()
predicted = (v * (1 + truth.square()) / full[i].cpu() ** 2).mean()
print(f"mean squared error: measured {measured:.2e}, predicted {predicted:.2e}")
assert abs(measured / predicted - 1) < 0.1

# %% [markdown]
# ## 5. Research: the attacker has the mixing keys
#
# The columns of MixUp and InstaHide would change. A sketch of how to begin: here the encodings are recovered perfectly, and `decode` undoes MixUp with the keys of several epochs. What an answer needs: encodings that an attack has recovered, `ThreatModel(labels="known", mixing_keys=True)`, the same clients with and without the keys, and at least three networks. With the keys of four epochs page 05 gets 17.8 dB out of MixUp, on one network. How much error in the encodings the decoding stands is not known to us.

# %%
torch.manual_seed(0)
private = photos.images[:6].float() / 255  # (6, 3, 24, 24), of one client
chosen = torch.stack([torch.randperm(6)[:2] for _ in range(24)])  # 24 encodings of two images
weights = torch.rand(24, 1)
weights = torch.cat([weights, 1 - weights], dim=1)
encodings = torch.einsum("mk,mk...->m...", weights, private[chosen])
decoded = mixing.decode(encodings, (chosen, weights), count=6, iterations=400)
psnr = metrics.psnr(decoded, private)
print(f"PSNR of six images: {psnr.min():.0f} to {psnr.max():.0f} dB")
assert psnr.min() > 25
assert attacks.decode is mixing.decode
