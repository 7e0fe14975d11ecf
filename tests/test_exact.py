"""lib.exact: truths on small cases, what must fail fails, doors are checked."""

from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch

from lib import client, data, exact, models
from lib.exact.malicious import first_dense
from studies import language as text
from studies.exact import drawings

WIDE = Shape((1, 8, 8), 6)


def centred(B, seed=0, K=1):
    """Clients of random images, whose activations differ; float64."""
    return batch(K=K, B=B, classes=6, seed=seed, dtype=torch.float64)


def dense(width=120, activation="relu", seed=0, hidden=None):
    net = models.dense(WIDE, hidden=hidden or (width,), activation=activation, seed=seed).double()
    with torch.no_grad():
        net[1].bias -= net[1].weight.sum(1) / 2  # as if the images were centred
    return net


def first_layer(net, b):
    u = client.share(net, b).gradients
    return u["1.weight"][0], u["1.bias"][0]


def worst(found, b):
    """The largest error of a pixel, each private image beside its nearest reconstruction."""
    private = b.images[0].flatten(1).double()
    return (private[:, None] - found).abs().amax(2).min(1).values.max().item()


def unmixed(net, b, **how):
    return exact.spear(*first_layer(net, b), net[1].weight, net[1].bias, **how)


# ---- SPEAR

@pytest.mark.parametrize("B", [1, 2, 5, 8])
def test_spear_gives_a_batch_back_exactly(B):
    b = centred(B)
    found = unmixed(dense(), b)
    assert found.exact and found.match == 1 and found.images.shape == (B, 64)
    assert worst(found.images, b) < 1e-6


def test_spear_reads_a_deeper_network_and_repeated_labels():
    b = replace(centred(4), labels=torch.tensor([[2, 2, 2, 1]]))
    found = unmixed(dense(hidden=(120, 50)), b)
    assert found.exact and worst(found.images, b) < 1e-6


def test_spear_works_in_float32():
    b = centred(4)
    b = replace(b, images=b.images.float())
    found = unmixed(dense().float(), b)
    assert found.match > 0.99 and worst(found.images, b) < 1e-3


def test_spear_says_what_it_did_not_find():
    smooth = unmixed(dense(activation="sigmoid"), centred(4), draws=4096)
    narrow = unmixed(dense(width=8), centred(6), draws=4096)
    hurried = unmixed(dense(), centred(20), draws=100)
    for found in (smooth, narrow, hurried):
        assert not found.exact and found.match < 1
    assert smooth.images.shape == (4, 64) and smooth.images.isnan().all()


def test_wrong_images_do_not_match():
    """The check of exactness: with one direction exchanged for a mixture signs differ."""
    net, b = dense(), centred(4)
    right = unmixed(net, b)
    other = exact.spear(*first_layer(net, b), net[1].weight.roll(1, 0), net[1].bias, draws=4096)
    assert right.exact and not other.exact and other.match < 0.9


def test_a_batch_size_that_is_too_large_is_not_exact():
    assert not unmixed(dense(), centred(3), batch_size=5, draws=4096).exact


def test_the_rank_is_the_number_of_images():
    for B in (1, 3, 7):
        assert exact.numerical_rank(first_layer(dense(), centred(B))[0]) == B
    single = centred(5)
    single = replace(single, images=single.images.float())
    assert exact.numerical_rank(first_layer(dense().float(), single)[0]) == 5
    assert exact.numerical_rank(torch.zeros(3, 4)) == 0


# ---- independent components

def test_independent_sources_are_unmixed_with_their_signs_and_sizes():
    rng = torch.Generator().manual_seed(0)
    sources = torch.rand(3, 4000, generator=rng, dtype=torch.float64)  # uniform, independent
    deltas = torch.randn(9, 3, generator=rng, dtype=torch.float64)
    found, converged = exact.components(deltas @ sources, deltas.sum(1), 3)
    assert converged
    nearest = torch.cdist(sources, found).min(1)
    assert nearest.indices.unique().numel() == 3
    assert (sources - found[nearest.indices]).abs().mean() < 0.03
    again, _ = exact.components(deltas @ sources, deltas.sum(1), 3)
    torch.testing.assert_close(found, again)


