"""Whose features are these: the namings that are known, and doubt between them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rdt.data.dataset import Image
from rdt.errors import UserError
from rdt.features.naming import entries_of
from rdt.features.sources import open_source


def images(*names: str) -> list[Image]:
    """Images numbered from 0 on."""
    return [Image(at, name, "train", ()) for at, name in enumerate(names)]


def source(folder: Path, entries: object):
    folder.mkdir()
    for entry in entries:
        np.save(folder / f"{entry}.npy", np.ones(1))
    return open_source(folder)


SHUFFLED = images("photo_00026.jpg", "photo_00020.jpg", "photo_00003.jpg")


@pytest.mark.parametrize(
    ("names", "entries"),
    [
        (("a_7.jpg", "b_5.jpg"), ("0", "1")),
        (("COCO_val2014_000000000042.jpg", "COCO_val2014_000000000007.jpg"), ("42", "7")),
        (("COCO_val2014_000000000042.jpg", "COCO_val2014_000000000007.jpg"), ("000000000042", "000000000007")),
        (("1000268201_693b08cb0e.jpg", "997722733_0cb5439472.jpg"), ("1000268201_693b08cb0e", "997722733_0cb5439472")),
        (("val/kitchen.jpg", "val/bath.jpg"), ("kitchen", "bath")),
        (("val/kitchen.jpg", "val/bath.jpg"), ("kitchen.jpg", "bath.jpg")),
        (("000000000000.jpg", "000000000005.jpg"), ("0", "5")),  # a number of zeros alone is 0
    ],
)
def test_entries_go_by_id_by_number_or_by_the_photographs_name(tmp_path, names, entries):
    assert entries_of([source(tmp_path / "f", entries)], images(*names)) == [entries]


def test_a_photograph_whose_name_ends_in_zeros(tmp_path):
    assert entries_of([source(tmp_path / "f", ["0", "10"])], images("a_00010.jpg", "a_000.jpg")) == [("10", "0")]


def test_two_namings_that_fit_are_doubt_and_a_key_settles_it(tmp_path):
    sources = [source(tmp_path / name, range(30)) for name in ("images", "captions")]
    with pytest.raises(UserError) as caught:
        entries_of(sources, SHUFFLED)
    assert str(caught.value) == (
        f"{tmp_path}/images: has features of 3 of 3 images by image id (0 for photo_00026.jpg) and of 3 of 3 images by "
        "the number in the photograph's name (26 for photo_00026.jpg); say which is meant: "
        "data.*.features_named_by: id or number"
    )
    assert entries_of(sources, SHUFFLED, "number") == [("26", "20", "3")] * 2
    assert entries_of(sources, SHUFFLED, "id") == [("0", "1", "2")] * 2


def test_one_folder_settles_it_for_the_other(tmp_path):
    sources = [source(tmp_path / "images", range(30)), source(tmp_path / "captions", [26, 20, 3])]
    assert entries_of(sources, SHUFFLED) == [("26", "20", "3")] * 2


def test_a_naming_that_lacks_a_few_is_doubt_where_the_other_leaves_entries_over(tmp_path):
    """Photographs 10, 20, ... of 200, of which one could not be read: the ids 0 to 18 are all there."""
    some = images(*(f"photo_{10 * at:05}.jpg" for at in range(1, 20)))
    with pytest.raises(UserError, match=r"19 of 19 images by image id .* and of 18 of 19 images by the number"):
        entries_of([source(tmp_path / "f", set(range(200)) - {110})], some)


def test_photographs_numbered_from_one_are_no_doubt_where_the_folder_has_these_alone(tmp_path):
    some = images(*(f"{at:04}.jpg" for at in range(1, 21)))
    assert entries_of([source(tmp_path / "f", range(20))], some)[0][0] == "0"
    assert entries_of([source(tmp_path / "g", range(1, 21))], some)[0][0] == "1"


def test_folders_with_a_naming_each(tmp_path):
    sources = [source(tmp_path / "images", ["b", "a"]), source(tmp_path / "captions", [0, 1])]
    assert entries_of(sources, images("a.jpg", "b.jpg")) == [("a", "b"), ("0", "1")]


def test_a_naming_that_gives_two_images_one_entry_is_none(tmp_path):
    with pytest.raises(UserError, match=r"features_named_by: number: does not tell the entries of images apart"):
        entries_of([source(tmp_path / "f", [0, 1])], images("a_1.jpg", "b_1.jpg"), "number")


def test_a_folder_of_something_else_names_the_namings_and_what_it_holds(tmp_path):
    folder = tmp_path / "f"
    folder.mkdir()
    (folder / "a.pth").write_bytes(b"x")
    with pytest.raises(UserError) as caught:
        entries_of([open_source(folder)], images("val/a_7.jpg"))
    assert str(caught.value) == (
        f"{folder}: has features of none of the 1 images: 0.npz (image id) or 7.npz (the number in the photograph's "
        "name) or a_7.npz (the photograph's name) is expected, and it holds a.pth; name the folder of this data set's "
        "features"
    )
