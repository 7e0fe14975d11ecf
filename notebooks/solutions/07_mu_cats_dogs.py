# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: one dense layer, then convolutions
#
# The exercises stand at the end of [07_mu_cats_dogs](../07_mu_cats_dogs.ipynb).

# %%
import math

import torch

from lib import analytic, client, data, models

# %% [markdown]
# ## 1. One number in three scales
#
# There are 3 x 32 x 32 = 3,072 pixel values. The error per pixel from 0 to 1 is 5 / 3,072. From 0 to 255
# it is that times 255 squared.

# %%
per_pixel = 5 / (3 * 32 * 32)
in_bytes = per_pixel * 255**2
psnr = -10 * math.log10(per_pixel)
assert math.isclose(in_bytes, 105.8, abs_tol=0.1) and math.isclose(psnr, 27.9, abs_tol=0.1)
print(f"{per_pixel:.4f} per pixel in [0, 1]; {in_bytes:.0f} in [0, 255]; {psnr:.1f} dB")

# %% [markdown]
# ## 2. A network that is sure
#
# The gradient of the logits is softmax minus label. Where the network is sure of the right label this is
# nearly zero, and with it the whole gradient. `attacks.diagnose(update)` then warns in its row "gradient norm".

# %%
logits = torch.tensor([[12.0, -12.0]], requires_grad=True)
torch.nn.functional.cross_entropy(logits, torch.tensor([0])).backward()
assert logits.grad.abs().max() < 1e-6

# %% [markdown]
# ## 3. Two images, one division
#
# With $a_m$ the derivative of image $m$'s loss by the bias of row $i$, the mean gradient has
# $\partial\ell/\partial W_i = (a_1 x_1 + a_2 x_2)/2$ and $\partial\ell/\partial b_i = (a_1 + a_2)/2$. The
# division gives the mean of the images with weights $a_1/(a_1+a_2)$ and $a_2/(a_1+a_2)$. The image with the
# larger $a_m$ at this row shows more. Where the weights are alike it is neither, but a blend.

# %%
digits = data.load("digits")
batch = digits.clients(1, 2)
network = models.dense(digits, seed=0)
shared = client.share(network, batch).gradients
blend = analytic.dense_input(shared["1.weight"], shared["1.bias"])[0]
row = int(shared["1.bias"][0].abs().argmax())
logits = network(batch.images[0]).detach()
weights = torch.softmax(logits, -1)[:, row] - (batch.labels[0] == row).float()
weights = weights / weights.sum()
expected = (weights[:, None] * batch.images[0].flatten(1)).sum(0)
assert torch.allclose(blend, expected, atol=1e-4)
print("weights of the two images:", [round(weight, 2) for weight in weights.tolist()])

# %% [markdown]
# ## 4 and 5. Research
#
# Open. A way to begin: count lost images by the sign of their cosine to the private one, as the page does,
# for each number of classes, with labels known and optimised. For your own pictures, fix weights, channels and
# restarts on one folder, and count on the other, with a Wilson interval.
