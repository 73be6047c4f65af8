"""Claims about the inside of networks: effects, their verdicts and their words, from documents made by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from rdt.claims.attention_spread import judge_attention, narrowing, same_seeds
from rdt.claims.claim import Cells, Claim, Judgement, read_claims
from rdt.claims.inside import Effect, documents_of, findings_inside, inspections, listed
from rdt.claims.judge import find_cells, judge, verdict_at
from rdt.claims.loss_alone import EQUAL, OWN, SPREAD, judge_loss, loss_and_pull
from rdt.claims.noise_quality import judge_noise, slope
from rdt.claims.page import advice
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.settings import Seeds
from rdt.metrics.resampling import Estimate
from rdt.provenance.steps import inspected
from rdt.scoring.inspection import TIMESTEPS
from rdt.scoring.measurements import Measurements
from rdt.scoring.per_image import PerImage

CLAIM = Claim("made", "It is so.", "Fig. 0", "outside")
PAPER = load_experiment("smoke").method


def effect(value: float, error: float = 0.01, seeds: int = 2) -> Effect:
    """An effect over 100 images whose seeds scatter hardly at all."""
    return Effect(Estimate(value, value - 1, value + 1, 0.0, error, 1e-6 if seeds > 1 else None, seeds, 100))


def noise(seed: int = 0, rise: float = 0.1, images: int = 20) -> dict:
    """A document in which the distance rises by ``rise`` from t' = 0 to 1, by a little more for each image."""
    more = np.linspace(0, 0.01, images)
    return {
        "seed": seed,
        "images": list(range(images)),
        "units": list(range(images)),
        "quality": {
            "timesteps": list(TIMESTEPS),
            "distances": [rise * t for t in TIMESTEPS],
            "slopes": (rise + more).tolist(),
        },
    }


def attention(*cells: float, seed: int = 0, images: int = 20, objects: float | None = 0.5) -> dict:
    """A document with so many cells attended after each encoder, an image's a little off; objects get .6 of .5."""
    off = np.linspace(0, 0.1, images)
    known = objects is not None
    return {
        "seed": seed,
        "images": list(range(images)),
        "units": list(range(images)),
        "attention": {
            "cells": [(count + off * n).tolist() for n, count in enumerate(cells)],
            "on_objects": [[0.6] * images for _ in cells] if known else None,
            "objects": [objects] * images if known else None,
        },
    }


def verdict_on(effects: list[Effect]) -> str:
    """Verdict of a claim that is alone on its page, from its effects."""
    return alone(Judgement(CLAIM, "undecided", findings=findings_inside(effects)))


def alone(judgement: Judgement) -> str:
    return verdict_at(judgement, 0.05)


# ---- effects


def test_all_effects_above_0_reproduce_and_one_below_contradicts():
    assert verdict_on([effect(1), effect(2)]) == "reproduced"
    assert verdict_on([effect(1), effect(-2)]) == "contradicted"
    assert verdict_on([effect(1), effect(0.001)]) == "undecided"


def test_one_seed_decides_nothing_however_clear_its_images_are():
    assert effect(5, seeds=1).p is None
    assert findings_inside([effect(5), effect(5, seeds=1)]) == {}
    assert verdict_on([effect(5, seeds=1)]) == "undecided"


def test_all_of_several_costs_nothing_and_one_of_several_their_number():
    weak = effect(0.021)  # 2.1 standard errors: p .038 with 99 degrees of freedom
    assert weak.p == pytest.approx(0.038, abs=0.001)
    assert findings_inside([weak, effect(9)]) == {"reproduced": weak.p, "contradicted": 1.0}
    against = findings_inside([replace_value(weak, -0.021), effect(9)])
    assert against == {"reproduced": 1.0, "contradicted": 2 * weak.p}


def replace_value(found: Effect, value: float) -> Effect:
    return Effect(replace(found.estimate, value=value))


def test_numbers_are_told_in_a_row():
    assert (listed([1.26], 1), listed([1.0, 2], 0), listed([1, 2, 3], 1)) == ("1.3", "1 and 2", "1.0, 2.0 and 3.0")


# ---- quality by timestep


