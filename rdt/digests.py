"""Digests of files, folders and settings, and where the repository lies."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from rdt.errors import UserError

ROOT = Path(__file__).resolve().parents[1]
MANIFEST = "manifest.json"
SHORT = 12  # hex digits of a digest that is shown, or that only has to tell one version from the next


# ---- digests of files


def file_digest(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hex. Raises ``UserError`` where there is no such file."""
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(path, f"cannot be read: {error.strerror}", "run the step that writes it") from None


def tree_digest(folder: str | Path) -> str:
    """SHA-256 over the relative paths and contents of all files in a folder.

    Manifests and hidden files are left out: a manifest holds the time of the run, and two runs that
    made the same bytes are to have the same digest.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UserError(folder, "the folder does not exist", "run the step that writes it")
    return combined_digest({relative_path(path, folder): file_digest(path) for path in sorted(content_files(folder))})


def combined_digest(files: Mapping[str, str]) -> str:
    """One digest of many files: ``files`` are their SHA-256 by relative path, in order."""
    lines = (f"{name}\0{digest}\n" for name, digest in files.items())
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def relative_path(path: Path, folder: Path) -> str:
    """``path`` seen from ``folder``, also where it lies beside it, with forward slashes."""
    return Path(os.path.relpath(path, folder)).as_posix()


def content_files(folder: Path) -> Iterator[Path]:
    for path in folder.rglob("*"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not path.name.endswith(MANIFEST):
            yield path


def digest(path: str | Path) -> str:
    """Digest of a file's or a folder's content as it lies on disk."""
    return tree_digest(path) if Path(path).is_dir() else file_digest(path)
