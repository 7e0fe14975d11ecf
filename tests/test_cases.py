"""Small situations of users that once went wrong, each with its right value or its one error."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import nn
from torch.nn.functional import cross_entropy
from torchmetrics.functional.image import structural_similarity_index_measure

from lib import attacks, client, data, defenses, labels, metrics, models, objectives, priors, update

SMALL = (3, 8, 8)
FITS = {"shape": SMALL, "num_classes": 5}


def picture(count=1, shape=SMALL) -> torch.Tensor:
    """Images (count, C, H, W) in [0, 1], the same at each call."""
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(0))


def seeded(build) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build()


def slopes(net, x, y) -> dict[str, torch.Tensor]:
    """Autograd's gradients of the mean cross-entropy, in the mode that the net is in."""
    named = dict(net.named_parameters())
    loss = cross_entropy(net(x), y)
    return dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))


def assert_equal(ours: dict, wanted: dict, tolerance=1e-5) -> None:
    """ours (1, ...) of one client; within `tolerance` of the largest entry of `wanted`."""
    assert set(ours) == set(wanted)
    largest = max(t.abs().max() for t in wanted.values())
    for name, t in wanted.items():
        assert (ours[name][0] - t).abs().max() <= tolerance * largest, name


def assert_shares(net, x, y, classes=5) -> client.SharedUpdate:
    """What `share` computes is autograd's gradient, and an attack's step runs on it."""
    shared = client.share(net, data.Batch(x[None], y[None], classes))
    assert_equal(shared.gradients, slopes(net, x, y))
    guess = attacks.reconstruct(shared, attacks.dlg(1))
    assert guess.history.losses.isfinite().all()
    return shared


def trained(net, x, y, steps, **settings) -> dict[str, torch.Tensor]:
    """The state_dict after `steps` of torch's SGD on one batch, in the mode that the net is in."""
    net = copy.deepcopy(net)
    optimizer = torch.optim.SGD(net.parameters(), **settings)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(net(x), y).backward()
        optimizer.step()
    return {n: t.detach().clone() for n, t in net.state_dict().items()}


def state(net) -> dict[str, torch.Tensor]:
    return {n: t.detach().clone() for n, t in net.state_dict().items()}


def objections(update, attack=None, guess=None) -> str:
    """What `diagnose` has against an attack: the text of the rows that are not ok."""
    table = attacks.diagnose(update, attack, guess)
    return table[table.verdict != "ok"].to_string()


def photo_net() -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 12, 5, 2, 2), nn.Sigmoid(), nn.Flatten(), nn.Linear(768, 10))


@pytest.fixture(scope="module")
def photos():
    return data.load("photos", size=16)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


# --- models --------------------------------------------------------------------------------------

class _Auxiliary(nn.Module):
    """In train mode a second head enters the client's loss, as GoogLeNet's does."""

    def __init__(self):
        super().__init__()
        self.features = nn.Conv2d(3, 12, 5, 2, 2)
        self.aux, self.head = nn.Linear(192, 5), nn.Linear(192, 5)

    def forward(self, x):
        f = self.features(x).sigmoid().flatten(1)
        return (self.head(f), self.aux(f)) if self.training else self.head(f)


def test_a_head_that_exists_in_train_mode_only_is_told():
    net, y = seeded(_Auxiliary).train(), torch.tensor([3])
    out, aux = net(picture())
    (cross_entropy(out, y) + 0.4 * cross_entropy(aux, y)).backward()
    try:
        shared = client.SharedUpdate.from_gradients(
            net, [p.grad for p in net.parameters()], client.Protocol(mode="train"), **FITS)
    except ValueError as error:
        told = str(error)
    else:
        told = objections(shared, attacks.idlg())
    assert "aux" in told


class _Recurrent(nn.Module):
    """A classifier over the rows of an image."""

    def __init__(self, kind):
        super().__init__()
        self.rnn, self.head = kind(24, 12, batch_first=True), nn.Linear(12, 5)

    def forward(self, x):
        return self.head(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0][:, -1])


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN, nn.LSTM])
def test_recurrent_networks_are_shared_and_attacked(kind):
    assert_shares(seeded(lambda: _Recurrent(kind)), picture(2), torch.tensor([0, 1]))


