"""What is said of a data set's captions, against numbers by hand and against the training itself."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from rdt.data.dataset import Caption, Image, load_karpathy
from rdt.data.vocabulary import Vocabulary, build_vocabulary
from rdt.draws import epoch_order
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import Method
from rdt.metrics.ciderd import DocumentFrequency
from rdt.report.survey import (
    BUILDERS,
    Captions,
    counts,
    ngrams_by_order,
    pair_figures,
    qualities,
    renumbered,
    survey,
    training_batches,
)
from rdt.training.batches import image_draw
from tests.bench import coco
from tests.support import stub_coco, tiny
from tests.support.repository import REPOSITORY

COCO = REPOSITORY.parent / "shared" / "coco"
METHOD: Method = load_experiment("coco").method
TEXTS = ("a red dog", "a dog runs", "the dog")


def images(number: int = 40) -> list[Image]:
    """With three to six captions each."""
    return [
        Image(
            100 + at,
            "",
            "train",
            tuple(Caption(tuple(stub_coco.tokens(raw)), raw) for raw in stub_coco.sentences(at, 3 + at % 4)),
        )
        for at in range(number)
    ]


def captions(data: list[Image]) -> tuple[Captions, Vocabulary]:
    words = build_vocabulary((caption.tokens for image in data for caption in image.captions), 1)
    return Captions.of(data, words, METHOD.length), words


# ---- words


def test_counts_by_hand():
    data = [Image(1, "", "train", tuple(Caption(tuple(text.split()), text) for text in (*TEXTS, TEXTS[0])))]
    words = build_vocabulary((caption.tokens for image in data for caption in image.captions), 2)
    method = Method(**{**vars(METHOD), "length": 4, "min_count": 2})
    found = counts(data, Captions.of(data, words, 4), words, method)
    # a 3, red 2, dog 4, runs 1, the 1: `.`, a, red, dog and UNK
    assert found == {
        "images": 1,
        "captions": 4,
        "different captions": 3,
        "words": 11,
        "words in a caption": 2.75,
        "captions of more than 3 words": 0,
        "words that occur at least 1 times": 5,
        "words that occur at least 2 times": 3,
        "words that occur at least 3 times": 2,
        "vocabulary": 5,
        "bits": 3,
        "codes outside the vocabulary": 3,
        "unknown words": 2,
    }


def test_ngrams_by_order_by_hand():
    df = DocumentFrequency.from_references([[[1, 2, 0]], [[1, 2, 3, 0]]])
    # 1, 2, 3, 0; 12, 20, 23, 30; 120, 123, 230; 1230; in both images 1, 2, 0 and 12
    assert ngrams_by_order(df) == [(4, 3), (4, 1), (3, 0), (1, 0)]


# ---- q of the ranking loss


def test_batches_are_those_of_the_training():
    rows, _ = captions(data := images())
    found = training_batches(rows, METHOD, steps=5)
    assert found.captions.shape == found.t.shape == (2, 80)  # 40 images give two whole batches of 16
    order = epoch_order(0, 0, 40)
    for place in (0, 15, 16, 31):
        at = order[place]
        first = sum(len(image.captions) for image in data[:at])
        draw = image_draw(0, 0, 100 + at, 5, len(data[at].captions), METHOD.retrieved, METHOD.t_max, (20, 14))
        part = slice(5 * (place % 16), 5 * (place % 16) + 5)
        assert found.captions[place // 16, part].tolist() == (first + draw.captions).tolist()
        assert found.t[place // 16, part].tolist() == draw.t.tolist()


def test_qualities_by_hand():
    rows = np.array([[5, 2, 0, 0], [3, 3, 3, 0]], np.int32)
    # three bits: 5 = + - +, 2 = - + -, 3 = - + +, 0 = - - -
    found = qualities(rows, 3)
    assert found["masked"].tolist() == pytest.approx([(1 - 1 - 3) / 9, (1 + 1 + 1 - 3) / 12])
    assert found["included"].tolist() == pytest.approx([(1 - 1 - 3 - 3) / 12, (1 + 1 + 1 - 3) / 12])


def test_a_renumbering_keeps_the_end_and_the_unknown_word():
    ids = renumbered(10, 3)
    assert ids[0] == 0 and ids[9] == 9 and sorted(ids) == list(range(10)) and (ids != np.arange(10)).any()
    assert (renumbered(10, 4) != ids).any()


def test_pair_figures_by_hand():
    q_star = torch.tensor([0.0, 0.1, 0.3, 0.3])
    t = torch.tensor([0.1, 0.2, 0.3, 0.5])
    # in time: the diagonal, (1,2), (2,3); in quality: the diagonal, (1,2), (3,4); both: the diagonal, (1,2)
    found = pair_figures(q_star, -q_star, t, q_star, METHOD)
    assert (found["in_time"], found["in_quality"], found["in_both"], found["active"]) == (0.5, 0.5, 6 / 16, 2 / 16)
    assert found["same_order"] == 0  # of those that have one
    assert pair_figures(q_star, q_star, t, q_star, METHOD)["same_order"] == 1
    assert found["loss_constant"] == pytest.approx(5 * 2 * 0.1 / 16, rel=1e-5) and found["loss_nearly"] == 0
    assert found["loss_constant_active"] == pytest.approx(5 * 0.1, rel=1e-5)


def test_qualities_of_longer_captions_are_lower_with_the_padding():
    """The padding is all -1, and a random code has mean 0: of 20 positions, words + 0 against words - 20."""
    rng = np.random.default_rng(0)
    texts = [" ".join(f"w{n}" for n in rng.integers(0, 500, rng.integers(3, 19))) for _ in range(200)]
    data = [Image(at, "", "train", (Caption(tuple(text.split()), text),) * 5) for at, text in enumerate(texts)]
    rows, words = captions(data)
    found = survey("made", data, words, METHOD, steps=3, permutations=2)
    q = {(row.order, row.padding): row for row in found.q}
    assert list(q)[:2] == [(BUILDERS, "masked"), (BUILDERS, "included")] and len(q) == 6 and found.batches == 3
    assert all(q[order, "included"].length_correlation > 0.9 for order in (BUILDERS, "random 1", "random 2"))
    assert all(q[BUILDERS, padding].same_order == 1 for padding in ("masked", "included"))
    assert 0.3 < q["random 1", "masked"].same_order < 0.7  # without the length nothing is left but chance
    masked = qualities(rows.rows, words.num_bits)["masked"]
    assert q[BUILDERS, "masked"].mean == pytest.approx(masked.mean(), rel=1e-5)
    # P(|t - t'| <= delta) of two uniform draws, and 1 on the diagonal
    far = (1 - METHOD.delta_tim / METHOD.t_max) ** 2
    assert q[BUILDERS, "masked"].in_time == pytest.approx(1 - far * 79 / 80, abs=0.02)


# ---- the command


@pytest.fixture
def surveyed(tmp_path) -> Path:
    stub_coco.write_all(tmp_path / "data", features=False)
    stub_coco.experiment(tmp_path / "stub.yaml", "coco", override={"images_per_step": 4})
    return tmp_path


def test_the_command_writes_page_figures_and_manifest(surveyed):
    assert tiny.rdt(surveyed, "survey", "stub.yaml", "--data-root", str(surveyed / "data")) == 0
    folder = surveyed / "reports" / "stub" / "captions"
    assert {path.name for path in folder.iterdir()} == {"README.md", "figures.csv", "q.csv", "manifest.json"}
    figures = {row["figure"]: row["value"] for row in csv.DictReader((folder / "figures.csv").open())}
    assert (figures["images"], figures["captions"]) == ("32", "160")
    rows = list(csv.DictReader((folder / "q.csv").open()))
    assert len(rows) == 2 * 21 and all(math.isfinite(float(row["length_correlation"])) for row in rows)
    text = (folder / "README.md").read_text()
    assert f"| {float(rows[0]['length_correlation']):.3f} |" in text and "of 20 random numberings" in text
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["inputs"].keys() == {"annotations"} and manifest["peak_memory_mb"]["self"] > 0
    assert not (surveyed / "results").exists()


# ---- COCO itself


@pytest.mark.slow
@pytest.mark.skipif(not COCO.is_dir(), reason="no ids of COCO beside this checkout")
def test_cocos_vocabulary_has_14_bits(tmp_path):
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(coco.karpathy(COCO)))
    dataset = load_karpathy(path, tmp_path, "COCO", pixels=False)
    train = dataset.split("train")
    texts = [caption.tokens for image in train for caption in image.captions]
    assert (len(dataset.images), len(train), len(texts)) == (123_287, 113_287, 566_747)
    assert {image.split for image in train} == {"train", "restval"}
    vocabulary = build_vocabulary(texts, METHOD.min_count)
    assert vocabulary.num_bits == 14
    assert vocabulary.size == 10_088 + 2  # with the tokens made here; Karpathy's own may give some words more or less
