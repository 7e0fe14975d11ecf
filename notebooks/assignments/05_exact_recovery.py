# %% [markdown]
# # Assignment 5: exact recovery from a ReLU layer
#
# *An optional unit.* A client shares the gradient of a whole batch, the mean over its images. A search for images whose gradient
# matches ends near them at best. You will get all of them back exactly, without a search and without a label: the zeros that ReLU
# leaves in a gradient tell the images apart. This is SPEAR (Dimitrov et al. 2024), which you will build in four steps.
#
# **You will be able to**
#
# - write the gradient of a dense layer as a sum of outer products, and read the number of images off its rank;
# - say which part of a batch is known from linear algebra alone, and which is not;
# - find the rest from zeros: sub-matrices, their kernels, a count, a greedy choice;
# - prove to yourself, without the private images, that what you found is right;
# - predict when the attack fails, and how much noise hides a zero.
#
# | part | | points | minutes |
# |---|---|---|---|
# | 1 | a sum of outer products | 3 | 15 |
# | 2 | one image | 1 | 5 |
# | 3 | the span, and what is missing | 3 | 15 |
# | 4 | what the zeros tell | 5 | 25 |
# | 5 | is it right? | 3 | 12 |
# | 6 | how far it goes | 3 | 10 |
# | 7 | noise that hides a zero | 2 | 8 |
# | | | **20** | **90** |
#
# **How to work.** Write your code where it says `YOUR CODE HERE`, and delete the line below it.
# A test that fails does not stop the cells below it. The cells with `assert` are tests: you see some
# of them, others are run when your work is graded, and what they look at is said. No part needs the answer of another
# one. Restart the kernel and run everything before you hand in. Plain PyTorch is all you need; calling `lib`'s functions is not
# an answer.
#
# **Threat model.** The server is honest but curious: it knows the network, its weights and the update. It is given neither the
# labels nor a prior, and it finds the size of the batch by itself. All is in float64: in float32 a zero is harder to tell.
#
# **Background.** Notebook 09_exact, and assignment 1. Paper: Dimitrov, Baader, Müller and Vechev 2024 (arXiv:2403.03945).

# %% tags=["parameters"] nbgrader={"grade": false, "grade_id": "parameters", "locked": true, "schema_version": 3, "solution": false, "task": false}
seed = 0                # another seed: other clients, other networks
pictures = "photos"     # "photos" or "digits"

# %% nbgrader={"grade": false, "grade_id": "setup", "locked": true, "schema_version": 3, "solution": false, "task": false}
import os
import warnings
from functools import partial

import matplotlib.pyplot as plt
import pandas as pd
import torch
from torch.nn.functional import cross_entropy, one_hot, softmax

from lib import data, exact, metrics, models
from studies import plots

os.environ["QUIET"] = "1"        # no progress bars and no warnings:
warnings.simplefilter("ignore")  # nbgrader takes any word on stderr for a failed test
images = data.load(pictures, size=16)
mean, std = (t.double().view(-1, 1, 1) for t in (images.mean, images.std))
random = partial(torch.randn, dtype=torch.float64)
close = partial(torch.testing.assert_close, rtol=1e-6, atol=1e-8)

# %% nbgrader={"grade": false, "grade_id": "helpers", "locked": true, "schema_version": 3, "solution": false, "task": false}
def rng(number):
    """A generator of random numbers that depends on the seed of the assignment."""
    return torch.Generator().manual_seed(1000 * seed + number)


def own_work(function):
    """Fails for one of lib's functions, and for one that calls those which are the answer."""
    names = set(function.__code__.co_names)
    assert function.__module__ == "__main__", "write it yourself"
    assert not {"analytic", "exact"} & names, "write it yourself"


def as_images(x):
    """Inputs of the network (B, n), which are normalised, as images (B, C, H, W) in [0, 1]."""
    return (x.view(-1, *images.shape) * std + mean).clamp(0, 1)

# %% [markdown]
# A client of this assignment has a network of its own: one hidden layer with ReLU. It shares the gradients of both layers.

# %% nbgrader={"grade": false, "grade_id": "clients", "locked": true, "schema_version": 3, "solution": false, "task": false}
def a_client(batch_size, width, number=0):
    """The network; the private inputs x (B, n) and labels y (B,), for scoring only; and what is
    shared: the gradients dW (width, n), db (width,) of the first layer, and those of the last."""
    drawn = images.clients(1, batch_size, seed=1000 * seed + number)
    x, y = ((drawn.images[0].double() - mean) / std).flatten(1), drawn.labels[0]
    network = models.dense(images, (width,), "relu", seed=1000 * seed + number).double()
    loss = cross_entropy(network(x), y)  # the mean over the batch
    return network, x, y, torch.autograd.grad(loss, list(network.parameters()))


