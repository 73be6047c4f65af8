"""Scores of caption files of a few images, with values worked out by hand."""

from __future__ import annotations

import json
from math import exp

import pandas as pd
import pytest

from rdt.data.dataset import Caption, Image
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.metrics import resampling, statistics
from rdt.metrics.corpus import Scorer
from rdt.metrics.names import METRICS
from rdt.scoring.baselines import baselines, most_frequent_caption
from rdt.scoring.references import Targets, in_order
from rdt.scoring.systems import System, drawn_diversity, score_systems
from rdt.scoring.twins import Twins

VOCABULARY = Vocabulary((".", "a", "red", "blue", "ball", "cube", "UNK"))


def image(number: int, *texts: str, domain: str | None = None, twin: int | None = None) -> Image:
    captions = tuple(Caption(tuple(text.lower().rstrip(".").split()), text) for text in texts)
    return Image(number, f"{number}.png", "test", captions, domain, twin)


FIVE = ("a red ball", "a red ball.", "red ball", "a ball", "one red ball")
OTHER = ("a blue cube", "a blue cube", "blue cube", "a cube", "one blue cube")


@pytest.fixture(scope="module")
def scorer():
    with Scorer() as living:
        yield living


@pytest.fixture
def paths(tmp_path):
    return Paths("tiny", tmp_path / "results", tmp_path / "reports")


def write(paths: Paths, captions: dict[int, str], stage: str = "xe", draw: int | None = None, role: str = "primary"):
    path = paths.captions("rdt-s0-00000000", stage, role, "test", draw)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([{"image_id": i, "caption": text} for i, text in captions.items()]))


def test_score_documents_and_parquet(paths, scorer):
    targets = Targets("primary", "test", (image(7, *FIVE), image(3, *OTHER)))
    write(paths, {3: "a blue cube", 7: "a blue cube"})
    for draw, text in enumerate(("a red ball", "a blue cube")):
        write(paths, {7: text, 3: "a blue cube"}, draw=draw)
    system = System("rdt-s0-00000000", "xe", 0, "primary", ("c40", "c5"), 2)
    documents = score_systems(paths, targets, [system], {"primary": VOCABULARY}, scorer)

    written = json.loads(paths.scores(system.run, "xe", "primary", "test").read_text())
    assert written == documents[system.run, "xe"]
    assert (written["n"], written["seed"], written["role"]) == (2, 0, "primary")
    # Image 3's caption is one of its references; image 7's shares only `a` with its own.
    c5 = written["scopes"]["c5"]
    assert c5["metrics"]["B@1"] == pytest.approx(100 * 4 / 6, abs=1e-4)
    assert written["not_run"]["c40"] == "not run: c40 needs 40 references per image, primary has 5"
    assert written.get("spice") == scorer.spice
    assert set(written["not_run"]) == {"c40", *scorer.not_run()}
    assert written["mean_words"] == 3
    assert written["mean_words_references"] == pytest.approx((3 + 3 + 2 + 2 + 3) / 5)
    assert written["distinct_captions"] == 1
    assert written["vocabulary_usage"] == {"percent": pytest.approx(300 / 5), "count": 3}
    assert written["twins"] is None

    frame = pd.read_parquet(paths.scores(system.run, "xe", "primary", "test").with_suffix(".parquet"))
    assert list(frame.image_id) == [7, 3]
    assert frame["c5/C"].iloc[0] == pytest.approx(0, abs=1e-9)
    assert c5["metrics"]["C"] == pytest.approx(frame["c5/C"].mean())
    # From the numbers of the images come the corpus values and their intervals.
    numbers = statistics.from_frame(frame, "c5")
    estimates = resampling.interval(numbers)
    for name in METRICS:
        if name not in written["not_run"]:
            assert estimates[name].value == pytest.approx(c5["metrics"][name], rel=1e-12)
            assert c5["intervals"][name] == [None, None]  # two images say nothing of others
    assert frame["twins/accuracy"].isna().all()


