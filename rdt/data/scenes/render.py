"""A scene -> pixels, and which object each cell of the 7x7 grid shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from rdt.data.scenes.backgrounds import paint
from rdt.data.scenes.scene import Group, Scene
from rdt.data.scenes.shapes import SHAPES, Polygon
from rdt.experiment.settings import GRID_SIDE

SIDE = 112  # pixels of an image's side
CELL = SIDE // GRID_SIDE  # pixels of a grid cell's side
OVERSAMPLING = 3
CORNERS = 144  # at least as many as any polygon has

PALETTE = {
    "red": (212, 32, 36), "orange": (248, 128, 16), "yellow": (250, 220, 30), "green": (24, 140, 50),
    "blue": (36, 78, 220), "purple": (128, 48, 178), "pink": (252, 138, 192), "brown": (112, 68, 32),
    "white": (246, 246, 246), "black": (28, 28, 30),
}  # fmt: skip
DIAMETER = {"small": 24.0, "medium": 35.0, "large": 50.0}  # pixels


@dataclass(frozen=True)
class Style:
    """How a role's pictures are drawn. Lengths in pixels, intensities in grey levels of 0..255."""

    white: float  # share of white mixed into every colour
    outline: float  # width
    outline_tone: float  # outline colour = this share of the object's own
    shading: float  # brightness of the lit edge less the middle's
    wobble: float  # scatter of an outline's corners, in half diameters
    noise: float  # standard deviation of the pixel noise
    flatness: float  # 0: textured backgrounds, 1: uniform ones


RENDERED = Style(white=0.0, outline=1.0, outline_tone=0.4, shading=0.16, wobble=0.0, noise=4.0, flatness=0.0)
SKETCHED = Style(white=0.16, outline=1.7, outline_tone=0.08, shading=0.0, wobble=0.022, noise=2.0, flatness=0.55)


@dataclass(frozen=True)
class Nuisance:
    """What a caption never tells, drawn apart from the scene so that twins share it."""

    shift: np.ndarray  # (3, 2) of a group, in [-1, 1]
    nudge: np.ndarray  # (3, 3, 2) of an object in its group, in [-1, 1]
    angle: np.ndarray  # (3, 3) degrees
    scale: np.ndarray  # (3, 3) factor of the diameter
    brightness: float
    rng: np.random.Generator  # pixels of the background, corners, noise


def sample_nuisance(rng: np.random.Generator) -> Nuisance:
    return Nuisance(
        shift=rng.uniform(-1, 1, (3, 2)),
        nudge=rng.uniform(-1, 1, (3, 3, 2)),
        angle=rng.uniform(-9, 9, (3, 3)),
        scale=rng.uniform(0.94, 1.05, (3, 3)),
        brightness=float(rng.uniform(0.88, 1.06)),
        rng=rng,
    )


def place(scene: Scene, nuisance: Nuisance) -> list[np.ndarray]:
    """Centres of the objects of each group, (count, 2) in pixels, all inside the picture."""
    overlap = scene.layout in ("front", "behind")
    centres = []
    for i, (group, anchor) in enumerate(zip(scene.groups, _anchors(scene), strict=True)):
        diameter = DIAMETER[group.size]
        slack = (3, 16) if len(scene.groups) == 3 else (4, 4)
        offsets = _offsets(group.count, upright=scene.layout in ("left", "right")) * diameter
        # Two that overlap move together, or a shift could part them.
        points = anchor + nuisance.shift[0 if overlap else i] * slack + offsets + nuisance.nudge[i, : group.count] * 1.5
        low, high = diameter / 2 + 2, SIDE - diameter / 2 - 2
        centres.append(points + np.maximum(low - points.min(axis=0), 0) - np.maximum(points.max(axis=0) - high, 0))
    return centres


def _anchors(scene: Scene) -> list[tuple[float, float]]:
    """Centres of the groups before any jitter."""
    middle = SIDE / 2
    if len(scene.groups) == 1:
        places = {"left": (26, 56), "right": (86, 56), "middle": (56, 56), "top": (56, 26), "bottom": (56, 86)}
        return [places[scene.layout]]
    if len(scene.groups) == 3:
        x = {group: 20 + 36 * k for k, group in enumerate(scene.row)}
        return [(x[group], middle) for group in scene.groups]
    first, second = (DIAMETER[group.size] for group in scene.groups)
    d = 0.225 * (first + second) / 2 if scene.layout in ("front", "behind") else 28
    dx, dy = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1), "front": (1, 1), "behind": (1, 1)}[
        scene.layout
    ]
    return [(middle + dx * d, middle + dy * d), (middle - dx * d, middle - dy * d)]


def _offsets(count: int, upright: bool) -> np.ndarray:
    """Positions of a group's objects about its centre, in diameters."""
    if count == 3:
        return np.array([(-0.55, -0.5), (0.55, -0.5), (0.0, 0.52)])
    line = np.array([(0.0, 0.0)]) if count == 1 else np.array([(-0.56, -0.08), (0.56, 0.08)])
    return line[:, ::-1] if upright else line


