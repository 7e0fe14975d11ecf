# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # All attacks, all defenses, the same clients
#
# A comparison of our own: no paper runs these attacks side by side. You need pages 01 and 03; the other pages explain the attacks and defenses one by one.
#
# previous: [07_mu_cats_dogs](07_mu_cats_dogs.ipynb) · contents: [00_start_here](00_start_here.ipynb) · next: [09_exact](09_exact.ipynb)
#
# ![Image sheet of one client: one row an attack, one column a defense, the private image last. Without defense, under weak noise and with 8 bits several attacks show the image; 90 percent pruning, InstaHide and DP-SGD leave nothing that can be recognised.](../figures/paper/08_all_attacks/attacks_and_defenses_pictures.png)
#
# *What six attacks make of one private image, a dog (right), under eight defenses: the first client of eight, not a chosen one (CIFAR-10, LeNet with random weights, one start each).*
#
# ## In three sentences
#
# - **The claim.** No paper claims what this page asks: each compares its attack with one or two earlier ones, on clients of its own.
# - **What we found.** No attack is the best everywhere: on one dense layer a division wins; on a LeNet iDLG returns four of eight images nearly exactly, while GIAS and Inverting Gradients show all eight, roughly.
# - **To remember.** Setting 90 % of the gradient to zero leaves no attack on the LeNet better than flat grey, in the median, but a division on the dense layer still reaches 30 dB. So a defense is only as good as the best attack that was tried against it.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
import torch
from IPython.display import Markdown, display

from lib import analytic, client, data, defenses, metrics, models
from lib.run import start
from studies import plots, references, report
from studies.all_attacks import drawings, plan, tables

run = start(profile, seed=seed, device=device, data_root=data_root)
report.start("08_all_attacks", run)

# %% [markdown]
# ## The question
#
# A client shares the gradient of its loss, perhaps after a *defense* has changed it. The attacker knows the network and the weights, and tries to recover the private image. Which attack recovers most, and which defense stops it? That depends on both, and on the network, so this page tries every attack under every defense.
#
# The attacker is honest but curious: it follows the protocol and looks at the updates. It is given no label, and it does *not* adapt to the defense. Pages 05 and 06 have attackers who do. What a defense costs in accuracy stands on pages 01, 05 and 06.
#
# ## The idea
#
# A defense $d$ stands between the gradient and the attacker, who sees $\tilde g = d(\nabla_W\, \ell)$. Take one dense layer with weights $W$ and biases $b$, and one image $x$. The chain rule gives, for every output $i$,
#
# $$\frac{\partial \ell}{\partial W_i} = \frac{\partial \ell}{\partial b_i}\, x^\top
# \qquad\Longrightarrow\qquad x^\top = \frac{\partial \ell}{\partial W_i} \Big/ \frac{\partial \ell}{\partial b_i}.$$
#
# One division gives the image (page 01). What is left of it when $\tilde g$ takes the place of the gradient?

# %%
photos = data.load("photos", size=24)
cat = photos.clients(1, indices=[[photos.labels.tolist().index(photos.classes.index("chelsea"))]])
network = models.dense(photos, seed=seed)
UNDER = {"none": None, "noise var. 1e-4": defenses.GaussianNoise(1e-4),
         "int8": defenses.LowPrecision("int8"), "pruned 90 %": defenses.GradPrune(0.9),
         "DP-SGD": defenses.DPSGD(clip=1.0, noise_multiplier=1.0, batch_size=1)}
images, notes = [], []
for defense in UNDER.values():
    update = client.share(network, cat, defense=defense)
    W, b = update.gradients["1.weight"][0], update.gradients["1.bias"][0]
    i = b.abs().argmax()  # the row with the largest divisor
    x = W[i] / b[i]
    assert torch.allclose(x, analytic.dense_input(W, b))  # what lib does for all clients at once
    images.append(x.cpu().view(photos.shape))
    notes.append(f"{metrics.psnr(images[-1], cat.images[0, 0]):.0f} dB")

# %%
shown = torch.stack([*images, cat.images[0, 0]])[None]
figure = plots.sheet(shown, column_labels=[*UNDER, "private"], notes=[[*notes, ""]])
report.save_figure(
    figure, "division",
    "Image sheet, one row: what one division recovers of a crop around a cat's eye from the "
    "gradient of one dense layer, under no defense, noise, eight bits, pruning and DP-SGD; the "
    "private image last. Only DP-SGD turns it into noise.")