def private_deltas(network, x, y):
    """D (width, B): column i is the gradient of the loss by z = W x_i + b. No attacker has it."""
    z = network[1](x)
    return torch.autograd.grad(cross_entropy(network[2:](z), y), z)[0].T

# %% [markdown]
# ## Part 1. A sum of outer products (3 points)
#
# A dense layer maps each image $x_i \in \mathbb{R}^n$ of a batch to $z_i = W x_i + b$. Write $\delta_i = \partial \ell / \partial z_i$, where $\ell$ is the
# loss of the whole batch (so a mean over images is inside $\delta_i$ already). By the chain rule every image adds one outer product:
#
# $$\frac{\partial \ell}{\partial W} = \sum_{i=1}^{B} \delta_i\, x_i^\top = D X, \qquad \frac{\partial \ell}{\partial b} = \sum_{i=1}^{B} \delta_i ,$$
#
# with $\delta_i$ as the columns of $D$ (out, $B$), and the images as the rows of $X$ ($B$, in).

# %% nbgrader={"grade": false, "grade_id": "layer_gradients", "locked": false, "schema_version": 3, "solution": true, "task": false}
def layer_gradients(D, X):
    """dl/dW (out, in) and dl/db (out,) of a dense layer, from D (out, B) and X (B, in)."""
    ### BEGIN SOLUTION
    return D @ X, D.sum(1)
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "layer_gradients-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: an image of another size, and a batch of one.
own_work(layer_gradients)
_network, _x, _y, _shared = a_client(5, 32)
_mine = layer_gradients(private_deltas(_network, _x, _y), _x)
assert len(_mine) == 2, "return two things: the gradient of W, and that of b"
close(_mine[0], _shared[0])
close(_mine[1], _shared[1])
### BEGIN HIDDEN TESTS
_D, _X = random(7, 1, generator=rng(1)), random(1, 4, generator=rng(2))
close(layer_gradients(_D, _X)[0], torch.outer(_D[:, 0], _X[0]))
close(layer_gradients(_D, _X)[1], _D[:, 0])
### END HIDDEN TESTS

# %% [markdown]
# A matrix of $B$ outer products has at most rank $B$. As long as the images and the $\delta_i$ are independent, the rank *is* $B$: the attacker counts the images.
#
# A computed matrix has full rank, for rounding leaves singular values that are tiny and not zero. How tiny is a matter of the largest one, of the shape, and of the
# precision of the numbers (`torch.finfo(dtype).eps`): choose a limit from these three, so that the count holds for float32 and float64, and at any scale.

# %% nbgrader={"grade": false, "grade_id": "count_images", "locked": false, "schema_version": 3, "solution": true, "task": false}
def count_images(weight_gradient):
    """The numerical rank (an int) of dl/dW (out, in), float32 or float64; 0 if all of it is 0."""
    ### BEGIN SOLUTION
    values = torch.linalg.svdvals(weight_gradient)
    rounding = torch.finfo(weight_gradient.dtype).eps * max(weight_gradient.shape)
    return int((values > rounding * values[0]).sum())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "count_images-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(count_images)
for _B in (1, 3, 8):
    _dW = a_client(_B, 64)[3][0]
    print(f"{_B} images: rank {count_images(_dW)}, in float32 {count_images(_dW.float())}")
    assert count_images(_dW) == count_images(_dW.float()) == _B

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "count_images-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: tiny and huge gradients; zero; one image twice; more images than neurons.
### BEGIN HIDDEN TESTS
own_work(count_images)
_D, _X = random(20, 6, generator=rng(3)), random(6, 30, generator=rng(4))
for _scale in (1e-20, 1.0, 1e20):
    assert count_images(_scale * _D @ _X) == count_images(_scale * (_D @ _X).float()) == 6
assert count_images(torch.zeros(4, 5)) == 0
_twice = torch.cat([_X, _X[:1]])
assert count_images(torch.cat([_D, _D[:, 1:2]], 1) @ _twice) == 6, "the same image adds no rank"
assert count_images(_D[:4] @ _X) == 4, "four neurons cannot show six images"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 2. One image (1 point)
#
# For $B = 1$ each row of $\partial \ell / \partial W$ is the image times one number, and the bias gradient holds that number. Behind ReLU about half of the rows
# are zero and say nothing. Use a row that says as much as any.

