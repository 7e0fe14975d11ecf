"""Attacks: one preset a paper, `reconstruct` to run one, `diagnose` to look before running.

Floor 9. An attack is its objective, priors, label rule and optimiser; nothing else. Your own attack
is `replace(attacks.dlg(), objective=my_distance, priors=((0.1, my_prior),))`: both are callables.
"""

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields, replace

import torch
from torch import Tensor, nn

from lib import checks, client, engine, models, objectives, optimizers, priors, run, tracing
from lib import labels as label_rules
from lib.diagnose import diagnose  # noqa: F401  (a public name, kept here)
from lib.update import AssumptionError, SharedUpdate, dummy_gradients  # noqa: F401

_IMAGE_PIXELS_PER_CHUNK = 2**22  # dummy pixels in flight on a CPU; bounds memory, not results
UNROLLED_STEPS = 10  # local steps in one traced graph; more run one at a time (engine.Rollout)
OPTIMIZERS = ("lbfgs", "lbfgs_line_search", "adam", "signed_adam")  # signed: the image's gradient


@dataclass(frozen=True)
class Attack:
    """The settings of an attack, with the papers' symbols."""

    name: str
    objective: Callable  # D(dummy, shared): dicts of one client's gradients -> scalar
    priors: tuple = ()  # ((alpha, R), ...): alpha R(x) is added to D
    labels: str = "joint"  # y': softmax of free logits, optimised; or a rule of `labels.RULES`
    optimizer: str = "lbfgs"  # "lbfgs_line_search": with back-tracking; "adam", "signed_adam"
    iterations: int = 300  # n: Adam steps, or L-BFGS steps of up to 20 inner iterations
    lr: float = 1.0  # eta
    stop: float | None = None  # done when D is below, looked at after iterations 1, 11, 21, ...
    decay: bool = False  # eta x 0.1 at 3/8, 5/8, 7/8 of n
    normalise: bool = False  # optimise z = (x - mean) / std; start, priors and box are in z
    box: bool = False  # project to [0, 1] (in z where normalised) after each Adam step
    in_turn: bool = False  # L-BFGS moves one image of the batch an iteration, i mod B

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise ValueError(f"the name of an attack is a string, not {self.name!r}")
        if not callable(self.objective):
            raise ValueError("objective must be a callable of (dummy, shared), not "
                             f"{self.objective!r}")
        object.__setattr__(self, "priors", _checked_priors(self.priors))
        checks.one_of("labels", self.labels, ("joint", *label_rules.RULES))
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.whole("iterations", self.iterations)
        checks.number("lr", self.lr, 0, exclude=(0,))
        for name in ("decay", "normalise", "box", "in_turn"):
            checks.flag(name, getattr(self, name))
        adam = self.optimizer in ("adam", "signed_adam")
        if ((self.decay or self.box) and not adam) or (self.in_turn and adam):
            raise ValueError("decay and box belong to Adam, in_turn to L-BFGS")
        if self.stop is not None:
            checks.number("stop", self.stop, 0, exclude=(0,))
            if adam or self.in_turn:
                raise ValueError("stop is an objective for L-BFGS on whole batches: leave "
                                 f"{self.stop} out")


def _checked_priors(given) -> tuple:
    """((weight, prior), ...) as tuples; ValueError for anything else."""
    said = "priors are pairs ((weight, prior), ...), each prior a callable of images"
    if isinstance(given, str | dict) or not isinstance(given, Iterable):
        raise ValueError(f"{said}, not {given!r}")
    pairs = []
    for pair in given:
        if isinstance(pair, str) or not isinstance(pair, Iterable) or len(pair := tuple(pair)) != 2:
            raise ValueError(f"{said}, not {pair!r}")
        weight, prior = pair
        if not callable(prior):
            raise ValueError(f"{said}; {prior!r} is none")
        checks.number(f"the weight of {objectives.name_of(prior)}", weight, 0)
        pairs.append((weight, prior))
    return tuple(pairs)


SPACES = {"x": "pixels", "z": "latents", "h": "an inner layer's activations", "w": "parameters"}


@dataclass(frozen=True)
class Generative(Attack):
    """One stage of an attack through a generator, and the stage that goes on from its result."""

    generator: nn.Module | None = None  # latents (B, *latent) -> images (B, C, H, W) in [0, 1]
    latent: tuple = ()  # shape of one latent
    search: str = "z"  # what is optimised, a letter of SPACES
    layer: int = 1  # for "h": the activations behind generator[:layer], a Sequential
    copies: str = "image"  # for "w": parameters of every "image", of a "client", or one for "all"
    then: "Generative | None" = None

    def __post_init__(self):
        super().__post_init__()
        if self.labels == "joint":
            raise ValueError("an attack through a generator needs labels granted, or a rule's")
        checks.one_of("search", self.search, SPACES)
        checks.one_of("copies", self.copies, ("image", "client", "all"))
        checks.whole("layer", self.layer)
        object.__setattr__(self, "latent", _checked_shape(self.latent))
        if not (self.generator is None and self.search == "x"
                or isinstance(self.generator, nn.Module)):
            raise ValueError(f"generator must be a torch module, not {self.generator!r}")
        if not isinstance(self.then, Generative | None):
            raise ValueError(f"then is the next stage, a Generative, or None, not {self.then!r}")
        if self.search == "h" and not (isinstance(self.generator, nn.Sequential)
                                       and 0 < self.layer < len(self.generator)):
            raise ValueError("to search an inner layer the generator is a Sequential longer than "
                             f"layer = {self.layer}")
        if self.then and (self.search != "z" or self.then.search == "z" or self.then.then):
            raise ValueError("a search of latents is gone on from, once, in another space")


