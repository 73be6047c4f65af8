"""Words, ids and token rows."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from rdt.data.tokens import token_row, valid_mask
from rdt.data.vocabulary import Vocabulary, build_vocabulary
from rdt.errors import UserError

CAPTIONS = [("A", "red", "ball"), ("a", "blue", "ball", "."), ("the", "ball", "is", "red")]


def test_order_is_first_appearance() -> None:
    assert build_vocabulary(CAPTIONS, 1).words == (".", "a", "red", "ball", "blue", "the", "is", "UNK")
    assert build_vocabulary(CAPTIONS, 2).words == (".", "a", "red", "ball", "UNK")
    assert build_vocabulary(CAPTIONS, 3).words == (".", "ball", "UNK")


def test_too_rare_words() -> None:
    with pytest.raises(UserError, match="min_count"):
        build_vocabulary(CAPTIONS, 4)


@pytest.mark.parametrize(("size", "bits"), [(3, 2), (4, 2), (5, 3), (128, 7), (129, 8), (10200, 14), (16384, 14)])
def test_num_bits(size: int, bits: int) -> None:
    vocabulary = Vocabulary((".", *(f"w{i}" for i in range(size - 2)), "UNK"))
    assert (vocabulary.size, vocabulary.num_bits) == (size, bits)


def test_encode_decode() -> None:
    vocabulary = build_vocabulary(CAPTIONS, 1)
    assert vocabulary.encode(("The", "green", "ball", ".")) == [5, 7, 3]
    assert vocabulary.decode(np.array([5, 7, 3, 0, 3, 0])) == "the UNK ball"
    assert vocabulary.decode([0, 3]) == ""


def test_digest_depends_on_order() -> None:
    assert Vocabulary((".", "a", "b", "UNK")).digest == hashlib.sha256(b".\na\nb\nUNK").hexdigest()
    assert Vocabulary((".", "b", "a", "UNK")).digest != Vocabulary((".", "a", "b", "UNK")).digest


@pytest.mark.parametrize("words", [("a", "UNK"), (".", "UNK"), (".", "a"), (".", "a", "a", "UNK")])
def test_malformed_words(words: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        Vocabulary(words)


def test_save_and_load(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary" / "primary.json"
    vocabulary = build_vocabulary(CAPTIONS, 1)
    vocabulary.save(path)
    assert Vocabulary.load(path) == vocabulary
    assert [file.name for file in path.parent.iterdir()] == ["primary.json"]


def test_damaged_file(tmp_path: Path) -> None:
    path = tmp_path / "vocabulary.json"
    with pytest.raises(UserError, match=r"vocabulary\.json"):
        Vocabulary.load(path)
    build_vocabulary(CAPTIONS, 1).save(path)
    text = path.read_text()
    document = json.loads(text)
    document["words"][1:3] = document["words"][2:0:-1]
    for damaged in (text[:40], "[]", '{"words": 3}', '{"words": ["a", "b", "c"]}', json.dumps(document)):
        path.write_text(damaged)
        with pytest.raises(UserError, match=r"vocabulary\.json"):
            Vocabulary.load(path)


def test_token_row() -> None:
    row = token_row([4, 2, 9], 6)
    assert row.dtype == np.int32 and row.tolist() == [4, 2, 9, 0, 0, 0]
    assert token_row([1, 2, 3, 4, 5], 4).tolist() == [1, 2, 3, 0]
    assert token_row([], 3).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="id 0"):
        token_row([1, 0, 2], 6)


def test_valid_mask() -> None:
    rows = np.array([[4, 2, 0, 0, 0], [0, 0, 0, 0, 0], [1, 2, 3, 4, 5], [1, 0, 3, 0, 0]])
    assert valid_mask(rows).astype(int).tolist() == [
        [1, 1, 1, 0, 0],
        [1, 0, 0, 0, 0],
        [1, 1, 1, 1, 1],
        [1, 1, 0, 0, 0],
    ]
