"""Download ImageNet weights to <root>/weights, where lib looks: LPIPS's backbones, two ResNets.

    python tools/get_weights.py [--root data]

torchvision names each file by its hash, which is checked; files already there are skipped.
"""

import argparse
import sys
from pathlib import Path

import torch

from lib import metrics, models, run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=run.ROOT / "data")
    root = parser.parse_args().root
    urls = {f"LPIPS {net}": url for net, url in metrics.BACKBONES.items()}
    urls |= {f"ResNet-{depth}": models.pretrained_url(depth) for depth in (18, 152)}
    failed = [name for name, url in urls.items() if not get(name, url, root)]
    sys.exit(1 if failed else 0)


def get(name, url, root):
    """True if the weights are there after."""
    try:
        torch.hub.load_state_dict_from_url(
            url, model_dir=str(root / "weights"), map_location="cpu",
            check_hash=True, weights_only=True)
    except Exception as error:  # the network, a full disk: try the others
        print(f"{name}: failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(f"{name}: {url.rsplit('/', 1)[1]}")
    return True


if __name__ == "__main__":
    main()
