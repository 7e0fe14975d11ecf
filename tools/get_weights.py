"""Download the ImageNet backbones of LPIPS to <root>/weights, where lib.metrics.lpips looks.

    python tools/get_weights.py [--root data]

torchvision names each file by its hash, which is checked; files already there are skipped.
"""

import argparse
import sys
from pathlib import Path

import torch

from lib import metrics, run


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--root", type=Path, default=run.ROOT / "data")
    root = parser.parse_args().root
    failed = [net for net in metrics.BACKBONES if not get(net, root)]
    sys.exit(1 if failed else 0)


def get(net, root):
    """True if the weights of "alex" or "vgg" are there after."""
    try:
        torch.hub.load_state_dict_from_url(
            metrics.BACKBONES[net].url, model_dir=str(root / "weights"), map_location="cpu",
            check_hash=True, weights_only=True)
    except Exception as error:  # the network, a full disk: try the other one
        print(f"LPIPS {net}: failed: {type(error).__name__}: {error}", file=sys.stderr)
        return False
    print(f"LPIPS {net}: {metrics.BACKBONES[net].url.rsplit('/', 1)[1]}")
    return True


if __name__ == "__main__":
    main()
