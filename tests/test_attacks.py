import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, defenses, metrics, models, run, spaces

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
    few = replace(attack, iterations=3)  # the noise that it starts from lies outside
    free, boxed = (attacks.reconstruct(update, replace(few, space=spaces.Pixels(box))).last
                   for box in (False, True))
    assert free.min() < -0.01 and free.max() > 1.01, "else the box has nothing to do"
    assert boxed.min().abs() < 1e-5 and (boxed.max() - 1).abs() < 1e-5
    assert (guess.history.losses[-1] < 0.2 * guess.history.losses[0]).all()
    grey = metrics.mse(torch.full_like(b.images, 0.5), b.images).mean()
    assert metrics.mse(guess.images, b.images).mean() < 0.5 * grey


def test_the_best_restart_is_chosen_by_the_objective():
    b = batch(K=3)
    update = client.share(models.lenet(Shape()), b)
    attack = replace(attacks.dlg(iterations=15), optimizer="adam", lr=0.1)
    guess = attacks.reconstruct(update, attack, restarts=3)
    assert guess.loss.shape == (3, 3)
    x, z = attacks.starts(update, attack, 3)
    alone = [attacks.reconstruct(update, attack, start=(x[:, r : r + 1], z[:, r : r + 1]))
             for r in range(3)]
    losses = torch.stack([one.loss[:, 0] for one in alone], 1)
    torch.testing.assert_close(guess.loss, losses, rtol=0.05, atol=1e-6)
    assert len(losses.argmin(1).unique()) > 1, "else any restart would do"
    for k, r in enumerate(losses.argmin(1).tolist()):
        torch.testing.assert_close(guess.images[k], alone[r].images[k], rtol=0, atol=1e-2)
        others = [alone[s].images[k] for s in range(3) if s != r]
        assert all((guess.images[k] - other).abs().max() > 0.05 for other in others)


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
        lambda: replace(attacks.dlg(), space=spaces.Pixels(box=True)),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), restarts=0),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), chunk=0),
        lambda: attacks.reconstruct(u, attacks.dlg(iterations=1), record=[2]),
        lambda: attacks.reconstruct(u, attacks.dlg(1), start=(torch.zeros(1, 1, 2), None)),
    ):
        with pytest.raises(ValueError):
            call()


def test_the_examples_of_an_auditor_run(tmp_path, monkeypatch):
    text = (Path(attacks.__file__).parent / "USING.md").read_text()
    section = text.split("## Your own model")[1].split("\n## ")[0]
    monkeypatch.chdir(tmp_path)
    known = {"attacks": attacks, "client": client}
    codes = re.findall(r"```python\n(.*?)```", section, re.S)
    assert len(codes) == 3
    for code in codes:
        exec(code, known)
    assert known["proof"] == client.buffer_evidence(known["update"])
    assert (known["proof"].mode, known["proof"].steps) == ("train", 3)
    update, x, y = known["update"], known["x"], known["y"]  # the second: what a client shares
    b = batch(K=1, B=3, shape=(3, 32, 32), classes=10)
    b = replace(b, images=x[None] * known["std"].view(3, 1, 1) + known["mean"].view(3, 1, 1),
                labels=y[None], mean=known["mean"], std=known["std"])
    known["net"].load_state_dict(known["before"])
    expected = client.share(known["net"], b, known["protocol"]).gradients
    for n, g in update.gradients.items():
        torch.testing.assert_close(g, expected[n], rtol=1e-2, atol=1e-6)


def test_history_of_finished_problems_is_complete():
    run.start()
    b = batch(K=2)
    u = client.share(models.lenet(Shape()), b)
    guess = attacks.reconstruct(u, attacks.dlg(iterations=40), record=range(41))
    assert len(guess.history.images) == 41 and not torch.isnan(guess.history.losses).any()
    assert guess.history.label_logits[40].shape == (2, 1, 1, 4)


# ---- Huang et al. 2021

TRAIN = client.Protocol(mode="train", normalise=True)


def victim_with_statistics():
    model = models.preact_resnet(Shape((3, 8, 8)), 4, blocks=(1, 1), seed=1)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.fill_(0.3), m.running_var.fill_(2.0)
    return model


