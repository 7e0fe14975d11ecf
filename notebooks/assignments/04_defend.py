# %% [markdown]
# # Assignment 4: defend
#
# A defense changes the update before it leaves the client. It costs accuracy, and it is worth what the *strongest* attacker leaves of it: one who knows the
# defense and adapts. You will write a known defense, break it, decide how to score privacy, and then write a defense of your own that has to stand against four
# attackers, one of whom learns from your own function how to undo it.
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
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it.
# A test that fails does not stop the cells below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded, and what they look at is said. No part needs the answer of another
# one. Restart the kernel and run everything before you hand in. Use plain PyTorch and pandas; calling `lib`'s defenses and objectives is
# not an answer.
#
# **Threat model.** The server is honest but curious. It knows the model, its random weights (the first round, when most leaks), the update of a client with one image and
# its label, public images of the same kind, and *the defense itself*, which it may run as often as it likes; not the random numbers that the client drew.
#
# **Background.** Notebooks 05_huang_evaluation and 01_dlg (Figure 7). Papers: Zhu, Liu and Han 2019 (arXiv:1906.08935), section 5; Huang, Gupta, Song, Li and Arora 2021
# (arXiv:2112.00059); Tramèr, Carlini, Brendel and Madry 2020, "On Adaptive Attacks to Adversarial Example Defenses" (arXiv:2002.08347), for the way of thinking.

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other networks, other noise

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings
from dataclasses import replace

import pandas as pd
import torch

from lib import attacks, client, data, defenses, metrics, models, objectives, run
from studies import plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
public, images = (data.load("digits", split=split, size=8) for split in ("train", "test"))
typical = torch.stack([public.images[public.labels == c].float().mean(0) / 255
                       for c in range(10)])  # a mean image a label


def rng(number):
    """A generator of random numbers that depends on the seed of the assignment."""
    return torch.Generator().manual_seed(1000 * seed + number)

# %% nbgrader={"grade": false, "grade_id": "defenses", "locked": true, "schema_version": 3, "solution": false, "task": false}
class Defense:
    """An object as `lib` wants it, of one function `update(grads, rng)`."""

    def __init__(self, update):
        self.update = update


class EachClient:
    """For training: every image of a step is a client of its own, with random numbers of its own,
    and what the server averages went through the defense."""

    def __init__(self, defense):
        self.defense, self.step = defense, 0

    def per_example(self, grads):
        self.step += 1
        count = len(next(iter(grads.values())))
        sent = [self.defense.update({name: g[k] for name, g in grads.items()},
                                    run.generator("training", seed, self.step, k))
                for k in range(count)]
        return {name: torch.stack([one[name] for one in sent]) for name in grads}

# %% nbgrader={"grade": false, "grade_id": "clients", "locked": true, "schema_version": 3, "solution": false, "task": false}
def network(number=0):
    """The victim: two dense layers of random weights. Other numbers give other networks."""
    return models.dense(images, hidden=(32,), seed=1000 * seed + number)


def accuracy(defense=None, number=0):
    """On test images, after two epochs; in each step the server averages the updates of 64 clients
    with one image each."""
    how = None if defense is None else EachClient(defense)
    trained = models.train(network(number), public, epochs=2, lr=0.5, defense=how, seed=seed)
    return models.accuracy(trained, images)


def clients(number=0):
    """32 clients, each with one private image. Other numbers give other clients."""
    return images.clients(32, seed=1000 * seed + number)


def shared(defense, batch, number=0, drawn=0):
    """What these clients send in the first round. drawn: other numbers give other random numbers of
    the clients."""
    threat = client.ThreatModel(labels="known", defense_known=True, prior_data="digits")
    return client.share(network(number), batch, client.Protocol(normalise=True), defense,
                        threat, seed=1000 * seed + drawn)

# %% nbgrader={"grade": false, "grade_id": "searching", "locked": true, "schema_version": 3, "solution": false, "task": false}
def matching(objective, iterations):
    """An attacker who searches: Inverting Gradients with this objective, which looks only where
    something was sent (part 2)."""
    masked = objectives.masked(objective)
    attack = replace(attacks.inverting_gradients(iterations), objective=masked)
    return lambda update, defense, number: attacks.reconstruct(update, attack, seed=seed).images

