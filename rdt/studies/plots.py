"""The plots of a study: its history, what its parameters matter, and where in the space it looked.

The paper's settings are marked: a star for its own, squares for the other rows of its tables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import optuna
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial, TrialState

from rdt.files import atomic_file
from rdt.studies.file import Study, grid_points

SYMBOLS = {
    "delta_tim": r"$\delta_{tim}$",
    "delta_sen": r"$\delta_{sen}$",
    "lambda_f": r"$\lambda_F$",
    "lambda_e": r"$\lambda_E$",
    "lambda_xe": r"$\lambda_1$ (cross-entropy)",
    "lambda_bit": r"$\lambda_2$ (bits)",
    "lambda_rank": r"$\lambda_3$ (ranking)",
}
TITLES = {"CIDEr": "val CIDEr", "D@3": "val Dist-3 (%)"}
BLUE, GREY, RED = "#2b6cb0", "#9aa5b1", "#c53030"
FEWEST = 4  # completed trials that a surface or an importance needs
STAR = {"marker": "*", "s": 220, "color": RED, "edgecolors": "white", "linewidths": 0.8, "zorder": 5, "clip_on": False}
SQUARE = {"marker": "s", "s": 46, "facecolors": "none", "edgecolors": RED, "linewidths": 1.1, "zorder": 4}


def write_plots(study: Study, opened: optuna.Study, folder: Path) -> list[Path]:
    """Write all plots of a study as PNG; returns their paths."""
    draw: dict[str, Callable[[Study, _Trials], Figure]] = {
        "history": _history,
        "importance": _importance,
        "space": _contour if len(study.parameters) == 2 and len(study.objectives) == 1 else _slices,
        "front": _front,
    }
    trials, paths = _Trials(study, opened), []
    for name in study.plots:
        paths.append(folder / f"{name}.png")
        with atomic_file(paths[-1]) as partial:
            draw[name](study, trials).savefig(partial, format="png", dpi=130, metadata={"Software": None})
    return paths


class _Trials:
    """The trials that count, by how they ended."""

    def __init__(self, study: Study, opened: optuna.Study) -> None:
        self.opened, paper = opened, study.paper()
        self.completed = opened.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        self.pruned = opened.get_trials(deepcopy=False, states=(TrialState.PRUNED,))
        self.best = max(opened.best_trials, key=lambda trial: (trial.values[0], -trial.number))
        self.paper = next((trial for trial in [*self.completed, *self.pruned] if trial.params == paper), None)


def _axes(columns: int, rows: int = 1, width: float = 5.2, height: float = 4.2) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for one in axes.flat:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _column(trials: Sequence[FrozenTrial], name: str) -> list[float]:
    return [trial.params[name] for trial in trials]


def _values(trials: Sequence[FrozenTrial], objective: int) -> list[float]:
    return [trial.values[objective] for trial in trials]


def _history(study: Study, trials: _Trials) -> Figure:
    """Each trial's objective in the order of the trials, with the best so far."""
    figure, axes = _axes(len(study.objectives), width=6.4)
    for at, (ax, name) in enumerate(zip(axes[0], study.objectives, strict=True)):
        completed = sorted(trials.completed, key=lambda trial: trial.number)
        numbers, values = [trial.number for trial in completed], _values(completed, at)
        ax.step(numbers, np.maximum.accumulate(values), where="post", color=BLUE, linewidth=1, label="best so far")
        ax.scatter(numbers, values, color=BLUE, s=28, label="completed", zorder=3)
        if trials.pruned:
            pruned = [trial.number for trial in trials.pruned]
            ax.scatter(pruned, _values(trials.pruned, at), color=GREY, marker="x", s=28, label="pruned")
        if trials.paper is not None:
            ax.scatter([trials.paper.number], [trials.paper.values[at]], label="the paper's setting", **STAR)
        ax.set(xlabel="trial", ylabel=TITLES[name])
        ax.xaxis.get_major_locator().set_params(integer=True)
    _marks(figure, axes[0][0])
    figure.suptitle(study.title)
    return figure


def _importance(study: Study, trials: _Trials) -> Figure:
    """How much of the objectives' variance over the completed trials each parameter explains (fANOVA)."""
    figure, axes = _axes(len(study.objectives), height=0.7 * len(study.parameters) + 1.6)
    for at, (ax, name) in enumerate(zip(axes[0], study.objectives, strict=True)):
        ax.set(xlabel=f"importance for {TITLES[name]}", xlim=(0, 1))
        spread = np.ptp(_values(trials.completed, at))
        if len(trials.completed) < FEWEST or spread == 0:
            ax.text(0.5, 0.5, f"{len(trials.completed)} completed trials tell nothing", ha="center", va="center")
            ax.set_yticks([])
            continue
        shares = get_param_importances(
            trials.opened,
            evaluator=FanovaImportanceEvaluator(seed=0),
            params=list(study.parameters),
            target=lambda trial, at=at: trial.values[at],
        )
        shares = dict(sorted(shares.items(), key=lambda item: item[1]))
        bars = ax.barh([SYMBOLS.get(key, key) for key in shares], list(shares.values()), color=BLUE, height=0.6)
        ax.bar_label(bars, fmt="%.2f", padding=3)
    figure.suptitle(f"{study.title}: fANOVA over {len(trials.completed)} completed trials")
    return figure


