"""Does the audit's verdict tell a leak from nothing? Audits of updates whose answer is known.

    python bench/calibration.py [--seeds 20] [--out bench/calibration]

writes `calibration.csv`, a row an audit, and `calibration.md`. Searches have a fixed number of
iterations, not of seconds, so that the table does not depend on the machine. No update holds an
image where it is noise in the place of a gradient, of the gradient's size in every tensor, or a
gradient under noise of variance 1 an entry, which is thousands of times its size.
"""

import argparse
import sys
from pathlib import Path

import pandas as pd
import torch

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from lib import client, data, limits, models  # noqa: E402
from lib.audit import attempts, rehearsal  # noqa: E402
from lib.audit.findings import Findings  # noqa: E402
from lib.audit.words import verdict  # noqa: E402

ITERATIONS = {False: 10, True: 100}  # of L-BFGS, of Adam
NETWORKS = {
    "LeNet": lambda images, seed: models.lenet(images, channels=6, seed=seed),
    "LeNet, ReLU": lambda images, seed: models.lenet(
        images, activation="relu", init="default", channels=6, seed=seed),
    "dense": lambda images, seed: models.dense(images, hidden=(16,), seed=seed),
}
KINDS = ("its gradient", "noise of its size", "under noise of variance 1",
         "of another image than the truth given")
CASES = [  # network, kind, classes, batch size; whether a leak is expected
    ("LeNet", 0, 10, 1, True), ("dense", 0, 10, 1, True),
    ("LeNet", 1, 10, 1, False), ("dense", 1, 10, 1, False), ("LeNet, ReLU", 1, 10, 1, False),
    ("LeNet", 2, 10, 1, False), ("dense", 2, 10, 1, False), ("LeNet", 3, 10, 1, True),
    ("dense", 1, 2, 1, False), ("dense", 1, 10, 4, False), ("dense", 0, 10, 4, True)]


def shared(network: str, kind: int, classes: int, count: int, seed: int) \
        -> tuple[client.SharedUpdate, data.Batch]:
    """The update of client number `seed`, or what stands in its place; and the client's batch."""
    images = data.load("digits")
    if classes != images.classes:
        images = images.relabel(classes, seed)
    batch = images.clients(1, count, seed=seed)
    update = client.share(NETWORKS[network](images, seed), batch)
    rng = torch.Generator().manual_seed(seed)
    for name, gradient in update.gradients.items():
        noise = torch.randn(gradient.shape, generator=rng)
        if KINDS[kind] == "noise of its size":
            gradient.copy_(noise * gradient.norm() / noise.norm())
        elif KINDS[kind] == "under noise of variance 1":
            gradient.add_(noise)
        update.gradients[name] = gradient
    return update, batch


def audited(case: tuple, seed: int) -> dict:
    """A row of the table: what an audit finds, and what it says."""
    network, kind, classes, count, leaks = case
    update, _ = shared(network, kind, classes, count, seed)
    findings = Findings()
    attempts.read_labels(update, findings)
    known = next(iter(findings.labels.values()), [0] * count)
    likely = torch.tensor(known)
    attempts.flats(update, likely, findings)
    if (closed := attempts.closed_form(update, likely)) is not None:
        findings.attempts.append(closed)
    rule = next(iter(findings.labels), None)
    for name, attack in attempts.plans(update, rule, None):
        attack = attempts._of(attack, ITERATIONS[attack.is_adam])
        findings.attempts.append(
            attempts.attempt(update, name, attack, limits.Limit(1e6), 0.0, seed))
    if KINDS[kind].startswith("of another image"):
        other = data.load("digits").clients(1, count, seed=seed + 1000)
        rehearsal.against(findings, update, other.images[0], other.labels[0])
    said, best = verdict(findings), findings.best
    return {
        "network": network, "update": KINDS[kind], "classes": classes, "images": count,
        "seed": seed, "leaks": leaks, "verdict": said.kind, "reasons": len(said.reasons),
        "taken for the truth": any("that you gave" in reason for reason in said.reasons),
        "distance": best.residual if best else None, "agreement": best.agreement if best else None,
        "flat": min(findings.flats.values()), "labels agree":
            len({tuple(sorted(read)) for read in findings.labels.values()}) == 1
            and len(findings.labels) > 1}


def summary(rows: pd.DataFrame) -> pd.DataFrame:
    """A row a case: how often each verdict was given, false alarms and misses."""
    keys = ["network", "update", "classes", "images", "leaks"]
    table = []
    for case, group in rows.groupby(keys, sort=False):
        counts = group.verdict.value_counts()
        found = int(len(group) - counts.get("nothing", 0))
        leaks = bool(case[-1])
        table.append(dict(zip(keys[:-1], case, strict=False)) | {
            "audits": len(group),
            **{kind: int(counts.get(kind, 0)) for kind in ("image", "likely", "labels", "nothing")},
            "false alarms": "–" if leaks else found,
            "misses": len(group) - found if leaks else "–",
            "taken for the truth": int(group["taken for the truth"].sum()),
            "two rules read one label": int(group["labels agree"].sum())})
    return pd.DataFrame(table)


def as_markdown(rows: pd.DataFrame) -> str:
    table = summary(rows)
    lines = ["| " + " | ".join(table.columns) + " |", "| --- " * len(table.columns) + "|"]
    lines += ["| " + " | ".join(map(str, row)) + " |" for row in table.itertuples(index=False)]
    return ("# Calibration of the audit's verdict\n\n`python bench/calibration.py`: digits, "
            f"{ITERATIONS[False]} iterations of L-BFGS and {ITERATIONS[True]} of Adam, "
            f"{attempts.RESTARTS} starts each. A false alarm is a verdict of anything but nothing. "
            "The last two columns are what the verdict does not rest on: other images than the "
            "client's that score like the truth, and rules that read the same labels.\n\n"
            + "\n".join(lines) + "\n")


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    asked.add_argument("--seeds", type=int, default=20)
    asked.add_argument("--out", type=Path, default=ROOT / "bench/calibration")
    asked = asked.parse_args()
    rows = []
    for case in CASES:
        for seed in range(asked.seeds):
            rows.append(audited(case, seed))
        print(as_markdown(pd.DataFrame(rows)).splitlines()[-1], flush=True)
    rows = pd.DataFrame(rows)
    rows.round(4).to_csv(asked.out.with_suffix(".csv"), index=False)
    asked.out.with_suffix(".md").write_text(as_markdown(rows))


if __name__ == "__main__":
    main()
