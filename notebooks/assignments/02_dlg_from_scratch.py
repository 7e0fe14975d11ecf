# %% [markdown]
# # Assignment 2: deep leakage from gradients, from scratch
#
# Most networks do not begin with a dense layer, and then no division gives the image back. *Deep Leakage from Gradients* (DLG) searches: it
# moves a dummy image until the gradient of the dummy is the gradient that was shared. You will write the whole attack in plain PyTorch. Then you
# will find the label without any search, as iDLG does, and ask whether that helps: with a test, not with a picture.
#
# **You will be able to**
#
# - differentiate *through* a gradient, and know what `create_graph` is for;
# - write the gradient-matching loop with L-BFGS;
# - read the label of a single image off the last layer, and say why that works;
# - compare two attacks on the same clients with a paired test.
#
# | part | | points | minutes |
# |---|---|---|---|
# | 1 | what the client shares | 2 | 10 |
# | 2 | the gradient-matching loss | 5 | 20 |
# | 3 | DLG | 5 | 25 |
# | 4 | the label, without a search | 3 | 15 |
# | 5 | iDLG | 2 | 10 |
# | 6 | is one better than the other? | 3 | 10 |
# | | | **20** | **90** |
#
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it.
# A test that fails does not stop the cells below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded, and what they look at is said. No part needs the answer of another
# one: you may use your own earlier functions, and where you are stuck you go on. Restart the kernel and run everything before you hand in. Use plain
# PyTorch; calling `lib`'s attacks, objectives or label rules is not an answer.
#
# **Threat model.** The server is honest but curious. It knows the model, its weights and the update of a client with
# one image; it knows neither the image nor its label.
#
# **Background.** Notebooks 01_dlg and 02_idlg. Papers: Zhu, Liu and Han 2019 (arXiv:1906.08935); Zhao, Mopuri and Bilen 2020
# (arXiv:2001.02610).

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other networks, other starts
pictures = "photos"     # "photos", "digits" or "faces"

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings

import matplotlib.pyplot as plt
import pandas as pd
import torch
from scipy.stats import binomtest
from torch.nn.functional import cross_entropy, log_softmax, softmax

from lib import attacks, client, data, metrics, models, objectives
from studies import plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
images = data.load(pictures, size=8)
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
    mine = function.__module__ == "__main__" and not {"attacks", "labels", "objectives"} & names
    assert mine, "write it yourself"


def start(number):
    """A dummy image (1, C, H, W) and dummy label logits (1, 10), both from N(0, 1)."""
    image = torch.randn(1, C, H, W, generator=rng(number))
    return image, torch.randn(1, 10, generator=rng(number + 500))


def certain(label):
    """Logits (1, 10) whose softmax is that label (1,)."""
    return 50 * torch.nn.functional.one_hot(label, 10).float()

# %% nbgrader={"grade": false, "grade_id": "victims", "locked": true, "schema_version": 3, "solution": false, "task": false}
def victim(number):
    """A LeNet of random weights, an image (1, C, H, W), its label (1,), and the list of gradients
    that its client shares."""
    model = models.lenet(images, seed=1000 * seed + number)
    held = images.clients(number + 1, seed=seed)
    update = client.share(model, held)
    shared = [g[number] for g in update.gradients.values()]
    return model, held.images[number], held.labels[number], shared


def distance(number, x, logits):
    """D of a dummy image and its logits, for this client: to look at what your attacks return."""
    model = models.lenet(images, seed=1000 * seed + number)
    update = client.share(model, images.clients(number + 1, seed=seed))
    everywhere = x.expand(number + 1, 1, C, H, W), logits.expand(number + 1, 1, 10)
    dummy = attacks.dummy_gradients(update, *everywhere)
    both = ({n: g[number] for n, g in of.items()} for of in (dummy, update.gradients))
    return float(objectives.l2(*both))

