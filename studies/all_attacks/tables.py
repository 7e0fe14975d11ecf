"""The tables of notebook 08: attack against defense, and what each attack takes.

A panel is {attack: cell}, of one victim and number of images a client; panels are found by
(victim, images a client), those of this run apart from those stored: no table mixes them.
"""

import numpy as np
import pandas as pd

from studies import choose
from studies.all_attacks.compute import preset
from studies.all_attacks.plan import DEFENSES, Plan
from studies.cells import Cell

VICTIM_NAMES = {"dense": "one dense layer", "lenet": "LeNet"}
HIGHEST = 60     # dB: a copy to the last bit of a float has no finite PSNR
RECOVERED = 1e-3  # mean squared error
INNER_STEPS = 20  # gradients that a call of torch.optim.LBFGS.step looks at, at most
BY_LBFGS = ("DLG", "iDLG", "in the span")


def title(victim: str, batch_size: int) -> str:
    """A panel in words, where there is little room."""
    return f"{VICTIM_NAMES[victim]}, B = {batch_size}"


def declared(plan: Plan) -> pd.DataFrame:
    """Images, network and clients of each panel in both profiles, and its attacks."""
    rows = []
    for key, sweeps in plan.panels.items():
        plain = sweeps["mid-grey"]  # what all attacks of a panel have in common
        rows.append({"panel": title(*key), "quick profile": plain.describe("quick"),
                     "paper profile": plain.describe("paper"), "attacks": ", ".join(sweeps)})
    return pd.DataFrame(rows)


def panels_here(plan: Plan) -> dict[tuple, dict[str, Cell]]:
    """This run's panels: those that have all their attacks."""
    panels = {}
    for key, sweeps in plan.panels.items():
        cells = choose.here_of(sweeps)
        if len(cells) == len(sweeps):
            panels[key] = cells
    return panels


def panels_stored(plan: Plan) -> dict[tuple, dict[str, Cell]]:
    """The paper profile's stored panels: those that have more than half of their attacks."""
    panels = {}
    for key, sweeps in plan.panels.items():
        cells = choose.stored_of(sweeps)
        if len(cells) > len(sweeps) / 2:
            panels[key] = cells
    return panels


def not_computed(plan: Plan, panels: dict) -> str:
    """What is declared and in none of the stored panels."""
    missing = []
    for victim, batch_size in plan.panels:
        if (victim, batch_size) not in panels:
            plural = "s" if batch_size > 1 else ""
            missing.append(f"{VICTIM_NAMES[victim]}, {batch_size} image{plural} per client")
    for key, cells in panels.items():
        for attack in plan.panels[key]:
            if attack not in cells:
                missing.append(f"{attack} on {title(*key)}")
    return "; ".join(missing) or "nothing"


def mid_grey(panels: dict) -> list[Cell]:
    """The cells without an attack, one a panel: a caption is told of images, network, clients."""
    return [cells["mid-grey"] for cells in panels.values()]


def decibels(table: pd.DataFrame) -> pd.Series:
    """PSNR; above 60 as 60, and 0 where the attack ended without numbers."""
    return table.psnr.clip(upper=HIGHEST).fillna(0)


def medians(cells: dict[str, Cell]) -> pd.DataFrame:
    """The median PSNR, a row an attack and a column a defense."""
    rows = {}
    for attack, cell in cells.items():
        rows[attack] = decibels(cell.table).groupby(cell.table.defense).median()
    table = pd.DataFrame(rows).T
    return table.set_axis(list(DEFENSES)[:len(table.columns)], axis=1)


def better_than_grey(cells: dict[str, Cell]) -> tuple[np.ndarray, int]:
    """(attacks, defenses) how many images each attack recovers better than mid-grey is, and of how
    many."""
    grey = cells["mid-grey"].table
    floor = decibels(grey).to_numpy()
    rows = {}
    for attack, cell in cells.items():
        better = decibels(cell.table) > floor
        rows[attack] = better.groupby(cell.table.defense).sum()
    return pd.DataFrame(rows).T.to_numpy(), len(grey) // grey.defense.nunique()


def best_in_words(cells: dict[str, Cell]) -> str:
    """The best attack under each defense, for a reader who does not see the map."""
    table = medians(cells)
    grey, attacks = table.loc["mid-grey"], table.drop(index="mid-grey")
    best = []
    for defense in table:
        highest = attacks[defense].max()
        won = f"{attacks[defense].idxmax()} {highest:.0f}" if highest > grey[defense] else "none"
        best.append(f"{defense} {won}")
    return "; ".join(best)


def all_medians(panels: dict) -> pd.DataFrame:
    """The numbers of the heat maps, one panel below the other."""
    parts = []
    for (victim, batch_size), cells in panels.items():
        table = medians(cells).round(1)
        parts.append(table.assign(victim=VICTIM_NAMES[victim], B=batch_size))
    return pd.concat(parts).rename_axis("attack").reset_index()


