"""Image sets: what is embedded, what `make data` packs, and what a reader brings. Floor 1.

`load` gives an `ImageSet`; `ImageSet.clients` deals private batches to K independent clients.
Layouts, sources and licences: data/README.md. Nothing is downloaded here.
"""

import os
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torchvision.transforms.functional import center_crop

from lib import checks, run

DOWNLOADED = ("mnist", "cifar10", "cifar100", "svhn", "cats_dogs", "lfw")
PHOTOS = {  # file shipped with scikit-image or scikit-learn: height of its subject, 0 top, 1 bottom
    "astronaut.png": 0.22, "coffee.png": 0.42, "chelsea.png": 0.5, "rocket.jpg": 0.5,
    "retina.jpg": 0.5, "hubble_deep_field.jpg": 0.5, "ihc.png": 0.5, "motorcycle_left.png": 0.5,
    "china.jpg": 0.45, "flower.jpg": 0.6}
GREY = ("1", "L")  # modes of Pillow; what else is read stands in `_eight_bits`
COLOUR = ("RGB", "RGBX", "P", "CMYK", "YCbCr", "LAB")


@dataclass(frozen=True, eq=False)
class Batch:
    """The private images of K clients, B each; make one by hand to attack your own tensors.

    images (K, B, C, H, W) float in [0, 1]; labels (K, B) whole numbers in 0..num_classes - 1;
    indices (K, B) into the set they came from (default: counted through);
    mean, std (C,) of the public set in units of [0, 1], for attacks that normalise (default: 0 and
    1). Arrays of numpy become tensors, and labels int64.
    Raises ValueError where a shape, type or range does not fit, or a pixel is not finite."""

    images: torch.Tensor
    labels: torch.Tensor
    num_classes: int
    indices: torch.Tensor | None = None
    mean: torch.Tensor | None = None
    std: torch.Tensor | None = None
    name: str = "own images"

    def __post_init__(self):
        images = _tensor("images", self.images).detach()
        _require(images.is_floating_point(), f"images must be float, not {images.dtype}")
        labels = _whole_numbers("labels", self.labels)
        num_classes = checks.whole("num_classes", self.num_classes)
        _check(images, labels, num_classes, "KBCHW")
        _require(images.isfinite().all(), "images must be finite: some are NaN or infinite")
        low, high = images.min().item(), images.max().item()
        _require(low >= 0 and high <= 1, f"images must lie in [0, 1], not [{low:g}, {high:g}]")
        indices = torch.arange(labels.numel()).view(labels.shape)
        if self.indices is not None:
            indices = _whole_numbers("indices", self.indices)
            _require(indices.shape == labels.shape and (indices >= 0).all(),
                     f"indices must be of shape {tuple(labels.shape)}, each 0 or more")
        one = torch.ones(images.shape[2])
        mean, std = (given if given is not None else default
                     for given, default in ((self.mean, 0 * one), (self.std, one)))
        mean, std = _public_moments(mean, std, images.shape[2])
        _set(self, images=images, labels=labels, num_classes=num_classes, indices=indices,
             mean=mean, std=std)


@dataclass(frozen=True, eq=False)
class Embeddings:
    """What K clients feed in place of images: B embedded tokens each, as in a sentence.

    images (K, B, width) float, finite, of any range; labels (K, B) whole numbers in
    0..num_classes - 1, the tokens. There is no public mean and std, so nothing is normalised.
    Raises ValueError where a shape, type or range does not fit."""

    images: torch.Tensor
    labels: torch.Tensor
    num_classes: int
    mean = std = None

    def __post_init__(self):
        images, labels = _tensor("images", self.images), _whole_numbers("labels", self.labels)
        classes = checks.whole("num_classes", self.num_classes)
        _require(images.ndim == 3 and images.is_floating_point(),
                 f"embeddings must be float (K, B, width), not {images.dtype} "
                 f"{tuple(images.shape)}")
        _check(images[..., None, None], labels, classes, "KBCHW")
        _require(images.isfinite().all(), "embeddings must be finite: some are NaN or infinite")
        _set(self, images=images.detach(), labels=labels, num_classes=classes)


