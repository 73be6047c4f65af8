"""Image ids as the data say, and captions that are matched by another name."""

from __future__ import annotations

import json

import pytest

from rdt.data.coco import references_by_image
from rdt.data.dataset import Dataset, load_karpathy, load_nocaps
from rdt.data.identity import file_stem
from rdt.data.matching import matched
from rdt.errors import UserError
from rdt.features.extraction import ClipModel

HASHES = ["9f86d081884c7d65", "60303ae22b998861", "fd61a03af4f77d87"]


def karpathy(ids: list, **more: object) -> dict:
    sentence = {"tokens": ["a", "dog"], "raw": "A dog."}
    entries = zip(ids, ("train", "val", "test"), strict=True)
    return {
        "images": [
            {"filename": f"photo_{n}.jpg", "imgid": image, "split": split, "sentences": [sentence], **more}
            for n, (image, split) in enumerate(entries)
        ]
    }


def loaded(tmp_path, document: dict, load=load_karpathy) -> Dataset:
    (tmp_path / "images").mkdir(exist_ok=True)
    (tmp_path / "a.json").write_text(json.dumps(document))
    return load(tmp_path / "a.json", tmp_path / "images", "own")


@pytest.mark.parametrize(
    ("ids", "numbers"),
    [
        ([7, 0, -3], [7, 0, -3]),
        ([2**63 - 1, 1, 0], [2**63 - 1, 1, 0]),
        ([2**63, 1, 0], [0, 1, 2]),
        (HASHES, [0, 1, 2]),
        (["train/1.jpg", 5, "été"], [0, 1, 2]),
    ],
)
def test_images_go_by_their_ids_and_inside_by_numbers(tmp_path, ids, numbers):
    """Numbers are the ids where all of them fit in int64, otherwise places in the file."""
    dataset = loaded(tmp_path, karpathy(ids))
    assert [image.id for image in dataset.images] == ids
    assert [image.number for image in dataset.images] == numbers
    assert dataset.by_id[ids[2]] is dataset.images[2]


def test_twins_name_each_other_by_their_ids(tmp_path):
    document = karpathy(HASHES)
    document["images"].append({**document["images"][2], "imgid": "other", "twin": HASHES[2]})
    document["images"][2]["twin"] = "other"
    assert [image.twin for image in loaded(tmp_path, document).images] == [None, None, "other", HASHES[2]]


def test_ids_of_open_images(tmp_path):
    images = [{"id": name, "file_name": f"{name}.jpg", "domain": "in-domain"} for name in HASHES]
    captions = [{"image_id": name, "caption": "a dog"} for name in reversed(HASHES)]
    dataset = loaded(tmp_path, {"images": images, "annotations": captions}, load_nocaps)
    assert [(image.id, image.number) for image in dataset.images] == [(name, n) for n, name in enumerate(HASHES)]


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a"], "image id a occurs more than once"),
        ([1, 2, "1"], "image id 1 occurs more than once"),  # tables of scores know ids as texts
        (["a", 1.5, "c"], "the 'imgid' of images[1] is the number 1.5, neither a whole number nor a text"),
        (["a", "b", "c" * 1001], "the 'imgid' of images[2] has 1,001 characters"),
    ],
)
def test_an_id_that_cannot_be_one(tmp_path, ids, message):
    with pytest.raises(UserError) as caught:
        loaded(tmp_path, karpathy(ids))
    assert message in str(caught.value)


def test_a_file_of_an_image_lies_in_its_folder_whatever_the_id(tmp_path):
    ids = ["../../x", "val/1.jpg", "1.jpg"]
    model = ClipModel(None, None, tmp_path, {})
    files = [model.file(image) for image in loaded(tmp_path, karpathy(ids)).images]
    assert [file.parent for file in files] == [tmp_path] * 3
    assert [file.name for file in files] == [f"{file_stem(image)}.npz" for image in ids]
    assert files[2].name == "1.jpg.npz" and len(set(files)) == 3


# ---- captions by another name

COCO = {
    "images": [{"id": 11, "file_name": "a.jpg", "open_images_id": "x1"}, {"id": 12, "file_name": "b.jpg"}],
    "annotations": [{"image_id": 11, "caption": "a dog"}, {"image_id": 12, "caption": "a cat"}],
}
FOLDERS = karpathy([3, 4, 5], filepath="val2014")


