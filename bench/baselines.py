"""The two peers that `bench.py` measures against, one image after another.

`plain` is the double-backward loop of the official codes: mit-han-lab/dlg for L-BFGS and
JonasGeiping/invertinggradients for Adam. `breaching` runs the attackers of breaching 0.1.2, which
is installed apart from the pinned environment. Both begin where our engine begins.
"""

import contextlib
import io
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass
from pathlib import Path

import plain
import torch
import torch.nn.functional as F

APART = Path(__file__).resolve().parents[1] / "build" / "breaching"
# breaching reads its settings with hydra, which needs the two packages after it; torch,
# torchvision, scipy, lpips, PyYAML and packaging come from the pinned environment.
PACKAGES = (
    "breaching==0.1.2",
    "hydra-core==1.3.2",
    "omegaconf==2.3.0",
    "antlr4-python3-runtime==4.9.3",
)


class Unavailable(RuntimeError):
    """breaching cannot be installed or imported here; the message says why."""


@dataclass(frozen=True)
class Problem:
    """One client's image, as the attacker sees it, in the space that the attack optimises."""

    model: torch.nn.Module  # takes a point of the optimised space; in eval mode
    gradients: tuple  # the shared update, a tensor a parameter
    start: torch.Tensor  # (1, C, H, W)
    label: torch.Tensor | None  # (1,), when known
    logits: torch.Tensor | None  # (1, classes), the start of an optimised label
    mean: torch.Tensor  # (C,), the box is [(0 - mean) / std, (1 - mean) / std]
    std: torch.Tensor  # (C,)


@dataclass(frozen=True)
class Outcome:
    """What a baseline found, and the work it took."""

    image: torch.Tensor  # (1, C, H, W), in the optimised space
    evaluations: int  # objective and gradient, once each
    seconds: float


# The plain loop


def plain_adam(problem, iterations, tv, step_size=0.1):
    """Cosine + TV with signed Adam, step decay and box (Geiping 2020, section 3 of its code)."""
    image = problem.start.clone().requires_grad_(True)

    def objective():
        problem.model.zero_grad()
        loss = F.cross_entropy(problem.model(image), problem.label)
        gradients = torch.autograd.grad(loss, problem.model.parameters(), create_graph=True)
        return plain.cosine(gradients, problem.gradients) + tv * plain.total_variation(image)

    began = clock(image)
    plain.adam([image], objective, iterations, step_size, signed=True, decay=True, box=box(problem))
    return Outcome(image.detach(), iterations, clock(image) - began)


def plain_lbfgs(problem, iterations):
    """Squared distance with L-BFGS over image and label logits (Zhu 2019, the official code).

    `iterations` counts calls of `step`, each of up to 20 inner iterations.
    """
    image = problem.start.clone().requires_grad_(True)
    logits = problem.logits.clone().requires_grad_(True)
    evaluations = 0

    def objective():
        nonlocal evaluations
        evaluations += 1
        loss = F.cross_entropy(problem.model(image), logits.softmax(dim=-1))
        gradients = torch.autograd.grad(loss, problem.model.parameters(), create_graph=True)
        return plain.squared_distance(gradients, problem.gradients)

    began = clock(image)
    plain.lbfgs([image, logits], objective, iterations)
    return Outcome(image.detach(), evaluations, clock(image) - began)


def box(problem):
    """The image of [0, 1] in the optimised space, lower and upper bound, each (C, 1, 1)."""
    mean, std = problem.mean[:, None, None], problem.std[:, None, None]
    return (0 - mean) / std, (1 - mean) / std


def clock(tensor):
    """Seconds, read when the device of `tensor` has finished what it was given."""
    if tensor.is_cuda:
        torch.cuda.synchronize(tensor.device)
    return time.perf_counter()


# breaching 0.1.2


def load_breaching(apart=APART):
    """Import breaching from its own folder, installing it there first where it is missing.

    Raises Unavailable with the reason when either fails.
    """
    if not (apart / "breaching").is_dir():
        install(apart)
    if str(apart) not in sys.path:
        sys.path.append(str(apart))  # last, so the pinned packages go first
    try:
        with quiet():
            import breaching
    except Exception as error:  # whatever an old package raises, the bench goes on without it
        raise Unavailable(f"import failed: {type(error).__name__}: {error}") from error
    logging.getLogger("breaching").setLevel(logging.ERROR)
    return breaching


