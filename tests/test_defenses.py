"""What a defense does to an update, worked out on tensors small enough to check."""

import pytest
import torch
from tiny import Shape, batch

from lib import client, defenses, models


def grads(n=20_000):
    g = torch.Generator().manual_seed(1)
    return {"w": torch.randn(n // 4, 4, generator=g), "b": torch.randn(7, generator=g)}


def rng():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("defense", [
    defenses.GaussianNoise(0.0), defenses.LaplacianNoise(0.0), defenses.GradPrune(0.0)])
def test_strength_zero_changes_nothing(defense):
    before = grads()
    after = defense.update(before, rng())
    assert all(torch.equal(after[n], before[n]) for n in before)


def test_laplacian_noise_has_the_variance_and_the_tails_it_is_named_for():
    g = {"w": torch.zeros(200_000)}
    noise = defenses.LaplacianNoise(0.04).update(g, rng())["w"].double()
    assert noise.mean().abs() < 1e-3
    assert noise.var().item() == pytest.approx(0.04, rel=0.03)
    assert noise.abs().mean().item() == pytest.approx((0.04 / 2) ** 0.5, rel=0.01)  # = scale
    assert (noise**4).mean() / noise.var() ** 2 == pytest.approx(6, rel=0.1)  # kurtosis


@pytest.mark.parametrize(("name", "bits"), [("float16", 11), ("bfloat16", 8)])
def test_half_precision_keeps_its_significant_bits(name, bits):
    before = grads()
    after = defenses.LowPrecision(name).update(before, rng())
    for n in before:
        assert after[n].dtype == before[n].dtype
        assert ((after[n] - before[n]).abs() <= before[n].abs() * 2.0**-bits + 1e-7).all()
        assert not torch.equal(after[n], before[n])


def test_int8_has_255_even_steps():
    before = grads()
    after = defenses.LowPrecision("int8").update(before, rng())
    step = before["w"].abs().max() / 127
    levels = after["w"] / step
    torch.testing.assert_close(levels, levels.round(), rtol=0, atol=1e-4)
    assert 200 < len(levels.round().unique()) <= 255
    assert (after["w"] - before["w"]).abs().max() <= step / 2 + 1e-6
    zero = defenses.LowPrecision("int8").update({"w": torch.zeros(3)}, rng())["w"]
    assert torch.equal(zero, torch.zeros(3))


@pytest.mark.parametrize("p", [0.01, 0.2, 0.7, 1.0])
def test_prune_drops_the_smallest_of_every_tensor_and_nothing_else(p):
    before = grads()
    after = defenses.GradPrune(p).update(before, rng())
    for n, g in before.items():
        gone = after[n] == 0
        assert int(gone.sum()) == int(p * g.numel())
        assert torch.equal(after[n][~gone], g[~gone])
        if 0 < int(gone.sum()) < g.numel():
            assert g[gone].abs().max() <= g[~gone].abs().min()


@pytest.mark.parametrize("make", [
    lambda: defenses.LaplacianNoise(-1), lambda: defenses.LaplacianNoise(float("nan")),
    lambda: defenses.LowPrecision("fp8"), lambda: defenses.GradPrune(1.5)])
def test_bad_settings_are_refused(make):
    with pytest.raises(ValueError):
        make()


def test_a_clients_noise_is_its_own_and_composes():
    b = batch(K=3)
    model = models.lenet(Shape())
    three = client.share(model, b, defense=defenses.LaplacianNoise(1.0), seed=7).gradients
    pair = type(b)(b.images[:2], b.labels[:2], 4, mean=b.mean, std=b.std)
    two = client.share(model, pair, defense=defenses.LaplacianNoise(1.0), seed=7).gradients
    torch.testing.assert_close(three["0.weight"][:2], two["0.weight"], rtol=1e-5, atol=1e-6)
    both = (defenses.LaplacianNoise(1.0), defenses.GradPrune(0.5))
    g = client.share(model, b, defense=both, seed=7).gradients["0.weight"][0]
    assert int((g == 0).sum()) == g.numel() // 2
    kept = g != 0
    torch.testing.assert_close(g[kept], three["0.weight"][0][kept], rtol=1e-5, atol=1e-6)


def test_equal_labels_are_drawn_from_those_that_occur_often_enough():
    labels = torch.tensor([0, 1, 1, 2, 2, 2, 3, 1])
    drawn = [defenses.EqualLabels(3).draw(labels, torch.Generator().manual_seed(i))
             for i in range(20)]
    assert all(len(labels[rows].unique()) == 1 for rows in drawn)
    seen = {int(labels[rows][0]) for rows in drawn}
    assert seen == {1, 2} and all(len(rows.unique()) == 3 for rows in drawn)
    with pytest.raises(ValueError, match="no label occurs 4 times among 8 images"):
        defenses.EqualLabels(4).draw(labels, rng())


def test_a_client_shares_the_gradient_of_what_it_draws():
    b = batch(K=3, B=12, classes=3)
    defense = (defenses.EqualLabels(4), defenses.GaussianNoise(0.0))
    own, model = client.drawn(b, defense, seed=5), models.dense(Shape(num_classes=3))
    assert own.images.shape == (3, 4, 1, 8, 8) and (own.labels == own.labels[:, :1]).all()
    granted = client.ThreatModel(labels="equal")
    update, plain = client.share(model, b, None, defense, granted, 5), client.share(model, own)
    assert update.batch_size == 4
    for n, g in plain.gradients.items():
        assert torch.equal(update.gradients[n], g)
    with pytest.raises(ValueError, match="differ in label"):
        client.share(model, b, threat=granted)
