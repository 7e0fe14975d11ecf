"""Download the image sets and pack each as <root>/<name>-<split>.npz, the layout of data/README.md.

    python tools/get_data.py [--root data] [--sets mnist cifar10 ...]

Sets already packed and readable are skipped; one that fails does not stop the others, but the exit
status is 1. A killed run leaves no half-written set: continuations are written first, the file
that `lib.data.load` looks for last.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps
from sklearn.datasets import fetch_lfw_people
from torchvision import datasets

from lib import data, files, run

FILE_BYTES = 45_000_000  # before compression, so that every file stays below 50 MB
PETS_SIDE = 128


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=run.ROOT / "data")
    parser.add_argument("--sets", nargs="+", choices=data.DOWNLOADED, default=data.DOWNLOADED)
    args = parser.parse_args()
    args.root.mkdir(parents=True, exist_ok=True)
    failed = [name for name in args.sets if not get(name, args.root)]
    sys.exit(1 if failed else 0)


def get(name, root):
    """Download and pack what is missing of a set; True if the whole set can be read after."""
    try:
        for split in splits(name):
            if packed(name, split, root):
                print(f"{name}-{split}: already there")
                continue
            images, classes = download(name, split, root / "downloads")
            pack(images, classes, root / f"{name}-{split}.npz")
            print(f"{name}-{split}: packed, {len(data.load(name, split, root))} images")
    except Exception as error:  # the network, a moved file, a full disk: go on with the next set
        print(f"{name}: failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    return True


def splits(name):
    return ("test",) if name == "lfw" else ("train", "test")  # LFW is one set


def packed(name, split, root):
    """True if the packed file is there and whole; a damaged one is downloaded again."""
    if not (root / f"{name}-{split}.npz").is_file():
        return False
    try:
        return len(data.load(name, split, root)) > 0
    except ValueError as error:
        print(f"{error}; getting it again", file=sys.stderr)
        return False


def download(name, split, folder):
    """(an iterable of (PIL image, label), class names); kept in `folder` by torchvision."""
    train = split == "train"
    if name == "mnist":
        images = datasets.MNIST(folder, train=train, download=True)
        return images, [str(digit) for digit in range(10)]
    if name in ("cifar10", "cifar100"):
        kind = datasets.CIFAR10 if name == "cifar10" else datasets.CIFAR100
        images = kind(folder / name, train=train, download=True)
        return images, images.classes
    if name == "svhn":
        images = datasets.SVHN(folder / name, split=split, download=True)
        return images, [str(digit) for digit in range(10)]
    if name == "cats_dogs":
        images = datasets.OxfordIIITPet(folder, split="trainval" if train else "test",
                                        target_types="binary-category", download=True)
        return ((squared(image), label) for image, label in images), ["cats", "dogs"]
    return lfw(folder)


def squared(image):
    return ImageOps.fit(image.convert("RGB"), (PETS_SIDE, PETS_SIDE), Image.Resampling.BOX)


def lfw(folder):
    """People with 20 or more pictures, the central 128 of 250 pixels at half size: 64x64 RGB."""
    middle = slice(61, 189)
    bunch = fetch_lfw_people(data_home=folder, color=True, resize=0.5, min_faces_per_person=20,
                             slice_=(middle, middle))
    pixels = np.round(bunch.images * 255).astype(np.uint8)  # scikit-learn gives [0, 1]
    return zip(pixels, bunch.target, strict=True), [str(name) for name in bunch.target_names]


def pack(images, classes, npz):
    """Write an iterable of (image, label) as `npz` and its continuations -2, -3, ..., atomically.

    Images are PIL or uint8 arrays of one size, (H, W) or (H, W, C).
    """
    pixels, labels = zip(*((np.asarray(image), label) for image, label in images), strict=True)
    pixels, labels = np.stack(pixels), np.array(labels, dtype=np.int64)
    pixels = pixels[..., None] if pixels.ndim == 3 else pixels  # (N, H, W, C)
    rows = max(1, FILE_BYTES // pixels[0].nbytes)
    npz.unlink(missing_ok=True)
    for old in npz.parent.glob(f"{npz.stem}-[0-9]*.npz"):
        old.unlink()
    for start in reversed(range(0, len(pixels), rows)):
        number = start // rows + 1
        file = npz if number == 1 else npz.with_name(f"{npz.stem}-{number}.npz")
        part = slice(start, start + rows)
        with files.atomic(file) as stream:
            np.savez_compressed(stream, images=pixels[part], labels=labels[part],
                                classes=np.array(classes))


if __name__ == "__main__":
    main()
