# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Inverting Gradients: match the direction of a gradient
#
# Jonas Geiping, Hartmut Bauermeister, Hannah Dröge, Michael Moeller: *Inverting Gradients: How easy is it to break privacy in federated learning?* NeurIPS 2020, [arXiv 2003.14053](https://arxiv.org/abs/2003.14053)
#
# [← iDLG](02_idlg.ipynb) · [contents](00_start_here.ipynb) · [GIAS →](04_gias.ipynb)
#
# ![Two rows of pictures: from noise, over 300, 600 and 1,200 iterations, to the end of the attack after 4,800, and the private photograph. In the upper row the face of an astronaut comes back, in the lower row the roofs of a pagoda, both in wrong colours.](../figures/paper/03_inverting_gradients/fig1_imagenet.png)
#
# *What one gradient of a deep network trained on ImageNet (EfficientNet-Lite0) gives away: the attack after 0 to 4,800 iterations, and at the right the private photographs.*
#
# *How often does it work? Ten photographs were attacked. We, who know them, recognise the subject of seven; a learned metric picks three of them first among 201. The smoothness was tuned on the astronaut.*
#
# ## In three sentences
#
# 1. **The paper says** that the *direction* of a shared gradient, together with the assumption that images are smooth, gives private images back, even from deep networks that are trained.
# 2. **We found** that behind one deep trained network most of ten photographs can be recognised, by outlines and not by colours, and that on trained LeNets the attack is 7 dB ahead of DLG's search (5 networks).
# 3. **Remember** that neither depth nor training is a protection to rely on, and that PSNR alone does not say what a picture gives away.

# %% tags=["parameters"]
profile = None  # None: the environment variable PROFILE, else "quick"; or "paper"
seed = 0
device = "auto"
data_root = None

# %% tags=["setup"]
import pandas as pd
import torch
from IPython.display import Markdown
from torch.nn.functional import cross_entropy

from lib import analytic, attacks, client, data, metrics, models, objectives
from lib.run import start
from studies import choose, references, report
from studies.inverting_gradients import claims, deep, drawings, measures, pages, plan, tables

run = start(profile, seed=seed, device=device, data_root=data_root)
report.start("03_inverting_gradients", run, paper="geiping2020")

# %% [markdown]
# ## The question
#
# In federated learning, clients keep their images and send gradients to a server. [DLG](01_dlg.ipynb) recovers images from such gradients, but only behind small smooth networks that are not trained. Does the danger end where real networks begin: many layers, ReLU, BatchNorm, weights that have learned?
#
# The attacker is the server. It is *honest but curious*: it follows the protocol and looks at what it gets. It knows the network (the *victim*), holds one gradient of one image, and knows the label. The label of a single image [can be read off](02_idlg.ipynb) the gradient anyway.
#
# Our client holds a portrait of 32 × 32 pixels. Its network is LeNet, the small convolutional network of the DLG paper, with random weights and 32 channels a layer instead of 12. The client feeds it normalised pixels, $z = (x - \text{mean}) / \text{std}$, and the attack searches for $z$ too.

# %%
photos = data.load("photos")
batch = photos.clients(1, indices=[0])
model = models.lenet(photos, channels=32, seed=seed)
protocol, known = client.Protocol(normalise=True), client.ThreatModel(labels="known")
update = client.share(model, batch, protocol, threat=known)

# %% [markdown]
# ## The idea
#
# A gradient has a length and a direction. The length says how far the network still is from knowing this image. It shrinks during training and differs from image to image. The direction says which weights this image wants changed, so the paper compares directions only. It looks for the image $z$ whose gradient points where the shared gradient $g$ points, and that is smooth except at edges:
#
# $$\min_{z \in \text{box}}\; \underbrace{1 - \frac{\langle \nabla_\theta \ell(f_\theta(z), y),\, g \rangle}{\lVert \nabla_\theta \ell(f_\theta(z), y) \rVert\, \lVert g \rVert}}_{\text{cosine distance}} + \alpha\, \mathrm{TV}(z),
# \qquad \mathrm{TV}(z) = \mathrm{mean}\,|\partial_x z| + \mathrm{mean}\,|\partial_y z| .$$
#
# Here $f_\theta$ is the network with weights $\theta$, $y$ the label and $\ell$ the cross-entropy. TV, the *total variation*, is the mean difference between neighbouring pixels. It is a *prior*: what is assumed of images before any gradient is seen. The *box* holds the pixels that exist, 0 to 1.
#
# The search is Adam, fed with nothing but the **signs** of the image's gradient. Every pixel then moves by a similar amount, however steep the objective is there. The step of 0.1 is divided by ten after 3/8, 5/8 and 7/8 of the iterations. The whole attack in plain PyTorch:

# %%
mean, std = photos.mean.view(-1, 1, 1), photos.std.view(-1, 1, 1)
g = torch.cat([t[0].flatten() for t in update.gradients.values()])  # all that was shared
starts, _ = attacks.starts(update, attacks.inverting_gradients(), seed=seed)  # N(0, 1)
z, label, losses = starts[0, 0].clone().requires_grad_(), update.labels[0], []
adam = torch.optim.Adam([z], lr=0.1)
decay = torch.optim.lr_scheduler.MultiStepLR(adam, [224, 374, 525])  # 3/8, 5/8, 7/8

