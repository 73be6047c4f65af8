"""The embedded scenes: what is drawn, what is said, and that both are the same every time."""

from __future__ import annotations

import zipfile
from collections import Counter
from dataclasses import astuple, replace
from pathlib import Path

import numpy as np
import pytest

from rdt.data.dataset import DOMAINS, Dataset, load_role
from rdt.data.photograph import open_image
from rdt.data.scenes.build import build_scenes
from rdt.data.scenes.grammar import DESCRIPTIVE, NOUNS, PLAINSPOKEN, describe
from rdt.data.scenes.render import PALETTE, RENDERED, SKETCHED, Style, dominant, render, sample_nuisance, tones
from rdt.data.scenes.scene import (
    ATTRIBUTES,
    CLASHES,
    COLORS,
    KINDS,
    LAYOUTS,
    NOVEL_KINDS,
    Group,
    Scene,
    is_valid,
    sample_scene,
    sample_twins,
)
from rdt.data.scenes.shapes import SHAPES
from rdt.data.vocabulary import build_vocabulary
from rdt.errors import UserError
from rdt.experiment.settings import Data

PRIMARY = Data("scenes", train=6, val=3, test=14, references=40)
NOVEL = Data("scenes", test=30, references=10)
# Every form of a kind's name, a word each ("plus sign" is known by its first).
KIND_OF = {form.split()[0]: kind for kind, nouns in NOUNS.items() for noun in nouns for form in noun}


