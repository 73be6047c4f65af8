"""The commands. A command's module is imported when it is called, so that none waits for another's libraries."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from rdt import __version__
from rdt.errors import UserError

# name -> (module, help); the module has add_arguments(parser) and run(args) -> exit status or None
COMMANDS: dict[str, tuple[str, str]] = {
    "scenes": ("rdt.commands.scenes", "render the embedded data set of a role"),
    "encoder": ("rdt.features.encoder", "train the two-tower encoder on the primary train split"),
    "extract": ("rdt.commands.extract", "extract features of CLIP from photographs and captions"),
    "features": ("rdt.features.extract", "encode or import the features of a role"),
    "probe": ("rdt.features.probe", "report what the encoder's features tell"),
    "vocabulary": ("rdt.commands.vocabulary", "build the vocabulary of a role"),
    "index": ("rdt.commands.index", "retrieve sentences of the train pool for every image"),
    "train": ("rdt.training.stage", "train one stage of one run"),
    "captions": ("rdt.captioning", "caption the images of the tables with a trained run"),
    "score": ("rdt.scoring", "score captions against their references"),
    "evaluate": ("rdt.commands.evaluate", "score any captioner's output, in the COCO formats"),
    "tables": ("rdt.tables", "put the scores into Tables II-VIII"),
    "claims": ("rdt.claims", "reach a verdict on each claim of the paper"),
    "differences": ("rdt.commands.differences", "say what each difference between paper and released code is worth"),
    "report": ("rdt.commands.report", "show everything that a finished experiment found on one page"),
    "verify": ("rdt.commands.verify", "follow a cell of a table down to the data, and compute its scores again"),
    "why": ("rdt.commands.why", "say which input, parameter or module makes a result stale"),
    "export": ("rdt.commands.export", "pack a finished experiment as a Workflow Run RO-Crate"),
    "caption": ("rdt.commands.caption", "caption photographs of your own with a trained run"),
    "study-init": ("rdt.commands.study_init", "create a study of an experiment's parameters"),
    "study-worker": ("rdt.commands.study_worker", "run trials of a study until it has all of them"),
    "study-export": ("rdt.commands.study_export", "write the trials, the best setting and the plots of a study"),
    "study-retrain": ("rdt.commands.study_retrain", "train a study's best or the paper's setting with a fresh seed"),
    "study-compare": ("rdt.commands.study_compare", "compare a study's best and the paper's setting on test"),
    "track": ("rdt.commands.track", "set up MLflow for an experiment, or send it the records that wait"),
    "survey": ("rdt.commands.survey", "say what a role's captions mean for vocabulary, reward and ranking loss"),
    "check": ("rdt.commands.check", "validate an experiment file and that its data are there"),
    "config": ("rdt.commands.config", "print an experiment, resolved, as YAML"),
    "doctor": ("rdt.commands.doctor", "say what is installed, what is missing and what mends it"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0 success, 2 a mistake of the user (one sentence on stderr), 130 interrupted. The traceback of a
    mistake goes to the file of ``--log``, or to stderr with RDT_TRACEBACK=1.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    # Threads that spin while they wait for each other are slowed down many times by any other busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    command = argv[0] if argv else ""
    log: Path | None = None
    try:
        args = _parser(command).parse_args(argv)
        log = args.log
        return args.execute(args) or 0
    except UserError as error:
        _record(log)
        print(f"rdt: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rdt: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception:
        _record(log)
        raise


def _parser(command: str) -> argparse.ArgumentParser:
    """The parser of all commands, in which only that of ``command`` knows its arguments."""
    parser = argparse.ArgumentParser(
        prog="rdt", description="Fine-grained captioning by a Ranking Diffusion Transformer."
    )
    parser.add_argument("--version", action="version", version=f"rdt {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    for name, (module, text) in COMMANDS.items():
        subparser = commands.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        subparser.add_argument("--log", type=Path, metavar="FILE", help="file for the traceback of an error")
        if name == command:
            stage = _load(module, name)
            stage.add_arguments(subparser)
            subparser.set_defaults(execute=stage.run)
    return parser


def _load(module: str, command: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package == "rdt":
            raise
        problem = f"needs the Python package {package}, which is not installed"
        raise UserError(f"rdt {command}", problem, "run `rdt doctor`, which names the command that mends it") from error


def _record(log: Path | None) -> None:
    """Write the traceback of the current exception where it was asked for."""
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    if os.environ.get("RDT_TRACEBACK") == "1":
        traceback.print_exc()
