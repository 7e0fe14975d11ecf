"""The engine's truths: right gradients, batched equals one by one, chunked equals unchunked."""

from dataclasses import replace

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import attacks, client, engine, models, objectives, optimizers, priors, tracing


def update_of(model, b, **kwargs):
    return client.share(model.double(), b, **kwargs)


def problem(attack, K=3, R=1, B=1, build=models.lenet, **share):
    b = batch(K=K, B=B, dtype=torch.float64)
    update = update_of(build(Shape()), b, **share)
    x, z = attacks.starts(update, attack, R, seed=0)
    problems, *_ = attacks._problems(update, attack, z, None)
    return problems, problems.join(x, z)


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
            own = {n: t[k] for n, t in problems.own.items()}
            one = problems.objective(x, z, problems.shared, own)
            torch.testing.assert_close(loss[k, r], one.detach())
            torch.testing.assert_close(g[k, r], torch.autograd.grad(one, u)[0])


def test_one_by_one_strategy_gives_the_same(monkeypatch):
    problems, v = problem(ATTACKS["inverting_gradients"], K=3, R=2)
    batched = engine.evaluator(problems, 3, 2, v.device)(v)
    monkeypatch.setattr(engine, "ONE_BY_ONE_FLOPS", 0.0)
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
    monkeypatch.setattr(engine, "evaluator", lambda p, K, R, d: two if K == 2 else one)
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
        problems, *_ = attacks._problems(update, attack, z, None)
        loss, _ = engine.evaluator(problems, 2, 1, x.device)(problems.join(x, z))
        for k in range(2):
            own = {n: t[k] for n, t in problems.own.items()}
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
        finished = torch.zeros(2, 1, dtype=torch.bool)

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
        monkeypatch.setattr(attacks, "UNROLLED_STEPS", steps)
        problems, *_ = attacks._problems(u, attack, z, None)
        assert (problems.rollout is None) == (steps == 2 * epochs)
        if alone and problems.rollout:
            monkeypatch.setattr(engine, "ONE_BY_ONE_FLOPS", 0)
        evaluate = engine.evaluator(problems, 2, R, x.device)
        found.append(evaluate(problems.join(x, z)))
    for flat, rolled in zip(*found, strict=True):
        torch.testing.assert_close(rolled, flat, rtol=1e-9, atol=1e-12)
