# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # What attackers are given, and which defenses help
#
# Yangsibo Huang, Samyak Gupta, Zhao Song, Kai Li, Sanjeev Arora: *Evaluating Gradient Inversion Attacks and Defenses in Federated Learning*, NeurIPS 2021, [arXiv 2112.00059](https://arxiv.org/abs/2112.00059)
#
# Previous: [04 A generative prior](04_gias.ipynb) | [contents](00_start_here.ipynb) | Next: [06 Mixing gradients](06_mixing_gradients.ipynb)
#
# ![A face and a flower, and what an attacker recovers of them without a defense and under five variants of pruning, MixUp and InstaHide](../figures/paper/05_huang_evaluation/closely_defended.png)
#
# *A face and a flower, and what the attack of this page recovers of them under each defense; PSNR (likeness, larger is better) below. You compute this picture yourself further down, on a small untrained network.*
#
# ## In three sentences
#
# **Claimed:** published attacks look strong because the attacker is *given* private labels and batch statistics; without them attacks weaken, and combined defenses protect single images at little cost. **Found:** on small networks the statistics help at one weight and harm at another, each of four defenses lowers what the attack recovers of a single image, and longer training gives more away, not less. **To remember:** ask of every picture what the attacker was given, and of every defense whether the attacker knew about it.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
import pandas as pd
import torch
from IPython.display import Markdown, display

from lib import attacks, client, data, defenses, metrics, models, priors
from lib.run import generator, start
from studies import references, report
from studies.huang_evaluation import arms, claims, defense_tables, drawings, page, plan, tables
from studies.huang_evaluation.settings import DEFENSES, FIRST, FULL, IMAGES

run = start(profile, seed=seed, device=device, data_root=data_root)
report.start("05_huang_evaluation", run, paper=tables.PAPER)

# %% [markdown]
# ## The question
#
# In federated learning a *client* keeps its images and sends only the gradient of its loss. The attacker is the server, who follows the protocol and reads what arrives. It searches for images whose gradient is the one that was sent.
#
# Such attacks are published with pictures of their successes. This paper asks two things about them. What was the attacker *given* beside the gradient? And what can a client change so that the attack fails, at a bearable price?
#
# Here are four clients with one photograph each. Their network has *BatchNorm*: every channel is normalised with its mean and variance over the batch (for one image, over its positions). These are the *statistics*. The attacker knows each photograph's label and is told those statistics.

# %%
photos = data.load("photos", size=24)
batch = photos.clients(4, indices=[10, 89, 131, 2])
victim = models.lenet(photos, activation="tanh", scale=0.1, norm="batch", seed=seed)
protocol = client.Protocol(mode="train", normalise=True)
given = client.ThreatModel(labels="known", bn_statistics="exact")
update = client.share(victim, batch, protocol, threat=given, seed=seed)

# %% [markdown]
# How much do the statistics help the attacker? The weight $\alpha_{BN}$ says how strongly the attacker insists on them. **Predict before you run:** if a little knowledge helps, does insisting more help more?

# %%
found = {}
for weight in (0, 0.01, 0.1):
    attack = attacks.huang(iterations=300, tv=0.01, bn=weight)
    found[weight] = attacks.reconstruct(update, attack, seed=seed, record=range(20))
recovered = {f"weight {weight}": guess.images[:, 0] for weight, guess in found.items()}
figure = drawings.compared(batch.images[:, 0], recovered, width=0.6)
report.save_figure(figure, "closely_weights", drawings.ALT["closely_weights"])

# %% [markdown]
# *Computed live: LeNet (three convolutions and a dense layer) with BatchNorm, tanh, small random weights, untrained; 300 iterations. These four crops were chosen because a person recognises them, and the middle weight because it was the best of four that we tried on them.*
#
# *PSNR*, peak signal-to-noise ratio, measures likeness in decibels (dB). A flat mid-grey picture has about 10 to 14 dB, and from 16 dB on one often sees what it is.
#
# Every photograph can be recognised without the statistics, but its colours are wrong. With them the colours return. Ten times that weight drowns the gradient, and specks cover the pictures. Exercise 3 shows why colours are what BatchNorm hides.
#
# The *card* lists what the attacker held. Two of its lines were given to the attacker for nothing, the labels and the statistics.

# %%
report.table(pd.Series(update.card(), name="in this attack").rename_axis("assumption").to_frame())

