"""Speed of the engine beside its peers: `make bench`, or `python bench/bench.py --help`.

One run measures three attackers on the same networks, images, objectives, starts and iterations:
our engine (K clients at once), the plain double-backward loop and breaching 0.1.2 (one image
after another). The rounds are interleaved, so a slow minute of the machine slows all three.
How to read the tables: bench/README.md.
"""

import argparse
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch.utils.flop_counter import FlopCounterMode

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))  # so that it runs from a checkout that is not installed
os.environ.setdefault("QUIET", "1")  # no progress bars between the lines of the report

import baselines  # noqa: E402

from lib import attacks, client, data, engine, metrics, models, run  # noqa: E402

ADAM, LBFGS = "cosine + Adam", "l2 + L-BFGS"
LANES = engine.lanes.library() is not None
TV = 1e-2  # Geiping 2020, appendix C.1: the weight for an untrained LeNet
WARM_UP = 2  # iterations, discarded


@dataclass(frozen=True)
class Case:
    """One victim under one attack: the K attacked, and how long."""

    victim: str
    build: Callable  # images -> module
    method: str  # ADAM or LBFGS
    iterations: int
    clients: tuple  # the values of K
    looped: int  # images that the baselines attack, one after another


@dataclass(frozen=True)
class Setting:
    """What all attackers are given for one row of the table."""

    case: Case
    update: client.SharedUpdate
    truth: torch.Tensor  # (K, C, H, W) in [0, 1]
    problems: list  # a baselines.Problem for each of the first clients


@dataclass(frozen=True)
class Sample:
    """One attacker in one round."""

    ms: float  # per iteration (L-BFGS: per evaluation) and image
    evaluations: float  # of the objective, mean of the images
    psnr: np.ndarray  # of the images that all attackers share, in their order


