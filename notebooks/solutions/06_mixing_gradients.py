# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Solutions: mixing gradients
#
# Solutions of the exercises of [Mixing gradients](../06_mixing_gradients.ipynb). Each ends in asserts that check the answer.

# %%
import torch
from sklearn.decomposition import FastICA

from lib import analytic, client, data, defenses, metrics

digits = data.load("digits")
faces = data.load("faces").relabel(10, seed=0)

# %% [markdown]
# ## 1. The weights sum to 1 (warm-up)
#
# By definition $w_{jm} = a_{jm} / \sum_n a_{jn}$, so $\sum_m w_{jm} = 1$. With $p = 1/C$ and labels that differ, row $j$ has
# $a_{jm} = 1/C$ for the $B - 1$ others and $a_{jj} = 1/C - 1$. Their sum is $B/C - 1 = -(C - B)/C$. Hence
#
# $$w_{jm} = -\frac{1}{C - B}, \qquad w_{jj} = \frac{C - 1}{C - B} = 1 + \frac{B - 1}{C - B}.$$
#
# At $B = C$ the sum is 0: the bias gradient of every row vanishes, and the division has nothing to divide by.

# %%
C, B = 10, 4
even = torch.full((B, C), 1 / C, dtype=torch.float64)
w = analytic.demix_weights(even, torch.arange(B))
assert torch.allclose(w.sum(1), torch.ones(B, dtype=torch.float64))
assert torch.allclose(w.diagonal(), torch.tensor(1 + (B - 1) / (C - B), dtype=torch.float64))
assert torch.allclose(w[0, 1:], torch.tensor(-1 / (C - B), dtype=torch.float64))
full = torch.full((C, C), 1 / C, dtype=torch.float64) - torch.eye(C, dtype=torch.float64)
assert full.sum(1).abs().max() < 1e-12  # B = C: every row's sum is 0

# %% [markdown]
# ## 2. A picture that passes for every digit (warm-up)
#
# AVD compares the roughness $D = |\partial_x + \partial_y|$ of two pictures. The one number nearest to all values of $D$ is their mean, so
# we need a picture whose roughness is the same everywhere: faint vertical stripes. They show nothing of any digit.

# %%
private = digits.clients(64, seed=0).images  # (64, 1, 1, 8, 8)
stripes = torch.zeros(8, 8)
stripes[:, 1::2] = 0.4
avd = metrics.avd(stripes.expand_as(private), private, quantise=True)
flat = metrics.avd(private.mean().expand_as(private), private, quantise=True)
of_stripes, of_grey = ((values < 0.8).float().mean() for values in (avd, flat))
print(f"AVD < 0.8: stripes {of_stripes:.0%}, grey {of_grey:.0%}")
assert of_stripes > 0.9 > of_grey

# %% [markdown]
# ## 3. The group of rotations (derive)
#
# The matrices $Q$ with $QQ^\top = 1$ and $Q\mathbf 1 = \mathbf 1$ leave the vector $\mathbf 1$ alone, and turn the space of dimension
# $B - 1$ that is orthogonal to it in any way. So they are the orthogonal group of $B - 1$ dimensions, of dimension $(B-1)(B-2)/2$.
#
# With several labels the gradient also holds each class's sum, so $Q$ keeps every $\mathbf 1_c$. With $k$ classes in the batch, what turns
# has dimension $B - k$, and the group has $(B-k)(B-k-1)/2$. For four images with two labels that is $2 \cdot 1 / 2 = 1$, one angle
# is left, however the four are split.
#
# The count: directions of the group are the antisymmetric matrices $A$ with $A\mathbf 1_c = 0$ for every class.


# %%
def dimension(labels):
    """How many independent antisymmetric matrices A (B, B) have A 1_c = 0 for each class c."""
    B = len(labels)
    pairs = [(i, j) for i in range(B) for j in range(i)]
    rows = []
    for i, j in pairs:
        A = torch.zeros(B, B, dtype=torch.float64)
        A[i, j], A[j, i] = 1, -1
        sums = [A @ (labels == c).double() for c in labels.unique()]
        rows.append(torch.cat(sums))
    return len(pairs) - int(torch.linalg.matrix_rank(torch.stack(rows)))


for B in (2, 3, 4, 6):
    assert dimension(torch.zeros(B)) == (B - 1) * (B - 2) // 2
