"""Corpus metrics against values worked out by hand and, bit by bit, against pycocoevalcap."""

from __future__ import annotations

import json
import math
import os
import random
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.cider.cider import Cider
from pycocoevalcap.meteor.meteor import Meteor
from pycocoevalcap.rouge.rouge import Rouge
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from rdt.data.coco import References, references_by_image
from rdt.data.matching import matched_file
from rdt.errors import UserError
from rdt.metrics.bleu import bleu_values
from rdt.metrics.ciderd import CiderD
from rdt.metrics.corpus import Request, Scorer, Tables, evaluate
from rdt.metrics.java import JARS, java
from rdt.metrics.names import BLEU
from rdt.metrics.rouge import rouge_l
from rdt.metrics.spice import dependency, original
from rdt.metrics.statistics import corpus_values
from tests.support.repository import REPOSITORY

SHARED = REPOSITORY.parent / "shared" / "coco"
GOLDEN = SHARED / "captions_val2014_fakecap_results.json"
EXACT = (*BLEU, "M", "R", "C")


@pytest.fixture(scope="module")
def scorer():
    with Scorer() as living:
        yield living


# ---- by hand


def test_bleu_by_hand(scorer):
    """Image 1: 5 of 5 words, 3 of 4 bigrams; image 2: 1 of 2 words, no bigram. Lengths 7 against 6 + 2 = 8.

    B@1 = exp(1 - 8/7) 6/7. B@2 = exp(1 - 8/7) sqrt(6/7 * 3/5).
    """
    scores = scorer.score(
        {1: "a red ball on grass", 2: "a dog"},
        {1: ["a red ball on green grass"], 2: ["a cat"]},
        ["B@1", "B@2"],
    )
    penalty = math.exp(1 - 8 / 7)
    assert scores.corpus["B@1"] == pytest.approx(100 * penalty * 6 / 7, abs=1e-5)
    assert scores.corpus["B@2"] == pytest.approx(100 * penalty * math.sqrt(6 / 7 * 3 / 5), abs=1e-5)
    assert scores.statistics["bleu"].tolist() == [[5, 3, 2, 1, 5, 4, 3, 2, 5, 6], [1, 0, 0, 0, 2, 1, 0, 0, 2, 2]]


def test_the_closest_reference_is_the_shorter_of_two_as_close(scorer):
    scores = scorer.score({1: "a b c d"}, {1: ["a b c d e f", "a b c d e", "a b c"]}, ["B@1"])
    assert scores.statistics["bleu"][0, 9] == 3


def test_cider_by_hand(scorer):
    """Two images, so `a` weighs log(2/2) = 0 and the other n-grams log 2. Image 1 agrees in the only
    weighted unigram and bigram and has no longer n-grams: 10 (1 + 1 + 0 + 0) / 4 = 5. Image 2: 0."""
    scores = scorer.score({1: "a dog", 2: "a cow"}, {1: ["a dog"], 2: ["a cat"]}, ["C"])
    np.testing.assert_allclose(scores.per_image["C"], [500, 0], atol=1e-6)
    assert scores.corpus["C"] == pytest.approx(250)


def test_rouge_by_hand(scorer):
    """LCS `the cat` of 3 and 4 words: P = 2/3, R = 1/2, beta = 1.2: F = 2.44 P R / (R + 1.44 P)."""
    scores = scorer.score({1: "the cat sat"}, {1: ["the cat on mats"]}, ["R"])
    assert scores.corpus["R"] == pytest.approx(100 * 2.44 / 3 / (0.5 + 0.96), abs=1e-5)


def test_meteor_of_the_same_and_of_nothing_in_common(scorer):
    texts = {1: "a red ball on the grass", 2: "seven green bottles"}
    scores = scorer.score(texts, {1: ["A red ball on the grass."], 2: ["sad people dance tonight"]}, ["M"])
    np.testing.assert_allclose(scores.per_image["M"], [100, 0], atol=1e-3)


def test_an_empty_caption_scores_nothing(scorer):
    scores = scorer.score({1: "", 2: "."}, {1: ["a dog runs"], 2: ["a cat"]}, EXACT)
    assert scores.corpus == pytest.approx(dict.fromkeys(EXACT, 0), abs=1e-6)


