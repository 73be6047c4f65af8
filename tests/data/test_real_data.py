"""The experiments on real data: the paper's recipe, the formats of the public files, and what can be wrong with them.

A stub stands in for the files: a few dozen images in exactly their formats (``stub_coco``).
"""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rdt import cli
from rdt.data.dataset import Dataset, load_karpathy, load_nocaps, load_role
from rdt.data.photograph import open_image
from rdt.data.public import PUBLIC
from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.settings import Method
from rdt.features.imported import IMAGES_TO_JUDGE, Published, check_same_images, import_published
from rdt.features.inventory import inventory, size
from rdt.features.store import FeatureStore
from rdt.training.schedule import noam
from tests.support import stub_coco, tiny
from tests.support.repository import REPOSITORY, copy_repository

SHARED = REPOSITORY.parent / "shared"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data_root for coco.yaml and flickr30k.yaml; copy what is to be changed."""
    folder = tmp_path_factory.mktemp("stub") / "data"
    stub_coco.write_all(folder)
    return folder


# ---- the recipe


def test_coco_is_the_papers_recipe():
    coco = load_experiment("coco")
    assert coco.method == load_experiment("scenes", overrides=["override={}"]).method  # the preset, untouched
    assert (coco.method.steps, coco.method.length, coco.method.images_per_step, coco.method.rl_lr) == (50, 20, 16, 1e-5)
    assert coco.method.cls  # 49 cells and the global vector: 50 tokens
    model, training = coco.model, coco.training
    assert (model.dim, model.heads, model.ffn) == (512, 8, 2048)
    assert (model.visual_layers, model.semantic_layers, model.sentence_layers) == (3, 3, 3)
    assert (training.xe_epochs, training.grid_xe_epochs, training.rl_epochs) == (60, 60, 60)
    assert (training.cascades, training.ablation_cascades, training.ema) == (2, 2, 0.9999)
    peak = max(noam(step, model.dim, training.warmup_steps, training.lr) for step in (19_999, 20_000, 20_001))
    assert training.schedule == "noam" and peak == pytest.approx(3.125e-4)
    assert (10_000 - 1).bit_length() == 14
    assert {role: coco.data[role].source for role in coco.data} == {
        "primary": "karpathy",
        "secondary": "karpathy",
        "novel": "nocaps",
    }
    assert {Path(entry.annotations).name for entry in coco.data.values()} <= set(PUBLIC)


def test_flickr30k_differs_in_its_data_alone():
    coco, flickr = load_experiment("coco"), load_experiment("flickr30k")
    assert flickr.data == {"primary": replace(coco.data["secondary"], as_in_paper=False)}  # it stands in COCO's place
    for part in ("method", "model", "training", "seeds", "tables", "data_root", "encoder"):
        assert getattr(flickr, part) == getattr(coco, part)


@pytest.mark.parametrize("name", ["coco", "flickr30k"])
def test_the_head_names_every_file(name):
    experiment = load_experiment(name)
    head = Path(experiment.path).read_text().partition("\nname:")[0]
    for entry in experiment.data.values():
        assert entry.annotations in head and entry.images in head
        for folder in (entry.features, entry.retrieval_features, entry.caption_features):
            assert Path(folder).name in head
    assert f"rdt doctor --experiment {name}" in head and "data_root=DIR" in head


# ---- the formats


def test_cocos_annotations(data):
    dataset = load_karpathy(data / "dataset_coco.json", data / "coco", "COCO", pixels=False)
    train = dataset.split("train")
    assert len(train) == 32 and {image.split for image in train} == {"train", "restval"}
    assert (len(dataset.split("val")), len(dataset.split("test"))) == (6, 8)
    assert dataset.images[0].id == 9 and dataset.images[0].path == "train2014/COCO_train2014_000000000009.jpg"
    assert dataset.images[25].path.startswith("val2014/COCO_val2014_0000")
    assert all(len(image.captions) == 5 for image in dataset.images)


def test_flickr30ks_annotations_have_neither_cocoid_nor_filepath(data):
    document = json.loads((data / "dataset_flickr30k.json").read_text())
    assert not any({"cocoid", "filepath"} & entry.keys() for entry in document["images"])
    dataset = load_karpathy(data / "dataset_flickr30k.json", data / "flickr30k", "Flickr30k", pixels=False)
    assert [image.id for image in dataset.images[:3]] == [0, 1, 2] and dataset.images[0].path == "1000092795.jpg"
    assert {image.split for image in dataset.images} == {"train", "val", "test"}


def test_nocaps_own_json(data):
    dataset = load_nocaps(data / "nocaps_val_4500_captions.json", data / "nocaps", "nocaps", pixels=False)
    assert [image.id for image in dataset.images] == list(range(9))
    assert [image.domain for image in dataset.images[:3]] == ["in-domain", "near-domain", "out-domain"]
    assert all(len(image.captions) == 10 for image in dataset.images)


def role(data_root: Path, name: str) -> tuple[Dataset, Published]:
    experiment = load_experiment("coco", data_root)
    return load_role(name, experiment.data[name], Path(), data_root), Published.of(experiment.data[name], data_root)


@pytest.mark.parametrize("name", ["primary", "secondary", "novel"])
def test_the_published_features_of_every_role(data, tmp_path, name):
    """COCO's are named by COCO's ids, Flickr30k's by the photographs' numbers, nocaps' by its ids."""
    dataset, published = role(data, name)
    import_published(dataset, tmp_path, published)
    store = FeatureStore.open(tmp_path)
    assert store.grid.shape == (len(dataset.images), 49, 2048) and store.grid.dtype == np.float16
    image = dataset.images[4]
    number = Path(image.path).stem if name == "secondary" else image.id
    with np.load(published.images / f"{number}.npz") as grid, np.load(published.retrieval / f"{number}.npz") as vit:
        assert np.array_equal(store.grid[4], grid["features"].astype(np.float16))
        assert np.array_equal(store.global_[4], grid["g_feature"][0])  # the token of the encoder
        assert np.array_equal(store.query[4], vit["g_feature"][0])  # what sentences are retrieved by
    with np.load(published.captions / f"{number}.npz") as captions:
        assert np.array_equal(store.captions_of(image.id), captions["g_feature"])


