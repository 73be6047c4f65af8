"""What a scene is: groups of identical objects, how they are placed, and which scenes may be drawn."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

KINDS = (
    "ball", "box", "ring", "star", "heart", "cross", "moon",
    "mug", "house", "tree", "fish", "car", "arrow", "umbrella",
)  # fmt: skip
NOVEL_KINDS = ("boat", "flower", "bell", "kite", "bottle")  # drawn in the novel role alone
COLORS = ("red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "white", "black")
TEXTURES = ("plain", "striped", "dotted", "checkered")
SIZES = ("small", "medium", "large")
COUNTS = (1, 2, 3)
BACKGROUNDS = ("grass", "sand", "water", "brick wall", "night sky", "wooden floor", "snow")

# A colour that would vanish in a background is not drawn on it.
CLASHES = {
    "grass": {"green"},
    "sand": {"yellow"},
    "water": {"blue"},
    "brick wall": {"red", "orange", "brown"},
    "night sky": {"black"},
    "wooden floor": {"orange", "brown"},
    "snow": {"white"},
}

# By number of groups: the place of the only group; where the first stands as seen from the second;
# which of three in a row is in the middle (the others keep their order from left to right).
LAYOUTS = {
    1: ("left", "right", "middle", "top", "bottom"),
    2: ("left", "right", "above", "below", "front", "behind"),
    3: ("first between", "second between", "third between"),
}
INVERSE = {
    "left": "right", "right": "left", "above": "below", "below": "above", "front": "behind", "behind": "front",
}  # fmt: skip


@dataclass(frozen=True)
class Group:
    """``count`` identical objects that stand close together."""

    kind: str
    color: str
    texture: str
    size: str
    count: int


@dataclass(frozen=True)
class Scene:
    """One to three groups on a background; ``layout`` is one of ``LAYOUTS[len(groups)]``."""

    background: str
    layout: str
    groups: tuple[Group, ...]

    @property
    def row(self) -> tuple[Group, Group, Group]:
        """Three groups from left to right."""
        middle = LAYOUTS[3].index(self.layout)
        left, right = (group for i, group in enumerate(self.groups) if i != middle)
        return left, self.groups[middle], right


def is_valid(scene: Scene) -> bool:
    """Whether every group is visible, fits, and can be told from the others and from the background."""
    groups = scene.groups
    if len({group.kind for group in groups}) < len(groups):
        return False
    if any(group.color in CLASHES[scene.background] for group in groups):
        return False
    if any(group.count > 1 and group.size == "large" for group in groups):
        return False
    if len(groups) == 2:
        if any(group.count == 3 and group.size != "small" for group in groups):
            return False
        if scene.layout in ("front", "behind"):
            front, rear = groups if scene.layout == "front" else groups[::-1]
            # The one in front hides a part of the other, never the whole of it.
            fits = SIZES.index(front.size) <= SIZES.index(rear.size) and rear.size != "small"
            return fits and front.count == rear.count == 1
    if len(groups) == 3:
        return all(group.count == 1 and group.size != "large" for group in groups)
    return True


def sample_scene(rng: np.random.Generator, kinds: tuple[str, ...], required: tuple[str, ...] = ()) -> Scene:
    """A valid scene of ``kinds``; with ``required``, of at least one of those and at least one other."""
    # Only the groups are drawn again where they do not fit: the shares of what holds them stay as they are.
    n = _pick(rng, (1, 2, 3), (0.0, 0.85, 0.15) if required else (0.28, 0.6, 0.12))
    background = _pick(rng, BACKGROUNDS)
    layout = _pick(rng, LAYOUTS[n], (0.2, 0.2, 0.2, 0.2, 0.1, 0.1) if n == 2 else None)
    while True:
        scene = Scene(background, layout, tuple(_sample_group(rng, kinds) for _ in range(n)))
        of_required = sum(group.kind in required for group in scene.groups)
        if is_valid(scene) and (not required or 0 < of_required < n):
            return scene


def _sample_group(rng: np.random.Generator, kinds: tuple[str, ...]) -> Group:
    return Group(
        kind=_pick(rng, kinds),
        color=_pick(rng, COLORS),
        texture=_pick(rng, TEXTURES, (0.4, 0.2, 0.2, 0.2)),
        size=_pick(rng, SIZES),
        count=_pick(rng, COUNTS, (0.6, 0.22, 0.18)),
    )


def _pick(rng: np.random.Generator, values: tuple[Any, ...], weights: tuple[float, ...] | None = None) -> Any:
    """One of ``values``, all equally likely unless ``weights`` (of sum 1) say otherwise."""
    if weights is None:
        return values[int(rng.integers(len(values)))]
    return values[int(np.searchsorted(np.cumsum(weights), rng.random(), side="right").clip(max=len(values) - 1))]


def twins(scene: Scene, attribute: str, kinds: tuple[str, ...]) -> Iterator[Scene]:
    """All valid scenes that differ from ``scene`` in one ``attribute`` only, of one group or of the whole.

    A size changes between small and large, so that the difference is seen without a ruler.
    """
    if attribute in ("background", "layout"):
        values = BACKGROUNDS if attribute == "background" else LAYOUTS[len(scene.groups)]
        changed = [replace(scene, **{attribute: value}) for value in values]
    else:
        extremes = (SIZES[0], SIZES[-1])
        values = {"kind": kinds, "color": COLORS, "texture": TEXTURES, "size": extremes, "count": COUNTS}[attribute]
        changed = [
            replace(scene, groups=(*scene.groups[:i], replace(group, **{attribute: value}), *scene.groups[i + 1 :]))
            for i, group in enumerate(scene.groups)
            if attribute != "size" or group.size in extremes
            for value in values
        ]
    return (twin for twin in changed if twin != scene and is_valid(twin))


ATTRIBUTES = (*(field.name for field in fields(Group)), "layout", "background")


def sample_twins(rng: np.random.Generator, attribute: str, kinds: tuple[str, ...]) -> tuple[Scene, Scene]:
    """Two valid scenes that differ in ``attribute`` alone."""
    while True:
        scene = sample_scene(rng, kinds)
        candidates = list(twins(scene, attribute, kinds))
        if candidates:
            return scene, candidates[int(rng.integers(len(candidates)))]