# %% nbgrader={"grade": false, "grade_id": "one_image", "locked": false, "schema_version": 3, "solution": true, "task": false}
def one_image(weight_gradient, bias_gradient):
    """The input x (in,) of a batch of one, from dl/dW (out, in) and dl/db (out,)."""
    ### BEGIN SOLUTION
    row = bias_gradient.abs().argmax()
    return weight_gradient[row] / bias_gradient[row]
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "one_image-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: rows that are zero or rounded, and bias gradients that sum to zero.
own_work(one_image)
for _number in range(4):
    _network, _x, _y, _shared = a_client(1, 64, _number)
    close(one_image(*_shared[:2]), _x[0])
### BEGIN HIDDEN TESTS
_x = random(30, generator=rng(5))
for _values in ([0, 1e-9, -0.3, 0.3 - 1e-9], [0, 1e-9, 0.3, 0.2], [0, -1e-9, -0.2, -0.3]):
    _delta = torch.tensor(_values, dtype=torch.float64)
    _dW = torch.outer(_delta, _x) + 1e-12 * random(4, 30, generator=rng(6))
    assert (one_image(_dW, _delta) - _x).abs().max() < 1e-9, "a larger |dl/db| is more exact"
### END HIDDEN TESTS

# %% [markdown]
# ## Part 3. The span, and what is missing (3 points)
#
# For a batch, linear algebra gives *some* factors of the same product: a matrix $L$ (out, $B$) and a matrix $R$ ($B$, in), both of rank $B$, with
#
# $$\frac{\partial \ell}{\partial W} = L R .$$
#
# A singular value decomposition is one way to get them.

# %% nbgrader={"grade": false, "grade_id": "factors", "locked": false, "schema_version": 3, "solution": true, "task": false}
def factors(weight_gradient, batch_size):
    """L (out, B) and R (B, in) of full rank whose product is dl/dW (out, in), of rank B."""
    ### BEGIN SOLUTION
    U, S, V = torch.linalg.svd(weight_gradient, full_matrices=False)
    return U[:, :batch_size], S[:batch_size, None] * V[:batch_size]
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "factors-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: other shapes, of less and of full rank.
own_work(factors)


def _check(dW, B):
    L, R = factors(dW, B)
    assert L.shape == (len(dW), B) and R.shape == (B, dW.shape[1])
    close(L @ R, dW)
    assert torch.linalg.matrix_rank(L) == torch.linalg.matrix_rank(R) == B


_check(a_client(6, 200)[3][0], 6)
### BEGIN HIDDEN TESTS
for _shape in ((9, 3, 12), (12, 3, 9), (3, 3, 5), (5, 1, 3)):
    _D, _X = random(*_shape[:2], generator=rng(7)), random(*_shape[1:], generator=rng(8))
    _check(_D @ _X, _shape[1])
### END HIDDEN TESTS

# %% [markdown]
# So the rows of $R$ span the images, and the images are not among them. For every invertible $M$ the pair $L M$, $M^{-1} R$ has the same product:
# one of these pairs is the private one, and nothing in $\partial \ell / \partial W$ says which. With $Q$ for that $M$,
#
# $$D = L Q, \qquad X = Q^{-1} R .$$
#
# Now suppose that somebody tells you the *directions* of the columns of $Q$, up to their lengths and signs. What do you still need? The bias gradient has it: it
# is the sum of the columns of $D = L Q$. Find the $B$ lengths by least squares (`torch.linalg.lstsq`), then the images.

# %% nbgrader={"grade": false, "grade_id": "unmix", "locked": false, "schema_version": 3, "solution": true, "task": false}
def unmix(L, R, bias_gradient, directions):
    """The images (B, in), in the order of the directions.

    L (out, B), R (B, in): factors of dl/dW. directions (B, B): column i is the i-th column of Q
    times an unknown number, which is not zero and may be negative."""
    ### BEGIN SOLUTION
    lengths = torch.linalg.lstsq(L @ directions, bias_gradient[:, None]).solution  # (B, 1)
    return torch.linalg.solve(directions * lengths.T, R)
    ### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "told", "locked": true, "schema_version": 3, "solution": false, "task": false}
