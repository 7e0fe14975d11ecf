"""What does an update give away? One question, one report.

    leaky-gradients audit update.pt --model my_model.py:Net --html report.html

`audit` is the same for who holds a `SharedUpdate` already. The report never promises that an update
is safe: the words of its verdict stand in `words`.
"""

import sys
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .. import attacks, checks, limits, run
from ..update import SharedUpdate, buffer_evidence, check_range
from .attempts import look, search
from .budget import Budget
from .findings import Attempt, Findings, Measured  # noqa: F401
from .page import Report, as_html, as_json  # noqa: F401
from .rehearsal import against, defended
from .words import CANNOT, FOUND, NOTHING, Verdict, verdict  # noqa: F401

REHEARSED = 0.5  # share of the budget that defenses get, where the images are known
CHECKED = 30  # times a gradient that `diagnose` takes: ten simulated clients, and what they send
SCORED = 1.0  # seconds of the scores, with what ST-LPIPS loads
KEPT = 1 / 3  # of the budget at most is kept for these from the search


def audit(update: SharedUpdate, budget: float = 300.0, seed: int = 0,
          truth: Tensor | None = None, labels: Tensor | None = None,
          generator: nn.Module | None = None, about: dict[str, str] | None = None,
          say: Callable[[str], None] = lambda text: None) -> Report:
    """A report on one client's update, within `budget` seconds, and a tenth of them or 2.5 more.

    What does not fit is left out, and the report says so, with what it would take.
    truth: its private images (B, C, H, W) in [0, 1], for a rehearsal; labels: theirs (B,), where no
    rule reads them. generator: a module from latents to images, for one more attack. about: what
    the report says of where the update comes from. say: called with a line before each attack.
    Ctrl-C ends the attacks early, and the report is of what was found until then.
    ValueError for an update of several clients, or another argument that does not fit."""
    _check(update, budget, seed, truth, labels)
    begin, findings, where = limits.now(), Findings(), run.environment(update.device)
    purse = Budget(budget, findings)
    proof = buffer_evidence(update)
    if proof is not None and proof.statistics is not None:
        update = update.with_statistics()
    if generator is not None:
        threat = replace(update.threat, prior_data="what the generator given was trained on")
        update = replace(update, threat=threat)
    look(update, findings, purse)
    kept = budget * REHEARSED if truth is not None else 0.0
    after = _checking(purse, truth)
    if after <= KEPT * purse.left:  # else it is done where time is left
        kept += after
    search(update, findings, purse, kept, seed, generator, say)
    _rehearse(findings, update, truth, labels, seed, say, purse)
    best = findings.best
    checks_made = purse.part("what stands in an attacker's way", CHECKED * purse.gradient, lambda:
                             attacks.diagnose(update, best.attack if best else None))
    about = {"update": "a shared update"} | (about or {}) | {
        "budget": f"{budget:g} s", "seconds": f"{limits.now() - begin:.0f}",
        "seed": str(seed), "torch": where["torch"], "python": where["python"],
        "device": where["device"], "commit": where["commit"]}
    return Report(verdict(findings, told=update.labels is not None), findings, update.card(),
                  checks_made, _buffers(update), about, truth)


def _checking(purse: Budget, truth: Tensor | None) -> float:
    """About how many seconds follow the search, without the defenses."""
    return CHECKED * purse.gradient + (0 if truth is None else SCORED)


def _check(update, budget, seed, truth, labels) -> None:
    if not isinstance(update, SharedUpdate):
        raise ValueError(f"update must be a SharedUpdate, not {type(update).__name__}")
    if len(update) != 1:
        raise ValueError(f"an audit is of one client's update, and this is of {len(update)}: "
                         "audit each by itself")
    checks.number("budget", budget, 0, exclude=(0,))
    checks.whole("seed", seed, 0)
    wanted = (update.batch_size, *update.shape)
    if truth is not None and (not isinstance(truth, Tensor) or tuple(truth.shape) != wanted):
        raise ValueError(f"truth must be images {wanted}, not "
                         f"{tuple(getattr(truth, 'shape', ()))}")
    if labels is not None and (not isinstance(labels, Tensor)
                               or tuple(labels.shape) != wanted[:1]):
        raise ValueError(f"labels must be a tensor ({wanted[0]},)")
    if labels is not None:
        if labels.is_floating_point() or labels.is_complex():
            raise ValueError(f"labels must be whole numbers, not {labels.dtype}")
        check_range(labels, update.num_classes)


def _rehearse(findings, update, truth, labels, seed, say, purse) -> None:
    """Where the private images are known: the scores, and the defenses."""
    read = next(iter(findings.labels.values()), None)
    if labels is None and read is not None:
        labels = torch.tensor(read)
    if truth is None:
        return
    purse.part("scores against your images", SCORED,
               lambda: against(findings, update, truth, labels))
    if labels is not None:
        defended(findings, update, truth, labels, seed, say, purse,
                 _checking(purse, None))


def _buffers(update: SharedUpdate) -> str:
    """What the BatchNorm buffers in the message give away, in a sentence."""
    proof = buffer_evidence(update)
    if proof is None:
        return "The message holds no buffers of BatchNorm."
    given = "They give the batch's mean and variance in each of its layers away." \
        if proof.statistics is not None else "They do not give the batch's own statistics away."
    return f"The message's buffers say: {proof.mode} mode, {proof.steps} steps. {given}"


def to_stderr(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
