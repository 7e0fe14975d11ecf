"""studies/ledger.py: claims, and the rules of all pages that decide them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lib import run
from studies import ledger as ledgers
from studies import next_runs
from studies.ledger import Claim, Ledger
from studies.verdicts import Decision

PRODUCTS = "build/quick/99_fixture"
COLUMNS = ["id", "claim", "verdict", "rule", "measured", "n", "stable", "origin", "float", "unit",
           "networks", "p", "kind", "undecided", "ended"]
CLAIM = Claim("a", "an ordering", origin="ours", unit="image")
TAKEN = "not after the correction for the tests of this page"


def book(*rows):
    """A ledger of rows (verdict, p, networks), named "c0", "c1", ...; or with a claim's fields."""
    known = Ledger()
    for i, (verdict, p, networks, *fields) in enumerate(rows):
        claim = replace(CLAIM, id=f"c{i}", **(fields[0] if fields else {}))
        known.add(claim, Decision(verdict, "1", p), "r", 8, networks)
    return known


def verdicts_of(*rows):
    return book(*rows).table().verdict.tolist()


# ---- what is kept

def three():
    known = Ledger()
    known.add(CLAIM, Decision(np.bool_(True), "0.3"), "margin > 0", 8, None)
    known.add(Claim("b", "a regime", origin="third party, quoted", float_id="fig3 table1"),
              (None, "n = 8"), "n >= 30", 8, networks=8, ended="budget 2 of 8")
    known.add(Claim("c", "one run", origin="the paper, unmarked", unit="run", stable=False),
              Decision(False, "0.2", 0.00123), "x > 1", 1, networks=3)
    return known


@pytest.mark.usefixtures("place")
def test_the_ledger(place, capsys):
    known = three()
    known.verdicts()
    assert capsys.readouterr().out == "a: True\nb: None\n"
    known.save()
    claims = pd.read_csv(place / PRODUCTS / "claims.csv", keep_default_na=False, dtype=str)
    assert claims.columns.tolist() == COLUMNS
    assert claims.id.tolist() == ["a", "b", "c"] and claims.rule[0] == "margin > 0"
    assert claims.claim.tolist() == ["an ordering", "a regime", "one run"]
    assert claims.verdict.tolist() == ["True", "None", "False"]
    assert claims.measured.tolist() == ["0.3", "n = 8", "0.2"]
    assert claims.n.tolist() == ["8", "8", "1"] and claims.stable.tolist() == ["True"] * 2 + [
        "False"]
    assert claims.origin.tolist() == ["ours", "third party, quoted", "the paper, unmarked"]
    assert claims.float.tolist() == ["", "fig3 table1", ""]
    assert claims.unit.tolist() == ["image", "client", "run"]
    assert claims.networks.tolist() == ["", "8", "3"]
    assert claims.p.tolist() == ["", "", "0.0012"]
    assert claims.kind.tolist() == ["claim"] * 3 and claims.undecided.tolist() == [""] * 3
    assert claims.ended.tolist() == ["", "budget 2 of 8", ""]


def test_a_claim_is_ours_decided_and_the_same_anywhere_unless_it_says_so():
    claim = Claim("a", "b")
    assert (claim.origin, claim.float_id, claim.unit) == ("ours", None, "client")
    assert (claim.check, claim.not_tested, claim.stable) == (False, "", True)


def test_a_page_shows_verdicts_in_words_of_how_many_and_why_attacks_ended():
    ledger = book((True, 1e-9, 8), (False, None, 3))
    ledger.add(Claim("known", "b", unit="network"), Decision(None, "2 against 1, p = 0.6", 0.6),
               "r", 5, 5, "budget 2 of 5")
    ledger.add(Claim("other", "c", unit="batch", not_tested="fewer iterations"),
               Decision(True, "3"), "r", 1, 1)
    rows = ledger.shown().data
    assert rows.verdict.tolist() == ["holds", "fails", "undecided", "not tested"]
    assert rows.measured.tolist() == [
        "1; p = 1e-09", "1", "2 against 1, p = 0.6; budget 2 of 5", "3; fewer iterations"]
    assert rows.n.tolist() == [
        "8 images, 8 networks", "8 images, 3 networks", "5 networks", "1 batch, 1 network"]


