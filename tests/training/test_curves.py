"""Points of curves within an epoch."""

from __future__ import annotations

import pytest

from rdt.training.curves import POINTS, Curve


def test_a_point_is_the_mean_over_the_steps_since_the_last_one():
    curve = Curve(steps=2 * POINTS, images_per_step=4, sums={}, done=0)
    assert curve.point({"total": 3.0, "grad_norm": 1.0}, 1) == {}
    first = curve.point({"total": 5.0, "grad_norm": 4.0}, 2)
    assert (first["step/loss/total"], first["step/grad_norm"]) == (2.5, 2.0)
    assert first["step/images_per_second"] > 0
    assert curve.point({"total": 6.0, "grad_norm": 4.5}, 3) == {}
    second = curve.point({"total": 8.0, "grad_norm": 6.0}, 4)
    assert (second["step/loss/total"], second["step/grad_norm"]) == (1.5, 1.0)


def test_a_training_that_is_taken_up_again_begins_where_it_was():
    curve = Curve(steps=3 * POINTS, images_per_step=1, sums={"total": 10.0}, done=2)
    assert curve.point({"total": 17.0}, 3)["step/loss/total"] == 7.0


@pytest.mark.parametrize(("steps", "points"), [(6, 6), (POINTS, POINTS), (POINTS + 1, 50), (400_000, POINTS)])
def test_a_training_has_at_most_so_many_points(steps, points):
    curve = Curve(steps, images_per_step=1, sums={}, done=0)
    assert sum(bool(curve.point({"total": float(step)}, step)) for step in range(1, steps + 1)) == points
