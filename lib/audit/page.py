"""The report of an audit: one HTML file that needs nothing else, and the same as JSON."""

import base64
import html
import io
import json
import math
from collections import Counter
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
from PIL import Image
from torch import Tensor

from ..labels import RULES
from .findings import Attempt, Findings
from .words import LIMITS, Verdict

SHOWN = 8  # images of an attempt
CUT = {"": "", "time": ", then the time was over", "interrupted": ", then Ctrl-C"}
STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 52rem; margin: 0 auto; padding: 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; } h2 { font-size: 1.2rem; margin-top: 2rem; }
.verdict { border-left: 0.4rem solid; padding: 0.5rem 1rem; background: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: 0.9rem; }
th, td { text-align: left; vertical-align: top; padding: 0.3rem 0.8rem 0.3rem 0;
  border-bottom: 1px solid var(--line); }
th { overflow-wrap: normal; } td { min-width: 6.5rem; }
figure { display: inline-block; margin: 0 1rem 1rem 0; max-width: 100%; }
figcaption { font-size: 0.85rem; max-width: 22rem; }
img { image-rendering: pixelated; width: 8rem; height: auto; border: 1px solid var(--line); }
pre { white-space: pre-wrap; overflow-wrap: anywhere; background: var(--soft); padding: 0.6rem; }
@media print { body { max-width: none; } section { break-inside: avoid; } }
"""


@dataclass(frozen=True)
class Report:
    """All that a report says. about: what was audited and how (names and values in words)."""

    verdict: Verdict
    findings: Findings
    card: dict[str, str]
    checks: pd.DataFrame | None
    buffers: str
    about: dict[str, str]
    truth: Tensor | None = None


def escaped(text: object) -> str:
    return html.escape(str(text), quote=True)


def table(rows: list[list[str]], head: list[str]) -> str:
    """A table of texts; every one is escaped."""
    cells = "".join(f"<th scope=col>{escaped(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(f'<td>{escaped(text)}</td>' for text in row)}</tr>"
                   for row in rows)
    # What scrolls is reached by the keyboard, and has a name for who cannot see it.
    label = escaped("table: " + ", ".join(head))
    return (f'<div class=scroll tabindex=0 role=region aria-label="{label}"><table><thead>'
            f"<tr>{cells}</tr></thead><tbody>{body}</tbody></table></div>")


def number(value: float, unit: str = "") -> str:
    """Three significant digits, "–" for what is not known."""
    if math.isnan(value):
        return "–"
    return ("∞" if math.isinf(value) else f"{value:.3g}") + unit


def picture(image: Tensor, text: str, caption: str) -> str:
    """A figure of one image (C, H, W) in [0, 1], with its text for who cannot see it."""
    pixels = (image.clamp(0, 1).nan_to_num(0.5) * 255).round().byte().numpy()
    pixels = np.moveaxis(pixels, 0, -1)
    file = io.BytesIO()
    Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(file, "png")
    data = base64.b64encode(file.getvalue()).decode()
    return (f'<figure><img alt="{escaped(text)}" src="data:image/png;base64,{data}">'
            f"<figcaption>{escaped(caption)}</figcaption></figure>")


def section(heading: str, *parts: str) -> str:
    return f"<section><h2>{escaped(heading)}</h2>{''.join(parts)}</section>"


def paragraph(text: str) -> str:
    return f"<p>{escaped(text)}</p>"


def as_html(report: Report) -> str:
    """The page."""
    findings = report.findings
    reasons = "".join(f"<li>{escaped(reason)}</li>" for reason in report.verdict.reasons)
    parts = [
        f"<h1>Audit of {escaped(report.about['update'])}</h1>",
        f"<div class=verdict role=status><strong>{escaped(report.verdict.sentence)}</strong>"
        f"<ul>{reasons}</ul>{paragraph(LIMITS)}</div>",
        paragraph("The search was interrupted; what it had found until then is reported.")
        if findings.interrupted else "",
        _left_out(findings),
        section("What was assumed", table([[*row] for row in report.card.items()],
                                          ["assumption", "value"])),
        section("What stands in an attacker's way", _checks(report.checks)),
        section("Labels", _labels(findings)),
        section("Images", *_images(report)),
        section("Statistics of BatchNorm", paragraph(report.buffers)),
        section("Which defenses would have changed it", _defended(findings)),
        section("To repeat it", table([[*row] for row in report.about.items()], ["what", "value"])),
    ]
    title = escaped(f"Audit: {report.verdict.sentence}")
    return ('<!doctype html><html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{title}</title><style>{STYLE}</style></head><body><main>"
            + "".join(parts) + "</main></body></html>\n")


def _left_out(findings: Findings) -> str:
    """What the budget did not pay, beside attacks, whose table says it."""
    if not findings.left_out:
        return ""
    return section("What was left out", table(
        [[part, why] for part, why in findings.left_out.items()], ["part of the audit", "why"]))


def _checks(checks: pd.DataFrame | None) -> str:
    if checks is None:
        return paragraph("Not looked at, see above.")
    return table(checks.astype(str).to_numpy().tolist(), list(checks.columns))


def _labels(findings: Findings) -> str:
    rows = [[rule, ", ".join(map(str, read))] for rule, read in findings.labels.items()]
    rows += [[rule, f"not used: {why}"] for rule, why in findings.refused.items()]
    sources = [RULES[rule].source if rule in RULES else "" for rule, _ in rows]
    rows = [[*row, source] for row, source in zip(rows, sources, strict=True)]
    return table(rows, ["rule", "labels", "where it is from"])


def _images(report: Report) -> list[str]:
    findings = report.findings
    rows = [[attempt.name, *_in_words(attempt)] for attempt in findings.attempts]
    rows += [[f"flat: {name}", number(100 * off, " %"), "–", "–", "–"]
             for name, off in findings.flats.items()]
    parts = [paragraph(
        "An attack sees the update alone. Its distance is that between the update of its picture "
        "and the client's, as a share of the client's; 0 explains the update whole. Two starts "
        "that end at the same picture are evidence for it: a high agreement."),
        table(rows, ["attack", "distance", "agreement", "iterations", "starts ended"])]
    for attempt in findings.attempts:
        if attempt.images is not None:
            parts += [picture(image, f"what {attempt.name} found, image {i + 1}",
                              f"{attempt.name}; label {int(attempt.labels[i])}")
                      for i, image in enumerate(attempt.images[:SHOWN])]
    if report.truth is not None:
        parts += [picture(image, f"the private image {i + 1}", "private image, as you gave it")
                  for i, image in enumerate(report.truth[:SHOWN])]
        parts += [_measured(findings)]
    return parts


def _in_words(attempt: Attempt) -> list[str]:
    if attempt.note:
        return [attempt.note, "–", "–", "–"]
    iterations = "–" if attempt.attack is None else f"{attempt.attack.iterations:,}"
    iterations += CUT[attempt.cut]
    return [number(100 * attempt.residual, " %"), number(attempt.agreement, " dB"), iterations,
            ", ".join(f"{count} {why}" for why, count in Counter(attempt.ended).items()) or "–"]


def _measured(findings: Findings) -> str:
    rows = [[found.name, number(found.psnr), number(found.ssim), number(found.stlpips),
             number(found.avd), f"{found.gain:+.1f}"] for found in findings.measured]
    fit = "Whether your images give this update is not known, since no labels are: --truth-labels."
    if not math.isnan(findings.truth_residual):
        fit = ("The update that your images give differs from the file's by "
               f"{number(100 * findings.truth_residual, ' %')} of its size. Where that is not near "
               "0, the images, their labels or the protocol are others than the client's.")
    return paragraph(fit) + table(
        rows, ["attack", "PSNR, dB", "SSIM", "ST-LPIPS", "AVD", "dB above a flat colour"])


def _defended(findings: Findings) -> str:
    if not findings.defended:
        return paragraph("Not measured: this needs the private images and their labels (--truth), "
                         "and time within the budget.")
    rows = [[name, found.name, number(found.psnr), f"{found.gain:+.1f}"]
            for name, found in findings.defended]
    return paragraph(
        "The attack that came nearest, again, on the update that the same images give under a "
        "defense, by an attacker who is told the labels. Other attacks may do better against it."
    ) + table(
        rows, ["defense", "attack", "PSNR, dB", "dB above a flat colour"])


def as_json(report: Report) -> str:
    """The same without pictures; NaN and infinite numbers are null."""
    findings = report.findings
    attempts = []
    for attempt in findings.attempts:
        attempts.append({
            "name": attempt.name, "note": attempt.note, "distance": attempt.residual,
            "agreement_dB": attempt.agreement, "seconds": attempt.seconds,
            "iterations": attempt.attack.iterations if attempt.attack else None,
            "restarts": attempt.restarts, "ended": list(attempt.ended), "cut": attempt.cut,
            "labels": None if attempt.labels is None else attempt.labels.tolist()})
    checks = None if report.checks is None else report.checks.astype(str).to_dict("records")
    document = {
        "verdict": report.verdict.kind, "sentence": report.verdict.sentence,
        "exit_code": report.verdict.code, "reasons": list(report.verdict.reasons),
        "limits": LIMITS, "interrupted": findings.interrupted, "assumptions": report.card,
        "left_out": findings.left_out, "checks": checks, "labels": findings.labels,
        "labels_not_read": findings.refused, "flat_colours": findings.flats, "attempts": attempts,
        "measured": [asdict(found) for found in findings.measured],
        "truth_distance": findings.truth_residual, "buffers": report.buffers,
        "defended": [{"defense": name} | asdict(found) for name, found in findings.defended],
        "about": report.about}
    return json.dumps(_finite(document), indent=1, ensure_ascii=False) + "\n"


def _finite(value: object) -> object:
    if isinstance(value, dict):
        return {str(name): _finite(entry) for name, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