# %% nbgrader={"grade": false, "grade_id": "dividing", "locked": true, "schema_version": 3, "solution": false, "task": false}
def closed_form(update, defense, number):
    """An attacker who divides (assignment 1): the least squares of the first layer, from the
    entries that were sent; where none was, the typical image of the label."""
    dW, db = update.gradients["1.weight"], update.gradients["1.bias"]
    size = (db.square()[:, :, None] * (dW != 0)).sum(1)
    x = (db[:, :, None] * dW).sum(1) / size.clamp_min(1e-12)
    mean, std = (v.view(-1, 1, 1) for v in (images.mean, images.std))
    x, size = (v.view(-1, 1, *images.shape) for v in (x, size))
    return torch.where(size > 1e-12, x * std + mean, typical[update.labels]).clamp(0, 1)


def flat(update):
    """All gradients of each client as one row, in float64."""
    return torch.cat([g.flatten(1) for g in update.gradients.values()], 1).double()

# %% nbgrader={"grade": false, "grade_id": "learning", "locked": true, "schema_version": 3, "solution": false, "task": false}
def learned(update, defense, number):
    """An attacker who learns how to undo the defense: it runs it on public images, with random
    numbers of its own, and fits by ridge regression from which image, other than the typical one of
    its label, such an update comes."""
    own = public.clients(400, seed=seed + 1)
    seen = flat(shared(defense, own, number, drawn=1))
    wanted = (own.images - typical[own.labels]).flatten(1).double()
    mean, std = seen.mean(0), seen.std(0)
    # All alike; each by itself, so that none hides others.
    scales = std.norm().expand_as(std) + 1e-12, torch.where(std > 0, std, torch.inf)

    def ridge(n, scale, strength, asked):         # fitted to the first n of the public images
        x = (seen[:n] - mean) / scale
        gram = x @ x.T
        ridged = gram + strength * (gram.diagonal().mean() + 1e-9) * torch.eye(n)
        weights = torch.linalg.solve(ridged, wanted[:n])
        return (asked - mean) / scale @ x.T @ weights

    best = min(((scale, strength) for scale in scales for strength in (0.01, 0.1, 1, 10, 100)),
               key=lambda choice: (ridge(300, *choice, seen[300:]) - wanted[300:]).square().mean())
    found = ridge(400, *best, flat(update)).view(-1, 1, *images.shape).float()
    return (typical[update.labels] + found).clamp(0, 1)

# %% nbgrader={"grade": false, "grade_id": "attackers", "locked": true, "schema_version": 3, "solution": false, "task": false}
attackers = {"matching": matching(objectives.cosine, 100),
             "layer by layer": matching(objectives.layer_cosine, 50),
             "closed form": closed_form, "learned": learned}


def attacked(name, defense, number=0):
    """A row for every attacker and client: defense, attacker, client, psnr (cut at 60 dB: exact to
    the last bit of a pixel)."""
    batch = clients(number)
    update = shared(defense, batch, number)
    rows = []
    for attacker, attack in attackers.items():
        scored = metrics.score(attack(update, defense, number), batch.images)
        rows.append(scored[["client", "psnr"]].assign(defense=name, attacker=attacker))
    table = pd.concat(rows, ignore_index=True)[["defense", "attacker", "client", "psnr"]]
    return table.assign(psnr=table.psnr.clip(upper=60))


def ignorant(number=0):
    """The mean PSNR of an attacker who has no update: the typical image of the label."""
    batch = clients(number)
    return metrics.score(typical[batch.labels], batch.images).psnr.mean()

# %% nbgrader={"grade": false, "grade_id": "undefended", "locked": true, "schema_version": 3, "solution": false, "task": false}
def own_work(function):
    """Fails for one of lib's functions, and for one that calls those which are the answer."""
    names = set(function.__code__.co_names)
    mine = function.__module__ == "__main__" and not {"defenses", "objectives", "attacks"} & names
    assert mine, "write it yourself"


undefended = accuracy()
print(f"no defense: accuracy {undefended:.2f}.  Without any update, the typical image of the "
      f"label: {ignorant():.1f} dB")

# %% [markdown]
# ## Part 1. Prune the update (3 points)
#
# Sending only the largest entries saves bandwidth, and was proposed as a defense (Zhu et al. 2019, section 5.2). In *every tensor* set the entries of smallest magnitude to zero: `int(share * number of
# entries)` of them. `rng` is there because every defense is called with it; this one needs no random numbers.

