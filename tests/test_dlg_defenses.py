"""Notebook 01, Figure 7: what a defense hides; some defenses have more clients than others."""

from types import SimpleNamespace

import pandas as pd

from studies.dlg import tables_defenses
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
