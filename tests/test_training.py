"""Training a victim: what is refused before work, and that nothing but its arguments decides."""

import copy

import pytest
import torch
from tiny import Shape
from torch import nn

from lib import client, data, defenses, generators, models, training


@pytest.fixture(scope="module")
def digits():
    return data.load("digits").subset(range(40))


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


NAN = float("nan")


@pytest.mark.parametrize(("name", "wrong", "words"), [
    ("epochs", [0, -1, 1.5, True, "2", None], "epochs must be a whole number of 1 or more"),
    ("batch_size", [0, -4, 8.0, False, "8", None], "batch_size must be a whole number"),
    ("lr", [0, -0.1, NAN, float("inf"), True, "0.1", None], r"lr must be a finite number in \(0"),
    ("momentum", [1, 1.5, -0.1, NAN, "0.9", True], r"momentum must be .* in \[0, 1\)"),
    ("seed", [-1, 0.5, "0", None, True], "seed must be a whole number of 0 or more"),
    ("weight_decay", [-1e-4, NAN, "0", True], r"weight_decay must be a finite number in \[0"),
    ("augment", [1, 0, "no", None], "augment must be True or False"),
    ("normalise", [1, "no", None], "normalise must be True or False"),
    ("same_label", [0, -1, 2.0, "2", True], "same_label must be a whole number"),
    ("same_label", [3], "batch_size 8 is no multiple of same_label 3"),
    ("loss", ["mse", 3], "loss must be a function"), ("watch", [[], "print"], "watch must be a f"),
    ("loss", [lambda y, t: (y - t).square()], "must return one number"),
    ("loss", [lambda y, t: 0.0], "must return one number"),
    ("cache", [3, True, []], "cache must be a folder"),
    ("defense", ["gaussian", 3], "is no defense"),
])
def test_settings_are_checked_before_any_work(digits, name, wrong, words):
    model = models.dense(digits)
    before = weights(model)
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            models.train(model, digits, **{"epochs": 1, "batch_size": 8, name: value})
    assert torch.equal(weights(model), before)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(64, 10)

    def forward(self, x):
        return self.dense(x.flatten(1)), x


@pytest.mark.parametrize(("model", "words"), [
    (lambda: models.dense(Shape((1, 8, 8), 9)), "9 outputs, but digits has 10 classes"),
    (lambda: models.lenet(Shape((3, 8, 8), 10)), r"shape \(1, 8, 8\) do not fit the model"),
    (lambda: models.dense(Shape((1, 9, 9), 10)), "do not fit the model"),
    (lambda: models.dense(Shape((1, 8, 8), 10)).double(), "do not fit the model"),
    (lambda: nn.Conv2d(1, 10, 3), r"logits of shape \(batch, classes\)"),
    (Pair, r"logits of shape \(batch, classes\)"),
    (lambda: nn.Flatten(), "no .*parameters"), (lambda: "lenet", "model must be one nn.Module"),
    (lambda: models.lenet, "model must be one nn.Module"),
    (lambda: models.ensemble(models.dense, Shape((1, 8, 8), 10), range(2)), "one by one"),
])
@pytest.mark.parametrize("door", [lambda m, d: models.train(m, d, 1), models.accuracy])
def test_a_model_that_does_not_fit_the_set_is_refused(digits, door, model, words):
    with pytest.raises(ValueError, match=words):
        door(model(), digits)


def test_a_frozen_model_can_be_measured_but_not_trained(digits):
    model = models.dense(digits).requires_grad_(False)
    assert 0 <= models.accuracy(model, digits) <= 1
    with pytest.raises(ValueError, match="no trainable parameters"):
        models.train(model, digits)
    for normalise in (1, "no", None):
        with pytest.raises(ValueError, match="normalise must be"):
            models.accuracy(model, digits, normalise)


@pytest.mark.parametrize("images", [None, "digits", torch.rand(4, 1, 8, 8), Shape()])
@pytest.mark.parametrize("door", [models.train, models.accuracy])
def test_only_an_image_set_is_trained_on(door, images):
    with pytest.raises(ValueError, match="images must be an ImageSet"):
        door(models.dense(Shape()), images)


def test_more_outputs_than_classes_are_for_hard_labels_only(digits):
    wide = Shape((1, 8, 8), 12)
    models.train(models.dense(wide), digits, 1, 8)
    for how in ({"loss": client.LOSSES["mse"]}, {"defense": defenses.MixUp(2)},
                {"defense": defenses.DPSGD(1.0, 1.0, 8)}):
        with pytest.raises(ValueError, match="12 outputs"):
            models.train(models.dense(wide), digits, 1, 8, **how)


@pytest.mark.parametrize(("defense", "batch_size", "words"), [
    (defenses.EqualLabels(2), 8, r"EqualLabels\(batch_size=2\) draws images .* same_label="),
    ([defenses.GradPrune(0.5), defenses.EqualLabels(2)], 8, "same_label="),
    (defenses.DPSGD(1.0, 1.0, 64), 8, "an update of 8 images: its batch_size"),
    (defenses.DPSGD(1.0, 1.0, 64), 64, "an update of 40 images"),
    ((defenses.MixUp(2, 0.65, 4), defenses.DPSGD(1.0, 1.0, 8)), 8, "an update of 4 images"),
    (defenses.MixUp(4), 3, "needs more than the client's 3 images"),
    (defenses.MixUp(4), 19, "needs more than the client's 2 images"),  # the last batch
    (defenses.InstaHide(2, 0.65, 9), 8, "needs more than the client's 8 images"),
])
def test_a_defense_that_does_not_fit_every_batch_is_refused_before_work(
        digits, defense, batch_size, words):
    model = models.dense(digits)
    before = weights(model)
    with pytest.raises(ValueError, match=words):
        models.train(model, digits, 1, batch_size, defense=defense)
    assert torch.equal(weights(model), before)


