# %% [markdown]
# # Assignment 3: cosine, total variation, signed Adam
#
# DLG fails on networks that are used in practice. *Inverting Gradients* changes three things: it compares the *direction* of gradients, it prefers smooth
# images, and it looks only at the *signs* of the image's gradient. You will write all three, take them away one at a time, and learn to read
# a success curve without fooling yourself.
#
# **You will be able to**
#
# - write an objective that does not care about the size of a gradient, and a prior on images;
# - write Adam on signs, with a step decay and a box;
# - say from an ablation which part helps, by how much, and how sure that is;
# - put an interval on a success rate, and see what "the best of m images" does to a mean.
#
# | part | | points | minutes |
# |---|---|---|---|
# | 1 | one cosine | 3 | 15 |
# | 2 | total variation | 2 | 10 |
# | 3 | Adam on signs, decay, box | 5 | 25 |
# | 4 | ablation | 4 | 15 |
# | 5 | a success curve with intervals | 4 | 15 |
# | 6 | one lucky image | 2 | 10 |
# | | | **20** | **90** |
#
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it.
# A test that fails does not stop the cells below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded, and what they look at is said. No part needs the answer of another
# one. Restart the kernel and run everything before you hand in. Use plain PyTorch, pandas and SciPy; calling `lib`'s objectives, priors and
# optimisers is not an answer.
#
# **Threat model.** The server is honest but curious. It knows the model, its weights, the update of a client with one image, and the
# mean and standard deviation of public images; labels are granted, to keep to the matter here.
#
# **Background.** Notebook 03_inverting_gradients. Paper: Geiping, Bauermeister, Dröge and Moeller 2020 (arXiv:2003.14053), section 4.

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other networks, other starts
pictures = "photos"     # "photos", "digits" or "faces"

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings
from itertools import combinations
from math import comb, sqrt

import matplotlib.pyplot as plt
import pandas as pd
import torch
from scipy.stats import norm, ttest_rel
from torch.nn.functional import cross_entropy

from lib import attacks, client, data, metrics, models
from studies import plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
images = data.load(pictures, size=16)
if images.num_classes < 10:                       # the faces have no labels of their own
    images = images.relabel(10, seed)
C, H, W = images.shape

# %% nbgrader={"grade": false, "grade_id": "helpers", "locked": true, "schema_version": 3, "solution": false, "task": false}
def rng(number):
    """A generator of random numbers that depends on the seed of the assignment."""
    return torch.Generator().manual_seed(1000 * seed + number)


def own_work(function):
    """Fails for one of lib's functions, and for one that calls those which are the answer."""
    names = set(function.__code__.co_names)
    mine = not {"attacks", "objectives", "optimizers", "priors"} & names
    assert function.__module__ == "__main__" and mine, "write it yourself"

# %% [markdown]
# ## Part 1. One cosine (3 points)
#
# The length of a gradient says how far training is, its direction which image it comes from. Late in training the private gradient is tiny, and the squared
# distance to it is tiny for *every* image that the network classifies well; the direction still tells them apart. Take *all* parameters of the network as one long vector each, and return
#
# $$D = 1 - \frac{\langle \nabla W', \nabla W \rangle}{\|\nabla W'\| \, \|\nabla W\|}.$$
#
# One cosine, not the mean of one cosine per layer: then a small layer would count as much as a large one.

# %% nbgrader={"grade": false, "grade_id": "cosine_distance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def cosine_distance(dummy, shared):
    """1 - cosine of two dicts of gradients, name -> tensor, over all entries. A scalar,
    differentiable by dummy."""
    ### BEGIN SOLUTION
    a = torch.cat([dummy[name].flatten() for name in shared])
    b = torch.cat([shared[name].flatten() for name in shared])
    return 1 - a @ b / (a.norm() * b.norm())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "cosine_distance-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(cosine_distance)
