"""The tables of notebook 03. Published numbers, the paper profile's and this run's have columns
of their own, so no column mixes profiles."""

from collections.abc import Callable

import numpy as np
import pandas as pd

from lib.update import SharedUpdate
from studies import choose
from studies.cells import Cell
from studies.inverting_gradients import comparisons, measures, words
from studies.inverting_gradients.measures import ATTACKS
from studies.inverting_gradients.paper_sweeps import ABLATION, COLUMNS
from studies.inverting_gradients.plan import Plan
from studies.store import Sweep

NEEDS_GPU = "not computed: needs a GPU (and, where pretrained, ImageNet weights: `make weights`)"
ABLATED = {"paper": "ResNet-18, stored", "narrow": "ResNet-18, width 8, stored",
           "LeNet": "LeNet, stored"}
# The sweeps of `full_sweeps.Full` as its table names them
FULL = {"table1": "Table 1, LeNet", "resnet20": "Table 1, ResNet20-1", "table2": "Table 2,",
        "table3": "Table 3,", "fig4": "Figure 4, width", "fig5": "Figure 5, five steps, τ =",
        "convnet": "one gradient,", "batches": "images in one mean:"}
# Figure 5's rows: local steps, local learning rate
LOCAL_STEPS = [(1, 1e-4), (4, 1e-4), (20, 1e-4), (100, 1e-4), (5, 1e-4), (5, 1e-2), (5, 1e-1)]


def psnr_stored(sweep: Sweep) -> str:
    """PSNR of the paper profile's cell, and never another's: a run of that profile computes it
    before."""
    return words.psnr(sweep.shown(other=False))


def psnr_here(sweep: Sweep) -> str:
    """PSNR of this run's cell, with its network."""
    return words.psnr_and_network(sweep.here())


def _own_column(sweeps: Plan) -> str:
    return f"this run, {sweeps.lenet.profile}"


def _rows(rows: dict, *index: str) -> pd.DataFrame:
    """A table of a dict for each row, with its index named."""
    return pd.DataFrame(rows).T.rename_axis(index if len(index) > 1 else index[0])


# --- before the results


def settings(sweeps: Plan) -> pd.DataFrame:
    """The first column of Table 1 in both profiles."""
    columns = {}
    for profile, configs in sweeps.lenet.configs.items():
        config = configs[0]
        columns[profile] = {
            "images": config["images"]["name"], "victim": "LeNet, untrained",
            "images attacked": config["clients"][1],
            "iterations": config["attack"]["iterations"], "weight of TV": config["attack"]["tv"]}
    return pd.DataFrame(columns).rename_axis("Table 1, first column")


def card(update: SharedUpdate) -> pd.DataFrame:
    """The assumptions card of a LeNet's update."""
    parameters = sum(p.numel() for p in update.model.parameters())
    victim = f"LeNet of the DLG code, U(-0.5, 0.5), {parameters:,} parameters"
    return pd.Series({"victim": victim, **update.card()}, name="assumptions").to_frame()


def paths_note(paths: dict[str, Cell]) -> str:
    """What the drawing along a training does not show: the victims, and how unequal the images
    are at the end."""
    victims, spreads = [], []
    for name, path in paths.items():
        loss = measures.after_training(path).loss.median()
        victims.append(
            f"{name}: n = {path.table.client.nunique()} training images, median loss {loss:.2g} "
            f"at the end; the victim classifies {path.table.accuracy.iloc[-1]:.0%} of the test "
            "images")
        length, squared, cosine = (
            measures.spread(path, column) for column in ("norm", "l2", "cosine"))
        spreads.append(f"{name}: length {length:,.0f}, squared distance {squared:,.0f}, "
                       f"cosine distance {cosine:.1f}")
    return (f"Median, and 5th to 95th percentile of images. {'; '.join(victims)}. After training, "
            f"95th over 5th percentile: {'; '.join(spreads)}.")


# --- Table 1


