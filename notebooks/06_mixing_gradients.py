# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Mixing gradients: can a client hide in its own batch?
#
# | | |
# |---|---|
# | **Paper** | Eloul, Silavong, Kamthe, Georgiadis, Moran: *Mixing Gradients in Neural Networks as a Strategy To Enhance Privacy in Federated Learning* |
# | **Published** | WACV 2024, pp. 3956-3965; as *Enhancing Privacy against Inversion Attacks in Federated Learning by using Mixing Gradients Strategies*: [arXiv 2204.12495](https://arxiv.org/abs/2204.12495), April 2022 |
# | **Official code** | none found for the attack or the defense; for the measure AVD, `fl_eval_kit` of a later paper, read; none of it is used here |
#
# The gradient of a batch is a sum over its images. This paper shows that behind cross-entropy the sum can be taken apart in closed form, as long as no label occurs twice: each class has a row of
# its own. So it proposes to **mix on purpose**: draw batches of *one* label, or train with the squared error instead of the cross-entropy, and reports that this protects without costing accuracy, which noise does not. It also proposes
# a measure of success, the absolute variational distance (AVD).
#
# ```bibtex
# @inproceedings{eloul2024mixing,
#   title     = {Mixing Gradients in Neural Networks as a Strategy To Enhance Privacy in Federated Learning},
#   author    = {Eloul and Silavong and Kamthe and Georgiadis and Moran},
#   booktitle = {Winter Conference on Applications of Computer Vision (WACV)},
#   pages     = {3956--3965},
#   year      = {2024}
# }
# ```
#
# **Marks.** The abstracts and the authors' conference poster were read *[read]*; the paper's text was not at hand. The figures are therefore named R1 to R7 by their content. The values of R3 and the threshold 0.8 are printed on the poster *[read]*; those of R1, R2 and R4 to R7 are *[digitised]* off it, and how its experiments were set up is mostly
# not known. *[inferred]* is our conclusion. Digitised values decide nothing below.
#
# **What is here.** The closed form and its exact error (R1, R2). What AVD measures, and what its threshold lets through (R3). Recovery and accuracy on a dense layer (R4, R5) and on LeNet (R6, R7). Then ours: a search in the span of the gradient, from which mixing by labels alone hides no batch of up to six;
# a proof of what one of the mixtures does hide, and noise beside mixing.
#
# **Words.** *Row c*: what the gradient of a dense layer's weights holds for class c. *Saturated softmax*: one that is sure of a class, right or wrong. *CE*: the cross-entropy (CEL on the poster). *Squared-error loss*: what a client trains with; *MSE* alone is the error of a picture's pixels.
# *Matching*: searching for images whose gradient is like the shared one, by its squared distance (*L2*) or by the *angle* between the two (the cosine of the third notebook). *TV*: total variation, the mean size of the differences between neighbouring pixels. *Recovery rate*: the share of
# images that an attack brings back, by a criterion that has to be named. *Restart*: another random start of the same search. *Interval*: of 95 %, by Wilson for a share.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
import numpy as np
import pandas as pd
import torch
from IPython.display import Markdown, display

from lib import analytic, attacks, client, data, defenses, metrics, models
from lib.run import start
from studies import choose, plots, references, report
from studies.mixing_gradients import claims, drawings, drawings_rates, measures, plan, settings
from studies.mixing_gradients import symmetry, tables, tables_accuracy
from studies.mixing_gradients.alt_texts import ALT_TEXTS

run = start(profile, seed=seed, device=device, data_root=data_root)
report.start("06_mixing_gradients", run, paper="eloul2022")
plots.plt.rcParams["image.interpolation"] = "nearest"  # crisp; smooth pixels make large files
pd.options.display.max_colwidth = None

# %% [markdown]
# ## Settings of both profiles
#
# *You may skip this cell on a first reading.* Each client has a newly initialised network of its own, unless said. The attacks work in [0, 1] without a box, with Adam; the poster names their objectives and priors, not their optimiser, weights or
# iterations. `studies/mixing_gradients/plan.py` declares every experiment for both profiles: the quick one (8x8 digits, for reading and for tests) and the paper's (MNIST and LFW).

# %%
sweeps = plan.declare(run)
settings.in_prose()

# %% [markdown]
# ## What the attacker is given
#
# The server, honest but curious, holds the weights, **one gradient of one batch**, and the batch's labels. Where a row says "inferred" it has no labels, where it says "three rounds" it has three gradients of the same batch.

# %%
digits = data.load("digits")
granted = client.ThreatModel(labels="known")
batch = digits.clients(1, 4, seed=3, unique_labels=True)
victim = models.dense(digits, init="normal", scale=0.3, seed=seed)
update = client.share(victim, batch, threat=granted)
card = {"victim": "one dense layer, newly initialised, N(0, 0.3²)", **update.card()}
pd.Series(card, name="assumptions").to_frame()

