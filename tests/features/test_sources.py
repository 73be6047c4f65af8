"""Features as users keep them: folders of .npz or .npy files, one .npz, one HDF5 file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from rdt.data.dataset import Caption, Dataset, Image
from rdt.errors import UserError
from rdt.features.imported import IMAGES_TO_JUDGE, Published, check_same_captions, import_published, shared_words
from rdt.features.sources import open_source
from rdt.features.store import FeatureStore

D, E = 6, 4
IDS = (7, 3, 11)
RNG = np.random.default_rng(5)
GRIDS = {name: RNG.normal(size=(49, D)).astype(np.float32) for name in IDS}
VECTORS = {name: RNG.normal(size=(1, E)).astype(np.float32) for name in IDS}
CAPTIONS = {name: RNG.normal(size=(2, E)).astype(np.float32) for name in IDS}
DATA = Dataset(
    "made",
    tuple(Image(name, f"{name}.png", "train", (Caption(("a",), "a"), Caption(("b",), "b"))) for name in IDS),
    Path("."),
)


def folder(path: Path, arrays: dict[int, object]) -> Path:
    """A folder of .npz files, or of .npy files where an image has one array without a name."""
    path.mkdir()
    for name, found in arrays.items():
        np.savez(path / f"{name}.npz", **found) if isinstance(found, dict) else np.save(path / f"{name}.npy", found)
    return path


def plain(path: Path) -> tuple[Path, Path]:
    """Folders in the published layout."""
    images = {name: {"features": GRIDS[name], "g_feature": VECTORS[name]} for name in IDS}
    captions = {name: {"g_feature": CAPTIONS[name]} for name in IDS}
    return folder(path / "images", images), folder(path / "captions", captions)


def store(path: Path, images: Path, captions: Path, *more: object, **keys: str) -> FeatureStore:
    (path / "store").mkdir()
    import_published(DATA, path / "store", Published(images, captions, *more, **keys))
    return FeatureStore.open(path / "store")


def holds_all(found: FeatureStore) -> bool:
    return (
        np.array_equal(found.grid, [GRIDS[name].astype(np.float16) for name in IDS])
        and np.array_equal(found.global_, np.concatenate([VECTORS[name] for name in IDS]))
        and np.array_equal(found.caption_global, np.concatenate([CAPTIONS[name] for name in IDS]))
    )


def test_the_published_layout(tmp_path):
    assert holds_all(store(tmp_path, *plain(tmp_path)))


def test_arrays_under_other_names(tmp_path):
    images = {name: {"att": GRIDS[name], "fc": VECTORS[name][0]} for name in IDS}
    captions = {name: {"fc": CAPTIONS[name]} for name in IDS}
    folders = folder(tmp_path / "images", images), folder(tmp_path / "captions", captions)
    with pytest.raises(UserError) as caught:
        store(tmp_path, *folders)
    assert str(caught.value) == (
        f"{tmp_path}/images/7.npz: has att, fc, expected features and g_feature; "
        "name the arrays by data.*.grid_key and data.*.global_key"
    )
    (tmp_path / "store").rmdir()
    assert holds_all(store(tmp_path, *folders, grid_key="att", global_key="fc"))


def test_grids_of_7_x_7(tmp_path):
    images = {name: {"features": GRIDS[name].reshape(7, 7, D), "g_feature": VECTORS[name]} for name in IDS}
    _, captions = plain(tmp_path)
    (tmp_path / "store").mkdir()
    notes = import_published(DATA, tmp_path / "store", Published(folder(tmp_path / "square", images), captions))
    assert holds_all(FeatureStore.open(tmp_path / "store"))
    assert notes == ("grids of 7 x 7 x D are read row by row as 49 x D",)


def test_npy_files_have_the_grid_and_the_vectors_for_retrieval_stand_for_the_global_ones(tmp_path):
    grids = folder(tmp_path / "grids", GRIDS)
    captions, vectors = folder(tmp_path / "captions", CAPTIONS), folder(tmp_path / "vectors", VECTORS)
    with pytest.raises(UserError, match=r"grids/7\.npy: has a grid alone, no array 'g_feature'; .*retrieval_features"):
        store(tmp_path, grids, captions)
    (tmp_path / "store").rmdir()
    assert holds_all(store(tmp_path, grids, captions, vectors))


def write_hdf5(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def write_npz(path: Path, arrays: dict[str, np.ndarray]) -> Path:
    np.savez(path, **arrays)
    return path


@pytest.mark.parametrize(("write", "suffix"), [(write_hdf5, "h5"), (write_npz, "npz")])
def test_one_file_with_arrays_of_each_image(tmp_path, write, suffix):
    images = {f"{n}/features": GRIDS[n] for n in IDS} | {f"{n}/g_feature": VECTORS[n] for n in IDS}
    captions = {str(name): CAPTIONS[name] for name in IDS}
    files = (write(tmp_path / f"images.{suffix}", images), write(tmp_path / f"captions.{suffix}", captions))
    assert holds_all(store(tmp_path, *files))


@pytest.mark.parametrize(("write", "suffix"), [(write_hdf5, "hdf5"), (write_npz, "npz")])
def test_one_file_with_rows_and_their_ids(tmp_path, write, suffix):
    order = (3, 11, 7)
    images = {
        "image_ids": np.array(order),
        "features": np.stack([GRIDS[name] for name in order]),
        "g_feature": np.concatenate([VECTORS[name] for name in order]),
    }
    captions = {
        "ids": np.array([b"11", b"3", b"3", b"11", b"7", b"7"]),  # text, and the rows of an image are not together
        "g_feature": np.stack([CAPTIONS[n][at] for n, at in ((11, 0), (3, 0), (3, 1), (11, 1), (7, 0), (7, 1))]),
    }
    files = (write(tmp_path / f"images.{suffix}", images), write(tmp_path / f"captions.{suffix}", captions))
    assert holds_all(store(tmp_path, *files))


def test_an_image_that_a_file_lacks(tmp_path):
    images, captions = plain(tmp_path)
    lacking = write_hdf5(tmp_path / "c.h5", {str(name): CAPTIONS[name] for name in IDS[:2]})
    with pytest.raises(UserError, match=r"c\.h5 \(11\): the file does not hold it; fetch or extract it"):
        store(tmp_path, images, lacking)


def test_a_file_of_another_kind_is_named(tmp_path):
    (tmp_path / "f.pkl").write_bytes(b"\x80\x04\x95\x00")
    with pytest.raises(UserError, match=r"f\.pkl: is a pickle, expected a folder of \.npz or \.npy files, or one"):
        open_source(tmp_path / "f.pkl")
    (tmp_path / "f.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    with pytest.raises(UserError, match=r"f\.h5: not a readable HDF5 or \.npz file"):
        open_source(tmp_path / "f.h5")


# ---- numbers without meaning


@pytest.mark.parametrize(
    ("where", "arrays", "told"),
    [
        ("images", {"features": GRIDS[3], "g_feature": np.zeros((1, E))}, "its vector has length 0, and so no dir"),
        ("images", {"features": GRIDS[3], "g_feature": np.full((1, E), 1e-30)}, "its vector has length 0, and so no"),
        ("images", {"features": GRIDS[3], "g_feature": np.full((1, E), 1e30)}, "its vector has length inf, and so no"),
        ("images", {"features": GRIDS[3], "g_feature": np.full((1, E), 1e300)}, "features that are not finite in flo"),
        ("images", {"features": np.zeros((49, D)), "g_feature": VECTORS[3]}, "the 49 cells of its grid are all equal"),
        ("images", {"features": np.ones((49, D)), "g_feature": VECTORS[3]}, "the 49 cells of its grid are all equal"),
        ("captions", {"g_feature": CAPTIONS[3] * [[1], [0]]}, "vector 2 of 2 has length 0, and so no direction"),
    ],
)
def test_numbers_that_tell_nothing_are_named(tmp_path, where, arrays, told):
    folders = plain(tmp_path)
    np.savez(tmp_path / where / "3.npz", **arrays)
    with pytest.raises(UserError) as caught:
        store(tmp_path, *folders)
    assert str(caught.value).startswith(f"{tmp_path}/{where}/3.npz: {told}")


def equal(**arrays: np.ndarray) -> dict[int, dict[str, np.ndarray]]:
    """Images that have these arrays in common."""
    return {name: {"features": GRIDS[name], "g_feature": VECTORS[name]} | arrays for name in IDS}


def test_vectors_that_are_all_equal(tmp_path):
    _, captions = plain(tmp_path)
    images = folder(tmp_path / "equal", equal(g_feature=VECTORS[3]))
    with pytest.raises(UserError, match=r"equal/7\.npz: has the vector that all 3 have: it tells nothing"):
        store(tmp_path, images, captions)


def test_vectors_for_retrieval_that_are_all_equal(tmp_path):
    vectors = folder(tmp_path / "vectors", dict.fromkeys(IDS, VECTORS[3]))
    with pytest.raises(UserError, match=r"vectors/7\.npy: has the vector that all 3 have: it tells nothing"):
        store(tmp_path, *plain(tmp_path), vectors)


def test_caption_vectors_that_are_all_equal_though_the_sentences_differ(tmp_path):
    images, captions = plain(tmp_path)
    np.savez(captions / "11.npz", g_feature=np.ones((2, E)))
    with pytest.raises(UserError, match=r"captions/11\.npz: the vectors of its 2 captions are all equal"):
        store(tmp_path, images, captions)


def test_one_picture_under_many_names_is_told(tmp_path):
    _, captions = plain(tmp_path)
    images = folder(tmp_path / "equal", equal(features=GRIDS[3], g_feature=VECTORS[3]))
    (tmp_path / "store").mkdir()
    notes = import_published(DATA, tmp_path / "store", Published(images, captions))
    assert notes == (f"{images}: all 3 images have one and the same grid",)


# ---- vectors of other sentences


def test_shared_words_by_hand():
    """Of three texts "a" is in all and weighs nothing, "b" is in two: log 1.5, "c" and "d" in one: log 3."""
    b, c = np.log(1.5), np.log(3)
    alike = shared_words([("a", "b"), ("a", "b", "c"), ("a", "d", "d")])
    assert alike[0, 1] == pytest.approx(b / (b * b + c * c) ** 0.5)
    assert alike[0, 2] == 0 and alike[1, 1] == pytest.approx(1)


def test_captions_that_are_shifted_as_their_images_are(tmp_path):
    """Each vector is the sum of its words' vectors; shifted, it is that of another sentence."""
    rng = np.random.default_rng(0)
    words = rng.normal(size=(40, 16))
    texts = [tuple(rng.choice(40, size=6)) for _ in range(IMAGES_TO_JUDGE + 50)]
    vectors = np.stack([words[list(text)].sum(axis=0) for text in texts]) + rng.normal(size=(len(texts), 16))
    first = np.arange(len(texts))
    check_same_captions(tmp_path, vectors, texts, first)
    with pytest.raises(UserError, match=r"captions with the same words are no nearer to each other .*see data"):
        check_same_captions(tmp_path, np.roll(vectors, 7, axis=0), texts, first)
    check_same_captions(tmp_path, np.roll(vectors, 7, axis=0)[:99], texts[:99], first[:99])  # too few to judge
    apart = [(f"{at}",) for at in first]  # nothing in common, as in a script without spaces
    check_same_captions(tmp_path, np.roll(vectors, 7, axis=0), apart, first)


def test_rows_of_sentences_without_words_are_left_out(tmp_path):
    """Features of both sentences of an image, of which the first has no words; and of the other alone."""
    wordless = [replace(image, captions=image.captions[1:], left_out=(0,)) for image in DATA.images]
    images, captions = plain(tmp_path)
    np.savez(captions / "3.npz", g_feature=CAPTIONS[3][1:])
    (tmp_path / "store").mkdir()
    import_published(replace(DATA, images=tuple(wordless)), tmp_path / "store", Published(images, captions))
    found = FeatureStore.open(tmp_path / "store")
    assert np.array_equal(found.caption_global, np.concatenate([CAPTIONS[name][1:] for name in IDS]))
