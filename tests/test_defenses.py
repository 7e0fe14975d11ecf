"""What a defense does to an update, worked out on tensors small enough to check."""

import math
from collections import OrderedDict
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


@pytest.mark.parametrize(("make", "wrong", "words"), [
    (defenses.GaussianNoise, [-1, math.nan, math.inf, True, "1", None, torch.tensor(1.0)],
     "variance must be a finite number"),
    (defenses.LaplacianNoise, [-1e-9, math.nan, False, "0.1"], "variance must be"),
    (defenses.LowPrecision, ["fp8", torch.float16, None, 8], "unknown format"),
    (defenses.GradPrune, [1.5, -0.1, "0.9", True, math.nan, None], "p, a share, must be"),
    (defenses.EqualLabels, [-1, 0, 2.5, True, "2", None], "batch_size must be a whole number"),
    (defenses.MixUp, [1, 0, -2, 2.5, True, "2", None, 10**9], "k, the number of images mixed"),
    (lambda v: defenses.MixUp(4, bound=v), [0.25, 0.2, 1.01, True, "0.5", math.nan, None],
     "bound, of k = 4"),
    (lambda v: defenses.MixUp(4, batch_size=v), [0, -1, 2.5, True, "2"], "batch_size must be"),
    (lambda v: defenses.InstaHide(4, 0.65, v), [0, 2.5], "batch_size must be"),
    (lambda v: defenses.DPSGD(v, 1.0, 4), [0.0, -1, math.inf, math.nan, True, "1"],
     "clip must be"),
    (lambda v: defenses.DPSGD(1.0, v, 4), [-1, math.inf, math.nan, "1", True],
     "noise_multiplier must be"),
    (lambda v: defenses.DPSGD(1.0, 1.0, v), [0, -1, 2.5, True, "4", None],
     "batch_size must be"),
    (lambda v: defenses.DPSGD(1.0, 1.0, 4).epsilon(v, 10), [3, 100.5, "100", True], "examples"),
    (lambda v: defenses.DPSGD(1.0, 1.0, 4).epsilon(100, v), [0, 2.5, True], "steps must be"),
    (lambda v: defenses.DPSGD(1.0, 1.0, 4).epsilon(100, 1, v), [0, 1, -1, math.nan, "1"],
     "delta must be"),
])
def test_bad_settings_are_refused(make, wrong, words):
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            make(value)


@pytest.mark.parametrize(("k", "bound"), [(8, 0.13), (2, 0.5001), (16, 0.07), (200, 0.006)])
@pytest.mark.parametrize("kind", [defenses.MixUp, defenses.InstaHide])
def test_a_bound_that_draws_hardly_ever_meet_is_refused_before_any_draw(kind, k, bound):
    with pytest.raises(ValueError, match="met by a share of .* give a larger bound"):
        kind(k, bound)


def test_the_bounds_of_use_are_taken():
    for k, bound in ((2, 0.52), (4, 0.4), (6, 0.65), (8, 0.3), (2, 1)):
        _, weights = defenses.MixUp(k, bound).keys(20, rng())
        assert weights.max() <= bound + 1e-6


# ---- what is a defense, and what it may return

class Made:
    """A defense of the methods given: `Made(update=function)`."""

    def __init__(self, **methods):
        self.__dict__.update(methods)


def same(grads, rng):
    return grads


def test_steps_of_one_of_a_list_of_a_tuple_and_of_none():
    noise, prune, own = defenses.GaussianNoise(1.0), defenses.GradPrune(0.5), Made(update=same)
    assert defenses.steps(None) == defenses.steps([]) == defenses.steps(()) == ()
    assert defenses.steps(noise) == (noise,)
    assert defenses.steps([noise, prune]) == defenses.steps((noise, prune)) == (noise, prune)
    assert defenses.steps([noise, (prune, [own])]) == (noise, prune, own)
    every = [defenses.EqualLabels(2), defenses.MixUp(2), defenses.DPSGD(1.0, 1.0, 2)]
    assert defenses.steps(every) == tuple(every)
    # a method of another name is none of ours where the right one is there, or is far from it
    both = Made(update=same, updates=print, encode=lambda x, t, rng: (x, t), decode=print)
    assert defenses.steps(both) == (both,)


