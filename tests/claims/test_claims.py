"""The claims file, the verdicts, and the page about them."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import yaml

from rdt.claims.advice import what_decides
from rdt.claims.attention_cost import measured_cost, ranking_attention_cost, self_attention_cost
from rdt.claims.claim import (
    CellComparison,
    Cells,
    ControlClaim,
    CostClaim,
    GreaterClaim,
    Judgement,
    LayerSizes,
    OutsideClaim,
    read_claims,
)
from rdt.claims.judge import findings_of, judge, no_effect_p, on_one_page, verdict_at
from rdt.claims.page import COLUMNS, advice, claims_csv, claims_page, verdict_counts
from rdt.data.published import read_published
from rdt.errors import UserError
from rdt.experiment.controls import read_controls
from rdt.experiment.plan import load_tables, plan
from rdt.experiment.settings import Seeds
from rdt.experiment.sides import side_plan
from rdt.metrics.resampling import half_width
from rdt.provenance.steps import CLAIMS_FILE
from rdt.scoring.measurements import difference
from tests.experiment.test_plan import experiment
from tests.scoring.test_measurements import Known, by_lambda_e, cell_of, planned

GRID = [f"λ_F=0.75, λ_E={value}" for value in ("0", "0.25", "0.4", "0.5", "0.55", "0.6", "1")]


def greater(better: str, *than: str, **changes) -> GreaterClaim:
    """A claim about CIDEr in Table VI."""
    sides = [Cells("VI", "C", (better,)), Cells("VI", "C", than)]
    return GreaterClaim("made", "One is better.", "Table VI", "greater", *sides, **changes)


def judged(claim, seeds: Seeds = Seeds((0, 1), (0,)), level=by_lambda_e, **noise):  # noqa: B008 - frozen
    return only(claim, Known(planned(seeds), level, **noise).measurements())


def only(claim, measurements):
    """The verdict on one claim, which stands alone on its page."""
    (judgement,) = judge([claim], measurements)
    return judgement


# ---- the file


def test_every_claim_rests_on_cells_that_exist_and_that_are_ours():
    tables = load_tables()
    for claim in read_claims():
        for side in (claim.better, claim.than) if isinstance(claim, GreaterClaim) else ():
            rows = {row["row"]: row for row in tables[side.table]["rows"]}
            parts = tables[side.table]["parts"]
            columns = {f"{part['id']}/{m}" if "id" in part else m for part in parts for m in part["metrics"]}
            assert side.column in columns, claim.id
            assert all("run" in rows[name] for name in side.rows), claim.id


def test_every_control_claim_compares_a_proposal_with_what_controls_for_it():
    pairs = {(control.of, control.row) for control in read_controls()}
    claimed = [(claim.of, claim.over) for claim in read_claims() if isinstance(claim, ControlClaim)]
    assert set(claimed) == pairs and len(claimed) == len(pairs)


def test_the_papers_own_numbers_bear_its_claims_out_but_for_those_we_know():
    """As printed, each claimed difference is above 0: else we would have read the paper wrongly."""
    for claim in read_claims():
        if isinstance(claim, GreaterClaim) and not claim.better.metric:
            numbers = [
                [float(read_published(side.table)[row, side.column]) for row in side.rows]
                for side in (claim.better, claim.than)
            ]
            equal = claim.id == "cascade"  # Table VI repeats the cascade's number of Table II
            assert min(numbers[0]) > max(numbers[1]) or equal, claim.id


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "best"}, r"coco-xe.kind is 'best', expected one of greater, control, cost, outside"),
        ({"beter": {}}, r"unknown key coco-xe.beter; did you mean better\?"),
        ({"than": {"table": "IX", "column": "C", "rows": ["a"]}}, r"coco-xe.than.table is 'IX', expected one of II"),
        ({"than": {"table": "VI", "column": "C", "rows": []}}, r"coco-xe.than.rows is \[\], expected a list of one"),
        ({"than": {"table": "VI", "rows": ["a"]}}, r"the key coco-xe.than.column is missing"),
        ({"better": {"table": "VI", "column": "C", "rows": ["a"], "metric": "cider"}}, "better.metric is 'cider'"),
    ],
)
def test_a_wrong_claim_is_named_with_its_key(tmp_path, change, message):
    entry = yaml.safe_load(CLAIMS_FILE.read_text())[0] | change
    path = tmp_path / "claims.yaml"
    path.write_text(yaml.safe_dump([entry]))
    with pytest.raises(UserError, match=message):
        read_claims(path)


def test_two_claims_of_one_name_and_a_file_that_is_no_list(tmp_path):
    path = tmp_path / "claims.yaml"
    entry = {"id": "a", "sentence": "s", "where": "w", "kind": "outside", "reason": "r"}
    path.write_text(yaml.safe_dump([entry, entry]))
    with pytest.raises(UserError, match="has two claims called a"):
        read_claims(path)
    path.write_text(yaml.safe_dump([entry, {"sentence": "s"}]))
    with pytest.raises(UserError, match="entry 1 has no id"):
        read_claims(path)
    path.write_text("id: a")
    with pytest.raises(UserError, match="is not a list of claims"):
        read_claims(path)


# ---- verdicts


def compared(
    value: float, half: float, paper: float | None = 4.0, base: float = 50.0, seeds: int = 4
) -> CellComparison:
    """A comparison whose interval is ``value`` -+ ``half``, of two rows of which the paper's second has 100.

    So the paper's difference is a share of ``paper`` percent, and ``paper / 2`` points are expected of a base of 50.
    """
    scatter = half / half_width(0.0, 1 / seeds**0.5, 500, seeds - 1)
    found = difference([value] * seeds, 0.0, 500, scatter, seeds - 1)
    cells = [cell_of(planned(Seeds((0,), (0,))), "VI", row, "C") for row in GRID[:2]]
    comparison = CellComparison(*cells, paper, paper and 100.0, found, base)
    return replace(comparison, p_no_effect=no_effect_p(found, comparison.bound))


def verdict_on(comparisons: list[CellComparison]) -> str:
    """Verdict of a claim that is alone on its page."""
    claim = greater(GRID[0], GRID[1])
    return verdict_at(Judgement(claim, "undecided", tuple(comparisons), findings=findings_of(comparisons)), 0.05)


@pytest.mark.parametrize(
    ("value", "half", "verdict"),
    [
        (2.0, 1.5, "reproduced"),  # 0.5 to 3.5 holds the 2 points that are expected
        (8.0, 1.5, "reproduced"),  # 6.5 to 9.5: more than expected
        (1.0, 0.9, "reproduced, smaller"),  # 0.1 to 1.9
        (0.1, 0.8, "no such effect"),  # -0.7 to 0.9 lies within 1 of 0
        (-0.1, 0.8, "no such effect"),
        (0.3, 0.2, "reproduced, smaller"),  # there is an effect, however small
        (0.1, 1.0, "undecided"),  # -0.9 to 1.1
        (0.9, 0.95, "undecided"),
        (-1.0, 0.9, "contradicted"),
        (-0.3, 0.2, "contradicted"),
    ],
)
def test_the_verdict_goes_by_the_interval_and_the_papers_size(value, half, verdict):
    assert verdict_on([compared(value, half)]) == verdict


def test_effects_are_shares_of_the_row_compared_with():
    """The paper's 4 on 100 are 2 points on 50 and 8 on 200; of a base of 0 or without a printed number, no share."""
    one = compared(1.0, 0.9)
    assert (one.expected, one.share(1.0)) == (2.0, 2.0)
    assert verdict_on([compared(1.0, 0.9, base=20.0)]) == "reproduced"  # 0.8 is expected
    assert compared(1.0, 0.9, base=200.0).expected == 8.0
    for none in (compared(0.1, 0.8, paper=None), compared(0.1, 0.8, base=0.0)):
        assert none.expected is None and none.p_no_effect is None
        assert verdict_on([none]) == "undecided"
    assert verdict_on([compared(1.0, 0.9, paper=None)]) == "reproduced"


