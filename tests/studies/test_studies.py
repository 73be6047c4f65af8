"""Study files, and a study in its storage."""

from __future__ import annotations

import json
import re
from pathlib import Path

import optuna
import pytest
import yaml

from rdt.errors import UserError
from rdt.experiment.file import load_experiment
from rdt.experiment.paths import Paths
from rdt.studies import plots
from rdt.studies.export import best_text, best_trial, read_best
from rdt.studies.file import STUDIES, grid_points, read_studies, read_study, study_names
from rdt.studies.storage import create, distributions, open_stored, pruner, sampler
from rdt.studies.workspace import StudyWorkspace
from tests.support import studies, tiny

# ---- files


def test_the_studies_of_the_repository():
    assert study_names() == ["attention", "diversity", "losses", "thresholds"]
    assert [study.name for study in read_studies("all")] == study_names()
    assert [study.name for study in read_studies(None)] == ["thresholds"]
    found = {study.name: study for study in read_studies("losses, attention,thresholds,diversity")}
    assert {name: set(study.parameters) for name, study in found.items()} == {
        "thresholds": {"delta_tim", "delta_sen"},
        "attention": {"lambda_f", "lambda_e"},
        "losses": {"lambda_xe", "lambda_bit", "lambda_rank"},
        "diversity": {"delta_tim", "delta_sen", "lambda_rank"},
    }
    assert found["diversity"].objectives == ("CIDEr", "D@3") and found["diversity"].pruner is None
    assert found["thresholds"].paper() == {"delta_tim": 0.12, "delta_sen": 0.15}
    assert found["attention"].paper() == {"lambda_f": 0.75, "lambda_e": 0.55}
    assert found["losses"].paper() == {"lambda_xe": 1, "lambda_bit": 1, "lambda_rank": 5}


def test_the_papers_rows_of_table_viii():
    """delta_sen = 2 keeps every pair: the five rows without that threshold."""
    points = grid_points(read_study("thresholds").parameters)
    without = [(tim, 2.0) for tim in (0.05, 0.1, 0.12, 0.15, 0.2)]
    assert [(p["delta_tim"], p["delta_sen"]) for p in points] == without + [
        (0.12, sen) for sen in (0.05, 0.1, 0.12, 0.15, 0.2)
    ]
    assert len(grid_points(read_study("attention").parameters)) == 12
    assert grid_points(read_study("losses").parameters) == []


TIM = {"low": 0.02, "high": 0.3}


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"trails": 3}, "unknown key trails; did you mean trials?"),
        ({"trials": None}, "the key trials is missing; add it"),
        ({"trials": 0}, "trials is 0, expected a number at least 1"),
        ({"parameters": {}}, "parameters is {}, expected one parameter or more"),
        ({"parameters": {"delta_tin": TIM}}, "unknown key parameters.delta_tin; did you mean delta_tim?"),
        ({"parameters": {"rl_lr": TIM}}, "unknown key parameters.rl_lr"),
        (
            {"parameters": {"delta_tim": {"low": 0.3, "high": 0.1}}},
            "parameters.delta_tim is an empty range: low 0.3 is not below high 0.1",
        ),
        ({"parameters": {"delta_tim": {"low": 0.12, "high": 0.12}}}, "parameters.delta_tim is an empty range"),
        ({"parameters": {"delta_tim": {"low": 0.1, "high": 1.5}}}, r"parameters.delta_tim.high is 1.5, .* in \[0, 1\]"),
        ({"parameters": {"delta_tim": {"low": 0, "high": 0.3, "log": True}}}, "delta_tim.low is 0.0, .* above 0"),
        ({"parameters": {"delta_tim": {"low": 0.2, "high": 0.3}}}, "leaves out the paper's value 0.12"),
        ({"objectives": ["BLEU"]}, "objectives.0. is 'BLEU', expected one of CIDEr, D@3"),
        (
            {"objectives": ["CIDEr", "D@3"], "pruner": {"name": "asha", "min_epochs": 1, "reduction": 2}},
            "a study of several objectives cannot prune; remove pruner",
        ),
        ({"sampler": {"name": "tpee", "seed": 0}}, "sampler.name is 'tpee', .* did you mean tpe?"),
        ({"retrain_seeds": [1, 0]}, "retrain_seeds is .1, 0., expected fresh seeds, not the trials' 0"),
        ({"training": {"epochs": 2}}, "unknown key training.epochs"),
        ({"training": {"xe_epochs": 0}}, "training.xe_epochs is 0, expected a number at least 1"),
        ({"name": "my study"}, "name is 'my study', expected letters"),
        ({"name": "losses"}, "name 'losses' belongs to experiments/studies/losses.yaml"),
    ],
)
def test_a_wrong_study_file(tmp_path, changes, told):
    path = studies.write(tmp_path, **changes)
    with pytest.raises(UserError, match=told) as error:
        read_study(str(path))
    assert error.value.where == str(path) and "\n" not in str(error.value)


