"""What another process traced or checked is read, with the same bytes; nothing else is believed."""

import copy
import functools
import hashlib
import json
import math
import operator
import os
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch
from torch import fx, nn

from lib import (
    attacks,
    batching,
    client,
    descriptions,
    engine,
    files,
    formula,
    models,
    objectives,
    sealed,
)
from lib.engine import graph_files, tracing

KNOWN = client.ThreatModel(labels="known")
ATEN = torch.ops.aten


@pytest.fixture
def folder(monkeypatch, tmp_path):
    """An empty folder of graphs, and a process that has traced and checked nothing yet."""
    monkeypatch.setattr(sealed, "FOLDER", tmp_path / "graphs")
    forget(monkeypatch)
    return tmp_path / "graphs"


def forget(monkeypatch):
    """As a process that begins."""
    monkeypatch.setattr(tracing, "GRAPHS", {})
    monkeypatch.setattr(batching, "_CHECKED", {})


def only_read(monkeypatch):
    """As a process that begins, and can neither trace nor check."""
    forget(monkeypatch)
    monkeypatch.setattr(tracing, "make_fx", None)
    monkeypatch.setattr(batching, "_checked", None)


def stored(folder, kind="graph"):
    return sorted(folder.glob(f"{kind}-*.json"))


def digest(guess):
    """Of all numbers that an attack found."""
    tensors = [guess.images, guess.loss, guess.history.losses, guess.last]
    return [hashlib.sha256(t.contiguous().numpy().tobytes()).hexdigest() for t in tensors]


def with_batch_norm():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.Sigmoid(), nn.Flatten(),
                         nn.Linear(3 * 36, 4))


def dense_update():
    return client.share(models.dense(Shape(), hidden=(6,)), batch(K=2))


STEPS = client.Protocol(sends="weights", local_lr=0.3, local_batch=1, epochs=2, momentum=0.5)
CASES = {
    "Adam, R = 2": (lambda: models.lenet(Shape()), attacks.inverting_gradients(3), {}),
    "L-BFGS, joint labels": (lambda: models.lenet(Shape()), attacks.dlg(2), {"threat": None}),
    "one by one": (lambda: models.dense(Shape(), hidden=(6,)), attacks.dlg(2), {"threat": None}),
    "rollout": (lambda: models.dense(Shape(), hidden=(6,)), attacks.inverting_gradients(3),
                {"protocol": STEPS}),
    "batch statistics": (with_batch_norm, attacks.inverting_gradients(3),
                         {"protocol": client.Protocol(mode="train", normalise=True)}),
    "ensemble": (lambda: models.ensemble(models.dense, Shape(), range(2)), attacks.idlg(2),
                 {"B": 1}),
}


def posed(name, monkeypatch):
    """(update, attack, restarts) of a case."""
    build, attack, settings = CASES[name]
    settings = {"threat": KNOWN, "B": 2} | settings
    if name == "one by one":
        monkeypatch.setattr(engine.problems, "ONE_BY_ONE_FLOPS", 0.0)
    if name == "rollout":
        monkeypatch.setattr(formula, "UNROLLED_STEPS", 3)
    update = client.share(build(), batch(K=2, B=settings["B"]), settings.get("protocol"),
                          threat=settings["threat"] or client.ThreatModel())
    return update, attack, 1 if name == "rollout" else 2


def operations(graph):
    """The list of operations, with their arguments by place."""
    number = {node: i for i, node in enumerate(graph.nodes)}
    return [(node.op, None if node.op == "placeholder" else node.target,
             fx.map_arg((node.args, node.kwargs), lambda n: f"%{number[n]}"))
            for node in graph.nodes]


# --- the same bytes ------------------------------------------------------------------------------

