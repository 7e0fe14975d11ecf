"""docs/CARDS.md: in step, a card for every set, and what its words rest on."""

import pytest

from lib import data
from tools import cards

TEXT = cards.CARDS.read_text()


def test_they_are_in_step(capsys):
    assert cards.main(check=True) == 0, capsys.readouterr().out


def test_a_card_out_of_step_is_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(cards, "CARDS", tmp_path / "CARDS.md")
    assert cards.main(check=True) == 1 and "make cards" in capsys.readouterr().out
    cards.CARDS.write_text(TEXT.replace("397", "398"))
    assert cards.main(check=True) == 1


def test_every_set_has_a_card_and_no_other():
    assert [source.name for source in cards.SOURCES] == [*data.EMBEDDED, *data.DOWNLOADED]
    for name in data.DOWNLOADED:
        shown = TEXT.partition(f"### {name}\n")[2].partition("###")[0]
        assert ("figures | yes |" in shown) == data.shareable(name), name


def test_a_set_without_stored_results_says_so():
    images = [cell["config"].get("images") for cell in cards.documents()]
    used = {entry["name"] for entry in images if isinstance(entry, dict)}
    for source in cards.SOURCES:
        assert (source.stored == "none") == (source.name not in used), source.name


def test_the_embedded_sets_are_cut_as_their_cards_say():
    digits = data.load("digits", "train")
    assert digits.labels.bincount().tolist() == [140] * 10
    assert digits.labels[:20].tolist() == [*range(10)] * 2   # classes in turn
    photos = data.load("photos", "test")
    assert photos.shape == (3, 32, 32) and "180 images (train + test) of 3x32x32" in TEXT


def test_every_trained_generator_has_a_card_with_its_numbers():
    cells = cards.generators(cards.documents())
    assert {cell["config"]["generator"]["images"]["name"] for cell in cells} == {
        "digits", "cifar10", "lfw"}
    for cell in cells:
        card = TEXT.partition(f"### generator of {cell['config']['images']['name']}\n")[2]
        card = card.partition("###")[0]
        assert f"| steps | {cell['config']['generator']['train']['steps']} of 32" in card
        nearest = cell["table"]["to the nearest seen image"][0]
        assert f"{nearest:.3f} of samples, {cell['table']['of unseen images'][0]:.3f} of" in card


@pytest.mark.parametrize(("samples", "unseen", "words"), [
    (0.05, 0.2, "memories"), (0.19, 0.2, "somewhat nearer"), (0.2, 0.2, "no nearer"),
    (0.3, 0.2, "no nearer")])
def test_memories_lie_nearer_than_new_images(samples, unseen, words):
    assert words in cards.verdict(samples, unseen)


def test_a_set_without_terms_is_refused():
    with pytest.raises(SystemExit, match="no terms of unheard"):
        cards.terms("unheard")
