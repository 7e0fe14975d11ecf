"""Notebook 06: why attacks ended, what is paired by client, and its rules."""

from types import SimpleNamespace

import pandas as pd
import pytest

from studies.ledger import Claim, Ledger
from studies.mixing_gradients import settings, tables, tables_accuracy
from studies.mixing_gradients.compute import mixing
from studies.mixing_gradients.rules import Rules


def images_of(mse, attack=0):
    """A row an image: mse[k][i] of image i of client k."""
    rows = [{"client": k, "image": i, "attack": attack, "mse": value}
            for k, values in enumerate(mse) for i, value in enumerate(values)]
    return pd.DataFrame(rows)


def decided(method, *arguments):
    book = Ledger()
    getattr(Rules(book, True), method)(Claim("a", "a claim"), *arguments)
    return book.table().iloc[0]


def test_a_cell_says_why_each_attack_ended():
    search = {"name": "in_span", "iterations": 20, "line_search": True, "relative": True,
              "labels": "idlg", "restarts": 2}
    few = {"name": "mixing_gradients", "iterations": 2}
    table, _ = mixing(images=settings.DIGITS, victim=settings.DENSE, loss="cross_entropy",
                      draw="random", batch_size=2, clients=[0, 2], seed=0,
                      attacks=[{"name": "demix"}, few, search])
    ended = table.groupby("attack").ended.unique().map(list)
    assert ended.tolist() == [[""], ["budget"], ["converged"]]
    assert tables.endings(table[table.attack == 2]) == "converged 2 of 2"


def test_shares_are_of_clients_best_by_truth():
    table = pd.concat([images_of([[0, 1], [1, 1]]), images_of([[1, 1], [1, 0]], attack=1)])
    assert tables.shares_by_client(table, "MSE < 0.01").to_dict() == {0: 0.5, 1: 0.5}
    alone = table[table.attack == 0]
    assert tables.shares_by_client(alone, "MSE < 0.01").to_dict() == {0: 0.5, 1: 0}


def test_the_attack_in_the_span_joins_the_clients_that_both_were_run_on():
    names = ["angle", "other", "closed form", "angle + TV"]
    images = pd.concat([images_of([[1]] * 3, number) for number in range(4)])
    together = tables_accuracy.of_four(images, names, images_of([[0]] * 2))
    assert sorted(together.client.unique()) == [0, 1]
    assert together.groupby("attack").mse.max().to_dict() == {0: 1, 1: 1, 2: 1, 3: 0}


@pytest.mark.parametrize(("first", "second", "verdict"), [
    ([0.1, 0.2, 0.0, 0.1], [0.6, 0.7, 0.4, 0.6], "True"),
    ([0.6, 0.7, 0.4, 0.6], [0.1, 0.2, 0.0, 0.1], "False"),
    ([1, 1, 1], [1, 1, 1], "None"),
    ([0, 0], [1, 0.9], "None")])  # two networks decide nothing
def test_fewer_is_paired_by_network(first, second, verdict):
    row = decided("fewer", pd.Series(first), pd.Series(second))
    assert row.verdict == verdict and row.networks == len(first)


def test_below_is_the_mirror_of_above():
    shares = pd.Series([0.0] * 10)
    assert decided("below", shares, 0.5).verdict == "True"
    assert decided("above", shares, 0.5).verdict == "False"
    assert decided("above", None, 0.5).verdict == "None"


def test_the_best_rate_is_chosen_over_all_seeds_of_a_point():
    """Seeds may lie in several parts; each rate has its own."""
    def part(lr, batch_size=4):
        return {"batch_size": batch_size, "victim": {"name": "dense"}, "lr": lr}

    validation = {0: [0.9, 0.8], 1: [0.7, 0.9], 2: [0.6], 3: [0.9], 4: [0.5]}
    rows = [{"part": number, "validation": value, "accuracy": number + value}
            for number, values in validation.items() for value in values]
    cell = SimpleNamespace(table=pd.DataFrame(rows), config=[
        part(0.3), part(0.03), part(0.3), part(0.03), part(0.3, 2)])
    chosen = tables_accuracy.accuracy_of(cell)
    assert set(chosen) == {(4, 0), (2, 0)}
    accuracies, lr = chosen[4, 0]  # 0.3 alone is best in its first part, 0.03 over all
    assert lr == 0.03 and accuracies.tolist() == pytest.approx([1.7, 1.9, 3.9])
    assert chosen[2, 0][0].tolist() == pytest.approx([4.5])
