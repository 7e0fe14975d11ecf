"""Foreign architectures: what a client shares is plain autograd's gradient, or a refusal.

The slow test measures every network of `NETWORKS` again and compares with the committed table,
tests/architectures.csv, which `python tests/test_architectures.py` writes. It needs two libraries
that nothing else does: pip install -r requirements-architectures.txt
"""

import copy
import csv
import warnings
from collections import Counter
from pathlib import Path

import pytest
import torch
import torchvision
from torch import nn

from lib import client, data

TABLE = Path(__file__).with_name("architectures.csv")
FIELDS = ("name", "verdict", "what", "largest relative difference")
INSTALL = "pip install -r requirements-architectures.txt"
TOLERANCE = 1e-5  # of the largest entry of the gradient

# name -> the smallest legal height and width, or 32 where a smaller one is legal
TORCHVISION = {
    "alexnet": 64, "squeezenet1_0": 32, "squeezenet1_1": 32, "shufflenet_v2_x0_5": 32,
    "mobilenet_v2": 32, "mobilenet_v3_small": 32, "mobilenet_v3_large": 32, "mnasnet0_5": 32,
    "resnet18": 32, "regnet_y_400mf": 32, "regnet_x_400mf": 32, "googlenet": 32,
    "efficientnet_b0": 32, "resnet50": 32, "densenet121": 32, "inception_v3": 75,
    "convnext_tiny": 32, "vit_b_16": 32, "swin_t": 32, "vgg11": 32,
}
TIMM = {
    "tf_efficientnet_b0": 32, "efficientnet_lite0": 32, "mobilenetv3_small_050": 32,
    "mobilenetv4_conv_small": 32, "vit_tiny_patch16_224": 32, "mixer_s32_224": 32,
    "resmlp_12_224": 32, "convnext_atto": 32, "ghostnet_100": 32, "hardcorenas_a": 32,
    "tinynet_e": 32, "lcnet_050": 32, "rexnet_100": 32, "poolformer_s12": 32,
    "mobilevit_xxs": 64, "edgenext_xx_small": 64, "resnetv2_50": 32, "dla34": 32,
}
HUGGING_FACE = {"ViT": 32, "ConvNext": 32, "ResNet": 32, "MobileNetV2": 32, "DeiT": 32}
TRAINED = {  # in train mode, four images: BatchNorm by the batch, auxiliary heads, random depth
    "torchvision": ("googlenet", "resnet18", "mobilenet_v3_small", "efficientnet_b0"),
    "timm": ("resnetv2_50", "tf_efficientnet_b0"),
    "transformers": ("ResNet",),
}
KINDS = {"transformers": HUGGING_FACE, "timm": TIMM, "torchvision": TORCHVISION}
NETWORKS = [(kind, name, "eval") for kind, names in KINDS.items() for name in names]
NETWORKS += [(kind, name, "train") for kind, names in TRAINED.items() for name in names]


def label(kind: str, name: str, mode: str) -> str:
    return f"{kind} {name}" + (", train mode" if mode == "train" else "")


