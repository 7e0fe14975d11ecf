"""Values worked by hand, or by another library, of what attacks and scores are made of."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import stats
from tiny import Shape, batch
from torch import nn
from torch.nn.functional import softplus

from lib import (
    analytic,
    attacks,
    client,
    data,
    defenses,
    engine,
    generators,
    labels,
    metrics,
    models,
    objectives,
    priors,
    run,
)
from lib.engine import optimizers


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def tensor(*values):
    return torch.tensor(values, dtype=torch.float64)


# ---- objectives, of these two updates

DUMMY = {"b": tensor([2.0], [0.0]), "a": tensor(1.0, 2.0), "not shared": tensor(9.0)}
SHARED = {"a": tensor(3.0, 4.0), "b": tensor([1.0], [2.0])}
# a: difference (-2, -2), product 11, |dummy|^2 5, |shared|^2 25
# b: difference (1, -2),  product 2,  |dummy|^2 4, |shared|^2 5


@pytest.mark.parametrize("objective, expected", [
    (objectives.l2, 8 + 5), (objectives.relative_l2, 8 / 25 + 5 / 5),
    (objectives.cosine, 1 - 13 / math.sqrt(9 * 30)),
    (objectives.layer_cosine, (1 - 11 / (5**0.5 * 5) + 1 - 2 / (2 * 5**0.5)) / 2),
    (objectives.scaled(objectives.l2, 3.0), 39), (objectives.masked(objectives.l2), 13)])
def test_objectives(objective, expected):
    assert objective(DUMMY, SHARED).item() == pytest.approx(expected, rel=1e-12)


def test_masked_objectives_leave_out_what_was_set_to_zero():
    pruned = {"a": tensor(3.0, 0.0), "b": tensor([0.0], [2.0])}
    masked = objectives.masked
    assert masked(objectives.l2)(DUMMY, pruned).item() == 4 + 4  # (1 - 3)^2, (0 - 2)^2
    assert objectives.l2(DUMMY, pruned).item() == 4 + 4 + 4 + 4
    assert masked(objectives.cosine)(DUMMY, pruned).item() == pytest.approx(1 - 3 / math.sqrt(13))
    assert objectives.scaled(masked(objectives.l2), 2.0)(DUMMY, pruned).item() == 16


def test_objectives_of_nothing_are_finite():
    """A layer without gradient: its own |shared|^2 is 0, and so is its cosine."""
    zero = {"a": tensor(0.0, 0.0)}
    assert objectives.relative_l2({"a": tensor(0.0, 0.0)}, zero).item() == 0
    assert objectives.cosine({"a": tensor(1.0, 2.0)}, zero).item() == 1


def test_distances_of_layers_are_means_over_entries():
    dummy = {"a": tensor([[1.0, 2.0]], [[5.0, 1.0]])}  # two clients
    found = objectives.layer_distances(dummy, {"a": tensor([[0.0, 0.0]], [[2.0, 1.0]])})
    assert found["a"].tolist() == [2.5, 4.5]


# ---- priors

IMAGE = tensor([[[1.0, 2.0, 4.0], [-3.0, 5.0, 5.0]]])  # (1, 1, 2, 3)


def test_total_variation():
    across, down = (1 + 2 + 8 + 0) / 4, (4 + 3 + 1) / 3
    assert priors.tv(IMAGE).item() == pytest.approx(across + down)
    assert priors.tv(IMAGE.mT).item() == pytest.approx(across + down)
    assert priors.tv(IMAGE.expand(4, 3, 2, 3)).item() == pytest.approx(across + down)  # a mean
    signless = (1 + 2 + 2 + 0) / 4 + (2 + 3 + 1) / 3
    assert priors.tv_of_magnitude(IMAGE).item() == pytest.approx(signless)
    assert priors.tv_of_magnitude(-IMAGE).item() == pytest.approx(signless)


def test_orthogonality():
    one, other, third = tensor([[3.0, 4.0]]), tensor([[6.0, 0.0]]), tensor([[0.0, -2.0]])
    pair = priors.orthogonality(torch.stack([one, other]))
    assert pair.item() == pytest.approx(0.36)  # cosine 3 / 5
    three = priors.orthogonality(torch.stack([one, other, third]))
    assert three.item() == pytest.approx((0.36 + 0.64 + 0) / 3)
    assert priors.orthogonality(one[None]).item() == 0
    zero = priors.orthogonality(torch.stack([one, 0 * one]))
    assert zero.item() == 0  # a black image is at right angles to all


def test_the_norm_is_of_all_that_is_optimised():
    assert priors.norm(tensor([3.0, 0.0], [0.0, 4.0])).item() == 5
    assert priors.read_by(priors.norm) == "variables" and priors.read_by(priors.tv) == "images"
    assert priors.read_by(priors.batch_norm) == "moments"
    with pytest.raises(ValueError, match="images, moments, variables"):
        priors.reading("pixels")


def test_the_batch_norm_prior_is_of_means_and_of_variances():
    mean, variance = tensor(3.0, 4.0), tensor(1.0, 13.0)
    moments = [("one", mean, variance, tensor(0.0, 0.0), tensor(1.0, 1.0)),
               ("two", tensor(1.0), tensor(2.0), tensor(3.0), tensor(2.5))]
    assert priors.batch_norm(moments).item() == 5 + 12 + 2 + 0.5
    for without in ([], [("one", mean, variance, None, None)]):
        with pytest.raises(ValueError, match="BatchNorm"):
            priors.batch_norm(without)


# ---- metrics


def test_errors_of_an_image():
    truth, guess = torch.zeros(2, 1, 1, 2), tensor([[[0.3, 0.4]]], [[[-1.0, 0.1]]]).float()
    assert metrics.mse(guess, truth).tolist() == pytest.approx([0.125, 0.505])
    assert metrics.psnr(guess, truth)[0].item() == pytest.approx(-10 * math.log10(0.125))
    clipped = -10 * math.log10(0.01 / 2)
    assert metrics.psnr(guess, truth)[1].item() == pytest.approx(clipped, rel=1e-5)


def test_ssim_of_even_images_is_that_of_their_means():
    """Wang et al. 2004, eq. 13: without variance (2 m n + C1) / (m^2 + n^2 + C1), C1 = 0.01^2."""
    for side in (11, 16, 32):
        a, b = (torch.full((3, side, side), level).double() for level in (0.2, 0.7))
        expected = (2 * 0.2 * 0.7 + 1e-4) / (0.2**2 + 0.7**2 + 1e-4)
        assert metrics.ssim(a, b).item() == pytest.approx(expected, rel=1e-4)
        assert metrics.ssim(a - 3, b).item() == pytest.approx(1e-4 / (0.49 + 1e-4), rel=1e-3)
    assert not metrics.ssim(torch.rand(1, 3, 9), torch.rand(1, 3, 9)).isnan()
    assert metrics.ssim(torch.rand(1, 2, 9), torch.rand(1, 2, 9)).isnan()


def test_the_metrics_of_avd():
    """D1 of a bright pixel v in the corner nobody looks back from: |2 v| at it, v beside it."""
    truth, guess = torch.zeros(1, 3, 3).double(), torch.zeros(1, 3, 3).double()
    guess[0, 2, 2] = 0.5  # only D1(2, 2) = 2 * 0.5 and D2(2, 2) = 2 * 0.5
    assert metrics.avd(guess, truth).item() == pytest.approx(math.sqrt(1 / 4 / 4 / 0.1))
    assert metrics.avd(guess, truth, "ecir2024").item() == pytest.approx(math.sqrt(1 / 4 + 0.5))
    both = math.sqrt(2 * 0.25 / 12)  # of 6 differences across and 6 down two are 0.5
    assert metrics.avd(guess, truth, "paper").item() == pytest.approx(both)
    eight_bits = math.sqrt(2 * (127 / 255) ** 2 / 12)  # trunc(255 * 0.5) = 127
    assert metrics.avd(guess, truth, "paper", True).item() == pytest.approx(eight_bits)
    assert metrics.avd(-guess, truth, "paper", True).item() == pytest.approx(eight_bits)
    guess[0, 2, 2] = 1.5  # 382 is 126 modulo 256
    wrapped = math.sqrt(2 * (126 / 255) ** 2 / 12)
    assert metrics.avd(guess, truth, "paper", True).item() == pytest.approx(wrapped)


def images_of(*levels):
    """One client's even images (1, B, 1, 2, 2)."""
    return torch.stack([torch.full((1, 2, 2), level) for level in levels])[None]


