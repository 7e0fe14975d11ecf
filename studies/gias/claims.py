"""The claims ledger of notebook 04.

The paper's text was not at hand: its claims are those of two captions. Wherever two attacks are
compared they met the same clients, so the test is paired; a client counts once, whatever its batch,
since the images of a batch share one gradient.

What counts as a network: each client has a victim of its own, so a comparison of attacks counts
victims. What is said of a generator's *training* (is it worth anything, does it mislead, can it be
done from gradients?) counts trained generators, and there was one of each kind. `spaces_again` and
`untrained_again` are two more; where both are stored the claims use them.
"""

import itertools
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from studies import next_runs, verdicts
from studies.cells import Cell
from studies.gias.compute import SIGNED
from studies.gias.plan import BATCHES, GIML_TESTS, NOISE, SPARSITY, Plan
from studies.gias.tables import client_means, lead, log_distances
from studies.ledger import Claim, Ledger
from studies.store import Sweep
from studies.verdicts import Decision

RULE = ("paired t-test of the clients' mean PSNRs, each client with a victim of its own; of "
        "several generators also of the generators' means, and the larger p counts; p < 0.05")
SEARCHED = "spaces"                # the float "Comparison of different searching spaces"
COMPARED = "state_of_the_art"      # the float "Comparison of state-of-the-art models and ours"
DIFFICULT = "difficulty"           # batch size, sparsity, noise, image size
NO_RESNET = ("a LeNet with BatchNorm on which both attacks end within a decibel of mid-grey; the "
             "paper's ResNet-18 needs a GPU")


@dataclass(frozen=True)
class Side:
    """One of two attacks that are compared: a search space on the clients of a sweep, with further
    clients, and again on the same clients through further generators."""

    sweep: Sweep
    space: str
    further: tuple[Sweep, ...] = ()
    again: tuple[Sweep, ...] = ()

    def cells(self) -> list[list[Cell]]:
        """For each generator the cells of its clients; empty where the sweep was not computed. Of
        the further clients those that were attacked; further generators only where all are there.
        """
        first = self.sweep.shown("run")
        if first is None:
            return []
        generators = _there(self.again)
        if len(generators) < len(self.again):
            generators = []
        return [[first, *_there(self.further)], *([cell] for cell in generators)]

    def means(self) -> np.ndarray:
        """(generators, clients) mean PSNRs."""
        return np.stack([
            np.concatenate([client_means(cell, self.space) for cell in cells])
            for cells in self.cells()])

    def ended(self) -> list[str]:
        """Why the attack on each client ended; empty where a cell does not say."""
        reasons = []
        for cell in itertools.chain(*self.cells()):
            if "ended" not in cell.table:
                return []
            images = cell.table[cell.table.space == self.space]
            reasons += images.groupby("client").ended.first().tolist()
        return reasons


def ledger(plan: Plan) -> Ledger:
    """All claims of notebook 04, decided."""
    book = Ledger(next_runs.OF["gias"])
    _add_spaces(book, plan)
    _add_what_was_learned(book, plan)
    _add_statistics(book, plan)
    _add_difficulties(book, plan)
    _add_faces(book, plan)
    for sweep in (plan.giml_digits, plan.giml):
        cell = sweep.shown("run")
        if cell is not None:
            _add_giml(book, cell, stable=sweep is plan.giml)
    _add_strange(book, plan)
    return book


def _there(sweeps: Iterable[Sweep]) -> list[Cell]:
    """The cells of those that were computed."""
    cells = [sweep.shown("run") for sweep in sweeps]
    return [cell for cell in cells if cell is not None]


def _compare(book: Ledger, claim: Claim, above: Side, below: Side, of_training: bool = False) \
        -> None:
    """Add the claim that one attack has the higher PSNR, on the same clients.

    of_training: it is about what the generator learned, so that generators count, not victims."""
    if not (above.cells() and below.cells()):
        book.add(claim, Decision(None, "not computed"), RULE, 0, 0)
        return
    high, low = above.means(), below.means()
    counts = [len(means) for side, means in ((above, high), (below, low)) if side.again]
    generators = min(counts, default=1)  # pixels have none: they meet each of the other side's
    victims = high.shape[1]
    shape = (generators, victims)
    decision = _decided(*(np.broadcast_to(means[:generators], shape) for means in (high, low)))
    counted = f"{victims} victims, {generators} generator{'s' if generators > 1 else ''}"
    decision = decision._replace(measured=f"{decision.measured}; {counted}")
    networks = generators if of_training else victims
    book.add(claim, decision, RULE, victims, networks, _ended(above, below))