def test_all_of_several_need_no_correction_and_one_of_several_does():
    """p of 0.04: twice of it are needed of "all", one of two of them costs a factor of two."""
    clear, just = compared(5.0, 1.0), compared(1.0, 0.96)
    assert 0.03 < just.difference.p < 0.05
    assert findings_of([clear, just])["reproduced"] == just.difference.p
    against = compared(-1.0, 0.96)
    found = findings_of([clear, against])
    assert found["contradicted"] == 2 * against.difference.p and found["reproduced"] == 1.0
    none = compared(0.0, 0.9)
    assert findings_of([clear, none])["no such effect"] == 2 * none.p_no_effect
    assert verdict_on([clear, compared(1.0, 0.9)]) == "reproduced, smaller"


def test_a_clear_difference_with_two_seeds_is_reproduced_and_its_reverse_contradicted():
    """CIDEr is 10 λ_E higher, seeds scatter by 0.3 and images by 1."""
    noise = {"noise": 0.3, "by_image": 1.0}
    assert judged(greater(GRID[-1], GRID[0]), **noise).verdict == "reproduced"
    assert judged(greater(GRID[0], GRID[-1]), **noise).verdict == "contradicted"


def test_one_seed_decides_nothing():
    """The images alone leave no doubt: 10 points, and not a trace of noise."""
    judgement = judged(greater(GRID[-1], GRID[0]), Seeds((0,), (0,)), by_image=0.1)
    (comparison,) = judgement.comparisons
    assert comparison.difference.low > 9 and judgement.p is None
    assert judgement.verdict == "undecided" and advice(judgement) == "at least 2 seeds"