# %%
for _ in range(600):
    loss = cross_entropy(model(z), label)
    gradients = torch.autograd.grad(loss, model.parameters(), create_graph=True)
    dummy = torch.cat([t.flatten() for t in gradients])
    tv = z.diff(dim=-1).abs().mean() + z.diff(dim=-2).abs().mean()
    objective = 1 - torch.cosine_similarity(dummy, g, dim=0) + 0.01 * tv
    z.grad = torch.autograd.grad(objective, z)[0].sign()
    adam.step()
    decay.step()
    z.data = z.data.clamp(-mean / std, (1 - mean) / std)  # the box
    losses.append(objective.item())

# %%
plain = z.detach() * std + mean  # as pixels in [0, 1]
psnr = float(metrics.psnr(plain[None], batch.images))
noise = starts[0, 0] * std + mean
drawings.save(drawings.live(noise, plain, batch.images[0], psnr), "closely_plain")

# %% [markdown]
# The number is the *PSNR*, $10 \log_{10}(1/\mathrm{MSE})$ in decibels, with the mean squared error of pixels in [0, 1]. Larger is better. A flat colour has about 12 dB, at 20 dB the subject can mostly be made out, and 30 dB is nearly the original.
#
# The attacker was given this, and no more:

# %%
report.table(tables.card(update).reset_index().set_axis(["about", "assumed"], axis=1))

# %% [markdown]
# The engine of this project attacks many clients at once. It walks the same path, until rounding flips the sign of a pixel whose gradient is nearly zero.

# %%
attack = attacks.inverting_gradients(iterations=600)
guess = attacks.reconstruct(update, attack, seed=seed, record=[600])
engine = guess.history.losses[:20, 0, 0]
assert torch.allclose(torch.tensor(losses[:20]), engine.cpu(), rtol=0.05), "the same path"
assert abs(psnr - float(metrics.psnr(guess.last[:, 0].cpu(), batch.images))) < 3
objectives_of = pd.DataFrame({"plain loop": losses[:20:4], "engine": engine[::4].tolist()})
report.table(objectives_of.set_axis(range(0, 20, 4)).T.rename_axis("objective at step"))

# %% [markdown]
# ### Only the direction counts
#
# What if the client halves its loss, as many programs do? A network that has nearly learned its images shortens their gradients by itself. Is the private image still the one that fits best? It should have distance 0.

# %%
rows = {}
private = (batch.images[0] - mean) / std
for name, dummy_image in {"noise": starts[0, 0], "private image": private}.items():
    begin = cross_entropy(model(dummy_image), label)
    dummy = torch.cat([t.flatten() for t in torch.autograd.grad(begin, model.parameters())])
    assert torch.isclose(1 - torch.cosine_similarity(dummy, g, dim=0),
                         objectives.cosine({"all": dummy}, {"all": g}), atol=1e-5)
    for shared_as, t in {"gradient as it is": g, "half the gradient": g / 2}.items():
        rows[f"{name}, {shared_as}"] = {
            distance: float(between({"all": dummy}, {"all": t})) for distance, between in
            {"cosine": objectives.cosine, "squared (DLG)": objectives.l2}.items()}
report.table(pd.DataFrame(rows).T.rename_axis("distance of"), cosine="{:.3f}",
             **{"squared (DLG)": "{:,.0f}"})

# %% [markdown]
# By the cosine the private image fits, whatever the length of the shared gradient. By the squared distance it no longer fits when the gradient was halved: the minimum has moved away from the private image.
#
# ### Behind a dense layer there is nothing to search for
#
# The paper also proves (Proposition 3.1) when a division is enough. For a dense layer $y = Wx + b$ the chain rule gives $\partial\ell/\partial W_i = (\partial\ell/\partial b_i)\, x^\top$. So any row $i$ with $\partial\ell/\partial b_i \neq 0$ gives the input back:
#
# $$x^\top = \frac{\partial\ell}{\partial W_i} \Big/ \frac{\partial\ell}{\partial b_i} .$$

# %%
large = data.load("photos", size=224)
astronaut = large.clients(1, indices=[0])
image = astronaut.images[0, 0]
wide = models.dense(large, hidden=(32, 16), seed=seed)  # 4.8 million weights in the first layer
shared = client.share(wide, astronaut).gradients
divided = analytic.dense_input(shared["1.weight"], shared["1.bias"]).view(large.shape)
exact = client.share(wide.double(), astronaut).gradients  # the same in float64
exactly = analytic.dense_input(exact["1.weight"], exact["1.bias"]).view(large.shape)
pair = drawings.sheet(torch.stack([image, divided])[None], [""],
                      ["private, 224 x 224", "divided out of the gradient"], width=0.62)
drawings.save(pair, "prop31_recovery")

# %% [markdown]
# The two pictures are equal up to rounding. Behind convolutions the same division gives the *features* that enter the dense layer, which are not yet the image (see the appendix). With several images it gives a mixture of them, which [notebook 06](06_mixing_gradients.ipynb) takes apart.
#
# ## The trap of PSNR in normalised space
#
# PSNR with peak 1 belongs to pixels in [0, 1]. The outputs stored in the official notebooks use the same formula on normalised pixels, where errors are larger by 1/std, so their numbers are lower. The next table has eight reconstructions after 100 iterations, on both scales:

# %%
eight = photos.clients(8, indices=range(8))
lenet = models.lenet(photos, seed=seed)
of_eight = client.share(lenet, eight, protocol, threat=known)
short = attacks.reconstruct(of_eight, attacks.inverting_gradients(iterations=100), seed=seed)
error = (short.last[:, 0].cpu() - eight.images)[:, 0]
pixels, normalised = (-10 * e.square().flatten(1).mean(1).log10() for e in (error, error / std))
trap = pd.DataFrame({"PSNR in [0, 1], dB": pixels, "in normalised space, dB": normalised,
                     "difference, dB": pixels - normalised})
