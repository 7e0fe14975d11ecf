# %% [markdown]
# # Assignment 1: one dense layer gives its input away
#
# A client shares the gradient of one dense layer. You will show, with pencil and then with code, that this gradient
# *contains* the client's image: no search, no optimiser, one division. Then you will see what is left of it under
# noise and in a batch.
#
# **You will be able to**
#
# - derive the gradients of a dense layer (on paper: points are given for the code), and read its input off them;
# - say when the division fails, and use all rows where the update is noisy;
# - take a batch apart by its labels, and say *exactly* what you get instead of the images;
# - report a result with n, mean and spread.
#
# | part | | points | minutes |
# |---|---|---|---|
# | 1 | the gradients of a dense layer | 2 | 10 |
# | 2 | its input in closed form | 5 | 25 |
# | 3 | all rows, against noise | 4 | 15 |
# | 4 | de-mixing a batch | 3 | 15 |
# | 5 | what de-mixing gives exactly | 4 | 15 |
# | 6 | an honest table | 2 | 10 |
# | | | **20** | **90** |
#
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it.
# A test that fails does not stop the cells below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded; they use other shapes and other numbers, and what they look at is
# said. No part needs the answer of another one, so go on where you are stuck. Restart the kernel and run everything
# before you hand in. Plain PyTorch is all you need; `lib` has some of these functions, and calling them is not an answer.
#
# **Threat model.** The server is honest but curious: it knows the model and the update that a client shares, and
# never sees the client's images. It knows the labels only where a part says so.
#
# **Background.** Notebooks 07_mu_cats_dogs, then 06_mixing_gradients. Papers: Phong et al. 2017; Geiping et al. 2020,
# Proposition 3.1 (arXiv:2003.14053); Eloul et al. 2022 (de-mixing).

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other noise
pictures = "photos"     # "photos" or "digits"

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, mse_loss, one_hot, softmax

from lib import analytic, client, data, metrics, models
from studies import plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
images = data.load(pictures, size=16)

# %% nbgrader={"grade": false, "grade_id": "helpers", "locked": true, "schema_version": 3, "solution": false, "task": false}
def rng(number):
    """A generator of random numbers that depends on the seed of the assignment."""
    return torch.Generator().manual_seed(1000 * seed + number)


def own_work(function):
    """Fails for one of lib's functions, and for one that calls those which are the answer."""
    names = set(function.__code__.co_names)
    assert function.__module__ == "__main__" and not {"analytic"} & names, "write it yourself"


# float64 is as good as float32
close = partial(torch.testing.assert_close, check_dtype=False)

# %% [markdown]
# ## Part 1. The gradients of a dense layer (2 points)
#
# A dense layer maps its input $x \in \mathbb{R}^n$ to $z = W x + b$, $z \in \mathbb{R}^m$; behind it stands any loss $\ell(z)$.
# Write $\delta_i = \partial \ell / \partial z_i$. With pencil and paper, by the chain rule: what is
# $\partial \ell / \partial b_i$? What is $\partial \ell / \partial W_{ij}$?
#
# Write the function that computes both, without autograd.

# %% nbgrader={"grade": false, "grade_id": "gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def dense_gradients(delta, x):
    """The gradients of a dense layer z = W x + b.

    delta (m,): dl/dz. x (n,): the input. Returns dl/dW (m, n) and dl/db (m,)."""
    ### BEGIN SOLUTION
    return torch.outer(delta, x), delta
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "gradients-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(dense_gradients)
_layer, _x = torch.nn.Linear(12, 5), torch.rand(12, generator=rng(1))
_z = _layer(_x)
_loss = cross_entropy(_z, torch.tensor(3))
_delta, _dW, _db = torch.autograd.grad(_loss, (_z, _layer.weight, _layer.bias))
_mine = dense_gradients(_delta, _x)
assert len(_mine) == 2, "return two things: the gradient of W, and that of b"
assert _mine[0].shape == (5, 12), \
    f"dl/dW has the shape of W, (5, 12); yours is {tuple(_mine[0].shape)}"