@pytest.mark.parametrize("name", CASES)
def test_a_graph_that_was_read_gives_the_same_bytes(name, monkeypatch, folder):
    update, attack, R = posed(name, monkeypatch)
    first = attacks.reconstruct(update, attack, restarts=R)
    traced = dict(tracing.GRAPHS)
    assert traced and len(stored(folder)) == len(traced)
    if name == "rollout":
        assert len({key[0][-2] for key in traced}) > 1  # steps, their products, the objective
    only_read(monkeypatch)
    update, attack, R = posed(name, monkeypatch)
    assert digest(attacks.reconstruct(update, attack, restarts=R)) == digest(first)
    assert tracing.GRAPHS.keys() == traced.keys()
    for key, pair in traced.items():
        assert pair is not tracing.GRAPHS[key]
        for mine, other in zip(pair, tracing.GRAPHS[key], strict=True):
            assert repr(operations(mine.graph)) == repr(operations(other.graph))


ANOTHER = """
import sys, pathlib
from lib import batching, sealed
from lib.engine import tracing
sys.path.insert(0, "tests")
import test_graph_files as own
sealed.FOLDER = pathlib.Path(sys.argv[1])
tracing.make_fx = batching._checked = None
update = own.dense_update()
print(*own.digest(own.attacks.reconstruct(update, own.attacks.dlg(2))))
"""


def test_another_process_neither_traces_nor_checks(folder):
    first = digest(attacks.reconstruct(dense_update(), attacks.dlg(2)))
    assert stored(folder) and stored(folder, "check")
    environment = {**os.environ, "PYTHONPATH": str(files.ROOT), "PYTHONHASHSEED": "7"}
    done = subprocess.run([sys.executable, "-c", ANOTHER, str(folder)], cwd=files.ROOT,
                          capture_output=True, text=True, env=environment)
    assert done.stdout.split() == first, done.stderr[-2000:]


def test_without_a_folder_nothing_is_read_or_written(monkeypatch, folder):
    attacks.reconstruct(dense_update(), attacks.dlg(1))
    only_read(monkeypatch)
    monkeypatch.setattr(sealed, "FOLDER", None)
    with pytest.raises(TypeError, match="NoneType"):
        dense_update()
    assert sealed.name_of("graph", ()) is None and sealed.read("a") is None
    sealed.write("a", [])


def test_only_a_checkout_has_a_folder():
    script = """
import pathlib, sys
from lib import files
files.ROOT = pathlib.Path(sys.argv[1])
from lib import sealed
print(sealed.FOLDER)
"""
    done = subprocess.run([sys.executable, "-c", script, "/nowhere"], cwd=files.ROOT,
                          capture_output=True, text=True,
                          env={**os.environ, "PYTHONPATH": str(files.ROOT)})
    assert done.stdout.strip() == "None", done.stderr[-2000:]


# --- never a user's ------------------------------------------------------------------------------

class State:
    scale = 1.0


def own_objective(dummy, shared):
    return State.scale * objectives.l2(dummy, shared)


class Own(nn.Module):
    def __init__(self):
        super().__init__()
        self.dense = nn.Linear(64, 4)

    def forward(self, x):
        return State.scale * self.dense(x.flatten(1))


@pytest.mark.parametrize("how", ["objective", "closure", "partial", "prior", "loss", "model"])
def test_what_is_a_users_never_reaches_the_folder(how, folder):
    attack = {
        "objective": replace(attacks.dlg(1), objective=own_objective),
        "closure": replace(attacks.dlg(1), objective=lambda *given: objectives.l2(*given)),
        "partial": replace(attacks.dlg(1), objective=functools.partial(own_objective)),
        "prior": replace(attacks.dlg(1), priors=((1.0, lambda x: x.square().mean()),)),
    }.get(how, attacks.dlg(1))
    protocol = client.Protocol(loss=lambda y, t: (y - t).square().sum()) if how == "loss" else None
    model = Own() if how == "model" else models.dense(Shape())
    attacks.reconstruct(client.share(model, batch(K=1), protocol), attack)
    assert not stored(folder)
    assert bool(stored(folder, "check")) == (how != "model")
    ours = replace(attacks.dlg(1), objective=functools.partial(objectives.l2))
    attacks.reconstruct(client.share(models.dense(Shape()), batch(K=1)), ours)
    assert len(stored(folder)) == 1