report.table(trap.agg(["mean", "min", "max"]).rename_axis("of eight"))

# %%
stds = ", ".join(f"{value:.2f}" for value in photos.std.tolist())
shifts = ", ".join(f"{shift:.1f}" for shift in (-20 * photos.std.log10()).tolist())
report.caption(f"std of the three colours = {stds}, so 20 log10(1/std) is {shifts} dB.")

# %% [markdown]
# The difference is about $20 \log_{10}(1/\mathrm{std})$, or 12 dB with CIFAR-10's std of 0.25 a channel. A "13.09" stored in those notebooks is therefore about 25 dB on the scale of this page.[†](#Sources)
#
# ## Results
#
# ### A deep network trained on ImageNet gives outlines away
#
# The paper's Figures 1 and 3 show photographs recovered from a trained ResNet-18 and ResNet-152, at 224 × 224 pixels. Weights for those were not available here. EfficientNet-Lite0 is a comparable network whose ImageNet weights come with a package: 4.7 million parameters, 16 blocks with BatchNorm and ReLU6 (a ReLU cut off at 6).
#
# You will see the attack of the loop above at growing numbers of iterations, at 128 × 128 pixels and from one start. The weight of TV is 0.5, the best of three that were tried on the astronaut, whose result may therefore be too good.

# %%
sweeps = plan.declare(run)
photographs = choose.shown_of(sweeps.deep.shown, other=False)
if "trained" in photographs:
    drawings.save(deep.film(photographs["trained"], photographs.get("untrained")), "fig1_imagenet")
    report.caption("Figures 1 and 3, with EfficientNet-Lite0. Above: iterations. Below: PSNR, and "
                   "ST-LPIPS (0: alike).", photographs["trained"])
else:
    for float_id in ("fig1", "fig3"):
        report.not_made(float_id, "needs stored results: PROFILE=paper computes them")
report.save_table(deep.table(sweeps.deep), "fig1_imagenet")

# %% [markdown]
# **How convincing is this?** A person sees a face with eyes and hair, and the roofs of a pagoda. PSNR sees nothing: a picture that is grey all over scores about the same. *ST-LPIPS* is a learned distance that forgives small shifts. We ask it whether a reconstruction is *re-identified*: nearer to its own photograph than to each of 200 others. Cover the private photographs below, and try it yourself.

# %%
all_ten = pages.behind_trained(sweeps.deep)
if all_ten:
    drawings.save(deep.ranked(all_ten), "fig1_ranked")
    report.caption("All photographs that were attacked, from the nearest to the farthest by "
                   "ST-LPIPS. Below: that distance, the place of its own photograph among 201, "
                   "PSNR, and the PSNR of mid-grey.", *all_ten)
Markdown(pages.convincing(sweeps.deep))

# %% [markdown]
# No number replaces looking. The metric puts the retina first, in which we see nothing, and the rocket and the face near the hundredth place. We recognise the subject of seven: eye, pagoda, flower, cup, tissue, rocket and face. We knew the answers, so that is no test of strangers. What comes back are edges in their places; colours do not. Retina, galaxies and motorcycle stay hidden.

# %% [markdown]
# Three things differ from the paper: the network, the photographs' size, and their labels, which are the network's own guesses. The official notebooks reach about 10 dB in [0, 1] with ResNet-18 after 24,000 iterations from each of eight starts.[†](#Sources)
#
# **Predict before you run.** Two attacks meet the same LeNets and images of CIFAR-10: L-BFGS (a second-order search) on the squared distance, as in DLG, and the attack of this page. Which of the two is ahead before training, and which after? Which one fails *gradually*, with pictures that are merely worse?
#
# ### On trained LeNet the direction wins, on untrained LeNet it loses
#
# Figure 2 shows the first six images, each attacked alone.

# %%
pictures = measures.lenet_attacks(sweeps)
drawings.save(drawings.fig2(pictures), "fig2_pictures")
report.caption("Figure 2. PSNR in dB under each picture.", *pictures.values())

# %%
published = report.published("geiping2020")
report.save_table(tables.table1(sweeps, published), "table1_comparison")
report.caption("Table 1, LeNet. PSNR in dB, mean ± standard deviation over n images, or over "
               "networks for the images that both attacks met. †: see Sources in the appendix.")
pages.shown(pages.lenets(sweeps, published))

# %% [markdown]
# L-BFGS is all or nothing: it ends close to the image, or in noise. On untrained LeNet it succeeds often enough to be 14 dB ahead on average (12 networks). On trained LeNet it fails on most images, and the cosine is 7 dB ahead (5 networks). The cosine attack fails gradually: its pictures are blurred or grainy, but mostly of the right thing.
#
# Both orders are the paper's. The paper's second network, ResNet20-4, needs a GPU and was not attacked.
#
# ### After training, gradients differ fiftyfold in length
#
# Why does the direction help? Fifty training images are followed while two networks learn them. The lower panels move each image by a little noise and ask both distances how far its gradient has moved.

# %%
paths = choose.shown_of(sweeps.training_paths)
drawings.save(drawings.along_training(paths), "along_training")
report.caption(tables.paths_note(paths))