# %% [markdown]
# ## Part 1. What the client shares (2 points)
#
# The client computes the gradient of the cross-entropy, *averaged* over its batch, with respect to every parameter of the model, and sends these tensors in
# the order of `model.parameters()`. Leave no trace in the model: nothing in `.grad`, no graph in what you return.

# %% nbgrader={"grade": false, "grade_id": "client_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def client_gradient(model, x, y):
    """A list with the gradient of every parameter, for images x (B, C, H, W) and labels y (B,)."""
    ### BEGIN SOLUTION
    gradients = torch.autograd.grad(cross_entropy(model(x), y), list(model.parameters()))
    return [g.detach() for g in gradients]
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "client_gradient-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(client_gradient)
_model, _x, _y, _shared = victim(0)
_mine = client_gradient(_model, _x, _y)
assert [g.shape for g in _mine] == [p.shape for p in _model.parameters()], \
    "one gradient for each parameter"
for _g, _wanted in zip(_mine, _shared, strict=True):
    torch.testing.assert_close(_g, _wanted)

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "client_gradient-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: a batch (mean, not sum); the model is left as it was.
### BEGIN HIDDEN TESTS
own_work(client_gradient)
_model = models.lenet(images, seed=seed + 77)
_x, _y = torch.rand(3, C, H, W, generator=rng(1)), torch.tensor([1, 4, 4])
_mine = client_gradient(_model, _x, _y)
_wanted = torch.autograd.grad(cross_entropy(_model(_x), _y), list(_model.parameters()))
for _g, _w in zip(_mine, _wanted, strict=True):
    torch.testing.assert_close(_g, _w)
assert all(p.grad is None for p in _model.parameters()), "nothing in .grad"
assert not any(g.requires_grad for g in _mine), "no graph in what is returned"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 2. The gradient-matching loss (5 points)
#
# The server has the shared gradient $\nabla W$. It makes up a dummy image $x'$ and a dummy label $y' = \mathrm{softmax}(\text{logits})$, computes *their* gradient $\nabla W'$ with
# the soft-label cross-entropy $-\sum_i y'_i \log p_i(x')$, and measures (Zhu et al. 2019, Algorithm 1)
#
# $$D = \sum_{\text{parameters}} \| \nabla W' - \nabla W \|^2 .$$
#
# $D$ is to be minimised over $x'$ and the logits, so it must be differentiable by them: through a gradient. By default autograd forgets how it computed
# one.

# %% nbgrader={"grade": false, "grade_id": "matching_loss", "locked": false, "schema_version": 3, "solution": true, "task": false}
def matching_loss(model, x, logits, shared):
    """D, a scalar that can be differentiated by the dummy image x (1, C, H, W) and its label
    logits (1, classes).

    shared: the list of gradients that the client sent."""
    ### BEGIN SOLUTION
    loss = -(softmax(logits, 1) * log_softmax(model(x), 1)).sum(1).mean()
    dummy = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return sum((d - s).square().sum() for d, s in zip(dummy, shared, strict=True))
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "matching_loss-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(matching_loss)
_model, _x, _y, _shared = victim(0)
_at_private = matching_loss(_model, _x, certain(_y), _shared)
assert _at_private < 1e-8, "D is 0 at the private image and label"
_dummy, _logits = (t.requires_grad_() for t in start(2))
_D = matching_loss(_model, _dummy, _logits, _shared)
assert _D.shape == () and _D > 1e-3, "D is one number, and not 0 elsewhere"
_gx, _gl = torch.autograd.grad(_D, (_dummy, _logits))
assert _gx.abs().max() > 0 and _gl.abs().max() > 0, "D must depend on the image and on the label"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "matching_loss-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Hidden: the value of D, its slope against finite differences (float64), the model is left as it
# was.
### BEGIN HIDDEN TESTS
own_work(matching_loss)
_model, _x, _y, _shared = victim(1)
_model, _shared = _model.double(), [g.double() for g in _shared]
_dummy, _logits = (t.double().requires_grad_() for t in start(3))
_p = list(_model.parameters())
_g = torch.autograd.grad(cross_entropy(_model(_dummy), softmax(_logits, 1)), _p)
_value = sum((a - b).square().sum() for a, b in zip(_g, _shared, strict=True))
_mine = matching_loss(_model, _dummy, _logits, _shared).detach()
torch.testing.assert_close(_mine, _value.detach())
_gx, _gl = torch.autograd.grad(matching_loss(_model, _dummy, _logits, _shared), (_dummy, _logits))
for _slope, _which in ((_gx, 0), (_gl, 1)):
    _way = torch.randn(_slope.shape, generator=rng(4), dtype=torch.float64)
    _ends = []
    for _sign in (1e-5, -1e-5):
        _moved = [_dummy.detach(), _logits.detach()]
        _moved[_which] = _moved[_which] + _sign * _way
        _ends.append(float(matching_loss(_model, *_moved, _shared).detach()))
    _wanted = float((_slope * _way).sum())
    assert abs((_ends[0] - _ends[1]) / 2e-5 - _wanted) < 1e-3 * (1 + abs(_wanted))
