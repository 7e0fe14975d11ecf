"""The claims ledger of notebook 04.

The paper's text was not at hand: its claims are those of two captions. Wherever two attacks are
compared they met the same clients, so the test is paired; a client counts once, whatever its batch,
since the images of a batch share one gradient.
"""

from studies import verdicts
from studies.cells import Cell
from studies.gias.compute import SIGNED
from studies.gias.plan import BATCHES, GIML_TESTS, NOISE, SPARSITY, Plan
from studies.gias.tables import client_means, lead, log_distances
from studies.report import Ledger
from studies.store import Sweep

RULE = "paired t-test of the clients' mean PSNRs, p < 0.05; None otherwise, and below three clients"
LEAST_CLIENTS = 3  # two differences that happen to be alike would decide by their small spread
SEARCHED = "spaces"                # the float "Comparison of different searching spaces"
COMPARED = "state_of_the_art"      # the float "Comparison of state-of-the-art models and ours"
DIFFICULT = "difficulty"           # batch size, sparsity, noise, image size


def ledger(plan: Plan) -> Ledger:
    """All claims of notebook 04, decided."""
    claims = Ledger()
    _add_spaces(claims, plan)
    _add_what_was_learned(claims, plan)
    _add_statistics(claims, plan)
    _add_difficulties(claims, plan)
    _add_faces(claims, plan)
    for sweep in (plan.giml_digits, plan.giml):
        cell = sweep.shown("run")
        if cell is not None:
            _add_giml(claims, cell, stable=sweep is plan.giml)
    _add_strange(claims, plan)
    return claims


def _compare(claims: Ledger, id: str, text: str, above: tuple[Sweep, str],
             below: tuple[Sweep, str], origin: str = "ours", float_id: str | None = None) -> None:
    """Add the claim that one attack has the higher PSNR. above, below: (sweep, search space), of
    the same clients."""
    cells = [sweep.shown("run") for sweep, _ in (above, below)]
    if any(cell is None for cell in cells):
        claims.add(id, text, None, RULE, "not computed", 0, origin=origin, float_id=float_id,
                   unit="client", stable=False)
        return
    high, low = client_means(cells[0], above[1]), client_means(cells[1], below[1])
    verdict, measured = verdicts.decide_greater(high, low, paired=True)
    if len(high) < LEAST_CLIENTS:
        verdict = None
    claims.add(id, text, verdict, RULE, measured, len(high), origin=origin, float_id=float_id,
               unit="client")


def _add_spaces(claims: Ledger, plan: Plan) -> None:
    """Which search space is the best? The first two captions of the paper's experiments."""
    gias = (plan.spaces, "z/w")
    _compare(claims, "zw_z", "caption [read]: GI-z/w is the best space: better than GI-z",
             gias, (plan.spaces, "z"), "read", SEARCHED)
    for id, space in {"zw_zx": "z/x", "zw_zh": "z/h", "zw_w": "w"}.items():
        _compare(claims, id, f"the same: better than GI-{space}", gias, (plan.spaces, space),
                 "read", SEARCHED)
    _compare(claims, "zw_x", "caption [read]: GIAS beats GI-x (the official code's)",
             gias, (plan.spaces, "x"), "read", f"{SEARCHED} {COMPARED}")
    _compare(claims, "zw_signed", "ours: GIAS beats signed pixels (Inverting Gradients)",
             gias, (plan.spaces, SIGNED))


def _add_what_was_learned(claims: Ledger, plan: Plan) -> None:
    """Is it what the generator learned of images, or that a network makes the picture?"""
    _compare(claims, "trained_098",
             "ours: where 98 % are pruned, GIAS gains from what this generator learned",
             (plan.sparsity[0.98], "z/w"), (plan.untrained_pruned, "z/w"))
    _compare(claims, "untrained_signed",
             "ours: GI-w through the untrained network beats signed pixels",
             (plan.untrained, "w"), (plan.spaces, SIGNED))
    _compare(claims, "trained",
             "ours: GIAS gains from what this generator learned, against the same network "
             "untrained", (plan.spaces, "z/w"), (plan.untrained, "z/w"))
    _compare(claims, "trained_w", "ours: GI-w gains from it, too",
             (plan.spaces, "w"), (plan.untrained, "w"))


def _add_statistics(claims: Ledger, plan: Plan) -> None:
    for weight, sweep in plan.statistics.items():
        how = "also with exact" if weight else "without"
        _compare(claims, f"statistics_{weight:g}",
                 f"caption [read]: GIAS beats GI-x, here signed, {how} BatchNorm statistics",
                 (sweep, "z/w"), (sweep, SIGNED), "read", COMPARED)


