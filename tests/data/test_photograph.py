"""The decoder of photographs: what one sees of a file, whichever way it is stored."""

from __future__ import annotations

import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Picture

from rdt.data.photograph import open_image
from rdt.errors import UserError

RAMP = np.arange(12 * 20, dtype=np.uint8).reshape(12, 20)
COLOURS = np.stack([RAMP, RAMP[::-1], RAMP[:, ::-1]], axis=-1)


def seen(path: Path) -> np.ndarray:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        picture = open_image(path)
    assert picture.mode == "RGB"
    return np.asarray(picture)


def saved(path: Path, picture: Picture.Image | np.ndarray, **options: object) -> Path:
    (picture if isinstance(picture, Picture.Image) else Picture.fromarray(picture)).save(path, **options)
    return path


@pytest.mark.parametrize("array", [RAMP, COLOURS], ids=["grey", "RGB"])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "progressive.jpg"])
def test_plain_files_have_the_pixels_that_they_always_had(tmp_path, array, name):
    """Features of earlier extractions stay what they are."""
    path = saved(tmp_path / name, array, **({"progressive": True} if "progressive" in name else {}))
    with Picture.open(path) as picture:
        assert (seen(path) == np.asarray(picture.convert("RGB"))).all()


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_the_picture_upright(tmp_path, suffix, orientation):
    upright = np.kron(np.array([[0, 80, 160], [40, 200, 255]], np.uint8), np.ones((16, 16), np.uint8))
    # What a camera stores that is held in each way: the inverse of how the EXIF standard says to show it.
    stored = [
        upright,
        upright[:, ::-1],
        upright[::-1, ::-1],
        upright[::-1],
        upright.T,
        np.rot90(upright),
        np.rot90(upright, 2).T,
        np.rot90(upright, -1),
    ][orientation - 1]
    exif = Picture.Exif()
    exif[0x0112] = orientation
    picture = Picture.fromarray(np.ascontiguousarray(stored))
    path = saved(
        tmp_path / f"a.{suffix}", picture.convert("RGB"), exif=exif, **({"quality": 95} if suffix != "tif" else {})
    )
    assert np.abs(seen(path)[..., 0].astype(int) - upright).max() < 12  # JPEG's and WebP's rounding


