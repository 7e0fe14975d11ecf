"""What other frameworks and models bring to the audit: each file ends in a report, or in one clear
error and exit code 2, never in a traceback."""

import collections
import html
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny import audit_in_few_iterations
from torch import nn

from lib.audit import __main__ as command

MODELS = """
import torch
from torch import nn


def seeded(make):
    def build():
        torch.manual_seed(0)
        return make()
    return build


@seeded
def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.ReLU(), nn.Linear(16, 10))


class WithBatchNorm(nn.Module):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.fc = nn.Linear(8 * 64, 10)

    def forward(self, x):
        return self.fc(torch.relu(self.norm(self.conv(x))).flatten(1))


class Text(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.gru = nn.Embedding(50, 8), nn.GRU(8, 8, batch_first=True)
        self.fc = nn.Linear(8, 10)

    def forward(self, tokens):
        return self.fc(self.gru(self.embed(tokens))[0][:, -1])


class Rows(nn.Module):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.gru, self.fc = nn.GRU(24, 8, batch_first=True), nn.Linear(8, 10)

    def forward(self, x):
        return self.fc(self.gru(x.transpose(1, 2).flatten(2))[0][:, -1])


class Rounded(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(192, 10)

    def forward(self, x):
        return self.fc(x.flatten(1)).round() if x.sum().item() > 0 else self.fc(x.flatten(1))


class Split(nn.Module):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.body, self.head = nn.Linear(192, 16), nn.Linear(16, 10)

    def forward(self, x):
        return {"logits": self.head(torch.sigmoid(self.body(x.flatten(1))))}


@seeded
def one_output():
    return nn.Sequential(nn.Flatten(), nn.Linear(192, 16), nn.Sigmoid(), nn.Linear(16, 1))


@seeded
def resnet18():
    import torchvision
    return torchvision.models.resnet18(num_classes=10)


@seeded
def mobilenet():
    import torchvision
    return torchvision.models.mobilenet_v3_small(num_classes=10)


@seeded
def squeezenet():
    import torchvision
    return torchvision.models.squeezenet1_1(num_classes=10)


@seeded
def hf_vit():
    from transformers import ViTConfig, ViTForImageClassification
    return ViTForImageClassification(ViTConfig(
        hidden_size=24, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        image_size=16, patch_size=8, num_labels=10))


@seeded
def timm_vit():
    import timm
    return timm.create_model("vit_tiny_patch16_224", num_classes=10, img_size=16, patch_size=8,
                             embed_dim=24, depth=2, num_heads=2)
"""
LR = 0.1


class Client:
    """A client that trains one of MODELS on one image, as a framework would, and what it sends."""

    def __init__(self, model: str, size: int = 8, mode: str = "eval"):
        scope = {}
        exec(MODELS, scope)
        torch.manual_seed(1)
        self.net = scope[model]().train(mode == "train")
        self.images, self.labels = torch.rand(2, 3, size, size), torch.tensor([3, 5])
        self.before = {n: t.clone() for n, t in self.net.state_dict().items()}

    def gradients(self) -> dict:
        out = self.net(self.images)
        out = out.logits if hasattr(out, "logits") else out
        out = out["logits"] if isinstance(out, dict) else out
        if out.shape[1] == 1:
            loss = nn.functional.binary_cross_entropy_with_logits(out[:, 0], self.labels % 2.0)
        else:
            loss = nn.functional.cross_entropy(out, self.labels)
        self.net.zero_grad()
        loss.backward()
        return {n: p.grad.clone() for n, p in self.net.named_parameters() if p.grad is not None}

    def after(self) -> dict:
        """The weights after one step of SGD; buffers too."""
        gradients = self.gradients()
        with torch.no_grad():
            for name, p in self.net.named_parameters():
                p -= LR * gradients[name]
        return {n: t.clone() for n, t in self.net.state_dict().items()}


def arrays(state: dict) -> dict:
    return {name: tensor.numpy() for name, tensor in state.items()}


