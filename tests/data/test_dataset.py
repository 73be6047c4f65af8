"""Annotations of the real formats, and every way in which they can be wrong."""

from __future__ import annotations

import copy
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from rdt.data.dataset import load_karpathy, load_nocaps, load_role
from rdt.data.photograph import open_image
from rdt.data.sentences import Caption, tokenize, tokenize_apart
from rdt.errors import UserError
from rdt.experiment.settings import Data


def entry(image_id: int, split: str, **more) -> dict:
    sentence = {"tokens": ["A", "red", "ball"], "raw": "A red ball."}
    return {"filename": f"{image_id}.jpg", "imgid": image_id, "split": split, "sentences": [sentence], **more}


KARPATHY = {"images": [entry(0, "train"), entry(1, "restval"), entry(2, "val"), entry(3, "test"), entry(4, "test")]}
NOCAPS = {
    "images": [
        {"id": 7, "file_name": "a.jpg", "open_images_id": "0013ea2087020901", "domain": "in-domain"},
        {"id": 9, "file_name": "b.jpg", "domain": "out-domain"},
    ],
    "annotations": [
        {"id": 0, "image_id": 9, "caption": "A bell, on the (wet) sand."},
        {"id": 1, "image_id": 7, "caption": "Two boats."},
        {"id": 2, "image_id": 9, "caption": "It's a bell!"},
    ],
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    return tmp_path


def write(folder: Path, document: object) -> tuple[Path, Path, str]:
    path = folder / "dataset.json"
    path.write_text(json.dumps(document))
    return path, folder / "images", "tiny"


def test_karpathy(folder: Path) -> None:
    document = copy.deepcopy(KARPATHY)
    document["images"][0] |= {"cocoid": 522418, "filepath": "val2014"}
    document["images"][3]["twin"], document["images"][4]["twin"] = 4, 3
    dataset = load_karpathy(*write(folder, document))
    assert [image.id for image in dataset.images] == [522418, 1, 2, 3, 4]
    assert dataset.images[0].path == "val2014/0.jpg" and dataset.images[1].path == "1.jpg"
    assert dataset.file(dataset.images[0]) == folder / "images" / "val2014" / "0.jpg"
    assert [image.id for image in dataset.split("train")] == [522418, 1]
    assert [image.id for image in dataset.split("val")] == [2]
    assert [image.id for image in dataset.split("test")] == [3, 4]
    assert dataset.by_id[3].twin == 4 and dataset.by_id[2].twin is None
    assert dataset.by_id[1].captions == (Caption(("a", "red", "ball"), "A red ball."),)


def test_nocaps(folder: Path) -> None:
    dataset = load_nocaps(*write(folder, NOCAPS))
    assert [(image.id, image.path, image.split, image.domain) for image in dataset.images] == [
        (7, "a.jpg", "test", "in-domain"),
        (9, "b.jpg", "test", "out-domain"),
    ]
    assert [caption.tokens for caption in dataset.by_id[9].captions] == [
        ("a", "bell", "on", "the", "wet", "sand"),
        ("its", "a", "bell"),
    ]
    assert dataset.split("train") == ()


def test_tokenize() -> None:
    assert tokenize("A t-shirt's “big” dog -- 2 of them.") == ("a", "tshirts", "big", "dog", "2", "of", "them")


# ---- what is left out or converted


def sentences_of(image_id: int, *sentences: object) -> dict:
    return entry(image_id, "test") | {"sentences": list(sentences)}


def test_images_without_captions_and_sentences_without_words_are_left_out_and_counted(folder: Path) -> None:
    more = [
        sentences_of(5),
        entry(6, "test") | {"sentences": None},
        sentences_of(7, {"tokens": [], "raw": ""}, {"tokens": ["."], "raw": "."}),
        sentences_of(8, {"tokens": [], "raw": "..."}, {"tokens": ["A", "", "dog"], "raw": "A dog."}, {"raw": "\u2026"}),
    ]
    path, images, name = write(folder, {"images": [*KARPATHY["images"], *more]})
    dataset = load_karpathy(path, images, name)
    assert [image.id for image in dataset.images] == [0, 1, 2, 3, 4, 8]
    assert dataset.by_id[8].captions == (Caption(("a", "dog"), "A dog."),) and dataset.by_id[8].left_out == (0, 2)
    assert dataset.notes == (
        f"{path}: 4 sentences without words left out",
        f"{path}: 3 images without captions left out",
    )


def test_sentences_without_tokens_have_the_words_of_cocos_splits(folder: Path) -> None:
    texts = ["It's a T-shirt, on sand!", {"raw": "Two boats.", "tokens": []}]
    path, images, name = write(folder, {"images": [*KARPATHY["images"], sentences_of(5, *texts)]})
    dataset = load_karpathy(path, images, name)
    assert dataset.by_id[5].captions == (
        Caption(("its", "a", "tshirt", "on", "sand"), "It's a T-shirt, on sand!"),
        Caption(("two", "boats"), "Two boats."),
    )
    assert dataset.notes == (f"{path}: 2 sentences without tokens, whose words are taken as COCO's splits have them",)


def test_nocaps_without_some_captions(folder: Path) -> None:
    document = nocaps(annotations=[*NOCAPS["annotations"][:1], {"image_id": 7, "caption": "..."}])
    path, images, name = write(folder, document)
    dataset = load_nocaps(path, images, name)
    assert [image.id for image in dataset.images] == [9]
    assert dataset.notes == (
        f"{path}: 1 sentence without words left out",
        f"{path}: 1 image without captions left out",
    )


def test_several_files_are_one_data_set(folder: Path) -> None:
    parts = [{"images": KARPATHY["images"][:2]}, {"images": KARPATHY["images"][2:] + [sentences_of(9)]}]
    for name, part in zip(("a.json", "b.json"), parts, strict=True):
        (folder / name).write_text(json.dumps(part))
    data = Data(source="karpathy", annotations=("a.json", "b.json"), images="images")
    dataset = load_role("primary", data, folder, folder)
    assert [image.id for image in dataset.images] == [0, 1, 2, 3, 4]
    assert dataset.notes == (f"{folder}/b.json: 1 image without captions left out",)
    with pytest.raises(UserError, match="image id 0 occurs more than once"):
        load_role("primary", replace(data, annotations=("a.json", "b.json", "a.json")), folder, folder)


@pytest.mark.parametrize(
    ("sentence", "words"),
    [
        ("Ein Mädchen fährt über die Straße.", ("ein", "mädchen", "fährt", "über", "die", "straße")),
        ("Ein Ma\u0308dchen", ("ein", "mädchen")),  # a decomposed letter
        ("一只狗，在雪地里跑。", tuple("一只狗在雪地里跑")),
        ("2匹の犬がボールで遊ぶ", tuple("2匹の犬がボールで遊ぶ")),
        ("رجلٌ يركب درّاجةً.", ("رجلٌ", "يركب", "درّاجةً")),
        ("हिंदी में", ("हिंदी", "में")),
        ("iPhone手机", ("iphone", "手", "机")),
    ],
)
def test_words_of_other_scripts(sentence: str, words: tuple[str, ...]) -> None:
    assert tokenize(sentence) == words


def test_words_that_punctuation_divides() -> None:
    assert tokenize_apart("L'homme, un garde-côte et Hund,Katze_Maus.") == (
        *("l", "homme", "un", "garde", "côte", "et", "hund", "katze", "maus"),
    )
    assert tokenize_apart("A dog's-bed.") == ("a", "dog", "s", "bed")


def broken(change) -> dict:
    document = copy.deepcopy(KARPATHY)
    change(document["images"])
    return document


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"annotations": []}, "no list 'images'"),
        ([], "no list 'images'"),
        (broken(lambda images: images[2].update(sentences=[])), "split 'val' has no images"),
        (broken(lambda images: [image.pop("sentences") for image in images]), "has no captions"),
        (broken(lambda images: images[2].update(sentences="A ball.")), "image 2 has no 'sentences' of type list"),
        (broken(lambda images: images[1].update(imgid=0)), "image id 0 occurs more than once"),
        (broken(lambda images: images.pop(2)), "split 'val' has no images"),
        (broken(lambda images: [images.pop(0), images.pop(0)]), "split 'train' has no images"),
        (broken(lambda images: [images.pop(), images.pop()]), "split 'test' has no images"),
        (broken(lambda images: images[2].update(split="dev")), "image 2 has split 'dev'"),
        (broken(lambda images: images[3].update(sentences=[{}])), "image 3 has a sentence with neither 'tokens' nor"),
        (broken(lambda images: images[3].update(sentences=[7])), "image 3 has a sentence with neither 'tokens' nor"),
        (broken(lambda images: images[3].update(sentences=[{"tokens": [7]}])), "whose 'tokens' are no list of words"),
        (broken(lambda images: images[3].pop("filename")), "image 3 has no 'filename'"),
        (broken(lambda images: images[3].pop("imgid")), "images[3] has no 'imgid'"),
        (broken(lambda images: images[3].update(twin=4)), "image 3 names twin 4"),
        (broken(lambda images: images[3].update(twin=99)), "image 3 names twin 99"),
    ],
)
def test_karpathy_errors(folder: Path, document: object, message: str) -> None:
    path, images, name = write(folder, document)
    with pytest.raises(UserError) as error:
        load_karpathy(path, images, name)
    assert message in str(error.value) and str(path) in str(error.value)
    assert "\n" not in str(error.value) and error.value.remedy