# %% [markdown]
# ## The idea: every class has a row of its own
#
# One dense layer, $o = Wx + b$, $p = \mathrm{softmax}(o)$, cross-entropy. For **one** image with label $c$ [read],
#
# $$\frac{\partial \ell}{\partial W_{j}} = (p_j - [j = c])\, x^\top, \qquad \frac{\partial \ell}{\partial b_j} = p_j - [j = c]
# \qquad\Rightarrow\qquad x = \frac{\partial \ell / \partial W_j}{\partial \ell / \partial b_j} \ \text{ for any row } j.$$
#
# A **batch** shares the mean, so row $j$ is a mixture of all images. But in row $c$ the image with label $c$ has weight $p_c - 1$ and every other one only its small $p_c$. The paper drops the small ones [read]:
#
# $$\hat x^{(c)} = \frac{\partial \ell / \partial W_c}{\partial \ell / \partial b_c} .$$
#
# No optimiser. `analytic.demix` is this line:

# %%
rows, scale = update.gradients["1.weight"], update.gradients["1.bias"]  # (1, C, pixels), (1, C)
by_hand = torch.stack([rows[0, c] / scale[0, c] for c in batch.labels[0]])
assert torch.equal(analytic.demix(rows, scale, batch.labels)[0], by_hand)


def divided(batch, width):
    """The closed form on a client whose weights are N(0, width²), for each of its labels."""
    victim = models.dense(digits, init="normal", scale=width, seed=seed)
    shared = client.share(victim, batch).gradients
    images = analytic.demix(shared["1.weight"], shared["1.bias"], batch.labels)
    return images.view_as(batch.images)[0]


same = client.drawn(digits.clients(1, 60, seed=0), defenses.EqualLabels(4), seed=1)
by_width = {width: divided(batch, width) for width in (0.01, 0.3, 2.0)}
fig = drawings.closed_form(batch, by_width, same, divided(same, 0.3))
report.save_figure(fig, "closely_demixing", ALT_TEXTS["closely_demixing"])
report.caption(
    "Four digits of four labels, taken out of one gradient by a division. Small weights leave a "
    "shadow of the other three; large ones mostly do not. Below: four digits of one label give the "
    "same mixture four times.")

# %% [markdown]
# ## The exact error
#
# What was dropped? Write $a_{jm} = p_{c_j}^{(m)} - [c_m = c_j]$ for the weight of image $m$ in the row of image $j$'s label. Then *exactly*
#
# $$\hat x^{(j)} = \sum_m w_{jm}\, x^{(m)}, \quad w_{jm} = \frac{a_{jm}}{\sum_n a_{jn}}, \qquad
# \hat x^{(j)} - x^{(j)} = \sum_{m \ne j} w_{jm}\,\big(x^{(m)} - x^{(j)}\big),$$
#
# since the weights of a row sum to 1 (`analytic.demix_weights`; the error formula is ours [inferred from the poster's equations]). Four regimes follow:
#
# - **Saturated softmax, label not predicted** (large weights, large inputs; no image of the batch is taken for class $c$): $p_c^{(m)} \to 0$, so $w_{jm} \to 0$. The division is exact.
# - **Saturated softmax, label predicted**: if an image of the batch is taken for class $c$, its weight of nearly $+1$ cancels the $-1$; if it is image $j$ itself, its own weight vanishes. Either way the division returns anything. On a random network with ten classes that leaves
#   about $(1 - 1/C)^B$ of the images exact: 59 % at $B = 5$.
# - **Even softmax** ($p \approx 1/C$, a fresh network): $w_{jm} \approx -1/(C - B)$ each and $1 + (B-1)/(C-B)$ for the image itself. With ten classes and four images the others keep a sixth each: **not small**. The argument needs many classes or a saturated softmax.
# - **Equal labels**: all rows of one label are the same, $w_{jm} \propto 1 - p_c^{(m)}$: a weighted mean of the batch, whatever the weights.

# %%
cell = sweeps.formula.shown()
report.save_figure(drawings.exact_error(cell.table), "closely_error", ALT_TEXTS["closely_error"])
worst = tables.formula_gap(cell.table)
report.caption(
    "float64. Dotted: (B - 1) / (C - B), an even softmax (left); $0.9^B$ (right). Formula and "
    f"measured error, of which three digits are stored, differ by at most {worst:.0e} (errors of "
    "1e-12 to 1e6); that they are equal in float64 is tested.", cell)

# %% [markdown]
# More classes make the even softmax smaller. The same images under random labels of so many classes:

# %%
cell = sweeps.many_classes.shown()
classes = tables.by_classes(cell)
report.save_table(classes, "closely_classes")
report.caption("B = 4, different labels; rows: 10 to 1,000 random labels; columns: the "
               "standard deviation of the weights.", cell)
classes.style.format("{:.1e}")

# %% [markdown]
# ## R1 and R2: direct inversion
#
# R1 is a histogram of the "log squared error", once for batches of different labels, once with a repeated label; R2 compares losses on random labels. Neither batch size, data, initialisation nor the base of the logarithm is known. We take the natural logarithm of the mean squared
# error of a pixel, and a saturated layer, N(0, 5²), for R1.