network, x, y, shared = a_client(6, 200)
dW, db = shared[:2]
U, S, V = torch.linalg.svd(dW, full_matrices=False)
L, R = U[:, :6], S[:6, None] * V[:6]
Q = torch.linalg.lstsq(L, private_deltas(network, x, y)).solution  # no attacker has it
told = Q / Q.norm(dim=0) * torch.tensor([1.0, -1, 1, -1, 1, -1])   # directions alone

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "unmix-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(unmix)
close(unmix(L, R, db, told), x)

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "unmix-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: other factors of the same product, directions in another order, and another size.
### BEGIN HIDDEN TESTS
own_work(unmix)
_M, _order = random(6, 6, generator=rng(9)), torch.tensor([3, 0, 5, 1, 2, 4])
_inverse = torch.linalg.inv(_M)
close(unmix(L @ _M, _inverse @ R, db, (_inverse @ told)[:, _order]), x[_order])
_D, _X = random(9, 2, generator=rng(10)), random(2, 5, generator=rng(11))
close(unmix(_D, _X, _D.sum(1), torch.diag(torch.tensor([4.0, -0.1]).double())), _X)
### END HIDDEN TESTS

# %% [markdown]
# ## Part 4. What the zeros tell (5 points)
#
# ReLU passes no gradient to a neuron at rest. So column $i$ of $D$ is *exactly* zero wherever image $i$ leaves a neuron at rest, in about half of the places.
#
# Take $B - 1$ rows of $L$. If image $i$ happens to be at rest in all of them, then $L_{\text{rows}}\, q_i = D_{\text{rows},\, i} = 0$: column $q_i$ of $Q$ lies
# in the kernel of a matrix of $B - 1$ rows and $B$ columns, and this kernel is a line. So every draw of rows gives one candidate for a direction. Most are wrong.

# %% nbgrader={"grade": false, "grade_id": "submatrices", "locked": true, "schema_version": 3, "solution": false, "task": false}
def submatrices(L, count, rng):
    """As many random sets of B - 1 rows of L (out, B): (count, B - 1, B). Rows that are zero, of
    neurons that no image activates, are left out: they say nothing."""
    alive = L[L.norm(dim=1) > 1e-9]
    order = torch.rand(count, len(alive), generator=rng).argsort(1)
    return alive[order[:, :L.shape[1] - 1]]

# %% nbgrader={"grade": false, "grade_id": "kernel_vectors", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kernel_vectors(rows):
    """For each matrix of rows (n, B - 1, B) a vector of length 1 that it sends to 0: (n, B)."""
    ### BEGIN SOLUTION
    return torch.linalg.svd(rows).Vh[:, -1]
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "kernel_vectors-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: other sizes, down to B = 2.
own_work(kernel_vectors)


def _check(rows):
    q = kernel_vectors(rows)
    assert q.shape == (len(rows), rows.shape[2]), "one vector for each matrix"
    close(q.norm(dim=1), torch.ones(len(rows)).double())
    assert (rows @ q[:, :, None]).abs().max() < 1e-9, "a matrix times its vector is 0"


_check(submatrices(L, 100, rng(12)))
### BEGIN HIDDEN TESTS
for _n, _B in ((1, 5), (7, 2), (30, 9)):
    _check(random(_n, _B - 1, _B, generator=rng(13)))
### END HIDDEN TESTS

# %% [markdown]
# Any candidate leaves zeros in the $B - 1$ rows that it was made from. A right one leaves zeros wherever its image is at rest: in about half of all neurons. A mixture of two
# images only where both are at rest, in about a quarter. So count the zeros of $L q$: entries below `tolerance` in absolute value. Neurons that no image activates (rows of $L$ no longer than
# `tolerance`) are zero for every $q$: do not count them.

# %% nbgrader={"grade": false, "grade_id": "vanishing", "locked": false, "schema_version": 3, "solution": true, "task": false}
def vanishing(L, q, tolerance):
    """How many entries of L q vanish, for each row of q (n, B): whole numbers (n,). L (out, B)."""
    ### BEGIN SOLUTION
    alive = L[L.norm(dim=1) > tolerance]
    return ((q @ alive.T).abs() < tolerance).sum(1)
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "vanishing-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(vanishing)
_D = private_deltas(network, x, y)
_zeros = ((_D == 0) & (_D != 0).any(1, keepdim=True)).sum(0)
_mixed = (told[:, 0] + told[:, 1])[None]
print("zeros of each image:", _zeros.tolist(), " of a mixture:", int(vanishing(L, _mixed, 1e-9)))
assert torch.equal(vanishing(L, told.T, 1e-9), _zeros), "an image vanishes where it is at rest"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "vanishing-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: small matrices, negative entries, other tolerances.
### BEGIN HIDDEN TESTS
own_work(vanishing)
_L = torch.tensor([[0, 0], [1, 0], [0, 1], [-1, 1], [-1, 0], [1e-4, 0]]).double()
_q = torch.tensor([[1, 0], [0, 1], [0.6, 0.8], [0.5**0.5, 0.5**0.5]]).double()
assert vanishing(_L, _q, 1e-9).tolist() == [1, 3, 0, 1]
assert vanishing(_L, _q, 1e-3).tolist() == [1, 2, 0, 1], "a row below the tolerance is no neuron"
assert vanishing(_L, _q, 0.3).tolist() == [1, 2, 1, 1]
### END HIDDEN TESTS