def test_a_graph_of_one_attack_alone_is_not_stored(folder):
    posed = attacks.problem(dense_update(), attacks.dlg(1))
    problems = replace(posed.problems, graphs={})
    engine.evaluator(problems, 2, 1, posed.variables.device)(posed.variables)
    assert problems.graphs and not stored(folder)


# --- what is not believed ------------------------------------------------------------------------

def test_a_file_that_is_not_whole_is_ignored_and_replaced(monkeypatch, folder):
    first = digest(attacks.reconstruct(dense_update(), attacks.dlg(1)))
    path, = stored(folder)
    whole = path.read_bytes()
    seal, _, body = whole.partition(b"\n")
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    deep = b"[" * 100_000
    foreign = body.replace(path.stem.encode(), b"graph-" + b"0" * 64)
    damaged = {"empty": b"", "truncated": whole[:-40], "flipped": bytes(flipped),
               "no seal": body, "another seal": b"0" * 64 + b"\n" + body,
               "binary": bytes(range(256)), "of another key": sealing(foreign),
               "no JSON": sealing(b"import os"), "no document": sealing(b"3"),
               "a list": sealing(b'["name", "holds"]'), "nothing": sealing(b"{}"),
               "too deep": sealing(deep)}
    for how, content in damaged.items():
        path.write_bytes(content)
        assert sealed.read(path.stem) is None, how
        forget(monkeypatch)
        assert digest(attacks.reconstruct(dense_update(), attacks.dlg(1))) == first, how
        assert path.read_bytes() == whole, how
    assert sealed.read(path.stem) is not None
    path.unlink()
    path.mkdir()  # not to be read, nor to be replaced
    forget(monkeypatch)
    assert digest(attacks.reconstruct(dense_update(), attacks.dlg(1))) == first


def sealing(body):
    """What a file would be that holds this text, with a right seal."""
    return hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def changed(document, place, value):
    """A copy of a stored pair of graphs, with one entry replaced."""
    out = copy.deepcopy(document)
    *outer, last = place
    functools.reduce(operator.getitem, outer, out)[last] = value
    return out


X = {"node": 0}
FORGED = {
    "os.system": (("body", "nodes", 0), ["os.system", [{"word": "none"}], {}]),
    "posix": (("body", "nodes", 0, 0), "posix.system.default"),
    "another namespace": (("body", "nodes", 0, 0), "prim.Print.default"),
    "an attribute": (("body", "nodes", 0, 0), "aten.__class__.mro"),
    "a file": (("body", "nodes", 0, 0), "aten.__file__.title"),
    "no overload": (("body", "nodes", 0, 0), "aten.view"),
    "no operation": (("body", "nodes", 0, 0), "aten.no_such_thing.default"),
    "too many parts": (("body", "nodes", 0, 0), "aten.view.default.__call__"),
    "operator": (("body", "nodes", 0, 0), "operator.getitem"),
    "a number": (("body", "nodes", 0, 0), 3),
    "a word": (("body", "nodes", 0), ["aten.from_file.default", [{"word": "here"}], {}]),
    "plain text": (("body", "nodes", 0), ["aten.from_file.default", ["here"], {}]),
    "code in a keyword": (("body", "nodes", 0, 2), {"self=print(1), other": X}),
    "an unknown keyword": (("body", "nodes", 0, 2), {"other_than_these": X}),
    "a keyword of getitem": (("body", "nodes", 0), ["getitem", [X, 0], {"a": X}]),
    "a node to come": (("body", "nodes", 0, 1), [{"node": 10_000}]),
    "a negative node": (("body", "nodes", 0, 1), [{"node": -1}]),
    "a node by truth": (("body", "nodes", 0, 1), [{"node": True}]),
    "an unknown kind": (("body", "nodes", 0, 1), [{"code": "print(1)"}]),
    "two kinds": (("body", "nodes", 0, 1), [{"node": 0, "word": "none"}]),
    "a device": (("body", "nodes", 0, 1), [{"device": "print(1)"}]),
    "a name of torch": (("body", "nodes", 0, 1), [{"torch": "hub"}]),
    "a float": (("body", "nodes", 0, 1), [{"float": "print(1)"}]),
    "an argument with code": (("body", "nodes", 0, 1), "print(1)"),
    "more inputs": (("body", "inputs"), 30),
    "inputs by text": (("body", "inputs"), "2"),
    "more fixed ones": (("prologue", "inputs"), 30),
    "another output": (("prologue", "output"), {"tuple": []}),
    "no nodes": (("body", "nodes"), None),
    "no body": (("body",), None),
}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A stored pair of graphs, with its name and the numbers of its tensors."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealed, "FOLDER", tmp_path_factory.mktemp("graphs"))
        forget(patch)
        attacks.reconstruct(dense_update(), attacks.dlg(1))
        path, = stored(sealed.FOLDER)
        document = sealed.read(path.stem)
        (key,) = tracing.GRAPHS
    moving, fixed = key[1], len(key) - 2 - key[1]
    return document, path.stem, moving, fixed


