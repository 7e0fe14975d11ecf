# %% [markdown]
# # Assignment 4: defend
#
# A defense changes the update before it leaves the client. It costs accuracy, and it is worth what the *strongest* attacker leaves of it: one who knows the
# defense and adapts. You will write a known defense, break it, decide how to score privacy, and then write a defense of your own that has to stand against three
# attackers.
#
# **You will be able to**
#
# - write a defense as one function on an update, and apply it in training as well as in an attack;
# - adapt an attack to a defense;
# - score privacy by the strongest attacker, with n and spread;
# - say which defenses are not worth having, by accuracy and privacy together.
#
# | part | | points | minutes |
# |---|---|---|---|
# | 1 | prune the update | 3 | 15 |
# | 2 | the attacker adapts | 4 | 15 |
# | 3 | privacy is what the strongest attacker leaves | 3 | 15 |
# | 4 | your defense | 7 | 30 |
# | 5 | which defenses are worth having | 3 | 15 |
# | | | **20** | **90** |
#
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded, and what they look at is said. No part needs the answer of another
# one. Restart the kernel and run everything before you hand in. Use plain PyTorch and pandas; calling `lib`'s defenses and objectives is
# not an answer.
#
# **Threat model.** The server is honest but curious. It knows the model, its random weights (the first round, when most leaks), the update of a client with one image and
# its label, the mean and standard deviation of public images, and *which defense is used*; not the random numbers that the client drew.
#
# **Background.** Notebooks 05_huang_evaluation and 01_dlg (Figure 7). Papers: Zhu, Liu and Han 2019 (arXiv:1906.08935), section 5; Huang, Gupta, Song, Li and Arora 2021
# (arXiv:2112.00059); Tramèr, Carlini, Brendel and Madry 2020, "On Adaptive Attacks to Adversarial Example Defenses" (arXiv:2002.08347), for the way of thinking.

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other networks, other starts
pictures = "digits"     # "digits" or "photos": sets with labels that can be learned, and a train split

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings
from dataclasses import replace

import pandas as pd
import torch

from lib import attacks, client, data, defenses, metrics, models, plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
if pictures not in ("digits", "photos"):
    raise ValueError(f"pictures = {pictures!r}: 'digits' or 'photos', which have labels to learn")
public, images = (data.load(pictures, split=split, size=8) for split in ("train", "test"))
held = images.clients(16, seed=seed)              # 16 clients, one private image each


def rng(number):
    """A generator of random numbers that depends on the seed of the assignment."""
    return torch.Generator().manual_seed(1000 * seed + number)


def network():
    """The victim: two dense layers, random weights."""
    return models.dense(images, hidden=(32,), seed=seed)


class Defense:
    """What `client.share` and `models.train` take: an object with a function `update(grads, rng)`."""

    def __init__(self, update):
        self.update = update


def shared(defense=None):
    """What 16 clients with one image each share in the first round."""
    return client.share(network(), held, client.Protocol(normalise=True), defense,
                        client.ThreatModel(labels="known", defense_known=True), seed=seed)


def accuracy(defense=None):
    """On test images, after eight epochs in which every update (of 64 images) goes through the defense."""
    return models.accuracy(models.train(network(), public, epochs=8, defense=defense, seed=seed), images)


def closed_form(update):
    """The images from the first layer, by all rows in which an entry is left (assignment 1, part 3)."""
    dW, db = update.gradients["1.weight"], update.gradients["1.bias"]
    weight = db.square()[:, :, None] * (dW != 0)
    x = (db[:, :, None] * dW).sum(1) / weight.sum(1).clamp_min(1e-12)
    mean, std = (v.view(-1, 1, 1) for v in (images.mean, images.std))
    return (x.view(held.images.shape) * std + mean).clamp(0, 1)


def matching(update, masked):
    """Inverting Gradients, 80 iterations; masked: it looks only where the update is not zero."""
    return attacks.reconstruct(update, attacks.inverting_gradients(80, masked=masked), seed=seed).images


attackers = {"plain": lambda update: matching(update, False), "masked": lambda update: matching(update, True),
             "closed form": closed_form}


