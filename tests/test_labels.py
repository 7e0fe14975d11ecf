"""Each rule is right where its assumptions hold, refuses where they do not, and bears odd input."""

from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, labels, models

ONE = {"idlg", "idlg_bias", "idlg_products"}  # for one image
MANY = {"wainakh", "analytic", "uniform"}  # for counts


def sorted_rows(x):
    return x.sort(-1).values


def of(K, rows, classes, seed=0):
    """A batch of random images whose labels are `rows` (B,), the same for every client."""
    b = batch(K=K, B=len(rows), classes=classes, seed=seed)
    return replace(b, labels=torch.tensor(rows).expand(K, -1).contiguous())


def headless(activation, bias, classes=10, seed=0):
    """A LeNet whose last layer may lack its bias."""
    model = models.lenet(Shape(num_classes=classes), activation=activation, seed=seed)
    model[-1].bias = model[-1].bias if bias else None
    return model


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("activation", ["sigmoid", "relu"])
@pytest.mark.parametrize("rule", labels.RULES)
def test_every_single_label_is_right_after_a_non_negative_activation(rule, activation, bias):
    b = batch(K=60, classes=10)
    update = client.share(headless(activation, bias), b)
    if not bias and "bias" in labels.RULES[rule].needs:
        with pytest.raises(client.AssumptionError, match="a bias"):
            labels.infer(update, rule)
        with pytest.raises(ValueError, match="no bias"):
            labels.infer(update, rule, enforce=False)
    else:
        assert torch.equal(labels.infer(update, rule), b.labels)


@pytest.mark.parametrize("build", [
    lambda s: models.dense(s, hidden=(12,)), lambda s: models.dense(s, hidden=(12,), init="normal"),
    lambda s: models.resnet(s, 8, 4), lambda s: models.convnet(s, 4),
    lambda s: models.ensemble(models.lenet, s, range(30), init="default"),
], ids=["dense", "dense, wide weights", "resnet", "convnet", "ensemble"])  # fmt: skip
def test_for_any_network_that_ends_in_a_dense_layer(build):
    b = batch(K=30, classes=10, shape=(1, 9, 9))
    update = client.share(build(Shape((1, 9, 9), 10)), b)
    for rule in ONE | MANY | {"yin"}:
        assert torch.equal(labels.infer(update, rule), b.labels), rule


def test_one_dense_layer_reads_its_labels_off_non_negative_pixels():
    b = batch(K=30, classes=10)
    update = client.share(models.dense(Shape(num_classes=10)), b)
    with pytest.raises(client.AssumptionError, match="non-negative"):
        labels.infer(update, "idlg")  # its features are the input, which a model knows no range of
    assert torch.equal(labels.infer(update, "idlg", enforce=False), b.labels)


@pytest.mark.parametrize("activation", ["tanh", "gelu"])
def test_negative_features_are_refused_by_the_rules_that_sum_them(activation):
    b = batch(K=60, classes=10)
    update = client.share(headless(activation, True), b)
    for rule in ("idlg", "yin", "wainakh"):
        with pytest.raises(client.AssumptionError, match="non-negative"):
            labels.infer(update, rule)
    for rule in ("idlg_bias", "idlg_products", "analytic"):
        assert torch.equal(labels.infer(update, rule), b.labels), rule
    if activation == "tanh":  # and rightly so: the sign of a row sum is that of the features' sum
        many = models.ensemble(models.lenet, Shape(num_classes=10), range(60), activation="tanh")
        wrong = labels.infer(client.share(many, b), "idlg", enforce=False) != b.labels
        assert 0.2 < wrong.float().mean() < 0.8


def test_the_rule_of_products_needs_three_classes():
    update = client.share(models.lenet(Shape(num_classes=2)), batch(K=4, classes=2))
    with pytest.raises(client.AssumptionError, match="three classes"):
        labels.infer(update, "idlg_products")
    assert torch.equal(labels.infer(update, "idlg"), batch(K=4, classes=2).labels)


