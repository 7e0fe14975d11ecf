
import pytest
import torch
from tiny import Shape, batch
from torch import nn
from torch.nn.functional import cross_entropy

from lib import client, data, defenses, models


def plain_gradients(model, x, y):
    loss = cross_entropy(model(x), y)
    return dict(
        zip(
            dict(model.named_parameters()),
            torch.autograd.grad(loss, model.parameters()),
            strict=True,
        )
    )


@pytest.mark.parametrize("build", [models.lenet, models.resnet])
def test_shared_gradients_equal_autograd(build):
    model, b = build(Shape()), batch(K=3, B=2)
    update = client.share(model, b)
    for k in range(3):
        expected = plain_gradients(model, b.images[k], b.labels[k])
        for n, g in update.gradients.items():
            torch.testing.assert_close(g[k], expected[n])


def test_normalised_clients_and_ensembles():
    b = batch(K=2)
    victims = models.ensemble(models.lenet, Shape(), seeds=[5, 6])
    update = client.share(victims, b, client.Protocol(normalise=True))
    z = (b.images - b.mean.view(-1, 1, 1)) / b.std.view(-1, 1, 1)
    for k, seed in enumerate([5, 6]):
        expected = plain_gradients(models.lenet(Shape(), seed=seed), z[k], b.labels[k])
        for n, g in update.gradients.items():
            torch.testing.assert_close(g[k], expected[n], rtol=1e-4, atol=1e-6)


def test_one_local_step_is_the_gradient_times_the_learning_rate():
    model, b = models.lenet(Shape()), batch(K=2, B=2)
    g = client.share(model, b).gradients
    w = client.share(model, b, client.Protocol(local_lr=0.1, sends="weights")).gradients
    for n in g:
        torch.testing.assert_close(w[n], -0.1 * g[n])


def test_local_steps_equal_sgd():
    model, b = models.lenet(Shape(), activation="tanh"), batch(K=1, B=4)
    protocol = client.Protocol(local_lr=0.05, sends="weights", epochs=2, local_batch=2)
    update = client.share(model, b, protocol)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
    for _ in range(2):
        for i in (0, 2):
            optimizer.zero_grad()
            cross_entropy(model(b.images[0, i : i + 2]), b.labels[0, i : i + 2]).backward()
            optimizer.step()
    for n, p in model.named_parameters():
        torch.testing.assert_close(
            update.gradients[n][0], p.detach() - before[n], rtol=1e-3, atol=1e-6
        )


def test_mse_losses():
    model, b = models.dense(Shape()), batch(K=1, B=2)
    onehot = torch.nn.functional.one_hot(b.labels[0], 4).float()
    for name, out in (("mse", model(b.images[0])), ("mse_softmax", model(b.images[0]).softmax(-1))):
        loss = (out - onehot).square().sum(-1).mean()
        expected = torch.autograd.grad(loss, list(model.parameters()))
        update = client.share(model, b, client.Protocol(loss=name))
        for g, e in zip(update.gradients.values(), expected, strict=True):
            torch.testing.assert_close(g[0], e)


def test_the_attacker_is_given_only_what_is_granted():
    model, b = models.lenet(Shape()), batch(K=2)
    update = client.share(model, b)
    assert update.labels is None and not any(
        v is b.images or v is b.labels for v in vars(update).values()
    )
    known = client.share(model, b, threat=client.ThreatModel(labels="known"))
    assert torch.equal(known.labels, b.labels)
    assert update.card()["labels"] == "unknown"


def test_defense_of_strength_zero_changes_nothing_and_order_holds():
    model, b = models.lenet(Shape()), batch(K=2, B=2)
    plain = client.share(model, b).gradients
    zero = client.share(model, b, defense=defenses.GaussianNoise(0.0)).gradients
    assert all(torch.equal(zero[n], plain[n]) for n in plain)
    noisy = client.share(model, b, defense=defenses.GaussianNoise(1e-2)).gradients
    error = torch.cat([(noisy[n] - plain[n]).flatten() for n in plain])
    assert error.std() == pytest.approx(0.1, rel=0.05)

    calls = []

    class Spy:
        def draw(self, labels, rng):
            calls.append("draw")
            return torch.arange(len(labels))

        def encode(self, x, t, rng):
            calls.append("encode")
            return x, t

        def per_example(self, grads):
            calls.append("per_example")
            return grads

        def update(self, grads, rng):
            calls.append("update")
            return {n: 2 * g for n, g in grads.items()}

    doubled = client.share(model, b, defense=(Spy(), defenses.GaussianNoise(0.0))).gradients
    assert (
        calls == ["draw", "encode"] * 2 + ["per_example"] + ["update"] * 2
    )  # 2 clients, 1 batched
    for n in plain:
        torch.testing.assert_close(doubled[n], 2 * plain[n], rtol=1e-4, atol=1e-6)