def _checked_shape(shape) -> tuple:
    """The shape of one latent, a tuple of whole numbers (empty where there are no latents)."""
    if not isinstance(shape, tuple | list):
        raise ValueError(f"latent is the shape of one latent, a tuple like (16,), not {shape!r}")
    return tuple(checks.whole("each size in latent", size) for size in shape)


def dlg(iterations=300, lr=1.0, line_search=False, in_turn=False, relative=False, scale=1.0,
        labels="joint", stop=None) -> Attack:
    """Deep Leakage from Gradients (Zhu, Liu and Han 2019, Algorithm 1).

    Image and label logits jointly, L2, L-BFGS (learning rate 1, history 100, 20 inner iterations),
    in [0, 1] without projection. 1200 iterations in the paper (section 4), 300 in its code.
    in_turn: one image of the batch at a time, as the paper does with batches (section 3). Ours:
    line_search, which halves a step until the objective goes down; relative, which weighs every
    tensor's distance by its size (`objectives.relative_l2`); scale, a factor on D; labels, any rule
    of `labels.RULES`. stop: see `idlg`. With any of the first three, and with an objective of your
    own, L-BFGS's tolerances follow the objective (`optimizers.LBFGS`); without they are torch's
    absolute ones, as in the paper's code."""
    optimizer = "lbfgs_line_search" if checks.flag("line_search", line_search) else "lbfgs"
    objective = objectives.relative_l2 if checks.flag("relative", relative) else objectives.l2
    if checks.number("scale", scale, 0, exclude=(0,)) != 1:
        objective = objectives.scaled(objective, float(scale))
    name = "dlg" if labels == "joint" else "idlg"
    return Attack(name, objective, (), labels, optimizer, iterations, lr, stop, in_turn=in_turn)


def idlg(iterations=300, lr=1.0, line_search=False, labels="idlg", stop=1e-6) -> Attack:
    """Improved DLG (Zhao, Mopuri and Bilen 2020): the label by its rule, then the image as `dlg`.

    300 iterations, or until D is below `stop`, which the official code looks at after iterations 1,
    11, 21, ... labels: any rule of `labels.RULES`, or "joint", which is DLG as that code runs it
    beside iDLG."""
    return dlg(iterations, lr, line_search, labels=labels, stop=stop)


OBJECTIVES = {"cosine": objectives.cosine, "layer_cosine": objectives.layer_cosine,
              "l2": objectives.l2}


def inverting_gradients(iterations=4800, lr=None, tv=1e-2, labels="idlg", objective="cosine",
                        optimizer="signed_adam", bn=0.0, masked=False) -> Attack:
    """Inverting Gradients (Geiping et al. 2020): one cosine, TV, Adam on signs, step decay, box.

    In z = (x - mean) / std. 4,800 iterations, lr 0.1 and TV 1e-2 are the settings of Table 1,
    untrained LeNet. For its ablation and baseline: objective "l2" or "layer_cosine", optimizer any
    of `OPTIMIZERS`; L-BFGS has lr 1 and neither box nor decay, as the official code runs it. bn:
    weight of the BatchNorm statistics (`priors.batch_norm`, Yin et al. 2021). masked: look only
    where the update is not zero (`objectives.masked`)."""
    distance = OBJECTIVES[checks.one_of("objective", objective, OBJECTIVES)]
    adam = checks.one_of("optimizer", optimizer, OPTIMIZERS) in ("adam", "signed_adam")
    if lr is None:
        lr = 0.1 if adam else 1.0
    return Attack(
        "inverting_gradients",
        objectives.masked(distance) if checks.flag("masked", masked) else distance,
        _weighed(tv=(tv, priors.tv), bn=(bn, priors.batch_norm)), labels, optimizer, iterations,
        lr, decay=adam, normalise=True, box=adam)


def _weighed(**weights) -> tuple:
    """The priors of name=(weight, prior) whose weight is not 0; ValueError for a weight that is
    not a number of 0 or more."""
    return tuple(pair for name, pair in weights.items() if checks.number(name, pair[0], 0))


def mixing_gradients(iterations=1000, lr=0.1, objective="cosine", tv=0.0, orthogonality=0.0,
                     labels="analytic", optimizer="adam") -> Attack:
    """The attacks that Eloul et al. 2022 evaluate with: min ||dW' - dW|| ("l2") or the angle
    ("cosine"), with total variation and orthogonality of the images as priors, labels from the
    gradient where they are not granted (poster).

    Optimiser, learning rate, weights and box are not printed; these are ours: Adam with step decay,
    in [0, 1] without a box (their failed reconstructions have an MSE of 3 to 8)."""
    distance = OBJECTIVES[checks.one_of("objective", objective, OBJECTIVES)]
    adam = checks.one_of("optimizer", optimizer, OPTIMIZERS) in ("adam", "signed_adam")
    weighed = _weighed(tv=(tv, priors.tv), orthogonality=(orthogonality, priors.orthogonality))
    return Attack("mixing_gradients", distance, weighed, labels, optimizer, iterations, lr,
                  decay=adam)


