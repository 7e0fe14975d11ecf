"""Tiny problems that the tests share: no files, no downloads, fractions of a second."""

import torch

from lib import data


class Shape:
    """What a model builder asks of an image set."""

    def __init__(self, shape=(1, 8, 8), num_classes=4):
        self.shape, self.num_classes = shape, num_classes


def batch(K=3, B=1, shape=(1, 8, 8), classes=4, seed=0, dtype=torch.float32):
    """Random images in [0, 1] with distinct labels inside a batch where possible."""
    g = torch.Generator().manual_seed(seed)
    images = torch.rand(K, B, *shape, generator=g, dtype=torch.float64).to(dtype)
    labels = torch.stack(
        [torch.randperm(max(classes, B), generator=g)[:B] % classes for _ in range(K)]
    )
    mean, std = torch.full((shape[0],), 0.4), torch.full((shape[0],), 0.3)
    return data.Batch(images, labels, classes, mean=mean, std=std)
