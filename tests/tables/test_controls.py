"""Gains of the proposals over the base and over their controls, worked out from known levels."""

from __future__ import annotations

import csv
import io
from dataclasses import replace

import pytest

from rdt.experiment.paths import Paths
from rdt.experiment.plan import SidePlan, load_tables
from rdt.experiment.settings import Seeds
from rdt.experiment.sides import side_plan
from rdt.report.controls import control_rows, epochs_said
from rdt.tables import controls
from rdt.tables.controls import measured_gains, to_controls_csv
from tests.experiment.test_plan import experiment
from tests.scoring.test_measurements import Known

PATHS = Paths("tiny")


def level(run, stage: str) -> float:
    """CIDEr 100; 10 for ranked keys, 7 for random ones, 4 for two full branches; 2 for the ranking loss; 1 an epoch."""
    method = run.method
    branches = 0 if method.lambda_e == 0 else 4 if method.lambda_f == 1 else 7 if method.keys == "random" else 10
    ranking = {"own": 2, "renumbered": 2, "shuffled": 0.5}[method.rank_target] if method.lambda_rank else 0
    return 100 + branches + ranking + (run.xe_epochs - 3)


def side_of(seeds: Seeds, monkeypatch: pytest.MonkeyPatch, **known) -> SidePlan:
    usual = experiment(tables=("V",), seeds=seeds)
    side = side_plan("controls", replace(usual, training=replace(usual.training, cascades=1)), load_tables())
    ciders = tuple(cell for cell in side.plan.cells if cell.metric == "C")
    side = replace(side, plan=replace(side.plan, cells=ciders))
    measurements = Known(side.plan, level, **known).measurements()
    monkeypatch.setattr(controls, "side_measurements", lambda side, paths: measurements)
    return side


GAINS = {  # of the row, by what it is compared with
    ("base", "base + RVE"): 10,
    ("base", "base + RL"): 2,
    ("base", "base + RVE + RL"): 12,
    ("base", "base, trained longer"): 1,
    ("capacity", "base + RVE"): 10 - 4,
    ("random keys", "base + RVE"): 10 - 7,
    ("numbering", "base + RL"): 0,
    ("shuffled targets", "base + RL"): 1.5,
    ("capacity", "base + RVE + RL"): 12 - 6,
    ("equal compute", "base + RVE + RL"): 12 - 1,
}


def test_a_gain_is_the_proposal_less_its_control(monkeypatch):
    side = side_of(Seeds((0,), (0,)), monkeypatch)
    gains = measured_gains(side, PATHS)
    for phase in ("xe", "rl"):
        found = {(g.control, g.of.cell.row): g.comparison.difference.value for g in gains if g.of.cell.table == phase}
        assert found == pytest.approx(GAINS)


def test_a_line_for_each_comparison_and_for_each_level(monkeypatch):
    side = side_of(Seeds((0,), (0,)), monkeypatch)
    lines = [line for line in csv.DictReader(io.StringIO(to_controls_csv(measured_gains(side, PATHS))))]
    after = [line for line in lines if line["table"] == "xe"]
    base = [line for line in after if line["row"] == "base"]
    assert [(line["control"], line["of"]) for line in base] == [key for key in GAINS if key[0] == "base"]
    (alone,) = (line for line in after if line["row"] == "base + RVE")
    assert (alone["control"], alone["of"], alone["gain"]) == ("", "", "") and alone["n_seeds"] == "1"
    (random,) = (line for line in after if line["row"] == "base + RVE with random keys")
    assert (random["of"], float(random["gain"]), random["interval_over"]) == ("base + RVE", pytest.approx(3), "images")
    assert float(alone["ours"]) - float(random["ours"]) == pytest.approx(3)


def test_one_seed_decides_nothing_on_the_page(monkeypatch):
    rows = control_rows(side_of(Seeds((0,), (0,)), monkeypatch), PATHS)
    assert list(rows) == ["cross-entropy", "CIDEr optimisation"]
    for found in rows.values():
        assert all(row.sentence == "One seed decides nothing, whatever the images say." for row in found)
        last = found[-1]
        assert (last.proposal, last.row, last.control) == ("More compute", "base, trained longer", None)
        assert last.over_base.difference.value == pytest.approx(1) and last.over_control is None
    assert [row.proposal for row in rows["cross-entropy"][:-1]] == [
        *(["Ranking visual encoder"] * 2),
        *(["Ranking loss"] * 2),
        *(["Both"] * 2),
    ]


def test_several_seeds_decide_what_their_interval_says(monkeypatch):
    """Without noise every gain but that of the numbering, 0, is decided; with much, none."""
    seeds = Seeds((0, 1, 2), (0, 1, 2))
    quiet = control_rows(side_of(seeds, monkeypatch), PATHS)["cross-entropy"]
    assert quiet[0].sentence == "Better than base + two full branches."
    assert quiet[2].sentence.startswith("Undecided: not told from base + RL in another numbering by")
    noisy = control_rows(side_of(seeds, monkeypatch, noise=30.0, by_image=30.0), PATHS)["cross-entropy"]
    assert all(row.sentence.startswith("Undecided") for row in noisy)
    assert quiet[0].over_base.difference.value == pytest.approx(10) and quiet[0].over_control.reason == ""


def test_the_page_says_how_much_longer_the_base_was_trained(monkeypatch):
    said = epochs_said(side_of(Seeds((0,), (0,)), monkeypatch))
    assert said == (
        "The base is trained longer for 4 epochs of cross-entropy, at least the multiply-adds of the 3 of "
        "base + RVE + RL; every other row for 3."
    )