# %% [markdown]
# ## The idea
#
# The paper attacks with the method of [notebook 03](03_inverting_gradients.ipynb) and adds one term. Let $g$ be the gradient that was sent, $y$ the label, $\ell$ the loss and $\theta$ the weights. The attacker moves a *dummy image* $z = (x - \mathrm{mean}) / \mathrm{std}$ that begins as noise. It minimises three terms. The first compares the directions of the two gradients:
#
# $$ 1 - \cos\big(\nabla_\theta \ell(z, y),\, g\big) $$

# %%
shared = torch.cat([gradient[0].flatten() for gradient in update.gradients.values()])


def mismatch(z):
    loss = torch.nn.functional.cross_entropy(victim(z), batch.labels[0])
    gradient = torch.autograd.grad(loss, list(victim.parameters()), create_graph=True)
    dummy = torch.cat([part.flatten() for part in gradient])
    return 1 - torch.cosine_similarity(dummy, shared, dim=0)


# %% [markdown]
# The second, *total variation* (TV), asks for neighbouring pixels to be alike: $\alpha_{TV} \big( \mathrm{mean}\,|\partial_x z| + \mathrm{mean}\,|\partial_y z| \big)$.

# %%
def tv(z):
    return z.diff(dim=-1).abs().mean() + z.diff(dim=-2).abs().mean()


# %% [markdown]
# The third is new here. Each BatchNorm layer $l$ sees channels whose mean $\mu_l(z)$ and variance $\sigma^2_l(z)$ should be those of the private batch, $\mu_l$ and $\sigma^2_l$:
#
# $$ \alpha_{BN} \sum_l \big( \lVert \mu_l(z) - \mu_l \rVert + \lVert \sigma^2_l(z) - \sigma^2_l \rVert \big) $$

# %%
told = [values[0] for values in update.statistics.values()]  # mean, variance, mean, variance, ...
fed = {}  # what each BatchNorm layer was fed last
for layer in victim[1:8:3]:
    layer.register_forward_pre_hook(lambda layer, inputs: fed.update({layer: inputs[0]}))


def statistics():
    return sum((h.mean((0, 2, 3)) - mean).norm() + (h.var((0, 2, 3), correction=0) - var).norm()
               for h, mean, var in zip(fed.values(), told[::2], told[1::2], strict=True))


# %% [markdown]
# The search is Adam on the *signs* of the image's gradient. Its step shrinks three times, and each step ends inside the box of possible pixels. This is the whole attack, on the first client:

# %%
z = attacks.starts(update, attack, seed=seed)[0][0, 0].clone().requires_grad_()  # noise
adam = torch.optim.Adam([z], lr=0.1)
decay = torch.optim.lr_scheduler.MultiStepLR(adam, milestones=[112, 187, 262])
mean, std = photos.mean.view(3, 1, 1), photos.std.view(3, 1, 1)
victim.train()
plain = []
for _ in range(300):
    objective = mismatch(z) + 0.01 * tv(z) + 0.01 * statistics()
    z.grad = torch.autograd.grad(objective, z)[0].sign()
    adam.step()
    decay.step()
    z.data.clamp_(-mean / std, (1 - mean) / std)
    plain.append(objective.item())

# %% [markdown]
# The library's engine does the same for many clients at once. Both begin with the same objective. Later they differ, because signs amplify rounding errors.

# %%
engine = found[0.01].history.losses[:, 0, 0]
assert torch.allclose(torch.tensor(plain[:20]), engine[:20], rtol=1e-3)
assert torch.isclose(tv(z), priors.tv(z))
of_loop = metrics.psnr((z.detach() * std + mean)[None], batch.images[:1])
display(Markdown(
    f"The plain loop recovers the face at {of_loop.item():.1f} dB, the engine at "
    f"{metrics.psnr(found[0.01].last[:1, 0], batch.images[:1]).item():.1f} dB."))

# %% [markdown]
# ## Three defenses
#
# **GradPrune($p$)** sends only the large entries. Of each tensor of the gradient it sets the share $p$ that is smallest in magnitude to zero:
#
# $$ \tilde g_i = g_i \;\text{ if } |g_i| \text{ is among the largest } 1 - p \text{ of its tensor, else } 0 $$

# %%
def prune(gradient, p):
    smallest = gradient.abs().flatten().argsort()[:int(p * gradient.numel())]
    pruned = gradient.clone()
    pruned.view(-1)[smallest] = 0
    return pruned


sent = {name: gradient[0] for name, gradient in update.gradients.items()}
pruned = defenses.GradPrune(0.9).update(sent, generator("prune", seed))
assert all(torch.equal(prune(sent[name], 0.9), pruned[name]) for name in sent)