def test_a_page_shows_which_rule_took_a_verdict():
    html = book((True, None, 2), (True, None, 3)).shown().to_html()
    assert "1; 2 networks: at least 3 decide" in html and html.count("an ordering") == 2
    assert html.count("; ") - html.count("; }") >= 1 and html.count("at least") == 1


def test_a_page_is_about_a_few_claims_in_its_own_order():
    ledger = book((True, 1e-9, 8), (False, None, 3), (None, None, 3))
    ids = ledger.table().id.tolist()
    rows = ledger.brief(ids[1], ids[0], ids[2]).data
    assert rows.verdict.tolist() == ["✗ fails", "✓ holds", "? undecided"]
    assert rows.measured.tolist() == ["1", "1; p = 1e-09", "1"]
    with pytest.raises(ValueError, match="no claim 'other' in the ledger"):
        ledger.brief("other")
    for wrong in ([], [ids[0]] * 9):
        with pytest.raises(ValueError, match="1 to 8 claims, not"):
            ledger.brief(*wrong)


# ---- the network is the unit

@pytest.mark.parametrize(("networks", "verdict", "why"), [
    (0, "None", "0 networks: at least 3 decide"), (1, "None", "1 network: at least 3 decide"),
    (2, "None", "2 networks: at least 3 decide"), (3, "False", ""), (np.int64(4), "False", ""),
    (None, "False", "")])
def test_three_networks_decide_and_what_is_about_none_needs_none(networks, verdict, why):
    row, = book((False, 1e-9, networks)).table().itertuples()
    assert (row.verdict, row.undecided) == (verdict, why)


def test_what_its_rule_does_not_decide_stays_undecided():
    table = book((None, None, 8), (None, 0.2, 1), (None, 1e-9, 8)).table()
    assert table.verdict.tolist() == ["None"] * 3 and table.undecided.tolist() == [""] * 3


# ---- one correction for the tests of a page

BY_HAND = [  # p, and by hand the least 5 p / rank of its rank and those above: below 0.05?
    (0.001, True),   # 5 * 0.001 / 1 = 0.005
    (0.012, True),   # 5 * 0.012 / 2 = 0.030
    (0.028, True),   # 5 * 0.028 / 3 = 0.0467
    (0.045, False),  # 5 * 0.045 / 4 = 0.0563: by itself it would pass
    (0.3, False)]


@pytest.mark.parametrize("order", [[0, 1, 2, 3, 4], [3, 0, 4, 2, 1]])
def test_the_tests_of_a_page_are_corrected_together(order):
    """Bonferroni would pass 0.001 alone; without a correction 0.045 passed too."""
    cases = [BY_HAND[i] for i in order]
    table = book(*((True, p, 3) for p, _ in cases)).table()
    assert table.verdict.tolist() == ["True" if passes else "None" for _, passes in cases]
    assert table.undecided.tolist() == ["" if passes else TAKEN for _, passes in cases]


def test_a_rank_passes_with_one_above_it():
    """2 * 0.049 / 1 is above 0.05, but 2 * 0.0499 / 2 is below it, and takes the first along."""
    assert verdicts_of((True, 0.049, 3), (False, 0.0499, 3)) == ["True", "False"]
    assert verdicts_of((True, 0.049, 3), (False, 0.0501, 3)) == ["None", "None"]
    assert verdicts_of((True, 0.0499, 3)) == ["True"]
    assert verdicts_of((True, 0.05, 3)) == ["None"]


BESIDE = {  # what stands beside (True, 0.03, 3) with a p of 0.9; is it of the same family?
    "another test": ((None, 0.9, 3), True),
    "another test, of no network": ((None, 0.9, None), True),
    "a check of the code": ((True, 0.9, 3, {"check": True}), False),
    "not tested": ((True, 0.9, 3, {"not_tested": "a smaller network"}), False),
    "without a test": ((True, None, 3), False),
    "two networks": ((True, 0.9, 2), False)}


@pytest.mark.parametrize("what", BESIDE)
def test_the_family_is_the_tests_that_decide(what):
    other, of_the_family = BESIDE[what]
    expected = "None" if of_the_family else "True"
    assert verdicts_of((True, 0.03, 3), other)[0] == expected
    assert verdicts_of(other, (True, 0.03, 3))[1] == expected


