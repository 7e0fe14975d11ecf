"""The tables of notebook 04.

A table never mixes profiles in a row. Of each sweep it has this run's cell, where its profile has
the sweep (in the quick profile those on digits), else the stored one: `Sweep.shown("run")`.
"""

from collections.abc import Iterable

import numpy as np
import pandas as pd

from studies import choose
from studies.cells import Cell
from studies.gias.compute import SIGNED
from studies.gias.configs import FULL_STEPS, PAIR, STEPS, TUNED_WEIGHTS_DIGITS, TV, TV_DIGITS
from studies.gias.plan import BATCHES, Plan
from studies.store import Sweep

NEEDS_GPU = "not computed: needs a GPU"


# --- in words


def space_name(space: str) -> str:
    if space == SIGNED:
        return "GI-x, signed (Inverting Gradients)"
    return f"GI-{space}" + {"z/w": " (GIAS)", "x": ", without signs"}.get(space, "")


def short_name(space: str) -> str:
    return space if space == SIGNED else f"GI-{space}"


def in_words(values: dict, digits: str) -> str:
    """{search space or stage: number} in a line; digits: how a number is written."""
    return ", ".join(f"{name} {value:{digits}}" for name, value in values.items())


def spent(space: str, config: dict) -> str:
    """Iterations of an attack, with its starts: of the first stage, but for GI-w, which has one."""
    first, *then = [space] if space == SIGNED else space.split("/")
    has_starts = config.get("restarts", 1) > 1 and first != "w"
    starts = f"{config['restarts']} × " if has_starts else ""
    counts = [f"{config['iterations'][stage]:,}" for stage in (first, *then)]
    return starts + " + ".join(counts)


def settings() -> pd.DataFrame:
    """What both profiles compute, beside what the paper does, in prose."""
    rows = {
        "private images": (
            "digits 8x8, split test",
            "CIFAR-10, split test; LFW, ten people apart (paper: ImageNet and FFHQ at "
            "64x64†)"),
        "generator": (
            "DCGAN-like, 1,000 steps on 1,400 digits",
            "DCGAN-like, 4,000 steps on CIFAR-10, 2,000 on faces (paper: StyleGAN2)"),
        "victim": (
            "LeNet of 6 channels, untrained, one per client",
            f"LeNet, untrained, one per client (paper: ResNet-18, untrained, {NEEDS_GPU})"),
        "iterations": (
            in_words(STEPS["quick"], ","),
            f"{in_words(STEPS['paper'], ',')} (scripts: latents 500 to 1,000, parameters 5,000 to "
            "8,000)"),
        "total variation, weight": (
            "0.000001 to 0.0001, by setting: chosen below",
            f"{in_words(TV, 'g')}; chosen below (scripts: 0.000001 to 0.0001)"),
        "batch": (
            "4, two clients; 1, eight clients",
            "4, as in the paper†: eight clients for search spaces, four elsewhere; 16 images for "
            "other batch sizes (32 for 32)")}
    return pd.DataFrame(rows, index=["quick", "paper"]).T.rename_axis("what")


# --- scores


def batch_scores(images: pd.DataFrame) -> dict:
    """Of a row an image: means over images, and the mean over batches of each one's best PSNR."""
    best = images.groupby("client").psnr.max()
    return {"PSNR": images.psnr.mean(), "std": images.psnr.std(), "best of a batch": best.mean(),
            "SSIM": images.ssim.mean(), "AVD": images.avd.mean()}


def scores(images: pd.DataFrame) -> dict:
    """Of a row an image: means over images, the median distance, n."""
    return {"PSNR": images.psnr.mean(), "std": images.psnr.std(), "SSIM": images.ssim.mean(),
            "AVD": images.avd.mean(), "distance, median": images.distance.median(),
            "n": len(images)}


def client_means(cell: Cell, space: str) -> np.ndarray:
    """(K,) each client's mean PSNR: the images of a batch share one gradient."""
    images = cell.table[cell.table.space == space]
    return images.groupby("client").psnr.mean().to_numpy()


def lead(cell: Cell) -> np.ndarray:
    """(K,) by how many dB GIAS is ahead of signed pixels, each client's mean PSNR."""
    return client_means(cell, "z/w") - client_means(cell, SIGNED)


def log_distances(cell: Cell) -> np.ndarray:
    """(images,) log10 of the objective without priors where GIAS ends."""
    return np.log10(cell.table[cell.table.space == "z/w"].distance.to_numpy())