def test_a_store_without_vectors_of_its_own_for_retrieval_uses_the_global_ones(data, tmp_path):
    dataset, published = role(data, "novel")
    import_published(dataset, tmp_path, Published(published.images, published.captions))
    store = FeatureStore.open(tmp_path)
    assert store.query is store.global_ and not (tmp_path / "query.npy").exists()


def test_images_that_their_extraction_has_left_out_are_not_in_the_data_set(data, tmp_path):
    root = copied(data, tmp_path)
    before, _ = role(root, "primary")
    skipped = root / "clip/coco/RN101_448/skipped.json"
    skipped.write_text(json.dumps({"images": [{"id": before.images[1].id}, {"id": before.images[40].id}]}))
    after, published = role(root, "primary")
    assert [image.id for image in after.images] == [
        image.id for at, image in enumerate(before.images) if at not in (1, 40)
    ]
    skipped.write_text(json.dumps({"images": [{"file": "a.jpg"}]}))
    with pytest.raises(UserError, match=r"skipped\.json: images\[0\] has no 'id'"):
        role(root, "primary")


# ---- what is there, and what it costs


def test_without_data_every_file_is_listed_with_its_size_and_what_brings_it(tmp_path):
    items = {(item.role, item.key): item for item in inventory(load_experiment("coco", tmp_path), ["coco"])}
    assert len(items) == 3 * 5 and not any(item.in_place for item in items.values())
    found = items["primary", "annotations"]
    assert found.path == tmp_path / "dataset_coco.json" and "missing, 144 MB" in found.found
    assert "caption_datasets.zip" in found.fetch and f"-d {tmp_path} " in found.fetch
    # (49 x 2048 + 512) numbers of 4 bytes for each of 123,287 images
    assert items["primary", "features"].found == "0 of 123,287 .npz, 50 GB as published"
    assert items["primary", "caption_features"].found == "0 of 123,287 .npz, 1.3 GB as published"
    assert items["secondary", "retrieval_features"].found == "0 of 31,014 .npz, 64 MB as published"
    assert items["novel", "features"].found == "0 of 4,500 .npz, 1.8 GB as published"
    assert items["secondary", "features"].fetch.startswith("rdt extract coco --role secondary ")
    assert "train2014" in items["primary", "images"].fetch and items["primary", "images"].needed


