"""What is agreed with the clients: local SGD as torch runs it, losses of one's own, one output."""

import copy

import pytest
import torch
from tiny import Shape, batch
from torch import nn
from torch.nn import functional as F

from lib import attacks, client, labels, models

OPTIMISERS = [
    {"momentum": 0.9},
    {"momentum": 0.9, "nesterov": True},
    {"weight_decay": 0.1},
    {"momentum": 0.5, "nesterov": True, "weight_decay": 0.01},
]


@pytest.mark.parametrize("settings", OPTIMISERS, ids=str)
@pytest.mark.parametrize("mode", ["eval", "train"])
def test_local_steps_are_those_of_torchs_sgd(settings, mode):
    model = models.lenet(Shape(), activation="tanh", norm="batch").double()
    b = batch(K=1, B=4, dtype=torch.float64)
    protocol = client.Protocol(
        mode=mode, sends="weights", local_lr=0.05, local_batch=2, epochs=3, **settings)
    shared = client.share(model, b, protocol)
    net = copy.deepcopy(model).train(mode == "train")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05, **settings)
    for _ in range(3):
        for part in (slice(0, 2), slice(2, 4)):
            optimizer.zero_grad()
            F.cross_entropy(net(b.images[0, part]), b.labels[0, part]).backward()
            optimizer.step()
    before = dict(model.named_parameters())
    for name, after in net.named_parameters():
        torch.testing.assert_close(
            shared.gradients[name][0], after.detach() - before[name].detach(),
            rtol=1e-7, atol=1e-10)


@pytest.mark.parametrize("settings", OPTIMISERS, ids=str)
def test_a_difference_is_turned_back_into_the_mean_gradient(settings):
    """Exact where the gradient does not depend on the weights: a loss that is linear in them."""
    model, b = models.dense(Shape()).double(), batch(K=1, dtype=torch.float64)
    decay = settings.get("weight_decay", 0)

    def linear(logits, targets):
        return (logits * targets).sum(-1).mean()

    one = client.share(model, b, client.Protocol(loss=linear)).gradients["1.bias"]
    protocol = client.Protocol(
        loss=linear, sends="weights", local_lr=0.05, epochs=1 if decay else 4, **settings)
    shared = client.share(model, b, protocol)
    torch.testing.assert_close(shared.mean_gradient("1.bias"), one)


def test_labels_are_read_off_a_difference_with_momentum():
    model, b = models.lenet(Shape()), batch(K=4)
    protocol = client.Protocol(sends="weights", local_lr=0.01, epochs=3, momentum=0.9)
    assert torch.equal(labels.infer(client.share(model, b, protocol), "idlg_bias"), b.labels)


def test_a_loss_of_ones_own():
    """It is given logits and probabilities, and a weighted cross-entropy is torch's."""
    weight = torch.tensor([1.0, 2.0, 3.0, 4.0])

    def weighted(logits, targets):
        assert logits.shape == targets.shape
        return -(weight * targets * logits.log_softmax(-1)).sum(-1).mean()

    model, b = models.lenet(Shape()), batch(K=1)
    shared = client.share(model, b, client.Protocol(loss=weighted))
    loss = F.cross_entropy(model(b.images[0]), b.labels[0], weight, reduction="sum")
    for got, right in zip(shared.gradients.values(), torch.autograd.grad(
            loss, list(model.parameters())), strict=True):
        torch.testing.assert_close(got[0], right, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("label", [0, 1])
def test_one_output_under_a_loss_of_its_own(label):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    b = batch(K=1, classes=2)
    b = client.replace(b, labels=torch.tensor([[label]]))
    protocol = client.Protocol(loss=F.binary_cross_entropy_with_logits)
    shared = client.share(net, b, protocol)
    out = F.binary_cross_entropy_with_logits(net(b.images[0])[:, 0], torch.tensor([float(label)]))
    right = torch.autograd.grad(out, net[1].weight)[0]
    torch.testing.assert_close(shared.gradients["1.weight"][0], right)


@pytest.mark.parametrize("loss", ["cross_entropy", "mse_softmax"])
def test_one_output_under_a_softmax_is_refused(loss):
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 1))
    with pytest.raises(ValueError, match="one output"):
        client.share(net, batch(K=1, classes=2), client.Protocol(loss=loss))
    with pytest.raises(ValueError, match="one output"):
        client.SharedUpdate.from_gradients(
            net, [torch.ones_like(p) for p in net.parameters()], client.Protocol(loss=loss),
            shape=(1, 8, 8), num_classes=1)


@pytest.mark.parametrize("wrong, message", [
    ({"loss": "hinge"}, "unknown loss"), ({"loss": None}, "unknown loss"),
    ({"loss": ["mse"]}, "unknown loss"),
    ({"mode": True}, "mode"), ({"sends": 1}, "sends"), ({"normalise": "no"}, "normalise"),
    ({"normalise": 1}, "normalise"), ({"epochs": 2.0}, "epochs"), ({"epochs": True}, "epochs"),
    ({"sends": "weights", "local_lr": float("nan")}, "local_lr"),
    ({"sends": "weights", "local_lr": "0.1"}, "local_lr"),
    ({"sends": "weights", "local_lr": float("inf")}, "local_lr"),
    ({"sends": "weights", "local_lr": 0.1, "local_batch": 2.5}, "local_batch"),
    ({"sends": "weights", "local_lr": 0.1, "momentum": 1.0}, "momentum"),
    ({"sends": "weights", "local_lr": 0.1, "momentum": -0.1}, "momentum"),
    ({"sends": "weights", "local_lr": 0.1, "weight_decay": -1}, "weight_decay"),
    ({"sends": "weights", "local_lr": 0.1, "nesterov": True}, "momentum"),
    ({"sends": "weights", "local_lr": 0.1, "momentum": 0.9, "nesterov": 1}, "nesterov"),
    ({"momentum": 0.9}, "local_lr"), ({"weight_decay": 0.1}, "local_lr"),
])
def test_wrong_protocols(wrong, message):
    with pytest.raises(ValueError, match=message):
        client.Protocol(**wrong)


@pytest.mark.parametrize("wrong", [
    {"labels": True}, {"labels": "yes"}, {"bn_statistics": None}, {"prior_data": 3},
    {"prior_data": ""}, {"defense_known": "no"}, {"server": "evil"}, {"mixing_keys": 1}])
def test_wrong_threat_models(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        client.ThreatModel(**wrong)


@pytest.mark.parametrize("granted", [True, False])
def test_one_output_is_attacked_with_its_own_targets(granted):
    """Labels granted: at the truth the objective is 0. Free: the label is the sign of its logit."""
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.Tanh(), nn.Linear(6, 1))
    b = batch(K=1, classes=2)
    b = client.replace(b, labels=torch.tensor([[1]]))
    threat = client.ThreatModel(labels="known" if granted else "unknown")
    protocol = client.Protocol(loss=F.binary_cross_entropy_with_logits)
    shared = client.share(net, b, protocol, threat=threat)
    logits = None if granted else torch.full((1, 1, 1, 1), 30.0)
    guess = attacks.reconstruct(
        shared, attacks.dlg(iterations=1), start=(b.images[:, None], logits))
    assert guess.history.losses[0].item() < 1e-10
    assert guess.labels.tolist() == [[1]]
    dummy = client.dummy_gradients(shared, b.images, client.certain_logits(b.labels, 1))
    torch.testing.assert_close(dummy["3.weight"], shared.gradients["3.weight"])
