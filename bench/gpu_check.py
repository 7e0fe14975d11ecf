"""What the engine does on a device, in one run of under ten minutes: `python bench/gpu_check.py`.

Captured iterations beside eager ones, memory, want of memory in a capture, priors that wait for
the device, a second device, and the cost of convolutions of K groups beside batched products.
Prints one table and exits with 1 where a check fails. `--device cpu` runs what needs no GPU.
"""

import argparse
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch.nn.functional import conv2d, unfold

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that it runs from a checkout that is not installed
os.environ.setdefault("QUIET", "1")  # no progress bars between the lines of the report

from lib import attacks, client, data, engine, models, run  # noqa: E402

CLOSE = 1e-4  # captured and eager objectives may differ by so much, relative to their size
LEAST_SPEED = 1.0  # a captured iteration may not be slower than an eager one
MOST_MEMORY = 1.5  # the peak of a captured attack over that of an eager one


@dataclass(frozen=True)
class Finding:
    """One row of the report."""

    check: str
    measured: str
    passed: bool | None  # None: measured only, or not to be had on this machine


@dataclass(frozen=True)
class Setting:
    """An attack on K clients, ready for `engine.minimise`."""

    update: client.SharedUpdate
    attack: attacks.Attack
    problems: engine.Problems
    start: torch.Tensor
    optimizer: Callable


def set_up(device, K, method="adam", iterations=8, build=models.lenet) -> Setting:
    """K clients of one photograph each, under Inverting Gradients ("adam") or DLG ("lbfgs")."""
    images = data.load("photos")
    adam = method == "adam"
    attack = attacks.inverting_gradients(iterations) if adam else attacks.dlg(iterations)
    granted = client.ThreatModel(labels="known" if adam else "unknown")
    update = client.share(build(images, seed=0).to(device), images.clients(K, seed=0),
                          client.Protocol(normalise=adam), threat=granted)
    posed = attacks.problem(update, attack)
    return Setting(update, attack, posed.problems, posed.variables, posed.optimizer)


@torch.no_grad()
def outcome(setting: Setting, captured: bool) -> engine.Outcome:
    """Run the attack; `captured=False` never captures a graph."""
    capture = engine.capture.captured
    if not captured:
        engine.capture.captured = lambda run, device: (None, None)
    try:
        return engine.minimise(setting.problems, setting.start, setting.optimizer,
                               setting.attack.iterations)
    finally:
        engine.capture.captured = capture


def milliseconds(function: Callable, device, times=10) -> float:
    for _ in range(3):
        function()
    _wait(device)
    began = time.perf_counter()
    for _ in range(times):
        function()
    _wait(device)
    return 1e3 * (time.perf_counter() - began) / times


