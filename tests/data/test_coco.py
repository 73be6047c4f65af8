"""Caption files: the formats that are read, and the one sentence about those that are not."""

from __future__ import annotations

import pytest

from rdt.data.coco import References, read_document, references_by_image, results_by_image
from rdt.data.matching import matched
from rdt.errors import UserError

COCO = {
    "images": [{"id": 3}, {"id": 1}, {"id": 2}],
    "annotations": [
        {"image_id": 1, "caption": "a dog"},
        {"image_id": 3, "caption": "a cow"},
        {"image_id": 1, "caption": "one dog"},
    ],
}
KARPATHY = {
    "images": [
        {"cocoid": 11, "imgid": 0, "split": "test", "sentences": [{"raw": "A dog.", "tokens": ["a", "dog"]}]},
        {"imgid": 1, "split": "restval", "sentences": [{"tokens": ["a", "cat"]}]},
        {"imgid": 2, "split": "train", "sentences": [{"raw": "a cow"}]},
        {"imgid": 3, "split": "test", "sentences": []},
    ]
}


def test_results():
    results = [{"image_id": 2, "caption": "b", "score": 1}, {"image_id": "x", "caption": ""}]
    assert results_by_image(results, "r.json") == {2: "b", "x": ""}


def test_annotations_in_the_order_of_the_images():
    found = references_by_image(COCO, "a.json")
    assert list(found.captions.items()) == [(3, ["a cow"]), (1, ["a dog", "one dog"])]
    assert found.domains == {}


def test_annotations_without_a_list_of_images_are_in_their_own_order():
    found = references_by_image({"annotations": COCO["annotations"]}, "a.json")
    assert list(found.captions) == [1, 3]


def test_nocaps_has_domains():
    images = [{"id": 5, "domain": "near-domain"}, {"id": 4, "domain": "in-domain"}]
    captions = [{"image_id": i, "caption": "a"} for i in (4, 5)]
    found = references_by_image({"images": images, "annotations": captions}, "n.json")
    assert (list(found.captions), found.domains) == ([5, 4], {5: "near-domain", 4: "in-domain"})


def test_karpathy_splits():
    assert references_by_image(KARPATHY, "k.json", "test").captions == {11: ["A dog."]}
    assert references_by_image(KARPATHY, "k.json", "train").captions == {1: ["a cat"], 2: ["a cow"]}
    only = {"images": KARPATHY["images"][:1]}
    assert references_by_image(only, "k.json").captions == {11: ["A dog."]}


@pytest.mark.parametrize(
    ("results", "message"),
    [
        ([{"image_id": 1, "caption": "a"}, {"image_id": 1, "caption": "b"}], "image 1 has two captions .*entry 1"),
        ([{"image_id": 1}], "entry 0, of image 1, has no 'caption'"),
        ([{"caption": "a"}], "entry 0 has no 'image_id'"),
        (
            [{"image_id": 1, "caption": "a"}, {"image_id": 2, "caption": None}],
            r"the caption of image 2 \(entry 1\) is null",
        ),
        ([{"image_id": 1, "caption": 5}], r"the caption of image 1 \(entry 0\) is the number 5, not a text"),
        ([{"image_id": 1, "caption": ["a"]}], "of image 1 .* is a list"),
        ([{"image_id": 1.5, "caption": "a"}], "the 'image_id' of entry 0 is the number 1.5"),
        ([{"image_id": True, "caption": "a"}], "the 'image_id' of entry 0 is true or false"),
        ([{"image_id": [1], "caption": "a"}], "the 'image_id' of entry 0 is a list"),
        (["a dog"], "entry 0 is a text, not an object"),
        ([], "holds no captions"),
        ({"1": "a"}, "holds an object, not a list"),
    ],
)
def test_results_in_another_form(results, message):
    with pytest.raises(UserError, match=f"^r.json: .*{message}"):
        results_by_image(results, "r.json")


@pytest.mark.parametrize(
    ("document", "split", "message"),
    [
        ([], None, "neither a list 'annotations' nor a list 'images' with 'sentences'"),
        ({"images": []}, None, "neither a list 'annotations'"),
        ({"annotations": []}, None, "has no reference captions"),
        (
            {"annotations": [{"image_id": 1, "caption": 2}]},
            None,
            "of image 1 .annotation 0. is the number 2",
        ),
        ({"annotations": [{"image_id": 1}]}, None, "annotation 0, of image 1, has no 'caption'"),
        (COCO, "test", "which has no splits; leave --split out"),
        (KARPATHY, None, "has the splits test, train; name one of them with --split"),
        (KARPATHY, "val", "has no split 'val'; choose among test, train"),
        ({"images": [{"split": "test", "sentences": [{"raw": "a"}]}]}, None, r"images\[0\] has no 'imgid'"),
        ({"images": [KARPATHY["images"][0]] * 2}, None, "image 11 is there twice"),
        ({"images": [{"imgid": 7, "sentences": [{"sentid": 1}]}]}, None, "image 7 has a sentence with neither"),
        ({"images": [{"imgid": 7, "sentences": []}]}, None, "has no reference captions"),
    ],
)
def test_references_in_another_form(document, split, message):
    with pytest.raises(UserError, match=f"^a.json: .*{message}"):
        references_by_image(document, "a.json", split)


def test_captions_are_matched_to_references():
    references = References({3: ["x"], 2: ["y"], 1: ["z"]})
    assert list(matched({1: "b", 3: "a"}, references, "r.json").captions.items()) == [(3, "a"), (1, "b")]
    with pytest.raises(UserError, match="r.json: image 9 has no reference caption"):
        matched({9: "a"}, references, "r.json")
    with pytest.raises(UserError, match="image 1 is a text here and a number in the references"):
        matched({"1": "a"}, references, "r.json")


def test_a_file_that_is_cut_off_and_a_folder(tmp_path):
    file = tmp_path / "r.json"
    file.write_text('[{"image_id": 1, "caption": "a d')
    with pytest.raises(UserError, match=r"r.json: .* at line 1, column 29"):
        read_document(file)
    with pytest.raises(UserError, match="is a folder"):
        read_document(tmp_path)
    with pytest.raises(UserError, match="does not exist"):
        read_document(tmp_path / "none.json")
