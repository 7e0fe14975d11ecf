"""`make cards`: docs/CARDS.md, a card for each data set and each generator.

    python tools/cards.py            write it
    python tools/cards.py --check    only say whether it is in step

Sizes of the embedded sets are counted, terms come from data/README.md, how a generator was trained
and how good it is from data/cells. Typed are only the sources, and how a set is cut.
"""

import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path

from lib import data
from studies.gias.compute import SAME
from tools import scoreboard

ROOT = Path(__file__).resolve().parents[1]
CARDS, TERMS = ROOT / "docs/CARDS.md", ROOT / "data/README.md"
HEAD = """# Cards

Written by `make cards`. One card for each data set, and for each generator of a stored result.
How to get a set, its layout and its terms in full: [data/README.md](../data/README.md)."""


@dataclass(frozen=True)
class Source:
    """What no code can tell of a set."""

    name: str
    origin: str
    cut: str
    stored: str = "the whole set"  # which images the stored results were made with, if any


SOURCES = (
    Source("digits", "scikit-learn, embedded (Alpaydin and Kaynak, UCI)",
           "train: the first 140 of each class; test: the others; classes in turn"),
    Source("faces", "scikit-image, embedded: its subset of LFW, the 100 that are faces",
           "every other one: train, test. One class; identities unknown"),
    Source("photos", "scikit-image and scikit-learn, embedded: ten photographs",
           "squares of 32 pixels; test from the middle band of each photograph, train from the "
           "outer two: they share no pixel. Class: the photograph"),
    Source("mnist", "LeCun et al., by torchvision", "official splits, order kept"),
    Source("cifar10", "Krizhevsky 2009, by torchvision", "official splits, order kept",
           "the first 30,000 training images and all test images, put together from lossless "
           "copies; rows that are only close approximations (24 and 23) are dropped"),
    Source("cifar100", "Krizhevsky 2009, by torchvision", "official splits, order kept",
           "a sample of 475 images: 5 of each of 95 classes, splits mixed, order lost"),
    Source("svhn", "Netzer et al. 2011, by torchvision", "official splits, order kept", "none"),
    Source("cats_dogs", "Oxford-IIIT Pet (Parkhi et al. 2012), by torchvision",
           "cat or dog; the central square at 128 pixels",
           "another set, Kaggle's Dogs vs. Cats: 200 of each, shortest side 128, central squares"),
    Source("lfw", "Huang et al. 2007, by scikit-learn",
           "people with 20 or more pictures, 64 pixels; one set, no splits",
           "62 people with 20 images each, central crop, 64 pixels"))


def documents() -> list[dict]:
    return [json.loads(path.read_text())
            for path in sorted((ROOT / "data/cells").rglob("[!.]*.json"))]


def terms(name) -> str:
    """What data/README.md says of a set, in its table of terms."""
    table = TERMS.read_text().partition("\n## Terms\n")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.M)
    found = [term for names, term in rows if f"`{name}`" in names]
    if not found:
        raise SystemExit(f"data/README.md names no terms of {name}")
    return "; ".join(dict.fromkeys(found))


def size_of(name) -> str:
    """Counted, of an embedded set; the others may not be here."""
    if name not in data.EMBEDDED:
        return "as published"
    train, test = (data.load(name, split) for split in ("train", "test"))
    shape = "x".join(map(str, test.shape))
    return f"{len(train)} + {len(test)} images (train + test) of {shape}, {len(test.classes)} " \
           f"class{'es' * (len(test.classes) > 1)}"


def of_set(source) -> str:
    shown = "yes" if data.shareable(source.name) else "no: numbers only"
    rows = [("source", source.origin), ("licence", terms(source.name)),
            ("size", size_of(source.name)), ("how it is cut", source.cut),
            ("what stored results had", source.stored),
            ("may be shown in figures", shown)]
    return f"### {source.name}\n\n{scoreboard.table(['', ''], rows)}"


# ---- generators

def generators(stored) -> list[dict]:
    """The stored quality of each trained generator."""
    return [cell for cell in stored if cell["function"] == "studies.gias.worth"]


def of_generator(cell) -> str:
    how = cell["config"]["generator"]
    train, values = how["train"], {name: column[0] for name, column in cell["table"].items()}
    near = values["to the nearest seen image"], values["of unseen images"]
    rows = [
        ("network", f"`generators.dcgan`: width {how['width']}, {how['latent']} latents, "
         f"{values['parameters']:,.0f} parameters"),
        ("data", f"{values['images']:,.0f} training images: {told(how['images'])}"),
        ("steps", f"{train['steps']} of {train['batch_size']} images; "
         f"Adam, rate {train['lr']}; gamma {train['gamma']}; critic of width {train['width']}; "
         f"seed {cell['config']['seed']}; the weights are not kept, the same seed trains them "
         "again"),
        ("quality", f"the critic prefers a test image to a sample in {values['told apart']:.0%} of "
         f"pairs (50 %: it cannot tell); spread of samples {values['spread']:.2f} of that of test "
         "images"),
        ("memorisation", "median distance to the nearest training image: "
         f"{near[0]:.3f} of samples, {near[1]:.3f} of test images: {verdict(*near)}. An attack on "
         f"an image that it has seen (root mean squared distance below {SAME:g}) is refused")]
    return f"### generator of {how['images']['name']}\n\n{scoreboard.table(['', ''], rows)}"


def told(images) -> str:
    words = [images["name"]]
    if "apart" in images:
        words.append(f"{images['apart']} people kept apart for attacks")
    if "size" in images:
        words.append(f"resized to {images['size']} pixels")
    return ", ".join(words)


def verdict(samples, unseen) -> str:
    """Memories lie nearer to the training images than images that are new."""
    if samples < unseen / 2:
        return "samples are memories"
    if samples < unseen:
        return "samples are somewhat nearer than new images are"
    return "samples are no nearer than new images are"


def written() -> str:
    parts = [HEAD, "## Data sets", *map(of_set, SOURCES),
             "## Generators", *map(of_generator, generators(documents()))]
    return "\n\n".join(parts) + "\n"


def main(check=False) -> int:
    text = written()
    if not check:
        CARDS.write_text(text)
        print("docs/CARDS.md")
        return 0
    if not CARDS.is_file() or CARDS.read_text() != text:
        print("docs/CARDS.md is not in step: make cards")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