def test_differences_of_pixels_unmix_photographs_better():
    photos = data.load("photos")
    b = photos.clients(1, 4, seed=0, unique_labels=True)
    b = replace(b, images=b.images.double())
    net = models.dense(photos, hidden=(64,), activation="relu").double()
    u = client.share(net, b).gradients
    layer = u["1.weight"][0], u["1.bias"][0]
    errors = [torch.cdist(b.images[0].flatten(1), exact.components(*layer, 4, shape)[0]).min(1)
              .values.mean() for shape in (None, (3, 32, 32))]
    assert errors[1] < errors[0]


# ---- the span of tokens

def sentence_gradient(net, sentences):
    ids = text.token_ids(sentences)
    x = torch.stack([net.embed(i) for i in ids])
    shared = client.share(net, data.Embeddings(x, ids, len(text.vocabulary()))).gradients
    return {name: g.mean(0) for name, g in shared.items()}, ids


@pytest.mark.parametrize("count", [1, 2])
def test_the_tokens_of_sentences_lie_in_the_span_of_one_no_others(count):
    net = text.masked_language_model(seed=3).double()
    g, ids = sentence_gradient(net, text.SENTENCES[:count])
    found = exact.tokens_in_span(g["encoder.layers.0.self_attn.in_proj_weight"], net.table,
                                 net.position.detach())
    read = torch.where(net.masked.bool(), 0, ids)  # a masked place reads MASK
    private = torch.zeros_like(found)
    for sentence in read:
        private[torch.arange(16), sentence] = True
    assert found[private].all()
    assert torch.equal(found, private) == (count == 1)  # two also give differences of tokens
    assert found.double().mean() < 0.01


def test_a_full_span_holds_every_token():
    net = text.masked_language_model(seed=3).double()
    g, _ = sentence_gradient(net, text.SENTENCES[:8])
    weight = g["encoder.layers.0.self_attn.in_proj_weight"]
    assert exact.numerical_rank(weight) == 64
    assert exact.tokens_in_span(weight, net.table, net.position.detach()).all()


def test_distances_from_a_span():
    plane = torch.tensor([[1.0, 0, 0], [0, 2, 0]])
    vectors = torch.tensor([[3.0, 4, 0], [0, 0, 5], [0, 3, 4]])
    found = exact.span_distance(plane, vectors)
    torch.testing.assert_close(found, torch.tensor([0, 1, 0.8]).double())


# ---- a dishonest server

def many(B=64):
    digits = data.load("digits")
    return digits, digits.clients(1, B, seed=1)


def test_an_imprint_module_gives_the_images_that_are_alone_in_their_bin():
    digits, b = many()
    b = replace(b, images=b.images.double())
    h = digits.images.double().flatten(1).mean(1) / 255
    net = models.lenet(digits).double()
    sent = exact.imprint(net, digits.shape, 80, h.mean().item(), h.std().item())
    u = client.share(sent, b).gradients
    found = exact.imprinted(u["bins.weight"][0], u["bins.bias"][0])
    x = b.images[0].flatten(1)
    cuts = -sent.bins.bias.detach()
    place = (x.mean(1)[:, None] > cuts).sum(1) - 1  # the bin of each image; -1: below all
    alone = torch.tensor([p >= 0 and (place == p).sum() == 1 for p in place])
    assert 20 < alone.sum() < 50
    torch.testing.assert_close(found[place[alone]], x[alone], rtol=0, atol=1e-6)
    occupied = place[place >= 0].unique()
    assert found.isfinite().all(1).nonzero()[:, 0].tolist() == occupied.tolist()
    shared = [p for p in occupied if (place == p).sum() > 1][0]
    assert torch.cdist(x, found[shared][None]).min() > 1e-3  # a mean, of none


def test_the_share_that_is_expected_alone():
    assert exact.expected_alone(1, 1) == 0.5
    assert exact.expected_alone(3, 2) == pytest.approx(3 / 4 * 3 / 4)


def test_trap_weights_are_active_for_the_share_that_was_asked_for():
    digits, b = many()
    sent = exact.trap_weights(models.dense(digits, hidden=(400,), activation="relu"),
                              digits.images.float() / 255, 1 / 64)
    x = digits.images.float().flatten(1) / 255
    assert (sent[1](x) > 0).double().mean().item() == pytest.approx(1 / 64, rel=0.05)
    assert ((sent[1].weight < 0).sum(1) == 32).all() and not sent[1].bias.any()