# %% [markdown]
# *PSNR* is the mean squared error on a logarithmic scale, in decibels. Higher is better: at 30 dB the eye hardly sees a difference. The division survives all of these defenses but DP-SGD. Exercise 3 asks why pruning, which sets nine of ten entries to zero, does so little here.
#
# ## How the comparison is made
#
# Six attacks are compared. *DLG* and *iDLG* match the gradient exactly, by its squared distance (pages 01, 02). *Inverting Gradients* matches its direction and prefers smooth images (03). *Huang et al.* do the same and search for the label too (05). *GIAS* searches through a network that generates images (04), and *mixing gradients* matches the direction without a prior (06). On the dense layer the *closed form* is added, the division above.
#
# Every attack meets the same images, the same networks (random weights, one network for each client) and the same random draws of the defense. Its starts are the same under every defense. Labels are read off the gradient, or optimised together with the image.
#
# Three things are *not* equal. Attacks look at different numbers of gradients (a table in the appendix counts them). GIAS alone has seen other images of the set, since its generator was trained on them. And Huang et al.'s attack uses a weight for smoothness that was chosen for Inverting Gradients (appendix).
#
# | defense | what the client does | page |
# |---|---|---|
# | noise | adds Gaussian noise of that variance to every entry of the gradient | 01 |
# | int8 | rounds every tensor to 255 steps | 01 |
# | pruned | sets the smallest 90 % of every tensor to zero | 05 |
# | MixUp | shares the gradient of a weighted mean of four images | 05 |
# | InstaHide | does the same, and flips the signs of pixels at random | 05 |
# | DP-SGD | clips the gradient of each image at norm 1 and adds noise (multiplier 1) | 05 |
# | equal labels | shares a batch of images of one label | 06 |
#
# The attacker does not have the keys of MixUp and InstaHide (which images were mixed, and how), and can at best find the mixture.

# %%
sweeps = plan.declare(run)
here = tables.panels_here(sweeps)
stored = tables.panels_stored(sweeps)
panels = stored or here

# %% [markdown]
# ## Results
#
# **Predict before you run.** Noise of variance 1e-4 is added to the gradient of the LeNet. Which attack loses more: iDLG, which matches the gradient as exactly as it can, or Inverting Gradients, which also believes that images are smooth?
#
# ### No attack is the best everywhere
#
# The heat maps show the median PSNR of each attack under each defense, over eight images of CIFAR-10. Grey fields with a dash are medians no better than that of a flat grey picture, *mid-grey*, which needs no gradient.

# %%
if stored:
    report.save_figure(drawings.heat_maps(stored), "attacks_and_defenses",
                       drawings.heat_maps_alt(stored))
    report.caption(
        "In brackets: how many images are better than mid-grey, where that is neither none nor "
        "all. Above 60 dB counts as 60, and an attack that ends in NaN as 0.",
        *tables.mid_grey(stored))
else:
    report.caption("Not computed: the paper profile's comparison on CIFAR-10.")

# %% [markdown]
# The best attack under each defense, in the same results:

# %%
report.table(tables.winners(panels))

# %% [markdown]
# Under noise of variance 1e-4 iDLG falls to noise on the LeNet, and Inverting Gradients loses about one decibel. On the dense layer the division is the best attack under every defense from none to MixUp, where it finds the mixture and no more. Under InstaHide and DP-SGD no attack is better than mid-grey in the median.
#
# ### Exact matching gives all or nothing, and a prior gives a rough picture
#
# The picture at the top of this page shows one client. The next table has all eight, without a defense. An image counts as *recovered* where its mean squared error is below 0.001 (30 dB).

# %%
table = tables.attacks(panels)
report.save_table(table, "attacks")
report.caption("Mean ± standard deviation over the images, one start each.",
               *tables.mid_grey(panels))
report.table(tables.recovery(table))

# %% [markdown]
# SSIM compares structures (1 is equal), AVD compares edges (0 is equal). DLG and iDLG have the largest spread, because some images come back exactly and the others are noise. Inverting Gradients, Huang et al. and GIAS recover none on the LeNet by this criterion, and yet a person can see what their pictures show.
#
# ### The order changes with the images
#
# This run repeats the comparison on digits of 8 x 8 pixels, with four clients and far fewer iterations:

# %%
if run.quick:
    report.save_figure(drawings.heat_maps(here), "attacks_and_defenses_digits",
                       drawings.digits_heat_maps_alt(here))
    report.caption("Dashes and brackets as above. Each client has a network of its own.",
                   *tables.mid_grey(here))

# %% [markdown]
# Without a defense DLG, iDLG and Inverting Gradients now lead on the LeNet, and GIAS stands behind them. MixUp, InstaHide and DP-SGD still leave little.

# %%
cells = stored.get(("lenet", 1)) or here["lenet", 1]
report.save_figure(drawings.pictures(cells), "attacks_and_defenses_pictures",
                   drawings.pictures_alt(cells))
report.caption("The sheet from the top of the page, drawn again from its results: LeNet, the first "
               "client. MixUp and InstaHide: at best the mixture of four.", cells["mid-grey"])

