"""What no attack on DP-SGD can exceed: bounds on reconstruction under the Gaussian mechanism.

A client's image x goes into T updates; each image's gradient is clipped to the norm C, and normal
noise of standard deviation s C is added to their sum, s being the noise multiplier. All other
images are known to the attacker. Then an update differs from one that the attacker can compute by
f(x) + N(0, s^2 C^2), |f(x)| <= C, whatever the network, and each bound below follows from that
alone. None uses that a batch was drawn at random, which would make them smaller.

`success` is of the kind of Hayes, Mahloujifar and Balle 2023 (arXiv 2302.07225): how far the noise
lets an attacker beyond what it reaches blindly. `without_prior` is of the kind of Riess et al. 2024
(arXiv 2402.12861): what a server gets that cheats and knows nothing of images. Proofs are ours,
in the docstrings; the theorems of these papers were not at hand.
"""

import math

import numpy as np
from scipy import special, stats

from . import checks


def _ratio(noise_multiplier: float, steps: int) -> float:
    """sqrt(T) / s: how far T updates move the normal distribution, in its standard deviations."""
    checks.number("noise_multiplier", noise_multiplier, 0)
    checks.whole("steps", steps)
    return math.inf if noise_multiplier == 0 else math.sqrt(steps) / noise_multiplier


def success(noise_multiplier: float, blind: float, steps: int = 1) -> float:
    """At most so often does any attack succeed, whose chance is `blind` without the updates.

    blind: the largest share of the images drawn from the prior for which one fixed guess counts as
    a success (1 / n where one of n equally likely images is to be named).

        success <= Phi(Phi^-1(blind) + sqrt(T) / s)

    Proof. Let P_x be the law of the updates of x, Q that of f(x) = 0, and E_x the updates at which
    the attack succeeds for x. By Neyman and Pearson P_x(E_x) <= Phi(Phi^-1(Q(E_x)) + m) for two
    normal distributions m = sqrt(T) C / (s C) apart (or nearer; of T adaptive updates, by the
    composition of Gaussian differential privacy, Dong, Roth and Su 2022). As a function of Q(E_x)
    the right side is concave, so its mean over x is at most its value at the mean of Q(E_x). And
    that mean is at most `blind`: under Q the guess does not depend on x."""
    checks.number("blind", blind, 0, 1)
    ratio = _ratio(noise_multiplier, steps)
    if blind in (0, 1) or ratio == math.inf:
        return float(blind > 0)
    return float(stats.norm.cdf(stats.norm.ppf(blind) + ratio))


def error(noise_multiplier: float, variance: float, steps: int = 1) -> float:
    """At least so large is the mean squared error a pixel of any attack, expected over the prior.

    variance: of a pixel, the mean over pixels: what the prior's mean image has as its error.

        E |guess - x|^2 / d >= variance * Phi(-sqrt(T) / s)

    Proof. Draw x and x' from the prior, with densities p and q of their updates. The attack's mean
    error is half of that on both, and so at least 1/2 E int min(p, q) (|g - x|^2 + |g - x'|^2),
    where the bracket is at least |x - x'|^2 / 2. int min(p, q) = 2 Phi(-m / 2) for normal
    distributions that are m apart, here m <= 2 sqrt(T) / s; and E |x - x'|^2 = 2 d variance."""
    checks.number("variance", variance, 0)
    return float(variance * stats.norm.cdf(-_ratio(noise_multiplier, steps)))


def without_prior(noise_multiplier: float, length: float, pixels: int, steps: int = 1) -> float:
    """The expected mean squared error a pixel of a server that cheats and knows nothing of images.

    length: |x| of the private image, in the units in which the error is wanted, which the server is
    given; pixels: d. It sends a network whose gradient has the direction of x. Clipped, that is
    C x / |x|, so |x| / C times the mean of the T updates is x plus normal noise, without bias:

        E |guess - x|^2 / d = s^2 |x|^2 / T

    The errors' distribution: `chance_without_prior`. A guess that shrinks, smooths or clips knows
    something of images and may be better; an honest server's network is hardly made like this."""
    checks.number("length", length, 0, exclude=(0,))
    checks.whole("pixels", pixels)
    ratio = _ratio(noise_multiplier, steps)
    return 0.0 if ratio == math.inf else (length / ratio) ** 2


def chance_without_prior(noise_multiplier: float, length: float, pixels: int, error: float,
                         steps: int = 1) -> float:
    """The chance that the guess of `without_prior` has a mean squared error of at most `error`.

    d error / (s^2 |x|^2 / T) follows a chi-squared distribution with d degrees of freedom, so the
    chance is the regularised gamma function P(d / 2, d error / (2 s^2 |x|^2 / T))."""
    checks.number("error", error, 0)
    expected = without_prior(noise_multiplier, length, pixels, steps)
    if expected == 0:
        return 1.0
    return float(special.gammainc(pixels / 2, pixels * error / (2 * expected)))


def blind_share(images, error: float) -> float:
    """At most for so large a share of a set is one fixed guess within a mean squared error.

    images: (n, ...), the equally likely private images. Of the images within `error` of one guess
    each is within 4 `error` of each other, by the triangle inequality: so the share is at most that
    of the images which are so near to some image of the set, itself included."""
    flat = np.asarray(images, np.float64)
    if flat.ndim < 2 or not len(flat) or not np.isfinite(flat).all():
        raise ValueError("images must be (n, ...), n at least 1, finite numbers")
    checks.number("error", error, 0)
    flat = flat.reshape(len(flat), -1)
    squares = np.square(flat).sum(1)
    apart = (squares[:, None] + squares - 2 * flat @ flat.T) / flat.shape[1]
    return float((apart <= 4 * error + 1e-12).mean(1).max())


def psnr(error: float) -> float:
    """A mean squared error a pixel in [0, 1] as dB; infinite for 0."""
    checks.number("error", error, 0)
    return math.inf if error == 0 else -10 * math.log10(error)
