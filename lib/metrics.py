"""How near a reconstruction came: mse, psnr, ssim, lpips, stlpips, avd; matching; summaries.

Every metric takes a pair (..., C, H, W), reconstruction first, and returns (...). The truth lies in
[0, 1]; a reconstruction may leave that range, as some attacks do. ValueError for pairs of other
shapes, types or devices, and for a truth that is not in [0, 1], as images of 0..255 are.
"""

import warnings
from functools import lru_cache
from pathlib import Path

import pandas as pd
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor, nn

from . import checks, run

METRICS = ("mse", "psnr", "ssim", "lpips", "stlpips", "avd")
VARIANTS = ("paper", "distance_info", "ecir2024")  # of AVD
BACKBONES = {  # where torchvision's ImageNet weights are: importing it takes a second
    "alex": "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth",
    "vgg": "https://download.pytorch.org/models/vgg16-397923af.pth"}


def mse(guess, truth) -> Tensor:
    """Mean squared error, not clipped: a reconstruction outside [0, 1] pays for it."""
    guess, truth = _pair(guess, truth)
    return (guess - truth).square().mean(dim=(-3, -2, -1))


def psnr(guess, truth) -> Tensor:
    """Peak signal-to-noise ratio in dB with peak 1, of clipped images; infinite where equal."""
    guess, truth = _pair(guess, truth)
    return -10 * mse(guess.clamp(0, 1), truth).log10()