def by_space(cell: Cell) -> pd.DataFrame:
    """A row a search space; distance is the objective without its priors. LPIPS where there is any.
    """
    rows = []
    for space, images in cell.table.groupby("space", sort=False):
        names = {"search space": space_name(space), "iterations": spent(space, cell.config[0])}
        more = {"LPIPS": images.lpips.mean(), "distance": images.distance.mean(),
                "seconds an image": images.seconds.mean(), "n": len(images)}
        rows.append(names | batch_scores(images) | more)
    table = pd.DataFrame(rows)
    return table.drop(columns="LPIPS") if table.LPIPS.isna().all() else table


def grey_rows(sweep: Sweep) -> list[pd.DataFrame]:
    """The row that mid-grey pictures, no attack, have in a table of search spaces; none where it
    was not computed."""
    cell = sweep.shown("run")
    if cell is None:
        return []
    row = {"search space": "mid-grey, no attack"} | batch_scores(cell.table)
    return [pd.DataFrame([row | {"n": len(cell.table)}])]


# --- tables, in the order of the notebook


def generators(cells: dict) -> pd.DataFrame:
    """The quality of each generator: a row a measure, a column an image set."""
    columns = {}
    for name, cell in cells.items():
        columns[name] = cell.table.drop(columns="part", errors="ignore").iloc[0]
    return pd.DataFrame(columns)


def weights(plan: Plan) -> tuple[pd.DataFrame, int]:
    """Mean PSNR on the tuning clients of CIFAR-10, a row a search space and a column a weight of
    the total variation; and how many images each number is of."""
    cells = choose.shown_of(plan.tuned, "run")
    rows = pd.concat([cell.table.assign(tv=tv) for tv, cell in cells.items()])
    table = rows.pivot_table(index="space", columns="tv", values="psnr", sort=False)
    return table, len(rows) // table.size


def weights_in_words(table: pd.DataFrame) -> str:
    """Which weights are used, and which are the best of the table."""
    best = table.idxmax(axis=1).to_dict()
    used = in_words({space_name(space): weight for space, weight in TV.items()}, "g")
    found = in_words({space_name(space): weight for space, weight in best.items()}, "g")
    same = all(TV[space] == weight for space, weight in best.items())
    return f"Used below: {used}; the best here are {'the same' if same else found}."


def weights_on_digits(plan: Plan) -> pd.DataFrame:
    """Mean PSNR on the tuning clients of the digits, a column a weight of the total variation."""
    rows = []
    for setting, cell in choose.shown_of(plan.tuned_digits, "run").items():
        for space in PAIR:
            images = cell.table[cell.table.space == space]
            row = {"digits": "batches of " + setting, "search space": space_name(space)}
            for part, tv in enumerate(TUNED_WEIGHTS_DIGITS):
                row[f"{tv:g}"] = images[images.part == part].psnr.mean()
            row |= {"used": f"{TV_DIGITS[setting][space]:g}", "n": int((images.part == 0).sum())}
            rows.append(row)
    return pd.DataFrame(rows)


def rates(plan: Plan) -> pd.DataFrame:
    """GI-z/x on the tuning clients by learning rate of the pixels."""
    rows = []
    for rate, cell in choose.shown_of(plan.rates, "run").items():
        psnr = cell.table.psnr
        rows.append({"learning rate of the pixels": rate, "PSNR": psnr.mean(), "std": psnr.std(),
                     "n": len(psnr)})
    return pd.DataFrame(rows)


def spaces(plan: Plan) -> pd.DataFrame:
    """Figure "Comparison of different searching spaces" as a table: CIFAR-10, with the untrained
    generator and mid-grey pictures as controls."""
    parts = [by_space(plan.spaces.shown("run"))]
    control = plan.untrained.shown("run")
    if control is not None:
        untrained = by_space(control)
        parts.append(untrained.assign(**{
            "search space": untrained["search space"] + ", untrained generator"}))
    return pd.concat([*parts, *grey_rows(plan.grey[8])])


def statistics(plan: Plan) -> pd.DataFrame:
    """Figure "Comparison of state-of-the-art models and ours" as a table: signed pixels and GIAS
    with and without BatchNorm statistics; what needs a GPU has a row without numbers."""
    parts = []
    cells = choose.shown_of(plan.statistics, "run")
    for weight, cell in cells.items():
        how = f"exact, weight {weight:g}" if weight else "not used"
        parts.append(by_space(cell).assign(statistics=how))
    if cells:
        parts += [row.assign(statistics="none needed") for row in grey_rows(plan.grey[4])]
    for which, sweep in plan.full.items():
        cell = sweep.shown("run")
        rows = pd.DataFrame({"search space": ["all seven"]}) if cell is None else by_space(cell)
        parts.append(rows.assign(statistics="ResNet-18: " + which))
    return pd.concat(parts).reindex(columns=[
        "statistics", "search space", "PSNR", "std", "best of a batch", "SSIM", "AVD", "n"])


