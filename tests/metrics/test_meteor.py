"""METEOR as a living process: what it is asked, what is kept, and how it fails."""

from __future__ import annotations

import os
import signal

import numpy as np
import pytest

from rdt.errors import UserError
from rdt.metrics.meteor import Meteor


@pytest.fixture(scope="module")
def meteor():
    living = Meteor()
    yield living
    living.close()


def test_one_process_serves_many_systems(meteor):
    first = meteor.score([1, 2], [["a red ball on the grass"], ["sad people"]], ["a red ball on the grass", "a tree"])
    second = meteor.score([1], [["a dog"]], ["a dog"])
    process = meteor.pid
    np.testing.assert_allclose(first.result().per_image, [1, 0], atol=1e-9)
    assert second.result().corpus == 1
    assert meteor.pid == process


def test_statistics_are_the_numbers_of_the_line(meteor):
    """Four words against three: `a`, `the` are function words; `a` and `dog` match, in one chunk."""
    numbers = meteor.score([1], [["a dog sleeps"]], ["a dog the sun"]).result().statistics
    assert numbers.shape == (1, 23)
    assert list(numbers[0, :8]) == [4, 3, 2, 1, 1, 1, 1, 1]
    assert list(numbers[0, 20:]) == [1, 2, 2]


def test_the_corpus_is_of_sums_and_not_a_mean(meteor):
    scores = meteor.score([1, 2], [["a dog"], ["seven green bottles on a wall"]], ["a dog", "a hat"]).result()
    assert scores.corpus < scores.per_image.mean()


def test_a_separator_in_a_caption_neither_hangs_nor_shifts(meteor):
    captions = ["a ||| dog", "|||", "||||", "", "a cat"]
    scores = meteor.score(range(5), [["a dog"], ["a"], ["a"], ["a"], ["a cat"]], captions).result()
    np.testing.assert_allclose(scores.per_image, [1, 0, 0, 0, 1], atol=1e-9)


def test_a_repeated_reference_changes_nothing(meteor):
    references = ["a man on a bike", "the rider of a bicycle", "a bike"]
    once = meteor.score([1], [references], ["the man rides a bike"]).result()
    twice = meteor.score([1], [references + references[::-1]], ["the man rides a bike"]).result()
    assert np.array_equal(once.statistics, twice.statistics)


def test_what_is_kept_needs_no_process(tmp_path, meteor):
    references, captions = [["a red dog"], ["a cat"]], ["a dog", "two cats"]
    first = Meteor(tmp_path)
    fresh = first.score([1, 2], references, captions).result()
    first.close()
    second = Meteor(tmp_path)
    kept = second.score([8, 9], references, captions).result()
    assert second.pid is None
    for mine, theirs in ((fresh, kept), (fresh, meteor.score([1, 2], references, captions).result())):
        assert mine.corpus == theirs.corpus
        assert np.array_equal(mine.per_image, theirs.per_image)
        assert np.array_equal(mine.statistics, theirs.statistics)
    next(tmp_path.iterdir()).write_bytes(b"damaged")
    assert second.score([1, 2], references, captions[::-1]).result().corpus != fresh.corpus
    assert second.score([1, 2], references, captions).result().corpus == fresh.corpus
    second.close()


@pytest.mark.slow
def test_a_process_that_runs_out_of_memory_is_reported_with_its_words(meteor):
    """Ten thousand times the same word has more alignments than two gigabytes hold."""
    doomed = Meteor()
    answer = doomed.score([7, 8], [["a dog"], ["a dog on a mat"]], ["a dog", "a " * 10_000])
    with pytest.raises(
        UserError, match=r"METEOR: its Java process ended at image 8 \(.*OutOfMemoryError.*\); .*shorten"
    ):
        answer.result()
    with pytest.raises(UserError, match="its Java process ended"):
        doomed.score([1], [["a cat"]], ["a cat"]).result()
    doomed.close()


def test_ten_thousand_different_words(meteor):
    caption = " ".join(f"w{i}" for i in range(9_998)) + " a dog"
    assert meteor.score([1], [["a dog"]], [caption]).result().statistics[0, 0] == 10_000


def test_a_killed_process_is_reported():
    killed = Meteor()
    answer = killed.score([5], [["a dog"]], ["a dog"])
    os.kill(killed.pid, signal.SIGKILL)
    with pytest.raises(UserError, match=r"METEOR: its Java process ended at image 5 \(exit status -9, no message\)"):
        answer.result()
    killed.close()


def test_closing_drops_what_is_queued():
    closed = Meteor()
    answers = [closed.score([1], [["a dog"]], [f"a dog {i}"]) for i in range(3)]
    closed.close()
    assert isinstance(answers[0].exception(), UserError)
    assert answers[2].cancelled()
