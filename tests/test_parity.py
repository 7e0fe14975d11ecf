"""Every preset against a plain autograd loop that shares no code with lib (bench/plain.py).

In float64, for a few iterations, with two clients: iterates, label logits and objectives agree to
1e-8. The settings of the plain loop are written out in each row, not read off the preset.
"""

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
import torch
from tiny import Shape
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import parameters_to_vector

from lib import attacks, client, data, defenses, models, objectives, run

sys.path.append(str(run.ROOT / "bench"))
import plain

SHAPE, CLASSES = (2, 5, 6), 4  # two channels and unequal sides: no axis is mistaken for another
MEAN, STD = torch.tensor([0.25, 0.5]), torch.tensor([0.5, 0.25])  # the box is (-0.5, 1.5), (-2, 2)
KNOWN = client.ThreatModel(labels="known")
IN_Z = client.Protocol(normalise=True)
STEPS = client.Protocol(local_lr=0.2, sends="weights", epochs=2, local_batch=2)
MANY_STEPS = client.Protocol(local_lr=0.2, sends="weights", epochs=6, local_batch=1)
MOMENTUM = replace(STEPS, momentum=0.6, weight_decay=0.1)
TRAIN = client.Protocol(mode="train", normalise=True)


# ---- victims


def dense(images=None, seed=0):
    return models.dense(Shape(SHAPE, CLASSES), (7,), seed=seed)


def with_batch_norm(images=None, seed=0):
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(2, 3, 3, bias=False), nn.BatchNorm2d(3), nn.Sigmoid(),
                        nn.Flatten(), nn.Linear(3 * 3 * 4, CLASSES))
    net[1].running_mean.copy_(torch.tensor([0.3, -0.2, 0.1]))
    net[1].running_var.copy_(torch.tensor([2.0, 0.5, 1.5]))
    nn.init.uniform_(net[1].weight, 0.5, 1.5)
    return net.eval()


def without_negative_features(images=None, seed=0):
    return models.dense(Shape(SHAPE, CLASSES), (9,), "relu", seed=seed)


def small_generator():
    """Latents (B, 5) -> images (B, 2, 5, 6) in [0, 1]; it was trained on nothing."""
    torch.manual_seed(1)
    net = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 60), nn.Sigmoid(),
                        nn.Unflatten(1, SHAPE)).double()
    net.latent, net.trained_on = (5,), None
    return net


def smooth_l1(logits, target):
    return nn.functional.smooth_l1_loss(logits, 3 * target)


# ---- the plain attack


@dataclass(frozen=True)
class Plain:
    """The settings of one attack, as the plain loop takes them."""

    distance: Callable = plain.cosine
    optimizer: str = "adam"  # of OPTIMIZERS
    lr: float = 0.1
    tv: float = 0.0
    magnitude: bool = False  # tv is of |x|
    bn: float = 0.0
    orthogonality: float = 0.0
    norm: float = 0.0
    in_z: bool = True  # images are optimised as (x - mean) / std
    joint: bool = False  # label logits are optimised too
    signed: bool = False
    decay: bool = False
    box: bool = False


@dataclass(frozen=True)
class Row:
    """One attack of lib, the plain settings that it must equal, and what is attacked."""

    name: str
    attack: attacks.Attack
    plain: Plain
    victim: Callable = dense
    B: int = 1
    protocol: client.Protocol = field(default_factory=client.Protocol)
    threat: client.ThreatModel = field(default_factory=client.ThreatModel)
    defense: object = None
    restarts: int = 1
    ensemble: bool = False
    as_if_eval: bool = False


def of_column(t: Tensor) -> Tensor:
    return t.double().view(-1, 1, 1)


def to_z(x: Tensor) -> Tensor:
    return (x - of_column(MEAN)) / of_column(STD)


def to_x(z: Tensor) -> Tensor:
    return z * of_column(STD) + of_column(MEAN)