# %%
cells = choose.shown_of(sweeps.direct)
report.save_figure(drawings.direct_inversion(cells), "r1_labels", ALT_TEXTS["r1_labels"])
report.save_table(tables.direct_inversion(cells), "r1_labels")
report.caption(
    "Published [digitised]: different labels -30 to -20 with a tail to about -11, peak near -28.5; "
    "the same label -2 to 1. Five images to a batch. What lies right of -10 among the different "
    "labels is the second regime, labels that the network predicts for somebody in the batch: the "
    "published histogram has none of it. Where nothing is neglected the floor tells the precision; "
    "the published peak is within a few units of float32, the natural logarithm and a sum over 784 "
    "pixels, which adds 6.7 [inferred; batch size and data are not known]; the equal labels would "
    "then lie somewhat right of the published ones. Undefined results and errors above e^4 are at "
    "the right edge.", cells["float32"])

# %%
cell = sweeps.losses.shown()
report.save_figure(drawings.by_loss(cell.table), "r2_losses", ALT_TEXTS["r2_losses"])
report.save_table(tables.by_loss(cell.table), "r2_losses")
report.caption(
    "B = 4, labels as they come; errors outside, and undefined ones, are shown at the edges. "
    "Published [digitised]: cross-entropy from -27 to 2 in clusters, with a large part at -5 to 2; "
    "squared error from -6 to 3.", cell)

# %% [markdown]
# ## AVD: what counts as a success?
#
# The measure, as printed [read]: $\ \mathrm{AVD}(v, u) = \big\lVert\, |\nabla_{x,y} v| - |\nabla_{x,y} u| \,\big\rVert$. It looks at the *size of the differences between neighbouring pixels* and at nothing else: a constant shift changes nothing. The only public code is a later
# paper's and has two functions, neither of which is this formula; both pass the images through 8 bits first, where values above 1 wrap around. `metrics.avd` has all three by name:
#
# | `variant` | formula |
# |---|---|
# | `"paper"` | root mean square of $\lvert\lvert\partial v\rvert - \lvert\partial u\rvert\rvert$ over pixels and both directions (the paper prints a bare norm, which would grow with the image) |
# | `"distance_info"` | $\sqrt{\overline{(D(v)/2 - D(u)/2)^2}\, /\, 0.1}$ with $D = \lvert\partial_x v + \partial_y v\rvert$: the absolute value of the *sum*. The default here |
# | `"ecir2024"` | the same without the scaling, plus half the squared second differences |
#
# With the printed values (noise at an MSE of 3 to 8 has an AVD of about 1.0 to 1.1 [read]) only 8-bit forms agree [inferred]: unquantised, such noise is far above. They do not decide between `distance_info` and the later `ecir2024`; we take the former: R3 and every rate below named "AVD < 0.8" is `distance_info` through 8 bits.

# %%
cells = choose.shown_of(sweeps.sheets)
for images, name in (("digits", "r3_avd_sheets"), ("faces", "r3_avd_faces")):
    report.save_figure(drawings.by_avd(cells[images]), name, ALT_TEXTS[name])
lpips_is_here, _ = metrics.lpips_available()
missing = "" if lpips_is_here else (
    "LPIPS needs weights that are not here, and images of 31 pixels or more.")
report.caption(
    "LeNet of 12 channels, batches of two, by rising AVD, at several stages of two attacks. "
    "Dashed: an AVD of 0.8, below which an attack counts as a success. MSE and AVD are of "
    "unclipped pixels (AVD through 8 bits), PSNR, SSIM and LPIPS of clipped ones. " + missing,
    cells["digits"])

# %% [markdown]
# ### The threshold lets blanks through
#
# A measure of success must fail an attacker who returns something without looking at the gradient. Below are five such answers, and the mixtures that de-mixing leaves of equal labels.

# %%
sets = [name for name in ("digits", "faces", "mnist") if data.present(name, root=run.data_root)]
blanks = measures.blanks(sets, run)
report.save_table(blanks.reset_index(), "avd_blanks")
blanks.style.format({"AVD < 0.8": "{:.0%}", "MSE < 0.01": "{:.0%}", "median AVD": "{:.2f}",
                     "median MSE": "{:.3f}"})

# %%
display(Markdown(measures.blanks_in_words(blanks)))

# %% [markdown]
# On faces and MNIST an AVD of 0.8 separates *noise* from *anything that is not noise*; on the 8x8 digits not even that. It works as a measure of success only while failed attacks end in noise, as those on the poster do. A blend of four faces passes without anything having been found. Rates below are therefore given by
# two more criteria of ours: **MSE < 0.01**, stricter, but not free of luck where images of one class resemble each other, and it asks for the right brightness, which the angle between gradients does not fix (and nothing here clips an image before its MSE is taken);
# and, for R4, **SSIM > 0.5**, of clipped images, which forgives a wrong contrast. Each is wrong in a way of its own; an ordering that all three bear out is one to rely on.
#
# ### How the measures rank
#
# A good measure grows with the distance from the truth (monotone), without jumps (continuous). Four ways to move away from an image:

