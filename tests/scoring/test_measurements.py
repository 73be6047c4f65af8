"""Numbers, differences and p values of cells, from real score files and from scores that are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from rdt.experiment.plan import load_tables, plan
from rdt.experiment.runs import NetworkId
from rdt.experiment.settings import Seeds
from rdt.metrics.names import TWINS, TWINS_COLUMN
from rdt.metrics.statistics import to_columns
from rdt.scoring.measurements import Measurements, difference, kin, look_up
from rdt.scoring.per_image import PerImage, images_of
from tests.experiment.test_plan import experiment

IMAGES = 30
WITH_BRANCH = 6  # rows of Table VI with lambda_e > 0
HARD = np.random.default_rng(0).normal(0, 0.3, IMAGES)  # what all networks find hard alike


def planned(seeds: Seeds, **training):
    """Tables II, VI and VII with one network a row."""
    usual = experiment(tables=("II", "VI", "VII"), seeds=seeds)
    return plan(replace(usual, training=replace(usual.training, cascades=1, **training)), load_tables())


class Known:
    """Scores with CIDEr ``level(run)`` + a shift of the seed, the same for all runs, + noise of the run and seed."""

    def __init__(self, made, level, noise=0.0, by_image=0.0) -> None:
        self.made, self.level, self.noise, self.by_image = made, level, noise, by_image

    def values(self, run: str, stage: str) -> np.ndarray:
        found = self.made.runs[run]
        own = np.random.default_rng([sum(map(ord, run)), len(stage), ord(stage[0])])
        shift = 3 * found.seed + self.noise * own.normal()
        return (self.level(found, stage) + shift) / 100 + HARD + self.by_image / 100 * own.normal(size=IMAGES)

    def score(self, run: str, stage: str, role: str, split: str) -> dict:
        cider = 100 * float(self.values(run, stage).mean())
        return {
            "n": IMAGES,
            "scopes": {"c5": {"n": IMAGES, "metrics": {"C": cider}}},
            "not_run": {},
            "twins": {"pairs": IMAGES // 2, "accuracy": float(self.twins(run).mean())},
            "diversity": {"mean": {"D@2": 20.0 + found_seed(self.made, run)}},
        }

    def twins(self, run: str) -> np.ndarray:
        better = 8 if self.made.runs[run].method.lambda_rank else 4
        return np.array([100.0] * better + [0.0] * (IMAGES // 2 - better))

    def frame(self, run: str, stage: str, role: str, split: str) -> pd.DataFrame:
        columns = to_columns({"C": self.values(run, stage)[:, None]}, "c5")
        told_apart = np.full(IMAGES, np.nan)
        told_apart[::2] = self.twins(run)
        return pd.DataFrame({**columns, TWINS_COLUMN: told_apart})

    def draws(self, run: str, stage: str, role: str, split: str) -> list[list[str]]:
        own = np.random.default_rng(found_seed(self.made, run))
        return [[" ".join(own.choice(list("abcde"), 5)) for _ in range(IMAGES)] for _ in range(2)]

    def measurements(self) -> Measurements:
        return Measurements(self.made, self.score, PerImage(self.made, self.frame, self.draws, lambda _: "abcdef"))


def found_seed(made, run: str) -> int:
    return made.runs[run].seed


def cell_of(made, table: str, row: str, column: str):
    return next(c for c in made.cells if (c.table, c.row, c.column) == (table, row, column))


def grid(made, row: str):
    return cell_of(made, "VI", row, "C")


def by_lambda_e(run, stage: str) -> float:
    return 100 + (50 if stage == "rl" else 0) + 10 * run.method.lambda_e


def test_one_seed_is_about_images_alone():
    made = planned(Seeds((0,), (0,)))
    found = (
        Known(made, by_lambda_e, by_image=2)
        .measurements()
        .difference(grid(made, "λ_F=0.75, λ_E=1"), grid(made, "λ_F=0.75, λ_E=0"))
    )
    assert found.covers == "images" and found.p is None and found.seed_scatter is None
    assert found.low < 10 < found.high and found.seeds == 1 and found.images == IMAGES


def test_differences_are_paired_by_image_and_by_seed():
    """Seeds are 3 apart for all rows alike, images 30 apart for all networks alike: nothing of that is left."""
    made = planned(Seeds((0, 1), (0,)))
    known = Known(made, by_lambda_e).measurements()
    found = known.difference(grid(made, "λ_F=0.75, λ_E=1"), grid(made, "λ_F=0.75, λ_E=0"))
    assert (found.value, found.seeds, found.covers) == (pytest.approx(10), 2, "images and seeds")
    assert (found.low, found.high) == (pytest.approx(10), pytest.approx(10)) and found.p < 1e-6
    alone = known.estimate(grid(made, "λ_F=0.75, λ_E=1"))
    assert alone.sd == pytest.approx(3 / 2**0.5) and alone.high - alone.low > 10


def test_the_scatter_of_seeds_is_pooled_over_the_rows_of_a_kin():
    """Six rows of Table VI have the branch of Eq. 20, six have not; a pair across the two has its own seeds alone."""
    made = planned(Seeds((0, 1), (0, 1)))
    known = Known(made, by_lambda_e, noise=2.0).measurements()
    rows = [grid(made, "λ_F=0.75, λ_E=1"), grid(made, "λ_F=0.75, λ_E=0.25")]
    found = known.difference(*rows)
    assert found.freedom == WITH_BRANCH - 1
    assert 1 < found.seed_scatter < 6  # of sqrt(2) 2 = 2.8
    for other in (
        cell_of(made, "II", "SCD-Net◇ (CVPR23) [9]", "xe/C"),
        cell_of(made, "II", "Transformer (teacher)", "xe/C"),
    ):
        lone = known.difference(rows[0], other)
        values = [known.values(rows[0])[seed] - known.values(other)[seed] for seed in (0, 1)]
        assert (lone.freedom, lone.seed_scatter) == (1, pytest.approx(np.std(values, ddof=1)))
    other_stage = known.difference(cell_of(made, "II", "RDT◇", "rl/C"), cell_of(made, "II", "RDT◇", "xe/C"))
    assert other_stage.freedom == 1 and other_stage.value == pytest.approx(50, abs=8)


def test_controls_are_of_the_kin_of_the_rows_that_they_control_for():
    method = planned(Seeds((0,), (0,))).experiment.method
    kins = {kin(replace(method, **own)) for own in ({}, {"keys": "random"}, {"lambda_f": 1.0, "lambda_e": 1.0})}
    plain = {"lambda_f": 1.0, "lambda_e": 0.0}
    targets = {kin(replace(method, rank_target=name, **plain)) for name in ("own", "renumbered", "shuffled")}
    assert len(kins) == 1 and len(targets) == 1 and kins != targets


def test_only_common_seeds_are_compared_and_another_stage_tells_the_scatter():
    made = planned(Seeds((0, 1), (1,)))
    known = Known(made, by_lambda_e, noise=2.0).measurements()
    rl = [cell_of(made, "II", row, "rl/C") for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]")]
    assert known.common_seeds(rl[0], cell_of(made, "II", "RDT◇", "xe/C")) == [1]
    assert known.difference(*rl).seed_scatter is None
    scatter, freedom, trained = known.scatter_elsewhere(rl[0])
    assert (freedom, trained) == (WITH_BRANCH - 1, "after cross-entropy") and 1 < scatter < 6
    assert known.scatter_elsewhere(grid(made, "λ_F=0.75, λ_E=1")) is None


def test_the_same_stage_with_other_epochs_tells_the_scatter_of_a_grid():
    """Grids of one seed and one epoch beside three seeds of three epochs: of a kin there is one row, so all count."""
    made = planned(Seeds((0, 1, 2), (0, 1), (0,)), grid_xe_epochs=1)
    known = Known(made, by_lambda_e, noise=2.0).measurements()
    scatter, freedom, trained = known.scatter_elsewhere(grid(made, "λ_F=0.75, λ_E=1"))
    assert (freedom, trained) == (1, "after 3 epochs of cross-entropy") and 0.5 < scatter < 8


def test_twins_are_resampled_as_pairs():
    """8 and 4 of 15 pairs: the same 4 among them, so the difference is 4/15 with s^2 = 15/14 (4/15)(11/15)."""
    made = planned(Seeds((0,), (0,)))
    cells = [replace(cell_of(made, "II", row, "rl/C"), metric=TWINS) for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]")]
    assert images_of(cells[0])[2] == "twins"
    known = Known(made, by_lambda_e).measurements()
    found = known.difference(*cells)
    assert (found.value, found.images) == (pytest.approx(100 * 4 / 15), 15)
    expected = 100 * (15 / 14 * (4 / 15) * (11 / 15) / 15) ** 0.5
    assert found.image_error == pytest.approx(expected, rel=0.03)
    assert known.permutation_p([tuple(cells)]) == [pytest.approx(0.125, abs=0.01)]  # 2 of the 16 signs of four


def test_diversity_has_a_jackknife_and_no_permutation_test():
    made = planned(Seeds((0,), (0,)))
    cells = [cell_of(made, "VII", row, "D@2") for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]")]
    known = Known(made, by_lambda_e).measurements()
    found = known.estimate(cells[0])
    assert found.value == 20 and 0 < found.image_error < 10 and found.images == IMAGES
    usage = replicates_of_usage(made, cells[0])
    assert usage == pytest.approx([100 * 5 / 6] * IMAGES)  # every letter is in several captions
    assert known.permutation_p([tuple(cells)]) == [None]


def replicates_of_usage(made, cell) -> np.ndarray:
    by_image = PerImage(made, lambda *_: None, Known(made, by_lambda_e).draws, lambda _: "abcdef")
    return by_image.replicates(replace(cell, metric="Voc-u"), NetworkId(cell.runs[0], "rl"))


def test_a_difference_without_anything_known_has_no_interval():
    found = difference([3.0], None, 10, None, 0)
    assert (found.value, found.low, found.p, found.covers) == (3, None, None, "")
    seeds_only = difference([3.0, 5.0], None, 10, 2**0.5, 1)
    assert seeds_only.covers == "seeds" and seeds_only.p is None
    assert seeds_only.high == pytest.approx(4 + 12.7062, abs=1e-3)


def test_reasons():
    made = planned(Seeds((0,), (0,)))
    cell = grid(made, "λ_F=0.75, λ_E=1")
    document = Known(made, by_lambda_e).score(cell.runs[0], "xe", "primary", "test")
    assert look_up(replace(cell, metric=TWINS), document | {"twins": None}) == "not run: primary has no twins"
    drawn = replace(cell, metric="D@2")
    assert look_up(drawn, document | {"diversity": None}) == "not run: no random draws were captioned"
    assert look_up(cell, document | {"not_run": {"C": "not run: tired"}}) == "not run: tired"
    assert look_up(cell, document | {"not_run": {"c5": "not run: few"}}) == "not run: few"
