"""Look before and after attacking: a table of small checks.

Each check is a function of a `Subject` that returns a `Row`, or None where it cannot be made;
`CHECKS` lists them in the order of the table.
"""

import pandas as pd

from ..attack import Attack
from ..update import SharedUpdate
from . import of_labels, of_result, of_update
from .subject import Subject

CHECKS = (
    of_update.gradient_norm, of_update.clients_in_the_mean, of_update.layers_in_the_update,
    of_update.tensors_without_gradient,
    of_update.impossible_gradients, of_update.batch_norm, of_update.mode, of_update.buffers,
    of_update.activations, of_update.moments, of_labels.batch_size, of_labels.repeated_labels,
    of_labels.label_rule, of_labels.scale_of_the_loss, of_update.equations, of_result.non_finite,
    of_update.zeros, of_update.defense, of_result.size_of_the_gradient, of_result.what_is_left)


def diagnose(update: SharedUpdate, attack=None, guess=None) -> pd.DataFrame:
    """Look before (and after) attacking: one row a check, and what to do where one is not passed.

        table = attacks.diagnose(update, attacks.dlg())
        table[table.verdict != "ok"]                     # empty: nothing known stands in the way

    Columns: `check`; `verdict`: "ok", "warning" (explains many failures), or "stops" (no attack of
    this kind can succeed); `measured`, of the worst client where there are several, and how many
    clients it concerns; `what to do`, empty where ok. `attack` adds its label rule, and without it
    L-BFGS on L2 is assumed; `guess`, a reconstruction of this update, adds what became of it. A
    check that cannot be made has no row: those of repeated labels, batch size and the loss's scale
    read the last layer, a dense one behind cross-entropy. "ok" is no promise that an attack
    succeeds, and a warning none that it fails. What is normal for this model and protocol is told
    by simulated clients (`honest.simulate`): the scale after local steps, the mode, and which
    tensors can have a gradient at all."""
    _check_arguments(update, attack, guess)
    subject = Subject(update, attack, guess)
    rows = [check(subject) for check in CHECKS]
    return pd.DataFrame([row for row in rows if row is not None],
                        columns=["check", "verdict", "measured", "what to do"])


def _check_arguments(update, attack, guess) -> None:
    """ValueError for what is no update, no attack, or no reconstruction of this update."""
    if not isinstance(update, SharedUpdate):
        raise ValueError(f"update must be a SharedUpdate, not {type(update).__name__}")
    if not isinstance(attack, Attack | None):
        raise ValueError("attack must be what a preset like attacks.dlg() returns, or None, not "
                         f"{attack!r}")
    wanted = (len(update), update.batch_size, *update.shape)
    if guess is not None and not (hasattr(guess, "history") and guess.images.shape == wanted):
        raise ValueError("guess must be a reconstruction of this update, with images "
                         f"{wanted}, or None")