# %%
curves = measures.moved(data.load("faces").clients(64, seed=seed).images)
report.save_figure(drawings.rankings(curves), "avd_rankings", ALT_TEXTS["avd_rankings"])
ranking = measures.ranking(curves)
report.save_table(ranking.reset_index(), "avd_rankings")
report.caption(
    "64 faces (25x25). A constant added to all pixels: AVD without 8 bits is blind to it, by "
    "definition, while 8 bits wrap the bright pixels; at +1 every pixel has wrapped once around, "
    "and AVD is back at nearly 0. Through 8 bits AVD levels off with noise, since wrapped noise is "
    "uniform. LPIPS is not here: 25 pixels are too few. MSE, PSNR and SSIM are monotone in all "
    "four moves. No AVD is monotone under shifts, where one pixel makes most of its range, and "
    "none through 8 bits is under brightness. All are monotone in blends.")
ranking

# %% [markdown]
# ## The defenses, and the attacks they are held against
#
# 1. **Draw batches of identical labels**: `defenses.EqualLabels(B)`, a defense that chooses among the client's images (`draw`).
# 2. **Squared error instead of cross-entropy**: `client.Protocol(loss="mse_softmax")`, or `"mse"` without the softmax. Behind it, every output has a residue of every image, so rows mix whatever the labels.
#
# Against them the paper runs gradient matching: the distance $\lVert \Delta W' - \Delta W \rVert$ or the angle, with total variation and the orthogonality of a batch's images as priors, labels known or taken from the gradient [read]. `attacks.mixing_gradients` is this family.
# Beside them stand two that are not on the poster's list: L-BFGS on L2, and the closed form above with matching that starts from it (cross-entropy only: no other loss has a row for each class; at B = 1, any row gives the image whatever the loss).
# How "several attacks" become one rate is not stated. We show two ways: **best by truth** counts an image as recovered if *any* attack recovers it, an upper bound no attacker reaches, since it needs the image to choose; **nearest gradient** takes, for each
# client, the attack with known labels whose result has the nearest gradient (squared distance over the shared gradient's size), which an attacker can do.

# %%
rates = tables.dense_rates(sweeps.dense, sweeps.adaptive)
report.save_table(rates, "r4_dense")
drawn = tables.leading(rates)
numbers = report.published("eloul2022")
fig = drawings_rates.dense_rates(drawn, numbers)
report.save_figure(fig, "r4_dense", ALT_TEXTS["r4_dense"])
report.caption(
    f"One dense layer, {int(drawn[drawn.B == 1].n.max())} clients at each point; the best attack "
    f"is chosen by the truth. In the last panel there is only one attack, on "
    f"{settings.SPAN_CLIENTS['paper']} clients (quick profile: "
    f"{settings.SPAN_CLIENTS['quick']}), from B = 2 on. Which of two squared errors the "
    "published \"MSE\" is, is not certain; here the softmax comes first [inferred]. \"+ closed "
    "form\" at B = 1: only where it was run, behind cross-entropy.",
    sweeps.dense["CE, random labels"].shown())

# %% [markdown]
# ### R4 in numbers

# %%
tables.dense_in_numbers(rates, numbers)

# %% [markdown]
# *Per cent of images: best by truth / nearest gradient. A published "equal labels" at B = 1 is no mixture: it shows how far two cells of the same setting lie apart. With the closed form among the attacks, equal labels pass the AVD threshold at every batch size: what passes is the mean of the batch. The nearest gradient
# is a poor guide among these attacks: those on L2 often end at images whose gradient is nearly zero, a distance near 1 (with equal labels and cross-entropy they do match it, and find blends), while the angle's, which do look like something, have gradients of the wrong size and a distance above 1.*
#
# What such reconstructions look like, angle with TV, the first client of every batch size:

# %%
cell = sweeps.dense["CE, random labels"].shown()
report.save_figure(drawings.dense_guesses(cell), "r4_guesses", ALT_TEXTS["r4_guesses"])
report.caption("Under each: AVD, SSIM, MSE. Legible digits, too bright or on a noisy ground: by "
               "AVD they pass, by MSE they do not.", cell)

# %% [markdown]
# Which attack did it? Attack by attack, at the largest batch:

# %%
spans = tables.spans_of(sweeps.adaptive)
by_attack = tables.attack_by_attack(choose.shown_of(sweeps.dense), spans)
report.save_table(by_attack.reset_index(), "r4_attacks")
report.caption(f"AVD < 0.8 / MSE < 0.01, B = {max(tables.batch_sizes_of(cell))}.", cell)
by_attack

# %% [markdown]
# ## What mixing hides, and what it does not (ours)
#
# The attacks above search among all pixels. But a dense layer's gradient, $\partial\ell/\partial W = \sum_m \delta_m x_m^\top$, is a sum of $B$ outer products. Its rank is at most $B$, and **its row space is spanned by the images themselves**, mixed or not. So an attacker takes a basis $V$
# of that space (one singular value decomposition) and looks for $x = MV$: $B^2$ unknown numbers instead of $B \cdot 784$, the same for every loss. And the network that is fed $M$, with $WV^\top$ for $W$, is the same network, so any attack without a prior on pixels
# runs on it unchanged: `analytic.in_span`. (With C outputs behind cross-entropy the $\delta_m$ sum to zero, so it needs B < C.)
#
# Others used the span before: [Cocktail Party](https://arxiv.org/abs/2209.05578) unmixes it by independent component analysis, and [SPEAR](https://arxiv.org/abs/2403.03945) by the zeros that a ReLU leaves.
# The search below needs neither a prior on the images nor a ReLU: it matches the gradient, and asks only that the first layer is dense. Where two batches have one gradient, only a prior could tell them apart.

