"""The numbers by image of the networks of an experiment, and their resampled metrics.

Each file is read and each set of images is resampled once. Networks that were scored on the same images
see the same resamples, so all their differences are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import cache

import numpy as np
import pandas as pd

from rdt.data.coco import results_by_image
from rdt.data.vocabulary import Vocabulary
from rdt.errors import UserError
from rdt.experiment.paths import Paths
from rdt.experiment.plan import DRAWS, Cell, Plan
from rdt.experiment.runs import NetworkId
from rdt.files import read_json
from rdt.metrics import resampling, statistics
from rdt.metrics.diversity import distinct_without_each, sayable, vocabulary_usage_without_each
from rdt.metrics.names import DRAWN_METRICS, TWINS, TWINS_COLUMN
from rdt.metrics.statistics import UNIT, Statistics
from rdt.scoring.files import read_columns

Images = tuple[str, str, str]  # role, split, scope


def images_of(cell: Cell) -> Images:
    """What the number of a cell is summed over: the images of a scope, or pairs of twins."""
    return cell.role, cell.split, TWINS if cell.metric == TWINS else cell.scope


class PerImage:
    """Numbers by image of the networks of a plan.

    ``frame`` gives the table of images of a network (run, variant, role, split), its index the image ids, and
    ``draws`` the captions of each of its random draws, None where there are none; ``vocabulary`` the words of
    a role that a caption can hold.
    """

    def __init__(
        self,
        plan: Plan,
        frame: Callable[[str, str, str, str], pd.DataFrame | None],
        draws: Callable[[str, str, str, str], Sequence[Sequence[str]] | None],
        vocabulary: Callable[[str], Collection[str]],
    ) -> None:
        self._plan = plan
        self._frame, self._draws, self._vocabulary = cache(frame), draws, cache(vocabulary)
        self._resampled = cache(self._resample)
        self.statistics, self.jackknifed = cache(self._statistics), cache(self._jackknife)
        self._order: dict[tuple[str, str], list[str]] = {}

    @classmethod
    def of(cls, plan: Plan, paths: Paths) -> PerImage:
        """Numbers that lie in an experiment's results."""

        def frame(*of: str) -> pd.DataFrame | None:
            path = paths.scores(*of)
            return read_columns(path) if path.with_suffix(".parquet").exists() else None

        def draws(*of: str) -> Sequence[Sequence[str]] | None:
            files = [paths.captions(*of, draw) for draw in range(DRAWS)]
            if not all(path.exists() for path in files):
                return None
            return [list(results_by_image(read_json(path), path).values()) for path in files]

        def vocabulary(role: str) -> Collection[str]:
            return sayable(Vocabulary.load(paths.vocabulary(role)))

        return cls(plan, frame, draws, vocabulary)

    def replicates(self, cell: Cell, network: NetworkId) -> np.ndarray | None:
        """Resampled values of one network for the metric of a cell; None where its files have none."""
        if cell.metric in DRAWN_METRICS:
            return self.jackknifed(network, cell.role, cell.split, cell.metric)
        return self._resampled(images_of(cell)).get(network, {}).get(cell.metric)

    def unit_count(self, cell: Cell, network: NetworkId) -> int | None:
        """How many independent units the images of a cell are; None where nothing is known by image."""
        if cell.metric in DRAWN_METRICS:
            frame = self._frame(*network, cell.role, cell.split)
            return frame[UNIT].nunique() if frame is not None and UNIT in frame else None
        found = self.statistics(network, images_of(cell))
        return None if found is None else statistics.unit_count(found)

    def _statistics(self, network: NetworkId, images: Images) -> Statistics | None:
        """Numbers of one network that add up over some images; None where its files have none."""
        role, split, scope = images
        frame = self._frame(*network, role, split)
        if frame is None:
            return None
        if self._order.setdefault((role, split), list(frame.index)) != list(frame.index):
            raise UserError(
                f"scores of {'/'.join(network)}", "are not of the same images as others", "score them again"
            )
        if scope == TWINS:
            told_apart = frame[TWINS_COLUMN].dropna() if TWINS_COLUMN in frame else []
            return {TWINS: told_apart.to_numpy(dtype=np.float64)[:, None] / 100} if len(told_apart) else None
        return statistics.from_frame(frame, scope) if statistics.in_frame(frame, scope) else None

    def _resample(self, images: Images) -> dict[NetworkId, dict[str, np.ndarray]]:
        """Bootstrap of all networks that were scored on some images, together."""
        cells = [cell for cell in self._plan.cells if (cell.role, cell.split) == images[:2]]
        networks = dict.fromkeys(NetworkId(run, cell.stage) for cell in cells for run in cell.runs)
        found = {network: self.statistics(network, images) for network in networks}
        present = {network: part for network, part in found.items() if part is not None}
        return dict(zip(present, resampling.bootstrap(list(present.values())), strict=True)) if present else {}

    def _jackknife(self, network: NetworkId, role: str, split: str, metric: str) -> np.ndarray | None:
        """Values of a diversity metric without each unit of images in turn, spread as bootstrap replicates would be.

        Dist-n counts what is distinct: a resample, which holds images twice, has less of it by construction.
        """
        draws = self._draws(*network, role, split)
        if draws is None:
            return None
        frame = self._frame(*network, role, split)
        units = list(frame[UNIT]) if frame is not None and UNIT in frame else None
        if metric == "Voc-u":
            words = self._vocabulary(self._plan.runs[network.run].role)
            without = [vocabulary_usage_without_each(draw, words, units) for draw in draws]
        else:
            without = [distinct_without_each(draw, int(metric.removeprefix("D@")), units) for draw in draws]
        return resampling.jackknife_replicates(np.mean(without, axis=0))