def test_noise_is_undecided_with_the_seeds_that_would_decide():
    """λ_E = 0.4 is 1.5 better than 0.25, where seeds scatter by 4."""
    judgement = judged(greater(GRID[2], GRID[1]), noise=4.0, by_image=0.5)
    assert judgement.verdict == "undecided" and judgement.p > 0.05
    assert judgement.needed.seeds > 2 and judgement.scatter_of == ""
    assert re.fullmatch(r"about [\d,]+ seeds(, [\d,]+ images)?", advice(judgement))


def test_best_of_a_grid_has_to_beat_every_other_cell():
    """λ_E = 1 beats all others by 4 or more. Of λ_E = 0.6 one other, 0.55, is only 0.5 behind: undecided, although
    it is clearly behind λ_E = 1 where that is in the grid: contradicted."""
    noise = {"noise": 0.3, "by_image": 1.0}
    assert judged(greater(GRID[-1], *GRID[:-1]), **noise).verdict == "reproduced"
    assert judged(greater(GRID[-2], *GRID[:-2]), **noise).verdict == "undecided"
    last = judged(greater(GRID[-2], *GRID[:-2], GRID[-1]), **noise)
    assert last.verdict == "contradicted" and last.closest.than.row == GRID[-1]


def test_the_advice_of_several_comparisons_is_what_decides_the_claim():
    """One far on the other side contradicts at once, whatever the seven that are next to nothing would take."""
    known = Known(planned(Seeds((0, 1), (0,))), by_lambda_e, noise=0.2, by_image=0.1).measurements()
    near, far = compared(0.01, 5.0, paper=None), compared(-4.0, 5.0, paper=None, seeds=2)
    alone, _ = what_decides([near], known, 0.05)
    among, _ = what_decides([near] * 7 + [far], known, 0.05)
    assert alone is None and among.seeds < 10
    both, _ = what_decides([far, compared(4.0, 5.0, paper=None, seeds=2)], known, 0.05)
    single, _ = what_decides([far], known, 0.05)
    assert single.seeds <= both.seeds


def test_false_findings_of_a_page_are_at_most_as_many_as_it_says():
    """30 pages of 40 claims: 20 without an effect, 10 with half of the paper's (which is one), 10 with all of it.

    Four seeds of rows that scatter by 1, the images' error 0.3, an effect of 4 on the paper's side.
    """
    generator = np.random.default_rng(0)
    truths = np.repeat([0.0, 2.0, 4.0], [20, 10, 10])
    cells = [cell_of(planned(Seeds((0,), (0,))), "VI", row, "C") for row in GRID[:2]]
    shares, right = [], 0
    for _ in range(30):
        found = []
        for truth in truths:
            values = truth + 0.3 * generator.normal() + 2**0.5 * generator.normal(size=4)
            own = difference(list(values), 0.3, 500, float(np.std(values, ddof=1)), 3)
            comparison = CellComparison(*cells, 4.0, 100.0, own, 100.0)
            comparison = replace(comparison, p_no_effect=no_effect_p(own, comparison.bound))
            found.append(Judgement(greater(*GRID[:2]), "undecided", (comparison,), findings=findings_of([comparison])))
        verdicts = [judgement.verdict for judgement in on_one_page(found)]
        decided = [pair for pair in zip(verdicts, truths, strict=True) if pair[0] != "undecided"]
        false = [verdict for verdict, truth in decided if (verdict == "no such effect") != (truth == 0)]
        shares.append(len(false) / max(1, len(decided)))
        right += len(decided) - len(false)
    assert np.mean(shares) <= 0.06 and right > 30