def test_batches_are_refused_by_the_rules_for_one_image():
    update = client.share(models.lenet(Shape(num_classes=10)), batch(K=2, B=3, classes=10))
    for rule in ONE | {"yin"}:
        words = r"give the labels \(labels=\.\.\. with ThreatModel\(labels='known'\)\), or optimise"
        with pytest.raises(client.AssumptionError, match=words):
            labels.infer(update, rule)


def test_what_the_client_computed_is_part_of_the_assumptions():
    model, b = models.lenet(Shape(num_classes=10)), batch(K=2, classes=10)
    for loss in ("mse", "mse_softmax"):
        other = client.share(model, b, client.Protocol(loss=loss))
        for rule in labels.RULES:
            with pytest.raises(client.AssumptionError, match="cross-entropy"):
                labels.infer(other, rule)
    steps = client.Protocol(local_lr=0.1, sends="weights", epochs=2)
    with pytest.raises(client.AssumptionError, match="one local step"):
        labels.infer(client.share(model, b, steps), "analytic")


def test_a_weight_difference_is_turned_round():
    b = of(20, [3, 3, 7, 1], 10)
    model = models.lenet(Shape(num_classes=10), init="default")
    gradient = client.share(model, b)
    sent = client.share(model, b, client.Protocol(local_lr=0.05, sends="weights"))
    for rule in MANY:
        assert torch.equal(sorted_rows(labels.infer(sent, rule)), sorted_rows(b.labels)), rule
        assert torch.equal(labels.infer(sent, rule), labels.infer(gradient, rule)), rule
    steps = client.Protocol(local_lr=0.01, sends="weights", epochs=3, local_batch=2)
    split = client.share(model, b, steps)
    assert torch.equal(sorted_rows(labels.infer(split, "wainakh")), sorted_rows(b.labels))


def test_one_label_granted():
    b = of(4, [2, 2, 2], 4)
    update = client.share(models.lenet(Shape()), b, threat=client.ThreatModel(labels="equal"))
    for rule in ("idlg", "idlg_bias", "wainakh", "analytic"):
        assert torch.equal(labels.infer(update, rule), b.labels), rule


def test_no_label_twice_granted():
    b, unique = batch(K=20, B=6, classes=20), client.ThreatModel(labels="unique")
    model = models.lenet(Shape(num_classes=20), init="default")
    update = client.share(model, b, threat=unique)
    assert torch.equal(sorted_rows(labels.infer(update, "yin")), sorted_rows(b.labels))
    with pytest.raises(ValueError, match="twice"):
        client.share(model, of(1, [0, 0], 20), threat=unique)


def test_repeated_labels_are_counted():
    rows = [5, 5, 5, 2, 2, 9, 0, 0]
    for rule in MANY:
        update = client.share(models.lenet(Shape(num_classes=20), init="default"), of(10, rows, 20))
        assert torch.equal(sorted_rows(labels.infer(update, rule)),
                           sorted_rows(torch.tensor(rows).expand(10, -1))), rule


def test_more_images_than_classes():
    rows = [0] * 9 + [1] * 2 + [2] * 5
    update = client.share(models.lenet(Shape(num_classes=4), init="default"), of(6, rows, 4))
    assert torch.equal(sorted_rows(labels.infer(update, "analytic")),
                       torch.tensor(rows).expand(6, -1))
    assert labels.infer(update, "wainakh").shape == (6, 16)
    with pytest.raises(client.AssumptionError):
        labels.infer(update, "yin")
    with pytest.raises(ValueError, match="16 images"):
        labels.infer(update, "yin", enforce=False)


def test_counts_of_a_saturated_softmax():
    rows = [1, 1, 1, 4, 4, 6]
    model = models.lenet(Shape(num_classes=10), scale=1.0)  # p of one class near 1
    update = client.share(model, of(10, rows, 10))
    assert torch.equal(sorted_rows(labels.infer(update, "analytic")),
                       torch.tensor(rows).expand(10, -1))


