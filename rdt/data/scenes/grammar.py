"""A scene -> a caption: one speaker's choice of words, of what to mention, and of the order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from rdt.data.dataset import Caption
from rdt.data.scenes.scene import INVERSE, SIZES, Group, Scene

MIN_WORDS, MAX_WORDS = 6, 15

# Forms of one meaning, the usual one first. Nouns: singular and plural.
NOUNS: dict[str, tuple[tuple[str, str], ...]] = {
    "ball": (("ball", "balls"), ("sphere", "spheres")),
    "box": (("box", "boxes"), ("cube", "cubes"), ("block", "blocks")),
    "ring": (("ring", "rings"), ("hoop", "hoops")),
    "star": (("star", "stars"),),
    "heart": (("heart", "hearts"),),
    "cross": (("cross", "crosses"), ("plus sign", "plus signs")),
    "moon": (("moon", "moons"), ("crescent", "crescents")),
    "mug": (("mug", "mugs"), ("cup", "cups")),
    "house": (("house", "houses"), ("hut", "huts"), ("cottage", "cottages")),
    "tree": (("tree", "trees"), ("pine", "pines")),
    "fish": (("fish", "fish"),),
    "car": (("car", "cars"), ("automobile", "automobiles")),
    "arrow": (("arrow", "arrows"), ("pointer", "pointers")),
    "umbrella": (("umbrella", "umbrellas"), ("parasol", "parasols")),
    "boat": (("boat", "boats"), ("ship", "ships")),
    "flower": (("flower", "flowers"), ("blossom", "blossoms")),
    "bell": (("bell", "bells"),),
    "kite": (("kite", "kites"),),
    "bottle": (("bottle", "bottles"), ("flask", "flasks")),
}
COLOR_WORDS = {
    "red": ("red", "crimson"), "orange": ("orange",), "yellow": ("yellow", "golden"), "green": ("green", "emerald"),
    "blue": ("blue", "navy"), "purple": ("purple", "violet"), "pink": ("pink", "rosy"),
    "brown": ("brown", "chocolate"), "white": ("white", "ivory"), "black": ("black",),
}  # fmt: skip
TEXTURE_WORDS = {  # "with ..." follows the noun
    "plain": ("plain", "solid"),
    "striped": ("striped", "with stripes", "stripy"),
    "dotted": ("dotted", "spotted", "with dots", "with spots"),
    "checkered": ("checkered", "checked", "with checks"),
}
SIZE_WORDS = {"small": ("small", "little", "tiny"), "large": ("large", "big", "huge")}
COUNT_WORDS = {1: ("a", "one", "a single"), 2: ("two", "a pair of", "a couple of"), 3: ("three", "a trio of", "some")}
RELATIONS = {
    "left": ("to the left of", "left of", "on the left side of"),
    "right": ("to the right of", "right of", "on the right side of"),
    "above": ("above", "over", "higher than"),
    "below": ("below", "under", "beneath", "underneath"),
    "front": ("in front of", "partly hiding", "partly covering"),
    "behind": ("behind", "partly hidden by", "partly covered by"),
    "near": ("next to", "near", "beside", "close to"),
}
PLACES = {
    "left": ("on the left of", "on the left side of"),
    "right": ("on the right of", "on the right side of"),
    "middle": ("in the middle of", "in the center of"),
    "top": ("at the top of", "near the top of", "in the upper part of"),
    "bottom": ("at the bottom of", "near the bottom of", "in the lower part of"),
}
GROUNDS = {  # where the objects are
    "grass": ("on the grass", "on green grass", "on a lawn", "in a meadow"),
    "sand": ("on the sand", "on a sandy beach", "in the desert"),
    "water": ("on the water", "on the sea", "in rippling water"),
    "brick wall": ("against a brick wall", "in front of a brick wall", "against red bricks"),
    "night sky": ("in the night sky", "against a dark sky", "in the sky at night"),
    "wooden floor": ("on a wooden floor", "on wooden planks", "on brown boards"),
    "snow": ("in the snow", "on white snow", "on snowy ground"),
}
VIEWS = {  # what holds the objects: "... with a ball"
    "grass": ("a grassy field", "a green lawn"),
    "sand": ("a sandy beach", "a stretch of sand"),
    "water": ("a stretch of water", "a calm sea"),
    "brick wall": ("a brick wall", "a wall of bricks"),
    "night sky": ("a night sky", "a starry sky"),
    "wooden floor": ("a wooden floor", "a floor of planks"),
    "snow": ("a snowy field", "a snowy landscape"),
}
VERBS = (("is", "are"), ("sits", "sit"), ("lies", "lie"), ("stands", "stand"))


@dataclass(frozen=True)
class Speech:
    """How a role's captions are worded: weights of the forms by their rank, and how they may begin."""

    ranks: dict[int, tuple[float, ...]]  # number of forms -> weight of each
    openings: tuple[tuple[str, float], ...]  # opening, probability; "there is" agrees with the count


STEADY = {1: (1.0,), 2: (0.9, 0.1), 3: (0.86, 0.1, 0.04)}  # colours and counts: everyone agrees
PLAINSPOKEN = Speech(
    ranks={1: (1.0,), 2: (0.76, 0.24), 3: (0.68, 0.2, 0.12), 4: (0.66, 0.17, 0.1, 0.07)},
    openings=(("", 1.0),),
)
DESCRIPTIVE = Speech(
    ranks={1: (1.0,), 2: (0.3, 0.7), 3: (0.24, 0.62, 0.14), 4: (0.2, 0.62, 0.1, 0.08)},
    openings=(("there is", 0.45), ("a picture of", 0.25), ("a drawing showing", 0.1), ("", 0.2)),
)