def statistics_in_words(plan: Plan) -> str:
    there = choose.shown_of(plan.statistics, "run")
    return (f"{len(there)} of 2 settings of the LeNet are there; ResNet-18 "
            f"(width 64, {in_words(FULL_STEPS, ',')} iterations, four starts): {NEEDS_GPU}.")


def difficulties(plan: Plan) -> dict[str, pd.DataFrame]:
    """The rows of each of the paper's four difficulties that has two points at least; column at:
    its value."""
    curves = {}
    for what, sweeps in plan.difficulties.items():
        cells = choose.shown_of(sweeps, "run")
        points = [cell.table.assign(at=at) for at, cell in cells.items()]
        if len(points) > 1:
            curves[what] = pd.concat(points)
    return curves


def difficulty(curves: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """What `difficulties` gives as a table: a row a difficulty, its value and a search space."""
    columns = ["at", "space", "PSNR", "std", "best of a batch", "SSIM", "AVD", "clients", "n"]
    parts = [pd.DataFrame(columns=["what", *columns])] if not curves else []
    for what, rows in curves.items():
        grouped = rows.groupby(["at", "space"])
        part = grouped.apply(_difficulty_row, include_groups=False).reset_index()
        parts.append(part.assign(what=what)[["what", *columns]])
    return pd.concat(parts)


def _difficulty_row(images: pd.DataFrame) -> pd.Series:
    return pd.Series(batch_scores(images) | {"clients": images.client.nunique(), "n": len(images)})


def not_computed(plan: Plan) -> str:
    """The difficulties that no cell is there of, in a sentence; "" where all are."""
    missing = []
    for what, sweeps in plan.difficulties.items():
        there = choose.shown_of(sweeps, "run")
        values = [f"{value:g}" for value in sweeps if value not in there]
        if values:
            missing.append(f"{what} {', '.join(values)}")
    return f"Not computed: {'; '.join(missing)}." if missing else ""


def by_batch_size(numbers: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """PSNR by batch size. numbers: of `report.published`, a third party's, above; table: of
    `difficulty`, ours, below."""
    quoted = numbers[numbers.float == "difficulty"]
    quoted = quoted.pivot(index="row", columns="column", values="value")
    ours = table[table.what == "batch size"].pivot(index="space", columns="at", values="PSNR")
    ours.index = [space_name(space) + ", ours" for space in ours.index]
    ours.columns = [f"B={size:.0f}" for size in ours.columns]
    return pd.concat([quoted[[f"B={size}" for size in BATCHES]], ours])


def strange(plan: Plan) -> pd.DataFrame:
    """Generators on images of their own kind and of another: a row a pair and search space. The
    digits are this run's, the rest is stored."""
    on_digits = []
    for sweep in plan.strange.values():
        cell = sweep.shown("run")
        on_digits += _prior_rows("digits", cell.config[0]["images"]["name"], cell)
    larger = []
    pairs = plan.crossed | {("untrained", "lfw"): plan.untrained_faces}
    for (of, on), cell in choose.shown_of(pairs, "run").items():
        larger += _prior_rows(of, on, cell)
    return pd.concat([pd.DataFrame(on_digits), pd.DataFrame(larger)])


def _prior_rows(of: str, on: str, cell: Cell) -> list[dict]:
    rows = []
    for space, images in cell.table.groupby("space", sort=False):
        rows.append({"generator of": of, "private images": on, "search space": space_name(space)}
                    | scores(images))
    return rows


def giml(cells: Iterable[Cell]) -> pd.DataFrame:
    """Figures of GIML as a table: a row a number of rounds, test, prior and search space."""
    return pd.concat([_giml_rows(cell) for cell in cells])


def _giml_rows(cell: Cell) -> pd.DataFrame:
    rows = []
    for (test, prior, space), images in cell.table.groupby(["test", "prior", "space"], sort=False):
        names = {"rounds": cell.config[0]["rounds"], "test": "batches of " + test, "prior": prior,
                 "search space": space_name(space)}
        rows.append(names | scores(images))
    return pd.DataFrame(rows)