def nocaps(**changes) -> dict:
    return {**copy.deepcopy(NOCAPS), **changes}


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ({"images": []}, "no list 'annotations'"),
        ({"images": [], "annotations": []}, "split 'test' has no images"),
        (nocaps(annotations=[]), "has no captions"),
        (nocaps(images=NOCAPS["images"][:1]), "captions for image 9"),
        (nocaps(images=[*NOCAPS["images"], NOCAPS["images"][0]]), "image id 7 occurs more than once"),
        (nocaps(images=[{**NOCAPS["images"][0], "domain": "far"}]), "image 7 has domain 'far'"),
        (nocaps(annotations=[{"image_id": 7, "caption": "..."}]), "has no captions"),
        (nocaps(annotations=[{"image_id": 7}]), "annotation 0 has no 'caption'"),
    ],
)
def test_nocaps_errors(folder: Path, document: object, message: str) -> None:
    path, images, name = write(folder, document)
    with pytest.raises(UserError) as error:
        load_nocaps(path, images, name)
    assert message in str(error.value) and str(path) in str(error.value)


@pytest.mark.parametrize("load", [load_karpathy, load_nocaps])
def test_unreadable_annotations(folder: Path, load) -> None:
    path, images, name = write(folder, KARPATHY)
    path.write_text(path.read_text()[:100])
    with pytest.raises(UserError, match="dataset.json"):
        load(path, images, name)
    with pytest.raises(UserError, match=r"absent\.json"):
        load(folder / "absent.json", images, name)
    with pytest.raises(UserError, match="expected a JSON file"):
        load(folder, images, name)


