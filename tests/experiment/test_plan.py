"""Which runs, stages and captions the tables need, and what a run's identity depends on."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import fields, make_dataclass, replace
from typing import Any

import pytest
import yaml

from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.plan import load_tables, plan, stage_name
from rdt.experiment.runs import captioner, override, resolved_configuration, teacher_of
from rdt.experiment.settings import (
    TABLES,
    Data,
    EncoderSettings,
    Experiment,
    Method,
    ModelSettings,
    Seeds,
    TrainingSettings,
    deciding,
)
from tests.support.repository import REPOSITORY

PAPER = REPOSITORY / "experiments" / "method" / "paper.yaml"


def experiment(**changes) -> Experiment:
    """The paper's method on scenes of three roles, with two cascades in the main tables and one in the ablations."""
    values = yaml.safe_load(PAPER.read_text())
    typed = {name: float(v) if name == "rl_lr" else v for name, v in values.items()}
    scenes = Data(source="scenes", train=100, val=10, test=10)
    defaults = {
        "name": "tiny",
        "method": Method(**typed),
        "method_name": "paper",
        "data": {"primary": scenes, "secondary": replace(scenes, train=50), "novel": replace(scenes, train=0)},
        "encoder": EncoderSettings(image_size=56, width=64, epochs=10, images_per_step=8, lr=1e-3, threads=1),
        "model": ModelSettings(64, 4, 128, 2, 1, 2, 0.1, 0.1),
        "training": TrainingSettings(
            xe_epochs=3,
            grid_xe_epochs=3,
            rl_epochs=1,
            teacher_xe_epochs=2,
            teacher_rl_epochs=1,
            teacher_rl_lr=1e-4,
            schedule="noam",
            lr=1.0,
            warmup_steps=10,
            clip_value=0.1,
            ema=0.99,
            evaluate_every=1,
            evaluate_steps=5,
            cascade_steps=20,
            cascades=2,
            ablation_cascades=1,
            teacher_beam=3,
            checkpoint_minutes=1.0,
            threads=1,
        ),
        "seeds": Seeds((0,), (0,)),
        "tables": TABLES,
    }
    return Experiment(**(defaults | changes))


def runs_of(made, table: str, row: str, column: str) -> tuple[str, ...]:
    return next(c.runs for c in made.cells if (c.table, c.row, c.column) == (table, row, column))


@pytest.fixture(scope="module")
def made():
    return plan(experiment(), load_tables())


@pytest.mark.parametrize("content", ["", "# cut\n", "- II\n", "II: [\n"])
def test_a_damaged_file_of_rows_is_told(tmp_path, content):
    file = tmp_path / "tables.yaml"
    file.write_text(content)
    told = r"tables.yaml: (is not tables by name|cannot be read as YAML \(line 2: .+\)); restore the file"
    with pytest.raises(UserError, match=told):
        load_tables(file)


def test_distinct_configurations_are_counted_once(made):
    """By hand: Table VI has 12 configurations, VIII 10, of which (0.12, 0.15) is RDT and so is VI's
    (0.75, 0.55); V adds base (SCD-Net) and +RVE, and its +RL is VI's (1, 0). So 12 + 9 + 2 = 23 on the
    primary role, RDT and SCD-Net on the secondary one, and one teacher."""
    kinds = Counter((run.kind, run.role) for run in made.runs.values())
    assert kinds == {("captioner", "primary"): 23, ("captioner", "secondary"): 2, ("teacher", "primary"): 1}


def test_rows_of_several_tables_share_a_run(made):
    rdt = runs_of(made, "II", "RDT◇", "xe/C")
    assert rdt == runs_of(made, "V", "base + RVE + RL", "C")
    assert rdt == runs_of(made, "VI", "λ_F=0.75, λ_E=0.55", "C")
    assert rdt == runs_of(made, "VIII", "δ_tim=0.12, δ_sen=0.15", "C")
    assert rdt == runs_of(made, "IV", "RDT◇", "novel-near/C")
    assert runs_of(made, "V", "base + RL", "C") == runs_of(made, "VI", "λ_F=1, λ_E=0", "C")
    assert runs_of(made, "V", "base", "C") == runs_of(made, "III", "SCD-Net◇ (CVPR23) [9]", "c40/C")
    assert rdt != runs_of(made, "IV", "RDT◇", "secondary/C")


