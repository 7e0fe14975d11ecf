"""The audit: what it reads, what it finds, what it says, and that it never promises safety."""

import json
import math
import re
import runpy
import signal
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from auditing import short_attacks
from PIL import Image
from torch import nn

from lib import attacks, audit, client, data, engine, generators, limits, models, priors
from lib.audit import __main__ as command
from lib.audit import attempts as tries
from lib.audit import budget as budgets
from lib.audit import inputs, settings, words
from lib.audit.budget import Budget
from lib.audit.findings import Attempt, Findings, Measured

ROOT = Path(__file__).resolve().parents[1]
NET = """
import torch
from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Flatten(), nn.Linear(64, 10))


made = Net()
number = 3


def broken():
    raise RuntimeError("no GPU here")
"""


@pytest.fixture
def desk(tmp_path, monkeypatch):
    """An auditor's folder: a model file, and what a client of that model sent."""
    (tmp_path / "net.py").write_text(NET)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUIET", "1")
    short_attacks(monkeypatch)
    batch = data.load("digits").clients(1)
    net = inputs.model_of("net.py:Net")
    loss = nn.functional.cross_entropy(net(batch.images[0]), batch.labels[0])
    loss.backward()
    np.savez("update.npz", *(parameter.grad.numpy() for parameter in net.parameters()))
    (tmp_path / "truth").mkdir()
    pixels = (batch.images[0, 0, 0] * 255).round().byte().numpy()
    Image.fromarray(pixels).save("truth/seven.png")
    return batch


TOLD = ["--model", "net.py:Net", "--shape", "1,8,8", "--classes", "10", "--budget", "1h"]


def audited(*words) -> int:
    return command.main(["audit", "update.npz", *TOLD, *words])


# ---- from file to report


def test_a_dense_layer_gives_its_image_away(desk, capsys):
    assert audited("--html", "r.html", "--json", "r.json") == 1
    said = capsys.readouterr().out
    assert "A private image was found" in said and "closed form" in said
    document = json.loads(Path("r.json").read_text())
    assert document["verdict"] == "image" and document["exit_code"] == 1
    assert document["labels"]["analytic"] == desk.labels[0].tolist()
    closed = document["attempts"][0]
    assert closed["name"].startswith("closed form") and closed["distance"] < 1e-3
    assert document["truth_distance"] is None and not document["measured"]
    page = Path("r.html").read_text()
    assert page.count("data:image/png") >= 2 and "no promise" in page
    assert set(re.findall(r'(?:src|href)="([a-z]+:)', page)) == {"data:"}  # nothing is fetched
    assert "--shape 1,8,8" in page


def test_a_rehearsal_scores_and_tries_defenses(desk):
    assert audited("--truth", "truth", "--json", "r.json") == 1
    document = json.loads(Path("r.json").read_text())
    assert document["truth_distance"] < 0.02  # eight bits of the picture
    closed = document["measured"][0]
    assert closed["psnr"] > 40 and closed["gain"] > 20
    assert "PSNR" in document["reasons"][0]


def test_without_labels_a_rehearsal_scores_and_says_what_is_not_known(desk):
    update = client.share(inputs.model_of("net.py:Net"), desk)
    findings = Findings(attempts=[Attempt("cosine", desk.images[0], desk.labels[0])])
    audit._rehearse(findings, update, desk.images[0], None, 0, print, Budget(9, findings))
    assert findings.measured[0].psnr > 90 and math.isnan(findings.truth_residual)
    assert not findings.defended


def test_a_generator_is_one_more_attack(desk, monkeypatch):
    update = client.share(models.lenet(data.load("digits"), channels=4, seed=0), desk)
    generator = generators.dcgan(data.load("digits"), latent=8, width=4)
    report = audit.audit(update, 1e4, generator=generator)
    gias = report.findings.attempts[-1]
    assert "GIAS" in gias.name and not gias.note and gias.images is not None
    assert report.card["prior data"] == "what the generator given was trained on"


def test_statistics_that_the_message_gives_away_serve_the_defenses_too(desk, monkeypatch):
    monkeypatch.setattr(tries, "LEAST", {True: 2, False: 10**9})
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Sigmoid(), nn.Flatten(),
                        nn.Linear(4 * 36, 10))
    threat = client.ThreatModel(bn_statistics="exact")
    update = client.share(net, desk, client.Protocol(mode="train"), threat=threat)
    report = audit.audit(update, 1e4, truth=desk.images[0])
    assert report.findings.attempts[-1].attack.priors[-1][1] is priors.batch_norm
    assert report.findings.defended


