"""Sentences through the engine: vocabulary, the masked loss, and reading tokens back."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from lib import attacks, client, data, models
from studies.dlg import compute as dlg

IDS = dlg.token_ids(dlg.SENTENCES)


def share(ids, **settings):
    members = [dlg.masked_language_model(seed=k, **settings) for k in range(len(ids))]
    x = torch.stack([m.embed(i) for m, i in zip(members, ids, strict=True)])
    sentences = data.Embeddings(x, ids, len(dlg.vocabulary()))
    return members, client.share(models.Ensemble(members), sentences)


def test_sentences_are_of_one_length_and_in_the_vocabulary():
    assert IDS.shape == (len(dlg.SENTENCES), dlg.TOKENS)
    words = dlg.vocabulary()
    assert words[0] == dlg.MASK and len(set(words)) == len(words) > 500
    assert " ".join(words[i] for i in IDS[3]) == dlg.SENTENCES[3]


@pytest.mark.parametrize("sentences", [["the xyzzy"], ["the a", "the"]])
def test_sentences_that_do_not_fit_are_refused(sentences):
    with pytest.raises(ValueError):
        dlg.token_ids(sentences)


def test_tokens_are_read_back_from_their_own_embeddings_and_labels():
    model = dlg.masked_language_model(width=16, layers=1, seed=3)
    logits = torch.nn.functional.one_hot(IDS[0], len(dlg.vocabulary())).float()
    assert torch.equal(model.read(model.embed(IDS[0]), logits), IDS[0])
    assert int(model.masked.sum()) == 3  # 15 % of 16, rounded up
    hidden = model.masked.bool()
    assert torch.equal(model.embed(IDS[0])[hidden], model.table[0].expand(3, -1))


def test_the_shared_gradient_is_that_of_the_masked_tokens():
    """A masked language model's loss is the mean over the masked positions; here, 3 / 16 of it."""
    (model,), update = share(IDS[:1], width=16, layers=1)
    hidden = model.masked.bool()
    loss = cross_entropy(model(model.embed(IDS[0]))[hidden], IDS[0][hidden], reduction="sum")
    expected = torch.autograd.grad(loss / dlg.TOKENS, list(model.parameters()))
    for g, e in zip(update.gradients.values(), expected, strict=True):
        torch.testing.assert_close(g[0], e, rtol=1e-3, atol=1e-6)
    assert "table" not in update.gradients


def test_words_are_recovered_from_their_gradient():
    (model,), update = share(IDS[:1], width=32, layers=1)
    attack = attacks.dlg(12, line_search=True, scale=1e3)
    guess = attacks.reconstruct(update, attack, record=[12])
    x, z = guess.history.images[12][0, 0], guess.history.label_logits[12][0, 0]
    read = model.read(x, z) == IDS[0]
    assert read.float().mean() > 0.2, "chance is one in 700"
    assert guess.history.losses[-1, 0, 0] < 1e-2 * guess.history.losses[0, 0, 0]


def test_the_study_of_sentences_runs():
    rows, arrays = dlg.sentences([0, 2], {"name": "dlg", "iterations": 1}, [0, 1], 0, 8, 1)
    assert len(rows) == 4 and arrays["read"].shape == (2, 2, dlg.TOKENS)


def test_diagnose_looks_at_sentences_too():
    table = attacks.diagnose(share(IDS[:1], width=8, layers=1)[1], attacks.dlg(1))
    assert {"gradient norm", "equations"} <= set(table.check)


def test_an_update_of_sentences_survives_a_file(tmp_path):
    (model,), update = share(IDS[:1], width=8, layers=1)
    update.save(tmp_path / "update.pt")
    again = client.SharedUpdate.load(tmp_path / "update.pt", models.Ensemble([model]))
    assert again.shape == (8,) and again.batch_size == dlg.TOKENS


@pytest.mark.parametrize(("change", "words"), [
    ({"images": torch.zeros(1, 2)}, "embeddings must be float"),
    ({"images": torch.zeros(1, 2, 3, dtype=torch.int64)}, "embeddings must be float"),
    ({"images": torch.full((1, 2, 3), torch.nan)}, "must be finite"),
    ({"images": torch.zeros(2, 2, 3)}, "labels must be"),
    ({"labels": torch.tensor([[0, 4]])}, r"labels must lie in 0\.\.3"),
    ({"num_classes": 0}, "num_classes must be a whole number")])
def test_embeddings_that_do_not_fit_are_refused(change, words):
    given = {"images": torch.zeros(1, 2, 3), "labels": torch.tensor([[0, 3]]), "num_classes": 4}
    assert data.Embeddings(**given).mean is None
    with pytest.raises(ValueError, match=words):
        data.Embeddings(**given | change)


def test_attention_can_be_batched_and_its_dropout_is_off():
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.5, batch_first=True)
    ready = models.prepare(layer)
    x = torch.randn(2, 5, 8)
    torch.testing.assert_close(ready(x), layer.eval()(x), rtol=1e-4, atol=1e-5)
    assert ready.self_attn.dropout == 0 and layer.self_attn.dropout == 0.5
