"""Files that users have: JSON, JSON Lines or tables as text, in UTF-8 or UTF-16, packed or not."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rdt.errors import UserError
from rdt.files import json_problem, not_utf8
from rdt.signatures import GIT_LFS, GZIP, HEAD, WEB_PAGE, ZIP, what_it_is

MOST_BYTES = 2**30  # of a file, unpacked: the captions of all of COCO are 100 MB
TABLES = (".csv", ".tsv", ".txt", ".token")  # tables without a header are known by their names
_FORMS = "give JSON, JSON Lines or a CSV or TSV of an id and its captions, plain or packed with gzip or zip"
_REMEDIES = {GIT_LFS: "fetch the content with `git lfs pull`", WEB_PAGE: "fetch the file again"}
_ID_COLUMNS = ("image_id", "imageid", "id", "file_name", "filename", "image_name", "image", "img", "audio", "key")
_CAPTION_COLUMN = re.compile(r"(raw_|reference_)?(caption|sentence|comment|text|reference)s?[ _]?\d*")
_HALVES = re.compile("[\ud800-\udfff]")
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


@dataclass(frozen=True)
class UserFile:
    """What a file holds, and what is to be said of how it was read."""

    value: Any
    notes: tuple[str, ...] = ()


def read_user_file(path: Path) -> UserFile:
    """Read a document, or the rows ``{image_id, caption}`` of JSON Lines or of a table of an id and its captions.

    Halves of characters, as a cut leaves them, are left out and counted. Raises ``UserError`` that says what the
    file is where it is none of these.
    """
    name, data = _unpacked(path, _bytes(path))
    kind = what_it_is(data[:HEAD])
    if kind is not None:
        raise UserError(path, f"is {kind}, not captions as text", _REMEDIES.get(kind, _FORMS))
    text, halves = _decoded(path, data)
    try:
        value = _content(path, name, text)
        if "\\ud" in text or "\\uD" in text:  # halves that are written as escapes
            whole = json.dumps(value, ensure_ascii=False)
            found = len(_HALVES.findall(whole))
            halves, value = halves + found, json.loads(_HALVES.sub("", whole)) if found else value
    except RecursionError:
        raise UserError(path, "is nested too deeply", "captions take three levels") from None
    said = f"{path}: {halves:,} broken character{'s' if halves > 1 else ''} left out, such as halves of an emoji"
    return UserFile(value, (said,) if halves else ())


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return _within(path, file.read(MOST_BYTES + 1))
    except FileNotFoundError:
        raise UserError(path, "the file does not exist", "correct the path") from None
    except IsADirectoryError:
        raise UserError(path, "is a folder", "name a JSON file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a name that no file can have
        raise UserError(path, f"cannot be read ({getattr(error, 'strerror', error)})", "correct the path") from None


def _within(path: Path, data: bytes) -> bytes:
    if len(data) > MOST_BYTES:
        raise UserError(path, f"holds more than {MOST_BYTES / 2**30:.0f} GB, which is read at most", "divide it")
    return data


def _unpacked(path: Path, data: bytes) -> tuple[str, bytes]:
    """The name and the content of what is packed with gzip, or alone in a zip archive; other files as they are."""
    kind = what_it_is(data[:HEAD])
    try:
        if kind == GZIP:
            with gzip.open(io.BytesIO(data)) as file:
                return path.name.lower().removesuffix(".gz"), _within(path, file.read(MOST_BYTES + 1))
        if kind == ZIP:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                name = _only_member(path, archive.namelist())
                with archive.open(name) as file:
                    return name.lower(), _within(path, file.read(MOST_BYTES + 1))
    except (OSError, EOFError, RuntimeError, ValueError, NotImplementedError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(
            path, f"is {kind} that cannot be unpacked ({error})", "pack it again without a password"
        ) from None
    return path.name.lower(), data


def _only_member(path: Path, names: list[str]) -> str:
    """The one file of a zip archive that may hold captions."""
    if any(name.endswith(("data.pkl", ".npy")) or name == "[Content_Types].xml" for name in names):
        raise UserError(path, f"is an archive of arrays, a network or a spreadsheet ({names[0]})", _FORMS)
    files = [name for name in names if not name.endswith("/") and not name.startswith("__MACOSX/")]
    if len(files) != 1:
        listed = f": {', '.join(files[:3])}{', ...' if len(files) > 3 else ''}" if files else ""
        raise UserError(path, f"is a zip archive of {len(files):,} files{listed}", "unpack it, and name one of them")
    return files[0]


def _decoded(path: Path, data: bytes) -> tuple[str, int]:
    """The text, and how many halves of characters were left out."""
    encoding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    if encoding == "utf-8" and len(data) > 1 and 0 in data[:2]:
        encoding = "utf-16-be" if data[0] == 0 else "utf-16-le"
    try:
        text = data.decode(encoding, _HALF)
    except UnicodeDecodeError as error:
        raise not_utf8(path, error) from None
    halves = len(_HALVES.findall(text))
    return _HALVES.sub("", text) if halves else text, halves


def _half(error: UnicodeError) -> tuple[str, int]:
    """Stand in for a character of which the first bytes, or half of it, are left; a letter of Latin-1 is neither."""
    if not isinstance(error, UnicodeDecodeError):
        raise error
    start, end = error.start, error.end
    if error.object[start : start + 1] == b"\xed" and b"\xa0" <= error.object[start + 1 : start + 2] < b"\xc0":
        end = start + 3
    elif error.encoding == "utf-8" and end - start < 2:
        raise error
    return "\udfff", end


_HALF = "rdt-half"
codecs.register_error(_HALF, _half)


def _content(path: Path, name: str, text: str) -> Any:
    start = text.lstrip()[:1]
    if not start:
        raise UserError(path, "is empty", _FORMS)
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if start == "{" and error.msg == "Extra data":
            return _rows_of_lines(path, text)
        rows = None if start in "{[" else _rows_of_table(path, name, text)
        if rows is None:
            raise UserError(path, json_problem(error), "write it again: " + _FORMS.removeprefix("give ")) from None
        return rows
    except ValueError as error:  # a number of thousands of digits
        raise UserError(path, f"is not valid JSON: {str(error).partition(';')[0]}", "correct it") from None


# ---- rows of an id and its captions


def _rows_of_lines(path: Path, text: str) -> list[dict[str, Any]]:
    """The objects of JSON Lines; one with several captions as several rows."""
    rows: list[dict[str, Any]] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                found = json.loads(line)
            except ValueError as error:
                problem = f"line {number} is not valid JSON: {getattr(error, 'msg', 'a number is too long')}"
                raise UserError(path, problem, "write one object a line") from None
            rows += _rows_of_object(path, number, found)
    return rows


def _rows_of_object(path: Path, number: int, found: Any) -> list[dict[str, Any]]:
    if not isinstance(found, dict):
        raise UserError(path, f"line {number} holds no object", 'write {"image_id": ..., "caption": ...} a line')
    captions = [value for key, value in found.items() if _CAPTION_COLUMN.fullmatch(key.lower())]
    image = next((found[key] for key in _ID_COLUMNS if key in found), None)
    if image is None or not captions:
        return [found]
    texts = [text for value in captions for text in (value if isinstance(value, list) else [value])]
    return [{"image_id": image, "caption": text} for text in texts]


def _rows_of_table(path: Path, name: str, text: str) -> list[dict[str, Any]] | None:
    """The rows of a CSV or TSV; None where it is no table by its name or its header."""
    first = text.lstrip().partition("\n")[0]
    delimiter = max("\t,;|", key=first.count)
    if delimiter not in first:
        return None
    try:
        lines = [line for line in csv.reader(io.StringIO(text.lstrip(), newline=""), delimiter=delimiter) if any(line)]
    except csv.Error as error:
        raise UserError(path, f"is a table that cannot be read ({error})", _FORMS) from None
    header = [cell.strip().lower() for cell in lines[0]]
    columns = [n for n, cell in enumerate(header) if _CAPTION_COLUMN.fullmatch(cell)]
    image = next((header.index(key) for key in _ID_COLUMNS if key in header), 0)
    if columns:
        lines = lines[1:]
    elif name.endswith(TABLES):
        columns = list(range(1, len(header)))
    else:
        return None
    return _numbered(
        [
            {"image_id": line[image].strip(), "caption": line[n].strip()}
            for line in lines
            for n in columns
            if max(n, image) < len(line) and line[n].strip()
        ]
    )


def _numbered(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``rows`` with numbers for ids where all of them are whole numbers; ``1.jpg#0``, Flickr8k's way, is ``1.jpg``."""
    names = [re.sub(r"#\d+$", "", row["image_id"]) for row in rows]
    whole = all(re.fullmatch(r"0|[1-9][0-9]{0,18}", name) for name in names)
    ids = zip(rows, map(int, names) if whole else names, strict=True)
    return [{"image_id": image, "caption": row["caption"]} for row, image in ids]
