"""What an attack searches: pixels, or through a generator its latents, the activations of one of
its layers, or its parameters.

A space says where a search starts (`start`), and what images its variables stand for (`opened`,
whose `image` is part of the traced formula).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from . import batching, checks, client, descriptions, run
from .update import SharedUpdate

NAMES = {"x": "pixels", "z": "latents", "h": "an inner layer's activations", "w": "parameters"}


@dataclass
class Opened:
    """A space on one update: `shape` of one client's variables, and the images that they stand for,
    `image(variables, state)`, in the space in which the attack works. `state` holds the tensors
    that it reads: `shared` of all clients, `per_client` of each, (K, ...). key, stays: see
    `descriptions.described`; no key: the variables are the images."""

    shape: tuple[int, ...]
    image: Callable = staticmethod(lambda variables, state: variables)
    shared: dict[str, Tensor] = field(default_factory=dict)
    per_client: dict[str, Tensor] = field(default_factory=dict)
    key: tuple = ()
    stays: bool = True

    @property
    def is_pixels(self) -> bool:
        return not self.key


@dataclass(frozen=True)
class Space:
    """What all spaces have."""

    letter = ""
    is_drawn = False  # a search starts from noise in this space itself
    gives_latents = False  # its variables are what another search can go on from
    box = False  # project to [0, 1] (in z where normalised) after each Adam step
    tied = False  # all clients are one problem
    then = None  # the attack that goes on from the best state of this search

    @property
    def needs_prior_data(self) -> bool:
        """Whether the attacker knows images like the client's."""
        return False

    def drawn_shape(self, update: SharedUpdate) -> tuple[int, ...]:
        """The shape of what is drawn for one dummy image."""
        return tuple(update.shape)


@dataclass(frozen=True)
class Pixels(Space):
    """The dummy images themselves."""

    box: bool = False

    letter = "x"
    is_drawn = True

    def __post_init__(self) -> None:
        checks.flag("box", self.box)

    def start(self, update: SharedUpdate, normalise: bool, latents: Tensor | None,
              images: Tensor) -> Tensor:
        """Variables (K, 1, B, C, H, W) to go on with from images (K, B, C, H, W) in [0, 1]."""
        return client.to_input(images, False, normalise, update.mean, update.std)[:, None]

    def opened(self, update: SharedUpdate, normalise: bool, latents: Tensor | None) -> Opened:
        """What is optimised for `update`."""
        return Opened((update.batch_size, *update.shape))


@dataclass(frozen=True)
class _Generated(Space):
    """A space of a generator: latents (B, *latent) -> images (B, C, H, W) in [0, 1]."""

    generator: nn.Module
    latent: tuple  # shape of one latent

    def __post_init__(self) -> None:
        object.__setattr__(self, "latent", checked_shape(self.latent))
        if not isinstance(self.generator, nn.Module):
            raise ValueError(f"generator must be a torch module, not {self.generator!r}")

    @property
    def needs_prior_data(self) -> bool:
        """An untrained generator (`trained_on` is None) knows no images."""
        return bool(getattr(self.generator, "trained_on", "unknown"))

    def drawn_shape(self, update: SharedUpdate) -> tuple[int, ...]:
        return self.latent

    @torch.no_grad()
    def ready(self, update: SharedUpdate) -> nn.Module:
        """A copy of the generator that can be attacked through. ValueError where it does not make
        the images of this update, always the same of the same latents."""
        like = next(iter(update.gradients.values()))
        net = batching.prepare(self.generator).to(like)
        z = torch.randn(2, *self.latent, generator=run.generator("a look at it", 0)).to(like)
        images, again = net(z), net(z)
        if not isinstance(images, Tensor):
            raise ValueError("the generator must return images (B, C, H, W), not "
                             f"{type(images).__name__}")
        if images.shape[1:] != update.shape or images.min() < 0 or images.max() > 1:
            raise ValueError(f"the generator makes {tuple(images.shape[1:])} in "
                             f"[{images.min():.2g}, {images.max():.2g}], not "
                             f"{tuple(update.shape)} in [0, 1]: wrap it")
        if not torch.equal(images, again):
            raise ValueError("the generator makes two images of one latent: fix its noise")
        return net

    def start(self, update: SharedUpdate, normalise: bool, latents: Tensor | None,
              images: Tensor | None) -> Tensor:
        """Variables (K, 1, ...) to go on with from latents (K, B, *latent); `images`, where they
        are given, are those that these latents must stand for."""
        net = self.ready(update)
        if images is not None and not _makes(net, latents, images):
            raise ValueError("to go on, a reconstruction must be what this generator makes of its "
                             "latents: start from a search of latents")
        return self._start(update, net, latents)

    def _opened(self, update: SharedUpdate, normalise: bool, shape: tuple, net: nn.Module,
                part: nn.Module, image: Callable) -> Opened:
        """The space whose `image(variables, state)` gives images in [0, 1], by `part` of `net`."""
        def in_its_space(variables: Tensor, state: dict[str, Tensor]) -> Tensor:
            moments = state.get("mean"), state.get("std")
            return client.to_input(image(variables, state), False, normalise, *moments)

        shared = {}
        for name, tensor in (*part.named_parameters(), *part.named_buffers()):
            shared["G " + name] = tensor.detach()
        if normalise:
            shared |= {"mean": update.mean.to(update.device), "std": update.std.to(update.device)}
        key, stays = descriptions.described_module(net)
        return Opened(shape, in_its_space, shared, {}, (self.letter, part is net, shape, key),
                      stays)


