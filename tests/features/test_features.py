"""Features: the store, the import of published files, and the encoder that makes them."""

from __future__ import annotations

import math
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image as Picture

from rdt.data.dataset import Caption, Dataset, Image, load_karpathy
from rdt.errors import UserError
from rdt.features.encode import caption_ids, read_images, recall, tower_input
from rdt.features.imported import Published, import_published
from rdt.features.store import GRID_CELLS, FeatureStore, StoreWriter
from rdt.features.two_tower import ORIENTATIONS, TEXT_LENGTH, contrastive_loss, oriented_gradients, word_loss
from rdt.training.encoder import SHIFT, augment, word_shares
from tests.support.repository import REPOSITORY

FLICKR8K = REPOSITORY.parent / "shared" / "flickr8k"
GRID_DIM, DIM = 6, 4


def dataset(ids=(7, 3, 11), captions=(2, 1, 3)) -> Dataset:
    """Images whose ids are in no order, with different numbers of captions."""
    images = tuple(
        Image(image, f"{image}.png", "train", tuple(Caption(("w", str(n)), f"w {n}") for n in range(count)))
        for image, count in zip(ids, captions, strict=True)
    )
    return Dataset("made", images, Path("."))


def published(folder: Path, data: Dataset, **replaced: object) -> tuple[Path, Path]:
    """Feature files of ``data`` in the published layout; ``replaced`` arrays stand in the first image's file."""
    rng = np.random.default_rng(0)
    features, captions = folder / "features", folder / "caption_features"
    features.mkdir()
    captions.mkdir()
    for at, image in enumerate(data.images):
        arrays = {"features": rng.normal(size=(GRID_CELLS, GRID_DIM)), "g_feature": rng.normal(size=(1, DIM))}
        arrays |= replaced if at == 0 else {}
        arrays = {name: array for name, array in arrays.items() if array is not None}
        np.savez_compressed(features / f"{image.id}.npz", **arrays)
        np.savez_compressed(captions / f"{image.id}.npz", g_feature=rng.normal(size=(len(image.captions), DIM)))
    return features, captions


def imported(folder: Path, data: Dataset, features: Path, captions: Path) -> FeatureStore:
    store = folder / "store"
    store.mkdir(exist_ok=True)
    import_published(data, store, Published(features, captions))
    return FeatureStore.open(store)


# ---- store


