"""Textured backgrounds, (side, side, 3) float32 in 0..255."""

from __future__ import annotations

import numpy as np

GROUND = {
    "grass": (118, 168, 84), "sand": (222, 198, 148), "water": (112, 176, 206), "brick wall": (176, 98, 78),
    "night sky": (26, 28, 62), "wooden floor": (178, 134, 88), "snow": (232, 238, 246),
}  # fmt: skip


def paint(name: str, side: int, rng: np.random.Generator, flatness: float) -> np.ndarray:
    """The background ``name``; ``flatness`` 0 gives full texture, towards 1 it pales and loses contrast."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    relief = {
        "grass": _grass, "sand": _sand, "water": _water, "brick wall": _bricks,
        "night sky": _stars, "wooden floor": _planks, "snow": _snow,
    }[name](x, y, rng)  # fmt: skip
    ground = np.array(GROUND[name], np.float32)
    canvas = ground + relief[..., None] * (1 - flatness * 0.6)
    if name != "night sky":
        canvas += (255 - canvas) * (flatness * 0.6)
    return canvas.astype(np.float32)


def _grain(shape: tuple[int, ...], scale: float, rng: np.random.Generator) -> np.ndarray:
    return scale * rng.standard_normal(shape, dtype=np.float32)


def _grass(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Upright blades: noise that is long in y and short in x."""
    noise = _grain((x.shape[0] + 6, x.shape[1]), 14, rng)
    return sum(noise[i : i + x.shape[0]] for i in range(0, 7)) / 2.2


def _sand(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    ripples = 5 * np.sin((y + 5 * np.sin(x / 17 + rng.uniform(0, 6))) / 4.5)
    return ripples + _grain(x.shape, 7, rng)


def _water(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    phase = rng.uniform(0, 6, 2)
    waves = np.sin(y / 3.2 + 1.6 * np.sin(x / 9 + phase[0])) + 0.6 * np.sin(y / 7 - x / 13 + phase[1])
    return 12 * waves


def _bricks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    height, width = 11, 24
    course = np.floor(y / height).astype(int)
    along = x + (course % 2) * (width / 2) + rng.integers(width)
    tint = rng.uniform(-13, 13, (course.max() + 1, int(along.max()) // width + 1))
    mortar = (y % height < 1.6) | (along % width < 1.6)
    return np.where(mortar, 58, tint[course, (along // width).astype(int)]) + _grain(x.shape, 4, rng)


def _stars(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    sky = _grain(x.shape, 2, rng) + y * 0.12
    row, column = rng.integers(0, x.shape[0] - 1, (2, 46))
    sky[row, column] += rng.uniform(110, 210, 46)
    sky[row[:12] + 1, column[:12]] += 90
    return sky


def _planks(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    width = 16
    across = y + rng.integers(width)
    plank = (across // width).astype(int)
    tint = rng.uniform(-14, 14, plank.max() + 1)
    grain = 5 * np.sin(across * 1.1 + 2.5 * np.sin(x / 21 + plank * 2.1))
    return np.where(across % width < 1.4, -62, tint[plank] + grain) + _grain(x.shape, 3, rng)


def _snow(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Soft drifts with a few darker flakes."""
    drifts = 5 * np.sin(x / 15 + rng.uniform(0, 6)) * np.sin(y / 11 + rng.uniform(0, 6))
    row, column = rng.integers(0, x.shape[0], (2, 150))
    drifts[row, column] -= 34
    return drifts - 3
