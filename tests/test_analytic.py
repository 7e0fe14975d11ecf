from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import Shape, batch

from lib import analytic, attacks, client, data, metrics, models


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


def mixed_gradients(labels, loss="cross_entropy", scale=0.5, classes=6, seed=0):
    """A dense layer's update of one client with the given labels, in float64; and its images."""
    b = batch(K=1, B=len(labels), classes=classes, seed=seed, dtype=torch.float64)
    b = replace(b, labels=torch.tensor([labels]))
    model = models.dense(Shape(num_classes=classes), init="normal", scale=scale).double()
    granted = client.ThreatModel(labels="known")
    return client.share(model, b, client.Protocol(loss=loss), threat=granted), b


def test_demixing_is_exact_where_the_softmax_is_saturated():
    update, b = mixed_gradients([0, 2, 5, 3], scale=60.0)
    x = analytic.demix(update.gradients["1.weight"], update.gradients["1.bias"], b.labels)
    # Nobody in the batch is taken for that class; else weights of 1 and -1 cancel.
    predicted = update.model(b.images[0]).argmax(-1)
    clear = torch.tensor([c not in predicted for c in b.labels[0]])
    assert 1 < clear.sum() < 4
    torch.testing.assert_close(x[0, clear], b.images[0, clear].flatten(1), rtol=0, atol=1e-9)
    assert (x[0, ~clear] - b.images[0, ~clear].flatten(1)).abs().nan_to_num(1).max() > 1e-3


@pytest.mark.parametrize("labels", [[0, 2, 5, 3], [1, 1, 1], [0, 0, 2, 4]])
@pytest.mark.parametrize("scale", [0.01, 0.5])
def test_what_demixing_gives_is_the_weighted_sum_that_the_formula_says(labels, scale):
    update, b = mixed_gradients(labels, scale=scale)
    x = analytic.demix(update.gradients["1.weight"], update.gradients["1.bias"], b.labels)
    p = update.model(b.images[0]).softmax(-1)[None]
    w = analytic.demix_weights(p, b.labels)
    torch.testing.assert_close(w @ b.images.flatten(2), x, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(w.sum(-1), torch.ones_like(w[..., 0]))


def test_demixing_weights_of_an_even_softmax_and_of_equal_labels():
    even = torch.full((3, 6), 1 / 6, dtype=torch.float64)
    w = analytic.demix_weights(even, torch.tensor([0, 2, 5]))
    expected = torch.full((3, 3), -1 / 3, dtype=torch.float64).fill_diagonal_(5 / 3)
    torch.testing.assert_close(w, expected)  # -1 / (classes - B), 1 + (B - 1) / (classes - B)
    p = torch.tensor([[0.9, 0.1], [0.5, 0.5]])
    equal = analytic.demix_weights(p, torch.tensor([0, 0]))
    torch.testing.assert_close(equal, torch.tensor([[1 / 6, 5 / 6]] * 2))  # as 1 - p_c


def test_an_absent_class_gives_nan():
    assert analytic.demix(torch.ones(3, 5), torch.zeros(3), torch.tensor([1])).isnan().all()


@pytest.mark.parametrize("build", [
    lambda s, seed: models.dense(s, seed=seed),
    lambda s, seed: models.dense(s, hidden=(9,), activation="tanh", seed=seed),
    lambda s, seed: models.Rounds([models.dense(s, seed=seed + i) for i in (0, 10)])])
def test_in_the_span_of_its_gradient_a_batch_has_the_same_gradient(build):
    shape, b = Shape(num_classes=6), batch(K=2, B=3, classes=6, dtype=torch.float64)
    model = models.Ensemble([build(shape, seed) for seed in (0, 1)]).double()
    update = client.share(model, b, threat=client.ThreatModel(labels="known"))
    small, V = analytic.in_span(update)
    M = b.images.flatten(2) @ torch.linalg.pinv(V)  # (K, B, B)
    torch.testing.assert_close(M @ V, b.images.flatten(2), rtol=0, atol=1e-7)
    certain = 1e4 * torch.nn.functional.one_hot(b.labels, 6).double()
    dummy = attacks.dummy_gradients(small, M.view(2, 3, 1, 1, 3), certain)
    for n, g in small.gradients.items():
        torch.testing.assert_close(dummy[n], g, rtol=1e-6, atol=1e-9)


def test_equal_labels_do_not_hide_a_batch_from_an_attack_in_the_span():
    update, b = mixed_gradients([1, 1], scale=0.1)
    small, V = analytic.in_span(update)
    search = attacks.dlg(30, line_search=True, relative=True, labels="idlg")
    x = attacks.reconstruct(small, search, 4).images.flatten(2) @ V
    assert metrics.score(x.view_as(b.images), b.images).mse.max() < 1e-6


def test_the_squared_error_of_equal_labels_leaves_a_rotation_of_the_batch_open():
    """dl/dW = 2 (W S + (b - e_c) s^T), S = mean x x^T and s = mean x: Q X with Q^T Q = 1 and
    Q 1 = 1 has the same S and s, so no attack can tell the batches apart."""
    update, b = mixed_gradients([1, 1, 1], loss="mse")
    axis, angle = torch.ones(3, dtype=torch.float64) / 3**0.5, torch.tensor(0.3).double()
    cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3).double()).mT
    Q = torch.linalg.matrix_exp(angle * cross)  # a rotation about (1, 1, 1)
    turned = (Q @ b.images[0].flatten(1)).view_as(b.images[0])
    assert (turned - b.images[0]).abs().max() > 0.05
    certain = 1e4 * torch.nn.functional.one_hot(b.labels, 6).double()
    dummy = attacks.dummy_gradients(update, turned[None], certain)
    for n, g in update.gradients.items():
        torch.testing.assert_close(dummy[n], g, rtol=0, atol=1e-12)
    entropy, _ = mixed_gradients([1, 1, 1])
    dummy = attacks.dummy_gradients(entropy, turned[None], certain)
    assert (dummy["1.weight"] - entropy.gradients["1.weight"]).abs().max() > 1e-6


@pytest.mark.parametrize("model, protocol, B", [
    (models.lenet(Shape()), client.Protocol(), 1), (models.dense(Shape()), client.Protocol(), 4),
    (models.dense(Shape()), client.Protocol(normalise=True), 1)])
def test_what_has_no_span_is_refused(model, protocol, B):
    with pytest.raises(ValueError, match="dense|in \\[0, 1\\]"):
        analytic.in_span(client.share(model, batch(B=B), protocol))


def test_the_readmes_example_of_mixed_batches():
    text = (Path(analytic.__file__).parent / "USING.md").read_text()
    code = text.split("## Mixed batches")[1].split("```python\n")[1].split("```")[0]
    known = {"attacks": attacks, "client": client, "data": data, "metrics": metrics,
             "models": models}
    exec(code, known)
    found, truth = known["found"], known["truth"]
    assert metrics.score(found.float(), truth.images).mse.max() < 1e-5
    assert known["blend"].shape == (3, 2, 64)