# %% [markdown]
# **MixUp($k$)** changes what the network is fed: a weighted mean of $k$ of the client's images, with labels mixed alike. Which images, and the weights $\lambda$, are the *keys*; the mixture is the *encoding*.
#
# $$ \tilde x = \sum_{j=1}^k \lambda_j x_j, \qquad \tilde y = \sum_{j=1}^k \lambda_j y_j, \qquad \sum_j \lambda_j = 1, \quad \lambda_j \le 0.65 $$

# %%
def mixup(x, y, partners, weights):
    mixed = (weights[:, :, None, None, None] * x[partners]).sum(1)
    return mixed, (weights[:, :, None] * y[partners]).sum(1)


private = photos.clients(1, 10, indices=[[10, 89, 131, 2, 3, 18, 17, 4, 6, 5]])
x, y = private.images[0], torch.nn.functional.one_hot(private.labels[0], 10).float()
keys = defenses.MixUp(4).keys(len(x), generator("keys", seed))
theirs = defenses.MixUp(4).encode(x, y, generator("keys", seed))
assert all(map(torch.allclose, mixup(x, y, *keys), theirs))

# %% [markdown]
# **InstaHide($k$)** mixes, too, and then flips the sign of every pixel at random, where pixels run from $-1$ to $1$. In $[0, 1]$ a flip turns $\tilde x$ into $1 - \tilde x$.

# %%
def instahide(x, y, partners, weights, rng):
    mixed, labels = mixup(x, y, partners, weights)
    flipped = torch.randint(2, mixed.shape, generator=rng).bool()
    return torch.where(flipped, 1 - mixed, mixed), labels


rng = generator("keys", seed)
ours = instahide(x, y, *defenses.InstaHide(4).keys(len(x), rng), rng)
theirs = defenses.InstaHide(4).encode(x, y, generator("keys", seed))
assert all(map(torch.allclose, ours, theirs))

# %% [markdown]
# The next figure shows what a network is fed under MixUp and InstaHide, with 4 and with 6 images:

# %%
figure = drawings.encodings(photos, [10, 89, 131, 2, 3, 18, 17, 4, 6, 5], seed)
report.save_figure(figure, "closely_encodings", drawings.ALT["closely_encodings"])

# %% [markdown]
# And this is what the attack then recovers. An attacker who *adapts* to pruning compares only the entries that are not zero: a zero says that an entry was small, no more. **Predict before you run:** under which defense can you still tell the face?

# %%
def attacked(defense, rows, **how):
    clients = photos.clients(2, len(rows[0]), indices=rows)
    sent = client.share(victim, clients, protocol, defense=defense, threat=given, seed=seed)
    attack = attacks.huang(iterations=300, tv=0.01, bn=0.01, **how)
    return attacks.reconstruct(sent, attack, seed=seed).images[:, 0]


alone, pool = [[10], [89]], [[10, 2, 131, 89], [89, 131, 2, 10]]
under = {"no\ndefense": found[0.01].images[:2, 0]}
for p in (0.9, 0.99):
    under[f"Prune\n{p}"] = attacked(defenses.GradPrune(p), alone)
    under[f"Prune {p},\nadapted"] = attacked(defenses.GradPrune(p), alone, masked=True)
under["MixUp\n4"] = attacked(defenses.MixUp(4, batch_size=1), pool)
under["InstaHide\n4"] = attacked(defenses.InstaHide(4, batch_size=1), pool, signs=True)
figure = drawings.compared(batch.images[:2, 0], under)
report.save_figure(figure, "closely_defended", drawings.ALT["closely_defended"])

# %% [markdown]
# *Computed live, as above. Under MixUp and InstaHide the attacker takes the encoding for the image. Against InstaHide TV is of $|z|$, because signs are flipped.*
#
# Pruning covers the picture with specks, and an attacker who adapts removes many of them. MixUp gives away its blend, in which a second photograph may be the one that you recognise. InstaHide leaves noise.
#
# Two photographs and one untrained network prove little. The results below are of trained networks and more images.

# %% [markdown]
# ## Results
#
# The paper attacks a ResNet-18 for 10,000 iterations, which needs a GPU. Our stored runs attack a LeNet that was trained for two epochs on CIFAR-10, with 50 private images. Most stop at 2,400 iterations; those of the third result run for all 10,000.
#
# Where neither of two attacks beats a flat mid-grey, both have failed and are not compared. A claim is decided by networks, not by images, because the images behind one network are all easy or all hard together; at least three networks are needed.

