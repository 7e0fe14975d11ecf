"""The tables of notebook 04 as its page shows them: few columns, headings in words.

The whole tables are in `tables`, and among the products.
"""

import pandas as pd

from studies.gias import tables
from studies.gias.compute import SIGNED
from studies.gias.plan import Plan
from studies.store import Sweep

PIXELS = tables.space_name(SIGNED)


def numbered(table: pd.DataFrame) -> pd.DataFrame:
    """The rows numbered anew: parts of several tables repeat their numbers."""
    return table.reset_index(drop=True)


def spaces(plan: Plan) -> pd.DataFrame:
    """The search spaces: PSNR of this run's digits beside that of CIFAR-10, with more of the
    latter. The controls have no digits."""
    ours = tables.by_space(plan.spaces_digits.shown("run")).set_index("search space").PSNR
    large = numbered(tables.spaces(plan))
    return pd.DataFrame({
        "search space": large["search space"],
        "digits: PSNR, dB": large["search space"].map(ours),
        "CIFAR-10: PSNR, dB": large.PSNR.astype(float),
        "standard deviation": large["std"].astype(float),
        "best of a batch": large["best of a batch"].astype(float),
        "SSIM": large.SSIM.astype(float),
        "iterations on CIFAR-10": large.iterations})


def spaces_digits(plan: Plan) -> pd.DataFrame:
    """The search spaces on this run's digits."""
    table = tables.by_space(plan.spaces_digits.shown("run"))
    return numbered(table[["search space", "iterations", "PSNR", "best of a batch", "SSIM", "AVD",
                           "distance"]]).rename(columns={"PSNR": "PSNR, dB"})


def training(plan: Plan) -> pd.DataFrame:
    """Mean PSNR of GIAS by what its generator was trained on, and of pixels; the same clients in a
    column."""
    on = {"CIFAR-10": {"images like the private ones": (plan.spaces, "z/w"),
                       "nothing: as it was drawn": (plan.untrained, "z/w"),
                       "no generator: Inverting Gradients": (plan.spaces, SIGNED)},
          "faces": {"images like the private ones": (plan.crossed["lfw", "lfw"], "z/w"),
                    "images of another kind (CIFAR-10)": (plan.crossed["cifar10", "lfw"], "z/w"),
                    "nothing: as it was drawn": (plan.untrained_faces, "z/w"),
                    "no generator: Inverting Gradients": (plan.crossed["lfw", "lfw"], SIGNED)}}
    columns = {}
    for images, rows in on.items():
        means = {name: _psnr(sweep, space) for name, (sweep, space) in rows.items()}
        columns[f"{images}: PSNR, dB"] = pd.Series(means, dtype=float)
    order = list(on["faces"])
    return pd.DataFrame(columns).loc[order].rename_axis("the generator was trained on")


def _psnr(sweep: Sweep, space: str) -> float:
    """The mean PSNR of a search space; NaN where it was not computed."""
    cell = sweep.shown("run")
    if cell is None:
        return float("nan")
    return float(cell.table[cell.table.space == space].psnr.mean())


def difficulty(table: pd.DataFrame) -> pd.DataFrame:
    """`tables.difficulty` with both attacks side by side."""
    wide = table.assign(PSNR=table.PSNR.astype(float)).pivot(
        index=["what", "at"], columns="space", values="PSNR").reset_index()
    counts = table[table.space == "z/w"][["what", "at", "clients", "n"]]
    wide = wide.merge(counts, on=["what", "at"])
    named = pd.DataFrame({
        "what makes it difficult": wide["what"], "value": wide["at"].map("{:g}".format),
        "Inverting Gradients: PSNR, dB": wide[SIGNED], "GIAS: PSNR, dB": wide["z/w"]})
    return named.assign(lead=wide["z/w"] - wide[SIGNED], clients=wide.clients.astype(int),
                        images=wide.n.astype(int))


