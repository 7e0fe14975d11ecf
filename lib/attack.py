"""What an attack is: its settings, with the papers' symbols, and what it takes for granted."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from . import checks, objectives, priors
from .labels import RULES
from .protocol import AssumptionError
from .spaces import Pixels, Space
from .update import SharedUpdate

OPTIMIZERS = ("lbfgs", "lbfgs_line_search", "adam", "signed_adam")  # signed: the image's gradient
PUBLISHED = (objectives.l2, objectives.cosine, objectives.layer_cosine)  # the papers' distances


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
    space: Space = field(default_factory=Pixels)  # what is searched, see lib.spaces
    in_turn: bool = False  # L-BFGS moves one image of the batch an iteration, i mod B

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ValueError(f"the name of an attack is a string, not {self.name!r}")
        if not callable(self.objective):
            raise ValueError("objective must be a callable of (dummy, shared), not "
                             f"{self.objective!r}")
        object.__setattr__(self, "priors", _checked_priors(self.priors))
        checks.one_of("labels", self.labels, ("joint", *RULES))
        checks.one_of("optimizer", self.optimizer, OPTIMIZERS)
        checks.whole("iterations", self.iterations)
        checks.number("lr", self.lr, 0, exclude=(0,))
        for name in ("decay", "normalise", "in_turn"):
            checks.flag(name, getattr(self, name))
        self._check_space()
        if ((self.decay or self.box) and not self.is_adam) or (self.in_turn and self.is_adam):
            raise ValueError("decay and box belong to Adam, in_turn to L-BFGS")
        if self.stop is not None:
            checks.number("stop", self.stop, 0, exclude=(0,))
            if self.is_adam or self.in_turn:
                raise ValueError("stop is an objective for L-BFGS on whole batches: leave "
                                 f"{self.stop} out")

    def _check_space(self) -> None:
        if not isinstance(self.space, Space) or not self.space.letter:
            raise ValueError("space must be one of lib.spaces, as spaces.Pixels(), not "
                             f"{self.space!r}")
        if self.space.letter != "x" and self.labels == "joint":
            raise ValueError("an attack through a generator needs labels granted, or a rule's")
        if self.then is None:
            return
        if not isinstance(self.then, Attack):
            raise ValueError(f"then is the next stage, an Attack, or None, not {self.then!r}")
        if self.then.space.gives_latents or self.then.then is not None:
            raise ValueError("a search of latents is gone on from, once, in another space")

    @property
    def is_adam(self) -> bool:
        return self.optimizer in ("adam", "signed_adam")

    @property
    def box(self) -> bool:
        """Whether pixels are projected to [0, 1] after each step of Adam."""
        return self.space.box

    @property
    def then(self) -> "Attack | None":
        """The attack that goes on from the best state of this one."""
        return self.space.then

    @property
    def is_as_published(self) -> bool:
        """Whether this is L-BFGS as the official codes run it: fixed steps on one of the papers'
        plain distances, with priors of lib. It has torch's absolute tolerances; with a line search,
        a scaled, relative or masked distance, or callables of one's own they follow the objective.
        """
        plain = any(self.objective is distance for distance in PUBLISHED)
        known = (priors.tv, priors.batch_norm)
        ours = all(any(prior is other for other in known) for _, prior in self.priors)
        return self.optimizer == "lbfgs" and plain and ours


def _checked_priors(given) -> tuple:
    """((weight, prior), ...) as tuples; ValueError for anything else."""
    said = "priors are pairs ((weight, prior), ...), each prior a callable of images"
    if isinstance(given, str | dict) or not isinstance(given, Iterable):
        raise ValueError(f"{said}, not {given!r}")
    pairs = []
    for pair in given:
        if isinstance(pair, str) or not isinstance(pair, Iterable):
            raise ValueError(f"{said}, not {pair!r}")
        pair = tuple(pair)
        if len(pair) != 2:
            raise ValueError(f"{said}, not {pair!r}")
        weight, prior = pair
        if not callable(prior):
            raise ValueError(f"{said}; {prior!r} is none")
        checks.number(f"the weight of {objectives.name_of(prior)}", weight, 0)
        pairs.append((weight, prior))
    return tuple(pairs)


def check_pair(update, attack) -> None:
    """ValueError where these are no update and no attack."""
    check_update(update)
    check_attack(attack)


def check_update(update) -> None:
    """ValueError for what is no update."""
    if not isinstance(update, SharedUpdate):
        raise ValueError("an attack needs a SharedUpdate: what client.share returns, or "
                         f"SharedUpdate.from_gradients(...) makes; not {type(update).__name__}")


def check_attack(attack) -> None:
    """ValueError for what is no attack."""
    if not isinstance(attack, Attack):
        raise ValueError("give an Attack, what a preset like attacks.dlg() returns, not "
                         f"{attack!r}")


# --- what it takes for granted -------------------------------------------------------------------


def assumptions(attack: Attack) -> dict[str, str]:
    """What an attack takes for granted, read off its settings: one entry a thing that it needs.

    Needs of its label rule stand only where labels are not granted; what each rule needs:
    `labels.NEEDS`."""
    check_attack(attack)
    needs = {} if attack.labels == "joint" else {
        "labels": "granted, or read by " + attack.labels + " ("
                  + ", ".join(RULES[attack.labels].needs) + ")"}
    if attack.space.needs_prior_data:
        needs["prior data"] = "a generator of images like the client's"
    if reads_moments(attack):
        needs["BatchNorm statistics"] = "exact or proxy, for clients in train mode"
    if attack.normalise:
        needs["mean and std"] = "of the data, public"
    smooth = [objectives.name_of(prior) for _, prior in attack.priors
              if priors.read_by(prior) != "moments"]
    if smooth:
        needs["images"] = "natural: " + ", ".join(smooth)
    return needs


def reads_moments(attack: Attack) -> bool:
    """Whether a prior of the attack compares BatchNorm statistics."""
    return any(priors.read_by(prior) == "moments" for _, prior in attack.priors)


def check_granted(update: SharedUpdate, attack: Attack) -> None:
    """AssumptionError or ValueError where the attack needs what the update does not have."""
    if attack.normalise and update.mean is None:
        raise ValueError("this attack works on normalised images: the update needs mean and std")
    unknown = update.protocol.mode == "train" and update.threat.bn_statistics == "inferred"
    if unknown and reads_moments(attack):
        raise AssumptionError("a prior on BatchNorm statistics needs some to compare with: grant "
                              "ThreatModel(bn_statistics='proxy') or 'exact'")
    if attack.space.needs_prior_data and update.threat.prior_data is None:
        raise AssumptionError("a trained generator is knowledge of images like the client's: grant "
                              "ThreatModel(prior_data='name of the set it was trained on')")