def table1(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Table 1: PSNR of two attacks on two networks, untrained and trained."""
    rows = {}
    for (network, state, row), sweep in sweeps.table1.items():
        if network == "ResNet20-1":
            continue
        narrow = None
        if network == "ResNet20-4":
            narrow = sweeps.table1["ResNet20-1", state, row]
        theirs, ours = ATTACKS[row]
        rows[f"{network}, {state}", ours] = {
            "published": words.told(published, "table1", theirs, f"{network}, {state}"),
            "paper's network, stored": psnr_stored(sweep),
            "narrow relative, stored": narrow_psnr_stored(narrow),
            _own_column(sweeps): psnr_here(narrow or sweep)}
    return _rows(rows, "victim", "attack")


def narrow_psnr_stored(sweep: Sweep | None) -> str:
    """As `psnr_stored`, with the network; nothing where there is no narrow relative."""
    return "" if sweep is None else words.psnr_and_network(sweep.shown(other=False))


def table1_note(sweeps: Plan) -> str:
    """Under Table 1: how good the trained victims are, and what needs no gradient."""
    accuracies = {}
    for cell in choose.shown_of(sweeps.table1).values():
        if "victim_accuracy" in cell.table:
            accuracies[words.network(cell)] = cell.table.victim_accuracy.iloc[0]
    victims = ", ".join(f"{accuracy:.0%} ({name})" for name, accuracy in accuracies.items())
    flat = sweeps.mean_colour.shown()
    note = ("Mean ± standard deviation over images; several networks where stored (below). "
            f"Trained victims classify {victims} of the test images right.")
    if flat is not None:
        note += (" The mean colour of the set, which needs no gradient, has "
                 f"{words.psnr(flat)} dB.")
    return note


def networks(sweeps: Plan) -> pd.DataFrame:
    """Table 1's attacks on several LeNets, for those attacks that have more than one."""
    rows = {}
    for name, psnr in measures.networks(sweeps).items():
        if psnr.shape[1] > 1:
            rows[name] = measures.components(psnr)
    return _rows(rows, "cell")


def tv_weight(sweeps: Plan) -> pd.DataFrame:
    """Mean PSNR of untrained LeNet's first images by the weight of TV; empty where no other weight
    than Table 1's is stored."""
    cells = choose.shown_of(sweeps.tv_weights)
    if not cells:
        return pd.DataFrame()
    n = min(len(cell.table) for cell in cells.values())
    means = {weight: cell.table.psnr[:n].mean() for weight, cell in cells.items()}
    means[1e-2] = words.first_network(sweeps.lenet.shown()).psnr[:n].mean()
    column = pd.Series(means, name=f"PSNR, mean of {n} images").sort_index()
    return column.rename_axis("weight of TV").to_frame().round(2)


# --- federated averaging: Table 2, Figure 5


def angles(agreement: Callable, victims: dict) -> pd.DataFrame:
    """agreement(victim, steps, rate), a cosine, by victim, local steps and learning rate. A hundred
    steps are taken at the paper's rate only."""
    columns = {}
    for rate in (1e-4, 1e-2, 1e-1):
        column = {}
        for name, victim in victims.items():
            for steps in (5, 20, 100):
                asked = steps < 100 or rate == 1e-4
                column[f"{name}, {steps} steps"] = (
                    agreement(victim, steps, rate) if asked else np.nan)
        columns[f"τ = {rate:g}"] = column
    return pd.DataFrame(columns).rename_axis("victim, local steps")


def table2(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Table 2: PSNR of federated averaging by epochs E, images n and local batch B."""
    rows = {}
    for column in COLUMNS:
        rows[column] = {
            "published (ConvNet)": words.told(published, "table2", "Proposed", column),
            "ConvNet64, stored": psnr_stored(sweeps.table2["ConvNet", column]),
            "ConvNet8, stored": psnr_stored(sweeps.table2["narrow", column]),
            "LeNet, stored": psnr_stored(sweeps.table2["LeNet", column]),
            _own_column(sweeps): psnr_here(sweeps.table2["LeNet", column])}
    return _rows(rows, "setting")


def fig5(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Figure 5 as a table: PSNR by local steps and learning rate."""
    rows = {}
    for steps, rate in LOCAL_STEPS:
        row, column = "left: tau=1e-4", f"{steps} steps"
        if rate != 1e-4:
            row, column = "right: 5 steps", f"tau={rate:.0e}".replace("e-0", "e-")
        cells = {"published (ConvNet, one image)": words.told(published, "fig5", row, column)}
        for network in ("ConvNet64", "ConvNet8", "LeNet"):
            sweep = sweeps.fig5.get((network, steps, rate))
            cells[f"stored: {network}"] = "" if sweep is None else psnr_stored(sweep)
        plural = "s" if steps > 1 else ""
        rows[f"{steps} step{plural}, τ = {rate:g}"] = cells
    return _rows(rows, "setting")


# --- Figures 1, 4 and 6


def fig4(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Figure 4 as a table: PSNR by width and depth."""
    rows = {}
    for (scale, name), sweep in sweeps.fig4.items():
        few = "" if scale == "paper" else " (300 iterations)"
        theirs = name.replace(",", "")
        if name in ("ResNet-34, width 64", "ResNet-50, width 64"):  # the paper names no width
            theirs = name.partition(",")[0]
        rows[name + few] = {
            "published, first 10 images": words.told(published, "fig4", "first 10 images", theirs),
            "stored": psnr_stored(sweep), _own_column(sweeps): psnr_here(sweep)}
    return _rows(rows, "network")


def fig6(sweeps: Plan) -> pd.DataFrame:
    """Figure 6 as a table: PSNR of large batches whose labels differ."""
    published = "about 10.7 (inferred from −0.77 in normalised space)"
    rows = {}
    for name, sweep in sweeps.fig6.items():
        cell = sweep.shown(other=False)
        rows[name] = {
            "published": published if "ResNet32" in name else "–",
            "stored": psnr_stored(sweep),
            "best image": "–" if cell is None else f"{cell.table.psnr.max():.1f}",
            _own_column(sweeps): psnr_here(sweep)}
    return _rows(rows, "batch")


def fig1(sweeps: Plan) -> pd.DataFrame:
    """Figures 1 and 3 as a table."""
    rows = {}
    for name, sweep in sweeps.fig1.items():
        cell = sweep.shown(other=False)
        rows[name] = {
            "stored, PSNR": words.psnr(cell),
            "differs from the paper in": NEEDS_GPU if cell is None else cell.comparable}
    return _rows(rows, "network")


# --- Table 3, the dishonest server


def table3(sweeps: Plan, published: pd.DataFrame) -> pd.DataFrame:
    """Table 3: PSNR of attacks that differ from the paper's in one part."""
    rows = {}
    for row in ABLATION:
        cells = {"published": words.told(published, "table3", row, "PSNR")}
        for network, title in ABLATED.items():
            sweep = sweeps.table3.get((network, row))
            cells[title] = "–" if sweep is None else psnr_stored(sweep)
        narrow = sweeps.table3.get(("narrow", row))
        cells[_own_column(sweeps)] = "–" if narrow is None else psnr_here(narrow)
        rows[row] = cells
    return _rows(rows, "attack")


def servers(cells: dict[str, Cell]) -> pd.DataFrame:
    """What an honest and an active server recover from the clients of one trained network."""
    rows = {}
    for kind, cell in cells.items():
        above = (cell.table.psnr > 15).sum()
        rows[kind] = {
            "accuracy of the victim": f"{cell.table.victim_accuracy.iloc[0]:.0%}",
            "PSNR": words.psnr(cell), "images above 15 dB": f"{above} of {len(cell.table)}"}
    return _rows(rows, "server")


# --- attacks at full length


def full(sweeps: Plan) -> pd.DataFrame:
    """The attacks of `full_sweeps` that are stored; empty before any is."""
    rows = []
    for name, cell in choose.shown_of(_at_full_length(sweeps)).items():
        means = comparisons.psnr_of([cell]).groupby("network").mean()
        rows.append({
            "attack": name, "victim": words.network(cell), "networks": len(means),
            "images": len(cell.table), "PSNR, mean over networks": round(means.mean(), 2),
            "std over networks": round(means.std(), 2), "ended": comparisons.ended([cell])})
    return pd.DataFrame(rows)


def _at_full_length(sweeps: Plan) -> dict[str, Sweep]:
    """The sweeps of FULL, by what a row of the table is called."""
    attacked = {}
    for table, title in FULL.items():
        for key, sweep in getattr(sweeps.full, table).items():
            setting = " ".join(key) if isinstance(key, tuple) else key
            attacked[f"{title} {setting}"] = sweep
    return attacked


# --- beyond the paper


def restarts_note(study: measures.Restarts) -> str:
    """Under the drawing of restarts: the rank correlations, and how much restarts differ."""
    ranges = np.ptp(study.psnr, axis=1)
    within = study.within
    return (f"LeNet, untrained: {len(within)} images, {len(study.chosen)} restarts. Over images: "
            f"Spearman {study.across:.2f} (p = {study.p_across:.1g}). Over the restarts of one "
            f"image: mean {np.nanmean(within):.2f}, from {np.nanmin(within):.2f} to "
            f"{np.nanmax(within):.2f}. PSNR differs between restarts of one image by "
            f"{ranges.min():.1f} to {ranges.max():.1f} dB.")


def aggregated(cells: dict[int, Cell]) -> pd.DataFrame:
    """What survives of images among so many clients in one mean."""
    rows = []
    for clients, cell in cells.items():
        best = cell.table.groupby("client").psnr.max().mean()
        rows.append({
            "clients": clients, "images": len(cell.table), "PSNR": words.psnr(cell),
            "median": round(cell.table.psnr.median(), 2), "best of each mean": round(best, 2)})
    return pd.DataFrame(rows)


def costs(sweeps: Plan) -> pd.DataFrame:
    """What an iteration costs an image, and an attack of 4,800; seconds include tracing."""
    attacks = [
        ("one gradient", sweeps.lenet),
        ("one gradient", sweeps.table1["ResNet20-1", "untrained", "cosine"]),
        ("one gradient", sweeps.fig4["narrow", "ResNet-18, width 8"]),
        ("five steps", sweeps.table2["LeNet", "E=5, n=1, B=1"]),
        ("five steps", sweeps.table2["narrow", "E=5, n=1, B=1"]),
        ("five steps of eight images", sweeps.table2["LeNet", "E=5, n=8, B=8"])]
    rows = []
    for what, sweep in attacks:
        cell = sweep.shown()
        if cell is None:
            continue
        iterations = cell.config[0]["attack"]["iterations"]
        seconds = cell.seconds / len(cell.table) / iterations
        rows.append({
            "victim": words.network(cell), "shared": what, "iterations": iterations,
            "ms an iteration and image": round(1000 * seconds, 2),
            "minutes for 4,800 iterations": round(80 * seconds, 1), "device": cell.device})
    return pd.DataFrame(rows)
