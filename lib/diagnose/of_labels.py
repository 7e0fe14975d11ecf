"""Checks of labels, batch size and loss: what the last layer's gradient tells."""

import torch
from torch import Tensor

from ..labels import infer
from .subject import Row, Subject, row, worst_of

_COUNTING = ("uniform", "analytic")  # label rules that take the update for a mean, by its scale


def batch_size(subject: Subject) -> Row | None:
    """More labels, or more independent images, in the last layer's gradient than a batch has."""
    layer, B, update = subject.layer, subject.update.batch_size, subject.update
    entropy = update.protocol.loss == "cross_entropy" and update.targets is None
    if layer is None or not entropy:
        return None
    if layer.bias is None and not bool((layer.features >= 0).all()):
        return None
    count, what = _negative_entries(subject)
    if subject.steps == 1 and update.protocol.sends == "gradients":
        rank = _rank(layer.weight)
        if bool(((count <= B) & (rank > B)).any()):
            count, what = torch.maximum(rank, count), "the rank of the last layer's gradient"
    if subject.entropy:  # noise, or a loss of another sign, has negative entries too
        noisy = subject.surplus > subject.slack_of_sum
        count = torch.where(noisy | (subject.scale.factor < 0), 0, count)
    return row("batch size", count > B,
               f"{B}, as the protocol says; {what}: {worst_of(count, count.argmax())}",
               "A client of so many images has fewer: the batch holds at least that many, or its "
               "labels were mixed. Give batch_size=.")


def _negative_entries(subject: Subject) -> tuple[Tensor, str]:
    """(K,): how many entries of the last bias's gradient are negative, beyond rounding; or, without
    a bias, row sums of the last layer's. And which was counted."""
    layer, protocol = subject.layer, subject.update.protocol
    entries, what = layer.bias, "negative entries of the last bias's gradient"
    if layer.bias is None:
        entries, what = layer.weight.sum(-1), "negative row sums of the last layer's gradient"
    entries = entries.double()
    rounding = 1e-4 * entries.abs().amax(-1, keepdim=True)
    if protocol.sends == "weights":  # of the weights that were subtracted
        rounding = rounding + subject.slack * 0.1 + protocol.weight_decay
    return (entries < -rounding).sum(-1), what


def _rank(weight: Tensor) -> Tensor:
    """(K,): singular values of (K, C, F) above rounding. Of B images it is at most B; of noise or
    a pruned gradient as large as can be, which tells nothing: 0."""
    w = weight.double()
    squares = torch.linalg.eigvalsh(w @ w.mT)  # (K, C), of products: squared singular values
    rank = (squares > 4e-14 * squares[:, -1:].clamp_min(1e-300)).sum(-1)
    return torch.where(rank < (w != 0).any(-1).sum(-1), rank, 0)


def repeated_labels(subject: Subject) -> Row | None:
    update, B = subject.update, subject.update.batch_size
    labels, how = update.labels, "granted"
    even = update.members is None or update.members.even
    if B > 1 and labels is None and subject.entropy and subject.steps == 1 and even:
        if bool(subject.uncounted.any()):
            return row("repeated labels", subject.uncounted,
                       "not to be counted before the scale is mended",
                       "Divide the update first (see scale of the loss), then count.")
        labels, how = infer(update, "analytic", enforce=False), "as counted"
    if B == 1:
        return row("repeated labels", False, "one image", "")
    if labels is None:
        return None
    distinct = B - (labels.sort(-1)[0].diff(dim=-1) == 0).sum(-1)
    return row("repeated labels", distinct < B, f"different labels of {B} images, {how}: "
               f"{worst_of(distinct, distinct.argmin())}", "Images of one label mix in the last "
               "layer's gradient: they may come back blended.")


