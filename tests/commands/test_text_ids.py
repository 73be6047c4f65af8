"""An experiment whose images have hashes for ids, beside the same with whole numbers: the same bits, under other names.

The numbers are the images' places in the file, which is what stands for the hashes inside.
"""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.support import stub_coco, tiny

FILE = f"{tiny.NAME}.yaml"
SPLITS = ("train",) * 16 + ("val",) * 3 + ("test",) * 5
HASHES = [hashlib.sha1(str(n).encode()).hexdigest()[:16] for n in range(len(SPLITS))]
TEST = [n for n, split in enumerate(SPLITS) if split == "test"]
ROW = "Other lab"
CONTENT = tiny.settings(
    override={"retrieved": 3}, training={"xe_epochs": 1, "rl_epochs": 1, "teacher_xe_epochs": 1, "teacher_rl_epochs": 1}
) | {
    "data": {
        "primary": {
            "source": "karpathy",
            "annotations": "dataset.json",
            "features": "image_features",
            "caption_features": "caption_features",
        }
    },
    "tables": ["II"],
    "rows": {"II": ["RDT◇", ROW]},
    "extra_rows": {"II": [{"row": ROW, "captions": {"test": "other.json"}}]},
}


def write_data(folder: Path, ids: list) -> None:
    """Annotations, features and the other lab's captions of the test images, which go by file name."""
    document = stub_coco.karpathy([100 + n for n in range(len(ids))], SPLITS, coco=False)
    for image, entry in zip(ids, document["images"], strict=True):
        entry["imgid"] = image
    (folder / "dataset.json").write_text(json.dumps(document))
    generator = np.random.default_rng(0)
    for part in ("image_features", "caption_features"):
        (folder / part).mkdir()
    for image in ids:
        vectors = {"features": generator.normal(size=(49, 8)), "g_feature": generator.normal(size=(1, 8))}
        np.savez(folder / "image_features" / f"{image}.npz", **vectors)
        np.savez(folder / "caption_features" / f"{image}.npz", g_feature=generator.normal(size=(5, 8)))
    others = [{"image_id": f"{100 + n}.jpg", "caption": " ".join(stub_coco.tokens(said(n)))} for n in reversed(TEST)]
    (folder / "other.json").write_text(json.dumps(others))


def said(image: int) -> str:
    return stub_coco.sentences(image, 1)[0]


def run(folder: Path) -> Path:
    """Every command of the chain but the trainings that the table does not show."""
    tiny.write(folder, CONTENT)
    tiny.without_sending(folder)
    for command in ("check", "vocabulary", "features", "index"):
        assert tiny.rdt(folder, command, FILE, *([] if command == "check" else ["--role", "primary"])) == 0, command
    planned = tiny.opened(folder)[1]
    captioned = {(job.run, job.stage) for job in planned.captions}
    for network in planned.trainings:
        assert tiny.rdt(folder, "train", FILE, "--run", network.run, "--stage", network.stage) == 0, network
        if tuple(network) in captioned:
            assert tiny.rdt(folder, "captions", FILE, "--run", network.run, "--stage", network.stage) == 0
    for name, stage in captioned - set(map(tuple, planned.trainings)):
        assert tiny.rdt(folder, "captions", FILE, "--run", name, "--stage", stage) == 0
    assert tiny.rdt(folder, "score", FILE, "--role", "primary") == 0
    assert tiny.rdt(folder, "tables", FILE) == 0
    return folder


@pytest.fixture(scope="module")
def numbers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("numbers")
    write_data(folder, list(range(len(SPLITS))))
    return run(folder)


@pytest.fixture(scope="module")
def texts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("texts")
    write_data(folder, HASHES)
    return run(folder)


def by_network(folder: Path, pattern: str) -> dict[str, Path]:
    """Files by their places, in which a given run's digest may differ."""
    results = folder / "results" / tiny.NAME
    return {str(path.relative_to(results)): path for path in sorted(results.rglob(pattern))}


@pytest.mark.slow
def test_networks_and_arrays_have_the_same_bits(numbers, texts):
    for pattern in ("model.safetensors", "image_ids.npy", "caption_image.npy", "grid.npy", "retrieved.npz"):
        ours, theirs = by_network(texts, pattern), by_network(numbers, pattern)
        assert ours.keys() == theirs.keys() and ours
        for name, path in ours.items():
            if path.suffix == ".npz":
                a, b = np.load(path), np.load(theirs[name])
                assert all(np.array_equal(a[key], b[key]) for key in a.files)
            else:
                assert path.read_bytes() == theirs[name].read_bytes(), name


