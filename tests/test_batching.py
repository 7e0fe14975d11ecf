"""A user's model: taken out of its wrappers, made batchable, and compared with the original."""

import copy

import pytest
import torch
from torch import nn
from torch.func import grad, vmap
from torch.nn import functional as F

from lib import batching, layers, models, sealed
from lib.update import Protocol, update_function

SHAPE = (3, 8, 8)


def small(*middle: nn.Module, width: int = 6 * 16) -> nn.Module:
    """A convolution to (6, 4, 4), the layers asked for, a dense layer to 5 classes."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2, 1), *middle, nn.Flatten(), nn.Linear(width, 5))


def plain(net: nn.Module, mode: str, x, target) -> dict[str, torch.Tensor]:
    """Autograd's gradients of the cross-entropy of the original itself."""
    net.train(mode == "train")
    loss = -(target * batching.logits(net(x)).log_softmax(-1)).sum(-1).mean()
    named = dict(net.named_parameters())
    found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    return {n: torch.zeros_like(p) if g is None else g
            for (n, p), g in zip(named.items(), found, strict=True)}


def check(net: nn.Module, mode: str = "eval", shape: tuple = SHAPE, truth: nn.Module | None = None):
    """The notes of `ready`, after its gradients of three clients were found to be autograd's, and
    a second derivative to be finite."""
    torch.manual_seed(1)
    x, target = torch.rand(3, 4, *shape), torch.rand(3, 4, 5).softmax(-1)
    before = copy.deepcopy((truth or net).state_dict())
    state = torch.get_rng_state()
    prepared, notes = batching.ready(net, mode, shape)
    assert torch.equal(state, torch.get_rng_state())
    for name, value in (truth or net).state_dict().items():
        assert torch.equal(value, before[name]), f"the caller's {name} was changed"
    params = {n: p.detach() for n, p in prepared.named_parameters()}
    buffers = dict(prepared.named_buffers())
    f = update_function(prepared, Protocol(mode=mode))
    mine = vmap(f, in_dims=(None, None, 0, 0))(params, buffers, x, target)
    for k in range(3):
        theirs = plain(truth or net, mode, x[k], target[k])
        (truth or net).load_state_dict(before)
        assert list(theirs) == list(mine)
        largest = max(g.abs().max() for g in theirs.values())
        for name, g in theirs.items():
            torch.testing.assert_close(mine[name][k], g, rtol=0, atol=float(1e-5 * largest))
    second = vmap(grad(lambda v, t: sum(g.square().sum() for g in f(params, buffers, v, t).values(
        ))))(x, target)
    assert torch.isfinite(second).all() and second.abs().max() > 0
    return notes


# --- only torch's own classes are exchanged ------------------------------------------------------

class NormAct(nn.BatchNorm2d):
    """As timm's BatchNormAct2d."""

    def forward(self, x):
        return torch.sigmoid(super().forward(x))


class OwnNorm(nn.BatchNorm2d):
    """Its own forward, with the count that torch's forward keeps; BatchNorm of twice the input."""

    def forward(self, x):
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        return F.batch_norm(2 * x, self.running_mean, self.running_var, self.weight, self.bias,
                            self.training, self.momentum, self.eps).tanh()


def with_statistics(net: nn.Module) -> nn.Module:
    for name, buffer in net.named_buffers():
        if name.endswith("running_mean"):
            buffer.normal_()
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2)
    return net


@pytest.mark.parametrize("mode", ["eval", "train"])
@pytest.mark.parametrize("layer", [
    NormAct, OwnNorm, nn.BatchNorm2d,
    lambda c: nn.InstanceNorm2d(c, affine=True, track_running_stats=True),
    lambda c: nn.utils.weight_norm(nn.Conv2d(c, 6, 1)),
    lambda c: nn.utils.weight_norm(nn.Conv2d(c, 6, 1), dim=None),
    lambda c: nn.utils.parametrizations.weight_norm(nn.Conv2d(c, 6, 1)),
    lambda c: nn.utils.spectral_norm(nn.Conv2d(c, 6, 1)),
    lambda c: nn.utils.parametrizations.spectral_norm(nn.Conv2d(c, 6, 1)),
], ids=["norm with activation", "own norm", "BatchNorm", "InstanceNorm", "old weight_norm",
        "old weight_norm of all", "weight_norm", "old spectral_norm", "spectral_norm"])
