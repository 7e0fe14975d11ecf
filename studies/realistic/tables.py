"""Tables of notebook 10."""

import numpy as np
import pandas as pd

from lib import bounds
from studies.cells import Cell
from studies.realistic import claims, elsewhere, settings
from studies.realistic.arms import ARMS, plain_of
from studies.realistic.elsewhere import Elsewhere
from studies.realistic.plan import Plan, minutes, shown

NOT_COMPUTED = "not computed"
EIGHT_BITS = 58.9  # dB of an image that is rounded to 8 bits: a bound above it says nothing
CANDIDATES = 201  # among which an image is named: itself and 200 others


def cells_of(plan: Plan) -> claims.Cells:
    """What the page shows of the sweeps that claims are decided by."""
    def of(sweeps: dict) -> dict:
        return {key: shown(sweep) for key, sweep in sweeps.items()}

    return claims.Cells(
        of(plan.laboratory), of(plan.round), of(plan.towards), of(plan.back), of(plan.others),
        of(plan.larger), of(plan.plain), of(plan.adaptive))


# --- the grid


def _row(cell: Cell | None) -> dict:
    """What a setting gives away, in numbers; the place is among 201, by chance 101."""
    if cell is None:
        return {"recognised": np.nan, "dB above the mean colour": NOT_COMPUTED}
    gain, row = claims.gain(cell), {"recognised": np.nan, "median place": np.nan}
    if cell.table["rank"].notna().any():
        row = {"recognised": claims.recognised(cell).mean(),
               "median place": cell.table["rank"].median()}
    return row | {
        "dB above the mean colour": f"{gain.mean():+.1f} ± {gain.std():.1f}",
        "SSIM": cell.table.ssim.mean(),
        "images": len(cell.table), "of an update": cell.table.groupby(
            ["network", "update"]).size().max()}


def ladder(cells: claims.Cells, name: str) -> pd.DataFrame:
    """A network from the laboratory to the round and back: a row a setting, in that order."""
    network, rows = settings.NETWORKS[name], {}
    rows["laboratory"] = _row(cells.laboratory[name])
    for key in settings.changed(network):
        words = f"laboratory, but {settings.in_words(network, key)}"
        rows[words] = _row(cells.towards[name, key])
    for key in settings.changed(network):
        rows[f"round, but {LABORATORY_WORDS[key]}"] = _row(cells.back[name, key])
    rows["round"] = _row(cells.round[name])
    return pd.DataFrame(rows).T.infer_objects().rename_axis(network.title)


LABORATORY_WORDS = {
    "batch": "single images", "steps": "a gradient", "mode": "BatchNorm in eval mode",
    "trained": "fresh network", "clients": "client alone"}


def ends(cells: claims.Cells) -> pd.DataFrame:
    """Both ends, a row a network and end."""
    rows = {}
    for name, network in settings.NETWORKS.items():
        for end, cell in (("laboratory", cells.laboratory[name]), ("round", cells.round[name])):
            rows[network.title, end] = _row(cell)
    table = pd.DataFrame(rows).T.infer_objects().drop(columns="of an update", errors="ignore")
    return table.rename_axis(["network", "setting"])


def attacks(cells: claims.Cells) -> pd.DataFrame:
    """Other attacks than the grid's, each beside it."""
    rows = {}
    for (name, end, attack), cell in cells.others.items():
        here = {"laboratory": cells.laboratory, "round": cells.round}[end][name]
        rows[settings.NETWORKS[name].title, end, attack] = {
            "dB above the mean colour": _gain(cell), "one cosine": _gain(here),
            "recognised": _share(cell), "one cosine, recognised": _share(here)}
    table = pd.DataFrame(rows).T.infer_objects()
    return table.rename_axis(["network", "setting", "attack"])


def _gain(cell: Cell | None) -> float:
    return np.nan if cell is None else float(claims.gain(cell).mean())


def _share(cell: Cell | None) -> float:
    if cell is None or not cell.table["rank"].notna().any():
        return np.nan
    return float(claims.recognised(cell).mean())


def modern(elsewhere_: Elsewhere, train: Cell | None) -> pd.DataFrame:
    """EfficientNet-Lite0 with the weights of ImageNet: a row a mode of its client."""
    rows = {}
    for mode, cell in (("eval", elsewhere_.lite0), ("train", train)):
        if cell is None:
            rows[mode] = {"photographs": NOT_COMPUTED, "PSNR": np.nan, "place among 201": "–"}
            continue
        ranks = cell.table["rank"].astype(int)
        rows[mode] = {"photographs": str(len(ranks)), "PSNR": cell.table.psnr.mean(),
                      "place among 201": ", ".join(map(str, ranks))}
    return pd.DataFrame(rows).T.infer_objects().rename_axis("BatchNorm mode")


