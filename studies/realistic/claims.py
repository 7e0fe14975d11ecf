"""The ledger of notebook 10: each claim with the rule that decides it, written before the runs.

Two papers answer one question in opposite ways. 2508.19819: modern networks resist in federated
learning as it is done. 2506.08435: clients' images can still be reconstructed there. Both are held
against the same cells by the same two rules, so that at most one of them holds:

- an image is *recognised* if its reconstruction is nearer to it (ST-LPIPS) than to each of 200
  other images; a setting leaks recognisably where more than half of the images are;
- a setting leaks *something* where the reconstruction is more than `CLEAR` dB above the mean
  colour.

Assumptions in which the papers differ stand in the claim. A network's images are averaged first."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from studies import next_runs, verdicts
from studies.cells import Cell
from studies.ledger import Claim, Ledger
from studies.realistic import settings
from studies.realistic.arms import ARMS, plain_of
from studies.verdicts import Decision

MOST = 0.5   # of the images, recognised
CLEAR = 1.0  # dB above the mean colour, as on page 03
RESISTS, LEAKS = "2508.19819", "2506.08435"
OTHER_ATTACK = "another attack than theirs (partial gradient matching), smaller networks"
BROKEN = {"soteria": "read", "precode": "read"}  # by the papers that break them
DOES = {"more total variation": "smooths more"}
NOT_COMPUTED = Decision(None, "not computed")
RECOGNISED = "recognised among 200 other images by ST-LPIPS: mean share over networks {} one half"
PAIRED = "gain over the mean colour, paired by network, t-test"
WORDS = {"batch": "a larger batch", "steps": "local steps", "mode": "BatchNorm in train mode",
         "trained": "training the network", "clients": "a mean of several clients"}


@dataclass(frozen=True)
class Cells:
    """What decides the ledger, None for what is not computed; the fields as of `plan.Plan`."""

    laboratory: dict[str, Cell | None]
    round: dict[str, Cell | None]
    towards: dict[tuple[str, str], Cell | None]
    back: dict[tuple[str, str], Cell | None]
    others: dict[tuple[str, str, str], Cell | None]
    larger: dict[int, Cell | None]
    plain: dict[str, Cell | None]
    adaptive: dict[str, Cell | None]


def ledger(cells: Cells) -> Ledger:
    """All claims."""
    book = Ledger(next_runs.OF["realistic"])
    for name in settings.NETWORKS:
        _ends(book, cells, name)
        _towards(book, cells, name)
        _back(book, cells, name)
    _modes(book, cells)
    _batches(book, cells)
    _attacks(book, cells)
    for name in cells.adaptive:
        _arm(book, cells, name)
    return book


# --- what is measured of a cell


def recognised(cell: Cell) -> pd.Series:
    """The share of the images that are recognised, by network."""
    rows = cell.table.dropna(subset=["rank"])
    return verdicts.by_network(rows.assign(first=(rows["rank"] == 1).astype(float)), "network",
                               "first")


def gain(cell: Cell) -> pd.Series:
    """dB above the set's mean colour, by network."""
    rows = cell.table.assign(gain=cell.table.psnr - cell.table.flat_psnr)
    return verdicts.by_network(rows, "network", "gain")


def _of(cell: Cell | None, id: str, text: str, **more) -> Claim:
    stable = cell is not None and cell.profile == "paper"
    return Claim(id, text, **{"unit": "network", "stable": stable} | more)


def _add(book: Ledger, claim: Claim, decision: Decision, rule: str, count: int) -> None:
    book.add(claim, decision, rule, count, count)


def _most(cell: Cell | None, below: bool = False) -> tuple[Decision, int]:
    """Is the mean share that is recognised above (or below) one half? How many networks?"""
    if cell is None or not cell.table["rank"].notna().any():
        return NOT_COMPUTED, 0
    shares = recognised(cell)
    decision = verdicts.decide(shares.sum(), len(shares), MOST)
    if below and decision.verdict is not None:
        decision = decision._replace(verdict=not decision.verdict)
    return decision, len(shares)


def _greater(a: Cell | None, b: Cell | None, more: float = 0.0) -> tuple[Decision, int]:
    """Is a's gain above b's, by more than so many dB? Two that show nothing are not compared."""
    if a is None or b is None:
        return NOT_COMPUTED, 0
    both = pd.concat([gain(a), gain(b)], axis=1, join="inner", keys=["a", "b"])
    decision = verdicts.decide_greater(both.a, both.b + more, paired=True)
    difference = both.a - both.b
    measured = (f"{both.a.mean():.1f} against {both.b.mean():.1f} dB; difference "
                f"{difference.mean():+.1f} ± {difference.std():.1f}, p = {decision.p or 1:.2g}")
    if max(both.mean()) < CLEAR:
        measured = f"neither is {CLEAR:g} dB above the mean colour: {measured}"
        return Decision(None, measured), len(both)
    return decision._replace(measured=measured), len(both)


# --- the two answers