def ssim(guess, truth) -> Tensor:
    """Structural similarity in [-1, 1] of clipped images (Wang et al. 2004): an 11x11 Gaussian
    window of sigma 1.5, borders reflected, as torchmetrics computes it.

    Images smaller than 11 get the largest odd window that fits, sigma its radius / 3.5, so their
    values compare among themselves only; below 3 pixels there is none: NaN. Until November 2026
    sigma was 1.43 for all larger images: cells stored before have values that are lower, by 0.004
    on average."""
    guess, truth = _pair(guess, truth)
    radius = min(5, (min(truth.shape[-2:]) - 1) // 2)
    if radius < 1:
        return truth.new_full(truth.shape[:-3], torch.nan)
    flat = [image.reshape(-1, *truth.shape[-3:]) for image in (guess.clamp(0, 1), truth)]
    sigma = 1.5 if radius == 5 else radius / 3.5  # torchmetrics' window: 2 int(3.5 sigma + 0.5) + 1
    from torchmetrics.functional.image import structural_similarity_index_measure  # takes a second

    values = structural_similarity_index_measure(
        *flat, sigma=sigma, data_range=1.0, reduction="none")
    return values.reshape(truth.shape[:-3])


def lpips(guess, truth, net="alex", root=None) -> Tensor:
    """Learned perceptual distance (Zhang et al. 2018, v0.1), net "alex" or "vgg"; clipped images.

    NaN where `lpips_available` says no, a side is below 31 pixels, or images are neither grey nor
    of three channels. Never downloads."""
    guess, truth = _pair(guess, truth)
    fits = min(truth.shape[-2:]) >= 31 and truth.shape[-3] in (1, 3)
    if not lpips_available(root, net)[0] or not fits:
        return truth.new_full(truth.shape[:-3], torch.nan)
    network = _lpips_network(net, _weights_file(net, root)).to(truth.device)
    return _perceptual(network, guess, truth)


def stlpips(guess, truth) -> Tensor:
    """Shift-tolerant learned perceptual distance (Ghildyal and Liu, ECCV 2022), AlexNet; clipped
    images. Its weights come with the package stlpips-pytorch.

    NaN where a side is below 32 pixels, or images are neither grey nor of three channels."""
    guess, truth = _pair(guess, truth)
    if min(truth.shape[-2:]) < 32 or truth.shape[-3] not in (1, 3):
        return truth.new_full(truth.shape[:-3], torch.nan)
    return _perceptual(_stlpips_network().to(truth.device), guess, truth)


def _perceptual(network, guess, truth) -> Tensor:
    flat = [image.clamp(0, 1).float().reshape(-1, *truth.shape[-3:]).expand(-1, 3, -1, -1)
            for image in (guess, truth)]
    with torch.no_grad():
        chunks = [network(a, b, normalize=True).flatten()  # [0, 1] becomes [-1, 1] in there
                  for a, b in zip(*(image.split(64) for image in flat), strict=True)]
    return torch.cat(chunks).to(truth.dtype).reshape(truth.shape[:-3])


def lpips_available(root=None, net="alex") -> tuple[bool, str]:
    """(True, "") where the backbone's ImageNet weights are at hand, else (False, the reason)."""
    file = _weights_file(net, root)
    if file.is_file():
        return True, ""
    return False, f"LPIPS not computed: no {file.parent.name}/{file.name}; `make weights` gets it"


def avd(guess, truth, variant="distance_info", quantise=False) -> Tensor:
    """Absolute variational distance (Eloul et al. 2022); 0 where equal, near 1 for uniform noise.

    "paper": || |grad guess| - |grad truth| ||, with |grad v| the absolute differences to the left
    and the upper neighbour, and || || their root mean square: the paper prints a bare norm, which
    would grow with the image (Eloul et al. 2022, poster). The published code (fl_eval_kit) has
    two others, of D1[i, j] = |(v[i, j-1] - v[i, j]) + (v[i-1, j] - v[i, j])|, per channel:
    "distance_info": sqrt(mean((D1(guess) / 2 - D1(truth) / 2)^2) / 0.1);
    "ecir2024" (`AVD` there): sqrt(mean((D1 - D1)^2) + 0.5 mean((D2 - D2)^2)), D2 the second
    differences. A constant shift of the pixels changes none of the three. NaN for images with fewer
    rows or columns than a difference takes: 2, or 3 for the last.
    quantise: as that code, both images go through 8 bits first, where values above 1 wrap modulo
    256, and the reconstruction's absolute value is taken. Otherwise nothing is clipped."""
    guess, truth = _pair(guess, truth)
    checks.one_of("variant", variant, VARIANTS)
    if checks.flag("quantise", quantise):
        pair = guess.abs(), truth
        guess, truth = ((255 * image).trunc().remainder(256) / 255 for image in pair)
    if variant == "paper":
        squares = [(guess.diff(dim=d).abs() - truth.diff(dim=d).abs()).square() for d in (-1, -2)]
        return torch.cat([s.flatten(-3) for s in squares], -1).mean(-1).sqrt()
    first, second = ((_variation(guess, order) - _variation(truth, order)).square()
                     .mean(dim=(-3, -2, -1)) for order in (1, 2))
    return (first / 4 / 0.1).sqrt() if variant == "distance_info" \
        else (first + 0.5 * second).sqrt()


def score(guess, truth, match=True, root=None) -> pd.DataFrame:
    """A DataFrame, a row an image: client, image, guess (its reconstruction), and the METRICS.

    guess, truth: (K, B, C, H, W). match: a client's reconstructions have no order, so they are
    assigned to its images one to one at least total mse. A reconstruction with NaN or infinite
    pixels is assigned last and scores NaN. root: where `lpips` looks for weights."""
    checks.flag("match", match)
    if isinstance(guess, Tensor) and isinstance(truth, Tensor):
        guess, truth = guess.detach(), truth.detach()
        if guess.is_floating_point() and truth.is_floating_point():
            guess = guess.to(truth)
    guess, truth = _batches(guess, truth)
    K, B = truth.shape[:2]
    order = matching(guess, truth) if match else torch.arange(B).expand(K, B)
    guess = guess[torch.arange(K, device=truth.device)[:, None], order]
    finite = guess.isfinite().flatten(2).all(-1)  # (K, B)
    guess = torch.where(finite[..., None, None, None], guess, 0)
    values = {"mse": mse(guess, truth), "psnr": psnr(guess, truth), "ssim": ssim(guess, truth),
              "lpips": lpips(guess, truth, root=root), "stlpips": stlpips(guess, truth),
              "avd": avd(guess, truth)}
    columns = {name: torch.where(finite, value, torch.nan).flatten().cpu().double().numpy()
               for name, value in values.items()}
    where = {"client": torch.arange(K).repeat_interleave(B).numpy(),
             "image": torch.arange(B).repeat(K).numpy(), "guess": order.flatten().cpu().numpy()}
    return pd.DataFrame(where | columns)


def summary(table, by=None, recovered="mse < 1e-3") -> pd.DataFrame:
    """A DataFrame, a row a metric (and group of `by`): n, mean, std, median, q25, q75.

    The row "recovered: <criterion>" holds the share of images that meet it, counting failed
    reconstructions (NaN) as not recovered; elsewhere n counts what is not NaN.
    recovered: a pandas expression in the columns of `table`, true or false for each row. ValueError
    for an expression that is not, or a group that is no column."""
    if not isinstance(table, pd.DataFrame):
        raise ValueError(f"table must be a DataFrame of `score`, not {type(table).__name__}")
    if not (by is None or isinstance(by, str | list | tuple)):
        raise ValueError(f"by must be a column or a list of columns, not {checks.shown(by)}")
    keys = [by] if isinstance(by, str) else list(by or [])
    odd = [key for key in keys if key not in table or key in METRICS]
    if odd or len(set(keys)) < len(keys):
        raise ValueError(f"by must name columns of the table that are no metrics, each once, not "
                         f"{checks.shown(by)}: it has {', '.join(map(str, table.columns))}")
    criterion = f"recovered: {recovered}"
    table = table.assign(**{criterion: _met(table, recovered)})
    long = table.melt(keys, [name for name in (*METRICS, criterion) if name in table], "metric")
    columns = long.groupby([*keys, "metric"], sort=False)["value"]
    return columns.agg(
        n="count", mean="mean", std="std", median="median",
        q25=lambda x: x.quantile(0.25, "nearest"),  # interpolating between infinities gives NaN
        q75=lambda x: x.quantile(0.75, "nearest"),
    ).reset_index()


def _met(table, recovered) -> pd.Series:
    """1.0 where a row of the table meets the criterion, 0.0 elsewhere."""
    try:
        met = table.eval(recovered)
    except Exception as error:  # of pandas, numexpr or Python's parser
        columns = ", ".join(map(str, table.columns))
        raise ValueError(f"recovered={checks.shown(recovered)} is no expression in the columns of "
                         f"the table, {columns}: {checks.shown(str(error))}") from error
    if not isinstance(met, pd.Series) or met.dtype != bool:
        raise ValueError(f"recovered={checks.shown(recovered)} is not true or false for each row "
                         "of the table")
    return met.astype(float)


def matching(guess, truth) -> Tensor:
    """(K, B): for each true image the index of its reconstruction, one to one, least total mse.

    A client's reconstructions have no order; one with NaN or infinite pixels is assigned last."""
    guess, truth = _batches(guess, truth)
    finite = guess.isfinite().flatten(2).all(-1)
    guess = torch.where(finite[..., None, None, None], guess, 0)
    cost = torch.cdist(truth.flatten(2).double(), guess.flatten(2).double()).square()  # (K, B, B)
    last = 1 + cost.amax(dim=(1, 2), keepdim=True) * truth.shape[1]
    cost = torch.where(finite[:, None, :], cost, last)
    order = [torch.as_tensor(linear_sum_assignment(row)[1]) for row in cost.cpu()]
    return torch.stack(order).to(truth.device)


def _variation(v, order) -> Tensor:
    """|across + down|: the two differences of first or second order, ending at each pixel."""
    across, down = v.diff(n=order, dim=-1), v.diff(n=order, dim=-2)
    return (across[..., order:, :] + down[..., order:]).abs()


def _weights_file(net, root) -> Path:
    checks.one_of("net", net, BACKBONES)
    root = Path(root) if root else run.current().data_root
    return root / "weights" / Path(BACKBONES[net]).name


@lru_cache(maxsize=2)
def _lpips_network(net, file) -> nn.Module:
    """The package's linear layers on a backbone read from a file: built without its download."""
    import lpips as lpips_package  # it imports torchvision

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # its init draws, unused
        warnings.simplefilter("ignore")
        network = lpips_package.LPIPS(net=net, pnet_rand=True, verbose=False)
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
        for name, parameter in network.net.named_parameters():  # slice2.3.weight: features.3.weight
            parameter.data.copy_(state["features." + name.split(".", 1)[1]])
    except Exception as error:  # a damaged file fails in many ways
        raise ValueError(f"{file} is damaged, delete it; `make weights` gets it") from error
    return network.eval().requires_grad_(False)


@lru_cache(maxsize=1)
def _stlpips_network() -> nn.Module:
    from stlpips_pytorch import stlpips as package  # it imports torchvision and IPython

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):  # its init draws, unused
        warnings.simplefilter("ignore")
        network = package.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    return network.eval().requires_grad_(False)


