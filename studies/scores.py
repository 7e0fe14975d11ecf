"""From a reconstruction to the rows of a table, and to arrays that a cell can hold.

Images are (K, B, C, H, W) of K clients, reconstruction first; a batch is the private one.
"""

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from lib import attacks, client, data, metrics, objectives, run

CURVE = 1000  # iterations; of longer attacks every hundredth part is kept, so that cells stay small


# --- tables --------------------------------------------------------------------------------------


def score(images: Tensor, truth: Tensor, match: bool = True) -> pd.DataFrame:
    """`metrics.score` with the weights of the run's data root."""
    return metrics.score(images, truth, match=match, root=run.current().data_root)


def rows_of_best(guess: attacks.Reconstruction, batch: data.Batch, match: bool = True) \
        -> pd.DataFrame:
    """A row an image: `rows_of_restart` of the restart with the smallest objective, and best_mse,
    that of its state of the smallest objective."""
    table = rows_of_restart(guess, best_restarts(guess), batch, match)
    best = score(guess.images.cpu(), batch.images, match)
    table.insert(table.columns.get_loc("best_loss") + 1, "best_mse", best.mse)
    return table


def rows_of_each(guess: attacks.Reconstruction, batch: data.Batch, match: bool,
                 update: client.SharedUpdate, objective: Callable) -> pd.DataFrame:
    """A row an image and restart (column restart); distance: the objective without priors at the
    last iterate."""
    tables = []
    for number in range(guess.loss.shape[1]):
        which = torch.full((len(guess.loss),), number)
        table = rows_of_restart(guess, which, batch, match)
        far = distance(update, guess.last[:, number], guess.last_labels[:, number], objective)
        tables.append(table.assign(restart=number, distance=per_image(far, update.batch_size)))
    return pd.concat(tables, ignore_index=True)


def rows_of_restart(guess: attacks.Reconstruction, which: Tensor, batch: data.Batch,
                    match: bool = True) -> pd.DataFrame:
    """A row an image, of the last iterate of restart which[k] of client k: the metrics; loss, the
    objective there; best_loss, the smallest of that restart; true_label and label; evaluations and
    ended, why that restart ended."""
    images, labels = last_of(guess, which)
    table = score(images, batch.images, match)
    k, image, chosen = (torch.tensor(table[name].array) for name in ("client", "image", "guess"))
    restart = which[k]
    return table.assign(
        loss=guess.history.losses.cpu()[-1, k, restart].numpy(),
        best_loss=guess.loss.cpu()[k, restart].numpy(),
        true_label=batch.labels[k, image].numpy(), label=labels[k, chosen].numpy(),
        evaluations=guess.evaluations.cpu()[k, restart].numpy(),
        ended=[guess.ended[row][which[row]] for row in k.tolist()])


def ranks(found: Tensor, truth: Tensor, candidates: Tensor) -> np.ndarray:
    """How well reconstructions (N, C, H, W) tell the truth (N, C, H, W) from candidates (M, C, H,
    W), in [0, 1]: 1 where no candidate is nearer by ST-LPIPS, else 1 and how many are. A candidate
    that is the truth itself does not count."""
    placed = []
    for image, private in zip(found, truth, strict=True):
        others = candidates[(candidates != private).flatten(1).any(1)]
        away = metrics.stlpips(image.expand_as(others), others)
        placed.append(1 + int((away < metrics.stlpips(image, private)).sum()))
    return np.array(placed)


def narrowed(table: pd.DataFrame) -> pd.DataFrame:
    """The table with its float columns in float32, as large cells store them."""
    floats = table.select_dtypes("float").columns
    return table.astype(dict.fromkeys(floats, "float32"))


def per_image(of_clients: Tensor, batch_size: int) -> np.ndarray:
    """Values (K,) of clients as a column: once for each image of the client."""
    return of_clients.repeat_interleave(batch_size).cpu().numpy()


# --- choosing and ordering ------------------------------------------------------------------------


def best_restarts(guess: attacks.Reconstruction) -> Tensor:
    """(K,): the restart of each client with the smallest objective."""
    return guess.loss.argmin(1).cpu()


def last_of(guess: attacks.Reconstruction, which: Tensor) -> tuple[Tensor, Tensor]:
    """Images and labels (K, B) of the last iterate of restart which[k] of client k, on the CPU."""
    clients = torch.arange(len(which))
    return guess.last.cpu()[clients, which], guess.last_labels.cpu()[clients, which]


def order_of(table: pd.DataFrame, batch_size: int) -> Tensor:
    """(K, B): which reconstruction of a client was matched to each of its images."""
    return torch.tensor(table.guess.array).view(-1, batch_size)


