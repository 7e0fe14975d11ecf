"""What `diagnose` says: each check by itself, and tables of honest and misdescribed clients."""

import copy
import re
from dataclasses import replace

import matrix
import pandas as pd
import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, data, defenses, labels, models, objectives

KNOWN = client.ThreatModel(labels="known")


def flagged(update, attack=None, guess=None):
    """check -> measured, of what is not ok; and that every row has its advice, or needs none."""
    table = attacks.diagnose(update, attack, guess)
    assert table.check.is_unique and set(table.verdict) <= {"ok", "warning", "stops"}
    assert ((table["what to do"] == "") == (table.verdict == "ok")).all()
    return dict(table[table.verdict != "ok"].set_index("check").measured)


def times(factor, update):
    """What a client shares whose loss is `factor` times the protocol's."""
    return replace(update, gradients={n: factor * g for n, g in update.gradients.items()})


def of_labels(rows, **kwargs):
    """Three clients with batches of these labels, of 10 classes."""
    b = replace(batch(K=3, B=len(rows), classes=10), labels=torch.tensor(rows).expand(3, -1))
    return client.share(models.lenet(Shape(num_classes=10), init="default"), b, **kwargs)


@pytest.mark.parametrize("victims", [1, 3], ids=["one victim", "ensemble"])
def test_diagnose_finds_nothing_where_nothing_is_wrong(victims):
    model = models.lenet(Shape()) if victims == 1 else models.ensemble(
        models.lenet, Shape(), range(3))
    update = client.share(model, batch(K=victims))
    table = attacks.diagnose(update, attacks.dlg())
    assert list(table.columns) == ["check", "verdict", "measured", "what to do"]
    assert len(table) == 12 and set(table.verdict) == {"ok"}
    guess = attacks.reconstruct(update, attacks.dlg(60, line_search=True), restarts=3)
    exact = replace(guess, images=batch(K=victims).images, labels=batch(K=victims).labels)
    assert len(attacks.diagnose(update, attacks.dlg(), exact)) == 14
    assert flagged(update, attacks.dlg(), exact) == {}


def test_diagnose_measures_the_worst_client():
    update = client.share(models.lenet(Shape()), batch(K=3))
    small = torch.tensor([1, 1e-6, 1e-5])
    g = {n: g * small.view(3, *[1] * (g.dim() - 1)) for n, g in update.gradients.items()}
    measured = flagged(replace(update, gradients=g))["gradient norm"]
    assert "(client 1); 2 of 3 clients" in measured
    g = {n: torch.zeros_like(t) if n == "0.bias" else t for n, t in update.gradients.items()}
    assert flagged(replace(update, gradients=g)) == {
        "tensors without gradient": "1 of 8: 0.bias; 3 of 3 clients"}


def test_diagnose_looks_at_the_layers():
    relu = client.share(models.lenet(Shape(), activation="relu"), batch())
    for attack in (None, attacks.dlg()):
        assert "ReLU" in flagged(relu, attack)["activations"]
    assert flagged(relu, attacks.inverting_gradients(tv=0)) == {}
    shape = (1, 9, 9)
    for mode, found in (("eval", False), ("train", True)):
        model, protocol = models.convnet(Shape(shape), 8, activation="tanh"), client.Protocol(
            mode=mode)
        update = client.share(model, batch(K=1, B=2, shape=shape), protocol)
        assert ("BatchNorm" in flagged(update)) == found
    plain = attacks.diagnose(relu).set_index("check").measured
    assert plain["BatchNorm"] == "none"


