"""From plain JSON to objects: {"name": ..., arguments} is a victim, an attack or a defense, and the
arguments of `image_set` are a set of images. Device and data root are those of `run.current()`.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields, replace
from typing import Any

import torch
from torch import nn

from lib import attacks, data, defenses, models, precode, run

VICTIMS = {"dense": models.dense, "lenet": models.lenet, "convnet": models.convnet,
           "resnet": models.resnet, "imagenet_resnet": models.imagenet_resnet,
           "preact_resnet": models.preact_resnet, "vit": models.vit,
           "efficientnet_lite0": models.efficientnet_lite0}
ATTACKS = {"dlg": attacks.dlg, "idlg": attacks.idlg,
           "inverting_gradients": attacks.inverting_gradients,
           "mixing_gradients": attacks.mixing_gradients, "huang": attacks.huang}
DEFENSES = {"gaussian": defenses.GaussianNoise, "laplacian": defenses.LaplacianNoise,
            "precision": defenses.LowPrecision, "prune": defenses.GradPrune,
            "equal_labels": defenses.EqualLabels, "mixup": defenses.MixUp,
            "instahide": defenses.InstaHide, "dpsgd": defenses.DPSGD,
            "soteria": defenses.Soteria}
OF_THE_MODEL = {"precode": precode.precode}  # defenses that change the network instead


def named(known: dict[str, Callable], described: dict | None, *args, **kwargs) -> Any:
    """The object that {"name": ..., arguments} describes; None for None."""
    if described is None:
        return None
    if described.get("name") not in known:
        raise ValueError(f"unknown name {described.get('name')!r}: one of {', '.join(known)}")
    given = {key: value for key, value in described.items() if key != "name"}
    return known[described["name"]](*args, **kwargs, **given)


def composed(described: dict | list | None, **more) -> Any:
    """A defense of {"name": ..., arguments}, a tuple of them of a list, None of None; arguments
    that `described` leaves open are taken from `more`, where a defense has them."""
    if described is None:
        return None
    if isinstance(described, list):
        return tuple(composed(defense, **more) for defense in described)
    kind = DEFENSES.get(described.get("name"))
    accepted = {field.name for field in fields(kind)} if kind else set()
    fitting = {key: value for key, value in more.items() if key in accepted}
    return named(DEFENSES, fitting | described)


def image_set(images: dict, seed: int) -> data.ImageSet:
    """The set of the arguments of `data.load`, and beside them `only`, the names of the classes to
    keep; `classes`, to relabel at random with so many; for a set without splits (faces of known
    people) `apart`: the last so many classes are its split "test", the others "train"; and
    `imagenet` (True): for a victim with the weights of ImageNet, see `for_imagenet`."""
    settings = dict(images, root=run.current().data_root)
    classes, only, apart, imagenet = (
        settings.pop(key, None) for key in ("classes", "only", "apart", "imagenet"))
    split = settings.get("split", "test")
    if apart:
        settings["split"] = "test"
    pictures = data.load(**settings)
    if only:
        pictures = pictures.keep(only)
    if classes:
        pictures = pictures.relabel(classes, seed)
    if apart:
        people = slice(-apart, None) if split == "test" else slice(-apart)
        pictures = pictures.keep(pictures.classes[people])
    return for_imagenet(pictures) if imagenet else pictures


def for_imagenet(pictures: data.ImageSet) -> data.ImageSet:
    """The same photographs, normalised as EfficientNet-Lite0 was trained, each under the label of
    ImageNet that this network gives it: an honest client that knows its pictures would share much
    the same update, and photographs that are not ImageNet's have no label of their own."""
    C, classes = pictures.shape[0], [str(label) for label in range(1000)]
    moments = {name: torch.full((C,), value) for name, value in (
        ("mean", models.LITE0_MEAN), ("std", models.LITE0_STD))}
    unlabelled = replace(pictures, labels=torch.zeros(len(pictures), dtype=torch.int64),
                         classes=classes, **moments)
    model = models.efficientnet_lite0(unlabelled).eval()
    scale = [moments[name][:, None, None] for name in ("mean", "std")]
    with torch.no_grad():
        said = [model((some.float() / 255 - scale[0]) / scale[1]).argmax(1)
                for some in pictures.images.split(32)]
    return replace(unlabelled, labels=torch.cat(said))


def victims(pictures: data.ImageSet, victim: dict, clients: Sequence[int], seed: int) -> nn.Module:
    """A victim for each of the clients [first, last), on the run's device; where the victim has a
    seed of its own, that one alone."""
    if "seed" in victim:
        return named(VICTIMS, victim, pictures).to(run.current().device)
    return models.Ensemble(members(pictures, victim, clients, seed)).to(run.current().device)


def members(pictures: data.ImageSet, victim: dict, clients: Sequence[int], seed: int) \
        -> list[nn.Module]:
    """A victim for each of the clients [first, last): client k's weights are drawn under
    seed * 10**6 + k."""
    return [named(VICTIMS, victim, pictures, seed=seed * 10**6 + k) for k in range(*clients)]
