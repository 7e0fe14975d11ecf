"""Notebook 10: its grid, its claims on made-up numbers, and that no defense is left out."""

from dataclasses import asdict, replace

import numpy as np
import pandas as pd
import pytest
import torch

from lib.run import start
from studies import describe, store, tracked
from studies.cells import Cell
from studies.realistic import arms, claims, compute, elsewhere, plan, settings, tables

KEYS = {name: settings.changed(network) for name, network in settings.NETWORKS.items()}


@pytest.fixture
def declared():
    run = start("paper")
    store.start("10_realistic", run)
    return plan.declare(run)


# --- the grid

def test_every_setting_between_both_ends_is_declared_once(declared):
    grid = declared.grid()
    assert len(grid) == 2**4 + 2**5
    names = [sweep.name for sweep in grid.values()]
    assert len(set(names)) == len(names)
    for (name, setting), sweep in grid.items():
        config = sweep.paper[0]
        protocol = config["protocol"]
        steps = 1
        if protocol.get("local_lr"):
            steps = protocol["epochs"] * setting.batch // protocol["local_batch"]
        seen = settings.Setting(config["batch_size"], steps, protocol["mode"],
                                "train" in config, config["clients"])
        assert seen == setting and config["victim"] == settings.NETWORKS[name].victim


def test_one_step_changes_one_property():
    for name, network in settings.NETWORKS.items():
        for start_, moved in ((settings.LABORATORY, settings.towards(network)),
                              (network.round, settings.back(network))):
            assert list(moved) == KEYS[name]
            for key, setting in moved.items():
                here, there = asdict(start_), asdict(setting)
                assert [k for k in here if here[k] != there[k]] == [key]


def test_the_grid_and_the_defenses_take_at_most_six_core_hours(declared):
    sweeps = store.current().sweeps
    assert sum(sweep.minutes for sweep in sweeps) <= 6 * 60


@pytest.mark.parametrize(("batch", "steps", "expected"), [
    (1, 1, None), (4, 2, (1, 2)), (1, 2, (2, 1)), (4, 3, (3, 4))])
def test_local_steps_are_over_parts_of_the_batch_or_over_all_again(batch, steps, expected):
    protocol = compute.steps_protocol(batch, steps, "train", 0.1)
    assert protocol["mode"] == "train"
    if expected is None:
        assert "local_lr" not in protocol
    else:
        assert (protocol["epochs"], protocol["local_batch"]) == expected
        assert protocol["local_lr"] == 0.1 and protocol["sends"] == "weights"


# --- the experiment

SMALL = {"images": {"name": "photos", "size": 16}, "victim": {"name": "lenet", "channels": 4},
         "attack": {"name": "inverting_gradients", "iterations": 4}, "networks": [1, 3],
         "updates": 1, "batch_size": 2, "clients": 2, "seed": 0,
         "protocol": {"normalise": True}, "threat": {"labels": "known"}, "ranked": 0}


def small(**more):
    start("quick")
    return compute.setting(**SMALL | more)


def test_a_row_an_image_with_its_network_and_number():
    table, arrays = small(shown=1)
    assert table.network.tolist() == [1] * 4 + [2] * 4
    assert sorted(table.image) == [64, 65, 66, 67, 128, 129, 130, 131]
    assert table.columns.isin(["psnr", "flat_psnr", "rank", "ended"]).sum() == 4
    assert arrays["found"].shape == arrays["truth"].shape == (4, 3, 16, 16)
    assert table["rank"].isna().all()


def test_smaller_settings_hold_the_first_images_of_larger_ones():
    table, _ = small(updates=2, batch_size=1, clients=1)
    assert table.image.tolist() == [64, 65, 128, 129] and table["update"].tolist() == [0, 1, 0, 1]
    with pytest.raises(ValueError, match="at most 64"):
        small(batch_size=40)