def _add_difficulties(claims: Ledger, plan: Plan) -> None:
    """The difficulty study; of its batch sizes a third party's script has numbers."""
    for size in BATCHES[:4]:
        sweep = plan.batches[size]
        gias, pixels = (sweep, "z/w"), (sweep, SIGNED)
        where = "behind" if size == 1 else "ahead of"
        above, below = (pixels, gias) if size == 1 else (gias, pixels)
        _compare(claims, f"batch_{size}",
                 f"a third party's script [quoted] has GIAS {where} Inverting Gradients at "
                 f"batches of {size}", above, below, "third party, quoted", DIFFICULT)
    for share in SPARSITY[3:]:
        sweep = plan.sparsity[share]
        _compare(claims, f"sparse_{share:g}",
                 f"ours: where {100 * share:g} % of the entries are pruned, GIAS beats signed GI-x",
                 (sweep, "z/w"), (sweep, SIGNED))
    for variance in NOISE:
        sweep = plan.noise[variance]
        _compare(claims, f"noise_{variance:g}",
                 f"ours: under Gaussian noise of variance {variance:g}, GIAS beats signed GI-x",
                 (sweep, "z/w"), (sweep, SIGNED))


def _add_faces(claims: Ledger, plan: Plan) -> None:
    faces = plan.crossed["lfw", "lfw"]
    _compare(claims, "faces",
             "ours: on faces of people that the generator has not seen, GIAS beats signed GI-x",
             (faces, "z/w"), (faces, SIGNED))
    _compare(claims, "faces_own",
             "ours: on those faces this generator of faces is worth more than that of CIFAR-10",
             (faces, "z/w"), (plan.crossed["cifar10", "lfw"], "z/w"))
    _compare(claims, "faces_trained",
             "ours: on those faces GIAS gains from what this generator of faces learned, against "
             "the same network untrained", (faces, "z/w"), (plan.untrained_faces, "z/w"))


def _add_giml(claims: Ledger, cell: Cell, stable: bool) -> None:
    """Is a prior learned from gradients worth more than its start, and than pixels?"""
    rounds = cell.config[0]["rounds"]
    tests = [test for test in GIML_TESTS if test in set(cell.table.test)]
    for number, test in enumerate(tests):
        means = _giml_means(cell, test)
        learned = means["learned from gradients", "z/w"]
        others = {
            "start": ("the untrained generator that it started from", means["untrained", "z/w"]),
            "pixels": ("signed pixels", means["none", SIGNED])}
        for short, (what, psnr) in others.items():
            verdict, measured = verdicts.decide_greater(learned, psnr, paired=True)
            claims.add(f"giml_{rounds}_{number}_{short}",
                       f"ours: this prior learned from the gradients of {rounds} rounds recovers "
                       f"more than {what} (batches of {test})", verdict, RULE, measured,
                       len(learned), origin="ours", unit="client", stable=stable)


def _giml_means(cell: Cell, test: str) -> dict:
    """Each client's mean PSNR (K,) in a test, by (prior, search space)."""
    means = {}
    for key, images in cell.table[cell.table.test == test].groupby(["prior", "space"]):
        means[key] = images.groupby("client").psnr.mean().to_numpy()
    return means


def _add_strange(claims: Ledger, plan: Plan) -> None:
    """Does the prior mislead on images of another kind, and does the objective tell? Those images
    are other clients', so the tests are not paired."""
    own_kind, other_kind = (plan.strange[kind].shown("run") for kind in ("its own", "others"))
    lost, lost_on_its_own = -lead(other_kind), -lead(own_kind)
    verdict, measured = verdicts.decide_greater(lost, lost_on_its_own)
    claims.add("strange", "ours: on images of another kind (digits' generator, faces) the prior "
               "loses more to pixels than on its own", verdict,
               "Welch's t-test of PSNR differences, p < 0.05; None otherwise", measured,
               len(lost), origin="ours", unit="client", stable=False)
    far, near = log_distances(other_kind), log_distances(own_kind)
    verdict, measured = verdicts.decide_greater(far, near)
    claims.add("strange_told", "ours: there GIAS ends at a larger distance (log10) than on its "
               "own kind, so the objective tells", verdict,
               "Welch's t-test, p < 0.05; None otherwise", measured, len(far), origin="ours",
               unit="client", stable=False)
