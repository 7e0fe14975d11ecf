"""Soteria and PRECODE: what they send, and that the attackers who adapt find the image again."""

from dataclasses import replace

import pytest
import torch

from lib import analytic, attacks, client, data, defenses, metrics, models, precode, soteria

PHOTOS = data.load("photos", size=16)
NORMALISED = client.Protocol(normalise=True)


def batch(clients=2, size=1):
    return PHOTOS.clients(clients, size)


def lenet(seed=0):
    return models.lenet(PHOTOS, seed=seed)


def shared(model, b, defense=None, **how):
    return client.share(model, b, NORMALISED, defense,
                        client.ThreatModel(labels="known"), **how)


# --- Soteria

@pytest.mark.parametrize("p", [0.0, 0.3, 0.8, 1.0])
def test_soteria_zeroes_a_share_of_the_columns_and_nothing_else(p):
    plain, kept = (shared(lenet(), batch(), d).gradients for d in (None, defenses.Soteria(p)))
    weight = kept["7.weight"]
    zero = (weight == 0).all(1)  # (K, F)
    assert zero.sum(1).tolist() == [int(p * weight.shape[2])] * 2
    torch.testing.assert_close(weight, plain["7.weight"] * ~zero[:, None])
    assert all(torch.equal(plain[n], kept[n]) for n in plain if n != "7.weight")


