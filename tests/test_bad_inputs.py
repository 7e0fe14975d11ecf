"""Every bad input of `bad_inputs` ends in one clear error: none is silent, none endless."""

import dis
import os
import resource
import signal
import traceback
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import bad_inputs
import pytest

from lib import run
from studies import report, store

SECONDS = 10  # an input that takes longer is called endless
LONGEST = 400  # characters that are read as one message
MEMORY = 16 * 2**30  # bytes of addresses: what asks for more is refused, not the machine's death
OURS = (str(run.ROOT / "lib"), str(run.ROOT / "studies"))
KINDS = ("clear", "raw", "silent", "endless")


class _TooLong(BaseException):
    """No `except Exception` of lib takes it for a failure of its own."""


@contextmanager
def _limits():
    """An alarm after SECONDS, and a bound on memory."""
    def ring(signum, frame):
        raise _TooLong

    earlier, bound = signal.signal(signal.SIGALRM, ring), resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, bound[1]))
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
        resource.setrlimit(resource.RLIMIT_AS, bound)


def tried(call, words) -> tuple[str, str]:
    """(one of KINDS, what was said). Clear: ours raised it, in few words that name the thing."""
    try:
        with _limits(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except _TooLong:
        return "endless", f"after {SECONDS} s"
    except Exception as error:
        said = f"{type(error).__name__}: {error}"
        frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
        last = error.__traceback__
        while last.tb_next:
            last = last.tb_next
        code = frame.f_code
        raised = code.co_code[last.tb_lasti] == dis.opmap["RAISE_VARARGS"]
        ours = raised and code.co_filename.startswith(OURS)
        kind = isinstance(error, ValueError | TypeError | FileNotFoundError)
        named = not words or any(word.lower() in str(error).lower() for word in words)
        clear = ours and kind and named and 10 < len(str(error)) <= LONGEST
        return ("clear" if clear else "raw"), said
    return "silent", ""


def all_tried(folder: Path) -> list[tuple[str, str, str, str]]:
    """(door, name, kind, what was said) of each row of the table."""
    rows = []
    for door, name, call, words in bad_inputs.table(folder):
        kind, said = tried(call, words)
        rows.append((door, name, kind, said))
    return rows


@pytest.fixture
def place(monkeypatch, tmp_path):
    """A run whose cells and products lie in a folder of their own."""
    for name in ("FRESH", "PROFILE", "DATA_ROOT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PRODUCTS", str(tmp_path / "products"))
    monkeypatch.setenv("QUIET", "1")
    monkeypatch.setattr(store, "_study", None)
    monkeypatch.setattr(run, "_current", None)
    report.start("99_bad", run.start("quick", device="cpu"))
    return tmp_path


def test_bad_inputs_end_in_one_clear_error(place):
    found = all_tried(place)
    for kind in KINDS[1:]:
        print(*(f"{kind}: {door}: {name}: {said[:160]}" for door, name, k, said in found
                if k == kind), sep="\n")
    counts = Counter(kind for *_, kind, _ in found)
    assert len(found) >= 320
    assert not counts["silent"] and not counts["endless"]
    assert counts["raw"] <= 0.02 * len(found)
    text = (run.ROOT / "tests/README.md").read_text()
    numbers = " | ".join(str(n) for n in (len(found), *(counts[kind] for kind in KINDS)))
    assert f"| {numbers} |" in text, f"the section Bad inputs of tests/README.md: {numbers}"


@pytest.mark.parametrize("call, words, kind", [
    (lambda: None, (), "silent"),
    (lambda: int("a"), (), "raw"),
    (lambda: run.start("fast"), ("profile",), "clear"),
    (lambda: run.start("fast"), ("seed",), "raw"),
    (lambda: os.pause() if hasattr(os, "pause") else signal.pause(), (), "endless"),
])
def test_an_input_is_judged_by_what_became_of_it(monkeypatch, call, words, kind):
    monkeypatch.setitem(globals(), "SECONDS", 0.2)
    assert tried(call, words)[0] == kind