def test_half_precision_is_computed_in_float32():
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5))).half()
    x, y = picture(2).half(), torch.tensor([1, 3])
    cross_entropy(net(x), y).backward()
    shared = client.SharedUpdate.from_gradients(
        net, [p.grad for p in net.parameters()], batch_size=2, **FITS)
    assert all(t.dtype == torch.float32 for t in shared.gradients.values())
    assert labels.infer(shared, "analytic").tolist() == [[1, 3]]
    assert len(attacks.diagnose(shared, attacks.dlg()))
    assert attacks.reconstruct(shared, attacks.dlg(2)).images.dtype == torch.float32


@pytest.mark.parametrize("layer", [nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh])
def test_hard_activations_are_shared_and_attacked(layer):
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 8), layer(), nn.Linear(8, 5)))
    assert_shares(net, picture(), torch.tensor([1]))


def test_mobilenet_v3_is_shared():
    net = seeded(lambda: torchvision.models.mobilenet_v3_small(weights=None, num_classes=5)).eval()
    x, y = picture(1, (3, 32, 32)), torch.tensor([1])
    shared = client.share(net, data.Batch(x[None], y[None], 5))
    assert_equal(shared.gradients, slopes(net, x, y))


class _NormAct(nn.BatchNorm2d):
    """A subclass that also activates, as timm's BatchNormAct2d."""

    def forward(self, x):
        return torch.sigmoid(super().forward(x))


def test_a_norm_that_also_activates_keeps_its_activation():
    net = seeded(lambda: nn.Sequential(
        nn.Conv2d(3, 12, 5, 2, 2), _NormAct(12), nn.Flatten(), nn.Linear(192, 5))).eval()
    x = picture(2)
    assert torch.allclose(models.prepare(net)(x), net(x), atol=1e-6)
    assert_shares(net, x, torch.tensor([1, 3]))


@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_old_weight_and_spectral_norm_are_shared_under_their_own_names(norm):
    net = seeded(lambda: nn.Sequential(
        norm(nn.Conv2d(3, 6, 3)), nn.Sigmoid(), nn.Flatten(), nn.Linear(216, 5))).eval()
    assert_shares(net, picture(), torch.tensor([1]))


def test_one_output_behind_a_softmax_is_refused():
    net = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 1)))
    nn.functional.binary_cross_entropy_with_logits(net(picture())[:, 0], torch.ones(1)).backward()
    with pytest.raises(ValueError, match="(?i)one output.*loss|loss.*one output"):
        client.SharedUpdate.from_gradients(
            net, [p.grad for p in net.parameters()], shape=SMALL, num_classes=1)


@pytest.mark.parametrize("wrap", [
    lambda m: torch.compile(m, backend="eager"), nn.DataParallel])
def test_wrapped_models_are_the_models_in_them(wrap):
    plain = seeded(lambda: nn.Sequential(nn.Flatten(), nn.Linear(192, 5)))
    batch = data.Batch(picture()[None], torch.tensor([[1]]), 5)
    shared = client.share(wrap(plain), batch)
    assert_equal(shared.gradients, slopes(plain, batch.images[0], batch.labels[0]))
    assert attacks.reconstruct(shared, attacks.dlg(2)).loss.isfinite().all()


def test_a_scripted_model_is_refused_with_what_to_give():
    plain = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    with pytest.raises(ValueError, match="plain module"):
        client.share(torch.jit.script(plain), data.Batch(picture()[None], torch.tensor([[1]]), 5))


# --- updates of one's own ------------------------------------------------------------------------

def _normed() -> nn.Module:
    return seeded(lambda: nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Flatten(), nn.Linear(216, 5)))


@pytest.mark.parametrize("form", [
    lambda s: [t.numpy() for t in s.values()], lambda s: {n: t.numpy() for n, t in s.items()},
    lambda s: list(s.values())])
def test_a_state_dict_as_ndarrays_or_a_list_is_taken(form):
    net, x, y = _normed().train(), picture(2), torch.tensor([1, 3])
    before, after = state(net), trained(net, x, y, 1, lr=0.1)
    protocol = client.Protocol(sends="weights", local_lr=0.1, mode="train")
    shared = client.SharedUpdate.from_weights(
        form(before), form(after), net, protocol, batch_size=2, **FITS)
    names = dict(net.named_parameters())
    assert_equal(shared.gradients, {n: after[n] - before[n] for n in names}, 1e-7)


