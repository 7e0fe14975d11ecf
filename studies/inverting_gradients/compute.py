"""What notebook 03 alone computes: the gradients of single images while their victim trains, and
what the mean colour alone reaches."""

from dataclasses import replace

import pandas as pd
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from lib import client, data, metrics, models, objectives, run
from studies.case import image_set, trained, victims
from studies.keys import stored_as


@stored_as("studies.inverting_gradients.training_path")
def training_path(images: dict, victim: dict, clients: int, seed: int, epochs: int, noise: float,
                  first: int | None = None, **how) -> tuple[pd.DataFrame, dict]:
    """Gradients of single training images while their victim trains: a row an epoch and image.

    loss; norm of the gradient; others: its mean cosine with the other images' gradients; l2 and
    cosine: the two objectives at the image plus noise of standard deviation `noise` in normalised
    space, clipped to the box (the same noise in every epoch); accuracy: of the victim on 1,000
    test images. The arguments after `noise` are those of `trained`."""
    train, test = (image_set(images | {"split": split}, seed) for split in ("train", "test"))
    looked_at = test.subset(range(min(1000, len(test))))
    batch = train.subset(range(first or len(train))).clients(clients, seed=seed)
    model = victims(train, {"seed": seed} | victim, [0, 1], seed)
    draw = torch.randn(batch.images.shape, generator=run.generator("noise", seed))
    moved = batch.images + noise * draw * batch.std.view(-1, 1, 1)
    dummy = replace(batch, images=moved.clamp(0, 1))
    tables = []

    def look(epoch: int, model: nn.Module) -> None:
        reached = models.accuracy(model, looked_at, normalise=True)
        columns = _gradients_at(model, batch, dummy)
        tables.append(pd.DataFrame({
            "epoch": epoch, "client": range(clients), "loss": columns.pop("loss"),
            "accuracy": reached} | columns))

    trained(model, images, seed, True, first, epochs=epochs, watch=look, **how)
    return pd.concat(tables, ignore_index=True), {}


def _gradients_at(model: nn.Module, batch: data.Batch, dummy: data.Batch) -> dict[str, list]:
    """The columns of `training_path` that the victim's gradients of the images and of the images
    plus noise give, and the loss."""
    protocol = client.Protocol(normalise=True)
    private, near = (client.share(model, b, protocol).gradients for b in (batch, dummy))
    flat = torch.cat([g.flatten(1) for g in private.values()], 1)  # (K, P)
    unit = flat / flat.norm(dim=1, keepdim=True).clamp_min(1e-30)
    others = ((unit @ unit.mT).sum(1) - 1) / (len(flat) - 1)
    with torch.no_grad():
        x = client.to_input(batch.images[:, 0], False, True, batch.mean, batch.std)
        logits = model(x.to(flat.device)).cpu()
        loss = cross_entropy(logits, batch.labels[:, 0], reduction="none")
    norms = [float(gradient.norm()) for gradient in flat]
    distances = {name: torch.func.vmap(objective)(near, private).tolist()
                 for name, objective in (("l2", objectives.l2), ("cosine", objectives.cosine))}
    return {"loss": loss.tolist(), "norm": norms, "others": others.tolist()} | distances


@stored_as("__main__.blind")
def mean_colour(images: dict, clients: list[int]) -> tuple[pd.DataFrame, dict]:
    """PSNR (dB) of the set's mean colour against each image [first, last): what an attacker reaches
    who knows the set and has no gradient. Columns client and psnr, a row an image."""
    first, last = clients
    batch = data.load(**images).clients(last - first, indices=range(first, last))
    flat = batch.mean.view(-1, 1, 1).expand_as(batch.images)
    return metrics.score(flat, batch.images)[["client", "psnr"]], {}
