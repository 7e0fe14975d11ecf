"""Every preset's defaults, to the papers' settings: one table, with the source of each row.

Certainty is that of the notes on the papers: read (in the source or the official code), quoted (by
another), recalled (from memory), ours (not printed anywhere, or our own choice).
"""

import inspect
from dataclasses import fields, replace

import pytest
import torch
from tiny import Shape, batch
from torch import nn

from lib import (
    attacks,
    client,
    defenses,
    generators,
    metrics,
    models,
    objectives,
    priors,
    spaces,
)
from lib.engine import optimizers

Z = nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (1, 1, 1)))  # any module: no default reads it
DLG_CODE = "mit-han-lab/dlg, main.py"
IDLG_CODE = "PatrickZH/Improved-Deep-Leakage-from-Gradients, iDLG.py"
IG_CODE = "JonasGeiping/invertinggradients, rec_mult.py and reconstruction_algorithms.py"
HUANG_CODE = "Princeton-SysML/GradAttack"
GIAS_CODE = "ml-postech/gradient-inversion-generative-image-prior"

# (field, value, certainty, source) of every field of `Attack` that a preset makes
ATTACKS = {
    "dlg": (attacks.dlg(), [
        ("objective", objectives.l2, "read", f"{DLG_CODE}: sum of squared differences"),
        ("priors", (), "read", f"{DLG_CODE}: no TV"),
        ("labels", "joint", "read", f"{DLG_CODE}: dummy_label is optimised too"),
        ("optimizer", "lbfgs", "quoted", "Zhu 2019, section 4"),
        ("iterations", 300, "read", f"{DLG_CODE}; 1200 in the paper's section 4 [quoted]"),
        ("lr", 1.0, "quoted", "Zhu 2019, section 4: learning rate 1"),
        ("stop", None, "read", f"{DLG_CODE}: it runs to the end"),
        ("decay", False, "read", DLG_CODE),
        ("normalise", False, "read", f"{DLG_CODE}: ToTensor alone"),
        ("box", False, "read", f"{DLG_CODE}: nothing is projected or clamped"),
        ("in_turn", False, "read", f"{DLG_CODE}; in turn for batches: the paper's section 3")]),
    "idlg": (attacks.idlg(), [
        ("objective", objectives.l2, "read", f"{IDLG_CODE}: sum of squared differences"),
        ("priors", (), "read", IDLG_CODE),
        ("labels", "idlg", "read", f"{IDLG_CODE}: argmin of the row sums of the last gradient"),
        ("optimizer", "lbfgs", "read", IDLG_CODE),
        ("iterations", 300, "read", IDLG_CODE),
        ("lr", 1.0, "read", IDLG_CODE),
        ("stop", 1e-6, "read", f"{IDLG_CODE}: current_loss < 1e-6, every int(300 / 30) iterations"),
        ("decay", False, "read", IDLG_CODE),
        ("normalise", False, "read", IDLG_CODE),
        ("box", False, "read", IDLG_CODE),
        ("in_turn", False, "read", IDLG_CODE)]),
    "inverting_gradients": (attacks.inverting_gradients(), [
        ("objective", objectives.cosine, "read", f"{IG_CODE}: one cosine over all parameters"),
        ("priors", ((1e-2, priors.tv),), "quoted", "Geiping 2020, appendix C.1, untrained LeNet"),
        ("labels", "idlg", "read", f"{IG_CODE}: argmin of row sums, where not known"),
        ("optimizer", "signed_adam", "read", f"{IG_CODE}: signed=True"),
        ("iterations", 4800, "read", IG_CODE),
        ("lr", 0.1, "read", IG_CODE),
        ("stop", None, "read", f"{IG_CODE}: no early stop but tol"),
        ("decay", True, "read", f"{IG_CODE}: MultiStepLR, gamma 0.1"),
        ("normalise", True, "read", IG_CODE),
        ("box", True, "read", f"{IG_CODE}: boxed=True"),
        ("in_turn", False, "read", IG_CODE)]),
    "mixing_gradients": (attacks.mixing_gradients(), [
        ("objective", objectives.cosine, "read", "Eloul 2022, poster: l2 or the angle"),
        ("priors", (), "read", "Eloul 2022, poster names TV and orthogonality; weights unknown"),
        ("labels", "analytic", "ours", "the poster: from the gradient; by which rule is unknown"),
        ("optimizer", "adam", "ours", "not printed"),
        ("iterations", 1000, "ours", "not printed"),
        ("lr", 0.1, "ours", "not printed"),
        ("stop", None, "ours", "not printed"),
        ("decay", True, "ours", "not printed"),
        ("normalise", False, "ours", "not printed"),
        ("box", False, "ours", "failed reconstructions have an MSE of 3 to 8"),
        ("in_turn", False, "ours", "not printed")]),
    "huang": (attacks.huang(), [
        ("objective", objectives.cosine, "read", HUANG_CODE),
        ("priors", ((0.1, priors.tv), (0.005, priors.batch_norm)), "read",
         f"{HUANG_CODE}, example of a batch of 16: --tv 0.1 --bn_reg 0.005"),
        ("labels", "joint", "read", f"{HUANG_CODE}: --reconstruct_labels, where not known"),
        ("optimizer", "signed_adam", "read", HUANG_CODE),
        ("iterations", 10_000, "read", HUANG_CODE),
        ("lr", 0.1, "read", HUANG_CODE),
        ("stop", None, "read", HUANG_CODE),
        ("decay", True, "read", f"{HUANG_CODE}: x 0.1 at 3749, 6249, 8756"),
        ("normalise", True, "read", HUANG_CODE),
        ("box", True, "read", HUANG_CODE),
        ("in_turn", False, "read", HUANG_CODE)]),
    "gias, latents": (attacks.gias(Z, latent=(3,)), [
        ("objective", objectives.cosine, "read", f"{GIAS_CODE}: sim_cmpr0"),
        ("priors", ((1e-6, priors.tv),), "read", f"{GIAS_CODE}: TV 1e-6, all other terms 0"),
        ("labels", "idlg", "ours", "the scripts grant labels; else by Zhao 2020"),
        ("optimizer", "adam", "read", f"{GIAS_CODE}: without sign()"),
        ("iterations", 1000, "read", f"{GIAS_CODE}, script of 128 pixels; 500 at 32"),
        ("lr", 0.03, "read", GIAS_CODE),
        ("stop", None, "read", GIAS_CODE),
        ("decay", True, "read", f"{GIAS_CODE}: at 3/8, 5/8, 7/8"),
        ("normalise", True, "read", GIAS_CODE),
        ("box", False, "read", GIAS_CODE),
        ("in_turn", False, "read", GIAS_CODE),
        ("letter", "z", "read", "Jeon 2021: latents first")]),
    "gias, parameters": (attacks.gias(Z, latent=(3,)).then, [
        ("objective", objectives.cosine, "read", GIAS_CODE),
        ("priors", ((1e-6, priors.tv),), "read", GIAS_CODE),
        ("labels", "idlg", "ours", "as the first stage"),
        ("optimizer", "adam", "read", GIAS_CODE),
        ("iterations", 5000, "read", f"{GIAS_CODE}, script of 32 pixels; 8,000 at 128"),
        ("lr", 1e-3, "read", GIAS_CODE),
        ("stop", None, "read", GIAS_CODE),
        ("decay", True, "read", GIAS_CODE),
        ("normalise", True, "read", GIAS_CODE),
        ("box", False, "read", GIAS_CODE),
        ("in_turn", False, "read", GIAS_CODE),
        ("letter", "w", "read", "Jeon 2021: then the generator's own parameters"),
        ("copies", "image", "read", f"{GIAS_CODE}: a copy of the parameters for each image"),
        ("then", None, "read", "two stages")]),
    "gias, pixels": (attacks.gias(None, "x"), [
        ("objective", objectives.cosine, "read", GIAS_CODE),
        ("priors", ((1e-6, priors.tv),), "read", GIAS_CODE),
        ("labels", "idlg", "ours", "as the first stage"),
        ("optimizer", "adam", "read", f"{GIAS_CODE}: the baseline has no sign()"),
        ("iterations", 1000, "ours", "as many as latents have"),
        ("lr", 0.1, "ours", "as Inverting Gradients"),
        ("stop", None, "read", GIAS_CODE),
        ("decay", True, "read", GIAS_CODE),
        ("normalise", True, "read", GIAS_CODE),
        ("box", True, "read", f"{GIAS_CODE}: boxed"),
        ("in_turn", False, "read", GIAS_CODE),
        ("letter", "x", "read", GIAS_CODE),
        ("then", None, "read", "one stage")]),
}
NAMED = ("name", "space")  # what is no setting; a space is looked into

