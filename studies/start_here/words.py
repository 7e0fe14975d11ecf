"""The vocabulary of all notebooks, and how notebook 00 shows errors and assumptions."""

from collections.abc import Callable

import pandas as pd

from lib import run
from lib.update import SharedUpdate

WORDS = {
    "client": "holds the private batch; K clients are attacked at once, each on its own",
    "private image, private batch":
        "what the client keeps: B images with labels, pixels in [0, 1], as a tensor of shape "
        "(K, B, channels, height, width)",
    "shared update":
        "what leaves the client, P numbers: gradients, or the difference of weights after "
        "several local steps",
    "server, attacker":
        "honest but curious unless a page says otherwise: it follows the protocol and looks at "
        "the updates",
    "victim model":
        "the network whose gradient is attacked; its weights are random unless a page says "
        "that it was trained",
    "dummy image, dummy label": "what the attacker moves",
    "objective":
        "the distance D between the dummy gradient and the shared gradient: a squared error "
        "(L2), or one minus a cosine over all entries",
    "prior":
        "what the attacker believes of images: that they are smooth (a small total variation, "
        "TV), have known BatchNorm statistics, or come from a generator, a network that makes "
        "images",
    "restart": "an independent start; of R restarts the one with the smallest objective counts",
    "reconstruction":
        "what the attack gives back; a gradient knows no order of the batch, so images are "
        "matched one to one before they are scored",
    "recovered": "a reconstruction that meets a criterion, which the page names",
    "defense": "what a client does to its images, labels or update before it shares",
    "threat model":
        "what the attacker is given besides the update, the network and the protocol",
    "MSE, PSNR":
        "mean squared error per pixel, on [0, 1]; and −10 log10 of it, in dB, for images "
        "clipped to [0, 1]",
    "mid-grey, flat grey":
        "a picture of one grey, which needs no gradient: 7 to 18 dB, depending on the image. An "
        "attack that is no better has failed",
    "SSIM, LPIPS, AVD":
        "similarity of structures (1 is equal); distance as a trained network sees it (0 is "
        "equal); distance between edges (0 is equal)",
    "quick, paper profile":
        "the settings of this run, for a laptop; and those of the papers as far as they were "
        "computed, whose results are stored"}
LONGEST = 300  # letters of an error that are shown


def vocabulary() -> pd.DataFrame:
    """One word a thing, in all notebooks and in `lib`."""
    return pd.DataFrame(WORDS.items(), columns=["word", "what it means here"])


def assumptions(update: SharedUpdate) -> pd.DataFrame:
    """The card of an update, a row an assumption."""
    return pd.DataFrame(update.card().items(), columns=["assumption", "here"]).astype(str)


def print_error(call: Callable) -> None:
    """Print the error that a call raises; the folder of this machine's data as "data"."""
    try:
        call()
    except Exception as error:
        text = str(error).replace(str(run.current().data_root), "data")
        end = "..." if len(text) > LONGEST else ""
        print(f"{type(error).__name__}: {text[:LONGEST]}{end}")