def test_captions_that_would_break_a_line_protocol(scorer):
    """Line breaks, tabs and METEOR's separator neither shift the scores of other images nor hang."""
    captions = {1: "a\ndog ||| score", 2: "a cat\ton\u2028a mat\r", 3: "\x00\ud800 a cow"}
    references = {1: ["a dog score"], 2: ["a cat on a mat"], 3: ["a cow"]}
    scores = scorer.score(captions, references, ["B@1", "M"])
    # The tokeniser makes three words of |||, so METEOR never sees its separator.
    assert scores.statistics["meteor"][:, 0].tolist() == [6, 5, 2]
    assert list(scores.per_image["B@1"].round(3)) == [50.0, 100.0, 100.0]
    assert list(scores.per_image["M"][1:].round(3)) == [100.0, 100.0]


@pytest.mark.parametrize(
    ("captions", "references", "message"),
    [({}, {}, "no captions"), ({1: "a", 2: "b"}, {1: ["a"], 2: []}, "image 2 has no reference")],
)
def test_nothing_to_score(scorer, captions, references, message):
    with pytest.raises(ValueError, match=message):
        scorer.score(captions, references, EXACT)


def test_many_systems_at_once_score_as_each_by_itself(scorer):
    rng = random.Random(4)
    words = ["a", "red", "blue", "ball", "cube", "on", "under", "the", "grass", "sky"]

    def sentence() -> str:
        return " ".join(rng.choices(words, k=rng.randint(1, 8)))

    references = {i: [sentence() for _ in range(3)] for i in range(12)}
    fewer = {i: references[i][:2] for i in range(6)}
    requests = [Request({i: sentence() for i in group}, group) for group in (references, fewer, references)]
    together = scorer.score_many(requests, EXACT)
    for request, many in zip(requests, together, strict=True):
        one = scorer.score(*request, EXACT)
        assert one.corpus == many.corpus
        assert one.image_ids == many.image_ids == tuple(request.captions)
        for name in EXACT:
            assert np.array_equal(one.per_image[name], many.per_image[name])


def test_statistics_give_the_corpus_values(scorer):
    captions = {i: f"a {color} ball on grass" for i, color in enumerate(("red", "blue", "green"))}
    references = {i: ["a red ball on the grass", "a ball"] for i in captions}
    scores = scorer.score(captions, references, EXACT)
    assert corpus_values(scores.statistics) == pytest.approx(scores.corpus, rel=1e-12)


def test_which_spice_ran(scorer):
    expected = (
        original.NAME
        if original.available() is None
        else dependency.NAME
        if dependency.lack_of_parser() is None
        else None
    )
    assert scorer.spice == expected
    assert scorer.not_run(EXACT) == {}
    assert set(scorer.not_run()) == (set() if expected else {"S"})


@pytest.mark.skipif(dependency.lack_of_parser() is not None, reason="no SPICE here")
def test_spice_of_the_same_and_of_nothing_in_common(scorer):
    captions = {1: "a red ball", 2: "a man sleeps"}
    scores = scorer.score(captions, {1: ["A red ball."], 2: ["two cats"]}, ["S"])
    np.testing.assert_allclose(scores.per_image["S"], [100, 0])
    assert scores.corpus == {"S": 50}


# ---- beside pycocoevalcap

TEXTS = st.lists(st.sampled_from(["a", "b", "c", "dd", "\u00a0e", ""]), max_size=9).map(" ".join)
IMAGES = st.lists(st.tuples(TEXTS, st.lists(TEXTS, min_size=1, max_size=4)), min_size=1, max_size=5)


@settings(deadline=None, max_examples=200)
@given(IMAGES)
def test_equal_to_the_coco_tools_on_any_tokens(images):
    """Tokenised texts with repeated words, doubled spaces and spaces inside tokens, and empty ones."""
    captions = [caption for caption, _ in images]
    references = [texts for _, texts in images]
    results, truth = {i: [c] for i, c in enumerate(captions)}, dict(enumerate(references))
    bleu, cider = Tables(references).overlap(captions)
    corpus, per_image = Bleu(4).compute_score(truth, results, verbose=0)
    assert bleu_values(bleu.astype(int).sum(0).tolist()) == corpus
    assert [list(row) for row in zip(*per_image, strict=True)] == [
        bleu_values(row) for row in bleu.astype(int).tolist()
    ]
    assert [rouge_l(*image) for image in images] == Rouge().compute_score(truth, results)[1].tolist()
    if any(text.split() for texts in references for text in texts):  # without a word pycocoevalcap fails
        assert cider[:, 0].tolist() == Cider().compute_score(truth, results)[1].tolist()