def install(apart):
    """pip install PACKAGES into `apart`, which appears only when it is whole."""
    apart.parent.mkdir(parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix="breaching-", dir=apart.parent))
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target"]
    try:
        done = subprocess.run([*command, str(fresh), *PACKAGES], capture_output=True, text=True)
        if done.returncode:
            errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR")]
            raise Unavailable(f"pip failed: {errors[-1] if errors else 'no message'}")
        shutil.rmtree(apart, ignore_errors=True)  # whatever an interrupted run left
        os.replace(fresh, apart)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextlib.contextmanager
def quiet():
    """Keep breaching's prints and the deprecation warnings of its old calls off the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield


def breaching_adam(breaching, problem, iterations, tv):
    """breaching's `invertinggradients` attack: one trial, labels known."""
    settings = {"regularization.total_variation.scale": tv}
    return breaching_attack(breaching, problem, "invertinggradients", iterations, settings)


def breaching_lbfgs(breaching, problem, iterations):
    """breaching's `deepleakage` attack; its euclidean objective is half the sum, hence scale 2."""
    return breaching_attack(breaching, problem, "deepleakage", iterations, {"objective.scale": 2.0})


def breaching_attack(breaching, problem, name, iterations, settings):
    """Run one attack of breaching on one image; seconds are those of its iterations alone.

    Its own settings stay as they ship, but for the number of iterations and `settings`.
    """
    overrides = {"optim.max_iterations": iterations, "optim.callback": iterations, **settings}
    setup = {"dtype": torch.float, "device": problem.start.device}
    with quiet():
        config = breaching.get_attack_config(name, [f"{k}={v}" for k, v in overrides.items()])
        loss = torch.nn.CrossEntropyLoss()
        attacker = breaching.attacks.prepare_attack(problem.model, loss, config, setup)
        watch = Watch(attacker, problem)
        payload, shared = served(problem)
        found, _ = attacker.reconstruct([payload], [shared], {}, initial_data=problem.start)
    return Outcome(found["data"].detach(), watch.evaluations, watch.seconds)


class Watch:
    """Wraps one attacker: hands it the start of the label, counts evaluations, times the trial."""

    def __init__(self, attacker, problem):
        self.evaluations, self.seconds, self.problem = 0, 0.0, problem
        self._initialize, self._trial = attacker._initialize_data, attacker._run_trial
        self._objective = attacker._compute_objective
        attacker._initialize_data = self.initialize
        attacker._compute_objective = self.objective
        attacker._run_trial = self.trial

    def initialize(self, shape):
        """breaching takes a start for the image, but draws the label's; both come through here."""
        drawn = self._initialize(shape)
        if self.problem.logits is not None and drawn.shape == self.problem.logits.shape:
            drawn.data.copy_(self.problem.logits)
        return drawn

    def objective(self, *arguments):
        closure = self._objective(*arguments)

        def counted():
            self.evaluations += 1
            return closure()

        return counted

    def trial(self, *arguments):
        began = clock(self.problem.start)
        found = self._trial(*arguments)
        self.seconds = clock(self.problem.start) - began
        return found


def served(problem):
    """What server and client exchange, in breaching's own dictionaries."""
    from omegaconf import OmegaConf

    classes = problem.gradients[-1].shape[0]
    shape = list(problem.start.shape[1:])
    metadata = {"shape": shape, "classes": classes, "modality": "vision", "task": "classification"}
    metadata |= {"mean": problem.mean.tolist(), "std": problem.std.tolist()}
    payload = {
        "parameters": list(problem.model.parameters()),
        "buffers": list(problem.model.buffers()),
        "metadata": OmegaConf.create(metadata),
    }
    exchanged = {"num_data_points": 1, "labels": problem.label, "local_hyperparams": None}
    shared = {"gradients": list(problem.gradients), "buffers": None, "metadata": exchanged}
    return payload, shared
