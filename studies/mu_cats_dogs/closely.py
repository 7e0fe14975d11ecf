"""What notebook 07 looks at closely: a division, and where a search of one dense layer ends."""

import pandas as pd
import torch

from lib import analytic, attacks, client, data, models
from studies.mu_cats_dogs.tables import RESTORED

HIDDEN = {"one dense layer": (), "dense, one hidden layer": (64,)}


def division_errors(images: data.ImageSet, batch: data.Batch) -> dict[str, torch.Tensor]:
    """The squared error per pixel, 0 to 255, of each client's image after one division, by victim.

    batch: single images, (K, 1, C, H, W); each on a network of its own."""
    clients = len(batch.labels)
    errors = {}
    for name, hidden in HIDDEN.items():
        model = models.ensemble(models.dense, images, seeds=range(clients), hidden=hidden)
        gradients = client.share(model, batch).gradients
        x = analytic.dense_input(gradients["1.weight"], gradients["1.bias"]).view_as(batch.images)
        errors[name] = (255 * (x - batch.images)).square().mean((1, 2, 3, 4))
    return errors


def mirror_table(images: data.ImageSet, seed: int, clients: int = 8) -> pd.DataFrame:
    """Where the search of one dense layer ends, with a line search: a row a client."""
    batch = images.clients(clients, indices=range(clients))
    update = client.share(models.ensemble(models.dense, images, seeds=range(clients)), batch)
    found = attacks.reconstruct(update, attacks.dlg(30, line_search=True), seed=seed)
    recovered = found.last[:, 0].flatten(1)  # (clients, pixels)
    private = batch.images.flatten(1)
    return pd.DataFrame({
        "recovered": ["yes" if error < RESTORED else "no"
                      for error in (recovered - private).square().mean(1)],
        "cosine of x\u2032 and x": torch.cosine_similarity(recovered, private).numpy(),
        "length of x\u2032 over x": (recovered.norm(dim=1) / private.norm(dim=1)).numpy(),
        "D": found.loss[:, 0].numpy(),
        "2 d\u00b2": update.gradients["1.bias"].square().sum(1).numpy(),
    }).rename_axis("client")


def norms(update: client.SharedUpdate) -> pd.DataFrame:
    """The length of each client's gradient, and what `attacks.diagnose` says of the update."""
    squares = [gradient.flatten(1).square().sum(1) for gradient in update.gradients.values()]
    length = torch.stack(squares).sum(0).sqrt()
    warned = attacks.diagnose(update).query("verdict != 'ok'")
    said = "; ".join(warned.check + ": " + warned.measured) or "no warning"
    return pd.DataFrame({"length of the gradient": length.tolist(), "diagnosis of all": said}
                        ).rename_axis("client")
