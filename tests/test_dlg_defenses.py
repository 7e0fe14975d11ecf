"""Notebook 01, Figure 7: what a defense hides; some defenses have more clients than others."""

from types import SimpleNamespace

import pandas as pd

from studies.dlg import claims_defenses, tables_defenses
from studies.dlg.settings import DEFENSES

SEEN = {"avd": 0.1, "seen_mse": 0.001, "ssim": 0.9}
GONE = {"avd": 0.9, "seen_mse": 0.1, "ssim": 0.1}


def test_a_defense_is_asked_of_the_images_that_the_attack_shows_without_it():
    parts = [["none", "pruned 10%", "int8"], ["none", "pruned 10%"]]  # clients 0, 1 and 2, 3
    rows = []
    for part, names in enumerate(parts):
        for number, name in enumerate(names):
            for client in (2 * part, 2 * part + 1):
                seen = name == "none" and client != 3 or name == "pruned 10%" and client == 0
                rows.append({"part": part, "defense": number, "client": client}
                            | (SEEN if seen else GONE))
    cell = SimpleNamespace(table=pd.DataFrame(rows), config=[
        {"defense": [DEFENSES[name] for name in names]} for names in parts])
    found = tables_defenses.hidden(cell)
    for criterion in tables_defenses.CRITERIA:
        assert found["pruned 10%"][criterion].to_dict() == {0: False, 1: True, 2: True}
        assert found["int8"][criterion].to_dict() == {0: True, 1: True}
        assert not found["none"][criterion].any()
    assert tables_defenses.in_most(found["pruned 10%"]) == "defends"


def accuracies(**means: float) -> dict[str, pd.Series]:
    """Three trainings under each defense, half a point apart."""
    return {name: pd.Series([mean - 0.005, mean, mean + 0.005 + 1e-4 * i])
            for i, (name, mean) in enumerate(means.items())}


def test_pruning_is_held_against_the_best_other_defense_that_defends():
    learned = accuracies(none=0.69, **{"Gaussian 1e-04": 0.5, "pruned 30%": 0.6, "int8": 0.68})
    means = pd.Series({name: learned[name].mean() for name in ("Gaussian 1e-04", "pruned 30%")})
    ahead = claims_defenses._pruning_against_others(means, learned)
    assert ahead.verdict is True
    assert "pruned 30% against Gaussian 1e-04" in ahead.measured
    learned |= accuracies(**{"Gaussian 1e-04": 0.65})
    means["Gaussian 1e-04"] = 0.65
    assert claims_defenses._pruning_against_others(means, learned).verdict is False
    assert claims_defenses._pruning_against_others(means[["pruned 30%"]], learned).verdict is None


def test_costs_stand_beside_each_other_and_name_their_network():
    block = pd.DataFrame({"accuracy": [0.339], "sd": [0.01], "victims": [3]}, index=["none"])
    printed = pd.DataFrame({"value": [76.3], "unit": ["%"]}, index=pd.MultiIndex.from_tuples(
        [("none", "accuracy")]))
    learned = accuracies(none=0.688, **{"pruned 30%": 0.6})
    table = tables_defenses.costs_page({"paper profile": block}, learned, printed)
    first, pruned = table.iloc[0], table[table.defense == "pruned 30%"].iloc[0]
    assert first["LeNet, paper profile"] == "33.9 ± 1.0 (n = 3)"
    assert first["ResNet of depth 8"] == "68.8 ± 0.5 (n = 3)"
    assert pruned["ResNet of depth 8"] == "60.0 ± 0.5 (n = 3)"


def test_lenet_decides_no_cost_and_the_network_that_learns_does():
    def sweep(table):
        cell = None if table is None else SimpleNamespace(
            table=table, config=[{"defense": [DEFENSES["none"]]}])
        return SimpleNamespace(shown=lambda *_: cell)
    weak = sweep(pd.DataFrame({"part": 0, "defense": 0, "seed": [0, 1], "accuracy": [0.3, 0.4]}))
    three = pd.DataFrame({"seed": [0, 1, 2], "accuracy": [0.6, 0.7, 0.8]})
    plan = SimpleNamespace(trained=weak, learned={"none": sweep(three), "Gaussian 1e-02":
                                                  sweep(None)})
    victims, why = claims_defenses._victims(plan)
    assert why == claims_defenses.SHORT
    assert victims["none"].tolist() == [0.3, 0.4]
    plan.learned["Gaussian 1e-02"] = sweep(three)
    victims, why = claims_defenses._victims(plan)
    assert why == ""
    assert victims["none"].to_dict() == {0: 0.6, 1: 0.7, 2: 0.8}