def test_diagnose_counts_equations():
    def bound(model, B=1):
        update = client.share(model, batch(K=2, B=B))
        table = attacks.diagnose(update).set_index("check")
        return table.measured["equations"].split()[2], table.verdict["equations"]

    assert bound(models.lenet(Shape()))[1] == "ok"
    few = models.lenet(Shape(), channels=1)
    assert bound(few, 4)[1] == "warning"
    narrow = torch.nn.Sequential(
        torch.nn.Conv2d(1, 2, 4, 4), torch.nn.Sigmoid(), torch.nn.Flatten(),
        torch.nn.Linear(8, 200), torch.nn.Sigmoid(), torch.nn.Linear(200, 4))
    assert bound(narrow) == ("36", "warning")  # 8 + 32 - 4 of 2638 entries, for 64 pixels
    assert bound(models.ensemble(lambda images, seed: narrow, None, range(2))) == bound(narrow)
    entries = client.share(models.dense(Shape()), batch())
    assert f"most {64 * 4 + 4} " in attacks.diagnose(entries).set_index("check").measured.equations


def test_diagnose_sees_repeated_labels():
    known = {"threat": KNOWN}
    for rows, count in (([3], None), ([1, 5, 7], None), ([1, 5, 5], "2"), ([2, 2, 2], "1")):
        for kwargs, how in (({}, "as counted"), (known, "granted")):
            found = flagged(of_labels(rows, **kwargs)).get("repeated labels")
            assert found == (count and f"different labels of 3 images, {how}: {count} (client 0); "
                             "3 of 3 clients")


def test_diagnose_sees_a_loss_of_another_scale():
    one, many = of_labels([4]), of_labels([0, 0, 3])
    assert flagged(one) == {}
    for factor in (0.5, 10, 1.03, -1):
        found = flagged(times(factor, one))
        assert found.keys() == {"scale of the loss"}
        assert found["scale of the loss"].startswith(f"factor {factor:.3g} (client")
    assert "scale of the loss" not in flagged(times(1.005, one))
    assert "scale of the loss" not in flagged(many)
    found = float(flagged(times(3, many))["scale of the loss"].split("at least ")[1].split()[0])
    assert 1 < found <= 3  # a sum over the batch: a lower bound
    advice = dict(attacks.diagnose(times(3, many)).set_index("check")["what to do"])
    assert "the batch size, here 3: divide by that" in advice["scale of the loss"]
    advice = dict(attacks.diagnose(times(30, many)).set_index("check")["what to do"])
    assert "more than a sum over the batch of 3" in advice["scale of the loss"]
    victims = models.ensemble(models.lenet, Shape(), range(4), activation="tanh")
    assert "factor 2" in flagged(times(2, client.share(victims, batch(K=4))))["scale of the loss"]


def test_diagnose_counts_no_labels_of_a_sum():
    summed, alone = times(3, of_labels([2, 2, 7])), times(3, of_labels([2]))
    assert not torch.equal(labels.infer(summed, "analytic"), torch.tensor([[2, 2, 7]] * 3))
    for rule in ("analytic", "uniform"):
        table = attacks.diagnose(summed, attacks.idlg(labels=rule)).set_index("check")
        assert table.verdict["label rule"] == "warning"
        assert table["what to do"]["label rule"].startswith("Counts assume the mean loss: divide")
        assert table.measured["repeated labels"].startswith("not to be counted before the scale")
        assert "label rule" not in flagged(of_labels([2, 2, 7]), attacks.idlg(labels=rule))
        assert "label rule" not in flagged(alone, attacks.idlg(labels=rule))
    mean = labels.infer(of_labels([2, 2, 7]), "wainakh")
    assert torch.equal(labels.infer(summed, "wainakh"), mean)
    assert "label rule" not in flagged(summed, attacks.idlg(labels="wainakh"))  # knows no scale
    granted = times(3, of_labels([2, 2, 7], threat=KNOWN))
    assert "granted: 2" in flagged(granted, attacks.idlg(labels="analytic"))["repeated labels"]
    noisy = of_labels([2, 2, 7], defense=defenses.GaussianNoise(1e-6))
    assert "not to be counted" in flagged(times(3, noisy))["repeated labels"]
    assert "as counted" in flagged(noisy)["repeated labels"]


def test_diagnose_sees_missing_moments():
    update = replace(client.share(models.lenet(Shape()), batch()), mean=None, std=None)
    table = attacks.diagnose(update, attacks.inverting_gradients()).set_index("check")
    assert table.verdict["mean and std"] == "stops"
    assert "mean and std" not in set(attacks.diagnose(update, attacks.dlg()).check)
    with pytest.raises(ValueError, match="needs mean and std"):
        attacks.reconstruct(update, attacks.inverting_gradients(1))


