"""What an experiment measured: the number of each cell, of each difference, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np

from rdt.experiment.paths import Paths
from rdt.experiment.plan import Cell, Plan, SidePlan, phase_title
from rdt.experiment.runs import NetworkId, Run
from rdt.experiment.settings import Method
from rdt.experiment.sides import SidePaths
from rdt.files import read_json
from rdt.metrics import resampling
from rdt.metrics.names import DRAWN_METRICS, RECORD, TWINS
from rdt.metrics.resampling import LEVEL, Estimate
from rdt.scoring.files import ScoreDocument
from rdt.scoring.per_image import Images, PerImage, images_of

Score = Callable[[str, str, str, str], ScoreDocument | None]  # of run, variant, role and split
NO_SCORES = "not run: no scores yet"


@dataclass(frozen=True)
class Difference:
    """One cell's number minus another's on the same images, over the seeds that both have.

    ``image_error``: standard error over images. ``seed_scatter``: standard deviation, over seeds, of one
    seed's difference, with ``freedom`` degrees of freedom; None with one seed. The interval covers what is
    known of the two (None without either); ``p`` belongs to it and is None unless both are known. ``units``: how
    many of the ``images`` are independent of each other.
    """

    value: float
    low: float | None
    high: float | None
    p: float | None
    image_error: float | None
    seed_scatter: float | None
    freedom: int
    seeds: int
    images: int
    units: int

    @property
    def covers(self) -> str:
        """What the interval is about: ``images``, ``seeds``, ``images and seeds``, or nothing."""
        parts = {"images": self.image_error, "seeds": self.seed_scatter}
        return " and ".join(name for name, part in parts.items() if part is not None)


class Measurements:
    """Numbers and differences of the cells of a plan; ``score`` gives a score document or None."""

    def __init__(self, plan: Plan, score: Score, per_image: PerImage) -> None:
        self.plan = plan
        self.score = cache(score)
        self._per_image = per_image
        self._p_values: dict[tuple[Images, tuple[NetworkId, ...], tuple[NetworkId, ...]], dict[str, float]] = {}

    @classmethod
    def of(cls, plan: Plan, paths: Paths) -> Measurements:
        """Measurements that lie in an experiment's results."""

        def score(*of: str) -> ScoreDocument | None:
            path = paths.scores(*of)
            return read_json(path) if path.exists() else None

        return cls(plan, score, PerImage.of(plan, paths))

    # ---- one cell

    def networks(self, cell: Cell) -> dict[int, NetworkId]:
        """The networks of a cell by seed."""
        return {self.plan.runs[run].seed: NetworkId(run, cell.stage) for run in cell.runs}

    def documents(self, cell: Cell) -> list[ScoreDocument]:
        """The score documents of a cell, one per seed, as far as they are there."""
        found = [self.score(*network, cell.role, cell.split) for network in self.networks(cell).values()]
        return [document for document in found if document is not None]

    def reason(self, cell: Cell) -> str:
        """Why a cell that is ours to run has no number; empty if it has one."""
        return cell.reason or next((value for value in self.values(cell).values() if isinstance(value, str)), "")

    def values(self, cell: Cell) -> dict[int, float | str]:
        """The number of a cell for each seed, or the reason why there is none."""
        found = {}
        for seed, network in self.networks(cell).items():
            document = self.score(*network, cell.role, cell.split)
            found[seed] = NO_SCORES if document is None else look_up(cell, document)
        return found

    def estimate(self, cell: Cell) -> Estimate:
        """Mean over seeds of a cell that has a number, with its interval."""
        values = list(self.values(cell).values())
        drawn = [self._per_image.replicates(cell, network) for network in self.networks(cell).values()]
        images = self.image_count(cell)
        if any(part is None for part in drawn):
            found = resampling.estimate_over_seeds(values, images)
        else:
            found = replace(resampling.estimate(values, drawn, self.unit_count(cell)), images=images)
        return found.within(0, RECORD[cell.metric].most)

    def image_count(self, cell: Cell) -> int:
        """How many images, or pairs of twins, the number of a cell is about."""
        document = self.documents(cell)[0]
        if cell.metric == TWINS:
            return document["twins"]["pairs"]
        return document["n"] if cell.metric in DRAWN_METRICS else document["scopes"][cell.scope]["n"]

    def unit_count(self, cell: Cell) -> int:
        """How many independent units these images are: twins are one."""
        known = self._per_image.unit_count(cell, next(iter(self.networks(cell).values())))
        return self.image_count(cell) if known is None else known

    def spice(self, cell: Cell) -> str:
        """Which SPICE the number of a cell is, ``SPICE`` or ``SPICE-dp``; empty for another metric."""
        kinds = {document.get("spice", "SPICE") for document in self.documents(cell)}
        return " and ".join(sorted(kinds)) if cell.metric == "S" else ""

    # ---- two cells

    def xe_epochs(self, cell: Cell) -> int:
        """How long the networks of a cell were trained with cross-entropy."""
        return self.plan.runs[cell.runs[0]].xe_epochs

    def given(self, cell: Cell) -> bool:
        """Whether the captions of a cell were made elsewhere, however they were trained there."""
        return self.plan.runs[cell.runs[0]].kind == "given"

    def common_seeds(self, first: Cell, second: Cell) -> list[int]:
        """The seeds of networks that both cells have."""
        return [seed for seed in self.networks(first) if seed in self.networks(second)]

    def difference(self, first: Cell, second: Cell, level: float = LEVEL) -> Difference:
        """``first`` minus ``second``, which both have numbers and at least one seed in common."""
        seeds = self.common_seeds(first, second)
        a, b = self.values(first), self.values(second)
        values = [a[seed] - b[seed] for seed in seeds]
        units = self.unit_count(first)
        image_error = self._image_error(first, second, seeds, units)
        scatter, freedom = self._seed_scatter(first, second, seeds, values)
        found = difference(values, image_error, units, scatter, freedom, level)
        return replace(found, images=self.image_count(first))

    def _image_error(self, first: Cell, second: Cell, seeds: Sequence[int], units: int) -> float | None:
        """Standard error of a difference over images; None where nothing is known by image."""
        drawn = []
        for seed in seeds:
            a, b = (self._per_image.replicates(cell, self.networks(cell)[seed]) for cell in (first, second))
            if a is None or b is None or images_of(first) != images_of(second) or units == 1:
                return None
            drawn.append(a - b)
        return resampling.common_error(np.array(drawn), units)

    def _seed_scatter(
        self, first: Cell, second: Cell, seeds: Sequence[int], values: Sequence[float]
    ) -> tuple[float | None, int]:
        """Standard deviation of one seed's difference, and its degrees of freedom; None and 0 with one seed.

        Rows of one kin (see :func:`kin`) see the same draws at a seed, so the residual of row + seed is pooled over
        all of them: two seeds of two rows alone say next to nothing. Across kins a seed is another draw for each,
        which more rows do not tell more about: such a pair has its own seeds alone.
        """
        if len(seeds) < 2:
            return None, 0
        alike = self._training(first) == self._training(second) and images_of(first) == images_of(second)
        kin_of = self._kin(first)
        rows = self._rows(self._training(first), kin_of, first, seeds) if alike and kin_of == self._kin(second) else []
        if len(rows) < 2:
            return float(np.std(values, ddof=1)), len(seeds) - 1
        return residual_scatter(np.array(rows))

    def scatter_elsewhere(self, cell: Cell) -> tuple[float, int, str] | None:
        """Scatter of a difference from networks that were trained otherwise than a cell's, and have several seeds.

        Their scatter, its degrees of freedom for each seed beyond the first, and how they were trained, in words.
        The same stage goes before another, rows of the cell's kin before all. What one seed leaves open, for planning.
        """
        own = self._training(cell)
        others = {
            self._training(other): list(self.networks(other))
            for other in self.plan.cells
            if other.runs and len(other.runs) > 1 and self._training(other)[1] == own[1]
        }
        for training in sorted(others, key=lambda training: training[0] != own[0]):
            for kin_of in (self._kin(cell), None):
                rows = self._rows(training, kin_of, cell, others[training])
                if training != own and len(rows) > 1:
                    scatter, freedom = residual_scatter(np.array(rows))
                    epochs = f"{training[2]} epochs of " if training[0] == own[0] else ""
                    return scatter, freedom // (len(others[training]) - 1), f"after {epochs}{phase_title(training[0])}"
        return None

    def _kin(self, cell: Cell) -> Method:
        return kin(self.plan.runs[cell.runs[0]].method)

    def _training(self, cell: Cell) -> tuple[str, str, int]:
        """How the networks of a cell were trained, whatever the method."""
        run = self.plan.runs[cell.runs[0]]
        return cell.stage, run.kind, run.xe_epochs

    def _rows(
        self, training: tuple[str, str, int], kin_of: Method | None, cell: Cell, seeds: Sequence[int]
    ) -> list[list[float]]:
        """Numbers by seed, on a cell's images and metric, of all rows of a training and a kin (None: of any)."""
        found: dict[Run, list[float]] = {}
        for other in self.plan.cells:
            asked = replace(other, metric=cell.metric)
            alike = other.runs and self._training(other) == training and images_of(asked) == images_of(cell)
            alike = alike and (kin_of is None or self._kin(other) == kin_of)
            values = self.values(asked) if alike else {}
            numbers = [values[seed] for seed in seeds if isinstance(values.get(seed), float)]
            if len(numbers) == len(seeds):
                found.setdefault(replace(self.plan.runs[other.runs[0]], id="", seed=0), numbers)
        return list(found.values())

    # ---- permutation tests

    def permutation_p(self, pairs: Sequence[tuple[Cell, Cell]]) -> list[float | None]:
        """p of each pair of cells of one metric over exchanges of images, on the seeds that both have.

        None where a metric does not come from numbers that add up over images, or differs between the two.
        """
        keys = [self._pair_key(first, second) for first, second in pairs]
        missing = dict.fromkeys(key for key in keys if key is not None and key not in self._p_values)
        for images in dict.fromkeys(key[0] for key in missing):
            group = [key for key in missing if key[0] == images]
            sides = [[[self._per_image.statistics(net, images) for net in side] for side in key[1:]] for key in group]
            self._p_values |= dict(zip(group, resampling.permutation_test([tuple(s) for s in sides]), strict=True))
        return [
            None if key is None else self._p_values[key].get(first.metric)
            for key, (first, _) in zip(keys, pairs, strict=True)
        ]

    def _pair_key(
        self, first: Cell, second: Cell
    ) -> tuple[Images, tuple[NetworkId, ...], tuple[NetworkId, ...]] | None:
        images, seeds = images_of(first), self.common_seeds(first, second)
        sides = [tuple(self.networks(cell)[seed] for seed in seeds) for cell in (first, second)]
        known = all(self._per_image.statistics(network, images) for side in sides for network in side)
        same = images == images_of(second) and self.spice(first) == self.spice(second)
        return (images, sides[0], sides[1]) if seeds and known and same else None