# %% [markdown]
# The ResNet learns its images by heart and ends with gradients that differ in length about fiftyfold. The squared distance grows with the square of the length, so it differs far more; the cosine distance differs about sixfold. With the cosine, a step or a weight of TV that suits one image is more likely to suit the next.
#
# LeNet does not show this: its lengths differ about fourfold. Its cosine distance even collapses in the first epoch. One network of each kind illustrates the argument and proves nothing.
#
# ### At the paper's learning rate, a hundred local steps are nearly one gradient
#
# In *federated averaging* a client trains for several steps before it shares the difference of the weights. The paper runs the same steps on the dummy images and differentiates through all of them. With $z_k$ the dummy images of local step $k$ and $\tau$ the client's learning rate,
#
# $$\theta_{k+1}(z) = \theta_k(z) - \tau \nabla_\theta \ell\big(f_{\theta_k(z)}(z_{k}), y_{k}\big), \qquad \min_z\; 1 - \cos\big(\theta_K(z) - \theta_0,\; \Delta\theta\big) + \alpha\,\mathrm{TV}(z).$$
#
# The paper says that the attack is "unimpeded" by a hundred local steps.[†](#Sources) How far do the weights move in these steps? The table shows the cosine between the shared difference and a single gradient, as a mean of three networks and two photographs:

# %%
two = photos.clients(2, indices=[0, 2])


def agreement(victim, steps, rate) -> float:
    """Cosine between the weight difference and minus the gradient, mean over two photos."""
    local = client.Protocol(normalise=True, sends="weights", local_lr=rate, epochs=steps)
    change = client.share(victim, two, local, threat=known).gradients
    gradient = client.share(victim, two, protocol, threat=known).gradients
    a, b = (torch.cat([t.flatten(1) for t in sent.values()], 1) for sent in (change, gradient))
    return float(-torch.cosine_similarity(a, b).mean())


# %%
angles = pd.concat({
    network: tables.angles(agreement, {"LeNet": models.lenet(photos, seed=seed + network),
                                       "ConvNet8": models.convnet(photos, 8, seed=seed + network)})
    for network in range(3)})
mean_angles = angles.groupby(level=1, sort=False).mean()
report.save_table(mean_angles.round(4), "local_steps_angle")
report.table(mean_angles.rename_axis("network, local steps"),
             **dict.fromkeys(mean_angles, "{:.3f}"))

# %% [markdown]
# At $\tau = 10^{-4}$, the default of the official code, the weights hardly move. Even a hundred steps share nearly *the gradient*, up to its length. At $10^{-1}$ the update of ConvNet8 (a small convolutional network of width 8) points elsewhere, because the later steps have other gradients. LeNet's update keeps its direction: after its first step the network is so sure of the label that the later steps change hardly anything.
#
# The appendix has attacks on such updates (Table 2, Figure 5).
#
# ## Beyond the paper: sums of clients, and parts of an update
#
# ### Among sixteen clients little of an image is left
#
# With *secure aggregation* the server sees one weighted mean of its clients' updates, $\bar g = \sum_k w_k\, g_k$, and no single one. `client.aggregate` makes that mean:

# %%
several = client.share(lenet, photos.clients(4, indices=range(4)), protocol, threat=known)
aggregate = client.aggregate(several)  # weights: by the number of images, as in FedAvg
for name, gradient in several.gradients.items():
    assert torch.allclose(aggregate.gradients[name], gradient.mean(0, keepdim=True), atol=1e-6)

# %%
from studies.inverting_gradients import shared_drawings as sheets
from studies.inverting_gradients import shared_tables as shares

means = shares.cells_of(sweeps.shared.means)
drawings.save(sheets.among(means), "several_clients")
report.caption("Two images behind one untrained LeNet, alone and in means; PSNR in dB.",
               means["LeNet", 1])

# %% [markdown]
# On average an image has 20 dB alone, 17 in a mean of two, 16 of four or eight, and 15 of sixteen (three networks, eight images). The mean colour has 13. ResNet-20 hardly beats it even alone, so nothing follows for its sums.
#
# ### The head gives the label away, the other layers give the picture
#
# A client may send only a part: the rest is frozen or encrypted, or *adapters* of low rank are trained beside frozen weights (LoRA). The objective then compares that part alone.

# %%
parts = shares.cells_of(sweeps.shared.parts)
drawings.save(sheets.parts(parts), "partial_updates")
report.caption(f"One image, untrained networks, PSNR in dB. {shares.patches_note(sweeps.shared)}")

# %% [markdown]
# The last layer, the *head*, gives label and features away, and little of the picture. On LeNet all *other* layers give more than the whole: 22.5 against 20.1 dB (eight networks). The head may drown the others in one cosine (untested). Without it, a joint search still finds the label (8 of 8).
#
# The ViT shows how PSNR deceives. Its *patches* come back, in wrong places, even from its first layer alone: before training it hardly knows their order.
#
# ## Audit an update of your own
#
# You hold a model, and what one of your clients sent, made by plain PyTorch. No batch is needed to audit it.

# %%
torch.manual_seed(seed)  # of the network's weights
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 8, 5, 2, 2), torch.nn.ReLU(), torch.nn.BatchNorm2d(8), torch.nn.Flatten(),
    torch.nn.Linear(8 * 16 * 16, 10)).eval()
x, y = (batch.images[0] - mean) / std, batch.labels[0]
(0.5 * cross_entropy(net(x), y)).backward()  # the loss has a factor 1/2
sent = {name: p.grad.clone() for name, p in net.named_parameters()}  # all that leaves the client

