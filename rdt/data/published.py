"""The paper's tables as printed."""

from __future__ import annotations

import csv
from pathlib import Path

from rdt.digests import ROOT
from rdt.errors import UserError

PUBLISHED = ROOT / "reports" / "published"
CHECKSUMS = "SHA256SUMS"  # beside them, in the form of `sha256sum`


def read_published(table: str, folder: Path = PUBLISHED) -> dict[tuple[str, str], str]:
    """The paper's numbers, as printed, by (row, column)."""
    path = folder / f"table_{table}.csv"
    try:
        with path.open(encoding="utf-8", newline="") as file:
            return {(line["row"], line["column"]): line["value"] for line in csv.DictReader(file)}
    except (OSError, KeyError) as error:
        raise UserError(path, f"cannot be read ({error})", "restore the paper's numbers") from error


def read_checksums(folder: Path = PUBLISHED) -> dict[str, str]:
    """The recorded SHA-256 of each file of the paper's numbers, by file name."""
    path = folder / CHECKSUMS
    try:
        lines = path.read_text(encoding="ascii").splitlines()
        return {name: digest for digest, name in (line.split(maxsplit=1) for line in lines)}
    except (OSError, ValueError) as error:
        raise UserError(path, f"cannot be read ({error})", "restore the file") from error