def test_more_claims_on_a_page_take_a_clearer_difference():
    """Beside ten claims of nothing a p is 11 times as large; beside nine that are as clear it stays."""
    known = Known(planned(Seeds((0, 1), (0,))), by_lambda_e, noise=1.8, by_image=0.5).measurements()
    just = greater(GRID[-1], GRID[0])
    p = only(just, known).p
    assert 0.005 < p < 0.05 and only(just, known).verdict == "reproduced"
    noise = [greater(*pair) for pair in permutations(GRID[4:6])] * 5
    judged_all = judge([just, *noise], known)
    assert judged_all[0].p == p and judged_all[0].p_page == pytest.approx(11 * p)
    assert {one.verdict for one in judged_all} == {"undecided"}
    assert judge([just] * 10, known)[0].verdict == "reproduced"
    single = only(noise[0], known).needed
    assert judged_all[1].needed is None or judged_all[1].needed.seeds > single.seeds


def test_what_cannot_be_compared_is_not_run_with_its_reason():
    def reason(claim, seeds: Seeds) -> str:
        judgement = judged(claim, seeds)
        assert judgement.verdict == "not run" and judgement.comparisons == ()
        return judgement.reason

    one = Seeds((0,), (0,))
    rdt, base = (Cells("II", "rl/C", (row,)) for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]"))
    claim = GreaterClaim("made", "s", "w", "greater", rdt, base)
    assert reason(replace(claim, better=Cells("V", "C", ("base",))), one) == "the experiment leaves its table out"
    quoted = Cells("II", "rl/C", ("EVCAP (CVPR24) [34]",))
    assert reason(replace(claim, than=quoted), one) == "EVCAP (CVPR24) [34] is another group's row"
    same = Cells("VI", "C", (GRID[4],))
    assert reason(replace(claim, better=Cells("II", "xe/C", ("RDT◇",)), than=same), one) == (
        "both sides are the same network here"
    )
    assert reason(OutsideClaim("made", "s", "w", "outside", "no photographs"), one) == "no photographs"
    with pytest.raises(UserError, match="claim made: Table II has no rl/C of 'RTD'"):
        judged(replace(claim, better=Cells("II", "rl/C", ("RTD",))), one)


def test_rows_of_other_budgets_are_neither_compared_nor_pooled():
    """A grid that trains for fewer epochs than Table II: its six rows of a kin tell their own scatter, 5 degrees."""
    made = planned(Seeds((0, 1), (0,)), grid_xe_epochs=1)
    known = Known(made, by_lambda_e, noise=1.0).measurements()
    base = Cells("II", "xe/C", ("SCD-Net◇ (CVPR23) [9]",))
    claim = GreaterClaim("made", "s", "w", "greater", Cells("VI", "C", (GRID[0],)), base)
    assert only(claim, known).reason == "the two sides were trained for 1 and 3 epochs here"
    (comparison,) = only(greater(GRID[-1], GRID[1]), known).comparisons
    assert comparison.difference.freedom == 5
    (comparison,) = only(replace(claim, better=Cells("II", "xe/C", ("RDT◇",))), known).comparisons
    assert comparison.difference.freedom == 1


def test_one_network_is_not_compared_with_a_cascade_of_two():
    """Table II has cascades of two where ``cascades`` says so, Table VI single networks."""
    usual = experiment(tables=("II", "VI"), seeds=Seeds((0, 1), (0,)))
    training = replace(usual.training, cascades=2, ablation_cascades=1, grid_xe_epochs=usual.training.xe_epochs)
    known = Known(plan(replace(usual, training=training), load_tables()), by_lambda_e, noise=1.0).measurements()
    sides = Cells("II", "xe/C", ("RDT◇",)), Cells("VI", "C", ("λ_F=0.75, λ_E=0",))
    claim = GreaterClaim("made", "s", "w", "greater", *sides)
    assert only(claim, known).reason == "the two sides are 2 and 1 networks in cascade here"
    (comparison,) = only(replace(claim, varies="cascades"), known).comparisons
    assert comparison.paper is None and comparison.difference.seeds == 2


