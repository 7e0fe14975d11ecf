"""Which images of a set each client holds.

Each deal is a small frozen object with `rows(pictures, clients, size, seed)`: the numbers (K, size)
of the images that clients [first, last) of a set hold.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lib import data


class Deal(Protocol):
    """What `case.Case` asks of a deal."""

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) \
            -> Tensor: ...


@dataclass(frozen=True)
class InOrder:
    """Client k holds images kB .. kB + B - 1 of the set, counted in every `stride`-th image."""

    stride: int = 1

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) -> Tensor:
        first, last = clients
        return (self.stride * torch.arange(last * size)).view(last, size)[first:]


@dataclass(frozen=True)
class Drawn:
    """Client k holds the k-th batch that `ImageSet.clients` draws under the seed. unique_labels: no
    label twice in a batch; None: so as far as there are classes enough."""

    unique_labels: bool | None = False

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) -> Tensor:
        first, last = clients
        unique = self.unique_labels
        if unique is None:
            unique = size <= pictures.num_classes
        return pictures.clients(last, size, seed, unique_labels=unique).indices[first:]


@dataclass(frozen=True)
class AttackSet:
    """The attack set of the official code of Huang et al. 2021: the first images of every class in
    the set's order, as many of each, dealt class by class in turn, so that batches have different
    labels where they can. ValueError where a class has too few."""

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) -> Tensor:
        first, last = clients
        count, classes = last * size, pictures.num_classes
        of_each = -(-count // classes)
        of_class = [(pictures.labels == c).nonzero()[:of_each, 0] for c in range(classes)]
        if min(len(numbers) for numbers in of_class) < of_each:
            raise ValueError(f"{count} private images need {of_each} of every class")
        in_turn = torch.stack(of_class, 1).flatten()[:count]
        return in_turn.view(last, size)[first:]


@dataclass(frozen=True)
class Labelled:
    """Batches of given labels: image b of client k is the first of its class that no client holds
    yet, where label(k, b, C) is that class, of C."""

    label: Callable[[int, int, int], int]

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) -> Tensor:
        first, last = clients
        classes = pictures.num_classes
        unused = [(pictures.labels == c).nonzero()[:, 0].tolist() for c in range(classes)]
        wanted = [self.label(k, b, classes) for k in range(last) for b in range(size)]
        for c, numbers in enumerate(unused):
            if wanted.count(c) > len(numbers):
                raise ValueError(f"the batches ask for {wanted.count(c)} images of class "
                                 f"{pictures.classes[c]}, which has {len(numbers)}")
        held = torch.tensor([unused[c].pop(0) for c in wanted])
        return held.view(last, size)[first:]


@dataclass(frozen=True)
class Everybodys:
    """Each client holds the images of all clients of another deal, its own first: (K, K * size)."""

    deal: Deal

    def rows(self, pictures: data.ImageSet, clients: Sequence[int], size: int, seed: int) -> Tensor:
        held = self.deal.rows(pictures, clients, size, seed)
        return torch.stack([held.roll(-k, 0).flatten() for k in range(len(held))])