def test_diversity_scopes_by_hand(scorer):
    """Draw 1: `a red ball`, `a red ball`: 2 distinct bigrams of 6 words. Draw 2: `a red ball`, `a cube`:
    3 of 5. Pooled: a red, red ball, a cube: 3 of 11. Image 1: 2 of 6; image 2: 3 of 5."""
    drawn = [{1: "a red ball", 2: "a red ball"}, {1: "a red ball", 2: "a cube"}]
    scopes = drawn_diversity(drawn, VOCABULARY, scorer)
    assert scopes["mean"]["D@2"] == pytest.approx(100 * (2 / 6 + 3 / 5) / 2)
    assert scopes["pooled"]["D@2"] == pytest.approx(100 * 3 / 11)
    assert scopes["per_image"]["D@2"] == pytest.approx(100 * (2 / 6 + 3 / 5) / 2)
    assert scopes["mean"]["D@3"] == pytest.approx(100 * (1 / 6 + 1 / 5) / 2)
    # Words used of the 5 that a caption can hold (not `.`, not UNK): {a, red, ball} and {a, red, ball, cube}; both
    # draws together 4; images 3 and 4.
    assert scopes["mean"]["words"] == scopes["per_image"]["words"] == 3.5
    assert scopes["pooled"]["Voc-u"] == pytest.approx(400 / 5)


def test_novel_domains_are_scored_by_themselves(paths, scorer):
    images = (
        image(1, *FIVE, domain="in-domain"),
        image(2, *OTHER, domain="near-domain"),
        image(4, *FIVE, domain="near-domain"),
    )
    targets = Targets("novel", "test", images)
    write(paths, {1: "a red ball", 2: "a blue cube", 4: "nothing here"}, role="novel")
    system = System("rdt-s0-00000000", "xe", 0, "primary", ("all/entire", "all/in", "all/near", "all/out"), 0)
    document = score_systems(paths, targets, [system], {"primary": VOCABULARY}, scorer)[system.run, "xe"]
    assert {scope: part["n"] for scope, part in document["scopes"].items()} == {
        "all/entire": 3,
        "all/in": 1,
        "all/near": 2,
    }
    assert document["scopes"]["all/in"]["metrics"]["B@1"] == pytest.approx(100, abs=1e-4)
    assert document["not_run"]["all/out"] == "not run: novel has no images of domain out-domain"


@pytest.mark.parametrize(
    ("captions", "accuracy", "differ"),
    [
        ({1: "a red ball", 2: "a blue cube"}, 100, 100),
        ({1: "a red ball", 2: "a red ball"}, 0, 0),
        ({1: "a blue cube", 2: "a red ball"}, 0, 100),  # each fits the other's image
        ({1: "a red ball", 2: "seven dogs"}, 0, 100),  # one fits neither
    ],
)
def test_twins(scorer, captions, accuracy, differ):
    images = [image(1, *FIVE, twin=2), image(2, *OTHER, twin=1), image(3, "two dogs run")]
    told_apart, twins = Twins(images, scorer).tell_apart(captions | {3: "two dogs"})
    assert twins == {"pairs": 1, "accuracy": accuracy, "differ": differ}
    assert told_apart[1] == accuracy
    assert told_apart[[2, 3]].isna().all()


def test_no_twins(scorer):
    told_apart, twins = Twins([image(1, *FIVE)], scorer).tell_apart({1: "a"})
    assert twins is None
    assert told_apart.isna().all()


def test_what_was_answered_once_is_kept(paths):
    """A second scoring of the same captions needs no METEOR process and writes the same files."""
    targets = Targets("primary", "test", (image(7, *FIVE), image(3, *OTHER)))
    write(paths, {3: "a blue cube", 7: "a blue ball"})
    system = System("rdt-s0-00000000", "xe", 0, "primary", ("c5",), 0)
    path = paths.scores(system.run, "xe", "primary", "test")
    written = []
    for _ in range(2):
        with Scorer(paths.cache) as own:
            score_systems(paths, targets, [system], {"primary": VOCABULARY}, own)
            written.append((path.read_bytes(), path.with_suffix(".parquet").read_bytes(), own._meteor.pid))
    (first, first_table, process), (second, second_table, none) = written
    assert (first, first_table, none) == (second, second_table, None)
    assert process