@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_layers_with_buffers_or_computed_weights_keep_their_gradients(layer, mode):
    check(with_statistics(small(layer(6), nn.Sigmoid())), mode)


def test_a_hook_or_a_patched_forward_is_kept():
    for patch in ("hook", "forward"):
        net = with_statistics(small(nn.BatchNorm2d(6)))
        if patch == "hook":
            net[1].register_forward_hook(lambda m, given, output: output.tanh())
        else:
            net[1].forward = lambda x: 3 * x.sigmoid()
        check(net)
    net = small(nn.Dropout(0.5))
    net[1].forward = lambda x: x.square()
    check(net)


def test_an_old_weight_norm_leaves_no_tensor_of_vmap_behind():
    with pytest.warns(FutureWarning):
        net = small(nn.utils.weight_norm(nn.Conv2d(6, 6, 1)))
    prepared, _ = batching.ready(net, "eval", SHAPE)
    state = dict(prepared.named_parameters())
    vmap(lambda v: batching.call(prepared, state, v))(torch.rand(2, 1, *SHAPE))
    assert "weight" not in prepared[1].__dict__
    again = batching.prepare(prepared)
    x = torch.rand(1, *SHAPE)
    torch.testing.assert_close(batching.call(again, state, x), net(x))


def test_moments_of_a_subclass_are_those_of_its_batch_norms_input():
    net = with_statistics(small(OwnNorm(6), nn.BatchNorm2d(6)))
    prepared, _ = batching.ready(net, "train", SHAPE)
    state, x = dict(prepared.named_parameters()) | dict(prepared.named_buffers()), torch.rand(
        4, *SHAPE)
    first, second = batching.moments(prepared, state, x)
    hidden = 2 * net[0](x)
    assert (first[0], second[0]) == ("1", "2")
    torch.testing.assert_close(first[1], hidden.mean((0, 2, 3)))
    torch.testing.assert_close(first[2], hidden.var((0, 2, 3), unbiased=False))
    assert torch.equal(first[3], net[1].running_mean)


# --- rewritten layers ----------------------------------------------------------------------------

@pytest.mark.parametrize("layer", [nn.Hardsigmoid(), nn.Hardswish(), nn.Hardtanh(), nn.ReLU6(),
                                   nn.RReLU(), nn.CELU(), nn.Softshrink(0.01), nn.PReLU()],
                         ids=lambda layer: type(layer).__name__)
def test_activations(layer):
    check(small(layer))


def test_the_rewritten_activations_are_torchs_to_the_second_derivative():
    x = torch.tensor([-4, -3, -2.9, -1, 0, 1, 2.9, 3, 4], dtype=torch.float64)
    for ours, theirs in ((layers.hardsigmoid, F.hardsigmoid), (layers.rrelu, F.rrelu)):
        v, w = x.clone().requires_grad_(), x.clone().requires_grad_()
        torch.testing.assert_close(ours(v), theirs(w))
        a, = torch.autograd.grad(ours(v).sum(), v)
        b, = torch.autograd.grad(theirs(w).sum(), w)
        torch.testing.assert_close(a, b)
    with pytest.raises(ValueError, match="eval mode"):
        layers.rrelu(x, training=True)


class Functional(nn.Module):
    """What torchvision and timm call without a module."""

    def forward(self, x):
        x = F.hardsigmoid(x) * F.hardswish(x) + F.rrelu(x, training=self.training and False)
        x = torch.rrelu(x) + torch.rrelu_(x + 0)
        return F.dropout(x, 0.5, self.training)


