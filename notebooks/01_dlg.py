# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Deep Leakage from Gradients
#
# | | |
# |---|---|
# | **Paper** | Ligeng Zhu, Zhijian Liu, Song Han: *Deep Leakage from Gradients* (DLG) |
# | **Published** | NeurIPS 2019; [arXiv 1906.08935](https://arxiv.org/abs/1906.08935) |
# | **Official code** | [mit-han-lab/dlg](https://github.com/mit-han-lab/dlg) (MIT), read at d21007f; none of it is used here |
#
# In federated learning a client keeps its images and shares only the gradient of its loss. This paper
# shows that the gradient is enough to get the images back. The attacker starts from noise, computes the
# gradient that this *dummy* image and a *dummy* label would have given, and moves both until that gradient
# matches the shared one. It needs the public model, the shared gradient, the shape of an image and the size of the
# batch, nothing else; the model's weights are random in every experiment [quoted].
#
# ```bibtex
# @inproceedings{zhu2019deep,
#   title     = {Deep Leakage from Gradients},
#   author    = {Zhu, Ligeng and Liu, Zhijian and Han, Song},
#   booktitle = {Advances in Neural Information Processing Systems},
#   year      = {2019}
# }
# ```
#
# **Marks.** The text of the paper was not at hand. *[read]*: seen in the official code or in a picture of the paper's own
# figure. *[quoted]*: verbatim in works of third parties. *[recalled]*: from memory, to be checked by whoever has the
# paper. *[digitised]*: read off a plot. *[inferred]*: our conclusion. No recalled number decides anything below.
#
# **What is here.** Every figure and table of results: Figures 3 to 6, Table 1 (batches, ResNet-20), Figure 7 and Table 3 (defenses),
# Table 2 (text); then three questions that users of the original ask: activation and initialisation, line search, and how
# much a network passes on.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import seaborn as sns
import torch
from IPython.display import Markdown, display
from scipy import stats
from torch.nn.functional import log_softmax, softmax

from lib import analytic, attacks, client, data, metrics, models

from lib import run as runs
from studies import case, plots, report, store, verdicts
from studies.dlg import compute as dlg

run = runs.start(profile, seed=seed, device=device, data_root=data_root)
report.start("01_dlg", run, paper="dlg")
plots.style()
pd.options.display.max_colwidth = None

# %% [markdown]
# ## Settings of both profiles
#
# *You may skip these three cells on a first reading.* The quick profile runs on a laptop in under two minutes, on small
# images that ship with scikit-learn and scikit-image. The paper profile uses the paper's sets. Both attack the LeNet of
# the official code, every weight and bias drawn anew for each client from U(-0.5, 0.5), by L-BFGS with learning rate 1,
# history 100 and 20 inner iterations. An *iteration* is one call of `torch.optim.LBFGS.step`, of up to 20 inner
# iterations. The paper does not say which it counts; that its axes count calls is [inferred].

# %% tags=["plan"]
FILM = {"quick": [0, 3, 5, 10, 20, 40], "paper": [0, 10, 50, 100, 500]}  # the strip's columns
RECORD = {  # all iterations at which the images are kept
    "quick": [0, 1, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 40],
    "paper": [0, 2, 5, 10, 15, 20, 30, 50, 75, 100, 200, 300, 500],
}
SETS = {  # the paper's set: (what the quick profile takes in its place, the paper profile's)
    "MNIST": ({"name": "digits"}, {"name": "mnist"}),
    "CIFAR": ({"name": "photos", "size": 16}, {"name": "cifar10", "classes": 100}),
    "LFW": ({"name": "faces", "size": 16, "classes": 10}, {"name": "lfw", "size": 32}),
    "LFW (100 faces)": (None, {"name": "faces", "classes": 10}),
    "CIFAR-100": (None, {"name": "cifar100"}),
    "SVHN": (None, {"name": "svhn"}),
}
STRIDE = {"lfw": 20}  # the folder lists 20 images a person: take one of each
WHY = {
    "quick": "other, smaller images; fewer iterations",
    "paper": "LeNet instead of ResNet-56; 500 iterations instead of 1,200; published number recalled",
}


def config(images, of, clients, **more):
    """One part of a sweep: 16 clients at most, so that an interrupted run loses little."""
    n = FILM[of][-1]
    common = {"images": images, "victim": {"name": "lenet"}, "attack": {"name": "dlg", "iterations": n}}
    more = {"record": RECORD[of], "stride": STRIDE.get(images["name"], 1)} | more
    return common | {"clients": clients, "seed": seed} | more


PARTS = {"all": ((0, 16), (16, 32)), "CIFAR-100": ((0, 16),)}  # clients of each stored part


def declare(name, quick, paper, parts, **more):
    parts = [config(paper, "paper", list(p), **more) for p in parts]
    quick = [] if quick is None else [config(quick, "quick", [0, 16], **more)]
    minutes = {"quick": 0.3, "paper": 9 * len(parts)}  # colour, one CPU core; grey is faster
    return store.Sweep(
        name, case.attack, quick, parts, minutes=minutes, gib=1.5, comparable=WHY
    )


leak = {
    name: declare(f"fig6_{p['name']}", q, p, PARTS.get(name, PARTS["all"]), layers=name == "CIFAR")
    for name, (q, p) in SETS.items()
}

EIGHT = {"batch_size": 8, "shown": 2}  # eight images take longer than one
LONGER = {p: {"name": "dlg", "iterations": n} for p, n in (("quick", 60), ("paper", 500))}
batches = store.Sweep(
    "fig4",
    case.attack,
    quick=[config({"name": "digits"}, "quick", [0, 4], **EIGHT, attack=LONGER["quick"])],
    paper=[config(SETS["CIFAR"][1], "paper", [0, 4], **EIGHT, attack=LONGER["paper"])],
    minutes={"quick": 0.3, "paper": 15},
    gib=1.5,
    comparable=WHY,
)

# %%
def described(sweep):
    """One profile's settings of a sweep, in words."""
    c = sweep[0]
    size = f", {c['images']['size']} pixels" if "size" in c["images"] else ""
    label = f", {c['images']['classes']} random labels" if "classes" in c["images"] else ""
    n = sum(last - first for first, last in {tuple(part["clients"]) for part in sweep})
    batch = f" x {c['batch_size']} images" if "batch_size" in c else ""
    return f"{c['images']['name']}{size}{label}; {n} clients{batch}; {c['attack']['iterations']} iterations"


def caption(text, *sweeps):
    reduced = "; ".join(described(sweep.configs[run.profile]) for sweep in sweeps)
    display(Markdown(f"*{run.profile.capitalize()} profile: {reduced}. {text}*"))


settings = {**leak, "batch of 8": batches}
pd.DataFrame({
    n: {p: described(s.configs[p]) if s.configs[p] else "–" for p in ("quick", "paper")} for n, s in settings.items()
}).T

# %% [markdown]
# Three liberties. CIFAR-10 images carry 100 random labels in the paper profile, where the paper's strip shows CIFAR-100:
# the victim is untrained, so labels mean nothing to it, and 100 outputs make it the official network. LFW, CIFAR-100
# and SVHN are not ours to show: their numbers appear, their images do not, and the hundred faces that scikit-image ships
# stand in their place in the film strip. These faces have no identities, so their labels are random too.

# %% [markdown]
# ## What the attacker is given
#
# The attacker is the server, honest but curious: it follows the protocol and reads what arrives. It knows the weights
# $W$, the loss, the shape of an image and the number of images, and it holds one gradient of one step. One victim, one
# client, one image: `client.share` is the only door between them, and what it returns holds no image and, by default, no label.

# %%
photos = data.load("photos", size=16)
batch = photos.clients(1, indices=[0])
model = models.lenet(photos, seed=seed)
update = client.share(model, batch, client.Protocol(), threat=client.ThreatModel())
victim = f"LeNet, untrained, U(-0.5, 0.5), {sum(p.numel() for p in model.parameters()):,} parameters"
pd.Series({"victim": victim, **update.card()}, name="assumptions").to_frame()

# %% [markdown]
# Two lines are easy to miss. The gradient is that of **one step in eval mode**: BatchNorm, where there is one, would use
# stored statistics. And the attacker **knows the batch size**. `attacks.diagnose(update, attack)` looks for these and
# other reasons why an attack must fail, and says what to do about each; here nothing but "ok" is in its table.

# %%
checks = attacks.diagnose(update, attacks.dlg())
assert set(checks.verdict) == {"ok"}
checks

# %% [markdown]
# ## The idea, first for one dense layer
#
# Let a dense layer compute $o = Wx + b$. Whatever the loss $\ell$ is, the chain rule gives, for every output $i$,
#
# $$\frac{\partial \ell}{\partial W_i} = \frac{\partial \ell}{\partial b_i}\, x^\top
# \qquad\Longrightarrow\qquad x^\top = \frac{\partial \ell}{\partial W_i} \Big/ \frac{\partial \ell}{\partial b_i}.$$
#
# for any $i$ with $\partial \ell / \partial b_i \neq 0$, and one image. One division returns the input, exactly; no
# optimisation is involved (known since Phong et al. 2017 [recalled]).

# %%
dense = client.share(models.dense(photos, seed=seed), batch)
x = analytic.dense_input(dense.gradients["1.weight"], dense.gradients["1.bias"])
float((x.view_as(batch.images) - batch.images).abs().max())

# %% [markdown]
# That is the largest error of a pixel: rounding. With **two** images in the batch, each row $i$ returns an affine mixture
# $\sum_j \delta_{ij} x_j / \sum_j \delta_{ij}$ with $\delta_{ij} = p_i(x_j) - [i = c_j]$ (cross-entropy), whose weights may be
# negative. The row of a class that only one image has is dominated by that image; the row of an absent class is a
# blend. So averaging hides little as long as the labels differ.

# %%
pair = photos.clients(1, batch_size=2, indices=[[0, 2]])
g = client.share(models.dense(photos, seed=seed), pair).gradients
W, b = g["1.weight"][0], g["1.bias"][0]
mixtures = [(W[i] / b[i]).view(photos.shape) for i in (*pair.labels[0].tolist(), 5)]
names = ["image 1", "image 2", "row of class 1", "row of class 2", "row of another"]
report.save_figure(plots.sheet(torch.stack([*pair.images[0], *mixtures])[None], [""], names, width=0.8), "closely_division", "Image sheet, one row: the two private photographs of a batch, then what the division gives from three rows of the dense layer's gradient: the row of each of the two labels and that of another class. The rows of the two labels give nearly their own photographs, another row a blend of both.")