assert dimension(torch.tensor([0, 0, 1, 1])) == 1
assert dimension(torch.tensor([0, 1, 1, 1])) == 1
assert dimension(torch.tensor([0, 1, 2, 3])) == 0  # all labels differ: nothing is hidden

# %% [markdown]
# ## 4. Two local steps, and a hidden layer (derive)
#
# The gradient of the *first* layer is $\sum_m \delta_m x_m^\top$ at every step, whatever lies above. A difference of weights after any number of
# plain SGD steps on one batch is a sum of such gradients. So its rows still lie in the span of the $B$ images. Momentum keeps this, weight decay
# does not: it adds a multiple of the weights themselves. Behind a hidden layer with ReLU, look at that layer's own weights.

# %%
batch = client.drawn(faces.clients(1, 50, seed=0), defenses.EqualLabels(4), seed=2)
images = batch.images[0].double().flatten(1)  # (4, 625)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Linear(625, 40), torch.nn.ReLU(), torch.nn.Linear(40, 10))
network = network.double()
before = network[0].weight.detach().clone()
sgd = torch.optim.SGD(network.parameters(), lr=0.05)
for _ in range(2):
    sgd.zero_grad()
    torch.nn.functional.cross_entropy(network(images), batch.labels[0]).backward()
    sgd.step()
difference = network[0].weight.detach() - before
span = torch.linalg.svd(difference, full_matrices=False).Vh[:4]
left_over = images - images @ span.T @ span  # what of the images lies outside the span
assert torch.linalg.matrix_rank(difference, rtol=1e-9) == 4
assert left_over.norm() / images.norm() < 1e-6

# %% [markdown]
# ## 5. Undoing the rotation with a prior (research: how to begin)
#
# Independent component analysis looks for directions in which the pixels are far from normal. It finds images up to order, sign, scale and
# offset, so the result needs the known mean to fix these. Below: one batch, and correlations instead of errors. Faces resemble each
# other, so their pixels are *not* independent, and it is not known how often this works. An answer is a share over ten clients or
# more, beside that of the search without a prior. Try digits as well, and a prior that pixels lie in [0, 1].

# %%
mixer = torch.randn(4, 4, generator=torch.manual_seed(0), dtype=torch.float64)
mixed = mixer @ images  # all that an attacker knows: the span
found = FastICA(4, random_state=0, max_iter=2000).fit_transform(mixed.numpy().T).T
found = torch.from_numpy(found)
correlations = torch.corrcoef(torch.cat([images, found]))[:4, 4:].abs()
print("best |correlation| with each private face:", correlations.max(1).values.numpy().round(2))
assert correlations.max() <= 1 + 1e-9

# %% [markdown]
# ## 6. A criterion that blanks fail (research: how to begin)
#
# The correlation of two pictures ignores brightness and contrast. Its threshold can come from *strangers*: take the value that only one
# stranger in a hundred exceeds. No attack is looked at. A flat grey then never passes, and a darker copy always does. But the mean of the
# other faces passes now and then, and a blend of two nearly always, so the criterion is not yet good enough. One way on: ask that the
# private image be the nearest among many candidates. Whether people would agree with such a threshold is open.


# %%
def correlation(guess, private):
    """(N,): the correlation of each of N pictures (N, pixels) with its private image."""
    guess = guess - guess.mean(1, keepdim=True)
    private = private - private.mean(1, keepdim=True)
    size = (guess.norm(dim=1) * private.norm(dim=1)).clamp_min(1e-9)
    return (guess * private).sum(1) / size


private = faces.clients(50, seed=0).images.flatten(1)  # (50, 625)
strangers = torch.cat([correlation(private.roll(k, 0), private) for k in range(1, 50)])
threshold = strangers.quantile(0.99)
answers = {
    "flat grey": torch.full_like(private, 0.5),
    "mean of the others": (private.sum(0) - private) / 49,
    "half own, half another": (private + private.roll(1, 0)) / 2,
    "own, darker and flatter": 0.5 * private + 0.1}
passing = {name: float((correlation(answer, private) > threshold).float().mean())
           for name, answer in answers.items()}
print(f"threshold {threshold:.2f};", {name: f"{share:.0%}" for name, share in passing.items()})
assert passing["flat grey"] == 0 and passing["own, darker and flatter"] == 1