mine = client.SharedUpdate.from_gradients(
    net, sent, client.Protocol(normalise=True), shape=(3, 32, 32), num_classes=10,
    mean=photos.mean, std=photos.std)
report.table(attacks.diagnose(mine, attacks.dlg()))

# %% [markdown]
# `diagnose` looks for reasons why an attack must fail. Three lines warn. The factor of one half would send DLG's squared distance astray, while the cosine does not see it. ReLU has no useful second derivative, so L-BFGS is lost. And there are fewer equations than pixels, so a prior has to fill in the rest: expect a grainy picture. All three speak for the attack of this page.

# %%
audited = attacks.reconstruct(
    mine, attacks.inverting_gradients(iterations=400, tv=1e-3), restarts=2, seed=seed)
best = audited.last[0, int(audited.loss.argmin()), 0].cpu()
pair = drawings.sheet(torch.stack([batch.images[0, 0], best])[None], [""],
                      ["private", "reconstruction"], width=0.5)
drawings.save(pair, "closely_audit")
after = attacks.diagnose(mine, attacks.inverting_gradients(), audited)
report.table(after[after.verdict != "ok"])

# %% [markdown]
# Little comes back: where the dark hair and the dark clothes are. Nobody can tell who it is. Under another seed the network has other weights, and more or less comes back. `mine.save(path)` and `client.SharedUpdate.load(path, net)` keep an update. `SharedUpdate.from_weights(before, after, model, protocol, ...)` takes two state dicts instead of gradients.
#
# ## What did not reproduce
#
# - **Deep networks of the paper's width** were not attacked, for want of a GPU. Their narrow relatives end near the PSNR of the mean colour, after a tenth of the iterations or fewer. The claims about them are *not tested*. "Wider networks leak more" is what eight networks of each width show after 300 iterations.
# - **How far L-BFGS is ahead on untrained LeNet.** The published mean is 46 dB.[†](#Sources) Ours is lower, and hangs on the network: on two of twelve L-BFGS is behind, by 3 and 9 dB. A lucky network would explain the gap; the table of networks in the appendix supports that. So would the best of 16 restarts (untested).
# - **The parts of the attack** (Table 3). The paper says that TV changes little and that L-BFGS fails. Behind one trained LeNet the attack ends in noise without TV, and L-BFGS on the cosine does as well as signed Adam. So does Adam without signs. That the paper's ResNet is deep and has ReLUs may be the reason (untested).
# - **A large batch** (Figure 6). Of 95 images of CIFAR-100 behind one LeNet none is above 18 dB. The paper's network is far wider and gets ten times the iterations (untested).
# - **Local steps** (Table 2, Figure 5). On one LeNet the number of images and steps matters less than published. At a hundred steps one image of four is above 15 dB, and it loses 6 dB against four steps. At 300 iterations this tests nothing.
#
# The appendix has [more on these](#More-on-what-differs).
#
# ## Claims
#
# A claim is decided by networks: images behind one network are averaged, and fewer than three networks decide nothing. A claim that was tried only on another kind of network, or with a fraction of the paper's iterations, is *not tested*. The appendix has all claims.

# %%
ledger = claims.ledger(sweeps, angles, float((exactly - image.double()).abs().max()))
ledger.save()
ledger.brief("LeNet_trained", "lenet_untrained", "direction_is_steadier", "steps_are_one_gradient",
             "large_steps_are_not", "wider", "loss_ranks_restarts", "prop31")

# %% [markdown]
# ## Exercises
#
# Solutions: [solutions/03_inverting_gradients](solutions/03_inverting_gradients.ipynb)
#
# **Warm-up**
#
# 1. The squared distance divided by $\lVert g \rVert^2$ does not depend on the unit of the gradient either. In what does it differ from the cosine? Try `replace(attacks.inverting_gradients(), objective=objectives.relative_l2)`.
# 2. A client shares in train mode: `client.Protocol(mode="train")` with a batch of four. What does `attacks.diagnose` say, and what becomes of the attack?
#
# **Derive**
#
# 3. Count, by the chain rule, how many equations a gradient gives for the pixels, as in [notebook 01](01_dlg.ipynb) (`analytic.gradient_equations`). What does the count say about 4, 12 and 32 channels, and what does it leave open?
# 4. The client shuffles its images between local epochs, and the attacker does not know the order. Show that the order changes the update in the second order of $\tau$ only. Does it matter at $\tau = 10^{-4}$, and at $10^{-1}$?
#
# **Research**
#
# 5. Prune the update (`defenses.GradPrune(0.9)`) and attack it with `inverting_gradients(masked=True)` and without. Which of the two should a defender report? An answer states a rule for choosing the attack, and tests it on at least three networks and two defenses.
# 6. How can an attacker, who does not have the private image, choose the weight of TV? An answer is a rule that uses the update alone, and its loss in dB against the best weight, on images on which it was not tuned.
#
# ## Appendix
#
# ### Settings of both profiles
#
# The client's model is in eval mode, unless said. `studies/inverting_gradients/plan.py` declares the experiments in two profiles: the quick one (small and fast, for reading and for tests) and the paper's.

# %%
report.table(tables.settings(sweeps))

# %% [markdown]
# In the paper profile the iterations are the paper's where a CPU affords them (LeNet), and a tenth where it does not; each table says so. The paper's networks of full width are declared with the paper's settings. `make figures PROFILE=paper DEVICE=cuda NB=03_inverting_gradients` computes them. The preset of the attack:

# %%
attacks.inverting_gradients()  # the settings of Table 1