def reordered(images: Tensor, order: Tensor) -> Tensor:
    """The reconstructions in the order of the images that they were matched to."""
    return images.gather(1, order[..., None, None, None].expand_as(images))


# --- distances of gradients, labels ---------------------------------------------------------------


def labelled_gradients(update: client.SharedUpdate, images: Tensor, labels: Tensor) \
        -> dict[str, Tensor]:
    """The update of dummy images beside labels (K, B) that are certain."""
    logits = client.certain_logits(labels.to(images.device), update.num_classes)
    return attacks.dummy_gradients(update, images, logits.to(images))


def distance(update: client.SharedUpdate, images: Tensor, labels: Tensor, objective: Callable) \
        -> Tensor:
    """(K,): an objective, without priors, at images and labels."""
    dummy = labelled_gradients(update, images, labels)
    return torch.func.vmap(objective)(dummy, update.gradients)


def relative_distance(update: client.SharedUpdate, images: Tensor, labels: Tensor) -> Tensor:
    """(K,): squared distance of the gradients at images and labels over the shared one's square."""
    dummy = labelled_gradients(update, images, labels)
    apart = {name: dummy[name] - shared for name, shared in update.gradients.items()}
    return _squares(apart) / _squares(update.gradients)


def _squares(gradients: dict[str, Tensor]) -> Tensor:
    """(K,): the sum of squares of each client's gradients."""
    of_layers = [g.flatten(1).square().sum(1) for g in gradients.values()]
    return torch.stack(of_layers).sum(0)


def labels_right(truth: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(K,): how many labels of each client are right, as sets with repetition."""
    private, read = (torch.nn.functional.one_hot(t, classes).sum(1) for t in (truth, labels))
    return torch.minimum(private, read).sum(1)


# --- pictures and psnr ---------------------------------------------------------------------------


def as_bytes(images: Tensor) -> np.ndarray:
    """uint8 of images in [0, 1], clipped; what is no number is grey."""
    return (255 * images.nan_to_num(0.5).clamp(0, 1)).round().to(torch.uint8).numpy()


def mean_psnr(images: Tensor, truth: Tensor) -> np.ndarray:
    """(K,): the mean PSNR of each client's images, matched."""
    return score(images, truth).groupby("client").psnr.mean().to_numpy()


def nearest_psnr(images: Tensor, truth: Tensor) -> Tensor:
    """(K, B): PSNR of each reconstruction to the nearest original of its batch: one original may
    count many times."""
    differences = images.clamp(0, 1)[:, :, None] - truth[:, None]
    of_pairs = -10 * differences.square().mean((-3, -2, -1)).log10()  # (K, guess, original)
    return of_pairs.amax(2)


# --- curves along an attack ----------------------------------------------------------------------


def losses(guess: attacks.Reconstruction) -> np.ndarray:
    """(K, T) float32: the objective of the best restart at every iteration, or at a hundred of them
    where there are more than CURVE."""
    clients = torch.arange(len(guess.loss))
    of_best = guess.history.losses.cpu()[:, clients, best_restarts(guess)].T
    length = of_best.shape[1] - 1
    every = length // 100 if length > CURVE else 1
    return of_best[:, ::every].numpy().astype(np.float32)


def states(guess: attacks.Reconstruction) -> Tensor:
    """(K, T, B, C, H, W): the images of the best restart at the recorded iterations."""
    clients, best = torch.arange(len(guess.loss)), best_restarts(guess)
    return torch.stack([x.cpu()[clients, best] for x in guess.history.images.values()], 1)


def matched_mse(recorded: Tensor, truth: Tensor) -> np.ndarray:
    """(K, T) float32: mean squared error at each recorded iteration, images matched one to one."""
    columns = []
    for images in recorded.unbind(1):
        in_order = reordered(images, metrics.matching(images, truth))
        columns.append(metrics.mse(in_order, truth).mean(1))
    return torch.stack(columns, 1).numpy().astype(np.float32)


def layer_distances(update: client.SharedUpdate, guess: attacks.Reconstruction) -> np.ndarray:
    """(K, T, L) float32: mean squared difference of every parameter's gradient at the recorded
    iterations of the best restart."""
    clients, best = torch.arange(len(guess.loss)), best_restarts(guess)
    curves = []
    for iteration, images in guess.history.images.items():
        logits = guess.history.label_logits[iteration]
        dummy = attacks.dummy_gradients(update, images[clients, best], logits[clients, best])
        of_layers = objectives.layer_distances(dummy, update.gradients)
        curves.append(torch.stack(list(of_layers.values()), 1).cpu())
    return torch.stack(curves, 1).numpy().astype(np.float32)