def attacks(panels: dict) -> pd.DataFrame:
    """Without a defense: what each attack believes, takes and recovers."""
    rows = []
    for (victim, batch_size), cells in panels.items():
        for name, cell in cells.items():
            names = {"victim": VICTIM_NAMES[victim], "B": batch_size, "attack": name}
            how = cell.config[0]["attack"]
            plain = cell.table[cell.table.defense == 0]
            rows.append(names | attack_in_words(how)
                        | {"evaluations, at most": evaluations(name, how)} | _scores(plain))
    return pd.DataFrame(rows)


def attack_in_words(how: dict) -> dict[str, str]:
    """Objective, prior and label rule of an attack that a config describes."""
    rule = how.get("labels", "analytic, for batches")
    ours = {"mid-grey": ("–", "–", "–"),
            "closed form": ("none: a division", "none", rule),
            "in the span": ("relative L2, in B x B unknowns", "none", "analytic"),
            "gias": ("cosine", "a generator, TV", rule)}  # its preset needs the generator
    if how["name"] in ours:
        objective, prior, labels = ours[how["name"]]
    else:
        attack = preset(how)
        objective = attack.objective.__name__.replace("l2", "L2")
        prior = ", ".join(term.__name__ for _, term in attack.priors) or "none"
        labels = attack.labels
    return {"objective": objective, "prior": prior, "labels": labels}


def evaluations(name: str, how: dict) -> int:
    """How many gradients of the dummy an attack looks at, at most."""
    iterations = how.get("iterations", 0)
    steps = sum(iterations) if isinstance(iterations, list) else iterations
    inner = INNER_STEPS if name in BY_LBFGS else 1
    return steps * inner * how.get("restarts", 1)


def _scores(images: pd.DataFrame) -> dict:
    """Mean and standard deviation over images; recovered: mean squared error below 0.001."""
    psnr, ssim = decibels(images), images.ssim.fillna(0)
    recovered = (images.mse < RECOVERED).sum()
    return {"clients": images.client.nunique(), "images": len(images),
            "PSNR": f"{psnr.mean():.1f} ± {psnr.std():.1f}",
            "SSIM": f"{ssim.mean():.2f} ± {ssim.std():.2f}",
            "AVD": f"{images.avd.mean():.2f} ± {images.avd.std():.2f}",
            "recovered": f"{recovered} of {len(images)}"}


def timings(panels: dict) -> pd.DataFrame:
    """Seconds an image, a row an attack."""
    rows = []
    for (victim, batch_size), cells in panels.items():
        for attack, cell in cells.items():
            rows.append({"victim": VICTIM_NAMES[victim], "B": batch_size, "attack": attack,
                         "seconds an image": cell.table.seconds.mean()})
    return pd.DataFrame(rows)


def seconds(panels: dict) -> pd.DataFrame:
    """Seconds an image, a row an attack and a column a panel, for the page."""
    columns = {}
    for key, cells in panels.items():
        columns[title(*key)] = {attack: cell.table.seconds.mean() for attack, cell in cells.items()}
    return pd.DataFrame(columns).rename_axis("seconds per image").reset_index()


# --- for the page: `attacks` in two tables of few columns


RECOVERY = {"victim": "network", "attack": "attack", "PSNR": "PSNR, dB", "SSIM": "SSIM",
            "AVD": "AVD", "recovered": "recovered"}
MEANS = {"attack": "attack", "objective": "objective", "prior": "prior", "labels": "labels",
         "evaluations, at most": "gradients looked at"}
RULES = {"joint": "optimised with the image", "idlg": "iDLG's rule",
         "analytic, for batches": "analytic rule, for batches", "analytic": "analytic rule"}


def recovery(table: pd.DataFrame) -> pd.DataFrame:
    """What each attack recovers without a defense, of a table that `attacks` made."""
    shown = table[list(RECOVERY)].rename(columns=RECOVERY)
    if table.B.nunique() > 1:
        shown.insert(1, "images per client", table.B)
    return shown


def means(table: pd.DataFrame) -> pd.DataFrame:
    """How each attack searches, of a table that `attacks` made: a row an attack and label rule."""
    shown = table[table.attack != "mid-grey"][list(MEANS)].rename(columns=MEANS)
    shown = shown.drop_duplicates().sort_values("attack", kind="stable")
    return shown.replace({"labels": RULES, "prior": {"tv": "TV"}})


def winners(panels: dict) -> pd.DataFrame:
    """The attack with the highest median under each defense, of those above mid-grey; a column a
    panel."""
    columns = {}
    for key, cells in panels.items():
        table = medians(cells)
        grey, attacked = table.loc["mid-grey"], table.drop(index="mid-grey")
        columns[title(*key)] = {
            name: f"{attacked[name].idxmax()}, {attacked[name].max():.0f} dB"
            if attacked[name].max() > grey[name] else "none above mid-grey" for name in table}
    return pd.DataFrame(columns).rename_axis("defense").reset_index()