def test_functional_calls_are_treated_as_the_modules_are():
    check(small(Functional()))
    torch.manual_seed(0)
    prepared, _ = batching.ready(small(Functional()), "train", SHAPE)
    state, x = dict(prepared.named_parameters()), torch.rand(2, *SHAPE)
    assert torch.equal(batching.call(prepared, state, x), batching.call(prepared, state, x))
    torch.testing.assert_close(batching.call(prepared, state, x), small(Functional()).eval()(x))


class Rows(nn.Module):
    """A recurrent classifier over image rows."""

    def __init__(self, kind, **options):
        super().__init__()
        torch.manual_seed(0)
        self.rnn = kind(24, 7, batch_first=True, **options)
        self.head = nn.LazyLinear(5)
        self(torch.rand(1, *SHAPE))

    def forward(self, x):
        return self.head(self.rnn(x.permute(0, 2, 1, 3).flatten(2))[0][:, -2:].flatten(1))


@pytest.mark.parametrize("kind, options", [
    (nn.GRU, {}), (nn.RNN, {}), (nn.LSTM, {}), (nn.GRU, {"num_layers": 2, "bidirectional": True}),
    (nn.RNN, {"nonlinearity": "relu", "bias": False}),
    (nn.LSTM, {"proj_size": 3, "bias": False, "bidirectional": True})],
    ids=["GRU", "RNN", "LSTM", "GRU of two layers", "RNN with relu", "LSTM projected"])
def test_recurrent_layers(kind, options):
    check(Rows(kind, **options))


@pytest.mark.parametrize("kind", [nn.GRU, nn.RNN, nn.LSTM])
def test_last_states_and_the_order_of_the_axes(kind):
    torch.manual_seed(0)
    net, x = kind(4, 3, num_layers=2, bidirectional=True), torch.rand(5, 2, 4)
    with layers.Rewritten():
        mine = net(x)
    torch.testing.assert_close(mine, net(x))