def huang(iterations=10_000, tv=0.1, bn=0.005, labels="joint", lr=0.1, signs=False, masked=False) \
        -> Attack:
    """The attack that Huang et al. 2021 evaluate with: `inverting_gradients`, once, with BatchNorm
    statistics as a prior, and labels as free logits in the same Adam where they are not granted.

    tv 0.1 and bn 0.005 are the official code's examples for a batch of 16 whose statistics and
    labels are known; 0.05 and 0.001 without them. Statistics are those that the threat model
    grants; the dummy batch is normalised with its own in any case, as in that code (for another
    reading: `as_if_eval`). bn=0 for none. signs: the total variation of |x|, for InstaHide's
    encodings. masked: see `inverting_gradients`."""
    attack = inverting_gradients(iterations, lr, 0, labels, bn=bn, masked=masked)
    smooth = _weighed(tv=(tv, priors.tv_of_magnitude if checks.flag("signs", signs) else priors.tv))
    return replace(attack, name="huang", priors=(*smooth, *attack.priors))


RATES = {"x": 0.1, "z": 0.03, "h": 0.03, "w": 1e-3}  # w, z: the official code of GIAS
GIAS_SPACES = ("x", "z", "w", "z/x", "z/h", "z/w")


def gias(generator: nn.Module, space="z/w", iterations=(1000, 5000), lr=None, tv=1e-6, bn=0.0,
         latent_norm=0.0, labels="idlg", masked=False, layer=1, copies="image", latent=None) \
        -> Generative:
    """GIAS (Jeon et al. 2021): cosine, Adam with step decay; latents, then the generator's own
    parameters, of which every image of the batch has a copy.

    space: one of `GIAS_SPACES`, letters of `SPACES`. "z/w" is GIAS; "z", "z/x", "z/h" and "w"
    (parameters alone, at latents drawn once) its relatives; "x" the baseline of the official code:
    pixels from noise, in a box but without the signs that Inverting Gradients has. iterations: one
    number a stage (500 to 1,000 and 5,000 to 8,000 in the scripts); lr likewise, or None for
    `RATES`. The second stage goes on from the best state of the best restart and has none itself.
    tv, bn, masked: as `inverting_gradients`; latent_norm: weight of |z| (`priors.norm`). latent:
    shape of one latent, where the generator has no attribute `latent`. Generators:
    `lib.generators`, or any module; latents are drawn from N(0, 1).
    ValueError for a space, a number of stages or a generator that does not fit."""
    stages = checks.one_of("space", space, GIAS_SPACES).split("/")
    for name, value in (("iterations", iterations), ("lr", lr)):
        if not (isinstance(value, tuple | list) or (name == "lr" and value is None)):
            raise ValueError(f"{name} has one number a stage, in a tuple, not {value!r}")
    shape = getattr(generator, "latent", None) if latent is None else _checked_shape(latent)
    if len(iterations) < len(stages) or (lr is not None and len(lr) < len(stages)):
        raise ValueError(f"space {space!r} has {len(stages)} stages: as many iterations (and lr)")
    if shape is None and space != "x":
        raise ValueError("latent=(...), the shape of one latent of this generator, is missing")
    rates, attack = [RATES[s] for s in stages] if lr is None else lr, None
    checks.number("latent_norm", latent_norm, 0)
    base = inverting_gradients(1, 1.0, tv, labels, bn=bn, masked=masked)
    for i in reversed(range(len(stages))):
        own = ((latent_norm, priors.norm),) if latent_norm and stages[i] == "z" else ()
        attack = Generative(
            "gias", base.objective, (*base.priors, *own), labels, "adam", iterations[i], rates[i],
            decay=True, normalise=True, box=stages[i] == "x", generator=generator,
            latent=tuple(shape or ()), search=stages[i], layer=layer, copies=copies, then=attack)
    return attack


def assumptions(attack: Attack) -> dict[str, str]:
    """What an attack takes for granted, read off its settings: one entry a thing that it needs.

    Needs of its label rule stand only where labels are not granted; what each rule needs:
    `labels.NEEDS`."""
    _checked_attack(attack)
    needs = {} if attack.labels == "joint" else {
        "labels": "granted, or read by " + attack.labels + " ("
                  + ", ".join(label_rules.RULES[attack.labels].needs) + ")"}
    if getattr(attack, "search", "x") != "x" and getattr(attack.generator, "trained_on", "?"):
        needs["prior data"] = "a generator of images like the client's"
    if any(getattr(prior, "reads_moments", False) for _, prior in attack.priors):
        needs["BatchNorm statistics"] = "exact or proxy, for clients in train mode"
    if attack.normalise:
        needs["mean and std"] = "of the data, public"
    smooth = [objectives.name_of(prior) for _, prior in attack.priors
              if not hasattr(prior, "reads_moments")]
    if smooth:
        needs["images"] = "natural: " + ", ".join(smooth)
    return needs


def as_if_eval(update: SharedUpdate) -> SharedUpdate:
    """The same update, where the attacker normalises the dummy batch with fixed statistics: those
    granted as "exact", else the model's running ones. An attacker in eval mode, whatever the client
    did; it then looks for a gradient that the client did not compute."""
    _checked_update(update)
    return replace(update, protocol=replace(update.protocol, mode="eval"),
                   model=models.prepare(update.model, "eval"))


