"""In closed form: the input of a dense layer, and how many equations a gradient holds."""

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from . import checks, models
from .client import SharedUpdate


def dense_input(weight_gradient: Tensor, bias_gradient: Tensor) -> Tensor:
    """The input x (..., in) of a dense layer, from dl/dW (..., out, in) and dl/db (..., out).

    dl/dW_i = (dl/db_i) x for every output i (Geiping et al. 2020, Prop. 3.1; Phong et al. 2017),
    so any row with dl/db_i != 0 gives x; the row with the largest |dl/db_i| is used. Exact for one
    image; for a batch it is a weighted mean of the inputs. Where no row has a bias gradient the
    result is NaN: nothing was learned, so nothing leaks."""
    _check_layer(weight_gradient, bias_gradient)
    row = bias_gradient.abs().argmax(-1, keepdim=True)  # (..., 1)
    scale = bias_gradient.gather(-1, row)
    index = row[..., None].expand(*row.shape, weight_gradient.shape[-1])
    return weight_gradient.gather(-2, index).squeeze(-2) / torch.where(scale == 0, torch.nan, scale)


def demix(weight_gradient: Tensor, bias_gradient: Tensor, labels: Tensor) -> Tensor:
    """An image for each label (..., B, in), from dl/dW (..., classes, in) and dl/db (..., classes).

    x_hat = (dl/dW_c) / (dl/db_c), the row of the label c (Eloul et al. 2022, "direct inversion"),
    for a dense layer behind cross-entropy; labels (..., B). What it gives exactly: `demix_weights`.
    NaN where dl/db_c is 0."""
    _check_layer(weight_gradient, bias_gradient)
    _check_labels(labels, bias_gradient.shape[-1])
    scale = bias_gradient.gather(-1, labels)[..., None]  # (..., B, 1)
    index = labels[..., None].expand(*labels.shape, weight_gradient.shape[-1])
    return weight_gradient.gather(-2, index) / torch.where(scale == 0, torch.nan, scale)


def demix_weights(probabilities: Tensor, labels: Tensor) -> Tensor:
    """(..., B, B): `demix` gives the image of label c_j as sum_m w_jm x_m, exactly.

    probabilities (..., B, classes): the softmax p^m of each image; labels (..., B).

        w_jm = a_jm / sum_n a_jn,    a_jm = p_{c_j}^m - [c_m = c_j].

    Every row sums to 1. Labels that differ: the error x_hat_j - x_j is
    sum_{m != j} w_jm (x_m - x_j), what Eloul et al. 2022 neglect; it vanishes as p_{c_j}^m -> 0.
    Near an even softmax w_jm = -1 / (classes - B). Equal labels: all rows are the same weighted
    mean, with w_jm in proportion to 1 - p_c^m."""
    even = isinstance(probabilities, Tensor) and probabilities.dim() >= 2 \
        and probabilities.is_floating_point()
    if not even or not torch.allclose(
            probabilities.sum(-1), torch.ones_like(probabilities[..., 0]), atol=1e-3):
        raise ValueError("probabilities must be a tensor (..., B, classes) whose rows sum to 1")
    _check_labels(labels, probabilities.shape[-1])
    if labels.shape != probabilities.shape[:-1]:
        raise ValueError(f"labels {tuple(labels.shape)} do not fit probabilities "
                         f"{tuple(probabilities.shape)}")
    same_label = labels[..., :, None] == labels[..., None, :]  # (..., j, m)
    index = labels[..., None, :].expand_as(same_label)  # p^m at c_j, as (..., m, j)
    a = probabilities.gather(-1, index).mT - same_label.to(probabilities)
    return a / a.sum(-1, keepdim=True)


