import pytest
import torch
from tiny import Shape, batch

from lib import analytic, client, labels, models


def test_a_dense_layer_with_bias_gives_its_input_back():
    b = batch(K=5, dtype=torch.float64)
    update = client.share(models.dense(Shape()).double(), b)
    x = analytic.dense_input(update.gradients["1.weight"], update.gradients["1.bias"])
    torch.testing.assert_close(x, b.images.flatten(1), rtol=1e-10, atol=1e-10)


def test_through_hidden_layers_the_first_one_is_enough():
    b = batch(K=3, dtype=torch.float64)
    update = client.share(models.dense(Shape(), hidden=(16, 8), activation="tanh").double(), b)
    x = analytic.dense_input(update.gradients["1.weight"], update.gradients["1.bias"])
    torch.testing.assert_close(x, b.images.flatten(1), rtol=1e-8, atol=1e-8)


def test_no_gradient_no_input():
    assert torch.isnan(analytic.dense_input(torch.zeros(3, 5), torch.zeros(3))).all()


def test_idlg_label_is_right_for_every_image():
    for activation in models.ACTIVATIONS:
        b = batch(K=60, classes=10)
        model = models.lenet(Shape(num_classes=10), activation=activation)
        assert torch.equal(labels.infer(client.share(model, b)), b.labels)


def test_labels_of_weight_updates_and_of_equal_batches():
    b = batch(K=20, classes=10)
    model = models.lenet(Shape(num_classes=10))
    sent = client.share(model, b, client.Protocol(local_lr=0.1, sends="weights"))
    assert torch.equal(labels.infer(sent), b.labels)
    many = batch(K=4, B=3)
    many = type(many)(many.images, many.labels[:, :1].expand(-1, 3).contiguous(), 4)
    equal = client.share(models.lenet(Shape()), many, threat=client.ThreatModel(labels="equal"))
    assert torch.equal(labels.infer(equal), many.labels)


def test_labels_without_a_bias_and_without_a_dense_layer():
    b = batch(K=20)
    model = models.lenet(Shape())
    model[-1] = torch.nn.Linear(model[-1].in_features, 4, bias=False)
    assert torch.equal(labels.infer(client.share(model, b)), b.labels)
    head = torch.nn.Sequential(
        torch.nn.Conv2d(1, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten()
    )
    with pytest.raises(ValueError, match="dense layer"):
        labels.infer(client.share(head, b))