@pytest.fixture(scope="module")
def theirs():
    """pycocoevalcap's scores, times 100: corpus value and values by image."""
    if not os.access(JARS / "tokenizer", os.W_OK):
        pytest.skip(f"{JARS} is read-only, and pycocoevalcap writes there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PATH", f"{Path(java()).parent}{os.pathsep}{os.environ['PATH']}")
        meteor = Meteor()

        def scores(captions, references):
            truth = PTBTokenizer().tokenize({i: [{"caption": text} for text in references[i]] for i in captions})
            results = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in captions.items()})
            corpus, per_image = Bleu(4).compute_score(truth, results, verbose=0)
            found = dict(zip(BLEU, zip(corpus, per_image, strict=True), strict=True))
            for name, metric in (("M", meteor), ("R", Rouge()), ("C", Cider())):
                found[name] = metric.compute_score(truth, results)
            return {name: (100 * float(value), 100 * np.asarray(values)) for name, (value, values) in found.items()}

        yield scores


def assert_exact(mine, expected):
    for name, (corpus, per_image) in expected.items():
        assert mine.corpus[name] == corpus, name
        assert np.array_equal(mine.per_image[name], per_image), name


def coco_captions() -> dict[int, list[str]]:
    with zipfile.ZipFile(JARS / "spice" / "spice-1.0.jar") as jar:
        return references_by_image(json.loads(jar.read("coco/annotations/captions_val2014.json")), "val2014").captions


@pytest.mark.slow
def test_equal_to_the_coco_tools_on_odd_captions(scorer, theirs):
    captions = {
        1: "a\ndog ||| on ||||| a mat",
        2: "...",
        3: "一只狗 в парке كلب 😀",
        4: "word " * 500,
        5: "\tTwo (2) 'dogs' -- isn't  it?\t",
        6: "a black cat on a letter K.",
        7: "A dog\x07 on 3 1/2\u00a0mats",
        8: "",
        9: "a cat",
    }
    references = {i: ["A cat on a letter K.", "The dog", "a ||| mat", "3 1/2 dogs", "..."] for i in captions}
    references[9] = ["", "A cat."]
    assert_exact(scorer.score(captions, references, EXACT), theirs(captions, references))


@pytest.mark.slow
def test_equal_to_the_coco_tools_on_five_thousand_images(scorer, theirs):
    """References of COCO in three sets of captions: of the same image, of another one, and reworked."""
    caption_lists = coco_captions()
    ids = random.Random(3).sample(list(caption_lists), 5000)
    others = dict(zip(ids, [*ids[1:], ids[0]], strict=True))
    references = {i: [*caption_lists[i][1:5], caption_lists[others[i]][0]] for i in ids}
    systems = (
        {i: caption_lists[i][0] for i in ids},
        {i: caption_lists[others[i]][1] for i in ids},
        {i: " ".join(caption_lists[i][2].lower().split()[: 3 + i % 9]) for i in ids},
    )
    for captions in systems:
        assert_exact(scorer.score(captions, references, EXACT), theirs(captions, references))


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.exists(), reason="the COCO tools' example results are not on this machine")
def test_golden_values_of_the_coco_tools(scorer, theirs):
    """The example results of the COCO caption tools against val2014, with the values published with them."""
    references = coco_captions()
    captions = matched_file(GOLDEN, References(references)).captions
    scores = scorer.score(captions, references, EXACT)
    rounded = {name: round(value / 100, 3) for name, value in scores.corpus.items()}
    assert rounded == {"B@1": 0.579, "B@2": 0.404, "B@3": 0.279, "B@4": 0.191, "M": 0.195, "R": 0.396, "C": 0.600}
    assert_exact(scores, theirs(captions, references))