def _decided(high: np.ndarray, low: np.ndarray) -> Decision:
    """Is the mean PSNR (generators, clients) of one attack the higher one? By the clients' means,
    and where there are several generators by the generators', too: the larger p counts."""
    tests = [verdicts.decide_greater(high.mean(0), low.mean(0), paired=True)]
    if len(high) > 1:
        tests.append(verdicts.decide_greater(high.mean(1), low.mean(1), paired=True))
    return max(tests, key=lambda test: 1.0 if test.p is None else test.p)


def _ended(*sides: Side) -> str:
    """How the attacks on the clients ended: "budget 16 of 16"; empty where a cell does not say."""
    reasons = [side.ended() for side in sides]
    if not all(reasons):
        return ""
    words = list(itertools.chain(*reasons))
    return ", ".join(f"{why} {count} of {len(words)}" for why, count in Counter(words).items())


def _add_spaces(book: Ledger, plan: Plan) -> None:
    """Which search space is the best? The first two captions of the paper's experiments. They name
    no network, so the order is tested on the LeNet."""
    again = tuple(plan.spaces_again.values())
    gias = Side(plan.spaces, "z/w", again=again)
    first = Side(plan.spaces, "z/w")  # of the spaces that one generator alone was searched in
    _compare(book, Claim("zw_z", "GIAS recovers more than its first stage alone, a search of "
                                 "latents (GI-z)", "read", SEARCHED),
             gias, Side(plan.spaces, "z", again=again))
    for id, (space, then) in {"zw_zx": ("z/x", "pixels"),
                              "zw_zh": ("z/h", "an inner layer")}.items():
        text = f"GIAS recovers more than latents followed by {then} (GI-{space})"
        _compare(book, Claim(id, text, "read", SEARCHED), first, Side(plan.spaces, space))
    _compare(book, Claim("zw_w", "GIAS recovers more than a search of the generator's parameters "
                                 "alone (GI-w)", "read", SEARCHED),
             gias, Side(plan.spaces, "w", again=again))
    _compare(book, Claim("zw_x", "GIAS recovers more than the official code's search of pixels "
                                 "(GI-x)", "read", f"{SEARCHED} {COMPARED}"),
             gias, Side(plan.spaces, "x"))
    _compare(book, Claim("zw_signed", "GIAS recovers more than Inverting Gradients (signed "
                                      "pixels)"),
             gias, Side(plan.spaces, SIGNED))


def _add_what_was_learned(book: Ledger, plan: Plan) -> None:
    """Is it what the generator learned of images, or that a network makes the picture?"""
    trained, drawn = (tuple(sweeps.values())
                      for sweeps in (plan.spaces_again, plan.untrained_again))
    _compare(book, Claim("trained_098", "where 98 % of the gradient are pruned, GIAS gains from "
                                        "what the generator learned"),
             Side(plan.sparsity[0.98], "z/w"), Side(plan.untrained_pruned, "z/w"),
             of_training=True)
    _compare(book, Claim("untrained_signed", "through an untrained generator, a search of its "
                                             "parameters (GI-w) recovers more than Inverting "
                                             "Gradients"),
             Side(plan.untrained, "w", again=drawn), Side(plan.spaces, SIGNED))
    texts = {
        "trained": ("z/w", "GIAS gains from what the generator learned, against the same network "
                           "untrained"),
        "trained_w": ("w", "a search of parameters alone (GI-w) gains from it, too")}
    for id, (space, text) in texts.items():
        _compare(book, Claim(id, text), Side(plan.spaces, space, again=trained),
                 Side(plan.untrained, space, again=drawn), of_training=True)


def _add_statistics(book: Ledger, plan: Plan) -> None:
    for weight, sweep in plan.statistics.items():
        how = "also with exact" if weight else "without"
        text = f"GIAS recovers more than Inverting Gradients, {how} BatchNorm statistics"
        claim = Claim(f"statistics_{weight:g}", text, "read", COMPARED, not_tested=NO_RESNET)
        _compare(book, claim, Side(sweep, "z/w"), Side(sweep, SIGNED))


