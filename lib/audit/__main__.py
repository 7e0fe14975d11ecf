"""The command: `leaky-gradients audit`, or `python -m lib.audit`."""

import argparse
import os
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

import torch

from .. import files
from . import CANNOT, as_html, as_json, audit, to_stderr
from .inputs import images_of, model_of, update_of
from .settings import Settings, read, write_template

TRACEBACK = "LEAKY_GRADIENTS_TRACEBACK"  # the environment variable that asks for tracebacks
EPILOG = """exit code: 0 nothing found within the budget, 1 a leak found, 2 cannot be audited, or no
attack fits the budget.
Files of tensors are read without pickle. A model file is your own code: it is run."""


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        "leaky-gradients audit", description=__doc__, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("update", nargs="?", type=Path,
                      help="what the client sent: .pt, .npz or .safetensors")
    made.add_argument("--model", help="file.py:Name or package.module:Name")
    made.add_argument("--before", type=Path, help="the weights that the client was sent, where the "
                                                  "update is its weights after training")
    made.add_argument("--settings", type=Path, help="a TOML file, see --init")
    made.add_argument("--init", type=Path, metavar="FILE", help="write a settings file, and end")
    made.add_argument("--shape", type=_numbers, help="channels,height,width of one image")
    made.add_argument("--classes", type=int, help="outputs of the model")
    made.add_argument("--batch-size", type=int, help="images behind the update (1)")
    made.add_argument("--mode", choices=("eval", "train"), help="of the client's model (eval)")
    made.add_argument("--loss", help="cross_entropy, mse, mse_softmax, or your own function, "
                                     "file.py:name (cross_entropy)")
    made.add_argument("--local-lr", type=float, help="of local SGD, where the client took steps")
    made.add_argument("--epochs", type=int, help="local passes over the batch (1)")
    made.add_argument("--labels", type=_numbers, help="where the client told them: 3,7")
    made.add_argument("--truth", type=Path, help="a folder with the private images, for a "
                                                 "rehearsal: one file an image")
    made.add_argument("--truth-labels", type=_numbers, help="of those images, where no rule reads "
                                                            "them: 3,7")
    made.add_argument("--generator", help="file.py:Name of a module from latents to images")
    made.add_argument("--budget", type=_seconds, default=300.0, help="90, 90s, 5m or 1h (5m)")
    made.add_argument("--seed", type=int, default=0)
    made.add_argument("--html", type=Path, help="write the report there")
    made.add_argument("--json", type=Path, help="the same, for programs")
    return made


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers like 3,32,32") \
            from None


def _seconds(text: str) -> float:
    units = {"s": 1, "m": 60, "h": 3600}
    factor = units.get(text[-1:], 1)
    try:
        return float(text.removesuffix(text[-1]) if text[-1:] in units else text) * factor
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no time like 90, 90s, 5m or 1h") from None


def settings_of(asked: argparse.Namespace) -> Settings | None:
    """The settings of the file and the options, or None where neither is given."""
    given = {name: getattr(asked, name) for name in
             ("shape", "classes", "batch_size", "mode", "loss", "local_lr", "epochs", "labels")
             if getattr(asked, name) is not None}
    if asked.before:
        given["sends"] = "weights"
    return read(asked.settings, given) if asked.settings or given else None


def _check_outputs(asked: argparse.Namespace) -> None:
    """ValueError where the reports cannot be written: it is known before minutes of work."""
    given = [path.resolve() for path in (asked.update, asked.before, asked.settings) if path]
    for path in (asked.html, asked.json):
        if path is None:
            continue
        folder = path.absolute().parent
        if not folder.is_dir():
            raise ValueError(f"no folder {folder} for {path.name}")
        if path.is_dir() or path.resolve() in given:
            raise ValueError(f"{path} is no place for a report: it is a folder, another report's, "
                             "or what is read")
        try:
            with tempfile.TemporaryFile(dir=folder):
                given.append(path.resolve())
        except OSError as error:
            raise ValueError(f"{folder} cannot be written to, for {path.name}: {error.strerror}") \
                from error


def _written(path: Path, text: str) -> None:
    with files.atomic(path) as file:
        file.write(text.encode(errors="backslashreplace"))  # names of files are any bytes


def _audited(asked: argparse.Namespace, command: str) -> int:
    settings = settings_of(asked)
    update = update_of(asked.update, model_of(asked.model), settings, asked.before)
    truth = images_of(asked.truth, update.shape, update.batch_size) if asked.truth else None
    labels = torch.tensor(asked.truth_labels) if asked.truth_labels else None
    generator = model_of(asked.generator, "--generator") if asked.generator else None
    about = {"update": asked.update.name, "model": asked.model, "command": command}
    report = audit(update, asked.budget, asked.seed, truth, labels, generator, about, to_stderr)
    print("\n".join([report.verdict.sentence, *report.verdict.reasons]))
    for path, made in ((asked.html, as_html), (asked.json, as_json)):
        if path:
            _written(path, made(report))
    if asked.html:
        print(f"The report: {asked.html}")
    return report.verdict.code


def _refused(why: str, error: Exception | None = None) -> int:
    """Say in one line why there is no audit; where asked, show where an error was raised."""
    if error is not None and os.environ.get(TRACEBACK):
        traceback.print_exception(error)
    line = " ".join(why.split())
    shown = "".join(mark if mark.isprintable() else "?" for mark in line)  # no codes of a terminal
    to_stderr(f"cannot be audited: {shown}")
    return CANNOT


def main(words: list[str] | None = None) -> int:
    words = sys.argv[1:] if words is None else words
    if words[:1] == ["audit"]:  # of `leaky-gradients audit`
        words = words[1:]
    asked = parser().parse_args(words)
    for stream in (sys.stdout, sys.stderr):  # names of files are any bytes
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    try:
        if asked.init:
            write_template(asked.init)
            print(f"{asked.init} is written: change what differs, then --settings {asked.init}")
            return 0
        if not (asked.update and asked.model):
            raise ValueError("an audit needs the update's file and --model file.py:Name")
        _check_outputs(asked)
        return _audited(asked, shlex.join(["leaky-gradients", "audit", *words]))
    except KeyboardInterrupt:  # `audit` itself ends in a report
        return _refused("ended by Ctrl-C before the audit began")
    except (ValueError, FileNotFoundError) as error:
        return _refused(str(error))
    except Exception as error:  # python's own exit code for it, 1, would say that a leak was found
        return _refused(f"{type(error).__name__}: {error}; this is no error that was foreseen, and "
                        f"with {TRACEBACK}=1 it is shown whole", error)


if __name__ == "__main__":
    sys.exit(main())