assert all(p.grad is None for p in _model.parameters()), "nothing in .grad"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 3. DLG (5 points)
#
# Minimise $D$ with `torch.optim.LBFGS` (learning rate 1, all else as it is) over the dummy image and its logits together. One iteration is one call of
# `step`. L-BFGS evaluates $D$ several times in a step, so it is given a closure that clears the gradients, computes $D$ and calls `backward`.
#
# (`backward` fills `.grad` of the model's parameters, too, since they are leaves of the same graph; nothing uses it here.)
#
# L-BFGS without a line search can diverge. That is how the paper runs it, and why an attack has several starts.

# %% nbgrader={"grade": false, "grade_id": "dlg", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dlg(model, shared, x, logits, iterations):
    """Deep Leakage from Gradients, from the start x (1, C, H, W), logits (1, classes); neither is
    changed.

    Returns the image found, its logits (both without a graph), and a list: D before each
    iteration, as floats."""
    ### BEGIN SOLUTION
    x, logits = (t.detach().clone().requires_grad_() for t in (x, logits))
    optimizer = torch.optim.LBFGS([x, logits], lr=1)

    def closure():
        loss = -(softmax(logits, 1) * log_softmax(model(x), 1)).sum(1).mean()
        dummy = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        D = sum((d - s).square().sum() for d, s in zip(dummy, shared, strict=True))
        x.grad, logits.grad = torch.autograd.grad(D, (x, logits))
        return D

    losses = [float(optimizer.step(closure)) for _ in range(iterations)]
    return x.detach(), logits.detach(), losses
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "dlg-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(dlg)
_model, _x, _y, _shared = victim(0)
for _number in (10, 11, 12):  # another start where one fails
    found, _logits, _losses = dlg(_model, _shared, *start(_number), 10)
    assert found.shape == _x.shape and _logits.shape == (1, 10) and len(_losses) == 10
    _end = distance(0, found, _logits)
    _mse = float((found - _x).square().mean())
    print(f"D {_losses[0]:.3g} -> {_losses[-1]:.3g}, of what is returned {_end:.3g}, "
          f"mean squared error of the image {_mse:.2g}")
    if _end < 0.05 * _losses[0] and _losses[-1] < 0.05 * _losses[0]:
        break
else:
    raise AssertionError("from one of three starts, D of the returned image must fall far")
_after_one, _logits, _ = dlg(_model, _shared, *start(_number), 1)
assert abs(distance(0, _after_one, _logits) - _losses[1]) <= 0.01 * _losses[1], \
    "the second D is that of what one iteration returns"

# %% tags=["raises-exception"]
# Look at it: the private image, and yours.
plots.sheet(torch.stack([_x[0], found[0].clamp(0, 1)])[None],
            column_labels=["private", "found by DLG"], width=0.5)
plt.show()

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "dlg-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Hidden: other clients, in float64, so that rounding decides nothing; your first two iterations,
# and what you return, against torch's L-BFGS on D; the start is left as it was.
### BEGIN HIDDEN TESTS
own_work(dlg)