def attacked(name, defense):
    """A row for every attacker and client: defense, attacker, client, psnr (cut at 60 dB)."""
    update = shared(defense)
    rows = [metrics.score(attack(update), held.images)[["client", "psnr"]].assign(defense=name, attacker=attacker)
            for attacker, attack in attackers.items()]
    table = pd.concat(rows, ignore_index=True)[["defense", "attacker", "client", "psnr"]]
    return table.assign(psnr=table.psnr.clip(upper=60))        # 60 dB: exact, but for the last bit of a pixel


average = (public.images.float() / 255).mean(0).expand_as(held.images)
ignorant = metrics.score(average, held.images).psnr.mean()
undefended = accuracy()
print(f"no defense: accuracy {undefended:.2f}.  The mean public image, which needs no update: {ignorant:.1f} dB")

# %% [markdown]
# ## Part 1. Prune the update (3 points)
#
# Sending only the largest entries saves bandwidth, and was proposed as a defense (Zhu et al. 2019, section 5.2). In *every tensor* set the entries of smallest magnitude to zero: `int(share * number of
# entries)` of them. `rng` is there because every defense is called with it; this one needs no random numbers.

# %% nbgrader={"grade": false, "grade_id": "prune", "locked": false, "schema_version": 3, "solution": true, "task": false}
def prune(grads, rng, share):
    """The update (dict name -> tensor) with the smallest `share` of every tensor set to zero; grads is not changed."""
    ### BEGIN SOLUTION
    pruned = {}
    for name, g in grads.items():
        flat = g.flatten().clone()
        flat[flat.abs().argsort()[: int(share * flat.numel())]] = 0
        pruned[name] = flat.view_as(g)
    return pruned
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "prune-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
_grads = {"weight": torch.tensor([[1.0, -5.0, 2.0], [-0.5, 3.0, 0.1]]), "bias": torch.tensor([0.01, -0.02])}
_got = prune(_grads, rng(0), 0.5)
assert torch.equal(_got["weight"], torch.tensor([[0, -5.0, 2.0], [0, 3.0, 0]])), "by magnitude: -5 stays"
assert torch.equal(_got["bias"], torch.tensor([0, -0.02])), "every tensor by itself: the bias is not lost"

# %% nbgrader={"grade": true, "grade_id": "prune-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: shares of 0, 1 and between, tensors of other shapes; what is given is not changed.
### BEGIN HIDDEN TESTS
_grads = {"a": torch.randn(3, 4, 5, generator=rng(1)), "b": torch.randn(7, generator=rng(2))}
_kept = {n: g.clone() for n, g in _grads.items()}
for _share in (0, 0.25, 0.3, 0.9, 1):
    _got = prune(_grads, rng(0), _share)
    for _n, _g in _grads.items():
        _zero = _got[_n] == 0
        assert int(_zero.sum()) == int(_share * _g.numel()), (_share, _n)
        assert torch.equal(_got[_n][~_zero], _g[~_zero]), "what is left is as it was"
        if 0 < _zero.sum() < _g.numel():
            assert _g[_zero].abs().max() <= _g[~_zero].abs().min(), "the smallest go"
assert all(torch.equal(_grads[n], _kept[n]) for n in _grads), "grads was changed"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 2. The attacker adapts (4 points)
#
# An attacker who compares its dummy gradient with a pruned update takes every zero for a measurement: "here the gradient was 0". It was not; the client cut it. An attacker who
# knows the defense compares only where something was sent. Write the objective
#
# $$D = 1 - \frac{\langle m \odot \nabla W', \nabla W \rangle}{\|m \odot \nabla W'\| \, \|\nabla W\|}, \qquad m = [\nabla W \ne 0],$$
#
# one cosine over all parameters.

# %% nbgrader={"grade": false, "grade_id": "masked_cosine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_cosine(dummy, shared):
    """1 - cosine of two dicts of gradients, name -> tensor, where `shared` is not zero. A scalar, differentiable by dummy."""
    ### BEGIN SOLUTION
    a = torch.cat([(dummy[name] * (shared[name] != 0)).flatten() for name in shared])
    b = torch.cat([shared[name].flatten() for name in shared])
    return 1 - a @ b / (a.norm() * b.norm())
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "masked_cosine-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
_a = {"w": torch.tensor([3.0, 8.0]), "b": torch.tensor([4.0])}
_b = {"w": torch.tensor([6.0, 0.0]), "b": torch.tensor([8.0])}
torch.testing.assert_close(masked_cosine(_a, _b), torch.tensor(0.0), atol=1e-6, rtol=0)
torch.testing.assert_close(masked_cosine(_a, {n: -g for n, g in _b.items()}), torch.tensor(2.0))