def test_a_grid_of_its_own_length_shares_runs_with_itself_alone():
    usual = experiment()
    short = plan(replace(usual, training=replace(usual.training, grid_xe_epochs=1)), load_tables())
    rdt = runs_of(short, "II", "RDT◇", "xe/C")
    assert rdt == runs_of(short, "V", "base + RVE + RL", "C")
    grid = runs_of(short, "VI", "λ_F=0.75, λ_E=0.55", "C")
    assert grid == runs_of(short, "VIII", "δ_tim=0.12, δ_sen=0.15", "C") != rdt
    assert [short.runs[run].xe_epochs for run in (*rdt, *grid)] == [3, 1]
    assert grid[0].startswith("rdt-xe_epochs1-s0-")
    # 12 + 9 of the two grids, 4 of Table V, 2 on the secondary role, the teacher
    assert len(short.runs) == 12 + 9 + 4 + 2 + 1


def test_rows_that_a_budget_leaves_out_are_not_run_and_say_so():
    usual = experiment()
    few = plan(replace(usual, tables=("VI",), rows={"VI": ("λ_F=1, λ_E=0",)}), load_tables())
    assert len(few.runs) == 1 and runs_of(few, "VI", "λ_F=0.6, λ_E=0", "C") == ()
    reasons = {cell.row: cell.reason for cell in few.cells}
    assert reasons.pop("λ_F=1, λ_E=0") == ""
    assert set(reasons.values()) == {"not run: this budget leaves the row out"} and len(reasons) == 11
    with pytest.raises(UserError, match="rows.VI: 'λ_F=2' is no row to run of Table VI; choose among: λ_F=0.6"):
        plan(replace(usual, rows={"VI": ("λ_F=2",)}), load_tables())


def test_stages_close_over_what_later_stages_read(made):
    rdt, scd = (runs_of(made, "II", row, "rl/C")[0] for row in ("RDT◇", "SCD-Net◇ (CVPR23) [9]"))
    assert set(made.stages(rdt)) == set(made.stages(scd)) == {"xe", "xe2", "rl", "rl2"}
    assert made.stages(runs_of(made, "V", "base + RVE", "C")[0]) == ("xe", "rl")
    assert made.stages(runs_of(made, "VI", "λ_F=0.6, λ_E=0", "C")[0]) == ("xe",)
    assert made.stages(runs_of(made, "IV", "RDT◇", "secondary/C")[0]) == ("xe", "xe2")
    assert made.stages(made.teacher(rdt)) == ("xe", "rl")


def test_trainings_come_after_their_inputs(made):
    done = set()
    for run, stage in made.trainings:
        before, captions = made.inputs(run, stage)
        assert set(before) <= done
        assert {(job.run, job.stage) for job in captions} <= done
        done.add((run, stage))


def test_captions_that_later_stages_read(made):
    rdt = runs_of(made, "II", "RDT◇", "rl/C")[0]
    before, captions = made.inputs(rdt, "rl2")
    assert before == ((rdt, "xe2"), (rdt, "rl"))
    teacher = made.teacher(rdt).id
    assert {(job.run, job.variant, job.split, job.steps) for job in captions} == {
        (rdt, "rl", "train", 20),  # cascade_steps
        (rdt, "rl", "val", 50),
        (teacher, "rl", "train", 0),
    }
    assert set(captions) <= set(made.captions)