# %% [markdown]
# ## From dense layers to any network: match the gradient
#
# A convolution shares its weights over positions, so no single division undoes it. DLG searches instead.
# With $\nabla W$ the shared gradient, dummy image $x'$ and dummy label logits $y'$, both drawn from N(0, 1),
#
# $$x'^{*}, y'^{*} = \arg\min_{x', y'} D, \qquad
# D = \Big\lVert \frac{\partial\, \ell\big(F(x', W), \mathrm{softmax}(y')\big)}{\partial W} - \nabla W \Big\rVert^2$$
#
# with $\ell$ the cross-entropy of soft labels. This is Algorithm 1 [read] with the softmax of the official code [read] and
# L-BFGS in place of the plain gradient step [quoted]. It is all there is to it, in plain PyTorch:

# %%
(start_x,), (start_y,) = (t[0] for t in attacks.starts(update, attacks.dlg(), seed=seed))
x, y = start_x.clone().requires_grad_(), start_y.clone().requires_grad_()
shared = [g[0] for g in update.gradients.values()]


def D():
    loss = -(softmax(y, -1) * log_softmax(model(x), -1)).sum(-1).mean()
    dummy = torch.autograd.grad(loss, model.parameters(), create_graph=True)
    return sum((a - b).square().sum() for a, b in zip(dummy, shared, strict=True))


optimizer = torch.optim.LBFGS([x, y])


def closure():
    optimizer.zero_grad()
    distance = D()
    distance.backward()
    return distance


plain = [optimizer.step(closure).item() for _ in range(10)]
f"D after 0, 1, ..., 9 iterations: {', '.join(f'{d:.2g}' for d in plain)}"

# %% [markdown]
# The engine runs the same algorithm, for hundreds of clients at once. Here it is on this client: equal at first, then a
# few per cent apart, since L-BFGS amplifies the rounding of float32. (In float64 it walks torch's path; a test holds it to that.)

# %%
attack = attacks.dlg(iterations=30)
guess = attacks.reconstruct(update, attack, seed=seed, record=range(31))
engine = guess.history.losses[:10, 0, 0]
assert np.isclose(plain[0], engine[0], rtol=1e-3), "the same start, the same objective"
pd.DataFrame({"plain loop": plain, "engine": engine.tolist()}).T.style.format("{:.2g}")

# %% [markdown]
# ## One attack seen closely
#
# The dummy image after so many iterations, and under it the label the attacker believes in, with its probability. The
# label settles first here. With cross-entropy, one image and non-negative features the last layer's gradient has a
# single negative row, that of the true class; iDLG, the next notebook, reads the label off it without any search.

# %%
frames = [0, 2, 4, 6, 10, 30]
logits = guess.history.label_logits
belief = {i: softmax(logits[i][0, 0, 0], -1) for i in frames}
notes = [[f"{photos.classes[int(p.argmax())]}, {float(p.max()):.0%}" for p in belief.values()]]
strip = torch.stack([guess.history.images[i][0, 0, 0] for i in frames])
columns = ["start", *(f"{i} iterations" for i in frames[1:])]
report.save_figure(plots.sheet(strip[None], [photos.classes[int(batch.labels)]], columns, notes), "closely_one_attack", "Image sheet, one row: one attack on a photograph of an astronaut at 16 by 16 pixels, from the noise of the start over 2, 4, 6 and 10 iterations to 30. The portrait emerges from coloured noise until it is clear; under each picture stands the label the attacker believes in, which settles before the picture does.")

# %% [markdown]
# What is a start worth? Four clients of the digits, eight starts each, all 32 attacks in one call.

# %%
digits = data.load("digits")
four = digits.clients(4, indices=[0, 1, 2, 3])
many = client.share(models.ensemble(models.lenet, digits, seeds=range(4)), four)
starts = attacks.reconstruct(many, attacks.dlg(iterations=20), restarts=8, seed=seed)
error = metrics.mse(starts.last[:, :, 0], four.images.expand(4, 8, *digits.shape))
landed = error < 1e-3
pd.DataFrame({
    "starts that recover the image": [f"{n} of 8" for n in landed.sum(1).tolist()],
    "MSE of the start with the smallest D": error.gather(1, starts.loss.argmin(1)[:, None])[:, 0].tolist(),
}).rename_axis("client").style.format({"MSE of the start with the smallest D": "{:.0e}"})

# %%
display(Markdown(
    f"Largest objective of a start that recovered the image: {float(starts.loss[landed].max()):.0e}; smallest of one that "
    f"did not: {float(starts.loss[~landed].min()):.0e}. For a single image the two are far apart, so an attacker who "
    "restarts keeps the right start without seeing the truth. For a batch that is no longer so, as Figure 4 shows. From here on "
    "every attack has a **single** start, as in the official code [read]."
))

# %% [markdown]
# ## Figure 3: leakage on the sets
#
# Each row is the first client of the set whose image came back (MSE below 0.001, or 30 dB; the paper states no
# criterion); the last row is the first that did not. How often each happens is Figure 6: one picture proves little.
# (The paper's column of Melis et al. is left out: it is another attack, which we do not run.)

# %%
def ready(name):
    sweep, images = leak[name], SETS[name][0 if run.quick else 1]
    return images is not None and (sweep.done() == len(sweep.files) or data.present(images["name"]))


sets = [name for name in SETS if ready(name)]
absent = [name for name in SETS if not ready(name)]
cells = {name: leak[name].run() for name in sets}
called = {name: SETS[name][0]["name"] if run.quick else name for name in sets}  # what was attacked
RECOVERED = 1e-3
pictures = {name: c for name, c in cells.items() if "states" in c.arrays}
kept = [RECORD[run.profile].index(i) for i in FILM[run.profile]]


def pick(cell, recovered):
    """Film strip and truth, at 32 pixels in RGB, of the first client that was, or was not, recovered."""
    rows = np.concatenate([np.flatnonzero(cell.table.part == p)[:8] for p in cell.table.part.unique()])
    good = (cell.table.mse.to_numpy()[rows] < RECOVERED) == recovered
    if not good.any():
        return None
    x = np.concatenate((cell.arrays["states"][good][0, kept, 0], cell.arrays["truth"][good][0]))
    x = torch.tensor(x, dtype=torch.float32).expand(-1, 3, -1, -1) / 255
    return torch.nn.functional.interpolate(x, size=32)


rows = [(called[name], pick(cell, True)) for name, cell in pictures.items()]
rows += [(f"{called[name]},\nfailed", pick(cell, False)) for name, cell in pictures.items()]
rows = [(name, strip) for name, strip in rows if strip is not None][: len(pictures) + 1]

# %%
columns = ["start", *(f"{i} iterations" for i in FILM[run.profile][1:]), "truth"]
fig = plots.sheet(torch.stack([strip for _, strip in rows]), [name for name, _ in rows], columns)
report.save_figure(fig, "fig3_leakage", "Image sheet, one row an attack, columns from the noise of the start through growing numbers of iterations to the private image. In the recovered rows noise turns into a sharp copy, of grey images within a few iterations, of coloured ones later; the row marked failed turns into black and white blocks and stays so.")
caption("Pixels outside [0, 1] are clipped for display.", *(leak[name] for name in pictures))

# %% [markdown]
# What to see: the grey image is there within a few iterations, the coloured one takes longer. In the paper's own strip
# the digit is recognisable at 10 iterations and the CIFAR-100 image at 100 [read]. A failed attack does not look like a
# bad picture but like noise. Most failures jump, within a few iterations, to values far outside [0, 1] and stay
# there; the flat black and white is our clipping. Probably a step was too long and the sigmoids saturated [untested].

# %% [markdown]
# ## Figure 4: a batch of eight
#
# The gradient is a mean over the batch, so it does not know an order: each dummy image settles on *some* image, and
# scores are taken after a one-to-one matching. Two things to know. The paper changes line 6 of Algorithm 1 to update
# **one image at a time** [quoted], the index being i mod N [recalled], because the N! orders slow convergence; the
# official code has no batch at all [read], and here all eight move together. And in the quick profile the eight are consecutive
# test digits with **eight different labels**, the easiest case. Under the truth stands its match: = where it was recovered, ≈ where not.

# %%
eight = batches.run()
states, truth = eight.arrays["states"] / 255.0, eight.arrays["truth"] / 255.0
at = [0, 20, FILM[run.profile][-1]]
first = eight.table[eight.table["client"] == 0].sort_values("image")
sheet = np.concatenate((states[0, [RECORD[run.profile].index(i) for i in at]], truth[:1]))
below = [f"{'=' if m < RECOVERED else '≈'} dummy {i + 1}\nMSE {m:.0e}" for i, m in zip(first["guess"], first["mse"], strict=True)]
fig = plots.sheet(
    sheet, ["start", *(f"{i} it." for i in at[1:]), "truth"], [f"dummy {i + 1}" for i in range(8)], [[], [], [], below]
)
report.save_figure(fig, "fig4_batch", "Image sheet, one column a place in a batch of eight: the dummy images at the start, after 20 iterations and at the end, and below them the private images. A note under each private image names the dummy matched to it, its error, and by = or ≈ whether it was recovered; the two orders generally differ.")
by_batch = eight.table.groupby("client")
lost = eight.table[eight.table.mse >= RECOVERED]
caption(
    f"{(eight.table.mse < RECOVERED).sum()} of {eight.n} images ({by_batch.ngroups} batches of 8) came back at the last "
    f"iterate, median MSE {eight.table.mse.median():.0e}; smallest D of a batch with an image that did not: "
    f"{lost.best_loss.min() if len(lost) else float('nan'):.0e}.", batches,
)

# %% [markdown]
# ## Figure 5: what goes down together
#
# The paper's point [recalled]: as the distance of the gradients shrinks, layer by layer, so does the error of the image.

# %%
close, steps = cells["CIFAR"], RECORD[run.profile]
like = SimpleNamespace(
    shape=close.arrays["truth"].shape[2:], num_classes=close.config[0]["images"].get("classes", 10)
)
size = np.array([p.numel() for p in models.lenet(like).parameters()])  # a layer: its weights and its biases
pairs = (close.arrays["layers"] * size).reshape(close.n, len(steps), 4, 2).sum(-1)
layers = pairs / size.reshape(4, 2).sum(1)
objective, errors = close.arrays["losses"][:, steps], close.arrays["mse"]
came_back = close.table.mse.to_numpy() < RECOVERED

# %%
fig, (left, right) = plots.axes(2, height=0.45)
for i in range(4):
    left.plot(steps, np.median(layers[came_back, :, i], 0), marker="os^D"[i], ms=3, lw=1.2, label=f"layer {i + 1}")
for values, colour, mark, name in ((objective, "C0", "", "objective D"), (errors, "C1", "o", "MSE of the image")):
    right.plot(steps, values[came_back].T, color=colour, marker=mark, ms=2, lw=0.8, alpha=0.8)
    right.plot(steps, values[~came_back].T, color=colour, marker=mark, ms=2, lw=0.8, ls=":")
    right.plot([], [], color=colour, marker=mark, ms=2, label=name)
