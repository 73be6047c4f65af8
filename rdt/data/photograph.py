"""The one decoder of photographs: whatever a file holds becomes the RGB picture that one sees of it."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
from PIL import Image as Picture

from rdt.errors import UserError
from rdt.signatures import GIT_LFS, HEAD, HEIC, SVG, WEB_PAGE, what_it_is

MOST_PIXELS = 250_000_000  # 1 GB once decoded; the largest sensors of telephones have 200 million
LONGEST = 100  # times its short side: CLIP brings the short side to a fixed size, whatever becomes of the other
FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TGA", "TIFF", "WEBP")
_ORIENTATION, _SAMPLE_FORMAT, _SIGNED = 0x0112, 339, 2  # tags of EXIF and TIFF, and a value of the second

_SAVE_AGAIN = "save it as JPEG or PNG"
_REMEDIES = {
    HEIC: _SAVE_AGAIN,
    SVG: "export it as PNG",
    WEB_PAGE: "fetch the photograph again",
    GIT_LFS: "fetch the content with `git lfs pull`",
}

Picture.MAX_IMAGE_PIXELS = None  # the size is checked here: Pillow calls a large photograph an attack
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")  # of damaged tags, which are nobody's concern


def open_image(path: Path) -> Picture.Image:
    """The photograph as RGB, 8 bits a channel, upright.

    Turned as its EXIF orientation says; transparent parts are white; of an animation the first frame; grey of 16
    bits by its high byte as Pillow reads colours of 16 bits, other depths as :func:`_eight_bits` has it. Raises
    ``UserError`` if the file is missing, truncated, too large or not an image.
    """
    try:
        with Picture.open(path, formats=FORMATS) as picture:
            _check_size(path, picture.size)
            picture.load()
            return _seen(path, picture)
    except UserError:
        raise
    except FileNotFoundError:
        raise UserError(path, "no such image file", "complete the image folder") from None
    except Exception as error:  # decoders raise anything on damaged files, MemoryError and struct.error too
        raise _unreadable(path, error) from error


def _check_size(path: Path, size: tuple[int, int]) -> None:
    width, height = size
    if width * height > MOST_PIXELS:
        megapixels = f"{width * height / 1e6:,.0f} megapixels, and at most {MOST_PIXELS / 1e6:,.0f} are read"
        raise UserError(path, f"is {width:,} x {height:,} pixels, {megapixels}", "save it smaller")
    if max(size) > LONGEST * min(size):
        raise UserError(path, f"is a strip of {width:,} x {height:,} pixels", f"crop it to less than {LONGEST} : 1")


def _seen(path: Path, picture: Picture.Image) -> Picture.Image:
    """What one sees of a decoded picture."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _turned(picture, Picture.fromarray(_eight_bits(path, picture)))
    else:
        picture = _turned(picture, picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Picture.alpha_composite(Picture.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def _turned(tagged: Picture.Image, picture: Picture.Image) -> Picture.Image:
    """``picture`` turned as the EXIF data of ``tagged`` say; damaged data say nothing."""
    try:
        orientation = tagged.getexif().get(_ORIENTATION, 1)
    except Exception:
        return picture
    turn = _TURNS.get(orientation) if isinstance(orientation, int) else None
    return picture if turn is None else picture.transpose(turn)


_TURNS = {
    2: Picture.Transpose.FLIP_LEFT_RIGHT,
    3: Picture.Transpose.ROTATE_180,
    4: Picture.Transpose.FLIP_TOP_BOTTOM,
    5: Picture.Transpose.TRANSPOSE,
    6: Picture.Transpose.ROTATE_270,
    7: Picture.Transpose.TRANSVERSE,
    8: Picture.Transpose.ROTATE_90,
}


def _eight_bits(path: Path, picture: Picture.Image) -> np.ndarray:
    """Deep grey (h, w) as uint8: the high byte of 16 bits, and of 32 bits where the values need them.

    Values of 32 bits that fit 8 or 16 bits are taken for such; floats for shares of white, or for 8 or 16 bits,
    whichever is the least that holds them.
    """
    values = np.asarray(picture)
    if picture.mode == "F":
        low, high = float(values.min()), float(values.max())
        white = next((top for top in (1, 255, 65535) if high <= top), None)
        if white is None or not low >= 0:  # NaN is not
            problem = f"its grey values go from {low:g} to {high:g}, expected 0 to 1, 255 or 65535"
            raise UserError(path, problem, _SAVE_AGAIN)
        return np.rint(values * (255 / white)).astype(np.uint8)
    if picture.mode != "I":
        return (values >> 8).astype(np.uint8)
    signed = _SIGNED in getattr(picture, "tag_v2", {}).get(_SAMPLE_FORMAT, ())
    if signed and values.min() < 0:
        raise UserError(path, f"its grey values go down to {values.min()}, expected none below 0", _SAVE_AGAIN)
    values = values.astype(np.uint32)  # Pillow keeps unsigned numbers as signed ones
    high = int(values.max())
    return (values >> (0 if high < 2**8 else 8 if high < 2**16 else 23 if signed else 24)).astype(np.uint8)


def _unreadable(path: Path, error: Exception) -> UserError:
    """What is wrong with a file that cannot be decoded."""
    try:
        with path.open("rb") as file:
            kind = what_it_is(file.read(HEAD))
    except IsADirectoryError:
        return UserError(path, "is a folder, expected an image file", "name a file in it")
    except (OSError, ValueError) as refused:  # ValueError: a name that no file can have
        return UserError(path, f"cannot be read ({getattr(refused, 'strerror', refused)})", "correct it")
    if kind is None or "picture" in kind:
        return UserError(path, f"truncated or not an image ({error})", "replace the file")
    return UserError(path, f"is {kind}, which is not read as a photograph", _REMEDIES.get(kind, "replace the file"))
