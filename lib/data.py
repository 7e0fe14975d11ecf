"""Image sets: what is embedded, what `make data` packs, and what a reader brings.

`load` gives an `ImageSet`; `ImageSet.clients` deals private batches to K independent clients.
Layouts, sources and licences: data/README.md. Nothing is downloaded here.
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from . import checks, run
from .embedded import EMBEDDED, PHOTOS, photo_tiles  # noqa: F401  (public names, kept here)
from .image_checks import (
    as_tensor,
    check_images,
    class_names,
    public_moments,
    put,
    require,
    whole_numbers,
)
from .image_files import read_chunks, read_folder, resize

DOWNLOADED = ("mnist", "cifar10", "cifar100", "svhn", "cats_dogs", "lfw")


@dataclass(frozen=True, eq=False)
class Batch:
    """The private images of K clients, B each; make one by hand to attack your own tensors.

    images (K, B, C, H, W) float in [0, 1]; labels (K, B) whole numbers in 0..num_classes - 1;
    indices (K, B) into the set they came from (default: counted through);
    mean, std (C,) of the public set in units of [0, 1], for attacks that normalise (default: 0 and
    1). Arrays of numpy become tensors, and labels int64.
    Raises ValueError where a shape, type or range does not fit, or a pixel is not finite."""

    images: Tensor
    labels: Tensor
    num_classes: int
    indices: Tensor | None = None
    mean: Tensor | None = None
    std: Tensor | None = None
    name: str = "own images"

    def __post_init__(self) -> None:
        images = as_tensor("images", self.images).detach()
        require(images.is_floating_point(), f"images must be float, not {images.dtype}")
        labels = whole_numbers("labels", self.labels)
        num_classes = checks.whole("num_classes", self.num_classes)
        check_images(images, labels, num_classes, "KBCHW")
        require(images.isfinite().all(), "images must be finite: some are NaN or infinite")
        low, high = images.min().item(), images.max().item()
        require(low >= 0 and high <= 1, f"images must lie in [0, 1], not [{low:g}, {high:g}]")
        indices = torch.arange(labels.numel()).view(labels.shape)
        if self.indices is not None:
            indices = whole_numbers("indices", self.indices)
            require(indices.shape == labels.shape and (indices >= 0).all(),
                     f"indices must be of shape {tuple(labels.shape)}, each 0 or more")
        ones = torch.ones(images.shape[2])
        mean, std = (given if given is not None else default
                     for given, default in ((self.mean, 0 * ones), (self.std, ones)))
        mean, std = public_moments(mean, std, images.shape[2])
        put(self, images=images, labels=labels, num_classes=num_classes, indices=indices,
             mean=mean, std=std)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What K clients feed in place of images: B embedded tokens each, as in a sentence.

    images (K, B, width) float, finite, of any range; labels (K, B) whole numbers in
    0..num_classes - 1, the tokens. There is no public mean and std, so nothing is normalised.
    Raises ValueError where a shape, type or range does not fit."""

    images: Tensor
    labels: Tensor
    num_classes: int
    mean = std = None

    def __post_init__(self) -> None:
        images, labels = as_tensor("images", self.images), whole_numbers("labels", self.labels)
        classes = checks.whole("num_classes", self.num_classes)
        require(images.ndim == 3 and images.is_floating_point(),
                 f"embeddings must be float (K, B, width), not {images.dtype} "
                 f"{tuple(images.shape)}")
        check_images(images[..., None, None], labels, classes, "KBCHW")
        require(images.isfinite().all(), "embeddings must be finite: some are NaN or infinite")
        put(self, images=images.detach(), labels=labels, num_classes=classes)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of a set, whole in memory: images (N, C, H, W) uint8, labels (N,) int64.

    `classes` names them; mean, std (C,) in [0, 1] are those of the train split where there is
    one (public knowledge), else of the set itself."""

    images: Tensor
    labels: Tensor
    classes: list[str]
    mean: Tensor
    std: Tensor
    name: str

    def __post_init__(self) -> None:
        images, labels = as_tensor("images", self.images), whole_numbers("labels", self.labels)
        require(images.dtype == torch.uint8, f"images must be uint8, not {images.dtype}: of "
                 "pixels in [0, 1] give (255 * images).round().to(torch.uint8)")
        classes = class_names(self.classes)
        check_images(images, labels, len(classes), "NCHW")
        mean, std = public_moments(self.mean, self.std, images.shape[1])
        put(self, images=images, labels=labels, classes=classes, mean=mean, std=std)

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, ...]:
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    @property
    def num_classes(self) -> int:
        return len(self.classes)

    def subset(self, indices) -> "ImageSet":
        """The images at `indices`, in that order, with the public mean and std of the whole."""
        at = self._checked(indices)
        return replace(self, images=self.images[at], labels=self.labels[at])

    def keep(self, classes) -> "ImageSet":
        """The images of these classes (names) alone, labelled 0, 1, ... in the order given."""
        classes = class_names(classes)
        unknown = [name for name in classes if name not in self.classes]
        require(not unknown, f"{self.name} has no classes {checks.shown(unknown)}")
        number = [self.classes.index(name) for name in classes]
        rows = torch.isin(self.labels, torch.tensor(number)).nonzero()[:, 0]
        require(len(rows), f"{self.name} has no images of {', '.join(classes)}")
        chosen = self.subset(rows)
        labels = torch.tensor([number.index(label) for label in chosen.labels.tolist()])
        return replace(chosen, labels=labels, classes=list(classes))

    def relabel(self, classes: int, seed: int = 0) -> "ImageSet":
        """The same images under uniform random labels of `classes` classes: label studies only."""
        classes, seed = checks.whole("classes", classes), checks.whole("seed", seed, 0)
        rng = run.generator("relabel", self.name, classes, seed)
        labels = torch.randint(classes, (len(self),), generator=rng)
        return replace(self, labels=labels, classes=[str(label) for label in range(classes)])

    def clients(self, K: int, batch_size: int = 1, seed: int = 0, indices=None,
                unique_labels: bool = False) -> Batch:
        """Deal K private batches of B = `batch_size` images. Returns a Batch, pixels in [0, 1].

        Drawn without replacement; once too few are left, the set is dealt anew. Client k's batch
        depends on the seed and on the clients before k, never on K. `indices` (K, B), or flat,
        chooses the images instead; `unique_labels` lets no label occur twice in a batch.
        Raises ValueError for a K or B of 0, a B that is too large, indices that do not fit."""
        K, batch_size = checks.whole("K", K), checks.whole("batch_size", batch_size)
        seed = checks.whole("seed", seed, 0)
        checks.flag("unique_labels", unique_labels)
        need = K * batch_size * self.images[0].numel() * 4 / 2**30
        require(need < 64, f"K={K} x B={batch_size} images would take {need:,.0f} GiB of memory")
        drawn = self._draw(K, batch_size, seed, unique_labels) if indices is None else indices
        indices = self._checked(drawn)
        require(indices.shape in ((K, batch_size), (K * batch_size,)),
                 f"indices {tuple(indices.shape)} are not K={K} x B={batch_size}")
        indices = indices.reshape(K, batch_size)
        labels = self.labels[indices]
        require(not unique_labels or all(len(row.unique()) == len(row) for row in labels),
                 "unique_labels, but the given indices repeat a label within a batch")
        return Batch(self.images[indices].float() / 255, labels, self.num_classes, indices,
                     self.mean, self.std, self.name)

    def _draw(self, K: int, batch_size: int, seed: int, unique_labels: bool) -> Tensor:
        present = len(self.labels.unique()) if unique_labels else len(self)
        require(batch_size <= present, f"batch_size {batch_size}, but {self.name} has {present} "
                                        f"{'different labels' if unique_labels else 'images'}")
        unused, rows = torch.ones(len(self), dtype=torch.bool), []  # rows: K of (B,)
        while len(rows) < K:
            order = torch.randperm(len(self), generator=run.generator("clients", seed, len(rows)))
            order = order[unused[order]]
            if unique_labels:  # the first image of each label
                order = order[np.sort(np.unique(self.labels[order], return_index=True)[1])]
            if len(order) < batch_size:
                unused[:] = True  # used up: deal the whole set anew
                continue
            rows.append(order[:batch_size])
            unused[rows[-1]] = False
        return torch.stack(rows)

    def _checked(self, indices) -> Tensor:
        try:
            indices = torch.as_tensor(indices)
        except (TypeError, ValueError, RuntimeError):  # what torch cannot read is refused below
            indices = torch.empty(0)
        whole = indices.numel() and indices.dtype in (torch.int64, torch.int32)
        inside = whole and (indices >= 0).all() and (indices < len(self)).all()
        require(inside, f"indices must be whole numbers in 0..{len(self) - 1}, at least one; of a "
                         "mask: mask.nonzero()[:, 0]")
        return indices.long()


def load(name: str | Path, split: str = "test", root: str | Path | None = None,
         size: int | None = None) -> ImageSet:
    """Load an image set. Returns an ImageSet, the same for the same files.

    name: `digits` (8x8 grey, 10 classes), `faces` (25x25 grey; identities are unknown, so there
    is one class: use `relabel`), `photos` (32x32 RGB crops, class = photograph); or a set under
    root (default: that of the run): `<name>-<split>.npz` and its continuations, else the folder
    `<name>/`, one sub-folder a class; or a path to such an npz or folder. Folders and paths have
    no splits: the whole is "test". Rows that a file marks as not `exact` are dropped, so indices
    count the rows kept.
    size: side in pixels. Images are cut to their central square and resized by area (bilinear
    where that enlarges); `photos` are cropped anew; a folder of unequal images needs it.
    Folders: grey images of 1, 8 or 16 bits (white is 65,535) and colour images, turned upright by
    their EXIF; CMYK, YCbCr and Lab are converted without their colour profile. Images of 32 bits
    or floating values, with transparent pixels or several frames are refused by name: what is
    white, what lies behind and which frame is meant is not known.
    Raises FileNotFoundError naming what was looked for, ValueError naming a damaged file."""
    checks.one_of("split", split, ("train", "test"))
    size = None if size is None else checks.whole("size", size, 1, 4096)
    require(isinstance(name, str | Path) and str(name),
             f"name must be a name or a path, not {checks.shown(name)}")
    require(root is None or isinstance(root, str | Path),
             f"root must be a folder, not {checks.shown(root)}")
    by_path = isinstance(name, Path) or os.sep in name or name.endswith(".npz") \
        or name in (os.curdir, os.pardir)
    if not by_path and name in EMBEDDED:
        images, labels, classes = EMBEDDED[name](split, size)
        images = images.clone()  # some are cached
        moments = _moments(EMBEDDED[name]("train", size)[0])
        return ImageSet(resize(images, size), labels, classes, *moments, name)
    folder = Path(name) if by_path else Path(root or run.current().data_root) / name
    npz = folder if by_path else folder.with_name(f"{name}-{split}.npz")
    if npz.is_file():
        require(split == "test" or not by_path, f"{npz} is one set: load it with split='test'")
        images, labels, classes = read_chunks(npz)
    elif folder.is_dir():
        require(split == "test", f"{folder} has no splits: load it with split='test'")
        images, labels, classes = read_folder(folder, size)
    else:
        remedy = "`make data` gets it" if name in DOWNLOADED else \
            f"embedded: {', '.join(EMBEDDED)}; `make data` gets {', '.join(DOWNLOADED)}"
        raise FileNotFoundError(f"no image set {str(name)!r}: looked for {npz} and the folder "
                                f"{folder}; {remedy}")
    train = npz.with_name(f"{folder.name}-train.npz")
    if split == "test" and train.is_file():
        moments = _moments_of(train, train.stat().st_mtime_ns)
    else:
        moments = _moments(images)
    return ImageSet(resize(images, size), labels, classes, *moments,
                    folder.name.removesuffix(".npz"))


def present(name: str, split: str = "test", root: str | Path | None = None) -> bool:
    """True where `load` would find files (or an embedded set) under this name."""
    root = Path(root or run.current().data_root)
    return name in EMBEDDED or (root / f"{name}-{split}.npz").is_file() or (root / name).is_dir()


def shareable(name: str) -> bool:
    """True where images of the set, and reconstructions of them, may be committed and shown.

    The embedded sets, MNIST and CIFAR-10 only. The others (LFW, pets, a reader's own) show people
    or are licensed for research use: tracked cells and figures hold their numbers, not pixels."""
    return name in (*EMBEDDED, "mnist", "cifar10")


def _moments(images: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and std (C,) in [0, 1] of each channel of (N, C, H, W) uint8, by counting values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]
    share = torch.stack(counts).double() / images[:, 0].numel()  # (C, 256)
    mean = share @ values
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.clamp(min=1 / 255).float()  # blank images: not 0


@lru_cache(maxsize=8)  # else each load of a test split reads the train split
def _moments_of(npz: Path, modified: int) -> tuple[Tensor, Tensor]:
    return _moments(read_chunks(npz)[0])