right.plot([], [], color="0.3", ls=":", label="failed client")
left.set(ylabel="mean squared gradient difference", title=f"median of recovered clients, n = {came_back.sum()}")
right.set(ylabel="D; MSE of the image", title=f"all clients, n = {close.n}", ylim=(1e-9, 1e4))
for ax in (left, right):
    ax.set_xscale("symlog", linthresh=1)
    ax.set(yscale="log", xlabel="iteration", xlim=(0, steps[-1]))
    ax.legend()
report.save_figure(fig, "fig5_layers", "Two line plots over iterations, both axes logarithmic. Left: median squared gradient difference of recovered clients, one line for each of four layers; all fall together. Right: objective D and error of the image, one line each for every client; where recovered (solid) D starts to fall first and the error follows; failed clients are dotted.")
middle = np.median(objective[came_back], 0), np.median(errors[came_back], 0)
caption(
    f"Curves above 10,000 leave the frame. At first D falls while the image does not move: at iteration {steps[2]} the median "
    f"D of the recovered clients is down from {middle[0][0]:.0f} to {middle[0][2]:.1g}, and the MSE of the image goes from "
    f"{middle[1][0]:.1f} to {middle[1][2]:.1g}.", leak["CIFAR"],
)

# %% [markdown]
# ## Figure 6: how good, and how often
#
# The paper gives one mean per set. Here is every image as a dot, with median and quartiles at its right, and the mean
# of the images as they would be stored, clipped to [0, 1]. (Melis et al. are left out, as above.)

# %%
numbers = report.published("dlg").query("float == 'fig6'").set_index("column")
clipped = {n: (10 ** (-c.table.psnr / 10)).fillna(1) for n, c in cells.items()}  # NaN: as bad as can be
fig, ax = plots.axes(height=0.5)
for i, name in enumerate(sets):
    mse = cells[name].table.mse.fillna(np.inf)
    plots.dots(ax, i, mse.clip(1e-10, 1e3), color=f"C{i}")
    ax.plot(i + 0.28, clipped[name].mean(), "D", color="C3", ms=4)
    ax.text(i, 8e3, f"{(mse < RECOVERED).sum()} of {len(mse)}", ha="center", fontsize=7)
    if name in numbers.index:
        ax.plot([i - 0.2, i + 0.2], [numbers.value[name]] * 2, color="0.2", lw=1, ls=":")
for style, label in (("C3D", "mean of the clipped images"), ("k:", "published mean (recalled)"), ("k-", "median, quartiles")):
    ax.plot([], [], style, lw=1.5, ms=4, label=label)
ax.axhline(RECOVERED, color="0.6", lw=0.8, ls="--", label=f"recovered (counts above): below {RECOVERED}")
ax.axhspan(1, 1e5, color="0.93", lw=0)
paper_set = [f"{called[n]}\n(published: {n})" if run.quick else n for n in sets]
ax.set(yscale="log", ylabel="MSE of the image", ylim=(3e-11, 1e5), xticks=range(len(sets)), xticklabels=paper_set)
fig.legend(loc="outside upper center", ncol=2)
report.save_figure(fig, "fig6_mse", "Dot plot, y: error of the image, logarithmic, one group of dots a set, with the number recovered above and the median with quartiles and the mean beside it. The dots fall into two groups, recovered ones far below the dashed line at 0.001 and failed ones far above, and the mean lies between them, where hardly any dot is.")
caption("Grey: worse than any image in [0, 1]; values above 1,000 are drawn at 1,000.", *(leak[n] for n in sets))

# %%
def row(cell):
    """n, share recovered with its 95 % Wilson interval, median and quartiles, mean of clipped images."""
    mse, good = cell.table.mse.fillna(np.inf), int((cell.table.mse < RECOVERED).sum())
    low, high = stats.binomtest(good, cell.n).proportion_ci(method="wilson")
    q25, q50, q75 = np.quantile(mse, (0.25, 0.5, 0.75), method="nearest")
    stored = (10 ** (-cell.table.psnr / 10)).fillna(1)
    return {"n": cell.n, "recovered": good / cell.n, "low": low, "high": high, "median": q50, "q25": q25,
            "q75": q75, "clipped mean": stored.mean(), "clipped sd": stored.std(), "device": cell.device}


def line(r):
    return (f"n={r['n']}: {r['recovered']:.0%} [{r['low']:.0%}, {r['high']:.0%}] recovered; median {r['median']:.0e} "
            f"({r['q25']:.0e} to {r['q75']:.0e}); clipped mean {r['clipped mean']:.3f} ± {r['clipped sd']:.3f}")


stored = {name: row(cell) for name in SETS if (cell := leak[name].stored())}
now = {name: row(cells[name]) for name in sets}
long = {("paper profile, stored", n): r for n, r in stored.items()} | {(f"this run, {run.profile}", called[n]): r for n, r in now.items()}
report.save_table(pd.DataFrame(long).T.rename_axis(["run", "set"]).reset_index(), "fig6_table")
pd.DataFrame({
    "published mean MSE": {n: report.show(numbers.loc[n]) if n in numbers.index else "–" for n in SETS},
    "paper profile, stored": {n: line(stored[n]) if n in stored else "not computed" for n in SETS},
    f"this run, {run.profile}": {n: f"{called[n]}: {line(now[n])}" if n in now else "not in this run" for n in SETS},
}).style.set_properties(**{"white-space": "normal", "text-align": "left"})

# %%
report.save_timings(pd.DataFrame([
    {"cell": n, "n": c.n, "seconds": round(c.seconds, 1), "device": c.device, "torch": c.torch}
    for n, c in (*cells.items(), ("batch of 8", eight))
]))
failed = np.concatenate([clipped[n][cells[n].table.mse >= RECOVERED] for n in sets])
display(Markdown(
    f"Where the paper profile was run: {', '.join(sorted({r['device'] for r in stored.values()})) or 'nowhere yet'}. A set that "
    "is not computed had no images there (SVHN) or no time; `make plan PROFILE=paper` lists what is missing. The mean of unclipped "
    "images says nothing: one diverged attack decides it. The mean of the clipped images is "
    f"{' / '.join(f'{c.mean():.3f}' for c in clipped.values())} ({', '.join(called.values())}), and a failed image has about "
    f"{np.median(failed):.2f}. So a mean of 0.005 leaves room for one or two failures in a hundred: the published runs (recalled) failed "
    "less often than ours, or were selected, or used another network, scale or schedule. We cannot tell which."
))

# %% [markdown]
# ## Table 1: batches, and ResNet-20
#
# With N images there are N! equivalent solutions, which slows convergence; so the paper moves **one image at a time**
# [quoted]: iteration $i$ updates image $i \bmod N$ and its label [recalled], here by L-BFGS with a history of its own. The
# published row [recalled] is 270, 602, 1173 and 2711 iterations for 1, 2, 4 and 8 images on ResNet-20, the criterion unknown. Ours:
# an attack has *restored* a batch at the first noted iteration at which the mean MSE of its images, matched one to one, is
# below 0.001. An attack that never does is counted, not dropped. The ResNet follows section 4.1: sigmoid for ReLU, no strides [quoted].

# %% tags=["plan"]
def by_batch_size(name, victim, paper, quick=(), images=SETS["CIFAR"][1], cap=150, shown=0, **attack):
    """A row of Table 1: a part for each batch size, four clients each, the error noted every tenth iteration."""
    def at(of, images, B, cap, every):
        how = {"name": "dlg", "iterations": cap} | attack
        record = list(range(0, cap + 1, every))
        return config(images, of, [0, 4], victim=victim, attack=how, batch_size=B, record=record, shown=shown)

    return store.Sweep(
        f"table1_{name}",
        case.attack,
        quick=[at("quick", {"name": "digits"}, B, 20, 2) for B in quick],
        paper=[at("paper", images, B, cap, 10) for B in paper],
        minutes={"quick": 0.1, "paper": 2 * sum(paper)},
        gib=2,
        comparable="criterion ours: the published one is not known, the published numbers are recalled",
    )


RESNET = {"name": "resnet", "depth": 20, "activation": "sigmoid", "strides": False}
TANH = {"name": "resnet", "depth": 20, "activation": "tanh", "width": 8}
LENET, ALL = {"name": "lenet"}, (1, 2, 4, 8)
WIDE = LENET | {"channels": 24}
table1 = {
    ("ResNet-20, sigmoid, no strides", "one at a time"): by_batch_size("resnet_turn", RESNET, (1, 2, 4), cap=100, in_turn=True),  # 8: not run
    ("ResNet-20, sigmoid, no strides", "together"): by_batch_size("resnet", RESNET, ALL, cap=100),
    ("ResNet-20, sigmoid, no strides", "together, line search, relative D"): by_batch_size(
        "resnet_relative", RESNET, (1,), cap=30, shown=4, line_search=True, relative=True, scale=1e3),
    ("ResNet-20, tanh, strides, 16 pixels", "together"): by_batch_size("tanh", TANH, (1,), images=SETS["CIFAR"][1] | {"size": 16}, cap=100),
    ("LeNet", "one at a time"): by_batch_size("lenet_turn", LENET, (2, 4, 8), (2,), in_turn=True),
    ("LeNet", "together"): by_batch_size("lenet", LENET, ALL, (2,)),
    ("LeNet", "together, line search"): by_batch_size("search", LENET, (1, 2), line_search=True),
    ("LeNet, 24 channels", "one at a time, line search"): by_batch_size("wide_turn", WIDE, (2, 4), in_turn=True, line_search=True),
    ("LeNet, 24 channels", "together, line search"): by_batch_size("wide", WIDE, (1, 2, 4), line_search=True),
}

# %%
def have(sweep):
    """This run's cell where it has one and can; else the stored one of the paper profile, or None."""
    return sweep.here() or sweep.stored()


def on_paper(sweep):
    """The paper profile's cell, or None; computed first where this is that profile and the data is here."""
    if not run.quick:
        have(sweep)
    return sweep.stored()


def restored(cell):
    """Batch size -> for each client the iteration at which its batch is restored, or infinity."""
    steps, below = np.array(cell.config[0]["record"]), cell.arrays["mse"] < RECOVERED
    when = np.where(below.any(1), steps[below.argmax(1)], np.inf).reshape(len(cell.config), -1)
    return {c["batch_size"]: row for c, row in zip(cell.config, when, strict=True)}


def words(when, cap):
    got = np.isfinite(when)
    if not got.any():
        return f"not restored in {len(when)} of {len(when)} by {cap}"
    return f"{got.sum()} of {len(when)}; of these, median {np.median(when[got]):g}"


def table1_rows(get, label):
    found = {(label, *key): cell for key, sweep in table1.items() if (cell := get(sweep)) is not None}
    return {k: {B: words(w, c.config[0]["attack"]["iterations"]) for B, w in restored(c).items()} for k, c in found.items()}


recalled = report.published("dlg").query("float == 'table1'")
long = {("published", "ResNet-20", "one at a time"): {int(r["column"]): report.show(r) for _, r in recalled.iterrows()}}
long |= table1_rows(on_paper, "paper profile, stored")
if run.quick:
    long |= table1_rows(lambda s: s.run() if s.configs["quick"] else None, "this run, digits")