@pytest.mark.parametrize("kind", [nn.GRUCell, nn.RNNCell, nn.LSTMCell])
def test_recurrent_cells(kind):
    class Cell(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.cell, self.head = kind(24, 7), nn.Linear(7, 5)

        def forward(self, x):
            state = None
            for row in x.permute(2, 0, 1, 3).flatten(2):
                state = self.cell(row, state)
            return self.head(state[0] if isinstance(state, tuple) else state)

    check(Cell())


# --- wrappers, outputs, precision ----------------------------------------------------------------

@pytest.mark.parametrize("wrap, note", [
    (lambda m: torch.compile(m, backend="eager"), "torch.compile"),
    (nn.DataParallel, "DataParallel"),
    (lambda m: nn.DataParallel(torch.compile(m, backend="eager")), "torch.compile")])
def test_wrapped_models_are_taken_out(wrap, note):
    net = small(nn.BatchNorm2d(6), nn.Sigmoid())
    assert batching.unwrap(wrap(net))[0] is net
    notes = check(wrap(net), truth=net)
    assert any(note in sentence for sentence in notes)


def test_opacus_models_are_taken_out_with_their_hooks():
    from opacus import GradSampleModule
    net = small(nn.Sigmoid())
    wrapped = GradSampleModule(copy.deepcopy(net))
    F.cross_entropy(wrapped(torch.rand(2, *SHAPE)), torch.tensor([0, 1])).backward()
    notes = check(wrapped, truth=net)
    assert notes == ("the model was taken out of GradSampleModule",)
    assert wrapped._module[0]._forward_hooks, "the caller's keeps its hooks"


def test_a_compiled_part_keeps_its_name():
    net = small(torch.compile(nn.Conv2d(6, 6, 1), backend="eager"), nn.Sigmoid())
    prepared, _ = batching.ready(net, "eval", SHAPE)
    assert [n for n, _ in prepared.named_parameters()] == [n for n, _ in net.named_parameters()]
    check(net)


def test_scripted_and_traced_modules_are_refused():
    net = small(nn.Sigmoid())
    for other in (torch.jit.script(net), torch.jit.trace(net, torch.rand(1, *SHAPE)),
                  nn.Sequential(torch.jit.script(net))):
        with pytest.raises(ValueError, match="give the plain module"):
            batching.ready(other, "eval", SHAPE)
    with pytest.raises(ValueError, match="torch.nn.Module"):
        batching.unwrap(lambda x: x)


class Returns(nn.Module):
    """A network that wraps its logits, and whose other output is no part of the loss."""

    def __init__(self, how):
        super().__init__()
        self.how, self.net, self.aux = how, small(nn.Sigmoid()), nn.Linear(192, 5)

    def forward(self, x):
        return self.how(self.net(x), self.aux(x.flatten(1)))


class Output:
    def __init__(self, logits):
        self.logits, self.loss = logits, None


@pytest.mark.parametrize("how, note", [
    (lambda y, z: y, None), (lambda y, z: Output(y), "Output: its logits"),
    (lambda y, z: {"loss": None, "logits": y}, "dict: its logits"),
    (lambda y, z: (y, z), "tuple: its first"), (lambda y, z: [y], "list: its first")])
def test_logits_are_found_in_what_a_model_returns(how, note):
    notes = check(Returns(how))
    assert (not notes) if note is None else note in notes[0]


@pytest.mark.parametrize("how, said", [
    (lambda y, z: {"out": y}, "dict with out"), (lambda y, z: "logits", "returns a str"),
    (lambda y, z: (), "returns a tuple"), (lambda y, z: None, "NoneType")])
def test_other_outputs_are_refused(how, said):
    with pytest.raises(ValueError, match=said):
        batching.ready(Returns(how), "eval", SHAPE)


class Auxiliary(nn.Module):
    """As GoogLeNet and Inception: a second head in train mode only."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.c, self.aux, self.last = nn.Conv2d(3, 6, 3, 2, 1), nn.Linear(96, 5), nn.Linear(96, 5)

    def forward(self, x):
        hidden = self.c(x).sigmoid().flatten(1)
        if self.training:
            return self.last(hidden) + 0.4 * self.aux(hidden), self.aux(hidden)
        return self.last(hidden)


def test_the_train_mode_is_the_clients():
    assert "tuple" in check(Auxiliary(), "train")[0]
    assert check(Auxiliary(), "eval") == ()
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = Auxiliary()

        def forward(self, x):
            found = self.net(x)
            return sum(found) if self.training else found
    check(Both(), "train")


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_half_precision_becomes_float32(kind):
    net = small(nn.BatchNorm2d(6), nn.Sigmoid()).to(kind)
    notes = check(net, truth=copy.deepcopy(net).float())
    assert "float32" in notes[0]
    prepared, _ = batching.ready(net, "eval", SHAPE)
    assert {t.dtype for t in (*prepared.parameters(), *prepared.buffers())} == {torch.float32}
    assert next(net.parameters()).dtype == kind


def test_ensembles():
    nets = [with_statistics(small(NormAct(6))) for _ in range(3)]
    together, notes = batching.ready(batching.Ensemble(nets), "eval", SHAPE)
    x = torch.rand(3, 2, *SHAPE)
    for k, net in enumerate(nets):
        torch.testing.assert_close(together(x)[k], net.eval()(x[k]))
    assert notes == () and together.size == 3


# --- refusals ------------------------------------------------------------------------------------

class Acts(nn.Module):
    def __init__(self, how):
        super().__init__()
        self.how = how
        self.register_buffer("mean", torch.zeros(6, 1, 1))
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, x):
        return self.how(self, x)


def counting(m, x):
    m.mean.mul_(0.9).add_(0.1 * x.mean())
    return x - m.mean


REFUSED = {
    "FractionalMaxPool2d": (nn.FractionalMaxPool2d(2, output_size=2), "AdaptiveMaxPool2d"),
    "CrossMapLRN2d": (nn.CrossMapLRN2d(2), "LocalResponseNorm"),
    "noise": (Acts(lambda m, x: x + torch.randn_like(x)), "random"),
    "branch": (Acts(lambda m, x: x if x.sum() > 0 else -x), "torch.where"),
    "branch on a weight": (Acts(lambda m, x: x if m.weight > 0 else -x), "torch.where"),
    "value of a weight": (Acts(lambda m, x: x * m.weight.item()), "torch.where"),
    "numpy": (Acts(lambda m, x: x * float(x.detach().numpy().mean())), "torch's operations"),
    "no derivative": (Acts(lambda m, x: torch.cdist(x, x + 1)), "plain operations"),
    "buffer in place": (Acts(counting), "assign a new tensor"),
    "checkpoint": (Acts(lambda m, x: torch.utils.checkpoint.checkpoint(
        torch.sin, x, use_reentrant=False)), "checkpointing"),
    "compiled part": (Acts(lambda m, x: torch.compile(torch.sin, backend="eager")(x)), "batches"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_attacked_is_refused_by_name(case):
    layer, instead = REFUSED[case]
    net = small(nn.Sigmoid(), layer, nn.LazyLinear(4))
    net = nn.Sequential(*net[:3], nn.Flatten(), nn.LazyLinear(5))
    net(torch.rand(2, *SHAPE))
    with pytest.raises(ValueError, match=instead) as refusal:
        batching.ready(net, "eval", SHAPE)
    assert f"2 ({type(layer).__name__})" in str(refusal.value)


def test_every_layer_of_the_table_is_refused_with_what_to_write_instead():
    made = {nn.FractionalMaxPool2d: nn.FractionalMaxPool2d(2, output_size=4),
            nn.FractionalMaxPool3d: nn.FractionalMaxPool3d(2, output_size=4),
            nn.CrossMapLRN2d: nn.CrossMapLRN2d(2), nn.EmbeddingBag: nn.EmbeddingBag(4, 4)}
    assert set(made) == set(layers.INSTEAD)
    for kind, layer in made.items():
        with pytest.raises(ValueError, match=kind.__name__) as refusal:
            batching.ready(small(layer), "eval", SHAPE)
        assert layers.INSTEAD[kind] in str(refusal.value)


def test_models_without_weights_to_share_and_images_that_do_not_fit():
    with pytest.raises(ValueError, match="no parameter"):
        batching.ready(small().requires_grad_(False), "eval", SHAPE)
    with pytest.raises(ValueError, match="lazy"):
        batching.ready(nn.Sequential(nn.Flatten(), nn.LazyLinear(5)), "eval", SHAPE)
    with pytest.raises(ValueError, match="meta"):
        batching.ready(small().to("meta"), "eval", SHAPE)
    with pytest.raises(ValueError, match=r"shape \(3, 9, 9\) do not fit.*2 \(Linear\)"):
        batching.ready(small(), "eval", (3, 9, 9))
    broken = small()
    broken[0].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match="not finite"):
        batching.ready(broken, "eval", SHAPE)
    with pytest.raises(ValueError, match="unknown mode"):
        batching.ready(small(), "both", SHAPE)


class Drops(nn.Module):
    """As timm's DropPath: it has no parameters, and draws in train mode only."""

    def forward(self, x):
        if not self.training:
            return x
        return x * torch.bernoulli(torch.full((len(x), 1, 1, 1), 0.5))


def test_random_layers_of_train_mode_are_put_into_eval_mode_and_said():
    for layer in (Drops(), nn.RReLU()):
        net = small(nn.Sequential(layer), nn.BatchNorm2d(6))
        _, notes = batching.ready(net, "train", SHAPE)
        assert "1.0" in notes[0] and type(layer).__name__ in notes[0]
        assert batching.ready(net, "eval", SHAPE)[1] == ()

    class Weighted(Drops):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

    with pytest.raises(ValueError, match=r"1 \(Weighted\) is random in train mode"):
        batching.ready(small(Weighted()), "train", SHAPE)


class InPlace(nn.Module):
    """Its shortcut sees what the first activation of the branch wrote."""

    def __init__(self):
        super().__init__()
        self.branch = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(6, 6, 1))

    def forward(self, x):
        return x + self.branch(x)