# %% [markdown]
# Choose $B$ candidates, greedily: go through them from the most zeros to the fewest, and take one if it is independent of those taken before. Kernels are rounded, so tell that by
# `torch.linalg.matrix_rank(..., atol=1e-5)`. The same image is drawn many times, with either sign, and mixtures of images already taken come after them: independence leaves out both.

# %% nbgrader={"grade": false, "grade_id": "choose", "locked": false, "schema_version": 3, "solution": true, "task": false}
def choose(candidates, zeros):
    """The chosen candidates as columns: (B, B), in the order in which they were taken; fewer
    columns where fewer are independent. candidates (n, B), of length 1; zeros (n,)."""
    ### BEGIN SOLUTION
    taken = []
    for i in zeros.argsort(descending=True):
        more = torch.stack([*taken, candidates[i]])
        if torch.linalg.matrix_rank(more, atol=1e-5) == len(more):
            taken.append(candidates[i])
    return torch.stack(taken, 1)
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "choose-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(choose)
_eye = torch.eye(3, dtype=torch.float64)
_both = (_eye[:1] + _eye[1:2]) / 2**0.5
_candidates = torch.cat([_eye, -_eye, _both])
_chosen = choose(_candidates, torch.tensor([9, 8, 4, 9, 8, 4, 6]))
assert _chosen.shape == (3, 3), "three candidates, as columns"
close(_chosen.abs(), _eye)  # in the order of zeros; the mixture with 6 is left out

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "choose-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: candidates of a real batch; rounded copies; mixtures of three; too few.
### BEGIN HIDDEN TESTS
own_work(choose)
_right, _weights = told.T, random(300, 6, generator=rng(14))
_mixed = _weights @ _right / (_weights @ _right).norm(dim=1, keepdim=True)
_copies = _right + 1e-9 * random(6, 6, generator=rng(15))
_candidates = torch.cat([_mixed, -_copies, _right])
_zeros = torch.tensor([20] * 300 + [80, 80, 80, 96, 80, 80, 90, 95, 91, 97, 92, 93])
close(choose(_candidates, _zeros), _right[[3, 1, 5, 4, 2, 0]].T)
_sum = (_right[:3].sum(0) / _right[:3].sum(0).norm())[None]
_five = choose(torch.cat([_right[:5], _sum]), torch.tensor([9, 8, 7, 3, 2, 5]))
close(_five, _right[:5].T)
### END HIDDEN TESTS

# %% [markdown]
# Your pieces together are SPEAR. Each cell of this part has its own tests; here they work as one, on the client of part 3.

# %% tags=["raises-exception"]
# Look at it: six private images, what the division of part 2 makes of them, and yours.
L, R = factors(dW, count_images(dW))
candidates = kernel_vectors(submatrices(L, 2000, rng(16)))
directions = choose(candidates, vanishing(L, candidates, 1e-9))
found = as_images(unmix(L, R, db, directions))
private = as_images(x)
found = found[metrics.matching(found[None], private[None])[0]]  # each beside the one it resembles
divided = as_images((dW.sum(0) / db.sum()).expand(6, -1))
print(f"largest error of a pixel: {(found - private).abs().max():.0e}")
plots.sheet(torch.stack([private, divided, found]), width=0.7,
            row_labels=["private", "divided", "found"])
plt.show()

# %% [markdown]
# ## Part 5. Is it right? (3 points)
#
# An attacker has no private images to compare with. And the gradient of the first layer is matched by *any* $Q$, since $(L Q)(Q^{-1} R) = L R$. But the network has a second layer. It is fed $H$
# ($B$, width), the activations of the hidden layer for the images found, and its own gradient is, for cross-entropy and the mean over the batch,
#
# $$\frac{\partial \ell}{\partial W_2} = \frac{1}{B} \sum_{i=1}^{B} (p_i - y_i)\, h_i^\top = \frac{1}{B} (P - Y)^\top H ,$$
#
# with $P$ ($B$, classes) the softmax, and $Y$ the labels as rows of zeros with a single one. Only $Y$ is unknown. Solve for it, with `torch.linalg.pinv`: the rows of $H$ are independent. If the images are right,
# $Y$ comes out as zeros and ones. So labels need no guess either.