def in_span(update: SharedUpdate) -> tuple[SharedUpdate, Tensor]:
    """The same attack in B^2 unknowns: (an update of "images" (1, 1, B), basis (K, B, C H W)).

    Ours. The gradient of a first dense layer is a sum of B outer products, dl/dW = sum_m d_m x_m^T,
    so its first B right singular vectors V span the images (if the d_m are independent; behind a
    cross-entropy those of C outputs sum to 0, hence B < C): x = M V. A network that is fed M, with
    W V^T for W, is the same network; attack that one, and the images are M V. In float64, since
    small differences decide; V is scaled so that M ~ N(0, 1) is a fair start. All rounds of
    `models.Rounds` share one span. ValueError where the first layer with weights is not dense, on
    the whole image and with a bias, for a batch of as many images as it has outputs or more, and
    for a protocol other than one gradient of images in [0, 1]."""
    if not isinstance(update, SharedUpdate):
        raise ValueError(f"update must be a SharedUpdate, not {type(update).__name__}")
    B, pixels = update.batch_size, torch.Size(update.shape).numel()
    base, stacked = models.architecture(update.model)
    nets = update.model.unstack() if stacked else [copy.deepcopy(base) for _ in range(len(update))]
    layers = [(f"rounds.{t}.", m) for t, m in enumerate(base.rounds)] \
        if isinstance(base, models.Rounds) else [("", base)]
    firsts = [next((p + n, m) for n, m in net.named_modules() if [*m.parameters(recurse=False)])
              for p, net in layers]
    if not all(isinstance(m, nn.Linear) and m.bias is not None and m.in_features == pixels
               and m.out_features > B for _, m in firsts):
        raise ValueError("the first layer with weights must be dense, on the whole image, with a "
                         "bias and more outputs than the batch has images")
    if update.protocol.normalise or update.protocol.local_lr is not None:
        raise ValueError("one gradient of images in [0, 1] is needed")
    g = {n: t.double() for n, t in update.gradients.items()}
    names = [f"{n}.".lstrip(".") for n, _ in firsts]
    weight = torch.cat([g[n + "weight"] for n in names], 1)  # (K, T out, C H W)
    bias = torch.cat([g[n + "bias"] for n in names], 1)
    size = weight.flatten(1).norm(dim=1) / bias.norm(dim=1).clamp_min(1e-300) / B**0.5
    size = size[:, None, None]
    V = size * torch.linalg.svd(weight, full_matrices=False).Vh[:, :B]  # (K, B, C H W)
    for n in names:
        g[n + "weight"] = g[n + "weight"] @ V.mT / size.square()
    for net, v in zip(nets, V, strict=True):
        for n, _ in firsts:
            layer = net.double().get_submodule(n)
            layer.weight.data, layer.in_features = layer.weight.data @ v.mT, B
    return replace(update, gradients=g, model=models.Ensemble(nets), shape=(1, 1, B), mean=None,
                   std=None), V


def gradient_equations(model: nn.Sequential, shape: tuple, batch_size: int = 1) -> list[int]:
    """Upper bounds, one a convolution, on the independent equations for the pixels of a batch.

    Cut the chain of layers behind convolution l. What lies above sees only its B F_l output
    features; below, every weight and bias has one gradient entry. Of l's own weight gradient some
    entries follow from the features, as <W_l[i], dW_l[j]> = sum_p delta_j(p) (h_i(p) - b_l[i]), and
    its bias gradient sums the deltas. With r_l = min(c_l, columns of W_l) of the c_l channels
    independent, at most, for every l,

        B F_l r_l / c_l + sum_{k <= l} |W_k| + sum_{k < l} |b_k| - c_l r_l

    entries of the gradient are independent as functions of the images (labels known). Our own
    count: the smallest of these and the number of pixels bounds the Jacobian's rank, and nearly
    always is it (notebook 01 measures it). `shape` (C, H, W); convolutions without groups."""
    checks.whole("batch_size", batch_size)
    if not isinstance(model, nn.Sequential) or any(
            isinstance(m, nn.Conv2d) and m.groups > 1 for m in model):
        raise ValueError("model must be an nn.Sequential of convolutions without groups")
    if not isinstance(shape, tuple | list) or len(shape) != 3:
        raise ValueError(f"shape is (channels, height, width) of one image, not {shape!r}")
    for size in shape:
        checks.whole("each size in shape", size)
    bounds, below, x = [], 0, torch.zeros(1, *shape)
    with torch.no_grad():
        for layer in model:
            x = layer(x)
            if isinstance(layer, nn.Conv2d):
                below += layer.weight.numel()
                c = layer.out_channels
                r = min(c, layer.weight[0].numel())
                bounds.append(batch_size * x.numel() * r // c + below - c * r)
                below += 0 if layer.bias is None else layer.bias.numel()
    return bounds


def _check_layer(weight, bias) -> None:
    """ValueError where two tensors are not the gradients of one dense layer."""
    real = all(isinstance(t, Tensor) and t.is_floating_point() for t in (weight, bias))
    if not real or weight.dim() < 2 or weight.shape[:-1] != bias.shape:
        shapes = [tuple(getattr(t, "shape", ())) for t in (weight, bias)]
        raise ValueError("weight_gradient and bias_gradient must be float tensors of shapes "
                         f"(..., out, in) and (..., out), not {shapes[0]} and {shapes[1]}")


def _check_labels(labels, classes: int) -> None:
    whole = isinstance(labels, Tensor) and labels.dtype == torch.int64
    if not whole or labels.numel() == 0 or labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be an int64 tensor (..., B) in 0..{classes - 1}")
