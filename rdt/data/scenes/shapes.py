"""Silhouettes of the kinds, as polygons in the unit box [-1, 1] x [-1, 1], y downwards."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

Polygon = np.ndarray  # (n, 2), x and y


@dataclass(frozen=True)
class Shape:
    """The union of ``fill`` less ``holes``; ``marks`` are drawn on it in a darker tone."""

    fill: tuple[Polygon, ...]
    holes: tuple[Polygon, ...] = ()
    marks: tuple[Polygon, ...] = ()


def polygon(*points: tuple[float, float]) -> Polygon:
    return np.array(points, dtype=np.float64)


def rectangle(left: float, top: float, right: float, bottom: float) -> Polygon:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(x: float, y: float, a: float, b: float, start: float = 0.0, stop: float = 360.0) -> Polygon:
    """The arc from ``start`` to ``stop`` degrees (clockwise on the screen), closed by its chord."""
    angle = np.radians(np.linspace(start, stop, 28))
    return np.stack([x + a * np.cos(angle), y + b * np.sin(angle)], axis=1)


def _star() -> Polygon:
    angle = np.radians(np.arange(10) * 36 - 90)
    radius = np.where(np.arange(10) % 2 == 0, 1.0, 0.45)
    return np.stack([radius * np.cos(angle), 0.08 + radius * np.sin(angle)], axis=1)


def _heart() -> Polygon:
    t = np.linspace(0, 2 * np.pi, 40)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return np.stack([x, y - 0.1], axis=1)


def _moon() -> Polygon:
    outer = ellipse(0.1, 0, 1.0, 1.0, 60, 300)
    inner = ellipse(0.62, 0, 0.88, 0.88, 279, 81)
    return np.concatenate([outer, inner])


def _umbrella() -> Shape:
    dome = ellipse(0, 0.1, 1.0, 1.05, 180, 360)
    scallops = [ellipse(x, 0.1, 0.25, 0.17, 360, 180) for x in (0.75, 0.25, -0.25, -0.75)]
    handle = (rectangle(-0.09, -0.05, 0.09, 0.9), rectangle(-0.09, 0.72, 0.4, 0.9), rectangle(0.24, 0.54, 0.4, 0.9))
    tip = rectangle(-0.06, -1.0, 0.06, -0.8)
    return Shape((np.concatenate([dome, *scallops]), tip, *handle), marks=handle)


def _flower() -> Shape:
    angles = np.radians(np.arange(5) * 72 - 90)
    petals = tuple(ellipse(0.56 * np.cos(a), 0.56 * np.sin(a), 0.42, 0.42) for a in angles)
    return Shape((*petals, ellipse(0, 0, 0.4, 0.4)), marks=(ellipse(0, 0, 0.26, 0.26),))


SHAPES = {
    "ball": Shape((ellipse(0, 0, 0.95, 0.95),)),
    "box": Shape((rectangle(-0.85, -0.85, 0.85, 0.85),), marks=(rectangle(-0.85, -0.5, 0.85, -0.38),)),
    "ring": Shape((ellipse(0, 0, 1.0, 1.0),), holes=(ellipse(0, 0, 0.48, 0.48),)),
    "star": Shape((_star(),)),
    "heart": Shape((_heart(),)),
    "cross": Shape((rectangle(-0.34, -1.0, 0.34, 1.0), rectangle(-1.0, -0.34, 1.0, 0.34))),
    "moon": Shape((_moon(),)),
    "mug": Shape(
        (rectangle(-0.9, -0.8, 0.45, 0.9), ellipse(0.45, 0.05, 0.52, 0.55)),
        holes=(ellipse(0.62, 0.05, 0.17, 0.26),),
        marks=(ellipse(-0.22, -0.72, 0.6, 0.13),),
    ),
    "house": Shape(
        (rectangle(-0.75, -0.2, 0.75, 0.95), polygon((-1.0, -0.15), (0, -1.0), (1.0, -0.15))),
        marks=(rectangle(-0.5, 0.3, -0.1, 0.95), rectangle(0.2, 0.15, 0.55, 0.5)),
    ),
    "tree": Shape(
        (
            polygon((0, -1.0), (-0.6, -0.25), (0.6, -0.25)),
            polygon((0, -0.65), (-0.85, 0.5), (0.85, 0.5)),
            rectangle(-0.17, 0.45, 0.17, 1.0),
        ),
        marks=(rectangle(-0.17, 0.5, 0.17, 1.0),),
    ),
    "fish": Shape(
        (ellipse(-0.2, 0, 0.8, 0.56), polygon((0.3, 0), (1.0, -0.62), (0.84, 0), (1.0, 0.62))),
        marks=(ellipse(-0.62, -0.12, 0.11, 0.11),),
    ),
    "car": Shape(
        (
            rectangle(-1.0, -0.1, 1.0, 0.45),
            polygon((-0.65, -0.08), (-0.4, -0.62), (0.38, -0.62), (0.66, -0.08)),
            ellipse(-0.5, 0.45, 0.28, 0.28),
            ellipse(0.5, 0.45, 0.28, 0.28),
        ),
        marks=(
            ellipse(-0.5, 0.45, 0.24, 0.24),
            ellipse(0.5, 0.45, 0.24, 0.24),
            polygon((-0.48, -0.12), (-0.33, -0.5), (-0.06, -0.5), (-0.06, -0.12)),
            polygon((0.48, -0.12), (0.33, -0.5), (0.06, -0.5), (0.06, -0.12)),
        ),
    ),
    "arrow": Shape(
        (polygon((-1.0, -0.3), (0.1, -0.3), (0.1, -0.85), (1.0, 0), (0.1, 0.85), (0.1, 0.3), (-1.0, 0.3)),)
    ),
    "umbrella": _umbrella(),
    "boat": Shape(
        (
            polygon((-1.0, 0.4), (1.0, 0.4), (0.6, 0.95), (-0.6, 0.95)),
            polygon((0.1, -1.0), (0.1, 0.25), (0.85, 0.25)),
            polygon((-0.05, -0.8), (-0.05, 0.25), (-0.7, 0.25)),
            rectangle(-0.05, -0.95, 0.1, 0.45),
        ),
    ),
    "flower": _flower(),
    "bell": Shape(
        (
            ellipse(0, -0.1, 0.62, 0.8, 180, 360),
            polygon((-0.62, -0.12), (0.62, -0.12), (0.95, 0.65), (-0.95, 0.65)),
            ellipse(0, 0.72, 0.24, 0.24),
        ),
        marks=(rectangle(-0.86, 0.5, 0.86, 0.62),),
    ),
    "kite": Shape(
        (polygon((0, -1.0), (0.7, -0.3), (0, 0.6), (-0.7, -0.3)), rectangle(-0.05, 0.5, 0.05, 1.0),
         polygon((-0.3, 0.68), (0.3, 0.95), (0.3, 0.68), (-0.3, 0.95))),
        marks=(rectangle(-0.04, -0.95, 0.04, 0.58), rectangle(-0.66, -0.34, 0.66, -0.26)),
    ),
    "bottle": Shape(
        (rectangle(-0.42, -0.2, 0.42, 1.0), polygon((-0.42, -0.15), (-0.16, -0.55), (0.16, -0.55), (0.42, -0.15)),
         rectangle(-0.16, -1.0, 0.16, -0.5)),
        marks=(rectangle(-0.2, -1.0, 0.2, -0.8),),
    ),
}  # fmt: skip
