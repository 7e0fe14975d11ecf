"""Image sets that come with the libraries: (images (N, C, H, W) uint8, labels (N,), classes)."""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import skimage.data
import torch
from PIL import Image
from torch import Tensor

PHOTOS = {  # file shipped with scikit-image or scikit-learn: height of its subject, 0 top, 1 bottom
    "astronaut.png": 0.22, "coffee.png": 0.42, "chelsea.png": 0.5, "rocket.jpg": 0.5,
    "retina.jpg": 0.5, "hubble_deep_field.jpg": 0.5, "ihc.png": 0.5, "motorcycle_left.png": 0.5,
    "china.jpg": 0.45, "flower.jpg": 0.6}


def digits(split: str, size: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """Ten digits of 8x8 pixels; `size` is left to the caller. Train: 140 of each."""
    table = np.loadtxt(_learn() / "data/digits.csv.gz", delimiter=",")  # 64 pixels, the label
    images, labels = table[:, :-1].reshape(-1, 1, 8, 8), table[:, -1].astype(int)
    rank = (labels[:, None] == np.arange(10)).cumsum(axis=0)[np.arange(len(labels)), labels]
    keep = np.flatnonzero((rank <= 140) == (split == "train"))  # rank: how many so far of its class
    keep = keep[np.lexsort((labels[keep], rank[keep]))]  # 0, 1, ..., 9, 0, 1, ...
    images = np.round(images[keep] * 255 / 16).astype(np.uint8)
    return torch.tensor(images), torch.tensor(labels[keep]), [str(digit) for digit in range(10)]


def faces(split: str, size: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """A hundred faces of 25x25 pixels, every other one of each split; identities are unknown."""
    faces = skimage.data.lfw_subset()[:100]  # the second hundred are not faces
    images = torch.tensor(np.round(faces[:, None] * 255).astype(np.uint8))
    images = images[0::2] if split == "train" else images[1::2]
    return images, torch.zeros(len(images), dtype=torch.int64), ["face"]


@lru_cache(maxsize=4)  # cutting them takes a second
def photos(split: str, size: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """Crops of ten photographs, cut anew for `size` (None: 32); class: the photograph."""
    crops = [_crops(file, subject, split, size or 32) for file, subject in PHOTOS.items()]
    count = min(len(photo) for photo in crops)  # as many of each class
    images = torch.stack([photo[:count] for photo in crops], dim=1)  # (each, 10, C, H, W)
    classes = [Path(file).stem for file in PHOTOS]
    return images.flatten(0, 1), torch.arange(len(classes)).repeat(count), classes


EMBEDDED = {"digits": digits, "faces": faces, "photos": photos}


def photo_tiles(width: int, height: int, split: str) -> list[tuple[int, int, int]]:
    """Squares (x, y, side) of a photograph: test in the middle band, train in the outer two."""
    outer = width * 3 // 10
    bands = [(0, outer), (width - outer, outer)] if split == "train" else \
        [(outer, width - 2 * outer)]
    return [(left + x, y, side) for left, band in bands for side in (band, band * 3 // 4)
            for y in range(0, height - side + 1, side // 5)
            for x in range(0, band - side + 1, side // 5)]


def _learn() -> Path:
    """Scikit-learn's data sets, found without importing them, which takes a second."""
    return Path(find_spec("sklearn").origin).parent / "datasets"


def _crops(file: str, subject: float, split: str, size: int, blank: float = 0.03) -> Tensor:
    """Area-averaged crops (n, 3, size, size), the subject first; near-blank ones are left out."""
    shipped = (Path(skimage.data.__file__).parent / file,
               _learn() / "images" / file)
    photo = Image.open(next(path for path in shipped if path.exists())).convert("RGB")
    middle, wanted = photo.width / 2, photo.height * subject
    tiles = sorted(photo_tiles(*photo.size, split), key=lambda tile: (
        abs(tile[1] + tile[2] / 2 - wanted) + abs(tile[0] + tile[2] / 2 - middle) / 2) / tile[2])
    crops = [np.asarray(photo.resize((size, size), Image.Resampling.BOX, (x, y, x + s, y + s)))
             for x, y, s in tiles]
    crops = [crop for crop in crops if crop.mean(axis=2).std() > blank * 255]
    spread = [crop for start in range(5) for crop in crops[start::5]]  # neighbours look alike
    return torch.tensor(np.stack(spread)).permute(0, 3, 1, 2)
