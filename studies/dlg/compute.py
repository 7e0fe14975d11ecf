"""What notebook 01 alone computes: attacks on sentences, and how many equations a gradient holds.

A sentence of T tokens goes through the engine as a batch of T "images" of shape (width,): its
token embeddings. The language model maps them to logits (T, words), so labels are tokens and
everything else (`client.share`, `attacks.reconstruct`, label logits, L-BFGS) is what attacks on
images use.
"""

import functools
import math
import re
from functools import lru_cache

import pandas as pd
import sklearn.datasets
import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from lib import analytic, attacks, client, data, models, run
from studies.case import Case
from studies.describe import ATTACKS, members, named
from studies.keys import stored_as

MASK = "[MASK]"  # word 0
TOKENS = 16
SENTENCES = (  # our own, TOKENS tokens each
    "the patient slept well , and the fever of the first night did not return .",
    "please send the signed contract to my home address before the end of next week .",
    "we moved the meeting to monday , because the train from the north was late .",
    "my new password is the name of the old dog and the year of birth .",
    "she keeps a spare key under the blue stone near the door of the garden .",
    "a gradient is a mean over examples , and a short sum hides very little .",
    "the committee will not publish the names of those who voted against the last plan .",
    "in spring the river rises quickly , so the lower road is closed for weeks .",
    "our daughter starts school in august and we look for a flat near the park .",
    "he told the nurse that the pain began two days after the second small dose .",
    "the bank will call you tomorrow about the loan , so keep this number ready .",
    "nobody on the team knew that the test data had been used for training before .",
    "turn left at the church , walk to the bridge and wait there until seven .",
    "the children found an old map in the attic and asked who had drawn it .",
    "after the storm , the farmers counted what was left and shared it among themselves .",
    "I have read your letter twice and still do not know how to answer it .",
)


@lru_cache
def vocabulary() -> tuple[str, ...]:
    """MASK, then the words of SENTENCES and of scikit-learn's descriptions of its data sets."""
    load = (sklearn.datasets.load_digits, sklearn.datasets.load_wine, sklearn.datasets.load_iris,
            sklearn.datasets.load_breast_cancer, sklearn.datasets.load_diabetes)
    words = {word for f in load for word in re.findall(r"[a-z]{2,}", f().DESCR.lower())}
    return MASK, *sorted(words.union(*(sentence.split() for sentence in SENTENCES)))


def token_ids(sentences) -> Tensor:
    """(K, T) int64 of sentences whose tokens are separated by spaces; all of one length.

    Raises ValueError for a word that the vocabulary lacks, or for unequal lengths.
    """
    number = {word: i for i, word in enumerate(vocabulary())}
    split = [sentence.split() for sentence in sentences]
    unknown = sorted({word for words in split for word in words} - set(number))
    if unknown:
        raise ValueError(f"words that the vocabulary lacks: {', '.join(unknown[:5])}")
    if len({len(words) for words in split}) != 1:
        raise ValueError("the sentences differ in their number of tokens")
    return torch.tensor([[number[word] for word in words] for words in split])


