"""Label inference: what the gradient of the last layer says about the labels. Floor 3."""

import torch
from torch import Tensor

from lib.client import AssumptionError, SharedUpdate


def row_sums(update: SharedUpdate) -> Tensor:
    """(K, classes): the summed rows of the last dense layer's weight gradient.

    Found as the last parameter with two axes and one row a class. A weight difference has the
    opposite sign and is turned round.
    """
    names = [
        n for n, g in update.gradients.items() if g.dim() == 3 and g.shape[1] == update.num_classes
    ]
    if not names:
        raise ValueError(
            "no dense layer with one row a class: labels cannot be read off this model"
        )
    sign = 1 if update.protocol.sends == "gradients" else -1
    return sign * update.gradients[names[-1]].sum(-1)


def infer(update: SharedUpdate) -> Tensor:
    """(K, B) labels by iDLG's rule: the class whose row of the last layer's gradient is negative.

    dl/dlogit_c = p_c - 1 < 0 only for the true class, times non-negative features (Zhao et al.
    2020). Exact for one image, or for images of one label. More labels in a batch need
    to be granted: AssumptionError.
    """
    if update.labels is not None:
        return update.labels
    if update.protocol.loss != "cross_entropy":
        raise AssumptionError("the label rule needs cross-entropy; grant labels='known'")
    if update.batch_size > 1 and update.threat.labels != "equal":
        raise AssumptionError(
            f"labels of {update.batch_size} images cannot be inferred by iDLG's rule; grant "
            "labels='known' (or 'equal'), or optimise them jointly as DLG does"
        )
    return torch.argmin(row_sums(update), -1)[:, None].expand(-1, update.batch_size)
