"""What does an update give away? One question, one report.

    leaky-gradients audit update.pt --model my_model.py:Net --html report.html

`audit` is the same for who holds a `SharedUpdate` already. The report never promises that an update
is safe: the words of its verdict stand in `words`.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn

from .. import attacks, checks, run
from ..update import SharedUpdate, buffer_evidence
from .attempts import search
from .findings import Attempt, Findings, Measured  # noqa: F401
from .page import Report, as_html, as_json  # noqa: F401
from .rehearsal import against, defended
from .words import CANNOT, FOUND, NOTHING, Verdict, verdict  # noqa: F401

REHEARSED = 0.5  # share of the budget that defenses get, where the images are known


def audit(update: SharedUpdate, budget: float = 300.0, seed: int = 0,
          truth: Tensor | None = None, labels: Tensor | None = None,
          generator: nn.Module | None = None, about: dict[str, str] | None = None,
          say: Callable[[str], None] = lambda text: None) -> Report:
    """A report on one client's update, after about `budget` seconds.

    truth: its private images (B, C, H, W) in [0, 1], for a rehearsal; labels: theirs (B,), where no
    rule reads them. generator: a module from latents to images, for one more attack. about: what
    the report says of where the update comes from. say: called with a line before each attack.
    Ctrl-C ends the attacks early, and the report is of what was found until then.
    ValueError for an update of several clients, or another argument that does not fit."""
    _check(update, budget, seed, truth, labels)
    begin = time.perf_counter()
    proof = buffer_evidence(update)
    if proof is not None and proof.statistics is not None:
        update = update.with_statistics()
    if generator is not None:
        threat = replace(update.threat, prior_data="what the generator given was trained on")
        update = replace(update, threat=threat)
    share = budget * (1 - REHEARSED) if truth is not None else budget
    findings = search(update, share, seed, generator, say)
    _rehearse(findings, update, truth, labels, budget - share, seed, say)
    best = findings.best
    checks_made = attacks.diagnose(update, best.attack if best else None)
    where = run.environment(update.device)
    about = {"update": "a shared update"} | (about or {}) | {
        "budget": f"{budget:g} s", "seconds": f"{time.perf_counter() - begin:.0f}",
        "seed": str(seed), "torch": where["torch"], "python": where["python"],
        "device": where["device"], "commit": where["commit"]}
    return Report(verdict(findings, told=update.labels is not None), findings, update.card(),
                  checks_made, _buffers(update), about, truth)


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


def _rehearse(findings, update, truth, labels, budget, seed, say) -> None:
    """Where the private images are known: the scores, and the defenses."""
    read = next(iter(findings.labels.values()), None)
    if labels is None and read is not None:
        labels = torch.tensor(read)
    if truth is None:
        return
    against(findings, update, truth, labels)
    if labels is None or findings.interrupted:
        return
    try:
        defended(findings, update, truth, labels, seed, say, budget)
    except KeyboardInterrupt:
        findings.interrupted = True


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
