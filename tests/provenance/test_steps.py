"""The chain of steps: what depends on what, and that the rules watch the code that the manifests record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.experiment.plan import Plan, load_tables, plan
from rdt.experiment.settings import pool_role
from rdt.provenance.code import code_modules
from rdt.provenance.steps import KINDS, Chain, claims, inspected, tables

PATHS = Paths("smoke")


@pytest.fixture(scope="module")
def smoke() -> Plan:
    return plan(load_experiment("smoke"), load_tables())


def test_inputs_come_before_what_is_made_from_them(smoke):
    chain = Chain(smoke, PATHS)
    steps = chain.behind(tables(smoke, PATHS), claims(smoke, PATHS))
    place = {step.target: at for at, step in enumerate(steps)}
    makers = {step.target: [chain.maker(path) for path in step.inputs.values()] for step in steps}
    assert all(place[one.target] < place[target] for target, found in makers.items() for one in found if one)
    assert steps[-1].target == PATHS.claims and place[PATHS.scenes("primary")] == 0


def test_everything_that_is_trained_and_captioned_is_behind_the_tables(smoke):
    steps = Chain(smoke, PATHS).behind(tables(smoke, PATHS))
    targets = {step.target for step in steps}
    assert {PATHS.stage(run, stage) for run, stage in smoke.trainings} <= targets
    folders = {PATHS.captions(job.run, job.variant, job.role, job.split).parent for job in smoke.captions}
    assert folders == {step.target for step in steps if step.name == "captions"}
    assert any(folder.name.endswith("@T1") for folder in folders)
    assert {step.target for step in steps if step.name == "score"} == {
        PATHS.score_set(role, "test") for role in ("primary", "secondary", "novel")
    }


def test_a_part_of_an_output_belongs_to_its_step(smoke):
    chain = Chain(smoke, PATHS)
    assert chain.maker(PATHS.scenes("novel") / "images/000001.jpg").name == "scenes"
    assert chain.maker(PATHS.features("primary") / "grid.npy").name == "features"
    assert chain.maker(PATHS.encoder / "model.safetensors").name == "encoder"
    assert chain.maker(PATHS.probe).name == "probe"
    assert chain.maker(PATHS.encoder / "unknown") is None  # of this folder only named files are outputs
    assert chain.maker(Path("experiments/tables.yaml")) is None
    run, stage = smoke.trainings[-1]
    assert chain.maker(PATHS.scores(run, stage, "primary", "test").with_suffix(".parquet")).name == "score"
    assert chain.maker(PATHS.reports / "README.md").name == "tables"


def test_a_second_network_reads_the_first_ones_captions_and_weights(smoke):
    chain = Chain(smoke, PATHS)
    run = next(run for run, stage in smoke.trainings if stage == "rl2")
    inputs = set(chain.maker(PATHS.stage(run, "rl2")).inputs.values())
    assert {PATHS.stage(run, "xe2"), PATHS.stage(run, "rl")} <= inputs
    assert PATHS.captions(run, "rl", "primary", "train") in inputs
    captioned = chain.maker(PATHS.captions(run, "rl2", "primary", "test").parent)
    assert PATHS.captions(run, "rl", "primary", "test").parent in captioned.inputs.values()


def test_claims_look_into_the_first_networks_of_table_ii_after_cross_entropy(smoke):
    """Of each cascade of two the first, and not into the teacher; the tables do not wait for it."""
    rows = {cell.row: cell.runs for cell in smoke.cells if (cell.table, cell.column) == ("II", "xe/C")}
    base, rdt = rows["SCD-Net◇ (CVPR23) [9]"], rows["RDT◇"]
    assert inspected(smoke) == ((*base, "xe"), (*rdt, "xe"))
    documents = {PATHS.inspection(*network) for network in inspected(smoke)}
    assert documents <= set(claims(smoke, PATHS).inputs.values())
    assert not documents & set(tables(smoke, PATHS).inputs.values())
    assert Chain(smoke, PATHS).job("inspect", run=rdt[0], stage="xe")[0].inputs["layout"].name == "layout.npz"


def test_without_table_ii_claims_look_into_nothing():
    other = load_experiment("smoke")
    assert inspected(plan(replace(other, tables=("V", "VI")), load_tables())) == ()


def test_the_novel_role_takes_the_primary_pool():
    assert [pool_role(role) for role in ("primary", "secondary", "novel")] == ["primary", "secondary", "primary"]


@pytest.mark.parametrize(
    ("module", "commands"),
    [
        ("rdt.training.batches", {"train"}),  # it draws the timesteps
        ("rdt.training.loop", {"train", "encoder"}),
        ("rdt.training.curves", {"train", "encoder"}),  # what curves.csv says is part of a training's digest
        ("rdt.captioning.model_card", set()),  # what a card says is not
        ("rdt.model.captioner", {"train", "captions", "inspect", "report"}),
        ("rdt.features.two_tower", {"encoder", "features", "probe", "report"}),
        ("rdt.features.probe", {"probe"}),
        ("rdt.model.attention_maps", {"inspect"}),
        ("rdt.tables.formats", {"tables", "differences", "controls", "report"}),
        ("rdt.claims.page", {"claims", "report"}),
    ],
)
def test_an_edit_of_a_module_concerns_those_whose_results_it_makes(module, commands):
    users = {name for name, kind in KINDS.items() if module in code_modules(kind.code)}
    assert {name for name in users if not name.startswith("study-")} == commands


def test_the_card_of_a_network_is_no_part_of_what_its_training_makes(smoke):
    """It names the rows and seeds of the experiment, so that two trainings of the same bits may have other cards."""
    chain, (run, stage) = Chain(smoke, PATHS), smoke.trainings[0]
    step = chain.maker(PATHS.stage(run, stage))
    assert [path.name for path in step.files] == ["model.safetensors", "raw.safetensors", "config.json", "curves.csv"]
    assert chain.maker(PATHS.stage(run, stage) / "model_card.md") is None


def test_no_result_depends_on_a_help_text():
    """Nor the weights on the code of the tables' words, nor features on that of a training."""
    used = {name: set(code_modules(kind.code)) for name, kind in KINDS.items()}
    assert not [name for name, modules in used.items() if any(one.startswith("rdt.commands") for one in modules)]
    without = [name for name, modules in used.items() if not any(one.startswith("rdt.training") for one in modules)]
    assert {"features", "index", "probe", "captions", "inspect", "score", "tables", "claims", "report"} <= set(without)