_a = {"weight": torch.randn(4, 3, generator=rng(1)), "bias": torch.randn(4, generator=rng(2))}
_b = {"weight": torch.randn(4, 3, generator=rng(3)), "bias": torch.randn(4, generator=rng(4))}
assert cosine_distance(_a, _b).shape == (), "one number"
torch.testing.assert_close(cosine_distance(_a, _a), torch.tensor(0.0), atol=1e-4, rtol=0)
torch.testing.assert_close(cosine_distance(_a, {n: -g for n, g in _a.items()}), torch.tensor(2.0))
_scaled = cosine_distance(_a, {n: 0.1 * g for n, g in _b.items()})
torch.testing.assert_close(_scaled, cosine_distance(_a, _b), atol=1e-4, rtol=0)

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "cosine_distance-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: one cosine over all layers; dicts in another order; it can be differentiated.
### BEGIN HIDDEN TESTS
own_work(cosine_distance)
_a = {"w": torch.tensor([3.0, 0.0]), "b": torch.tensor([4.0])}
_b = {"b": torch.tensor([1.0]), "w": torch.tensor([0.0, 2.0])}
torch.testing.assert_close(cosine_distance(_a, _b), torch.tensor(1 - 4 / (5 * 5**0.5)))
_v = torch.randn(6, generator=rng(5), dtype=torch.float64, requires_grad=True)
_t = {"w": torch.randn(6, generator=rng(6), dtype=torch.float64)}
assert torch.autograd.gradcheck(lambda v: cosine_distance({"w": v}, _t), _v)
### END HIDDEN TESTS

# %% [markdown]
# ## Part 2. Total variation (2 points)
#
# Noise has neighbours that differ, pictures mostly do not. Return the mean absolute difference of neighbours from left to right, plus the mean absolute
# difference of neighbours from top to bottom (each a mean over all pairs, channels and images).

# %% nbgrader={"grade": false, "grade_id": "total_variation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def total_variation(x):
    """The total variation of images x (B, C, H, W): a scalar."""
    ### BEGIN SOLUTION
    return x.diff(dim=-1).abs().mean() + x.diff(dim=-2).abs().mean()
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "total_variation-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(total_variation)
_x = torch.zeros(1, 1, 2, 3)
_x[0, 0, 0, 2] = 6.0  # of 4 pairs from left to right one differs, of 3 from top to bottom one
assert total_variation(_x) == 6 / 4 + 6 / 3, f"{float(total_variation(_x)):g}, not 6 / 4 + 6 / 3"
assert total_variation(_x.transpose(-1, -2)) == 6 / 4 + 6 / 3 and total_variation(0 * _x) == 0
_picture, _noise = images.images[:1].float() / 255, torch.rand(1, C, H, W, generator=rng(7))
print(f"picture {total_variation(_picture):.2f}, noise {total_variation(_noise):.2f}")

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "total_variation-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: several images and channels, height and width that differ, falling as well as rising
# edges.
### BEGIN HIDDEN TESTS
own_work(total_variation)
_x = torch.randn(3, 2, 4, 7, generator=rng(8))
_h = sum((_x[..., j + 1] - _x[..., j]).abs().sum() for j in range(6)) / (3 * 2 * 4 * 6)
_v = sum((_x[..., i + 1, :] - _x[..., i, :]).abs().sum() for i in range(3)) / (3 * 2 * 3 * 7)
torch.testing.assert_close(total_variation(_x), _h + _v)
torch.testing.assert_close(total_variation(_x.flip(-1)), _h + _v)
### END HIDDEN TESTS

# %% [markdown]
# ## Part 3. Adam on signs, with decay and a box (5 points)
#
# Write the optimiser of Inverting Gradients as one function that minimises any `f`:
#
# 1. In every iteration, compute the gradient of `f` at `z`, and give Adam its **sign** instead (`torch.optim.Adam`, all but the learning rate as it is).
# 2. The learning rate is `lr`, and a tenth of what it was from each of the iterations `int(iterations * 3/8)`, `int(iterations * 5/8)` and
#    `int(iterations * 7/8)` on, counted from 0.
# 3. After every step, `z` is put back into the box: entries below `low` become `low`, those above `high` become `high`.