def test_baselines_by_hand(scorer):
    """Humans: each of five references against the others; all words of `a b c d e` texts agree or none does."""
    same = ("a red ball",) * 5
    other = ("two blue cubes",) * 5
    targets = Targets("primary", "test", (image(1, *same), image(2, *other)))
    train = [image(8, "a red ball", "a blue ball"), image(9, "a blue ball", "a red ball", "a blue ball")]
    document = baselines(targets, train, {1: "a red ball", 2: "a red ball"}, scorer)
    # Two images: n-grams weigh log 2; three words have n-grams up to n = 3, so identical captions get 10 * 3/4.
    assert document["human"]["C"] == pytest.approx(750)
    assert document["human"]["B@1"] == pytest.approx(100, abs=1e-4)
    assert document["retrieved"]["C"] == pytest.approx(375)
    assert document["most_frequent"]["caption"] == "a blue ball"
    assert document["most_frequent"]["C"] < 375
    assert document.get("spice") == scorer.spice


def test_baselines_of_three_references_and_of_one(scorer):
    targets = Targets("primary", "test", (image(1, *FIVE[:3]), image(2, *OTHER[:3])))
    document = baselines(targets, [image(8, "a red ball")], None, scorer)
    # Each of three in turn against the two others: the third has two of their three words, and a penalty for it.
    assert document["human"]["B@1"] == pytest.approx(100 * (2 + exp(1 - 3 / 2)) / 3) and "retrieved" not in document
    alone = Targets("primary", "test", (image(1, "a ball"), image(2, "a cube")))
    told = baselines(alone, [image(8, "a red ball")], None, scorer)["not_run"]
    assert told == "not run: a human's caption needs a second reference"


def test_another_language_leaves_english_metrics_out_of_a_document(paths):
    targets = Targets("primary", "test", (image(7, *FIVE), image(3, *OTHER)))
    write(paths, {3: "a blue cube", 7: "a blue cube"})
    system = System("rdt-s0-00000000", "xe", 0, "primary", ("c5",), 0)
    with Scorer(language="de") as other:
        (document,) = score_systems(paths, targets, [system], {"primary": VOCABULARY}, other).values()
    assert set(document["scopes"]["c5"]["metrics"]) == {"B@1", "B@2", "B@3", "B@4", "R", "C"}
    assert set(document["not_run"]) == {"M", "S"} and "spice" not in document


def test_most_frequent_caption_takes_the_first_of_equals():
    assert most_frequent_caption([image(1, "b c"), image(2, "a b", "B c.", "a b")]) == "b c"


@pytest.mark.parametrize(
    ("captions", "message"),
    [({1: "x"}, "lacks image 2"), ({1: "x", 2: "y", 5: "z"}, "image 5 is not in the split")],
)
def test_a_caption_file_of_other_images(tmp_path, captions, message):
    with pytest.raises(UserError, match=message):
        in_order(captions, [image(1, "a"), image(2, "a")], tmp_path / "primary-test.json")


def test_twins_are_one_unit_whatever_their_ids():
    """An id may be 0, and nothing follows from the order of the images."""
    images = (image(5, *FIVE), image(1, *OTHER, twin=0), image(3, *FIVE), image(0, *FIVE, twin=1))
    assert list(Targets("primary", "test", images).units([0, 1, 3, 5])) == [0, 0, 3, 5]


@pytest.mark.parametrize(
    ("counts", "ordinary", "forty"),
    [
        ((5, 5), [5, 5], False),
        ((5, 7), [5, 7], False),  # as COCO's test images: the protocol scores against all of an image's
        ((8, 39), [8, 39], False),
        ((40, 41), [5, 5], True),  # the scenes' 40 stand for the server's, whose c5 are the first five
        ((4, 6), [4, 6], False),  # as many as there are
        ((1, 1), [1, 1], False),
        ((0, 5), None, False),
    ],
)
def test_an_image_is_scored_against_all_its_ordinary_references(counts, ordinary, forty):
    texts = [tuple(f"text {number}" for number in range(count)) for count in counts]
    targets = Targets("primary", "test", tuple(image(at, *own) for at, own in enumerate(texts)))
    found, every = targets.references("c5"), targets.references("c40")
    assert (found and [len(own) for own in found.values()]) == ordinary
    assert (every and [len(own) for own in every.values()]) == ([40, 40] if forty else None)
    if found:
        assert all(list(own[: len(found[at])]) == found[at] for at, own in enumerate(texts))