# %%
victim = models.dense(digits, init="normal", scale=0.1, seed=seed)
update = client.share(victim, same, threat=granted)  # four digits of one label
small, V = analytic.in_span(update)
search = attacks.dlg(60, line_search=True, relative=True, labels="idlg")
guess = attacks.reconstruct(small, search, restarts=8, seed=seed)
images = (guess.images.flatten(2) @ V).view_as(same.images)
order = metrics.matching(images, same.images.double())[0]
blend = analytic.demix(update.gradients["1.weight"], update.gradients["1.bias"], same.labels)
fig = drawings.in_span(same.images[0], blend.view_as(same.images)[0], images[0, order])
report.save_figure(fig, "span_closely", ALT_TEXTS["span_closely"])
report.caption(
    f"Four digits of one label, cross-entropy, one gradient: a search over {V.shape[1] ** 2} "
    f"numbers in {guess.seconds:.1f} s. Relative distance of the gradients: "
    f"{float(guess.loss.min()):.0e}.")

# %% [markdown]
# So equal labels alone do not hide a small batch behind a dense layer, if the gradient is exact. **What about the squared error on top?** Behind the squared error of the logits, with one label $c$ for all,
#
# $$\frac{\partial \ell}{\partial W} = 2\,\big(W S + (b - e_c)\, \bar x^\top\big), \qquad \frac{\partial \ell}{\partial b} = 2\,(W \bar x + b - e_c), \qquad S = \tfrac1B \textstyle\sum_m x_m x_m^\top, \quad \bar x = \tfrac1B \sum_m x_m .$$
#
# The gradient is a function of the batch's **mean and second moment only**. Turn the batch by any orthogonal $B \times B$ matrix $Q$ with $Q\mathbf 1 = \mathbf 1$: $QX$ has the same mean and second moment, hence *exactly* the same gradient, under these weights **and under all others**.
# No number of rounds tells the two apart; only a prior on images could. For $B = 2$ the only such $Q$ is the swap, so nothing is hidden; from $B = 3$ on there is a continuum, of dimension $(B-1)(B-2)/2$. Behind cross-entropy, and behind the squared error of a *softmax*, the residues are no
# linear function of the image, and this symmetry is gone: the count below finds no direction in which the batch could move unseen.

# %%
three = client.drawn(digits.clients(1, 60, seed=0), defenses.EqualLabels(3), seed=4)
axis = torch.tensor([[0.0, -1, 1], [1, 0, -1], [-1, 1, 0]], dtype=torch.float64) / 3**0.5
model = models.dense(digits, seed=seed).double()
turned, distances = {}, {}
for degrees in (0, 20, 40, 60, 120):
    Q = torch.linalg.matrix_exp(np.deg2rad(degrees) * axis)  # a rotation about (1, 1, 1)
    images = (Q @ three.images[0].double().flatten(1)).view_as(three.images[0])
    turned[degrees] = images
    distances[degrees] = symmetry.gradient_distances(model, three, images)
fig = drawings.turned_batches(turned, distances)
report.save_figure(fig, "span_rotations", ALT_TEXTS["span_rotations"])
report.caption(
    "Each column is a batch of three. Below: squared distance of its gradient to the first "
    "column's, over the latter's size, behind either loss. Under the squared error all five "
    "batches have one gradient, to rounding; 120° is the same batch in another order.")

# %% [markdown]
# Which batches could an attacker not tell apart, even in principle? Count the directions in the span along which the gradient does not change, at the private batch (the null space of its Jacobian, float64, singular values below 1e-9 of the largest):

# %%
directions = symmetry.unseen_directions(digits, run)
report.save_table(directions.reset_index(), "span_directions")
weakest = directions["weakest seen one"].unstack().add_prefix("weakest, B = ")
counts = directions["unseen directions"].astype(int).unstack().add_prefix("unseen, B = ")
report.caption(
    "One client each, 8x8 digits. \"Weakest\": the smallest response of the gradient to a seen "
    "direction, over the largest: below 1e-7 a gradient in float32, or with the least noise, does "
    "not hold it.")
counts.join(weakest).style.format("{:.0e}", subset=list(weakest))

# %% [markdown]
# How far does this carry? Larger batches, labels that the attacker has to read off the gradient, three rounds of the same batch (the network moves on by a step of 0.01 in between), and a trained victim:

# %%
in_span = tables.in_span_rates(sweeps.adaptive)
report.save_table(in_span, "span_adaptive")
fig = drawings_rates.in_span_rates(in_span)
report.save_figure(fig, "span_adaptive", ALT_TEXTS["span_adaptive"])
report.caption(
    "The attack in the span, the best of 4 restarts by the gradient. Behind the squared error with "
    "equal labels the gradient is matched (see the table's distance) by other images than the "
    "private ones.", sweeps.adaptive["CE, random labels", "one round"].shown())
