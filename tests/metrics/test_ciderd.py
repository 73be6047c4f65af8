"""CIDEr-D against hand examples and, bit by bit, against the COCO caption tools."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.cider.cider_scorer import CiderScorer

from rdt.metrics.ciderd import CiderD, DocumentFrequency

WORDS = [f"w{rank}" for rank in range(60)]
ZIPF = [1 / (rank + 1) for rank in range(60)]


def coco_scores(candidates: list[list[str]], references: list[list[list[str]]]) -> np.ndarray:
    scorer = CiderScorer()
    for candidate, captions in zip(candidates, references, strict=True):
        scorer += (" ".join(candidate), [" ".join(caption) for caption in captions])
    return scorer.compute_score()[1]


def random_captions(seed: int, images: int) -> tuple[list[list[str]], list[list[list[str]]]]:
    """Zipf sentences of 0 to 15 words, some of them copies of a reference, one with unknown words."""
    rng = random.Random(seed)

    def sentence(shortest: int = 1) -> list[str]:
        return rng.choices(WORDS, ZIPF, k=rng.randint(shortest, 15))

    references = [[sentence() for _ in range(rng.randint(1, 6))] for _ in range(images)]
    candidates = [rng.choice(captions) if rng.random() < 0.2 else sentence(0) for captions in references]
    references[0].append(references[0][0])
    candidates[1], candidates[2], candidates[3] = [], ["never", "seen", "never", "seen"], candidates[4]
    return candidates, references


@pytest.mark.parametrize("seed", range(5))
def test_equal_to_the_coco_tools_to_the_last_bit(seed: int):
    candidates, references = random_captions(seed, 120)
    assert np.array_equal(CiderD(references).score(candidates), coco_scores(candidates, references))


def test_equal_with_document_frequencies_of_a_larger_set():
    candidates, references = random_captions(9, 150)
    reward = CiderD(references[:20], DocumentFrequency.from_references(references))
    got = reward.score(candidates[:20])
    assert np.array_equal(got, coco_scores(candidates, references)[:20])
    assert not np.array_equal(got, CiderD(references[:20]).score(candidates[:20]))


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 4), max_size=8),
            st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=8), min_size=1, max_size=3),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_equal_to_the_coco_tools_on_any_small_set(images: list[tuple[list[int], list[list[int]]]]):
    candidates, references = map(list, zip(*images, strict=True))
    as_words = [[str(token) for token in caption] for caption in candidates]
    references_as_words = [[[str(token) for token in caption] for caption in captions] for captions in references]
    got = CiderD(references).score(candidates)
    assert np.array_equal(got, coco_scores(as_words, references_as_words))
    assert (got >= 0).all()
    assert (got <= 10 + 1e-9).all()


@pytest.mark.parametrize(
    ("candidate", "expected"),
    # Two images with one reference each, "a b" and "c d": every idf is log 2, so it cancels.
    [
        ("a b", 5.0),  # orders 1 and 2 match wholly, 3 and 4 do not exist: 10 (1 + 1) / 4
        ("a c", 1.25),  # one of two words: cosine 1/2
        ("a", 10 * math.sqrt(0.5) * math.exp(-1 / 72) / 4),  # cosine 1/sqrt 2, one bigram too short
        ("a a", 10 / (2 * math.sqrt(2)) / 4),  # the second "a" is clipped: 1 / (2 sqrt 2)
        ("c d", 0.0),
        ("", 0.0),
    ],
)
def test_hand_examples(candidate: str, expected: float):
    reward = CiderD([[["a", "b"]], [["c", "d"]]])
    assert reward.score([candidate.split()], [0])[0] == pytest.approx(expected, abs=1e-12)


def test_the_end_token_counts():
    """A caption that breaks off is worth less than one that ends; without end tokens it can be worth the same."""
    references = [[[1, 2, 3, 4, 0]], [[5, 6, 7, 8, 0]]]
    whole, cut = CiderD(references).score([[1, 2, 3, 4, 0], [1, 2, 3, 4]], [0, 0])
    assert whole == pytest.approx(10, abs=1e-9)
    assert cut < 9.5


def test_ids_words_arrays_and_tensors_score_alike():
    references = [[[1, 2, 3], [1, 2]], [[4, 5, 6], [4, 2]]]
    reward = CiderD(references)
    expected = reward.score([[1, 2, 6], [4, 2, 2]])
    assert np.array_equal(reward.score(np.array([[1, 2, 6], [4, 2, 2]])), expected)
    assert np.array_equal(reward.score(torch.tensor([[1, 2, 6], [4, 2, 2]]), np.array([0, 1])), expected)
    words = [[[str(token) for token in caption] for caption in captions] for captions in references]
    assert np.array_equal(CiderD(words).score([list("126"), list("422")]), expected)


def test_scores_depend_on_neither_order_nor_company():
    candidates, references = random_captions(3, 30)
    together = CiderD(references).score(candidates)
    reward = CiderD(references)
    backwards = reward.score(candidates[::-1], list(range(30))[::-1])
    assert np.array_equal(backwards[::-1], together)
    assert reward.score([candidates[7]], [7])[0] == together[7]


def test_document_frequencies_count_images_not_occurrences():
    df = DocumentFrequency.from_references([[["a", "a", "b"], ["a"]], [["a"]], [["c"]]])
    assert df.images == 3
    assert df.counts[("a",)] == 2
    assert df.counts[("a", "a")] == df.counts[("b",)] == df.counts[("a", "a", "b")] == 1
    assert df.idf[("a",)] == pytest.approx(math.log(3 / 2))
    assert df.idf[("c",)] == df.unseen == pytest.approx(math.log(3))


def test_scoring_changes_no_document_frequency():
    candidates, references = random_captions(4, 40)
    reward = CiderD(references)
    before, idf = dict(reward.df.counts), dict(reward.df.idf)
    for _ in range(3):
        reward.score(candidates + [["unheard", "of"]], [*range(40), 0])
    assert dict(reward.df.counts) == before
    assert dict(reward.df.idf) == idf
    with pytest.raises(TypeError):
        reward.df.counts[("new",)] = 1


def test_wrong_input_is_refused():
    with pytest.raises(ValueError, match="image 1 has no reference"):
        CiderD([[["a"]], []])
    with pytest.raises(ValueError, match="at least one image"):
        CiderD([])
    with pytest.raises(ValueError, match="more than all 2 images"):
        DocumentFrequency({("a",): 3}, 2)
    reward = CiderD([[["a"]], [["b"]]])
    with pytest.raises(ValueError, match="1 candidates for 2 images"):
        reward.score([["a"]])
    with pytest.raises(TypeError, match="split it"):
        reward.score(["a b"], [0])