def _value(model, shared, x, logits):
    loss = cross_entropy(model(x), softmax(logits, 1))
    g = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return sum((a - b).square().sum() for a, b in zip(g, shared, strict=True))


def _reference(model, shared, x, logits, iterations):
    x, logits = (t.clone().requires_grad_() for t in (x, logits))
    optimizer = torch.optim.LBFGS([x, logits], lr=1)

    def closure():
        value = _value(model, shared, x, logits)
        x.grad, logits.grad = torch.autograd.grad(value, (x, logits))
        return value

    return [float(optimizer.step(closure)) for _ in range(iterations)]


for _number in (1, 2, 3):
    _model, _x, _y, _shared = victim(_number)
    _model, _shared = _model.double(), [g.double() for g in _shared]
    _begin = [t.double() for t in start(20 + _number)]
    _kept = [t.clone() for t in _begin]
    _got, _logits, _losses = dlg(_model, _shared, *_begin, 2)
    _same = all(torch.equal(a, b) for a, b in zip(_begin, _kept, strict=True))
    assert _same, "the start was changed"
    assert not _got.requires_grad and not _logits.requires_grad, "no graph in what is returned"
    # Of what is returned: D after the last iteration.
    _mine = [*_losses, float(_value(_model, _shared, _got, _logits))]
    _wanted = _reference(_model, _shared, *_begin, 3)
    assert all(abs(a - b) <= 0.05 * b for a, b in zip(_mine, _wanted, strict=True)), \
        (f"D falls as {_mine}, with L-BFGS of learning rate 1 as {_wanted}; or what is returned "
         "is not its end")
### END HIDDEN TESTS

# %% [markdown]
# ## Part 4. The label, without a search (3 points)
#
# Row $i$ of the last layer's weight gradient is $g_i = (p_i - [i = c])\, a$, where $a$ is what the layer is fed. One of the factors has another
# sign than all others. So what is the sign of $g_i \cdot g_j$, for two rows $i \ne j$ that are both not $c$, and for $i = c$, $j \ne c$? Turn that into a rule that needs no knowledge of $a$: not even
# that it is positive.

# %% nbgrader={"grade": false, "grade_id": "label_of", "locked": false, "schema_version": 3, "solution": true, "task": false}
def label_of(weight_gradient):
    """The label (an int) of the one image behind the last layer's weight gradient (classes,
    features)."""
    ### BEGIN SOLUTION
    products = weight_gradient @ weight_gradient.T
    return int((products <= 0).sum(1).argmax())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "label_of-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(label_of)
_right = 0
for _number in range(20):
    _model, _x, _y, _shared = victim(_number)
    _right += label_of(_shared[-2]) == int(_y)
print(f"{_right} of 20 labels are right")
assert _right == 20, ("for one image of three or more classes the rule is right, as long as no "
                      "probability is rounded to 0")

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "label_of-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: features of any sign, whose rows sum to anything; every class.
### BEGIN HIDDEN TESTS
own_work(label_of)
for _c in range(6):
    _p = softmax(torch.randn(6, generator=rng(30 + _c)), 0)
    _p[_c] -= 1
    for _sign in (1, -1):
        _features = _sign * torch.rand(9, generator=rng(40))
        assert label_of(torch.outer(_p, _features)) == _c, "features may be negative"
    _features = torch.randn(9, generator=rng(50 + _c))
    assert label_of(torch.outer(_p, _features)) == _c, "features may be of any sign"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 5. iDLG (2 points)
#
# With the label known, only the image is searched, and the dummy's loss is the cross-entropy of that label. The label is given to your function, so
# you need no other part; an attacker gets it from part 4.

