"""Document frequencies: counted once, read from a cache that knows what they were counted in."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rdt.data.tokens import sentence
from rdt.errors import UserError
from rdt.features.split import Split
from rdt.metrics.ciderd import CiderD, DocumentFrequency
from rdt.training import frequencies
from rdt.training.frequencies import captions_digest, load_frequencies, train_frequencies
from rdt.training.rl import build_reward


def split(images: int = 40, words: int = 12, seed: int = 0) -> Split:
    """Images with one to five captions of up to seven of few words, in rows of eight."""
    rng = np.random.default_rng(seed)
    captions = []
    for _ in range(images):
        rows = np.zeros((rng.integers(1, 6), 8), np.int32)
        for row in rows:
            length = rng.integers(1, 8)
            row[:length] = 1 + rng.integers(0, words, length) * rng.integers(0, 2, length)
        captions.append(rows)
    ids = np.arange(images)
    return Split(ids, None, ids, tuple(captions), np.zeros((images, 1, 8), np.int32))


def references(data: Split) -> list[list[list[int]]]:
    return [[sentence(row) for row in rows] for rows in data.captions]


def test_what_is_kept_are_the_ngrams_of_several_images_and_the_scores_are_the_same(tmp_path):
    data = split()
    counted = DocumentFrequency.from_references(references(data))
    kept = train_frequencies(data, "w", tmp_path)
    assert kept.images == 40
    assert dict(kept.counts) == {ngram: n for ngram, n in counted.counts.items() if n > 1}
    assert len(kept.counts) < len(counted.counts) and {len(ngram) for ngram in kept.counts} == {1, 2, 3, 4}
    candidates = [caption for image in references(split(seed=1)) for caption in image[:1]]
    expected = CiderD(references(data), counted).score(candidates)
    assert np.array_equal(build_reward(data, kept).score(candidates), expected) and expected.any()
    assert np.array_equal(build_reward(data).score(candidates), expected)


def test_the_second_time_nothing_is_counted(tmp_path, monkeypatch):
    data = split()
    first = train_frequencies(data, "w", tmp_path)
    (file,) = (tmp_path / "frequencies").iterdir()
    monkeypatch.setattr(frequencies, "DocumentFrequency", None)  # counting would fail
    monkeypatch.setattr(frequencies, "load_frequencies", lambda path, identity: (path, identity))
    path, identity = train_frequencies(data, "w", tmp_path)
    assert path == file and identity["vocabulary"] == "w"
    monkeypatch.undo()
    assert load_frequencies(file, identity) == first


def test_other_words_or_captions_have_a_file_of_their_own(tmp_path):
    data = split()
    moved = replace(data, captions=(data.captions[0][:1], *data.captions[1:]))
    for vocabulary, of in (("w", data), ("v", data), ("w", moved), ("w", data)):
        train_frequencies(of, vocabulary, tmp_path)
    assert len(list((tmp_path / "frequencies").iterdir())) == 3


def test_the_digest_knows_which_caption_is_whose():
    rows = np.arange(1, 17, dtype=np.int32).reshape(2, 8)
    one, two = (replace(split(1), captions=captions) for captions in ((rows,), (rows[:1], rows[1:])))
    assert captions_digest(one) == hashlib.sha256(np.int64(2).tobytes() + rows.tobytes()).hexdigest()
    assert captions_digest(two) != captions_digest(one)


@pytest.mark.parametrize("key", ["vocabulary", "captions"])
def test_frequencies_of_something_else_are_refused_with_both_digests(tmp_path, key):
    train_frequencies(split(), "w", tmp_path)
    (file,) = (tmp_path / "frequencies").iterdir()
    identity = {"vocabulary": "w", "captions": captions_digest(split())}
    told = rf"npz: document frequencies of other {key} \({identity[key]}, expected another\); delete "
    with pytest.raises(UserError, match=told):
        load_frequencies(file, identity | {key: "another"})


@pytest.mark.parametrize("size", [0, 40, 400])
def test_a_damaged_file_is_named(tmp_path, size):
    train_frequencies(split(), "w", tmp_path)
    (file,) = (tmp_path / "frequencies").iterdir()
    file.write_bytes(Path(file).read_bytes()[:size])
    with pytest.raises(UserError, match=rf"{file.name}: not a readable .npz file .*delete "):
        train_frequencies(split(), "w", tmp_path)