def test_missing_scores_and_different_spices_are_not_run():
    known = Known(planned(Seeds((0,), (0,))), by_lambda_e)
    score = known.score
    known.score = lambda run, *of: None if "lambda_e1" in run else score(run, *of)
    assert only(greater(GRID[-1], GRID[0]), known.measurements()).reason == "no scores yet"

    def with_spice(run, *of):
        found = score(run, *of)
        found["scopes"]["c5"]["metrics"]["S"] = 20.0
        return found | {"spice": "SPICE-dp" if "lambda_e1" in run else "SPICE"}

    known.score = with_spice
    sides = [Cells("VI", "S", (row,)) for row in (GRID[-1], GRID[0])]
    judgement = only(GreaterClaim("made", "s", "w", "greater", *sides), known.measurements())
    assert judgement.reason == "one side has SPICE and the other SPICE-dp"


def test_a_proposal_is_judged_over_its_control_by_what_the_paper_says_it_gains_over_the_base():
    """RVE gains 10 over random keys, where the paper has 138.1 - 135.9 on 135.9 over the base; seeds hardly scatter."""
    usual = experiment(tables=("V",), seeds=Seeds((0, 1), (0, 1)))
    side = side_plan("controls", usual, load_tables()).plan
    claim = ControlClaim("made", "s", "w", "control", "base + RVE", "base + RVE with random keys")
    main = Known(planned(Seeds((0, 1), (0, 1))), by_lambda_e).measurements()

    def level(run, stage: str) -> float:
        return 150 - 10 * (run.method.keys == "random")

    def with_controls(controls):
        (judgement,) = judge([claim], main, controls=controls)
        return judgement

    found = with_controls(Known(side, level, noise=0.1, by_image=0.5).measurements())
    (comparison,) = found.comparisons
    assert found.verdict == "reproduced" and comparison.difference.value == pytest.approx(10, abs=0.5)
    assert (comparison.paper, comparison.paper_base) == (pytest.approx(2.2), 135.9)
    one_seed = side_plan("controls", replace(usual, seeds=Seeds((0, 1), (0,))), load_tables()).plan
    open_one = with_controls(Known(one_seed, level, noise=0.1, by_image=0.5).measurements())
    assert (open_one.verdict, open_one.scatter_of) == ("undecided", "after cross-entropy")
    unscored = Known(side, level)
    unscored.score = lambda *_: None
    assert with_controls(unscored.measurements()).reason == "`snakemake controls` makes its numbers, on request"
    assert with_controls(None).verdict == "not run"
    claim = replace(claim, over="base, trained for longer")
    assert (
        with_controls(unscored.measurements()).reason == "experiments/controls.yaml lists no 'base, trained for longer'"
    )


def test_twins_and_the_seeds_of_another_phase():
    """RDT tells 8 of 15 pairs apart and SCD-Net 4; with one seed of CIDEr optimisation the scatter is that of xe."""
    sides = [Cells("II", "rl/C", (row,), "twins") for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]")]
    claim = GreaterClaim("made", "s", "w", "greater", *sides)
    judgement = judged(claim, noise=1.0)
    (comparison,) = judgement.comparisons
    assert comparison.difference.value == pytest.approx(400 / 15) and comparison.paper is None
    assert (judgement.verdict, judgement.scatter_of) == ("undecided", "after cross-entropy")
    assert advice(judgement).endswith(", if they scatter as after cross-entropy")
    assert "15 pairs" in claims_page([judgement], planned(Seeds((0, 1), (0,))).experiment)


# ---- counts and power


def test_costs_by_hand():
    """n = 2, d = 3, ffn = 4. Plain: 4 2 9 + 2 4 3 = 96. Ranking with λ_F = λ_E = 0.5 gathers one key in either
    branch: 96 - 24 + 4 3 (affinity) + 2 2 2 3 (branches) + 2 2 9 (fusion) = 144. Feed-forward: 2 2 3 4 = 48."""
    assert self_attention_cost(2, 3, 4) == self_attention_cost(2, 3, 4).__class__(96, 144)
    found = ranking_attention_cost(2, 3, 4, 0.5, 0.5)
    assert (found.attention, found.layer) == (144, 192)