@pytest.mark.parametrize(("wrong", "words"), [
    ("noise", "'noise' is no defense"), ({"name": "gaussian"}, "is no defense"), (3, "3 is no"),
    (True, "is no defense"), ({1, 2}, "is no defense"), (lambda grads, rng: grads, "no defense"),
    (OrderedDict(), "is no defense"), (iter([defenses.GradPrune(0.5)]), "is no defense"),
    ([None], "holds None: leave it out"), (object(), "no defense"),
    (torch.zeros(3), "none of the methods"),
    (Made(), "Made is no defense: it has none of the methods draw"),
    (Made(apply=same), "none of the methods"),
    (defenses.GradPrune, "GradPrune is a class: give an object"), (Made, "Made is a class"),
    (Made(updates=same), "'updates', which nothing calls: is it 'update'"),
    (Made(upadte=same), "'update'"), (Made(Update=same), "'update'"), (Made(updat=same), "'upda"),
    (Made(per_examples=same), "'per_example'"), (Made(perExample=same), "'per_example'"),
    (Made(encoder=same), "'encode'"), (Made(draws=same), "'draw'"), (Made(_update=same), "'_upd"),
    (Made(update=same, encoded=same), "'encoded'"),
    (Made(update=3), r"must have a method update\(grads, rng\)"),
    (Made(update=lambda grads: grads), r"must have a method update\(grads, rng\)"),
    (Made(encode=lambda images, rng: images), r"must have a method encode\(images, targets, rng"),
])
@pytest.mark.parametrize("inside", [lambda d: d, lambda d: [d], lambda d: (Made(update=same), d)])
def test_what_is_no_defense_is_refused_before_work(wrong, words, inside):
    digits = data.load("digits").subset(range(8))
    net = models.dense(digits)
    before = net[1].weight.clone()
    with pytest.raises(ValueError, match=words):
        client.share(net, digits.clients(1), defense=inside(wrong))
    with pytest.raises(ValueError, match=words):
        models.train(net, digits, epochs=1, batch_size=4, defense=inside(wrong))
    assert torch.equal(net[1].weight, before)


def test_a_list_of_defenses_is_the_tuple_of_them():
    b, model = batch(), models.lenet(Shape())
    both = [defenses.GaussianNoise(1.0), defenses.GradPrune(0.5)]
    listed, tupled = (client.share(model, b, defense=kind(both)).gradients
                      for kind in (list, tuple))
    plain = client.share(model, b).gradients
    for n, g in listed.items():
        assert torch.equal(g, tupled[n]) and not torch.equal(g, plain[n])


def but(grads, change):
    """The gradients, the first tensor changed."""
    name = next(iter(grads))
    return grads | {name: change(grads[name])}


@pytest.mark.parametrize(("defense", "words"), [
    (Made(update=lambda g, rng: None), r"update\(\) of the defense Made must return a dict"),
    (Made(update=lambda g, rng: list(g.values())), "must return a dict"),
    (Made(update=lambda g, rng: dict(list(g.items())[1:])), "must keep the names .*1.weight"),
    (Made(update=lambda g, rng: {"x." + n: t for n, t in g.items()}), "must keep the names"),
    (Made(update=lambda g, rng: but(g, lambda t: t[:1])), "of the same shapes: 1.weight was"),
    (Made(update=lambda g, rng: but(g, lambda t: None)), "same shapes: .* is NoneType"),
    (Made(update=lambda g, rng: but(g, lambda t: t.numpy())), "same shapes: .* is ndarray"),
    (Made(update=lambda g, rng: but(g, lambda t: t + 1j)), "real tensors"),
    (Made(update=lambda g, rng: but(g, lambda t: t / 0)), "made NaN or infinite values of the fin"),
    (Made(per_example=lambda g: None), r"per_example\(\) of the defense Made must return a dict"),
    (Made(per_example=lambda g: but(g, lambda t: t.mean(0))), "same shapes"),
    (Made(encode=lambda x, t, rng: x), r"encode\(\) of the defense Made must return a pair"),
    (Made(encode=lambda x, t, rng: (x, None)), "must return a pair of tensors"),
    (Made(encode=lambda x, t, rng: (x * 2 - 1, t)), r"images in \[-.*must lie in \[0, 1\]"),
    (Made(encode=lambda x, t, rng: (255 * x, t)), "must lie in"),
    (Made(encode=lambda x, t, rng: (x / 0, t)), "must lie in"),
    (Made(encode=lambda x, t, rng: (x[..., :4], t)), "only their number may change"),
    (Made(encode=lambda x, t, rng: (x[:1], t)), "only their number may change, and together"),
    (Made(encode=lambda x, t, rng: (x[:0], t[:0])), "only their number may change"),
    (Made(encode=lambda x, t, rng: (x, t[:, :3])), "only their number"),
    (Made(encode=lambda x, t, rng: ((255 * x).byte(), t)), "both must be floating"),
    (Made(encode=lambda x, t, rng: (x, t.argmax(1))), "only their number"),
    (Made(encode=lambda x, t, rng: (x, 2 * t)), "no probabilities"),
    (Made(encode=lambda x, t, rng: (x, t - 0.25)), "no probabilities"),
])
def test_what_a_defense_returns_is_checked(defense, words):
    b, model = batch(K=2, B=2), models.dense(Shape())
    with pytest.raises(ValueError, match=words):
        client.share(model, b, defense=defense)