def test_what_is_in_place_is_counted_and_photographs_are_not_needed_beside_features(data, tmp_path):
    root = copied(data, tmp_path)
    items = {(i.role, i.key): i for i in inventory(load_experiment("coco", root), ["coco"])}
    assert all(item.in_place for item in items.values() if item.key != "images")
    assert not any(item.needed for item in items.values() if item.key == "images")
    assert "46 images (all of the public file are 123,287)" in items["primary", "annotations"].found
    assert "33 of 33 .npz" in items["secondary", "features"].found
    (root / "clip/coco/ViT-B-32/400.npz").unlink()
    (root / "nocaps_val_4500_captions.json").write_text("[]")
    items = {(i.role, i.key): i for i in inventory(load_experiment("coco", root), ["coco"])}
    lacking = items["primary", "retrieval_features"]
    assert lacking.found == "45 .npz; the file does not exist (400.npz)" and not lacking.in_place
    assert items["primary", "images"].needed and items["primary", "images"].found == "missing, 20 GB"
    assert items["novel", "annotations"].found == "has no list 'images'"


def test_doctor_prints_the_files_of_an_experiment(data, tmp_path, capsys):
    assert cli.main(["doctor", "--experiment", "coco", "--data-root", str(tmp_path / "none")]) == 1
    text = capsys.readouterr().out
    assert re.search(r"^BAD primary features +.*/clip/coco/RN101_448: 0 of 123,287 \.npz, 50 GB", text, re.M)
    assert f"rdt extract coco --data-root {tmp_path}/none --role novel" in text
    cli.main(["doctor", "--experiment", "coco", "--data-root", str(data)])
    text = capsys.readouterr().out
    assert re.search(r"^ok  secondary annotations .*dataset_flickr30k\.json: .* 33 images", text, re.M)
    assert re.search(r"^ok  results +the features take 34 GB when imported", text, re.M)


def test_sizes_are_said_as_people_say_them():
    assert [size(n) for n in (999, 1500, 144e6, 49.7e9, 2.5e12)] == ["999 B", "1.5 kB", "144 MB", "50 GB", "2,500 GB"]


def snakemake(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])  # of the jobs' `python`
    command = [sys.executable, "-m", "snakemake", "--cores", "2", *arguments]
    environment = os.environ | {"PYTHONPATH": str(folder), "PATH": path}
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, env=environment)


def test_a_dry_run_without_data_prints_jobs_of_each_kind_and_an_estimate(tmp_path):
    result = snakemake(copy_repository(tmp_path), "--dry-run", "--config", "experiment=coco")
    assert result.returncode == 0, result.stderr
    text = result.stdout
    # the teacher's two stages; two networks in both stages for V's four rows (two of them those of II, III and VII),
    # two networks in the first for VI's 10 and VIII's 9 further rows, and for two rows on Flickr30k
    assert int(re.search(r"^train +(\d+)$", text, re.M)[1]) == 2 + 4 * 4 + 2 * (10 + 9) + 2 * 2
    assert text.index("estimate for everything, from nothing; inferred") < text.index("Job stats:")
    assert re.search(r"^ +50 .* train a captioner, cross-entropy$", text, re.M)
    assert re.search(r"^ +\d+ .* 16\d\.\d  all of them$", text, re.M)
    scenes = snakemake(tmp_path, "--dry-run")
    assert scenes.returncode == 0 and "estimate" not in scenes.stdout + scenes.stderr  # its cost was measured


# ---- what can be wrong with the files


def copied(data: Path, folder: Path) -> Path:
    return Path(shutil.copytree(data, folder / "data"))