hidden = in_span[(in_span.strategy == "MSE of logits, equal labels")
                 & (in_span.rounds == "one round")]
hidden = hidden[["B", "recovered", "median MSE", "median distance", "n"]]
hidden.style.format({"recovered": "{:.0%}", "median MSE": "{:.2g}",
                     "median distance": "{:.1g}"}).hide()

# %% [markdown]
# What is hidden is who is who, not what: a rotated batch is a blend of digits of one class, and where these look alike a blend passes for the original. The class, the style and the mean are there for all to see.
#
# Behind cross-entropy there is no such symmetry, and equal labels hide nothing up to B = 6: every image of all ten clients comes back, with labels known or known to be equal. At B = 8 four fifths do. There, of ten clients, all whose gradient is matched to rounding (1e-14) come back whole; where images are lost it is matched to 1e-11 to 1e-8 only. The search, not the gradient, gives out, in directions to which the gradient hardly answers:
# with three rounds all images come back, and with a gradient in float64 and twice the iterations one start stopped in much the same places (tried apart from these cells). The table says why each search ended; "converged" means a distance below 1e-8 of that at the start. The squared error of the softmax behaves in the same way. Behind the squared error of the *logits* some images of random batches are lost from B = 4 on: none whose label occurs once in its batch (counted from the labels of these batches).
#
# An earlier version of this page found equal labels safe from B = 6 on. That came from its optimiser: it stopped at absolute tolerances, while the gradients still differed.
#
# A trained victim, at B = 4:

# %%
cells = choose.shown_of(sweeps.trained)
trained = tables.trained_victim(cells, choose.shown_of(sweeps.trained_span))
report.save_table(trained.reset_index(), "trained_victim")
report.caption("A dense layer trained for two epochs with cross-entropy, one victim for all "
               "clients, B = 4.", cells["CE, random labels"])
trained.style.format({"AVD < 0.8": "{:.0%}", "MSE < 0.01": "{:.0%}", "median MSE": "{:.2g}",
                      "victim's accuracy": "{:.1%}", "n": "{:.0f}"})

# %% [markdown]
# On a trained victim the closed form gains against a fresh one, and the attack in the span loses nothing; searches among pixels stay near zero by MSE. A likely reason for the first [inferred, untested]: softmax outputs are surer. *One network, so this decides no claim.*
#
# ## R5: what does mixing cost in accuracy?
#
# "No degradation to classification performance" [read]. We train under each strategy the way the smallest federation would: each step is one client's update, a batch of B, plain SGD. Of three learning rates (0.003, 0.03, 0.3) the one with the best accuracy on held-out training images counts. The same equal-label
# batches, ten clients averaged a step, stand beside. Recovery is that of fresh victims, above.

# %%
accuracy = tables_accuracy.dense_accuracy(sweeps.accuracy, rates)
report.save_table(accuracy, "r5_dense_accuracy")
fig = drawings_rates.dense_plane(tables.leading(accuracy), numbers)
report.save_figure(fig, "r5_dense_accuracy", ALT_TEXTS["r5_dense_accuracy"])
averaged = tables_accuracy.averaged_accuracy(sweeps.averaged)
report.caption(
    "The larger the mark, the larger the batch: B = 2, 4, 6. Attacks: matching (AVD < 0.8), "
    "matching or closed form (MSE < 0.01), so the second can exceed the first. Down and left is "
    "private and useless, up and left is wanted. Equal labels at B = 4, ten clients averaged a "
    f"step: {averaged}.", sweeps.accuracy["CE"].shown())
tables_accuracy.dense_accuracy_in_numbers(accuracy, numbers)

# %% [markdown]
# ## R6 and R7: LeNet
#
# Four settings (batch size, channels) with accuracy, then maps over both. The attacked LeNet is the one of the official DLG code (sigmoid, weights from U(-0.5, 0.5)), as the poster gives no details; it cannot be trained behind the squared error of a softmax, so accuracies are of a LeNet
# with tanh and PyTorch's initialisation, of the same widths. That is a weakness: accuracy and recovery are of two networks.

# %%
lenet = tables_accuracy.lenet_accuracy(sweeps)
if len(lenet):  # only of the paper profile
    report.save_table(lenet, "r6_lenet_accuracy")
    report.save_table(tables_accuracy.lenet_by_attack(sweeps), "r6_attacks")
    fig = drawings_rates.lenet_plane(lenet, numbers)
    report.save_figure(fig, "r6_lenet_accuracy", ALT_TEXTS["r6_lenet_accuracy"])
    report.caption(
        "The larger the mark, the larger the batch: (B, channels) = (2, 6), (4, 8), (6, 10), "
        "(8, 12). Stored paper profile, MNIST, 8 clients a setting. Recovered: the best of five "
        "attacks, chosen by the truth, an upper bound; what an attacker can choose is in the "
        "table. Accuracy: one seed, one epoch, the better of two learning rates on held-out "
        "images. The quick profile has no such cells.")
else:
    report.not_made("r6", "the cells of the paper profile are not stored")
tables_accuracy.lenet_in_numbers(lenet, numbers)

