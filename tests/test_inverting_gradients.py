"""Notebook 03: its claims are decided by networks, and full-length attacks decide where stored."""

import numpy as np
import pandas as pd
import pytest

from lib.run import start
from studies import report, store
from studies.cells import Cell
from studies.inverting_gradients import comparisons, plan, tables
from studies.inverting_gradients.comparisons import Book, compared
from studies.ledger import Ledger


def cell(psnr: dict[int, list[float]], batch_size: int = 1, **attack) -> Cell:
    """An attack on the first images behind LeNets: seed -> PSNR of these images."""
    tables, configs = [], []
    for part, (network, values) in enumerate(psnr.items()):
        number = np.arange(len(values))
        tables.append(pd.DataFrame({
            "part": part, "client": number // batch_size, "image": number % batch_size,
            "psnr": values, "evaluations": 40}))
        configs.append({
            "images": {"name": "cifar10"}, "victim": {"name": "lenet", "seed": network},
            "batch_size": batch_size, "attack": {"iterations": 100} | attack})
    table = pd.concat(tables, ignore_index=True)
    return Cell(table, {}, configs, len(table), 1.0, "cpu", "2", "", True, "paper")


def book() -> Book:
    return Book(Ledger(), True, [({"name": "cifar10"}, pd.Series(12.0, range(8)))])


def decided(a: Cell, b: Cell) -> pd.Series:
    """The row of the claim that a is better than b."""
    one = book()
    one.versus(one.claim("a", "a is better"), [a], [b])
    return one.ledger.table().iloc[0]


def test_images_behind_one_network_decide_nothing():
    row = decided(cell({0: [20.0, 21, 22, 23]}), cell({0: [14.0, 15.5, 16, 17]}))
    assert (row.verdict, row.networks, row.n) == ("None", 1, 1)


def test_networks_are_paired_and_their_images_averaged():
    """Each network is better by one to two decibels, far less than networks differ."""
    better = cell({0: [15.0, 17], 1: [24.0, 28], 2: [37.0, 33], 3: [20.0, 20]})
    worse = cell({0: [14.0, 16], 1: [22.5, 27], 2: [35.0, 32], 3: [18.4, 19]})
    row = decided(better, worse)
    assert (row.verdict, row.networks) == ("True", 4)
    assert decided(worse, better).verdict == "False"


def test_only_images_that_both_attacks_met_are_compared():
    """Clients of two images and clients of one hold the same images, by their numbers."""
    pair = compared([cell({0: [1.0, 2, 3, 4]}, batch_size=2)], [cell({0: [5.0, 6], 1: [7.0]})])
    assert list(pair.images) == [0, 1]
    assert list(pair.psnr.a) == [1, 2]
    assert compared([cell({0: [1.0]})], [cell({1: [1.0]})]) is None


@pytest.mark.parametrize(("a", "b", "more"), [
    (12.5, 11.0, {}),                          # no better than the mean colour
    (25.0, 15.0, {"optimizer": "lbfgs"}),      # 2,000 gradients against 100
])
def test_attacks_that_fail_or_had_other_efforts_are_not_compared(a, b, more):
    networks = range(4)
    row = decided(cell({k: [a + 0.1 * k] for k in networks}, **more),
                  cell({k: [b] for k in networks}))
    assert row.verdict == "None"


def test_how_attacks_ended_is_said_where_it_is_known():
    lbfgs = cell({0: [1.0, 2]}, optimizer="lbfgs", iterations=2)
    assert comparisons.ended([lbfgs]) == "L-BFGS: budget 2 of 2"
    assert comparisons.ended([cell({0: [1.0]})]) == ""
    stored = cell({0: [1.0, 2]})
    stored.table["ended"] = ["budget", "converged"]
    assert comparisons.ended([stored]) == "Adam: budget 1 of 2, converged 1 of 2"


def test_full_length_attacks_are_on_three_networks_and_need_no_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("PRODUCTS", str(tmp_path))
    run = start("paper", seed=0, device="cpu")
    report.start("03_inverting_gradients", run, paper="geiping2020")
    sweeps = plan.declare(run)
    full = [sweep for sweep in store.current().sweeps if sweep.name.startswith("full_")]
    assert full
    of_the_table = [sweep for name in tables.FULL for sweep in getattr(sweeps.full, name).values()]
    assert len(tables._at_full_length(sweeps)) == len(of_the_table)  # no two have one name
    for sweep in full:
        seeds = {config["victim"].get("seed") for config in sweep.paper}
        own = {client for config in sweep.paper if "seed" not in config["victim"]
               for client in range(*config["clients"])}
        adds_to_others = sweep.name in ("full_path_resnet", "full_restarts")
        assert max(len(seeds), len(own)) >= 3 or adds_to_others
        assert not sweep.gpu
        assert not sweep.quick