def save_safe(tensors: dict, path: str) -> None:
    from safetensors.torch import save_file
    save_file({n: t.contiguous() for n, t in tensors.items()}, path)


STEP = ["--before", "before{}", "--local-lr", str(LR)]


def pair(ending: str) -> list:
    return [STEP[0], STEP[1].format(ending), *STEP[2:]]


# ---- what the frameworks send: each writes files and returns the words of the command


def flower_npz():
    """`NumPyClient.fit` returns [value.numpy() for value in state_dict().values()]."""
    client = Client("WithBatchNorm", mode="train")
    np.savez("before.npz", *arrays(client.before).values())
    np.savez("sent.npz", *arrays(client.after()).values())
    return ["sent.npz", "--model", "nets.py:WithBatchNorm", "--mode", "train", *pair(".npz")]


def flower_difference():
    client = Client("mlp")
    after = client.after()
    np.savez("sent.npz", *((after[n] - t).numpy() for n, t in client.before.items()))
    Path("told.toml").write_text(
        f'shape = [3, 8, 8]\nclasses = 10\n[protocol]\nsends = "weights"\nlocal_lr = {LR}\n')
    return ["sent.npz", "--model", "nets.py:mlp", "--settings", "told.toml"]


def nvflare_npz():
    """`FLModel.params`, of type DIFF: arrays by the names of the state_dict."""
    client = Client("WithBatchNorm", mode="train")
    after = client.after()
    np.savez("sent.npz", **{n: (after[n] - t).numpy() for n, t in client.before.items()})
    Path("told.toml").write_text(
        'shape = [3, 8, 8]\nclasses = 10\n[protocol]\nsends = "weights"\nmode = "train"\n'
        f'local_lr = {LR}\n')
    return ["sent.npz", "--model", "nets.py:WithBatchNorm", "--settings", "told.toml"]