@pytest.mark.parametrize(("chosen", "words"), [
    (torch.tensor([0, 6]), "indices from 0 to 6 of 6 images"), (torch.tensor([-1]), "from -1 to"),
    (torch.tensor([], dtype=torch.int64), "must return indices"),
    (torch.ones(6, dtype=torch.bool), r"of a mask: mask.nonzero\(\)"),
    (torch.tensor([0.0, 1.0]), "whole numbers"), (torch.tensor(1), "whole numbers"),
    (torch.tensor([[0, 1]]), "whole numbers"), (None, "not indices"), ("01", "not indices"),
])
def test_indices_that_a_defense_draws_are_checked(chosen, words):
    with pytest.raises(ValueError, match=words):
        client.share(models.dense(Shape()), batch(B=6),
                     defense=Made(draw=lambda labels, rng: chosen))


def test_drawn_indices_may_be_a_list_and_a_defense_may_compute_in_other_precision():
    b, model = batch(K=2, B=3), models.dense(Shape())
    two = client.share(model, b, defense=Made(draw=lambda labels, rng: [2, 0]))
    flipped = type(b)(b.images[:, [2, 0]], b.labels[:, [2, 0]], 4)
    plain = client.share(model, flipped).gradients
    assert all(torch.equal(g, plain[n]) for n, g in two.gradients.items())
    double = Made(update=lambda g, rng: {n: 2 * t.double() for n, t in g.items()})
    for n, g in client.share(model, flipped, defense=double).gradients.items():
        assert g.dtype == torch.float32
        torch.testing.assert_close(g, 2 * plain[n])


@pytest.mark.parametrize(("before", "B"), [((), 1), ((), 65), ((defenses.MixUp(2, 0.65, 3),), 8),
                                           ((defenses.InstaHide(2, 0.65, 3),), 8),
                                           ((defenses.EqualLabels(2),), 12)])
def test_noise_for_a_batch_of_another_size_is_refused(before, B):
    right = {1: 1, 65: 65, 8: 3, 12: 2}[B]
    b, model = batch(K=1, B=B), models.dense(Shape())
    shared = client.share(model, b, defense=(*before, defenses.DPSGD(1.0, 1.0, right)))
    assert shared.batch_size == right
    with pytest.raises(ValueError, match=f"an update of {right} images: its batch_size"):
        client.share(model, b, defense=[*before, defenses.DPSGD(1.0, 1.0, 64)])


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
    (lambda: defenses.MixUp(4).keys(3, rng()), "needs more than the client's 3"),
    (lambda: defenses.MixUp(2, batch_size=5).keys(4, rng()), "needs more than the client's 4")])
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
    text = (Path(defenses.__file__).parent / "USING.md").read_text()
    code = text.split("## Mixed images")[1].split("```python\n")[1].split("```")[0]
    exec(code, {"attacks": attacks, "client": client, "defenses": defenses, "models": models,
                "images": data.load("photos")})
    shape, spent = capsys.readouterr().out.split("\n")[:2]
    assert shape == "torch.Size([20, 3, 32, 32])" and 0 < float(spent) < 10
