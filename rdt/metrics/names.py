"""One record for each metric; every list of metrics follows from them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from rdt.metrics.rouge import rouge_l


@dataclass(frozen=True)
class Metric:
    """A metric as tables name it, and as texts do (``title``).

    ``of``: what its number is about, captions and their references, pairs of twin images, or the random draws.
    ``by_image``: its function where it is a mean over images of a score of one caption, (tokenised caption, tokenised
    references) -> a number that is reported times 100. ``choice``: what ``rdt evaluate --metrics`` calls it.
    ``numbers``: the array that it is computed from, with ``width`` columns, see ``rdt.metrics.statistics``; by
    default its own values by image. ``cheap``: it needs neither Java nor a parser. ``meaning``: what a note says of it,
    after its name, in place of its title. ``most``: its greatest value, the least is 0. ``english``: it is made for
    English, and says little of captions in another language.
    """

    name: str
    title: str
    choice: str = ""
    by_image: Callable[[str, Sequence[str]], float] | None = None
    of: Literal["captions", "twins", "draws"] = "captions"
    numbers: str = ""
    width: int = 1
    cheap: bool = True
    most: float = 100
    english: bool = False
    meaning: str = ""

    @property
    def legend(self) -> str:
        """What the notes under a table say of it; metrics that differ in n alone share one."""
        name = self.name.rstrip("0123456789") + "n" if "@" in self.name else self.name
        return f"{name}: {self.meaning or self.title}"


TWINS = "twins"
TWINS_COLUMN = "twins/accuracy"  # of a table of images: 100 or 0 on the first image of each pair, empty on the others
_RECORDS = (
    *(Metric(f"B@{n}", f"BLEU-{n}", "bleu", numbers="bleu", width=10, meaning="BLEU-n") for n in (1, 2, 3, 4)),
    Metric("M", "METEOR", "meteor", numbers="meteor", width=23, cheap=False, english=True),
    Metric("R", "ROUGE-L", "rouge", rouge_l),
    Metric("C", "CIDEr", "cider", most=1000),
    Metric("S", "SPICE", "spice", cheap=False, english=True),
    Metric(TWINS, "Twin accuracy", of="twins"),
    *(Metric(f"D@{n}", f"Dist-{n}", of="draws", meaning="distinct n-grams per generated word") for n in (2, 3)),
    Metric("Voc-u", "Vocabulary usage", of="draws", meaning="share of the vocabulary that is used"),
)

RECORD = {metric.name: metric for metric in _RECORDS}
METRICS = tuple(metric.name for metric in _RECORDS if metric.of == "captions")
BLEU = tuple(metric.name for metric in _RECORDS if metric.numbers == "bleu")
DRAWN_METRICS = frozenset(metric.name for metric in _RECORDS if metric.of == "draws")
CHEAP = frozenset(metric.name for metric in _RECORDS if metric.cheap)
MEANS = tuple(metric.name for metric in _RECORDS if metric.of != "draws" and not metric.numbers)
# Columns of each array of numbers by image, in the order in which they are kept.
WIDTHS = {metric.numbers or metric.name: metric.width for metric in _RECORDS if metric.of != "draws"}