def test_differences_in_state_dict_order_are_taken():
    net, x, y = _normed().train(), picture(2), torch.tensor([1, 3])
    before, after = state(net), trained(net, x, y, 1, lr=0.1)
    protocol = client.Protocol(sends="weights", local_lr=0.1, mode="train")
    change = [(after[n] - before[n]).numpy() for n in before]
    shared = client.SharedUpdate.from_gradients(net, change, protocol, batch_size=2, **FITS)
    assert_equal(shared.gradients, {
        n: after[n] - before[n] for n, _ in net.named_parameters()}, 1e-7)


@pytest.mark.parametrize("prefix", ["module.", "_module.", "_orig_mod.", "net."])
def test_prefixes_of_wrappers_are_taken_off(prefix):
    net = _normed().eval()
    g = slopes(net, picture(), torch.tensor([1]))
    shared = client.SharedUpdate.from_gradients(
        net, {prefix + n: t for n, t in g.items()}, **FITS)
    assert_equal(shared.gradients, g, 0)


def test_a_model_in_data_parallel_is_taken():
    net = _normed().eval()
    g = slopes(net, picture(), torch.tensor([1]))
    shared = client.SharedUpdate.from_gradients(nn.DataParallel(net), list(g.values()), **FITS)
    assert_equal(shared.gradients, g, 0)


def _honest(photos, k, lr, epochs, told=None, **settings):
    """The update of a client whose image is the k-th of six, and its network; `told`: what the
    protocol says beside the learning rate and the epochs, where that is not `settings`."""
    batch = photos.clients(6)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(k)
        net = photo_net()
    after = trained(net, batch.images[k], batch.labels[k], epochs, lr=lr, **settings)
    protocol = client.Protocol(
        sends="weights", local_lr=lr, epochs=epochs, **(settings if told is None else told))
    return client.SharedUpdate.from_weights(
        state(net), after, net, protocol, shape=(3, 16, 16), num_classes=10,
        mean=photos.mean, std=photos.std)


@pytest.mark.parametrize("epochs", [2, 5, 20])
@pytest.mark.parametrize("lr", [0.05, 0.02, 0.01, 0.001])
def test_honest_local_steps_are_not_warned_of(photos, lr, epochs):
    for k in range(6):
        assert "scale" not in objections(_honest(photos, k, lr, epochs)), k


MOMENTA = [{"momentum": 0.9}, {"momentum": 0.9, "nesterov": True}, {"weight_decay": 0.05}]


@pytest.mark.parametrize("settings", MOMENTA)
def test_momentum_and_decay_can_be_said(photos, settings):
    shared, batch = _honest(photos, 0, 0.05, 5, **settings), photos.clients(6)
    certain = 1e4 * nn.functional.one_hot(batch.labels[:1], 10).float()
    ours = update.dummy_gradients(shared, batch.images[:1], certain)
    assert_equal(ours, {n: t[0] for n, t in shared.gradients.items()}, 1e-4)
    assert "scale" not in objections(shared)
    guess = attacks.reconstruct(shared, attacks.dlg(30, labels="idlg", line_search=True))
    assert metrics.psnr(guess.images[0], batch.images[0]).item() > 30


@pytest.mark.parametrize("settings", MOMENTA[:2])
def test_momentum_that_is_not_said_is_told(photos, settings):
    assert objections(_honest(photos, 0, 0.05, 5, told={}, **settings), attacks.dlg(labels="idlg"))


def _with_buffers(photos, steps, **protocol):
    """A client's whole state_dict after `steps` steps in train mode, as an update."""
    batch = photos.clients(1, batch_size=8)
    net = seeded(lambda: nn.Sequential(
        nn.Conv2d(3, 12, 5, 2, 2), nn.BatchNorm2d(12), nn.Sigmoid(), nn.Flatten(),
        nn.Linear(768, 10))).train()
    after = trained(net, batch.images[0], batch.labels[0], steps, lr=0.05)
    return client.SharedUpdate.from_weights(
        state(net), after, net, client.Protocol(sends="weights", local_lr=0.05, **protocol),
        shape=(3, 16, 16), num_classes=10, batch_size=8, mean=photos.mean, std=photos.std)