def scored(table: pd.DataFrame, *names: str) -> pd.DataFrame:
    """Columns `names` of `tables.strange` or `tables.giml`, with the scores in plain words."""
    words = {"PSNR": "PSNR, dB", "distance, median": "median distance", "n": "images"}
    kinds = {"lfw": "faces (LFW)", "cifar10": "CIFAR-10", "faces": "faces (8x8)",
             "untrained": "nothing (untrained)"}
    shown = numbered(table[[*names, "PSNR", "SSIM", "distance, median", "n"]])
    for name in {"generator of", "private images"} & set(names):
        shown[name] = shown[name].replace(kinds)
    return shown.rename(columns=words)


def weights(table: pd.DataFrame) -> pd.DataFrame:
    """Of CIFAR-10: PSNR by search space and weight of the total variation."""
    named = table.rename(index=tables.space_name).rename_axis("search space")
    named.columns = [f"weight {weight:g}" for weight in named.columns]
    return named


def weights_on_digits(table: pd.DataFrame) -> pd.DataFrame:
    """Of digits: PSNR by setting, search space and weight of the total variation."""
    weights = table.columns[2:-2]
    named = table.drop(columns="n").rename(columns={name: _plain(name) for name in weights})
    return named.rename(columns={"digits": "setting"}).assign(used=table.used.map(_plain))


def _plain(weight: str) -> str:
    """A weight without a power of ten: "0.00001"."""
    return f"{float(weight):.6f}".rstrip("0")


def quality(table: pd.DataFrame) -> pd.DataFrame:
    """Of each generator: what `generators.quality` measures, in words."""
    words = {"told apart": "critic tells samples from test images",
             "to the nearest seen image": "samples: distance to the nearest training image",
             "of unseen images": "test images: the same distance",
             "spread": "spread of samples over that of test images",
             "parameters": "parameters", "images": "training images"}
    return table.rename(index=words, columns={"lfw": "faces (LFW)", "cifar10": "CIFAR-10"}
                        ).rename_axis("measure")


def by_batch_size(table: pd.DataFrame) -> pd.DataFrame:
    """PSNR by batch size, a row an attack."""
    named = table.rename(columns=lambda name: name.replace("B=", "batch of "))
    return named.astype(float).rename_axis("attack")


def statistics(table: pd.DataFrame) -> pd.DataFrame:
    """With and without BatchNorm statistics, in words; what needs a GPU has no numbers."""
    words = {"statistics": "BatchNorm statistics", "PSNR": "PSNR, dB", "n": "images"}
    named = numbered(table.drop(columns=["std", "AVD"])).rename(columns=words)
    numbers = dict.fromkeys(["PSNR, dB", "best of a batch", "SSIM"], float)
    return named.astype(numbers | {"images": "Int64"})


def sources() -> pd.DataFrame:
    """Where each published number or claim comes from, and how sure that is."""
    code = "official code at f841412"
    rows = [
        ("GIAS is the best search space; it beats pixels with and without BatchNorm statistics",
         "captions of two figures", "read"),
        ("learning rates 0.03 (latents) and 0.001 (parameters); 500 to 1,000 and 5,000 to 8,000 "
         "iterations; weights of the total variation 0.000001 to 0.0001", code, "read"),
        ("GIML: 200 rounds, 1,000 + 500 iterations, single images, 95 % pruned, Reptile", code,
         "read"),
        ("grid of pruned shares 0, 0.3, 0.5, 0.8, 0.9, 0.95, 0.98", code, "read"),
        ("StyleGAN2's weights for ImageNet were never released", code, "read"),
        ("ImageNet and FFHQ at 64x64; untrained ResNet-18; batches of 4 †", "the paper",
         "recalled"),
        ("PSNR by batch size, six attacks, 1 to 32 images †",
         "plotting script of GIFD's authors, a third party; its data set is not stated",
         "quoted")]
    return pd.DataFrame(rows, columns=["number or claim", "where", "certainty"])