# %% [markdown]
# Your objective goes into `lib`'s attack as it is: here against an update of which 90 % were pruned (by `lib`), next to the attacker who does not adapt.

# %%
# Look at it.
pruned = shared(defenses.GradPrune(0.9))
plain = attacks.inverting_gradients(80)
found = {"does not adapt": attacks.reconstruct(pruned, plain, seed=seed).images,
         "adapts": attacks.reconstruct(pruned, replace(plain, objective=masked_cosine), seed=seed).images}
for name, guess in found.items():
    psnr = metrics.score(guess, held.images).psnr
    print(f"{name}: {psnr.mean():.1f} ± {psnr.std():.1f} dB, n = {len(psnr)}")
sheet = plots.sheet(torch.stack([*(guess[:6, 0] for guess in found.values()), held.images[:6, 0]]),
                    row_labels=[*found, "private"], width=0.7)

# %% nbgrader={"grade": true, "grade_id": "masked_cosine-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: one cosine over all layers; nothing pruned; it can be differentiated, and pruned entries have no slope.
### BEGIN HIDDEN TESTS
_t = {"w": torch.randn(4, 5, generator=rng(3), dtype=torch.float64), "b": torch.randn(6, generator=rng(4), dtype=torch.float64)}
_d = {n: torch.randn(g.shape, generator=rng(5), dtype=torch.float64) for n, g in _t.items()}
_flat = [torch.cat([_v["w"].flatten(), _v["b"]]) for _v in (_d, _t)]
torch.testing.assert_close(masked_cosine(_d, _t), 1 - torch.cosine_similarity(*_flat, dim=0))
_t["w"][1:] = 0
_d["w"].requires_grad_()
_slope, = torch.autograd.grad(masked_cosine(_d, _t), _d["w"])
assert not _slope[1:].any() and _slope[0].abs().max() > 0
_flat = [torch.cat([_v["w"][0], _v["b"]]) for _v in (_d, _t)]
torch.testing.assert_close(masked_cosine(_d, _t), 1 - torch.cosine_similarity(*_flat, dim=0))
### END HIDDEN TESTS

# %% [markdown]
# ## Part 3. Privacy is what the strongest attacker leaves (3 points)
#
# Below, three attackers meet five defenses; `scores` has a row for every defense, attacker and client. A defense is scored by the attacker with the highest *mean* PSNR over the clients. (Why not by the best attacker for
# each client? The attacker cannot see which of its images is right.) With that attacker come n and the sample standard deviation.

# %% nbgrader={"grade": false, "grade_id": "scores", "locked": true, "schema_version": 3, "solution": false, "task": false}
known = {"none": None, "prune 0.9": defenses.GradPrune(0.9), "prune 0.99": defenses.GradPrune(0.99),
         "8 bits": defenses.LowPrecision("int8"), "noise 1e-2": defenses.GaussianNoise(1e-2)}
scores = pd.concat([attacked(name, defense) for name, defense in known.items()], ignore_index=True)
utility = {name: accuracy(defense) for name, defense in known.items()}
scores.pivot_table(index="defense", columns="attacker", values="psnr", sort=False).round(1)

# %% nbgrader={"grade": false, "grade_id": "leakage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def leakage(scores):
    """A DataFrame, index: the defenses; columns attacker (the strongest), psnr (its mean), std, n."""
    ### BEGIN SOLUTION
    table = scores.groupby(["defense", "attacker"]).psnr.agg(psnr="mean", std="std", n="count").reset_index()
    strongest = table.loc[table.groupby("defense").psnr.idxmax()]
    return strongest.set_index("defense")[["attacker", "psnr", "std", "n"]]
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "leakage-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
_table = leakage(scores)
print(_table.round(1).to_string())
assert list(_table.columns) == ["attacker", "psnr", "std", "n"] and sorted(_table.index) == sorted(known)
assert (_table.n == 16).all(), "n counts clients"
assert (_table.psnr >= scores[scores.attacker == "plain"].groupby("defense").psnr.mean()[_table.index] - 1e-9).all()