@dataclass(frozen=True, eq=False)
class ImageSet:
    """One split of a set, whole in memory: images (N, C, H, W) uint8, labels (N,) int64.

    `classes` names them; mean, std (C,) in [0, 1] are those of the train split where there is
    one (public knowledge), else of the set itself."""

    images: torch.Tensor
    labels: torch.Tensor
    classes: list[str]
    mean: torch.Tensor
    std: torch.Tensor
    name: str

    def __post_init__(self):
        images, labels = _tensor("images", self.images), _whole_numbers("labels", self.labels)
        _require(images.dtype == torch.uint8, f"images must be uint8, not {images.dtype}: of "
                 "pixels in [0, 1] give (255 * images).round().to(torch.uint8)")
        classes = _class_names(self.classes)
        _check(images, labels, len(classes), "NCHW")
        mean, std = _public_moments(self.mean, self.std, images.shape[1])
        _set(self, images=images, labels=labels, classes=classes, mean=mean, std=std)

    def __len__(self):
        return len(self.images)

    @property
    def shape(self):
        """(C, H, W) of one image."""
        return tuple(self.images.shape[1:])

    @property
    def num_classes(self):
        return len(self.classes)

    def subset(self, indices):
        """The images at `indices`, in that order, with the public mean and std of the whole."""
        at = self._checked(indices)
        return replace(self, images=self.images[at], labels=self.labels[at])

    def keep(self, classes):
        """The images of these classes (names) alone, labelled 0, 1, ... in the order given."""
        classes = _class_names(classes)
        unknown = [name for name in classes if name not in self.classes]
        _require(not unknown, f"{self.name} has no classes {checks.shown(unknown)}")
        number = [self.classes.index(name) for name in classes]
        rows = torch.isin(self.labels, torch.tensor(number)).nonzero()[:, 0]
        _require(len(rows), f"{self.name} has no images of {', '.join(classes)}")
        kept = self.subset(rows)
        labels = torch.tensor([number.index(label) for label in kept.labels.tolist()])
        return replace(kept, labels=labels, classes=list(classes))

    def relabel(self, classes, seed=0):
        """The same images under uniform random labels of `classes` classes: label studies only."""
        classes, seed = checks.whole("classes", classes), checks.whole("seed", seed, 0)
        rng = run.generator("relabel", self.name, classes, seed)
        labels = torch.randint(classes, (len(self),), generator=rng)
        return replace(self, labels=labels, classes=[str(label) for label in range(classes)])

    def clients(self, K, batch_size=1, seed=0, indices=None, unique_labels=False):
        """Deal K private batches of B = `batch_size` images. Returns a Batch, pixels in [0, 1].

        Drawn without replacement; once too few are left, the set is dealt anew. Client k's batch
        depends on the seed and on the clients before k, never on K. `indices` (K, B), or flat,
        chooses the images instead; `unique_labels` lets no label occur twice in a batch.
        Raises ValueError for a K or B of 0, a B that is too large, indices that do not fit."""
        K, batch_size = checks.whole("K", K), checks.whole("batch_size", batch_size)
        seed = checks.whole("seed", seed, 0)
        checks.flag("unique_labels", unique_labels)
        need = K * batch_size * self.images[0].numel() * 4 / 2**30
        _require(need < 64, f"K={K} x B={batch_size} images would take {need:,.0f} GiB of memory")
        drawn = self._draw(K, batch_size, seed, unique_labels) if indices is None else indices
        indices = self._checked(drawn)
        _require(indices.shape in ((K, batch_size), (K * batch_size,)),
                 f"indices {tuple(indices.shape)} are not K={K} x B={batch_size}")
        indices = indices.reshape(K, batch_size)
        labels = self.labels[indices]
        _require(not unique_labels or all(len(row.unique()) == len(row) for row in labels),
                 "unique_labels, but the given indices repeat a label within a batch")
        return Batch(self.images[indices].float() / 255, labels, self.num_classes, indices,
                     self.mean, self.std, self.name)

    def _draw(self, K, batch_size, seed, unique_labels):
        present = len(self.labels.unique()) if unique_labels else len(self)
        _require(batch_size <= present, f"batch_size {batch_size}, but {self.name} has {present} "
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

    def _checked(self, indices):
        try:
            indices = torch.as_tensor(indices)
        except (TypeError, ValueError, RuntimeError):  # what torch cannot read is refused below
            indices = torch.empty(0)
        whole = indices.numel() and indices.dtype in (torch.int64, torch.int32)
        inside = whole and (indices >= 0).all() and (indices < len(self)).all()
        _require(inside, f"indices must be whole numbers in 0..{len(self) - 1}, at least one; of a "
                         "mask: mask.nonzero()[:, 0]")
        return indices.long()


def load(name, split="test", root=None, size=None):
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
    _require(isinstance(name, str | Path) and str(name),
             f"name must be a name or a path, not {checks.shown(name)}")
    _require(root is None or isinstance(root, str | Path),
             f"root must be a folder, not {checks.shown(root)}")
    by_path = isinstance(name, Path) or os.sep in name or name.endswith(".npz") \
        or name in (os.curdir, os.pardir)
    if not by_path and name in EMBEDDED:
        images, labels, classes = EMBEDDED[name](split, size)
        images = images.clone()  # some are cached
        moments = _moments(EMBEDDED[name]("train", size)[0])
        return ImageSet(_resize(images, size), labels, classes, *moments, name)
    folder = Path(name) if by_path else Path(root or run.current().data_root) / name
    npz = folder if by_path else folder.with_name(f"{name}-{split}.npz")
    if npz.is_file():
        _require(split == "test" or not by_path, f"{npz} is one set: load it with split='test'")
        images, labels, classes = _read_chunks(npz)
    elif folder.is_dir():
        _require(split == "test", f"{folder} has no splits: load it with split='test'")
        images, labels, classes = _read_folder(folder, size)
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
    return ImageSet(_resize(images, size), labels, classes, *moments,
                    folder.name.removesuffix(".npz"))


def present(name, split="test", root=None):
    """True where `load` would find files (or an embedded set) under this name."""
    root = Path(root or run.current().data_root)
    return name in EMBEDDED or (root / f"{name}-{split}.npz").is_file() or (root / name).is_dir()


def shareable(name):
    """True where images of the set, and reconstructions of them, may be committed and shown.

    The embedded sets, MNIST and CIFAR-10 only. The others (LFW, pets, a reader's own) show people
    or are licensed for research use: tracked cells and figures hold their numbers, not pixels."""
    return name in (*EMBEDDED, "mnist", "cifar10")


# Embedded sets: (images (N, C, H, W) uint8, labels (N,), classes)


def _digits(split, size):
    bunch = sklearn.datasets.load_digits()
    labels = bunch.target
    rank = (labels[:, None] == np.arange(10)).cumsum(axis=0)[np.arange(len(labels)), labels]
    keep = np.flatnonzero((rank <= 140) == (split == "train"))  # rank: how many so far of its class
    keep = keep[np.lexsort((labels[keep], rank[keep]))]  # 0, 1, ..., 9, 0, 1, ...
    images = np.round(bunch.images[keep, None] * 255 / 16).astype(np.uint8)
    return torch.tensor(images), torch.tensor(labels[keep]), [str(digit) for digit in range(10)]


def _faces(split, size):
    faces = skimage.data.lfw_subset()[:100]  # the second hundred are not faces
    images = torch.tensor(np.round(faces[:, None] * 255).astype(np.uint8))
    images = images[0::2] if split == "train" else images[1::2]
    return images, torch.zeros(len(images), dtype=torch.int64), ["face"]


@lru_cache(maxsize=4)  # cutting them takes a second
def _photos(split, size):
    crops = [_crops(file, subject, split, size or 32) for file, subject in PHOTOS.items()]
    each = min(len(photo) for photo in crops)  # as many of each class
    images = torch.stack([photo[:each] for photo in crops], dim=1)  # (each, 10, C, H, W)
    classes = [Path(file).stem for file in PHOTOS]
    return images.flatten(0, 1), torch.arange(len(classes)).repeat(each), classes


EMBEDDED = {"digits": _digits, "faces": _faces, "photos": _photos}


def photo_tiles(width, height, split):
    """Squares (x, y, side) of a photograph: test in the middle band, train in the outer two."""
    outer = width * 3 // 10
    bands = [(0, outer), (width - outer, outer)] if split == "train" else \
        [(outer, width - 2 * outer)]
    return [(left + x, y, side) for left, band in bands for side in (band, band * 3 // 4)
            for y in range(0, height - side + 1, side // 5)
            for x in range(0, band - side + 1, side // 5)]


def _crops(file, subject, split, size, blank=0.03):
    """Area-averaged crops (n, 3, size, size), the subject first; near-blank ones are left out."""
    shipped = (Path(skimage.data.__file__).parent / file,
               Path(sklearn.datasets.__file__).parent / "images" / file)
    photo = Image.open(next(path for path in shipped if path.exists())).convert("RGB")
    middle, wanted = photo.width / 2, photo.height * subject
    tiles = sorted(photo_tiles(*photo.size, split), key=lambda tile: (
        abs(tile[1] + tile[2] / 2 - wanted) + abs(tile[0] + tile[2] / 2 - middle) / 2) / tile[2])
    crops = [np.asarray(photo.resize((size, size), Image.Resampling.BOX, (x, y, x + s, y + s)))
             for x, y, s in tiles]
    crops = [crop for crop in crops if crop.mean(axis=2).std() > blank * 255]
    spread = [crop for start in range(5) for crop in crops[start::5]]  # neighbours look alike
    return torch.tensor(np.stack(spread)).permute(0, 3, 1, 2)


# Files: packed npz and folders


def _read_chunks(npz):
    more = len(list(npz.parent.glob(f"{npz.stem}-[0-9]*.npz")))
    files = [npz] + [npz.with_name(f"{npz.stem}-{2 + part}.npz") for part in range(more)]
    sets = [_read_packed(file) for file in files]
    images, labels, classes = zip(*sets, strict=True)
    _require(len({(*names, part.shape[1:]) for part, names in zip(images, classes, strict=True)})
             == 1, f"the continuations of {npz} differ in classes or image shape")
    return torch.cat(images), torch.cat(labels), classes[0]


def _read_packed(path):
    _require(path.is_file(), f"{path} is damaged or missing: no regular file")
    try:
        with np.load(path, allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in ("images", "labels", "classes")}
            exact = packed["exact"] if "exact" in packed else None
        images, labels = _channels_first(arrays["images"]), arrays["labels"]
        if exact is not None:
            _require(exact.dtype == bool and exact.shape == (len(images),),
                     "exact must be a mask of True and False, one for each image (astype(bool)), "
                     f"not {exact.dtype} {exact.shape}")
            images, labels = images[exact], labels[exact]
        labels = _whole_numbers("labels", labels)
        classes = _class_names([str(name) for name in arrays["classes"]])
        _require(images.dtype == np.uint8, f"images must be uint8 in 0..255, not {images.dtype}")
        images = torch.from_numpy(np.ascontiguousarray(images))
        _check(images, labels, len(classes), "NCHW")
        return images, labels, classes
    except Exception as error:  # a damaged archive fails in a dozen ways
        reason = "it holds pickled objects, which are never read" if "pickle" in str(error) \
            else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged or no packed image set: {reason}") from error


def _channels_first(images):
    """(N, C, H, W) of packed images (N, H, W, C) or (N, H, W)."""
    images = images[..., None] if images.ndim == 3 else images
    _require(images.ndim == 4, f"images must be (N, H, W, C) or (N, H, W), not {images.shape}")
    said = f"images {images.shape} have {images.shape[-1]} channels on their last axis, not 1 or 3"
    if images.shape[1] in (1, 3):
        said += "; channels come last: save images.transpose(0, 2, 3, 1)"
    _require(images.shape[-1] in (1, 3), said)
    return images.transpose(0, 3, 1, 2)


def _read_folder(folder, size):
    classes = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    files = [sorted((folder / name).glob("[!.]*")) for name in classes]
    labels = [label for label, of_class in enumerate(files) for _ in of_class]
    _require(labels, f"{folder} holds no images: expected one sub-folder a class")
    empty = [name for name, of_class in zip(classes, files, strict=True) if not of_class]
    _require(not empty, f"sub-folders of {folder} hold no images: {', '.join(empty)}")
    images = [_read_image(file, size) for of_class in files for file in of_class]
    mode = "L" if {image.mode for image in images} == {"L"} else "RGB"
    _require(len({image.size for image in images}) == 1,
             f"the images in {folder} differ in size: give load(..., size=)")
    pixels = np.stack([np.array(image.convert(mode), ndmin=3) for image in images])
    pixels = pixels if mode == "L" else pixels.transpose(0, 3, 1, 2)
    return torch.tensor(pixels), torch.tensor(labels), classes


def _read_image(file, size):
    """The image of a file, grey ("L") or "RGB", upright; ValueError naming the file."""
    _require(file.is_file(), f"{file} cannot be read as an image: it is no regular file")
    try:
        with Image.open(file) as image:
            _require_one_frame(image)
            image.load()  # opening reads the header only
            image = _eight_bits(ImageOps.exif_transpose(image), image.format)
    except Exception as error:  # Pillow, too, fails in many ways
        reason = "it is empty" if not file.stat().st_size else error
        raise ValueError(f"{file} cannot be read as an image: {reason}") from error
    area = size is None or size <= min(image.size)
    filtered = Image.Resampling.BOX if area else Image.Resampling.BILINEAR
    return image if size is None else ImageOps.fit(image, (size, size), filtered)


def _require_one_frame(image):
    frames = getattr(image, "n_frames", 1)
    _require(frames == 1 or image.format == "MPO",  # a phone's photograph; previews follow it
             f"it has {frames} frames or pages: save the one that is meant")


def _eight_bits(image, file_format):
    """A Pillow image of any mode as "L" or "RGB", where its values say which they are."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and file_format == "PPM"):  # white is 65535
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    _require(mode not in ("I", "F"), f"its pixels are 32-bit numbers (mode {mode}), and which of "
             "them is white is not known: save it in 8 or 16 bits")
    if mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        _require(rgba.getextrema()[3][0] == 255,
                 "it has transparent pixels: put it on a background, as RGB")
        return rgba.convert("L" if mode in ("L", "LA", "La", "1") else "RGB")
    _require(mode in GREY or mode in COLOUR, f"its mode {mode} is not known: save it as RGB")
    return image.convert("L" if mode in GREY else "RGB")


def _resize(images, size):
    """(N, C, H, W) uint8: central square, then side `size`; unchanged where size is None."""
    if size is None or images.shape[2:] == (size, size):
        return images
    side = min(images.shape[2:])
    square, mode = center_crop(images, [side, side]), "area" if size <= side else "bilinear"
    return F.interpolate(square.float(), (size, size), mode=mode).round().to(torch.uint8)


def _moments(images):
    """Mean and std (C,) in [0, 1] of each channel of (N, C, H, W) uint8, by counting values."""
    values = torch.arange(256, dtype=torch.float64) / 255
    counts = [torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)]
    share = torch.stack(counts).double() / images[:, 0].numel()  # (C, 256)
    mean = share @ values
    std = (share * (values - mean[:, None]) ** 2).sum(1).sqrt()
    return mean.float(), std.clamp(min=1 / 255).float()  # blank images: not 0


@lru_cache(maxsize=8)  # else each load of a test split reads the train split
def _moments_of(npz, modified):
    return _moments(_read_chunks(npz)[0])


def _check(images, labels, num_classes, axes):
    _require(images.ndim == len(axes) and images.numel() > 0,
             f"images must be ({', '.join(axes)}), not {tuple(images.shape)}")
    _require(labels.shape == images.shape[:-3],
             f"labels must be int64 {tuple(images.shape[:-3])}, not {tuple(labels.shape)}")
    _require((labels >= 0).all() and (labels < num_classes).all(),
             f"labels must lie in 0..{num_classes - 1}: there are {num_classes} classes")


def _tensor(name, value):
    """A tensor of a tensor or an array; ValueError naming it for all else."""
    _require(isinstance(value, torch.Tensor | np.ndarray),
             f"{name} must be a tensor, not {type(value).__name__}")
    try:
        return torch.as_tensor(value)
    except (TypeError, ValueError) as error:  # strings, strides below 0
        raise ValueError(f"{name} cannot become a tensor: {error}") from error


def _whole_numbers(name, value):
    """An int64 tensor of any whole numbers."""
    value = _tensor(name, value)
    plain = not (value.is_floating_point() or value.is_complex() or value.dtype == torch.bool)
    _require(plain, f"{name} must be whole numbers, int64 {tuple(value.shape)}, not {value.dtype}")
    return value.long()


def _public_moments(mean, std, channels):
    """mean and std as floating tensors (channels,), checked: they are of pixels in [0, 1]."""
    moments = []
    for name, value in (("mean", mean), ("std", std)):
        try:
            value = torch.as_tensor(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ValueError(f"{name} must be of shape ({channels},): {error}") from error
        _require(value.shape == (channels,), f"{name} must be of shape ({channels},), one value a "
                 f"channel, not {tuple(value.shape)}")
        value = value if value.is_floating_point() else value.float()
        _require((value >= 0).all() and (value <= 1).all() and (name == "mean" or value.all()),
                 f"{name} is that of pixels in [0, 1], std above 0: not "
                 f"{checks.shown(value.tolist())}")
        moments.append(value.detach())
    return moments


def _class_names(classes):
    fits = isinstance(classes, list | tuple) and classes \
        and all(isinstance(name, str) for name in classes) and len(set(classes)) == len(classes)
    _require(fits, f"classes must be a list of different names, not {checks.shown(classes)}")
    return list(classes)


def _set(frozen, **values):
    """Put checked values into a frozen dataclass that is being made."""
    for name, value in values.items():
        object.__setattr__(frozen, name, value)


def _require(condition, message):
    """ValueError(message) unless the condition holds: what a reader gave does not fit."""
    if not condition:
        raise ValueError(message)