def test_damaged_exif_turns_nothing(tmp_path):
    path = saved(tmp_path / "a.jpg", COLOURS, exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7fnonsense")
    assert open_image(path).size == (20, 12)


DEEP = [
    (RAMP.astype(np.uint16) * 257, "png"),
    (RAMP.astype(np.uint16) * 256 + 255, "tif"),
    (RAMP.astype(np.int32), "tif"),
    (RAMP.astype(np.int32) * 257, "tif"),
    (RAMP.astype(np.int32) * 2**23, "tif"),
    (RAMP.astype(np.float32) / 255, "tif"),
    (RAMP.astype(np.float32), "tif"),
    (RAMP.astype(np.float32) * 257, "tif"),
]


@pytest.mark.parametrize(("values", "suffix"), DEEP, ids=[f"{v.dtype}-{v.max():.0f}" for v, _ in DEEP])
def test_deep_grey_is_the_picture_and_not_white(tmp_path, values, suffix):
    path = saved(tmp_path / f"a.{suffix}", values)
    assert (seen(path) == RAMP[..., None]).all()


@pytest.mark.parametrize(
    ("value", "told"),
    [(np.float32("nan"), "from nan to nan"), (np.float32(-1), "from -1 to"), (np.int32(-7), "down to -7")],
)
def test_grey_values_that_are_no_brightness(tmp_path, value, told):
    values = RAMP.astype(value.dtype)
    values[0, 0] = value
    with pytest.raises(UserError, match=rf"a\.tif: its grey values go {told}"):
        open_image(saved(tmp_path / "a.tif", values))


def test_what_is_transparent_is_white(tmp_path):
    alpha = np.full(RAMP.shape, 255, np.uint8)
    alpha[:, :10], alpha[:, 10] = 0, 128
    expected = COLOURS.copy()
    expected[:, :10] = 255
    expected[:, 10] = (COLOURS[:, 10].astype(int) * 128 + 255 * 127 + 127) // 255
    found = seen(saved(tmp_path / "rgba.png", np.dstack([COLOURS, alpha])))
    assert np.abs(found.astype(int) - expected).max() <= 1
    found = seen(saved(tmp_path / "la.png", Picture.fromarray(np.dstack([RAMP, alpha]))))
    assert (found[:, :10] == 255).all() and (found[:, 11:] == RAMP[:, 11:, None]).all()


@pytest.mark.parametrize("transparency", [1, b"\xff\x00\xff"])
@pytest.mark.parametrize("suffix", ["png", "gif"])
def test_a_palette_with_a_transparent_colour(tmp_path, suffix, transparency):
    if suffix == "gif" and transparency != 1:
        pytest.skip("GIF has one transparent colour")
    picture = Picture.fromarray((RAMP % 3).astype(np.uint8), mode=None).convert("L")
    palette = Picture.new("P", picture.size)
    palette.putdata(list(picture.get_flattened_data()))
    palette.putpalette([10, 20, 30, 255, 0, 255, 70, 80, 90])
    found = seen(saved(tmp_path / f"a.{suffix}", palette, transparency=transparency))
    assert (found == np.array([(10, 20, 30), (255, 255, 255), (70, 80, 90)], np.uint8)[RAMP % 3]).all()


def test_cmyk_and_the_first_frame_of_an_animation(tmp_path):
    red, blue = Picture.new("RGB", (20, 12), "red"), Picture.new("RGB", (20, 12), "blue")
    found = seen(saved(tmp_path / "cmyk.jpg", red.convert("CMYK"), quality=95))
    assert np.abs(found.astype(int) - (255, 0, 0)).max() < 5
    for name in ("a.gif", "a.webp", "a.tif", "a.png"):
        found = seen(saved(tmp_path / name, red, save_all=True, append_images=[blue]))
        assert np.abs(found.astype(int) - (255, 0, 0)).max() < 5


def empty_png(path: Path, width: int, height: int) -> Path:
    """The header of a PNG of any size."""
    header = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    end = b"IDAT" + zlib.compress(b"")
    chunks = (struct.pack(">I", len(c) - 4) + c + struct.pack(">I", zlib.crc32(c)) for c in (header, end, b"IEND"))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


def test_a_picture_that_is_too_large_is_told_with_its_size_before_it_is_decoded(tmp_path):
    told = r"a\.png: is 20,000 x 15,000 pixels, 300 megapixels, and at most 250 are read; save it smaller"
    with pytest.raises(UserError, match=told):
        open_image(empty_png(tmp_path / "a.png", 20_000, 15_000))
    with pytest.raises(UserError, match=r"b\.png: is a strip of 100,000 x 3 pixels; crop it"):
        open_image(empty_png(tmp_path / "b.png", 100_000, 3))


@pytest.mark.parametrize(
    ("start", "told"),
    [
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "is a HEIC photograph, .*; save it as JPEG or PNG"),
        (b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">', "is an SVG drawing, .*; export it as PNG"),
        (b"<!DOCTYPE html><html>", r"is a web page \(HTML\), .*; fetch the photograph again"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "is a Git LFS pointer, .*git lfs pull"),
        (b"%PDF-1.7", "is a PDF document, which is not read as a photograph; replace the file"),
        (b"\x00\x00\x00\x20ftypisom\x00\x00\x02\x00", "is a video, "),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "is a PostScript document, "),
        (b"", "truncated or not an image"),
    ],
)
def test_other_files_are_called_what_they_are(tmp_path, start, told):
    path = tmp_path / "a.jpg"
    path.write_bytes(start)
    with pytest.raises(UserError, match=rf"a\.jpg: {told}"):
        open_image(path)


def test_a_folder_and_a_name_that_no_file_can_have(tmp_path):
    with pytest.raises(UserError, match="is a folder, expected an image file"):
        open_image(tmp_path)
    with pytest.raises(UserError, match="cannot be read"):
        open_image(tmp_path / ("a" * 300))
