"""The command line: runs one command, and tells a user's mistake in one sentence."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rdt.commands.parser import parser_of
from rdt.errors import UserError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns its exit status.

    0 success, 2 a mistake of the user or something unforeseen (one sentence on stderr), 130 interrupted. The
    traceback goes to the file of ``--log``, or to stderr with RDT_TRACEBACK=1.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    # Threads that spin while they wait for each other are slowed down many times by any other busy process.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    command = argv[0] if argv else ""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be text
    log: Path | None = None
    try:
        with _missing_packages(command):
            args = parser_of(command).parse_args(argv)
            log = args.log
            return args.execute(args) or 0
    except UserError as error:
        _record_traceback(log)
        print(f"rdt: error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("rdt: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # a defect of ours, or a machine that gave up: still one sentence
        _record_traceback(log)
        print(f"rdt: error: {_unforeseen(command, error, log)}", file=sys.stderr)
        return UserError.exit_code


def _unforeseen(command: str, error: Exception, log: Path | None) -> UserError:
    """What to say of an exception that no command expects."""
    if isinstance(error, OSError) and error.strerror:  # a full disk, a folder that may not be written to
        return UserError(error.filename or f"rdt {command}", error.strerror.lower(), "make room, or correct the path")
    said = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    remedy = f"its traceback is in {log}" if log else "RDT_TRACEBACK=1 shows where"
    return UserError(f"rdt {command}", f"stopped at something unforeseen ({said})", f"report it; {remedy}")


@contextmanager
def _missing_packages(command: str) -> Iterator[None]:
    """Turn the lack of a Python package that a command imports into a UserError that names it."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package in ("", "rdt"):
            raise
        problem = f"needs the Python package {package}, which is not installed"
        raise UserError(f"rdt {command}", problem, "run `rdt doctor`, which names the command that mends it") from error


def _record_traceback(log: Path | None) -> None:
    """Write the traceback of the current exception where it was asked for."""
    if log is not None:
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a", encoding="utf-8") as file:
            traceback.print_exc(file=file)
    if os.environ.get("RDT_TRACEBACK") == "1":
        traceback.print_exc()