# %% nbgrader={"grade": false, "grade_id": "signed_adam", "locked": false, "schema_version": 3, "solution": true, "task": false}
def signed_adam(f, z, iterations, lr, low, high):
    """Minimise f (tensor -> scalar) from z, which is not changed; low and high: numbers, or tensors
    that broadcast with z.

    Returns the last z, without a graph."""
    ### BEGIN SOLUTION
    z = z.detach().clone().requires_grad_()
    optimizer = torch.optim.Adam([z], lr=lr)
    milestones = [int(iterations * share) for share in (3 / 8, 5 / 8, 7 / 8)]
    for i in range(iterations):
        decays = sum(i >= milestone for milestone in milestones)
        optimizer.param_groups[0]["lr"] = lr * 0.1 ** decays
        gradient, = torch.autograd.grad(f(z), z)
        z.grad = gradient.sign()
        optimizer.step()
        with torch.no_grad():
            z.copy_(torch.maximum(z, torch.as_tensor(low).to(z)))
            z.copy_(torch.minimum(z, torch.as_tensor(high).to(z)))
    return z.detach()
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "signed_adam-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(signed_adam)
_goal = torch.tensor([0.3, -0.2, 5.0])


def _bowl(z):
    return (torch.tensor([1.0, 1e-6, 1.0]) * (z - _goal).square()).sum()


_start = torch.zeros(3)
_end = signed_adam(_bowl, _start, 80, 0.1, -1.0, 1.0)
print("from", _start.tolist(), "to", [round(v, 3) for v in _end.tolist()])
assert torch.equal(_start, torch.zeros(3)), "the start was changed"
assert _end[2] == 1, "the third entry wants to 5, and the box ends at 1"
assert (_end[:2] - _goal[:2]).abs().max() < 0.05, \
    "with signs, a slope of a millionth moves as fast as any other"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "signed_adam-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Hidden: every step against a reference: signs, all three decays, where the box is applied, bounds
# that are tensors.
### BEGIN HIDDEN TESTS
own_work(signed_adam)


def _reference(f, z, n, lr, low, high):
    z, m, v = z.clone(), torch.zeros_like(z), torch.zeros_like(z)
    for i in range(n):
        z.requires_grad_()
        g = torch.autograd.grad(f(z), z)[0].sign()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        eta = lr * 0.1 ** sum(i >= int(n * share) for share in (3 / 8, 5 / 8, 7 / 8))
        step = (m / (1 - 0.9 ** (i + 1))) / ((v / (1 - 0.999 ** (i + 1))).sqrt() + 1e-8)
        z = z.detach() - eta * step
        z = torch.minimum(torch.maximum(z, low), high)
    return z


_begin = torch.randn(2, 5, generator=rng(9))
_low, _high = torch.tensor([[-0.5], [-1.5]]), torch.tensor([[0.5], [0.1]])
for _n in (7, 8, 20, 31):
    for _f in (lambda z: (z - 0.4).square().sum(),
               lambda z: (z.sin() * torch.arange(1.0, 6)).sum()):
        _got = signed_adam(_f, _begin, _n, 0.05, _low, _high)
        _wanted = _reference(_f, _begin, _n, 0.05, _low, _high)
        torch.testing.assert_close(_got, _wanted, rtol=1e-4, atol=1e-5)
        assert not _got.requires_grad
### END HIDDEN TESTS

# %% tags=["raises-exception"]
# Look at it: your three pieces together are the attack. One client, 100 iterations, in normalised
# pixels.
one = images.clients(1, seed=seed)
network = models.lenet(images, seed=seed)
mean, std = images.mean.view(-1, 1, 1), images.std.view(-1, 1, 1)
names = [name for name, _ in network.named_parameters()]


def gradients_of(z, create_graph=False):
    loss = cross_entropy(network(z), one.labels[0])
    parameters = list(network.parameters())
    gradients = torch.autograd.grad(loss, parameters, create_graph=create_graph)
    return dict(zip(names, gradients, strict=True))


def objective(z):
    return cosine_distance(gradients_of(z, create_graph=True), sent) + 1e-2 * total_variation(z)