@pytest.mark.parametrize("other", [
    (True, 1e-9, 2), (True, 1e-9, 3, {"check": True}), (True, 1e-9, 3, {"not_tested": "LeNet"}),
    (None, 1e-9, 3)])
def test_a_small_p_that_decides_nothing_helps_no_other(other):
    """0.04 passes as the third of four, and neither as the first of two nor of three."""
    rows = (True, 0.04, 3), (None, 0.9, 3)
    assert verdicts_of(*rows, (True, 1e-9, 3), (True, 1e-9, 3))[0] == "None"  # 4 * 0.04 / 3 = 0.053
    assert verdicts_of((True, 0.03, 3), rows[1], (True, 1e-9, 3))[0] == "True"  # 3 * 0.03 / 2
    assert verdicts_of((True, 0.03, 3), rows[1], other)[0] == "None"


def test_checks_are_not_corrected():
    rows = [(True, 0.04, 3, {"check": True}), *((None, 0.9, 3) for _ in range(4))]
    table = book(*rows).table()
    assert table.verdict[0] == "True" and table.undecided[0] == ""


# ---- not tested, checks of the code

def test_another_regime_is_not_tested_whatever_came_out():
    for verdict, networks in ((True, 8), (False, 1), (None, None)):
        row, = book((verdict, None, networks, {"not_tested": "LeNet for ResNet-18"})
                    ).table().itertuples()
        assert (row.verdict, row.undecided) == ("not tested", "LeNet for ResNet-18")
        assert row.kind == "claim"


@pytest.mark.parametrize(("verdict", "text"), [(np.bool_(True), "True"), (False, "False"),
                                               (None, "None")])
def test_a_check_of_the_code_needs_no_networks(verdict, text):
    row, = book((verdict, None, 1, {"check": True})).table().itertuples()
    assert (row.verdict, row.undecided, row.kind) == (text, "", "check of the code")


def test_no_total_counts_a_check():
    rows = [(True, None, 3), (True, None, 3), (False, None, None), (True, None, 2),
            (True, None, 3, {"check": True}), (False, None, 3, {"check": True}),
            (True, None, 3, {"not_tested": "LeNet"})]
    assert book(*rows).counts() == {"True": 2, "False": 1, "None": 1, "not tested": 1}


def test_what_is_printed_is_what_the_rules_of_all_pages_say(capsys):
    book((True, None, 2), (False, None, 3), (True, None, 3, {"not_tested": "LeNet"}),
         (True, None, 1, {"check": True}), (True, None, 3, {"stable": False})).verdicts()
    assert capsys.readouterr().out == "c0: None\nc1: False\nc2: not tested\nc3: True\n"


# ---- what is wrong is named

@pytest.mark.parametrize(("change", "words"), [
    ({"id": ""}, "claim '': id must be a text"), ({"id": 3}, "claim 3: id must be a text"),
    ({"id": None}, "id must"),
    ({"text": " "}, "claim 'a': text must"), ({"text": None}, "text must"),
    ({"unit": ""}, "unit must"), ({"unit": 3}, "unit must"),
    ({"check": "no"}, "claim a: check must be True or False"), ({"check": None}, "check must"),
    ({"stable": "yes"}, "claim a: stable must"), ({"stable": 1}, "stable must"),
    ({"not_tested": True}, "claim a: not_tested says what differs"),
    ({"not_tested": None}, "not_tested says"),
    ({"origin": "somebody"}, "claim a: origin 'somebody' is none of ours, third party, "),
    ({"origin": ""}, "origin"), ({"origin": None}, "origin"), ({"origin": ["read"]}, "origin"),
    ({"origin": "read,quoted"}, "origin"), ({"origin": "read, read"}, "origin"),
    ({"float_id": ""}, "claim a: float_id must name a figure or table"),
    ({"float_id": 3}, "float_id must"), ({"float_id": ["fig1"]}, "float_id must")])
def test_a_wrong_field_of_a_claim_is_named(change, words):
    with pytest.raises(ValueError, match=words):
        replace(CLAIM, **change)


@pytest.mark.parametrize("origin", [*ledgers.ORIGINS, "read, inferred", "ours, third party",
                                    "the paper, unmarked"])
def test_an_origin_is_one_word_or_several(origin):
    assert replace(CLAIM, origin=origin).origin == origin


