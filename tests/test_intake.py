"""What frameworks send is the same update in every form; what cannot be read is one clear error."""

import copy
from collections import OrderedDict
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from lib import attacks, batching, client, files, intake

SHAPE = {"shape": (3, 8, 8), "num_classes": 5}
WEIGHTS = client.Protocol(sends="weights", local_lr=0.1)


def network(seed=0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.Sigmoid(), nn.Flatten(),
                         nn.Linear(216, 5))


def gradients(net) -> dict:
    torch.manual_seed(1)
    return {n: torch.randn_like(p) for n, p in net.named_parameters()}


def trained(net, steps=1, mode="train", size=2) -> tuple[dict, dict, torch.Tensor]:
    """(state before, state after, images) of a client that took local steps of SGD."""
    net, x = copy.deepcopy(net).train(mode == "train"), torch.rand(size, 3, 8, 8)
    before = {n: t.clone() for n, t in net.state_dict().items()}
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(steps):
        optimizer.zero_grad()
        F.cross_entropy(net(x), torch.arange(size)).backward()
        optimizer.step()
    return before, net.state_dict(), x


def brought(given, net, protocol=None, **more):
    return client.SharedUpdate.from_gradients(net, given, protocol, **SHAPE, **more)


FORMS = {
    "dict": lambda g: g,
    "ordered dict": OrderedDict,
    "list": lambda g: [*g.values()],
    "generator": lambda g: iter(g.values()),
    "pairs, as named_parameters()": lambda g: [*g.items()],
    "ndarrays": lambda g: {n: t.numpy() for n, t in g.items()},
    "list of ndarrays": lambda g: [t.numpy() for t in g.values()],
    "nested lists": lambda g: {n: t.tolist() for n, t in g.items()},
    "big-endian, not contiguous": lambda g: {
        n: np.asarray(t.numpy(), ">f4", order="F") for n, t in g.items()},
    "float64": lambda g: {n: t.double() for n, t in g.items()},
    "sparse": lambda g: {n: t.to_sparse() for n, t in g.items()},
    "flat vector": lambda g: torch.cat([t.flatten() for t in g.values()]),
    "flat ndarray": lambda g: np.concatenate([t.numpy().ravel() for t in g.values()]),
    "parameters": lambda g: {n: nn.Parameter(t) for n, t in g.items()},
    "DataParallel": lambda g: {"module." + n: t for n, t in g.items()},
    "Opacus": lambda g: {"_module." + n: t for n, t in g.items()},
    "torch.compile": lambda g: {"_orig_mod." + n: t for n, t in g.items()},
    "both": lambda g: {"module._orig_mod." + n: t for n, t in g.items()},
    "a wrapper inside": lambda g: {n.replace(".", "._orig_mod."): t for n, t in g.items()},
    "a wrapper of one's own": lambda g: {"net.backbone." + n: t for n, t in g.items()},
    "one client of K": lambda g: {n: t[None] for n, t in g.items()},
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
def test_every_form_is_the_same_update(form):
    net = network()
    sent = gradients(net)
    update = brought(form(sent), net)
    assert {*update.gradients} == {*sent} and not update.partial
    for name, tensor in sent.items():
        torch.testing.assert_close(update.gradients[name], tensor[None], rtol=1e-6, atol=0)


def test_half_precision_is_computed_in_float32():
    net = network().half()
    for dtype in (torch.float16, torch.bfloat16):
        update = brought({n: t.to(dtype) for n, t in gradients(net).items()}, net)
        kinds = {t.dtype for t in (*update.gradients.values(), *update.model.parameters())}
        assert kinds == {torch.float32}
        assert "float32" in update.card()["intake"]


def test_the_update_owns_its_memory():
    net = network()
    sent = gradients(net)
    arrays = {n: t.numpy() for n, t in sent.items()}
    for given in (sent, arrays):
        update = brought(given, net)
        kept = update.gradients["4.bias"].clone()
        given["4.bias"][:] = 7.0
        assert torch.equal(update.gradients["4.bias"], kept)


def test_some_layers_only_are_a_partial_update():
    net = network()
    sent = {n: t for n, t in gradients(net).items() if n.startswith("4.")}
    update = brought(sent, net)
    assert update.partial and {*update.gradients} == {"4.weight", "4.bias"}
    assert "2 of 6" in update.card()["shared"] and "4.weight" in update.card()["intake"]
    guess = attacks.reconstruct(update, attacks.dlg(iterations=2))
    assert guess.images.isfinite().all()


def test_attacks_match_only_what_was_sent():
    """The objective of the truth is zero although the other layers' gradients are not."""
    net, x, y = network(), torch.rand(1, 3, 8, 8), torch.tensor([2])
    net.eval()
    true = torch.autograd.grad(F.cross_entropy(net(x), y), [*net.parameters()])
    named = dict(zip(dict(net.named_parameters()), true, strict=True))
    update = brought({n: g for n, g in named.items() if n.startswith("4.")}, net)
    certain = 1e4 * F.one_hot(y, 5).float()[None, None]
    guess = attacks.reconstruct(update, attacks.dlg(iterations=1), start=(x[None, None], certain))
    assert guess.history.losses[0].item() < 1e-10


@pytest.mark.parametrize("form", ["list", "arrays by name", "tensors", "module"])
def test_a_whole_state_in_every_form(form):
    net = network()
    before, after, _ = trained(net)
    protocol = client.Protocol(mode="train", sends="weights", local_lr=0.1)
    forms = {"list": lambda s: [t.numpy() for t in s.values()],
             "arrays by name": lambda s: {n: t.numpy() for n, t in s.items()},
             "tensors": lambda s: s, "module": lambda s: _module(net, s)}
    update = client.SharedUpdate.from_weights(
        forms[form](before), forms[form](after), net, protocol, batch_size=2, **SHAPE)
    for name in dict(net.named_parameters()):
        torch.testing.assert_close(update.gradients[name][0], after[name] - before[name])


def _module(net, state):
    made = copy.deepcopy(net)
    made.load_state_dict(state)
    return made


def test_differences_with_buffers():
    net = network()
    before, after, _ = trained(net)
    protocol = client.Protocol(mode="train", sends="weights", local_lr=0.1)
    changes = [after[n] - before[n] for n in before]
    update = brought(changes, net, protocol, batch_size=2)
    assert torch.equal(update.gradients["0.weight"][0], changes[0])
    assert update.buffers["1.num_batches_tracked"].tolist() == [1]


def test_the_attack_starts_from_the_weights_before():
    net, other = network(), network(seed=5)
    before, after, _ = trained(other, mode="eval")
    update = client.SharedUpdate.from_weights(before, after, net, WEIGHTS, batch_size=2, **SHAPE)
    assert torch.equal(dict(update.model.named_parameters())["0.weight"], before["0.weight"])
    assert not torch.equal(net[0].weight, before["0.weight"])  # the caller's is left alone


def test_tied_weights_are_read_once():
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    net.again = net[1]
    net.forward = lambda x: net[1](net[0](x))
    names = intake.names_of(net)
    assert {*names.trained} == {"1.weight", "1.bias"} and "again.weight" in names.aliases
    message = intake.read(net.state_dict(), names, "update")
    assert {*message.trained} == {"1.weight", "1.bias"}


# --- evidence of buffers --------------------------------------------------------------------------

def evidence_of(steps=1, mode="train", size=2, protocol=None, net=None):
    net = net or network()
    before, after, x = trained(net, steps, mode, size)
    protocol = protocol or client.Protocol(
        mode=mode, sends="weights", local_lr=0.1, epochs=steps)
    update = client.SharedUpdate.from_weights(
        before, after, net, protocol, batch_size=size, **SHAPE)
    return update, x


def test_one_step_gives_the_private_statistics():
    update, x = evidence_of(size=3)
    found = client.buffer_evidence(update)
    features = network()[0](x)
    assert found.mode == "train" and found.steps == 1
    for name, right in (("mean", features.mean((0, 2, 3))),
                        ("var", features.var((0, 2, 3), unbiased=False))):
        torch.testing.assert_close(
            found.statistics[f"1.running_{name}"][0], right.detach(), rtol=1e-4, atol=1e-6)
    granted = update.with_statistics()
    assert granted.threat.bn_statistics == "exact" and granted.statistics is not None


def test_many_steps_give_their_number_and_no_statistics():
    update, _ = evidence_of(steps=3)
    found = client.buffer_evidence(update)
    assert (found.mode, found.steps, found.statistics) == ("train", 3, None)
    with pytest.raises(ValueError, match="statistics"):
        update.with_statistics()


def test_an_honest_client_in_eval_mode():
    update, _ = evidence_of(mode="eval")
    assert client.buffer_evidence(update).mode == "eval"


def test_no_buffers_no_evidence():
    net = network()
    assert client.buffer_evidence(brought(gradients(net), net)) is None


@pytest.mark.parametrize("claimed, message", [
    ({"mode": "eval"}, "train mode, not in eval mode"),
    ({"mode": "train", "epochs": 2}, "counts 3 local steps, and the protocol makes 2"),
    ({"mode": "train", "epochs": 3, "local_batch": 1}, "counts 3 local steps.* makes 6")])
def test_contradicted_protocols_are_refused(claimed, message):
    protocol = client.Protocol(sends="weights", local_lr=0.1, **claimed)
    with pytest.raises(ValueError, match=message):
        evidence_of(steps=3, protocol=protocol)


def test_train_mode_without_a_trace_is_refused():
    with pytest.raises(ValueError, match="eval mode, not in train mode"):
        evidence_of(mode="eval", protocol=client.Protocol(
            mode="train", sends="weights", local_lr=0.1))


def test_buffers_that_moved_uncounted_prove_nothing():
    net = network()
    before = [t.numpy().copy() for t in net.state_dict().values()]
    after = [(a + 0.01).astype(a.dtype) for a in before]
    update = client.SharedUpdate.from_weights(before, after, net, WEIGHTS, **SHAPE)
    assert client.buffer_evidence(update).mode is None


# --- what cannot be read --------------------------------------------------------------------------

BAD = {
    "whole numbers": (lambda g: {n: t.long() for n, t in g.items()}, "floating point"),
    "truth values": (lambda g: {n: t > 0 for n, t in g.items()}, "floating point"),
    "complex": (lambda g: {n: t.to(torch.complex64) for n, t in g.items()}, "complex"),
    "strings": (lambda g: dict.fromkeys(g, "x"), "no tensor or array"),
    "objects": (lambda g: dict.fromkeys(g, object()), "no tensor or array"),
    "ragged lists": (lambda g: dict.fromkeys(g, [[1.0], [1.0, 2.0]]), "no tensor or array"),
    "masked": (lambda g: {n: np.ma.array(t.numpy(), mask=False) for n, t in g.items()}, "masked"),
    "meta": (lambda g: {n: t.to("meta") for n, t in g.items()}, "meta"),
    "nothing": (lambda g: None, "a dict of tensors by name"),
    "a number": (lambda g: 3.0, "a dict of tensors by name"),
    "a string": (lambda g: "gradients", "a dict of tensors by name"),
    "an empty dict": (lambda g: {}, "none of the parameters"),
    "an empty list": (lambda g: [], "a list of 0 tensors"),
    "a dict a client": (lambda g: [g, g], "dict of stacked tensors"),
    "a short list": (lambda g: [*g.values()][1:], "a list of 5 tensors"),
    "a short vector": (lambda g: torch.zeros(7), "numbers in 6 tensors"),
    "another order": (lambda g: [*g.values()][::-1], "order of model.parameters"),
    "other names": (lambda g: {f"layer{i}": t for i, t in enumerate(g.values())}, "unknown"),
    "one odd name": (lambda g: g | {"x.weight": g["0.weight"]}, "unknown: x.weight"),
    "numbers for names": (lambda g: dict(enumerate(g.values())), "names of tensors are strings"),
    "None in a list": (lambda g: [*g.values()][:-1] + [None], "None"),
    "one client and two": (
        lambda g: g | {"4.bias": torch.stack([g["4.bias"]] * 2)}, "of one client"),
    "transposed": (lambda g: g | {"4.weight": g["4.weight"].T}, "has shape"),
    "NaN": (lambda g: g | {"4.bias": g["4.bias"] * torch.nan}, "NaN"),
    "buffers alone": (lambda g: {"1.running_mean": torch.zeros(6)}, "none of the parameters"),
}


@pytest.mark.parametrize("form, message", BAD.values(), ids=BAD)
def test_what_cannot_be_read_is_one_clear_error(form, message):
    net = network()
    with pytest.raises(ValueError, match=message):
        brought(form(gradients(net)), net)


@pytest.mark.parametrize("change, message", [
    ({"batch_size": 10**9}, "memory"), ({"batch_size": 0}, "batch_size"),
    ({"batch_size": True}, "batch_size"), ({"batch_size": 1.0}, "batch_size"),
    ({"shape": (3, 8)}, "shape"), ({"shape": (3, 8, -8)}, "shape"), ({"shape": 3}, "shape"),
    ({"num_classes": 0}, "num_classes"), ({"num_classes": 7}, "num_classes=7"),
    ({"protocol": "mse"}, "Protocol"), ({"threat": "known"}, "ThreatModel"),
    ({"labels": [[2.7]], "threat": client.ThreatModel(labels="known")}, "whole numbers"),
    ({"labels": [["a"]], "threat": client.ThreatModel(labels="known")}, "whole numbers"),
    ({"labels": [[5]], "threat": client.ThreatModel(labels="known")}, "labels must lie"),
    ({"statistics": {"x": torch.zeros(1, 6)},
      "threat": client.ThreatModel(bn_statistics="exact")}, "no buffer of a BatchNorm"),
])
def test_wrong_fields_of_an_update(change, message):
    net = network()
    settings = SHAPE | change
    with pytest.raises(ValueError, match=message):
        client.SharedUpdate.from_gradients(net, gradients(net), **settings)


def test_weights_of_other_shapes_are_not_broadcast():
    net = network()
    before, after, _ = trained(net, mode="eval")
    with pytest.raises(ValueError, match="after of 0.weight has shape"):
        client.SharedUpdate.from_weights(
            before, {n: t[:1] if t.dim() else t for n, t in after.items()}, net, WEIGHTS, **SHAPE)
    with pytest.raises(ValueError, match="one state"):
        client.SharedUpdate.from_weights(
            {n: torch.stack([t] * 2) for n, t in before.items()}, after, net, WEIGHTS, **SHAPE)


def test_a_frozen_parameter_that_moved_is_refused():
    net = network()
    before, after, _ = trained(net, mode="eval")
    net[0].weight.requires_grad_(False)
    with pytest.raises(ValueError, match="0.weight is frozen"):
        client.SharedUpdate.from_weights(before, after, net, WEIGHTS, **SHAPE)


def test_what_before_does_not_hold_is_said():
    net = network()
    before, after, _ = trained(net, mode="eval")
    names = [n for n, _ in net.named_parameters()]
    update = client.SharedUpdate.from_weights(
        [before[n] for n in names], [after[n] for n in names], net, WEIGHTS, **SHAPE)
    assert "running_mean" in update.card()["intake"]


def test_an_ensemble_has_no_one_state():
    net = batching.Ensemble([network(0), network(1)])
    with pytest.raises(ValueError, match="one module"):
        client.SharedUpdate.from_weights({}, {}, net, WEIGHTS, **SHAPE)
    with pytest.raises(ValueError, match="ensemble of 2"):
        brought(gradients(network()), net)


# --- update files ---------------------------------------------------------------------------------

def test_saving_removes_what_a_killed_writer_left(tmp_path):
    left = tmp_path / f".update.pt.{files.HOST}.{2**22 + 1}.tmp"  # no process has that number
    left.write_bytes(b"half")
    net = network()
    brought(gradients(net), net).save(tmp_path / "update.pt")
    assert [file.name for file in tmp_path.iterdir()] == ["update.pt"]


def saved(tmp_path, **change):
    """(path, model) of a saved update whose plain content was changed."""
    net, path = network(), tmp_path / "update.pt"
    brought(gradients(net), net).save(path)
    plain = torch.load(path, weights_only=True)
    for name, value in change.items():
        if value is None:
            plain.pop(name)
        else:
            plain[name] = value
    torch.save(plain, path)
    return path, net


@pytest.mark.parametrize("change, message", [
    ({"state": {"params": {}, "buffers": {}}}, "incomplete"),
    ({"state": {}}, "incomplete"), ({"state": [1]}, "damaged"),
    ({"gradients": None}, "lacks gradients"), ({"protocol": None}, "lacks protocol"),
    ({"format": "leaky-gradients update 9"}, "another version"),
    ({"later_field": 1}, "another version"), ({"protocol": {"epoch": 1}}, "damaged"),
    ({"protocol": vars(client.Protocol()) | {"loss": "hinge"}}, "unknown loss"),
    ({"batch_size": 10**9}, "memory"), ({"shape": (3,)}, "shape"), ({"shape": "x"}, "shape"),
    ({"gradients": {"0.weight": 3}}, "gradients"), ({"num_classes": "5"}, "num_classes")])
def test_damaged_update_files(tmp_path, change, message):
    path, net = saved(tmp_path, **change)
    with pytest.raises(ValueError, match=message):
        client.SharedUpdate.load(path, net)


@pytest.mark.parametrize("content", [b"", b"hello world", "half", "a list", "a folder"])
def test_foreign_update_files(tmp_path, content):
    path, net = saved(tmp_path)
    if content == "half":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif content == "a list":
        torch.save([1, 2], path)
    elif content == "a folder":
        path = tmp_path
    else:
        path.write_bytes(content)
    with pytest.raises(ValueError, match="update file|damaged"):
        client.SharedUpdate.load(path, net)


def test_a_file_of_the_first_version_is_read(tmp_path):
    path, net = saved(tmp_path, format=None, buffers=None, notes=None)
    assert len(client.SharedUpdate.load(path, net)) == 1


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nothing.pt"):
        client.SharedUpdate.load(tmp_path / "nothing.pt", network())


def test_saving_is_whole_or_not_at_all(tmp_path, monkeypatch):
    path, net = saved(tmp_path)
    before = path.read_bytes()

    def dies(content, file):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(torch, "save", dies)
    with pytest.raises(OSError, match="disk full"):
        brought(gradients(net), net).save(path)
    assert path.read_bytes() == before and [*tmp_path.iterdir()] == [path]


def test_a_loss_of_ones_own_is_asked_for_again(tmp_path):
    def mine(logits, targets):
        return (logits - targets).abs().mean()

    net, path = network(), tmp_path / "update.pt"
    brought(gradients(net), net, client.Protocol(loss=mine)).save(path)
    with pytest.raises(ValueError, match="mine"):
        client.SharedUpdate.load(path, net)
    assert client.SharedUpdate.load(path, net, loss=mine).protocol.loss is mine


def test_buffers_and_notes_survive_a_file(tmp_path):
    update, _ = evidence_of()
    update.save(tmp_path / "update.pt")
    again = client.SharedUpdate.load(tmp_path / "update.pt", network())
    assert again.notes == update.notes
    assert client.buffer_evidence(again).steps == 1


def test_a_flat_state_and_an_array_of_arrays():
    net = network()
    before, after, _ = trained(net)
    plain = client.SharedUpdate.from_weights(before, after, net, replace(WEIGHTS, mode="train"),
                                             batch_size=2, **SHAPE)

    def flat(state):  # num_batches_tracked, a single number, among them
        return torch.cat([t.flatten().float() for t in state.values()])

    def objects(state):
        out = np.empty(len(state), dtype=object)
        out[:] = [t.numpy() for t in state.values()]
        return out

    for form in (flat, objects):
        update = client.SharedUpdate.from_weights(
            form(before), form(after), net, replace(WEIGHTS, mode="train"), batch_size=2, **SHAPE)
        for name, g in plain.gradients.items():
            assert torch.equal(update.gradients[name], g)
        assert client.buffer_evidence(update).steps == 1


def test_a_model_trained_in_place_is_no_evidence_against_its_client():
    """Its buffers are those after training: against them the message's would not have moved."""
    net = network()
    before, after, _ = trained(net, steps=2)
    sent = {n: before[n] for n, _ in net.named_parameters()}
    net.load_state_dict(after)
    protocol = replace(WEIGHTS, mode="train", epochs=2)
    update = client.SharedUpdate.from_weights(sent, after, net, protocol, batch_size=2, **SHAPE)
    assert client.buffer_evidence(update) is None
    for name in sent:
        assert torch.equal(update.gradients[name][0], after[name] - before[name])


@pytest.fixture
def stored(tmp_path):
    """(path of an update file in train mode with buffers, its network)."""
    net = network()
    before, after, _ = trained(net)
    update = client.SharedUpdate.from_weights(before, after, net, replace(WEIGHTS, mode="train"),
                                              batch_size=2, **SHAPE)
    update.save(tmp_path / "update.pt")
    return tmp_path / "update.pt", net


def test_a_flipped_bit_in_a_file_is_no_other_number(stored):
    path, net = stored
    client.SharedUpdate.load(path, net)
    whole = path.read_bytes()
    weight = net[4].weight.detach().numpy().tobytes()
    at = whole.index(weight) + 100
    for bit in (0, 3):  # both leave a finite number
        path.write_bytes(whole[:at] + bytes([whole[at] ^ 1 << bit]) + whole[at + 1:])
        with pytest.raises(ValueError, match="is damaged: the checksum of"):
            client.SharedUpdate.load(path, net)
    path.write_bytes(whole)
    client.SharedUpdate.load(path, net)


@pytest.mark.parametrize("keys, value, words", [
    (["buffers"], [1], "buffers is a dict"),
    (["buffers", "1.running_mean"], torch.ones(7), "no tensor"),
    (["buffers", "1.running_mean"], torch.ones(1, 7), "the model's"),
    (["buffers", "1.running_var"], torch.full((1, 6), torch.nan), "NaN or infinite"),
    (["notes"], (1, 2), "notes is a tuple of sentences"),
    (["shape"], (3, 10**6, 10**6), "more pixels than fit"),
    (["gradients", "0.bias"], torch.ones(1, 6).to_sparse(), "float tensors"),
    (["state", "params", "0.bias"], torch.ones(6).to_sparse(), "sparse"),
    (["state", "params", "0.bias"], torch.ones(6).long(), "int64"),
    (["state", "buffers", "1.running_var"], -torch.ones(6), "negative variance"),
    (["protocol", "loss"], None, "protocol lacks loss"),  # None: taken out
])
def test_a_file_with_one_wrong_entry_is_one_error(stored, keys, value, words):
    path, net = stored
    saved = torch.load(path, weights_only=True)
    place = saved
    for key in keys[:-1]:
        place = place[key]
    if value is None:
        del place[keys[-1]]
    else:
        place[keys[-1]] = value
    torch.save(saved, path)
    with pytest.raises(ValueError, match=words):
        client.SharedUpdate.load(path, net)


@pytest.mark.parametrize("targets", [9 * torch.ones(1, 2, 5), torch.full((1, 2, 5), torch.nan),
                                     torch.ones(1, 2, 5).long()])
def test_targets_are_probabilities(targets):
    net = network()
    with pytest.raises(ValueError, match="targets are probabilities"):
        client.SharedUpdate.from_gradients(
            net, gradients(net), batch_size=2, labels=torch.tensor([[0, 1]]), targets=targets,
            threat=client.ThreatModel(labels="known"), **SHAPE)