def test_diagnose_words():
    b = batch(K=1, B=2)
    steps = client.Protocol(local_lr=0.1, sends="weights", epochs=3)
    measured = [dict(attacks.diagnose(client.share(models.lenet(Shape()), b, p)).set_index(
        "check").measured) for p in (steps, None)]
    assert "bound behind convolutions holds for one step" in measured[0]["equations"]
    assert measured[1]["equations"].endswith("pixels")
    update = client.share(models.lenet(Shape()), b)
    assert "tensors without gradient" not in set(attacks.diagnose(times(0, update)).check)
    normed = client.share(models.convnet(Shape((1, 9, 9)), 8), batch(shape=(1, 9, 9)))
    said = dict(attacks.diagnose(normed).set_index("check").measured)["BatchNorm"]
    assert said == "stored statistics, as the protocol says"


def test_diagnose_sees_a_wrong_learning_rate():
    for lr in (0.1, 1e-3):
        sent = of_labels([4], protocol=client.Protocol(local_lr=lr, sends="weights"))
        assert "scale of the loss" not in flagged(sent)
        wrong = replace(sent, protocol=client.Protocol(local_lr=2 * lr, sends="weights"))
        assert "factor 0.5" in flagged(wrong)["scale of the loss"]
    coarse = client.Protocol(local_lr=1e-6, sends="weights")  # the weights' last bits
    assert "scale of the loss" not in flagged(of_labels([4], protocol=coarse))
    for lr in (0.03, 1e-3):
        steps = client.Protocol(local_lr=lr, sends="weights", epochs=3)
        sent = of_labels([4], protocol=steps)
        assert "scale of the loss" not in flagged(sent)
    as_one = flagged(replace(sent, protocol=replace(steps, epochs=1)))["scale of the loss"]
    assert "factor 3" in as_one


@pytest.mark.parametrize("rows", [[4], [0, 0, 3]])
def test_diagnose_says_what_no_factor_explains(rows):
    noise = defenses.GaussianNoise(1e-3)
    said = flagged(of_labels(rows, defense=noise))["scale of the loss"]
    assert re.match(r"[\d.]+ % \(client \d\) of the last bias's gradient does not fit", said)
    mse = of_labels(rows, protocol=client.Protocol(loss="mse"))
    assert "scale of the loss" not in set(attacks.diagnose(mse).check)  # it cannot be made
    assert "scale of the loss" in flagged(replace(mse, protocol=client.Protocol()))
    other = models.lenet(Shape(num_classes=10), seed=1)
    if len(rows) == 1:  # the gradient of one model, at the weights of another
        assert "does not fit" in flagged(replace(of_labels(rows), model=other))["scale of the loss"]


def test_diagnose_suspects_pruning():
    pruned = {"defense": defenses.GradPrune(0.3)}
    assert "zeros in the update" in flagged(of_labels([4], **pruned))
    assert "zeros in the update" not in flagged(of_labels([4]))
    named = of_labels([4], threat=client.ThreatModel(defense_known=True), **pruned)
    assert flagged(named)["defense"] == "GradPrune(p=0.3)"
    assert "defense" not in flagged(of_labels([4], threat=client.ThreatModel(defense_known=True)))
    b = batch(K=2)
    b.images[..., :4] = 0  # black pixels clear whole columns, which is no pruning
    dense = client.share(models.dense(Shape(), (30,)), b)
    assert (dense.gradients["1.weight"] == 0).float().mean() > 0.4
    assert "zeros in the update" not in flagged(dense)


