"""Label inference: what the gradient of the last layer says about the labels. Floor 3."""

import torch
from torch import Tensor

from lib.client import AssumptionError, SharedUpdate


def class_scores(update: SharedUpdate) -> Tensor:
    """(K, classes): dl/dlogits summed over the batch, up to a positive factor.

    From the last dense layer: its bias gradient, which is exact; without a bias the summed rows of
    its weight gradient, as the iDLG code does, which need non-negative features (sigmoid, ReLU).
    A weight difference has the opposite sign and is turned round.
    """
    names, C = list(update.gradients), update.num_classes
    last = update.gradients[names[-1]]
    if last.dim() == 2 and names[-1].endswith("bias") and len(names) > 1:
        weight, scores = update.gradients[names[-2]], last
    else:
        weight, scores = last, last.sum(-1)
    if weight.dim() != 3 or weight.shape[1] != C:
        raise ValueError("the model does not end in a dense layer: no labels can be read off it")
    return scores if update.protocol.sends == "gradients" else -scores


def infer(update: SharedUpdate) -> Tensor:
    """(K, B) labels by iDLG's rule: the class with a negative gradient in the last layer.

    dl/dlogit_c = p_c - 1 < 0 for the true class alone (Zhao et al.
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
    return torch.argmin(class_scores(update), -1)[:, None].expand(-1, update.batch_size)