# %% nbgrader={"grade": true, "grade_id": "leakage-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: your numbers; made-up scores where the best attacker of single clients is not the strongest.
### BEGIN HIDDEN TESTS
_means = scores.groupby(["defense", "attacker"]).psnr.mean()
for _name in known:
    assert _table.loc[_name, "attacker"] == _means[_name].idxmax() and abs(_table.loc[_name, "psnr"] - _means[_name].max()) < 1e-9
_made = pd.DataFrame([("d", "steady", 0, 20.0), ("d", "steady", 1, 22.0), ("d", "lucky", 0, 5.0), ("d", "lucky", 1, 35.0),
                      ("e", "steady", 0, 1.0), ("e", "steady", 1, 2.0), ("e", "lucky", 0, 9.0), ("e", "lucky", 1, 8.0)],
                     columns=["defense", "attacker", "client", "psnr"])
_got = leakage(_made.sample(frac=1, random_state=2))
assert _got.attacker.to_dict() == {"d": "steady", "e": "lucky"} and _got.psnr.to_dict() == {"d": 21.0, "e": 8.5}
assert abs(_got.loc["d", "std"] - 2**0.5) < 1e-9, "the sample standard deviation"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 4. Your defense (7 points)
#
# Write one function that changes an update, by any means: clipping, noise, fewer bits, fewer entries, some layers more than others, all of it
# together. It may use `rng` for random numbers (`torch.randn(g.shape, generator=rng)`), and nothing of the images or labels. It has to be
#
# - **useful**: after training through it, the accuracy on test images is at most 0.15 below that without a defense (3 points);
# - **private**: the strongest of the three attackers gets, on average over the clients, at most 1 dB more than the mean public image, which
#   needs no update (2 points);
# - both for other clients and another network, when your work is graded (2 points).
#
# Which defenses of part 3 are both? Think about the difference between the two: in training an update is the mean of 64 images, in the attack it comes from one. The printed lines of
# the tests tell how far you are.

# %% nbgrader={"grade": false, "grade_id": "defend", "locked": false, "schema_version": 3, "solution": true, "task": false}
def defend(grads, rng):
    """The update (dict name -> tensor) as the client sends it. rng: a torch.Generator, for random numbers."""
    ### BEGIN SOLUTION
    norm = sum(g.square().sum() for g in grads.values()).sqrt()
    scale = (1 / norm.clamp_min(1e-12)).clamp(max=1)           # clip the whole update to norm 1, as DP-SGD does
    return {name: scale * g + 0.1 * torch.randn(g.shape, generator=rng) for name, g in grads.items()}
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "defend-useful", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
_grads = {n: p.detach().clone() for n, p in network().named_parameters()}
_sent = defend(_grads, rng(6))
assert {n: g.shape for n, g in _sent.items()} == {n: g.shape for n, g in _grads.items()}, "same names, same shapes"
assert all(g.isfinite().all() for g in _sent.values())
_accuracy = accuracy(Defense(defend))
print(f"accuracy {_accuracy:.2f}, without a defense {undefended:.2f}")
assert _accuracy >= undefended - 0.15, "this costs too much accuracy"

# %% nbgrader={"grade": true, "grade_id": "defend-private", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
_leaks = attacked("mine", Defense(defend)).groupby("attacker").psnr.mean()
print("mean PSNR by attacker:", {name: f"{value:.1f} dB" for name, value in _leaks.items()}, f"limit {ignorant + 1:.1f} dB")
assert _leaks.max() <= ignorant + 1, "the strongest attacker gets too much"

# %% nbgrader={"grade": true, "grade_id": "defend-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: other clients and other networks; the same rng gives the same update; what is given is not changed.
### BEGIN HIDDEN TESTS
_before = {n: g.clone() for n, g in _grads.items()}
_twice = [defend(_grads, torch.Generator().manual_seed(7)) for _ in range(2)]
assert all(torch.equal(_grads[n], _before[n]) for n in _grads), "grads was changed"
assert all(torch.equal(_twice[0][n], _twice[1][n]) for n in _grads), "take random numbers from rng alone"
_kept_held, _kept_network = held, network
try:
    held = images.clients(16, seed=seed + 91)

    def network():
        return models.dense(images, hidden=(32,), seed=seed + 92)

    _others = attacked("mine", Defense(defend)).groupby("attacker").psnr.mean()
    _limit = metrics.score(average, held.images).psnr.mean()
    assert accuracy(Defense(defend)) >= accuracy() - 0.15, "this costs another network too much accuracy"
