"""Generators, attacks through them, and a prior learned from gradients: small, on digits."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lib import attacks, client, data, generators, metrics, models

GRANTED = client.ThreatModel(labels="known", prior_data="digits")
NORMALISED = client.Protocol(normalise=True)


@pytest.fixture(scope="module")
def digits():
    return data.load("digits", split="train")


@pytest.fixture(scope="module")
def generator(digits):
    return generators.train(generators.dcgan(digits, 8, 4), digits, steps=150, width=4, lr=3e-3)[0]


def shared(digits, generator, K=2, B=2, threat=GRANTED, defense=None):
    """An update of images that the generator can make, and those images."""
    made = generators.sample(generator, K * B, seed=3).unflatten(0, (K, B))
    private = digits.clients(K, B)
    private = replace(private, images=made, labels=torch.arange(K * B).view(K, B) % 10)
    model = models.dense(digits, (16,), seed=0)
    return client.share(model, private, NORMALISED, defense, threat), private


@pytest.mark.parametrize("side", [8, 12, 28, 32, 64])
def test_a_generator_of_any_side(side):
    images = data.load("digits", size=side)
    net = generators.dcgan(images, latent=5, width=2)
    made = generators.sample(net, 3)
    assert made.shape == (3, 1, side, side) and made.min() >= 0 and made.max() <= 1
    assert net.latent == (5,) and net.trained_on is None


def test_sides_that_do_not_halve_are_refused():
    for side in (7, 25):
        with pytest.raises(ValueError, match="size="):
            generators.dcgan(data.load("digits", size=side))


NAN = float("nan")
WHOLE = [0, -1, 2.5, True, "4", None]


@pytest.mark.parametrize(("name", "wrong", "words"), [
    ("steps", WHOLE, "steps must be a whole number"), ("batch_size", WHOLE, "batch_size must be"),
    ("width", WHOLE, "width must be"), ("lr", [0, -1, NAN, "1", True], "lr must be a finite"),
    ("gamma", [-1, NAN, "1", True], "gamma must be a finite number"),
    ("average", [1.5, -0.1, NAN, True], r"average must be .* in \[0, 1\]"),
    ("cache", [3, True], "cache is a folder"),
    ("seed", [-1, 0.5, "0", True], "seed must be"),
    ("images", [None, "digits", torch.rand(2, 1, 8, 8)], "images must be an ImageSet"),
    ("generator", [None, "dcgan", nn.Linear(8, 64)], "a module with the attribute `latent`"),
])
def test_settings_of_the_training_are_checked_before_work(digits, name, wrong, words):
    net = generators.dcgan(digits, 8, 2)
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            generators.train(**{"generator": net, "images": digits, "steps": 1, name: value})
    assert torch.equal(net[0].weight, generators.dcgan(digits, 8, 2)[0].weight)


def test_a_generator_of_other_images_or_latents_is_refused(digits):
    large = generators.dcgan(data.load("digits", size=16), 8, 2)
    with pytest.raises(ValueError, match=r"makes \(2, 1, 16, 16\) .*not two images of \(1, 8, 8\)"):
        generators.train(large, digits, 1)
    net = generators.dcgan(digits, 8, 2)
    net.latent = (9,)
    with pytest.raises(ValueError, match=r"takes no latents of shape \(9,\)"):
        generators.train(net, digits, 1)


@pytest.mark.parametrize(("call", "wrong", "words"), [
    (lambda d, g, v: generators.dcgan(d, v), WHOLE, "latent must be a whole number"),
    (lambda d, g, v: generators.dcgan(d, 8, v), WHOLE, "width must be a whole number"),
    (lambda d, g, v: generators.dcgan(d, seed=v), [-1, 0.5, "0"], "seed must be"),
    (lambda d, g, v: generators.dcgan(v), [None, "digits"], "a model is built for an ImageSet"),
    (lambda d, g, v: generators.sample(g, v), WHOLE, "count must be"),
    (lambda d, g, v: generators.sample(g, 2, v), [-1, 0.5, "0"], "seed must be"),
    (lambda d, g, v: generators.sample(v, 2), [None, nn.Linear(2, 2)], "attribute `latent`"),
    (lambda d, g, v: generators.nearest_seen(v, d),
     [None, torch.rand(8, 8), torch.rand(2, 3, 8, 8), torch.zeros(0, 1, 8, 8),
      torch.zeros(2, 1, 8, 8, dtype=torch.uint8)], "images must be a floating tensor"),
    (lambda d, g, v: generators.nearest_seen(torch.rand(1, 1, 8, 8), v), [None, "digits"],
     "seen must be an ImageSet"),
    (lambda d, g, v: generators.quality(g, g, v, d), [None], "seen must be an ImageSet"),
    (lambda d, g, v: generators.quality(g, g, d, v), [None], "unseen must be an ImageSet"),
    (lambda d, g, v: generators.quality(g, g, d, v.subset([0])), [data.load("digits")], "two im"),
    (lambda d, g, v: generators.quality(g, g, d, d, v), [1, *WHOLE], "count must be"),
    (lambda d, g, v: generators.learn(v, []), [None, nn.Linear(2, 2)], "attribute `latent`"),
    (lambda d, g, v: generators.learn(g, [], v), [3, (1,), (1, 2, 3), None], "iterations must"),
    (lambda d, g, v: generators.learn(g, [], rates=v), [0.1, (0.1,)], "rates must be two"),
    (lambda d, g, v: generators.learn(g, [], lr=v), [0, -1, NAN, "1"], "lr must be"),
    (lambda d, g, v: generators.learn(g, [], seed=v), [-1, "0", 0.5], "seed must be"),
    (lambda d, g, v: generators.learn(g, v), [[None], ["update"]], "round 0 must be a SharedUpd"),
])
def test_arguments_about_generators_are_checked(digits, call, wrong, words):
    net = generators.dcgan(digits, 8, 2)
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            call(digits, net, value)


def test_rounds_of_a_learned_prior_are_a_list_of_clients_with_one_image(digits):
    net, model = generators.dcgan(digits, 8, 2), models.dense(digits)
    update = client.share(model, digits.clients(1))
    with pytest.raises(ValueError, match=r"give \[update\] for one"):
        generators.learn(net, update)
    with pytest.raises(ValueError, match="round 0 .* one image each"):
        generators.learn(net, [client.share(model, digits.clients(1, 2))])


@pytest.mark.parametrize("name", ["digits", "faces", "photos"])
def test_the_prior_never_sees_what_is_attacked(name):
    train, test = (data.load(name, split=s).images.flatten(1) for s in ("train", "test"))
    assert torch.cdist(test.float(), train.float()).min() > 0


def test_training_is_cached_and_says_what_it_saw(digits, tmp_path):
    def trained():
        net = generators.dcgan(digits, 8, 4, seed=1)
        return generators.train(net, digits, steps=3, width=4, cache=tmp_path)

    (a, critic), first = trained(), sorted(tmp_path.iterdir())
    b, again = trained()
    assert len(first) == 1 and sorted(tmp_path.iterdir()) == first
    assert a.trained_on == "digits" and not a.training
    assert all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))
    assert all(map(torch.equal, critic.state_dict().values(), again.state_dict().values()))
    untouched = generators.dcgan(digits, 8, 4, seed=1)
    assert not torch.equal(a[0].weight, untouched[0].weight)


def test_statistics_of_a_generator_with_batch_norm_are_kept(digits):
    net = nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Sigmoid(),
                        nn.Unflatten(1, (1, 8, 8)))
    net.latent = (4,)
    net, _ = generators.train(net, digits, steps=3, batch_size=8, width=4)
    assert net[1].num_batches_tracked == 3 and net[1].running_mean.abs().min() > 0


def test_quality_shows_memories_and_a_collapse(digits):
    class Memory(nn.Module):
        latent, trained_on = (8,), "digits"

        def __init__(self, few):
            super().__init__()
            self.few, self.unused = few, nn.Parameter(torch.zeros(1))

        def forward(self, z):
            rows = (z[:, 0] * 1e3).long() % self.few
            return digits.images[rows].float() / 255

    critic, test = generators._Critic(digits.shape, 4), data.load("digits", split="test")
    memory = generators.quality(Memory(len(digits)), critic, digits, test)
    assert memory["to the nearest seen image"] == 0 < memory["of unseen images"]
    assert 0.8 < memory["spread"] < 1.2
    assert generators.quality(Memory(1), critic, digits, test)["spread"] == 0
    assert 0 <= memory["told apart"] <= 1


def test_training_brings_samples_nearer_to_digits(digits, generator):
    test = data.load("digits", split="test")
    critic = generators._Critic(digits.shape, 4)
    before = generators.quality(generators.dcgan(digits, 8, 4), critic, digits, test)
    after = generators.quality(generator, critic, digits, test)
    assert after["to the nearest seen image"] < 0.8 * before["to the nearest seen image"]


def test_latents_of_made_images_are_found(digits, generator):
    update, private = shared(digits, generator, K=4, B=1)
    attack = attacks.gias(generator, "z", (300,), (0.1,), tv=0)
    guess = attacks.reconstruct(update, attack, restarts=2)
    assert (metrics.psnr(guess.images, private.images) > 30).sum() >= 3
    assert torch.allclose(generator(guess.latents[:, 0]), guess.images[:, 0], atol=1e-5)
    assert guess.loss.shape == (4, 2) and guess.variables.shape == (4, 1, 8)


@pytest.mark.parametrize("space", ["z/h", "z/x"])
def test_a_stage_goes_on_from_the_best_restart(digits, generator, space):
    update, _ = shared(digits, generator)
    attack = attacks.gias(generator, space, (8, 8), tv=0)
    guess = attacks.reconstruct(update, attack, restarts=2, record=[0, 8, 9])
    alone = attacks.reconstruct(update, attacks.gias(generator, "z", (8,), tv=0), restarts=2)
    assert guess.history.losses.shape == (17, 2, 1) and guess.loss.shape == (2, 1)
    assert torch.allclose(guess.history.losses[8, :, 0], alone.loss.amin(1), atol=1e-5)
    assert (guess.loss[:, 0] <= alone.loss.amin(1) + 1e-5).all()
    assert {i: t.shape for i, t in guess.history.images.items()} == dict.fromkeys(
        (0, 8, 9), (2, 1, 2, *update.shape))
    assert torch.equal(guess.latents, alone.latents)


@pytest.mark.parametrize("copies", [
    "image", pytest.param("client", marks=pytest.mark.slow)])
def test_parameters_are_each_clients_own(digits, generator, copies):
    update, private = shared(digits, generator)
    attack = attacks.gias(generator, "z/w", (3, 5), copies=copies)
    guess = attacks.reconstruct(update, attack)
    count = sum(p.numel() for p in generator.parameters())
    assert guess.variables.shape == (2, 2 if copies == "image" else 1, count)
    assert not torch.equal(guess.variables[0, 0], guess.variables[1, 0])
    chunked = attacks.reconstruct(update, attack, chunk=1)
    assert torch.allclose(guess.images, chunked.images, atol=1e-4)


def test_one_copy_for_all_clients_follows_the_mean_objective(digits, generator):
    update, _ = shared(digits, generator, K=3, B=1)
    attack = attacks.gias(generator, "w", (4,), lr=(1e-3,), tv=0, copies="all")
    guess = attacks.reconstruct(update, attack, chunk=1)
    assert all(torch.equal(guess.variables[0], v) for v in guess.variables)
    net = generators.dcgan(digits, 8, 4)  # the first step by hand: Adam moves by the sign
    net.load_state_dict(generator.state_dict())
    x = net(guess.latents[:, 0])[:, None]
    flat = torch.nn.utils.parameters_to_vector(net.parameters()).detach()
    base, protocol = models.prepare(update.model), update.protocol
    f = client.update_function(base, protocol)
    params, buffers = client.tensors(update.model)
    v = client.to_input(x, False, True, update.mean, update.std)
    hot = torch.nn.functional.one_hot(update.labels, 10).float()
    g = torch.func.vmap(f, in_dims=(None, None, 0, 0))(params, buffers, v, hot)
    mean = torch.func.vmap(attack.objective)(g, update.gradients).mean()
    slope = torch.cat([p.flatten() for p in torch.autograd.grad(mean, list(net.parameters()))])
    one = attacks.reconstruct(update, attacks.gias(
        generator, "w", (1,), lr=(1e-3,), tv=0, copies="all"))
    large = slope.abs() > 1e-6
    assert torch.equal((one.variables[0, 0] - flat)[large].sign(), -slope[large].sign())


def test_the_baseline_in_pixels_needs_no_generator(digits, generator):
    update, _ = shared(digits, generator, threat=client.ThreatModel(labels="known"))
    guess = attacks.reconstruct(update, attacks.gias(None, "x", (5,)))
    assert guess.latents is None and guess.variables.shape == (2, 2, *update.shape)


def test_a_trained_generator_is_prior_knowledge(digits, generator):
    update, _ = shared(digits, generator, threat=client.ThreatModel(labels="known"))
    with pytest.raises(client.AssumptionError, match="prior_data"):
        attacks.reconstruct(update, attacks.gias(generator, "z", (1,)))
    assert "prior data" in attacks.assumptions(attacks.gias(generator))
    untrained = generators.dcgan(digits, 8, 4)
    attacks.reconstruct(update, attacks.gias(untrained, "z", (1,)))


def test_a_generator_is_any_module(digits):
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = nn.Sequential(nn.Linear(6, 32), nn.BatchNorm1d(32), nn.Dropout(), nn.ReLU(
                inplace=True), nn.Linear(32, 64), nn.Sigmoid())

        def forward(self, z):
            return self.body(z.flatten(1)).view(-1, 1, 8, 8)

    class Wide(Own):  # [-1, 1], as StyleGAN's
        def forward(self, z):
            return 2 * super().forward(z) - 1

    class Noisy(Own):
        def forward(self, z):
            return (super().forward(z) + 0.1 * torch.rand(1)).clamp(0, 1)

    net = Own()
    net.body[1].running_mean.normal_()
    update, _ = shared(digits, generators.dcgan(digits, 8, 4))
    for bad, word in ((Wide(), "wrap"), (Noisy(), "noise"), (nn.Sequential(
            nn.Flatten(), nn.Linear(6, 9), nn.Sigmoid(), nn.Unflatten(1, (1, 3, 3))), "wrap")):
        with pytest.raises(ValueError, match=word):
            attacks.reconstruct(update, attacks.gias(bad, "z", (4,), latent=(2, 3)))
    guess = attacks.reconstruct(update, attacks.gias(net, "z/w", (4, 4), latent=(2, 3)))
    assert guess.latents.shape == (2, 2, 2, 3)
    guess = attacks.reconstruct(update, attacks.gias(net, "z", (4,), latent=(2, 3)))
    assert torch.allclose(net.eval()(guess.latents.flatten(0, 1)), guess.images.flatten(0, 1),
                          atol=1e-5)


def test_bad_spaces_are_one_clear_error(digits, generator):
    update, _ = shared(digits, generator)
    latents, moved = (attacks.gias(generator, s, (2,), tv=0) for s in ("z", "w"))
    bent = attacks.reconstruct(update, moved)  # its images are of other parameters
    for wrong in (*(lambda space=space: attacks.gias(generator, space, (1, 1, 1)) for space in (
                      "x/z", "h", "q", "w/z", "z/h/w", "z/w/h", "x/w", "")),
                  lambda: replace(latents, space=replace(latents.space, then=latents)),
                  lambda: replace(moved, space=replace(latents.space, then=latents)),
                  lambda: attacks.reconstruct(update, moved, start=bent),
                  lambda: attacks.gias(generator, "z/w", (5,)),
                  lambda: attacks.gias(generator, "z/w", lr=(1.0,)),
                  lambda: attacks.gias(nn.Linear(2, 2)),
                  lambda: attacks.gias(generator, labels="joint"),
                  lambda: attacks.gias(generator, "z/h", layer=99),
                  lambda: attacks.gias(generator, copies="some"),
                  lambda: attacks.reconstruct(update, attacks.gias(generator, "w", (1,)), 2),
                  *(lambda space=space: attacks.reconstruct(
                      update, attacks.gias(generator, space, (1,)),
                      start=(torch.zeros(1, 1, 2), None)) for space in "zw")):
        with pytest.raises(ValueError):
            wrong()


def test_a_prior_is_learned_from_gradients_alone(digits):
    test = data.load("digits", split="test")
    untrained, seen = generators.dcgan(digits, 8, 4), []
    model = models.dense(digits, (16,), seed=0)
    rounds = [client.share(model, test.clients(4, seed=i), NORMALISED,
                           threat=client.ThreatModel(labels="known")) for i in range(3)]
    before = [p.clone() for p in untrained.parameters()]
    learned = generators.learn(untrained, rounds, (10, 10), watch=lambda i, net: seen.append(i))
    assert seen == [0, 1, 2] and learned.trained_on is None
    assert all(map(torch.equal, before, untrained.parameters()))
    assert not torch.equal(learned[0].weight, untrained[0].weight)

    def error(net):
        attack = attacks.gias(net, "z", (40,), tv=1e-4, latent_norm=1e-3)
        guess = attacks.reconstruct(rounds[0], attack)
        return guess.loss.mean()
    assert error(learned) < error(untrained)