# %% nbgrader={"grade": false, "grade_id": "labels_as_rows", "locked": false, "schema_version": 3, "solution": true, "task": false}
def labels_as_rows(P, H, last_gradient):
    """Y (B, classes) from P (B, classes), H (B, width) and dl/dW_2 (classes, width)."""
    ### BEGIN SOLUTION
    return P - len(P) * (last_gradient @ torch.linalg.pinv(H)).T
    ### END SOLUTION

# %% nbgrader={"grade": false, "grade_id": "second_layer", "locked": true, "schema_version": 3, "solution": false, "task": false}
_spear = exact.spear(dW, db, network[1].weight, network[1].bias, seed=seed)
guess = _spear.images                                      # (6, n), in an order of its own
P, H = softmax(network(guess), 1).detach(), network[:3](guess).detach()
blend = torch.cat([guess[:2].mean(0, keepdim=True), guess[1:]])  # one image is a mixture

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "labels_as_rows-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(labels_as_rows)
_Y = labels_as_rows(P, H, shared[2])
print("Y from the images found:", pd.DataFrame(_Y.numpy()).round(2).to_string(), sep="\n")
close(_Y, one_hot(_Y.argmax(1), 10).double(), atol=1e-4, rtol=0)
assert torch.equal(_Y.argmax(1).sort().values, y.sort().values), "these are not the labels"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "labels_as_rows-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: a network that is sure and wrong; labels that repeat; mixtures, of which Y says so.
### BEGIN HIDDEN TESTS
own_work(labels_as_rows)
_P, _H = softmax(9 * random(5, 4, generator=rng(17)), 1), random(5, 8, generator=rng(18))
_Y = one_hot(torch.tensor([2, 0, 2, 3, 3]), 4).double()
close(labels_as_rows(_P, _H, (_P - _Y).T @ _H / 5), _Y)
_P, _H = softmax(network(blend), 1).detach(), network[:3](blend).detach()
_Y = labels_as_rows(_P, _H, shared[2])
assert (_Y - one_hot(_Y.argmax(1), 10)).abs().max() > 1e-3, "a mixture was taken for an image"
### END HIDDEN TESTS

# %% [markdown]
# Last, put images and labels through the network, and compare *all* of its gradients with what was shared:
#
# $$\text{mismatch} = \Big( \textstyle\sum_k \| g_k - s_k \|^2 \Big/ \sum_k \| s_k \|^2 \Big)^{1/2},$$
#
# with $k$ over the parameters, $g_k$ the gradient of the images found, and $s_k$ the shared one.

# %% nbgrader={"grade": false, "grade_id": "mismatch", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mismatch(network, x, y, shared):
    """The mismatch (a number) of inputs x (B, n) and labels y (B,) with the shared gradients, one
    for each of network.parameters(). The loss is the mean cross-entropy."""
    ### BEGIN SOLUTION
    loss = cross_entropy(network(x), y)
    mine = torch.autograd.grad(loss, list(network.parameters()))
    off = sum((g - s).square().sum() for g, s in zip(mine, shared, strict=True))
    return float((off / sum(s.square().sum() for s in shared)).sqrt())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "mismatch-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: an update of another size, and one parameter that differs.
own_work(mismatch)
_labels = P - len(P) * torch.linalg.lstsq(H.T, shared[2].T).solution  # part 5, another way
_labels = _labels.argmax(1)
print(f"the images found: {mismatch(network, guess, _labels, shared):.0e}")
print(f"one is a mixture: {mismatch(network, blend, _labels, shared):.0e}")
assert mismatch(network, guess, _labels, shared) < 1e-6 < mismatch(network, blend, _labels, shared)
### BEGIN HIDDEN TESTS
assert abs(mismatch(network, x, y, [3 * s for s in shared]) - 2 / 3) < 1e-9
_changed = [*shared[:3], torch.zeros_like(shared[3])]
_size = sum(s.square().sum() for s in _changed)
assert abs(mismatch(network, x, y, _changed) - (shared[3].square().sum() / _size).sqrt()) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# ## Part 6. How far it goes (3 points)
#
# **Predict.** Let each image be at rest in a share $r$ of the neurons, independently of the others. A draw of $B - 1$ rows is right for a given image with probability $p = r^{B-1}$; take for granted that it is right for one image at
# most (so $B p \le 1$). While $k$ images are still missing, a draw finds one of them with probability $k p$. How many draws are needed on average until all $B$ are found?

