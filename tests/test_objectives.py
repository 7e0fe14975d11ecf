"""Distances and regularisers: what they see, and what they are blind to."""

from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, defenses, models, objectives, priors


def gradients(seed):
    rng = torch.Generator().manual_seed(seed)
    return {"a": torch.randn(3, 4, generator=rng), "b": torch.randn(5, generator=rng)}


def test_cosine_is_blind_to_the_gradients_size_and_l2_is_not():
    a, b = gradients(0), gradients(1)
    double = {n: 2 * g for n, g in b.items()}
    for distance in (objectives.cosine, objectives.layer_cosine):
        torch.testing.assert_close(distance(a, double), distance(a, b))
        torch.testing.assert_close(distance(double, b), torch.tensor(0.0), atol=1e-6, rtol=0)
    assert objectives.l2(a, double) > 1.5 * objectives.l2(a, b)
    flat = [torch.cat([g.flatten() for g in t.values()]) for t in (a, b)]
    expected = 1 - torch.cosine_similarity(*flat, dim=0)
    torch.testing.assert_close(objectives.cosine(a, b), expected)  # one cosine over all tensors
    uneven = {"a": 100 * b["a"], "b": b["b"]}
    assert (objectives.cosine(a, uneven) - objectives.cosine(a, b)).abs() > 1e-2
    torch.testing.assert_close(objectives.layer_cosine(a, uneven), objectives.layer_cosine(a, b))


def test_an_attack_by_cosine_does_not_change_with_the_size_of_the_update():
    b = batch(K=1)
    u = client.share(models.lenet(Shape()), b, threat=client.ThreatModel(labels="known"))
    half = replace(u, gradients={n: g / 2 for n, g in u.gradients.items()})
    for objective, same in (("cosine", True), ("l2", False)):
        attack = attacks.inverting_gradients(20, objective=objective, tv=0)
        one, other = (attacks.reconstruct(each, attack).last for each in (u, half))
        assert torch.allclose(one, other, atol=1e-3) == same


def test_the_masked_objective_looks_only_where_the_update_is_not_zero():
    b = batch(K=1)
    model, known = models.lenet(Shape()), client.ThreatModel(labels="known")
    whole = client.share(model, b, threat=known).gradients
    pruned = client.share(model, b, defense=defenses.GradPrune(0.9), threat=known).gradients
    whole, pruned = ({n: g[0] for n, g in u.items()} for u in (whole, pruned))
    masked = objectives.masked(objectives.cosine)
    assert masked(whole, pruned) < 1e-6 < 1e-3 < objectives.cosine(whole, pruned)
    assert objectives.masked(objectives.cosine) is masked  # one graph for one attack
    attack = attacks.inverting_gradients(masked=True)
    assert attack.objective is masked


def test_the_batchnorm_prior_is_the_distance_of_the_statistics():
    one = ("bn", torch.tensor([1.0, 2]), torch.tensor([1.0, 1]), torch.zeros(2), torch.ones(2))
    torch.testing.assert_close(priors.batch_norm([one, one]), torch.tensor(2 * 5**0.5))
    attack = attacks.inverting_gradients(3, bn=0.1)
    with pytest.raises(ValueError, match="BatchNorm"):
        u = client.share(models.lenet(Shape()), batch(K=1))
        attacks.reconstruct(u, attack)


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_the_batchnorm_prior_pulls_the_dummy_to_the_stored_statistics(mode):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4, momentum=1.0), nn.Sigmoid(),
                          nn.Flatten(), nn.Linear(4 * 36, 4))
    b = batch(K=2, B=2)
    model.train()(4 * b.images[0])  # statistics that no dummy has by itself
    protocol = client.Protocol(normalise=True, mode=mode)
    granted = client.ThreatModel(
        labels="known", bn_statistics="proxy" if mode == "train" else "inferred")
    u = client.share(model.eval(), b, protocol, threat=granted)

    def distance(bn):
        guess = attacks.reconstruct(u, attacks.inverting_gradients(60, bn=bn, tv=0))
        params, buffers = client.tensors(u.model)
        x = client.to_input(guess.last[0, 0], False, True, u.mean, u.std)
        return float(priors.batch_norm(models.moments(u.model, params | buffers, x)))

    assert distance(10.0) < 0.9 * distance(0)


def test_the_orthogonality_of_a_batch():
    across, down = torch.zeros(2, 1, 2, 2)
    across[0, 0], down[0, 1] = 3.0, 0.5
    assert priors.orthogonality(torch.stack([across, down])) == 0
    one = torch.rand(1, 1, 4, 4)
    assert priors.orthogonality(torch.cat([one, 2 * one])).item() == pytest.approx(1, abs=1e-5)
    alone = torch.func.grad(priors.orthogonality)(one)
    assert torch.equal(alone, torch.zeros_like(alone))


def test_an_axis_without_differences_has_no_variation():
    row = torch.tensor([0.0, 1.0, -1.0]).view(1, 1, 1, 3)
    for tv, expected in ((priors.tv, 1.5), (priors.tv_of_magnitude, 0.5)):
        assert tv(row).item() == expected == tv(row.mT).item()
        for one in (row, row.mT, row[..., :1]):
            assert torch.isfinite(torch.func.grad(tv)(one)).all()
        assert tv(torch.rand(2, 3, 1, 1)).item() == 0
    b = batch(K=1, shape=(1, 1, 9))
    granted = client.ThreatModel(labels="known")
    update = client.share(nn.Sequential(nn.Flatten(), nn.Linear(9, 4)), b,
                          client.Protocol(normalise=True), threat=granted)
    guess = attacks.reconstruct(update, attacks.inverting_gradients(60, tv=1e-3))
    assert guess.history.losses.isfinite().all() and guess.loss.max() < 0.1


def test_objectives_are_made_of_callables_and_positive_numbers():
    both = objectives.masked(objectives.scaled(objectives.l2, 3.0))
    a, b = gradients(0), gradients(1)
    b["a"][0] = 0
    torch.testing.assert_close(both(a, b), 3 * objectives.masked(objectives.l2)(a, b))
    assert both(a, b) < 3 * objectives.l2(a, b)
    assert "scaled l2" in both.__name__ and objectives.scaled(objectives.l2, 3) == \
        objectives.scaled(objectives.l2, 3.0)
    for wrong in (lambda: objectives.scaled(objectives.l2, 0), lambda: objectives.masked("l2"),
                  lambda: objectives.scaled(objectives.l2, torch.nan),
                  lambda: objectives.scaled(None, 2.0), lambda: objectives.scaled(len, True)):
        with pytest.raises(ValueError, match="factor must be|an objective is a callable"):
            wrong()


@pytest.mark.parametrize("name", ["l2", "relative_l2", "cosine", "layer_cosine"])
def test_an_objective_sees_what_is_shared_and_no_more(name):
    objective, a, b = getattr(objectives, name), gradients(0), gradients(1)
    alone = objective({"a": a["a"]}, {"a": b["a"]})
    torch.testing.assert_close(objective(a, {"a": b["a"]}), alone)
    torch.testing.assert_close(objectives.masked(objective)(a, {"a": b["a"]}), alone)


def test_a_factor_below_one_and_an_image_without_channels_are_taken():
    dummy, shared = {"w": torch.tensor([3.0])}, {"w": torch.tensor([1.0])}
    assert objectives.scaled(objectives.l2, 0.5)(dummy, shared).item() == 2
    assert priors.tv(torch.tensor([[0.0, 1.0], [2.0, 3.0]])).item() == 3
