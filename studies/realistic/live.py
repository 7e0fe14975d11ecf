"""What notebook 10 computes on its page beside the plain loop."""

from dataclasses import replace

from torch import Tensor, nn

from lib import attacks, client, data, models, precode

ITERATIONS = 200
WIDTH = 64  # of the bottleneck
SHOWN = 3  # photographs that are attacked


def photographs(count: int, seed: int = 0) -> data.Batch:
    """Clients with one photograph each, of 32 pixels."""
    return data.load("photos", size=32).clients(count, seed=seed)


def victim(seed: int = 0) -> nn.Module:
    """A LeNet for them."""
    return models.lenet(data.load("photos", size=32), seed=seed)


def as_clients(batch: data.Batch, images: Tensor, labels: Tensor) -> data.Batch:
    """The same photographs, dealt to clients: images (K, B, C, H, W), labels (K, B)."""
    return replace(batch, images=images, labels=labels, indices=None)


def guarded(model: nn.Module, seed: int = 0) -> nn.Module:
    """The network with PRECODE's bottleneck, with draws of the client's own."""
    return precode.redrawn(precode.precode(model, WIDTH, seed=seed), seed + 1000)


def single(batch: data.Batch, model: nn.Module) -> client.SharedUpdate:
    """The gradients of the first single images, labels known."""
    threat = client.ThreatModel(labels="known")
    batch = replace(batch, images=batch.images[:SHOWN], labels=batch.labels[:SHOWN], indices=None)
    return client.share(model, batch, client.Protocol(normalise=True), threat=threat)


def found(update: client.SharedUpdate, iterations: int = ITERATIONS) -> Tensor:
    """(K, C, H, W): what Inverting Gradients makes of the updates of single images."""
    attack = attacks.inverting_gradients(iterations)
    return attacks.reconstruct(update, attack, seed=0).last[:, 0, 0].cpu()


def as_the_attacker_has_it(update: client.SharedUpdate, seed: int = 1) -> client.SharedUpdate:
    """The update of a network with a bottleneck, which has the attacker's draws."""
    return replace(update, model=precode.redrawn(update.model, seed))


def adapted(update: client.SharedUpdate) -> client.SharedUpdate:
    """The same without the tensors at and behind the bottleneck."""
    mine = as_the_attacker_has_it(update)
    random = precode.stochastic(mine.model)
    kept = {name: g for name, g in mine.gradients.items() if not name.startswith(random)}
    return replace(mine, gradients=kept)