# %% [markdown]
# *Per cent; ours (paper profile, stored): recovered by AVD < 0.8 / by MSE < 0.01. The five attacks: L2 or angle, with TV or with TV and orthogonality, labels known; and the angle with TV, labels inferred. Each by itself: `r6_attacks.csv`.*

# %%
cells = choose.shown_of(sweeps.maps)
maps = tables_accuracy.maps_of(cells)
report.save_table(maps, "r7_heat_maps")
fig = drawings_rates.heat_maps(maps, "MSE < 0.01")
report.save_figure(fig, "r7_heat_maps", ALT_TEXTS["r7_heat_maps"])
longer = tables_accuracy.longer_in_words(sweeps.longer.shown(other=False))
cell = cells["digits", "MSE of softmax, random labels"]
report.caption("8 clients a cell; LeNet, the angle with TV 1e-3, 600 iterations, labels known. "
               + longer, cell)

# %%
fig = drawings_rates.heat_maps(maps, "AVD < 0.8")
report.save_figure(fig, "r7_heat_maps_avd", ALT_TEXTS["r7_heat_maps_avd"])
by_avd, by_mse = (np.average(maps[criterion], weights=maps.n)
                  for criterion in ("AVD < 0.8", "MSE < 0.01"))
report.caption(f"The same reconstructions by the paper's criterion: {by_avd:.0f} % of the images, "
               f"where {by_mse:.0f} % have an MSE below 0.01.", cell)

# %% [markdown]
# ## Noise beside mixing
#
# The claim is that mixing costs no accuracy "as opposed to noise" [read, abstract]. The fair comparison is at equal accuracy: how much noise does a client bear before it loses what equal labels cost, and what does that noise hide? Dense layer, B = 4, cross-entropy, Gaussian noise
# on every shared entry, one client a step (the hardest case: nothing averages the noise).

# %%
noise = tables_accuracy.under_noise(sweeps)
mixtures = tables_accuracy.without_noise(sweeps, accuracy)
report.save_table(noise, "noise")
cell = sweeps.noisy["CE, random labels"].shown()
fig = drawings_rates.noise_against_mixing(noise, mixtures, cell.profile)
report.save_figure(fig, "noise_against_mixing", ALT_TEXTS["noise_against_mixing"])
report.caption(
    "Four attacks on both: closed form, angle, angle + TV, in the span; "
    f"{noise.clients.max()} fresh victims. Beside the grey marks: variance of the noise. "
    "Accuracy under noise: one seed, the better of two learning rates.", cell)
rounded = [column for column in noise if column not in ("variance", "lr", "strategy")]
noise.style.format(precision=1, subset=rounded).format({"variance": "{:.0e}"}).hide()

# %% [markdown]
# ## What the official code does that the paper does not say
#
# There is none for attack or defense. Of the measure, `fl_eval_kit` (for a later paper by partly the same authors) says [read]:
#
# - its functions take $\lvert\partial_x + \partial_y\rvert$, the absolute value of the **sum**, not $\lvert\partial_x\rvert, \lvert\partial_y\rvert$;
# - images pass through 8 bits, values above 1 **wrap modulo 256**, and the reconstruction's absolute value is taken first;
# - in a batch every reconstruction is compared with every image and the **smallest** AVD counts, so one lucky image may be counted many times. Ours are matched one to one;
# - a factor 0.1 scales average noise to about 1.
#
# Of the defense the poster leaves open [read]: which of two squared errors "MSE" is; LeNet's activation, initialisation and strides; the attacks' optimiser, weights, iterations; and how several attacks become one rate.
#
# ## Claims
#
# Decided from the stored paper profile where it is there, else from this run. A case is a network with its training. Each client of R1 to R4, R6 and R7 has one of its own, so its images are averaged first; two shares of the same networks are compared in pairs (t-test).
# R5 has three networks a strategy, its seeds. One correction (Benjamini and Hochberg, 5 %) covers all tests of the page. What can hardly fail is a check of the code, and no total counts it.

# %%
evidence = claims.Evidence(
    rates=rates, blanks=blanks, directions=directions, turned=distances, accuracy=accuracy,
    noise=noise)
book = claims.fill(sweeps, evidence)
book.save()

# %% tags=["nbval-check-output"]
book.verdicts()

# %%
book.shown()