# %%
sweeps = plan.declare(run)
mid_grey = tables.mid_grey(sweeps)
book = claims.ledger(sweeps, mid_grey)
display(Markdown(f"On these images mid-grey has {mid_grey.mean():.1f} dB on average."))

# %% [markdown]
# ### 1. Statistics help at the right weight only (Figure 1)
#
# You will see one dot for each image, by what the attacker knows. *Exact* statistics are those of the private batch, which somebody must send. *Proxy* statistics are the running ones of the global model, which everybody has. *None* sets $\alpha_{BN} = 0$.

# %%
by_image = tables.statistics_images(sweeps)
if len(by_image):
    figure = drawings.statistics(by_image, mid_grey)
    report.save_figure(figure, "fig1_statistics", drawings.ALT["fig1_statistics"])
    report.caption(
        "Each dot is an image, a bar the median and quartiles; dotted: mid-grey. "
        "Known statistics are "
        "targets with weight 0.005; \"fixed\": they replace the dummy batch's own in the network; "
        "\"eval mode\": the client itself uses public ones.",
        tables.shown(sweeps, sweeps.statistics["exact", 1]))
else:
    report.not_made("fig1", tables.NEEDS_GPU)
    display(Markdown(f"*{tables.NEEDS_GPU}. The quick profile has it for a small network.*"))

# %% [markdown]
# At 0.005, the weight of the official example, exact statistics do not beat none on this network. The next table has other weights, for single images. At a tenth of it exact statistics gain about three decibels, also on images that were not used to choose the weight.

# %%
by_weight = tables.statistics_weights(sweeps)
report.save_table(by_weight, "statistics_weight")
page.weights(by_weight) if len(by_weight) else Markdown(f"*{tables.NOT_YET}*")

# %% [markdown]
# *Stored, paper profile, one LeNet with BatchNorm. SSIM is likeness of structure, 1 at most; AVD is a distance between edge pictures, 0 at best.*
#
# The paper says that the attack weakens without private statistics. We see this clearly at one weight of four, so a result at a single weight says little.

# %% [markdown]
# ### 2. A single image's label costs the attacker almost nothing (Figure 2)
#
# Where labels are not given, the official code optimises them together with the image. You will see images of batches of eight, with labels given (left) and optimised (right).

# %%
fig2 = tables.labels(sweeps)
if len(fig2):
    figure = drawings.labels(sweeps, mid_grey)
    report.save_figure(figure, "fig2_labels", drawings.ALT["fig2_labels"])
    report.caption("Compare left with right: the two compositions are of different images.",
                   tables.shown(sweeps, sweeps.labels["all different", "known"]))
    report.save_table(fig2, "fig2_labels")
else:
    report.not_made("fig2", tables.NOT_YET)
    display(Markdown(f"*{tables.NOT_YET}. The quick profile has it for a small network.*"))
page.labels(fig2) if len(fig2) else None

# %% [markdown]
# For one image optimised labels are nearly all right, and they cost half a decibel. In batches of eight neither attacker is clearly better than mid-grey on this network, so nothing follows for them.

# %% [markdown]
# ### 3. On every network, each defense lowers the mean of what is recovered (Figures 3 and 7)
#
# You will see two private images, alone (B = 1) and in a batch, recovered without a defense and under five.

# %%
sizes = (1, defense_tables.large_batch(sweeps))
undefended = tables.shown(sweeps, sweeps.privacy["None", 1])
figure = drawings.gallery(sweeps, FIRST, sizes, per=2)
report.save_figure(figure, "fig3_reconstructions", drawings.ALT["fig3_reconstructions"])
report.caption(
    "Below each: PSNR in dB; in batches reconstructions are matched to images one to one. Of each "
    "defense the strongest attacker that was run and does not know the keys.", undefended)

# %% [markdown]
# Alone, the aeroplane shows through and fades as pruning cuts more. In batches of sixteen nothing shows, even without a defense. These attacks were cut at 2,400 iterations. The next figure follows them to the paper's 10,000, on several networks: a thin line is a network, a thick line their mean.

# %%
at_full = arms.full_table(sweeps)
figure = drawings.budget(sweeps)
if figure is None:
    display(Markdown(f"*{tables.NOT_YET}. Until then no claim rests on three networks.*"))
else:
    report.save_table(at_full, "full")
    report.save_figure(figure, "budget", drawings.ALT["budget"])
    cells = [arms.full_cells(sweeps, condition).values() for condition in FULL]
    report.caption("A line that still rises at its end had not ended. Dotted: 2,400 iterations, "
                   "those of the pictures above.", *(cell for group in cells for cell in group))
