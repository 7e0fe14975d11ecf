"""From configs to rows: the same as doing it by hand, in the shapes the notebooks rely on."""

import numpy as np
import pytest
import torch

from lib import attacks, client, data, models
from studies import accuracy, case, deal, scores

DIGITS, LENET = {"name": "digits"}, {"name": "lenet"}
SHORT = {"name": "dlg", "iterations": 3}
NOISE = {"name": "gaussian", "variance": 1e-2}


def attack(**changes):
    settings = {"images": DIGITS, "victim": LENET, "attack": SHORT, "clients": [2, 4], "seed": 1}
    return case.attack(**settings | {"record": [0, 3], "shown": 1} | changes)


def test_defenses_side_by_side_are_the_same_attacks_as_one_after_another():
    both, arrays = attack(defense=[None, NOISE])
    alone = [attack(defense=[one]) for one in (None, NOISE)]
    assert both["client"].tolist() == [2, 3, 2, 3] and both["defense"].tolist() == [0, 0, 1, 1]
    assert arrays["states"].shape == (2, 2, 1, 1, 8, 8)  # one client shown under each defense
    for i, (table, one) in enumerate(alone):
        rows = slice(2 * i, 2 * i + 2)
        np.testing.assert_allclose(arrays["losses"][rows, 0], one["losses"][:, 0], rtol=1e-4)
        np.testing.assert_allclose(arrays["mse"][rows, 0], one["mse"][:, 0], rtol=1e-5)
        assert both.true_label[rows].tolist() == table.true_label.tolist()
    starts = arrays["mse"][:2, 0], arrays["mse"][2:, 0]
    np.testing.assert_allclose(*starts, rtol=1e-6)  # paired: every defense meets the same start
    plain, _ = attack()
    assert "defense" not in plain


def test_one_image_at_a_time_is_an_attack_on_a_batch():
    table, arrays = attack(attack=SHORT | {"in_turn": True}, batch_size=2)
    assert len(table) == 4 and arrays["mse"].shape == (2, 2)


def test_two_attacks_of_one_start_and_a_start_of_its_own():
    dlg, a = attack(attack={"name": "idlg", "labels": "joint", "iterations": 3})
    idlg, b = attack(attack={"name": "idlg", "iterations": 3})
    own, c = attack(attack={"name": "idlg", "iterations": 3}, start=7)
    np.testing.assert_array_equal(a["states"][:, 0], b["states"][:, 0])
    assert (b["states"][:, 0] != c["states"][:, 0]).any()
    assert (idlg.label == idlg.true_label).all() and (own.label == own.true_label).all()
    for table in (dlg, idlg):  # the best state is chosen by the objective
        same = table.loss == table.best_loss
        np.testing.assert_allclose(table.best_mse[same], table.mse[same], rtol=1e-5)


@pytest.mark.parametrize("changes", [
    {"victim": {"name": "alexnet"}}, {"attack": {"name": "guess"}},
    {"defense": [{"name": "hope"}]}])
def test_an_unknown_name_is_named(changes):
    with pytest.raises(ValueError, match="unknown name"):
        attack(**changes)


def test_accuracy_under_defenses():
    victim = {"name": "lenet", "activation": "tanh", "scale": 0.1}
    ruin = {"name": "gaussian", "variance": 1e4}
    table, _ = case.accuracy(DIGITS, victim, [0, 1], [None, ruin], epochs=6, lr=0.05)
    means = table.groupby("defense").accuracy.mean()
    assert len(table) == 4 and means[0] > 0.7 and means[1] < 0.4
    again, _ = case.accuracy(DIGITS, victim, [1], [None], epochs=6, lr=0.05)
    assert again.accuracy[0] == table.accuracy[1]


def test_training_changes_only_what_is_trained():
    digits = data.load("digits", "train")
    model = models.dense(digits, hidden=(8,))
    model[1].weight.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    seen = []

    class Watching:
        def update(self, grads, rng):
            seen.append(set(grads))
            return grads

    models.train(model, digits, epochs=1, lr=0.1, defense=Watching())
    assert seen[0] == {"1.bias", "3.weight", "3.bias"}
    changed = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert changed == seen[0] and not model.training


INVERT = {"name": "inverting_gradients", "iterations": 3}
ONE = {"victim": LENET | {"seed": 5}, "attack": INVERT, "protocol": {"normalise": True},
       "threat": {"labels": "known"}}