def written(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    grid, vectors, captions = rng.normal(size=(3, GRID_CELLS, 5)), rng.normal(size=(3, 4)), rng.normal(size=(4, 4))
    writer = StoreWriter(folder, [30, 10, 20], [30, 10, 10, 20], 5, 4)
    writer.grid[:], writer.global_[:], writer.caption_global[:] = grid, vectors, captions
    writer.flush()
    return grid, vectors, captions


def test_a_store_gives_back_what_was_written(tmp_path):
    grid, vectors, captions = written(tmp_path)
    store = FeatureStore.open(tmp_path)
    assert store.grid.dtype == np.float16 and isinstance(store.grid, np.memmap)
    assert np.array_equal(store.grid, grid.astype(np.float16))
    assert np.array_equal(store.global_, vectors.astype(np.float32))
    assert store.rows_of([20, 30]).tolist() == [2, 0]
    assert np.array_equal(store.captions_of(10), captions[1:3].astype(np.float32))
    assert np.array_equal(store.captions_of(30), captions[:1].astype(np.float32))
    assert store.captions_of(99).shape == (0, 4)


def test_grids_are_read_as_they_lie_in_the_map(tmp_path):
    written(tmp_path)
    store = FeatureStore.open(tmp_path)
    for rows in ([2, 0, 2], [1], []):
        grids = store.grids(np.array(rows, int))
        assert type(grids) is np.ndarray and grids.dtype == np.float16 and np.array_equal(grids, store.grid[rows])
    held = replace(store, grid=np.array(store.grid))  # as photographs of one's own are
    assert np.array_equal(held.grids(np.array([2, 0])), store.grids(np.array([2, 0])))


def test_a_store_that_is_cut_while_it_is_open_is_named(tmp_path):
    written(tmp_path)
    store, path = FeatureStore.open(tmp_path), tmp_path / "grid.npy"
    os.truncate(path, path.stat().st_size - 10)
    assert len(store.grids(np.array([1]))) == 1
    with pytest.raises(UserError, match=r"grid\.npy: ends too early"):
        store.grids(np.array([2]))


def test_an_image_without_features_is_named(tmp_path):
    written(tmp_path)
    with pytest.raises(UserError, match="no features of image 40"):
        FeatureStore.open(tmp_path).rows_of([10, 40])


@pytest.mark.parametrize("size", [None, 0, 50, 500])
def test_a_missing_or_truncated_array_is_named(tmp_path, size):
    written(tmp_path)
    path = tmp_path / "grid.npy"
    path.unlink() if size is None else path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(UserError, match=r"grid\.npy.*extract the features again"):
        FeatureStore.open(tmp_path)


def test_arrays_that_disagree_are_an_error(tmp_path):
    written(tmp_path)
    np.save(tmp_path / "global.npy", np.zeros((2, 4), np.float32))
    with pytest.raises(UserError, match="disagree"):
        FeatureStore.open(tmp_path)


# ---- published files


def test_import_keeps_every_array_under_its_image(tmp_path):
    data = dataset()
    features, captions = published(tmp_path, data)
    store = imported(tmp_path, data, features, captions)
    assert store.image_ids.tolist() == [7, 3, 11] and store.caption_image.tolist() == [7, 7, 3, 11, 11, 11]
    for row, image in enumerate(data.images):
        with np.load(features / f"{image.id}.npz") as arrays:
            assert np.array_equal(store.grid[row], arrays["features"].astype(np.float16))
            assert np.array_equal(store.global_[row], arrays["g_feature"][0].astype(np.float32))
        with np.load(captions / f"{image.id}.npz") as arrays:
            assert np.array_equal(store.captions_of(image.id), arrays["g_feature"].astype(np.float32))


NAN = np.full((1, DIM), np.nan)
GRID = np.zeros((GRID_CELLS, GRID_DIM))


@pytest.mark.parametrize(
    ("replaced", "told"),
    [
        ({"g_feature": NAN}, "not finite"),
        ({"features": GRID + np.inf}, "not finite"),
        ({"features": GRID + 1e6}, "not finite in float16"),
        ({"features": GRID[:48]}, "shape 48 x 6, expected 49 x"),
        ({"features": GRID[0]}, "shape 6, expected 49 x"),
        ({"g_feature": np.ones((2, DIM))}, "shape 2 x 4, expected 1 x"),
        ({"features": None}, "no array 'features'"),
        ({"g_feature": None}, "no array 'g_feature'"),
        ({"features": GRID.astype(str)}, "expected numbers"),
    ],
)
def test_a_wrong_array_is_an_error_that_names_the_file(tmp_path, replaced, told):
    data = dataset()
    features, captions = published(tmp_path, data, **replaced)
    with pytest.raises(UserError, match=rf"features/7\.npz.*{told}"):
        imported(tmp_path, data, features, captions)


def test_dimensions_are_those_of_the_first_image(tmp_path):
    data = dataset()
    features, captions = published(tmp_path, data)
    np.savez(features / "3.npz", features=GRID[:, :5], g_feature=np.ones((1, DIM)))
    with pytest.raises(UserError, match=r"features/3\.npz: features of shape 49 x 5, expected 49 x 6"):
        imported(tmp_path, data, features, captions)


def test_a_caption_file_has_a_vector_for_each_caption(tmp_path):
    data = dataset()
    features, captions = published(tmp_path, data)
    np.savez(captions / "11.npz", g_feature=np.zeros((2, DIM)))
    with pytest.raises(UserError, match=r"caption_features/11\.npz: features of shape 2 x 4, expected 3 x 4"):
        imported(tmp_path, data, features, captions)


@pytest.mark.parametrize("share", [None, 0.0, 0.3, 0.9])
@pytest.mark.parametrize("kind", ["features", "caption_features"])
def test_a_missing_or_truncated_file_is_named(tmp_path, kind, share):
    data = dataset()
    folders = published(tmp_path, data)
    path = tmp_path / kind / "3.npz"
    content = path.read_bytes()
    path.unlink() if share is None else path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(UserError, match=rf"{kind}/3\.npz"):
        imported(tmp_path, data, *folders)


def test_a_flipped_byte_is_noticed(tmp_path):
    data = dataset()
    folders = published(tmp_path, data)
    path = tmp_path / "features" / "11.npz"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"features/11\.npz: not a readable"):
        imported(tmp_path, data, *folders)


