"""Everything that fits an update is tried, within a budget of seconds."""

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .. import analytic, attacks, batching, metrics, run
from ..labels import NEEDS, RULES, LastLayer, last_layer, read_by
from ..limits import Limit, OutOfTime, now
from ..protocol import AssumptionError, certain_logits
from ..reconstruct import Reconstruction
from ..update import SharedUpdate, dummy_gradients, mean_function, soft_targets, tensors
from .budget import Budget, shown
from .findings import Attempt, Findings

TRIAL = 2  # iterations that tell how long one takes
FEWEST = 100  # iterations of Adam: with fewer it is not tried
LEAST = {True: FEWEST, False: 40}  # evaluations of Adam; of the first two steps of L-BFGS
SECOND = 1.5  # times a gradient that an evaluation of a start takes, traced, at least
RESTARTS, FEW = 4, 2  # of each attack: two starts that end at one picture are evidence
MARGIN = 0.95  # of the time for Adam's iterations: its steps get smaller by a plan
NOISE, READINGS = 2.0, 20  # times the noise that an update shows: two of its standard deviations
WORSE = 100  # times the objective of the best start: a start that failed


def residual(update: SharedUpdate, images: Tensor, labels: Tensor) -> float:
    """How far the update of images (B, C, H, W) in [0, 1] and labels (B,) is from the client's:
    ||g(x')_l - g_l|| / ||g_l||, the mean over the tensors l whose g_l is not 0. Each tensor counts
    the same: of the norm of all together the last layer is most, which any picture of the right
    label explains. Infinite where the images have no finite update."""
    logits = certain_logits(labels[None].to(update.device), update.num_classes)
    dummy = dummy_gradients(update, images[None].to(update.device).float(), logits)
    shares = []
    for name, sent in update.gradients.items():
        size = float(sent[0].double().norm())
        if size:
            shares.append(float((dummy[name][0] - sent[0]).double().norm()) / size)
    mean = sum(shares) / len(shares) if shares else math.inf
    return mean if math.isfinite(mean) else math.inf


def read_labels(update: SharedUpdate, findings: Findings) -> None:
    """Every rule whose assumptions hold reads the labels; of the others, what they would need."""
    if update.labels is not None:
        findings.labels["told by the client"] = update.labels[0].tolist()
        return
    try:
        layer = last_layer(update)
    except ValueError as error:
        findings.refused["all rules"] = str(error)
        return
    if why := impossible(update, layer):
        findings.refused["all rules"] = why
        return
    for name, rule in RULES.items():
        if name == "uniform":  # a baseline, not a way of reading
            continue
        missing = [NEEDS[need][1] for need in ("cross_entropy", *rule.needs)
                   if not NEEDS[need][0](update, layer)]
        if missing:
            findings.refused[name] = "needs " + missing[0]
            continue
        try:
            findings.labels[name] = read_by(name, update, layer)[0].tolist()
        except (AssumptionError, ValueError) as error:
            findings.refused[name] = str(error)
    findings.steady = steady(update, layer, findings.labels)


def shown_noise(layer: LastLayer, classes: int) -> Tensor:
    """The standard deviation of the noise on each entry of the last layer's gradient.

    Of softmax and cross-entropy the entries sum to 0 over the classes, for each feature and for the
    bias. What they sum to instead is noise: of deviation s an entry it is s sqrt(C)."""
    gradients = [layer.weight[0]] + ([] if layer.bias is None else [layer.bias[0, :, None]])
    sums = torch.cat([gradient.double().sum(0) for gradient in gradients])
    return sums.square().mean().sqrt() / classes**0.5


def impossible(update: SharedUpdate, layer: LastLayer) -> str:
    """Why no images of a batch can have the last bias's gradient, or nothing. Its entry i is the
    mean of p_i - [i is the label]: below 0 for labels alone, so for no more than B classes."""
    if layer.bias is None or update.protocol.loss != "cross_entropy" \
            or update.protocol.weight_decay:
        return ""
    bias = layer.bias[0].double()
    limit = 3 * shown_noise(layer, update.num_classes) + 1e-5 * bias.abs().max()
    negative = int((bias < -limit).sum())
    if negative <= update.batch_size:
        return ""
    return (f"the last bias's gradient is negative for {negative} classes, and a batch of "
            f"{update.batch_size} makes it so for {update.batch_size} at most: the batch is "
            "larger, noise was added, the sign is turned, or before and after are swapped")


def steady(update: SharedUpdate, layer: LastLayer, labels: dict[str, list[int]]) -> bool:
    """Does every rule read the same labels off the last layer again under noise, `READINGS` times?

    The readings are under `NOISE` times `shown_noise`. Off noise alone they differ."""
    s = NOISE * shown_noise(layer, update.num_classes)
    rng = run.generator("readings")

    def noisy(tensor: Tensor) -> Tensor:
        return tensor + s.to(tensor) * torch.randn(tensor.shape, generator=rng).to(tensor)

    for _ in range(READINGS):
        bias = None if layer.bias is None else noisy(layer.bias)
        again = replace(layer, weight=noisy(layer.weight), bias=bias)
        for name, read in labels.items():
            if read_by(name, update, again)[0].tolist() != read:
                return False
    return True