def build(folder: Path, role: str, data: Data, seed: int = 0) -> Dataset:
    build_scenes(folder, role, data, seed)
    return load_role(role, data, folder, Path("unused"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scenes")


@pytest.fixture(scope="module")
def primary(folder: Path) -> Dataset:
    return build(folder / "primary", "primary", PRIMARY)


@pytest.fixture(scope="module")
def novel(folder: Path) -> Dataset:
    return build(folder / "novel", "novel", NOVEL)


@pytest.fixture(scope="module")
def scenes() -> list[Scene]:
    rng = np.random.default_rng(1)
    return [sample_scene(rng, KINDS) for _ in range(800)]


def layout(dataset: Dataset) -> dict[str, np.ndarray]:
    with np.load(dataset.image_root.parent / "layout.npz", allow_pickle=False) as file:
        return dict(file)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_same_seed_same_bytes(tmp_path: Path, folder: Path, primary: Dataset) -> None:
    build(tmp_path / "again", "primary", PRIMARY)
    assert contents(tmp_path / "again") == contents(folder / "primary")
    with zipfile.ZipFile(folder / "primary" / "layout.npz") as file:
        assert {member.date_time[0] for member in file.infolist()} == {1980}  # no time of writing
    other = build(tmp_path / "other", "primary", PRIMARY, seed=1)
    assert other.images[0].captions != primary.images[0].captions


def test_an_image_does_not_depend_on_how_many_there_are(tmp_path: Path, folder: Path, primary: Dataset) -> None:
    fewer = build(tmp_path / "fewer", "primary", Data("scenes", train=2, val=3, test=4, references=3))
    for split in ("train", "val", "test"):
        for mine, theirs in zip(fewer.split(split), primary.split(split), strict=False):
            assert fewer.file(mine).read_bytes() == primary.file(theirs).read_bytes()
            assert mine.captions == theirs.captions[: len(mine.captions)]


def test_numbers_and_files(primary: Dataset) -> None:
    assert [len(primary.split(split)) for split in ("train", "val", "test")] == [6, 3, 14]
    assert {len(image.captions) for image in primary.split("train") + primary.split("val")} == {5}
    assert {len(image.captions) for image in primary.split("test")} == {40}
    assert all(open_image(primary.file(image)).size == (112, 112) for image in primary.images)
    assert len(list(primary.image_root.iterdir())) == len(primary.images)


def test_a_build_replaces_the_folder(tmp_path: Path) -> None:
    out = tmp_path / "secondary"
    out.mkdir()
    (out / "stale").write_text("from an earlier build")
    dataset = build(out, "secondary", Data("scenes", train=1, val=1, test=3, references=5))
    assert sorted(file.name for file in out.iterdir()) == ["dataset.json", "images", "layout.npz"]
    assert [file.name for file in tmp_path.iterdir()] == ["secondary"]
    assert len(dataset.split("test")) == 3


@pytest.mark.parametrize(
    ("role", "data", "message"),
    [
        ("primary", replace(PRIMARY, test=3), "data.primary.test: must be even"),
        ("primary", replace(PRIMARY, val=0), "data.primary.val: must be at least 1"),
        ("secondary", replace(PRIMARY, references=0), "data.secondary.references: must be at least 1"),
        ("novel", replace(NOVEL, test=2), "data.novel.test: must be at least 3"),
    ],
)
def test_impossible_sizes(tmp_path: Path, role: str, data: Data, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_scenes(tmp_path / role, role, data, 0)
    assert list(tmp_path.iterdir()) == []


def differences(a: Scene, b: Scene) -> list[str]:
    """Names of the attributes in which two scenes differ, one entry a group."""
    own = [name for name in ("background", "layout") if getattr(a, name) != getattr(b, name)]
    fields = Group.__dataclass_fields__
    groups = zip(a.groups, b.groups, strict=True)
    return own + [name for x, y in groups for name in fields if getattr(x, name) != getattr(y, name)]


@pytest.mark.parametrize("attribute", ATTRIBUTES)
def test_twins_differ_in_one_attribute(attribute: str) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        first, second = sample_twins(rng, attribute, KINDS)
        assert differences(first, second) == [attribute]
        assert is_valid(first) and is_valid(second)


def test_twins_on_disk(primary: Dataset) -> None:
    cells = layout(primary)
    seen = Counter()
    for image in primary.split("test"):
        assert primary.by_id[image.twin].twin == image.id != image.twin
        a, b = ({name: cells[name][i] for name in ("kind", "color", "texture", "size")} for i in (image.id, image.twin))
        changed = [name for name in a if set(a[name].ravel()) != set(b[name].ravel())]
        backgrounds_differ = cells["background"][image.id] != cells["background"][image.twin]
        seen.update(changed if changed else ["background"] if backgrounds_differ else ["count or layout"])
        assert len(changed) + backgrounds_differ <= 1
    assert all(image.twin is None for image in primary.split("train") + primary.split("val"))
    # 14 images: two for each of the seven attributes. A hue or a texture that another group has too stays in the set.
    assert seen["kind"] == seen["background"] == 2 and seen["count or layout"] >= 4


def test_scenes_are_varied_and_valid(scenes: list[Scene]) -> None:
    assert {len(scene.groups) for scene in scenes} == {1, 2, 3}
    assert {group.kind for scene in scenes for group in scene.groups} == set(KINDS) and len(KINDS) >= 12
    assert {scene.layout for scene in scenes} == {name for names in LAYOUTS.values() for name in names}
    assert {group.count for scene in scenes for group in scene.groups} == {1, 2, 3}
    for scene in scenes:
        assert not {group.color for group in scene.groups} & CLASHES[scene.background]
    assert all(np.abs(part).max() <= 1.16 for shape in SHAPES.values() for part in shape.fill)


def test_a_hidden_object_stays_half_visible(scenes: list[Scene]) -> None:
    overlapping = [scene for scene in scenes if scene.layout in ("front", "behind")][:40]
    for k, scene in enumerate(overlapping):
        shown = {
            order: render(replace(scene, layout=order), sample_nuisance(np.random.default_rng(k)), RENDERED)[1]
            for order in ("front", "behind")
            if is_valid(replace(scene, layout=order))
        }
        if len(shown) == 2:  # the first group whole, then partly hidden, at the same place
            whole, part = ((shown[order] == 1).sum() for order in ("front", "behind"))
            assert 0.5 * whole < part < whole


@pytest.mark.parametrize("style", [RENDERED, SKETCHED])
def test_colours_are_as_named(scenes: list[Scene], style: Style) -> None:
    palette = np.array([tones(name, style)[0] for name in COLORS])
    shares, right = [], []
    for k, scene in enumerate(scenes[:150]):
        pixels, shown = render(scene, sample_nuisance(np.random.default_rng(k)), style)
        for label, group in enumerate(scene.groups, start=1):
            if group.texture == "plain":
                nearest = np.linalg.norm(pixels[shown == label][:, None] - palette, axis=-1).argmin(axis=1)
                votes = np.bincount(nearest, minlength=len(COLORS))
                shares.append(votes[COLORS.index(group.color)] / len(nearest))
                if group.color != "black":
                    votes[COLORS.index("black")] = 0  # outlines, wheels, doors
                right.append(COLORS[votes.argmax()] == group.color)
    assert len(right) > 80 and np.mean(right) > 0.98 and min(shares) > 0.2


def test_layout_agrees_with_the_saved_images(primary: Dataset) -> None:
    cells = layout(primary)
    names = cells["color_names"].tolist()
    assert names[0] == "none" and cells["texture_names"][1] == "plain"
    palette = np.array([PALETTE[name] for name in names[1:]], float)
    shares, others = [], []
    for image in primary.images:
        pixels = np.asarray(open_image(primary.file(image)), float)
        for row, column in np.argwhere(cells["texture"][image.id] == 1):
            cell = pixels[row * 16 : row * 16 + 16, column * 16 : column * 16 + 16].reshape(-1, 1, 3)
            nearest = np.linalg.norm(cell - palette, axis=-1).argmin(axis=-1) + 1
            votes = np.bincount(nearest, minlength=len(names)) / len(nearest)
            code = cells["color"][image.id, row, column]
            shares.append(votes[code])
            others.append(np.delete(votes, (0, code)).mean())
    # A cell belongs to the object that fills a quarter of it or more; the rest is outline and background.
    assert len(shares) > 40 and np.mean(np.array(shares) > 0.05) > 0.95
    assert np.mean(shares) > 0.4 > 0.1 > np.mean(others)


def test_layout_agrees_with_the_captions(primary: Dataset, novel: Dataset) -> None:
    for dataset in (primary, novel):
        cells = layout(dataset)
        assert cells["image_id"].tolist() == [image.id for image in dataset.images]
        assert cells["kind"].shape == (len(dataset.images), 7, 7) and cells["kind"].dtype == np.int8
        for image in dataset.images:
            told = {KIND_OF[word] for caption in image.captions for word in caption.tokens if word in KIND_OF}
            shown = {str(cells["kind_names"][code]) for code in np.unique(cells["kind"][image.id]) if code}
            assert shown and shown <= told


def test_dominant_cell() -> None:
    shown = np.zeros((112, 112), np.int8)
    shown[:8, :8] = 1  # a quarter of the first cell
    shown[:7, 16:25] = 1  # 63 of 256 pixels of the second
    shown[16:32, :10], shown[16:32, 10:16] = 2, 3
    cells = dominant(shown)
    assert cells[0, 0] == 1 and cells[0, 1] == 0 and cells[1, 0] == 2 and cells.sum() == 3


def test_nearly_every_group_has_a_cell(scenes: list[Scene]) -> None:
    missing = 0
    for k, scene in enumerate(scenes[:150]):
        _, shown = render(scene, sample_nuisance(np.random.default_rng(k)), RENDERED)
        missing += len(set(range(1, len(scene.groups) + 1)) - set(np.unique(dominant(shown))))
    assert missing <= 3


@pytest.mark.parametrize("speech", [PLAINSPOKEN, DESCRIPTIVE])
def test_captions(scenes: list[Scene], speech) -> None:
    rng = np.random.default_rng(3)
    captions = [describe(scene, rng, speech) for scene in scenes for _ in range(5)]
    lengths = [len(caption.tokens) for caption in captions]
    assert min(lengths) >= 6 and max(lengths) <= 15 and 9.5 < np.mean(lengths) < 12.5
    for caption in captions:
        assert caption.raw[0].isupper() and caption.raw.endswith(".")
        assert tuple(caption.raw[:-1].lower().split()) == caption.tokens
        assert all(token.isalpha() and token.islower() for token in caption.tokens)
    size = build_vocabulary((caption.tokens for caption in captions), min_count=1).size
    assert 150 <= size < 256  # 8 bits, and codes left over
    assert len({caption.tokens for caption in captions}) > 0.85 * len(captions)


def test_articles_and_numbers_agree(scenes: list[Scene]) -> None:
    rng = np.random.default_rng(4)
    plurals = {forms[1] for nouns in NOUNS.values() for forms in nouns if forms[0] != forms[1]}
    for scene in scenes:
        tokens = describe(scene, rng, DESCRIPTIVE).tokens
        for article, word in zip(tokens, tokens[1:], strict=False):
            if article in ("a", "an"):
                assert (article == "an") == (word[0] in "aeiou")
                assert word not in plurals


def test_relation_is_told_from_both_sides() -> None:
    """A ball left of a mug is never said to be right of it, whichever is named first."""
    ball, mug = Group("ball", "red", "plain", "medium", 1), Group("mug", "blue", "plain", "medium", 1)
    scene = Scene("grass", "left", (ball, mug))
    rng = np.random.default_rng(5)
    orders = Counter()
    for _ in range(300):
        tokens = describe(scene, rng, PLAINSPOKEN).tokens
        sides = {"left", "right"} & set(tokens)
        if sides:
            first = next(word for word in tokens if word in KIND_OF)
            orders[KIND_OF[first], *sides] += 1
    assert set(orders) == {("ball", "left"), ("mug", "right")}
    assert orders["ball", "left"] > 3 * orders["mug", "right"]


def test_domains(primary: Dataset, novel: Dataset) -> None:
    assert not set(KINDS) & set(NOVEL_KINDS) and len(NOVEL_KINDS) >= 4
    assert Counter(image.domain for image in novel.images) == dict.fromkeys(DOMAINS, 10)
    assert {len(image.captions) for image in novel.images} == {10}

    def kinds(dataset: Dataset, image) -> set[str]:
        return {KIND_OF[word] for caption in image.captions for word in caption.tokens if word in KIND_OF}

    for image in novel.images:
        shown = kinds(novel, image)
        assert bool(shown & set(KINDS)) == (image.domain != "out-domain")
        assert bool(shown & set(NOVEL_KINDS)) == (image.domain != "in-domain")
    assert not any(kinds(primary, image) & set(NOVEL_KINDS) for image in primary.images)


def test_scene_is_plain_data(scenes: list[Scene]) -> None:
    assert {type(value) for scene in scenes for group in scene.groups for value in astuple(group)} == {str, int}