def side_measurements(side: SidePlan, paths: Paths) -> Measurements:
    """Numbers of the cells of a side plan, from the scores that are there; ``paths`` are the experiment's."""
    return Measurements.of(side.plan, SidePaths.beside(paths, side.name))


def kin(method: Method) -> Method:
    """What rows have in common whose networks have the same parameters and the same draws at a seed.

    They may differ in numbers that only weigh keys or pairs: lambda_f, lambda_e (0 or not: above 0 there is a fusion
    layer), lambda_rank and the thresholds; and in the controls, whose own draws leave the others as they are.
    """
    alike = {"lambda_f": 1.0, "lambda_e": float(method.lambda_e > 0), "lambda_rank": 0.0}
    controls = {"keys": "ranked", "rank_target": "own"}
    return replace(method, **alike, **controls, delta_tim=0.0, delta_sen=0.0)


def difference(
    values: Sequence[float],
    image_error: float | None,
    images: int,
    scatter: float | None,
    freedom: int,
    level: float = LEVEL,
) -> Difference:
    """A difference from its value for each seed, its standard error over images, and its scatter over seeds.

    ``images`` are as many as are independent.
    """
    mean, seeds = float(np.mean(values)), len(values)
    if image_error is None and scatter is None:
        return Difference(mean, None, None, None, None, None, 0, seeds, images, images)
    errors = (image_error or 0.0, (scatter or 0.0) / math.sqrt(seeds), images, freedom)
    half = resampling.half_width(*errors, level)
    both = image_error is not None and scatter is not None
    p = resampling.p_of_interval(mean, *errors) if both else None
    return Difference(mean, mean - half, mean + half, p, image_error, scatter, freedom, seeds, images, images)


def residual_scatter(table: np.ndarray) -> tuple[float, int]:
    """Standard deviation over seeds of the difference of two rows, from all rows (rows, seeds), and its freedom.

    The model is row + seed + residual: what a seed does to all rows alike leaves differences as they are, and
    a difference has twice the variance of a residual.
    """
    residual = table - table.mean(1, keepdims=True) - table.mean(0) + table.mean()
    freedom = (table.shape[0] - 1) * (table.shape[1] - 1)
    return math.sqrt(2 * float((residual**2).sum()) / freedom), freedom


def look_up(cell: Cell, document: ScoreDocument) -> float | str:
    """The number of a cell in one score document, or the reason why it has none."""
    if cell.metric == TWINS:
        twins = document["twins"]
        return f"not run: {cell.role} has no twins" if twins is None else twins["accuracy"]
    if cell.metric in DRAWN_METRICS:
        drawn = document["diversity"]
        return "not run: no random draws were captioned" if drawn is None else drawn["mean"][cell.metric]
    for missing in (cell.scope, cell.metric):
        if missing in document["not_run"]:
            return document["not_run"][missing]
    return document["scopes"][cell.scope]["metrics"][cell.metric]
