"""What a notebook has computed: a sweep is declared, and its cells are computed once.

A cell is what `compute(**config)` returns, a table and a dict of arrays, found by the hash of the
function's name, the config and `version`. Cells of the paper profile are tracked in
`data/cells/<notebook>`; those of the quick profile lie in `build/cells`, with the text of what
their function reaches in their key (`keys.code_of`). A study declares its sweeps in its `plan.py`,
so that `make plan` can tell which cells are missing:

    heavy = store.Sweep("fig3", case.attack, quick=[...], paper=[...], minutes={"paper": 9})

and a notebook asks for them where it draws:

    heavy.run()         # this profile's cells: those that are missing are computed and stored
    heavy.here()        # the same, or None where this run cannot have them
    heavy.stored()      # the tracked cells of the paper profile, or None
    heavy.shown()       # what a page shows: the stored cells, else this run's, else None

The device is no part of a config: `compute` asks `run.current()`, and the cell records it.
The environment variable FRESH=1 computes anew; PRODUCTS names another folder for the products.
"""

import inspect
import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from lib import checks, data, files, models
from lib.run import Run, fresh, progress
from studies import cells, keys
from studies.cells import Cell, Damaged

FOLDERS = {"quick": "build/cells", "paper": "data/cells"}
_study = None


@dataclass
class Study:
    """Whose cells and products these are, and what has been declared so far; made by `start`."""

    notebook: str
    run: Run
    sweeps: list = field(default_factory=list)
    computed: set = field(default_factory=set)  # files that this process has computed
    functions: dict = field(default_factory=dict)  # a stored name -> the function that bears it

    def product(self, name: str) -> Path:
        """Where a figure or table of this notebook lies until make moves it to `figures/`."""
        folder = os.environ.get("PRODUCTS") or files.ROOT / "build" / self.run.profile
        return Path(folder) / self.notebook / name


def start(notebook: str, run: Run) -> Study:
    """Say whose cells and products follow.

    Raises ValueError for another type, or where the environment variable FRESH is not 1 or 0."""
    global _study
    keys.check_name("notebook", notebook)
    if not isinstance(run, Run):
        raise ValueError(f"run must be what run.start returned, not {run!r}")
    fresh()
    _study = Study(notebook, run, computed=_computed_before())
    return _study


def _computed_before() -> set[Path]:
    """What FRESH=1 need not compute again: the cells that a cluster has just computed, which the
    file that the environment variable COMPUTED names lists, from the root of the project."""
    listed = os.environ.get("COMPUTED")
    if not listed:
        return set()
    return {files.ROOT / line for line in Path(listed).read_text().splitlines()}


def current() -> Study:
    """The study that was last started."""
    if _study is None:
        raise RuntimeError("call report.start(notebook, run) first")
    return _study


