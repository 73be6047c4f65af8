"""The reader of users' files: what is read, and what the others are called."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import zipfile
from pathlib import Path

import pytest

from rdt.data import user_files
from rdt.data.coco import references_by_image, results_by_image
from rdt.data.user_files import read_user_file
from rdt.errors import UserError

ROWS = [{"image_id": 3, "caption": "a café"}, {"image_id": 14, "caption": "two “dogs” 🐕"}]
TEXT = json.dumps(ROWS, ensure_ascii=False)


def zipped(**members: str) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return stream.getvalue()


def put(folder: Path, content: bytes | str, name: str = "r.json") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


LINES = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"
FORMS = {
    "json": TEXT,
    "mark": TEXT.encode("utf-8-sig"),
    "utf-16": TEXT.encode("utf-16"),
    "utf-16-be": TEXT.encode("utf-16-be"),
    "utf-16-le": TEXT.encode("utf-16-le"),
    "gzip": gzip.compress(TEXT.encode()),
    "zip": zipped(**{"folder/a": TEXT, "__MACOSX/a": "x"}),
    "lines": LINES,
    "lines, other names": LINES.replace("image_id", "id").replace("caption", "text"),
    "lines, gzip": gzip.compress(LINES.encode()),
    "csv": 'image_id,caption\r\n3,a café\r\n14,"two “dogs” 🐕"\r\n',
    "csv, other order": "caption;split;id\na café;test;3\ntwo “dogs” 🐕;test;14\n",
    "tsv": "image_id\tcaption\n3\ta café\n14\ttwo “dogs” 🐕\n",
    "csv, gzip": gzip.compress("image_id,caption\n3,a café\n14,two “dogs” 🐕\n".encode("utf-16")),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_content_in_many_forms(tmp_path, form):
    found = read_user_file(put(tmp_path, FORMS[form]))
    assert found.value == ROWS and found.notes == ()
    assert results_by_image(found.value, "r") == {3: "a café", 14: "two “dogs” 🐕"}


def test_a_table_of_several_captions_an_image(tmp_path):
    text = "file_name,caption_1,caption_2\na.wav,a bell rings,\nb.wav,rain,heavy rain\n"
    references = references_by_image(read_user_file(put(tmp_path, text, "a.csv")).value, "a.csv")
    assert references.captions == {"a.wav": ["a bell rings"], "b.wav": ["rain", "heavy rain"]}


def test_a_table_without_a_header_is_known_by_its_name(tmp_path):
    text = "1.jpg#0\ta dog\n1.jpg#1\tone dog\n007.jpg#0\ta cat\n"
    found = references_by_image(read_user_file(put(tmp_path, text, "a.token")).value, "a")
    assert found.captions == {"1.jpg": ["a dog", "one dog"], "007.jpg": ["a cat"]}
    with pytest.raises(UserError, match="a.json: is not valid JSON: .* line 1, column 2; write it again: JSON, JSON"):
        read_user_file(put(tmp_path, text, "a.json"))


def test_lines_with_a_list_of_captions(tmp_path):
    found = read_user_file(
        put(tmp_path, '{"image_id": "a", "captions": ["x", "y"]}\n{"image_id": "b", "captions": ["z"]}')
    )
    assert references_by_image(found.value, "a").captions == {"a": ["x", "y"], "b": ["z"]}


@pytest.mark.parametrize(
    ("content", "halves"),
    [
        (r'[{"image_id": 1, "caption": "a dog \ud83d"}]', 1),
        (r'[{"image_id": 1, "caption": "a \uDC15dog \uD83D"}]', 2),
        (b'[{"image_id": 1, "caption": "a dog \xf0\x9f\x90"}]', 1),
        (b'[{"image_id": 1, "caption": "a dog \xed\xa0\xbd"}]', 1),
        ('[{"image_id": 1, "caption": "a dog "}]'.encode("utf-16") + b"\x3d\xd8", 1),
    ],
)
def test_halves_of_characters_are_left_out_and_counted(tmp_path, content, halves):
    found = read_user_file(put(tmp_path, content))
    assert found.value == [{"image_id": 1, "caption": "a dog "}]
    assert len(found.notes) == 1 and f": {halves} broken character" in found.notes[0]


def test_whole_characters_in_escapes_stay(tmp_path):
    found = read_user_file(put(tmp_path, json.dumps([{"image_id": 1, "caption": "\\ud83d 🐕"}])))
    assert found.value[0]["caption"] == "\\ud83d 🐕" and not found.notes


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n",
            r"is a Git LFS pointer, .*; fetch .*git lfs pull",
        ),
        (b"\n<!DOCTYPE html><html><body>Not found", r"is a web page \(HTML\), .*; fetch the file again"),
        (pickle.dumps(ROWS), "is a pickle, not captions as text; give JSON, JSON Lines or a CSV"),
        (b"(lp0\n(dp1\n", "is a pickle"),
        (b"\x93NUMPY\x01\x00", "is an array of numpy"),
        (b"\x89HDF\r\n\x1a\n", "is an HDF5 file"),
        (
            zipped(**{"a/data.pkl": ""}),
            "is an archive of arrays, a network or a spreadsheet",
        ),
        (zipped(a="[]", b="[]"), "is a zip archive of 2 files: a, b; unpack it, and name one of them"),
        (zipped(a="[1]" * 99)[:-30], "is a zip archive that cannot be unpacked"),
        (gzip.compress(TEXT.encode())[:-12], "is packed with gzip that cannot be unpacked"),
        (gzip.compress(gzip.compress(b"[]")), "is packed with gzip, not captions"),
        (b"", "is empty; give JSON"),
        (b"[" * 100_000, "is nested too deeply"),
        (b"[" + b"9" * 5000 + b"]", "is not valid JSON: Exceeds the limit"),
        (b'{"image_id": 1}\n{"image_id": 2', "line 2 is not valid JSON: .*; write one object a line"),
        (b'{"image_id": 1}\n[2]', "line 2 holds no object"),
        (b'[{"image_id": 1, "capt', "is not valid JSON: Unterminated .*; write it again: JSON"),
        (
            "[{'image_id': 'é'}]".encode("latin-1"),
            r"is not UTF-8 text \(byte 15, line 1\); convert it, if it is Latin-1",
        ),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, content, told):
    with pytest.raises(UserError, match=rf"r\.json: {told}") as caught:
        read_user_file(put(tmp_path, content))
    assert "step that writes it" not in str(caught.value) and "\n" not in str(caught.value)


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(user_files, "MOST_BYTES", 1000)
    for content in (gzip.compress(b"[]" * 600), zipped(a="[]" * 600), b"[]" * 600):
        with pytest.raises(UserError, match="holds more than .* GB, which is read at most; divide it"):
            read_user_file(put(tmp_path, content))


def test_names_that_no_file_can_have(tmp_path):
    for name in ("a" * 300, "a\0b"):
        with pytest.raises(UserError, match="cannot be read"):
            read_user_file(tmp_path / name)
    with pytest.raises(UserError, match=r"none\.json: the file does not exist; correct the path"):
        read_user_file(tmp_path / "none.json")