def test_the_mean_is_of_all_clients_images():
    """One gradient in eval mode: the mean of clients is the gradient of all images together."""
    start("quick")
    how = compute.SettingConfig(**SMALL)
    pictures = compute.image_set(how.images, 0)
    nets = compute.networks(how, pictures)
    update, private, _ = compute.shared(how, pictures, nets)
    together, same, _ = compute.shared(replace(how, batch_size=4, clients=1), pictures, nets)
    assert torch.equal(private.images, same.images)
    for name, g in together.gradients.items():
        torch.testing.assert_close(update.gradients[name], g, rtol=1e-4, atol=1e-7)


def test_what_is_omitted_or_redrawn_is_the_attackers_business():
    start("quick")
    how = compute.SettingConfig(**SMALL | {"precode": {"width": 8}, "omit": ["7."]})
    pictures = compute.image_set(how.images, 0)
    update, _, _ = compute.shared(how, pictures, compute.networks(how, pictures))
    seen = compute.attacked(how, update)
    assert not any(name.startswith("7.") for name in seen.gradients) and len(seen.gradients) == 6
    mine, theirs = (u.model.base[-1][0].sample for u in (seen, update))
    assert mine.shape == theirs.shape and not torch.equal(mine, theirs)
    with pytest.raises(ValueError, match="fresh network"):
        compute.SettingConfig(**SMALL | {"precode": {}, "train": {"epochs": 1}})


def test_a_rank_is_the_place_among_the_candidates():
    table, _ = small(images={"name": "photos", "size": 32}, among=[0, 5], ranked=1)
    ranks = table.groupby("network")["rank"]
    assert (ranks.count() == 1).all() and table["rank"].dropna().between(1, 6).all()


# --- claims

def made(gains, ranks=None, profile="paper"):
    """A cell whose networks have these gains, and images of these ranks each."""
    rows = [{"network": k, "update": 0, "psnr": 12.0 + g, "flat_psnr": 12.0, "rank": rank,
             "ssim": 0.5}
            for k, g in enumerate(gains) for rank in (ranks or [1, 1])]
    return Cell(pd.DataFrame(rows), {}, [{}], len(rows), 1.0, "", "", "", True, profile)


def book_of(laboratory, round_, rest=None, plain=None, adaptive=None):
    every = {name: [(name, key) for key in keys] for name, keys in KEYS.items()}
    pairs = [pair for some in every.values() for pair in some]
    run = [name for name, arm in arms.ARMS.items() if arm.adaptive]
    book = claims.ledger(claims.Cells(
        dict.fromkeys(KEYS, laboratory), dict.fromkeys(KEYS, round_), dict.fromkeys(pairs, rest),
        dict.fromkeys(pairs, rest), {("lenet", "round", "x"): rest}, {16: rest},
        {arms.plain_of(name): plain for name in run}, dict.fromkeys(run, adaptive)))
    return book.table().set_index("id")


def spread(mean, n=6):
    return mean + np.linspace(-0.2, 0.2, n)


def test_the_same_cells_cannot_prove_both_papers_right():
    high, low = made(spread(8)), made(spread(0.2)[::-1], [20, 40])
    resists = book_of(high, low, low)
    assert resists.verdict["resists_resnet20"] == "True"
    assert resists.verdict["leaks_resnet20"] == "not tested"
    leaks = book_of(high, high, high)
    assert leaks.verdict["resists_resnet20"] == "False"
    assert leaks.verdict["leaks_resnet20"] == "True"


def test_thresholds_and_directions():
    high, low = made(spread(8)), made(spread(3)[::-1], [20, 40])
    book = book_of(high, low, low, low, made(spread(8)[::-1]))
    for id in ("laboratory_lenet", "something_lenet", "towards_lenet_batch", "inference_mode",
               "adaptive_soteria", "broken_precode"):
        assert book.verdict[id] == "True", id
    assert book.verdict["back_lenet_batch"] == "None"  # the same numbers
    other = book_of(low, high, high, made(spread(8)), made(spread(1.5)[::-1]))
    for id in ("laboratory_lenet", "towards_resnet20_mode", "inference_mode", "adaptive_noise",
               "broken_soteria"):
        assert other.verdict[id] == "False", id
    nothing = book_of(made(spread(0.1)), made(spread(0.5)), made(spread(0.2)))
    assert nothing.verdict["towards_lenet_batch"] == "None"
    assert "neither is 1 dB above" in nothing.measured["towards_lenet_batch"]
    assert nothing.verdict["something_lenet"] == "False"