@pytest.mark.slow
def test_captions_and_scores_go_by_the_users_ids(numbers, texts):
    ours, theirs = by_network(texts, "primary-test*.json"), by_network(numbers, "primary-test*.json")
    assert ours.keys() == theirs.keys() and ours
    captions = [name for name in ours if isinstance(json.loads(ours[name].read_text()), list)]
    assert captions
    for name in captions:
        hashed, numbered = (json.loads(files[name].read_text()) for files in (ours, theirs))
        assert [entry["image_id"] for entry in hashed] == [HASHES[n] for n in TEST]
        assert [entry["image_id"] for entry in numbered] == TEST
        assert [entry["caption"] for entry in hashed] == [entry["caption"] for entry in numbered]
    tables, plain = by_network(texts, "primary-test*.parquet"), by_network(numbers, "primary-test*.parquet")
    assert tables.keys() == plain.keys() and tables
    for name, path in tables.items():
        hashed, numbered = pd.read_parquet(path), pd.read_parquet(plain[name])
        assert list(hashed["image_id"]) == [HASHES[n] for n in TEST]
        pd.testing.assert_frame_equal(hashed.drop(columns="image_id"), numbered.drop(columns="image_id"))
    table = "reports/tiny/tables/table_II.csv"
    assert (texts / table).read_text() == (numbers / table).read_text()


@pytest.mark.slow
def test_the_commands_on_captions_take_these_ids(texts, capsys):
    references = ("--references", "dataset.json", "--split", "test")
    written = next((texts / "results/tiny/captions").glob("rdt-*/xe/primary-test.json"))
    with (texts / "reports/tiny/tables/table_II.csv").open(encoding="utf-8", newline="") as file:
        cells = {(line["row"], line["column"]): line["ours"] for line in csv.DictReader(file)}
    assert tiny.rdt(texts, "evaluate", "--results", "other.json", *references, "--out", "scores.json") == 0
    printed = capsys.readouterr().out
    assert "note: other.json: captions are matched with references by filename, such as 123.jpg" in printed
    metrics = json.loads((texts / "scores.json").read_text())["scopes"]["all"]["metrics"]
    assert {name: cells[ROW, f"xe/{name}"] for name in metrics} == {
        name: f"{value:.4f}" for name, value in metrics.items()
    }
    assert list(pd.read_parquet(texts / "scores.parquet")["image_id"]) == [HASHES[n] for n in TEST]
    files = ("other.json", str(written))
    assert tiny.rdt(texts, "compare", *files, *references, "--out", "board.md", "--metrics", "cider") == 0
    assert "other.json: captions are matched with references by filename" in (texts / "board.md").read_text()
    assert tiny.rdt(texts, "verify", "II/RDT◇/xe/C", "--experiment", FILE) == 0
    assert tiny.rdt(texts, "verify", f"II/{ROW}/xe/C", "--experiment", FILE) == 0


def test_a_check_reads_what_the_next_commands_read(tmp_path, capsys):
    write_data(tmp_path, HASHES)
    tiny.write(tmp_path, CONTENT)
    assert tiny.rdt(tmp_path, "check", FILE) == 0
    printed = capsys.readouterr().out
    assert f"primary: 24 images (train 16, val 3, test 5), ids such as {HASHES[0]}" in printed
    assert f"Table II, {ROW}: 5 captions in other.json" in printed
    assert "note: other.json: captions are matched with references by filename, such as 123.jpg" in printed


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda folder: (folder / "caption_features" / f"{HASHES[3]}.npz").unlink(), f"{HASHES[3]}.npz: the file does"),
        (lambda folder: (folder / "other.json").write_text('[{"image_id": "x.jpg", "caption": "a"}]'), "image x.jpg"),
        (lambda folder: (folder / "other.json").write_text('[{"image_id": "123.jpg", "caption": "a"}]'), "lacks image"),
        (lambda folder: (folder / "dataset.json").write_text('{"images": [{}]}'), "images[0] has no 'imgid'"),
    ],
)
def test_a_check_refuses_what_the_next_commands_refuse(tmp_path, capsys, spoil, told):
    write_data(tmp_path, HASHES)
    tiny.write(tmp_path, CONTENT)
    spoil(tmp_path)
    assert tiny.rdt(tmp_path, "check", FILE) == 2
    assert told in capsys.readouterr().err