def test_the_second_network_is_captioned_from_the_first_ones_captions(made):
    rdt = runs_of(made, "II", "RDT◇", "rl/C")[0]
    job = made.caption_job(rdt, "rl2", "primary", "test")
    assert (job.draws, job.steps) == (5, 50)
    assert made.caption_inputs(job) == (made.caption_job(rdt, "rl", "primary", "test"),)
    novel = made.caption_job(rdt, "xe2", "novel", "test")
    assert [first.variant for first in made.caption_inputs(novel)] == ["xe"]
    assert made.caption_inputs(made.caption_job(rdt, "xe", "novel", "test")) == ()


def test_one_step(made):
    rdt = runs_of(made, "II", "RDT◇", "rl/C")[0]
    tables_ask_for = {job.split for job in made.captions if (job.run, job.stage) == (rdt, "rl2")}
    assert tables_ask_for == {"test"}
    assert made.one_step == ((rdt, "xe2"),)
    once = made.caption_job(rdt, "xe2@T1", "primary", "test")
    assert (once.steps, once.stage) == (1, "xe2")


def test_a_role_without_data_gives_a_reason():
    only = experiment()
    made = plan(replace(only, data={"primary": only.data["primary"]}), load_tables())
    reasons = {cell.column: cell.reason for cell in made.cells if cell.table == "IV" and cell.row == "RDT◇"}
    assert reasons["secondary/C"] == "not run: no data for secondary"
    assert reasons["novel-entire/C"] == "not run: no data for novel"
    assert {run.role for run in made.runs.values()} == {"primary"}


def test_no_second_stage_without_its_epochs():
    usual = experiment()
    made = plan(replace(usual, training=replace(usual.training, rl_epochs=0)), load_tables())
    assert {c.reason for c in made.cells if c.table == "V"} == {"not run: training.rl_epochs is 0"}
    teachers = [run for run in made.runs.values() if run.kind == "teacher"]
    assert [made.stages(run) for run in teachers] == [("xe", "rl")]


def test_a_teacher_without_a_second_stage_guides_with_its_first():
    usual = experiment(tables=("V",))
    made = plan(replace(usual, training=replace(usual.training, teacher_rl_epochs=0)), load_tables())
    rdt = runs_of(made, "V", "base + RVE + RL", "C")[0]
    assert made.stages(made.teacher(rdt)) == ("xe",)
    assert [job.variant for job in made.inputs(rdt, "rl")[1]] == ["xe"]


def test_only_the_tables_asked_for_are_planned():
    made = plan(experiment(tables=("VIII",)), load_tables())
    assert {cell.table for cell in made.cells} == {"VIII"}
    assert len(made.runs) == 10
    assert all(made.stages(run) == ("xe",) for run in made.runs)


def test_one_run_per_seed():
    made = plan(experiment(tables=("VI",), seeds=Seeds((0, 7), (0,))), load_tables())
    assert len(made.runs) == 24
    first, second = (made.runs[run] for run in runs_of(made, "VI", "λ_F=0.6, λ_E=0", "C"))
    assert (first.seed, second.seed) == (0, 7)
    assert first.method == second.method


def test_the_phases_have_seeds_of_their_own():
    """Two seeds of cross-entropy and one of CIDEr optimisation: Table II trains both rows and the teacher
    with both, but the second stage, and the teacher that guides it, with one."""
    usual = experiment()
    single = replace(usual.training, cascades=1)
    made = plan(replace(usual, tables=("II",), training=single, seeds=Seeds((0, 7), (7,))), load_tables())
    seeds = {stage: sorted(made.runs[run].seed for run, s in made.trainings if s == stage) for stage in ("xe", "rl")}
    assert seeds == {"xe": [0, 0, 0, 7, 7, 7], "rl": [7, 7, 7]}
    first, second = (runs_of(made, "II", "RDT◇", f"{phase}/C") for phase in ("xe", "rl"))
    assert second == first[1:]


def test_the_grids_have_seeds_of_their_own():
    made = plan(experiment(tables=("II", "VI"), seeds=Seeds((0, 7), (0,), grid=(7,))), load_tables())
    asked = {"II": ("II", "RDT◇", "xe/C"), "VI": ("VI", "λ_F=0.75, λ_E=0.55", "C")}
    seeds = {table: [made.runs[run].seed for run in runs_of(made, *cell)] for table, cell in asked.items()}
    assert seeds == {"II": [0, 7], "VI": [7]}


