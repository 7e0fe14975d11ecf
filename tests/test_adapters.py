"""Low-rank adapters: the model stays what it is, and its update is that of the adapters alone."""

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import adapters, attacks, client, models

BUILDERS = {"lenet": models.lenet, "resnet": models.resnet,
            "vit": lambda images, **more: models.vit(images, width=8, layers=1, heads=2, **more)}


@pytest.mark.parametrize("name", BUILDERS)
def test_outputs_stay_and_gradients_are_those_of_the_factors(name):
    model, b = BUILDERS[name](Shape()), batch(K=2)
    adapted = adapters.low_rank(model, 2)
    with torch.no_grad():
        torch.testing.assert_close(adapted.eval()(b.images[0]), model.eval()(b.images[0]))
    whole = client.share(model, b).gradients
    update = client.share(adapted, b)
    assert not update.partial and len(update.gradients) == 2 * sum(
        g.dim() > 2 and n != "position" for n, g in whole.items())
    for place, g in update.gradients.items():
        *layer, _, weight, _, factor = place.split(".")
        if factor == "down":
            assert not g.any()
            continue
        down = adapted.get_parameter(place.removesuffix("up") + "down")
        of_weight = whole[".".join([*layer, weight])].flatten(2)
        torch.testing.assert_close(g, of_weight @ down.T, rtol=1e-4, atol=1e-6)


def test_down_has_unit_length_on_average_and_the_seed_decides():
    model = models.lenet(Shape((3, 32, 32)))
    first, again, other = (adapters.low_rank(model, 4, seed) for seed in (0, 0, 1))
    down = first.get_parameter("7.parametrizations.weight.0.down")
    assert down.shape == (4, 768)
    assert float(down.detach().square().sum(1).mean()) == pytest.approx(1, rel=0.2)
    assert torch.equal(down, again.get_parameter("7.parametrizations.weight.0.down"))
    assert not torch.equal(down, other.get_parameter("7.parametrizations.weight.0.down"))


def test_only_adapters_are_trained_and_the_model_is_untouched():
    model = models.lenet(Shape())
    adapted = adapters.low_rank(model)
    assert {n.rsplit(".", 1)[1] for n, p in adapted.named_parameters() if p.requires_grad} == {
        "up", "down"}
    assert all(p.requires_grad for p in model.parameters())
    normed = adapters.low_rank(models.resnet(Shape()))
    trained = [n for n, p in normed.named_parameters() if p.requires_grad]
    norms = [n for n, m in normed.named_modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not [n for n in trained if n.rsplit(".parametrizations", 1)[0] in norms]


def test_members_of_an_ensemble_have_adapters_of_their_own_and_are_attacked():
    victims = models.ensemble(models.lenet, Shape(), seeds=[3, 4])
    adapted = adapters.low_rank(victims, 2)
    name = "7.parametrizations.weight.0.down"
    first, second = (adapted.member(k).get_parameter(name) for k in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(first, adapters.low_rank(victims.member(0), 2).get_parameter(name))
    update = client.share(adapted, batch(K=2), threat=client.ThreatModel(labels="known"))
    guess = attacks.reconstruct(update, attacks.dlg(iterations=3))
    assert guess.history.losses[-1].lt(guess.history.losses[0]).all()


@pytest.mark.parametrize(("model", "rank", "words"), [
    (models.lenet(Shape()), 0, "rank must be a whole number"), (3, 4, "model is a torch"),
    (nn.Sequential(nn.Flatten(), nn.LayerNorm(4)), 4, "nothing to adapt"),
    (adapters.low_rank(models.lenet(Shape())), 4, "adapters, already")])
def test_what_cannot_be_adapted_is_refused(model, rank, words):
    with pytest.raises(ValueError, match=words):
        adapters.low_rank(model, rank)


def test_a_seed_that_is_none_is_refused():
    with pytest.raises(ValueError, match="seed"):
        adapters.low_rank(models.lenet(Shape()), 4, -1)
