from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch

from lib import attacks, client, metrics, models, run

KNOWN = client.ThreatModel(labels="known")


def test_dlg_recovers_images_and_labels():
    b = batch(K=8)
    model = models.lenet(Shape(), init="normal", scale=0.5, channels=16)
    guess = attacks.reconstruct(client.share(model, b), attacks.dlg(iterations=60), restarts=2)
    table = metrics.score(guess.images, b.images)
    assert (table.mse < 1e-3).sum() >= 4, table.mse.tolist()
    right = (guess.labels == b.labels).flatten()
    assert right[torch.tensor(table.mse.to_numpy() < 1e-3)].all()


def test_inverting_gradients_improves_and_stays_in_the_box():
    b = batch(K=4)
    update = client.share(models.lenet(Shape()), b, client.Protocol(normalise=True), threat=KNOWN)
    attack = attacks.inverting_gradients(iterations=150, tv=0)
    guess = attacks.reconstruct(update, attack, record=[150])
    assert guess.last.min() >= -1e-6 and guess.last.max() <= 1 + 1e-6
    assert (guess.history.losses[-1] < 0.2 * guess.history.losses[0]).all()
    grey = metrics.mse(torch.full_like(b.images, 0.5), b.images).mean()
    assert metrics.mse(guess.images, b.images).mean() < 0.5 * grey


def test_the_best_restart_is_chosen_by_the_objective():
    b = batch(K=3)
    guess = attacks.reconstruct(
        client.share(models.lenet(Shape()), b), attacks.dlg(iterations=8), restarts=3
    )
    winner = guess.loss.argmin(1)
    assert guess.loss.shape == (3, 3)
    for k in range(3):
        assert guess.loss[k, winner[k]] == guess.loss[k].min()
    assert torch.isfinite(guess.images).all()


def test_starts_depend_on_seed_client_and_restart_alone():
    def x(K, R, seed=0):
        u = client.share(models.lenet(Shape()), batch(K=K))
        return attacks.starts(u, attacks.dlg(), R, seed)[0]

    assert torch.equal(x(2, 1)[1, 0], x(5, 3)[1, 0])
    assert not torch.equal(x(2, 1), x(2, 1, seed=1))
    assert not torch.equal(x(1, 2)[0, 0], x(1, 2)[0, 1])


def test_same_seed_same_bytes():
    u = client.share(models.lenet(Shape()), batch(K=3))
    a, b = (attacks.reconstruct(u, attacks.dlg(iterations=5), seed=1) for _ in range(2))
    assert torch.equal(a.images, b.images) and torch.equal(a.history.losses, b.history.losses)


def test_a_researchers_own_attack_is_two_callables():
    def first_layer(dummy, shared):
        return (dummy["0.weight"] - shared["0.weight"]).square().sum()

    def small(x):
        return x.square().mean()

    attack = replace(
        attacks.dlg(5, line_search=True), objective=first_layer, priors=((1e-3, small),)
    )
    guess = attacks.reconstruct(client.share(models.lenet(Shape()), batch()), attack)
    assert (guess.history.losses[-1] < guess.history.losses[0]).all()


def test_layer_distances_vanish_at_the_truth():
    from lib.objectives import layer_distances

    b = batch(K=2)
    u = client.share(models.lenet(Shape()), b)
    logits = 100.0 * torch.nn.functional.one_hot(b.labels, 4)
    d = layer_distances(attacks.dummy_gradients(u, b.images, logits), u.gradients)
    assert all(v.shape == (2,) and v.max() < 1e-10 for v in d.values())


def test_attacks_that_need_more_than_is_granted_are_refused():
    many = client.share(models.lenet(Shape()), batch(K=1, B=3))
    with pytest.raises(client.AssumptionError, match="known"):
        attacks.reconstruct(many, attacks.inverting_gradients(iterations=2))
    mse = client.share(models.lenet(Shape()), batch(K=1), client.Protocol(loss="mse"))
    with pytest.raises(client.AssumptionError, match="cross-entropy"):
        attacks.reconstruct(mse, attacks.inverting_gradients(iterations=2))


def test_a_loaded_update_is_attacked_as_the_original(tmp_path):
    update = client.share(models.lenet(Shape()), batch(K=2))
    update.save(tmp_path / "update.pt")
    again = client.SharedUpdate.load(tmp_path / "update.pt", models.lenet(Shape(), seed=9))
    a, b = (attacks.reconstruct(u, attacks.dlg(iterations=3)) for u in (update, again))
    assert torch.equal(a.images, b.images)


def test_bad_input_is_one_clear_error():
    u = client.share(models.lenet(Shape()), batch(K=1))
    for call in (
        lambda: attacks.dlg(iterations=0),
        lambda: attacks.dlg(lr=-1),
        lambda: replace(attacks.dlg(), labels="guess"),
        lambda: replace(attacks.dlg(), optimizer="sgd"),
        lambda: replace(attacks.dlg(), box=True),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), restarts=0),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), chunk=0),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), record=[2]),
        lambda: attacks.reconstruct(u, attacks.dlg(1), start=(torch.zeros(1, 1, 2), None)),
    ):
        with pytest.raises(ValueError):
            call()


def test_diagnose_names_what_makes_attacks_fail():
    u = client.share(models.lenet(Shape()), batch(K=1))
    assert attacks.diagnose(u, attacks.dlg()) == []
    relu = client.share(models.lenet(Shape(), activation="relu"), batch(K=1))
    assert any("ReLU" in note for note in attacks.diagnose(relu, attacks.dlg()))
    train = client.share(
        models.convnet(Shape((1, 9, 9)), 2),
        batch(K=1, B=2, shape=(1, 9, 9)),
        client.Protocol(mode="train"),
    )
    assert any("train mode" in note for note in attacks.diagnose(train))
    few = client.share(models.lenet(Shape(), channels=1), batch(K=1, B=4))
    assert any("not determined" in note for note in attacks.diagnose(few))


def test_history_of_finished_problems_is_complete():
    run.start()
    b = batch(K=2)
    u = client.share(models.lenet(Shape()), b)
    guess = attacks.reconstruct(u, attacks.dlg(iterations=40), record=range(41))
    assert len(guess.history.images) == 41 and not torch.isnan(guess.history.losses).any()
    assert guess.history.label_logits[40].shape == (2, 1, 1, 4)