@pytest.mark.slow
def test_two_scorers_at_once_and_nothing_written_where_the_jars_are(tmp_path, monkeypatch, scorer):
    """The jars' folder is where the programs run, and in a read-only installation nothing can be written there."""
    for name in ("meteor/meteor-1.5.jar", "meteor/data", "tokenizer/stanford-corenlp-3.4.1.jar"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(JARS / name)
    for module in ("meteor", "tokenizer"):
        monkeypatch.setattr(f"rdt.metrics.{module}.JARS", tmp_path)
    installed = sorted(tmp_path.rglob("*"))
    captions, references = {1: "a dog", 2: "two cats sleep"}, {1: ["the dog runs"], 2: ["Two cats.", "cats asleep"]}
    with ThreadPoolExecutor() as threads, Scorer() as first, Scorer() as second:
        requests = [threads.submit(own.score, captions, references, EXACT) for own in (first, second)]
        found = [request.result().corpus for request in requests]
    assert found == [scorer.score(captions, references, EXACT).corpus] * 2
    assert sorted(tmp_path.rglob("*")) == installed


# ---- properties

SENTENCES = [
    "a man rides a bike", "the man is riding a bicycle", "two dogs play in the park", "a dog", "dogs run in a park",
    "a red ball on green grass", "the ball is red", "people sit near a table", "a table with food on it",
    "a plate of food on the table", "A cat sleeps.", "the cat is asleep on a red bed", "a bed", "",
]  # fmt: skip
SCENES = st.lists(
    st.tuples(st.sampled_from(SENTENCES), st.lists(st.sampled_from(SENTENCES[:-1]), min_size=1, max_size=5)),
    min_size=2,
    max_size=6,
)


@settings(deadline=None, max_examples=60)
@given(SCENES, st.randoms(use_true_random=False))
def test_the_order_of_images_and_references_changes_no_score(scorer, images, rng):
    scorer.tokenise([sentence] for sentence in SENTENCES)
    captions = {i: caption for i, (caption, _) in enumerate(images)}
    references = {i: texts for i, (_, texts) in enumerate(images)}
    order = rng.sample(list(captions), len(captions))
    shuffled = {i: rng.sample(references[i], len(references[i])) for i in captions}
    plain = scorer.score(captions, references, EXACT)
    other_images = scorer.score({i: captions[i] for i in order}, references, EXACT)
    other_references = scorer.score(captions, shuffled, EXACT)
    assert other_images.corpus == pytest.approx(plain.corpus, rel=1e-9, abs=1e-12)
    # Of references that METEOR finds as good it takes the first, and its corpus value sums what that one counts.
    assert {n: v for n, v in other_references.corpus.items() if n != "M"} == pytest.approx(
        {n: v for n, v in plain.corpus.items() if n != "M"}, rel=1e-9, abs=1e-12
    )
    for name in EXACT:
        np.testing.assert_allclose(other_images.per_image[name], plain.per_image[name][order], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(other_references.per_image[name], plain.per_image[name], rtol=1e-9, atol=1e-12)


WORDS = st.lists(st.sampled_from("abcdef"), min_size=1, max_size=9)


@settings(deadline=None, max_examples=200)
@given(WORDS, st.lists(WORDS, max_size=5), st.data())
def test_a_reference_is_never_beaten_on_cider_by_its_truncation(reference, others, data):
    kept = data.draw(st.integers(0, len(reference)))
    metric = CiderD([[reference], *([other] for other in others)])
    whole, truncated = metric.score([reference, reference[:kept]], [0, 0])
    assert truncated <= whole + 1e-12


# ---- evaluate


def test_evaluate_reads_the_coco_formats():
    references = {"annotations": [{"image_id": i, "caption": text} for i, text in ((1, "a dog"), (2, "a cat"))]}
    results = [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "a cow"}]
    scores = evaluate(results, references, ["C", "R"])
    assert scores["n"] == 2
    assert scores["metrics"]["C"] == pytest.approx(250)
    assert (scores["spice"], scores["not_run"]) == (None, {})
    assert scores["per_image"][1]["C"] == pytest.approx(500)


def test_evaluate_one_split_of_karpathy():
    images = [{"cocoid": 4, "split": name, "sentences": [{"raw": "A dog."}]} for name in ("test",)]
    assert evaluate([{"image_id": 4, "caption": "a dog"}], {"images": images}, ["R"], "test")["metrics"] == {"R": 100}


@pytest.mark.parametrize(
    ("results", "metrics", "message"),
    [
        ([{"image_id": 9, "caption": "a"}], ["C"], "results: image 9 has no reference caption"),
        ([{"image_id": 1, "caption": "a"}], ["BLEU"], "'BLEU' is not a metric"),
    ],
)
def test_evaluate_refuses(results, metrics, message):
    with pytest.raises(UserError, match=message):
        evaluate(results, {"annotations": [{"image_id": 1, "caption": "a dog"}]}, metrics)
