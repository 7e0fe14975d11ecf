import copy

import pytest
import torch
import torchvision
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, data, models, run, training
from studies import describe

RGB = Shape((3, 32, 32), 10)
PHOTO = Shape((3, 64, 64), 1000)


def test_lenet_is_the_official_one():
    model = models.lenet(RGB)
    assert sum(p.numel() for p in model.parameters()) == 15826  # 85,036 with 100 classes
    values = torch.cat([p.detach().flatten() for p in model.parameters()])
    assert values.abs().max() <= 0.5 and values.abs().mean() == pytest.approx(0.25, abs=0.01)
    assert sum(p.numel() for p in models.lenet(Shape((3, 32, 32), 100)).parameters()) == 85036


@pytest.mark.parametrize("build", [models.dense, models.lenet, models.convnet, models.resnet])
def test_same_seed_same_weights(build):
    images = Shape((3, 16, 16), 5)
    a, b, c = (build(images, seed=s) for s in (1, 1, 2))
    state = torch.get_rng_state()
    build(images, seed=3)
    assert torch.equal(state, torch.get_rng_state())
    for p, q in zip(a.parameters(), b.parameters(), strict=True):
        assert torch.equal(p, q)
    first = [next(iter(m.parameters())) for m in (a, c)]
    assert not torch.equal(*first)
    assert a(torch.rand(2, 3, 16, 16)).shape == (2, 5)


def test_initialisations_and_activations():
    wide = models.lenet(RGB, init="normal", scale=0.1)
    assert float(wide[0].weight.detach().std()) == pytest.approx(0.1, rel=0.1)
    assert torch.equal(
        models.lenet(RGB, init="default")[0].weight, models.lenet(RGB, init="default")[0].weight
    )
    for name, kind in models.ACTIVATIONS.items():
        assert any(isinstance(m, kind) for m in models.resnet(RGB, 8, 4, activation=name).modules())
    strided, flat = models.resnet(RGB, 8, 4), models.resnet(RGB, 8, 4, strides=False)
    assert all(m.stride == (1, 1) for m in flat.modules() if isinstance(m, nn.Conv2d))
    assert any(m.stride == (2, 2) for m in strided.modules() if isinstance(m, nn.Conv2d))


@pytest.mark.parametrize(
    "call",
    [
        lambda: models.lenet(RGB, activation="swish"),
        lambda: models.lenet(RGB, init="zeros"),
        lambda: models.resnet(RGB, depth=19),
        lambda: models.convnet(Shape((1, 8, 8))),
        lambda: models.ensemble(models.lenet, RGB, seeds=[]),
        lambda: models.prepare(models.lenet(RGB), mode="both"),
    ],
)
def test_bad_input_is_one_clear_error(call):
    with pytest.raises(ValueError):
        call()


WHOLE = [0, -1, 2.0, 2.5, True, "8", None]
GREY = Shape((1, 12, 12), 4)