def _contour(study: Study, trials: _Trials) -> Figure:
    """The objective over the plane of two parameters."""
    figure, axes = _axes(1, width=6.8, height=5.2)
    ax, (x, y) = axes[0][0], study.parameters
    points = (_column(trials.completed, x), _column(trials.completed, y))
    values = _values(trials.completed, 0)
    limits = (min(values), max(values) if np.ptp(values) else min(values) + 1)
    colours = {"cmap": "viridis", "vmin": limits[0], "vmax": limits[1]}
    if len(values) >= FEWEST:
        ax.tricontourf(*points, values, levels=12, alpha=0.35, **colours)
    shown = ax.scatter(*points, c=values, s=44, edgecolors="white", linewidths=0.6, zorder=3, **colours)
    figure.colorbar(shown, label=f"{TITLES[study.objectives[0]]} of completed trials")
    _mark_pruned(ax, _column(trials.pruned, x), _column(trials.pruned, y))
    _frame(ax, study, x, y)
    _mark_paper(ax, study, x, y)
    best = trials.best.params
    ax.scatter(best[x], best[y], s=150, facecolors="none", edgecolors="black", linewidths=1.4, label="best", zorder=6)
    _marks(figure, ax)
    figure.suptitle(study.title)
    return figure


def _marks(figure: Figure, ax: Axes) -> None:
    """What the marks of all panels mean, once, below them."""
    handles = dict(zip(*reversed(ax.get_legend_handles_labels()), strict=True))
    figure.legend(handles.values(), handles.keys(), fontsize=8, frameon=False, loc="outside lower center", ncols=3)


def _frame(ax: Axes, study: Study, *names: str) -> None:
    """Ranges, scales and labels of one or two axes that are parameters."""
    for axis, name in zip("xy", names, strict=False):
        span = study.parameters[name]
        edge = 0.03 * (span.high - span.low)
        if span.log:
            ax.set(**{f"{axis}scale": "log"})
        limits = (span.low / 1.1, span.high * 1.1) if span.log else (span.low - edge, span.high + edge)
        ax.set(**{f"{axis}lim": limits, f"{axis}label": SYMBOLS.get(name, name)})


def _mark_paper(ax: Axes, study: Study, x: str, y: str) -> None:
    """The paper's settings; one beyond the range of ``y`` is an arrow at its edge."""
    paper, top = study.paper(), study.parameters[y].high
    others = [point for point in grid_points(study.parameters) if point != paper]
    inside = [point for point in others if point[y] <= top]
    beyond = [point[x] for point in others if point[y] > top]
    if inside:
        ax.scatter([p[x] for p in inside], [p[y] for p in inside], label="rows of the paper's table", **SQUARE)
    if beyond:
        label = f"rows with {SYMBOLS.get(y, y)} beyond"
        ax.scatter(beyond, [top] * len(beyond), **SQUARE | {"marker": "^", "clip_on": False}, label=label)
    ax.scatter(paper[x], paper[y], label="the paper's setting", **STAR)


def _slices(study: Study, trials: _Trials) -> Figure:
    """Each objective against each parameter."""
    figure, axes = _axes(len(study.parameters), len(study.objectives), width=4.4, height=3.6)
    for at, objective in enumerate(study.objectives):
        for ax, name in zip(axes[at], study.parameters, strict=True):
            completed = _column(trials.completed, name)
            ax.scatter(completed, _values(trials.completed, at), color=BLUE, s=28, label="completed", zorder=3)
            _mark_pruned(ax, _column(trials.pruned, name), _values(trials.pruned, at))
            _frame(ax, study, name)
            _mark_paper_values(ax, study, name)
            ax.set(ylabel=TITLES[objective])
    _marks(figure, axes[0][0])
    figure.suptitle(study.title)
    return figure


def _mark_pruned(ax: Axes, x: Sequence[float], y: Sequence[float]) -> None:
    if x:
        ax.scatter(x, y, color=GREY, marker="x", s=28, label="pruned")


def _mark_paper_values(ax: Axes, study: Study, name: str) -> None:
    """The paper's values of one parameter, as lines across its panel."""
    paper, span = study.paper()[name], study.parameters[name]
    rows = {point[name] for point in grid_points(study.parameters)} - {paper}
    ax.axvline(paper, color=RED, linewidth=1, label="the paper's value")
    for value in sorted(row for row in rows if row <= span.high):
        ax.axvline(value, color=RED, linewidth=0.7, linestyle=":", label="rows of the paper's table")


def _front(study: Study, trials: _Trials) -> Figure:
    """One objective against the other, and the trials that no other beats in both."""
    figure, axes = _axes(1, width=6.4, height=4.8)
    ax, front = axes[0][0], sorted(trials.opened.best_trials, key=lambda trial: trial.values)
    ax.scatter(_values(trials.completed, 0), _values(trials.completed, 1), color=GREY, s=28, label="completed")
    ax.plot(_values(front, 0), _values(front, 1), color=BLUE, marker="o", linewidth=1, label="beaten by none in both")
    if trials.paper is not None:
        ax.scatter(*trials.paper.values, label="the paper's setting", **STAR)
    ax.set(xlabel=TITLES[study.objectives[0]], ylabel=TITLES[study.objectives[1]])
    _marks(figure, ax)
    figure.suptitle(study.title)
    return figure