def test_a_slope_above_0_over_images_and_seeds_is_reproduced():
    """Means of the seeds .105 and .115: .110."""
    seeds = [noise(0, 0.10), noise(1, 0.1001)]
    assert slope([noise(0, 0.1), noise(1, 0.11)]).estimate.value == pytest.approx(0.11)
    judged = judge_noise(CLAIM, seeds, seeds)
    assert alone(judged) == "reproduced"
    assert "without the ranking loss +0.105 [" in judged.reason and "over 20 images and 2 seeds" in judged.reason
    assert "where the distance is 0.010, 0.025, 0.050, 0.075 and 0.100" in judged.reason
    assert "|" not in judged.reason  # which would end a cell of a Markdown table
    assert judged.reason.endswith("at t' = 0.10, 0.25, 0.50, 0.75 and 1.00")


def test_a_slope_below_0_with_the_loss_contradicts_whatever_it_is_without():
    rising, falling = [noise(0), noise(1)], [noise(0, -0.2), noise(1, -0.2001)]
    assert alone(judge_noise(CLAIM, rising, falling)) == "contradicted"
    assert alone(judge_noise(CLAIM, rising[:1], rising)) == "undecided"
    one = judge_noise(CLAIM, rising[:1], rising)
    assert "over 20 images, of one seed" in one.reason and advice(one) == ""


def test_seeds_that_disagree_decide_nothing():
    seeds = [noise(0, 0.3), noise(1, -0.1)]
    assert alone(judge_noise(CLAIM, seeds, seeds)) == "undecided"


# ---- attention by encoder


def test_narrowing_is_paired_by_seed_and_image():
    """Self-attention loses 10 and 12 cells less .1 n on average .1, ranking attention 4 and 8: 6 and 4 more."""
    own = [attention(40, 30, seed=0), attention(40, 28, seed=1), attention(40, 10, seed=2)]
    ranking = [attention(40, 32, seed=1), attention(40, 36, seed=0)]
    pairs = same_seeds(own, ranking)
    assert [(a["seed"], b["seed"]) for a, b in pairs] == [(0, 0), (1, 1)]
    first, second = narrowing(pairs)
    assert first.estimate.value == pytest.approx(11 - 0.05) and second.estimate.value == pytest.approx(5)
    assert second.estimate.image_error == pytest.approx(0)  # what an image does to both is not in their difference


def test_self_attention_has_to_narrow_and_by_more():
    def verdict(self_ends: float, ranking_ends: float) -> str:
        seeds = [[attention(40, 35, end - 0.01 * n, seed=n) for n in (0, 1)] for end in (self_ends, ranking_ends)]
        return alone(judge_attention(CLAIM, *seeds))

    assert verdict(25, 38) == "reproduced"
    assert verdict(45, 48) == "contradicted"  # wider, if by less
    assert verdict(25, 20) == "contradicted"  # ranking attention narrows more


def test_the_reason_tells_cells_objects_and_what_the_interval_is_about():
    own, ranking = ([attention(40, end, seed=n) for n in (0, 1)] for end in (30, 36))
    reason = judge_attention(CLAIM, own, ranking).reason
    assert "40.0 and 30.1 with self-attention and 40.0 and 36.0 with ranking attention, of 49 cells" in reason
    assert "narrows by +10.0 [" in reason and "which is +6.0 [" in reason and "over 20 images and 2 seeds" in reason
    assert reason.endswith("1.20 and 1.20 times with self-attention and 1.20 and 1.20 times with ranking attention")
    photographs = [[attention(40, end, seed=n, objects=None) for n in (0, 1)] for end in (30, 36)]
    assert "object" not in judge_attention(CLAIM, *photographs).reason


def test_one_encoder_and_no_common_seed_are_not_run():
    assert judge_attention(CLAIM, [attention(40)], [attention(40)]).verdict == "not run"
    assert judge_attention(CLAIM, [attention(40)], [attention(40)]).reason == "the encoder has one layer here"
    apart = judge_attention(CLAIM, [attention(40, 30)], [attention(40, 30, seed=1)])
    assert (apart.verdict, apart.reason) == ("not run", "the two networks have no seed in common")


# ---- from the claims file to the documents


def claim_called(name: str) -> Claim:
    return next(claim for claim in read_claims() if claim.id == name)


def only(claim: Claim, *known) -> Judgement:
    """The verdict on one claim, which stands alone on its page."""
    (judgement,) = judge([claim], *known)
    return judgement


