"""Draw docs/effects.png: the paper's effect and ours for each claim that was measured on Flickr8k.

Run `python docs/effects.py` in the environment; it reads reports/flickr8k/measured/claims.csv.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

HERE = Path(__file__).parent
CLAIMS = HERE.parent / "reports/flickr8k/measured/claims.csv"
LABELS = {
    "coco-xe": "RDT above SCD-Net, cross-entropy: CIDEr (two seeds)",
    "coco-rl": "RDT above SCD-Net, CIDEr optimisation: CIDEr",
    "coco-rl-spice": "RDT above SCD-Net, CIDEr optimisation: SPICE",
    "guided-training": "CIDEr optimisation above cross-entropy: CIDEr",
    "server-c5": "RDT above SCD-Net, 5 references: CIDEr",
    "rve": "Ranking encoder above baseline: CIDEr",
    "ranking-loss": "Ranking loss above baseline: CIDEr",
    "both": "Both above baseline and each alone: CIDEr",
    "loss-without-encoder": "Loss without encoder above SCD-Net: CIDEr",
    "inverse-ranking": "Inverse ranking above none: CIDEr",
    "lambda-e-all": "No inverse branch above one over all keys: CIDEr",
    "delta-sen-helps": "Sentence threshold above none: CIDEr",
    "diverse-d2": "RDT more diverse than SCD-Net: Dist-2",
    "diverse-d3": "RDT more diverse than SCD-Net: Dist-3",
    "diverse-vocabulary": "RDT uses more words than SCD-Net: Voc-u",
}
OURS, PAPER, INK, RULE = "#0b5fa5", "#c8541a", "#1b1f24", "#c9ced6"
BEHIND_WORDS = {"facecolor": "white", "edgecolor": "none", "pad": 1}
STYLE = {"font.family": "DejaVu Sans", "font.size": 17, "text.color": INK, "xtick.color": INK, "axes.labelcolor": INK}
SIZE, DPI = (14, 15.5), 100  # 1400 pixels wide; at 400 its letters are still 7 pixels high


def main() -> None:
    """Draw the figure beside this file."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=SIZE, layout="constrained")
        draw(figure.subplots(), measured_effects())
        drawn = io.BytesIO()
        figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(32).save(HERE / "effects.png", optimize=True)


def measured_effects() -> list[dict[str, str]]:
    """The measured claims in the paper's order; one of several comparisons with its smallest difference."""
    with CLAIMS.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["difference"]]
    smallest: dict[str, dict[str, str]] = {}
    for row in rows:
        known = smallest.setdefault(row["claim"], row)
        if float(row["difference"]) < float(known["difference"]):
            smallest[row["claim"]] = row
    return list(smallest.values())


def draw(axes: Axes, effects: list[dict[str, str]]) -> None:
    """A line for each claim, its words above it: right of 0 is what the paper says."""
    for place, effect in enumerate(effects):
        low, ours, high, paper = (float(effect[name]) for name in ("ci_low", "difference", "ci_high", "paper"))
        (first,) = axes.plot([low, high], [place, place], color=OURS, linewidth=5, solid_capstyle="butt")
        (dot,) = axes.plot(ours, place, "o", color=OURS, markersize=15)
        (square,) = axes.plot(paper, place, "D", color=PAPER, markersize=14, mfc="none", mew=4)
        axes.text(-15.6, place - 0.27, LABELS[effect["claim"]], fontsize=23, va="bottom", bbox=BEHIND_WORDS)
        axes.axhline(place + 0.3, color=RULE, linewidth=1, zorder=0)
    axes.axvline(0, color=INK, linewidth=2, zorder=0)
    axes.set(xlim=(-16, 18), ylim=(len(effects) - 0.6, -0.9), yticks=[])
    axes.set_xlabel(
        "points of the metric; right of 0: as the paper says\n"
        "one seed, intervals over 1,000 images; the first over seeds too",
        fontsize=23,
    )
    axes.tick_params(labelsize=23)
    axes.spines[["left", "right", "top"]].set_visible(False)
    axes.figure.legend(
        [(first, dot), square], ["ours, with 95 % interval", "paper"], loc="outside upper left", ncols=2, frameon=False,
        fontsize=25,
    )  # fmt: skip


if __name__ == "__main__":
    main()