def test_nothing_found_is_no_promise(desk, capsys):
    net = inputs.model_of("net.py:Net")
    noise = {name: torch.randn_like(p) for name, p in net.named_parameters()}
    torch.save(noise, "noise.pt")
    code = command.main(["noise.pt", *TOLD, "--labels", "3", "--json", "r.json"])
    document = json.loads(Path("r.json").read_text())
    assert code == document["exit_code"] == 0 and document["verdict"] == "nothing"
    assert command.main(["noise.pt", *TOLD]) == 0  # rules read labels off noise: not the same ones
    assert "no promise that the update is safe" in document["limits"]
    assert "safe" not in capsys.readouterr().out


def test_the_command_of_a_shell(desk, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["audit", "update.npz", *TOLD])
    monkeypatch.delitem(sys.modules, "lib.audit.__main__")
    with pytest.raises(SystemExit) as ended:
        runpy.run_module("lib.audit", run_name="__main__")
    assert ended.value.code == 1 and "A private image" in capsys.readouterr().out


def test_ctrl_c_reports_what_was_found(desk, monkeypatch):
    def interrupted(*given, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(tries.attacks, "reconstruct", interrupted)
    assert audited("--json", "r.json", "--html", "r.html") == 1  # the closed form was there
    assert json.loads(Path("r.json").read_text())["interrupted"] is True
    assert "The search was interrupted" in Path("r.html").read_text()


# ---- what it reads


@pytest.mark.parametrize("kind", ["pt dict", "pt list", "npz names", "safetensors", "ours"])
def test_every_kind_of_file_is_the_same_update(desk, kind):
    net = inputs.model_of("net.py:Net")
    sent = dict(np.load("update.npz"))
    named = {name: torch.from_numpy(sent[f"arr_{i}"])
             for i, (name, _) in enumerate(net.named_parameters())}
    path = Path("sent.npz" if kind == "npz names" else
                "sent.safetensors" if kind == "safetensors" else "sent.pt")
    if kind == "npz names":
        np.savez(path, **{name: tensor.numpy() for name, tensor in named.items()})
    elif kind == "safetensors":
        pytest.importorskip("safetensors.torch").save_file(named, path)
    elif kind == "ours":
        client.share(net, desk).save(path)
    else:
        torch.save(named if kind == "pt dict" else list(named.values()), path)
    told = settings.read(None, {"shape": [1, 8, 8], "classes": 10})
    update = inputs.update_of(path, net, told)
    for name, tensor in named.items():
        assert torch.allclose(update.gradients[name][0], tensor, atol=1e-6)


def test_a_pair_of_states_is_a_difference(desk):
    net = inputs.model_of("net.py:Net")
    torch.save(net.state_dict(), "before.pt")
    with torch.no_grad():
        for p, sent in zip(net.parameters(), dict(np.load("update.npz")).values(), strict=True):
            p -= 0.1 * torch.from_numpy(sent)
    torch.save(net.state_dict(), "after.pt")
    asked = ["after.pt", *TOLD, "--before", "before.pt", "--local-lr", "0.1", "--json", "r.json"]
    assert command.main(asked) == 1
    assert json.loads(Path("r.json").read_text())["attempts"][0]["distance"] < 1e-3


def test_settings_come_from_a_file_and_options_go_before(desk):
    assert command.main(["--init", "told.toml"]) == 0
    told = settings.read(Path("told.toml"))
    assert told.shape == (3, 32, 32) and told.classes == 10 and told.batch_size == 1
    told = settings.read(Path("told.toml"), {"batch_size": 4, "mode": "train", "shape": [1, 8, 8]})
    assert told.batch_size == 4 and told.protocol.mode == "train" and told.shape == (1, 8, 8)
    whole = re.sub(r"^# (?=[\[\w])", "", settings.TEMPLATE.partition("\n")[2], flags=re.M)
    Path("whole.toml").write_text(whole.replace('mean = [', '[x]\nmean = [').replace("[x]\n", ""))
    assert command.main(["--init", "told.toml"]) == 2  # it is there already


@pytest.mark.parametrize(("asked", "says"), [
    (["update.npz"], "needs the update's file and --model"),
    (["gone.npz", *TOLD], "no file gone.npz"),
    (["net.py", *TOLD], "is none of .pt, .pth, .npz, .safetensors"),
    (["update.npz", "--model", "net.py:Net"], "does not say what it is"),
    (["update.npz", "--model", "net.py:Net", "--shape", "1,8,8"], "classes is missing"),
    (["update.npz", *TOLD, "--model", "net.py:Other"], "net.py has no Other"),
    (["update.npz", *TOLD, "--model", "net.py:number"], "net.py:number: it is no torch.nn.Module"),
    (["update.npz", *TOLD, "--model", "net.py:broken"], "RuntimeError: no GPU here"),
    (["update.npz", *TOLD, "--model", "gone.py:Net"], "no model file gone.py"),
    (["update.npz", *TOLD, "--model", "Net"], "it is file.py:Name"),
    (["update.npz", *TOLD, "--shape", "3,8,8"], "do not fit the model"),
    (["update.npz", *TOLD, "--truth", "."], "images, and the update is of 1"),
    (["update.npz", *TOLD, "--html", "gone/r.html"], "no folder"),
    (["update.npz", *TOLD, "--settings", "gone.toml"], "--init gone.toml` writes one"),
    (["bad.pt", *TOLD], "cannot be read without pickle, or is damaged")])
def test_what_cannot_be_audited_is_one_clear_error(desk, capsys, asked, says):
    torch.save({"net": nn.Linear(1, 1)}, "bad.pt")  # a pickled module
    assert command.main(asked) == 2
    told = capsys.readouterr().err
    assert told.startswith("cannot be audited: ") and says in told and told.count("\n") == 1


@pytest.mark.parametrize(("text", "says"), [
    ("shape = 3\nclasses = 2", "shape is a list of numbers"),
    ("shape = [1, 8, 8]\nclasses = 2\nsize = 1", "size is unknown"),
    ("shape = [1, 8, 8]\nclasses = 2\n[protocol]\nlr = 1", "lr is unknown"),
    ("shape = [1, 8, 8]\nclasses = 2\n[protocol]\nmode = 'test'", "unknown mode 'test'"),
    ("shape = [1, 8, 8]\nclasses = 'two'", "classes must be"),
    ("shape = [", "is no TOML file")])
def test_a_wrong_settings_file_names_what_is_wrong(tmp_path, text, says):
    (tmp_path / "told.toml").write_text(text)
    with pytest.raises(ValueError, match=says):
        settings.read(tmp_path / "told.toml")


def test_a_file_that_unpacks_to_more_than_memory_is_refused(desk, monkeypatch):
    np.savez_compressed("zeros.npz", np.zeros(10**6))
    monkeypatch.setattr(inputs, "LARGEST", 10**6)
    with pytest.raises(ValueError, match="unpacks to"):
        inputs.tensors_of(Path("zeros.npz"))


def test_names_from_a_file_are_escaped(desk):
    report = audit.audit(client.share(inputs.model_of("net.py:Net"), desk), 1e4,
                         about={"update": "<script>alert(1)</script>.pt"})
    assert "<script" not in audit.as_html(report)
    assert "&lt;script&gt;" in audit.as_html(report)


# ---- what it says


READ = {"idlg": [3], "analytic": [3]}


def attempt(residual, agreement=math.nan, name="cosine"):
    return Attempt(name, residual=residual, agreement=agreement, attack=attacks.dlg(1))


@pytest.mark.parametrize(("attempts", "kind"), [
    ([attempt(0.005)], "image"), ([attempt(0.005, 30)], "image"),
    ([attempt(0.005, 10)], "labels"),              # many pictures have this update
    ([attempt(0.2, 30)], "likely"), ([attempt(0.2, 10)], "labels"), ([attempt(0.2)], "labels"),
    ([attempt(0.6, 30)], "labels"),                # no nearer than a flat colour
    ([attempt(0.2, 30), attempt(0.001)], "image"), ([Attempt("x", note="not tried")], "labels")])
def test_the_verdict_weighs_distance_and_agreement(attempts, kind):
    findings = Findings(labels=READ, steady=True, flats={"mid-grey": 1.0}, attempts=attempts)
    said = words.verdict(findings)
    assert said.kind == kind and said.code == 1
    assert said.sentence == words.SENTENCES[kind] and said.reasons


def test_labels_that_the_client_told_are_no_leak():
    findings = Findings(labels={"told by the client": [3]}, flats={"mid-grey": 1.0},
                        attempts=[attempt(0.9)])
    assert words.verdict(findings, told=True) == words.Verdict("nothing", 0, ())
    read = Findings(labels=READ, steady=True, flats={"mid-grey": 1.0})
    assert words.verdict(read).kind == "labels"
    read.steady = False                                    # two rules that read one noise agree
    assert words.verdict(read).kind == "untried"


@pytest.mark.parametrize("labels", [{}, {"idlg": [3]}, READ | {"yin": [4]}])
def test_labels_on_which_rules_do_not_agree_are_no_leak(labels):
    findings = Findings(labels=labels, steady=True, flats={"g": 1.0}, attempts=[attempt(0.9)])
    assert words.verdict(findings).kind == "nothing"


def test_a_picture_that_explains_nothing_is_no_leak():
    """A saturated picture has no gradient, distance 1; of a small update flat ones are farther."""
    findings = Findings(flats={"mid-grey": 9.0}, attempts=[attempt(1.0, 60), attempt(0.51, 60)])
    assert words.verdict(findings).kind == "nothing"
    findings.attempts.append(attempt(0.49, 60))
    assert words.verdict(findings).kind == "likely"


def noised(update, size, seed):
    rng = torch.Generator().manual_seed(seed)
    return replace(update, gradients={
        name: size[0] * g + size[1] * g.norm() / g.numel()**0.5
        * torch.randn(g.shape, generator=rng) for name, g in update.gradients.items()})


@pytest.mark.parametrize(("size", "says"), [
    ((1, 0), True), ((1, 1e-3), True), ((0, 1), False), ((1, 3), False)])
@pytest.mark.parametrize("classes", [2, 10])
def test_labels_count_where_noise_as_large_as_the_updates_own_changes_none(classes, size, says):
    digits = data.load("digits").relabel(classes, 0)
    update = client.share(models.dense(digits, activation="tanh", seed=1), digits.clients(1))
    for seed in range(4):
        findings = Findings()
        tries.read_labels(noised(update, size, seed), findings)
        assert (len(findings.labels) >= 2 and findings.steady) == says


def test_a_turned_sign_is_named_and_no_labels_are_read():
    digits = data.load("digits")
    update = client.share(models.dense(digits, seed=1), digits.clients(1))
    findings = Findings()
    tries.read_labels(noised(update, (-1, 0), 0), findings)
    assert not findings.labels and "before and after are swapped" in findings.refused["all rules"]
    three = client.share(models.dense(digits, seed=1), digits.clients(1, 3))
    layer = tries.last_layer(three)
    assert not tries.impossible(three, layer)
    assert "a batch of 1" in tries.impossible(replace(three, batch_size=1), layer)
    decayed = client.Protocol(sends="weights", local_lr=0.1, weight_decay=0.1)
    assert not tries.impossible(replace(three, batch_size=1, protocol=decayed), layer)


def test_a_flat_picture_that_fits_as_well_is_no_leak():
    findings = Findings(flats={"mid-grey": 0.006}, attempts=[attempt(0.005, 30)])
    assert words.verdict(findings).kind == "nothing"


@pytest.mark.parametrize(("gain", "kind"), [(3.0, "image"), (2.9, "nothing"), (-5.0, "nothing")])
def test_where_the_images_are_known_they_decide(gain, kind):
    found = Measured("cosine", 20, 0.5, 0.5, 0.1, gain)
    findings = Findings(flats={"g": 1.0}, measured=[found], attempts=[attempt(0.9)])
    assert words.verdict(findings).kind == kind
    findings.truth_residual = 0.9
    assert words.verdict(findings).kind == kind
    findings.truth_residual = 1.0  # other images than the client's, which are alike by chance
    assert words.verdict(findings).kind == "nothing"


def test_the_table_of_the_calibration_has_no_false_alarm(monkeypatch):
    """It is that of its rows; `bench/calibration.py` computes them."""
    monkeypatch.syspath_prepend(ROOT / "bench")
    import calibration
    rows = pd.read_csv(ROOT / "bench/calibration.csv")
    assert calibration.as_markdown(rows) == (ROOT / "bench/calibration.md").read_text()
    assert len(rows) == 20 * len(calibration.CASES)
    table = calibration.summary(rows)
    assert set(table["false alarms"]) == {0, "–"} and set(table.misses) == {0, "–"}
    assert not rows["taken for the truth"].any()


@pytest.mark.parametrize("case", [1, 3], ids=["a gradient", "noise"])
def test_cases_of_the_calibration_are_as_the_table_says(monkeypatch, case):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import calibration
    monkeypatch.setattr(calibration, "ITERATIONS", {False: 2, True: 2})
    row = calibration.audited(calibration.CASES[case], 0)
    rows = pd.read_csv(ROOT / "bench/calibration.csv")
    assert row["verdict"] == rows[rows.seed.eq(0)].iloc[case].verdict


def test_no_verdict_promises_safety():
    for text in (*words.SENTENCES.values(), *words.REASONS.values()):
        assert not re.search(r"\b(safe|secure|private(?! image)|protected|no leak)\b", text)
    assert "It is no promise" in words.LIMITS


# ---- how it searches


def test_the_distance_counts_every_tensor_alike():
    digits = data.load("digits")
    batch = digits.clients(1)
    update = client.share(models.lenet(digits, channels=6, seed=0), batch)
    assert tries.residual(update, batch.images[0], batch.labels[0]) < 1e-4
    grey = tries.residual(update, torch.full_like(batch.images[0], 0.5), batch.labels[0])
    other = tries.residual(update, batch.images[0], (batch.labels[0] + 1) % 10)
    assert grey > 0.05 and other > 0.5
    doubled = replace(update, gradients={n: 2 * g for n, g in update.gradients.items()})
    half = tries.residual(doubled, batch.images[0], batch.labels[0])
    assert half == pytest.approx(0.5, abs=1e-3)
    last = {n: g if n != "7.bias" else g * 1000 for n, g in update.gradients.items()}
    lone = tries.residual(replace(update, gradients=last), batch.images[0], batch.labels[0])
    assert lone == pytest.approx(0.999 / len(last), abs=1e-3)


def test_two_starts_agree_where_they_found_the_same():
    digits = data.load("digits")
    update = client.share(models.lenet(digits, channels=12, seed=0), digits.clients(1))
    guess = attacks.reconstruct(update, attacks.idlg(30, line_search=True), restarts=3, seed=0)
    same = replace(guess, last=guess.last[:, :1].expand_as(guess.last) * 0.999,
                   loss=torch.tensor([[1.0, 1.0, 1.0]]))
    assert tries.agreement(same) > 50
    failed = replace(same, loss=torch.tensor([[1.0, 1e3, 1e4]]))
    assert math.isnan(tries.agreement(failed))
    assert math.isnan(tries.agreement(replace(same, last=same.last * torch.nan)))


# ---- the budget


class Watch:
    """A clock that the test moves: no test waits."""

    def __init__(self, monkeypatch):
        self.time = 0.0
        for module in (limits, tries, budgets):
            monkeypatch.setattr(module, "now", lambda: self.time)


@pytest.fixture
def watch(monkeypatch):
    return Watch(monkeypatch)


@pytest.fixture(scope="module")
def shared():
    digits = data.load("digits")
    return client.share(models.lenet(digits, channels=6, seed=0), digits.clients(1))


def test_attacks_that_the_budget_cannot_pay_are_not_tried(shared, watch, monkeypatch):
    monkeypatch.setattr(tries, "gradient_seconds", lambda update: 1.0)
    monkeypatch.setattr(tries.attacks, "reconstruct", lambda *given: pytest.fail("begun"))
    report = audit.audit(shared, 50)
    notes = [a.note for a in report.findings.attempts]
    assert notes == ["not tried: it takes 60 s or more, and the budget has 25 s for it",
                     "not tried: it takes 2 min or more, and the budget has 50 s for it"]
    assert report.findings.best is None and report.checks is not None
    read = audit.as_html(report)
    assert "Labels can be read" in read or "No attack fits the budget" in read


def test_where_nothing_was_tried_nothing_is_said_to_be_not_found(watch, monkeypatch):
    findings = Findings(attempts=[Attempt("cosine", note="not tried: too dear")])
    said = words.verdict(findings)
    assert (said.kind, said.code) == ("untried", words.CANNOT)
    assert said.reasons == ("cosine: not tried: too dear.",)
    findings.attempts.append(attempt(0.5))
    assert words.verdict(findings).kind == "nothing"


def test_a_part_that_does_not_fit_is_left_out_with_its_estimate(watch):
    findings = Findings()
    budget = Budget(10, findings)
    assert budget.room == 12.5 and Budget(100, findings).room == 110  # a tenth, or 2.5 s
    watch.time = 4.0
    assert budget.part("checks", 8.4, lambda: "made") == "made" and not findings.left_out
    assert budget.part("checks", 8.6, lambda: pytest.fail("begun")) is None
    assert findings.left_out["checks"] == \
        "left out: it would take about 8.6 s, and the budget has 8.5 s for it"
    assert budget.part("scores", math.inf, lambda: pytest.fail("begun")) is None
    assert "spent before" in findings.left_out["scores"]


def test_a_part_that_takes_longer_than_estimated_is_ended_by_the_alarm():
    findings = Findings()
    budget = Budget(0.01, findings)
    budget.grace = 0.0

    def endless():
        while True:
            pass

    assert budget.part("checks", 0.001, endless) is None
    assert "not done after" in findings.left_out["checks"]
    assert "estimate was 0.001 s" in findings.left_out["checks"]
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0


def test_an_alarm_of_the_program_itself_is_left_alone():
    signal.setitimer(signal.ITIMER_REAL, 60)
    try:
        with limits.Limit(0).alarm():
            assert signal.getitimer(signal.ITIMER_REAL)[0] > 50
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def test_after_ctrl_c_only_what_is_cheap_is_done(watch):
    findings = Findings()
    budget = Budget(100, findings)

    def pressed():
        raise KeyboardInterrupt

    assert budget.part("labels", 0, pressed) is None
    assert findings.interrupted and findings.left_out["labels"] == "ended by Ctrl-C"
    assert budget.left == 0 and budget.room == 10
    assert budget.part("checks", 9, lambda: 3) == 3 and budget.part("checks", 11, list) is None


@pytest.mark.parametrize(("error", "met"), [(KeyboardInterrupt, "interrupted"),
                                            (limits.OutOfTime, "time")])
def test_an_attack_that_is_cut_short_keeps_what_it_found(shared, monkeypatch, error, met):
    real, calls = engine.loop.Iteration.__call__, []

    def third(self):
        calls.append(1)
        if len(calls) == 3:
            raise error
        return real(self)

    monkeypatch.setattr(engine.loop.Iteration, "__call__", third)
    limit = limits.Limit(1e6)
    attack = replace(attacks.idlg(9, line_search=True), normalise=False)
    found = tries.attempt(shared, "x", attack, limit, 0, 0)
    assert limit.met == found.cut == met and found.attack.iterations == 2
    assert math.isfinite(found.residual) and found.restarts == tries.RESTARTS
    calls.clear()
    with pytest.raises(error):
        attacks.reconstruct(shared, attack)                # without a limit nothing is caught


def test_a_limit_is_of_one_client(shared):
    two = client.share(models.lenet(data.load("digits"), channels=6, seed=0),
                       data.load("digits").clients(2))
    for update, limit in ((two, limits.Limit(1)), (shared, 3.0)):
        with pytest.raises(ValueError, match="limit is a limits.Limit"):
            attacks.reconstruct(update, attacks.idlg(1), limit=limit)


def test_a_small_budget_takes_fewer_starts(shared, watch, monkeypatch):
    seen = []

    def refuse(update, attack, restarts, seed, **named):
        seen.append(restarts)
        raise ValueError("begun")

    monkeypatch.setattr(tries.attacks, "reconstruct", refuse)
    for seconds in (60, 239, 240):  # a gradient of a second: 60 s a start at least
        assert tries.attempt(shared, "x", attacks.dlg(), limits.Limit(seconds), 1.0, 0).note \
            == "does not fit: begun"
    assert seen == [tries.FEW, tries.FEW, tries.RESTARTS]
    assert "60 s or more" in tries.attempt(shared, "x", attacks.dlg(), limits.Limit(59), 1, 0).note


def test_an_attack_as_it_ran_has_the_iterations_of_each_stage():
    digits = data.load("digits")
    both = attacks.gias(generators.dcgan(digits, latent=8, width=4), "z/w")
    n = both.iterations
    assert tries._until(attacks.dlg(9), 4).iterations == 4
    assert tries._until(both, 4).iterations == 4 and tries._until(both, 4).then is None
    cut = tries._until(both, n + 7)
    assert cut.iterations == n and cut.then.iterations == 7


@pytest.mark.parametrize(("arguments", "says"), [
    ({"budget": 0}, "budget"), ({"seed": -1}, "seed"), ({"truth": torch.rand(1, 8, 8)}, "truth"),
    ({"labels": torch.tensor([1, 2])}, "labels")])
def test_arguments_are_checked_before_work(arguments, says):
    digits = data.load("digits")
    update = client.share(models.dense(digits), digits.clients(1))
    with pytest.raises(ValueError, match=says):
        audit.audit(update, **({"budget": 1} | arguments))
    with pytest.raises(ValueError, match="one client's update"):
        audit.audit(client.share(models.dense(digits), digits.clients(2)), 1)