def state_pair_pt():
    client = Client("mlp")
    torch.save(client.before, "before.pt")
    torch.save(client.after(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp", *pair(".pt")]


def state_pair_safetensors():
    client = Client("WithBatchNorm", mode="train")
    save_safe(client.before, "before.safetensors")
    save_safe(client.after(), "sent.safetensors")
    return ["sent.safetensors", "--model", "nets.py:WithBatchNorm", "--mode", "train",
            *pair(".safetensors")]


def data_parallel_pair():
    client = Client("mlp")
    torch.save(client.before, "before.pt")
    torch.save({f"module.{n}": t for n, t in client.after().items()}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp", *pair(".pt")]


def gradient_list():
    torch.save(list(Client("mlp").gradients().values()), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def half_gradients():
    torch.save({n: g.half() for n, g in Client("mlp").gradients().items()}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def half_arrays():
    gradients = arrays(Client("mlp").gradients())
    np.savez("sent.npz", *(g.astype(np.float16) for g in gradients.values()))
    return ["sent.npz", "--model", "nets.py:mlp"]


def bfloat_safetensors():
    save_safe({n: g.bfloat16() for n, g in Client("mlp").gradients().items()}, "sent.safetensors")
    return ["sent.safetensors", "--model", "nets.py:mlp"]


def other_order():
    gradients = Client("WithBatchNorm").gradients()
    torch.save(collections.OrderedDict(reversed(gradients.items())), "sent.pt")
    return ["sent.pt", "--model", "nets.py:WithBatchNorm"]


def flat_vector():
    torch.save(torch.cat([g.flatten() for g in Client("mlp").gradients().values()]), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def head_only():
    gradients = Client("Split").gradients()
    torch.save({n: g for n, g in gradients.items() if n.startswith("head")}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:Split"]


def sparse_gradients():
    torch.save({n: g.to_sparse() for n, g in Client("mlp").gradients().items()}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def dict_of_logits():
    torch.save(Client("Split").gradients(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:Split"]


def binary():
    torch.save(Client("one_output").gradients(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:one_output", "--classes", "1"]


def binary_with_its_loss():
    torch.save(Client("one_output").gradients(), "sent.pt")
    with open("nets.py", "a") as file:
        file.write("\nfrom torch.nn.functional import binary_cross_entropy_with_logits as bce\n")
    return ["sent.pt", "--model", "nets.py:one_output", "--classes", "1", "--loss", "nets.py:bce"]


def package_beside():
    """A model of a package in the folder where the command runs, whose file imports another."""
    Path("ours").mkdir()
    Path("ours/__init__.py").write_text("from nets import mlp")
    torch.save(Client("mlp").gradients(), "sent.pt")
    return ["sent.pt", "--model", "ours:mlp"]


def recurrent_over_rows():
    torch.save(Client("Rows").gradients(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:Rows"]


def no_gradient_at_all():
    torch.save({n: 0 * g for n, g in Client("mlp").gradients().items()}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


REPORTED = [flower_npz, flower_difference, nvflare_npz, state_pair_pt, state_pair_safetensors,
            data_parallel_pair, gradient_list, half_gradients, half_arrays, bfloat_safetensors,
            other_order, flat_vector, head_only, sparse_gradients, dict_of_logits,
            binary_with_its_loss, package_beside, recurrent_over_rows, no_gradient_at_all]


def text_model():
    sent = {n: torch.ones_like(p) for n, p in Client("Text").net.named_parameters()}
    torch.save(sent, "sent.pt")
    return ["sent.pt", "--model", "nets.py:Text"]


def branch_on_data():
    torch.save(Client("Rounded").gradients(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:Rounded"]


def missing_weights():
    client = Client("mlp")
    torch.save({n: t for n, t in client.before.items() if n != "1.weight"}, "before.pt")
    torch.save(client.after(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp", *pair(".pt")]


def list_in_another_order():
    torch.save(list(Client("mlp").gradients().values())[::-1], "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def list_that_is_too_short():
    np.savez("sent.npz", *[*arrays(Client("mlp").gradients()).values()][:-1])
    return ["sent.npz", "--model", "nets.py:mlp"]


def of_another_model():
    torch.save(Client("WithBatchNorm").gradients(), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def arrays_in_one_object():
    """np.savez(file, list_of_arrays): numpy pickles it."""
    held = np.empty(4, dtype=object)
    held[:] = [*arrays(Client("mlp").gradients()).values()]
    np.savez("sent.npz", held)
    return ["sent.npz", "--model", "nets.py:mlp"]


def checkpoint():
    """As Lightning writes it: the state_dict is one of many entries."""
    client = Client("mlp")
    torch.save({"epoch": 3, "state_dict": client.before, "lr": 0.1}, "before.pt")
    torch.save({"epoch": 4, "state_dict": client.after(), "lr": 0.1}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp", *pair(".pt")]


def quantised():
    sent = {n: (g * 127).to(torch.int8) for n, g in Client("mlp").gradients().items()}
    torch.save(sent, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def not_a_number():
    sent = Client("mlp").gradients()
    sent["1.bias"][0] = torch.nan
    torch.save(sent, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def empty_npz():
    np.savez("sent.npz")
    return ["sent.npz", "--model", "nets.py:mlp"]


def empty_dict():
    torch.save({}, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def a_number():
    torch.save(3.0, "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def whole_module():
    torch.save(nn.Linear(3, 2), "sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def script():
    torch.jit.script(nn.Linear(3, 2)).save("sent.pt")
    return ["sent.pt", "--model", "nets.py:mlp"]


def cut_short():
    np.savez("whole.npz", *arrays(Client("mlp").gradients()).values())
    Path("sent.npz").write_bytes(Path("whole.npz").read_bytes()[:-100])
    return ["sent.npz", "--model", "nets.py:mlp"]


def text_in_disguise():
    Path("sent.safetensors").write_text("no tensors")
    return ["sent.safetensors", "--model", "nets.py:mlp"]


REFUSED = {
    text_model: "do not fit the model", branch_on_data: "Rounded", binary: "loss",
    missing_weights: "before",
    list_in_another_order: "in the order of", list_that_is_too_short: "3",
    of_another_model: "parameters", arrays_in_one_object: "without pickle",
    checkpoint: "state_dict", quantised: "int8", not_a_number: "1.bias holds NaN",
    empty_npz: "list of 0", empty_dict: "holds no", a_number: "float",
    whole_module: "without pickle", script: "without pickle", cut_short: "sent.npz",
    text_in_disguise: "sent.safetensors"}


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """A folder with the models, where every attack that fits is tried for a few iterations."""
    audit_in_few_iterations(monkeypatch)
    (tmp_path / "nets.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUIET", "1")


def told(words: list, size: int = 8) -> list:
    known = [] if "--settings" in words else ["--shape", f"3,{size},{size}"]
    known += [] if {"--settings", "--classes"} & {*words} else ["--classes", "10"]
    known += [] if "--settings" in words else ["--batch-size", "2"]
    return [*words, *known, "--budget", "60s", "--html", "r.html", "--json", "r.json"]


def reported(words: list) -> dict:
    code = command.main(words)
    document = json.loads(Path("r.json").read_text())
    assert code == document["exit_code"] and code in (0, 1)
    assert document["sentence"] in html.unescape(Path("r.html").read_text())
    return document


@pytest.mark.parametrize("sends", REPORTED, ids=lambda sends: sends.__name__)
def test_what_a_framework_sends_ends_in_a_report(desk, sends):
    document = reported(told(sends()))
    assert document["checks"] and len(document["attempts"]) >= 2
    notes = [attempt["note"] for attempt in document["attempts"]]
    assert all(note == "" or note.startswith("does not fit: ") for note in notes), notes


@pytest.mark.slow
@pytest.mark.parametrize(("model", "library", "size"), [
    ("resnet18", "torchvision", 32), ("mobilenet", "torchvision", 32),
    ("squeezenet", "torchvision", 32), ("hf_vit", "transformers", 16), ("timm_vit", "timm", 16)])
def test_networks_of_other_libraries_end_in_a_report(desk, model, library, size):
    """The weights after one step, as Flower and NVFlare send them; BatchNorm in train mode."""
    pytest.importorskip(library, reason="pip install -r requirements-architectures.txt")
    client = Client(model, size, mode="eval" if model == "mobilenet" else "train")
    for module in client.net.modules():
        if isinstance(module, nn.Dropout):  # an audit takes it as off, and says so
            module.p = 0.0
    mode = "train" if client.net.training else "eval"
    np.savez("before.npz", **arrays(client.before))
    np.savez("sent.npz", **arrays(client.after()))
    words = ["sent.npz", "--model", f"nets.py:{model}", "--mode", mode, *pair(".npz")]
    document = reported(told(words, size))
    assert len(document["attempts"]) >= 2
    assert not [a["note"] for a in document["attempts"] if "error" in a["note"].lower()]


@pytest.mark.parametrize("sends", REFUSED, ids=lambda sends: sends.__name__)
def test_what_cannot_be_audited_ends_in_one_line(desk, capsys, sends):
    words = told(sends())
    assert command.main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("cannot be audited: ") and said.count("\n") == 1, said
    assert REFUSED[sends] in said and "foreseen" not in said, said
    assert len(said) < 500 and not Path("r.html").exists() and not Path("r.json").exists()


def test_an_error_that_nobody_foresaw_is_no_leak(desk, capsys, monkeypatch):
    def broken(*given):
        raise TypeError("two\nlines")

    monkeypatch.setattr(command, "update_of", broken)
    words = told(gradient_list())
    assert command.main(words) == 2
    said = capsys.readouterr().err
    assert "TypeError: two lines; this is no error that was foreseen" in said
    assert said.count("\n") == 1
    monkeypatch.setenv(command.TRACEBACK, "1")
    assert command.main(words) == 2 and "Traceback" in capsys.readouterr().err
