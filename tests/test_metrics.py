import importlib.util
import math

import numpy as np
import pandas as pd
import pytest
import torch
from torchmetrics.functional.image import structural_similarity_index_measure
from torchvision.models import alexnet, get_model_weights

from lib import data, metrics, run


@pytest.fixture
def pair():
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(3, 2, 3, 16, 16, generator=rng)
    guess = (truth + 0.1 * torch.randn(truth.shape, generator=rng)).clamp(0, 1)
    return guess, truth


# --- each metric ---


@pytest.mark.parametrize("side", [3, 4, 8, 10, 11, 25, 32])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_image_equals_itself(side, channels):
    image = torch.rand(2, channels, side, side)
    assert (metrics.mse(image, image) == 0).all()
    assert (metrics.psnr(image, image) == math.inf).all()
    assert torch.allclose(metrics.ssim(image, image), torch.ones(2), atol=1e-5)
    for variant in metrics.VARIANTS:
        assert (metrics.avd(image, image, variant) == 0).all()


def test_metrics_batch_over_leading_axes(pair):
    guess, truth = pair
    for metric in (metrics.mse, metrics.psnr, metrics.ssim, metrics.avd):
        whole = metric(guess, truth)
        assert whole.shape == (3, 2)
        assert torch.allclose(whole[2, 1], metric(guess[2, 1], truth[2, 1]), atol=1e-5)


def test_mse_is_raw_and_psnr_is_of_clipped_images():
    truth, guess = torch.ones(1, 4, 4), torch.full((1, 4, 4), 3.0)
    assert metrics.mse(guess, truth) == 4
    assert metrics.psnr(guess, truth) == math.inf
    assert metrics.psnr(torch.full((1, 4, 4), 0.9), truth).item() == pytest.approx(20, abs=1e-4)


def test_ssim_agrees_with_scikit_image(pair):
    from skimage.metrics import structural_similarity

    guess, truth = (images[0, 0].double() for images in pair)
    ours = metrics.ssim(guess, truth).item()
    mean, whole = structural_similarity(
        guess.numpy(), truth.numpy(), data_range=1, channel_axis=0, gaussian_weights=True,
        sigma=1.5, use_sample_covariance=False, full=True)
    assert ours == pytest.approx(whole.mean(), abs=2e-3)  # its border is reflected otherwise
    assert metrics.ssim(torch.rand(1, 2, 2), torch.rand(1, 2, 2)).isnan()


@pytest.mark.parametrize("side", [11, 12, 32])
def test_ssim_is_that_of_torchmetrics_from_eleven_pixels_on(side):
    rng = torch.Generator().manual_seed(0)
    truth = torch.rand(4, 3, side, side + 3, generator=rng)
    guess = truth + 0.2 * torch.randn(truth.shape, generator=rng)
    theirs = structural_similarity_index_measure(
        guess.clamp(0, 1), truth, data_range=1.0, reduction="none")
    torch.testing.assert_close(metrics.ssim(guess, truth), theirs, rtol=0, atol=0)


@pytest.mark.parametrize(("side", "window", "sigma"), [(11, 11, 1.5), (10, 9, 4 / 3.5),
                                                       (8, 7, 3 / 3.5), (3, 3, 1 / 3.5)])