@pytest.mark.parametrize("how", FORGED)
def test_a_forged_graph_is_ignored(how, whole, folder, capfd):
    document, name, moving, fixed = whole
    sealed.write(name, document)
    assert graph_files.read(name, moving, fixed) is not None
    sealed.write(name, changed(document, *FORGED[how]))
    assert sealed.read(name) is not None
    assert graph_files.read(name, moving, fixed) is None
    assert not capfd.readouterr().out


def test_a_forged_graph_is_replaced(monkeypatch, folder):
    first = digest(attacks.reconstruct(dense_update(), attacks.dlg(1)))
    path, = stored(folder)
    content = path.read_bytes()
    sealed.write(path.stem, changed(sealed.read(path.stem), *FORGED["os.system"]))
    assert path.read_bytes() != content
    forget(monkeypatch)
    assert digest(attacks.reconstruct(dense_update(), attacks.dlg(1))) == first
    assert path.read_bytes() == content


def test_graphs_of_other_numbers_of_tensors_are_ignored(whole, folder):
    document, name, moving, fixed = whole
    sealed.write(name, document)
    assert graph_files.read(name, moving, fixed + 1) is None
    assert graph_files.read(name, moving + 1, fixed) is None


# --- what the format holds -----------------------------------------------------------------------

def graph_of(*calls):
    """A graph of one input and these calls, (operation, arguments, keywords), that gives all."""
    graph = fx.Graph()
    x = graph.placeholder("x")
    nodes = [graph.call_function(target, (x, *args), kwargs) for target, args, kwargs in calls]
    graph.output((x, [*nodes]))
    return graph


def test_every_kind_of_value_comes_back_as_it_was():
    graph = graph_of(
        (ATEN.mul.Scalar, (1 / 3,), {}), (ATEN.mul.Scalar, (-0.0,), {}),
        (ATEN.mul.Scalar, (math.inf,), {}), (ATEN.mul.Scalar, (-math.inf,), {}),
        (ATEN.mul.Scalar, (math.nan,), {}), (ATEN.add.Scalar, (True,), {}),
        (ATEN.add.Scalar, (2**62,), {}), (ATEN.gelu.default, (), {"approximate": "tanh"}),
        (ATEN.sum.dim_IntList, ([0, -1], True), {"dtype": torch.float64}),
        (ATEN.ones_like.default, (), {
            "dtype": torch.bool, "layout": torch.strided, "device": torch.device("cpu"),
            "pin_memory": False, "memory_format": torch.preserve_format}),
        (ATEN.slice.Tensor, (0, None, 1), {}))
    text = json.dumps(graph_files.encoded(graph), allow_nan=False)
    again = graph_files.decoded(json.loads(text))
    assert repr(operations(again.graph)) == repr(operations(graph))
    x = torch.linspace(-1, 1, 6).view(2, 3)
    mine, others = fx.GraphModule(nn.Module(), graph)(x), again(x)
    assert type(others) is tuple and type(others[1]) is list
    for a, b in zip(mine[1], others[1], strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a.isnan(), b.isnan())
        assert torch.equal(torch.signbit(a), torch.signbit(b)) or a.isnan().any()
        assert torch.equal(a.nan_to_num(), b.nan_to_num())


