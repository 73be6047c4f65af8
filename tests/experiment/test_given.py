"""Rows from results files in the plan: beside the trained ones, tested against them, and nothing trained for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rdt.errors import UserError
from rdt.experiment.file import check_data, load_experiment
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.settings import GivenRow
from tests.support import tiny

ROW = GivenRow("My LLM, 7B", {"test": "llm.json", "novel/test": "novel.json"}, seed=3)


def made(table: str, *rows: GivenRow, **changes) -> Plan:
    experiment = replace(load_experiment("smoke"), tables=(table,), extra_rows={table: rows}, **changes)
    return plan(experiment, load_tables())


def test_a_row_is_planned_without_training():
    without, with_row = made("II"), made("II", ROW)
    cells = [cell for cell in with_row.cells if cell.row == ROW.row]
    assert with_row.trainings == without.trainings
    assert with_row.cells[-len(cells) :] == tuple(cells) and with_row.cells[: -len(cells)] == without.cells
    (run,) = with_row.runs.keys() - without.runs.keys()
    assert run.startswith("given-My_LLM_7B-s3-")
    assert with_row.runs[run].results == "llm.json" and with_row.runs[run].seed == 3
    assert {cell.runs for cell in cells} == {(run,)} and all(cell.measured for cell in cells)
    assert {cell.column.partition("/")[0] for cell in cells} == {"xe", "rl"}
    assert [job.run for job in with_row.captions_of(run, "xe")] == [run]
    assert with_row.learnt("primary", "test")


def test_each_role_has_its_file_and_what_is_not_given_is_said():
    planned = made("IV", ROW)
    cells = {cell.column: cell for cell in planned.cells if cell.row == ROW.row}
    assert cells["secondary/C"].reason == "not run: no captions of secondary/test were given"
    assert planned.runs[cells["novel-in/C"].runs[0]].results == "novel.json"
    assert cells["novel-in/C"].runs == cells["novel-out/C"].runs


def test_a_row_of_the_tables_file_may_have_captions_too():
    tables = load_tables()
    tables["II"]["rows"].append({"row": "LLM", "captions": {"test": "llm.json"}})
    planned = plan(replace(load_experiment("smoke"), tables=("II",)), tables)
    assert any(run.results == "llm.json" for run in planned.runs.values())


def test_given_rows_alone():
    planned = made("II", ROW, rows={"II": (ROW.row,)})
    assert planned.trainings == () and not planned.learnt("primary", "test")


def test_files_are_relative_to_the_data_root():
    planned = made("II", ROW, data_root="/data")
    assert Path("/data/llm.json").as_posix() in {run.results for run in planned.runs.values()}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"II": [{"row": "RDT◇", "captions": {"test": "a.json"}}]}, "Table II has a row 'RDT◇' already"),
        ({"II": [{"row": "x", "captions": {"tset": "a.json"}}]}, "unknown key extra_rows.II[0].captions.tset; did you"),
        ({"II": [{"row": "x"}]}, "the key extra_rows.II[0].captions is missing"),
        ({"I": []}, "unknown key extra_rows.I"),
        ({"II": [{"row": "x", "captions": {"test": "a.json"}}]}, "extra_rows.II names the file a.json, which does not"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, rows, message):
    file = tiny.write(tmp_path, tiny.EXPERIMENT | {"tables": ["II"], "extra_rows": rows})
    with pytest.raises(UserError) as caught:
        experiment = load_experiment(file)
        plan(experiment, load_tables())
        check_data(experiment)
    assert message in str(caught.value)
