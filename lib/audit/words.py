"""What an audit says: every sentence of a verdict stands here. None promises safety."""

from dataclasses import dataclass

from .findings import Findings

MATCH = 0.01  # of the client's update: what is found explains it, up to rounding
NEARER = 0.5  # times the residual of the best flat colour
AGREE = 20.0  # dB between two starts: the same picture
NOTHING_SENT = 1.0  # the residual of an update of zeros: a picture that explains none of it
GAIN = 3.0  # dB of PSNR above the best flat colour, where the private images are known

FOUND, NOTHING, CANNOT = 1, 0, 2  # exit codes

LIMITS = ("This is what was found by the attacks named here, within this budget. That nothing was "
          "found says nothing about stronger attacks, longer searches, other seeds or knowledge "
          "that an attacker may have. It is no promise that the update is safe.")
SENTENCES = {
    "image": "A private image was found in the update.",
    "likely": "A picture was found that is probably the client's.",
    "labels": "Labels can be read off the update; no image was found within the budget.",
    "nothing": "Nothing was found within the budget.",
    "untried": "No attack fits the budget, so nothing can be said.",
}
REASONS = {
    "match": "{name}: the update of what was found differs from the client's by {residual:.2g} of "
             "its size, so it explains nearly all of it.",
    "agree": "{name}: two independent starts ended at the same picture (PSNR {agreement:.0f} dB "
             "between them). Its update is {residual:.0%} off the client's, that of the best flat "
             "colour {flat:.0%}.",
    "truth": "{name}: PSNR {psnr:.1f} dB against the images that you gave, {gain:.1f} dB above the "
             "best flat colour.",
    "labels": "The rules {rules} read the same labels, {labels}, and again under twice the noise "
              "that the update shows; their assumptions hold here.",
}


@dataclass(frozen=True)
class Verdict:
    """kind: a key of SENTENCES; code: the exit code; reasons: sentences, strongest first."""

    kind: str
    code: int
    reasons: tuple[str, ...]

    @property
    def sentence(self) -> str:
        return SENTENCES[self.kind]


def verdict(findings: Findings, told: bool = False) -> Verdict:
    """What the findings amount to, strongest first. told: the client told its labels, so that
    reading them is no leak."""
    flat = min([NOTHING_SENT, *findings.flats.values()])
    # Images that explain the update no better than a flat colour are not those behind it: then a
    # picture that is like them is so by chance. NaN, where no labels are known: nobody can tell.
    others = findings.truth_residual >= flat
    exact = [REASONS["truth"].format(name=found.name, psnr=found.psnr, gain=found.gain)
             for found in findings.measured if found.gain >= GAIN and not others]
    likely = []
    for attempt in findings.attempts:
        nearer = attempt.residual <= NEARER * flat
        if nearer and attempt.residual <= MATCH and not attempt.agreement < AGREE:
            exact.append(REASONS["match"].format(name=attempt.name, residual=attempt.residual))
        elif nearer and attempt.agreement >= AGREE:
            likely.append(REASONS["agree"].format(
                name=attempt.name, agreement=attempt.agreement, residual=attempt.residual,
                flat=flat))
    labels = [] if told else _labels(findings)
    for kind, reasons in (("image", exact), ("likely", likely), ("labels", labels)):
        if reasons:
            return Verdict(kind, FOUND, tuple(reasons))
    if not findings.tried:
        return Verdict("untried", CANNOT, tuple(f"{a.name}: {a.note}." for a in findings.attempts))
    return Verdict("nothing", NOTHING, ())


def _labels(findings: Findings) -> list[str]:
    """The labels that the rules read, where two or more of them do, all agree, and do so again
    under the noise that the update itself shows. One rule alone is no evidence, and rules that
    differ are evidence against all: each reads labels off noise, too."""
    read = {tuple(sorted(labels)) for labels in findings.labels.values()}
    if len(findings.labels) < 2 or len(read) > 1 or not findings.steady:
        return []
    return [REASONS["labels"].format(rules=", ".join(findings.labels),
                                     labels=", ".join(map(str, read.pop())))]