def test_ids_say_what_differs_and_are_safe_paths(made):
    assert re.fullmatch(r"rdt-s0-[0-9a-f]{8}", runs_of(made, "II", "RDT◇", "xe/C")[0])
    scd = runs_of(made, "II", "SCD-Net◇ (CVPR23) [9]", "xe/C")[0]
    assert re.fullmatch(r"lambda_f1-lambda_e0-lambda_rank0-s0-[0-9a-f]{8}", scd)
    assert re.fullmatch(r"rdt-secondary-s0-[0-9a-f]{8}", runs_of(made, "IV", "RDT◇", "secondary/C")[0])
    assert re.fullmatch(r"teacher-s0-[0-9a-f]{8}", made.teacher(scd).id)
    assert all(re.fullmatch(r"[A-Za-z0-9._+-]+", run) for run in made.runs)


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"name": "other", "tables": ("II",), "seeds": Seeds((0, 1), (0,))}, True),
        ({"data_root": "elsewhere"}, True),
        ({"seeds": Seeds((1,), (1,))}, False),
    ],
)
def test_identity_of_the_whole(change, same):
    rdt = {next(iter(plan(replace(experiment(), **c), load_tables()).runs)) for c in ({}, change)}
    assert (len(rdt) == 1) is same


@pytest.mark.parametrize(
    ("group", "change", "same"),
    [
        ("training", {"threads": 4}, True),
        ("training", {"checkpoint_minutes": 9.0}, True),
        ("training", {"device": "auto", "processes": 2, "workers": 3}, True),
        ("training", {"precision": "bfloat16"}, False),
        ("training", {"cascades": 1}, True),
        ("training", {"xe_epochs": 4}, False),
        ("training", {"grid_xe_epochs": 4}, True),
        ("training", {"teacher_beam": 1}, False),
        ("encoder", {"threads": 4}, True),
        ("encoder", {"epochs": 11}, False),
        ("model", {"dim": 32}, False),
    ],
)
def test_identity_of_a_captioner(group, change, same):
    usual = experiment()
    changed = replace(usual, **{group: replace(getattr(usual, group), **change)})
    ids = {captioner(e, e.method, "primary", 0).id for e in (usual, changed)}
    assert (len(ids) == 1) is same


def test_precision_is_a_part_of_the_identity_only_where_it_is_not_the_usual_one():
    usual = experiment()
    mixed = replace(usual, training=replace(usual.training, precision="bfloat16"))
    parts = [resolved_configuration(e, captioner(e, e.method, "primary", 0))["training"] for e in (usual, mixed)]
    assert "precision" not in parts[0] and parts[1] == parts[0] | {"precision": "bfloat16"}


PINNED = {
    "smoke": [
        "rdt-s0-6dd4b22e",
        "lambda_e0.25-s1-9d91a6a4",
        "rdt-secondary-s0-a3853554",
        "teacher-s0-314918e0",
    ],
    "scenes": [
        "rdt-s0-e82d8bdd",
        "lambda_e0.25-s1-6b88eff1",
        "rdt-secondary-s0-e6110013",
        "teacher-s0-a6466e69",
    ],
}


def some_ids(whole: Experiment) -> list[str]:
    """A captioner of either role, one with an override, and the teacher."""
    usual = captioner(whole, whole.method, "primary", 0)
    other = captioner(whole, override(whole.method, {"lambda_e": 0.25}, "here"), "primary", 1)
    second = captioner(whole, whole.method, "secondary", 0)
    return [run.id for run in (usual, other, second, teacher_of(whole, usual))]


@pytest.mark.parametrize("name", PINNED)
def test_ids_of_runs_stay_as_they_are(name):
    """A finished run is found by its id: where one of these changes, everything is trained again."""
    assert some_ids(load_experiment(name)) == PINNED[name]