def test_a_match_is_one_to_one_at_the_least_total_error():
    truth, guess = images_of(0.0, 0.3, 0.9), images_of(0.8, 0.5, 0.25)
    assert metrics.matching(guess, truth)[0].tolist() == [2, 1, 0]
    # 0.3 is nearest to 0.4, but (0.4 - 0.3)^2 + 1^2 is more than (0.4 - 1)^2 + 0.3^2
    assert metrics.matching(images_of(0.3, 1.0), images_of(0.4, 0.0))[0].tolist() == [1, 0]


def test_what_is_not_finite_takes_what_the_others_leave():
    """Not the place of a black image, which is what it is scored with."""
    truth = images_of(0.4, 0.0)
    for bad in (math.nan, math.inf, -math.inf):
        assert metrics.matching(images_of(bad, 0.1), truth)[0].tolist() == [0, 1]
        assert metrics.matching(images_of(0.1, bad), truth)[0].tolist() == [1, 0]
    both = metrics.matching(images_of(math.nan, math.nan), truth)[0]
    assert sorted(both.tolist()) == [0, 1]


def test_scores_are_in_the_order_of_the_truth(tmp_path):
    truth, guess = images_of(0.2, 0.8).repeat(2, 1, 1, 1, 1), images_of(0.7, 0.3).repeat(
        2, 1, 1, 1, 1)
    table = metrics.score(guess, truth, root=tmp_path)
    assert table[["client", "image", "guess"]].values.tolist() == [
        [0, 0, 1], [0, 1, 0], [1, 0, 1], [1, 1, 0]]
    assert table.mse.tolist() == pytest.approx([0.01] * 4)
    unmatched = metrics.score(guess, truth, match=False, root=tmp_path)
    assert unmatched.mse.tolist() == pytest.approx([0.25] * 4)