close(_mine[0], _dW)
close(_mine[1], _db)

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "gradients-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: another loss and other sizes.
### BEGIN HIDDEN TESTS
own_work(dense_gradients)
_layer, _x = torch.nn.Linear(7, 7), torch.randn(7, generator=rng(2))
_z = _layer(_x)
_loss = mse_loss(_z, torch.ones(7))
_delta, _dW, _db = torch.autograd.grad(_loss, (_z, _layer.weight, _layer.bias))
for _got, _wanted in zip(dense_gradients(_delta, _x), (_dW, _db), strict=True):
    close(_got, _wanted)
### END HIDDEN TESTS

# %% [markdown]
# ## Part 2. The input in closed form (5 points)
#
# Every row of $\partial \ell / \partial W$ is the input, times a number. And the update holds that number, too. So solve for $x$.
#
# Two things can go wrong, and your function has to say what happens then:
#
# - A row $i$ with $\partial \ell / \partial b_i = 0$ says nothing about $x$. In exact arithmetic any other row will do; in float32 one is
#   better than the others. Which one? Take that.
# - Where *all* of $\partial \ell / \partial b$ is zero, nothing was learned and nothing leaks: return NaN, not infinity and no error.

# %% nbgrader={"grade": false, "grade_id": "closed_form", "locked": false, "schema_version": 3, "solution": true, "task": false}
def closed_form(weight_gradient, bias_gradient):
    """The input x (n,) of a dense layer from dl/dW (m, n) and dl/db (m,); NaN where dl/db is 0."""
    ### BEGIN SOLUTION
    row = bias_gradient.abs().argmax()
    if bias_gradient[row] == 0:
        return torch.full_like(weight_gradient[0], torch.nan)
    return weight_gradient[row] / bias_gradient[row]
    ### END SOLUTION

# %% [markdown]
# A client with one image, and a network that is one dense layer. `client.share` returns what leaves the client;
# `gradients` are by name, and the first axis counts the clients.

# %% nbgrader={"grade": false, "grade_id": "one_client", "locked": true, "schema_version": 3, "solution": false, "task": false}
one = images.clients(1, seed=seed)
network = models.dense(images, seed=seed)
update = client.share(network, one)
shared_W, shared_b = update.gradients["1.weight"][0], update.gradients["1.bias"][0]
print("dl/dW", tuple(shared_W.shape), "  dl/db", tuple(shared_b.shape),
      "  one image", tuple(one.images[0, 0].shape))

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "closed_form-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(closed_form)
_guess = closed_form(shared_W, shared_b)
assert _guess.shape == (shared_W.shape[1],), "one number for each input of the layer"
_private = one.images[0, 0]
assert metrics.psnr(_guess.view(_private.shape), _private) > 60, "this is not the client's image"

# %% tags=["raises-exception"]
# Look at it: the private image, and yours.
_private = one.images[0, 0]
_found = closed_form(shared_W, shared_b).view(_private.shape).clamp(0, 1)
plots.sheet(torch.stack([_private, _found])[None],
            column_labels=["private", "from the update"], width=0.5)
plt.show()

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "closed_form-hidden", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
# Hidden: zeros among the bias gradients; rows that are almost zero, where rounding decides; all
# zero.
### BEGIN HIDDEN TESTS
own_work(closed_form)
_x = torch.rand(30, generator=rng(3))
_delta = torch.tensor([0.0, 0.0, -0.3, 0.1])
close(closed_form(torch.outer(_delta, _x), _delta), _x)
_delta = torch.tensor([1e-7, -0.7, 1e-7, 2e-7])
_dW = torch.outer(_delta, _x) + 1e-8 * torch.randn(4, 30, generator=rng(4))
assert (closed_form(_dW, _delta) - _x).abs().max() < 1e-5, "a row of a larger |dl/db| is more exact"
_got = closed_form(torch.ones(4, 30), torch.zeros(4))                   # 1 / 0 is not 0 / 0
assert _got.isnan().all() and _got.shape == (30,), "where dl/db is 0: NaN"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 3. All rows, against noise (4 points)
#
# Now the dense layer is the *first* of two, with $m = 64$ outputs, and the client adds normal noise to its update. One row is
# then one noisy measurement of $x$, and there are $m$ of them:
#
# $$\frac{\partial \ell}{\partial W_i} = \frac{\partial \ell}{\partial b_i}\, x + \text{noise}.$$
#
# Find the $x$ that minimises $\sum_i \big\| \tfrac{\partial \ell}{\partial W_i} - \tfrac{\partial \ell}{\partial b_i} x \big\|^2$: set the derivative by $x$ to zero and
# solve. (Take $\partial \ell / \partial b$ for exact here. It is noisy, too, which pulls the estimate towards zero; why?)