def build(kind: str, name: str) -> nn.Module:
    """A network of ten classes with random weights, and with the BatchNorm statistics of one random
    batch: with those of a new network hardly a gradient reaches the first layers."""
    net = random_network(kind, name).eval()
    norms = [m for m in net.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    kept = [m.momentum for m in norms]
    for m in norms:
        m.momentum = 1.0
        m.train()
    if norms:
        with torch.no_grad():
            net(torch.rand(4, 3, KINDS[kind][name], KINDS[kind][name]))
    for m, momentum in zip(norms, kept, strict=True):
        m.momentum = momentum
    return net.eval()


def random_network(kind: str, name: str) -> nn.Module:
    torch.manual_seed(0)
    size = KINDS[kind][name]
    if kind == "torchvision":
        options = {"image_size": size} if name.startswith("vit") else {}
        if name in ("googlenet", "inception_v3"):
            options = {"init_weights": False}
        return getattr(torchvision.models, name)(weights=None, num_classes=10, **options)
    if kind == "timm":
        import timm
        sized = ("vit", "mixer", "resmlp")
        options = {"img_size": size} if name.startswith(sized) else {}
        return timm.create_model(name, pretrained=False, num_classes=10, **options)
    import transformers
    small = {"ViT": {"image_size": 32, "patch_size": 8, "hidden_size": 48, "num_attention_heads": 4,
                     "num_hidden_layers": 2, "intermediate_size": 96},
             "ConvNext": {"hidden_sizes": [16, 32, 48, 64], "depths": [1, 1, 1, 1]},
             "ResNet": {"hidden_sizes": [16, 32], "depths": [1, 1], "embedding_size": 16},
             "MobileNetV2": {"image_size": 32, "depth_multiplier": 0.35}}
    small["DeiT"] = small["ViT"]
    config = getattr(transformers, f"{name}Config")(num_labels=10, **small[name])
    return getattr(transformers, f"{name}ForImageClassification")(config)


def plain_gradients(net: nn.Module, mode: str, x, y) -> dict[str, torch.Tensor]:
    """Autograd's gradient of the cross-entropy, Dropout and random depth off."""
    net = copy.deepcopy(net).train(mode == "train")
    for m in net.modules():
        if isinstance(m, nn.modules.dropout._DropoutNd) or type(m).__name__ in (
                "DropPath", "StochasticDepth"):
            m.eval()
    output = net(x)
    output = output if isinstance(output, torch.Tensor) else output.logits
    names, trained = zip(*((n, p) for n, p in net.named_parameters() if p.requires_grad),
                         strict=True)
    loss = nn.functional.cross_entropy(output, y)
    found = torch.autograd.grad(loss, trained, allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g
            for n, p, g in zip(names, trained, found, strict=True)}


def difference(net: nn.Module, mode: str, size: int) -> float:
    """The largest difference between the shared gradient and autograd's, of the largest entry."""
    like = next(net.parameters())
    generator = torch.Generator().manual_seed(1)
    images = torch.rand(1, 4 if mode == "train" else 1, 3, size, size, generator=generator)
    with torch.no_grad():  # the least likely class: its gradient never vanishes
        output = copy.deepcopy(net)(images[0].to(like))
        output = output if isinstance(output, torch.Tensor) else output.logits
    labels = output.argmin(-1)[None]
    shared = client.share(net, data.Batch(images, labels, 10), client.Protocol(mode=mode)).gradients
    truth = plain_gradients(net, mode, images[0].to(like), labels[0])
    assert list(truth) == list(shared)
    largest = max(t.abs().max() for t in truth.values())
    return float(max((shared[n][0] - t).abs().max() for n, t in truth.items()) / largest)


def measure(kind: str, name: str, mode: str) -> dict[str, str]:
    """A row of the table. Where float32 is too coarse for the tolerance, float64 decides."""
    net, size, what = build(kind, name), KINDS[kind][name], ""
    row = {"name": label(kind, name, mode), "largest relative difference": ""}
    try:
        off = difference(net, mode, size)
        if not off <= TOLERANCE:
            off, what = difference(net.double(), mode, size), "in float64"
    except ValueError as refusal:
        return row | {"verdict": "refused", "what": str(refusal)}
    verdict = "right" if off <= TOLERANCE else "wrong"
    return row | {"verdict": verdict, "what": what, "largest relative difference": f"{off:.0e}"}


def committed() -> dict[str, dict[str, str]]:
    with TABLE.open(newline="") as file:
        return {row["name"]: row for row in csv.DictReader(file)}


def test_the_table_holds_every_network_and_none_is_wrong():
    rows = committed()
    assert list(rows) == [label(*network) for network in NETWORKS]
    assert len(KINDS["transformers"]) >= 3 and sum("train mode" not in name for name in rows) >= 40
    for row in rows.values():
        if row["verdict"] == "right":
            assert float(row["largest relative difference"]) <= TOLERANCE
        else:
            assert row["verdict"] == "refused" and "(" in row["what"], row  # it names the layer


def test_the_counts_are_those_of_the_readme():
    counts = Counter(row["verdict"] for row in committed().values())
    said = (f"{counts.total()} networks tried: {counts['right']} right, {counts['refused']} "
            f"refused, {counts['wrong']} wrong")
    assert said in (TABLE.parent / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("network", NETWORKS, ids=lambda network: label(*network))
def test_shared_gradients_are_autograds(network):
    if network[0] != "torchvision":
        pytest.importorskip(network[0], reason=INSTALL)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        row = measure(*network)
    assert row["verdict"] == committed()[row["name"]]["verdict"] != "wrong", row


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    with TABLE.open("w", newline="") as file:
        writer = csv.DictWriter(file, FIELDS, lineterminator="\n")
        writer.writeheader()
        for network in NETWORKS:
            writer.writerow(measured := measure(*network))
            file.flush()
            print(measured, flush=True)
