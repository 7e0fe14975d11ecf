"""The engine's truths: right gradients, batched equals one by one, chunked equals unchunked."""

import contextlib
import functools
import warnings
from dataclasses import dataclass, replace

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import (
    attacks,
    client,
    descriptions,
    engine,
    formula,
    models,
    objectives,
    priors,
    sealed,
)
from lib.engine import optimizers, tracing


def update_of(model, b, **kwargs):
    return client.share(model.double(), b, **kwargs)


def problem(attack, K=3, R=1, B=1, build=models.lenet, **share):
    b = batch(K=K, B=B, dtype=torch.float64)
    update = update_of(build(Shape()), b, **share)
    posed = attacks.problem(update, attack, R, seed=0)
    return posed.problems, posed.variables


ATTACKS = {
    "dlg": attacks.dlg(),
    "inverting_gradients": attacks.inverting_gradients(labels="idlg_bias"),  # tanh below
    "cosine, joint labels": replace(
        attacks.dlg(), objective=objectives.cosine, priors=((0.1, priors.tv),)
    ),
}
ATTACKS["relative, scaled"] = attacks.dlg(relative=True, scale=10.0)
KNOWN = {"threat": client.ThreatModel(labels="known")}


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize(
    "build", [models.lenet, lambda s: models.resnet(s, 8, 4, activation="tanh")]
)
def test_gradient_of_the_objective_equals_finite_differences(name, build):
    problems, v = problem(ATTACKS[name], K=2, build=build)
    evaluate = engine.evaluator(problems, 2, 1, v.device)
    loss, g = evaluate(v)
    torch.manual_seed(0)
    for _ in range(3):
        d = torch.randn_like(v) / v.shape[-1] ** 0.5
        h = 1e-6
        slope = (evaluate(v + h * d)[0] - evaluate(v - h * d)[0]) / (2 * h)
        torch.testing.assert_close((g * d).sum(-1), slope, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("R", [1, 3])
def test_traced_and_batched_equal_the_formula_one_by_one(R):
    problems, v = problem(ATTACKS["dlg"], K=3, R=R, B=2)
    loss, g = engine.evaluator(problems, 3, R, v.device)(v)
    for k in range(3):
        for r in range(R):
            u = v[k, r].clone().requires_grad_()
            x, z = problems.split(u)
            own = {n: t[k] for n, t in problems.per_client.items()}
            one = problems.objective(x, z, problems.shared, own)
            torch.testing.assert_close(loss[k, r], one.detach())
            torch.testing.assert_close(g[k, r], torch.autograd.grad(one, u)[0])


def test_one_by_one_strategy_gives_the_same(monkeypatch):
    problems, v = problem(ATTACKS["inverting_gradients"], K=3, R=2)
    batched = engine.evaluator(problems, 3, 2, v.device)(v)
    monkeypatch.setattr(engine.problems, "ONE_BY_ONE_FLOPS", 0.0)
    for a, b in zip(batched, engine.evaluator(problems, 3, 2, v.device)(v), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("name", ["dlg", "inverting_gradients"])
@pytest.mark.parametrize("victims", ["one", "ensemble"])
def test_batched_equals_one_by_one_and_chunked_equals_unchunked(name, victims):
    attack = replace(ATTACKS[name], iterations=20 if name != "dlg" else 1)
    b = batch(K=3, dtype=torch.float64)
    model = (
        models.lenet(Shape())
        if victims == "one"
        else models.ensemble(models.lenet, Shape(), range(3))
    )
    update = update_of(model, b, **KNOWN)
    whole = attacks.reconstruct(update, attack, restarts=2, record=[0, attack.iterations])
    chunked = attacks.reconstruct(update, attack, restarts=2, chunk=2)
    torch.testing.assert_close(whole.last, chunked.last, rtol=1e-8, atol=1e-8)
    assert torch.equal(whole.history.images[attack.iterations], whole.last)
    x, z = attacks.starts(update, attack, 2, 0)
    assert torch.allclose(
        whole.history.images[0], client.to_input(x, attack.normalise, False, b.mean, b.std)
    )
    for k in range(3):
        only = data_of(b, k)
        one_model = models.lenet(Shape()) if victims == "one" else models.lenet(Shape(), seed=k)
        alone = attacks.reconstruct(
            update_of(one_model, only, **KNOWN), attack, restarts=2, start=(x[k : k + 1], None)
        )
        torch.testing.assert_close(alone.last[0], whole.last[k], rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(alone.loss[0], whole.loss[k], rtol=1e-8, atol=1e-8)


def data_of(b, k):
    return type(b)(b.images[k : k + 1], b.labels[k : k + 1], b.num_classes, mean=b.mean, std=b.std)


@pytest.mark.parametrize("history,steps", [(100, 3), (5, 3)])
def test_lbfgs_walks_the_path_of_torch(history, steps):
    problems, v = problem(ATTACKS["dlg"], K=1)
    evaluate = engine.evaluator(problems, 1, 1, v.device)
    ours = optimizers.LBFGS(v.clone(), history=history)
    theirs = v.clone().requires_grad_()
    torchs = torch.optim.LBFGS([theirs], history_size=history)

    def closure():
        loss, g = evaluate(theirs.detach())
        theirs.grad = g
        return loss

    for _ in range(steps):
        mine = ours.step(evaluate)
        torch.testing.assert_close(
            mine.flatten()[0], torchs.step(closure).flatten()[0], rtol=1e-5, atol=1e-9
        )
    torch.testing.assert_close(ours.v, theirs.detach(), rtol=1e-5, atol=1e-6)


def quadratic(scale):
    """K problems of different curvature: minimum at 1, exactly solvable."""
    scale = torch.as_tensor(scale, dtype=torch.float64)[:, None, None]

    def evaluate(v):
        return (scale * (v - 1).square()).sum(-1), 2 * scale * (v - 1)

    return evaluate


def test_each_lbfgs_problem_converges_on_its_own_and_finishes():
    evaluate, v = quadratic([0.1, 1.0, 10.0]), torch.zeros(3, 1, 4, dtype=torch.float64)
    optimizer = optimizers.LBFGS(v)
    for _ in range(15):
        optimizer.step(evaluate)
    assert optimizer.finished.all()
    torch.testing.assert_close(optimizer.v, torch.ones_like(v), rtol=0, atol=1e-6)


def test_line_search_never_goes_up():
    problems, v = problem(ATTACKS["dlg"], K=4)
    evaluate = engine.evaluator(problems, 4, 1, v.device)
    optimizer, before = optimizers.LBFGS(v, line_search=True), None
    for _ in range(4):
        loss = optimizer.step(evaluate)
        assert before is None or (loss <= before + 1e-12).all()
        before = loss


def test_signed_adam_with_decay_and_box_equals_torchs():
    torch.manual_seed(0)
    target, v = torch.randn(2, 1, 6), torch.zeros(2, 1, 6)
    low, high = torch.full((6,), -0.5), torch.full((6,), 0.5)
    ours = optimizers.Adam(v.clone(), 0.1, 24, images=6, signed=True, decay=True, box=(low, high))
    x = v.clone().requires_grad_()
    adam = torch.optim.Adam([x], lr=0.1)
    marks = [int(24 // 2.667), int(24 // 1.6), int(24 // 1.142)]
    schedule = torch.optim.lr_scheduler.MultiStepLR(adam, marks, gamma=0.1)
    for _ in range(24):
        ours.step(lambda v: ((v - target).square().sum(-1), 2 * (v - target)))
        x.grad = torch.sign(2 * (x.detach() - target))
        adam.step()
        schedule.step()
        with torch.no_grad():
            x.clamp_(-0.5, 0.5)
    torch.testing.assert_close(ours.v, x.detach())


class Diverging:
    """Client 1 turns non-finite at iteration 5; client 0 converges; both in one batch."""

    calls = 0

    def __call__(self, v):
        self.calls += 1
        bad = torch.zeros(len(v), 1)
        if self.calls > 5:
            bad[-1] = torch.nan
        return (v - 1).square().sum(-1) + bad, 2 * (v - 1) + bad[..., None]


def test_non_finite_problems_keep_their_best_state_and_leave(monkeypatch):
    def one(v):
        return (v - 1).square().sum(-1), 2 * (v - 1)

    start, two = torch.zeros(2, 1, 3), Diverging()
    monkeypatch.setattr(engine.loop, "evaluator", lambda p, K, R, d: two if K == 2 else one)
    problems = engine.Problems(None, {}, {}, (1, 1, 1, 3), None, ())
    out = engine.minimise(
        problems, start, lambda v: optimizers.Adam(v, 0.05, 40, 3), 40, record=[0, 39]
    )
    assert torch.isfinite(out.best).all() and torch.isfinite(out.best_loss).all()
    assert out.best_loss[1] < 3 and out.evaluations[1] < out.evaluations[0]
    assert out.best_loss[0] < 1e-2
    assert torch.isnan(out.losses[6:, 1]).all(), "a diverged problem is not painted over"
    assert out.states[39].shape == (2, 1, 3) and torch.isfinite(out.losses[-1, 0]).all()


def test_graphs_are_reused_over_weights_and_refused_over_other_models():
    b = batch(K=2, dtype=torch.float64)
    attack = replace(ATTACKS["dlg"], iterations=1)
    tracing.GRAPHS.clear()  # full, it would forget one for each new one
    attacks.reconstruct(update_of(models.lenet(Shape()), b), attack)
    n = len(tracing.GRAPHS)
    attacks.reconstruct(update_of(models.lenet(Shape(), seed=3), b), attack)
    assert len(tracing.GRAPHS) == n
    attacks.reconstruct(update_of(models.lenet(Shape(), activation="tanh"), b), attack)
    assert len(tracing.GRAPHS) > n


class Scaled(torch.nn.Module):
    """Differs from its twin by a private attribute and an integer buffer alone."""

    def __init__(self, scale, order):
        super().__init__()
        self._scale, self.dense = scale, torch.nn.Linear(64, 4)
        torch.nn.init.constant_(self.dense.weight, 0.01)
        self.register_buffer("order", order)

    def forward(self, x):
        return self.dense((x.flatten(1)[:, self.order] * self._scale).tanh())


def test_graphs_are_not_shared_by_models_that_look_alike():
    b, attack = batch(K=2, dtype=torch.float64), replace(ATTACKS["dlg"], iterations=1)
    orders = torch.arange(64), torch.arange(64).flip(0)
    for scale, order in ((1.0, orders[0]), (2.0, orders[0]), (1.0, orders[1])):
        update = update_of(Scaled(scale, order), b)
        x, z = attacks.starts(update, attack)
        problems = attacks.problem(update, attack).problems
        loss, _ = engine.evaluator(problems, 2, 1, x.device)(problems.join(x, z))
        for k in range(2):
            own = {n: t[k] for n, t in problems.per_client.items()}
            one = problems.objective(x[k, 0], z[k, 0], problems.shared, own)
            torch.testing.assert_close(loss[k, 0], one)


def test_a_chunk_that_does_not_fit_is_halved():
    seen = []

    def attack(clients):
        n = clients.stop - clients.start
        if n > 2:
            raise torch.cuda.OutOfMemoryError
        seen.append(n)
        v = torch.arange(clients.start, clients.stop).view(-1, 1, 1).float()
        return engine.Outcome(v, v[..., 0], v, v[..., 0][None], {0: v}, v[..., 0])

    out = engine.joined(engine.of_chunks(7, None, attack))
    assert seen == [2, 2, 2, 1] and out.best.flatten().tolist() == list(range(7))
    with pytest.raises(torch.cuda.OutOfMemoryError):
        engine.of_chunks(1, None, lambda clients: attack(slice(0, 3)))


def test_in_turn_moves_one_image_an_iteration_and_gets_there():
    torch.manual_seed(0)
    A = torch.randn(6, 6, dtype=torch.float64)
    A = A @ A.T + torch.eye(6, dtype=torch.float64)  # one convex bowl over both images
    v = torch.randn(3, 1, 6, dtype=torch.float64)

    def evaluate(v):
        return 0.5 * (v @ A * v).sum(-1), v @ A

    blocks = [torch.tensor([0, 1, 2]), torch.tensor([3, 4, 5])]
    optimizer = optimizers.InTurn(v.clone(), blocks)
    for turn in range(4):
        before = optimizer.v.clone()
        optimizer.step(evaluate)
        still, moved = blocks[(turn + 1) % 2], blocks[turn % 2]
        assert torch.equal(optimizer.v[..., still], before[..., still])
        assert not torch.equal(optimizer.v[..., moved], before[..., moved])
    for _ in range(60):
        optimizer.step(evaluate)
    assert evaluate(optimizer.v)[0].max() < 1e-8
    optimizer.select(torch.tensor([True, False, True]))
    optimizer.step(evaluate)
    assert optimizer.v.shape == (2, 1, 6) and optimizer.finished.shape == (2, 1)


def test_the_variables_of_each_image_are_its_pixels_and_its_logits():
    problems, v = problem(ATTACKS["dlg"], K=1, B=2)
    blocks = problems.of_each_image(v.device)
    assert sorted(torch.cat(blocks).tolist()) == list(range(v.shape[-1]))
    marked = torch.zeros_like(v)
    marked[..., blocks[1]] = 1
    x, z = problems.split(marked)
    assert (x[..., 0, :, :, :] == 0).all() and (x[..., 1, :, :, :] == 1).all()
    assert (z[..., 0, :] == 0).all() and (z[..., 1, :] == 1).all()


def test_a_converged_problems_objective_is_that_of_its_last_state():
    class Bowl:
        is_one_evaluation = False
        finished = broken = torch.zeros(2, 1, dtype=torch.bool)

        def __init__(self, v):
            self.v = v

        def step(self, evaluate):
            loss = evaluate(self.v)[0]
            self.v = torch.zeros_like(self.v)
            self.finished = torch.ones(2, 1, dtype=torch.bool)
            return loss

    problems, v = problem(ATTACKS["dlg"], K=2)
    out = engine.minimise(problems, v, Bowl, 3)
    at_zero = engine.evaluator(problems, 2, 1, v.device)(torch.zeros_like(v))[0]
    torch.testing.assert_close(out.losses[1:], at_zero.expand(3, 2, 1))
    assert (out.evaluations == 1).all()


@pytest.mark.parametrize("alone", [False, True])
@pytest.mark.parametrize(("labels", "R", "epochs", "victim"), [
    ("known", 2, 2, lambda: models.dense(Shape(), hidden=(6,))),
    ("unknown", 1, 2, lambda: models.ensemble(models.dense, Shape(), range(2))),
    ("known", 1, 1, lambda: nn.Sequential(nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(),
                                          nn.Flatten(), nn.Linear(3 * 36, 4)).eval())])
def test_local_steps_one_at_a_time_equal_one_graph(monkeypatch, labels, R, epochs, victim, alone):
    protocol = client.Protocol(
        sends="weights", local_lr=0.3, epochs=epochs, local_batch=2, normalise=True)
    torch.manual_seed(0)
    model = victim()
    b = batch(K=2, B=3, dtype=torch.float64)  # the last local batch has one image
    u = update_of(model, b, protocol=protocol, threat=client.ThreatModel(labels=labels))
    attack = attacks.dlg(iterations=2) if labels == "unknown" else \
        attacks.inverting_gradients(objective="cosine" if R == 1 else "l2")
    x, z = attacks.starts(u, attack, R, seed=0)
    found = []
    for steps in (2 * epochs, 2 * epochs - 1):  # all in one graph, one at a time
        monkeypatch.setattr(formula, "UNROLLED_STEPS", steps)
        problems = attacks.problem(u, attack, R, seed=0).problems
        assert (problems.rollout is None) == (steps == 2 * epochs)
        if alone and problems.rollout:
            monkeypatch.setattr(engine.problems, "ONE_BY_ONE_FLOPS", 0)
        evaluate = engine.evaluator(problems, 2, R, x.device)
        found.append(evaluate(problems.join(x, z)))
    for flat, rolled in zip(*found, strict=True):
        torch.testing.assert_close(rolled, flat, rtol=1e-9, atol=1e-12)


# --- what is kept from one attack to the next ----------------------------------------------------

class State:
    """What the callables below read from outside."""

    alpha = 1.0


def own_objective(dummy, shared):
    return State.alpha * objectives.l2(dummy, shared)


def own_prior(x):
    return State.alpha * x.square().mean()


@functools.wraps(objectives.l2)
def in_disguise(dummy, shared):  # says that it is lib's
    return own_objective(dummy, shared)


@dataclass
class Weighted:  # not to be hashed
    weight: float = 1.0

    def __call__(self, *given):
        value = objectives.l2(*given) if len(given) == 2 else given[0].square().mean()
        return self.weight * value


def nothing(dummy, shared):
    return 0 * objectives.l2(dummy, shared)


WEIGHTED = Weighted()
CHANGING = {
    "function": {"objective": own_objective},
    "closure": {"objective": lambda dummy, shared: own_objective(dummy, shared)},
    "object": {"objective": WEIGHTED},
    "in disguise": {"objective": in_disguise},
    "masked": {"objective": objectives.masked(own_objective)},
    "masked and scaled": {"objective": objectives.masked(objectives.scaled(WEIGHTED, 2))},
    "partial": {"objective": functools.partial(own_objective)},
    "prior": {"objective": nothing, "priors": ((1.0, own_prior),)},
    "prior object": {"objective": nothing, "priors": ((1.0, WEIGHTED),)},
}


@pytest.fixture
def changing():
    """Sets what the callables read; as it was after the test."""
    def change(value):
        State.alpha = WEIGHTED.weight = value

    yield change
    change(1.0)


@pytest.mark.parametrize("name", CHANGING)
def test_own_callables_are_seen_as_they_are_now(name, changing):
    update = client.share(models.lenet(Shape()), batch(K=1))
    attack = replace(attacks.dlg(1), **CHANGING[name])
    first = attacks.reconstruct(update, attack).history.losses[0]
    changing(100.0)
    torch.testing.assert_close(attacks.reconstruct(update, attack).history.losses[0], 100 * first)


def test_the_arguments_of_a_partial_are_seen_as_they_are_now():
    update = client.share(models.lenet(Shape()), batch(K=1))
    held = functools.partial(objectives._scaled, objectives.l2)
    partial = functools.partial(lambda dummy, shared, factor=1.0: factor * held(
        1.0, dummy, shared), factor=1.0)
    ours = functools.partial(objectives._scaled, objectives.l2, 1.0)
    found = []
    for factor in (1.0, 100.0):
        partial.keywords["factor"] = factor
        attack = replace(attacks.dlg(1), objective=partial)
        found.append(attacks.reconstruct(update, attack).history.losses[0])
    torch.testing.assert_close(found[1], 100 * found[0])
    kept = descriptions.described(ours)
    assert kept[1] and kept == descriptions.described(objectives.scaled(objectives.l2, 1.0))
    assert kept != descriptions.described(objectives.scaled(objectives.l2, 2.0))


class Gained(nn.Module):
    """A user's model that reads an attribute that is no tensor, and a global one."""

    def __init__(self):
        super().__init__()
        self.settings, self.dense = {"gain": 1.0}, nn.Linear(64, 4)

    def forward(self, x):
        return State.alpha * self.settings["gain"] * self.dense(x.flatten(1))


def test_own_models_and_losses_are_seen_as_they_are_now(changing):
    for how in ("attribute", "global", "hook", "forward", "loss"):
        model = nn.Sequential(Gained()) if how in ("attribute", "global") else models.dense(Shape())
        protocol = client.Protocol(loss=lambda y, target: State.alpha * (
            y - target).square().sum()) if how == "loss" else client.Protocol()
        if how == "hook":
            model[-1].register_forward_hook(lambda m, given, out: State.alpha * out)
        if how == "forward":
            model[-1].forward = lambda x, dense=model[-1]: State.alpha * torch.nn.functional.linear(
                x, dense.weight, dense.bias)
        update = client.share(model, batch(K=1), protocol)
        for value in (1.0, 3.0):
            if how == "attribute":
                update.model[0].settings["gain"] = value
            else:
                changing(value)
            x, z = attacks.starts(update, attacks.dlg(1))
            traced = attacks.reconstruct(update, attacks.dlg(1)).history.losses[0, 0, 0]
            g = attacks.dummy_gradients(update, x[:, 0], z[:, 0])
            torch.testing.assert_close(traced, objectives.l2(g, update.gradients), msg=how)
        changing(1.0)


def test_libs_own_attacks_are_traced_once(monkeypatch):
    counted, make_fx = [], tracing.make_fx
    monkeypatch.setattr(tracing, "make_fx", lambda f: counted.append(f) or make_fx(f))
    monkeypatch.setattr(sealed, "FOLDER", None)  # another process's graphs would not be counted
    tracing.GRAPHS.clear()
    protocol = client.Protocol(normalise=True)
    every = [attacks.dlg(1), attacks.dlg(1, line_search=True, scale=10.0), attacks.idlg(1),
             attacks.inverting_gradients(1, masked=True), attacks.huang(1, bn=0),
             attacks.mixing_gradients(1, tv=0.1, orthogonality=0.1)]
    networks = {models.lenet(Shape()): every, models.resnet(Shape(), 8, 4): every[3:4]}
    for model, tried in networks.items():
        update = client.share(model, batch(K=2), protocol)
        for attack in tried:
            attacks.reconstruct(update, attack)
            before = len(counted)
            attacks.reconstruct(client.share(model, batch(K=2, seed=1), protocol), attack)
            assert len(counted) == before, attack.name
    assert len(counted) == len(every) + 1
    own = replace(attacks.inverting_gradients(40), objective=own_objective)
    before = len(counted)
    update = client.share(models.lenet(Shape()), batch(K=4), protocol)
    attacks.reconstruct(update, own, chunk=2)
    assert len(counted) == before + 1  # of a user's own: once an attack, chunks included


# --- why a problem ended -------------------------------------------------------------------------

def test_why_each_problem_ended():
    update = client.share(models.lenet(Shape(), init="normal", scale=0.5, channels=16), batch(K=3))
    few = attacks.reconstruct(update, attacks.dlg(2), restarts=2)
    assert few.ended == [["budget"] * 2] * 3 and "6 by budget" in repr(few)
    many = attacks.reconstruct(update, attacks.dlg(60), restarts=2, chunk=2)
    losses = many.history.losses
    for k in range(3):
        for r in range(2):
            matched = losses[-1, k, r] <= engine.CONVERGED * losses[0, k, r]
            assert (many.ended[k][r] == "converged") == bool(matched)
    assert "converged" in sum(many.ended, [])
    adam = attacks.reconstruct(update, replace(attacks.dlg(3), optimizer="adam", lr=0.1))
    assert adam.ended == [["budget"]] * 3
    early = attacks.reconstruct(update, attacks.dlg(60, stop=1e6))
    assert early.ended == [["converged"]] * 3 and (early.evaluations < 60).all()


@pytest.mark.parametrize("line_search", [False, True])
@pytest.mark.parametrize("in_turn", [False, True])
def test_a_flat_place_is_a_tolerance(line_search, in_turn):
    def far(dummy, shared):  # a minimum that does not match: 1 is left
        return 1 + objectives.l2(dummy, shared)

    update = client.share(models.lenet(Shape()), batch(K=2, B=2), threat=client.ThreatModel(
        labels="known"))
    attack = replace(attacks.dlg(60, line_search=line_search, in_turn=in_turn, labels="idlg"),
                     objective=far)
    assert "tolerance" in sum(attacks.reconstruct(update, attack, 2).ended, [])


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs", "in turn"])
def test_what_diverges_is_not_finite_beside_what_does_not(monkeypatch, optimizer):
    def gone(v):
        bad = torch.zeros(len(v), 1)
        if len(v) == 2 and gone.calls > 5:
            bad[-1] = torch.nan
        gone.calls += 1
        return (v - 1).square().sum(-1) + bad, 2 * (v - 1) + bad[..., None]

    gone.calls = 0
    make = {"adam": lambda v: optimizers.Adam(v, 0.05, 40, 3),
            "lbfgs": lambda v: optimizers.LBFGS(v, lr=0.01),
            "in turn": lambda v: optimizers.InTurn(v, [torch.arange(3)], lr=0.01)}[optimizer]
    monkeypatch.setattr(engine.loop, "evaluator", lambda p, K, R, d: gone)
    problems = engine.Problems(None, {}, {}, (1, 1, 1, 3), None, ())
    out = engine.minimise(problems, torch.zeros(2, 1, 3), make, 4 if optimizer != "adam" else 40)
    ended = [engine.ENDED[i] for i in out.ended.flatten()]
    assert ended[0] != "not finite" and ended[1] == "not finite"


def test_a_gradient_that_is_not_finite_is_no_tolerance():
    def evaluate(v):
        return v.square().sum(-1), v * torch.tensor([1.0, torch.nan])[:, None, None]

    optimizer = optimizers.LBFGS(torch.ones(2, 1, 3))
    optimizer.step(evaluate)
    assert optimizer.broken.tolist() == [[False], [True]]


@pytest.mark.parametrize("what", ["objective", "prior", "gradient of the prior", "start"])
def test_what_is_not_finite_at_the_start_is_refused(what):
    def nowhere(*given):
        return given[0]["0.weight"].sum() * torch.nan if len(given) == 2 else given[0].sum() / 0

    def steep(x):
        return (0 * x).square().sum().sqrt()

    update = client.share(models.lenet(Shape()), batch(K=3))
    attack, start = attacks.dlg(5), attacks.starts(update, attacks.dlg(5), 2, 0)
    if what == "start":
        start[0][1] = torch.nan
    elif what == "objective":
        attack = replace(attack, objective=nowhere)
    else:
        attack = replace(attack, priors=((0.1, nowhere if what == "prior" else steep),))
    named = {"objective": "client 0 .*the objective nowhere", "prior": "the prior nowhere is",
             "gradient of the prior": "gradient of the prior steep",
             "start": "the start of client 1"}
    with pytest.raises(ValueError, match=named[what]):
        attacks.reconstruct(update, attack, 2, start=start, chunk=1)


def test_one_start_of_two_may_diverge():
    update = client.share(models.lenet(Shape()), batch(K=2))
    x, z = attacks.starts(update, attacks.dlg(5), 2, 0)
    x[1, 0] = torch.nan
    guess = attacks.reconstruct(update, attacks.dlg(5), 2, start=(x, z))
    assert guess.ended[1][0] == "not finite" and guess.ended[1][1] != "not finite"
    assert torch.isfinite(guess.images).all()


@pytest.mark.parametrize("line_search", [False, True])
def test_the_size_of_an_own_objective_does_not_matter(line_search):
    def tiny(dummy, shared):
        return 2.0**-40 * objectives.l2(dummy, shared)

    b = batch(K=2, dtype=torch.float64)
    update = client.share(models.lenet(Shape(), init="normal", channels=16).double(), b)
    attack = replace(attacks.dlg(60, line_search=True), objective=tiny,
                     optimizer="lbfgs_line_search" if line_search else "lbfgs")
    ended = attacks.reconstruct(update, attack, 2).ended
    assert ended.count(["tolerance", "tolerance"]) == 0
    assert "converged" in sum(ended, [])


def test_the_papers_l_bfgs_keeps_torchs_tolerances():
    for attack in (attacks.dlg(), attacks.idlg(), attacks.dlg(in_turn=True),
                   attacks.inverting_gradients(optimizer="lbfgs")):
        assert attack.is_as_published
    for attack in (attacks.dlg(line_search=True), attacks.dlg(relative=True), attacks.dlg(scale=2),
                   replace(attacks.dlg(), objective=own_objective),
                   replace(attacks.dlg(), priors=((1.0, own_prior),))):
        assert not attack.is_as_published


def test_relative_tolerances_change_nothing_of_a_large_objective():
    torch.manual_seed(0)
    A = torch.randn(6, 6)
    A = A @ A.T + torch.eye(6)

    def walk(scale, relative):
        optimizer = optimizers.LBFGS(v.clone(), relative=relative)
        for _ in range(6):
            optimizer.step(lambda v: (scale * 0.5 * (v @ A * v).sum(-1), scale * (v @ A)))
        return optimizer

    v = torch.ones(2, 1, 6)
    assert torch.equal(walk(1.0, False).v, walk(1.0, True).v)
    assert walk(1e-9, False).v.abs().max() > 0.5  # given up for its size
    assert walk(1e-9, True).v.abs().max() < 1e-2


# --- CUDA, without one ---------------------------------------------------------------------------

def test_a_signed_step_of_tied_problems():
    v = torch.zeros(3, 1, 4)
    target = torch.tensor([1.0, 2.0, -4.0]).view(3, 1, 1).expand(3, 1, 4)
    optimizer = optimizers.Adam(v, 0.1, 10, 4, signed=True, tied=True)
    optimizer.step(lambda v: ((v - target).square().sum(-1), 2 * (v - target)))
    torch.testing.assert_close(optimizer.v, torch.full((3, 1, 4), -0.1))  # their mean is below 0


def test_what_is_finished_is_marked_in_place():
    def gone(v):
        return v.sum(-1) * torch.nan, v

    for optimizer in (optimizers.Adam(torch.ones(1, 1, 2), 0.1, 9, 2),
                      optimizers.LBFGS(torch.ones(1, 1, 2)),
                      optimizers.InTurn(torch.ones(1, 1, 2), [torch.arange(2)])):
        finished, broken = optimizer.finished, optimizer.broken
        optimizer.step(gone)
        assert finished is optimizer.finished and broken is optimizer.broken
        assert finished.all() and broken.all()


def test_want_of_memory_by_any_name():
    for error in (torch.OutOfMemoryError("x"), torch.cuda.OutOfMemoryError("x"), MemoryError(),
                  RuntimeError("CUDA error: out of memory"),
                  RuntimeError("cublas: CUBLAS_STATUS_ALLOC_FAILED"),
                  RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")):
        assert engine.out_of_memory(error)
        try:
            try:
                raise error
            finally:
                raise RuntimeError("operation failed due to a previous error during capture")
        except RuntimeError as last:
            assert engine.out_of_memory(last)
    assert not engine.out_of_memory(RuntimeError("operation not permitted"))
    assert not engine.out_of_memory(ValueError("out of memory"))


def test_a_slice_is_halved_from_its_own_size_and_without_what_the_error_held(monkeypatch):
    sizes, held = [], []

    class Held:
        def __del__(self):
            held.pop()

    def work(part):
        mine = Held()
        held.append(mine.__class__)
        sizes.append(part.stop - part.start)
        if sizes[-1] > 2:
            raise RuntimeError("CUDA error: out of memory")
        return part

    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: sizes.append(f"{len(held)} held"))
    assert [p.stop for p in engine.of_chunks(5, 100, work)] == [2, 4, 5]
    assert sizes == [5, "0 held", 3, "0 held", 2, 2, 1]
    with pytest.raises(RuntimeError, match="other"):
        engine.of_chunks(4, None, lambda part: (_ for _ in ()).throw(RuntimeError("other")))


class FakeCuda:
    """What `_captured` asks of torch.cuda, and what it did; replays run the function again."""

    def __init__(self, monkeypatch, failure=None):
        self.log, self.stream, self.failure = [], "first", failure
        fakes = {"CUDAGraph": lambda: self, "Stream": lambda device: f"stream of {device}",
                 "current_stream": lambda device=None: self.stream, "graph": self.graph,
                 "synchronize": lambda device=None: None, "device": self.device,
                 "set_stream": self.set_stream}
        for name, fake in fakes.items():
            monkeypatch.setattr(torch.cuda, name, fake)

    @contextlib.contextmanager
    def device(self, device):
        self.log.append(f"on {device}")
        yield

    @contextlib.contextmanager
    def graph(self, graph, stream):
        self.stream = stream
        self.log.append(f"capture on {stream}")
        yield
        if self.failure:
            raise self.failure
        self.stream = "first"

    def set_stream(self, stream):
        self.stream = stream

    def replay(self):
        self.log.append("replay")


def test_capture_is_on_the_variables_device_and_replayed(monkeypatch):
    cuda, calls = FakeCuda(monkeypatch), []
    replayed = engine.Replayed(lambda: calls.append(1) or len(calls), "cuda:1")
    assert [replayed() for _ in range(6)] == [1, 2, 3, 4, 4, 4]
    assert cuda.log == ["on cuda:1", "capture on stream of cuda:1", *["replay"] * 3]
    replayed.release()
    assert replayed.graph is None and replayed.result is None
    assert replayed() == 5  # captured anew


def test_what_cannot_be_captured_stays_eager_and_says_so_once(monkeypatch):
    cuda = FakeCuda(monkeypatch, RuntimeError("operation not permitted when stream is capturing"))
    calls = []
    replayed = engine.Replayed(lambda: calls.append(1) or len(calls), "cuda:0")
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        assert [replayed() for _ in range(6)] == [1, 2, 3, 5, 6, 7]  # the fourth was the attempt
    assert len(said) == 1 and "not permitted" in str(said[0].message)
    assert cuda.stream == "first" and "replay" not in cuda.log
    cuda.failure = torch.OutOfMemoryError("CUDA out of memory")
    replayed = engine.Replayed(lambda: 0, "cuda:0")
    with pytest.raises(torch.OutOfMemoryError):
        [replayed() for _ in range(4)]
    assert cuda.stream == "first"


def test_an_iteration_counts_one_evaluation_captured_or_not(monkeypatch):
    FakeCuda(monkeypatch)
    optimizer = optimizers.Adam(torch.zeros(1, 1, 3), 0.1, 9, 3)
    step = engine.loop.Iteration(optimizer, lambda v: (v.square().sum(-1), 2 * v),
                                 optimizer.v.clone(), torch.full((1, 1), torch.inf))
    step.whole = engine.Replayed(lambda: optimizer.advance(step.evaluate), "cuda:0")
    for count in range(1, 7):
        step()
        assert step.evaluate.calls == count and optimizer.t == count
    step.look()
    assert step.whole.graph is None, "no eager evaluation beside a live graph"


def test_an_evaluation_by_graph_hands_out_results_of_its_own(monkeypatch):
    FakeCuda(monkeypatch)
    at = engine.capture.evaluate_by_graph(lambda v: (v.sum(-1), v), torch.zeros(1, 1, 2))
    first = at(torch.ones(1, 1, 2))
    at(torch.zeros(1, 1, 2))
    assert first[0].item() == 2 and first[1].sum() == 2


# --- many local steps ----------------------------------------------------------------------------

@pytest.mark.parametrize("nesterov", [False, True])
def test_twelve_steps_with_momentum_are_those_of_torchs_sgd(nesterov):
    b = batch(K=1, B=2, dtype=torch.float64)
    protocol = client.Protocol(sends="weights", local_lr=0.1, epochs=12, momentum=0.9,
                               nesterov=nesterov, weight_decay=0.01)
    model = models.dense(Shape(), hidden=(6,)).double()
    update = client.share(model, b, protocol, threat=client.ThreatModel(labels="known"))
    problems = attacks.problem(update, attacks.idlg(1)).problems
    assert problems.rollout is not None

    trained = models.dense(Shape(), hidden=(6,)).double()
    sgd = torch.optim.SGD(trained.parameters(), lr=0.1, momentum=0.9, nesterov=nesterov,
                          weight_decay=0.01)
    x = torch.full_like(b.images[0], 0.25)
    for _ in range(12):
        sgd.zero_grad()
        nn.functional.cross_entropy(trained(x), b.labels[0]).backward()
        sgd.step()
    moved = {n: p.detach() - q for (n, p), q in zip(
        trained.named_parameters(), model.parameters(), strict=True)}
    expected = objectives.l2(moved, {n: g[0] for n, g in update.gradients.items()})
    v = x.flatten()[None, None]
    evaluate = engine.evaluator(problems, 1, 1, v.device)
    loss, g = evaluate(v)
    torch.testing.assert_close(loss[0, 0], expected.detach(), rtol=1e-9, atol=1e-12)
    d = torch.randn_like(v)
    slope = (evaluate(v + 1e-6 * d)[0] - evaluate(v - 1e-6 * d)[0]) / 2e-6
    torch.testing.assert_close((g * d).sum(-1), slope, rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("K", [1, 2])
def test_a_callable_that_reads_numbers_is_one_clear_error(K):
    def reads(x):
        return x.square().mean() * float(x.abs().amax())

    update = client.share(models.lenet(Shape()), batch(K=K))
    with pytest.raises(ValueError, match="reads a number out of a tensor"):
        attacks.reconstruct(update, replace(attacks.dlg(1), priors=((1.0, reads),)))


@pytest.mark.parametrize("settings", [{"relative": True, "lr": 0.1}, {"scale": 700.0, "lr": 0.1},
                                      {"relative": True, "scale": 30.0, "lr": 0.1}], ids=str)
def test_a_divided_objective_goes_down_although_its_first_pair_is_refused(settings):
    """In float64 it is divided by much; a step as long as its gradient would be far away."""
    b = batch(K=2, dtype=torch.float64)
    update = client.share(models.lenet(Shape(), activation="tanh").double(), b)
    guess = attacks.reconstruct(update, attacks.dlg(2, **settings))
    losses = guess.history.losses
    assert (losses[-1] <= losses[0]).all() and guess.last.abs().max() < 100


@pytest.mark.parametrize("line_search", [False, True])
def test_a_finished_problem_stays_while_another_goes_on(line_search):
    def valley(v):  # Rosenbrock's, far from done after one step
        a, b = v.unbind(-1)
        slope = torch.stack((2 * (a - 1) - 400 * a * (b - a**2), 200 * (b - a**2)), -1)
        return (1 - a) ** 2 + 100 * (b - a**2) ** 2, slope

    start = torch.tensor([[[-1.2, 1.0]], [[-0.5, 2.0]]], dtype=torch.float64)
    optimizer = optimizers.LBFGS(start.clone(), lr=1e-3, line_search=line_search)
    optimizer.step(valley)
    before = optimizer.v.clone()
    optimizer.finished[0] = True
    optimizer.step(valley)
    assert torch.equal(optimizer.v[0], before[0]) and not torch.equal(optimizer.v[1], before[1])
