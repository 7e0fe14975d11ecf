"""lib/checks.py: what is taken comes back as a Python value; all else is one ValueError."""

import math

import numpy as np
import pytest
import torch

from lib import checks


@pytest.mark.parametrize(("check", "taken", "given_back"), [
    (lambda v: checks.whole("n", v), 1, 1),
    (lambda v: checks.whole("n", v, least=0), np.int64(0), 0),
    (lambda v: checks.whole("n", v, most=3), 3, 3),
    (lambda v: checks.number("x", v, 0, 1), 1, 1.0),
    (lambda v: checks.number("x", v, 0), np.float32(0.5), 0.5),
    (lambda v: checks.number("x", v, 0, exclude=(0,)), 1e-9, 1e-9),
    (lambda v: checks.flag("b", v), np.bool_(True), True),
    (lambda v: checks.one_of("s", v, ("a", None)), None, None),
    (lambda v: checks.one_of("depth", v, (18, 34)), np.int64(34), np.int64(34)),
])
def test_a_value_that_fits_is_returned(check, taken, given_back):
    value = check(taken)
    assert value == given_back
    assert type(value) is type(given_back)


@pytest.mark.parametrize(("check", "wrong", "words"), [
    (lambda v: checks.whole("epochs", v), [0, -1, 2.0, 2.5, True, "2", None, math.nan,
                                          torch.tensor(2)], "epochs must be a whole number of 1"),
    (lambda v: checks.whole("n", v, most=3), [4, np.int64(4)], "from 1 to 3"),
    (lambda v: checks.number("lr", v, 0, exclude=(0,)),
     [0, 0.0, -1, math.nan, math.inf, True, "1", None, np.float64("nan"), torch.tensor(0.1)],
     r"lr must be a finite number in \(0, inf\)"),
    (lambda v: checks.number("p", v, 0, 1), [-1e-9, 1 + 1e-9], r"in \[0, 1\]"),
    (lambda v: checks.flag("normalise", v), [0, 1, "no", None, torch.tensor(True)],
     "normalise must be True or False"),
    (lambda v: checks.one_of("mode", v, ("eval", "train")),
     ["evil", None, True, ["eval"], torch.ones(2)], "unknown mode .*'eval', 'train'"),
    (lambda v: checks.one_of("depth", v, (0, 18)), [False, 18.0], "unknown depth"),
])
def test_all_else_is_one_error_that_names_it(check, wrong, words):
    for value in wrong:
        with pytest.raises(ValueError, match=words):
            check(value)


def test_a_message_does_not_hold_a_whole_tensor():
    assert checks.shown("a") == "'a'" and checks.shown([1, 2]) == "[1, 2]"
    assert len(checks.shown(torch.zeros(100, 100))) == 80
    assert "\n" not in checks.shown(np.zeros((3, 3)))
    with pytest.raises(ValueError) as caught:
        checks.whole("n", list(range(1000)))
    assert len(str(caught.value)) < 200
