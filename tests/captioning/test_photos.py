"""Captions of photographs: those of the caption stage for the images of a data set, and of nothing else's making."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import rdt
from rdt import cli
from rdt.captioning.photos import PhotoCaption, caption_photos, encoded, open_encoder, photo_id
from rdt.commands.caption import heatmap_files, steps
from rdt.errors import UserError
from rdt.experiment.runs import NetworkId
from rdt.features.encoder import Encoded
from rdt.features.retrieval import read_pool_texts, read_retrieved
from rdt.features.store import FeatureStore
from rdt.files import read_json
from rdt.workspace import Workspace
from tests.support import finished as suite
from tests.support import tiny

STEPS = tiny.EXPERIMENT["override"]["steps"]


@pytest.fixture
def here(finished, monkeypatch) -> Path:
    """The finished experiment as the working directory."""
    monkeypatch.chdir(finished)
    return finished


def opened() -> tuple[Workspace, str]:
    """The experiment in the working directory, and the run of the RDT."""
    experiment, planned, paths = tiny.opened(Path())
    return Workspace(experiment, paths), tiny.run_id(planned, "rdt")


def test_images() -> list[tuple[int, Path]]:
    stage, _ = opened()
    folder = stage.paths.scenes("primary")
    images = read_json(folder / "dataset.json")["images"]
    return [(image["imgid"], folder / "images" / image["filename"]) for image in images if image["split"] == "test"]


test_images.__test__ = False


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["rdt", "teacher"])
def test_an_image_of_the_data_set_has_the_caption_of_the_stage(here, kind):
    """Under its id there, which keys the noise; the sentence is the one that was retrieved for it."""
    stage, run = opened()
    run = run if kind == "rdt" else tiny.run_id(stage.plan, "teacher")
    ids, paths = zip(*test_images(), strict=True)
    photos = encoded(stage, "primary", paths, open_encoder(stage, "primary"))
    photos = replace(photos, store=replace(photos.store, image_ids=np.array(ids)))
    found = caption_photos(stage, NetworkId(run, "rl"), photos)
    recorded = read_json(stage.paths.captions(run, "rl", "primary", "test"))
    assert [one.caption for one in found] == [record["caption"] for record in recorded]
    texts = read_pool_texts(stage.paths.index("primary"))
    retrieved = dict(zip(*read_retrieved(stage.paths.index("primary")), strict=True))
    nearest = [texts[retrieved[image][0]] for image in ids]
    assert [one.retrieved for one in found] == (nearest if kind == "rdt" else [""] * len(ids))
    assert {len(one.steps) for one in found} == ({STEPS} if kind == "rdt" else {0})
    assert all(one.heatmap.shape == (7, 7) and one.heatmap.sum() == pytest.approx(1) for one in found)


@pytest.mark.slow
def test_another_encoder_has_its_own_vectors_for_retrieval(here):
    """One that gives the features of the data set, and for retrieval those of the images in reverse order."""
    stage, _ = opened()
    ids, paths = zip(*test_images(), strict=True)
    store = FeatureStore.open(stage.paths.features("primary"))
    grid, vectors = (part[store.rows_of(list(ids))] for part in (store.grid, store.global_))

    class Recorded:
        def photographs(self, pictures: Sequence[Image.Image]) -> Encoded:
            assert [picture.mode for picture in pictures] == ["RGB"] * len(ids)
            return Encoded(grid, vectors, vectors[::-1].copy())

    photos = encoded(stage, "primary", paths, Recorded())
    texts, (known, rows) = read_pool_texts(stage.paths.index("primary")), read_retrieved(stage.paths.index("primary"))
    nearest = dict(zip(known.tolist(), rows[:, 0], strict=True))
    assert photos.retrieved == tuple(texts[nearest[image]] for image in reversed(ids))
    assert np.array_equal(photos.store.grid, grid) and np.array_equal(photos.store.global_, vectors)


@pytest.mark.slow
def test_a_caption_depends_on_the_file_alone(here, tmp_path):
    _, run = opened()
    (_, first), (_, second), *_ = test_images()
    elsewhere = Path(shutil.copy(first, tmp_path / "copy.jpg"))
    one, two, three = rdt.caption([second, first, str(elsewhere)], run, suite.FILE)
    (alone,) = rdt.caption([first], f"{run}/rl", suite.FILE)
    assert two.caption == three.caption == alone.caption and two.steps == alone.steps
    assert (one.path, three.path) == (second, elsewhere) and isinstance(one, rdt.PhotoCaption)
    assert photo_id(first) == photo_id(elsewhere) != photo_id(second)


@pytest.mark.slow
def test_photographs_of_any_size_and_the_picture_of_the_heatmap(here, tmp_path, capsys):
    _, run = opened()
    photo = tmp_path / "my photo.png"
    Image.effect_mandelbrot((90, 60), (-2, -1, 1, 1), 30).convert("RGBA").save(photo)
    arguments = ["caption", str(photo), "--run", f"{run}/xe", "--experiment", suite.FILE]
    assert cli.main([*arguments, "--heatmap", "--steps", "--out", str(tmp_path / "maps")]) == 0
    told = capsys.readouterr().out.splitlines()
    place = tmp_path / "maps/my photo.heatmap.png"
    assert told[0].startswith(f"{photo}: ") and told[1].startswith("  retrieved: ")
    assert told[2] == f"  heatmap: {place}" and told[3].startswith("  step") and f" of {STEPS}: " in told[3]
    with Image.open(place) as picture:
        assert picture.size == (90, 60) and picture.format == "PNG"
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.splitlines() == told[:2]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("photo", "run", "told"),
    [
        ("nothing.jpg", "{run}", "nothing.jpg: there is no such file"),
        ("tiny.yaml", "{run}", "tiny.yaml: truncated or not an image"),
        ("{image}", "rdt-s0", "--run: 'rdt-s0' is not a run of experiment tiny"),
        ("{image}", "{run}/xe2", "has no network 'xe2'; choose one of xe, rl"),
    ],
)
def test_what_cannot_be_captioned(here, capsys, photo, run, told):
    values = {"run": opened()[1], "image": test_images()[0][1]}
    arguments = [photo.format(**values), "--run", run.format(**values), "--experiment", suite.FILE]
    assert cli.main(["caption", *arguments]) == 2
    assert told in capsys.readouterr().err


def test_a_run_on_imported_features_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    data = {"source": "karpathy", "annotations": "a.json", "features": "f", "caption_features": "c"}
    tiny.write(tmp_path, tiny.EXPERIMENT | {"data": {"primary": data}})
    _, planned, _ = tiny.opened(tmp_path)
    run = tiny.run_id(planned, "rdt")
    Image.effect_mandelbrot((9, 6), (-2, -1, 1, 1), 30).convert("RGB").save("photo.png")
    with pytest.raises(UserError, match=r"^f: does not say what made its features: there is no encoder.json; fill it"):
        rdt.caption(["photo.png"], run, suite.FILE)


def test_heatmaps_of_the_same_name_are_refused():
    places = heatmap_files([Path("a/x.jpg"), Path("b/y.png")], Path("out"))
    assert places == {Path("a/x.jpg"): Path("out/x.heatmap.png"), Path("b/y.png"): Path("out/y.heatmap.png")}
    with pytest.raises(UserError, match=r"^b/x.png: its heatmap would have the same name as the heatmap of a/x.jpg"):
        heatmap_files([Path("a/x.jpg"), Path("b/x.png")], Path("out"))


def test_equal_steps_stand_in_one_line():
    one = PhotoCaption(Path("p"), "b", "", ("a", "b", "b", "a"), np.zeros((7, 7)))
    assert steps(one) == ["  step 1 of 4: a", "  steps 2-3 of 4: b", "  step 4 of 4: a"]
    assert steps(replace(one, steps=())) == ["  steps: none, for an autoregressive network does not denoise"]