def decode(encodings: Tensor, keys: tuple[Tensor, Tensor], count: int, signs=False,
           iterations=1000, lr=0.01, weight=0.05) -> Tensor:
    """Private images (count, C, H, W) in [0, 1] from recovered encodings (M, C, H, W) in [0, 1].

    The attacker knows which images each encoding mixes and how: keys (M, k) and (M, k), of
    `ThreatModel(mixing_keys=True)`. In e = 2x - 1: Adam from zero on the mean squared error between
    encoding and mixture, with signs=True (InstaHide) between their magnitudes, plus `weight` times
    the mean of 1 - |e| there (Carlini et al. 2021, as Huang et al. 2021 use it). Without signs the
    mixtures are linear and this is least squares. Images that no key names stay grey."""
    checks.flag("signs", signs)
    checks.whole("iterations", iterations)
    checks.number("lr", lr, 0, exclude=(0,))
    checks.number("weight", weight, 0)
    chosen, weights = _checked_keys(encodings, keys, checks.whole("count", count))
    e = 2 * encodings - 1
    x = torch.zeros(count, *e.shape[1:], device=e.device).requires_grad_()
    if signs:  # at zero |x| has no slope: start from a little noise
        x.data = 0.01 * torch.randn(x.shape, generator=run.generator("decode", 0)).to(e)
    optimizer = torch.optim.Adam([x], lr)
    for _ in range(iterations):
        mixed = torch.einsum("mk,mk...->m...", weights.to(e), x[chosen])
        loss = (mixed.abs() - e.abs()).square().mean() if signs else (mixed - e).square().mean()
        loss = loss + weight * (1 - x.abs()).mean() if signs else loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return ((x.detach() + 1) / 2).clamp(0, 1)


def _checked_keys(encodings, keys, count: int) -> tuple[Tensor, Tensor]:
    """The keys (M, k), (M, k) of M encodings; ValueError for what `decode` does not take."""
    if not isinstance(encodings, Tensor) or encodings.dim() != 4 \
            or not encodings.is_floating_point() or not encodings.isfinite().all() \
            or encodings.min() < 0 or encodings.max() > 1:
        raise ValueError("encodings must be a float tensor (M, C, H, W) in [0, 1]")
    if not isinstance(keys, tuple | list) or len(keys) != 2 or not all(
            isinstance(t, Tensor) and t.dim() == 2 for t in keys):
        raise ValueError("keys must be two tensors (M, k): which images each encoding mixes, and "
                         "with which coefficients")
    chosen, weights = keys
    if chosen.shape != weights.shape or len(encodings) != len(chosen):
        raise ValueError(f"{len(encodings)} encodings, keys of shapes {tuple(chosen.shape)} and "
                         f"{tuple(weights.shape)}: all must be of one M")
    if chosen.dtype != torch.int64 or chosen.min() < 0 or chosen.max() >= count:
        raise ValueError(f"keys must name images by whole numbers in 0..{count - 1}, the count")
    if not weights.is_floating_point() or not weights.isfinite().all():
        raise ValueError("the coefficients in keys must be finite floating point numbers")
    return chosen, weights


@dataclass
class Reconstruction:
    """What an attack gives back. Images are in the space of [0, 1] (DLG does not clip them).

    images (K, B, C, H, W) and labels (K, B): the best state of the best restart, both chosen by
    the objective, never by the truth. loss (K, R): smallest objective of each restart. history:
    `.losses` (iterations + 1, K, R), `.images` and `.label_logits` dicts iteration ->
    (K, R, B, ...). last (K, R, B, C, H, W): the last iterate of every restart, as the official
    codes report. evaluations (K, R): objective evaluations. seconds: of the iterations, without
    the first tracing. variables (K, ...): what was optimised at the last iterate of the best
    restart (images as they are fed, latents, parameters); latents (K, B, ...): of `images`, where
    a generator made them. ended: K lists of R words, why each restart ended:
    "converged": the objective fell below `Attack.stop`, or ended at most `engine.CONVERGED` = 1e-8
    times what it was at the start;
    "tolerance": it ended above that, since L-BFGS saw no way on (its tolerances on gradient and
    change, or ten steps without a move): a flat place, or an objective that is small as a whole;
    "budget": all iterations were spent, so more may have changed the picture;
    "not finite": the objective or its gradient became NaN or infinite.
    Of two stages it is the second one's, unless the restart that it goes on from broke."""

    images: Tensor
    labels: Tensor
    loss: Tensor
    history: "History"
    last: Tensor
    last_labels: Tensor
    evaluations: Tensor
    seconds: float
    variables: Tensor
    latents: Tensor | None = None
    ended: list[list[str]] = field(default_factory=list)

    def __repr__(self) -> str:
        (K, R), loss = self.loss.shape, self.loss.amin(1)
        counts = Counter(itertools.chain(*self.ended)).most_common()
        ended = ", ".join(f"{count} by {why}" for why, count in counts)
        return (f"Reconstruction(images {tuple(self.images.shape)}, K={K} clients, R={R} restarts; "
                f"best loss {loss.min():.3g} to {loss.max():.3g}; ended: {ended}; "
                f"{self.seconds:.1f} s)")


@dataclass
class History:
    losses: Tensor
    images: dict[int, Tensor]
    label_logits: dict[int, Tensor]


def starts(update: SharedUpdate, attack: Attack, restarts=1, seed=0, first=0) \
        -> tuple[Tensor, Tensor | None]:
    """Dummy images (K, R, B, C, H, W) ~ N(0, 1) in the optimised space, and label logits or None.

    Drawn on the CPU for each (seed, client, restart), so they depend on nothing else. `first` is
    the number of the first client, where the update is a part of a longer sweep. With a generator
    latents take the images' place."""
    _checked_pair(update, attack)
    checks.whole("restarts", restarts)
    pixels = not isinstance(attack, Generative) or attack.search == "x"
    shapes, drawn = (update.shape if pixels else attack.latent, (update.num_classes,)), []
    for k, r in itertools.product(range(len(update)), range(restarts)):
        rng = run.generator("start", seed, first + k, r)
        drawn.append([torch.randn(update.batch_size, *shape, generator=rng) for shape in shapes])
    like = next(iter(update.gradients.values()))
    x, z = (torch.stack(t).to(like).unflatten(0, (-1, restarts)) for t in zip(*drawn, strict=True))
    return x, z if attack.labels == "joint" and update.labels is None else None