def test_an_activation_that_must_write_in_place_does():
    check(small(InPlace()))


class Numbered(nn.Module):
    """Another network each time that it is called."""

    def __init__(self):
        super().__init__()
        self.calls = [0]

    def forward(self, x):
        self.calls[0] += 1
        return x * self.calls[0]


def test_a_copy_that_is_another_network_is_refused_by_the_first_layer(monkeypatch):
    with pytest.raises(ValueError, match=r"2 \(Numbered\) gives another output each time"):
        batching.ready(small(nn.Sigmoid(), Numbered(), nn.Sigmoid()), "eval", SHAPE)
    right = layers.affine_batch_norm
    monkeypatch.setattr(layers, "affine_batch_norm", lambda x, mean, *rest: right(x, -mean, *rest))
    with pytest.raises(ValueError, match=r"another network.*1 \(NormAct\)"):
        batching.ready(with_statistics(small(NormAct(6))), "eval", SHAPE)


def test_a_wrong_gradient_alone_is_found(monkeypatch):
    table = dict(layers.REWRITTEN)
    table[F.hardsigmoid] = lambda input, inplace=False: F.hardsigmoid(input).detach() + 0 * input
    monkeypatch.setattr(layers, "REWRITTEN", table)
    with pytest.raises(ValueError, match="another network"):
        batching.ready(small(User(), nn.Sigmoid()), "eval", SHAPE)


