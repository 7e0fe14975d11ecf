"""lib.bounds: attacks that are as good as can be meet the bounds, and none exceeds them."""

import math

import numpy as np
import pytest
from scipy import stats

from lib import bounds

RNG = np.random.default_rng(0)


def named(images, noise, steps, clip=1.0):
    """How often the likeliest of n vectors of norm `clip` is what was sent, of 20,000 times."""
    which = RNG.integers(len(images), size=20_000)
    sent = images[which] + noise * clip / math.sqrt(steps) * RNG.standard_normal(
        (len(which), images.shape[1]))
    apart = np.square(images).sum(1) - 2 * sent @ images.T
    return (apart.argmin(1) == which).mean()


@pytest.mark.parametrize("steps", [1, 4])
@pytest.mark.parametrize("noise", [0.5, 1.0, 2.0])
def test_no_attack_names_an_image_more_often(noise, steps):
    """Orthogonal gradients are the hardest to confuse; the bound is above, and not by much."""
    images = np.eye(16)
    reached, bound = named(images, noise, steps), bounds.success(noise, 1 / 16, steps)
    assert reached < bound + 0.01
    assert bound < reached + 0.25


def test_two_opposite_gradients_are_told_apart_as_often_as_the_error_function_says():
    """With two images and one number the bound on the error is nearly met: by the mean of both,
    weighed with how likely they are."""
    noise, which = 1.5, RNG.choice([-1.0, 1.0], size=200_000)
    sent = which + noise * RNG.standard_normal(len(which))
    guess = np.tanh(sent / noise**2)  # the posterior mean
    reached, bound = np.square(guess - which).mean(), bounds.error(noise, 1.0)
    assert bound <= reached <= 4 * bound


def test_values_by_hand():
    assert bounds.success(1.0, 0.5) == pytest.approx(0.8413447460685429)
    assert bounds.success(2.0, 0.5, steps=4) == pytest.approx(0.8413447460685429)
    assert bounds.success(1.0, 1 / 201) == pytest.approx(
        stats.norm.cdf(stats.norm.ppf(1 / 201) + 1))
    assert bounds.error(1.0, 0.06) == pytest.approx(0.06 * 0.15865525393145707)
    assert bounds.error(2.0, 0.06, steps=4) == pytest.approx(0.06 * 0.15865525393145707)
    assert bounds.without_prior(0.1, 20.0, 400) == pytest.approx(4.0)
    assert bounds.without_prior(0.1, 20.0, 400, steps=4) == pytest.approx(1.0)
    assert bounds.psnr(0.01) == pytest.approx(20)


def test_at_the_ends():
    assert bounds.success(0, 0.01) == 1 and bounds.success(0.001, 0.01) == 1
    assert bounds.success(1, 0) == 0 and bounds.success(1, 1) == 1
    assert bounds.success(1e9, 0.25) == pytest.approx(0.25)
    assert bounds.error(0, 1.0) == 0
    assert bounds.error(1e9, 1.0) == pytest.approx(0.5)
    assert bounds.without_prior(0, 1.0, 3) == 0 and bounds.chance_without_prior(0, 1, 3, 0) == 1
    assert bounds.psnr(0) == math.inf


def test_more_noise_bounds_more():
    noises = [0.1, 0.5, 1, 2, 5]
    shares = [bounds.success(noise, 0.01) for noise in noises]
    errors = [bounds.error(noise, 0.1) for noise in noises]
    assert shares == sorted(shares, reverse=True) and errors == sorted(errors)


def test_the_server_that_cheats_has_these_errors():
    """It is simulated: the direction of an image, clipped, with noise, three updates."""
    x, clip, noise, steps = RNG.random(48), 2.0, 0.3, 3
    clipped = clip * x / np.linalg.norm(x)
    sent = clipped + noise * clip * RNG.standard_normal((20_000, steps, 48))
    guess = np.linalg.norm(x) / clip * sent.mean(1)
    errors = np.square(guess - x).mean(1)
    length = float(np.linalg.norm(x))
    assert errors.mean() == pytest.approx(bounds.without_prior(noise, length, 48, steps), rel=0.01)
    level = float(np.quantile(errors, 0.3))
    chance = bounds.chance_without_prior(noise, length, 48, level, steps)
    assert chance == pytest.approx(0.3, abs=0.015)


def test_a_blind_guess_is_within_the_share():
    """No guess, of the images or their means, is near to more of them."""
    images = RNG.random((60, 5))
    for error in (0.001, 0.02, 0.05):
        guesses = np.concatenate([images, (images[:, None] + images) .reshape(-1, 5) / 2])
        near = (np.square(guesses[:, None] - images).mean(2) <= error).mean(1).max()
        assert near <= bounds.blind_share(images, error)
    assert bounds.blind_share(images, 0) == pytest.approx(1 / 60)
    assert bounds.blind_share(images, 1) == 1
    two = np.array([[0.0], [1.0], [5.0]])
    assert bounds.blind_share(two, 0.25) == pytest.approx(2 / 3)
    assert bounds.blind_share(two, 0.24) == pytest.approx(1 / 3)


@pytest.mark.parametrize("call", [
    lambda: bounds.success(-1, 0.5), lambda: bounds.success(1, 1.5),
    lambda: bounds.success(1, 0.5, steps=0), lambda: bounds.success("1", 0.5),
    lambda: bounds.error(1, -0.1), lambda: bounds.error(math.nan, 0.1),
    lambda: bounds.without_prior(1, 0, 3), lambda: bounds.without_prior(1, 1, 0),
    lambda: bounds.chance_without_prior(1, 1, 3, -1), lambda: bounds.psnr(-1),
    lambda: bounds.blind_share([1.0], 0.1), lambda: bounds.blind_share([[math.nan]], 0.1),
    lambda: bounds.blind_share(np.zeros((0, 3)), 0.1)])
def test_what_is_no_noise_share_or_image_is_refused(call):
    with pytest.raises(ValueError):
        call()
