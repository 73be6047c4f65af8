"""Figures as SVG text that takes its colours from the page, so that one drawing serves light and dark."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure

# Colours that stand for variables of the page's style sheet.
INK, MUTED, RULE = "#000001", "#000002", "#000003"
SERIES = ("#000011", "#000012", "#000013", "#000014", "#000015")
VARIABLES = {INK: "--ink", MUTED: "--muted", RULE: "--rule"} | {
    colour: f"--series-{at}" for at, colour in enumerate(SERIES, 1)
}
SIZE = (4.4, 2.7)  # inches; at 72 units an inch its text is readable on a phone and not huge on a screen
STYLE = {
    "font.size": 8.5,
    "svg.fonttype": "none",  # text stays text
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": RULE,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
}
MARKERS = ("o", "s", "^", "D", "v")


@dataclass(frozen=True)
class Point:
    """One setting of a sweep: differences to the best setting of the paper, with our interval; None where not known."""

    label: str
    paper: float | None
    ours: float | None
    low: float | None
    high: float | None
    is_reference: bool


@dataclass(frozen=True)
class PlottedLine:
    """A curve: numbers over epochs. Lines of one ``series`` look alike in all figures."""

    name: str
    series: int
    x: tuple[float, ...]
    y: tuple[float, ...]


def sweep_figure(points: Sequence[Point], x_label: str, y_label: str, name: str) -> str:
    """SVG of the paper's curve and ours along one setting, as differences to the reference, which is at 0."""
    with _drawn(name) as (figure, axes):
        places = range(len(points))
        axes.axhline(0, color=MUTED, linewidth=0.8)
        paper = [(at, point.paper) for at, point in zip(places, points, strict=True) if point.paper is not None]
        if paper:
            axes.plot(*zip(*paper, strict=True), color=SERIES[1], linestyle="--", marker="s", mfc="none", label="paper")
        ours = [(at, point) for at, point in zip(places, points, strict=True) if point.ours is not None]
        if ours:
            x, y = [at for at, _ in ours], [point.ours for _, point in ours]
            axes.plot(x, y, color=SERIES[0], marker="o", label="ours, 95 % interval")
            bounded = [(at, point) for at, point in ours if point.low is not None]
            ends = [[p.ours - p.low for _, p in bounded], [p.high - p.ours for _, p in bounded]]
            centres = [point.ours for _, point in bounded]
            axes.errorbar(
                [at for at, _ in bounded], centres, ends, fmt="none", ecolor=SERIES[0], capsize=2.5, elinewidth=1
            )
        axes.set_xticks(list(places), [point.label for point in points])
        for tick, point in zip(axes.get_xticklabels(), points, strict=True):
            tick.set_fontweight("bold" if point.is_reference else "normal")
        axes.margins(x=0.06)
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _legend(figure, axes)
    return _svg(figure, name)


def curves_figure(lines: Sequence[PlottedLine], y_label: str, name: str) -> str:
    """SVG of curves over epochs."""
    with _drawn(name) as (figure, axes):
        for line in lines:
            at = line.series % len(SERIES)
            style = {"color": SERIES[at], "marker": MARKERS[at], "linestyle": ("-", "--")[at % 2], "markersize": 3.5}
            axes.plot(line.x, line.y, label=line.name, **style)
        axes.set_xlabel("epoch")
        axes.set_ylabel(y_label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.margins(x=0.04)
        _legend(figure, axes)
    return _svg(figure, name)


def bits_figure(bits: Sequence[Sequence[float]], words: Sequence[str], name: str) -> str:
    """SVG of how sure a network is of each word at each step: mean size of ``bits`` (steps, words), from 0 to 1."""
    with _drawn(name) as (figure, axes):
        axes.grid(False)
        for at in range(len(words)):
            axes.plot(range(1, len(bits) + 1), [at + 0.85 * (1 - step[at]) for step in bits], color=SERIES[0])
            axes.axhline(at + 0.85, color=RULE, linewidth=0.5, zorder=0)
        axes.set_yticks([at + 0.4 for at in range(len(words))], list(words))
        axes.set_ylim(len(words), -0.1)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel("step")
        axes.margins(x=0.02)
    return _svg(figure, name)


@contextmanager
def _drawn(name: str) -> Iterator[tuple[Figure, Axes]]:
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        figure = Figure(figsize=SIZE, layout="constrained")
        yield figure, figure.subplots()
        figure.draw_without_rendering()


def _legend(figure: Figure, axes: Axes) -> None:
    """Draw the legend over the plot, where it covers nothing."""
    handles, labels = axes.get_legend_handles_labels()
    columns = 2 if max(map(len, labels), default=0) > 16 else 3
    if handles:
        figure.legend(handles, labels, loc="outside upper left", ncols=columns, handlelength=2.2, columnspacing=1.2)


def _svg(figure: Figure, name: str) -> str:
    """The drawing without what a page does not need, its size among it."""
    text = io.StringIO()
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": name}):
        metadata = dict.fromkeys(("Date", "Creator", "Type", "Format"))
        figure.savefig(text, format="svg", transparent=True, metadata=metadata)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r' (width|height)="[\d.]+pt"', "", svg, count=2)
    svg = re.sub(r' xmlns(:\w+)?="[^"]+"', "", svg).replace("xlink:href", "href")
    svg = re.sub(r'font-family: [^;"]*;? ?', "", svg)  # the page's own
    svg = re.sub(r"<style.*?</style>", "", svg)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # every figure has the same
    svg = re.sub(r"#0000[01]\d", lambda found: f"var({VARIABLES[found[0]]})", svg)
    return svg.replace("<svg", '<svg aria-hidden="true" focusable="false"', 1)
