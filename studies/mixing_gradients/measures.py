"""What AVD, the paper's measure of success, lets through, and how it ranks beside other measures.

An answer or a move maps images (K, B, C, H, W) in [0, 1] to images of that shape."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from torch import Tensor, rand, randn

from lib import data, metrics
from lib.run import Run, generator
from studies.mixing_gradients import settings

FLAT = 1e-6   # a measure that never exceeds it does not see a move at all
SLACK = 1e-3  # how far a monotone measure may fall, as a share of its largest: rounding

# --- answers that know nothing of the gradient, and blends


def _mean_colour(images: Tensor, mean: Tensor) -> Tensor:
    return mean.view(-1, 1, 1).expand_as(images)


def _mean_of_others(images: Tensor, mean: Tensor) -> Tensor:
    return (images.sum(0, keepdim=True) - images) / (len(images) - 1)


def _strangers_image(images: Tensor, mean: Tensor) -> Tensor:
    return images.roll(1, 0)


def _uniform_noise(images: Tensor, mean: Tensor) -> Tensor:
    return rand(images.shape, generator=generator("floor"))


def _normal_noise(images: Tensor, mean: Tensor) -> Tensor:
    return randn(images.shape, generator=generator("floor"))


def _blend_of_two(images: Tensor, mean: Tensor) -> Tensor:
    return (images + images.roll(1, 0)) / 2


def _blend_of_four(images: Tensor, mean: Tensor) -> Tensor:
    return sum(images.roll(shift, 0) for shift in range(4)) / 4


STRANGER = "another client's image"
UNRELATED = {"the set's mean colour": _mean_colour, "mean of 63 other images": _mean_of_others,
             STRANGER: _strangers_image}
NOISE = {"uniform noise": _uniform_noise, "normal noise": _normal_noise}
BLENDS = {"mean of own and another": _blend_of_two, "mean of own and three others": _blend_of_four}


def blanks(sets: list[str], run: Run) -> pd.DataFrame:
    """How often such answers pass as a success, by AVD and by MSE, on 64 images of each set: a row
    a (set, answer)."""
    rows = {}
    for name in sets:
        pictures = data.load(name, root=run.data_root)
        batch = pictures.clients(64, seed=run.seed)
        for answer, make in (UNRELATED | NOISE | BLENDS).items():
            rows[name, answer] = _passing(make(batch.images, batch.mean), batch.images)
    return pd.DataFrame(rows).T.rename_axis(["set", "answer"])


def _passing(guess: Tensor, truth: Tensor) -> dict[str, float]:
    avd = metrics.avd(guess, truth, quantise=True)
    mse = metrics.mse(guess, truth)
    return {"AVD < 0.8": float((avd < settings.AVD_SUCCESS).float().mean()),
            "median AVD": float(avd.median()),
            "MSE < 0.01": float((mse < settings.MSE_RECOVERED).float().mean()),
            "median MSE": float(mse.median())}


def blanks_in_words(table: pd.DataFrame) -> str:
    """What the table of blanks says, in two sentences (markdown)."""
    answers = table.index.get_level_values("answer")
    unrelated = table[answers.isin(list(UNRELATED))]
    blends = table[answers.isin(list(BLENDS))]["MSE < 0.01"]
    least = unrelated["AVD < 0.8"].unstack("answer").min(axis=1)
    shares = ", ".join(f"**{name} {share:.0%}**" for name, share in least.items())
    return (
        "Share of the three answers that know nothing of the gradient (flat colour, mean of "
        f"others, a stranger) which pass an AVD of 0.8, at least: {shares}. By MSE < 0.01 none of "
        f"the three passes often ({unrelated['MSE < 0.01'].max():.0%} at most), and mixtures of "
        f"two or four do in {blends.min():.0%} to {blends.max():.0%}.")


# --- four ways to move away from an image


def _noisy(images: Tensor, size: float) -> Tensor:
    return images + size * randn(images.shape, generator=generator("moved"))


def _shifted(images: Tensor, pixels: float) -> Tensor:
    return images.roll(int(pixels), -1)


def _blended(images: Tensor, share: float) -> Tensor:
    return (1 - share) * images + share * images.roll(1, 0)


def _brighter(images: Tensor, added: float) -> Tensor:
    return images + added


MOVES = {  # name: (the move, its steps)
    "noise σ": (_noisy, np.linspace(0, 1, 11)),
    "shift by pixels": (_shifted, np.arange(0, 9)),
    "share of another image": (_blended, np.linspace(0, 1, 11)),
    "added brightness": (_brighter, np.linspace(0, 1, 11)),
}


def _inverse_psnr(guess: Tensor, truth: Tensor) -> Tensor:
    return 1 / metrics.psnr(guess, truth)


def _dissimilarity(guess: Tensor, truth: Tensor) -> Tensor:
    return 1 - metrics.ssim(guess, truth)


def _avd(variant: str, quantise: bool) -> Callable:
    def measure(guess: Tensor, truth: Tensor) -> Tensor:
        return metrics.avd(guess, truth, variant, quantise)
    return measure


def measures() -> dict[str, Callable]:
    """The measures that are compared, by name; each grows with the distance from the truth."""
    compared = {"MSE": metrics.mse, "1 / PSNR": _inverse_psnr, "1 - SSIM": _dissimilarity}
    for variant in metrics.VARIANTS:
        compared[f"AVD {variant}"] = _avd(variant, False)
        compared[f"AVD {variant}, 8 bits"] = _avd(variant, True)
    return compared


def moved(images: Tensor) -> pd.DataFrame:
    """The median of every measure along every move: a row a move, step and measure."""
    rows = []
    for move, (apply, steps) in MOVES.items():
        for step in steps:
            for name, measure in measures().items():
                value = float(measure(apply(images, step), images).median())
                rows.append({"move": move, "step": float(step), "measure": name, "value": value})
    return pd.DataFrame(rows)


def ranking(curves: pd.DataFrame) -> pd.DataFrame:
    """Of each measure, for each move: is it monotone, and the largest step, as a share of its
    range; not known where it does not see the move."""
    def monotone(values: pd.Series) -> bool | None:
        if values.max() <= FLAT:
            return None
        return bool((np.diff(values) >= -SLACK * values.max()).all())

    def largest_step(values: pd.Series) -> float:
        if values.max() <= FLAT:
            return np.nan
        return np.abs(np.diff(values)).max() / values.max()

    values = curves.groupby(["measure", "move"], sort=False).value
    table = pd.DataFrame({"monotone": values.apply(monotone),
                          "largest step, share of the range": values.apply(largest_step)}).unstack()
    table.columns = [f"{move}: {what}" for what, move in table.columns]
    return table
