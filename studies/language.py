"""Sentences and a small masked language model: what notebooks 01 and 09 attack.

A sentence of T tokens is a batch of T "images" of shape (width,): its token embeddings. The model
maps them to logits (T, words), so labels are tokens.
"""

import math
import re
from functools import lru_cache

import sklearn.datasets
import torch
from torch import Tensor, nn

from lib import run

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
