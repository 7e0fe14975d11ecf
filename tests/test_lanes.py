"""The lanes give what torch gives, operation by operation and for whole attacks."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from tiny import Shape, batch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx

from lib import attacks, client, engine, models, objectives, priors
from lib.engine import evaluation, lanes, optimizers
from lib.engine.lanes import build, program, values

pytestmark = pytest.mark.skipif(lanes.library() is None, reason="no compiler: nothing is replaced")


def numbers(*shape, seed=0, positive=False):
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn.abs() + 0.5 if positive else drawn


def in_lanes(function, own, shared=()):
    """The results of `function(dummy, *fixed)` for each problem: own (problems, ...), of which the
    first is the dummy; shared: of all problems."""
    graph = make_fx(lambda *ts: function(*ts))(*(t[0] for t in own), *shared).graph
    fixed = [(t, True) for t in own[1:]] + [(t, False) for t in shared]
    step = lanes.Step(graph, [tuple(own[0].shape[1:])], fixed, len(own[0]))
    return step(own[0])


def by_torch(function, own, shared=()):
    results = [function(*(t[p].double() for t in own), *(t.double() for t in shared))
               for p in range(len(own[0]))]
    return [torch.stack(parts) for parts in zip(*results, strict=True)]


def agree(function, own, shared=(), tolerance=2e-5):
    for mine, right in zip(in_lanes(function, own, shared), by_torch(function, own, shared),
                           strict=True):
        assert mine.shape == right.shape
        largest = max(1.0, float(right.abs().max()))
        torch.testing.assert_close(mine.double(), right, rtol=tolerance, atol=tolerance * largest)


UNARY = {
    "neg": torch.neg, "abs": torch.abs, "sign": torch.sign, "exp": torch.exp,
    "log": lambda x: x.abs().add(0.1).log(), "sqrt": lambda x: x.abs().sqrt(),
    "rsqrt": lambda x: x.abs().add(0.1).rsqrt(), "reciprocal": lambda x: (x.abs() + 1).reciprocal(),
    "sigmoid": torch.sigmoid, "tanh": torch.tanh, "relu": torch.relu, "erf": torch.erf,
    "sin": torch.sin, "cos": torch.cos, "clamp": lambda x: x.clamp(-0.3, 0.4),
    "hardtanh": F.relu6, "leaky": lambda x: F.leaky_relu(x, 0.2), "square": lambda x: x**2,
    "cube": lambda x: x**3, "rsub": lambda x: 1 - x, "scalars": lambda x: (2 * x + 3) / 4 - 1,
    "folded": lambda x: x * (torch.ones_like(x) * 3 - 1),
    "alpha": lambda x: torch.add(x, x, alpha=3),
}


@pytest.mark.parametrize("name", UNARY)
@pytest.mark.parametrize("problems", [1, 11])
def test_elementwise_operations(name, problems):
    agree(lambda x: (UNARY[name](x),), [numbers(problems, 3, 41)])


COMPARED = {name: getattr(torch, name) for name in ("lt", "le", "gt", "ge", "eq", "ne")}


@pytest.mark.parametrize("name", COMPARED)
def test_comparisons_choose(name):
    def function(x, y):
        found = COMPARED[name](x, y)
        return torch.where(found, x, 2 * y), torch.where(~found & (x > 0), x, -1.0)

    x, y = numbers(9, 40).round(), numbers(9, 40, seed=1).round()
    agree(function, [x, y])


def test_operands_are_broadcast():
    x, y, z = numbers(9, 2, 3, 5), numbers(9, 3, 1, seed=1), numbers(2, 1, 5, seed=2)
    agree(lambda x, y, z: ((x + y) * z - y * z, x.mean() * x), [x, y], [z])


def test_extremes_are_torchs():
    x = torch.tensor([[float("nan"), float("inf"), -float("inf"), 90.0, -110.0, 0.0, -0.0, 88.0]])
    for function in (torch.exp, torch.sigmoid, torch.relu, torch.tanh, torch.sign):
        mine, = in_lanes(lambda x, f=function: (f(x),), [x])
        torch.testing.assert_close(mine, function(x), equal_nan=True, rtol=1e-5, atol=1e-37)
    mine, = in_lanes(lambda x: (x.clamp(-1, 1) + torch.maximum(x, -x),), [x])
    torch.testing.assert_close(mine, x.clamp(-1, 1) + torch.maximum(x, -x), equal_nan=True)


def test_reductions():
    x, y = numbers(9, 3, 4, 600), numbers(9, 7200, seed=1)
    agree(lambda x: (x.sum(), x.sum(1), x.sum((0, 2), keepdim=True), x.mean((1, 2)), x.mean(),
                     x.amax(2), x.amax((0, 1), keepdim=True)), [x], tolerance=1e-4)
    agree(lambda x, y: (x.flatten().dot(y), x.transpose(0, 2).sum(0)), [x, y], tolerance=1e-4)


def test_views_cost_no_copy_and_read_right():
    def function(x):
        turned = x.permute(2, 0, 1)
        parts = x.unbind(1)
        return (turned[1:, :, ::2] * 2, turned.reshape(-1, 3).sum(1), parts[1] - parts[0],
                x[:, 1].unsqueeze(0).expand(2, 3, 5) + 0, torch.cat((x, x[:, :2]), 1),
                torch.stack((x, 2 * x), 2))
    agree(function, [numbers(9, 3, 4, 5)])


def test_what_is_empty_adds_nothing():
    def differences(x):
        return (x[:, 1:] - x[:, :-1]).abs().sum() + (x[1:] - x[:-1]).abs().sum()

    agree(lambda x: (differences(x), torch.func.grad(differences)(x)), [numbers(9, 1, 6)])
    agree(lambda x: (differences(x), torch.func.grad(differences)(x)), [numbers(9, 6, 1)])


@pytest.mark.parametrize("shapes", [((1, 7), (7, 30)), ((6, 7), (7, 5)), ((4, 9), (9, 1))])
@pytest.mark.parametrize("whose", ["both", "first", "second"])
def test_products(shapes, whose):
    a, b = shapes
    own_a, own_b = numbers(9, *a), numbers(9, *b, seed=1)
    if whose == "both":
        agree(lambda a, b: (a @ b, torch.addmm(b[0], a, b, alpha=2)), [own_a, own_b])
    elif whose == "first":
        agree(lambda a, b: (a @ b, b.t() @ a.t()), [own_a], [own_b[0]])
    else:
        agree(lambda b, a: (a @ b, torch.bmm(a[None], b[None])), [own_b], [own_a[0]])


CONVOLUTIONS = {  # kernel, stride, padding, dilation, groups
    "plain": (3, 1, 1, 1, 1), "strided": (5, 2, 2, 1, 1), "pointwise": (1, 1, 0, 1, 1),
    "pointwise, strided": (1, 2, 0, 1, 1), "dilated": (3, 1, 2, 2, 1), "groups": (3, 1, 1, 1, 2),
    "depthwise": (3, 2, 1, 1, 4), "wide": (4, 3, 1, 1, 1), "oblong": ((3, 2), (1, 2), (1, 0), 1, 1)}


@pytest.mark.parametrize("name", CONVOLUTIONS)
@pytest.mark.parametrize("whose", ["own", "shared"])
def test_convolutions_and_their_gradients(name, whose):
    kernel, stride, padding, dilation, groups = CONVOLUTIONS[name]
    how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    size = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    x, w = numbers(9, 2, 4, 11, 10), numbers(9, 8, 4 // groups, *size, seed=1)
    bias = numbers(8, seed=2)

    def once(x, w, bias):
        y = F.conv2d(x, w, bias, **how)
        return y, *torch.func.grad(lambda x, w: F.conv2d(x, w, bias, **how).pow(3).sum(),
                                   argnums=(0, 1))(x, w)

    def twice(x, w, bias):
        def inner(x):
            g = torch.func.grad(lambda w: F.conv2d(x, w, bias, **how).sigmoid().sum())(w)
            return g.square().sum()
        return (torch.func.grad(inner)(x),)

    own, shared = ([x, w], [bias]) if whose == "own" else ([x], [w[0], bias])
    agree(once, own, shared, tolerance=3e-4)
    agree(twice, own, shared, tolerance=3e-4)


@pytest.mark.parametrize("stride, padding, more", [(1, 0, 0), (2, 1, 1), (3, 1, 0)])
def test_transposed_convolutions(stride, padding, more):
    how = {"stride": stride, "padding": padding, "output_padding": more}

    def function(x, w):
        return F.conv_transpose2d(x, w, **how), *torch.func.grad(
            lambda x, w: F.conv_transpose2d(x, w, **how).pow(2).sum(), argnums=(0, 1))(x, w)
    agree(function, [numbers(9, 2, 3, 4, 5), numbers(9, 3, 4, 3, 3, seed=1)], tolerance=1e-4)


@pytest.mark.parametrize("pool", [
    lambda x: F.avg_pool2d(x, 2), lambda x: F.avg_pool2d(x, 3, 2, 1),
    lambda x: F.max_pool2d(x, 2), lambda x: F.max_pool2d(x, 3, 2, 1),
    lambda x: F.max_pool2d(x, 3, 1)])
def test_pooling_and_its_gradients(pool):
    def function(x, w):
        def inner(x, w):
            g = torch.func.grad(lambda w: pool(x * w).sigmoid().sum())(w)
            return g.square().sum()
        return pool(x), torch.func.grad(lambda x: pool(x).pow(2).sum())(x), \
            torch.func.grad(inner)(x, w)
    agree(function, [numbers(9, 2, 3, 7, 8), numbers(9, 2, 3, 7, 8, seed=1, positive=True)],
          tolerance=1e-4)


def test_softmax_and_its_gradients():
    def function(x, t):
        def loss(x):
            return -(t * x.log_softmax(-1)).sum(-1).mean() + x.softmax(0).square().sum()

        return loss(x), torch.func.grad(loss)(x), torch.func.grad(
            lambda x: torch.func.grad(loss)(x).pow(2).sum())(x)
    agree(function, [numbers(9, 4, 6), numbers(9, 4, 6, seed=1)])


def test_what_is_written_into_is_as_torch_writes():
    def function(x):
        y = x * 2
        z = y + 1
        y += z
        return y.relu_() * z, y
    agree(function, [numbers(9, 5, 6)])


def test_writing_into_what_another_value_shares_is_refused():
    def function(x):
        y = x * 2
        first = y[0]
        y += 1
        return (first * y,)
    with pytest.raises(lanes.Unsupported, match="shares"):
        in_lanes(function, [numbers(9, 5, 6)])


@pytest.mark.parametrize("function", [torch.cumsum, torch.sort])
def test_what_has_no_rule_is_refused(function):
    with pytest.raises(lanes.Unsupported, match="aten"):
        in_lanes(lambda x: (function(x, 0)[0],), [numbers(2, 4)])


def test_places_of_the_arena_that_live_at_once_do_not_overlap():
    one = program.Program()
    x = values.whole((100,))
    y = one.elementwise("neg", (100,), x)
    total = one.reduction(program.SUM, y, y, [0])
    z = one.elementwise("add", (100,), y, total)
    code, size = one.layout([x], [z])
    places = sorted((v.buffer.at, v.numel) for v in (y, total, z))
    assert all(a + n <= b for (a, n), (b, _) in zip(places, places[1:], strict=False))
    assert x.buffer.at is not None and size < 401 and len(code) > 0


# --- whole attacks -------------------------------------------------------------------------------

VICTIMS = {
    "lenet": models.lenet, "lenet, ReLU": lambda s: models.lenet(s, activation="relu"),
    "resnet": lambda s: models.resnet(s, 8, 4), "convnet": lambda s: models.convnet(s, width=4),
    "preact": lambda s: models.preact_resnet(s, width=4),
    "imagenet": lambda s: models.imagenet_resnet(s, 18, width=4), "dense": models.dense}
KNOWN = {"threat": client.ThreatModel(labels="known")}


def posed(victim, attack, K=3, R=1, double=False, B=1, **share):
    model = VICTIMS[victim](Shape((3, 16, 16)))
    b = batch(K=K, B=B, shape=(3, 16, 16), dtype=torch.float64 if double else torch.float32)
    update = client.share(model.double() if double else model, b, **KNOWN, **share)
    return attacks.problem(update, attack, R, seed=0)


def evaluated(p, K, R):
    evaluate = engine.evaluator(p.problems, K, R, p.variables.device)
    return (*evaluate(p.variables), evaluate)


@pytest.mark.parametrize("victim", VICTIMS)
@pytest.mark.parametrize("B", [1, 3])
def test_objective_and_gradient_are_near_those_of_float64(victim, B):
    attack = attacks.inverting_gradients(1, tv=0.1)
    mine = posed(victim, attack, K=5, B=B)
    right = posed(victim, attack, K=5, B=B, double=True)
    right.variables.copy_(mine.variables)
    loss, g, used = evaluated(mine, 5, 1)
    assert isinstance(used, evaluation._InLanes)
    loss64, g64, without = evaluated(right, 5, 1)
    assert not isinstance(without, evaluation._InLanes)
    torch.testing.assert_close(loss.double(), loss64, rtol=1e-4, atol=1e-5)
    assert float(((g - g64).norm(dim=-1) / g64.norm(dim=-1)).max()) < 1e-4


MORE = {
    "DLG": attacks.dlg(), "by layers": attacks.inverting_gradients(1, objective="layer_cosine"),
    "masked": attacks.inverting_gradients(1, masked=True),
    "priors": replace(attacks.dlg(), objective=objectives.cosine, priors=((0.1, priors.tv),))}


@pytest.mark.parametrize("name", MORE)
def test_every_attack_is_as_without_lanes(name, monkeypatch):
    p = posed("lenet", MORE[name], K=3, R=2)
    loss, g, used = evaluated(p, 3, 2)
    assert isinstance(used, evaluation._InLanes)
    monkeypatch.setattr(lanes, "library", lambda: None)
    right, g_right, without = evaluated(p, 3, 2)
    assert not isinstance(without, evaluation._InLanes)
    torch.testing.assert_close(loss, right, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(g, g_right, rtol=2e-3, atol=float(g_right.abs().max()) * 1e-3)


def test_each_client_has_its_own_network(monkeypatch):
    K = 3
    model = models.ensemble(models.lenet, Shape(), range(K))
    update = client.share(model, batch(K=K))
    p = attacks.problem(update, attacks.dlg(), 1, seed=0)
    loss, g, _ = evaluated(p, K, 1)
    monkeypatch.setattr(lanes, "library", lambda: None)
    right, g_right, _ = evaluated(p, K, 1)
    torch.testing.assert_close(loss, right, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(g, g_right, rtol=2e-3, atol=float(g_right.abs().max()) * 1e-3)


def test_bytes_depend_neither_on_threads_nor_on_the_number_of_clients():
    p = posed("lenet", attacks.dlg(), K=19)
    seen, before = [], torch.get_num_threads()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            seen.append(evaluated(p, 19, 1)[:2])
    finally:
        torch.set_num_threads(before)
    for loss, g in seen[1:]:
        assert torch.equal(loss, seen[0][0]) and torch.equal(g, seen[0][1])
    keep = torch.tensor([2, 17])
    few = engine.evaluator(p.problems.select(keep), 2, 1, p.variables.device)
    loss, g = few(p.variables[keep])
    assert torch.equal(loss, seen[0][0][keep]) and torch.equal(g, seen[0][1][keep])


def test_one_group_is_shared_by_threads():
    p = posed("resnet", attacks.inverting_gradients(1), K=4)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = evaluated(p, 4, 1)[:2]
        torch.set_num_threads(3)
        together = evaluated(p, 4, 1)[:2]
    finally:
        torch.set_num_threads(before)
    for a, b in zip(alone, together, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("history", [3, 100])  # filled and wrapped, or not yet
@pytest.mark.parametrize("n", [5, 37, 64])
def test_directions_of_lbfgs_are_as_without_lanes(history, n, monkeypatch):
    curved = torch.linspace(1, 50, n)
    others = torch.tensor([1.0, 0.5, 3.0])[:, None, None]

    def bowl(v):  # the third problem starts at its minimum and takes in no pair
        return (others * curved * v**2 / 2).sum(-1), others * curved * v

    ends = []
    for has in (lanes.has_directions, lambda g: False):
        monkeypatch.setattr(lanes, "has_directions", has)
        start = numbers(3, 1, n) * torch.tensor([1.0, 1.0, 0.0])[:, None, None]
        optimizer = optimizers.LBFGS(start, lr=0.5, max_iter=6, history=history)
        for _ in range(2):
            optimizer.step(bowl)
        ends.append((optimizer.v, optimizer.d, optimizer.SY, optimizer.YY))
    assert int(optimizer.count.max()) > 3
    for mine, right in zip(*ends, strict=True):
        torch.testing.assert_close(mine, right, rtol=2e-3, atol=1e-4 * float(right.abs().max()))


class Odd(nn.Module):
    """A network with an operation that the lanes have no rule for."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(64, 4)

    def forward(self, x):
        return self.layer(x.flatten(1).cumsum(1))


