"""Notebook 03's means of several clients and parts of an update: what is computed, and compared."""

import numpy as np
import pandas as pd
import pytest

from lib import attacks, data
from lib.run import start
from studies import report
from studies.cells import Cell
from studies.inverting_gradients import comparisons, plan, shared_claims, shared_sweeps
from studies.inverting_gradients import compute_shared as compute
from studies.inverting_gradients import shared_tables as tables
from studies.ledger import Ledger

DIGITS, LENET = {"name": "digits"}, {"name": "lenet", "channels": 4, "seed": 1}
ATTACK = {"name": "inverting_gradients", "iterations": 30, "tv": 0.01}


@pytest.fixture(autouse=True)
def cpu():
    start("quick", device="cpu")


def test_means_are_of_neighbouring_images_and_rows_of_the_first_ones():
    table, arrays = compute.several_clients(DIGITS, LENET, ATTACK, 2, 3, 5, 0, shown=4)
    assert table.image.tolist() == [0, 1, 2, 3, 4] and table["mean"].tolist() == [0, 0, 1, 1, 2]
    digits = data.load("digits")
    private = digits.clients(5, indices=range(5))
    assert table.true_label.tolist() == private.labels[:, 0].tolist()
    assert np.array_equal(arrays["truth"][:, 0], (private.images[:4, 0, 0] * 255).round().numpy())
    errors = ((arrays["found"] / 255.0 - arrays["truth"] / 255.0) ** 2).mean((1, 2, 3))
    assert np.allclose(-10 * np.log10(errors), table.psnr[:4], atol=0.1)
    flat = digits.mean.view(1, 1, 1) - private.images[:, 0]
    assert np.allclose(table.flat_psnr, -10 * flat.square().mean((1, 2, 3)).log10())
    assert table.flat_ssim.notna().all()


def test_one_client_in_a_mean_is_the_client_alone():
    table, _ = compute.several_clients(DIGITS, LENET, ATTACK, 1, 2, 2, 0)
    part, _ = compute.part_of_an_update(DIGITS, LENET, {}, ATTACK, [0, 2], 0)
    assert np.allclose(table.psnr, part.psnr, atol=1e-3)


def test_what_is_attacked_is_the_mean(monkeypatch):
    sent = []
    real = attacks.reconstruct

    def watched(update, *rest, **more) -> attacks.Reconstruction:
        sent.append(update)
        return real(update, *rest, **more)

    monkeypatch.setattr(compute.attacks, "reconstruct", watched)
    short = ATTACK | {"iterations": 1}
    compute.several_clients(DIGITS, LENET, short, 2, 3, 2, 0)
    assert len(sent[0].members) == 2 and sent[0].members.even and sent[0].batch_size == 2
    truth = data.load("digits").clients(6, indices=range(6)).labels
    assert sent[0].labels.tolist() == truth.view(3, 2).tolist()
    compute.part_of_an_update(DIGITS, LENET, {"names": ["0."]}, short, [0, 2], 0)
    assert set(sent[1].gradients) == {"0.weight", "0.bias"} and sent[1].partial
    assert sent[1].labels.tolist() == truth[:2].tolist()
    compute.part_of_an_update(DIGITS, LENET, {}, short | {"labels": "joint"}, [0, 2], 0)
    assert sent[2].labels is None and sent[2].threat.labels == "unknown"


@pytest.mark.parametrize(("part", "read", "exact", "numbers"), [
    ({}, 1, True, 4 * 25 + 4 + 2 * (400 + 4) + 160 + 10), ({"names": ["7."]}, 1, True, 170),
    ({"names": ["0.", "2."]}, np.nan, False, 104 + 404),
    ({"rank": 2}, 1, False, 2 * (4 + 4 + 4 + 10))])
def test_what_a_part_gives_away(part, read, exact, numbers):
    own = {name: value for name, value in LENET.items() if name != "seed"}
    table, _ = compute.part_of_an_update(DIGITS, own, part, ATTACK | {"iterations": 1}, [1, 4], 0)
    assert table.image.tolist() == [1, 2, 3]
    assert np.array_equal(table["read"], [read] * 3, equal_nan=True)
    assert (table.input_error < 1e-4).all() if exact else table.input_error.isna().all()
    assert (table.numbers == numbers).all()


def test_labels_that_are_not_read_can_be_searched_for():
    table, _ = compute.part_of_an_update(DIGITS, LENET, {"names": ["0.", "2.", "4."]},
                                         ATTACK | {"labels": "joint"}, [0, 3], 0)
    assert table.label.isin(range(10)).all() and table["read"].isna().all()


def test_a_label_that_is_read_wrong_counts_as_wrong(monkeypatch):
    real = compute.read_labels
    monkeypatch.setattr(compute, "read_labels", lambda update: (real(update) + 1) % 10)
    table, _ = compute.part_of_an_update(DIGITS, LENET, {}, ATTACK | {"iterations": 1}, [0, 2], 0)
    assert table["read"].tolist() == [0, 0]