def test_statistics_are_what_the_prior_compares_with():
    """At the private batch the prior is 0 with the exact statistics, not with the proxy's."""
    private, model = batch(2, 3, (3, 8, 8)), victim_with_statistics()
    attack = replace(attacks.huang(1, tv=0, bn=1.0), labels="idlg_bias", lr=1e-9)
    best = {}
    for kind in ("exact", "proxy"):
        granted = client.ThreatModel(labels="known", bn_statistics=kind)
        update = client.share(model, private, TRAIN, threat=granted)
        z = (private.images - update.mean.view(-1, 1, 1)) / update.std.view(-1, 1, 1)
        best[kind] = attacks.reconstruct(update, attack, start=(z[:, None], None)).loss
    assert best["exact"].max() < 1e-4 and best["proxy"].min() > 1


def test_the_prior_needs_statistics_in_train_mode():
    update = client.share(victim_with_statistics(), batch(1, 2, (3, 8, 8)), TRAIN, threat=KNOWN)
    with pytest.raises(client.AssumptionError, match="proxy"):
        attacks.reconstruct(update, attacks.huang(1))
    attacks.reconstruct(update, attacks.huang(1, bn=0))


def test_an_attacker_in_eval_mode_looks_for_another_gradient():
    private, model = batch(2, 3, (3, 8, 8)), victim_with_statistics()
    update = client.share(model, private, TRAIN, threat=KNOWN)
    other = attacks.as_if_eval(update)
    certain = 1e4 * nn.functional.one_hot(private.labels, 4).float()
    own, fixed = (attacks.dummy_gradients(u, private.images, certain) for u in (update, other))
    for n, g in update.gradients.items():
        torch.testing.assert_close(own[n], g, rtol=1e-4, atol=1e-6)
    assert max(float((fixed[n] - g).abs().max()) for n, g in update.gradients.items()) > 1e-2
    expected = client.share(model, private, client.Protocol(normalise=True)).gradients
    for n, g in expected.items():  # that of a client in eval mode
        torch.testing.assert_close(fixed[n], g, rtol=1e-4, atol=1e-6)


def test_labels_of_a_batch_are_optimised_beside_signed_images():
    private = batch(2, 2, (3, 8, 8))
    update = client.share(models.lenet(Shape((3, 8, 8))), private, replace(TRAIN, mode="eval"))
    guess = attacks.reconstruct(update, attacks.huang(150, tv=0, bn=0), record=[150])
    right = guess.labels.sort(1).values == private.labels.sort(1).values
    assert right.float().mean() >= 0.5
    assert len(guess.history.label_logits[150].unique()) == 16
    few = attacks.reconstruct(update, attacks.huang(10, tv=0, bn=0), record=[1, 2])
    steps = [state[2] - state[1] for state in (few.history.images, few.history.label_logits)]
    pixels = (steps[0] / update.std.view(-1, 1, 1)).abs()  # of signs: two sizes of step
    inside = pixels[(pixels > 0) & (few.history.images[2] > 0) & (few.history.images[2] < 1)]
    assert len((1e3 * inside).round().unique()) <= 4
    assert len((1e3 * steps[1].abs()).round().unique()) > 4  # by values, not by signs


def test_granted_soft_targets_give_the_clients_own_gradient():
    pool, model = batch(1, 6), models.dense(Shape(), seed=0)
    mixed = defenses.MixUp(3, batch_size=2)
    update = client.share(model, pool, defense=mixed, threat=KNOWN)
    rng = run.generator("defense", 0, 0)
    hard = nn.functional.one_hot(pool.labels[0], 4).float()
    encoded, targets = mixed.encode(pool.images[0], hard, rng)
    torch.testing.assert_close(update.targets[0], targets)
    attack = replace(attacks.dlg(1, labels="idlg"), optimizer="adam", lr=1e-9)
    guess = attacks.reconstruct(update, attack, start=(encoded[None, None], None))
    assert guess.loss.max() < 1e-10


def test_decoding_with_the_keys():
    x = torch.rand(20, 3, 6, 6)
    for kind, epochs, level in ((defenses.MixUp, 3, 1e-3), (defenses.InstaHide, 12, 2e-2)):
        rngs = [torch.Generator().manual_seed(e) for e in range(epochs)]
        again = [torch.Generator().manual_seed(e) for e in range(epochs)]
        e = torch.cat([kind(4).encode(x, torch.eye(20), r)[0] for r in rngs])
        keys = tuple(map(torch.cat, zip(*(kind(4).keys(20, r) for r in again), strict=True)))
        found = attacks.decode(e, keys, 20, signs=kind is defenses.InstaHide)
        if kind is defenses.InstaHide:  # known up to the sign of each pixel
            found = torch.where((found - x).abs() < (1 - found - x).abs(), found, 1 - found)
        assert (found - x).square().mean() < level
    with pytest.raises(ValueError, match="encodings"):
        attacks.decode(e[:3], keys, 20)