# ---- labels


def seen_by(weight, bias, B, W=None, b=None, features=None):
    """What a rule sees of one client: dl/dW (C, F), dl/db (C,); the layer is zero where not given.
    """
    weight, bias = torch.tensor([weight]).float(), torch.tensor([bias]).float()
    W = torch.zeros_like(weight) if W is None else torch.tensor([W]).float()
    b = torch.zeros_like(bias) if b is None else torch.tensor([b]).float()
    features = torch.ones(16, weight.shape[-1]) if features is None else features
    return labels.LastLayer(weight, bias, W, b, features, B)


def gradient_of(W, b, features, truth):
    """dl/dW and dl/db of a dense layer behind the mean cross-entropy, by autograd."""
    W, b = (torch.tensor(t, requires_grad=True) for t in (W, b))
    nn.functional.cross_entropy(features @ W.mT + b, torch.tensor(truth)).backward()
    return W.grad.tolist(), b.grad.tolist()


@pytest.mark.parametrize("truth", [[0, 0, 1], [2, 2, 2], [1, 2, 1], [0, 1, 2]])
def test_the_analytic_rule_is_exact_where_all_features_are_one(truth):
    """Then p is the same for all images, whatever W and b, and n = B (p - dl/db)."""
    W, b = [[0.2, -0.5], [0.9, 0.3], [-0.7, 0.4]], [0.3, -0.6, 0.1]
    features = torch.tensor([[0.6, 1.2]]).expand(3, 2)
    weight, bias = gradient_of(W, b, features, truth)
    layer = seen_by(weight, bias, 3, W, b, features)
    assert labels.RULES["analytic"].read(layer)[0].tolist() == sorted(truth)
    negative = -features  # a rule that must not clamp them
    weight, bias = gradient_of(W, b, negative, truth)
    layer = seen_by(weight, bias, 3, W, b, negative)
    assert labels.RULES["analytic"].read(layer)[0].tolist() == sorted(truth)


def test_rules_read_a_row_sum_a_bias_a_minimum():
    layer = seen_by([[1.0, -6.0], [-2.0, -2.5], [9.0, -0.1]], [0.3, 0.2, -0.4], 1)
    assert labels.row_sums(layer)[0].tolist() == pytest.approx([-5, -4.5, 8.9])
    read = {name: labels.RULES[name].read(layer)[0].tolist() for name in labels.RULES}
    assert read["idlg"] == [0] and read["idlg_bias"] == [2] and read["yin"] == [0]
    assert read["wainakh"] == [0] and read["uniform"] == [2]
    two = replace(layer, batch_size=2)
    assert labels.RULES["yin"].read(two)[0].tolist() == [0, 1]
    assert labels.RULES["wainakh"].read(two)[0].tolist() == [0, 1]
    assert labels.RULES["idlg"].read(two)[0].tolist() == [0, 0]  # equal labels