# Defaults of functions that are no part of an `Attack`: argument -> (value, certainty, source)
DEFAULTS = {
    attacks.dlg: {
        "iterations": (300, "read", DLG_CODE), "lr": (1.0, "quoted", "Zhu 2019, section 4"),
        "line_search": (False, "read", f"{DLG_CODE}: torch's L-BFGS without one"),
        "in_turn": (False, "read", DLG_CODE), "relative": (False, "ours", "an option of ours"),
        "scale": (1.0, "ours", "an option of ours"), "labels": ("joint", "read", DLG_CODE),
        "stop": (None, "read", DLG_CODE)},
    attacks.idlg: {
        "iterations": (300, "read", IDLG_CODE), "lr": (1.0, "read", IDLG_CODE),
        "line_search": (False, "read", IDLG_CODE), "labels": ("idlg", "read", IDLG_CODE),
        "stop": (1e-6, "read", IDLG_CODE)},
    attacks.inverting_gradients: {
        "iterations": (4800, "read", IG_CODE), "lr": (None, "read", "0.1 of Adam, 1 of L-BFGS"),
        "tv": (1e-2, "quoted", "Geiping 2020, appendix C.1"), "labels": ("idlg", "read", IG_CODE),
        "objective": ("cosine", "read", IG_CODE), "optimizer": ("signed_adam", "read", IG_CODE),
        "bn": (0.0, "read", IG_CODE), "masked": (False, "ours", "an option of ours")},
    attacks.mixing_gradients: {
        "iterations": (1000, "ours", "not printed"), "lr": (0.1, "ours", "not printed"),
        "objective": ("cosine", "read", "Eloul 2022, poster"), "tv": (0.0, "ours", "not printed"),
        "orthogonality": (0.0, "ours", "not printed"), "labels": ("analytic", "ours", "a choice"),
        "optimizer": ("adam", "ours", "not printed")},
    attacks.huang: {
        "iterations": (10_000, "read", HUANG_CODE), "tv": (0.1, "read", HUANG_CODE),
        "bn": (0.005, "read", HUANG_CODE), "labels": ("joint", "read", HUANG_CODE),
        "lr": (0.1, "read", HUANG_CODE), "signs": (False, "read", HUANG_CODE),
        "masked": (False, "ours", "an option of ours")},
    attacks.gias: {
        "space": ("z/w", "read", GIAS_CODE), "iterations": ((1000, 5000), "read", GIAS_CODE),
        "lr": (None, "read", "RATES"), "tv": (1e-6, "read", GIAS_CODE),
        "bn": (0.0, "read", GIAS_CODE), "latent_norm": (0.0, "read", GIAS_CODE),
        "labels": ("idlg", "ours", "a choice"), "masked": (False, "ours", "an option of ours")},
    attacks.decode: {
        "signs": (False, "read", f"{HUANG_CODE}: MixUp without abs"),
        "iterations": (1000, "read", HUANG_CODE), "lr": (0.01, "read", HUANG_CODE),
        "weight": (0.05, "read", f"{HUANG_CODE}: + 0.05 mean(1 - |x|)")},
    attacks.reconstruct: {
        "restarts": (1, "read", "one run in all the codes' defaults"), "seed": (0, "ours", ""),
        "record": ((), "ours", ""), "chunk": (None, "ours", ""), "start": (None, "ours", ""),
        "limit": (None, "ours", "")},
    generators.dcgan: {
        "latent": (64, "ours", "small"), "width": (16, "ours", "small"), "seed": (0, "ours", "")},
    generators.train: {
        "steps": (2000, "ours", "small"), "batch_size": (64, "ours", ""), "lr": (1e-3, "ours", ""),
        "gamma": (1.0, "ours", "R3GAN's is set by data set"), "width": (32, "ours", "small"),
        "average": (0.99, "ours", ""), "seed": (0, "ours", ""), "cache": (None, "ours", "")},
    generators.learn: {
        "iterations": ((1000, 500), "read", f"{GIAS_CODE}, train_gen.py"),
        "lr": (1e-2, "read", f"{GIAS_CODE}, train_gen.py: meta_lr"),
        "rates": ((0.03, 1e-3), "read", f"{GIAS_CODE}, train_gen.py"),
        "tv": (1e-4, "read", f"{GIAS_CODE}, train_gen.py"),
        "latent_norm": (1e-3, "read", f"{GIAS_CODE}, train_gen.py: z_norm"),
        "labels": ("idlg", "ours", "granted there"), "seed": (0, "ours", ""),
        "watch": (None, "ours", "")},
    defenses.MixUp: {
        "bound": (0.65, "read", f"{HUANG_CODE}: no coefficient above 0.65"),
        "batch_size": (None, "ours", "all of the client's images")},
    defenses.InstaHide: {
        "bound": (0.65, "read", HUANG_CODE), "batch_size": (None, "ours", "all images")},
    models.lenet: {
        "activation": ("sigmoid", "read", DLG_CODE), "init": ("uniform", "read", DLG_CODE),
        "scale": (0.5, "read", f"{DLG_CODE}: U(-0.5, 0.5)"), "channels": (12, "read", DLG_CODE),
        "kernel": (5, "read", DLG_CODE), "strides": (True, "read", DLG_CODE),
        "norm": (None, "read", DLG_CODE), "seed": (0, "ours", "")},
    metrics.avd: {
        "variant": ("distance_info", "read", "fl_eval_kit, DistanceInfo"),
        "quantise": (False, "ours", "that code does")},
}


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attacks_settings_are_the_papers(name):
    attack, rows = ATTACKS[name]
    named = {field: value for field, value, *_ in rows}
    for field, value in named.items():
        holder = attack.space if field in ("letter", "copies", "box") else attack
        assert getattr(holder, field) == value, (field, getattr(holder, field))
    missing = {f.name for f in fields(attack)} - set(named) - set(NAMED)
    assert not missing, f"settings without a source: {missing}"
    assert attack.name == name.split(",")[0]