def cases(quick, device):
    """What is measured; `quick` takes fewer iterations, CUDA more clients."""
    cuda = torch.device(device).type == "cuda"
    lenet = partial(models.lenet, seed=0)
    convnet16 = partial(models.convnet, width=16, seed=0)
    convnet64 = partial(models.convnet, width=64, seed=0)
    resnet20 = partial(models.resnet, depth=20, width=16, seed=0)
    many, some, few = (1, 16, 128), (1, 4, 8), (1, 4)
    if cuda:
        many, some, few = (1, 16, 128, 1024), (1, 16, 128), (1, 16, 64)
    whole = [
        Case("LeNet", lenet, ADAM, 200, many, 4),
        Case("LeNet", lenet, LBFGS, 12, many, 4),
        Case("ConvNet width 16", convnet16, ADAM, 30, some, 2),
        Case("ConvNet width 64", convnet64, ADAM, 15, few, 1),
        Case("ResNet-20", resnet20, ADAM, 30, some, 2),
    ]
    return [replace(case, iterations=max(4, case.iterations // 5)) if quick else case
            for case in whole]


# What is attacked


def set_up(case, K, device):
    """Deal K clients one image each; the first `looped` of them are the baselines' too."""
    images = data.load("photos")
    batch = images.clients(K, batch_size=1, seed=0)
    model = case.build(images).to(device)
    known = case.method == ADAM
    # Geiping 2020 feeds the network normalised images and is told the label; DLG neither.
    protocol = client.Protocol(normalise=known)
    threat = client.ThreatModel(labels="known" if known else "unknown")
    update = client.share(model, batch, protocol, threat=threat)
    problems = [one_of(k, *parts, update, batch, model)
                for k, parts in enumerate(starts(case, update))]
    return Setting(case, update, batch.images[:, 0], problems)


def starts(case, update):
    """Where the engine begins with the first clients: (image, label logits or None) for each."""
    images, logits = attacks.starts(update, preset(case, case.iterations), 1, 0)
    for k in range(min(case.looped, len(update))):
        yield images[k, 0], None if case.method == ADAM else logits[k, 0]


def one_of(k, start, logits, update, batch, model):
    """Client k of the update as the baselines take it."""
    device, plain = update.device, not update.protocol.normalise
    mean, std = (torch.zeros(3), torch.ones(3)) if plain else (batch.mean, batch.std)
    return baselines.Problem(
        model=model,
        gradients=tuple(update.gradients[name][k] for name, _ in model.named_parameters()),
        start=start.to(device),
        label=batch.labels[k].to(device) if logits is None else None,
        logits=None if logits is None else logits.to(device),
        mean=mean.to(device),
        std=std.to(device),
    )


# The attackers


def preset(case, iterations):
    if case.method == LBFGS:
        return attacks.dlg(iterations=iterations)
    return attacks.inverting_gradients(iterations=iterations, tv=TV)


def ours(setting, iterations):
    """The engine on all K clients at once; the whole call is timed."""
    attack = preset(setting.case, iterations)
    began = stopwatch()
    guess = attacks.reconstruct(setting.update, attack, restarts=1, seed=0)
    seconds = stopwatch() - began
    evaluations = guess.evaluations.sum().item()  # (K, R)
    shared = len(setting.problems)
    # The last iterate, as the plain loop gives it; `guess.images` would be the best.
    quality = metrics.psnr(guess.last[:shared, 0, 0].cpu(), setting.truth[:shared])
    return sample(setting, seconds, evaluations, len(setting.truth), iterations, quality)


@contextlib.contextmanager
def lanes_off():
    """The engine as it is where there is no compiler."""
    library, engine.lanes.library = engine.lanes.library, lambda: None
    try:
        yield
    finally:
        engine.lanes.library = library


def batched(setting, iterations):
    """`ours` without lanes."""
    with lanes_off():
        return ours(setting, iterations)


def looped(attacker, setting, iterations):
    """A baseline on the first clients, one after another."""
    outcomes = [attacker(problem, iterations) for problem in setting.problems]
    pairs = zip(outcomes, setting.problems, strict=True)
    images = torch.cat([o.image * p.std[:, None, None] + p.mean[:, None, None] for o, p in pairs])
    quality = metrics.psnr(images.cpu(), setting.truth[: len(images)])
    seconds = sum(o.seconds for o in outcomes)
    evaluations = sum(o.evaluations for o in outcomes)
    return sample(setting, seconds, evaluations, len(images), iterations, quality)


def sample(setting, seconds, evaluations, images, iterations, quality):
    work = evaluations if setting.case.method == LBFGS else iterations * images
    return Sample(1000 * seconds / work, evaluations / images, quality.numpy())


def attackers(case, peer):
    """name -> function of (setting, iterations). peer: the breaching package, or None."""
    if case.method == LBFGS:
        chosen = {"plain": baselines.plain_lbfgs}
        if peer:
            chosen["breaching"] = partial(baselines.breaching_lbfgs, peer)
    else:
        chosen = {"plain": partial(baselines.plain_adam, tv=TV)}
        if peer:
            chosen["breaching"] = partial(baselines.breaching_adam, peer, tv=TV)
    engines = {"ours": ours} | ({"batched": batched} if LANES else {})
    return engines | {name: partial(looped, run_) for name, run_ in chosen.items()}


def stopwatch():
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


# The measurement


def measure(case, K, rounds, peer, device):
    """One row: warm up, then `rounds` interleaved rounds. Returns (row, messages)."""
    setting = set_up(case, K, device)
    competitors, messages = attackers(case, peer), []
    trace = warm_up(competitors, setting, messages)
    samples = {name: [] for name in competitors}
    work = operations(setting)
    for turn in range(rounds):
        for name in rotated(list(competitors), turn):
            gc.collect()
            samples[name].append(competitors[name](setting, case.iterations))
    return row_of(setting, samples, trace) | {"gflop": work}, messages


def operations(setting):
    """10^9 floating point operations of one evaluation of one image: convolutions and products."""
    posed = attacks.problem(setting.update, preset(setting.case, 1))
    first = posed.problems.select(torch.tensor([0], device=posed.variables.device))
    with lanes_off():
        evaluate = engine.evaluator(first, 1, 1, posed.variables.device)
    with FlopCounterMode(display=False) as counter:
        evaluate(posed.variables[:1])
    return counter.get_total_flops() / 1e9


def highest_rate(size=1024, times=20):
    """10^9 floating point operations a second of a matrix product, the best of `times`."""
    a, b, seconds = torch.randn(size, size), torch.randn(size, size), []
    for _ in range(times):
        began = stopwatch()
        a @ b
        seconds.append(stopwatch() - began)
    return 2 * size**3 / min(seconds) / 1e9


def warm_up(competitors, setting, messages):
    """Run us once whole and the peers briefly; one that fails leaves. Returns seconds traced.

    Whole, because a batch from which converged problems left is traced again at its new size.
    """
    with tracing_clock() as trace:
        ours(setting, setting.case.iterations)
    if "batched" in competitors:
        batched(setting, setting.case.iterations)
    for name in [name for name in competitors if name not in ("ours", "batched")]:
        try:
            competitors[name](setting, WARM_UP)
        except Exception as error:  # of a peer's old code: the row goes on without it
            case = setting.case
            reason = f"{type(error).__name__}: {str(error).splitlines()[:1]}"
            messages.append(f"{name} left out of {case.victim}, {case.method}: {reason}")
            del competitors[name]
    return sum(trace)


@contextlib.contextmanager
def tracing_clock():
    """Collects the seconds that the engine spends in making graphs and programs."""
    spent = []
    places = [(engine.evaluation, "traced"), (engine.evaluation, "graph_pair"),
              (engine.lanes, "Step")]
    before = [getattr(*place) for place in places]

    def timed(make):
        def making(*arguments):
            began = stopwatch()
            made = make(*arguments)
            spent.append(stopwatch() - began)
            return made
        return making

    for place, make in zip(places, before, strict=True):
        setattr(*place, timed(make))
    try:
        yield spent
    finally:
        for place, make in zip(places, before, strict=True):
            setattr(*place, make)


def rotated(names, turn):
    turn %= len(names)
    return names[turn:] + names[:turn]


def row_of(setting, samples, trace):
    case = setting.case
    row = {"victim": case.victim, "method": case.method, "K": len(setting.truth)}
    row |= {"iterations": case.iterations, "looped": len(setting.problems)}
    for name, taken in samples.items():
        times = [s.ms for s in taken]
        row |= {f"{name}_ms": np.median(times), f"{name}_min": min(times)}
        row |= {f"{name}_max": max(times), f"{name}_evaluations": taken[-1].evaluations}
        row[f"{name}_psnr"] = np.nanmean(taken[-1].psnr)  # NaN: a run that diverged
        row[f"{name}_diverged"] = int(np.isnan(taken[-1].psnr).sum())
        if name != "ours":
            pairs = zip(taken, samples["ours"], strict=True)
            row[f"{name}_over_ours"] = np.median([theirs.ms / own.ms for theirs, own in pairs])
            row[f"{name}_psnr_gap"] = largest(taken[-1].psnr - samples["ours"][-1].psnr)
    return row | {"trace_s": trace}


def largest(values):
    values = np.abs(values[np.isfinite(values)])
    return values.max() if len(values) else np.nan


def lbfgs_own_work(quick, device, K=16, full=6):
    """L-BFGS's own time an iteration, as a multiple of the objective's, at history 100.

    Both are timed within the same steps; the first `full` (of 20 inner iterations each) are left
    out, for they fill the history.
    """
    steps = full + (3 if quick else 10)
    case = Case("LeNet", partial(models.lenet, seed=0), LBFGS, steps, (K,), 0)
    setting = set_up(case, K, device)
    attack = preset(case, steps)
    posed = attacks.problem(setting.update, attack)
    evaluate = engine.evaluator(posed.problems, K, 1, posed.variables.device)
    optimizer = posed.optimizer(posed.variables.clone())
    return own_work(optimizer, evaluate, steps, full)


def own_work(optimizer, evaluate, steps, full):
    """Median over the steps after `full` of (whole - objective) / objective."""
    inside = []

    def timed(v):
        began = stopwatch()
        found = evaluate(v)
        inside.append(stopwatch() - began)
        return found

    ratios = []
    for i in range(steps):
        inside.clear()
        began = stopwatch()
        with torch.no_grad():
            optimizer.step(timed)
        if i >= full:
            ratios.append((stopwatch() - began) / sum(inside) - 1)
    return float(np.median(ratios))


# The report


MARKS = (("LeNet", ADAM, 128, 4.0), ("LeNet", LBFGS, 128, 3.0), ("ResNet-20", ADAM, 8, 1.8),
         ("ConvNet width 16", ADAM, 8, 1.3))  # victim, attack, K: lanes against batches


def targets(table, own):
    """(target, measured, holds) of what this project promises on two CPU cores."""
    found = []

    def add(text, values, limit, at_least):
        values = [v for v in values if np.isfinite(v)]
        if not values:
            return found.append((text, "not measured", ""))
        worst = min(values) if at_least else max(values)
        holds = worst >= limit if at_least else worst <= limit
        found.append((text, f"{worst:.2f}", "yes" if holds else "NO"))

    def lenet(K, ratio):
        row = table[(table.victim == "LeNet") & (table.method == ADAM) & (table.K == K)]
        return row.get(ratio, pd.Series(dtype=float))

    many = table[table.K >= 4]
    breaching, plain = lenet(128, "breaching_over_ours"), lenet(128, "plain_over_ours")
    add("LeNet, Adam, K = 128: breaching / ours at least 12", breaching, 12, True)
    add("LeNet, Adam, K = 128: plain / ours at least 8", plain, 8, True)
    alone = 1 / lenet(1, "plain_over_ours")
    add("LeNet, Adam, K = 1: ours / plain at most 1.3", alone, 1.3, False)
    add("every row of K >= 4: plain / ours at least 1", many.plain_over_ours, 1, True)
    for victim, method, K, limit in MARKS if LANES else ():
        row = table[(table.victim == victim) & (table.method == method) & (table.K == K)]
        add(f"{victim}, {method}, K = {K}: without lanes / ours at least {limit:g}",
            row.batched_over_ours, limit, True)
    add("L-BFGS's own work / objective's, history 100: at most 2", [own], 2, False)
    return found


def markdown(table, checked, messages, device, rounds, quick):
    where = run.environment(device)
    lines = ["# Speed", ""]
    lines += [f"{where['device']}; torch {where['torch']}; "
              f"commit {where['commit']}; {rounds} interleaved rounds"
              f"{', quick' if quick else ''}.", ""]
    lines += ["Milliseconds per iteration (L-BFGS: per evaluation of the objective) and image: "
              "median [min-max]. What the columns mean: [README.md](../bench/README.md).", ""]
    lines += [*grid(time_rows(table)), "", "Equal work, equal result: mean PSNR in dB of the "
              "same images, from the same starts, after the same iterations.", ""]
    lines += grid(result_rows(table))
    if checked:
        promised = ("target, on 2 CPU cores", "measured", "holds")
        lines += ["", *grid([dict(zip(promised, c, strict=True)) for c in checked])]
    if messages:
        lines += ["", *[f"- {message}" for message in messages]]
    return "\n".join(lines) + "\n"


def time_rows(table):
    return [{
        "victim": r["victim"], "attack": r["method"], "K": r["K"],
        "ours": spread(r, "ours"), "without lanes": spread(r, "batched"),
        "plain": spread(r, "plain"),
        "breaching": spread(r, "breaching"),
        "without / ours": number(r.get("batched_over_ours")),
        "plain / ours": number(r.get("plain_over_ours")),
        "breaching / ours": number(r.get("breaching_over_ours")),
        "share of the floor": f"{100 * r['gflop'] * 1000 / r['rate'] / r['ours_ms']:.0f} %",
        "trace s": number(r["trace_s"]),
    } for r in table.to_dict("records")]  # fmt: skip


def result_rows(table):
    return [{
        "victim": r["victim"], "attack": r["method"], "K": r["K"],
        "iterations": r["iterations"], "images": r["looped"],
        "ours": number(r["ours_psnr"]), "plain": number(r.get("plain_psnr")),
        "breaching": number(r.get("breaching_psnr")),
        "largest gap to plain": number(r.get("plain_psnr_gap")),
        "evaluations ours / plain / breaching": " / ".join(
            number(r.get(f"{name}_evaluations"), 0) for name in ("ours", "plain", "breaching")),
    } for r in table.to_dict("records")]  # fmt: skip


def spread(row, name):
    if not np.isfinite(row.get(f"{name}_ms", np.nan)):
        return "-"
    middle, low, high = (number(row[f"{name}_{part}"]) for part in ("ms", "min", "max"))
    return f"{middle} [{low}-{high}]"


def number(value, digits=2):
    return "-" if value is None or not np.isfinite(value) else f"{value:.{digits}f}"


def grid(rows):
    """Rows, dictionaries of the same keys, as a markdown table."""
    heads = list(rows[0])
    lines = [heads, ["---"] * len(heads), *([str(row[head]) for head in heads] for row in rows)]
    return ["| " + " | ".join(line) + " |" for line in lines]


def write(path, text):
    """Replace the file at once, so no reader finds half of it."""
    partial_file = path.with_name(path.name + ".part")
    partial_file.write_text(text)
    os.replace(partial_file, path)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="a fifth of the iterations")
    parser.add_argument("--device", default="cpu", help="cpu (default), cuda or cuda:<n>")
    parser.add_argument("--out", type=Path, default=HERE / "table.md",
                        help="the markdown table; the csv is written beside it")
    parser.add_argument("--threads", type=int, help="torch's threads on the CPU")
    parser.add_argument("--rounds", type=int, default=3, help="interleaved rounds, at least 3")
    chosen = parser.parse_args()
    if chosen.rounds < 3:
        parser.error("--rounds must be at least 3: the table gives medians")
    return chosen


def main():
    chosen = arguments()
    if chosen.threads:
        torch.set_num_threads(chosen.threads)
    device = run.start(device=chosen.device).device
    messages, rows, rate = [], [], highest_rate()
    try:
        peer = baselines.load_breaching()
    except baselines.Unavailable as reason:
        peer = None
        messages.append(f"breaching left out: {reason}")
    for case in cases(chosen.quick, device):
        for K in case.clients:
            row, more = measure(case, K, chosen.rounds, peer, device)
            row["rate"] = rate
            rows.append(row)
            messages += [message for message in more if message not in messages]
            print(" | ".join(map(str, time_rows(pd.DataFrame([row]))[0].values())), flush=True)
    table = pd.DataFrame(rows)
    own = lbfgs_own_work(chosen.quick, device)
    messages.append(f"L-BFGS's own work an iteration is {own:.2f} times the objective's "
                    "(LeNet, K = 16, history of 100 full).")
    checked = targets(table, own) if device.type == "cpu" else []
    text = markdown(table, checked, messages, device, chosen.rounds, chosen.quick)
    write(chosen.out, text)
    write(chosen.out.with_suffix(".csv"), table.to_csv(index=False, float_format="%.5g"))
    print("\n" + text)


if __name__ == "__main__":
    main()