# %% nbgrader={"grade": false, "grade_id": "least_squares", "locked": false, "schema_version": 3, "solution": true, "task": false}
def least_squares(weight_gradient, bias_gradient):
    """The input x (n,) that fits all rows best, from dl/dW (m, n) and dl/db (m,); NaN where dl/db
    is 0."""
    ### BEGIN SOLUTION
    return (bias_gradient @ weight_gradient) / (bias_gradient @ bias_gradient)
    ### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "noisy_update", "locked": true, "schema_version": 3, "solution": false, "task": false}
many = images.clients(32, seed=seed)                                   # 32 clients, one image each
exact = client.share(models.dense(images, hidden=(64,), seed=seed), many).gradients
noise_std = 0.1 * exact["1.bias"].std()
noisy_W = exact["1.weight"] + noise_std * torch.randn(exact["1.weight"].shape, generator=rng(5))
noisy_b = exact["1.bias"] + noise_std * torch.randn(exact["1.bias"].shape, generator=rng(6))


def mean_mse(estimate, W, b):
    """The mean squared error of an estimate over the clients."""
    errors = [(estimate(W[k], b[k]) - many.images[k].flatten()).square().mean()
              for k in range(len(W))]
    return torch.stack(errors).mean()

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "least_squares-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(least_squares)
_exactly = mean_mse(least_squares, exact["1.weight"], exact["1.bias"])
assert _exactly < 1e-8, "without noise it is exact"
_one_row = mean_mse(analytic.dense_input, noisy_W, noisy_b)             # the closed form of part 2
_all_rows = mean_mse(least_squares, noisy_W, noisy_b)
print(f"mean squared error: one row {_one_row:.4f}, all rows {_all_rows:.4f}")
assert _all_rows < 0.7 * _one_row, "many rows must do much better than the best one"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "least_squares-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: your x against a solver of least squares, where rows contradict each other; all zero.
### BEGIN HIDDEN TESTS
own_work(least_squares)
_dW, _db = torch.randn(6, 9, generator=rng(7)), torch.randn(6, generator=rng(8))
close(least_squares(_dW, _db), torch.linalg.lstsq(_db[:, None], _dW).solution[0])
assert least_squares(torch.ones(6, 9), torch.zeros(6)).isnan().all(), "where dl/db is 0: NaN"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 4. De-mixing a batch (3 points)
#
# A client with $B$ images shares the *mean* of their gradients. The layer is the last one, before a cross-entropy, so for one image of label $c$
#
# $$\delta_i = p_i - [i = c],$$
#
# with $p$ the softmax. Row $c$ of the mean gradient gets a large term (near $-1/B$) from the image of label $c$, and small ones from all others. So
# divide row $c$ by its bias gradient, and you have, nearly, the image of label $c$. The labels are known here, and differ within a batch.

# %% nbgrader={"grade": false, "grade_id": "demix", "locked": false, "schema_version": 3, "solution": true, "task": false}
def demix(weight_gradient, bias_gradient, labels):
    """An image for each label: (B, n) from dl/dW (m, n), dl/db (m,) and labels (B,).

    NaN for a label whose bias gradient is 0. Do not change what you are given."""
    ### BEGIN SOLUTION
    scale = bias_gradient[labels][:, None]
    return weight_gradient[labels] / torch.where(scale == 0, torch.nan, scale)
    ### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "a_batch", "locked": true, "schema_version": 3, "solution": false, "task": false}