@pytest.mark.parametrize("function", DEFAULTS, ids=lambda f: f.__name__)
def test_a_functions_defaults_are_the_papers(function):
    parameters = inspect.signature(function).parameters.values()
    given = {p.name: p.default for p in parameters if p.default is not p.empty}
    assert given == {name: value for name, (value, *_) in DEFAULTS[function].items()}


def test_every_row_names_its_source():
    rows = [row[2:] for _, table in ATTACKS.values() for row in table]
    rows += [row[1:] for table in DEFAULTS.values() for row in table.values()]
    for certainty, source in rows:
        assert certainty in ("read", "quoted", "recalled", "ours")
        assert certainty == "ours" or len(source) > 4


def test_the_options_that_change_a_preset():
    """Settings that an option brings with it, as the official codes have them."""
    dlg, ig, huang = attacks.dlg, attacks.inverting_gradients, attacks.huang
    assert dlg(line_search=True).optimizer == "lbfgs_line_search"
    assert dlg(relative=True).objective is objectives.relative_l2
    assert dlg(labels="analytic").name == "idlg" and dlg(in_turn=True).in_turn
    for optimizer in ("lbfgs", "lbfgs_line_search"):  # as IG's code runs the baseline
        attack = ig(optimizer=optimizer)
        assert (attack.lr, attack.box, attack.decay, attack.normalise) == (1, False, False, True)
    assert ig(optimizer="adam").box and ig(lr=0.3).lr == 0.3 and ig(tv=0).priors == ()
    assert ig(bn=0.1).priors == ((1e-2, priors.tv), (0.1, priors.batch_norm))
    assert huang(tv=0, bn=0).priors == () and huang(bn=0).priors == ((0.1, priors.tv),)
    assert huang(signs=True).priors[0] == (0.1, priors.tv_of_magnitude)
    l_bfgs = attacks.mixing_gradients(optimizer="lbfgs", objective="layer_cosine", tv=0.5)
    assert not l_bfgs.decay and l_bfgs.objective is objectives.layer_cosine
    assert l_bfgs.priors == ((0.5, priors.tv),)
    assert attacks.mixing_gradients(orthogonality=2).priors == ((2, priors.orthogonality),)
    first = attacks.gias(Z, "z/x", latent=(3,), latent_norm=0.5)
    assert first.priors == ((1e-6, priors.tv), (0.5, priors.norm))
    assert first.then.priors == ((1e-6, priors.tv),) and first.then.box and first.then.lr == 0.1
    assert attacks.gias(Z, "z/h", latent=(3,)).then.lr == 0.03
    assert attacks.gias(Z, latent=(3,), lr=(5.0, 7.0)).then.lr == 7