# %% nbgrader={"grade": false, "grade_id": "idlg", "locked": false, "schema_version": 3, "solution": true, "task": false}
def idlg(model, shared, x, label, iterations):
    """iDLG from the start x (1, C, H, W), which is not changed, for a label (an int).

    Returns the image found (without a graph) and a list: D before each iteration, as floats."""
    ### BEGIN SOLUTION
    x = x.detach().clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], lr=1)

    def closure():
        loss = cross_entropy(model(x), torch.tensor([label]))
        dummy = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
        D = sum((d - s).square().sum() for d, s in zip(dummy, shared, strict=True))
        x.grad, = torch.autograd.grad(D, x)
        return D

    losses = [float(optimizer.step(closure)) for _ in range(iterations)]
    return x.detach(), losses
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "idlg-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(idlg)
_model, _x, _y, _shared = victim(0)
for _number in (10, 11, 12):
    _got, _losses = idlg(_model, _shared, start(_number)[0], int(_y), 10)
    assert _got.shape == _x.shape and len(_losses) == 10
    _end = distance(0, _got, certain(_y))
    _mse = float((_got - _x).square().mean())
    print(f"D {_losses[0]:.3g} -> {_losses[-1]:.3g}, of what is returned {_end:.3g}, "
          f"mean squared error of the image {_mse:.2g}")
    if _end < 0.05 * _losses[0] and _losses[-1] < 0.05 * _losses[0]:
        break
else:
    raise AssertionError("from one of three starts, D of the returned image must fall far")

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "idlg-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: as for DLG, with the label that you are given, right or wrong.
### BEGIN HIDDEN TESTS
own_work(idlg)


def _value(model, shared, x, label):
    loss = cross_entropy(model(x), label)
    g = torch.autograd.grad(loss, list(model.parameters()), create_graph=True)
    return sum((a - b).square().sum() for a, b in zip(g, shared, strict=True))


def _reference(model, shared, x, label, iterations):
    x = x.clone().requires_grad_()
    optimizer = torch.optim.LBFGS([x], lr=1)

    def closure():
        value = _value(model, shared, x, label)
        x.grad, = torch.autograd.grad(value, x)
        return value

    return [float(optimizer.step(closure)) for _ in range(iterations)]


for _number, _wrong in ((4, 0), (5, 0), (6, 0), (4, 3)):
    _model, _x, _y, _shared = victim(_number)
    _model, _shared = _model.double(), [g.double() for g in _shared]
    _begin = start(60 + _number)[0].double()
    _label, _kept = (_y + _wrong) % 10, _begin.clone()
    _got, _losses = idlg(_model, _shared, _begin, int(_label), 2)
    assert torch.equal(_begin, _kept) and not _got.requires_grad
    _mine = [*_losses, float(_value(_model, _shared, _got, _label))]
    _wanted = _reference(_model, _shared, _begin, _label, 3)
    assert all(abs(a - b) <= 0.05 * b for a, b in zip(_mine, _wanted, strict=True)), \
        (f"D falls as {_mine}, with L-BFGS of learning rate 1 as {_wanted}; or what is returned "
         "is not its end")
### END HIDDEN TESTS

# %% [markdown]
# ## Part 6. Is one better than the other? (3 points)
#
# Below, `lib` runs both attacks on the same 12 clients, from the same starts. `outcome` has a row for every client and attack; a reconstruction counts as recovered where `mse < 1e-3`, and a NaN (diverged) is *not* recovered.
#
# The clients are the same, so the comparison is *paired*: clients where both succeed, or both fail, say nothing. Of those where exactly one succeeds, the better attack
# has more than half. Whether more by chance: `binomtest(k, n).pvalue` (two-sided, exact; McNemar's test). With no such client at all the p-value is 1.
# Before you look: how many clients have to tell, at least, for p < 0.05, if all of them tell the same?

# %% nbgrader={"grade": false, "grade_id": "outcome", "locked": true, "schema_version": 3, "solution": false, "task": false}
K, iterations = 12, 6
held = images.clients(K, seed=seed)
networks = models.ensemble(models.lenet, images, seeds=[1000 * seed + k for k in range(K)])
update = client.share(networks, held)
rows = []
both = {"DLG": attacks.dlg(iterations), "iDLG": attacks.idlg(iterations, stop=None)}
for name, attack in both.items():
    scored = metrics.score(attacks.reconstruct(update, attack, seed=seed).images, held.images)
    rows.append(pd.DataFrame({"attack": name, "client": scored.client, "mse": scored.mse}))