batch = images.clients(1, batch_size=4, seed=seed, unique_labels=True)
of_batch = client.share(network, batch)
batch_W, batch_b = of_batch.gradients["1.weight"][0], of_batch.gradients["1.bias"][0]
labels = batch.labels[0]
private = batch.images[0].flatten(1)                                   # (B, n): for scoring only

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "demix-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(demix)
_guess = demix(batch_W, batch_b, labels)
assert _guess.shape == private.shape, "one row for each label, in the order of the labels"
_probabilities = softmax(network(batch.images[0]), 1).detach()
_weights = analytic.demix_weights(_probabilities, labels)              # part 5
close(_guess, _weights @ private, rtol=1e-3, atol=1e-3)

# %% tags=["raises-exception"]
# Look at it: what is left of the other images in each guess?
_found = demix(batch_W, batch_b, labels).view(batch.images[0].shape).clamp(0, 1)
plots.sheet(torch.stack([batch.images[0], _found]),
            row_labels=["private", "de-mixed"], width=0.6)
plt.show()

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "demix-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: other sizes, labels in another order, a label of bias gradient 0.
### BEGIN HIDDEN TESTS
own_work(demix)
_x, _delta = torch.rand(5, generator=rng(9)), torch.tensor([0.2, 0.0, -0.5])
_dW, _db = torch.outer(_delta, _x), _delta.clone()
_dW[1] = 1
_kept = _dW.clone()
_got = demix(_dW, _db, torch.tensor([2, 1, 0]))
close(_got[[0, 2]], _x.expand(2, 5))
assert _got[1].isnan().all(), "a bias gradient of 0: NaN"
assert torch.equal(_dW, _kept) and torch.equal(_db, _delta), "what is given was changed"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 5. What de-mixing gives exactly (4 points)
#
# "Nearly" is not good enough. Put $\delta$ of all images into the mean gradient: de-mixing gives *exactly* a weighted mean of the private images,
#
# $$\hat{x}_j = \sum_m w_{jm}\, x_m, \qquad \sum_m w_{jm} = 1.$$
#
# Derive $w_{jm}$ from the softmax $p^m$ of each image $m$ and from the labels. Your function must be right for labels that repeat, too: then two rows of $w$ are equal. What do
# you get for them?

# %% nbgrader={"grade": false, "grade_id": "mixing_weights", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mixing_weights(probabilities, labels):
    """The weights w (B, B) of x_hat_j = sum_m w_jm x_m.

    probabilities (B, m): the softmax of each image. labels (B,)."""
    ### BEGIN SOLUTION
    # delta: (image, class); of_label: (label j, image)
    delta = probabilities - one_hot(labels, probabilities.shape[1]).to(probabilities)
    of_label = delta[:, labels].T
    return of_label / of_label.sum(1, keepdim=True)
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "mixing_weights-test", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
own_work(mixing_weights)
_p = softmax(network(batch.images[0]), 1).detach()
_w = mixing_weights(_p, labels)
assert _w.shape == (4, 4), "a row and a column for each image"
assert torch.allclose(_w.sum(1), torch.ones(4), atol=1e-4), "every row sums to 1"
_blend = analytic.demix(batch_W, batch_b, labels)           # what de-mixing returns (part 4)
close(_w @ private, _blend, rtol=1e-3, atol=1e-3)
print(pd.DataFrame(_w.numpy()).round(2).to_string(header=False, index=False))

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "mixing_weights-hidden", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
# Hidden: a network that takes all images for a class that none of them has (what do the weights
# become?), labels that repeat, more images than classes.
### BEGIN HIDDEN TESTS
own_work(mixing_weights)
_elsewhere = torch.tensor([1e-3, 0.996, 1e-3, 1e-3, 1e-3]).expand(3, 5)
_w = mixing_weights(_elsewhere, torch.tensor([4, 0, 2]))
assert (_w - torch.eye(3)).abs().max() < 0.01, "nothing but its own image is in a row"
_p, _y = softmax(torch.randn(6, 4, generator=rng(10)), 1), torch.tensor([1, 1, 3, 0, 3, 2])
_w, _x = mixing_weights(_p, _y), torch.rand(6, 8, generator=rng(11))
close(_w[0], _w[1])
_delta = _p.clone()
_delta[range(6), _y] -= 1
_dW, _db = (_delta[:, :, None] * _x[:, None]).mean(0), _delta.mean(0)
close(_w @ _x, (_dW / _db[:, None])[_y], rtol=1e-3, atol=1e-3)
### END HIDDEN TESTS