class User(nn.Module):
    def forward(self, x):
        return F.hardsigmoid(x)


# --- the cache of checks -------------------------------------------------------------------------

def test_only_networks_of_libraries_are_checked_once(monkeypatch):
    calls = []
    checked = batching._checked
    monkeypatch.setattr(batching, "_checked", lambda *args: calls.append(args) or checked(*args))
    monkeypatch.setattr(batching, "_CHECKED", {})
    monkeypatch.setattr(sealed, "FOLDER", None)  # what another process found is not counted
    for _ in range(2):
        for net in (small(nn.Sigmoid()), small(nn.Tanh()), small(nn.BatchNorm2d(6, eps=1e-3)),
                    small(nn.BatchNorm2d(6))):
            batching.ready(net, "eval", SHAPE)
    assert len(calls) == 4
    batching.ready(small(nn.Tanh()), "train", SHAPE)
    frozen, hooked = small(nn.Tanh()), small(nn.Tanh())
    frozen[0].requires_grad_(False)
    batching.ready(frozen, "eval", SHAPE)
    assert len(calls) == 6
    hooked[1].register_forward_hook(lambda m, given, output: 2 * output)
    for net in (hooked, small(User())):
        for _ in range(2):
            batching.ready(net, "eval", SHAPE)
    assert len(calls) == 10


def test_the_victims_of_lib_are_ready_without_a_note():
    class Images:
        shape, num_classes = (3, 16, 16), 5
    for build in (models.lenet, models.dense, lambda s: models.resnet(s, 8, 4)):
        for mode in ("eval", "train"):
            prepared, notes = batching.ready(build(Images), mode, Images.shape)
            assert notes == () and batching._structure(build(Images), mode, (3, 16, 16))
            assert [n for n, _ in prepared.named_parameters()] == [
                n for n, _ in build(Images).named_parameters()]
