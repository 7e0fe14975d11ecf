"""Generative priors: small GANs, how they are trained and what they are worth; and a prior learned
from gradients.

A generator is any module from latents (B, *latent) to images (B, C, H, W) in [0, 1]; its attribute
`latent` is the shape of one latent, drawn from N(0, 1), and `trained_on` the name of the image set
it has seen (None: none). StyleGAN weights of your own are one wrapper with a `forward` away,
which fixes their noise.
"""

import copy
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu, softplus

from . import attacks, checks, models, run
from .client import SharedUpdate
from .data import ImageSet
from .training import reproducible


def dcgan(images, latent=64, width=16, seed=0) -> nn.Sequential:
    """An untrained generator after DCGAN (Radford et al. 2016) of images.shape, 8x8 to 64x64.

    A dense layer, then per doubling of the side nearest-neighbour upsampling (no checkerboard), a
    3x3 convolution to half the channels, GroupNorm and ReLU, down to `width` channels; a last
    convolution and a sigmoid. GroupNorm where DCGAN has BatchNorm: an averaged generator then needs
    no statistics of its own. ValueError for sides that are odd above 7, or not equal."""
    (C, H, W), _ = models.input_shape(images)
    latent, width = checks.whole("latent", latent), checks.whole("width", width)
    side, doublings = H, 0
    while side > 7 and side % 2 == 0:
        side, doublings = side // 2, doublings + 1
    if H != W or not doublings or side > 7:
        raise ValueError(f"images of {H}x{W}: a side that halves down to 4 to 7; load the set with "
                         "size=")

    def build() -> nn.Module:
        c = width * 2**doublings
        layers = [nn.Linear(latent, c * side**2), nn.Unflatten(1, (c, side, side))]
        for _ in range(doublings):
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(c, c // 2, 3, padding=1),
                       models.NORMS["group"](c // 2), nn.ReLU()]
            c //= 2
        return nn.Sequential(*layers, nn.Conv2d(c, C, 3, padding=1), nn.Sigmoid())

    net = models.seeded(build, seed)
    net.latent, net.trained_on = (latent,), None
    return net


class _Critic(nn.Module):
    """Convolutions of stride 2 down to a side of 7 or less, without a norm; one number an image."""

    def __init__(self, shape, width) -> None:
        super().__init__()
        (c, side, _), convolutions, out = shape, [], width
        while side > 7:
            convolutions.append(nn.Conv2d(c, out, 4, 2, 1))
            c, side, out = out, side // 2, 2 * out
        self.convolutions = nn.ModuleList([*convolutions, nn.Conv2d(c, out, 3, padding=1)])
        self.dense = nn.Linear(out * side**2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = 2 * x - 1
        for layer in self.convolutions:
            x = leaky_relu(layer(x), 0.2)
        return self.dense(x.flatten(1))[:, 0]


def _check_set(name: str, images) -> None:
    if not isinstance(images, ImageSet):
        raise ValueError(f"{name} must be an ImageSet (data.load), not {type(images).__name__}")


def _check_generator(generator, shape: tuple | None = None) -> None:
    """ValueError unless it maps latents of its shape `latent` to images, (C, H, W) where given."""
    latent = getattr(generator, "latent", None)
    if not isinstance(generator, nn.Module) or not isinstance(latent, tuple | list) or not latent:
        raise ValueError(f"a generator is a module with the attribute `latent`, the shape of one "
                         f"latent as a tuple: {type(generator).__name__} is none")
    like = next(generator.parameters(), None)
    if like is None:
        raise ValueError("the generator has no parameters")
    if shape is None:
        return
    training = {m: m.training for m in generator.modules()}
    try:
        with torch.no_grad():
            images = generator.eval()(like.new_zeros(2, *latent))
    except (RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"the generator takes no latents of shape {tuple(latent)}: "
                         f"{checks.shown(str(error), 200)}") from error
    finally:
        for module, mode in training.items():
            module.training = mode
    if not isinstance(images, Tensor) or tuple(images.shape) != (2, *shape):
        raise ValueError(f"the generator makes {tuple(images.shape)} of two latents, not two "
                         "images "
                         f"of {tuple(shape)} as the set holds")


def train(generator: nn.Module, images: ImageSet, steps=2000, batch_size=64, lr=1e-3, gamma=1.0,
          width=32, average=0.99, seed=0, cache=None) -> tuple[nn.Module, nn.Module]:
    """(generator, critic): `generator` trained as a GAN on an `ImageSet`, both in eval mode.

    R3GAN's loss (Huang et al. 2024, "The GAN is dead; long live the GAN!", section 2):
    each sample is compared with a real image, softplus(-(D(real) - D(fake))), and the critic's
    slope is penalised at both (R1 and R2, weight gamma / 2), without which small GANs diverge. Adam
    with betas 0 and 0.99, one cosine of the learning rate to a tenth; the generator returned has
    the running mean of its weights (decay `average`, rising to it). Each real image is mirrored or
    not, at random, where the set has colours: digits are not. cache: a folder, as in
    `models.train`; on a CPU, as there, one thread computes. ValueError, before any work, for
    settings out of range, or a generator that does not make images of the set's shape."""
    run.current()
    for name, value in {"steps": steps, "batch_size": batch_size, "width": width}.items():
        checks.whole(name, value)
    checks.number("lr", lr, 0, exclude=(0,))
    checks.number("gamma", gamma, 0)
    checks.number("average", average, 0, 1)
    checks.whole("seed", seed, 0)
    if cache is not None and not isinstance(cache, str | Path):
        raise ValueError(f"cache is a folder's path or None, not {checks.shown(cache)}")
    _check_set("images", images)
    _check_generator(generator, images.shape)
    device = next(generator.parameters()).device
    critic = models.seeded(lambda: _Critic(images.shape, width), seed).to(device)
    place = "cpu, one thread" if device.type == "cpu" else device.type
    settings = [steps, batch_size, lr, gamma, average, seed, place]
    both = nn.ModuleList([generator, critic])
    file = models.weights_file(Path(cache), both, images, settings) if cache else None
    if file is not None and file.is_file():
        models.load_weights(both, file, device)
    else:
        with reproducible(device, seed):
            _play(generator, critic, images, steps, batch_size, lr, gamma, average, seed)
        if file is not None:
            models.save_weights(both, file)
    generator.trained_on = images.name
    return generator.eval(), critic.eval()


def _play(generator, critic, images, steps, batch_size, lr, gamma, average, seed) -> None:
    device, rng = next(generator.parameters()).device, run.generator("gan", seed)
    real_set, mirrored = images.images.to(device), images.shape[0] == 3
    mean = copy.deepcopy(generator)
    optimizers = [torch.optim.Adam(n.parameters(), lr, (0.0, 0.99)) for n in (generator, critic)]
    schedules = [torch.optim.lr_scheduler.CosineAnnealingLR(o, steps, lr / 10) for o in optimizers]
    for step in run.progress(range(steps), desc="GAN"):
        rows = torch.randint(len(real_set), (batch_size,), generator=rng)
        real = real_set[rows].float() / 255
        if mirrored:
            turned = torch.rand(batch_size, 1, 1, 1, generator=rng).to(device) < 0.5
            real = torch.where(turned, real.flip(-1), real)
        z = torch.randn(batch_size, *generator.latent, generator=rng).to(device)
        fake = generator(z)
        ours = softplus(critic(real) - critic(fake)).mean()
        optimizers[0].zero_grad()
        ours.backward()
        optimizers[0].step()
        real, fake = real.requires_grad_(), fake.detach().requires_grad_()
        scores = critic(real), critic(fake)
        slopes = torch.autograd.grad(scores[0].sum() + scores[1].sum(), (real, fake),
                                     create_graph=True)
        penalty = sum(s.square().flatten(1).sum(1).mean() for s in slopes)
        optimizers[1].zero_grad()
        (softplus(scores[1] - scores[0]).mean() + gamma / 2 * penalty).backward()
        optimizers[1].step()
        for schedule in schedules:
            schedule.step()
        decay = min(average, (1 + step) / (10 + step))
        with torch.no_grad():
            for a, b in zip(mean.parameters(), generator.parameters(), strict=True):
                a.lerp_(b, 1 - decay)
            for a, b in zip(mean.buffers(), generator.buffers(), strict=True):
                a.copy_(b)
    generator.load_state_dict(mean.state_dict())


@torch.no_grad()
def sample(generator: nn.Module, count: int, seed=0) -> Tensor:
    """Images (count, C, H, W) in [0, 1] of latents drawn from N(0, 1)."""
    checks.whole("count", count)
    checks.whole("seed", seed, 0)
    _check_generator(generator)
    like = next(generator.parameters())
    return generator(torch.randn(count, *generator.latent, generator=run.generator(
        "sample", seed)).to(like))


@torch.no_grad()
def nearest_seen(images: Tensor, seen: ImageSet) -> tuple[Tensor, Tensor]:
    """To each of images (N, C, H, W) in [0, 1] the nearest training image, (N, C, H, W), mirrored
    where that is nearer and training does so, and the root mean squared distance (N,)."""
    _check_set("seen", seen)
    fits = isinstance(images, Tensor) and images.is_floating_point() and images.ndim == 4
    if not fits or tuple(images.shape[1:]) != seen.shape or not len(images):
        raise ValueError(f"images must be a floating tensor (N, C, H, W) in [0, 1], of "
                         f"{seen.shape} each as those of {seen.name}")
    known = seen.images.to(images.device).float() / 255
    known = torch.cat((known, known.flip(-1))) if seen.shape[0] == 3 else known
    distance, row = torch.cdist(images.flatten(1), known.flatten(1)).min(1)
    return known[row], distance / images[0].numel() ** 0.5


@torch.no_grad()
def quality(generator: nn.Module, critic: nn.Module, seen: ImageSet, unseen: ImageSet, count=256,
            seed=0) -> dict[str, float]:
    """Numbers that show failure: is the generator worth anything, and does it only repeat?

    `told apart`: the share of pairs in which the critic prefers an unseen image to a sample (0.5:
    cannot tell; 1: samples are not like images). `to the nearest seen image`: median root mean
    squared distance of samples to their nearest training image, and `of unseen images` that of
    unseen ones: much smaller samples' distances are memories. `spread`: the mean distance between
    two samples over that between two unseen images (near 0: one sample for all latents)."""
    checks.whole("count", count, 2)  # `spread` compares two
    _check_generator(generator)
    if not isinstance(critic, nn.Module):
        raise ValueError("critic must be a module, as `train` returns it, not "
                         f"{checks.shown(critic)}")
    for name, images in (("seen", seen), ("unseen", unseen)):
        _check_set(name, images)
    if len(unseen) < 2:
        raise ValueError("unseen must hold two images or more")
    device = next(generator.parameters()).device
    samples, new = sample(generator, count, seed), unseen.images[:count].to(device).float() / 255

    def nearest(x) -> float:
        return nearest_seen(x, seen)[1].median().item()

    def spread(x) -> Tensor:
        return torch.pdist(x.flatten(1)).mean()

    better = critic(new)[:, None] > critic(samples)[None]
    return {"told apart": better.float().mean().item(),
            "to the nearest seen image": nearest(samples), "of unseen images": nearest(new),
            "spread": (spread(samples) / spread(new)).item()}


def learn(generator: nn.Module, rounds: Iterable[SharedUpdate], iterations=(1000, 500), lr=1e-2,
          rates=(0.03, 1e-3), tv=1e-4, latent_norm=1e-3, labels="idlg", seed=0,
          watch: Callable | None = None) -> nn.Module:
    """GIML (Jeon et al. 2021): a generator learned from the updates of successive rounds alone; a
    copy of `generator`, which may be untrained.

    rounds: one `SharedUpdate` a round, whose clients hold one image each. In each round the latents
    of all clients are searched, then *one* copy of the parameters for all of them, and the
    generator takes a step of Adam (`lr`) along 2 (w - w'), as the official code does (Reptile).
    `watch(round, generator)` is called after each. The settings are that code's."""
    _check_generator(generator)
    _check_settings(rounds, iterations, lr, rates, watch)
    checks.whole("seed", seed, 0)
    out = copy.deepcopy(generator)
    parameters = list(out.parameters())
    optimizer = torch.optim.Adam(parameters, lr)
    settings = {"labels": labels, "tv": tv}
    i = None
    for i, update in enumerate(rounds):
        if not isinstance(update, SharedUpdate) or update.batch_size != 1:
            raise ValueError(f"round {i} must be a SharedUpdate whose clients hold one image each")
        latents = attacks.gias(out, "z", iterations[:1], rates[:1], latent_norm=latent_norm,
                               **settings)
        shared = attacks.gias(out, "w", iterations[1:], rates[1:], copies="all", **settings)
        reconstruction = attacks.reconstruct(update, latents, seed=seed + i)
        moved = attacks.reconstruct(update, shared, seed=seed + i, start=reconstruction)
        moved = moved.variables[0, 0]
        for p, new in zip(parameters, moved.split([p.numel() for p in parameters]), strict=True):
            p.grad = 2 * (p.detach() - new.view_as(p))
        optimizer.step()
        if watch is not None:
            watch(i, out)
    if i is None:
        raise ValueError("rounds holds no SharedUpdate: nothing can be learned")
    return out


def _check_settings(rounds, iterations, lr, rates, watch) -> None:
    """ValueError for settings of `learn` that are no settings, before a round is attacked."""
    if isinstance(rounds, SharedUpdate):
        raise ValueError("rounds must be a list of updates, one a round: give [update] for one")
    if not isinstance(rounds, Iterable):
        raise ValueError("rounds must be an iterable of SharedUpdates, one a round, not "
                         f"{type(rounds).__name__}")
    for name, pair in {"iterations": iterations, "rates": rates}.items():
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise ValueError(f"{name} must be two numbers, of the search of latents and of that of "
                             f"parameters, not {checks.shown(pair)}")
    for count, rate in zip(iterations, rates, strict=True):
        checks.whole("iterations", count)
        checks.number("rates", rate, 0, exclude=(0,))
    checks.number("lr", lr, 0, exclude=(0,))
    if watch is not None and not callable(watch):
        raise ValueError("watch must be a function of (round, generator) or None, not "
                         f"{checks.shown(watch)}")
