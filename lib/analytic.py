"""Closed-form recovery: a dense layer with bias gives its input away. Floor 3."""

import torch
from torch import Tensor


def dense_input(weight_gradient: Tensor, bias_gradient: Tensor) -> Tensor:
    """The input x (..., in) of a dense layer, from dl/dW (..., out, in) and dl/db (..., out).

    dl/dW_i = (dl/db_i) x for every output i (Geiping et al. 2020, Prop. 3.1; Phong et al. 2017),
    so any row with dl/db_i != 0 gives x; the row with the largest |dl/db_i| is used. Exact for one
    image; for a batch it is a weighted mean of the inputs. Where no row has a bias gradient the
    result is NaN: nothing was learned, so nothing leaks.
    """
    row = bias_gradient.abs().argmax(-1, keepdim=True)  # (..., 1)
    scale = bias_gradient.gather(-1, row)
    index = row[..., None].expand(*row.shape, weight_gradient.shape[-1])
    return weight_gradient.gather(-2, index).squeeze(-2) / torch.where(scale == 0, torch.nan, scale)