def test_a_pickle_is_not_loaded(tmp_path):
    data = dataset()
    features, captions = published(tmp_path, data, features=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match=r"features/7\.npz: not a readable"):
        imported(tmp_path, data, features, captions)


@pytest.mark.skipif(not FLICKR8K.is_dir(), reason="no Flickr8k features beside this checkout")
def test_real_features_in_the_published_layout(tmp_path):
    whole = load_karpathy(FLICKR8K / "dataset_flickr8k.json", FLICKR8K / "images", "flickr8k", pixels=False)
    data = Dataset(whole.name, whole.images[:20], whole.image_root)
    store = imported(tmp_path, data, FLICKR8K / "features", FLICKR8K / "caption_features")
    assert store.grid.shape == (20, 49, 128) and store.global_.shape == (20, 256)
    assert store.caption_global.shape == (sum(len(image.captions) for image in data.images), 256)
    with np.load(FLICKR8K / "features" / f"{data.images[5].id}.npz") as arrays:
        assert np.array_equal(store.grid[5], arrays["features"])
    # both towers share a space: an image is nearer to its own captions than to the others' on average
    unit = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (store.global_, store.caption_global)]
    similarity = unit[0] @ unit[1].T
    own = store.image_ids[:, None] == store.caption_image[None, :]
    assert similarity[own].mean() > similarity[~own].mean() + 0.1


# ---- encoder


def stripes(degrees: float, colors=((0.9, 0.1, 0.1), (0.1, 0.1, 0.1))) -> torch.Tensor:
    """A (1, 3, 32, 32) image of soft stripes whose gradient points along ``degrees``, between two colours."""
    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    angle = torch.tensor(degrees * torch.pi / 180)
    wave = 0.5 + 0.5 * torch.sin((x * angle.cos() + y * angle.sin()) * 0.6)
    first, second = (torch.tensor(color)[:, None, None] for color in colors)
    return (wave * first + (1 - wave) * second)[None]


@pytest.mark.parametrize("direction", range(ORIENTATIONS))
def test_an_edge_counts_for_its_own_direction_most(direction):
    histogram = oriented_gradients(stripes(180 / ORIENTATIONS * direction))
    assert histogram.shape == (1, ORIENTATIONS, 16, 16)
    strength = histogram[0, :, 2:-2, 2:-2].mean(dim=(1, 2))
    assert strength.argmax() == direction
    # cos^4 of the angle between the edge and a direction
    angles = torch.arange(ORIENTATIONS) * torch.pi / ORIENTATIONS - direction * torch.pi / ORIENTATIONS
    torch.testing.assert_close(strength / strength.max(), angles.cos() ** 4, atol=0.02, rtol=0)


def test_oriented_gradients_hardly_know_colour():
    red, blue = (stripes(45, (color, (0.5, 0.5, 0.5))) for color in ((0.9, 0.5, 0.5), (0.5, 0.5, 0.9)))
    torch.testing.assert_close(oriented_gradients(red), oriented_gradients(blue))
    assert oriented_gradients(torch.full((1, 3, 16, 16), 0.4)).max() < 0.2  # and a plain area has no edges


def test_contrastive_loss_by_hand():
    similarity = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    rows = [-2 + math.log(math.e**2 + 1), math.log(2)]  # of image 0 and of image 1
    columns = [-2 + math.log(math.e**2 + math.e), -1 + math.log(1 + math.e)]
    expected = (sum(rows) / 2 + sum(columns) / 2) / 2
    assert contrastive_loss(similarity).item() == pytest.approx(expected)