def test_diagnose_looks_at_a_reconstruction():
    b = batch(K=2)
    update, attack = client.share(models.lenet(Shape()), b), attacks.dlg(5)
    guess = attacks.reconstruct(update, attack, restarts=3)
    exact = replace(guess, images=b.images, labels=b.labels)
    size = "size of the reconstruction's gradient"
    assert size not in flagged(update, attack, exact)
    half = times(0.5, update)
    assert flagged(half, attack, exact)[size].startswith("2 (client")
    assert repr(exact).startswith("Reconstruction(images (2, 1, 1, 8, 8), K=2 clients, R=3 rest")
    assert len(repr(exact)) < 200
    for distance in (objectives.cosine, objectives.layer_cosine):
        for objective in (distance, objectives.masked(distance)):
            table = attacks.diagnose(half, replace(attack, objective=objective), exact)
            row = table.set_index("check").loc[size]
            assert row.verdict == "ok" and row.measured.endswith("(the cosine does not fix it)")
    assert size in flagged(half, replace(attack, objective=objectives.masked(objectives.l2)), exact)
    guess.history.losses[3:, 1, 2] = torch.nan
    guess.history.losses[2:, 1, 0] = torch.inf
    found = flagged(update, attack, exact)["non-finite values"]
    assert found == "2 of 6 restarts diverged; 1 of 2 clients"
    update = client.share(models.lenet(Shape(), activation="relu"), b)
    wild = attacks.reconstruct(update, attacks.dlg(5, lr=1e38), restarts=3)
    assert "of 6 restarts diverged" in flagged(update, attack, wild)["non-finite values"]


def test_an_update_of_plain_pytorch_is_audited(tmp_path):
    b, model = batch(), models.lenet(Shape())
    losses = {"mean": 1.0, "half": 0.5}
    for name, weight in losses.items():
        model.zero_grad()
        (weight * torch.nn.functional.cross_entropy(model(b.images[0]), b.labels[0])).backward()
        sent = [p.grad.clone() for p in model.parameters()]
        update = client.SharedUpdate.from_gradients(model, sent, shape=(1, 8, 8), num_classes=4)
        update.save(tmp_path / name)
        update = client.SharedUpdate.load(tmp_path / name, models.lenet(Shape(), seed=9))
        found = flagged(update, attacks.idlg())
        assert found == ({} if weight == 1 else {"scale of the loss": "factor 0.5"})
    sent[2][0] = torch.nan
    with pytest.raises(ValueError, match=r"2\.weight.*NaN.*check the client's loss"):
        client.SharedUpdate.from_gradients(model, sent, shape=(1, 8, 8), num_classes=4)


def test_diagnose_sees_a_train_mode_that_the_protocol_denies():
    model = nn.Sequential(nn.Conv2d(1, 6, 3), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Flatten(),
                          nn.Linear(6 * 36, 4))
    b = batch(K=1, B=4)
    found = {}
    for mode in ("train", "eval"):
        model.train(mode == "train").zero_grad()
        nn.functional.cross_entropy(model(b.images[0]), b.labels[0]).backward()
        grads = [p.grad.clone() for p in model.parameters()]
        u = client.SharedUpdate.from_gradients(
            model, grads, shape=(1, 8, 8), num_classes=4, batch_size=4)
        found[mode] = attacks.diagnose(u).set_index("check").verdict["mode"]
    assert found == {"train": "warning", "eval": "ok"}


def test_diagnose_measures_a_gradient_and_not_the_length_of_the_steps():
    small = client.Protocol(sends="weights", local_lr=1e-5)
    u = client.share(models.lenet(Shape()).double(), batch(K=1, dtype=torch.float64), small)
    table = attacks.diagnose(u).set_index("check")
    norm = sum(g.square().sum() for g in u.gradients.values()) ** 0.5
    assert norm < 1e-3 and table.verdict["gradient norm"] == "ok"
    assert float(table.measured["gradient norm"]) == pytest.approx(float(norm) / 1e-5, rel=1e-2)


# ---- tables of honest and misdescribed clients (tests/matrix.py)

def committed(name):
    file = matrix.HERE / f"diagnose_{name}.csv"
    return pd.read_csv(file, keep_default_na=False, dtype=str)


def as_text(table):
    return table.astype(str).reset_index(drop=True)