def _pair(guess, truth) -> tuple[Tensor, Tensor]:
    """Both images, checked; half precision is computed in float32."""
    for name, images in (("truth", truth), ("guess", guess)):
        if not isinstance(images, Tensor) or not images.is_floating_point():
            what = images.dtype if hasattr(images, "dtype") else type(images).__name__
            raise ValueError(f"the {name} must be a floating tensor, of pixels in units of [0, 1], "
                             f"not {what}")
    if guess.shape != truth.shape or truth.ndim < 3 or not truth.numel():
        raise ValueError(f"images must be two (..., C, H, W) of one shape, not "
                         f"{tuple(guess.shape)} and {tuple(truth.shape)}")
    if guess.device != truth.device:
        raise ValueError(f"the images are on {guess.device} and {truth.device}: move one")
    low, high = truth.min().item(), truth.max().item()
    if not (low >= -1e-5 and high <= 1 + 1e-5):  # a mean of images may round above 1
        raise ValueError(f"the true images must lie in [0, 1], not [{low:g}, {high:g}]: divide "
                         "those of 0..255 by 255, and undo a normalisation")
    kind = torch.promote_types(guess.dtype, truth.dtype)
    kind = torch.float32 if kind in (torch.float16, torch.bfloat16) else kind
    return guess.to(kind), truth.to(kind)


def _batches(guess, truth) -> tuple[Tensor, Tensor]:
    guess, truth = _pair(guess, truth)
    if truth.ndim != 5:
        raise ValueError(f"images must be (K, B, C, H, W), not {tuple(truth.shape)}")
    return guess, truth