sent = gradients_of((one.images[0] - mean) / std)
z = signed_adam(objective, torch.randn(1, C, H, W, generator=rng(10)), 100, 0.1,
                (0 - mean) / std, (1 - mean) / std)
plots.sheet(torch.stack([one.images[0, 0], (z * std + mean)[0].clamp(0, 1)])[None],
            column_labels=["private", "found"], width=0.5)
plt.show()

# %% [markdown]
# ## Part 4. Ablation (4 points)
#
# Below, `lib` attacks the same 16 clients with everything ("all"), and with one thing changed. `scores` has a row for every variant and client. A table of means would hide that the clients are
# the same: some images are easy for every variant. So compare client by client: for every variant but "all", the mean of
# (variant − all) in dB, its 95 % interval by a paired t-test, and the verdict: "worse" where the whole interval is below 0, "better" where it
# is above, else "undecided". `ttest_rel(a, b).confidence_interval()` helps.

# %% nbgrader={"grade": false, "grade_id": "scores", "locked": true, "schema_version": 3, "solution": false, "task": false}
K, iterations = 16, 100
held = images.clients(K, seed=seed)
networks = models.ensemble(models.lenet, images, seeds=[1000 * seed + k for k in range(K)])
update = client.share(networks, held,
                      client.Protocol(normalise=True), threat=client.ThreatModel(labels="known"))
variants = {"all": {}, "squared distance": {"objective": "l2"}, "no total variation": {"tv": 0.0},
            "no signs": {"optimizer": "adam"}}
found, rows = {}, []
for variant, change in variants.items():
    attack = attacks.inverting_gradients(iterations, **change)
    found[variant] = attacks.reconstruct(update, attack, seed=seed).images
    scored = metrics.score(found[variant], held.images)
    rows.append(pd.DataFrame({"variant": variant, "client": scored.client, "psnr": scored.psnr}))
scores = pd.concat(rows, ignore_index=True)
plots.sheet(torch.stack([*(found[v][:4, 0] for v in variants), held.images[:4, 0]]),
            row_labels=[*variants, "private"], width=0.7)
plt.show()

# %% nbgrader={"grade": false, "grade_id": "differences", "locked": false, "schema_version": 3, "solution": true, "task": false}
def differences(scores):
    """A DataFrame, index: every variant but "all"; columns n, difference, low, high, verdict."""
    ### BEGIN SOLUTION
    psnr = scores.pivot(index="client", columns="variant", values="psnr")
    rows = {}
    for variant in psnr.columns.drop("all"):
        low, high = ttest_rel(psnr[variant], psnr["all"]).confidence_interval()
        verdict = "worse" if high < 0 else "better" if low > 0 else "undecided"
        difference = (psnr[variant] - psnr["all"]).mean()
        rows[variant] = {"n": len(psnr), "difference": difference, "low": low, "high": high,
                         "verdict": verdict}
    return pd.DataFrame.from_dict(rows, orient="index")
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "differences-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(differences)
_table = differences(scores)
print(_table.round(2).to_string())
assert list(_table.columns) == ["n", "difference", "low", "high", "verdict"]
assert sorted(_table.index) == sorted(set(variants) - {"all"}) and (_table.n == K).all()
assert ((_table.low <= _table.difference) & (_table.difference <= _table.high)).all()
_means = scores.groupby("variant").psnr.mean()
_gain = _means["no signs"] - _means["all"]
assert abs(_table.difference["no signs"] - _gain) < 1e-6, "the mean of (variant - all)"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "differences-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: made-up scores, where clients differ much and variants little; rows in another order; all
# three verdicts.
### BEGIN HIDDEN TESTS
own_work(differences)
_easy = torch.linspace(8, 40, 10, dtype=torch.float64)
_wobble = torch.tensor([0.1, -0.1] * 5, dtype=torch.float64)
_made = {"all": _easy, "a": _easy - 1 + _wobble, "b": _easy + 0.5 - _wobble,
         "c": _easy - 0.5 + 30 * _wobble}