outcome = pd.concat(rows, ignore_index=True)
outcome.pivot(index="client", columns="attack", values="mse").map("{:.1e}".format)

# %% nbgrader={"grade": false, "grade_id": "compare", "locked": false, "schema_version": 3, "solution": true, "task": false}
def compare(outcome):
    """What the table says: {"n": clients, "DLG": recovered, "iDLG": recovered, "p": p-value,
    "better": word}.

    "better" is "DLG" or "iDLG" where p < 0.05, else "undecided"."""
    ### BEGIN SOLUTION
    outcome = outcome.assign(ok=outcome.mse < 1e-3)
    recovered = outcome.pivot(index="client", columns="attack", values="ok")
    only_dlg = int((recovered.DLG & ~recovered.iDLG).sum())
    only_idlg = int((recovered.iDLG & ~recovered.DLG).sum())
    p = binomtest(only_idlg, only_dlg + only_idlg).pvalue if only_dlg + only_idlg else 1.0
    better = "undecided" if p >= 0.05 else "iDLG" if only_idlg > only_dlg else "DLG"
    counts = {"n": len(recovered), "DLG": int(recovered.DLG.sum()),
              "iDLG": int(recovered.iDLG.sum())}
    return counts | {"p": float(p), "better": better}
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "compare-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(compare)
_said = compare(outcome)
print(_said)
assert set(_said) == {"n", "DLG", "iDLG", "p", "better"} and _said["n"] == K
_of_dlg = outcome[outcome.attack == "DLG"].mse
assert _said["DLG"] == (_of_dlg < 1e-3).sum(), "of the clients, how many DLG recovers"
assert 0 <= _said["p"] <= 1 and _said["better"] in ("DLG", "iDLG", "undecided")

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "compare-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: this table and made-up ones: one attack clearly better, none, NaN, rows in another order.
### BEGIN HIDDEN TESTS
own_work(compare)


def _made_up(dlg_mse, idlg_mse):
    _n = len(dlg_mse)
    return pd.DataFrame({"attack": ["DLG"] * _n + ["iDLG"] * _n, "client": [*range(_n), *range(_n)],
                         "mse": [*dlg_mse, *idlg_mse]}).sample(frac=1, random_state=3)


_good, _bad, _nan = 1e-6, 0.3, float("nan")
_ok = outcome.assign(ok=outcome.mse < 1e-3).groupby("attack").ok.sum()
assert compare(outcome)["DLG"] == _ok["DLG"] and compare(outcome)["iDLG"] == _ok["iDLG"]
_said = compare(_made_up([_bad] * 7 + [_nan] + [_good] * 4, [_good] * 12))
assert (_said["n"], _said["DLG"], _said["iDLG"], _said["better"]) == (12, 4, 12, "iDLG")
assert abs(_said["p"] - 0.0078125) < 1e-9, "eight clients of eight: p = 2 / 2^8"
_said = compare(_made_up([_good] * 9 + [_bad], [_good] * 4 + [_bad] * 6))
assert _said["better"] == "undecided"
assert abs(_said["p"] - 0.0625) < 1e-9, "five of five is not enough"
_said = compare(_made_up([_good] * 10, [_nan] * 10))
assert _said["better"] == "DLG"
assert compare(_made_up([_good] * 5, [_good] * 5))["p"] == 1, "no client tells: p = 1"
### END HIDDEN TESTS

# %% [markdown]
# ## To think about (no points)
#
# - How many clients would you need to decide between recovery rates of 0.8 and 0.9?
# - `label_of` fails for a batch. Why? Which of its assumptions is the first to break?
# - Replace the sigmoids by ReLU (`models.lenet(images, activation="relu")`). What happens to part 3, and why? (Notebook 01.)