def test_word_loss_is_least_at_the_shares_themselves():
    shares = torch.tensor([[0.2, 1.0, 0.5]])
    entropy = -sum(p * math.log(p) + (1 - p) * math.log(1 - p) for p in (0.2, 0.5))
    best = word_loss(torch.tensor([[math.log(0.25), 40.0, 0.0]]), shares)
    assert best.item() == pytest.approx(entropy, abs=1e-6)
    assert word_loss(torch.tensor([[0.0, 40.0, 0.0]]), shares) > best


def test_word_shares_count_captions_not_occurrences():
    ids = torch.tensor([[3, 3, 0], [3, 1, 2], [2, 0, 0]])
    shares = word_shares(ids, np.array([0, 2, 3]), vocab_size=4)
    assert shares.tolist() == [[0, 0.5, 0.5, 1.0], [0, 0, 1.0, 0]]


def test_recall_by_hand():
    """Directions in degrees: the first own caption is the nearest, the third and the ninth of images 0, 1 and 2."""
    images = [0, 120, 240]
    captions = [1, 121, 122, 239] + [125, 241, 242, 238] + [60, 60, 60, 60]

    def vectors(degrees):
        angle = torch.deg2rad(torch.tensor(degrees, dtype=torch.float32))
        return torch.stack([angle.cos(), angle.sin()], dim=1)

    found = recall(2 * vectors(images), 3 * vectors(captions), np.array([0, 4, 8, 12]))
    assert found == pytest.approx({"recall@1": 100 / 3, "recall@5": 200 / 3, "recall@10": 100})


def test_augmentation_depends_on_image_and_epoch_alone():
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 20, 20, 3), dtype=np.uint8))
    ids = np.array([5, 6, 7])
    views = augment(pixels, ids, 2)
    assert torch.equal(views, augment(pixels, ids, 2))
    assert torch.equal(views.flip(0), augment(pixels.flip(0), ids[::-1], 2))
    assert torch.equal(views[1:2], augment(pixels[1:2], ids[1:2], 2))
    assert not torch.equal(views, augment(pixels, ids, 3))
    assert views.shape == (3, 3, 20, 20) and views.min() >= 0 and views.max() <= 1


def test_augmentation_shifts_and_never_flips():
    """Brightness apart, the middle of a view is a window of the image at most SHIFT pixels away."""
    pixels = torch.from_numpy(np.random.default_rng(1).integers(20, 200, (1, 24, 24, 3), dtype=np.uint8))
    view, image = augment(pixels, np.array([1]), 0)[0], tower_input(pixels)[0]
    middle = view[:, SHIFT:-SHIFT, SHIFT:-SHIFT]
    spreads = []
    for top in range(2 * SHIFT + 1):
        for left in range(2 * SHIFT + 1):
            ratio = middle / image[:, top : top + middle.shape[1], left : left + middle.shape[2]]
            spreads.append((ratio.std() / ratio.mean()).item())
    assert min(spreads) < 1e-3  # one factor for all pixels


def test_caption_ids_are_cut_and_padded():
    class Words:
        def encode(self, tokens):
            return [int(token) for token in tokens]

    ids = caption_ids([["3", "4"], ["5"] * 30], Words())
    assert ids.shape == (2, TEXT_LENGTH) and ids[0].tolist() == [3, 4] + [0] * 18 and ids[1].tolist() == [5] * 20


def test_a_truncated_photograph_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Picture.fromarray(noise).save(tmp_path / "9.jpg", quality=90)
    images = (Image(9, "9.jpg", "train", (Caption(("a",), "a"),)),)
    data = Dataset("photos", images, tmp_path)
    assert read_images(data, images, 32).shape == (1, 32, 32, 3)
    content = (tmp_path / "9.jpg").read_bytes()
    (tmp_path / "9.jpg").write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match=r"9\.jpg: truncated or not an image"):
        read_images(data, images, 32)
    (tmp_path / "9.jpg").unlink()
    with pytest.raises(UserError, match=r"9\.jpg: no such image file"):
        read_images(data, images, 32)
