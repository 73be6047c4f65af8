"""Captions of a split: the same whatever the batches, from the sentences that were asked for."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from rdt.captioning import generate
from rdt.captioning.files import write_results
from rdt.captioning.generate import Sampling, decode, denoise_captions, sentence_ranks, teacher_captions
from rdt.data.coco import read_captions
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.features.inputs import caption_rows
from rdt.features.split import Split
from rdt.model.captioner import Captioner
from rdt.model.teacher import Teacher
from rdt.training.loop import fit
from tests.support import tiny
from tests.training import test_training as small
from tests.training.test_training import BITS, SIZES, D, E, L, V, captioner, method, split, token_rows

VOCABULARY = Vocabulary((".", *[f"w{n}" for n in range(V - 2)], "UNK"))


def bits_of(data, ranks=None, seed: int = 0, cascade=None, **changes) -> torch.Tensor:
    model = captioner(cascade=cascade is not None).eval()
    ranks = sentence_ranks(data, seed, None, 0) if ranks is None else ranks
    return denoise_captions(model, data, ranks, Sampling(method(**changes), 4, seed), cascade)


@pytest.mark.parametrize("cascaded", [False, True])
def test_captions_do_not_depend_on_the_batch(monkeypatch, cascaded):
    data = split(images=7)
    cascade = token_rows(np.random.default_rng(2), 7) if cascaded else None
    whole = bits_of(data, cascade=cascade)
    assert whole.shape == (7, L, BITS)
    for size in (1, 3):
        monkeypatch.setattr(generate, "IMAGES_PER_BATCH", size)
        assert torch.allclose(bits_of(data, cascade=cascade), whole, atol=1e-4)


@pytest.fixture(scope="module")
def copying(tmp_path_factory) -> tuple[Captioner, Split]:
    """A captioner that was trained to repeat the retrieved sentence, and its 300 images."""
    data = split(images=300, captions=1, retrieved=1)
    data.retrieved[:, 0] = [rows[0] for rows in data.captions]
    rate = lambda step: 0.005  # noqa: E731
    length = small.budget(epochs=12, images=300, images_per_step=10, learning_rate=rate, ema=0.9, evaluate_every=12)
    task = small.xe(data, captions_per_image=1)
    model, checkpoint = captioner(), tmp_path_factory.mktemp("copying") / "checkpoint.pt"
    fit(model, task, length, checkpoint, small.IDENTITY, lambda record, step: None)
    return model.eval(), data


def test_a_trained_network_says_the_same_in_batches_of_any_size(copying, monkeypatch):
    """Rounding depends on the size of a product, and no word of a network that knows what to say hangs on it."""
    model, data = copying
    said = []
    for size in (300, 256, 64, 7):
        monkeypatch.setattr(generate, "IMAGES_PER_BATCH", size)
        bits = denoise_captions(model, data, sentence_ranks(data, 0, None, 0), Sampling(method(), 4, 0))
        said.append(decode(model, bits, VOCABULARY, method())[0])
    retrieved = [VOCABULARY.decode(rows[0]) for rows in data.captions]
    assert np.mean([mine == right for mine, right in zip(said[0], retrieved, strict=True)]) > 0.5
    assert said[1:] == said[:1] * 3


def test_captions_do_not_depend_on_the_other_images():
    data = split(images=7)
    few = split(images=7)
    keep = np.array([5, 2])
    few = type(few)(
        image_ids=few.image_ids[keep],
        store=few.store,
        feature_rows=few.feature_rows[keep],
        captions=tuple(few.captions[at] for at in keep),
        retrieved=few.retrieved[keep],
    )
    assert torch.allclose(bits_of(few), bits_of(data)[keep], atol=1e-4)


def test_captions_follow_the_seed():
    data = split()
    assert torch.equal(bits_of(data, seed=1), bits_of(data, seed=1))
    assert not torch.allclose(bits_of(data, seed=1), bits_of(data, seed=2), atol=1e-2)


def test_an_ordinary_caption_takes_the_first_sentence():
    data = split()
    assert sentence_ranks(data, 0, None, 0).tolist() == [0] * 8
    other = split()
    other.retrieved[:, 1:] = 1  # what comes after the first sentence does not matter
    assert torch.equal(bits_of(data), bits_of(other))
    other.retrieved[:, 0] = 1
    assert not torch.allclose(bits_of(data), bits_of(other), atol=1e-3)


def test_draws_take_distinct_sentences():
    data = split(images=300)
    ranks = np.stack([sentence_ranks(data, 3, draw, 5) for draw in range(5)])
    assert ranks.min() == 0 and ranks.max() == 5
    assert all(len(set(column)) == 5 for column in ranks.T)
    assert np.array_equal(ranks[2], sentence_ranks(data, 3, 2, 5))
    assert len({tuple(column) for column in ranks.T}) > 100  # each image its own
    counts = np.bincount(ranks.ravel(), minlength=6)
    assert counts == pytest.approx(250, abs=4 * np.sqrt(300 * 5 / 6 * 1 / 6))


def test_codes_outside_the_vocabulary_are_counted():
    """21 words take 5 bits: the codes 21..31 are no words, and become the last one."""
    ids = torch.tensor([[3, 21, 0, 0], [31, 20, 5, 0]])
    shifts = torch.arange(4, -1, -1)
    bits = ((ids.unsqueeze(-1) >> shifts) & 1).float() * 2 - 1
    captions, outside = decode(captioner(), bits, VOCABULARY, method())
    assert captions == ["w2 UNK", "UNK UNK w4"] and outside == 2


def test_the_nearest_word_is_no_unknown_one():
    ids = torch.tensor([[29]])  # 11101, of words: 01101 is 13; 10100 is 20, 10101 would be 21
    bits = ((ids.unsqueeze(-1) >> torch.arange(4, -1, -1)) & 1).float() * 2 - 1
    bits[..., 0] *= 0.1
    captions, outside = decode(captioner(), bits, VOCABULARY, method(oov="nearest"))
    assert captions == [VOCABULARY.words[13]] and outside == 1


def test_teacher_captions_do_not_depend_on_the_batch(monkeypatch):
    torch.manual_seed(0)
    model, data = Teacher(SIZES, method(), V, D, E).eval(), split(images=7)
    whole = teacher_captions(model, data, 2)
    monkeypatch.setattr(generate, "IMAGES_PER_BATCH", 2)
    assert whole.shape == (7, L) and torch.equal(teacher_captions(model, data, 2), whole)


def test_results_are_coco_records(tmp_path):
    write_results(tmp_path / "c.json", [4, 9], ["w1 w2", "w1 never-seen"])
    records = json.loads((tmp_path / "c.json").read_text())
    assert records == [{"image_id": 4, "caption": "w1 w2"}, {"image_id": 9, "caption": "w1 never-seen"}]
    assert read_captions(tmp_path / "c.json") == {4: "w1 w2", 9: "w1 never-seen"}
    rows = caption_rows(tmp_path / "c.json", [9, 4], VOCABULARY, 4)
    assert rows.tolist() == [[2, V - 1, 0, 0], [2, 3, 0, 0]]
    with pytest.raises(UserError, match=r"c\.json: no caption of image 5"):
        caption_rows(tmp_path / "c.json", [4, 5], VOCABULARY, 4)


@pytest.mark.parametrize("content", ['{"image_id": 4}', "[1]", "7", '[{"image_id": 4}]', "[{"])
def test_a_wrong_caption_file_is_named(tmp_path, content):
    (tmp_path / "c.json").write_text(content)
    with pytest.raises(UserError, match=r"c\.json"):
        read_captions(tmp_path / "c.json")


# ---- the command


@pytest.fixture(scope="module")
def trained(prepared, tmp_path_factory) -> Path:
    """The tiny experiment with its RDT row trained in both stages and captioned."""
    folder = tiny.copied(prepared, tmp_path_factory.mktemp("trained"))
    _, planned, _ = tiny.opened(folder)
    teacher, run = tiny.run_id(planned, "teacher"), tiny.run_id(planned, "rdt")
    jobs = [("train", teacher, "xe"), ("train", teacher, "rl"), ("captions", teacher, "rl")]
    jobs += [("train", run, "xe"), ("train", run, "rl"), ("captions", run, "rl")]
    for command, name, stage in jobs:
        assert tiny.rdt(folder, command, f"{tiny.NAME}.yaml", "--run", name, "--stage", stage) == 0
    return folder


def captions_of(folder: Path) -> dict[str, str]:
    _, planned, paths = tiny.opened(folder)
    made = paths.captions(tiny.run_id(planned, "rdt"), "rl", "", "").parent
    return {path.name: path.read_text() for path in sorted(made.glob("primary-*.json"))}


def test_every_file_of_the_plan_is_written_and_again_the_same(trained, tmp_path):
    files = captions_of(trained)
    assert list(files) == [*(f"primary-test-draw{draw}.json" for draw in range(5)), "primary-test.json"]
    _, planned, paths = tiny.opened(trained)
    document = json.loads((paths.scenes("primary") / "dataset.json").read_text())
    images = [image["imgid"] for image in document["images"] if image["split"] == "test"]
    for content in files.values():
        assert [record["image_id"] for record in json.loads(content)] == images
    again = tiny.copied(trained, tmp_path / "again")
    run = tiny.run_id(planned, "rdt")
    assert tiny.rdt(again, "captions", f"{tiny.NAME}.yaml", "--run", run, "--stage", "rl") == 0
    assert captions_of(again) == files


def test_a_stage_that_nothing_captions_is_an_error(trained, capsys):
    _, planned, _ = tiny.opened(trained)
    run = tiny.run_id(planned, "rdt")
    assert tiny.rdt(trained, "captions", f"{tiny.NAME}.yaml", "--run", run, "--stage", "xe2") == 2
    assert f"rdt: error: --stage: no table needs captions of 'xe2' of run {run}; choose rl" in capsys.readouterr().err


def test_weights_of_another_vocabulary_are_refused(trained, tmp_path, capsys):
    folder = tiny.copied(trained, tmp_path / "other")
    _, planned, paths = tiny.opened(folder)
    words = Vocabulary.load(paths.vocabulary("primary")).words
    Vocabulary((words[0], words[2], words[1], *words[3:])).save(paths.vocabulary("primary"))
    before = captions_of(folder)
    run = tiny.run_id(planned, "rdt")
    assert tiny.rdt(folder, "captions", f"{tiny.NAME}.yaml", "--run", run, "--stage", "rl") == 2
    assert "config.json: weights of another vocabulary" in capsys.readouterr().err
    assert captions_of(folder) == before