def test_the_window_of_ssim_is_gaussian_with_the_sigma_named(side, window, sigma):
    at = torch.arange(window, dtype=torch.float64) - window // 2
    line = torch.exp(-(at / sigma).square() / 2)
    kernel = (line / line.sum())[:, None] * (line / line.sum())  # sums to 1
    guess, truth = torch.rand(2, 1, side, side, dtype=torch.float64,
                              generator=torch.Generator().manual_seed(1))
    pad = torch.nn.functional.pad
    maps = {}
    for name, image in (("x", guess), ("y", truth), ("xx", guess**2), ("yy", truth**2),
                        ("xy", guess * truth)):
        wide = pad(image[None], (window // 2,) * 4, mode="reflect")[0, 0]
        maps[name] = (wide.unfold(0, window, 1).unfold(1, window, 1) * kernel).sum((-1, -2))
    means = maps["x"] * maps["y"], maps["x"]**2 + maps["y"]**2
    covariance = maps["xy"] - means[0]
    variances = maps["xx"] + maps["yy"] - means[1]
    each = (2 * means[0] + 1e-4) * (2 * covariance + 9e-4) / (
        (means[1] + 1e-4) * (variances + 9e-4))
    assert metrics.ssim(guess, truth).item() == pytest.approx(each.mean().item(), abs=1e-9)


def test_avd_of_an_image_worked_by_hand():
    truth = torch.zeros(1, 3, 3, dtype=torch.float64)
    guess = truth.clone()
    guess[0, 1, 1] = 0.5
    # D1 over the lower right 2x2: |0 + 0 - 2*0.5| = 1, right of it 0.5, below it 0.5, else 0.
    first = (1 + 0.25 + 0.25 + 0) / 4
    assert metrics.avd(guess, truth).item() == pytest.approx(math.sqrt(first / 4 / 0.1))
    # D2 has one place, (2, 2), which the middle pixel does not enter.
    assert metrics.avd(guess, truth, "ecir2024").item() == pytest.approx(math.sqrt(first))
    guess[0, 2, 0] = 0.4  # enters D2 once
    first = (1 + 0.25 + (0.4 + 0.5) ** 2 + 0) / 4
    expected = math.sqrt(first + 0.5 * 0.4**2)
    assert metrics.avd(guess, truth, "ecir2024").item() == pytest.approx(expected)


def test_avd_takes_the_absolute_value_of_the_sum_of_both_differences():
    ramp = torch.arange(4.0) / 10
    saddle = (ramp[:, None] - ramp[None, :]).expand(1, 4, 4)  # the two differences cancel
    assert metrics.avd(saddle, torch.zeros(1, 4, 4)).item() == pytest.approx(0, abs=1e-6)


def test_avd_of_noise_is_about_one():
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(3, 64, 64, generator=rng)
    assert 1.05 < metrics.avd(noise, torch.full_like(noise, 0.5)) < 1.18


def test_avd_quantised_wraps_and_takes_the_absolute_value_of_the_reconstruction():
    truth = torch.rand(1, 5, 5, generator=torch.Generator().manual_seed(0))
    eight_bits = (truth * 255).byte().float() / 255
    avd = metrics.avd
    assert avd(eight_bits, truth, quantise=True) < 1e-3 < avd(eight_bits, truth)
    wrapped = truth + 256 / 255
    assert avd(-wrapped, truth, quantise=True).item() < 0.05
    assert avd(-truth, truth, quantise=True) == 0


IMAGE = torch.rand(1, 2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(("guess", "truth", "words"), [
    (IMAGE, IMAGE[:, :1], "one shape"), (IMAGE[0, 0, 0], IMAGE[0, 0, 0], "one shape"),
    (IMAGE[:, :0], IMAGE[:, :0], "one shape"),
    (255 * IMAGE, 255 * IMAGE, r"true images must lie in \[0, 1\], not .* divide those of 0..255"),
    (IMAGE, 2 * IMAGE - 1, r"true images must lie in \[0, 1\]"),
    (IMAGE, IMAGE / 0, "true images must lie"), (IMAGE, IMAGE * torch.nan, "true images must lie"),
    ((255 * IMAGE).byte(), IMAGE, "guess must be a floating tensor, .* torch.uint8"),
    (IMAGE, (255 * IMAGE).long(), "truth must be a floating tensor"),
    (IMAGE, IMAGE > 0.5, "truth must be a floating tensor"),
    (IMAGE.numpy(), IMAGE, "guess must be a floating tensor"),
    (IMAGE, IMAGE.numpy(), "truth must be a floating tensor"), (None, IMAGE, "NoneType"),
    (IMAGE + 0j, IMAGE, "guess must be a floating"),
])
@pytest.mark.parametrize("metric", [metrics.mse, metrics.psnr, metrics.ssim, metrics.lpips,
                                    metrics.avd, metrics.score, metrics.matching])
def test_a_pair_that_cannot_be_compared_is_refused(metric, guess, truth, words):
    with pytest.raises(ValueError, match=words):
        metric(guess, truth)


def test_a_reconstruction_may_lie_anywhere_and_be_of_another_precision():
    assert metrics.mse(255 * IMAGE, IMAGE).min() > 1000
    assert (metrics.psnr(255 + IMAGE, torch.ones_like(IMAGE)) == math.inf).all()
    for metric in (metrics.mse, metrics.psnr, metrics.ssim, metrics.avd):
        exact = metric(IMAGE.double().flip(-1), IMAGE.double())
        for guess, truth in ((IMAGE.double(), IMAGE), (IMAGE, IMAGE.double())):
            torch.testing.assert_close(metric(guess.flip(-1), truth), exact)
        half = metric(IMAGE.flip(-1).half(), IMAGE.half())
        assert half.dtype == torch.float32
        torch.testing.assert_close(half.double(), exact, rtol=0.02, atol=0.02)


@pytest.mark.parametrize(("call", "words"), [
    (lambda: metrics.avd(IMAGE, IMAGE, "2023"), "unknown variant '2023'"),
    (lambda: metrics.avd(IMAGE, IMAGE, quantise=1), "quantise must be True or False"),
    (lambda: metrics.lpips(IMAGE, IMAGE, net="squeeze"), "unknown net"),
    (lambda: metrics.score(IMAGE[0], IMAGE[0]), "K, B, C, H, W"),
    (lambda: metrics.matching(IMAGE[0], IMAGE[0]), "K, B, C, H, W"),
    (lambda: metrics.score(IMAGE, IMAGE, match="no"), "match must be True or False"),
    (lambda: metrics.summary(None), "must be a DataFrame"),
    (lambda: metrics.summary(TABLE, by="of"), "by must name columns .* client"),
    (lambda: metrics.summary(TABLE, by=["client", "client"]), "by must name"),
    (lambda: metrics.summary(TABLE, by="mse"), "by must name"),
    (lambda: metrics.summary(TABLE, recovered="mse <"), "recovered='mse <' is no expression"),
    (lambda: metrics.summary(TABLE, recovered="mes < 1"), "in the columns of the table, client"),
    (lambda: metrics.summary(TABLE, recovered="mse"), "not true or false for each row"),
    (lambda: metrics.summary(TABLE, recovered="1 < 2"), "not true or false"),
    (lambda: metrics.summary(TABLE, recovered=None), "recovered=None"),
])
def test_arguments_of_metrics_are_checked(call, words):
    with pytest.raises(ValueError, match=words):
        call()


TABLE = pd.DataFrame({"client": [0, 1], "mse": [0.5, 0.1]})


# --- LPIPS ---


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A root with a backbone of random weights: the path, not the published numbers."""
    root = tmp_path_factory.mktemp("root")
    (root / "weights").mkdir()
    state = alexnet(weights=None).features.state_dict(prefix="features.")  # without the big head
    torch.save(state, root / "weights" / "alexnet-owt-7be5be79.pth")
    return root


@pytest.mark.parametrize(("net", "name"), [("alex", "alexnet"), ("vgg", "vgg16")])
def test_backbones_are_torchvisions(net, name):
    assert get_model_weights(name).IMAGENET1K_V1.url == metrics.BACKBONES[net]


def test_lpips_without_weights_is_nan_and_says_why(tmp_path):
    available, reason = metrics.lpips_available(tmp_path)
    assert not available and "make weights" in reason
    assert metrics.lpips(*torch.rand(2, 5, 3, 32, 32), root=tmp_path).isnan().all()
    with pytest.raises(ValueError, match="unknown net"):
        metrics.lpips_available(tmp_path, "squeeze")


def test_lpips_with_weights(weights):
    assert metrics.lpips_available(weights) == (True, "")
    state = torch.random.get_rng_state()
    for channels in (1, 3):
        truth = torch.rand(2, 1, channels, 31, 31, generator=torch.Generator().manual_seed(0))
        guess = truth.flip(-1)
        values = metrics.lpips(guess, truth, root=weights)
        assert values.shape == (2, 1) and values.isfinite().all() and (values > 0).all()
        assert (metrics.lpips(truth, truth, root=weights) == 0).all()
        assert metrics.lpips(guess[0, 0], truth[0, 0], root=weights).shape == ()
    assert torch.equal(state, torch.random.get_rng_state())  # building it draws nothing
    for other in (torch.rand(2, 3, 30, 30), torch.rand(2, 4, 31, 31)):  # too small, no colours
        assert metrics.lpips(other, other, root=weights).isnan().all()


def test_a_damaged_backbone_is_named(tmp_path):
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights/alexnet-owt-7be5be79.pth").write_bytes(b"no weights")
    with pytest.raises(ValueError, match="7be5be79.pth is damaged, delete it; `make weights`"):
        metrics.lpips(*torch.rand(2, 3, 32, 32), root=tmp_path)


def test_lpips_uses_the_backbone_of_the_file(weights):
    network = metrics._lpips_network("alex", weights / "weights" / "alexnet-owt-7be5be79.pth")
    stored = torch.load(weights / "weights" / "alexnet-owt-7be5be79.pth", weights_only=True)
    assert torch.equal(network.net.slice1[0].weight, stored["features.0.weight"])
    assert torch.equal(network.net.slice5[0].weight, stored["features.10.weight"])
    assert not network.training


def test_get_weights_reports_a_failure(tmp_path, monkeypatch, capsys):
    path = run.ROOT / "tools" / "get_weights.py"
    spec = importlib.util.spec_from_file_location("get_weights", path)
    get_weights = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(get_weights)

    def no_network(url, model_dir, **options):
        raise OSError("no network")

    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", no_network)
    assert not get_weights.get("LPIPS alex", "https://nowhere/alexnet.pth", tmp_path)
    assert "LPIPS alex: failed: OSError: no network" in capsys.readouterr().err


def test_stlpips_is_the_packages_on_clipped_images():
    from stlpips_pytorch import stlpips

    torch.manual_seed(0)
    guess, truth = 1.4 * torch.rand(3, 2, 3, 40, 32) - 0.2, torch.rand(3, 2, 3, 40, 32)
    network = stlpips.LPIPS(net="alex", variant="shift_tolerant", verbose=False)
    signed = [2 * images.clamp(0, 1).flatten(0, 1) - 1 for images in (guess, truth)]
    with torch.no_grad():
        wanted = network(*signed).reshape(3, 2)
    torch.testing.assert_close(metrics.stlpips(guess, truth), wanted)
    assert (metrics.stlpips(truth, truth) == 0).all()
    assert metrics.stlpips(guess.double(), truth.double()).dtype is torch.float64


def test_stlpips_forgives_a_shift_more_than_another_picture():
    photographs = data.load("photos", size=64).images[:10].float() / 255
    shifted = photographs.roll(1, -1)
    near, far = metrics.stlpips(shifted, photographs), metrics.stlpips(
        photographs.roll(1, 0), photographs)
    assert (near < 0.5 * far).all()


@pytest.mark.parametrize(("shape", "computed"), [
    ((1, 32, 32), True), ((3, 32, 33), True), ((3, 31, 40), False), ((2, 32, 32), False)])
def test_stlpips_has_its_sizes(shape, computed):
    value = metrics.stlpips(torch.rand(2, *shape), torch.rand(2, *shape))
    assert value.shape == (2,) and bool(value.isnan().all()) is not computed


# --- score and summary ---


def test_score_undoes_a_permutation(pair, tmp_path):
    _, truth = pair
    truth = truth.reshape(2, 3, 3, 16, 16)
    order = torch.tensor([[2, 0, 1], [1, 0, 2]])
    shuffled = truth.gather(1, order[..., None, None, None].expand_as(truth))
    table = metrics.score(shuffled, truth, root=tmp_path)
    assert list(table.columns) == ["client", "image", "guess", *metrics.METRICS]
    assert table.client.tolist() == [0, 0, 0, 1, 1, 1]
    assert table.image.tolist() == [0, 1, 2, 0, 1, 2]
    assert table.guess.tolist() == order.argsort(dim=1).flatten().tolist()
    assert (table.mse == 0).all() and (table.psnr == np.inf).all() and table.lpips.isna().all()
    assert (metrics.score(shuffled, truth, match=False, root=tmp_path).mse > 0).sum() == 5


def test_score_agrees_with_each_metric(pair, tmp_path):
    guess, truth = pair
    table = metrics.score(guess.requires_grad_(), truth, match=False, root=tmp_path)
    for name in ("mse", "psnr", "ssim", "avd"):
        values = getattr(metrics, name)(guess.detach(), truth).flatten()
        assert np.allclose(table[name], values, atol=1e-6)


def test_a_reconstruction_that_is_not_finite_scores_nan(pair, tmp_path):
    guess, truth = (images.clone() for images in pair)
    guess[0, 0, 0, 0, 0] = torch.nan
    guess[1] = torch.inf
    table = metrics.score(guess, truth, root=tmp_path)
    failed = table[["mse", "psnr", "ssim", "avd"]].isna().all(axis=1)
    assert failed.tolist() == [True, False, True, True, False, False]
    assert table.guess.tolist() == [0, 1, 0, 1, 0, 1]


def test_summary():
    table = pd.DataFrame({"set": list("aaab"), "mse": [1e-4, 2e-4, 0.5, np.nan],
                          "psnr": [np.inf, np.inf, 3.0, np.nan]})
    whole = metrics.summary(table).set_index("metric")
    assert list(whole.index) == ["mse", "psnr", "recovered: mse < 1e-3"]
    assert whole.loc["mse", ["n", "median", "q25"]].tolist() == [3, 2e-4, 1e-4]
    assert whole.loc["mse", "std"] == pytest.approx(np.std([1e-4, 2e-4, 0.5], ddof=1))
    assert whole.loc["psnr", ["mean", "median", "q75"]].tolist() == [np.inf] * 3
    assert whole.loc["recovered: mse < 1e-3", ["n", "mean"]].tolist() == [4, 0.5]
    by = metrics.summary(table, by="set", recovered="psnr > 30").set_index(["set", "metric"])
    assert by.loc[("a", "recovered: psnr > 30"), "mean"] == pytest.approx(2 / 3)
    assert by.loc[("b", "recovered: psnr > 30"), "mean"] == 0
    assert by.loc[("b", "mse"), "n"] == 0


def test_avd_as_the_paper_defines_it_worked_by_hand():
    truth = torch.tensor([[[0.0, 0.5], [1.0, 0.5]]])  # across: 0.5, -0.5; down: 1, 0
    guess = torch.tensor([[[0.0, 0.5], [0.5, 1.5]]])  # across: 0.5, 1; down: 0.5, 1
    squares = (0, 0.5**2, 0.5**2, 1)
    expected = math.sqrt(sum(squares) / 4)
    assert metrics.avd(guess, truth, "paper").item() == pytest.approx(expected)
    assert metrics.avd(-truth, truth, "paper") == 0  # signs of the differences do not count


@pytest.mark.parametrize("variant", metrics.VARIANTS)
def test_avd_does_not_see_a_constant_shift(variant):
    truth = torch.rand(3, 1, 8, 8) / 2
    assert metrics.avd(truth + 0.25, truth, variant).max() < 1e-6
    shifted = metrics.avd(truth + 0.75, truth, variant, quantise=True)
    assert (shifted > 0.05).all()  # through 8 bits it does, where values wrap