def test_no_honest_client_is_blamed_and_every_misdescribed_one_is():
    honest, misdescribed = committed("honest"), committed("misdescribed")
    assert len(honest) == len(matrix.honest_cases()) and set(honest.blame) == {""}
    assert list(misdescribed["what is wrong"]) == list(matrix.misdescribed_cases())
    assert set(misdescribed["right"]) == {"True"}


def test_a_part_of_the_tables_is_what_the_code_gives():
    honest, misdescribed = committed("honest"), committed("misdescribed")
    rows = range(5, len(honest), 39)
    pd.testing.assert_frame_equal(as_text(matrix.honest_table(
        [matrix.honest_cases()[i] for i in rows])), honest.iloc[list(rows)].reset_index(drop=True))
    rows = range(2, len(misdescribed), 12)
    pd.testing.assert_frame_equal(as_text(matrix.misdescribed_table(
        [list(matrix.misdescribed_cases())[i] for i in rows])),
        misdescribed.iloc[list(rows)].reset_index(drop=True))


@pytest.mark.slow
def test_the_tables_are_what_the_code_gives():
    pd.testing.assert_frame_equal(as_text(matrix.honest_table()), committed("honest"))
    pd.testing.assert_frame_equal(as_text(matrix.misdescribed_table()), committed("misdescribed"))


@pytest.mark.parametrize("lr, epochs", [(0.05, 20), (0.02, 5), pytest.param(
    None, None, marks=pytest.mark.slow)])
def test_local_steps_of_an_honest_client_are_not_taken_for_another_scale(lr, epochs):
    """One photograph a client, a sigmoid network: the factor of equal gradients falls to 0.05."""
    photos = data.load("photos", size=16)
    ways = [(lr, epochs)] if lr else [(a, n) for a in (0.05, 0.02, 0.01, 0.001) for n in (2, 5, 20)]
    for rate, n in ways:
        for k in range(6):
            torch.manual_seed(k)
            b = photos.clients(6)
            net = nn.Sequential(nn.Conv2d(3, 12, 5, 2, 2), nn.Sigmoid(), nn.Flatten(),
                                nn.Linear(768, 10))
            change = matrix.sent(net, b.images[k], b.labels[k], steps=n, lr=rate)
            update = client.SharedUpdate.from_gradients(
                net, change, matrix.protocol_of(n, lr=rate), shape=(3, 16, 16), num_classes=10)
            assert "scale of the loss" not in flagged(update), (rate, n, k)
            assert "scale of the loss" in flagged(times(2, update)), (rate, n, k)


# ---- rows by themselves

LEFT = "what is left of the objective"


def test_diagnose_says_that_an_attack_did_not_match():
    b = batch(K=2)
    update = client.share(models.lenet(Shape()), b)
    guess = attacks.reconstruct(update, attacks.idlg(1))
    grey = replace(guess, images=torch.full_like(b.images, 0.5))
    exact = replace(guess, images=b.images, labels=b.labels)
    for attack in (None, attacks.idlg(1), attacks.idlg(1, stop=None, labels="idlg_bias"),
                   attacks.inverting_gradients(1)):
        assert LEFT not in flagged(update, attack, exact)
    attack = attacks.idlg(1)
    dummy = attacks.dummy_gradients(update, grey.images, 1e4 * nn.functional.one_hot(
        guess.labels, 4).float())
    relative = [float(objectives.l2(*({n: t[k] for n, t in g.items()} for g in (
        dummy, update.gradients)))) / float(sum(
            t[k].square().sum() for t in update.gradients.values())) for k in range(2)]
    said = flagged(update, attack, grey)[LEFT]
    assert float(said.split()[0]) == pytest.approx(max(relative), rel=0.01)
    # The same of an objective times a factor, or of one that zero gradients say nothing about.
    scaled = replace(attack, objective=objectives.scaled(objectives.l2, 1e4))
    assert flagged(update, scaled, grey)[LEFT].split()[0] == said.split()[0]
    start = grey.history.losses[0].amin(1)
    odd = replace(attack, objective=lambda dummy, shared: objectives.l2(
        dummy, shared) / (dummy["0.weight"] != 0).any())
    at_zero = flagged(update, odd, grey)[LEFT]
    sizes = torch.stack([t.flatten(1).square().sum(1) for t in update.gradients.values()]).sum(0)
    expected = (torch.tensor(relative) * sizes / start).max()
    assert float(at_zero.split()[0]) == pytest.approx(float(expected), rel=0.01)