class Stubbed:
    """A user in a folder with the stub's data, some of which is spoilt."""

    def __init__(self, data: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.data, self.capsys = folder, copied(data, folder), capsys
        stub_coco.experiment(folder / "stub.yaml", "coco")
        tiny.without_sending(folder, "stub")

    def gets(self, *arguments: str) -> str:
        """The one sentence that a command ends in; it leaves nothing behind."""
        command, *options = arguments
        assert tiny.rdt(self.folder, command, "stub.yaml", *options) == 2
        (sentence,) = self.capsys.readouterr().err.splitlines()
        made = [
            path for path in (self.folder / "results").rglob("*") if path.is_file() and "tracking" not in path.parts
        ]
        assert made == [] and sentence.startswith("rdt: error: data/")
        return sentence.removeprefix("rdt: error: data/")


@pytest.fixture
def stubbed(data, tmp_path, capsys) -> Stubbed:
    return Stubbed(data, tmp_path, capsys)


FEATURES = ("features", "--role", "primary")


def test_features_of_another_data_set(stubbed):
    folder = stubbed.data / "clip"
    (folder / "coco/RN101_448").rename(folder / "away")
    (folder / "flickr30k/RN101_448").rename(folder / "coco/RN101_448")
    told = stubbed.gets(*FEATURES)
    assert told == (
        "clip/coco/RN101_448: has features of none of the 46 images: 9.npz (image id) or 000000000009.npz (the number "
        "in the photograph's name) or COCO_train2014_000000000009.npz (the photograph's name) is expected, and it "
        "holds 1000092795.npz; name the folder of this data set's features"
    )


def test_features_of_a_part_of_the_data_set(stubbed):
    for name in ("400.npz", "791.npz", "9.npz"):
        (stubbed.data / "clip/coco/ViT-B-32" / name).unlink()
    told = stubbed.gets(*FEATURES)
    assert told.startswith("clip/coco/ViT-B-32/9.npz: the file does not exist, nor those of 2 other images; ")


def test_captions_of_another_data_set_under_the_same_names(stubbed):
    """nocaps' ids are also numbers of Flickr30k's images, which have other numbers of captions."""
    texts = [stub_coco.sentences(at, 5) for at in range(stub_coco.NOCAPS_IMAGES)]
    other = stubbed.folder / "other"
    stub_coco.write_features(other, [f"{at}.npz" for at in range(len(texts))], texts)
    shutil.rmtree(stubbed.data / "clip/nocaps/captions-ViT-B-32")
    (other / "captions-ViT-B-32").rename(stubbed.data / "clip/nocaps/captions-ViT-B-32")
    told = stubbed.gets("features", "--role", "novel")
    assert told.startswith("clip/nocaps/captions-ViT-B-32/0.npz: features of shape 5 x 512, expected 10 x 512; ")


def test_vectors_of_other_images_or_of_two_encoders(tmp_path):
    rng = np.random.default_rng(0)
    captions = rng.normal(size=(5 * IMAGES_TO_JUDGE, 32))
    first = np.arange(0, len(captions), 5)
    images = captions.reshape(-1, 5, 32).mean(axis=1) + rng.normal(size=(IMAGES_TO_JUDGE, 32))
    check_same_images(tmp_path, images, captions, first)
    for wrong in (np.roll(images, 7, axis=0), images @ np.linalg.qr(rng.normal(size=(32, 32)))[0]):
        with pytest.raises(UserError, match="an image is no nearer to its own captions than to another's"):
            check_same_images(tmp_path, wrong, captions, first)
    check_same_images(tmp_path, np.roll(images, 7, axis=0)[:-1], captions, first[:-1])  # too few to judge


def test_an_npz_cut_in_the_middle(stubbed):
    path = stubbed.data / "clip/coco/RN101_448/400.npz"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert stubbed.gets(*FEATURES).startswith("clip/coco/RN101_448/400.npz: not a readable .npz file (")


def test_float32_and_float16_files_give_the_same_store(data, tmp_path):
    """Published grids are float32, those made here float16; vectors keep float32."""
    dataset, published = role(data, "novel")
    halves = tmp_path / "halves"
    halves.mkdir()
    for path in published.images.glob("*.npz"):
        with np.load(path) as arrays:
            np.savez(halves / path.name, features=arrays["features"].astype(np.float16), g_feature=arrays["g_feature"])
    for name, images in (("single", published.images), ("half", halves)):
        (tmp_path / name).mkdir()
        import_published(dataset, tmp_path / name, Published(images, published.captions, published.retrieval))
    for array in ("grid", "global", "query"):
        single, half = ((tmp_path / name / f"{array}.npy").read_bytes() for name in ("single", "half"))
        assert single == half


def test_a_grid_beyond_float16(stubbed):
    path = stubbed.data / "clip/coco/RN101_448/400.npz"
    with np.load(path) as arrays:
        np.savez(path, features=arrays["features"] + 1e5, g_feature=arrays["g_feature"])
    told = stubbed.gets(*FEATURES)
    assert told.startswith("clip/coco/RN101_448/400.npz: features that are not finite in float16 (at most 65504)")


def test_a_store_of_float32(data, tmp_path):
    dataset, published = role(data, "novel")
    import_published(dataset, tmp_path, published)
    np.save(tmp_path / "grid.npy", np.load(tmp_path / "grid.npy").astype(np.float32))
    with pytest.raises(UserError, match=r"grid\.npy: an array of float32, expected float16; extract the features"):
        FeatureStore.open(tmp_path)


def test_captions_in_latin_1(stubbed):
    path = stubbed.data / "dataset_coco.json"
    text = path.read_text().replace("next to a man", "next to a café", 1)
    path.write_bytes(text.encode("latin-1"))
    told = stubbed.gets("vocabulary", "--role", "primary")
    assert re.match(r"dataset_coco\.json: is not UTF-8 text \(byte \d+, line 1\); convert it, if it is Latin-1: ", told)
    assert f"byte {text.index('café') + 3}," in told
    path.write_text(text)
    assert tiny.rdt(stubbed.folder, "vocabulary", "stub.yaml", "--role", "primary") == 0


def test_a_photograph_that_is_a_renamed_text_file(tmp_path):
    path = tmp_path / "COCO_val2014_000000000042.jpg"
    path.write_text("<html>404 not found</html>")
    with pytest.raises(UserError, match=r"000042\.jpg: is a web page \(HTML\), .*; fetch the photograph again"):
        open_image(path)


def without_domains(document: dict[str, Any]) -> None:
    for entry in document["images"]:
        del entry["domain"]


def without_captions(document: dict[str, Any]) -> None:
    del document["annotations"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (without_domains, "image 0 has no 'domain', by which nocaps is scored; take nocaps_val_4500_captions.json"),
        (without_captions, "has no list 'annotations'; give nocaps' validation captions"),
    ],
)
def test_nocaps_without_domains_or_captions(stubbed, change: Callable[[dict[str, Any]], None], told):
    path = stubbed.data / "nocaps_val_4500_captions.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    assert stubbed.gets("features", "--role", "novel").startswith(f"nocaps_val_4500_captions.json: {told}")