page.full(at_full) if len(at_full) else None

# %% [markdown]
# On each of the five networks every defense lowers the mean PSNR, as the paper's table has it, and the claims hold for all four defenses. Networks differ widely without a defense (15 to 22 dB). That is why three networks had left this undecided; two more were then computed, with the same images and settings. InstaHide also hides more than MixUp.

# %% [markdown]
# ### 4. What a defense costs (the table of defenses)
#
# You will see test accuracy against privacy: up is more accurate, left is more private.

# %%
leak = defense_tables.leakage(sweeps)
accuracy = defense_tables.accuracies(sweeps)
report.save_table(defense_tables.with_accuracy(leak, accuracy), "defenses")
figure = drawings.tradeoff(leak, accuracy, sizes, mid_grey)
report.save_figure(figure, "utility_privacy", drawings.ALT["utility_privacy"])
report.caption(
    "The mark is the strongest attacker, its line leads back to one who does not adapt. Dotted: "
    "mid-grey, and chance. Numbers: the share that GradPrune cuts; M, I: images that MixUp and "
    "InstaHide mix.", undefended)
page.defenses(leak, accuracy)

# %% [markdown]
# *Single images, stored paper profile. The paper scores with LPIPS, a learned distance for which smaller means more leakage; its weights are not available, so PSNR and SSIM stand in. †: published, see [sources](#Sources-of-published-numbers). "–": not computed.*
#
# Accuracy is that of another network, trained under the defense for ten epochs: a pre-activation ResNet of depth 8 and width 8, three seeds. It reaches 68.8 % without a defense. The paper trains a ResNet-18 for up to 200 epochs and loses one to seven points† under these defenses. Here GradPrune 0.9 costs 7 points, MixUp 12, GradPrune 0.99 22, InstaHide 26, and InstaHide with pruning 38.

# %% [markdown]
# ### 5. An attacker who skips the zeros wins back up to half
#
# You will see what pruning took from the plain attacker, and how much of it an attacker gets back who knows which entries were cut.

# %%
adapted = defense_tables.adaptive(sweeps)
report.save_table(adapted, "adaptive")
page.masked(adapted)

# %% [markdown]
# This is one network after 2,400 iterations, so no claim rests on it. From $p = 0.9$ on, the attacker who adapts wins back 39 to 50 %. Below there is little to win: at $p = 0.5$ the plain attacker loses almost nothing. The official attacker compares with the zeros, so its table shows pruning at its best. Yue et al. (USENIX Security 2023) warned before us that sparse gradients protect less than they seem to.
#
# MixUp has its own attacker: one who knows the keys can *decode*, that is, solve the mixtures for the images. With the encodings of four epochs that undid MixUp on this network (17.8 dB, as without a defense). The official code calls this attacker strong and unrealistic. InstaHide's encodings come out too badly to be decoded.

# %% [markdown]
# ## What did not reproduce
#
# - **Fading.** Users asked the authors why they do not get the published pictures. The answer was to attack a network of one or two epochs, because later gradients are near zero. On each of five LeNets sixteen epochs of training give *more* away than two, so the claim fails. *Supported by the lines "None" and "None, 16 epochs" above.* The cosine does not see a gradient's length, which may be why. *The lengths were not measured, so this is untested.*
# - **Statistics at the published weight.** They do not help there. *Supported by the table of weights.* LeNet has three BatchNorm layers and the ResNet-18 seventeen; *that the weight should fall with the number of layers is untested.*
# - **Batches of sixteen.** Nothing is recovered with or without a defense in 2,400 iterations (Figure 3), so defenses cannot be compared there. *Batches of two and four for 10,000 iterations are declared and not computed; other networks are untested.*
# - **Minor loss of accuracy.** Every defense costs more here than the published points: MixUp twelve points, so our reading of "minor" (less than five) fails for it. GradPrune 0.9 loses seven on average of three seeds, which decides nothing. *A larger network that trains for longer is untested.*
# - **The ResNet-18 itself** needs a GPU. One an eighth as wide was attacked for 1,000 iterations: the result is no better than each image's mean colour (the table "What was reduced"). *Whether width, iterations or weights are to blame is untested.*

# %% [markdown]
# ## Claims
#
# The paper's main claims, and two of ours. A tick means that the claim holds, a cross that it fails, a question mark that it is undecided; "not tested" means that we tried it in another regime than the paper's. "Budget" counts attacks that ended because their iterations ran out.