def test_what_is_not_computed_decides_nothing():
    book = book_of(None, None)
    assert set(book.verdict) == {"None"} and set(book.n) == {0}


# --- tables, and what other pages stored

def test_every_defense_of_the_house_has_its_adaptive_attacker():
    """No defense can be forgotten: each kind has an arm that is run, stored elsewhere, or says
    why there is none."""
    kinds = {*describe.DEFENSES, *describe.OF_THE_MODEL}
    assert {arm.kind for arm in arms.ARMS.values()} == kinds
    for name, arm in arms.ARMS.items():
        assert arm.is_run + bool(arm.stored) == 1, name
        assert arm.attacker
    shared = {name: arms.plain_of(name) for name, arm in arms.ARMS.items() if arm.is_run}
    assert {name: other for name, other in shared.items() if name != other} == {
        "soteria_zeros": "soteria"}


def test_the_table_of_defenses_leaves_none_out():
    start("quick")
    run = [name for name, arm in arms.ARMS.items() if arm.is_run]
    empty = claims.Cells({"lenet": None}, {}, {}, {}, {}, {}, dict.fromkeys(run),
                         {name: None for name in run if arms.ARMS[name].adaptive})
    table = tables.defenses(empty, elsewhere.read()).reset_index()
    assert set(table.defense) == {arm.title for arm in arms.ARMS.values()} | {"no defense"}
    by_name = table.set_index("defense")
    assert by_name.adaptive["8-bit integers"] == "none computed"
    assert by_name.plain["GradPrune 0.7"] == "not computed"
    assert by_name.adaptive["MixUp 4"] == "17.8 dB" and by_name.page["MixUp 4"] == "05"
    assert by_name.adaptive["equal labels"] == "100% of images"


def test_bounds_beside_the_stored_attacks():
    prior = Cell(pd.DataFrame({"error": [0.01], "blind": [0.1], "variance": 0.06, "pixels": 3072}),
                 {}, [{}], 1, 1.0, "", "", "", True, "paper")
    table = tables.dpsgd(elsewhere.read(), prior, 0.06)
    assert list(table.index) == ["0.001", "0.01", "0.1", "1"]
    assert np.isinf(table["gap, dB"]["0.1"]) and 0 < table["gap, dB"]["1"] < 10
    assert table["our attack, dB"]["0.01"] == pytest.approx(10.37, abs=0.01)
    assert table["smoother, dB"].isna().all()
    smoother = Cell(pd.DataFrame({"mse": [0.02]}), {}, [{"defense": {"noise_multiplier": 0.01}}],
                    1, 1.0, "", "", "", True, "paper")
    other = tables.dpsgd(elsewhere.read(), prior, 0.06, smoother)
    assert other["smoother, dB"]["0.01"] == pytest.approx(16.99, abs=0.01)
    assert other["smoother, dB"].count() == 1
    assert other["gap, dB"]["1"] == pytest.approx(table["gap, dB"]["1"])
    named = table["names 1 of 201, at most"]
    assert named["0.001"] == 1 and named["1"] < 0.06
    blind = tables.blind(prior, [1.0])
    assert list(blind.index) == ["20 dB"] and blind["noise 1"].iloc[0] > 0.1


def test_another_pages_cells_are_read_as_they_are():
    cell = tracked.cell("05_huang_evaluation", "dpsgd_001")
    assert cell.config[0]["defense"][0]["noise_multiplier"] == 0.01 and cell.n == 50
    assert tracked.cell("05_huang_evaluation", "none_of_this_name") is None
    with pytest.raises(ValueError, match="notebook"):
        tracked.cell("../05", "dpsgd_001")
