"""Images that are not independent: drawn, exchanged and left out together."""

from __future__ import annotations

import numpy as np
import pytest

from rdt.metrics.diversity import distinct_without_each, vocabulary_usage_without_each
from rdt.metrics.resampling import bootstrap, interval, paired_difference, permutation_test
from rdt.metrics.statistics import UNIT, corpus_values, unit_count

PAIRS = 40
ONE_EACH = np.random.default_rng(0).normal(0.5, 0.2, size=(PAIRS, 1))


def system(values: np.ndarray, units: np.ndarray | None = None) -> dict[str, np.ndarray]:
    return {"C": values} | ({} if units is None else {UNIT: units})


def twice(values: np.ndarray) -> dict[str, np.ndarray]:
    """Each image and its double, which tells nothing new."""
    return system(np.repeat(values, 2, axis=0), np.repeat(np.arange(PAIRS), 2))


def test_doubles_of_images_make_nothing_surer():
    """The mean, its resamples, its interval and its p are those of the images without their doubles."""
    alone, double, other = system(ONE_EACH), twice(ONE_EACH), twice(ONE_EACH[::-1] + 0.05)
    assert unit_count(double) == PAIRS and corpus_values(double)["C"] == pytest.approx(corpus_values(alone)["C"])
    (drawn,), (expected,) = bootstrap([double], 50), bootstrap([alone], 50)
    assert drawn["C"] == pytest.approx(expected["C"])
    assert interval(double)["C"].image_error == pytest.approx(interval(alone)["C"].image_error)
    apart = paired_difference(double, other)["C"], paired_difference(alone, system(ONE_EACH[::-1] + 0.05))["C"]
    assert (apart[0].low, apart[0].high) == pytest.approx((apart[1].low, apart[1].high))
    p = permutation_test([(double, other)]), permutation_test([(alone, system(ONE_EACH[::-1] + 0.05))])
    assert p[0][0]["C"] == pytest.approx(p[1][0]["C"])


def test_without_units_doubles_would_be_taken_for_news():
    """By a factor of sqrt(2), as the standard error of a mean of twice as many images is."""
    counted_twice = system(np.repeat(ONE_EACH, 2, axis=0))
    ratio = interval(system(ONE_EACH))["C"].image_error / interval(counted_twice)["C"].image_error
    assert ratio == pytest.approx(2**0.5, rel=0.03)


@pytest.mark.parametrize(("correlation", "too_small"), [(0.0, 0.0), (0.5, 0.18), (0.9, 0.27)])
def test_the_error_of_correlated_pairs(correlation, too_small):
    """Var of a mean of pairs is (1 + r) times that of independent images: 1 - 1 / sqrt(1 + r) is missing without."""
    generator = np.random.default_rng(1)
    common = generator.normal(size=(1000, 1)) * correlation**0.5
    values = np.concatenate([common + generator.normal(size=(1000, 1)) * (1 - correlation) ** 0.5 for _ in "ab"])
    units = np.tile(np.arange(1000), 2)
    errors = [interval(system(values, u), resamples=10_000)["C"].image_error for u in (None, units)]
    assert 1 - errors[0] / errors[1] == pytest.approx(too_small, abs=0.04)


def test_the_order_of_images_does_not_matter():
    shuffled = np.random.default_rng(2).permutation(2 * PAIRS)
    before = twice(ONE_EACH)
    after = {name: array[shuffled] for name, array in before.items()}
    assert corpus_values(after)["C"] == pytest.approx(corpus_values(before)["C"])
    assert interval(after)["C"].image_error == pytest.approx(interval(before)["C"].image_error, rel=0.05)


def test_a_jackknife_leaves_units_out():
    """By hand: a b / a c / d e without the first two leaves 2 bigrams' words d e: 1 of 2; without the last, 2 of 4."""
    captions = ["a b", "a c", "d e"]
    assert distinct_without_each(captions, 2, units=[0, 0, 1]) == [50.0, 50.0]
    assert distinct_without_each(captions, 2) == [50.0, 50.0, 50.0]
    assert vocabulary_usage_without_each(captions, "abcdef", units=[0, 0, 1]) == pytest.approx([200 / 6, 50.0])