# %% [markdown]
# ## What did not reproduce
#
# - **R1 without failures.** On a random saturated layer some third of the images with labels of their own comes back wrong: those whose label the network predicts for somebody in the batch. The published histogram has none. *That this is the cause follows from the formula and is seen in the share of exact
#   images (first figure); why the poster's layer has no such images is untested.*
# - **"The neglected terms are small."** Not with ten classes and a fresh network: they add up to half an image at B = 4. *Supported by the first figure and the table of claims.*
# - **R4's levels.** By AVD < 0.8 our gradient matching, best by truth, recovers more than published (but for equal labels at B = 6); chosen by the nearest gradient 23 % at most. What passes are pictures like those above: legible, too bright or on a noisy ground, and with equal labels blends of a class. By SSIM > 0.5, which does not
#   forgive noise or blends, the levels come near the published ones and every ordering of R4 holds, the squared errors' included. *Optimiser, weights and iterations of the published attacks are not known: that they, too, end at other failures is a likely reason for the levels [inferred], untested.*
# - **The squared error as a defense on its own** (R4). By AVD the squared error of the softmax leaks to matching no less than cross-entropy does; by SSIM it leaks less, as published; by MSE it takes away the closed form, and matching reaches no MSE below 0.01 anyway. In the span it hides nothing up to B = 8. *Which measure one believes decides this claim.*
# - **R6's levels and accuracies** are of another LeNet than the attacked one. By AVD the rates of cross-entropy have no trend with the setting, as published, but equal labels pass *more* often than random ones (blends of one class are smooth), so R6's claim about them fails; the squared error of the softmax passes less often, as published, and the squared error of the logits always; by MSE both recover
#   little (12 % at B = 2) or nothing, and at these four settings random labels nothing from B = 6 on. Of five attacks the two on L2 are Adam's and recover least; L-BFGS, which recovers single images in notebook 01, was not among them (untested). To infer labels instead of knowing them costs nothing. The accuracies of all four strategies lie within three points of each other at the better of two rates
#   (at the other some diverge: equal labels at (6, 10), the squared error of the logits at (2, 6)); published, the squared error of the softmax loses four to six [digitised]. *One random
#   network a client, eight clients a cell, one seed and two learning rates for the accuracies: untested beyond that.*
# - **R7's channels**: on MNIST, recovery by MSE does not grow with the number of channels; by AVD it falls, so the claim fails by the paper's own criterion, but not evenly (all three strategies dip at ten channels: every cell of a width attacks the same eight networks, and R6's (6, 10) is among them). **LFW**: the attack recovers nothing, from single images neither, so nothing is learned about the defenses there. Four times the iterations recover 2 of 16 (caption of the maps); notebook 01 recovers most single faces with L-BFGS on another objective, so it is this attack that fails, and what the authors' attacks did is not known.
# - **Not run.** R4 to R6 on LFW (the poster's are on MNIST [inferred]); R3 shows scikit-image's faces in LFW's place, because faces of LFW are not to be shown here. LPIPS: none of these images has the 31 pixels it needs at least, and its weights are not at hand.
#
# **What does.** Equal labels lower what gradient matching recovers by AVD, and by MSE what the closed form and matching that starts from it recover; matching from noise has an MSE below 0.01 almost nowhere, not even at B = 1 (its images have a wrong brightness), so by MSE alone it says nothing about a defense; by SSIM equal labels stop it, too. Over three seeds equal labels cost no accuracy, on a dense layer even with one client a step; nor does the squared error of a softmax; the squared error of the logits costs about six points, published seven to nine [digitised] (its best learning rate is the smallest tried: a smaller one might
# cost less). A dense layer's published accuracies are met within a point for the first three.
#
# **What a defender should take from it.** On a dense first layer mixing by labels alone stops most of what attacks that search among pixels recover, and up to B = 6 nothing of what a search in the span recovers; at B = 8 that search sometimes stops short, with one round only. The squared error of the logits does stop it, together with equal labels and from B = 3 on, for any number of rounds, and costs accuracy.
# Equal labels do one more thing: they make the batch's differences so faint in the gradient that very little noise finishes the job. At B = 4 a variance of 1e-7 halves what the search in the span recovers, and 1e-5 leaves nothing. With random labels 1e-4 still leaves two thirds, all of them images whose label occurs once in the batch; 1e-3 takes these, too, by its own noise on the image (their MSE grows
# with the variance). The first costs 0.1 points of accuracy, the second 0.5 (each measured under its own mixture, one seed). That is the paper's own last remark (noise added on top), and here the strongest form of its claim; "as opposed to noise" is not borne out on this layer, as far as one training a variance can tell. *One layer, one data set, noise at B = 4 only, a single gradient: an attacker who averages many gradients of the same batch was not tried.*
#
# ## Exercises
#
# 1. Show that the weights of a row of `analytic.demix_weights` sum to 1, and that for an even softmax the image itself has the weight $1 + (B - 1)/(C - B)$. What happens at $B = C$?
# 2. The rotations that leave the gradient behind the squared error of the logits unchanged form a group of dimension $(B-1)(B-2)/2$. Why? With several labels each class's sum must stay: $Q\mathbf 1_c = \mathbf 1_c$. What is left of the group when two of four images have one other label?
# 3. A prior could undo the rotation: images are non-negative, and their pixels are far from normal. Try independent component analysis (`sklearn.decomposition.FastICA`) on the span of a batch of four under equal labels and squared error.
# 4. Write a smoother answer than any in the table of blanks that passes AVD < 0.8 on the digits, too.
# 5. A client with two local steps sends a weight difference. Is its row space still that of the images? And behind a hidden layer with ReLU?
# 6. Pick a criterion of success that blanks fail and that does not need the original at the same scale and brightness. How would you set its threshold without looking at any attack?

# %% [markdown]
# ## References

# %%
Markdown(references.listed(
    "benjamini1995", "dimitrov2024", "eloul2022", "huang2007", "kariyappa2023", "lecun1998",
    "wang2004", "wilson1927", "zhang2018", "zhu2019"))