def test_noise_does_not_depend_on_the_number_of_clients():
    noise, values = defenses.GaussianNoise(1.0), []
    for K in (1, 3):
        b = batch(K=3)
        b = type(b)(b.images[:K], b.labels[:K], 4, mean=b.mean, std=b.std)
        g = client.share(models.lenet(Shape()), b, defense=noise, seed=7).gradients["0.weight"][0]
        values.append(g)
    torch.testing.assert_close(*values, rtol=1e-5, atol=1e-6)


def test_save_and_load(tmp_path):
    for model in (
        models.lenet(Shape()),
        models.ensemble(models.convnet, Shape((1, 9, 9)), [0, 1], width=2),
    ):
        shape = (1, 8, 8) if isinstance(model, nn.Sequential) else (1, 9, 9)
        update = client.share(
            model, batch(K=2, shape=shape), threat=client.ThreatModel(labels="known")
        )
        update.save(tmp_path / "update.pt")
        again = client.SharedUpdate.load(tmp_path / "update.pt", model)
        assert again.protocol == update.protocol and again.threat == update.threat
        assert all(torch.equal(again.gradients[n], g) for n, g in update.gradients.items())
        for a, b in zip(again.model.parameters(), update.model.parameters(), strict=True):
            assert torch.equal(a, b)
    with pytest.raises(ValueError, match=r"0\.weight \(2, 2, 1, 3, 3\).*model: \(12, 1, 5, 5\)"):
        client.SharedUpdate.load(tmp_path / "update.pt", models.lenet(Shape()))


def test_an_auditor_brings_an_update():
    model, b = models.lenet(Shape()), batch(K=1)
    grads = plain_gradients(model, b.images[0], b.labels[0])
    kwargs = {"shape": (1, 8, 8), "num_classes": 4}
    for given in (grads, list(grads.values())):
        update = client.SharedUpdate.from_gradients(model, given, **kwargs)
        assert len(update) == 1 and torch.equal(update.gradients["0.bias"][0], grads["0.bias"])
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    after = {n: p - 0.1 * grads[n] for n, p in before.items()}
    protocol = client.Protocol(local_lr=0.1, sends="weights")
    update = client.SharedUpdate.from_weights(before, after, model, protocol, **kwargs)
    torch.testing.assert_close(
        update.gradients["7.bias"][0], -0.1 * grads["7.bias"], rtol=1e-3, atol=1e-6
    )


KNOWN = client.ThreatModel(labels="known")


def own(gradients=None, shape=(1, 8, 8), num_classes=4, **kwargs):
    """An auditor's update, of one client."""
    model = models.lenet(Shape())
    g = gradients or {n: p.detach() for n, p in model.named_parameters()}
    return client.SharedUpdate.from_gradients(
        model, g, shape=shape, num_classes=num_classes, **kwargs)


def test_an_auditors_moments():
    for mean, std in (([0.4], [0.3]), (torch.tensor([0.4]), torch.ones(1)), ([0], [1])):
        update = own(mean=mean, std=std, protocol=client.Protocol(normalise=True))
        assert update.mean.shape == update.std.shape == (1,) and update.std.is_floating_point()
    wrong = [([0.4], None), (None, [0.3]), ([0.4, 0.4], [0.3, 0.3]), (0.4, 0.3), ([0.4], [0]),
             ([0.4], [-0.1]), ([0.4], [float("nan")]), ([124.0], [0.3])]
    for mean, std in wrong:
        with pytest.raises(ValueError, match=r"go together, one value for each of the 1 channels"):
            own(mean=mean, std=std)
    with pytest.raises(ValueError, match=r"^protocol\.normalise needs mean and std"):
        own(protocol=client.Protocol(normalise=True))