def test_soteria_prunes_by_the_derivatives_of_the_features():
    """Against a plain loop over the features of both images, one by one."""
    model, x = lenet(), batch(1, 2).images[0]
    features = model[:-1]
    total = torch.zeros(model[-1].in_features)
    for image in x:
        image = image[None].clone().requires_grad_()
        r = features(image)[0]
        for i, value in enumerate(r):
            slope, = torch.autograd.grad(value, image, retain_graph=True)
            total[i] += slope.norm() / (value.abs() + 0.1)
    torch.testing.assert_close(soteria.deviation(model, "7", x), total.detach(), rtol=1e-4,
                               atol=1e-6)
    kept = defenses.Soteria(0.25).with_model({"7.weight": torch.ones(10, len(total))}, model, x)
    gone = (kept["7.weight"][0] == 0).nonzero()[:, 0]
    assert set(gone.tolist()) == set(total.argsort()[:len(total) // 4].tolist())


def test_soteria_looks_at_each_clients_own_network():
    nets, b = [lenet(seed) for seed in range(2)], batch()
    together = shared(models.Ensemble(nets), b, defenses.Soteria(0.5)).gradients["7.weight"]
    for k, net in enumerate(nets):
        one = replace(b, images=b.images[k:k + 1], labels=b.labels[k:k + 1], indices=None)
        alone = shared(net, one, defenses.Soteria(0.5)).gradients["7.weight"][0]
        torch.testing.assert_close(together[k], alone)


def test_soteria_prunes_another_layer_and_trains():
    net = models.dense(PHOTOS, hidden=(20,), activation="relu")
    plain, sent = (shared(net, batch(), defense).gradients
                   for defense in (None, defenses.Soteria(0.5, layer="1")))
    assert (sent["1.weight"] == 0).all(1).sum(1).tolist() == [384, 384]
    assert torch.equal(sent["3.weight"], plain["3.weight"])
    few = PHOTOS.subset(range(8))
    models.train(net, few, epochs=1, batch_size=4, defense=defenses.Soteria(0.5))


@pytest.mark.parametrize(("call", "words"), [
    (lambda: defenses.Soteria(1.5), "p, a share"), (lambda: defenses.Soteria(0.5, 3), "layer"),
    (lambda: shared(lenet(), batch(), defenses.Soteria(0.5, "4")), "no dense layer '4'"),
    (lambda: client.share(lenet(), batch(), client.Protocol(local_lr=0.1, sends="weights"),
                          defenses.Soteria(0.5)), "one gradient"),
    (lambda: soteria.dense_layer(torch.nn.Conv2d(3, 3, 3)), "has none"),
    (lambda: defenses.Soteria(0.5).with_model({}, lenet(), batch().images[0]), "does not hold")])
def test_what_soteria_cannot_do_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()


# --- PRECODE

def test_a_bottleneck_is_what_the_paper_says():
    net = precode.Bottleneck(5, 3, 2).double()
    x = torch.randn(2, 5, dtype=torch.float64)
    mean, log_variance = net.encoder(x)[:, :3], net.encoder(x)[:, 3:]
    z = mean + torch.exp(0.5 * log_variance) * net.sample
    torch.testing.assert_close(net(x), net.decoder(z))
    assert not torch.equal(net(x), net(x.flip(0)).flip(0))  # image i has draw i


def test_the_network_before_and_the_head_are_kept():
    model = lenet()
    extended = precode.precode(model, 16, seed=3)
    assert torch.equal(extended[-1][-1].weight, model[-1].weight)
    assert torch.equal(extended[0].weight, model[0].weight)
    assert precode.stochastic(extended) == ("7.",)
    same, other = (precode.precode(model, 16, seed=s)[-1][0].encoder.weight for s in (3, 4))
    assert torch.equal(same, extended[-1][0].encoder.weight) and not torch.equal(same, other)
    assert not any(isinstance(m, precode.Bottleneck) for m in model.modules())


def test_the_draw_changes_the_gradient_and_comes_back_under_its_seed():
    model = precode.precode(lenet(), 16)
    one, again, other = (shared(precode.redrawn(model, s), batch()).gradients for s in (1, 1, 2))
    assert all(torch.equal(one[n], again[n]) for n in one)
    assert all(not torch.allclose(one[n], other[n]) for n in one)


def test_each_member_of_an_ensemble_gets_a_draw_of_its_own():
    nets = models.Ensemble([precode.precode(lenet(), 16) for _ in range(2)])
    sample = precode.redrawn(nets, 5).base[-1][0].sample
    assert sample.shape[0] == 2 and not torch.equal(sample[0], sample[1])


def test_the_attacker_who_leaves_the_random_layers_out_finds_more():
    """Four LeNets, 150 iterations: nearer than where all is compared, not as near as without."""
    b, attack = batch(4), attacks.inverting_gradients(150)
    nets = [lenet(seed) for seed in range(4)]
    kept = [precode.redrawn(precode.precode(net, 32), 100 + k) for k, net in enumerate(nets)]
    update = shared(models.Ensemble(kept), b)
    update = replace(update, model=precode.redrawn(update.model, 7))
    begins = precode.stochastic(update.model)
    fewer = {n: g for n, g in update.gradients.items() if not n.startswith(begins)}

    def psnr(u):
        found = attacks.reconstruct(u, attack, seed=0).last[:, 0]
        return metrics.psnr(found.cpu(), b.images).mean().item()

    plain, all_of_it = psnr(shared(models.Ensemble(nets), b)), psnr(update)
    adapted = psnr(replace(update, gradients=fewer))
    assert all_of_it + 2 < adapted < plain


def test_behind_a_dense_layer_a_division_gives_the_image_whatever_was_drawn():
    model = precode.precode(models.dense(PHOTOS, hidden=(50,), activation="relu"), 16)
    sent = client.share(precode.redrawn(model, 9), batch()).gradients
    found = analytic.dense_input(sent["1.weight"], sent["1.bias"])
    torch.testing.assert_close(found.view_as(batch().images), batch().images, rtol=0, atol=1e-4)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: precode.precode(lenet(), 0), "width"), (lambda: precode.precode(lenet(), draws=0),
                                                      "draws"),
    (lambda: precode.precode(precode.precode(lenet())), "already"),
    (lambda: precode.redrawn(lenet(), 1), "no bottleneck"),
    (lambda: precode.stochastic(lenet()), "no bottleneck"),
    (lambda: precode.redrawn(precode.precode(lenet()), -1), "seed"),
    (lambda: precode.precode(lenet(), 8, draws=2)(torch.rand(3, 3, 16, 16)), "2 draws")])
def test_what_precode_cannot_do_is_said(call, words):
    with pytest.raises(ValueError, match=words):
        call()