# %% nbgrader={"grade": false, "grade_id": "prune", "locked": false, "schema_version": 3, "solution": true, "task": false}
def prune(grads, rng, share):
    """The update (dict name -> tensor) with the smallest `share` of every tensor set to zero; grads
    is not changed."""
    ### BEGIN SOLUTION
    pruned = {}
    for name, g in grads.items():
        flat = g.flatten().clone()
        flat[flat.abs().argsort()[: int(share * flat.numel())]] = 0
        pruned[name] = flat.view_as(g)
    return pruned
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "prune-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(prune)
_grads = {"weight": torch.tensor([[1.0, -5.0, 2.0], [-0.5, 3.0, 0.1]]),
          "bias": torch.tensor([0.01, -0.02])}
_got = prune(_grads, rng(0), 0.5)
_wanted = torch.tensor([[0, -5.0, 2.0], [0, 3.0, 0]])
assert torch.equal(_got["weight"], _wanted), "by magnitude: -5 stays"
assert torch.equal(_got["bias"], torch.tensor([0, -0.02])), \
    "every tensor by itself: the bias is not lost"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "prune-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: shares of 0, 1 and between, tensors of other shapes; what is given is not changed.
### BEGIN HIDDEN TESTS
own_work(prune)
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
# one cosine over all parameters. Multiply by the mask, do not index with it: `lib` runs many clients at once (`torch.func.vmap`), and shapes must not depend
# on values.

# %% nbgrader={"grade": false, "grade_id": "masked_cosine", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_cosine(dummy, shared):
    """1 - cosine of two dicts of gradients, name -> tensor, where `shared` is not zero. A scalar,
    differentiable by dummy."""
    ### BEGIN SOLUTION
    a = torch.cat([(dummy[name] * (shared[name] != 0)).flatten() for name in shared])
    b = torch.cat([shared[name].flatten() for name in shared])
    return 1 - a @ b / (a.norm() * b.norm())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "masked_cosine-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(masked_cosine)
_a = {"w": torch.tensor([3.0, 8.0]), "b": torch.tensor([4.0])}
_b = {"w": torch.tensor([6.0, 0.0]), "b": torch.tensor([8.0])}
torch.testing.assert_close(masked_cosine(_a, _b), torch.tensor(0.0), atol=1e-4, rtol=0)
torch.testing.assert_close(masked_cosine(_a, {n: -g for n, g in _b.items()}), torch.tensor(2.0))

# %% [markdown]
# Your objective goes into `lib`'s attack as it is: here against an update of which 90 % were pruned (by `lib`), next to the attacker who does not adapt.

# %% tags=["raises-exception"]
# Look at it.
batch = clients()
pruned, plain = shared(defenses.GradPrune(0.9), batch), attacks.inverting_gradients(60)
found = {"does not adapt": attacks.reconstruct(pruned, plain, seed=seed).images,
         "adapts": attacks.reconstruct(pruned, replace(plain, objective=masked_cosine),
                                       seed=seed).images}
for name, guess in found.items():
    psnr = metrics.score(guess, batch.images).psnr
    print(f"{name}: {psnr.mean():.1f} ± {psnr.std():.1f} dB, n = {len(psnr)}")
sheet = plots.sheet(torch.stack([*(guess[:6, 0] for guess in found.values()), batch.images[:6, 0]]),
                    row_labels=[*found, "private"], width=0.7)

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "masked_cosine-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: one cosine over all layers; nothing pruned; it can be differentiated, and pruned entries
# have no slope.
### BEGIN HIDDEN TESTS
own_work(masked_cosine)
_t = {"w": torch.randn(4, 5, generator=rng(3), dtype=torch.float64),
      "b": torch.randn(6, generator=rng(4), dtype=torch.float64)}
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
# Below, four attackers meet four defenses; `scores` has a row for every defense, attacker and client. Two of the attackers search, where something was sent, as in part 2; one divides; "learned" runs the defense on public
# images and learns what such updates come from, whatever the defense does, though no better than a linear fit can. A defense is scored by the attacker with the highest *mean* PSNR over the clients. (Not by the best attacker for each client: without the private image an attacker
# chooses by how well its guess matches the update, which a defense spoils. So this is an estimate from below, and a mean hides the client who leaks most.) With that attacker come n and the sample standard deviation.

# %% nbgrader={"grade": false, "grade_id": "scores", "locked": true, "schema_version": 3, "solution": false, "task": false}
known = {"none": None, "prune 0.9": defenses.GradPrune(0.9), "prune 0.99": defenses.GradPrune(0.99),
         "noise 1e-3": defenses.GaussianNoise(1e-3)}