_scores = pd.concat([pd.DataFrame({"variant": v, "client": range(10), "psnr": x.numpy()})
                     for v, x in _made.items()])
_table = differences(_scores.sample(frac=1, random_state=1).reset_index(drop=True))
_said = _table.verdict.to_dict()
assert _said == {"a": "worse", "b": "better", "c": "undecided"}, "compare client by client"
assert abs(_table.loc["a", "difference"] + 1) < 1e-6
assert abs(_table.loc["b", "difference"] - 0.5) < 1e-6
_half = 2.262157 * float(_wobble.std()) / 10**0.5                      # t of 9 degrees of freedom
assert abs(_table.loc["a", "low"] - (-1 - _half)) < 1e-4
assert abs(_table.loc["a", "high"] - (-1 + _half)) < 1e-4
### END HIDDEN TESTS

# %% [markdown]
# ## Part 5. A success curve with intervals (4 points)
#
# "Recovered" needs a threshold, and who picks the threshold picks the result. A success curve shows all of them: for every threshold $t$, the share of
# images with a PSNR of at least $t$. Each point is a share of only $n$ images, so it needs an interval. The usual
# $\hat p \pm 1.96 \sqrt{\hat p (1 - \hat p) / n}$ has length 0 at $\hat p = 1$, as if 16 successes of 16 proved certainty. Wilson's does not: it
# holds all $p$ for which $\hat p$ is no surprise,
#
# $$\Big\{ p : |\hat p - p| \le z \sqrt{p (1 - p) / n} \Big\}, \qquad z = 1.96 \text{ for 95 \%}.$$
#
# Square it and solve the quadratic for its two ends.

# %% nbgrader={"grade": false, "grade_id": "wilson", "locked": false, "schema_version": 3, "solution": true, "task": false}
def wilson(successes, n, z=1.959964):
    """The two ends (low, high) of Wilson's interval for a share: successes of n, n > 0."""
    ### BEGIN SOLUTION
    share = successes / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    return middle - half, middle + half
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "wilson-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(wilson)
_low, _high = wilson(16, 16)
print(f"16 of 16: between {_low:.2f} and {_high:.2f}")
assert abs(_high - 1) < 1e-6 and abs(_low - 0.8064) < 1e-3, "16 of 16 do not prove certainty"
_low, _high = wilson(8, 16)
assert abs(_low + _high - 1) < 1e-6 and 0.2 < _low < 0.3, "half of them: around one half"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "wilson-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: the ends fulfil the equation, for several shares, n and z.
### BEGIN HIDDEN TESTS
own_work(wilson)
for _k, _n in ((0, 5), (1, 12), (5, 7), (400, 1000)):
    for _z in (1.959964, 2.575829):
        _low, _high = wilson(_k, _n, _z)
        assert _low < _high
        for _p in (_low, _high):
            assert abs((_k / _n - _p) ** 2 - _z**2 * _p * (1 - _p) / _n) < 1e-9, (_k, _n, _z)
### END HIDDEN TESTS

# %% [markdown]
# Now the curve. The function is given PSNRs and thresholds; it computes the interval itself or calls yours.

# %% nbgrader={"grade": false, "grade_id": "success_curve", "locked": false, "schema_version": 3, "solution": true, "task": false}
def success_curve(psnr, thresholds):
    """A DataFrame, index: the thresholds; columns share, low, high (95 %, Wilson). A PSNR of NaN is
    a failure, and counts in n."""
    ### BEGIN SOLUTION
    rows = []
    for threshold in thresholds:
        n, z = len(psnr), norm.ppf(0.975)
        share = sum(value >= threshold for value in psnr) / n
        middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
        rows.append({"share": share, "low": middle - half, "high": middle + half})
    return pd.DataFrame(rows, index=list(thresholds))
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "success_curve-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(success_curve)
_curve = success_curve(scores[scores.variant == "all"].psnr.tolist(), [5, 10, 15, 20, 25, 30])
print(_curve.round(2).to_string())
assert list(_curve.columns) == ["share", "low", "high"]
assert list(_curve.index) == [5, 10, 15, 20, 25, 30]
assert ((_curve.low <= _curve.share + 1e-9) & (_curve.share <= _curve.high + 1e-9)).all()
assert success_curve([1.0, 2.0, 4.0, 8.0], [0, 3, 9]).share.tolist() == [1, 0.5, 0]