def test_optimisers_are_torchs_with_its_defaults():
    """Zhu 2019, section 4: history 100, 20 inner iterations [quoted], torch's defaults."""
    ours = optimizers.LBFGS(torch.zeros(1, 1, 3))
    group = torch.optim.LBFGS([torch.zeros(3)]).param_groups[0]
    assert ours.m == group["history_size"] == 100 and ours.max_iter == group["max_iter"] == 20
    assert ours.lr == group["lr"] == 1 and not ours.line_search and not group["line_search_fn"]
    assert ours.tol_grad == group["tolerance_grad"] == 1e-7
    assert ours.tol_change == group["tolerance_change"] == 1e-9
    group = torch.optim.Adam([torch.zeros(3)]).param_groups[0]
    assert (group["betas"], group["eps"]) == ((0.9, 0.999), 1e-8)  # which parity compares with


def test_the_learning_rate_falls_where_the_official_codes_let_it():
    """After 3/8, 5/8 and 7/8, rounded as they do [read: IG and GradAttack]."""
    for iterations, marks in ((4800, [1799, 2999, 4203]), (24_000, [8998, 14_999, 21_015]),
                              (10_000, [3749, 6249, 8756])):
        adam = optimizers.Adam(torch.zeros(1, 1, 3), 0.1, iterations, 3, decay=True)
        assert adam.milestones == marks
    assert optimizers.Adam(torch.zeros(1, 1, 3), 0.1, 4800, 3).milestones == []