by_size = pd.DataFrame(long).T.rename_axis(["run", "network", "images move"])[[1, 2, 4, 8]].fillna("not run")
report.save_table(by_size.rename(columns="B = {}".format).reset_index(), "table1_batches")
by_size.rename(columns="B = {}".format).style.set_properties(**{"white-space": "normal", "text-align": "left"})

# %% [markdown]
# Four clients in each field, plain L-BFGS where nothing else is said. "2 of 4; of these, median 40" means that two batches
# were restored, at iteration 40 in the median; an iteration is one call of L-BFGS everywhere, so "one at a time" gives each image a B-th of them.
#
# Why does plain DLG get nothing at all out of ResNet-20 with sigmoids, at any batch size? Look at what the client sends:

# %%
nets = {
    "LeNet, sigmoid": (models.lenet, {}),
    "ResNet-20, tanh, strides": (models.resnet, {"activation": "tanh", "width": 8}),
    "ResNet-20, sigmoid, no strides": (models.resnet, {"activation": "sigmoid", "strides": False, "width": 8}),
}
fig, ax = plots.axes(width=0.8, height=0.5)
norms = {}
for (name, (build, how)), style in zip(nets.items(), ("C0o-", "C1s-", "C3^-"), strict=True):
    g = client.share(build(photos, seed=seed, **how), batch).gradients
    weights = [t[0].norm().item() for n, t in g.items() if t.dim() > 3 or (t.dim() == 3 and n.endswith("weight"))]
    norms[name] = weights
    ax.plot(np.linspace(0, 1, len(weights)), np.clip(weights, 1e-12, None), style, ms=4, lw=1, label=name)
ax.set(yscale="log", xlabel="depth: 0 is the first convolution, 1 the last layer", ylabel="norm of the weight's gradient")
ax.legend()
report.save_figure(fig, "table1_gradient_norms", "Line plot, x: depth from the first convolution to the last layer, y: norm of the weight's gradient, logarithmic. For LeNet with sigmoids and ResNet-20 with tanh the norm stays within a few powers of ten; for ResNet-20 with sigmoids it falls steadily towards the first convolution, where it is smaller by many powers of ten.")
display(Markdown(f"*One photograph, width 8. At the first convolution the norm is {norms['ResNet-20, sigmoid, no strides'][0]:.0e} in the sigmoid "
                 f"ResNet and {norms['ResNet-20, tanh, strides'][0]:.0e} in the one with tanh.*"))

# %% [markdown]
# The slope of a sigmoid is at most 1/4, and on the shortest way through the skip connections there are ten of them: $4^{-10} \approx 10^{-6}$. The objective D sums squares over
# all layers, so the first ones weigh $10^{-12}$ of the last ones. L-BFGS matches the last layers, which fix the label and say next to nothing about pixels, until its tolerances
# end it, long before the cap (counted below): in most runs the gradients agree as far as D can see, and the image is noise. The author of iDLG reports the same failure [read, issue 2 of that repository].
#
# **But the first layers' gradient is there, small and accurate; float32 keeps seven digits of $10^{-7}$ too.** Divide each tensor's squared distance by the tensor's own
# squared norm (`attacks.dlg(relative=True)`, ours) and colours and coarse shapes come: that is the row "relative D". It restores nothing by our criterion, but what it shows was in the gradient: it is the objective that is blind on this
# network, not the gradient that is empty.

# %%
joint = on_paper(table1["ResNet-20, sigmoid, no strides", "together"])
if joint is not None:
    ends = joint.table.groupby(["part", "client"])[["evaluations", "best_loss"]].first()
    display(Markdown(f"*Plain D, all together, {len(ends)} attacks of up to 2,000 evaluations: {ends.evaluations.median():.0f} in the median, {ends.evaluations.max()} at most; "
                     f"D ended below 1e-4 in {(ends.best_loss < 1e-4).sum()} of them.*"))
deep_cell = on_paper(table1["ResNet-20, sigmoid, no strides", "together, line search, relative D"])
if deep_cell is not None:
    steps, best = deep_cell.config[0]["record"], np.median(deep_cell.arrays["mse"], 0)
    x, truth = (torch.tensor(deep_cell.arrays[key], dtype=torch.float32) / 255 for key in ("states", "truth"))
    pictures = torch.stack([*x[:, -1, 0], *truth[:, 0]]).unflatten(0, (2, -1))
    below = [[f"MSE {m:.2g}" for m in deep_cell.table.mse[: len(x)]], []]
    report.save_figure(plots.sheet(pictures, ["relative D", "truth"], notes=below, width=0.6), "table1_relative", "Image sheet, two rows: above, what the relative objective finds on ResNet-20 with sigmoids, with the error under each picture; below, the private images, one column a client. The upper pictures are noisy and blurred, but colours and coarse shapes are those of the private images.")
    display(Markdown(f"*ResNet-20, sigmoid, no strides, 32 pixels, one image; the first {len(x)} of {deep_cell.n} clients, stored paper profile. Median MSE at iteration "
                     + ", ".join(f"{i}: {m:.2g}" for i, m in zip(steps, best, strict=True)) + ".*"))

# %% [markdown]
# And the LeNet of the official code? Its gradient has 85,036 entries, but far fewer *independent* ones: the last section of
# this notebook derives an upper bound for a known label. Independent equations for each pixel, at most:

# %%
big = SimpleNamespace(shape=(3, 32, 32), num_classes=100)
per_pixel = {
    f"LeNet, {c} channels": {f"B = {B}": min(analytic.gradient_equations(models.lenet(big, channels=c), big.shape, B)) / (B * 3072) for B in (1, 2, 4, 8)}
    for c in (12, 24)
}
report.save_table(pd.DataFrame(per_pixel).T.rename_axis("network").reset_index(), "table1_equations")
pd.DataFrame(per_pixel).T.style.format("{:.2f}")

# %% [markdown]
# Below 1 the images are not determined, however long one searches: whole families of batches share that gradient. **One CIFAR image is given away by the official network (Figure 6); two are not, exactly**:
# of their 6,144 pixels at least 240 directions stay free, and of eight images' more than half. A prior that says which solution looks like a photograph is what is missing. The count is a necessary
# condition, not a sufficient one: with 24 channels it allows eight images, and with a line search three of four batches of two come back, none of four within the cap. (Most of the plain runs at 12 channels
# diverged besides: there the count says only that an exact recovery was impossible anyway.)

# %% [markdown]
# ## Figure 7: what a client may do about it
#
# Four changes of the update before it leaves: (a) Gaussian and (b) Laplacian noise, (c) fewer bits, (d) setting the smallest
# entries of every tensor to zero. The paper's $10^{-4}$ to $10^{-1}$ are variances [recalled]; here both noises are
# named by their **variance**, so a Laplacian's scale is $\sqrt{v/2}$. As *standard deviations* the paper's numbers would be variances of $10^{-8}$ to $10^{-2}$, so these are run
# too, and the ledger decides both readings. The attacker does not know about the defense.
#
# A defense must be judged by an attacker who succeeds without it. A single plain start fails about every other time on
# CIFAR (Figure 6), so here DLG runs **with a back-tracking line search**: halve a step until D goes down. That is our choice, not the paper's.

# %% tags=["plan"]
NOISE = [10.0**-i for i in (4, 3, 2, 1)]  # 10^-4 to 10^-1, here the variances of the noise
PANELS = {
    "a": {"none": None} | {f"Gaussian {v:.0e}": {"name": "gaussian", "variance": v} for v in NOISE},
    "b": {f"Laplacian {v:.0e}": {"name": "laplacian", "variance": v} for v in NOISE},
    "c": {f: {"name": "precision", "format": f} for f in ("float16", "bfloat16", "int8")},
    "d": {f"pruned {p:.0%}": {"name": "prune", "p": p} for p in (0.01, 0.1, 0.2, 0.3, 0.5, 0.7)},
}
# If the paper's 10^-4 to 10^-1 were standard deviations, the variances would be 10^-8, 10^-6, 10^-4, 10^-2.
FINER = {f"{kind.title()} {v:.0e}": {"name": kind, "variance": v} for kind in ("gaussian", "laplacian") for v in (1e-8, 1e-6)}
GROUPS = [*PANELS.values(), FINER]  # a part of the sweep each
gaussian, laplacian = ({n: d for n, d in FINER.items() if kind in n} for kind in ("Gaussian", "Laplacian"))
DEFENSES = {"none": None} | gaussian | PANELS["a"] | laplacian | PANELS["b"] | PANELS["c"] | PANELS["d"]
LIVE = ["none", "Gaussian 1e-04", "Gaussian 1e-02", "int8", "pruned 70%"]  # in the quick profile
CIFAR10 = {"name": "cifar10"}  # under its own ten labels, as the victims of Table 3 are trained on them


def searching(n):
    return {"name": "dlg", "iterations": n, "line_search": True}


defended = store.Sweep(
    "fig7",
    case.attack,
    quick=[config({"name": "digits"}, "quick", [0, 8], attack=searching(10), record=[10],
                  defense=[DEFENSES[name] for name in LIVE])],
    paper=[config(CIFAR10, "paper", [0, 8], attack=searching(100), record=[100],
                  defense=list(group.values())) for group in GROUPS],
    minutes={"quick": 0.2, "paper": 30},
    gib=3,
    comparable="network, image and scale of the published curves are not known",
)


def training(images, defense, seeds, epochs, lr):
    return {"images": images, "victim": LENET, "seeds": seeds, "defense": defense, "epochs": epochs, "lr": lr}


trained = store.Sweep(
    "table3",
    case.accuracy,
    quick=[training({"name": "digits"}, [DEFENSES[name] for name in LIVE], [seed], 6, 0.1)],
    paper=[training(CIFAR10, list(panel.values()), [seed + i for i in range(3)], 3, 0.01) for panel in PANELS.values()],
    minutes={"quick": 0.1, "paper": 45},
    gib=1,
    comparable="LeNet on 30,000 images of CIFAR-10; the published network and recipe (CIFAR-100) are not known",
)

# %%
def named(cell):
    """For each row of a cell, the name of its defense."""
    def key(defense):
        return str(sorted((defense or {}).items()))

    called = {key(d): name for name, d in DEFENSES.items()}
    return [called[key(cell.config[part]["defense"][d])] for part, d in zip(cell.table.part, cell.table.defense, strict=True)]


def viewed(cell):
    """The cell with the AVD of its images as one would look at them: clipped to [0, 1], 8 bits."""
    x, truth = (torch.tensor(a, dtype=torch.float32) / 255 for a in (cell.arrays["states"][:, -1, 0], cell.arrays["truth"][:, 0]))
    return replace(cell, table=cell.table.assign(avd=metrics.avd(x, truth).numpy()))


