"""studies: what one notebook alone computes, small and on digits."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from lib import client, data
from studies import case, deal
from studies.dlg.compute import information, sentences
from studies.gias import compute as gias
from studies.huang_evaluation import compute as huang
from studies.idlg.compute import label_counts
from studies.inverting_gradients.compute import training_path
from studies.mixing_gradients.compute import demixing, mixing

DIGITS, LENET = {"name": "digits"}, {"name": "lenet"}
NOISE = {"name": "gaussian", "variance": 1e-2}


@pytest.mark.parametrize("unique", [False, True])
def test_labels_counted_by_rules(unique):
    rules = ["idlg", "yin", "wainakh", "analytic", "even"]
    images, victim = DIGITS | {"classes": 20}, LENET | {"init": "default"}
    settings = images, victim, rules, [1, 4, 32], 6, 0, unique
    table, _ = label_counts(*settings)
    sizes = table.groupby("rule").B.unique().map(list)
    assert sizes["idlg"] == [1]
    assert sizes["yin"] == [1, 4] and sizes["even"] == ([1, 4] if unique else [1, 4, 32])
    mean = table.groupby(["rule", "B"])[["accuracy", "exact"]].mean()
    assert (mean.loc["analytic"] == 1).all(axis=None) and (mean.loc["idlg"] == 1).all(axis=None)
    assert mean.accuracy["even", 4] < 0.6
    again, _ = label_counts(*settings)
    assert again.equals(table)


def test_labels_counted_on_a_trained_victim():
    how = {"epochs": 2, "lr": 0.1}
    table, _ = label_counts(DIGITS, LENET | {"init": "default", "activation": "relu"},
                                       ["idlg"], [1], 5, 0, train=how)
    assert table.accuracy.all() and 0 < table.victim_accuracy.iloc[0] < 1


@pytest.mark.parametrize(("kernel", "channels", "B", "rank"), [
    (3, 2, 1, 46), (5, 2, 2, 110), (3, 2, 4, 84), (5, 3, 8, 390), (3, 4, 1, 64), (3, 32, 1, 64)])
def test_the_rank_is_what_counting_says(kernel, channels, B, rank):
    """At the first convolution (1, 2), at the second (3, 4), and as many as the pixels (5, 6)."""
    victim = LENET | {"activation": "tanh", "scale": 0.3, "kernel": kernel, "channels": channels}
    table, _ = information(DIGITS, victim, [0, 1], seed=0, batch_size=B)
    assert table["rank"].tolist() == table.counted.tolist() == [rank]


def test_sentences_have_a_row_a_client_and_iteration():
    attack = {"name": "dlg", "iterations": 2, "line_search": True, "scale": 1e3}
    table, arrays = sentences([0, 2], attack, [0, 2], seed=0, width=8, layers=1)
    assert table[["client", "iteration"]].values.tolist() == [[0, 0], [0, 2], [1, 0], [1, 2]]
    assert arrays["read"].shape == (2, 2, 16) and arrays["truth"].shape == (2, 16)
    assert table.tokens.between(0, 1).all() and (table.tokens[::2] < 0.3).all()


def test_the_count_is_never_below_the_rank():
    for kernel, channels in itertools.product((1, 3, 5), (1, 5, 12)):
        victim = LENET | {"activation": "tanh", "scale": 0.3, "kernel": kernel}
        table, _ = information(DIGITS, victim | {"channels": channels}, [0, 1], seed=0)
        assert (table["rank"] <= table.counted).all(), table


def test_gradients_along_a_training():
    table, _ = training_path(
        {"name": "digits"}, LENET | {"init": "default", "activation": "relu"}, clients=6, seed=0,
        epochs=12, noise=0.1, first=60, batch_size=8, lr=0.1)
    by = table.groupby("epoch")[["norm", "loss", "cosine", "accuracy"]].median()
    assert by.index.tolist() == list(range(13)) and len(table) == 13 * 6
    assert by.norm[12] < 0.2 * by.norm[0] and by.loss[12] < 0.2 * by.loss[0]
    assert by.accuracy[12] > by.accuracy[0]
    assert table.others.between(-1, 1).all() and table.cosine.between(0, 2).all()


def attacked(attacks, **changes):
    settings = {"images": DIGITS, "victim": {"name": "dense"}, "loss": "cross_entropy",
                "draw": "random", "batch_size": 2, "clients": [1, 4], "seed": 0}
    return mixing(**settings | changes, attacks=attacks)


SEARCH = {"name": "in_span", "iterations": 15, "line_search": True, "relative": True,
          "labels": "idlg", "restarts": 2}


def test_mixed_gradients_have_a_row_an_attack_and_image():
    angle = {"name": "mixing_gradients", "iterations": 3}
    table, arrays = attacked([{"name": "demix"}, angle, angle | {"start": "demix"}, SEARCH],
                           draw="unique", shown=2)
    assert table.groupby("attack").client.apply(list).tolist() == [[1, 1, 2, 2, 3, 3]] * 4
    assert arrays["guesses"].shape == (4, 4, 1, 8, 8) and arrays["truth"].shape == (4, 1, 8, 8)
    each = table.groupby("attack")[["mse", "distance"]].median()
    assert each.mse[3] < 1e-6 and each.distance[3] < 1e-6 < each.distance[1]
    assert each.distance[2] < each.distance[1]  # three steps from near the images
    assert table.label_right.all()


def test_the_distance_is_of_the_images_beside_their_own_labels():
    found = SEARCH | {"labels": "analytic", "grant": "unknown"}
    table, _ = attacked([found], draw="unique", batch_size=3, clients=[0, 8])
    good = table[table.groupby("client").mse.transform("max") < 1e-6]
    assert good.client.nunique() > 3 and good.distance.max() < 1e-6


def test_mixed_gradients_of_equal_labels_that_the_attacker_is_not_told():
    grants = [SEARCH | {"labels": "idlg_bias", "grant": "equal"}, {"name": "demix"},
              {"name": "mixing_gradients", "iterations": 2, "grant": "unknown"}]
    table, _ = attacked(grants, draw="equal", defense=NOISE | {"variance": 0.0})
    told = table[table.attack == 0]
    assert told.label_right.all() and told.mse.median() < 1e-6
    blend = table[table.attack == 1].mse  # half of the other image is left
    assert blend.min() > 1e-3


def test_other_losses_and_several_rounds():
    angle = {"name": "mixing_gradients", "iterations": 2, "grant": "unknown"}
    table, _ = attacked([angle], loss="mse_softmax")
    assert table.mse.notna().all()  # labels are optimised
    table, _ = attacked([SEARCH], draw="equal", rounds=2, round_lr=0.01)
    assert table.mse.median() < 1e-6
    with pytest.raises(ValueError, match="one dense layer"):
        attacked([{"name": "demix"}], victim=LENET)


def test_the_error_of_demixing_is_what_the_formula_predicts():
    table, _ = demixing(DIGITS, "normal", [0.1, 1.0], [2], ["unique", "equal"],
                                   ["cross_entropy"], 5, 0, precision="float64")
    np.testing.assert_allclose(table.error, table.predicted, rtol=1e-3, atol=1e-9)
    assert len(table) == 2 * 2 * 5 * 2
    single = table[table.draw == "unique"].groupby("scale").neglected.median()
    assert single[1.0] < single[0.1]  # a surer softmax mixes less


# ---- 05: attacks under a defense

PHOTOS = {"name": "photos", "split": "train", "size": 16}
PREACT = {"name": "preact_resnet", "width": 4, "blocks": [1], "seed": 0}
HUANG = {"name": "huang", "iterations": 3}


def defended(attack=HUANG, batch_size=2, clients=8, **changes):
    return huang.defended(images=PHOTOS, victim=PREACT, attack=attack, batch_size=batch_size,
                          clients=clients, seed=0, **changes)


def test_defended_clients_have_a_row_an_image():
    table, arrays = defended(batch_size=4, clients=2, defense=[{"name": "prune", "p": 0.9}],
                             shown=1, record=[0, 3])
    assert len(table) == 8 and arrays["guesses"].shape == arrays["truth"].shape == (4, 3, 16, 16)
    assert arrays["path"].shape == (2, 2) and (table.labels_right == 1).all()
    assert (table.nearest_psnr >= table.psnr - 1e-4).all()
    one, _ = defended(batch_size=1, clients=3)
    np.testing.assert_allclose(one.psnr, one.nearest_psnr, rtol=1e-5)


def test_encodings_are_decoded_with_the_keys_of_the_pool():
    """With the encodings themselves in place of reconstructions, decoding finds the originals."""
    mixed = [{"name": "mixup", "k": 2}]
    kept = {}

    def perfect(update, attack, seed, record=()):
        own = case.composed(mixed, batch_size=2)
        fed = client.drawn(kept["held"], own, seed).images
        kept["draws"] = kept.get("draws", 0) + 1
        return SimpleNamespace(last=fed[:, None], last_labels=update.labels[:, None], seconds=0.0,
                               ended=[["budget"]] * len(fed))

    real, share = huang.attacks.reconstruct, huang.client.share
    try:
        huang.attacks.reconstruct = perfect
        huang.client.share = lambda model, held, *rest: (kept.update(held=held),
                                                         share(model, held, *rest))[1]
        table, _ = defended(defense=mixed)
        more, _ = defended(defense=mixed, draws=4)
    finally:
        huang.attacks.reconstruct, huang.client.share = real, share
    assert table.encoding_psnr.min() > 60
    assert table.decoded_psnr.median() > 20 > table.psnr.median()
    assert kept["draws"] == 5 and more.decoded_psnr.min() > table.decoded_psnr.min()
    assert more.encoding_psnr.equals(table.encoding_psnr)


def test_baselines_are_what_they_say():
    mixing = [{"name": "mixup", "k": 2}, {"name": "instahide", "k": 2}]
    table, _ = huang.baselines(PHOTOS, 8, 0, mixing)
    mean = table.groupby("guess").psnr.mean()
    assert table.guess.value_counts().eq(8).all() and len(mean) == 5
    assert mean["own mean colour"] > mean["mid-grey"] > mean["uniform noise"]
    assert table.nearest_psnr.isna().all()
    more, _ = huang.baselines(PHOTOS, 20, 0, [])
    assert (more.nearest_psnr >= more.psnr - 1e-3).sum() == 16 * 3
    assert mean["exact encoding, mixup 2"] > mean["exact encoding, instahide 2"]


@pytest.mark.parametrize(("name", "different"), [
    ("all different", 4), ("two labels", 2), ("all equal", 1)])
def test_the_labels_of_a_batch_are_as_asked(name, different):
    pictures = case.image_set(PHOTOS, 0)
    rows = deal.Labelled(huang.COMPOSITIONS[name]).rows(pictures, [0, 3], 4, 0)
    assert rows.shape == (3, 4) and len(rows.unique()) == 12
    assert all(len(y.unique()) == different for y in pictures.labels[rows])


def test_unknown_settings_of_a_study_are_named():
    with pytest.raises(ValueError, match="all different, two labels, all equal, not 'odd'"):
        defended(labels_of_batch="odd")
    with pytest.raises(ValueError, match="'random', 'unique' or 'equal', not 'odd'"):
        attacked([SEARCH], draw="odd")
    with pytest.raises(TypeError, match="'defence'"):
        defended(defence=None)
    with pytest.raises(TypeError, match="'clients'"):
        gias.searched(**{name: value for name, value in SEARCHED.items() if name != "clients"})


def test_operations_are_counted():
    table, _ = huang.effort({"name": "digits"}, [{"name": "dense"}], [1, 2])
    pixels, classes = 64, 10
    assert table.forward.tolist() == [2 * pixels * classes, 4 * pixels * classes]
    assert table.gradient.tolist() == [2 * count for count in table.forward]  # the weights'
    # Back through it: the products of the weights' gradient, those of logits; no weight's again.
    assert table.step.tolist() == [5 * count for count in table.forward]


GAN = {"images": DIGITS, "latent": 8, "width": 2, "train": {"steps": 3, "width": 2}}
SEARCHED = {"images": DIGITS, "victim": {"name": "dense", "hidden": [16]}, "generator": GAN,
            "spaces": ["z"], "iterations": {"z": 1}, "batch_size": 2, "clients": [1, 4], "seed": 0}


def test_search_spaces_share_the_latent_stage():
    victim = {"name": "dense", "hidden": [16], "seed": 0}
    its = {"z": 4, "w": 3, "x": 2, "signed x": 5}
    spaces = ["signed x", "z", "z/w", "z/x"]
    table, arrays = gias.searched(**SEARCHED | {
        "victim": victim, "spaces": spaces, "iterations": its, "restarts": 2, "record": 3,
        "shown": 4})
    assert table.space.value_counts().to_dict() == dict.fromkeys(
        ["signed x", "z", "z/w", "z/x"], 6)
    assert arrays["at z/w"].tolist() == [0, 2, 4, 4, 6, 7]
    np.testing.assert_array_equal(arrays["psnr z/w"][:, :3], arrays["psnr z"])
    np.testing.assert_allclose(arrays["losses z/x"][:, :3], arrays["losses z"], rtol=1e-5)
    assert arrays["guesses z/w"].shape == arrays["truth"].shape == (4, 1, 8, 8)
    each = table.pivot(index=["client", "image"], columns="space", values="objective")
    assert (each["z/w"] <= each["z"] + 1e-6).all() and table.seconds.gt(0).all()
    assert (table.distance <= table.objective + 1e-6).all() and table.distance.gt(0).all()


def test_the_prior_and_the_attacked_images_never_meet():
    settings = {"victim": {"name": "dense"}, "generator": GAN, "spaces": ["z"],
                "iterations": {"z": 1}, "batch_size": 1, "clients": [0, 397], "seed": 0}
    _, _, seen = gias.prior(GAN)
    _, arrays = gias.searched(images=DIGITS, shown=397, **settings)
    attacked = torch.tensor(arrays["truth"]).flatten(1).float()
    assert torch.cdist(attacked, seen.images.flatten(1).float()).min() > 0
    assert len(attacked.unique(dim=0)) == 397  # the whole split: nothing was left out
    with pytest.raises(ValueError, match="has seen"):
        gias.searched(images=DIGITS | {"split": "train"}, **settings)
    with pytest.raises(ValueError, match="no split"):
        gias.prior(GAN | {"images": DIGITS | {"split": "test"}})


def test_mid_grey_is_scored_on_the_attacked_images():
    table, _ = gias.grey(DIGITS, 2, [1, 4], 0)
    _, arrays = gias.searched(**SEARCHED, shown=6)
    error = ((arrays["truth"] / 255 - 0.5) ** 2).mean((1, 2, 3))
    np.testing.assert_allclose(table.psnr, -10 * np.log10(error), rtol=1e-3)


def test_people_are_split_where_a_set_is_not(tmp_path):
    for i, person in enumerate("abcd"):
        (tmp_path / "faces8" / person).mkdir(parents=True)
        for j in range(2):
            pixels = np.full((8, 8), 60 * i + j, np.uint8)
            Image.fromarray(pixels).save(tmp_path / "faces8" / person / f"{j}.png")
    images = {"name": str(tmp_path / "faces8"), "size": 8, "apart": 1}
    train, test = (gias.split_of(images, s, 0) for s in ("train", "test"))
    assert train.classes == ["a", "b", "c"] and test.classes == ["d"]
    assert (len(train), len(test)) == (6, 2) and test.images.min() >= 180


def test_a_generators_worth_is_measured_on_images_it_never_saw():
    table, arrays = gias.worth(DIGITS, GAN, 5)
    assert arrays["samples"].shape == arrays["nearest"].shape == (5, 1, 8, 8)
    assert len(table) == 1 and table.images.iloc[0] == 1400
    known = data.load("digits", split="train").images.numpy()
    assert all((known == one).all((1, 2, 3)).any() for one in arrays["nearest"])


def test_learning_from_gradients_is_tested_on_other_images():
    victim = {"name": "dense", "hidden": [16], "seed": 0}
    test = {"spaces": ["signed x", "z"], "iterations": {"z": 3, "signed x": 2}, "batch_size": 1,
            "clients": [0, 2]}
    untrained = {k: v for k, v in GAN.items() if k != "train"}
    table, arrays = gias.from_gradients(DIGITS, victim, untrained, 2, 3, [3, 3], 1e-2, [1, 2],
                                        {"easy": test})
    assert arrays["samples"].shape == (3, 8, 1, 8, 8)
    assert (arrays["samples"][0] != arrays["samples"][2]).any()
    assert table.prior.value_counts().to_dict() == dict.fromkeys(
        ["untrained", "learned from gradients", "none"], 2)
    assert set(table.test) == {"easy"} and (table.space[table.prior == "none"] == "signed x").all()
