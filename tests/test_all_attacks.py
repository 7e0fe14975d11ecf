"""The comparison of notebook 08: the same clients under every attack and defense."""

import numpy as np
import pytest

from lib import client, data, defenses
from studies.all_attacks import compute as all_attacks

DIGITS, DENSE, LENET = {"name": "digits"}, {"name": "dense"}, {"name": "lenet", "channels": 3}
NOISE, MIXUP = {"name": "gaussian", "variance": 1e-4}, {"name": "mixup", "k": 2}


def compared(attack, victim=DENSE, B=1, under=(None,), **more):
    described = {"name": attack} | more.pop("how", {})
    return all_attacks.compared(**{
        "images": DIGITS, "victim": victim, "attack": described, "batch_size": B,
        "defenses": list(under), "clients": 3, "seed": 0, "pool": 6} | more)


def test_a_dense_layer_gives_its_image_back_and_noise_stops_that():
    table, arrays = compared("closed form", under=[None, NOISE], shown=2)
    exact, noisy = (table[table.defense == i].mse for i in (0, 1))
    assert exact.max() < 1e-8 < 1e-6 < noisy.min()
    assert arrays["guesses"].shape == (2, 2, 1, 8, 8)
    assert (arrays["guesses"][0] == arrays["truth"][0]).all()
    assert list(table.client) == [0, 1, 2] * 2


def test_in_the_span_a_batch_comes_back():
    table, _ = compared("in the span", B=2, how={"iterations": 20, "restarts": 4})
    assert len(table) == 6 and table.mse.median() < 1e-6


def test_every_attack_meets_the_same_private_images():
    grey, truth = compared("mid-grey", shown=3)
    _, other = compared("idlg", LENET, how={"iterations": 1}, under=[None, MIXUP], shown=3)
    assert (truth["truth"][0] == other["truth"][0]).all()
    assert (other["truth"][0] == other["truth"][1]).all()          # private, not the encodings
    held = data.load("digits").clients(3, 6, seed=0).images[:, 0]
    assert np.allclose(truth["truth"][0] / 255, held, atol=1 / 255)
    assert grey.psnr.notna().all()


def test_images_that_a_defense_draws_are_the_private_ones():
    under = [None, {"name": "equal_labels"}]
    _, arrays = compared("mid-grey", B=2, under=under, shown=3, pool=30)
    held = data.load("digits").clients(3, 30, seed=0)
    drawn = client.drawn(held, defenses.EqualLabels(2)).images[:, 0]
    assert np.allclose(arrays["truth"][1] / 255, drawn, atol=1 / 255)


@pytest.mark.parametrize(("attack", "victim", "B", "how"), [
    ("inverting_gradients", LENET, 1, {"iterations": 5}),
    ("in the span", DENSE, 2, {"iterations": 2, "restarts": 2})])
def test_starts_are_the_same_under_every_defense(attack, victim, B, how):
    nothing = {"name": "gaussian", "variance": 0.0}
    table, _ = compared(attack, victim, B, how=how, under=[None, nothing])
    first, second = (table[table.defense == i].psnr.to_numpy() for i in (0, 1))
    assert np.allclose(first, second, atol=1e-3) and not np.allclose(first, first[::-1])


def test_gias_is_granted_its_prior():
    train = {"steps": 2, "batch_size": 4, "width": 4}
    generator = {"images": DIGITS, "latent": 4, "width": 2, "train": train}
    how = {"space": "z/w", "iterations": [2, 2], "labels": "idlg"}
    table, _ = compared("gias", LENET, how=how, generator=generator)
    assert table.psnr.notna().all() and (table.seconds > 0).all()


def test_an_unknown_attack_is_named():
    with pytest.raises(ValueError, match="'magic'"):
        compared("magic")