def test_the_rule_of_products_counts_the_rows_that_point_away():
    rows = [[1.0, 0.5], [2.0, 1.0], [-3.0, -1.5], [0.5, 0.25]]
    assert labels.RULES["idlg_products"].read(seen_by(rows, [0.0] * 4, 1))[0].tolist() == [2]


@pytest.mark.parametrize("epochs, local_batch, steps", [(1, None, 1), (3, None, 3), (2, 2, 6),
                                                        (1, 5, 1), (2, 4, 4)])
def test_a_weight_difference_is_read_as_the_mean_gradient(epochs, local_batch, steps):
    protocol = client.Protocol(
        local_lr=0.1, sends="weights", epochs=epochs, local_batch=local_batch)
    update = client.share(models.lenet(Shape()), batch(K=1, B=5), protocol)
    layer = labels.last_layer(update)
    expected = update.gradients["7.weight"] / (-0.1 * steps)
    torch.testing.assert_close(layer.weight, expected)
    torch.testing.assert_close(layer.bias, update.gradients["7.bias"] / (-0.1 * steps))


# ---- defenses


def test_noise_has_the_variance_that_it_is_named_for():
    g = {"w": torch.full((200_000,), 3.0)}
    for defense, law in ((defenses.GaussianNoise(0.04), stats.norm(3, 0.2)),
                         (defenses.LaplacianNoise(0.04), stats.laplace(3, 0.02**0.5))):
        noisy = defense.update(g, rng())["w"].double().numpy()
        assert noisy.var() == pytest.approx(0.04, rel=0.02)
        assert stats.kstest(noisy[:20_000], law.cdf).pvalue > 1e-3
        again = defense.update(g, rng())["w"].double().numpy()
        assert np.array_equal(noisy, again)
        assert np.array_equal(g["w"].numpy(), np.full(200_000, 3.0, "float32"))  # a copy


def test_eight_bits():
    g = {"w": torch.tensor([[-1.27, 0.004], [0.006, 0.5]]), "b": torch.tensor([254.0, 3.0, 2.9])}
    sent = defenses.LowPrecision("int8").update(g, rng())
    torch.testing.assert_close(sent["w"], torch.tensor([[-1.27, 0.0], [0.01, 0.5]]))
    torch.testing.assert_close(sent["b"], torch.tensor([254.0, 4.0, 2.0]))  # steps of 2, 1.5 -> 2
    half = defenses.LowPrecision("bfloat16").update({"w": torch.tensor([1.005])}, rng())["w"]
    assert half.item() == 1.0078125 and half.dtype == torch.float32  # 7 bits behind the point
    assert defenses.LowPrecision("float16").update(
        {"w": torch.tensor([1.0004])}, rng())["w"].item() == 1.0


def test_pruning_by_hand():
    g = {"w": torch.tensor([[0.5, -3.0, 1.0], [0.1, -0.2, 2.0]]), "b": torch.tensor([-9.0, 8.0])}
    sent = defenses.GradPrune(0.6).update(g, rng())  # floor(3.6) = 3 of 6, floor(1.2) = 1 of 2
    assert sent["w"].tolist() == [[0, -3, 1], [0, 0, 2]] and sent["b"].tolist() == [-9, 0]


def test_mixing_coefficients_have_the_mean_of_their_law():
    """k = 2: Beta(3, 1) within (0.35, 0.65) has the mean 3/4 (b^4 - a^4) / (b^3 - a^3)."""
    chosen, weights = defenses.MixUp(2).keys(20_000, rng())
    expected = 0.75 * (0.65**4 - 0.35**4) / (0.65**3 - 0.35**3)
    assert weights[:, 0].mean().item() == pytest.approx(expected, abs=3e-3)
    assert weights.max() <= 0.65 and weights.max() > 0.649
    _, narrow = defenses.MixUp(3, bound=0.5).keys(2000, rng())
    assert 0.49 < narrow.max() <= 0.5
    few, _ = defenses.MixUp(3, batch_size=2).keys(9, rng())
    assert few.shape == (2, 3) and few[:, 0].tolist() == [0, 1]
    every, _ = defenses.MixUp(4).keys(4, rng())
    assert all(sorted(row) == [0, 1, 2, 3] for row in every.tolist())