@dataclass(eq=False)
class Sweep:
    """A heavy step of the study that was last started: lists of configs, each stored as one part.

    compute: a function at the top of a module; its key holds the name that `keys.stored_as` gave
    it, or that of its module and its own. config: a dict of what JSON can hold. version: raised
    when the numbers of `compute` change. minutes, gib: estimates for `make plan`. comparable: True,
    or why the numbers are not to be held to the paper's. gpu: whether it is computed on a GPU only.
    These last four are one value, or one a profile: {"quick": ..., "paper": ...}.
    Raises ValueError for a config that is not JSON, or a function that has no name of its own."""

    name: str
    compute: Callable
    quick: list
    paper: list
    version: int = 1
    minutes: float | dict | None = None
    gib: float | dict | None = None
    comparable: bool | str | dict = True
    gpu: bool | dict = False

    def __post_init__(self) -> None:
        self.study = current()
        self.profile = self.study.run.profile
        keys.check_name("the sweep's name", self.name)
        checks.whole("version", self.version)
        for note in ("minutes", "gib", "comparable", "gpu"):
            setattr(self, note, self._of_profile(note))
        self._check_notes()
        self.parts = {profile: self._parts(profile) for profile in FOLDERS}
        self.study.sweeps.append(self)

    # --- what a page asks for

    def run(self) -> Cell:
        """This profile's cell; parts that are missing are computed and stored, so an interrupted
        run loses at most one. A damaged part is computed again, which is said.

        Raises ValueError where the profile has no configs."""
        if not self.parts[self.profile]:
            raise ValueError(f"{self.name} has no configs in the profile {self.profile}")
        return self._cell(anew=fresh())

    def here(self) -> Cell | None:
        """This run's cell, or None where it cannot be had: the profile has no configs, its images
        or weights are not here, or it needs a GPU and the run has none. A stored one is read."""
        if not self.parts[self.profile]:
            return None
        able = images_are_here(self.configs[self.profile]) and not (
            self.gpu and self.study.run.device.type == "cpu")
        if able:
            return self.run()
        self.check()  # a damaged result cannot be computed again here: it is named
        stored = self.done() == len(self.files)
        return self._cell(anew=False) if stored else None  # whatever FRESH asks for

    def stored(self) -> Cell | None:
        """The tracked cell of the paper profile, or None. Raises Damaged."""
        parts = [cells.read(part.path, part.identity) for part in self.parts["paper"]]
        return cells.joined(parts, "paper") if parts and all(parts) else None

    def shown(self, first: str = "paper", other: bool = True) -> Cell | None:
        """The cell that a page shows: the stored one of the paper profile, which a run of that
        profile computes before; where there is none this run's; None where there is neither.

        first="run": this run's goes before the stored one. other=False: only the first of both."""
        checks.one_of("first", first, ("paper", "run"))
        if first == "run":
            cell = self.here()
            return self.stored() if cell is None and other else cell
        if not self.study.run.quick:
            self.here()
        cell = self.stored()
        return self.here() if cell is None and other else cell

    def describe(self, profile: str | None = None) -> str:
        """A profile's settings in words (None: this run's); a dash where it has none."""
        return in_words(self.configs[profile or self.profile])

    # --- what make asks for

    @property
    def configs(self) -> dict[str, list]:
        return {"quick": self.quick, "paper": self.paper}

    @property
    def files(self) -> list[Path]:
        """The JSON files of this profile's parts, there or not."""
        return [part.path for part in self.parts[self.profile]]

    def done(self) -> int:
        """How many of this profile's parts are stored, and whole."""
        return sum(part.is_whole() for part in self.parts[self.profile])

    def check(self) -> None:
        """Raises Damaged for a part of this profile that is not what was stored."""
        for part in self.parts[self.profile]:
            cells.read(part.path, part.identity)

    # --- inside

    def _of_profile(self, note: str) -> object:
        """What a note says of this profile; None where it says nothing of it."""
        value = getattr(self, note)
        if not isinstance(value, dict):
            return value
        if not set(value) <= set(FOLDERS):
            raise ValueError(f"{note} of {self.name} is one value, or one for quick and one for "
                             f"paper, not {value!r}")
        return value.get(self.profile)

    def _check_notes(self) -> None:
        for note in ("minutes", "gib"):
            if getattr(self, note) is not None:
                checks.number(f"{self.name}: {note}", getattr(self, note), 0)
        self.gpu = checks.flag(f"{self.name}: gpu", False if self.gpu is None else self.gpu)
        said = self.comparable
        if said is not True and not (isinstance(said, str) and said):
            raise ValueError(f"comparable of {self.name} is True, or says why not; it is {said!r}")

    def _parts(self, profile: str) -> list["Part"]:
        configs = self.configs[profile]
        if not isinstance(configs, list | tuple) or not all(isinstance(c, dict) for c in configs):
            raise ValueError(f"{self.name}: {profile} is a list of configs, dicts of what JSON can "
                             "hold")
        return [Part(self, profile, f"{self.name}-{i:02d}", config)
                for i, config in enumerate(configs)]

    def _cell(self, anew: bool) -> Cell:
        """This profile's cell. anew: parts that this process has not computed are, stored or not.
        """
        bar = progress(self.parts[self.profile], desc=self.name)
        return cells.joined([self._result(part, anew) for part in bar], self.profile)

    def _result(self, part: "Part", anew: bool) -> Cell:
        stored = None
        if not anew or part.path in self.study.computed:
            try:
                stored = cells.read(part.path, part.identity)
            except Damaged as error:
                print(f"{error}; it is computed again", file=sys.stderr)
        if stored is None:
            part.compute(anew)
        elif stored.comparable != self.comparable:
            cells.judge(part.path, self.comparable)
        return cells.read(part.path, part.identity)