def _wait(device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _difference(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(((a - b).abs() / b.abs().clamp_min(1e-6)).max())


def check_capture(device, K) -> list[Finding]:
    """A captured attack is the eager one: objectives, evaluations, compaction after a NaN."""
    found = []
    for method, iterations in (("adam", 34), ("lbfgs", 6)):
        setting = set_up(device, K, method, iterations)
        captured, eager = (outcome(setting, way) for way in (True, False))
        gap = _difference(captured.losses, eager.losses)
        same = bool((captured.evaluations == eager.evaluations).all())
        found.append(Finding(f"captured is eager, {method}", f"{gap:.1e}, evaluations "
                             f"{'equal' if same else 'differ'}", gap < CLOSE and same))
    setting = set_up(device, K, iterations=34)
    setting.start[: (K + 1) // 2] = torch.nan
    out = outcome(setting, True)
    ended = [engine.ENDED[i] for i in out.ended.flatten().tolist()]
    right = ended == ["not finite"] * ((K + 1) // 2) + ["budget"] * (K // 2)
    gap = _difference(out.losses[:, (K + 1) // 2:], outcome(setting, False).losses[
        :, (K + 1) // 2:])
    found.append(Finding("compaction beside NaN", f"{gap:.1e}, ended {sorted(set(ended))}",
                         right and gap < CLOSE))
    return found


@torch.no_grad()
def check_speed(device, K) -> list[Finding]:
    """An iteration of Adam, and an evaluation of L-BFGS, eager and captured."""
    found = []
    for name, build in (("LeNet", models.lenet), ("ResNet-20", partial(models.resnet, depth=20))):
        setting = set_up(device, K, build=build)
        times = []
        for captured in (False, True):
            capture = engine.capture.captured
            if not captured:
                engine.capture.captured = lambda run, device: (None, None)
            evaluate = engine.evaluator(setting.problems, K, 1, device)
            best = setting.start.new_full((K, 1), torch.inf)
            step = engine.loop.Iteration(setting.optimizer(setting.start.clone()), evaluate,
                                     setting.start.clone(), best)
            try:
                milliseconds(step, device, 3)
                times.append(milliseconds(step, device))
            finally:
                engine.capture.captured = capture
        passed = times[0] / times[1] > LEAST_SPEED if device.type == "cuda" else None
        found.append(Finding(f"an iteration of {name}, K = {K}",
                             f"eager {times[0]:.2f} ms, captured {times[1]:.2f} ms", passed))
    return found


@torch.no_grad()
def check_convolutions(device, K) -> list[Finding]:
    """Convolutions of K groups against batched products: times only."""
    found = []
    for channels, size, kernel, stride in ((12, 16, 5, 2), (16, 32, 3, 1), (64, 8, 3, 1)):
        x = torch.randn(K, channels, size, size, device=device)
        weight = torch.randn(K * channels, channels, kernel, kernel, device=device)
        pad, grouped = kernel // 2, x.view(1, K * channels, size, size)

        def of_groups(grouped=grouped, weight=weight, stride=stride, pad=pad):
            return conv2d(grouped, weight, None, stride, pad, 1, K)

        def of_products(x=x, weight=weight, stride=stride, pad=pad, channels=channels,
                        kernel=kernel):
            columns = unfold(x, kernel, padding=pad, stride=stride)
            return torch.bmm(weight.view(K, channels, -1), columns)

        gap = float((of_groups().flatten() - of_products().flatten()).abs().max())
        times = [milliseconds(way, device) for way in (of_groups, of_products)]
        found.append(Finding(f"{channels} channels at {size} pixels, K = {K}",
                             f"groups {times[0]:.3f} ms, products {times[1]:.3f} ms", gap < 1e-2))
    return found


def check_waiting(device, K) -> list[Finding]:
    """Priors that wait for the device, or index from the host, run eager with one warning."""
    def waits(x):
        return x.abs().mean().cpu().to(x.device)

    def picks(x):
        return x.flatten()[torch.tensor([0, 1])].sum().square()

    found = []
    before = torch.cuda.current_stream(device) if device.type == "cuda" else None
    for prior in (waits, picks):
        setting = set_up(device, K)
        attack = replace(setting.attack, priors=((1e-2, prior),))
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            guess = attacks.reconstruct(setting.update, attack)
        finite = bool(guess.history.losses.isfinite().all())
        restored = before is None or torch.cuda.current_stream(device) == before
        found.append(Finding(f"a prior that {prior.__name__}", f"{len(said)} warnings, stream "
                             f"{'restored' if restored else 'lost'}", finite and restored))
    return found


def check_chunks(device, K) -> list[Finding]:
    """A chunk without memory is halved, and the result is that of whole batches."""
    setting, sizes = set_up(device, K), []

    @torch.no_grad()
    def work(part):
        sizes.append(part.stop - part.start)
        if sizes[-1] > (K + 1) // 2:
            held = torch.ones(2**20, device=device)
            raise RuntimeError(f"CUDA error: out of memory ({held.numel()})")
        picked = torch.arange(K, device=device)[part]
        return engine.minimise(setting.problems.select(picked), setting.start[part],
                               setting.optimizer, setting.attack.iterations)

    out = engine.joined(engine.of_chunks(K, None, work))
    gap = _difference(out.losses, outcome(setting, True).losses)
    return [Finding("a chunk is halved", f"{sizes}, {gap:.1e}", gap < CLOSE and len(sizes) > 1)]


def check_memory(device, K) -> list[Finding]:
    """Peak memory of a captured attack beside an eager one, and want of memory in a capture."""
    if device.type != "cuda":
        return [Finding("memory", "needs a GPU", None)]
    setting, peaks = set_up(device, K), []
    for captured in (False, True):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        base = torch.cuda.memory_allocated(device)
        outcome(setting, captured)
        peaks.append((torch.cuda.max_memory_allocated(device) - base) / 2**20)
    return [Finding("peak memory", f"eager {peaks[0]:.0f} MiB, captured {peaks[1]:.0f} MiB",
                    peaks[1] < MOST_MEMORY * peaks[0]), _without_memory(device, K)]


def _without_memory(device, K) -> Finding:
    """Each capture of more than half of the clients finds no memory left."""
    setting, before = set_up(device, K), torch.cuda.current_stream(device)
    capture, sizes = engine.capture.captured, []

    def tight(run, where):
        if sizes[-1] <= (K + 1) // 2:
            return capture(run, where)
        whole = torch.cuda.get_device_properties(where).total_memory
        torch.cuda.empty_cache()
        torch.cuda.set_per_process_memory_fraction(torch.cuda.memory_reserved(where) / whole, where)
        try:
            return capture(run, where)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0, where)

    @torch.no_grad()
    def work(part):
        sizes.append(part.stop - part.start)
        picked = torch.arange(K, device=device)[part]
        return engine.minimise(setting.problems.select(picked), setting.start[part],
                               setting.optimizer, setting.attack.iterations)

    engine.capture.captured = tight
    try:
        out = engine.joined(engine.of_chunks(K, None, work))
    finally:
        engine.capture.captured = capture
    restored = torch.cuda.current_stream(device) == before
    return Finding("no memory in a capture", f"chunks {sizes}, stream "
                   f"{'restored' if restored else 'lost'}",
                   restored and len(sizes) > 1 and bool(out.losses.isfinite().all()))


def check_second_device(device, K) -> list[Finding]:
    """Capture on a device that is not the current one."""
    if device.type != "cuda" or torch.cuda.device_count() < 2:
        return [Finding("a second device", "needs two GPUs", None)]
    torch.cuda.set_device(0)
    setting = set_up(torch.device("cuda:1"), K, iterations=12)
    gap = _difference(outcome(setting, True).losses, outcome(setting, False).losses)
    return [Finding("a second device", f"{gap:.1e}", gap < CLOSE)]


CHECKS = (check_capture, check_speed, check_convolutions, check_waiting, check_chunks,
          check_memory, check_second_device)


def findings(device: torch.device, K: int) -> list[Finding]:
    """Every check, one after another; an error in one is its finding."""
    rows = []
    for check in CHECKS:
        try:
            rows += check(device, K)
        except Exception as error:  # the other checks go on
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            rows.append(Finding(check.__name__, f"{type(error).__name__}: {reason[:120]}", False))
    return rows


def table(rows: list[Finding]) -> str:
    words = {True: "ok", False: "FAILED", None: "-"}
    width = max(len(row.check) for row in rows)
    return "\n".join(f"{row.check:{width}}  {words[row.passed]:6}  {row.measured}" for row in rows)


def main(arguments=None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--clients", type=int, help="clients attacked at once (128, on a CPU 2)")
    given = parser.parse_args(arguments)
    device = torch.device(given.device)
    run.start(device=given.device)
    rows = findings(device, given.clients or (128 if device.type == "cuda" else 2))
    print(table(rows))
    return int(any(row.passed is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())