def test_other_networks_run_as_before():
    update = client.share(Odd(), batch(K=4), **KNOWN)
    p = attacks.problem(update, attacks.dlg(), 1, seed=0)
    loss, _, used = evaluated(p, 4, 1)
    assert not isinstance(used, evaluation._InLanes) and bool(loss.isfinite().all())


def test_a_fixed_rule_decides():
    p = posed("lenet", attacks.dlg(), K=1)
    cpu = torch.device("cpu")
    large = replace(p.problems, flops=2 * evaluation.SMALL_FLOPS)
    assert evaluation._gains_in_lanes(p.problems, 1, cpu)
    assert not evaluation._gains_in_lanes(large, evaluation.FEWEST - 1, cpu)
    assert evaluation._gains_in_lanes(large, evaluation.FEWEST, cpu)
    assert not evaluation._gains_in_lanes(replace(large, flops=1e10), 64, cpu)
    assert not evaluation._gains_in_lanes(p.problems, 1, torch.device("meta"))


@pytest.mark.parametrize("setting", [{"LANES": "0"}, {"CXX": "no-such-compiler", "PATH": ""}])
def test_without_a_compiler_there_are_no_lanes(setting):
    code = "from lib.engine import lanes; assert lanes.library() is None"
    root = Path(__file__).parents[1]
    subprocess.run([sys.executable, "-c", code], check=True, cwd=root, env=os.environ | setting)


def test_a_compiler_that_fails_is_as_none(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "_FOLDER", tmp_path)
    monkeypatch.setattr(build, "FLAGS", ["--no-such-flag"])
    build.library.cache_clear()
    try:
        assert build.library() is None
        assert not list(tmp_path.iterdir())
    finally:
        build.library.cache_clear()


@pytest.mark.parametrize("quiet, said", [("1", 0), ("", 1)])
def test_compiling_is_said_once_unless_quiet(quiet, said, monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(build, "_FOLDER", tmp_path)
    monkeypatch.setenv("QUIET", quiet)
    monkeypatch.setattr(build, "_compile", lambda compiler, file: None)  # no library comes of it
    build.library.cache_clear()
    try:
        assert build.library() is None
        assert len(caplog.records) == said
    finally:
        build.library.cache_clear()


def test_a_forked_process_hires_threads_of_its_own():
    p = posed("lenet", attacks.dlg(), K=9)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        evaluate = engine.evaluator(p.problems, 9, 1, p.variables.device)
        evaluate(p.variables)
        child = os.fork()
        if child == 0:
            evaluate(p.variables)
            os._exit(7)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
    finally:
        torch.set_num_threads(before)
