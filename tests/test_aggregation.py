"""The mean of several clients' updates: what it is, what is refused, and attacks on it."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import Shape, batch
from torch.nn.functional import cross_entropy

from lib import attacks, audit, client, data, defenses, labels, models
from lib.audit import rehearsal
from lib.engine import evaluator

KNOWN = client.ThreatModel(labels="known")
LOCAL = client.Protocol(local_lr=0.05, sends="weights", epochs=2, local_batch=1)


def joined(b) -> data.Batch:
    """The images of all clients as one batch."""
    return replace(b, images=b.images.flatten(0, 1)[None], labels=b.labels.flatten()[None],
                   indices=None)


def of_each(update) -> list:
    return [replace(update, gradients={n: g[k:k + 1] for n, g in update.gradients.items()},
                    labels=None if update.labels is None else update.labels[k:k + 1])
            for k in range(len(update))]


def near(a, b, tolerance=1e-6) -> None:
    assert a.keys() == b.keys()
    for name, value in a.items():
        torch.testing.assert_close(value, b[name], rtol=0, atol=tolerance * float(b[name].norm()))


@pytest.mark.parametrize("build", [models.lenet, models.resnet])
def test_the_mean_of_single_images_is_the_gradient_of_their_batch(build):
    model, b = build(Shape()), batch(K=4, B=1)
    mean = client.aggregate(client.share(model, b, threat=KNOWN))
    whole = client.share(model, joined(b), threat=KNOWN)
    near(mean.gradients, whole.gradients)
    assert torch.equal(mean.labels, whole.labels) and mean.batch_size == 4 and len(mean) == 1


def test_weights_and_numbers_of_images_are_respected():
    model, protocol = models.lenet(Shape()), client.Protocol()
    pair, single = (client.share(model, batch(K=1, B=n, seed=n), protocol) for n in (2, 1))
    mean = client.aggregate([pair, single])
    assert mean.members.sizes == (2, 1) and mean.members.even and mean.batch_size == 3
    weighted = client.aggregate([pair, single], [1, 3])
    assert weighted.members.weights == (0.25, 0.75) and not weighted.members.even
    for name, g in pair.gradients.items():
        other = single.gradients[name]
        torch.testing.assert_close(mean.gradients[name], (2 * g + other) / 3)
        torch.testing.assert_close(weighted.gradients[name], 0.25 * g + 0.75 * other)
    twice = client.aggregate([weighted, weighted], [1, 4])
    near(twice.gradients, weighted.gradients)
    torch.testing.assert_close(torch.tensor(twice.members.weights),
                               torch.tensor([0.05, 0.15, 0.2, 0.6]))


def test_the_order_of_clients_hardly_matters():
    update = client.share(models.lenet(Shape()), batch(K=5, B=1), threat=KNOWN)
    there = client.aggregate(of_each(update), [1, 2, 3, 4, 5])
    back = client.aggregate(of_each(update)[::-1], [5, 4, 3, 2, 1])
    near(there.gradients, back.gradients)
    assert torch.equal(there.labels.flip(1), back.labels)


def test_local_steps_are_those_of_fedavg():
    model, b = models.lenet(Shape(), activation="tanh"), batch(K=3, B=2)
    mean = client.aggregate(client.share(model, b, LOCAL), [1, 1, 2])
    for name, before in model.named_parameters():
        after = sum(w * dict(_trained(model, x, y).named_parameters())[name]
                    for w, x, y in zip([0.25, 0.25, 0.5], b.images, b.labels, strict=True))
        torch.testing.assert_close(mean.gradients[name][0], (after - before).detach(),
                                   rtol=1e-3, atol=1e-6)


def _trained(model, images, truth):
    import copy
    model = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=LOCAL.local_lr)
    for _ in range(LOCAL.epochs):
        for i in range(len(images)):
            optimizer.zero_grad()
            cross_entropy(model(images[i:i + 1]), truth[i:i + 1]).backward()
            optimizer.step()
    return model


def test_a_list_of_updates_of_k_clients_gives_k_means():
    update = client.share(models.lenet(Shape()), batch(K=4, B=1), threat=KNOWN)
    first, second = (replace(update, gradients={n: g[s] for n, g in update.gradients.items()},
                             labels=update.labels[s]) for s in (slice(0, 2), slice(2, 4)))
    means = client.aggregate([first, second])
    assert len(means) == 2 and means.members.sizes == (1, 1)
    for name, g in update.gradients.items():
        torch.testing.assert_close(means.gradients[name], (g[:2] + g[2:]) / 2)
    assert torch.equal(means.labels, torch.stack([update.labels[:2, 0], update.labels[2:, 0]], 1))


CASES = {
    "one gradient": (client.Protocol(), None, 1e-6),
    "weights": (client.Protocol(), [1, 2, 5], 1e-6),
    "batch statistics": (client.Protocol(mode="train"), None, 1e-5),
    "a loss of one's own": (client.Protocol(loss=lambda y, t: (y - t).square().sum()), None, 1e-6),
    "local steps": (LOCAL, [3, 2, 1], 1e-5),
    "many local steps": (replace(LOCAL, epochs=4, momentum=0.5), [3, 2, 1], 1e-5)}


@pytest.mark.parametrize("name", CASES)
def test_the_private_images_fit_the_mean(name):
    """What an attack minimises is zero at the truth, and only there."""
    protocol, weights, tolerance = CASES[name]
    norm = "batch" if protocol.mode == "train" else None
    model, b = models.lenet(Shape(), activation="tanh", norm=norm).double(), batch(K=3, B=2)
    mean = client.aggregate(client.share(model, b, protocol, threat=KNOWN), weights)
    truth = joined(b).images[:, None].double()
    swapped = truth[:, :, [2, 1, 0, 3, 4, 5]]  # between clients: their labels stay
    attack = replace(attacks.dlg(), priors=())
    losses = []
    for images in (truth, swapped):
        posed = attacks.problem(mean, attack, start=(images, None))
        value, gradient = evaluator(posed.problems, 1, 1, mean.device)(posed.variables)
        losses.append(float(value))
        assert gradient.isfinite().all()
    size = sum(float(g.square().sum()) for g in mean.gradients.values())
    assert losses[0] < tolerance ** 2 * size < losses[1]


def test_many_steps_one_at_a_time_are_the_steps_in_one_graph(monkeypatch):
    from lib import formula
    model, b = models.lenet(Shape(), activation="tanh").double(), batch(K=3, B=2)
    protocol = replace(LOCAL, epochs=3, momentum=0.5, nesterov=True, weight_decay=0.01)
    mean = client.aggregate(client.share(model, b, protocol, threat=KNOWN), [3, 2, 1])
    results = []
    for steps in (10, 100):
        monkeypatch.setattr(formula, "UNROLLED_STEPS", steps)
        posed = attacks.problem(mean, attacks.dlg())
        results += evaluator(posed.problems, 1, 1, mean.device)(posed.variables)
    torch.testing.assert_close(results[0], results[2])
    torch.testing.assert_close(results[1], results[3])


def test_an_attack_on_the_mean_is_the_attack_on_the_batch():
    model, b = models.lenet(Shape(), activation="tanh").double(), batch(K=2, B=1)
    attack = attacks.dlg(iterations=5)
    guesses = [attacks.reconstruct(update, attack) for update in
               (client.aggregate(client.share(model, b, threat=KNOWN)),
                client.share(model, joined(b), threat=KNOWN))]
    torch.testing.assert_close(guesses[0].images, guesses[1].images, rtol=1e-3, atol=1e-4)


def test_diagnose_and_the_card_say_how_many_clients_are_in_the_mean():
    update = client.share(models.lenet(Shape()), batch(K=3, B=2))
    mean = client.aggregate(update)
    table = attacks.diagnose(mean, attacks.dlg()).set_index("check")
    row = table.loc["clients in the mean"]
    assert row.verdict == "warning" and row.measured.startswith("3, 6 images together; every")
    assert "which client holds what" in row["what to do"]
    weighted = attacks.diagnose(client.aggregate(update, [1, 1, 2]), attacks.dlg())
    assert "weights from 0.25 to 0.5" in weighted.set_index("check").measured["clients in the mean"]
    assert table.verdict["scale of the loss"] == "ok" and table.verdict["batch size"] == "ok"
    assert "clients in the mean" not in set(attacks.diagnose(update, attacks.dlg()).check)
    assert mean.card()["clients x images"] == "the mean of 3 clients x 2"
    assert client.aggregate(update, [1, 1, 2]).card()["clients x images"] == (
        "the mean of 3 clients x 2, weights 0.25, 0.25, 0.5")


@pytest.mark.parametrize("protocol", [client.Protocol(), LOCAL, replace(LOCAL, local_batch=2)])
def test_a_mean_of_honest_clients_has_the_scale_of_one(protocol):
    model = models.lenet(Shape(), init="default")
    for weights in (None, [1, 2, 5]):
        mean = client.aggregate(client.share(model, batch(K=3, B=2), protocol), weights)
        table = attacks.diagnose(mean, attacks.dlg()).set_index("check")
        assert table.verdict["scale of the loss"] == "ok", table.measured["scale of the loss"]
        torch.testing.assert_close(mean.mean_gradient("7.bias").sum(), torch.tensor(0.0),
                                   atol=1e-3, rtol=0)


def test_the_mean_gradient_of_one_step_each_is_that_of_the_weights():
    model, b = models.lenet(Shape()), batch(K=2, B=2)
    sent = client.aggregate(client.share(
        model, b, client.Protocol(local_lr=0.1, sends="weights")), [1, 3])
    gradient = client.aggregate(client.share(model, b), [1, 3])
    torch.testing.assert_close(sent.mean_gradient("7.weight"), gradient.gradients["7.weight"],
                               rtol=1e-4, atol=1e-5)


def test_labels_are_counted_where_every_image_counts_the_same():
    model, b = models.lenet(Shape(), init="default"), batch(K=4, B=1)
    update = client.share(model, b)
    found = labels.infer(client.aggregate(update), "analytic")
    assert torch.equal(found[0], b.labels[:, 0].sort().values)
    for rule in ("analytic", "wainakh", "uniform"):
        with pytest.raises(client.AssumptionError, match="every image counts the same"):
            labels.infer(client.aggregate(update, [1, 2, 3, 4]), rule)


def test_a_mean_survives_a_file(tmp_path):
    model = models.lenet(Shape())
    mean = client.aggregate(client.share(model, batch(K=3, B=2), LOCAL, threat=KNOWN), [1, 2, 3])
    mean.save(tmp_path / "mean.pt")
    again = client.SharedUpdate.load(tmp_path / "mean.pt", model)
    assert again.members == mean.members and again.batch_size == 6
    assert torch.equal(again.labels, mean.labels)
    assert all(torch.equal(again.gradients[n], g) for n, g in mean.gradients.items())


def test_a_file_from_before_there_were_means_is_read(tmp_path):
    model = models.lenet(Shape())
    client.share(model, batch(K=1)).save(tmp_path / "update.pt")
    saved = torch.load(tmp_path / "update.pt", weights_only=True)
    saved.pop("members")
    torch.save(saved, tmp_path / "older.pt")
    assert client.SharedUpdate.load(tmp_path / "older.pt", model).members is None


@pytest.mark.parametrize("members", [{"sizes": (1, 1), "weights": (0.5, 0.5)},
                                     {"sizes": (3,), "weights": (0.5,)}, {"sizes": (3,)}])
def test_a_file_whose_clients_do_not_fit_is_refused(tmp_path, members):
    model = models.lenet(Shape())
    client.share(model, batch(K=1, B=3)).save(tmp_path / "update.pt")
    saved = torch.load(tmp_path / "update.pt", weights_only=True)
    torch.save(saved | {"members": members}, tmp_path / "wrong.pt")
    with pytest.raises(ValueError, match="does not fit, or is damaged"):
        client.SharedUpdate.load(tmp_path / "wrong.pt", model)


def test_a_mean_of_an_own_framework_comes_through_the_door():
    model, b = models.lenet(Shape()), batch(K=2, B=2)
    mean = client.aggregate(client.share(model, b), [1, 3])
    brought = client.SharedUpdate.from_gradients(
        model, {n: g[0] for n, g in mean.gradients.items()}, shape=(1, 8, 8), num_classes=4,
        batch_size=4, members=client.Members((2, 2), (0.25, 0.75)))
    assert brought.members == mean.members
    with pytest.raises(ValueError, match="hold 4 images together, and batch_size is 3"):
        replace(brought, batch_size=3)
    with pytest.raises(ValueError, match=r"members is a client\.Members"):
        replace(brought, members=(2, 2))


def test_grants_of_single_clients_are_not_of_the_mean():
    model, b = models.lenet(Shape()), batch(K=2, B=1)
    unique = client.share(model, b, threat=client.ThreatModel(labels="unique"))
    mean = client.aggregate(unique)
    assert mean.threat.labels == "unknown" and "'unique' was granted" in mean.notes[-1]
    normed = models.lenet(Shape(), norm="batch")
    exact = client.share(normed, b, client.Protocol(mode="train"),
                         threat=client.ThreatModel(bn_statistics="exact"))
    with pytest.raises(ValueError, match="BatchNorm statistics are granted"):
        client.aggregate(exact)


def _updates() -> dict:
    model, b = models.lenet(Shape()), batch(K=1)
    good = client.share(model, b)
    return {
        "good": good,
        "protocol": client.share(model, b, client.Protocol(loss="mse")),
        "other weights": client.share(models.lenet(Shape(), seed=1), b),
        "other layers": client.share(models.lenet(Shape(), activation="tanh"), b),
        "granted": client.share(model, b, threat=KNOWN),
        "partial": replace(good, gradients={"7.bias": good.gradients["7.bias"]}),
        "two clients": client.share(model, batch(K=2)),
        "mean of the public data": replace(good, mean=good.mean / 2)}


@pytest.mark.parametrize(("other", "words"), [
    ("protocol", "differ in protocol"), ("other weights", "other models, or of other weights"),
    ("other layers", "other models, or of other weights"), ("granted", "what is granted"),
    ("partial", "hold other tensors: 0.bias, 0.weight"), ("two clients", "hold 2 and 1 clients"),
    ("mean of the public data", "differ in the mean")])
def test_updates_that_do_not_go_together_are_refused(other, words):
    updates = _updates()
    with pytest.raises(ValueError, match=words):
        client.aggregate([updates["good"], updates[other]])


@pytest.mark.parametrize(("weights", "words"), [
    ([1], "1 weights for 2 clients"), ([1, 0], "each of weights must be a finite number"),
    ([1, -1], "each of weights"), ([1, float("nan")], "each of weights"),
    ([1, float("inf")], "each of weights"), ("ab", "weights are a positive number"),
    (2, "weights are a positive number")])
def test_weights_that_do_not_fit_are_refused(weights, words):
    update = client.share(models.lenet(Shape()), batch(K=2))
    with pytest.raises(ValueError, match=words):
        client.aggregate(update, weights)


@pytest.mark.parametrize(("updates", "words"), [
    ([], "updates is empty"), (3, "not of int"), ([3], "not of int")])
def test_what_are_no_updates_is_refused(updates, words):
    with pytest.raises(ValueError, match=words):
        client.aggregate(updates)


def test_victims_of_their_own_have_no_mean():
    victims = models.ensemble(models.lenet, Shape(), seeds=[0, 1])
    with pytest.raises(ValueError, match="a victim each"):
        client.aggregate(client.share(victims, batch(K=2)))


@pytest.mark.parametrize(("sizes", "weights", "words"), [
    ((), (), "a number for each client"), ((1, 0), (0.5, 0.5), "each of sizes"),
    ((1, 1), (0.5, 0.6), "sum to 1"), ((1, 1), (1.0,), "1 weights of 2 clients"),
    ((1, 1), (1.5, -0.5), "each of weights")])
def test_members_that_are_none_are_refused(sizes, weights, words):
    with pytest.raises(ValueError, match=words):
        client.Members(sizes, weights)


@pytest.mark.parametrize("of_a_mean", [True, False])
def test_a_rehearsal_of_an_audit_shares_what_was_shared(of_a_mean):
    model, b = models.lenet(Shape()), batch(K=3, B=2)
    sent = client.share(model, b if of_a_mean else joined(b), LOCAL, threat=KNOWN)
    sent = client.aggregate(sent, [1, 2, 5]) if of_a_mean else sent
    partly = replace(sent, gradients={n: g for n, g in sent.gradients.items() if n[0] != "7"})
    again = rehearsal.shared_under(None, partly, joined(b).images[0], joined(b).labels[0], KNOWN, 0)
    assert again.members == partly.members
    near(again.gradients, partly.gradients, 1e-4)  # differences of float32 weights


def test_clients_of_a_rehearsal_draw_noise_of_their_own():
    model, b = models.lenet(Shape()), batch(K=4, B=1)
    mean = client.aggregate(client.share(model, b, threat=KNOWN))
    noisy = rehearsal.shared_under(defenses.GaussianNoise(1e-2), mean, joined(b).images[0],
                                   joined(b).labels[0], KNOWN, 0)
    error = torch.cat([(noisy.gradients[n] - g).flatten() for n, g in mean.gradients.items()])
    assert error.std() == pytest.approx(0.1 / 4**0.5, rel=0.1)


def test_an_audit_takes_the_file_of_a_mean(tmp_path):
    digits = data.load("digits")
    model = models.dense(digits)
    mean = client.aggregate(client.share(model, digits.clients(2)))
    mean.save(tmp_path / "mean.pt")
    loaded = client.SharedUpdate.load(tmp_path / "mean.pt", model)
    report = audit.audit(loaded, budget=1)
    assert report.card["clients x images"] == "the mean of 2 clients x 1"
    assert "clients in the mean" in set(report.checks.check)
    assert all(len(read) == 2 for read in report.findings.labels.values())


def test_the_examples_of_means_and_parts_run(capsys):
    text = (Path(client.__file__).parent / "USING.md").read_text()
    known = {"attacks": attacks, "client": client, "labels": labels, "models": models,
             "replace": replace, "images": data.load("photos")}
    for title in ("## Several clients in one mean", "## A part of an update"):
        section = text.split(title)[1].split("\n## ")[0]
        for code in re.findall(r"```python\n(.*?)```", section, re.S):
            exec(code, known)
    said = capsys.readouterr().out
    assert "4 means of 2 clients x 1, weights 0.75, 0.25" in said and "True tensor" in said
    truth = known["images"].clients(2).labels
    assert torch.equal(labels.infer(known["head"]), truth)
