"""The controls: Table V's own networks, and rows that differ from them in one thing."""

from __future__ import annotations

import csv
import shutil
from dataclasses import asdict, replace

import pytest
import yaml

from rdt.errors import UserError
from rdt.experiment import controls
from rdt.experiment.controls import METRICS, control_tables, equal_epochs, read_controls
from rdt.experiment.file import experiment_names, load_experiment
from rdt.experiment.network_work import NetworkWork, RoleSizes
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.settings import Experiment, Seeds
from rdt.experiment.sides import side_plan
from tests.support import tiny
from tests.support.finished import FILE, python
from tests.support.repository import REPOSITORY
from tests.support.sides import run_side

SMOKE = load_experiment("smoke")
PLAIN = {"lambda_f": 1.0, "lambda_e": 0.0, "lambda_rank": 0.0}
# What a control has otherwise than the row that it controls for.
OTHERWISE = {
    "base + two full branches": {"lambda_f": 1.0, "lambda_e": 1.0},
    "base + RVE with random keys": {"keys": "random"},
    "base + RL in another numbering": {"rank_target": "renumbered"},
    "base + RL with shuffled targets": {"rank_target": "shuffled"},
    "base + two full branches + RL": {"lambda_f": 1.0, "lambda_e": 1.0},
    "base, trained longer": PLAIN,
}


def planned(experiment: Experiment) -> Plan:
    return side_plan("controls", experiment, load_tables()).plan


def test_the_rows_of_table_v_are_its_own_networks():
    experiment = replace(SMOKE, seeds=Seeds((0, 1, 2), (0, 2)))
    own = {cell.row: cell for cell in plan(experiment, load_tables()).cells if cell.table == "V"}
    found = {(cell.table, cell.row): cell for cell in planned(experiment).cells}
    assert len(own) == 4
    for row, cell in own.items():
        after = found["rl", row]
        assert (after.runs, after.stage, after.split) == (cell.runs, cell.stage, cell.split)
        assert set(cell.runs) < set(found["xe", row].runs) and len(found["xe", row].runs) == 3


def test_each_control_differs_from_its_row_in_what_it_is_named_for():
    made = planned(SMOKE)
    method = {cell.row: asdict(made.runs[cell.runs[0]].method) for cell in made.cells}
    assert [one.row for one in read_controls()] == list(OTHERWISE)
    for one in read_controls():
        differ = {name: value for name, value in method[one.row].items() if value != method[one.of][name]}
        assert differ == OTHERWISE[one.row]
    assert {cell.table: [] for cell in made.cells} == {"xe": [], "rl": []}
    assert {cell.metric for cell in made.cells} == set(METRICS) and not any(cell.draws for cell in made.cells)


@pytest.mark.parametrize(("name", "usual", "longer"), [("scenes", 10, 11), ("coco", 60, 62)])
def test_the_base_is_trained_for_the_multiply_adds_of_rdt(name, usual, longer):
    """The ranking visual encoder adds n^2 d + 2 n d^2 to each layer, a forward and a backward pass of it."""
    experiment = load_experiment(name)
    base, n, dim = replace(experiment.method, **PLAIN), 50, experiment.model.dim
    added = 3 * experiment.model.visual_layers * (n**2 * dim + 2 * n * dim**2)
    for words in (1, 60, 10_000):  # as many as there are: never less than RDT
        dims = (2048, 512) if name == "coco" else (160, 160)
        work = NetworkWork(experiment.model, base, RoleSizes({}, words, *dims)).train()
        assert longer * work >= usual * (work + added)
    assert equal_epochs(experiment, experiment.method, base) == longer
    made = planned(experiment)
    epochs = {cell.row: made.runs[cell.runs[0]].xe_epochs for cell in made.cells}
    assert epochs.pop("base, trained longer") == longer and set(epochs.values()) == {usual}


def test_equal_methods_take_equal_epochs():
    assert equal_epochs(SMOKE, SMOKE.method, SMOKE.method) == SMOKE.training.xe_epochs


def test_a_control_of_an_unknown_row_is_named(tmp_path, monkeypatch):
    path = tmp_path / "controls.yaml"
    path.write_text("- {control: a, of: base + X, row: b, has: c, run: {}}\n")
    monkeypatch.setattr(controls, "read_controls", lambda: read_controls(path))
    with pytest.raises(UserError, match=r"'base \+ X' is no row of Table V; choose among: base, base \+ RVE"):
        control_tables(SMOKE, load_tables())
    path.write_text("- {control: a, of: base, row: b, run: {}}\n")
    with pytest.raises(UserError, match="entry 0.has is missing"):
        read_controls(path)


def test_the_file_of_controls_is_no_experiment():
    assert "controls" not in experiment_names()


@pytest.mark.slow
def test_controls_trained_scored_and_shown(finished, tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    tiny.without_sending(folder)
    entries = yaml.safe_load((REPOSITORY / "experiments/controls.yaml").read_text())
    kept = [entry for entry in entries if entry["control"] in ("random keys", "shuffled targets", "equal compute")]
    (folder / "experiments/controls.yaml").write_text(yaml.safe_dump(kept))
    run_side("controls", folder)
    lines = list(csv.DictReader((folder / "reports/tiny/controls.csv").open()))
    level = {(line["table"], line["row"], line["column"]): float(line["ours"]) for line in lines}
    compared = [line for line in lines if line["of"]]
    # In two stages and six metrics: the base is compared with four rows, each of three controls with one.
    assert len(compared) == 2 * 6 * (4 + 3)
    for line in compared:
        gain = level[line["table"], line["of"], line["column"]] - float(line["ours"])
        assert float(line["gain"]) == pytest.approx(gain, abs=2e-4)
    assert python(folder, "-m", "rdt", "report", FILE).returncode == 0
    section = (folder / "reports/tiny/report.html").read_text().partition('id="controls"')[2].partition("</section>")[0]
    assert section.count("One seed decides nothing") == 2 * 4 and "Better than" not in section
    table = "reports/tiny/tables/table_II.csv"
    assert (folder / table).read_text() == (finished / table).read_text()