def test_clients_may_share_one_victim_trained_once(monkeypatch, tmp_path):
    monkeypatch.setattr(accuracy, "WEIGHTS", tmp_path)
    how = {"first": 200, "epochs": 3, "batch_size": 16}
    plain, _ = attack(**ONE)
    table, arrays = attack(**ONE, train=how)
    assert len(list(tmp_path.iterdir())) == 1 and "victim_accuracy" not in plain
    again, other = attack(**ONE, train=how)
    assert again.equals(table) and len(list(tmp_path.iterdir())) == 1
    assert (plain.loss != table.loss).all()
    train, test = (data.load("digits", split) for split in ("train", "test"))
    model = models.train(models.lenet(train, seed=5), train.subset(range(200)), 3, 16, seed=1,
                         normalise=True)
    assert (table.victim_accuracy == models.accuracy(model, test, True)).all()
    batch = test.clients(2, indices=[[2], [3]])
    update = client.share(model, batch, client.Protocol(normalise=True),
                          threat=client.ThreatModel(labels="known"))
    start = attacks.starts(update, attacks.inverting_gradients(3), 1, 1, 2)
    guess = attacks.reconstruct(update, attacks.inverting_gradients(3), start=start)
    np.testing.assert_allclose(table.best_loss, guess.loss[:, 0], rtol=1e-5)
    with pytest.raises(ValueError, match="seed"):
        attack(train=how)


def test_an_active_server_permutes_the_classes():
    honest, _ = attack(**ONE)
    active, _ = attack(**ONE | {"threat": {"labels": "known", "server": "active"}})
    assert (honest.loss != active.loss).all()


def test_every_restart_is_a_row():
    table, arrays = attack(**ONE, restarts=3, each_restart=True)
    assert table.restart.tolist() == [0, 0, 1, 1, 2, 2]
    assert table.client.tolist() == [2, 3] * 3
    best, same = attack(**ONE, restarts=3)
    plain, _ = attack(**ONE | {"attack": INVERT | {"tv": 0}}, restarts=3, each_restart=True)
    np.testing.assert_allclose(plain.distance, plain.loss, rtol=1e-4)  # without priors they agree
    assert (table.distance < table.loss).all()
    winner = table.loc[table.groupby("client").best_loss.idxmin()]
    np.testing.assert_allclose(winner.mse, best.mse)
    np.testing.assert_array_equal(arrays["losses"], same["losses"])


def test_batches_of_unique_labels_are_those_that_the_set_deals():
    table, _ = attack(**ONE, batch_size=4, unique_labels=True, clients=[1, 3])
    dealt = data.load("digits").clients(3, 4, seed=1, unique_labels=True).labels[1:]
    assert table.true_label.tolist() == dealt.flatten().tolist()
    assert all(len(set(rows)) == 4 for _, rows in table.groupby("client").true_label)


def test_accuracy_with_images_held_out():
    table, _ = case.accuracy(DIGITS, {"name": "dense"}, [0], [None], epochs=2, lr=0.02,
                             batch_size=8, momentum=0.0, loss="mse_softmax", same_label=2,
                             held_out=200)
    assert set(table) == {"defense", "seed", "accuracy", "validation"}
    assert table.validation.between(0.2, 1).all()


def test_a_row_says_why_its_restart_ended():
    table, _ = attack(record=None, attack=SHORT | {"iterations": 1})
    assert table.ended.tolist() == ["budget", "budget"]
    table, _ = attack(record=None, attack={"name": "idlg", "iterations": 12, "stop": 1e6})
    assert table.ended.tolist() == ["converged", "converged"]


# ---- Case itself

def dealt(**changes):
    given = {"images": DIGITS, "victim": LENET, "clients": [1, 4], "batch_size": 2, "seed": 0}
    return case.Case(**given | changes)


@pytest.mark.parametrize(("changes", "words"), [
    ({"clients": [3, 3]}, r"clients are \[first, last\)"),
    ({"clients": [-1, 1]}, r"clients are \[first, last\)"),
    ({"clients": [0, 1, 2]}, r"clients are \[first, last\)"),
    ({"batch_size": 0}, "batch_size is at least 1, not 0"),
    ({"pool": 1}, "a pool of 1 images holds no batch of 2"),
    ({"defenses": ()}, "defenses is empty"),
    ({"train": {"epochs": 1}}, "give it a seed")])
def test_a_case_that_cannot_be_is_refused_before_any_work(changes, words):
    with pytest.raises(ValueError, match=words):
        dealt(**changes)


def test_a_case_without_a_victim_only_deals():
    nobody = dealt(victim=None)
    assert nobody.private.images.shape == (3, 2, 1, 8, 8)
    with pytest.raises(ValueError, match="without a victim"):
        nobody.share()


@pytest.mark.parametrize(("changes", "words"), [
    ({"imags": DIGITS}, "'imags'"), ({"batchsize": 2}, "'batchsize'")])
def test_an_unknown_argument_is_named(changes, words):
    with pytest.raises(TypeError, match=words):
        attack(**changes)


