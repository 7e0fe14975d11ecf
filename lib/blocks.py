"""Parts that networks of `models` are built of."""

from collections.abc import Callable

import torch
from torch import Tensor, nn


class SpatialMean(nn.Module):
    """(K, C, H, W) to (K, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean((-2, -1))


class VisionTransformer(nn.Module):
    """What `models.vit` builds."""

    def __init__(self, C, patch, tokens, width, layers, heads, classes) -> None:
        super().__init__()
        self.patches = nn.Conv2d(C, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(tokens, width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True,
            norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.patches(x).flatten(2).mT + self.position
        return self.head(self.norm(self.encoder(x)).mean(1))


class PreActBlock(nn.Module):
    """A block of `models.preact_resnet`; norm: channels -> the layer."""

    def __init__(self, c_in: int, c_out: int, stride: int, norm: Callable) -> None:
        super().__init__()
        self.first = nn.Sequential(norm(c_in), nn.ReLU())
        self.body = nn.Sequential(
            nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), norm(c_out), nn.ReLU(),
            nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False))
        self.skip = None if stride == 1 and c_in == c_out else \
            nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.first(x)
        return self.body(active) + (x if self.skip is None else self.skip(active))
