"""Corpus metrics against values worked out by hand, and the Java processes behind two of them."""

from __future__ import annotations

import json
import math
import os
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from pycocoevalcap.tokenizer import ptbtokenizer
from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer

from rdt.errors import UserError
from rdt.metrics.corpus import Scorer, annotations_by_image, evaluate, java, ptb_tokenise, sanitise

GOLDEN = Path(__file__).parents[2] / "shared" / "coco" / "captions_val2014_fakecap_results.json"


@pytest.fixture(scope="module")
def scorer():
    with Scorer() as living:
        yield living


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


def test_meteor_is_one_process_that_ends_with_the_scorer():
    with Scorer() as own:
        own.score({1: "a dog"}, {1: ["a dog"]}, ["M"])
        process = own._meteor.pid
        own.score({1: "a cat"}, {1: ["a dog"]}, ["M"])
        assert own._meteor.pid == process
        assert Path(f"/proc/{process}").exists() or os.name == "nt"
    time.sleep(0.05)
    assert not Path(f"/proc/{process}").exists()


def test_an_empty_caption_scores_nothing(scorer):
    scores = scorer.score({1: "", 2: "."}, {1: ["a dog runs"], 2: ["a cat"]})
    assert scores.corpus == pytest.approx({"B@1": 0, "B@2": 0, "B@3": 0, "B@4": 0, "M": 0, "R": 0, "C": 0}, abs=1e-6)


def test_captions_that_would_break_a_line_protocol(scorer):
    """Line breaks, tabs and METEOR's separator neither shift the scores of other images nor hang."""
    captions = {1: "a\ndog ||| SCORE", 2: "a cat\ton\u2028a mat\r", 3: "\x00\ud800 a cow"}
    references = {1: ["a dog score"], 2: ["a cat on a mat"], 3: ["a cow"]}
    scores = scorer.score(captions, references, ["B@1", "M"])
    assert list(scores.per_image["B@1"].round(3)) == [100.0, 100.0, 100.0]
    assert list(scores.per_image["M"].round(3)) == [100.0, 100.0, 100.0]


def test_sanitise():
    assert sanitise("  two|||dogs\n\trun\x07 ") == "two dogs run"


def test_tokens_are_those_of_the_coco_tools(monkeypatch):
    texts = ["A red, large ball -- isn't it?", "", "Two (2) dogs; one 'big' cat.", "café 3.5 U.S.A. o'clock", "x"]
    monkeypatch.setenv("PATH", f"{Path(java()).parent}{os.pathsep}{os.environ['PATH']}")
    folder = Path(ptbtokenizer.__file__).parent
    if not os.access(folder, os.W_OK):
        pytest.skip(f"{folder} is read-only, and the COCO tools write there")
    theirs = PTBTokenizer().tokenize({i: [{"caption": text}] for i, text in enumerate(texts)})
    assert ptb_tokenise(texts) == [theirs[i][0] for i in range(len(texts))]


def test_evaluate_reads_the_coco_formats():
    references = {"annotations": [{"image_id": i, "caption": text} for i, text in ((1, "a dog"), (2, "a cat"))]}
    results = [{"image_id": 1, "caption": "a dog"}, {"image_id": 2, "caption": "a cow"}]
    scores = evaluate(results, references, ["C", "S"])
    assert scores["n"] == 2
    assert scores["metrics"] == {"C": pytest.approx(250)}
    assert scores["not_run"] == {"S": "not run: needs Java 8-14 and CoreNLP"}
    assert scores["per_image"][1]["C"] == pytest.approx(500)


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}], "image 1 has two captions"),
        ([{"image_id": 9, "caption": "a"}], "image 9 has no reference"),
        ([{"image_id": 1}], "entry 0: expected an object with 'image_id' and a text 'caption'"),
        ([], "expected a list"),
        ({"1": "a"}, "expected a list"),
    ],
)
def test_results_in_another_form(results, message):
    with pytest.raises(UserError, match=message):
        evaluate(results, {"annotations": [{"image_id": 1, "caption": "a dog"}]}, ["C"])


def test_unknown_metric_and_annotations():
    with pytest.raises(UserError, match="'BLEU' is not a metric"):
        evaluate([{"image_id": 1, "caption": "a"}], {"annotations": []}, ["BLEU"])
    with pytest.raises(UserError, match="expected an object with a list 'annotations'"):
        annotations_by_image([])


@pytest.mark.slow
@pytest.mark.skipif(not GOLDEN.exists(), reason="the COCO tools' example results are not on this machine")
def test_golden_values_of_the_coco_tools():
    """The example results of the COCO caption tools against val2014, with the values published with them."""
    with zipfile.ZipFile(Path(ptbtokenizer.__file__).parents[1] / "spice" / "spice-1.0.jar") as jar:
        references = json.loads(jar.read("coco/annotations/captions_val2014.json"))
    scores = evaluate(json.loads(GOLDEN.read_text()), references)["metrics"]
    rounded = {name: round(value / 100, 3) for name, value in scores.items()}
    expected = {"B@1": 0.579, "B@2": 0.404, "B@3": 0.279, "B@4": 0.191, "M": 0.195, "R": 0.396, "C": 0.600}
    assert rounded == expected