GOOD = {"claim": CLAIM, "decision": Decision(True, "1", 0.01), "rule": "r", "n": 8, "networks": 3}


@pytest.mark.parametrize(("change", "words"), [
    ({"claim": "a"}, "claim must be a Claim, not 'a'"), ({"claim": None}, "claim must be a Claim"),
    ({"decision": True}, "claim a: a decision is"), ({"decision": (True,)}, "a decision is"),
    ({"decision": None}, "a decision is"), ({"decision": (1, 2, 3, 4)}, "a decision is"),
    ({"decision": (True, "1", 1.5)}, "claim a: p must"),
    ({"decision": (True, "1", -0.1)}, "p must"), ({"decision": (True, "1", np.nan)}, "p must"),
    ({"decision": (True, "1", "0.1")}, "p must"),
    ({"rule": None}, "claim a: rule must be a text"), ({"rule": " "}, "rule must"),
    ({"n": -1}, "claim a: n must"), ({"n": "8"}, "n must"), ({"n": 1.5}, "n must"),
    ({"n": None}, "n must"),
    ({"networks": -1}, "claim a: networks must"), ({"networks": "3"}, "networks must"),
    ({"networks": 2.5}, "networks must"), ({"networks": True}, "networks must"),
    ({"ended": None}, "claim a: ended must be a text"), ({"ended": 3}, "ended must")])
def test_a_wrong_argument_of_a_decided_claim_is_named(change, words):
    known = Ledger()
    with pytest.raises(ValueError, match=words):
        known.add(**GOOD | change)
    assert not known.rows


@pytest.mark.parametrize("verdict", [1, "True", 0.0, "not tested"])
def test_a_verdict_is_true_false_or_none(verdict):
    with pytest.raises(TypeError, match="claim a: the verdict is True, False or None"):
        Ledger().add(**GOOD | {"decision": (verdict, "1")})


@pytest.mark.parametrize("name", ["n", "networks", "rule", "decision"])
def test_what_was_counted_and_of_how_many_networks_cannot_be_left_out(name):
    with pytest.raises(TypeError, match=name):
        Ledger().add(**{key: value for key, value in GOOD.items() if key != name})


def test_a_claim_is_in_the_ledger_once():
    known = Ledger()
    known.add(**GOOD)
    with pytest.raises(ValueError, match="claim a is in the ledger already"):
        known.add(**GOOD)
    assert len(known.rows) == 1


def test_what_would_decide_a_claim_is_said_of_the_undecided_alone():
    known = Ledger({"open": "ten more networks", "closed": "none", "few": "two more",
                    "other": "the paper's network"})
    known.add(Claim("other", "a fourth", not_tested="LeNet"), (True, "0.9"), "a rule", 8, 8)
    known.add(Claim("open", "a claim"), (None, "0.5"), "a rule", 8, 8)
    known.add(Claim("closed", "another"), (True, "0.9", 0.001), "a rule", 8, 8)
    known.add(Claim("few", "a third"), (True, "0.9"), "a rule", 8, 1)
    said = known.table().set_index("id").undecided
    assert said["open"] == "would decide it: ten more networks"
    assert said["closed"] == ""
    assert said["other"] == "LeNet; would test it: the paper's network"
    assert said["few"] == "1 network: at least 3 decide; would decide it: two more"


def test_every_undecided_claim_of_a_paper_names_the_run_that_would_decide_it():
    pages = sorted((run.ROOT / "figures/paper").glob("*/claims.csv"))
    assert pages
    for page in pages:
        rows = pd.read_csv(page, dtype=str, keep_default_na=False)
        theirs = ~rows.origin.str.startswith("ours")
        undecided = rows[(rows.verdict == "None") & (rows.n != "0") & theirs]
        undecided = undecided[undecided.kind == "claim"]
        silent = undecided[~undecided.undecided.str.contains("would decide it")]
        assert not len(silent), f"{page.parent.name}: {', '.join(silent.id)}: see next_runs"


def test_next_runs_name_claims_of_their_page():
    for study, runs in next_runs.OF.items():
        pages = list((run.ROOT / "figures/paper").glob(f"*_{study}/claims.csv"))
        assert len(pages) == 1, study
        ids = set(pd.read_csv(pages[0], dtype=str).id)
        assert set(runs) <= ids, set(runs) - ids