stored_cell = on_paper(defended)
if have(defended) is None:
    raise FileNotFoundError("Figure 7 needs its stored cells or CIFAR-10: give DATA_ROOT")
live = viewed(have(defended))
large = viewed(stored_cell) if stored_cell else live
names = np.array(named(large))
fig, grid = plots.axes(2, 2, height=0.75, sharex=True, sharey=True)
noted = np.arange(large.arrays["losses"].shape[1])
for ax, (panel, members), title in zip(grid.flat, PANELS.items(), ("Gaussian noise, variance", "Laplacian noise, variance", "fewer bits", "smallest entries set to 0"), strict=True):
    finer = [n for n in FINER if n.split()[0] in title]
    for i, name in enumerate(n for n in dict.fromkeys(("none", *finer, *members)) if n in names):
        curve = np.nanmedian(large.arrays["losses"][names == name], 0)
        ax.plot(noted, curve, color="0.2" if name == "none" else f"C{i - 1}", ls=("-", "--", "-.", ":")[i % 4], marker="o" if i > 3 else "", ms=3, markevery=0.15, lw=1.2, label=name.split()[-1])
    ax.set(yscale="log", title=f"({panel}) {title}", ylim=(1e-11, 1e4))
    ax.legend(ncol=3, loc="lower left", columnspacing=1, handlelength=1.8)
fig.supxlabel("iteration", fontsize=8)
fig.supylabel("objective D, median of the clients", fontsize=8)
report.save_figure(fig, "fig7_defenses", "Four line plots, x: iteration, y: median objective D, logarithmic; one panel each for Gaussian noise, Laplacian noise, fewer bits and pruning, one line a strength and one for no defense. Without defense D keeps falling; the stronger the defense, the earlier and higher it levels off.")
source = "paper" if stored_cell else run.profile
verdicts = "; ".join(f"{r['row'].split()[-1]}: {r['column']}" for _, r in report.published("dlg").query("float == 'fig7'").iterrows())
display(Markdown(
    f"*{source.capitalize()} profile: {described(defended.configs[source])}, with line search, under each defense. The paper's own labels in its panel (a): {verdicts} [read].*"
))

# %% [markdown]
# Noise of variance $v$ puts a floor under D, about $v\,(P - n)$ for $P$ gradient entries and $n$ dummy variables, since the dummy can follow $n$ directions of the noise, and no more. However
# close the image comes, D stays there; and an image that follows the noise is worse than it need be. The published plateaus of panel (a), 0.075 and 0.145 [digitised], fit no
# reading of the numbers on this network: only the ordering can be compared. **D says little about what leaked.** Look at the images instead:

# %%
picked, notes = [], []
order = [n for n in DEFENSES if n in names]
for name in order:
    first = int(np.flatnonzero(names == name)[0])
    picked.append(torch.tensor(large.arrays["states"][first, -1, 0], dtype=torch.float32).expand(3, -1, -1) / 255)
    notes.append(f"{name.replace(' ', chr(10) + 'var. ' if 'an ' in name else chr(10))}\nAVD {large.table.avd.iloc[first]:.2f}")
picked.append(torch.tensor(large.arrays["truth"][0, 0], dtype=torch.float32).expand(3, -1, -1) / 255)
notes.append("truth")
width = 8 if len(picked) > 9 else len(picked)
empty = -len(picked) % width
picked, notes = picked + [picked[0]] * empty, notes + [""] * empty
fig = plots.sheet(torch.stack(picked).unflatten(0, (-1, width)), notes=[notes[i : i + width] for i in range(0, len(notes), width)])
for ax in fig.axes[len(picked) - empty :]:
    ax.set_visible(False)
report.save_figure(fig, "fig7_images", "Image sheet: the same private image as recovered under each defense, with its edge distance AVD under it, and the truth last. Weak noise, fewer bits and light pruning leave it plain to see; towards more noise and heavier pruning it becomes grainy and then nothing but noise.")

# %% [markdown]
# The first client, at the last iterate. AVD, the absolute variational distance (Eloul et al. 2022), compares the edges of two images: 0 where equal, larger the more
# noise there is. Here it is taken of the images as shown, clipped to [0, 1]; unclipped it would call a readable picture lost because of a few wild pixels. It
# judges edges, so the silhouette that survives under noise of variance $10^{-4}$ counts as lost: where the verdict is close, trust your eyes.
#
# ## Table 3: what the defense costs
#
# Victims of the attacked architecture, from the attacked initialisation, trained by SGD whose every gradient passes through the defense
# (a server that averages $m$ clients divides the noise's variance by $m$; here $m = 1$). A defense *defends* where the median AVD of the
# reconstructions is above 0.8, a threshold fixed before the run after Eloul et al.; the paper judges by eye [recalled]. Not *recovered* (MSE below 0.001) is less than *defended*: an image may be grainy and plain to see.
# Published numbers stand in the row of the same number, read as a variance; read as a standard deviation, the published 1e-2 belongs beside our 1e-04.

# %%
def by_defense(attacked, victims):
    """A row a defense: accuracy (mean, sd, n), median AVD, recovered of n, defends or not."""
    a, t = attacked.table.assign(name=named(attacked)), victims.table.assign(name=named(victims))
    g, acc = a.groupby("name", sort=False), t.groupby("name").accuracy
    wide = pd.DataFrame({"accuracy": acc.mean(), "sd": acc.std(), "victims": acc.size(), "median AVD": g.avd.median(), "median PSNR": g.psnr.median(),
                         "recovered": g.mse.apply(lambda m: (m < RECOVERED).sum()), "n": g.size()})
    return wide.assign(defends=wide["median AVD"] > 0.8).loc[[n for n in DEFENSES if n in wide.index]]


def told(r):
    sd = "" if np.isnan(r.sd) else f" ± {100 * r.sd:.1f}"
    learned = "not trained" if np.isnan(r.accuracy) else f"{100 * r.accuracy:.1f}{sd} % (n = {r.victims:.0f})"
    return f"{learned}; AVD {r['median AVD']:.2g}, PSNR {r['median PSNR']:.0f} dB, {r.recovered} of {r.n} recovered: {'defends' if r.defends else 'does not'}"


printed = report.published("dlg").query("float == 'table3'").set_index(["row", "column"])
tables = {"paper profile, stored": (stored_cell and large, on_paper(trained))}
if run.quick:
    tables["this run, digits"] = live, have(trained)
made = {label: by_defense(*both) for label, both in tables.items() if all(both)}
if made:
    report.save_table(pd.concat(made, names=["run", "defense"]).reset_index(), "table3_defenses")
else:
    report.not_made("table3", "no victims trained under defenses are stored, and CIFAR-10 is not here")


def publication(name):
    if (name, "accuracy") not in printed.index:
        return "–"
    at_most = "at most " if "at most" in printed.unit[name, "accuracy"] else ""
    verdict = "" if (name, "defends") not in printed.index else ": defends" if printed.value[name, "defends"] else ": does not"
    return f"{at_most}{printed.value[name, 'accuracy']:g} %{verdict} (recalled)"


pd.DataFrame({"published, CIFAR-100": {n: publication(n) for n in DEFENSES}} | {
    label: {n: told(r) for n, r in wide.iterrows()} for label, wide in made.items()
}).reindex(DEFENSES).fillna("not in this run").style.set_properties(**{"white-space": "normal", "text-align": "left"})

# %%
recipe = trained.configs["paper"][0]
display(Markdown(
    f"*Paper profile: LeNet on the {recipe['images']['name']} images of DATA_ROOT (30,000 for training), {recipe['epochs']} epochs, learning rate {recipe['lr']}, batches of 64, three victims; attacks on {large.n // len(order)} clients each.*"
))

# %% [markdown]
# At this recipe noise that hides the image costs no accuracy that we can measure until a variance of 0.1; our victims reach about a third of the images right, far from the published 76 % [recalled], so
# this neither shows the published cost nor rules it out. That pruning is the best defense is undecided for the same reason.
#
# ## Table 2: text
#
# Tokens are discrete; the attack searches their **embeddings** instead [quoted] and reads each back as the nearest entry of the
# model's public embedding table [recalled] (here the words of our sentences and of scikit-learn's descriptions of its data). The victim here is a small transformer encoder with a masked-language-model head, from `torch.nn`, randomly initialised;
# three of sixteen tokens are masked and the loss looks at these. To the engine a sentence is a batch of sixteen "images" of one embedding each, and
# nothing else is new. Where the sentence is masked the word comes from the dummy label.
#
# One thing first, as it needs no search at all. If the embedding table is trained, its gradient has a row that is not zero for every word that was fed:

# %%
victim = dlg.masked_language_model(seed=seed)
(ids,) = dlg.token_ids(dlg.SENTENCES[3:4])
table = victim.table.clone().requires_grad_()
logits = victim(table[torch.where(victim.masked.bool(), 0, ids)])
loss = torch.nn.functional.cross_entropy(logits[victim.masked.bool()], ids[victim.masked.bool()])
rows = torch.autograd.grad(loss, table)[0].norm(dim=1).nonzero()[:, 0]
assert set(rows.tolist()) == {0, *ids[~victim.masked.bool()].tolist()}  # exactly the words that were fed, and [MASK]
" ".join(dlg.vocabulary()[i] for i in rows)

# %% [markdown]
# The set of words, in alphabetical order, is exact; how often each occurs, their order and the masked ones are not in it. (Where the head shares the table's weights, as in BERT, all rows are non-zero, and these stand out.) DLG finds the order and the masked words;
# to make it earn all of it, the table's gradient is withheld below.

# %% tags=["plan"]
def reading(search, scale, clients, width=64, layers=2):
    attack = {"name": "dlg", "iterations": 30, "line_search": search, "scale": scale}
    return {"clients": clients, "attack": attack, "record": [0, 10, 20, 30], "seed": seed, "width": width, "layers": layers}


SEARCHES = {"plain L-BFGS": (False, 1.0), "D times 1000": (False, 1e3), "D times 1000, line search": (True, 1e3), "line search": (True, 1.0)}
text_cells = {
    name: store.Sweep(
        f"table2_{i}",
        dlg.sentences,
        quick=[reading(*how, [0, 1], width=32, layers=1)] if name == "D times 1000, line search" else [],
        paper=[reading(*how, [0, 8]), reading(*how, [8, 16])],
        minutes={"quick": 0.15, "paper": 8},
        gib=1,
        comparable="a small random transformer and sentences of our own; the size of the paper's BERT and batch are not known",
    )
    for i, (name, how) in enumerate(SEARCHES.items())
}

# %%
READER = "D times 1000, line search"
spoken = have(text_cells[READER])
table, tokens = spoken.table, spoken.arrays["read"]
wordlist = dlg.vocabulary()
lines = {"start" if i == 0 else f"{i} iterations": " ".join(wordlist[w] for w in tokens[0, t]) for t, i in enumerate(spoken.config[0]["record"])}
display(pd.Series(lines | {"private sentence": " ".join(wordlist[w] for w in spoken.arrays["truth"][0])}, name="read back").to_frame().style.set_properties(**{"text-align": "left"}))