scores = pd.concat([attacked(name, defense) for name, defense in known.items()], ignore_index=True)
utility = {name: accuracy(defense) if defense else undefended for name, defense in known.items()}
scores.pivot_table(index="defense", columns="attacker", values="psnr", sort=False).round(1)

# %% nbgrader={"grade": false, "grade_id": "leakage", "locked": false, "schema_version": 3, "solution": true, "task": false}
def leakage(scores):
    """A DataFrame, index: the defenses; columns attacker (the strongest), psnr (its mean), std, n.
    """
    ### BEGIN SOLUTION
    psnr = scores.groupby(["defense", "attacker"]).psnr
    table = psnr.agg(psnr="mean", std="std", n="count").reset_index()
    strongest = table.loc[table.groupby("defense").psnr.idxmax()]
    return strongest.set_index("defense")[["attacker", "psnr", "std", "n"]]
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "leakage-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(leakage)
_table = leakage(scores)
print(_table.round(1).to_string())
assert list(_table.columns) == ["attacker", "psnr", "std", "n"]
assert sorted(_table.index) == sorted(known)
assert (_table.n == 32).all(), "n counts clients"
_none = scores[(scores.defense == "none") & (scores.attacker == "closed form")].psnr
assert _table.attacker["none"] == "closed form" and abs(_table.psnr["none"] - _none.mean()) < 1e-6

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "leakage-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: your numbers; made-up scores where the best attacker of single clients is not the
# strongest.
### BEGIN HIDDEN TESTS
own_work(leakage)
_table, _means = leakage(scores), scores.groupby(["defense", "attacker"]).psnr.mean()
for _name in known:
    assert _table.loc[_name, "attacker"] == _means[_name].idxmax()
    assert abs(_table.loc[_name, "psnr"] - _means[_name].max()) < 1e-9
_made = pd.DataFrame([("d", "steady", 0, 20.0), ("d", "steady", 1, 22.0),
                      ("d", "lucky", 0, 5.0), ("d", "lucky", 1, 35.0),
                      ("e", "steady", 0, 1.0), ("e", "steady", 1, 2.0),
                      ("e", "lucky", 0, 9.0), ("e", "lucky", 1, 8.0)],
                     columns=["defense", "attacker", "client", "psnr"])
_got = leakage(_made.sample(frac=1, random_state=2))
assert _got.attacker.to_dict() == {"d": "steady", "e": "lucky"}
assert _got.psnr.to_dict() == {"d": 21.0, "e": 8.5}
assert abs(_got.loc["d", "std"] - 2**0.5) < 1e-9, "the sample standard deviation"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 4. Your defense (7 points)
#
# Write one function that changes the update of one client, by any means: clipping, noise, fewer bits, fewer entries, some layers more than others, all of it
# together. It may use `rng` for random numbers (`torch.randn(g.shape, generator=rng)`), and nothing of the images or labels. It has to be
#
# - **useful**: trained on updates that went through it, the network's accuracy on test images is at most 0.10 below that without a defense;
# - **private**: the strongest of the four attackers gets, on average over 32 clients, at most 1 dB more than the typical image of the label, which needs no update at all.
#
# One point is for the form, 3 for both together, and 3 for both with other clients and another network, when your work is graded; then with a little more room (0.15, and 1.5 dB), since 32 clients are not many.
# Is any defense of part 3 both? Think about who sees what: the attacker sees the update of one client, the server uses the mean of 64.

# %% nbgrader={"grade": false, "grade_id": "defend", "locked": false, "schema_version": 3, "solution": true, "task": false}
def defend(grads, rng):
    """The update (dict name -> tensor) as the client sends it. rng: a torch.Generator, for random
    numbers."""
    ### BEGIN SOLUTION
    # Noise of one client drowns its image; in the mean of 64 clients an eighth of it is left.
    return {name: g + 0.3 * torch.randn(g.shape, generator=rng) for name, g in grads.items()}
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "defend-form", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(defend)
_grads = {n: p.detach().clone() for n, p in network().named_parameters()}
_before = {n: g.clone() for n, g in _grads.items()}
_sent, _again = (defend(_grads, torch.Generator().manual_seed(7)) for _ in range(2))
_shapes = {n: g.shape for n, g in _grads.items()}
assert {n: g.shape for n, g in _sent.items()} == _shapes, "same names, same shapes"
assert all(g.isfinite().all() for g in _sent.values())
assert all(torch.equal(_grads[n], _before[n]) for n in _grads), "grads was changed"
assert all(torch.equal(_sent[n], _again[n]) for n in _grads), "take random numbers from rng alone"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "defend-test", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
own_work(defend)
my_accuracy = accuracy(Defense(defend))
my_leakage = attacked("mine", Defense(defend)).groupby("attacker").psnr.mean()
print(f"accuracy {my_accuracy:.2f}, at least {undefended - 0.10:.2f} is asked for")
print("mean PSNR:", ", ".join(f"{name} {value:.1f} dB" for name, value in my_leakage.items()),
      f"; at most {ignorant() + 1:.1f} dB is allowed")