def test_a_flipped_pixel_is_mirrored_at_one_half_by_itself():
    x, y = torch.full((4, 1, 64, 64), 0.2), torch.eye(4)
    hidden, targets = defenses.InstaHide(2).encode(x, y, rng())
    assert hidden.unique().tolist() == pytest.approx([0.2, 0.8])
    flipped = hidden > 0.5
    assert flipped.float().mean((1, 2, 3)).tolist() == pytest.approx([0.5] * 4, abs=0.05)
    assert 0.4 < (flipped[0] ^ flipped[1]).float().mean() < 0.6
    torch.testing.assert_close(targets.sum(1), torch.ones(4))


def test_clipping_is_of_the_norm_over_all_tensors_of_an_image():
    grads = {"w": torch.tensor([[[3.0, 0.0]], [[0.3, 0.0]]]), "b": torch.tensor([[4.0], [0.4]])}
    clipped = defenses.DPSGD(1.0, 0.0, 2).per_example(grads)  # norms 5 and 0.5
    torch.testing.assert_close(clipped["w"], torch.tensor([[[0.6, 0.0]], [[0.3, 0.0]]]))
    torch.testing.assert_close(clipped["b"], torch.tensor([[0.8], [0.4]]))
    noise = defenses.DPSGD(0.5, 3.0, 4).update({"w": torch.zeros(50_000)}, rng())["w"]
    assert noise.std().item() == pytest.approx(3.0 * 0.5 / 4, rel=0.02)


def test_a_defended_client_shares_the_mean_of_its_clipped_gradients():
    b, model = batch(K=1, B=3), models.dense(Shape())
    update = client.share(model, b, defense=defenses.DPSGD(0.1, 0.0, 3))
    total = 0
    for x, y in zip(b.images[0], b.labels[0], strict=True):
        loss = nn.functional.cross_entropy(model(x[None]), y[None])
        g = torch.cat([p.flatten() for p in torch.autograd.grad(loss, list(model.parameters()))])
        total = total + g * min(1, 0.1 / g.norm().item()) / 3
    sent = torch.cat([update.gradients[n][0].flatten() for n, _ in model.named_parameters()])
    torch.testing.assert_close(sent, total, rtol=1e-4, atol=1e-6)


# ---- initialisations


def test_kaiming_is_of_the_fan_out():
    """He et al. 2015: standard deviation sqrt(2 / (c_out k^2)), where c_out is not c_in."""
    net = models.resnet(Shape((3, 32, 32), 10), 8, 16)
    wide = models.imagenet_resnet(Shape((3, 32, 32), 10), 18, 16)
    seen = 0
    for m in (*net.modules(), *wide.modules()):
        if isinstance(m, nn.Conv2d) and m.weight.numel() > 400:
            expected = math.sqrt(2 / (m.out_channels * m.kernel_size[0] ** 2))
            assert m.weight.std().item() == pytest.approx(expected, rel=0.1)
            seen += m.out_channels != m.in_channels
    assert seen >= 6


def test_the_scale_of_an_initialisation():
    shape = Shape((3, 32, 32), 10)
    uniform = models.lenet(shape, scale=0.25)
    normal = models.lenet(shape, init="normal", scale=0.25)
    default = models.dense(shape)
    for wide in (uniform[6], normal[6]) if hasattr(uniform[6], "weight") else (uniform[7],
                                                                              normal[7]):
        assert wide.weight.mean().abs() < 0.02 and wide.bias.abs().max() > 0
    weight = uniform[-1].weight
    assert 0.249 < weight.abs().max() <= 0.25
    assert weight.std().item() == pytest.approx(0.25 / 3**0.5, rel=0.03)
    assert normal[-1].weight.std().item() == pytest.approx(0.25, rel=0.03)
    assert uniform[0].bias.abs().max() <= 0.25 and normal[0].bias.abs().max() < 1.25
    bound = 1 / math.sqrt(3 * 32 * 32)  # torch's own, of a dense layer
    assert 0.99 * bound < default[1].weight.abs().max() <= bound
    scaled = models.lenet(shape, init="normal")
    assert scaled[-1].weight.std().item() == pytest.approx(0.5, rel=0.03)


# ---- the decoding of encodings