# %% nbgrader={"grade": false, "grade_id": "expected_draws", "locked": false, "schema_version": 3, "solution": true, "task": false}
def expected_draws(B, r):
    """The mean number of draws until all B images have been met, where a share r is at rest."""
    ### BEGIN SOLUTION
    p = r ** (B - 1)
    return sum(1 / (k * p) for k in range(1, B + 1))
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "expected_draws-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Part of it is hidden: a batch of four, and another share.
own_work(expected_draws)
assert abs(expected_draws(2, 0.5) - 3) < 1e-9, "1 draw for the first image, 2 for the second"
for _B in (4, 7, 10, 25):
    print(f"a batch of {_B}: {expected_draws(_B, 0.5):,.0f} draws")
### BEGIN HIDDEN TESTS
assert abs(expected_draws(4, 0.5) - (2 + 8 / 3 + 4 + 8)) < 1e-9
assert abs(expected_draws(3, 0.2) - (25 / 3 + 25 / 2 + 25)) < 1e-9
### END HIDDEN TESTS

# %% [markdown]
# **Then run.** Below, `lib`'s SPEAR attacks six clients for each batch size and width, with 2,048 draws each. Before you run it, write down which batches you expect to come back: for each width the largest batch size. Your
# formula knows nothing of the width. What will a narrow layer change? (How many neurons does each image leave at rest, and how many of them must be independent?)

# %% tags=["raises-exception"]
my_guess = {16: ..., 64: ..., 256: ...}  # width: the largest batch that comes back

# %% nbgrader={"grade": false, "grade_id": "outcome", "locked": true, "schema_version": 3, "solution": false, "task": false}
def attacked(width, batch_size, client):
    """A row for each private image: the mean squared error of the nearest image found."""
    network, x, _, (dW, db, *_) = a_client(batch_size, width, client)
    W, b = network[1].weight, network[1].bias
    found = exact.spear(dW, db, W, b, batch_size, draws=2048, seed=client).images
    mse = (x[:, None] - found).square().mean(2).amin(1)  # NaN where nothing was found
    return pd.DataFrame({"width": width, "batch_size": batch_size, "client": client, "mse": mse})


outcome = pd.concat([attacked(width, batch_size, client) for width in (16, 64, 256)
                     for batch_size in (2, 4, 7, 10) for client in range(6)], ignore_index=True)
outcome.sample(4, random_state=seed)

# %% [markdown]
# A *batch* came back where each of its images has a mean squared error below $10^{-9}$ (NaN: nothing was found). Nearly all of a batch is not the batch, so the unit to count is the client, not the image.

# %% nbgrader={"grade": false, "grade_id": "success", "locked": false, "schema_version": 3, "solution": true, "task": false}
def success(outcome):
    """A DataFrame, index batch_size, a column for each width: the share of clients whose whole
    batch came back."""
    ### BEGIN SOLUTION
    exact_ones = outcome.assign(ok=outcome.mse < 1e-9)
    whole = exact_ones.groupby(["batch_size", "width", "client"]).ok.all()
    return whole.groupby(["batch_size", "width"]).mean().unstack()
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "success-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(success)
_table = success(outcome)
print(_table.round(2).to_string())
assert list(_table.index) == [2, 4, 7, 10] and list(_table.columns) == [16, 64, 256]
assert ((6 * _table).round() - 6 * _table).abs().max().max() < 1e-9, "of six clients: sixths"

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "success-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: made-up outcomes: batches of which one image is missing, NaN, rows in another order.
### BEGIN HIDDEN TESTS
own_work(success)
_rows = [(8, 3, 0, 1e-20), (8, 3, 0, 1e-20), (8, 3, 0, 0.2), (8, 3, 1, 0.0), (8, 3, 1, 1e-12),
         (8, 3, 1, 1e-10), (9, 3, 0, 1e-9), (9, 3, 0, 0.0), (9, 3, 0, 0.0), (8, 1, 0, float("nan")),
         (8, 1, 1, 0.0), (8, 1, 2, 0.0), (9, 1, 0, 0.0)]
_made = pd.DataFrame(_rows, columns=["width", "batch_size", "client", "mse"])
_table = success(_made.sample(frac=1, random_state=4))
assert _table.loc[3, 8] == 0.5 and _table.loc[3, 9] == 0, "a batch is whole or not"
assert abs(_table.loc[1, 8] - 2 / 3) < 1e-9 and _table.loc[1, 9] == 1, "NaN is not recovered"
### END HIDDEN TESTS

# %% tags=["raises-exception"]
# Look at it: where is your guess wrong? And the images at rest most and least often?
for _B in (4, 7, 10):
    _network, _x, _, _ = a_client(_B, 256)
    _rest = (_network[1](_x) <= 0).double().mean(1)
    print(f"batch of {_B}: at rest in {_rest.min():.0%} to {_rest.max():.0%} of the neurons;"
          f" {expected_draws(_B, float(_rest.mean())):.0f} draws by the mean,"
          f" {expected_draws(_B, float(_rest.min())):.0f} by the least")