# %% [markdown]
# When labels are not granted, the preset reads a single label off the gradient (`labels="idlg"`, the default). It refuses a batch, where that rule does not apply; another rule, or `labels="joint"`, may do.
#
# ### One attack on the usual LeNet, seen closely
#
# One photograph behind the untrained LeNet with 12 channels, from noise to the end, at the paper's 4,800 iterations.

# %%
if run.quick:
    closely = sweeps.lenet.run()
    drawings.save(drawings.strip(closely), "closely_strip")
    report.caption(
        "PSNR in dB under each picture; columns are iterations. The outline is there early, under "
        "noise; the noise leaves when the steps shrink (after 1,799, 2,999 and 4,203 iterations).",
        closely)

# %% [markdown]
# ### Proposition 3.1 behind convolutions: the features

# %%
features = analytic.dense_input(of_eight.gradients["7.weight"], of_eight.gradients["7.bias"])
z_eight = client.to_input(eight.images[:, 0], normalised_in=False, normalised_out=True,
                          mean=eight.mean, std=eight.std)
truly = lenet[:7](z_eight).detach()
drawings.save(drawings.features(eight.images[0, 0], features[0].view(12, 8, 8)), "prop31_features")
report.table(pd.Series({
    "dense network, 224 x 224 pixels, float32": float((divided - image).abs().max()),
    "the same, float64": float((exactly - image.double()).abs().max()),
    "LeNet: features before the dense layer, float32": float((features - truly).abs().max()),
}, name="largest error").rename_axis("division"))

# %% [markdown]
# *Features are scaled to their own range: some hint at where the subject is, none is the image.* A defense must alter the gradient of the first dense layer, or the network must mix the pixels before that layer.
#
# ### Figures 1 and 3: all that is stored of the deep network

# %%
pages.shown(pages.sets(sweeps.deep))

# %%
pages.shown(pages.photographs(all_ten)) if all_ten else None

# %% [markdown]
# AVD compares the differences between neighbouring pixels of both pictures (0: alike). The private photograph's label is the one that the trained network gives it, so its loss is small, as on data that the network knows. Over the whole set, the mean colour alone has 9.2 dB (astronaut) and 8.1 dB (pagoda). `studies/inverting_gradients/deep_sweeps.py` also declares sixteen photographs of ImageNet, and the same network untrained. Each photograph takes 12 to 28 minutes of one core, and the tables show the sets that are stored. The ten are the whole set `photos`: none was left out.
#
# The paper's own networks at its own size stay declared; they need a GPU, or `make weights`. An untrained ResNet-18 with the ImageNet stem was attacked at 112 pixels for 300 iterations. Nothing can be recognised, and so short an attack tests neither figure.

# %%
pages.shown(tables.fig1(sweeps))

# %% [markdown]
# ### Table 1: two objectives, two networks, trained or not
#
# Single images, the first of the CIFAR-10 test set, PSNR in dB. "Euclidean + L-BFGS" is the search of DLG with labels known. The weight of TV is the published 0.01 for every column, since it is known for untrained LeNet only. The published row of L-BFGS may be the best of 16 restarts; ours is one start throughout.

# %%
here = choose.here_of({column: sweeps.table1[column] for column in [
    ("LeNet", "untrained", "cosine"), ("LeNet", "untrained", "Euclid"),
    ("ResNet20-1", "trained", "cosine")]})
report.caption(tables.table1_note(sweeps), *here.values())
pages.shown(tables.table1(sweeps, published))

# %% [markdown]
# One network stands behind each published column. Is its ± the whole uncertainty? Several LeNets, the same images:

# %%
networks = tables.networks(sweeps)
report.save_table(networks, "table1_networks")
report.table(networks.T.rename_axis("of PSNR in dB"))

# %% [markdown]
# How much hangs on the weight of TV? Untrained LeNet, the first images of CIFAR-10:

# %%
weights = tables.tv_weight(sweeps)
if len(weights):
    report.save_table(weights, "tv_weight")
report.table(weights.reset_index())

# %% [markdown]
# ### Table 2: federated averaging
#
# Epochs $E$, images $n$, local batch $B$, local learning rate $\tau = 10^{-4}$.

# %%
table2 = tables.table2(sweeps, published)
report.save_table(table2, "table2_fedavg")
here = choose.here_of({column: sweeps.table2["LeNet", column] for column in table2.index})
report.caption("PSNR in dB, mean ± standard deviation over images; images of one client are not "
               "independent. –: not computed.", *here.values())
pages.shown(table2)

# %% [markdown]
# ### Figure 5: local steps and learning rate

# %%
fig5 = measures.local_steps(sweeps)
mean_colour = measures.mean_colour(sweeps.mean_colour)
drawings.save(drawings.fig5(fig5, mean_colour), "fig5_local_steps")
report.caption("Every image is a dot, the median a bar (with quartiles from eight images on).",
               *fig5.values())
steps_table = tables.fig5(sweeps, published)
report.save_table(steps_table, "fig5_local_steps")
pages.shown(steps_table)

# %% [markdown]
# ### Figure 4: width and depth
#
# ResNets of four stages (torchvision's kind) that begin with one 3 × 3 convolution instead of ImageNet's large one and its pooling; untrained.

# %%
fig4 = measures.narrow_resnets(sweeps)
drawings.save(drawings.fig4(fig4, mean_colour), "fig4_width_depth")
report.caption("The paper's five networks at its 4,800 iterations need a GPU. The others have 300, "
               "and a network of its own for each image.", *fig4.values())