@pytest.mark.parametrize(("build", "wrong", "words"), [
    (lambda v: models.dense(GREY, hidden=v), [16, "16", None, {"a": 1}, torch.tensor([16])],
     r"hidden must be a tuple of whole numbers, as \(64, 32\)"),
    (lambda v: models.dense(GREY, hidden=(8, v)), WHOLE, "each of hidden must be a whole number"),
    (lambda v: models.dense(GREY, activation=v), ["swish", None, nn.ReLU, True, []],
     "unknown activation"),
    (lambda v: models.lenet(GREY, activation=v), ["swish", None, nn.ReLU], "unknown activation"),
    (lambda v: models.lenet(GREY, channels=v), WHOLE, "channels must be a whole number"),
    (lambda v: models.lenet(GREY, kernel=v), WHOLE, "kernel must be a whole number"),
    (lambda v: models.lenet(GREY, kernel=v), [2, 4], "kernel is odd"),
    (lambda v: models.lenet(GREY, strides=v), [0, 1, "no", None], "strides must be True or False"),
    (lambda v: models.lenet(GREY, norm=v), ["instance", False, "", nn.BatchNorm2d],
     "unknown norm"),
    (lambda v: models.lenet(GREY, init=v), ["zeros", None, True], "unknown init"),
    (lambda v: models.lenet(GREY, init="uniform", scale=v),
     [0, -0.5, float("nan"), float("inf"), True, "0.5", None], "scale must be a finite number"),
    (lambda v: models.lenet(GREY, init="normal", scale=v), [0, -1], "scale must be"),
    (lambda v: models.lenet(GREY, init="default", scale=v), [-1, "0.5", float("nan")],
     "scale must be"),
    (lambda v: models.convnet(GREY, width=v), WHOLE, "width must be a whole number"),
    (lambda v: models.resnet(GREY, depth=v), [*WHOLE, 7], "depth must be a whole number of 8"),
    (lambda v: models.resnet(GREY, depth=v), [9, 18, 34], "resnet depth is 6n"),
    (lambda v: models.resnet(GREY, 8, width=v), WHOLE, "width must be a whole number"),
    (lambda v: models.resnet(GREY, 8, 2, strides=v), [1, "no"], "strides must be"),
    (lambda v: models.preact_resnet(GREY, width=v), WHOLE, "width must be a whole number"),
    (lambda v: models.preact_resnet(GREY, 2, v), ["instance", None, True], "unknown norm"),
    (lambda v: models.preact_resnet(GREY, 2, blocks=v), [2, None, "22"], "blocks must be a tuple"),
    (lambda v: models.preact_resnet(GREY, 2, blocks=(1, v)), WHOLE, "each of blocks must be"),
    (lambda v: models.preact_resnet(GREY, 2, blocks=v), [(), []], "at least one stage"),
    (lambda v: models.vit(GREY, patch=v), WHOLE, "patch must be a whole number"),
    (lambda v: models.vit(GREY, patch=v), [5, 24], "do not tile"),
    (lambda v: models.vit(GREY, width=v), WHOLE, "width must be a whole number"),
    (lambda v: models.vit(GREY, width=v), [10, 3], "multiple of heads"),
    (lambda v: models.vit(GREY, layers=v), WHOLE, "layers must be a whole number"),
    (lambda v: models.vit(GREY, heads=v), WHOLE, "heads must be a whole number"),
    (lambda v: models.imagenet_resnet(GREY, v), [20, "18", True, None], "unknown depth"),
    (lambda v: models.imagenet_resnet(GREY, 18, v), WHOLE, "width must be a whole number"),
    (lambda v: models.imagenet_resnet(GREY, 18, 4, v), ["tiny", None], "unknown stem"),
    (lambda v: models.imagenet_resnet(GREY, pretrained=v), [1, "yes"], "pretrained must be True"),
    (lambda v: models.efficientnet_lite0(PHOTO, v), [1, "yes"], "pretrained must be True"),
    (lambda v: models.efficientnet_lite0(v), [GREY, RGB, Shape((3, 32, 40), 1000),
                                              Shape((3, 31, 31), 1000), Shape((3, 64, 64), 10)],
     "takes square colour images from 32 pixels"),
    (lambda v: models.imagenet_resnet(v, stem="imagenet"), [GREY], "takes 3 channels.*have 1"),
    (lambda v: models.imagenet_resnet(v, stem="imagenet", pretrained=True), [RGB],
     "1,000 classes.*10 classes"),
])
def test_arguments_of_builders_are_checked(build, wrong, words):
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            build(value)


@pytest.mark.parametrize("build", [models.dense, models.lenet, models.convnet, models.resnet,
                                   models.preact_resnet, models.vit, models.imagenet_resnet])
def test_what_a_builder_builds_for_is_checked(build):
    for seed in (-1, 0.5, "0", True, None, 2**63):
        with pytest.raises(ValueError, match="seed must be a whole number"):
            build(GREY, seed=seed)
    for images in (None, "digits", torch.rand(4, 1, 8, 8), (1, 8, 8), Shape((8, 8))):
        with pytest.raises(ValueError, match="a model is built for an ImageSet"):
            build(images)
    for shape in ((1, 0, 8), (1, 8.0, 8), ("1", 8, 8)):
        with pytest.raises(ValueError, match="each of images.shape"):
            build(Shape(shape))
    for classes in (0, -1, 2.5, True, "4"):
        with pytest.raises(ValueError, match="images.num_classes must be a whole number"):
            build(Shape(num_classes=classes))


@pytest.mark.parametrize("model", [nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten()), None, "lenet",
                                   models.lenet])
def test_only_a_model_with_a_dense_layer_has_classes_to_permute(model):
    with pytest.raises(ValueError, match="last dense layer: .* has none"):
        models.permute_classes(model)