def flats(update: SharedUpdate, labels: Tensor, findings: Findings) -> None:
    """How near the update of a flat picture comes: what an attack has to be better than."""
    shape = (update.batch_size, *update.shape)
    colours = {"mid-grey": torch.full(shape, 0.5)}
    if update.mean is not None:
        mean = update.mean.detach().cpu().float().view(1, -1, 1, 1)
        colours["mean colour of the public data"] = mean.expand(shape).clone()
    for name, image in colours.items():
        findings.flats[name] = residual(update, image, labels)


def closed_form(update: SharedUpdate, labels: Tensor) -> Attempt | None:
    """The input of a dense first layer, by division; None where there is none, or for a batch."""
    base, stacked = batching.architecture(update.model)
    first = next((name for name, module in base.named_modules()
                  if not list(module.children()) and list(module.parameters())), "")
    layer = dict(base.named_modules()).get(first)
    names = [f"{first}.{part}" for part in ("weight", "bias")]
    dense = isinstance(layer, nn.Linear) and layer.in_features == math.prod(update.shape)
    if stacked or not dense or update.batch_size > 1 or set(names) - set(update.gradients):
        return None
    begin = now()
    gradients = [update.mean_gradient(name) for name in names]
    fed = analytic.dense_input(*gradients)[0].view(1, *update.shape)
    image = _shown(update, fed)
    return Attempt("closed form of the dense first layer", image, labels,
                   residual(update, image, labels), seconds=now() - begin)


def _shown(update: SharedUpdate, fed: Tensor) -> Tensor:
    """Images as the model is fed them, in [0, 1] units."""
    if not update.protocol.normalise or update.mean is None:
        return fed.detach().cpu()
    mean, std = (value.view(-1, 1, 1) for value in (update.mean, update.std))
    return (fed * std + mean).detach().cpu()


def plans(update: SharedUpdate, rule: str | None, generator: nn.Module | None) \
        -> list[tuple[str, attacks.Attack]]:
    """The attacks that fit, most likely first, each with its full number of iterations. rule: that
    the labels are read by, None where they are optimised."""
    labels = rule or "joint"
    tv = 1e-2 if max(update.shape[1:]) <= 32 else 1e-1
    bn = 0.005 if update.statistics is not None else 0.0
    found = [("L-BFGS on L2, line search (DLG, iDLG)",
              attacks.idlg(300, line_search=True, labels=labels)),
             ("cosine and total variation (Inverting Gradients)",
              attacks.inverting_gradients(4800, tv=tv, labels=labels, bn=bn))]
    if generator is not None and labels != "joint":
        found.append(("latents and weights of the generator given (GIAS)",
                      attacks.gias(generator, "z/w", labels=labels)))
    if update.mean is None:  # then these search in [0, 1] itself
        found = [(name, _in_pixels(attack)) for name, attack in found]
    return found


def _in_pixels(attack: attacks.Attack) -> attacks.Attack:
    if attack.then is not None:
        then = replace(attack.then, normalise=False)
        attack = replace(attack, space=replace(attack.space, then=then))
    return replace(attack, normalise=False)


def attempt(update: SharedUpdate, name: str, attack: attacks.Attack, limit: Limit,
            gradient: float, seed: int) -> Attempt:
    """One attack within a limit, whose end cuts it short: as many of its iterations as fit.
    gradient: seconds of one gradient of the client's loss. `limit.met` says what cut it.
    KeyboardInterrupt for Ctrl-C before there is a picture."""
    begin, seconds = now(), limit.left
    least = LEAST[attack.is_adam] * SECOND * gradient
    if least > seconds:
        return Attempt(name, note=f"not tried: it takes {shown(least)} or more, and the budget has "
                                  f"{shown(seconds)} for it")
    restarts = RESTARTS if RESTARTS * least <= seconds else FEW
    try:
        with limit.alarm():
            if attack.is_adam:
                attack, note = _planned(update, attack, restarts, limit, seed)
                if note:
                    return Attempt(name, note=note)
            guess = attacks.reconstruct(update, attack, restarts, seed, limit=limit)
    except (AssumptionError, ValueError) as error:
        return Attempt(name, note=f"does not fit: {error}")
    except OutOfTime:
        return Attempt(name, note=f"not tried: its preparation takes more than the "
                                  f"{shown(seconds)} that the budget has for it")
    if limit.met:
        attack = _until(attack, len(guess.history.losses))
    return _of_guess(update, name, attack, guess, now() - begin, limit.met)