@pytest.mark.parametrize("told, word", [
    ({"epochs": 3, "mode": "eval"}, "train"), ({"epochs": 2, "mode": "eval"}, "train"),
    ({"epochs": 2, "mode": "train"}, "3 local steps")])
def test_buffers_contradict_a_wrong_mode_or_number_of_steps(photos, told, word):
    try:
        said = objections(_with_buffers(photos, 3, **told))
    except ValueError as error:
        said = str(error)
    assert word in said


def test_buffers_of_one_step_leak_the_batch_and_that_is_told(photos):
    shared = _with_buffers(photos, 1, mode="train")
    first, batch = copy.deepcopy(shared.model), photos.clients(1, batch_size=8)
    seen = first[0](batch.images[0]).mean((0, 2, 3))
    leaked = shared.buffers["1.running_mean"][0] / 0.1  # it was zero before
    assert (leaked - seen).abs().max() < 1e-6
    assert "statistics" in objections(shared)


def test_update_files_are_whole_or_refused(tmp_path, digits):
    file = tmp_path / "u.pt"
    client.share(models.lenet(digits, seed=0), digits.clients(1)).save(file)
    read = client.SharedUpdate.load(file, models.lenet(digits, seed=99))
    assert torch.equal(dict(read.model.named_parameters())["0.weight"],
                       models.lenet(digits, seed=0)[0].weight)
    saved, raw = torch.load(file, weights_only=True), file.read_bytes()
    saved["state"]["params"] = {}
    torch.save(saved, tmp_path / "without.pt")
    (tmp_path / "half.pt").write_bytes(raw[: len(raw) // 2])
    (tmp_path / "empty.pt").write_bytes(b"")
    (tmp_path / "text.pt").write_bytes(b"hello world")
    for name in ("without.pt", "half.pt", "empty.pt", "text.pt"):
        with pytest.raises(ValueError, match=name):
            client.SharedUpdate.load(tmp_path / name, models.lenet(digits, seed=99))


# --- defenses, values, pictures ------------------------------------------------------------------

class _Misspelt:
    def updates(self, grads, rng):  # it should be `update`
        return {n: 0 * g for n, g in grads.items()}


def test_a_list_of_defenses_defends(digits):
    net, batch, noise = models.lenet(digits, seed=0), digits.clients(1), defenses.GaussianNoise(1.0)
    one, several = (client.share(net, batch, defense=d).gradients for d in (noise, [noise]))
    assert all(torch.equal(g, several[n]) for n, g in one.items())
    few = digits.subset(range(64))
    first, second = (models.train(models.lenet(digits, seed=0), few, 1, defense=d)[0].weight
                     for d in (noise, [noise]))
    assert torch.equal(first, second)


@pytest.mark.parametrize("bad", [_Misspelt(), [_Misspelt()], 3, [None]])
def test_what_is_no_defense_is_refused(digits, bad):
    net = models.lenet(digits, seed=0)
    with pytest.raises(ValueError, match="defense"):
        client.share(net, digits.clients(1), defense=bad)
    with pytest.raises(ValueError, match="defense"):
        models.train(net, digits.subset(range(64)), 1, defense=bad)


def test_a_bound_that_no_draw_meets_is_refused():
    with pytest.raises(ValueError, match="bound"):
        defenses.MixUp(8, 0.13)


def _scaled(weight):
    """Objective, prior and object that read their weight from outside."""
    def objective(dummy, shared):
        return weight["alpha"] * objectives.l2(dummy, shared)

    def prior(x):
        return weight["alpha"] * x.square().mean()

    class Weighted:
        alpha = 1.0

        def __call__(self, dummy, shared):
            return self.alpha * objectives.l2(dummy, shared)

    return objective, prior, Weighted()


def test_what_an_own_objective_reads_is_read_at_each_attack(digits):
    shared, weight = client.share(models.lenet(digits, seed=0), digits.clients(1)), {"alpha": 1.0}
    objective, prior, weighted = _scaled(weight)
    own = [replace(attacks.dlg(1), objective=objective),
           replace(attacks.dlg(1), objective=weighted),
           replace(attacks.dlg(1), objective=lambda dummy, shared: 0 * objectives.l2(dummy, shared),
                   priors=((1.0, prior),))]

    def starting():
        return torch.stack([attacks.reconstruct(shared, a).history.losses[0, 0, 0] for a in own])

    first = starting()
    weight["alpha"] = weighted.alpha = 100.0
    assert torch.allclose(starting(), 100 * first, rtol=1e-4)


def test_an_image_of_one_row_has_no_vertical_differences():
    x = picture(1, (1, 1, 9))
    assert priors.tv(x) == x.diff(dim=-1).abs().mean()
    assert priors.tv(x.mT) == x.diff(dim=-1).abs().mean()


def test_values_that_were_taken_in_silence_are_refused(digits, tmp_path):
    net, batch = models.lenet(digits, seed=0), digits.clients(1)
    g = {n: t[0] for n, t in client.share(net, batch).gradients.items()}
    before, steps = state(net), client.Protocol(local_lr=0.1, sends="weights")
    fits, brought = {"shape": (1, 8, 8), "num_classes": 10}, client.SharedUpdate.from_gradients
    tried = {
        "batch_size": lambda: client.share(net, batch, defense=defenses.DPSGD(1.0, 1.0, 64)),
        "0.weight": lambda: client.SharedUpdate.from_weights(
            before, {n: t[:1] + 1 for n, t in before.items()}, net, steps, **fits),
        "0.weight|whole|int": lambda: brought(net, {n: t.long() for n, t in g.items()}, **fits),
        "labels": lambda: brought(net, g, labels=[[2.7]], threat=client.ThreatModel(
            labels="known"), **fits),
        "normalise": lambda: client.Protocol(normalise="no"),
        "lr": lambda: attacks.inverting_gradients(lr=0),
        "batch_size ": lambda: defenses.EqualLabels(-1),
        r"\[0, 1\]": lambda: metrics.psnr(batch.images * 255, batch.images * 255 + 1)}
    for word, call in tried.items():
        with pytest.raises(ValueError, match=word.strip()):
            call()


@pytest.mark.parametrize("name, change", [
    ("channels first", {"images": np.zeros((4, 3, 8, 8), np.uint8)}),
    ("a mask of numbers", {"exact": [0, 0, 1, 1]})])
def test_a_packed_set_of_another_layout_is_refused(tmp_path, name, change):
    good = {"images": np.zeros((4, 8, 8, 3), np.uint8), "labels": [0] * 4, "classes": ["a"]}
    np.savez(tmp_path / f"{name}.npz", **(good | change))
    with pytest.raises(ValueError, match=name):
        data.load(tmp_path / f"{name}.npz")


def test_a_picture_of_16_bits_keeps_its_greys(tmp_path):
    (tmp_path / "a").mkdir()
    ramp = np.linspace(0, 65535, 1024).astype(np.uint16).reshape(32, 32)
    Image.fromarray(ramp).save(tmp_path / "a/1.png")
    images = data.load(tmp_path).images
    assert abs(images.float().mean().item() - 127.5) < 1 and len(images.unique()) == 256


def test_a_picture_of_floats_is_right_or_refused_by_name(tmp_path):
    (tmp_path / "a").mkdir()
    Image.fromarray(np.linspace(0, 1, 1024, dtype=np.float32).reshape(32, 32)).save(
        tmp_path / "a/1.tiff")
    try:
        mean = data.load(tmp_path).images.float().mean().item()
    except ValueError as error:
        assert "1.tiff" in str(error)
    else:
        assert abs(mean - 127.5) < 1


@pytest.mark.parametrize("size", [16, 32, 64])
def test_ssim_has_the_window_of_its_source(size):
    x = picture(8, (3, size, size))
    y = (x + 0.2 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1))).clamp(0, 1)
    reference = structural_similarity_index_measure(y, x, data_range=1.0, reduction="none")
    assert (metrics.ssim(y, x) - reference).abs().max() < 1e-6


def test_trained_weights_are_those_of_this_number_of_threads(photos, tmp_path):
    def weights(threads, cache):
        torch.set_num_threads(threads)
        net = models.train(models.lenet(photos, seed=0), few, epochs=1, batch_size=16, cache=cache)
        return torch.cat([p.detach().flatten() for p in net.parameters()])

    few, before = photos.subset(range(32)), torch.get_num_threads()
    try:
        for threads in (1, 2):
            assert torch.equal(weights(threads, tmp_path), weights(threads, None)), threads
    finally:
        torch.set_num_threads(before)
