"""studies/huang_evaluation: the network decides, and a run of the paper's iterations goes first."""

from collections import Counter
from types import SimpleNamespace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from lib import run as runs
from studies import report
from studies.huang_evaluation import arms, claims, drawings, page, plan, settings

GREY = np.full(50, 12.0)


def arm(levels, images=16, iterations=2400, ended=()):
    """An arm of one network for each level in dB, its images around it."""
    spread = np.linspace(-1, 1, images)
    psnr = {(network, image): level + spread[image]
            for network, level in enumerate(levels) for image in range(images)}
    series = pd.Series(psnr)
    series.index.names = ["network", "image"]
    return arms.Arm(series, iterations, Counter(ended))


def decided(compared):
    """The verdict that the ledger gives a comparison."""
    book = claims.Ledger()
    book.add(claims.Claim("x", "x"), compared.decision, claims.RULE, compared.n, compared.networks)
    return book.table().verdict[0]


def test_networks_decide_and_images_do_not():
    one = arms.compare(arm([20]), arm([16]), GREY)
    assert (one.networks, one.n, one.decision.p) == (1, 16, None) and decided(one) == "None"
    three = arms.compare(arm([20, 21, 19]), arm([16, 16.8, 15.1]), GREY)
    assert (three.networks, three.n) == (3, 48) and decided(three) == "True"
    assert decided(arms.compare(arm([16, 16.8, 15.1]), arm([20, 21, 19]), GREY)) == "False"
    assert decided(arms.compare(arm([20, 15, 18]), arm([18, 18, 16]), GREY)) == "None"


def test_two_failures_are_not_compared():
    failed = arms.compare(arm([11, 11.1, 10.9]), arm([9, 9.1, 8.9]), GREY)
    assert failed.decision.verdict is None and failed.decision.measured.endswith("both fail")
    assert arms.compare(arm([11]), arm([9]), GREY).decision.verdict is None
    assert arms.compare(None, arm([9]), GREY).decision == (None, "not computed", None)
    unsure = arms.compare(arm([20, 12, 13]), arm([11, 11.1, 10.9]), GREY)
    assert unsure.decision.verdict is None
    assert unsure.decision.measured.endswith("not surely above it")


def test_only_what_both_arms_have_is_compared():
    compared = arms.compare(arm([20, 21, 19]), arm([16, 17], images=4), GREY)
    assert (compared.networks, compared.n) == (2, 8) and decided(compared) == "None"
    with pytest.raises(ValueError, match="2400 and 10000"):
        arms.compare(arm([20]), arm([16], iterations=10_000), GREY)
    half = arm([20], images=6).only(slice(1, None, 2))
    assert half.psnr.index.get_level_values("image").tolist() == [1, 3, 5]


def test_how_attacks_ended_is_told():
    compared = arms.compare(arm([20], ended={"budget": 16}),
                            arm([16], ended={"budget": 15, "not finite": 1}), GREY)
    assert compared.ended == "budget 31 of 32, not finite 1 of 32"
    assert arms.compare(arm([20]), arm([16]), GREY).ended == ""


@pytest.fixture
def kept(monkeypatch):
    """The cells of the paper's iterations that are stored: condition -> victim -> cell."""
    cells = {}
    for module in (arms, drawings):
        monkeypatch.setattr(module, "full_cells", lambda _, condition: cells.get(condition, {}))
    return cells


@pytest.fixture
def sweeps(monkeypatch, tmp_path):
    """The plan of notebook 05."""
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    report.start("05_huang_evaluation", runs.start("quick"), paper="huang2021")
    return plan.declare(runs.current())


def full_cell(condition, victim, level):
    """A cell of the paper's iterations with 16 images around a level."""
    config = settings.full(condition, settings.SEEDS_APART * victim)
    table = pd.DataFrame({"psnr": level + np.linspace(-1, 1, 16), "ended": "budget"})
    path = np.full((16, len(settings.RECORDED)), level, "float32")
    return SimpleNamespace(config=[config], table=table, arrays={"path": path})


def test_the_papers_iterations_go_before_fewer(sweeps, kept):
    fewer, conditions = (arm([18]), arm([15])), ("None", "MixUp 4")
    kept["None"] = {victim: full_cell("None", victim, 20 + victim) for victim in range(3)}
    assert arms.pair(sweeps, conditions, fewer) is fewer
    kept["MixUp 4"] = {2: full_cell("MixUp 4", 2, 14)}
    compared = arms.compare(*arms.pair(sweeps, conditions, fewer), GREY)
    assert (compared.networks, compared.n, compared.ended) == (1, 16, "budget 64 of 64")
    kept["MixUp 4"] |= {victim: full_cell("MixUp 4", victim, 14.3) for victim in (0, 1)}
    compared = arms.compare(*arms.pair(sweeps, conditions, fewer), GREY)
    assert compared.networks == 3 and "10,000 iterations" in compared.decision.measured
    table = arms.full_table(sweeps)
    assert table.condition.tolist() == ["None", "MixUp 4"] and table.images.tolist() == [48, 48]
    assert table["network 3"].tolist() == pytest.approx([22, 14])


def test_the_page_shows_any_number_of_networks(sweeps, kept):
    kept["None"] = {victim: full_cell("None", victim, 20 + victim) for victim in range(5)}
    shown = page.full(arms.full_table(sweeps)).data
    levels = shown["each network's mean PSNR, dB"].tolist()
    assert levels == ["20.0, 21.0, 22.0, 23.0, 24.0"] and shown.images.tolist() == [80]


def test_the_curve_is_drawn_of_what_is_stored(sweeps, kept):
    assert drawings.budget(sweeps) is None and arms.full_table(sweeps).empty
    kept["None"] = {0: full_cell("None", 0, 20), 1: full_cell("None", 1, 21)}
    figure = drawings.budget(sweeps)
    assert len(figure.axes[0].lines) == 2 + 1 + 1  # both networks, their mean, the mark
    plt.close(figure)


def test_a_sweep_is_a_victim_of_its_own(sweeps):
    assert len(sweeps.full) == len(settings.FULL) * settings.VICTIMS
    for (condition, _), sweep in sweeps.full.items():
        config, = sweep.paper
        assert config["attack"]["iterations"] == 10_000 and not sweep.quick
        assert config["clients"] * config["batch_size"] == 16
        assert config["victim"]["seed"] == config["seed"]
        assert config["attack"].get("masked", False) == ("Prune" in condition)
        assert ("signs" in config["attack"]) == ("InstaHide" in condition)
    seeds = {sweeps.full["None", victim].paper[0]["seed"] for victim in range(3)}
    assert len(seeds) == 3 and sweeps.full["None, 16 epochs", 0].paper[0]["train"]["epochs"] == 16