def test_diagnose_says_why_the_runs_ended():
    update = client.share(models.lenet(Shape()), batch(K=2))
    guess = attacks.reconstruct(update, attacks.idlg(1))
    guess.images[:] = 0
    guess.ended = [["budget"], ["tolerance"]]
    table = attacks.diagnose(update, attacks.idlg(1), guess).set_index("check").loc[LEFT]
    assert "runs ended: 1 budget, 1 tolerance" in table.measured
    assert "give more iterations" in table["what to do"] and "scale=1e4" in table["what to do"]
    guess.ended = [["not finite"], ["not finite"]]
    assert "diverged" in attacks.diagnose(update, attacks.idlg(1), guess).set_index("check").loc[
        LEFT]["what to do"]


def test_an_optimised_label_is_judged_by_the_runs_own_loss():
    update = client.share(models.lenet(Shape()), batch(K=2))
    guess = attacks.reconstruct(update, attacks.dlg(1))
    guess.images[:] = 0
    unmatched = replace(guess, loss=torch.full_like(guess.loss, 10.0))
    assert LEFT in flagged(update, attacks.dlg(1), unmatched)
    matched = replace(guess, loss=torch.full_like(guess.loss, 1e-9))
    assert LEFT not in flagged(update, attacks.dlg(1), matched)
    assert LEFT in flagged(update, attacks.idlg(1), matched)  # its labels are hard


def normed(norm=True):
    torch.manual_seed(0)
    return matrix.network(norm, nn.Sigmoid).eval()


def test_a_convolution_without_gradient_or_a_tiny_one_is_no_train_mode():
    b = matrix.private(4)
    for mode in ("eval", "train"):
        told = matrix.update_of(normed(), b.images, b.labels, client.Protocol(), mode=mode)
        assert ("mode" in flagged(told)) == (mode == "train")
        tiny = flagged(times(1e-12, told))
        assert ("mode" in tiny) == (mode == "train") and "gradient norm" in tiny
        frozen = replace(told, gradients={
            n: 0 * g if n == "0.weight" else g for n, g in told.gradients.items()})
        assert ("mode" in flagged(frozen)) == (mode == "train")
    none = replace(told, gradients={n: 0 * g if g.dim() == 5 else g
                                    for n, g in told.gradients.items()})
    assert "mode" not in set(attacks.diagnose(none).check)


def test_a_sure_network_can_have_gradients():
    """Every simulated image of the read label is classified as it: no gradient at all."""
    model = models.dense(Shape())
    with torch.no_grad():
        model[-1].bias[0] += 200
    b = replace(batch(K=2), labels=torch.tensor([[0], [1]]))
    update = client.share(model, b)
    assert not update.gradients["1.weight"][0].any()
    assert "gradients where the model can have none" not in flagged(update)
    sure = replace(update, gradients={n: 0 * g + 1e-3 for n, g in update.gradients.items()})
    assert "gradients where the model can have none" not in flagged(sure)


def test_diagnose_names_the_layers_of_a_partial_update():
    b, net = matrix.private(1), normed(False)
    given = matrix.update_of(net, b.images, b.labels, client.Protocol())
    assert "layers in the update" not in set(attacks.diagnose(given).check)
    some = {n: g for n, g in given.gradients.items() if n != "2.bias"}
    part = client.SharedUpdate.from_gradients(net, some, shape=matrix.SHAPE, num_classes=10)
    assert flagged(part)["layers in the update"] == "5 of 6, without 2.bias"
    body = client.SharedUpdate.from_gradients(
        net, {n: g for n, g in some.items() if n[0] == "0"}, shape=matrix.SHAPE, num_classes=10)
    guess = attacks.reconstruct(body, attacks.dlg(1))
    said = flagged(body, attacks.dlg(1), guess)["layers in the update"]
    assert said.startswith("2 of 6, without 2.weight, 2.bias")