# %%
book.brief("statistics_tuned", "labels", "defense_gradprune_099_one", "defense_mixup_4_one",
           "defense_instahide_4_one", "utility_mixup", "fades", "signs")

# %% [markdown]
# ## Exercises
#
# Solutions: [solutions/05_huang_evaluation](solutions/05_huang_evaluation.ipynb)
#
# **Warm-up**
#
# 1. At the private image, with exact statistics, the third term of the attack is zero. The official code divides the private variance by $n - 1$ and the dummy's by $n$. How large is the term then, for one image of 24x24?
# 2. The official evaluation scores a reconstruction by the most similar image of the whole batch, so one original may count many times. Find one picture that scores well for a whole batch under this rule. What does it score when images are matched one to one?
#
# **Derive**
#
# 3. Take a network in train mode that begins with a convolution with zero padding and a BatchNorm; leave out its small constant $\varepsilon$. Show that its gradient is the same for $z$ and $c z$, for every $c > 0$. What does this say about the wrong colours above?
# 4. One epoch of MixUp gives as many equations as images. Give `attacks.decode` exact encodings with noise at 20 dB, from one, two, five and twenty epochs. When does decoding pay?
#
# **Research**
#
# 5. GradPrune cuts each tensor by itself. Cut all tensors at one threshold instead. Which layers lose their gradient, and does an attacker who skips zeros notice? *An answer* compares both at equal numbers of entries, on at least three networks, with accuracy beside privacy.
# 6. Mix with other people's images as partners (the "inter" variant of InstaHide). What would `ThreatModel` have to grant or deny about them? *An answer* names the assumption, attacks under it, and reports accuracy and privacy beside the variant above.

# %% [markdown]
# ## Appendix
#
# Settings, Figure 1 in numbers, an attack that fails, Table 1, Figure 7, every attacker, costs, training, other victims, differential privacy, strategies, the official code, sources, the whole ledger.
#
# ### Settings of both profiles
#
# All clients of a table share one trained victim. In the quick profile it is a small pre-activation ResNet on crops of photographs. In the paper profile it is a LeNet on CIFAR-10, which gets a BatchNorm behind every convolution for Figure 1.

# %%
report.table(tables.settings_in_words())

# %% [markdown]
# ### What guesses reach without a gradient
#
# The last two rows are MixUp and InstaHide encodings that were recovered *perfectly*: even these are far from the image. The last column matches a guess to the most similar of sixteen images.

# %%
guessed = tables.baselines(sweeps)
report.save_table(guessed.reset_index(), "baselines")
page.baselines(guessed)

# %% [markdown]
# ### Figure 1 in numbers, and batches

# %%
fig1 = tables.statistics(by_image) if len(by_image) else pd.DataFrame()
if len(by_image):
    report.save_table(fig1.reset_index(), "fig1_statistics")
    display(page.statistics(fig1))
page.weights_of_batches(by_weight) if len(by_weight) else None

# %% [markdown]
# An attacker who puts the exact statistics into the network ("fixed", `attacks.as_if_eval`) does worse than one who does not know them. The client's gradient flowed through the batch's mean and variance, and this attacker's does not. That is our reading and untested.
#
# In the official code exact statistics act through the third term alone: the dummy batch is always normalised with its own. "Proxy" and "none" are how we read its other settings.
#
# ### An attack that fails
#
# The same attack on the victim of the quick profile, a pre-activation ResNet of width 8, for 100 iterations, with the official example's weights. Labels and exact statistics are given, and the private crop can hardly be recognised.

# %%
crops = data.load(**IMAGES["quick"])
four = crops.clients(4, seed=seed)
narrow = models.preact_resnet(crops, width=8, blocks=(1, 1), seed=seed)
failing = client.share(narrow, four, protocol, threat=given)
attack = attacks.huang(iterations=100, tv=0.1, bn=0.005)
guess = attacks.reconstruct(failing, attack, seed=seed, record=(0, 10, 30, 60, 100))
figure = drawings.one_attack(guess, four)
report.save_figure(figure, "closely_one_attack", drawings.ALT["closely_one_attack"])

# %% [markdown]
# ### Table 1: who needs what
#
# The paper's first table lists attacks and their assumptions. Ours is read off the attacks themselves, beside what the official repository says.

# %%
table1 = tables.assumptions()
report.save_table(table1.reset_index(), "table1_assumptions")
report.table(table1)