@pytest.mark.parametrize(("arguments", "words"), [
    ((models.lenet, RGB, []), "at least one seed"), ((models.lenet, RGB, 3), "seeds must be"),
    ((models.lenet, RGB, "012"), "seeds must be"), ((models.lenet, RGB, None), "seeds must be"),
    ((models.lenet, RGB, [0, 1.5]), "each of seeds must be a whole number"),
    ((models.lenet, RGB, [True]), "each of seeds must be"), (("lenet", RGB, [0]), "builder must"),
    ((models.lenet(RGB), RGB, [0]), "builder must be a function"),
    ((lambda images, seed: models.dense(images, (4 + seed,)), RGB, range(2)), "same architecture"),
    ((lambda images, seed: models.dense(images, (4,) * (1 + seed)), RGB, range(2)), "same archi"),
    ((lambda images, seed: models.dense(images, (4,), ("relu", "tanh")[seed]), RGB, range(2)),
     "same architecture"),
    ((lambda images, seed: None, RGB, range(2)), "same architecture"),
])
def test_an_ensemble_is_of_one_architecture(arguments, words):
    with pytest.raises(ValueError, match=words):
        models.ensemble(*arguments)


def test_prepare_changes_no_output_in_eval_mode():
    torch.manual_seed(0)
    model = nn.Sequential(models.resnet(Shape((3, 16, 16), 5), 8, 4), nn.Dropout(0.5)).eval()
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(), m.running_var.uniform_(0.5, 2), m.weight.data.normal_()
    x = torch.rand(4, 3, 16, 16)
    ready = models.prepare(model, "eval")
    assert [n for n, _ in ready.named_parameters()] == [n for n, _ in model.named_parameters()]
    torch.testing.assert_close(ready(x), model(x))
    assert any(isinstance(m, nn.BatchNorm2d) for m in model.modules()), (
        "the caller's model is left alone"
    )


def test_prepare_uses_batch_statistics_in_train_mode():
    model = models.convnet(Shape((1, 9, 9)), width=4)
    x = torch.rand(6, 1, 9, 9)
    torch.testing.assert_close(models.prepare(model, "train")(x), model.train()(x))


def test_prepare_names_the_layer_that_cannot_be_batched():
    class Sorts(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    model = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), Sorts(), nn.Linear(8, 4))
    with pytest.raises(ValueError, match=r"2 \(Sorts\)"):
        models.try_batched(models.prepare(model), (1, 8, 8))


def test_ensemble_is_its_members():
    images, x = Shape(), torch.rand(3, 2, 1, 8, 8)
    together = models.ensemble(models.lenet, images, seeds=range(3), activation="tanh")
    for k in range(3):
        torch.testing.assert_close(together(x)[k], models.lenet(images, "tanh", seed=k)(x[k]))


