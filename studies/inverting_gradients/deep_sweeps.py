"""A deep network that was trained on ImageNet, attacked at 128 pixels: EfficientNet-Lite0.

The paper's Figures 1 and 3 have ResNet-18 and ResNet-152 at 224 pixels, with weights of ImageNet
that no package brings. One cell a photograph, so that an interrupted campaign loses little.
Whether a picture can be recognised is asked of ST-LPIPS: is the private photograph nearer to it
than each of 200 others (`CANDIDATES`)? By chance it is once in 200 times.
"""

from dataclasses import dataclass

from studies.inverting_gradients.configs import attacked, sweep
from studies.store import Sweep

SIZE = 128
ITERATIONS = 4800
FILM = [0, 100, 300, 600, 1200, 2400, ITERATIONS]  # iterations whose pictures are kept
PRIOR = {"tv": 0.5}  # the best of 0.01, 0.1 and 0.5 in a first trial on one photograph, client 0
PHOTOS = {"name": "photos", "size": SIZE, "imagenet": True}
CANDIDATES = {"name": "imagenet200", "size": SIZE}
IMAGENET = CANDIDATES | {"imagenet": True}  # research use: not shown
MINUTES = 16  # of a core, for one photograph
SHOWN = (0, 8)  # astronaut, pagoda: attacked behind both networks
OTHERS = (1, 9, 3, 7, 2, 4, 6, 5)
DIFFERS = ("EfficientNet-Lite0 for ResNet; 128 pixels; 4,800 iterations, one start; photographs "
           "that are not ImageNet's, under the label that the trained network gives them")
NUMBERS = ("EfficientNet-Lite0 for ResNet; 128 pixels; 4,800 iterations, one start; photographs "
           "of ImageNet, under the label that the trained network gives them")


@dataclass(frozen=True)
class Deep:
    """The sweeps of the deep network, by "trained" or "untrained"."""

    shown: dict[str, Sweep]   # the photographs SHOWN
    others: Sweep             # the other eight, behind the trained network
    imagenet: Sweep           # sixteen of ImageNet's, behind the trained network


def lite0(state: str, seed: int) -> dict:
    """The network with the weights of ImageNet ("trained"), or drawn under a seed."""
    return {"name": "efficientnet_lite0", "pretrained": state == "trained", "seed": seed}


def declare(seed: int) -> Deep:
    """The sweeps, in the order in which they are worth computing."""
    return Deep(
        shown={state: _photographs(f"deep_{state}", PHOTOS, SHOWN, state, seed, DIFFERS)
               for state in ("trained", "untrained")},
        others=_photographs("deep_others", PHOTOS, OTHERS, "trained", seed, DIFFERS),
        imagenet=_photographs("deep_imagenet", IMAGENET, range(16), "trained", seed, NUMBERS))


def _photographs(name: str, images: dict, clients, state: str, seed: int, differs: str) -> Sweep:
    paper = [attacked(images, lite0(state, seed), ITERATIONS, [client, client + 1], seed, PRIOR,
                      record=FILM, among=CANDIDATES) for client in clients]
    return sweep(name, [], paper, MINUTES * len(paper), differs, gpu=False)
