"""What the configs of notebook 03 are made of: image sets, victims, recipes of training, and one
attack as the paper has it.

Everything happens in normalised pixel space, z = (x - mean) / std: the client feeds z, and start,
step, TV and box are in z. Labels are known, and the client's model is in eval mode.
"""

from collections.abc import Callable

from studies import case, store

PHOTOS = {"name": "photos"}
SMALL_PHOTOS = {"name": "photos", "size": 16}
CIFAR10 = {"name": "cifar10"}
CIFAR100 = {"name": "cifar100"}
TRAINED_ON = {"split": "train"}  # images that the victim was trained on, as in federated learning

# The two rows of Table 1. Further arguments of `attacks.inverting_gradients`.
COSINE = {"tv": 1e-2}
EUCLIDEAN = {"objective": "l2", "optimizer": "lbfgs", "tv": 0}
SEARCHES = {"cosine": COSINE, "Euclid": EUCLIDEAN}
LITTLE_TV = {"tv": 1e-6}  # what the authors' notebooks use with ConvNet

# Arguments of `case.trained`, by the victim that is trained with them.
RECIPES = {
    "photos": {"epochs": 20, "batch_size": 32, "lr": 0.05},
    "lenet": {"epochs": 6, "batch_size": 128, "lr": 0.05, "weight_decay": 5e-4},
    "narrow": {"epochs": 4, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "augment": True},
    # without augmentation, so that the victim learns its own images by heart
    "memorised": {"first": 3000, "epochs": 20, "batch_size": 64, "lr": 0.05},
    "gpu": {"epochs": 30, "batch_size": 128, "lr": 0.1, "weight_decay": 5e-4, "augment": True},
}

GPU_MINUTES = 30  # so many minutes of a GPU are days of a CPU: such a sweep is left to a GPU


def lenet(seed: int) -> dict:
    """The LeNet of DLG's code."""
    return {"name": "lenet", "seed": seed}


def convnet(width: int, seed: int) -> dict:
    """The paper's ConvNet; its own has width 64."""
    return {"name": "convnet", "width": width, "seed": seed}


def resnet(width: int, depth: int, seed: int) -> dict:
    """A ResNet of three stages, as made for CIFAR: ResNet20-4 has depth 20 and width 64."""
    return {"name": "resnet", "depth": depth, "width": width, "seed": seed}


def four_stages(width: int, depth: int, seed: int | None, **more) -> dict:
    """A ResNet of four stages, as made for ImageNet. seed None: one network for each client."""
    victim = {"name": "imagenet_resnet", "depth": depth, "width": width} | more
    return victim if seed is None else victim | {"seed": seed}


def of_each_client(victim: dict) -> dict:
    """The victim, but a network of its own for each client, so that no single draw decides."""
    return {name: value for name, value in victim.items() if name != "seed"}


def training(state: str, recipe: str, **more) -> dict:
    """The argument `train` of an attack on a victim that is "trained"; nothing for another."""
    return {"train": RECIPES[recipe] | more} if state == "trained" else {}


def averaging(epochs: int, images: int, local_batch: int, local_lr: float = 1e-4) -> dict:
    """Arguments of an attack on a client of federated averaging, which takes epochs * images /
    local_batch steps before it shares its weights. The default rate is that of the paper's code."""
    protocol = {"normalise": True, "sends": "weights", "epochs": epochs,
                "local_batch": local_batch, "local_lr": local_lr}
    return {"batch_size": images, "protocol": protocol}


def attacked(images: dict, victim: dict, iterations: int, clients: list[int], seed: int,
             search: dict = COSINE, **more) -> dict:
    """A config of `case.attack`: clients [first, last) whose labels are known, in normalised
    space, eval mode. search: how the attack differs from its preset. more: replaces the rest."""
    config = {
        "images": images, "victim": victim, "clients": clients, "seed": seed,
        "attack": {"name": "inverting_gradients", "iterations": iterations} | search,
        "protocol": {"normalise": True}, "threat": {"labels": "known"},
        "record": [iterations], "shown": 6}
    return config | more


def sweep(name: str, quick: list, paper: list, minutes: float, comparable: bool | str = True,
          compute: Callable = case.attack, gpu: bool | None = None) -> store.Sweep:
    """A sweep with the notes that all of this notebook share. minutes: of the paper profile's
    parts together. comparable: True, or what they change of the paper's settings. gpu: whether it
    is left to a GPU; None: where it takes long."""
    reduced = "other, smaller images and networks; fewer iterations"
    left_to_gpu = minutes >= GPU_MINUTES if gpu is None else gpu
    return store.Sweep(
        name, compute, quick, paper, gib=2, gpu=left_to_gpu,
        minutes={"quick": 0.2, "paper": minutes},
        comparable={"quick": reduced, "paper": comparable})
