"""Retrieved sentences: exact nearest neighbours, none of an image's own, none twice."""

from __future__ import annotations

import numpy as np
import pytest

from rdt.errors import UserError
from rdt.features import retrieval
from rdt.features.retrieval import build_pool, read_pool_texts, read_retrieved, retrieve, unit, write_retrieved


def random_pool(captions: int = 60, images: int = 12, dim: int = 5, seed: int = 0):
    """Distinct captions of random images, their pool and queries of the images."""
    rng = np.random.default_rng(seed)
    texts = [f"caption number {n}" for n in range(captions)]
    owners = [n % images for n in range(captions)]
    vectors = rng.normal(size=(captions, dim))
    return build_pool(texts, vectors, owners), vectors, owners, rng.normal(size=(images, dim))


def brute_force(vectors, owners, queries, k: int, exclude_own: bool) -> list[list[int]]:
    """By definition: sort all allowed captions by cosine."""
    expected = []
    for image, query in enumerate(queries):
        cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
        allowed = [row for row in np.argsort(-cosine) if not (exclude_own and owners[row] == image)]
        expected.append(allowed[:k])
    return expected


@pytest.mark.parametrize("exclude_own", [True, False])
def test_top_k_is_that_of_brute_force(exclude_own):
    pool, vectors, owners, queries = random_pool()
    found = retrieve(pool, queries, range(len(queries)), 7, exclude_own)
    assert found.rows.tolist() == brute_force(vectors, owners, queries, 7, exclude_own)


def test_similarity_is_the_cosine_and_the_best_comes_first():
    pool, vectors, _, queries = random_pool()
    found = retrieve(pool, 3 * queries, range(len(queries)), 7, True)
    expected = np.take_along_axis(unit(queries) @ unit(vectors).T, found.rows, axis=1)
    assert np.allclose(found.similarity, expected, atol=1e-6)
    assert (np.diff(found.similarity, axis=1) <= 0).all()


def test_own_captions_are_left_out_and_others_are_not():
    # images 1 and 2 with two captions each; the query of image 1 is its own first caption
    vectors = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.5, 0.5]])
    pool = build_pool(["a", "b", "c", "d"], vectors, [1, 1, 2, 2])
    assert retrieve(pool, vectors[:1], [1], 2, True).rows.tolist() == [[3, 2]]
    assert retrieve(pool, vectors[:1], [1], 2, False).rows.tolist() == [[0, 1]]
    assert retrieve(pool, vectors[:1], [7], 2, True).rows.tolist() == [[0, 1]]  # an image that owns none


def test_identical_strings_are_one_entry_that_all_their_images_own():
    vectors = np.array([[1.0, 0.0], [0.0, 1.0], [0.7, 0.7], [0.6, 0.8]])
    pool = build_pool(["A red  ball", "a blue cup", "a red ball", "a dog"], vectors, [1, 1, 2, 3])
    assert pool.texts == ("a red ball", "a blue cup", "a dog")
    assert pool.owners == (frozenset({1, 2}), frozenset({1}), frozenset({3}))
    assert np.allclose(pool.vectors[0], [1, 0])  # the first occurrence stands for the others
    # image 2 does not get the shared sentence although image 1 wrote it as well
    assert retrieve(pool, np.array([[1.0, 0.0]]), [2], 2, True).rows.tolist() == [[2, 1]]


def test_captions_alike_in_their_first_20_words_are_identical():
    head = " ".join(f"w{n}" for n in range(20))
    pool = build_pool([f"{head} tail one", f"{head} tail two", "w0"], np.eye(3), [1, 2, 3])
    assert pool.texts == (head, "w0")


@pytest.mark.parametrize(("own", "enough"), [(1, True), (2, False)])
def test_too_small_a_pool_says_so(own, enough):
    """Four captions, three wanted: enough when one is the image's own, not when two are."""
    owners = [1] * own + [2] * (4 - own)
    pool = build_pool(list("abcd"), np.eye(4), owners)
    if enough:
        assert retrieve(pool, np.ones((1, 4)), [1], 3, True).rows.shape == (1, 3)
        return
    with pytest.raises(UserError, match="4 distinct captions, too few for 3 per image"):
        retrieve(pool, np.ones((1, 4)), [1], 3, True)


@pytest.mark.parametrize("at_once", [1, 7, 100])
def test_rows_are_scaled_part_by_part(monkeypatch, at_once):
    monkeypatch.setattr(retrieval, "ROWS_AT_ONCE", at_once)
    vectors = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float32)
    vectors[3] = 0
    before = vectors.copy()
    expected = [row / max(float(np.sqrt(np.square(row, dtype=np.float64).sum())), 1e-12) for row in vectors]
    assert np.allclose(unit(vectors), expected, rtol=1e-6) and np.array_equal(vectors, before)
    pool = build_pool([f"caption {n}" for n in range(20)], vectors, range(20))
    assert np.array_equal(pool.vectors, unit(vectors)) and np.array_equal(vectors, before)


def test_features_of_another_space_are_an_error():
    pool, *_ = random_pool(dim=5)
    with pytest.raises(UserError, match="of dimension 4, .* 5"):
        retrieve(pool, np.ones((2, 4)), [0, 1], 3, False)


def test_an_index_is_read_as_it_was_written(tmp_path):
    pool, _, _, queries = random_pool()
    images = [100 + n for n in range(len(queries))]
    found = retrieve(pool, queries, images, 4, False)
    write_retrieved(tmp_path, pool, images, found)
    image_ids, rows = read_retrieved(tmp_path)
    assert image_ids.tolist() == images and rows.tolist() == found.rows.tolist()
    assert tuple(read_pool_texts(tmp_path)) == pool.texts


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off"])
def test_a_damaged_index_names_the_file(tmp_path, content):
    if content is not None:
        (tmp_path / "retrieved.npz").write_bytes(content)
    with pytest.raises(UserError, match="retrieved.npz.*build the index again"):
        read_retrieved(tmp_path)
    with pytest.raises(UserError, match="pool.txt"):
        read_pool_texts(tmp_path)