def test_a_study_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="unknown study threshold; did you mean thresholds?"):
        read_study("threshold")
    with pytest.raises(UserError, match="the study file does not exist"):
        read_study(str(tmp_path / "none.yaml"))


def test_a_trials_budget_is_the_studys_over_the_experiments(tmp_path):
    tiny.write(tmp_path, tiny.settings(override={"select_on": "test"}))
    experiment, study = tiny.opened(tmp_path)[0], studies.study(tmp_path)
    assert experiment.method.select_on == "test" and experiment.training.evaluate_every == 1
    budgeted = study.budgeted(experiment)
    assert budgeted.method.select_on == "val"  # never on test, whatever the experiment does
    assert (budgeted.training.xe_epochs, budgeted.training.evaluate_steps) == (2, 2)
    assert budgeted.training.lr == experiment.training.lr
    run = study.network(budgeted, {"delta_tim": 0.2, "delta_sen": 0.4}, seed=5)
    assert (run.method.delta_tim, run.method.delta_sen, run.seed, run.xe_epochs) == (0.2, 0.4, 5, 2)


# ---- storage


def proposals(study, trials):
    """What the sampler proposes for trials of these numbers, all in an empty study."""
    found = []
    for number in trials:
        opened = optuna.create_study(sampler=sampler(study, number))
        found.append(tuple(opened.ask(distributions(study)).params.values()))
    return found


def test_a_trials_proposal_depends_on_its_number_alone(tmp_path):
    for name in ("random", "tpe"):
        study = studies.study(tmp_path, sampler={"name": name, "seed": 3})
        first = proposals(study, range(5))
        assert first == proposals(study, range(5)) and len(set(first)) == 5
        assert first != proposals(studies.study(tmp_path, sampler={"name": name, "seed": 4}), range(5))
        assert all(0.02 <= tim <= 0.3 and 0.02 <= sen <= 0.5 for tim, sen in first)


def test_pruners(tmp_path):
    assert isinstance(pruner(studies.study(tmp_path), 8), optuna.pruners.NopPruner)
    asha = pruner(studies.study(tmp_path, pruner={"name": "asha", "min_epochs": 2, "reduction": 3}), 8)
    assert isinstance(asha, optuna.pruners.SuccessiveHalvingPruner)
    hyperband = pruner(studies.study(tmp_path, pruner={"name": "hyperband", "min_epochs": 1, "reduction": 2}), 8)
    assert isinstance(hyperband, optuna.pruners.HyperbandPruner)


def test_asha_keeps_the_better_half_of_those_that_came_so_far(tmp_path):
    """Values 3, 1, 4, 2 after the first epoch: each but 1 and 2 is in the upper half when it comes."""
    study = studies.study(tmp_path, pruner={"name": "asha", "min_epochs": 1, "reduction": 2})
    opened = create(study, tmp_path, "x", {})
    opened = open_stored(study, tmp_path, "x", epochs=2)
    pruned = []
    for value in (3, 1, 4, 2):
        trial = opened.ask(distributions(study))
        trial.report(value, 1)
        pruned.append(trial.should_prune())
        opened.tell(trial, None if pruned[-1] else value, optuna.trial.TrialState.PRUNED if pruned[-1] else None)
    assert pruned == [False, True, False, True]


