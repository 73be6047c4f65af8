"""The differences between paper and released code: all of the presets' are listed, and each is a run of its own."""

from __future__ import annotations

import csv
import io
import re
import shutil
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import yaml

from rdt.errors import UserError
from rdt.experiment.differences import (
    REFERENCE,
    TOGETHER,
    difference_tables,
    read_differences,
)
from rdt.experiment.file import experiment_names, load_experiment, read_preset
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.settings import Experiment
from rdt.experiment.sides import SidePaths, side_plan, with_sides
from rdt.metrics.resampling import Estimate
from rdt.model.attention import key_counts
from rdt.provenance import steps
from rdt.tables.differences import differences_csv
from rdt.tables.table import Table, Value
from tests.support import tiny
from tests.support.finished import FILE, python, rdt
from tests.support.repository import REPOSITORY
from tests.support.sides import run_side

SMOKE = load_experiment("smoke")


def planned(experiment: Experiment) -> Plan:
    return side_plan("differences", experiment, {}).plan


def presets() -> tuple[dict, dict]:
    return tuple(asdict(read_preset(name, Path("x"))) for name in ("paper", "released"))


def test_every_switch_in_which_the_presets_differ_is_listed_once():
    paper, released = presets()
    differ = {name for name in paper if paper[name] != released[name]}
    listed = [switch for one in read_differences() for switch in one.switches]
    assert len(listed) == len(set(listed)) and set(listed) <= differ
    reasons = " ".join(one.none for one in read_differences())
    assert differ - set(listed) == {"rank_in_cascade", "exclude_own", "cascade_noise"}
    assert all(name in reasons for name in differ - set(listed))


def test_all_19_numbers_are_there_and_each_is_run_or_says_why_not():
    entries = read_differences()
    numbers = [number for one in entries for number in re.findall(r"\d+", one.number)]
    assert sorted(map(int, numbers)) == list(range(1, 20))
    assert all(bool(one.switches) != bool(one.none) for one in entries)


def test_each_row_changes_its_own_switches_to_the_released_values_and_nothing_else():
    paper, released = presets()
    made = planned(SMOKE)
    own = {cell.row: asdict(made.runs[cell.runs[0]].method) for cell in made.cells}
    for one in read_differences():
        if one.switches:
            changed = {name for name, value in own[one.row].items() if value != own[REFERENCE][name]}
            assert changed == set(one.switches), one.title
            wanted = released | {"images_per_step": 16}  # twice as many as the experiment's 8, as 32 are twice 16
            assert all(own[one.row][name] == wanted[name] for name in one.switches)
    together = {name for name, value in own[TOGETHER].items() if value != own[REFERENCE][name]}
    xe = {switch for one in read_differences() if one.phase == "xe" for switch in one.switches}
    assert together == xe


def test_the_differences_share_runs_with_the_tables_and_ask_nothing_of_them():
    tables = plan(SMOKE, load_tables())
    both = with_sides(tables, load_tables())
    assert both.cells == tables.cells and both.trainings[: len(tables.trainings)] == tables.trainings
    assert set(tables.captions) <= set(both.captions) and both.scored("primary", "test") == tables.scored(
        "primary", "test"
    )
    reference = {cell.runs[0] for cell in planned(SMOKE).cells if cell.row == REFERENCE}
    best = {cell.runs[0] for cell in tables.cells if cell.row == "λ_F=0.75, λ_E=0.55"}
    assert reference == best


def test_networks_train_as_long_as_those_of_the_grids():
    experiment = replace(SMOKE, training=replace(SMOKE.training, xe_epochs=5, grid_xe_epochs=2))
    runs = planned(experiment).runs.values()
    assert {run.xe_epochs for run in runs if run.kind == "captioner"} == {2}


def test_names_fit_into_a_folder():
    """All switches together would be 255 characters and more."""
    longest = max(map(len, planned(load_experiment("scenes")).runs), default=0)
    assert longest < 200
    together = next(cell.runs[0] for cell in planned(SMOKE).cells if cell.row == TOGETHER)
    assert re.fullmatch(r"\d+settings-s0-[0-9a-f]{8}", together)