@dataclass(frozen=True)
class Latents(_Generated):
    """A generator's latents, (B, *latent) a client."""

    then: object = None  # an attack in another space, which goes on from here

    letter = "z"
    is_drawn = True
    gives_latents = True

    def _start(self, update: SharedUpdate, net: nn.Module, latents: Tensor) -> Tensor:
        return latents[:, None]

    def opened(self, update: SharedUpdate, normalise: bool, latents: Tensor | None) -> Opened:
        """What is optimised for `update`."""
        net = self.ready(update)

        def image(variables: Tensor, state: dict[str, Tensor]) -> Tensor:
            return batching.call(net, of("G ", state), variables)

        shape = (update.batch_size, *self.latent)
        return self._opened(update, normalise, shape, net, net, image)


@dataclass(frozen=True)
class Layer(_Generated):
    """The activations behind generator[:layer], a Sequential."""

    layer: int = 1

    letter = "h"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.whole("layer", self.layer)
        if not isinstance(self.generator, nn.Sequential) or self.layer >= len(self.generator):
            raise ValueError("to search an inner layer the generator is a Sequential longer than "
                             f"layer = {self.layer}")

    @torch.no_grad()
    def _start(self, update: SharedUpdate, net: nn.Module, latents: Tensor) -> Tensor:
        inner = net[: self.layer](latents.flatten(0, 1))
        return inner.unflatten(0, (len(update), 1, update.batch_size))

    def opened(self, update: SharedUpdate, normalise: bool, latents: Tensor) -> Opened:
        """What is optimised for `update`, behind the layer of these latents."""
        net = self.ready(update)
        rest = net[self.layer :]

        def image(variables: Tensor, state: dict[str, Tensor]) -> Tensor:
            return batching.call(rest, of("G ", state), variables)

        inner = net[: self.layer](latents[0, :1])
        shape = (update.batch_size, *inner.shape[1:])
        opened = self._opened(update, normalise, shape, net, rest, image)
        opened.key = (*opened.key, self.layer)
        return opened


@dataclass(frozen=True)
class Parameters(_Generated):
    """The generator's parameters, at latents that stay: of every "image", of a "client", or one
    copy for "all" clients."""

    copies: str = "image"

    letter = "w"

    def __post_init__(self) -> None:
        super().__post_init__()
        checks.one_of("copies", self.copies, ("image", "client", "all"))

    @property
    def tied(self) -> bool:
        return self.copies == "all"

    def _start(self, update: SharedUpdate, net: nn.Module, latents: Tensor) -> Tensor:
        flat = torch.cat([p.detach().flatten() for p in net.parameters()])
        return flat.expand(len(update), 1, self._count(update), -1).clone()

    def _count(self, update: SharedUpdate) -> int:
        """How many copies a client's variables hold."""
        return update.batch_size if self.copies == "image" else 1

    def opened(self, update: SharedUpdate, normalise: bool, latents: Tensor) -> Opened:
        """What is optimised for `update`: copies of all parameters, side by side."""
        net = self.ready(update)
        shapes = {name: p.shape for name, p in net.named_parameters()}
        sizes = [math.prod(shape) for shape in shapes.values()]

        def images_of(flat: Tensor, z: Tensor, state: dict[str, Tensor]) -> Tensor:
            """The images of latents z by a generator of these parameters."""
            weights = {}
            for (name, shape), values in zip(shapes.items(), flat.split(sizes), strict=True):
                weights[name] = values.view(shape)
            return batching.call(net, of("G ", state) | weights, z)

        def image(variables: Tensor, state: dict[str, Tensor]) -> Tensor:
            if len(variables) == 1:
                return images_of(variables[0], state["latent"], state)
            of_each_image = torch.func.vmap(lambda flat, z: images_of(flat, z[None], state)[0])
            return of_each_image(variables, state["latent"])

        shape = (self._count(update), sum(sizes))
        opened = self._opened(update, normalise, shape, net, net, image)
        opened.per_client = {"latent": latents}
        return opened


def of(prefix: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors of a formula's state whose names begin so, under what follows."""
    return {name[len(prefix):]: tensor for name, tensor in state.items()
            if name.startswith(prefix)}


def checked_shape(shape) -> tuple[int, ...]:
    """The shape of one latent, a tuple of whole numbers. ValueError for anything else."""
    if not isinstance(shape, tuple | list):
        raise ValueError(f"latent is the shape of one latent, a tuple like (16,), not {shape!r}")
    return tuple(checks.whole("each size in latent", size) for size in shape)


@torch.no_grad()
def _makes(net: nn.Module, latents: Tensor | None, images: Tensor) -> bool:
    """Whether the generator makes these images (K, B, C, H, W) of the latents (K, B, ...)."""
    if latents is None:
        return False
    return torch.allclose(net(latents.flatten(0, 1)).view_as(images), images, atol=1e-3)