# %% [markdown]
# *iDLG's "none" hides one: its rule reads the label of a single image. Public means that every client and the server have it. Not in this library: R-GAP (rank of the coefficient matrix), GradInversion (BatchNorm statistics, a good guess of the labels), CAFE (batch indices).*
#
# ### Figure 7: every defense

# %%
figure = drawings.gallery(sweeps, list(DEFENSES), (1,), per=4)
report.save_figure(figure, "fig7_reconstructions", drawings.ALT["fig7_reconstructions"])
report.caption(
    "Batch size 1; of each defense the strongest attacker (pruning from 0.7 on: masked; mixing: "
    "the encoding, taken for the image). P: GradPrune; Ins.: InstaHide.", undefended)

# %% [markdown]
# ### The rest of the table of defenses
#
# Time of an epoch of training, as a multiple of one without a defense: the median of several turns and their range. The victim that is attacked is the same in every row. The official code attacks MixUp and InstaHide on networks that were trained under them.

# %%
slower = defense_tables.times_slower(sweeps)
lpips = metrics.lpips_available(run.data_root, "vgg")[1] or "LPIPS (VGG) computed"
report.caption(f"{lpips}. Mid-grey: {mid_grey.mean():.1f} dB; turns: "
               f"{len(slower.get('None', ()))}.", undefended)
page.defenses_more(leak, slower)

# %% [markdown]
# The part of that table that this machine computed, in the quick profile: a pre-activation ResNet on eight crops, 100 iterations, too few images to order defenses by.

# %%
live = defense_tables.live(sweeps)
page.live(live) if len(live) else Markdown("*This run is of the paper profile: see above.*")

# %% [markdown]
# ### What was reduced, and what it does
#
# The first two rows are of the same network and images. Their difference is what the attack still gains after 2,400 iterations. Levels that were cut there are therefore low.

# %%
reduced = tables.reductions(sweeps)
report.save_table(reduced.reset_index(), "reductions")
page.indexed(reduced)

# %% [markdown]
# Between 300 and 2,400 iterations of 10,000 nothing is gained; most of the rest comes later. That the falling step size brings it is likely and untested.
#
# ### How a reconstruction is matched to an original
#
# The official evaluation takes, for each reconstruction, the best score over *all* originals of the batch. Ours assigns one to one. Mean PSNR in dB of plain attackers, by either rule:

# %%
rules = defense_tables.matching_rules(leak)
report.save_table(rules, "matching_rules")
page.matching_rules(rules)

# %% [markdown]
# In batches the official rule adds a decibel or two to every row. It gives a flat mid-grey even more (see "What guesses reach"). So by that rule, too, every row here is worse than a guess that looks at no gradient.
#
# ### Every attacker who adapts
#
# *Won back*: of what the defense took from the plain attacker, in dB, the share that this one gets back. Decoding one epoch means 50 equations for 50 images, and solving them amplifies the noise.

# %%
page.adaptive(adapted)

# %% [markdown]
# ### The cost of one image
#
# The abstract asks what it takes to recover one image end to end; its numbers are not known to us. We count the operations of one step, and how often it is repeated. Width 64 is the paper's ResNet-18.

# %%
cost = defense_tables.operations(sweeps)
report.save_table(cost, "cost")
report.save_timings(defense_tables.timings(sweeps, slower))
display(page.cost(cost))
page.cost_by_defense(defense_tables.cost_by_defense(sweeps))

# %% [markdown]
# *Seconds: LeNet, 2,400 iterations in the stored profile, on whatever else the machine was doing. Extrapolated: one step of the ResNet-18 (width 64, B = 1) x 10,000 steps x reconstructions. Decoding as in the official example inverts all 50 images of 20 epochs first.*
#
# Pruning costs the attacker nothing. Mixing multiplies the work of an attacker who decodes.
#
# ### How the attack changes as the victim trains

# %%
trained = tables.fading_cells(sweeps)
fading = tables.fading_images(trained)
faded = tables.fading(fading)
report.save_table(faded.reset_index(), "fade")
if len(fading):
    figure = drawings.fading(fading)
    report.save_figure(figure, "fade", drawings.ALT["fade"])
    report.caption("Single images, no defense.", next(iter(trained.values())))
else:
    display(Markdown(f"*{tables.NOT_YET}. The quick profile has it for a small network.*"))
page.fading(faded) if len(fading) else None

# %% [markdown]
# After 2,400 iterations, on one network, the first epoch of training costs the attacker a few decibels and later ones give them back.
#
# ### Other victims
#
# Networks without BatchNorm keep no statistics: GroupNorm, LayerNorm, a small vision transformer (ViT).