# %% [markdown]
# ## Part 7. Noise that hides a zero (2 points)
#
# **A defense.** The client adds normal noise of standard deviation $\sigma$ to every entry of $\partial \ell / \partial W$. Let the attacker know $\sigma$, and even $R$. The attacker computes $L = G R^{+}$ from the noisy $G = D X + N$,
# with $R^{+}$ the pseudo-inverse. Where $D$ has a zero, the entry of $L q$ is no longer zero. By how much is it off? Derive its standard deviation.

# %% nbgrader={"grade": false, "grade_id": "noise_of_zero", "locked": false, "schema_version": 3, "solution": true, "task": false}
def noise_of_zero(R, q, sigma):
    """The standard deviation (a number) of an entry of L q that is 0 without noise.

    R (B, in), of full rank; q (B,), of any length; sigma: of the noise on each entry of dl/dW."""
    ### BEGIN SOLUTION
    return float(sigma * (torch.linalg.pinv(R) @ q).norm())
    ### END SOLUTION

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "noise_of_zero-test", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
own_work(noise_of_zero)


def _measured(R, q, sigma):
    noise = sigma * random(5000, R.shape[1], generator=rng(19))  # 5,000 rows in which D is 0
    return float((noise @ torch.linalg.pinv(R) @ q).std())


U, S, V = torch.linalg.svd(dW, full_matrices=False)
R = S[:6, None] * V[:6]
for _sigma in (1e-6, 1e-3):
    print(f"measured {_measured(R, told[:, 0], _sigma):.2e},",
          f"yours {noise_of_zero(R, told[:, 0], _sigma):.2e}")
    assert abs(noise_of_zero(R, told[:, 0], _sigma) / _measured(R, told[:, 0], _sigma) - 1) < 0.1

# %% tags=["raises-exception"] nbgrader={"grade": true, "grade_id": "noise_of_zero-hidden", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
# Hidden: an R whose rows are far from orthogonal, and a q that is longer.
### BEGIN HIDDEN TESTS
own_work(noise_of_zero)
_R = random(4, 4, generator=rng(20)) @ random(4, 30, generator=rng(21))
_q = 3 * random(4, generator=rng(23))
assert abs(noise_of_zero(_R, _q, 0.2) / _measured(_R, _q, 0.2) - 1) < 0.1
### END HIDDEN TESTS

# %% tags=["raises-exception"]
# Look at it: what one direction leaves where its image is at rest (grey), and where it is not.
D, spread = private_deltas(network, x, y), dW.std()
fig, axes = plt.subplots(1, 3, figsize=(6.5, 2.0), sharey=True)
for ax, part in zip(axes, (0.01, 0.3, 10), strict=True):
    noisy = dW + part * spread * random(*dW.shape, generator=rng(22))
    left = (noisy @ torch.linalg.pinv(R) @ told[:, 0]).abs()
    at_rest = D[:, 0] == 0
    bins = torch.logspace(-6, 1, 40)
    ax.hist([left[at_rest], left[~at_rest]], bins=bins, color=["0.7", "0.2"], stacked=True)
    ax.axvline(noise_of_zero(R, told[:, 0], part * float(spread)), linestyle=":", color="black")
    ax.set(xscale="log", xlabel="entry of L q")
    ax.set_title(f"noise: {part:g} times dW", fontsize=8)
plt.show()

# %% [markdown]
# ## To think about (no points)
#
# - **The defense.** In the last figure, from which noise on can the attacker no longer choose a tolerance? There the attacker knew $R$: what does noise do to a span that has to be computed from the update? Compare with the noise that training bears (assignment 4), and say
#   why "not exact" is not the same as "private".
# - **A better defense?** Name a change of the *network* that leaves no zeros, and what an attacker has then (notebook 09 measures one).
# - Some neurons see one image of the batch alone. What do their rows say by part 2, and how would you find such rows without the images? For which batch sizes is that enough?
# - Part 4 takes a batch apart that part 2 blends. Which step fails behind a sigmoid, and which still works?
# - Six clients for each cell of part 6 are few. How wide is the interval of a share of five in six? (Assignment 3.)
# - **An open question.** Behind a leaky ReLU (slope 0.1) no entry of $D$ is zero, but each is of one of two kinds. Recover whole batches from that. An answer counts if it gives back, with a mismatch below $10^{-6}$, batches of four of at least six
#   clients of eight; we know of none.