def test_the_papers_setting_is_the_first_trial_and_is_there_once(tmp_path):
    study = studies.study(tmp_path)
    for _ in range(2):
        opened = create(study, tmp_path, "x", {"parameters": 1})
    assert len(opened.trials) == 1
    assert opened.ask(distributions(study)).params == {"delta_tim": 0.12, "delta_sen": 0.15}


def test_a_study_that_was_not_created(tmp_path):
    with pytest.raises(UserError, match="the study x is not in its storage; run `rdt study-init` first"):
        open_stored(studies.study(tmp_path), tmp_path, "x", epochs=1)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("sqlite:////not/there/study.db", "sqlite:////not/there/study.db"),
        ("postgresql://me:secret@127.0.0.1:1/studies", "postgresql://me:***@127.0.0.1:1/studies"),
        ("nonsense", "nonsense"),
    ],
)
def test_a_storage_that_nobody_answers(tmp_path, capsys, prepared, url, shown):
    folder = tiny.copied(prepared, tmp_path / "user")
    studies.write(folder, storage=url)
    assert studies.rdt(folder, "study-init") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rdt: error: {studies.FILE}: the storage {shown} does not answer (")
    assert not (folder / "results/tiny/studies/mini/study.json").exists()


def test_a_database_serves_as_well(tmp_path):
    study = studies.study(tmp_path, storage=f"sqlite:///{tmp_path / 'study.db'}")
    create(study, tmp_path / "none", "a/x", {})
    create(study, tmp_path / "none", "b/x", {})  # two experiments share it
    assert [trial.state.name for trial in open_stored(study, tmp_path, "b/x", epochs=1).trials] == ["WAITING"]
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (
            {"parameters": {"delta_tim": {"low": 0.1, "high": 0.3}, "delta_sen": {"low": 0.02, "high": 0.5}}},
            "was created with other parameters: delta_tim low 0.02 then, 0.1 now",
        ),
        ({"parameters": {"delta_tim": TIM}}, "was created with other parameters: delta_sen {.*} then, nothing now"),
        ({"objectives": ["D@3"]}, 'was created with other objectives: ."CIDEr". then, ."D@3". now'),
        ({"training": {"xe_epochs": 3}}, "was created with other settings: training .*xe_epochs 2 then, 3 now"),
    ],
)
def test_a_study_that_was_created_for_something_else(tmp_path, capsys, prepared, changes, told):
    folder = tiny.copied(prepared, tmp_path)
    studies.write(folder)
    assert studies.rdt(folder, "study-init") == 0
    journal = folder / "results/tiny/studies/mini/journal.log"
    before = journal.read_bytes()
    studies.write(folder, **changes)
    capsys.readouterr()
    assert studies.rdt(folder, "study-init") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"rdt: error: {studies.FILE}: the study tiny/mini was created with other ")
    assert re.search(told, line) and "delete results/tiny/studies/mini" in line
    assert journal.read_bytes() == before


def test_more_trials_and_another_pruner_are_the_same_study(tmp_path, prepared):
    folder = tiny.copied(prepared, tmp_path)
    studies.write(folder)
    assert studies.rdt(folder, "study-init") == 0
    studies.write(folder, trials=7, workers=2, pruner={"name": "asha", "min_epochs": 1, "reduction": 2})
    assert studies.rdt(folder, "study-init") == 0
    assert json.loads((folder / "results/tiny/studies/mini/study.json").read_text())["trials"] == 7


def test_data_that_changed_are_another_study(tmp_path, capsys, prepared):
    folder = tiny.copied(prepared, tmp_path, tiny.settings())
    studies.write(folder)
    assert studies.rdt(folder, "study-init") == 0
    for command in ("vocabulary", "index"):
        content = tiny.settings(override={"retrieved": 5})
        tiny.write(folder, content)
        assert tiny.rdt(folder, command, "tiny.yaml", "--role", "primary") == 0
    tiny.write(folder, tiny.settings(override={"retrieved": 5}))
    capsys.readouterr()
    assert studies.rdt(folder, "study-init") == 2
    assert "was created with other settings: method retrieved 6 then, 5 now" in capsys.readouterr().err