def test_a_threat_model_grants_nothing_and_a_protocol_is_one_gradient_in_eval_mode():
    granted = client.ThreatModel()
    assert (granted.labels, granted.bn_statistics, granted.prior_data) == ("unknown", "inferred",
                                                                          None)
    assert not granted.defense_known and not granted.mixing_keys and granted.server == "honest"
    protocol = client.Protocol()
    assert (protocol.loss, protocol.mode, protocol.sends) == ("cross_entropy", "eval", "gradients")
    assert (protocol.epochs, protocol.local_batch, protocol.local_lr) == (1, None, None)
    assert not protocol.normalise


def test_what_is_no_attack_is_refused():
    """Every rule of `Attack` and of the spaces, at its edge."""
    lbfgs, adam, gias = attacks.dlg(1), attacks.inverting_gradients(1), attacks.gias
    for attack, changes in (
            (lbfgs, {"iterations": 0}), (lbfgs, {"lr": 0.0}), (lbfgs, {"decay": True}),
            (lbfgs, {"space": spaces.Pixels(box=True)}),
            (adam, {"in_turn": True}), (adam, {"stop": 1e-6}),
            (lbfgs, {"stop": 0.0}), (attacks.dlg(1, in_turn=True), {"stop": 1.0}),
            (gias(Z, "z", latent=(3,)), {"labels": "joint"}), (lbfgs, {"space": "x"})):
        with pytest.raises(ValueError):
            type(attack)(**{f.name: getattr(attack, f.name) for f in fields(attack)} | changes)
    for call in (lambda: gias(None, "z"), lambda: spaces.Layer(Z, (3,), 0),
                 lambda: spaces.Layer(Z, (3,), 2), lambda: spaces.Parameters(Z, (3,), "none"),
                 lambda: spaces.Latents(None, (3,)), lambda: gias(Z, "z/w", (1,), latent=(3,)),
                 lambda: gias(Z, "z/w", lr=(1.0,), latent=(3,)), lambda: gias(Z, "x/z")):
        with pytest.raises(ValueError):
            call()
    one = attacks.reconstruct(client.share(models.lenet(Shape()), batch(K=1)), attacks.dlg(1))
    assert one.images.shape == (1, 1, 1, 8, 8)  # one iteration is allowed


def test_stages_of_a_search_through_a_generator():
    """An inner layer is the one behind the first; only a search of latents is gone on from."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 64), torch.nn.Unflatten(1, (1, 8, 8)))
    both = attacks.gias(net, "z/w", latent=(2,))
    assert attacks.gias(net, "z/h", latent=(2,)).then.space.layer == 1
    assert spaces.Layer(net, (2,)).layer == 1 and spaces.Parameters(net, (2,)).copies == "image"
    assert both.then.space.copies == "image" and not spaces.Pixels().box
    assert [attack.space.letter for attack in (both, both.then)] == ["z", "w"]
    again = replace(both.then, space=spaces.Latents(net, (2,)))
    for then in (again, both):
        with pytest.raises(ValueError, match="a search of latents is gone on from"):
            replace(both, space=spaces.Latents(net, (2,), then))
