"""How near a reconstruction came: mse, psnr, ssim, lpips, avd; matching; summaries.

Every metric takes a pair (..., C, H, W), reconstruction first, and returns (...).
"""

import warnings
from functools import lru_cache
from pathlib import Path

import lpips as lpips_package
import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torchmetrics.functional.image import structural_similarity_index_measure
from torchvision.models import AlexNet_Weights, VGG16_Weights

from lib import run

METRICS = ("mse", "psnr", "ssim", "lpips", "avd")
VARIANTS = ("paper", "distance_info", "ecir2024")  # of AVD
BACKBONES = {"alex": AlexNet_Weights.IMAGENET1K_V1, "vgg": VGG16_Weights.IMAGENET1K_V1}


def mse(guess, truth):
    """Mean squared error, not clipped: a reconstruction outside [0, 1] pays for it."""
    _check_pair(guess, truth)
    return (guess - truth).square().mean(dim=(-3, -2, -1))


def psnr(guess, truth):
    """Peak signal-to-noise ratio in dB with peak 1, of clipped images; infinite where equal."""
    return -10 * mse(guess.clamp(0, 1), truth).log10()


def ssim(guess, truth):
    """Structural similarity in [-1, 1] of clipped images (Wang et al. 2004), Gaussian window 11.

    Images smaller than 11 get the largest odd window that fits, sigma in proportion, so their
    values compare among themselves only; below 3 pixels there is none: NaN."""
    _check_pair(guess, truth)
    radius = min(5, (min(truth.shape[-2:]) - 1) // 2)
    if radius < 1:
        return truth.new_full(truth.shape[:-3], torch.nan)
    flat = [image.reshape(-1, *truth.shape[-3:]) for image in (guess.clamp(0, 1), truth)]
    sigma = min(1.5, radius / 3.5)  # torchmetrics derives its window from sigma: 2 radius + 1
    values = structural_similarity_index_measure(
        *flat, sigma=sigma, data_range=1.0, reduction="none")
    return values.reshape(truth.shape[:-3])


def lpips(guess, truth, net="alex", root=None):
    """Learned perceptual distance (Zhang et al. 2018, v0.1), net "alex" or "vgg"; clipped images.

    NaN where `lpips_available` says no or a side is below 31 pixels. Never downloads."""
    _check_pair(guess, truth)
    if not lpips_available(root, net)[0] or min(truth.shape[-2:]) < 31:
        return truth.new_full(truth.shape[:-3], torch.nan)
    network = _lpips_network(net, _weights_file(net, root)).to(truth.device)
    flat = [image.clamp(0, 1).float().reshape(-1, *truth.shape[-3:]).expand(-1, 3, -1, -1)
            for image in (guess, truth)]
    with torch.no_grad():
        chunks = [network(a, b, normalize=True).flatten()  # [0, 1] becomes [-1, 1] in there
                  for a, b in zip(*(image.split(64) for image in flat), strict=True)]
    return torch.cat(chunks).to(truth.dtype).reshape(truth.shape[:-3])


def lpips_available(root=None, net="alex"):
    """(True, "") where the backbone's ImageNet weights are at hand, else (False, the reason)."""
    file = _weights_file(net, root)
    if file.is_file():
        return True, ""
    return False, f"LPIPS not computed: no {file.parent.name}/{file.name}; `make weights` gets it"


def avd(guess, truth, variant="distance_info", quantise=False):
    """Absolute variational distance (Eloul et al. 2022); 0 where equal, near 1 for uniform noise.

    "paper": || |grad guess| - |grad truth| ||, with |grad v| the absolute differences to the left
    and the upper neighbour, and || || their root mean square: the paper prints a bare norm, which
    would grow with the image (Eloul et al. 2022, poster). The published code (fl_eval_kit) has
    two others, of D1[i, j] = |(v[i, j-1] - v[i, j]) + (v[i-1, j] - v[i, j])|, per channel:
    "distance_info": sqrt(mean((D1(guess) / 2 - D1(truth) / 2)^2) / 0.1);
    "ecir2024" (`AVD` there): sqrt(mean((D1 - D1)^2) + 0.5 mean((D2 - D2)^2)), D2 the second
    differences. A constant shift of the pixels changes none of the three.
    quantise: as that code, both images go through 8 bits first, where values above 1 wrap modulo
    256, and the reconstruction's absolute value is taken. Otherwise nothing is clipped."""
    _check_pair(guess, truth)
    if variant not in VARIANTS:
        raise ValueError(f"unknown variant {variant!r}: one of {', '.join(VARIANTS)}")
    if quantise:
        pair = guess.abs(), truth
        guess, truth = ((255 * image).trunc().remainder(256) / 255 for image in pair)
    if variant == "paper":
        squares = [(guess.diff(dim=d).abs() - truth.diff(dim=d).abs()).square() for d in (-1, -2)]
        return torch.cat([s.flatten(-3) for s in squares], -1).mean(-1).sqrt()
    first, second = ((_variation(guess, order) - _variation(truth, order)).square()
                     .mean(dim=(-3, -2, -1)) for order in (1, 2))
    return (first / 4 / 0.1).sqrt() if variant == "distance_info" \
        else (first + 0.5 * second).sqrt()


def score(guess, truth, match=True, root=None):
    """A DataFrame, a row an image: client, image, guess (its reconstruction), and the METRICS.

    guess, truth: (K, B, C, H, W). match: a client's reconstructions have no order, so they are
    assigned to its images one to one at least total mse. A reconstruction with NaN or infinite
    pixels is assigned last and scores NaN. root: where `lpips` looks for weights."""
    _check_pair(guess, truth)
    if truth.ndim != 5 or truth.numel() == 0:
        raise ValueError(f"images must be (K, B, C, H, W), not {tuple(truth.shape)}")
    truth = truth.detach()
    guess = guess.detach().to(truth)
    K, B = truth.shape[:2]
    order = matching(guess, truth) if match else torch.arange(B).expand(K, B)
    guess = guess[torch.arange(K, device=truth.device)[:, None], order]
    finite = guess.isfinite().flatten(2).all(-1)  # (K, B)
    guess = torch.where(finite[..., None, None, None], guess, 0)
    values = {"mse": mse(guess, truth), "psnr": psnr(guess, truth), "ssim": ssim(guess, truth),
              "lpips": lpips(guess, truth, root=root), "avd": avd(guess, truth)}
    columns = {name: torch.where(finite, value, torch.nan).flatten().cpu().double().numpy()
               for name, value in values.items()}
    where = {"client": torch.arange(K).repeat_interleave(B).numpy(),
             "image": torch.arange(B).repeat(K).numpy(), "guess": order.flatten().cpu().numpy()}
    return pd.DataFrame(where | columns)


def summary(table, by=None, recovered="mse < 1e-3"):
    """A DataFrame, a row a metric (and group of `by`): n, mean, std, median, q25, q75.

    The row "recovered: <criterion>" holds the share of images that meet it, counting failed
    reconstructions (NaN) as not recovered; elsewhere n counts what is not NaN.
    recovered: a pandas expression in the columns of `table`."""
    criterion = f"recovered: {recovered}"
    table = table.assign(**{criterion: table.eval(recovered).astype(float)})
    keys = [by] if isinstance(by, str) else list(by or [])
    long = table.melt(keys, [name for name in (*METRICS, criterion) if name in table], "metric")
    columns = long.groupby([*keys, "metric"], sort=False)["value"]
    return columns.agg(
        n="count", mean="mean", std="std", median="median",
        q25=lambda x: x.quantile(0.25, "nearest"),  # interpolating between infinities gives NaN
        q75=lambda x: x.quantile(0.75, "nearest"),
    ).reset_index()


def matching(guess, truth):
    """(K, B): for each true image the index of its reconstruction, one to one, least total mse.

    A client's reconstructions have no order; one with NaN or infinite pixels is assigned last."""
    finite = guess.isfinite().flatten(2).all(-1)
    guess = torch.where(finite[..., None, None, None], guess, 0)
    cost = torch.cdist(truth.flatten(2).double(), guess.flatten(2).double()).square()  # (K, B, B)
    last = 1 + cost.amax(dim=(1, 2), keepdim=True) * truth.shape[1]
    cost = torch.where(finite[:, None, :], cost, last)
    order = [torch.as_tensor(linear_sum_assignment(row)[1]) for row in cost.cpu()]
    return torch.stack(order).to(truth.device)


def _variation(v, order):
    """|across + down|: the two differences of first or second order, ending at each pixel."""
    across, down = v.diff(n=order, dim=-1), v.diff(n=order, dim=-2)
    return (across[..., order:, :] + down[..., order:]).abs()


def _weights_file(net, root):
    if net not in BACKBONES:
        raise ValueError(f"unknown net {net!r}: it is one of {', '.join(BACKBONES)}")
    root = Path(root) if root else run.current().data_root
    return root / "weights" / Path(BACKBONES[net].url).name


@lru_cache(maxsize=2)
def _lpips_network(net, file):
    """The package's linear layers on a backbone read from a file: built without its download."""
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # its init draws, unused
        warnings.simplefilter("ignore")
        network = lpips_package.LPIPS(net=net, pnet_rand=True, verbose=False)
    state = torch.load(file, map_location="cpu", weights_only=True)
    for name, parameter in network.net.named_parameters():  # slice2.3.weight: features.3.weight
        parameter.data.copy_(state["features." + name.split(".", 1)[1]])
    return network.eval().requires_grad_(False)


def _check_pair(guess, truth):
    if guess.shape != truth.shape or truth.ndim < 3:
        raise ValueError(f"images must be two (..., C, H, W) of one shape, not "
                         f"{tuple(guess.shape)} and {tuple(truth.shape)}")