def label_rule(subject: Subject) -> Row | None:
    if subject.attack is None:
        return None
    rule = "granted" if subject.update.labels is not None else subject.attack.labels
    guessed = torch.zeros(len(subject.update), dtype=torch.bool)
    if rule not in ("granted", "joint"):
        try:
            infer(subject.update, rule)
        except ValueError as error:  # AssumptionError is one
            return row("label rule", True, f"{rule}, refused", str(error), "stops")
        if rule in _COUNTING and bool(subject.uncounted.any()):
            return row("label rule", subject.uncounted, f"{rule}, of an update that is no mean",
                       "Counts assume the mean loss: divide the update first (see scale of the "
                       "loss), then read the labels.")
        guessed = (subject.layer.weight == 0).flatten(1).all(1)
    return row("label rule", guessed, rule + (", a guess" if bool(guessed.any()) else ""),
               "The last layer's gradient is zero, so any label fits: do not count it as read.")


def scale_of_the_loss(subject: Subject) -> Row | None:
    """Is the last bias's gradient that of the mean cross-entropy, or `factor` times it?"""
    if not subject.entropy:
        return None
    scale, single = subject.scale, subject.update.batch_size == 1
    if single and not bool(scale.factor.isfinite().any()):  # no client's gradient says anything
        return None
    misfit = scale.misfit.nan_to_num(0) if single else subject.surplus
    wrong = misfit > (scale.misfit_limit if single else subject.slack_of_sum)
    if bool(wrong.any()):
        said = worst_of(100 * misfit, misfit.argmax(), " %")
        return row("scale of the loss", wrong, said + " of the last bias's gradient does not fit "
                   "a cross-entropy of this model", "This model's cross-entropy gives no multiple "
                   "of it: noise, another loss, other weights, or a defense; ask what the client "
                   "computed.")
    said, todo = _words_of_a_factor(subject, subject.wrong_scale)
    return row("scale of the loss", subject.wrong_scale, said, todo)


SEES_NOT = " the cosine does not see it where positive, but label rules that count do."


def _words_of_a_factor(subject: Subject, wrong: Tensor) -> tuple[str, str]:
    """What was measured, and what to do about it: one image, or a batch."""
    scale, B = subject.scale, subject.update.batch_size
    worst = _farthest(subject, wrong)
    usual = ""
    if subject.steps > 1:
        low, high = float(scale.low[worst]), float(scale.high[worst])
        usual = f"; simulated clients: {low:.3g} to {high:.3g}"
    todo = ("The update is that many times the protocol's (reduction, weight of the loss, learning "
            "rate, momentum, steps or sign): divide by it, or mend the protocol;" + SEES_NOT)
    if B == 1:
        return f"factor {worst_of(scale.factor, worst)}{usual}", todo
    most = worst_of(subject.negative, subject.negative.argmax())
    if float(subject.negative.max()) > 1 + subject.slack_of_sum:
        return f"factor of at least {most}", _more_than_a_mean(subject)
    if bool(wrong.any()):
        return f"factor of about {worst_of(scale.factor, worst)}{usual}", todo
    return f"a mean fits: {most}", ""


def _farthest(subject: Subject, wrong: Tensor) -> Tensor:
    """The client whose factor is farthest from what honest clients have; wrong ones before others.
    """
    middle = (subject.scale.low * subject.scale.high).sqrt()
    far = (subject.scale.factor / middle - 1).abs().nan_to_num(0)
    return torch.where(wrong, far + 1, far).argmax()


def _more_than_a_mean(subject: Subject) -> str:
    """What to do where a batch's update is larger than any mean."""
    B = subject.update.batch_size
    size = min(subject.update.protocol.local_batch or B, B)
    if float(subject.negative.max()) <= size * (1 + subject.slack):
        many = (f"summed over the batch it would be the batch size, here {size}: divide by that, "
                "or ask the client;")
    else:
        many = (f"more than a sum over the batch of {size}: ask the client (weight of the loss, "
                "learning rate, momentum, steps);")
    return f"At least that many times a mean; {many}{SEES_NOT}"