class Problem:
    """One client of a row: what it computed, and the objective of dummy images and targets."""

    def __init__(self, row: Row, private, sent: dict, k: int, statistics=None):
        model = row.victim(seed=k if row.ensemble else 0).double()
        p = self.protocol = row.protocol
        self.settings, self.stored = row.plain, statistics
        if self.stored is None:
            self.stored = [(m.running_mean.clone(), m.running_var.clone())
                           for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        model.train(p.mode == "train" and not row.as_if_eval)
        self.client = plain.Client(model, p.loss, p.local_lr, p.epochs, p.local_batch,
                                   p.momentum, p.nesterov, p.weight_decay)
        self.sent = [sent[name][k] for name, _ in model.named_parameters()]
        self.hard = nn.functional.one_hot(private.labels[k], CLASSES).double()

    def fed(self, images: Tensor) -> Tensor:
        if self.settings.in_z == self.protocol.normalise:
            return images
        return to_z(images) if self.protocol.normalise else to_x(images)

    def value(self, images: Tensor, target: Tensor, variables: Tensor | None = None) -> Tensor:
        """The objective; `images` in the space of the attack."""
        own, fed = self.settings, self.fed(images)
        total = own.distance(plain.update_of(self.client, fed, target), self.sent)
        if own.tv:
            smooth = images.abs() if own.magnitude else images
            total = total + own.tv * plain.total_variation(smooth)
        if own.orthogonality:
            total = total + own.orthogonality * plain.mean_squared_cosine(images)
        if own.norm:
            total = total + own.norm * (images if variables is None else variables).norm()
        if own.bn:
            distance = plain.batch_norm_distance(self.client.model, fed, self.stored)
            total = total + own.bn * distance
        return total

    def attack(self, x: Tensor, z: Tensor | None, iterations: int):
        """(last images in [0, 1], last label logits or None, objectives) from a start."""
        images = [image.clone().requires_grad_() for image in x]
        logits = [] if z is None else [row.clone().requires_grad_() for row in z]
        together = [x.clone().requires_grad_()]
        together += [] if z is None else [z.clone().requires_grad_()]
        in_turn = self.settings.optimizer == "in_turn"

        def now():
            if in_turn:
                return torch.stack(images), torch.stack(logits) if logits else None
            return together[0], together[1] if len(together) > 1 else None

        def objective():
            seen, free = now()
            return self.value(seen, self.hard if free is None else free.softmax(-1))

        if in_turn:
            groups = [list(group) for group in zip(*filter(None, (images, logits)), strict=True)]
            losses = plain.lbfgs_in_turn(groups, objective, iterations, self.settings.lr)
        else:
            losses = run_plain(self.settings, together, objective, iterations)
        losses.append(objective().detach())
        seen, free = (None if t is None else t.detach() for t in now())
        return to_x(seen) if self.settings.in_z else seen, free, torch.stack(losses)


def run_plain(own: Plain, variables: list, objective: Callable, iterations: int) -> list:
    if own.optimizer == "adam":
        ends = [torch.full(SHAPE, end, dtype=torch.float64) for end in (0.0, 1.0)]
        box = [to_z(end) if own.in_z else end for end in ends] if own.box else None
        return plain.adam(variables, objective, iterations, own.lr, own.signed, own.decay, box)
    if own.optimizer == "lbfgs":
        return plain.lbfgs(variables, objective, iterations, own.lr)
    # Ours: a line search walks on the objective divided by its start below 1, and in float64 by
    # the precision beyond float32.
    size = min(1.0, float(objective().detach())) * 2.0**-29
    losses = plain.lbfgs_line_search(variables, lambda: objective() / size, iterations, own.lr)
    return [size * loss for loss in losses]


# ---- the table


DLG = Plain(plain.squared_distance, "lbfgs", 1.0, in_z=False, joint=True)
IDLG = replace(DLG, joint=False)
IG = Plain(plain.cosine, "adam", 0.1, 0.01, signed=True, decay=True, box=True)
HUANG = replace(IG, tv=0.1, bn=0.005)
L2 = plain.squared_distance
SCALED_L2 = objectives.scaled(objectives.l2, 1e4)  # above L-BFGS's absolute tolerances


def factor(distance, number):
    return lambda gradients, shared: number * distance(gradients, shared)


dlg, idlg, ig = attacks.dlg, attacks.idlg, attacks.inverting_gradients
mixing, huang = attacks.mixing_gradients, attacks.huang
# An iteration of L-BFGS is a call of up to 20. The first rows take more than one: they tell whether
# its history outlives a call, for joint labels, in turn, and with a line search.
ROWS = [
    # DLG: image and label logits together, in [0, 1], no box
    Row("dlg", dlg(2), DLG, restarts=2),
    Row("dlg, batch", dlg(1, lr=0.5), replace(DLG, lr=0.5), B=3),
    Row("dlg, in turn", dlg(4, in_turn=True), replace(DLG, optimizer="in_turn"), B=2),
    Row("dlg, in turn, labels known", dlg(3, in_turn=True, labels="idlg_bias"),
        replace(IDLG, optimizer="in_turn"), B=2, threat=KNOWN),
    # In float64 these walk on a larger objective, which is the same path where torch's first step
    # is of unit length and its first pair of positive curvature.
    Row("dlg, relative", dlg(1, 0.1, relative=True, labels="idlg"),
        replace(IDLG, distance=plain.relative_distance, lr=0.1), without_negative_features),
    Row("dlg, scale", dlg(1, 0.1, scale=700.0, labels="idlg"),
        replace(IDLG, distance=factor(L2, 700.0), lr=0.1), without_negative_features),
    Row("dlg, relative and scale", dlg(1, 0.1, relative=True, scale=30.0, labels="idlg"),
        replace(IDLG, distance=factor(plain.relative_distance, 30.0), lr=0.1),
        without_negative_features),
    Row("dlg, line search", dlg(2, line_search=True, scale=1e4),
        replace(DLG, distance=factor(L2, 1e4), optimizer="line_search"), B=2),
    Row("dlg, line search, rate", dlg(1, 8.0, line_search=True, scale=1e4),
        replace(DLG, distance=factor(L2, 1e4), optimizer="line_search", lr=8.0), B=3),
    Row("dlg, client normalises", dlg(1), DLG, protocol=IN_Z),
    Row("dlg, mse", dlg(1), DLG, protocol=client.Protocol(loss="mse")),
    Row("dlg, mse of softmax", dlg(1), DLG, protocol=client.Protocol(loss="mse_softmax")),
    Row("dlg, ensemble", dlg(1), DLG, ensemble=True),
    Row("dlg, local steps", dlg(1), DLG, B=3, protocol=STEPS),
    Row("dlg, many local steps", dlg(1), DLG, B=2, protocol=MANY_STEPS),
    Row("dlg, momentum and weight decay", dlg(1), DLG, B=3, protocol=MOMENTUM),
    Row("inverting, nesterov, many steps", ig(3), IG, B=2, threat=KNOWN,
        protocol=replace(MANY_STEPS, momentum=0.5, nesterov=True, weight_decay=0.2)),
    Row("dlg, a loss of one's own", dlg(1), DLG, B=2, protocol=client.Protocol(loss=smooth_l1)),
    Row("dlg, batch statistics", dlg(1), DLG, with_batch_norm, B=3,
        protocol=client.Protocol(mode="train")),
    # iDLG: the label by its rule
    Row("idlg", idlg(1), IDLG, restarts=2),
    Row("idlg, joint", idlg(1, labels="joint"), DLG),
    Row("idlg, line search", replace(idlg(1, 0.1, True), objective=SCALED_L2),
        replace(IDLG, distance=factor(L2, 1e4), optimizer="line_search", lr=0.1)),
    # Inverting Gradients: in z, cosine, TV, signs, decay, box
    Row("inverting", ig(8), IG, restarts=2),
    Row("inverting, rate and tv", ig(3, lr=0.3, tv=0.5), replace(IG, lr=0.3, tv=0.5)),
    Row("inverting, no tv", ig(3, tv=0.0), replace(IG, tv=0.0), protocol=IN_Z, ensemble=True),
    Row("inverting, joint", ig(3, labels="joint"), replace(IG, joint=True), B=2),
    Row("inverting, batch", ig(3), IG, B=3, threat=KNOWN, protocol=IN_Z),
    Row("inverting, local steps", ig(3), IG, B=3, threat=KNOWN, protocol=STEPS),
    Row("inverting, many normalised steps", ig(3, tv=0.1), replace(IG, tv=0.1), B=2, threat=KNOWN,
        protocol=replace(MANY_STEPS, normalise=True)),
    Row("inverting, l2", ig(3, objective="l2"), replace(IG, distance=L2)),
    Row("inverting, layer cosine", ig(3, objective="layer_cosine"),
        replace(IG, distance=plain.layer_cosine)),
    Row("inverting, adam", ig(8, optimizer="adam"), replace(IG, signed=False)),
    Row("inverting, lbfgs", ig(1, optimizer="lbfgs"), Plain(tv=0.01, optimizer="lbfgs", lr=1.0)),
    Row("inverting, line search", ig(1, optimizer="lbfgs_line_search", lr=0.5, objective="l2"),
        Plain(L2, tv=0.01, optimizer="line_search", lr=0.5)),
    Row("inverting, pruned", ig(3, masked=True),
        replace(IG, distance=plain.where_shared(plain.cosine)), defense=defenses.GradPrune(0.5),
        threat=KNOWN),
    Row("inverting, pruned, l2", ig(3, masked=True, objective="l2"),
        replace(IG, distance=plain.where_shared(L2)), defense=defenses.GradPrune(0.5),
        threat=KNOWN),
    Row("inverting, stored statistics", ig(3, bn=0.2), replace(IG, bn=0.2), with_batch_norm, B=2,
        threat=KNOWN),
    # Mixing Gradients: in [0, 1] without a box, Adam
    Row("mixing", mixing(8), Plain(decay=True, in_z=False)),
    Row("mixing, batch", mixing(3, 0.2, "l2", tv=0.3, orthogonality=0.4),
        Plain(L2, lr=0.2, tv=0.3, orthogonality=0.4, decay=True, in_z=False), B=3, threat=KNOWN),
    Row("mixing, lbfgs", mixing(1, 1.0, "l2", optimizer="lbfgs"),
        Plain(L2, "lbfgs", 1.0, in_z=False)),
    # Huang: as Inverting Gradients, with statistics, and labels in the same Adam without signs
    Row("huang", huang(8), HUANG, with_batch_norm, B=2, protocol=TRAIN,
        threat=client.ThreatModel(labels="known", bn_statistics="exact")),
    Row("huang, proxy", huang(3, tv=0.05, bn=0.3), replace(HUANG, tv=0.05, bn=0.3, joint=True),
        with_batch_norm, B=2, protocol=TRAIN, threat=client.ThreatModel(bn_statistics="proxy")),
    Row("huang, inferred, joint", huang(3, bn=0), replace(HUANG, bn=0, joint=True),
        with_batch_norm, B=3, protocol=TRAIN),
    Row("huang, as if eval", huang(3, bn=0.1), replace(HUANG, bn=0.1), with_batch_norm, B=2,
        protocol=TRAIN, threat=KNOWN, as_if_eval=True),
    Row("huang, signs", huang(3, bn=0, tv=0.4, signs=True, lr=0.05),
        replace(HUANG, bn=0, tv=0.4, magnitude=True, lr=0.05), threat=KNOWN),
    Row("huang, pruned", huang(3, bn=0.0, masked=True),
        replace(HUANG, distance=plain.where_shared(plain.cosine), bn=0), threat=KNOWN,
        defense=defenses.GradPrune(0.3)),
    # the baseline of GIAS in pixels: no signs
    Row("gias, pixels", attacks.gias(None, "x", (8,)), Plain(tv=1e-6, decay=True, box=True)),
    Row("gias, pixels with statistics", attacks.gias(None, "x", (3,), (0.2,), tv=0.1, bn=0.1),
        Plain(lr=0.2, tv=0.1, bn=0.1, decay=True, box=True), with_batch_norm, B=2, threat=KNOWN),
]


def private_batch(B: int, K=2):
    rng = torch.Generator().manual_seed(3)
    images = torch.rand(K, B, *SHAPE, generator=rng, dtype=torch.float64)
    labels = torch.tensor([[1, 3, 0], [2, 0, 3]])[:K, :B]
    return data.Batch(images, labels, CLASSES, mean=MEAN, std=STD)


def shared(row: Row):
    """(the private batch, the update) of a row; the update is that of plain autograd."""
    private = private_batch(row.B)
    victim = models.ensemble(row.victim, None, range(2)) if row.ensemble else row.victim()
    update = client.share(victim.double(), private, row.protocol, row.defense, row.threat)
    if row.defense is None:
        for k in range(2):
            problem = Problem(replace(row, as_if_eval=False), private, update.gradients, k)
            fed = to_z(private.images[k]) if row.protocol.normalise else private.images[k]
            own = plain.update_of(problem.client, fed, problem.hard)
            for a, b in zip(own, problem.sent, strict=True):
                close(b, a.detach())
    return private, attacks.as_if_eval(update) if row.as_if_eval else update


def close(ours: Tensor, theirs: Tensor) -> None:
    """Equal to 1e-8 of the largest entry."""
    assert ours.dtype == theirs.dtype == torch.float64 and ours.shape == theirs.shape
    assert (ours - theirs).abs().max() <= 1e-8 * theirs.abs().max()


def exact_statistics(row: Row, private, k: int):
    """Mean and biased variance of what the BatchNorm of `with_batch_norm` sees, worked out here."""
    seen = row.victim()[0].double()(to_z(private.images[k]))
    return [(seen.mean((0, 2, 3)).detach(), seen.var((0, 2, 3), unbiased=False).detach())]


@pytest.mark.parametrize("row", ROWS, ids=[row.name for row in ROWS])
def test_a_preset_is_the_plain_loop(row):
    private, update = shared(row)
    iterations, restarts = row.attack.iterations, row.restarts
    x, z = attacks.starts(update, row.attack, restarts, seed=5)
    assert (z is not None) == row.plain.joint
    guess = attacks.reconstruct(update, row.attack, restarts, seed=5, record=range(iterations + 1))
    exact = row.threat.bn_statistics == "exact"
    for k in range(2):
        statistics = exact_statistics(row, private, k) if exact else None
        for r in range(restarts):
            problem = Problem(row, private, update.gradients, k, statistics)
            last, logits, losses = problem.attack(x[k, r], z if z is None else z[k, r], iterations)
            close(guess.last[k, r], last)
            close(guess.history.losses[:, k, r], losses)
            if logits is not None:
                close(guess.history.label_logits[iterations][k, r], logits)
        if z is None:
            assert guess.labels[k].tolist() == private.labels[k].tolist()
        if row.plain.optimizer == "adam":  # the best state of the best restart
            best = guess.history.losses[:, k].flatten().argmin()
            images = [guess.history.images[i][k, r] for i in range(iterations + 1)
                      for r in range(restarts)]
            assert torch.equal(guess.images[k], images[best])
            assert torch.equal(guess.loss[k], guess.history.losses[:, k].amin(0))


def test_starts_are_drawn_for_each_seed_client_and_restart():
    update = client.share(dense().double(), private_batch(2))
    x, z = attacks.starts(update, attacks.dlg(1), restarts=2, seed=5)
    later = attacks.starts(update, attacks.dlg(1), restarts=1, seed=5, first=1)[0]
    for k in range(2):
        for r in range(2):
            digest = hashlib.sha256(json.dumps(["start", 5, k, r]).encode()).digest()
            rng = torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") // 2)
            assert torch.equal(x[k, r], torch.randn(2, *SHAPE, generator=rng).double())
            assert torch.equal(z[k, r], torch.randn(2, CLASSES, generator=rng).double())
    assert torch.equal(later[0], x[1, :1])


def test_an_attack_begins_where_it_is_told_to():
    row = Row("start", attacks.dlg(1), DLG)
    private, update = shared(row)
    x, z = (torch.full((2, 1, *shape), 0.3).double() for shape in ((1, *SHAPE), (1, CLASSES)))
    guess = attacks.reconstruct(update, row.attack, start=(x, z), record=[0])
    assert torch.equal(guess.history.images[0], x)
    for k in range(2):
        last, _, losses = Problem(row, private, update.gradients, k).attack(x[k, 0], z[k, 0], 1)
        close(guess.last[k, 0], last)
        close(guess.history.losses[:, k, 0], losses)


# ---- through a generator


class Stage:
    """One search of the plain loop through a generator, of one client or of all as one."""

    def __init__(self, letter: str, problems: list[Problem], generator, latents, begin: Tensor):
        self.letter, self.problems, self.generator = letter, problems, generator
        self.latents = latents  # (K, B, 5)
        self.variables = begin.clone().requires_grad_()
        self.states = []  # (objective, variables), of every evaluation

    def images(self, k: int) -> Tensor:
        """The images of the k-th client in z = (x - mean) / std."""
        if self.letter == "x":
            return self.variables
        if self.letter == "z":
            return to_z(self.generator(self.variables))
        if self.letter == "h":
            return to_z(self.generator[2:](self.variables))
        made = []
        for i, latent in enumerate(self.latents[k]):
            weights, first = self.variables[i if len(self.variables) > 1 else 0], 0
            named = {}
            for name, p in self.generator.named_parameters():
                named[name] = weights[first : first + p.numel()].view(p.shape)
                first += p.numel()
            made.append(functional_call(self.generator, named, latent[None])[0])
        return to_z(torch.stack(made))

    def objective(self) -> Tensor:
        values = [p.value(self.images(k), p.hard, self.variables)
                  for k, p in enumerate(self.problems)]
        mean = torch.stack(values).mean()
        self.states.append((torch.stack(values).detach(), self.variables.detach().clone()))
        return mean

    def run(self, own: Plain, iterations: int):
        """(best and last images in [0, 1], best latents, objectives), each with an axis K."""
        run_plain(own, [self.variables], self.objective, iterations)
        self.objective()
        losses, last = torch.stack([loss for loss, _ in self.states]), self.variables.detach()
        best, kept = [], []
        for k in range(len(self.problems)):
            self.variables = self.states[int(losses[:, k].argmin())][1]
            best.append(to_x(self.images(k)).detach())
            kept.append(self.variables if self.letter == "z" else None)
        self.variables = last
        final = torch.stack([to_x(self.images(k)).detach() for k in range(len(self.problems))])
        return torch.stack(best), final, kept, losses


Z = Plain(lr=0.03, tv=1e-6, decay=True)
W = replace(Z, lr=1e-3)
SPACES = {  # space -> the plain settings of its stages
    "z": (Z,), "w": (W,), "z/x": (Z, replace(Z, lr=0.1, box=True)), "z/h": (Z, Z), "z/w": (Z, W),
}


def through_a_generator(space, copies, statistics, **settings):
    """(private batch, update, attack, guess) of lib; each stage takes 8 and then 3 iterations."""
    generator = small_generator()
    granted = client.ThreatModel(labels="known")
    victim = with_batch_norm if statistics else dense
    row = Row(space, None, Plain(), victim, 2, IN_Z, granted)
    private, update = shared(row)
    attack = attacks.gias(generator, space, (8, 3), layer=2, copies=copies, **settings)
    restarts = 2 if space[0] == "z" else 1
    guess = attacks.reconstruct(update, attack, restarts, seed=5)
    latents = attacks.gias(generator, "z", (1,))
    x, _ = attacks.starts(update, latents, restarts, seed=5)
    return row, private, update, generator, guess, x


@pytest.mark.parametrize("space, copies, settings", [
    ("z", "image", {}), ("z", "image", {"latent_norm": 0.2, "tv": 0.3, "lr": (0.05,)}),
    ("z", "image", {"masked": True, "bn": 0.1}), ("w", "image", {"tv": 0.2}),
    ("w", "client", {"lr": (0.02,)}), ("w", "all", {"tv": 0.2}), ("z/x", "image", {"tv": 0.3}),
    ("z/h", "image", {"latent_norm": 0.2}), ("z/w", "image", {}),
    ("z/w", "client", {"latent_norm": 0.2, "tv": 0.1, "lr": (0.05, 0.02)})])
def test_gias_is_the_plain_loop(space, copies, settings):
    row, private, update, generator, guess, starts = through_a_generator(
        space, copies, "bn" in settings, **settings)
    stages = list(SPACES[space])
    for i, rate in enumerate(settings.get("lr", ())):
        stages[i] = replace(stages[i], lr=rate)
    more = {name: settings[name] for name in ("tv", "bn") if name in settings}
    stages = [replace(own, **more) for own in stages]
    stages[0] = replace(stages[0], norm=settings.get("latent_norm", 0) * (space[0] == "z"))
    flat = parameters_to_vector(generator.parameters()).detach()
    weights = flat.expand(2 if copies == "image" else 1, -1)
    together = [[0, 1]] if copies == "all" else [[0], [1]]
    for clients in together:
        problems = [Problem(replace(row, plain=stages[0]), private, update.gradients, k)
                    for k in clients]
        if space == "w":
            stage = Stage("w", problems, generator, starts[clients, 0], weights)
            best, last, _, losses = stage.run(stages[0], 8)
        else:
            found = [Stage("z", problems, generator, None, starts[clients[0], r]).run(stages[0], 8)
                     for r in range(2)]
            best, last, kept, losses = min(found, key=lambda each: float(each[3].min()))
        if "/" in space:
            latents, letter = kept[0], space[-1]
            begin = {"x": to_z(best[0]), "h": generator[:2](latents).detach(), "w": weights}
            problems = [Problem(replace(row, plain=stages[1]), private, update.gradients, k)
                        for k in clients]
            stage = Stage(letter, problems, generator, latents[None], begin[letter])
            best, last, _, more_losses = stage.run(stages[1], 3)
            losses = torch.cat((losses[:-1], more_losses))
        close(guess.images[clients], best)
        if "/" in space or space == "w":
            close(guess.last[clients, 0], last)
        close(guess.history.losses[:, clients, 0 if "/" in space or space == "w"
                                   else int(guess.loss[clients[0]].argmin())], losses)