def render(scene: Scene, nuisance: Nuisance, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """Pixels (112, 112, 3) uint8, and (112, 112) int8: 1 + the group that each pixel shows, 0 where none."""
    rng = nuisance.rng
    canvas = paint(scene.background, SIDE, rng, style.flatness)
    shown = np.zeros((SIDE, SIDE), np.int8)
    centres = place(scene, nuisance)
    wobble = rng.normal(0.0, style.wobble, (CORNERS, 2))
    order = range(len(scene.groups))
    for i in reversed(order) if scene.layout == "front" else order:
        for k, centre in enumerate(centres[i]):
            radius = DIAMETER[scene.groups[i].size] * nuisance.scale[i, k] / 2
            _draw(canvas, shown, scene.groups[i], i + 1, centre, radius, nuisance.angle[i, k], style, wobble)
    pixels = canvas * nuisance.brightness + style.noise * rng.standard_normal(canvas.shape, dtype=np.float32)
    return np.clip(pixels, 0, 255).astype(np.uint8), shown


def _draw(
    canvas: np.ndarray,
    shown: np.ndarray,
    group: Group,
    label: int,
    centre: np.ndarray,
    radius: float,
    degrees: float,
    style: Style,
    wobble: np.ndarray,
) -> None:
    """Draw one object on ``canvas`` and write its ``label`` where it is seen."""
    half = int(radius * 1.12 + style.outline) + 2
    left, top = (int(round(value)) - half for value in centre)
    cosine, sine = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    turn = np.array([[cosine, sine], [-sine, cosine]])

    def to_mask(points: Polygon) -> list[tuple[float, float]]:
        local = (points + wobble[: len(points)]) @ turn * radius + centre - (left, top)
        return [(x, y) for x, y in (local * OVERSAMPLING).tolist()]

    outline, fill, marks = _masks(group.kind, 2 * half, style.outline, to_mask)
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(left + 2 * half, SIDE), min(top + 2 * half, SIDE)
    window = np.s_[y0 - top : y1 - top, x0 - left : x1 - left]
    outline, fill, marks = outline[window], fill[window], marks[window]

    y, x = np.mgrid[y0:y1, x0:x1].astype(np.float32)
    u = (x - centre[0]) * cosine + (y - centre[1]) * sine
    v = (y - centre[1]) * cosine - (x - centre[0]) * sine
    base, second = tones(group.color, style)
    pattern = _pattern(group.texture, u, v)[..., None]
    surface = (base * (1 - pattern) + second * pattern) * (1 - style.shading * (u + v) / (2 * radius))[..., None]

    # What is darker than an object shows its parts; a black one needs something lighter.
    edge, mark = (base + 60, base + 70) if group.color == "black" else (base * style.outline_tone, base * 0.25 + 12)
    region = canvas[y0:y1, x0:x1]
    for colour, mask in ((edge, outline), (surface, fill), (mark, marks)):
        region += (colour - region) * mask[..., None]
    shown[y0:y1, x0:x1][np.maximum(outline, fill) > 0.5] = label


def _masks(
    kind: str, side: int, outline: float, to_mask: Callable[[Polygon], list[tuple[float, float]]]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Coverage in [0, 1] of the silhouette grown by the outline, of its inside, and of the marks."""
    shape = SHAPES[kind]
    layers = [Image.new("L", (side * OVERSAMPLING,) * 2) for _ in range(3)]
    edge, inside, marks = (ImageDraw.Draw(layer) for layer in layers)
    width = max(1, round(2 * outline * OVERSAMPLING))
    for part in shape.fill:
        points = to_mask(part)
        edge.line([*points, points[0], points[1]], fill=255, width=width, joint="curve")
        inside.polygon(points, fill=255)
    for hole in shape.holes:
        points = to_mask(hole)
        inside.polygon(points, fill=0)
        edge.polygon(points, fill=0)
        edge.line([*points, points[0], points[1]], fill=255, width=width // 2)
    for mark in shape.marks:
        marks.polygon(to_mask(mark), fill=255)
    grown, fill, dark = (np.asarray(layer.reduce(OVERSAMPLING), np.float32) / 255 for layer in layers)
    return grown, fill, dark * (fill > 0)


def tones(color: str, style: Style) -> tuple[np.ndarray, np.ndarray]:
    """RGB of an object's colour and of its texture's second tone."""
    base = np.array(PALETTE[color], np.float32)
    base += (255 - base) * style.white * (0.5 if color == "black" else 1.0)
    luminance = float(base @ (0.3, 0.59, 0.11))
    second = base * 0.42 if luminance > 130 else base + (255 - base) * 0.72
    return base, second.astype(np.float32)


def _pattern(texture: str, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    """Share of the second tone at (u, v), pixels along the object's own axes."""
    if texture == "plain":
        return np.zeros_like(u)
    if texture == "striped":
        wave = np.sin((u + v) * (np.pi / 4.8)) - 0.35
    elif texture == "dotted":
        row = np.floor(v / 6.5)
        du = (u / 7.5 + 0.5 * (row % 2)) % 1 - 0.5
        dv = (v / 6.5) % 1 - 0.5
        wave = (2.1 - np.hypot(du * 7.5, dv * 6.5)) * 0.9
    else:
        wave = np.sin(u * (np.pi / 5.5)) * np.sin(v * (np.pi / 5.5)) * 1.6
    return np.clip(0.5 + 1.8 * wave, 0, 1)


def dominant(shown: np.ndarray) -> np.ndarray:
    """(7, 7) int8: the group seen in most pixels of each cell, if it fills a quarter of the cell, else 0."""
    cells = shown.reshape(SIDE // CELL, CELL, SIDE // CELL, CELL).swapaxes(1, 2).reshape(SIDE // CELL, SIDE // CELL, -1)
    pixels = np.stack([(cells == label).sum(axis=-1) for label in (1, 2, 3)], axis=-1)
    return np.where(pixels.max(axis=-1) * 4 >= CELL * CELL, pixels.argmax(axis=-1) + 1, 0).astype(np.int8)
