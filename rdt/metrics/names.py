"""The names, titles and groups of the metrics."""

from __future__ import annotations

BLEU = ("B@1", "B@2", "B@3", "B@4")
TWINS = "twins"
TWINS_COLUMN = "twins/accuracy"  # of a table of images: 100 or 0 on the first image of each pair, empty on the others
MEANS = ("R", "C", "S", TWINS)
METRICS = (*BLEU, "M", "R", "C", "S")
WIDTHS = {"bleu": 10, "meteor": 23, **dict.fromkeys(MEANS, 1)}  # columns of each array