def grown(settings: Any, **more: Any) -> Any:
    """The same settings in a class that has one more, ``novelty``, 0 by default."""
    kind = type(settings)
    larger = make_dataclass(kind.__name__, [("novelty", int, 0)], bases=(kind,), frozen=True)
    return larger(**vars(settings), **more)


@pytest.mark.parametrize("group", ["method", "model", "training", "encoder", "data"])
def test_a_new_setting_with_a_default_changes_the_ids_only_where_it_is_used(group):
    usual = load_experiment("smoke")

    def with_novelty(**more: int) -> list[str]:
        settings = getattr(usual, group)
        if group == "data":
            return some_ids(replace(usual, data={role: grown(data, **more) for role, data in settings.items()}))
        return some_ids(replace(usual, **{group: grown(settings, **more)}))

    assert with_novelty() == with_novelty(novelty=0) == PINNED["smoke"]
    assert not set(with_novelty(novelty=1)) & set(PINNED["smoke"])


def test_every_setting_says_whose_weights_it_decides():
    """As the paper and Run have it: what the teacher has not, what both have, and what is of neither."""
    both = "length min_count cls visual_pos label_smoothing rl_references images_per_step captions_per_image select_on"
    assert deciding(Method, "teacher") == tuple(both.split())
    assert set(deciding(Method, "captioner")) == {item.name for item in fields(Method)}
    budget = "teacher_xe_epochs teacher_rl_epochs teacher_rl_lr schedule lr warmup_steps clip_value ema evaluate_every"
    teachers = {*budget.split(), "teacher_beam", "precision"}
    assert set(deciding(TrainingSettings, "teacher")) == teachers
    captioners = {*teachers, "rl_epochs", "evaluate_steps", "cascade_steps"}
    assert set(deciding(TrainingSettings, "captioner")) == captioners


def test_identity_depends_on_the_data_of_its_role_and_of_the_encoder():
    usual = experiment()

    def ids(role: str, **data) -> str:
        changed = replace(usual, data=usual.data | data)
        return captioner(changed, changed.method, role, 0).id

    larger = replace(usual.data["secondary"], train=60)
    named = replace(usual.data["primary"], title="Scenes")
    assert ids("primary", secondary=larger) == ids("primary") == ids("primary", primary=named)
    assert ids("secondary", secondary=larger) != ids("secondary")
    assert ids("secondary", primary=replace(usual.data["primary"], train=101)) != ids("secondary")


def test_captioners_that_differ_in_attention_and_ranking_share_a_teacher():
    usual = experiment()
    rdt = captioner(usual, usual.method, "primary", 0)
    scd = captioner(usual, override(usual.method, {"lambda_f": 1, "lambda_rank": 0}, "here"), "primary", 0)
    short = captioner(usual, override(usual.method, {"length": 10}, "here"), "primary", 0)
    assert teacher_of(usual, rdt) == teacher_of(usual, scd)
    assert teacher_of(usual, rdt).id != teacher_of(usual, short).id
    assert "lambda_f" not in resolved_configuration(usual, teacher_of(usual, rdt))["method"]


def test_an_integer_and_a_float_are_the_same_override():
    usual = experiment()
    one, other = (override(usual.method, {"lambda_f": value}, "here") for value in (1, 1.0))
    assert captioner(usual, one, "primary", 0) == captioner(usual, other, "primary", 0)


def test_an_unknown_override_names_table_row_and_key():
    tables = {"VI": load_tables()["VI"] | {"rows": [{"row": "odd", "run": {"lambda_g": 1}}]}}
    with pytest.raises(UserError, match=r"Table VI, row 'odd': 'lambda_g' is not a setting of the method"):
        plan(experiment(tables=("VI",)), tables)


def test_stage_names():
    assert [stage_name(phase, n) for phase in ("xe", "rl") for n in (1, 2)] == ["xe", "xe2", "rl", "rl2"]