def test_a_role_without_data_is_not_scored():
    """Flickr8k fills no column of Table IV, whose cells are in the plan with the reason."""
    flickr8k = plan(load_experiment("flickr8k"), load_tables())
    paths = Paths("flickr8k")
    steps = Chain(flickr8k, paths).behind(tables(flickr8k, paths))
    assert {cell.role for cell in flickr8k.cells} == {"primary", "secondary", "novel"}
    assert [step.target for step in steps if step.name == "score"] == [paths.score_set("primary", "test")]


def test_what_more_jobs_wait_for_one_after_the_other_is_more_urgent(smoke):
    """Counted by hand: captions of a first stage that the tables alone read: score, claims, report."""
    chain = Chain(smoke, PATHS)
    networks = {(run.split("-s0-")[0], stage): run for run, stage in smoke.trainings}
    teacher, rdt, grid = networks["teacher", "rl"], networks["rdt", "xe2"], networks["delta_sen2", "xe"]

    def urgency(name: str, run: str, stage: str) -> int:
        return chain.urgency(name, run=run, stage=stage)

    assert chain.urgency("score", role="primary", split="test") == 2
    assert urgency("captions", grid, "xe") == 3 and urgency("train", grid, "xe") == 4
    # rdt's rl, its captions, rl2, its captions, and the three
    assert urgency("captions", teacher, "rl") == 7 and urgency("train", teacher, "rl") == 8
    assert urgency("train", rdt, "xe2") > urgency("train", grid, "xe") < urgency("train", rdt, "xe")
    assert urgency("captions", rdt, "xe") > urgency("captions", grid, "xe")
    assert chain.urgency("index", role="primary") > max(urgency("train", *one) for one in smoke.trainings)
    with pytest.raises(UserError):
        chain.urgency("index", role="nowhere")