def test_decoding_draws_magnitudes_outwards_by_half_its_weight():
    """One image, one encoding e: (|x| - |e|)^2 + w (1 - |x|) is least at |x| = |e| + w / 2."""
    keys = torch.tensor([[0]]), torch.ones(1, 1)
    encoding = torch.full((1, 1, 4, 4), (1 + 0.4) / 2)
    for weight, magnitude in ((0.05, 0.425), (0.2, 0.5), (0.0, 0.4)):
        settings = {} if weight == 0.05 else {"weight": weight}
        x = 2 * attacks.decode(encoding, keys, 1, True, 300, 0.02, **settings) - 1
        torch.testing.assert_close(x.abs(), torch.full_like(x, magnitude), atol=2e-3, rtol=0)
        assert (x > 0).any() and (x < 0).any()  # from noise: no sign goes before
    plain = attacks.decode(encoding, keys, 1)
    torch.testing.assert_close(plain, encoding, atol=1e-3, rtol=0)


def test_decoding_solves_the_mixtures():
    x = torch.rand(3, 1, 2, 2, generator=rng())
    keys = (torch.tensor([[0, 1], [1, 2], [2, 0], [0, 1]]),
            torch.tensor([[0.25, 0.75], [0.5, 0.5], [0.9, 0.1], [0.6, 0.4]]))
    mixed = torch.stack([w[0] * x[i] + w[1] * x[j] for (i, j), w in zip(*keys, strict=True)])
    found = attacks.decode(mixed, keys, 4)
    torch.testing.assert_close(found[:3], x, atol=2e-3, rtol=0)
    assert (found[3] == 0.5).all()  # no key names it
    bright = torch.ones(1, 1, 2, 2)  # half of an image that would be 1.5: what is found is clipped
    assert (attacks.decode(bright, (torch.tensor([[0]]), 0.5 * torch.ones(1, 1)), 1) == 1).all()
    with pytest.raises(ValueError):
        attacks.decode(mixed, keys, 2)
    assert attacks.decode(mixed, keys, 3, iterations=1).shape == (3, 1, 2, 2)


# ---- a GAN's loss


class Recorded(torch.optim.SGD):
    """Stands for Adam: keeps what it is given, and moves nothing."""

    made = []

    def __init__(self, parameters, lr, betas):
        super().__init__(parameters, lr)
        self.betas, self.slopes = betas, []
        Recorded.made.append(self)

    def step(self):
        self.slopes.append([p.grad.clone() for p in self.param_groups[0]["params"]])


@pytest.mark.parametrize("gamma", [1.0, 3.0])
def test_the_critic_pays_half_gamma_for_its_slopes(gamma, monkeypatch):
    """Huang et al. 2024: softplus(D(fake) - D(real)) + gamma / 2 (R1 + R2), Adam with betas 0 and
    0.99, and the generator's softplus(D(real) - D(fake))."""
    digits, Recorded.made = data.load("digits"), []
    generator, width = generators.dcgan(digits, 4, 2), 3
    monkeypatch.setattr(torch.optim, "Adam", Recorded)
    settings = {} if gamma == 1 else {"gamma": gamma}
    _, critic = generators.train(generator, digits, 1, 6, width=width, **settings)
    drawn = run.generator("gan", 0)
    rows = torch.randint(len(digits.images), (6,), generator=drawn)
    real = (digits.images[rows].float() / 255).requires_grad_()
    fake = generator(torch.randn(6, 4, generator=drawn)).detach().requires_grad_()
    slopes = [torch.autograd.grad(critic(x).sum(), x, create_graph=True)[0] for x in (real, fake)]
    penalty = sum(slope.flatten(1).norm(dim=1).pow(2).mean() for slope in slopes)
    loss = softplus(critic(fake) - critic(real)).mean() + gamma / 2 * penalty
    expected = torch.autograd.grad(loss, list(critic.parameters()))
    of_generator, of_critic = Recorded.made
    assert of_generator.betas == of_critic.betas == (0.0, 0.99)
    for ours, theirs in zip(of_critic.slopes[0], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)
    drawn = run.generator("gan", 0)
    torch.randint(len(digits.images), (6,), generator=drawn)
    fake = generator(torch.randn(6, 4, generator=drawn))
    loss = softplus(critic(real.detach()) - critic(fake)).mean()
    expected = torch.autograd.grad(loss, list(generator.parameters()))
    for ours, theirs in zip(of_generator.slopes[0], expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-6)