def missing(plan: Plan) -> pd.DataFrame:
    """What of the grid is stored, and what the rest would take: a row a network."""
    rows = {}
    for name, network in settings.NETWORKS.items():
        sweeps = {setting: sweep for (known, setting), sweep in plan.grid().items()
                  if known == name}
        left = [setting for setting, sweep in sweeps.items() if sweep.stored() is None]
        rows[network.title] = {
            "settings": len(sweeps), "computed": len(sweeps) - len(left), NOT_COMPUTED: len(left),
            "core-hours of the rest": sum(minutes(network, setting) for setting in left) / 60}
    return pd.DataFrame(rows).T.infer_objects().rename_axis("network")


# --- differential privacy


def dpsgd(stored: Elsewhere, prior: Cell, mean_image: float, adaptive: Cell | None = None) \
        -> pd.DataFrame:
    """Bound, best attack and gap: a row a noise multiplier of page 05's DP-SGD.

    mean_image: the mean squared error of a guess that needs no gradient. adaptive: this page's cell
    of an attacker who smooths more, at its own noise multiplier. An attack's dB are those of its
    mean error; where the guess is better, it is the best attack."""
    known = prior.table.iloc[0]
    smoothed = {} if adaptive is None else {
        adaptive.config[0]["defense"]["noise_multiplier"]: elsewhere.error(adaptive)}
    rows = {}
    for noise, cell in stored.dpsgd.items():
        if not noise:
            continue
        found = elsewhere.error(cell)
        more = smoothed.get(noise, np.nan)
        best = np.nanmin([found, more, mean_image])
        limit = bounds.psnr(bounds.error(noise, known.variance))
        limit = np.inf if limit > EIGHT_BITS else limit
        cheat = bounds.without_prior(noise, (known.variance * known.pixels) ** 0.5,
                                     int(known.pixels))
        rows[f"{noise:g}"] = {
            "names 1 of 201, at most": bounds.success(noise, 1 / CANDIDATES),
            "any attack, at most, dB": limit, "server that cheats, dB": bounds.psnr(cheat),
            "our attack, dB": _psnr(found), "smoother, dB": _psnr(more),
            "gap, dB": limit - bounds.psnr(best)}
    return pd.DataFrame(rows).T.rename_axis("noise multiplier")


def _psnr(error: float) -> float:
    return np.nan if np.isnan(error) else bounds.psnr(error)


def blind(prior: Cell, noises: list[float]) -> pd.DataFrame:
    """How often at most any attack recovers an image within an error, by noise multiplier; the
    first column without an update."""
    rows = {}
    for row in prior.table.itertuples():
        shares = {f"noise {noise:g}": bounds.success(noise, row.blind) for noise in noises}
        rows[f"{bounds.psnr(row.error):.0f} dB"] = {"no update": row.blind} | shares
    return pd.DataFrame(rows).T.rename_axis("recovered to")


# --- defenses


def defenses(cells: claims.Cells, stored: Elsewhere) -> pd.DataFrame:
    """Every defense of the house with the attacker who adapts to it, none left out: dB of the
    plain and of the adaptive attacker (on page 06: the share of images recovered)."""
    rows = {}
    for name, arm in ARMS.items():
        if arm.stored:
            plain, adaptive, where = _stored(name, stored)
        else:
            plain = _decibel(cells.plain[plain_of(name)])
            adaptive = _decibel(cells.adaptive[name]) if name in cells.adaptive else "none computed"
            where = "here"
        rows[arm.title, arm.attacker] = {"plain": plain, "adaptive": adaptive, "page": where}
    without = _decibel(cells.laboratory["lenet"])
    rows["no defense", "–"] = {"plain": without, "adaptive": "–", "page": "here"}
    return pd.DataFrame(rows).T.rename_axis(["defense", "the adaptive attacker"])


def _decibel(cell: Cell | None) -> str:
    if cell is None:
        return NOT_COMPUTED
    by_network = cell.table.groupby("network").psnr.mean()
    return f"{by_network.mean():.1f} ± {by_network.std():.1f} dB"


def _stored(name: str, stored: Elsewhere) -> tuple[str, str, str]:
    """What another page has of a defense: plain, adaptive, and which page."""
    if name == "equal_labels":
        shares = (elsewhere.recovered(stored.equal["plain"], in_span=False),
                  elsewhere.recovered(stored.equal["in the span"], in_span=True))
        return *(NOT_COMPUTED if np.isnan(s) else f"{s:.0%} of images" for s in shares), "06"
    kind = {"mixup": "MixUp 4", "instahide": "InstaHide 4"}[name]
    knowing = stored.mixing["four epochs" if name == "mixup" else kind]
    numbers = (elsewhere.psnr(stored.mixing[kind]), elsewhere.psnr(knowing, "decoded_psnr"))
    return *(NOT_COMPUTED if np.isnan(x) else f"{x:.1f} dB" for x in numbers), "05"
