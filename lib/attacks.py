"""The attacks of the papers, one preset each; and the doors `reconstruct`, which runs one, and
`diagnose`, which looks before and after.

Your own attack is `replace(attacks.dlg(), objective=my_distance, priors=((0.1, my_prior),))`: both
are callables.
"""

from dataclasses import replace

from torch import nn

from . import batching, checks, objectives, priors, spaces
from .attack import OPTIMIZERS, Attack, assumptions, check_update  # noqa: F401
from .diagnose import diagnose  # noqa: F401
from .mixing import decode  # noqa: F401
from .problem import Problem, problem, starts  # noqa: F401
from .protocol import AssumptionError  # noqa: F401
from .reconstruct import History, Reconstruction, reconstruct  # noqa: F401
from .spaces import NAMES as SPACES  # noqa: F401
from .update import SharedUpdate, dummy_gradients  # noqa: F401

OBJECTIVES = {"cosine": objectives.cosine, "layer_cosine": objectives.layer_cosine,
              "l2": objectives.l2}


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
    if checks.flag("masked", masked):
        distance = objectives.masked(distance)
    weighed = _weighed(tv=(tv, priors.tv), bn=(bn, priors.batch_norm))
    return Attack("inverting_gradients", distance, weighed, labels, optimizer, iterations, lr,
                  decay=adam, normalise=True, space=spaces.Pixels(box=adam))


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


# --- through a generator --------------------------------------------------------------------------

RATES = {"x": 0.1, "z": 0.03, "h": 0.03, "w": 1e-3}  # w, z: the official code of GIAS
GIAS_SPACES = ("x", "z", "w", "z/x", "z/h", "z/w")


def gias(generator: nn.Module | None, space: str = "z/w", iterations=(1000, 5000), lr=None,
         tv: float = 1e-6, bn: float = 0.0, latent_norm: float = 0.0, labels: str = "idlg",
         masked: bool = False, **where) -> Attack:
    """GIAS (Jeon et al. 2021): cosine, Adam with step decay; latents, then the generator's own
    parameters, of which every image of the batch has a copy.

    space: one of `GIAS_SPACES`, letters of `SPACES`. "z/w" is GIAS; "z", "z/x", "z/h" and "w"
    (parameters alone, at latents drawn once) its relatives; "x" the baseline of the official code:
    pixels from noise, in a box but without the signs that Inverting Gradients has. iterations: one
    number a stage (500 to 1,000 and 5,000 to 8,000 in the scripts); lr likewise, or None for
    `RATES`. The second stage goes on from the best state of the best restart and has none itself.
    tv, bn, masked: as `inverting_gradients`; latent_norm: weight of |z| (`priors.norm`).
    where: `latent`, the shape of one latent, where the generator has no attribute `latent`;
    `layer` of `spaces.Layer`; `copies` of `spaces.Parameters`. Generators: `lib.generators`, or any
    module; latents are drawn from N(0, 1).
    ValueError for a space, a number of stages or a generator that does not fit."""
    known = {"latent": None, "layer": 1, "copies": "image"}
    if unknown := sorted(set(where) - set(known)):
        raise TypeError(f"gias has no setting {unknown[0]!r}: beside those of its signature it "
                        f"takes {', '.join(known)}")
    if not isinstance(generator, nn.Module | None):
        raise ValueError(f"generator must be a torch module, not {generator!r}")
    where = known | where
    letters = checks.one_of("space", space, GIAS_SPACES).split("/")
    iterations, rates = _of_stages(space, letters, iterations, lr)
    checks.number("latent_norm", latent_norm, 0)
    base = inverting_gradients(1, 1.0, tv, labels, bn=bn, masked=masked)
    attack = None
    for letter, count, rate in reversed(list(zip(letters, iterations, rates, strict=True))):
        of_latents = ((latent_norm, priors.norm),) if latent_norm and letter == "z" else ()
        attack = Attack(
            "gias", base.objective, (*base.priors, *of_latents), labels, "adam", count, rate,
            decay=True, normalise=True, space=_space(letter, generator, attack, **where))
    return attack


def _of_stages(space: str, letters: list[str], iterations, lr) -> tuple[list, list]:
    """Iterations and learning rates, one a stage; ValueError where there are fewer."""
    for name, value in (("iterations", iterations), ("lr", lr)):
        unknown = name == "lr" and value is None
        if not (isinstance(value, tuple | list) or unknown):
            raise ValueError(f"{name} has one number a stage, in a tuple, not {value!r}")
    rates = [RATES[letter] for letter in letters] if lr is None else lr
    if min(len(iterations), len(rates)) < len(letters):
        raise ValueError(f"space {space!r} has {len(letters)} stages: as many iterations (and lr)")
    return iterations[: len(letters)], rates[: len(letters)]


def _space(letter: str, generator: nn.Module | None, then: Attack | None, latent, layer: int,
           copies: str) -> spaces.Space:
    """The space of one stage; `then`: the attack that goes on from it."""
    checks.one_of("copies", copies, ("image", "client", "all"))
    checks.whole("layer", layer)
    if letter == "x":
        return spaces.Pixels(box=True)
    shape = getattr(generator, "latent", None) if latent is None else latent
    if shape is None:
        raise ValueError("latent=(...), the shape of one latent of this generator, is missing")
    if letter == "z":
        return spaces.Latents(generator, shape, then)
    if letter == "h":
        return spaces.Layer(generator, shape, layer)
    return spaces.Parameters(generator, shape, copies)


# --- another reading of BatchNorm ----------------------------------------------------------------


def as_if_eval(update: SharedUpdate) -> SharedUpdate:
    """The same update, where the attacker normalises the dummy batch with fixed statistics: those
    granted as "exact", else the model's running ones. An attacker in eval mode, whatever the client
    did; it then looks for a gradient that the client did not compute."""
    check_update(update)
    return replace(update, protocol=replace(update.protocol, mode="eval"),
                   model=batching.prepare(update.model, "eval"))