assert my_accuracy >= undefended - 0.10, "this costs too much accuracy"
assert my_leakage.max() <= ignorant() + 1, "the strongest attacker gets too much"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "defend-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Hidden: the same for other clients and another network, with a little more room.
### BEGIN HIDDEN TESTS
own_work(defend)
assert accuracy(Defense(defend), 1) >= accuracy(None, 1) - 0.15, \
    "this costs another network too much accuracy"
_others = attacked("mine", Defense(defend), 1).groupby("attacker").psnr.mean()
assert _others.max() <= ignorant(1) + 1.5, "the strongest attacker gets too much of other clients"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 5. Which defenses are worth having (3 points)
#
# A defense is *dominated* where another one is at least as good in both accuracy and leakage (mean PSNR of the strongest attacker; less is better), and better in one of them.
# Nobody should use a dominated defense. What remains is the Pareto front: between those, someone has to choose.
#
# A leakage below that of the typical image is no extra privacy: an attacker who gets less from the update will ignore it. So the table below is cut there.

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

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "pareto-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(pareto)
_means = scores.pivot_table(index="defense", columns="attacker", values="psnr").max(axis=1)
_means = _means.clip(lower=ignorant())
_table = pd.DataFrame({"accuracy": pd.Series(utility), "psnr": _means})
print(_table.round(2).to_string(), "\nworth having:", pareto(_table))
_toy = pd.DataFrame({"accuracy": [0.6, 0.9, 0.7, 0.8], "psnr": [10.0, 30.0, 25.0, 20.0]},
                    index=["d", "a", "c", "b"])
assert pareto(_toy) == ["a", "b", "d"], "b is better than c in both"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "pareto-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: made-up tables: equal rows, equal in one column, a single row.
### BEGIN HIDDEN TESTS
own_work(pareto)


def _made(**rows):
    return pd.DataFrame.from_dict(rows, orient="index", columns=["accuracy", "psnr"])


_front = pareto(_made(d=(0.6, 10), a=(0.9, 30), b=(0.8, 20)))
assert _front == ["a", "b", "d"], "by falling accuracy"
assert pareto(_made(a=(0.9, 30), b=(0.9, 20))) == ["b"], "equal accuracy, less leakage"
assert pareto(_made(a=(0.9, 30), b=(0.8, 30))) == ["a"], "equal leakage, more accuracy"
_equal = pareto(_made(a=(0.9, 30), b=(0.9, 30)))
assert sorted(_equal) == ["a", "b"], "equal in both: neither dominates the other"
assert pareto(_made(a=(0.1, 50))) == ["a"]
### END HIDDEN TESTS

# %% tags=["raises-exception"]
# Look at it: accuracy to the right, leakage upwards. Where does yours stand?
fig, ax = plots.axes(width=0.8, height=0.7)
with_mine = _table.copy()
with_mine.loc["mine"] = (my_accuracy, max(my_leakage.max(), ignorant()))    # measured in part 4
front = pareto(with_mine)
for name, one in with_mine.iterrows():
    ax.plot(one.accuracy, one.psnr, "o" if name in front else "x", color="black")
    place = (5, -9 if name == "mine" else 5)
    ax.annotate(name, (one.accuracy, one.psnr), xytext=place, textcoords="offset points",
                fontsize=8)
ax.axhline(ignorant(), linestyle=":", color="grey")
ax.set(xlabel="accuracy (circle: worth having, cross: dominated)",
       ylabel="PSNR of the strongest\nattacker, mean [dB]")
ax.margins(x=0.35, y=0.2)

# %% [markdown]
# ## To think about (no points)
#
# - Your defense stood against *these* attackers. What would one do who sees the same client in a hundred rounds? Or one with ten thousand public images, and a network instead of a ridge regression?
# - Differential privacy asks for a bound on what *any* attacker can learn. What is missing in your function for that? (Clipping; notebook 05 has DP-SGD with its accountant.)
# - In part 3, look at "prune 0.99": the attackers who search get less than the one who learns. What does the learner use that the zeros do not hide?