# ---- the page


@pytest.fixture
def sweeps(tmp_path, monkeypatch):
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    run = start("paper", seed=0, device="cpu")
    report.start("03_inverting_gradients", run, paper="geiping2020")
    return plan.declare(run)


def test_the_same_images_are_scored_in_means_of_every_size(sweeps):
    for (network, count), sweep in sweeps.shared.means.items():
        for config in sweep.paper:
            assert config["scored"] == shared_sweeps.SCORED[network]
            assert config["clients"] == count and count * config["means"] >= config["scored"]
        assert not sweep.gpu
    of_lenet = sweeps.shared.means["LeNet", 16].paper
    assert len({config["victim"]["seed"] for config in of_lenet}) >= 3
    for sweep in sweeps.shared.parts.values():
        assert "seed" not in sweep.paper[0]["victim"] and sweep.paper[0]["clients"][1] >= 3


def cell(psnr, image, iterations=100, part=0, seed=None, **columns) -> Cell:
    victim = {"name": "lenet"} if seed is None else {"name": "lenet", "seed": seed}
    config = [{"images": {"name": "cifar10"}, "victim": victim,
               "attack": {"iterations": iterations}}]
    table = pd.DataFrame({"part": part, "image": image, "psnr": psnr} | columns)
    return Cell(table, {}, config, len(table), 1.0, "cpu", "2", "", True, "paper")


def test_networks_are_numbered_by_image_where_each_has_its_own():
    psnr = comparisons.psnr_of([cell([1.0, 2.0], [4, 5])])
    assert psnr.index.tolist() == [("of client 4", 4), ("of client 5", 5)]
    assert comparisons.psnr_of([cell([1.0, 2.0], [4, 5], seed=3)]).index.tolist() == [
        ("3", 4), ("3", 5)]


def test_leaking_is_measured_against_the_mean_colour_of_the_same_images():
    book = comparisons.Book(Ledger(), True, [])
    leaking = cell([20.0, 21.0, 20.5, 20.2], [0, 1, 2, 3], flat_psnr=12.0)
    shared_claims._above_the_mean_colour(book, "leaks", leaking, "it leaks")
    hidden = cell([12.0, 12.5, 12.2, 11.9], [0, 1, 2, 3], flat_psnr=12.0)
    shared_claims._above_the_mean_colour(book, "hides", hidden, "it leaks")
    assert book.ledger.table().verdict.tolist() == ["True", "False"]
    assert book.ledger.table().measured[0].startswith("+8.4 ± ")


def test_what_a_part_is_worth_is_decided_by_networks(monkeypatch):
    noise = np.array([0.0, 0.1, -0.1, 0.05])

    def of(psnr, **more) -> Cell:
        exact = {"read": 1.0, "input_error": 1e-6} | more
        return cell(psnr + noise * (psnr - 20), [0, 1, 2, 3], **exact)

    cells = {("LeNet", "whole update"): of(22.0), ("LeNet", "all but the head"): of(21.8),
             ("LeNet", "head"): of(14.0), ("LeNet", "adapters"): of(21.5, read=0.0)}
    monkeypatch.setattr(shared_claims, "cells_of", lambda sweeps: cells)
    book = comparisons.Book(Ledger(), True, [])
    shared_claims._parts(book, shared_sweeps.Shared({}, {}, {}))
    shared_claims._exact(book, shared_sweeps.Shared({}, {}, {}))
    verdicts = book.ledger.table().set_index("id").verdict
    assert verdicts["without_head_LeNet"] == "True" and verdicts["head_alone_LeNet"] == "True"
    assert verdicts["adapters_LeNet"] == "False" and verdicts["head_alone_ViT"] == "None"
    assert verdicts["parts_label"] == "False" and verdicts["parts_input"] == "True"


def test_the_table_says_read_searched_or_nothing():
    read = cell([1.0, 2.0], [0, 1], read=[1.0, 0.0])
    blind = cell([1.0, 2.0], [0, 1], read=np.nan)
    searched = cell([1.0, 2.0], [0, 1], label=[3, 4], true_label=[3, 5], read=np.nan)
    assert tables._label(read, None) == "1 of 2, read"
    assert tables._label(blind, searched) == "1 of 2, searched"
    assert tables._label(blind, None) == "–"


def test_patches_are_put_where_they_fit_best():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 256, (2, 3, 8, 8), dtype=np.uint8)
    moved = np.concatenate([truth[..., 4:], truth[..., :4]], -1)  # whole patches change places
    found = np.clip(moved.astype(int) + 5, 0, 255).astype(np.uint8)
    expected = -10 * np.log10(np.square(found / 255 - moved / 255).mean((1, 2, 3)))
    assert np.allclose(tables.patches_in_place(truth, found), expected)
    assert (tables.patches_in_place(truth, np.roll(moved, 1, axis=-1)) < 20).all()