def layer(weight, bias=None, B=1):
    weight = torch.tensor(weight, dtype=torch.float32)[None]
    bias = None if bias is None else torch.tensor(bias, dtype=torch.float32)[None]
    C, F = weight.shape[1:]
    W, b, features = torch.zeros(1, C, F), torch.zeros(1, C), torch.ones(16, F)
    return labels.LastLayer(weight, bias, W, b, features, B)


def test_rules_on_layers_worked_out_by_hand():
    def read(rule, *args, **kwargs):
        return labels.RULES[rule].read(layer(*args, **kwargs))[0].tolist()

    assert read("idlg", [[-5, 9], [-1, -1]]) == [1]  # sums 4, -2
    assert read("yin", [[-5, 9], [-1, -1]]) == [0]  # minima -5, -1
    assert read("yin", [[0, 4], [0, 2], [0, 3]]) == [1]  # minima tie: the smallest sum
    assert read("idlg_products", [[1, -2], [-2, 4], [1, -2]]) == [1]
    # Every negative row has a label for certain; by size alone it would be 0, 0, 1.
    assert read("wainakh", [[-0.8], [-0.1], [-0.1]], B=3) == [0, 1, 2]
    # The impact is 1.2 (1 + 1/3) / 4 = 0.4: 0 and 1, then 1 and 0; were it 1.2 / 4, 1 twice.
    assert read("wainakh", [[-0.4], [-0.8], [0.1]], B=4) == [0, 0, 1, 1]
    # Features 1, W = 0, b = 0, C = 2: p = 1/2 everywhere, so n_0 = 4 (1/2 - (-1/4)) = 3.
    assert read("analytic", [[-0.25], [0.25]], [-0.25, 0.25], B=4) == [0, 0, 0, 1]
    assert read("uniform", [[-0.25], [0.25]], [-0.25, 0.25], B=4) == [0, 0, 0, 1]


def test_uneven_local_steps_are_refused():
    steps = client.Protocol(local_lr=0.1, sends="weights", local_batch=4)
    update = client.share(models.lenet(Shape()), batch(K=2, B=5), steps)
    with pytest.raises(client.AssumptionError, match="equally many"):
        labels.infer(update, "wainakh")


def test_the_last_layer_is_found_by_what_it_computes():
    class HeadFirst(nn.Module):
        def __init__(self):
            super().__init__()
            self.head, self.body = nn.Linear(8, 4), nn.Linear(64, 8)

        def forward(self, x):
            return self.head(torch.sigmoid(self.body(x.flatten(1))))

    torch.manual_seed(0)
    b = batch(K=5)
    update = client.share(HeadFirst(), b)
    for rule in labels.RULES:
        assert torch.equal(labels.infer(update, rule), b.labels), rule


def test_ties_go_to_the_smaller_class():
    update = client.share(models.lenet(Shape()), batch(K=2))
    nothing = replace(update, gradients={n: 0 * g for n, g in update.gradients.items()})
    for rule in ("idlg", "idlg_bias", "idlg_products", "yin", "wainakh", "uniform"):
        assert (labels.infer(nothing, rule) == 0).all(), rule
    table = attacks.diagnose(nothing, attacks.idlg()).set_index("check")
    assert table.verdict["label rule"] == "warning" and "a guess" in table.measured["label rule"]
    assert table.verdict["gradient norm"] == "stops"
    assert labels.infer(nothing, "analytic").shape == (2, 1)


def test_nan_never_reaches_a_rule():
    update = client.share(models.lenet(Shape()), batch(K=2))
    bad = {n: torch.where(g == g.max(), torch.nan, g) for n, g in update.gradients.items()}
    with pytest.raises(ValueError, match="NaN.*learning rate"):
        replace(update, gradients=bad)