# %% tags=["raises-exception"]
# Look at it: which of these curves would you call different?
fig, ax = plots.axes(width=0.8, height=0.6)
for variant, style in zip(variants, ("-", "--", "-.", ":"), strict=True):
    curve = success_curve(scores[scores.variant == variant].psnr.tolist(), range(8, 31))
    line, = ax.plot(curve.index, curve.share, style, label=variant)
    ax.fill_between(curve.index, curve.low, curve.high, color=line.get_color(), alpha=0.12)
ax.set(xlabel="threshold [dB]", ylabel=f"share of {K} images recovered", ylim=(0, 1))
ax.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "success_curve-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: made-up values: a value on the threshold, NaN.
### BEGIN HIDDEN TESTS
own_work(success_curve)
_curve = success_curve([10.0, 20.0, 30.0, float("nan")], [10, 20.5, 31])
assert _curve.share.tolist() == [0.75, 0.25, 0.0], \
    "at least the threshold; NaN is not recovered, and counts in n"
assert abs(_curve.low.iloc[0] - 0.3006) < 1e-3, "Wilson's interval"
assert abs(_curve.high.iloc[0] - 0.9544) < 1e-3, "Wilson's interval"
assert abs(_curve.high.iloc[2] - 0.4899) < 1e-3 and abs(_curve.low.iloc[2]) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## Part 6. One lucky image (2 points)
#
# A paper shows one picture. Was it drawn at random, or is it the best of $m$? Compute what the best of $m$ has *on average*, exactly: draw $m$ of the $n$ values without
# replacement; sort all values upwards, $v_1 \le \dots \le v_n$; then $v_i$ is the largest of the draw with probability
# $\binom{i-1}{m-1} / \binom{n}{m}$. (Why?)

# %% nbgrader={"grade": false, "grade_id": "best_of", "locked": false, "schema_version": 3, "solution": true, "task": false}
def best_of(psnr, m):
    """The expected largest of m values drawn without replacement from the list psnr,
    1 <= m <= n."""
    ### BEGIN SOLUTION
    n = len(psnr)
    return sum(value * comb(i, m - 1) for i, value in enumerate(sorted(psnr))) / comb(n, m)
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "best_of-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(best_of)
_values = scores[scores.variant == "all"].psnr.tolist()
print("the best of", {m: f"{best_of(_values, m):.1f} dB" for m in (1, 2, 4, 8, 16)})
assert abs(best_of(_values, 1) - sum(_values) / len(_values)) < 1e-6, "the best of one is the mean"
assert abs(best_of(_values, K) - max(_values)) < 1e-6, "the best of all is the largest"
assert abs(best_of([1.0, 2.0, 3.0], 2) - 8 / 3) < 1e-6, \
    "of three draws of two, one has 2 as its best and two have 3"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "best_of-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: other values, in any order, against all possible draws.
### BEGIN HIDDEN TESTS
own_work(best_of)
for _values in ([3.0, -1.0, 7.0, 2.0, 2.0], [5.0, 4.0, 9.0, 1.0, 0.0, 6.0]):
    for _m in range(1, len(_values) + 1):
        _all = [max(draw) for draw in combinations(_values, _m)]
        assert abs(best_of(_values, _m) - sum(_all) / len(_all)) < 1e-9, _m
### END HIDDEN TESTS

# %% [markdown]
# ## To think about (no points)
#
# - You made three comparisons in part 4, each with an error of 5 %. How likely is at least one false alarm? What would you print?
# - The learning rate and the weight of the total variation were the same for all variants. Is that fair to the squared distance?
# - Victims here are untrained. Which of the three parts gains most once the victim is trained, and why? (Notebook 03.)