def recovered(net, b):
    u = client.share(net.double(), b).gradients
    found = exact.rows_divided(u["1.weight"][0], u["1.bias"][0])
    found = found[found.isfinite().all(1)]
    return (torch.cdist(b.images[0].flatten(1), found).min(1).values < 1e-6).double().mean()


def test_trap_weights_give_more_single_images_than_honest_ones():
    digits, b = many()
    b = replace(b, images=b.images.double())
    honest = models.dense(digits, hidden=(400,), activation="relu")
    trapped = exact.trap_weights(honest, digits.images.float() / 255, 1 / 32)
    assert recovered(trapped, b) > 0.3 > 0.2 > recovered(honest, b)


def test_class_fishing_leaves_the_gradient_of_one_class():
    digits, b = many()
    b = replace(b, images=b.images.double())
    net = models.dense(digits, hidden=(100,), activation="relu").double()
    mine = b.labels[0] == 3
    assert 3 <= mine.sum() < 20
    sent = exact.fish_class(net, 3)
    only = replace(b, images=b.images[:, mine], labels=b.labels[:, mine], indices=None)
    whole = client.share(sent, b).gradients["1.weight"][0] * 64
    alone = client.share(sent, only).gradients["1.weight"][0] * mine.sum()
    torch.testing.assert_close(whole, alone, rtol=1e-9, atol=1e-12)
    assert exact.numerical_rank(whole) == mine.sum()
    assert not torch.equal(net[3].weight, sent[3].weight)


# ---- the recursion

def behind_convolutions(channels, activation="sigmoid", seed=0):
    digits = data.load("digits")
    b = digits.clients(1, seed=seed)
    b = replace(b, images=b.images.double())
    net = models.lenet(digits, channels=channels, activation=activation, scale=0.3,
                       seed=seed).double()
    g = {name: value[0] for name, value in client.share(net, b).gradients.items()}
    return exact.recursive(net, g, (1, 8, 8)), b.images[0, 0], (net, g)


@pytest.mark.parametrize("activation", ["sigmoid", "tanh"])
def test_the_recursion_gives_an_image_back_where_every_rank_is_full(activation):
    found, private, _ = behind_convolutions(12, activation)
    assert found.exact and found.unknowns == [64, 192, 48]
    assert (found.image - private).abs().max() < 1e-6


def test_the_recursion_says_where_equations_are_missing():
    found, private, _ = behind_convolutions(1)
    assert not found.exact and found.ranks[0] < 64
    assert (found.image - private).abs().max() > 0.05


# ---- what a client sees

def honest_signs(seed=0, model=None):
    digits, b = many(16)
    net = model or models.dense(digits, hidden=(100,), activation="relu", seed=seed)
    return exact.signs(net, b.images[0], b.labels[0]), digits, b, net


def test_an_honest_model_shows_no_sign():
    signs, *_ = honest_signs()
    assert signs["repeated_rows"] == 0 and signs["lean"] < 0.5
    assert 1 / 15 <= signs["signal_ratio"] < 0.3 and 0.9 < signs["surprise"] < 1.2


def test_each_dishonest_model_shows_a_sign():
    _, digits, b, net = honest_signs()
    x = b.images[0]
    module = exact.imprint(net, digits.shape, 20, 0.3, 0.05)
    assert exact.signs(module, x, b.labels[0])["repeated_rows"] == 1
    trapped = exact.trap_weights(net, digits.images.float() / 255, 1 / 16)
    assert exact.signs(trapped, x, b.labels[0])["lean"] > 0.5
    label = next(c for c in range(10) if (b.labels[0] == c).sum() == 1)
    fished = exact.signs(exact.fish_class(net, label), x, b.labels[0])
    assert fished["signal_ratio"] > 1e6 and fished["repeated_rows"] == 0.9
    assert fished["surprise"] > 1.5


def test_two_like_images_share_the_signal():
    """The ratio of two images whose gradients are equal is 1, of four 1/3."""
    _, _, b, net = honest_signs()
    for count in (2, 4):
        x, labels = b.images[0, :1].expand(count, -1, -1, -1), b.labels[0, :1].expand(count)
        assert exact.signs(net, x, labels)["signal_ratio"] == pytest.approx(1 / (count - 1))


