"""Dist-n and vocabulary usage on examples counted by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rdt.data.vocabulary import Vocabulary
from rdt.metrics.diversity import (
    distinct_n,
    distinct_scopes,
    distinct_without_each,
    sayable,
    vocabulary_usage,
    vocabulary_usage_without_each,
)


@pytest.mark.parametrize(
    ("captions", "n", "expected"),
    [
        (["a dog runs", "a dog sits"], 1, 100 * 4 / 6),
        (["a dog runs", "a dog sits"], 2, 100 * 3 / 6),  # per token, not per bigram
        (["a dog runs", "a dog sits"], 3, 100 * 2 / 6),
        (["a a a a"], 2, 100 * 1 / 4),
        (["a dog"], 3, 0),
        (["", ""], 2, 0),
        ([], 2, 0),
        ([[3, 4, 5], (3, 4)], 2, 100 * 2 / 5),
    ],
)
def test_distinct_n(captions: list, n: int, expected: float):
    assert distinct_n(captions, n) == pytest.approx(expected)


def test_the_three_scopes_differ():
    runs = [["a dog", "a red cat"], ["a dog", "a red fox"]]
    scopes = distinct_scopes(runs, 2)
    assert scopes.mean_of_runs == pytest.approx(60)  # three bigrams of five tokens, in both runs
    assert scopes.pooled == pytest.approx(40)  # four of ten
    assert scopes.per_image == pytest.approx((25 + 50) / 2)  # one of four, three of six


def test_scopes_of_one_run():
    captions = ["a dog runs", "a dog sits"]
    scopes = distinct_scopes([captions], 2)
    assert scopes.mean_of_runs == scopes.pooled == distinct_n(captions, 2)


captions = st.lists(st.lists(st.sampled_from("abc"), max_size=6).map(" ".join), min_size=1, max_size=5)


@given(captions, st.integers(1, 3))
def test_a_repeated_run_halves_the_pooled_value(run: list[str], n: int):
    scopes = distinct_scopes([run, run], n)
    assert scopes.mean_of_runs == pytest.approx(distinct_n(run, n))
    assert scopes.pooled == pytest.approx(distinct_n(run, n) / 2)
    assert 0 <= scopes.pooled <= 100


def test_runs_that_do_not_match_are_refused():
    with pytest.raises(ValueError):
        distinct_scopes([["a", "b"], ["a"]], 2)
    with pytest.raises(ValueError, match="at least one"):
        distinct_scopes([], 2)


def test_what_no_caption_can_hold_is_no_word_to_use():
    """Three words, an end, a comma, a dash and UNK: the tokeniser takes punctuation away, and lower case has no UNK."""
    vocabulary = Vocabulary((".", "a", ",", "red", "--", "ball", "UNK"))
    assert sayable(vocabulary) == {"a", "red", "ball"}
    assert vocabulary_usage(["a ball . UNK ,"], sayable(vocabulary)) == (pytest.approx(200 / 3), 2)


def test_vocabulary_usage_counts_each_word_of_the_vocabulary_once():
    usage = vocabulary_usage(["a dog and a cat", "a unicorn"], ["a", "dog", "cat", "fox", "and", "cow", "red", "sits"])
    assert usage.count == 4
    assert usage.percent == pytest.approx(50)
    assert vocabulary_usage([[1, 2], [2, 9]], range(5)) == (40.0, 2)
    assert vocabulary_usage([], ["a"]) == (0, 0)


def test_an_empty_vocabulary_is_refused():
    with pytest.raises(ValueError, match="at least one word"):
        vocabulary_usage(["a"], [])


@given(captions, st.integers(1, 3))
def test_without_each_is_what_the_others_have(run: list[str], n: int):
    others = [run[:i] + run[i + 1 :] for i in range(len(run))]
    assert distinct_without_each(run, n) == pytest.approx([distinct_n(rest, n) for rest in others])
    usage = [vocabulary_usage(rest, "abx").percent for rest in others]
    assert vocabulary_usage_without_each(run, "abx") == pytest.approx(usage)