def test_what_an_attack_takes_for_granted_is_read_off_it():
    assert attacks.assumptions(attacks.dlg()) == {}
    assert set(attacks.assumptions(attacks.inverting_gradients())) == {
        "labels", "mean and std", "images"}
    assert "BatchNorm statistics" in attacks.assumptions(attacks.huang())
    assert "one_label" in attacks.assumptions(attacks.idlg())["labels"]


WRONG_SETTINGS = {
    "iterations": [2.5, True, "3", 0, -1, None, torch.nan], "lr": [0, -1, torch.nan, torch.inf,
                                                                   "0.1", True, None],
    "objective": ["l2", None, 3], "labels": ["guess", None, 1], "optimizer": ["sgd", None, 1],
    "priors": [5, "tv", ((0.1,),), ((0.1, None),), (("a", len),), ((-1, len),),
               ((torch.nan, len),), ((True, len),), (0.1, len), {0.1: len}],
    "stop": [0, -1, "1", True, torch.nan], "decay": [1, "no", None], "normalise": ["no", 0],
    "space": ["x", None, spaces.Space()], "in_turn": [0, "yes"], "name": [None, 3]}


@pytest.mark.parametrize("setting", WRONG_SETTINGS)
def test_wrong_settings_are_one_clear_error(setting):
    for value in WRONG_SETTINGS[setting]:
        with pytest.raises(ValueError, match=setting if setting != "priors" else "priors|weight"):
            replace(attacks.dlg(), **{setting: value})


@pytest.mark.parametrize("argument, values", [
    ("restarts", [1.5, 0, True, "2", None]), ("seed", [-1, "a", 0.5, None, True]),
    ("chunk", [0, -1, 1.5, True, "all"]), ("record", [[0.5], ["a"], [-1], [2], "01", 3, None]),
    ("start", [3, "noise", (torch.zeros(1),), ([0.0], None)]), ("attack", [None, "dlg"])])
def test_wrong_arguments_are_one_clear_error(argument, values):
    update = client.share(models.lenet(Shape()), batch(K=1))
    for value in values:
        with pytest.raises(ValueError, match=argument if argument != "attack" else "Attack"):
            attacks.reconstruct(update, **{"attack": attacks.dlg(1)} | {argument: value})
    with pytest.raises(ValueError, match="SharedUpdate"):
        attacks.reconstruct(batch(K=1), attacks.dlg(1))


def test_presets_refuse_wrong_values():
    ig, mixing, huang = attacks.inverting_gradients, attacks.mixing_gradients, attacks.huang
    net = nn.Sequential(nn.Flatten(), nn.Linear(6, 4))
    for wrong in (lambda: ig(lr=0), lambda: ig(tv=-1), lambda: ig(tv="0.1"), lambda: ig(bn=True),
                  lambda: ig(masked=1), lambda: ig(objective=["l2"]), lambda: ig(optimizer=None),
                  lambda: mixing(tv=torch.nan), lambda: mixing(orthogonality=-1),
                  lambda: mixing(optimizer=3), lambda: huang(signs="no"), lambda: huang(tv=-0.1),
                  lambda: huang(lr=0), lambda: attacks.dlg(scale=0), lambda: attacks.dlg(scale=-1),
                  lambda: attacks.dlg(line_search=1), lambda: attacks.dlg(relative="no"),
                  lambda: attacks.gias(net, latent=6), lambda: attacks.gias(net, latent=(0,)),
                  lambda: attacks.gias(net, latent=(6,), latent_norm=-1),
                  lambda: attacks.gias(net, latent=(6,), iterations=5),
                  lambda: attacks.gias(net, latent=(6,), iterations=(5.5, 3)),
                  lambda: attacks.gias(net, latent=(6,), lr=(0, 1)),
                  lambda: attacks.gias("dcgan", latent=(6,)), lambda: attacks.gias(net, 3),
                  lambda: attacks.gias(net, latent=(6,), layer=True),
                  lambda: attacks.gias(net, latent=(6,), copies=None),
                  lambda: spaces.Pixels(box="")):
        with pytest.raises(ValueError):
            wrong()
    with pytest.raises(TypeError, match="no setting 'latents'.*latent, layer, copies"):
        attacks.gias(net, latents=(6,))
    assert ig(lr=0.3).lr == 0.3 and ig().lr == 0.1 and ig(optimizer="lbfgs").lr == 1.0