class Part:
    """One config of a sweep: where its cell is to be found (path), and what its file has to say of
    itself (identity)."""

    def __init__(self, sweep: Sweep, profile: str, name: str, config: dict) -> None:
        function = sweep.compute
        if not inspect.isfunction(function) or "<" in function.__qualname__:
            raise ValueError(f"cell {name}: {function} is not a function at the top of a module")
        try:
            config = json.loads(json.dumps(config, sort_keys=True, allow_nan=False))
        except (TypeError, ValueError) as error:
            raise ValueError(f"the config of cell {name} is not JSON: {error}") from error
        self.sweep, self.function = sweep, function
        self.identity = {"function": self._stored_as(name), "config": config,
                         "version": sweep.version}
        if profile == "quick":       # the code changes daily; a tracked cell outlives it
            self.identity["code"] = keys.code_of(function)
        folder = files.ROOT / FOLDERS[profile] / sweep.study.notebook
        self.path = folder / f"{name}-{keys.key_of(self.identity)}.json"

    def _stored_as(self, name: str) -> str:
        own_name = f"{self.function.__module__}.{self.function.__qualname__}"
        stored_as = getattr(self.function, "stored_as", own_name)
        known = self.sweep.study.functions.setdefault(stored_as, own_name)
        if known != own_name:
            raise ValueError(f"cell {name}: {own_name} and {known} are both stored as "
                             f"{stored_as!r}: give one another name")
        return stored_as

    def compute(self, anew: bool) -> None:
        """Compute and store the cell; where another process does so, wait for it. anew: even where
        that one has stored it."""
        study = self.sweep.study
        with cells.claim(self.path):
            if anew or not self.is_whole():
                begin = time.perf_counter()
                made = self.function(**self.identity["config"])
                seconds = time.perf_counter() - begin
                cells.write(self.path, self.identity, made, seconds, self.sweep.comparable,
                            study.run.device)
        study.computed.add(self.path)

    def is_whole(self) -> bool:
        return cells.is_whole(self.path, self.identity)


def images_are_here(configs: list[dict]) -> bool:
    """Whether all images and pretrained weights that configs name are in this run's data root."""
    names, depths = set(), set()
    for config in configs:
        victim = config.get("victim") or {}
        if victim.get("pretrained") and "depth" in victim:  # other weights come with a package
            depths.add(victim["depth"])
        generator = config.get("generator") or {}
        for images in (config.get("images"), generator.get("images"), config.get("among")):
            names |= {images["name"]} if images else set()
    return all(map(data.present, names)) and all(
        models.pretrained_file(depth).is_file() for depth in depths)


def in_words(configs: list[dict]) -> str:
    """What configs of one sweep have in common, in words: images, network, clients, iterations."""
    if not configs:
        return "–"
    config = configs[0]
    said = [_images_in_words(config["images"])] if "images" in config else []
    if "victim" in config:
        said.append(victim_in_words(config["victim"]))
    if "clients" in config:
        said.append(_clients_in_words(configs))
    attack = config.get("attack")
    iterations = attack.get("iterations") if isinstance(attack, dict) else None
    if isinstance(iterations, int):
        said.append(f"{iterations:,} iterations")
    return "; ".join(said)


def _images_in_words(images: dict) -> str:
    size = f", {images['size']} pixels" if "size" in images else ""
    labels = f", {images['classes']} random labels" if "classes" in images else ""
    labels += ", labelled by a network of ImageNet" if images.get("imagenet") else ""
    return f"{images['name']}{size}{labels}"


VICTIMS_IN_WORDS = {
    "dense": "one dense layer", "lenet": "LeNet", "convnet": "ConvNet", "vit": "ViT",
    "resnet": "ResNet", "imagenet_resnet": "ResNet", "preact_resnet": "pre-activation ResNet",
    "efficientnet_lite0": "EfficientNet-Lite0"}


def victim_in_words(victim: dict) -> str:
    """A network by its usual name, with its depth and width where the config gives them."""
    name = VICTIMS_IN_WORDS[victim["name"]]
    if victim["name"] == "dense" and victim.get("hidden"):
        name = "dense layers"
    depth = f"-{victim['depth']}" if "depth" in victim else ""
    width = f", width {victim['width']}" if "width" in victim else ""
    return name + depth + width


def _clients_in_words(configs: list[dict]) -> str:
    """How many clients all parts have, one counted once, and their images."""
    numbers = set()
    for config in configs:
        clients = config["clients"]
        first, last = clients if isinstance(clients, list | tuple) else (0, clients)
        numbers.update(range(first, last))
    count = f"{len(numbers)} client{'s' if len(numbers) > 1 else ''}"
    sizes = sorted({config.get("batch_size", 1) for config in configs})
    if sizes == [1]:
        return count
    return f"{count} of {', '.join(map(str, sizes))} images"