# %% [markdown]
# ## Part 6. An honest table (2 points)
#
# One picture shows that an attack *can* work. How often does it? Below, 16 clients are attacked at each batch size; `scores` has a row for every image: `batch_size` and `psnr` in dB (cut at 60, which
# stands for "exact, but for the last bit of a pixel": a spread of 0 there is that of the cut). Make the table one would print in a paper: for every batch size **n** (images), the **mean**, the sample standard deviation **std**, and **recovered**, the share of images with a PSNR of
# at least 20 dB. Compute it; do not type numbers.

# %% nbgrader={"grade": false, "grade_id": "scores", "locked": true, "schema_version": 3, "solution": false, "task": false}
def measured(batch_size):
    held = images.clients(16, batch_size, seed=seed, unique_labels=True)
    g = client.share(network, held).gradients
    guess = analytic.demix(g["1.weight"], g["1.bias"], held.labels)
    table = metrics.score(guess.view(held.images.shape), held.images, match=False)
    return pd.DataFrame({"batch_size": batch_size, "psnr": table.psnr.clip(upper=60)})


scores = pd.concat([measured(batch_size) for batch_size in (1, 2, 4, 8)], ignore_index=True)
scores.sample(4, random_state=seed)

# %% nbgrader={"grade": false, "grade_id": "report", "locked": false, "schema_version": 3, "solution": true, "task": false}
def report(scores):
    """A DataFrame with index batch_size and the columns n, mean, std, recovered."""
    ### BEGIN SOLUTION
    psnr = scores.groupby("batch_size").psnr
    return pd.DataFrame({"n": psnr.count(), "mean": psnr.mean(), "std": psnr.std(),
                         "recovered": psnr.agg(lambda x: (x >= 20).mean())})
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "report-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(report)
_table = report(scores)
assert list(_table.columns) == ["n", "mean", "std", "recovered"]
assert list(_table.index) == [1, 2, 4, 8]
assert _table.n.tolist() == [16, 32, 64, 128], "n counts images"
_of_eight = scores[scores.batch_size == 8].psnr
assert abs(_table["mean"][8] - _of_eight.mean()) < 1e-6, "the mean of batches of 8"
assert _table.recovered.between(0, 1).all(), "a share lies between 0 and 1"
print(_table.round(2).to_string())

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "report-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: your numbers, for these scores and for others.
### BEGIN HIDDEN TESTS
own_work(report)
_other = pd.DataFrame({"batch_size": [3, 3, 3, 9, 9], "psnr": [10.0, 20.0, 33.0, 5.0, 6.0]})
for _s in (scores, _other):
    _mine = report(_s)
    for _b, _group in _s.groupby("batch_size"):
        _v, _row = torch.tensor(_group.psnr.to_numpy()), _mine.loc[_b]
        assert _row.n == len(_v) and abs(_row["mean"] - _v.mean()) < 1e-6, _b
        assert abs(_row["std"] - _v.std()) < 1e-6, "the sample standard deviation divides by n - 1"
        assert abs(_row.recovered - (_v >= 20).double().mean()) < 1e-6, _b
### END HIDDEN TESTS

# %% [markdown]
# ## To think about (no points)
#
# - n in part 6 counts images, but the images of a batch share one gradient, and all clients one network. How many independent trials are there? What would you repeat to know the spread over networks?
# - A network that is *sure* of its images has a small $\delta$. What does that change in part 2, in exact arithmetic and under
#   noise? And in part 5: is $w$ any nearer to the identity?
# - In front of the dense layer there are now convolutions. What do you recover, and what would you do next? (Assignment 2.)
# - A client whose four images have one label: what does the server get? Is that a defense? (Notebook 06.)