@pytest.mark.parametrize(
    ("document", "split", "captions", "expected", "key"),
    [
        (COCO, None, {"b.jpg": "two", "a.jpg": "one"}, {11: "one", 12: "two"}, "file_name"),
        (COCO, None, {"x1": "one"}, {11: "one"}, "open_images_id"),
        (COCO, None, {12: "two"}, {12: "two"}, ""),
        (FOLDERS, "test", {"photo_2.jpg": "one"}, {5: "one"}, "filename"),
        (FOLDERS, "test", {"val2014/photo_2.jpg": "one"}, {5: "one"}, "filepath/filename"),
    ],
)
def test_captions_by_another_name(document, split, captions, expected, key):
    found = matched(captions, references_by_image(document, "a.json", split), "r.json")
    assert list(found.captions.items()) == list(expected.items())
    first = next(iter(captions))
    said = f"r.json: captions are matched with references by {key}, such as {first}"
    assert found.notes == ((said,) if key else ())


def test_an_id_goes_before_another_name():
    images = [{"id": "a.jpg", "file_name": "b.jpg"}, {"id": "b.jpg", "file_name": "a.jpg"}]
    captions = [{"image_id": image["id"], "caption": image["id"]} for image in images]
    references = references_by_image({"images": images, "annotations": captions}, "a.json")
    assert matched({"a.jpg": "one"}, references, "r.json") == ({"a.jpg": "one"}, ())


TWICE = {
    "images": [{"id": n, "file_name": "same.jpg"} for n in (1, 2)],
    "annotations": [{"image_id": n, "caption": "a dog"} for n in (1, 2)],
}


@pytest.mark.parametrize(
    ("document", "captions", "message"),
    [
        (
            COCO,
            {"a": "one"},
            "image a is a text, and the references go by a number each, such as 11, or by file_name, such as a.jpg, "
            "or by open_images_id, such as x1",
        ),
        (COCO, {"a.jpg": "one", "c.jpg": "two"}, "image c.jpg has no reference caption; others are matched by file_n"),
        (COCO, {"a.jpg": "one", 12: "two"}, "image 12 is an id of the references, and image a.jpg a file_name"),
        (COCO, {"11": "one"}, "image 11 is a text here and a number in the references"),
        (COCO, {13: "one"}, "image 13 has no reference caption; the references go by ids, such as 11, or by file_name"),
        (TWICE, {"same.jpg": "one"}, "image same.jpg is the file_name of several images of the references"),
    ],
)
def test_captions_that_cannot_be_matched(document, captions, message):
    with pytest.raises(UserError) as caught:
        matched(captions, references_by_image(document, "a.json"), "r.json")
    assert str(caught.value).startswith(f"r.json: {message}")


COCO = {
    "images": [{"id": n, "file_name": f"{n}.jpg"} for n in (1, 2, 3)],
    "annotations": [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 3, "caption": "a cat", "is_rejected": True},
    ],
}
OF_SPLIT = {
    "images": [
        {"imgid": n, "filename": f"{n}.jpg", "split": "test", "sentences": ["a dog"] * (n == 1)} for n in (1, 2, 3)
    ]
}


@pytest.mark.parametrize("document", [COCO, OF_SPLIT])
@pytest.mark.parametrize("by_name", [False, True])
def test_captions_of_images_that_are_listed_without_one_are_left_out_and_counted(document, by_name):
    references = references_by_image(document, "A.json")
    captions = {(f"{n}.jpg" if by_name else n): f"caption {n}" for n in (2, 1, 3)}
    found = matched(captions, references, "R.json")
    assert found.captions == {1: "caption 1"}
    told = "R.json: 2 captions left out, of images that the references list without one, such as 2"
    assert found.notes[-1] == told and len(found.notes) == 1 + by_name
    with pytest.raises(UserError, match="has captions only of images that the references list without one"):
        matched({2: "a dog"}, references, "R.json")
    with pytest.raises(UserError, match="image 9 has no reference caption"):
        matched({9: "a dog"}, references, "R.json")