def test_defenses_of_the_right_size_are_applied_in_each_step(digits):
    for defense, batch_size in (((defenses.MixUp(2, 0.65, 4), defenses.DPSGD(1.0, 1.0, 4)), 8),
                                ([defenses.DPSGD(1.0, 1.0, 16)], 16),
                                ([defenses.GradPrune(1.0)], 8)):
        plain = models.train(models.dense(digits), digits, 1, batch_size, defense=[])
        defended = models.train(models.dense(digits), digits, 1, batch_size, defense=defense)
        assert not torch.equal(weights(plain), weights(defended))
    assert torch.equal(weights(defended), weights(models.dense(digits)))  # all is pruned


class Renames:
    def update(self, grads, rng):
        return {"x." + name: g for name, g in grads.items()}


class Shrinks:
    def per_example(self, grads):
        return {name: g[:1] for name, g in grads.items()}


class Brightens:
    def encode(self, images, targets, rng):
        return images + 1, targets


@pytest.mark.parametrize(("defense", "words"), [
    (Renames(), r"update\(\) of the defense Renames must keep the names"),
    (Shrinks(), r"per_example\(\) of the defense Shrinks .*same shapes"),
    (Brightens(), r"encode\(\) of the defense Brightens returned images in \[1, 2\]")])
def test_what_a_defense_returns_is_checked_in_training(digits, defense, words):
    with pytest.raises(ValueError, match=words):
        models.train(models.dense(digits), digits, 1, 8, defense=defense)


def test_a_training_that_diverges_is_no_error(digits):
    defense = [defenses.GaussianNoise(1e30), defenses.LowPrecision("float16")]
    model = models.train(models.dense(digits), digits, 1, 8, defense=defense)
    assert not weights(model).isfinite().all()


def test_the_number_of_threads_decides_nothing_and_is_put_back():
    photos, threads = data.load("photos", size=16), torch.get_num_threads()
    try:
        trained = []
        for count in (1, 2):
            torch.set_num_threads(count)
            inside = []
            model = models.train(models.lenet(photos, seed=0), photos, 1, 16,
                                 watch=lambda *_, into=inside: into.append(torch.get_num_threads()))
            net = generators.dcgan(photos, 4, 2)
            gan, _ = generators.train(net, photos, 2, 16, width=2)
            assert inside == [1, 1] and torch.get_num_threads() == count
            trained.append(torch.cat([weights(model), weights(gan)]))
            with pytest.raises(ValueError):
                models.train(models.lenet(photos), photos, 1, 16, defense=Renames())
            assert torch.get_num_threads() == count
        assert torch.equal(*trained)
    finally:
        torch.set_num_threads(threads)


def test_the_seed_covers_random_layers_and_the_callers_numbers_are_left(digits):
    start = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(64, 10))
    trained = []
    for _ in range(2):
        state = torch.get_rng_state()
        trained.append(weights(models.train(copy.deepcopy(start), digits, 1, 8, seed=3)))
        assert torch.equal(state, torch.get_rng_state())
        torch.rand(3)
    assert torch.equal(*trained)
    other = weights(models.train(copy.deepcopy(start), digits, 1, 8, seed=4))
    assert not torch.equal(trained[0], other)
    clipped = defenses.DPSGD(1e9, 0.0, 8)  # each image has a Dropout of its own
    each = [models.train(copy.deepcopy(start), digits, 1, 8, defense=clipped) for _ in range(2)]
    assert torch.equal(weights(each[0]), weights(each[1]))


def test_accuracy_is_that_of_eval_mode_and_leaves_the_mode_alone(digits):
    model = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(64), nn.Linear(64, 10)).train()
    model[1].eval()
    before = copy.deepcopy(model.state_dict())
    assert models.accuracy(model, digits) == models.accuracy(copy.deepcopy(model).eval(), digits)
    assert model.training and not model[1].training and model[2].training
    assert all(torch.equal(t, before[n]) for n, t in model.state_dict().items())


def test_a_damaged_file_of_weights_is_named(digits, tmp_path):
    models.train(models.dense(digits), digits, 1, 8, cache=tmp_path)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    for damage in (whole[: len(whole) // 2], b"", b"no weights"):
        file.write_bytes(damage)
        with pytest.raises(ValueError, match=f"{file.name} is damaged, delete it"):
            models.train(models.dense(digits), digits, 1, 8, cache=str(tmp_path))
    torch.save({"other": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="is damaged, delete it"):
        models.train(models.dense(digits), digits, 1, 8, cache=tmp_path)


def test_weights_that_cannot_be_written_leave_nothing_behind(tmp_path, monkeypatch):
    def full(state, file):
        name = getattr(file, "name", file)
        with open(name, "wb") as half:
            half.write(b"half")
        raise OSError("no space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(OSError, match="no space"):
        training.save_weights(nn.Linear(2, 2), tmp_path / "victim.pt")
    assert not list(tmp_path.iterdir())