def test_a_rule_of_ones_own():
    def argmin(layer):
        return layer.bias.argmin(-1)

    with pytest.raises(ValueError, match="unknown needs"):
        labels.Rule("mine", ("one_imag",), argmin)
    b = batch(K=3)
    update = client.share(models.lenet(Shape()), b)
    mine = labels.Rule("mine", ("one_image",), lambda layer: argmin(layer)[:, None])
    for rule, words in ((labels.Rule("mine", (), argmin), "instead of"), (mine, None)):
        labels.RULES["mine"] = rule
        try:
            if words:
                with pytest.raises(ValueError, match=words):
                    labels.infer(update, "mine")
            else:
                guess = attacks.reconstruct(update, attacks.idlg(2, labels="mine"))
                assert torch.equal(guess.labels, b.labels)
        finally:
            del labels.RULES["mine"]


def test_granted_labels_go_before_any_rule():
    b = batch(K=2, B=3)
    update = client.share(models.lenet(Shape(), activation="tanh"), b,
                          threat=client.ThreatModel(labels="known"))
    assert torch.equal(labels.infer(update, "idlg"), b.labels)


def test_a_model_without_a_dense_last_layer_is_refused():
    convolution = nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    after = nn.Sequential(nn.Flatten(), nn.Linear(64, 4), nn.Sigmoid())
    frozen = models.lenet(Shape())
    frozen[-1].requires_grad_(False)
    for model in (convolution, after, frozen):
        with pytest.raises(ValueError, match="dense layer"):
            labels.infer(client.share(model, batch()))
    with pytest.raises(ValueError, match="unknown label rule"):
        labels.infer(client.share(models.lenet(Shape()), batch()), "guess")


def test_an_update_in_another_order_is_read_alike():
    b, model = batch(K=5), models.lenet(Shape())
    update = client.share(model, b)
    turned = replace(update, gradients=dict(reversed(update.gradients.items())))
    for rule in labels.RULES:
        assert torch.equal(labels.infer(turned, rule), b.labels), rule


@pytest.mark.parametrize("rule", labels.RULES)
def test_an_attack_takes_any_rule(rule):
    b = batch(K=2)
    update = client.share(models.lenet(Shape()), b)
    for attack in (attacks.idlg(2, labels=rule), attacks.dlg(2, labels=rule, in_turn=True),
                   attacks.inverting_gradients(2, labels=rule)):
        assert torch.equal(attacks.reconstruct(update, attack).labels, b.labels)


def test_diagnose_says_when_a_rule_has_no_right_to_be_used():
    update = client.share(models.lenet(Shape(), activation="tanh"), batch(K=2))
    row = attacks.diagnose(update, attacks.idlg()).set_index("check").loc["label rule"]
    assert row.verdict == "stops" and "non-negative" in row["what to do"]
    fine = attacks.diagnose(update, attacks.idlg(labels="idlg_bias")).set_index("check")
    assert set(fine.verdict) == {"ok"} and fine.measured["label rule"] == "idlg_bias"
    granted = client.share(models.lenet(Shape(), activation="tanh"), batch(K=2),
                           threat=client.ThreatModel(labels="known"))
    assert set(attacks.diagnose(granted, attacks.idlg()).verdict) == {"ok"}


def test_idlg_with_joint_labels_is_dlg():
    update = client.share(models.lenet(Shape()), batch(K=2))
    a, b = (attacks.reconstruct(update, one) for one in
            (attacks.dlg(5), attacks.idlg(5, labels="joint", stop=None)))
    assert torch.equal(a.images, b.images)


def test_the_official_stop_looks_every_tenth_iteration():
    update = client.share(models.lenet(Shape()), batch(K=6))
    record = range(41)
    free = attacks.reconstruct(update, attacks.idlg(40, stop=None), record=record)
    stopped = attacks.reconstruct(update, attacks.idlg(40, stop=1e-6), record=record)
    below = free.history.losses < 1e-6  # (41, K, 1)
    assert below[[11, 21, 31]].any()
    for k in range(6):
        looked = [i for i in (1, 11, 21, 31) if below[i, k, 0]]
        end = looked[0] if looked else 40
        torch.testing.assert_close(stopped.last[k, 0], free.history.images[end][k, 0])
    for bad in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="stop"):
            attacks.idlg(stop=bad)
    with pytest.raises(ValueError, match="stop"):
        replace(attacks.inverting_gradients(), stop=1e-6)