def reads(cell):
    t = cell.table.groupby("iteration").tokens
    sd = (lambda g: f" ± {100 * g.std():.0f}") if t.size().max() > 1 else lambda g: ""
    return {f"{i} iterations": f"{100 * g.mean():.0f}{sd(g)} %; {(g == 1).sum()} of {len(g)} exact" for i, g in t}


by_then = report.published("dlg").query("float == 'table2'").value
accuracy = {("published", "BERT"): {f"{by_then.max():g} iterations": f"{len(by_then)} of {len(by_then)} exact"}}
accuracy |= {("paper profile, stored", name): reads(c) for name, s in text_cells.items() if (c := on_paper(s))}
accuracy |= {("this run", READER): reads(spoken)} if run.quick else {}
accuracy = pd.DataFrame(accuracy).T.rename_axis(["run", "L-BFGS"])[[f"{i} iterations" for i in (10, 20, 30)]].fillna("–")
report.save_table(accuracy.reset_index(), "table2_text")
accuracy.style.set_properties(**{"white-space": "normal", "text-align": "left"})

# %% [markdown]
# Share of tokens read right: mean ± standard deviation over sentences, and sentences read without a mistake. In the paper all three sentences are exact at 30
# iterations [read]. Here the plain search fails on most sentences. Neither a line search nor a factor on D mends that alone; both together read most tokens (and, at this n, not surely most sentences). This run's
# sentence meets a smaller model, of one layer and width 32. The factor
# helps, probably [untested], because this network's gradients are so small that torch's absolute tolerances for L-BFGS end steps early. The paper speaks of neither; a BERT has another scale.

# %% tags=["plan"]
ACTIVATIONS, SCALES = ("sigmoid", "tanh", "gelu", "relu"), (0.1, 0.2, 0.5, 1.0)


def scaled(images, of, clients, activation, scale, attack):
    return config(images, of, clients, victim=LENET | {"activation": activation, "scale": scale}, attack=attack, record=[], shown=0)


def ablation(name, attack, paper_attack):
    return store.Sweep(
        name,
        case.attack,
        quick=[scaled({"name": "digits"}, "quick", [0, 4], "gelu", s, attack) for s in (0.1, 0.5)] if attack else [],
        paper=[scaled(SETS["CIFAR"][1] | {"size": 16}, "paper", [0, 8], a, s, paper_attack) for a in ACTIVATIONS for s in SCALES],
        minutes={"quick": 0.1, "paper": 16},
        gib=1.5,
    )


by_scale = {
    "plain L-BFGS": ablation("activation_plain", None, {"name": "dlg", "iterations": 40}),
    "line search": ablation("activation_search", searching(20), searching(40)),
}
search = {
    name: store.Sweep(
        f"search_{p['name']}",
        case.attack,
        quick=[config(q, "quick", [0, 16], attack=searching(30), record=[])] if name == "MNIST" else [],
        paper=[config(p, "paper", [0, 16], attack=searching(200), record=[])],
        minutes={"quick": 0.1, "paper": 6},
        gib=1.5,
    )
    for name, (q, p) in SETS.items() if name in ("MNIST", "CIFAR", "LFW (100 faces)")
}

COUNTED = {(k, c): LENET | {"kernel": k, "channels": c, "activation": "tanh", "scale": 0.1} for k in (3, 5) for c in (3, 4, 6, 8, 10, 12, 16)}
PHOTOS = {"name": "photos", "size": 16}
matched = store.Sweep(
    "information_attack",
    case.attack,
    quick=[config(PHOTOS, "quick", [0, 1], victim=COUNTED[3, c], attack=searching(30), record=[30]) for c in (8, 16)],
    paper=[config(PHOTOS, "paper", [0, 8], victim=v, attack=searching(100), record=[], shown=0) for v in COUNTED.values()],
    minutes={"quick": 0.1, "paper": 10},
    gib=1,
)
counted = store.Sweep(
    "information_rank",
    dlg.information,
    quick=[{"images": PHOTOS, "victim": COUNTED[3, c], "clients": [0, 1], "seed": seed} for c in (8, 16)],
    paper=[{"images": PHOTOS, "victim": v, "clients": [0, 2], "seed": seed} for v in COUNTED.values()],
    version=2,
    minutes={"quick": 0.02, "paper": 1},
    gib=1,
)


def small_batch(kernel, channels, B):
    victim = LENET | {"activation": "tanh", "scale": 0.3, "kernel": kernel, "channels": channels}
    return {"images": {"name": "digits"}, "victim": victim, "clients": [0, 2], "seed": seed, "batch_size": B}


counted_batches = store.Sweep(
    "information_batches",
    dlg.information,
    quick=[small_batch(5, 2, B) for B in ALL],
    paper=[small_batch(k, c, B) for k, c in ((3, 2), (3, 4), (5, 2), (5, 3)) for B in ALL],
    minutes={"quick": 0.05, "paper": 0.2},
    gib=1,
)

# %% [markdown]
# ## Beyond the paper: activation, initialisation, line search
#
# Users of the original ask why it fails with ReLU, with other initialisations, with a seed. Every weight and bias from U(-s, s), a single start, LeNet:

# %%
maps = {}
for name, sweep in by_scale.items():
    if (cell := on_paper(sweep)) is not None:
        settings = [(c["victim"]["activation"], c["victim"]["scale"]) for c in cell.config]
        share = [(cell.table.mse[cell.table.part == i] < RECOVERED).mean() for i in range(len(settings))]
        maps[name] = pd.Series(share, pd.MultiIndex.from_tuples(settings)).unstack().loc[list(ACTIVATIONS)]
if maps:
    fig, grid = plots.axes(len(maps), height=0.42, squeeze=False)
    for ax, (name, wide) in zip(grid[0], maps.items(), strict=True):
        sns.heatmap(8 * wide, annot=True, fmt=".0f", vmin=0, vmax=8, cmap="cividis", cbar=False, ax=ax)
        ax.set(title=f"recovered of 8, {name}", xlabel="s: weights and biases from U(-s, s)")
    report.save_figure(fig, "beyond_activation", "Heat maps, one a kind of search: rows are the activations sigmoid, tanh, GELU and ReLU, columns the scale s of the random weights from 0.1 to 1; each cell holds the number of images recovered of eight. Smooth activations recover images at small scales, ReLU recovers none at any, and nothing is recovered at 1.")
    display(Markdown(f"*Images recovered of 8 (MSE below 0.001). Stored paper profile: {described(by_scale['line search'].configs['paper'])}.*"))

# %% [markdown]
# ReLU gives nothing at any scale: its second derivative is zero almost everywhere, and L-BFGS feels its way by second derivatives; whether another optimiser would find the image is *untested* here (notebook 03 uses
# Adam). Smooth activations come back where weights are small enough, sigmoid up to 0.5, GELU and tanh up to 0.2; at 1 nothing does. The line search adds a few, not a regime.

# %%
here = have(by_scale["line search"])
now = {f"this run, digits: {c['victim']['activation']}, s = {c['victim']['scale']}": f"{(here.table.mse[here.table.part == i] < RECOVERED).sum()} of 4" for i, c in enumerate(here.config)} if run.quick else {}


def pair(name):
    """The same clients and starts with and without line search: recovered, and objective evaluations."""
    with_it, without = on_paper(search[name]), leak[name].stored()
    if run.quick and name == "MNIST":
        with_it, without = search[name].run(), cells[name]
    if with_it is None or without is None:
        return None
    a, b = (c.table.query("client < 16") for c in (without, with_it))
    return {"plain": f"{(a.mse < RECOVERED).sum()} of {len(a)}", "line search": f"{(b.mse < RECOVERED).sum()} of {len(b)}",
            "gained, lost": f"{((b.mse.values < RECOVERED) & (a.mse.values >= RECOVERED)).sum()}, {((b.mse.values >= RECOVERED) & (a.mse.values < RECOVERED)).sum()}",
            "iterations": f"{without.config[0]['attack']['iterations']}, {with_it.config[0]['attack']['iterations']}",
            "evaluations, median": f"{a.evaluations.median():g}, {b.evaluations.median():g}"}


pairs = {f"{'digits, this run' if run.quick and n == 'MNIST' else n + ', stored'}": p for n in search if (p := pair(n))}
report.save_table(pd.DataFrame(pairs).T.rename_axis("set").reset_index(), "beyond_line_search")
display(pd.Series(now, name="recovered", dtype=object).to_frame()) if now else None
pd.DataFrame(pairs).T

# %% [markdown]
# ## Beyond the paper: how much does a network pass on?
#
# A gradient is a list of equations for the pixels; many parameters do not make many *independent* ones. Cut a chain of convolutions behind the $l$-th. Let $F_l$ be the number of its output features for one image, $c_l$ its
# channels, $|W_k|$ and $|b_k|$ the numbers of weights and biases of layer $k$, $h_i(p)$ the output of channel $i$ at position $p$ before the activation, $\delta_j(p)$ the error signal that comes back there, and
# $x_p$ the patch of the input it sees. The layers above the cut see the $B F_l$ features of the batch and nothing else, so their gradients, and the $\delta$, hold no more equations than that. Each layer below adds at most one
# equation for each weight and bias. Of layer $l$ itself the bias gradient, a sum of $\delta$, adds nothing; its weight gradient is $\partial\ell/\partial W_l[j] = \sum_p \delta_j(p)\,x_p$, and $c_l^2$ of its
# entries are no news either, since $\langle W_l[i],\, \partial \ell/\partial W_l[j]\rangle = \sum_p \delta_j(p)\, (h_i(p) - b_i)$ follows from the features. So for every $l$
#
# $$\text{independent equations} \;\le\; B F_l + \sum_{k \le l} |W_k| + \sum_{k < l} |b_k| - c_l^2 ,$$
#
# to be held against the number of pixels. First, small batches of digits (64 pixels each): the smallest bound and the measured rank of the Jacobian of all gradients
# with respect to all pixels, in float64, labels known.

# %%
small = have(counted_batches)
grid = pd.DataFrame([
    {"network": f"kernel {c['victim']['kernel']}, {c['victim']['channels']} channels", "B": c["batch_size"], "text": f"{r.counted} / {r['rank']} of {r.pixels}"}
    for i, c in enumerate(small.config) for _, r in small.table[small.table.part == i].iloc[:1].iterrows()
]).pivot(index="network", columns="B", values="text")
report.save_table(grid.reset_index(), "beyond_rank")
grid.style.set_caption("counted / rank of the Jacobian, of so many pixels")

# %% [markdown]
# The bound is attained here; the ledger counts where it is not. Now what it means for the attack: single photographs of 16x16 (768 pixels), tanh, weights within 0.1, DLG with line search, kernels of 3 and of 5.