@pytest.mark.parametrize("keys", [("cocoid",), ("filepath",), ("cocoid", "filepath"), ()])
def test_karpathys_json_with_and_without_its_optional_keys(data, tmp_path, keys):
    document = json.loads((data / "dataset_coco.json").read_text())
    for entry in document["images"]:
        for key in {"cocoid", "filepath"} - set(keys):
            del entry[key]
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(document))
    image = load_karpathy(path, tmp_path, "COCO", pixels=False).images[2]
    assert image.id == (document["images"][2]["cocoid"] if "cocoid" in keys else 2)
    filename = document["images"][2]["filename"]
    assert image.path == (f"train2014/{filename}" if "filepath" in keys else filename)


@pytest.mark.parametrize("splits", [("train", "restval"), ("train",), ("restval",)])
def test_restval_is_joined_to_train_wherever_it_is(data, tmp_path, splits):
    document = json.loads((data / "dataset_coco.json").read_text())
    document["images"] = [e for e in document["images"] if e["split"] in (*splits, "val", "test")]
    path = tmp_path / "dataset_coco.json"
    path.write_text(json.dumps(document))
    train = load_karpathy(path, tmp_path, "COCO", pixels=False).split("train")
    assert len(train) == sum({"train": 20, "restval": 12}[split] for split in splits)