def test_the_scores_lie_apart_from_those_of_the_tables():
    paths = Paths("smoke")
    made = steps.side(side_plan("differences", SMOKE, {}), paths)
    assert all(file.parts[2] == "differences" for file in made.files[:-1])
    assert made.files[-1] == made.target == paths.side_table("differences") == Path("reports/smoke/differences.csv")
    apart = SidePaths.beside(paths, "differences")
    assert apart.scores("run", "xe", "primary", "test") == Path("results/smoke/differences/run/xe/primary-test.json")
    assert apart.captions("run", "xe", "primary", "test").parts[2] == "captions"


def test_the_file_is_no_experiment():
    assert "differences" not in experiment_names() and "scenes" in experiment_names()


def test_a_wrong_entry_is_named(tmp_path):
    path = tmp_path / "differences.yaml"
    path.write_text("- {number: '1', title: a, paper: b}\n")
    with pytest.raises(UserError, match="entry 0.released is missing"):
        read_differences(path)


def test_without_a_second_training_its_difference_says_so():
    experiment = replace(SMOKE, training=replace(SMOKE.training, rl_epochs=0))
    cells = [cell for cell in planned(experiment).cells if cell.table == "rl"]
    assert {cell.reason for cell in cells} == {"not run: training.rl_epochs is 0"}
    assert set(difference_tables(experiment)) == {"xe", "rl"}


@pytest.mark.slow
def test_two_differences_trained_scored_and_shown(finished, tmp_path):
    """The commands of the tables train them; the row of the experiment itself has no difference to itself."""
    folder = tmp_path / "copy"
    shutil.copytree(finished, folder)
    tiny.without_sending(folder)
    kept = [entry for entry in yaml.safe_load((REPOSITORY / "experiments/differences.yaml").read_text())]
    kept = [entry for entry in kept if entry.get("switches") in (["routing"], ["sample_noise"])]
    (folder / "experiments/differences.yaml").write_text(yaml.safe_dump(kept))
    run_side("differences", folder)
    rows = list(csv.DictReader((folder / "reports/tiny/differences.csv").open()))
    cider = {row["row"]: row for row in rows if row["column"] == "C"}
    assert list(cider) == [REFERENCE, "2 keys that attention keeps", "15 noise while sampling", TOGETHER]
    assert cider[REFERENCE]["difference"] == ""
    for row in list(cider.values())[1:]:
        assert float(row["difference"]) == pytest.approx(float(row["ours"]) - float(cider[REFERENCE]["ours"]), abs=2e-4)
    tables_before = (folder / "reports/tiny/tables/table_II.csv").read_text()
    assert rdt(folder, "verify", "II/RDT◇/xe/C").returncode == 0  # the tables' scores are untouched
    done = python(folder, "-m", "rdt", "report", FILE)
    assert done.returncode == 0, done.stderr
    page = (folder / "reports/tiny/report.html").read_text()
    assert "Not run:" not in page.partition('id="differences"')[2].partition("</section>")[0]
    assert page.count("15. noise while sampling") == 1
    assert (folder / "reports/tiny/tables/table_II.csv").read_text() == tables_before


def test_what_stands_beside_a_number():
    """The shares of #3 alone on the paper's 50 tokens and, with #1, on the released code's 49, without their last."""
    beside = {one.number: one.beside for one in read_differences() if one.beside}
    assert set(beside) == {"3", "12", "14", "19"}
    _, released = presets()
    kept, reused = key_counts(50, released["lambda_f"], released["lambda_e"])
    assert (kept, 50 - reused - 1) == (38, 24)
    kept, reused = key_counts(49, released["lambda_f"], released["lambda_e"])
    assert (kept, 49 - reused - 1) == (37, 24)
    assert "38 of 50 keys" in beside["3"] and "37 of its 49" in beside["3"]


def test_it_stands_in_the_file_too():
    cells = {cell.row: cell for cell in planned(SMOKE).cells if cell.metric == "C" and cell.stage == "xe"}
    estimate = Estimate(50.0, 49.0, 51.0, None, 0.5, None, 1, 12)
    rows = (REFERENCE, "12 images in a step")
    table = Table(
        "xe", "", (), (("", ("C",)),), tuple(Value(cells[row], "", "measured", "r", estimate) for row in rows)
    )
    lines = list(csv.DictReader(io.StringIO(differences_csv([table, table]))))
    assert [line["beside"] for line in lines] == ["", "half as many updates in the same epochs"] * 2
    assert lines[0]["ours"] == "50.0000"