class Reused(nn.Module):
    """One BatchNorm under two names, a weight tied to another, an integer buffer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(64, 64), nn.Linear(64, 64)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(64)
        self.again = self.norm
        self.head = nn.Linear(64, 4)
        self.register_buffer("order", torch.randperm(64))

    def forward(self, x):
        x = self.norm(self.first(x.flatten(1)[:, self.order]).sigmoid())
        return self.head(self.again(self.second(x)))


def test_reused_modules_tied_weights_and_integer_buffers():
    members, x = [Reused() for _ in range(3)], torch.rand(3, 5, 1, 8, 8)
    train = models.prepare(members[0], "train")
    torch.testing.assert_close(train(x[0]), members[0].train()(x[0]))
    together = models.Ensemble([m.eval() for m in members])
    for k in range(3):
        torch.testing.assert_close(together(x)[k], members[k](x[k]))


def parameters(model):
    return sum(p.numel() for p in model.parameters())


def test_the_papers_residual_networks_have_their_sizes():
    cifar, imagenet = Shape((3, 32, 32), 10), Shape((3, 64, 64), 1000)
    assert parameters(models.imagenet_resnet(cifar, 18)) == 11_173_962  # the usual CIFAR ResNet-18
    assert parameters(models.imagenet_resnet(cifar, 50)) == 23_520_842
    wide = models.resnet(cifar, 20, 64)  # ResNet20-4: every convolution 16 times the plain one's
    convolutions = [sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))
                    for net in (wide, models.resnet(cifar, 20, 16))]
    first = 3 * 9 * 16
    assert convolutions[0] - 4 * first == 16 * (convolutions[1] - first)
    own = models.imagenet_resnet(imagenet, 34, stem="imagenet")
    theirs = torchvision.models.resnet34().state_dict()
    assert {n: t.shape for n, t in own.state_dict().items()} == {
        n: t.shape for n, t in theirs.items()}
    x = torch.rand(2, 3, 32, 32)
    for depth in (18, 50):
        model = models.imagenet_resnet(cifar, depth, 4)
        for mode in ("eval", "train"):
            ready = models.prepare(model, mode)
            torch.testing.assert_close(ready(x), model.train(mode == "train")(x))
            model.eval()
        models.try_batched(models.prepare(model), (3, 32, 32))


def test_pretrained_weights_are_read_and_never_fetched(tmp_path):
    run.start(data_root=tmp_path)
    images = Shape((3, 64, 64), 1000)
    with pytest.raises(FileNotFoundError, match="make weights"):
        models.imagenet_resnet(images, 18, stem="imagenet", pretrained=True)
    other = torchvision.models.resnet18()
    (tmp_path / "weights").mkdir()
    torch.save(other.state_dict(), tmp_path / "weights/resnet18-f37072fd.pth")
    found = models.imagenet_resnet(images, 18, stem="imagenet", pretrained=True)
    assert torch.equal(found.conv1.weight, other.conv1.weight)
    (tmp_path / "weights/resnet18-f37072fd.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="f37072fd.pth is damaged, delete it"):
        models.imagenet_resnet(images, 18, stem="imagenet", pretrained=True)
    run.start()


def test_training_learns_and_its_weights_are_kept_by_configuration(tmp_path):
    digits = data.load("digits", "train").subset(range(600))
    seen = []

    def trained(seed=0, **changes):
        model = models.lenet(digits, activation="relu", init="default", seed=seed)
        how = {"epochs": 4, "batch_size": 16, "normalise": True} | changes
        return models.train(model, digits, **how)

    one = trained(cache=tmp_path)
    assert models.accuracy(one, digits, normalise=True) > 0.8
    again = trained(watch=lambda epoch, model: seen.append((epoch, model.training)))
    assert seen == [(i, False) for i in range(5)]
    for a, b in zip(one.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
    (kept,) = tmp_path.iterdir()
    state = torch.load(kept, weights_only=True)
    torch.save({n: torch.zeros_like(t) for n, t in state.items()}, kept)
    assert not any(p.any() for p in trained(cache=tmp_path).parameters())  # read, not trained
    for change in ({"seed": 1}, {"epochs": 3}, {"augment": True}, {"normalise": False}):
        assert any(p.any() for p in trained(cache=tmp_path, **change).parameters())
    assert len(list(tmp_path.iterdir())) == 5


def test_augmentation_moves_and_mirrors_within_the_padding():
    x = torch.arange(1, 65, dtype=torch.uint8).view(1, 1, 8, 8).expand(200, -1, -1, -1)
    moved = training._moved(x, torch.Generator().manual_seed(0))
    padded = nn.functional.pad(x[0, 0], (1,) * 4)
    crops = [padded[i : i + 8, j : j + 8] for i in range(3) for j in range(3)]
    allowed = {tuple(c.flatten().tolist()) for crop in crops for c in (crop, crop.flip(1))}
    assert {tuple(image.flatten().tolist()) for image in moved} == allowed


@pytest.mark.parametrize("build", [
    lambda s: models.lenet(s), lambda s: models.ensemble(models.lenet, s, range(3))])
def test_permuted_classes_are_the_outputs_shifted_by_one(build):
    model = build(Shape())
    x = torch.rand(3, 2, 1, 8, 8) if isinstance(model, models.Ensemble) else torch.rand(2, 1, 8, 8)
    torch.testing.assert_close(models.permute_classes(model)(x), model(x).roll(1, -1))


@pytest.mark.parametrize("mode", ["eval", "train"])
def test_moments_are_those_of_every_batchnorms_input(mode):
    model = models.convnet(Shape((1, 9, 9)), width=2)
    for m in model.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.normal_(), m.running_var.uniform_(0.5, 2)
    ready, x = models.prepare(model, mode), torch.rand(4, 1, 9, 9)
    state = dict(ready.named_parameters()) | dict(ready.named_buffers())
    found = models.moments(ready, state, x)
    hidden, of = x, iter(found)
    for layer in model.train(mode == "train"):
        if isinstance(layer, nn.BatchNorm2d):
            _, mean, var, stored_mean, stored_var = next(of)
            torch.testing.assert_close(mean, hidden.mean((0, 2, 3)))
            torch.testing.assert_close(var, hidden.var((0, 2, 3), unbiased=False))
            assert stored_mean is not None and stored_var.shape == var.shape
        hidden = layer(hidden)
    assert next(of, None) is None


def test_an_ensemble_comes_apart_into_its_members():
    nets = [models.convnet(Shape((1, 9, 9)), width=2, seed=s) for s in (0, 1, 2)]
    nets[1][1].running_mean.fill_(3.0)
    apart, x = models.Ensemble([copy.deepcopy(n) for n in nets]).unstack(), torch.rand(2, 1, 9, 9)
    for own, member in zip(nets, apart, strict=True):
        assert torch.equal(own(x), member(x))
        assert isinstance(member[0].weight, nn.Parameter)
        assert member[0].weight.untyped_storage().nbytes() == own[0].weight.nbytes


def test_rounds_share_the_mean_over_the_rounds():
    b, nets = batch(K=2, B=2), [models.dense(Shape(), seed=s) for s in (0, 1, 2)]
    update = client.share(models.Rounds(nets), b)
    together = update.gradients
    assert update.card()["shared"].startswith("3 rounds of the same batch, each one gradient")
    for t, net in enumerate(nets):
        for n, g in client.share(net, b).gradients.items():
            torch.testing.assert_close(together[f"rounds.{t}.{n}"], g / 3)


def test_batches_of_one_label_each():
    labels = torch.tensor([0, 1, 2] * 7)
    order = training._dealt(labels, 2, torch.Generator().manual_seed(0))
    assert len(order.unique()) == len(order) == 18  # one image of each label is left over
    assert (labels[order].view(-1, 2).diff(dim=1) == 0).all()
    assert labels[order].view(-1, 2)[:, 0].tolist() != sorted(labels[order].view(-1, 2)[:, 0])


@pytest.mark.parametrize("loss, same_label", [("mse", 1), ("mse_softmax", 1), (None, 4)])
def test_training_under_another_loss_or_on_equal_labels_learns(loss, same_label):
    digits = data.load("digits", split="train").subset(range(400))
    model = models.dense(digits, seed=0)
    criterion = loss and client.LOSSES[loss]
    models.train(model, digits, 8, 16, 0.05, loss=criterion, same_label=same_label)
    assert models.accuracy(model, digits) > 0.7
    with pytest.raises(ValueError, match="no multiple"):
        models.train(model, digits, 1, 10, same_label=4)


# --- EfficientNet-Lite0, whose weights a package brings


def test_lite0_knows_photographs():
    """By the classes of ImageNet: espresso 967, missile 657."""
    said = describe.for_imagenet(data.load("photos", size=128).subset(range(10)))
    assert said.num_classes == 1000 and said.labels[[1, 3]].tolist() == [967, 657]
    assert said.mean.tolist() == pytest.approx([models.LITE0_MEAN] * 3)
    model = models.efficientnet_lite0(said).eval()
    assert sum(p.numel() for p in model.parameters()) == 4_652_008
    assert models.accuracy(model, said, normalise=True) == 1
    assert models.accuracy(model, said, normalise=False) < 0.9
    other = models.efficientnet_lite0(said, pretrained=False, seed=1)
    assert models.accuracy(other.eval(), said, normalise=True) <= 0.1
    again = models.efficientnet_lite0(said, pretrained=False, seed=1)
    assert torch.equal(other._fc.weight, again._fc.weight)


def shared_lite0():
    photographs = describe.for_imagenet(data.load("photos", size=32).subset(range(2)))
    model, batch = models.efficientnet_lite0(photographs).eval(), photographs.clients(1)
    protocol = client.Protocol(normalise=True)
    threat = client.ThreatModel(labels="known")
    return model, batch, client.share(model, batch, protocol, threat=threat)


def test_lite0_shares_the_gradient_of_plain_autograd():
    model, batch, update = shared_lite0()
    z = (batch.images[0] - batch.mean[:, None, None]) / batch.std[:, None, None]
    loss = torch.nn.functional.cross_entropy(model(z), batch.labels[0])
    wanted = torch.autograd.grad(loss, list(model.parameters()))
    for (name, _), gradient in zip(model.named_parameters(), wanted, strict=True):
        torch.testing.assert_close(update.gradients[name][0], gradient, rtol=1e-3, atol=1e-5)


@pytest.mark.slow
def test_lite0_is_attacked_as_it_comes():
    _, batch, update = shared_lite0()
    found = attacks.reconstruct(update, attacks.inverting_gradients(200, tv=0.1))
    assert found.history.losses[-1].item() < 0.9 * found.history.losses[0].item()