@pytest.mark.parametrize("calls", [
    [(torch.relu, (), {})], [(operator.add, (1,), {})], [(os.system, (), {})],
    [(ATEN.mul, (2.0,), {})], [(ATEN.gelu.default, (), {"approximate": "a file's name"})],
    [(ATEN.mul.Scalar, (1j,), {})], [(ATEN.slice.Tensor, (slice(1),), {})],
    [(torch.ops.prims.sin.default, (), {})]])
def test_another_graph_is_not_stored(calls, folder):
    module = fx.GraphModule(nn.Module(), graph_of(*calls))
    with pytest.raises(graph_files.NotStorable):
        graph_files.encoded(module.graph)
    graph_files.write("graph-a", module, module)
    assert not folder.exists()


def test_a_constant_a_default_and_a_late_input_are_not_stored():
    constant = tracing.make_fx(lambda x: x + torch.tensor([1.0, 2.0]))(torch.zeros(2)).graph
    assert any(node.op == "get_attr" for node in constant.nodes)
    default = fx.Graph()
    default.output(default.placeholder("x", default_value=3))
    late = graph_of((ATEN.neg.default, (), {}))
    late.placeholder("y")  # inputs are numbered first
    for graph in (constant, default, late):
        with pytest.raises(graph_files.NotStorable):
            graph_files.encoded(graph)


# --- the key -------------------------------------------------------------------------------------

def test_the_key_is_of_what_decides(monkeypatch):
    monkeypatch.setattr(sealed, "FOLDER", files.ROOT)
    monkeypatch.setattr(descriptions, "has_replacements", lambda: False)  # of torch's, below
    names = [sealed.name_of("graph", (1,)), sealed.name_of("check", (1,)),
             sealed.name_of("graph", (1.0,)), sealed.name_of("graph", (True,))]
    assert sealed.name_of("graph", (1,)) == names[0]
    python = type("Version", (), {"major": 3, "minor": 99})
    for owner, attribute, value in (
            (torch, "__version__", "2.0"), (sealed, "version", {"torchvision": "0"}.get),
            (sys, "version_info", python), (torch.backends.mkldnn, "enabled", False),
            (torch.backends.cudnn, "enabled", False)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, value)
            names.append(sealed.name_of("graph", (1,)))
    for owner, attribute in ((torch, "get_default_dtype"), (torch, "is_grad_enabled"),
                             (torch, "is_inference_mode_enabled"),
                             (torch, "are_deterministic_algorithms_enabled"),
                             (torch.backends.cpu, "get_cpu_capability")):
        with monkeypatch.context() as patch:
            patch.setattr(owner, attribute, lambda: "another")
            names.append(sealed.name_of("graph", (1,)))
    for device in ("cpu", "cuda"):
        with monkeypatch.context() as patch:
            patch.setattr(torch, "is_autocast_enabled", lambda kind, device=device: kind == device)
            names.append(sealed.name_of("graph", (1,)))
    assert None not in names and len(set(names)) == len(names)


def test_the_text_of_lib_is_part_of_the_key(monkeypatch, tmp_path):
    monkeypatch.setattr(sealed, "FOLDER", tmp_path)
    before = sealed.name_of("graph", ())
    (tmp_path / "lib/engine").mkdir(parents=True)
    for path in ("a.py", "engine/b.py", "notes.md"):
        (tmp_path / "lib" / path).write_text("one")
    monkeypatch.setattr(files, "ROOT", tmp_path)
    assert sealed.name_of("graph", ()) is None  # edited since it was imported
    texts = [sealed._text_of_lib()]
    (tmp_path / "lib/notes.md").write_text("two")
    assert sealed._text_of_lib() == texts[0]
    (tmp_path / "lib/engine/b.py").write_text("two")
    texts.append(sealed._text_of_lib())
    (tmp_path / "lib/engine/b.py").rename(tmp_path / "lib/engine/c.py")
    texts.append(sealed._text_of_lib())
    assert len(set(texts)) == 3
    monkeypatch.setattr(sealed, "TEXT", texts[-1])
    assert sealed.name_of("graph", ()) not in (None, before)