def measured(tables: tuple[str, ...] = ("II",)) -> Measurements:
    """Two seeds after cross-entropy, and no score at all."""
    experiment = replace(load_experiment("smoke"), seeds=Seeds((0, 1), (0,)), tables=tables)
    made = plan(experiment, load_tables())
    return Measurements(made, lambda *_: None, PerImage.of(made, Paths("nowhere")))


@pytest.mark.parametrize("claim", [claim for claim in read_claims() if claim.kind in ("noise", "attention")])
def test_claims_about_the_inside_rest_on_networks_that_are_inspected(claim):
    made = measured().plan
    sides = [value for value in vars(claim).values() if isinstance(value, Cells)]
    cells = [find_cells(side, made, claim.id) for side in sides]
    runs = [run for (cell,) in cells for run in cell.runs]
    assert len(runs) == 4 and {run for run, _ in inspected(made)} == set(runs)
    losses = [made.runs[cell.runs[0]].method.lambda_rank > 0 for (cell,) in cells]
    shares = [made.runs[cell.runs[0]].method.lambda_e > 0 for (cell,) in cells]
    assert losses == shares == [False, True]  # first base, then RDT


def test_a_claim_is_judged_by_the_documents_of_its_two_networks():
    known = measured()

    def document(run: str) -> dict:
        found = known.plan.runs[run]
        ends = 30 if found.method.lambda_e == 0 else 36
        return noise(found.seed, 0.1 + 0.001 * found.seed) | attention(40, ends, seed=found.seed)

    assert only(claim_called("noise-quality"), known, document).verdict == "reproduced"
    attended = only(claim_called("attention-maps"), known, document)
    assert attended.verdict == "reproduced" and "40.0 and 30.1 with self-attention" in attended.reason
    assert only(claim_called("loss-pulls"), known).verdict == "contradicted"


@pytest.mark.parametrize("name", ["noise-quality", "attention-maps"])
def test_without_documents_or_the_table_a_claim_is_not_run(name, tmp_path):
    found = only(claim_called(name), measured(), inspections(Paths("none", tmp_path)))
    assert (found.verdict, found.reason) == ("not run", "its networks have not been inspected yet")
    found = only(claim_called(name), measured(("V",)))
    assert (found.verdict, found.reason) == ("not run", "the experiment leaves its table out")
    (cell,) = find_cells(claim_called("noise-quality").with_loss, measured().plan, name)
    absent = replace(cell, runs=(), reason="not run: this budget leaves the row out")
    assert documents_of([absent], lambda run: noise()) == "this budget leaves the row out"


# ---- Eq. 24 alone


def test_over_spread_scores_cost_nothing_and_stay_where_they_are():
    """|D*| = .1 and D = .4 in the right order: max(0, .1 - .4) = 0."""
    assert loss_and_pull(SPREAD, PAPER) == (0, [0, 0])
    assert min(abs(q - own) for q, own in zip(SPREAD, OWN, strict=True)) == 0.5


def test_equal_scores_are_pulled_apart_even_away_from_their_own():
    """Both orders of the pair cost .1, over n^2 = 4; each score moves by 2 / 4, the upper one up from .5, not to .1."""
    loss, pull = loss_and_pull(EQUAL, PAPER)
    assert loss == pytest.approx(0.05) and pull == [-0.5, 0.5]


def test_the_claim_about_eq_24_is_contradicted_by_the_example():
    judged = judge_loss(CLAIM, PAPER)
    assert judged.verdict == "contradicted" and judged.comparisons == ()
    assert "q* = (0.0, 0.1) at one timestep the predictions q = (0.5, 0.9)" in judged.reason
    assert "0.5 and 0.8 off; L_rank is 0 and its gradient (0.0, 0.0)" in judged.reason
    assert judged.reason.endswith("of q = (0.5, 0.5) it moves one away from its own")


def test_a_loss_that_did_pull_them_back_would_bear_the_claim_out(monkeypatch):
    def squared(q, q_star, *_):
        return ((q - q_star) ** 2).sum()

    monkeypatch.setattr("rdt.losses.pairwise_ranking_loss", squared)
    judged = judge_loss(CLAIM, PAPER)
    assert judged.verdict == "reproduced" and "away" not in judged.reason