def test_an_auditors_labels():
    for given in ([[2]], torch.tensor([[2.0]]), torch.tensor([[2]], dtype=torch.int32)):
        update = own(labels=given, threat=KNOWN)
        assert update.labels.dtype == torch.int64 and update.labels.tolist() == [[2]]
    for kwargs, words in (
            ({"labels": [[4]], "threat": KNOWN}, r"labels must lie in 0\.\.3"),
            ({"labels": [[-1]], "threat": KNOWN}, r"labels must lie in 0\.\.3"),
            ({"labels": [1, 2, 3], "threat": KNOWN, "batch_size": 3}, r"have shape \(3,\), need "
             r"\(clients, images\) = \(1, 3\): for one client give labels\[None\]"),
            ({"labels": [1, 2], "threat": KNOWN}, r"= \(1, 1\)$"),
            ({"labels": [[1]]}, r"give labels=\.\.\. together with threat=ThreatModel"),
            ({"threat": KNOWN}, r"give labels=\.\.\. together with threat=ThreatModel")):
        with pytest.raises(ValueError, match=words):
            own(**kwargs)


def test_an_auditors_names_and_shapes():
    g = {n: p.detach() for n, p in models.lenet(Shape()).named_parameters()}
    for given, words in (
            (g | {"x": g["0.bias"]}, r"unknown: x; the model has 0\.weight"),
            (g | {"0.bias": None}, r"0\.bias is None, a parameter without a gradient"),
            (g | {"0.weight": g["0.weight"][:8]}, r"update of 0\.weight has shape \(8, 1, 5, 5\), "
             r"the model's parameter \(12, 1, 5, 5\)$"),
            (list(g.values())[::-1], r"of 0\.weight .*is it in the order of model\.parameters"),
            (list(g.values())[1:], r"a list of 7 tensors; the model trains 8 parameters")):
        with pytest.raises(ValueError, match=words):
            own(given)
    with pytest.raises(ValueError, match=r"the model has 4 outputs, not num_classes=100"):
        own(num_classes=100)
    with pytest.raises(ValueError, match=r"\(8, 8, 1\) do not fit the model; shape is \(channels"):
        own(shape=(8, 8, 1))
    assert "K=1 clients, B=1 images of shape (1, 8, 8), 4 classes" in repr(own())
    assert len(repr(own())) < 500


def test_an_auditors_weights():
    model, protocol = models.lenet(Shape()), client.Protocol(local_lr=0.1, sends="weights")
    before = {n: v.clone() for n, v in model.state_dict().items()}
    after = {n: v + 0.1 for n, v in before.items()}

    def read(before, after):
        return client.SharedUpdate.from_weights(
            before, after, model, protocol, shape=(1, 8, 8), num_classes=4)

    assert len(read(before, after)) == 1
    with pytest.raises(ValueError, match=r"equal: a state_dict is a view.*keep copies"):
        read(model.state_dict(), model.state_dict())
    with pytest.raises(ValueError, match=r"before lacks 4\.bias"):
        read({n: v for n, v in before.items() if n != "4.bias"}, after)
    less = read(before, {n: v for n, v in after.items() if n != "4.bias"})
    assert less.partial and "4.bias" not in less.gradients
    assert "7 of 8 tensors were sent" in less.card()["intake"]


def test_the_callers_model_is_left_alone():
    model = models.convnet(Shape((1, 9, 9)), width=2).train()  # PyTorch's default mode
    before = {n: b.clone() for n, b in model.named_buffers()}
    first, second = (client.share(model, batch(K=1, shape=(1, 9, 9))).gradients for _ in range(2))
    assert all(torch.equal(first[n], second[n]) for n in first)
    assert model.training and all(torch.equal(b, before[n]) for n, b in model.named_buffers())


def test_double_models_take_float_images():
    update = client.share(models.lenet(Shape()).double(), batch(K=2))
    assert update.gradients["0.weight"].dtype == torch.float64