# ---- doors

def net_and_layer():
    net = dense()
    return net, first_layer(net, centred(3))


@pytest.mark.parametrize(("call", "words"), [
    (lambda n, g, d: exact.spear(g[None], d, n[1].weight, n[1].bias), "weight_gradient"),
    (lambda n, g, d: exact.spear(g, d[:3], n[1].weight, n[1].bias), "bias_gradient"),
    (lambda n, g, d: exact.spear(g, d, n[1].weight[:3], n[1].bias), "weight and bias"),
    (lambda n, g, d: exact.spear(0 * g, d, n[1].weight, n[1].bias), "zero"),
    (lambda n, g, d: exact.spear(g / 0, d, n[1].weight, n[1].bias), "finite"),
    (lambda n, g, d: exact.spear(g, d, n[1].weight, n[1].bias, 65), "batch_size"),
    (lambda n, g, d: exact.spear(g, d, n[1].weight, n[1].bias, draws=0), "draws"),
    (lambda n, g, d: exact.components(g, d, 0), "batch_size"),
    (lambda n, g, d: exact.components(g, d, 3, (1, 2, 3)), "64 pixels"),
    (lambda n, g, d: exact.span_distance(g, torch.ones(2, 3)), "vectors"),
    (lambda n, g, d: exact.span_distance(g, torch.zeros(2, 64)), "zero vector"),
    (lambda n, g, d: exact.span_distance(g, torch.ones(2, 64), 100), "rank"),
    (lambda n, g, d: exact.tokens_in_span(g, torch.ones(2, 64), torch.ones(2, 3)), "one width"),
    (lambda n, g, d: exact.tokens_in_span(g, torch.ones(2, 64), torch.ones(2, 64), 1.0),
     "tolerance"),
    (lambda n, g, d: exact.imprint(None, (1, 8, 8), 4, 0.5, 0.1), "nn.Module"),
    (lambda n, g, d: exact.imprint(n, (8, 8), 4, 0.5, 0.1), "shape"),
    (lambda n, g, d: exact.imprint(n, (1, 8, 8), 0, 0.5, 0.1), "bins"),
    (lambda n, g, d: exact.imprint(n, (1, 8, 8), 4, 0.5, 0), "std"),
    (lambda n, g, d: exact.imprinted(g, d[:1]), "bias_gradient"),
    (lambda n, g, d: exact.trap_weights(models.lenet(WIDE), torch.ones(2, 1, 8, 8), 0.1), "dense"),
    (lambda n, g, d: exact.trap_weights(n, torch.ones(2, 1, 8, 9), 0.1), "reference"),
    (lambda n, g, d: exact.trap_weights(n, torch.ones(2, 1, 8, 8), 0.5), "share"),
    (lambda n, g, d: exact.fish_class(n, 6), "label"),
    (lambda n, g, d: exact.fish_class(torch.nn.ReLU(), 0), "dense"),
    (lambda n, g, d: exact.recursive(n, {}, (1, 8, 8)), "nn.Sequential"),
    (lambda n, g, d: exact.recursive(models.lenet(WIDE), {}, (1, 8, 8)), "gradients"),
    (lambda n, g, d: exact.signs(n, torch.rand(1, 1, 8, 8), torch.tensor([0])), "at least two"),
    (lambda n, g, d: exact.signs(n, torch.rand(2, 1, 8, 8), torch.tensor([0, 6])), "labels"),
    (lambda n, g, d: exact.signs(None, torch.rand(2, 1, 8, 8), torch.tensor([0, 1])), "Module"),
    (lambda n, g, d: first_dense(torch.nn.ReLU()), "dense")])
def test_doors_say_what_is_wrong(call, words):
    net, (G, db) = net_and_layer()
    with pytest.raises(ValueError, match=words):
        call(net, G, db)


def test_what_rounding_leaves_is_drawn_as_a_zero():
    deltas = torch.tensor([[1.0, 1e-12], [0.0, -0.5], [2e-11, 1.0]], dtype=torch.float64)
    shown = drawings.zeros(deltas).axes[0].images[0].get_array()
    assert shown.astype(int).tolist() == [[1, 0, 0], [0, 1, 1]]