def reconstruct(update: SharedUpdate, attack: Attack, restarts: int = 1, seed: int = 0,
                record: Iterable[int] = (), chunk: int | None = None,
                start: "tuple | Reconstruction | None" = None) -> Reconstruction:
    """Attack K clients x R restarts at once and keep, for each client, the best restart.

    record: iterations whose dummy images and labels are kept in `.history` (0 is the start).
    chunk: clients at once (None: as many as memory allows; results do not depend on it).
    start: images and label logits to start from, shaped as `starts` returns them; or a
    reconstruction of the same update to go on from, with one restart.
    Errors: AssumptionError when the attack needs more than the threat model grants; ValueError
    for other bad input, and where a client's objective is not finite at the start of any restart.
    All come before any work. A single restart that diverges is recorded, see `ended`."""
    record = _checked(update, attack, restarts, seed, record, chunk)
    if getattr(attack, "then", None):
        return _stages(update, attack, restarts, seed, record, chunk, start)
    _granted(update, attack)
    run.current()  # ieee float32
    x, z, latents = _begin(update, attack, restarts, seed, start)
    if z is None and update.labels is None and attack.labels == "joint":
        raise ValueError("this attack optimises labels too: start with their logits, or give the "
                         "attack a label rule")
    problems, fixed, space = _problems(update, attack, z, latents)
    lead = (len(update), restarts)
    given = x.shape, None if z is None else z.shape[2:]
    if given != ((*lead, *space.shape), problems.z_shape):
        raise ValueError(f"a start is images {(*lead, *space.shape)} and label logits or None")
    flat, spent = problems.join(x, z), 0.0
    tied = getattr(attack, "copies", None) == "all"  # one problem of all clients: no chunks
    if chunk is None and flat.device.type == "cpu":
        chunk = max(1, _IMAGE_PIXELS_PER_CHUNK // x[0].numel())

    def in_parts(work):
        return [work(slice(0, lead[0]))] if tied else engine.of_chunks(lead[0], chunk, work)

    def of_clients(clients):
        return problems.select(torch.arange(len(update), device=flat.device)[clients])

    @torch.no_grad()
    def begins(clients: slice) -> Tensor:  # traces, too, before the clock runs
        v = flat[clients]
        loss, g = engine.evaluator(of_clients(clients), len(v), restarts, flat.device)(v)
        return loss.isfinite() & g.isfinite().all(-1)

    def one_chunk(clients: slice) -> engine.Outcome:
        nonlocal spent
        v, optimizer = flat[clients], _optimizer(update, attack, problems)
        first = time.perf_counter()
        with torch.no_grad(), run.progress(total=attack.iterations, desc=attack.name) as bar:
            out = engine.minimise(of_clients(clients), v, optimizer, attack.iterations, record,
                                  bar, attack.stop)
        if flat.is_cuda:
            torch.cuda.synchronize(flat.device)
        spent += time.perf_counter() - first
        return out

    hopeless = ~torch.cat(in_parts(begins)).any(1)
    if bool(hopeless.any()):
        raise ValueError(_not_finite(update, attack, z, latents, flat, int(hopeless.nonzero()[0])))
    out = engine.joined(in_parts(one_chunk))
    return _finished(update, attack, problems, space, fixed, out, spent, latents)


def _checked(update, attack, restarts, seed, record, chunk) -> list[int]:
    """The iterations to record, in order; ValueError for an argument of a wrong type or range."""
    _checked_pair(update, attack)
    checks.whole("restarts", restarts)
    checks.whole("seed", seed, 0)
    if chunk is not None:
        checks.whole("chunk", chunk)
    if isinstance(record, str) or not isinstance(record, Iterable):
        raise ValueError(f"record is a list of iterations, not {record!r}")
    last = attack.iterations + (attack.then.iterations if getattr(attack, "then", None) else 0)
    return sorted({checks.whole("each iteration in record", i, 0, last) for i in record})


def _checked_update(update) -> None:
    if not isinstance(update, SharedUpdate):
        raise ValueError("an attack needs a SharedUpdate: what client.share returns, or "
                         f"SharedUpdate.from_gradients(...) makes; not {type(update).__name__}")


def _checked_attack(attack) -> None:
    if not isinstance(attack, Attack):
        raise ValueError("give an Attack, what a preset like attacks.dlg() returns, not "
                         f"{attack!r}")


def _checked_pair(update, attack) -> None:
    _checked_update(update)
    _checked_attack(attack)


def _number(what: str, value, like: Tensor) -> Tensor:
    """What an objective or a prior returned; ValueError where it is no real number."""
    if not isinstance(value, Tensor) or value.dim() or not value.is_floating_point():
        shape = f" {tuple(value.shape)} {value.dtype}" if isinstance(value, Tensor) else ""
        raise ValueError(f"{what} must return one real number, a tensor of no axes, not "
                         f"{type(value).__name__}{shape}")
    if value.device.type != like.device.type:
        raise ValueError(f"{what} returned a tensor on {value.device}, not on {like.device}")
    return value


def _granted(update: SharedUpdate, attack: Attack) -> None:
    """AssumptionError or ValueError where the attack needs what the update does not have."""
    if attack.normalise and update.mean is None:
        raise ValueError("this attack works on normalised images: the update needs mean and std")
    if update.protocol.mode == "train" and update.threat.bn_statistics == "inferred" and any(
            getattr(prior, "reads_moments", False) for _, prior in attack.priors):
        raise AssumptionError("a prior on BatchNorm statistics needs some to compare with: grant "
                              "ThreatModel(bn_statistics='proxy') or 'exact'")
    if "prior data" in assumptions(attack) and update.threat.prior_data is None:
        raise AssumptionError("a trained generator is knowledge of images like the client's: grant "
                              "ThreatModel(prior_data='name of the set it was trained on')")


def _not_finite(update, attack, z, latents, flat, k: int) -> str:
    """Why client k cannot be attacked from `flat` (K, R, N): which part is NaN or infinite."""
    v = flat[k, 0]
    if not v.isfinite().all():
        return f"the start of client {k} holds NaN or infinite values: give finite images"

    def nothing(dummy, shared):
        return next(iter(shared.values())).new_zeros(())

    parts = {f"the objective {objectives.name_of(attack.objective)}": replace(attack, priors=())}
    for weight, prior in attack.priors:
        parts[f"the prior {objectives.name_of(prior)}"] = replace(
            attack, objective=nothing, priors=((weight, prior),))
    wrong = []
    for name, part in parts.items():
        problems, *_ = _problems(update, part, z, latents)
        own = {n: t[k] for n, t in problems.own.items()}
        slope, value = torch.func.grad_and_value(lambda v, problems=problems, own=own:
            problems.objective(*problems.split(v), problems.shared, own))(v)
        if not value.isfinite():
            wrong.append(f"{name} is {float(value)}")
        elif not slope.isfinite().all():
            wrong.append(f"the gradient of {name} is not finite")
    return (f"client {k} cannot be attacked: {' and '.join(wrong) or 'the objective overflows'} "
            "at the start of every restart. Give another start, objective or prior, or look for "
            "what makes it so (a division by 0, the root of 0, a mean of nothing)")


def _stages(update, attack, restarts, seed, record, chunk, start) -> Reconstruction:
    """Run a stage, and the next ones from its best restart: one reconstruction of all of them."""
    n, rows = attack.iterations, torch.arange(len(update))
    a = reconstruct(update, replace(attack, then=None), restarts, seed,
                    [i for i in record if i <= n], chunk, start)
    b = reconstruct(update, attack.then, 1, seed, [i - n for i in record if i > n], chunk, a)
    best = a.loss.argmin(1).cpu()
    before = {i: t[rows, best][:, None] for i, t in a.history.images.items()}
    losses = a.history.losses[:-1, rows, best][..., None]
    history = History(torch.cat((losses, b.history.losses)), before | {
        i + n: t for i, t in b.history.images.items()}, {})
    spent = a.evaluations.sum(1, keepdim=True) + b.evaluations
    broke = engine.ENDED[-1]
    ended = [[broke] if first[r] == broke else then
             for first, r, then in zip(a.ended, best.tolist(), b.ended, strict=True)]
    return replace(b, history=history, evaluations=spent, seconds=a.seconds + b.seconds,
                   ended=ended)


def _begin(update, attack, restarts, seed, start) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Variables (K, R, ...) and label logits or None to start from, and the latents (K, B, ...)
    that the stage keeps."""
    search, latents = getattr(attack, "search", "x"), getattr(start, "latents", None)
    if isinstance(start, tuple):
        if search in "hw":
            raise ValueError(f"to search {SPACES[search]} start from a reconstruction, or nothing")
        if len(start) != 2 or not isinstance(start[0], Tensor) \
                or not isinstance(start[1], Tensor | None):
            raise ValueError("a start is a pair of tensors: images, and label logits or None")
        like = next(iter(update.gradients.values()))
        return *(t if t is None else t.to(like) for t in start), None
    if not isinstance(start, Reconstruction | None):
        raise ValueError("start is (images, label logits or None) or a reconstruction, not "
                         f"{type(start).__name__}")
    if search in "xz" and start is None:
        return *starts(update, attack, restarts, seed), None
    if restarts > 1:
        raise ValueError("what goes on from one state has one restart")
    if search == "x":
        x = client.to_input(start.images, False, attack.normalise, update.mean, update.std)
        return x[:, None], None, latents
    if start is None:
        latents = starts(update, attack, 1, seed)[0][:, 0]
    net = _generator(update, attack)
    if start is not None and (latents is None or not torch.allclose(
            net(latents.flatten(0, 1)).view_as(start.images), start.images, atol=1e-3)):
        raise ValueError("to go on, a reconstruction must be what this generator makes of its "
                         "latents: start from a search of latents")
    if search == "z":
        return latents[:, None], None, None
    if search == "w":
        flat = torch.cat([p.detach().flatten() for p in net.parameters()])
        copies = update.batch_size if attack.copies == "image" else 1
        return flat.expand(len(update), 1, copies, -1).clone(), None, latents
    with torch.no_grad():
        return net[: attack.layer](latents.flatten(0, 1)).unflatten(
            0, (len(update), 1, update.batch_size)), None, latents


@torch.no_grad()
def _generator(update: SharedUpdate, attack: "Generative") -> nn.Module:
    like = next(iter(update.gradients.values()))
    net = models.prepare(attack.generator).to(like)
    z = torch.randn(2, *attack.latent, generator=run.generator("a look at it", 0)).to(like)
    made, again = net(z), net(z)
    if not isinstance(made, Tensor):
        raise ValueError("the generator must return images (B, C, H, W), not "
                         f"{type(made).__name__}")
    if made.shape[1:] != update.shape or made.min() < 0 or made.max() > 1:
        raise ValueError(f"the generator makes {tuple(made.shape[1:])} in [{made.min():.2g}, "
                         f"{made.max():.2g}], not {tuple(update.shape)} in [0, 1]: wrap it")
    if not torch.equal(made, again):
        raise ValueError("the generator makes two images of one latent: fix its noise")
    return net


@dataclass
class _Space:
    """What an attack optimises: `shape` of one client's variables, and the images they stand for,
    `image(x, state)`, with the tensors that it needs, of all clients and of each."""

    shape: tuple
    image: Callable = staticmethod(lambda x, state: x)
    shared: dict = field(default_factory=dict)
    own: dict = field(default_factory=dict)
    key: tuple = ()
    stays: bool = True  # see `tracing.described`


def _space(update: SharedUpdate, attack: Attack, latents: Tensor | None) -> _Space:
    search, B = getattr(attack, "search", "x"), update.batch_size
    if search == "x":
        return _Space((B, *update.shape))
    net = _generator(update, attack)
    names, sizes, shapes = zip(*((n, p.numel(), p.shape) for n, p in net.named_parameters()),
                               strict=True)
    shape, part = (B, *attack.latent), net
    if search == "w":
        shape = (B if attack.copies == "image" else 1, sum(sizes))
    elif search == "h":
        part = net[attack.layer :]
        shape = (B, *net[: attack.layer](latents[0, :1]).shape[1:])
    tensors = {n: t.detach() for n, t in (*part.named_parameters(), *part.named_buffers())}
    own = {"latent": latents} if search == "w" else {}

    def made(flat, z, state):  # by a generator of these parameters
        each = {n: p.view(s) for n, p, s in zip(names, flat.split(sizes), shapes, strict=True)}
        return models.call(net, named(state) | each, z)

    def named(state):
        return {n[2:]: t for n, t in state.items() if n.startswith("G ")}

    def image(x, state):
        if search == "w" and len(x) == 1:
            out = made(x[0], state["latent"], state)
        elif search == "w":
            out = torch.func.vmap(lambda w, z: made(w, z[None], state)[0])(x, state["latent"])
        else:
            out = models.call(part, named(state), x)
        return client.to_input(out, False, attack.normalise, state.get("mean"), state.get("std"))

    shared = {"G " + n: t for n, t in tensors.items()}
    if attack.normalise:
        shared |= {"mean": update.mean.to(update.device), "std": update.std.to(update.device)}
    key, stays = tracing.described_module(net)
    return _Space(shape, image, shared, own, (search, attack.layer, key), stays)


def _problems(update: SharedUpdate, attack: Attack, z: Tensor | None, latents: Tensor | None):
    """The engine's formula for this attack, the labels that are not optimised (or None), and the
    space of its variables."""
    base, stacked = models.architecture(update.model)
    params, buffers = client.tensors(update.model)
    f = client.update_function(base, update.protocol)
    like, fixed = next(iter(params.values())), update.labels
    if z is None and fixed is None:
        fixed = label_rules.infer(update, attack.labels)
    shared, own = {}, {"g " + n: g for n, g in update.gradients.items()}
    (own if stacked else shared).update({"p " + n: p for n, p in params.items()})
    (own if stacked else shared).update({"b " + n: b for n, b in buffers.items()})
    exact = {"b " + n: t for n, t in (update.statistics or {}).items()}
    own, shared = own | exact, {n: t for n, t in shared.items() if n not in exact}
    space = _space(update, attack, latents)
    own, shared = own | space.own, shared | space.shared
    convert = attack.normalise != update.protocol.normalise
    if convert:
        shared |= {"mean": update.mean.to(update.device), "std": update.std.to(update.device)}
    if fixed is not None:
        own["target"] = client.hard_targets(fixed, update.num_classes).to(like) \
            if update.targets is None else update.targets

    def named(prefix, tensors):
        return {n[2:]: t for n, t in tensors.items() if n.startswith(prefix)}

    def fed(x, z, state):
        """What the client's model would be fed, and the targets."""
        moments, images = (state.get("mean"), state.get("std")), space.image(x, state)
        v = client.to_input(images, attack.normalise, update.protocol.normalise, *moments)
        return v, state["target"] if z is None else client.soft_targets(z)

    def objective(x, z, shared, own):
        state = shared | own
        v, target = fed(x, z, state)
        return distance(f(named("p ", state), named("b ", state), v, target), x, v, state)

    def distance(dummy, x, v, state):
        loss = _number("the objective", attack.objective(dummy, named("g ", state)), like)
        for weight, prior in attack.priors:
            seen = models.moments(base, named("p ", state) | named("b ", state), v) \
                if getattr(prior, "reads_moments", False) else x if getattr(
                    prior, "reads_variables", False) else space.image(x, state)
            loss = loss + weight * _number(
                f"the prior {objectives.name_of(prior)}", prior(seen), like)
        return loss

    one = {n: (t[0] if stacked else t) for n, t in {**params, **buffers}.items()}
    images = like.new_zeros(update.batch_size, *update.shape)
    flops = engine.forward_flops(lambda v: models.call(base, one, v), images)
    made_of, stays = _made_of(base, update.protocol, attack)
    key = (made_of, convert, attack.normalise, stacked, tuple(own), tuple(shared), space.key)
    graphs = tracing.GRAPHS if stays and space.stays else {}
    z_shape = None if z is None else (update.batch_size, update.num_classes)
    rollout = _rollout(update, base, fed, distance, named)
    problems = engine.Problems(objective, shared, own, space.shape, z_shape, key, flops, rollout,
                               graphs)
    return problems, fixed, space


def _made_of(base: nn.Module, protocol, attack: Attack) -> tuple[tuple, bool]:
    """What tells a formula's parts from others, and whether they stay what they are: graphs of a
    user's own model, objective, prior or loss are not kept for the next attack."""
    parts = [tracing.described_module(base), tracing.described(attack.objective),
             tracing.described(attack.priors)]
    for one in fields(protocol):
        value = getattr(protocol, one.name)
        parts.append(tracing.described(value))
        if one.name == "loss" and isinstance(value, str):
            parts.append((value, tracing.of_a_library(client.LOSSES[value])))
    return tuple(key for key, _ in parts), all(stays for _, stays in parts)


def _rollout(update: SharedUpdate, base, fed, distance, named) -> engine.Rollout | None:
    """The local steps one at a time, where there are too many for one graph."""
    protocol = update.protocol
    if protocol.local_lr is None:
        return None
    parts = client.local_slices(protocol, update.batch_size)
    if len(parts) <= UNROLLED_STEPS:
        return None
    local_step = client.local_step(base, protocol)

    def first(shared, own):  # the weights and, with momentum, the velocity beside them
        params = named("p ", shared | own)
        velocity = client.still(params, protocol)
        return params | {"velocity " + n: t for n, t in velocity.items()}

    def parted(theta):
        beside = [n for n in theta if n.startswith("velocity ")]
        return ({n: t for n, t in theta.items() if n not in beside},
                {n.removeprefix("velocity "): theta[n] for n in beside})

    def step(theta, x, z, shared, own, part):
        state = shared | own
        v, target = fed(x, z, state)
        params, velocity = local_step(*parted(theta), named("b ", state), v[part], target[part])
        return params | {"velocity " + n: t for n, t in velocity.items()}

    def end(theta, x, z, shared, own):
        state = shared | own
        sent = named("p ", state)
        change = {n: p - sent[n] for n, p in parted(theta)[0].items()}
        return distance(change, x, fed(x, z, state)[0], state)

    return engine.Rollout(first, step, end, parts)


def _optimizer(update: SharedUpdate, attack: Attack, problems: engine.Problems) -> Callable:
    images = torch.Size(problems.x_shape).numel()
    if "adam" not in attack.optimizer:
        settings = {"lr": attack.lr, "line_search": attack.optimizer == "lbfgs_line_search",
                    "relative": not _as_published(attack)}
        if not attack.in_turn:
            return lambda v: optimizers.LBFGS(v, **settings)
        return lambda v: optimizers.InTurn(v, problems.of_each_image(v.device), **settings)
    box = None
    if attack.box:
        ends = (torch.full(problems.x_shape, e, device=update.device) for e in (0.0, 1.0))
        box = [client.to_input(end, False, attack.normalise, update.mean, update.std).flatten()
               for end in ends]
    settings = (attack.optimizer == "signed_adam", attack.decay, box,
                getattr(attack, "copies", None) == "all")
    return lambda v: optimizers.Adam(v, attack.lr, attack.iterations, images, *settings)


def _as_published(attack: Attack) -> bool:
    """Whether this is L-BFGS as the official codes run it: fixed steps on one of the papers' plain
    distances, with priors of lib. It has torch's absolute tolerances; with a line search, a scaled,
    relative or masked distance, or callables of one's own they follow the objective."""
    return attack.optimizer == "lbfgs" and any(
        attack.objective is distance for distance in OBJECTIVES.values()) and all(
        any(prior is known for known in (priors.tv, priors.batch_norm))
        for _, prior in attack.priors)


def _finished(update, attack, problems, space, fixed, out, seconds, latents) -> Reconstruction:
    def one(x, own):
        return space.image(x, problems.shared | own)

    made = torch.func.vmap(torch.func.vmap(one, in_dims=(0, None)))  # of (K, R, ...) variables

    @torch.no_grad()
    def read(v):
        """Images in the space of [0, 1], labels, label logits."""
        x, z = problems.split(v)
        x = made(x, space.own) if space.key else x
        x = client.to_input(x, attack.normalise, False, update.mean, update.std)
        if fixed is not None:
            labels = fixed[:, None].expand(-1, v.shape[1], -1)
        else:
            labels = client.read_labels(z)
        return x, labels, z

    winner = out.best_loss.argmin(1)  # the restart with the smallest objective
    best = torch.arange(len(winner), device=winner.device), winner
    images, labels, _ = read(out.best)
    last, last_labels, _ = read(out.last)
    states = {i: read(v) for i, v in out.states.items()}
    logits = {i: z for i, (_, _, z) in states.items() if fixed is None}
    history = History(out.losses, {i: x for i, (x, _, _) in states.items()}, logits)
    if getattr(attack, "search", "x") == "z":
        latents = problems.split(out.best[best])[0]
    return Reconstruction(images[best], labels[best], out.best_loss, history, last, last_labels,
                          out.evaluations, seconds, problems.split(out.last[best])[0], latents,
                          [[engine.ENDED[why] for why in row] for row in out.ended.tolist()])
