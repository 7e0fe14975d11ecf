"""The vocabulary of all notebooks, and how notebook 00 shows the errors that a first try meets."""

from collections.abc import Callable

import pandas as pd

from lib import run

WORDS = {
    "client": "holds the private batch; K of them are attacked at once, each on its own",
    "private batch":
        "B images with labels, of shape (K, B, channels, height, width), pixels in [0, 1]",
    "shared update":
        "what leaves the client: gradients, or the difference of weights after local steps; "
        "P numbers",
    "server, attacker":
        "honest but curious unless said otherwise: follows the protocol and looks at updates",
    "victim model":
        "the network whose gradient is attacked; random weights unless it says trained",
    "dummy image, dummy label": "what the attacker moves",
    "objective":
        "distance between dummy and shared gradients, D: squared error (L2) or one cosine over "
        "all of it",
    "prior":
        "what the attacker believes of images: smooth (total variation, TV), BatchNorm "
        "statistics, made by a generator",
    "restart": "an independent start; of R restarts the smallest objective is taken",
    "reconstruction":
        "what the attack gives back; batches have no order, so images are matched one to one "
        "before scoring",
    "defense": "what a client does to its images, labels or update before it shares",
    "threat model": "what the attacker is given besides update, network and protocol",
    "MSE, PSNR":
        "mean squared error per pixel on [0, 1]; −10 log10 of it in dB, of clipped images: 30 dB "
        "is hard to tell from the original; a flat grey has 7 to 18, by image",
    "SSIM, LPIPS, AVD":
        "structural similarity (1 is equal); a network's perceptual distance (0 is equal); "
        "distance between edges (0 is equal)"}
LONGEST = 300  # letters of an error that are shown


def vocabulary() -> pd.DataFrame:
    """One word a thing, in all notebooks and in `lib`."""
    return pd.DataFrame(WORDS.items(), columns=["word", "what it means here"])


def print_error(call: Callable) -> None:
    """Print the error that a call raises; the folder of this machine's data as "data"."""
    try:
        call()
    except Exception as error:
        text = str(error).replace(str(run.current().data_root), "data")
        end = "..." if len(text) > LONGEST else ""
        print(f"{type(error).__name__}: {text[:LONGEST]}{end}")