def _add_difficulties(book: Ledger, plan: Plan) -> None:
    """The difficulty study; of its batch sizes a third party's script has numbers, of which the
    order alone is tested."""
    for size in BATCHES[:4]:
        sweep = plan.batches[size]
        further = (plan.batch_8_more,) if size == 8 else ()
        gias, pixels = (Side(sweep, space, further) for space in ("z/w", SIGNED))
        where = "behind" if size == 1 else "ahead of"
        above, below = (pixels, gias) if size == 1 else (gias, pixels)
        text = (f"in a third party's figures GIAS is {where} Inverting Gradients at batches of "
                f"{size}")
        computed = bool(above.cells())
        _compare(book, Claim(f"batch_{size}", text, "third party, quoted", DIFFICULT,
                             stable=computed), above, below)
    changed = {f"sparse_{share:g}": (
        f"where {100 * share:g} % of the entries are pruned", plan.sparsity[share])
        for share in SPARSITY[3:]}
    changed |= {f"noise_{variance:g}": (
        f"under Gaussian noise of variance {variance:g}", plan.noise[variance])
        for variance in NOISE}
    for id, (where, sweep) in changed.items():
        gias, pixels = (Side(sweep, space) for space in ("z/w", SIGNED))
        _compare(book, Claim(id, f"{where}, GIAS recovers more than Inverting Gradients",
                             stable=bool(gias.cells())), gias, pixels)


def _add_faces(book: Ledger, plan: Plan) -> None:
    faces = Side(plan.crossed["lfw", "lfw"], "z/w")
    _compare(book, Claim("faces", "on faces of people that the generator has not seen, GIAS "
                                  "recovers more than Inverting Gradients"),
             faces, Side(plan.crossed["lfw", "lfw"], SIGNED))
    _compare(book, Claim("faces_own", "on those faces a generator of faces is worth more "
                                      "than one of CIFAR-10"),
             faces, Side(plan.crossed["cifar10", "lfw"], "z/w"), of_training=True)
    _compare(book, Claim("faces_trained", "on those faces GIAS gains from what a generator "
                                          "of faces learned, against the same network untrained"),
             faces, Side(plan.untrained_faces, "z/w"), of_training=True)


def _add_giml(book: Ledger, cell: Cell, stable: bool) -> None:
    """Is a prior learned from gradients worth more than its start, and than pixels? One prior was
    learned, whatever the number of clients and victims that it is tested on."""
    rounds = cell.config[0]["rounds"]
    tests = [test for test in GIML_TESTS if test in set(cell.table.test)]
    rule = "paired t-test of the clients' mean PSNRs, p < 0.05; what counts are learned priors"
    for number, test in enumerate(tests):
        means = _giml_means(cell, test)
        learned = means["learned from gradients", "z/w"]
        others = {
            "start": ("the untrained generator that it started from", means["untrained", "z/w"]),
            "pixels": ("signed pixels", means["none", SIGNED])}
        for short, (what, psnr) in others.items():
            text = (f"a prior learned from the gradients of {rounds} rounds recovers more "
                    f"than {what} (batches of {test})")
            book.add(Claim(f"giml_{rounds}_{number}_{short}", text, stable=stable),
                     verdicts.decide_greater(learned, psnr, paired=True), rule, len(learned), 1)


def _giml_means(cell: Cell, test: str) -> dict:
    """Each client's mean PSNR (K,) in a test, by (prior, search space)."""
    rows = cell.table[cell.table.test == test]
    return {key: verdicts.by_network(images, "client", "psnr").to_numpy()
            for key, images in rows.groupby(["prior", "space"])}


def _add_strange(book: Ledger, plan: Plan) -> None:
    """Does the prior mislead on images of another kind, and does the objective tell? Client k has
    the same victim in both, and other images; one generator of digits was trained."""
    own_kind, other_kind = (plan.strange[kind].shown("run") for kind in ("its own", "others"))
    rule = "paired t-test, by victim, of {}, p < 0.05; what counts are trained generators"
    book.add(Claim("strange", "on images of another kind (digits' generator, faces) the "
                              "prior loses more to pixels than on its own", stable=False),
             verdicts.decide_greater(-lead(other_kind), -lead(own_kind), paired=True),
             rule.format("PSNR differences"), len(lead(own_kind)), 1)
    far, near = log_distances(other_kind), log_distances(own_kind)
    book.add(Claim("strange_told", "there GIAS ends at a larger distance (log10) than on its "
                                   "own kind, so the objective tells", stable=False),
             verdicts.decide_greater(far, near, paired=True), rule.format("distances"), len(far), 1)
