"""How often chance alone decides a difference, and how often a real one is decided: simulated rows and seeds.

``python -m tests.scoring.test_decisions`` prints the table.
"""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from rdt.metrics.resampling import half_width
from rdt.scoring.measurements import residual_scatter

SCATTERS = ((5.0, 1.0), (2.0, 2.0), (0.0, 3.0))  # SD of a kin's common draw at a seed, SD of a row's own
SEEDS = (2, 3, 5, 8)
ROWS, IMAGES, IMAGE_ERROR = 6, 500, 0.8
TRIALS = 4000


def share_decided(of_kin: float, of_row: float, seeds: int, across: bool, effect: float = 0.0) -> float:
    """Percent of trials in which the interval of a true difference of ``effect`` does not hold 0.

    Two kins of rows: ``across``, one row of each is compared by its own seeds; else two rows of one kin, by the
    scatter of all its rows, as :meth:`Measurements._seed_scatter` has it.
    """
    generator = np.random.default_rng([int(10 * of_kin), int(10 * of_row), seeds, across])
    found = 0
    for _ in range(TRIALS):
        common = of_kin * generator.normal(size=(2, 1, seeds)) + 3 * generator.normal(size=seeds)
        first, second = common + of_row * generator.normal(size=(2, ROWS, seeds))
        values = first[0] - (second[0] if across else first[1]) + effect + IMAGE_ERROR * generator.normal()
        own = (float(np.std(values, ddof=1)), seeds - 1)
        scatter, freedom = own if across else residual_scatter(first)
        found += abs(values.mean()) > half_width(IMAGE_ERROR, scatter / seeds**0.5, IMAGES, freedom)
    return 100 * found / TRIALS


@pytest.mark.parametrize("across", [True, False])
@pytest.mark.parametrize("seeds", SEEDS)
@pytest.mark.parametrize(("of_kin", "of_row"), SCATTERS)
def test_chance_decides_no_more_often_than_it_says(of_kin, of_row, seeds, across):
    assert share_decided(of_kin, of_row, seeds, across) <= 6


def main() -> None:
    print("kin row seeds pair    decided by chance, of a difference of 5, of 10 (percent)")
    for (of_kin, of_row), seeds, across in product(SCATTERS, SEEDS, (True, False)):
        shares = [share_decided(of_kin, of_row, seeds, across, effect) for effect in (0, 5, 10)]
        print(f"{of_kin:3g} {of_row:3g} {seeds:5d} {'across' if across else 'within'} ", *(f"{x:5.1f}" for x in shares))


if __name__ == "__main__":
    main()