@pytest.mark.parametrize(("load", "document"), [(load_karpathy, KARPATHY), (load_nocaps, NOCAPS)])
def test_missing_image_folder(folder: Path, load, document: dict) -> None:
    path, _, name = write(folder, document)
    with pytest.raises(UserError, match="nowhere: no such image folder"):
        load(path, folder / "nowhere", name)


def test_load_role(folder: Path) -> None:
    write(folder, KARPATHY)
    scenes = load_role("secondary", Data("scenes"), folder, Path("unused"))
    assert scenes.name == "scenes-secondary" and scenes.image_root == folder / "images" and len(scenes.images) == 5
    real = Data("karpathy", title="COCO", annotations="dataset.json", images="images")
    assert load_role("primary", real, Path("unused"), folder).name == "COCO"
    write(folder, NOCAPS)
    assert load_role("novel", Data("scenes"), folder, Path("unused")).images[0].domain == "in-domain"
    real = Data("nocaps", annotations="dataset.json", images="images")
    assert load_role("novel", real, Path("unused"), folder).by_id[9].path == "b.jpg"


def test_published_features_need_no_images(folder: Path) -> None:
    write(folder, KARPATHY)
    data = Data("karpathy", annotations="dataset.json", images="absent", features="features")
    assert len(load_role("primary", data, Path("unused"), folder).images) == 5


def test_images(folder: Path) -> None:
    path, images, name = write(folder, KARPATHY)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 40, 3), dtype=np.uint8)
    for image_id in range(5):
        Picture.fromarray(pixels).save(images / f"{image_id}.jpg")
    Picture.fromarray(pixels[..., 0]).save(images / "0.jpg")
    dataset = load_karpathy(path, images, name)
    assert {open_image(dataset.file(image)).mode for image in dataset.images} == {"RGB"}

    whole = (images / "3.jpg").read_bytes()
    (images / "3.jpg").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(UserError, match=r"3\.jpg: truncated or not an image"):
        open_image(images / "3.jpg")
    (images / "3.jpg").write_bytes(b"no image at all")
    with pytest.raises(UserError, match=r"3\.jpg: truncated or not an image"):
        open_image(images / "3.jpg")
    (images / "3.jpg").unlink()
    with pytest.raises(UserError, match=r"3\.jpg: no such image file"):
        open_image(images / "3.jpg")