def _planned(update: SharedUpdate, attack: attacks.Attack, restarts: int, limit: Limit, seed: int) \
        -> tuple[attacks.Attack, str]:
    """The attack with as many iterations as fit, by a trial; or why they are too few."""
    stages = 1 if attack.then is None else 2
    trial = attacks.reconstruct(update, _of(attack, TRIAL), restarts, seed)
    each = trial.seconds / (TRIAL * stages)
    affordable = int(MARGIN * limit.left / max(each, 1e-6) / stages)
    if affordable < FEWEST:
        return attack, (f"not tried: an iteration takes {shown(each)}, and the budget has "
                        f"{affordable} of the {FEWEST} that it needs: about "
                        f"{shown(FEWEST * stages * each)}")
    return _of(attack, min(attack.iterations, affordable)), ""


def _of(attack: attacks.Attack, iterations: int) -> attacks.Attack:
    """The attack with so many iterations in each of its stages."""
    if attack.then is None:
        return replace(attack, iterations=iterations)
    then = replace(attack.then, iterations=iterations)
    return replace(attack, iterations=iterations, space=replace(attack.space, then=then))


def _until(attack: attacks.Attack, done: int) -> attacks.Attack:
    """The attack as it ran, with so many iterations of all its stages together."""
    first, then = attack.iterations, attack.then
    if then is None:
        return replace(attack, iterations=done)
    then = replace(then, iterations=done - first) if done > first + 1 else None
    return replace(attack, iterations=min(done, first), space=replace(attack.space, then=then))


def _of_guess(update: SharedUpdate, name: str, attack: attacks.Attack, guess: Reconstruction,
              seconds: float, cut_by: str) -> Attempt:
    images, labels = guess.images[0].detach().cpu(), guess.labels[0].detach().cpu()
    return Attempt(name, images, labels, residual(update, images, labels), agreement(guess), attack,
                   guess.loss.shape[1], tuple(guess.ended[0]), cut_by, seconds)


def agreement(guess: Reconstruction) -> float:
    """PSNR in dB between the pictures of the best two starts, the least alike of a batch's; NaN
    where the second one's objective is `WORSE` times the first's or more, or not finite: a start
    that failed says nothing of the other's picture."""
    order = guess.loss[0].argsort()[:2]
    best, *others = guess.loss[0, order].tolist()
    pair = guess.last[0, order].detach().cpu().clamp(0, 1)  # (2, B, C, H, W)
    if not others or not others[0] <= WORSE * abs(best) or not pair.isfinite().all():
        return math.nan
    matched = metrics.matching(pair[None, 1], pair[None, 0])[0]
    return float(metrics.psnr(pair[1][matched], pair[0]).min())


def look(update: SharedUpdate, findings: Findings, budget: Budget) -> None:
    """What takes no search: labels, flat pictures, the closed form. It measures a gradient."""
    budget.part("labels", 0, lambda: read_labels(update, findings))
    known = next(iter(findings.labels.values()), None)
    likely = torch.tensor(known if known is not None else [0] * update.batch_size)
    seconds = budget.part("time of a gradient", 0, lambda: gradient_seconds(update))
    if seconds is not None:
        budget.gradient = seconds
    budget.part("flat colours", budget.gradient, lambda: flats(update, likely, findings))
    closed = budget.part("closed form", budget.gradient, lambda: closed_form(update, likely))
    if closed is not None:
        findings.attempts.append(closed)


def gradient_seconds(update: SharedUpdate) -> float:
    """Seconds that the update of one client takes, here and now: the faster of two."""
    base, stacked = batching.architecture(update.model)
    state = [{n: t[0] if stacked else t for n, t in named.items()}
             for named in tensors(update.model)]
    f = mean_function(base, update.protocol, update.members)
    like = next(iter(state[0].values()))
    target = soft_targets(like.new_zeros(update.batch_size, update.num_classes))
    took = []
    for _ in range(2):
        begin = now()
        f(*state, like.new_full((update.batch_size, *update.shape), 0.5), target)
        took.append(now() - begin)
    return min(took)


def search(update: SharedUpdate, findings: Findings, budget: Budget, until: float, seed: int = 0,
           generator: nn.Module | None = None,
           say: Callable[[str], None] = lambda text: None) -> None:
    """Try what fits one client's update until so many seconds of the budget are left. Ctrl-C ends
    it early, and what was found until then is kept. say: called with a line before each attack."""
    rule = next((name for name in findings.labels if name in RULES), None)
    ways = plans(update, rule or ("idlg" if update.labels is not None else None), generator)
    for i, (name, attack) in enumerate(ways):
        if findings.interrupted:
            findings.attempts.append(Attempt(name, note="not tried: ended by Ctrl-C before"))
            continue
        if math.isinf(budget.gradient):
            findings.attempts.append(Attempt(name, note="not tried: the budget was spent before"))
            continue
        share = max(budget.left - until, 0) / (len(ways) - i)
        say(f"{name}: about {share:.0f} s")
        limit = Limit(share)
        try:
            findings.attempts.append(
                attempt(update, name, attack, limit, budget.gradient, seed))
        except KeyboardInterrupt:
            limit.met = "interrupted"
            findings.attempts.append(Attempt(name, note="not tried: ended by Ctrl-C"))
        if limit.met == "interrupted":
            budget.interrupt()