# %% [markdown]
# ## Which to use when
#
# The table says which attack to begin with, and which page supports it; everything else is *untested*. An attack that loses in the median may win on single clients, so a defense should be tested with all of them.
#
# | you want | begin with | why |
# |---|---|---|
# | to know whether anything can leak | `attacks.diagnose`, then `analytic` where the first layer is dense | a division, exact for one image (03, 07) |
# | an exact copy from a small untrained network | `attacks.idlg`, several restarts | exact or lost, depending on the start (01, 02); a line search saves some starts (01); at a third of the iterations it helps a dense network with a hidden layer, but not the LeNet (07) |
# | a picture from a trained LeNet | `attacks.inverting_gradients`, also with `optimizer="adam"` | undecided: one network, where it was better without signs (03) |
# | a picture from a deep, trained network | `attacks.inverting_gradients`, thousands of iterations | EfficientNet-Lite0 trained on ImageNet: a face and a pagoda can be recognised (n = 2, 4,800 iterations, 03). The papers' ResNets at full size: *not computed* |
# | a picture under noise | `attacks.gias` or `inverting_gradients` | GIAS ahead at variances 1e-4 and 1e-3 on the LeNet (04) |
# | batches behind one dense layer | `analytic.in_span`, then `dlg` | random labels up to B = 8, equal labels up to B = 6 (06) |
# | labels that no rule reads | `attacks.dlg` or `attacks.huang`, which optimise them | one image: little is lost (05); batches of eight: neither helps (05) |
# | to trust a picture | compare objectives, and attack images that you know | a prior can show a sharp picture of something else (04) |
# | to test a defense | all of the above, and an attacker who knows it: `masked=True`, `decode`, more restarts | pruning and MixUp look stronger than they are (05), so does mixing (06) |
#
# ## What this page cannot say
#
# - **How strong a defense is.** These attackers do not adapt. Against one who knows of them, pruning and MixUp are weaker (page 05).
# - **How good an attack is at its best.** Each has one start and fewer iterations than in its paper. *Mixing gradients* has an optimiser and weights of our own, since its authors print none; that it recovers nothing here says little about theirs (untested).
# - **What holds for trained or deep networks.** All networks here are small and untrained.
# - **What holds in batches.** The runs with four images per client are planned, and all but two of them are not computed.
#
# No paper makes this comparison, so there are no claims to decide and this page has no ledger.
#
# ## Exercises
#
# **Warm-up**
#
# 1. Read `figures/paper/08_all_attacks/attacks_and_defenses.csv`. Under which defenses does iDLG beat Inverting Gradients on the LeNet, by the median?
# 2. A pixel is uniform on [0, 1]. What PSNR has mid-grey then? Compare it with the medians of the heat maps, and say why an image can have less.
#
# **Derive**
#
# 3. Why does pruning 90 % of the entries hardly hurt the division? Compare the gradient's rows: how large is $\partial \ell / \partial b_i$ for the true class, how large for the other nine? Which pixels does pruning then take away?
# 4. Noise of variance $v$ is added to every entry. Show that the division's error at pixel $x_j$ has the variance $v\,(1 + x_j^2) / (\partial \ell / \partial b_i)^2$, if $v$ is small, and check it with `defenses.GaussianNoise(1e-6)`.
#
# **Research**
#
# 5. Which column of the heat map would change if the attacker had the mixing keys? Begin with `ThreatModel(labels="known", mixing_keys=True)` and `attacks.decode`. An answer gives PSNR on the same clients with and without the keys, for at least three networks, with its spread.
#
# Solutions: [solutions/08_all_attacks](solutions/08_all_attacks.ipynb)
#
# ## Appendix
#
# **Settings of both profiles.** B is the number of images a client shares.

# %%
report.table(tables.declared(sweeps))

# %%
display(Markdown(
    f"Paper profile: {plan.LBFGS_STEPS['paper']} iterations of L-BFGS (DLG, iDLG), "
    f"{plan.ADAM_STEPS['paper']:,} of Adam, {' + '.join(map(str, plan.GIAS_STEPS['paper']))} of "
    f"GIAS. Not computed: {tables.not_computed(sweeps, stored)}."))

# %% [markdown]
# Networks: one dense layer, and the LeNet of the DLG code. Objective, prior and label rule are those of each preset in `lib.attacks`. *Closed form* (the division) and *in the span* (page 06) need a dense first layer. GIAS's generator has seen the training split of the same set: it alone is given `prior_data`. Under MixUp and InstaHide the label is a mixture, too, so a rule that reads one label fails. These defenses protect partly in this way.
#
# The weight of the total variation (smoothness) was chosen before, on other clients and a LeNet. That of Inverting Gradients comes from pages 03 (CIFAR-10, one image) and 04 (CIFAR-10 and digits, batches of four), that of GIAS from page 04. Huang et al.'s attack uses the weight of Inverting Gradients, because it has the same objective.
#
# **How each attack searches.** The last column counts the gradients of the dummy image that an attack looks at, at most.

# %%
report.table(tables.means(table), **{"gradients looked at": "{:,}"})

# %% [markdown]
# **Seconds for one image.** Each attack ran on all clients and defenses at once; its seconds are divided by their images. The time for compiling the attack is left out, and for GIAS the training of the generator too.

# %%
report.save_table(tables.all_medians(panels), "attacks_and_defenses")
report.save_timings(tables.timings(panels))
report.table(tables.seconds(panels))

# %% [markdown]
# ## References

# %%
Markdown(references.listed(
    "abadi2016", "eloul2022", "geiping2020", "huang2020", "huang2021", "jeon2021",
    "krizhevsky2009", "mu2023", "zhang2018b", "zhao2020", "zhu2019"))
