"""What a defense does to an update, worked out on tensors small enough to check."""

from pathlib import Path

import pytest
import torch
from tiny import Shape, batch

from lib import attacks, client, data, defenses, models


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


# ---- mixing images

@pytest.mark.parametrize("k", [2, 4, 6])
@pytest.mark.parametrize("kind", [defenses.MixUp, defenses.InstaHide])
def test_mixing_keys_are_bounded_sum_to_one_and_use_every_image_as_often(kind, k):
    chosen, weights = kind(k).keys(50, rng())
    assert chosen.shape == weights.shape == (50, k)
    assert torch.equal(chosen[:, 0], torch.arange(50))
    assert all(len(set(row)) == k for row in chosen.tolist())
    assert chosen.flatten().bincount().tolist() == [k] * 50
    torch.testing.assert_close(weights.sum(1), torch.ones(50))
    assert 0 <= weights.min() and weights.max() <= 0.65
    assert weights[:, 0].mean() > weights[:, 1].mean()  # the image itself weighs most


def test_mixup_is_the_weighted_mean_of_images_and_labels():
    one = batch(K=1, B=8, shape=(3, 4, 4))
    x, y = one.images[0], torch.nn.functional.one_hot(one.labels[0], 4).float()
    mixed, targets = defenses.MixUp(3, batch_size=5).encode(x, y, rng())
    chosen, weights = defenses.MixUp(3, batch_size=5).keys(8, rng())
    assert mixed.shape == (5, 3, 4, 4)
    for b in range(5):
        parts = list(zip(weights[b], chosen[b], strict=True))
        torch.testing.assert_close(mixed[b], sum(w * x[i] for w, i in parts))
        torch.testing.assert_close(targets[b], sum(w * y[i] for w, i in parts))


def test_instahide_flips_half_of_the_signs_of_the_mixture():
    x, y = torch.rand(8, 3, 16, 16), torch.eye(8)
    (mixed, one), (hidden, other) = (d(4).encode(x, y, rng())
                                     for d in (defenses.MixUp, defenses.InstaHide))
    assert torch.equal(one, other)
    flipped = hidden != mixed
    torch.testing.assert_close(hidden[flipped], 1 - mixed[flipped])
    assert flipped.float().mean().item() == pytest.approx(0.5, abs=0.03)


@pytest.mark.parametrize(("make", "message"), [
    (lambda: defenses.MixUp(1), "k is 2 or more"),
    (lambda: defenses.MixUp(4, bound=0.2), "bound"),
    (lambda: defenses.MixUp(4).keys(3, rng()), "needs more than the client's 3"),
    (lambda: defenses.DPSGD(0.0, 1.0, 4), "positive")])
def test_a_mixture_that_cannot_be_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_defenses_compose_in_order():
    """Mixing comes before the gradient, pruning after it; the targets are soft and granted."""
    pool, model = batch(K=2, B=6, seed=3), models.dense(Shape(), hidden=(16,), seed=0)
    both = defenses.InstaHide(3, batch_size=2), defenses.GradPrune(0.9)
    granted = client.ThreatModel(labels="known", mixing_keys=True)
    update = client.share(model, pool, defense=both, threat=granted)
    alone = client.share(model, pool, defense=both[0], threat=granted)
    for n, g in update.gradients.items():
        for k in range(2):
            kept = g[k] != 0
            assert int(kept.sum()) == g[k].numel() - int(0.9 * g[k].numel())
            assert torch.equal(g[k][kept], alone.gradients[n][k][kept])
    assert update.batch_size == 2 and update.targets.shape == (2, 2, 4)
    assert torch.equal(update.labels, update.targets.argmax(-1))
    torch.testing.assert_close(update.targets.sum(-1), torch.ones(2, 2))
    assert update.keys[0].shape == (2, 2, 3)
    with pytest.raises(ValueError, match="mixing_keys"):
        client.share(model, pool, defense=both[::-1], threat=granted)


# ---- differential privacy

def test_dpsgd_clips_every_example_and_adds_the_noise_it_names():
    defense = defenses.DPSGD(clip=0.5, noise_multiplier=2.0, batch_size=10)
    each = {n: torch.stack([g, 1e-3 * g]) for n, g in grads().items()}
    clipped = defense.per_example(each)
    norms = sum(g.flatten(1).square().sum(1) for g in clipped.values()).sqrt()
    assert norms[0].item() == pytest.approx(0.5, rel=1e-4)
    assert all(torch.equal(clipped[n][1], each[n][1]) for n in each)  # below the norm: untouched
    noise = defense.update({"w": torch.zeros(100_000)}, rng())["w"]
    assert noise.std().item() == pytest.approx(2.0 * 0.5 / 10, rel=0.01)


def test_noise_sampling_rate_and_steps_reach_the_accountant():
    spent = defenses.DPSGD(1.0, 1.0, 100).epsilon
    base = spent(50_000, 1000)
    assert base == pytest.approx(0.80, abs=0.02)  # opacus' RDP accountant, sigma 1, q 0.002
    assert defenses.DPSGD(7.0, 1.0, 100).epsilon(50_000, 1000) == base  # clip is no privacy
    assert defenses.DPSGD(1.0, 2.0, 100).epsilon(50_000, 1000) < base
    assert spent(50_000, 4000) > base and spent(5_000, 1000) > base
    assert defenses.DPSGD(1.0, 0.0, 100).epsilon(50_000, 1) == float("inf")
    with pytest.raises(ValueError, match="examples"):
        spent(50, 10)


def test_the_readmes_example_of_mixed_images(capsys):
    text = (Path(defenses.__file__).parent / "README.md").read_text()
    code = text.split("## Mixed images")[1].split("```python\n")[1].split("```")[0]
    exec(code, {"attacks": attacks, "client": client, "defenses": defenses, "models": models,
                "images": data.load("photos")})
    shape, spent = capsys.readouterr().out.split("\n")[:2]
    assert shape == "torch.Size([20, 3, 32, 32])" and 0 < float(spent) < 10