class MaskedLanguageModel(nn.Module):
    """Logits (T, words) from token embeddings (T, width): a small BERT.

    `table` (words, width) holds the embeddings, and `masked` (T,) the positions that the loss looks
    at: elsewhere the logits are 0, so that the mean cross-entropy over all T tokens is, but for a
    constant, that of the masked ones alone. Both are public; neither gets a gradient here.
    """

    def __init__(self, words: int, width: int, layers: int, heads: int, masked: Tensor) -> None:
        super().__init__()
        self.register_buffer("table", torch.randn(words, width))
        self.register_buffer("masked", masked)
        self.position = nn.Parameter(torch.randn(len(masked), width))
        layer = nn.TransformerEncoderLayer(
            width, heads, 4 * width, dropout=0.0, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.head = nn.Linear(width, words)

    def forward(self, x: Tensor) -> Tensor:
        T = len(x)
        return self.head(self.encoder((x + self.position[:T])[None])[0]) * self.masked[:T, None]

    def embed(self, ids: Tensor) -> Tensor:
        """(T, width): what the client feeds, with MASK's embedding at the masked positions."""
        return self.table[torch.where(self.masked.bool(), 0, ids)]

    def read(self, x: Tensor, z: Tensor) -> Tensor:
        """(T,) tokens of dummy embeddings (T, width) and label logits (T, words): the nearest entry
        of the table (Euclidean); where the sentence is masked, the largest label logit."""
        nearest = torch.cdist(x, self.table).argmin(-1)
        return torch.where(self.masked.bool(), z.argmax(-1), nearest)


def masked_language_model(width=64, layers=2, heads=4, masked=0.15, seed=0) -> MaskedLanguageModel:
    """A randomly initialised model of TOKENS tokens, of which the share `masked` is masked."""
    chosen = torch.randperm(TOKENS, generator=run.generator("masked", seed))
    positions = torch.zeros(TOKENS)
    positions[chosen[: math.ceil(masked * TOKENS)]] = 1
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return MaskedLanguageModel(len(vocabulary()), width, layers, heads, positions).eval()


@stored_as("studies.dlg.sentences")
def sentences(clients: list[int], attack: dict, record: list[int], seed: int, width: int,
              layers: int, masked: float = 0.15) -> tuple[pd.DataFrame, dict]:
    """Attack sentences of `SENTENCES` (client k holds number k mod their count, and a newly
    initialised masked language model): a row a client and recorded iteration.

    inputs: share of the tokens that are not masked and read right; labels: the same of the masked
    ones; tokens: of all. Array `read` (K, T, tokens) with the token ids, beside `truth`."""
    numbers = range(*clients)
    ids = token_ids([SENTENCES[k % len(SENTENCES)] for k in numbers])
    build = functools.partial(masked_language_model, width, layers, masked=masked)
    nets = [build(seed=seed * 10**6 + k) for k in numbers]
    x = torch.stack([net.embed(i) for net, i in zip(nets, ids, strict=True)])  # (K, tokens, width)
    batch = data.Embeddings(x, ids, len(vocabulary()))
    update = client.share(models.Ensemble(nets).to(run.current().device), batch, seed=seed)
    chosen = named(ATTACKS, attack)
    start = attacks.starts(update, chosen, 1, seed, clients[0])
    guess = attacks.reconstruct(update, chosen, 1, seed, record, start=start)
    rows, read = [], torch.zeros(len(ids), len(record), ids.shape[1], dtype=torch.long)
    for k, model in enumerate(nets):
        hidden = model.masked.bool()
        for t, iteration in enumerate(record):
            x = guess.history.images[iteration][k, 0].cpu()
            z = guess.history.label_logits[iteration][k, 0].cpu()
            read[k, t] = model.read(x, z)
            right = (read[k, t] == ids[k]).float()
            rows.append({"client": numbers[k], "iteration": iteration,
                         "tokens": float(right.mean()), "inputs": float(right[~hidden].mean()),
                         "labels": float(right[hidden].mean()),
                         "loss": float(guess.history.losses[iteration, k, 0])})
    return pd.DataFrame(rows), {"read": read.numpy(), "truth": ids.numpy()}


@stored_as("studies.dlg.information")
def information(images: dict, victim: dict, clients: list[int], seed: int, batch_size: int = 1) \
        -> tuple[pd.DataFrame, dict]:
    """How many independent equations the gradient holds: a row a client.

    rank: of the Jacobian of all gradients with respect to all pixels, at the private batch with the
    labels known, in float64 (singular values above 1e-10 of the largest). counted: what
    `analytic.gradient_equations` allows. pixels, features (outputs of the first convolution), first
    (entries of its weight gradient) and gradients (all) are plain counts."""
    case, rows = Case(images, victim, clients, batch_size, seed), []
    nets = members(case.pictures, victim, clients, seed)
    for k, net, x, labels in zip(range(*clients), nets, case.held.images, case.held.labels,
                                 strict=True):
        jacobian = _jacobian(net.double(), x.double(), labels, case.pictures.num_classes)
        values = torch.linalg.svdvals(jacobian)
        net = net.float()
        bounds = analytic.gradient_equations(net, case.pictures.shape, batch_size)
        rows.append({"client": k, "pixels": x.numel(), "features": net[0](x).numel(),
                     "first": net[0].weight.numel(), "gradients": len(jacobian),
                     "counted": min(x.numel(), *bounds),
                     "rank": int((values > 1e-10 * values[0]).sum())})
    return pd.DataFrame(rows), {}


def _jacobian(net: nn.Module, x: Tensor, labels: Tensor, classes: int) -> Tensor:
    """(P, pixels): derivative of all gradients of a batch (B, C, H, W) with respect to it."""
    params, buffers = client.tensors(net)
    target = one_hot(labels, classes).to(x)
    gradients = client.update_function(net, client.Protocol())

    def flat(images: Tensor) -> Tensor:
        of_layers = gradients(params, buffers, images, target)
        return torch.cat([g.flatten() for g in of_layers.values()])

    return torch.func.jacfwd(flat)(x).flatten(1).detach()