# ---- what comes out


def completed(study, number, value, **params):
    trial = optuna.trial.create_trial(value=value, params=params, distributions=distributions(study))
    trial.number = number
    return trial


def test_the_best_setting_of_an_experiment_with_a_budget(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny.write(tmp_path, tiny.settings() | {"budgets": {"large": {"model": {"dim": 32}}}})
    study, experiment = studies.study(tmp_path), load_experiment("tiny.yaml:large")
    workspace = StudyWorkspace(study.budgeted(experiment), Paths("tiny-large"), study, "tiny.yaml:large")
    path = workspace.report / "best.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(best_text(workspace, completed(study, 4, 31.25, delta_tim=0.2, delta_sen=0.4), path))
    assert path.read_text().startswith(
        "# The best setting of the study tiny-large/mini: trial 4, CIDEr 31.25 on val.\n"
    )
    best = load_experiment(path)
    assert (best.method.delta_tim, best.method.delta_sen, best.model.dim) == (0.2, 0.4, 32)
    assert best.name == "tiny-large-mini" and best.training == experiment.training  # its own, not a trial's
    assert read_best(workspace) == {"delta_tim": 0.2, "delta_sen": 0.4}


def test_a_study_without_a_completed_trial_has_no_best(tmp_path):
    tiny.write(tmp_path, tiny.settings())
    study = studies.study(tmp_path)
    workspace = StudyWorkspace(tiny.opened(tmp_path)[0], Paths("tiny"), study, "tiny.yaml")
    opened = create(study, tmp_path, "x", {})
    with pytest.raises(UserError, match="no trial of tiny/mini has completed"):
        best_trial(workspace, opened)


def marks(figure):
    """The entries of the legend below the panels."""
    return {text.get_text() for text in figure.legends[0].get_texts()}


def test_the_map_of_two_parameters_marks_the_papers_settings(tmp_path):
    study = studies.study(tmp_path)
    opened = create(study, tmp_path, "x", {})
    for at, (tim, sen) in enumerate([(0.12, 0.15), (0.05, 0.4), (0.25, 0.1), (0.2, 0.3), (0.1, 0.05)]):
        opened.add_trial(completed(study, at, float(at), delta_tim=tim, delta_sen=sen))
    figure = plots._contour(study, plots._Trials(study, opened))
    assert marks(figure) == {
        *("best", "the paper's setting", "rows of the paper's table", r"rows with $\delta_{sen}$ beyond")
    }
    ax = figure.axes[0]
    at = {part.get_label(): sorted(map(tuple, part.get_offsets().tolist())) for part in ax.collections}
    assert at["the paper's setting"] == [(0.12, 0.15)] and at["best"] == [(0.1, 0.05)]
    assert at["rows of the paper's table"] == [(0.12, sen) for sen in (0.05, 0.1, 0.12, 0.2)]
    assert at[r"rows with $\delta_{sen}$ beyond"] == [(tim, 0.5) for tim in (0.05, 0.1, 0.12, 0.15, 0.2)]


def test_too_few_trials_tell_nothing_of_importance(tmp_path):
    study = studies.study(tmp_path)
    opened = create(study, tmp_path, "x", {})
    opened.add_trial(completed(study, 0, 1.0, delta_tim=0.1, delta_sen=0.2))
    figure = plots._importance(study, plots._Trials(study, opened))
    assert [text.get_text() for text in figure.axes[0].texts] == ["1 completed trials tell nothing"]


def test_every_study_file_says_how_to_run_it():
    for path in STUDIES.glob("*.yaml"):
        text = path.read_text()
        option = "" if path.stem == "thresholds" else f" --config study={path.stem}"
        assert f"#   snakemake --cores 8 studies{option}\n" in text
        assert yaml.safe_load(text)["name"] == Path(path).stem
