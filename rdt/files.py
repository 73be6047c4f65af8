"""Files that are either whole or not there: everything is written beside its place and then renamed."""

from __future__ import annotations

import json
import os
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import yaml

from rdt.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from filelock import FileLock

Kind = TypeVar("Kind", list, dict)
SafeLoader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the one in C is ten times as fast


@contextmanager
def atomic_file(path: str | Path) -> Iterator[Path]:
    """Give a path to write to; the file there becomes ``path`` at the end, unless an exception is raised.

    A reader, also after a crash, sees the old file or the new one. Missing folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def file_lock(path: Path) -> FileLock:
    """A lock that one process has at a time, and that the system takes back from a process that was killed."""
    from filelock import FileLock  # here, so that commands that lock nothing start without it

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(path, fallback_to_soft=False)  # a soft lock would outlive its process


def atomic_write_bytes(path: str | Path, data: bytes) -> None:
    """Write ``data`` to ``path``; see :func:`atomic_file`."""
    with atomic_file(path) as partial:
        partial.write_bytes(data)


def atomic_write_text(path: str | Path, text: str) -> None:
    """Write ``text`` as UTF-8; see :func:`atomic_file`."""
    atomic_write_bytes(path, text.encode("utf-8"))


def atomic_write_json(path: str | Path, value: Any) -> None:
    """Write ``value`` as indented JSON with a final newline; keys keep their order."""
    atomic_write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


@contextmanager
def atomic_folder(path: str | Path) -> Iterator[Path]:
    """Give an empty folder to fill; it replaces ``path`` at the end, or vanishes if an exception is raised.

    One writer at a time: what an earlier, killed writer left half-made is removed first.
    """
    path = Path(path)
    partial = path.with_name(f".{path.name}.partial")
    replaced = path.with_name(f".{path.name}.replaced")
    for leftover in (partial, replaced):
        shutil.rmtree(leftover, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    if path.exists():
        path.rename(replaced)
    partial.rename(path)
    shutil.rmtree(replaced, ignore_errors=True)


def yaml_problem(error: yaml.YAMLError) -> str:
    """What is wrong with a YAML file, with the line where that is known."""
    mark = getattr(error, "problem_mark", None)
    line = f"line {mark.line + 1}: " if mark else ""
    return f"{line}{getattr(error, 'problem', error)}"


def read_yaml(path: Path, kind: type[Kind], content: str) -> Kind:
    """Read, safely, a YAML file of the suite's own; raises ``UserError`` where it is damaged or not ``content``."""
    try:
        found = yaml.load(path.read_text(encoding="utf-8"), SafeLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        problem = yaml_problem(error) if isinstance(error, yaml.YAMLError) else error
        raise UserError(path, f"cannot be read as YAML ({problem})", "restore the file") from error
    if not isinstance(found, kind):
        raise UserError(path, f"is not {content}", "restore the file")
    return found


def read_json(path: str | Path) -> Any:
    """Read a JSON file.

    Raises ``UserError`` where the file is missing, is not UTF-8 text or is not whole JSON.
    """
    path = Path(path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(path, "the file does not exist", "run the step that writes it, or correct the path") from None
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    except json.JSONDecodeError as error:
        remedy = "restore the file, or delete it and run the step that writes it"
        raise UserError(path, json_problem(error), remedy) from None


def not_utf8(path: Path, error: UnicodeDecodeError) -> UserError:
    """Where a file ceases to be UTF-8."""
    line = 1 + error.object.count(b"\n", 0, error.start)
    problem = f"is not UTF-8 text (byte {error.start}, line {line})"
    return UserError(path, problem, f"convert it, if it is Latin-1: iconv -f LATIN1 -t UTF-8 {path.name}")


def json_problem(error: json.JSONDecodeError) -> str:
    """What is wrong with a text that is no JSON, and where."""
    whole = "is truncated" if error.pos >= len(error.doc.rstrip()) else "is not valid JSON"
    return f"{whole}: {error.msg} at line {error.lineno}, column {error.colno}"


# What numpy and zipfile raise on damaged files, headers of absurd shapes and archives with a password
UNREADABLE = (
    OSError,
    EOFError,
    ValueError,
    TypeError,
    KeyError,
    zipfile.BadZipFile,
    zlib.error,
    MemoryError,
    RuntimeError,
    AttributeError,
    IndexError,
    SyntaxError,
    struct.error,
)


def read_arrays(path: Path, names: Sequence[str], remedy: str) -> dict[str, np.ndarray]:
    """The arrays ``names`` of an ``.npz`` file; UserError when it is missing, damaged or lacks one."""
    import numpy as np  # here, so that commands that read no arrays start without it

    try:
        with np.load(path, allow_pickle=False) as arrays:
            missing = next((name for name in names if name not in arrays), None)
            content = {name: arrays[name] for name in names if name != missing}
    except FileNotFoundError:
        raise UserError(path, "the file does not exist", remedy) from None
    except UNREADABLE as error:
        raise UserError(path, f"not a readable .npz file ({error})", remedy) from error
    if missing is not None:
        raise UserError(path, f"no array '{missing}', expected {', '.join(names)}", remedy)
    return content