def describe(scene: Scene, rng: np.random.Generator, speech: Speech) -> Caption:
    """A caption of 6 to 15 words: lower-case tokens, and the sentence as written."""
    speaker = _Speaker(rng, speech)
    while True:
        tokens = tuple(speaker.sentence(scene).split())
        if MIN_WORDS <= len(tokens) <= MAX_WORDS:
            sentence = " ".join(tokens)
            return Caption(tokens, f"{sentence[0].upper()}{sentence[1:]}.")


@dataclass(frozen=True)
class _Speaker:
    rng: np.random.Generator
    speech: Speech

    def says(self, probability: float) -> bool:
        return self.rng.random() < probability

    def pick(self, forms: Sequence[Any], weights: Sequence[float]) -> Any:
        """One of ``forms``; the weights sum to 1."""
        u = self.rng.random()
        for form, weight in zip(forms, weights, strict=True):
            u -= weight
            if u < 0:
                return form
        return forms[-1]

    def word(self, forms: Sequence[Any]) -> Any:
        """One of ``forms`` as this role's speakers prefer."""
        return self.pick(forms, self.speech.ranks[len(forms)])

    def agreed(self, forms: Sequence[Any]) -> Any:
        """One of ``forms``, nearly always the first."""
        return self.pick(forms, STEADY[len(forms)])

    def sentence(self, scene: Scene) -> str:
        opening = self.pick(*zip(*self.speech.openings, strict=True))
        body, plural, has_verb = (self._one, self._two, self._three)[len(scene.groups) - 1](scene)
        if has_verb or not opening:
            return body
        return ("there are " if opening == "there is" and plural else f"{opening} ") + body

    def noun(self, group: Group, detail: float = 1.0) -> str:
        """A group's noun phrase; ``detail`` scales how readily its attributes are told."""
        adjectives, after = [], ""
        if group.size in SIZE_WORDS and self.says(0.48 * detail):
            adjectives.append(self.word(SIZE_WORDS[group.size]))
        if self.says((0.64 if group.texture != "plain" else 0.1) * detail):
            texture = self.word(TEXTURE_WORDS[group.texture])
            if texture.startswith("with"):
                after = f" {texture}"
            else:
                adjectives.append(texture)
        if self.says(0.9 * detail):
            adjectives.append(self.agreed(COLOR_WORDS[group.color]))
        words = " ".join([*adjectives, self.word(NOUNS[group.kind])[group.count > 1]])
        count = self.agreed(COUNT_WORDS[group.count])
        if count == "a" and words[0] in "aeiou":
            count = "an"
        return f"{count} {words}{after}"

    def verb(self, plural: bool) -> str:
        return self.word(VERBS)[plural]

    def ground(self, scene: Scene, probability: float) -> str:
        return f" {self.word(GROUNDS[scene.background])}" if self.says(probability) else ""

    def _one(self, scene: Scene) -> tuple[str, bool, bool]:
        (group,) = scene.groups
        noun, plural = self.noun(group), group.count > 1
        place = f"{self.word(PLACES[scene.layout])} the {scene.background}"
        plan = self.pick(("place", "ground", "verb", "view"), (0.5, 0.2, 0.18, 0.12))
        if plan == "view":
            return f"{self.word(VIEWS[scene.background])} with {noun}", False, False
        where = place if plan == "place" or self.says(0.5) else self.ground(scene, 1.0).strip()
        verb = f" {self.verb(plural)}" if plan == "verb" else ""
        return f"{noun}{verb} {where}", plural, bool(verb)

    def _two(self, scene: Scene) -> tuple[str, bool, bool]:
        first, second = scene.groups
        relation = scene.layout
        if _second_stands_out(scene) != self.says(0.15):
            first, second, relation = second, first, INVERSE[relation]
        if relation not in ("front", "behind") and self.says(0.13):
            relation = "near"
        a, b = self.noun(first), self.noun(second)
        link, plural = self.word(RELATIONS[relation]), first.count > 1
        plan = self.pick(("relation", "verb", "pair", "view"), (0.64, 0.1, 0.14, 0.12))
        if plan == "relation":
            return f"{a} {link} {b}{self.ground(scene, 0.35)}", plural, False
        if plan == "verb":
            return f"{a} {self.verb(plural)} {link} {b}{self.ground(scene, 0.25)}", plural, True
        if plan == "pair":
            return f"{a} and {b}{self.ground(scene, 0.7)}", plural, False
        return f"{self.word(VIEWS[scene.background])} with {a} and {b}", False, False

    def _three(self, scene: Scene) -> tuple[str, bool, bool]:
        left, middle, right = (self.noun(group, 0.65) for group in scene.row)
        plan = self.pick(("between", "sides", "list", "view"), (0.64, 0.12, 0.14, 0.1))
        if plan == "between":
            return f"{middle} between {left} and {right}{self.ground(scene, 0.3)}", False, False
        if plan == "sides":
            return f"{left} and {right} on either side of {middle}", False, False
        if plan == "list":
            return f"{left} with {middle} and {right}{self.ground(scene, 0.6)}", False, False
        return f"{self.word(VIEWS[scene.background])} with {left} and {middle} and {right}", False, False


def _second_stands_out(scene: Scene) -> bool:
    """Whether a speaker would rather begin with the second of two groups.

    The larger objects come first; of equal ones those on the left, above, or in front.
    """
    first, second = (SIZES.index(group.size) for group in scene.groups)
    return second > first if first != second else scene.layout in ("right", "below", "behind")