def test_diagnose_sees_what_the_buffers_of_a_message_give_away():
    b, net = matrix.private(4), normed()
    for mode, steps, words in (("train", 1, "of the private batch, exactly"),
                               ("train", 3, "mixture"), ("eval", 1, None)):
        own = copy.deepcopy(net).train(mode == "train")
        optimiser = torch.optim.SGD(own.parameters(), lr=0.02)
        for _ in range(steps):
            optimiser.zero_grad()
            nn.functional.cross_entropy(own(b.images[0]), b.labels[0]).backward()
            optimiser.step()
        update = client.SharedUpdate.from_weights(
            net.state_dict(), own.state_dict(), net, matrix.protocol_of(steps, mode),
            shape=matrix.SHAPE, num_classes=10, batch_size=4)
        found = flagged(update).get("buffers in the message")
        table = attacks.diagnose(update).set_index("check")["what to do"]
        assert ("with_statistics" in table["buffers in the message"]) == (
            (mode, steps) == ("train", 1))
        assert found is None if words is None else words in found
        table = attacks.diagnose(update).set_index("check")["what to do"]
        to_be_had = client.buffer_evidence(update).statistics is not None
        assert ("with_statistics" in table["buffers in the message"]) == to_be_had
    assert "buffers in the message" not in flagged(client.share(net, batch(
        shape=matrix.SHAPE, classes=10)))


def test_the_batch_size_is_told_by_negative_entries_and_by_the_rank():
    b = replace(batch(K=2, B=3, classes=6), labels=torch.tensor([[0, 2, 5], [1, 3, 4]]))
    update = client.share(models.lenet(Shape(num_classes=6), init="default"), b)
    assert "negative entries of the last bias's gradient: 3" in flagged(
        replace(update, batch_size=2))["batch size"]
    same = replace(b, labels=torch.ones(2, 3).long())
    one = client.share(models.lenet(Shape(num_classes=6)), same)
    assert "rank of the last layer's gradient: 3" in flagged(
        replace(one, batch_size=1))["batch size"]
    for told in (update, one):
        assert "batch size" not in flagged(told)
    for defense in (defenses.GaussianNoise(1e-3), defenses.GradPrune(0.5)):
        noisy = client.share(models.lenet(Shape(num_classes=6)), same, defense=defense)
        assert "batch size" not in flagged(noisy), defense
    no_bias = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Sigmoid(),
                            nn.Linear(16, 6, bias=False))
    torch.manual_seed(0)
    bare = client.share(no_bias, b)
    assert "batch size" not in flagged(bare)
    assert "row sums" in flagged(replace(bare, batch_size=2))["batch size"]


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("seed", range(3))
def test_the_scale_of_a_batch_of_two_classes_cannot_be_told(seed, mode):
    """Its bias gradient is one number: the labels of a mean, or other labels of another scale."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(),
                        nn.Linear(64, 2))
    b = data.Batch(torch.rand(1, 6, 3, 8, 8), torch.tensor([[0, 1, 1, 0, 1, 0]]), 2)
    update = client.share(net, b, client.Protocol(mode=mode))
    assert "scale of the loss" not in flagged(update)
    summed = times(1000.0, update)
    assert "scale of the loss" in flagged(summed)


class _Activated(nn.BatchNorm2d):
    """A BatchNorm with a forward pass of its own, as in timm: it stays as it is."""

    def forward(self, x):
        return super().forward(x).sigmoid()


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_a_batch_norm_of_ones_own_is_one(mode):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 6, 3), _Activated(6), nn.Flatten(), nn.Linear(216, 4))
    table = attacks.diagnose(client.share(net, batch(K=2, B=3), client.Protocol(mode=mode)))
    row = table[table.check == "BatchNorm"].iloc[0]
    assert row.verdict == ("warning" if mode == "train" else "ok")
    assert row.measured.startswith("train mode" if mode == "train" else "stored statistics")
    assert (table[table.check == "mode"].verdict == "ok").all()