finally:
    held, network = _kept_held, _kept_network
assert _others.max() <= _limit + 1, "the strongest attacker gets too much from other clients"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 5. Which defenses are worth having (3 points)
#
# A defense is *dominated* where another one is at least as good in both accuracy and leakage (mean PSNR of the strongest attacker; less is better), and better in one of them.
# Nobody should use a dominated defense. What remains is the Pareto front: between those, someone has to choose.

# %% nbgrader={"grade": false, "grade_id": "pareto", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pareto(table):
    """The names (a list, by falling accuracy) of the defenses that no other dominates.

    table: a DataFrame, index: the defenses; columns accuracy, psnr."""
    ### BEGIN SOLUTION
    def dominated(one):
        better = (table.accuracy >= one.accuracy) & (table.psnr <= one.psnr)
        return (better & ((table.accuracy > one.accuracy) | (table.psnr < one.psnr))).any()

    front = [name for name, one in table.iterrows() if not dominated(one)]
    return sorted(front, key=lambda name: -table.accuracy[name])
    ### END SOLUTION

# %% nbgrader={"grade": true, "grade_id": "pareto-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
_means = scores.pivot_table(index="defense", columns="attacker", values="psnr").max(axis=1)
_table = pd.DataFrame({"accuracy": pd.Series(utility), "psnr": _means})
_front = pareto(_table)
print(_table.round(2).to_string(), "\nworth having:", _front)
assert set(_front) <= set(known), "names of defenses"
assert _table.sort_values(["accuracy", "psnr"], ascending=[False, True]).index[0] in _front, "the most accurate is on the front"

# %% nbgrader={"grade": true, "grade_id": "pareto-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: made-up tables: equal rows, equal in one column, a single row.
### BEGIN HIDDEN TESTS
def _made(**rows):
    return pd.DataFrame.from_dict(rows, orient="index", columns=["accuracy", "psnr"])


assert pareto(_made(a=(0.9, 30), b=(0.8, 20), c=(0.7, 25), d=(0.6, 10))) == ["a", "b", "d"]
assert pareto(_made(d=(0.6, 10), a=(0.9, 30), b=(0.8, 20))) == ["a", "b", "d"], "by falling accuracy"
assert pareto(_made(a=(0.9, 30), b=(0.9, 20))) == ["b"], "equal accuracy, less leakage"
assert pareto(_made(a=(0.9, 30), b=(0.8, 30))) == ["a"], "equal leakage, more accuracy"
assert sorted(pareto(_made(a=(0.9, 30), b=(0.9, 30)))) == ["a", "b"], "equal in both: neither dominates the other"
assert pareto(_made(a=(0.1, 50))) == ["a"]
### END HIDDEN TESTS

# %%
# Look at it: accuracy to the right, leakage upwards. Where does yours stand?
fig, ax = plots.axes(width=0.7)
with_mine = _table.copy()
with_mine.loc["mine"] = (_accuracy, _leaks.max())              # measured in part 4
front = pareto(with_mine)
for name, one in with_mine.iterrows():
    ax.plot(one.accuracy, one.psnr, "o" if name in front else "x", color="black")
    ax.annotate(name, (one.accuracy, one.psnr), xytext=(4, 4), textcoords="offset points", fontsize=8)
ax.axhline(ignorant, linestyle=":", color="grey")
ax.set(xlabel="accuracy (circle: worth having, cross: dominated)", ylabel="PSNR of the strongest\nattacker, mean [dB]")
ax.margins(0.15)

# %% [markdown]
# ## To think about (no points)
#
# - Your defense stood against *these* attackers. Write one that knows it: what would it do against your noise, with a prior on digits, or with the
#   updates of several rounds?
# - DP-SGD clips the gradient of every *single* image before the mean, and has a proof. What does clipping the mean, as the client here can, not give?
# - 16 clients, one image each, one network. What of your conclusion would you sign for a batch of 64?