width_table = tables.fig4(sweeps, published)
report.save_table(width_table, "fig4_width_depth")
pages.shown(width_table)

# %% [markdown]
# ### Figure 6: a large batch with labels that differ
#
# The paper attacks a batch of 100 CIFAR-100 images, one of each class, labels known, and shows the five most recognisable. Its code trains the ResNet32-10 for ten epochs, while the text of its successor calls it untrained; ours is untrained. Our CIFAR-100 is a sample with 95 classes. Labels are known and differ, so every reconstruction has its place, and nothing is matched.

# %%
ten = sweeps.fig6["ten classes, LeNet"].shown()
drawings.save(drawings.fig6(ten), "fig6_large_batch")
report.caption("The first batch, all labels different; sorted by PSNR (dB).", ten)
batch_table = tables.fig6(sweeps)
report.save_table(batch_table, "fig6_large_batch")
pages.shown(batch_table)

# %% [markdown]
# ### Table 3: which part does the work?
#
# The paper takes a trained ResNet-18 and the first ten images of CIFAR-10. On a CPU: a trained LeNet, 24 images, and a narrow ResNet-18. "L-BFGS instead of Adam" also drops signs, box and decay, as the official code does. "L2" keeps the weight of TV, although the squared distance has another scale than the cosine; the row without TV tells the two apart.

# %%
table3 = tables.table3(sweeps, published)
report.save_table(table3, "table3_ablation")
report.caption("All victims are trained.",
               *choose.here_of({"basic": sweeps.table3["narrow", "basic"]}).values())
pages.shown(table3)

# %% [markdown]
# ### A dishonest server
#
# A server may send whatever model it likes. The official code has a switch (`--label_flip`) for a server that permutes the rows of the classification layer. A trained model is then sure of a *wrong* class, and the image's gradient is as large as it can be.

# %%
servers = choose.shown_of(sweeps.servers)
drawings.save(drawings.servers(servers), "dishonest_server")
report.caption("Trained on these very images; the same weights but for the permutation. Accuracy "
               "is on test images and before it.", *servers.values())
recovered = tables.servers(servers)
report.save_table(recovered, "dishonest_server")
report.table(recovered)

# %% [markdown]
# ### The distance tells the attacker which start was best
#
# The attacker cannot compute a PSNR. Can it tell good reconstructions by the distance that is left? The left panel joins six starts of the same image by a line.

# %%
restarts = sweeps.restarts.shown()
study = measures.restarts(restarts)
drawings.save(drawings.restarts(study), "loss_and_picture")
report.caption(tables.restarts_note(study), restarts)

# %% [markdown]
# Behind this one untrained LeNet a lower distance nearly always means a better picture. Choosing by the distance (without TV) gains almost as much as choosing by the private image, but the gain is below 1 dB. A third party reports the opposite for two weights of TV on another network:[†](#Sources) between *settings* the distance measures nothing.
#
# ### Several clients aggregated
#
# With secure aggregation the server sees only the mean over clients. For one gradient each, that is the gradient of one large batch, so a batch of $B$ images *is* $B$ aggregated clients. What survives of an image among 1, 2, 4, 8?

# %%
four_clients = client.share(lenet, photos.clients(4, indices=range(4)), protocol).gradients
one_client = client.share(lenet, photos.clients(1, 4, indices=[range(4)]), protocol).gradients
for name, gradient in one_client.items():
    assert torch.allclose(four_clients[name].mean(0), gradient[0], atol=1e-6)

# %%
batches = choose.shown_of(sweeps.batches)
drawings.save(drawings.aggregated(batches, mean_colour), "aggregated")
report.caption("Untrained, labels known.", *batches.values())
survived = tables.aggregated(batches)
report.save_table(survived, "aggregated")
report.table(survived)

# %% [markdown]
# ### Sums of clients and parts of an update, in numbers
#
# Labels are known, but where a search for them is said. The labels of one gradient each can be [counted](02_idlg.ipynb) in a sum; only whose they are stays unknown. After local steps the attack simulates each client by itself (not measured here). Among sixteen clients, whether more than the mean colour is left is undecided.
#
# LeNets are attacked at the paper's 4,800 iterations, in means whose images are the same at every size. ResNet-20 has width 16 and 600 iterations (400 for parts), on one network (parts: four), the small ViT has width 32, two layers and 1,200 iterations. A CPU affords no more.

# %%
drawings.save(sheets.falling(means), "several_clients_psnr")
report.caption("Every dot is one image behind one network.", *means.values())
in_means = shares.means(sweeps.shared)
report.save_table(in_means, "several_clients")
pages.shown(in_means)

# %% [markdown]
# Parts of an update. *Numbers*: those that are not 0; before the first step an adapter has a gradient in one of its two factors only. *Read*: by the rule that needs one image and no more, from the signs of the head's rows. *Searched*: optimised with the image.

# %%
of_parts = shares.parts(sweeps.shared)
report.save_table(of_parts, "partial_updates")
pages.shown(of_parts)

# %% [markdown]
# ST-LPIPS calls every attack better than the mean colour, since a flat picture has no texture at all. It tells attacks apart, and is no proof that something was recovered.
#
# ### What a reconstruction costs

# %%
costs = tables.costs(sweeps)
report.save_timings(costs)
report.table(costs)