# %%
def equations_of(victim):
    return min(analytic.gradient_equations(models.lenet(photos, **{k: v for k, v in victim.items() if k != "name"}), photos.shape))


ranks, tries = (on_paper(sweep) or have(sweep) for sweep in (counted, matched))
rows = []
for i, victim in enumerate(c["victim"] for c in tries.config):
    r, a = ranks.table[ranks.table.part == i].iloc[0], tries.table[tries.table.part == i]
    rows.append({"kernel": victim["kernel"], "channels": victim["channels"], "features": r.features, "equations": equations_of(victim), "rank": r["rank"],
                 "pixels": r.pixels, "median D": a.best_loss.median(), "median MSE": a.mse.median(), "recovered": f"{(a.mse < RECOVERED).sum()} of {len(a)}"})
equations = pd.DataFrame(rows)
report.save_table(equations, "beyond_information_table")
equations.style.format({"median D": "{:.0e}", "median MSE": "{:.0e}"}).hide(axis="index")

# %%
lots, two_live = tries, have(matched)
fig, ax = plots.axes(width=0.8, height=0.55)
for kernel, style in ((3, "o"), (5, "s")):
    mine = [(i, equations_of(c["victim"]) / 768) for i, c in enumerate(lots.config) if c["victim"]["kernel"] == kernel]
    for column, colour, fill, what in (("mse", "C0", "C0", "MSE of the image"), ("best_loss", "C1", "none", "objective D")):
        points = [(x, y) for i, x in mine for y in lots.table[column][lots.table.part == i]]
        if points:
            ax.plot(*zip(*points, strict=True), style, color=colour, mfc=fill, ms=3.5, mew=0.7, alpha=0.7, label=f"{what}, kernel {kernel}")
ax.axvline(1, color="0.5", lw=0.8, ls="--")
ax.set(yscale="log", xlabel="independent equations, at most, for each pixel", ylabel="at the end of the attack", ylim=(1e-11, 1e3))
fig.legend(loc="outside upper center", ncol=2)
report.save_figure(fig, "beyond_information", "Scatter plot, x: independent equations for each pixel, y: result at the end of the attack, logarithmic; for every attack the objective D and the error of the image. Left of a dashed line at 1, D is tiny and the error stays large; right of it the error falls to the level of D, but for a few searches where both are large.")
display(Markdown(f"*{len(lots.config)} networks, {lots.n // len(lots.config)} photographs each, {lots.config[0]['attack']['iterations']} iterations; every attack has two marks, its error and its D.*"))

# %% [markdown]
# Left of the line the gradients match too, D below 1e-6, and the image is wrong: **a small objective proves nothing where equations are missing.** Right of it, the same D means the
# right image (squares far up at the right are searches that failed, with a large D to show it). The number of features alone does not decide: 8 channels have 512 features for 768 pixels with
# either kernel, and with a kernel of 5 the image comes back (table), with one of 3 it does not (below, in the quick profile). Near the line a matching gradient still leaves an error; probably some of the equations are weak [untested].

# %%
if "states" in two_live.arrays:
    pair_of = np.concatenate((two_live.arrays["states"][:2, -1, 0], two_live.arrays["truth"][:1, 0]))[None] / 255
    notes = [[f"{c['victim']['channels']} channels\nD = {d:.0e}\nMSE {m:.0e}" for c, d, m in zip(two_live.config, two_live.table.best_loss, two_live.table.mse, strict=True)] + ["truth"]]
    report.save_figure(plots.sheet(pair_of, notes=notes, width=0.6), "beyond_information_images", "Image sheet, one row: the picture recovered from the gradient of a network of 8 channels, from one of 16 channels, and the private photograph. The first is coloured noise with a trace of the subject, the second a faithful copy; the notes below show that the objective is small for both.")

# %% [markdown]
# ## What the code does that the paper does not say
#
# Official code, mit-han-lab/dlg at d21007f; all [read] unless marked.
#
# - **One experiment only**: one training image (index 25) of CIFAR-100, seed 1234. Batch, ResNet, text and defense
#   experiments are not in the code, and no MSE is ever computed. Its ResNet classes cannot run as they stand: they call
#   an activation that does not exist in `torch.nn.functional`.
# - **The network is a LeNet with strides.** The paper speaks of ResNet-56 and of removed strides [quoted].
# - **Weights and biases are uniform in [-0.5, 0.5]**; the paper says "randomly initialised" [quoted]. This is far wider
#   than a default initialisation, and it matters: see exercise 2.
# - **300 calls of L-BFGS**; the paper says 1200 iterations [quoted].
# - **No line search, no outer stopping rule, no restart, no selection of the best state.** Torch's own tolerances still end a
#   call. `attacks.dlg` keeps all that, and scores here are of the last iterate. The engine ends an attack early only
#   where it stands still: converged, or not finite.
# - **Nothing is clipped.** The image is cast to 8 bits for display, where values outside [0, 1] wrap around; probably this is
#   where the coloured stray pixels of the published strips come from [inferred].

# %% [markdown]
# ## Claims of the paper, and questions of our own
#
# Each is decided by the rule beside it, the first eight from this run. None means undecided at this n. Intervals are 95 % Wilson.

# %%
def on_every_set(level):
    votes = {n: verdicts.decide((c.table.mse < RECOVERED).sum(), c.n, level) for n, c in cells.items()}
    verdict = False if any(v is False for v, _ in votes.values()) else True if all(v for v, _ in votes.values()) else None
    return verdict, "; ".join(f"{called[n]} {m}" for n, (_, m) in votes.items())


everything, ledger = pd.concat(c.table for c in cells.values()), report.Ledger()
good, right = everything.mse < RECOVERED, everything.label == everything.true_label
verdict, measured = on_every_set(0.05)
ledger.add("can_leak", "an image can be recovered from its gradient alone, on every set (Fig. 3 [read])", verdict,
           "share of single starts with MSE below 0.001 is above 0.05 on every set", measured, len(everything))
verdict, measured = on_every_set(0.5)
ledger.add("majority_leaks", "our question: does a single start usually suffice, on every set?", verdict,
           "the same share is above 0.5 on every set", measured, len(everything), stable=False)
verdict, measured = verdicts.decide((right & good).sum(), good.sum(), 0.8)
ledger.add("label_too", "the label is recovered with the image (Algorithm 1 optimises it too [read])", verdict,
           "of recovered images, share with the right label above 0.8", measured, int(good.sum()))

# %%
grid, when = np.array(RECORD[run.profile]), {}
for n in ("MNIST", "CIFAR"):
    small = cells[n].arrays["mse"] < 1e-2
    when[n] = grid[small.argmax(1)][small.any(1) & (cells[n].table.mse.to_numpy() < RECOVERED)]
less, more = (stats.mannwhitneyu(*when.values(), alternative=a).pvalue for a in ("less", "greater"))
ledger.add("simple_first", "a grey digit needs fewer iterations than a coloured image (Fig. 3 [read]; size, here, is not held fixed)",
           True if less < 0.05 else False if more < 0.05 else None,
           "first recorded iteration with MSE below 0.01, recovered clients only; one-sided Mann-Whitney p < 0.05",
           f"medians {np.median(when['MNIST']):g} and {np.median(when['CIFAR']):g}, p = {less:.1g}", sum(map(len, when.values())))

whole = by_batch.mse.max() < RECOVERED
verdict, measured = verdicts.decide(whole.sum(), len(whole))
ledger.add("batch_of_8", "a batch of eight is recovered, all eight of it (Fig. 4 [read])", verdict,
           "share of batches with all eight below 0.001 is above 0.5", measured, len(whole), stable=False)
came = eight.table[eight.table.mse < RECOVERED]
verdict, measured = verdicts.decide((came["guess"] != came["image"]).sum(), len(came))
ledger.add("order_lost", "recovered images of a batch stand in another order (Fig. 4 [read])", verdict,
           "share of recovered images at another place than the true one is above 0.5 (chance: 7/8)", measured, len(came))

fell = np.nan_to_num(objective[:, -1] / objective[:, 0], nan=1) < 1e-6
verdict, measured = verdicts.decide((came_back & fell).sum(), fell.sum(), 0.5)
other, less_measured = verdicts.decide((~came_back & ~fell).sum(), (~fell).sum(), 0.5)
ledger.add("together", "as the gradients' distance falls, so does the image's error (Fig. 5 [recalled])",
           None if None in (verdict, other) else verdict and other,
           "where D fell by 1e6 most images came back, and where it did not most did not: both shares above 0.5",
           f"{measured}; {less_measured}", close.n, stable=False)
spread = {called[n]: stats.bootstrap((c,), np.mean, rng=0).confidence_interval for n, c in clipped.items()}
ledger.add("mean_small", "our question: is the mean error, failures included, within what we call recovered?",
           False if any(ci.low > RECOVERED for ci in spread.values()) else all(ci.high < RECOVERED for ci in spread.values()) or None,
           "95 % bootstrap interval of the mean clipped MSE, below 0.001 on every set (False: above on one)",
           "; ".join(f"{n} [{ci.low:.3f}, {ci.high:.3f}]" for n, ci in spread.items()), len(everything))

# %% [markdown]
# The second half's claims are decided from the stored paper profile where it is there, else from this run.

# %%
on_store = all(sweep.stored() for sweep in (defended, trained, matched, *table1.values(), *text_cells.values()))  # the same on any CPU


def vote(id, text, rule, good, n, level=0.5, note=""):
    verdict, measured = verdicts.decide(good, n, level)
    ledger.add(id, text, verdict, rule, measured + note, int(n), stable=on_store)


def judged(id, text, name, defends):
    """Does a defense defend? By the share of reconstructions with an AVD above 0.8."""
    noise = large.table.avd[names == name] > 0.8
    vote(id, text, f"{name}: share with AVD {'above' if defends else 'not above'} 0.8 is above 0.5", (noise == defends).sum(), len(noise))


for reading, unit, (small_one, middle, large_one) in (("variance", "[recalled]", ("1e-04", "1e-03", "1e-02")), ("sd", "another reading of the same sentence", ("1e-08", "1e-06", "1e-04"))):
    judged(f"gaussian_1e-4_{reading}", f"Gaussian noise of {reading} 1e-4 does not defend (Fig. 7a [read]; that it is the {reading}: {unit})", f"Gaussian {small_one}", False)
    judged(f"gaussian_1e-3_{reading}", f"Gaussian noise of {reading} 1e-3 leaks, with artefacts (Fig. 7a [read]; that it is the {reading}: {unit})", f"Gaussian {middle}", False)
    judged(f"gaussian_1e-2_{reading}", f"Gaussian noise of {reading} 1e-2 defends (Fig. 7a [read]; that it is the {reading}: {unit})", f"Gaussian {large_one}", True)
