"""Reading image sets from files: packed npz, and folders of images."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from .image_checks import check_images, class_names, require, whole_numbers

GREY = ("1", "L")  # modes of Pillow; what else is read stands in `_eight_bits`
COLOUR = ("RGB", "RGBX", "P", "CMYK", "YCbCr", "LAB")


def read_chunks(npz: Path) -> tuple[Tensor, Tensor, list[str]]:
    """The images (N, C, H, W) uint8, labels (N,) and classes of a packed set with its
    continuations. ValueError naming a file that is damaged."""
    more = len(list(npz.parent.glob(f"{npz.stem}-[0-9]*.npz")))
    files = [npz] + [npz.with_name(f"{npz.stem}-{2 + part}.npz") for part in range(more)]
    sets = [_read_packed(file) for file in files]
    images, labels, classes = zip(*sets, strict=True)
    require(len({(*names, part.shape[1:]) for part, names in zip(images, classes, strict=True)})
             == 1, f"the continuations of {npz} differ in classes or image shape")
    return torch.cat(images), torch.cat(labels), classes[0]


def _read_packed(path: Path) -> tuple[Tensor, Tensor, list[str]]:
    require(path.is_file(), f"{path} is damaged or missing: no regular file")
    try:
        with np.load(path, allow_pickle=False) as packed:
            arrays = {name: packed[name] for name in ("images", "labels", "classes")}
            exact = packed["exact"] if "exact" in packed else None
        images, labels = _channels_first(arrays["images"]), arrays["labels"]
        if exact is not None:
            require(exact.dtype == bool and exact.shape == (len(images),),
                     "exact must be a mask of True and False, one for each image (astype(bool)), "
                     f"not {exact.dtype} {exact.shape}")
            images, labels = images[exact], labels[exact]
        labels = whole_numbers("labels", labels)
        classes = class_names([str(name) for name in arrays["classes"]])
        require(images.dtype == np.uint8, f"images must be uint8 in 0..255, not {images.dtype}")
        images = torch.from_numpy(np.ascontiguousarray(images))
        check_images(images, labels, len(classes), "NCHW")
        return images, labels, classes
    except Exception as error:  # a damaged archive fails in a dozen ways
        reason = "it holds pickled objects, which are never read" if "pickle" in str(error) \
            else f"{type(error).__name__}: {error}"
        raise ValueError(f"{path} is damaged or no packed image set: {reason}") from error


def _channels_first(images: np.ndarray) -> np.ndarray:
    """(N, C, H, W) of packed images (N, H, W, C) or (N, H, W)."""
    images = images[..., None] if images.ndim == 3 else images
    require(images.ndim == 4, f"images must be (N, H, W, C) or (N, H, W), not {images.shape}")
    said = f"images {images.shape} have {images.shape[-1]} channels on their last axis, not 1 or 3"
    if images.shape[1] in (1, 3):
        said += "; channels come last: save images.transpose(0, 2, 3, 1)"
    require(images.shape[-1] in (1, 3), said)
    return images.transpose(0, 3, 1, 2)


def read_folder(folder: Path, size: int | None) -> tuple[Tensor, Tensor, list[str]]:
    """The same of a folder with a sub-folder of images for each class."""
    classes = sorted(path.name for path in folder.glob("[!.]*") if path.is_dir())
    files = [sorted((folder / name).glob("[!.]*")) for name in classes]
    labels = [label for label, of_class in enumerate(files) for _ in of_class]
    require(labels, f"{folder} holds no images: expected one sub-folder a class, as in "
                    f"{folder.name}/any/photo.jpg")
    empty = [name for name, of_class in zip(classes, files, strict=True) if not of_class]
    require(not empty, f"sub-folders of {folder} hold no images: {', '.join(empty)}")
    images = [read_image(file, size) for of_class in files for file in of_class]
    mode = "L" if {image.mode for image in images} == {"L"} else "RGB"
    require(len({image.size for image in images}) == 1,
             f"the images in {folder} differ in size: give load(..., size=)")
    pixels = np.stack([np.array(image.convert(mode), ndmin=3) for image in images])
    pixels = pixels if mode == "L" else pixels.transpose(0, 3, 1, 2)
    return torch.tensor(pixels), torch.tensor(labels), classes


def read_image(file: Path, size: int | None) -> Image.Image:
    """The image of a file, grey ("L") or "RGB", upright; ValueError naming the file."""
    require(file.is_file(), f"{file} cannot be read as an image: it is no regular file")
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


def _require_one_frame(image: Image.Image) -> None:
    frames = getattr(image, "n_frames", 1)
    require(frames == 1 or image.format == "MPO",  # a phone's photograph; previews follow it
             f"it has {frames} frames or pages: save the one that is meant")


def _eight_bits(image: Image.Image, file_format: str | None) -> Image.Image:
    """A Pillow image of any mode as "L" or "RGB", where its values say which they are."""
    mode = image.mode
    if mode.startswith("I;16") or (mode == "I" and file_format == "PPM"):  # white is 65535
        values = np.asarray(image).astype(np.float64)
        return Image.fromarray(np.round(values / 257).astype(np.uint8))
    require(mode not in ("I", "F"), f"its pixels are 32-bit numbers (mode {mode}), and which of "
             "them is white is not known: save it in 8 or 16 bits")
    if mode in ("LA", "RGBA", "PA", "La", "RGBa") or "transparency" in image.info:
        rgba = image.convert("RGBA")
        require(rgba.getextrema()[3][0] == 255,
                 "it has transparent pixels: put it on a background, as RGB")
        return rgba.convert("L" if mode in ("L", "LA", "La", "1") else "RGB")
    require(mode in GREY or mode in COLOUR, f"its mode {mode} is not known: save it as RGB")
    return image.convert("L" if mode in GREY else "RGB")


def resize(images: Tensor, size: int | None) -> Tensor:
    """(N, C, H, W) uint8: central square, then side `size`; unchanged where size is None."""
    if size is None or images.shape[2:] == (size, size):
        return images
    from torchvision.transforms.functional import center_crop  # takes a second to import

    side = min(images.shape[2:])
    square, mode = center_crop(images, [side, side]), "area" if size <= side else "bilinear"
    return F.interpolate(square.float(), (size, size), mode=mode).round().to(torch.uint8)
