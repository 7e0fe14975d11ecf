"""Checks of what came of an attack."""

import itertools
import math
from collections import Counter

import torch
from torch import Tensor

from .. import objectives
from ..update import certain_logits, dummy_gradients
from .subject import Row, Subject, norm_of, row, worst_of

_LEFT = 1e-3  # of the objective: above, the reconstruction's update is not the shared one
_LEFT_BESIDE_PRIORS = 1e-2  # a prior keeps it from zero
_ROUNDING = 1e-6  # of the objective: below, all is matched


ADVICE = {  # why runs ended -> what to do
    "budget": " Some runs ended by their budget: give more iterations.",
    "tolerance": " Some runs ended by L-BFGS's tolerance: scale the objective (dlg(scale=1e4)) or "
                 "use a line search.",
    "not finite": " Some runs diverged: use a line search or a smaller lr."}


def non_finite(subject: Subject) -> Row:
    if subject.guess is None:
        return row("non-finite values", False, "none", "")
    losses = subject.guess.history.losses  # (iterations + 1, K, R)
    wild = ~(subject.guess.loss.isfinite() & losses.isfinite().all(0))
    said = f"{int(wild.sum())} of {wild.numel()} restarts diverged" if wild.any() else "none"
    return row("non-finite values", wild.any(1), said, "Use a line search "
               "(dlg(line_search=True)), a smaller lr, or more restarts.")


def size_of_the_gradient(subject: Subject) -> Row | None:
    if subject.guess is None:
        return None
    ratio = norm_of(_dummy(subject)) / subject.norm
    far = ratio.log().abs().nan_to_num(0, posinf=torch.inf)
    cosines = (objectives.cosine, objectives.layer_cosine)
    free = subject.attack is not None and subject.attack.objective in (
        *cosines, *map(objectives.masked, cosines))
    said = f"{worst_of(ratio, far.argmax())} of the shared one"
    return row("size of the reconstruction's gradient", (far > math.log(1.5)) & (not free),
               said + (" (the cosine does not fix it)" if free else ""), "L2 compares sizes, the "
               "cosine does not: see the scale of the loss, use the cosine, or take more "
               "restarts.")


def _dummy(subject: Subject, images: Tensor | None = None) -> dict[str, Tensor]:
    """The update of the reconstruction, or of other images (K, B, C, H, W), with its labels
    (granted mixed ones as they are)."""
    update, guess = subject.update, subject.guess
    images = guess.images if images is None else images
    certain = certain_logits(guess.labels, update.num_classes).to(guess.images)
    if update.targets is not None:
        certain = update.targets.clamp_min(1e-30).log()  # softmax undoes it
    return dummy_gradients(update, images, certain)


def what_is_left(subject: Subject) -> Row | None:
    """The objective (without priors) at the reconstruction, over that of zero gradients: |D - g|^2
    over |g|^2 for L2, the distance itself for the cosine. An own objective that is not finite and
    positive at zero: over that of the start. A grey image can leave little too, where all images
    have much the same update: so at most half of that.

    Labels that were optimised jointly were soft; there the run's own loss counts if smaller."""
    if subject.guess is None:
        return None
    left, grey = _relative_objective(subject), _of_grey_images(subject)
    worst = left.nan_to_num(torch.inf).argmax()
    said = (f"{worst_of(left, worst)} of that of zero gradients, "
            f"{float(grey[worst]):.3g} of grey images")
    ended = Counter(itertools.chain(*getattr(subject.guess, "ended", None) or []))
    if ended:
        said += "; runs ended: " + ", ".join(f"{n} {why}" for why, n in ended.most_common())
    todo = ("The reconstruction's update is not the shared one, so it is no finding about the "
            "image: take more restarts or iterations, or another attack; if nothing matches, "
            "protocol or model are not the client's.")
    todo += "".join(words for why, words in ADVICE.items() if why in ended)
    beside = subject.attack is not None and len(subject.attack.priors) > 0
    limit = _LEFT_BESIDE_PRIORS if beside else _LEFT
    no_better = (left > 0.5 * grey) & (left > _ROUNDING)
    return row("what is left of the objective", ~(left <= limit) | no_better, said, todo)


def _relative_objective(subject: Subject) -> Tensor:
    """(K,): the objective at the reconstruction, over that of zero gradients."""
    left = _distances(subject, _dummy(subject))
    joint = subject.attack is not None and subject.attack.labels == "joint"
    if joint and subject.update.labels is None:
        left = torch.fmin(left, subject.guess.loss.nan_to_num(torch.inf).amin(1))
    return left / _whole(subject)


def _of_grey_images(subject: Subject) -> Tensor:
    """(K,): the same of images that are 0.5 everywhere, with the reconstruction's labels."""
    grey = torch.full_like(subject.guess.images, 0.5)
    return _distances(subject, _dummy(subject, grey)) / _whole(subject)


def _whole(subject: Subject) -> Tensor:
    """(K,): the objective of zero gradients; where it says nothing, that of the best start."""
    nothing = {n: torch.zeros_like(g) for n, g in subject.update.gradients.items()}
    whole = _distances(subject, nothing)
    sound = whole.isfinite() & (whole > 0)
    return torch.where(sound, whole, subject.guess.history.losses[0].amin(1))


def _distances(subject: Subject, dummy: dict[str, Tensor]) -> Tensor:
    """(K,): the attack's objective without priors, or L2."""
    objective = objectives.l2 if subject.attack is None else subject.attack.objective
    given = subject.update.gradients
    with torch.no_grad():
        distances = [objective({n: dummy[n][k] for n in given}, {n: g[k] for n, g in given.items()})
                for k in range(len(subject.update))]
    return torch.stack([torch.as_tensor(t) for t in distances]).to(subject.guess.loss)