# %% [markdown]
# Seconds include tracing. The same search on the paper's networks is 16 to 64 times the work, which needs a GPU.
#
# ### What the official code does that the paper does not say
#
# Read in [JonasGeiping/invertinggradients](https://github.com/JonasGeiping/invertinggradients) at 1157b61; none of it is used here.
#
# - **Eval mode on both sides**: BatchNorm uses stored statistics, which an untrained network has at mean 0 and variance 1. Gradients taken in train mode were not considered (issue 6 there).
# - **CIFAR-10's mean and std** are used for the box and for display in the ImageNet and CIFAR-100 notebooks.
# - **Stored PSNRs are in normalised space** in the notebooks; the scripts are right.
# - **0.5 times the cross-entropy** made the client's gradient until March 2021 while the attacker had the whole: harmless for the cosine, a handicap of two for the Euclidean row of Table 1. That the paper's runs had it is inferred.
# - **The last iterate** counts, and among restarts the one with the smallest distance *without* TV. Ours chooses by the objective with TV.
# - **L-BFGS** ignores the configured learning rate (it is 1), has no box, no TV unless given.
# - **Widths 8, 16 and 32 of ConvNet** all build width 64.
# - **The defaults** of the configuration are unsigned with TV 0.1, which is not the paper's setting.
# - **A batch's labels**, when they are not given, are one logit vector for all images.
# - **Before September 2020** the local steps of federated averaging were of the full batch.
#
# **Deviations.** Images are the paper's, the first of CIFAR-10's test set. Victims train on 30,000 training images (or fewer, where the settings say so) instead of 50,000, and for fewer epochs. L-BFGS cells have 24 images instead of 100. Restarts are chosen by the objective with TV, except in the section on restarts. Local steps take the batch in its order, without shuffling.
#
# ### More on what differs
#
# - **Networks of the paper's width** are ResNet20-4, ResNet-18 and deeper at width 64, ConvNet64, ResNet32-10, and all of ImageNet's size. A CPU needs minutes to an hour an image. ResNet-18 of width 32 ends 3 dB above the mean colour (8 networks). ConvNet8 matches the gradient's direction closely (objective below 0.01) and still returns the wrong image. The ResNets stop at 0.01 to 0.14 after 300 to 400 iterations, so theirs may be unfinished searches. *Width and iterations were not varied apart: untested.*
# - **Trained LeNet**: the order reproduces on each of five networks. L-BFGS brings a third of the images above 24 dB behind the first network, behind the others nearly none. Nearly all of its attacks used up their 6,000 gradients, so longer ones might find more. Our victims are trained for six epochs, theirs for 120, and classify two images of five right. *Untested.*
# - **Table 3** is about a ResNet-18 of width 64 and 4,800 iterations. Ours is about one LeNet and half of that, so its rows are not tested. A network with fewer equations needs the prior more (untested). On the narrow ResNet-18 leaving TV out costs two dB, and L-BFGS ends 6 dB lower, but there every attack fails. LeNet's sigmoids are smooth; that ReLU is the reason is *untested*.
# - **Signs**: behind that LeNet plain Adam does better than Adam on signs, at 2,400 iterations. The paper's argument for signs is about deep networks. *One network: undecided.*
# - **A dishonest server** recovers more, on one trained network and after a tenth of the iterations, and little is recovered from either server: *not tested*.
# - **Local steps**: the cosines above show that the update is nearly the gradient. They do not show that 300 iterations find the image. The published break at τ = 0.1 is not tested either: the narrow ConvNet fails at every τ, and LeNet fits its image in the first step.
# - **A third party reports that a lower distance came with a worse image.** Between restarts and between images of one setting it is the other way round behind the one network that was tried here. One network decides nothing, and the report compares two weights of TV.
# - **A large batch**: the mean of the 95 images is no better than a flat colour's.
#
# ### Sources
#
# † The paper's text was not available, so every published number comes from elsewhere, and the table says how sure it is. *read*: in the official code or its notebooks. *quoted*: verbatim in works of third parties. *recalled*: from memory. Recalled numbers are shown for orientation and decide nothing. Values "in [0, 1]" are inferred from normalised space; 0.25 a channel is assumed.
#
# The word "unimpeded" is quoted from a third party's survey. The published 18.00 ± 3.33 dB of the cosine on untrained LeNet is quoted; that a lower distance came with a worse image is quoted with it.

# %%
report.table(pages.sources(published))

# %% [markdown]
# ### All claims
#
# They are decided from the stored paper profile where it is there, else from this run. Comparisons are of the same images behind the same networks. Attacks at the paper's iterations on several networks are declared in `studies/inverting_gradients/full_sweeps.py`. `make figures PROFILE=paper` computes them in some seven hours of one core; then they decide.

# %%
full = tables.full(sweeps)
if len(full):
    report.save_table(full, "full_length")
report.table(full)

# %%
ledger.shown()

# %% tags=["nbval-check-output", "hide-cell"]
ledger.verdicts()

# %% [markdown]
# ### References
#
# Ghildyal and Liu's ST-LPIPS measures likeness in a way that forgives small shifts.

# %%
Markdown(references.listed(
    "geiping2020", "ghildyal2022", "he2016", "kingma2015", "krizhevsky2009", "mcmahan2017",
    "wang2004", "zhu2019"))

# %% [markdown]
# ```bibtex
# @inproceedings{geiping2020inverting,
#   title     = {Inverting Gradients: How Easy Is It to Break Privacy in Federated Learning?},
#   author    = {Geiping, Jonas and Bauermeister, Hartmut and Dr{\"o}ge, Hannah and Moeller, Michael},
#   booktitle = {Advances in Neural Information Processing Systems},
#   volume    = {33},
#   year      = {2020}
# }
# ```