def test_a_missing_argument_is_named():
    with pytest.raises(TypeError, match="'seed'"):
        case.attack(images=DIGITS, victim=LENET, attack=SHORT, clients=[0, 1])


def test_each_deal_gives_each_client_its_rows():
    pictures = data.load("digits")
    assert deal.InOrder(3).rows(pictures, [1, 3], 2, 0).tolist() == [[6, 9], [12, 15]]
    whole = deal.AttackSet().rows(pictures, [0, 4], 5, 0)
    assert pictures.labels[whole].tolist() == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]] * 2
    assert torch.equal(deal.AttackSet().rows(pictures, [2, 4], 5, 0), whole[2:])
    everybodys = deal.Everybodys(deal.AttackSet()).rows(pictures, [0, 4], 5, 0)
    assert everybodys.shape == (4, 20)
    assert all(set(row.tolist()) == set(whole.flatten().tolist()) for row in everybodys)
    assert torch.equal(everybodys[:, :5], whole)
    drawn = deal.Drawn(unique_labels=None)
    labels = pictures.labels[drawn.rows(pictures, [0, 3], 10, 0)]
    assert labels.sort(1).values.tolist() == [list(range(10))] * 3
    assert drawn.rows(pictures, [0, 2], 11, 0).shape == (2, 11)   # more than there are classes


def test_a_deal_that_runs_out_of_a_class_says_so():
    pictures = data.load("digits").subset(range(30))
    with pytest.raises(ValueError, match="need 10 of every class"):
        deal.AttackSet().rows(pictures, [0, 10], 10, 0)
    with pytest.raises(ValueError, match="12 images of class 0"):
        deal.Labelled(lambda k, b, classes: 0).rows(pictures, [0, 6], 2, 0)


def test_private_images_are_those_that_are_used_of_the_pool():
    drawing = case.composed({"name": "equal_labels", "batch_size": 2})
    mixing = case.composed({"name": "mixup", "k": 2, "batch_size": 2})
    noise = case.composed(NOISE)
    pooled = dealt(pool=30, dealt=deal.Drawn(), defenses=(None, noise, drawing, mixing))
    first = pooled.held.images[:, :2]
    private = pooled.private.images.unflatten(0, (4, 3))
    for number in (0, 1, 3):
        assert torch.equal(private[number], first)
    labels = pooled.private.labels.unflatten(0, (4, 3))[2]
    assert (labels[:, 0] == labels[:, 1]).all()
    assert not torch.equal(private[2], first)


def test_defenses_side_by_side_share_what_they_share_alone():
    noise = case.composed(NOISE)
    both = dealt(defenses=(None, noise)).share()
    alone = [dealt(defenses=(defense,)).share() for defense in (None, noise)]
    assert len(both) == 6
    for name, gradients in both.gradients.items():
        assert torch.equal(gradients, torch.cat([one.gradients[name] for one in alone]))
    pair = dealt(defenses=(None, noise))
    images, _ = pair.starts(both, attacks.dlg(3), 2)
    assert torch.equal(images[:3], images[3:])
    assert torch.equal(images[:3], attacks.starts(alone[0], attacks.dlg(3), 2, 0, 1)[0])


def test_an_active_server_permutes_the_victims_of_every_defense():
    active = client.ThreatModel(server="active")
    both = dealt(defenses=(None, None), threat=active).share()
    alone = dealt(threat=active).share()
    for name, tensor in client.tensors(both.model)[0].items():
        assert torch.equal(tensor, client.tensors(alone.model)[0][name].repeat(
            2, *[1] * (tensor.dim() - 1)))


def test_pictures_of_sets_that_may_not_be_shown_are_not():
    assert dealt(defenses=(None, None)).shown(2).tolist() == [True, True, False] * 2
    assert not dealt(images=DIGITS | {"classes": 3}).shown(0).any()


def test_a_picture_is_looked_for_among_others():
    """Its rank by ST-LPIPS among candidates; the truth itself is none of them."""
    photographs = data.load("photos", size=32).images[:20].float() / 255
    noise = torch.rand(10, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    near = 0.97 * photographs[:10] + 0.03 * noise
    assert (scores.ranks(near, photographs[:10], photographs) == 1).all()
    assert scores.ranks(photographs[:1], photographs[10:11], photographs[:10]) == 2
    assert (scores.ranks(noise, photographs[:10], photographs) > 1).any()


def test_an_attack_says_where_its_pictures_stand_among_others():
    images = {"name": "photos", "size": 32}
    table, _ = case.attack(
        images=images, victim=LENET, attack={"name": "dlg", "iterations": 1}, clients=[0, 2],
        seed=0, batch_size=2, among=images | {"split": "train"})
    assert table["rank"].between(1, 1 + len(data.load("photos", split="train"))).all()
    assert len(table) == 4
