"""What a file is, as its first bytes say."""

from __future__ import annotations

import re

HEAD = 1024  # bytes that are looked at

HEIC = "a HEIC photograph"
GIT_LFS = "a Git LFS pointer"
WEB_PAGE = "a web page (HTML)"
SVG = "an SVG drawing"
GZIP = "packed with gzip"
ZIP = "a zip archive"
HDF5 = "an HDF5 file"
_STARTS = {
    b"\x1f\x8b": GZIP,
    b"PK\x03\x04": ZIP,
    b"PK\x05\x06": ZIP,
    b"BZh": "packed with bzip2",
    b"\xfd7zXZ\x00": "packed with xz",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!": "a rar archive",
    b"\x93NUMPY": "an array of numpy (.npy)",
    b"\x89HDF\r\n\x1a\n": HDF5,
    b"PAR1": "a Parquet table",
    b"SQLite format 3\x00": "an SQLite database",
    b"%PDF": "a PDF document",
    b"%!PS": "a PostScript document",
    b"{\\rtf": "a document of a word processor (RTF)",
    b"\xd0\xcf\x11\xe0": "a document of an old office program",
    b"version https://git-lfs": GIT_LFS,
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"II*\x00": "a TIFF picture",
    b"MM\x00*": "a TIFF picture",
}
# The kind of a file in ISO's base media format stands at byte 8
_BRANDS = {b"avif": "an AVIF picture", b"avis": "an AVIF picture"} | dict.fromkeys(
    (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"), HEIC
)
_PICKLE = re.compile(rb"\x80[\x02-\x05]|\([ld]p0\n|c(copy_reg|__builtin__|builtins|numpy[\w.]*)\n")


def what_it_is(head: bytes) -> str | None:
    """The kind of file that begins with these bytes, such as ``a zip archive``; None where they say nothing."""
    found = next((kind for start, kind in _STARTS.items() if head.startswith(start)), None)
    if found:
        return found
    if head[:4] == b"RIFF":
        return "a WebP picture" if head[8:12] == b"WEBP" else "a sound or a video"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "a video")
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith((b"<svg", b"<?xml", b"<!--", b"<!doctype svg")) and b"<svg" in text:
        return SVG
    if text.startswith((b"<!doctype html", b"<html")) or (text.startswith(b"<") and b"<html" in text):
        return WEB_PAGE
    if text.startswith(b"<?xml"):
        return "an XML document"
    return "a pickle" if _PICKLE.match(head) else None