def test_an_edit_of_lib_is_seen_and_a_touch_is_none(monkeypatch, tmp_path):
    """Also where size and time of the file are as before."""
    file = tmp_path / "lib/a.py"
    file.parent.mkdir()
    file.write_text("one")
    monkeypatch.setattr(files, "ROOT", tmp_path)
    monkeypatch.setattr(sealed, "FILES", sealed._files_of_lib())
    monkeypatch.setattr(sealed, "TEXT", sealed._text_of_lib())
    began = file.stat().st_mtime_ns
    assert not sealed._is_edited()
    for text, edited in (("one", False), ("two", True), ("one", False), ("three", True)):
        file.write_text(text)
        os.utime(file, ns=(began, began))
        assert sealed._is_edited() == edited
    file.write_text("one")
    (file.parent / ".#a.py").write_text("an editor's own")
    assert not sealed._is_edited()
    (file.parent / "b.py").touch()
    assert sealed._is_edited()
    (file.parent / "b.py").unlink()
    file.unlink()
    assert sealed._is_edited()


def test_what_has_no_stable_text_has_no_name(monkeypatch, tmp_path):
    monkeypatch.setattr(sealed, "FOLDER", tmp_path)
    text = descriptions.stable_text
    key, _ = descriptions.described((objectives.l2, 0.1, "a", None, True))
    shapes = (torch.Size((2, 3)), torch.float32, torch.device("cuda", 1), nn.Linear)
    assert text((key, shapes)) == (
        "((lib.objectives:l2, (str 'float', float 0.1), (str 'str', str 'a'), "
        "(str 'NoneType', NoneType None), (str 'bool', bool True)), "
        "((int 2, int 3), dtype torch.float32, device cuda:1, torch.nn.modules.linear:Linear))")
    assert text((1,)) != text((True,)) and text(("1",)) != text((1,))
    own = descriptions.described(own_objective)[0]
    for part in (own, own_objective, Own, object(), {}, [1], torch.zeros(1), (own,), lambda: 0):
        assert text((1, part)) is None and sealed.name_of("graph", (1, part)) is None


def test_where_a_function_of_lib_was_replaced_no_file_answers(monkeypatch, folder):
    assert not descriptions.has_replacements()
    first = attacks.reconstruct(dense_update(), attacks.dlg(1)).history.losses[0]
    count = len(stored(folder))
    disguised = functools.wraps(objectives.l2)(lambda *given: 0)
    for owner, name, value in (
            (client, "soft_targets", lambda z: 2 * z.softmax(-1)),
            (formula.Formula, "distance", lambda self, *given: given[1].sum()),
            (nn.functional, "relu", lambda x, inplace=False: 2 * x),
            (nn.Conv2d, "_conv_forward", functools.wraps(nn.Conv2d._conv_forward)(disguised)),
            (torch, "relu", lambda x: 2 * x), (torch.Tensor, "relu", lambda x: 2 * x),
            (client.SharedUpdate, "load", classmethod(lambda *given: None)),
            (objectives, "l2", disguised)):
        with monkeypatch.context() as patch:
            patch.setattr(owner, name, value)
            assert descriptions.has_replacements(), name
            if owner is client:
                forget(patch)
                other = attacks.reconstruct(dense_update(), attacks.dlg(1)).history.losses[0]
                assert not torch.equal(first, other)
    assert len(stored(folder)) == count and not descriptions.has_replacements()


def test_a_graph_of_tensors_in_one_order_is_not_used_for_another(folder):
    """A graph has a view where the strides allow it."""
    found = []
    for order in (torch.contiguous_format, torch.channels_last):
        model = models.lenet(Shape()).to(memory_format=order)
        update = client.share(model, batch(K=1), threat=client.ThreatModel(labels="known"))
        found.append(attacks.reconstruct(update, attacks.idlg(2)).images)
    torch.testing.assert_close(*found, rtol=0, atol=0.01)


# --- the folder ----------------------------------------------------------------------------------