def test_frozen_parameters_are_not_sent():
    model, b = models.lenet(Shape()), batch(K=2)
    plain = client.share(model, b).gradients
    model[0].weight.requires_grad_(False)
    sent = client.share(model, b).gradients
    assert set(plain) - set(sent) == {"0.weight"}
    assert all(torch.equal(sent[n], plain[n]) for n in sent)


def test_granted_labels_are_those_the_client_used():
    class Reversed:
        def draw(self, labels, rng):
            return torch.arange(len(labels)).flip(0)[:2]

    b = batch(K=2, B=3)
    known = client.ThreatModel(labels="known")
    update = client.share(models.lenet(Shape()), b, defense=Reversed(), threat=known)
    assert update.batch_size == 2 and torch.equal(update.labels, b.labels.flip(1)[:, :2])


def broken(update, **change):
    grads = dict(update.gradients)
    grads.update(change)
    return lambda: client.SharedUpdate(grads, update.protocol, update.model, update.shape, 4)


def test_bad_updates_are_refused():
    update = client.share(models.lenet(Shape()), batch(K=2))
    bias = update.gradients["0.bias"]
    nan = bias.clone()
    nan[0, 0] = torch.nan
    cases = {
        "NaN": broken(update, **{"0.bias": nan}),
        "instead of": broken(update, **{"0.bias": bias[:, :-1]}),
        "disagree": broken(update, extra=bias),
    }
    for message, call in cases.items():
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize(
    "call",
    [
        lambda: client.Protocol(loss="hinge"),
        lambda: client.Protocol(mode="test"),
        lambda: client.Protocol(sends="weights"),
        lambda: client.Protocol(local_lr=0.1),
        lambda: client.Protocol(epochs=2),
        lambda: client.ThreatModel(labels="maybe"),
        lambda: defenses.GaussianNoise(-1),
        lambda: client.share(models.lenet(Shape()), batch(shape=(3, 8, 8))),
        lambda: client.share(models.lenet(Shape()), batch(classes=9, K=20)),
        lambda: client.share(models.ensemble(models.lenet, Shape(), [0, 1]), batch(K=3)),
        lambda: client.share(nn.Conv2d(1, 4, 1), batch()),
        lambda: client.share(
            models.lenet(Shape()), batch(B=3), threat=client.ThreatModel(labels="equal")
        ),
        lambda: client.SharedUpdate.from_gradients(
            models.lenet(Shape()), [torch.zeros(1)], shape=(1, 8, 8), num_classes=4
        ),
        lambda: client.SharedUpdate.from_gradients(
            models.lenet(Shape()),
            list(models.lenet(Shape()).parameters()),
            shape=(1, 8, 8),
            num_classes=9,
        ),
        lambda: data.Batch(torch.zeros(0, 1, 1, 8, 8), torch.zeros(0, 1, dtype=torch.long), 4),
    ],
)
def test_bad_input_is_one_clear_error(call):
    with pytest.raises(ValueError):
        call()


# ---- BatchNorm statistics

def test_exact_statistics_are_those_of_the_private_batch():
    model, private = models.preact_resnet(Shape((3, 8, 8)), 4, seed=1), batch(2, 3, (3, 8, 8))
    exact = client.ThreatModel(bn_statistics="exact")
    update = client.share(model, private, client.Protocol(mode="train"), threat=exact)
    seen = {}

    def keep(name):
        return lambda m, given: seen.setdefault(name, given[0])

    for name, m in model.named_modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            m.register_forward_pre_hook(keep(name))
    model.train()(private.images[1])
    assert set(update.statistics) == {f"{n}.running_{w}" for n in seen for w in ("mean", "var")}
    for name, x in seen.items():
        mean, var = (update.statistics[f"{name}.running_{w}"][1] for w in ("mean", "var"))
        torch.testing.assert_close(mean, x.mean((0, 2, 3)), rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(var, x.var((0, 2, 3), unbiased=False), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("protocol", "threat", "message"), [
    ({}, {"bn_statistics": "exact"}, "about clients in train mode"),
    ({}, {"mixing_keys": True}, "one that mixes")])
def test_what_cannot_be_granted(protocol, threat, message):
    with pytest.raises(ValueError, match=message):
        client.share(models.lenet(Shape()), batch(), client.Protocol(**protocol),
                     threat=client.ThreatModel(**threat))