def written(path, power_of_n: float, power_of_d: float):
    """A record of three turns in which time is the product of these powers, twice self-attention's."""

    def size(n: int, d: int) -> dict:
        plain = [factor * n**power_of_n * d**power_of_d for factor in (1.0, 2.0, 3.0)]
        of_bytes = {"plain": n * n + n * d, "ranking": 3 * n * n + n * d}
        return {
            "tokens": n,
            "dim": d,
            "seconds": {"plain": plain, "ranking": [2 * t for t in plain]},
            "bytes": of_bytes,
        }

    sizes = [size(*of) for of in ((50, 500), (100, 500), (200, 500), (50, 1000), (50, 2000))]
    path.write_text(json.dumps({"machine": "made", "sizes": sizes}))
    return measured_cost(path)


def test_a_cost_that_grows_with_the_law_or_slower_is_lawful(tmp_path):
    found = written(tmp_path / "cost.json", 2.5, 0.9)
    time = found.exponents["seconds", "tokens"]
    assert (time.value, time.low, time.high) == (pytest.approx(2.5),) * 3
    assert found.exponents["seconds", "dim"].value == pytest.approx(0.9)
    assert 1 < found.exponents["bytes", "tokens"].value < 2
    assert found.ratios == {"seconds": 2.0, "bytes": (3 * 2500 + 25000) / (2500 + 25000)}
    assert found.lawful and not written(tmp_path / "cost.json", 2.0, 1.2).lawful


def test_the_cost_claim_tells_ratios_and_judges_the_law():
    """Attention at n = 50, d = 512: 55.0 million against 55.0 - 2.6 + 1.3 + 3.3 + 26.2; a layer 104.9 million more."""
    judgement = judged(CostClaim("made", "s", "w", "cost", LayerSizes(50, 512, 2048)))
    assert judgement.verdict == "reproduced" and measured_cost().lawful
    assert "1.51 times with them and the fusion, and 1.18 times in a layer" in judgement.reason


# ---- the page


@pytest.fixture(scope="module")
def page():
    made = planned(Seeds((0, 1), (0,)))
    claims = [
        claim for claim in read_claims() if not isinstance(claim, GreaterClaim) or _in(claim, ("II", "VI", "VII"))
    ]
    measurements = Known(made, by_lambda_e, noise=0.5, by_image=1.0).measurements()
    asked = [claim for claim in claims if claim.id not in ("coco-xe-spice", "coco-rl-spice", "diverse-d3")]
    judgements = judge(asked, measurements)
    return judgements, made.experiment


def _in(claim: GreaterClaim, tables: tuple[str, ...]) -> bool:
    return {claim.better.table, claim.than.table} <= set(tables) and claim.better.column != "Voc-u"


def test_markdown_says_the_rule_before_the_verdicts(page):
    text = claims_page(*page)
    assert text.index("## How a verdict is reached") < text.index("## Measured") < text.index("## Not run")
    assert "Seeds per row: 2 for cross-entropy, 1 for CIDEr optimisation." in text
    assert "everything with one seed" in text and "rendered images and a small budget" in text
    assert verdict_counts(page[0]) in text
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        assert len({line.count("|") for line in block.splitlines()}) == 1
    for judgement in page[0]:
        assert judgement.claim.sentence in text
    assert "than λ_F=0.75, λ_E=1 (smallest of 6)" in text


def test_csv_has_a_line_for_each_comparison(page):
    judgements, experiment = page
    lines = list(csv.DictReader(io.StringIO(claims_csv(judgements, experiment))))
    assert tuple(lines[0]) == COLUMNS
    assert len(lines) == sum(max(1, len(judgement.comparisons)) for judgement in judgements)
    grid = [line for line in lines if line["claim"] == "lambda-e-best"]
    assert len(grid) == 6 and {line["verdict"] for line in grid} == {"contradicted"}
    assert {(line["n_seeds"], line["n_images"], line["interval_over"]) for line in grid} == {
        ("2", "30", "images and seeds")
    }
    worst = next(line for line in grid if line["than"] == "λ_F=0.75, λ_E=1")
    assert (worst["paper"], worst["column"], worst["data"]) == ("2", "VI C", "scenes")
    assert float(worst["ci_low"]) < float(worst["difference"]) < float(worst["ci_high"]) < 0
    absent = next(line for line in lines if line["claim"] == "attention-maps")
    assert (absent["verdict"], absent["difference"]) == ("not run", "") and absent["reason"]