# %%
victims = tables.other_victims(sweeps)
report.save_table(victims.reset_index(), "other_victims")
if len(victims):
    whose = tables.profile_of(tables.shown(sweeps, sweeps.other_victims["ViT"])).capitalize()
    display(Markdown(
        f"*{whose}: B = 1, labels known, two epochs of training. In the paper profile GroupNorm "
        "and LayerNorm stand behind the convolutions of a LeNet; the transformer has two layers "
        f"of width 32. Mid-grey: {mid_grey.mean():.1f} dB.*"))
else:
    display(Markdown(f"*{tables.NEEDS_GPU}. The quick profile has it for small networks.*"))
page.indexed(victims) if len(victims) else None

# %% [markdown]
# ### Differential privacy
#
# The paper leaves this defense out of its table: clip each image's gradient and add noise (DP-SGD). *Epsilon* is the privacy budget that opacus' accountant gives for the training; smaller protects more, and ∞ is no guarantee.

# %%
private_training = defense_tables.dpsgd(sweeps)
report.save_table(private_training, "dpsgd")
if len(private_training):
    display(Markdown(
        "*LeNet on CIFAR-10, stored paper profile; clip 1. The budget is that of ten epochs in "
        "batches of 128; under attack is an update of one image, on which the same multiplier "
        "adds 128 times as much noise.*"))
else:
    display(Markdown("*Not computed yet: `make plan PROFILE=paper`.*"))
page.dpsgd(private_training) if len(private_training) else None

# %% [markdown]
# ### The strategies for a defender
#
# The abstract promises a list of strategies; its wording is not known to us. Each is held to a claim of the ledger, against the strongest attacker that was run.

# %%
strategies = claims.strategies(sweeps, book)
report.save_table(strategies, "strategies")
page.strategies(strategies)

# %% [markdown]
# *Not decided: fewer than three networks, p too large, the higher side no better than mid-grey, or a victim that learned nothing under the defense (accuracy below 20 %). Not tested: fewer iterations than the paper's, and no run of the whole is planned.*
#
# ### What the official code does that the paper does not say
#
# [Princeton-SysML/GradAttack](https://github.com/Princeton-SysML/GradAttack) was read at 802f230; none of it is used here.
#
# - Its "ResNet18" is a pre-activation network. The attacked checkpoint had 2 epochs, probably at batch size 64, and is not released.
# - The 50 private images are the first five training images of each class, so the victim was trained on them.
# - Exact statistics act through the third term alone. The private variance is unbiased where the dummy's is biased.
# - Images are normalised with one set of standard deviations and boxed with another, so bright and dark pixels are cut.
# - There is one start, no restart, and the last iterate counts. The weights are to be tuned for each defense, and the tuned values are not published. Our quick profile has the example's 0.1 and 0.005, LeNet has TV 0.01 throughout.
# - Partners of MixUp and InstaHide come from the 50 private images. The mixed labels are given to the attacker. Its example decodes twenty epochs; the published numbers for MixUp seem to be of decoded images.
#
# ### Sources of published numbers
#
# The paper's text was not available: its table is recalled from memory, digits may be wrong, and only its order is used, for the direction of claims on defenses.

# %%
page.sources()

# %% [markdown]
# ### The whole ledger
#
# Images of one network are averaged, at least three networks decide, and one correction covers all tests of the page. The paper's claims on defenses are read as general ones, so a LeNet may test them; with fewer than 10,000 iterations it may not.

# %%
book.save()

# %% tags=["nbval-check-output", "hide-cell"]
book.verdicts()

# %%
book.shown()

# %% [markdown]
# What is declared and not computed: `make plan NB=05_huang_evaluation PROFILE=paper`.
#
# ### References

# %%
Markdown(references.listed(
    "abadi2016", "eloul2022", "geiping2020", "he2016b", "huang2020", "huang2021", "jeon2021",
    "jin2021", "krizhevsky2009", "wang2004", "yin2021", "yousefpour2021", "yue2023", "zhang2018",
    "zhang2018b", "zhao2020", "zhu2021"))

# %% [markdown]
# ```bibtex
# @inproceedings{huang2021evaluating,
#   title     = {Evaluating Gradient Inversion Attacks and Defenses in Federated Learning},
#   author    = {Huang, Yangsibo and Gupta, Samyak and Song, Zhao and Li, Kai and Arora, Sanjeev},
#   booktitle = {Advances in Neural Information Processing Systems},
#   volume    = {34},
#   year      = {2021}
# }
# ```