def _ends(book: Ledger, cells: Cells, name: str) -> None:
    title, here, there = settings.NETWORKS[name].title, cells.laboratory[name], cells.round[name]
    decision, n = _most(here)
    _add(book, _of(here, f"laboratory_{name}", f"{RESISTS}: under restrictive assumptions images "
                   f"are reconstructed ({title}, laboratory)", origin="read",
                   float_id="abstract"), decision, RECOGNISED.format("above"), n)
    decision, n = _most(there, below=True)
    _add(book, _of(there, f"resists_{name}", f"{RESISTS}: federated learning as it is done resists "
                   f"meaningful reconstruction ({title}, round)", origin="read",
                   float_id="abstract"), decision, RECOGNISED.format("below"), n)
    decision, n = _most(there)
    leaks = decision.verdict is True
    _add(book, _of(there, f"leaks_{name}", f"{LEAKS}: images are still reconstructed in realistic "
                   f"federated learning ({title}, round)", origin="read", float_id="abstract",
                   not_tested="" if leaks or n == 0 else OTHER_ATTACK), decision,
         RECOGNISED.format("above") + "; where it is not, their own attack decides", n)
    decision, n = NOT_COMPUTED, 0
    if there is not None:
        above = gain(there)
        decision, n = verdicts.decide_greater(above, np.full(len(above), CLEAR), paired=True), len(
            above)
        decision = decision._replace(measured=f"{above.mean():.1f} ± {above.std():.1f} dB above "
                                              f"the mean colour, p = {decision.p or 1:.2g}")
    _add(book, _of(there, f"something_{name}", "ours: the round still gives something away of the "
                   f"images ({title})"), decision,
         f"more than {CLEAR:g} dB above the mean colour, t-test of networks", n)


def _towards(book: Ledger, cells: Cells, name: str) -> None:
    """Each property alone costs the attacker something (2508.19819: upper-bound settings)."""
    network = settings.NETWORKS[name]
    for key in settings.changed(network):
        decision, n = _greater(cells.laboratory[name], cells.towards[name, key])
        _add(book, _of(cells.towards[name, key], f"towards_{name}_{key}",
                       f"ours, after {RESISTS}: {WORDS[key]} alone lowers what the laboratory "
                       f"gives ({network.title})"), decision, PAIRED, n)


def _back(book: Ledger, cells: Cells, name: str) -> None:
    """And each alone, taken back from the round, raises what the round gives."""
    network = settings.NETWORKS[name]
    for key in settings.changed(network):
        decision, n = _greater(cells.back[name, key], cells.round[name])
        _add(book, _of(cells.back[name, key], f"back_{name}_{key}",
                       f"ours: without {WORDS[key]} the round gives more ({network.title})"),
             decision, PAIRED, n)


def _modes(book: Ledger, cells: Cells) -> None:
    """2508.19819: inference mode is what makes it easy."""
    cell = cells.towards["resnet20", "mode"]
    decision, n = _greater(cells.laboratory["resnet20"], cell, CLEAR)
    _add(book, _of(cell, "inference_mode", f"{RESISTS}: clients in inference mode are attacked far "
                   "more easily (ResNet-20, laboratory)", origin="read", float_id="abstract"),
         decision, f"{PAIRED}, by more than {CLEAR:g} dB", n)


def _batches(book: Ledger, cells: Cells) -> None:
    """2506.08435 takes large batches for no obstacle."""
    size = max(cells.larger)
    decision, n = _most(cells.larger[size])
    _add(book, _of(cells.larger[size], "batch_no_obstacle", f"{LEAKS}: larger batches are still "
                   f"reconstructed (LeNet, laboratory, batches of {size})", origin="read",
                   float_id="abstract",
                   not_tested="" if decision.verdict is True or n == 0 else OTHER_ATTACK),
         decision, RECOGNISED.format("above"), n)


def _attacks(book: Ledger, cells: Cells) -> None:
    """Does another attack find more than the one of the grid?"""
    for (name, end, attack), cell in cells.others.items():
        here = {"laboratory": cells.laboratory, "round": cells.round}[end][name]
        decision, n = _greater(cell, here)
        title = settings.NETWORKS[name].title
        id = f"attack_{name}_{end}_{attack}".lower().replace(" ", "_")
        _add(book, _of(cell, id, f"ours: {attack} finds more than one cosine over all layers "
                       f"({title}, {end})"), decision, PAIRED, n)


# --- defenses, and attackers who adapt to them


def _arm(book: Ledger, cells: Cells, name: str) -> None:
    """Does the adaptive attacker find more, and as much as without the defense?"""
    arm, cell, plain = ARMS[name], cells.adaptive[name], cells.plain[plain_of(name)]
    origin = BROKEN.get(name, "ours")
    decision, n = _greater(cell, plain)
    _add(book, _of(cell, f"adaptive_{name}", f"{arm.title}: an attacker who "
                   f"{DOES.get(arm.attacker, arm.attacker)} finds more", origin=origin), decision,
         PAIRED, n)
    decision, n = NOT_COMPUTED, 0
    here = cells.laboratory["lenet"]
    if cell is not None and here is not None:
        both = pd.concat([gain(cell), gain(here)], axis=1, join="inner", keys=["a", "b"])
        decision, n = verdicts.decide_greater(both.a, both.b - CLEAR, paired=True), len(both)
        measured = f"{both.a.mean():.1f} against {both.b.mean():.1f} dB without the defense"
        decision = decision._replace(measured=f"{measured}, p = {decision.p or 1:.2g}")
    _add(book, _of(cell, f"broken_{name}", f"{arm.title}: that attacker finds as much as without "
                   "the defense", origin=origin), decision,
         f"{PAIRED}, less than {CLEAR:g} dB lower", n)