@pytest.mark.skipif(not (SHARED / "coco").is_dir(), reason="no ids of COCO beside this checkout")
def test_the_counts_that_are_stated_of_coco_are_those_of_karpathys_ids():
    counts = {
        split: len((SHARED / "coco" / f"karpathy_{split}_ids.txt").read_text().split())
        for split in ("train", "val", "test")
    }
    assert counts == PUBLIC["dataset_coco.json"].splits


FLICKR8K = SHARED / "flickr8k"
real = pytest.mark.skipif(not FLICKR8K.is_dir(), reason="no Flickr8k beside this checkout")


@pytest.fixture(scope="module")
def real_part(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Copies of the real files of 1,000 images."""
    folder = tmp_path_factory.mktemp("flickr8k")
    document = json.loads((FLICKR8K / "dataset_flickr8k.json").read_text())
    document["images"] = document["images"][::8]
    (folder / "dataset_flickr8k.json").write_text(json.dumps(document))
    for name in ("features", "caption_features"):
        (folder / name).mkdir()
        for entry in document["images"]:
            shutil.copyfile(FLICKR8K / name / f"{entry['imgid']}.npz", folder / name / f"{entry['imgid']}.npz")
    return folder


def real_import(folder: Path, store: Path) -> None:
    dataset = load_karpathy(folder / "dataset_flickr8k.json", folder, "Flickr8k", pixels=False)
    store.mkdir()
    import_published(dataset, store, Published(folder / "features", folder / "caption_features"))


@real
def test_real_features_under_the_names_of_other_images(real_part, tmp_path):
    real_import(real_part, tmp_path / "whole")
    assert FeatureStore.open(tmp_path / "whole").grid.shape == (1000, 49, 128)
    paths = sorted((real_part / "features").iterdir())
    other = tmp_path / "other"
    (other / "features").mkdir(parents=True)
    for path, next_one in zip(paths, [*paths[1:], paths[0]], strict=True):
        (other / "features" / path.name).symlink_to(next_one)
    for name in ("caption_features", "dataset_flickr8k.json"):
        (other / name).symlink_to(real_part / name)
    with pytest.raises(UserError, match=r"other/features: an image is no nearer to its own captions than to another's"):
        real_import(other, tmp_path / "store")


@real
def test_real_files_that_are_cut_or_in_another_encoding(real_part, tmp_path):
    for spoilt in ("features", "caption_features"):
        folder = Path(shutil.copytree(real_part, tmp_path / spoilt))
        path = sorted((folder / spoilt).iterdir())[500]
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        with pytest.raises(UserError, match=rf"{spoilt}/{path.name}: not a readable \.npz file"):
            real_import(folder, tmp_path / f"store of {spoilt}")
    path = tmp_path / "dataset_flickr8k.json"
    text = (real_part / path.name).read_text().replace("a dog", "a Löwchen dog")
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=r"is not UTF-8 text \(byte \d+, line 1\); convert it, if it is Latin-1: iconv"):
        load_karpathy(path, tmp_path, "Flickr8k", pixels=False)


@real
def test_real_features_in_float32_give_the_same_store(real_part, tmp_path):
    folder = Path(shutil.copytree(real_part, tmp_path / "single"))
    for path in [*(folder / "features").iterdir(), *(folder / "caption_features").iterdir()]:
        with np.load(path) as arrays:
            assert {array.dtype for array in arrays.values()} == {np.dtype(np.float16)}
            np.savez(path, **{name: array.astype(np.float32) for name, array in arrays.items()})
    real_import(real_part, tmp_path / "half store")
    real_import(folder, tmp_path / "single store")
    for name in ("grid", "global", "caption_global"):
        half, single = ((tmp_path / f"{kind} store" / f"{name}.npy").read_bytes() for kind in ("half", "single"))
        assert half == single


@real
def test_a_text_file_among_real_photographs(real_part, tmp_path):
    document = json.loads((real_part / "dataset_flickr8k.json").read_text())
    document["images"] = [
        next(e for e in document["images"] if e["split"] == split) for split in ("train", "val", "test")
    ]
    names = [entry["filename"] for entry in document["images"]]
    (tmp_path / "images").mkdir()
    for name in names:
        shutil.copyfile(FLICKR8K / "images" / name, tmp_path / "images" / name)
    (tmp_path / "dataset.json").write_text(json.dumps(document))
    dataset = load_karpathy(tmp_path / "dataset.json", tmp_path / "images", "Flickr8k")
    assert {open_image(dataset.file(image)).mode for image in dataset.images} == {"RGB"}
    (tmp_path / "images" / names[1]).write_text("404: Not Found")
    with pytest.raises(UserError, match=rf"images/{names[1]}: truncated or not an image"):
        [open_image(dataset.file(image)) for image in dataset.images]


@real
@pytest.mark.parametrize("keys", [("cocoid", "filepath"), ("cocoid",), ("filepath",), ()])
def test_real_annotations_with_cocos_keys_and_restval(real_part, tmp_path, keys):
    """Flickr8k's own file has neither the keys nor a restval; COCO's has all of them."""
    document = json.loads((real_part / "dataset_flickr8k.json").read_text())
    assert not any({"cocoid", "filepath"} & entry.keys() for entry in document["images"])
    train = [entry for entry in document["images"] if entry["split"] == "train"]
    for entry in train[::3]:
        entry["split"] = "restval"
    for entry in document["images"]:
        entry |= {key: {"cocoid": 7 * entry["imgid"] + 1, "filepath": "train2014"}[key] for key in keys}
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(document))
    dataset = load_karpathy(path, tmp_path, "Flickr8k", pixels=False)
    assert len(dataset.split("train")) == len(train)
    first = document["images"][0]
    assert dataset.images[0].id == first["cocoid" if "cocoid" in keys else "imgid"]
    assert dataset.images[0].path == ("train2014/" if "filepath" in keys else "") + first["filename"]


# ---- all of it


@pytest.mark.slow
def test_the_coco_experiment_runs_end_to_end_with_only_sizes_overridden(data, tmp_path):
    """All three roles, two networks in sequence, both stages, the teacher: Tables II and IV."""
    folder = copy_repository(tmp_path / "copy")
    path = stub_coco.experiment(folder / "stub.yaml", "coco", tables=["II", "IV"])
    assert load_experiment(path).method == Method(**{**vars(load_experiment("coco").method), "steps": 2})
    result = snakemake(folder, "all", "--config", "experiment=stub.yaml", f"data_root={data}")
    assert result.returncode == 0, result.stdout + result.stderr
    for name in ("II", "IV"):
        with (folder / f"reports/stub/tables/table_{name}.csv").open(encoding="utf-8", newline="") as lines:
            measured = [line for line in csv.DictReader(lines) if line["status"] == "measured"]
        assert len(measured) == {"II": 2 * 2 * 8 + 2 * 8, "IV": 2 * 6}[name]
    assert not (folder / "results/stub/encoder").exists()  # nothing but the published features was used
    assert np.load(folder / "results/stub/features/secondary/query.npy").shape == (33, 512)


@pytest.mark.slow
def test_the_flickr30k_experiment_prepares_and_trains_on_its_own_data(data, tmp_path):
    folder = copy_repository(tmp_path / "copy")
    stub_coco.experiment(folder / "stub.yaml", "flickr30k", tables=["V"])
    config = ("--config", "experiment=stub.yaml", f"data_root={data}")
    summary = snakemake(folder, "--summary", *config).stdout
    (target,) = re.findall(r"^(results/stub/runs/rdt-s0-\w+/xe/model.safetensors)\t", summary, re.M)
    result = snakemake(folder, target, *config)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (folder / target).is_file()