# ---- closed forms


def test_the_input_of_a_dense_layer():
    bias = tensor([0.1, -0.5, 0.2], [0.0, 0.0, 0.0])  # two clients
    weight = tensor([[9.0, 9.0], [-1.0, 2.0], [9.0, 9.0]], [[1.0, 1.0]] * 3)
    found = analytic.dense_input(weight, bias)
    assert found[0].tolist() == [2.0, -4.0] and found[1].isnan().all()  # by the largest |dl/db|


def test_demixing():
    bias, weight = tensor(0.5, -0.25, 0.0), tensor([1.0, 2.0], [1.0, 3.0], [1.0, 1.0])
    found = analytic.demix(weight, bias, torch.tensor([1, 0, 1, 2]))
    assert found[:3].tolist() == [[-4, -12], [2, 4], [-4, -12]] and found[3].isnan().all()
    p = tensor([0.5, 0.3, 0.2], [0.1, 0.6, 0.3])
    w = analytic.demix_weights(p, torch.tensor([0, 2]))
    # row of label 0: (0.5 - 1, 0.1) / -0.4; row of label 2: (0.2, 0.3 - 1) / -0.5
    torch.testing.assert_close(w, tensor([1.25, -0.25], [-0.4, 1.4]))


def test_the_equations_of_a_gradient():
    """(1, 6, 6) -> 2 channels of 4x4 -> 3 of 2x2 -> 5 outputs."""
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sigmoid(), nn.Conv2d(2, 3, 3, bias=False),
                          nn.Sigmoid(), nn.Flatten(), nn.Linear(12, 5))
    first = 2 * 16 + 2 * 9 - 2 * 2  # F r / c + |W| - c r, r = c = 2
    second = 3 * 4 + (2 * 9 + 2) + 3 * 18 - 3 * 3  # what lies below: W and b of the first
    assert analytic.gradient_equations(model, (1, 6, 6)) == [first, second]
    assert analytic.gradient_equations(model, (1, 6, 6), 2) == [first + 32, second + 12]
    narrow = nn.Sequential(nn.Conv2d(1, 8, 2, 2))  # r = 4 columns of 8 channels
    assert analytic.gradient_equations(narrow, (1, 4, 4)) == [8 * 4 // 2 + 8 * 4 - 8 * 4]


def test_the_span_of_a_batch_is_scaled_to_a_fair_start():
    """The rows of V hold the images, M = x V^+ is of size about 1, and a network fed M is the same.
    """
    b = batch(K=2, B=2, classes=4, dtype=torch.float64)
    model = models.dense(Shape(), (9,), "tanh").double()
    update = client.share(model, b, threat=client.ThreatModel(labels="known"))
    small, V = analytic.in_span(update)
    assert small.shape == (1, 1, 2) and small.mean is None and small.std is None
    for k, net in enumerate(small.model.unstack()):
        gram = V[k] @ V[k].mT
        size = update.gradients["1.weight"][k].norm() / update.gradients["1.bias"][k].norm()
        torch.testing.assert_close(gram, torch.eye(2).double() * size**2 / 2)
        coordinates = b.images[k].flatten(1) @ V[k].mT @ torch.linalg.inv(gram)
        torch.testing.assert_close(coordinates @ V[k], b.images[k].flatten(1))
        torch.testing.assert_close(net(coordinates.view(2, 1, 1, 2)), model(b.images[k]))
        torch.testing.assert_close(small.gradients["1.weight"][k],
                                   update.gradients["1.weight"][k] @ V[k].mT / (size**2 / 2))


# ---- what an attack costs


def test_only_the_restarts_that_go_on_are_counted():
    """20 evaluations an iteration; the first restart begins at the minimum and is done with one."""
    problems = engine.Problems(lambda x, z, shared, per_client: (x - 1).pow(4).sum(), {},
                               {"unused": torch.zeros(1, 1)}, (1, 1, 1, 3), None, ("quartic",))
    start = torch.stack([torch.ones(3), torch.full((3,), 5.0)])[None]
    out = engine.minimise(problems, start, lambda v: optimizers.LBFGS(v, lr=0.01), 3)
    assert out.evaluations.tolist() == [[20, 60]]
    assert torch.equal(out.last[0, 0], torch.ones(3)) and out.losses.shape == (4, 1, 2)