def test_a_folder_that_cannot_be_written_is_no_error(monkeypatch, folder):
    folder.write_text("a file in its place")
    first = digest(attacks.reconstruct(dense_update(), attacks.dlg(1)))
    forget(monkeypatch)

    def full(path):
        raise OSError("no space left on device")

    monkeypatch.setattr(sealed, "FOLDER", folder.parent / "other")
    monkeypatch.setattr(files.os, "fsync", full)
    assert digest(attacks.reconstruct(dense_update(), attacks.dlg(1))) == first
    assert not list((folder.parent / "other").iterdir())
    assert folder.read_text() == "a file in its place"


def test_the_folder_is_bounded_and_the_unused_go_first(monkeypatch, folder):
    monkeypatch.setattr(sealed, "MOST_FILES", 3)
    for number in range(3):
        sealed.write(f"graph-{number}", number)
        os.utime(folder / f"graph-{number}.json", (number, number))
    assert len(stored(folder)) == 3
    assert sealed.read("graph-0") == 0  # and is the last that was used
    sealed.write("graph-3", 3)
    assert [path.stem for path in stored(folder)] == ["graph-0", "graph-2", "graph-3"]
    size = sum(path.stat().st_size for path in stored(folder))
    monkeypatch.setattr(sealed, "MOST_BYTES", size)
    sealed.write("graph-3", 3)
    assert len(stored(folder)) == 3
    monkeypatch.setattr(sealed, "MOST_BYTES", size - 1)
    sealed.write("graph-3", 3)
    assert [path.stem for path in stored(folder)] == ["graph-0", "graph-3"]


def test_the_bounds_are_those_that_are_documented():
    assert (sealed.MOST_FILES, sealed.MOST_BYTES) == (1000, 256 * 2**20)
    assert sealed.FOLDER == files.ROOT / "build/graphs"


# --- the check of a network ----------------------------------------------------------------------

def random_net():
    """Its third layer is random in train mode, and is kept in eval mode."""
    torch.manual_seed(0)  # only what is negative is drawn for
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.RReLU(), nn.Linear(6, 4))


def test_what_the_check_of_a_network_found_is_read(monkeypatch, folder):
    model, notes = batching.ready(random_net(), "train", (1, 8, 8))
    assert notes and len(stored(folder, "check")) == 1
    (first,) = batching._CHECKED.values()
    assert first[1] == ("2",)
    only_read(monkeypatch)
    other, again = batching.ready(random_net(), "train", (1, 8, 8))
    assert again == notes and batching._CHECKED.popitem()[1] == first
    assert [m.training for m in other.modules()] == [m.training for m in model.modules()]
    for net, mode, shape in ((random_net(), "eval", (1, 8, 8)), (random_net(), "train", (1, 4, 16)),
                             (random_net().double(), "train", (1, 8, 8))):
        with pytest.raises(TypeError, match="NoneType"):  # not known
            batching.ready(net, mode, shape)


def test_a_refusal_and_a_users_network_are_not_stored(folder):
    refused = nn.Sequential(nn.Flatten(), nn.Linear(64, 6), nn.LogSoftmax(5))
    with pytest.raises(ValueError, match="LogSoftmax"):
        batching.ready(refused, "eval", (1, 8, 8))
    batching.ready(Own(), "eval", (1, 8, 8))
    assert not stored(folder, "check")


@pytest.mark.parametrize("holds", [
    None, {}, [], [1, [], []], [False, [], [3]], [False, [3], []], [False, [[2]], []],
    [False, ["9"], []], [False, "2", []], [False, ["2"], "note"], [False, ["2"]],
    [False, ["2"], [], []], "text"])
def test_a_forged_check_is_ignored_and_replaced(holds, monkeypatch, folder):
    batching.ready(random_net(), "train", (1, 8, 8))
    path, = stored(folder, "check")
    content = path.read_bytes()
    sealed.write(path.stem, holds)
    forget(monkeypatch)
    batching.ready(random_net(), "train", (1, 8, 8))
    assert path.read_bytes() == content


def test_a_damaged_check_is_ignored_and_replaced(monkeypatch, folder):
    batching.ready(random_net(), "train", (1, 8, 8))
    path, = stored(folder, "check")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"false", b"true "))
    forget(monkeypatch)
    batching.ready(random_net(), "train", (1, 8, 8))
    assert path.read_bytes() == content