judged("laplacian_1e-2", "Laplacian noise of variance 1e-2 defends (Table 3 [recalled])", "Laplacian 1e-02", True)
for name, defends in (("float16", False), ("bfloat16", False), ("int8", True)):
    judged(name, f"{name} {'defends' if defends else 'does not defend'} (Fig. 7c, Table 3 [recalled])", name, defends)
judged("prune_10", "pruning 10 % does not defend (Fig. 7d [recalled])", "pruned 10%", False)
for p in (20, 30, 50, 70):
    judged(f"prune_{p}", f"pruning {p} % defends (20 % or more does [quoted])", f"pruned {p}%", True)

# %%
victims = on_paper(trained) or have(trained)
learned = {name: rows.accuracy for name, rows in victims.table.assign(name=named(victims)).groupby("name")}
verdict, measured = verdicts.decide_greater(learned["none"], learned["Gaussian 1e-02"])
ledger.add("noise_costs", "noise that defends (variance 1e-2) costs accuracy (Table 3 [recalled])", verdict if learned["none"].mean() > 0.2 else None,
           "accuracy without a defense against with it, Welch p < 0.05; None where the first is near chance", measured, len(victims.table), stable=on_store)
wide = by_defense(large, victims)
safe = wide[wide.defends & (wide.victims >= 3)].accuracy
prunings, others = (safe[safe.index.str.startswith("pruned") == kind] for kind in (True, False))
verdict, measured = None, f"defend: {', '.join(safe.index) or 'none with three victims'}"
if len(prunings) and len(others):
    verdict, text_of = verdicts.decide_greater(learned[prunings.idxmax()], learned[others.idxmax()])
    measured += f"; {prunings.idxmax()} against {others.idxmax()}: {text_of}"
elif len(safe):
    verdict = bool(len(prunings))
ledger.add("prune_best", "the most effective defense is pruning (abstract [quoted])", verdict,
           "of the defenses that defend: accuracy of the best pruning against the best other one, Welch p < 0.05", measured, len(safe), stable=on_store)

# %%
found = {key: (cell, restored(cell)) for key, sweep in table1.items() if (cell := on_paper(sweep) or (have(sweep) if sweep.configs[run.profile] else None))}
runs_of = {key: np.concatenate([*when.values()]) for key, (_, when) in found.items()}
deep = np.concatenate([w for (net, rule), w in runs_of.items() if net.startswith("ResNet-20, sigmoid") and "relative" not in rule] or [[]])
vote("resnet_batch", "batches are restored on ResNet-20 (Table 1 [recalled])", "paper's D, both rules, all sizes: share restored above 0.5", np.isfinite(deep).sum(), len(deep))
near = deep_cell.table.mse < 0.05 if deep_cell else []
vote("resnet_relative", "ours: relative to each layer's size, ResNet-20's gradient shows the image, coarsely", "relative D, one image: share with MSE below 0.05 is above 0.5", sum(near), len(near))
together = found.get(("LeNet, 24 channels", "together, line search"), (None, {}))[1]
turns = found.get(("LeNet, 24 channels", "one at a time, line search"), (None, {}))[1]
points = np.array([(B, i) for B, when in together.items() for i in when if np.isfinite(i)]).reshape(-1, 2)
rank = stats.spearmanr(*points.T) if len(set(points[:, 0])) > 1 else None
ledger.add("more_images", "more images need more iterations (Table 1 [recalled])", bool(rank.statistic > 0) if rank and rank.pvalue < 0.05 else None,
           "LeNet, 24 channels, restored batches: Spearman of batch size and iterations, p < 0.05", f"rho {rank.statistic:.2f}, p = {rank.pvalue:.1g}" if rank else "too few", len(points), stable=on_store)
(a, n), (b, m) = ((sum(np.isfinite(w[B]).sum() for B in turns), sum(len(w[B]) for B in turns)) for w in (turns, together or turns))
p = stats.fisher_exact([[a, n - a], [b, m - b]]).pvalue
ledger.add("one_at_a_time", "moving one image at a time helps a batch to converge [quoted]", bool(a > b) if p < 0.05 else None,
           "LeNet, 24 channels, B = 2 and 4, equal iterations: batches restored, Fisher p < 0.05", f"{a} of {n} one at a time, {b} of {m} together, p = {p:.1g}", n + m, stable=on_store)

# %%
for name, id, text_of in (("plain L-BFGS", "text_30", "a sentence is read without a mistake at 30 iterations (Table 2 [read])"), (READER, "text_search", "ours: with line search and a factor on D it is")):
    heard = on_paper(text_cells[name]) or (spoken if name == READER else None)
    exact = heard.table.tokens[heard.table.iteration == 30] == 1 if heard else []
    vote(id, text_of, f"{name}: share of sentences exact at 30 iterations is above 0.5", sum(exact), len(exact))
gained = lost = 0
for name in search:
    a, b = leak[name].stored(), on_paper(search[name])
    if a and b:
        a, b = (c.table.query("client < 16").mse.to_numpy() < RECOVERED for c in (a, b))
        gained, lost = gained + (b & ~a).sum(), lost + (a & ~b).sum()
vote("line_search", "ours: a line search recovers images that a plain start loses", "same clients and starts: of those that differ, share gained is above 0.5", gained, gained + lost)
ratio = np.array([equations_of(lots.config[i]["victim"]) / 768 for i in lots.table.part])
missing, enough = lots.table[ratio < 1], lots.table[ratio > 1.2]
vote("matched_but_wrong", "ours: with fewer equations than pixels the gradient matches and the image is wrong", "below 1: share with D < 1e-5 and MSE > 0.001 is above 0.5",
     ((missing.best_loss < 1e-5) & (missing.mse > RECOVERED)).sum(), len(missing))
vote("matched_and_right", "ours: with more, a matching gradient means the right image", "above 1.2, D < 1e-5: share with MSE < 0.001 is above 0.5",
     ((enough.best_loss < 1e-5) & (enough.mse < RECOVERED)).sum(), (enough.best_loss < 1e-5).sum())
both = pd.concat((sweep.stored() or have(sweep)).table for sweep in (counted, counted_batches)).query("counted < pixels")
ledger.add("counting_bound", "ours: the count bounds the independent equations", bool((both["rank"] <= both.counted).all()), "rank of the Jacobian never above the count (counts below the pixels)",
           f"{(both['rank'] <= both.counted).sum()} of {len(both)}", len(both), stable=on_store)
ledger.add("counting_exact", "ours: and is their number", bool((both["rank"] == both.counted).all()), "rank equal to the count in every case", f"{(both['rank'] == both.counted).sum()} of {len(both)}", len(both), stable=on_store)
ledger.save()

# %% tags=["nbval-check-output"]
ledger.verdicts()

# %%
ledger.table().drop(columns="stable").style.set_properties(**{"white-space": "normal", "text-align": "left"})

# %% [markdown]
# ## What did not reproduce
#
# - **Not every start.** The table of Figure 6 gives the share. Users of the original report the same: success depends strongly
#   on the seed, and many use a learning rate of 0.01 to 0.1 or a line search [read, third parties]. The line search is tried above.
# - **The mean MSE of Figure 6** (recalled). Attacks fall into two groups, recovered and far away, so the mean counts the
#   failures. *Supported by the dots and the clipped means of Figure 6.* Why the published one is smaller is *untested*: the
#   paper gives no n, no seed and no success rate [recalled].
# - **The batch of eight, on CIFAR-10.** In the paper profile it did not come back in the iterations we ran (below, computed from
#   the stored cell); every attack was still moving. The paper needs 2711 iterations for eight images [recalled], and
#   updates one image at a time [quoted]. Table 1 runs both rules. *Supported by the count under Table 1*: eight images have more than twice as many
#   pixels as this LeNet's gradient has independent equations, so no iteration would do it.
# - **ResNet-20, any batch size**, with the paper's D. *Supported by the gradient norms under Table 1 and by the row "relative D"*: the first layers' gradient is too small for D to see, and
#   is there. Batches under the relative D, and BatchNorm with the batch's own statistics, are *untested*.
# - **Pruning 20 % defends** [quoted]. Here 20 % leaves the image plain to see (AVD 0.5); 30 % defends by our criterion, and a person still sees the outline. That
#   the paper's network or stricter eye is the reason is *untested*.
# - **Noise of variance 1e-4 leaks** [read]. Read as standard deviations the published numbers fit better: the ledger decides both readings.
# - **int8 as a defense** (recalled). The claims ledger has our verdict. *Untested* why: per-tensor scaling, as here, is one of several ways to
#   quantise, and the paper's is not known.
#
# ## Deviations
#
# - **LeNet, not ResNet-56**, in Figures 3 to 7. The images of the paper are said to be attacked on ResNet-56 [quoted]; the code holds a
#   LeNet, and on ResNet-20 the paper's objective finds nothing (Table 1).
# - **500 iterations, not 1200**, in the paper profile: the last column of Figure 3. How many attacks were still
#   moving at the end, in this run and in the stored one:

# %%
def ended(cell):
    most = 20 * cell.config[0]["attack"]["iterations"]
    moving = (cell.table.evaluations >= 0.95 * most).mean()
    return {"n": cell.n, "recovered": int((cell.table.mse < RECOVERED).sum()), "evaluations, median": cell.table.evaluations.median(),
            "of at most": most, "still moving": f"{moving:.0%}"}


before = {**{n: leak[n].stored() for n in SETS}, "batch of 8": batches.stored()}
pd.DataFrame(
    {f"this run: {called.get(n, n)}": ended(c) for n, c in (*cells.items(), ("batch of 8", eight))}
    | {f"paper profile: {n}": ended(c) for n, c in before.items() if c is not None}
).T

# %% [markdown]
# ## Exercises
#
# 1. **An adaptive attacker.** Against `defenses.GradPrune(0.7)` the attacker sees which entries are zero. Write an objective that
#    compares only the others (exercise 3 shows the form). How much pruning does a defense then take?
# 2. **Initialisation.** `models.lenet(photos, init="default")` has small gradients. Which of torch's tolerances for L-BFGS ends
#    the attack too early, and what does `attacks.dlg(scale=1e4)` change?
# 3. **Your own objective.** An attack is two callables. Below, only the first layer's gradient is matched. Does the
#    image still come back? Count equations and unknowns first: `update.gradients["0.weight"].numel()` against `photos.shape`.
# 4. **Bring your own update.** Compute a gradient with your own framework and hand it to
#    `client.SharedUpdate.from_gradients(model, gradients, shape=..., num_classes=...)`. What does `attacks.diagnose` say?

# %%
def first_layer(dummy, shared):
    return (dummy["0.weight"] - shared["0.weight"]).square().sum()


own = replace(attacks.dlg(iterations=10, line_search=True), objective=first_layer)
own_guess = attacks.reconstruct(update, own, seed=seed)
f"objective {float(own_guess.loss.min()):.0e}, MSE of the image {float(metrics.mse(own_guess.images, batch.images)):.0e}"
